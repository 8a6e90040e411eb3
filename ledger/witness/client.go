package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// What a witness may answer besides a cosignature.
var (
	// ErrUnknownLog: the witness does not know the log (404).
	ErrUnknownLog = errors.New("the witness does not know the log")
	// ErrBadSignature: the witness takes the checkpoint's signature for wrong (403).
	ErrBadSignature = errors.New("the witness refuses the checkpoint's signature")
	// ErrInconsistent: the proof does not prove to the witness that the log only
	// grew (422), or it has cosigned another root for the same size (409).
	ErrInconsistent = errors.New("the witness has seen another log under this name")
	// ErrAhead: the witness has cosigned a checkpoint that is larger than the log.
	// The log was set back, or another one has its key.
	ErrAhead = errors.New("the witness has seen a larger log than this one")
	// ErrBadAnswer: the answer is none of the protocol.
	ErrBadAnswer = errors.New("the witness's answer is not of C2SP tlog-witness")
)

// A SizeError is the answer 409: the witness knows the log at another size than
// the one that the proof began at.
type SizeError struct{ Known uint64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("the witness knows the log at size %d", e.Known)
}

// A Client asks one witness. It is safe for concurrent use.
type Client struct {
	Witness *tlog.Witness
	URL     string       // submission prefix, without add-checkpoint
	HTTP    *http.Client // nil for NewHTTP()
}

// NewHTTP returns a client that follows no redirect and no proxy of the environment.
func NewHTTP() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 2, MaxResponseHeaderBytes: 16 << 10, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Add asks for a cosignature of cp, whose signed note the request holds, and
// returns the witness's signature line, verified. Whether its time is near to now
// is for the caller to judge. The errors of this package say what else the witness
// answered.
func (c *Client) Add(ctx context.Context, cp tlog.Checkpoint, r *Request) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/add-checkpoint", bytes.NewReader(r.Marshal()))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Witness.Name(), err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	client := c.HTTP
	if client == nil {
		client = NewHTTP()
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Witness.Name(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Witness.Name(), err)
	}
	line, err := c.read(cp, resp, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Witness.Name(), err)
	}
	return line, nil
}

func (c *Client) read(cp tlog.Checkpoint, resp *http.Response, body []byte) ([]byte, error) {
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("more than %d bytes: %w", maxAnswer, ErrBadAnswer)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return c.find(cp, body)
	case http.StatusConflict:
		kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err != nil || kind != "text/x.tlog.size" {
			return nil, fmt.Errorf("status 409 with %.80q: %w", resp.Header.Get("Content-Type"), ErrBadAnswer)
		}
		size, err := parseSize(body)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadAnswer, err)
		}
		return nil, &SizeError{size}
	case http.StatusNotFound:
		return nil, ErrUnknownLog
	case http.StatusForbidden:
		return nil, ErrBadSignature
	case http.StatusUnprocessableEntity:
		return nil, ErrInconsistent
	}
	return nil, fmt.Errorf("status %d, %.200q: %w", resp.StatusCode, body, ErrBadAnswer)
}

// find returns the witness's own line among those of an answer. A witness may
// have other keys, whose lines are passed over.
func (c *Client) find(cp tlog.Checkpoint, body []byte) ([]byte, error) {
	first := fmt.Errorf("no line of %s: %w", c.Witness.VKey(), ErrBadAnswer)
	for line := range bytes.Lines(body) {
		_, err := c.Witness.Verify(cp, line)
		if err == nil {
			return line, nil
		}
		if bytes.HasPrefix(line, []byte("— "+c.Witness.Name()+" ")) {
			first = err
		}
	}
	return nil, first
}
