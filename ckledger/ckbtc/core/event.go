package core

import "fusion/btc"

// Event is one entry of the log: exactly one of the pointers is set. Replaying the log from its beginning gives the state. Marshal and
// UnmarshalEvent define how it is stored.
type Event struct {
	Time uint64 // ns since 1970

	Init    *Config
	Upgrade *Config

	CheckedUtxo   *UtxoOf       // a deposit passed all checks
	SuspendedUtxo *Suspension   // a deposit did not
	MintAsked     *MintAsked    // written before the ledger is asked
	MintRefused   *btc.Outpoint // the ledger certainly did not mint
	MintUnknown   *btc.Outpoint // nobody can tell any more: never mint again
	Minted        *Minted       // the ledger minted
	BurnAsked     *BurnAsked    // written before the ledger is asked
	BurnRefused   *uint64       // of the request with this number: certainly not burned
	BurnUnknown   *uint64       // nobody can tell any more
	Accepted      *Accepted     // burned: the minter owes bitcoin
	FeeBurned     *FeeBurned    // burned: the minter may spend as much on a consolidation

	Prepared  *Prepared    // a transaction is fixed; written before a signature is asked
	Signed    *InputSigned // one input has its signature
	Complete  *Complete    // all have; written before the transaction is sent
	Sent      *SentTo      // the Bitcoin canister took it for the first time
	Confirmed *ConfirmedTx // one version of a payment is final

	Refund        *Refund      // a withdrawal cannot be paid: ckBTC will be minted back
	RefundAsked   *RefundAsked // written before the ledger is asked
	RefundRefused *uint64      // of the burn with this index: certainly not minted
	RefundUnknown *uint64      // nobody can tell any more
	Refunded      *Refunded

	Vanished *btc.Outpoint // a reorganisation took back a deposit
	Returned *Return       // it is there again, or lies at another height
	Settled  *Outputs      // no reorganisation is expected to reach these any more
	Reversed *uint64       // of a final payment: a reorganisation took back its transaction
	Restored *Utxo         // somebody paid this to the minter's own account to restore custody: nothing is minted for it
	Doubted  *uint64       // everything may have been taken back, settled or not: this many outputs are watched again
	Epoch    *uint64       // how often the Bitcoin canister forgot its chain and began again, when that is learnt first and whenever it is more
	Recalled *Recalled     // a transaction that was made after the backup is found
	Orphaned *Orphaned     // transactions that were made after the backup spent what the log does not know
	Recovery *uint64       // number of a recovery of the subnet from a backup: what the minter did since the backup is not in this log
	Resumed  *WriteOff     // a controller gave what is missing up, custody being enough without it
}

// UtxoOf is a deposit to an account: to its taproot address, or to its P2WPKH one.
type UtxoOf struct {
	Utxo    Utxo
	Account Account
	Taproot bool
}

// Suspension says why a deposit waits.
type Suspension struct {
	Utxo    Utxo
	Account Account
	Reason  SuspendReason
}

// SuspendReason is ValueTooSmall or Quarantined.
type SuspendReason uint8

// The reasons of the interface.
const (
	ValueTooSmall SuspendReason = iota + 1
	Quarantined
)

// MintAsked fixes the arguments of a mint. CreatedAt is the ledger's de-duplication stamp.
type MintAsked struct {
	Outpoint  btc.Outpoint
	Amount    uint64
	CheckFee  uint64
	CreatedAt uint64
}

// Minted says in which block of the ledger a deposit was minted.
type Minted struct {
	Outpoint   btc.Outpoint
	BlockIndex uint64
	Utxo       Utxo // again, so that the event can be shown alone
	Account    Account
}

