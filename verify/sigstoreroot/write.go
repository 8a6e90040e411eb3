package sigstoreroot

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/policy/roster"
)

// Write puts sigstore.yaml into a trust folder, and beside it the certificates and
// keys that it names, so that Load reads the same Services. A file that is there is
// replaced at once; sigstore.yaml is the last, so that it never names what is missing.
func Write(dir string, s Services) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("write %s: %w", File, err)
	}
	urls := append([]string{s.URL}, s.OIDC...)
	for _, a := range s.Fulcio {
		urls = append(urls, a.URL)
	}
	for _, c := range s.CTLogs {
		urls = append(urls, c.URL)
	}
	for _, u := range urls {
		if err := checkPublic(u); err != nil {
			return fmt.Errorf("write %s: url: %w", File, err)
		}
	}
	var w fileWriter
	w.line("# Where Sigstore's clients find the services of this log. Everybody gets to read it.")
	w.line("url: %q", s.URL)
	if s.Operator != "" {
		w.line("operator: %q", s.Operator)
	}
	w.authorities(s.Fulcio)
	w.ctLogs(s.CTLogs)
	for i, u := range s.OIDC {
		if i == 0 {
			w.line("oidc:")
		}
		w.line("  - %q", u)
	}
	w.files = append(w.files, besideFile{File, []byte(w.text.String())})
	for _, f := range w.files {
		if err := replace(filepath.Join(dir, f.name), f.text); err != nil {
			return fmt.Errorf("write services: %w", err)
		}
	}
	return nil
}

type besideFile struct {
	name string
	text []byte
}

// A fileWriter collects sigstore.yaml and the files beside it.
type fileWriter struct {
	text  strings.Builder
	files []besideFile
}

func (w *fileWriter) line(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

func (w *fileWriter) authorities(list []Authority) {
	for i, a := range list {
		if i == 0 {
			w.line("fulcio:")
		}
		var chain []byte
		for _, c := range a.Chain {
			chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		w.line("  - url: %q\n    certificates: %s", a.URL, w.beside(fmt.Sprintf("fulcio-%d.pem", i+1), chain))
		w.times(a.Valid)
	}
}

func (w *fileWriter) ctLogs(list []CTLog) {
	for i, c := range list {
		if i == 0 {
			w.line("ctlogs:")
		}
		key := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: c.Key})
		w.line("  - url: %q\n    key: %s", c.URL, w.beside(fmt.Sprintf("ctlog-%d.pem", i+1), key))
		w.times(c.Valid)
	}
}

func (w *fileWriter) beside(name string, text []byte) string {
	w.files = append(w.files, besideFile{name, text})
	return name
}

func (w *fileWriter) times(v roster.Validity) {
	w.line("    from: %s", v.From.UTC().Format(time.RFC3339))
	if !v.Until.IsZero() {
		w.line("    until: %s", v.Until.UTC().Format(time.RFC3339))
	}
}

func replace(path string, text []byte) error {
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}
