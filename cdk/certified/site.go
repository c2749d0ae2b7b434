package certified

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fusion/cdk"
	"fusion/cdk/sha256"
	"fusion/ic/hashtree"
	"fusion/ic/httpcert"
)

// ChunkSize is the largest body of one answer in bytes, as of the asset canister: a query's reply has at most 3 MiB.
const ChunkSize = 2_000_000

// Page is what is served at a path.
type Page struct {
	Status  uint16 // the default is 200
	Type    string // of the content, such as "text/html; charset=utf-8"
	Headers []httpcert.HeaderField
	Body    []byte // not to be changed afterwards
	Gzip    []byte // the body compressed, for those who accept it; may be nil
}

// Answer is a response of http_request.
type Answer struct {
	Status  uint16                 `candid:"status_code"`
	Headers []httpcert.HeaderField `candid:"headers"`
	Body    []byte                 `candid:"body"`
	Upgrade *bool                  `candid:"upgrade"`
}

// Site serves pages.
type Site struct {
	Map
	exact, below map[string]*entry // by the segments of the path, joined
	live         map[string]func(*httpcert.Request) Answer
	update       map[string]func(*cdk.Msg, *httpcert.UpdateRequest) Answer
}

// entry is what is served at an expression path.
type entry struct {
	path     []string // the expression path
	variants []*variant
}

// variant is one certified response.
type variant struct {
	answer Answer
	gzip   bool
	begins []string // the values of the Range header that it answers; "" is none
}

// NewSite makes an empty site and registers http_request and http_request_update. It is called in the setup function.
func NewSite(c *cdk.Canister) *Site {
	s := &Site{Map: Map{c: c}, exact: map[string]*entry{}, below: map[string]*entry{},
		live: map[string]func(*httpcert.Request) Answer{}, update: map[string]func(*cdk.Msg, *httpcert.UpdateRequest) Answer{}}
	cdk.Query(c, "http_request", func(_ *cdk.Msg, req httpcert.Request) Answer { return s.serve(&req) })
	cdk.Update(c, "http_request_update", func(m *cdk.Msg, req httpcert.UpdateRequest) Answer { return s.change(m, &req) })
	return s
}

func key(segments []string) string { return strings.Join(segments, "/") }

// Page serves a page at one path, such as "/app.js". It takes the place of what was there.
func (s *Site) Page(path string, p Page) {
	segments := httpcert.Segments(path)
	s.put(s.exact, segments, httpcert.ExactPath(path), p)
	if p.Status == 0 || p.Status == 200 {
		hash := sha256.Sum256(p.Body)
		s.Put(hash[:], httpcert.LabelAssets, "/"+key(segments))
	} else {
		s.Delete(httpcert.LabelAssets, "/"+key(segments))
	}
}

// Below serves a page at every path below one ("" is the whole site) that has none of its own.
func (s *Site) Below(path string, p Page) {
	s.put(s.below, httpcert.Segments(path), httpcert.WildcardPath(path), p)
}

// Redirect sends who asks for a path to another one, with status 301, 302, 307 or 308.
func (s *Site) Redirect(path, to string, status uint16) {
	s.Page(path, Page{Status: status, Headers: []httpcert.HeaderField{{Name: "Location", Value: to}}})
}

// Live serves what is below a path by a function, without certification.
func (s *Site) Live(path string, fn func(*httpcert.Request) Answer) {
	segments := httpcert.Segments(path)
	s.Remove(path)
	s.live[key(segments)] = fn
	e := &entry{path: httpcert.WildcardPath(path)}
	s.below[key(segments)] = e
	s.insert(e, &httpcert.SkipExpression)
}

// OnUpdate handles the requests below a path that are neither GET nor HEAD, as update calls. It may be registered in the setup function.
func (s *Site) OnUpdate(path string, fn func(*cdk.Msg, *httpcert.UpdateRequest) Answer) {
	s.update[key(httpcert.Segments(path))] = fn
}

