package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
func BenchmarkAttestRange(b *testing.B) {
	server, err := serverBinary()
	if err != nil {
		b.Fatal(err)
	}
	repo, client := historyDir(b), b.TempDir()
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
		attest := exec.Command("countersign", "attest", "range", "v0.5.8..v0.5.9", "--repo", repo, "--heads", "refs/pull/{id}/head", "--key", "ci.pem")
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
