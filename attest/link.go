package attest

import (
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Link is the predicate of in-toto's link v0.3
// (https://github.com/in-toto/attestation/blob/main/spec/predicates/link.md): which
// command a step ran on which materials. Its subjects are the products. It is written
// by countersign run, and read for the fields that we know.
type Link struct {
	Name      string         `json:"name"`
	Command   []string       `json:"command"`
	Materials []LinkArtifact `json:"materials"`
	// ByProducts and Environment are objects of any content. We write "return-value"
	// into the first and nothing into the second, where secrets are.
	ByProducts  jsontext.Value `json:"byproducts,omitzero"`
	Environment jsontext.Value `json:"environment,omitzero"`
}

// LinkArtifact is a file, as an in-toto ResourceDescriptor.
type LinkArtifact struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// maxMaterials bounds the materials of one link.
const maxMaterials = 20_000

// Type implements Predicate.
func (l *Link) Type() string { return TypeLink }

// Validate implements Predicate.
func (l *Link) Validate() error {
	err := checkName("predicate.name", l.Name)
	if err == nil && len(l.Materials) > maxMaterials {
		err = faultErr(TooLarge, "predicate.materials", "has %d items; the limit is %d", len(l.Materials), maxMaterials)
	}
	for i, m := range l.Materials {
		err = first(err, checkText(fmt.Sprintf("predicate.materials[%d].name", i), m.Name, 4096))
	}
	return err
}
