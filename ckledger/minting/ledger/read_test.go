package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ckledger/minting/ledger"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var ledgerID, archiveID, strangerID, readerID = principal.FromUint64(1), principal.FromUint64(2), principal.FromUint64(3), principal.FromUint64(4)

func nat(n uint64) candid.Nat { return candid.NatFromUint64(n) }

// reader is a canister that reads one page.
func reader(c *cdk.Canister) {
	cdk.Init(c, func(cdk.None) {})
	cdk.UpdateAsync(c, "read", func(_ *cdk.Msg, from uint64, out *cdk.Reply[string]) {
		ledger.Read(c, ledgerID, from, 4, func() {}, func(p ledger.Page, err error) {
			text := fmt.Sprintf("of %d:", p.Length)
			for _, t := range p.Transactions {
				text += " " + t.Mint.Amount.String()
			}
			if err != nil {
				text = err.Error()
			}
			out.Send(text)
		})
	})
}

// A page comes from the ledger or from the archive that it names, and never with a gap.
func TestRead(t *testing.T) {
	w := native.NewWorld(1)
	page := func(first, n uint64) (out []ledger.Transaction) {
		for i := range n {
			out = append(out, ledger.Transaction{Mint: &ledger.Moved{Amount: nat(first + i)}})
		}
		return out
	}
	// Blocks 0 to 9 are in the archive, 10 to 12 in the ledger.
	at, first := archiveID, uint64(10)
	w.Handle(ledgerID, func(in *native.Incoming) {
		if in.Method == "icrc3_get_archives" {
			type info struct {
				ID principal.Principal `candid:"canister_id"`
			}
			in.Reply([]info{{archiveID}})
			return
		}
		var a ledger.GetTransactionsArgs
		if err := candid.Unmarshal(in.Arg, &a); err != nil {
			t.Error(err)
		}
		start, _ := a.Start.Uint64()
		length, _ := a.Length.Uint64()
		r := ledger.GetTransactionsResponse{LogLength: nat(13), FirstIndex: nat(max(start, first))}
		if start < 10 {
			r.Archived = []ledger.Archived{{Start: a.Start, Length: nat(min(length, 10-start)), Callback: candid.Func{Principal: at, Method: "get_transactions"}}}
		}
		if end := min(start+length, 13); end > max(start, first) {
			r.Transactions = page(max(start, first), end-max(start, first))
		}
		in.Reply(r)
	})
	empty := false
	serve := func(in *native.Incoming) {
		var a ledger.GetTransactionsArgs
		if err := candid.Unmarshal(in.Arg, &a); err != nil {
			t.Error(err)
		}
		start, _ := a.Start.Uint64()
		length, _ := a.Length.Uint64()
		if empty {
			length = 0
		}
		in.Reply(ledger.TransactionRange{Transactions: page(start, min(length, 3))})
	}
	w.Handle(archiveID, serve)
	w.Handle(strangerID, func(*native.Incoming) { t.Error("a stranger was asked") })
	if err := w.Install(readerID, reader, nil); err != nil {
		t.Fatal(err)
	}
	check := func(from uint64, want string) {
		t.Helper()
		got, err := native.Update[string](w, principal.FromUint64(9), readerID, "read", from)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("from %d: %q, %v, want %q", from, got, err, want)
		}
	}
	check(0, "of 13: 0 1 2")
	check(8, "of 13: 8 9")
	check(10, "of 13: 10 11 12")
	check(13, "of 13:")
	check(14, "has 13 blocks")
	empty = true
	check(3, "has no block 3")
	empty, at = false, strangerID
	check(3, "not among its archives")
	first = 12
	check(10, "asked for 10 of 13")
}
