package ckbtc

import (
	"fmt"

	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
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

// ConsentMetadata is the language and time zone of a consent message.
type ConsentMetadata struct {
	Language         string `candid:"language"`
	UtcOffsetMinutes *int16 `candid:"utc_offset_minutes"`
}

// DeviceSpec says what can be displayed.
type DeviceSpec struct {
	candid.Variant
	GenericDisplay *candid.Null `candid:"GenericDisplay"`
	FieldsDisplay  *candid.Null `candid:"FieldsDisplay"`
}

// ConsentSpec are the user's preferences.
type ConsentSpec struct {
	Metadata   ConsentMetadata `candid:"metadata"`
	DeviceSpec *DeviceSpec     `candid:"device_spec"`
}

// ConsentRequest asks for the message of a call.
type ConsentRequest struct {
	Method          string      `candid:"method"`
	Arg             []byte      `candid:"arg"`
	UserPreferences ConsentSpec `candid:"user_preferences"`
}

// ConsentValue is a value of a field.
type ConsentValue struct {
	candid.Variant
	TokenAmount *TokenAmount `candid:"TokenAmount"`
	Text        *ConsentText `candid:"Text"`
}

// TokenAmount is an amount in the token's smallest unit.
type TokenAmount struct {
	Decimals uint8  `candid:"decimals"`
	Amount   uint64 `candid:"amount"`
	Symbol   string `candid:"symbol"`
}

// ConsentText is a text.
type ConsentText struct {
	Content string `candid:"content"`
}

// ConsentField is a labelled value.
type ConsentField struct {
	Label string       `candid:"0"`
	Value ConsentValue `candid:"1"`
}

// FieldsDisplay is a message for small displays.
type FieldsDisplay struct {
	Intent string         `candid:"intent"`
	Fields []ConsentField `candid:"fields"`
}

// ConsentMessage is what the user is asked to agree to.
type ConsentMessage struct {
	candid.Variant
	GenericDisplayMessage *string        `candid:"GenericDisplayMessage"`
	FieldsDisplayMessage  *FieldsDisplay `candid:"FieldsDisplayMessage"`
}

// ConsentInfo is the message with its metadata.
type ConsentInfo struct {
	ConsentMessage ConsentMessage  `candid:"consent_message"`
	Metadata       ConsentMetadata `candid:"metadata"`
}

// ConsentErrorInfo describes an error.
type ConsentErrorInfo struct {
	Description string `candid:"description"`
}

// ConsentGenericError is an error without a name.
type ConsentGenericError struct {
	ErrorCode   candid.Nat `candid:"error_code"`
	Description string     `candid:"description"`
}

// ConsentError says why there is no message.
type ConsentError struct {
	candid.Variant
	UnsupportedCanisterCall   *ConsentErrorInfo    `candid:"UnsupportedCanisterCall"`
	ConsentMessageUnavailable *ConsentErrorInfo    `candid:"ConsentMessageUnavailable"`
	InsufficientPayment       *ConsentErrorInfo    `candid:"InsufficientPayment"`
	GenericError              *ConsentGenericError `candid:"GenericError"`
}

// ConsentResult is the result of icrc21_canister_call_consent_message.
type ConsentResult struct {
	candid.Variant
	Ok  *ConsentInfo  `candid:"Ok"`
	Err *ConsentError `candid:"Err"`
}

// consentMessage describes the withdrawals in words. Only the calls that cost the user something have a message.
func consentMessage(_ *cdk.Msg, r ConsentRequest) ConsentResult {
	var address string
	var amount uint64
	var source string
	unsupported := func(why string) ConsentResult {
		return ConsentResult{Err: &ConsentError{UnsupportedCanisterCall: &ConsentErrorInfo{why}}}
	}
	switch r.Method {
	case "retrieve_btc":
		var a RetrieveBtcArgs
		if err := candid.Unmarshal(r.Arg, &a); err != nil {
			return unsupported("cannot read the argument: " + err.Error())
		}
		address, amount, source = a.Address, a.Amount, "your withdrawal account"
	case "retrieve_btc_with_approval":
		var a RetrieveBtcWithApprovalArgs
		if err := candid.Unmarshal(r.Arg, &a); err != nil {
			return unsupported("cannot read the argument: " + err.Error())
		}
		address, amount, source = a.Address, a.Amount, "your account"
		if a.FromSubaccount != nil {
			source = fmt.Sprintf("your subaccount %x", *a.FromSubaccount)
		}
	default:
		return unsupported("there is no message for " + fmt.Sprintf("%.60q", r.Method))
	}
	info := ConsentInfo{Metadata: ConsentMetadata{Language: "en"}}
	if d := r.UserPreferences.DeviceSpec; d != nil && d.FieldsDisplay != nil {
		info.ConsentMessage.FieldsDisplayMessage = &FieldsDisplay{Intent: "Convert ckBTC to BTC", Fields: []ConsentField{
			{"Amount", ConsentValue{TokenAmount: &TokenAmount{8, amount, "ckBTC"}}},
			{"From", ConsentValue{Text: &ConsentText{source}}},
			{"To bitcoin address", ConsentValue{Text: &ConsentText{address}}},
		}}
	} else {
		text := fmt.Sprintf("# Convert ckBTC to BTC\n\n**Amount:** %s ckBTC\n\n**From:** %s\n\n**To bitcoin address:** `%s`\n\nBitcoin and minter fees are taken from the amount.",
			coins(amount), source, address)
		info.ConsentMessage.GenericDisplayMessage = &text
	}
	return ConsentResult{Ok: &info}
}

func coins(satoshi uint64) string { return fmt.Sprintf("%d.%08d", satoshi/1e8, satoshi%1e8) }

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
