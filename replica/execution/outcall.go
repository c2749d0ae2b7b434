package execution

import (
	"strings"

	"fusion/internal/kv"
	"fusion/replica/management"
)

// Limits of an HTTPS outcall (interface specification, http_request).
const (
	maxHTTPURL          = 8192
	maxHTTPBytes        = 2_000_000 // of a request, and of a response
	maxHTTPHeaders      = 64
	maxHTTPHeaderField  = 8 << 10 // bytes of a name, and of a value
	maxHTTPHeadersTotal = 48 << 10
)

// HTTPHeader is a header of an outcall.
type HTTPHeader struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Value string
}

// HTTPTransform is a query of the calling canister that makes the replicas' responses equal.
type HTTPTransform struct {
	_       struct{} `cbor:",toarray"`
	Method  string
	Context []byte
}

// HTTPRequest is an HTTPS outcall as the replicas carry it out. It is within the interface's limits; whether the URL can be used is for those to
// say who use it.
type HTTPRequest struct {
	_                struct{} `cbor:",toarray"`
	URL              string
	Method           string
	Headers          []HTTPHeader
	Body             []byte
	MaxResponseBytes uint64 // of the response, and of what the transform makes of it
	Transform        *HTTPTransform
	Replicated       bool // all replicas ask, and must agree; otherwise one does
}

// size is what the price counts.
func (r *HTTPRequest) size() uint64 {
	n := len(r.URL) + len(r.Body)
	for _, h := range r.Headers {
		n += len(h.Name) + len(h.Value)
	}
	if r.Transform != nil {
		n += len(r.Transform.Method) + len(r.Transform.Context)
	}
	return uint64(n)
}

// httpRequest opens an outcall. The caller pays for the largest response it allows, and gets back the rest of what it sent.
func (x *Executor) httpRequest(k *call, a *management.HTTPRequestArgs) ([]byte, *Reject) {
	bad := func(format string, args ...any) ([]byte, *Reject) {
		return nil, reject(errCanisterRejected, format, args...)
	}
	r := &HTTPRequest{URL: a.URL, MaxResponseBytes: maxHTTPBytes, Replicated: a.IsReplicated == nil || *a.IsReplicated}
	if a.MaxResponseBytes != nil {
		if r.MaxResponseBytes = *a.MaxResponseBytes; r.MaxResponseBytes > maxHTTPBytes {
			return bad("max_response_bytes expected to be in the range [0..%d], got %d", maxHTTPBytes, r.MaxResponseBytes)
		}
	}
	if t := a.Transform; t != nil {
		if t.Function.Principal != k.caller {
			return bad("transform principal id expected to be %s, got %s", k.caller, t.Function.Principal)
		}
		r.Transform = &HTTPTransform{Method: t.Function.Method, Context: t.Context}
	}
	if len(a.URL) > maxHTTPURL {
		return bad("url size %d exceeds %d", len(a.URL), maxHTTPURL)
	}
	if len(a.Headers) > maxHTTPHeaders {
		return bad("number of all http headers %d exceeds %d", len(a.Headers), maxHTTPHeaders)
	}
	total := 0
	for _, h := range a.Headers {
		if len(h.Name) > maxHTTPHeaderField {
			return bad("number of bytes to represent some http header name %d exceeds %d", len(h.Name), maxHTTPHeaderField)
		}
		if len(h.Value) > maxHTTPHeaderField {
			return bad("number of bytes to represent some http header value %d exceeds %d", len(h.Value), maxHTTPHeaderField)
		}
		total += len(h.Name) + len(h.Value)
		r.Headers = append(r.Headers, HTTPHeader{Name: h.Name, Value: h.Value})
	}
	if total > maxHTTPHeadersTotal {
		return bad("total number of bytes to represent all http header names and values %d exceeds %d", total, maxHTTPHeadersTotal)
	}
	if a.Body != nil {
		r.Body = *a.Body
	}
	if total += len(r.Body); total > maxHTTPBytes {
		return bad("total number of bytes to represent all http header names and values and http body %d exceeds %d", total, maxHTTPBytes)
	}
	var replicable bool
	if r.Method, replicable = a.Method.Name(); r.Replicated && !replicable {
		return bad("The requested HTTP method is only allowed for non-replicated requests.")
	}
	cost := x.prices().httpOutcall(r.size(), r.MaxResponseBytes)
	if k.Cycles.Cmp(cost) < 0 {
		return bad("http_request request sent with %s cycles, but %s cycles are required.", grouped(k.Cycles), grouped(cost))
	}
	x.openSystemCall(&pendingCall{Kind: Outcall, Caller: k.Caller, Origin: k.Origin, Cycles: k.Cycles.Sub(cost), Fee: cost, HTTP: r})
	k.pending = true
	return nil, nil
}

// grouped prints an amount as clients of the Internet Computer know it from this message: 49_140_000.
func grouped(c Cycles) string {
	s := c.String()
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte('_')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// LookupSystemCall reads a system call that is open in r, a reader of an executor's store.
func LookupSystemCall(r kv.Reader, id uint64) (SystemCall, bool) {
	p, ok := kv.Record[pendingCall](r, append([]byte{keyPending}, be64(id)...))
	if !ok {
		return SystemCall{}, false
	}
	p.id = id
	return p.call(), true
}
