package management

import (
	"reflect"

	"fusion/ic/candid"
)

// HTTPHeader is http_header.
type HTTPHeader struct {
	Name  string `candid:"name"`
	Value string `candid:"value"`
}

// HTTPMethod is the method of an outcall, exactly one of its fields.
type HTTPMethod struct {
	candid.Variant
	Get    *candid.Null `candid:"get"`
	Head   *candid.Null `candid:"head"`
	Post   *candid.Null `candid:"post"`
	Put    *candid.Null `candid:"put"`
	Delete *candid.Null `candid:"delete"`
	Patch  *candid.Null `candid:"patch"`
}

// Name is the method as it stands in a request line. Only the first three may be sent by all replicas.
func (m *HTTPMethod) Name() (name string, replicable bool) {
	switch {
	case m.Get != nil:
		return "GET", true
	case m.Head != nil:
		return "HEAD", true
	case m.Post != nil:
		return "POST", true
	case m.Put != nil:
		return "PUT", false
	case m.Delete != nil:
		return "DELETE", false
	case m.Patch != nil:
		return "PATCH", false
	}
	panic("management: a method of no kind was decoded")
}

// HTTPTransform names the caller's query that makes the replicas' responses equal.
type HTTPTransform struct {
	Function TransformFunc `candid:"function"`
	Context  []byte        `candid:"context"`
}

// TransformFunc is a reference to func(record { response : http_request_result; context : blob }) -> (http_request_result) query.
type TransformFunc struct{ candid.Func }

// CandidSignature implements candid's interface of typed references.
func (TransformFunc) CandidSignature() candid.Signature {
	return candid.Signature{Args: []reflect.Type{reflect.TypeFor[TransformArgs]()}, Results: []reflect.Type{reflect.TypeFor[HTTPResponse]()}, Mode: candid.Query}
}

// HTTPRequestArgs is the argument of http_request.
type HTTPRequestArgs struct {
	URL              string         `candid:"url"`
	MaxResponseBytes *uint64        `candid:"max_response_bytes"`
	Method           HTTPMethod     `candid:"method"`
	Headers          []HTTPHeader   `candid:"headers"`
	Body             *[]byte        `candid:"body"`
	Transform        *HTTPTransform `candid:"transform"`
	IsReplicated     *bool          `candid:"is_replicated"`
}

// HTTPResponse is http_request_result.
type HTTPResponse struct {
	Status  candid.Nat   `candid:"status"`
	Headers []HTTPHeader `candid:"headers"`
	Body    []byte       `candid:"body"`
}

// TransformArgs is the argument of a transform function.
type TransformArgs struct {
	Response HTTPResponse `candid:"response"`
	Context  []byte       `candid:"context"`
}
