package ckbtc

import (
	"fmt"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/consent"
	"fusion/ic/candid"
)

// Standard is an entry of icrc10_supported_standards.
type Standard struct {
	Name string `candid:"name"`
	URL  string `candid:"url"`
}

func supportedStandards(*cdk.Msg, cdk.None) []Standard {
	return []Standard{
		{"ICRC-10", "https://github.com/dfinity/ICRC/blob/main/ICRCs/ICRC-10/ICRC-10.md"},
		{"ICRC-21", "https://github.com/dfinity/ICRC/blob/main/ICRCs/ICRC-21/ICRC-21.md"},
	}
}

// symbol is the token's, as the ledgers of ckBTC have it.
func (m *minter) symbol() string {
	if m.state.Config.Network == btc.Testnet4 {
		return "ckTESTBTC"
	}
	return "ckBTC"
}

// amount adds a number of satoshi.
func amount(t *consent.Message, title string, satoshi uint64, symbol string) {
	t.Field(title, consent.Value{TokenAmount: &consent.Amount{Decimals: 8, Amount: satoshi, Symbol: symbol}}, coins(satoshi)+" "+symbol)
}

// consentMessage describes the calls that cost the user something. Everything in a message was parsed before: a text that a dapp chose is not shown to the user as it is.
func (m *minter) consentMessage(msg *cdk.Msg, r consent.Request) consent.Response {
	var t consent.Message
	var err error
	switch r.Method {
	case "retrieve_btc":
		var a RetrieveBtcArgs
		if err = r.Parse(&a); err == nil {
			from := "your withdrawal account" // anybody may ask what a call would do
			if !msg.Caller().IsAnonymous() {
				from = textOf(core.WithdrawalAccount(m.c.Self(), msg.Caller()))
			}
			err = m.consentTo(&t, from, a.Amount, a.Address)
		}
	case "retrieve_btc_with_approval":
		var a RetrieveBtcWithApprovalArgs
		var from core.Account
		if err = r.Parse(&a); err == nil {
			from, err = core.NewAccount(msg.Caller(), a.FromSubaccount)
		}
		if err == nil {
			err = m.consentTo(&t, textOf(from), a.Amount, a.Address)
		}
	case "update_balance":
		var a AddressArgs
		var to core.Account
		if err = r.Parse(&a); err == nil && a.Owner == nil {
			to, err = core.NewAccount(msg.Caller(), a.Subaccount)
		} else if err == nil {
			to, err = a.account(msg.Caller())
		}
		t.Intent = "Convert BTC to " + m.symbol()
		t.Text("To", textOf(to))
		amount(&t, "Fee for each deposit", m.state.Config.CheckFee, "BTC")
	case "get_btc_address", "get_withdrawal_account", "get_canister_status", "resume":
		return consent.Unavailable("%s moves nothing of the caller's", r.Method)
	default:
		return consent.Unsupported("there is no consent message for the method %.60q", r.Method)
	}
	if err != nil {
		return consent.Unsupported("%s: %v", r.Method, err)
	}
	return t.For(&r)
}

// consentTo describes a withdrawal, or says why it would be refused.
func (m *minter) consentTo(t *consent.Message, from string, satoshi uint64, address string) error {
	to, err := btc.ParseAddress(m.state.Config.Network, address)
	if err != nil {
		return err
	}
	rate := m.knownFeeRate()
	if least := m.state.RetrieveMin(rate); satoshi < least {
		return fmt.Errorf("amount %d is below the minimum of %d", satoshi, least)
	}
	if satoshi > uint64(btc.MaxMoney) {
		return fmt.Errorf("amount %d exceeds all bitcoin", satoshi)
	}
	network, own := m.state.Estimate(satoshi, rate)
	t.Intent = "Convert " + m.symbol() + " to BTC"
	t.Text("From", from)
	amount(t, "Amount", satoshi, m.symbol())
	t.Text("To", to.String())
	amount(t, "Estimated fees, taken from the amount", network+own, "BTC")
	return nil
}

// textOf names an account as the ledger's messages do: the owner, and the subaccount in hex if it is not the default.
func textOf(a core.Account) string {
	owner := a.Owner.String()
	if a.Owner.IsAnonymous() { // anybody may ask what a call would do
		owner = "your account"
	}
	if s := a.Sub(); s != nil {
		return fmt.Sprintf("%s.%x", owner, *s)
	}
	return owner
}

func decodeLedgerMemo(_ *cdk.Msg, a DecodeLedgerMemoArgs) DecodeLedgerMemoResult {
	invalid := func(err error) DecodeLedgerMemoResult {
		text := err.Error()
		e := &DecodeLedgerMemoError{InvalidMemo: &text}
		return DecodeLedgerMemoResult{Err: &e}
	}
	var d *DecodedMemo
	if a.MemoType.Mint != nil {
		m, err := core.ParseMintMemo(a.EncodedMemo)
		if err != nil {
			return invalid(err)
		}
		out := &MintMemo{}
		switch {
		case m.Convert != nil:
			out.Convert = &MintConvert{Vout: m.Convert.Vout, KytFee: m.Convert.KytFee}
			if m.Convert.Txid != nil {
				out.Convert.Txid = &m.Convert.Txid
			}
		case m.Kyt:
			out.Kyt = candid.Unit
		case m.KytFail != nil:
			out.KytFail = &KytFail{m.KytFail.KytFee, memoStatus(m.KytFail.Status), m.KytFail.Burn}
		default:
			out.ReimburseWithdrawal = &ReimburseWithdrawal{*m.Reimburse}
		}
		d = &DecodedMemo{Mint: &out}
	} else {
		m, err := core.ParseBurnMemo(a.EncodedMemo)
		if err != nil {
			return invalid(err)
		}
		out := &BurnMemo{}
		if m.Convert != nil {
			out.Convert = &BurnConvert{m.Convert.Address, m.Convert.KytFee, memoStatus(m.Convert.Status)}
		} else {
			out.Consolidate = &Consolidate{m.Consolidate.Value, m.Consolidate.Inputs}
		}
		d = &DecodedMemo{Burn: &out}
	}
	return DecodeLedgerMemoResult{Ok: &d}
}

func memoStatus(n *uint64) *MemoStatus {
	switch {
	case n == nil:
		return nil
	case *n == 0:
		return &MemoStatus{Accepted: candid.Unit}
	case *n == 1:
		return &MemoStatus{Rejected: candid.Unit}
	}
	return &MemoStatus{CallFailed: candid.Unit}
}
