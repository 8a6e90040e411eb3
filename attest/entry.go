package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// The one kind of leaf: Rekor v2's hashedrekord, whose digest is that of the
// DSSE pre-authentication encoding.
const (
	leafKind    = "hashedrekord"
	leafVersion = "0.0.2"
)

// The canonical leaf (RFC 8785) in pieces: digest, signature and key or certificate
// stand between them.
const (
	leafBeforeDigest      = `{"apiVersion":"` + leafVersion + `","kind":"` + leafKind + `","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"`
	leafBeforeSig         = `"},"signature":{"content":"`
	leafBeforeVerifier    = `","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","`
	leafBeforeKey         = leafBeforeVerifier + `publicKey":{"rawBytes":"`
	leafBeforeCertificate = leafBeforeVerifier + `x509Certificate":{"rawBytes":"`
	leafEnd               = `"}}}}}}`
)

// LeafParts are what a leaf holds.
type LeafParts struct {
	Digest    Digest // of the DSSE pre-authentication encoding, or of whatever was signed
	Signature []byte
	// SPKI is the key that signed, or else Certificate the one of who did; DER.
	SPKI, Certificate []byte
}

// PartsOf are the parts of the leaf of a bundle that was signed with key.
func PartsOf(b *Bundle, key *PublicKey) LeafParts {
	p := LeafParts{Digest: b.PAEDigest(), Signature: b.Signature}
	p.by(key)
	return p
}

func (p *LeafParts) by(key *PublicKey) {
	if key.certificate != nil {
		p.Certificate = key.certificate.Raw
	} else {
		p.SPKI = key.SPKI()
	}
}

// Equal reports whether two leaves hold the same, and so are the same.
func (p LeafParts) Equal(o LeafParts) bool {
	return p.Digest == o.Digest && bytes.Equal(p.Signature, o.Signature) && bytes.Equal(p.SPKI, o.SPKI) && bytes.Equal(p.Certificate, o.Certificate)
}

// Key parses the key or the certificate.
func (p LeafParts) Key() (*PublicKey, error) {
	if p.Certificate != nil {
		return ParseCertificate(p.Certificate)
	}
	return ParsePublicKey(p.SPKI)
}

// Leaf is the log entry of a bundle: a pure function of it and its key, so that
// a verifier can build it again. Nothing else (no time, no policy) is in it.
func Leaf(b *Bundle, key *PublicKey) []byte { return PartsOf(b, key).Leaf() }

// Leaf writes the parts down.
func (p LeafParts) Leaf() []byte {
	out := make([]byte, 0, 512+2*len(p.Certificate))
	out = append(out, leafBeforeDigest...)
	out = base64.StdEncoding.AppendEncode(out, p.Digest[:])
	out = append(out, leafBeforeSig...)
	out = base64.StdEncoding.AppendEncode(out, p.Signature)
	if p.Certificate != nil {
		out = append(out, leafBeforeCertificate...)
		out = base64.StdEncoding.AppendEncode(out, p.Certificate)
	} else {
		out = append(out, leafBeforeKey...)
		out = base64.StdEncoding.AppendEncode(out, p.SPKI)
	}
	return append(out, leafEnd...)
}

