package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
)

// Exit codes, as the client's.
const (
	exitDone   = 0
	exitWrong  = 2 // wrong use or input
	exitBroken = 3 // the ledger cannot go on, or does not hold

	exitContradiction = 4 // the log has signed what cannot both be true
)

type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func wrong(format string, args ...any) error {
	return &exitError{exitWrong, fmt.Errorf(format, args...)}
}

func contradicted(format string, args ...any) error {
	return &exitError{exitContradiction, fmt.Errorf(format, args...)}
}

func (d *daemon) exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(d.err, "countersignd: %v\n", err)
	var own *exitError
	var field *attest.FieldError
	if errors.Is(err, ledger.ErrCorrupt) || errors.Is(err, ledger.ErrRolledBack) {
		fmt.Fprintln(d.err, "  The log was left as it is. What to do: docs/operations.md, When opening refuses")
	}
	switch {
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &field), errors.Is(err, policy.ErrInvalid), errors.Is(err, attest.ErrExposed),
		strings.HasPrefix(err.Error(), "unknown command"): // cobra's own, which has no type
		return exitWrong
	}
	return exitBroken
}
