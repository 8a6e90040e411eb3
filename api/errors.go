package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// This file is the one place where an error becomes a status and a message for
// somebody outside. What an error says beyond that goes to the log, with the
// request's id.

// Kinds of the service itself; those of evidence and verdicts are verify's and policy's.
const (
	kindUnauthenticated verify.Kind = "UNAUTHENTICATED"
	kindNotFound        verify.Kind = "NOT_FOUND"
	kindUnattached      verify.Kind = "UNATTACHED"
	kindReplayed        verify.Kind = "REPLAYED"
	kindOverloaded      verify.Kind = "OVERLOADED"
	kindReadOnly        verify.Kind = "READ_ONLY"
	kindUnavailable     verify.Kind = "UNAVAILABLE"
	kindCorrupt         verify.Kind = "CORRUPT"
	kindCanceled        verify.Kind = "CANCELED"
	kindInternal        verify.Kind = "INTERNAL"
)

// retryAfter is how many seconds a client should wait after a 503.
const retryAfter = 1

// A problem is an error as outsiders see it.
type problem struct {
	code    connect.Code
	kind    verify.Kind
	check   string // the check that refused, where one did
	item    int    // the bundle of the request that is to blame, from 0
	message string
	ours    bool // not the caller's fault: the cause is logged as an error
}

// badRequest is an error about what the caller sent.
type badRequest struct {
	kind    verify.Kind
	message string
}

func (e *badRequest) Error() string { return e.message }

