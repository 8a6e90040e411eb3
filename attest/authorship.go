package attest

// Authorship says who or what wrote a change. Its subject is the head commit.
// The author's own signature authenticates them as its author; only
// the author's own word "human" is believed; anybody's "ai" is.
type Authorship struct {
	Repository    string           `json:"repository"`
	Change        ChangeRef        `json:"change"`
	Origin        Origin           `json:"origin"`
	Evidence      []AISign         `json:"evidence,omitempty"`
	Agents        []Agent          `json:"agents,omitempty"`
	HumanOperator string           `json:"humanOperator,omitempty"` // roster id
	Lines         *AuthorshipLines `json:"lines,omitempty"`
	DeclaredBy    string           `json:"declaredBy"` // roster id of the signer
	DeclaredAt    Time             `json:"declaredAt"`
}

// Origin is one of Agent Trace's four words. Unknown is not human.
type Origin string

// The origins.
const (
	OriginHuman   Origin = "human"
	OriginAI      Origin = "ai"
	OriginMixed   Origin = "mixed"
	OriginUnknown Origin = "unknown"
)

// AISign is one sign of AI, with the grade of the evidence.
type AISign struct {
	Grade  Grade  `json:"grade"`
	Tool   string `json:"tool,omitempty"`
	Where  string `json:"where"` // a commit id
	Detail string `json:"detail,omitempty"`
}

// Grade orders evidence of authorship; a grade may tighten a rule, none may relax one.
type Grade string

// The grades, strongest first.
const (
	GradeAgentSigned     Grade = "agent-signed"
	GradeObservedSession Grade = "observed-session"
	GradeForgeAccount    Grade = "forge-account"
	GradeTrailer         Grade = "trailer"
	GradeMarker          Grade = "marker"
	GradeDeclaration     Grade = "declaration"
)

// Agent is a tool that wrote code, as precisely as it is known.
type Agent struct {
	Tool       string `json:"tool"`
	Model      string `json:"model,omitempty"`
	Version    string `json:"version,omitempty"`
	SessionID  string `json:"sessionId,omitempty"`
	SessionRef string `json:"sessionRef,omitempty"`
}

// AuthorshipLines counts added lines by origin.
type AuthorshipLines struct {
	AI      int `json:"ai"`
	Human   int `json:"human"`
	Unknown int `json:"unknown"`
}

// Type implements Predicate.
func (a *Authorship) Type() string { return TypeAuthorship }

// Validate implements Predicate.
func (a *Authorship) Validate() error {
	err := first(
		checkRepository("predicate.repository", a.Repository),
		a.Change.validate(),
		oneOf("predicate.origin", a.Origin, OriginHuman, OriginAI, OriginMixed, OriginUnknown),
		checkID("predicate.declaredBy", a.DeclaredBy),
		checkTime("predicate.declaredAt", a.DeclaredAt),
		checkText("predicate.humanOperator", a.HumanOperator, 128),
	)
	for _, s := range a.Evidence {
		err = first(err,
			oneOf("predicate.evidence.grade", s.Grade, GradeAgentSigned, GradeObservedSession, GradeForgeAccount, GradeTrailer, GradeMarker, GradeDeclaration),
			checkText("predicate.evidence.tool", s.Tool, 256),
			checkCommit("predicate.evidence.where", s.Where),
			checkComment("predicate.evidence.detail", s.Detail))
	}
	for _, g := range a.Agents {
		err = first(err, g.validate())
	}
	if err == nil && a.Lines != nil && (a.Lines.AI < 0 || a.Lines.Human < 0 || a.Lines.Unknown < 0) {
		err = fieldErr("predicate.lines", "holds a negative number")
	}
	return err
}

func (g *Agent) validate() error {
	return first(checkName("predicate.agents.tool", g.Tool),
		checkText("predicate.agents.model", g.Model, 256), checkText("predicate.agents.version", g.Version, 256),
		checkText("predicate.agents.sessionId", g.SessionID, 256), checkText("predicate.agents.sessionRef", g.SessionRef, 4096))
}

func (a *Authorship) about(s []Subject) error {
	sub, err := soleSubject(s)
	if err != nil {
		return err
	}
	return checkCommit("statement.subject.digest.gitCommit", sub.Digest["gitCommit"])
}
