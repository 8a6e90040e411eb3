// Package house holds the rules of the house against the code: who may import
// whom, who alone may import which library, and what stays in cmd.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/countersign-dev/countersign/"

// mayImport lists, for each room, the rooms of ours that its code may import. A
// room includes what is below it unless that has a line of its own; "+" before
// a room means it and everything below.
var mayImport = map[string][]string{
	"ledger/tlog":               {},
	"ledger":                    {"ledger/tlog"},
	"ledger/badgerstore":        {"ledger", "ledger/tlog"},
	"ledger/ledgertest":         {"ledger", "ledger/tlog"},
	"attest":                    {"ledger/tlog", "+attest"},
	"attest/credential":         {},
	"policy/strictyaml":         {},
	"policy/roster":             {"policy/strictyaml", "attest/credential"},
	"verify":                    {"+attest", "policy/roster", "policy/strictyaml", "ledger/tlog"},
	"verify/follow":             {"attest", "verify", "ledger/tlog"},
	"verify/sigstoreroot":       {"verify", "ledger/tlog", "policy/roster", "policy/strictyaml"},
	"policy":                    {"+attest", "verify", "policy/roster", "policy/incident", "policy/strictyaml", "ledger/tlog"},
	"policy/incident":           {"attest", "policy/roster"},
	"policy/cohort":             {"+attest", "verify", "policy", "policy/incident", "policy/roster", "+policy/cohort"},
	"policy/cohort/intake":      {"attest", "policy/strictyaml"},
	"api":                       {"+attest", "+verify", "+policy", "ledger", "ledger/tlog", "+proto/gen", "+api"},
	"api/forge":                 {"attest", "attest/gitfacts", "policy/roster"},
	"api/alarm":                 {"attest", "ledger", "policy"},
	"api/tuf":                   {},
	"api/console":               {"attest", "attest/credential", "attest/gitfacts", "policy", "policy/roster"},
	"cmd/countersign":           {"+attest", "+verify", "+policy", "ledger/tlog", "+proto/gen"},
	"cmd/countersignd":          {"+"},
	"proto/gen":                 {"+proto/gen"},
	"internal/house":            {},
	"ledger/witness":            {"ledger/tlog"},
	"api/mirror":                {"attest", "verify", "ledger", "ledger/tlog", "+proto/gen"},
	"attest/planfacts":          {"attest", "policy/strictyaml"},
	"policy/scenario/published": {"policy", "policy/cohort", "policy/incident", "policy/scenario", "verify"},
	"policy/scenario":           {"+attest", "verify", "verify/sigstoreroot", "policy", "policy/roster", "policy/strictyaml", "ledger/tlog", "api/tsa"},
	"api/tsa":                   {"verify"},
}

// onlyImporter lists libraries that one room alone may import.
var onlyImporter = map[string][]string{
	"github.com/transparency-dev/merkle":   {"ledger/tlog"},
	"golang.org/x/mod/sumdb/note":          {"ledger/tlog"},
	"github.com/dgraph-io/badger":          {"ledger/badgerstore"},
	"github.com/in-toto":                   {"attest"},
	"github.com/sigstore/sigstore-go":      {"attest", "verify"},
	"github.com/sigstore/protobuf-specs":   {"verify/sigstoreroot"},
	"github.com/theupdateframework/go-tuf": {"api/tuf"},
	"github.com/google/cel-go":             {"policy"},
	"gonum.org/v1/gonum":                   {"policy/cohort"},
	"connectrpc.com/connect":               {"api", "proto/gen", "cmd/countersign"},
	"go.yaml.in/yaml/v3":                   {"policy/strictyaml"},
	"github.com/go-json-experiment/json":   {"attest", "policy", "policy/scenario", "verify", "api", "api/alarm", "api/console", "cmd/countersign"},
}

// onlyCmd lists calls that belong in cmd: everything else is told the time,
// given a context, and returns its errors.
var onlyCmd = map[string][]string{
	"os":      {"Exit"},
	"time":    {"Now"},
	"context": {"Background", "TODO"},
	"log":     {"Fatal", "Fatalf", "Fatalln"},
}

type source struct {
	path string // slash-separated, from the root
	room string
	file *ast.File
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() && rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || rel == "bin" || rel == "demo") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{rel, roomOf(rel), f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("found only %d files: the walk is broken", len(all))
	}
	return all
}

// roomOf is the longest room in mayImport that holds the file.
func roomOf(path string) string {
	dir := path[:max(strings.LastIndex(path, "/"), 0)]
	for d := dir; d != ""; d = d[:max(strings.LastIndex(d, "/"), 0)] {
		if _, ok := mayImport[d]; ok {
			return d
		}
	}
	return dir
}

func allowed(room, imported string) bool {
	if room == imported {
		return true
	}
	return slices.ContainsFunc(mayImport[room], func(rule string) bool {
		if below, ok := strings.CutPrefix(rule, "+"); ok {
			return below == "" || imported == below || strings.HasPrefix(imported, below+"/")
		}
		return imported == rule
	})
}

func TestRoomsImportOnlyTheirNeighbours(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || strings.HasPrefix(s.path, "internal/") {
			continue // tests and what serves them may look anywhere
		}
		if _, ok := mayImport[s.room]; !ok {
			t.Errorf("%s: its folder is no room of the house; add it to mayImport with what it may import", s.path)
			continue
		}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			ours, ok := strings.CutPrefix(path, module)
			if ok && !allowed(s.room, ours) {
				t.Errorf("%s: %s may not import %s", s.path, s.room, ours)
			}
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || strings.HasPrefix(s.path, "internal/") {
			continue
		}
		for _, imp := range s.file.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			for lib, rooms := range onlyImporter {
				inside := slices.ContainsFunc(rooms, func(r string) bool { return s.room == r || strings.HasPrefix(s.room, r+"/") })
				if (path == lib || strings.HasPrefix(path, lib+"/")) && !inside && s.room != "cmd/countersignd" {
					t.Errorf("%s: only %s may import %s", s.path, strings.Join(rooms, ", "), lib)
				}
			}
		}
	}
}

func TestClientLinksNoDatabase(t *testing.T) {
	if allowed("cmd/countersign", "ledger/badgerstore") || allowed("cmd/countersign", "api") {
		t.Error("the client may import the server")
	}
}

func TestExitClockAndBackgroundStayInCmd(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || strings.HasPrefix(s.path, "cmd/") || strings.HasPrefix(s.path, "internal/") || strings.HasPrefix(s.path, "ledger/ledgertest/") || strings.HasPrefix(s.path, "policy/scenario/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && slices.Contains(onlyCmd[pkg.Name], sel.Sel.Name) {
				t.Errorf("%s: %s.%s belongs in cmd", s.path, pkg.Name, sel.Sel.Name)
			}
			return true
		})
	}
}

func TestNoPackageIsNamedForNothing(t *testing.T) {
	for _, s := range sources(t) {
		for _, part := range strings.Split(s.path, "/") {
			if slices.Contains([]string{"util", "utils", "common", "types", "models", "pkg", "helpers"}, part) {
				t.Errorf("%s: %q says nothing about what it makes", s.path, part)
			}
		}
	}
}
