package ckbtc

import (
	"fmt"
	"strings"
	"testing"

	"fusion/cdk/native"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/consent"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Calls that cost something have a message in both forms; what would be refused, and what has none, says so.
func TestConsentMessages(t *testing.T) {
	u := newUniverse(t, 40, func(a *InitArgs) {
		fee := uint64(100)
		a.CheckFee = &fee
	})
	alice := user(0)
	u.deposit(alice, 5_000_000)
	ask := func(who principal.Principal, method string, arg any, fields bool) consent.Response {
		t.Helper()
		raw, ok := arg.([]byte)
		if !ok {
			var err error
			raw, err = candid.Marshal(arg)
			must(t, err)
		}
		req := consent.Request{Method: method, Arg: raw, UserPreferences: consent.Spec{Metadata: consent.Metadata{Language: "de"}, DeviceSpec: &consent.Device{GenericDisplay: candid.Unit}}}
		if fields {
			req.UserPreferences.DeviceSpec = &consent.Device{FieldsDisplay: candid.Unit}
		}
		r, err := native.Update[consent.Response](u.w, who, minterID, "icrc21_canister_call_consent_message", req)
		must(t, err)
		return r
	}
	sub := make([]byte, 32)
	sub[31] = 7
	to := destination(2).String()
	minter := core.WithdrawalAccount(minterID, alice)
	e, err := native.Query[WithdrawalFee](u.w, alice, minterID, "estimate_withdrawal_fee", FeeArgs{ptr(uint64(1_234_567))})
	must(t, err)
	estimate := e.BitcoinFee + e.MinterFee
	if estimate < 500 || estimate > 2000 {
		t.Fatalf("estimated fees of %d", estimate)
	}
	for _, c := range []struct {
		who    principal.Principal
		method string
		arg    any
		intent string
		fields string
	}{
		{alice, "retrieve_btc", RetrieveBtcArgs{to, 1_234_567}, "Convert ckBTC to BTC",
			fmt.Sprintf("From=%v.%x Amount=1234567/8 ckBTC To=%s Estimated fees, taken from the amount=%d/8 BTC", minterID, minter.Subaccount, to, estimate)},
		{alice, "retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{to, 1_234_567, nil}, "Convert ckBTC to BTC",
			fmt.Sprintf("From=%v Amount=1234567/8 ckBTC To=%s Estimated fees, taken from the amount=%d/8 BTC", alice, to, estimate)},
		{alice, "retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{to, 1_234_567, &sub}, "Convert ckBTC to BTC",
			fmt.Sprintf("From=%v.%x Amount=1234567/8 ckBTC To=%s Estimated fees, taken from the amount=%d/8 BTC", alice, sub, to, estimate)},
		{principal.Anonymous, "retrieve_btc", RetrieveBtcArgs{to, 1_234_567}, "Convert ckBTC to BTC",
			fmt.Sprintf("From=your withdrawal account Amount=1234567/8 ckBTC To=%s Estimated fees, taken from the amount=%d/8 BTC", to, estimate)},
		{alice, "update_balance", AddressArgs{Subaccount: &sub}, "Convert BTC to ckBTC", fmt.Sprintf("To=%v.%x Fee for each deposit=100/8 BTC", alice, sub)},
		{alice, "update_balance", AddressArgs{Owner: &operator}, "Convert BTC to ckBTC", fmt.Sprintf("To=%v Fee for each deposit=100/8 BTC", operator)},
	} {
		r := ask(c.who, c.method, c.arg, true)
		if r.Ok == nil || r.Ok.ConsentMessage.FieldsDisplayMessage == nil || r.Ok.Metadata.Language != "en" || r.Ok.Metadata.UTCOffsetMinutes != nil {
			t.Fatalf("%s: %+v", c.method, r.Err)
		}
		m := r.Ok.ConsentMessage.FieldsDisplayMessage
		var got []string
		markdown := "# " + c.intent
		for _, f := range m.Fields {
			switch v := f.Value; {
			case v.TokenAmount != nil:
				got = append(got, fmt.Sprintf("%s=%d/%d %s", f.Title, v.TokenAmount.Amount, v.TokenAmount.Decimals, v.TokenAmount.Symbol))
				markdown += fmt.Sprintf("\n\n**%s:**\n`%s %s`", f.Title, coins(v.TokenAmount.Amount), v.TokenAmount.Symbol)
			default:
				got = append(got, f.Title+"="+v.Text.Content)
				markdown += fmt.Sprintf("\n\n**%s:**\n`%s`", f.Title, v.Text.Content)
			}
		}
		if text := strings.Join(got, " "); m.Intent != c.intent || text != c.fields {
			t.Errorf("%s: %s: %s\nwant %s", c.method, m.Intent, text, c.fields)
		}
		if r := ask(c.who, c.method, c.arg, false); r.Ok == nil || r.Ok.ConsentMessage.GenericDisplayMessage == nil || *r.Ok.ConsentMessage.GenericDisplayMessage != markdown {
			t.Errorf("%s: %+v, want\n%s", c.method, r.Ok, markdown)
		}
	}
	short := []byte{1}
	for name, c := range map[string]struct {
		method string
		arg    any
	}{
		"unknown method":       {"steal", RetrieveBtcArgs{to, 1_234_567}},
		"no argument":          {"retrieve_btc", []byte{}},
		"long argument":        {"retrieve_btc", RetrieveBtcArgs{strings.Repeat("x", 1000), 1_234_567}},
		"address of a dapp":    {"retrieve_btc", RetrieveBtcArgs{"`\n# Approve nothing", 1_234_567}},
		"address on another":   {"retrieve_btc", RetrieveBtcArgs{"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", 1_234_567}},
		"too little":           {"retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{to, 9_999, nil}},
		"more than there is":   {"retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{to, 1 << 62, nil}},
		"short subaccount":     {"retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{to, 1_234_567, &short}},
		"short subaccount too": {"update_balance", AddressArgs{Subaccount: &short}},
		"anonymous owner":      {"update_balance", AddressArgs{Owner: &principal.Anonymous}},
	} {
		if r := ask(alice, c.method, c.arg, false); r.Err == nil || r.Err.UnsupportedCanisterCall == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := ask(alice, "get_btc_address", AddressArgs{}, false); r.Err == nil || r.Err.ConsentMessageUnavailable == nil {
		t.Errorf("%+v", r)
	}
}
