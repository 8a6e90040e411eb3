package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-dev/countersign/api/alarm"
)

// cmdReceiver is somebody on loopback who is told of alarms: "receiver start KEYFILE" sets
// $RECEIVER, and writes every message that verifies by the public key in KEYFILE to the file
// that the last part of the path names, one a line.
func cmdReceiver(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 || args[0] != "start" {
		ts.Fatalf("usage: receiver start KEYFILE")
	}
	public := strings.TrimSpace(ts.ReadFile(args[1]))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err == nil {
			err = alarm.Verify(public, r.Header.Get, body, time.Now(), time.Minute)
		}
		if err != nil {
			body = []byte("refused: " + err.Error())
		}
		f, err := os.OpenFile(ts.MkAbs(path.Base(r.URL.Path)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(f, "%s\n", body)
		_ = f.Close()
	})}
	go func() { _ = s.Serve(l) }()
	ts.Defer(func() { _ = s.Close() })
	ts.Setenv("RECEIVER", "http://"+l.Addr().String())
}
