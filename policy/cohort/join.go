package cohort

import (
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/incident"
)

// A Deployed is a deployment with what the log knows of what it brought.
type Deployed struct {
	*Deployment
	Repository, Release string
	// Under is the decision that describes its changes: the one that it names, else the
	// last about its artifact before it, else the first after it; nil where there is none.
	Under *Decision
	// Changes are those of Under. Without any, nothing is known of who wrote it.
	Changes []Change

	Lead    *time.Duration // from the first commit to the deployment; nil where some change proves none
	Waiting *time.Duration // the longest from request to the last approval that counted; nil without one
	Caused  []*Fault
	// Same is the deployment that this statement repeats; nil for one of its own.
	Same *Deployed
}

// A Fault is an incident that is put down to a deployment.
type Fault struct {
	Incident   *incident.Incident
	Confidence attest.Confidence
}

// A place is an artifact in an environment.
type place struct{ artifact, environment string }

// A joined log has deployments beside what they brought and what they broke.
type joined struct {
	log        *Log
	principals map[string]*Principal
	deployed   []*Deployed
	incidents  []*incident.Incident
	// unplaced are incidents that no deployment of the log is a cause of.
	unplaced []*incident.Incident

	byDigest  map[string]*Decision
	byPlace   map[place][]*Decision
	requests  map[string]*Request  // by repository and head; the first
	approvals map[uint64]*Approval // by index
	authors   map[string][]*Authorship
	releases  map[string]*Release // by artifact; the first
}

func headKey(repository, head string) string { return repository + "\n" + head }

// join puts together what belongs together.
func (l *Log) join() *joined {
	j := &joined{log: l, principals: l.principals(), incidents: l.Incidents(),
		byDigest: make(map[string]*Decision), byPlace: make(map[place][]*Decision), requests: make(map[string]*Request),
		approvals: make(map[uint64]*Approval), authors: make(map[string][]*Authorship), releases: make(map[string]*Release)}
	j.index()
	for i := range l.Deployments {
		j.deployed = append(j.deployed, j.describe(&l.Deployments[i]))
	}
	j.repeat()
	j.blame()
	return j
}

// repeat finds statements that say again, or in somebody else's words, that an artifact
// went where nothing else has gone since. They are one deployment: else whoever attests
// twice, or two who attest the same, would halve a failure rate.
func (j *joined) repeat() {
	type spot struct{ environment, target, repository string }
	last := make(map[spot]*Deployed)
	payloads := make(map[string]*Deployed)
	for _, d := range j.deployed {
		at := spot{d.Environment, d.Target, d.Repository}
		if first := payloads[d.Digest]; first != nil { // the same payload is the same statement, whenever it comes
			d.Same = first
			continue
		}
		if first := last[at]; first != nil && slices.Equal(first.Artifacts, d.Artifacts) {
			d.Same = first
		} else {
			last[at] = d
		}
		payloads[d.Digest] = d
		if d.Same != nil {
			payloads[d.Digest] = d.Same
		}
	}
}

// once are the deployments of a query, each once.
func (j *joined) once(q *Query) (list []*Deployed, repeated int) {
	for _, d := range j.deployed {
		switch {
		case !q.holds(d):
		case d.Same != nil:
			repeated++
		default:
			list = append(list, d)
		}
	}
	return list, repeated
}

func (j *joined) index() {
	l := j.log
	for i := range l.Decisions {
		d := &l.Decisions[i]
		if j.byDigest[d.Digest] == nil {
			j.byDigest[d.Digest] = d
		}
		if d.Artifact != "" {
			at := place{d.Artifact, d.Environment}
			j.byPlace[at] = append(j.byPlace[at], d)
		}
	}
	for i := range l.Requests {
		r := &l.Requests[i]
		if key := headKey(r.Repository, r.Head); j.requests[key] == nil {
			j.requests[key] = r
		}
	}
	for i := range l.Approvals {
		j.approvals[l.Approvals[i].Index] = &l.Approvals[i]
	}
	for i := range l.Authorships {
		a := &l.Authorships[i]
		j.authors[headKey(a.Repository, a.Head)] = append(j.authors[headKey(a.Repository, a.Head)], a)
	}
	for i := range l.Releases {
		for _, a := range l.Releases[i].Artifacts {
			if j.releases[a] == nil {
				j.releases[a] = &l.Releases[i]
			}
		}
	}
}

