package attest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func commitSubject(alg map[string]string) []Subject { return []Subject{{Digest: alg}} }

// oneOfEach is a valid statement of every predicate that we write.
func oneOfEach() map[string]*Statement {
	const repo = "example.com/org/repo"
	head, tree := hexOf("a", 40), hexOf("b", 40)
	onHead := commitSubject(map[string]string{"gitCommit": head, "gitTree": tree})
	artifact := commitSubject(map[string]string{"sha256": hexOf("e", 64)})
	ref := ChangeRef{ID: "7"}
	yes, later := true, At(when.Add(time.Hour))
	return map[string]*Statement{
		"change": {onHead, &Change{Repository: repo, Change: ref, TargetRef: "refs/heads/main", Base: hexOf("c", 40), Head: head, Objects: []byte("zstd"), Paths: []string{"a.go", "b.go"}}},
		"authorship": {onHead, &Authorship{Repository: repo, Change: ref, Origin: OriginAI, DeclaredBy: "ci", DeclaredAt: when,
			Evidence: []AISign{{Grade: GradeTrailer, Tool: "claude", Where: head}}, Agents: []Agent{{Tool: "claude"}}, Lines: &AuthorshipLines{AI: 3}}},
		"risk":     {onHead, &Risk{Repository: repo, Change: ref, Tier: "high", Domains: []string{"wal"}, Reversible: &yes, Rules: []RiskRule{{"db.go", "the format"}}, Classifier: Classifier{ID: "ci"}, AssessedAt: when}},
		"approval": approval(),
		"admission": {commitSubject(map[string]string{"gitCommit": hexOf("d", 40), "gitTree": tree}), &Admission{Repository: repo, Change: ref, TargetRef: "refs/heads/main", Merged: hexOf("d", 40),
			ReviewedHead: head, Parents: []string{hexOf("c", 40)}, Paths: []string{"a.go"}, Binding: BindingReplay, ReplayClean: true, GitVersion: "2.47.3", AdmittedAt: when}},
		"release":    {artifact, &Release{Repository: repo, Name: "v1.0.0", To: head, ReleasedAt: when}},
		"deployment": {artifact, &Deployment{Environment: "production", Actor: "gate", DeployedAt: when, ExposedTo: []string{"customers", "staff"}}},
		"incident": (&Incident{ID: "INC-7", Severity: Sev2, StartedAt: when, DetectedAt: when, ResolvedAt: &when, ReportedAt: when, Domains: []string{"checkout", "pricing"}, ResolvedBy: "alice",
			Causes: []Cause{{Kind: CauseDeployment, Digest: hexOf("d", 64), Confidence: Likely}, {Kind: CauseRelease, Digest: hexOf("e", 64), Confidence: Possible}}}).Statement(),
		"deep-dive":       (&DeepDive{Incident: "INC-7", Of: hexOf("d", 64), Summary: "It read the feed twice.", Actions: []string{"A test of the feed"}, Ref: "https://wiki.example.com/7", ReviewedAt: when}).Statement(),
		"cohort-snapshot": (&CohortSnapshot{Size: 9, Root: hexOf("a", 64), AsOf: when, Rows: []CohortFigures{{"production", "ai", 30, 25, 6}, {"production", "domain:core", 7, 3, 0}}}).Statement(),
		"operation":       {artifact, operation()},
		"agent-permissions": {commitSubject(map[string]string{"sha256": AgentDigest("robot").String()}), &AgentPermissions{Agent: "robot", Operator: "bob", GrantedBy: "bob", GrantedAt: when, NotAfter: At(when.AddDate(0, 1, 0)),
			Grants: []Grant{{Capability: "update", Resource: "aws_instance.*", Environments: []string{"staging"}, Reversible: &yes, MaxScope: 5}}, Denies: []Deny{{Capability: "*", Resource: "*db*"}}}},
		"revocation": {commitSubject(map[string]string{"sha256": hexOf("f", 64)}), &Revocation{Revokes: []Revoked{{Kind: RevokedStatement, Digest: hexOf("f", 64)}}, Reason: "mistake", By: "alice"}},
		"freeze":     NewFreeze(&Freeze{Action: Frozen, By: "alice", Environment: "production", Domains: []string{"checkout"}, Until: &later, Reason: "incident", FrozenAt: when}),
		"break-glass": NewBreakGlass(&BreakGlass{Action: GlassRequest, By: "alice", Repository: repo, Environment: "production", Artifacts: []string{hexOf("e", 64)}, Heads: []string{head},
			Justification: "checkout is down", Ticket: "INC-7", NotBefore: &when, NotAfter: &later, Uses: 1, SaidAt: when}),
		"gap":    NewGap(&Gap{Repository: repo, Environments: []string{"production"}, From: hexOf("c", 40), To: head, Commits: 3, Reason: "the runner was down", SaidAt: when}),
		"policy": {commitSubject(map[string]string{"sha256": hexOf("f", 64)}), &Policy{Name: "blueprint", Version: 1, Files: PolicyFiles{Policy: "a: 1\n", People: "b: 2\n", Domains: "c: 3\n"}, PublishedAt: when}},
		"decision": {commitSubject(map[string]string{"gitCommit": head}), &Decision{Repository: repo, Environment: "production", Verdict: "deny", To: head, Nonce: "n", DecidedAt: when, ExpiresAt: when,
			Core: jsontext.Value(`{"verdict":"deny"}`), Annex: jsontext.Value(`{}`)}},
	}
}

