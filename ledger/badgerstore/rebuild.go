package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Rebuild throws the index away and makes it again from the journal. It also
// writes the head again when that is missing: whoever calls Rebuild vouches for
// the journal being the newest. A journal that ends before a head that is there
// is still ledger.ErrRolledBack. The store must not be open.
func Rebuild(ctx context.Context, o Options, progress Progress) error {
	o, err := o.withDefaults()
	if err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	s, err := open(o, func(s *Store) error { return s.rebuild(ctx, progress) })
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", o.Dir, err)
	}
	return s.Close()
}

func (s *Store) rebuild(ctx context.Context, progress Progress) error {
	head, err := readHead(s.options.disk, s.layout.head())
	lost := errors.Is(err, os.ErrNotExist)
	if err != nil && !lost {
		return err
	}
	s.layout.distrust()
	if err := s.recover(ctx, progress); err != nil {
		return err
	}
	if lost {
		s.options.Log.Warn("writing the head again from the journal", "head", s.layout.head(), "size", s.tip.head.Size)
		head = s.tip.head
		if err := replace(s.options.disk, s.layout.head(), marshalHead(head)); err != nil {
			return err
		}
	}
	if err := s.checkHead(head); err != nil {
		return err
	}
	s.keepHead(head.Size)
	return nil
}
