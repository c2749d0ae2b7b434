package httpcert

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"fusion/ic/hashtree"
)

// MaxDecoded bounds a decompressed body of version 1.
const MaxDecoded = 32 << 20

// Verified says what of a response is certified.
type Verified struct {
	Version int
	// Skipped means that the canister certified that nothing of the response is.
	Skipped bool
	// Headers are the certified ones (version 2). Version 1 certifies neither headers nor the status.
	Headers []HeaderField
}

// FindHeader returns the parsed IC-Certificate header of a response, which must have exactly one.
func FindHeader(res *Response) (*Header, error) {
	value, ok := Get(res.Headers, HeaderCertificate)
	if !ok {
		return nil, fmt.Errorf("%w: it has no IC-Certificate header", ErrUncertified)
	}
	if count(res.Headers, HeaderCertificate) > 1 {
		return nil, fmt.Errorf("%w: several IC-Certificate headers", ErrMalformed)
	}
	return ParseHeader(value)
}

// Check verifies a response against the tree of its certification, which must be the decoded Tree of h and whose digest the caller has compared with the
// canister's certified data.
func Check(req *Request, res *Response, h *Header, tree hashtree.Node) (*Verified, error) {
	if err := hashtree.WellFormed(tree); err != nil {
		return nil, fmt.Errorf("%w: tree: %w", ErrMalformed, err)
	}
	path, _, _ := SplitURL(req.URL)
	if h.Version == 1 {
		return &Verified{Version: 1}, checkBody(path, res, tree)
	}
	text, ok := Get(res.Headers, HeaderExpression)
	if !ok {
		return nil, fmt.Errorf("%w: it has no IC-CertificateExpression header", ErrUncertified)
	}
	if count(res.Headers, HeaderExpression) > 1 {
		return nil, fmt.Errorf("%w: several IC-CertificateExpression headers", ErrMalformed)
	}
	e, err := ParseExpression(text)
	if err != nil {
		return nil, err
	}
	if err := checkPath(path, h.Path, tree); err != nil {
		return nil, err
	}
	expr := sha256.Sum256([]byte(text))
	below, found := hashtree.Descend(tree, append(hashtree.Path(h.Path...), expr[:])...)
	if found != hashtree.Found {
		return nil, fmt.Errorf("%w: the expression is %v at %q", ErrMismatch, found, h.Path)
	}
	if e.Skip {
		return &Verified{Version: 2, Skipped: true}, nil
	}
	var request []byte // the label "" stands for any request
	if e.Request != nil {
		hash := e.Request.RequestHash(req)
		request = hash[:]
	}
	response := e.ResponseHash(res.Status, res.Headers, sha256.Sum256(res.Body))
	if found, leaf := hashtree.Lookup(below, request, response[:]); found != hashtree.Found || len(leaf) != 0 {
		return nil, fmt.Errorf("%w: the pair of request and response is %v at %q", ErrMismatch, found, h.Path)
	}
	v := &Verified{Version: 2}
	for _, f := range res.Headers {
		if e.certified(f.Name) {
			v.Headers = append(v.Headers, f)
		}
	}
	return v, nil
}

// checkPath verifies that an expression path is the most specific one of the tree for a path.
func checkPath(path string, expr []string, tree hashtree.Node) error {
	segments := Segments(path)
	if len(segments) > MaxSegments {
		return fmt.Errorf("%w: path of %d segments, at most %d", ErrMalformed, len(segments), MaxSegments)
	}
	at := func(segments []string, last string) hashtree.Result {
		full := append(append([]string{LabelExpressions}, segments...), last)
		_, res := hashtree.Descend(tree, hashtree.Path(full...)...)
		return res
	}
	own, last := expr[1:len(expr)-1], expr[len(expr)-1]
	switch {
	case last == Exact && !slices.Equal(own, segments), last == Wildcard && !covers(own, segments):
		return fmt.Errorf("%w: expression path %q is not for %q", ErrMismatch, expr, path)
	case at(own, last) != hashtree.Found:
		return fmt.Errorf("%w: expression path %q is not in the tree", ErrMismatch, expr)
	case last == Exact:
		return nil
	}
	if res := at(segments, Exact); res != hashtree.Absent {
		return fmt.Errorf("%w: expression path %q, but the exact one for %q is %v, not absent", ErrMismatch, expr, path, res)
	}
	for _, w := range MoreSpecific(segments, own) {
		if res := at(w, Wildcard); res != hashtree.Absent {
			return fmt.Errorf("%w: expression path %q, but the more specific wildcard %q is %v, not absent", ErrMismatch, expr, w, res)
		}
	}
	return nil
}

// checkBody is version 1: the tree has the body's hash at the path or, where it proves that there is none, at /index.html.
func checkBody(path string, res *Response, tree hashtree.Node) error {
	at := path
	found, want := hashtree.LookupText(tree, LabelAssets, at)
	if found == hashtree.Absent {
		at = "/index.html"
		found, want = hashtree.LookupText(tree, LabelAssets, at)
	}
	if found != hashtree.Found {
		return fmt.Errorf("%w: the hash for %q is %v in the tree", ErrMismatch, at, found)
	}
	if hash := sha256.Sum256(res.Body); bytes.Equal(hash[:], want) {
		return nil
	}
	encoding, _ := Get(res.Headers, "content-encoding")
	hash, err := decodedHash(res.Body, encoding)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if !bytes.Equal(hash, want) {
		return fmt.Errorf("%w: the body of %q has another hash", ErrMismatch, path)
	}
	return nil
}

// decodedHash is the hash of a body whose content encoding is undone; nil if it is not one of those that version 1 knows.
func decodedHash(body []byte, encoding string) ([]byte, error) {
	var r io.Reader
	switch strings.ToLower(encoding) {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		r = z
	case "deflate":
		r = flate.NewReader(bytes.NewReader(body))
	default:
		return nil, nil
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, MaxDecoded+1))
	if err == nil && n > MaxDecoded {
		err = fmt.Errorf("the decoded body has more than %d bytes", MaxDecoded)
	}
	return h.Sum(nil), err
}