// Remove takes away what is at a path and what is served below it by Below or Live; pages at paths of their own stay.
func (s *Site) Remove(path string) {
	segments := httpcert.Segments(path)
	delete(s.exact, key(segments))
	delete(s.below, key(segments))
	delete(s.live, key(segments))
	s.Delete(httpcert.ExactPath(path)...)
	s.Delete(httpcert.WildcardPath(path)...)
	s.Delete(httpcert.LabelAssets, "/"+key(segments))
}

// put certifies a page and remembers how to serve it.
func (s *Site) put(in map[string]*entry, segments, path []string, p Page) {
	s.Delete(path...)
	e := &entry{path: path}
	in[key(segments)] = e
	if p.Status == 0 {
		p.Status = 200
	}
	if p.Type != "" {
		p.Headers = append(slices.Clone(p.Headers), httpcert.HeaderField{Name: "Content-Type", Value: p.Type})
	}
	if p.Gzip != nil && len(p.Gzip) <= ChunkSize {
		p.Headers = append(slices.Clone(p.Headers), httpcert.HeaderField{Name: "Vary", Value: "Accept-Encoding"})
		s.certify(e, &variant{gzip: true, answer: Answer{Status: p.Status, Body: p.Gzip,
			Headers: append(slices.Clone(p.Headers), httpcert.HeaderField{Name: "Content-Encoding", Value: "gzip"})}})
	}
	if len(p.Body) <= ChunkSize {
		s.certify(e, &variant{answer: Answer{Status: p.Status, Body: p.Body, Headers: p.Headers}})
		return
	}
	// By the ETag a gateway sees that all chunks are of one body, and that it did not change while it was read.
	tag := sha256.Sum256(p.Body)
	p.Headers = append(slices.Clone(p.Headers), httpcert.HeaderField{Name: "ETag", Value: fmt.Sprintf("\"%x\"", tag[:16])})
	for begin := 0; begin < len(p.Body); begin += ChunkSize {
		end := min(begin+ChunkSize, len(p.Body))
		v := &variant{begins: []string{rangeFrom(begin)}, answer: Answer{Status: 206, Body: p.Body[begin:end],
			Headers: append(slices.Clone(p.Headers), httpcert.HeaderField{Name: "Content-Range", Value: fmt.Sprintf("bytes %d-%d/%d", begin, end-1, len(p.Body))})}}
		if begin == 0 {
			v.begins = append(v.begins, "")
		}
		s.certify(e, v)
	}
}

func rangeFrom(begin int) string { return "bytes=" + strconv.Itoa(begin) + "-" }

// ranged certifies, beside the response, the range that was asked for: a chunk must not pass for another.
var ranged = httpcert.Expression{Request: &httpcert.RequestPart{Headers: []string{"range"}}, Exclude: true}

// certify adds a response to the tree.
func (s *Site) certify(e *entry, v *variant) {
	expr := &httpcert.ResponseOnly
	if v.begins != nil {
		expr = &ranged
	}
	v.answer.Headers = append(slices.Clone(v.answer.Headers), httpcert.HeaderField{Name: "IC-CertificateExpression", Value: expr.String()})
	e.variants = append(e.variants, v)
	hash := expr.ResponseHash(v.answer.Status, v.answer.Headers, sha256.Sum256(v.answer.Body))
	if v.begins == nil {
		s.insert(e, expr, nil, hash[:])
		return
	}
	for _, begin := range v.begins {
		for _, method := range []string{"GET", "HEAD"} {
			req := &httpcert.Request{Method: method}
			if begin != "" {
				req.Headers = []httpcert.HeaderField{{Name: "range", Value: begin}}
			}
			request := expr.Request.RequestHash(req)
			s.insert(e, expr, request[:], hash[:])
		}
	}
}

