package roster

import (
	"slices"
	"strings"

	"github.com/countersign-dev/countersign/policy/strictyaml"
)

// Terms are the words that a roster may use, which others define.
type Terms struct {
	Levels []string          // of people, lowest first
	Types  map[string]string // predicate types that services may make, by short name
	// Witnessed are types that only forges may make, for the accounts of their hosts.
	Witnessed []string
	// Reserved are types that no service of a roster may ever make.
	Reserved []string
	// IdentityID is the id under which ByKey finds an identity.
	IdentityID func(issuer, subject string) [32]byte
	Claims     []string // that an identity may pin
}

// Parse reads people.yaml. Every error is a *strictyaml.Error with its place.
func Parse(file string, text []byte, terms Terms) (*Roster, error) {
	root, err := strictyaml.Parse(file, text)
	if err != nil {
		return nil, err
	}
	p := &parser{terms: terms, roster: &Roster{
		byID: map[string]*Principal{}, byKey: map[KeyID]keyOwner{}, byEmail: map[string]*Principal{}, byAccount: map[Account]*Principal{},
	}, subjects: map[string]*Principal{}}
	var owners, officers strictyaml.Node
	err = root.Fields([]string{"owners", "officers", "people", "agents", "services"}, func(key string, v strictyaml.Node) error {
		switch key {
		case "owners":
			owners = v
			p.roster.Owners, err = v.Texts()
			return err
		case "officers":
			officers = v
			p.roster.Officers, err = v.Texts()
			return err
		case "people":
			return v.Items(func(item strictyaml.Node) error { return p.principal(item, Person) })
		case "agents":
			return v.Items(func(item strictyaml.Node) error { return p.principal(item, Agent) })
		default:
			return v.Items(func(item strictyaml.Node) error { return p.principal(item, Service) })
		}
	})
	if err != nil {
		return nil, err
	}
	if len(p.roster.Owners) == 0 {
		return nil, root.Errorf("owners: at least one person must own the policy")
	}
	for _, o := range p.roster.Officers {
		if pr := p.roster.byID[o]; pr == nil || pr.Kind != Person || len(pr.Keys) == 0 {
			return nil, officers.Errorf("officer %q must be a person of this file, with a key", o)
		}
	}
	return p.roster, p.crossCheck(owners)
}

type parser struct {
	terms    Terms
	roster   *Roster
	subjects map[string]*Principal // by case-folded issuer and subject
	agents   []placed
}

type placed struct {
	*Principal
	node strictyaml.Node
}

var fieldsOf = map[Kind][]string{
	Person:  {"id", "level", "teams", "emails", "accounts", "keys", "identities", "from", "until"},
	Agent:   {"id", "operator", "emails", "accounts", "keys", "identities", "from", "until"},
	Service: {"id", "may", "forge", "hosts", "emails", "accounts", "keys", "identities", "from", "until"},
}

