package gateway

import (
	"errors"
	"fmt"
	nethttp "net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"fusion/ic/candid"
	"fusion/ic/httpcert"
	"fusion/ic/principal"
)

// answer is the reply of http_request and http_request_update.
type answer struct {
	Status    uint16                 `candid:"status_code"`
	Headers   []httpcert.HeaderField `candid:"headers"`
	Body      []byte                 `candid:"body"`
	Upgrade   *bool                  `candid:"upgrade"`
	Streaming *candid.Reserved       `candid:"streaming_strategy"` // its type is the canister's, see decodeCallback
}

// hop lists the headers that belong to a connection, not to a message (RFC 9110, section 7.6.1), and Content-Length, which is made anew.
var hop = map[string]bool{"connection": true, "keep-alive": true, "proxy-authenticate": true, "proxy-authorization": true, "proxy-connection": true, "te": true,
	"trailer": true, "transfer-encoding": true, "upgrade": true, "content-length": true}

// hopOf adds to hop what a message's own Connection header names.
func hopOf(connection []string) func(name string) bool {
	var more []string
	for _, v := range connection {
		for name := range strings.SplitSeq(v, ",") {
			more = append(more, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	return func(name string) bool { return hop[name] || slices.Contains(more, name) }
}

// errHeader is a request header that a canister cannot be told.
var errHeader = errors.New("a header's value is not UTF-8 text")

// translate makes the canister's request of the browser's. Headers are in lower case and sorted, so that equal requests are equal calls.
func translate(r *nethttp.Request, t target, body []byte) (*httpcert.Request, error) {
	two := uint16(2)
	out := &httpcert.Request{Method: r.Method, URL: r.URL.RequestURI(), Body: body, CertificateVersion: &two,
		Headers: []httpcert.HeaderField{{Name: "host", Value: r.Host}}}
	drop := hopOf(r.Header.Values("Connection"))
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if drop(name) || t.shared && name == "cookie" {
			continue
		}
		for _, v := range values {
			if !utf8.ValidString(v) {
				return nil, fmt.Errorf("%w: %s", errHeader, name)
			}
			if name == "accept-encoding" && !strings.Contains(strings.ToLower(v), "identity") {
				v = strings.TrimSuffix(v+", identity", ", ") // canisters take the list literally and may have no compressed form
			}
			out.Headers = append(out.Headers, httpcert.HeaderField{Name: name, Value: v})
		}
	}
	if !utf8.ValidString(out.URL) {
		return nil, fmt.Errorf("%w: the URL", errHeader)
	}
	slices.SortStableFunc(out.Headers, func(a, b httpcert.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// setRange returns a copy of a request with another Range header.
func setRange(req *httpcert.Request, value string) *httpcert.Request {
	c := *req
	c.Headers = slices.DeleteFunc(slices.Clone(req.Headers), func(h httpcert.HeaderField) bool { return h.Name == "range" || h.Name == "if-range" })
	c.Headers = append(c.Headers, httpcert.HeaderField{Name: "range", Value: value})
	return &c
}

// callback is how the next part of a streamed body is asked for.
type callback struct {
	method string
	token  []byte // the encoded argument
}

// errReply is a reply that does not have the form of the protocol.
var errReply = errors.New("the canister's answer does not follow the HTTP gateway protocol")

// decodeCallback reads the streaming strategy of an answer. The token is of a type of the canister's own, which its reply declares.
func decodeCallback(reply []byte, canister principal.Principal) (*callback, error) {
	v, t, err := decodeOne(reply)
	if err != nil {
		return nil, err
	}
	v, t = field(v, t, "streaming_strategy")
	v, t = some(v, t)
	c, ok := v.(candid.Case)
	if !ok || c.ID != candid.Hash("Callback") {
		return nil, fmt.Errorf("%w: the streaming strategy is not Callback", errReply)
	}
	t = fieldType(t, "Callback")
	fn, _ := field(c.Value, t, "callback")
	f, ok := fn.(candid.Func)
	if !ok {
		return nil, fmt.Errorf("%w: the streaming callback is not a function", errReply)
	}
	if f.Principal != canister {
		return nil, fmt.Errorf("%w: the streaming callback is a function of canister %s", errReply, f.Principal)
	}
	token, tokenType := field(c.Value, t, "token")
	cb := &callback{method: f.Method}
	return cb, cb.encode(token, tokenType)
}

func (c *callback) encode(token candid.Value, t *candid.Type) (err error) {
	if token == nil || t == nil {
		return fmt.Errorf("%w: the streaming token is missing", errReply)
	}
	if c.token, err = candid.Encode([]*candid.Type{t}, []candid.Value{token}); err != nil {
		return fmt.Errorf("%w: the streaming token: %w", errReply, err)
	}
	return nil
}

// decodePart reads what a streaming callback returns: a part of the body, and how to go on or nil at the end. The asset canister wraps it in an opt.
func (c *callback) decodePart(reply []byte) (body []byte, next *callback, err error) {
	v, t, err := decodeOne(reply)
	if err != nil {
		return nil, nil, err
	}
	if t.Kind == candid.KindOpt {
		v, t = some(v, t)
		if v == nil {
			return nil, nil, fmt.Errorf("%w: the streaming callback has no answer to its own token", errReply)
		}
	}
	b, _ := field(v, t, "body")
	blob, ok := b.(candid.Blob)
	if !ok {
		return nil, nil, fmt.Errorf("%w: a streamed part has no body", errReply)
	}
	token, tokenType := field(v, t, "token")
	if token, tokenType = some(token, tokenType); token == nil {
		return blob, nil, nil
	}
	next = &callback{method: c.method}
	return blob, next, next.encode(token, tokenType)
}

// decodeOne reads the first value of a reply at the type that the reply declares.
func decodeOne(reply []byte) (candid.Value, *candid.Type, error) {
	values, types, err := candid.Decode(reply)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", errReply, err)
	case len(values) == 0:
		return nil, nil, fmt.Errorf("%w: the reply has no value", errReply)
	}
	return values[0], types[0], nil
}

// field returns a field of a record and its type; nil if there is none.
func field(v candid.Value, t *candid.Type, name string) (candid.Value, *candid.Type) {
	r, ok := v.(candid.Record)
	if !ok {
		return nil, nil
	}
	return r.Get(name), fieldType(t, name)
}

func fieldType(t *candid.Type, name string) *candid.Type {
	if t != nil {
		for _, f := range t.Fields {
			if f.ID == candid.Hash(name) {
				return f.Type
			}
		}
	}
	return nil
}

// some returns the content of an opt; nil if it is null.
func some(v candid.Value, t *candid.Type) (candid.Value, *candid.Type) {
	s, ok := v.(candid.Some)
	if !ok || t == nil {
		return nil, nil
	}
	return s.Value, t.Elem
}
