//go:build unix

package idkg

import (
	"crypto/rand"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/gg18"
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
					if _, _, err := s.Load(h.Transcript, h.dealings, f.ids[1], nil); err != nil {
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

// cpuTime is this process's, user and system: on a crowded machine the clock says little.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPresignature is all members' CPU time for a presignature, encoding and decoding included, divided by their number.
func BenchmarkPresignature(b *testing.B) {
	for _, a := range algorithms {
		for _, n := range []int{4, 7, 13} {
			w := newNet(b, a, 1, 0, n)
			key := w.generate(nil)
			b.Run(fmt.Sprintf("%s/n=%d", a, n), func(b *testing.B) {
				began := cpuTime(b)
				for range b.N {
					w.presign(key, nil)
				}
				b.ReportMetric((cpuTime(b)-began).Seconds()*1000/float64(n*b.N), "CPU-ms/member")
			})
		}
	}
}

// BenchmarkSignature is all members' CPU time for a whole signature, from the presignature to the verified result with every share verified,
// divided by their number.
func BenchmarkSignature(b *testing.B) {
	for _, n := range []int{4, 7, 13} {
		w := newNet(b, chainkey.EcdsaSecp256k1, 1, 0, n)
		key := w.generate(nil)
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			began := cpuTime(b)
			for range b.N {
				p := w.presign(key, nil)
				s := w.request(key, p, messages(w.key.Algorithm)[0])
				shares := w.sign(s, p)
				for range n { // each member makes the signature for itself
					if _, _, err := s.Combine(shares); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric((cpuTime(b)-began).Seconds()*1000/float64(n*b.N), "CPU-ms/member")
		})
	}
}

// BenchmarkTSSLib is what a member spends on a signature of three of four in package gg18, to compare. Its key generation takes half a minute.
func BenchmarkTSSLib(b *testing.B) {
	var keygen []chainkey.Generation
	for seat := range 4 {
		params, err := gg18.LocalParams(seat)
		if err != nil {
			b.Fatal(err)
		}
		g, err := gg18.Scheme{}.Generate(chainkey.Generate{Algorithm: chainkey.EcdsaSecp256k1, Session: [32]byte{1}, Seat: seat, Seats: 4, Threshold: 2, Params: params,
			AllowLocal: true, Rand: rand.Reader})
		if err != nil {
			b.Fatal(err)
		}
		keygen = append(keygen, g)
	}
	play(b, keygen)
	committee := []int{0, 1, 3}
	b.ResetTimer()
	began := cpuTime(b)
	for i := range b.N {
		var parts []chainkey.Signing
		for at, seat := range committee {
			sh, err := keygen[seat].Share()
			if err != nil {
				b.Fatal(err)
			}
			s, err := gg18.Scheme{}.Sign(chainkey.Sign{Session: [32]byte{2, byte(i)}, Share: sh, Committee: committee, Seat: at, Message: messages(chainkey.EcdsaSecp256k1)[0],
				Rand: rand.Reader})
			if err != nil {
				b.Fatal(err)
			}
			parts = append(parts, s)
		}
		play(b, parts)
	}
	b.ReportMetric((cpuTime(b)-began).Seconds()*1000/float64(len(committee)*b.N), "CPU-ms/member")
}

// play runs all parts of a protocol.
func play[P chainkey.Protocol](b *testing.B, parts []P) {
	b.Helper()
	outs, errs := make([]chainkey.Output, len(parts)), make([]error, len(parts))
	for i, p := range parts {
		outs[i], errs[i] = p.Start()
	}
	for round := 1; !outs[0].Done; round++ {
		if err := errors.Join(errs...); err != nil {
			b.Fatal(err)
		}
		in := make([][]chainkey.Input, len(parts))
		for to := range parts {
			in[to] = make([]chainkey.Input, len(parts))
			for from := range parts {
				if from != to {
					in[to][from].Broadcast = outs[from].Broadcast
					if outs[from].Private != nil {
						in[to][from].Private = outs[from].Private[to]
					}
				}
			}
		}
		for i, p := range parts {
			outs[i], errs[i] = p.Deliver(round, in[i])
		}
	}
}
