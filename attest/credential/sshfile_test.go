package credential_test

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign-dev/countersign/attest/credential"
	"github.com/countersign-dev/countersign/policy/scenario"
)

func TestSSHFiles(t *testing.T) {
	disk, touch := scenario.NewSSHKey(false).Public.Line(), scenario.NewSSHKey(true).Public.Line()
	for line, want := range map[string]credential.Listed{
		disk:                         {},
		disk + " bob at his desk":    {Comment: "bob at his desk"},
		"no-touch-required " + touch: {NoTouch: true},
		`from="10.0.0.1,10.0.0.2",no-pty ` + disk:                    {},
		"bob@example.com " + disk:                                    {Principals: []string{"bob@example.com"}},
		`"bob@example.com,bob@home.example" ` + disk:                 {Principals: []string{"bob@example.com", "bob@home.example"}},
		`bob@example.com valid-after="202603011200Z" ` + disk:        {Principals: []string{"bob@example.com"}, From: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		`bob@example.com valid-before="20260302" ` + disk:            {Principals: []string{"bob@example.com"}, Until: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)},
		`bob@example.com namespaces="git,` + namespace + `" ` + disk: {Principals: []string{"bob@example.com"}},
		`bob@example.com namespaces="git" ` + disk:                   {Principals: []string{"bob@example.com"}, Skip: "may sign in namespaces"},
		"*@example.com cert-authority " + disk:                       {Principals: []string{"*@example.com"}, Skip: "certificate authority"},
	} {
		all, err := credential.ParseSSHFile([]byte("# keys\n\n"+line+"\n"), namespace, time.UTC)
		if err != nil || len(all) != 1 {
			t.Errorf("%s: %v %v", line, all, err)
			continue
		}
		got := all[0]
		if got.Line != 3 || got.Comment != want.Comment || got.NoTouch != want.NoTouch || !got.From.Equal(want.From) || !got.Until.Equal(want.Until) ||
			strings.Join(got.Principals, " ") != strings.Join(want.Principals, " ") || (got.Skip == "") != (want.Skip == "") || !strings.Contains(got.Skip, want.Skip) || got.Key == nil {
			t.Errorf("%s: %+v", line, got)
		}
	}
	for _, line := range []string{"bob@example.com", "ssh-ed25519 AAAA", `bob@example.com valid-after="soon" ` + disk, "-----BEGIN OPENSSH PRIVATE KEY-----"} {
		if all, err := credential.ParseSSHFile([]byte(line), namespace, time.UTC); err == nil {
			t.Errorf("%s: %+v", line, all)
		}
	}
}

func TestRegistrations(t *testing.T) {
	k, challenge := scenario.NewPasskey(), make([]byte, 32)
	const both = scenario.Touched | scenario.Verified
	made, err := k.Register(challenge, both).Verify(challenge, scenario.Party)
	if err != nil || made.Format != "none" || made.Syncs || !made.Verified {
		t.Fatalf("%+v %v", made, err)
	}
	for name, edit := range map[string]func(*credential.Registration){
		"another key":        func(r *credential.Registration) { r.SPKI = scenario.NewPasskey().SPKI() },
		"no key":             func(r *credential.Registration) { r.SPKI = nil },
		"another credential": func(r *credential.Registration) { r.CredentialID = scenario.NewPasskey().ID },
		"longer credential":  func(r *credential.Registration) { r.CredentialID = append(r.CredentialID, 0) },
		"cut data":           func(r *credential.Registration) { r.AuthenticatorData = r.AuthenticatorData[:60] },
		"cut key": func(r *credential.Registration) {
			r.AuthenticatorData = r.AuthenticatorData[:len(r.AuthenticatorData)-1]
		},
		"another party":   func(r *credential.Registration) { r.AuthenticatorData[0] ^= 1 },
		"nobody verified": func(r *credential.Registration) { r.AuthenticatorData[32] &^= scenario.Verified },
		"no credential":   func(r *credential.Registration) { r.AuthenticatorData[32] &^= 0x40 },
		"an answer":       func(r *credential.Registration) { r.ClientDataJSON = k.Answer(nil, both, nil).ClientDataJSON },
		"too much":        func(r *credential.Registration) { r.AttestationObject = make([]byte, 64<<10) },
	} {
		r := k.Register(challenge, both)
		edit(r)
		if _, err := r.Verify(challenge, scenario.Party); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := k.Register(challenge, both).Verify(make([]byte, 31), scenario.Party); err == nil {
		t.Error("another challenge is taken")
	}
}

func FuzzParseSSHFile(f *testing.F) {
	f.Add([]byte("bob@example.com namespaces=\"git\" " + scenario.NewSSHKey(false).Public.Line()))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, _ := credential.ParseSSHFile(text, namespace, time.UTC)
		for _, l := range all {
			if l.Key == nil && l.Skip == "" {
				t.Errorf("%+v", l)
			}
		}
	})
}
