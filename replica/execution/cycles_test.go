package execution

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// TestCyclesArithmetic compares with big integers.
func TestCyclesArithmetic(t *testing.T) {
	limit := MaxCycles.Big()
	bounded := func(b *big.Int) *big.Int {
		if b.Sign() < 0 {
			return new(big.Int)
		}
		if b.Cmp(limit) > 0 {
			return limit
		}
		return b
	}
	rapid.Check(t, func(t *rapid.T) {
		amount := func(name string) Cycles {
			// Small and large halves both matter.
			word := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1<<64 - 1}))
			return Cycles{Hi: word.Draw(t, name+" hi"), Lo: word.Draw(t, name+" lo")}
		}
		a, b := amount("a"), amount("b")
		n, d := rapid.Uint64().Draw(t, "n"), rapid.Uint64Min(1).Draw(t, "d")
		x, y := a.Big(), b.Big()
		for _, c := range []struct {
			what string
			got  Cycles
			want *big.Int
		}{
			{"add", a.Add(b), new(big.Int).Add(x, y)},
			{"sub", a.Sub(b), new(big.Int).Sub(x, y)},
			{"mulDiv", mulDiv(a, n, d), new(big.Int).Quo(new(big.Int).Mul(x, new(big.Int).SetUint64(n)), new(big.Int).SetUint64(d))},
		} {
			if c.got.Big().Cmp(bounded(c.want)) != 0 {
				t.Fatalf("%s of %s and %s (%d, %d) is %s, want %s", c.what, a, b, n, d, c.got, c.want)
			}
		}
		if a.Cmp(b) != x.Cmp(y) {
			t.Fatalf("cmp of %s and %s is %d", a, b, a.Cmp(b))
		}
		if back, ok := CyclesFromBig(x); !ok || back != a {
			t.Fatalf("%s comes back as %s", a, back)
		}
	})
}

// TestPrices checks the table against figures of the documentation for 13 and 34 nodes.
func TestPrices(t *testing.T) {
	for _, c := range []struct {
		what      string
		got, want Cycles
	}{
		{"creation, 13", prices{13}.creation(), CyclesOf(500_000_000_000)},
		{"creation, 34", prices{34}.creation(), CyclesOf(1_307_692_307_692)},
		{"signature, 34", prices{34}.sign(), CyclesOf(26_153_846_153)},
		{"message, 34", prices{34}.execution(0), CyclesOf(13_076_923)},
		{"ingress, 34", prices{34}.ingress(0), CyclesOf(3_138_461)},
		{"GiB second, 13", prices{13}.idle(gib, 0, 1), CyclesOf(127_000)},
		{"compute, 34", prices{34}.idle(0, 1, 1), CyclesOf(26_153_846)},
		{"outcall, 13", prices{13}.httpOutcall(0, 0), CyclesOf(49_140_000)},
		{"outcall, 34", prices{34}.httpOutcall(0, 0), CyclesOf(171_360_000)},
	} {
		if c.got != c.want {
			t.Errorf("%s costs %s, want %s", c.what, c.got, c.want)
		}
	}
}
