package execution

import (
	"testing"

	"fusion/ic/principal"
)

// BenchmarkUpdates measures trivial updates in blocks of 100, as a ledger sees them: heap and stable memory change.
func BenchmarkUpdates(b *testing.B) {
	w := newWorld(b)
	id := w.install(counter())
	b.ResetTimer()
	for done := 0; done < b.N; {
		var block []Ingress
		for range min(100, b.N-done) {
			block = append(block, w.message(alice, id, "inc", nil))
		}
		done += w.round(block...).IngressDone
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

// BenchmarkQueries measures trivial queries from all processors.
func BenchmarkQueries(b *testing.B) {
	w := newWorld(b)
	id := w.install(counter())
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r := w.x.Query(b.Context(), QueryRequest{Sender: alice, Canister: id, Method: "get"}); r.Reject != nil {
				b.Fatal(r.Reject)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
}

// BenchmarkCalls measures calls between canisters, with their callbacks.
func BenchmarkCalls(b *testing.B) {
	w := newWorld(b)
	callee := w.install(counter())
	id := w.install(caller(callee))
	b.ResetTimer()
	for done := 0; done < b.N; {
		var block []Ingress
		for range min(100, b.N-done) {
			block = append(block, w.message(alice, id, "echo", nil))
		}
		done += w.round(block...).IngressDone
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkNative measures calls of a canister in Go: what a message costs without wasm.
func BenchmarkNative(b *testing.B) {
	w := newWorld(b, func(c *Config) { c.Natives = map[principal.Principal]Native{nativeID: echoNative{}} })
	b.ResetTimer()
	for done := 0; done < b.N; {
		var block []Ingress
		for range min(100, b.N-done) {
			block = append(block, w.message(alice, nativeID, "echo", nil))
		}
		done += w.round(block...).IngressDone
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}
