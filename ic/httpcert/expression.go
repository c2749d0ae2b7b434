package httpcert

import (
	"fmt"
	"strings"
)

// Bounds of an expression header.
const (
	maxExpression = 16 << 10
	maxNames      = 256
)

// Expression says what of a request and its response is certified: the content of an IC-CertificateExpression header.
type Expression struct {
	// Skip certifies that nothing is: anybody between may change request and response. The other fields mean nothing then.
	Skip bool
	// Request says what of the request is certified; nil is nothing, so that the response may answer any request for its path.
	Request *RequestPart
	// Headers are the response headers that are certified, or, with Exclude, the only ones that are not.
	Headers []string
	Exclude bool
}

// RequestPart names what of a request is certified beside its method and body.
type RequestPart struct {
	Headers, Query []string
}

// SkipExpression certifies nothing, ResponseOnly the response with all its headers.
var (
	SkipExpression = Expression{Skip: true}
	ResponseOnly   = Expression{Exclude: true}
)

// String writes the expression as the header's value.
func (e *Expression) String() string {
	var b strings.Builder
	b.WriteString("default_certification(ValidationArgs{")
	if e.Skip {
		b.WriteString("no_certification:Empty{}})")
		return b.String()
	}
	b.WriteString("certification:Certification{")
	if e.Request == nil {
		b.WriteString("no_request_certification:Empty{},")
	} else {
		b.WriteString("request_certification:RequestCertification{certified_request_headers:")
		writeNames(&b, e.Request.Headers)
		b.WriteString(",certified_query_parameters:")
		writeNames(&b, e.Request.Query)
		b.WriteString("},")
	}
	b.WriteString("response_certification:ResponseCertification{")
	if e.Exclude {
		b.WriteString("response_header_exclusions")
	} else {
		b.WriteString("certified_response_headers")
	}
	b.WriteString(":ResponseHeaderList{headers:")
	writeNames(&b, e.Headers)
	b.WriteString("}}}})")
	return b.String()
}

func writeNames(b *strings.Builder, names []string) {
	b.WriteByte('[')
	for i, n := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(n)
		b.WriteByte('"')
	}
	b.WriteByte(']')
}

// ParseExpression reads the value of an IC-CertificateExpression header. White space between the symbols and another order of the fields are
// allowed, anything else that the grammar does not know is refused.
func ParseExpression(s string) (*Expression, error) {
	if len(s) > maxExpression {
		return nil, fmt.Errorf("%w: expression of %d bytes, at most %d", ErrMalformed, len(s), maxExpression)
	}
	p := &parser{src: s}
	e := p.expression()
	if p.space(); p.err == nil && p.at < len(p.src) {
		p.fail("the end")
	}
	if p.err != nil {
		return nil, p.err
	}
	return e, nil
}

// parser reads by recursive descent, of a depth that the grammar gives. After an error every method does nothing.
type parser struct {
	src string
	at  int
	err error
}

func (p *parser) fail(want string) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: expression: byte %d: want %s", ErrMalformed, p.at, want)
	}
}

func (p *parser) space() {
	for p.at < len(p.src) && strings.IndexByte(" \t\r\n", p.src[p.at]) >= 0 {
		p.at++
	}
}

// try consumes a symbol if it is next.
func (p *parser) try(symbol byte) bool {
	p.space()
	if p.err != nil || p.at >= len(p.src) || p.src[p.at] != symbol {
		return false
	}
	p.at++
	return true
}

func (p *parser) symbol(c byte) {
	if !p.try(c) {
		p.fail(fmt.Sprintf("%q", c))
	}
}

func (p *parser) ident() string {
	p.space()
	start := p.at
	for p.at < len(p.src) && (p.src[p.at] == '_' || p.src[p.at]|0x20 >= 'a' && p.src[p.at]|0x20 <= 'z') {
		p.at++
	}
	if p.at == start {
		p.fail("a name")
	}
	return p.src[start:p.at]
}

func (p *parser) word(want string) {
	if at := p.at; p.ident() != want && p.err == nil {
		p.at = at
		p.fail(want)
	}
}

// object reads name{field:…,field:…}; field reads the value of a field it knows, each at most once.
func (p *parser) object(name string, field func(name string) bool) {
	p.word(name)
	p.symbol('{')
	seen := map[string]bool{}
	for first := true; p.err == nil && !p.try('}'); first = false {
		if !first {
			p.symbol(',')
		}
		f := p.ident()
		p.symbol(':')
		if p.err == nil && (seen[f] || !field(f)) {
			p.fail("another field than " + f)
		}
		seen[f] = true
	}
}

func (p *parser) empty() { p.object("Empty", func(string) bool { return false }) }

func (p *parser) names() []string {
	out := []string{}
	p.symbol('[')
	for p.err == nil && !p.try(']') {
		if len(out) > 0 {
			p.symbol(',')
		}
		p.symbol('"')
		end := strings.IndexAny(p.src[p.at:], "\"\\\x00\n")
		if p.err != nil || end < 0 || p.src[p.at+end] != '"' || len(out) == maxNames {
			p.fail("a string without escapes")
			return nil
		}
		out = append(out, p.src[p.at:p.at+end])
		p.at += end + 1
	}
	return out
}

func (p *parser) expression() *Expression {
	e := new(Expression)
	p.word("default_certification")
	p.symbol('(')
	fields := 0
	p.object("ValidationArgs", func(f string) bool {
		fields++
		switch f {
		case "no_certification":
			e.Skip = true
			p.empty()
		case "certification":
			p.certification(e)
		default:
			return false
		}
		return true
	})
	p.symbol(')')
	if fields != 1 {
		p.fail("no_certification or certification before here, and only one of them")
	}
	return e
}

func (p *parser) certification(e *Expression) {
	var request, response int
	p.object("Certification", func(f string) bool {
		switch f {
		case "no_request_certification":
			request++
			p.empty()
		case "request_certification":
			request++
			e.Request = p.request()
		case "response_certification":
			response++
			p.response(e)
		default:
			return false
		}
		return true
	})
	if request != 1 || response != 1 {
		p.fail("one certification of the request and one of the response before here")
	}
}

func (p *parser) request() *RequestPart {
	r := new(RequestPart)
	p.object("RequestCertification", func(f string) bool {
		switch f {
		case "certified_request_headers":
			r.Headers = p.names()
		case "certified_query_parameters":
			r.Query = p.names()
		default:
			return false
		}
		return true
	})
	if r.Headers == nil || r.Query == nil {
		p.fail("certified_request_headers and certified_query_parameters before here")
	}
	return r
}

func (p *parser) response(e *Expression) {
	lists := 0
	p.object("ResponseCertification", func(f string) bool {
		if f != "certified_response_headers" && f != "response_header_exclusions" {
			return false
		}
		lists++
		e.Exclude = f == "response_header_exclusions"
		e.Headers = nil
		p.object("ResponseHeaderList", func(f string) bool {
			if f == "headers" {
				e.Headers = p.names()
			}
			return f == "headers"
		})
		if e.Headers == nil {
			p.fail("headers before here")
		}
		return true
	})
	if lists != 1 {
		p.fail("certified_response_headers or response_header_exclusions before here, and only one of them")
	}
}
