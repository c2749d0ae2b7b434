package core

import "fusion/eth"

// Event is one entry of the log: exactly one of the pointers is set. Replaying the log from its beginning gives the state. Marshal and
// UnmarshalEvent define how it is stored.
type Event struct {
	Time uint64 // ns since 1970

	Init       *Start
	Upgrade    *Change
	TokenAdded *Token

	Observed    *Block      // a final block was seen, and the one seen before is still in its chain
	Synced      *Progress   // all logs of a contract up to a block are in the log
	Skipped     *Progress   // the logs of one block are too large to be read; `recheck` finds what is in them
	Seen        *Claim      // a log claims a deposit
	Verified    *Verified   // an ERC-20 deposit is what its receipt says
	Invalid     *Refusal    // a deposit cannot be minted
	MintAsked   *MintAsked  // written before the ledger is asked
	MintRefused *Source     // the ledger certainly did not mint
	MintUnknown *Source     // nobody can tell any more: never mint again
	Minted      *Minted     // the ledger minted
	Recovery    *uint64     // number of a recovery of the subnet from a backup: what the minter did since the backup is not in this log
	Forgotten   *Forgotten  // a transaction that was made after the backup pays no withdrawal that the log knows
	Weighed     *Weighed    // what the main address held of ether when that was compared; written with Reconciled
	Reconciled  *Reconciled // a controller has compared the log with the chain after it
	Halted      *Halt       // the chain changed beneath us: nothing is minted or paid until an operator says so
	Paused      *PauseAsset // the chain holds less of an asset than its ledger issued

	BurnAsked        *BurnAsked // written before the ledger is asked
	BurnRefused      *uint64    // of the request with this number: certainly not burned
	BurnUnknown      *uint64    // nobody can tell any more
	Burned           *Burned    // ckETH is burned; the request is known by the block from now on
	TokenBurnAsked   *Stamped   // written before the token's ledger is asked
	TokenBurnRefused *uint64    // certainly not burned: what was burned for fees goes back
	TokenBurnUnknown *uint64
	TokenBurned      *Burned

	Created   *Created // a transaction is fixed under a new nonce; written before a signature is asked
	Replaced  *Created // another one under the same nonce
	Signed    *Signed  // written before the transaction is sent
	Sent      *SentTo  // some provider took it for the first time
	Finalized *Receipt // one of the transactions under a nonce is final
	Abandoned *uint64  // the amount did not cover the fees for too long: a refund follows
	Disputed  *Receipt // a final transaction did something that cannot be: an operator must look

	RefundAsked   *RefundStamp // written before the ledger is asked
	RefundRefused *RefundRef   // certainly not minted
	RefundUnknown *RefundRef   // nobody can tell any more
	Refunded      *Refunded

	Sweep *SweepCreated // what lies at a deposit address goes to the main address; written before a signature is asked
	Swept *Swept        // after a recovery: a final transaction of a deposit address that the log does not know
}

// Start is the beginning of the log.
type Start struct {
	Config    Config
	NextNonce uint64
	LastBlock uint64 // the last one that counts as read
}

// Change is an upgrade.
type Change struct {
	Config    Config
	NextNonce *uint64
	Cursors   [scrapers]*uint64
	Resume    bool // what halted or paused goes on
}

// Token is an ERC-20 token with its ledger.
type Token struct {
	Asset  Asset
	Symbol string
	Ledger []byte
}

// Block is a block of Ethereum.
type Block struct {
	Number uint64
	Hash   eth.Hash
}

// Progress is how far a contract's logs are read.
type Progress struct {
	Scraper Scraper
	Block   uint64
}

// Claim is a deposit as a log of a helper contract tells it.
type Claim struct {
	Source  Source
	Scraper Scraper
	Block   uint64
	From    eth.Address
	Asset   Asset
	Value   Amount
	To      Account
}

// Verified says how much of a token really arrived.
type Verified struct {
	Source Source
	Value  Amount
}

// Refusal says why a deposit is not minted. The claim may have been Seen before or not; what cannot be read of it is zero.
type Refusal struct {
	Claim  Claim
	Reason string
}

