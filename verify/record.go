package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// A Recorder passes questions on to a source and notes which keys were asked, so
// that a pack can be made that answers exactly the same ones.
type Recorder struct {
	src Source

	mu    sync.Mutex // guards asked
	asked map[string][]uint64
}

// NewRecorder wraps a source, whose View must not change while it is recorded.
func NewRecorder(src Source) *Recorder {
	return &Recorder{src: src, asked: make(map[string][]uint64)}
}

// View implements Source.
func (r *Recorder) View(ctx context.Context) (LogView, error) { return r.src.View(ctx) }

// Entry implements Source.
func (r *Recorder) Entry(ctx context.Context, index uint64) (Sealed, error) {
	return r.src.Entry(ctx, index)
}

// Negative implements Source.
func (r *Recorder) Negative(ctx context.Context) ([]Link, error) { return r.src.Negative(ctx) }

// Find implements Source, and notes the key.
func (r *Recorder) Find(ctx context.Context, key string) ([]uint64, error) {
	indexes, err := r.src.Find(ctx, key)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[key] = slices.Clone(indexes)
	return indexes, nil
}

// answers returns what was asked, by key, and every entry that plays a part.
func (r *Recorder) answers(links []Link) (keys []packKey, entries []uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, indexes := range r.asked {
		keys = append(keys, packKey{Key: key, Indexes: indexes})
		entries = append(entries, indexes...)
	}
	concern := concerned{}
	for key := range r.asked {
		concern.add(key)
	}
	for _, l := range links {
		if concern.by(l) {
			entries = append(entries, l.Index)
		}
	}
	slices.SortFunc(keys, func(a, b packKey) int { return compareText(a.Key, b.Key) })
	slices.Sort(entries)
	entries = slices.Compact(entries)
	if len(entries) > MaxPackItems || len(keys) > MaxPackItems || len(links) > MaxLinks {
		return nil, nil, &LimitError{fmt.Sprintf("the pack would hold %d entries, %d keys and %d links", len(entries), len(keys), len(links)), MaxPackItems}
	}
	return keys, entries, nil
}
