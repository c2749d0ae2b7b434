package core

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"fusion/btc"
	"fusion/chainkey/derive"
	"fusion/ckledger/minting"
	"fusion/ic/principal"
)

// Account is an account of the ckBTC ledger.
type Account = minting.Account

// NewAccount makes an account; a nil subaccount is the default one, any other must have 32 bytes.
func NewAccount(owner principal.Principal, subaccount *[]byte) (Account, error) {
	return minting.NewAccount(owner, subaccount)
}

// withdrawalDomain separates withdrawal subaccounts from others: a length byte, then the name.
const withdrawalDomain = "\x05ckbtc"

// WithdrawalAccount is where a user deposits ckBTC before retrieve_btc: an account of the minter, one per user.
func WithdrawalAccount(minter, user principal.Principal) Account {
	h := sha256.New()
	h.Write([]byte(withdrawalDomain))
	h.Write(user.Bytes())
	h.Write(binary.BigEndian.AppendUint64(nil, 0)) // a nonce that is always 0
	a := Account{Owner: minter}
	h.Sum(a.Subaccount[:0])
	return a
}

// FeeAccount is where the ledger's fees go; the fees of consolidations are burned from it.
func FeeAccount(minter principal.Principal) Account {
	return Account{Owner: minter, Subaccount: [32]byte{30: 0x0f, 31: 0xee}}
}

// PublicKey is the minter canister's key and chain code, as ecdsa_public_key and schnorr_public_key report them.
type PublicKey struct {
	Key       [33]byte
	ChainCode [32]byte
	Schnorr   *PublicKey // of taproot addresses; nil for none
}

// Of derives the key of an account.
func (k PublicKey) Of(a Account) ([33]byte, error) {
	c, err := derive.Secp256k1(k.Key, k.ChainCode, a.Path())
	return c.PublicKey, err
}

// Address is the P2WPKH address of an account.
func (k PublicKey) Address(n btc.Network, a Account) (btc.Address, error) {
	pub, err := k.Of(a)
	if err != nil {
		return btc.Address{}, err
	}
	return btc.P2WPKHFromPubKey(n, pub[:])
}

// ErrNoTaproot means that the minter has no key for taproot addresses.
var ErrNoTaproot = errors.New("this minter has no taproot addresses: it was installed without schnorr_key_name")

// TaprootAddress is the address of an account whose outputs are spent by its Schnorr key alone (BIP341, no script tree).
func (k PublicKey) TaprootAddress(n btc.Network, a Account) (btc.Address, error) {
	if k.Schnorr == nil {
		return btc.Address{}, ErrNoTaproot
	}
	pub, err := k.Schnorr.Of(a)
	if err != nil {
		return btc.Address{}, err
	}
	return btc.P2TRFromInternalKey(n, [32]byte(pub[1:]), nil)
}

// spender is the key that an input is spent by: compressed, or the x-only output key of taproot.
func (k PublicKey) spender(a Account, taproot bool) ([]byte, error) {
	if taproot {
		addr, err := k.TaprootAddress(btc.Mainnet, a) // the key is the same on all networks
		if err != nil {
			return nil, err
		}
		return addr.Payload(), nil
	}
	pub, err := k.Of(a)
	return pub[:], err
}

// Utxo is an unspent output of Bitcoin. Height is that of its block.
type Utxo struct {
	Txid   btc.Hash
	Vout   uint32
	Value  uint64 // satoshi
	Height uint32
}

// Outpoint names the output.
func (u Utxo) Outpoint() btc.Outpoint { return btc.Outpoint{Txid: u.Txid, Vout: u.Vout} }

// Compare orders by value, then outpoint, so that selection does not depend on the order of discovery.
func (u Utxo) Compare(v Utxo) int {
	switch {
	case u.Value < v.Value:
		return -1
	case u.Value > v.Value:
		return 1
	}
	if c := bytes.Compare(u.Txid[:], v.Txid[:]); c != 0 {
		return c
	}
	return int(u.Vout) - int(v.Vout)
}

// ModeKind says who may change the minter's state.
type ModeKind uint8

