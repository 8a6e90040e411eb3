package gitfacts

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os/exec"
	"strconv"
	"strings"
)

// Limits of Blobs.
const (
	maxBlobs    = 100_000
	maxBlobSize = 1 << 20 // bytes
)

// A Blob is a file in the tree of a ref that is no branch: a note, whose path is the
// object that it is about, in pieces, or an attestation that a tool keeps in git.
type Blob struct {
	Path    string
	Content []byte
}

// Blobs reads the files in the tree of a ref, such as refs/notes/commits or
// refs/gittuf/attestations, in the order of their paths. One of more than 1 MiB comes
// with an error of its own, and the reading goes on; more than 100,000 end it.
func (r *Repo) Blobs(ctx context.Context, ref string) iter.Seq2[Blob, error] {
	return func(yield func(Blob, error) bool) {
		list, err := r.listBlobs(ctx, ref)
		if err != nil {
			yield(Blob{}, err)
			return
		}
		for _, b := range list {
			if b.size > maxBlobSize {
				if !yield(Blob{Path: b.path}, fmt.Errorf("%s has %d bytes; the limit is %d", b.path, b.size, maxBlobSize)) {
					return
				}
				continue
			}
			content, err := r.object(ctx, b.id, "blob")
			if !yield(Blob{b.path, content}, err) || err != nil {
				return
			}
		}
	}
}

type listed struct {
	id   ID
	size int64
	path string
}

func (r *Repo) listBlobs(ctx context.Context, ref string) ([]listed, error) {
	if !strings.HasPrefix(ref, "refs/") {
		return nil, fmt.Errorf("%.80q is no ref; its name begins with refs/", ref)
	}
	out, err := r.git(ctx, "ls-tree", "-r", "-z", "--long", "--end-of-options", ref)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s: %w; fetch it: git fetch origin %s:%s", ref, ErrNotFound, ref, ref)
	}
	if err != nil {
		return nil, err
	}
	var list []listed
	for line := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		about, path, ok := strings.Cut(line, "\t")
		fields := strings.Fields(about)
		if !ok || len(fields) != 4 || fields[1] != "blob" {
			continue
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: read the size of %.200q: %w", ref, path, err)
		}
		if list = append(list, listed{ID(fields[2]), size, path}); len(list) > maxBlobs {
			return nil, fmt.Errorf("%s has more than %d files", ref, maxBlobs)
		}
	}
	return list, nil
}
