package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/countersign-dev/countersign/api/rekor"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// rekorPath is where Rekor v2's clients write.
const rekorPath = "/api/v2/log/entries"

// logEntry answers Rekor v2's POST /api/v2/log/entries: 201 with a
// TransparencyLogEntry, for what the log has already too. A log that takes no
// entries answers 405, as Rekor's does when it is frozen.
func (s *ledgerService) logEntry(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var entry []byte
	if err != nil {
		err = tooLarge("the request has more than %d bytes, or was cut off", attest.MaxRequest)
	} else {
		entry, err = s.logRekor(r.Context(), body)
	}
	if err != nil {
		s.failRekor(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(entry)
}

func (s *ledgerService) logRekor(ctx context.Context, body []byte) ([]byte, error) {
	start := s.config.Now()
	req, err := rekor.Parse(body)
	if err != nil {
		return nil, err
	}
	if req.Envelope != nil {
		text, err := req.Envelope.Marshal()
		if err != nil {
			return nil, err
		}
		results, err := s.append(ctx, [][]byte{text})
		if err != nil {
			return nil, err
		}
		s.metrics.appended(results, s.config.Now().Sub(start))
		b, err := attest.ParseBundle(results[0].Bundle)
		if err != nil {
			return nil, err
		}
		return b.TransparencyLogEntry()
	}
	r, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	logged, refusal := r.verifier.AcceptHash(*req.Hash, start)
	if refusal != nil {
		return nil, &refusedBundle{0, 1, refusal}
	}
	done, err := s.ledger.Append(ctx, []ledger.Entry{entryOf(*logged)})
	if err != nil {
		return nil, err
	}
	s.metrics.appended([]*countersignv1.AppendResult{{Duplicate: done[0].Duplicate}}, s.config.Now().Sub(start))
	b := attest.Bundle{Leaf: done[0].Record.Leaf, Receipt: done[0].Receipt}
	return b.TransparencyLogEntry()
}

// failRekor is failPlain in the form of Rekor's errors (google.rpc.Status), which its
// clients show.
func (s *Server) failRekor(w http.ResponseWriter, r *http.Request, err error) {
	p := describe(err)
	s.note(r.Context(), p, err)
	status := p.httpStatus()
	if errors.Is(err, ledger.ErrReadOnly) {
		status = http.StatusMethodNotAllowed
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"code": int(p.code), "message": string(p.kind) + ": " + p.message, "details": []any{}})
}
