package cketh

import (
	"context"
	"strings"
	"testing"

	"fusion/cdk"
	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/ckledger/cketh/core"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// maxModule is the largest message on the Internet Computer: a module that fits needs no chunks to be installed.
const maxModule = 2 << 20

// The minter as wasm has the addresses of the minter as Go, and answers alike before and after an upgrade.
func TestWasm(t *testing.T) {
	c, err := link.Build(context.Background(), "", "./cmd/cketh")
	must(t, err)
	packed, err := link.Gzip(c.Wasm)
	must(t, err)
	if len(packed) > maxModule-32<<10 {
		t.Errorf("the module has %d bytes, which leaves no room in a message of %d", len(packed), maxModule)
	}
	h, err := ic0host.New(context.Background(), c.Wasm)
	must(t, err)
	defer h.Close()
	h.Self, h.Now, h.Controller = minterID, 1_800_000_000e9, user(9)
	helper := helpers[0].String()
	args := InitArg{Network: Network{Sepolia: unit}, ECDSAKeyName: "dfx_test_key", ContractAddress: &helper, LedgerID: gates[0], BlockHeight: BlockTag{Finalized: unit},
		MinimumWithdrawal: *natOf(30 * milli), DevelopmentChainID: natOf(core.DevGeth)}
	must(t, h.Install(candid.MustMarshal(MinterArg{Init: &args})))
	signer := newFakeSigner(&universe{t: t})

	// update runs an update and answers the calls that it makes by method, until it is answered itself.
	answers := map[string]any{}
	update := func(method string, arg any, out any) {
		t.Helper()
		data, err := h.Update(alice, method, candid.MustMarshal(arg))
		must(t, err)
		for data == nil {
			if len(h.Calls) == 0 {
				t.Fatalf("%s waits for nothing", method)
			}
			in := h.Calls[0]
			a, ok := answers[in.Method]
			if !ok {
				t.Fatalf("%s asks %s", method, in.Method)
			}
			data, err = h.Deliver(in, candid.MustMarshal(a), nil)
			must(t, err)
		}
		must(t, candid.Unmarshal(data, out))
	}
	answers["ecdsa_public_key"] = cdk.ECDSAPublicKey{PublicKey: signer.key.Key[:], ChainCode: signer.key.ChainCode[:]}
	var address string
	update("get_deposit_address", Account{Owner: alice}, &address)
	want, err := signer.key.Address(account(alice))
	must(t, err)
	if address != want.String() {
		t.Fatalf("deposit address %s, want %s", address, want)
	}
	query := func(method string, out any, arg ...any) {
		t.Helper()
		data, err := h.Query(alice, method, candid.MustMarshal(arg...))
		must(t, err)
		must(t, candid.Unmarshal(data, out))
	}
	var info MinterInfo
	query("get_minter_info", &info)
	if info.MinterAddress == nil || *info.MinterAddress != signer.main.String() || *info.EthHelperAddress != helper {
		t.Errorf("%+v", info)
	}
	must(t, h.Upgrade(nil))
	var events Events
	query("get_events", &events, EventsArg{0, 10})
	if events.TotalEventCount != 1 || events.Events[0].Payload.Init == nil {
		t.Errorf("%+v", events)
	}
	var blocked bool
	query("is_address_blocked", &blocked, blocklist()[0].String())
	if !blocked {
		t.Error("the first address of the list is not blocked")
	}
	var page HTTPResponse
	query("http_request", &page, httpQuery{URL: "/metrics"})
	if !strings.Contains(string(page.Body), "cketh_custody{token=\"ckETH\"} 0") {
		t.Errorf("%s", page.Body)
	}
	if _, err := h.Update(principal.Anonymous, "withdraw_eth", candid.MustMarshal(WithdrawalArg{Recipient: eth.Address{1}.String(), Amount: *natOf(50 * milli)})); err == nil {
		t.Error("anonymous withdrawal")
	}
}
