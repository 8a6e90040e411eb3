package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/incident"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// A Budget is for how long incidents may hurt a domain within a time. Times within
// incidents are those that their reporters claim.
type Budget struct {
	Domain string
	Window time.Duration // up to now
	// Allowed is how much of the window may be spent.
	Allowed time.Duration
	// Severity is the mildest that spends it; Sev2 where the policy names none.
	Severity attest.Severity
}

// Limits on budgets and on the windows of rules.
const (
	maxBudgets = 1000
	maxWindow  = 400 * 24 * time.Hour
)

func (s *Set) parseBudgets(v strictyaml.Node) error {
	return v.Items(func(item strictyaml.Node) error {
		b := Budget{Severity: attest.Sev2}
		err := item.Fields([]string{"domain", "window", "allowed", "severity"}, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "domain":
				b.Domain, err = f.Text()
			case "window":
				var text string
				if text, err = f.Text(); err == nil {
					var ok bool
					if b.Window, ok = window(text); !ok {
						err = f.Errorf("%.40q is no window such as 28d or 36h, up to 400d", text)
					}
				}
			case "allowed":
				b.Allowed, err = f.Duration(maxWindow)
			case "severity":
				b.Severity, err = severity(f)
			}
			return err
		})
		switch {
		case err != nil:
			return err
		case b.Domain == "" || b.Window == 0 || b.Allowed == 0:
			return item.Errorf("a budget needs a domain, a window such as 28d, and how much of it is allowed, such as 40m")
		case b.Allowed > b.Window:
			return item.Errorf("%s of %s is more than there is", b.Allowed, b.Window)
		case !s.Domains.Has(b.Domain):
			return item.Errorf("domain %q is unknown%s", b.Domain, strictyaml.Suggest(b.Domain, s.Domains.Names()))
		case s.budget(b.Domain) != nil:
			return item.Errorf("domain %q has a budget already", b.Domain)
		}
		if s.Budgets = append(s.Budgets, b); len(s.Budgets) > maxBudgets {
			return item.Errorf("more than %d budgets", maxBudgets)
		}
		return nil
	})
}

func severity(v strictyaml.Node) (attest.Severity, error) {
	var all []string
	for _, s := range attest.Severities() {
		all = append(all, string(s))
	}
	s, err := v.OneOf("severity", all)
	return attest.Severity(s), err
}

// window reads how long something is looked back on: days or hours, such as 28d or 36h.
func window(text string) (time.Duration, bool) {
	if len(text) < 2 || text[0] < '1' || text[0] > '9' {
		return 0, false
	}
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour}[text[len(text)-1]]
	n, err := strconv.Atoi(strings.TrimRight(text, "dh"))
	d := time.Duration(n) * unit
	ok := err == nil && unit > 0 && n <= int(maxWindow/unit) && text == strconv.Itoa(n)+text[len(text)-1:]
	return d, ok
}

func (s *Set) budget(domain string) *Budget {
	i := slices.IndexFunc(s.Budgets, func(b Budget) bool { return b.Domain == domain })
	if i < 0 {
		return nil
	}
	return &s.Budgets[i]
}

// remaining is the share of a budget that these incidents leave at a time: 1 is all of
// it, 0 and less is none. What hurts twice at once is counted once; what is not over
// hurts until now.
func (b *Budget) remaining(list []*incident.Incident, now time.Time) float64 {
	type span struct{ from, to time.Time }
	var all []span
	since := now.Add(-b.Window)
	for _, inc := range list {
		s := span{inc.Said.StartedAt.Time, now}
		if end := inc.Said.ResolvedAt; end != nil && end.Before(now) {
			s.to = end.Time
		}
		if s.from.Before(since) {
			s.from = since
		}
		if s.from.Before(s.to) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b span) int { return a.from.Compare(b.from) })
	var spent time.Duration
	var until time.Time
	for _, s := range all {
		if s.from.Before(until) {
			s.from = until
		}
		if s.from.Before(s.to) {
			spent += s.to.Sub(s.from)
			until = s.to
		}
	}
	return 1 - float64(spent)/float64(b.Allowed)
}
