package scenario

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/verify"
)

// Policy sets after the first, in a story:
//
//	set s2 rules=later            write set s2: version 2, over genesis, with the rules of later.yaml
//	publish dave s2               dave signs and logs it
//	publish erin s2               so does erin: it is in force after the delay
//
// Options of set: version, over (the set that it supersedes, "genesis" when missing; "none"),
// delay, approvals, owners, add (people who come, of level staff), human (agents who are
// people now), drop, says (the version that the statement claims).

// makeSet writes a set and logs nothing.
func (t *teller) makeSet(s *step) error {
	version, err := strconv.Atoi(s.opt("version", "2"))
	if err != nil {
		return err
	}
	var changes []string
	for _, key := range []string{"delay", "approvals"} {
		if s.has(key) {
			changes = append(changes, key+": "+s.opts[key])
		}
	}
	line := ""
	if len(changes) > 0 {
		line = "changes: {" + strings.Join(changes, ", ") + "}\n"
	}
	rules := t.story.Rules
	if s.opt("rules", "") == "later" {
		rules = t.story.Later
	}
	var others []one
	for _, id := range listOf(s.opts["add"]) {
		others = append(others, one{section: "people", id: id, rest: "level: staff, teams: [core], emails: [" + id + "@example.com]", keys: []string{id}})
	}
	for _, id := range listOf(s.opts["human"]) {
		others = append(others, one{section: "people", id: id, rest: "level: staff, emails: [" + id + "@agents.example.com]", keys: []string{id}})
	}
	edits := make(map[string]string)
	for _, id := range listOf(s.opts["drop"]) {
		edits[id] = "drop"
	}
	set, err := policy.ParseSet(t.setFiles(version, rules, line, people(strings.Join(listOf(s.opt("owners", "dave,erin")), ", "), edits, others...)))
	if err != nil {
		return err
	}
	t.sets[s.arg(0)] = set
	predicate := &attest.Policy{Name: set.Name, Version: set.Version, Files: set.Files(), PublishedAt: attest.At(t.log.Clock)}
	if says := s.opt("says", ""); says != "" {
		if predicate.Version, err = strconv.Atoi(says); err != nil {
			return err
		}
	}
	if over := s.opt("over", "genesis"); over != "none" {
		before, ok := t.sets[over]
		if !ok {
			return fmt.Errorf("no set %q", over)
		}
		predicate.Supersedes = before.Digest().String()
	}
	t.statements["set "+s.arg(0)] = signed{st: &attest.Statement{
		Subjects: []attest.Subject{{Digest: map[string]string{"sha256": set.Digest().String()}}}, Predicate: predicate,
	}}
	return nil
}

func listOf(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// publish logs somebody's signature under a set.
func (t *teller) publish(s *step) error {
	what, ok := t.statements["set "+s.arg(1)]
	if !ok {
		return fmt.Errorf("no set %q", s.arg(1))
	}
	return t.write(s, what.st, Key(s.arg(0)))
}

// readPolicies finds out what is in force where, as every verifier does. A judge with a
// roster of their own has one for all times; the log still goes by the first set.
func (t *teller) readPolicies() error {
	h, err := policy.ReadHistory(context.Background(), t.log, t.trust, false)
	if err != nil {
		return err
	}
	if t.roll = h; len(t.auditor) == 0 {
		t.policies = h
	}
	t.verifier, err = verify.New(verify.Config{Trust: t.trust, Roster: h.Latest().Set.Roster, Roll: h, Workers: 1})
	return err
}
