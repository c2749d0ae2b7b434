package core

import (
	"encoding/binary"
	"errors"
	"fmt"

	"fusion/btc"
	"fusion/ic/principal"
)

// The stored form of an event: its time, its kind, the version of its layout, then its fields in order. Numbers are uvarints, byte strings and lists have their
// length before them. One description of each struct (its visit method) serves both directions. Written by hand because the minter is a
// canister, where a general codec would cost more bytes than all of this package.

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
)

// layout is the version of the fields. A change adds fields at the end of a struct, read if the version says so.
const layout = 1

// ErrStored means that bytes are not a stored event.
var ErrStored = errors.New("malformed stored event")

// Marshal gives the stored form of an event. It panics for an event without content.
func (e *Event) Marshal() []byte {
	v := visitor{writing: true}
	v.num(&e.Time)
	kind := e.visit(&v, 0)
	if kind == 0 {
		panic("core: empty event")
	}
	return v.buf
}

// UnmarshalEvent reads a stored event.
func UnmarshalEvent(b []byte) (Event, error) {
	v := visitor{buf: b}
	var e Event
	v.num(&e.Time)
	var kind uint64
	v.num(&kind)
	if v.err == nil && (kind > kindRefunded || e.visit(&v, kind) == 0) {
		v.fail("unknown kind %d", kind)
	}
	if v.err == nil && len(v.buf) > 0 {
		v.fail("%d bytes follow", len(v.buf))
	}
	return e, v.err
}

// visit goes through the content: of the kind given when reading, of whatever is set when writing. It returns the kind.
func (e *Event) visit(v *visitor, kind uint64) uint64 {
	switch {
	case part(v, kind, kindInit, &e.Init, (*Config).visit):
		return kindInit
	case part(v, kind, kindUpgrade, &e.Upgrade, (*Config).visit):
		return kindUpgrade
	case part(v, kind, kindCheckedUtxo, &e.CheckedUtxo, (*UtxoOf).visit):
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
	case part(v, kind, kindBurnAsked, &e.BurnAsked, (*BurnAsked).visit):
		return kindBurnAsked
	case part(v, kind, kindBurnRefused, &e.BurnRefused, visitNumber):
		return kindBurnRefused
	case part(v, kind, kindBurnUnknown, &e.BurnUnknown, visitNumber):
		return kindBurnUnknown
	case part(v, kind, kindAccepted, &e.Accepted, (*Accepted).visit):
		return kindAccepted
	case part(v, kind, kindPrepared, &e.Prepared, (*Prepared).visit):
		return kindPrepared
	case part(v, kind, kindSigned, &e.Signed, (*InputSigned).visit):
		return kindSigned
	case part(v, kind, kindComplete, &e.Complete, (*Complete).visit):
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
	}
	return 0
}

// part visits one kind of content if it is the one at hand.
func part[T any](v *visitor, kind, own uint64, p **T, visit func(*T, *visitor)) bool {
	if v.writing {
		if *p == nil {
			return false
		}
		v.num(&own)
	} else {
		if kind != own {
			return false
		}
		*p = new(T)
	}
	version := uint64(layout)
	v.num(&version)
	if version != layout {
		v.fail("layout %d", version)
	}
	visit(*p, v)
	return true
}

// visitor writes fields to buf or reads them from it.
type visitor struct {
	buf     []byte
	writing bool
	err     error // of reading; everything after it reads as zero
}

func (v *visitor) fail(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf("%w: %s", ErrStored, fmt.Sprintf(format, args...))
	}
	v.buf = nil
}

func (v *visitor) num(n *uint64) {
	if v.writing {
		v.buf = binary.AppendUvarint(v.buf, *n)
		return
	}
	x, size := binary.Uvarint(v.buf)
	if size <= 0 || size > 1 && v.buf[size-1] == 0 {
		v.fail("malformed number")
		return
	}
	*n, v.buf = x, v.buf[size:]
}

// small visits a number of fewer bits.
func small[T ~uint8 | ~uint32](v *visitor, n *T) {
	x := uint64(*n)
	v.num(&x)
	if *n = T(x); uint64(*n) != x {
		v.fail("number out of range")
	}
}

func (v *visitor) flag(b *bool) {
	var x uint8
	if *b {
		x = 1
	}
	small(v, &x)
	if x > 1 {
		v.fail("malformed flag")
	}
	*b = x == 1
}

func (v *visitor) bytes(b *[]byte) {
	n := uint64(len(*b))
	v.num(&n)
	if v.writing {
		v.buf = append(v.buf, *b...)
		return
	}
	if n > uint64(len(v.buf)) {
		v.fail("ends early")
		return
	}
	if n == 0 {
		*b = nil
		return
	}
	*b, v.buf = append([]byte(nil), v.buf[:n]...), v.buf[n:]
}

func (v *visitor) text(s *string) {
	b := []byte(*s)
	v.bytes(&b)
	*s = string(b)
}

func (v *visitor) fixed(b []byte) {
	if v.writing {
		v.buf = append(v.buf, b...)
		return
	}
	if len(v.buf) < len(b) {
		v.fail("ends early")
		return
	}
	copy(b, v.buf)
	v.buf = v.buf[len(b):]
}

