package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

var errGone = errors.New("the connection is gone")

// post is a courier to a notary: it takes bundles, and answers as it is told.
type post struct {
	*notary
	key   *attest.PrivateKey
	held  map[string]*attest.Bundle // by the bytes that came
	calls []int                     // bundles of each call
	// refuse takes nothing; lose takes everything, and fails all the same.
	refuse, lose bool
}

func newPost(t *testing.T) *post {
	_, key := keyFile(t, "ci")
	return &post{notary: newNotary(t), key: key, held: make(map[string]*attest.Bundle)}
}

func (p *post) carry(_ context.Context, bundles [][]byte) ([]*countersignv1.AppendResult, error) {
	p.calls = append(p.calls, len(bundles))
	if p.refuse {
		return nil, errGone
	}
	var out []*countersignv1.AppendResult
	for _, text := range bundles {
		b, duplicate := p.held[string(text)]
		if !duplicate {
			var err error
			if b, err = attest.ParseBundle(text); err != nil {
				return nil, err
			}
			p.log(b, p.key.Public())
			p.held[string(text)] = b
		}
		answer, err := b.Marshal()
		if err != nil {
			return nil, err
		}
		out = append(out, &countersignv1.AppendResult{Index: b.Receipt.Index, Duplicate: duplicate, Bundle: answer})
	}
	if p.lose {
		return nil, errGone
	}
	return out, nil
}

func releaseNamed(name string) *attest.Statement {
	return &attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"sha256": strings.Repeat("e", 64)}}},
		Predicate: &attest.Release{Repository: "example.com/org/repo", Name: name, To: strings.Repeat("a", 40),
			ReleasedAt: attest.Time{Time: newTime}},
	}
}

func (p *post) enclose(t *testing.T, box *outbox, names ...string) (letters []*letter, found int) {
	t.Helper()
	for _, name := range names {
		l, was, err := box.enclose(releaseNamed(name))
		if err != nil {
			t.Fatal(err)
		}
		if was {
			found++
		}
		letters = append(letters, l)
	}
	return letters, found
}

func reopen(t *testing.T, dir string, p *post) *outbox {
	t.Helper()
	box, err := openOutbox(dir, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// Both ways to fail end the same: the next run sends the bytes that were signed
// first, and the log has each statement once.
func TestRetrySendsTheSameBytes(t *testing.T) {
	for name, fail := range map[string]func(*post, bool){
		"refused":                       func(p *post, on bool) { p.refuse = on },
		"kept, and reported as failing": func(p *post, on bool) { p.lose = on },
	} {
		t.Run(name, func(t *testing.T) {
			p, dir := newPost(t), t.TempDir()
			ctx := context.Background()
			first, _ := p.enclose(t, reopen(t, dir, p), "v1", "v2")
			fail(p, true)
			if err := reopen(t, dir, p).send(ctx, p.carry, first, func(int) {}); !errors.Is(err, errGone) {
				t.Fatalf("send: %v", err)
			}
			fail(p, false)
			box := reopen(t, dir, p)
			second, found := p.enclose(t, box, "v1", "v2")
			if found != 2 {
				t.Fatalf("%d of 2 signed bundles are still in the outbox", found)
			}
			for i := range first {
				if diff := cmp.Diff(string(first[i].text), string(second[i].text)); diff != "" {
					t.Error(diff)
				}
			}
			if err := box.send(ctx, p.carry, second, func(int) {}); err != nil {
				t.Fatal(err)
			}
			if len(p.leaves) != 2 || !second[0].logged || !second[1].logged || second[1].index != 1 {
				t.Errorf("the log has %d entries; letters %+v", len(p.leaves), second)
			}
			left, err := filepath.Glob(filepath.Join(dir, "pending", "*"))
			if err != nil || len(left) != 0 {
				t.Errorf("still pending: %v %v", left, err)
			}
			third, _ := p.enclose(t, reopen(t, dir, p), "v1", "v2")
			p.calls = nil
			if err := reopen(t, dir, p).send(ctx, p.carry, third, func(int) {}); err != nil || len(p.calls) != 0 {
				t.Errorf("what is logged is sent again: %v %v", p.calls, err)
			}
		})
	}
}

func TestCallsAreBounded(t *testing.T) {
	p := newPost(t)
	box := reopen(t, t.TempDir(), p)
	var names []string
	for i := range 70 {
		names = append(names, strings.Repeat("v", i+1))
	}
	letters, _ := p.enclose(t, box, names...)
	sent := 0
	if err := box.send(context.Background(), p.carry, letters, func(n int) { sent += n }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{32, 32, 6}, p.calls); diff != "" || sent != 70 {
		t.Errorf("%s; %d reported", diff, sent)
	}
}

func TestReceiptOfAnotherStatementIsALie(t *testing.T) {
	p := newPost(t)
	box := reopen(t, t.TempDir(), p)
	letters, _ := p.enclose(t, box, "v1", "v2")
	swapped := func(ctx context.Context, bundles [][]byte) ([]*countersignv1.AppendResult, error) {
		r, err := p.carry(ctx, bundles)
		if err == nil {
			r[0], r[1] = r[1], r[0]
		}
		return r, err
	}
	err := box.send(context.Background(), swapped, letters, func(int) {})
	var own *exitError
	if !errors.As(err, &own) || own.code != exitLied {
		t.Errorf("receipts of each other: %v", err)
	}
}

func TestDamagedBundleIsNotSent(t *testing.T) {
	p, dir := newPost(t), t.TempDir()
	box := reopen(t, dir, p)
	letters, _ := p.enclose(t, box, "v1")
	path := box.path("pending", letters[0].digest)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"sig":"ME`, `"sig":"MA`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := box.enclose(releaseNamed("v1")); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged bundle: %v", err)
	}
}
