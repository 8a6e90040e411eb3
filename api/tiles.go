package api

import (
	"net/http"
	"strconv"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// checkpoint serves the newest signed checkpoint (C2SP tlog-tiles).
func (s *Server) checkpoint(w http.ResponseWriter, _ *http.Request) {
	note := s.ledger.Head().Note
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	serveBytes(w, note)
}

// tile serves a tile or an entry bundle by its path, such as tile/0/x001/067.
// Full ones never change. A partial one never changes either, but grows a
// successor, so nobody needs it for long.
func (s *Server) tile(w http.ResponseWriter, r *http.Request, path string) {
	t, err := tlog.ParseTilePath(path)
	if err != nil {
		s.failPlain(w, r, malformed("%v (C2SP tlog-tiles)", err))
		return
	}
	b, err := s.ledger.Tile(r.Context(), t)
	if err != nil {
		s.failPlain(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	if t.Width == tlog.TileWidth {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	serveBytes(w, b)
}

func serveBytes(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b)
}
