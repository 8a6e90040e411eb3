package scenario

import (
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

const maxTrials = 1000 // of one file; of one trial, changes

//go:embed blueprint.yaml
var blueprintTrials string

// BlueprintTrials are the trials of the built-in policy, and a set to try them on: the
// blueprint with people of its own.
func BlueprintTrials() (*policy.Set, []Trial, error) {
	people := []roster.Principal{
		{Kind: roster.Person, ID: "owner", Level: "staff"}, {Kind: roster.Person, ID: "senior", Level: "senior"},
		{Kind: roster.Person, ID: "mid", Level: "mid"}, {Kind: roster.Person, ID: "junior", Level: "junior"},
		{Kind: roster.Agent, ID: "agent", Operator: "junior"},
		{Kind: roster.Service, ID: "ci", May: []string{"change", "admission"}}, {Kind: roster.Service, ID: "builder", May: []string{"release"}},
		{Kind: roster.Service, ID: "forge", Forge: true, May: []string{"admission"}},
	}
	for i := range people {
		p := &people[i]
		p.Emails = []string{p.ID + "@example.com"}
		p.Keys = []roster.Key{{SPKI: Key("blueprint " + p.ID).Public().SPKI(), Name: "one"}}
	}
	files := policy.Blueprint()
	var err error
	if files.People, err = policy.NewPeople([]string{"owner", "senior"}, people, Start.Add(-24*time.Hour)); err != nil {
		return nil, nil, err
	}
	set, err := policy.ParseSet(files)
	if err != nil {
		return nil, nil, err
	}
	trials, err := ParseTrials("blueprint.yaml", []byte(blueprintTrials))
	return set, trials, err
}

// ParseTrials reads a file of trials strictly: a mapping with the one key trials. Every
// error is a *strictyaml.Error with its place.
func ParseTrials(file string, text []byte) ([]Trial, error) {
	root, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	var out []Trial
	err = root.Fields([]string{"trials"}, func(_ string, v strictyaml.Node) error {
		return v.Items(func(item strictyaml.Node) error {
			t, err := parseTrial(item)
			if out = append(out, t); len(out) > maxTrials && err == nil {
				err = item.Errorf("more than %d trials", maxTrials)
			}
			return err
		})
	})
	if err == nil && len(out) == 0 {
		err = root.Errorf("trials: at least one is needed")
	}
	return out, err
}

func parseTrial(v strictyaml.Node) (Trial, error) {
	t := Trial{Environment: "production"}
	err := v.Fields([]string{"name", "environment", "changes", "incidents", "wait", "expect"}, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "name":
			t.Name, err = f.Text()
		case "environment":
			t.Environment, err = f.Text()
		case "wait":
			t.Wait, err = f.Duration(10 * 365 * 24 * time.Hour)
		case "changes":
			err = f.Items(func(item strictyaml.Node) error {
				c, err := parseChange(item)
				if t.Changes = append(t.Changes, c); len(t.Changes) > maxTrials && err == nil {
					err = item.Errorf("more than %d changes", maxTrials)
				}
				return err
			})
		case "incidents":
			err = f.Items(func(item strictyaml.Node) error {
				in, err := parseIncident(item)
				if t.Incidents = append(t.Incidents, in); len(t.Incidents) > maxTrials && err == nil {
					err = item.Errorf("more than %d incidents", maxTrials)
				}
				return err
			})
		case "expect":
			t.Want, err = parseWanted(f)
		}
		return err
	})
	if err == nil && (t.Name == "" || len(t.Changes) == 0 || t.Want.Verdict == "") {
		err = v.Errorf("a trial needs a name, changes, and expect with a verdict")
	}
	return t, err
}

func parseChange(v strictyaml.Node) (TrialChange, error) {
	var c TrialChange
	known := []string{"author", "paths", "message", "origin", "approved", "present", "rejected", "late", "unreviewed", "admitters"}
	err := v.Fields(known, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "author":
			c.Author, err = f.Text()
		case "paths":
			if c.Paths, err = f.Texts(); err == nil {
				err = checkPaths(f, c.Paths)
			}
		case "message":
			c.Message, err = f.Text()
		case "origin":
			c.Origin, err = f.OneOf("origin", []string{string(attest.OriginHuman), string(attest.OriginAI), string(attest.OriginMixed), string(attest.OriginUnknown)})
		case "approved":
			c.Approved, err = f.Texts()
		case "present":
			c.Present, err = f.Texts()
		case "rejected":
			c.Rejected, err = f.Texts()
		case "late":
			c.Late, err = f.Texts()
		case "unreviewed":
			c.Unreviewed, err = f.Bool()
		case "admitters":
			c.Admitters, err = f.Int(1, 100)
		}
		return err
	})
	if err == nil && (c.Author == "" || len(c.Paths) == 0) {
		err = v.Errorf("a change needs an author and paths")
	}
	if err == nil && c.Unreviewed && (len(c.Approved)+len(c.Present)+len(c.Rejected)+len(c.Late) > 0 || c.Origin != "") {
		err = v.Errorf("an unreviewed change has no origin, approved, present, rejected or late")
	}
	return c, err
}

func parseIncident(v strictyaml.Node) (TrialIncident, error) {
	var in TrialIncident
	err := v.Fields([]string{"severity", "domains", "open", "lowered", "reviewed"}, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "severity":
			var s string
			s, err = f.OneOf("severity", []string{string(attest.Sev1), string(attest.Sev2), string(attest.Sev3), string(attest.Sev4)})
			in.Severity = attest.Severity(s)
		case "domains":
			in.Domains, err = f.Texts()
			slices.Sort(in.Domains)
		case "open":
			in.Open, err = f.Bool()
		case "lowered":
			in.Lowered, err = f.Texts()
		case "reviewed":
			in.Reviewed, err = f.Texts()
		}
		return err
	})
	if err == nil && in.Severity == "" {
		err = v.Errorf("an incident needs a severity")
	}
	return in, err
}

// checkPaths keeps what git's input could read as something else out of the trial.
func checkPaths(v strictyaml.Node, paths []string) error {
	for _, p := range paths {
		if len(p) > 500 || p[0] == '!' || p[0] == '"' || p[0] == '/' || p[len(p)-1] == '/' {
			return v.Errorf("%.80q is no path of a file in a repository", p)
		}
		for _, r := range p {
			if r < ' ' || r == 0x7f {
				return v.Errorf("%.80q holds a control character", p)
			}
		}
	}
	return nil
}

func parseWanted(v strictyaml.Node) (Wanted, error) {
	var w Wanted
	err := v.Fields([]string{"verdict", "kind", "failed", "who"}, func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "verdict":
			var s string
			s, err = f.OneOf("verdict", []string{string(policy.Allow), string(policy.Deny)})
			w.Verdict = policy.Verdict(s)
		case "kind":
			var s string
			s, err = f.Text()
			w.Kind = policy.Kind(s)
		case "failed":
			w.checks = true
			w.Failed, err = f.Texts()
		case "who":
			w.whoIs = true
			w.Who, err = f.Texts()
		}
		return err
	})
	if err == nil && w.Verdict == policy.Allow && w.Kind != "" {
		err = v.Errorf("an allow has no kind")
	}
	return w, err
}

// Name of a trial in a report.
func (tr *Trial) String() string { return fmt.Sprintf("%s (%s)", tr.Name, tr.Environment) }
