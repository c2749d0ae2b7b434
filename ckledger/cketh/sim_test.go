package cketh

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"fusion/ckledger/cketh/core"
	"fusion/ckledger/icrc"
	"fusion/eth"
	"fusion/ic/candid"
)

// TestSimulation runs deposits of all kinds and withdrawals of several users through a year of faults, scaled down: providers fail, disagree and lag, replies of
// ledgers are late or lost, signatures fail or leak, blocks are reorganised below finality, fees rise faster than replacements, recipients and tokens revert, tokens
// take back what the minter has of them, which pauses them until an operator resumes, and the minter restarts from its log between any two messages. After each event the invariants hold and no ledger has issued more than the chain holds; in the
// end every withdrawal was paid once or refunded, and no deposit was minted twice. FUSION_SIM_SEEDS sets how many seeds are run.
func TestSimulation(t *testing.T) {
	seeds := 8
	if testing.Short() {
		seeds = 2
	}
	if text := os.Getenv("FUSION_SIM_SEEDS"); text != "" {
		var err error
		seeds, err = strconv.Atoi(text)
		must(t, err)
	}
	var total tally
	ran := 0 // -run may choose
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			ran++
			total.add(simulate(t, uint64(seed)))
		})
	}
	t.Logf("%+v", total)
	if total.deposits < 8*ran || total.paid < 3*ran || total.refunded < ran/2 || total.sweeps < ran/4 || ran > 5 && (total.paused == 0 || total.resumed == 0) {
		t.Error("the simulation does too little to mean anything")
	}
}

type tally struct{ deposits, sweeps, paid, refunded, replaced, adopted, paused, resumed, filled int }

func (a *tally) add(b tally) {
	a.deposits, a.sweeps, a.paid = a.deposits+b.deposits, a.sweeps+b.sweeps, a.paid+b.paid
	a.refunded, a.replaced, a.adopted = a.refunded+b.refunded, a.replaced+b.replaced, a.adopted+b.adopted
	a.paused, a.resumed, a.filled = a.paused+b.paused, a.resumed+b.resumed, a.filled+b.filled
}

func simulate(t *testing.T, seed uint64) tally {
	abandon := uint64(3600)
	u := newUniverse(t, seed, func(a *InitArg) { a.AbandonSeconds = &abandon })
	const users = 3
	for i := range users {
		for j, token := range []eth.Address{{}, usdc, odd} {
			u.chain.deposit(2, eth.Address{0xa0, byte(i)}, token, core.AmountOf([]uint64{2000 * milli, 1e9, 1e9}[j]), word(user(i)), [32]byte{})
		}
	}
	u.settle(8)
	for i := range users {
		for l := range ledgers {
			u.approve(l, user(i))
		}
	}
	u.faults = 0.12
	withdrawals := 0
	seized, paused := map[eth.Address]bool{}, map[eth.Address]bool{}
	resume := true
	var n tally
	target := func() eth.Address {
		withdrawals++
		if u.rng.IntN(12) == 0 {
			return reverts
		}
		return eth.Address{0xd0, byte(withdrawals >> 8), byte(withdrawals)}
	}
	for step := range 220 {
		who := u.rng.IntN(users)
		from := eth.Address{0xa0, byte(who)}
		switch u.rng.IntN(18) {
		case 0:
			u.chain.deposit(u.rng.IntN(2)*2, from, eth.Address{}, core.AmountOf(u.rng.Uint64N(500*milli)+1), word(user(who)), [32]byte{})
		case 1:
			token := []eth.Address{usdc, odd}[u.rng.IntN(2)]
			u.chain.deposit(1+u.rng.IntN(2), from, token, core.AmountOf(u.rng.Uint64N(1e9)+1000), word(user(who)), [32]byte{})
		case 2:
			bad := [32]byte{30, 1, 2, 3} // no principal is that long
			u.chain.deposit(2, from, eth.Address{}, core.AmountOf(gwei), bad, [32]byte{})
		case 3, 4, 5:
			u.chain.mine()
		case 6:
			u.chain.reorg(1 + u.rng.IntN(2)) // three blocks are final
		case 7:
			_, err := u.w.Submit(user(who), minterID, "withdraw_eth", WithdrawalArg{Recipient: target().String(), Amount: candid.NatFromUint64(30*milli + u.rng.Uint64N(100*milli))})
			must(t, err)
		case 8, 9:
			l := 1 + u.rng.IntN(2)
			_, err := u.w.Submit(user(who), minterID, "withdraw_erc20", WithdrawErc20Arg{Recipient: target().String(), Amount: candid.NatFromUint64(1 + u.rng.Uint64N(1e8)), LedgerID: gates[l]})
			must(t, err)
		case 10:
			u.cut()
		case 11:
			u.release()
		case 12: // fees move by up to a factor of four
			u.chain.base = core.AmountOf(gwei * (3 + u.rng.Uint64N(10)) << u.rng.IntN(3))
		case 13:
			u.chain.oddFails, u.chain.lagging, u.down = u.rng.IntN(3) == 0, u.rng.IntN(4) == 0, u.rng.IntN(8) == 0
		case 14:
			addr, err := u.signer.key.Address(account(user(who)))
			must(t, err)
			u.chain.pay(addr, core.AmountOf(u.rng.Uint64N(60*milli)+1))
			_, err = u.w.Submit(user(who), minterID, "notify_deposit", Account{Owner: user(who)})
			must(t, err)
		case 15:
			u.signer.leak = u.rng.IntN(3) == 0
			if step%5 == 0 {
				u.chain.huge[u.chain.tip().number+1] = true
			}
		case 16:
			token := []eth.Address{usdc, odd}[u.rng.IntN(2)]
			if seized[token] || u.rng.IntN(3) == 0 {
				u.chain.seize(token, seized[token])
				seized[token] = !seized[token]
			}
		case 17: // an operator who does not always look
			if (paused[usdc] || paused[odd]) && u.rng.IntN(2) == 0 {
				n.resumed++
				u.cut(MinterArg{Upgrade: &UpgradeArg{Resume: &resume}})
			}
		}
		u.run(time.Duration(u.rng.IntN(4)) * 500 * time.Millisecond)
		for _, token := range []eth.Address{usdc, odd} {
			now := u.m.state.Paused(token) != ""
			if now && !paused[token] {
				n.paused++
			}
			paused[token] = now
		}
		u.check()
	}
	u.chain.oddFails, u.chain.lagging, u.signer.leak = false, false, false
	u.chain.base = core.AmountOf(8 * gwei)
	for range 10 { // blocks may have turned the order of taking and giving round
		for _, token := range []eth.Address{usdc, odd} {
			u.chain.seize(token, true)
		}
		u.settle(4)
	}
	if u.m.state.Paused(usdc)+u.m.state.Paused(odd) != "" {
		n.resumed++
		u.crash(MinterArg{Upgrade: &UpgradeArg{Resume: &resume}})
	}
	for range 75 { // what waits after failures has its turn; what fees have outgrown is given up
		u.run(time.Minute)
		u.chain.mine()
	}
	u.settle(10)
	n.add(u.finish())
	return n
}

