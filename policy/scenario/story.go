// Package scenario tells stories, for tests and for trials of a policy (see trial.go): real keys, a real git repository, a
// real log in memory, and people who write, review and merge. A story is a few
// lines of text, one step a line:
//
//	commit h1 alice src/a.go      alice's branch: one commit on top of main
//	squash m1 of=h1               the forge merges it into main
//	change h1                     ci attests what a reviewer sees
//	authorship alice h1 human     alice says that she wrote it
//	approve bob h1
//	admit m1                      ci attests the merge, replayed with git
//	link packer build src/a.go:1 -- app.tar:a   packer's step made "a" of a file
//	release m1                    builder says that artifact "a" comes from m1
//	ask                           may artifact "a" go to production?
//
// Or, about plans:
//
//	operation carol p1 delete:aws_db_instance.main origin=human
//	operation gate p1 delete:aws_db_instance.main derived=plan
//	permit alice claude update:aws_instance.*
//	approve bob plan=p1
//	ask plan=p1
//
// A step may have a name ("ok: approve bob h1") that later steps use, and options
// ("approve bob h1 env=staging"). Whoever signs may do so with a certificate
// (keyless=me), have it said by a forge that saw their account (approve bob h1 seen=2), send the hash alone (hash=NAME, and later: attach NAME), or have it
// imported from another log (foreign=known); see carry.go. Carol may approve with an
// SSH key or a passkey (via=touch); see credential.go. Owners may publish further policy
// sets; see sets.go. Gates may be asked on the way; see gate.go. Things break, and are reviewed; see outcome.go. Glass may be broken; see glass.go. A line that starts with "-" is only told in the
// attack, one that starts with "+" only in its twin. Each statement is logged a
// minute after the one before.
package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/verify"
)

// Story is a text, and the rules that it is judged by (the `rules:` of a
// policy.yaml, indented by two; empty: one person approves everything).
type Story struct {
	Text  string
	Rules string
	// Later are the rules of the sets that the story publishes with rules=later.
	Later string
	// Settings are further lines of every policy.yaml, such as budgets.
	Settings string
	// Domains is a domains.yaml of its own; empty: that of most stories.
	Domains string
	// Unasked is a world in which nobody asks the gate: see gate.go.
	Unasked bool
	// Layout is the set's layout "made"; empty: it has none.
	Layout string
}

// ReadStory reads the folder of a story: story.txt, and where there are some, rules.yaml
// later.yaml, layout.yaml, domains.yaml and settings.yaml.
func ReadStory(dir string) (Story, error) {
	var s Story
	for name, into := range map[string]*string{"story.txt": &s.Text, "rules.yaml": &s.Rules, "later.yaml": &s.Later, "layout.yaml": &s.Layout, "domains.yaml": &s.Domains, "settings.yaml": &s.Settings} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && (name == "story.txt" || !errors.Is(err, fs.ErrNotExist)) {
			return s, err
		}
		*into = string(text)
	}
	return s, nil
}

// Twin says which of the two tellings of a story is told.
type Twin bool

// The attack has the lines with "-", the twin those with "+".
const (
	Attack   Twin = false
	Harmless Twin = true
)

// Told is a story that was told, ready to be judged.
type Told struct {
	Set      *policy.Set
	Log      *Log
	Verifier *verify.Verifier
	Input    policy.Input // with what was gathered
	Roll     verify.Roll  // nil where the judge has a roster of their own
	Err      error        // of gathering
	IDs      map[string]gitfacts.ID
	Gated    []Gated // what a gate was asked on the way
}

const defaultRules = `
  - id: reviewed
    title: Somebody else approves every change
    require:
      approvals: [{count: 1}]
    remedy: Ask somebody who did not write the change.
`

const domains = `domains:
  - {name: docs, tier: low, paths: ["docs/**", "**/*.md"]}
  - {name: source, tier: medium, paths: ["src/**"]}
  - {name: core, tier: high, paths: ["src/core/**"]}
  - {name: web, tier: medium, resources: [{kind: aws_instance}, {kind: aws_db_*, address: "*.scratch*"}]}
  - {name: data, tier: high, resources: [{kind: aws_db_*}]}
`

// Tell tells a story.
func Tell(s Story, twin Twin) (*Told, error) {
	repositories.mu.Lock()
	defer repositories.mu.Unlock()
	t := &teller{log: NewLog(), names: make(map[string]uint64), auditor: make(map[string]string), baseline: "base", places: []string{"staging", "production"}, ask: step{}, statements: make(map[string]signed), parcels: make(map[string]parcel), sets: make(map[string]*policy.Set), story: s}
	steps, err := parse(s.Text, twin)
	if err != nil {
		return nil, err
	}
	if err := t.layOut(steps); err != nil {
		return nil, err
	}
	if err := t.enact(s, steps); err != nil {
		return nil, err
	}
	return t.judge()
}

