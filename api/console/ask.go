package console

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A question is an approval that waits for its reviewer's passkey.
type question struct {
	statement *attest.Statement // without an assertion
	reviewer  string
}

// asking is what a page wants to be signed.
type asking struct {
	As           string   `json:"as"`
	Decision     string   `json:"decision"`
	Repository   string   `json:"repository"`
	Change       string   `json:"change"`
	Head         string   `json:"head"` // that was shown
	Plan         string   `json:"plan"`
	Environments []string `json:"environments"`
	Comment      string   `json:"comment"`
}

// asked is what a passkey has to sign: its challenge is the SHA-256 of presented.
type asked struct {
	Nonce       string   `json:"nonce"`
	Presented   string   `json:"presented"`
	Party       string   `json:"party"`
	Credentials []string `json:"credentials"` // base64url
	Expires     int      `json:"expires"`     // in so many seconds
}

// ask writes the approval that a reviewer is about to give.
func (s *Console) ask(r *http.Request) (any, error) {
	var q asking
	if err := read(r, &q); err != nil {
		return nil, err
	}
	p, err := s.reviewer(q.As)
	if err != nil {
		return nil, err
	}
	keys := s.passkeys(p)
	if len(keys) == 0 {
		return nil, &Fault{http.StatusForbidden, "UNTRUSTED_KEY", p.ID + " has no passkey on the roster. Register one, and have the owners of the policy publish it."}
	}
	st, err := s.statement(r.Context(), &q)
	if err != nil {
		return nil, err
	}
	out := &asked{Party: s.config.Party.ID, Credentials: credentials(keys), Expires: int(askLasts.Seconds())}
	out.Nonce, _, err = s.asked.hold(s.config.Now(), func(nonce string) (question, error) {
		st.Predicate.(*attest.Approval).Nonce = nonce
		presented, err := attest.Presented(s.config.Origin, st)
		out.Presented = string(presented)
		return question{st, p.ID}, err
	})
	return out, err
}

func credentials(keys []*roster.Key) []string {
	var out []string
	for _, k := range keys {
		out = append(out, base64.RawURLEncoding.EncodeToString(k.Passkey.Credential))
	}
	return out
}

// statement is the approval that is asked for, of exactly what the page showed.
func (s *Console) statement(ctx context.Context, q *asking) (*attest.Statement, error) {
	a := &attest.Approval{
		Decision: attest.ApprovalDecision(q.Decision), Reviewer: q.As, Repository: q.Repository,
		Scope: attest.Scope{Environments: q.Environments}, ApprovedAt: attest.At(s.config.Now()), Comment: q.Comment,
	}
	st := &attest.Statement{Predicate: a}
	if err := s.checkEnvironments(q.Environments); err != nil {
		return nil, err
	}
	if a.Decision == attest.Rejected && q.Comment == "" {
		return nil, &Fault{http.StatusBadRequest, "MALFORMED", "Say why you reject it: the author has to know what to change."}
	}
	switch {
	case q.Plan != "":
		if _, err := s.config.Ledger.Plan(ctx, q.Repository, q.Plan); err != nil {
			return nil, err
		}
		a.About = &attest.ApprovalAbout{Plan: q.Plan}
		st.Subjects = []attest.Subject{{Digest: map[string]string{"sha256": q.Plan}}}
	default:
		c, err := s.config.Ledger.Change(ctx, q.Repository, q.Change, q.Head)
		if err != nil {
			return nil, err
		}
		if c.Head != q.Head {
			return nil, &Fault{http.StatusConflict, "STALE_APPROVAL", "The page did not say which head it showed. Load it again."}
		}
		if c.Newest != c.Head && a.Decision == attest.Approved {
			return nil, &Fault{http.StatusConflict, "STALE_APPROVAL", "The change has a newer head, " + short(c.Newest) + ". Load the page again, and look at what is new."}
		}
		a.Change, a.TargetRef = attest.ChangeRef{ID: c.ID, URI: c.URI}, c.TargetRef
		st.Subjects = []attest.Subject{{Name: q.Repository, Digest: map[string]string{"gitCommit": c.Head, "gitTree": c.Tree}}}
	}
	// What the ledger would refuse is refused before anybody touches anything.
	if err := a.Validate(); err != nil {
		return nil, err
	}
	return st, nil
}

