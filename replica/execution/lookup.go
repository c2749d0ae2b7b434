package execution

import (
	"fmt"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// LookupIngress reads a request's status from the committed store of an executor. It may be called from any goroutine, on
// any reader that may.
func LookupIngress(r kv.Reader, id [32]byte) (IngressStatus, bool) {
	raw, ok := r.Get(append([]byte{keyIngress}, id[:]...))
	if !ok {
		return IngressStatus{}, false
	}
	var e ingressRecord
	if err := codec.Unmarshal(raw, &e); err != nil {
		panic(fmt.Errorf("ingress history: record %x: %w", id, err)) // what we wrote is unreadable: the store is corrupt
	}
	return e.status(), true
}