// step is one line.
type step struct {
	line int
	name string
	verb string
	args []string
	opts map[string]string
	raw  bool // opts are as they are: no underscore stands for a space
}

func (s *step) arg(i int) string {
	if i < len(s.args) {
		return s.args[i]
	}
	return ""
}

// opt is an option, or what it is when it is not given.
func (s *step) opt(name, otherwise string) string {
	if v, ok := s.opts[name]; ok && s.raw {
		return v
	} else if ok {
		return strings.ReplaceAll(v, "_", " ")
	}
	return otherwise
}

func (s *step) has(flag string) bool {
	_, ok := s.opts[flag]
	return ok
}

func parse(text string, twin Twin) ([]step, error) {
	var out []step
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '-' && twin == Harmless || line[0] == '+' && twin == Attack {
			continue
		}
		s := step{line: n, opts: make(map[string]string)}
		for i, f := range strings.Fields(strings.TrimLeft(line, "+- ")) {
			name, value, isOpt := strings.Cut(f, "=")
			switch {
			case i == 0 && strings.HasSuffix(f, ":"):
				s.name = strings.TrimSuffix(f, ":")
			case s.verb == "":
				s.verb = f
			case isOpt:
				s.opts[name] = value
			default:
				s.args = append(s.args, f)
			}
		}
		if s.verb == "" {
			return nil, fmt.Errorf("line %d: no verb", n)
		}
		out = append(out, s)
	}
	return out, nil
}

// teller tells one story.
type teller struct {
	log        *Log
	history    *history
	names      map[string]uint64
	statements map[string]signed
	auditor    map[string]string // changes of the judge's own roster
	baseline   string
	places     []string // environments that it is for
	unsafe     bool
	mode       string      // of the gate of production
	set        *policy.Set // as it is judged by
	trust      *verify.Trust
	roll       verify.Roll
	policies   *policy.History // nil for a judge with a roster of their own
	verifier   *verify.Verifier
	sets       map[string]*policy.Set // by name; the first is "genesis"
	story      Story
	ask        step
	parcels    map[string]parcel
	begins     bool // the judged history begins at the base commit, whatever the set says
	gated      []Gated
	foreign    *Log     // that trust folders name; nil where the story needs none
	speaks     []string // issuers that it is believed about; nil: all
	certifies  []string // the same for the authority
}

type signed struct {
	st  *attest.Statement
	key *attest.PrivateKey
}

// files of a policy set.
func (t *teller) files(rules string, auditor map[string]string) attest.PolicyFiles {
	return t.setFiles(1, rules, "", people("dave, erin", auditor))
}

// setFiles are those of one version; changes is a line of policy.yaml.
func (t *teller) setFiles(version int, rules, changes, people string) attest.PolicyFiles {
	var baselines string
	if t.baseline != "none" {
		baselines = "baselines:\n"
		for _, env := range t.places {
			baselines += fmt.Sprintf("  - {repository: %s, environment: %s, commit: %s, reason: where the record begins}\n", Repository, env, t.history.ids[t.baseline])
		}
	}
	if rules == "" {
		rules = defaultRules
	}
	rules = t.named(rules)
	var layouts map[string]string
	if t.story.Layout != "" {
		layouts = map[string]string{"made": t.story.Layout}
	}
	return attest.PolicyFiles{
		Policy: fmt.Sprintf("name: story\nversion: %d\n", version) + changes + "levels: [junior, mid, senior, staff]\ntiers: [low, medium, high, critical]\n" +
			"environments:\n  - {name: staging, approvals: beforeRelease}\n  - {name: production, approvals: beforeMerge, gates: [gate]" + onlyIf(t.mode != "", ", mode: "+t.mode) + "}\n" +
			"validFor: 15m\n" + baselines + t.story.Settings + "rules:\n" + strings.TrimLeft(rules, "\n"),
		People:  people,
		Domains: cmp.Or(t.story.Domains, domains),
		Layouts: layouts,
	}
}

