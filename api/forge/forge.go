// Package forge turns what GitHub, GitLab, Gitea and Forgejo tell of reviews and merges
// into statements. A delivery is checked, kept and answered at once; a worker then finds
// out what is to be said of it, and logs that. What is said is a function of the review
// or merge and not of the delivery, so deliveries may come twice, late or in any order.
package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// MaxDelivery is the largest body that is read, in bytes. GitHub sends up to 25 MB, of
// pushes with thousands of commits; what such a push did is read from the repository.
const MaxDelivery = attest.MaxRequest

// A Kind is a make of forge.
type Kind string

// The kinds. Gitea is Forgejo, too.
const (
	GitHub Kind = "github"
	GitLab Kind = "gitlab"
	Gitea  Kind = "gitea"
)

// Kinds are all of them.
var Kinds = []string{string(GitHub), string(GitLab), string(Gitea)}

// Config is one connection to a forge.
type Config struct {
	ID     string // roster id of the service, and the last part of the URL that deliveries go to
	Kind   Kind
	Host   string             // of the accounts, and of the repositories' ids
	Secret []byte             // that deliveries are signed with, 16 bytes or more
	Key    *attest.PrivateKey // signs; the connection's own
	// Token reads reviews, and clones. Without one deliveries are all that is known, and
	// repositories must be readable by everybody.
	Token string
	API   string // URL of the forge's API; the usual one of the host when empty
	// Environments are those that an approval on the forge is for.
	Environments []string
	Repositories []Repository
	// Settle is how long a push is left alone before commits that no change became count
	// as unreviewed, and where there is no token a merge before it is admitted: a minute,
	// and three seconds, when zero. Forges know which change became a commit only after
	// they have said that there is one.
	Settle time.Duration
	Dir    string // what is kept: deliveries that wait, the numbers of those that came, clones
}

// A Repository is one that a connection speaks of.
type Repository struct {
	ID       string   // host/path
	Clone    string   // URL; the host's usual one when empty
	Branches []string // whose merges count, as refs/heads/NAME
}

// minSecret is the shortest secret, in bytes.
const minSecret = 16

func (c *Config) check() error {
	switch {
	case c.ID == "" || c.ID != url.PathEscape(c.ID):
		return fmt.Errorf("id %q is not one that can stand in a URL", c.ID)
	case !slices.Contains(Kinds, string(c.Kind)):
		return fmt.Errorf("forge %s: kind %q is none of %v", c.ID, c.Kind, Kinds)
	case c.Host == "" || c.Host != strings.ToLower(c.Host) || strings.ContainsAny(c.Host, "/@ "):
		return fmt.Errorf("forge %s: host %q is no host name in lower case", c.ID, c.Host)
	case len(c.Secret) < minSecret:
		return fmt.Errorf("forge %s: its secret has %d bytes and can be guessed; use %d random ones or more", c.ID, len(c.Secret), minSecret)
	case c.Key == nil || c.Dir == "":
		return fmt.Errorf("forge %s: it needs a key and a folder", c.ID)
	case c.Settle < 0 || c.Settle > time.Hour:
		return fmt.Errorf("forge %s: settle %s is not between 0 and an hour", c.ID, c.Settle)
	case len(c.Environments) == 0:
		return fmt.Errorf("forge %s: environments is empty, and then its approvals approve nothing", c.ID)
	case len(c.Repositories) == 0:
		return fmt.Errorf("forge %s: repositories is empty", c.ID)
	}
	for i := range c.Repositories {
		if err := c.checkRepository(&c.Repositories[i]); err != nil {
			return fmt.Errorf("forge %s: %w", c.ID, err)
		}
	}
	return nil
}

func (c *Config) checkRepository(r *Repository) error {
	if err := attest.ParseRepository(r.ID); err != nil {
		return err
	}
	host, path, _ := strings.Cut(r.ID, "/")
	if host != c.Host {
		return fmt.Errorf("repository %s is not on %s", r.ID, c.Host)
	}
	if r.Clone == "" {
		r.Clone = "https://" + host + "/" + path + ".git"
	}
	u, err := url.Parse(r.Clone)
	if err != nil || u.User != nil || !slices.Contains([]string{"https", "http", "file"}, u.Scheme) {
		return fmt.Errorf("clone of %s: %.200q is not an https, http or file URL without credentials", r.ID, r.Clone)
	}
	if len(r.Branches) == 0 {
		r.Branches = []string{"refs/heads/main"}
	}
	for _, b := range r.Branches {
		if name, ok := strings.CutPrefix(b, "refs/heads/"); !ok || !isRefName(name) {
			return fmt.Errorf("branch %.200q of %s is not refs/heads/NAME", b, r.ID)
		}
	}
	return nil
}

// A Ledger is where statements go. Statements that the ledger refuses for good come back
// as a RefusedError; every other error may pass.
type Ledger interface {
	// Roster is who there is now.
	Roster(context.Context) (*roster.Roster, error)
	// Log signs a statement and logs it, unless the log has it of this key already. fresh
	// is false then.
	Log(ctx context.Context, st *attest.Statement, key *attest.PrivateKey) (index uint64, fresh bool, err error)
	// Approvals lists the approvals, of whatever decision, that a key has logged about a
	// change, in log order.
	Approvals(ctx context.Context, repository, change string, key attest.KeyID) ([]*attest.Statement, error)
	// Admitted reports whether a key has logged an admission of a commit.
	Admitted(ctx context.Context, repository, commit string, key attest.KeyID) (bool, error)
}

