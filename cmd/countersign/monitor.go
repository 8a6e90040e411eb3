package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/follow"
)

type monitoring struct {
	following
	keys, signers, identities []string
	expectNone                bool
}

func newMonitor(a *app) *cobra.Command {
	var f monitoring
	c := &cobra.Command{
		Use:   "monitor [URL] --key PUBKEY.pem --state DIR --trust DIR",
		Short: "Tell who signed as me: every entry that a key has made",
		Long: `Follow the log as "countersign follow" does, and report every entry that names one of
your keys as its signer: which you made, or somebody who holds your key. It reads every
leaf and asks no index, so the log cannot leave one out. An entry whose statement the log
does not show is reported as such.

What was reported is not reported again: the --state folder remembers, and is for this
list of keys alone. Another list needs another folder, which begins with the first entry.

With --once and --expect-none, an entry that is new ends the command with exit 1.`,
		Example: `  countersign monitor https://log.example --key alice.pub --state me-state --trust trust
  countersign monitor --signer f55e28cb6abb514439c2d3d1f525f85088b61b2a4d8c2e1f3a17990706b9fa9d \
    --state me-state --trust trust --once --expect-none`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.url = strings.Join(args, "")
			return a.monitor(c.Context(), f)
		},
	}
	f.flags(c)
	fl := c.Flags()
	fl.StringArrayVar(&f.keys, "key", nil, "file of a public key, PEM (can be repeated)")
	fl.StringArrayVar(&f.signers, "signer", nil, "id of a key: SHA-256 of its SPKI in hex (can be repeated)")
	fl.StringArrayVar(&f.identities, "identity", nil, "ISSUER,SUBJECT as a certificate names somebody (can be repeated)")
	fl.BoolVar(&f.expectNone, "expect-none", false, "with --once: exit 1 when something new was found")
	return c
}

// watch reads whom to look for.
func (f *monitoring) watch() (follow.Watch, error) {
	var w follow.Watch
	for _, path := range f.keys {
		text, err := readFile(path, 64<<10)
		if err != nil {
			return w, err
		}
		key, err := attest.ParsePublicKeyPEM(text)
		if err != nil {
			return w, wrong("--key: %s: %v", path, err)
		}
		w.Keys = append(w.Keys, key.ID())
	}
	for _, s := range f.signers {
		b, err := hex.DecodeString(s)
		var id attest.KeyID
		if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
			return w, wrong("--signer %.80q: is not 64 lower-case hex digits", s)
		}
		w.Keys = append(w.Keys, attest.KeyID(b))
	}
	for _, s := range f.identities {
		id, err := follow.ParseIdentity(s)
		if err != nil {
			return w, wrong("--identity: %v", err)
		}
		w.Identities = append(w.Identities, id)
	}
	if len(w.Keys)+len(w.Identities) == 0 {
		return w, wrong("--key, --signer or --identity is needed: whom to look for?")
	}
	if len(w.String()) > follow.MaxPurpose {
		return w, wrong("that is too many to look for at once")
	}
	return w, nil
}

func (a *app) monitor(ctx context.Context, f monitoring) error {
	if f.expectNone && !f.once {
		return wrong("--expect-none needs --once: without it the command does not end")
	}
	watch, err := f.watch()
	if err != nil {
		return err
	}
	w, err := a.openFollower(f.following, "monitor\n"+watch.String())
	if err != nil {
		return err
	}
	defer w.State.Close()
	if f.url != "" {
		a.server = f.url
	}
	m := &monitor{app: a, watch: watch, reported: make(map[uint64]bool)}
	if m.trust, err = needTrust(f.trust); err != nil {
		return err
	}
	if m.ledger, err = a.connect(); err != nil {
		return err
	}
	w.Each = m.entry
	if err := a.keepLooking(ctx, f.following, w, m.sum); err != nil {
		return err
	}
	if f.expectNone && len(m.reported) > 0 {
		return silent(exitNo)
	}
	return nil
}

// A monitor reports entries. One that is read again because a look was cut short
// is not reported twice in the life of a process.
type monitor struct {
	*app
	watch    follow.Watch
	trust    *verify.Trust
	ledger   *ledger
	reported map[uint64]bool
	before   int // how many were reported before the present look
}

