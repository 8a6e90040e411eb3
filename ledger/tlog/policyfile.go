package tlog

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Limits on a policy file.
const (
	MaxPolicy     = 64 << 10 // bytes
	maxPolicyLogs = 32
	maxGroups     = 32
)

// A PolicyFault is what is wrong with a policy file.
type PolicyFault string

// The faults of a policy file.
const (
	PolicySyntax    PolicyFault = "syntax"             // a line has the wrong parts, or the file a character that it may not have
	PolicyKeyword   PolicyFault = "unknown keyword"    // a line begins with another word
	PolicyKey       PolicyFault = "bad key"            // a vkey is not one, or of another kind
	PolicyTwice     PolicyFault = "twice"              // a name, a key or a quorum that was there before
	PolicyLogKey    PolicyFault = "log's key"          // a witness has the key of a log
	PolicyCollision PolicyFault = "key id collision"   // two keys that a note cannot tell apart
	PolicyUndefined PolicyFault = "undefined name"     // a member or quorum that no line before defines
	PolicyNested    PolicyFault = "nested group"       // a group is a member of a group
	PolicyQuorum    PolicyFault = "impossible quorum"  // 0, or more than there are members; or no quorum line
	PolicyTooLarge  PolicyFault = "exceeds the limits" // bytes, logs, witnesses or groups
)

// A PolicyError says where a policy file is wrong. It wraps ErrBadPolicy.
type PolicyError struct {
	Line  int // from 1; 0 when it is about the whole file
	Fault PolicyFault
	Why   string
}

func (e *PolicyError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%v: %s: %s", ErrBadPolicy, e.Fault, e.Why)
	}
	return fmt.Sprintf("%v: line %d: %s: %s", ErrBadPolicy, e.Line, e.Fault, e.Why)
}

// Unwrap returns ErrBadPolicy.
func (e *PolicyError) Unwrap() error { return ErrBadPolicy }

// ParsePolicy reads a policy file of C2SP tlog-policy: one line for each log,
// witness and group, and one quorum line; empty lines and those that begin with
// "#" are passed over. It is stricter than the specification: outside comments
// there is printable ASCII only, keys are Ed25519, at least one log is named, and
// groups have witnesses as members, not groups. A group should so have one witness
// of each operator. The error is a *PolicyError.
func ParsePolicy(text []byte) (*Policy, error) {
	r := &policyReader{policy: &Policy{}, member: make(map[string]bool)}
	if len(text) > MaxPolicy {
		return nil, r.fail(PolicyTooLarge, "%d bytes; at most %d", len(text), MaxPolicy)
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		return nil, r.fail(PolicySyntax, "the last line has no end")
	}
	for line := range strings.Lines(string(text)) {
		r.line++
		if err := r.read(strings.TrimSuffix(line, "\n")); err != nil {
			return nil, err
		}
	}
	r.line = 0
	if r.policy.quorum == "" {
		return nil, r.fail(PolicyQuorum, "there is no quorum line; \"quorum none\" asks for no witness")
	}
	if len(r.policy.logs) == 0 {
		return nil, r.fail(PolicySyntax, "there is no log line")
	}
	return r.policy, nil
}

type policyReader struct {
	policy *Policy
	line   int
	member map[string]bool // witnesses that are in a group
}

func (r *policyReader) fail(f PolicyFault, format string, args ...any) error {
	return &PolicyError{r.line, f, fmt.Sprintf(format, args...)}
}

func (r *policyReader) read(line string) error {
	for _, c := range []byte(line) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return r.fail(PolicySyntax, "character 0x%02x", c)
		}
	}
	fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(fields) == 0 || fields[0][0] == '#' {
		return nil
	}
	if i := strings.IndexFunc(line, func(c rune) bool { return c > '~' }); i >= 0 {
		return r.fail(PolicySyntax, "character %q outside a comment", line[i:i+1])
	}
	args := fields[1:]
	switch fields[0] {
	case "log":
		return r.log(args)
	case "witness":
		return r.witness(args)
	case "group":
		return r.group(args)
	case "quorum":
		return r.quorum(args)
	}
	return r.fail(PolicyKeyword, "%.80q; there are log, witness, group and quorum", fields[0])
}

func (r *policyReader) log(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return r.fail(PolicySyntax, "a log is: log VKEY [URL]")
	}
	v, err := NewVerifier(args[0])
	if err != nil {
		return r.fail(PolicyKey, "%v", err)
	}
	l := policyLog{Verifier: v}
	if len(args) == 2 {
		if l.url, err = plainURL(args[1]); err != nil {
			return r.fail(PolicySyntax, "URL of %s: %v", v.Origin(), err)
		}
	}
	p := r.policy
	for _, l := range p.logs {
		if l.PublicKey().Equal(v.PublicKey()) {
			return r.fail(PolicyTwice, "the key of %s is listed twice", v.Origin())
		}
		if l.Origin() == v.Origin() && keyHash(l.id) == keyHash(v.id) {
			return r.fail(PolicyCollision, "two keys of %s have the id %08x", v.Origin(), keyHash(v.id))
		}
	}
	if p.logs = append(p.logs, l); len(p.logs) > maxPolicyLogs {
		return r.fail(PolicyTooLarge, "more than %d logs", maxPolicyLogs)
	}
	for _, w := range p.witnesses {
		if err := r.apart(w.Witness, v); err != nil {
			return err
		}
	}
	return nil
}

