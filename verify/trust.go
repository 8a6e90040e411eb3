package verify

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/roster"
)

// MaxCheckpointAge bounds a Trust's setting of that name, and DefaultCheckpointAge
// is what a trust folder without one means.
const (
	MaxCheckpointAge     = 10 * 365 * 24 * time.Hour
	DefaultCheckpointAge = 24 * time.Hour
)

const maxChain = 5 // certificates of a timestamp authority

// Trust is where all trust starts: which log, timestamp authority
// and service are believed, and which policy set and owners are the first. It
// comes from a folder of the verifier's own, never from whom it verifies.
type Trust struct {
	Log      *tlog.Verifier // its origin is the log's name
	LogValid roster.Validity
	// Service signs verdicts, and nothing else.
	Service      *attest.PublicKey
	ServiceValid roster.Validity
	// Timestamps are the authority's certificates: its own first, the root last.
	Timestamps []*x509.Certificate
	Genesis    attest.Digest // of the first policy set
	Owners     []string      // roster ids of the people who own the policy
	// UnsafeSingleOwner allows one owner instead of two. Verdicts show it.
	UnsafeSingleOwner bool
	// Witnesses says who has to cosign the log's checkpoints; nil for nobody. Their
	// cosignatures may be as old as MaxCheckpointAge.
	Witnesses *tlog.Policy
	// MaxCheckpointAge is how old the log's state may be in an offline verdict.
	MaxCheckpointAge time.Duration

	// Console signs around approvals that people made with an SSH key or a passkey; nil
	// where there is none.
	Console *Console

	// Authorities are believed about the certificates of those who sign without a
	// key of their own, and Foreign about what was logged elsewhere. Mostly there
	// are none.
	Authorities []CertificateAuthority
	Foreign     []ForeignLog

	// Frozen are the logs of before, and Retired the timestamp authorities of before.
	Frozen  []FrozenLog
	Retired []RetiredAuthority

	authority *authority
}

// Check holds the parts of a Trust against each other, and makes it ready. Each
// error starts with the field's name.
func (t *Trust) Check() error {
	switch {
	case t.Log == nil:
		return errors.New("log: key is missing")
	case t.LogValid.From.IsZero():
		return errors.New("log: from is missing: since when is this key the log's?")
	case t.Service == nil:
		return errors.New("service: publicKey is missing")
	case t.ServiceValid.From.IsZero():
		return errors.New("service: from is missing: since when is this key the service's?")
	case t.Genesis == attest.Digest{}:
		return errors.New("genesis: is missing")
	case len(t.Owners) == 0:
		return errors.New("owners: is empty")
	case len(t.Owners) == 1 && !t.UnsafeSingleOwner:
		return errors.New("owners: names one person; two are needed, or unsafeSingleOwner: true")
	case t.MaxCheckpointAge <= 0 || t.MaxCheckpointAge > MaxCheckpointAge:
		return fmt.Errorf("maxCheckpointAge: %s is not more than zero and at most ten years", t.MaxCheckpointAge)
	case t.Witnesses != nil && !t.Witnesses.Names(t.Log):
		return fmt.Errorf("witnesses: the policy does not name the log %s", t.Log.VKey())
	}
	for i, o := range t.Owners {
		if o == "" || slices.Contains(t.Owners[:i], o) {
			return fmt.Errorf("owners: %q is empty or there twice", o)
		}
	}
	a, err := newAuthority(t.Timestamps)
	if err != nil {
		return fmt.Errorf("timestamps: %w", err)
	}
	t.authority = a
	if err := t.checkFrozen(); err != nil {
		return err
	}
	for i := range t.Authorities {
		if err := t.Authorities[i].check(); err != nil {
			return fmt.Errorf("certificateAuthorities: %w", err)
		}
	}
	for i := range t.Foreign {
		if err := t.Foreign[i].check(); err != nil {
			return fmt.Errorf("foreignLogs: %w", err)
		}
	}
	if t.Console != nil {
		if err := t.Console.check(t); err != nil {
			return fmt.Errorf("console: %w", err)
		}
	}
	return t.distinctKeys()
}

// distinctKeys refuses one key in two roles (attack H13).
func (t *Trust) distinctKeys() error {
	logKey, err := x509.MarshalPKIXPublicKey(t.Log.PublicKey())
	if err != nil {
		return fmt.Errorf("log: key: %w", err)
	}
	stamps := slices.Clone(t.Timestamps)
	for _, r := range t.Retired {
		stamps = append(stamps, r.Certificates...)
	}
	for i, c := range stamps {
		if bytes.Equal(c.RawSubjectPublicKeyInfo, t.Service.SPKI()) {
			return fmt.Errorf("service: publicKey is that of timestamp certificate %d: one key, one voice", i+1)
		}
		if bytes.Equal(c.RawSubjectPublicKeyInfo, logKey) {
			return fmt.Errorf("log: key is that of timestamp certificate %d: one key, one voice", i+1)
		}
	}
	return nil
}
