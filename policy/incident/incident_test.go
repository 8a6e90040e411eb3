package incident

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

var epoch = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

func hexOf(c string) string { return strings.Repeat(c, 64) }

// told is a history in which alice, bob and olga are people, and olga owns the policy.
type told struct {
	History
	size uint64
}

func office() *told {
	return &told{History: History{MayRevoke: func(by, holder string) bool { return by == holder || by == "olga" }}}
}

func (l *told) Incidents() []*Incident { return l.At(l.size) }

func (l *told) next() uint64 {
	l.size++
	return l.size - 1
}

// say logs a statement; the same digest is the same payload.
func (l *told) say(who, digest string, edit func(*attest.Incident)) {
	end := attest.At(epoch.Add(6 * time.Hour))
	i := &attest.Incident{ID: "INC-7", Severity: attest.Sev1, StartedAt: attest.At(epoch), DetectedAt: attest.At(epoch), ResolvedAt: &end, Domains: []string{"checkout"},
		Causes: []attest.Cause{{Kind: attest.CauseRelease, Digest: hexOf("e"), Confidence: attest.Likely}}}
	if edit != nil {
		edit(i)
	}
	kind := roster.Service
	switch {
	case slices.Contains([]string{"alice", "bob", "olga"}, who):
		kind = roster.Person
	case who == "robot":
		kind = roster.Agent
	}
	index := l.next()
	l.Said = append(l.Said, Said{Index: index, Time: epoch.Add(time.Duration(index) * time.Minute), Digest: hexOf(digest), Signer: who, Kind: kind, What: i})
}

func after(digest string, edit func(*attest.Incident)) func(*attest.Incident) {
	return func(i *attest.Incident) {
		i.Supersedes = hexOf(digest)
		edit(i)
	}
}

func severity(s attest.Severity) func(*attest.Incident) {
	return func(i *attest.Incident) { i.Severity = s }
}

func TestMakingLessOfAnIncidentTakesTwoPeople(t *testing.T) {
	weaker := map[string]func(*attest.Incident){
		"severity":   severity(attest.Sev3),
		"domain":     func(i *attest.Incident) { i.Domains = nil },
		"cause":      func(i *attest.Incident) { i.Causes = nil },
		"confidence": func(i *attest.Incident) { i.Causes[0].Confidence = attest.Possible },
		"start":      func(i *attest.Incident) { i.StartedAt = attest.At(epoch.Add(time.Hour)) },
		"end":        func(i *attest.Incident) { e := attest.At(epoch.Add(time.Hour)); i.ResolvedAt = &e },
	}
	for name, edit := range weaker {
		for who, counts := range map[string]bool{"bob": true, "alice": false, "robot": false, "pager": false} {
			l := office()
			l.say("pager", "a", nil)
			l.say("alice", "b", after("a", edit))
			l.say(who, "b", after("a", edit))
			inc := l.Incidents()[0]
			if got := inc.InForce == 1; got != counts {
				t.Errorf("%s, by alice and %s: in force is entry %d (%s)", name, who, inc.InForce, inc.Severity)
			}
			if !counts && len(inc.Waiting) != 1 {
				t.Errorf("%s, by alice and %s: it does not wait: %+v", name, who, inc)
			}
		}
	}
}

func TestOnePersonMakesMoreOfAnIncident(t *testing.T) {
	for name, edit := range map[string]func(*attest.Incident){
		"domain":     func(i *attest.Incident) { i.Domains = []string{"checkout", "pricing"} },
		"confidence": func(i *attest.Incident) { i.Causes[0].Confidence = attest.Confirmed },
		"no end":     func(i *attest.Incident) { i.ResolvedAt = nil },
		"no change":  func(i *attest.Incident) { i.Title = "Checkout" },
	} {
		l := office()
		l.say("pager", "a", nil)
		l.say("alice", "b", after("a", edit))
		if inc := l.Incidents()[0]; inc.InForce != 1 || len(inc.Waiting)+len(inc.Ignored) != 0 {
			t.Errorf("%s: %+v", name, inc)
		}
	}
}

