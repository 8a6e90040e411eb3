package sigstoreroot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// File is the file of a trust folder that has the services. Everybody may read it, so
// it has no credentials in its URLs.
const File = "sigstore.yaml"

// ErrNoServices says that a trust folder has no sigstore.yaml.
var ErrNoServices = errors.New("the trust folder has no " + File)

// Load reads sigstore.yaml of a trust folder, strictly. The error is ErrNoServices
// when there is none.
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
	var s Services
	err = root.Fields([]string{"url", "operator", "fulcio", "oidc"}, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "url":
			s.URL, err = v.Text()
		case "operator":
			s.Operator, err = v.Text()
		case "fulcio":
			s.Fulcio, err = v.Texts()
		case "oidc":
			s.OIDC, err = v.Texts()
		}
		return err
	})
	if err != nil {
		return Services{}, err
	}
	if err := errors.Join(s.check(), s.checkPublic()); err != nil {
		return Services{}, root.Errorf("%v", err)
	}
	return s, nil
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

// Write puts sigstore.yaml into a trust folder, so that Load reads the same Services.
// One that is there is replaced at once.
func Write(dir string, s Services) error {
	if err := errors.Join(s.check(), s.checkPublic()); err != nil {
		return fmt.Errorf("write %s: %w", File, err)
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Where Sigstore's clients find the services of this log. Everybody may read it.")
	line("url: %q", s.URL)
	if s.Operator != "" {
		line("operator: %q", s.Operator)
	}
	list := func(key string, urls []string) {
		for i, u := range urls {
			if i == 0 {
				line("%s:", key)
			}
			line("  - %q", u)
		}
	}
	list("fulcio", s.Fulcio)
	list("oidc", s.OIDC)
	path := filepath.Join(dir, File)
	if err := os.WriteFile(path+".next", []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write services: %w", err)
	}
	return os.Rename(path+".next", path)
}
