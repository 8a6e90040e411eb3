package roster

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/policy/strictyaml"
)

var terms = Terms{
	Levels:     []string{"junior", "senior"},
	Types:      map[string]string{"change": "https://countersign.dev/change/v1", "approval": "https://countersign.dev/approval/v1", "decision": "https://countersign.dev/decision/v1"},
	Witnessed:  []string{"https://countersign.dev/approval/v1"},
	Reserved:   []string{"https://countersign.dev/decision/v1"},
	IdentityID: func(issuer, subject string) [32]byte { return sha256.Sum256([]byte(issuer + " " + subject)) },
	Claims:     []string{"sourceRepositoryRef"},
}

// pemOf is a public key as a block of YAML text, indented for the roster below.
func pemOf(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return "|\n          " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n          ")
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &k.PublicKey
}

// file is a roster of one owner, a colleague, an agent and a service.
func file(t testing.TB, alice, bob string) string {
	t.Helper()
	return `owners: [alice]
people:
  - id: alice
    level: senior
    teams: [core]
    emails: [alice@example.com, alice@old.example.com]
    accounts:
      - {forge: forge.example, id: "1", login: alice}
    keys:
      - name: laptop
        from: 2026-01-01T00:00:00Z
        until: 2026-12-31T00:00:00Z
        publicKey: ` + alice + `
    from: 2026-01-01T00:00:00Z
    identities:
      - {issuer: "https://accounts.example.com", subject: alice@example.com, from: 2026-01-01T00:00:00Z}
  - id: bob
    level: junior
    emails: [bob@example.com]
    accounts:
      - {forge: forge.example, id: "2"}
    keys:
      - from: 2026-01-01T00:00:00Z
        publicKey: ` + bob + `
    from: 2026-01-01T00:00:00Z
    until: 2026-06-30T00:00:00Z
agents:
  - id: robot
    operator: bob
    emails: [robot@example.com]
    from: 2026-01-01T00:00:00Z
services:
  - id: ci
    may: [change, "https://slsa.dev/provenance/v1"]
    forge: true
    identities:
      - {issuer: "https://token.forge.example", subject: "https://forge.example/org/app/.ci/release@refs/heads/main", claims: {sourceRepositoryRef: refs/heads/main}, from: 2026-01-01T00:00:00Z}
    from: 2026-01-01T00:00:00Z
`
}

func TestParse(t *testing.T) {
	key := newKey(t, elliptic.P256())
	r, err := Parse("people.yaml", []byte(file(t, pemOf(t, key), pemOf(t, newKey(t, elliptic.P256())))), terms)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Principals()) != 4 || len(r.Owners) != 1 || r.Owners[0] != "alice" {
		t.Errorf("%d principals, owners %v", len(r.Principals()), r.Owners)
	}
	for _, address := range []string{"alice@example.com", "ALICE@Example.COM", "alice@old.example.com"} {
		if p, ok := r.ByEmail(address); !ok || p.ID != "alice" {
			t.Errorf("%s is nobody's", address)
		}
	}
	for _, address := range []string{"", "alice", "alice@example.com ", "alice+x@example.com", "a.lice@example.com", "alice@example.com.example"} {
		if p, ok := r.ByEmail(address); ok {
			t.Errorf("%q is taken for %s", address, p.ID)
		}
	}
	alice, _ := r.Principal("alice")
	p, k, ok := r.ByKey(alice.Keys[0].ID)
	if !ok || p != alice || k.Name != "laptop" {
		t.Error("the key is not found")
	}
	if _, _, ok := r.ByKey(KeyID{}); ok {
		t.Error("a key of nobody is found")
	}
	ci, _ := r.Principal("ci")
	if !ci.MaySign("https://countersign.dev/change/v1") || !ci.MaySign("https://slsa.dev/provenance/v1") || ci.MaySign("https://countersign.dev/risk/v1") || !ci.Forge {
		t.Errorf("%+v", ci)
	}
	if p, ok := r.ByAccount("Forge.example", "1"); !ok || p != alice {
		t.Error("the account is not found")
	}
	if _, ok := r.ByAccount("forge.example", "alice"); ok {
		t.Error("a login is taken for an immutable id")
	}
	if alice.MaySign("https://countersign.dev/change/v1") {
		t.Error("may is for services")
	}
	identity := func(issuer, subject string) (*Principal, *Key, bool) {
		return r.ByKey(terms.IdentityID(issuer, subject))
	}
	if p, k, ok := identity("https://accounts.example.com", "alice@example.com"); !ok || p != alice || !k.Holds(alice.From) || k.Identity == nil {
		t.Error("the identity is not found")
	}
	const workflow = "https://forge.example/org/app/.ci/release@refs/heads/main"
	if p, k, ok := identity("https://token.forge.example", workflow); !ok || p != ci || k.Identity.Claims["sourceRepositoryRef"] != "refs/heads/main" {
		t.Error("the workflow's identity is not found, or lost its claims")
	}
	for _, subject := range []string{"Alice@example.com", "", workflow} {
		if p, _, ok := identity("https://accounts.example.com", subject); ok {
			t.Errorf("%q is taken for %s", subject, p.ID)
		}
	}
	bob, _ := r.Principal("bob")
	for day, want := range map[time.Time]bool{
		time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC): false,
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC):      true,
		time.Date(2026, 6, 30, 0, 0, 0, 0, time.UTC):     true,
		time.Date(2026, 6, 30, 0, 0, 0, 1, time.UTC):     false,
	} {
		if bob.Holds(day) != want {
			t.Errorf("bob holds at %s: %v", day, !want)
		}
	}
}

