package ckbtc

import (
	"bytes"
	"context"
	"testing"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// maxModule is the largest message on the Internet Computer: a module that fits needs no chunks to be installed.
const maxModule = 2 << 20

// The minter as wasm derives the address that the minter as Go derives, mints a deposit, and finds everything again after an upgrade.
func TestWasm(t *testing.T) {
	c, err := link.Build(context.Background(), "", "./cmd/ckbtc")
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
	conf := uint32(1)
	args := InitArgs{Network: Regtest, LedgerID: ledgerID, ECDSAKeyName: "dfx_test_key", RetrieveBtcMinAmount: 10_000, MaxTimeInQueueNanos: 1e9,
		MinConfirmations: &conf, Mode: Mode{GeneralAvailability: candid.Unit}}
	must(t, h.Install(candid.MustMarshal(MinterArg{Init: &args})))

	signer := newFakeSigner(&universe{t: t})
	_, child := signer.derive(nil)
	key := core.PublicKey{Key: child.PublicKey, ChainCode: child.ChainCode}
	alice := user(0)
	want, err := key.Address(btc.Regtest, core.Account{Owner: alice})
	must(t, err)

	// call runs an update and answers the calls that it makes, until it is answered itself.
	call := func(method string, arg any, out any, answers ...any) {
		t.Helper()
		data, err := h.Update(alice, method, candid.MustMarshal(arg))
		must(t, err)
		for data == nil {
			if len(h.Calls) != 1 || len(answers) == 0 {
				t.Fatalf("%s: %d calls, %d answers left", method, len(h.Calls), len(answers))
			}
			data, err = h.Deliver(h.Calls[0], candid.MustMarshal(answers[0]), nil)
			must(t, err)
			answers = answers[1:]
		}
		if len(answers) != 0 {
			t.Fatalf("%s: %d answers were not asked for", method, len(answers))
		}
		must(t, candid.Unmarshal(data, out))
	}
	public := cdk.ECDSAPublicKey{PublicKey: child.PublicKey[:], ChainCode: child.ChainCode[:]}
	var address string
	call("get_btc_address", AddressArgs{}, &address, public)
	if address != want.String() {
		t.Fatalf("address %s, want %s", address, want)
	}
	u := Utxo{Outpoint{bytes.Repeat([]byte{7}, 32), 1}, 90_000, 5}
	utxos := getUtxosResponse{Utxos: []Utxo{u}, TipHeight: 5, TipBlockHash: make([]byte, 32)}
	block := candid.NatFromUint64(3)
	var res UpdateBalanceResult
	call("update_balance", AddressArgs{}, &res, utxos, transferResult{Ok: &block})
	if res.Ok == nil || len(*res.Ok) != 1 || (*res.Ok)[0].Minted == nil || (*res.Ok)[0].Minted.BlockIndex != 3 {
		t.Fatalf("%+v", res)
	}
	must(t, h.Upgrade(nil))
	call("update_balance", AddressArgs{}, &res, public, utxos, utxos)
	if res.Err == nil || res.Err.NoNewUtxos == nil {
		t.Fatalf("after the upgrade: %+v", res)
	}
	data, err := h.Query(alice, "get_known_utxos", candid.MustMarshal(AddressArgs{}))
	must(t, err)
	var known []Utxo
	must(t, candid.Unmarshal(data, &known))
	if len(known) != 1 || known[0].Value != 90_000 {
		t.Errorf("known %+v", known)
	}
	if _, err := h.Update(principal.Anonymous, "get_btc_address", candid.MustMarshal(AddressArgs{})); err == nil {
		t.Error("anonymous address")
	}
}
