package core

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"fusion/btc"
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
	return appendUint(appendUint(b, 0, uint64(op.Vout)), 0, checkFee)
}

// WithdrawalMemo is the memo of the burn for a withdrawal.
func WithdrawalMemo(address string) []byte {
	return append(appendUint([]byte{0x82, 0x00, 0x81}, 3, uint64(len(address))), address...)
}

// RefundMemo is the memo of the mint that refunds a burn.
func RefundMemo(burnBlock uint64) []byte { return appendUint([]byte{0x82, 0x03, 0x81}, 0, burnBlock) }

// appendUint writes a CBOR head.
func appendUint(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major<<5|byte(n))
	case n < 1<<8:
		return append(b, major<<5|24, byte(n))
	case n < 1<<16:
		return append(b, major<<5|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(b, major<<5|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	b = append(b, major<<5|27)
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(n>>shift))
	}
	return b
}

// ErrMemo means that a memo is not one of the minter's.
var ErrMemo = errors.New("not a memo of the minter")

// memoReader reads definite-length CBOR.
type memoReader struct{ b []byte }

func (r *memoReader) head() (major byte, n uint64, err error) {
	if len(r.b) == 0 {
		return 0, 0, fmt.Errorf("%w: ends early", ErrMemo)
	}
	major, n = r.b[0]>>5, uint64(r.b[0]&31)
	r.b = r.b[1:]
	if n < 24 {
		return major, n, nil
	}
	if n > 27 {
		return 0, 0, fmt.Errorf("%w: indefinite length", ErrMemo)
	}
	size := 1 << (n - 24)
	if len(r.b) < size {
		return 0, 0, fmt.Errorf("%w: ends early", ErrMemo)
	}
	n = 0
	for _, c := range r.b[:size] {
		n = n<<8 | uint64(c)
	}
	r.b = r.b[size:]
	return major, n, nil
}

func (r *memoReader) expect(want byte) (uint64, error) {
	major, n, err := r.head()
	if err == nil && major != want {
		err = fmt.Errorf("%w: item of type %d, want %d", ErrMemo, major, want)
	}
	return n, err
}

// null takes an absent field.
func (r *memoReader) null() bool {
	if len(r.b) > 0 && r.b[0] == 0xf6 {
		r.b = r.b[1:]
		return true
	}
	return false
}

func (r *memoReader) uint() (*uint64, error) {
	if r.null() {
		return nil, nil
	}
	n, err := r.expect(0)
	return &n, err
}

func (r *memoReader) bytes(major byte) ([]byte, error) {
	n, err := r.expect(major)
	if err == nil && n > uint64(len(r.b)) {
		err = fmt.Errorf("%w: ends early", ErrMemo)
	}
	if err != nil {
		return nil, err
	}
	b := append([]byte{}, r.b[:n]...)
	r.b = r.b[n:]
	return b, nil
}

// status reads a unit alternative: its number and an empty array.
func (r *memoReader) status() (*uint64, error) {
	if r.null() {
		return nil, nil
	}
	if n, err := r.expect(4); err != nil || n != 2 {
		return nil, errors.Join(ErrMemo, err)
	}
	n, err := r.expect(0)
	if err == nil && n > 2 {
		err = fmt.Errorf("%w: status %d", ErrMemo, n)
	}
	if err != nil {
		return nil, err
	}
	if k, err := r.expect(4); err != nil || k != 0 {
		return nil, errors.Join(ErrMemo, err)
	}
	return &n, nil
}

// fields reads the fields that are present and skips nothing: an unknown further field is an error.
func (r *memoReader) fields(read ...func() error) error {
	n, err := r.expect(4)
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
	if n, err := r.expect(4); err != nil || n != 2 {
		return 0, errors.Join(ErrMemo, err)
	}
	return r.expect(0)
}

func (r *memoReader) end() error {
	if len(r.b) > 0 {
		return fmt.Errorf("%w: bytes follow", ErrMemo)
	}
	return nil
}

func into[T any](dst *T, read func() (T, error)) func() error {
	return func() (err error) {
		*dst, err = read()
		return err
	}
}

// ParseMintMemo reads the memo of a mint.
func ParseMintMemo(b []byte) (MintMemo, error) {
	r := memoReader{b}
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
			return r.bytes(2)
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
		err = r.end()
	}
	return m, err
}

// ParseBurnMemo reads the memo of a burn.
func ParseBurnMemo(b []byte) (BurnMemo, error) {
	r := memoReader{b}
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
			s, err := r.bytes(3)
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
		err = r.end()
	}
	return m, err
}
