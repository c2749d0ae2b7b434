//go:build unix

package idkg_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/gg18"
	"fusion/chainkey/idkg/idkgtest"
)

// cpuTime is this process's, user and system: on a crowded machine the clock says little.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// message is what is signed.
var message = chainkey.HashMessage([32]byte{3})

// whole measures what one member spends on a part of the scheme, all of whose members run in turn and verify for themselves.
func whole(b *testing.B, a chainkey.Algorithm, n int, before, do func(w *idkgtest.Network, key *idkgtest.Held, i int) error) {
	b.Run(fmt.Sprintf("%s/n=%d", a, n), func(b *testing.B) {
		w, err := idkgtest.New(a, 1, n, rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		key, err := w.Generate()
		if err != nil {
			b.Fatal(err)
		}
		if before != nil {
			if err := before(w, key, 0); err != nil {
				b.Fatal(err)
			}
		}
		w.Bytes = 0
		b.ResetTimer()
		began := cpuTime(b)
		for i := range b.N {
			if err := do(w, key, i); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((cpuTime(b)-began).Seconds()*1000/float64(n*b.N), "CPU-ms/member")
		b.ReportMetric(float64(w.Bytes/b.N), "B")
	})
}

// BenchmarkPresignature makes presignatures.
func BenchmarkPresignature(b *testing.B) {
	for _, a := range []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Bip340Secp256k1, chainkey.Ed25519} {
		for _, n := range []int{4, 7, 13} {
			whole(b, a, n, nil, func(w *idkgtest.Network, key *idkgtest.Held, i int) error {
				_, err := w.Presign(key, uint64(i+1), 1)
				return err
			})
		}
	}
}

// BenchmarkPresignatures makes 16 at once; the figures are of one.
func BenchmarkPresignatures(b *testing.B) {
	const count = 16
	for _, a := range []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Bip340Secp256k1, chainkey.Ed25519} {
		for _, n := range []int{4, 7, 13} {
			whole(b, a, n, nil, func(w *idkgtest.Network, key *idkgtest.Held, i int) error {
				if i%count != 0 {
					return nil
				}
				_, err := w.Presign(key, uint64(i+1), count)
				return err
			})
		}
	}
}

// BenchmarkSignature makes signatures from presignatures that are there: shares, f of the others' verified, and the result.
func BenchmarkSignature(b *testing.B) {
	for _, a := range []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Bip340Secp256k1, chainkey.Ed25519} {
		for _, n := range []int{4, 7, 13} {
			var ps []*idkgtest.Presigned
			whole(b, a, n, func(w *idkgtest.Network, key *idkgtest.Held, _ int) (err error) {
				ps, err = w.Presign(key, 1, 1)
				return err
			}, func(w *idkgtest.Network, key *idkgtest.Held, _ int) error {
				_, err := w.Sign(key, ps[0], message)
				return err
			})
		}
	}
}

// BenchmarkReshare hands a key to as many new members.
func BenchmarkReshare(b *testing.B) {
	for _, n := range []int{4, 7, 13} {
		whole(b, chainkey.EcdsaSecp256k1, n, nil, func(w *idkgtest.Network, key *idkgtest.Held, i int) error {
			next, err := idkgtest.New(w.Key.Algorithm, uint64(i+2), n, rand.Reader)
			if err != nil {
				return err
			}
			_, err = w.Reshare(next, key)
			w.Bytes += next.Bytes
			return err
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
			s, err := gg18.Scheme{}.Sign(chainkey.Sign{Session: [32]byte{2, byte(i)}, Share: sh, Committee: committee, Seat: at, Message: message,
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

// TestNetwork runs what the benchmarks do once.
func TestNetwork(t *testing.T) {
	for _, a := range []chainkey.Algorithm{chainkey.EcdsaSecp256k1, chainkey.Bip340Secp256k1, chainkey.Ed25519} {
		w, err := idkgtest.New(a, 1, 4, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := w.Generate()
		if err != nil {
			t.Fatal(err)
		}
		next, err := idkgtest.New(a, 2, 5, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if key, err = w.Reshare(next, key); err != nil {
			t.Fatal(err)
		}
		ps, err := next.Presign(key, 1, 3)
		if err != nil {
			t.Fatal(err)
		}
		child, err := chainkey.Derive(a, key.PublicKey(), [32]byte{}, [][]byte{{1}})
		if err != nil {
			t.Fatal(err)
		}
		names := map[[32]byte]bool{}
		for _, p := range ps {
			sig, err := next.Sign(key, p, message)
			if err != nil {
				t.Fatal(err)
			}
			if err := chainkey.Verify(a, child.PublicKey, message, sig.Bytes); err != nil {
				t.Error(err)
			}
			names[p.Name()] = true
		}
		if len(names) != len(ps) {
			t.Errorf("%s: %d presignatures have %d names", a, len(ps), len(names))
		}
	}
}
