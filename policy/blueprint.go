package policy

import (
	_ "embed"

	"github.com/countersign-dev/countersign/attest"
)

var (
	//go:embed blueprint/policy.yaml
	blueprintPolicy string
	//go:embed blueprint/domains.yaml
	blueprintDomains string
)

// Blueprint is the built-in policy to start from: rules and domains. People
// cannot be built in; see NewPeople.
func Blueprint() attest.PolicyFiles {
	return attest.PolicyFiles{Policy: blueprintPolicy, Domains: blueprintDomains}
}
