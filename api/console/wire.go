package console

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
)

// maxBody bounds what a page sends, in bytes.
const maxBody = 64 << 10

// bytes64 is base64url without padding in JSON.
type bytes64 []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *bytes64) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.Strict().DecodeString(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (b bytes64) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// read takes a request's JSON, strictly.
func read(r *http.Request, into any) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return err
	}
	if len(text) > maxBody {
		return &Fault{http.StatusRequestEntityTooLarge, "TOO_LARGE", "What the page sent is too large."}
	}
	if err := json.Unmarshal(text, into, json.RejectUnknownMembers(true)); err != nil {
		return &Fault{http.StatusBadRequest, "MALFORMED", "What the page sent cannot be read: " + err.Error()}
	}
	return nil
}

// answers serves one call of a page's script. Only our own pages may call: a browser
// says where a request comes from, and JSON cannot be sent by a form.
func (s *Console) answers(call func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := s.sameOrigin(r)
		var out any
		if err == nil {
			out, err = call(r)
		}
		if err != nil {
			status, kind, message := s.describe(r, err)
			if status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", strconv.Itoa(1))
			}
			s.send(w, status, map[string]string{"kind": kind, "message": message})
			return
		}
		s.send(w, http.StatusOK, out)
	}
}

func (s *Console) send(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"kind":"INTERNAL","message":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// sameOrigin refuses what another page sent.
func (s *Console) sameOrigin(r *http.Request) error {
	foreign := &Fault{http.StatusForbidden, "WRONG_ORIGIN", "This was not sent by one of this console's own pages (" + s.config.Party.Origins[0] + Path + ")."}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return foreign
	}
	if !slices.Contains(s.config.Party.Origins, r.Header.Get("Origin")) {
		return foreign
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Fault{http.StatusUnsupportedMediaType, "MALFORMED", "Only application/json is taken here."}
	}
	return nil
}

func (s *Console) describe(r *http.Request, err error) (status int, kind, message string) {
	var f *Fault
	if errors.As(err, &f) {
		return f.Status, f.Kind, f.Message
	}
	return s.config.Describe(r.Context(), err)
}
