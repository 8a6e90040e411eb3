package roster

import (
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// A passkey that was registered with another key proves no more than that one.
func TestAssuranceDoesNotRiseByRegistering(t *testing.T) {
	passkey := func(n byte, name, rest string) string {
		pem := strings.ReplaceAll(pemOf(t, newKey(t, elliptic.P256())), "\n", "\n  ")
		return fmt.Sprintf("      - name: %s\n        from: 2026-01-01T00:00:00Z\n        %s\n        passkey:\n          credential: %s\n          publicKey: %s\n",
			name, rest, base64.RawURLEncoding.EncodeToString(append(make([]byte, 16), n)), pem)
	}
	ssh := "      - name: disk\n        from: 2026-01-01T00:00:00Z\n        ssh: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBtuFvHrl30mRdQ3lXfMyDIPDDX7BkqwhRFrkpMNI5Aw\n"
	for name, c := range map[string]struct{ keys, want string }{
		"as much as the other":    {ssh + passkey(1, "phone", "registeredWith: disk\n        assurance: key"), ""},
		"no assurance is a key's": {ssh + passkey(1, "phone", "registeredWith: disk"), ""},
		"more than the other":     {ssh + passkey(1, "phone", "registeredWith: disk\n        assurance: presence"), `it was registered with "disk", which has key`},
		"owners vouch":            {ssh + passkey(1, "phone", "assurance: verified"), ""},
		"a chain":                 {ssh + passkey(1, "phone", "assurance: presence") + passkey(2, "tablet", "registeredWith: phone\n        assurance: presence"), ""},
		"a chain that rises":      {ssh + passkey(1, "phone", "assurance: presence") + passkey(2, "tablet", "registeredWith: phone\n        assurance: verified"), `which has presence`},
		"with itself":             {ssh + passkey(1, "phone", "registeredWith: phone"), `no key of alice above this one is called "phone"`},
		"with nobody's":           {ssh + passkey(1, "phone", "registeredWith: tablet"), `no key of alice above this one`},
	} {
		text := "owners: [alice]\npeople:\n  - id: alice\n    level: senior\n    from: 2026-01-01T00:00:00Z\n    keys:\n" + c.keys
		_, err := Parse("people.yaml", []byte(text), terms)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
