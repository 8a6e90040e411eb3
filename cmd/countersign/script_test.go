package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-dev/countersign/policy"
)

// TestMain makes this test binary the command countersign as well, for scripts.
func TestMain(m *testing.M) {
	testscript.Main(cleaner{m}, map[string]func(){"countersign": func() { os.Exit(run()) }})
}

// cleaner removes what tests share when all of them are done.
type cleaner struct{ m *testing.M }

func (c cleaner) Run() int {
	code := c.m.Run()
	shared.Lock()
	defer shared.Unlock()
	for _, dir := range shared.dirs {
		os.RemoveAll(dir)
	}
	return code
}

// shared are the folders that tests share; the mutex guards dirs.
var shared struct {
	sync.Mutex
	dirs []string
}

// sharedDir makes a folder that is there until all tests are done.
func sharedDir(name string) (string, error) {
	dir, err := os.MkdirTemp("", "countersign-test-"+name+"-")
	shared.Lock()
	defer shared.Unlock()
	shared.dirs = append(shared.dirs, dir)
	return dir, err
}

// serverBinary builds countersignd once, into a folder of its own.
var serverBinary = sync.OnceValues(func() (string, error) {
	dir, err := sharedDir("server")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-o", dir, "../countersignd").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build countersignd: %w: %s", err, out)
	}
	return dir, nil
})

// Every script is what users could type. They start in a folder with keys for
// alice (staff), bob (senior), carol (junior), an agent and services, a policy set
// and a small repository; "ledger start" serves a new log.
func TestScripts(t *testing.T) {
	bin, err := serverBinary()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			recipes, err := filepath.Abs("../../docs/ci")
			if err != nil {
				return err
			}
			env.Setenv("RECIPES", recipes)
			for k, v := range map[string]string{
				"HOME": env.WorkDir, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.DevNull, "NO_COLOR": "1",
				"GIT_AUTHOR_DATE": "2026-03-01T12:00:00Z", "GIT_COMMITTER_DATE": "2026-03-01T12:00:00Z",
				"REPOSITORY": "example.com/org/app", "HEADS": "refs/pull/{id}/head",
			} {
				env.Setenv(k, v)
			}
			env.Values[serverKey], env.Values[mirrorKey] = &server{}, &server{}
			env.Values[witnessesKey] = map[string]*watcher{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ends": cmdEnds, "ledger": cmdLedger, "flip": cmdFlip, "saved": cmdSaved, "office": cmdOffice, "merge": cmdMerge, "readme": cmdReadme, "prints": cmdPrints, "craft": cmdCraft, "liar": cmdLiar, "witness": cmdWitness,
			"mirror": cmdMirror, "receiver": cmdReceiver, "reaches": cmdReaches, "action": cmdAction, "pipeline": cmdPipeline,
			"fulcio": cmdFulcio,
		},
	})
}

type contextKey string

const serverKey contextKey = "server"

// server is the ledger of one script.
type server struct {
	cmd  *exec.Cmd
	addr string // of the last start
}

// cmdEnds runs a command that must exit with a code: ends CODE COMMAND….
func cmdEnds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: ends CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit %d, want %d\n%s%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// cmdLedger starts, stops or kills the script's ledger, whose data are in data/.
func cmdLedger(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(serverKey).(*server)
	switch args[0] {
	case "start":
		addr, err := freeAddress()
		ts.Check(err)
		s.start(ts, addr, args[1:])
	case "again": // at the same address
		s.start(ts, s.addr, args[1:])
	case "stop":
		s.stop(syscall.SIGTERM)
	case "kill":
		s.stop(syscall.SIGKILL)
	default:
		ts.Fatalf("usage: ledger start|again|stop|kill")
	}
}

func (s *server) start(ts *testscript.TestScript, addr string, flags []string) {
	s.addr = addr
	bin, err := serverBinary()
	ts.Check(err)
	s.cmd = exec.Command(filepath.Join(bin, "countersignd"), append([]string{"serve", "--data", "data", "--listen", addr}, flags...)...)
	s.cmd.Dir = ts.MkAbs(".")
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	ts.Check(s.cmd.Start())
	ts.Defer(func() { s.stop(syscall.SIGKILL); log.Close() })
	ts.Setenv("COUNTERSIGN_SERVER", "http://"+addr)
	for range 100 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			ts.Check(c.Close())
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("the ledger does not answer:\n%s", ts.ReadFile("server.log"))
}

