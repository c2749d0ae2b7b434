package ckbtc

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/cdk/stable"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/principal"
)

// backup is what a backup of the subnet has of minter and ledger.
type backup struct {
	events uint64
	ledger fakeLedger
}

func (u *universe) backup() backup {
	l := *u.ledger
	l.balances, l.allowances, l.seen, l.blocks = maps.Clone(l.balances), maps.Clone(l.allowances), maps.Clone(l.seen), slices.Clone(l.blocks)
	return backup{u.m.log.Len(), l}
}

// restore begins again from a backup, and mines until the minter may compare log and chain.
func (u *universe) restore(b backup) {
	u.t.Helper()
	u.beginAgain(b)
	for range 6 {
		u.advance(time.Second)
		u.chain.mine()
	}
	u.advance(time.Second)
}

// beginAgain begins again from a backup.
func (u *universe) beginAgain(b backup) { u.beginAgainAs(b, 1) }

// beginAgainAs is beginAgain with the number of the recovery.
func (u *universe) beginAgainAs(b backup, number int) {
	u.t.Helper()
	u.w.Pass(instant)
	u.w.SetEnv("FUSION_RECOVERY", fmt.Sprint(number))
	*u.ledger = b.ledger
	must(u.t, u.w.Upgrade(minterID, func(c *cdk.Canister) {
		u.setup(c)
		cdk.PostUpgrade(c, func(a *MinterArg) {
			g, err := stable.Open(c.Stable())
			must(u.t, err)
			g.Memory(memoryLogIndex).Write(8, binary.LittleEndian.AppendUint64(nil, b.events)) // where a log has its length
			u.m.postUpgrade(a)
		})
	}, nil))
}

// transaction finds one in the blocks.
func (c *fakeChain) transaction(id btc.Hash) *btc.Tx {
	for _, b := range c.blocks {
		for _, tx := range b {
			if tx.Txid() == id {
				return tx
			}
		}
	}
	c.u.t.Fatalf("no block has %v", id)
	return nil
}

// named are the transactions that a refusal names.
func (u *universe) named(r ResumeResult) (ids []btc.Hash) {
	u.t.Helper()
	if r.Err == nil {
		u.t.Fatalf("it resumes: %+v", r.Ok)
	}
	for _, text := range regexp.MustCompile(`\b[0-9a-f]{64}\b`).FindAllString(*r.Err, -1) {
		id, err := btc.ParseHash(text)
		must(u.t, err)
		ids = append(ids, id)
	}
	return ids
}

func (u *universe) resumeWith(others []btc.Hash, txs ...*btc.Tx) ResumeResult {
	u.t.Helper()
	list, not := []string{}, []string{}
	for _, id := range others {
		not = append(not, id.String())
	}
	for _, tx := range txs {
		list = append(list, hex.EncodeToString(tx.Bytes()))
	}
	r, err := native.Update[ResumeResult](u.w, operator, minterID, "resume", &ResumeArgs{Transactions: &list, Others: &not})
	must(u.t, err)
	return r
}

// payIn pays the minter what an answer names, as the operator does.
func (u *universe) payIn(what, answer string) {
	u.t.Helper()
	found := regexp.MustCompile(what).FindStringSubmatch(answer)
	if found == nil {
		u.t.Fatalf("no amount in %q", answer)
	}
	var n uint64
	_, err := fmt.Sscan(found[1], &n)
	must(u.t, err)
	u.chain.fund(u.address(minterID).String(), max(n, leastRestored))
	for range 3 {
		u.chain.mine()
	}
	u.advance(time.Second)
}

// explain gives the minter what it asks for until it asks for nothing more.
func (u *universe) explain(others ...btc.Hash) (r ResumeResult, given []*btc.Tx) {
	u.t.Helper()
	for range 20 {
		if r = u.resumeWith(others, given...); r.Err == nil || !strings.Contains(*r.Err, "in hexadecimal") {
			return r, given
		}
		for _, id := range u.named(r) {
			given = append(given, u.chain.transaction(id))
		}
	}
	u.t.Fatalf("it always asks for more: %s", *r.Err)
	return r, nil
}

