package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/api"
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy"
	"github.com/countersign-dev/countersign/policy/roster"
	"github.com/countersign-dev/countersign/policy/scenario"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
	"github.com/countersign-dev/countersign/verify"
)

// A change that waits for somebody who is there, and proves it.
const underReview = `
	commit h1 alice src/core/a.go
	squash m1 of=h1
	change h1
	authorship alice h1 ai
`

const someoneThere = `
  - id: present
    title: Somebody who is there answers for it
    require:
      approvals: [{count: 1, assurance: verified}]
    remedy: Approve with a passkey.
`

// withPages serves the console's pages.
func withPages(story string, more ...func(*api.Config)) setup {
	return setup{story: story, rules: someoneThere, api: func(c *api.Config) {
		c.Trust.Console = &verify.Console{Key: scenario.Key("console").Public(), Valid: roster.Validity{From: scenario.Start.Add(-time.Hour)}, Party: scenario.Party}
		c.Console, c.Pages = scenario.Key("console"), true
		for _, m := range more {
			m(c)
		}
	}}
}

// A browser is on a page of the console.
type browser struct {
	*fixture
	origin string
	token  string
	header map[string]string
}

func (f *fixture) browser() *browser {
	return &browser{fixture: f, origin: scenario.Party.Origins[0], header: map[string]string{"Sec-Fetch-Site": "same-origin"}}
}

