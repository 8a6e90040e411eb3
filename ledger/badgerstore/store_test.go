package badgerstore

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
)

// testOptions are those of a store in a folder of its own.
func testOptions(t testing.TB) Options {
	t.Helper()
	return Options{
		Dir:         filepath.Join(t.TempDir(), "log"),
		SegmentSize: 64 << 10, // so that tests see many
		Verifier:    ledgertest.Signer().Verifier(),
		Log:         slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func newStore(t testing.TB, o Options, head ledger.Head) *Store {
	t.Helper()
	if err := Create(o, head); err != nil {
		t.Fatal(err)
	}
	return reopen(t, o)
}

func reopen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	ledgertest.RunStoreTests(t, ledgertest.StoreMaker{
		Create: func(t testing.TB, head ledger.Head) ledger.Store { return newStore(t, testOptions(t), head) },
		Reopen: func(t testing.TB, s ledger.Store) ledger.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return reopen(t, s.(*Store).options)
		},
	})
}

// A store that was killed is one whose files nobody closed. The lock and
// Badger's own are given up by hand, because this process lives on.
func TestKilledStore(t *testing.T) {
	ledgertest.RunStoreTests(t, ledgertest.StoreMaker{
		Create: func(t testing.TB, head ledger.Head) ledger.Store { return newStore(t, testOptions(t), head) },
		Reopen: func(t testing.TB, s ledger.Store) ledger.Store {
			o := s.(*Store).options
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			o.layout().distrust()
			return reopen(t, o)
		},
	})
}
