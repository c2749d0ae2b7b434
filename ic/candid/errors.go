package candid

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of this package; test with errors.Is.
var (
	// ErrMalformed: the bytes are not a Candid message.
	ErrMalformed = errors.New("malformed candid message")
	// ErrType: the message is well-formed but cannot be read at the wanted type.
	ErrType = errors.New("candid type mismatch")
	// ErrLimit: reading on would take more time, memory or nesting than this package allows.
	ErrLimit = errors.New("candid limit exceeded")
	// ErrSyntax: text (a value, a type, a .did file) does not parse.
	ErrSyntax = errors.New("candid syntax error")
	// ErrUnsupported: a Go type that has no Candid counterpart, or a Go value that has no encoding at its type.
	ErrUnsupported = errors.New("no candid form")
)

// decodeError is what the decoder's frames pass up. soft marks type mismatches, from which an enclosing opt recovers as null.
type decodeError struct {
	kind error
	msg  string
	at   int      // offset in the message
	path []string // innermost first
	soft bool
}

func (e *decodeError) Error() string {
	var b strings.Builder
	b.WriteString(e.kind.Error())
	if len(e.path) > 0 {
		b.WriteString(" at ")
		for i := len(e.path) - 1; i >= 0; i-- {
			b.WriteString(e.path[i])
		}
	}
	fmt.Fprintf(&b, ": %s (offset %d)", e.msg, e.at)
	return b.String()
}

func (e *decodeError) Unwrap() error { return e.kind }

// maxPath bounds the path kept for a message that is nested deeply on purpose.
const maxPath = 24

func (e *decodeError) in(segment string) *decodeError {
	if len(e.path) < maxPath {
		e.path = append(e.path, segment)
	}
	return e
}
