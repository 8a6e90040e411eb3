// Package authorfacts reads what tells who or what wrote a change, beside what its
// commits prove: notes of git-ai, Agent Trace records and provenance that agents
// sign. Every piece keeps its grade and where it was found; Merge makes one answer of
// all of them, in which the stronger suspicion wins.
//
// None of it is proof that a person wrote anything. A finding can make a rule
// stricter, and never relaxes one.
package authorfacts

import (
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// A Finding is one thing that speaks of who or what wrote a commit.
type Finding struct {
	Grade  attest.Grade  `json:"grade"`
	Origin attest.Origin `json:"origin"` // what it says
	Commit gitfacts.ID   `json:"commit"`
	// Where is the ref, the file, the line of the message or the trailer that it was
	// found in.
	Where string `json:"where"`
	// Tool, Model, Version and Session are as the finding gives them, or empty.
	Tool    string `json:"tool,omitempty"`
	Model   string `json:"model,omitempty"`
	Version string `json:"version,omitempty"`
	Session string `json:"session,omitempty"`
	// Person is the human whom it names as having run the agent, or as having
	// written lines: an address or a name.
	Person string `json:"person,omitempty"`
	Detail string `json:"detail,omitempty"`

	// attributed are the lines that it claims, by path. nil: it gives no lines.
	attributed map[string][]gitfacts.Span
}

// Unreadable is a source that is there and cannot be read. What it would have said
// is unknown, which is not human.
type Unreadable struct {
	Commit gitfacts.ID `json:"commit"`
	Where  string      `json:"where"`
	Why    string      `json:"why"`
}

// Limits on one note or trace. What exceeds them is unreadable as a whole.
const (
	maxFiles  = 10_000
	maxRanges = 100_000
	maxLine   = 10_000_000
	maxPath   = 4096 // bytes
	maxKeys   = 10_000
)

// name makes a name from outside fit for a statement: one line of at most 200 bytes.
func name(s string) string { return gitfacts.Printable(s) }
