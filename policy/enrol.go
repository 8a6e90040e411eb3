package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/roster"
)

// Enrol writes keys of a person into people.yaml, and leaves every other line of it as it
// is. from is when keys without a time of their own begin to hold. The set that comes back
// was parsed again, and has the keys; that the owners publish it is another matter.
func Enrol(files attest.PolicyFiles, id string, keys []roster.Key, from time.Time) (attest.PolicyFiles, *Set, error) {
	before, err := ParseSet(files)
	if err != nil {
		return files, nil, err
	}
	p, ok := before.Roster.Principal(id)
	if !ok {
		return files, nil, fmt.Errorf("%s has no %q", peopleFile, id)
	}
	text, err := insertKeys(files.People, id, keys, from)
	if err != nil {
		return files, nil, err
	}
	out := files
	out.People = text
	after, err := ParseSet(out)
	if err != nil {
		return files, nil, err
	}
	// What was written by text is believed when it reads as it should.
	now, ok := after.Roster.Principal(id)
	if !ok || len(now.Keys) != len(p.Keys)+len(keys) || len(after.Roster.Principals()) != len(before.Roster.Principals()) {
		return files, nil, fmt.Errorf("%s is not laid out so that keys of %s can be put in; put them there by hand", peopleFile, id)
	}
	return out, after, nil
}

var keysLine = regexp.MustCompile(`^\s*keys:\s*(#.*)?$`)

// insertKeys finds the entry of somebody, and puts keys behind theirs.
func insertKeys(people, id string, keys []roster.Key, from time.Time) (string, error) {
	lines := strings.SplitAfter(people, "\n")
	entry := regexp.MustCompile(`^\s*-\s+id:\s*["']?` + regexp.QuoteMeta(id) + `["']?\s*(#.*)?$`)
	start := slices.IndexFunc(lines, func(line string) bool { return entry.MatchString(strings.TrimRight(line, "\r\n")) })
	if start < 0 {
		return "", fmt.Errorf("%s has no line `- id: %s`; put the keys there by hand", peopleFile, id)
	}
	fields := indentOf(lines[start]) + 2
	at, items, head := start+1, fields+2, strings.Repeat(" ", fields)+"keys:\n"
	for i := start + 1; i < len(lines) && (isBlank(lines[i]) || indentOf(lines[i]) >= fields); i++ {
		if keysLine.MatchString(strings.TrimRight(lines[i], "\r\n")) {
			at, items = endOfList(lines, i+1, fields)
			head = ""
			break
		}
	}
	text := head
	for _, k := range keys {
		since := from
		if !k.From.IsZero() {
			since = k.From
		}
		var b strings.Builder
		if err := WriteKey(&b, k, since); err != nil {
			return "", err
		}
		for line := range strings.Lines(b.String()) {
			text += strings.Repeat(" ", items) + strings.TrimPrefix(line, "      ")
		}
	}
	if at > 0 && !strings.HasSuffix(lines[at-1], "\n") {
		text = "\n" + text
	}
	return strings.Join(slices.Insert(lines, at, text), ""), nil
}

// endOfList is the line behind a list, and how far its items are indented.
func endOfList(lines []string, from, fields int) (end, items int) {
	end, items = from, fields+2
	for i := from; i < len(lines); i++ {
		if isBlank(lines[i]) {
			continue
		}
		item := strings.HasPrefix(strings.TrimLeft(lines[i], " "), "- ")
		if in := indentOf(lines[i]); in < fields || in == fields && !item {
			break
		} else if item && end == from {
			items = in
		}
		end = i + 1
	}
	return end, items
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

func isBlank(line string) bool {
	rest := strings.TrimSpace(line)
	return rest == "" || rest[0] == '#'
}
