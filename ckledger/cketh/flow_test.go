package cketh

import (
	"testing"
	"time"

	"fusion/ckledger/cketh/core"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

func word(p principal.Principal) [32]byte { return eth.EncodePrincipal(p) }

func (u *universe) withdrawEth(who principal.Principal, to eth.Address, amount uint64) WithdrawEthResult {
	u.t.Helper()
	r, err := call[WithdrawEthResult](u, who, minterID, "withdraw_eth", WithdrawalArg{Recipient: to.String(), Amount: candid.NatFromUint64(amount)})
	must(u.t, err)
	return r
}

func (u *universe) withdrawErc20(who principal.Principal, i int, to eth.Address, amount uint64) WithdrawErc20Result {
	u.t.Helper()
	r, err := call[WithdrawErc20Result](u, who, minterID, "withdraw_erc20", WithdrawErc20Arg{Recipient: to.String(), Amount: candid.NatFromUint64(amount), LedgerID: gates[i]})
	must(u.t, err)
	return r
}

func (u *universe) ethStatus(id candid.Nat) RetrieveEthStatus {
	u.t.Helper()
	n, _ := id.Uint64()
	s, err := call[RetrieveEthStatus](u, user(0), minterID, "retrieve_eth_status", n)
	must(u.t, err)
	return s
}

// fund gives a user ckETH and approves the minter.
func (u *universe) fund(who principal.Principal, wei uint64) {
	u.chain.deposit(2, eth.Address{0xa0}, eth.Address{}, core.AmountOf(wei), word(who), [32]byte{})
	u.settle(6)
	u.approve(0, who)
}

func TestDepositAndWithdrawal(t *testing.T) {
	u := newUniverse(t, 1, nil)
	alice := user(0)
	const ether = 1000 * milli
	for kind := range 3 {
		u.chain.deposit(kind&2, eth.Address{0xa0}, eth.Address{}, core.AmountOf(ether), word(alice), [32]byte{})
	}
	for _, kind := range []int{1, 2} {
		u.chain.deposit(kind, eth.Address{0xa1}, usdc, core.AmountOf(500_000_000), word(alice), [32]byte{})
	}
	u.settle(6)
	if b, c := u.balance(0, alice), u.balance(1, alice); b != 3*ether || c != 1_000_000_000 {
		t.Fatalf("%d wei and %d of the token are minted", b, c)
	}
	if r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli); r.Err == nil || r.Err.InsufficientAllowance == nil {
		t.Fatalf("without approval: %+v", r)
	}
	u.approve(0, alice)
	u.approve(1, alice)
	r := u.withdrawEth(alice, eth.Address{0xd0}, 100*milli)
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	r20 := u.withdrawErc20(alice, 1, eth.Address{0xd1}, 250_000_000)
	if r20.Ok == nil {
		t.Fatalf("%+v", r20.Err)
	}
	if s := u.ethStatus(r.Ok.BlockIndex); s.Pending == nil && s.TxCreated == nil && s.TxSent == nil {
		t.Fatalf("%+v", s)
	}
	u.settle(10)
	if sum, times := u.chain.paid(eth.Address{}, eth.Address{0xd0}); times != 1 || sum.Uint64() > 100*milli || sum.Uint64() < 99*milli {
		t.Errorf("%v wei paid in %d transactions", &sum, times)
	}
	if sum, times := u.chain.paid(usdc, eth.Address{0xd1}); times != 1 || sum.Uint64() != 250_000_000 {
		t.Errorf("%v of the token paid in %d transactions", &sum, times)
	}
	for _, id := range []candid.Nat{r.Ok.BlockIndex, r20.Ok.CkethBlockIndex} {
		if s := u.ethStatus(id); s.TxFinalized == nil || s.TxFinalized.Success == nil {
			t.Errorf("withdrawal %v: %+v", id, s)
		}
	}
	u.run(30 * time.Second)
	for _, line := range u.w.Logs() {
		t.Log(line)
	}
}
