package core

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"fusion/btc"
	"fusion/ckledger/minting"
)

// Memos are what the minter writes into the ledger's blocks, in the CBOR of ckBTC's minter: an array of the alternative's number and of its fields
// by position, where trailing absent fields are left out. All stay below the ledger's limit of 80 bytes.

// MintMemo is the memo of a mint: exactly one pointer is set.
type MintMemo struct {
	Convert   *MintConvert
	Kyt       bool // deprecated: fees for a checker
	KytFail   *KytFail
	Reimburse *uint64 // the block of the burn that is refunded
}

// MintConvert names the deposit that was minted.
type MintConvert struct {
	Txid   []byte // internal byte order; nil if absent
	Vout   *uint32
	KytFee *uint64
}

// KytFail is deprecated: a failed check of a withdrawal.
type KytFail struct {
	KytFee *uint64
	Status *uint64 // 0 accepted, 1 rejected, 2 call failed
	Burn   *uint64
}

// BurnMemo is the memo of a burn: exactly one pointer is set.
type BurnMemo struct {
	Convert     *BurnConvert
	Consolidate *Consolidate
}

// BurnConvert says where the bitcoin go.
type BurnConvert struct {
	Address *string
	KytFee  *uint64
	Status  *uint64
}

// Consolidate is the burn of a consolidation's fee.
type Consolidate struct{ Value, Inputs uint64 }

// DepositMemo is the memo of the mint for a deposit.
func DepositMemo(op btc.Outpoint, checkFee uint64) []byte {
	b := append([]byte{0x82, 0x00, 0x83, 0x58, 32}, op.Txid[:]...)
	return minting.AppendHead(minting.AppendHead(b, 0, uint64(op.Vout)), 0, checkFee)
}

// WithdrawalMemo is the memo of the burn for a withdrawal.
func WithdrawalMemo(address string) []byte {
	return minting.AppendBytes([]byte{0x82, 0x00, 0x81}, 3, []byte(address))
}

// ConsolidationMemo is the memo of the burn of a consolidation's fee.
func ConsolidationMemo(value, inputs uint64) []byte {
	return minting.AppendHead(minting.AppendHead([]byte{0x82, 0x01, 0x82}, 0, value), 0, inputs)
}

// RefundMemo is the memo of the mint that refunds a burn.
func RefundMemo(burnBlock uint64) []byte {
	return minting.AppendHead([]byte{0x82, 0x03, 0x81}, 0, burnBlock)
}

// ErrMemo means that a memo is not one of the minter's.
var ErrMemo = minting.ErrMemo

// memoReader reads fields that may be absent.
type memoReader struct{ minting.MemoReader }

// null takes an absent field.
func (r *memoReader) null() bool {
	if len(r.B) > 0 && r.B[0] == 0xf6 {
		r.B = r.B[1:]
		return true
	}
	return false
}

func (r *memoReader) uint() (*uint64, error) {
	if r.null() {
		return nil, nil
	}
	n, err := r.Expect(0)
	return &n, err
}

// status reads a unit alternative: its number and an empty array.
func (r *memoReader) status() (*uint64, error) {
	if r.null() {
		return nil, nil
	}
	if n, err := r.Expect(4); err != nil || n != 2 {
		return nil, errors.Join(ErrMemo, err)
	}
	n, err := r.Expect(0)
	if err == nil && n > 2 {
		err = fmt.Errorf("%w: status %d", ErrMemo, n)
	}
	if err != nil {
		return nil, err
	}
	if k, err := r.Expect(4); err != nil || k != 0 {
		return nil, errors.Join(ErrMemo, err)
	}
	return &n, nil
}

// fields reads the fields that are present and skips nothing: an unknown further field is an error.
func (r *memoReader) fields(read ...func() error) error {
	n, err := r.Expect(4)
	if err != nil {
		return err
	}
	if n > uint64(len(read)) {
		return fmt.Errorf("%w: %d fields", ErrMemo, n)
	}
	for _, f := range read[:n] {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (r *memoReader) alternative() (uint64, error) {
	if n, err := r.Expect(4); err != nil || n != 2 {
		return 0, errors.Join(ErrMemo, err)
	}
	return r.Expect(0)
}

func into[T any](dst *T, read func() (T, error)) func() error {
	return func() (err error) {
		*dst, err = read()
		return err
	}
}

// ParseMintMemo reads the memo of a mint.
func ParseMintMemo(b []byte) (MintMemo, error) {
	r := memoReader{minting.MemoReader{B: b}}
	var m MintMemo
	which, err := r.alternative()
	if err != nil {
		return m, err
	}
	switch which {
	case 0:
		m.Convert = new(MintConvert)
		err = r.fields(into(&m.Convert.Txid, func() ([]byte, error) {
			if r.null() {
				return nil, nil
			}
			return r.Bytes(2)
		}), func() error {
			n, err := r.uint()
			if err != nil || n == nil {
				return err
			}
			if *n >= 1<<32 {
				return fmt.Errorf("%w: output %d", ErrMemo, *n)
			}
			v := uint32(*n)
			m.Convert.Vout = &v
			return nil
		}, into(&m.Convert.KytFee, r.uint))
	case 1:
		m.Kyt = true
		err = r.fields()
	case 2:
		m.KytFail = new(KytFail)
		err = r.fields(into(&m.KytFail.KytFee, r.uint), into(&m.KytFail.Status, r.status), into(&m.KytFail.Burn, r.uint))
	case 3:
		err = r.fields(into(&m.Reimburse, r.uint))
		if err == nil && m.Reimburse == nil {
			err = fmt.Errorf("%w: no withdrawal id", ErrMemo)
		}
	default:
		err = fmt.Errorf("%w: mint memo %d", ErrMemo, which)
	}
	if err == nil {
		err = r.End()
	}
	return m, err
}

// ParseBurnMemo reads the memo of a burn.
func ParseBurnMemo(b []byte) (BurnMemo, error) {
	r := memoReader{minting.MemoReader{B: b}}
	var m BurnMemo
	which, err := r.alternative()
	if err != nil {
		return m, err
	}
	switch which {
	case 0:
		m.Convert = new(BurnConvert)
		err = r.fields(func() error {
			if r.null() {
				return nil
			}
			s, err := r.Bytes(3)
			if err == nil && !utf8.Valid(s) {
				err = fmt.Errorf("%w: address is not text", ErrMemo)
			}
			t := string(s)
			m.Convert.Address = &t
			return err
		}, into(&m.Convert.KytFee, r.uint), into(&m.Convert.Status, r.status))
	case 1:
		var value, inputs *uint64
		if err = r.fields(into(&value, r.uint), into(&inputs, r.uint)); err == nil {
			if value == nil || inputs == nil {
				err = fmt.Errorf("%w: consolidation without amounts", ErrMemo)
			} else {
				m.Consolidate = &Consolidate{*value, *inputs}
			}
		}
	default:
		err = fmt.Errorf("%w: burn memo %d", ErrMemo, which)
	}
	if err == nil {
		err = r.End()
	}
	return m, err
}
