package verify

import (
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/ledger/tlog"
)

// A carrier is an attachment or an import.
type carrier struct {
	bundle    *attest.Bundle
	key       *attest.PublicKey
	statement *attest.Statement
}

// checkCarried opens what an attachment or an import carries, and puts it in the place
// of what carries it: the statement then counts from there, by its own signer. The
// word of the service, which signed around it, is worth nothing here: the signature,
// and the log that vouches for it, are checked again.
func (v *Verifier) checkCarried(it *item) *Refusal {
	c := attest.CarriedBy(it.statement.Predicate)
	if c == nil {
		return nil
	}
	it.carrier = &carrier{it.bundle, it.key, it.statement}
	it.bundle, it.key, it.statement, it.principal = c.Bundle, c.Key, c.Statement, nil
	var signed time.Time
	var r *Refusal
	if i, foreign := it.carrier.statement.Predicate.(*attest.Import); foreign {
		it.vouched, signed, r = v.vouched(i.Bundle, c.Key.Identity().Issuer)
	} else {
		signed, r = v.attached(it, c)
	}
	if r != nil {
		return r
	}
	if signed.After(it.time.Add(Skew)) {
		return refuse(TimeUntrusted, "it was signed at %s, after the log took it at %s", stamp(signed), stamp(it.time))
	}
	if r := v.checkSigner(it); r != nil {
		return r
	}
	if it.principal == nil {
		return refuse(WrongScope, "verdicts are logged by the service itself, and never carried")
	}
	return it.judgeTime()
}

// attached checks the statement of an entry of this log, and returns when it took that.
func (v *Verifier) attached(it *item, c *attest.Carried) (time.Time, *Refusal) {
	receipt := c.Bundle.Receipt
	if err := c.Key.VerifyDigest(c.Bundle.PAEDigest(), c.Bundle.Signature); err != nil {
		return time.Time{}, refuse(BadSignature, "%v", err)
	}
	if !it.fresh && receipt.Index >= it.sealed.Index {
		return time.Time{}, refuse(BadProof, "it is attached to entry %d, which comes after", receipt.Index)
	}
	if receipt.LogID != v.trust.Log.LogID() {
		return time.Time{}, refuse(NotLogged, "its receipt is of the log %s, and not of %s", receipt.LogID, v.trust.Log.Origin())
	}
	if _, err := tlog.VerifyReceipt(v.trust.Log, tlog.LeafHash(c.Bundle.Leaf), receipt); err != nil {
		return time.Time{}, refuse(BadProof, "its receipt: %v", err)
	}
	signed, err := v.trust.Stamp(receipt.Token, c.Bundle.Signature)
	if err != nil {
		return time.Time{}, refuse(TimeUntrusted, "its receipt: %v", err)
	}
	return signed, v.checkCertificate(c.Key, signed)
}