func (j *joined) describe(d *Deployment) *Deployed {
	out := &Deployed{Deployment: d, Under: j.decisionOf(d)}
	for _, a := range d.Artifacts {
		if r := j.releases[a]; r != nil && out.Repository == "" {
			out.Repository, out.Release = r.Repository, r.Name
		}
	}
	if out.Under == nil {
		return out
	}
	out.Repository, out.Release, out.Changes = out.Under.Repository, out.Under.Release, out.Under.Changes
	j.time(out)
	return out
}

// decisionOf finds the decision that tells what a deployment brought. Whether it allowed
// the deployment is another question (Bypasses).
func (j *joined) decisionOf(d *Deployment) *Decision {
	if named := j.byDigest[d.Decision]; named != nil && slices.Contains(d.Artifacts, named.Artifact) {
		return named
	}
	var before, later *Decision
	for _, a := range d.Artifacts {
		for _, dec := range j.byPlace[place{a, d.Environment}] {
			switch {
			case dec.Index < d.Index && (before == nil || dec.Index > before.Index):
				before = dec
			case dec.Index > d.Index && (later == nil || dec.Index < later.Index):
				later = dec
			}
		}
	}
	if before != nil {
		return before
	}
	return later
}

// time reads how long changes took: commits by their authors' clocks, everything else
// by the log's.
func (j *joined) time(d *Deployed) {
	var first time.Time
	proven := len(d.Changes) > 0
	for i := range d.Changes {
		c := &d.Changes[i]
		r := j.requests[headKey(d.Repository, c.Head)]
		if r == nil || r.FirstCommit.IsZero() {
			proven = false
			continue
		}
		if first.IsZero() || r.FirstCommit.Before(first) {
			first = r.FirstCommit
		}
		var last time.Time
		for _, v := range c.Approved {
			if a := j.approvals[v.Index]; a != nil && a.Time.After(last) {
				last = a.Time
			}
		}
		if last.IsZero() {
			continue
		}
		if wait := max(0, last.Sub(r.Time)); d.Waiting == nil || wait > *d.Waiting {
			d.Waiting = &wait
		}
	}
	if proven && !d.DeployedAt.Before(first) {
		lead := d.DeployedAt.Sub(first)
		d.Lead = &lead
	}
}

// blame puts incidents down to deployments.
func (j *joined) blame() {
	byDigest := make(map[string]*Deployed, len(j.deployed))
	byArtifact := make(map[string][]*Deployed)
	for _, d := range j.deployed {
		if d.Same != nil {
			byDigest[d.Digest] = d.Same
			continue
		}
		byDigest[d.Digest] = d
		for _, a := range d.Artifacts {
			byArtifact[a] = append(byArtifact[a], d)
		}
	}
	for _, inc := range j.incidents {
		placed := false
		for _, c := range inc.Said.Causes {
			d := byDigest[c.Digest]
			if c.Kind == attest.CauseRelease {
				d = lastBefore(byArtifact[c.Digest], inc.Said.DetectedAt.Time)
			}
			if d != nil {
				d.caused(inc, c.Confidence)
				placed = true
			}
		}
		if !placed {
			j.unplaced = append(j.unplaced, inc)
		}
	}
}

// lastBefore is the last deployment of an artifact when an incident was detected, by the
// second: people write no milliseconds down.
func lastBefore(list []*Deployed, at time.Time) *Deployed {
	var last *Deployed
	for _, d := range list {
		if !d.DeployedAt.Truncate(time.Second).After(at) && (last == nil || !d.DeployedAt.Before(last.DeployedAt)) {
			last = d
		}
	}
	return last
}

// caused notes an incident once, with the most confidence that is had.
func (d *Deployed) caused(inc *incident.Incident, c attest.Confidence) {
	for _, f := range d.Caused {
		if f.Incident == inc {
			if c.AtLeast(f.Confidence) {
				f.Confidence = c
			}
			return
		}
	}
	d.Caused = append(d.Caused, &Fault{inc, c})
}