// ParseLeaf reads a leaf. What parses prints the same bytes; anything else is refused.
func ParseLeaf(leaf []byte) (LeafParts, error) {
	var p LeafParts
	rest := leaf
	take := func(before string) []byte {
		r, begins := bytes.CutPrefix(rest, []byte(before))
		end := bytes.IndexByte(r, '"')
		var v base64Bytes
		if !begins || end < 0 || v.UnmarshalText(r[:end]) != nil {
			return nil
		}
		rest = r[end:]
		return v
	}
	digest := take(leafBeforeDigest)
	p.Signature = take(leafBeforeSig)
	if bytes.HasPrefix(rest, []byte(leafBeforeCertificate)) {
		p.Certificate = take(leafBeforeCertificate)
	} else {
		p.SPKI = take(leafBeforeKey)
	}
	if len(digest) == len(p.Digest) {
		p.Digest = Digest(digest)
	}
	if !bytes.Equal(p.Leaf(), leaf) {
		return LeafParts{}, fieldErr("leaf", "is not a canonical %s %s entry with a P-256 key or a certificate", leafKind, leafVersion)
	}
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

// LogHash derives what the ledger keeps of a leaf whose statement it has not seen: it
// is found by who signed, and says nothing.
func LogHash(p LeafParts, key *PublicKey) Logged {
	return Logged{Leaf: p.Leaf(), Keys: []string{SignerKey(key.ID())}, Stamp: p.Signature}
}

// Log derives what the ledger keeps of a bundle whose signature was verified
// with key and whose payload parsed as st.
func Log(b *Bundle, st *Statement, key *PublicKey) (Logged, error) {
	normal := Normal(b, key)
	body, err := normal.Marshal()
	if err != nil {
		return Logged{}, err
	}
	logged := Logged{Leaf: Leaf(b, key), Body: body, Stamp: b.Signature}
	// What carries another statement is found, and takes credit, as that one.
	carried := CarriedBy(st.Predicate)
	if carried == nil {
		logged.Keys, logged.Negative = searchKeys(b, st, key), NegativeScope(st.Predicate)
		return logged, nil
	}
	logged.Keys, logged.Negative = searchKeys(carried.Bundle, carried.Statement, carried.Key), NegativeScope(carried.Statement.Predicate)
	logged.Keys = append(logged.Keys, TypeKey(st.Predicate.Type()))
	if carried.Bundle.Receipt != nil {
		logged.Keys = append(logged.Keys, AttachedKey(carried.Bundle.Receipt.Index))
	}
	slices.Sort(logged.Keys)
	logged.Keys = slices.Compact(logged.Keys)
	return logged, nil
}

// Normal is a bundle as the ledger keeps it: without a receipt, and with who signed
// in the one way in which we write it.
func Normal(b *Bundle, key *PublicKey) *Bundle {
	n := &Bundle{Payload: b.Payload, Signature: b.Signature}
	if key.certificate != nil {
		n.Certificate = key.certificate.Raw
	} else {
		n.Hint = key.ID().String()
	}
	return n
}

// Everything is the scope of negative evidence that may take credit from anything,
// PolicyChanges that of policy sets after the first, Incidents that of what is said about
// incidents, and Snapshots that of the figures of cohorts: nobody can show a log and leave one of them out. Nothing is found
// under these words as search keys; asking for one says that its links are wanted.
const (
	Everything    = "everything"
	PolicyChanges = "policy"
	Incidents     = "incidents"
	Snapshots     = "snapshots"
)

// NegativeScope says from what a predicate can take credit: a revocation or a freeze from
// Everything, and so what is said of broken glass and each verdict that uses it (the next
// one may be refused for it) and gaps, a rejected or withdrawn approval from one change (its ChangeKey) or one
// plan (its SubjectKey), a policy set after the first from everything that the set before
// would have allowed (PolicyChanges), an incident from whatever a rule holds against it
// (Incidents; its review is with it), and so do figures (Snapshots). It is empty for all others: they are no
// negative evidence.
func NegativeScope(p Predicate) string {
	switch p := p.(type) {
	case *Revocation, *Freeze, *BreakGlass, *Gap:
		return Everything
	case *Decision:
		if p.BreakGlass != "" {
			return Everything
		}
	case *Incident, *DeepDive:
		return Incidents
	case *CohortSnapshot:
		return Snapshots
	case *Policy:
		if p.Supersedes != "" {
			return PolicyChanges
		}
	case *Approval:
		switch {
		case !p.Negative():
		case p.About != nil:
			return SubjectKey("sha256", p.About.Plan)
		default:
			return ChangeKey(p.Repository, p.Change.ID)
		}
	}
	return ""
}

// SignerOf is whose word a statement is that was signed with key: the key's, or, for
// an approval with an assertion, that of whoever made the assertion.
func SignerOf(st *Statement, key *PublicKey) KeyID {
	if a, ok := st.Predicate.(*Approval); ok && a.Assertion != nil {
		if id, err := a.Assertion.KeyID(); err == nil { // Validate parsed it
			return id
		}
	}
	return key.ID()
}

func searchKeys(b *Bundle, st *Statement, key *PublicKey) []string {
	signer := SignerOf(st, key)
	keys := []string{TypeKey(st.Predicate.Type()), SignerKey(signer), StatementKey(b.Digest())}
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
		if w := p.WitnessedBy; w != nil {
			keys = append(keys, SignerKey(AccountID(w.Forge, w.Account)))
		}
	case *Admission:
		change(p.Repository, p.Change.ID)
	case *Release:
		change(p.Repository, "")
	case *Operation:
		change(p.Repository, "")
	case *AgentPermissions:
		keys = append(keys, AgentKey(p.Agent))
	case *Decision:
		change(p.Repository, "")
		if p.BreakGlass != "" {
			keys = append(keys, CaseKey(p.BreakGlass))
		}
		if p.Verdict == VerdictAllow && p.Plan == "" {
			keys = append(keys, AllowedKey(p.Repository, p.Environment, p.To))
		}
	case *Gap:
		keys = append(keys, RepositoryKey(p.Repository))
	case *BreakGlass:
		if p.Action == GlassRequest {
			keys = append(keys, RepositoryKey(p.Repository))
		} else {
			keys = append(keys, CaseKey(p.Case))
		}
	case *Incident:
		for _, c := range p.Causes {
			keys = append(keys, CausedByKey(c.Digest))
		}
	}
	if scope := NegativeScope(st.Predicate); scope != "" {
		keys = append(keys, NegativeKey(signer, scope))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// AccountID is the id under which an index knows an account on a forge, where a key's id
// stands: SHA-256 of "countersign account v1\n" ‖ host ‖ "\n" ‖ immutable id. It signs
// nothing; what forges say of it is found under it.
func AccountID(host, id string) KeyID {
	return sha256.Sum256([]byte("countersign account v1\n" + strings.ToLower(host) + "\n" + id))
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

// AgentKey finds what an agent was permitted.
func AgentKey(agent string) string { return "agent:" + agent }

// NegativeKey finds what a key has taken back (the scope Everything), which policy sets
// it has published (PolicyChanges), what it has said about incidents (Incidents) or of cohorts (Snapshots), or what
// it has rejected and withdrawn (any other scope).
func NegativeKey(id KeyID, scope string) string {
	switch scope {
	case Everything:
		return "revoked-by:" + id.String()
	case PolicyChanges:
		return "policy-by:" + id.String()
	case Incidents:
		return "incidents-by:" + id.String()
	case Snapshots:
		return "snapshots-by:" + id.String()
	}
	return "rejected-by:" + id.String()
}

// AttachedKey finds what attaches the statement of the entry at an index.
func AttachedKey(index uint64) string { return "attached:" + strconv.FormatUint(index, 10) }

// CausedByKey finds the incidents that name a deployment (by the digest of its payload)
// or a release (by the SHA-256 of an artifact) among their causes; digest is in hex.
func CausedByKey(digest string) string { return "caused-by:" + digest }

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