func (b *browser) do(method, path string, body []byte) (int, http.Header, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Host = strings.TrimPrefix(scenario.Party.Origins[0], "https://")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		if b.origin != "" {
			req.Header.Set("Origin", b.origin)
		}
	}
	for k, v := range b.header {
		req.Header.Set(k, v)
	}
	if b.token != "" {
		req.SetBasicAuth("me", b.token)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// call is what the page's script does.
func (b *browser) call(path string, body map[string]any) (int, map[string]any) {
	b.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	status, _, answer := b.do(http.MethodPost, "/console/"+path, text)
	out := make(map[string]any)
	if err := json.Unmarshal([]byte(answer), &out); err != nil {
		b.t.Fatalf("%s: %d %s", path, status, answer)
	}
	return status, out
}

// approving is what the page of change 1 asks for.
func (b *browser) approving(more map[string]any) map[string]any {
	q := map[string]any{
		"as": "carol", "decision": "approved", "repository": scenario.Repository, "change": "1", "head": string(b.told.IDs["h1"]), "plan": "",
		"environments": []string{"production"}, "comment": "",
	}
	maps.Copy(q, more)
	return q
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// touch has a passkey answer what was asked.
func touch(asked map[string]any, key *scenario.Passkey, flags byte, edit func(map[string]any)) map[string]any {
	a := key.Answer([]byte(asked["presented"].(string)), flags, edit)
	return map[string]any{
		"nonce": asked["nonce"], "credentialId": b64(a.CredentialID), "authenticatorData": b64(a.AuthenticatorData),
		"clientDataJSON": b64(a.ClientDataJSON), "signature": b64(a.Signature),
	}
}

// carol asks on the page, and her passkey answers.
func (b *browser) carol(more map[string]any) (int, map[string]any) {
	b.t.Helper()
	status, asked := b.call("ask", b.approving(more))
	if status != http.StatusOK {
		return status, asked
	}
	key := *scenario.CarolsPasskey()
	key.Count = uint32(b.ledger.Head().Size) // a counter that grows
	return b.call("answer", touch(asked, &key, scenario.Touched|scenario.Verified, nil))
}

func (b *browser) changePage(as string) string {
	b.t.Helper()
	q := url.Values{"repository": {scenario.Repository}, "id": {"1"}, "as": {as}}
	status, _, text := b.do(http.MethodGet, "/console/change?"+q.Encode(), nil)
	if status != http.StatusOK {
		b.t.Fatalf("%d %s", status, text)
	}
	return text
}

func TestSomebodyApprovesInABrowser(t *testing.T) {
	f := start(t, withPages(underReview))
	f.tell()
	b := f.browser()
	page := b.changePage("carol")
	for _, want := range []string{"src/core/a.go", ">high<", "written with AI", "alice", "waits for you", "Somebody who is there answers for it", `id="approval"`, "added"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	status, logged := b.carol(map[string]any{"comment": "I ran it"})
	if status != http.StatusOK || logged["assurance"] != "verified" {
		t.Fatalf("%d %v", status, logged)
	}
	page = b.changePage("carol")
	if !strings.Contains(page, "Your approval is on record, and counts.") || !strings.Contains(page, "everything is there") {
		t.Error("the page does not show the approval")
	}
	// Anybody with the trust folder and the roster finds the same in the entry.
	entry, err := f.Entry(t.Context(), connect.NewRequest(&countersignv1.EntryRequest{At: &countersignv1.EntryRequest_Index{Index: uint64(logged["index"].(float64))}}))
	if err != nil {
		t.Fatal(err)
	}
	if entry.Msg.Entry.Person != "carol" || entry.Msg.Entry.StatementDigest != logged["statement"] {
		t.Errorf("%v", entry.Msg.Entry)
	}
	bundle, err := attest.ParseBundle(entry.Msg.Entry.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(verify.Config{Trust: f.trust, Roster: f.set.Roster})
	if err != nil {
		t.Fatal(err)
	}
	bundle.Receipt = nil
	text, err := bundle.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	accepted, refusal := v.Accept(t.Context(), text, f.clock.now())
	if refusal != nil || accepted.Principal.ID != "carol" || accepted.Assurance != roster.Verified {
		t.Errorf("%v %v", accepted, refusal)
	}
}

func TestSomebodyRejectsAndTakesItBack(t *testing.T) {
	f := start(t, withPages(underReview))
	f.tell()
	b := f.browser()
	if status, answer := b.carol(map[string]any{"decision": "rejected"}); status != http.StatusBadRequest || !strings.Contains(answer["message"].(string), "why") {
		t.Errorf("without a reason: %d %v", status, answer)
	}
	if status, answer := b.carol(map[string]any{"decision": "rejected", "comment": "it loses orders"}); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if page := b.changePage("carol"); !strings.Contains(page, "VETO") || !strings.Contains(page, "Take back what I said") {
		t.Error("the page shows no veto")
	}
	if status, answer := b.carol(map[string]any{"decision": "withdrawn"}); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if page := b.changePage("carol"); strings.Contains(page, "VETO") || !strings.Contains(page, "waits for you") {
		t.Error("the veto stands")
	}
}

// Every refusal has a twin above: the same steps in order are taken.
func TestPagesRefuseWhatIsNotTheReviewersAnswer(t *testing.T) {
	f := start(t, withPages(underReview))
	f.tell()
	f.clock.add(time.Hour) // and then some are gone
	b := f.browser()
	key := func() *scenario.Passkey {
		k := *scenario.CarolsPasskey()
		k.Count = uint32(f.ledger.Head().Size)
		return &k
	}
	const both = scenario.Touched | scenario.Verified
	ask := func() map[string]any {
		t.Helper()
		status, asked := b.call("ask", b.approving(nil))
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, asked)
		}
		return asked
	}
	refuses := func(name string, status int, answer map[string]any, wantStatus int, kind string) {
		t.Helper()
		if status != wantStatus || answer["kind"] != kind {
			t.Errorf("%s: %d %v, want %d %s", name, status, answer, wantStatus, kind)
		}
	}
	size := f.ledger.Head().Size
	for name, c := range map[string]struct {
		answer func(asked map[string]any) map[string]any
		status int
		kind   string
	}{
		"another origin": {func(a map[string]any) map[string]any {
			return touch(a, key(), both, func(c map[string]any) { c["origin"] = "https://approve.example.org" })
		}, 403, "WRONG_SCOPE"},
		"another relying party": {func(a map[string]any) map[string]any {
			return touch(a, key(), both, func(c map[string]any) { c["party"] = "example.org" })
		}, 403, "WRONG_SCOPE"},
		"a frame of another page": {func(a map[string]any) map[string]any {
			return touch(a, key(), both, func(c map[string]any) { c["crossOrigin"] = true })
		}, 403, "WRONG_SCOPE"},
		"a registration": {func(a map[string]any) map[string]any {
			return touch(a, key(), both, func(c map[string]any) { c["type"] = "webauthn.create" })
		}, 403, "WRONG_SCOPE"},
		"no user verification": {func(a map[string]any) map[string]any { return touch(a, key(), scenario.Touched, nil) }, 403, "LOW_ASSURANCE"},
		"nobody there":         {func(a map[string]any) map[string]any { return touch(a, key(), 0, nil) }, 403, "MALFORMED"},
		"another passkey":      {func(a map[string]any) map[string]any { return touch(a, scenario.NewPasskey(), both, nil) }, 403, "UNTRUSTED_KEY"},
		"another key under her credential": {func(a map[string]any) map[string]any {
			other := scenario.NewPasskey()
			other.ID = key().ID
			return touch(a, other, both, nil)
		}, 403, "BAD_SIGNATURE"},
		"another approval": {func(a map[string]any) map[string]any {
			other := ask()
			other["nonce"] = a["nonce"]
			return touch(other, key(), both, nil)
		}, 403, "SUBJECT_MISMATCH"},
		"a nonce of nobody": {func(a map[string]any) map[string]any {
			a["nonce"] = "AAAAAAAAAAAAAAAAAAAAAAAAAA"
			return touch(a, key(), both, nil)
		}, 409, "EXPIRED"},
		"too late": {func(a map[string]any) map[string]any {
			f.clock.add(6 * time.Minute)
			return touch(a, key(), both, nil)
		}, 409, "EXPIRED"},
	} {
		status, answer := b.call("answer", c.answer(ask()))
		refuses(name, status, answer, c.status, c.kind)
	}
	for name, c := range map[string]struct {
		asking map[string]any
		status int
		kind   string
	}{
		"nobody":              {map[string]any{"as": ""}, 400, "MALFORMED"},
		"a stranger":          {map[string]any{"as": "mallory"}, 404, "NOT_FOUND"},
		"an agent":            {map[string]any{"as": "claude"}, 404, "NOT_FOUND"},
		"somebody who left":   {map[string]any{"as": "gone"}, 403, "KEY_TIME"},
		"without a passkey":   {map[string]any{"as": "bob"}, 403, "UNTRUSTED_KEY"},
		"no environment":      {map[string]any{"environments": []string{}}, 400, "WRONG_SCOPE"},
		"unknown environment": {map[string]any{"environments": []string{"moon"}}, 400, "UNKNOWN_ENVIRONMENT"},
		"unknown change":      {map[string]any{"change": "77"}, 404, "NOT_FOUND"},
		"unknown head":        {map[string]any{"head": strings.Repeat("0", 40)}, 404, "NOT_FOUND"},
		"no head":             {map[string]any{"head": ""}, 409, "STALE_APPROVAL"},
		"no decision":         {map[string]any{"decision": "perhaps"}, 400, "UNSUPPORTED"},
		"unknown plan":        {map[string]any{"plan": strings.Repeat("0", 64)}, 404, "NOT_FOUND"},
		"unknown member":      {map[string]any{"urgent": true}, 400, "MALFORMED"},
	} {
		status, answer := b.call("ask", b.approving(c.asking))
		refuses(name, status, answer, c.status, c.kind)
	}
	for name, edit := range map[string]func(*browser){
		"a page of another site":         func(b *browser) { b.origin = "https://evil.example" },
		"no origin":                      func(b *browser) { b.origin = "" },
		"another site, says the browser": func(b *browser) { b.header = map[string]string{"Sec-Fetch-Site": "cross-site"} },
	} {
		other := f.browser()
		edit(other)
		status, answer := other.call("ask", b.approving(nil))
		refuses(name, status, answer, 403, "WRONG_ORIGIN")
		status, answer = other.call("answer", touch(ask(), key(), both, nil))
		refuses(name, status, answer, 403, "WRONG_ORIGIN")
	}
	form := f.browser()
	form.header["Content-Type"] = "text/plain" // as a form could send it
	status, answer := form.call("ask", b.approving(nil))
	refuses("a form", status, answer, 415, "MALFORMED")
	if now := f.ledger.Head().Size; now != size {
		t.Errorf("%d entries were logged", now-size)
	}

	// An answer is good once, and its authenticator counts on.
	asked := ask()
	good := touch(asked, key(), both, nil)
	if status, answer := b.call("answer", good); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	status, answer = b.call("answer", good)
	refuses("replayed", status, answer, 409, "EXPIRED")
	again := ask()
	good["nonce"] = again["nonce"]
	status, answer = b.call("answer", good)
	refuses("replayed for another question", status, answer, 403, "SUBJECT_MISMATCH")
	back := key()
	back.Count = 2
	status, answer = b.call("answer", touch(ask(), back, both, nil))
	refuses("a counter that goes back", status, answer, 403, "UNTRUSTED_KEY")
	if !strings.Contains(answer["message"].(string), "there is a copy of it") {
		t.Errorf("%v", answer)
	}
}

// A push while somebody reads makes what they read old.
func TestPagesRefuseAnOldHead(t *testing.T) {
	f := start(t, withPages(underReview+"commit h2 alice src/core/b.go parent=h1\nchange h2 id=1\n"))
	f.tell()
	b := f.browser()
	status, answer := b.carol(nil)
	if status != http.StatusConflict || answer["kind"] != "STALE_APPROVAL" {
		t.Errorf("%d %v", status, answer)
	}
	if status, answer := b.carol(map[string]any{"head": string(f.told.IDs["h2"])}); status != http.StatusOK {
		t.Errorf("%d %v", status, answer)
	}
}

// CI that says of one head that it starts later hides what lies between, and is pointed out.
func TestAPageSaysThatAHeadHasTwoBases(t *testing.T) {
	f := start(t, withPages("commit h1 alice src/core/a.go\ncommit h2 alice docs/b.md parent=h1\nchange h2 id=1\nchange h2 id=1 base=h1\n"))
	f.tell()
	if page := f.browser().changePage("carol"); !strings.Contains(page, "attested with another base as well") || strings.Contains(page, ">src/core/a.go<") {
		t.Error("the page does not point it out")
	}
	g := start(t, withPages("commit h1 alice src/core/a.go\ncommit h2 alice docs/b.md parent=h1\nchange h2 id=1\n"))
	g.tell()
	if page := g.browser().changePage("carol"); strings.Contains(page, "attested with another base") || !strings.Contains(page, ">src/core/a.go<") {
		t.Error("the page points at what is not there")
	}
}

func TestPagesAreNobodyElses(t *testing.T) {
	f := start(t, withPages(underReview, func(c *api.Config) { c.OpenReads = false }))
	b := f.browser()
	q := url.Values{"repository": {scenario.Repository}, "id": {"1"}, "as": {"carol"}}
	paths := []string{"/console/", "/console/change?" + q.Encode(), "/console/register?as=bob", "/console/static/style.css", "/console/static/console.js", "/console/nothing", "/console/change", "/console/plan?repository=x&digest=y"}
	for _, path := range paths {
		status, header, _ := b.do(http.MethodGet, path, nil)
		if status != http.StatusUnauthorized || !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: %d without a token", path, status)
		}
	}
	b.token = readerToken
	for _, path := range paths {
		_, header, text := b.do(http.MethodGet, path, nil)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if !strings.HasPrefix(header.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, header.Get(name))
			}
		}
		if csp := header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: %s", path, csp)
		}
		if strings.Contains(header.Get("Content-Type"), "html") && (strings.Contains(text, "<style") || strings.Contains(text, "style=") || strings.Contains(text, "onclick")) {
			t.Errorf("%s has inline code", path)
		}
	}
	for path, want := range map[string]int{"/console/nothing": 404, "/console/change": 400, "/console/change?repository=example.com/org/repo&id=77": 404, "/console/plan?repository=x&digest=y": 400, "/console/register?as=bob": 200} {
		if status, _, _ := b.do(http.MethodGet, path, nil); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
}

