package follow_test

import (
	"bytes"

	"github.com/countersign-dev/countersign/ledger/tlog"
)

// onPath changes what is served at one path.
func onPath(path string, change func([]byte) []byte) func(string, []byte) (int, []byte) {
	return func(asked string, honest []byte) (int, []byte) {
		if asked != path {
			return 0, nil
		}
		return 200, change(bytes.Clone(honest))
	}
}

func status(path string, code int, body string) func(string, []byte) (int, []byte) {
	full, _, _ := bytes.Cut([]byte(path), []byte(".p/"))
	return func(asked string, _ []byte) (int, []byte) {
		if asked != path && asked != string(full) {
			return 0, nil
		}
		return code, []byte(body)
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

func pad(n int) func([]byte) []byte {
	return func(b []byte) []byte { return append(b, make([]byte, n)...) }
}

func cut(n int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:len(b)-n] }
}

func replaceIn(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

func drop(entries [][]byte) [][]byte   { return entries[:len(entries)-1] }
func double(entries [][]byte) [][]byte { return append(entries, entries[len(entries)-1]) }

// lastEntry changes the end of an entry bundle of 88 entries.
func lastEntry(change func([][]byte) [][]byte) func([]byte) []byte {
	return func(b []byte) []byte {
		entries, err := tlog.ParseEntries(b, 88)
		if err != nil {
			return nil
		}
		var out []byte
		for _, e := range change(entries) {
			if out, err = tlog.AppendEntry(out, e); err != nil {
				return nil
			}
		}
		return out
	}
}
