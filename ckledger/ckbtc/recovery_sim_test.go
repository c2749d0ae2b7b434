package ckbtc

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/cdk/native"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/principal"
)

// reviver is an operator, and users, of a minter that is restored from backups.
type reviver struct {
	*universe
	users   []principal.Principal
	wanted  map[string]uint64 // by address: what withdrawals were to pay
	funded  map[btc.Outpoint]uint64
	given   []string // transactions, of this recovery
	topUps  int      // payments of the operator
	asked   int      // transactions that resume asked for
	claimed int      // answers that a deposit waits for cover
}

// fundUser pays to an account's address.
func (v *reviver) fundUser(who principal.Principal) {
	v.t.Helper()
	value := 60_000 + v.rng.Uint64N(800_000)
	v.chain.fund(v.address(who).String(), value)
	v.funded[btc.Outpoint{Txid: v.chain.pool[len(v.chain.pool)-1].Txid()}] = value
}

// live lets users come and go.
func (v *reviver) live(steps int) {
	v.t.Helper()
	v.faults = 0.05
	for range steps {
		who := v.users[v.rng.IntN(len(v.users))]
		v.ledger.allowances[core.Account{Owner: who}] = 1 << 40
		switch v.rng.IntN(8) {
		case 0, 1:
			v.fundUser(who)
		case 2, 3:
			v.submit(who, "update_balance", AddressArgs{})
		case 4, 5:
			if has := v.ledger.balances[core.Account{Owner: who}]; has > 30_000 {
				to, amount := destination(len(v.wanted)).String(), 30_000+v.rng.Uint64N(has-30_000+1)
				v.wanted[to] = amount
				v.submit(who, "retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{Address: to, Amount: amount})
			}
		case 6:
			v.chain.congested = v.rng.IntN(3) == 0
		case 7:
			v.cut()
		}
		if v.rng.IntN(2) == 0 {
			v.chain.mine()
		}
		v.release()
		v.advance(time.Duration(v.rng.IntN(20)) * time.Second)
		v.check()
	}
	v.faults, v.chain.congested = 0, false
}

// submit calls the minter; the answer may get lost.
func (v *reviver) submit(who principal.Principal, method string, arg any) {
	v.t.Helper()
	_, err := v.w.Submit(who, minterID, method, arg)
	must(v.t, err)
}

// drain mines what was sent before the state is lost. A payment that is in no block then is what a minter cannot know.
func (v *reviver) drain() {
	v.held = nil
	for len(v.chain.pool) > 0 {
		n := len(v.chain.pool)
		if v.chain.mine(); len(v.chain.pool) == n {
			v.t.Fatalf("%d transactions are stuck", n)
		}
	}
}

// revive does what resume asks for until it is done.
func (v *reviver) revive() {
	v.t.Helper()
	v.given = []string{}
	for range 200 {
		for len(v.held) > 0 {
			v.release()
		}
		v.advance(time.Second)
		v.chain.mine()
		if v.rng.IntN(6) == 0 {
			v.chain.fund(v.address(minterID).String(), 400+v.rng.Uint64N(300)) // somebody's dust
		}
		if v.rng.IntN(6) == 0 {
			v.crash()
		}
		if v.rng.IntN(3) == 0 {
			v.submit(v.users[v.rng.IntN(len(v.users))], "update_balance", AddressArgs{})
		}
		r, err := native.Update[ResumeResult](v.w, operator, minterID, "resume", &ResumeArgs{Transactions: &v.given})
		must(v.t, err)
		if r.Ok != nil {
			return
		}
		switch {
		case strings.Contains(*r.Err, "in hexadecimal"):
			for _, id := range v.named(r) {
				v.given = append(v.given, hex.EncodeToString(v.chain.transaction(id).Bytes()))
				v.asked++
			}
		case strings.Contains(*r.Err, "satoshi are missing"):
			v.payIn(`(\d+) satoshi are missing`, *r.Err)
			v.topUps++
		case v.rng.IntN(2) == 0: // what was placed need not be given again, and what was not is asked for again
			v.given = []string{}
		}
	}
	v.t.Fatal("it never resumes")
}

// Backups are taken in the midst of deposits, withdrawals, replacements by fee, crashes and lost answers, and the subnet begins again from them, twice in a row. The operator
// gives the transactions and pays what is missing, to the satoshi, while others pay dust. In the end each deposit that anybody ever made is minted once in the ledger that is left, each withdrawal in it
// is paid or refunded once, none that was ever asked for is paid twice, and after the operator's word the ledger has at no time issued more than the chain holds.
func TestRecoverySimulation(t *testing.T) {
	first, seeds := simulated(t)
	var topUps, asked, claimed int
	for seed := first; seed < first+seeds; seed++ {
		u := newUniverse(t, uint64(2000+seed), func(a *InitArgs) {
			deep(20, 0)(a)
			soon := uint64(time.Minute)
			a.Limits.ResubmissionDelayNanos = &soon
		})
		v := &reviver{universe: u, wanted: map[string]uint64{}, funded: map[btc.Outpoint]uint64{}}
		for i := range 5 {
			v.users = append(v.users, user(i))
			u.deposit(user(i), 500_000)
		}
		for i := range 2 {
			v.live(60)
			b := u.backup()
			v.live(60)
			v.drain()
			u.beginAgainAs(b, i+1)
			v.revive()
			u.check()
		}
		for round := 0; ; round++ {
			u.settle(6)
			waits := false
			for _, who := range v.users {
				r := u.update(who)
				waits = waits || r.Err == nil || r.Err.NoNewUtxos == nil
				if r.Err == nil || r.Err.TemporarilyUnavailable == nil {
					continue
				}
				v.claimed++
				v.payIn(`has to pay (\d+) satoshi`, *r.Err.TemporarilyUnavailable)
				v.topUps++
				v.given = []string{}
				if r := u.resume(); r.Ok == nil {
					t.Fatalf("seed %d: %s", seed, *r.Err)
				}
			}
			if !waits && u.m.state.Open() == 0 {
				break
			}
			if round == 100 {
				t.Fatalf("seed %d: %d withdrawals are open", seed, u.m.state.Open())
			}
		}
		u.audit(v.wanted)
		mints := map[btc.Outpoint]int{}
		for _, b := range u.ledger.blocks {
			if !b.mint {
				continue
			}
			m, err := core.ParseMintMemo(b.memo)
			must(t, err)
			if m.Convert != nil {
				mints[btc.Outpoint{Txid: btc.Hash(m.Convert.Txid), Vout: *m.Convert.Vout}]++
			}
		}
		for op, value := range v.funded {
			if mints[op] != 1 {
				t.Errorf("seed %d: deposit %v of %d is minted %d times", seed, op, value, mints[op])
			}
		}
		for to := range v.wanted {
			a, err := btc.ParseAddress(btc.Regtest, to)
			must(t, err)
			if _, times := u.chain.paid(a); times > 1 {
				t.Errorf("seed %d: %s was paid %d times", seed, to, times)
			}
		}
		log, chain := u.m.state.Custody(), u.chain.custody()
		for op, c := range u.chain.coins(false) { // what is small is left alone
			if x := (core.Utxo{Txid: op.Txid, Vout: op.Vout, Value: uint64(c.out.Value)}); u.chain.mine1[string(c.out.Script)] && x.Value < leastRestored && u.m.state.Foreign(x) {
				chain -= x.Value
			}
		}
		if log != chain {
			t.Errorf("seed %d: the log holds %d, the chain %d", seed, log, chain)
		}
		topUps, asked, claimed = topUps+v.topUps, asked+v.asked, claimed+v.claimed
	}
	t.Logf("%d transactions given, %d payments of the operator, %d deposits that waited for cover", asked, topUps, claimed)
	if asked < 5*seeds || topUps == 0 || claimed == 0 {
		t.Error("the simulation does too little to mean anything")
	}
}
