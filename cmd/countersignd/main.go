// Command countersignd is the server: the only process that holds the log's keys
// and its data.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// version is set when a release is built.
var version = "dev"

// daemon is what every command shares.
type daemon struct {
	out, err io.Writer
	now      func() time.Time
	tty      bool // err is a terminal: progress may be drawn
	format   string
}

func main() { os.Exit(run()) }

// run is main for tests, which need its exit code.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &daemon{out: os.Stdout, err: os.Stderr, now: time.Now, tty: term.IsTerminal(int(os.Stderr.Fd()))}
	root := newRoot(d)
	root.SetArgs(os.Args[1:])
	return d.exitCode(root.ExecuteContext(ctx))
}

func newRoot(d *daemon) *cobra.Command {
	root := &cobra.Command{
		Use:   "countersignd",
		Short: "Keep a ledger of attestations, and answer deploy gates",
		Long: `countersignd keeps one append-only ledger: it takes signed attestations, answers with
receipts, and decides for deploy gates under the policy that the ledger began with.

Everything is in one folder, --data: the log in log/, the server's keys in keys/, and
in trust/ what verifiers need. Exit codes: 0 done; 2 wrong use or input; 3 the ledger
cannot go on, or does not hold; 4 the log contradicts itself.`,
		Example: `  countersignd create --data /var/lib/countersign --origin log.example.com --genesis alice.json --genesis bob.json
  countersignd serve --data /var/lib/countersign
  countersignd check --data /var/lib/countersign`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if d.format != "text" && d.format != "json" {
				return wrong("--format %q: use text or json", d.format)
			}
			return nil
		},
	}
	root.PersistentFlags().StringVar(&d.format, "format", "text", "output for people (text) or programs (json)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return wrong("%v; see: %s --help", err, c.CommandPath()) })
	root.AddCommand(newCreate(d), newServe(d), newCheck(d), newRebuild(d), newTrust(d), newWitness(d), newMirror(d), newRestore(d), newAlarms(d))
	return root
}
