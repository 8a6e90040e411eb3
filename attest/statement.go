package attest

import (
	"cmp"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	intoto "github.com/in-toto/attestation/go/v1"
)

// StatementType is the in-toto Statement type that we write and read.
const StatementType = intoto.StatementTypeUri

// PayloadType is the DSSE payload type of in-toto statements.
const PayloadType = "application/vnd.in-toto+json"

// A Statement is an in-toto Statement v1: a predicate about some subjects.
type Statement struct {
	Subjects  []Subject
	Predicate Predicate
}

// A Subject names one thing by its digests.
type Subject struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}

type wireStatement struct {
	Type          string         `json:"_type"`
	Subject       []wireSubject  `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     jsontext.Value `json:"predicate"`
}

// wireSubject has the fields that in-toto's ResourceDescriptor allows; those
// that we do not use must still parse.
type wireSubject struct {
	Name             string            `json:"name,omitempty"`
	URI              string            `json:"uri,omitempty"`
	Digest           map[string]string `json:"digest,omitempty"`
	Content          []byte            `json:"content,omitempty"`
	DownloadLocation string            `json:"downloadLocation,omitempty"`
	MediaType        string            `json:"mediaType,omitempty"`
	Annotations      jsontext.Value    `json:"annotations,omitempty"`
}

// ParseStatement reads a signed payload: once, strictly. The error is a
// *FieldError. Predicates of types that we do not know come back as *Foreign.
func ParseStatement(payload []byte) (*Statement, error) {
	return parseStatement(payload, StatementType)
}

// statementV01 is the older Statement, which has the fields of v1; it is read where
// another log vouches for it.
const statementV01 = "https://in-toto.io/Statement/v0.1"

func parseStatement(payload []byte, types ...string) (*Statement, error) {
	if len(payload) > MaxPayload {
		return nil, faultErr(TooLarge, "statement", "has %d bytes; the limit is %d", len(payload), MaxPayload)
	}
	var w wireStatement
	if err := decode("statement", payload, &w); err != nil {
		return nil, err
	}
	if !slices.Contains(types, w.Type) {
		return nil, faultErr(Unsupported, "statement._type", "%.80q is not %s", w.Type, StatementType)
	}
	if err := checkName("statement.predicateType", w.PredicateType); err != nil {
		return nil, err
	}
	predicate, err := parsePredicate(w.PredicateType, w.Predicate)
	if err != nil {
		return nil, err
	}
	st := &Statement{Predicate: predicate}
	if len(w.Subject) > MaxSubjects {
		return nil, faultErr(TooLarge, "statement.subject", "has %d items; the limit is %d", len(w.Subject), MaxSubjects)
	}
	for _, s := range w.Subject {
		st.Subjects = append(st.Subjects, Subject{Name: s.Name, URI: s.URI, Digest: s.Digest})
	}
	if err := st.Validate(); err != nil {
		return nil, err
	}
	return st, nil
}

// Marshal validates the statement and writes its payload. The same statement
// always gives the same bytes.
func (s *Statement) Marshal() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	predicate, err := marshalPredicate(s.Predicate)
	if err != nil {
		return nil, err
	}
	w := wireStatement{Type: StatementType, PredicateType: s.Predicate.Type(), Predicate: predicate}
	for _, sub := range s.Subjects {
		w.Subject = append(w.Subject, wireSubject{Name: sub.Name, URI: sub.URI, Digest: sub.Digest})
	}
	payload, err := json.Marshal(w, json.Deterministic(true))
	if err != nil {
		return nil, fieldErr("statement", "%v", err)
	}
	if len(payload) > MaxPayload {
		return nil, faultErr(TooLarge, "statement", "has %d bytes; the limit is %d", len(payload), MaxPayload)
	}
	return payload, nil
}

// Validate checks subjects and predicate, and that they speak of the same thing.
func (s *Statement) Validate() error {
	if s.Predicate == nil {
		return fieldErr("statement.predicate", "is missing")
	}
	if len(s.Subjects) == 0 {
		return fieldErr("statement.subject", "is empty")
	}
	for _, sub := range s.Subjects {
		if err := sub.validate(); err != nil {
			return err
		}
	}
	if err := s.Predicate.Validate(); err != nil {
		return err
	}
	if about, ok := s.Predicate.(interface{ about([]Subject) error }); ok {
		return about.about(s.Subjects)
	}
	return nil
}

// digestSizes are the algorithms that we accept, with their hex digits. Others
// in a subject are carried along, and never matched.
var digestSizes = map[string][]int{
	"sha256": {64}, "sha384": {96}, "sha512": {128},
	"gitCommit": {40, 64}, "gitTree": {40, 64}, "gitTag": {40, 64}, "gitBlob": {40, 64},
}

func (s *Subject) validate() error {
	const field = "statement.subject"
	if err := first(checkText(field+".name", s.Name, 4096), checkText(field+".uri", s.URI, 4096)); err != nil {
		return err
	}
	if len(s.Digest) == 0 {
		return fieldErr(field+".digest", "is empty")
	}
	if len(s.Digest) > MaxDigests {
		return faultErr(TooLarge, field+".digest", "has %d items; the limit is %d", len(s.Digest), MaxDigests)
	}
	strong := false
	for _, alg := range sortedKeys(s.Digest) {
		sizes, known := digestSizes[alg]
		if !known {
			if err := first(checkName(field+".digest", alg), checkName(field+".digest."+alg, s.Digest[alg])); err != nil {
				return err
			}
			continue
		}
		if err := checkHex(field+".digest."+alg, s.Digest[alg], sizes...); err != nil {
			return err
		}
		strong = true
	}
	if !strong {
		return faultErr(WeakDigest, field+".digest", "names none of sha256, sha384, sha512, gitCommit, gitTree, gitTag, gitBlob")
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}

// soleSubject returns the only subject, for predicates that speak of one thing.
func soleSubject(subjects []Subject) (Subject, error) {
	if len(subjects) != 1 {
		return Subject{}, faultErr(SubjectMismatch, "statement.subject", "has %d items; this predicate speaks of exactly one", len(subjects))
	}
	return subjects[0], nil
}

// aboutCommit requires the sole subject to be this commit.
func aboutCommit(subjects []Subject, field, commit string) error {
	sub, err := soleSubject(subjects)
	if err != nil {
		return err
	}
	if got := sub.Digest["gitCommit"]; got != commit {
		return faultErr(SubjectMismatch, "statement.subject.digest.gitCommit", "is %.64q, and %s is %s", got, field, commit)
	}
	return nil
}