func (v *visitor) account(a *Account) {
	owner := a.Owner.Bytes()
	v.bytes(&owner)
	if !v.writing {
		p, err := principal.FromBytes(owner)
		if err != nil {
			v.fail("%v", err)
			return
		}
		a.Owner = p
	}
	v.fixed(a.Subaccount[:])
}

// list visits a list whose items take at least one byte each.
func list[T any](v *visitor, items *[]T, visit func(*T, *visitor)) {
	n := uint64(len(*items))
	v.num(&n)
	if !v.writing {
		if n > uint64(len(v.buf)) {
			v.fail("ends early")
			return
		}
		if *items = nil; n > 0 {
			*items = make([]T, n)
		}
	}
	for i := range *items {
		visit(&(*items)[i], v)
	}
}

func visitNumber(n *uint64, v *visitor) { v.num(n) }

func visitBytes(b *[]byte, v *visitor) { v.bytes(b) }

func visitOutpoint(o *btc.Outpoint, v *visitor) {
	v.fixed(o.Txid[:])
	small(v, &o.Vout)
}

func (u *Utxo) visit(v *visitor) {
	v.fixed(u.Txid[:])
	small(v, &u.Vout)
	v.num(&u.Value)
	small(v, &u.Height)
}

func (c *Config) visit(v *visitor) {
	small(v, &c.Network)
	v.bytes(&c.Ledger)
	v.text(&c.KeyName)
	v.num(&c.DepositMin)
	v.num(&c.RetrieveMin)
	v.num(&c.MaxTimeInQueue)
	small(v, &c.Confirmations)
	small(v, &c.Mode.Kind)
	list(v, &c.Mode.Allowed, visitBytes)
	v.num(&c.CheckFee)
	v.bytes(&c.Checker)
	v.num(&c.MaxInputs)
	v.num(&c.Consolidate)
}

func (x *UtxoOf) visit(v *visitor) {
	x.Utxo.visit(v)
	v.account(&x.Account)
}

func (x *Suspension) visit(v *visitor) {
	x.Utxo.visit(v)
	v.account(&x.Account)
	small(v, &x.Reason)
}

func (x *MintAsked) visit(v *visitor) {
	visitOutpoint(&x.Outpoint, v)
	v.num(&x.Amount)
	v.num(&x.CheckFee)
	v.num(&x.CreatedAt)
}

func (x *Minted) visit(v *visitor) {
	visitOutpoint(&x.Outpoint, v)
	v.num(&x.BlockIndex)
	x.Utxo.visit(v)
	v.account(&x.Account)
}

func (x *BurnAsked) visit(v *visitor) {
	v.num(&x.Number)
	v.account(&x.From)
	v.flag(&x.Approval)
	v.num(&x.Amount)
	v.text(&x.Address)
	v.num(&x.CreatedAt)
}

func (x *Accepted) visit(v *visitor) {
	v.num(&x.Number)
	v.num(&x.BlockIndex)
	v.num(&x.Amount)
	v.text(&x.Address)
	v.account(&x.Refund)
}

func (o *Output) visit(v *visitor) {
	v.bytes(&o.Script)
	v.num(&o.Value)
}

func (x *Prepared) visit(v *visitor) {
	v.num(&x.Payment)
	v.num(&x.Version)
	list(v, &x.Requests, visitNumber)
	list(v, &x.Inputs, (*Utxo).visit)
	list(v, &x.Outputs, (*Output).visit)
	v.num(&x.FeeRate)
	v.num(&x.BtcFee)
	v.num(&x.MinterFee)
	list(v, &x.Keys, visitBytes)
}

func (x *InputSigned) visit(v *visitor) {
	v.num(&x.Payment)
	v.num(&x.Version)
	v.num(&x.Input)
	v.bytes(&x.Signature)
}

func (x *Complete) visit(v *visitor) {
	v.num(&x.Payment)
	v.num(&x.Version)
	v.fixed(x.Txid[:])
	v.fixed(x.Old[:])
	list(v, &x.Requests, visitNumber)
	list(v, &x.Inputs, (*Utxo).visit)
	small(v, &x.ChangeVout)
	v.num(&x.ChangeValue)
	v.num(&x.FeeRate)
	v.num(&x.BtcFee)
	v.num(&x.MinterFee)
	v.bytes(&x.Raw)
}

func (x *SentTo) visit(v *visitor) {
	v.num(&x.Payment)
	v.num(&x.Version)
}

func (x *ConfirmedTx) visit(v *visitor) {
	v.num(&x.Payment)
	v.fixed(x.Txid[:])
	small(v, &x.Height)
}

func (x *Refund) visit(v *visitor) {
	v.num(&x.BlockIndex)
	v.num(&x.Amount)
	v.account(&x.Account)
	small(v, &x.Reason)
	v.num(&x.Inputs)
	v.num(&x.MaxInputs)
}

func (x *RefundAsked) visit(v *visitor) {
	v.num(&x.BlockIndex)
	v.num(&x.CreatedAt)
}

func (x *Refunded) visit(v *visitor) {
	v.num(&x.BlockIndex)
	v.num(&x.MintBlock)
}
