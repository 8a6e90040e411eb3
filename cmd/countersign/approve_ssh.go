package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/attest/credential"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// sshPen signs approvals with a key in the reviewer's ssh-agent.
type sshPen struct {
	app  *app
	key  *credential.SSHKey
	name string // as the person gave it, or its comment
	sign func(data []byte) (*ssh.Signature, error)
	conn net.Conn
}

func (p *sshPen) id() attest.KeyID { return p.key.ID() }
func (p *sshPen) String() string   { return p.name + " (" + p.key.Fingerprint() + ")" }
func (p *sshPen) close() error     { return p.conn.Close() }

// openAgent finds a key in the running ssh-agent: the one of a .pub file, of a
// fingerprint (SHA256:…), of a comment, or the only one that can be on a roster.
func (a *app) openAgent(which string) (*sshPen, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, wrong("--ssh: no ssh-agent is running (SSH_AUTH_SOCK is not set); start one and add your key: ssh-add")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, wrong("--ssh: cannot reach the ssh-agent: %v", err)
	}
	p, err := chooseKey(agent.NewClient(conn), which)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	p.app, p.conn = a, conn
	return p, nil
}

func chooseKey(a agent.Agent, which string) (*sshPen, error) {
	listed, err := a.List()
	if err != nil {
		return nil, wrong("--ssh: the ssh-agent does not list its keys: %v", err)
	}
	want := which
	if text, err := readFile(which, 64<<10); err == nil {
		k, _, err := credential.ParseSSHLine(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, wrong("--ssh: %s: %v (give the .pub file)", which, err)
		}
		want = k.Fingerprint()
	}
	var found []*agent.Key
	for _, k := range listed {
		if _, err := credential.ParseSSHKey(k.Blob); err != nil {
			continue
		}
		if want == anyKey || ssh.FingerprintSHA256(k) == want || k.Comment == want {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		return nil, wrong("--ssh: %s in the ssh-agent that can be on a roster, and one is needed; name it: --ssh=FILE.pub, a fingerprint or a comment (ssh-add -l)", plural(len(found), "such key"))
	}
	key, err := credential.ParseSSHKey(found[0].Blob)
	if err != nil {
		return nil, wrong("--ssh: %v", err)
	}
	return &sshPen{key: key, name: found[0].Comment, sign: func(data []byte) (*ssh.Signature, error) { return a.Sign(found[0], data) }}, nil
}

// anyKey is what --ssh means without a value.
const anyKey = "agent"

// write signs an approval and logs it.
func (p *sshPen) write(ctx context.Context, l *ledger, st *attest.Statement, what string, f signing) error {
	origin, err := p.app.origin(ctx, l)
	if err != nil {
		return err
	}
	if p.key.Hardware() {
		p.app.notef("touch the security key that holds %s\n", p.name)
	}
	if err := p.assert(origin, st); err != nil {
		return err
	}
	payload, err := st.Marshal()
	if err != nil {
		return err
	}
	if f.print {
		p.app.printf("%s\n", payload)
		return nil
	}
	return p.app.logApproval(ctx, l, payload, what, f.out)
}

// assert signs an approval for a log, and puts the signature into it.
func (p *sshPen) assert(origin string, st *attest.Statement) error {
	a := st.Predicate.(*attest.Approval)
	a.Nonce = rand.Text()
	presented, err := attest.Presented(origin, st)
	if err != nil {
		return err
	}
	input, err := credential.SSHInput(attest.SSHNamespace, credential.SSHHash, presented)
	if err != nil {
		return err
	}
	sig, err := p.sign(input)
	if err != nil {
		return refused("the ssh-agent did not sign: %v", err)
	}
	a.Assertion = &attest.Assertion{SSH: credential.MarshalSSH(p.key, attest.SSHNamespace, sig)}
	parsed, err := credential.ParseSSH(a.Assertion.SSH)
	if err == nil {
		_, err = parsed.Verify(attest.SSHNamespace, presented)
	}
	if err != nil {
		return broken("the ssh-agent's signature: %v", err)
	}
	return nil
}

// logApproval sends an approval with its assertion.
func (a *app) logApproval(ctx context.Context, l *ledger, payload []byte, what, out string) error {
	var done *countersignv1.ApproveResponse
	err := a.patiently(ctx, func(ctx context.Context) error {
		resp, err := l.Approve(ctx, connect.NewRequest(&countersignv1.ApproveRequest{Statement: payload}))
		if err == nil {
			done = resp.Msg
		}
		return err
	})
	if err != nil {
		return err
	}
	if out != "" {
		if err := writeNew(out, done.Result.GetBundle(), 0o644); err != nil {
			return err
		}
	}
	return a.sayLogged(fmt.Sprintf("%s (assurance: %s)", what, done.Assurance), done.Result)
}

// origin is the name of the log, which an assertion is for.
func (a *app) origin(ctx context.Context, l *ledger) (string, error) {
	resp, err := a.checkpoint(ctx, l, 0)
	if err != nil {
		return "", err
	}
	return resp.Origin, nil
}