// The modes of the interface.
const (
	GeneralAvailability ModeKind = iota
	ReadOnly
	RestrictedTo
	DepositsRestrictedTo
)

// Mode is a mode with its principals.
type Mode struct {
	Kind    ModeKind
	Allowed [][]byte
}

func (m Mode) allows(p principal.Principal) bool {
	for _, a := range m.Allowed {
		if bytes.Equal(a, p.Bytes()) {
			return true
		}
	}
	return false
}

// Deposits returns the reason why p may not convert BTC to ckBTC now, or "".
func (m Mode) Deposits(p principal.Principal) string {
	switch {
	case m.Kind == ReadOnly:
		return "the minter is in read-only mode"
	case (m.Kind == RestrictedTo || m.Kind == DepositsRestrictedTo) && !m.allows(p):
		return "BTC deposits are temporarily restricted"
	}
	return ""
}

// Withdrawals returns the reason why p may not convert ckBTC to BTC now, or "".
func (m Mode) Withdrawals(p principal.Principal) string {
	switch {
	case m.Kind == ReadOnly:
		return "the minter is in read-only mode"
	case m.Kind == RestrictedTo && !m.allows(p):
		return "BTC withdrawals are temporarily restricted"
	}
	return ""
}

// Config is the minter's configuration, from its init arguments and the upgrades since.
type Config struct {
	Network        btc.Network
	Ledger         []byte
	KeyName        string
	DepositMin     uint64 // satoshi; smaller deposits are ignored
	RetrieveMin    uint64 // satoshi
	MaxTimeInQueue uint64 // ns
	Confirmations  uint32
	Mode           Mode
	CheckFee       uint64 // satoshi, kept from each deposit
	Checker        []byte // nil: no checks
	MaxInputs      uint64 // of one transaction
	Consolidate    uint64 // available outputs from which on small ones are merged in transactions of their own
	SchnorrKey     string // name of the BIP 340 key of taproot deposit addresses; "" for none
	Limits
}

// Defaults of the init arguments that may be absent.
const (
	DefaultConfirmations = 6    // as ckBTC's
	DefaultMaxInputs     = 1000 // P2WPKH inputs of 68 vB each: 68 kvB, below the 100 kvB that nodes relay
	DefaultConsolidate   = 10_000
)

// ErrConfig means that init or upgrade arguments cannot be used.
var ErrConfig = errors.New("invalid minter configuration")

// Check validates a configuration.
func (c Config) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case !c.Network.Valid():
		return bad("unknown bitcoin network")
	case c.KeyName == "":
		return bad("ecdsa_key_name is empty")
	case c.Network == btc.Mainnet && c.KeyName == "dfx_test_key":
		return bad("the development key %s may not hold mainnet coins", c.KeyName)
	case c.Confirmations == 0:
		return bad("min_confirmations must be at least 1")
	case c.Network != btc.Regtest && c.Checker == nil:
		return bad("btc_checker_principal is required outside regtest")
	case c.MaxInputs == 0 || c.MaxInputs > DefaultMaxInputs:
		return bad("max_num_inputs_in_transaction must be 1 to %d", DefaultMaxInputs)
	case c.RetrieveMin < 2*minDust:
		return bad("retrieve_btc_min_amount %d is below %d", c.RetrieveMin, 2*minDust)
	case c.CheckFee > uint64(btc.Coin):
		return bad("check_fee %d exceeds one bitcoin", c.CheckFee)
	case c.Network == btc.Mainnet && c.SchnorrKey == "dfx_test_key":
		return bad("the development key %s may not hold mainnet coins", c.SchnorrKey)
	}
	return c.Limits.check(bad)
}

// MinDeposit is the smallest value that is minted at a fee rate (millisatoshi per vbyte): what remains after the check fee must be positive, and the
// output must be worth at least three times what spending it costs.
func (c Config) MinDeposit(feeRate uint64) uint64 {
	return max(c.DepositMin, c.CheckFee+1, 3*uint64(btc.MillisatPerVByte(feeRate).Fee(inputVSize)))
}