// The backup has withdrawals that wait, two of them alike, and one whose transaction was replaced later. All of them are paid after it, and others that it does not
// know, by transactions that spend each other's change. The restored minter asks for the transactions, finds the payments in them, and pays nothing twice; its log
// then holds what the chain holds.
func TestPaidAfterTheBackup(t *testing.T) {
	for name, c := range map[string]struct {
		settled, late uint64
		young         bool // the blocks of before the backup
	}{
		"nothing is settled":                {100, 640_000, true},
		"the deposits are settled":          {12, 640_000, false},
		"change is spent":                   {20, 300_000, false},
		"everything is settled at once":     {3, 640_000, false},
		"a small one, which a deposit pays": {20, 50_000, true},
	} {
		t.Run(name, func(t *testing.T) { paidAfterTheBackup(t, c.settled, c.late, c.young) })
	}
}

func paidAfterTheBackup(t *testing.T, settled, late uint64, young bool) {
	soon := uint64(time.Minute)
	u := newUniverse(t, 61, func(a *InitArgs) {
		deep(settled, 0)(a)
		a.Limits.ResubmissionDelayNanos = &soon
	})
	alice, bob := user(0), user(1)
	u.deposit(alice, 900_000)
	u.deposit(alice, 800_000)
	for _, who := range []principal.Principal{alice, bob} {
		u.ledger.allowances[core.Account{Owner: who}] = 1 << 40
	}
	withdraw := func(who int, to int, amount uint64) {
		t.Helper()
		if e := retrieve(u, user(who), destination(to).String(), amount); e != nil {
			t.Fatalf("%+v", e)
		}
	}
	if !young {
		u.settle(15)
	}
	u.chain.congested = true
	withdraw(0, 0, 200_000)
	for range 10 {
		u.advance(time.Second)
	}
	first := u.m.state.Payments()
	if len(first) != 1 || !first[0].Latest().Sent {
		t.Fatalf("%d payments", len(first))
	}
	withdraw(0, 1, 150_000)
	withdraw(0, 1, 150_000)
	withdraw(0, 2, 120_000)
	if n := u.m.state.Queued(); n != 3 {
		t.Fatalf("%d wait", n)
	}
	b := u.backup()

	u.deposit(bob, 700_000)
	for range 15 { // until both payments have been replaced
		u.advance(10 * time.Second)
	}
	u.chain.congested = false
	u.settle(4)
	withdraw(1, 3, late) // spends change of what was forgotten, or the deposit of bob
	u.settle(30)
	if n := u.m.state.Open(); n != 0 {
		t.Fatalf("%d are open", n)
	}
	if len(first[0].Versions) < 2 {
		t.Fatal("the first was not replaced")
	}
	paid := func() (s string) {
		for i := range 4 {
			sum, times := u.chain.paid(destination(i))
			s += fmt.Sprintf("%d×%d ", times, sum)
		}
		return s
	}
	before := paid()

	u.restore(b)
	u.isPaused(alice, "restored from a backup")
	if r := u.resume(); len(u.named(r)) == 0 {
		t.Fatalf("it does not ask: %s", *r.Err)
	}
	r, given := u.explain()
	if r.Ok == nil {
		t.Fatalf("%s", *r.Err)
	}
	if len(given) < 3 {
		t.Errorf("%d transactions explain all", len(given))
	}
	u.settle(30)
	if now := paid(); now != before {
		t.Errorf("paid %s, before the restore %s", now, before)
	}
	if n := u.m.state.Open(); n != 0 {
		t.Errorf("%d are open", n)
	}
	if u.update(bob).Ok != nil { // unless the minter spent it, what he paid in is minted again
		u.settle(4)
	}
	if log, chain := u.m.state.Custody(), u.chain.custody(); log != chain {
		t.Errorf("the log holds %d, the chain %d", log, chain)
	}
	if e := u.m.state.CheckInvariants(); e != nil {
		t.Error(e)
	}
	u.crash()
	withdraw(0, 5, 100_000)
	u.settle(20)
	if _, times := u.chain.paid(destination(5)); times != 1 {
		t.Errorf("paid %d times after all", times)
	}
}

