package execution

import (
	"fusion/internal/kv"
)

// LookupIngress reads a request's status from the committed store of an executor. It may be called from any goroutine, on
// any reader that may.
func LookupIngress(r kv.Reader, id [32]byte) (IngressStatus, bool) {
	e, ok := kv.Record[ingressRecord](r, append([]byte{keyIngress}, id[:]...))
	if !ok {
		return IngressStatus{}, false
	}
	return e.status(), true
}
