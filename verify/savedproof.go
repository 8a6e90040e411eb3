package verify

import (
	"encoding/base64"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// Kinds of a SavedProof.
const (
	InclusionProof   = "inclusion"
	ConsistencyProof = "consistency"
)

// MaxSavedProof is more than the longest SavedProof, in bytes.
const MaxSavedProof = 256 << 10

// A SavedProof is a proof in a file: that an entry is in a checkpoint, or that one
// checkpoint's log is the beginning of another's. It holds everything that is
// needed to check it but the log's key.
//
// A consistency proof with Root proves the opposite: the tree of the later
// checkpoint has that root at the size of the earlier one, which says another.
type SavedProof struct {
	Kind       string   `json:"countersignProof"` // InclusionProof or ConsistencyProof
	Index      uint64   `json:"index,omitzero"`
	Leaf       string   `json:"leaf,omitzero"` // the canonical log entry, as text
	From       string   `json:"from,omitzero"` // the earlier signed checkpoint
	Root       string   `json:"root,omitzero"` // standard base64
	Hashes     []string `json:"hashes"`        // standard base64
	Checkpoint string   `json:"checkpoint"`    // signed
}

// EncodeHashes spells hashes as a SavedProof has them.
func EncodeHashes(hashes []tlog.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = base64.StdEncoding.EncodeToString(h[:])
	}
	return out
}

// Marshal writes the proof as indented JSON.
func (p *SavedProof) Marshal() ([]byte, error) {
	text, err := json.Marshal(p, jsontext.WithIndent("  "), json.FormatNilSliceAsNull(false))
	if err != nil {
		return nil, fmt.Errorf("write proof: %w", err)
	}
	return append(text, '\n'), nil
}

// ParseSavedProof reads what Marshal writes; members that it does not know, or that
// belong to the other kind, are refused. Nothing is checked yet.
func ParseSavedProof(text []byte) (*SavedProof, error) {
	if len(text) > MaxSavedProof {
		return nil, fmt.Errorf("proof of %d bytes; the limit is %d", len(text), MaxSavedProof)
	}
	var p SavedProof
	if err := json.Unmarshal(text, &p, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	switch {
	case p.Kind == InclusionProof && p.From == "" && p.Root == "":
	case p.Kind == ConsistencyProof && p.Index == 0 && p.Leaf == "":
	default:
		return nil, fmt.Errorf("%.40q is no kind of proof, or one with members of the other kind", p.Kind)
	}
	return &p, nil
}

// Checked is what a SavedProof proves.
type Checked struct {
	Checkpoint tlog.Checkpoint  // the later one
	From       *tlog.Checkpoint // the earlier one, of a consistency proof
}

// Check proves it again from its own bytes and the log's key. Errors begin with a
// Kind; that of two checkpoints that contradict each other wraps a *SplitView.
func (p *SavedProof) Check(log *tlog.Verifier) (Checked, error) {
	hashes := make([]tlog.Hash, len(p.Hashes))
	for i, s := range p.Hashes {
		var err error
		if hashes[i], err = decodeHash(s); err != nil {
			return Checked{}, fmt.Errorf("%s: hash %d: %w", BadProof, i, err)
		}
	}
	cp, err := log.Open([]byte(p.Checkpoint))
	if err != nil {
		return Checked{}, fmt.Errorf("%s: %w", BadCheckpoint, err)
	}
	if p.Kind == InclusionProof {
		if err := tlog.VerifyInclusion(tlog.LeafHash([]byte(p.Leaf)), p.Index, hashes, cp); err != nil {
			return Checked{}, fmt.Errorf("%s: %w", BadProof, err)
		}
		return Checked{Checkpoint: cp}, nil
	}
	from, err := log.Open([]byte(p.From))
	if err != nil {
		return Checked{}, fmt.Errorf("%s: the earlier one: %w", BadCheckpoint, err)
	}
	if p.Root != "" {
		return Checked{}, p.checkContradiction(from, cp, hashes)
	}
	if err := CheckConsistent(from, cp, hashes); err != nil {
		return Checked{}, fmt.Errorf("%s: %w", BadProof, err)
	}
	return Checked{Checkpoint: cp, From: &from}, nil
}

// checkContradiction proves that the later tree holds another tree than the
// earlier checkpoint signed. The error is the *SplitView when it does.
func (p *SavedProof) checkContradiction(from, cp tlog.Checkpoint, hashes []tlog.Hash) error {
	root, err := decodeHash(p.Root)
	if err != nil {
		return fmt.Errorf("%s: root: %w", BadProof, err)
	}
	held := from
	held.Root = root
	if err := tlog.VerifyConsistency(held, cp, hashes); err != nil {
		return fmt.Errorf("%s: %w", BadProof, err)
	}
	if root == from.Root {
		return fmt.Errorf("%s: it is meant to prove a contradiction, and there is none", BadProof)
	}
	return &SplitView{Remembered: from, Seen: cp, Held: root, Why: fmt.Errorf("the later tree has root %s at size %d", root, from.Size)}
}

func decodeHash(s string) (tlog.Hash, error) {
	h, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(h) != tlog.HashSize {
		return tlog.Hash{}, fmt.Errorf("%.80q is not 32 bytes in base64", s)
	}
	return tlog.Hash(h), nil
}
