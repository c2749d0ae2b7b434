package watch

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fusion/ic/principal"
)

// metrics is what an operator looks at: whether events go out, how many wait, and how far each ledger was read.
type metrics struct {
	registry            *prometheus.Registry
	delivered, failures prometheus.Counter
	read                map[principal.Principal]*atomic.Uint64
}

func (m *metrics) init(w *Watcher) {
	m.registry = prometheus.NewRegistry()
	m.delivered = prometheus.NewCounter(prometheus.CounterOpts{Name: "fusion_watch_delivered_total", Help: "Events that the receiver took."})
	m.failures = prometheus.NewCounter(prometheus.CounterOpts{Name: "fusion_watch_failures_total", Help: "Attempts at which the receiver did not take an event."})
	m.registry.MustRegister(m.delivered, m.failures)
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fusion_watch_" + name, Help: help, ConstLabels: labels}, value))
	}
	gauge("queued", "Events that wait for the receiver; reading pauses at the configured maximum.", nil, func() float64 { n, _ := w.queue.state(); return float64(n) })
	gauge("failures_in_row", "Attempts that failed since the receiver last took an event; 0 if it answers.", nil, func() float64 { _, n := w.queue.state(); return float64(n) })
	m.read = map[principal.Principal]*atomic.Uint64{}
	for _, l := range w.cfg.Ledgers {
		at := &atomic.Uint64{}
		m.read[l] = at
		gauge("read_blocks", "Blocks of the ledger that were read and proven.", prometheus.Labels{"ledger": l.String()}, func() float64 { return float64(at.Load()) })
	}
}

// state is how many events wait, and how many attempts have failed since one was taken.
func (q *queue) state() (waiting, down int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.down
}

// Metrics serves the watcher's metrics in Prometheus' format.
func (w *Watcher) Metrics() http.Handler {
	return promhttp.HandlerFor(w.metrics.registry, promhttp.HandlerOpts{})
}
