package planfacts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// lines are operations as a person would write them down.
func lines(f *Facts) string {
	var b strings.Builder
	for _, op := range f.Operations {
		fmt.Fprintf(&b, "%s %s %s", op.Verb, op.Kind, op.Address)
		if op.Module != "" {
			fmt.Fprintf(&b, " in %s", op.Module)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func wantLines(t *testing.T, f *Facts, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimLeft(want, "\n"), lines(f)); diff != "" {
		t.Error(diff)
	}
}

func readPlan(text string) (*Facts, error) {
	return ReadPlan(strings.NewReader(text), attest.TerraformPlan)
}

// A plan that Terraform 1.11.4 made, with some of everything.
func TestARealPlan(t *testing.T) {
	text, err := os.ReadFile("testdata/terraform-1.11.json")
	if err != nil {
		t.Fatal(err)
	}
	f, err := readPlan(string(text))
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, f, `
update terraform_data terraform_data.changed
forget terraform_data terraform_data.forgotten
delete terraform_data terraform_data.gone
update terraform_data terraform_data.imported
import terraform_data terraform_data.imported
create terraform_data terraform_data.made["a b"]
create terraform_data terraform_data.made["c/d"]
move terraform_data terraform_data.new_name
replace terraform_data terraform_data.replaced
replace terraform_data terraform_data.replaced_cbd
create terraform_data module.inner.terraform_data.leaf[0] in module.inner
create terraform_data module.inner.terraform_data.leaf[1] in module.inner
`)
	if f.Tool != (attest.OperationTool{Name: "terraform", Version: "1.11.4"}) {
		t.Errorf("made by %+v", f.Tool)
	}
	// Values of sensitive variables are in the plan, and must not leave it.
	o := &attest.Operation{}
	f.State(o, BuiltinKinds())
	for _, secret := range []string{"correct-horse", "hunter2"} {
		if !strings.Contains(string(text), secret) {
			t.Fatalf("the plan does not hold %q: this proves nothing", secret)
		}
		if strings.Contains(fmt.Sprintf("%+v %+v", f, o), secret) {
			t.Errorf("%q is in the facts", secret)
		}
	}
}

// What Terraform 1.11 without providers cannot make, by the documented format.
const documented = `{
  "format_version": "1.2", "terraform_version": "1.14.0", "planned_values": {},
  "resource_drift": [{"address": "aws_instance.drifted", "change": {"actions": ["update"], "before": {"password": "s3cret"}}}],
  "resource_changes": [
    {"address": "data.aws_ami.late", "mode": "data", "type": "aws_ami", "name": "late", "change": {"actions": ["read"], "after_unknown": {"id": true}}},
    {"address": "aws_instance.web", "mode": "managed", "type": "aws_instance", "name": "web", "deposed": "1a2b3c4d", "change": {"actions": ["delete"]}},
    {"address": "aws_db_instance.a", "previous_address": "aws_db_instance.b", "mode": "managed", "type": "aws_db_instance", "change": {"actions": ["delete", "create"], "before_sensitive": {"password": true}, "before": {"password": "s3cret"}, "importing": null}},
    {"address": "aws_instance.kept", "mode": "managed", "type": "aws_instance", "change": {"actions": ["create", "forget"]}},
    {"address": "aws_instance.same", "mode": "managed", "type": "aws_instance", "change": {"actions": ["no-op"], "importing": {"id": "i-1"}}}
  ],
  "deferred_changes": [{"reason": "provider_config_unknown", "resource_change": {"address": "aws_instance.later"}}],
  "action_invocations": [{"address": "action.aws_lambda_invoke.migrate", "type": "aws_lambda_invoke", "config_values": {"payload": "s3cret"}}],
  "something_new": {"x": 1}, "applyable": true, "complete": false, "errored": false
}`

func TestEveryShapeOfTheFormat(t *testing.T) {
	f, err := readPlan(documented)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, f, `
read data.aws_ami data.aws_ami.late
delete aws_instance aws_instance.web (deposed 1a2b3c4d)
replace aws_db_instance aws_db_instance.a
move aws_db_instance aws_db_instance.a
create aws_instance aws_instance.kept
forget aws_instance aws_instance.kept
import aws_instance aws_instance.same
invoke action.aws_lambda_invoke action.aws_lambda_invoke.migrate
`)
	if f.Drift != 1 || f.Deferred != 1 {
		t.Errorf("drift %d, deferred %d", f.Drift, f.Deferred)
	}
}

