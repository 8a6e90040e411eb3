package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign-dev/countersign/attest"
)

// crafts are bundles that no honest client writes, made from a good one: each
// changes the payload before it is signed, or the text afterwards.
var crafts = map[string]struct {
	payload func(string) string
	text    func(string) string
}{
	"good":           {},
	"duplicate-key":  {payload: replace(`"predicateType":`, `"predicateType":"https://countersign.dev/risk/v1","predicateType":`)},
	"other-case":     {payload: replace(`"predicateType":`, `"PredicateType":`)},
	"unknown-field":  {payload: replace(`"repository":`, `"urgent":true,"repository":`)},
	"statement-v0":   {payload: replace(`/Statement/v1`, `/Statement/v0.1`)},
	"weak-digest":    {payload: replace(`"sha256":"`+strings.Repeat("e", 64), `"sha1":"`+strings.Repeat("e", 40))},
	"wrong-subject":  {payload: replace(`"sha256":"`+strings.Repeat("e", 64), `"gitCommit":"`+strings.Repeat("e", 40))},
	"nested":         {payload: replace(`"name":"v1"`, `"name":`+strings.Repeat(`[`, 65)+strings.Repeat(`]`, 65))},
	"large":          {payload: replace(`"name":"v1"`, `"name":"`+strings.Repeat("v", 70_000)+`"`)},
	"two-signatures": {text: replace(`"signatures":[`, `"signatures":[{"sig":"AAAA","keyid":""},`)},
	"plain-text":     {text: replace(`"payloadType":"application/vnd.in-toto+json"`, `"payloadType":"text/plain"`)},
	"other-payload":  {text: func(s string) string { return strings.Replace(s, encoded("v1"), encoded("v2"), 1) }},
	"cut":            {text: func(s string) string { return s[:len(s)/2] }},
	"trailing":       {text: func(s string) string { return s + "{}" }},
	"huge":           {text: replace(`"hint":"`, `"hint":"`+strings.Repeat("h", attest.MaxBundle))},
}

func replace(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

// encoded is the release statement in base64, of a release with this name.
func encoded(name string) string {
	payload, err := releaseNamed(name).Marshal()
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(payload)
}

// cmdCraft writes a crafted bundle, signed with a key: craft KIND KEY FILE.
func cmdCraft(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: craft KIND KEY FILE")
	}
	c, ok := crafts[args[0]]
	if !ok {
		ts.Fatalf("no craft %q", args[0])
	}
	key, err := attest.ReadKeyFile(ts.MkAbs(args[1]), nil)
	ts.Check(err)
	payload, err := releaseNamed("v1").Marshal()
	ts.Check(err)
	changed := payload
	if c.payload != nil {
		if changed = []byte(c.payload(string(payload))); bytes.Equal(changed, payload) {
			ts.Fatalf("craft %s changes nothing in %s", args[0], payload)
		}
	}
	b, err := attest.SignPayload(changed, key)
	ts.Check(err)
	text, err := b.Marshal()
	ts.Check(err)
	if c.text != nil {
		was := string(text)
		if text = []byte(c.text(was)); string(text) == was {
			ts.Fatalf("craft %s changes nothing in %s", args[0], was)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), text, 0o644))
	fmt.Fprintln(ts.Stdout(), args[2])
}
