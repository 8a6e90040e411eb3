// Package policy turns evidence into a decision: one pure function of a policy
// set, evidence, subject, environment, time and log view, which denies by
// default and is run again by everybody.
package policy

import "github.com/countersign-dev/countersign/verify"

// Kind says why something gave no credit, or why a verdict is no: the kinds of
// package verify, and those that only a rule can see.
type Kind = verify.Kind
