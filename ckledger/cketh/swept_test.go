package cketh

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holiman/uint256"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/cdk/stable"
	"fusion/ckledger/cketh/core"
	"fusion/ckledger/icrc"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// backup is the subnet at a time: the length of the minter's log and the memories of the ledgers.
type backup struct {
	events  uint64
	ledgers [][]byte
}

// withLedger replaces a ledger by a new instance, whose memory fn may read and change before.
func (u *universe) withLedger(i int, fn func(stable.Memory)) {
	u.t.Helper()
	done := false
	must(u.t, u.w.Upgrade(ledgers[i], func(c *cdk.Canister) {
		if !done {
			fn(c.Stable())
		}
		done = true
		icrc.Canister(c)
	}, nil))
}

// backup takes one. Calls to ledgers must be over.
func (u *universe) backup() (b backup) {
	u.t.Helper()
	u.quiesce()
	b.events = u.m.log.Len()
	for i := range ledgers {
		u.withLedger(i, func(m stable.Memory) {
			image := make([]byte, m.Size()*stable.PageSize)
			m.Read(image, 0)
			b.ledgers = append(b.ledgers, image)
		})
	}
	return b
}

// haveAgain checks that holders have of ether what they had.
func (u *universe) haveAgain(had map[principal.Principal]uint64) {
	u.t.Helper()
	for who, n := range had {
		if got := u.balance(0, who); got != n {
			u.t.Errorf("%v has %d wei, had %d", who, got, n)
		}
	}
}

func (u *universe) personalAddress(who principal.Principal) eth.Address {
	u.t.Helper()
	a, err := u.signer.key.Address(account(who))
	must(u.t, err)
	return a
}

// notify has the minter look at a user's deposit address.
func (u *universe) notify(who principal.Principal) string {
	u.t.Helper()
	r, err := call[TextResult](u, who, minterID, "notify_deposit", Account{Owner: who})
	must(u.t, err)
	if r.Ok == nil {
		u.t.Fatalf("notify: %s", *r.Err)
	}
	return *r.Ok
}

// payPersonal sends ether to users' deposit addresses and has it swept as far as the sweeps are sent.
func (u *universe) payPersonal(wei uint64, users ...principal.Principal) {
	u.t.Helper()
	for _, who := range users {
		u.chain.pay(u.personalAddress(who), core.AmountOf(wei))
	}
	for range 5 {
		u.chain.mine()
	}
	u.run(5 * time.Second)
	for _, who := range users {
		u.notify(who)
	}
	u.run(3 * time.Second)
	for _, who := range users {
		if t := u.m.state.SweepOf(account(who)); t == nil || !t.Latest().Sent {
			u.t.Fatalf("the sweep of %v is not sent", who)
		}
	}
}

// resume calls resume until there is nothing more to wait for.
func (u *universe) resume(nonce *uint64) (r ResumeResult) {
	u.t.Helper()
	for range 20 {
		var err error
		r, err = call[ResumeResult](u, operator, minterID, "resume", &ResumeArgs{Nonce: nonce})
		must(u.t, err)
		if r.Ok != nil || !strings.Contains(*r.Err, "call resume again") || strings.Contains(*r.Err, "Pay what is missing") {
			break
		}
		u.settle(2)
	}
	return r
}

func (u *universe) resumed() {
	u.t.Helper()
	if r := u.resume(nil); r.Ok == nil {
		u.t.Fatalf("resume: %s", *r.Err)
	}
}

func (u *universe) books() (s string) {
	tip := u.chain.tip()
	for _, a := range []core.Asset{core.Ether, usdc} {
		held := tip.balances[holding{a, u.signer.main}]
		s += fmt.Sprintf("%+v, the chain holds %v; ", u.m.state.Book(a), &held)
	}
	return s
}

func (u *universe) mints(who principal.Principal) []DepositReport {
	u.t.Helper()
	s, err := native.Query[PersonalDeposit](u.w, who, minterID, "personal_deposit_status", Account{Owner: who})
	must(u.t, err)
	for _, d := range s.Minted {
		if d.Status.Minted == nil {
			u.t.Errorf("%v: %+v", who, d)
		}
	}
	return s.Minted
}

// Users of the scenario: what the backup knows of their addresses.
var (
	known    = user(1) // a sweep that was minted
	stranger = user(2) // nothing
	replaced = user(3) // a sweep that was sent; it was replaced and mined since
	sent     = user(4) // a sweep that was sent and mined since
)

