package icrc

import (
	"fmt"
	"strconv"

	"fusion/ckledger/consent"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// keyPublicAllowances is the one entry of the standards that the configuration sets; without it allowances are public, as on the Internet Computer.
const keyPublicAllowances = "icrc103:public_allowances"

// Metadata answers icrc1_metadata: the entries of the standards, then those of the configuration with other keys.
func (l *Ledger) Metadata() []MetadataEntry {
	nat := func(n candid.Nat) MetadataValue { return MetadataValue{Nat: &n} }
	text := func(s string) MetadataValue { return MetadataValue{Text: &s} }
	out := []MetadataEntry{
		{"icrc1:decimals", nat(candid.NatFromUint64(uint64(l.cfg.Decimals)))},
		{"icrc1:name", text(l.cfg.Name)},
		{"icrc1:symbol", text(l.cfg.Symbol)},
		{"icrc1:fee", nat(l.cfg.Fee)},
		{"icrc1:max_memo_length", nat(candid.NatFromUint64(uint64(l.cfg.MaxMemo)))},
		{keyPublicAllowances, text(strconv.FormatBool(!l.private))},
		{"icrc103:max_take_value", nat(candid.NatFromUint64(maxTake))},
	}
	own := map[string]bool{}
	for _, e := range out {
		own[e.Key] = true
	}
	for _, e := range l.cfg.Metadata {
		if !own[e.Key] {
			out = append(out, e)
		}
	}
	return out
}

const (
	icrcRepo   = "https://github.com/dfinity/ICRC-1"
	icrcDrafts = "https://github.com/dfinity/ICRC/blob/main/ICRCs/"
)

func standard(n int) StandardRecord {
	name := fmt.Sprintf("ICRC-%d", n)
	switch n {
	case 1, 2, 3:
		url := icrcRepo + "/tree/main/standards/" + name
		if n == 1 {
			url = icrcRepo
		}
		return StandardRecord{name, url}
	}
	return StandardRecord{name, icrcDrafts + name + "/" + name + ".md"}
}

// Standards answers icrc1_supported_standards and icrc10_supported_standards.
func (l *Ledger) Standards() []StandardRecord {
	var out []StandardRecord
	for _, n := range []int{1, 2, 3, 10, 21, 103, 106} {
		if (n == 2 || n == 103) && !l.cfg.Features.ICRC2 { // 103 extends 2
			continue
		}
		out = append(out, standard(n))
	}
	if l.cfg.Features.ICRC152 {
		out = append(out, standard(122), standard(152))
	}
	return out
}

// BlockTypes answers icrc3_supported_block_types.
func (l *Ledger) BlockTypes() []BlockType {
	return blockTypes(l.cfg.Features)
}

// AllBlockTypes are the types that a ledger may have had with any of its features.
func AllBlockTypes() []BlockType { return blockTypes(FeatureFlags{true, true}) }

func blockTypes(f FeatureFlags) []BlockType {
	out := []BlockType{}
	for _, t := range []struct {
		name string
		n    int
		on   bool
	}{{"1burn", 1, true}, {"1mint", 1, true}, {"1xfer", 1, true}, {"2approve", 2, f.ICRC2}, {"2xfer", 2, f.ICRC2},
		{"122burn", 122, f.ICRC152}, {"122mint", 122, f.ICRC152}} {
		if t.on {
			out = append(out, BlockType{t.name, standard(t.n).URL})
		}
	}
	return out
}

// Minting is the minting account.
func (l *Ledger) Minting() Account { return l.minting.public() }

// Fee is the transfer fee.
func (l *Ledger) Fee() Amount { return l.fee }

// IndexPrincipal answers icrc106_get_index_principal.
func (l *Ledger) IndexPrincipal() IndexPrincipalResult {
	if l.cfg.Index == nil {
		return IndexPrincipalResult{Err: &IndexPrincipalError{IndexPrincipalNotSet: candid.Unit}}
	}
	return IndexPrincipalResult{Ok: l.cfg.Index}
}

// CheckInvariants verifies what must hold in every state; it reads all of it and is meant for tests and audits.
func (l *Ledger) CheckInvariants() error {
	var sum Amount
	var err error
	l.balances.Ascend(nil, func(key, value []byte) bool {
		b := AmountOfBytes(value)
		acc, rest, e := readKey(key)
		switch {
		case e != nil || len(rest) > 0:
			err = fmt.Errorf("balance under a malformed key %x: %w", key, ErrValue)
		case b.IsZero():
			err = fmt.Errorf("account %v is stored with a balance of zero", acc)
		case acc == l.minting:
			err = fmt.Errorf("the minting account holds %v", b)
		}
		var ok bool
		if sum, ok = sum.Add(b); !ok && err == nil {
			err = fmt.Errorf("the balances exceed the largest amount")
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	if sum != l.hot.supply {
		return fmt.Errorf("the balances sum up to %v, the supply is %v", sum, l.hot.supply)
	}
	expiring := uint64(0)
	l.allowances.Ascend(nil, func(key, value []byte) bool {
		a := readAllowance(value)
		if a.amount.IsZero() {
			err = fmt.Errorf("an allowance of zero is stored under %x", key)
		}
		if a.expires != 0 {
			expiring++
			from, rest, _ := readKey(key)
			spender, _, _ := readKey(rest)
			if !l.expiries.Has(l.expiryKey(a.expires, from, spender)) {
				err = fmt.Errorf("the allowance of %v for %v expires at %d but is not listed", from, spender, a.expires)
			}
		}
		return err == nil
	})
	if err == nil && expiring != l.expiries.Len() {
		err = fmt.Errorf("%d allowances expire, %d are listed", expiring, l.expiries.Len())
	}
	return err
}

// CheckChain verifies the hash chain of the blocks from first on, as far as they are here.
func (l *Ledger) CheckChain(first uint64) error {
	for i := max(first, l.Archived()); i < l.log.Len(); i++ {
		h, err := l.BlockHash(i)
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
		want := l.hot.tip[:]
		if i+1 < l.log.Len() {
			next := l.Block(i + 1)
			p := next.field("phash").blob()
			if p == nil {
				return fmt.Errorf("block %d has no parent hash", i+1)
			}
			want = *p
		}
		if string(h[:]) != string(want) {
			return fmt.Errorf("block %d has the hash %x, its child says %x", i, h, want)
		}
	}
	return nil
}

// Consent answers icrc21_canister_call_consent_message, in English whatever language is asked for.
func (l *Ledger) Consent(caller principal.Principal, req consent.Request) consent.Response {
	m := message{l: l}
	var err error
	switch req.Method {
	case "icrc1_transfer":
		var a TransferArg
		if err = req.Parse(&a); err == nil {
			m.Intent = "Send " + l.cfg.Name
			m.account("From", Account{caller, a.FromSubaccount})
			m.amount("Amount", a.Amount)
			m.account("To", a.To)
			m.fee(a.From(caller), a.To)
			m.memo(a.Memo)
		}
	case "icrc2_transfer_from":
		var a TransferFromArgs
		if err = req.Parse(&a); err == nil {
			m.Intent = "Spend " + l.cfg.Name
			m.account("From", a.From)
			m.amount("Amount", a.Amount)
			m.account("Spender", Account{caller, a.SpenderSubaccount})
			m.account("To", a.To)
			m.fee(a.From, a.To)
			m.memo(a.Memo)
		}
	case "icrc2_approve":
		var a ApproveArgs
		if err = req.Parse(&a); err == nil {
			m.Intent = "Approve spending of " + l.cfg.Name
			m.account("From", Account{caller, a.FromSubaccount})
			m.account("Approve to spender", a.Spender)
			m.amount("Requested allowance", a.Amount)
			if a.ExpectedAllowance != nil {
				m.amount("Existing allowance", *a.ExpectedAllowance)
			}
			if a.ExpiresAt != nil {
				m.Field("Approval expiration", consent.Value{TimestampSeconds: &consent.Seconds{Amount: *a.ExpiresAt / 1e9}}, utc(*a.ExpiresAt/1e9))
			} else {
				m.Text("Approval expiration", "This approval does not expire.")
			}
			m.amount("Approval fee", l.cfg.Fee)
			m.memo(a.Memo)
		}
	default:
		return consent.Unsupported("there is no consent message for the method %q", req.Method)
	}
	if err == nil {
		err = m.err
	}
	if err != nil {
		return consent.Unsupported("argument of %s: %v", req.Method, err)
	}
	return m.For(&req)
}

// From is the account that a transfer by caller debits.
func (a *TransferArg) From(caller principal.Principal) Account {
	return Account{caller, a.FromSubaccount}
}

// message is a consent message about a ledger's tokens.
type message struct {
	consent.Message
	l   *Ledger
	err error
}

func (m *message) account(title string, a Account) {
	acc, err := parseAccount(a)
	if err != nil {
		m.err = err
		return
	}
	m.Text(title, acc.String())
}

func (m *message) amount(title string, n candid.Nat) {
	text := decimal(n, int(m.l.cfg.Decimals)) + " " + m.l.cfg.Symbol
	if v, ok := n.Uint64(); ok {
		m.Field(title, consent.Value{TokenAmount: &consent.Amount{Decimals: m.l.cfg.Decimals, Amount: v, Symbol: m.l.cfg.Symbol}}, text)
		return
	}
	m.Text(title, text)
}

// fee shows what the transfer costs, nothing if it mints or burns.
func (m *message) fee(from, to Account) {
	a, err := parseAccount(from)
	if err != nil {
		m.err = err
		return
	}
	b, err := parseAccount(to)
	if err != nil {
		m.err = err
		return
	}
	if a == m.l.minting || b == m.l.minting {
		m.amount("Fees", candid.Nat{})
		return
	}
	m.amount("Fees", m.l.cfg.Fee)
}

func (m *message) memo(b *[]byte) {
	if b != nil {
		m.Text("Memo", fmt.Sprintf("0x%x", *b))
	}
}