// apart refuses one key in two roles, and lines that could be either's.
func (r *policyReader) apart(w *Witness, v *Verifier) error {
	if v.PublicKey().Equal(w.key) {
		return r.fail(PolicyLogKey, "the key of the witness %s is that of the log %s: one key, one voice", w.name, v.Origin())
	}
	if w.name == v.Origin() && w.id == keyHash(v.id) {
		return r.fail(PolicyCollision, "the witness and the log %s have the key id %08x", w.name, w.id)
	}
	return nil
}

func (r *policyReader) witness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return r.fail(PolicySyntax, "a witness is: witness NAME VKEY [URL]")
	}
	if err := r.newName(args[0]); err != nil {
		return err
	}
	w, err := NewWitness(args[1])
	if err != nil {
		return r.fail(PolicyKey, "%v", err)
	}
	pw := PolicyWitness{Witness: w, Alias: args[0]}
	if len(args) == 3 {
		if pw.URL, err = plainURL(args[2]); err != nil {
			return r.fail(PolicySyntax, "URL of %s: %v", args[0], err)
		}
	}
	p := r.policy
	for _, other := range p.witnesses {
		if other.key.Equal(w.key) {
			return r.fail(PolicyTwice, "%s has the key of %s: one key, one witness", args[0], other.Alias)
		}
		if other.name == w.name && other.id == w.id {
			return r.fail(PolicyCollision, "%s and %s have one key name and the key id %08x", args[0], other.Alias, w.id)
		}
	}
	for _, v := range p.logs {
		if err := r.apart(w, v.Verifier); err != nil {
			return err
		}
	}
	if p.witnesses = append(p.witnesses, pw); len(p.witnesses) > MaxWitnesses {
		return r.fail(PolicyTooLarge, "more than %d witnesses", MaxWitnesses)
	}
	return nil
}

// plainURL takes an absolute HTTP URL that says where, and nothing else.
func plainURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#") {
		return "", fmt.Errorf("%.200q is not http(s)://host[:port][/path]", text)
	}
	return text, nil
}

// newName refuses names that are taken, or mean something else.
func (r *policyReader) newName(name string) error {
	if name == none {
		return r.fail(PolicySyntax, "the name %q stands for no witness", none)
	}
	if r.isGroup(name) || r.isWitness(name) {
		return r.fail(PolicyTwice, "the name %.80s is taken", name)
	}
	return nil
}

func (r *policyReader) isGroup(name string) bool {
	return slices.ContainsFunc(r.policy.groups, func(g group) bool { return g.name == name })
}

func (r *policyReader) isWitness(name string) bool {
	return slices.ContainsFunc(r.policy.witnesses, func(w PolicyWitness) bool { return w.Alias == name })
}

func (r *policyReader) group(args []string) error {
	if len(args) < 3 {
		return r.fail(PolicySyntax, "a group is: group NAME any|all|NUMBER MEMBER…")
	}
	if err := r.newName(args[0]); err != nil {
		return err
	}
	g := group{name: args[0], keyword: args[1], members: args[2:]}
	for _, m := range g.members {
		switch {
		case r.isGroup(m):
			return r.fail(PolicyNested, "%.80s is a group; list its witnesses, one of each operator", m)
		case !r.isWitness(m):
			return r.fail(PolicyUndefined, "no line before this one defines a witness %.80s", m)
		case r.member[m]:
			return r.fail(PolicyTwice, "%.80s is a member already", m)
		}
		r.member[m] = true
	}
	switch g.keyword {
	case "any":
		g.need = 1
	case "all":
		g.need = len(g.members)
	default:
		n, err := strconv.Atoi(g.keyword)
		if err != nil || strconv.Itoa(n) != g.keyword {
			return r.fail(PolicySyntax, "%.80q is not any, all or a number", g.keyword)
		}
		g.need = n
	}
	if g.need < 1 || g.need > len(g.members) {
		return r.fail(PolicyQuorum, "%d of %d members", g.need, len(g.members))
	}
	if r.policy.groups = append(r.policy.groups, g); len(r.policy.groups) > maxGroups {
		return r.fail(PolicyTooLarge, "more than %d groups", maxGroups)
	}
	return nil
}

func (r *policyReader) quorum(args []string) error {
	if len(args) != 1 {
		return r.fail(PolicySyntax, "a quorum is: quorum NAME, or quorum none")
	}
	if args[0] != none && !r.isGroup(args[0]) && !r.isWitness(args[0]) {
		return r.fail(PolicyUndefined, "no line before this one defines %.80s", args[0])
	}
	if r.policy.quorum != "" {
		return r.fail(PolicyTwice, "there is a quorum already")
	}
	r.policy.quorum = args[0]
	return nil
}
