package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/countersign-dev/countersign/attest"
)

// app is what every command shares: where it reads and writes, and what the
// flags of the root say.
type app struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	// interactive: there is a person at a terminal who can be asked.
	interactive bool
	color       bool

	format  string // text or json
	server  string
	token   string
	timeout time.Duration

	keys map[string]*attest.PrivateKey // opened, by file: a passphrase is asked for once
	link *ledger                       // made when first needed
}

// version is set when a release is built.
var version = "dev"

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "countersign",
		Short: "Sign, approve and verify who answers for a change",
		Long: `countersign signs attestations about changes, puts them into a ledger, and tells a
deploy gate whether a release carries the approvals that it needs.

Exit codes: 0 allowed, or done; 1 no; 2 wrong use or input; 3 could not tell;
4 the log contradicts itself. A gate must treat everything but 0 as a refusal.`,
		Example: `  countersign keygen --out alice.pem
  countersign attest range v1.0..v1.1 --repo . --repository github.com/org/repo --key ci.pem
  countersign approve 1145 --repository github.com/org/repo --environment production --key alice.pem
  countersign verify release.tar --environment production --trust trust`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.format != "text" && a.format != "json" {
				return wrong("--format %q: use text or json", a.format)
			}
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.format, "format", "text", "output for people (text) or programs (json)")
	flags.StringVar(&a.server, "server", envOr("COUNTERSIGN_SERVER", "http://127.0.0.1:7391"), "URL of the ledger (COUNTERSIGN_SERVER)")
	flags.StringVar(&a.token, "token", "", "bearer token, for a gate or for reads that need one (default: COUNTERSIGN_TOKEN)")
	flags.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for the ledger")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return wrong("%v; see: %s --help", err, c.CommandPath())
	})
	a.addCommands(root)
	explainArgs(root)
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	a.complete(root)
	return root
}

// addCommands groups the commands by who uses them.
func (a *app) addCommands(root *cobra.Command) {
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"For whoever makes changes and releases:", []*cobra.Command{newKeygen(a), newCI(a), newAttest(a), newRun(a), newSubmit(a), newAttach(a), newImport(a)}},
		{"For reviewers:", []*cobra.Command{newInbox(a), newApprove(a), newExplain(a)}},
		{"For gates and auditors:", []*cobra.Command{newVerify(a), newPack(a), newLog(a)}},
		{"For owners of the policy:", []*cobra.Command{newPolicy(a), newTrust(a), newFreeze(a), newBreakGlass(a), newGap(a)}},
		{"For whoever watches:", []*cobra.Command{newCohort(a), newFollow(a), newMonitor(a)}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
			root.AddCommand(c)
		}
	}
}

// explainArgs lets a command that gets too few or too many arguments say which it takes,
// and one that only groups others refuse a name that is none of theirs.
func explainArgs(c *cobra.Command) {
	if c.HasSubCommands() && !c.Runnable() && c.HasParent() {
		c.DisableFlagsInUseLine = true
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return wrong("unknown command %q for %q\nsee: %[2]s --help", args[0], c.CommandPath())
			}
			return c.Help()
		}
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return wrong("%v\nusage: %s", err, c.UseLine())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		explainArgs(sub)
	}
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// printf writes to standard output.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// notef writes to standard error: progress, and what is no result.
func (a *app) notef(format string, args ...any) { fmt.Fprintf(a.err, format, args...) }

// json reports whether programs read the output.
func (a *app) json() bool { return a.format == "json" }

// writeJSON prints one value as indented JSON.
func (a *app) writeJSON(v any) error {
	text, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	a.printf("%s\n", text)
	return nil
}

// ask asks a yes-or-no question, and takes nothing else than yes for yes.
func (a *app) ask(question string) (bool, error) {
	if !a.interactive {
		return false, wrong("there is nobody to ask; add --yes to answer in advance")
	}
	a.notef("%s [y/N] ", question)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && line == "" {
		return false, wrong("no answer: %v", err)
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// passphrase comes from COUNTERSIGN_PASSPHRASE or from a prompt.
func (a *app) passphrase(prompt string) ([]byte, error) {
	if p, ok := os.LookupEnv("COUNTERSIGN_PASSPHRASE"); ok {
		return []byte(p), nil
	}
	if !a.interactive {
		return nil, wrong("the key is encrypted; set COUNTERSIGN_PASSPHRASE, or run on a terminal")
	}
	a.notef("%s: ", prompt)
	p, err := term.ReadPassword(int(os.Stdin.Fd()))
	a.notef("\n")
	return p, err
}

// key reads a private key file.
func (a *app) key(path string) (*attest.PrivateKey, error) {
	if k := a.keys[path]; k != nil {
		return k, nil
	}
	if path == "" && os.Getenv(keyText) != "" {
		return a.keyFromText()
	}
	if path == "" {
		return nil, wrong("--key is needed: the file of the signing key (make one with: countersign keygen)")
	}
	k, err := attest.ReadKeyFile(path, func() ([]byte, error) { return a.passphrase("Passphrase of " + path) })
	if err != nil {
		if text, err := readFile(path, 64<<10); err == nil {
			if _, err := attest.ParsePublicKeyPEM(text); err == nil {
				return nil, wrong("--key: %s is a public key, and the private one beside it signs", path)
			}
		}
		return nil, wrong("--key: %v", err)
	}
	a.keep(path, k)
	return k, nil
}

// keep remembers an opened key under the flag's value that names it.
func (a *app) keep(path string, k *attest.PrivateKey) {
	if a.keys == nil {
		a.keys = make(map[string]*attest.PrivateKey)
	}
	a.keys[path] = k
}

// keyText is the variable that holds a private key where there is no file for it, as in a
// CI that hands secrets over by environment.
const keyText = "COUNTERSIGN_KEY_PEM"

func (a *app) keyFromText() (*attest.PrivateKey, error) {
	k, err := attest.ParsePrivateKeyPEM([]byte(os.Getenv(keyText)), func() ([]byte, error) { return a.passphrase("Passphrase of " + keyText) })
	if err != nil {
		return nil, wrong("%s: %v", keyText, err)
	}
	a.keep("", k)
	return k, nil
}

// paint colours a text when a person looks at it.
func (a *app) paint(code, s string) string {
	if !a.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (a *app) green(s string) string { return a.paint("32;1", s) }
func (a *app) red(s string) string   { return a.paint("31;1", s) }
func (a *app) faint(s string) string { return a.paint("2", s) }
func (a *app) bold(s string) string  { return a.paint("1", s) }

// plural counts things: "1 change", "28 changes".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
