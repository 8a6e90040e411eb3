package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
)

// releasing are the flags of attest release.
type releasing struct {
	signing
	repo, repository, name, to, from string
}

func newAttestRelease(a *app) *cobra.Command {
	var f releasing
	c := &cobra.Command{
		Use:   "release ARTIFACT… --to REV",
		Short: "Say which commit artifacts were built from",
		Example: `  countersign attest release litestream-0.5.9.tar --repo . --repository github.com/org/repo \
    --name v0.5.9 --from v0.5.8 --to v0.5.9 --key builder.pem`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.attestRelease(c.Context(), args, f) },
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.repo, "repo", ".", "git repository to read")
	fl.StringVar(&f.repository, "repository", os.Getenv("COUNTERSIGN_REPOSITORY"), "its id, host/path (COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&f.name, "name", "", "name of the release (default: --to)")
	fl.StringVar(&f.to, "to", "", "commit or tag that was built (needed)")
	fl.StringVar(&f.from, "from", "", "where the release begins; a hint, the verifier finds it itself")
	return c
}

func (a *app) attestRelease(ctx context.Context, artifacts []string, f releasing) error {
	r, err := gitfacts.Open(ctx, f.repo)
	if err != nil {
		return wrong("--repo: %v", err)
	}
	defer r.Close()
	rel := &attest.Release{Repository: f.repository, Name: f.name, ReleasedAt: attest.At(a.now())}
	id, err := r.Resolve(ctx, f.to)
	if err != nil {
		return wrong("--to: %v", err)
	}
	rel.To = string(id)
	if f.from != "" {
		if id, err = r.Resolve(ctx, f.from); err != nil {
			return wrong("--from: %v", err)
		}
		rel.From = string(id)
	}
	if rel.Name == "" {
		rel.Name = f.to
	}
	st := &attest.Statement{Predicate: rel}
	for _, path := range artifacts {
		d, err := digestFile(path)
		if err != nil {
			return wrong("%v", err)
		}
		st.Subjects = append(st.Subjects, attest.Subject{Name: filepath.Base(path), Digest: map[string]string{"sha256": d.String()}})
	}
	return a.logStatement(ctx, st, fmt.Sprintf("release %s of %.12s", rel.Name, rel.To), f.signing)
}

func digestFile(path string) (*attest.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	d := attest.Digest(h.Sum(nil))
	return &d, nil
}
