// Command securitykey plays a security key for the demo: an ssh-agent with one key of the
// kind that proves a touch, which it makes when it starts. It touches itself. So it shows
// what such an approval is, and why owners vouch only for hardware that they have seen.
//
//	securitykey SOCKET PUBLIC-KEY-FILE
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	comment     = "dev-9f384c"
	application = "ssh:"
	touched     = 0x01 // the flag of a user's presence
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "securitykey:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: securitykey SOCKET PUBLIC-KEY-FILE")
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	k := &key{Agent: agent.NewKeyring(), private: private, blob: ssh.Marshal(struct{ Type, Key, Application string }{ssh.KeyAlgoSKED25519, string(public), application})}
	parsed, err := ssh.ParsePublicKey(k.blob)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", args[0])
	if err != nil {
		return err
	}
	line := ssh.MarshalAuthorizedKey(parsed)
	if err := os.WriteFile(args[1], fmt.Appendf(line[:len(line)-1], " %s\n", comment), 0o644); err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_ = agent.ServeAgent(k, conn) // it ends with the connection
		}()
	}
}

// key is an agent that holds one key, and lists and signs.
type key struct {
	agent.Agent // for what else may be asked: empty
	blob        []byte
	private     ed25519.PrivateKey
	counter     atomic.Uint32
}

// List implements agent.Agent.
func (k *key) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: ssh.KeyAlgoSKED25519, Blob: k.blob, Comment: comment}}, nil
}

// Sign implements agent.Agent, as OpenSSH's PROTOCOL.u2f says.
func (k *key) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	app, sum := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	said := binary.BigEndian.AppendUint32([]byte{touched}, k.counter.Add(1))
	return &ssh.Signature{
		Format: ssh.KeyAlgoSKED25519, Rest: said,
		Blob: ed25519.Sign(k.private, append(append(app[:], said...), sum[:]...)),
	}, nil
}
