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
	if r.cat != nil {
		return nil
	}
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

// maxObject is the largest object that is read, in bytes.
const maxObject = 64 << 20

// object reads one object of a known type. Git does not hash what it reads from a
// pack, so the bytes are held against the id here.
func (r *Repo) object(ctx context.Context, id ID, typ string) ([]byte, error) {
	if !validID(id) {
		return nil, fmt.Errorf("object %.80q: %w", id, ErrNotFound)
	}
	if err := r.startCatFile(ctx); err != nil {
		return nil, err
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

// ask returns the type of an object, and its content when it is of the type that is
// wanted.
func (c *catFile) ask(id ID, want string) (typ string, body []byte, err error) {
	fields, size, err := c.header(string(id))
	if err != nil {
		return "", nil, err
	}
	if fields[1] != want || size > maxObject {
		if _, err := io.CopyN(io.Discard, c.out, size+1); err != nil {
			return "", nil, fmt.Errorf("read %s from git: %w", short(id), err)
		}
		if fields[1] == want {
			return "", nil, fmt.Errorf("object %s has %d bytes; the limit is %d bytes: %w", short(id), size, maxObject, ErrLimit)
		}
		return fields[1], nil, nil
	}
	body = make([]byte, size+1)
	if _, err := io.ReadFull(c.out, body); err != nil {
		return "", nil, fmt.Errorf("read %s from git: %w", short(id), err)
	}
	return fields[1], body[:size], nil
}

// header asks for an object by any name, and reads the line that git answers with: its
// id, its type and its size.
func (c *catFile) header(name string) ([]string, int64, error) {
	if _, err := fmt.Fprintln(c.in, name); err != nil {
		return nil, 0, fmt.Errorf("ask git for %.40s: %w", name, err)
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		return nil, 0, fmt.Errorf("read %.40s from git: %w", name, err)
	}
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return nil, 0, fmt.Errorf("object %.40s: %w", name, ErrNotFound)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("object %.40s: git says %.80q", name, line)
	}
	return fields, size, nil
}

// resolve returns the id of an object by name. Its content is not looked at.
func (c *catFile) resolve(name string) (ID, error) {
	fields, size, err := c.header(name)
	if err != nil {
		return "", err
	}
	if _, err := io.CopyN(io.Discard, c.out, size+1); err != nil {
		return "", fmt.Errorf("read %.40s from git: %w", name, err)
	}
	id := ID(fields[0])
	if !validID(id) || fields[1] != "commit" {
		return "", fmt.Errorf("object %.40s: git says that it is the %s %.80q", name, fields[1], id)
	}
	return id, nil
}

// Commit reads and parses one commit.
func (r *Repo) Commit(ctx context.Context, id ID) (Commit, error) {
	body, err := r.object(ctx, id, "commit")
	if err != nil {
		return Commit{}, err
	}
	return parseCommit(id, body)
}
