package scenario

import (
	"strings"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/steps"
)

// link says what a step read and made: link WHO STEP name:content… -- name:content…, where
// content stands for a file; the materials come first. Option: ran (the command, its words
// apart by +).
func (t *teller) link(s *step) error {
	var lists [2][]attest.LinkArtifact
	into := 0
	for _, text := range s.args[2:] {
		if text == "--" {
			into = 1
			continue
		}
		name, content, _ := strings.Cut(text, ":")
		digest := map[string]string{"sha256": attest.DigestOf([]byte(content)).String()}
		lists[into] = append(lists[into], attest.LinkArtifact{Name: name, Digest: digest})
	}
	st := steps.Link(s.arg(1), strings.Split(s.opt("ran", "make"), "+"), lists[0], lists[1])
	return t.sign(s, s.arg(0), st.Subjects, st.Predicate)
}
