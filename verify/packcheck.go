package verify

import (
	"fmt"
	"slices"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// derive computes what a log keeps of an entry; false when the entry is no
// attestation, and then nothing finds it but the pack's own table.
func derive(s Sealed, b *attest.Bundle) (attest.Logged, bool) {
	if b == nil {
		return attest.Logged{}, false
	}
	parts, err := attest.ParseLeaf(s.Leaf)
	if err != nil {
		return attest.Logged{}, false
	}
	key, err := parts.Key()
	if err != nil {
		return attest.Logged{}, false
	}
	st, err := attest.ParseStatement(b.Payload)
	if err != nil {
		return attest.Logged{}, false
	}
	logged, err := attest.Log(b, st, key)
	return logged, err == nil
}

// findDamage names the first entry that an honest log would not hold.
func (p *packReader) findDamage() error {
	v := &Verifier{trust: p.trust}
	for _, index := range p.order {
		it := &item{view: &p.pack.view, sealed: p.pack.entries[index], place: placeOf(p.pack.entries[index])}
		r := v.run(integrityChecks, it)
		if r != nil && r.Corrupt {
			return &CorruptError{r.Kind, int64(index), r.Check, r.Why}
		}
		if it.bundle != nil && it.bundle.Hint != attest.Normal(it.bundle, it.key).Hint {
			return corruptAt(index, Malformed, "format", "the bundle's hint is not as the log keeps it")
		}
	}
	return p.crossCheck()
}

// integrityChecks are those of entryChecks that every entry of an honest log passes.
var integrityChecks = []check{
	{"format", (*Verifier).checkFormat},
	{"signature", (*Verifier).checkSignature},
	{"time", (*Verifier).checkToken},
	{"inclusion", (*Verifier).checkInclusion},
}

// crossCheck holds the pack's table and chain against what the entries say.
func (p *packReader) crossCheck() error {
	linked := make(map[uint64]tlog.Hash, len(p.pack.links))
	for _, l := range p.pack.links {
		linked[l.Index] = l.Scope
	}
	for _, index := range p.order {
		for _, key := range p.keys[index] {
			answer, asked := p.pack.answers[key]
			if at, found := slices.BinarySearch(answer, index); asked && !found && at < FindLimit(key) {
				return corruptAt(index, BadProof, "search", "the entry speaks of %.200q, and the pack's answer leaves it out", key)
			}
		}
		if scope, in := linked[index]; p.negative[index] != "" && (!in || scope != tlog.ScopeOf(p.negative[index])) {
			return corruptAt(index, BadProof, "negative", "the entry takes credit away, and the chain of negative evidence leaves it out, or says from something else")
		}
	}
	for key, answer := range p.pack.answers {
		for _, index := range answer {
			keys, derived := p.keys[index]
			if _, has := slices.BinarySearch(keys, key); derived && !has {
				return corruptAt(index, BadProof, "search", "the pack says that the entry speaks of %.200q, and it does not", key)
			}
		}
	}
	return p.checkChain()
}

func (p *packReader) checkChain() error {
	var head tlog.Hash
	for _, l := range p.pack.links {
		if e, in := p.pack.entries[l.Index]; in && tlog.LeafHash(e.Leaf) != l.Leaf {
			return corruptAt(l.Index, NotLogged, "negative", "the entry is not the one of the chain")
		}
		head = l.Chain
	}
	if n := uint64(len(p.pack.links)); n != p.pack.view.ChainLength || head != p.pack.view.Chain {
		return &CorruptError{BadProof, -1, "negative", fmt.Sprintf("the chain has %d links and ends in %s; the pack says %d and %s", n, head, p.pack.view.ChainLength, p.pack.view.Chain)}
	}
	return nil
}
