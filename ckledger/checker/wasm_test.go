package checker

import (
	"context"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// maxModule is the largest message on the Internet Computer less what is in it beside the module.
const maxModule = 2<<20 - 32<<10

// The checker as wasm asks, reads and judges like the checker as Go, before and after an upgrade.
func TestWasm(t *testing.T) {
	c, err := link.Build(context.Background(), "", "./cmd/checker")
	must(t, err)
	packed, err := link.Gzip(c.Wasm)
	must(t, err)
	if len(packed) > maxModule {
		t.Errorf("the module has %d bytes, more than the %d that fit into one message", len(packed), maxModule)
	}
	h, err := ic0host.New(context.Background(), c.Wasm)
	must(t, err)
	defer h.Close()
	h.Self, h.Now, h.Controller = checkerID, 1_800_000_000e9, user
	own := address(t, btc.Mainnet, btc.P2WPKH, 7)
	must(t, h.Install(candid.MustMarshal(&CheckArg{Init: &InitArg{Network: mainnet, Mode: Normal, Nodes: nodes, BlockedAddresses: &[]string{own.String()}}})))

	query := func(out any, method string, arg any) {
		t.Helper()
		data, err := h.Query(user, method, candid.MustMarshal(arg))
		must(t, err)
		must(t, candid.Unmarshal(data, out))
	}
	var judged CheckAddressResponse
	if query(&judged, "check_address", CheckAddressArgs{builtin[len(builtin)-1]}); judged.Failed == nil {
		t.Error("the last address of the list is not blocked")
	}
	// The host attaches a thousand cycles to every call, which is too little.
	data, err := h.Update(user, "check_transaction_str", candid.MustMarshal(CheckTransactionStrArgs{btc.Hash{}.String()}))
	must(t, err)
	var r CheckTransactionResponse
	must(t, candid.Unmarshal(data, &r))
	if say(r) != "not enough cycles" {
		t.Error(say(r))
	}
	// The transform as wasm gives what it gives as Go.
	tx := btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: btc.Hash{1}}, Witness: [][]byte{make([]byte, 300_000)}}}, Outputs: []btc.TxOut{{Value: 5, Script: own.Script()}}}
	for _, res := range []cdk.HTTPResponse{{Status: candid.NatFromUint64(200), Body: tx.Bytes()}, {Status: candid.NatFromUint64(404), Body: []byte("no")}, {Status: candid.NatFromUint64(200)}} {
		res.Headers = []cdk.HTTPHeader{}
		args := cdk.TransformArgs{Response: res, Context: transformContext(tx.Txid(), false)}
		data, err := h.Query(principal.Management, "transform", candid.MustMarshal(args))
		must(t, err)
		var got cdk.HTTPResponse
		must(t, candid.Unmarshal(data, &got))
		want := transform(res, args.Context)
		if got.Status.Cmp(want.Status) != 0 || string(got.Body) != string(want.Body) {
			t.Errorf("status %v with %d bytes, want %v with %d", got.Status, len(got.Body), want.Status, len(want.Body))
		}
	}
	must(t, h.Upgrade(candid.MustMarshal(&CheckArg{Upgrade: ptr(&UpgradeArg{Mode: &RejectAll})})))
	if query(&judged, "check_address", CheckAddressArgs{address(t, btc.Mainnet, btc.P2TR, 1).String()}); judged.Failed == nil {
		t.Error("the mode is not RejectAll after the upgrade")
	}
	var page HTTPResponse
	if query(&page, "http_request", httpQuery{URL: "/metrics"}); !strings.Contains(string(page.Body), `mode="RejectAll"`) {
		t.Errorf("%s", page.Body)
	}
}