func (s *server) stop(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	// Whoever stopped already has its exit code read here, too.
	_ = s.cmd.Process.Signal(sig)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// cmdFlip flips the lowest bit of one byte of a file, by its place in percent.
func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE PERCENT")
	}
	percent, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := []byte(ts.ReadFile(args[0]))
	b[(len(b)-1)*percent/100] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// cmdSaved writes what passes for a saved plan: the beginning of an archive whose
// first entry is named tfplan, and the JSON that the scripts' terraform prints.
func cmdSaved(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: saved PLAN JSON")
	}
	head := "PK\x03\x04" + strings.Repeat("\x00", 26) + "tfplan"
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(head+ts.ReadFile(args[1])), 0o644))
}

// cmdOffice makes keys, the policy set and its genesis, a repository and an empty
// log, with the commands that users have. "office blueprint" takes the built-in rules;
// "office bends" lets the glass be broken and exceptions be made, "office modes" has gates that do not only enforce, "office learning" has rules that ask what happened.
func cmdOffice(ts *testscript.TestScript, _ bool, args []string) {
	do := func(command string) {
		words := strings.Fields(command)
		if err := ts.Exec(words[0], words[1:]...); err != nil {
			ts.Fatalf("%s: %v", command, err)
		}
	}
	ts.Check(os.MkdirAll(ts.MkAbs("keys"), 0o755))
	for _, who := range strings.Fields("alice bob carol claude ci builder gate mallory") {
		do("countersign keygen --out keys/" + who + ".pem")
	}
	init := "countersign policy init policy --owner alice,bob --person alice,level=staff,email=alice@example.com,key=keys/alice.pub " +
		"--person bob,level=senior,email=bob@example.com,key=keys/bob.pub --person carol,level=junior,email=carol@example.com,key=keys/carol.pub " +
		"--agent claude,operator=carol,email=noreply@anthropic.com,key=keys/claude.pub --service ci,may=change+admission+authorship,key=keys/ci.pub " +
		"--service builder,may=release+link,key=keys/builder.pub --service gate,may=deployment+operation,key=keys/gate.pub --service forge,forge,email=forge@example.com"
	if _, err := os.Stat(ts.MkAbs("keys/bob_ssh.pub")); err == nil {
		init = strings.Replace(init, "key=keys/bob.pub", "key=keys/bob.pub,ssh=keys/bob_ssh.pub", 1)
	}
	office(ts)
	if len(args) > 0 && args[0] == "blueprint" {
		b := policy.Blueprint()
		gated := strings.Replace(b.Policy, "approvals: beforeMerge}", "approvals: beforeMerge, gates: [gate]}", 1)
		ts.Check(os.WriteFile(ts.MkAbs("policy/policy.yaml"), []byte(gated), 0o644))
		ts.Check(os.WriteFile(ts.MkAbs("policy/domains.yaml"), []byte(b.Domains), 0o644))
	}
	if len(args) > 0 && args[0] == "modes" {
		modes := strings.NewReplacer("beforeRelease, gates: [gate]}", "beforeRelease, gates: [gate], mode: audit}", "beforeMerge, gates: [gate]}", "beforeMerge, gates: [gate], mode: cachedPass}")
		ts.Check(os.WriteFile(ts.MkAbs("policy/policy.yaml"), []byte(modes.Replace(ts.ReadFile("policy/policy.yaml"))), 0o644))
	}
	if len(args) > 0 && args[0] == "bends" {
		ts.Check(os.WriteFile(ts.MkAbs("policy/policy.yaml"), []byte(ts.ReadFile("policy/policy.yaml")+officeBends), 0o644))
	}
	if len(args) > 0 && args[0] == "learning" {
		ts.Check(os.WriteFile(ts.MkAbs("policy/policy.yaml"), []byte(ts.ReadFile("policy/policy.yaml")+learning), 0o644))
	}
	do(init)
	do("countersign policy sign policy --key keys/alice.pem --out genesis-1.json")
	do("countersign policy sign policy --key keys/bob.pem --with genesis-1.json --out genesis-2.json")
	do("countersignd create --data data --origin log.example --genesis genesis-1.json --genesis genesis-2.json --trust trust")
	ts.Check(os.WriteFile(ts.MkAbs("gate.token"), []byte("a-token-of-the-gate-in-this-test"), 0o600))
}

