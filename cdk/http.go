package cdk

import (
	"reflect"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

// HTTPHeader is a header of an HTTPS outcall or of its response.
type HTTPHeader struct {
	Name  string `candid:"name"`
	Value string `candid:"value"`
}

// HTTPMethod is the method of an outcall; see GET and the other functions.
type HTTPMethod struct {
	candid.Variant
	Get    *candid.Null `candid:"get"`
	Head   *candid.Null `candid:"head"`
	Post   *candid.Null `candid:"post"`
	Put    *candid.Null `candid:"put"`
	Delete *candid.Null `candid:"delete"`
	Patch  *candid.Null `candid:"patch"`
}

// The methods that replicas may send together. PUT, DELETE and PATCH, the fields of HTTPMethod, need IsReplicated to be false.
var (
	GET  = HTTPMethod{Get: candid.Unit}
	HEAD = HTTPMethod{Head: candid.Unit}
	POST = HTTPMethod{Post: candid.Unit}
)

// HTTPRequest is the argument of http_request. Set MaxResponseBytes: the price counts it, and without it 2,000,000.
type HTTPRequest struct {
	URL              string         `candid:"url"` // https, at most 8192 bytes
	MaxResponseBytes *uint64        `candid:"max_response_bytes"`
	Method           HTTPMethod     `candid:"method"`
	Headers          []HTTPHeader   `candid:"headers"`
	Body             *[]byte        `candid:"body"`
	Transform        *HTTPTransform `candid:"transform"`
	IsReplicated     *bool          `candid:"is_replicated"` // the default is true
}

// HTTPResponse is what a server answered, or what a transform made of it.
type HTTPResponse struct {
	Status  candid.Nat   `candid:"status"`
	Headers []HTTPHeader `candid:"headers"`
	Body    []byte       `candid:"body"`
}

// HTTPTransform names the canister's query that makes the replicas' responses equal; see TransformBy.
type HTTPTransform struct {
	Function TransformFunc `candid:"function"`
	Context  []byte        `candid:"context"`
}

// TransformArgs is the argument of a transform.
type TransformArgs struct {
	Response HTTPResponse `candid:"response"`
	Context  []byte       `candid:"context"`
}

// TransformFunc is a reference to a transform.
type TransformFunc struct{ candid.Func }

// CandidSignature gives the reference its type.
func (TransformFunc) CandidSignature() candid.Signature {
	return candid.Signature{Args: []reflect.Type{reflect.TypeFor[TransformArgs]()}, Results: []reflect.Type{reflect.TypeFor[HTTPResponse]()}, Mode: candid.Query}
}

// Transform registers a query that the subnet runs on each replica's response before the replicas compare them. It keeps what is the same everywhere: drop
// dates, request ids and headers, and keep of the body what the canister needs. The context is what TransformBy was given.
func Transform(c *Canister, name string, fn func(res HTTPResponse, context []byte) HTTPResponse) {
	Query(c, name, func(m *Msg, a TransformArgs) HTTPResponse {
		if m.Caller() != principal.Management {
			c.Trap("%s is for the subnet", name)
		}
		out := fn(a.Response, a.Context)
		if out.Headers == nil {
			out.Headers = []HTTPHeader{}
		}
		return out
	})
}

// TransformBy names the canister's own transform in a request.
func (c *Canister) TransformBy(name string, context []byte) *HTTPTransform {
	return &HTTPTransform{Function: TransformFunc{candid.Func{Principal: c.Self(), Method: name}}, Context: context}
}

// HTTPRequest sends an HTTPS request through the subnet: every replica sends it, and the response is what a quorum of them was answered, after the
// transform. It pays with the given cycles, of which the rest comes back. What the server does must bear being asked several times.
func (c *Canister) HTTPRequest(r HTTPRequest, pay Cycles, done func(HTTPResponse, error)) {
	if r.Headers == nil {
		r.Headers = []HTTPHeader{}
	}
	Then(c.Call(principal.Management, "http_request", r).WithCycles(pay), done)
}
