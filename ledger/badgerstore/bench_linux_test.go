package badgerstore

import (
	"os"
	"strings"
	"syscall"
	"time"
)

// cpuTime is what this process has used of the processors so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ownMemory is the memory of this process that is not files, and its largest.
func ownMemory() string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "RssAnon") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return ""
}
