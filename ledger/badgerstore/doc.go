// Package badgerstore keeps a log on disk: an append-only journal that is the
// truth, and beside it what makes the journal quick to ask (Badger and a file of
// positions), which can be thrown away and made again at any time.
//
// A folder of the store holds
//
//	lock        held by the one process that has the store open
//	head        the last signed checkpoint (Options.HeadDir moves it elsewhere)
//	journal/    segments of records, the truth: see format.go for every byte
//	index/      Badger, unsynced: tiles, leaf hash → index, search keys, checkpoints
//	positions   eight bytes an entry: where in the journal it is
//	state       how the last process left index/ and positions
//
// A commit writes one batch with one write and one fdatasync to the journal.
// From then on the batch is permanent. Only afterwards the index learns of it,
// and only then do readers see it.
//
// What a stop leaves behind:
//   - killed before the journal was synced: a torn tail, which opening cuts off,
//     or a whole batch that nobody was told of, which opening keeps and syncs;
//   - killed after it: an index that is behind, which opening brings up;
//   - a machine that lost power while the store was open: an index that may have
//     lost anything, which opening makes again from the journal.
package badgerstore