// office makes the repository, with main at v1, and the rules of a small policy that begins at
// its first commit.
func office(ts *testscript.TestScript) {
	git := func(args ...string) string {
		ts.Check(ts.Exec("git", append([]string{"-C", ts.MkAbs("app"), "-c", "user.name=forge", "-c", "user.email=forge@example.com"}, args...)...))
		return strings.TrimSpace(ts.ReadFile("stdout"))
	}
	ts.Check(os.MkdirAll(ts.MkAbs("app"), 0o755))
	git("init", "-q", "-b", "main")
	ts.Check(os.WriteFile(ts.MkAbs("app/README.md"), []byte("an app\n"), 0o644))
	git("add", ".")
	git("commit", "-q", "-m", "Begin")
	git("tag", "v1")
	first := git("rev-parse", "HEAD")
	ts.Check(os.MkdirAll(ts.MkAbs("policy"), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs("policy/policy.yaml"), []byte(strings.ReplaceAll(officePolicy, "FIRST", first)), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("policy/domains.yaml"), []byte(officeDomains), 0o644))
}

const officePolicy = `name: office
version: 1
levels: [junior, senior, staff]
tiers: [low, high]
environments:
  - {name: staging, approvals: beforeRelease, gates: [gate]}
  - {name: production, approvals: beforeMerge, gates: [gate]}
validFor: 15m
baselines:
  - {repository: example.com/org/app, environment: staging, commit: FIRST, reason: the beginning}
  - {repository: example.com/org/app, environment: production, commit: FIRST, reason: the beginning}
rules:
  - id: reviewed
    title: Somebody else approves every change
    require:
      approvals: [{count: 1}]
    remedy: Ask somebody who did not write it.
  - id: senior-for-ai
    title: Somebody senior answers for AI
    when: change.aiAssisted
    require:
      approvals: [{count: 1, level: senior}]
    remedy: Ask alice or bob.
`

const officeBends = `breakGlass: {environments: [production], maxDuration: 2h, maxUses: 1, reviewWithin: 24h, level: senior}
changes: {delay: 24h, exceptionDelay: 1s, maxException: 240h}
`

const learning = `  - id: after-an-incident
    title: For a week after a Sev1, two people approve what touches its domains
    when: incidents.sev1("7d") > 0
    require:
      approvals: [{count: 2}]
      timing: beforeRelease
    remedy: Ask a second person.
  - id: deep-dives
    title: No AI-assisted change of a domain before its Sev1 were reviewed
    when: change.aiAssisted
    require:
      deepDives: sev1
    remedy: Write the review, and have a second person sign it.
`

const officeDomains = `domains:
  - {name: docs, tier: low, paths: ["*.md"], reason: nothing that runs}
  - {name: code, tier: high, paths: ["*.go"], reason: it runs}
`

// cmdMerge makes a change with one commit, and squashes it onto main as a forge
// does: merge ID AUTHOR FILE [TRAILER]. Its head is refs/pull/ID/head.
func cmdMerge(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: merge ID AUTHOR FILE [TRAILER]")
	}
	id, author, file := args[0], args[1], args[2]
	message := "Change " + file
	if len(args) > 3 {
		message += "\n\n" + args[3]
	}
	git := func(who string, argv ...string) {
		ts.Check(ts.Exec("git", append([]string{"-C", ts.MkAbs("app"), "-c", "user.name=" + who, "-c", "user.email=" + who + "@example.com"}, argv...)...))
	}
	git(author, "checkout", "-q", "--detach", "main")
	ts.Check(os.WriteFile(ts.MkAbs(filepath.Join("app", file)), []byte("change "+id+" by "+author+"\n"), 0o644))
	git(author, "add", ".")
	git(author, "commit", "-q", "-m", message)
	git(author, "update-ref", "refs/pull/"+id+"/head", "HEAD")
	git(author, "checkout", "-q", "main")
	git("forge", "merge", "-q", "--squash", "refs/pull/"+id+"/head")
	git("forge", "commit", "-q", "--author", author+" <"+author+"@example.com>", "-m", strings.Replace(message, "\n", " (#"+id+")\n", 1)+onlyIf(len(args) == 3, " (#"+id+")"))
}

func onlyIf(cond bool, s string) string {
	if cond {
		return s
	}
	return ""
}
