package core

import (
	"fusion/ckledger/minting"
	"fusion/eth"
)

// The kinds of stored events: never renumber.
const (
	kindInit = iota + 1
	kindUpgrade
	kindTokenAdded
	kindObserved
	kindSynced
	kindSkipped
	kindSeen
	kindVerified
	kindInvalid
	kindMintAsked
	kindMintRefused
	kindMintUnknown
	kindMinted
	kindHalted
	kindPaused
	kindBurnAsked
	kindBurnRefused
	kindBurnUnknown
	kindBurned
	kindTokenBurnAsked
	kindTokenBurnRefused
	kindTokenBurnUnknown
	kindTokenBurned
	kindCreated
	kindReplaced
	kindSigned
	kindSent
	kindFinalized
	kindAbandoned
	kindDisputed
	kindRefundAsked
	kindRefundRefused
	kindRefundUnknown
	kindRefunded
	kindSweep
	kindRecovery
	kindReconciled
	kindForgotten
	kindWeighed
	kindSwept
	kinds
)

// layout is the version of the fields. A change adds fields at the end of a struct, read if the version says so.
const layout = 1

// Marshal gives the stored form of an event: its time, its kind, the version of its layout, its fields. It panics for an event without content.
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
	case part(v, kind, kindInit, &e.Init, (*Start).visit):
		return kindInit
	case part(v, kind, kindUpgrade, &e.Upgrade, (*Change).visit):
		return kindUpgrade
	case part(v, kind, kindTokenAdded, &e.TokenAdded, (*Token).visit):
		return kindTokenAdded
	case part(v, kind, kindObserved, &e.Observed, (*Block).visit):
		return kindObserved
	case part(v, kind, kindSynced, &e.Synced, (*Progress).visit):
		return kindSynced
	case part(v, kind, kindSkipped, &e.Skipped, (*Progress).visit):
		return kindSkipped
	case part(v, kind, kindSeen, &e.Seen, (*Claim).visit):
		return kindSeen
	case part(v, kind, kindVerified, &e.Verified, (*Verified).visit):
		return kindVerified
	case part(v, kind, kindInvalid, &e.Invalid, (*Refusal).visit):
		return kindInvalid
	case part(v, kind, kindMintAsked, &e.MintAsked, (*MintAsked).visit):
		return kindMintAsked
	case part(v, kind, kindMintRefused, &e.MintRefused, (*Source).visit):
		return kindMintRefused
	case part(v, kind, kindMintUnknown, &e.MintUnknown, (*Source).visit):
		return kindMintUnknown
	case part(v, kind, kindMinted, &e.Minted, (*Minted).visit):
		return kindMinted
	case part(v, kind, kindRecovery, &e.Recovery, visitNumber):
		return kindRecovery
	case part(v, kind, kindReconciled, &e.Reconciled, (*Reconciled).visit):
		return kindReconciled
	case part(v, kind, kindForgotten, &e.Forgotten, (*Forgotten).visit):
		return kindForgotten
	case part(v, kind, kindHalted, &e.Halted, (*Halt).visit):
		return kindHalted
	case part(v, kind, kindPaused, &e.Paused, (*PauseAsset).visit):
		return kindPaused
	case part(v, kind, kindBurnAsked, &e.BurnAsked, (*BurnAsked).visit):
		return kindBurnAsked
	case part(v, kind, kindBurnRefused, &e.BurnRefused, visitNumber):
		return kindBurnRefused
	case part(v, kind, kindBurnUnknown, &e.BurnUnknown, visitNumber):
		return kindBurnUnknown
	case part(v, kind, kindBurned, &e.Burned, (*Burned).visit):
		return kindBurned
	case part(v, kind, kindTokenBurnAsked, &e.TokenBurnAsked, (*Stamped).visit):
		return kindTokenBurnAsked
	case part(v, kind, kindTokenBurnRefused, &e.TokenBurnRefused, visitNumber):
		return kindTokenBurnRefused
	case part(v, kind, kindTokenBurnUnknown, &e.TokenBurnUnknown, visitNumber):
		return kindTokenBurnUnknown
	case part(v, kind, kindTokenBurned, &e.TokenBurned, (*Burned).visit):
		return kindTokenBurned
	case part(v, kind, kindCreated, &e.Created, (*Created).visit):
		return kindCreated
	case part(v, kind, kindReplaced, &e.Replaced, (*Created).visit):
		return kindReplaced
	case part(v, kind, kindSigned, &e.Signed, (*Signed).visit):
		return kindSigned
	case part(v, kind, kindSent, &e.Sent, (*SentTo).visit):
		return kindSent
	case part(v, kind, kindFinalized, &e.Finalized, (*Receipt).visit):
		return kindFinalized
	case part(v, kind, kindAbandoned, &e.Abandoned, visitNumber):
		return kindAbandoned
	case part(v, kind, kindDisputed, &e.Disputed, (*Receipt).visit):
		return kindDisputed
	case part(v, kind, kindRefundAsked, &e.RefundAsked, (*RefundStamp).visit):
		return kindRefundAsked
	case part(v, kind, kindRefundRefused, &e.RefundRefused, (*RefundRef).visit):
		return kindRefundRefused
	case part(v, kind, kindRefundUnknown, &e.RefundUnknown, (*RefundRef).visit):
		return kindRefundUnknown
	case part(v, kind, kindRefunded, &e.Refunded, (*Refunded).visit):
		return kindRefunded
	case part(v, kind, kindSweep, &e.Sweep, (*SweepCreated).visit):
		return kindSweep
	case part(v, kind, kindWeighed, &e.Weighed, (*Weighed).visit):
		return kindWeighed
	case part(v, kind, kindSwept, &e.Swept, (*Swept).visit):
		return kindSwept
	}
	return 0
}

