package verify

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/policy/roster"
)

// WriteTrust writes a trust folder that LoadTrust reads as the same Trust. The
// folder is made when it is missing; a trust.yaml that is there is not replaced.
func WriteTrust(dir string, t *Trust) error {
	if err := t.Check(); err != nil {
		return fmt.Errorf("write trust folder %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write trust folder: %w", err)
	}
	for _, f := range t.files() {
		if err := writeNew(filepath.Join(dir, f.name), f.text); err != nil {
			return fmt.Errorf("write trust folder: %w", err)
		}
	}
	return nil
}

// ReplaceTrust writes a trust folder over one that is there. Each file is replaced at
// once, and trust.yaml last, so that a crash leaves the old folder or the new one; a
// file that the old one alone names stays.
func ReplaceTrust(dir string, t *Trust) error {
	if err := t.Check(); err != nil {
		return fmt.Errorf("write trust folder %s: %w", dir, err)
	}
	for _, f := range t.files() {
		path := filepath.Join(dir, f.name)
		err := os.WriteFile(path+".next", f.text, 0o644)
		if err == nil {
			err = os.Rename(path+".next", path)
		}
		if err != nil {
			return fmt.Errorf("write trust folder: %w", err)
		}
	}
	return nil
}

// A trustFile is one file of a trust folder.
type trustFile struct {
	name string
	text []byte
}

// files are the files of the folder. trust.yaml comes last: without the others it
// would not load.
func (t *Trust) files() []trustFile {
	files := []trustFile{{timestampFile(len(t.Retired)), certificatesPEM(t.Timestamps)}}
	for i, r := range t.Retired {
		files = append(files, trustFile{timestampFile(i), certificatesPEM(r.Certificates)})
	}
	for i, a := range t.Authorities {
		files = append(files, trustFile{authorityFile(i), certificatesPEM(a.Certificates)})
		if len(a.TransparencyLogs) > 0 {
			files = append(files, trustFile{certificateLogFile(i), keysPEM(a.TransparencyLogs)})
		}
	}
	for i, f := range t.Foreign {
		files = append(files, trustFile{foreignFile(i), f.TrustedRoot})
	}
	if t.Witnesses != nil {
		files = append(files, trustFile{WitnessFile, []byte(t.Witnesses.String())})
	}
	return append(files, trustFile{TrustFile, []byte(t.yaml())})
}

// timestampFile is that of an authority, counted from the first that the log had: one
// that is retired keeps its file, so a trust.yaml of before still holds.
func timestampFile(i int) string {
	if i == 0 {
		return TimestampFile
	}
	return fmt.Sprintf("tsa-%d.pem", i+1)
}

func authorityFile(i int) string      { return fmt.Sprintf("authority-%d.pem", i+1) }
func certificateLogFile(i int) string { return fmt.Sprintf("authority-%d-ctlog.pem", i+1) }
func foreignFile(i int) string        { return fmt.Sprintf("foreign-%d.json", i+1) }

func certificatesPEM(chain []*x509.Certificate) []byte {
	var text []byte
	for _, c := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

func keysPEM(keys []crypto.PublicKey) []byte {
	var text []byte
	for _, k := range keys {
		if der, err := x509.MarshalPKIXPublicKey(k); err == nil { // Check parsed each
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
		}
	}
	return text
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
	if c := t.Console; c != nil {
		line("console:\n  publicKey: |\n    %s", strings.ReplaceAll(strings.TrimSpace(string(c.Key.PEM())), "\n", "\n    "))
		if c.Party.ID != "" {
			line("  relyingParty: %q\n  origins:", c.Party.ID)
			for _, o := range c.Party.Origins {
				line("    - %q", o)
			}
		}
		writeValidity(line, c.Valid)
	}
	line("timestamps:\n  certificates: %s", timestampFile(len(t.Retired)))
	for i, r := range t.Retired {
		if i == 0 {
			line("  retired:")
		}
		line("    - certificates: %s\n      until: %s", timestampFile(i), r.Until.UTC().Format(time.RFC3339))
	}
	line("genesis: %s", t.Genesis)
	line("owners:")
	for _, o := range t.Owners {
		line("  - %q", o)
	}
	if t.UnsafeSingleOwner {
		line("unsafeSingleOwner: true")
	}
	line("maxCheckpointAge: %s", t.MaxCheckpointAge)
	if t.Witnesses != nil {
		line("witnesses: %s", WitnessFile)
	}
	if len(t.Authorities) > 0 {
		line("certificateAuthorities:")
	}
	for i, a := range t.Authorities {
		line("  - certificates: %s", authorityFile(i))
		if len(a.TransparencyLogs) > 0 {
			line("    transparency: %s", certificateLogFile(i))
		} else {
			line("    transparency: %s", noTransparency)
		}
		writeIssuers(line, a.Issuers)
		writeValidity(func(format string, args ...any) { line("  "+format, args...) }, a.Validity)
	}
	for i, f := range t.Frozen {
		if i == 0 {
			line("frozen:")
		}
		line("  - origin: %s\n    key: %s", f.Log.Origin(), f.Log.VKey())
		writeValidity(func(format string, args ...any) { line("  "+format, args...) }, f.Validity)
		line("    size: %d\n    root: %x", f.Size, f.Root[:])
	}
	if len(t.Foreign) > 0 {
		line("foreignLogs:")
	}
	for i, f := range t.Foreign {
		line("  - name: %q\n    trustedRoot: %s", f.Name, foreignFile(i))
		writeIssuers(line, f.Issuers)
	}
	return b.String()
}

func writeIssuers(line func(string, ...any), issuers []string) {
	if len(issuers) == 0 {
		return
	}
	line("    issuers:")
	for _, i := range issuers {
		line("      - %q", i)
	}
}

func writeValidity(line func(string, ...any), v roster.Validity) {
	line("  from: %s", v.From.UTC().Format(time.RFC3339))
	if !v.Until.IsZero() {
		line("  until: %s", v.Until.UTC().Format(time.RFC3339))
	}
}
