package forge

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what comes in, what is said of it, and what is not.
type metrics struct {
	deliveries *prometheus.CounterVec
	statements *prometheus.CounterVec
	passed     *prometheus.CounterVec
	failures   *prometheus.CounterVec

	mu     sync.Mutex // guards queues
	queues map[string]func() float64
}

var waiting = prometheus.NewDesc("countersign_forge_waiting", "Events of a forge that wait to be looked at.", []string{"forge"}, nil)

func newMetrics() *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "countersign", Name: "forge_" + name, Help: help}, labels)
	}
	return &metrics{
		deliveries: vec("deliveries_total", "Deliveries of a forge, by what became of them.", "forge", "outcome"),
		statements: vec("statements_total", "Statements that a forge connection logged, by predicate.", "forge", "type"),
		passed:     vec("passed_over_total", "Reviews and merges of which nothing was said, by why.", "forge", "why"),
		failures:   vec("failures_total", "Attempts at an event that failed and are repeated, or were given up.", "forge", "end"),
		queues:     make(map[string]func() float64),
	}
}

func (m *metrics) watch(id string, length func() float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queues[id] = length
}

// Describe implements prometheus.Collector.
func (d *Desk) Describe(ch chan<- *prometheus.Desc) {
	for _, v := range d.metrics.vectors() {
		v.Describe(ch)
	}
	ch <- waiting
}

// Collect implements prometheus.Collector.
func (d *Desk) Collect(ch chan<- prometheus.Metric) {
	for _, v := range d.metrics.vectors() {
		v.Collect(ch)
	}
	d.metrics.mu.Lock()
	defer d.metrics.mu.Unlock()
	for id, length := range d.metrics.queues {
		ch <- prometheus.MustNewConstMetric(waiting, prometheus.GaugeValue, length(), id)
	}
}

func (m *metrics) vectors() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{m.deliveries, m.statements, m.passed, m.failures}
}
