package api

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// verifierService implements countersignv1connect.VerifierServiceHandler.
type verifierService struct{ *Server }

// ownViewAge is how old the server's own view of its log may be: it is the log.
const ownViewAge = 100 * 365 * 24 * time.Hour

// A question is what a verdict answers.
type question struct {
	plan        attest.Digest // zero: no plan is asked about
	artifact    attest.Digest // zero: the commit itself is asked about, or the plan
	commit      gitfacts.ID
	repository  string
	environment string
	dryRun      bool
}

// asked is what a question is about, as it was sent: one of them.
type asked struct{ plan, artifact, commit string }

// ask reads a question strictly.
func (s *Server) ask(who caller, about asked, repository, environment string) (question, error) {
	q := question{repository: repository, environment: environment, dryRun: !s.isGate(who, environment)}
	artifact, commit := about.artifact, about.commit
	var err error
	switch {
	case about.plan != "" && (artifact != "" || commit != ""):
		return q, malformed("a plan can be asked about, or an artifact or commit, not both")
	case about.plan != "":
		if q.plan, err = attest.ParseDigest(about.plan); err != nil {
			return q, malformed("planSha256: %.80q is not 64 lower-case hex digits", about.plan)
		}
	case artifact != "" && commit != "":
		return q, malformed("an artifact or a commit can be asked about, not both")
	case artifact != "":
		if q.artifact, err = attest.ParseDigest(artifact); err != nil {
			return q, malformed("artifactSha256: %.80q is not 64 lower-case hex digits", artifact)
		}
	default:
		if len(commit) != 40 && len(commit) != 64 || strings.Trim(commit, "0123456789abcdef") != "" {
			return q, malformed("commit: %.80q is not a full commit id in lower-case hex", commit)
		}
		q.commit = gitfacts.ID(commit)
	}
	if err := attest.ParseRepository(repository); err != nil {
		return q, err
	}
	if environment == "" || len(environment) > 128 {
		return q, malformed("environment: has %d bytes; 1 to 128 are allowed", len(environment))
	}
	return q, nil
}

// isGate says whether a caller's requests for an environment are logged: never by
// a mirror.
func (s *Server) isGate(who caller, environment string) bool {
	if s.config.Mirrors != "" {
		return false
	}
	set := s.Policy()
	e, ok := set.Environment(environment)
	if !ok || who.gate == "" || !slices.Contains(e.Gates, who.gate) {
		return false
	}
	p, ok := set.Roster.Principal(who.gate)
	return ok && p.Holds(s.config.Now())
}

func (q question) request(nonce string) policy.Request {
	r := policy.Request{Commit: q.commit, Repository: q.repository, Environment: q.environment, Nonce: nonce}
	switch {
	case q.plan != attest.Digest{}:
		r.Plan = &q.plan
	case q.commit == "":
		r.Artifact = &q.artifact
	}
	return r
}

// Verify decides, and logs the decision when a gate asks.
func (s *verifierService) Verify(ctx context.Context, req *connect.Request[countersignv1.VerifyRequest]) (*connect.Response[countersignv1.VerifyResponse], error) {
	m := req.Msg
	q, err := s.ask(callerOf(ctx), asked{m.GetPlanSha256(), m.GetArtifactSha256(), m.GetCommit()}, m.Repository, m.Environment)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	v, err := s.decide(ctx, q, m.Nonce)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	text, err := v.decision.Marshal()
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return connect.NewResponse(&countersignv1.VerifyResponse{
		Verdict: wireVerdict(v.decision.Core.Verdict), Decision: text, DryRun: q.dryRun,
		DecisionBundle: v.bundle, VsaBundle: v.summary,
	}), nil
}

func wireVerdict(v policy.Verdict) countersignv1.Verdict {
	switch v {
	case policy.Allow:
		return countersignv1.Verdict_VERDICT_ALLOW
	case policy.AllowBreakGlass:
		return countersignv1.Verdict_VERDICT_ALLOW_BREAK_GLASS
	case policy.AllowAudit:
		return countersignv1.Verdict_VERDICT_ALLOW_AUDIT
	case policy.Error:
		return countersignv1.Verdict_VERDICT_ERROR
	}
	return countersignv1.Verdict_VERDICT_DENY
}