func TestAPasskeyIsRegistered(t *testing.T) {
	f := start(t, withPages(underReview))
	f.tell()
	b := f.browser()
	made := scenario.NewPasskey()
	offer := func() map[string]any {
		t.Helper()
		status, o := b.call("offer", map[string]any{"as": "bob", "name": "laptop"})
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, o)
		}
		return o
	}
	answer := func(o map[string]any, flags byte, edit func(map[string]any)) (int, map[string]any) {
		challenge, err := base64.RawURLEncoding.DecodeString(o["challenge"].(string))
		if err != nil {
			t.Fatal(err)
		}
		r := made.Register(challenge, flags)
		body := map[string]any{
			"nonce": o["nonce"], "credentialId": b64(r.CredentialID), "publicKey": b64(r.SPKI), "authenticatorData": b64(r.AuthenticatorData),
			"clientDataJSON": b64(r.ClientDataJSON), "attestationObject": b64(r.AttestationObject),
		}
		if edit != nil {
			edit(body)
		}
		return b.call("register", body)
	}
	const both = scenario.Touched | scenario.Verified
	o := offer()
	status, out := answer(o, both, nil)
	if status != http.StatusOK || out["attestation"] != "none" {
		t.Fatalf("%d %v", status, out)
	}
	// The owners put it into people.yaml, and the set parses.
	files := f.set.Files()
	const after = "  - id: bob\n"
	at := strings.Index(files.People, after)
	keys := at + strings.Index(files.People[at:], "    keys:\n") + len("    keys:\n")
	files.People = files.People[:keys] + out["stanza"].(string) + files.People[keys:]
	set, err := policy.ParseSet(files)
	if err != nil {
		t.Fatalf("%v\n%s", err, out["stanza"])
	}
	bob, _ := set.Roster.Principal("bob")
	i := slices.IndexFunc(bob.Keys, func(k roster.Key) bool { return k.Name == "laptop" })
	if i < 0 {
		t.Fatalf("%+v", bob.Keys)
	}
	if k := bob.Keys[i]; k.Passkey == nil || k.Assurance != roster.ByKey || !bytes.Equal(k.Passkey.SPKI, made.SPKI()) {
		t.Errorf("%+v", k)
	}
	if status, out := answer(o, both, nil); status != http.StatusConflict {
		t.Errorf("the same offer again: %d %v", status, out)
	}
	for name, edit := range map[string]func(map[string]any){
		"another key":        func(m map[string]any) { m["publicKey"] = b64(scenario.NewPasskey().SPKI()) },
		"another credential": func(m map[string]any) { m["credentialId"] = b64(scenario.NewPasskey().ID) },
		"an answer instead": func(m map[string]any) {
			m["clientDataJSON"] = b64([]byte(strings.Replace(string(made.Register(nil, 0).ClientDataJSON), "create", "get", 1)))
		},
		"another challenge": func(m map[string]any) { m["clientDataJSON"] = b64(made.Register(make([]byte, 32), 0).ClientDataJSON) },
	} {
		if status, out := answer(offer(), both, edit); status != http.StatusForbidden {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	if status, out := answer(offer(), scenario.Touched, nil); status != http.StatusForbidden {
		t.Errorf("without user verification: %d %v", status, out)
	}
	if status, out := b.call("offer", map[string]any{"as": "bob", "name": "k0"}); status != http.StatusBadRequest {
		t.Errorf("a name that is taken: %d %v", status, out)
	}
}

// A passkey that is signed with another one of the same person has at most its assurance.
func TestAPasskeyIsSignedWithAnother(t *testing.T) {
	f := start(t, withPages(underReview))
	f.tell()
	b := f.browser()
	const both = scenario.Touched | scenario.Verified
	register := func(as string) (*scenario.Passkey, map[string]any) {
		t.Helper()
		status, o := b.call("offer", map[string]any{"as": as, "name": "phone"})
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, o)
		}
		challenge, err := base64.RawURLEncoding.DecodeString(o["challenge"].(string))
		if err != nil {
			t.Fatal(err)
		}
		made := scenario.NewPasskey()
		r := made.Register(challenge, both)
		status, out := b.call("register", map[string]any{
			"nonce": o["nonce"], "credentialId": b64(r.CredentialID), "publicKey": b64(r.SPKI), "authenticatorData": b64(r.AuthenticatorData),
			"clientDataJSON": b64(r.ClientDataJSON), "attestationObject": b64(r.AttestationObject),
		})
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, out)
		}
		return made, out
	}
	if _, out := register("bob"); out["endorse"] != nil {
		t.Error("bob has no passkey to sign with, and is asked to")
	}
	made, out := register("carol")
	asked := out["endorse"].(map[string]any)
	for name, answer := range map[string]map[string]any{
		"itself":                 {"key": made},
		"without verification":   {"key": scenario.CarolsPasskey(), "flags": scenario.Touched},
		"over another passkey":   {"key": scenario.CarolsPasskey(), "presented": "countersign registration v1\nlog.example.com\ncarol\n"},
		"over an approval of it": {"key": scenario.CarolsPasskey(), "presented": "countersign approval v1\n" + strings.TrimPrefix(asked["presented"].(string), "countersign registration v1\n")},
	} {
		_, out := register("carol")
		asked := out["endorse"].(map[string]any)
		flags := byte(both)
		if f, ok := answer["flags"].(int); ok {
			flags = byte(f)
		}
		over := map[string]any{"nonce": asked["nonce"], "presented": asked["presented"]}
		if p, ok := answer["presented"]; ok {
			over["presented"] = p
		}
		if status, out := b.call("endorse", touch(over, answer["key"].(*scenario.Passkey), flags, nil)); status != http.StatusForbidden {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	status, out := b.call("endorse", touch(asked, scenario.CarolsPasskey(), both, nil))
	if status != http.StatusOK || !strings.Contains(out["stanza"].(string), "registeredWith: passkey\n") || !strings.Contains(out["stanza"].(string), "assurance: verified\n") {
		t.Fatalf("%d %v", status, out)
	}
	if status, out := b.call("endorse", touch(asked, scenario.CarolsPasskey(), both, nil)); status != http.StatusConflict {
		t.Errorf("twice: %d %v", status, out)
	}
}

func TestPagesNeedARelyingParty(t *testing.T) {
	f := start(t, setup{})
	trust := *f.trust
	trust.Console = &verify.Console{Key: scenario.Key("console").Public(), Valid: roster.Validity{From: scenario.Start}}
	_, err := api.New(t.Context(), api.Config{Ledger: f.ledger, Trust: &trust, Service: scenario.Key("service"), Console: scenario.Key("console"), Now: f.clock.now, Pages: true})
	if err == nil || !strings.Contains(err.Error(), "relyingParty") {
		t.Errorf("%v", err)
	}
}