// sweepAfterBackup makes a backup, then has everybody's ether swept and minted, and gives what they have.
func (u *universe) sweepAfterBackup() (b backup, had map[principal.Principal]uint64) {
	u.t.Helper()
	u.chain.deposit(2, eth.Address{0xa0}, usdc, core.AmountOf(5000), word(alice), [32]byte{})
	u.fund(alice, 1000*milli)
	u.payPersonal(50*milli, known)
	u.settle(10)
	u.payPersonal(90*milli, replaced, sent)
	b = u.backup()
	if n := len(u.m.state.Transfers()); n != 2 || len(u.chain.pool) != 2 || u.chain.pool[0].from != u.personalAddress(replaced) {
		u.t.Fatalf("%d sweeps are open, %d sent", n, len(u.chain.pool))
	}
	late := u.chain.pool[0]
	u.chain.pool = u.chain.pool[1:]
	u.chain.mine()
	u.chain.base = core.AmountOf(60 * gwei)
	u.settle(8)
	u.chain.base = core.AmountOf(10 * gwei)
	u.settle(8)
	if u.chain.receiptOf(late.hash) != nil || u.m.state.SweepOf(account(replaced)) != nil {
		u.t.Fatal("not replaced")
	}
	u.payPersonal(40*milli, known, stranger)
	u.settle(10)
	u.payPersonal(45*milli, known)
	u.settle(10)
	had = map[principal.Principal]uint64{}
	for who, sweeps := range map[principal.Principal]int{known: 3, stranger: 1, replaced: 1, sent: 1} {
		if had[who] = u.balance(0, who); had[who] == 0 || len(u.mints(who)) != sweeps {
			u.t.Fatalf("%v has %d wei of %d sweeps", who, had[who], len(u.mints(who)))
		}
	}
	return b, had
}

// Ether at deposit addresses is swept and minted after the backup from which the subnet is restored. Every sweep is found and minted once.
func TestSweptAfterTheBackup(t *testing.T) {
	u := newUniverse(t, 35, nil)
	b, had := u.sweepAfterBackup()
	want := u.books()

	u.restore(b)
	u.settle(20)
	for who := range had {
		if who != known && u.balance(0, who) != 0 {
			t.Errorf("halted, %v has %d", who, u.balance(0, who))
		}
	}
	u.resumed()
	u.settle(10)
	for who, n := range had {
		if got := u.balance(0, who); (got == n) != (who != stranger) {
			t.Errorf("%v has %d wei, had %d", who, got, n)
		}
	}
	if left := u.m.state.Surplus(); left != core.AmountOf(had[stranger]) {
		t.Errorf("%v wei are beyond the books, the forgotten sweep brought %d", &left, had[stranger])
	}
	for i := range 3 {
		said := u.notify(stranger)
		if strings.Contains(said, "restored from a backup") != (i == 0) {
			t.Error(said)
		}
		u.settle(4)
		for who := range had {
			u.notify(who)
		}
		u.settle(4)
	}
	u.haveAgain(had)
	if n := len(u.mints(known)); n != 3 {
		t.Errorf("%d mints", n)
	}
	if left := u.m.state.Surplus(); !left.IsZero() {
		t.Errorf("%v wei are beyond the books", &left)
	}
	theirs := u.mints(stranger)[0].TransactionHash
	u.crash()
	accepted, minted := 0, 0
	for start, end := uint64(0), uint64(1); start < end; start += maxEvents {
		es, err := native.Query[Events](u.w, alice, minterID, "get_events", EventsArg{start, maxEvents})
		must(t, err)
		end = es.TotalEventCount
		for _, e := range es.Events {
			if a := e.Payload.AcceptedDeposit; a != nil && a.Principal == stranger {
				accepted++
			}
			if x := e.Payload.MintedCkEth; x != nil && x.EventSource.TransactionHash == theirs {
				minted++
			}
		}
	}
	if accepted != 1 || minted != 1 {
		t.Errorf("get_events has %d deposits of the stranger and %d mints of it", accepted, minted)
	}
	if got := u.books(); got != want {
		t.Errorf("books %s, were %s before", got, want)
	}
	u.crash()
}

