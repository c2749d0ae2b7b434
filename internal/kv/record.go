package kv

import (
	"fmt"

	"fusion/internal/codec"
)

// Record is the value that codec.Marshal stored under a key, and whether there is one. A record that cannot be read panics, as a value does that cannot
// (Store): the state would fork if its machine went on.
func Record[T any](r Reader, key []byte) (v T, ok bool) {
	b, ok := r.Get(key)
	if !ok {
		return v, false
	}
	if err := codec.Unmarshal(b, &v); err != nil {
		panic(fmt.Sprintf("a damaged record under %q: %v", key, err))
	}
	return v, true
}
