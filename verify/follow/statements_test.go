package follow_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/scenario"
	"github.com/countersign-dev/countersign/verify"
	"github.com/countersign-dev/countersign/verify/follow"
)

// rejected is a release whose one change carol rejects.
const rejected = `
	commit h1 alice src/a.go
	squash m1 of=h1
	change h1
	authorship alice h1 human
	approve bob h1
	reject carol h1
	admit m1
	release m1
	ask
`

// A stage is a story whose log is served as tiles, and somebody who has followed it.
type stage struct {
	t    *testing.T
	told *scenario.Told
	view verify.LogView
	w    *follow.Follower
	dir  string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	told, err := scenario.Tell(scenario.Story{Text: rejected}, scenario.Harmless)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = scenario.Clean() })
	s := &stage{t: t, told: told, dir: t.TempDir()}
	if s.view, err = told.Log.View(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := &history{name: "story"}
	for i := range s.view.Size {
		sealed, err := told.Log.Entry(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		h.leaves = append(h.leaves, sealed.Leaf)
	}
	site := newSite(t)
	site.show(h, len(h.leaves), func(path string, _ []byte) (int, []byte) {
		if path == "checkpoint" {
			return 200, s.view.Note
		}
		return 0, nil
	})
	remote, err := follow.NewRemote(site.url, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	log := told.Verifier.Trust().Log
	state, err := follow.OpenState(s.dir, log, "follow")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	s.w = &follow.Follower{Log: log, Source: remote, State: state}
	if _, err := s.w.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// bundle is an entry as a ledger shows it: the bundle with its leaf.
func (s *stage) bundle(ctx context.Context, index uint64) ([]byte, error) {
	sealed, err := s.told.Log.Entry(ctx, index)
	if err != nil {
		return nil, err
	}
	b, err := attest.ParseBundle(sealed.Body)
	if err != nil {
		return nil, err
	}
	b.Leaf, b.Receipt = sealed.Leaf, &tlog.Receipt{Index: index, Checkpoint: s.view.Note, Proof: sealed.Proof, Token: sealed.Token}
	return b.Marshal()
}

func (s *stage) readAll() {
	s.t.Helper()
	if n, err := s.w.Statements(s.t.Context(), s.bundle); err != nil || n != s.view.Size {
		s.t.Fatalf("%d statements of %d, %v", n, s.view.Size, err)
	}
}

// A trickster is the story's log, and leaves out or adds what it is told to.
type trickster struct {
	*scenario.Log
	find     func(key string, honest []uint64) []uint64
	negative func(links []verify.Link) []verify.Link
}

func (l trickster) Find(ctx context.Context, key string) ([]uint64, error) {
	honest, err := l.Log.Find(ctx, key)
	if l.find != nil {
		honest = l.find(key, slices.Clone(honest))
	}
	return honest, err
}

func (l trickster) Negative(ctx context.Context) ([]verify.Link, error) {
	links, err := l.Log.Negative(ctx)
	if l.negative != nil {
		links = l.negative(slices.Clone(links))
	}
	return links, err
}

func (l trickster) View(ctx context.Context) (verify.LogView, error) {
	view, err := l.Log.View(ctx)
	links, _ := l.Negative(ctx)
	view.ChainLength, view.Chain = uint64(len(links)), tlog.Hash{}
	if len(links) > 0 {
		view.Chain = links[len(links)-1].Chain
	}
	return view, err
}

// What somebody followed, nobody can leave out.
func TestNothingIsLeftOutOfWhatWasFollowed(t *testing.T) {
	s := newStage(t)
	s.readAll()
	links, err := s.told.Log.Negative(t.Context())
	if err != nil || len(links) != 1 {
		t.Fatalf("%d links, %v", len(links), err)
	}
	veto := links[0].Index
	without := func(index uint64) func(string, []uint64) []uint64 {
		return func(_ string, honest []uint64) []uint64 {
			return slices.DeleteFunc(honest, func(i uint64) bool { return i == index })
		}
	}
	for name, c := range map[string]struct {
		lie      trickster
		followed bool
		want     bool // an error
	}{
		"the truth":              {trickster{}, true, false},
		"the veto, and its link": {trickster{find: without(veto), negative: func([]verify.Link) []verify.Link { return nil }}, false, true},
		"the veto, whose link names another change": {trickster{find: without(veto), negative: func(l []verify.Link) []verify.Link {
			return []verify.Link{tlog.NextLink(tlog.Hash{}, l[0].Index, l[0].Leaf, tlog.ScopeOf("change:elsewhere#9"))}
		}}, false, true},
		"an approval": {trickster{find: without(veto - 1)}, false, true},
		"the change that names the head": {trickster{find: func(key string, honest []uint64) []uint64 {
			return slices.DeleteFunc(honest, func(i uint64) bool { return i == veto-3 })
		}}, false, true},
	} {
		src := trickster{Log: s.told.Log, find: c.lie.find, negative: c.lie.negative}
		v, err := verify.New(verify.Config{Trust: s.told.Verifier.Trust(), Roster: s.told.Set.Roster, Following: s.w.State})
		if err != nil {
			t.Fatal(err)
		}
		in := s.told.Input
		in.Gathered = nil
		d, g, err := policy.Judge(t.Context(), src, v, in)
		var corrupt *verify.CorruptError
		if c.want != errors.As(err, &corrupt) || !c.want && err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err == nil && (!g.Followed() || d.Core.Completeness != "followed") {
			t.Errorf("%s: completeness %s", name, d.Core.Completeness)
		}
		if d != nil && d.Core.Verdict == policy.Allow {
			t.Errorf("%s: it is allowed", name)
		}
	}
	// Its twin: whoever has not followed believes the operator.
	v, err := verify.New(verify.Config{Trust: s.told.Verifier.Trust(), Roster: s.told.Set.Roster})
	if err != nil {
		t.Fatal(err)
	}
	in := s.told.Input
	in.Gathered = nil
	lie := trickster{Log: s.told.Log, find: without(veto), negative: func([]verify.Link) []verify.Link { return nil }}
	d, g, err := policy.Judge(t.Context(), lie, v, in)
	if err != nil || g.Followed() || d.Core.Completeness != "operator" || d.Core.Verdict != policy.Allow {
		t.Errorf("without following: %v, %+v", err, d)
	}
}

// Row H19 is the gate's own: that a view was followed makes it no fresher.
func TestFollowedViewThatIsOldIsStale(t *testing.T) {
	s := newStage(t)
	s.readAll()
	v, err := verify.New(verify.Config{Trust: s.told.Verifier.Trust(), Roster: s.told.Set.Roster, Following: s.w.State})
	if err != nil {
		t.Fatal(err)
	}
	in := s.told.Input
	in.Gathered = nil
	in.Now = s.view.Time.Add(v.Trust().MaxCheckpointAge * 2)
	d, _, err := policy.Judge(t.Context(), s.told.Log, v, in)
	if err != nil || d.Core.Verdict == policy.Allow || d.Core.Kind != policy.StaleView {
		t.Errorf("%v, %+v", err, d)
	}
}

func TestViewIsConfirmedOnlyAsFarAsItWasFollowed(t *testing.T) {
	s := newStage(t)
	if err := s.w.State.Confirm(t.Context(), s.view, nil); !errors.Is(err, verify.ErrNotFollowed) {
		t.Errorf("before a statement was read: %v", err)
	}
	// The log shows all statements but one, or another one in its place.
	for name, get := range map[string]func(context.Context, uint64) ([]byte, error){
		"nothing": func(ctx context.Context, i uint64) ([]byte, error) {
			if i == 4 {
				return nil, errors.New("it is not to be had")
			}
			return s.bundle(ctx, i)
		},
		"another entry": func(ctx context.Context, i uint64) ([]byte, error) {
			if i == 4 {
				i = 5
			}
			return s.bundle(ctx, i)
		},
		"another statement with the entry's leaf": func(ctx context.Context, i uint64) ([]byte, error) {
			if i != 4 {
				return s.bundle(ctx, i)
			}
			mine, _ := s.bundle(ctx, 4)
			other, _ := s.bundle(ctx, 5)
			a, err := attest.ParseBundle(mine)
			if err != nil {
				return nil, err
			}
			b, err := attest.ParseBundle(other)
			if err != nil {
				return nil, err
			}
			b.Leaf, b.Receipt = a.Leaf, a.Receipt
			return b.Marshal()
		},
	} {
		if n, err := s.w.Statements(t.Context(), get); !errors.Is(err, follow.ErrNotShown) || n != 4 {
			t.Errorf("%s: %d statements, %v", name, n, err)
		}
		if err := s.w.State.Confirm(t.Context(), s.view, nil); !errors.Is(err, verify.ErrNotFollowed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.readAll()
	if err := s.w.State.Confirm(t.Context(), s.view, nil); err != nil {
		t.Errorf("the truth: %v", err)
	}
	larger, fork := s.view, s.view
	larger.Size++
	fork.Root[0] ^= 1
	var split *verify.SplitView
	if err := s.w.State.Confirm(t.Context(), larger, nil); !errors.Is(err, verify.ErrNotFollowed) {
		t.Errorf("a larger view: %v", err)
	}
	shorter, renamed := s.view, s.view
	shorter.ChainLength, shorter.Chain = 0, tlog.Hash{}
	renamed.Chain[0] ^= 1
	var corrupt *verify.CorruptError
	for name, view := range map[string]verify.LogView{"a shorter chain": shorter, "another chain of the same length": renamed} {
		if err := s.w.State.Confirm(t.Context(), view, nil); !errors.As(err, &corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.w.State.Confirm(t.Context(), fork, nil); !errors.As(err, &split) || !split.Proven() {
		t.Errorf("a view of another tree: %v", err)
	}
}

// Whatever byte of the statements is damaged, nothing is confirmed from there on,
// and reading again mends it.
func TestDamagedStatementsAreReadAgain(t *testing.T) {
	s := newStage(t)
	s.readAll()
	path := filepath.Join(s.dir, "statements")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(good); at += 37 {
		bad := slices.Clone(good)
		bad[at] ^= 1
		if at%2 == 0 {
			bad = good[:at] // torn
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.w.State.Confirm(t.Context(), s.view, nil); !errors.Is(err, verify.ErrNotFollowed) {
			t.Errorf("byte %d: %v", at, err)
		}
		s.readAll()
		if again, err := os.ReadFile(path); err != nil || !slices.Equal(again, good) {
			t.Fatalf("byte %d: it is not mended, %v", at, err)
		}
	}
}
