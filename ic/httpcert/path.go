package httpcert

import (
	"fmt"
	"slices"
	"strings"

	"fusion/ic/cbor"
)

// Labels of the tree.
const (
	LabelAssets      = "http_assets" // version 1
	LabelExpressions = "http_expr"   // version 2
	Exact            = "<$>"
	Wildcard         = "<*>"
)

// MaxSegments bounds the segments of a path, and with them the work of proving that no more specific path is in a tree.
const MaxSegments = 256

// maxPathBytes bounds an encoded expression path.
const maxPathBytes = 64 << 10

// Segments cuts a decoded path at its slashes. Empty segments do not count, except that a slash at the end makes one.
func Segments(path string) []string {
	var out []string
	for s := range strings.SplitSeq(path, "/") {
		if s != "" {
			out = append(out, s)
		}
	}
	if strings.HasSuffix(path, "/") {
		out = append(out, "")
	}
	return out
}

// ExactPath is the expression path of one path, such as "/app.js".
func ExactPath(path string) []string { return expressionPath(path, Exact) }

// WildcardPath is the expression path of everything below a path: "" is the whole site.
func WildcardPath(path string) []string { return expressionPath(path, Wildcard) }

func expressionPath(path, last string) []string {
	return append(append([]string{LabelExpressions}, Segments(path)...), last)
}

// AppendPath appends the CBOR of an expression path.
func AppendPath(dst []byte, path []string) []byte {
	dst = cbor.AppendArray(cbor.AppendSelfDescribe(dst), len(path))
	for _, s := range path {
		dst = cbor.AppendText(dst, s)
	}
	return dst
}

// parsePath reads an expression path and checks its form.
func parsePath(b []byte) ([]string, error) {
	if len(b) > maxPathBytes {
		return nil, fmt.Errorf("%w: expression path of %d bytes, at most %d", ErrMalformed, len(b), maxPathBytes)
	}
	r := cbor.NewReader(b)
	r.SelfDescribe()
	var path []string
	err := r.Array(func(i int) error {
		if i == MaxSegments+2 {
			return fmt.Errorf("more than %d segments", MaxSegments)
		}
		s, err := r.Text()
		path = append(path, string(s))
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: expression path: %w", ErrMalformed, err)
	}
	if len(path) < 2 || path[0] != LabelExpressions {
		return nil, fmt.Errorf("%w: expression path %q does not begin with %q", ErrMalformed, path, LabelExpressions)
	}
	for i, s := range path {
		if terminal := s == Exact || s == Wildcard; terminal != (i == len(path)-1) {
			return nil, fmt.Errorf("%w: expression path %q must have %q or %q at its end and nowhere else", ErrMalformed, path, Exact, Wildcard)
		}
	}
	return path, nil
}

// covers reports whether a wildcard over some segments stands for a path.
func covers(wildcard, path []string) bool {
	if n := len(wildcard); n > 0 && wildcard[n-1] == "" && !hasPrefix(path, wildcard) {
		wildcard = wildcard[:n-1] // what is below "a/" is below "a"
	}
	return hasPrefix(path, wildcard)
}

func hasPrefix(path, prefix []string) bool {
	return len(path) >= len(prefix) && slices.Equal(path[:len(prefix)], prefix)
}

// MoreSpecific lists the wildcards over a path that come before the one over the segments in wildcard, which covers it: for a/b and the wildcard
// over everything these are a/b, a/, a and /.
func MoreSpecific(path, wildcard []string) [][]string {
	if len(wildcard) > len(path) {
		return [][]string{slices.Clone(path)} // "a/" for the path "a"
	}
	var out [][]string
	for p := slices.Clone(path); !slices.Equal(p, wildcard) && len(p) > 0; {
		out = append(out, slices.Clone(p))
		if last := len(p) - 1; p[last] == "" {
			p = p[:last]
		} else {
			p[last] = ""
		}
	}
	return out
}
