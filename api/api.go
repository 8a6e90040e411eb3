// Package api is the service: one http.Handler that carries attestations in, and
// receipts, proofs and decisions out. It speaks Connect, gRPC and gRPC-Web
// (proto/countersign/v1), serves the log's tiles (C2SP tlog-tiles), and has a plain
// POST /gate for scripts.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/grpchealth"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/countersign-dev/countersign/api/console"
	"github.com/countersign-dev/countersign/api/forge"
	"github.com/countersign-dev/countersign/api/tsa"
	"github.com/countersign-dev/countersign/api/tuf"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/verify"
)

// Config is what a server is made of.
type Config struct {
	Ledger  *ledger.Ledger
	Trust   *verify.Trust      // of the ledger: what its clients are given
	Service *attest.PrivateKey // signs verdicts; Trust names its public half. Nil for a mirror
	// Mirrors is the URL of the server whose log this one only copies (ledger.Mirror),
	// empty for that server itself. A mirror has no key: it refuses appends and says
	// where they go, its verdicts are dry runs, and what they rest on may be as old as
	// Trust allows an offline verdict to be.
	Mirrors string
	// Console signs around approvals that people made with an SSH key or a passkey;
	// without one there are none. Trust names its public half.
	Console *attest.PrivateKey
	// Pages serves the console's pages, at console.Path; Trust names the relying party.
	Pages bool
	// Timestamps is the authority that answers RFC 3161 requests; without one
	// there is no such endpoint.
	Timestamps *tsa.Authority
	// Sigstore has what clients of Sigstore are told, where TUF does not say it;
	// without either there are no such documents.
	Sigstore Sigstore
	// TUF is the repository that such clients update from. There may be none in its
	// folder yet.
	TUF *tuf.Repository
	// Forges take webhooks; without any there is no such route. Whoever made them runs
	// them with the server's Forges, and closes them.
	Forges  *forge.Desk
	Now     func() time.Time
	Log     *slog.Logger // discarded when nil
	Metrics *Metrics     // new ones when nil

	// OpenReads lets everybody read who can connect: for loopback. Otherwise a
	// read needs a token of Readers or Gates.
	OpenReads bool
	// Readers and Gates hold SHA-256 digests of bearer tokens. Gates are services
	// of the roster; which environment listens to them is the policy's to say.
	Readers []attest.Digest
	Gates   map[string]attest.Digest
	// Writers hold digests too. When there are any, a write needs one of these
	// besides its signature; they do not read.
	Writers []attest.Digest

	MaxRequests int // worked on at the same time, streams aside, and as many on their way; 512 when zero
	MaxStreams  int // Records and Evidence at the same time, and as many Watch besides; 64 when zero
	MaxBodies   int // bytes of requests in memory at the same time; 64 MiB when zero
}

