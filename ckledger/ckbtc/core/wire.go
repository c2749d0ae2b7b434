package core

import (
	"fusion/btc"
	"fusion/ckledger/minting"
)

// The stored form of an event: its time, its kind, the version of its layout, then its fields in order, each by its struct's visit method (minting.Visitor).

// The kinds of stored events: never renumber.
const (
	kindInit = iota + 1
	kindUpgrade
	kindCheckedUtxo
	kindSuspendedUtxo
	kindMintAsked
	kindMintRefused
	kindMintUnknown
	kindMinted
	kindBurnAsked
	kindBurnRefused
	kindBurnUnknown
	kindAccepted
	kindPrepared
	kindSigned
	kindComplete
	kindSent
	kindConfirmed
	kindRefund
	kindRefundAsked
	kindRefundRefused
	kindRefundUnknown
	kindRefunded
	kindVanished
	kindReturned
	kindSettled
	kindReversed
	kindRestored
	kindResumed
	kindFeeBurned
	kindDoubted
	kindEpoch
	kindRecovery
	kindRecalled
	kindOrphaned
	kinds // one more than the last
)

// layout is the version of the fields. A change adds fields at the end of a struct, read if the version says so.
const layout = 1

// configLayout is that of configurations: the second has a Schnorr key and the limits.
const configLayout = 2

// depositLayout is that of deposits: the second knows taproot.
const depositLayout = 2

// paymentLayout is that of transactions: the second knows consolidations and cancellations.
const paymentLayout = 2

// writeOffLayout is that of what controllers give up: the second knows which transactions can never be mined.
const writeOffLayout = 2

// burnLayout is that of burns: the second knows consolidations, the third where a refund goes.
const burnLayout = 3

// ErrStored means that bytes are not a stored event.
var ErrStored = minting.ErrStored

// Marshal gives the stored form of an event. It panics for an event without content.
func (e *Event) Marshal() []byte { return minting.Marshal(&e.Time, e.visit) }

// UnmarshalEvent reads a stored event.
func UnmarshalEvent(b []byte) (Event, error) {
	var e Event
	err := minting.Unmarshal(b, &e.Time, kinds, e.visit)
	return e, err
}

// visit goes through the content: of the kind given when reading, of whatever is set when writing. It returns the kind.
func (e *Event) visit(v *minting.Visitor, kind uint64) uint64 {
	switch {
	case minting.Part(v, kind, kindInit, configLayout, &e.Init, (*Config).visit):
		return kindInit
	case minting.Part(v, kind, kindUpgrade, configLayout, &e.Upgrade, (*Config).visit):
		return kindUpgrade
	case minting.Part(v, kind, kindCheckedUtxo, depositLayout, &e.CheckedUtxo, (*UtxoOf).visit):
		return kindCheckedUtxo
	case part(v, kind, kindSuspendedUtxo, &e.SuspendedUtxo, (*Suspension).visit):
		return kindSuspendedUtxo
	case part(v, kind, kindMintAsked, &e.MintAsked, (*MintAsked).visit):
		return kindMintAsked
	case part(v, kind, kindMintRefused, &e.MintRefused, visitOutpoint):
		return kindMintRefused
	case part(v, kind, kindMintUnknown, &e.MintUnknown, visitOutpoint):
		return kindMintUnknown
	case part(v, kind, kindMinted, &e.Minted, (*Minted).visit):
		return kindMinted
	case minting.Part(v, kind, kindBurnAsked, burnLayout, &e.BurnAsked, (*BurnAsked).visit):
		return kindBurnAsked
	case part(v, kind, kindBurnRefused, &e.BurnRefused, visitNumber):
		return kindBurnRefused
	case part(v, kind, kindBurnUnknown, &e.BurnUnknown, visitNumber):
		return kindBurnUnknown
	case part(v, kind, kindAccepted, &e.Accepted, (*Accepted).visit):
		return kindAccepted
	case part(v, kind, kindFeeBurned, &e.FeeBurned, (*FeeBurned).visit):
		return kindFeeBurned
	case minting.Part(v, kind, kindPrepared, paymentLayout, &e.Prepared, (*Prepared).visit):
		return kindPrepared
	case part(v, kind, kindSigned, &e.Signed, (*InputSigned).visit):
		return kindSigned
	case minting.Part(v, kind, kindComplete, paymentLayout, &e.Complete, (*Complete).visit):
		return kindComplete
	case part(v, kind, kindSent, &e.Sent, (*SentTo).visit):
		return kindSent
	case part(v, kind, kindConfirmed, &e.Confirmed, (*ConfirmedTx).visit):
		return kindConfirmed
	case part(v, kind, kindRefund, &e.Refund, (*Refund).visit):
		return kindRefund
	case part(v, kind, kindRefundAsked, &e.RefundAsked, (*RefundAsked).visit):
		return kindRefundAsked
	case part(v, kind, kindRefundRefused, &e.RefundRefused, visitNumber):
		return kindRefundRefused
	case part(v, kind, kindRefundUnknown, &e.RefundUnknown, visitNumber):
		return kindRefundUnknown
	case part(v, kind, kindRefunded, &e.Refunded, (*Refunded).visit):
		return kindRefunded
	case part(v, kind, kindVanished, &e.Vanished, visitOutpoint):
		return kindVanished
	case part(v, kind, kindReturned, &e.Returned, (*Return).visit):
		return kindReturned
	case part(v, kind, kindSettled, &e.Settled, (*Outputs).visit):
		return kindSettled
	case part(v, kind, kindReversed, &e.Reversed, visitNumber):
		return kindReversed
	case part(v, kind, kindRestored, &e.Restored, (*Utxo).visit):
		return kindRestored
	case minting.Part(v, kind, kindResumed, writeOffLayout, &e.Resumed, (*WriteOff).visit):
		return kindResumed
	case part(v, kind, kindDoubted, &e.Doubted, visitNumber):
		return kindDoubted
	case part(v, kind, kindEpoch, &e.Epoch, visitNumber):
		return kindEpoch
	case part(v, kind, kindRecovery, &e.Recovery, visitNumber):
		return kindRecovery
	case part(v, kind, kindRecalled, &e.Recalled, (*Recalled).visit):
		return kindRecalled
	case part(v, kind, kindOrphaned, &e.Orphaned, (*Orphaned).visit):
		return kindOrphaned
	}
	return 0
}

