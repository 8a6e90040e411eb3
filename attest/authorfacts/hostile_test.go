package authorfacts

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest"
)

func FuzzStatements(f *testing.F) {
	f.Add([]byte(wholeNote))
	f.Add([]byte(emptyNote))
	f.Add([]byte(strings.ReplaceAll(wholeNote, "opus-4.6", "opus\u0085\u2028")))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := ParseGitAINote(text)
		if err != nil {
			return
		}
		r := found(n.Findings(head, GitAIRef)...)
		subject := attest.Subject{Digest: map[string]string{"gitCommit": string(head)}}
		shared := attest.Authorship{Repository: "example.com/org/repo", Change: attest.ChangeRef{ID: "7"}, DeclaredBy: "ci", DeclaredAt: attest.At(time.Unix(1_770_000_000, 0))}
		for _, st := range r.Statements(subject, shared) {
			if _, err := st.Marshal(); err != nil {
				t.Fatalf("a note makes a statement that cannot be signed: %v", err)
			}
		}
	})
}

// A note that names a crowd makes no crowd of statements.
func TestACrowdInANote(t *testing.T) {
	crowd := func(n int) int {
		var humans strings.Builder
		for i := range n {
			fmt.Fprintf(&humans, `"h_%d": {"author": "p%d@example.com"},`, i, i)
		}
		text := strings.Replace(wholeNote, `"humans": {`, `"humans": {`+humans.String(), 1)
		st := found(parseNote(t, text).Findings(head, GitAIRef)...).Statements(attest.Subject{Digest: map[string]string{"gitCommit": string(head)}}, attest.Authorship{})
		return len(st)
	}
	if n := crowd(49); n != 50 {
		t.Errorf("50 people: %d statements", n)
	}
	if n := crowd(9_000); n != 50 {
		t.Errorf("9,001 people: %d statements", n)
	}
}