func (c Config) withDefaults() (Config, error) {
	if c.Ledger == nil || c.Trust == nil || c.Service == nil && c.Mirrors == "" || c.Now == nil {
		return c, errors.New("the service needs a ledger, trust, a service key and a clock")
	}
	if c.Mirrors != "" && (c.Service != nil || c.Timestamps != nil || c.Console != nil || c.Forges != nil) {
		return c, errors.New("a mirror signs nothing: it is given no keys")
	}
	if c.Mirrors == "" && (c.Trust.Service == nil || c.Trust.Service.ID() != c.Service.Public().ID()) {
		return c, errors.New("the service key is not the one that the trust folder names")
	}
	if named := c.Trust.Console; c.Mirrors == "" && ((named == nil) != (c.Console == nil) || named != nil && named.Key.ID() != c.Console.Public().ID()) {
		return c, errors.New("the console's key is not the one that the trust folder names")
	}
	if c.Pages && c.Console == nil {
		return c, errors.New("the console's pages need its key: a mirror, and a log whose trust folder names no console, have none")
	}
	if c.Trust.Log == nil || c.Trust.Log.VKey() != c.Ledger.Verifier().VKey() {
		return c, errors.New("the log's key is not the one that the trust folder names")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
	for _, l := range []struct {
		value *int
		or    int
	}{{&c.MaxRequests, 512}, {&c.MaxStreams, 64}, {&c.MaxBodies, 64 << 20}} {
		if *l.value == 0 {
			*l.value = l.or
		}
		if *l.value < 0 {
			return c, fmt.Errorf("limit %d is negative", *l.value)
		}
	}
	return c, nil
}

// A Server answers for one ledger, under the policy sets that are in force in it.
type Server struct {
	config  Config
	ledger  *ledger.Ledger
	log     *slog.Logger
	metrics *Metrics
	callers map[attest.Digest]caller
	health  *grpchealth.StaticChecker
	handler http.Handler
	pages   *console.Console // nil where there are none
	appends *ledgerService   // the one that counts negative evidence
	admit   admission

	arriving arrivals

	reading sync.Mutex // guards regime
	regime  *regime    // as of the newest state of the log that was looked at

	verdicts       *lru.Cache[question, *verdict] // what was answered last
	asking         [64]sync.Mutex                 // one of them for each question
	using          sync.Mutex                     // held from judging a use of broken glass until it is logged
	authenticators authenticators                 // of authenticators
	draining       context.Context                // done when the server stops
	drain          context.CancelFunc
}

// maxVerdicts bounds the verdicts that are remembered; each may be some 100 KB.
const maxVerdicts = 256

// New finds the policy sets of the ledger, and makes the service for it. Sets that are
// published later are taken up as they come. The ledger's Run must be running before requests come.
func New(ctx context.Context, c Config) (*Server, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{config: c, ledger: c.Ledger, log: c.Log, metrics: c.Metrics}
	r, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	s.admit = newAdmission(c.MaxRequests, c.MaxStreams)
	s.arriving = arrivals{now: c.Now, most: c.MaxRequests, room: int64(c.MaxBodies)}
	if s.callers, err = callers(c, r.history.Rosters()); err != nil {
		return nil, err
	}
	if s.verdicts, err = lru.New[question, *verdict](maxVerdicts); err != nil {
		return nil, err
	}
	s.draining, s.drain = context.WithCancel(context.WithoutCancel(ctx))
	s.metrics.size(func() float64 { return float64(c.Ledger.Head().Size) }, func() float64 { return float64(c.Ledger.Unpublished()) })
	s.appends = &ledgerService{Server: s}
	if c.Pages {
		if s.pages, err = newPages(s.appends); err != nil {
			return nil, err
		}
	}
	if c.Forges != nil {
		s.metrics.registry.MustRegister(c.Forges)
	}
	s.handler = s.routes(s.appends)
	return s, nil
}

// Policy is the policy set in force now, as far as the log was looked at.
func (s *Server) Policy() *policy.Set {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.regime.set(s.config.Now())
}

// Handler answers every request. It holds no connection: see Serve.
func (s *Server) Handler() http.Handler { return s.handler }

// Drain tells health checks and those who watch that the server stops.
func (s *Server) Drain() {
	for _, name := range append(serviceNames, "") {
		s.health.SetStatus(name, grpchealth.StatusNotServing)
	}
	s.drain()
}

// A caller is who a bearer token speaks for.
type caller struct {
	gate  string // roster id of a service; empty for a mere reader
	may   bool   // read
	write bool   // where a credential is asked for
	known bool   // by a token, whosever
}

// callers maps the digests of tokens to those who hold them.
func callers(c Config, rosters []*roster.Roster) (map[attest.Digest]caller, error) {
	m := make(map[attest.Digest]caller)
	for _, d := range c.Readers {
		m[d] = caller{may: true}
	}
	for _, d := range c.Writers {
		if _, twice := m[d]; twice {
			return nil, errors.New("the token of a writer is a reader's too")
		}
		m[d] = caller{write: true}
	}
	for id, d := range c.Gates {
		if !slices.ContainsFunc(rosters, func(r *roster.Roster) bool { p, ok := r.Principal(id); return ok && p.Kind == roster.Service }) {
			return nil, fmt.Errorf("gate %q is no service of the policy's people.yaml", id)
		}
		if _, twice := m[d]; twice {
			return nil, fmt.Errorf("the token of gate %q is somebody else's too", id)
		}
		m[d] = caller{gate: id, may: true}
	}
	return m, nil
}
