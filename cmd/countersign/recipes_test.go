package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"
)

// composite is what we read of action.yml.
type composite struct {
	Inputs map[string]struct {
		Required bool
		Default  string
	}
	Outputs map[string]struct{ Value string }
	Runs    struct {
		Using string
		Steps []struct {
			ID, Shell, Run string
			Env            map[string]string
		}
	}
}

func readAction(fatal func(string, ...any)) *composite {
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		fatal("%v", err)
	}
	var c composite
	if err := yaml.Unmarshal(text, &c); err != nil {
		fatal("action.yml: %v", err)
	}
	return &c
}

// What a workflow hands over reaches a shell as a variable and never as a piece of its
// program: an expression in a script is where titles and branch names run as commands.
func TestTheActionsScriptsHoldNoExpressions(t *testing.T) {
	c := readAction(t.Fatalf)
	if c.Runs.Using != "composite" || len(c.Runs.Steps) == 0 {
		t.Fatalf("action.yml is no composite action: %+v", c.Runs)
	}
	for _, s := range c.Runs.Steps {
		if strings.Contains(s.Run, "${{") {
			t.Errorf("step %s: an expression in its script", s.ID)
		}
		if s.Shell != "bash" {
			t.Errorf("step %s runs in %q", s.ID, s.Shell)
		}
	}
}

var expression = regexp.MustCompile(`\$\{\{\s*([a-z_.-]+)\s*\}\}`)

// cmdAction runs the steps of action.yml as a runner does: action CODE INPUT=VALUE….
// A value @FILE is the file's content. The environment is the script's; outputs are
// in outputs.txt. The step that ends with CODE must be the last.
func cmdAction(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: action CODE INPUT=VALUE…")
	}
	c := readAction(ts.Fatalf)
	root, err := filepath.Abs("../..")
	ts.Check(err)
	values := map[string]string{"github.action_path": root}
	for name, in := range c.Inputs {
		values["inputs."+name] = in.Default
	}
	for _, kv := range args[1:] {
		name, value, _ := strings.Cut(kv, "=")
		if _, known := c.Inputs[name]; !known {
			ts.Fatalf("the action has no input %s", name)
		}
		if file, ok := strings.CutPrefix(value, "@"); ok {
			value = ts.ReadFile(file)
		}
		values["inputs."+name] = value
	}
	for name, in := range c.Inputs {
		if in.Required && values["inputs."+name] == "" {
			ts.Fatalf("the action needs input %s", name)
		}
	}
	fill := func(s string) string {
		return expression.ReplaceAllStringFunc(s, func(e string) string {
			name := expression.FindStringSubmatch(e)[1]
			value, known := values[name]
			if !known && !strings.HasPrefix(name, "steps.") {
				ts.Fatalf("action.yml names %s, which nothing gives", name)
			}
			return value
		})
	}
	for i, s := range c.Runs.Steps {
		before := make(map[string]string)
		for k, v := range s.Env {
			before[k] = ts.Getenv(k)
			ts.Setenv(k, fill(v))
		}
		output := ts.MkAbs("step-output.txt")
		ts.Check(os.WriteFile(output, nil, 0o644))
		ts.Setenv("GITHUB_OUTPUT", output)
		script := ts.MkAbs("step.sh")
		ts.Check(os.WriteFile(script, []byte(s.Run), 0o644))
		want := "0"
		if i == len(c.Runs.Steps)-1 {
			want = args[0]
		}
		cmdEnds(ts, false, []string{want, "bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script})
		for line := range strings.Lines(ts.ReadFile(output)) {
			k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			values["steps."+s.ID+".outputs."+k] = v
		}
		for k, v := range before {
			ts.Setenv(k, v)
		}
	}
	var out strings.Builder
	for _, name := range sortedKeys(c.Outputs) {
		out.WriteString(name + "=" + fill(c.Outputs[name].Value) + "\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs("outputs.txt"), []byte(out.String()), 0o644))
}

// cmdPipeline runs the script of a job of docs/ci/gitlab.yml: pipeline CODE JOB.
func cmdPipeline(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pipeline CODE JOB")
	}
	text, err := os.ReadFile("../../docs/ci/gitlab.yml")
	ts.Check(err)
	var all map[string]struct {
		Extends   string
		Variables map[string]string
		Script    []string
	}
	var top map[string]any
	ts.Check(yaml.Unmarshal(text, &top))
	delete(top, "variables")
	jobs, err := yaml.Marshal(top)
	ts.Check(err)
	ts.Check(yaml.Unmarshal(jobs, &all))
	job, ok := all[args[1]]
	if !ok || len(job.Script) == 0 {
		ts.Fatalf("there is no job %s", args[1])
	}
	if job.Extends != "" && all[job.Extends].Variables["GIT_DEPTH"] != "0" {
		ts.Fatalf("job %s works on a clone that is cut", args[1])
	}
	script := ts.MkAbs("job.sh")
	ts.Check(os.WriteFile(script, []byte(strings.Join(job.Script, "\n")+"\n"), 0o644))
	cmdEnds(ts, false, []string{args[0], "bash", "-e", "-o", "pipefail", script})
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
