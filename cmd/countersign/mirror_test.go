package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const mirrorKey contextKey = "mirror"

// cmdMirror starts, stops or waits for the script's mirror, whose copy is in mirror/:
// mirror start follows the ledger, mirror stop CODE and mirror ends CODE wait for the
// exit code. While it runs, MIRROR is its URL.
func cmdMirror(ts *testscript.TestScript, _ bool, args []string) {
	m := ts.Value(mirrorKey).(*server)
	switch {
	case len(args) == 1 && args[0] == "start":
		m.mirror(ts)
	case len(args) == 2 && args[0] == "stop":
		ts.Check(m.cmd.Process.Signal(syscall.SIGTERM))
		m.ends(ts, args[1])
	case len(args) == 2 && args[0] == "ends":
		m.ends(ts, args[1])
	default:
		ts.Fatalf("usage: mirror start|stop CODE|ends CODE")
	}
}

func (s *server) mirror(ts *testscript.TestScript) {
	addr, err := freeAddress()
	ts.Check(err)
	bin, err := serverBinary()
	ts.Check(err)
	s.cmd = exec.Command(filepath.Join(bin, "countersignd"), "mirror", ts.Getenv("COUNTERSIGN_SERVER"),
		"--data", "mirror", "--trust", "trust", "--interval", "20ms", "--listen", addr)
	s.cmd.Dir = ts.MkAbs(".")
	log, err := os.Create(ts.MkAbs("mirror.log"))
	ts.Check(err)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	ts.Check(s.cmd.Start())
	ts.Defer(func() { s.stop(syscall.SIGKILL); log.Close() })
	ts.Setenv("MIRROR", "http://"+addr)
	waitFor(ts, "the mirror", func() bool { return answers200("http://" + addr + "/healthz") })
}

// ends waits for the process to end by itself.
func (s *server) ends(ts *testscript.TestScript, code string) {
	want, err := strconv.Atoi(code)
	ts.Check(err)
	ended := make(chan error, 1)
	cmd := s.cmd
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(20 * time.Second):
		ts.Fatalf("the mirror does not end:\n%s", ts.ReadFile("mirror.log"))
	}
	s.cmd = nil
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("the mirror ends with %d, want %d (%v):\n%s", got, want, err, ts.ReadFile("mirror.log"))
	}
}

// cmdReaches waits until what a server shows has a size, or until its log has a text:
// reaches URL SIZE, or reaches FILE TEXT.
func cmdReaches(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: reaches URL SIZE, or reaches FILE TEXT")
	}
	where, what := args[0], args[1]
	waitFor(ts, where+" "+what, func() bool {
		if !strings.HasPrefix(where, "http") {
			return strings.Contains(ts.ReadFile(where), what)
		}
		lines := strings.Split(body(where+"/checkpoint"), "\n")
		return len(lines) > 1 && lines[1] == what
	})
}

func waitFor(ts *testscript.TestScript, what string, done func() bool) {
	for range 400 {
		if done() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	ts.Fatalf("%s: not in ten seconds", what)
}

func answers200(url string) bool {
	resp, err := http.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func body(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return ""
	}
	return string(text)
}