// As before, and the minter dies after each message that writes into its log, from the restore to the end.
func TestSweptAfterTheBackupCrashing(t *testing.T) {
	u := newUniverse(t, 36, nil)
	b, had := u.sweepAfterBackup()
	want := u.books()
	u.restore(b)
	u.frail = true
	ask := func(who principal.Principal, method string, args ...any) { // the answer may get lost
		_, err := u.w.Submit(who, minterID, method, args...)
		must(t, err)
		u.settle(2)
	}
	for range 8 {
		for who := range had {
			ask(who, "notify_deposit", Account{Owner: who})
		}
		ask(operator, "resume", (*ResumeArgs)(nil))
	}
	u.settle(10)
	u.frail = false
	u.settle(10)
	if u.m.state.Halt() != nil || u.deaths < 50 || u.m.state.Recalled() != 4 {
		t.Fatalf("halt %+v, %d crashes, %d sweeps recalled", u.m.state.Halt(), u.deaths, u.m.state.Recalled())
	}
	u.haveAgain(had)
	if got := u.books(); got != want {
		t.Errorf("books %s, were %s before", got, want)
	}
}

// While a sweep that the log should know is not settled, resume does not weigh what is owed: its ether would be counted as anybody's.
func TestResumeWaitsForSweeps(t *testing.T) {
	u := newUniverse(t, 41, nil)
	b, had := u.sweepAfterBackup()
	all := map[principal.Principal]eth.Hash{}
	for who := range had {
		list := u.m.state.DepositsTo(account(who))
		all[who] = list[len(list)-1].Tx
	}
	u.chain.unread[all[known]], u.chain.unread[all[sent]] = true, true
	u.restore(b)
	u.settle(10)
	refused := func(words ...string) {
		t.Helper()
		r, err := call[ResumeResult](u, operator, minterID, "resume", (*ResumeArgs)(nil))
		must(t, err)
		for _, w := range words {
			if r.Err == nil || !strings.Contains(*r.Err, w) {
				t.Fatalf("want %q: %+v", w, r)
			}
		}
	}
	refused("0 of 3 deposit addresses are compared", all[known].String()+" has no receipt")
	delete(u.chain.unread, all[known])
	u.settle(4)
	refused("the sweep of the deposit address " + u.personalAddress(sent).String() + " became final")
	delete(u.chain.unread, all[sent])
	u.settle(4)
	u.chain.stall = true
	p, err := u.w.Submit(operator, minterID, "resume", (*ResumeArgs)(nil))
	must(t, err)
	u.run(3 * time.Second)
	u.notify(stranger)
	u.chain.stall = false
	u.settle(2)
	var r ResumeResult
	must(t, candid.Unmarshal(p.Answer().Data, &r))
	if r.Err == nil || !strings.Contains(*r.Err, "found meanwhile") {
		t.Fatalf("%+v", r)
	}
	u.resumed()
	u.settle(10)
	u.haveAgain(had)
}

// Holders have their addresses looked at while the minter is halted: their sweeps are in the log before resume weighs what is owed, and minted after it.
func TestNotifiedBeforeResume(t *testing.T) {
	u := newUniverse(t, 37, nil)
	b, had := u.sweepAfterBackup()
	u.restore(b)
	before := u.supply(0)
	if said := u.notify(stranger); !strings.Contains(said, "restored from a backup, and are minted") {
		t.Error(said)
	}
	u.run(3 * time.Second)
	if said := u.notify(stranger); !strings.Contains(said, "all that was moved from the address is known. The minter is halted") {
		t.Error(said)
	}
	u.settle(20)
	if after := u.supply(0); after != before {
		t.Errorf("halted, the supply changed from %v to %v", &before, &after)
	}
	u.resumed()
	u.settle(10)
	u.haveAgain(had)
}

// Ether of a sweep that the log does not know fills the hole that a forgotten payment left. Of an address that the log knows, resume finds it and sees the hole.
// Of another one it comes to light when its holder asks: then the minter owes more than it has, and halts until that is paid in.
func TestUnknownSweepsCoverNothingElse(t *testing.T) {
	for _, who := range []principal.Principal{known, stranger} {
		u := newUniverse(t, 38, nil)
		u.fund(alice, 1000*milli)
		u.payPersonal(50*milli, known)
		u.settle(10)
		b := u.backup()
		u.payPersonal(300*milli, who)
		u.settle(10)
		had := u.balance(0, who)
		if r := u.withdrawEth(alice, eth.Address{0xd0}, 250*milli); r.Ok == nil {
			t.Fatalf("%+v", r.Err)
		}
		u.settle(10)
		u.broken = true // by what the restored ledger has of alice's
		u.restore(b)
		u.broken = false
		u.settle(10)
		one := uint64(1)
		r := u.resume(&one)
		if who == stranger {
			if r.Ok == nil {
				t.Fatalf("resume: %s", *r.Err)
			}
			u.settle(4)
			u.notify(who)
			u.settle(4)
			if h := u.m.state.Halt(); h == nil || u.balance(0, who) != 0 {
				t.Fatalf("halt %+v, minted %d", h, u.balance(0, who))
			}
			r = u.resume(nil)
		}
		if r.Err == nil || !strings.Contains(*r.Err, "custody does not cover") {
			t.Fatalf("%v: it resumes and owes more than it has: %+v", who, r)
		}
		u.chain.pay(u.signer.main, core.AmountOf(250*milli))
		u.settle(8)
		u.resumed()
		u.settle(8)
		if got := u.balance(0, who); got != had {
			t.Errorf("%v has %d wei, had %d", who, got, had)
		}
		if r := u.withdrawEth(alice, eth.Address{0xd0}, 900*milli); r.Ok == nil {
			t.Fatalf("%+v", r.Err)
		}
		u.settle(10)
		u.crash()
	}
}

