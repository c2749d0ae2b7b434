package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"fusion/ic/envelope"
	"fusion/ic/principal"
)

// Config of a Tracer.
type Config struct {
	// Endpoint is the URL of the collector; without a path it is /v1/traces there.
	Endpoint string
	Network  string // chain id
	Node     int
	Log      *slog.Logger
}

const (
	// maxCalls bounds the calls that are followed at one time; more are not traced. A call takes some hundred bytes here.
	maxCalls = 4096
	// maxProposals bounds the blocks that are remembered between proposal and execution: rounds that failed leave some behind.
	maxProposals = 64
	// maxSpans bounds the spans that wait to be sent, a few hundred bytes each.
	maxSpans = 8192
	// maxMethod is how many bytes of a method's name are shown.
	maxMethod    = 64
	sendTimeout  = 5 * time.Second
	closeTimeout = 2 * time.Second
)

// Tracer notes what happens to calls. It may be used by many goroutines.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer

	mu        sync.Mutex
	calls     map[envelope.ID]*call
	proposals map[uint64]time.Time // when a block of a height was first proposed
}

// call is what is known of one.
type call struct {
	canister                                                          principal.Principal
	method                                                            string
	height                                                            uint64
	arrived, pooled, proposed, decided, executed, certified, answered time.Time
}

// New starts to send to a collector. Nothing is asked of it before there is something to send.
func New(cfg Config) (*Tracer, error) {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", hidden(err))
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	out, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithTimeout(sendTimeout),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", hidden(err))
	}
	t := &Tracer{calls: map[envelope.ID]*call{}, proposals: map[uint64]time.Time{}}
	t.provider = sdk.NewTracerProvider(sdk.WithBatcher(&exporter{Exporter: out, log: cfg.Log}, sdk.WithMaxQueueSize(maxSpans), sdk.WithExportTimeout(sendTimeout)),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "fusion"), attribute.String("service.instance.id", fmt.Sprint(cfg.Node)),
			attribute.String("fusion.network", clean(cfg.Network)), attribute.Int("fusion.node", cfg.Node))))
	t.tracer = t.provider.Tracer("fusion/replica")
	return t, nil
}

// Close sends what waits, for two seconds at most.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("traces: %w", hidden(err))
	}
	return nil
}

// Accepted is told of a call that came into the pool, and when it had arrived.
func (t *Tracer) Accepted(id envelope.ID, canister principal.Principal, method string, arrived time.Time) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.calls) < maxCalls && t.calls[id] == nil {
		t.calls[id] = &call{canister: canister, method: clean(method[:min(len(method), maxMethod)]), arrived: arrived, pooled: time.Now()}
	}
}

// Proposed is told that this replica saw a proposal for a block.
func (t *Tracer) Proposed(height uint64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.proposals[height]; !ok && len(t.proposals) < maxProposals {
		t.proposals[height] = time.Now()
	}
}

// Executed is told of the calls of a decided block, and when its execution began; it has ended.
func (t *Tracer) Executed(height uint64, calls []envelope.ID, began time.Time) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, id := range calls {
		if c := t.calls[id]; c != nil && c.executed.IsZero() {
			c.height, c.proposed, c.decided, c.executed = height, t.proposals[height], began, now
		}
	}
	for h := range t.proposals {
		if h <= height {
			delete(t.proposals, h)
		}
	}
}

// Certified is told that the outcome of a call is certified.
func (t *Tracer) Certified(id envelope.ID) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.calls[id]; c != nil && c.certified.IsZero() {
		c.certified = time.Now()
	}
}

// Answered is told that the caller has its answer, or was told to ask again. The call is followed no longer.
func (t *Tracer) Answered(id envelope.ID) {
	if t == nil {
		return
	}
	t.mu.Lock()
	c := t.calls[id]
	delete(t.calls, id)
	t.mu.Unlock()
	if c == nil {
		return
	}
	c.answered = time.Now()
	t.spans(c)
}

// spans makes the spans of a call that has ended.
func (t *Tracer) spans(c *call) {
	ctx, root := t.tracer.Start(context.Background(), "call", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(c.arrived),
		trace.WithAttributes(attribute.String("fusion.canister", c.canister.String()), attribute.String("fusion.method", c.method),
			attribute.Bool("fusion.certified", !c.certified.IsZero())))
	if c.height > 0 {
		root.SetAttributes(attribute.Int64("fusion.block", int64(c.height)))
	}
	if c.proposed.IsZero() || c.proposed.Before(c.pooled) { // it came to this replica after the proposal, or that was not seen
		c.proposed = c.decided
	}
	from := c.arrived
	for _, part := range []struct {
		name string
		end  time.Time
	}{{"accept", c.pooled}, {"pool", c.proposed}, {"propose", c.decided}, {"execute", c.executed}, {"certify", c.certified}, {"answer", c.answered}} {
		if part.end.IsZero() { // not seen: the call was not answered in time
			continue
		}
		if part.end.Before(from) {
			part.end = from
		}
		_, s := t.tracer.Start(ctx, part.name, trace.WithTimestamp(from))
		s.End(trace.WithTimestamp(part.end))
		from = part.end
	}
	root.End(trace.WithTimestamp(c.answered))
}

// exporter tells the log when the collector cannot be reached, once, and OpenTelemetry's global error handler nothing.
type exporter struct {
	*otlptrace.Exporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans implements sdk.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.Exporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !e.failing.Swap(true):
		e.log.Warn("traces cannot be sent and are dropped", "err", hidden(err))
	case err == nil && e.failing.Swap(false):
		e.log.Info("traces are sent again")
	}
	return nil
}

// address is what looks like a URL in a message.
var address = regexp.MustCompile(`https?://\S+`)

// hidden is an error without the collector's URL, which may hold a key, and of moderate length: a collector's answer may be part of it.
func hidden(err error) error {
	text := address.ReplaceAllString(err.Error(), "the collector")
	return errors.New(clean(text[:min(len(text), 256)]))
}

// clean is text that may be sent: one string that is no UTF-8 would have all be refused that is sent with it.
func clean(text string) string { return strings.ToValidUTF8(text, "�") }
