package policy

import (
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/planfacts"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// A resourcePattern claims resources of plans by kind and address. `*` is any text
// in both, dots and slashes too; what is absent matches everything.
type resourcePattern struct{ kind, address string }

func parseResource(v strictyaml.Node) (resourcePattern, error) {
	var p resourcePattern
	err := v.Fields([]string{"kind", "address"}, func(key string, f strictyaml.Node) error {
		into := &p.kind
		if key == "address" {
			into = &p.address
		}
		var err error
		if *into, err = f.Text(); err != nil {
			return err
		}
		if err := planfacts.CheckGlob(*into); err != nil {
			return f.Errorf("%v", err)
		}
		return nil
	})
	if err == nil && p == (resourcePattern{}) {
		err = v.Errorf("a resource needs a kind, an address, or both")
	}
	return p, err
}

func (p *resourcePattern) match(op *attest.ResourceOperation) bool {
	return (p.kind == "" || planfacts.MatchGlob(p.kind, op.Kind)) && (p.address == "" || planfacts.MatchGlob(p.address, op.Address))
}

func (p *resourcePattern) String() string {
	switch {
	case p.address == "":
		return p.kind
	case p.kind == "":
		return p.address
	}
	return p.kind + " at " + p.address
}

// Kinds is the table of kinds: the built-in one, and what domains.yaml adds.
func (d *Domains) Kinds() *planfacts.Kinds { return d.kinds }

// ClassifyOperations gives a plan the highest tier of any resource that it does
// something to. One that no domain claims has the highest tier, and so has a plan of
// which nothing is known.
func (d *Domains) ClassifyOperations(all []attest.ResourceOperation) Class {
	t := d.tally()
	for i := range all {
		op := &all[i]
		t.place(string(op.Verb)+" "+op.Address, func(one *domain) (string, bool) {
			for k := range one.resources {
				if one.resources[k].match(op) {
					return one.resources[k].String(), true
				}
			}
			return "", false
		})
	}
	if len(all) == 0 {
		t.class.Unclaimed = true
		t.note(t.top, "no operation", "it does nothing that can be seen", "")
	}
	return t.done()
}
