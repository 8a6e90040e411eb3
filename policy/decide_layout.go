package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/steps"
	"github.com/countersign-dev/countersign/policy/roster"
)

// maxTries bounds how many ways of putting links together are looked at.
const maxTries = 10_000

// A reading is what links of one step say of files, and who says the same.
type reading struct {
	files steps.Files
	by    []item // one of each functionary
	// dead: too few are left that were not taken back. Such a reading is tried like any
	// other, and never found: a revocation must not make room for what would else be too much.
	dead bool
}

// laidOut is what became of one layout, found out once for all changes.
type laidOut struct {
	why   string // why it does not hold; empty: it does
	links []item // on which it rests
}

// layoutHolds says why a layout does not hold for the artifact that was asked about; it
// is empty when it does. What is proposed has no artifact yet, and is asked nothing.
func (j *judge) layoutHolds(name string) string {
	if j.proposing {
		return ""
	}
	if j.layouts == nil {
		j.layouts = make(map[string]*laidOut)
	}
	o := j.layouts[name]
	if o == nil {
		o = &laidOut{}
		o.why = j.holdLayout(j.in.Set.Layouts[name], o)
		j.layouts[name] = o
		for _, it := range o.links {
			j.cite(it, "link of step "+it.Statement().Predicate.(*attest.Link).Name)
		}
	}
	return o.why
}

func (j *judge) holdLayout(l *Layout, o *laidOut) string {
	switch {
	case j.in.Request.Artifact == nil:
		return "a commit was asked about, and a layout speaks of an artifact"
	case j.in.Now.After(l.Expires) && j.on(checkLayoutTime):
		return "the layout expired at " + stamp(l.Expires)
	}
	t := &layoutTrial{j: j, layout: l, readings: make(map[string][]reading), chosen: make(map[string]steps.Files)}
	for i := range l.Steps {
		step := &l.Steps[i]
		all, why := j.readings(step, i == len(l.Steps)-1)
		if why != "" {
			return "step " + step.Name + ": " + why
		}
		t.readings[step.Name] = all
	}
	if !t.try(len(l.Steps) - 1) {
		return t.why
	}
	o.links = t.links
	return ""
}

// readings are what the links of a step say, of those who may say it; each that enough of
// them agree on. Of the last step, those that made the artifact.
func (j *judge) readings(step *LayoutStep, last bool) ([]reading, string) {
	byFiles, live := make(map[string]*reading), make(map[string]int)
	var order []string
	for _, it := range j.links[step.Name] {
		if !j.functionary(step, it) {
			continue
		}
		l := it.Statement().Predicate.(*attest.Link)
		if len(step.Command) > 0 && !slices.Equal(step.Command, l.Command) && j.on(checkCommand) {
			continue
		}
		files, err := steps.FilesOf(it.Statement())
		if err != nil {
			j.ignore(it, BadLink, "", "%v", err)
			continue
		}
		if last && !slices.Contains(slices.Collect(maps.Values(files.Products)), j.d.Core.Artifact) && j.on(checkProduct) {
			continue
		}
		key := filesKey(files)
		r := byFiles[key]
		if r == nil {
			r = &reading{files: files}
			byFiles[key] = r
			order = append(order, key)
		}
		if j.revoked(it) {
			j.ignore(it, Revoked, "", "was taken back")
		}
		same := slices.IndexFunc(r.by, func(o item) bool { return o.by.ID == it.by.ID })
		revoked := j.revoked(it)
		switch {
		case same < 0 || !j.on(checkThreshold):
			r.by = append(r.by, it)
			live[key] += plus(!revoked)
		case !revoked && j.revoked(r.by[same]):
			r.by[same] = it
			live[key]++
		}
	}
	var out []reading
	most, alive := 0, false
	for _, key := range order {
		r := byFiles[key]
		most, r.dead = max(most, live[key]), live[key] < step.Threshold
		if alive = alive || !r.dead; len(r.by) >= step.Threshold {
			r.by = slices.DeleteFunc(r.by, j.revoked)
			out = append(out, *r)
		}
	}
	if alive {
		return out, ""
	}
	what := "say the same of it"
	if last {
		what = "say that it made the artifact"
	}
	return nil, fmt.Sprintf("%d of %s %s; %d must", most, strings.Join(step.Functionaries, ", "), what, step.Threshold)
}

func plus(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// functionary reports whether a link is by somebody whose links count for a step.
func (j *judge) functionary(step *LayoutStep, it item) bool {
	if !j.on(checkFunctionary) {
		return true
	}
	return it.by.Kind != roster.Agent && slices.Contains(step.Functionaries, it.by.ID)
}

// filesKey is the same for links that say the same.
func filesKey(f steps.Files) string {
	var b strings.Builder
	for _, m := range []map[string]string{f.Materials, f.Products} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, "%q %s\n", name, m[name])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// layoutTrial looks for one reading of each step such that all of them fit together.
type layoutTrial struct {
	j        *judge
	layout   *Layout
	readings map[string][]reading
	chosen   map[string]steps.Files
	links    []item
	tries    int
	dead     int // readings chosen that are dead
	depth    int // how far it came, and
	why      string
}

// try chooses for the step at i and those before it.
func (t *layoutTrial) try(i int) bool {
	if i < 0 {
		if t.why == "" {
			t.why = "what fits together was taken back"
		}
		return t.dead == 0
	}
	step := &t.layout.Steps[i]
	for _, r := range t.readings[step.Name] {
		if t.tries++; t.tries > maxTries {
			t.why = fmt.Sprintf("more than %d ways to put its links together", maxTries)
			return false
		}
		t.chosen[step.Name] = r.files
		t.dead += plus(r.dead)
		if why := t.fits(i); why != "" {
			if reached := len(t.layout.Steps) - i; reached > t.depth {
				t.depth, t.why = reached, why
			}
		} else if t.try(i - 1) {
			t.links = append(t.links, r.by...)
			return true
		}
		t.dead -= plus(r.dead)
	}
	delete(t.chosen, step.Name)
	return false
}

// fits holds every step whose files, and those that its rules name, are all chosen and of
// which the one at i is the last: the others were held before.
func (t *layoutTrial) fits(i int) string {
	if !t.j.on(checkLayoutRules) {
		return ""
	}
	name := t.layout.Steps[i].Name
	for k := len(t.layout.Steps) - 1; k >= 0; k-- {
		step := &t.layout.Steps[k]
		needs := map[string]bool{step.Name: true}
		for _, r := range slices.Concat(step.Materials, step.Products) {
			if from, _ := r.From(); from != "" {
				needs[from] = true
			}
		}
		ready := needs[name]
		for n := range needs {
			_, chosen := t.chosen[n]
			ready = ready && chosen
		}
		if !ready {
			continue
		}
		if err := steps.Hold(&step.Step, t.chosen); err != nil {
			return "step " + step.Name + ": " + clean(err.Error())
		}
	}
	return ""
}
