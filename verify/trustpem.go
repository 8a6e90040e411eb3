package verify

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Limits on the files that trust.yaml names, in bytes.
const (
	maxPEM         = 64 << 10
	maxTrustedRoot = 1 << 20
)

// noTransparency stands where no certificate log is asked for.
const noTransparency = "none"

// beside reads a file of the trust folder that a field names.
func (p *trustParser) beside(key string, v strictyaml.Node, limit int64) (path string, text []byte, err error) {
	name, err := v.Text()
	if err != nil {
		return "", nil, err
	}
	if name != filepath.Base(name) || name == ".." {
		return "", nil, v.Errorf("%s: %.80q is not a file of this folder", key, name)
	}
	path = filepath.Join(p.dir, name)
	if text, err = readLimited(path, limit); err != nil {
		return "", nil, v.Errorf("%s: %v", key, err)
	}
	return path, text, nil
}

func (p *trustParser) chain(v strictyaml.Node) ([]*x509.Certificate, error) {
	path, text, err := p.beside("certificates", v, maxPEM)
	if err != nil {
		return nil, err
	}
	chain, err := parseCertificates(text)
	if err != nil {
		return nil, v.Errorf("certificates: %s: %v", path, err)
	}
	return chain, nil
}

func (p *trustParser) certificateAuthority(item strictyaml.Node) error {
	var a CertificateAuthority
	asked := false
	err := item.Fields([]string{"certificates", "transparency", "issuers", "from", "until"}, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "certificates":
			a.Certificates, err = p.chain(v)
		case "transparency":
			asked = true
			if none, err := v.Text(); err != nil || none == noTransparency {
				return err
			}
			a.TransparencyLogs, err = p.publicKeys(v)
		case "issuers":
			a.Issuers, err = issuers(v)
		default:
			err = validity(&a.Validity, key, v)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !asked {
		return item.Errorf("transparency is missing: a file of the keys of certificate logs, or %s where there are none", noTransparency)
	}
	if err := a.check(); err != nil {
		return item.Errorf("%v", err)
	}
	p.trust.Authorities = append(p.trust.Authorities, a)
	return nil
}

// issuers reads a list that is not empty: without the field all are meant, and a list of
// none could be read so.
func issuers(v strictyaml.Node) ([]string, error) {
	list, err := v.Texts()
	if err == nil && len(list) == 0 {
		err = v.Errorf("issuers is empty: name some, or leave it out where all are meant")
	}
	return list, err
}

func (p *trustParser) foreignLog(item strictyaml.Node) error {
	var f ForeignLog
	err := item.Fields([]string{"name", "trustedRoot", "issuers"}, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "name":
			f.Name, err = v.Text()
		case "issuers":
			f.Issuers, err = issuers(v)
		default:
			_, f.TrustedRoot, err = p.beside(key, v, maxTrustedRoot)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, other := range p.trust.Foreign {
		if other.Name == f.Name {
			return item.Errorf("name %q is there twice", f.Name)
		}
	}
	if err := f.check(); err != nil {
		return item.Errorf("%v", err)
	}
	p.trust.Foreign = append(p.trust.Foreign, f)
	return nil
}

func (p *trustParser) publicKeys(v strictyaml.Node) ([]crypto.PublicKey, error) {
	path, text, err := p.beside("transparency", v, maxPEM)
	if err != nil {
		return nil, err
	}
	var keys []crypto.PublicKey
	err = eachBlock(text, "PUBLIC KEY", func(der []byte) error {
		key, err := x509.ParsePKIXPublicKey(der)
		keys = append(keys, key)
		return err
	})
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("has no key")
	}
	if err != nil {
		return nil, v.Errorf("transparency: %s: %v", path, err)
	}
	return keys, nil
}

// parseCertificates reads PEM blocks, and refuses everything between them.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	err := eachBlock(text, "CERTIFICATE", func(der []byte) error {
		c, err := x509.ParseCertificate(der)
		if chain = append(chain, c); len(chain) > maxChain {
			return fmt.Errorf("there are more than %d", maxChain)
		}
		return err
	})
	return chain, err
}

// eachBlock reads PEM blocks of one type, and refuses everything else.
func eachBlock(text []byte, kind string, do func(der []byte) error) error {
	n := 0
	for rest := strings.TrimSpace(string(text)); rest != ""; {
		n++
		block, after := pem.Decode([]byte(rest))
		if block == nil || block.Type != kind || len(block.Headers) > 0 || !strings.HasPrefix(rest, "-----BEGIN "+kind+"-----") {
			return fmt.Errorf("block %d is no PEM block of type %s", n, kind)
		}
		if err := do(block.Bytes); err != nil {
			return fmt.Errorf("block %d: %w", n, err)
		}
		rest = strings.TrimSpace(string(after))
	}
	return nil
}
