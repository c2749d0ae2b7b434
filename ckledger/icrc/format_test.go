package icrc_test

import (
	"fmt"
	"testing"

	"fusion/cdk/stable/stabletest"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// fixture is what a ledger of an earlier format said about itself.
type fixture struct {
	Now         uint64
	Supply, Tip string
	Hashes      []string
	Balances    map[string]string // user/subaccount
	Allowances  []string          // of user 1: spender, subaccount, amount, expiry
}

// TestEarlierFormats: a ledger that was left by an earlier version goes on with the same balances, allowances and block hashes. All versions from the
// first to the last without archives (format1) left the same bytes.
func TestEarlierFormats(t *testing.T) {
	for _, name := range []string{"format1"} {
		var want fixture
		mem := stabletest.Read(t, "testdata/"+name, &want)
		l, err := icrc.Open(mem)
		if err != nil {
			t.Fatal(err)
		}
		check := func(l *icrc.Ledger, blocks bool) {
			t.Helper()
			if l.Supply().String() != want.Supply {
				t.Errorf("%s: supply %s, want %s", name, l.Supply(), want.Supply)
			}
			found := 0
			for i := range 50 {
				for _, s := range []int{0, 1, 2, 5} {
					a := acc(i)
					if s > 0 {
						a = sub(i, s)
					}
					b, err := l.BalanceOf(a)
					if text := want.Balances[fmt.Sprintf("%d/%d", i, s)]; err != nil || text != b.String() && !(text == "" && b.IsZero()) {
						t.Errorf("%s: account %d/%d has %s, want %q; %v", name, i, s, b, text, err)
					}
					if !b.IsZero() {
						found++
					}
				}
			}
			if found != len(want.Balances) || found < 10 {
				t.Errorf("%s: %d accounts, want %d", name, found, len(want.Balances))
			}
			list := l.GetAllowances(want.Now, who(1), icrc.GetAllowancesArgs{}).Ok
			if list == nil || len(*list) != len(want.Allowances) || len(*list) < 3 {
				t.Fatalf("%s: %v, want %d allowances", name, list, len(want.Allowances))
			}
			for i, e := range *list {
				var s []byte
				if e.ToSpender.Subaccount != nil {
					s = *e.ToSpender.Subaccount
				}
				expires := uint64(0)
				if e.ExpiresAt != nil {
					expires = *e.ExpiresAt
				}
				if text := fmt.Sprintf("%v %x %s %d", e.ToSpender.Owner, s, e.Allowance, expires); text != want.Allowances[i] {
					t.Errorf("%s: allowance %d is %s, want %s", name, i, text, want.Allowances[i])
				}
			}
			for i := l.Archived(); blocks && i < uint64(len(want.Hashes)); i++ {
				if h, err := l.BlockHash(i); err != nil || fmt.Sprintf("%x", h) != want.Hashes[i] {
					t.Fatalf("%s: block %d has the hash %x, want %s; %v", name, i, h, want.Hashes[i], err)
				}
			}
			if err := l.CheckInvariants(); err != nil {
				t.Error(err)
			}
			if err := l.CheckChain(0); err != nil {
				t.Error(err)
			}
		}
		if l.Blocks() != uint64(len(want.Hashes)) || fmt.Sprintf("%x", l.Tip()) != want.Tip || want.Hashes[len(want.Hashes)-1] != want.Tip {
			t.Fatalf("%s: %d blocks with the tip %x, want %d with %s", name, l.Blocks(), l.Tip(), len(want.Hashes), want.Tip)
		}
		check(l, true)
		// What it knew of recent transactions still holds, and it can give up its old blocks.
		created := want.Now
		dup, err := l.Transfer(want.Now, who(1), &icrc.TransferArg{To: sub(8, 2), Amount: nat(159), Memo: ptr([]byte{59, 1, 2, 3}), CreatedAtTime: &created})
		if got := outcome(dup.Ok, dup.Err); err != nil || got[:min(len(got), 9)] != "Duplicate" {
			t.Fatalf("%s: a transfer is repeated: %s, %v", name, got, err)
		}
		if err := l.Forget(principal.FromUint64(5), 100); err != nil {
			t.Fatal(err)
		}
		if l, err = icrc.Open(mem); err != nil {
			t.Fatal(err)
		}
		check(l, true)
		r, err := l.Transfer(want.Now, minter.Owner, &icrc.TransferArg{To: acc(1), Amount: nat(1)})
		if err != nil || r.Ok == nil || r.Ok.Cmp(candid.NatFromUint64(uint64(len(want.Hashes)))) != 0 {
			t.Fatalf("%s: %s, %v", name, outcome(r.Ok, r.Err), err)
		}
		if err := l.CheckChain(0); err != nil {
			t.Error(err)
		}
	}
}
