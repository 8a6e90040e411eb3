package cohort

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// An Inventory lists what touched the pipeline, as far as the log knows, and what it
// does not know.
type Inventory struct {
	Origin       string  `json:"origin"`
	Size         uint64  `json:"size"`
	Repositories []Thing `json:"repositories"`
	Tools        []Thing `json:"tools"`
	Models       []Thing `json:"models"`
	Agents       []Thing `json:"agents"` // of the roster
	Signers      []Thing `json:"signers"`
	// Unknown are the holes: each says what is not known, and of how much.
	Unknown []Hole `json:"unknown"`
}

// A Thing was seen in entries of the log.
type Thing struct {
	Name  string `json:"name"`
	About string `json:"about,omitempty"`
	Count int    `json:"count"` // entries, or changes that decisions judged
	First uint64 `json:"first"` // indexes of entries
	Last  uint64 `json:"last"`
}

// A Hole is something that is not known.
type Hole struct {
	What    string   `json:"what"`
	Count   int      `json:"count"`
	Entries []uint64 `json:"entries"` // up to 100 of those that show it
}

const maxHoleEntries = 100

// Inventory makes one of the whole log.
func (l *Log) Inventory() *Inventory {
	j := l.join()
	b := &stocktaking{j: j, things: make(map[[2]string]*Thing), holes: make(map[string]*Hole), seen: make(map[string]bool)}
	for i := range l.Requests {
		b.see("repository", l.Requests[i].Repository, l.Requests[i].Index)
	}
	for i := range l.Releases {
		b.see("repository", l.Releases[i].Repository, l.Releases[i].Index)
	}
	for i := range l.Decisions {
		b.decision(&l.Decisions[i])
	}
	for i := range l.Authorships {
		b.authorship(&l.Authorships[i])
	}
	for _, d := range j.deployed {
		if d.Repository == "" {
			b.miss("deployments of an artifact that nobody says the source of", d.Index)
		} else if d.Under == nil {
			b.miss("deployments of which no decision says what they brought", d.Index)
		}
	}
	b.people()
	for _, i := range l.Unseen {
		b.miss("entries of which the log has the hash alone", i)
	}
	for _, r := range l.Refused {
		b.miss("entries that are no evidence ("+r.Kind+")", r.Index)
	}
	return b.finish()
}

// A stocktaking is an inventory while it is made.
type stocktaking struct {
	j      *joined
	things map[[2]string]*Thing
	holes  map[string]*Hole
	seen   map[string]bool
}

func (b *stocktaking) see(kind, name string, index uint64) *Thing {
	if name == "" {
		return nil
	}
	t := b.things[[2]string{kind, name}]
	if t == nil {
		t = &Thing{Name: name, First: index, Last: index}
		b.things[[2]string{kind, name}] = t
	}
	t.Count++
	t.First, t.Last = min(t.First, index), max(t.Last, index)
	return t
}

func (b *stocktaking) miss(what string, index uint64) {
	h := b.holes[what]
	if h == nil {
		h = &Hole{What: what, Entries: []uint64{}}
		b.holes[what] = h
	}
	h.Count++
	if len(h.Entries) < maxHoleEntries {
		h.Entries = append(h.Entries, index)
	}
}

// decision looks at the changes that were judged for the first time.
func (b *stocktaking) decision(d *Decision) {
	b.see("repository", d.Repository, d.Index)
	for i := range d.Changes {
		c := &d.Changes[i]
		key := headKey(d.Repository, c.Commit)
		if b.seen[key] {
			continue
		}
		b.seen[key] = true
		for _, tool := range c.Agents {
			b.see("tool", tool, d.Index)
		}
		switch attest.Origin(c.Origin) {
		case attest.OriginUnknown, "":
			b.miss("changes of which nobody says who wrote them", d.Index)
		case attest.OriginAI, attest.OriginMixed:
			if len(c.Agents) == 0 {
				b.miss("changes by AI whose tool nobody names", d.Index)
			}
			for _, m := range b.j.models(d.Repository, c) {
				if strings.HasPrefix(m, Unknown) {
					b.miss("changes by AI whose model nobody names", d.Index)
					break
				}
			}
		}
		for _, a := range c.Authors {
			if b.j.principals[a.Who] == nil && !slices.Contains(c.Agents, a.Who) {
				b.miss("changes with an author whom the roster does not know", d.Index)
				break
			}
		}
	}
}

func (b *stocktaking) authorship(a *Authorship) {
	for _, g := range a.Agents {
		b.see("tool", g.Tool, a.Index)
		if g.Model != "" {
			b.see("model", g.Tool+" "+g.Model, a.Index)
		}
		if g.SessionID == "" && g.SessionRef == "" {
			b.miss("authorships that name an AI tool and no session of it", a.Index)
		}
	}
}

// people lists agents, and who signed.
func (b *stocktaking) people() {
	for i := range b.j.log.Activities {
		a := &b.j.log.Activities[i]
		kinds := []string{"signer"}
		if a.Kind == roster.Agent {
			kinds = append(kinds, "agent")
		}
		for _, kind := range kinds {
			t := b.see(kind, a.Signer, a.First)
			t.Count += a.Count - 1
			t.Last, t.About = max(t.Last, a.Last), string(a.Kind)
		}
	}
	for _, p := range b.j.log.People {
		if p.Kind != roster.Agent {
			continue
		}
		if t := b.things[[2]string{"tool", p.ID}]; t != nil { // decisions name it among the agents of changes
			a := b.see("agent", p.ID, t.First)
			a.Count += t.Count - 1
			a.Last = max(a.Last, t.Last)
		}
		t := b.things[[2]string{"agent", p.ID}]
		switch {
		case t == nil:
		case p.Operator == "":
			t.About = "operator unknown"
			b.miss("agents without an operator: "+p.ID, t.First)
		default:
			t.About = "operated by " + p.Operator
		}
	}
}

func (b *stocktaking) finish() *Inventory {
	out := &Inventory{Origin: b.j.log.Origin, Size: b.j.log.Size, Unknown: []Hole{}}
	lists := map[string]*[]Thing{"repository": &out.Repositories, "tool": &out.Tools, "model": &out.Models, "agent": &out.Agents, "signer": &out.Signers}
	for _, list := range lists {
		*list = []Thing{}
	}
	for key, t := range b.things {
		*lists[key[0]] = append(*lists[key[0]], *t)
	}
	for _, list := range lists {
		slices.SortFunc(*list, func(a, b Thing) int { return cmp.Compare(a.Name, b.Name) })
	}
	for _, h := range b.holes {
		out.Unknown = append(out.Unknown, *h)
	}
	if len(b.j.log.Deployments) == 0 {
		out.Unknown = append(out.Unknown, Hole{What: fmt.Sprintf("what runs: no deployment is attested in %d entries", b.j.log.Size), Entries: []uint64{}})
	}
	slices.SortFunc(out.Unknown, func(a, b Hole) int { return cmp.Compare(a.What, b.What) })
	return out
}