// The restored Bitcoin canister begins where the backup ends, and there is nothing wrong yet with the log: time may pass, the minter does not resume before it shows
// blocks of after the recovery.
func TestResumeBeforeTheChainIsKnown(t *testing.T) {
	u := newUniverse(t, 64, deep(20, 0))
	alice, to := user(0), destination(1)
	u.deposit(alice, 900_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	u.chain.congested = true
	if e := retrieve(u, alice, to.String(), 400_000); e != nil {
		t.Fatal(e)
	}
	b, known := u.backup(), len(u.chain.blocks)
	for range 10 {
		u.advance(time.Second)
	}
	u.chain.congested = false
	u.settle(10)
	if _, times := u.chain.paid(to); times != 1 || u.m.state.Open() != 0 {
		t.Fatalf("paid %d times", times)
	}
	blocks, times := u.chain.blocks, u.chain.times
	u.chain.blocks, u.chain.times = blocks[:known:known], times[:known:known]
	u.errorf = func(string, ...any) {}
	u.beginAgain(b)
	for i := range 12 { // the canister gets what was mined before
		for range 100 {
			u.advance(time.Minute)
		}
		if r := u.resume(); r.Err == nil || !strings.Contains(*r.Err, "has to catch up") {
			t.Fatalf("%d blocks of before, and it resumes: %+v", i, r)
		}
		if n := known + i + 1; n <= len(blocks) {
			u.chain.blocks, u.chain.times = blocks[:n:n], times[:n:n]
		}
	}
	for i := range 6 {
		if r := u.resume(); r.Err == nil || !strings.Contains(*r.Err, "has to catch up") {
			t.Fatalf("%d blocks of after, and it resumes: %+v", i, r)
		}
		u.chain.mine()
		u.advance(time.Second)
	}
	if r, _ := u.explain(); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	u.settle(20)
	if _, times := u.chain.paid(to); times != 1 {
		t.Errorf("paid %d times", times)
	}
}

// Three of five forgotten payments spend one another's change. Each is recorded as soon as all that leads to it is known, after what it spends, and need not be given
// again then.
func TestForgottenChain(t *testing.T) {
	u := newUniverse(t, 66, deep(20, 0))
	alice := user(0)
	u.deposit(alice, 600_000)
	u.deposit(alice, 590_000)
	u.deposit(alice, 580_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	b := u.backup()
	for i, amount := range []uint64{300_000, 560_000, 550_000, 200_000, 60_000} { // the last two spend the change of the first
		if e := retrieve(u, alice, destination(i).String(), amount); e != nil {
			t.Fatal(e)
		}
		u.settle(8)
	}
	var txs []*btc.Tx
	for _, block := range u.chain.blocks {
		for _, tx := range block {
			if !isFunding(tx) {
				txs = append(txs, tx)
			}
		}
	}
	ids := func(txs ...*btc.Tx) (s []string) {
		for _, tx := range txs {
			s = append(s, tx.Txid().String())
		}
		slices.Sort(s)
		return s
	}
	if len(txs) != 5 || txs[4].Inputs[0].Prev.Txid != txs[3].Txid() || txs[3].Inputs[0].Prev.Txid != txs[0].Txid() {
		t.Fatalf("%d payments", len(txs))
	}
	u.errorf = func(string, ...any) {}
	u.restore(b)
	asks := func(given []*btc.Tx, want ...*btc.Tx) {
		t.Helper()
		r := u.resumeWith(nil, given...)
		var got []string
		for _, id := range u.named(r) {
			got = append(got, id.String())
		}
		slices.Sort(got)
		if w := ids(want...); !slices.Equal(got, w) {
			t.Fatalf("it asks for %v, want %v", got, w)
		}
		if e := u.m.state.CheckInvariants(); e != nil {
			t.Fatal(e)
		}
		u.crash()
	}
	asks(nil, txs[1], txs[2], txs[4])
	asks(txs[1:2], txs[2], txs[4])
	asks(txs[4:], txs[3], txs[2])
	asks(txs[3:], txs[0], txs[2])
	asks(txs[2:], txs[0])
	if r := u.resumeWith(nil, txs[0], txs[3], txs[4]); r.Err == nil || !strings.Contains(*r.Err, "satoshi are missing") {
		t.Fatalf("%+v", r)
	}
	var order []*btc.Tx
	for i := range u.m.log.Len() {
		e, err := core.UnmarshalEvent(u.m.log.Get(i, nil))
		must(t, err)
		if e.Recalled != nil {
			tx, err := btc.ParseTx(e.Recalled.Raw)
			must(t, err)
			order = append(order, tx)
		}
	}
	if want := []*btc.Tx{txs[1], txs[2], txs[0], txs[3], txs[4]}; !slices.EqualFunc(order, want, func(a, b *btc.Tx) bool { return a.Txid() == b.Txid() }) {
		t.Errorf("recorded were %v, want %v", ids(order...), ids(want...))
	}
	if log, chain := u.m.state.Custody(), u.chain.custody(); log != chain {
		t.Errorf("the log holds %d, the chain %d", log, chain)
	}
}

// Deposits of after the backup were minted and spent before the state was lost, by payments that the log does not know: ledger and addresses have nothing of them. Whoever
// made them gets them minted again, once, as soon as custody covers it; what others paid to the minter is nobody's deposit.
func TestDepositSpentAfterTheBackup(t *testing.T) {
	for name, c := range map[string]struct {
		waits    uint64 // of alice's withdrawal that the backup has, 0 for none
		deposits []uint64
		lost     uint64 // a withdrawal that the backup does not have
	}{
		"the payment is a withdrawal's that waits": {800_000, []uint64{700_000}, 0},
		"nothing waits":          {0, []uint64{700_000}, 1_150_000},
		"it spends nothing else": {0, []uint64{1_000_000}, 700_000},
		"two deposits":           {800_000, []uint64{400_000, 300_000}, 300_000},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUniverse(t, 65, deep(20, 0))
			alice, bob, to := user(0), user(1), destination(1)
			u.deposit(alice, 600_000)
			u.deposit(alice, 590_000)
			for _, who := range []principal.Principal{alice, bob} {
				u.ledger.allowances[core.Account{Owner: who}] = 1 << 40
			}
			u.chain.congested = true
			b := u.backup()
			if c.waits > 0 { // both outputs of alice are taken
				if e := retrieve(u, alice, destination(3).String(), 300_000); e != nil {
					t.Fatal(e)
				}
				if e := retrieve(u, alice, to.String(), c.waits); e != nil {
					t.Fatal(e)
				}
				b = u.backup()
			}
			bobs := core.Account{Owner: bob}
			var put uint64
			for _, v := range c.deposits {
				u.deposit(bob, v)
				put += v
			}
			minted := u.ledger.balances[bobs]
			for range 10 {
				u.advance(time.Second)
			}
			u.chain.congested = false
			u.settle(10)
			if c.lost > 0 {
				who := bob
				if c.lost > minted {
					who = alice
				}
				if e := retrieve(u, who, destination(2).String(), c.lost); e != nil {
					t.Fatal(e)
				}
			}
			u.settle(10)
			if _, times := u.chain.paid(destination(2)); c.lost > 0 && times != 1 {
				t.Fatalf("the lost withdrawal was paid %d times", times)
			}
			var spent uint64
			for _, op := range u.m.state.Deposits(bobs) {
				if _, there := u.chain.coins(false)[op]; !there {
					spent += u.m.state.Deposit(op).Utxo.Value
				}
			}
			if spent == 0 {
				t.Fatal("the deposits of bob are not spent")
			}

			u.errorf = func(string, ...any) {}
			u.restore(b)
			r, given := u.explain()
			if len(given) < 2 {
				t.Fatalf("%d transactions explain all", len(given))
			}
			if r.Err != nil {
				u.payIn(`(\d+) satoshi are missing`, *r.Err)
				if r, _ = u.explain(); r.Ok == nil {
					t.Fatal(*r.Err)
				}
			}
			u.settle(20)
			if got := u.ledger.balances[bobs]; got != 0 {
				t.Fatalf("bob has %d", got)
			}
			if r := u.update(alice); r.Ok != nil && len(c.deposits) > 0 {
				t.Errorf("alice gets %+v", *r.Ok)
			}
			if s, err := native.Query[[]DepositStatus](u.w, bob, minterID, "get_deposit_status", AddressArgs{}); err != nil || len(s) != len(c.deposits) || s[0].Status.Confirmed == nil {
				t.Errorf("the status of bob's deposits: %+v, %v", s, err)
			}
			for range 5 {
				a := u.update(bob)
				u.crash()
				if a.Err == nil || a.Err.TemporarilyUnavailable == nil {
					continue
				}
				if !strings.Contains(*a.Err.TemporarilyUnavailable, "lost when it was restored") {
					t.Fatalf("%+v", *a.Err.TemporarilyUnavailable)
				}
				u.payIn(`has to pay (\d+) satoshi`, *a.Err.TemporarilyUnavailable)
				if r = u.resume(); r.Ok == nil {
					t.Fatal(*r.Err)
				}
			}
			u.settle(5)
			if got := u.ledger.balances[bobs]; got != minted {
				t.Errorf("bob has %d, and had %d before the restore", got, minted)
			}
			if r := u.update(bob); r.Ok != nil {
				t.Errorf("once more: %+v", *r.Ok)
			}
			if n, _ := u.m.state.Orphanage(); n != 0 {
				t.Errorf("%d orphans are left", n)
			}
			if e := u.m.state.CheckInvariants(); e != nil {
				t.Error(e)
			}
			if supply, custody := u.ledger.supply, u.chain.custody(); supply > custody {
				t.Errorf("supply %d, custody %d", supply, custody)
			}
			if e := retrieve(u, bob, destination(5).String(), minted); e != nil {
				t.Fatal(e)
			}
			u.settle(20)
			if _, times := u.chain.paid(destination(5)); times != 1 {
				t.Errorf("bob's withdrawal was paid %d times", times)
			}
			if log, chain := u.m.state.Custody(), u.chain.custody(); chain-log >= leastRestored { // change that is smaller stays where it is
				t.Errorf("the log holds %d, the chain %d", log, chain)
			}
		})
	}
}

