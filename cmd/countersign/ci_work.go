package main

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A ciStep is one thing that a job does.
type ciStep struct {
	what string
	args []string // the command that does it alone
	gate bool     // its answer is a verdict
	do   func(context.Context, *app) error

	done bool
	said bytes.Buffer // what it printed
	err  error
}

func (r *ciRun) add(s *ciStep) { r.steps = append(r.steps, s) }

// work sees that the clone has what is needed, and does the steps, unless that is only
// to be said. The first that fails is the last.
func (r *ciRun) work(ctx context.Context) error {
	if len(r.steps) == 0 {
		return nil
	}
	err := r.complete(ctx)
	if !r.json() {
		r.printHead()
	}
	if err != nil {
		return err
	}
	if r.flags.dry {
		if slices.ContainsFunc(r.steps, func(s *ciStep) bool { return s.gate }) {
			return broken("dry run: the gate was not asked, so nothing may go to %s", r.job.Environment)
		}
		return nil
	}
	for _, s := range r.steps {
		own := *r.app
		own.out = &s.said
		if !r.json() {
			own.out = io.MultiWriter(r.out, &s.said)
			r.quoted(func() { s.err = s.do(ctx, &own) })
		} else {
			s.err = s.do(ctx, &own)
		}
		if s.done = true; s.err != nil {
			return s.err
		}
	}
	return nil
}

// redacted is a URL without the password that may be in it.
func redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(no URL)"
	}
	return u.Redacted()
}

// shellWords writes a command as a shell would read it.
func shellWords(args []string) string {
	words := make([]string, len(args))
	for i, w := range args {
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@+") != "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

// result is what a step printed, for programs.
func (s *ciStep) result() jsontext.Value {
	v := jsontext.Value(bytes.TrimSpace(s.said.Bytes()))
	if !v.IsValid() {
		return nil
	}
	return v
}
