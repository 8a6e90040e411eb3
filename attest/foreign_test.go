package attest_test

import (
	"os"
	"testing"

	"github.com/countersign-dev/countersign/attest"
)

func FuzzParseForeignBundle(f *testing.F) {
	for _, name := range []string{"sigstore-js-1.3.0.sigstore.json", "sigstore-js-2.0.0.sigstore.json"} {
		text, err := os.ReadFile("../verify/testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := attest.ParseForeignBundle(text)
		if err != nil {
			return
		}
		if c.Key.Identity() == nil || attest.CarriedBy(c.Statement.Predicate) != nil {
			t.Errorf("carries %T of %v", c.Statement.Predicate, c.Key.Identity())
		}
		if _, err := attest.NewImport(text); err != nil {
			t.Errorf("is read, and cannot be imported: %v", err)
		}
	})
}
