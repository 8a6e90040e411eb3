package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

func signsOf(t *testing.T, text string) (*gitfacts.SignList, error) {
	t.Helper()
	node, err := strictyaml.Parse(policyFile, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var s Set
	err = s.parseSigns(node)
	return s.Signs(), err
}

func TestAPolicyAddsSignsAndTakesNoneAway(t *testing.T) {
	list, err := signsOf(t, `
- {address: Robot@Example.com, tool: robot}
- {trailer: Drafted-By, tool: drafter}
- {marker: "made by the machine", tool: machine}
- {authorEnd: "(bot)", tool: bot}
`)
	if err != nil {
		t.Fatal(err)
	}
	for message, want := range map[string]string{
		"Co-authored-by: Robot <robot@example.com>": "robot",
		"Drafted-by: x":                                  "drafter",
		"This was made by the machine.":                  "machine",
		"Co-authored-by: Claude <noreply@anthropic.com>": "claude",
	} {
		signs := list.Signs([]gitfacts.Commit{{Message: "t\n\n" + message + "\n"}})
		if len(signs) != 1 || signs[0].Tool != want {
			t.Errorf("%q: %v, want %s", message, signs, want)
		}
	}
	if s := list.Signs([]gitfacts.Commit{{Author: gitfacts.Person{Name: "alice (bot)"}}}); len(s) != 1 {
		t.Errorf("author: %v", s)
	}
}

func TestSignsThatSayNothingAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"- {address: robot@example.com}":         "needs a tool",
		"- {tool: robot}":                        "3 to 200 bytes",
		"- {address: Robot, tool: robot}":        "is no address",
		"- {marker: x, tool: robot}":             "3 to 200 bytes",
		"- {trailer: 'a b c', tool: robot}":      "is no key",
		"- {name: Claude, tool: robot}":          "name",
		"- {address: a@b, marker: abc, tool: x}": "already",
		"- {address: a@b.example, tool: [a, b]}": "1:",
	} {
		_, err := signsOf(t, text)
		var placed *strictyaml.Error
		if !errors.As(err, &placed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
