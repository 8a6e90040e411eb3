package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// An Entry is what the ledger keeps. It knows no attestation: every field is
// bytes that package attest derived from a bundle, so all of them but Leaf can
// be derived again and compared.
type Entry struct {
	// Leaf is the canonical log entry; its RFC 6962 leaf hash is in the tree.
	Leaf []byte
	// Body is the normalised bundle that Leaf speaks of.
	Body []byte
	// Keys are the search keys under which the entry is found, sorted and
	// distinct. Each is a short text such as "subject:sha256:ab…".
	Keys []string
	// Negative is set for evidence that can only take credit away (a revocation, a
	// rejection), and names from what: a search key, or everything. Stores keep the
	// chain of these in memory, so no index can forget one.
	Negative string
	// Stamp is what the entry's timestamp covers: its signature bytes.
	Stamp []byte
}

// A Record is an entry at its place in the log.
type Record struct {
	Index uint64
	Entry
	// Time is when the sequencer took the entry, in UTC and whole milliseconds.
	// It never decreases by index, and Token says the same.
	Time  time.Time
	Token []byte // RFC 3161 response, DER
}

// A Batch is one step of the log: records that follow Size of the step before,
// and the signed checkpoint that covers them. It is committed whole or not at all.
type Batch struct {
	Records    []Record
	Checkpoint tlog.Checkpoint
	Note       []byte // the signed checkpoint
	Token      []byte // RFC 3161 response over Note, DER
	Time       time.Time
}

// A Head is a signed checkpoint that a store holds.
type Head struct {
	tlog.Checkpoint
	Note  []byte
	Token []byte
	Time  time.Time
}

// A Link is one entry of the chain of negative evidence; its Scope is of the
// entry's Negative.
type Link = tlog.Link

// A Query asks for the entries under one search key, or, with an empty Key, for
// all of them. Results come in log order.
type Query struct {
	Key   string
	From  uint64 // first index of interest
	Until uint64 // first index of no interest; the head's size when zero
	Limit int    // 1 to MaxPage
}

// MaxPage is the largest Limit of a Query.
const MaxPage = 10_000

// Errors that callers branch on. Stores and the ledger wrap them.
var (
	// ErrNotFound: there is no such entry, leaf or tile.
	ErrNotFound = errors.New("not found")
	// ErrOverloaded: the pool is full; try again later. Nothing was stored.
	ErrOverloaded = errors.New("overloaded")
	// ErrReadOnly: the store takes no entries now (free space, or by configuration).
	ErrReadOnly = errors.New("read-only")
	// ErrClosed: the ledger has stopped, or stops. Whether an entry in flight
	// was stored is unknown until the ledger is opened again.
	ErrClosed = errors.New("closed")
	// ErrCorrupt: what is stored contradicts itself. The message says where.
	ErrCorrupt = errors.New("corrupt")
	// ErrRolledBack: the store is behind a checkpoint that was signed before.
	ErrRolledBack = errors.New("rolled back")
)

// A Store keeps the log. There is one writer, the sequencer; readers are many
// and see everything up to the last commit.
type Store interface {
	// Head returns the last committed checkpoint.
	Head() Head
	// Commit makes a batch permanent. When it returns nil the batch is durable
	// whatever becomes of this process. ErrReadOnly means that nothing was
	// written. After any other error nobody knows what the store holds, so the
	// caller must stop, and leave it to opening to find out.
	Commit(ctx context.Context, b Batch) error
	// Record returns the entry at index, checked against its leaf hash in the tree.
	Record(ctx context.Context, index uint64) (Record, error)
	// Lookup returns the index of the entry with this leaf hash; false when none has.
	Lookup(ctx context.Context, leaf tlog.Hash) (uint64, bool, error)
	// Tile returns a full tile (256 hashes, 8,192 bytes) or, at the right edge,
	// the hashes that the last commit made, in the same layout.
	// Level 0 holds leaf hashes.
	Tile(ctx context.Context, level int, index uint64) ([]byte, error)
	// Search returns the indexes that a query finds, in log order, at most Limit.
	Search(ctx context.Context, q Query) ([]uint64, error)
	// Negative returns the chain of negative evidence up to the last commit.
	// The caller must not change it.
	Negative() []Link
	// Checkpoint returns the signed checkpoint of exactly this size, when one
	// was signed; ErrNotFound otherwise.
	Checkpoint(ctx context.Context, size uint64) (Head, error)
	Close() error
}
