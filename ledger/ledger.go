// Package ledger is the engine: entries in, checkpoints and receipts out. One
// sequencer owns the tree; everything else reads what it committed.
package ledger
