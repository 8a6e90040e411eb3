package incident

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// A Review is one signature under a review of an incident, at its place in the log.
type Review struct {
	Index  uint64
	Time   time.Time // when the log took it
	Digest string    // of the payload, sha256 hex
	Signer string    // roster id
	Key    string    // id of the key, hex
	Kind   roster.Kind
	What   *attest.DeepDive
}

// reviewers is how many people must sign the same review.
const reviewers = 2

// review takes one signature: of a person, under a payload about a statement that was in
// force, when the log already knew how bad the incident is.
func (r *reading) review(d *Review) {
	if d.Kind != roster.Person || d.Index <= r.out.KnownBy || !r.seen[d.What.Of] || len(r.out.Reviewed) > 0 {
		return
	}
	if r.signed == nil {
		r.signed = make(map[string][]*Review)
	}
	list := r.signed[d.Digest]
	if slices.ContainsFunc(list, func(o *Review) bool { return o.Signer == d.Signer }) {
		return
	}
	r.signed[d.Digest], r.out.Reviewer = append(list, d), d.Signer
	if list = r.signed[d.Digest]; len(list) < reviewers {
		return
	}
	r.out.Reviewer = ""
	for _, s := range list {
		r.out.Reviewed = append(r.out.Reviewed, s.Index)
	}
}
