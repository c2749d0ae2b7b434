// Package tracingtest is an OpenTelemetry collector for tests: it receives traces by OTLP over HTTP and keeps them. It imports nothing of ours.
package tracingtest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	v1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector answers 400 to what is no trace, as real ones do. It may be used by many goroutines.
type Collector struct {
	URL string // for Config.Endpoint of package tracing

	mu      sync.Mutex
	raw     bytes.Buffer
	spans   []*spans.Span
	refused int
}

// New starts a collector, which stops with the test.
func New(t testing.TB) *Collector {
	c := &Collector{}
	s := httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var req v1.ExportTraceServiceRequest
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(b, &req) != nil {
		c.refused++
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	c.raw.Write(b)
	for _, r := range req.ResourceSpans {
		for _, s := range r.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
}

// Spans are those that came so far.
func (c *Collector) Spans() []*spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Raw is what came so far, as it was sent.
func (c *Collector) Raw() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.String()
}

// Refused is how many requests were no traces.
func (c *Collector) Refused() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}
