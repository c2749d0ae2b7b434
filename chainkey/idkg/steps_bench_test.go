package idkg

import (
	"fmt"
	"testing"

	"fusion/chainkey"
)

// BenchmarkMember is one member's CPU time for each step of a presignature and a signature, and bytes on the wire.
func BenchmarkMember(b *testing.B) {
	for _, n := range []int{4, 7, 13} {
		f := newFixture(b, chainkey.EcdsaSecp256k1, n)
		for _, k := range kinds {
			s := f.sharings[k]
			b.Run(fmt.Sprintf("deal/%s/n=%d", k, n), func(b *testing.B) {
				size := 0
				for range b.N {
					size = len(f.deal(k, 0).Encode())
				}
				b.ReportMetric(float64(size), "B")
			})
			raw := f.deal(k, 0).Encode()
			b.Run(fmt.Sprintf("check/%s/n=%d", k, n), func(b *testing.B) {
				for range b.N {
					d, err := DecodeDealing(raw)
					if err != nil {
						b.Fatal(err)
					}
					if err := s.Check(d, f.ids[1]); err != nil {
						b.Fatal(err)
					}
				}
			})
			h := f.results[k]
			b.Run(fmt.Sprintf("load/%s/n=%d", k, n), func(b *testing.B) {
				for range b.N {
					if _, _, err := s.Load(transcripts(h), h.dealings, f.ids[1], nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		p := f.presign(f.key, nil)
		s := f.request(f.key, p, messages(chainkey.EcdsaSecp256k1)[0])
		shares := f.sign(s, p)
		b.Run(fmt.Sprintf("share/n=%d", n), func(b *testing.B) {
			for range b.N {
				if _, err := s.Share(f.ids[0], p.shares[0], free); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("verify/n=%d", n), func(b *testing.B) {
			for range b.N {
				if err := s.Verify(shares[1]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("combine/n=%d", n), func(b *testing.B) {
			for range b.N {
				if _, _, err := s.Combine(shares); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