// insert puts an empty leaf below an expression.
func (s *Site) insert(e *entry, expr *httpcert.Expression, labels ...[]byte) {
	hash := expr.Hash()
	s.tree = s.tree.Insert(append(append(hashtree.Path(e.path...), hash[:]), labels...), nil)
}

// find returns what is served at a path and the key under which it was registered.
func (s *Site) find(segments []string) (*entry, string) {
	k := key(segments)
	if e := s.exact[k]; e != nil {
		return e, k
	}
	for _, p := range append(httpcert.MoreSpecific(segments, nil), nil) {
		if e := s.below[key(p)]; e != nil {
			return e, key(p)
		}
	}
	return nil, ""
}

// handler returns the function that changes something below the path.
func (s *Site) handler(segments []string) func(*cdk.Msg, *httpcert.UpdateRequest) Answer {
	for _, p := range append(httpcert.MoreSpecific(segments, nil), nil) {
		if fn := s.update[key(p)]; fn != nil {
			return fn
		}
	}
	return nil
}

func reads(method string) bool { return method == "GET" || method == "HEAD" }

var upgrade = true

// serve answers a query.
func (s *Site) serve(req *httpcert.Request) Answer {
	path, _, _ := httpcert.SplitURL(req.URL)
	segments := httpcert.Segments(path)
	if len(segments) > httpcert.MaxSegments {
		return text(414, "the path has too many segments")
	}
	if !reads(req.Method) && s.handler(segments) != nil {
		return Answer{Upgrade: &upgrade}
	}
	certificate, ok := s.c.DataCertificate()
	if !ok {
		s.c.Trap("http_request is a query: what it answers needs a certificate, which update calls do not have")
	}
	e, k := s.find(segments)
	if req.CertificateVersion == nil || *req.CertificateVersion < 2 {
		return s.serveOld(certificate, "/"+key(segments))
	}
	if e == nil {
		return text(404, "there is nothing at this path")
	}
	a, ok := s.choose(req, e, k)
	if !ok { // a range that is none of the certified chunks
		return Answer{Upgrade: &upgrade}
	}
	paths := [][]string{e.path}
	if own := e.path[1 : len(e.path)-1]; e.path[len(e.path)-1] == httpcert.Wildcard {
		paths = append(paths, httpcert.ExactPath(path))
		for _, w := range httpcert.MoreSpecific(segments, own) {
			paths = append(paths, slices.Concat([]string{httpcert.LabelExpressions}, w, []string{httpcert.Wildcard}))
		}
	}
	h := httpcert.Header{Certificate: certificate, Tree: httpcert.EncodeTree(s.Witness(paths...)), Version: 2, Path: e.path}
	a.Headers = append(slices.Clone(a.Headers), httpcert.HeaderField{Name: "IC-Certificate", Value: h.String()})
	return a
}

// choose picks the response of an entry that suits a request.
func (s *Site) choose(req *httpcert.Request, e *entry, k string) (Answer, bool) {
	if fn := s.live[k]; fn != nil && e.path[len(e.path)-1] == httpcert.Wildcard {
		a := fn(req)
		a.Headers = append(slices.Clone(a.Headers), httpcert.HeaderField{Name: "IC-CertificateExpression", Value: httpcert.SkipExpression.String()})
		return a, true
	}
	accept, _ := httpcert.Get(req.Headers, "accept-encoding")
	from, _ := httpcert.Get(req.Headers, "range")
	for _, v := range e.variants {
		switch {
		case v.gzip && !accepts(accept, "gzip"):
		case v.begins == nil, slices.Contains(v.begins, from):
			return v.answer, true
		}
	}
	return Answer{}, false
}

// accepts reports whether an Accept-Encoding header names an encoding with a weight that is not zero.
func accepts(header, encoding string) bool {
	for member := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(member, ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.0")
		}
	}
	return false
}

