package scenario

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

// Start is when every story begins. Each entry is logged a minute after the one before.
var Start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// Repository is the one that stories are about.
const Repository = "example.com/org/repo"

// keyring makes each key once, so that two tellings of a story have the same people.
type keyring struct {
	mu   sync.Mutex // guards keys
	keys map[string]*attest.PrivateKey
}

var ring = keyring{keys: make(map[string]*attest.PrivateKey)}

// Key is the private key of somebody: "alice", or "alice/phone" for another of hers.
func Key(name string) *attest.PrivateKey {
	ring.mu.Lock()
	defer ring.mu.Unlock()
	k := ring.keys[name]
	if k == nil {
		var err error
		if k, err = attest.GenerateKey(); err != nil {
			panic(err)
		}
		ring.keys[name] = k
	}
	return k
}

// One is an entry of people.yaml.
type one struct {
	section, id, rest string
	keys              []string
	until             string // of the keys
}

// cast is everybody that a story may name. Strangers are those who are not here.
var cast = []one{
	{section: "people", id: "alice", rest: "level: junior, teams: [core], emails: [alice@example.com], accounts: [{forge: example.com, id: \"1\", login: al}]", keys: []string{"alice", "alice/phone"}},
	{section: "people", id: "bob", rest: "level: mid, teams: [core], emails: [bob@example.com], accounts: [{forge: example.com, id: \"2\", login: bo}], identities: [{issuer: \"https://accounts.example.com\", subject: bob@example.com, from: 2026-01-01T00:00:00Z}]", keys: []string{"bob"}},
	{section: "people", id: "carol", rest: "level: senior, teams: [core], emails: [carol@example.com], accounts: [{forge: example.com, id: \"3\", login: ca}], identities: [{issuer: \"https://accounts.example.com\", subject: carol@example.com, from: 2026-01-01T00:00:00Z}]", keys: []string{"carol"}},
	{section: "people", id: "frank", rest: "level: mid, teams: [web], emails: [frank@example.com]", keys: []string{"frank"}},
	{section: "people", id: "dave", rest: "level: staff, teams: [core], emails: [dave@example.com]", keys: []string{"dave"}},
	{section: "people", id: "erin", rest: "level: staff, teams: [core], emails: [erin@example.com]", keys: []string{"erin"}},
	{section: "people", id: "gone", rest: "level: senior, accounts: [{forge: example.com, id: \"8\"}], until: 2026-03-02T10:30:00Z", keys: []string{"gone"}},
	{section: "people", id: "oldkey", rest: "level: senior", keys: []string{"oldkey"}, until: "2026-03-02T10:30:00Z"},
	{section: "agents", id: "claude", rest: "operator: alice, emails: [claude@agents.example.com], accounts: [{forge: example.com, id: \"9\"}]", keys: []string{"claude"}},
	{section: "agents", id: "robin", rest: "operator: bob, emails: [robin@agents.example.com]", keys: []string{"robin"}},
	{section: "agents", id: "rover", rest: "emails: [rover@agents.example.com]", keys: []string{"rover"}},
	{section: "services", id: "ci", rest: "may: [change, admission, authorship, risk, revocation]", keys: []string{"ci"}},
	{section: "services", id: "ci2", rest: "emails: [ci2@example.com], may: [change, admission, authorship, risk]", keys: []string{"ci2"}},
	{section: "services", id: "builder", rest: "may: [release, slsa-provenance, deployment, vsa], identities: [{issuer: \"" + WorkflowIssuer + "\", subject: \"" + Workflow + "\", claims: {sourceRepositoryURI: \"" + workflowSource + "\"}, from: 2026-01-01T00:00:00Z}]", keys: []string{"builder"}},
	{section: "services", id: "builder2", rest: "may: [release]", keys: []string{"builder2"}},
	{section: "services", id: "both", rest: "may: [change, admission, release]", keys: []string{"both"}},
	{section: "services", id: "gate", rest: "may: [deployment, operation]", keys: []string{"gate"}},
	{section: "services", id: "packer", rest: "may: [link]", keys: []string{"packer"}},
	{section: "services", id: "tester", rest: "may: [link]", keys: []string{"tester"}},
	{section: "services", id: "hub", rest: "forge: true, hosts: [example.com], may: [change, admission, approval, revocation, deployment]", keys: []string{"hub"}},
	{section: "services", id: "elsewhere", rest: "forge: true, hosts: [example.org], may: [change, admission, approval]", keys: []string{"elsewhere"}},
	{section: "services", id: "pager", rest: "may: [incident]", keys: []string{"pager"}},
	{section: "services", id: "analyst", rest: "may: [cohort-snapshot]", keys: []string{"analyst"}},
	{section: "services", id: "insider", rest: "may: [deployment, cohort-snapshot]", keys: []string{"insider"}},
	{section: "services", id: "forge", rest: "forge: true, emails: [forge@example.com]", keys: []string{"forge"}},
}

// people writes people.yaml. change edits the entries, for an auditor's own roster; the
// others come to the cast, or take somebody's place in it.
func people(owners string, change map[string]string, others ...one) string {
	var b strings.Builder
	fmt.Fprintf(&b, "owners: [%s]\n", owners)
	section := ""
	all := slices.DeleteFunc(slices.Clone(cast), func(p one) bool {
		return slices.ContainsFunc(others, func(o one) bool { return o.id == p.id })
	})
	for _, p := range append(slices.Clone(others), all...) {
		if change[p.id] == "drop" {
			continue
		}
		if p.section != section {
			section = p.section
			fmt.Fprintf(&b, "%s:\n", section)
		}
		fmt.Fprintf(&b, "  - id: %s\n", p.id)
		from := "2026-01-01T00:00:00Z"
		if f, ok := strings.CutPrefix(change[p.id], "from="); ok {
			from = f
		}
		fmt.Fprintf(&b, "    from: %s\n", from)
		rest := p.rest
		if may, ok := strings.CutPrefix(change[p.id], "may="); ok {
			rest = "may: [" + may + "]"
		}
		if source, ok := strings.CutPrefix(change[p.id], "source="); ok {
			rest = strings.ReplaceAll(rest, workflowSource, source)
		}
		for _, field := range splitFields(rest) {
			fmt.Fprintf(&b, "    %s\n", field)
		}
		b.WriteString("    keys:\n")
		for i, k := range p.keys {
			if to, ok := strings.CutPrefix(change[p.id], "key="); ok {
				k = to
			}
			fmt.Fprintf(&b, "      - name: k%d\n        from: 2026-01-01T00:00:00Z\n", i)
			if p.until != "" {
				fmt.Fprintf(&b, "        until: %s\n", p.until)
			}
			b.WriteString("        publicKey: |\n")
			for line := range strings.Lines(string(Key(k).Public().PEM())) {
				b.WriteString("          " + line)
			}
		}
		if p.id == "carol" {
			b.WriteString(credentials().yaml())
		}
	}
	return b.String()
}

// splitFields splits at the commas that are outside of brackets.
func splitFields(s string) []string {
	var out []string
	depth, from := 0, 0
	for i := range s {
		switch s[i] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(s[from:i]))
				from = i + 1
			}
		}
	}
	return append(out, strings.TrimSpace(s[from:]))
}
