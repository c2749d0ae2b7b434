package chain

import (
	"fmt"
	"math"
	"math/big"

	"fusion/btc"
)

// Params are the consensus constants of a network and the bounds of the tree. Sources: Bitcoin Core, kernel/chainparams.cpp; BIP94.
type Params struct {
	Network btc.Network

	// Base are the headers that are trusted without a check: the genesis block, or the headers of a checkpoint from the first of its
	// difficulty period on (at least 11). The last is the first anchor, at BaseHeight and with BaseWork in total.
	Base       []btc.Header
	BaseHeight uint32
	BaseWork   *big.Int

	PowLimit      *big.Int // easiest target
	PowLimitBits  uint32   // the same in compact form
	NoRetarget    bool     // regtest: the difficulty never changes
	MinDifficulty bool     // testnet4, regtest: 20 minutes after its parent a block may have the easiest target
	BIP94         bool     // testnet4: retarget from the period's first block, no time warp

	HalvingInterval uint32 // blocks between halvings of the subsidy
	BIP34Height     uint32 // from here on the coinbase starts with its height and versions below 2 are refused
	BIP66Height     uint32 // versions below 3 are refused
	BIP65Height     uint32 // versions below 4 are refused
	SegwitHeight    uint32 // from here on blocks carry witnesses

	SignetChallenge []byte // signet: the script that each block's coinbase solves (BIP325)

	// MinChainWork is the work that the heaviest branch is known to have at the least: until it does, the tree is not synced.
	MinChainWork *big.Int
	// MaxHeaders bounds the headers above the anchor. The default is 8,000.
	MaxHeaders int
}

// never is a height that no chain reaches.
const never = math.MaxUint32

const (
	// retargetInterval is the number of blocks in a difficulty period, targetSpacing the seconds that a block should take.
	retargetInterval = 2016
	targetSpacing    = 600
	targetTimespan   = retargetInterval * targetSpacing
	// medianSpan is the number of blocks whose median time a new block must exceed.
	medianSpan = 11
	// MaxFuture is how far a header's time may lie ahead of block time, in seconds (MAX_FUTURE_BLOCK_TIME).
	MaxFuture = 2 * 60 * 60
	// maxTimewarp is how far the first block of a period may lie before its parent, in seconds (BIP94).
	maxTimewarp = 600
)

// ParamsOf returns the constants of a network, starting at its genesis block.
func ParamsOf(n btc.Network) (Params, error) {
	p := Params{Network: n, MaxHeaders: 8000, HalvingInterval: 210_000, BIP34Height: 1, BIP66Height: 1, BIP65Height: 1, SegwitHeight: 1}
	genesis := btc.Header{Version: 1, MerkleRoot: hash("4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")}
	var want string
	switch n {
	case btc.Mainnet:
		p.PowLimitBits = 0x1d00ffff
		p.BIP34Height, p.BIP66Height, p.BIP65Height, p.SegwitHeight = 227_931, 363_725, 388_381, 481_824
		// Work of mainnet at height 886,157 (Bitcoin Core 29.0).
		p.MinChainWork = number("0000000000000000000000000000000000000000b1f3b93b65b16d035a82be84")
		genesis.Time, genesis.Bits, genesis.Nonce = 1231006505, 0x1d00ffff, 2083236893
		want = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
	case btc.Testnet4:
		p.PowLimitBits = 0x1d00ffff
		p.MinDifficulty, p.BIP94 = true, true
		// Work of testnet4 at height 72,600 (Bitcoin Core 29.0).
		p.MinChainWork = number("0000000000000000000000000000000000000000000001d6dce8651b6094e4c1")
		genesis.MerkleRoot = hash("7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e")
		genesis.Time, genesis.Bits, genesis.Nonce = 1714777860, 0x1d00ffff, 393743547
		want = "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043"
	case btc.Regtest:
		p.PowLimitBits = 0x207fffff
		p.NoRetarget, p.MinDifficulty = true, true
		p.HalvingInterval = 150
		// Core enforces these from block 1, btcd never; a regtest chain of either must be followed.
		p.BIP34Height, p.BIP66Height, p.BIP65Height = never, never, never
		p.MinChainWork = new(big.Int)
		genesis.Time, genesis.Bits, genesis.Nonce = 1296688602, 0x207fffff, 2
		want = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
	case btc.Signet:
		p.PowLimitBits = 0x1e0377ae
		p.SignetChallenge = btc.SignetChallenge
		// Work of signet at height 237,722 (Bitcoin Core 29.0).
		p.MinChainWork = number("000000000000000000000000000000000000000000000000000002b517f3d1a1")
		genesis.Time, genesis.Bits, genesis.Nonce = 1598918400, 0x1e0377ae, 52613770
		want = "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"
	default:
		return p, fmt.Errorf("no bitcoin network %v", n)
	}
	if genesis.Hash() != hash(want) {
		panic("chain: genesis block of " + n.String() + " is " + genesis.Hash().String())
	}
	p.PowLimit, _ = Target(p.PowLimitBits)
	p.Base, p.BaseWork = []btc.Header{genesis}, Work(p.PowLimitBits)
	return p, nil
}

