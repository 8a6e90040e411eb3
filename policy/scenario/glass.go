package scenario

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest"
)

// Broken glass, in a story:
//
//	r: request bob                bob asks to let artifact "a" go to production for an hour, once
//	grant carol r                 carol grants it
//	used r m1                     the service let "a", which is m1, go because of it
//	review dave r                 dave reviews it
//
// Options of request: artifacts and heads (names, with commas), env, repo, from and for
// (durations from now), uses, plan (instead of artifacts); of used: artifact; of review:
// outcome; of grant and review: at (when it was signed, from now).

// request enacts one.
func (t *teller) request(s *step, now attest.Time) error {
	p := &attest.BreakGlass{Action: attest.GlassRequest, By: s.opt("as", principal(s.arg(0))), Repository: s.opt("repo", Repository), Environment: s.opt("env", "production"),
		Justification: "checkout is down", Ticket: "INC-1", SaidAt: now}
	for _, a := range listOf(s.opt("artifacts", map[bool]string{true: "", false: "a"}[s.has("heads")])) {
		p.Artifacts = append(p.Artifacts, attest.DigestOf([]byte(a)).String())
	}
	for _, h := range listOf(s.opt("heads", "")) {
		p.Heads = append(p.Heads, string(t.id(h)))
	}
	slices.Sort(p.Artifacts)
	slices.Sort(p.Heads)
	var err error
	if p.Uses, err = strconv.Atoi(s.opt("uses", "1")); err != nil {
		return err
	}
	after, err := time.ParseDuration(s.opt("from", "0s"))
	if err != nil {
		return err
	}
	length, err := time.ParseDuration(s.opt("for", "1h"))
	if err != nil {
		return err
	}
	begin := attest.At(now.Add(after))
	end := attest.At(begin.Add(length))
	p.NotBefore, p.NotAfter = &begin, &end
	return t.write(s, attest.NewBreakGlass(p), Key(s.arg(0)))
}

// answer enacts a grant or a review.
func (t *teller) answer(s *step, now attest.Time) error {
	digest, err := t.payloadOf(s.arg(1))
	if err != nil {
		return err
	}
	said, err := time.ParseDuration(s.opt("at", "0s"))
	if err != nil {
		return err
	}
	now = attest.At(now.Add(said))
	p := &attest.BreakGlass{Action: attest.GlassGrant, By: s.opt("as", principal(s.arg(0))), Case: digest, SaidAt: now}
	if s.verb == "review" {
		p.Action, p.Outcome, p.Comment = attest.GlassReview, attest.BreakGlassOutcome(s.opt("outcome", "justified")), "read"
	}
	return t.write(s, attest.NewBreakGlass(p), Key(s.arg(0)))
}

// used logs a verdict of the service that used a case.
func (t *teller) used(s *step, now attest.Time) error {
	digest, err := t.payloadOf(s.arg(0))
	if err != nil {
		return err
	}
	to, core := string(t.id(s.arg(1))), "{}"
	if who := s.opt("authors", ""); who != "" {
		core = `{"changes":[{"authors":[{"who":"` + strings.ReplaceAll(who, ",", `"},{"who":"`) + `"}]}]}`
	}
	return t.sign(s, "service", []attest.Subject{{Digest: map[string]string{"gitCommit": to}}, {Digest: map[string]string{"sha256": attest.DigestOf([]byte(s.opt("artifact", "a"))).String()}}}, &attest.Decision{
		Repository: s.opt("repo", Repository), Environment: s.opt("env", "production"), Verdict: attest.VerdictBreakGlass, BreakGlass: digest, To: to,
		DecidedAt: now, ExpiresAt: attest.At(now.Add(15 * time.Minute)), Core: jsontext.Value(core), Annex: jsontext.Value("{}"),
	})
}

// payloadOf is the payload digest of a statement that was named, in hex.
func (t *teller) payloadOf(name string) (string, error) {
	payload, err := t.statements[name].st.Marshal()
	return attest.DigestOf(payload).String(), err
}
