package tracing

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	spans "go.opentelemetry.io/proto/otlp/trace/v1"

	"fusion/ic/envelope"
	"fusion/ic/principal"
	"fusion/replica/tracing/tracingtest"
)

func start(t *testing.T, url string) (*Tracer, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	tr, err := New(Config{Endpoint: url, Network: "net", Node: 3, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return tr, &log
}

// TestCall: one call gives one trace, whose parts are children of the call and follow each other.
func TestCall(t *testing.T) {
	c := tracingtest.New(t)
	tr, log := start(t, c.URL)
	id := envelope.ID{1}
	tr.Accepted(id, principal.FromUint64(7), strings.Repeat("m", 100), time.Now().Add(-time.Second))
	tr.Proposed(9)
	tr.Proposed(9)
	tr.Executed(9, []envelope.ID{{2}, id}, time.Now())
	tr.Certified(id)
	tr.Answered(id)
	tr.Answered(id)
	late := envelope.ID{3} // answered with 202 before a block had it
	tr.Accepted(late, principal.FromUint64(7), "m", time.Now())
	tr.Answered(late)
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	traces := map[string][]*spans.Span{}
	for _, s := range c.Spans() {
		traces[string(s.TraceId)] = append(traces[string(s.TraceId)], s)
	}
	if len(traces) != 2 || len(c.Spans()) != 7+3 {
		t.Fatalf("%d traces with %d spans: %s", len(traces), len(c.Spans()), log)
	}
	for _, list := range traces {
		names := ""
		var root *spans.Span
		for _, s := range list {
			if s.Name == "call" {
				root = s
			}
		}
		last := root.StartTimeUnixNano
		for _, s := range list {
			names += s.Name + " "
			if s != root && (string(s.ParentSpanId) != string(root.SpanId) || s.StartTimeUnixNano != last || s.EndTimeUnixNano > root.EndTimeUnixNano) {
				t.Errorf("%s is no part of the call, or does not follow what was before: %v", s.Name, s)
			}
			if s != root {
				last = s.EndTimeUnixNano
			}
		}
		if len(root.ParentSpanId) != 0 || last != root.EndTimeUnixNano {
			t.Errorf("the call has a parent, or its parts do not fill it")
		}
		if want := "accept pool propose execute certify answer call "; len(list) == 7 && names != want || len(list) == 3 && names != "accept answer call " {
			t.Errorf("the parts are %q", names)
		}
	}
	if raw := c.Raw(); strings.Contains(raw, strings.Repeat("m", 65)) || !strings.Contains(raw, "fusion.network") {
		t.Error("a method's name is shown whole, or the network is not")
	}
}

// TestNamesFromOutside: a name that is cut within a character, or is no text at all, spoils nothing that is sent with it.
func TestNamesFromOutside(t *testing.T) {
	c := tracingtest.New(t)
	var log bytes.Buffer
	tr, err := New(Config{Endpoint: c.URL, Network: "net\xff", Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for i, method := range []string{strings.Repeat("m", maxMethod-1) + "é", "\xff\xfe", "plain"} {
		id := envelope.ID{byte(i)}
		tr.Accepted(id, principal.FromUint64(7), method, time.Now())
		tr.Answered(id)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.Spans() {
		for _, a := range s.Attributes {
			if a.Key == "fusion.method" {
				names = append(names, a.Value.GetStringValue())
			}
		}
	}
	want := []string{strings.Repeat("m", maxMethod-1) + "�", "plain", "�"}
	if slices.Sort(names); !slices.Equal(names, want) || c.Refused() > 0 || log.Len() > 0 {
		t.Errorf("methods %q, %d requests refused, log %q", names, c.Refused(), log.String())
	}
}

// TestBounds: a collector that does not answer holds nobody up, and its URL is not shown.
func TestBounds(t *testing.T) {
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(hang)
	tr, _ := start(t, s.URL+"/SECRET")
	began := time.Now()
	for i := range 4 * maxCalls {
		id := envelope.ID{byte(i), byte(i >> 8), byte(i >> 16)}
		tr.Accepted(id, principal.FromUint64(1), "m", began)
		tr.Proposed(uint64(i))
		if i%2 == 0 {
			tr.Answered(id)
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("a collector that hangs held the replica up for %v", took)
	}
	if len(tr.calls) > maxCalls || len(tr.proposals) > maxProposals {
		t.Errorf("%d calls and %d proposals are remembered", len(tr.calls), len(tr.proposals))
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	tr, log := start(t, gone.URL+"/SECRET")
	tr.Accepted(envelope.ID{1}, principal.FromUint64(1), "m", began)
	tr.Answered(envelope.ID{1})
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	refuses := httptest.NewServer(http.NotFoundHandler())
	defer refuses.Close()
	again, other := start(t, refuses.URL+"/SECRET")
	again.Accepted(envelope.ID{1}, principal.FromUint64(1), "m", began)
	again.Answered(envelope.ID{1})
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	for _, text := range []string{log.String(), other.String()} {
		if strings.Count(text, "traces cannot be sent") != 1 || strings.Contains(text, "SECRET") {
			t.Errorf("the log: %q", text)
		}
	}
	var none *Tracer
	none.Accepted(envelope.ID{}, principal.Principal{}, "", began)
	none.Proposed(1)
	none.Executed(1, nil, began)
	none.Certified(envelope.ID{})
	none.Answered(envelope.ID{})
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}
