package core

import "fusion/btc"

// Event is one entry of the log: exactly one of the pointers is set. Replaying the log from its beginning gives the state. The cbor numbers are stored:
// never reuse one.
type Event struct {
	Time uint64 `cbor:"0,keyasint"` // ns since 1970

	Init    *Config `cbor:"1,keyasint,omitempty"`
	Upgrade *Config `cbor:"2,keyasint,omitempty"`

	CheckedUtxo   *UtxoOf       `cbor:"3,keyasint,omitempty"`  // a deposit passed all checks
	SuspendedUtxo *Suspension   `cbor:"4,keyasint,omitempty"`  // a deposit did not
	MintAsked     *MintAsked    `cbor:"5,keyasint,omitempty"`  // written before the ledger is asked
	MintRefused   *btc.Outpoint `cbor:"6,keyasint,omitempty"`  // the ledger certainly did not mint
	MintUnknown   *btc.Outpoint `cbor:"7,keyasint,omitempty"`  // nobody can tell any more: never mint again
	Minted        *Minted       `cbor:"8,keyasint,omitempty"`  // the ledger minted
	BurnAsked     *BurnAsked    `cbor:"9,keyasint,omitempty"`  // written before the ledger is asked
	BurnRefused   *uint64       `cbor:"10,keyasint,omitempty"` // of the request with this number: certainly not burned
	BurnUnknown   *uint64       `cbor:"11,keyasint,omitempty"` // nobody can tell any more
	Accepted      *Accepted     `cbor:"12,keyasint,omitempty"` // burned: the minter owes bitcoin

	Prepared  *Prepared    `cbor:"13,keyasint,omitempty"` // a transaction is fixed; written before a signature is asked
	Signed    *InputSigned `cbor:"14,keyasint,omitempty"` // one input has its signature
	Complete  *Complete    `cbor:"15,keyasint,omitempty"` // all have; written before the transaction is sent
	Sent      *SentTo      `cbor:"16,keyasint,omitempty"` // the Bitcoin canister took it for the first time
	Confirmed *ConfirmedTx `cbor:"17,keyasint,omitempty"` // one version of a payment is final

	Refund        *Refund      `cbor:"18,keyasint,omitempty"` // a withdrawal cannot be paid: ckBTC will be minted back
	RefundAsked   *RefundAsked `cbor:"19,keyasint,omitempty"` // written before the ledger is asked
	RefundRefused *uint64      `cbor:"20,keyasint,omitempty"` // of the burn with this index: certainly not minted
	RefundUnknown *uint64      `cbor:"21,keyasint,omitempty"` // nobody can tell any more
	Refunded      *Refunded    `cbor:"22,keyasint,omitempty"`
}

// UtxoOf is a deposit to an account.
type UtxoOf struct {
	Utxo    Utxo    `cbor:"1,keyasint"`
	Account Account `cbor:"2,keyasint"`
}

// Suspension says why a deposit waits.
type Suspension struct {
	Utxo    Utxo          `cbor:"1,keyasint"`
	Account Account       `cbor:"2,keyasint"`
	Reason  SuspendReason `cbor:"3,keyasint"`
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
	Outpoint  btc.Outpoint `cbor:"1,keyasint"`
	Amount    uint64       `cbor:"2,keyasint"`
	CheckFee  uint64       `cbor:"3,keyasint"`
	CreatedAt uint64       `cbor:"4,keyasint"`
}

// Minted says in which block of the ledger a deposit was minted.
type Minted struct {
	Outpoint   btc.Outpoint `cbor:"1,keyasint"`
	BlockIndex uint64       `cbor:"2,keyasint"`
	Utxo       Utxo         `cbor:"3,keyasint"` // again, so that the event can be shown alone
	Account    Account      `cbor:"4,keyasint"`
}

// BurnAsked fixes the arguments of a burn.
type BurnAsked struct {
	Number    uint64  `cbor:"1,keyasint"` // of the request, counted from 1
	From      Account `cbor:"2,keyasint"` // whose ckBTC
	Approval  bool    `cbor:"3,keyasint"` // by icrc2_transfer_from; else from the withdrawal account
	Amount    uint64  `cbor:"4,keyasint"`
	Address   string  `cbor:"5,keyasint"`
	CreatedAt uint64  `cbor:"6,keyasint"`
}

