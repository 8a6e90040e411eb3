package verify_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
	"github.com/sigstore/sigstore-go/pkg/root"
)

func TestATrustFolderReadsAsItWasWritten(t *testing.T) {
	w := newWorld(t)
	w.trust.LogValid.Until = start.AddDate(10, 0, 0)
	w.trust.Owners, w.trust.UnsafeSingleOwner = []string{"olga"}, true
	w.trust.Authorities, w.trust.Foreign = publicGood(t)
	own, err := scenario.NewAuthority(epoch)
	must(t, err)
	w.trust.Authorities = append(w.trust.Authorities, own.Trusted())
	w.trust.Authorities[1].Issuers, w.trust.Foreign[0].Issuers = []string{scenario.Issuer}, []string{scenario.WorkflowIssuer, scenario.Issuer}
	w.trust.Console = &verify.Console{Key: w.key("console").Public(), Valid: w.trust.LogValid, Party: scenario.Party}
	dir := filepath.Join(t.TempDir(), "trust")
	must(t, verify.WriteTrust(dir, w.trust))
	got, err := verify.LoadTrust(dir)
	must(t, err)
	again := t.TempDir()
	must(t, verify.WriteTrust(again, got))
	names, err := os.ReadDir(dir)
	must(t, err)
	if len(names) != 6 {
		t.Errorf("%d files", len(names))
	}
	for _, file := range names {
		name := file.Name()
		a, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		b, err := os.ReadFile(filepath.Join(again, name))
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s reads as\n%s\nand was\n%s", name, b, a)
		}
	}
	if got.MaxCheckpointAge != w.trust.MaxCheckpointAge || got.Genesis != w.trust.Genesis || !got.UnsafeSingleOwner ||
		len(got.Authorities) != 2 || len(got.Authorities[0].TransparencyLogs) != 2 || got.Foreign[0].Name != "public-good" {
		t.Errorf("read as %+v", got)
	}
	if err := verify.WriteTrust(dir, w.trust); err == nil {
		t.Error("a trust folder was replaced")
	}
}

// What else a trust folder may name, and how it is refused; the twin loads.
func TestAuthoritiesAndForeignLogs(t *testing.T) {
	w := newWorld(t)
	w.trust.Authorities, w.trust.Foreign = publicGood(t)
	dir := t.TempDir()
	must(t, verify.WriteTrust(dir, w.trust))
	good, err := os.ReadFile(filepath.Join(dir, verify.TrustFile))
	must(t, err)
	_, err = verify.LoadTrust(dir)
	must(t, err)
	for _, c := range [][3]string{
		{"    transparency: authority-1-ctlog.pem\n", "", "transparency is missing"},
		{"transparency: authority-1-ctlog.pem", "transparency: tsa.pem", "no PEM block of type PUBLIC KEY"},
		{"certificates: authority-1.pem", "certificates: tsa.pem", "is no authority's"},
		{"certificates: authority-1.pem", "certificates: ../authority-1.pem", "is not a file of this folder"},
		{"trustedRoot: foreign-1.json", "trustedRoot: tsa.pem", "trustedRoot"},
		{"trustedRoot: foreign-1.json", "trustedRoot: foreign-1.json\n  - name: \"public-good\"\n    trustedRoot: foreign-1.json", "there twice"},
		{"trustedRoot: foreign-1.json", "trustedRoot: foreign-1.json\n    issuers: []", "issuers is empty"},
		{"certificates: authority-1.pem", "certificates: authority-1.pem\n    issuers: [\"\"]", "is empty"},
		{"foreignLogs:", "foreignLog:", "foreignLog"},
	} {
		text := strings.Replace(string(good), c[0], c[1], 1)
		if text == string(good) {
			t.Fatalf("%q edits nothing in\n%s", c[0], good)
		}
		must(t, os.WriteFile(filepath.Join(dir, verify.TrustFile), []byte(text), 0o600))
		if _, err := verify.LoadTrust(dir); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%q: %v", c[1], err)
		}
	}
}

// publicGood is Sigstore's public instance: its authority with its certificate logs,
// and the instance as a foreign log.
func publicGood(t testing.TB) ([]verify.CertificateAuthority, []verify.ForeignLog) {
	t.Helper()
	text, err := os.ReadFile("testdata/public-good.json")
	must(t, err)
	trusted, err := root.NewTrustedRootFromJSON(text)
	must(t, err)
	var a verify.CertificateAuthority
	for _, ca := range trusted.FulcioCertificateAuthorities() {
		f := ca.(*root.FulcioCertificateAuthority)
		a.Certificates = append(slices.Clone(f.Intermediates), f.Root)
		a.From = f.ValidityPeriodStart.Truncate(time.Second) // the last is the one in use
	}
	for _, id := range slices.Sorted(maps.Keys(trusted.CTLogs())) {
		a.TransparencyLogs = append(a.TransparencyLogs, trusted.CTLogs()[id].PublicKey)
	}
	return []verify.CertificateAuthority{a}, []verify.ForeignLog{{Name: "public-good", TrustedRoot: text}}
}