// Each row changes one thing of a roster that is accepted.
func TestParseRefuses(t *testing.T) {
	alice, bob := pemOf(t, newKey(t, elliptic.P256())), pemOf(t, newKey(t, elliptic.P256()))
	good := file(t, alice, bob)
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, why string }{
		"no owner":                     {"owners: [alice]\n", "", "at least one person"},
		"owner is nobody":              {"owners: [alice]", "owners: [carol]", `"carol" must be a person`},
		"owner is an agent":            {"owners: [alice]", "owners: [robot]", `"robot" must be a person`},
		"owner twice":                  {"owners: [alice]", "owners: [alice, alice]", "twice"},
		"unknown field":                {"    teams: [core]\n", "    team: [core]\n", `did you mean "teams"?`},
		"a person may nothing":         {"    teams: [core]\n", "    may: [change]\n", `unknown key "may"`},
		"an agent has no level":        {"    operator: bob\n", "    level: senior\n", `unknown key "level"`},
		"no id":                        {"  - id: bob\n    level: junior\n", "  - level: junior\n", "id is missing"},
		"id with a space":              {"id: bob", `id: "bob "`, "not an id"},
		"id beginning with a dash":     {"id: bob", "id: -bob", "not an id"},
		"id of another alphabet":       {"id: bob", "id: bоb", "not an id"},
		"same id, other kind":          {"- id: robot", "- id: alice", `"alice" is there twice`},
		"unknown level":                {"level: junior", "level: juniour", `did you mean "junior"?`},
		"no level":                     {"    level: junior\n", "", "level is missing"},
		"no from":                      {"    emails: [robot@example.com]\n    from: 2026-01-01T00:00:00Z\n", "    emails: [robot@example.com]\n", "since when"},
		"until before from":            {"    until: 2026-06-30T00:00:00Z", "    until: 2025-06-30T00:00:00Z", "until is before from"},
		"local time":                   {"    until: 2026-06-30T00:00:00Z", "    until: 2026-06-30T00:00:00+02:00", "not a time"},
		"address of another":           {"[bob@example.com]", "[Alice@Example.com]", "already belongs to alice"},
		"address twice":                {"[bob@example.com]", "[bob@example.com, BOB@example.com]", "this same entry"},
		"address pattern":              {"[bob@example.com]", `["*@example.com"]`, "not one e-mail address"},
		"address with a name":          {"[bob@example.com]", `["Bob <bob@example.com>"]`, "not one e-mail address"},
		"account of another":           {`{forge: forge.example, id: "2"}`, `{forge: Forge.Example, id: "1"}`, "already belongs to alice"},
		"account without its id":       {`{forge: forge.example, id: "2"}`, `{forge: forge.example, login: bob}`, "immutable id"},
		"key of another":               {bob, alice, "one key, one voice"},
		"key on another curve":         {bob, pemOf(t, newKey(t, elliptic.P384())), "only ECDSA P-256"},
		"key of another kind":          {bob, pemOf(t, ed), "only ECDSA P-256"},
		"key that is none":             {bob, `"MFkw"`, "not one PEM block"},
		"two keys in one":              {bob, bob + strings.TrimPrefix(alice, "|"), "not one PEM block"},
		"a private key":                {bob, strings.ReplaceAll(bob, "PUBLIC KEY", "PRIVATE KEY"), "not one PEM block"},
		"key without from":             {"      - from: 2026-01-01T00:00:00Z\n        publicKey", "      - publicKey", "since when does this key speak"},
		"key that ends before":         {"        until: 2026-12-31T00:00:00Z", "        until: 2025-12-31T00:00:00Z", "until is before from"},
		"identity of another":          {`{issuer: "https://token.forge.example", subject: "https://forge.example/org/app/.ci/release@refs/heads/main"`, `{issuer: "https://accounts.example.com", subject: alice@example.com`, "already belongs to alice"},
		"identity in other letters":    {`{issuer: "https://token.forge.example", subject: "https://forge.example/org/app/.ci/release@refs/heads/main"`, `{issuer: "https://accounts.example.com", subject: Alice@example.com`, "letter case does not matter"},
		"machine as a person":          {"subject: alice@example.com", `subject: "https://forge.example/org/app/.ci/x@refs/heads/main"`, "is a machine's"},
		"service account as person":    {"subject: alice@example.com", `subject: build@app.iam.gserviceaccount.com`, "is a machine's"},
		"unknown claim":                {"sourceRepositoryRef:", "sourceRef:", "sourceRef"},
		"identity pattern":             {"subject: alice@example.com", `subject: "*@example.com"`, "patterns are not allowed"},
		"identity without an issuer":   {`issuer: "https://accounts.example.com", `, "", "not the https URL"},
		"issuer without https":         {"https://accounts", "http://accounts", "not the https URL"},
		"identity without from":        {"subject: alice@example.com, from: 2026-01-01T00:00:00Z", "subject: alice@example.com", "since when"},
		"operator is nobody":           {"operator: bob", "operator: carol", "no person of this file"},
		"operator is a service":        {"operator: bob", "operator: ci", "no person of this file"},
		"service makes an approval":    {"may: [change,", "may: [approval, change,", "no service may make"},
		"approval by its full name":    {"may: [change,", `may: ["https://countersign.dev/approval/v1",`, "no service may make"},
		"service makes a decision":     {"may: [change,", "may: [decision, change,", "no service may make"},
		"hosts of no forge":            {"    forge: true\n", "    hosts: [forge.example]\n", "add forge: true"},
		"a host in capitals":           {"    forge: true\n", "    forge: true\n    hosts: [Forge.Example]\n", "no host name"},
		"a host that is a URL":         {"    forge: true\n", "    forge: true\n    hosts: [\"https://forge.example/\"]\n", "no host name"},
		"service makes an unknown":     {"may: [change,", "may: [chnage,", `did you mean "change"?`},
		"same type by both names":      {"may: [change,", `may: [change, "https://countersign.dev/change/v1",`, "twice"},
		"forge is a word":              {"forge: true", "forge: yes", "not true or false"},
		"a second list of people":      {"agents:\n", "people: []\nagents:\n", "twice"},
		"everything is an alias of it": {"owners: [alice]", "owners: &o [alice]", "anchors"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: changes nothing", name)
		}
		_, err := Parse("people.yaml", []byte(text), terms)
		var e *strictyaml.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want …%s…", name, err, c.why)
		}
	}
}

