package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/countersign-dev/countersign/api"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// trickle begins a request of n bytes to the write API, sends so many of them, and no more.
func (f *fixture) trickle(n, sent int) net.Conn {
	f.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	// What the server tells who waits to be told to go on, it tells when it reads.
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", logEntries, n); err != nil {
		f.t.Fatal(err)
	}
	const on = "HTTP/1.1 100 Continue\r\n\r\n"
	if answer := make([]byte, len(on)); f.read(c, answer) != on {
		f.t.Fatalf("%q", answer)
	}
	if _, err := io.WriteString(c, strings.Repeat(" ", sent)); err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) read(c net.Conn, into []byte) string {
	f.t.Helper()
	if _, err := io.ReadFull(c, into); err != nil {
		f.t.Fatal(err)
	}
	return string(into)
}

// asks posts so many bytes to the gate, which are no question, and returns the status.
func (f *fixture) asks(n int) int {
	f.t.Helper()
	resp, err := http.Post(f.url+"/gate", "application/json", strings.NewReader(strings.Repeat(" ", n)))
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Who sends slowly keeps nobody else from being heard, and loses nothing before that.
func TestSlowBodiesMakeRoom(t *testing.T) {
	for name, limit := range map[string]func(*api.Config){
		"in number": func(c *api.Config) { c.MaxRequests = 3 },
		"in bytes":  func(c *api.Config) { c.MaxBodies = 4 << 10 },
	} {
		t.Run(name, func(t *testing.T) {
			var later atomic.Int64
			f := start(t, setup{api: func(c *api.Config) {
				limit(c)
				began := c.Now()
				c.Now = func() time.Time { return began.Add(time.Duration(later.Load())) }
			}})
			if status := f.asks(3 << 10); status != http.StatusBadRequest {
				t.Fatalf("alone: %d", status)
			}
			first := f.trickle(3<<10, 1<<10)
			f.trickle(3<<10, 1<<10)
			f.trickle(3<<10, 1<<10)
			// They have only just begun, so they keep their room; there is none besides.
			for f.asks(3<<10) != http.StatusServiceUnavailable { // until what was sent has come in
			}
			later.Store(int64(time.Minute))
			if status := f.asks(3 << 10); status != http.StatusBadRequest {
				t.Errorf("after a while: %d", status)
			}
			const cut = "HTTP/1.1 503"
			if got := f.read(first, make([]byte, len(cut))); got != cut {
				t.Errorf("the first of them is answered %q", got)
			}
		})
	}
}

// Who watches is in the way of other watchers, and of nobody who fetches evidence.
func TestWatchersLeaveRoom(t *testing.T) {
	f := start(t, setup{api: func(c *api.Config) { c.MaxStreams = 1 }})
	watch := func() (*connect.ServerStreamForClient[countersignv1.WatchResponse], error) {
		return f.Watch(t.Context(), connect.NewRequest(&countersignv1.WatchRequest{}))
	}
	first, err := watch()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if !first.Receive() { // it has begun
		t.Fatal(first.Err())
	}
	second, err := watch()
	if err != nil {
		t.Fatal(err)
	}
	if second.Receive() || connect.CodeOf(second.Err()) != connect.CodeUnavailable {
		t.Errorf("a second watch: %v", second.Err())
	}
	records, err := f.Records(t.Context(), connect.NewRequest(&countersignv1.RecordsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for records.Receive() {
		n++
	}
	if records.Err() != nil || n == 0 {
		t.Errorf("%d records, %v", n, records.Err())
	}
}
