//go:build unix && !linux

package badgerstore

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync syncs f. Elsewhere than on Linux fdatasync is missing or weaker.
func datasync(f *os.File) error { return f.Sync() }

// freeBytes returns the space that a process without privileges can still use on
// the file system that holds path.
func freeBytes(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

// bootID is unknown here, so an unclean stop always rebuilds the index.
func bootID() string { return "" }

// lockFile takes an exclusive lock on f, or fails at once.
func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
