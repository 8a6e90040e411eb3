package steps_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/steps"
)

func rules(t testing.TB, texts ...string) []steps.Rule {
	t.Helper()
	var out []steps.Rule
	for _, text := range texts {
		r, err := steps.ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestRulesThatWouldNeverMatchAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "PERMIT *", "ALLOW", "ALLOW a b", "MATCH a WITH NOTHING FROM build", "MATCH a FROM build", "match a with products", "ALLOW [a-z]", "ALLOW a?", `ALLOW a\*`,
		"DISALLOW ./a", "ALLOW a//b", "ALLOW a/", "MATCH a IN b/ WITH PRODUCTS FROM build", "ALLOW ../a/..",
	} {
		if r, err := steps.ParseRule(text); err == nil {
			t.Errorf("%q is read as %q", text, r)
		}
	}
	r := rules(t, "match src/* IN app WITH products IN out FROM Build")[0]
	if from, products := r.From(); from != "Build" || !products {
		t.Errorf("%q %v", from, products)
	}
	if prefix, pattern := r.Reach(); prefix != "app/" || pattern != "src/*" {
		t.Errorf("%q %q", prefix, pattern)
	}
	if from, _ := rules(t, "ALLOW *")[0].From(); from != "" {
		t.Errorf("ALLOW is from %q", from)
	}
	s := steps.Step{Name: "b", Materials: rules(t, "MATCH * WITH PRODUCTS FROM a")}
	if s.Check([]string{"b"}) == nil || s.Check([]string{"a", "b"}) != nil {
		t.Error("a step that is not there is taken, or one that is there is not")
	}
	s.Products = slices.Repeat(rules(t, "ALLOW *"), 101)
	if s.Check([]string{"a", "b"}) == nil {
		t.Error("101 rules are taken")
	}
}

