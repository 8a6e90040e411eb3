package ledger

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A publisher has committed heads cosigned, and publishes them. The sequencer
// only wakes it, and never waits for it.
//
// It works in rounds. A round is about one head, the newest when the round began;
// it ends when the quorum holds, so that witnesses of different speed are all asked
// for the same one. What is committed meanwhile is the next round's. A cosignature
// that comes after the end of its round is added while its head is the published one.
//
// A head is kept before it is shown, so that no restart takes it back. A crash
// before that leaves entries that are durable and unpublished: the next round,
// after opening, is about them.
type publisher struct {
	l     *Ledger
	lines chan cosigned

	target *Head             // what the witnesses are asked for; without cosignatures
	got    map[string][]byte // lines for target, by the policy's name of the witness
	fresh  map[string]bool   // those of this round
	held   bool              // the quorum holds in this round, and target is published
	retry  <-chan time.Time  // set after a head could not be published
}

// A cosigned is a cosignature that deliver has checked.
type cosigned struct {
	checkpoint tlog.Checkpoint
	by         tlog.Cosignature
	line       []byte
}

// publishRetry is how long to wait after a head could not be kept or stamped.
const publishRetry = time.Second

// startPublisher starts the publisher, if there is anything to ask witnesses for.
// stop gives it so long to publish what is committed, and ends it.
func (l *Ledger) startPublisher(ctx context.Context) (stop func(patience time.Duration)) {
	if l.witnessing == nil {
		return func(time.Duration) {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &publisher{l: l, lines: make(chan cosigned), got: make(map[string][]byte), fresh: make(map[string]bool)}
	var running sync.WaitGroup
	running.Go(func() { l.witnessing.Witnesses.Run(ctx, l.tree.Consistency, p.deliver(ctx)) })
	running.Go(func() { p.run(ctx) })
	return func(patience time.Duration) {
		if patience > 0 && l.Unpublished() > 0 {
			last, done := context.WithTimeout(ctx, patience)
			_ = l.Wait(last, l.committedHead().Size-1) // what is not published now will be after opening
			done()
		}
		cancel()
		running.Wait()
	}
}

// deliver checks a line in the goroutine of whoever asked the witness.
func (p *publisher) deliver(ctx context.Context) func(tlog.Checkpoint, []byte) error {
	return func(cp tlog.Checkpoint, line []byte) error {
		by, err := p.check(cp, line)
		if err != nil {
			return err
		}
		select {
		case p.lines <- cosigned{cp, by, line}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// check believes no line: it must be a witness's of the policy, over this
// checkpoint, and of now.
func (p *publisher) check(cp tlog.Checkpoint, line []byte) (tlog.Cosignature, error) {
	for _, w := range p.l.witnessing.Policy.Witnesses() {
		at, err := w.Verify(cp, line)
		if err != nil {
			continue
		}
		now := p.l.config.Now()
		if at.Before(now.Add(-MaxCosignatureSkew)) || at.After(now.Add(MaxCosignatureSkew)) {
			return tlog.Cosignature{}, fmt.Errorf("%s cosigned as of %s, which is more than %s from now: %w", w.Alias, at.Format(time.RFC3339), MaxCosignatureSkew, tlog.ErrBadCosignature)
		}
		return tlog.Cosignature{Witness: w.Alias, Time: at}, nil
	}
	return tlog.Cosignature{}, fmt.Errorf("no witness of the policy signed the line %.200q: %w", line, tlog.ErrBadCosignature)
}

func (p *publisher) run(ctx context.Context) {
	refresh := time.NewTicker(p.l.witnessing.Refresh)
	defer refresh.Stop()
	for {
		p.next()
		select {
		case <-ctx.Done():
			return
		case <-p.l.committing:
		case c := <-p.lines:
			p.take(c)
		case <-p.retry:
			p.retry = nil
			p.publish()
		case <-refresh.C:
			if p.held {
				p.ask()
			}
		}
	}
}

// next begins a round about the newest head, when the last round is over.
func (p *publisher) next() {
	head := p.l.committedHead()
	if head.Size == 0 || p.target != nil && (!p.held || head.Size == p.target.Size) {
		return
	}
	p.target = head
	clear(p.got)
	p.ask()
}

func (p *publisher) ask() {
	clear(p.fresh)
	p.held = !p.l.quorum()
	p.l.witnessing.Witnesses.Ask(p.target.Checkpoint, p.target.Note)
}

// take adds a cosignature, and publishes the target where that makes the quorum.
func (p *publisher) take(c cosigned) {
	if p.target == nil || c.checkpoint != p.target.Checkpoint {
		return // of a round that is over
	}
	p.got[c.by.Witness], p.fresh[c.by.Witness] = c.line, true
	p.publish()
}

// publish shows the target with its cosignatures, once the quorum holds in this
// round. The first time in a round the note is kept before; what is added later
// can be had again.
func (p *publisher) publish() {
	w := p.l.witnessing
	var cosignatures []tlog.Cosignature
	for name := range maps.Keys(p.fresh) {
		cosignatures = append(cosignatures, tlog.Cosignature{Witness: name})
	}
	if !w.Policy.Holds(cosignatures) {
		return
	}
	note := append([]byte(nil), p.target.Note...)
	for _, pw := range w.Policy.Witnesses() {
		note = append(note, p.got[pw.Alias]...)
	}
	if err := p.show(note); err != nil {
		w.Report(fmt.Errorf("publish the checkpoint of %d entries: %w", p.target.Size, err))
		p.retry = time.After(publishRetry)
	}
}

func (p *publisher) show(note []byte) error {
	if _, _, err := p.l.witnessing.Policy.Check(note); err != nil { // as every verifier will
		return err
	}
	earliest := p.target.Time
	if now := p.l.currentHead(); now.Time.After(earliest) {
		earliest = now.Time
	}
	head, err := p.l.stampHead(p.target.Checkpoint, note, earliest)
	if err != nil {
		return err
	}
	if !p.held {
		if err := p.l.witnessing.Keeper.Keep(note); err != nil {
			return fmt.Errorf("keep it: %w", err)
		}
		p.held = true
	}
	p.l.publish(head)
	return nil
}
