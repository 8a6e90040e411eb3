package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/steps"
)

// running are the flags of run.
type running struct {
	signing
	step                string
	materials, products []string
}

func newRun(a *app) *cobra.Command {
	var f running
	c := &cobra.Command{
		Use:   "run --step NAME [--material PATTERN…] [--product PATTERN…] -- COMMAND…",
		Short: "Run a step of a build or test, and attest its files",
		Long: `Run a command, and attest what its files were before and after, as an in-toto link
(link v0.3): the materials, the command, and the products, which are the subjects. The
command has this process's input, output and environment (but for COUNTERSIGN_KEY_PEM,
COUNTERSIGN_PASSPHRASE and COUNTERSIGN_TOKEN), and its exit code is the exit code
here (128 and the signal's number where a signal ended it); signals are passed on to it.

A command that fails is not attested. When it succeeds and the link cannot be made, signed or
logged, the exit code is 1, 2 or 3 as everywhere, and the step counts as not attested. Standard
output is the command's; what is said here goes to standard error.

The command line is part of what is logged for ever: hand secrets over by environment or file.`,
		Example: `  countersign run --step build --material go.mod --material src --product dist/app.tar --key builder.pem -- make dist
  countersign run --step test --material dist/app.tar --product report.xml --key ci.pem --out test.link.json -- ./test.sh`,
		Args:                  cobra.MinimumNArgs(1),
		DisableFlagsInUseLine: true,
		RunE:                  func(c *cobra.Command, args []string) error { return a.runStep(c.Context(), args, f) },
	}
	f.flags(c)
	c.Flags().StringVar(&f.step, "step", "", "name of the step (needed)")
	c.Flags().StringArrayVar(&f.materials, "material", nil, "file, folder or pattern that the step reads (repeat for more)")
	c.Flags().StringArrayVar(&f.products, "product", nil, "file, folder or pattern that the step makes (repeat for more; needed)")
	c.Flags().SetInterspersed(false) // what follows the command is the command's
	return c
}

func (a *app) runStep(ctx context.Context, command []string, f running) error {
	if f.step == "" || len(f.products) == 0 {
		return wrong("--step and --product are needed: a link speaks of what a step made")
	}
	if f.offline && f.out == "" {
		return wrong("--offline needs --out: the file for the signed bundle")
	}
	if !f.print {
		if _, err := a.key(f.key); err != nil { // before the work, not after it
			return err
		}
	}
	materials, err := recordFiles("--material", f.materials)
	if err != nil {
		return err
	}
	code, err := a.execute(command)
	if err != nil {
		return err
	}
	if code != 0 {
		a.notef("countersign: step %s ended with %d, so nothing is attested\n", f.step, code)
		return silent(code)
	}
	products, err := recordFiles("--product", f.products)
	if err != nil {
		return err
	}
	if len(products) > attest.MaxSubjects {
		return wrong("--product: %d files; a link speaks of %d at most. Name fewer, or an archive of them", len(products), attest.MaxSubjects)
	}
	what := fmt.Sprintf("link of step %s: %s, %s", f.step, plural(len(materials), "material"), plural(len(products), "product"))
	own := *a
	if !f.print { // standard output is the step's
		own.out = a.err
	}
	return own.logStatement(ctx, steps.Link(f.step, command, materials, products), what, f.signing)
}

func recordFiles(flag string, patterns []string) ([]attest.LinkArtifact, error) {
	files, err := steps.Record(patterns)
	if err != nil {
		return nil, wrong("%s: %v", flag, err)
	}
	if len(patterns) > 0 && len(files) == 0 {
		return nil, wrong("%s: there is no file in %v", flag, patterns)
	}
	return files, nil
}

// passedOn are the signals that a step gets in our place. A terminal sends its own to
// the step as well.
var passedOn = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// withoutSecrets leaves out of an environment what we are told there to sign and to speak
// with: COUNTERSIGN_ and a name that ends in KEY_PEM, PASSPHRASE or TOKEN. A step builds
// what others wrote.
func withoutSecrets(environment []string) []string {
	return slices.DeleteFunc(environment, func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return strings.HasPrefix(name, "COUNTERSIGN_") &&
			(strings.HasSuffix(name, "KEY_PEM") || strings.HasSuffix(name, "PASSPHRASE") || strings.HasSuffix(name, "TOKEN"))
	})
}

// execute runs a command and returns how it ended, as a shell would: its exit code, or
// 128 and the number of the signal that ended it. The error says why it did not begin.
func (a *app) execute(command []string) (int, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	cmd.Env = withoutSecrets(os.Environ())
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, wrong("%v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may have ended in the meantime
		case err := <-ended:
			return exitOf(err)
		}
	}
}

func exitOf(err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, broken("wait for the step: %v", err)
	}
	if exit == nil {
		return 0, nil
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}
