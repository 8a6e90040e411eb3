package roster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

var keyFields = []string{"name", "publicKey", "ssh", "passkey", "assurance", "registeredWith", "from", "until"}

func (p *parser) keys(v strictyaml.Node, pr *Principal) error {
	return v.Items(func(item strictyaml.Node) error {
		var k Key
		kinds := 0
		err := item.Fields(keyFields, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "name":
				k.Name, err = f.Text()
			case "publicKey":
				kinds++
				k.SPKI, err = publicKey(f)
			case "ssh":
				kinds++
				k.SSH, err = sshKey(f)
			case "passkey":
				kinds++
				k.Passkey, err = passkey(f)
			case "assurance":
				var name string
				name, err = f.OneOf("assurance", Assurances[ByKey-1:])
				k.Assurance = ParseAssurance(name)
			case "registeredWith":
				k.RegisteredWith, err = f.Text()
			case "from":
				k.From, err = f.Time()
			case "until":
				k.Until, err = f.Time()
			}
			return err
		})
		if err != nil {
			return err
		}
		switch {
		case kinds != 1:
			return item.Errorf("a key needs exactly one of publicKey, ssh and passkey")
		case k.SPKI == nil && pr.Kind != Person:
			return item.Errorf("%s: SSH keys and passkeys sign approvals, which only people give", pr.ID)
		case k.From.IsZero():
			return item.Errorf("from is missing: since when does this key speak?")
		case !k.Until.IsZero() && k.Until.Before(k.From):
			return item.Errorf("until is before from")
		}
		if err := k.assure(item); err != nil {
			return err
		}
		if err := k.registered(item, pr); err != nil {
			return err
		}
		return p.enter(item, pr, k)
	})
}

// assure fills in the assurance, which is that of a key where the file names none, and
// refuses more than the kind of key can prove.
func (k *Key) assure(item strictyaml.Node) error {
	most := ByKey
	if k.Passkey != nil || k.SSH != nil && k.SSH.Hardware() {
		most = Verified
	}
	if k.Assurance == 0 {
		k.Assurance = ByKey
	}
	if k.Assurance > most {
		return item.Errorf("assurance %s: such a key proves no more than %s", k.Assurance, most)
	}
	return nil
}

// registered refuses a key that proves more than the one that it was registered with: who
// has that could have made this. More takes owners who vouch by themselves.
func (k *Key) registered(item strictyaml.Node, pr *Principal) error {
	if k.RegisteredWith == "" {
		return nil
	}
	i := slices.IndexFunc(pr.Keys, func(other Key) bool { return other.Name == k.RegisteredWith })
	switch {
	case i < 0:
		return item.Errorf("registeredWith: no key of %s above this one is called %q", pr.ID, k.RegisteredWith)
	case k.Assurance > pr.Keys[i].Assurance:
		return item.Errorf("assurance %s: it was registered with %q, which has %s; owners who saw the hardware leave registeredWith out", k.Assurance, k.RegisteredWith, pr.Keys[i].Assurance)
	}
	return nil
}

// enter takes a key in under its id.
func (p *parser) enter(item strictyaml.Node, pr *Principal, k Key) error {
	switch {
	case k.SSH != nil:
		k.ID = k.SSH.ID()
	case k.Passkey != nil:
		k.ID = credential.PasskeyID(k.Passkey.Credential)
	default:
		k.ID = sha256.Sum256(k.SPKI)
	}
	if other, twice := p.roster.byKey[k.ID]; twice {
		return item.Errorf("this key already belongs to %s: one key, one voice", nameOf(other.principal, pr))
	}
	pr.Keys = append(pr.Keys, k)
	own := k
	p.roster.byKey[k.ID] = keyOwner{principal: pr, key: &own}
	return nil
}

func publicKey(v strictyaml.Node) ([]byte, error) {
	text, err := v.Text()
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, v.Errorf("is not one PEM block of type PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, v.Errorf("is no public key: %v", err)
	}
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, v.Errorf("is %T; only ECDSA P-256 keys are accepted", key)
	}
	canonical, err := x509.MarshalPKIXPublicKey(ec)
	if err != nil || string(canonical) != string(block.Bytes) {
		return nil, v.Errorf("is not in canonical form")
	}
	return canonical, nil
}

// sshKey reads a line as a .pub file has it.
func sshKey(v strictyaml.Node) (*credential.SSHKey, error) {
	text, err := v.Text()
	if err != nil {
		return nil, err
	}
	k, _, err := credential.ParseSSHLine(strings.TrimSpace(text))
	if err != nil {
		return nil, v.Errorf("%v", err)
	}
	return k, nil
}

func passkey(v strictyaml.Node) (*Passkey, error) {
	var k Passkey
	err := v.Fields([]string{"credential", "publicKey"}, func(key string, f strictyaml.Node) error {
		text, err := f.Text()
		if err != nil {
			return err
		}
		if key == "credential" {
			k.Credential, err = base64.RawURLEncoding.Strict().DecodeString(text)
			if err != nil || len(k.Credential) < 16 || len(k.Credential) > 1023 {
				return f.Errorf("%.80q is no credential id: base64url without padding, of 16 to 1,023 bytes", text)
			}
			return nil
		}
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
			return f.Errorf("is not one PEM block of type PUBLIC KEY")
		}
		if _, err := credential.ParsePasskeyKey(block.Bytes); err != nil {
			return f.Errorf("%v", err)
		}
		k.SPKI = block.Bytes
		return nil
	})
	if err == nil && (k.Credential == nil || k.SPKI == nil) {
		err = v.Errorf("a passkey needs its credential and its publicKey")
	}
	return &k, err
}
