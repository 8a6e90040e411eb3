package gitfacts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/attest"
)

// A SignList says what betrays the help of an AI tool in a commit. Names of people
// are never matched: somebody may be called Claude.
type SignList struct {
	// Addresses maps an e-mail address, in lower case, to a tool.
	Addresses map[string]string
	// AddressEnds maps the end of an address to a tool, for the forms
	// "<number>+<account>@users.noreply.github.com".
	AddressEnds map[string]string
	// Trailers maps a trailer's key, in lower case, to a tool; an empty tool means
	// that the trailer's value names it. "<tool>-session" is always one.
	Trailers map[string]string
	// Markers maps a piece of text in a message to a tool.
	Markers map[string]string
	// AuthorEnds maps the end of an author's name, as tools append it, to a tool.
	AuthorEnds map[string]string
}

// DefaultSigns is the built-in list: the strings that public histories show.
func DefaultSigns() *SignList {
	const noreply = "@users.noreply.github.com"
	return &SignList{
		Addresses: map[string]string{
			"noreply@anthropic.com": "claude", "cursoragent@cursor.com": "cursor",
			"noreply@openai.com": "codex", "codex@openai.com": "codex",
			"noreply@aws.amazon.com": "amazon-q", "q@amazon.com": "amazon-q",
			"roomote@roocode.com": "roo-code", "noreply@windsurf.com": "windsurf", "noreply@codeium.com": "windsurf",
		},
		AddressEnds: map[string]string{
			"+claude[bot]" + noreply: "claude", "+copilot" + noreply: "copilot",
			"+copilot-swe-agent[bot]" + noreply:       "copilot",
			"+devin-ai-integration[bot]" + noreply:    "devin",
			"+google-labs-jules[bot]" + noreply:       "jules",
			"+kiro-agent" + noreply:                   "kiro",
			"+kiro-agent[bot]" + noreply:              "kiro",
			"+factory-droid[bot]" + noreply:           "factory-droid",
			"+cursoragent" + noreply:                  "cursor",
			"+chatgpt-codex-connector[bot]" + noreply: "codex",
			"+gemini-code-assist[bot]" + noreply:      "gemini",
			"+amazon-q-developer[bot]" + noreply:      "amazon-q",
		},
		Trailers: map[string]string{
			"assisted-by": "", "generated-by": "", "made-with": "",
			"claude-session": "claude", "copilot-session": "copilot", "agent-logs-url": "agent",
		},
		Markers: map[string]string{
			"🤖 Generated with [Claude Code]": "claude", "🤖 Generated with Claude Code": "claude",
			"🤖 Assisted by Amazon Q Developer": "amazon-q", "🤖 Generated with Amazon Q Developer": "amazon-q",
			"Copilot Autofix powered by AI": "copilot",
		},
		AuthorEnds: map[string]string{"(aider)": "aider"},
	}
}

// Tool returns the AI tool that an e-mail address belongs to, or "".
func (l *SignList) Tool(email string) string {
	email = strings.ToLower(strings.TrimSpace(email))
	if tool := l.Addresses[email]; tool != "" {
		return tool
	}
	// "<number>+<account>@…", and the older form without a number.
	_, account, ok := strings.Cut(email, "+")
	if !ok {
		account = email
	}
	return l.AddressEnds["+"+account]
}

// Signs lists every sign of AI in the commits, sorted. Finding none says nothing:
// absence is unknown, not human.
func (l *SignList) Signs(commits []Commit) []attest.AISign {
	var out []attest.AISign
	for i := range commits {
		out = append(out, l.inCommit(&commits[i])...)
	}
	slices.SortFunc(out, func(a, b attest.AISign) int {
		return strings.Compare(fmt.Sprint(a.Where, a.Grade, a.Tool, a.Detail), fmt.Sprint(b.Where, b.Grade, b.Tool, b.Detail))
	})
	return slices.Compact(out)
}

func (l *SignList) inCommit(c *Commit) []attest.AISign {
	var out []attest.AISign
	add := func(grade attest.Grade, tool, detail string) {
		out = append(out, attest.AISign{Grade: grade, Tool: tool, Where: string(c.ID), Detail: Printable(detail)})
	}
	for _, p := range []struct {
		role string
		Person
	}{{"author", c.Author}, {"committer", c.Committer}} {
		if tool := l.Tool(p.Email); tool != "" {
			add(attest.GradeForgeAccount, tool, p.role+" "+p.Email)
		}
		for end, tool := range l.AuthorEnds {
			if strings.HasSuffix(p.Name, end) {
				add(attest.GradeTrailer, tool, p.role+" "+p.Name)
			}
		}
	}
	for _, t := range trailers(c.Message) {
		l.inTrailer(t, add)
	}
	for text, tool := range l.Markers {
		if strings.Contains(c.Message, text) {
			add(attest.GradeMarker, tool, text)
		}
	}
	return out
}

func (l *SignList) inTrailer(t trailer, add func(attest.Grade, string, string)) {
	if tool, ok := l.trailerTool(t); ok {
		add(attest.GradeTrailer, strings.ToLower(Printable(tool)), t.key+": "+t.value)
		return
	}
	for _, p := range addressees(t.value) {
		switch tool := l.Tool(p.Email); {
		case tool == "":
		case t.key == "signed-off-by":
			add(attest.GradeTrailer, tool, "violation: an agent cannot sign off: "+t.value)
		default:
			add(attest.GradeTrailer, tool, t.key+": "+t.value)
		}
	}
}

// trailerTool returns the tool of a trailer whose key alone is a sign.
func (l *SignList) trailerTool(t trailer) (string, bool) {
	tool, ok := l.Trailers[t.key]
	if !ok {
		tool, ok = strings.CutSuffix(t.key, "-session")
	}
	if !ok || t.value == "" {
		return "", false
	}
	if tool == "" { // the kernel's AGENT:MODEL [TOOL], or free text
		if tool = t.value; strings.ContainsAny(tool, " :") {
			tool = tool[:strings.IndexAny(tool, " :")]
		}
	}
	return tool, true
}

// Printable makes text from outside fit for one line of a statement: valid UTF-8, no
// control characters, at most 200 bytes.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}

// With returns the list with more addresses, trailers and markers added.
func (l *SignList) With(more SignList) *SignList {
	sum := &SignList{}
	join := func(a, b map[string]string, lower bool) map[string]string {
		m := make(map[string]string, len(a)+len(b))
		for k, v := range a {
			m[k] = v
		}
		for k, v := range b {
			if lower {
				k = strings.ToLower(k)
			}
			m[k] = v
		}
		return m
	}
	sum.Addresses = join(l.Addresses, more.Addresses, true)
	sum.AddressEnds = join(l.AddressEnds, more.AddressEnds, true)
	sum.Trailers = join(l.Trailers, more.Trailers, true)
	sum.Markers = join(l.Markers, more.Markers, false)
	sum.AuthorEnds = join(l.AuthorEnds, more.AuthorEnds, false)
	return sum
}
