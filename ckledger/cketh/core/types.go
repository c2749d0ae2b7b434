package core

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/holiman/uint256"

	"fusion/chainkey/derive"
	"fusion/ckledger/minting"
	"fusion/eth"
)

// Account is an account of a ledger.
type Account = minting.Account

// Amount is a number of wei or of a token's smallest units.
type Amount = uint256.Int

// Asset is what is held: the contract's address of an ERC-20 token, or the zero address for ether.
type Asset = eth.Address

// Ether is the asset that has no contract.
var Ether Asset

// AmountOf makes an amount that fits in 64 bits.
func AmountOf(n uint64) Amount { return *uint256.NewInt(n) }

func add(a, b Amount) (sum Amount, ok bool) {
	_, overflow := sum.AddOverflow(&a, &b)
	return sum, !overflow
}

// sub saturates at zero.
func sub(a, b Amount) (diff Amount) {
	if a.Gt(&b) {
		diff.Sub(&a, &b)
	}
	return diff
}

// times saturates at the largest amount.
func times(a Amount, n uint64) (product Amount) {
	if _, overflow := product.MulOverflow(&a, uint256.NewInt(n)); overflow {
		product.SetAllOne()
	}
	return product
}

// plus saturates at the largest amount.
func plus(a, b Amount) Amount {
	sum, ok := add(a, b)
	if !ok {
		sum.SetAllOne()
	}
	return sum
}

func least(a, b Amount) Amount {
	if b.Lt(&a) {
		return b
	}
	return a
}

// PublicKey is the minter canister's key and chain code, as ecdsa_public_key reports them.
type PublicKey struct {
	Key       [33]byte
	ChainCode [32]byte
}

// Main is the address that holds the minter's ether and tokens: that of the canister's own key.
func (k PublicKey) Main() (eth.Address, error) { return eth.AddressFromPubKey(k.Key[:]) }

// Of derives the key behind the deposit address of an account.
func (k PublicKey) Of(a Account) ([33]byte, error) {
	c, err := derive.Secp256k1(k.Key, k.ChainCode, a.Path())
	return c.PublicKey, err
}

// Address is the deposit address of an account.
func (k PublicKey) Address(a Account) (eth.Address, error) {
	pub, err := k.Of(a)
	if err != nil {
		return eth.Address{}, err
	}
	return eth.AddressFromPubKey(pub[:])
}

// Height says which blocks count.
type Height uint8

// The heights of the interface.
const (
	Finalized Height = iota
	Safe
	Latest
)

// Scraper is one of the helper contracts whose logs are read.
type Scraper uint8

// The scrapers.
const (
	ScrapeEth     Scraper = iota // the legacy contract for ether
	ScrapeErc20                  // the legacy contract for tokens
	ScrapeDeposit                // the contract for both, with subaccounts
	scrapers
)

// Scrapers is how many there are.
const Scrapers = int(scrapers)

// Chain ids.
const (
	Mainnet = 1
	Sepolia = 11155111
	DevGeth = 1337  // a chain within a process, for development
	Anvil   = 31337 // a local chain of Foundry's
)

// Cap bounds what is minted of an asset in a day of 24 hours that begin at midnight UTC.
type Cap struct {
	Asset  Asset
	PerDay Amount
}

// Config is the minter's configuration, from its init arguments and the upgrades since.
type Config struct {
	ChainID      uint64
	KeyName      string
	Ledger       []byte // of ckETH
	Rpc          []byte // the EVM-RPC canister
	Orchestrator []byte // may add tokens; empty: nobody may
	Height       Height
	WithdrawMin  Amount                // wei
	Helpers      [scrapers]eth.Address // zero: none
	Caps         []Cap
	Personal     bool          // personal deposit addresses are served
	Blocked      []eth.Address // sorted
	Every        uint64        // ns between readings of the chain
	Pipeline     uint64        // ns between rounds of the withdrawals
	AbandonAfter uint64        // ns after which a withdrawal whose amount never covered the fees is refunded
}

// ErrConfig means that init or upgrade arguments cannot be used.
var ErrConfig = errors.New("invalid minter configuration")

// Development reports whether the chain is a private one, where nothing is worth anything and somebody waits for every block.
func (c *Config) Development() bool { return c.ChainID == DevGeth || c.ChainID == Anvil }

// Check validates a configuration.
func (c *Config) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case c.ChainID != Mainnet && c.ChainID != Sepolia && !c.Development():
		return bad("unknown chain %d", c.ChainID)
	case c.KeyName == "":
		return bad("ecdsa_key_name is empty")
	case c.ChainID == Mainnet && c.KeyName == "dfx_test_key":
		return bad("the development key %s may not hold mainnet ether", c.KeyName)
	case len(c.Ledger) == 0 || len(c.Rpc) == 0:
		return bad("ledger and EVM-RPC canister must be set")
	case c.WithdrawMin.IsZero():
		return bad("minimum_withdrawal_amount must be positive")
	case c.ChainID == Mainnet && c.Height != Finalized:
		return bad("on mainnet only finalized blocks count")
	case c.Every == 0 || c.Pipeline == 0 || c.AbandonAfter == 0:
		return bad("intervals must be positive")
	case c.Height > Latest:
		return bad("block height %d", c.Height)
	}
	for i := 1; i < len(c.Blocked); i++ {
		if bytes.Compare(c.Blocked[i-1][:], c.Blocked[i][:]) >= 0 {
			return bad("blocked addresses are not sorted")
		}
	}
	for i, h := range c.Helpers {
		for _, other := range c.Helpers[:i] {
			if h != (eth.Address{}) && h == other {
				return bad("the helper contract %v has two roles", h)
			}
		}
	}
	return nil
}

// IsBlocked reports whether nothing is taken from and paid to an address.
func (c *Config) IsBlocked(a eth.Address) bool {
	lo, hi := 0, len(c.Blocked)
	for lo < hi {
		mid := (lo + hi) / 2
		switch cmp := bytes.Compare(c.Blocked[mid][:], a[:]); {
		case cmp == 0:
			return true
		case cmp < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return false
}

// Source names a log for ever: the hash of its transaction and its index in the block. The deposit that a sweep brought has the hash of the sweep and the
// index 0: a plain transfer of ether has no logs.
type Source struct {
	Tx    eth.Hash
	Index uint64
}

func (s Source) String() string { return fmt.Sprintf("%v:%d", s.Tx, s.Index) }

func (s Source) compare(t Source) int {
	if c := bytes.Compare(s.Tx[:], t.Tx[:]); c != 0 {
		return c
	}
	switch {
	case s.Index < t.Index:
		return -1
	case s.Index > t.Index:
		return 1
	}
	return 0
}

// Fee is a price of gas, in wei.
type Fee = eth.Fee

// Gas limits, as ckETH's.
const (
	GasEther = eth.GasTransferETH
	GasErc20 = 65_000
)
