package verify

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Files of a trust folder. TrustFile names the others, which WriteTrust calls so.
const (
	TrustFile     = "trust.yaml"
	TimestampFile = "tsa.pem"
	WitnessFile   = "witnesses.policy"
)

// LoadTrust reads a trust folder: trust.yaml, strictly, and the certificates that
// it names. Every error names the file, the line and column, and the field.
func LoadTrust(dir string) (*Trust, error) {
	path := filepath.Join(dir, TrustFile)
	text, err := readLimited(path, strictyaml.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read trust folder: %w", err)
	}
	root, err := strictyaml.Parse(path, text)
	if err != nil {
		return nil, err
	}
	p := trustParser{dir: dir, trust: &Trust{MaxCheckpointAge: DefaultCheckpointAge}}
	if err := root.Fields(trustFields, p.field); err != nil {
		return nil, err
	}
	if err := p.trust.Check(); err != nil {
		return nil, root.Errorf("%v", err)
	}
	return p.trust, nil
}

func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > limit {
		return nil, fmt.Errorf("%s: is no file of at most %d bytes", path, limit)
	}
	return os.ReadFile(path)
}

var trustFields = []string{
	"log", "service", "timestamps", "genesis", "owners", "unsafeSingleOwner", "maxCheckpointAge",
	"console", "witnesses", "certificateAuthorities", "foreignLogs", "frozen",
}

type trustParser struct {
	dir    string
	trust  *Trust
	origin string
}

func (p *trustParser) field(key string, v strictyaml.Node) (err error) {
	t := p.trust
	switch key {
	case "log":
		if err := v.Fields([]string{"origin", "key", "from", "until"}, p.log); err != nil {
			return err
		}
		if t.Log != nil && t.Log.Origin() != p.origin {
			return v.Errorf("log: origin %q is missing or not the key's, which is %q", p.origin, t.Log.Origin())
		}
	case "service":
		return v.Fields([]string{"publicKey", "from", "until"}, p.service)
	case "timestamps":
		return v.Fields([]string{"certificates", "retired"}, p.timestamps)
	case "genesis":
		t.Genesis, err = digest(v)
	case "owners":
		t.Owners, err = v.Texts()
	case "unsafeSingleOwner":
		t.UnsafeSingleOwner, err = v.Bool()
	case "maxCheckpointAge":
		t.MaxCheckpointAge, err = v.Duration(MaxCheckpointAge)
	case "certificateAuthorities":
		return v.Items(p.certificateAuthority)
	case "foreignLogs":
		return v.Items(p.foreignLog)
	case "console":
		t.Console = new(Console)
		return v.Fields([]string{"publicKey", "relyingParty", "origins", "from", "until"}, p.console)
	case "witnesses":
		return p.witnesses(v)
	case "frozen":
		return v.Items(p.frozen)
	}
	return err
}

func digest(v strictyaml.Node) (attest.Digest, error) {
	text, err := v.Text()
	if err != nil {
		return attest.Digest{}, err
	}
	d, err := attest.ParseDigest(text)
	if err != nil {
		return attest.Digest{}, v.Errorf("genesis: %v", err)
	}
	return d, nil
}

func (p *trustParser) log(key string, v strictyaml.Node) error {
	text, err := v.Text()
	if err != nil {
		return err
	}
	switch key {
	case "origin":
		p.origin = text
	case "key":
		if p.trust.Log, err = tlog.NewVerifier(text); err != nil {
			return v.Errorf("%v", err)
		}
	default:
		return validity(&p.trust.LogValid, key, v)
	}
	return nil
}

func (p *trustParser) service(key string, v strictyaml.Node) error {
	if key != "publicKey" {
		return validity(&p.trust.ServiceValid, key, v)
	}
	text, err := v.Text()
	if err != nil {
		return err
	}
	if p.trust.Service, err = attest.ParsePublicKeyPEM([]byte(text)); err != nil {
		return v.Errorf("service: %v", err)
	}
	return nil
}

func (p *trustParser) console(key string, v strictyaml.Node) (err error) {
	c := p.trust.Console
	switch key {
	case "publicKey":
		var text string
		if text, err = v.Text(); err != nil {
			return err
		}
		if c.Key, err = attest.ParsePublicKeyPEM([]byte(text)); err != nil {
			return v.Errorf("console: %v", err)
		}
	case "relyingParty":
		c.Party.ID, err = v.Text()
	case "origins":
		c.Party.Origins, err = v.Texts()
	default:
		return validity(&c.Valid, key, v)
	}
	return err
}

func validity(into *roster.Validity, key string, v strictyaml.Node) error {
	t, err := v.Time()
	if err != nil {
		return err
	}
	if key == "from" {
		into.From = t
	} else {
		into.Until = t
	}
	if !into.Until.IsZero() && !into.From.IsZero() && into.Until.Before(into.From) {
		return v.Errorf("until is before from")
	}
	return nil
}

func (p *trustParser) witnesses(v strictyaml.Node) error {
	path, text, err := p.beside("witnesses", v, tlog.MaxPolicy)
	if err != nil {
		return err
	}
	if p.trust.Witnesses, err = tlog.ParsePolicy(text); err != nil {
		return v.Errorf("witnesses: %s: %v", path, err)
	}
	return nil
}

func (p *trustParser) timestamps(key string, v strictyaml.Node) (err error) {
	if key == "retired" {
		return v.Items(p.retired)
	}
	p.trust.Timestamps, err = p.chain(v)
	return err
}