// Rows G12 and H13, INV9: each refusal names the file and the field.
func TestTrustFoldersThatAreRefused(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	must(t, verify.WriteTrust(dir, w.trust))
	good, err := os.ReadFile(filepath.Join(dir, verify.TrustFile))
	must(t, err)
	pem, err := os.ReadFile(filepath.Join(dir, verify.TimestampFile))
	must(t, err)
	certificate := string(pem[:bytes.Index(pem[1:], []byte("-----BEGIN"))+1])
	other := newWorld(t)
	from := "  from: " + epoch.Format("2006-01-02T15:04:05Z07:00") + "\n"
	vkey := w.trust.Log.VKey()
	for _, c := range []struct {
		name, file, old, new string
		names                []string
	}{
		{"G12 no start of the log's key", verify.TrustFile, vkey + "\n" + from, vkey + "\n", []string{"trust.yaml", "log", "from"}},
		{"a console with the service's key", verify.TrustFile, "timestamps:\n", "console:\n  from: 2026-01-01T00:00:00Z\n  publicKey: |\n    " + strings.ReplaceAll(strings.TrimSpace(string(w.trust.Service.PEM())), "\n", "\n    ") + "\ntimestamps:\n", []string{"trust.yaml", "console", "one key, one voice"}},
		{"a console without a key", verify.TrustFile, "timestamps:\n", "console:\n  from: 2026-01-01T00:00:00Z\ntimestamps:\n", []string{"trust.yaml", "console", "publicKey"}},
		{"a console on plain http", verify.TrustFile, "timestamps:\n", "console:\n  from: 2026-01-01T00:00:00Z\n  relyingParty: example.com\n  origins: [\"http://example.com\"]\n  publicKey: |\n    " + strings.ReplaceAll(strings.TrimSpace(string(other.key("console").Public().PEM())), "\n", "\n    ") + "\ntimestamps:\n", []string{"trust.yaml", "console", "https"}},
		{"G12 no start of the service's key", verify.TrustFile, from + "timestamps", "timestamps", []string{"trust.yaml", "service", "from"}},
		{"an unknown field", verify.TrustFile, "genesis:", "genesys:", []string{"trust.yaml:", "genesys", "genesis"}},
		{"a field twice", verify.TrustFile, "genesis:", "owners: [x, y]\ngenesis:", []string{"trust.yaml:", "owners"}},
		{"no log", verify.TrustFile, "  key: " + vkey + "\n", "", []string{"trust.yaml", "log", "key"}},
		{"another origin", verify.TrustFile, "origin: log.example", "origin: other.example", []string{"trust.yaml:", "origin"}},
		{"a key that is not its hash", verify.TrustFile, vkey, strings.Replace(vkey, "+", "+0", 1), []string{"trust.yaml:", "log key"}},
		{"one owner", verify.TrustFile, "  - \"oscar\"\n", "", []string{"trust.yaml", "owners", "unsafeSingleOwner"}},
		{"an owner twice", verify.TrustFile, `"oscar"`, `"olga"`, []string{"trust.yaml:", "olga"}},
		{"a short genesis", verify.TrustFile, "genesis: ", "genesis: 0", []string{"trust.yaml:", "genesis"}},
		{"no service", verify.TrustFile, "publicKey: |", "publicKey: nonsense #", []string{"trust.yaml:"}},
		{"no age", verify.TrustFile, "maxCheckpointAge: 1h0m0s", "maxCheckpointAge: 0s", []string{"trust.yaml:", "0s"}},
		{"a file elsewhere", verify.TrustFile, "tsa.pem", "../tsa.pem", []string{"trust.yaml:", "certificates"}},
		{"a file that is not there", verify.TrustFile, "tsa.pem", "none.pem", []string{"trust.yaml:", "none.pem"}},
		{"no certificate", verify.TimestampFile, string(pem), "", []string{"trust.yaml", "timestamps"}},
		{"only the root", verify.TimestampFile, certificate, "", []string{"trust.yaml", "timestamps", "CA"}},
		{"a chain that is none", verify.TimestampFile, certificate, certificatesOf(t, other)[0], []string{"trust.yaml", "timestamps", "signed"}},
		{"words between certificates", verify.TimestampFile, certificate, certificate + "words\n", []string{"tsa.pem", "block 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{verify.TrustFile: string(good), verify.TimestampFile: string(pem)}
			files[c.file] = strings.Replace(files[c.file], c.old, c.new, 1)
			if files[verify.TrustFile]+files[verify.TimestampFile] == string(good)+string(pem) {
				t.Fatalf("the case edits nothing:\n%s", good)
			}
			dir := t.TempDir()
			for name, text := range files {
				must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			}
			_, err := verify.LoadTrust(dir)
			if err == nil {
				t.Fatal("the folder was believed")
			}
			for _, part := range c.names {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %s", err, part)
				}
			}
		})
	}
	if _, err := verify.LoadTrust(t.TempDir()); err == nil || !strings.Contains(err.Error(), verify.TrustFile) {
		t.Errorf("an empty folder: %v", err)
	}
}

func certificatesOf(t *testing.T, w *world) []string {
	t.Helper()
	dir := t.TempDir()
	must(t, verify.WriteTrust(dir, w.trust))
	pem, err := os.ReadFile(filepath.Join(dir, verify.TimestampFile))
	must(t, err)
	return strings.SplitAfter(string(pem), "-----END CERTIFICATE-----\n")
}

// One key, one voice.
func TestOneKeyInTwoRolesIsRefused(t *testing.T) {
	w := newWorld(t)
	w.trust.Service = w.key("bob").Public()
	if _, err := verify.New(verify.Config{Trust: w.trust, Roster: w.roster}); err == nil || !strings.Contains(err.Error(), "bob") {
		t.Errorf("a person's key signs verdicts: %v", err)
	}
}

func FuzzLoadTrust(f *testing.F) {
	w := newWorld(f)
	dir := f.TempDir()
	must(f, verify.WriteTrust(dir, w.trust))
	good, err := os.ReadFile(filepath.Join(dir, verify.TrustFile))
	must(f, err)
	f.Add(good)
	f.Fuzz(func(t *testing.T, text []byte) {
		must(t, os.WriteFile(filepath.Join(dir, verify.TrustFile), text, 0o600))
		trust, err := verify.LoadTrust(dir)
		if err == nil && trust.Check() != nil {
			t.Error("what loads does not hold")
		}
	})
}
