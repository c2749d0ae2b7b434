package btc

import (
	"fmt"
	"math/bits"
)

// Satoshi is an amount of bitcoin: 10⁻⁸ BTC.
type Satoshi uint64

const (
	// Coin is one bitcoin in satoshi.
	Coin Satoshi = 1e8
	// MaxMoney bounds every valid amount and sum (Bitcoin Core, consensus/amount.h).
	MaxMoney = 21_000_000 * Coin
)

// String renders the amount in BTC with all eight decimals.
func (s Satoshi) String() string { return fmt.Sprintf("%d.%08d BTC", s/Coin, s%Coin) }

// Add returns s+t and false when the sum leaves the range of valid amounts.
func (s Satoshi) Add(t Satoshi) (Satoshi, bool) {
	sum, carry := bits.Add64(uint64(s), uint64(t), 0)
	return Satoshi(sum), carry == 0 && Satoshi(sum) <= MaxMoney
}

// MillisatPerVByte is a fee rate: thousandths of a satoshi per virtual byte.
type MillisatPerVByte uint64

// Fee is what vsize virtual bytes cost at this rate, rounded up, and at most MaxMoney.
func (r MillisatPerVByte) Fee(vsize int) Satoshi {
	if vsize <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(r), uint64(vsize))
	if hi != 0 || lo > uint64(MaxMoney)*1000 {
		return MaxMoney
	}
	return Satoshi((lo + 999) / 1000)
}

// FeeRate is the rate that a fee pays over vsize virtual bytes, rounded down.
func FeeRate(fee Satoshi, vsize int) MillisatPerVByte {
	if vsize <= 0 || fee > MaxMoney {
		return 0
	}
	hi, lo := bits.Mul64(uint64(fee), 1000)
	q, _ := bits.Div64(hi%uint64(vsize), lo, uint64(vsize))
	return MillisatPerVByte(q)
}
