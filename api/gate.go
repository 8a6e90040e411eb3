package api

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
)

// gateRequest is the body of POST /gate.
type gateRequest struct {
	Artifact    string `json:"artifact"` // sha256 hex, with or without "sha256:"
	Commit      string `json:"commit"`
	Plan        string `json:"plan"` // sha256 hex of a plan file, likewise
	Repository  string `json:"repository"`
	Environment string `json:"environment"`
	Nonce       string `json:"nonce"`
}

// gateAnswer sums a decision up for a script and whoever reads its output.
type gateAnswer struct {
	Verdict     policy.Verdict    `json:"verdict"`
	Kind        policy.Kind       `json:"kind,omitzero"`
	Why         string            `json:"why,omitzero"`
	DryRun      bool              `json:"dryRun"`
	Logged      bool              `json:"logged"`
	Repository  string            `json:"repository"`
	Environment string            `json:"environment"`
	Release     string            `json:"release,omitzero"`
	Artifact    string            `json:"artifact,omitzero"`
	Plan        string            `json:"plan,omitzero"`
	From        string            `json:"from,omitzero"`
	To          string            `json:"to,omitzero"`
	Changes     int               `json:"changes"`
	Policy      policy.PolicyRef  `json:"policy"`
	Log         policy.LogRef     `json:"log"`
	DecidedAt   attest.Time       `json:"decidedAt"`
	ExpiresAt   attest.Time       `json:"expiresAt"`
	Nonce       string            `json:"nonce,omitzero"`
	BreakGlass  *policy.GlassUse  `json:"breakGlass,omitzero"` // of an allow (break-glass)
	Failed      []failedRule      `json:"failed"`
	Awaiting    []policy.Awaiting `json:"awaiting"`
	RequestID   string            `json:"requestId"`
}

type failedRule struct {
	Rule    string `json:"rule"`
	Title   string `json:"title"`
	Mode    string `json:"mode"`
	Changes int    `json:"changes"`
	Remedy  string `json:"remedy"`
}

// gate answers 200 for allow and 403 for everything else that was decided, so
// that `curl --fail` does not go on after a deny.
func (s *Server) gate(w http.ResponseWriter, r *http.Request) {
	q, nonce, err := s.readGate(r)
	if err != nil {
		s.failPlain(w, r, err)
		return
	}
	v, err := s.decide(r.Context(), q, nonce)
	if err != nil {
		s.failPlain(w, r, err)
		return
	}
	status := http.StatusForbidden
	if v.decision.Core.Verdict.Opens() {
		status = http.StatusOK
	}
	writeJSON(w, status, summaryOf(v, q, requestID(r.Context())))
}

func (s *Server) readGate(r *http.Request) (question, string, error) {
	if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); t != "" && t != "application/json" && t != "application/x-www-form-urlencoded" {
		return question{}, "", malformed("content type %.80q is not application/json", t)
	}
	body, err := io.ReadAll(r.Body)
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return question{}, "", tooLarge("the request has more than %d bytes", over.Limit)
	}
	if err != nil {
		return question{}, "", malformed("read the request: %v", err)
	}
	var g gateRequest
	if err := json.Unmarshal(body, &g, json.RejectUnknownMembers(true)); err != nil {
		return question{}, "", malformed("the request is not as it should be: %.200v", err)
	}
	q, err := s.ask(callerOf(r.Context()), asked{strings.TrimPrefix(g.Plan, "sha256:"), strings.TrimPrefix(g.Artifact, "sha256:"), g.Commit}, g.Repository, g.Environment)
	return q, g.Nonce, err
}

func summaryOf(v *verdict, q question, id string) gateAnswer {
	c := &v.decision.Core
	a := gateAnswer{
		Verdict: c.Verdict, Kind: c.Kind, Why: c.Why, DryRun: q.dryRun, Logged: v.bundle != nil,
		Repository: c.Repository, Environment: c.Environment, Release: c.Release, Artifact: c.Artifact, Plan: c.Plan,
		From: c.From, To: c.To, Changes: len(c.Changes), Policy: c.Policy, Log: c.Log,
		DecidedAt: c.DecidedAt, ExpiresAt: c.ExpiresAt, Nonce: c.Nonce, Awaiting: c.Awaiting, BreakGlass: c.BreakGlass, RequestID: id,
	}
	for _, r := range c.Rules {
		if r.Failed > 0 {
			a.Failed = append(a.Failed, failedRule{r.Rule, r.Title, r.Mode, r.Failed, r.Remedy})
		}
	}
	return a
}

// writeJSON answers plain HTTP. What cannot be encoded was made by us, so that
// is a 500.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v, json.FormatNilSliceAsNull(false), jsontext.WithIndent("  "))
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"code":"internal","kind":"INTERNAL"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
