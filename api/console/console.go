// Package console has pages for people: what waits, a change with what the rules need
// of whoever looks at it, and approving or rejecting it with a passkey. It knows no key
// and decides nothing: what a reviewer's authenticator signed goes to the ledger, which
// checks it as every verifier will.
package console

import (
	"context"
	"embed"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Path is where the pages are served. Everything below it is theirs.
const Path = "/console/"

// Config is what the pages are made of.
type Config struct {
	Ledger Ledger
	Origin string                  // of the log, for which approvals are
	Party  credential.RelyingParty // on whose origins passkeys answer
	Now    func() time.Time
	// Describe says what an outsider may know of an error, and counts it.
	Describe func(ctx context.Context, err error) (status int, kind, message string)
}

// A Ledger is what the pages show, and where approvals go.
type Ledger interface {
	// Policy is the set in force.
	Policy() *policy.Set
	Status() Status
	// Waiting lists what waits for approvals, the highest tier first.
	Waiting(ctx context.Context, q Query) ([]Item, error)
	// Change is a change at a head, or at the newest one where head is empty.
	Change(ctx context.Context, repository, id, head string) (*Change, error)
	// Plan is what is said of a plan of a repository.
	Plan(ctx context.Context, repository, digest string) (*Plan, error)
	// Release decides about an artifact, as a dry run.
	Release(ctx context.Context, repository, environment, artifact string) (*policy.Decision, error)
	// Approve checks and logs an approval that carries an assertion.
	Approve(ctx context.Context, statement []byte) (Logged, error)
}

// Status is the state of the log.
type Status struct {
	Size        uint64
	Root        string
	Time        time.Time // of the checkpoint
	Unwitnessed int       // entries that wait for witnesses
	Frozen      bool
}

// A Query says what to list.
type Query struct {
	Person      string    // only what this person could give; empty: all
	Repository  string    // only of this one; empty: all
	Environment string    // likewise
	Since       time.Time // logged then or later
}

// An Item is a change, a plan or a release that waits for approvals.
type Item struct {
	Kind                    string // change, plan or release
	Repository, Environment string
	Change, Head            string // of a change
	Plan, Artifact, Commit  string // digests, and what a release comes from
	Title                   string
	Tier                    string
	Rank                    int // of the tier, from 0
	Origin                  string
	Authors                 []string
	Index                   uint64 // of the entry that tells of it
	At                      time.Time
	Need                    []string // in words
	Who                     []string // could give it
	// Assurance is the most that a rule which waits asks of an approval.
	Assurance roster.Assurance
	// Changes are those of a release that wait.
	Changes []string
}

// A Change is a change as the log knows it, with what the rules say of it for each
// environment.
type Change struct {
	Index               uint64
	At                  time.Time
	Repository, ID, URI string
	TargetRef           string
	Base, Head, Tree    string
	Newest              string // the newest head that is attested
	// Bases are others than Base that this very head is said to start from. What a change
	// touches, and who wrote it, depends on that until it is merged.
	Bases        []string
	Lines        *attest.AuthorshipLines
	Environments []Environment
}

// An Environment is what the rules say for one environment.
type Environment struct {
	Name    string
	Preview *policy.Preview
}

// A Plan is a plan with what is said of it, for each environment that somebody names.
type Plan struct {
	Repository, Digest string
	Operations         []attest.ResourceOperation
	Environments       []PlanEnvironment
}

// PlanEnvironment is what the rules say of a plan for one environment.
type PlanEnvironment struct {
	Name     string
	Index    uint64 // of the first statement about it
	At       time.Time
	Decision *policy.Decision
}

// Logged is an approval that the log has.
type Logged struct {
	Index     uint64 `json:"index"`
	Assurance string `json:"assurance"`
	Digest    string `json:"statement"` // sha256 of the statement, hex
}

// A Fault is an error of whoever looks at a page.
type Fault struct {
	Status  int
	Kind    string
	Message string
}

func (f *Fault) Error() string { return f.Message }

//go:embed templates/*.html static/*
var files embed.FS

// Console serves the pages.
type Console struct {
	config  Config
	asked   pending[question]
	enrolls pending[enrolment]
	made    pending[made]
	mux     *http.ServeMux
}

// New makes the pages. They need a relying party: passkeys answer for one.
func New(c Config) (*Console, error) {
	if c.Party.ID == "" || len(c.Party.Origins) == 0 {
		return nil, errors.New("the pages need a relying party: the console of the trust folder has no relyingParty and origins")
	}
	if c.Ledger == nil || c.Now == nil || c.Describe == nil {
		return nil, errors.New("the pages need a ledger and a clock")
	}
	s := &Console{config: c, mux: http.NewServeMux()}
	for pattern, page := range map[string]func(*http.Request, *frame) (string, any, error){
		"GET " + Path + "{$}":      s.home,
		"GET " + Path + "change":   s.change,
		"GET " + Path + "plan":     s.plan,
		"GET " + Path + "release":  s.release,
		"GET " + Path + "register": s.register,
	} {
		s.mux.HandleFunc(pattern, s.show(page))
	}
	for pattern, call := range map[string]func(*http.Request) (any, error){
		"POST " + Path + "ask":      s.ask,
		"POST " + Path + "answer":   s.answer,
		"POST " + Path + "offer":    s.offer,
		"POST " + Path + "register": s.registered,
		"POST " + Path + "endorse":  s.endorse,
	} {
		s.mux.HandleFunc(pattern, s.answers(call))
	}
	s.mux.HandleFunc("GET "+Path+"static/{name}", s.static)
	s.mux.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		s.Fail(w, r, &Fault{http.StatusNotFound, "NOT_FOUND", "There is no such page."})
	})
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	Protect(w.Header())
	s.mux.ServeHTTP(w, r)
}