func hash(text string) btc.Hash {
	h, err := btc.ParseHash(text)
	if err != nil {
		panic(err)
	}
	return h
}

func number(hex string) *big.Int {
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("chain: bad constant " + hex)
	}
	return n
}

// Subsidy is what the coinbase at a height may create.
func (p *Params) Subsidy(height uint32) btc.Satoshi {
	n := height / p.HalvingInterval
	if n >= 64 {
		return 0
	}
	return 50 * btc.Coin >> n
}

// Segwit tells whether BIP141 is active at a height.
func (p *Params) Segwit(height uint32) bool { return height >= p.SegwitHeight }

// Target expands a compact target. It is false for negative, zero and overflowing values.
func Target(bits uint32) (*big.Int, bool) {
	exp, mant := uint(bits>>24), bits&0x7fffff
	if mant == 0 || bits&0x800000 != 0 || exp > 34 || mant > 0xff && exp > 33 || mant > 0xffff && exp > 32 {
		return nil, false
	}
	t := big.NewInt(int64(mant))
	if exp <= 3 {
		t.Rsh(t, 8*(3-exp))
	} else {
		t.Lsh(t, 8*(exp-3))
	}
	return t, t.Sign() > 0
}

// Compact is the inverse of Target, rounding down to 23 bits of mantissa.
func Compact(t *big.Int) uint32 {
	size := uint((t.BitLen() + 7) / 8)
	var mant uint32
	if size <= 3 {
		mant = uint32(t.Uint64()) << (8 * (3 - size))
	} else {
		mant = uint32(new(big.Int).Rsh(t, 8*(size-3)).Uint64())
	}
	if mant&0x800000 != 0 {
		mant >>= 8
		size++
	}
	return uint32(size)<<24 | mant
}

// Work is the expected number of hashes that a block with the target took: 2²⁵⁶ / (target + 1). It is zero for a bad target.
func Work(bits uint32) *big.Int {
	t, ok := Target(bits)
	if !ok {
		return new(big.Int)
	}
	return t.Div(new(big.Int).Lsh(big.NewInt(1), 256), t.Add(t, big.NewInt(1)))
}

// Difficulty is how many times harder the target is than difficulty 1, rounded down (as the Bitcoin canister counts it).
func Difficulty(bits uint32, limit *big.Int) *big.Int {
	t, ok := Target(bits)
	if !ok {
		return new(big.Int)
	}
	return t.Div(limit, t)
}

// retarget is the target after a period that took span seconds.
func (p *Params) retarget(bits uint32, span int64) (uint32, error) {
	target, ok := Target(bits)
	if !ok {
		return 0, fmt.Errorf("%w: target %#x", ErrCorrupt, bits)
	}
	span = min(max(span, targetTimespan/4), targetTimespan*4)
	target.Div(target.Mul(target, big.NewInt(span)), big.NewInt(targetTimespan))
	if target.Cmp(p.PowLimit) > 0 {
		return p.PowLimitBits, nil
	}
	return Compact(target), nil
}

// meets tells whether a block's hash is at or below its target.
func meets(h btc.Hash, target *big.Int) bool {
	for i, j := 0, len(h)-1; i < j; i, j = i+1, j-1 {
		h[i], h[j] = h[j], h[i]
	}
	return new(big.Int).SetBytes(h[:]).Cmp(target) <= 0
}