func part[T any](v *minting.Visitor, kind, own uint64, p **T, visit func(*T, *minting.Visitor)) bool {
	return minting.Part(v, kind, own, layout, p, visit)
}

func visitNumber(n *uint64, v *minting.Visitor) { v.Num(n) }

func visitAddress(a *eth.Address, v *minting.Visitor) { v.Fixed(a[:]) }

func (s *Source) visit(v *minting.Visitor) {
	v.Fixed(s.Tx[:])
	v.Num(&s.Index)
}

func (c *Cap) visit(v *minting.Visitor) {
	v.Fixed(c.Asset[:])
	v.Amount(&c.PerDay)
}

func (c *Config) visit(v *minting.Visitor) {
	v.Num(&c.ChainID)
	v.Text(&c.KeyName)
	v.Bytes(&c.Ledger)
	v.Bytes(&c.Rpc)
	v.Bytes(&c.Orchestrator)
	minting.Small(v, &c.Height)
	v.Amount(&c.WithdrawMin)
	for i := range c.Helpers {
		v.Fixed(c.Helpers[i][:])
	}
	minting.List(v, &c.Caps, (*Cap).visit)
	v.Flag(&c.Personal)
	minting.List(v, &c.Blocked, visitAddress)
	v.Num(&c.Every)
	v.Num(&c.Pipeline)
	v.Num(&c.AbandonAfter)
}

func (x *Start) visit(v *minting.Visitor) {
	x.Config.visit(v)
	v.Num(&x.NextNonce)
	v.Num(&x.LastBlock)
}

func visitOptional(v *minting.Visitor, p **uint64) {
	have := *p != nil
	v.Flag(&have)
	if !have {
		return
	}
	if !v.Writing {
		*p = new(uint64)
	}
	v.Num(*p)
}

func (x *Change) visit(v *minting.Visitor) {
	x.Config.visit(v)
	visitOptional(v, &x.NextNonce)
	for i := range x.Cursors {
		visitOptional(v, &x.Cursors[i])
	}
	v.Flag(&x.Resume)
}

func (x *Token) visit(v *minting.Visitor) {
	v.Fixed(x.Asset[:])
	v.Text(&x.Symbol)
	v.Bytes(&x.Ledger)
}

func (x *Block) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Fixed(x.Hash[:])
}

func (x *Progress) visit(v *minting.Visitor) {
	minting.Small(v, &x.Scraper)
	v.Num(&x.Block)
}

func (x *Claim) visit(v *minting.Visitor) {
	x.Source.visit(v)
	minting.Small(v, &x.Scraper)
	v.Num(&x.Block)
	v.Fixed(x.From[:])
	v.Fixed(x.Asset[:])
	v.Amount(&x.Value)
	v.Account(&x.To)
}