// In a roster that is read no key, address or account has two owners.
func FuzzParse(f *testing.F) {
	good := file(f, pemOf(f, newKey(f, elliptic.P256())), pemOf(f, newKey(f, elliptic.P256())))
	f.Add(good)
	f.Add(strings.ReplaceAll(good, "robot", "alice"))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("f", []byte(text), terms)
		if err != nil {
			return
		}
		keys, addresses, ids := map[KeyID]bool{}, map[string]bool{}, map[string]bool{}
		for _, p := range r.Principals() {
			if ids[p.ID] || p.From.IsZero() || p.ID == "" {
				t.Errorf("%+v", p)
			}
			ids[p.ID] = true
			for _, k := range p.Keys {
				if keys[k.ID] {
					t.Error("a key twice")
				}
				keys[k.ID] = true
			}
			for _, a := range p.Emails {
				if addresses[strings.ToLower(a)] {
					t.Error("an address twice")
				}
				addresses[strings.ToLower(a)] = true
			}
		}
		for _, o := range r.Owners {
			if p, ok := r.Principal(o); !ok || p.Kind != Person || len(p.Keys) == 0 {
				t.Errorf("owner %s", o)
			}
		}
	})
}

func TestOnlyForgesWitnessAndOnlyForTheirHosts(t *testing.T) {
	const approval = "https://countersign.dev/approval/v1"
	text := file(t, pemOf(t, newKey(t, elliptic.P256())), pemOf(t, newKey(t, elliptic.P256())))
	text = strings.Replace(text, "may: [change,", "hosts: [forge.example]\n    may: [approval, change,", 1)
	r, err := Parse("people.yaml", []byte(text), terms)
	if err != nil {
		t.Fatal(err)
	}
	ci, _ := r.Principal("ci")
	alice, _ := r.Principal("alice")
	if !ci.Witnesses("forge.example", approval) || ci.Witnesses("forge.example.org", approval) || alice.Witnesses("forge.example", approval) {
		t.Error("a forge speaks for the accounts of its hosts, and nobody else does")
	}
}
