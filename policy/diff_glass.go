package policy

import (
	"reflect"
	"slices"
	"time"
)

// breakGlass compares how far the rules bend. Without the section they do not.
func (d *differ) breakGlass(a, b *BreakGlass) {
	const where = "breakGlass"
	switch {
	case a == nil && b == nil:
		return
	case a == nil:
		d.add(where, "", text(*b), Waits)
		return
	case b == nil:
		d.add(where, text(*a), "", Tighter)
		return
	}
	length := func(v time.Duration) string { return (-v).String() }
	ordered(d, where+": maxDuration", -a.MaxDuration, -b.MaxDuration, length)
	ordered(d, where+": reviewWithin", -a.ReviewWithin, -b.ReviewWithin, length)
	ordered(d, where+": maxUses", -a.MaxUses, -b.MaxUses, func(n int) string { return text(-n) })
	ordered(d, where+": reviewers", a.Reviewers, b.Reviewers, text[int])
	d.shrinks(where+": environments", a.Environments, b.Environments)
	d.grows(where+": keeps", a.Keeps, b.Keeps)
	d.waits(where+": level", a.Level, b.Level)
	d.waits(where+": teams", a.Teams, b.Teams)
	x, y := *a, *b
	for _, s := range []*BreakGlass{&x, &y} {
		s.Environments, s.Keeps, s.Teams, s.Level = nil, nil, nil, ""
		s.MaxDuration, s.ReviewWithin, s.MaxUses, s.Reviewers = 0, 0, 0, 0
	}
	rest(d, where, x, y)
}

// shrinks notes a list of which less is stricter, grows one of which more is.
func (d *differ) shrinks(where string, a, b []string) { d.list(where, a, b, within(b, a)) }
func (d *differ) grows(where string, a, b []string)   { d.list(where, a, b, within(a, b)) }

func (d *differ) list(where string, a, b []string, tighter bool) {
	if reflect.DeepEqual(a, b) {
		return
	}
	e := Waits
	if tighter {
		e = Tighter
	}
	d.add(where, text(a), text(b), e)
}

func within(few, all []string) bool {
	return !slices.ContainsFunc(few, func(s string) bool { return !slices.Contains(all, s) })
}
