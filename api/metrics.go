package api

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/countersign-dev/countersign/ledger"
	"github.com/countersign-dev/countersign/policy"
	countersignv1 "github.com/countersign-dev/countersign/proto/gen/countersign/v1"
)

// Metrics are what a server counts, for Prometheus. One Metrics belongs to one
// server and its store.
type Metrics struct {
	registry      *prometheus.Registry
	entries       *prometheus.CounterVec
	appendSeconds prometheus.Histogram
	batches       prometheus.Counter
	batchEntries  prometheus.Histogram
	commitSeconds prometheus.Histogram
	refused       *prometheus.CounterVec
	verdicts      *prometheus.CounterVec
	timestamps    *prometheus.CounterVec
	treeSize      sync.Once
}

// NewMetrics makes them, all zero.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry:      prometheus.NewRegistry(),
		entries:       counters("entries_total", "Bundles that an Append was answered with, new to the log or already in it.", "outcome"),
		appendSeconds: histogram("append_seconds", "From a whole Append request to its answer.", prometheus.ExponentialBuckets(0.0005, 2, 14)),
		batches:       prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "batches_total", Help: "Commits of the log."}),
		batchEntries:  histogram("batch_entries", "Entries of one commit.", prometheus.ExponentialBuckets(1, 2, 11)),
		commitSeconds: histogram("commit_seconds", "One commit of the store, with its sync.", prometheus.ExponentialBuckets(0.0001, 2, 14)),
		refused:       counters("refused_total", "Requests that were refused or failed, by kind (docs/formats.md).", "kind"),
		verdicts:      counters("verdicts_total", "Verdicts given; source says whether it was made, repeated or remembered.", "verdict", "dry_run", "source"),
		timestamps:    counters("timestamps_total", "RFC 3161 requests that were answered.", "granted"),
	}
	m.registry.MustRegister(
		m.entries, m.appendSeconds, m.batches, m.batchEntries, m.commitSeconds, m.refused, m.verdicts, m.timestamps,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("rss_anon_bytes", "Memory of the process's own: RssAnon, which leaves out mapped files. 0 where the system does not tell.", rssAnon),
	)
	return m
}

const namespace = "countersign"

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
}

func gauge(name, help string, value func() float64) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, value)
}

// size tells how to find out the size of the tree, and how much of the log waits
// for witnesses; the first who tells is asked.
func (m *Metrics) size(size, unpublished func() float64) {
	m.treeSize.Do(func() {
		m.registry.MustRegister(
			gauge("tree_size", "Entries of the log.", size),
			gauge("unpublished_entries", "Entries that are durable, and wait for a quorum of witnesses.", unpublished),
		)
	})
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *Metrics) appended(results []*countersignv1.AppendResult, took time.Duration) {
	duplicates := 0
	for _, r := range results {
		if r.Duplicate {
			duplicates++
		}
	}
	m.entries.WithLabelValues("new").Add(float64(len(results) - duplicates))
	m.entries.WithLabelValues("duplicate").Add(float64(duplicates))
	m.appendSeconds.Observe(took.Seconds())
}

func (m *Metrics) decided(d *policy.Decision, dryRun bool, source string) {
	m.verdicts.WithLabelValues(string(d.Core.Verdict), strconv.FormatBool(dryRun), source).Inc()
}

func (m *Metrics) timestamped(granted bool) {
	m.timestamps.WithLabelValues(strconv.FormatBool(granted)).Inc()
}

// Store returns a store that counts and times its commits.
func (m *Metrics) Store(s ledger.Store, now func() time.Time) ledger.Store {
	return &countedStore{Store: s, metrics: m, now: now}
}

type countedStore struct {
	ledger.Store
	metrics *Metrics
	now     func() time.Time
}

func (s *countedStore) Commit(ctx context.Context, b ledger.Batch) error {
	start := s.now()
	err := s.Store.Commit(ctx, b)
	if err == nil {
		s.metrics.batches.Inc()
		s.metrics.batchEntries.Observe(float64(len(b.Records)))
		s.metrics.commitSeconds.Observe(s.now().Sub(start).Seconds())
	}
	return err
}

// rssAnon reads the process's own memory from Linux's /proc, in bytes.
func rssAnon() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(status, []byte("RssAnon:"))
	if !ok {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	kib, err := strconv.ParseFloat(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(line), []byte("kB")))), 64)
	if err != nil {
		return 0
	}
	return kib * 1024
}