func TestSpoiledPlansAreRefused(t *testing.T) {
	for name, c := range map[string][2]string{
		"the next major version":   {`"1.2"`, `"2.0"`},
		"no version":               {`"format_version": "1.2", `, ``},
		"a state":                  {`"planned_values": {}`, `"values": {}`},
		"a failed plan":            {`"errored": false`, `"errored": true`},
		"an unknown action":        {`["read"]`, `["recreate"]`},
		"no action":                {`["read"]`, `[]`},
		"actions in an odd order":  {`["create", "forget"]`, `["create", "update"]`},
		"an unknown mode":          {`"mode": "data"`, `"mode": "virtual"`},
		"no address":               {`"address": "aws_instance.kept", `, ``},
		"an endless address":       {`"aws_instance.kept"`, `"` + strings.Repeat("a", maxAddress+1) + `"`},
		"changes that are no list": {`"resource_changes": [`, `"resource_changes": {}, "other": [`},
		"a list twice":             {`"deferred_changes": [`, `"resource_changes": [], "deferred_changes": [`},
		"actions twice":            {`{"actions": ["read"]`, `{"actions": ["no-op"], "actions": ["read"]`},
		"more behind it":           {`"errored": false` + "\n}", `"errored": false` + "\n}{}"},
		"no object":                {documented, `[]`},
		"nothing":                  {documented, ``},
		"cut off":                  {"\n}", ""},
		"invalid UTF-8":            {`s3cret`, "\xff"},
	} {
		spoiled := strings.Replace(documented, c[0], c[1], 1)
		if spoiled == documented {
			t.Fatalf("%s: nothing is spoiled", name)
		}
		_, err := readPlan(spoiled)
		var own *Error
		if !errors.As(err, &own) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
	}
}

// bigPlan writes a plan of n resources with values of some size.
func bigPlan(n, size int) io.Reader {
	r, w := io.Pipe()
	go func() {
		fmt.Fprint(w, `{"format_version":"1.2","planned_values":{},"resource_changes":[`)
		for i := range n {
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			if _, err := fmt.Fprintf(w, `{"address":"aws_instance.web[%d]","mode":"managed","type":"aws_instance","name":"web","index":%d,"change":{"actions":["create"],"before":null,"after":{"user_data":"%s"}}}`,
				i, i, strings.Repeat("x", size)); err != nil {
				return
			}
		}
		fmt.Fprint(w, `]}`)
		w.Close()
	}()
	return r
}

func TestTenThousandResourcesAreReadInASecond(t *testing.T) {
	begin := time.Now()
	f, err := ReadPlan(bigPlan(10_000, 3000), attest.TerraformPlan)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Operations) != 10_000 {
		t.Errorf("%d operations", len(f.Operations))
	}
	t.Logf("30 MiB in %s", time.Since(begin))
}

func TestPlansHaveALimit(t *testing.T) {
	_, err := ReadPlan(bigPlan(1000, MaxPlanJSON/1000), attest.TerraformPlan)
	if err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("%v", err)
	}
	for n, fits := range map[int]bool{MaxResources: true, MaxResources + 1: false} {
		if _, err := ReadPlan(bigPlan(n, 1), attest.TerraformPlan); (err == nil) != fits {
			t.Errorf("%d resources: %v", n, err)
		}
	}
}