func TestWhatTheRulesSayOfFiles(t *testing.T) {
	f := func(pairs ...string) map[string]string {
		out := make(map[string]string)
		for _, p := range pairs {
			name, content, _ := strings.Cut(p, ":")
			out[name] = attest.DigestOf([]byte(content)).String()
		}
		return out
	}
	built := steps.Files{Materials: f("src/a.go:1"), Products: f("out/bin:x", "log:y")}
	for what, c := range map[string]struct {
		materials, products []string
		files               steps.Files
		want                string // empty: holds
	}{
		"nothing, and no rule":          {nil, nil, steps.Files{}, ""},
		"a file that no rule takes":     {nil, nil, steps.Files{Products: f("a:1")}, "its products: some are taken by no rule"},
		"a material that no rule takes": {[]string{"ALLOW src/*"}, []string{"ALLOW *"}, steps.Files{Materials: f("a:1")}, "its materials: some are taken by no rule"},
		"allowed in a folder below":     {[]string{"ALLOW src/*"}, nil, steps.Files{Materials: f("src/deep/er:1")}, ""},
		"matched":                       {[]string{"MATCH * WITH PRODUCTS IN out FROM build"}, nil, steps.Files{Materials: f("bin:x")}, ""},
		"matched below a prefix":        {[]string{"MATCH * IN dist WITH PRODUCTS IN out FROM build"}, nil, steps.Files{Materials: f("dist/bin:x")}, ""},
		"another content":               {[]string{"MATCH * WITH PRODUCTS IN out FROM build"}, nil, steps.Files{Materials: f("bin:evil")}, "its materials: some are taken by no rule"},
		"another name":                  {[]string{"MATCH * WITH PRODUCTS FROM build"}, nil, steps.Files{Materials: f("bin:x")}, "its materials: some"},
		"matched with materials":        {nil, []string{"MATCH * WITH MATERIALS FROM build"}, steps.Files{Products: f("src/a.go:1")}, ""},
		"created":                       {[]string{"ALLOW *"}, []string{"CREATE *"}, steps.Files{Materials: f("a:1"), Products: f("b:1")}, ""},
		"was there before":              {[]string{"ALLOW *"}, []string{"CREATE *"}, steps.Files{Materials: f("a:1"), Products: f("a:1")}, "its products: some"},
		"modified":                      {[]string{"ALLOW *"}, []string{"MODIFY a"}, steps.Files{Materials: f("a:1"), Products: f("a:2")}, ""},
		"not modified":                  {[]string{"ALLOW *"}, []string{"MODIFY a"}, steps.Files{Materials: f("a:1"), Products: f("a:1")}, "its products: some"},
		"disallowed":                    {nil, []string{"DISALLOW *.so", "ALLOW *"}, steps.Files{Products: f("a:1", "b.so:1")}, "its products: DISALLOW *.so does not hold"},
		"required":                      {nil, []string{"REQUIRE sbom", "ALLOW *"}, steps.Files{Products: f("sbom:1", "a:1")}, ""},
		"required and not there":        {nil, []string{"REQUIRE sbom", "ALLOW *"}, steps.Files{Products: f("a:1")}, "its products: REQUIRE sbom does not hold"},
	} {
		s := steps.Step{Name: "test", Materials: rules(t, c.materials...), Products: rules(t, c.products...)}
		err := steps.Hold(&s, map[string]steps.Files{"build": built, "test": c.files})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if len(built.Products) != 2 || len(built.Materials) != 1 {
		t.Errorf("holding changed the files: %+v", built)
	}
}

func TestALinkThatCanBeReadInTwoWaysIsNotRead(t *testing.T) {
	one := func(name, content string) attest.LinkArtifact {
		return attest.LinkArtifact{Name: name, Digest: map[string]string{"sha256": attest.DigestOf([]byte(content)).String()}}
	}
	for what, c := range map[string]struct {
		materials, products []attest.LinkArtifact
		want                string
	}{
		"plain":                  {[]attest.LinkArtifact{one("a", "1")}, []attest.LinkArtifact{one("a", "2"), one("b", "2")}, ""},
		"a product twice":        {nil, []attest.LinkArtifact{one("a", "1"), one("a", "2")}, "twice"},
		"a material twice":       {[]attest.LinkArtifact{one("a", "1"), one("a", "1")}, []attest.LinkArtifact{one("b", "1")}, "twice"},
		"not clean":              {[]attest.LinkArtifact{one("./a", "1")}, []attest.LinkArtifact{one("b", "1")}, "not a clean path"},
		"up and down":            {nil, []attest.LinkArtifact{one("x/../a", "1")}, "not a clean path"},
		"material of a weak sum": {[]attest.LinkArtifact{{Name: "a", Digest: map[string]string{"sha1": strings.Repeat("a", 40)}}}, []attest.LinkArtifact{one("b", "1")}, "no sha256"},
	} {
		_, err := steps.FilesOf(steps.Link("s", []string{"make"}, c.materials, c.products))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if _, err := steps.FilesOf(&attest.Statement{Predicate: &attest.Release{}}); err == nil {
		t.Error("a release is read as a link")
	}
}

func BenchmarkHold1000Files(b *testing.B) {
	files := steps.Files{Materials: map[string]string{}, Products: map[string]string{}}
	for i := range 1000 {
		files.Products[fmt.Sprintf("src/f%d.go", i)] = attest.DigestOf(fmt.Append(nil, i)).String()
		files.Materials[fmt.Sprintf("src/f%d.go", i)] = files.Products[fmt.Sprintf("src/f%d.go", i)]
	}
	s := steps.Step{Name: "test", Materials: rules(b, "MATCH src/* WITH PRODUCTS FROM build"), Products: rules(b, "MATCH src/* WITH MATERIALS FROM test")}
	for b.Loop() {
		if err := steps.Hold(&s, map[string]steps.Files{"build": files, "test": files}); err != nil {
			b.Fatal(err)
		}
	}
}
