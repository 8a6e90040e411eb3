package console

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-dev/countersign/attest/gitfacts"
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
	})
	want := []file{
		{"added", "new.go", ""}, {"deleted", "gone.go", ""}, {"modified", "same.go", ""}, {"mode", "run.sh", "becomes executable"},
		{"modified", "evil", "symbolic link"}, {"added", "lib", "submodule"}, {"named", "claimed.go", ""},
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]counted{{"added", 2}, {"modified", 2}, {"deleted", 1}, {"mode", 1}, {"named", 1}}, kinds); diff != "" {
		t.Error(diff)
	}
}
