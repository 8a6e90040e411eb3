package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/countersign-dev/countersign/attest"
)

// A Following is what somebody knows of a log who has read all of it themselves:
// every leaf from its tree, and the statement of each.
type Following interface {
	// Confirm says that a state of the log is one that was followed, that its chain
	// of negative evidence is the one that its statements make, and that each answer
	// names exactly the entries that its search key finds in it. ErrNotFollowed where
	// the log was not followed that far; any other error says that the view is wrong.
	Confirm(ctx context.Context, view LogView, answers map[string][]uint64) error
}

// ErrNotFollowed says that nobody here has read the log as far as a view goes: the
// operator's word has to do.
var ErrNotFollowed = errors.New("the log was not followed that far")

// Followed reports whether somebody who followed the log confirmed what was
// gathered: no statement that speaks of the request was left out of it.
func (g *Gathered) Followed() bool { return g.followed }

// confirm asks whoever followed the log, if anybody did.
func (g *gatherer) confirm() error {
	if g.v.following == nil {
		return nil
	}
	err := g.v.following.Confirm(g.ctx, *g.view, g.answers)
	if errors.Is(err, ErrNotFollowed) {
		return nil
	}
	g.out.followed = err == nil
	return err
}

// LoggedKey holds a bundle against the log entry that came with it, and returns the
// key that signed both. Errors begin with a Kind. Who holds the key is for a roster
// to say.
func LoggedKey(b *attest.Bundle) (*attest.PublicKey, error) {
	parts, err := attest.ParseLeaf(b.Leaf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Malformed, err)
	}
	key, err := parts.Key()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attest.FaultOf(err), err)
	}
	if err := key.Verify(b.PAE(), b.Signature); err != nil {
		return nil, fmt.Errorf("%s: %w by the key of the log entry", BadSignature, err)
	}
	if !bytes.Equal(attest.Leaf(b, key), b.Leaf) {
		return nil, fmt.Errorf("%s: the log entry is another bundle's", NotLogged)
	}
	return key, nil
}
