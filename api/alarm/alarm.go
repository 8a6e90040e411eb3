package alarm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
)

// A Log is what is watched: package ledger's.
type Log interface {
	Head() ledger.Head
	Wait(ctx context.Context, size uint64) error
	Record(ctx context.Context, index uint64) (ledger.Record, error)
}

// A Receiver is somebody who wants to be told.
type Receiver struct {
	Name   string   // of the file that remembers how far it was told
	URL    string   // https, or http on loopback
	Events []string // kinds; empty: all
}

// Config is what a Sender needs; Dir is a folder for its cursors.
type Config struct {
	Receivers []Receiver
	Key       ed25519.PrivateKey
	Origin    string // of the log
	Dir       string
	Now       func() time.Time
	Log       *slog.Logger
	// Patience is how long one attempt may take, and Retry how long the first pause after
	// a failed one is; each further pause is twice as long, up to MaxRetry. Zero: 10 s, 1 s, 5 min.
	Patience, Retry, MaxRetry time.Duration
}

// A Sender tells receivers what was logged, each in its own order and at its own pace.
type Sender struct {
	Config
	client *http.Client
	id     string // prefix of message ids
}

var receiverName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// New checks a configuration.
func New(c Config) (*Sender, error) {
	for i, r := range c.Receivers {
		if !receiverName.MatchString(r.Name) || slices.ContainsFunc(c.Receivers[:i], func(o Receiver) bool { return o.Name == r.Name }) {
			return nil, fmt.Errorf("alarms: %.80q is no name, or is there twice: a-z, 0-9 and -, up to 64", r.Name)
		}
		if err := checkURL(r.URL); err != nil {
			return nil, fmt.Errorf("alarms: %s: %w", r.Name, err)
		}
		for _, e := range r.Events {
			if !slices.Contains(Kinds(), e) {
				return nil, fmt.Errorf("alarms: %s: there is no event %.80q; there are %v", r.Name, e, Kinds())
			}
		}
	}
	if len(c.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("alarms: there is no key to sign with")
	}
	for value, otherwise := range map[*time.Duration]time.Duration{&c.Patience: 10 * time.Second, &c.Retry: time.Second, &c.MaxRetry: 5 * time.Minute} {
		if *value <= 0 {
			*value = otherwise
		}
	}
	digest := attest.DigestOf([]byte(c.Origin)).String()
	return &Sender{Config: c, id: "log_" + digest[:16] + "_", client: &http.Client{
		Timeout:       c.Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return errors.New("its url is none")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return errors.New("its url must be https, or http on loopback")
	}
	return nil
}

// Run tells all receivers, until ctx is done. It returns the first failure of this side: a
// file that cannot be written, a log that cannot be read. A receiver's failure is none.
func (s *Sender) Run(ctx context.Context, log Log) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for i := range s.Receivers {
		all.Go(func() {
			if err := s.follow(ctx, log, &s.Receivers[i]); err != nil {
				stop(fmt.Errorf("alarms: %s: %w", s.Receivers[i].Name, err))
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil && ctx.Err() != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// follow tells one receiver of each entry in turn. A new one begins at the end of the log.
func (s *Sender) follow(ctx context.Context, log Log, r *Receiver) error {
	at := cursor{filepath.Join(s.Dir, r.Name+".next")}
	next, known, err := at.read()
	if err != nil {
		return err
	}
	if size := log.Head().Size; !known || next > size {
		if known {
			s.Log.WarnContext(ctx, "alarms: the log is shorter than what the receiver was told of", "receiver", r.Name, "next", next, "size", size)
		}
		next = size
		if err := at.write(next); err != nil {
			return err
		}
	}
	remember := func(next uint64) {
		if err := at.write(next); err != nil { // it would be told again after a restart
			s.Log.ErrorContext(ctx, "alarms: how far a receiver was told cannot be written down", "receiver", r.Name, "next", next, "error", err)
		}
	}
	for written := next; ; next++ {
		if log.Head().Size <= next && written != next { // idle: how far it was looked
			remember(next)
			written = next
		}
		if err := log.Wait(ctx, next); err != nil {
			return over(ctx, err)
		}
		record, err := log.Record(ctx, next)
		if err != nil {
			return over(ctx, err)
		}
		e, err := EventOf(s.Origin, &record)
		if err != nil {
			s.Log.ErrorContext(ctx, "alarms: nobody can read it, and nobody is told", "receiver", r.Name, "error", err)
		}
		if e == nil || len(r.Events) > 0 && !slices.Contains(r.Events, string(e.Type)) {
			continue
		}
		if err := s.tell(ctx, r, e); err != nil {
			return over(ctx, err)
		}
		remember(next + 1)
		written = next + 1
	}
}

// over is nil where the end was asked for, or the ledger's own.
func over(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, ledger.ErrClosed) {
		return nil
	}
	return err
}

// tell sends one message until the receiver takes it. Its error is the context's alone.
func (s *Sender) tell(ctx context.Context, r *Receiver, e *Event) error {
	body, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		return err
	}
	id := s.id + strconv.FormatUint(e.Data.Index, 10)
	for pause := s.Retry; ; pause = min(2*pause, s.MaxRetry) {
		err := s.send(ctx, r, id, body)
		if err == nil {
			return nil
		}
		s.Log.WarnContext(ctx, "alarms: not delivered; it is tried again", "receiver", r.Name, "event", string(e.Type), "index", e.Data.Index, "again", pause, "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// maxAnswer bounds what is read of an answer, in bytes: nothing in it matters.
const maxAnswer = 64 << 10

func (s *Sender) send(ctx context.Context, r *Receiver, id string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the request cannot be made")
	}
	now := s.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(headerID, id)
	req.Header.Set(headerTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(headerSignature, signature(s.Key, id, now, body))
	resp, err := s.client.Do(req)
	if err != nil {
		var of *url.Error // names the URL, which may hold a secret
		if errors.As(err, &of) {
			err = of.Err
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	return nil
}
