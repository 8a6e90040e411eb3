package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Limits on what one request may bring and take.
const (
	MaxCheckpoint = 64 << 10 // bytes of a checkpoint
	// DefaultTimeout bounds one request, headers and body.
	DefaultTimeout = 30 * time.Second
)

// ErrNotServed says that the log does not have what was asked, or shows it to
// nobody: 404 or 410.
var ErrNotServed = errors.New("not served")

// Remote is a log's read interface of C2SP tlog-tiles over HTTP. It speaks with one
// host: a redirect is an error. It is safe for concurrent use.
type Remote struct {
	base    string // without a slash at the end
	token   string
	timeout time.Duration
	client  *http.Client
}

// NewRemote reads the log below a URL such as "https://log.example/prefix"; its
// checkpoint is at "/checkpoint" below it. A bearer token, where it is not empty,
// goes with every request. Each request takes at most timeout, DefaultTimeout
// where that is zero.
func NewRemote(base, token string, timeout time.Duration) (*Remote, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%.200q is not the URL of a log, such as https://log.example", base)
	}
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	client := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Remote{base: strings.TrimSuffix(base, "/"), token: token, timeout: timeout, client: client}, nil
}

// Checkpoint returns the newest signed checkpoint that the log shows, unchecked.
func (r *Remote) Checkpoint(ctx context.Context) ([]byte, error) {
	return r.read(ctx, "checkpoint", MaxCheckpoint)
}

// Tile returns a tile or an entry bundle that is exactly as wide as asked. A log
// that has only the full tile left answers with that, and it is cut (C2SP
// tlog-tiles, "Partial tiles"). Bytes that are no such tile are tlog.ErrBadTile.
func (r *Remote) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	b, err := r.tile(ctx, t)
	if errors.Is(err, ErrNotServed) && t.Width < tlog.TileWidth {
		full := t
		full.Width = tlog.TileWidth
		if b, err := r.tile(ctx, full); err == nil {
			return cutTile(b, t)
		}
	}
	return b, err
}

func (r *Remote) tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	path := tlog.TilePath(t)
	if t.Level == tlog.EntriesLevel {
		return r.read(ctx, path, tlog.MaxEntryBundle/tlog.TileWidth*t.Width)
	}
	want := t.Width * tlog.HashSize
	b, err := r.read(ctx, path, want)
	if err == nil && len(b) != want {
		err = fmt.Errorf("%s: %d bytes, want %d: %w", path, len(b), want, tlog.ErrBadTile)
	}
	return b, err
}

// cutTile makes a full tile as narrow as t.
func cutTile(b []byte, t tlog.Tile) ([]byte, error) {
	if t.Level != tlog.EntriesLevel {
		return b[:t.Width*tlog.HashSize], nil
	}
	entries, err := tlog.ParseEntries(b, tlog.TileWidth)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tlog.TilePath(t), err)
	}
	n := 0
	for _, e := range entries[:t.Width] {
		n += 2 + len(e)
	}
	return b[:n], nil
}

// read gets what is at a path, and no more than limit bytes of it.
func (r *Remote) read(ctx context.Context, path string, limit int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	req.Header.Set("User-Agent", "countersign-follow")
	if path == "checkpoint" {
		req.Header.Set("Cache-Control", "no-cache") // an old copy would look like a rollback
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer resp.Body.Close()
	if err := checkStatus(resp); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes: %w", path, limit, tlog.ErrBadTile)
	}
	return b, nil
}

func checkStatus(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusNotFound || code == http.StatusGone:
		return fmt.Errorf("%d: %w", code, ErrNotServed)
	case code >= 300 && code < 400:
		return fmt.Errorf("it redirects to %.200q: give that URL, if you trust it", resp.Header.Get("Location"))
	case code == http.StatusUnauthorized:
		return fmt.Errorf("%d: a token is needed", code)
	}
	return fmt.Errorf("the server answers %d", resp.StatusCode)
}
