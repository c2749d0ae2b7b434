// Package forger is a canister for tests of gateways and browsers: it certifies a few pages and then serves some of them as a dishonest replica would.
//
//	/            certified, by version 2
//	/old         certified, by version 1
//	/stream      certified; its body comes in parts, by callbacks
//	/large       certified in ranges of 1 MiB
//	/body        certified; another body is served
//	/header      certified; a header is added that the certification covers
//	/swapped     certified; the page of another path is served with that page's proof
//	/cut         certified; the streamed body ends early
//	/torn        certified in ranges; the second one is forged
//	/plain       not certified
package forger

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"fusion/cdk"
	"fusion/cdk/certified"
	"fusion/cdk/sha256"
	"fusion/ic/candid"
	"fusion/ic/httpcert"
)

// Sizes of what is served, in bytes.
const (
	LargeSize  = 3<<20 + 12345 // of /large and /torn
	RangeSize  = 1 << 20
	StreamSize = 300_000 // of /stream and /cut
	partSize   = 100_000
)

// Blob is the body of the large pages: numbers that tell where they stand.
func Blob(size int) []byte {
	out := make([]byte, 0, size+16)
	for len(out) < size {
		out = fmt.Appendf(out, "%d\n", len(out))
	}
	return out[:size]
}

// Token says which part of a body comes next.
type Token struct {
	Path string `candid:"path"`
	From uint64 `candid:"from"`
}

// Part is a part of a streamed body.
type Part struct {
	Body  []byte `candid:"body"`
	Token *Token `candid:"token"`
}

type partFunc struct{ candid.Func }

// CandidSignature implements candid.Signer.
func (partFunc) CandidSignature() candid.Signature {
	return candid.Signature{Args: []reflect.Type{reflect.TypeFor[Token]()}, Results: []reflect.Type{reflect.TypeFor[*Part]()}, Mode: candid.Query}
}

// Callback is how the rest of a body is asked for.
type Callback struct {
	Callback partFunc `candid:"callback"`
	Token    Token    `candid:"token"`
}

// Strategy is a streaming strategy.
type Strategy struct {
	candid.Variant
	Callback *Callback `candid:"Callback"`
}

// Answer is the result of http_request.
type Answer struct {
	Status    uint16                 `candid:"status_code"`
	Headers   []httpcert.HeaderField `candid:"headers"`
	Body      []byte                 `candid:"body"`
	Streaming *Strategy              `candid:"streaming_strategy"`
}

// page is what is certified at a path, with the lie that is told about it.
type page struct {
	body   []byte
	old    bool // by version 1
	stream bool
	ranges bool
	plain  bool
	lie    func(a *Answer)
}

type server struct {
	c     *cdk.Canister
	m     *certified.Map
	pages map[string]*page
}

var (
	html   = httpcert.HeaderField{Name: "Content-Type", Value: "text/html; charset=utf-8"}
	ranged = httpcert.Expression{Request: &httpcert.RequestPart{Headers: []string{"range"}}, Exclude: true}
)

func text(title string) []byte {
	return fmt.Appendf(nil, "<!doctype html><title>%s</title><p id=p>%s</p><script>document.getElementById('p').textContent += ', and its script ran'</script>", title, title)
}

// Canister serves the pages.
func Canister(c *cdk.Canister) {
	s := &server{c: c, m: certified.NewMap(c), pages: map[string]*page{
		"/":        {body: text("true")},
		"/old":     {body: text("old"), old: true},
		"/stream":  {body: Blob(StreamSize), stream: true},
		"/large":   {body: Blob(LargeSize), ranges: true},
		"/plain":   {body: text("plain"), plain: true},
		"/swapped": {body: text("never seen")},
		"/body":    {body: text("true"), lie: func(a *Answer) { a.Body = text("forged") }},
		"/header": {body: text("true"), lie: func(a *Answer) {
			a.Headers = append(a.Headers, httpcert.HeaderField{Name: "Set-Cookie", Value: "forged=1"})
		}},
		"/cut":  {body: Blob(StreamSize), stream: true, lie: func(a *Answer) { a.Streaming = nil }},
		"/torn": {body: Blob(LargeSize), ranges: true, lie: func(a *Answer) { a.Body = append([]byte("0"), a.Body[1:]...) }},
	}}
	c.OnInit(s.certify)
	c.OnPostUpgrade(s.certify)
	cdk.Query(c, "http_request", func(_ *cdk.Msg, req httpcert.Request) Answer { return s.serve(&req) })
	cdk.Query(c, "part", func(_ *cdk.Msg, t Token) *Part {
		p := s.pages[t.Path]
		if p == nil || !p.stream || t.From > uint64(len(p.body)) {
			return nil
		}
		body, next := p.part(t)
		return &Part{body, next}
	})
}

