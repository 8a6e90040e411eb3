package policy

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// NewPeople writes a people.yaml for a first roster. It does not check what it
// writes; ParseSet does. from is when everybody's entry and keys begin to hold.
func NewPeople(owners []string, principals []roster.Principal, from time.Time) (string, error) {
	var b strings.Builder
	b.WriteString("# Who there is. Owners are the people whose signatures put a policy in force.\n")
	fmt.Fprintf(&b, "owners: [%s]\n", strings.Join(owners, ", "))
	for _, section := range []struct {
		kind roster.Kind
		name string
	}{{roster.Person, "people"}, {roster.Agent, "agents"}, {roster.Service, "services"}} {
		started := false
		for _, p := range principals {
			if p.Kind != section.kind {
				continue
			}
			if !started {
				fmt.Fprintf(&b, "\n%s:\n", section.name)
				started = true
			}
			if err := writePrincipal(&b, p, from); err != nil {
				return "", err
			}
		}
	}
	return b.String(), nil
}

func writePrincipal(b *strings.Builder, p roster.Principal, from time.Time) error {
	since := from.UTC().Format(time.RFC3339)
	fmt.Fprintf(b, "  - id: %s\n", p.ID)
	if p.Level != "" {
		fmt.Fprintf(b, "    level: %s\n", p.Level)
	}
	if p.Operator != "" {
		fmt.Fprintf(b, "    operator: %s\n", p.Operator)
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"teams", p.Teams}, {"may", p.May}} {
		if len(list.values) > 0 {
			fmt.Fprintf(b, "    %s: [%s]\n", list.key, strings.Join(list.values, ", "))
		}
	}
	if p.Forge {
		b.WriteString("    forge: true\n")
	}
	if len(p.Hosts) > 0 {
		fmt.Fprintf(b, "    hosts: [\"%s\"]\n", strings.Join(p.Hosts, `", "`))
	}
	fmt.Fprintf(b, "    from: %s\n", since)
	if len(p.Emails) > 0 {
		fmt.Fprintf(b, "    emails: [%s]\n", `"`+strings.Join(p.Emails, `", "`)+`"`)
	}
	for i, a := range p.Accounts {
		if i == 0 {
			b.WriteString("    accounts:\n")
		}
		fmt.Fprintf(b, "      - {forge: %q, id: %q}\n", a.Forge, a.ID)
	}
	for i, k := range p.Keys {
		if i == 0 {
			b.WriteString("    keys:\n")
		}
		if err := WriteKey(b, k, from); err != nil {
			return fmt.Errorf("key of %s: %w", p.ID, err)
		}
	}
	return nil
}

// WriteKey writes a key as it stands under `keys:` of people.yaml. from is since when it
// holds, in whole seconds.
func WriteKey(b *strings.Builder, k roster.Key, from time.Time) error {
	fmt.Fprintf(b, "      - name: %s\n        from: %s\n", k.Name, from.UTC().Format(time.RFC3339))
	if !k.Until.IsZero() {
		fmt.Fprintf(b, "        until: %s\n", k.Until.UTC().Format(time.RFC3339))
	}
	if k.RegisteredWith != "" {
		fmt.Fprintf(b, "        registeredWith: %s\n", k.RegisteredWith)
	}
	key := func(indent string, spki []byte) {
		fmt.Fprintf(b, "%spublicKey: |\n", indent)
		for line := range strings.Lines(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))) {
			b.WriteString(indent + "  " + line)
		}
	}
	switch {
	case k.SSH != nil:
		fmt.Fprintf(b, "        ssh: %s\n        assurance: %s\n", k.SSH.Line(), max(k.Assurance, roster.ByKey))
	case k.Passkey != nil:
		fmt.Fprintf(b, "        assurance: %s\n", max(k.Assurance, roster.ByKey))
		fmt.Fprintf(b, "        passkey:\n          credential: %s\n", base64.RawURLEncoding.EncodeToString(k.Passkey.Credential))
		key("          ", k.Passkey.SPKI)
	default:
		pub, err := attest.ParsePublicKey(k.SPKI)
		if err != nil {
			return err
		}
		key("        ", pub.SPKI())
	}
	return nil
}