// Evidence sends the pack that a decision about the same question rests on.
func (s *verifierService) Evidence(ctx context.Context, req *connect.Request[countersignv1.EvidenceRequest], stream *connect.ServerStream[countersignv1.EvidenceResponse]) error {
	m := req.Msg
	src, err := s.sourceAt(ctx, m.TreeSize)
	if err != nil {
		return s.fail(ctx, err)
	}
	out := &chunks{stream: stream}
	if m.Subject == nil && m.Repository == "" && m.Environment == "" {
		err = s.policyPack(ctx, src, out)
	} else {
		err = s.evidence(ctx, src, m, out)
	}
	if err == nil {
		err = out.flush()
	}
	if err != nil {
		return s.fail(ctx, err)
	}
	return nil
}

// sourceAt is the log as it is, or as it was when it had so many entries.
func (s *Server) sourceAt(ctx context.Context, size uint64) (*Source, error) {
	if size == 0 {
		return NewSource(s.ledger), nil
	}
	head, err := s.ledger.Checkpoint(ctx, size)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, notFound("treeSize: the log never signed a checkpoint of exactly %d entries", size)
	}
	if err != nil {
		return nil, err
	}
	return sourceOf(s.ledger, head), nil
}

// evidence writes everything that is asked when the policy is looked up and the
// question is judged, at one view of the log.
func (s *Server) evidence(ctx context.Context, src *Source, m *countersignv1.EvidenceRequest, w io.Writer) error {
	q, err := s.ask(caller{}, asked{m.GetPlanSha256(), m.GetArtifactSha256(), m.GetCommit()}, m.Repository, m.Environment)
	if err != nil {
		return err
	}
	rec := verify.NewRecorder(src)
	h, err := policy.ReadHistory(ctx, rec, s.config.Trust, true)
	if err != nil {
		return err
	}
	r, err := s.now(ctx) // its verifier knows everybody whom an earlier state of the log had
	if err != nil {
		return err
	}
	in := s.input(&regime{history: h}, q, "")
	if m.TreeSize > 0 {
		in.Set, in.Now = h.InForce(src.head.Time), src.head.Time
	}
	_, gathered, err := policy.Judge(ctx, rec, r.verifier, in)
	if err != nil {
		return err
	}
	// A set may come into force between this and the decision.
	for _, e := range h.Epochs() {
		if e.From.After(in.Now) {
			in.Set, in.History = e.Set, nil
			if _, _, err := policy.Judge(ctx, rec, r.verifier, in); err != nil {
				return err
			}
		}
	}
	return verify.WritePack(ctx, w, rec, s.config.Trust, gathered.Request)
}

// policyPack writes the policy sets of the log alone.
func (s *Server) policyPack(ctx context.Context, src *Source, w io.Writer) error {
	rec := verify.NewRecorder(src)
	if _, err := policy.ReadHistory(ctx, rec, s.config.Trust, true); err != nil {
		return err
	}
	return verify.WritePack(ctx, w, rec, s.config.Trust, verify.Request{})
}

func (s *Server) input(r *regime, q question, nonce string) policy.Input {
	age := ownViewAge
	if s.config.Mirrors != "" {
		age = s.config.Trust.MaxCheckpointAge
	}
	now := s.config.Now()
	return policy.Input{
		Set: r.set(now), History: r.history, Trust: s.config.Trust, Request: q.request(nonce),
		Now: now, MaxViewAge: age, DryRun: q.dryRun,
	}
}

// chunkSize is the size of one piece of a pack, in bytes.
const chunkSize = 64 << 10

// chunks sends what is written to it in pieces.
type chunks struct {
	stream *connect.ServerStream[countersignv1.EvidenceResponse]
	held   []byte
}

func (c *chunks) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), chunkSize-len(c.held))
		c.held, rest = append(c.held, rest[:n]...), rest[n:]
		if len(c.held) == chunkSize {
			if err := c.flush(); err != nil {
				return len(p) - len(rest), err
			}
		}
	}
	return len(p), nil
}

func (c *chunks) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	err := c.stream.Send(&countersignv1.EvidenceResponse{Chunk: c.held})
	c.held = c.held[:0]
	return err
}
