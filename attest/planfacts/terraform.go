package planfacts

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/countersign-dev/countersign/attest"
)

const planWhat = "plan JSON"

// ReadPlan reads what `terraform show -json PLAN` (or `tofu show`) prints: the JSON
// output format, version 1.x. It reads at most MaxPlanJSON bytes and holds one
// resource at a time. Members that it does not know are skipped, as the format
// wants; actions that it does not know are refused, and so is a plan that failed.
//
// Errors about the content are *Error.
func ReadPlan(r io.Reader, source attest.OperationSource) (*Facts, error) {
	p := &planReader{facts: &Facts{Source: source, Tool: attest.OperationTool{Name: toolOf(source)}}}
	p.d = jsontext.NewDecoder(&bounded{r, MaxPlanJSON})
	if err := p.read(); err != nil {
		return nil, p.explain(err)
	}
	switch {
	case !strings.HasPrefix(p.version, "1."):
		return nil, bad(planWhat, "format_version %.20q; 1.x is read", p.version)
	case !p.planned:
		return nil, bad(planWhat, "holds no planned_values: it is no plan (a state, perhaps)")
	case p.errored:
		return nil, bad(planWhat, "says that planning failed, so it cannot be applied")
	}
	return p.facts, nil
}

func toolOf(source attest.OperationSource) string {
	if source == attest.OpenTofuPlan {
		return "tofu"
	}
	return "terraform"
}

type planReader struct {
	d                *jsontext.Decoder
	facts            *Facts
	version          string
	planned, errored bool
}

// explain words an error without anything that the plan holds.
func (p *planReader) explain(err error) error {
	var own *Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, errTooLong):
		return bad(planWhat, "has more than %d MiB", MaxPlanJSON>>20)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return bad(planWhat, "ends at byte %d, in the middle: it was cut off", p.d.InputOffset())
	case errors.Is(err, jsontext.ErrDuplicateName):
		return bad(planWhat, "holds a name twice, near byte %d", p.d.InputOffset())
	}
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	if errors.As(err, &syntax) || errors.As(err, &semantic) {
		return bad(planWhat, "is not as the format has it, near byte %d", p.d.InputOffset())
	}
	return err
}

func (p *planReader) read() error {
	if p.d.PeekKind() != '{' {
		if _, err := p.d.ReadToken(); err != nil {
			return err
		}
		return bad(planWhat, "is not a JSON object")
	}
	if _, err := p.d.ReadToken(); err != nil {
		return err
	}
	for p.d.PeekKind() == '"' {
		name, err := p.d.ReadToken()
		if err != nil {
			return err
		}
		if err := p.member(name.String()); err != nil {
			return err
		}
	}
	if _, err := p.d.ReadToken(); err != nil {
		return err
	}
	if _, err := p.d.ReadToken(); !errors.Is(err, io.EOF) {
		return bad(planWhat, "goes on behind its end")
	}
	return nil
}

func (p *planReader) member(name string) error {
	switch name {
	case "format_version":
		return json.UnmarshalDecode(p.d, &p.version)
	case "terraform_version":
		return json.UnmarshalDecode(p.d, &p.facts.Tool.Version)
	case "errored":
		return json.UnmarshalDecode(p.d, &p.errored)
	case "planned_values":
		p.planned = true
		return p.d.SkipValue()
	case "resource_changes":
		return p.each(p.change)
	case "action_invocations":
		return p.each(p.invocation)
	case "resource_drift":
		return p.each(func() error { p.facts.Drift++; return p.d.SkipValue() })
	case "deferred_changes":
		return p.each(func() error { p.facts.Deferred++; return p.d.SkipValue() })
	}
	return p.d.SkipValue()
}

// each reads a list item by item; null is an empty one.
func (p *planReader) each(item func() error) error {
	if p.d.PeekKind() == 'n' {
		return p.d.SkipValue()
	}
	if p.d.PeekKind() != '[' {
		return bad(planWhat, "has something else where a list of changes belongs, near byte %d", p.d.InputOffset())
	}
	if _, err := p.d.ReadToken(); err != nil {
		return err
	}
	for p.d.PeekKind() != ']' {
		if err := item(); err != nil {
			return err
		}
	}
	_, err := p.d.ReadToken()
	return err
}

// resourceChange is what is read of one; values stay unread.
type resourceChange struct {
	Address         string `json:"address"`
	PreviousAddress string `json:"previous_address"`
	ModuleAddress   string `json:"module_address"`
	Mode            string `json:"mode"`
	Type            string `json:"type"`
	Deposed         string `json:"deposed"`
	Change          struct {
		Actions   []string       `json:"actions"`
		Importing jsontext.Value `json:"importing"`
	} `json:"change"`
}

func (p *planReader) change() error {
	var c resourceChange
	if err := json.UnmarshalDecode(p.d, &c); err != nil {
		return err
	}
	verbs, ok := verbsOf(c.Change.Actions)
	if !ok {
		return bad(planWhat, "%.200s: its actions are none that this version knows", c.Address)
	}
	op := attest.ResourceOperation{Address: c.Address, Kind: c.Type, Module: c.ModuleAddress}
	switch {
	case c.Mode == "data" && c.Type != "":
		op.Kind = "data." + c.Type
	case c.Mode != "managed":
		return bad(planWhat, "%.200s: its mode is neither managed nor data", c.Address)
	}
	if c.Deposed != "" {
		op.Address += " (deposed " + c.Deposed + ")"
	}
	if len(c.Change.Importing) > 0 && c.Change.Importing.Kind() != 'n' {
		verbs = append(verbs, attest.VerbImport)
	}
	if c.PreviousAddress != "" && c.PreviousAddress != c.Address {
		verbs = append(verbs, attest.VerbMove)
	}
	for _, op.Verb = range verbs {
		if err := p.facts.add(planWhat, op); err != nil {
			return err
		}
	}
	return nil
}

// verbsOf are what a list of actions means; false for one that is not known.
func verbsOf(actions []string) ([]attest.Verb, bool) {
	for _, a := range []struct {
		actions []string
		verbs   []attest.Verb
	}{
		{[]string{"no-op"}, nil},
		{[]string{"create"}, []attest.Verb{attest.VerbCreate}},
		{[]string{"read"}, []attest.Verb{attest.VerbRead}},
		{[]string{"update"}, []attest.Verb{attest.VerbUpdate}},
		{[]string{"delete"}, []attest.Verb{attest.VerbDelete}},
		{[]string{"forget"}, []attest.Verb{attest.VerbForget}},
		{[]string{"delete", "create"}, []attest.Verb{attest.VerbReplace}},
		{[]string{"create", "delete"}, []attest.Verb{attest.VerbReplace}},
		{[]string{"create", "forget"}, []attest.Verb{attest.VerbCreate, attest.VerbForget}},
		{[]string{"forget", "create"}, []attest.Verb{attest.VerbForget, attest.VerbCreate}},
	} {
		if slices.Equal(a.actions, actions) {
			return a.verbs, true
		}
	}
	return nil, false
}

// invocation reads an action that a provider is asked to run beside the changes of
// resources.
func (p *planReader) invocation() error {
	var a struct {
		Address string `json:"address"`
		Type    string `json:"type"`
	}
	if err := json.UnmarshalDecode(p.d, &a); err != nil {
		return err
	}
	return p.facts.add(planWhat, attest.ResourceOperation{Verb: attest.VerbInvoke, Address: a.Address, Kind: "action." + a.Type})
}
