package api

import (
	"context"
	"slices"
	"sort"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/verify"
)

// maxAnswers bounds the search keys whose answers are remembered, and
// maxAnswer the length of one; most are shorter than ten.
const (
	maxAnswers = 32_768
	maxAnswer  = 64
)

// Remember wraps a store so that the answers which verdicts ask for again and
// again are kept in memory. The wrapped store must be the only way to write: each
// commit forgets the answers that it changes.
func Remember(s ledger.Store) ledger.Store {
	known, err := lru.New[string, []uint64](maxAnswers)
	if err != nil {
		panic(err) // the size is ours, and positive
	}
	return &rememberingStore{Store: s, size: s.Head().Size, known: known}
}

// rememberingStore answers verify.Source's questions from memory where it can.
type rememberingStore struct {
	ledger.Store

	mu    sync.Mutex // guards size, and that known agrees with it
	size  uint64     // of the log that known is about
	known *lru.Cache[string, []uint64]
}

// Commit forgets what the batch changes, before anybody can ask about it.
func (s *rememberingStore) Commit(ctx context.Context, b ledger.Batch) error {
	if err := s.Store.Commit(ctx, b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Records {
		for _, key := range b.Records[i].Keys {
			s.known.Remove(key)
		}
	}
	s.size = b.Checkpoint.Size
	return nil
}

// Search remembers the answers to whole questions, as a verify.Source asks them.
func (s *rememberingStore) Search(ctx context.Context, q ledger.Query) ([]uint64, error) {
	if q.Key == "" || q.From != 0 || q.Until == 0 || q.Limit != verify.FindLimit(q.Key) {
		return s.Store.Search(ctx, q)
	}
	s.mu.Lock()
	all, ok := s.known.Get(q.Key)
	size := s.size
	s.mu.Unlock()
	if ok && q.Until <= size {
		// What is known holds for size; the question may be about an older log.
		older := sort.Search(len(all), func(i int) bool { return all[i] >= q.Until })
		return slices.Clone(all[:older]), nil
	}
	found, err := s.Store.Search(ctx, q)
	if err != nil || q.Until != size || len(found) > maxAnswer {
		return found, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size == size { // else a commit came between, and may have changed the answer
		s.known.Add(q.Key, slices.Clone(found))
	}
	return found, nil
}
