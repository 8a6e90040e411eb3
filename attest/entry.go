package attest

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
)

// The one kind of leaf: Rekor v2's hashedrekord, whose digest is that of the
// DSSE pre-authentication encoding.
const (
	leafKind    = "hashedrekord"
	leafVersion = "0.0.2"
)

// The canonical leaf (RFC 8785) in pieces: digest, signature and key stand between them.
const (
	leafBeforeDigest = `{"apiVersion":"` + leafVersion + `","kind":"` + leafKind + `","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"`
	leafBeforeSig    = `"},"signature":{"content":"`
	leafBeforeKey    = `","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"`
	leafEnd          = `"}}}}}}`
)

// Leaf is the log entry of a bundle: a pure function of it and its key, so that
// a verifier can build it again. Nothing else (no time, no policy) is in it.
func Leaf(b *Bundle, key *PublicKey) []byte {
	sum := b.PAEDigest()
	return leafOf(sum[:], b.Signature, key.SPKI())
}

func leafOf(digest, signature, spki []byte) []byte {
	out := make([]byte, 0, 512)
	out = append(out, leafBeforeDigest...)
	out = base64.StdEncoding.AppendEncode(out, digest)
	out = append(out, leafBeforeSig...)
	out = base64.StdEncoding.AppendEncode(out, signature)
	out = append(out, leafBeforeKey...)
	out = base64.StdEncoding.AppendEncode(out, spki)
	return append(out, leafEnd...)
}

// LeafParts are what a leaf holds.
type LeafParts struct {
	Digest    Digest // of the DSSE pre-authentication encoding
	Signature []byte
	SPKI      []byte
}

// ParseLeaf reads a leaf. What parses prints the same bytes; anything else is refused.
func ParseLeaf(leaf []byte) (LeafParts, error) {
	var p LeafParts
	rest := leaf
	take := func(before string, until string) ([]byte, bool) {
		r, ok := bytes.CutPrefix(rest, []byte(before))
		if !ok {
			return nil, false
		}
		text, r, ok := bytes.Cut(r, []byte(until[:1]))
		if !ok {
			return nil, false
		}
		rest = append([]byte(until[:1]), r...)
		var v base64Bytes
		if v.UnmarshalText(text) != nil {
			return nil, false
		}
		return v, true
	}
	digest, ok1 := take(leafBeforeDigest, leafBeforeSig)
	sig, ok2 := take(leafBeforeSig, leafBeforeKey)
	spki, ok3 := take(leafBeforeKey, leafEnd)
	if !ok1 || !ok2 || !ok3 || len(digest) != len(p.Digest) || !bytes.Equal(leafOf(digest, sig, spki), leaf) {
		return LeafParts{}, fieldErr("leaf", "is not a canonical %s %s entry with a P-256 key", leafKind, leafVersion)
	}
	p.Digest, p.Signature, p.SPKI = Digest(digest), sig, spki
	return p, nil
}

// Logged is a bundle as the ledger keeps it. All of it but Leaf is kept beside
// the tree, and can be derived again from the bundle and its key.
type Logged struct {
	Leaf     []byte
	Body     []byte   // the bundle, normalised: no receipt, the hint is the key's id
	Keys     []string // search keys, sorted and distinct
	Negative string   // from what it takes credit (NegativeScope); empty for all but negative evidence
	Stamp    []byte   // what the timestamp covers: the signature
}

// Log derives what the ledger keeps of a bundle whose signature was verified
// with key and whose payload parsed as st.
func Log(b *Bundle, st *Statement, key *PublicKey) (Logged, error) {
	normal := &Bundle{Payload: b.Payload, Signature: b.Signature, Hint: key.ID().String()}
	body, err := normal.Marshal()
	if err != nil {
		return Logged{}, err
	}
	return Logged{
		Leaf:     Leaf(b, key),
		Body:     body,
		Keys:     searchKeys(b, st, key),
		Negative: NegativeScope(st.Predicate),
		Stamp:    b.Signature,
	}, nil
}

