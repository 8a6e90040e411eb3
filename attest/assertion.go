package attest

import (
	"github.com/countersign-dev/countersign/attest/credential"
)

// An Assertion is a reviewer's own signature inside an approval, by a key that cannot
// sign statements: an SSH key, also in a security key, or a passkey. It is over
// Presented. The statement around it is signed by the console key, which is transport
// and no more. Exactly one of the two is there.
type Assertion struct {
	SSH     []byte                    `json:"ssh,omitempty"` // SSHSIG, binary, in SSHNamespace
	Passkey *credential.PasskeyAnswer `json:"passkey,omitempty"`
}

// SSHNamespace is that of approvals. A signature over a commit or a file is none.
const SSHNamespace = "approval@countersign.dev"

func (a *Assertion) validate() error {
	const field = "predicate.assertion"
	if (len(a.SSH) > 0) == (a.Passkey != nil) {
		return fieldErr(field, "must have exactly one of ssh and passkey")
	}
	if p := a.Passkey; p != nil {
		if err := p.Check(); err != nil {
			return fieldErr(field+".passkey", "%v", err)
		}
		return nil
	}
	sig, err := credential.ParseSSH(a.SSH)
	if err != nil {
		return fieldErr(field+".ssh", "%v", err)
	}
	if sig.Namespace != SSHNamespace {
		return faultErr(WrongScope, field+".ssh", "is for namespace %.80q, and not %q", sig.Namespace, SSHNamespace)
	}
	return nil
}

// KeyID is the id of the key that made the assertion, as a roster has it.
func (a *Assertion) KeyID() (KeyID, error) {
	if a.Passkey != nil {
		return credential.PasskeyID(a.Passkey.CredentialID), nil
	}
	sig, err := credential.ParseSSH(a.SSH)
	if err != nil {
		return KeyID{}, fieldErr("predicate.assertion.ssh", "%v", err)
	}
	return sig.Key.ID(), nil
}

// Counter is how many signatures an authenticator says it has made; 0 where it does not
// count, or has none.
func (a *Assertion) Counter() uint32 {
	if a.Passkey != nil {
		return a.Passkey.Counter()
	}
	sig, err := credential.ParseSSH(a.SSH)
	if err != nil {
		return 0
	}
	return sig.Counter()
}

// Presented is what an assertion is over: "countersign approval v1\n" ‖ origin of the
// log ‖ "\n" ‖ the statement's payload without the assertion. It names the head, the
// tree, the environments, the reviewer and the decision, and the log that it is for.
func Presented(origin string, st *Statement) ([]byte, error) {
	a, ok := st.Predicate.(*Approval)
	if !ok {
		return nil, faultErr(WrongType, "statement.predicateType", "%.80q is no approval", st.Predicate.Type())
	}
	bare := *a
	bare.Assertion = nil
	payload, err := (&Statement{Subjects: st.Subjects, Predicate: &bare}).Marshal()
	if err != nil {
		return nil, err
	}
	return append([]byte("countersign approval v1\n"+origin+"\n"), payload...), nil
}

// Respelled is an approval with the other signature that its assertion has, which anybody
// can compute (package credential); false where there is one spelling alone. Whoever takes
// one back takes back both.
func (s *Statement) Respelled() (*Statement, bool) {
	a, ok := s.Predicate.(*Approval)
	if !ok || a.Assertion == nil {
		return nil, false
	}
	var other Assertion
	if a.Assertion.Passkey != nil {
		other.Passkey, ok = a.Assertion.Passkey.Respelled()
	} else {
		other.SSH, ok = credential.RespelledSSH(a.Assertion.SSH)
	}
	approval := *a
	approval.Assertion = &other
	return &Statement{Subjects: s.Subjects, Predicate: &approval}, ok
}