// finish checks the end: nothing is open, and ledgers, log and chain agree.
func (u *universe) finish() (n tally) {
	t, s := u.t, u.m.state
	if s.Halt() != nil {
		t.Fatalf("halted: %s", s.Halt().Reason)
	}
	if s.Open() != 0 || s.OpenDeposits() != 0 {
		t.Errorf("%d withdrawals and %d deposits are still open: %+v", s.Open(), s.OpenDeposits(), s.Tasks(u.w.Now()))
	}
	for _, line := range u.w.Logs() {
		if strings.Contains(line, "audit: block") {
			t.Error(line)
		}
	}
	minted := map[core.Source]int{}
	want := map[[2]eth.Address]int{}
	for i, a := range []core.Asset{core.Ether, usdc, odd} {
		supply := u.supply(i)
		supply.Add(&supply, &u.fees[i]) // what users paid the ledger for approvals is gone
		if book := s.Book(a); book.Supply != supply {
			t.Errorf("%s: the log has a supply of %v, the ledger of %v", s.Symbol(a), &book.Supply, &supply)
		}
		res, err := call[icrc.GetTransactionsResponse](u, minterID, ledgers[i], "get_transactions", icrc.GetBlocksArgs{Start: *natOf(0), Length: *natOf(2000)})
		must(t, err)
		for index, b := range res.Transactions {
			if b.Mint == nil || b.Mint.Memo == nil {
				continue
			}
			m, err := core.ParseMintMemo(*b.Mint.Memo)
			must(t, err)
			switch {
			case m.Convert != nil:
				minted[m.Convert.Source]++
				d := s.Deposit(m.Convert.Source)
				if d == nil || d.State != core.DepositMinted || d.Minted != uint64(index) || d.Asset != a {
					t.Errorf("block %d of %s mints for deposit %v, the log says %+v", index, s.Symbol(a), m.Convert.Source, d)
					continue
				}
				if n.deposits++; d.Sweep != 0 {
					n.sweeps++
				}
				if r := u.chain.receiptOf(d.Source.Tx); r == nil || !r.success {
					t.Errorf("deposit %v was minted and is not in the chain", d.Source)
				}
			default:
				n.refunded++
			}
		}
	}
	for src, times := range minted {
		if times != 1 {
			t.Errorf("deposit %v was minted %d times", src, times)
		}
	}
	for number := uint64(1); number < s.NextRequest(); number++ {
		r := s.Request(number)
		if r == nil {
			continue // refused by the ledger
		}
		if r.Receipt != nil && r.Receipt.Version > 0 {
			n.replaced++
		}
		if r.Filled {
			n.filled++
		}
		if r.Receipt != nil && u.signer.leaked[r.Receipt.Hash] {
			n.adopted++
		}
		pays := 0
		switch r.State {
		case core.RequestSucceeded:
			n.paid++
			pays = 1
		case core.RequestRefunded:
		default:
			t.Errorf("withdrawal %d ends in state %d", r.ID, r.State)
		}
		if r.To != reverts {
			want[[2]eth.Address{r.Asset, r.To}] += pays
		}
	}
	for k, times := range want {
		if _, got := u.chain.paid(k[0], k[1]); got != times {
			t.Errorf("%v is paid %d times, the log says %d", k[1], got, times)
		}
	}
	u.crash() // once more: the log alone gives the same
	return n
}