func TestEveryPredicateSurvivesItsOwnBytes(t *testing.T) {
	for name, st := range oneOfEach() {
		t.Run(name, func(t *testing.T) {
			payload, err := st.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if ShortTypes[name] != st.Predicate.Type() {
				t.Errorf("its short name is not %q", name)
			}
			back, err := ParseStatement(payload)
			if err != nil {
				t.Fatal(err)
			}
			again, err := back.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(payload), string(again)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// One member changed, each must be refused with its kind; the unchanged twin is
// accepted by the test above.
func TestSpoiledPredicatesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		of, old, new string
		want         Fault
	}{
		"change of another head":              {"change", `"head":"a`, `"head":"b`, SubjectMismatch},
		"change whose paths are unsorted":     {"change", `["a.go","b.go"]`, `["b.go","a.go"]`, Malformed},
		"change with a path twice":            {"change", `["a.go","b.go"]`, `["a.go","a.go"]`, Malformed},
		"change without an id":                {"change", `"id":"7"`, `"id":""`, Malformed},
		"change with an abbreviated base":     {"change", hexOf("c", 40), hexOf("c", 12), Malformed},
		"change of a prefix's sibling":        {"change", "example.com/org/repo", "example.com/org/../org-evil", WrongScope},
		"freeze of no environment":            {"freeze", `"environment":"production"`, `"environment":""`, Malformed},
		"freeze of another environment":       {"freeze", `"environment":"production"`, `"environment":"staging"`, SubjectMismatch},
		"freeze without a reason":             {"freeze", `"reason":"incident"`, `"reason":""`, Malformed},
		"freeze that lifts":                   {"freeze", `"action":"freeze"`, `"action":"lift"`, Malformed},
		"break-glass without a reason":        {"break-glass", `"justification":"checkout is down"`, `"justification":""`, Malformed},
		"break-glass without a ticket":        {"break-glass", `"ticket":"INC-7"`, `"ticket":""`, Malformed},
		"break-glass without an end":          {"break-glass", `"notAfter":"` + text(At(when.Add(time.Hour))) + `",`, ``, Malformed},
		"break-glass for ever":                {"break-glass", `"notAfter":"` + text(At(when.Add(time.Hour))), `"notAfter":"2036-01-01T00:00:00Z`, Malformed},
		"break-glass without uses":            {"break-glass", `"uses":1`, `"uses":0`, Malformed},
		"break-glass with many uses":          {"break-glass", `"uses":1`, `"uses":101`, Malformed},
		"break-glass of another artifact":     {"break-glass", `"artifacts":["e`, `"artifacts":["d`, SubjectMismatch},
		"break-glass of one head more":        {"break-glass", `"heads":["a`, `"heads":["` + hexOf("1", 40) + `","a`, SubjectMismatch},
		"break-glass that shatters":           {"break-glass", `"action":"request"`, `"action":"shatter"`, Unsupported},
		"break-glass that grants and asks":    {"break-glass", `"action":"request"`, `"action":"grant"`, Malformed},
		"decision that breaks glass unnamed":  {"decision", `"verdict":"deny","to"`, `"verdict":"allow (break-glass)","to"`, Malformed},
		"deny that uses a case":               {"decision", `"nonce":"n"`, `"nonce":"n","breakGlass":"` + hexOf("e", 64) + `"`, Malformed},
		"gap without a reason":                {"gap", `"reason":"the runner was down"`, `"reason":""`, Malformed},
		"gap nowhere":                         {"gap", `"environments":["production"]`, `"environments":[]`, Malformed},
		"gap from another commit":             {"gap", `"from":"c`, `"from":"b`, SubjectMismatch},
		"gap up to another commit":            {"gap", `"to":"a`, `"to":"b`, SubjectMismatch},
		"revocation of a session without id":  {"revocation", `"kind":"statement","digest":"` + hexOf("f", 64) + `"`, `"kind":"session","session":""`, Malformed},
		"revocation of a mood":                {"revocation", `"kind":"statement"`, `"kind":"mood"`, Unsupported},
		"freeze that thaws":                   {"freeze", `"action":"freeze"`, `"action":"thaw"`, Unsupported},
		"authorship by nobody":                {"authorship", `"declaredBy":"ci"`, `"declaredBy":""`, Malformed},
		"authorship of an unknown kind":       {"authorship", `"origin":"ai"`, `"origin":"robot"`, Unsupported},
		"authorship with negative lines":      {"authorship", `"ai":3`, `"ai":-3`, Malformed},
		"authorship with a fraction of lines": {"authorship", `"ai":3`, `"ai":3.5`, Malformed},
		"authorship with too many lines":      {"authorship", `"ai":3`, `"ai":90071992547409939007`, Malformed},
		"risk with a number for a tier":       {"risk", `"tier":"high"`, `"tier":3`, Malformed},
		"approval of two subjects":            {"approval", `"subject":[`, `"subject":[{"digest":{"gitCommit":"` + hexOf("9", 40) + `"}},`, SubjectMismatch},
		"approval seen by itself and a forge": {"approval", `"approvedAt"`, `"assertion":{"ssh":"AA=="},"witnessedBy":{"forge":"example.com","account":"7"},"approvedAt"`, Malformed},
		"approval seen on another forge":      {"approval", `"approvedAt"`, `"witnessedBy":{"forge":"example.org","account":"7"},"approvedAt"`, WrongScope},
		"approval seen of no account":         {"approval", `"approvedAt"`, `"witnessedBy":{"forge":"example.com","account":""},"approvedAt"`, Malformed},
		"approval that comments":              {"approval", `"approved"`, `"comment"`, Unsupported},
		"approval of a null scope":            {"approval", `"scope":{"environments":["production"]}`, `"scope":null`, WrongScope},
		"approval without a tree":             {"approval", `"gitTree":"` + hexOf("b", 40) + `"`, `"gitTag":"` + hexOf("b", 40) + `"`, Malformed},
		"admission of another commit":         {"admission", `"merged":"d`, `"merged":"c`, SubjectMismatch},
		"admission that replays uncleanly":    {"admission", `"replayClean":true`, `"replayClean":false`, Malformed},
		"admission of nothing reviewed":       {"admission", `"reviewedHead":"` + hexOf("a", 40) + `",`, ``, Malformed},
		"release of a commit for an artifact": {"release", `"sha256"`, `"gitCommit"`, Malformed},
		"release of a tag object's length":    {"release", `"to":"aa`, `"to":"a`, Malformed},
		"deployment to no environment":        {"deployment", `"environment":"production"`, `"environment":""`, Malformed},
		"deployment that exposes unsorted":    {"deployment", `["customers","staff"]`, `["staff","customers"]`, Malformed},
		"deployment exposed to a null":        {"deployment", `["customers","staff"]`, `["","staff"]`, Malformed},
		"figures of another state":            {"cohort-snapshot", `"root":"aa`, `"root":"ab`, SubjectMismatch},
		"figures of nothing":                  {"cohort-snapshot", `"size":9`, `"size":0`, Malformed},
		"figures with more failures":          {"cohort-snapshot", `"failed":6`, `"failed":26`, Malformed},
		"figures with fewer than none":        {"cohort-snapshot", `"failed":6`, `"failed":-1`, Malformed},
		"figures of no deployments":           {"cohort-snapshot", `"deployments":3`, `"deployments":0`, Malformed},
		"figures of another window":           {"cohort-snapshot", `"days":30`, `"days":31`, Malformed},
		"figures out of order":                {"cohort-snapshot", `"cohort":"ai"`, `"cohort":"zi"`, Malformed},
		"figures with a rate":                 {"cohort-snapshot", `"failed":6`, `"failed":6,"rate":0.1`, Malformed},
		"deep dive of another incident":       {"deep-dive", `"incident":"INC-7"`, `"incident":"INC-8"`, SubjectMismatch},
		"deep dive of nothing that was said":  {"deep-dive", hexOf("d", 64), hexOf("d", 63), Malformed},
		"deep dive without a summary":         {"deep-dive", `"summary":"It read the feed twice."`, `"summary":""`, Malformed},
		"deep dive that does nothing":         {"deep-dive", `["A test of the feed"]`, `[]`, Malformed},
		"deep dive with an empty action":      {"deep-dive", `["A test of the feed"]`, `["A test of the feed",""]`, Malformed},
		"deep dive with an author":            {"deep-dive", `"incident":"INC-7"`, `"incident":"INC-7","by":"alice"`, Malformed},
		"incident without a severity":         {"incident", `"severity":"sev2"`, `"severity":""`, Unsupported},
		"incident of a severity in capitals":  {"incident", `"severity":"sev2"`, `"severity":"SEV2"`, Unsupported},
		"incident of severity zero":           {"incident", `"severity":"sev2"`, `"severity":"sev0"`, Unsupported},
		"incident that is about another":      {"incident", `"id":"INC-7"`, `"id":"INC-8"`, SubjectMismatch},
		"incident with unsorted domains":      {"incident", `["checkout","pricing"]`, `["pricing","checkout"]`, Malformed},
		"incident with a domain twice":        {"incident", `["checkout","pricing"]`, `["checkout","checkout"]`, Malformed},
		"incident of an unsure confidence":    {"incident", `"confidence":"likely"`, `"confidence":"0.9"`, Unsupported},
		"incident caused by a person":         {"incident", `"kind":"deployment"`, `"kind":"person"`, Unsupported},
		"incident whose causes are unsorted":  {"incident", `"kind":"deployment","digest":"d`, `"kind":"release","digest":"f`, Malformed},
		"incident with a field of another":    {"incident", `"reportedAt"`, `"decision":"","reportedAt"`, Malformed},
		"incident that ended before it began": {"incident", `"resolvedAt":"2026`, `"resolvedAt":"2025`, Malformed},
		"incident seen before it began":       {"incident", `"detectedAt":"2026`, `"detectedAt":"2025`, Malformed},
		"incident that supersedes a word":     {"incident", `"reportedAt"`, `"supersedes":"INC-6","reportedAt"`, Malformed},
		"revocation of nothing":               {"revocation", `"revokes":[{"kind":"statement","digest":"` + hexOf("f", 64) + `"}]`, `"revokes":[]`, Malformed},
		"revocation of an unknown kind":       {"revocation", `"kind":"statement"`, `"kind":"world"`, Unsupported},
		"permissions for another agent":       {"agent-permissions", `"agent":"robot"`, `"agent":"other"`, SubjectMismatch},
		"permissions that ended before":       {"agent-permissions", `"notAfter":"2026`, `"notAfter":"2025`, Malformed},
		"permissions for ever":                {"agent-permissions", `"notAfter":`, `"notafter":`, Malformed},
		"a grant in no environment":           {"agent-permissions", `["staging"]`, `[]`, WrongScope},
		"a grant that leaves reversible open": {"agent-permissions", `"reversible":true,`, ``, Malformed},
		"a grant of any size":                 {"agent-permissions", `"maxScope":5`, `"maxScope":0`, Malformed},
		"a grant of every resource, unsaid":   {"agent-permissions", `"resource":"aws_instance.*"`, `"resource":""`, Malformed},
		"a grant of a shouted verb":           {"agent-permissions", `"capability":"update"`, `"capability":"UPDATE"`, Malformed},
		"a grant with a field more":           {"agent-permissions", `"maxScope":5`, `"maxScope":5,"sudo":true`, Malformed},
		"policy of version zero":              {"policy", `"version":1`, `"version":0`, Malformed},
		"policy of version 1e0":               {"policy", `"version":1`, `"version":1e0`, Malformed},
		"policy of another file":              {"policy", `"people.yaml"`, `"People.yaml"`, Malformed},
		"decision that passes":                {"decision", `"verdict":"deny","to"`, `"verdict":"passed","to"`, Unsupported},
		"decision about another commit":       {"decision", `"to":"a`, `"to":"b`, SubjectMismatch},
		"decision whose core is a list":       {"decision", `"core":{"verdict":"deny"}`, `"core":[]`, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			payload, err := oneOfEach()[c.of].Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(payload), c.old) {
				t.Fatalf("payload has no %q: %s", c.old, payload)
			}
			_, err = ParseStatement([]byte(strings.Replace(string(payload), c.old, c.new, 1)))
			if err == nil {
				t.Fatal("accepted")
			}
			if got := FaultOf(err); got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

func TestLimitsHoldAtLimitAndOneMore(t *testing.T) {
	subjects := func(n int) *Statement {
		st := oneOfEach()["release"]
		for len(st.Subjects) < n {
			st.Subjects = append(st.Subjects, st.Subjects[0])
		}
		return st
	}
	digests := func(n int) *Statement {
		st := oneOfEach()["release"]
		for i := len(st.Subjects[0].Digest); i < n; i++ {
			st.Subjects[0].Digest["x"+strings.Repeat("y", i)] = "1"
		}
		return st
	}
	comment := func(n int) *Statement {
		st := approval()
		st.Predicate.(*Approval).Comment = strings.Repeat("c", n)
		return st
	}
	for name, c := range map[string]struct {
		make  func(int) *Statement
		limit int
	}{
		"digests of a subject": {digests, MaxDigests},
		"bytes of a comment":   {comment, MaxString},
	} {
		if _, err := c.make(c.limit).Marshal(); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
		if _, err := c.make(c.limit + 1).Marshal(); FaultOf(err) != TooLarge {
			t.Errorf("%s, one more than %d: %v", name, c.limit, err)
		}
	}
	payload, err := subjects(MaxSubjects).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseStatement(payload); err != nil {
		t.Errorf("%d subjects: %v", MaxSubjects, err)
	}
	more := strings.Replace(string(payload), `"subject":[`, `"subject":[{"digest":{"sha256":"`+hexOf("e", 64)+`"}},`, 1)
	if _, err := ParseStatement([]byte(more)); FaultOf(err) != TooLarge {
		t.Errorf("%d subjects: %v", MaxSubjects+1, err)
	}
}

func TestReceiptsThatContradictThemselvesAreRefused(t *testing.T) {
	key := newKey(t)
	l := newTestLog(t, key.Public())
	b, err := Sign(releaseStatement(), key)
	if err != nil {
		t.Fatal(err)
	}
	l.receipt(t, b)
	text, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	if _, err := ParseBundle(text); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string][2]string{
		"index with a zero in front": {`"logIndex":"1"`, `"logIndex":"01"`},
		"index that is a number":     {`"logIndex":"1"`, `"logIndex":1`},
		"negative index":             {`"logIndex":"1"`, `"logIndex":"-1"`},
		"index of two to the 63rd":   {`"logIndex":"1"`, `"logIndex":"9223372036854775808"`},
		"two indexes":                {`"inclusionProof":{"logIndex":"1"`, `"inclusionProof":{"logIndex":"0"`},
		"another tree size":          {`"treeSize":"2"`, `"treeSize":"3"`},
		"another root":               {`"rootHash":"`, `"rootHash":"AAAA`},
		"the dead kind":              {`"kind":"hashedrekord"`, `"kind":"dsse"`},
		"two timestamps":             {`"rfc3161Timestamps":[`, `"rfc3161Timestamps":[{"signedTimestamp":"AAAA"},`},
		"a promise spelled wrongly":  {`"canonicalizedBody"`, `"canonicalized_body"`},
	} {
		bad := strings.ReplaceAll(good, r[0], r[1])
		if bad == good {
			t.Fatalf("%s: the bundle has no %s", name, r[0])
		}
		if _, err := ParseBundle([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKeyFilesThatOthersCanReadAreRefused(t *testing.T) {
	text, err := newKey(t).MarshalPEM(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFile(path, nil); err != nil {
		t.Errorf("own key: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFile(path, nil); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("key that a group can read: %v", err)
	}
}

func text(t Time) string {
	b, err := t.MarshalText()
	if err != nil {
		panic(err)
	}
	return string(b)
}