func malformed(format string, args ...any) error {
	return &badRequest{verify.Malformed, fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &badRequest{verify.TooLarge, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &badRequest{kindNotFound, fmt.Sprintf(format, args...)}
}

// errOverloaded: the server has as much in hand as it takes.
var errOverloaded = fmt.Errorf("the server is busy: %w", ledger.ErrOverloaded)

// errStopping: the server is about to end.
var errStopping = fmt.Errorf("the server stops: %w", ledger.ErrClosed)

// mirrorError is an append to a server that only mirrors the log of another.
type mirrorError struct{ primary string }

func (e *mirrorError) Error() string {
	return fmt.Sprintf("this is a mirror, which takes no entries; send them to the log at %s", e.primary)
}

func (e *mirrorError) Unwrap() error { return ledger.ErrReadOnly }

// refusedBundle is a bundle of an Append that is not taken.
type refusedBundle struct {
	item, of int
	refusal  *verify.Refusal
}

func (e *refusedBundle) Error() string {
	return fmt.Sprintf("bundle %d of %d: %v", e.item+1, e.of, e.refusal)
}

// codeOf is the status of a kind. What is too large gets 413, whatever else is
// wrong with what was sent 400.
func codeOf(kind verify.Kind) connect.Code {
	switch kind {
	case verify.TooLarge:
		return connect.CodeResourceExhausted
	case kindNotFound:
		return connect.CodeNotFound
	case kindUnauthenticated:
		return connect.CodeUnauthenticated
	case kindReplayed:
		return connect.CodeAlreadyExists
	}
	return connect.CodeInvalidArgument
}

// codeOfRefusal is the status of a bundle that is not taken: 403 where it is in
// order, and its signer not permitted.
func codeOfRefusal(r *verify.Refusal) connect.Code {
	switch r.Kind {
	case verify.UntrustedKey, verify.KeyTime:
		return connect.CodePermissionDenied
	case verify.WrongScope:
		if r.Check == "signer" {
			return connect.CodePermissionDenied
		}
	}
	return codeOf(r.Kind)
}

// describe says what an outsider may know of an error.
func describe(err error) problem {
	var (
		bad     *badRequest
		bundle  *refusedBundle
		field   *attest.FieldError
		limit   *verify.LimitError
		corrupt *verify.CorruptError
		wire    *connect.Error
		mirror  *mirrorError
	)
	switch {
	case errors.As(err, &bad):
		return problem{code: codeOf(bad.kind), kind: bad.kind, message: bad.message}
	case errors.As(err, &bundle):
		r := bundle.refusal
		return problem{code: codeOfRefusal(r), kind: r.Kind, check: r.Check, item: bundle.item, message: bundle.Error()}
	case errors.As(err, &field):
		kind := verify.Kind(field.Fault)
		return problem{code: codeOf(kind), kind: kind, message: field.Error()}
	case errors.As(err, &mirror):
		return problem{code: connect.CodeUnavailable, kind: kindReadOnly, message: mirror.Error()}
	case errors.As(err, &limit):
		return problem{code: connect.CodeResourceExhausted, kind: verify.TooLarge, message: limit.Error()}
	case errors.As(err, &wire):
		return problem{code: wire.Code(), kind: kindOfCode(wire.Code()), message: wire.Message()}
	case errors.As(err, &corrupt):
		return problem{code: connect.CodeUnavailable, kind: kindCorrupt, ours: true, message: "the log contradicts itself; its operator has to look at it"}
	}
	return describeLedger(err)
}

func describeLedger(err error) problem {
	unavailable := func(kind verify.Kind, message string) problem {
		return problem{code: connect.CodeUnavailable, kind: kind, ours: true, message: message}
	}
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return problem{code: connect.CodeNotFound, kind: kindNotFound, message: "the log has no such entry, tile or checkpoint"}
	case errors.Is(err, ledger.ErrTooLarge):
		return problem{code: connect.CodeResourceExhausted, kind: verify.TooLarge, message: "this is more than one call may hold; send fewer bundles at a time"}
	case errors.Is(err, ledger.ErrInvalid):
		return problem{code: connect.CodeInvalidArgument, kind: verify.Malformed, message: "the log cannot hold this: " + err.Error()}
	case errors.Is(err, ledger.ErrOverloaded):
		return unavailable(kindOverloaded, "the server has as much in hand as it takes; nothing was stored, try again")
	case errors.Is(err, ledger.ErrWitnessQuorum):
		return unavailable(verify.WitnessQuorum, "too few witnesses have cosigned the log in time; submit again later: what was stored keeps its place, and is answered as a duplicate")
	case errors.Is(err, errFrozen):
		return unavailable(kindReadOnly, "this log is frozen: another one takes entries now; nothing was stored, and what is here can be read and proven")
	case errors.Is(err, ledger.ErrReadOnly):
		return unavailable(kindReadOnly, "the log takes no entries now (its operator has to look at the free disk space); nothing was stored")
	case errors.Is(err, ledger.ErrCorrupt), errors.Is(err, ledger.ErrRolledBack):
		return unavailable(kindCorrupt, "the log contradicts itself; its operator has to look at it")
	case errors.Is(err, ledger.ErrClosed):
		return unavailable(kindUnavailable, "the log stops; submit again later: what was stored is answered as a duplicate")
	case errors.Is(err, tsa.ErrExpired):
		return unavailable(kindUnavailable, "the timestamp certificate has expired; the log's operator has to renew it")
	case errors.Is(err, context.Canceled):
		return problem{code: connect.CodeCanceled, kind: kindCanceled, message: "the caller hung up"}
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable(kindUnavailable, "the answer was not ready in time; submit again: what was stored is answered as a duplicate")
	}
	return problem{code: connect.CodeInternal, kind: kindInternal, ours: true, message: "something broke here; the server's log has the cause under the request's id"}
}

// kindOfCode names what Connect itself refuses.
func kindOfCode(c connect.Code) verify.Kind {
	switch c {
	case connect.CodeResourceExhausted:
		return verify.TooLarge
	case connect.CodeUnavailable:
		return kindOverloaded
	case connect.CodeUnauthenticated:
		return kindUnauthenticated
	case connect.CodeUnimplemented:
		return verify.Unsupported
	case connect.CodeCanceled:
		return kindCanceled
	}
	return verify.Malformed
}

// wireError is the error of a Connect service.
func (p problem) wireError() *connect.Error {
	err := connect.NewError(p.code, errors.New(p.message))
	detail, detailErr := connect.NewErrorDetail(&countersignv1.Refusal{
		Item: uint32(p.item), Kind: string(p.kind), Check: p.check, Message: p.message,
	})
	if detailErr == nil {
		err.AddDetail(detail)
	}
	if p.code == connect.CodeUnavailable {
		err.Meta().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	return err
}

// httpStatus is the status of a plain HTTP answer.
func (p problem) httpStatus() int {
	switch p.code {
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeResourceExhausted:
		return http.StatusRequestEntityTooLarge
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	case connect.CodeInvalidArgument:
		return http.StatusBadRequest
	case connect.CodeUnavailable, connect.CodeCanceled:
		return http.StatusServiceUnavailable
	case connect.CodeUnimplemented:
		return http.StatusNotImplemented
	case connect.CodeAlreadyExists:
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

// fail turns an error into the answer of a Connect service, counts it, and keeps
// its cause.
func (s *Server) fail(ctx context.Context, err error) error {
	p := describe(err)
	s.note(ctx, p, err)
	return p.wireError()
}

// failPlain is fail for plain HTTP.
func (s *Server) failPlain(w http.ResponseWriter, r *http.Request, err error) {
	p := describe(err)
	s.note(r.Context(), p, err)
	if p.code == connect.CodeUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	writeJSON(w, p.httpStatus(), errorAnswer{Code: p.code.String(), Kind: p.kind, Message: p.message, RequestID: requestID(r.Context())})
}

type errorAnswer struct {
	Code      string      `json:"code"`
	Kind      verify.Kind `json:"kind"`
	Message   string      `json:"message"`
	RequestID string      `json:"requestId"`
}

// note counts a failure and logs its cause.
func (s *Server) note(ctx context.Context, p problem, cause error) {
	s.metrics.refused.WithLabelValues(string(p.kind)).Inc()
	log := s.log.InfoContext
	if p.ours {
		log = s.log.ErrorContext
	}
	log(ctx, "refused", "request", requestID(ctx), "kind", p.kind, "code", p.code.String(), "error", cause)
}
