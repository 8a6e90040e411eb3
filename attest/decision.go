package attest

import "github.com/go-json-experiment/json/jsontext"

// A Decision is a verdict as it is logged. Its subjects are the artifact and the
// commit that was judged. Core is what two verifiers with the same inputs agree
// on to the byte; Annex explains, and decides nothing.
//
// The shapes of both are package policy's; here they are checked for being JSON
// of bounded size and for the fields that the log is searched by.
type Decision struct {
	Repository  string         `json:"repository"`
	Environment string         `json:"environment"`
	Verdict     string         `json:"verdict"` // allow, deny or error
	To          string         `json:"to"`      // commit
	Nonce       string         `json:"nonce"`   // of the request
	DecidedAt   Time           `json:"decidedAt"`
	ExpiresAt   Time           `json:"expiresAt"`
	Core        jsontext.Value `json:"core"`
	Annex       jsontext.Value `json:"annex"`
}
