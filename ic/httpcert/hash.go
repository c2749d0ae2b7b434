package httpcert

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// Hash is a SHA-256 hash.
type Hash = [sha256.Size]byte

// fields collects the pairs of a map of which a representation-independent hash is made (interface specification, section "Hash of map").
type fields []byte

func (f *fields) add(name string, value []byte) {
	n, v := sha256.Sum256([]byte(name)), sha256.Sum256(value)
	*f = append(append(*f, n[:]...), v[:]...)
}

func (f fields) sum() Hash {
	const pair = 2 * sha256.Size
	pairs := slices.Collect(slices.Chunk([]byte(f), pair))
	slices.SortFunc(pairs, bytes.Compare)
	h := sha256.New()
	for _, p := range pairs {
		h.Write(p)
	}
	return Hash(h.Sum(nil))
}

func join(a, b Hash) Hash { return sha256.Sum256(append(a[:], b[:]...)) }

func named(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// certified reports whether an expression includes a response header, apart from those that carry the certification itself.
func (e *Expression) certified(name string) bool {
	if strings.EqualFold(name, HeaderCertificate) || strings.EqualFold(name, HeaderExpression) {
		return false
	}
	return named(e.Headers, name) != e.Exclude
}

// Hash is the label under which the tree holds what an expression certifies: of the header's exact text.
func (e *Expression) Hash() Hash { return sha256.Sum256([]byte(e.String())) }

// RequestHash is the hash of what an expression certifies of a request.
func (p *RequestPart) RequestHash(r *Request) Hash {
	var f fields
	for _, h := range r.Headers {
		if named(p.Headers, h.Name) {
			f.add(strings.ToLower(h.Name), []byte(h.Value))
		}
	}
	f.add(":ic-cert-method", []byte(r.Method))
	if _, query, ok := SplitURL(r.URL); ok {
		var kept []string
		for param := range strings.SplitSeq(query, "&") {
			if name, _, _ := strings.Cut(param, "="); named(p.Query, name) {
				kept = append(kept, param)
			}
		}
		f.add(":ic-cert-query", []byte(strings.Join(kept, "&")))
	}
	return join(f.sum(), sha256.Sum256(r.Body))
}

// ResponseHash is the hash of what an expression certifies of a response. The expression is taken from the response's header, which must be there;
// the body by its hash.
func (e *Expression) ResponseHash(status uint16, headers []HeaderField, body Hash) Hash {
	var f fields
	for _, h := range headers {
		if strings.EqualFold(h.Name, HeaderExpression) || e.certified(h.Name) {
			f.add(strings.ToLower(h.Name), []byte(h.Value))
		}
	}
	f.add(":ic-cert-status", binary.AppendUvarint(nil, uint64(status)))
	return join(f.sum(), body)
}
