package gitfacts

import (
	"errors"
	"strings"

	"github.com/countersign-dev/countersign/attest/credential"
)

// ErrUnsigned says that a commit carries no SSH signature.
var ErrUnsigned = errors.New("commit carries no SSH signature")

// SSHSigner verifies a commit's SSH signature (namespace "git") and returns the id of
// the key that made it, as credential.SSHKey has it. Whose key that is, and whether it
// counts, is for a roster to say.
func (c *Commit) SSHSigner() (id [32]byte, err error) {
	if !strings.HasPrefix(c.Signature, "-----BEGIN SSH SIGNATURE-----") {
		return id, ErrUnsigned
	}
	sig, err := credential.ParseSSHArmored([]byte(c.Signature + "\n"))
	if err != nil {
		return id, err
	}
	if _, err := sig.Verify("git", c.Signed); err != nil {
		return id, err
	}
	return sig.Key.ID(), nil
}
