package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// A browser is Chromium with an authenticator in software, which real pages talk to as to
// any other.
type browser struct {
	ctx   context.Context
	key   webauthn.AuthenticatorID
	shots string
}

func launch(ctx context.Context, profile, shots string) (*browser, context.CancelFunc) {
	opts := []chromedp.ExecAllocatorOption{
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Headless, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.ExecPath(os.Getenv("CHROMIUM")), chromedp.WindowSize(1280, 900),
	}
	alloc, stop := chromedp.NewExecAllocator(ctx, opts...)
	tab, closeTab := chromedp.NewContext(alloc)
	b := &browser{ctx: tab, shots: shots}
	b.do(webauthn.Enable())
	b.authenticator(true)
	return b, func() { closeTab(); stop() }
}

func (b *browser) do(actions ...chromedp.Action) {
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if b.key == "" {
		ctx = b.ctx // the first call starts the browser, which lives as long as its context
	}
	must(chromedp.Run(ctx, actions...))
}

// authenticator puts another authenticator in, which verifies its person, or cannot.
func (b *browser) authenticator(verifies bool) {
	b.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		if b.key != "" {
			if err := webauthn.RemoveVirtualAuthenticator(b.key).Do(ctx); err != nil {
				return err
			}
		}
		b.key, err = webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportUsb, HasResidentKey: true,
			HasUserVerification: true, IsUserVerified: verifies, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
}

// another puts a second authenticator in, beside the first; what comes back takes it out.
func (b *browser) another() (id webauthn.AuthenticatorID, out func()) {
	b.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		id, err = webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true,
			HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		}).Do(ctx)
		return err
	}))
	return id, func() { b.do(webauthn.RemoveVirtualAuthenticator(id)) }
}

// touches says whether somebody touches an authenticator when it asks.
func (b *browser) touches(id webauthn.AuthenticatorID, yes bool) {
	b.do(webauthn.SetAutomaticPresenceSimulation(id, yes))
}

// verifies says whether the authenticator knows its person from now on.
func (b *browser) verifies(yes bool) { b.do(webauthn.SetUserVerified(b.key, yes)) }

// cloned takes the passkey out, and puts a copy in that has made fewer signatures.
func (b *browser) cloned() {
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		all, err := webauthn.GetCredentials(b.key).Do(ctx)
		if err != nil || len(all) != 1 {
			return fmt.Errorf("%d passkeys, %v", len(all), err)
		}
		if err := webauthn.RemoveCredential(b.key, all[0].CredentialID).Do(ctx); err != nil {
			return err
		}
		all[0].SignCount = 0
		return webauthn.AddCredential(b.key, all[0]).Do(ctx)
	}))
}

// open goes to a page, and waits for its script.
func (b *browser) open(url string) {
	fmt.Printf("\n> %s\n", url)
	b.do(chromedp.Navigate(url), chromedp.WaitReady("body"), chromedp.Poll("document.readyState === 'complete'", nil))
}

func (b *browser) text(selector string) string {
	var s string
	b.do(chromedp.Text(selector, &s, chromedp.ByQuery))
	return strings.Join(strings.Fields(s), " ")
}

// awaits waits until the page says what came out.
func (b *browser) awaits(class string) string {
	b.do(chromedp.WaitVisible("#outcome .note."+class, chromedp.ByQuery))
	said := b.text("#outcome")
	fmt.Printf("  the page says: %s\n", said)
	return said
}

// eval runs a script in the page, as somebody could who is at its console.
func (b *browser) eval(script string, into any) {
	b.do(chromedp.Evaluate(script, into, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
}

// shot takes pictures: a desk and a phone, by day and by night.
func (b *browser) shot(name string) {
	if b.shots == "" {
		return
	}
	for _, size := range []struct {
		name          string
		width, height int64
		scale         float64
	}{{"desk", 1280, 900, 1}, {"phone", 390, 844, 2}} {
		for _, scheme := range []string{"light", "dark"} {
			var picture []byte
			b.do(emulation.SetDeviceMetricsOverride(size.width, size.height, size.scale, size.name == "phone"),
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
				chromedp.ActionFunc(func(ctx context.Context) (err error) {
					picture, err = page.CaptureScreenshot().WithCaptureBeyondViewport(true).WithFormat(page.CaptureScreenshotFormatPng).WithClip(b.whole(ctx, size.width)).Do(ctx)
					return err
				}))
			must(os.WriteFile(filepath.Join(b.shots, name+"-"+size.name+"-"+scheme+".png"), picture, 0o644))
		}
		var over bool
		b.eval("document.documentElement.scrollWidth > window.innerWidth", &over)
		if over {
			fail("%s does not fit a %s", name, size.name)
		}
	}
	b.do(emulation.ClearDeviceMetricsOverride())
}

func (b *browser) whole(ctx context.Context, width int64) *page.Viewport {
	_, _, _, _, _, size, err := page.GetLayoutMetrics().Do(ctx)
	must(err)
	return &page.Viewport{Width: float64(width), Height: size.Height, Scale: 1}
}

// framed puts a page into a frame of the one that is open, and says whether it is there.
func (b *browser) framed(url string) bool {
	var done bool
	b.eval(fmt.Sprintf(`new Promise((done) => { const f = document.createElement("iframe"); f.onload = () => done(true); f.src = %q; document.body.append(f); })`, url), &done)
	var child *cdp.Frame
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		tree, err := page.GetFrameTree().Do(ctx)
		if err == nil && len(tree.ChildFrames) == 1 {
			child = tree.ChildFrames[0].Frame
		}
		return err
	}))
	if child == nil {
		fail("there is no frame")
	}
	fmt.Printf("  in a frame: %s instead of %s\n", child.URL, child.UnreachableURL)
	return child.UnreachableURL == ""
}

// ask is what the page's script does first.
func (b *browser) ask(as string) map[string]any {
	return b.call("ask", map[string]any{"as": as, "decision": "approved", "repository": repository, "change": "41", "head": b.head(), "plan": "", "environments": []string{"production"}, "comment": ""})
}

func (b *browser) head() string {
	var head string
	b.eval("document.getElementById('subject').dataset.head", &head)
	return head
}

// call sends JSON to the console from the page that is open.
func (b *browser) call(path string, body map[string]any) map[string]any {
	text, err := json.Marshal(body)
	must(err)
	var out map[string]any
	b.eval(fmt.Sprintf(`fetch("/console/%s", {method: "POST", headers: {"Content-Type": "application/json"}, body: %q}).then((r) => r.json())`, path, text), &out)
	return out
}

// sign has the authenticator answer on the page that is open, whatever page that is.
func (b *browser) sign(asked map[string]any, verification string) map[string]any {
	text, err := json.Marshal(asked)
	must(err)
	var out map[string]any
	b.eval(fmt.Sprintf(`(async () => {
		const a = JSON.parse(%q);
		const from = (t) => Uint8Array.from(atob(t.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
		const to = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
		const challenge = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(a.presented));
		const got = await navigator.credentials.get({publicKey: {challenge, rpId: a.party, userVerification: %q,
			allowCredentials: a.credentials.map((id) => ({type: "public-key", id: from(id)}))}});
		return {nonce: a.nonce, credentialId: to(got.rawId), authenticatorData: to(got.response.authenticatorData),
			clientDataJSON: to(got.response.clientDataJSON), signature: to(got.response.signature)};
	})()`, text, verification), &out)
	return out
}

// click scrolls to a thing and clicks on it.
func click(selector string) chromedp.Action {
	return chromedp.Tasks{chromedp.WaitVisible(selector, chromedp.ByQuery), chromedp.Click(selector, chromedp.ByQuery)}
}