// Everything is the scope of negative evidence that may take credit from anything.
const Everything = "everything"

// NegativeScope says from what a predicate can take credit: a revocation from
// Everything, a rejected or withdrawn approval from one change (its ChangeKey). It
// is empty for all others: they are no negative evidence.
func NegativeScope(p Predicate) string {
	switch p := p.(type) {
	case *Revocation:
		return Everything
	case *Approval:
		if p.Negative() {
			return ChangeKey(p.Repository, p.Change.ID)
		}
	}
	return ""
}

func searchKeys(b *Bundle, st *Statement, key *PublicKey) []string {
	keys := []string{TypeKey(st.Predicate.Type()), SignerKey(key.ID()), StatementKey(b.Digest())}
	subject := SubjectKey
	if isVerdict(st.Predicate) {
		subject = VerdictKey
	}
	for _, s := range st.Subjects {
		for alg, hex := range s.Digest {
			if _, known := digestSizes[alg]; known {
				keys = append(keys, subject(alg, hex))
			}
		}
	}
	change := func(repository, id string) {
		keys = append(keys, RepositoryKey(repository))
		if id != "" {
			keys = append(keys, ChangeKey(repository, id))
		}
	}
	switch p := st.Predicate.(type) {
	case *Change:
		change(p.Repository, p.Change.ID)
	case *Authorship:
		change(p.Repository, p.Change.ID)
	case *Risk:
		change(p.Repository, p.Change.ID)
	case *Approval:
		change(p.Repository, p.Change.ID)
	case *Admission:
		change(p.Repository, p.Change.ID)
	case *Release:
		change(p.Repository, "")
	case *Decision:
		change(p.Repository, "")
		if p.Verdict == "allow" {
			keys = append(keys, AllowedKey(p.Repository, p.Environment, p.To))
		}
	}
	if scope := NegativeScope(st.Predicate); scope != "" {
		keys = append(keys, NegativeKey(key.ID(), scope))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// SubjectKey finds the statements about a digest.
func SubjectKey(alg, hex string) string { return "subject:" + alg + ":" + hex }

// TypeKey finds the statements of a predicate type.
func TypeKey(predicateType string) string { return "type:" + predicateType }

// SignerKey finds what a key has signed.
func SignerKey(id KeyID) string { return "signer:" + id.String() }

// StatementKey finds the entries of one payload.
func StatementKey(d Digest) string { return "statement:" + d.String() }

// RepositoryKey finds what speaks of a repository.
func RepositoryKey(repository string) string { return "repository:" + repository }

// ChangeKey finds what speaks of a change by its id.
func ChangeKey(repository, id string) string { return "change:" + repository + "#" + id }

// NegativeKey finds what a key has taken back (the scope Everything) or has rejected
// and withdrawn (any other scope).
func NegativeKey(id KeyID, scope string) string {
	if scope == Everything {
		return "revoked-by:" + id.String()
	}
	return "rejected-by:" + id.String()
}

// VerdictKey finds the verdicts (decisions and VSAs) about a digest. They have a key
// of their own because there may be thousands about one release, and none of them
// is evidence for the next verdict about it.
func VerdictKey(alg, hex string) string { return "verdict:" + alg + ":" + hex }

// AllowedKey finds the decisions that allowed a repository's commit into an environment.
func AllowedKey(repository, environment, commit string) string {
	return allowedPrefix + repository + "@" + environment + ":" + commit
}

const allowedPrefix = "allowed:"

// IsAllowedKey reports whether a key is one that AllowedKey makes.
func IsAllowedKey(key string) bool { return strings.HasPrefix(key, allowedPrefix) }

func isVerdict(p Predicate) bool {
	switch p.(type) {
	case *Decision, *VSA:
		return true
	}
	return false
}
