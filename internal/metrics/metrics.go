// Package metrics writes what canisters answer to HTTP: numbers in the text format of Prometheus, and pages of text. It knows the types of http_request, as far as they are
// used; answers are not certified.
package metrics

import (
	"fmt"
	"strings"
)

type (
	// Request is the argument of http_request.
	Request struct {
		URL string `candid:"url"`
	}
	// Header is a header of an answer.
	Header struct {
		Name  string `candid:"0"`
		Value string `candid:"1"`
	}
	// Response is an answer.
	Response struct {
		StatusCode uint16   `candid:"status_code"`
		Headers    []Header `candid:"headers"`
		Body       []byte   `candid:"body"`
	}
)

// Path is the path of a request's URL.
func (r Request) Path() string {
	path, _, _ := strings.Cut(r.URL, "?")
	return path
}

// The kinds of bodies.
const (
	Plain      = "text/plain; charset=utf-8"
	Prometheus = "text/plain; version=0.0.4"
)

// Answer is a response with a body.
func Answer(kind, body string) Response {
	return Response{200, []Header{{"Content-Type", kind}}, []byte(body)}
}

// NotFound is the response for paths that are not there; here lists those that are.
func NotFound(here string) Response {
	return Response{404, []Header{{"Content-Type", Plain}}, []byte("not found: " + here + "\n")}
}

// Writer collects numbers. Names begin with Prefix, which ends in an underscore or is empty.
type Writer struct {
	Prefix string
	b      strings.Builder
}

// Row is a number with its labels, in braces, or "".
type Row struct {
	Labels string
	Value  any
}

// Rows writes a metric of a kind, which is gauge or counter.
func (w *Writer) Rows(kind, name, help string, rows ...Row) {
	fmt.Fprintf(&w.b, "# HELP %s%s %s\n# TYPE %[1]s%[2]s %[4]s\n", w.Prefix, name, help, kind)
	for _, r := range rows {
		fmt.Fprintf(&w.b, "%s%s%s %v\n", w.Prefix, name, r.Labels, r.Value)
	}
}

// Gauge writes a gauge of one number.
func (w *Writer) Gauge(name, help string, value any) {
	w.Rows("gauge", name, help, Row{"", value})
}

// Flag writes a gauge that is 1 or 0.
func (w *Writer) Flag(name, help string, on bool) { w.Gauge(name, help, Bit(on)) }

// Bit is 1 or 0.
func Bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// String is what was written.
func (w *Writer) String() string { return w.b.String() }