// Protect sets what keeps other pages from framing, scripting or reading ours. There is no
// inline script and no inline style, and nothing is fetched from elsewhere.
func Protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// static serves the stylesheet and the script.
func (s *Console) static(w http.ResponseWriter, r *http.Request) {
	types := map[string]string{"style.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "mark.svg": "image/svg+xml"}
	name := r.PathValue("name")
	text, err := files.ReadFile("static/" + name)
	if err != nil || types[name] == "" {
		s.Fail(w, r, &Fault{http.StatusNotFound, "NOT_FOUND", "There is no such file."})
		return
	}
	w.Header().Set("Content-Type", types[name])
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(text)
}

// here reports whether a request came to one of the origins on which passkeys answer.
func (s *Console) here(r *http.Request) bool {
	return slices.ContainsFunc(s.config.Party.Origins, func(origin string) bool {
		u, err := url.Parse(origin)
		return err == nil && strings.EqualFold(u.Host, r.Host)
	})
}

// reviewer is a person of the roster who could approve now.
func (s *Console) reviewer(id string) (*roster.Principal, error) {
	p, ok := s.config.Ledger.Policy().Roster.Principal(id)
	switch {
	case id == "":
		return nil, &Fault{http.StatusBadRequest, "MALFORMED", "Choose who you are first."}
	case !ok || p.Kind != roster.Person:
		return nil, &Fault{http.StatusNotFound, "NOT_FOUND", "The roster has no person " + quoted(id) + ". An owner of the policy adds people to people.yaml."}
	case !p.Holds(s.config.Now()):
		return nil, &Fault{http.StatusForbidden, "KEY_TIME", id + " is not on the roster any more, or not yet."}
	}
	return p, nil
}

// passkeys are those of a person that count now.
func (s *Console) passkeys(p *roster.Principal) []*roster.Key {
	var out []*roster.Key
	for i := range p.Keys {
		if k := &p.Keys[i]; k.Passkey != nil && k.Holds(s.config.Now()) {
			out = append(out, k)
		}
	}
	return out
}
