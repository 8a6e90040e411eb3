package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// The names of a set's files.
const (
	policyFile  = "policy.yaml"
	peopleFile  = "people.yaml"
	domainsFile = "domains.yaml"
	layoutsDir  = "layouts"
)

// ErrInvalid says that a policy set cannot be used. Errors of parsing wrap it.
var ErrInvalid = errors.New("policy set is invalid")

// ReadFolder reads the policy set of a folder.
func ReadFolder(dir string) (*Set, error) {
	read := func(name string) (string, error) {
		st, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%w: %s has no %s; run: countersign policy init %s", ErrInvalid, dir, name, dir)
		}
		if err != nil {
			return "", err
		}
		if st.Size() > strictyaml.MaxFile {
			return "", fmt.Errorf("%w: %s has %d bytes; the limit is %d", ErrInvalid, filepath.Join(dir, name), st.Size(), strictyaml.MaxFile)
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		return string(b), err
	}
	var f attest.PolicyFiles
	var err error
	if f.Policy, err = read(policyFile); err != nil {
		return nil, err
	}
	if f.People, err = read(peopleFile); err != nil {
		return nil, err
	}
	if f.Domains, err = read(domainsFile); err != nil {
		return nil, err
	}
	if f.Layouts, err = readLayouts(dir, read); err != nil {
		return nil, err
	}
	return ParseSet(f)
}

// ParseSet reads a policy set strictly and checks its files against each other.
// Errors wrap ErrInvalid and name file, line and column.
func ParseSet(files attest.PolicyFiles) (*Set, error) {
	s := &Set{files: files, digest: digestOf(files), signs: gitfacts.DefaultSigns(), SnapshotAge: DefaultSnapshotAge, Changes: Changes{Delay: DefaultDelay}}
	if err := s.parse(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return s, nil
}

// digestOf covers all files: SHA-256 over a tag and, for each file, the lengths of name
// and content as 8 big-endian bytes before each. Layouts come last, by name.
func digestOf(f attest.PolicyFiles) attest.Digest {
	h := sha256.New()
	h.Write([]byte("countersign policy set v1\n"))
	parts := []string{policyFile, f.Policy, peopleFile, f.People, domainsFile, f.Domains}
	for _, name := range slices.Sorted(maps.Keys(f.Layouts)) {
		parts = append(parts, layoutsDir+"/"+name+".yaml", f.Layouts[name])
	}
	for _, part := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return attest.Digest(h.Sum(nil))
}

func (s *Set) parse() error {
	root, err := strictyaml.Parse(policyFile, []byte(s.files.Policy))
	if err != nil {
		return err
	}
	var rules, budgets strictyaml.Node
	hasRules, hasBudgets := false, false
	var late []func() error // what needs people and rules
	known := []string{"name", "version", "levels", "tiers", "environments", "validFor", "baselines", "budgets", "snapshots", "changes", "signs", "rules", "exceptions", "breakGlass"}
	err = root.Fields(known, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "name":
			s.Name, err = v.Text()
		case "version":
			s.Version, err = v.Int(1, 1<<31-1)
		case "levels":
			s.Levels, err = words(v)
		case "tiers":
			s.Tiers, err = words(v)
		case "environments":
			err = s.parseEnvironments(v)
		case "validFor":
			s.ValidFor, err = v.Duration(24 * time.Hour)
		case "baselines":
			err = s.parseBaselines(v)
		case "budgets":
			budgets, hasBudgets = v, true // after domains
		case "snapshots":
			err = v.Fields([]string{"maxAge"}, func(_ string, f strictyaml.Node) (err error) {
				s.SnapshotAge, err = f.Duration(maxSnapshotAge)
				return err
			})
		case "changes":
			err = s.parseChanges(v)
		case "signs":
			err = s.parseSigns(v)
		case "rules":
			rules, hasRules = v, true // after levels and tiers
		case "exceptions":
			late = append(late, func() error { return s.parseExceptions(v) })
		case "breakGlass":
			late = append(late, func() error { return s.parseBreakGlass(v) })
		}
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case s.Name == "" || s.Version == 0:
		return root.Errorf("name and version are needed")
	case len(s.Levels) == 0 || len(s.Tiers) == 0:
		return root.Errorf("levels and tiers are needed, lowest first")
	case len(s.Environments) == 0:
		return root.Errorf("environments: at least one is needed; what is not named here is refused")
	case s.ValidFor == 0:
		return root.Errorf("validFor is needed: how long does a verdict hold?")
	case !hasRules:
		return root.Errorf("rules are needed; an empty policy allows nothing")
	}
	for _, b := range s.Baselines {
		if _, ok := s.Environment(b.Environment); !ok {
			return root.Errorf("baselines: environment %q is unknown", b.Environment)
		}
	}
	if err := s.parsePeople(root); err != nil {
		return err
	}
	if n := len(s.Roster.Owners); s.Changes.Approvals > n {
		return root.Errorf("changes: %d owners must sign, and there are %d: nobody could ever change this policy", s.Changes.Approvals, n)
	}
	if s.Domains, err = parseDomains(s.files.Domains, s.Tiers); err != nil {
		return err
	}
	if hasBudgets {
		if err := s.parseBudgets(budgets); err != nil {
			return err
		}
	}
	if err := s.parseLayouts(); err != nil {
		return err
	}
	if err := s.parseRules(rules); err != nil {
		return err
	}
	for _, parse := range late {
		if err := parse(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) parseChanges(v strictyaml.Node) error {
	c := &s.Changes
	err := v.Fields([]string{"delay", "approvals", "maxException", "exceptionDelay"}, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "delay":
			c.Delay, err = f.Duration(maxDelay)
		case "approvals":
			c.Approvals, err = f.Int(2, maxCount)
		case "maxException":
			c.MaxException, err = f.Duration(maxException)
		case "exceptionDelay":
			c.ExceptionDelay, err = f.Duration(maxDelay)
		}
		return err
	})
	if err == nil && c.ExceptionDelay > c.Delay {
		err = v.Errorf("exceptionDelay is longer than delay: an exception would wait longer than the rule's end")
	}
	return err
}

