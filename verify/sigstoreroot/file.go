package sigstoreroot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// File is the file of a trust folder that has the services. It is published to
// everybody, so it has no credentials in its URLs.
const File = "sigstore.yaml"

// ErrNoServices says that a trust folder has no sigstore.yaml.
var ErrNoServices = errors.New("the trust folder has no " + File)

// Load reads sigstore.yaml of a trust folder, strictly, and the files that it names
// there. The error is ErrNoServices when there is none.
func Load(dir string) (Services, error) {
	path := filepath.Join(dir, File)
	text, err := readFile(path, strictyaml.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Services{}, ErrNoServices
	}
	if err != nil {
		return Services{}, fmt.Errorf("read services: %w", err)
	}
	root, err := strictyaml.Parse(path, text)
	if err != nil {
		return Services{}, err
	}
	p := fileParser{dir: dir}
	if err := root.Fields([]string{"url", "operator", "fulcio", "ctlogs", "oidc"}, p.field); err != nil {
		return Services{}, err
	}
	if err := p.services.check(); err != nil {
		return Services{}, root.Errorf("%v", err)
	}
	return p.services, nil
}

// LoadOr is Load, and where a trust folder has no sigstore.yaml the services are the
// log's alone, at https:// and its origin.
func LoadOr(dir, origin string) (Services, error) {
	s, err := Load(dir)
	if errors.Is(err, ErrNoServices) {
		return Services{URL: "https://" + origin}, nil
	}
	return s, err
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return text, err
}

type fileParser struct {
	dir      string
	services Services
}

func (p *fileParser) field(key string, v strictyaml.Node) (err error) {
	s := &p.services
	switch key {
	case "url":
		s.URL, err = publicURL(v)
	case "operator":
		s.Operator, err = v.Text()
	case "oidc":
		err = v.Items(func(item strictyaml.Node) error {
			u, err := publicURL(item)
			s.OIDC = append(s.OIDC, u)
			return err
		})
	case "fulcio":
		err = v.Items(func(item strictyaml.Node) error {
			a, err := p.authority(item)
			s.Fulcio = append(s.Fulcio, a)
			return err
		})
	case "ctlogs":
		err = v.Items(func(item strictyaml.Node) error {
			c, err := p.ctLog(item)
			s.CTLogs = append(s.CTLogs, c)
			return err
		})
	}
	return err
}

func checkPublic(text string) error {
	if u, err := url.Parse(text); err == nil && u.User != nil {
		return errors.New("it has credentials, and everybody reads " + File)
	}
	return nil
}

// publicURL refuses credentials: everybody gets to read this file.
func publicURL(v strictyaml.Node) (string, error) {
	text, err := v.Text()
	if err != nil {
		return "", err
	}
	if err := checkPublic(text); err != nil {
		return "", v.Errorf("url: %v", err)
	}
	return text, nil
}

func (p *fileParser) authority(v strictyaml.Node) (a Authority, err error) {
	err = v.Fields([]string{"url", "certificates", "from", "until"}, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "url":
			a.URL, err = publicURL(v)
		case "certificates":
			var text []byte
			if text, err = p.beside(v); err != nil {
				return err
			}
			if a.Chain, err = ParseChain(text); err != nil {
				return v.Errorf("certificates: %v", err)
			}
		default:
			err = validity(&a.Valid, key, v)
		}
		return err
	})
	return a, err
}

func (p *fileParser) ctLog(v strictyaml.Node) (c CTLog, err error) {
	err = v.Fields([]string{"url", "key", "from", "until"}, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "url":
			c.URL, err = publicURL(v)
		case "key":
			var text []byte
			if text, err = p.beside(v); err != nil {
				return err
			}
			if c.Key, err = parseKey(text); err != nil {
				return v.Errorf("key: %v", err)
			}
		default:
			err = validity(&c.Valid, key, v)
		}
		return err
	})
	return c, err
}

func validity(into *roster.Validity, key string, v strictyaml.Node) (err error) {
	at := &into.From
	if key == "until" {
		at = &into.Until
	}
	if *at, err = v.Time(); err != nil {
		return err
	}
	if !into.From.IsZero() && !into.Until.IsZero() && into.Until.Before(into.From) {
		return v.Errorf("until is before from")
	}
	return nil
}

// beside reads a file of the same folder, by its name.
func (p *fileParser) beside(v strictyaml.Node) ([]byte, error) {
	name, err := v.Text()
	if err != nil {
		return nil, err
	}
	if name != filepath.Base(name) || name == ".." || name == "." {
		return nil, v.Errorf("%.80q is not a file of this folder", name)
	}
	text, err := readFile(filepath.Join(p.dir, name), maxPEM)
	if err != nil {
		return nil, v.Errorf("%v", err)
	}
	return text, nil
}