const kubectlDiff = `diff -u -N /tmp/LIVE-1/apps.v1.Deployment.shop.web /tmp/MERGED-2/apps.v1.Deployment.shop.web
--- /tmp/LIVE-1/apps.v1.Deployment.shop.web	2026-03-01 12:00:00.000000000 +0000
+++ /tmp/MERGED-2/apps.v1.Deployment.shop.web	2026-03-01 12:00:00.000000000 +0000
@@ -6,3 +6,3 @@
 spec:
-  replicas: 2
+  replicas: 3
 # diff -u -N /tmp/LIVE-1/v1.Pod.shop.x /tmp/MERGED-2/v1.Pod.shop.x
@@ -20 +20,2 @@
-  a: b
+  a: c
+  d: e
diff -u -N /tmp/LIVE-1/v1.Secret.shop.token /tmp/MERGED-2/v1.Secret.shop.token
--- /tmp/LIVE-1/v1.Secret.shop.token	2026-03-01 12:00:00.000000000 +0000
+++ /tmp/MERGED-2/v1.Secret.shop.token	2026-03-01 12:00:00.000000000 +0000
@@ -0,0 +1,2 @@
+data:
+  password: '***'
diff -u -N /tmp/LIVE-1/v1.Namespace..old.shop /tmp/MERGED-2/v1.Namespace..old.shop
--- /tmp/LIVE-1/v1.Namespace..old.shop	2026-03-01 12:00:00.000000000 +0000
+++ /tmp/MERGED-2/v1.Namespace..old.shop	2026-03-01 12:00:00.000000000 +0000
@@ -1,1 +0,0 @@
-kind: Namespace
\ No newline at end of file
diff -u -N /tmp/LIVE-1/rbac.authorization.k8s.io.v1.ClusterRole..admin /tmp/MERGED-2/rbac.authorization.k8s.io.v1.ClusterRole..admin
--- /tmp/LIVE-1/rbac.authorization.k8s.io.v1.ClusterRole..admin
+++ /tmp/MERGED-2/rbac.authorization.k8s.io.v1.ClusterRole..admin
@@ -1 +1 @@
-verbs: [get]
+verbs: ["*"]
`

const dryRun = `namespace/shop unchanged (server dry run)
deployment.apps/web configured (server dry run)
service/web created (server dry run)
configmap/web serverside-applied (server dry run)
persistentvolumeclaim/data pruned (server dry run)
statefulset.apps/db replaced (server dry run)
pod "web-1" deleted (server dry run)
pod "web-2" deleted from shop namespace (server dry run)
`

