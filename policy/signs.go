package policy

import (
	"strings"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Signs is what betrays an AI tool in a commit: the built-in list and what
// policy.yaml adds to it. A policy can add signs and take none away.
func (s *Set) Signs() *gitfacts.SignList { return s.signs }

// parseSigns reads items such as {address: bot@example.com, tool: robot}. Each
// names one place to look at, and the tool that is found there.
func (s *Set) parseSigns(v strictyaml.Node) error {
	more := gitfacts.SignList{
		Addresses: map[string]string{}, Trailers: map[string]string{},
		Markers: map[string]string{}, AuthorEnds: map[string]string{},
	}
	places := map[string]map[string]string{
		"address": more.Addresses, "trailer": more.Trailers, "marker": more.Markers, "authorEnd": more.AuthorEnds,
	}
	err := v.Items(func(item strictyaml.Node) error { return parseSign(item, places) })
	if err != nil {
		return err
	}
	s.signs = gitfacts.DefaultSigns().With(more)
	return nil
}

func parseSign(item strictyaml.Node, places map[string]map[string]string) error {
	var place, text, tool string
	err := item.Fields([]string{"address", "trailer", "marker", "authorEnd", "tool"}, func(key string, f strictyaml.Node) (err error) {
		if key == "tool" {
			tool, err = f.Text()
			return err
		}
		if place != "" {
			return f.Errorf("a sign is one of address, trailer, marker and authorEnd; this is %s already", place)
		}
		place = key
		text, err = f.Text()
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case place == "" || len(text) < 3 || len(text) > 200 || len(tool) > 100:
		return item.Errorf("a sign needs an address, trailer, marker or authorEnd of 3 to 200 bytes, and a tool")
	case tool == "":
		return item.Errorf("the sign %.80q needs a tool", text)
	case place == "address" && !strings.Contains(text, "@"):
		return item.Errorf("%.80q is no address", text)
	case place == "trailer" && strings.ContainsAny(text, ": \t"):
		return item.Errorf("%.80q is no key of a trailer", text)
	}
	places[place][text] = tool
	return nil
}
