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

// object reads one object of a known type and size limit.
func (r *Repo) object(ctx context.Context, id ID, typ string) ([]byte, error) {
	if r.cat == nil {
		if err := r.startCatFile(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := fmt.Fprintln(r.cat.in, id); err != nil {
		return nil, fmt.Errorf("ask git for %s: %w", short(id), err)
	}
	header, err := r.cat.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("read %s from git: %w", short(id), err)
	}
	fields := strings.Fields(header)
	if len(fields) != 3 {
		return nil, fmt.Errorf("object %s: %w", short(id), ErrNotFound)
	}
	size, err := strconv.Atoi(fields[2])
	if err != nil {
		return nil, fmt.Errorf("object %s: git says %.80q", short(id), header)
	}
	body := make([]byte, size+1)
	if _, err := io.ReadFull(r.cat.out, body); err != nil {
		return nil, fmt.Errorf("read %s from git: %w", short(id), err)
	}
	if fields[1] != typ {
		return nil, fmt.Errorf("object %s is a %s, not a %s", short(id), fields[1], typ)
	}
	return body[:size], nil
}

// Commit reads and parses one commit.
func (r *Repo) Commit(ctx context.Context, id ID) (Commit, error) {
	body, err := r.object(ctx, id, "commit")
	if err != nil {
		return Commit{}, err
	}
	return parseCommit(id, body)
}