// part visits one kind of content if it is the one at hand.
func part[T any](v *minting.Visitor, kind, own uint64, p **T, visit func(*T, *minting.Visitor)) bool {
	return minting.Part(v, kind, own, layout, p, visit)
}

func visitNumber(n *uint64, v *minting.Visitor) { v.Num(n) }

func visitBytes(b *[]byte, v *minting.Visitor) { v.Bytes(b) }

func visitOutpoint(o *btc.Outpoint, v *minting.Visitor) {
	v.Fixed(o.Txid[:])
	minting.Small(v, &o.Vout)
}

func (u *Utxo) visit(v *minting.Visitor) {
	v.Fixed(u.Txid[:])
	minting.Small(v, &u.Vout)
	v.Num(&u.Value)
	minting.Small(v, &u.Height)
}

func (c *Config) visit(v *minting.Visitor) {
	minting.Small(v, &c.Network)
	v.Bytes(&c.Ledger)
	v.Text(&c.KeyName)
	v.Num(&c.DepositMin)
	v.Num(&c.RetrieveMin)
	v.Num(&c.MaxTimeInQueue)
	minting.Small(v, &c.Confirmations)
	minting.Small(v, &c.Mode.Kind)
	minting.List(v, &c.Mode.Allowed, visitBytes)
	v.Num(&c.CheckFee)
	v.Bytes(&c.Checker)
	v.Num(&c.MaxInputs)
	v.Num(&c.Consolidate)
	if !v.Writing {
		c.Limits = DefaultLimits(c.Network)
	}
	if v.Layout >= 2 {
		v.Text(&c.SchnorrKey)
		c.Limits.visit(v)
	}
}

func (x *UtxoOf) visit(v *minting.Visitor) {
	x.Utxo.visit(v)
	v.Account(&x.Account)
	if v.Layout >= 2 {
		v.Flag(&x.Taproot)
	}
}

func (x *Suspension) visit(v *minting.Visitor) {
	x.Utxo.visit(v)
	v.Account(&x.Account)
	minting.Small(v, &x.Reason)
}

func (x *MintAsked) visit(v *minting.Visitor) {
	visitOutpoint(&x.Outpoint, v)
	v.Num(&x.Amount)
	v.Num(&x.CheckFee)
	v.Num(&x.CreatedAt)
}

func (x *Minted) visit(v *minting.Visitor) {
	visitOutpoint(&x.Outpoint, v)
	v.Num(&x.BlockIndex)
	x.Utxo.visit(v)
	v.Account(&x.Account)
}

