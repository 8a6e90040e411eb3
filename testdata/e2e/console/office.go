package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const repository = "example.com/org/shop"

// An office is a folder with keys, a policy, a repository and a ledger that is served.
type office struct {
	dir    string
	origin string // of the pages
	server *exec.Cmd
}

// run is a command that a user could have typed; it must exit with a code.
func (o *office) run(want int, name string, args ...string) string {
	fmt.Printf("\n$ %s %s\n", name, strings.Join(args, " "))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = o.dir
	out, err := c.CombinedOutput()
	fmt.Print("  " + strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "\n  ") + "\n")
	if got := c.ProcessState.ExitCode(); got != want {
		fail("%s %s: exit %d (%v), want %d", name, strings.Join(args, " "), got, err, want)
	}
	return string(out)
}

func (o *office) countersign(args ...string) string { return o.run(0, "countersign", args...) }

func (o *office) git(args ...string) string {
	return strings.TrimSpace(o.run(0, "git", append([]string{"-C", "shop", "-c", "user.name=alice", "-c", "user.email=alice@example.com"}, args...)...))
}

func (o *office) write(name, text string) {
	path := filepath.Join(o.dir, name)
	must(os.MkdirAll(filepath.Dir(path), 0o755))
	must(os.WriteFile(path, []byte(text), 0o644))
}

func (o *office) read(name string) string {
	text, err := os.ReadFile(filepath.Join(o.dir, name))
	must(err)
	return string(text)
}

// change replaces text in a file, once.
func (o *office) change(name, old, new string) {
	text := o.read(name)
	if strings.Count(text, old) != 1 {
		fail("%s has %q %d times", name, old, strings.Count(text, old))
	}
	o.write(name, strings.Replace(text, old, new, 1))
}

// open makes the office: two owners, an author and her agent, a rule that wants somebody
// to be there where customers pay, and a change to just that.
func (o *office) open() {
	port := freePort()
	o.origin = "http://localhost:" + port
	must(os.Setenv("COUNTERSIGN_SERVER", "http://127.0.0.1:"+port))
	must(os.Setenv("COUNTERSIGN_REPOSITORY", repository))
	for _, who := range []string{"alice", "bob", "dora", "claude", "ci", "builder"} {
		o.countersign("keygen", "--out", who+".pem")
	}
	o.run(0, "git", "init", "-q", "-b", "main", "shop")
	o.write("shop/README.md", "A shop.\n")
	o.write("shop/src/checkout/pay.go", "package checkout\n\nfunc Pay() {}\n")
	o.git("add", "-A")
	o.git("commit", "-qm", "A shop")
	base := o.git("rev-parse", "HEAD")
	o.git("checkout", "-qb", "fix")
	o.write("shop/src/checkout/pay.go", "package checkout\n\n// Pay takes the money once.\nfunc Pay() { once() }\n")
	o.write("shop/src/checkout/once.go", "package checkout\n\nfunc once() {}\n")
	o.git("add", "-A")
	o.git("commit", "-qm", "Charge a card once, however often the button is pressed\n\nCo-authored-by: Claude <noreply@anthropic.com>")
	o.git("update-ref", "refs/pull/41/head", "HEAD")
	o.git("checkout", "-q", "main")
	o.countersign("policy", "init", "policy", "--owner", "bob,dora",
		"--person", "alice,level=mid,email=alice@example.com,key=alice.pub", "--person", "bob,level=senior,email=bob@example.com,key=bob.pub",
		"--person", "dora,level=staff,email=dora@example.com,key=dora.pub", "--agent", "claude,operator=alice,email=noreply@anthropic.com,key=claude.pub",
		"--service", "ci,may=change+admission,key=ci.pub", "--service", "builder,may=release,key=builder.pub")
	o.write("policy/policy.yaml", strings.ReplaceAll(`name: shop
version: 1
levels: [junior, mid, senior, staff]
tiers: [low, medium, high, critical]
changes: {delay: 1s}
environments:
  - {name: staging, approvals: beforeRelease}
  - {name: production, approvals: beforeMerge}
validFor: 15m
baselines:
  - {repository: example.com/org/shop, environment: production, commit: BASE, reason: The record begins here.}
rules:
  - id: reviewed
    title: A person other than the author approves every change
    require: {approvals: [{count: 1}]}
    remedy: Ask somebody who did not write it.
  - id: present
    title: Somebody senior is there, and says so, where customers pay
    when: change.tier >= tiers.critical
    require: {approvals: [{count: 1, level: senior, assurance: verified}]}
    remedy: Approve with a passkey, on the console.
`, "BASE", base))
	o.countersign("policy", "sign", "policy", "--key", "bob.pem", "--out", "genesis-1.json")
	o.countersign("policy", "sign", "policy", "--key", "dora.pem", "--with", "genesis-1.json", "--out", "genesis-2.json")
	o.run(0, "countersignd", "create", "--data", "data", "--origin", "log.example.com", "--genesis", "genesis-1.json", "--genesis", "genesis-2.json",
		"--console", o.origin, "--trust", "trust")
	o.serve(port)
	o.countersign("attest", "change", "41", "--repo", "shop", "--head", "refs/pull/41/head", "--target", "main", "--key", "ci.pem")
	o.countersign("attest", "authorship", "41", "--origin", "ai", "--agent", "claude", "--key", "alice.pem")
}

func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(err)
	return port
}

func (o *office) serve(port string) {
	args := []string{"serve", "--data", "data", "--listen", "127.0.0.1:" + port, "--console"}
	fmt.Printf("\n$ countersignd %s &\n", strings.Join(args, " "))
	o.server = exec.Command("countersignd", args...)
	o.server.Dir = o.dir
	var log bytes.Buffer
	o.server.Stderr = &log
	must(o.server.Start())
	for range 200 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	fail("the ledger does not answer: %s", log.String())
}

func (o *office) stop() {
	if o.server != nil {
		_ = o.server.Process.Signal(os.Interrupt)
		_ = o.server.Wait()
		o.server = nil
	}
}
