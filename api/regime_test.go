package api_test

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// next is the set of another version, with another number of approvals, over a set.
func (f *fixture) next(over *policy.Set, version, count string) (*policy.Set, *attest.Statement) {
	f.t.Helper()
	files := f.set.Files()
	files.Policy = strings.NewReplacer("version: 1", "version: "+version, "[{count: 1}]", "[{count: "+count+"}]").Replace(files.Policy)
	set, err := policy.ParseSet(files)
	if err != nil {
		f.t.Fatal(err)
	}
	return set, set.Statement(over.Digest().String(), attest.At(f.clock.now()))
}

// A server takes up what is published: at once, after the delay though nothing else is
// logged, and without being started again. What it remembers of before is not given.
func TestTheServerTakesUpNewPolicySets(t *testing.T) {
	f := start(t, setup{})
	f.tell()
	verdict := func(want policy.Verdict, version int) {
		t.Helper()
		d := f.decision(f.verify(gateToken, ""))
		if d.Core.Verdict != want || d.Core.Policy.Version != version {
			t.Errorf("%s (%s) under version %d, want %s under %d", d.Core.Verdict, d.Core.Why, d.Core.Policy.Version, want, version)
		}
	}
	verdict(policy.Allow, 1)
	second, st := f.next(f.set, "2", "2")
	f.append(f.sign("dave", st))
	verdict(policy.Allow, 1)
	f.append(f.sign("erin", st))
	verdict(policy.Deny, 2)
	_, st = f.next(second, "3", "1")
	f.append(f.sign("dave", st), f.sign("erin", st)) // in one batch
	verdict(policy.Deny, 2)
	f.clock.add(23 * time.Hour)
	verdict(policy.Deny, 2)
	f.clock.add(2 * time.Hour)
	size := f.ledger.Head().Size
	verdict(policy.Allow, 3)
	if size == f.ledger.Head().Size {
		t.Error("the allow under another policy was not logged")
	}
}

func TestTheServerRefusesWhatEveryVerifierWould(t *testing.T) {
	f := start(t, setup{})
	_, gap := f.next(f.set, "3", "2")
	second, good := f.next(f.set, "2", "2")
	_, other := f.next(second, "2", "3")
	_, again := f.next(f.set, "2", "3")
	lies := *good
	predicate := *good.Predicate.(*attest.Policy)
	predicate.Name = "another"
	lies.Predicate = &predicate
	first := f.set.Statement("", attest.At(f.clock.now()))
	for name, c := range map[string]struct {
		who  string
		st   *attest.Statement
		want string
	}{
		"a gap":                       {"dave", gap, "POLICY_ROLLBACK"},
		"another set before":          {"dave", other, "POLICY_ROLLBACK"},
		"nobody's key":                {"mallory", good, "UNTRUSTED_KEY"},
		"no owner":                    {"carol", good, "WRONG_SCOPE"},
		"a service":                   {"ci", good, "WRONG_SCOPE"},
		"a name that the set has not": {"dave", &lies, "POLICY_INVALID"},
		"a first set":                 {"dave", first, "WRONG_SCOPE"},
	} {
		_, err := f.Append(t.Context(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{f.sign(c.who, c.st)}}))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	f.append(f.sign("dave", good), f.sign("erin", good))
	if _, err := f.Append(t.Context(), connect.NewRequest(&countersignv1.AppendRequest{Bundles: [][]byte{f.sign("dave", again)}})); err == nil || !strings.Contains(err.Error(), "POLICY_ROLLBACK") {
		t.Errorf("the same version with other content: %v", err)
	}
}
