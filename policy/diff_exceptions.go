package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// exceptions compares them one by one. One that is gone or ends earlier tightens; one that
// comes and, with those that it may follow, is within what the set before allows is an
// exception, which has a delay of its own; all else waits.
func (d *differ) exceptions(a, b *Set) {
	list := func(s *Set) map[string]Exception {
		out := make(map[string]Exception)
		for _, e := range s.Exceptions {
			out[e.ID] = e
		}
		return out
	}
	eachKey(list(a), list(b), func(id string, was, is *Exception) {
		where := "exception " + id
		switch {
		case was == nil:
			e := Excepts
			if b.exceptedFor(is) > a.Changes.MaxException {
				e = Waits
			}
			d.add(where, "", exceptionText(is), e)
		case is == nil:
			d.add(where, exceptionText(was), "", Tighter)
		default:
			d.note(where+": reason", was.Reason, is.Reason, Word)
			d.note(where+": ticket", was.Ticket, is.Ticket, Word)
			e := Waits
			if is.Until.Before(was.Until) {
				e = Tighter
			}
			d.note(where+": until", stamp(was.Until), stamp(is.Until), e)
			x, y := *was, *is
			for _, z := range []*Exception{&x, &y} {
				z.Reason, z.Ticket, z.Until = "", "", time.Time{}
			}
			if !reflect.DeepEqual(x, y) {
				d.add(where, exceptionText(was), exceptionText(is), Waits)
			}
		}
	})
}

// exceptedFor is how long an exception lasts together with all of its set that may be for the
// same change, so that short ones in a row are no long one. What overlaps counts once.
func (s *Set) exceptedFor(e *Exception) time.Duration {
	var all []*Exception
	for i := range s.Exceptions {
		if o := &s.Exceptions[i]; o.ID == e.ID || mayMeet(o, e) {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b *Exception) int { return a.From.Compare(b.From) })
	var sum time.Duration
	var end time.Time
	for _, o := range all {
		from := o.From
		if from.Before(end) {
			from = end
		}
		if o.Until.After(from) {
			sum, end = sum+o.Until.Sub(from), o.Until
		}
	}
	return sum
}

// mayMeet reports whether two exceptions may be for the same change. Only heads and
// artifacts are told apart by what they name: patterns can be spelled in many ways.
func mayMeet(a, b *Exception) bool {
	share := func(x, y []string) bool {
		return slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) })
	}
	switch {
	case a.Rule != b.Rule || a.Repository != b.Repository || !share(a.Environments, b.Environments):
		return false
	case len(a.Heads) > 0 && len(b.Heads) > 0:
		return share(a.Heads, b.Heads)
	case len(a.Artifacts) > 0 && len(b.Artifacts) > 0:
		return share(a.Artifacts, b.Artifacts)
	}
	return true
}

func exceptionText(e *Exception) string {
	what := "paths " + strings.Join(e.Paths, " ")
	switch {
	case len(e.Heads) > 0:
		what = "heads " + strings.Join(e.Heads, " ")
	case len(e.Artifacts) > 0:
		what = "artifacts " + strings.Join(e.Artifacts, " ")
	}
	return fmt.Sprintf("rule %s, %s to %s, %s, %s to %s: %s", e.Rule, e.Repository, strings.Join(e.Environments, "/"), what, stamp(e.From), stamp(e.Until), e.Reason)
}

// exceptionDelay is how long a set waits that, besides tightening, only makes exceptions.
func (c Changes) exceptionDelay() time.Duration {
	if c.ExceptionDelay > 0 {
		return c.ExceptionDelay
	}
	return c.Delay
}

// DelayOf is how long a set with these changes waits under this one.
func (c Changes) DelayOf(changes []Difference) time.Duration {
	delay := time.Duration(0)
	for _, d := range changes {
		switch d.Effect {
		case Tighter, Word:
		case Excepts:
			delay = max(delay, c.exceptionDelay())
		default:
			return c.Delay
		}
	}
	return delay
}

func (d *differ) exceptionLimits(a, b Changes) {
	ordered(d, "changes: maxException", -a.MaxException, -b.MaxException, func(v time.Duration) string { return (-v).String() })
	e := Waits
	if b.exceptionDelay() >= a.exceptionDelay() {
		e = Tighter
	}
	d.note("changes: exceptionDelay", text(a.ExceptionDelay), text(b.ExceptionDelay), e)
}
