package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/verify"
)

// Exit codes. A gate treats everything but exitYes as a refusal.
const (
	exitYes    = 0 // allowed, or done
	exitNo     = 1 // denied, refused, not found
	exitWrong  = 2 // wrong use or input
	exitBroken = 3 // could not tell
	exitLied   = 4 // the log contradicts itself
)

// exitError carries an exit code. An empty text has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func wrong(format string, args ...any) error {
	return &exitError{exitWrong, fmt.Errorf(format, args...)}
}
func refused(format string, args ...any) error {
	return &exitError{exitNo, fmt.Errorf(format, args...)}
}
func broken(format string, args ...any) error {
	return &exitError{exitBroken, fmt.Errorf(format, args...)}
}
func lied(format string, args ...any) error { return &exitError{exitLied, fmt.Errorf(format, args...)} }

// silent ends with a code when the output has said it all.
func silent(code int) error {
	if code == exitYes {
		return nil
	}
	return &exitError{code: code}
}

// exitCode says what is wrong, once, and how to go on.
func (a *app) exitCode(err error) int {
	if err == nil {
		return exitYes
	}
	code, text := classify(err)
	if text != "" {
		a.notef("countersign: %s\n", strings.ReplaceAll(text, "\n", "\n  "))
	}
	return code
}

func classify(err error) (int, string) {
	var own *exitError
	if errors.As(err, &own) {
		return own.code, own.Error()
	}
	var rpc *connect.Error
	if errors.As(err, &rpc) {
		return classifyRPC(rpc)
	}
	var field *attest.FieldError
	var facts *gitfacts.Error
	switch {
	case errors.As(err, &field), errors.As(err, &facts), errors.Is(err, policy.ErrInvalid), errors.Is(err, gitfacts.ErrNotFound):
		return exitWrong, err.Error()
	case errors.Is(err, context.Canceled):
		return exitBroken, "interrupted"
	}
	text := err.Error()
	if strings.HasPrefix(text, "unknown command") { // cobra's own, which has no type
		text += "\nsee: countersign --help"
	}
	return exitWrong, text
}

// classifyRPC maps what the server said to an exit code.
func classifyRPC(e *connect.Error) (int, string) {
	text := e.Message()
	switch {
	case e.Code() == connect.CodeUnauthenticated:
		text += "\nCheck --token or COUNTERSIGN_TOKEN"
	case strings.Contains(text, "KEY_TIME"):
		text += "\nThe owners give it a new date, or a new key a place, in people.yaml (policy publish)"
	case strings.Contains(text, "may not make"):
		text += "\npeople.yaml says who may make what: `may:` of services, `owners:` and `officers:` of people"
	}
	switch e.Code() {
	case connect.CodePermissionDenied, connect.CodeNotFound, connect.CodeUnauthenticated:
		return exitNo, text
	case connect.CodeInvalidArgument, connect.CodeOutOfRange, connect.CodeUnimplemented, connect.CodeFailedPrecondition,
		connect.CodeResourceExhausted: // too large; overloaded is Unavailable
		return exitWrong, text
	case connect.CodeDeadlineExceeded:
		return exitBroken, "the ledger did not answer in time; nobody knows whether it took the request. The same command can be repeated"
	}
	var netErr *net.OpError
	var urlErr *url.Error
	if errors.As(e, &netErr) || errors.As(e, &urlErr) {
		return exitBroken, fmt.Sprintf("the ledger cannot be reached: %s\nIs it running? Check --server or COUNTERSIGN_SERVER", text)
	}
	if after := e.Meta().Get("Retry-After"); after != "" {
		text += "; try again in " + after + " s"
	}
	return exitBroken, text
}

// classifyEvidence gives an exit code to what can be wrong with evidence.
func classifyEvidence(err error) error {
	var split *verify.SplitView
	var rollback *verify.Rollback
	if errors.As(err, &split) || errors.As(err, &rollback) {
		return lied("%v", err)
	}
	var own *exitError
	if errors.As(err, &own) {
		return err
	}
	return broken("the evidence does not hold: %v", err)
}
