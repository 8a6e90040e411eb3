package attest

import "strings"

// Policy publishes a policy set with its content. Its subject is the set's
// digest (sha256). The first in a log is the genesis, signed by its owners, one
// bundle each over the same payload. A later one names the set that it supersedes,
// has the next version, and is in force when enough owners of the set in force have
// signed it and the delay that this set demands is over.
type Policy struct {
	Name    string `json:"name"`
	Version int    `json:"version"` // 1 for genesis
	// Files are the set's files by name, byte for byte.
	Files      PolicyFiles `json:"files"`
	Supersedes string      `json:"supersedes,omitempty"` // digest of the set before, sha256 hex
	// PublishedAt is the same in every owner's copy, so the payloads are equal.
	PublishedAt Time `json:"publishedAt"`
}

// PolicyFiles are the files of a policy set: three that every set has, and layouts.
type PolicyFiles struct {
	Policy  string `json:"policy.yaml"`
	People  string `json:"people.yaml"`
	Domains string `json:"domains.yaml"`
	// Layouts say how artifacts are made, by the name under which rules ask for them. In a
	// folder they are layouts/NAME.yaml. A set without any has no such member.
	Layouts map[string]string `json:"layouts,omitempty"`
}

// Limits on the files of a policy set.
const (
	maxPolicyFile = 1 << 20  // bytes
	maxLayout     = 64 << 10 // bytes
	maxLayouts    = 20
)

// Type implements Predicate.
func (p *Policy) Type() string { return TypePolicy }

// Validate implements Predicate.
func (p *Policy) Validate() error {
	err := first(checkID("predicate.name", p.Name), checkTime("predicate.publishedAt", p.PublishedAt))
	if err == nil && p.Version < 1 {
		err = fieldErr("predicate.version", "is %d; versions start at 1", p.Version)
	}
	for name, text := range map[string]string{"policy.yaml": p.Files.Policy, "people.yaml": p.Files.People, "domains.yaml": p.Files.Domains} {
		if err == nil && (text == "" || len(text) > maxPolicyFile) {
			err = fieldErr("predicate.files."+name, "has %d bytes; 1 to %d are allowed", len(text), maxPolicyFile)
		}
	}
	if err == nil && (len(p.Files.Layouts) > maxLayouts || p.Files.Layouts != nil && len(p.Files.Layouts) == 0) {
		err = fieldErr("predicate.files.layouts", "has %d items; it is absent, or has 1 to %d", len(p.Files.Layouts), maxLayouts)
	}
	for name, text := range p.Files.Layouts {
		err = first(err, checkLayoutName("predicate.files.layouts", name))
		if err == nil && (text == "" || len(text) > maxLayout) {
			err = fieldErr("predicate.files.layouts."+name, "has %d bytes; 1 to %d are allowed", len(text), maxLayout)
		}
	}
	if p.Supersedes != "" {
		err = first(err, checkHex("predicate.supersedes", p.Supersedes, 64))
	}
	if err == nil && p.Version == 1 && p.Supersedes != "" {
		err = fieldErr("predicate.supersedes", "is set, and version 1 is the first")
	}
	return err
}

// checkLayoutName wants what can be the name of a file everywhere.
func checkLayoutName(field, name string) error {
	if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fieldErr(field, "%.80q is no name of 1 to 64 of a-z, 0-9 and -", name)
	}
	return nil
}

func (p *Policy) about(s []Subject) error {
	sub, err := soleSubject(s)
	if err != nil {
		return err
	}
	return checkHex("statement.subject.digest.sha256", sub.Digest["sha256"], 64)
}
