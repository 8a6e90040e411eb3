package planfacts

import (
	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// ReadManifest reads operation.yaml, in which any tool or person says what applying
// a file does:
//
//	tool: {name: flyway, version: "10.1"}
//	operations:
//	  - verb: delete
//	    kind: postgres/table
//	    resources: [orders.archive]
//	    module: orders # or none
//
// Every error is a *strictyaml.Error with its place, or an *Error.
func ReadManifest(file string, text []byte) (*Facts, error) {
	root, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	f := &Facts{Source: attest.ManifestSource}
	listed := false
	err = root.Fields([]string{"tool", "operations"}, func(key string, v strictyaml.Node) error {
		if key == "tool" {
			return v.Fields([]string{"name", "version"}, func(key string, v strictyaml.Node) (err error) {
				into := &f.Tool.Name
				if key == "version" {
					into = &f.Tool.Version
				}
				*into, err = v.Text()
				return err
			})
		}
		listed = true
		return v.Items(func(item strictyaml.Node) error { return f.manifestItem(file, item) })
	})
	switch {
	case err != nil:
		return nil, err
	case f.Tool.Name == "" || !listed:
		return nil, root.Errorf("tool with its name, and operations, are needed: what will apply it, and what does that do?")
	}
	return f, nil
}

func (f *Facts) manifestItem(file string, item strictyaml.Node) error {
	var op attest.ResourceOperation
	var resources []string
	verbs := make([]string, 0, len(attest.Verbs()))
	for _, v := range attest.Verbs() {
		verbs = append(verbs, string(v))
	}
	err := item.Fields([]string{"verb", "kind", "module", "resources"}, func(key string, v strictyaml.Node) (err error) {
		switch key {
		case "verb":
			var verb string
			verb, err = v.OneOf("verb", verbs)
			op.Verb = attest.Verb(verb)
		case "kind":
			op.Kind, err = v.Text()
		case "module":
			op.Module, err = v.Text()
		case "resources":
			resources, err = v.Texts()
		}
		return err
	})
	if err != nil {
		return err
	}
	if op.Verb == "" || op.Kind == "" || len(resources) == 0 {
		return item.Errorf("an operation needs a verb, a kind and resources")
	}
	for _, op.Address = range resources {
		if err := f.add(file, op); err != nil {
			return err
		}
	}
	return nil
}