// enact logs the genesis and then every statement.
func (t *teller) enact(s Story, steps []step) error {
	for _, st := range steps {
		switch st.verb {
		case "baseline":
			t.baseline = st.arg(0)
			if env := st.opt("env", ""); env != "" {
				t.places = []string{env}
			}
		case "auditor":
			t.auditor[st.arg(0)] = st.arg(1)
			for k, v := range st.opts {
				t.auditor[st.arg(0)] = k + "=" + v
			}
		case "unsafe":
			t.unsafe = true
		case "mode":
			t.mode = st.arg(0)
		case "speaks":
			t.speaks = append(t.speaks, issuers[st.arg(0)])
		case "certifies":
			t.certifies = append(t.certifies, issuers[st.arg(0)])
		}
	}
	set, err := policy.ParseSet(t.files(s.Rules, nil))
	if err != nil {
		return err
	}
	t.set, t.sets["genesis"] = set, set
	if len(t.auditor) > 0 {
		if t.set, err = policy.ParseSet(t.files(s.Rules, t.auditor)); err != nil {
			return err
		}
	}
	if t.trust, err = t.log.Trust(set.Digest()); err != nil {
		return err
	}
	t.trust.UnsafeSingleOwner = t.unsafe
	if strings.Contains(s.Text, "via=") {
		t.trust.Console = console()
	}
	if strings.Contains(s.Text, "keyless=") {
		if err := t.trustOthers(); err != nil {
			return err
		}
	}
	genesis := &attest.Statement{
		Subjects:  []attest.Subject{{Digest: map[string]string{"sha256": set.Digest().String()}}},
		Predicate: &attest.Policy{Name: set.Name, Version: set.Version, Files: set.Files(), PublishedAt: attest.At(Start)},
	}
	for _, owner := range []string{"dave", "erin"} {
		if _, err := t.log.Append(genesis, Key(owner)); err != nil {
			return err
		}
	}
	t.ask = step{verb: "ask", opts: map[string]string{}}
	for i := range steps {
		if err := t.do(&steps[i]); err != nil {
			return fmt.Errorf("line %d: %s: %w", steps[i].line, steps[i].verb, err)
		}
	}
	return t.readPolicies()
}

// judge gathers what the asking gate would.
func (t *teller) judge() (*Told, error) {
	a := &t.ask
	req := policy.Request{Repository: a.opt("repo", Repository), Environment: a.opt("env", "production"), Nonce: "n-1"}
	if c := a.opt("commit", ""); c != "" {
		req.Commit = t.id(c)
	}
	if p := a.opt("plan", ""); p != "" {
		d := attest.DigestOf([]byte(p))
		req.Plan = &d
	} else if art := a.opt("artifact", "a"); art != "none" {
		d := attest.DigestOf([]byte(art))
		req.Artifact = &d
	}
	after, err := time.ParseDuration(a.opt("after", "1m"))
	if err != nil {
		return nil, err
	}
	now := t.log.Clock.Add(after)
	if t.policies != nil {
		t.set = t.policies.InForce(now)
	}
	if t.begins {
		set := *t.set
		set.Baselines = append(slices.Clone(set.Baselines), policy.Baseline{Repository: req.Repository, Environment: req.Environment, Commit: string(t.history.ids["base"]), Reason: "trial"})
		// Nobody makes an artifact in a trial, so how it was made is not asked.
		set.Rules = slices.Clone(set.Rules)
		for i := range set.Rules {
			set.Rules[i].Require.Layout = ""
		}
		t.set = &set
	}
	told := &Told{Gated: t.gated, Set: t.set, Log: t.log, Verifier: t.verifier, IDs: t.history.ids, Roll: t.roll}
	told.Input = policy.Input{Set: t.set, History: t.policies, Trust: t.trust, Request: req, Now: now}
	var baselines []gitfacts.ID
	for _, b := range t.set.Baselines {
		baselines = append(baselines, gitfacts.ID(b.Commit))
	}
	told.Input.Gathered, told.Err = verify.Gather(context.Background(), t.log, t.verifier, verify.Request{
		Plan: req.Plan, Artifact: req.Artifact, Commit: req.Commit, Repository: req.Repository, Environment: req.Environment, Baselines: baselines,
		Incidents:   t.set.AsksIncidents(),
		Snapshots:   t.set.AsksSnapshots(),
		Permissions: t.set.HoldsAgents(), Links: t.set.LinkRules(),
	})
	return told, nil
}

// id is the commit of a label, or the text itself.
func (t *teller) id(label string) gitfacts.ID {
	if id, ok := t.history.ids[label]; ok {
		return id
	}
	return gitfacts.ID(label)
}

// named puts ids in the place of {id:LABEL}, a commit, and {sha256:NAME}, an artifact or plan.
func (t *teller) named(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(s string) string {
		kind, name, _ := strings.Cut(strings.Trim(s, "{}"), ":")
		if kind == "id" {
			return string(t.id(name))
		}
		return attest.DigestOf([]byte(name)).String()
	})
}

var placeholder = regexp.MustCompile(`\{(id|sha256):[a-z0-9]+\}`)

func onlyIf(cond bool, s string) string {
	if cond {
		return s
	}
	return ""
}
