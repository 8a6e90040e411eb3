package main

import (
	"context"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-dev/countersign/attest"
	"github.com/countersign-dev/countersign/policy/cohort"
)

// prepare checks the flags before anything is read.
func (f *cohortFlags) prepare(a *app, formats ...string) error {
	if !slices.Contains(formats, a.format) {
		return wrong("--format %s: this command writes %s", a.format, strings.Join(formats, ", "))
	}
	var err error
	if f.query.Since, err = f.when(a, "--since", f.since); err != nil {
		return err
	}
	if f.query.Until, err = f.when(a, "--until", f.until); err != nil {
		return err
	}
	f.query.By, f.query.Confidence, f.query.Severity = cohort.Dimension(f.by), attest.Confidence(f.confidence), attest.Severity(f.severity)
	switch {
	case f.by != "" && !slices.Contains(cohort.Dimensions(), f.query.By):
		return wrong("--by %.40q: is none of %s", f.by, strings.Join(dimensions(), ", "))
	case f.confidence != "" && !slices.Contains(attest.Confidences(), f.query.Confidence):
		return wrong("--confidence %.40q: is none of confirmed, likely, possible", f.confidence)
	case f.severity != "" && !slices.Contains(attest.Severities(), f.query.Severity):
		return wrong("--severity %.40q: is none of sev1, sev2, sev3, sev4", f.severity)
	}
	return nil
}

// when reads a time, a day, or how long ago: 90d, 12h.
func (f *cohortFlags) when(a *app, flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 100_000 {
			return a.now().UTC().AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return a.now().UTC().Add(-d), nil
	}
	at, err := parseWhen(flag, s)
	if err != nil {
		return time.Time{}, wrong("%s %q is no time, no day such as 2026-03-01, and no age such as 90d", flag, s)
	}
	return at.AsTime(), nil
}

// output runs a writer on --out, or on standard output.
func (a *app) output(path string, write func(io.Writer) error) error {
	if path == "" {
		return write(a.out)
	}
	file, err := os.Create(path)
	if err != nil {
		return wrong("--out: %v", err)
	}
	if err := write(file); err != nil {
		_ = file.Close() // the first error tells
		return broken("%s: %v", path, err)
	}
	if err := file.Close(); err != nil {
		return broken("%s: %v", path, err)
	}
	return nil
}

// into runs a printing function with --out as standard output.
func (a *app) into(path string, show func(*app) error) error {
	return a.output(path, func(w io.Writer) error {
		b := *a
		b.out = w
		if path != "" {
			b.color = false
		}
		return show(&b)
	})
}

func (a *app) cohortReport(ctx context.Context, f *cohortFlags) error {
	if err := f.prepare(a, "text", "json", "csv", "svg"); err != nil {
		return err
	}
	l, err := a.readLog(ctx, f.trust)
	if err != nil {
		return err
	}
	r := l.Report(f.query)
	switch a.format {
	case "csv":
		return a.output(f.out, r.WriteCSV)
	case "svg":
		return a.output(f.out, r.WriteSVG)
	case "json":
		return a.into(f.out, func(a *app) error { return a.writeJSON(r) })
	}
	return a.into(f.out, func(a *app) error { return a.showReport(r, f.entries) })
}

func (a *app) cohortBypasses(ctx context.Context, f *cohortFlags) error {
	if err := f.prepare(a, "text", "json", "csv"); err != nil {
		return err
	}
	l, err := a.readLog(ctx, f.trust)
	if err != nil {
		return err
	}
	r := l.Bypasses(f.query)
	switch a.format {
	case "csv":
		err = a.output(f.out, r.WriteCSV)
	case "json":
		err = a.into(f.out, func(a *app) error { return a.writeJSON(r) })
	default:
		err = a.into(f.out, func(a *app) error { return a.showBypasses(r) })
	}
	switch {
	case err != nil:
		return err
	case len(r.Bypasses) > 0:
		return silent(exitNo)
	case !r.Known():
		return silent(exitBroken)
	}
	return nil
}

func (a *app) cohortInventory(ctx context.Context, f *cohortFlags) error {
	if err := f.prepare(a, "text", "json"); err != nil {
		return err
	}
	l, err := a.readLog(ctx, f.trust)
	if err != nil {
		return err
	}
	inv := l.Inventory()
	return a.into(f.out, func(a *app) error {
		if a.json() {
			return a.writeJSON(inv)
		}
		return a.showInventory(inv)
	})
}

func (a *app) cohortSignals(ctx context.Context, f *cohortFlags) error {
	if err := f.prepare(a, "text", "json"); err != nil {
		return err
	}
	l, err := a.readLog(ctx, f.trust)
	if err != nil {
		return err
	}
	s := l.Signals(f.query)
	return a.into(f.out, func(a *app) error {
		if a.json() {
			return a.writeJSON(s)
		}
		return a.showSignals(s)
	})
}