// serveOld answers gateways that know version 1 only.
func (s *Site) serveOld(certificate []byte, path string) Answer {
	paths := [][]string{{httpcert.LabelAssets, path}}
	e := s.exact[strings.TrimPrefix(path, "/")]
	if _, ok := s.Get(paths[0]...); !ok {
		e = s.exact["index.html"]
		paths = append(paths, []string{httpcert.LabelAssets, "/index.html"})
		if _, ok := s.Get(paths[1]...); !ok {
			return text(404, "there is nothing at this path")
		}
	}
	for _, v := range e.variants {
		if !v.gzip && v.begins == nil {
			h := httpcert.Header{Certificate: certificate, Tree: httpcert.EncodeTree(s.Witness(paths...)), Version: 1}
			a := v.answer
			a.Headers = append(slices.Clone(a.Headers), httpcert.HeaderField{Name: "IC-Certificate", Value: h.String()})
			return a
		}
	}
	return text(413, "this file needs a gateway that knows version 2 of response certification")
}

// change answers an update call: one of a handler, or for a range of a large page that is not one of the certified chunks.
func (s *Site) change(m *cdk.Msg, req *httpcert.UpdateRequest) Answer {
	path, _, _ := httpcert.SplitURL(req.URL)
	segments := httpcert.Segments(path)
	if len(segments) > httpcert.MaxSegments {
		return text(414, "the path has too many segments")
	}
	if reads(req.Method) {
		if e, _ := s.find(segments); e != nil {
			return e.slice(req)
		}
	} else if fn := s.handler(segments); fn != nil {
		return fn(m, req)
	}
	return text(404, "nothing here takes update calls")
}

// slice answers a request for any range of a large page.
func (e *entry) slice(req *httpcert.UpdateRequest) Answer {
	var total int
	var chunks []*variant
	for _, v := range e.variants {
		if v.begins != nil {
			chunks = append(chunks, v)
			total += len(v.answer.Body)
		}
	}
	header, _ := httpcert.Get(req.Headers, "range")
	first, last, ok := parseRange(header, total)
	if !ok {
		a := text(416, "no such range")
		a.Headers = append(a.Headers, httpcert.HeaderField{Name: "Content-Range", Value: fmt.Sprintf("bytes */%d", total)})
		return a
	}
	last = min(last, first+ChunkSize-1)
	c := chunks[first/ChunkSize]
	body := c.answer.Body[first%ChunkSize:]
	if want := last - first + 1; len(body) > want {
		body = body[:want]
	} else if len(body) < want {
		body = append(slices.Clone(body), chunks[first/ChunkSize+1].answer.Body[:want-len(body)]...)
	}
	a := Answer{Status: 206, Body: body}
	for _, h := range c.answer.Headers {
		if !strings.EqualFold(h.Name, "content-range") && !strings.EqualFold(h.Name, httpcert.HeaderExpression) {
			a.Headers = append(a.Headers, h)
		}
	}
	a.Headers = append(a.Headers, httpcert.HeaderField{Name: "Content-Range", Value: fmt.Sprintf("bytes %d-%d/%d", first, last, total)})
	return a
}

// parseRange reads a Range header of one range.
func parseRange(header string, total int) (first, last int, ok bool) {
	spec, isBytes := strings.CutPrefix(header, "bytes=")
	from, to, isRange := strings.Cut(spec, "-")
	if !isBytes || !isRange || total == 0 {
		return 0, 0, false
	}
	number := func(s string, or int) int {
		n, err := strconv.ParseUint(s, 10, 31)
		switch {
		case s == "":
			return or
		case err != nil:
			ok = false
			return 0
		}
		return int(n)
	}
	ok = true
	if from == "" {
		n := number(to, 0)
		return max(0, total-n), total - 1, ok && n > 0
	}
	first, last = number(from, 0), min(number(to, total-1), total-1)
	return first, last, ok && first <= last
}

func text(status uint16, s string) Answer {
	return Answer{Status: status, Headers: []httpcert.HeaderField{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}}, Body: []byte(s + "\n")}
}
