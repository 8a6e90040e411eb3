package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-dev/countersign/attest"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

func newLogSearch(a *app) *cobra.Command {
	q := &countersignv1.SearchRequest{}
	var since, until string
	var limit int
	c := &cobra.Command{
		Use:   "search",
		Short: "Find entries",
		Long: `Find entries, in the order of the log. What is given must all hold. --type takes the
short names (change, approval, admission, …) or a full URI; times are RFC 3339 or a day.`,
		Example: `  countersign log search --repository github.com/org/repo --change 1145
  countersign log search --person alice --type approval --since 2026-03-01
  countersign log search --subject sha256:9f86d081884c7d65…`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = parseWhen("--since", since); err != nil {
				return err
			}
			if q.Until, err = parseWhen("--until", until); err != nil {
				return err
			}
			q.PredicateType = fullType(q.PredicateType)
			if q.Change != "" && q.Repository == "" {
				q.Repository = os.Getenv("COUNTERSIGN_REPOSITORY")
			}
			return a.logSearch(c.Context(), q, limit)
		},
	}
	fl := c.Flags()
	fl.StringVar(&q.Subject, "subject", "", "a digest, such as sha256:… or gitCommit:…")
	fl.StringVar(&q.PredicateType, "type", "", "predicate type")
	fl.StringVar(&q.Signer, "signer", "", "key id")
	fl.StringVar(&q.Person, "person", "", "roster id of a person, agent or service")
	fl.StringVar(&q.Repository, "repository", "", "repository id, host/path")
	fl.StringVar(&q.Change, "change", "", "change of --repository (or of COUNTERSIGN_REPOSITORY)")
	fl.StringVar(&since, "since", "", "logged at this time or later")
	fl.StringVar(&until, "until", "", "logged before this time")
	fl.IntVar(&limit, "limit", 100, "at most this many")
	return c
}

