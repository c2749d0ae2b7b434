package httpcert

import (
	"strings"
)

// Names of headers that carry a certification, in lower case.
const (
	HeaderCertificate = "ic-certificate"
	HeaderExpression  = "ic-certificateexpression"
)

// HeaderField is one header of a request or response. Names compare without regard to case.
type HeaderField struct {
	Name  string `candid:"0"`
	Value string `candid:"1"`
}

// Request is the argument of a canister's http_request.
type Request struct {
	Method             string        `candid:"method"`
	URL                string        `candid:"url"` // path and query, as they came
	Headers            []HeaderField `candid:"headers"`
	Body               []byte        `candid:"body"`
	CertificateVersion *uint16       `candid:"certificate_version"`
}

// UpdateRequest is the argument of a canister's http_request_update.
type UpdateRequest struct {
	Method  string        `candid:"method"`
	URL     string        `candid:"url"`
	Headers []HeaderField `candid:"headers"`
	Body    []byte        `candid:"body"`
}

// Response is what a canister answers, without what concerns streaming and upgrade.
type Response struct {
	Status  uint16
	Headers []HeaderField
	Body    []byte
}

// Get returns the first value of a header.
func Get(headers []HeaderField, name string) (value string, ok bool) {
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value, true
		}
	}
	return "", false
}

// count is how many headers have that name.
func count(headers []HeaderField, name string) (n int) {
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			n++
		}
	}
	return n
}

// SplitURL takes a URL of a request apart: the path, percent-decoded, and the query as it stands, if there is one.
func SplitURL(url string) (path, query string, hasQuery bool) {
	url, _, _ = strings.Cut(url, "#")
	path, query, hasQuery = strings.Cut(url, "?")
	return unescape(path), query, hasQuery
}

// unescape undoes percent-encoding; what is none stays as it is.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
