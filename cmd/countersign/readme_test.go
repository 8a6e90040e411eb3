package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdReadme puts the README's quick start into project/, beside the testdata that
// it reads, and gives it a free port. What it promises to print goes into
// project/promised.
func cmdReadme(ts *testscript.TestScript, _ bool, _ []string) {
	text, err := os.ReadFile(filepath.Join(sourceDir, "..", "..", "README.md"))
	ts.Check(err)
	_, rest, ok := strings.Cut(string(text), "<!-- quickstart -->\n```sh\n")
	block, rest, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		ts.Fatalf("README.md has no quick start")
	}
	_, promised, ok := strings.Cut(rest, "The last command prints:\n\n")
	if !ok {
		ts.Fatalf("README.md does not say what the quick start prints")
	}
	var lines []string
	for line := range strings.Lines(promised) {
		line, indented := strings.CutPrefix(line, "    ")
		if !indented {
			break
		}
		lines = append(lines, line)
	}
	ts.Check(os.MkdirAll(ts.MkAbs("project"), 0o755))
	testdata, err := filepath.Abs(filepath.Join(sourceDir, "..", "..", "testdata"))
	ts.Check(err)
	ts.Check(os.Symlink(testdata, ts.MkAbs("project/testdata")))
	ts.Check(os.WriteFile(ts.MkAbs("project/quickstart.sh"), []byte(block), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("project/promised"), []byte(strings.Join(lines, "")), 0o644))
	addr, err := freeAddress()
	ts.Check(err)
	ts.Setenv("COUNTERSIGN_LISTEN", addr)
	ts.Setenv("COUNTERSIGN_SERVER", "http://"+addr)
}

// cmdPrints holds the last output against promised lines: each must be there, in
// this order. "…" stands for any lines.
func cmdPrints(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: prints FILE")
	}
	out := strings.Split(ts.ReadFile("stdout"), "\n")
	for want := range strings.Lines(ts.ReadFile(args[0])) {
		want = strings.TrimSpace(want)
		if want == "…" || want == "" {
			continue
		}
		for len(out) > 0 && strings.TrimSpace(out[0]) != want {
			out = out[1:]
		}
		if len(out) == 0 {
			ts.Fatalf("promised, and not printed: %s\n%s", want, ts.ReadFile("stdout"))
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// sourceDir is this package's folder: scripts run elsewhere.
var sourceDir = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()