// A RefusedError is a statement that the ledger takes from nobody, or not from this key.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// A Desk is all connections of a server.
type Desk struct {
	connections map[string]*connection
	metrics     *metrics
}

// A connection is one forge, with what waits to be looked at.
type connection struct {
	Config
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	queue   *queue
	reader  reader // nil without a token
	ledger  Ledger
}

// The usual times to settle.
const (
	settleMerge = 3 * time.Second
	settlePush  = time.Minute
)

// notBefore is when an event may be looked at.
func (c *connection) notBefore(e *Event, received time.Time) time.Time {
	switch {
	case e.Kind == Merged && c.reader == nil:
		return received.Add(cmp.Or(c.Settle, settleMerge))
	case e.Kind == Pushed && c.reader != nil:
		return received.Add(cmp.Or(c.Settle, settlePush))
	}
	return received
}

// Open opens what the connections keep. The clock is told, and the log may be nil.
func Open(configs []Config, now func() time.Time, log *slog.Logger) (*Desk, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Desk{connections: make(map[string]*connection), metrics: newMetrics()}
	keys := make(map[attest.KeyID]string)
	for _, c := range configs {
		if err := c.check(); err != nil {
			return nil, errors.Join(err, d.Close())
		}
		id := c.Key.Public().ID()
		if other, twice := keys[id]; twice {
			return nil, errors.Join(fmt.Errorf("forges %s and %s have one key: one key, one voice", other, c.ID), d.Close())
		}
		if d.connections[c.ID] != nil {
			return nil, errors.Join(fmt.Errorf("forge %s is there twice", c.ID), d.Close())
		}
		keys[id] = c.ID
		if err := os.MkdirAll(filepath.Join(c.Dir, "clones"), 0o700); err != nil {
			return nil, errors.Join(err, d.Close())
		}
		q, err := openQueue(c.Dir)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("forge %s: %w", c.ID, err), d.Close())
		}
		x := &connection{Config: c, now: now, log: log.With("forge", c.ID), metrics: d.metrics, queue: q}
		if x.reader, err = newReader(&c); err != nil {
			return nil, errors.Join(fmt.Errorf("forge %s: %w", c.ID, err), q.close(), d.Close())
		}
		d.connections[c.ID] = x
		d.metrics.watch(c.ID, q.length)
	}
	return d, nil
}

// Close ends what Open began.
func (d *Desk) Close() error {
	var errs []error
	for _, c := range d.connections {
		errs = append(errs, c.queue.close())
	}
	return errors.Join(errs...)
}

// Run works through what comes in, until the context is done. What is under way is left,
// and begun anew at the next start.
func (d *Desk) Run(ctx context.Context, ledger Ledger) {
	var all sync.WaitGroup
	for _, c := range d.connections {
		c.ledger = ledger
		all.Go(func() { c.run(ctx) })
	}
	all.Wait()
}

// A Receipt says what became of a delivery.
type Receipt struct {
	// Status is queued, seen (it came before) or ignored (nothing is to be said of it).
	Status string `json:"status"`
	Event  string `json:"event,omitempty"`
}

// The words of a Receipt.
const (
	Queued  = "queued"
	Seen    = "seen"
	Ignored = "ignored"
)

// Receive takes a delivery: its connection, its header, and its body, byte for byte. When
// it returns Queued the event is on disk. The error is a *Rejection.
func (d *Desk) Receive(name string, header http.Header, body []byte) (Receipt, error) {
	c := d.connections[name]
	if c == nil {
		return Receipt{}, reject(Unknown, "there is no forge %.100q here", name)
	}
	r, err := c.receive(header, body)
	outcome := r.Status
	var rejection *Rejection
	if errors.As(err, &rejection) {
		outcome = string(rejection.Reason)
	} else if err != nil {
		outcome = "failed"
	}
	c.metrics.deliveries.WithLabelValues(c.ID, outcome).Inc()
	return r, err
}

func (c *connection) receive(header http.Header, body []byte) (Receipt, error) {
	if len(body) > MaxDelivery {
		return Receipt{}, reject(TooLarge, "the delivery has more than %d bytes", MaxDelivery)
	}
	d, err := c.open(header, body)
	if err != nil {
		return Receipt{}, err
	}
	switch known, again := c.queue.known(d); {
	case again:
		return Receipt{Status: Seen, Event: d.event}, nil
	case known:
		return Receipt{}, reject(Replayed, "this body, or this delivery's id, came before with another one")
	}
	e, err := c.read(d)
	if err != nil {
		return Receipt{}, err
	}
	if e == nil {
		return Receipt{Status: Ignored, Event: d.event}, nil
	}
	j := job{Delivery: d.id, Body: d.digest, Event: *e, Received: c.now().UTC()}
	j.notBefore = c.notBefore(e, j.Received)
	return Receipt{Status: Queued, Event: d.event}, c.queue.add(j)
}