func words(v strictyaml.Node) ([]string, error) {
	list, err := v.Texts()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || len(list) > 100 {
		return nil, v.Errorf("needs 1 to 100 words")
	}
	for _, w := range list {
		if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || w[0] >= '0' && w[0] <= '9' {
			return nil, v.Errorf("%.40q: words are of a-z, 0-9 and _, starting with a letter", w)
		}
	}
	return list, nil
}

func (s *Set) parseEnvironments(v strictyaml.Node) error {
	return v.Items(func(item strictyaml.Node) error {
		e := Environment{Mode: Enforced}
		err := item.Fields([]string{"name", "approvals", "gates", "mode"}, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "name":
				e.Name, err = f.Text()
			case "approvals":
				e.Approvals, err = timing(f)
			case "gates":
				e.Gates, err = f.Texts()
			case "mode":
				var mode string
				mode, err = f.OneOf("gate mode", []string{string(Enforced), string(Audited), string(CachedPass)})
				e.Mode = GateMode(mode)
			}
			return err
		})
		if err != nil {
			return err
		}
		if e.Name == "" || e.Approvals == "" {
			return item.Errorf("an environment needs a name, and approvals: beforeMerge or beforeRelease")
		}
		if _, twice := s.Environment(e.Name); twice {
			return item.Errorf("environment %q is there twice", e.Name)
		}
		s.Environments = append(s.Environments, e)
		return nil
	})
}

func timing(v strictyaml.Node) (Timing, error) {
	t, err := v.OneOf("timing", []string{string(BeforeMerge), string(BeforeRelease)})
	return Timing(t), err
}

func (s *Set) parseBaselines(v strictyaml.Node) error {
	return v.Items(func(item strictyaml.Node) error {
		var b Baseline
		err := item.Fields([]string{"repository", "environment", "commit", "reason"}, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "repository":
				b.Repository, err = f.Text()
			case "environment":
				b.Environment, err = f.Text()
			case "commit":
				b.Commit, err = f.Text()
			case "reason":
				b.Reason, err = f.Text()
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := attest.ParseRepository(b.Repository); err != nil {
			return item.Errorf("%v", err)
		}
		if n := len(b.Commit); n != 40 && n != 64 || strings.Trim(b.Commit, "0123456789abcdef") != "" {
			return item.Errorf("commit %.80q is not a full commit id", b.Commit)
		}
		if b.Environment == "" || b.Reason == "" {
			return item.Errorf("a baseline needs an environment and a reason")
		}
		s.Baselines = append(s.Baselines, b)
		return nil
	})
}

func (s *Set) parsePeople(root strictyaml.Node) error {
	var err error
	s.Roster, err = roster.Parse(peopleFile, []byte(s.files.People), roster.Terms{
		Levels: s.Levels, Types: attest.ShortTypes,
		Witnessed:  []string{attest.TypeApproval},
		Reserved:   []string{attest.TypePolicy, attest.TypeFreeze, attest.TypeBreakGlass, attest.TypeGap, attest.TypeDeepDive, attest.TypeAgentPermissions, attest.TypeDecision, attest.TypeAttachment, attest.TypeImport},
		IdentityID: func(issuer, subject string) [32]byte { return attest.IdentityID(issuer, subject) },
		Claims:     attest.ClaimNames(),
	})
	if err != nil {
		return err
	}
	for _, e := range s.Environments {
		for _, g := range e.Gates {
			if p, ok := s.Roster.Principal(g); !ok || p.Kind != roster.Service {
				return root.Errorf("environments: gate %q of %s is no service of %s", g, e.Name, peopleFile)
			}
		}
	}
	return nil
}

// Environment returns the environment of this name.
func (s *Set) Environment(name string) (Environment, bool) {
	for _, e := range s.Environments {
		if e.Name == name {
			return e, true
		}
	}
	return Environment{}, false
}

// BaselinesOf lists the commits where the judged history of a repository and
// environment may begin.
func (s *Set) BaselinesOf(repository, environment string) []string {
	var out []string
	for _, b := range s.Baselines {
		if b.Repository == repository && b.Environment == environment {
			out = append(out, b.Commit)
		}
	}
	return out
}
