package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/countersign-dev/countersign/attest/gitfacts"
	"github.com/countersign-dev/countersign/attest/notes"
)

// gittufRef is where gittuf keeps attestations.
const gittufRef = "refs/gittuf/attestations"

// notesSource says which attestations of a git repository are read.
type notesSource struct {
	ref, repo   string
	gittuf, dry bool
}

// importNotes shows what a ref holds, and brings in what a ledger can take. It is a no
// (exit 1) when nothing of it could be.
func (a *app) importNotes(ctx context.Context, from notesSource, commits []string) error {
	repo, err := gitfacts.Open(ctx, from.repo)
	if err != nil {
		return wrong("--repo: %v", err)
	}
	defer repo.Close()
	wanted := make(map[string]bool)
	for _, c := range commits {
		id, err := repo.Resolve(ctx, c)
		if err != nil {
			return wrong("%v", err)
		}
		wanted[string(id)] = true
	}
	n := notesImport{app: a, dry: from.dry}
	for blob, err := range repo.Blobs(ctx, from.ref) {
		if err != nil && blob.Path == "" {
			return wrong("%v", err)
		}
		about := strings.ReplaceAll(blob.Path, "/", "")
		if from.gittuf {
			about = blob.Path
		}
		if len(wanted) > 0 && !wanted[about] {
			continue
		}
		if err := n.note(ctx, about, blob.Content, err); err != nil {
			return err
		}
	}
	switch {
	case n.seen == 0:
		return refused("%s holds no attestation that was asked for", from.ref)
	case n.taken == 0 && !from.dry:
		return refused("none of %s could be imported", plural(n.seen, "attestation"))
	}
	return nil
}

// A notesImport goes through the notes of a ref.
type notesImport struct {
	app         *app
	ledger      *ledger
	dry         bool
	seen, taken int
}

func (n *notesImport) note(ctx context.Context, about string, content []byte, err error) error {
	var found []notes.Found
	if err == nil {
		found, err = notes.Read(content)
	}
	if err != nil {
		found = []notes.Found{{Why: err.Error()}}
	}
	for i := range found {
		f := &found[i]
		n.seen++
		index := int64(-1)
		if f.Why == "" && !n.dry {
			if index, err = n.bring(ctx, f); err != nil {
				if ctx.Err() != nil {
					return err
				}
				_, f.Why = classify(err)
			}
		}
		if index >= 0 {
			n.taken++
		}
		if err := n.say(about, f, index); err != nil {
			return err
		}
	}
	return nil
}

// bring sends one attestation, and returns its entry.
func (n *notesImport) bring(ctx context.Context, f *notes.Found) (int64, error) {
	if n.ledger == nil {
		var err error
		if n.ledger, err = n.app.connect(); err != nil {
			return -1, err
		}
	}
	if f.Bundle != nil {
		done, err := n.app.sendImport(ctx, n.ledger, f.Bundle)
		if err != nil {
			return -1, err
		}
		return int64(done.Result.GetIndex()), nil
	}
	text, err := f.Envelope.Marshal()
	if err != nil {
		return -1, err
	}
	results, err := n.app.append(ctx, n.ledger, [][]byte{text})
	if err != nil {
		return -1, err
	}
	return int64(results[0].Index), nil
}

func (n *notesImport) say(about string, f *notes.Found, index int64) error {
	a := n.app
	if a.json() {
		out := map[string]any{"about": about, "predicateType": f.PredicateType, "subjects": append([]string{}, f.Subjects...), "signers": append([]string{}, f.Signers...)}
		if index >= 0 {
			out["index"] = index
		}
		if f.Why != "" {
			out["why"] = f.Why
		}
		return a.writeLine(out)
	}
	what := "no statement"
	if f.PredicateType != "" {
		what = shortType(f.PredicateType)
	}
	line := fmt.Sprintf("%.60s  %s  by %s", printable(about, 60), printable(what, 80), printable(strings.Join(f.Signers, ", "), 200))
	switch {
	case index >= 0:
		a.printf("%s  #%d\n", line, index)
	case f.Why != "":
		a.printf("%s\n  %s %s\n", line, a.red("left:"), printable(f.Why, 400))
	default:
		a.printf("%s  %s\n", line, a.faint("could be tried"))
	}
	return nil
}
