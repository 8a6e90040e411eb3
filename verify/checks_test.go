package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/ledger/ledgertest"
	"github.com/countersign-dev/countersign/verify"
)

func wantRefusal(t *testing.T, r *verify.Refusal, check string, kind verify.Kind) {
	t.Helper()
	if r == nil {
		t.Fatalf("it became evidence; want %s: %s", check, kind)
	}
	if r.Check != check || r.Kind != kind {
		t.Fatalf("refused by %v; want %s: %s", r, check, kind)
	}
}

func wantEvidence(t *testing.T, e *verify.Evidence, r *verify.Refusal) {
	t.Helper()
	if r != nil {
		t.Fatalf("refused: %v", r)
	}
	if e == nil {
		t.Fatal("neither evidence nor a refusal")
	}
}

// Rows A, C, D and E: what a signed payload may look like. The twin of each is
// the payload before the edit, which TestAnApprovalBecomesEvidence opens.
func TestPayloadsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	st := &attest.Statement{Subjects: []attest.Subject{h.subject(head)}, Predicate: w.approval("bob", "7", attest.Approved)}
	good, err := st.Marshal()
	must(t, err)
	many := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	digest := fmt.Sprintf(`"gitCommit":"%s"`, head)
	cases := []struct {
		row      string
		old, new string
		kind     verify.Kind
	}{
		{"A01 duplicate key", `"predicateType":`, `"predicateType":"https://countersign.dev/risk/v1","predicateType":`, verify.Malformed},
		{"A02 other case", `"predicateType":`, `"PREDICATETYPE":"x","predicateType":`, verify.Malformed},
		{"A04 two subject lists", `"subject":`, `"subject":[],"subject":`, verify.Malformed},
		{"A05 two digest maps", `"digest":`, `"digest":{"sha1":"aa"},"digest":`, verify.Malformed},
		{"A07 protobuf's name", `"_type":`, `"type":`, verify.Malformed},
		{"A08 something behind it", "\x00", `{}`, verify.Malformed},
		{"A10 control character", `"change":{"id":"7`, `"change":{"id":"7\u0000`, verify.Malformed},
		{"A13 too deep", `"predicate":{`, `"predicate":{"x":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `,`, verify.TooLarge},
		{"A14 null subject", `"subject":[`, `"subject":null,"x":[`, verify.Malformed},
		{"A17 upper case digest", digest, fmt.Sprintf(`"gitCommit":"%s"`, strings.ToUpper(string(head))), verify.Malformed},
		{"A17 prefix in a digest", digest, fmt.Sprintf(`"gitCommit":"sha1:%s"`, head), verify.Malformed},
		{"D01 another version", attest.StatementType, "https://in-toto.io/Statement/v0.1", verify.Unsupported},
		{"D03 too many subjects", `"subject":[`, `"subject":[` + many(1025, `{"digest":{`+digest+`}}`) + `,`, verify.TooLarge},
		{"D07 weak digests only", `"gitCommit":"`, `"sha1":"`, verify.WeakDigest},
		{"D16 another spelling", repository, "Git.example/shop/checkout", verify.WrongScope},
		{"D16 with .git", repository, repository + ".git", verify.WrongScope},
		{"E03 no such decision", `"decision":"approved"`, `"decision":"APPROVED"`, verify.Unsupported},
		{"E03 missing decision", `"decision":"approved",`, ``, verify.Unsupported},
		{"J15 for nowhere", `["production"]`, `[]`, verify.WrongScope},
		{"G09 no zone", `"approvedAt":"2026-03-01T12:00:00Z"`, `"approvedAt":"2026-03-01T12:00:00"`, verify.Malformed},
		{"an unknown field", `"decision":`, `"actorType":"human","decision":`, verify.Malformed},
	}
	for _, c := range cases {
		t.Run(c.row, func(t *testing.T) {
			bad := strings.Replace(string(good), c.old, c.new, 1)
			if c.old == "\x00" {
				bad = string(good) + c.new
			}
			if bad == string(good) {
				t.Fatalf("the case edits nothing: %s", good)
			}
			if c.row[:3] == "D07" {
				bad = strings.Replace(bad, `"gitTree":"`, `"md5":"`, 1)
			}
			_, r := w.open(w.logPayload("bob", bad))
			wantRefusal(t, r, "subject", c.kind)
		})
	}
	for _, whole := range []string{"null", "[]", `""`, "true", "{", "\xff"} {
		_, r := w.open(w.logPayload("bob", whole))
		wantRefusal(t, r, "subject", verify.Malformed)
	}
}

func TestAnApprovalBecomesEvidence(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	index := w.say("bob", w.approval("bob", "7", attest.Approved), h.subject(head))
	e, r := w.open(index)
	wantEvidence(t, e, r)
	if e.Index() != index || e.Signer() != [32]byte(w.key("bob").Public().ID()) || e.Time().Before(start.Add(-time.Second)) {
		t.Errorf("evidence %d of %x at %s", e.Index(), e.Signer(), e.Time())
	}
	if e.Time() != e.Time().Truncate(time.Second) {
		t.Errorf("time %s has a fraction, which no token can say", e.Time())
	}
}

// Row D04: any subject may be the one; B09 and B10: the hint plays no part.
func TestHintIsNoMoreThanAHint(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	for _, hint := range []string{"", "nonsense", w.key("alice").Public().ID().String()} {
		b := w.sign("bob", w.approval("bob", "7", attest.Approved), h.subject(head))
		b.Hint = hint
		e, r := w.open(w.logBundle(b, w.key("bob").Public(), ""))
		wantEvidence(t, e, r)
		if e.Signer() != [32]byte(w.key("bob").Public().ID()) {
			t.Errorf("hint %q moved the credit to %x", hint, e.Signer())
		}
	}
}

// Rows B01, A19, B19 and C01 to C08: the signature is over exactly these bytes,
// of exactly this type.
func TestSignaturesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	bob := w.key("bob").Public()
	good := w.sign("bob", w.approval("bob", "7", attest.Approved), h.subject(head))
	other := w.sign("bob", w.approval("bob", "7", attest.Rejected), h.subject(head))
	sign := func(message []byte) []byte {
		sig, err := w.key("bob").Sign(message)
		must(t, err)
		return sig
	}
	cases := map[string]*attest.Bundle{
		"B01 over another payload":    {Payload: good.Payload, Signature: other.Signature},
		"A19 serialised again":        {Payload: append([]byte{' '}, good.Payload...), Signature: good.Signature},
		"C01 over another type":       {Payload: good.Payload, Signature: sign(attest.PAE("text/plain", good.Payload))},
		"C08 over payload alone":      {Payload: good.Payload, Signature: sign(good.Payload)},
		"B19 a checkpoint's":          {Payload: good.Payload, Signature: sign(w.ledger.Head().Note)},
		"an empty signature's length": {Payload: good.Payload, Signature: []byte{0x30, 0x00}},
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			_, r := w.open(w.logBundle(b, bob, ""))
			wantRefusal(t, r, "signature", verify.BadSignature)
			if !r.Corrupt {
				t.Error("no honest log holds such an entry, and the refusal does not say so")
			}
		})
	}
	t.Run("by a key of another", func(t *testing.T) {
		_, r := w.open(w.logBundle(good, w.key("alice").Public(), ""))
		wantRefusal(t, r, "signature", verify.BadSignature)
	})
}

// Rows B16, E04, E06, J20 and more: who may say what.
func TestSignersThatAreRefused(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	merged := h.commit("work (#7)", map[string]string{"a": "1"}, h.commit("base", map[string]string{"a": "0"}))
	_, file := artifact("app")
	base := h.commits[merged].parents[0]
	decision := &attest.Decision{
		Repository: repository, Environment: environment, Verdict: "allow", To: string(merged), DecidedAt: w.now(), ExpiresAt: w.now(),
		Core: []byte(`{}`), Annex: []byte(`{}`),
	}
	risk := &attest.Risk{Repository: repository, Change: attest.ChangeRef{ID: "7"}, Tier: "low", Classifier: attest.Classifier{ID: "c"}, AssessedAt: w.now()}
	incident := &attest.Incident{ID: "INC-7", Severity: attest.Sev1, StartedAt: w.now(), DetectedAt: w.now(), ReportedAt: w.now()}
	permit := func(agent, operator, by string) attest.Predicate {
		return &attest.AgentPermissions{Agent: agent, Operator: operator, GrantedBy: by, Grants: []attest.Grant{}, GrantedAt: w.now(), NotAfter: attest.At(w.now().AddDate(1, 0, 0))}
	}
	agent := func(id string) attest.Subject {
		return attest.Subject{Digest: map[string]string{"sha256": attest.AgentDigest(id).String()}}
	}
	cases := []struct {
		name  string
		who   string
		say   attest.Predicate
		about attest.Subject
		kind  verify.Kind // empty: the twin that passes
	}{
		{"who runs an agent permits it", "alice", permit("robot", "alice", "alice"), agent("robot"), ""},
		{"an owner permits an agent", "olga", permit("robot", "alice", "olga"), agent("robot"), ""},
		{"somebody else permits an agent", "bob", permit("robot", "alice", "bob"), agent("robot"), verify.WrongScope},
		{"somebody else says that they run it", "bob", permit("robot", "bob", "bob"), agent("robot"), verify.WrongScope},
		{"an agent permits itself", "robot", permit("robot", "alice", "robot"), agent("robot"), verify.WrongScope},
		{"CI permits an agent", "ci", permit("robot", "alice", "ci"), agent("robot"), verify.WrongScope},
		{"a person is permitted", "olga", permit("bob", "alice", "olga"), agent("bob"), verify.WrongScope},
		{"in the name of who runs it", "olga", permit("robot", "alice", "alice"), agent("robot"), verify.UntrustedKey},
		{"bob approves", "bob", w.approval("bob", "7", attest.Approved), h.subject(head), ""},
		{"bob approves as alice", "bob", w.approval("alice", "7", attest.Approved), h.subject(head), verify.UntrustedKey},
		{"an agent approves, to be seen", "robot", w.approval("robot", "7", attest.Approved), h.subject(head), ""},
		{"a stranger approves", "mallory", w.approval("mallory", "7", attest.Approved), h.subject(head), verify.UntrustedKey},
		{"CI approves", "ci", w.approval("ci", "7", attest.Approved), h.subject(head), verify.WrongScope},
		{"the service approves", "service", w.approval("service", "7", attest.Approved), h.subject(head), verify.WrongScope},
		{"CI admits", "ci", w.admission(h, "7", merged, head, ""), h.subject(merged), ""},
		{"a person admits", "bob", w.admission(h, "7", merged, head, ""), h.subject(merged), verify.WrongScope},
		{"the builder admits", "builder", w.admission(h, "7", merged, head, ""), h.subject(merged), verify.WrongScope},
		{"CI tells a change", "ci", w.change(h, "7", base, merged), h.subject(merged), ""},
		{"the builder releases", "builder", w.release(merged), file, ""},
		{"CI releases", "ci", w.release(merged), file, verify.WrongScope},
		{"the service decides", "service", decision, h.subject(merged), ""},
		{"CI decides", "ci", decision, h.subject(merged), verify.UntrustedKey},
		{"an owner decides", "olga", decision, h.subject(merged), verify.UntrustedKey},
		{"a person sees risk", "bob", risk, h.subject(head), ""},
		{"a person reports an incident", "bob", incident, attest.IncidentSubject("INC-7"), ""},
		{"a second person reports the same", "alice", incident, attest.IncidentSubject("INC-7"), ""},
		{"a pager reports an incident", "pager", incident, attest.IncidentSubject("INC-7"), ""},
		{"an agent reports an incident", "robot", incident, attest.IncidentSubject("INC-7"), verify.WrongScope},
		{"CI reports an incident", "ci", incident, attest.IncidentSubject("INC-7"), verify.WrongScope},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e, r := w.open(w.say(c.who, c.say, c.about))
			if c.kind == "" {
				wantEvidence(t, e, r)
				return
			}
			wantRefusal(t, r, "signer", c.kind)
		})
	}
}

// Rows G01 and G06: the log's time decides, in a closed interval.
func TestKeysHoldInAClosedInterval(t *testing.T) {
	end := start.Add(time.Hour)
	w := newWorld(t, func(w *world) { w.until["bob"] = end })
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	for _, c := range []struct {
		at time.Time
		ok bool
	}{{end.Add(-time.Second), true}, {end, true}, {end.Add(time.Second), false}} {
		w.clock.Set(c.at)
		e, r := w.open(w.say("bob", w.approval("bob", "7", attest.Approved), h.subject(head)))
		if c.ok {
			wantEvidence(t, e, r)
		} else {
			wantRefusal(t, r, "time", verify.KeyTime)
		}
	}
}

// Row G07: five minutes of skew, and not a second more.
func TestClaimedTimesDoNotLieAhead(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	for _, c := range []struct {
		ahead time.Duration
		ok    bool
	}{{verify.Skew, true}, {verify.Skew + 2*time.Second, false}, {-1000 * time.Hour, true}} {
		a := w.approval("bob", "7", attest.Approved)
		a.ApprovedAt = attest.At(start.Add(c.ahead))
		e, r := w.open(w.say("bob", a, h.subject(head)))
		if c.ok {
			wantEvidence(t, e, r)
		} else {
			wantRefusal(t, r, "time", verify.TimeUntrusted)
		}
		end := a.ApprovedAt
		i := &attest.Incident{ID: "INC-7", Severity: attest.Sev1, StartedAt: attest.At(epoch.Add(-10_000 * time.Hour)), DetectedAt: w.now(), ResolvedAt: &end, ReportedAt: w.now()}
		if i.DetectedAt.After(end.Time) {
			i.DetectedAt = end
		}
		if e, r := w.open(w.say("bob", i, attest.IncidentSubject("INC-7"))); c.ok {
			wantEvidence(t, e, r)
		} else {
			wantRefusal(t, r, "time", verify.TimeUntrusted)
		}
	}
}

// Rows G03, H01 to H07 and H30: what a receipt proves, and what it does not.
func TestReceiptsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	var last uint64
	for range 6 {
		last = w.say("bob", w.approval("bob", "7", attest.Approved), h.subject(head))
	}
	const index = 3
	view, other := w.sealed(last)
	cases := []struct {
		name  string
		edit  func(*verify.Sealed)
		check string
		kind  verify.Kind
	}{
		{"G03 token over other bytes", func(s *verify.Sealed) { s.Token = other.Token }, "time", verify.TimeUntrusted},
		{"no token", func(s *verify.Sealed) { s.Token = nil }, "time", verify.TimeUntrusted},
		{"half a token", func(s *verify.Sealed) { s.Token = s.Token[:len(s.Token)/2] }, "time", verify.TimeUntrusted},
		{"a token of another authority", func(s *verify.Sealed) {
			stranger := newWorld(t)
			s.Token, _ = stranger.authority.Stamp(bundleOf(t, *s).Signature, start)
		}, "time", verify.TimeUntrusted},
		{"a token after the checkpoint", func(s *verify.Sealed) {
			s.Token, _ = w.authority.Stamp(bundleOf(t, *s).Signature, start.Add(time.Hour))
		}, "time", verify.TimeUntrusted},
		{"H01 the leaf of another", func(s *verify.Sealed) { s.Leaf = other.Leaf }, "format", verify.NotLogged},
		{"the body of another", func(s *verify.Sealed) { s.Body = other.Body }, "format", verify.NotLogged},
		{"H06 a node as a leaf", func(s *verify.Sealed) { s.Leaf = s.Proof[0][:] }, "format", verify.Malformed},
		{"H03 one bit", func(s *verify.Sealed) { s.Proof[1][5] ^= 1 }, "inclusion", verify.BadProof},
		{"H03 one hash less", func(s *verify.Sealed) { s.Proof = s.Proof[1:] }, "inclusion", verify.BadProof},
		{"H03 one hash more", func(s *verify.Sealed) { s.Proof = append(s.Proof, hashOf(1)) }, "inclusion", verify.BadProof},
		{"H03 root at the end", func(s *verify.Sealed) { s.Proof = append(s.Proof, view.Root) }, "inclusion", verify.BadProof},
		{"H03 no proof", func(s *verify.Sealed) { s.Proof = nil }, "inclusion", verify.BadProof},
		{"H04 index + 1", func(s *verify.Sealed) { s.Index++ }, "inclusion", verify.BadProof},
		{"H04 index − 1", func(s *verify.Sealed) { s.Index-- }, "inclusion", verify.BadProof},
		{"H04 index = size", func(s *verify.Sealed) { s.Index = view.Size }, "inclusion", verify.BadProof},
		{"H07 2^63", func(s *verify.Sealed) { s.Index = 1 << 63 }, "inclusion", verify.BadProof},
		{"H07 2^64−1", func(s *verify.Sealed) { s.Index = 1<<64 - 1 }, "inclusion", verify.BadProof},
		{"H30 the index of another", func(s *verify.Sealed) { s.Index = other.Index }, "inclusion", verify.BadProof},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			view, s := w.sealed(index)
			e, r := w.verifier().Open(t.Context(), view, s)
			wantEvidence(t, e, r) // the twin
			c.edit(&s)
			_, r = w.verifier().Open(t.Context(), view, s)
			wantRefusal(t, r, c.check, c.kind)
			if !r.Corrupt {
				t.Error("no honest log gives such an entry, and the refusal does not say so")
			}
		})
	}
}

func bundleOf(t *testing.T, s verify.Sealed) *attest.Bundle {
	t.Helper()
	b, err := attest.ParseBundle(s.Body)
	must(t, err)
	return b
}

// Rows C02, C05, C07 and A16: what a stored bundle may look like.
func TestBodiesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	head := h.commit("work", map[string]string{"a": "1"})
	b := w.sign("bob", w.approval("bob", "7", attest.Approved), h.subject(head))
	good, err := b.Marshal()
	must(t, err)
	leaf := attest.Leaf(b, w.key("bob").Public())
	for _, c := range []struct {
		name, old, new string
		kind           verify.Kind
	}{
		{"C01 another payload type", "application/vnd.in-toto+json", "text/plain", verify.WrongType},
		{"C01 in other case", "application/vnd.in-toto+json", "application/vnd.in-toto+JSON", verify.WrongType},
		{"C02 no payload", `"payload":"`, `"payload":"","x":"`, verify.Malformed},
		{"C07 two signatures", `"signatures":[`, `"signatures":[{"sig":"AA==","keyid":""},`, verify.Malformed},
		{"C07 no signature", `"signatures":[{`, `"signatures":[],"x":[{`, verify.Malformed},
		{"A16 a line break in base64", `"payload":"`, `"payload":"\n`, verify.Malformed},
		{"a certificate", `"publicKey":{`, `"certificate":{},"publicKey":{`, verify.Unsupported},
		{"another version", "v0.3+json", "v0.9+json", verify.Unsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := strings.Replace(string(good), c.old, c.new, 1)
			w.nonce++
			index := w.append(ledger.Entry{Leaf: leaf, Body: []byte(body), Keys: []string{"all"}, Stamp: b.Signature})
			view, s := w.sealed(index)
			s.Body = []byte(body) // a duplicate of the leaf keeps the first body
			_, r := w.verifier().Open(t.Context(), view, s)
			wantRefusal(t, r, "format", c.kind)
		})
	}
}

// Rows H09 to H15 that reach a view, and G03 for checkpoints.
func TestViewsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	w.say("bob", w.approval("bob", "7", attest.Approved), h.subject(h.commit("work", map[string]string{"a": "1"})))
	head := w.ledger.Head()
	v := w.verifier()
	if _, err := v.OpenView(head.Note, head.Token, time.Time{}); err != nil {
		t.Fatal(err)
	}
	empty, err := ledger.EmptyHead(ledgertest.Signer(), w.authority, start)
	must(t, err)
	late, err := w.authority.Stamp(head.Note, epoch.Add(-time.Second))
	if err == nil { // an authority whose certificate does not hold yet
		_, err = v.OpenView(head.Note, late, time.Time{})
	}
	if err == nil {
		t.Error("a timestamp from before its certificate was believed")
	}
	for name, c := range map[string]struct{ note, token []byte }{
		"another checkpoint's token": {head.Note, empty.Token},
		"no token":                   {head.Note, nil},
		"a changed size":             {[]byte(strings.Replace(string(head.Note), "\n1\n", "\n2\n", 1)), head.Token},
		"extension lines":            {[]byte(strings.Replace(string(head.Note), "\n\n", "\nmore\n\n", 1)), head.Token},
		"no signature":               {head.Note[:strings.Index(string(head.Note), "\n\n")+2], head.Token},
		"garbage":                    {[]byte("garbage"), head.Token},
	} {
		if _, err := v.OpenView(c.note, c.token, time.Time{}); err == nil {
			t.Errorf("%s: the view was opened", name)
		}
	}
	w.trust.LogValid.From = start.Add(time.Hour)
	if _, err := v.OpenView(head.Note, head.Token, time.Time{}); err == nil {
		t.Error("a checkpoint from before the log's key was believed")
	}
}

// What a statement says is held against the raw objects, and what was
// left out or invented is named.
func TestALyingCIJobIsNamed(t *testing.T) {
	w := newWorld(t)
	h := newHistory()
	base := h.commit("base", map[string]string{"pay.go": "0", "doc": "0"})
	first := h.commit("first", map[string]string{"pay.go": "1", "doc": "0"}, base)
	head := h.commit("second", map[string]string{"pay.go": "1", "doc": "1"}, first)
	merged := h.commit("merge (#7)", map[string]string{"pay.go": "1", "doc": "1"}, base)
	change := func(edit func(*attest.Change)) attest.Predicate {
		c := w.change(h, "7", base, head)
		edit(c)
		return c
	}
	admission := func(edit func(*attest.Admission)) attest.Predicate {
		a := w.admission(h, "7", merged, head, "")
		edit(a)
		return a
	}
	cases := []struct {
		name  string
		say   attest.Predicate
		about attest.Subject
		names string // empty: the twin that passes
	}{
		{"the truth", change(func(*attest.Change) {}), h.subject(head), ""},
		{"the truth of a merge", admission(func(*attest.Admission) {}), h.subject(merged), ""},
		{"a path left out", change(func(c *attest.Change) { c.Paths = []string{"doc"} }), h.subject(head), `"pay.go" was left out`},
		{"a path invented", change(func(c *attest.Change) { c.Paths = []string{"doc", "pay.go", "z"} }), h.subject(head), `"z" was invented`},
		{"a commit left out", change(func(c *attest.Change) { c.Objects = h.blob(t, first, head, "") }), h.subject(head), string(base[:12])},
		{"a commit skipped", change(func(c *attest.Change) {
			bare, err := gitfactsEncode(h, head, base, h.commits[base].tree, h.commits[head].tree)
			must(t, err)
			c.Objects = bare
		}), h.subject(head), string(first[:12])},
		{"another tree", change(func(*attest.Change) {}), attest.Subject{Digest: map[string]string{"gitCommit": string(head), "gitTree": string(h.commits[base].tree)}}, "tree"},
		{"other parents", admission(func(a *attest.Admission) { a.Parents = append(a.Parents, string(first)) }), h.subject(merged), "parents"},
		{"a path left out of a merge", admission(func(a *attest.Admission) { a.Paths = []string{"pay.go"} }), h.subject(merged), `"doc" was left out`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e, r := w.open(w.say("ci", c.say, c.about))
			if c.names == "" {
				wantEvidence(t, e, r)
				if e.Facts() == nil || len(e.Facts().Paths) != 2 {
					t.Errorf("facts %+v", e.Facts())
				}
				return
			}
			wantRefusal(t, r, "facts", verify.BadFacts)
			if !strings.Contains(r.Why, c.names) {
				t.Errorf("%q does not name %s", r.Why, c.names)
			}
		})
	}
	e, r := w.open(w.say("ci", change(func(c *attest.Change) { c.Objects = nil }), h.subject(head)))
	wantEvidence(t, e, r)
	if e.Facts() != nil {
		t.Error("facts that are only claimed are shown as proven")
	}
}
