package principal

import "testing"

func BenchmarkString(b *testing.B) {
	p := SelfAuthenticating([]byte("key"))
	b.ReportAllocs()
	for b.Loop() {
		_ = p.String()
	}
}
