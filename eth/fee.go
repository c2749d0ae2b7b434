package eth

import (
	"errors"
	"fmt"
	"slices"

	"github.com/holiman/uint256"
)

// How ckETH asks for fees: eth_feeHistory of five blocks with the reward at the 20th percentile of each.
const (
	FeeHistoryBlocks     = 5
	FeeHistoryPercentile = 20
)

// GasTransferETH is the gas of a plain transfer to an account without code (yellow paper, G_transaction).
const GasTransferETH = 21_000

// MinPriorityFee is the least that is offered to a block's producer: 1.5 gwei, as ckETH does.
const MinPriorityFee = 1_500_000_000

// MaxFeeHistory bounds a fee history in blocks (go-ethereum answers with at most 1024).
const MaxFeeHistory = 1024

// ErrFeeHistory is a fee history from which nothing follows; test with errors.Is.
var ErrFeeHistory = errors.New("unusable fee history")

// FeeHistory is the answer of eth_feeHistory with one reward percentile.
type FeeHistory struct {
	BaseFees []uint256.Int // wei per gas, of each block and of the one that comes next
	Rewards  []uint256.Int // wei per gas, of each block
}

// Fee is what a transaction offers per gas, in wei.
type Fee struct {
	MaxPriorityFeePerGas uint256.Int // to the block's producer, at most
	MaxFeePerGas         uint256.Int // in all, at most
}

// EstimateFee offers the median of the rewards and at least MinPriorityFee as priority fee, and twice the next block's base fee plus that
// in all: the base fee may double, which takes six full blocks, before the transaction has to wait.
func EstimateFee(h FeeHistory) (Fee, error) {
	n := len(h.Rewards)
	if n == 0 || n > MaxFeeHistory || len(h.BaseFees) != n+1 {
		return Fee{}, fmt.Errorf("%w: %d rewards and %d base fees", ErrFeeHistory, n, len(h.BaseFees))
	}
	sorted := slices.Clone(h.Rewards)
	slices.SortFunc(sorted, func(a, b uint256.Int) int { return a.Cmp(&b) })
	priority := larger(sorted[n/2], *uint256.NewInt(MinPriorityFee))
	base := h.NextBaseFee()
	return Fee{MaxPriorityFeePerGas: priority, MaxFeePerGas: add(add(base, base), priority)}, nil
}

// NextBaseFee is the base fee of the block after the history, zero if there is none.
func (h FeeHistory) NextBaseFee() uint256.Int {
	if len(h.BaseFees) == 0 {
		return uint256.Int{}
	}
	return h.BaseFees[len(h.BaseFees)-1]
}

// Bump is the least fee that replaces a pending transaction with old and pays for a block with base: nodes take a replacement if
// both fields are larger and by a tenth at least (go-ethereum, txpool.pricebump).
func Bump(old Fee, base uint256.Int) Fee {
	priority := tenthMore(old.MaxPriorityFeePerGas)
	return Fee{MaxPriorityFeePerGas: priority, MaxFeePerGas: larger(tenthMore(old.MaxFeePerGas), add(base, priority))}
}

// Max has the larger of both fields each, so what replaces for f or g still does.
func (f Fee) Max(g Fee) Fee {
	return Fee{
		MaxPriorityFeePerGas: larger(f.MaxPriorityFeePerGas, g.MaxPriorityFeePerGas),
		MaxFeePerGas:         larger(f.MaxFeePerGas, g.MaxFeePerGas),
	}
}

// Replaces says whether a node that has a transaction with fee old takes one with fee f and the same nonce in its place.
func (f Fee) Replaces(old Fee) bool {
	p, m := tenthMore(old.MaxPriorityFeePerGas), tenthMore(old.MaxFeePerGas)
	return !f.MaxPriorityFeePerGas.Lt(&p) && !f.MaxFeePerGas.Lt(&m) && f.MaxPriorityFeePerGas.Gt(&old.MaxPriorityFeePerGas) && f.MaxFeePerGas.Gt(&old.MaxFeePerGas)
}

// Stale says whether a transaction with this fee is not worth a producer's while in a block with base: it should be replaced.
func (f Fee) Stale(base uint256.Int) bool {
	need := add(base, f.MaxPriorityFeePerGas)
	return f.MaxFeePerGas.Lt(&need)
}

// Cost is the most that gas can cost, in wei.
func (f Fee) Cost(gas uint64) uint256.Int {
	var out uint256.Int
	if _, overflow := out.MulOverflow(&f.MaxFeePerGas, uint256.NewInt(gas)); overflow {
		out.SetAllOne()
	}
	return out
}

// tenthMore is n·1.1 rounded up, and more than n.
func tenthMore(n uint256.Int) uint256.Int {
	var tenth uint256.Int
	tenth.Div(&n, uint256.NewInt(10))
	var back uint256.Int
	if back.Mul(&tenth, uint256.NewInt(10)); n.IsZero() || !back.Eq(&n) {
		tenth.AddUint64(&tenth, 1)
	}
	return add(n, tenth)
}

// add saturates: a fee of 2^256−1 is as unpayable as what lies above it.
func add(a, b uint256.Int) (out uint256.Int) {
	if _, overflow := out.AddOverflow(&a, &b); overflow {
		out.SetAllOne()
	}
	return out
}

func larger(a, b uint256.Int) uint256.Int {
	if a.Lt(&b) {
		return b
	}
	return a
}
