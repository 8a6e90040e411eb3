package gitfacts

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Span is a run of lines, both ends included, counted from 1.
type Span struct{ First, Last int }

// maxDiff bounds the diff that one commit's added lines are read from, in bytes.
const maxDiff = 64 << 20

// AddedLines returns, for each path of a commit, the lines that it adds against its
// first parent, as they are numbered in the commit. Renames show as whole files, and
// binary files have no lines. A commit with several parents adds nothing of its own.
// The error is ErrLimit beyond 64 MiB of diff.
func (r *Repo) AddedLines(ctx context.Context, c Commit) (map[string][]Span, error) {
	if len(c.Parents) > 1 {
		return map[string][]Span{}, nil
	}
	args := []string{"diff-tree", "-p", "-U0", "-r", "--root", "--no-commit-id", "--no-renames", "--no-ext-diff",
		"--no-textconv", "--no-color", "--full-index", "--src-prefix=a/", "--dst-prefix=b/", string(c.ID)}
	if len(c.Parents) == 1 {
		args = append(args[:len(args)-1], string(c.Parents[0]), string(c.ID))
	}
	cmd, err := r.replayCommand(ctx, c.ID, args...)
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start git diff-tree: %w", err)
	}
	added, err := readAdded(io.LimitReader(out, maxDiff+1))
	if err != nil {
		_ = cmd.Process.Kill() // it may wait for a reader
	}
	if ended := cmd.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("%s: %w", strings.TrimSpace(stderr.String()), ended)
	}
	if err != nil {
		return nil, fmt.Errorf("list the lines that %s adds: %w", short(c.ID), err)
	}
	return added, nil
}

// errDiff says that git printed what no diff has.
var errDiff = errors.New("git printed no diff that can be read")

// readAdded reads a diff without context. Lines inside a hunk are counted off and
// not looked at, for a file may hold lines that look like a header.
func readAdded(from io.Reader) (map[string][]Span, error) {
	added := make(map[string][]Span)
	in := bufio.NewReaderSize(from, 64<<10)
	path, size := "", 0
	skip := 0 // lines of the hunk that are left
	for {
		line, n, err := readStart(in)
		if size += n; size > maxDiff {
			return nil, fmt.Errorf("the diff has more than %d bytes: %w", maxDiff, ErrLimit)
		}
		if err == io.EOF && n == 0 {
			if skip > 0 {
				return nil, errDiff
			}
			return added, nil
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		switch {
		case skip > 0 && (strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-")):
			skip--
		case strings.HasPrefix(line, `\ `): // that the line above has no line break
		case skip > 0:
			return nil, errDiff
		case strings.HasPrefix(line, "+++ "):
			if path, err = diffPath(line[len("+++ "):]); err != nil {
				return nil, err
			}
		case strings.HasPrefix(line, "@@ "):
			span, lines, err := hunk(line)
			if err != nil {
				return nil, err
			}
			if skip = lines; span.Last >= span.First {
				added[path] = append(added[path], span)
			}
		}
	}
}

// readStart reads a line and returns at most its first 8 KiB, and its length.
func readStart(in *bufio.Reader) (string, int, error) {
	var start []byte
	n := 0
	for {
		part, err := in.ReadSlice('\n')
		n += len(part)
		start = append(start, part[:min(len(part), 8<<10-len(start))]...)
		if err != bufio.ErrBufferFull {
			return strings.TrimSuffix(string(start), "\n"), n, err
		}
	}
}

// diffPath reads the name behind "+++ ", which git quotes where it must.
func diffPath(s string) (string, error) {
	if strings.HasPrefix(s, `"`) {
		name, err := strconv.Unquote(s)
		if err != nil {
			return "", fmt.Errorf("path %.80s: %w", s, errDiff)
		}
		s = name
	} else {
		s = strings.TrimSuffix(s, "\t") // behind names with a space
	}
	return strings.TrimPrefix(s, "b/"), nil
}

// hunk reads "@@ -a,b +c,d @@": the lines that are added, and how many lines of text
// the hunk has.
func hunk(line string) (Span, int, error) {
	f := strings.Fields(line)
	if len(f) < 4 || f[3] != "@@" {
		return Span{}, 0, errDiff
	}
	_, removed, ok1 := hunkSide(f[1], "-")
	first, added, ok2 := hunkSide(f[2], "+")
	if !ok1 || !ok2 {
		return Span{}, 0, errDiff
	}
	return Span{first, first + added - 1}, removed + added, nil
}

func hunkSide(s, sign string) (first, count int, ok bool) {
	s, ok = strings.CutPrefix(s, sign)
	start, n, counted := strings.Cut(s, ",")
	first, err := strconv.Atoi(start)
	count = 1
	if err == nil && counted {
		count, err = strconv.Atoi(n)
	}
	return first, count, ok && err == nil && first >= 0 && count >= 0 && count <= maxDiff
}
