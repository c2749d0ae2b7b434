package httpcert

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"fusion/ic/cbor"
	"fusion/ic/hashtree"
)

// Errors returned by this package; test with errors.Is.
var (
	// ErrMalformed is a header or path that does not have the form it must have.
	ErrMalformed = errors.New("malformed response certification")
	// ErrUncertified is a response without a certification.
	ErrUncertified = errors.New("the response is not certified")
	// ErrMismatch is a response that is not the one that was certified.
	ErrMismatch = errors.New("the response is not the one that the canister certified")
	// ErrVersion is a version of the certification that is not known.
	ErrVersion = errors.New("unknown version of response certification")
)

// maxHeader bounds an IC-Certificate header. A certificate with a delegation of a large network has 5 KiB.
const maxHeader = 1 << 20

// Header is the content of an IC-Certificate header.
type Header struct {
	Certificate []byte   // CBOR
	Tree        []byte   // CBOR
	Version     int      // 1 if it was not given
	Path        []string // of the expression; nil in version 1
}

// String writes the header's value.
func (h *Header) String() string {
	b64 := base64.StdEncoding
	out := make([]byte, 0, 64+b64.EncodedLen(len(h.Certificate)+len(h.Tree))+256)
	add := func(name string, v []byte) {
		out = append(append(out, name...), "=:"...)
		out = append(b64.AppendEncode(out, v), ':')
	}
	add("certificate", h.Certificate)
	add(", tree", h.Tree)
	if h.Version >= 2 {
		out = append(out, ", version="...)
		out = strconv.AppendInt(out, int64(h.Version), 10)
		add(", expr_path", AppendPath(nil, h.Path))
	}
	return string(out)
}

// ParseHeader reads an IC-Certificate header: a dictionary of RFC 8941 with byte sequences and an integer. Fields of other names are
// skipped; a field that is there twice is refused, as readers differ in which one they take.
func ParseHeader(s string) (*Header, error) {
	if len(s) > maxHeader {
		return nil, fmt.Errorf("%w: header of %d bytes, at most %d", ErrMalformed, len(s), maxHeader)
	}
	h := &Header{Version: 1}
	var path []byte
	seen := map[string]bool{}
	for member := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(strings.Trim(member, " \t"), "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%w: %.20q is not a field with a value", ErrMalformed, member)
		}
		var err error
		switch name {
		case "certificate", "tree", "version", "expr_path":
			if seen[name] {
				return nil, fmt.Errorf("%w: %s is there twice", ErrMalformed, name)
			}
			seen[name] = true
		}
		switch name {
		case "certificate":
			h.Certificate, err = byteSequence(value)
		case "tree":
			h.Tree, err = byteSequence(value)
		case "expr_path":
			path, err = byteSequence(value)
		case "version":
			h.Version, err = strconv.Atoi(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
		}
	}
	switch {
	case !seen["certificate"] || !seen["tree"]:
		return nil, fmt.Errorf("%w: certificate or tree is missing", ErrMalformed)
	case h.Version != 1 && h.Version != 2:
		return nil, fmt.Errorf("%w: %d", ErrVersion, h.Version)
	case h.Version == 2 && !seen["expr_path"]:
		return nil, fmt.Errorf("%w: expr_path is missing", ErrMalformed)
	}
	if h.Version == 2 {
		var err error
		if h.Path, err = parsePath(path); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func byteSequence(s string) ([]byte, error) {
	if len(s) < 2 || s[0] != ':' || s[len(s)-1] != ':' {
		return nil, errors.New("not a byte sequence between colons")
	}
	return base64.StdEncoding.Strict().DecodeString(s[1 : len(s)-1])
}

// EncodeTree returns the CBOR of a tree as it stands in the header.
func EncodeTree(tree hashtree.Node) []byte { return tree.AppendCBOR(cbor.AppendSelfDescribe(nil)) }

// DecodeTree reads the header's tree.
func (h *Header) DecodeTree() (hashtree.Node, error) {
	r := cbor.NewReader(h.Tree)
	r.SelfDescribe()
	tree, err := hashtree.Read(r)
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: tree: %w", ErrMalformed, err)
	}
	return tree, nil
}
