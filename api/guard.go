package api

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/api/console"
	"github.com/countersign-dev/countersign/attest"
)

// unaryTimeout bounds the work on one request that is no stream.
const unaryTimeout = 30 * time.Second

// contextKey is for what guard puts into a request's context.
type contextKey int

const (
	keyRequestID contextKey = iota
	keyCaller
)

// requestID is the id that the request came with, or was given.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}

// callerOf is who asks: the zero caller is nobody in particular.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(keyCaller).(caller)
	return c
}

// guard stands before every route: it names the request, asks for the token, reads
// the body, limits how many requests there are, bounds the time, and writes the log.
func (s *Server) guard(next http.Handler) http.Handler {
	wire := connect.NewErrorWriter()
	refuse := func(w http.ResponseWriter, r *http.Request, err error) {
		if s.pageOf(r) {
			// A browser shows its own dialogue, and sends the token as the password.
			w.Header().Set("WWW-Authenticate", `Basic realm="countersign: any name, and a reader's token", charset="UTF-8"`)
			if errors.As(err, new(*badRequest)) { // before anybody was let in: not even who there is
				console.Protect(w.Header())
				s.failPlain(w, r, err)
				return
			}
			s.pages.Fail(w, r, err)
			return
		}
		if r.Method == http.MethodPost && wire.IsSupported(r) && r.URL.Path != "/gate" && !strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, forgePrefix) {
			_ = wire.Write(w, r, s.fail(r.Context(), err))
			return
		}
		s.failPlain(w, r, err)
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := s.config.Now()
		id := nameRequest(r)
		ctx := context.WithValue(r.Context(), keyRequestID, id)
		w := &answer{ResponseWriter: rw}
		w.Header().Set("X-Request-Id", id)
		defer func() {
			if broken := recover(); broken != nil && broken != http.ErrAbortHandler {
				s.log.ErrorContext(ctx, "panic", "request", id, "path", r.URL.Path, "panic", broken, "stack", string(debug.Stack()))
				if w.status == 0 {
					s.failPlain(w, r.WithContext(ctx), errPanic)
				}
			}
			s.log.DebugContext(ctx, "request", "request", id, "method", r.Method, "path", r.URL.Path, "status", w.status, "took", s.config.Now().Sub(start))
		}()

		who, err := s.identify(r)
		if err == nil && !who.may && !open(r.URL.Path) {
			err = &badRequest{kindUnauthenticated, "this server needs a bearer token for reads"}
		}
		if err == nil && len(s.config.Writers) > 0 && writes(r.URL.Path) && !who.write {
			err = &badRequest{kindUnauthenticated, "this server needs a write credential: a bearer token, or the password in the URL's user info"}
		}
		if err == nil && len(s.config.Writers) > 0 && s.logsByPage(r) && !who.known {
			err = &badRequest{kindUnauthenticated, "this server logs nothing for whoever shows no token: here a reader's will do, as the password"}
		}
		if err == nil && r.ContentLength > attest.MaxRequest {
			err = tooLarge("the request has %d bytes; the limit is %d", r.ContentLength, attest.MaxRequest)
		}
		if err != nil {
			refuse(w, r.WithContext(ctx), err)
			return
		}
		ctx = context.WithValue(ctx, keyCaller, who)
		if r.Body, err = s.arrive(rw, r); err != nil {
			refuse(w, r.WithContext(ctx), err)
			return
		}
		defer r.Body.Close()
		stays := staysFor(r.URL.Path)
		leave, ok := s.admit.enter(stays)
		if !ok {
			refuse(w, r.WithContext(ctx), errOverloaded)
			return
		}
		defer leave()
		if stays != anAnswer {
			// Streams last longer than the server's timeouts allow.
			c := http.NewResponseController(rw)
			_ = c.SetReadDeadline(time.Time{})
			_ = c.SetWriteDeadline(time.Time{})
		}
		if stays != asLongAsAsked {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeouts[stays])
			defer cancel()
		}
		if stays == aFetch { // whoever does not read holds the place no longer than that
			defer context.AfterFunc(ctx, func() { _ = http.NewResponseController(rw).SetWriteDeadline(time.Unix(1, 0)) })()
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// errPanic is what a caller hears of a panic.
var errPanic = io.ErrUnexpectedEOF

// nameRequest takes the id that a proxy gave, when it is fit for a log, or makes one.
func nameRequest(r *http.Request) string {
	const fit = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if id := r.Header.Get("X-Request-Id"); id != "" && len(id) <= 64 && strings.Trim(id, fit) == "" {
		return id
	}
	return rand.Text()[:16]
}

// identify finds out whose token came with the request: as a bearer token, or as the
// password of HTTP Basic, which is what clients make of a URL's user info. A token that
// is not known is refused, even where none is needed.
func (s *Server) identify(r *http.Request) (caller, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return caller{may: s.config.OpenReads}, nil
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	if _, password, basic := r.BasicAuth(); basic {
		token, ok = password, true
	}
	// Looking up digests tells nothing about how close a guess was.
	who, known := s.callers[attest.DigestOf([]byte(token))]
	if !ok || !known {
		return caller{}, &badRequest{kindUnauthenticated, "the bearer token is not known here"}
	}
	who.known = true
	who.may = who.may || s.config.OpenReads
	return who, nil
}

// An answer remembers its status. Connect answers what is too large with 429,
// which means that trying again helps; here it is 413.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	if status == http.StatusTooManyRequests {
		status = http.StatusRequestEntityTooLarge
	}
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Flush is for streams.
func (a *answer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// Unwrap lets http.ResponseController find the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// A stay is how long a request may hold its place.
type stay int

const (
	anAnswer      stay = iota
	aFetch             // a stream with an end
	asLongAsAsked      // a stream that lasts until somebody hangs up
)

// timeouts are how long the work on a request may take, writing the answer included.
var timeouts = map[stay]time.Duration{anAnswer: unaryTimeout, aFetch: 10 * time.Minute}

// admission bounds what is worked on. Those who only wait have places of their own, so
// that they are in nobody's way who fetches evidence.
type admission map[stay]chan struct{}

func newAdmission(requests, streams int) admission {
	return admission{anAnswer: make(chan struct{}, requests), aFetch: make(chan struct{}, streams), asLongAsAsked: make(chan struct{}, streams)}
}

// enter takes a place, which leave gives back; false when there is none.
func (a admission) enter(s stay) (leave func(), ok bool) {
	places := a[s]
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	default:
		return nil, false
	}
}
