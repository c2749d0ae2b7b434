package index

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"fusion/cdk/stable/stabletest"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// fixture is what an index of an earlier format said about its ledger, and the ledger's next blocks in their stored form.
type fixture struct {
	Blocks   uint64
	Accounts []struct {
		Account, Balance string // user/subaccount
		Blocks           []string
	}
	Ranges, Next []string
}

// TestEarlierFormats: an index that was left by an earlier version has the same books and goes on with the ledger's next blocks. All versions from the first
// on left the same bytes (format1 is of the last one that did not read archives).
func TestEarlierFormats(t *testing.T) {
	for _, name := range []string{"format1"} {
		var want fixture
		mem := stabletest.Read(t, "testdata/"+name, &want)
		x, err := Open(mem)
		if err != nil {
			t.Fatal(err)
		}
		if x.Blocks() != want.Blocks || len(want.Accounts) < 10 || len(want.Ranges) < 2 || len(want.Next) != 2 {
			t.Fatalf("%s: %d blocks, want %d; %d accounts", name, x.Blocks(), want.Blocks, len(want.Accounts))
		}
		for _, e := range want.Accounts {
			var i, s byte
			if _, err := fmt.Sscanf(e.Account, "%d/%d", &i, &s); err != nil {
				t.Fatal(err)
			}
			sub := make([]byte, 32)
			sub[31] = s
			a := icrc.Account{Owner: principal.MustFromBytes([]byte{i, 'u', 's', 'e', 'r'}), Subaccount: &sub}
			r := x.Transactions(GetAccountTransactionsArgs{Account: a, MaxResults: candid.NatFromUint64(1000)})
			if r.Ok == nil {
				t.Fatal(r.Err.Message)
			}
			var ids []string
			for _, b := range r.Ok.Transactions {
				ids = append(ids, b.ID.String())
			}
			if r.Ok.Balance.String() != e.Balance || !slices.Equal(ids, e.Blocks) {
				t.Errorf("%s: account %s has %s and the blocks %v, want %s and %v", name, e.Account, r.Ok.Balance, ids, e.Balance, e.Blocks)
			}
		}
		var ranges []string
		for _, c := range x.FeeCollectors().Ranges {
			for _, r := range c.Ranges {
				ranges = append(ranges, fmt.Sprintf("%v %s-%s", c.Account.Owner, r.Start, r.End))
			}
		}
		if !slices.Equal(ranges, want.Ranges) {
			t.Errorf("%s: collected fees %v, want %v", name, ranges, want.Ranges)
		}
		if err := x.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		for i, text := range want.Next {
			raw, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			v, err := icrc.DecodeValue(raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Take([]icrc.ICRC3Block{{ID: candid.NatFromUint64(want.Blocks + uint64(i)), Block: v}}); err != nil || x.Halted() != "" {
				t.Fatalf("%s: the next block does not fit: %s, %v", name, x.Halted(), err)
			}
		}
		if x, err = Open(mem); err != nil || x.Blocks() != want.Blocks+2 {
			t.Fatalf("%s: %d blocks after two more, %v", name, x.Blocks(), err)
		}
		if err := x.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
	}
}
