package attest

// Authorship says who or what wrote a change. Its subject is the head commit.
// The author's own signature authenticates them as its author (TRUST T5); only
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
