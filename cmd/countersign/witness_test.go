package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-dev/countersign/verify"
)

const witnessesKey contextKey = "witnesses"

// watcher is one of a script's witnesses, in witness-NAME/.
type watcher struct {
	server
	address string
}

// cmdWitness makes, starts and stops real witnesses of the log that trust/ names, and
// writes policies that name all that were made:
//
//	witness start|kill NAME
//	witness policy FILE GROUP-OR-QUORUM…
func cmdWitness(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value(witnessesKey).(map[string]*watcher)
	if len(args) < 2 {
		ts.Fatalf("usage: witness start|kill NAME, witness policy FILE QUORUM…")
	}
	switch args[0] {
	case "start":
		if all[args[1]] == nil {
			all[args[1]] = &watcher{}
		}
		all[args[1]].start(ts, args[1])
	case "kill":
		all[args[1]].stop(syscall.SIGKILL)
	case "policy":
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(witnessPolicy(ts, all, args[2:])), 0o644))
	}
}

func witnessPolicy(ts *testscript.TestScript, all map[string]*watcher, quorum []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "log %s\n", logKey(ts))
	for name, w := range all {
		fmt.Fprintf(&b, "witness %s %s http://%s\n", name, strings.TrimSpace(ts.ReadFile("witness-"+name+"/witness.vkey")), w.address)
	}
	for _, line := range quorum {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

func logKey(ts *testscript.TestScript) string {
	t, err := verify.LoadTrust(ts.MkAbs("trust"))
	ts.Check(err)
	return t.Log.VKey()
}

// start serves at the address that the witness had before, if it had one.
func (w *watcher) start(ts *testscript.TestScript, name string) {
	data := "witness-" + name
	if w.address == "" {
		var err error
		w.address, err = freeAddress()
		ts.Check(err)
		ts.Check(ts.Exec("countersignd", "witness", "init", "--data", data, "--name", name+".example"))
	}
	bin, err := serverBinary()
	ts.Check(err)
	w.cmd = exec.Command(filepath.Join(bin, "countersignd"), "witness", "--data", data, "--listen", w.address, "--log", logKey(ts))
	w.cmd.Dir = ts.MkAbs(".")
	ts.Check(w.cmd.Start())
	ts.Defer(func() { w.stop(syscall.SIGKILL) })
	for range 100 {
		c, err := net.Dial("tcp", w.address)
		if err == nil {
			ts.Check(c.Close())
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("the witness %s does not answer", name)
}
