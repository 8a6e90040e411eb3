package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/countersign-dev/countersign/attest"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// An outbox is a folder that keeps signed bundles until the log has answered: in
// pending/ what has no receipt yet, in logged/ what has one. An ECDSA signature
// is never the same twice, so a retry that signed again would be another entry;
// one that finds its bundle here sends the same bytes. A crash leaves a bundle in
// pending/, or in both, and the next run sends it again: the log answers with the
// first index.
type outbox struct {
	dir string
	key *attest.PrivateKey
}

// A letter is one bundle on its way into the log.
type letter struct {
	digest attest.Digest // of the payload
	text   []byte        // the bundle, without receipt
	// index is set, and logged true, once the log has answered.
	index     uint64
	logged    bool
	duplicate bool   // the log had it before this run
	log       string // what signed the receipt of a letter that was logged before this run
}

// Limits of one call. The server takes 4 MiB; bundles are base64 already.
const (
	callLetters = 32
	callBytes   = 3 << 20
)

// A courier logs bundles and answers in their order.
type courier func(context.Context, [][]byte) ([]*countersignv1.AppendResult, error)

func openOutbox(dir string, key *attest.PrivateKey) (*outbox, error) {
	for _, sub := range []string{"pending", "logged"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, wrong("--outbox: %v", err)
		}
	}
	// The folder may lie in a working tree; nothing in it is for committing.
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return nil, wrong("--outbox: %v", err)
	}
	return &outbox{dir: dir, key: key}, nil
}

// path names a statement's file by what makes it the same statement: payload and signer.
func (o *outbox) path(state string, d attest.Digest) string {
	return filepath.Join(o.dir, state, d.String()+"-"+o.key.Public().ID().String()[:16]+".json")
}

// enclose returns the letter for a statement: the one that is here already, or a
// new one, signed and kept. found is false for a new one.
func (o *outbox) enclose(st *attest.Statement) (l *letter, found bool, err error) {
	payload, err := st.Marshal()
	if err != nil {
		return nil, false, err
	}
	l = &letter{digest: attest.DigestOf(payload)}
	for _, state := range []string{"logged", "pending"} {
		b, err := o.read(state, l.digest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && state == "pending" && !bytes.Equal(b.Certificate, o.certificate()) {
			continue // it may have expired; the log is asked whether it has the statement
		}
		if err != nil || !bytes.Equal(b.Payload, payload) || o.checkOwn(b) != nil {
			return nil, false, wrong("%s is damaged; remove it and run this again (%v)", o.path(state, l.digest), err)
		}
		if l.logged = state == "logged" && b.Receipt != nil; l.logged {
			l.index, l.duplicate, l.log = b.Receipt.Index, true, logOf(b.Receipt.Checkpoint)
		}
		l.text, err = withoutReceipt(b)
		return l, true, err
	}
	b, err := attest.SignPayload(payload, o.key)
	if err != nil {
		return nil, false, err
	}
	if l.text, err = b.Marshal(); err != nil {
		return nil, false, err
	}
	return l, false, o.write("pending", l.digest, l.text)
}

// logOf names the log that signed a checkpoint: its name, and what its signature line begins
// with, which is the hash of its key.
func logOf(checkpoint []byte) string {
	_, lines, _ := bytes.Cut(checkpoint, []byte("\n\n"))
	line, _, _ := bytes.Cut(lines, []byte("\n"))
	words := bytes.Fields(line)
	if len(words) != 3 {
		return ""
	}
	return string(words[1]) + " " + string(words[2][:min(5, len(words[2]))])
}

func withoutReceipt(b *attest.Bundle) ([]byte, error) {
	bare := &attest.Bundle{Payload: b.Payload, Signature: b.Signature, Hint: b.Hint, Certificate: b.Certificate}
	return bare.Marshal()
}

// certificate is what names the signer; nil for a key of its own.
func (o *outbox) certificate() []byte {
	if c := o.key.Public().Certificate(); c != nil {
		return c.Raw
	}
	return nil
}

// checkOwn reports whether a bundle is by this outbox's signer. An identity has another
// key in each certificate.
func (o *outbox) checkOwn(b *attest.Bundle) error {
	key := o.key.Public()
	if b.Certificate != nil {
		named, err := attest.ParseCertificate(b.Certificate)
		if err != nil {
			return err
		}
		if named.ID() != key.ID() {
			return attest.ErrSignature
		}
		key = named
	}
	return key.Verify(b.PAE(), b.Signature)
}

func (o *outbox) read(state string, d attest.Digest) (*attest.Bundle, error) {
	text, err := os.ReadFile(o.path(state, d))
	if err != nil {
		return nil, err
	}
	return attest.ParseBundle(text)
}

// write puts a file in place as a whole, or not at all.
func (o *outbox) write(state string, d attest.Digest, text []byte) error {
	path := o.path(state, d)
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return broken("keep a signed bundle: %v", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return broken("keep a signed bundle: %v", err)
	}
	return nil
}

// settle records that the log holds a letter: text is the bundle with its receipt.
func (o *outbox) settle(l *letter, text []byte, duplicate bool) error {
	b, err := attest.ParseBundle(text)
	if err != nil {
		return broken("the ledger answered with no bundle: %v", err)
	}
	if b.Receipt == nil || b.Digest() != l.digest {
		return lied("the ledger answered %s with a receipt for another statement, or none", l.digest)
	}
	if err := o.write("logged", l.digest, text); err != nil {
		return err
	}
	l.index, l.logged, l.duplicate = b.Receipt.Index, true, duplicate
	if err := os.Remove(o.path("pending", l.digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return broken("clear the outbox: %v", err)
	}
	return nil
}

// send submits the letters that are not logged yet, a call at a time and in
// order. What a failed call leaves is still pending, and sent by the next run.
func (o *outbox) send(ctx context.Context, carry courier, letters []*letter, sent func(int)) error {
	var call []*letter
	size := 0
	flush := func() error {
		if len(call) == 0 {
			return nil
		}
		err := o.deliver(ctx, carry, call)
		sent(len(call))
		call, size = nil, 0
		return err
	}
	for _, l := range letters {
		if l.logged {
			continue
		}
		if len(call) == callLetters || size+len(l.text) > callBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		call, size = append(call, l), size+len(l.text)
	}
	return flush()
}

// deliver makes one call and settles its letters.
func (o *outbox) deliver(ctx context.Context, carry courier, call []*letter) error {
	bundles := make([][]byte, len(call))
	for i, l := range call {
		bundles[i] = l.text
	}
	results, err := carry(ctx, bundles)
	if err != nil {
		return err
	}
	if len(results) != len(call) {
		return broken("the ledger answered %d bundles with %d results", len(call), len(results))
	}
	for i, r := range results {
		if err := o.settle(call[i], r.Bundle, r.Duplicate); err != nil {
			return err
		}
	}
	return nil
}
