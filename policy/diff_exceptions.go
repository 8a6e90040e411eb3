package policy

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// exceptions compares them one by one. One that is gone or ends earlier tightens; one that
// comes and is within what the set before allows is an exception, which has a delay of its
// own; all else waits.
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
			if is.Until.Sub(is.From) > a.Changes.MaxException {
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
