package ledger

// Waiting returns how many calls are queued.
func Waiting(l *Ledger) int {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return len(l.pool.queue)
}

// Reserved returns how many entries the pool has room reserved for.
func Reserved(l *Ledger) int {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return l.pool.entries
}
