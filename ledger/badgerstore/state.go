package badgerstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The state file is one line of text that says how far index/ and positions can
// be trusted:
//
//	countersign index v1 open BOOT          a process has them open, or was killed
//	countersign index v1 closed FINGERPRINT they were closed and synced
//
// BOOT names the run of the machine. While it lasts, a killed process loses
// nothing that it wrote; after it, files that were not synced may hold anything.
// FINGERPRINT tells files that were truncated, lost or replaced since.
const stateTitle = "countersign index v1"

// Whether index/ and positions can be used.
type condition int

const (
	unusable condition = iota // make them again
	usable                    // they hold a prefix of the log
)

func (l layout) condition() condition {
	b, err := os.ReadFile(l.state())
	if err != nil {
		return unusable
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(b)), stateTitle+" ")
	kind, value, _ := strings.Cut(rest, " ")
	if !ok || value == "" {
		return unusable
	}
	switch kind {
	case "open":
		if value == bootID() {
			return usable
		}
	case "closed":
		if now, err := fingerprintOf(l.index()); err == nil && now == value {
			return usable
		}
	}
	return unusable
}

func (l layout) setOpen(d disk) error {
	return replace(d, l.state(), fmt.Appendf(nil, "%s open %s\n", stateTitle, bootID()))
}

func (l layout) setClosed(d disk, fingerprint string) error {
	return replace(d, l.state(), fmt.Appendf(nil, "%s closed %s\n", stateTitle, fingerprint))
}

// fingerprintOf hashes the names and sizes of the files of an index, and all of
// its MANIFEST: Badger opens with a truncated one, without what it forgot. Flipped
// bits in tables are found by their own checksums.
func fingerprintOf(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, e := range entries {
		if e.Name() == "LOCK" {
			continue
		}
		st, err := e.Info()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n", e.Name(), st.Size())
	}
	manifest, err := os.Open(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		return "", err
	}
	defer manifest.Close()
	if _, err := io.Copy(sum, manifest); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// distrust makes the next Open build index and positions again.
func (l layout) distrust() { os.Remove(l.state()) }