// A sweep of the lost time is mined only after the minter has resumed, in the place of another one that it made meanwhile: it ends as that sweep.
func TestSweepMinedAfterResume(t *testing.T) {
	u := newUniverse(t, 39, nil)
	u.fund(alice, 1000*milli)
	b := u.backup()
	u.payPersonal(80*milli, stranger)
	late := u.chain.pool[0]
	u.chain.pool = nil
	u.restore(b)
	u.settle(10)
	u.resumed()
	u.signer.refuse = 1 << 30
	u.chain.base = core.AmountOf(8 * gwei) // other fees, another transaction
	u.run(10 * time.Second)
	u.notify(stranger)
	u.settle(3)
	if x := u.m.state.SweepOf(account(stranger)); x == nil || x.Latest().Digest == late.signed.SigningHash() {
		t.Fatalf("%+v", x)
	}
	u.chain.send(*late.signed)
	u.settle(10)
	u.signer.refuse = 0
	u.settle(10)
	if h := u.m.state.Halt(); h != nil || u.balance(0, stranger) != late.signed.Value.Uint64() || len(u.mints(stranger)) != 1 {
		t.Errorf("halt %+v, %d are minted of %v", h, u.balance(0, stranger), &late.signed.Value)
	}
	u.payPersonal(60*milli, stranger)
	u.settle(10)
	if n := len(u.mints(stranger)); n != 2 {
		t.Errorf("%d mints", n)
	}
}

// A transaction of a deposit address that is no sweep: somebody else has the key, and everything stops.
func TestForeignTransactionOfDepositAddressHalts(t *testing.T) {
	u := newUniverse(t, 40, nil)
	u.fund(alice, 1000*milli)
	u.restore(u.backup())
	u.settle(6)
	u.resumed()
	u.chain.pay(u.personalAddress(stranger), core.AmountOf(50*milli))
	u.chain.mine()
	key, c := u.signer.derive(account(stranger).Path())
	tx := eth.Transaction{ChainID: core.DevGeth, GasLimit: core.GasEther, To: eth.Address{0x66}, Value: core.AmountOf(milli), MaxFeePerGas: core.AmountOf(900 * gwei), MaxPriorityFeePerGas: core.AmountOf(gwei)}
	signed, err := tx.Sign(signOtherwise(key, tx.SigningHash()), c.PublicKey[:])
	must(t, err)
	u.chain.send(signed)
	u.settle(6)
	u.notify(stranger)
	if h := u.m.state.Halt(); h == nil || !strings.Contains(h.Reason, "which is no sweep") {
		t.Errorf("halt %+v", h)
	}
	u.crash()
}

