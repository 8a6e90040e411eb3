package verify

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Files of a trust folder. TrustFile names the second, which WriteTrust calls so.
const (
	TrustFile     = "trust.yaml"
	TimestampFile = "tsa.pem"
)

const maxPEM = 64 << 10 // bytes of a file of certificates

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

var trustFields = []string{"log", "service", "timestamps", "genesis", "owners", "unsafeSingleOwner", "maxCheckpointAge"}

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
		return v.Fields([]string{"certificates"}, p.certificates)
	case "genesis":
		t.Genesis, err = digest(v)
	case "owners":
		t.Owners, err = v.Texts()
	case "unsafeSingleOwner":
		t.UnsafeSingleOwner, err = v.Bool()
	case "maxCheckpointAge":
		t.MaxCheckpointAge, err = v.Duration(MaxCheckpointAge)
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

func (p *trustParser) certificates(_ string, v strictyaml.Node) error {
	name, err := v.Text()
	if err != nil {
		return err
	}
	if name != filepath.Base(name) || name == ".." {
		return v.Errorf("certificates: %.80q is not a file of this folder", name)
	}
	path := filepath.Join(p.dir, name)
	text, err := readLimited(path, maxPEM)
	if err != nil {
		return v.Errorf("certificates: %v", err)
	}
	if p.trust.Timestamps, err = parseCertificates(text); err != nil {
		return v.Errorf("certificates: %s: %v", path, err)
	}
	return nil
}

// parseCertificates reads PEM blocks, and refuses everything between them.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := strings.TrimSpace(string(text)); rest != ""; {
		block, after := pem.Decode([]byte(rest))
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || !strings.HasPrefix(rest, "-----BEGIN CERTIFICATE-----") {
			return nil, fmt.Errorf("block %d is no PEM block of type CERTIFICATE", len(chain)+1)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		if chain = append(chain, c); len(chain) > maxChain {
			return nil, fmt.Errorf("has more than %d certificates", maxChain)
		}
		rest = strings.TrimSpace(string(after))
	}
	return chain, nil
}

// WriteTrust writes a trust folder that LoadTrust reads as the same Trust. The
// folder is made when it is missing; a trust.yaml that is there is not replaced.
func WriteTrust(dir string, t *Trust) error {
	if err := t.Check(); err != nil {
		return fmt.Errorf("write trust folder %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write trust folder: %w", err)
	}
	var certificates []byte
	for _, c := range t.Timestamps {
		certificates = append(certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	// The certificates come first: a trust.yaml without them would not load.
	for _, f := range []struct {
		name string
		text []byte
	}{{TimestampFile, certificates}, {TrustFile, []byte(t.yaml())}} {
		if err := writeNew(filepath.Join(dir, f.name), f.text); err != nil {
			return fmt.Errorf("write trust folder: %w", err)
		}
	}
	return nil
}

func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func (t *Trust) yaml() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Who is believed. Keep this folder where nobody under verification can change it.")
	line("log:\n  origin: %s\n  key: %s", t.Log.Origin(), t.Log.VKey())
	writeValidity(line, t.LogValid)
	line("service:\n  publicKey: |\n    %s", strings.ReplaceAll(strings.TrimSpace(string(t.Service.PEM())), "\n", "\n    "))
	writeValidity(line, t.ServiceValid)
	line("timestamps:\n  certificates: %s", TimestampFile)
	line("genesis: %s", t.Genesis)
	line("owners:")
	for _, o := range t.Owners {
		line("  - %q", o)
	}
	if t.UnsafeSingleOwner {
		line("unsafeSingleOwner: true")
	}
	line("maxCheckpointAge: %s", t.MaxCheckpointAge)
	return b.String()
}

func writeValidity(line func(string, ...any), v roster.Validity) {
	line("  from: %s", v.From.UTC().Format(time.RFC3339))
	if !v.Until.IsZero() {
		line("  until: %s", v.Until.UTC().Format(time.RFC3339))
	}
}