// MintAsked fixes the stamp of a mint.
type MintAsked struct {
	Source    Source
	CreatedAt uint64
}

// Minted says in which block of the ledger a deposit was minted.
type Minted struct {
	Source Source
	Block  uint64
}

// Forgotten is a transaction of the main address that the log does not know and cannot place, with the next nonce.
type Forgotten struct {
	Nonce uint64
	Hash  eth.Hash
}

// Weighed is what the main address held of ether in a final block, and what the books said that it holds at least: those of that block, but for sweeps that the log
// does not know and for forgotten transactions.
type Weighed struct {
	Block        uint64
	Held, Booked Amount // wei
}

// Reconciled ends the halt of a recovery.
type Reconciled struct {
	Nonce uint64 // the next of the main address: in logs without Forgotten, unknown transactions have used those below
}

// Halt says at which block the chain changed.
type Halt struct {
	Number    uint64
	Want, Got eth.Hash
	Reason    string
}

// PauseAsset says what is wrong with an asset.
type PauseAsset struct {
	Asset  Asset
	Reason string
}

// BurnAsked is a withdrawal before anything is burned. It fixes the arguments of the burn of ckETH: of the amount for ether, of the highest fee for a token.
type BurnAsked struct {
	Number    uint64 // of the request, counted from 1
	Asset     Asset
	Amount    Amount // of the asset
	MaxFee    Amount // wei; for tokens only
	To        eth.Address
	From      Account // whose ckETH
	TokenFrom Account // whose tokens
	CreatedAt uint64
}

// Stamped fixes the created_at_time of a transfer for a request.
type Stamped struct {
	Number    uint64
	CreatedAt uint64
}

// Burned says in which block of a ledger something moved for a request.
type Burned struct {
	Number uint64
	Block  uint64
}

// RefundRef names one of the refunds of a request.
type RefundRef struct {
	Number uint64
	Index  uint64
}

// RefundStamp fixes the created_at_time of a refund.
type RefundStamp struct {
	RefundRef
	CreatedAt uint64
}

// Refunded says in which block of the ledger a refund was minted.
type Refunded struct {
	RefundRef
	Block uint64
}

// Created fixes a transaction. Version 0 of a nonce belongs to a withdrawal; later ones pay the same recipient the same or, for ether, less by what the fee rose;
// a filler pays the minter itself, so that the nonce is used although the withdrawal cannot afford its fee.
type Created struct {
	Transfer uint64 // counted from 1
	Number   uint64 // of the request
	Nonce    uint64
	Fee      Fee
	Value    Amount      // wei
	Main     eth.Address // the sender
	Filler   bool
}

// SweepCreated fixes a transaction from a deposit address to the main one. A later version repeats the transfer with the same nonce and a higher fee.
type SweepCreated struct {
	Transfer uint64
	Version  uint64
	Account  Account
	From     eth.Address
	Main     eth.Address
	Nonce    uint64
	Fee      Fee
	Value    Amount
}

// Swept is a transaction of a deposit address that was made after the backup. It ends the open sweep with its nonce, or is one of its own.
type Swept struct {
	Transfer  uint64 // that sweep's, or the next
	Account   Account
	From      eth.Address
	Nonce     uint64
	Hash      eth.Hash
	Block     Block
	Value     Amount // wei that it brought to the main address; 0 if it failed
	Confusion string // if it is no sweep: what is wrong. Somebody else has the key then
}

// Signed is a version's signed form.
type Signed struct {
	Transfer uint64
	Version  uint64
	Raw      []byte
	Hash     eth.Hash
}

// SentTo names a version.
type SentTo struct {
	Transfer uint64
	Version  uint64
}

// Receipt is how a nonce ended.
type Receipt struct {
	Transfer  uint64
	Version   uint64
	Hash      eth.Hash // that of the version, or of another signature of the same payload
	Block     Block
	GasUsed   uint64
	GasPrice  Amount
	Success   bool
	NotMoved  bool   // the transaction succeeded, but the token did not move: as good as a failure
	Moved     Amount // of the token, if it differs from what was asked
	Confusion string // of Disputed: what is wrong
}
