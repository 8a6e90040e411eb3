package verify

import (
	"encoding/hex"
	"math"

	"github.com/countersign-dev/countersign/ledger/tlog"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// frozen reads a log of before: its key, its time and its last checkpoint.
func (p *trustParser) frozen(item strictyaml.Node) error {
	var f FrozenLog
	origin := ""
	err := item.Fields([]string{"origin", "key", "from", "until", "size", "root"}, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "size":
			var n int
			n, err = v.Int(1, math.MaxInt)
			f.Size = uint64(n)
			return err
		case "from", "until":
			return validity(&f.Validity, key, v)
		}
		text, err := v.Text()
		if err != nil {
			return err
		}
		switch key {
		case "origin":
			origin = text
		case "key":
			if f.Log, err = tlog.NewVerifier(text); err != nil {
				return v.Errorf("%v", err)
			}
		case "root":
			h, err := hex.DecodeString(text)
			if err != nil || len(h) != tlog.HashSize || hex.EncodeToString(h) != text {
				return v.Errorf("root: %.80q is not %d bytes in small hexadecimal letters", text, tlog.HashSize)
			}
			f.Root = tlog.Hash(h)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if f.Log == nil || f.Log.Origin() != origin {
		return item.Errorf("frozen: key is missing, or origin %q is not the key's", origin)
	}
	p.trust.Frozen = append(p.trust.Frozen, f)
	return nil
}

// retired reads a timestamp authority of before.
func (p *trustParser) retired(item strictyaml.Node) error {
	var r RetiredAuthority
	err := item.Fields([]string{"certificates", "until"}, func(key string, v strictyaml.Node) (err error) {
		if key == "until" {
			r.Until, err = v.Time()
		} else {
			r.Certificates, err = p.chain(v)
		}
		return err
	})
	p.trust.Retired = append(p.trust.Retired, r)
	return err
}