// kindOf names what is wrong with what an authenticator said, as a verifier would.
func kindOf(err error) string {
	switch {
	case errors.Is(err, credential.ErrSignature):
		return "BAD_SIGNATURE"
	case errors.Is(err, credential.ErrElsewhere):
		return "WRONG_SCOPE"
	case errors.Is(err, credential.ErrSubject):
		return "SUBJECT_MISMATCH"
	}
	return "MALFORMED"
}

func (s *Console) checkEnvironments(names []string) error {
	set := s.config.Ledger.Policy()
	for _, name := range names {
		if _, ok := set.Environment(name); !ok {
			return &Fault{http.StatusBadRequest, "UNKNOWN_ENVIRONMENT", "The policy knows no environment " + quoted(name) + "."}
		}
	}
	if len(names) == 0 {
		return &Fault{http.StatusBadRequest, "WRONG_SCOPE", "Choose the environments that it is for."}
	}
	return nil
}

// answering is what a passkey answered.
type answering struct {
	Nonce string `json:"nonce"`
	passkeyAnswer
}

// passkeyAnswer has its parts in base64url, as a browser's script writes them.
type passkeyAnswer struct {
	CredentialID      bytes64 `json:"credentialId"`
	AuthenticatorData bytes64 `json:"authenticatorData"`
	ClientDataJSON    bytes64 `json:"clientDataJSON"`
	Signature         bytes64 `json:"signature"`
}

// answer puts what the passkey signed into the approval, and logs it. Only the ledger's
// own check of it counts; what is refused here first is what could be logged, and is
// less than this page asks for.
func (s *Console) answer(r *http.Request) (any, error) {
	var in answering
	if err := read(r, &in); err != nil {
		return nil, err
	}
	q, ok := s.asked.take(s.config.Now(), in.Nonce)
	if !ok {
		return nil, &Fault{http.StatusConflict, "EXPIRED", "This was answered already, or asked too long ago. Load the page again."}
	}
	p, err := s.reviewer(q.reviewer)
	if err != nil {
		return nil, err
	}
	presented, err := attest.Presented(s.config.Origin, q.statement)
	if err != nil {
		return nil, err
	}
	_, answer, err := s.check(p, in.passkeyAnswer, presented)
	if err != nil {
		return nil, err
	}
	st := *q.statement
	signed := *st.Predicate.(*attest.Approval)
	signed.Assertion = &attest.Assertion{Passkey: answer}
	st.Predicate = &signed
	payload, err := st.Marshal()
	if err != nil {
		return nil, err
	}
	return s.config.Ledger.Approve(r.Context(), payload)
}

// check holds an answer against what was presented, and against the passkeys of a person.
func (s *Console) check(p *roster.Principal, in passkeyAnswer, presented []byte) (*roster.Key, *credential.PasskeyAnswer, error) {
	keys := s.passkeys(p)
	k := slices.IndexFunc(keys, func(k *roster.Key) bool { return bytes.Equal(k.Passkey.Credential, in.CredentialID) })
	if k < 0 {
		return nil, nil, &Fault{http.StatusForbidden, "UNTRUSTED_KEY", "This passkey is none of " + p.ID + "'s on the roster."}
	}
	answer := &credential.PasskeyAnswer{
		CredentialID: in.CredentialID, AuthenticatorData: in.AuthenticatorData, ClientDataJSON: in.ClientDataJSON, Signature: in.Signature,
	}
	there, err := answer.Verify(presented, s.config.Party, keys[k].Passkey.SPKI)
	switch {
	case err != nil:
		return nil, nil, &Fault{http.StatusForbidden, kindOf(err), "The passkey's answer does not verify: " + err.Error()}
	case !there.Verified:
		return nil, nil, &Fault{http.StatusForbidden, "LOW_ASSURANCE", "The authenticator did not verify you (PIN, finger or face). This page wants that."}
	}
	return keys[k], answer, nil
}