func (p *parser) principal(v strictyaml.Node, kind Kind) error {
	pr := &Principal{Kind: kind}
	err := v.Fields(fieldsOf[kind], func(key string, f strictyaml.Node) (err error) {
		switch key {
		case "id":
			pr.ID, err = id(f)
		case "level":
			pr.Level, err = f.OneOf("level", p.terms.Levels)
		case "teams":
			pr.Teams, err = f.Texts()
		case "operator":
			pr.Operator, err = id(f)
		case "may":
			err = p.may(f, pr)
		case "forge":
			pr.Forge, err = f.Bool()
		case "hosts":
			err = hosts(f, pr)
		case "emails":
			err = p.emails(f, pr)
		case "accounts":
			err = p.accountsOf(f, pr)
		case "keys":
			err = p.keys(f, pr)
		case "identities":
			err = p.identities(f, pr)
		case "from":
			pr.From, err = f.Time()
		case "until":
			pr.Until, err = f.Time()
		}
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case pr.ID == "":
		return v.Errorf("id is missing")
	case p.roster.byID[pr.ID] != nil:
		return v.Errorf("id %q is there twice", pr.ID)
	case kind == Person && pr.Level == "":
		return v.Errorf("%s: level is missing", pr.ID)
	case pr.From.IsZero():
		return v.Errorf("%s: from is missing: since when is this so?", pr.ID)
	case !pr.Until.IsZero() && pr.Until.Before(pr.From):
		return v.Errorf("%s: until is before from", pr.ID)
	case len(pr.Hosts) > 0 && !pr.Forge:
		return v.Errorf("%s: hosts are of forges; add forge: true", pr.ID)
	}
	for _, t := range p.terms.Witnessed {
		if pr.MaySign(t) && len(pr.Hosts) == 0 {
			return v.Errorf("%s: no service may make %q but a forge, for accounts of its own; add forge: true and hosts", pr.ID, t)
		}
	}
	p.roster.byID[pr.ID] = pr
	p.roster.principals = append(p.roster.principals, pr)
	if kind == Agent {
		p.agents = append(p.agents, placed{pr, v})
	}
	return nil
}

// crossCheck holds what speaks of others against the whole roster.
func (p *parser) crossCheck(owners strictyaml.Node) error {
	for _, o := range p.roster.Owners {
		pr := p.roster.byID[o]
		if pr == nil || pr.Kind != Person || len(pr.Keys) == 0 {
			return owners.Errorf("owner %q must be a person of this file, with a key", o)
		}
	}
	for _, a := range p.agents {
		if a.Operator == "" {
			continue
		}
		if op := p.roster.byID[a.Operator]; op == nil || op.Kind != Person {
			return a.node.Errorf("%s: operator %q is no person of this file", a.ID, a.Operator)
		}
	}
	return nil
}

func id(v strictyaml.Node) (string, error) {
	s, err := v.Text()
	if err != nil {
		return "", err
	}
	if len(s) > 128 || strings.Trim(s[:1], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" ||
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@") != "" {
		return "", v.Errorf("%.80q is not an id: letters, digits and . _ - @, starting with a letter or digit", s)
	}
	return s, nil
}

func (p *parser) may(v strictyaml.Node, pr *Principal) error {
	known := make([]string, 0, len(p.terms.Types))
	for short := range p.terms.Types {
		known = append(known, short)
	}
	slices.Sort(known)
	return v.Items(func(item strictyaml.Node) error {
		s, err := item.Text()
		if err != nil {
			return err
		}
		full := p.terms.Types[s]
		if full == "" && strings.HasPrefix(s, "https://") {
			full = s
		}
		switch {
		case full == "":
			return item.Errorf("predicate %q is unknown%s", s, strictyaml.Suggest(s, known))
		case slices.Contains(p.terms.Reserved, full):
			return item.Errorf("no service may make %q", s)
		case slices.Contains(pr.May, full):
			return item.Errorf("%q is there twice", s)
		}
		pr.May = append(pr.May, full)
		return nil
	})
}

// hosts reads host names, which have one spelling, as in repository ids.
func hosts(v strictyaml.Node, pr *Principal) error {
	return v.Items(func(item strictyaml.Node) error {
		s, err := item.Text()
		if err != nil {
			return err
		}
		if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-:") != "" || slices.Contains(pr.Hosts, s) {
			return item.Errorf("%.80q is no host name in lower case, or there twice", s)
		}
		pr.Hosts = append(pr.Hosts, s)
		return nil
	})
}

func (p *parser) emails(v strictyaml.Node, pr *Principal) error {
	return v.Items(func(item strictyaml.Node) error {
		s, err := item.Text()
		if err != nil {
			return err
		}
		user, host, ok := strings.Cut(s, "@")
		if !ok || user == "" || host == "" || strings.ContainsAny(s, "*?% <>\t") || strings.Contains(host, "@") {
			return item.Errorf("%.80q is not one e-mail address (patterns are not allowed)", s)
		}
		fold := strings.ToLower(s)
		if other := p.roster.byEmail[fold]; other != nil {
			return item.Errorf("address %q already belongs to %s (letter case does not matter)", s, nameOf(other, pr))
		}
		p.roster.byEmail[fold] = pr
		pr.Emails = append(pr.Emails, s)
		return nil
	})
}