// TestRecoverySimulation restores the subnet from a backup in the midst of deposits to personal addresses, sweeps whose fees rise, withdrawals, faults of providers and
// signers, and restarts, twice in a row. The operator pays in what resume names, to the wei, and holders ask when it occurs to them. In the end every sweep on the
// chain is minted once, and after the operator's word no ledger has issued more than the chain holds.
func TestRecoverySimulation(t *testing.T) {
	seeds := uint64(5)
	if testing.Short() {
		seeds = 2
	}
	swept, recalled, short := 0, uint64(0), 0
	for seed := range seeds {
		u := newUniverse(t, 1000+seed, nil)
		u.fund(alice, 3000*milli)
		users := []principal.Principal{user(1), user(2), user(3), user(4), user(5)}
		notify := func(who principal.Principal) { // the answer may get lost
			_, err := u.w.Submit(who, minterID, "notify_deposit", Account{Owner: who})
			must(t, err)
		}
		live := func(steps int) {
			u.faults = 0.04
			for range steps {
				who := users[u.rng.IntN(len(users))]
				switch u.rng.IntN(8) {
				case 0, 1:
					u.chain.pay(u.personalAddress(who), core.AmountOf(20*milli+u.rng.Uint64N(60*milli)))
					notify(who)
				case 2:
					u.chain.base = core.AmountOf(gwei * (3 + u.rng.Uint64N(10)) << u.rng.IntN(3))
				case 3:
					_, err := u.w.Submit(alice, minterID, "withdraw_eth", WithdrawalArg{Recipient: eth.Address{0xd0, byte(u.events)}.String(), Amount: candid.NatFromUint64(30*milli + u.rng.Uint64N(40*milli))})
					must(t, err)
				case 4:
					u.cut()
				case 5:
					u.signer.leak = u.rng.IntN(3) == 0
				case 6:
					notify(who)
				}
				u.chain.mine()
				u.release()
				u.run(time.Duration(u.rng.IntN(6)) * 500 * time.Millisecond)
			}
			u.settle(1)
			u.signer.leak = false
		}
		operate := func() { // an operator who does what resume says
			u.faults = 0.04
			u.run(2 * time.Second)
			u.settle(5)
			if u.m.state.Stale() {
				u.broken = true
				nonce := u.chain.final().nonces[u.signer.main]
				r, err := call[ResumeResult](u, operator, minterID, "resume", &ResumeArgs{Nonce: &nonce})
				must(t, err)
				if r.Err != nil && strings.Contains(*r.Err, "are missing") {
					var block uint64
					var missing string
					_, err := fmt.Sscanf((*r.Err)[strings.Index(*r.Err, "block"):], "block %d, %s are missing", &block, &missing)
					must(t, err)
					u.chain.pay(u.signer.main, *uint256.MustFromDecimal(missing))
					short++
				}
			}
			u.broken = u.m.state.Stale()
		}
		for range 2 {
			live(30)
			b := u.backup()
			live(40)
			u.broken = true
			u.restore(b)
			u.chain.base = core.AmountOf(8 * gwei)
			for range 25 {
				if u.rng.IntN(3) == 0 {
					notify(users[u.rng.IntN(len(users))])
				}
				if u.rng.IntN(8) == 0 {
					u.cut()
				}
				operate()
			}
		}
		for range 2 {
			for _, who := range users {
				notify(who)
				operate()
			}
		}
		for range 20 {
			operate()
		}
		u.settle(30)
		s := u.m.state
		if s.Halt() != nil || s.Open() != 0 || s.OpenDeposits() != 0 {
			t.Fatalf("seed %d: halt %+v, %d withdrawals and %d deposits are open", seed, s.Halt(), s.Open(), s.OpenDeposits())
		}
		minted := map[core.Source]int{}
		res, err := call[icrc.GetTransactionsResponse](u, minterID, ledgers[0], "get_transactions", icrc.GetBlocksArgs{Start: *natOf(0), Length: *natOf(2000)})
		must(t, err)
		for _, b := range res.Transactions {
			if b.Mint != nil && b.Mint.Memo != nil {
				if m, err := core.ParseMintMemo(*b.Mint.Memo); err == nil && m.Convert != nil {
					minted[m.Convert.Source]++
				}
			}
		}
		owner := map[eth.Address]principal.Principal{}
		for _, who := range users {
			owner[u.personalAddress(who)] = who
		}
		for _, b := range u.chain.blocks {
			for _, tx := range b.txs {
				who, personal := owner[tx.from]
				if !personal {
					continue
				}
				swept++
				src := core.Source{Tx: tx.hash}
				if d := s.Deposit(src); minted[src] != 1 || d == nil || d.To != account(who) || d.Value != tx.signed.Value {
					t.Errorf("seed %d: sweep %v of %v is minted %d times: %+v", seed, tx.hash, who, minted[src], d)
				}
			}
		}
		supply := u.supply(0)
		supply.Add(&supply, &u.fees[0])
		if book := s.Book(core.Ether); book.Supply != supply {
			t.Errorf("seed %d: the log has a supply of %v, the ledger of %v", seed, &book.Supply, &supply)
		}
		recalled += s.Recalled()
		u.check()
		u.crash()
	}
	t.Logf("%d sweeps, %d recalled, the operator paid %d times", swept, recalled, short)
	if swept < 10*int(seeds) || recalled < 2*seeds || short == 0 {
		t.Error("the simulation does too little to mean anything")
	}
}