func TestTricksThatWouldLowerASeverityAlone(t *testing.T) {
	revoke := func(l *told, who string, what attest.Revoked) {
		l.Revocations = append(l.Revocations, Revocation{Index: l.next(), Signer: who, Revokes: []attest.Revoked{what}})
	}
	for name, c := range map[string]struct {
		tell func(*told)
		want attest.Severity
	}{
		"a mild first word": {func(l *told) {
			l.say("alice", "a", severity(attest.Sev4))
			l.say("bob", "b", nil)
		}, attest.Sev1},
		"a second first word": {func(l *told) {
			l.say("bob", "a", nil)
			l.say("alice", "b", severity(attest.Sev4))
		}, attest.Sev1},
		"superseding what is not in force": {func(l *told) {
			l.say("alice", "a", severity(attest.Sev4))
			l.say("bob", "b", after("a", severity(attest.Sev1)))
			l.say("alice", "c", after("a", severity(attest.Sev4)))
		}, attest.Sev1},
		"signing the first word again": {func(l *told) {
			l.say("alice", "a", severity(attest.Sev4))
			l.say("bob", "b", after("a", severity(attest.Sev1)))
			l.say("alice", "a", severity(attest.Sev4))
			l.say("pager", "a", severity(attest.Sev4))
		}, attest.Sev1},
		"revoking the bad news": {func(l *told) {
			l.say("alice", "a", nil)
			revoke(l, "alice", attest.Revoked{Kind: attest.RevokedStatement, Digest: hexOf("a")})
		}, attest.Sev1},
		"a second person whose word was taken back": {func(l *told) {
			l.say("pager", "a", nil)
			l.say("alice", "b", after("a", severity(attest.Sev3)))
			revoke(l, "olga", attest.Revoked{Kind: attest.RevokedPerson, Person: "bob"})
			l.say("bob", "b", after("a", severity(attest.Sev3)))
		}, attest.Sev1},
		"twin: a stranger's revocation changes nothing": {func(l *told) {
			l.say("pager", "a", nil)
			l.say("alice", "b", after("a", severity(attest.Sev3)))
			revoke(l, "robot", attest.Revoked{Kind: attest.RevokedPerson, Person: "bob"})
			l.say("bob", "b", after("a", severity(attest.Sev3)))
		}, attest.Sev3},
		"twin: two people": {func(l *told) {
			l.say("pager", "a", nil)
			l.say("alice", "b", after("a", severity(attest.Sev3)))
			l.say("bob", "b", after("a", severity(attest.Sev3)))
		}, attest.Sev3},
	} {
		l := office()
		c.tell(l)
		if got := l.Incidents()[0].Severity; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestAnIncidentIsReadAsOfAnySize(t *testing.T) {
	l := office()
	l.say("pager", "a", severity(attest.Sev2))
	l.say("alice", "b", after("a", severity(attest.Sev1)))
	l.say("alice", "c", after("b", severity(attest.Sev3)))
	l.say("bob", "c", after("b", severity(attest.Sev3)))
	var got []attest.Severity
	for size := uint64(1); size <= 4; size++ {
		got = append(got, l.At(size)[0].Severity)
	}
	if diff := cmp.Diff([]attest.Severity{attest.Sev2, attest.Sev1, attest.Sev1, attest.Sev3}, got); diff != "" {
		t.Error(diff)
	}
	if inc := l.Incidents()[0]; len(inc.Counted) != 4 {
		t.Errorf("counted %v, want all four", inc.Counted)
	}
	if len(l.At(0)) != 0 {
		t.Error("an incident before the first entry")
	}
}

// Whatever one person, an agent and a service say together, in any order: an incident is
// never less than it was.
func TestOnePersonNeverMakesLessOfAnIncident(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 3_000 {
		l := office()
		digests := []string{"a", "b", "c", "d"}
		payloads := make(map[string]func(*attest.Incident)) // a payload says one thing
		for _, d := range digests {
			sev, cause, before, first := attest.Severities()[r.IntN(4)], r.IntN(3), digests[r.IntN(4)], r.IntN(4) == 0
			payloads[d] = func(i *attest.Incident) {
				i.Severity = sev
				if i.Causes[0].Confidence = attest.Confidences()[cause]; cause == 2 {
					i.Causes = nil
				}
				if !first {
					i.Supersedes = hexOf(before)
				}
			}
		}
		var was *Incident
		for range 8 {
			d := digests[r.IntN(4)]
			l.say([]string{"alice", "robot", "pager"}[r.IntN(3)], d, payloads[d])
			now := l.Incidents()[0]
			if was != nil && now.Severity.Below(was.Severity) {
				t.Fatalf("round %d: %s after %s: %+v", round, now.Severity, was.Severity, l.Said)
			}
			if was != nil && weakened(was.Said, was.Severity, now.Said) != "" && !now.Said.Severity.Below(was.Severity) {
				t.Fatalf("round %d: %s", round, weakened(was.Said, was.Severity, now.Said))
			}
			was = now
		}
	}
}
