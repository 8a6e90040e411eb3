package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallLog makes a log that knows only its owners and CI.
const smallLog = `
for who in ann ben ci; do countersign keygen --out $who.pem; done
countersign policy init policy --owner ann,ben --person ann,level=staff,email=ann@example.com,key=ann.pub \
  --person ben,level=staff,email=ben@example.com,key=ben.pub --service ci,may=change+admission,key=ci.pub
countersign policy sign policy --key ann.pem --out 1.json
countersign policy sign policy --key ben.pem --with 1.json --out 2.json
countersignd create --data data --origin log.example --genesis 1.json --genesis 2.json --trust trust
`

// BenchmarkAttestRange runs the command itself, as CI does: reads the 28 changes of
// a real release, signs 56 statements, has a server log them, and checks the receipts.
// Each time the log is a new one.
func BenchmarkAttestRange(b *testing.B) { benchmarkRange(b, historyDir(b), "v0.5.8..v0.5.9") }

// BenchmarkAttestRangeOf1000 does the same with 1,000 changes, each of one commit to one
// of 200 files, whose heads are three commits behind the branch that they went to.
func BenchmarkAttestRangeOf1000(b *testing.B) { benchmarkRange(b, longHistory(b, 1000), "begin..main") }

// longHistory makes a repository with changes that were squashed.
func longHistory(b *testing.B, changes int) string {
	var s strings.Builder
	data := func(text string) { fmt.Fprintf(&s, "data %d\n%s\n", len(text), text) }
	commit := func(ref string, mark int, from, message, path, text string) {
		fmt.Fprintf(&s, "commit %s\nmark :%d\ncommitter alice <alice@example.com> %d +0000\n", ref, mark, 1767225600+mark)
		data(message)
		s.WriteString(from)
		fmt.Fprintf(&s, "M 100644 inline %s\n", path)
		data(text)
	}
	for f := range 200 {
		from := ""
		if f > 0 {
			from = fmt.Sprintf("from :%d\n", f)
		}
		commit("refs/heads/main", f+1, from, "Begin", fmt.Sprintf("src/%d/%d.go", f%20, f), "package f\n")
	}
	s.WriteString("reset refs/heads/begin\nfrom :200\n\n")
	for i := range changes {
		main := max(200, 1000+2*(i-1)+1)
		if i == 0 {
			main = 200
		}
		behind := 200
		if i > 3 {
			behind = 1000 + 2*(i-4) + 1
		}
		path, text := fmt.Sprintf("src/%d/%d.go", i%20, i%200), fmt.Sprintf("package f\n\nconst change = %d\n", i)
		commit(fmt.Sprintf("refs/pull/%d/head", i+1), 1000+2*i, fmt.Sprintf("from :%d\n", behind), fmt.Sprintf("Change %d", i), path, text)
		commit("refs/heads/main", 1000+2*i+1, fmt.Sprintf("from :%d\n", main), fmt.Sprintf("Change %d (#%d)", i, i+1), path, text)
	}
	dir := b.TempDir()
	for _, args := range [][]string{{"init", "-q", "--bare", "-b", "main", dir}, {"-C", dir, "fast-import", "--quiet"}} {
		cmd := exec.Command("git", args...)
		cmd.Stdin = strings.NewReader(s.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("git %v: %s", args, out)
		}
	}
	return dir
}

func benchmarkRange(b *testing.B, repo, commits string) {
	server, err := serverBinary()
	if err != nil {
		b.Fatal(err)
	}
	client := b.TempDir()
	if out, err := exec.Command("go", "build", "-o", client, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	b.Setenv("PATH", server+string(os.PathListSeparator)+client+string(os.PathListSeparator)+os.Getenv("PATH"))
	b.Setenv("COUNTERSIGN_REPOSITORY", litestream)
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		run := exec.Command("bash", "-euc", smallLog)
		run.Dir = dir
		if out, err := run.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		addr, err := freeAddress()
		if err != nil {
			b.Fatal(err)
		}
		serve := exec.Command(filepath.Join(server, "countersignd"), "serve", "--data", "data", "--listen", addr)
		serve.Dir = dir
		if err := serve.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = serve.Process.Kill() }) // where what follows fails
		b.Setenv("COUNTERSIGN_SERVER", "http://"+addr)
		for i := 0; exec.Command("countersign", "log", "checkpoint").Run() != nil; i++ {
			if i > 100 {
				b.Fatal("the ledger does not answer")
			}
			time.Sleep(50 * time.Millisecond)
		}
		attest := exec.Command("countersign", "attest", "range", commits, "--repo", repo, "--heads", "refs/pull/{id}/head", "--key", "ci.pem")
		attest.Dir = dir
		b.StartTimer()
		out, err := attest.CombinedOutput()
		b.StopTimer()
		if err == nil {
			err = serve.Process.Signal(syscall.SIGTERM)
		}
		if stopped := serve.Wait(); err == nil && stopped != nil {
			err = fmt.Errorf("countersignd: %w", stopped)
		}
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		b.StartTimer()
	}
}