// BurnAsked fixes the arguments of a burn.
type BurnAsked struct {
	Number    uint64  // of the request, counted from 1
	From      Account // whose ckBTC
	Refund    Account // where ckBTC goes back to if bitcoin cannot be paid; in the first layouts, From
	Approval  bool    // by icrc2_transfer_from; else from the withdrawal account
	Amount    uint64
	Address   string
	CreatedAt uint64
	// Of the fee of a consolidation: the value and number of the outputs that are to be merged. Inputs is 0 for withdrawals.
	Value  uint64
	Inputs uint64
}

// FeeBurned ends the burn of a consolidation's fee.
type FeeBurned struct {
	Number     uint64
	BlockIndex uint64
	Amount     uint64
	Address    string // the minter's own, where the outputs go
}

// Accepted turns a burn into a withdrawal, which is known by the burn's block from then on.
type Accepted struct {
	Number     uint64
	BlockIndex uint64
	Amount     uint64
	Address    string
	Refund     Account // where ckBTC goes back to if bitcoin cannot be paid
}

// PaymentKind says what a transaction is for.
type PaymentKind uint8

// The kinds of transactions.
const (
	PaysOut      PaymentKind = iota // one output per withdrawal, then the change
	Cancels                         // replaces those that pay out: everything goes back to the minter
	Consolidates                    // many small outputs of the minter become two
)

// Prepared fixes a transaction that pays withdrawals. Version 0 of a payment chooses requests and inputs; every later one
// replaces it by fee and spends the same inputs, so that at most one of them can ever confirm.
type Prepared struct {
	Payment   uint64
	Version   uint64
	Requests  []uint64 // version 0 only
	Inputs    []Utxo   // version 0 only
	Outputs   []Output // one per request in order, then the change
	FeeRate   uint64   // millisatoshi per vbyte
	BtcFee    uint64   // satoshi
	MinterFee uint64   // satoshi
	Kind      PaymentKind
	// Keys are the keys of the inputs; version 0 only: compressed, or the x-only output keys of taproot addresses.
	Keys [][]byte
}

// Output is an output of a transaction.
type Output struct {
	Script []byte
	Value  uint64
}

// InputSigned is one signature, 64 bytes r‖s or, for taproot, as BIP340 has it.
type InputSigned struct {
	Payment   uint64
	Version   uint64
	Input     uint64
	Signature []byte
}

// Complete is a fully signed transaction.
type Complete struct {
	Payment uint64
	Version uint64
	Txid    btc.Hash
	// What follows repeats the payment, so that the event can be shown alone.
	Old         btc.Hash // the transaction it replaces, zero for none
	Requests    []uint64
	Inputs      []Utxo
	ChangeVout  uint32
	ChangeValue uint64
	FeeRate     uint64
	BtcFee      uint64
	MinterFee   uint64
	Raw         []byte
	Kind        PaymentKind
}

// SentTo says which transaction the Bitcoin canister took.
type SentTo struct {
	Payment uint64
	Version uint64
}

// ConfirmedTx says which version of a payment is final, and where its change lies.
type ConfirmedTx struct {
	Payment uint64
	Txid    btc.Hash
	Height  uint32
}

// RefundReason says why a withdrawal cannot be paid.
type RefundReason uint8

// The reasons.
const (
	RefundAmountTooLow  RefundReason = iota + 1 // the fees would leave less than dust
	RefundTooManyInputs                         // the payment alone needs more inputs than a transaction may have
	RefundCancelled                             // no transaction was mined in time, and one that cancels them is final
)

// Refund schedules a reimbursement.
type Refund struct {
	BlockIndex uint64
	Amount     uint64
	Account    Account
	Reason     RefundReason
	Inputs     uint64 // for RefundTooManyInputs: how many were needed
	MaxInputs  uint64
}

// RefundAsked fixes the stamp of a reimbursing mint.
type RefundAsked struct {
	BlockIndex uint64
	CreatedAt  uint64
}

// Refunded ends a withdrawal that was not paid.
type Refunded struct {
	BlockIndex uint64 // of the burn
	MintBlock  uint64
}
