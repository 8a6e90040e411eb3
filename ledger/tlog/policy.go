package tlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// MaxWitnesses is how many witnesses a policy may name, and how many signature
// lines besides the log's a note may carry where a policy is applied.
const MaxWitnesses = 64

// A Policy says which witnesses have to cosign the checkpoints of which logs
// (C2SP tlog-policy). It is made by ParsePolicy, and safe for concurrent use.
type Policy struct {
	logs      []policyLog
	witnesses []PolicyWitness
	groups    []group
	quorum    string
	// checked is the note that was accepted last: a log's own process asks for
	// the same one again and again.
	checked atomic.Pointer[checkedNote]
}

type policyLog struct {
	*Verifier
	url string // may be empty
}

// A PolicyWitness is a witness as a policy names it.
type PolicyWitness struct {
	*Witness
	Alias string // by which the policy, and everything that reports, calls it
	URL   string // prefix of add-checkpoint; may be empty
}

// A group holds when that many of its members cosigned.
type group struct {
	name    string
	keyword string // any, all, or the number as it was written
	need    int
	members []string
}

// A Cosignature is one that was verified: who says that the checkpoint was the
// largest that they had seen, and when.
type Cosignature struct {
	Witness string    // the policy's name for it
	Time    time.Time // whole seconds, UTC
}

type checkedNote struct {
	note         []byte
	checkpoint   Checkpoint
	cosignatures []Cosignature
}

// none is the name that stands for no witness in a quorum line.
const none = "none"

// Required says whether the policy wants any cosignature at all: false for
// "quorum none".
func (p *Policy) Required() bool { return p.quorum != none }

// Witnesses returns the witnesses in the order of the policy.
func (p *Policy) Witnesses() []PolicyWitness { return slices.Clone(p.witnesses) }

// Names says whether the policy names the log.
func (p *Policy) Names(v *Verifier) bool {
	return slices.ContainsFunc(p.logs, func(l policyLog) bool { return l.VKey() == v.VKey() })
}

// Check opens a signed checkpoint as Verifier.Open does, for any log that the
// policy names, and returns who cosigned it, in the order of the policy. It does
// not ask for the quorum: see Holds.
//
// Lines of strangers are passed over. A line with the name and key id of a witness
// of the policy must be right, and there is at most one of each, or the note is
// malformed: ErrBadCheckpoint, as is that of a log that the policy does not name.
// More than MaxWitnesses lines besides the log's are ErrTooLarge as well.
func (p *Policy) Check(note []byte) (Checkpoint, []Cosignature, error) {
	if c := p.checked.Load(); c != nil && string(c.note) == string(note) {
		return c.checkpoint, slices.Clone(c.cosignatures), nil
	}
	cp, err := p.open(note)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	cosignatures, err := p.cosignatures(string(note))
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w of %s: %w", ErrBadCheckpoint, cp.Origin, err)
	}
	p.checked.Store(&checkedNote{slices.Clone(note), cp, cosignatures})
	return cp, slices.Clone(cosignatures), nil
}

func (p *Policy) open(note []byte) (Checkpoint, error) {
	origin, _, _ := strings.Cut(string(note[:min(len(note), maxOrigin+1)]), "\n")
	var err error
	for _, v := range p.logs {
		if v.Origin() != origin {
			continue
		}
		var cp Checkpoint
		if cp, err = v.Open(note); err == nil {
			return cp, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: the witness policy names no log %.80q", ErrBadCheckpoint, origin)
	}
	return Checkpoint{}, err
}

// cosignatures reads the lines of a note whose lines Verifier.Open has seen.
func (p *Policy) cosignatures(note string) ([]Cosignature, error) {
	text, lines, _ := strings.Cut(note, "\n\n")
	if n := strings.Count(lines, "\n") - 1; n > MaxWitnesses {
		return nil, fmt.Errorf("%d signature lines besides the log's: %w", n, ErrTooLarge)
	}
	times := make([]time.Time, len(p.witnesses))
	for line := range strings.Lines(lines) {
		s, err := parseSignatureLine(line)
		if err != nil {
			return nil, err
		}
		for i, w := range p.witnesses {
			if !w.owns(s) {
				continue
			}
			if !times[i].IsZero() {
				return nil, fmt.Errorf("two cosignatures of %s", w.Alias)
			}
			if times[i], err = w.verify(text+"\n", s); err != nil {
				return nil, fmt.Errorf("cosignature of %s: %w", w.Alias, err)
			}
		}
	}
	var out []Cosignature
	for i, at := range times {
		if !at.IsZero() {
			out = append(out, Cosignature{p.witnesses[i].Alias, at})
		}
	}
	return out, nil
}

// Holds says whether cosignatures that Check returned make the quorum. With
// "quorum none" they always do.
func (p *Policy) Holds(cosignatures []Cosignature) bool {
	cosigned := func(name string) bool {
		return slices.ContainsFunc(cosignatures, func(c Cosignature) bool { return c.Witness == name })
	}
	if !p.Required() {
		return true
	}
	for _, g := range p.groups {
		if g.name == p.quorum {
			n := 0
			for _, m := range g.members {
				if cosigned(m) {
					n++
				}
			}
			return n >= g.need
		}
	}
	return cosigned(p.quorum)
}

// Within returns the cosignatures from one time to another, both included.
func Within(cosignatures []Cosignature, from, to time.Time) []Cosignature {
	var out []Cosignature
	for _, c := range cosignatures {
		if !c.Time.Before(from) && !c.Time.After(to) {
			out = append(out, c)
		}
	}
	return out
}

// Need says in words what the quorum asks for.
func (p *Policy) Need() string {
	if !p.Required() {
		return "no witness"
	}
	for _, g := range p.groups {
		if g.name == p.quorum {
			return fmt.Sprintf("%d of %s", g.need, strings.Join(g.members, ", "))
		}
	}
	return p.quorum
}

// String prints the policy in one form, which ParsePolicy reads as the same.
func (p *Policy) String() string {
	var b strings.Builder
	for _, l := range p.logs {
		fmt.Fprintf(&b, "%s\n", strings.TrimSuffix(fmt.Sprintf("log %s %s", l.VKey(), l.url), " "))
	}
	for _, w := range p.witnesses {
		fmt.Fprintf(&b, "%s\n", strings.TrimSuffix(fmt.Sprintf("witness %s %s %s", w.Alias, w.VKey(), w.URL), " "))
	}
	for _, g := range p.groups {
		fmt.Fprintf(&b, "group %s %s %s\n", g.name, g.keyword, strings.Join(g.members, " "))
	}
	fmt.Fprintf(&b, "quorum %s\n", p.quorum)
	return b.String()
}

// ErrBadPolicy: a text is no witness policy. It is in every PolicyError.
var ErrBadPolicy = errors.New("bad witness policy")
