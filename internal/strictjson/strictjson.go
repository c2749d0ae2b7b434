// Package strictjson reads documents in JSON that mean something only as a whole: one value, no field that its reader does not know, nothing after it.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Unmarshal reads a document of at most limit bytes into v.
func Unmarshal(b []byte, limit int, v any) error {
	if len(b) > limit {
		return fmt.Errorf("%d bytes, at most %d", len(b), limit)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) { // More takes a closing bracket for an end
		return errors.New("something follows the document")
	}
	return nil
}
