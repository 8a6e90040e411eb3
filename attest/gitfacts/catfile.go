package gitfacts

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// catFile is one running `git cat-file --batch`: a range of changes needs
// thousands of objects, and one process for all of them.
type catFile struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (r *Repo) startCatFile(ctx context.Context) error {
	cmd := r.command(ctx, "cat-file", "--batch")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start git cat-file: %w", err)
	}
	r.cat = &catFile{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 64<<10)}
	return nil
}

func (c *catFile) close() error {
	c.in.Close()
	return c.cmd.Wait()
}

// maxObject is the largest commit or tree that is read, in bytes.
const maxObject = 64 << 20

// object reads one object of a known type. Git does not hash what it reads from a
// pack, so the bytes are held against the id here.
func (r *Repo) object(ctx context.Context, id ID, typ string) ([]byte, error) {
	if !validID(id) {
		return nil, fmt.Errorf("object %.80q: %w", id, ErrNotFound)
	}
	if r.cat == nil {
		if err := r.startCatFile(ctx); err != nil {
			return nil, err
		}
	}
	got, body, err := r.cat.ask(id, typ)
	if err != nil {
		return nil, err
	}
	if got != typ {
		return nil, fmt.Errorf("object %s is a %s, not a %s", short(id), got, typ)
	}
	loose := Object{Type: typ, Body: body}.appendLoose(nil)
	if is, err := hashObject(loose, len(id) == 64); err != nil || is != id {
		return nil, fmt.Errorf("object %s: the repository holds other bytes under this id; run: git fsck", short(id))
	}
	return body, nil
}

// ask returns the type and content of an object; no content of a blob, unless one is
// wanted.
func (c *catFile) ask(id ID, want string) (typ string, body []byte, err error) {
	if _, err := fmt.Fprintln(c.in, id); err != nil {
		return "", nil, fmt.Errorf("ask git for %s: %w", short(id), err)
	}
	header, err := c.out.ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("read %s from git: %w", short(id), err)
	}
	fields := strings.Fields(header)
	if len(fields) != 3 {
		return "", nil, fmt.Errorf("object %s: %w", short(id), ErrNotFound)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return "", nil, fmt.Errorf("object %s: git says %.80q", short(id), header)
	}
	if fields[1] == "blob" && want != "blob" || size > maxObject {
		if _, err := io.CopyN(io.Discard, c.out, size+1); err != nil {
			return "", nil, fmt.Errorf("read %s from git: %w", short(id), err)
		}
		if size > maxObject {
			return "", nil, fmt.Errorf("object %s has %d bytes; the limit is %d", short(id), size, maxObject)
		}
		return fields[1], nil, nil
	}
	body = make([]byte, size+1)
	if _, err := io.ReadFull(c.out, body); err != nil {
		return "", nil, fmt.Errorf("read %s from git: %w", short(id), err)
	}
	return fields[1], body[:size], nil
}

// Commit reads and parses one commit.
func (r *Repo) Commit(ctx context.Context, id ID) (Commit, error) {
	body, err := r.object(ctx, id, "commit")
	if err != nil {
		return Commit{}, err
	}
	return parseCommit(id, body)
}