// answer is the honest response of a page without its proof; from is where the range begins.
func (p *page) answer(from int) Answer {
	a := Answer{Status: 200, Headers: []httpcert.HeaderField{html}, Body: p.body}
	expr := &httpcert.ResponseOnly
	if p.ranges {
		expr = &ranged
		end := min(from+RangeSize, len(p.body))
		a.Status, a.Body = 206, p.body[from:end]
		a.Headers = append(a.Headers, httpcert.HeaderField{Name: "Content-Range", Value: fmt.Sprintf("bytes %d-%d/%d", from, end-1, len(p.body))})
	}
	if !p.old && !p.plain {
		a.Headers = append(a.Headers, httpcert.HeaderField{Name: "IC-CertificateExpression", Value: expr.String()})
	}
	return a
}

// part is the part of a body at a token, and the token of the next.
func (p *page) part(t Token) ([]byte, *Token) {
	body := p.body[t.From:]
	if len(body) <= partSize {
		return body, nil
	}
	return body[:partSize], &Token{t.Path, t.From + partSize}
}

func (s *server) certify() {
	put := func(path string, expr *httpcert.Expression, request string, a Answer) {
		e, h := expr.Hash(), expr.ResponseHash(a.Status, a.Headers, sha256.Sum256(a.Body))
		s.m.Put(nil, append(httpcert.ExactPath(path), string(e[:]), request, string(h[:]))...)
	}
	for path, p := range s.pages { // a tree has no order of insertion
		switch {
		case p.plain:
		case p.old:
			h := sha256.Sum256(p.body)
			s.m.Put(h[:], httpcert.LabelAssets, path)
		case !p.ranges:
			put(path, &httpcert.ResponseOnly, "", p.answer(0))
		default:
			for from := 0; from < len(p.body); from += RangeSize {
				req := &httpcert.Request{Method: "GET", Headers: []httpcert.HeaderField{{Name: "range", Value: fmt.Sprintf("bytes=%d-", from)}}}
				h := ranged.Request.RequestHash(req)
				put(path, &ranged, string(h[:]), p.answer(from))
				if from == 0 {
					h = ranged.Request.RequestHash(&httpcert.Request{Method: "GET"})
					put(path, &ranged, string(h[:]), p.answer(0))
				}
			}
		}
	}
	s.m.Commit()
}

func (s *server) serve(req *httpcert.Request) Answer {
	path, _, _ := httpcert.SplitURL(req.URL)
	p := s.pages[path]
	if p == nil {
		return Answer{Status: 404, Headers: []httpcert.HeaderField{html}, Body: text("nothing here")}
	}
	from := 0
	if r, ok := httpcert.Get(req.Headers, "range"); ok && p.ranges {
		n, err := strconv.Atoi(strings.Trim(r, "bytes=-"))
		if err != nil || n%RangeSize != 0 || n >= len(p.body) {
			return Answer{Status: 416}
		}
		from = n
	}
	proved := path
	if path == "/swapped" {
		proved, p = "/", s.pages["/"]
	}
	a := p.answer(from)
	certificate, ok := s.c.DataCertificate()
	if !ok {
		s.c.Trap("http_request is a query")
	}
	if !p.plain {
		h := httpcert.Header{Certificate: certificate, Version: 2, Path: httpcert.ExactPath(proved), Tree: httpcert.EncodeTree(s.m.Witness(httpcert.ExactPath(proved)))}
		if p.old {
			h = httpcert.Header{Certificate: certificate, Version: 1, Tree: httpcert.EncodeTree(s.m.Witness([]string{httpcert.LabelAssets, path}))}
		}
		a.Headers = append(slices.Clone(a.Headers), httpcert.HeaderField{Name: "IC-Certificate", Value: h.String()})
	}
	if p.stream {
		var next *Token
		if a.Body, next = p.part(Token{Path: path}); next != nil {
			a.Streaming = &Strategy{Callback: &Callback{partFunc{candid.Func{Principal: s.c.Self(), Method: "part"}}, *next}}
		}
	}
	if p.lie != nil && !(p.ranges && from == 0) {
		p.lie(&a)
	}
	return a
}
