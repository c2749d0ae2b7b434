package core

import (
	"fmt"
	"unicode/utf8"

	"fusion/ckledger/minting"
	"fusion/eth"
)

// MaxMemo is the longest memo of the ck ledgers, in bytes.
const MaxMemo = 80

// MintMemo is the memo of a mint: exactly one pointer is set.
type MintMemo struct {
	Convert             *MintConvert
	ReimburseTx         *Reimburse
	ReimburseWithdrawal *uint64
}

// MintConvert names the deposit that was minted.
type MintConvert struct {
	From   eth.Address
	Source Source
}

// Reimburse names a withdrawal and its failed transaction.
type Reimburse struct {
	ID uint64
	Tx eth.Hash
}

// BurnMemo is the memo of a burn: exactly one pointer is set.
type BurnMemo struct {
	Convert *eth.Address // whom the ether goes to
	Gas     *GasFee
	Token   *TokenBurn
}

// GasFee says what the burned ckETH pays the fee of.
type GasFee struct {
	Symbol string
	Amount Amount
	To     eth.Address
}

// TokenBurn says whom the tokens go to.
type TokenBurn struct {
	ID uint64
	To eth.Address
}

func alternative(n, fields uint64) []byte {
	return minting.AppendHead(minting.AppendHead([]byte{0x82}, 0, n), 4, fields)
}

// Marshal is the memo's CBOR.
func (m MintMemo) Marshal() []byte {
	switch {
	case m.Convert != nil:
		b := minting.AppendBytes(alternative(0, 3), 2, m.Convert.From[:])
		b = minting.AppendBytes(b, 2, m.Convert.Source.Tx[:])
		return minting.AppendHead(b, 0, m.Convert.Source.Index)
	case m.ReimburseTx != nil:
		return minting.AppendBytes(minting.AppendHead(alternative(1, 2), 0, m.ReimburseTx.ID), 2, m.ReimburseTx.Tx[:])
	}
	return minting.AppendHead(alternative(2, 1), 0, *m.ReimburseWithdrawal)
}

// Marshal is the memo's CBOR.
func (m BurnMemo) Marshal() []byte {
	switch {
	case m.Convert != nil:
		return minting.AppendBytes(alternative(0, 1), 2, m.Convert[:])
	case m.Gas != nil:
		b := minting.AppendBytes(alternative(1, 3), 3, []byte(m.Gas.Symbol))
		return minting.AppendBytes(minting.AppendAmount(b, &m.Gas.Amount), 2, m.Gas.To[:])
	}
	return minting.AppendBytes(minting.AppendHead(alternative(2, 2), 0, m.Token.ID), 2, m.Token.To[:])
}

// ParseMintMemo reads the memo of a mint.
func ParseMintMemo(b []byte) (m MintMemo, err error) {
	r := minting.MemoReader{B: b}
	which, err := r.Alternative(3, 2, 1)
	if err != nil {
		return m, err
	}
	switch which {
	case 0:
		m.Convert = new(MintConvert)
		if err = r.Fixed(m.Convert.From[:]); err == nil {
			err = r.Fixed(m.Convert.Source.Tx[:])
		}
		if err == nil {
			m.Convert.Source.Index, err = r.Expect(0)
		}
	case 1:
		m.ReimburseTx = new(Reimburse)
		if m.ReimburseTx.ID, err = r.Expect(0); err == nil {
			err = r.Fixed(m.ReimburseTx.Tx[:])
		}
	default:
		m.ReimburseWithdrawal = new(uint64)
		*m.ReimburseWithdrawal, err = r.Expect(0)
	}
	if err == nil {
		err = r.End()
	}
	return m, err
}

// ParseBurnMemo reads the memo of a burn.
func ParseBurnMemo(b []byte) (m BurnMemo, err error) {
	r := minting.MemoReader{B: b}
	which, err := r.Alternative(1, 3, 2)
	if err != nil {
		return m, err
	}
	switch which {
	case 0:
		m.Convert = new(eth.Address)
		err = r.Fixed(m.Convert[:])
	case 1:
		m.Gas = new(GasFee)
		var symbol []byte
		if symbol, err = r.Bytes(3); err == nil && !utf8.Valid(symbol) {
			err = fmt.Errorf("%w: the symbol is not text", minting.ErrMemo)
		}
		m.Gas.Symbol = string(symbol)
		if err == nil {
			m.Gas.Amount, err = r.Amount()
		}
		if err == nil {
			err = r.Fixed(m.Gas.To[:])
		}
	default:
		m.Token = new(TokenBurn)
		if m.Token.ID, err = r.Expect(0); err == nil {
			err = r.Fixed(m.Token.To[:])
		}
	}
	if err == nil {
		err = r.End()
	}
	return m, err
}

// MintMemoOf is the memo of the mint of a deposit.
func (d *Deposit) MintMemoOf() []byte {
	return MintMemo{Convert: &MintConvert{d.From, d.Source}}.Marshal()
}

// RefundMemo is the memo of the mint of a refund.
func (r *Request) RefundMemo() []byte {
	if r.Receipt != nil {
		return MintMemo{ReimburseTx: &Reimburse{r.ID, r.Receipt.Hash}}.Marshal()
	}
	return MintMemo{ReimburseWithdrawal: &r.ID}.Marshal()
}

// BurnMemoOf is the memo of the burn of ckETH; symbol is that of the token, if it pays for one.
func (r *Request) BurnMemoOf(symbol string) []byte {
	if r.IsEther() {
		return BurnMemo{Convert: &r.To}.Marshal()
	}
	return BurnMemo{Gas: &GasFee{symbol, r.Amount, r.To}}.Marshal()
}

// TokenMemo is the memo of the burn of tokens.
func (r *Request) TokenMemo() []byte { return BurnMemo{Token: &TokenBurn{r.ID, r.To}}.Marshal() }
