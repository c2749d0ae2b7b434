// Asker is a canister that asks web servers what a test wants to know.
package main

import (
	"bytes"

	"fusion/cdk"
)

func init() { cdk.Main(asker) }
func main() {}

// Question is what to ask.
type Question struct {
	URL              string  `candid:"url"`
	Put              bool    `candid:"put"`       // by one replica
	Transform        *string `candid:"transform"` // what is kept of the body: up to this text
	MaxResponseBytes *uint64 `candid:"max_response_bytes"`
}

// Outcome is what came of it: a response, or a rejection.
type Outcome struct {
	Code     uint32 `candid:"code"`
	Message  string `candid:"message"`
	Status   uint64 `candid:"status"`
	Headers  uint32 `candid:"headers"`
	Body     []byte `candid:"body"`
	Refunded uint64 `candid:"refunded"`
}

const sent = 1_000_000_000_000

func asker(c *cdk.Canister) {
	cdk.Transform(c, "tidy", func(res cdk.HTTPResponse, context []byte) cdk.HTTPResponse {
		before, _, _ := bytes.Cut(res.Body, context)
		return cdk.HTTPResponse{Status: res.Status, Body: before}
	})
	cdk.UpdateAsync(c, "ask", func(_ *cdk.Msg, q Question, out *cdk.Reply[Outcome]) {
		r := cdk.HTTPRequest{URL: q.URL, Method: cdk.GET, MaxResponseBytes: q.MaxResponseBytes, Headers: []cdk.HTTPHeader{{Name: "Accept", Value: "text/plain"}}}
		if q.Put {
			one, body := false, []byte("once")
			r.Method, r.IsReplicated, r.Body = cdk.HTTPMethod{Put: cdk.GET.Get}, &one, &body
		}
		if q.Transform != nil {
			r.Transform = c.TransformBy("tidy", []byte(*q.Transform))
		}
		c.HTTPRequest(r, cdk.CyclesOf(sent), func(res cdk.HTTPResponse, err error) {
			var o Outcome
			if e, ok := err.(*cdk.RejectError); ok {
				o.Code, o.Message = uint32(e.Code), e.Message
			} else if err != nil {
				o.Message = err.Error()
			}
			o.Status, _ = res.Status.Uint64()
			o.Headers, o.Body, o.Refunded = uint32(len(res.Headers)), res.Body, c.Refunded().Lo
			out.Send(o)
		})
	})
}
