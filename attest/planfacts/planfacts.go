// Package planfacts reads what a plan does to the world: from a Terraform or
// OpenTofu plan, from what kubectl says that it would do, or from a manifest that
// somebody wrote. It keeps verbs, addresses and kinds, and no value of any attribute,
// so that nothing sensitive can leave through it. It needs no network.
package planfacts

import (
	"errors"
	"fmt"
	"io"

	"github.com/countersign-dev/countersign/attest"
)

// Limits on what is read.
const (
	MaxPlanJSON  = 64 << 20  // bytes of a plan as JSON
	MaxPlanFile  = 256 << 20 // bytes of a plan file
	MaxDiff      = 16 << 20  // bytes of kubectl's output
	MaxResources = 100_000   // operations of one plan
	maxAddress   = 1024      // bytes
)

// Facts are what a plan does.
type Facts struct {
	Source attest.OperationSource
	Tool   attest.OperationTool
	// Operations are in the order in which they were found. Reversible and Stateful
	// are not set: a table of kinds says that (Kinds.Judge).
	Operations []attest.ResourceOperation
	Drift      int // resources that were found changed outside the tool
	Deferred   int // changes that the tool put off to a later plan
}

// An Error says what is wrong with a plan or its description, and never quotes a
// value out of it.
type Error struct {
	What string // such as "plan" or "kubectl output, line 7"
	Why  string
}

func (e *Error) Error() string { return e.What + ": " + e.Why }

func bad(what, format string, args ...any) error {
	return &Error{what, fmt.Sprintf(format, args...)}
}

// add keeps an operation, up to the limits.
func (f *Facts) add(what string, op attest.ResourceOperation) error {
	switch {
	case op.Address == "" || op.Kind == "":
		return bad(what, "a resource has no address or no type")
	case len(op.Address) > maxAddress:
		return bad(what, "an address has %d bytes; the limit is %d", len(op.Address), maxAddress)
	case len(f.Operations) == MaxResources:
		return bad(what, "has more than %d operations", MaxResources)
	}
	f.Operations = append(f.Operations, op)
	return nil
}

// State writes the facts into a statement, judged by a table of kinds.
func (f *Facts) State(o *attest.Operation, kinds *Kinds) {
	o.Source, o.Tool, o.Drift, o.Deferred = f.Source, f.Tool, f.Drift, f.Deferred
	judged := make([]attest.ResourceOperation, len(f.Operations))
	for i, op := range f.Operations {
		judged[i] = kinds.Judge(op)
	}
	o.SetOperations(judged)
}

var errTooLong = errors.New("more bytes than the limit")

// bounded is a reader that fails, and does not end, when there is more than it may read.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLong
	}
	p = p[:min(int64(len(p)), b.left+1)]
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}