// A sighting is one entry that concerns somebody.
type sighting struct {
	Index uint64 `json:"index"`
	Match string `json:"match"` // whom of the list; empty where nobody can tell
	Shown bool   `json:"shown"` // the log showed the statement, and it is the leaf's
	Why   string `json:"why,omitempty"`
	// The rest is of the statement.
	Time     *time.Time `json:"time,omitempty"` // when the log took it, by its timestamp
	Type     string     `json:"predicateType,omitempty"`
	About    string     `json:"about,omitempty"`
	Subjects []string   `json:"subjects,omitempty"`
}

// entry looks at one leaf. It reports at once, even where the log does not answer:
// a log that is silent must not be able to hold back that there is something.
func (m *monitor) entry(ctx context.Context, e follow.Entry) error {
	x := sighting{Index: e.Index}
	switch {
	case m.reported[e.Index]:
		return nil
	case e.Unreadable != nil:
		x.Why = "the entry is of no kind that this version knows: nobody here can tell who signed it"
	default:
		if x.Match = m.watch.Match(e.Parts); x.Match == "" {
			return nil
		}
		if err := m.fill(ctx, e, &x); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			_, why := classify(err)
			if why == "" {
				why = err.Error()
			}
			x.Why = "the log does not show the statement: " + why
		}
	}
	m.reported[e.Index] = true
	if m.json() {
		return m.writeLine(x)
	}
	m.say(x)
	return nil
}

// fill adds what the statement says, which must be the one that the leaf is made
// from: what a server tells beside it is not looked at.
func (m *monitor) fill(ctx context.Context, e follow.Entry, x *sighting) error {
	got, err := m.app.entry(ctx, m.ledger, e.Index)
	if err != nil {
		return err
	}
	if got.Unseen {
		return errors.New("it has only hash and signature (until somebody attaches what was signed)")
	}
	b, err := attest.ParseBundle(got.Bundle)
	if err != nil {
		return err
	}
	b.Leaf = e.Leaf
	key, err := verify.LoggedKey(b)
	if err != nil {
		return err
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return err
	}
	logged, err := attest.Log(b, st, key)
	if err != nil {
		return err
	}
	x.Shown, x.Type, x.About = true, st.Predicate.Type(), about(logged.Keys)
	for _, s := range st.Subjects {
		for alg, digest := range s.Digest {
			x.Subjects = append(x.Subjects, alg+":"+digest)
		}
	}
	slices.Sort(x.Subjects)
	if b.Receipt == nil {
		x.Why = "the log gives no timestamp for it"
		return nil
	}
	at, err := m.trust.Stamp(b.Receipt.Token, b.Signature)
	if err != nil {
		x.Why = fmt.Sprintf("TIME_UNTRUSTED: %v", err)
		return nil
	}
	x.Time = &at
	return nil
}

// about is the change or the repository among the search keys of a statement.
func about(keys []string) string {
	for _, prefix := range []string{"change:", attest.RepositoryKey("")} {
		for _, key := range keys {
			if s, ok := strings.CutPrefix(key, prefix); ok {
				return s
			}
		}
	}
	return ""
}

func (m *monitor) say(x sighting) {
	if !x.Shown {
		who := x.Match
		if who == "" {
			who = "anybody"
		}
		m.printf("%s  by %s: %s\n", m.red(fmt.Sprintf("#%d", x.Index)), who, printable(x.Why, 300))
		return
	}
	at := "time unknown (" + printable(x.Why, 200) + ")"
	if x.Time != nil {
		at = x.Time.Format(time.RFC3339)
	}
	what := x.About
	if what == "" && len(x.Subjects) > 0 {
		what = fmt.Sprintf("%.24s", x.Subjects[0])
	}
	m.printf("%s  %s  %s  %s  by %s\n", m.bold(fmt.Sprintf("#%d", x.Index)), at, shortType(x.Type), printable(what, 80), x.Match)
}

// sum ends a look.
func (m *monitor) sum(s follow.Step, once bool) error {
	news := len(m.reported) - m.before
	m.before = len(m.reported)
	if !once || m.json() {
		return nil
	}
	m.printf("%s\n", m.faint(fmt.Sprintf("%s: %s read, %d to report", describeCheckpoint(s.To), entries(s.To.Size-s.From.Size), news)))
	return nil
}
