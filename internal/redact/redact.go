// Package redact keeps structures that hold keys out of logs. A field's own redacting type is not enough: fmt calls no methods on unexported
// fields, so a structure that somebody prints has to say itself what may be seen of it.
package redact

import (
	"fmt"
	"io"
)

// Format writes what may be seen, for every verb; it is the body of a fmt.Formatter.
func Format(f fmt.State, seen string) { _, _ = io.WriteString(f, seen) }
