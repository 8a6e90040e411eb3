// Command countersign is the client: for everyone who does not hold the log's
// key. CI jobs sign attestations with it, reviewers approve, deploy gates verify,
// auditors check evidence offline.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() { os.Exit(run()) }

// run is main for tests, which need its exit code.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now,
		interactive: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		color:       term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
	root := newRoot(a)
	root.SetArgs(os.Args[1:])
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	return a.exitCode(root.ExecuteContext(ctx))
}
