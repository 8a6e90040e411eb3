package ledgertest_test

import (
	"testing"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
)

func TestMemory(t *testing.T) {
	ledgertest.RunStoreTests(t, ledgertest.StoreMaker{
		Create: func(_ testing.TB, head ledger.Head) ledger.Store { return ledgertest.NewMemory(head) },
		Reopen: func(_ testing.TB, s ledger.Store) ledger.Store { return s.(*ledgertest.Memory).Reopen() },
	})
}