func TestWhatKubectlSays(t *testing.T) {
	f, err := ReadKubernetes(strings.NewReader(kubectlDiff))
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, f, `
update kubernetes/deployment.apps deployment.apps/shop/web in shop
create kubernetes/secret secret/shop/token in shop
delete kubernetes/namespace namespace/old.shop
update kubernetes/clusterrole.rbac.authorization.k8s.io clusterrole.rbac.authorization.k8s.io/admin
`)
	if f, err = ReadKubernetes(strings.NewReader(dryRun)); err != nil {
		t.Fatal(err)
	}
	wantLines(t, f, `
update kubernetes/deployment.apps deployment.apps/web
create kubernetes/service service/web
update kubernetes/configmap configmap/web
delete kubernetes/persistentvolumeclaim persistentvolumeclaim/data
replace kubernetes/statefulset.apps statefulset.apps/db
delete kubernetes/pod pod/web-1
delete kubernetes/pod pod/shop/web-2 in shop
`)
	for name, text := range map[string]string{
		"a dry run of the client":  "deployment.apps/web configured (dry run)\n",
		"what was really done":     "deployment.apps/web configured\n",
		"an error":                 dryRun + "Error from server (Forbidden): nope\n",
		"two objects in one":       strings.Replace(kubectlDiff, "/tmp/MERGED-2/v1.Secret.shop.token\n", "/tmp/MERGED-2/v1.Secret.shop.other\n", 1),
		"another program":          strings.Replace(kubectlDiff, "diff -u -N", "diff --color", 1),
		"no name":                  strings.ReplaceAll(kubectlDiff, "v1.Secret.shop.token", "secret"),
		"a hunk that is cut off":   kubectlDiff[:strings.Index(kubectlDiff, "+  replicas")],
		"a hunk that counts wrong": strings.Replace(kubectlDiff, "@@ -6,3 +6,3 @@", "@@ -6,2 +6,2 @@", 1),
		"no hunk":                  kubectlDiff[:strings.Index(kubectlDiff, "@@")],
		"one line, too long":       strings.Repeat("x", MaxDiff+1),
	} {
		_, err := ReadKubernetes(strings.NewReader(text))
		var own *Error
		if !errors.As(err, &own) || !strings.Contains(own.What, "line") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const manifest = `tool: {name: flyway, version: "10.1"}
operations:
  - {verb: delete, kind: postgres/table, resources: [orders.archive], module: orders}
  - {verb: update, kind: postgres/table, resources: [orders.open, orders.paid]}
`

func TestManifests(t *testing.T) {
	f, err := ReadManifest("operation.yaml", []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, f, `
delete postgres/table orders.archive in orders
update postgres/table orders.open
update postgres/table orders.paid
`)
	for name, c := range map[string][2]string{
		"an unknown verb":     {"verb: delete", "verb: drop"},
		"an unknown key":      {"module: orders", "modul: orders"},
		"no kind":             {"kind: postgres/table, resources: [orders.archive]", "resources: [orders.archive]"},
		"no resources":        {"[orders.archive]", "[]"},
		"a resource twice":    {"[orders.open, orders.paid]", "[orders.open, orders.open]"},
		"no tool":             {`tool: {name: flyway, version: "10.1"}`, ""},
		"no operations":       {manifest, "tool: {name: flyway}"},
		"a value that is one": {"orders.archive]", "orders.archive], value: secret"},
	} {
		_, err := ReadManifest("operation.yaml", []byte(strings.Replace(manifest, c[0], c[1], 1)))
		var placed *strictyaml.Error
		if !errors.As(err, &placed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKindsAreStatefulUnlessKnownNotToBe(t *testing.T) {
	k := BuiltinKinds()
	for kind, stateful := range map[string]bool{
		"aws_db_instance": true, "aws_s3_bucket": true, "aws_s3_bucket_policy": false, "aws_instance": false, "never_seen": true,
		"kubernetes/namespace": true, "kubernetes/deployment.apps": false, "kubernetes/persistentvolumeclaim": true, "data.aws_ami": false,
		"aws_elastic_beanstalk_environment": true, "postgres/table": true, "random_password": true,
	} {
		if k.Stateful(kind) != stateful {
			t.Errorf("%s: stateful is %v", kind, !stateful)
		}
	}
	root, err := strictyaml.Parse("x", []byte("{stateless: [never_*, aws_db_instance], operator: [never_seen]}"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := ParseKinds(root)
	if err != nil {
		t.Fatal(err)
	}
	k = k.With(more)
	if k.Stateful("never_seen") || !k.Stateful("aws_db_instance") {
		t.Error("a policy can say what is stateless, and not that what is stateful is")
	}
	for _, c := range []struct {
		verb                 attest.Verb
		kind                 string
		reversible, operator bool
	}{
		{attest.VerbDelete, "aws_instance", false, false},
		{attest.VerbReplace, "aws_instance", true, false},
		{attest.VerbReplace, "aws_db_instance", false, false},
		{attest.VerbUpdate, "aws_db_instance", true, false},
		{attest.VerbCreate, "aws_iam_role", true, true},
		{attest.VerbRead, "aws_iam_role", true, false},
		{attest.VerbForget, "aws_instance", true, true},
		{attest.VerbImport, "aws_instance", true, true},
		{attest.VerbInvoke, "action.x", false, true},
		{attest.VerbMove, "never_seen", true, true},
	} {
		if got := k.Judge(attest.ResourceOperation{Verb: c.verb, Kind: c.kind}); got.Reversible != c.reversible || k.OperatorLevel(c.verb, c.kind) != c.operator {
			t.Errorf("%s %s: %+v", c.verb, c.kind, got)
		}
	}
}

// tool writes a program that stands in for Terraform.
func tool(t *testing.T, script string) *Tool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "terraform")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	found, err := FindTool(path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheToolReadsExactlyTheBytesOfTheDigest(t *testing.T) {
	plan := filepath.Join(t.TempDir(), "plan.tfplan")
	if err := os.WriteFile(plan, []byte(documented), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TF_CLI_ARGS_show", "-bogus")
	f, digest, err := tool(t, `test -z "$TF_CLI_ARGS_show" && test "$1 $2 $3" = "show -json -no-color" && echo >> `+plan+` && cat "$4"`).Derive(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if digest != attest.DigestOf([]byte(documented)) || len(f.Operations) != 8 {
		t.Errorf("%s: %d operations", digest, len(f.Operations))
	}
	for name, script := range map[string]string{
		"it fails":             "echo 'no schema' >&2; exit 1",
		"it fails without why": "exit 1",
		"it prints nothing":    "exit 0",
		"it prints too much":   `printf '{"x":"'; yes | tr -d '\n'`,
		"it fails afterwards":  `cat "$4"; echo oops >&2; exit 1`,
	} {
		_, _, err := tool(t, script).Derive(t.Context(), plan)
		var own *Error
		if !errors.As(err, &own) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := FindTool("no-such-tool", "."); !errors.Is(err, ErrNoTool) {
		t.Error(err)
	}
}

// With a real Terraform where there is one: the plan of testdata's kind, made here.
func TestARealTerraformIsAsked(t *testing.T) {
	if _, err := exec.LookPath("terraform"); err != nil {
		t.Skip("terraform is not installed")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte("resource \"terraform_data\" \"a\" { input = \"s3cret\" }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-no-color"}, {"plan", "-no-color", "-out", "plan.tfplan"}} {
		c := exec.Command("terraform", args...)
		c.Dir, c.Env = dir, append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+os.DevNull)
		if out, err := c.CombinedOutput(); err != nil {
			t.Skipf("terraform %s: %v: %s", args[0], err, out)
		}
	}
	plan := filepath.Join(dir, "plan.tfplan")
	if !IsPlanFile(plan) || IsPlanFile(filepath.Join(dir, "main.tf")) {
		t.Error("a saved plan is not told from another file")
	}
	found, err := FindTool("", dir)
	if err != nil {
		t.Fatal(err)
	}
	f, digest, err := found.Derive(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, f, "create terraform_data terraform_data.a\n")
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	if digest != attest.DigestOf(text) {
		t.Error("the digest is not the file's")
	}
}

func FuzzReadPlan(f *testing.F) {
	f.Add([]byte(documented))
	f.Fuzz(func(t *testing.T, text []byte) {
		facts, err := ReadPlan(bytes.NewReader(text), attest.TerraformPlan)
		checkFacts(t, facts, err)
	})
}

func FuzzReadKubernetes(f *testing.F) {
	f.Add([]byte(kubectlDiff))
	f.Add([]byte(dryRun))
	f.Fuzz(func(t *testing.T, text []byte) {
		facts, err := ReadKubernetes(bytes.NewReader(text))
		checkFacts(t, facts, err)
	})
}

func FuzzReadManifest(f *testing.F) {
	f.Add([]byte(manifest))
	f.Fuzz(func(t *testing.T, text []byte) {
		facts, err := ReadManifest("operation.yaml", text)
		checkFacts(t, facts, err)
	})
}

// checkFacts wants an error, or facts that make a statement whose operations are
// exactly those.
func checkFacts(t *testing.T, facts *Facts, err error) {
	if err != nil {
		return
	}
	o := &attest.Operation{
		Repository: "example.com/a/b", Environment: "e", Derived: attest.Claimed, Origin: attest.OriginUnknown,
		DeclaredBy: "x", DeclaredAt: attest.At(time.Unix(1, 0)),
	}
	facts.State(o, BuiltinKinds())
	o.Tool = attest.OperationTool{Name: "x"}
	total := o.Omitted
	for _, g := range o.Operations {
		total += len(g.Resources)
	}
	if total > len(facts.Operations) {
		t.Fatalf("%d operations became %d", len(facts.Operations), total)
	}
	if err := o.Validate(); err != nil && !strings.Contains(err.Error(), "predicate.operations") {
		t.Fatal(err)
	}
}
