package icrc_test

import (
	"errors"
	"math/big"
	"testing"

	"fusion/cdk/stable"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
)

// TestWidths runs the same operations at the edge of what a token can have, for tokens of 64 and of 256 bits.
func TestWidths(t *testing.T) {
	for _, bits := range []uint16{64, 256} {
		power := func(n uint, minus int64) candid.Nat {
			return candid.NatFromBig(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), n), big.NewInt(minus)))
		}
		most, over := power(uint(bits), 1), power(uint(bits), 0)
		args := initArgs()
		args.AmountBits, args.InitialBalances = &bits, nil
		mem := &stable.Heap{}
		l, err := icrc.Create(mem, args, start)
		if err != nil {
			t.Fatal(err)
		}
		fee, _ := args.TransferFee.Uint64()
		transfer := func(from, to icrc.Account, amount candid.Nat) string {
			t.Helper()
			r, err := l.Transfer(start, from.Owner, &icrc.TransferArg{To: to, Amount: amount})
			if err != nil {
				t.Fatal(err)
			}
			return outcome(r.Ok, r.Err)
		}
		spend := func(amount candid.Nat) string {
			t.Helper()
			r, err := l.TransferFrom(start, who(2), &icrc.TransferFromArgs{From: acc(1), To: acc(3), Amount: amount})
			if err != nil {
				t.Fatal(err)
			}
			return outcome(r.Ok, r.Err)
		}
		expect := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%d bits, %s: %s, want %s", bits, what, got, want)
			}
		}
		expect("minting more than there can be", transfer(minter, acc(1), over)[:12], "GenericError")
		expect("minting all there can be", transfer(minter, acc(1), most), "Ok 0")
		expect("minting one more", transfer(minter, acc(2), nat(1))[:12], "GenericError")
		if l.Supply().String() != most.String() {
			t.Errorf("%d bits: supply %s", bits, l.Supply())
		}
		expect("sending more than there can be", transfer(acc(1), acc(2), over), "InsufficientFunds "+most.String())
		expect("sending all, without the fee", transfer(acc(1), acc(2), most), "InsufficientFunds "+most.String())
		// An allowance of more than there can be is one of everything.
		if r, err := l.Approve(start, who(1), &icrc.ApproveArgs{Spender: acc(2), Amount: over}); err != nil || r.Ok == nil {
			t.Fatal(outcome(r.Ok, r.Err), err)
		}
		a, err := l.Allowance(start, icrc.AllowanceArgs{Account: acc(1), Spender: acc(2)})
		if err != nil || a.Allowance.Cmp(most) != 0 {
			t.Errorf("%d bits: an allowance of %s, %v", bits, a.Allowance, err)
		}
		expect("spending more than there can be", spend(over)[:12], "Insufficient")
		left := candid.NatFromBig(new(big.Int).Sub(most.Big(), new(big.Int).SetUint64(2*fee))) // after the approval and this transfer
		expect("spending all", spend(left), "Ok 2")
		expect("burning it", transfer(acc(3), minter, left), "Ok 3")
		if r, err := l.Transfer(start, who(1), &icrc.TransferArg{To: acc(2), Amount: nat(1), Fee: &over}); err != nil || r.Err == nil || r.Err.BadFee == nil {
			t.Errorf("%d bits: a fee of more than there can be: %s, %v", bits, outcome(r.Ok, r.Err), err)
		}
		if r, err := l.Approve(start, who(1), &icrc.ApproveArgs{Spender: acc(2), Amount: nat(1), ExpectedAllowance: &over}); err != nil || r.Ok != nil {
			t.Errorf("%d bits: an expected allowance of more than there can be: %s, %v", bits, outcome(r.Ok, r.Err), err)
		}
		if err := l.CheckInvariants(); err != nil {
			t.Errorf("%d bits: %v", bits, err)
		}
		if err := l.CheckChain(0); err != nil {
			t.Errorf("%d bits: %v", bits, err)
		}
		if l, err = icrc.Open(mem); err != nil { // the width is kept
			t.Fatal(err)
		}
		expect("minting more than there can be, after an upgrade", transfer(minter, acc(1), over)[:12], "GenericError")
	}
	for _, bad := range []func(*icrc.InitArgs){
		func(a *icrc.InitArgs) { a.AmountBits = ptr(uint16(128)) },
		func(a *icrc.InitArgs) {
			a.AmountBits, a.TransferFee = ptr(uint16(64)), candid.NatFromBig(new(big.Int).Lsh(big.NewInt(1), 64))
		},
	} {
		args := initArgs()
		bad(args)
		if _, err := icrc.Create(&stable.Heap{}, args, start); !errors.Is(err, icrc.ErrArgument) {
			t.Errorf("%v", err)
		}
	}
}
