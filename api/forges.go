package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/api/forge"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// forgePrefix is below which forges deliver, each to the id of its connection.
const forgePrefix = "/forge/"

// deliver takes a webhook. What it says is on disk when the answer is 202, and looked at
// later: forges give up on who does not answer within seconds.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			err = tooLarge("the delivery has more than %d bytes", large.Limit)
		} else {
			err = malformed("the delivery ends early: %v", err)
		}
		s.failPlain(w, r, err)
		return
	}
	receipt, err := s.config.Forges.Receive(r.PathValue("forge"), r.Header, body)
	if err != nil {
		s.failPlain(w, r, rejected(err))
		return
	}
	status := http.StatusOK
	if receipt.Status == forge.Queued {
		status = http.StatusAccepted
	}
	writeJSON(w, status, receipt)
}

// rejected says why a delivery is not taken, as the other routes would.
func rejected(err error) error {
	var r *forge.Rejection
	if !errors.As(err, &r) {
		return err
	}
	switch r.Reason {
	case forge.Unknown:
		return notFound("%s", r.Why)
	case forge.Unauthenticated:
		return &badRequest{kindUnauthenticated, r.Why}
	case forge.TooLarge:
		return tooLarge("%s", r.Why)
	case forge.Foreign:
		return &badRequest{verify.WrongScope, r.Why}
	case forge.Replayed:
		return &badRequest{kindReplayed, r.Why}
	case forge.Full:
		return errOverloaded
	}
	return malformed("%s", r.Why)
}

// Forges is the ledger as forge connections see it.
func (s *Server) Forges() forge.Ledger {
	return &forgeLedger{ledgerService: s.appends, sent: make(map[sending][]byte)}
}

// forgeLedger remembers what it signed until the log has answered: while witnesses are
// missing the log keeps an entry that it does not show yet, and another signature over
// the same statement would be another one.
type forgeLedger struct {
	*ledgerService
	mu   sync.Mutex // guards sent
	sent map[sending][]byte
}

// sending is a statement on its way.
type sending struct {
	key    attest.KeyID
	digest attest.Digest
}

// sign returns the bundle of a statement, the same one until it is settled.
func (f *forgeLedger) sign(payload []byte, key *attest.PrivateKey) (sending, []byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	on := sending{key.Public().ID(), attest.DigestOf(payload)}
	if text := f.sent[on]; text != nil {
		return on, text, nil
	}
	b, err := attest.SignPayload(payload, key)
	if err != nil {
		return on, nil, err
	}
	text, err := b.Marshal()
	f.sent[on] = text
	return on, text, err
}

func (f *forgeLedger) settled(on sending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sent, on)
}

// Roster implements forge.Ledger.
func (f *forgeLedger) Roster(ctx context.Context) (*roster.Roster, error) {
	now, err := f.now(ctx)
	if err != nil {
		return nil, err
	}
	return now.set(f.config.Now()).Roster, nil
}

// Log implements forge.Ledger. A signature is never the same twice, so the log is asked
// for the statement first.
func (f *forgeLedger) Log(ctx context.Context, st *attest.Statement, key *attest.PrivateKey) (uint64, bool, error) {
	payload, err := st.Marshal()
	if err != nil {
		return 0, false, &forge.RefusedError{Err: err}
	}
	known, err := f.logged(ctx, key.Public().ID(), attest.DigestOf(payload))
	if err != nil || known >= 0 {
		return uint64(max(known, 0)), false, err
	}
	on, text, err := f.sign(payload, key)
	if err != nil {
		return 0, false, err
	}
	results, err := f.append(ctx, [][]byte{text})
	if err != nil {
		if p := describe(err); p.code != connect.CodeUnavailable && p.code != connect.CodeInternal && p.code != connect.CodeCanceled {
			f.settled(on)
			err = &forge.RefusedError{Err: err}
		}
		return 0, false, err
	}
	f.settled(on)
	return results[0].Index, !results[0].Duplicate, nil
}

// Approvals implements forge.Ledger.
func (f *forgeLedger) Approvals(ctx context.Context, repository, change string, key attest.KeyID) ([]*attest.Statement, error) {
	var out []*attest.Statement
	err := f.each(ctx, attest.ChangeKey(repository, change), key, func(st *attest.Statement) {
		if _, ok := st.Predicate.(*attest.Approval); ok {
			out = append(out, st)
		}
	})
	return out, err
}

// Admitted implements forge.Ledger.
func (f *forgeLedger) Admitted(ctx context.Context, repository, commit string, key attest.KeyID) (bool, error) {
	found := false
	err := f.each(ctx, attest.SubjectKey("gitCommit", commit), key, func(st *attest.Statement) {
		a, ok := st.Predicate.(*attest.Admission)
		found = found || ok && a.Repository == repository
	})
	return found, err
}

// each reads what a key has logged under a search key, in log order.
func (f *forgeLedger) each(ctx context.Context, under string, key attest.KeyID, yield func(*attest.Statement)) error {
	for q := (ledger.Query{Key: under, Limit: ledger.MaxPage}); ; {
		found, err := f.ledger.Search(ctx, q)
		if err != nil {
			return err
		}
		for _, index := range found {
			r, err := f.ledger.Record(ctx, index)
			if err != nil {
				return err
			}
			q.From = index + 1
			if !slices.Contains(r.Keys, attest.SignerKey(key)) {
				continue
			}
			b, err := attest.ParseBundle(r.Body)
			if err != nil {
				continue // a hash without its statement
			}
			if st, err := attest.ParseStatement(b.Payload); err == nil {
				yield(st)
			}
		}
		if len(found) < q.Limit {
			return nil
		}
	}
}
