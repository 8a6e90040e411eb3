package api

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// Approve logs an approval that carries its reviewer's own signature.
func (s *ledgerService) Approve(ctx context.Context, req *connect.Request[countersignv1.ApproveRequest]) (*connect.Response[countersignv1.ApproveResponse], error) {
	answer, err := s.approve(ctx, req.Msg.Statement)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return connect.NewResponse(answer), nil
}

func (s *ledgerService) approve(ctx context.Context, payload []byte) (*countersignv1.ApproveResponse, error) {
	if s.config.Console == nil {
		return nil, notFound("this log has no console; its trust folder names none")
	}
	st, err := attest.ParseStatement(payload)
	if err != nil {
		return nil, err
	}
	a, ok := st.Predicate.(*attest.Approval)
	if !ok || a.Assertion == nil {
		return nil, malformed("statement: is no approval with an assertion; what is signed with a key for statements is appended")
	}
	if written, err := st.Marshal(); err != nil || !bytes.Equal(written, payload) {
		return nil, malformed("statement: is not in the form in which approvals are written")
	}
	b, err := attest.Sign(st, s.config.Console)
	if err != nil {
		return nil, err
	}
	text, err := b.Marshal()
	if err != nil {
		return nil, err
	}
	now, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	accepted, refusal := now.verifier.Accept(ctx, text, s.config.Now())
	if refusal != nil {
		return nil, &refusedBundle{0, 1, refusal}
	}
	known, done, err := s.authenticators.check(ctx, s.Server, attest.KeyID(accepted.Signer), a.Assertion, accepted)
	if err != nil {
		return nil, err
	}
	defer done()
	answer := &countersignv1.ApproveResponse{Assurance: accepted.Assurance.String()}
	if known >= 0 { // a retry, around which another signature would stand
		answer.Result, err = s.again(ctx, uint64(known))
		return answer, err
	}
	results, err := s.append(ctx, [][]byte{text})
	if err != nil {
		return nil, err
	}
	s.authenticators.seen(attest.KeyID(accepted.Signer), a.Assertion.Counter())
	answer.Result = results[0]
	return answer, nil
}

// authenticators remembers the largest counter of each authenticator. One that does not grow
// is a second copy of a key that should exist once (WebAuthn Level 3, section 6.1.1).
type authenticators struct {
	mu   sync.Mutex // guards last, and is held while an approval is logged
	last map[attest.KeyID]uint32
}

// check refuses a counter that went back, and finds the entry of a statement that was
// logged before; -1 when there is none. The caller calls done when it is logged.
func (c *authenticators) check(ctx context.Context, s *Server, id attest.KeyID, a *attest.Assertion, accepted *verify.Accepted) (known int64, done func(), err error) {
	c.mu.Lock()
	defer func() {
		if err != nil {
			c.mu.Unlock()
		}
	}()
	if known, err = s.logged(ctx, id, accepted.Digest); err != nil || known >= 0 {
		return known, c.mu.Unlock, err
	}
	last, ok := c.last[id]
	if !ok {
		if last, err = s.lastCounter(ctx, id); err != nil {
			return -1, nil, err
		}
	}
	if n := a.Counter(); n > 0 && n <= last || n == 0 && last > 0 {
		return -1, nil, &refusedBundle{0, 1, &verify.Refusal{
			Kind: verify.UntrustedKey, Check: "signer", Digest: accepted.Digest, PredicateType: attest.TypeApproval,
			Why: fmt.Sprintf("the authenticator says that it made %d signatures, and said %d before: there is a copy of it; revoke the key", n, last),
		}}
	}
	return -1, c.mu.Unlock, nil
}

func (c *authenticators) seen(id attest.KeyID, n uint32) {
	if c.last == nil {
		c.last = make(map[attest.KeyID]uint32)
	}
	c.last[id] = n
}

// logged finds the entry of a statement by its signer; -1 when there is none.
func (s *Server) logged(ctx context.Context, signer attest.KeyID, digest attest.Digest) (int64, error) {
	found, err := s.ledger.Search(ctx, ledger.Query{Key: attest.StatementKey(digest), Limit: 100})
	if err != nil {
		return -1, err
	}
	for _, index := range found {
		r, err := s.ledger.Record(ctx, index)
		if err != nil {
			return -1, err
		}
		for _, key := range r.Keys {
			if key == attest.SignerKey(signer) {
				return int64(index), nil
			}
		}
	}
	return -1, nil
}

// lastCounter reads what an authenticator said last, in the log.
func (s *Server) lastCounter(ctx context.Context, id attest.KeyID) (last uint32, err error) {
	found, err := s.ledger.Search(ctx, ledger.Query{Key: attest.SignerKey(id), Limit: ledger.MaxPage})
	if err != nil {
		return 0, err
	}
	for _, index := range found {
		r, err := s.ledger.Record(ctx, index)
		if err != nil {
			return 0, err
		}
		b, err := attest.ParseBundle(r.Body)
		if err != nil {
			continue // a hash without its statement
		}
		if st, err := attest.ParseStatement(b.Payload); err == nil {
			if a, ok := st.Predicate.(*attest.Approval); ok && a.Assertion != nil {
				last = max(last, a.Assertion.Counter())
			}
		}
	}
	return last, nil
}
