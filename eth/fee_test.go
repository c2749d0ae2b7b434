package eth

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/holiman/uint256"
)

func nums(v ...uint64) (out []uint256.Int) {
	for _, n := range v {
		out = append(out, *uint256.NewInt(n))
	}
	return out
}

func TestEstimateFee(t *testing.T) {
	const gwei = 1_000_000_000
	for name, c := range map[string]struct {
		h         FeeHistory
		tip, most uint64
	}{
		"the median of five":  {FeeHistory{nums(9, 9, 9, 9, 9, 20*gwei), nums(9*gwei, 2*gwei, 3*gwei, 0, 4*gwei)}, 3 * gwei, 43 * gwei},
		"not below the least": {FeeHistory{nums(1, 1, 1, 1, 1, 7), nums(0, 0, 0, 0, gwei)}, MinPriorityFee, MinPriorityFee + 14},
		"of two the larger":   {FeeHistory{nums(0, 0, 0), nums(2*gwei, 5*gwei)}, 5 * gwei, 5 * gwei},
	} {
		f, err := EstimateFee(c.h)
		if err != nil || f.MaxPriorityFeePerGas != *uint256.NewInt(c.tip) || f.MaxFeePerGas != *uint256.NewInt(c.most) {
			t.Errorf("%s: %s of %s, %v", name, f.MaxPriorityFeePerGas.Dec(), f.MaxFeePerGas.Dec(), err)
		}
	}
	for _, h := range []FeeHistory{{}, {nums(1), nil}, {nums(1), nums(1)}, {nums(1, 2, 3), nums(1)}, {make([]uint256.Int, MaxFeeHistory+2), make([]uint256.Int, MaxFeeHistory+1)}} {
		if _, err := EstimateFee(h); !errors.Is(err, ErrFeeHistory) {
			t.Errorf("%d and %d: %v", len(h.BaseFees), len(h.Rewards), err)
		}
	}
	f, err := EstimateFee(FeeHistory{[]uint256.Int{{}, allOnes}, []uint256.Int{allOnes}})
	if err != nil || f.MaxFeePerGas != allOnes {
		t.Errorf("fees without bound: %s, %v", f.MaxFeePerGas.Dec(), err)
	}
}

// TestBumpReplaces compares with the rule of go-ethereum's pool (core/txpool/legacypool/list.go): both fees above the old ones and not below
// 110/100 of them, rounded down.
func TestBumpReplaces(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	random := func() uint256.Int {
		var n uint256.Int
		for i := range n {
			n[i] = r.Uint64()
		}
		n.Rsh(&n, 20+uint(r.IntN(237)))
		return n
	}
	pool := func(old, new uint256.Int) bool {
		threshold := new256(old.ToBig(), 110, 100)
		return new.ToBig().Cmp(threshold) >= 0 && new.ToBig().Cmp(old.ToBig()) > 0
	}
	for i := range 5000 {
		old, base := Fee{random(), random()}, random()
		if i < 20 {
			old = Fee{*uint256.NewInt(uint64(i)), *uint256.NewInt(uint64(i * 2))}
		}
		got := Bump(old, base)
		if !pool(old.MaxPriorityFeePerGas, got.MaxPriorityFeePerGas) || !pool(old.MaxFeePerGas, got.MaxFeePerGas) || !got.Replaces(old) {
			t.Fatalf("%+v does not replace %+v", got, old)
		}
		if got.Stale(base) || got.MaxPriorityFeePerGas.Gt(&got.MaxFeePerGas) {
			t.Fatalf("%+v does not pay for a base fee of %s", got, base.Dec())
		}
		if twice := Bump(got, base); !twice.Replaces(got) {
			t.Fatalf("%+v does not replace %+v", twice, got)
		}
		if m := got.Max(Fee{random(), random()}); !m.Replaces(old) {
			t.Fatalf("%+v does not replace %+v", m, old)
		}
		less := got
		less.MaxPriorityFeePerGas.SubUint64(&less.MaxPriorityFeePerGas, 1)
		if less.Replaces(old) {
			t.Fatalf("%+v is more than needed to replace %+v", got, old)
		}
	}
	top := Bump(Fee{allOnes, allOnes}, allOnes)
	if top.MaxFeePerGas != allOnes || top.Replaces(Fee{allOnes, allOnes}) {
		t.Errorf("there is something above 2^256-1: %+v", top)
	}
}

func new256(n *big.Int, mul, div int64) *big.Int {
	n = new(big.Int).Mul(n, big.NewInt(mul))
	return n.Div(n, big.NewInt(div))
}

func TestCost(t *testing.T) {
	f := Fee{MaxFeePerGas: *uint256.NewInt(30e9)}
	if c := f.Cost(GasTransferETH); c.Dec() != "630000000000000" {
		t.Errorf("a transfer at 30 gwei costs %s", c.Dec())
	}
	if c := (Fee{MaxFeePerGas: allOnes}).Cost(2); c != allOnes {
		t.Errorf("an overflow is %s", c.Dec())
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		text     string
		decimals uint8
		want     string
	}{{"1.5", 18, "1500000000000000000"}, {"0", 18, "0"}, {"0.000001", 6, "1"}, {"12", 0, "12"}, {"0.1", 1, "1"}, {"1", 77, "1" + string(make0(77))}, {allOnes.Dec(), 0, allOnes.Dec()}} {
		n, err := ParseUnits(c.text, c.decimals)
		if err != nil || n.Dec() != c.want || FormatUnits(&n, c.decimals) != c.text {
			t.Errorf("%s with %d decimals: %s, %v, back %s", c.text, c.decimals, n.Dec(), err, FormatUnits(&n, c.decimals))
		}
	}
	for _, text := range []string{"", ".", ".5", "5.", "-1", "+1", "1e3", "0x1", "1_0", "1.1234567", "1..2", allOnes.Dec() + "0", string(make0(5000)) + "." + string(make0(7))} {
		if n, err := ParseUnits(text, 6); !errors.Is(err, ErrAmount) {
			t.Errorf("%.40q is %s, %v", text, n.Dec(), err)
		}
	}
}

func make0(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0'
	}
	return b
}