// What the forgotten payments paid besides comes out of custody: the minter records the withdrawal that it knows, names the rest, and goes on when what is missing is there.
func TestForgottenPaymentsOfOthers(t *testing.T) {
	u := newUniverse(t, 62, deep(20, 0))
	alice := user(0)
	u.deposit(alice, 900_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	known, lost := destination(1), destination(2)
	if e := retrieve(u, alice, known.String(), 400_000); e != nil {
		t.Fatal(e)
	}
	b := u.backup()
	if e := retrieve(u, alice, lost.String(), 300_000); e != nil {
		t.Fatal(e)
	}
	for range 10 {
		u.advance(time.Second)
	}
	if n := u.m.state.Queued(); n != 0 {
		t.Fatalf("%d wait", n)
	}
	u.errorf = func(string, ...any) {}
	u.beginAgain(b)
	u.chain.congested = true
	for i := range 6 {
		u.advance(time.Second)
		u.chain.mine()
		u.chain.congested = i < 4
	}
	u.chain.fund(u.m.main.String(), 500) // which keeps nobody waiting
	u.chain.mine()
	if r, _ := u.explain(); r.Err == nil || !strings.Contains(*r.Err, "less than 3 confirmations") {
		t.Fatalf("%+v", r)
	}
	u.chain.mine()
	u.chain.fund(u.m.main.String(), 600)
	u.chain.mine()
	r, _ := u.explain()
	for _, want := range []string{"satoshi are missing", "no withdrawal that the log knows explains", ":1 (", u.m.main.String()} {
		if r.Err == nil || !strings.Contains(*r.Err, want) {
			t.Fatalf("want %q: %+v", want, *r.Err)
		}
	}
	if again := u.resume(); again.Err == nil || !strings.Contains(*again.Err, "satoshi are missing") { // nothing has to be given twice
		t.Fatalf("%+v", again)
	}
	if u.m.state.Queued() != 0 || u.m.state.Paused() == "" {
		t.Errorf("%d wait, paused %q", u.m.state.Queued(), u.m.state.Paused())
	}
	var missing uint64
	if _, err := fmt.Sscan(regexp.MustCompile(`(\d+) satoshi are missing`).FindStringSubmatch(*r.Err)[1], &missing); err != nil || missing < 290_000 || missing > 300_000 {
		t.Fatalf("%d are missing: %v", missing, err)
	}
	u.chain.fund(u.m.main.String(), missing-1)
	for range 3 {
		u.chain.mine()
	}
	u.advance(time.Second)
	if r, _ := u.explain(); r.Err == nil || !strings.Contains(*r.Err, "satoshi are missing") {
		t.Fatalf("a satoshi short: %+v", r)
	}
	u.chain.fund(u.m.main.String(), 2000)
	for range 3 {
		u.chain.mine()
	}
	u.advance(time.Second)
	if r, _ := u.explain(); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	u.settle(20)
	for _, a := range []btc.Address{known, lost} {
		if _, times := u.chain.paid(a); times != 1 {
			t.Errorf("%v was paid %d times", a, times)
		}
	}
	if log, chain := u.m.state.Custody(), u.chain.custody(); log != chain-500-600 { // what is small is left alone
		t.Errorf("the log holds %d, the chain %d", log, chain)
	}
	u.crash()
}

// A forgotten payment is to the address of a withdrawal that waits and of another amount: the minter does not guess.
func TestForgottenPaymentOfAnotherAmount(t *testing.T) {
	u := newUniverse(t, 63, deep(20, 0))
	alice := user(0)
	u.deposit(alice, 900_000)
	u.ledger.allowances[core.Account{Owner: alice}] = 1 << 40
	to := destination(1)
	first := u.backup()
	if e := retrieve(u, alice, to.String(), 200_000); e != nil { // not in the backup
		t.Fatal(e)
	}
	for range 10 {
		u.advance(time.Second)
	}
	for range 3 {
		u.chain.mine()
	}
	raw := u.chain.blocks[len(u.chain.blocks)-3][0]
	u.restore(first)
	// In this log the address waits for more.
	from := core.Account{Owner: alice}
	u.ledger.supply, u.ledger.balances[from] = u.ledger.supply-500_000, u.ledger.balances[from]-500_000
	u.m.emit(core.Event{BurnAsked: &core.BurnAsked{Number: u.m.state.NextBurn(), From: from, Refund: from, Amount: 500_000, Address: to.String(), CreatedAt: u.m.state.Stamp(u.w.Now())}})
	u.m.emit(core.Event{Accepted: &core.Accepted{Number: u.m.state.NextBurn() - 1, BlockIndex: 77, Amount: 500_000, Address: to.String(), Refund: from}})
	r, _ := u.explain()
	if ids := u.named(r); len(ids) != 1 || ids[0] != raw.Txid() || !strings.Contains(*r.Err, "withdrawal 77, which waits for 500000") || u.m.state.Paused() == "" {
		t.Fatalf("%s", *r.Err)
	}
	if r, _ = u.explain(raw.Txid()); r.Err == nil || !strings.Contains(*r.Err, "satoshi are missing") || u.m.state.Queued() != 1 {
		t.Fatalf("%+v", r)
	}
	u.chain.fund(u.m.main.String(), 300_000)
	for range 3 {
		u.chain.mine()
	}
	if r, _ = u.explain(); r.Ok == nil {
		t.Fatal(*r.Err)
	}
	u.settle(20)
	if _, times := u.chain.paid(to); times != 2 {
		t.Errorf("paid %d times", times)
	}
	if log, chain := u.m.state.Custody(), u.chain.custody(); log != chain {
		t.Errorf("the log holds %d, the chain %d", log, chain)
	}
}
