// Chromium approves a change on the console's page, with an authenticator in software
// that speaks WebAuthn to it. See ../console.sh.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

type failure string

func fail(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

func main() {
	work, shots := os.Args[1], os.Getenv("COUNTERSIGN_E2E_SHOTS")
	os.Exit(tell(work, shots))
}

func tell(work, shots string) (code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	o := &office{dir: work}
	defer o.stop()
	defer func() {
		if f, ok := recover().(failure); ok {
			fmt.Fprintln(os.Stderr, "e2e-console:", f)
			code = 1
		}
	}()
	o.open()
	b, stop := launch(ctx, work+"/profile", shots)
	defer stop()
	register(o, b)
	twins(o, b)
	approve(o, b)
	second(o, b)
	clone(o, b)
	release(o)
	fmt.Println("\ne2e-console: all of it came out as it must")
	return 0
}

func chapter(s string) { fmt.Printf("\n── %s\n", s) }

// register makes a passkey for dora, and the owners publish it.
func register(o *office, b *browser) {
	chapter("dora registers a passkey, and the owners publish it")
	b.open(o.origin + "/console/register?as=dora")
	b.do(click("#register .approve:not(:disabled)"))
	b.awaits("ok")
	b.shot("register")
	var stanza string
	b.eval("document.getElementById('stanza').textContent", &stanza)
	fmt.Println(stanza)
	if !strings.Contains(stanza, "assurance: key") {
		fail("a passkey that nobody vouches for has more than a key's assurance")
	}
	o.run(0, "cp", "-r", "policy", "next")
	o.change("next/policy.yaml", "version: 1", "version: 2")
	o.write("passkey.yaml", stanza)
	// The owners saw the hardware, and say so.
	o.countersign("policy", "person", "next", "dora", "--import", "passkey.yaml", "--assurance", "verified", "--write")
	o.countersign("policy", "publish", "next", "--key", "bob.pem", "--trust", "trust")
	b.open(o.origin + "/console/change?repository=" + repository + "&id=41&as=dora")
	if said := b.text("#answer"); !strings.Contains(said, "You have no passkey") {
		fail("one owner alone enrolled a passkey: %s", said)
	}
	o.countersign("policy", "publish", "next", "--key", "dora.pem", "--trust", "trust")
	time.Sleep(1500 * time.Millisecond) // the delay of the policy
}

// twins are refused; what they twin is approved afterwards.
func twins(o *office, b *browser) {
	page := o.origin + "/console/change?repository=" + repository + "&id=41&as=dora"
	chapter("an approval with a key file is not enough here")
	o.countersign("approve", "41", "--environment", "production", "--key", "bob.pem", "--yes")
	b.open(page)
	if said := b.text("#asked"); !strings.Contains(said, "waits for you") {
		fail("the page does not ask for dora: %s", said)
	}
	b.shot("change")

	chapter("an answer from another page is refused")
	asked := b.ask("dora")
	other := elsewhere()
	b.open(other)
	answer := b.sign(asked, "required")
	b.open(page)
	refused(b.call("answer", answer), "WRONG_SCOPE")

	chapter("a page of another site cannot ask, nor frame ours")
	b.open(other)
	var kind string
	b.eval(fmt.Sprintf(`fetch("%s/console/ask", {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"}).then(() => "answered", () => "blocked")`, o.origin), &kind)
	if kind != "blocked" {
		fail("another site was %s", kind)
	}
	if b.framed(o.origin + "/console/") {
		fail("another page has ours in a frame")
	}

	chapter("without PIN, finger or face")
	b.open(page)
	b.verifies(false)
	b.do(click("#approval .approve:not(:disabled)"))
	b.awaits("warn")
	refused(b.call("answer", b.sign(b.ask("dora"), "discouraged")), "LOW_ASSURANCE")
	b.verifies(true)
}

// approve is dora's answer, on the page.
func approve(o *office, b *browser) {
	chapter("dora approves, with presence and verification")
	b.open(o.origin + "/console/?as=dora")
	b.shot("home")
	if said := b.text(".items"); !strings.Contains(said, "41") {
		fail("nothing waits for dora: %s", said)
	}
	b.do(click(".items a"))
	b.do(click("#approval .approve:not(:disabled)"))
	if said := b.awaits("ok"); !strings.Contains(said, "assurance verified") {
		fail("%s", said)
	}
	b.shot("approved")

	chapter("the same answer again is refused, for the same question and for another")
	asked := b.ask("dora")
	answer := b.sign(asked, "required")
	if out := b.call("answer", answer); out["assurance"] != "verified" {
		fail("%v", out)
	}
	refused(b.call("answer", answer), "EXPIRED")
	answer["nonce"] = b.ask("dora")["nonce"]
	refused(b.call("answer", answer), "SUBJECT_MISMATCH")
}

// second is another passkey of dora's, in another authenticator, signed with her first.
func second(o *office, b *browser) {
	chapter("dora makes a second passkey, and signs it with the first")
	b.open(o.origin + "/console/register?as=dora")
	other, put := b.another()
	b.touches(b.key, false) // it has a passkey of hers already, and would say so
	b.do(click("#register .approve:not(:disabled)"))
	b.awaits("ok")
	b.touches(b.key, true)
	b.touches(other, false)
	b.do(click("#endorse"), chromedp.WaitNotVisible("#endorse", chromedp.ByQuery))
	b.awaits("ok")
	var stanza string
	b.eval("document.getElementById('stanza').textContent", &stanza)
	if !strings.Contains(stanza, "registeredWith: passkey") || !strings.Contains(stanza, "assurance: verified") {
		fail("%s", stanza)
	}
	put()
}

// clone has an authenticator whose counter goes back.
func clone(o *office, b *browser) {
	chapter("a copy of the passkey, which counts from the beginning")
	b.open(o.origin + "/console/change?repository=" + repository + "&id=41&as=dora")
	b.cloned()
	refused(b.call("answer", b.sign(b.ask("dora"), "required")), "UNTRUSTED_KEY")
}

// release takes the change to production, online and off.
func release(o *office) {
	chapter("merged, released, and verified by whoever holds the trust folder")
	o.git("merge", "-q", "--no-ff", "-m", "Merge 41 (#41)", "fix")
	o.countersign("attest", "range", "main~1..main", "--admissions-only", "--repo", "shop", "--heads", "refs/pull/{id}/head", "--key", "ci.pem")
	o.git("archive", "--format=tar", "-o", "../shop.tar", "main")
	o.countersign("attest", "release", "shop.tar", "--repo", "shop", "--name", "v1", "--to", "main", "--key", "builder.pem")
	o.countersign("verify", "shop.tar", "--environment", "production", "--trust", "trust")
	o.countersign("pack", "shop.tar", "--environment", "production", "--out", "shop.pack")
	o.stop()
	out := o.countersign("verify", "shop.tar", "--environment", "production", "--trust", "trust", "--pack", "shop.pack", "--format", "json")
	if !strings.Contains(strings.ReplaceAll(out, " ", ""), `"assurance":"verified"`) || !strings.Contains(out, "allow") {
		fail("offline, the approval is not verified")
	}
}

func refused(answer map[string]any, kind string) {
	fmt.Printf("  the ledger says: %v %v\n", answer["kind"], answer["message"])
	if answer["kind"] != kind {
		fail("%v, want %s", answer, kind)
	}
}

// elsewhere is a page on another port of the same host, for which the passkey answers.
func elsewhere() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:errcheck // ends with the process
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>another page</title><body>click here to win")
	}))
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(err)
	return "http://localhost:" + port + "/"
}
