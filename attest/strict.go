package attest

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits on what is parsed. Each is checked before the work that it bounds.
const (
	MaxRequest  = 4 << 20    // bytes of one request
	MaxBundle   = 1536 << 10 // bytes of one bundle
	MaxPayload  = 1 << 20    // bytes of one payload
	MaxNesting  = 64         // levels of JSON
	MaxString   = 64 << 10   // bytes of one name, identity or comment
	MaxSubjects = 1024       // of one statement
	MaxDigests  = 32         // of one subject
	maxItems    = 100_000    // of one list in a predicate
)

// A Fault is the class of an input error. Its values are the kinds that verdicts show.
type Fault string

// The faults that parsing can find.
const (
	Malformed       Fault = "MALFORMED"
	TooLarge        Fault = "TOO_LARGE"
	Unsupported     Fault = "UNSUPPORTED"
	WrongType       Fault = "WRONG_TYPE"
	WeakDigest      Fault = "WEAK_DIGEST"
	SubjectMismatch Fault = "SUBJECT_MISMATCH"
	WrongScope      Fault = "WRONG_SCOPE"
)

// A FieldError says which field of a bundle, statement or predicate is wrong,
// why, and which class of fault it is.
type FieldError struct {
	Fault Fault
	Field string // a path such as "predicate.change.id"
	Why   string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Why }

// FaultOf returns the class of an error that this package made, and Malformed
// for any other.
func FaultOf(err error) Fault {
	var fe *FieldError
	if errors.As(err, &fe) && fe.Fault != "" {
		return fe.Fault
	}
	return Malformed
}

func fieldErr(field, format string, args ...any) error {
	return faultErr(Malformed, field, format, args...)
}

func faultErr(f Fault, field, format string, args ...any) error {
	return &FieldError{Fault: f, Field: field, Why: fmt.Sprintf(format, args...)}
}

// decode parses one JSON document strictly: no duplicate or unknown or
// differently spelled names, no invalid UTF-8, nothing behind the document, at
// most MaxNesting levels.
func decode(field string, b []byte, into any, opts ...json.Options) error {
	if err := checkShape(field, b); err != nil {
		return err
	}
	opts = append([]json.Options{json.RejectUnknownMembers(true)}, opts...)
	if err := json.Unmarshal(b, into, opts...); err != nil {
		return decodeErr(field, err)
	}
	return nil
}

// decodeLoose is decode for predicates that others define: unknown names are
// skipped, everything else is as strict.
func decodeLoose(field string, b []byte, into any) error {
	return decode(field, b, into, json.RejectUnknownMembers(false))
}

func decodeErr(field string, err error) error {
	var fe *FieldError
	if errors.As(err, &fe) {
		return fe
	}
	var se *json.SemanticError
	if errors.As(err, &se) && se.JSONPointer != "" {
		field += strings.ReplaceAll(string(se.JSONPointer), "/", ".")
	}
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) && syn.JSONPointer != "" {
		field += strings.ReplaceAll(string(syn.JSONPointer), "/", ".")
	}
	return fieldErr(field, "%.200s", strings.TrimPrefix(err.Error(), "json: "))
}

// checkShape requires an object, and counts its levels without building anything.
func checkShape(field string, b []byte) error {
	if !utf8.Valid(b) {
		return fieldErr(field, "is not UTF-8")
	}
	depth, started := 0, false
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case ' ', '\t', '\r', '\n':
			continue
		case '"':
			i = endOfString(b, i)
		case '{', '[':
			if depth++; depth > MaxNesting {
				return faultErr(TooLarge, field, "is nested deeper than %d levels", MaxNesting)
			}
		case '}', ']':
			depth--
		}
		if !started && b[min(i, len(b)-1)] != '{' {
			return fieldErr(field, "is not a JSON object")
		}
		started = true
	}
	if !started {
		return fieldErr(field, "is empty")
	}
	return nil
}

// endOfString returns the index of the quote that ends the string at i, or the
// last index where none does; the parser will refuse that.
func endOfString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(b) - 1
}

// checkText refuses what must not be in a name, an identity or a line of text.
func checkText(field, s string, limit int) error {
	if len(s) > limit {
		return faultErr(TooLarge, field, "has %d bytes; the limit is %d", len(s), limit)
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r <= 0x9f) || r == 0x2028 || r == 0x2029 {
			return fieldErr(field, "holds the control character U+%04X", r)
		}
	}
	return nil
}

// checkName is checkText for a field that must not be empty.
func checkName(field, s string) error {
	if s == "" {
		return fieldErr(field, "is missing")
	}
	return checkText(field, s, 1024)
}

// checkComment allows lines.
func checkComment(field, s string) error {
	return checkText(field, strings.NewReplacer("\n", " ", "\t", " ").Replace(s), MaxString)
}

func checkHex(field, s string, sizes ...int) error {
	for _, n := range sizes {
		if len(s) == n && strings.Trim(s, "0123456789abcdef") == "" {
			return nil
		}
	}
	return fieldErr(field, "%.80q is not %d lower-case hex digits", s, sizes[0])
}

// checkCommit takes a git object id: SHA-1 or SHA-256.
func checkCommit(field, s string) error { return checkHex(field, s, 40, 64) }

// checkID takes the id of a person, agent, service, environment, tier or the
// like: letters, digits and . _ - @ / : +, starting with a letter or digit.
func checkID(field, s string) error {
	if err := checkName(field, s); err != nil {
		return err
	}
	if len(s) > 128 {
		return faultErr(TooLarge, field, "has %d bytes; the limit is 128", len(s))
	}
	for i, r := range s {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("._-@/:+[]", r)) {
			return fieldErr(field, "%.80q is not an id: %q is not allowed there", s, r)
		}
	}
	return nil
}

func oneOf[T ~string](field string, v T, allowed ...T) error {
	for _, a := range allowed {
		if v == a {
			return nil
		}
	}
	return faultErr(Unsupported, field, "%.80q is not one of %s", string(v), quoteAll(allowed))
}

func quoteAll[T ~string](vs []T) string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = string(v)
	}
	return strings.Join(out, ", ")
}

// first returns the first error of several checks.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// DecodeForeign parses one JSON document that others define: unknown names are
// skipped; names that come twice, invalid UTF-8, text behind the document and more
// than MaxNesting levels are refused. field names the document in errors, which are
// *FieldError.
func DecodeForeign(field string, b []byte, into any) error { return decodeLoose(field, b, into) }
