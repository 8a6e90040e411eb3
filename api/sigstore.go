package api

import (
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"github.com/countersign-dev/countersign/api/tuf"
	"github.com/countersign-dev/countersign/verify/sigstoreroot"
)

// tufPrefix is where the TUF repository is; clients are given it as their mirror.
const tufPrefix = "/tuf/"

// Sigstore are the documents for clients of Sigstore, in JSON.
type Sigstore struct{ TrustedRoot, SigningConfig []byte }

func (d Sigstore) documents() map[string][]byte {
	return map[string][]byte{sigstoreroot.TrustedRootFile: d.TrustedRoot, sigstoreroot.SigningConfigFile: d.SigningConfig}
}

// tellsTrust says which paths are for clients that have no token yet, and need none:
// what they get is public keys and addresses.
func tellsTrust(path string) bool {
	return strings.HasPrefix(path, tufPrefix) || path == "/"+sigstoreroot.TrustedRootFile || path == "/"+sigstoreroot.SigningConfigFile
}

// document serves what the TUF repository says under a name, so that nobody hears two
// different things, and without a repository what this server was told.
func (s *Server) document(name string, otherwise []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text := otherwise
		if s.config.TUF != nil {
			newest, err := s.config.TUF.Target(name)
			if err == nil {
				text = newest
			} else if !errors.Is(err, tuf.ErrNone) && !errors.Is(err, fs.ErrNotExist) {
				s.failPlain(w, r, err)
				return
			}
		}
		if text == nil {
			s.failPlain(w, r, notFound("this server has no %s", name))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-cache")
		serveBytes(w, text)
	}
}

// tufFile serves the repository. 404 is how clients learn that there is no newer root.
func (s *Server) tufFile(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, tufPrefix)
	text, immutable, err := s.config.TUF.File(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = notFound("the TUF repository has no %.200q", path)
	}
	if err != nil {
		s.failPlain(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	if immutable {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	serveBytes(w, text)
}
