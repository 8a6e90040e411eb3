package forge

import (
	"context"
	"slices"

	"github.com/countersign-dev/countersign/attest"
)

// deployed states that artifacts went to an environment. A deployment whose maker did not
// say which ones is of a commit, which is nothing that runs.
func (w *work) deployed(ctx context.Context, d *Deployment) error {
	if len(d.Artifacts) == 0 {
		w.pass("deployment-without-artifacts")
		return nil
	}
	st := &attest.Statement{Predicate: &attest.Deployment{Environment: d.Environment, Actor: w.ID, Target: w.repository.ID, DeployedAt: claimed(d.At)}}
	if p, ok := w.people.ByAccount(w.Host, d.Creator.ID); ok {
		st.Predicate.(*attest.Deployment).Actor = p.ID
	}
	var names []string
	for name := range d.Artifacts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		st.Subjects = append(st.Subjects, attest.Subject{Name: name, Digest: map[string]string{"sha256": d.Artifacts[name]}})
	}
	return w.say(ctx, st)
}