func nameOf(other, self *Principal) string {
	if other == self || other.ID == "" {
		return "this same entry"
	}
	return other.ID
}

func (p *parser) accountsOf(v strictyaml.Node, pr *Principal) error {
	return v.Items(func(item strictyaml.Node) error {
		var a Account
		err := item.Fields([]string{"forge", "id", "login"}, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "forge":
				a.Forge, err = f.Text()
			case "id":
				a.ID, err = f.Text()
			case "login":
				a.Login, err = f.Text()
			}
			return err
		})
		if err != nil {
			return err
		}
		if a.Forge == "" || a.ID == "" {
			return item.Errorf("an account needs a forge and its immutable id")
		}
		unique := accountOf(a.Forge, a.ID)
		if other := p.roster.byAccount[unique]; other != nil {
			return item.Errorf("account %s on %s already belongs to %s", a.ID, a.Forge, nameOf(other, pr))
		}
		p.roster.byAccount[unique] = pr
		pr.Accounts = append(pr.Accounts, a)
		return nil
	})
}

func (p *parser) identities(v strictyaml.Node, pr *Principal) error {
	return v.Items(func(item strictyaml.Node) error {
		var i Identity
		err := item.Fields([]string{"issuer", "subject", "claims", "from", "until"}, func(key string, f strictyaml.Node) (err error) {
			switch key {
			case "issuer":
				i.Issuer, err = f.Text()
			case "subject":
				i.Subject, err = f.Text()
			case "claims":
				i.Claims = make(map[string]string)
				err = f.Fields(p.terms.Claims, func(name string, f strictyaml.Node) (err error) {
					i.Claims[name], err = f.Text()
					return err
				})
			case "from":
				i.From, err = f.Time()
			case "until":
				i.Until, err = f.Time()
			}
			return err
		})
		if err != nil {
			return err
		}
		switch {
		case !strings.HasPrefix(i.Issuer, "https://") || strings.ContainsAny(i.Issuer, "*?# "):
			return item.Errorf("issuer %.80q is not the https URL of an OIDC issuer", i.Issuer)
		case i.Subject == "" || strings.ContainsAny(i.Subject, "* \t\n"):
			return item.Errorf("subject %.80q is not one e-mail address or URI (patterns are not allowed)", i.Subject)
		case i.From.IsZero():
			return item.Errorf("from is missing: since when does this identity speak?")
		case !i.Until.IsZero() && i.Until.Before(i.From):
			return item.Errorf("until is before from")
		}
		if pr.Kind == Person && isMachine(i.Subject) {
			return item.Errorf("subject %.80q is a machine's: people sign in with an e-mail address", i.Subject)
		}
		fold := strings.ToLower(i.Issuer + "\n" + i.Subject)
		if other := p.subjects[fold]; other != nil {
			return item.Errorf("%s of %s already belongs to %s (letter case does not matter)", i.Subject, i.Issuer, nameOf(other, pr))
		}
		p.subjects[fold] = pr
		key := Key{ID: p.terms.IdentityID(i.Issuer, i.Subject), Name: i.Subject, Identity: &i, Assurance: ByKey, Validity: i.Validity}
		pr.Keys = append(pr.Keys, key)
		p.roster.byKey[key.ID] = keyOwner{principal: pr, key: &key}
		return nil
	})
}

// isMachine reports whether a certificate's subject is what workloads have: a URI, or
// the address of a service account.
func isMachine(subject string) bool {
	return strings.Contains(subject, ":") || !strings.Contains(subject, "@") || strings.HasSuffix(strings.ToLower(subject), ".gserviceaccount.com")
}

// ByEmail returns whose address this is. Addresses match without regard to case,
// and in no other way.
func (r *Roster) ByEmail(email string) (*Principal, bool) {
	p, ok := r.byEmail[strings.ToLower(email)]
	return p, ok
}

// MaySign reports whether a service may make a predicate type.
func (p *Principal) MaySign(predicateType string) bool {
	return slices.Contains(p.May, predicateType)
}