// Accepted turns a burn into a withdrawal, which is known by the burn's block from then on.
type Accepted struct {
	Number     uint64  `cbor:"1,keyasint"`
	BlockIndex uint64  `cbor:"2,keyasint"`
	Amount     uint64  `cbor:"3,keyasint"`
	Address    string  `cbor:"4,keyasint"`
	Refund     Account `cbor:"5,keyasint"` // where ckBTC goes back to if bitcoin cannot be paid
}

// Prepared fixes a transaction that pays withdrawals. Version 0 of a payment chooses requests and inputs; every later one
// replaces it by fee and spends the same inputs, so that at most one of them can ever confirm.
type Prepared struct {
	Payment   uint64   `cbor:"1,keyasint"`
	Version   uint64   `cbor:"2,keyasint"`
	Requests  []uint64 `cbor:"3,keyasint,omitempty"` // version 0 only
	Inputs    []Utxo   `cbor:"4,keyasint,omitempty"` // version 0 only
	Outputs   []Output `cbor:"5,keyasint"`           // one per request in order, then the change
	FeeRate   uint64   `cbor:"6,keyasint"`           // millisatoshi per vbyte
	BtcFee    uint64   `cbor:"7,keyasint"`           // satoshi
	MinterFee uint64   `cbor:"8,keyasint"`           // satoshi
	// Keys are the compressed public keys of the inputs; version 0 only.
	Keys [][]byte `cbor:"9,keyasint,omitempty"`
}

// Output is an output of a transaction.
type Output struct {
	Script []byte `cbor:"1,keyasint"`
	Value  uint64 `cbor:"2,keyasint"`
}

// InputSigned is one signature, 64 bytes r‖s.
type InputSigned struct {
	Payment   uint64 `cbor:"1,keyasint"`
	Version   uint64 `cbor:"2,keyasint"`
	Input     uint64 `cbor:"3,keyasint"`
	Signature []byte `cbor:"4,keyasint"`
}

// Complete is a fully signed transaction.
type Complete struct {
	Payment uint64   `cbor:"1,keyasint"`
	Version uint64   `cbor:"2,keyasint"`
	Txid    btc.Hash `cbor:"3,keyasint"`
	// What follows repeats the payment, so that the event can be shown alone.
	Old         btc.Hash `cbor:"4,keyasint"` // the transaction it replaces, zero for none
	Requests    []uint64 `cbor:"5,keyasint"`
	Inputs      []Utxo   `cbor:"6,keyasint"`
	ChangeVout  uint32   `cbor:"7,keyasint"`
	ChangeValue uint64   `cbor:"8,keyasint"`
	FeeRate     uint64   `cbor:"9,keyasint"`
	BtcFee      uint64   `cbor:"10,keyasint"`
	MinterFee   uint64   `cbor:"11,keyasint"`
	Raw         []byte   `cbor:"12,keyasint"`
}

// SentTo says which transaction the Bitcoin canister took.
type SentTo struct {
	Payment uint64 `cbor:"1,keyasint"`
	Version uint64 `cbor:"2,keyasint"`
}

// ConfirmedTx says which version of a payment is final, and where its change lies.
type ConfirmedTx struct {
	Payment uint64   `cbor:"1,keyasint"`
	Txid    btc.Hash `cbor:"2,keyasint"`
	Height  uint32   `cbor:"3,keyasint"`
}

// RefundReason says why a withdrawal cannot be paid.
type RefundReason uint8

// The reasons.
const (
	RefundAmountTooLow  RefundReason = iota + 1 // the fees would leave less than dust
	RefundTooManyInputs                         // the payment alone needs more inputs than a transaction may have
)

// Refund schedules a reimbursement.
type Refund struct {
	BlockIndex uint64       `cbor:"1,keyasint"`
	Amount     uint64       `cbor:"2,keyasint"`
	Account    Account      `cbor:"3,keyasint"`
	Reason     RefundReason `cbor:"4,keyasint"`
	Inputs     uint64       `cbor:"5,keyasint,omitempty"` // for RefundTooManyInputs: how many were needed
	MaxInputs  uint64       `cbor:"6,keyasint,omitempty"`
}

// RefundAsked fixes the stamp of a reimbursing mint.
type RefundAsked struct {
	BlockIndex uint64 `cbor:"1,keyasint"`
	CreatedAt  uint64 `cbor:"2,keyasint"`
}

// Refunded ends a withdrawal that was not paid.
type Refunded struct {
	BlockIndex uint64 `cbor:"1,keyasint"` // of the burn
	MintBlock  uint64 `cbor:"2,keyasint"`
}
