package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

type enrolling struct {
	imported, assurance, with string
	write                     bool
}

func newPolicyPerson(a *app) *cobra.Command {
	var f enrolling
	c := &cobra.Command{
		Use:   "person DIR [ID] --import FILE",
		Short: "Put keys that people have into people.yaml",
		Long: `Read keys from an authorized_keys file, an allowed-signers file, or what the console's
page wrote for a passkey, and show what belongs under somebody's keys in DIR/people.yaml;
with --write, put it there. Without ID, the names in an allowed-signers file say whose keys
they are: addresses of people.yaml, or roster ids.

Nobody is asked whether the keys are theirs: you say so. They have assurance key, or what
--assurance says that you vouch for: presence and verified are for hardware whose making
you have seen. Nothing counts until the owners publish the set.`,
		Example: `  countersign policy person next bob --import bob_authorized_keys
  countersign policy person next --import .git/allowed_signers --write
  countersign policy person next dora --import passkey.yaml --assurance verified --write`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			id := ""
			if len(args) == 2 {
				id = args[1]
			}
			return a.policyPerson(args[0], id, f)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) != 1 {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
			set, err := policy.ReadFolder(args[0])
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return principals(set, roster.Person), cobra.ShellCompDirectiveNoFileComp
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.imported, "import", "", "authorized_keys, allowed-signers file, or what the page wrote for a passkey (needed)")
	fl.StringVar(&f.assurance, "assurance", "key", "what you vouch for: key, presence or verified")
	fl.StringVar(&f.with, "registered-with", "", "name of the key that its owner showed you; the new one proves no more")
	fl.BoolVar(&f.write, "write", false, "put them into DIR/people.yaml")
	_ = c.RegisterFlagCompletionFunc("assurance", cobra.FixedCompletions(roster.Assurances[1:], cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (a *app) policyPerson(dir, id string, f enrolling) error {
	set, err := policy.ReadFolder(dir)
	if err != nil {
		return err
	}
	if f.imported == "" {
		return wrong("--import is needed: the file that the keys are in")
	}
	least := roster.ParseAssurance(f.assurance)
	if least < roster.ByKey {
		return wrong("--assurance %q: one of key, presence and verified", f.assurance)
	}
	text, err := readFile(f.imported, 1<<20)
	if err != nil {
		return err
	}
	keys, err := a.keysIn(set, id, text, f)
	if err != nil {
		return err
	}
	files, now, total := set.Files(), a.now().UTC().Truncate(time.Second), 0
	out := map[string][]string{}
	for _, who := range set.Roster.Principals() {
		mine := keys[who.ID]
		if len(mine) == 0 {
			continue
		}
		for i := range mine {
			mine[i].Name = freeName(who, mine[:i], mine[i].Name)
			out[who.ID] = append(out[who.ID], mine[i].Name)
		}
		total += len(mine)
		if files, _, err = policy.Enrol(files, who.ID, mine, now); err != nil {
			return refused("%v", err)
		}
		if !f.write && !a.json() {
			if err := a.showStanza(who.ID, mine, now); err != nil {
				return err
			}
		}
	}
	if total == 0 {
		return refused("%s holds no key that is not on the roster", f.imported)
	}
	if f.write {
		path := filepath.Join(dir, "people.yaml")
		if err := os.WriteFile(path, []byte(files.People), 0o644); err != nil {
			return wrong("%v", err)
		}
		a.notef("%s: %s written\n", path, plural(total, "key"))
	}
	if a.json() {
		return a.writeJSON(map[string]any{"written": f.write, "keys": out})
	}
	return nil
}

func (a *app) showStanza(id string, keys []roster.Key, now time.Time) error {
	var b strings.Builder
	for _, k := range keys {
		since := now
		if !k.From.IsZero() {
			since = k.From
		}
		if err := policy.WriteKey(&b, k, since); err != nil {
			return err
		}
	}
	a.printf("# under keys: of %s\n%s", id, b.String())
	return nil
}

// keysIn reads keys by whose they are.
func (a *app) keysIn(set *policy.Set, id string, text []byte, f enrolling) (map[string][]roster.Key, error) {
	if id != "" {
		if p, ok := set.Roster.Principal(id); !ok || p.Kind != roster.Person {
			return nil, refused("people.yaml has no person %q", id)
		}
	}
	if isStanza(text) {
		return passkeysIn(id, text, f)
	}
	listed, err := credential.ParseSSHFile(text, attest.SSHNamespace, time.Local)
	if err != nil {
		return nil, wrong("%s: %v", f.imported, err)
	}
	out := make(map[string][]roster.Key)
	for _, l := range listed {
		who, why := a.ownerOf(set, id, &l)
		if why == "" && l.Key != nil {
			if p, _, known := set.Roster.ByKey(l.Key.ID()); known {
				why = "is on the roster already, as a key of " + p.ID
			}
		}
		if why != "" {
			a.notef("%s:%d: left out: %s\n", f.imported, l.Line, why)
			continue
		}
		k := roster.Key{SSH: l.Key, Name: keyName(l.Comment), Assurance: roster.ParseAssurance(f.assurance), RegisteredWith: f.with}
		k.From, k.Until = l.From, l.Until
		if !l.Key.Hardware() || l.NoTouch {
			k.Assurance = roster.ByKey
		}
		out[who] = append(out[who], k)
	}
	return out, nil
}

// ownerOf is the person whose key it is, or why there is none.
func (a *app) ownerOf(set *policy.Set, id string, l *credential.Listed) (who, why string) {
	switch {
	case l.Skip != "":
		return "", l.Skip
	case id != "":
		return id, ""
	case len(l.Principals) == 0:
		return "", "it does not say whose key it is; name the person: countersign policy person DIR ID"
	}
	for _, name := range l.Principals {
		p, ok := set.Roster.ByEmail(name)
		if !ok {
			p, ok = set.Roster.Principal(name)
		}
		if ok && p.Kind == roster.Person {
			return p.ID, ""
		}
	}
	return "", fmt.Sprintf("nobody in people.yaml has the address %s", printable(strings.Join(l.Principals, ", "), 100))
}

// isStanza reports whether a text is what the console's page writes for a passkey.
func isStanza(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return strings.HasPrefix(line, "- name:")
		}
	}
	return false
}

// passkeysIn reads stanzas strictly, as people.yaml is read.
func passkeysIn(id string, text []byte, f enrolling) (map[string][]roster.Key, error) {
	if id == "" {
		return nil, wrong("%s does not say whose passkey it is; name the person", f.imported)
	}
	whole := "owners: [somebody]\npeople:\n  - id: somebody\n    level: any\n    from: 2020-01-01T00:00:00Z\n    keys:\n" + string(text)
	r, err := roster.Parse(f.imported, []byte(whole), roster.Terms{Levels: []string{"any"}})
	if err != nil {
		return nil, wrong("%v", err)
	}
	p, _ := r.Principal("somebody")
	keys := slices.Clone(p.Keys)
	for i := range keys {
		if keys[i].Passkey == nil {
			return nil, wrong("%s: %s is no passkey", f.imported, keys[i].Name)
		}
		keys[i].Assurance, keys[i].RegisteredWith = roster.ParseAssurance(f.assurance), f.with
	}
	return map[string][]roster.Key{id: keys}, nil
}

// keyName makes a name of a comment.
func keyName(comment string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@", r) {
			return r
		}
		return '-'
	}, comment)
	if name = strings.Trim(name[:min(len(name), 40)], "-@"); name == "" {
		return "ssh"
	}
	return name
}

// freeName is a name that no other key of somebody has.
func freeName(p *roster.Principal, others []roster.Key, name string) string {
	taken := func(n string) bool {
		has := func(k roster.Key) bool { return k.Name == n }
		return slices.ContainsFunc(p.Keys, has) || slices.ContainsFunc(others, has)
	}
	free := name
	for n := 2; taken(free); n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}
