package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest/cifacts"
)

// maxSummary is how much of what steps print goes into a summary, in bytes; GitHub
// takes a MiB.
const maxSummary = 256 << 10

// printHead says what was found, and what will be done.
func (r *ciRun) printHead() {
	r.printf("%s\n", r.bold(r.job.CI))
	width := 0
	for _, f := range r.job.Found {
		width = max(width, min(64, utf8.RuneCountInString(f.Value)))
	}
	for _, f := range r.job.Found {
		r.printf("  %-12s %-*s  %s\n", f.Fact, width, printable(f.Value, 200), r.faint(f.From))
	}
	for _, s := range r.steps {
		r.printf("%s %s\n", r.bold("→"), printable(s.what, 200))
		if r.flags.dry {
			r.printf("  %s\n", r.faint("countersign "+shellWords(append(s.args, "--repo", r.flags.repo, "--repository", r.job.Repository))))
		}
	}
	if r.flags.dry && len(r.steps) > 0 {
		r.printf("dry run: nothing was done\n")
	}
}

// report ends a run: for programs, for the CI's pages, and with err.
func (r *ciRun) report(err error) error {
	if len(r.steps) == 0 && !r.json() {
		r.printHead()
		if err == nil {
			r.printf("nothing to attest: %s\n", r.idle())
		}
	}
	if r.json() {
		if werr := r.reportJSON(err); werr != nil {
			return werr
		}
	}
	if path := os.Getenv("GITHUB_STEP_SUMMARY"); path != "" && !r.flags.dry {
		if werr := appendFile(path, r.summary(err)); werr != nil {
			r.notef("countersign: GITHUB_STEP_SUMMARY: %v\n", werr)
		}
	}
	if path := os.Getenv("GITHUB_OUTPUT"); path != "" && !r.flags.dry {
		if werr := appendFile(path, r.outputs()); werr != nil {
			r.notef("countersign: GITHUB_OUTPUT: %v\n", werr)
		}
	}
	if err != nil && r.annotates() {
		r.annotate(err)
	}
	return err
}

// idle says why there is nothing to do.
func (r *ciRun) idle() string {
	if r.job.Kind == cifacts.Push {
		return fmt.Sprintf("%s is neither the default branch nor protected, and no --branch names it", r.job.Target)
	}
	return r.job.Why
}

func (r *ciRun) reportJSON(err error) error {
	type step struct {
		What    string         `json:"what"`
		Command []string       `json:"command"`
		Done    bool           `json:"done"`
		Result  jsontext.Value `json:"result,omitempty"`
		Error   string         `json:"error,omitempty"`
	}
	out := struct {
		CI     string          `json:"ci"`
		Kind   cifacts.Kind    `json:"kind"`
		Found  []cifacts.Found `json:"found"`
		Steps  []step          `json:"steps"`
		DryRun bool            `json:"dryRun"`
		Error  string          `json:"error,omitempty"`
	}{CI: r.job.CI, Kind: r.job.Kind, Found: r.job.Found, Steps: []step{}, DryRun: r.flags.dry}
	for _, s := range r.steps {
		one := step{What: s.what, Command: append([]string{"countersign"}, append(s.args, "--repo", r.flags.repo, "--repository", r.job.Repository)...), Done: s.done && s.err == nil, Result: s.result()}
		if s.err != nil {
			_, one.Error = classify(s.err)
		}
		out.Steps = append(out.Steps, one)
	}
	if err != nil {
		_, out.Error = classify(err)
	}
	return r.writeJSON(out)
}

// verdict is the answer of the gate; empty where none was asked.
func (r *ciRun) gateAnswer() string {
	answer := ""
	for _, s := range r.steps {
		if !s.gate {
			continue
		}
		switch code, _ := classifyOrNone(s.err); {
		case !s.done:
			return "error"
		case code == exitNo:
			return "deny"
		case code != exitYes:
			return "error"
		}
		answer = "allow"
	}
	return answer
}

func classifyOrNone(err error) (int, string) {
	if err == nil {
		return exitYes, ""
	}
	return classify(err)
}

// outputs are what later steps of a workflow can ask: words of ours only.
func (r *ciRun) outputs() string {
	out := "kind=" + string(r.job.Kind) + "\n"
	if answer := r.gateAnswer(); answer != "" {
		out += "verdict=" + answer + "\n"
	}
	return out
}

// summary is a page about the job, in Markdown.
func (r *ciRun) summary(err error) string {
	var b strings.Builder
	title := "nothing to attest"
	if len(r.steps) > 0 {
		title = r.about()
	}
	switch answer := r.gateAnswer(); {
	case answer != "":
		title += ": " + strings.ToUpper(answer)
	case err != nil:
		title += ": failed"
	case len(r.steps) > 0:
		title += ": attested"
	}
	fmt.Fprintf(&b, "### Countersign: %s\n\n| | | from |\n|---|---|---|\n", cell(title))
	for _, f := range r.job.Found {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(f.Fact), cell(f.Value), cell(f.From))
	}
	for _, s := range r.steps {
		fmt.Fprintf(&b, "\n**%s**\n", cell(s.what))
		if text := s.said.String(); text != "" {
			fmt.Fprintf(&b, "\n~~~~text\n%s~~~~\n", fenced(text))
		}
	}
	if _, text := classifyOrNone(err); text != "" {
		fmt.Fprintf(&b, "\n~~~~text\n%s\n~~~~\n", fenced(text))
	}
	return b.String() + "\n"
}

// cell is text that cannot be taken for a piece of Markdown.
func cell(s string) string {
	s = printable(s, 200)
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "`", "\\`", "*", `\*`, "[", `\[`, "]", `\]`, "_", `\_`).Replace(s)
}

// fenced is text that cannot leave its block.
func fenced(s string) string {
	if len(s) > maxSummary {
		s = s[:maxSummary] + "\n…\n"
	}
	return strings.ReplaceAll(s, "~~~~", "~~~ ~")
}

// annotates reports whether the CI reads commands in our output.
func (r *ciRun) annotates() bool {
	switch r.job.CI {
	case cifacts.GitHub, cifacts.Gitea, cifacts.Forgejo:
		return true
	}
	return false
}

// annotate shows the error beside the job. GitHub reads "::error" on either output.
func (r *ciRun) annotate(err error) {
	_, text := classify(err)
	if text == "" {
		text = r.about() + ": " + onlyElse(r.gateAnswer(), "failed")
	}
	text = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
	r.notef("::error title=countersign::%s\n", text)
}

// quoted lets a step print without the CI taking a line of it, such as the title of a
// commit, for a command.
func (r *ciRun) quoted(print func()) {
	if !r.annotates() {
		print()
		return
	}
	token := "countersign-" + rand.Text()
	r.printf("::stop-commands::%s\n", token)
	print()
	r.printf("::%s::\n", token)
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
