package icrc_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/cdk/stable"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
)

var module = sync.OnceValues(func() (*link.Canister, error) {
	return link.Build(context.Background(), "", "./cmd/ledger")
})

func newHost(t testing.TB, args *icrc.InitArgs) *ic0host.Host {
	t.Helper()
	c, err := module()
	if err != nil {
		t.Fatal(err)
	}
	h, err := ic0host.New(context.Background(), c.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	h.Now, h.Controller = start, who(77)
	if err := h.Install(candid.MustMarshal(icrc.LedgerArg{Init: args})); err != nil {
		t.Fatal(err)
	}
	return h
}

// The ledger as wasm does what the ledger as Go does, to the last byte of stable memory, and an upgrade keeps it.
func TestWasm(t *testing.T) {
	args := initArgs()
	h := newHost(t, args)
	l, mem := newLedger(t, args)
	now := start
	for i := range 50 {
		now += 1e9
		h.Now = now
		a := icrc.TransferArg{To: sub(3+i%4, i%3), Amount: nat(uint64(i)), Memo: ptr(bytes.Repeat([]byte{byte(i)}, i)), CreatedAtTime: ptr(now)}
		want, wantErr := l.Transfer(now, who(1), &a)
		data, err := h.Update(who(1), "icrc1_transfer", candid.MustMarshal(a))
		var got icrc.TransferResult
		if err == nil {
			err = candid.Unmarshal(data, &got)
		}
		if err != nil || wantErr != nil || outcome(got.Ok, got.Err) != outcome(want.Ok, want.Err) {
			t.Fatalf("transfer %d: %s, %v, want %s", i, outcome(got.Ok, got.Err), err, outcome(want.Ok, want.Err))
		}
		if root := l.Certified(); !bytes.Equal(h.Certified, root[:]) {
			t.Fatalf("transfer %d: certified %x, want %x", i, h.Certified, root)
		}
		approve := icrc.ApproveArgs{Spender: acc(4 + i%3), Amount: nat(uint64(i)), ExpiresAt: ptr(now + 5e9)}
		if _, err := l.Approve(now, who(2), &approve); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Update(who(2), "icrc2_approve", candid.MustMarshal(approve)); err != nil {
			t.Fatal(err)
		}
		if i == 25 {
			if err := h.Upgrade(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	same(t, &h.Stable, mem)
	if _, err := h.Update(who(1), "icrc1_transfer", []byte("junk")); err == nil || !strings.Contains(err.Error(), "decode arguments of icrc1_transfer") {
		t.Fatalf("junk: %v", err)
	}
	if err := h.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Run("canister_post_upgrade", who(77), nil); err != nil {
		t.Fatal(err)
	}
	data, err := h.Query(who(1), "icrc1_total_supply", nil)
	var supply candid.Nat
	if err == nil {
		err = candid.Unmarshal(data, &supply)
	}
	if err != nil || supply.String() != l.Supply().String() {
		t.Fatalf("supply %v, %v, want %v", supply, err, l.Supply())
	}
}

func same(t *testing.T, a, b *stable.Heap) {
	t.Helper()
	if a.Size() != b.Size() {
		t.Fatalf("stable memories of %d and %d pages", a.Size(), b.Size())
	}
	x, y := make([]byte, stable.PageSize), make([]byte, stable.PageSize)
	for p := range a.Size() {
		a.Read(x, p*stable.PageSize)
		b.Read(y, p*stable.PageSize)
		if !bytes.Equal(x, y) {
			t.Fatalf("page %d of the stable memories differs", p)
		}
	}
}

func BenchmarkWasmTransfer(b *testing.B) {
	h := newHost(b, &icrc.InitArgs{MintingAccount: minter, TransferFee: nat(10), InitialBalances: []icrc.InitialBalance{{Account: acc(1), Amount: nat(1 << 60)}}})
	var encoded [][]byte
	for i := range b.N {
		encoded = append(encoded, candid.MustMarshal(icrc.TransferArg{To: sub(2+i%200, i%100), Amount: nat(5), CreatedAtTime: ptr(start + uint64(i)*1e6)}))
	}
	b.ResetTimer()
	writes := 0
	for i := range b.N {
		h.Now = start + uint64(i)*1e6
		data, err := h.Update(who(1), "icrc1_transfer", encoded[i])
		if err != nil || len(data) == 0 {
			b.Fatal(fmt.Sprintf("%x", data), err)
		}
		writes += h.Writes
	}
	b.ReportMetric(float64(writes)/float64(b.N), "stable-writes/op")
}
