// Package gitfacts reads what a git repository can prove about a change: its
// commits, the paths that it touches, who is named in it and which signs of AI
// it carries. The same facts are read from a repository (Capture) and from the
// raw objects that a statement carries (Derive), and only the second is believed.
package gitfacts

import "time"

// MaxObjects is the largest size of the raw objects of one change, in bytes
// before compression. Beyond it facts are claimed, not proven.
const MaxObjects = 512 << 10

// ID is a git object id in lower-case hex: 40 digits (SHA-1) or 64 (SHA-256).
type ID string

// Facts are what raw objects prove about the range Base..Head.
type Facts struct {
	Base, Head         ID // Base is empty for a root commit
	BaseTree, HeadTree ID
	// Commits are those reachable from Head and not from Base, children before parents.
	Commits []Commit
	// Ancestors are further commits that the objects hold: Base, and what leads to it.
	Ancestors []Commit
	// Paths are the files that differ between BaseTree and HeadTree, sorted.
	// A rename shows as its two paths.
	Paths []Path
}

// A Commit is a parsed commit object.
type Commit struct {
	ID, Tree          ID
	Parents           []ID
	Author, Committer Person
	Message           string
	// CoAuthors are named by Co-authored-by trailers.
	CoAuthors []Person
	// Signature is the gpgsig header and Signed the bytes that it covers.
	Signature string
	Signed    []byte
}

// A Person is a name and address as git records them. Nobody checked them.
type Person struct {
	Name, Email string
	When        time.Time
}

// A Path is one file that differs.
type Path struct {
	Path             string
	OldMode, NewMode string // git modes such as "100644"; empty when the file is absent on that side
	OldID, NewID     ID
}