func (a *app) logSearch(ctx context.Context, q *countersignv1.SearchRequest, limit int) error {
	if limit < 1 {
		return wrong("--limit %d: must be 1 or more", limit)
	}
	if q.Repository != "" {
		if err := attest.ParseRepository(q.Repository); err != nil {
			return wrong("--repository: %v", err)
		}
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	q.PageSize = uint32(min(limit, 1000))
	entries, err := a.search(ctx, l, q, limit)
	if err != nil {
		return err
	}
	entries = entries[:min(limit, len(entries))]
	if a.json() {
		list := []any{}
		for _, e := range entries {
			list = append(list, entryJSON(e, nil, false))
		}
		return a.writeJSON(list)
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, e := range entries {
		fmt.Fprintln(w, entryLine(e))
	}
	if err := w.Flush(); err != nil {
		return broken("write output: %v", err)
	}
	if len(entries) == 0 {
		return refused("nothing is found")
	}
	return nil
}

// entryLine is one entry for people, in tabbed columns.
func entryLine(e *countersignv1.LogEntry) string {
	who := e.Person
	if who == "" {
		who = fmt.Sprintf("key %.12s", e.Signer)
	}
	about := e.Repository
	if e.Change != "" {
		about += " " + e.Change
	}
	if about == "" && len(e.Subjects) > 0 {
		about = fmt.Sprintf("%.24s", e.Subjects[0])
	}
	what := shortType(e.PredicateType)
	switch {
	case e.Unseen:
		what, about = "?", "logged, statement not seen"
	case e.Carrier == "attachment":
		about += fmt.Sprintf(" (attached to #%d)", e.AttachedTo)
	case e.Carrier != "":
		about += " (from another log)"
	}
	return fmt.Sprintf("#%d\t%s\t%s\t%s\t%s", e.Index, e.LoggedAt.AsTime().Format(time.RFC3339), what, printable(who, 40), printable(about, 80))
}

func (a *app) showEntry(e *countersignv1.LogEntry, held *receipt) {
	a.printf("%s\n", a.bold(strings.ReplaceAll(entryLine(e), "\t", "  ")))
	if e.Unseen {
		a.printf("  signed by %s\n  It counts for nothing until somebody attaches what was signed: countersign attach BUNDLE\n", e.Signer)
		return
	}
	a.printf("  statement sha256:%s\n  signed by key %s\n", e.StatementDigest, e.Signer)
	for _, s := range e.Subjects {
		a.printf("  subject   %s\n", printable(s, 160))
	}
	if e.Negative {
		a.printf("  negative  it is chained, so that nobody can leave it out\n")
	}
	if held == nil {
		a.printf("%s\n", a.faint("not verified: add --trust DIR"))
		return
	}
	a.printf("%s  in %s, taken at %s\n", a.green("proven"), describeCheckpoint(held.checkpoint), held.at.Format(time.RFC3339))
}

// entryJSON is an entry for programs; b adds its statement.
func entryJSON(e *countersignv1.LogEntry, b *attest.Bundle, verified bool) map[string]any {
	out := map[string]any{
		"index": e.Index, "loggedAt": e.LoggedAt.AsTime(), "predicateType": e.PredicateType, "signer": e.Signer,
		"person": e.Person, "statement": e.StatementDigest, "subjects": append([]string{}, e.Subjects...),
		"repository": e.Repository, "change": e.Change, "negative": e.Negative, "verified": verified,
	}
	if e.Unseen {
		out["unseen"] = true
	}
	if e.Carrier != "" {
		out["carrier"] = e.Carrier
	}
	if e.Carrier == "attachment" {
		out["attachedTo"] = e.AttachedTo
	}
	if b != nil {
		out["payload"] = jsontext.Value(b.Payload)
	}
	return out
}

// fullType turns a short name into the predicate type.
func fullType(s string) string {
	if full, ok := attest.ShortTypes[s]; ok {
		return full
	}
	return s
}

func parseWhen(flag, s string) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, wrong("%s %q is neither RFC 3339 nor a day such as 2026-03-01", flag, s)
}

func newLogWatch(a *app) *cobra.Command {
	w := &countersignv1.WatchRequest{}
	var trust string
	var limit int
	c := &cobra.Command{
		Use:   "watch",
		Short: "Print entries as they come",
		Long: `Print every entry from an index on, then those to come, until interrupted. With
--trust each receipt is checked; one that does not hold ends the command with exit 4.`,
		Example: `  countersign log watch --from 0 --type approval
  countersign log watch --trust trust --format json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w.PredicateType = fullType(w.PredicateType)
			return a.logWatch(c.Context(), w, trust, limit)
		},
	}
	trustFlag(c, &trust)
	fl := c.Flags()
	fl.Uint64Var(&w.FromIndex, "from", 0, "first entry of interest")
	fl.StringVar(&w.PredicateType, "type", "", "predicate type")
	fl.StringVar(&w.Repository, "repository", "", "repository id, host/path")
	fl.IntVar(&limit, "limit", 0, "stop after this many (default: never)")
	return c
}

func (a *app) logWatch(ctx context.Context, q *countersignv1.WatchRequest, trustDir string, limit int) error {
	trust, err := maybeTrust(trustDir)
	if err != nil {
		return err
	}
	l, err := a.connect()
	if err != nil {
		return err
	}
	stream, err := l.Watch(ctx, connect.NewRequest(q))
	if err != nil {
		return err
	}
	defer stream.Close()
	for n := 0; (limit == 0 || n < limit) && stream.Receive(); n++ {
		e := stream.Msg().GetEntry()
		var b *attest.Bundle
		if !e.GetUnseen() {
			if b, err = attest.ParseBundle(e.GetBundle()); err != nil {
				return broken("entry %d: %v", e.GetIndex(), err)
			}
		}
		if trust != nil && b != nil {
			if _, err := receiptAt(trust, b, e.Index); err != nil {
				return err
			}
		}
		if !a.json() {
			a.printf("%s\n", strings.ReplaceAll(entryLine(e), "\t", "  "))
		} else if err := a.writeLine(entryJSON(e, b, trust != nil && b != nil)); err != nil {
			return err
		}
	}
	if err := stream.Err(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// writeLine prints one value as JSON on a line of its own.
func (a *app) writeLine(v any) error {
	text, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return broken("write output: %v", err)
	}
	a.printf("%s\n", text)
	return nil
}