func (x *Verified) visit(v *minting.Visitor) {
	x.Source.visit(v)
	v.Amount(&x.Value)
}

func (x *Refusal) visit(v *minting.Visitor) {
	x.Claim.visit(v)
	v.Text(&x.Reason)
}

func (x *MintAsked) visit(v *minting.Visitor) {
	x.Source.visit(v)
	v.Num(&x.CreatedAt)
}

func (x *Minted) visit(v *minting.Visitor) {
	x.Source.visit(v)
	v.Num(&x.Block)
}

func (x *Reconciled) visit(v *minting.Visitor) { v.Num(&x.Nonce) }

func (x *Weighed) visit(v *minting.Visitor) {
	v.Num(&x.Block)
	v.Amount(&x.Held)
	v.Amount(&x.Booked)
}

func (x *Forgotten) visit(v *minting.Visitor) {
	v.Num(&x.Nonce)
	v.Fixed(x.Hash[:])
}

func (x *Halt) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Fixed(x.Want[:])
	v.Fixed(x.Got[:])
	v.Text(&x.Reason)
}

func (x *PauseAsset) visit(v *minting.Visitor) {
	v.Fixed(x.Asset[:])
	v.Text(&x.Reason)
}

func (x *BurnAsked) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Fixed(x.Asset[:])
	v.Amount(&x.Amount)
	v.Amount(&x.MaxFee)
	v.Fixed(x.To[:])
	v.Account(&x.From)
	v.Account(&x.TokenFrom)
	v.Num(&x.CreatedAt)
}

func (x *Stamped) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Num(&x.CreatedAt)
}

func (x *Burned) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Num(&x.Block)
}

func (x *RefundRef) visit(v *minting.Visitor) {
	v.Num(&x.Number)
	v.Num(&x.Index)
}

func (x *RefundStamp) visit(v *minting.Visitor) {
	x.RefundRef.visit(v)
	v.Num(&x.CreatedAt)
}

func (x *Refunded) visit(v *minting.Visitor) {
	x.RefundRef.visit(v)
	v.Num(&x.Block)
}

func visitFee(x *Fee, v *minting.Visitor) {
	v.Amount(&x.MaxFeePerGas)
	v.Amount(&x.MaxPriorityFeePerGas)
}

func (x *Created) visit(v *minting.Visitor) {
	v.Num(&x.Transfer)
	v.Num(&x.Number)
	v.Num(&x.Nonce)
	visitFee(&x.Fee, v)
	v.Amount(&x.Value)
	v.Fixed(x.Main[:])
	v.Flag(&x.Filler)
}

func (x *SweepCreated) visit(v *minting.Visitor) {
	v.Num(&x.Transfer)
	v.Num(&x.Version)
	v.Account(&x.Account)
	v.Fixed(x.From[:])
	v.Fixed(x.Main[:])
	v.Num(&x.Nonce)
	visitFee(&x.Fee, v)
	v.Amount(&x.Value)
}

func (x *Swept) visit(v *minting.Visitor) {
	v.Num(&x.Transfer)
	v.Account(&x.Account)
	v.Fixed(x.From[:])
	v.Num(&x.Nonce)
	v.Fixed(x.Hash[:])
	x.Block.visit(v)
	v.Amount(&x.Value)
	v.Text(&x.Confusion)
}

func (x *Signed) visit(v *minting.Visitor) {
	v.Num(&x.Transfer)
	v.Num(&x.Version)
	v.Bytes(&x.Raw)
	v.Fixed(x.Hash[:])
}

func (x *SentTo) visit(v *minting.Visitor) {
	v.Num(&x.Transfer)
	v.Num(&x.Version)
}

func (x *Receipt) visit(v *minting.Visitor) {
	v.Num(&x.Transfer)
	v.Num(&x.Version)
	v.Fixed(x.Hash[:])
	x.Block.visit(v)
	v.Num(&x.GasUsed)
	v.Amount(&x.GasPrice)
	v.Flag(&x.Success)
	v.Flag(&x.NotMoved)
	v.Amount(&x.Moved)
	v.Text(&x.Confusion)
}