func (x *BurnAsked) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Account(&x.From)
	v.Flag(&x.Approval)
	v.Num(&x.Amount)
	v.Text(&x.Address)
	v.Num(&x.CreatedAt)
	if v.Layout >= 2 {
		v.Num(&x.Value)
		v.Num(&x.Inputs)
	}
	if v.Layout < 3 {
		x.Refund = x.From
		return
	}
	v.Account(&x.Refund)
}

func (x *FeeBurned) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Num(&x.BlockIndex)
	v.Num(&x.Amount)
	v.Text(&x.Address)
}

func (x *Accepted) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Num(&x.BlockIndex)
	v.Num(&x.Amount)
	v.Text(&x.Address)
	v.Account(&x.Refund)
}

func (o *Output) visit(v *minting.Visitor) {
	v.Bytes(&o.Script)
	v.Num(&o.Value)
}

func (x *Prepared) visit(v *minting.Visitor) {
	v.Num(&x.Payment)
	v.Num(&x.Version)
	minting.List(v, &x.Requests, visitNumber)
	minting.List(v, &x.Inputs, (*Utxo).visit)
	minting.List(v, &x.Outputs, (*Output).visit)
	v.Num(&x.FeeRate)
	v.Num(&x.BtcFee)
	v.Num(&x.MinterFee)
	minting.List(v, &x.Keys, visitBytes)
	if v.Layout >= 2 {
		minting.Small(v, &x.Kind)
	}
}

func (x *InputSigned) visit(v *minting.Visitor) {
	v.Num(&x.Payment)
	v.Num(&x.Version)
	v.Num(&x.Input)
	v.Bytes(&x.Signature)
}

func (x *Complete) visit(v *minting.Visitor) {
	v.Num(&x.Payment)
	v.Num(&x.Version)
	v.Fixed(x.Txid[:])
	v.Fixed(x.Old[:])
	minting.List(v, &x.Requests, visitNumber)
	minting.List(v, &x.Inputs, (*Utxo).visit)
	minting.Small(v, &x.ChangeVout)
	v.Num(&x.ChangeValue)
	v.Num(&x.FeeRate)
	v.Num(&x.BtcFee)
	v.Num(&x.MinterFee)
	v.Bytes(&x.Raw)
	if v.Layout >= 2 {
		minting.Small(v, &x.Kind)
	}
}

func (x *SentTo) visit(v *minting.Visitor) {
	v.Num(&x.Payment)
	v.Num(&x.Version)
}

func (x *ConfirmedTx) visit(v *minting.Visitor) {
	v.Num(&x.Payment)
	v.Fixed(x.Txid[:])
	minting.Small(v, &x.Height)
}

func (x *Recalled) visit(v *minting.Visitor) {
	v.Num(&x.Payment)
	minting.List(v, &x.Inputs, (*Utxo).visit)
	minting.List(v, &x.Requests, visitNumber)
	v.Bytes(&x.Raw)
	v.Num(&x.BtcFee)
	v.Num(&x.MinterFee)
	v.Num(&x.FeeRate)
	minting.Small(v, &x.Kind)
}

func (x *Orphaned) visit(v *minting.Visitor) { minting.List(v, &x.List, (*Orphan).visit) }

func (o *Orphan) visit(v *minting.Visitor) {
	o.Utxo.visit(v)
	v.Bytes(&o.Script)
}

func (x *Refund) visit(v *minting.Visitor) {
	v.Num(&x.BlockIndex)
	v.Num(&x.Amount)
	v.Account(&x.Account)
	minting.Small(v, &x.Reason)
	v.Num(&x.Inputs)
	v.Num(&x.MaxInputs)
}

func (x *RefundAsked) visit(v *minting.Visitor) {
	v.Num(&x.BlockIndex)
	v.Num(&x.CreatedAt)
}

func (x *Refunded) visit(v *minting.Visitor) {
	v.Num(&x.BlockIndex)
	v.Num(&x.MintBlock)
}

func (x *Return) visit(v *minting.Visitor) {
	visitOutpoint(&x.Outpoint, v)
	minting.Small(v, &x.Height)
}

func (x *Outputs) visit(v *minting.Visitor) { minting.List(v, &x.List, visitOutpoint) }

func (x *WriteOff) visit(v *minting.Visitor) {
	minting.List(v, &x.List, visitOutpoint)
	if x.forgets = v.Layout < 2; !x.forgets {
		minting.List(v, &x.Never, func(id *btc.Hash, v *minting.Visitor) { v.Fixed(id[:]) })
	}
}
