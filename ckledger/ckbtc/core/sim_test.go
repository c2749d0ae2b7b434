package core

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/ic/principal"
)

// The simulation drives the state machine with a modelled ledger and a modelled chain in place of canisters, so that ten thousand runs take seconds: deposits that are spent
// otherwise, to both kinds of addresses, reorganisations of any depth up to and beyond that at which outputs are settled, evictions, fee spikes, outages of the Bitcoin
// canister, a checker that is silent or changes its mind, lost and late answers of the ledger, outcomes that nobody knows until its blocks are read, crashes and
// upgrades to other modes between any two events. simulated is one such world.
type simulated struct {
	seed   uint64
	rng    *rand.Rand
	s      *State
	log    [][]byte
	now    uint64
	faults float64
	bug    string // what is broken on purpose
	broken bool   // it happened
	// A run that fails is made again with a trace.
	tracing bool
	trace   []string

	chain  [][]*btc.Tx
	pool   []*btc.Tx
	kept   []*btc.Tx                // deposits that were taken back, and that their senders may send again
	utxos  map[btc.Outpoint]simCoin // of the chain; nil when to be computed again
	funded uint64
	rate   uint64
	rates  map[btc.Hash]uint64 // fee rates of our transactions
	resets uint64              // of the Bitcoin canister
	epoch  int                 // counts changes of the chain
	viewed int                 // the last one that the minter has seen

	blocks   []LedgerBlock
	stamps   map[uint64]uint64 // stamp → block
	mints    map[btc.Outpoint]int
	refunds  map[uint64]int
	balances [simUsers]uint64
	fees     uint64 // of the account that pays for consolidations
	supply   uint64
	tainted  map[btc.Outpoint]bool   // the checker's last word
	spentBy  map[btc.Outpoint]uint64 // inputs of payments, ever
	mined    map[uint64]bool         // payments that are final, as far as the log knows
	stats    simStats
}

type simStats struct {
	Deposits, Taproot, Paid, Refunded, Cancelled, Merged, Replaced                 int // what the minter does
	Small, Tainted, Relented, Silent                                               int // what the checker says of deposits
	Reorgs, Deep, DoubleSpent, Vanished, Reversed, Halts, Resets                   int // what Bitcoin takes back; deep ones reach what was minted
	Resumed, Waits, Named, Back                                                    int // what operators do about it; payments that nothing can kill wait until an operator names what they spend, or it is back
	Spikes, Evicted, Outages, Crashes, Upgrades, ReadOnly, Unknown, NotMoved, Lost int // what goes wrong
}

// missing names what never happened.
func (a simStats) missing() (names []string) {
	v := reflect.ValueOf(a)
	for i := range v.NumField() {
		if v.Field(i).Int() == 0 {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

func (a *simStats) add(b simStats) {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b)
	for i := range x.NumField() {
		x.Field(i).SetInt(x.Field(i).Int() + y.Field(i).Int())
	}
}

type simCoin struct {
	out    btc.TxOut
	height uint32
}

const (
	simUsers         = 3
	simConfirmations = 2
	simSettled       = 6
)

var (
	simKey = func() PublicKey {
		k := PublicKey{Key: [33]byte(mustHex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))}
		return PublicKey{Key: k.Key, Schnorr: &k}
	}()
	simAccounts = func() (as [simUsers]Account) {
		for i := range as {
			as[i] = Account{Owner: principal.FromUint64(uint64(100 + i))}
		}
		return as
	}()
	simScriptOf, simScripts = func() (of map[Place][]byte, at map[string]Place) { // of the minter
		of, at = map[Place][]byte{}, map[string]Place{}
		for _, a := range append(simAccounts[:], minter) {
			for _, p := range []Place{{a, false}, {a, true}} {
				address := simKey.Address
				if p.Taproot {
					address = simKey.TaprootAddress
				}
				addr, err := address(btc.Regtest, a)
				if err != nil {
					panic(err)
				}
				of[p], at[string(addr.Script())] = addr.Script(), p
			}
		}
		return of, at
	}()
)

// failed is how a check ends a run.
type failed struct{ text string }

func (w *simulated) fail(format string, args ...any) { panic(failed{fmt.Sprintf(format, args...)}) }

func (w *simulated) note(format string, args ...any) {
	if !w.tracing {
		return
	}
	w.trace = append(w.trace, fmt.Sprintf("t=%d h=%d: ", w.now/1e9, len(w.chain)-1)+fmt.Sprintf(format, args...))
}

func newSimulated(seed uint64, bug string) *simulated {
	w := &simulated{seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), bug: bug, now: 1e18, faults: 0.2, rate: 5000, chain: make([][]*btc.Tx, 8), s: NewState(minter),
		rates: map[btc.Hash]uint64{}, stamps: map[uint64]uint64{}, mints: map[btc.Outpoint]int{}, refunds: map[uint64]int{},
		tainted: map[btc.Outpoint]bool{}, spentBy: map[btc.Outpoint]uint64{}, mined: map[uint64]bool{}}
	cfg := Config{Network: btc.Regtest, Ledger: []byte{1}, KeyName: "k", SchnorrKey: "k", RetrieveMin: 10_000, Confirmations: simConfirmations, MaxInputs: 6, Consolidate: 100, Limits: DefaultLimits(btc.Regtest)}
	cfg.Consolidate, cfg.ConsolidateInputs, cfg.ConsolidateEvery, cfg.CancelAfter = 5, 4, 60*second, 50*second
	cfg.SettleAfter, cfg.MinBatch, cfg.MaxTimeInQueue, cfg.ResubmitAfter = simSettled, 2, 4*second, 40*second
	cfg.Suspend = 40 * second
	w.emit(Event{Init: &cfg})
	return w
}

// open gives the users something to begin with.
func (w *simulated) open() {
	for _, a := range simAccounts {
		w.fund(Place{a, false}, 20_000+w.rng.Uint64N(200_000))
		w.fund(Place{a, true}, 15_000+w.rng.Uint64N(30_000))
	}
	for range 1 + w.rng.IntN(4) {
		w.mine()
	}
	for _, a := range simAccounts {
		w.update(a)
	}
	w.tasks()
	w.fees = w.balances[0] / 5 // fees of transfers
	w.balances[0] -= w.fees
}

func (w *simulated) chance(p float64) bool { return w.rng.Float64() < p }

// emit writes an event, applies it, and checks that everything still holds.
func (w *simulated) emit(e Event) {
	e.Time = w.now
	w.log = append(w.log, e.Marshal())
	waited := w.waiting()
	if err := w.s.Apply(&e); err != nil {
		w.fail("%v", err)
	}
	if w.bug == "" {
		if err := w.s.CheckInvariants(); err != nil {
			w.fail("%v", err)
		}
	}
	v := reflect.ValueOf(e)
	for i := 1; w.tracing && i < v.NumField(); i++ {
		if f := v.Field(i); !f.IsNil() {
			w.note("%s %v", v.Type().Field(i).Name, f.Elem())
		}
	}
	switch {
	case e.Reversed != nil:
		w.mined[*e.Reversed] = false
		w.stats.Reversed++
	case e.Vanished != nil:
		w.stats.Vanished++
		w.break1("mint twice", func() bool { // forgets that it minted: the deposit looks new when it comes back
			d := w.s.deposits[*e.Vanished]
			delete(w.s.deposits, *e.Vanished)
			delete(w.s.watched, *e.Vanished)
			return d != nil
		})
		w.break1("go on in a deficit", func() bool {
			delete(w.s.watched, *e.Vanished)
			return w.s.deposits[*e.Vanished] != nil
		})
	case e.Prepared != nil && e.Prepared.Version == 0:
		for _, u := range e.Prepared.Inputs {
			if id := w.spentBy[u.Outpoint()]; w.s.payments[id] != nil || w.mined[id] {
				w.fail("payment %d spends %v as payment %d did", e.Prepared.Payment, u.Outpoint(), id)
			}
			w.spentBy[u.Outpoint()] = e.Prepared.Payment
		}
	case e.Confirmed != nil:
		w.mined[e.Confirmed.Payment] = true
	case e.Prepared != nil && e.Prepared.Kind == Cancels:
		w.stats.Cancelled++
	case e.Prepared != nil:
		w.stats.Replaced++
	case e.Returned != nil && waited > 0 && w.waiting() < waited:
		w.stats.Back++
	case e.Resumed != nil:
		w.stats.Resumed++
		w.stats.Waits += max(w.waiting()-waited, 0)
		w.stats.Named += max(waited-w.waiting(), 0)
	}
}

// waiting counts the payments that spend only what was written off.
func (w *simulated) waiting() (n int) {
	for _, p := range w.s.payments {
		if w.s.waits(p) != nil {
			n++
		}
	}
	return n
}

// break1 makes a mistake once.
func (w *simulated) break1(bug string, fn func() bool) {
	if w.bug == bug && !w.broken && fn() {
		w.broken = true
		w.note("BUG: %s", bug)
	}
}

// crash builds the state again from the log.
func (w *simulated) crash() {
	if w.broken {
		return // the mistake is not in the log
	}
	w.stats.Crashes++
	again := NewState(minter)
	for _, b := range w.log {
		e, err := UnmarshalEvent(b)
		if err == nil {
			err = again.Apply(&e)
		}
		if err != nil {
			w.fail("replay: %v", err)
		}
	}
	if a, b := fmt.Sprint(w.s.Tasks(), w.s.Custody(), w.s.Deficit(), w.s.Shortfall(), w.s.Unsettled()), fmt.Sprint(again.Tasks(), again.Custody(), again.Deficit(),
		again.Shortfall(), again.Unsettled()); a != b || !reflect.DeepEqual(w.s.watched, again.watched) || !reflect.DeepEqual(w.s.spends, again.spends) {
		w.fail("replay gives another state:\n%s\n%s", a, b)
	}
	w.s = again
}

// coins is what the chain holds.
func (w *simulated) coins() map[btc.Outpoint]simCoin {
	if w.utxos == nil {
		w.utxos = map[btc.Outpoint]simCoin{}
		for h, b := range w.chain {
			for _, tx := range b {
				spend(w.utxos, tx, uint32(h))
			}
		}
	}
	return w.utxos
}

func spend(set map[btc.Outpoint]simCoin, tx *btc.Tx, height uint32) {
	for _, in := range tx.Inputs {
		delete(set, in.Prev)
	}
	id := tx.Txid()
	for i, o := range tx.Outputs {
		set[btc.Outpoint{Txid: id, Vout: uint32(i)}] = simCoin{o, height}
	}
}

func (w *simulated) tip() uint32 { return uint32(len(w.chain) - 1) }

func (w *simulated) fund(p Place, value uint64) {
	w.funded++
	w.pool = append(w.pool, &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: btc.Hash{byte(w.funded), byte(w.funded >> 8), 0xff}, Vout: 0xffff}}},
		Outputs: []btc.TxOut{{Value: btc.Satoshi(value), Script: simScriptOf[p]}}})
}

func isFunding(tx *btc.Tx) bool { return tx.Inputs[0].Prev.Vout == 0xffff }

// mine puts what is valid and pays enough into a block.
func (w *simulated) mine() {
	set := maps.Clone(w.coins())
	var block, rest []*btc.Tx
	for _, tx := range w.pool {
		ok := isFunding(tx) || w.rates[tx.Txid()] >= w.rate/2 && valid(set, tx)
		if ok && !w.chance(w.faults/2) {
			block = append(block, tx)
			spend(set, tx, w.tip()+1)
		} else {
			rest = append(rest, tx)
		}
	}
	w.chain, w.pool, w.utxos = append(w.chain, block), rest, set
	w.epoch++
}

// prune drops what spends outputs that are not there any more.
func (w *simulated) prune() {
	set := maps.Clone(w.coins())
	w.pool = slices.DeleteFunc(w.pool, func(tx *btc.Tx) bool {
		ok := isFunding(tx) || valid(set, tx)
		if ok {
			spend(set, tx, 0)
		}
		return !ok
	})
}

func valid(set map[btc.Outpoint]simCoin, tx *btc.Tx) bool {
	for _, in := range tx.Inputs {
		if _, ok := set[in.Prev]; !ok {
			return false
		}
	}
	return true
}

// reorg replaces blocks by as many and one more. Their transactions go back to the pool, are forgotten until somebody sends them again, or, deposits, are spent otherwise:
// some of them to the minter again.
func (w *simulated) reorg(depth int) {
	w.stats.Reorgs++
	if depth >= simConfirmations {
		w.stats.Deep++
	}
	var back []*btc.Tx
	for _, b := range w.chain[len(w.chain)-depth:] {
		back = append(back, b...)
	}
	w.chain, w.utxos = w.chain[:len(w.chain)-depth], nil
	pool := w.pool
	w.pool = nil
	lost := 0
	for _, tx := range append(back, pool...) {
		if w.chance(0.25) {
			if lost++; isFunding(tx) {
				w.stats.DoubleSpent++
				if w.chance(0.5) {
					w.fund(w.place(), uint64(tx.Outputs[0].Value))
				} else if w.chance(0.5) {
					w.kept = append(w.kept, tx)
				}
			}
			continue
		}
		w.pool = append(w.pool, tx)
	}
	w.note("reorganisation of %d blocks, %d of %d transactions are lost", depth, lost, len(back))
	for range depth + 1 {
		if w.chance(0.5) {
			w.mine()
		} else {
			w.chain = append(w.chain, nil)
		}
	}
	w.utxos = nil
	w.epoch++
}

// halt is a reorganisation that takes back what was settled: the Bitcoin canister halts, an operator has it follow the new branch. Payments are mined again, deposits that
// are not spent may be gone.
func (w *simulated) halt() {
	if e := w.s.Doubt(); e != nil {
		w.emit(*e)
	}
	if w.chance(0.5) { // and it says so
		w.resets++
	}
	depth := simSettled + w.rng.IntN(len(w.chain)-simSettled-5)
	unspent := w.coins()
	var again []*btc.Tx
	for _, b := range w.chain[len(w.chain)-depth:] {
		for _, tx := range b {
			if _, free := unspent[btc.Outpoint{Txid: tx.Txid()}]; !isFunding(tx) || !free || w.chance(0.7) {
				again = append(again, tx)
			} else if w.chance(0.3) {
				w.kept = append(w.kept, tx)
			}
		}
	}
	w.note("reorganisation of %d blocks, deeper than what is settled", depth)
	w.chain, w.utxos = append(w.chain[:len(w.chain)-depth], again), nil
	for range depth {
		w.mine()
	}
	w.epoch++
	w.stats.Halts++
}

// resend brings back deposits.
func (w *simulated) resend() {
	w.pool, w.kept = append(w.pool, w.kept...), nil
}

// operate is what an operator does about a pause, or about withdrawals that wait for what was written off: he pays what is missing, resumes, and sometimes names
// the deposits of which he knows that they never come back.
func (w *simulated) operate(names bool) {
	if w.s.Paused() == "" && w.s.Aside(w.rate) == nil {
		return
	}
	for _, u := range w.at(Place{Account: minter}) {
		if w.tip()-u.Height+1 >= simConfirmations && w.s.Foreign(u) {
			w.emit(Event{Restored: &u})
		}
	}
	var never []btc.Hash
	if names {
		alive := map[btc.Hash]bool{}
		for _, tx := range slices.Concat(append(slices.Clone(w.chain), w.pool, w.kept)...) {
			alive[tx.Txid()] = true
		}
		made := slices.AppendSeq(slices.Collect(maps.Keys(w.s.deposits)), maps.Keys(w.s.rebuilt))
		for _, op := range made {
			if !alive[op.Txid] {
				never = append(never, op.Txid)
			}
		}
		slices.SortFunc(never, func(a, b btc.Hash) int { return bytes.Compare(a[:], b[:]) })
	}
	if short := w.s.Shortfall(); short > 0 {
		if _, err := w.s.Resume(w.now, never); err == nil {
			w.fail("resumes %d short", short)
		}
		w.fund(Place{Account: minter}, short)
	} else if e, err := w.s.Resume(w.now, never); err != nil {
		w.note("%v", err)
	} else if len(e.Resumed.List)+len(e.Resumed.Never) > 0 || w.s.Reset() {
		w.emit(*e)
	}
}

// send is the memory pool: a transaction replaces those that it conflicts with if it pays more.
func (w *simulated) send(tx *btc.Tx, rate uint64) {
	id := tx.Txid()
	w.rates[id] = rate
	w.prune()
	var kept []*btc.Tx
	for _, p := range w.pool {
		if p.Txid() == id {
			return
		}
		conflict := slices.ContainsFunc(p.Inputs, func(a btc.TxIn) bool {
			return slices.ContainsFunc(tx.Inputs, func(b btc.TxIn) bool { return a.Prev == b.Prev })
		})
		if conflict && w.rates[p.Txid()] >= rate {
			return
		}
		if !conflict {
			kept = append(kept, p)
		}
	}
	set := maps.Clone(w.coins())
	for _, p := range kept {
		spend(set, p, 0)
	}
	for _, in := range tx.Inputs { // of the chain, or of the pool
		if _, ok := set[in.Prev]; !ok {
			return
		}
	}
	w.pool = append(kept, tx)
}

// transfer is the ledger: it moves once for each stamp. A fault refuses before, or loses the answer after.
func (w *simulated) transfer(stamp uint64, move func() bool) (block uint64, verdict string) {
	if b, dup := w.stamps[stamp]; dup {
		if w.chance(w.faults / 4) {
			return 0, "too old"
		}
		return b, "done"
	}
	if w.chance(w.faults) {
		w.stats.NotMoved++
		return 0, "not moved"
	}
	if w.chance(w.faults / 4) {
		return 0, "too old"
	}
	if !move() {
		return 0, "refused"
	}
	b := uint64(len(w.blocks) - 1)
	w.blocks[b].Index, w.blocks[b].CreatedAt = b, stamp
	w.stamps[stamp] = b
	if w.chance(w.faults) {
		w.stats.Lost++
		return 0, "no answer"
	}
	return b, "done"
}

func (w *simulated) credit(a Account, amount uint64) {
	w.supply += amount
	w.blocks = append(w.blocks, LedgerBlock{Mint: true, Amount: amount})
	if i := slices.Index(simAccounts[:], a); i >= 0 {
		w.balances[i] += amount
	}
}

// run does one task, or fails at it.
func (w *simulated) run(t Task) {
	switch t.Kind {
	case TaskMint:
		d := w.s.Deposit(t.Outpoint)
		first := d.State == DepositChecked
		if first {
			fee := min(w.s.Config.CheckFee, d.Utxo.Value-1)
			w.emit(Event{MintAsked: &MintAsked{Outpoint: t.Outpoint, Amount: d.Utxo.Value - fee, CheckFee: fee, CreatedAt: w.s.Stamp(w.now)}})
		}
		b, verdict := w.transfer(d.Mint.CreatedAt, func() bool { w.credit(d.Account, d.Mint.Amount); w.mints[t.Outpoint]++; return true })
		switch {
		case verdict == "done":
			if w.stats.Deposits++; w.s.Taproot(t.Outpoint) {
				w.stats.Taproot++
			}
			w.emit(Event{Minted: &Minted{t.Outpoint, b, d.Utxo, d.Account}})
		case verdict == "not moved" && first:
			w.emit(Event{MintRefused: &t.Outpoint})
		case verdict == "too old" && !first:
			w.emit(Event{MintUnknown: &t.Outpoint})
		}
	case TaskBurn:
		w.burn(t.ID, false)
	case TaskRefund:
		r := w.s.Request(t.ID)
		first := r.RefundAt == 0
		if first {
			w.emit(Event{RefundAsked: &RefundAsked{t.ID, w.s.Stamp(w.now)}})
		}
		b, verdict := w.transfer(r.RefundAt, func() bool { w.credit(r.Refund.Account, r.Refund.Amount); w.refunds[t.ID]++; return true })
		switch {
		case verdict == "done":
			w.emit(Event{Refunded: &Refunded{t.ID, b}})
		case verdict == "not moved" && first:
			w.emit(Event{RefundRefused: &t.ID})
		case verdict == "too old" && !first:
			w.emit(Event{RefundUnknown: &t.ID})
		}
	case TaskSign:
		sig := make([]byte, 64)
		sig[31], sig[63] = 1, 1
		w.emit(Event{Signed: &InputSigned{t.ID, t.Version, t.Input, sig}})
		p := w.s.Payment(t.ID)
		if v := p.Versions[t.Version]; !slices.ContainsFunc(v.Signatures, func(s []byte) bool { return s == nil }) {
			e, err := p.Finish(w.now, v)
			if err != nil {
				w.fail("%v", err)
			}
			w.emit(*e)
		}
	case TaskSend:
		v := w.s.Payment(t.ID).Versions[t.Version]
		tx, err := btc.ParseTx(slices.Clone(v.Raw))
		if err != nil {
			w.fail("%v", err)
		}
		w.send(tx, v.FeeRate)
		if !v.Sent {
			w.emit(Event{Sent: &SentTo{t.ID, t.Version}})
		}
		w.break1("spend an input twice", func() bool { // as if the inputs of a sent payment were free
			for _, o := range w.s.Payment(t.ID).Inputs {
				w.s.own(o)
			}
			return true
		})
		w.break1("refund a signed withdrawal", func() bool {
			for _, id := range w.s.Payment(t.ID).Requests {
				w.credit(w.s.Request(id).Account, w.s.Request(id).Amount)
				w.refunds[id]++
			}
			return len(w.s.Payment(t.ID).Requests) > 0
		})
	}
}

func (w *simulated) burn(number uint64, first bool) {
	b := *w.s.Burn(number)
	user := slices.Index(simAccounts[:], b.From)
	from := &w.fees
	if user >= 0 {
		from = &w.balances[user]
	}
	block, verdict := w.transfer(b.CreatedAt, func() bool {
		if *from < b.Amount {
			return false
		}
		*from -= b.Amount
		w.supply -= b.Amount
		w.blocks = append(w.blocks, LedgerBlock{Amount: b.Amount})
		return true
	})
	switch {
	case verdict == "done" && b.Inputs > 0:
		w.emit(Event{FeeBurned: &FeeBurned{number, block, b.Amount, b.Address}})
	case verdict == "done":
		w.emit(Event{Accepted: &Accepted{number, block, b.Amount, b.Address, b.From}})
	case verdict == "refused" || verdict == "not moved" && first:
		w.emit(Event{BurnRefused: &number})
	case verdict == "too old" && !first:
		w.emit(Event{BurnUnknown: &number})
	}
}

// audit reads the ledger's blocks and settles what was unknown.
func (w *simulated) audit() {
	found := map[Task]uint64{}
	for _, b := range w.blocks {
		t, ours, finding := w.s.Match(b)
		if finding != "" {
			w.fail("audit: %s", finding)
		}
		if ours {
			found[t] = b.Index
		}
	}
	for _, t := range w.s.Unknown() {
		w.stats.Unknown++
		var block *uint64
		if b, ok := found[t]; ok {
			block = &b
		}
		w.emit(w.s.Resolve(t, block))
	}
}

func (w *simulated) at(p Place) (us []Utxo) {
	for op, c := range w.coins() {
		if string(c.out.Script) == string(simScriptOf[p]) {
			us = append(us, Utxo{op.Txid, op.Vout, uint64(c.out.Value), c.height})
		}
	}
	slices.SortFunc(us, Utxo.Compare)
	return us
}

// place is one of the users' addresses.
func (w *simulated) place() Place { return Place{simAccounts[w.rng.IntN(simUsers)], w.chance(0.4)} }

// sawReset asks the Bitcoin canister how often it began again. What it lists then is none of the minter's business before the minter has been told.
func (w *simulated) sawReset() bool {
	e, _ := w.s.Epoch(w.resets)
	if e == nil {
		return false
	}
	w.emit(*e)
	if !w.s.Reset() {
		return false
	}
	w.stats.Resets++
	if e := w.s.Doubt(); e != nil {
		w.emit(*e)
	}
	return true
}

// work is the minter's timer: what the chain shows, what is due, and the tasks, some of which are left for later.
func (w *simulated) work() {
	if w.s.Config.Mode.Kind == ReadOnly {
		return
	}
	if w.sawReset() {
		return
	}
	main := w.at(Place{Account: minter})
	events, seen := w.s.Final(w.now, w.tip(), main)
	for _, e := range events {
		w.emit(e)
	}
	v := NewView(w.tip())
	v.Add(Place{Account: minter}, main)
	for _, p := range w.s.Watched() {
		v.Add(p, w.at(p))
	}
	for _, e := range w.s.Recheck(w.now, v) {
		w.emit(e)
	}
	w.viewed = w.epoch
	for _, e := range w.s.Cancelled(w.now) {
		w.emit(e)
	}
	if e, err := w.s.Consolidate(w.now, w.rate, simKey); err != nil {
		w.fail("%v", err)
	} else if e != nil {
		if w.emit(*e); e.BurnAsked != nil {
			w.burn(e.BurnAsked.Number, true)
		} else {
			w.stats.Merged++
		}
	}
	for {
		es, err := w.s.Batch(w.now, w.rate, simKey)
		if err != nil {
			w.fail("%v", err)
		}
		for _, e := range es {
			w.emit(e)
		}
		if len(es) == 0 {
			break
		}
	}
	for _, p := range w.s.Payments() {
		if !seen[p.ID] {
			if e := w.s.Replace(p, w.now, w.rate); e != nil {
				w.emit(*e)
			}
		}
	}
	w.tasks()
}

func (w *simulated) tasks() {
	for _, t := range w.s.Tasks() {
		if !w.chance(w.faults) && slices.Contains(w.s.Tasks(), t) {
			w.run(t)
		}
	}
}

// update is update_balance.
func (w *simulated) update(a Account) {
	if w.s.Paused() != "" || w.s.Config.Mode.Deposits(a.Owner) != "" || w.sawReset() {
		return
	}
	for _, taproot := range []bool{false, true} {
		for _, u := range w.at(Place{a, taproot}) {
			op := u.Outpoint()
			old := w.s.SuspendedUtxo(op)
			if w.tip()-u.Height+1 < w.s.Required(u.Value, w.tip()) || w.s.Deposit(op) != nil || old != nil && w.now < old.Since+w.s.Config.Suspend {
				continue
			}
			if u.Value < w.s.Config.MinDeposit(w.rate) {
				w.stats.Small++
				w.emit(Event{SuspendedUtxo: &Suspension{u, a, ValueTooSmall}})
				continue
			}
			tainted, silent := w.checker(op)
			if silent {
				w.stats.Silent++
				continue
			}
			if w.tainted[op] && !tainted {
				w.stats.Relented++
			}
			w.tainted[op] = tainted
			if tainted {
				w.break1("mint what is tainted", func() bool { tainted = false; return true })
			}
			if tainted {
				w.stats.Tainted++
				w.emit(Event{SuspendedUtxo: &Suspension{u, a, Quarantined}})
				continue
			}
			w.emit(Event{CheckedUtxo: &UtxoOf{u, a, taproot}})
			w.run(Task{Kind: TaskMint, Outpoint: op})
			w.break1("forget a deposit", func() bool {
				if d := w.s.openMints[op]; d == nil || d.State != DepositChecked {
					return false
				}
				delete(w.s.openMints, op)
				return true
			})
		}
	}
}

// checker says whether somebody on the list paid a deposit. It may be silent, or change its mind; of some deposits it never does.
func (w *simulated) checker(op btc.Outpoint) (tainted, silent bool) {
	return hopeless(op) || w.chance(w.faults/2), w.chance(w.faults)
}

func hopeless(op btc.Outpoint) bool { return op.Txid[7]%16 == 0 }

// openDeposits counts the deposits that have neither been minted nor found unfit, and names one.
func (w *simulated) openDeposits() (n int, one btc.Outpoint) {
	for _, a := range simAccounts {
		for _, taproot := range []bool{false, true} {
			for _, u := range w.at(Place{a, taproot}) {
				op := u.Outpoint()
				d, x := w.s.Deposit(op), w.s.SuspendedUtxo(op)
				small, tainted := x != nil && x.Reason == ValueTooSmall && u.Value < w.s.Config.MinDeposit(w.rate), x != nil && x.Reason == Quarantined && hopeless(op)
				if w.tip()-u.Height+1 >= w.s.Required(u.Value, w.tip()) && !small && !tainted && (d == nil || d.State != DepositMinted) {
					n, one = n+1, op
				}
			}
		}
	}
	return n, one
}

// upgrade changes what the minter may do.
func (w *simulated) upgrade() {
	w.crash()
	w.stats.Upgrades++
	cfg := w.s.Config
	kind := []ModeKind{GeneralAvailability, GeneralAvailability, GeneralAvailability, ReadOnly, RestrictedTo, DepositsRestrictedTo}[w.rng.IntN(6)]
	if kind == ReadOnly {
		w.stats.ReadOnly++
	}
	cfg.Mode = Mode{Kind: kind, Allowed: [][]byte{simAccounts[0].Owner.Bytes()}}
	cfg.MaxInputs, cfg.MinBatch, cfg.CheckFee = 4+w.rng.Uint64N(3), 1+w.rng.Uint64N(3), w.rng.Uint64N(2)*700
	w.emit(Event{Upgrade: &cfg})
}

func (w *simulated) retrieve(user int) {
	if w.s.Paused() != "" || w.s.Config.Mode.Withdrawals(simAccounts[user].Owner) != "" || w.balances[user] < 10_000 {
		return
	}
	payload := make([]byte, 32)
	payload[0], payload[1], payload[2] = byte(len(w.log)), byte(len(w.log)>>8), byte(user+1)
	kind := btc.AddressKind(w.rng.IntN(5)) + btc.P2PKH
	addr, err := btc.NewAddress(btc.Regtest, kind, payload[:kind.PayloadLen()])
	if err != nil {
		w.fail("%v", err)
	}
	amount := min(w.balances[user], 10_000+w.rng.Uint64N(90_000))
	n := w.s.NextBurn()
	w.emit(Event{BurnAsked: &BurnAsked{Number: n, From: simAccounts[user], Refund: simAccounts[user], Approval: true, Amount: amount, Address: addr.String(), CreatedAt: w.s.Stamp(w.now)}})
	w.burn(n, true)
	w.break1("lose a withdrawal", func() bool {
		had := len(w.s.queue) > 0
		w.s.queue = w.s.queue[:max(len(w.s.queue), 1)-1]
		return had
	})
}

// check compares ledger, log and chain.
func (w *simulated) check() {
	for op, n := range w.mints {
		if n > 1 {
			w.fail("deposit %v was minted %d times", op, n)
		}
		if w.tainted[op] {
			w.fail("deposit %v was minted although the checker says that it is tainted", op)
		}
	}
	for id, n := range w.refunds {
		if n > 1 {
			w.fail("withdrawal %d was refunded %d times", id, n)
		}
	}
	if w.viewed == w.epoch { // the minter has seen the chain as it is
		var custody uint64
		for _, c := range w.coins() {
			if _, ours := simScripts[string(c.out.Script)]; ours {
				custody += uint64(c.out.Value)
			}
		}
		deficit := w.s.Deficit()
		if w.supply > custody+deficit {
			w.fail("supply %d exceeds custody %d and deficit %d", w.supply, custody, deficit)
		}
		for op, o := range w.s.available {
			if c, have := w.coins()[op]; !have || uint64(c.out.Value) != o.Value {
				w.fail("output %v is to be spent, and the chain has it not", op)
			}
		}
	}
	paid := map[string]int{}
	for _, b := range w.chain {
		for _, tx := range b {
			for _, o := range tx.Outputs {
				if _, ours := simScripts[string(o.Script)]; !ours {
					paid[string(o.Script)]++
				}
			}
		}
	}
	for id, r := range w.s.requests {
		n := paid[string(r.Address.Script())]
		if n > 1 || n > 0 && w.refunds[id] > 0 {
			w.fail("withdrawal %d is paid %d times and refunded %d times", id, n, w.refunds[id])
		}
	}
}

func (w *simulated) step() {
	w.now += 1 + w.rng.Uint64N(4*second)
	user := w.rng.IntN(simUsers)
	switch w.rng.IntN(19) {
	case 0, 1:
		w.fund(w.place(), []uint64{900, 15_000, 60_000, 200_000}[w.rng.IntN(4)])
	case 2, 3, 4:
		w.mine()
	case 5:
		w.reorg(1 + w.rng.IntN(simConfirmations))
	case 6:
		if w.chance(0.2) && len(w.chain) > simSettled+6 {
			w.halt()
			break
		}
		w.reorg(1 + w.rng.IntN(simSettled-1)) // without taking back what is settled
	case 7:
		if w.rate = []uint64{5000, 5000, 120_000}[w.rng.IntN(3)]; w.rate > 5000 {
			w.stats.Spikes++
		}
	case 8:
		if i := slices.IndexFunc(w.pool, func(tx *btc.Tx) bool { return !isFunding(tx) }); i >= 0 {
			w.stats.Evicted++
			w.pool = slices.Delete(w.pool, i, i+1)
		}
	case 9, 10:
		w.update(simAccounts[user])
	case 11, 12:
		w.retrieve(user)
	case 13:
		w.crash()
	case 14:
		w.audit()
	case 15:
		w.now += 30 * second
	case 16:
		w.upgrade()
	case 17: // a bold operator: he resumes although what is missing may come back
		if w.viewed == w.epoch {
			w.operate(w.chance(0.3))
		}
	case 18:
		if w.resend(); w.chance(0.2) { // the Bitcoin canister is reset and comes back to the same chain
			w.resets++
		}
	}
	switch w.rng.IntN(4) {
	case 0, 1:
		w.work()
	case 2: // the Bitcoin canister does not answer: only what needs no chain goes on
		w.stats.Outages++
		if w.s.Config.Mode.Kind != ReadOnly {
			w.tasks()
		}
	}
	w.check()
}

// settle lets everything finish; the operator makes good what is gone for good.
func (w *simulated) settle() {
	w.faults, w.rate = 0, 5000
	if w.s.Config.Mode.Kind != GeneralAvailability {
		cfg := w.s.Config
		cfg.Mode = Mode{}
		w.emit(Event{Upgrade: &cfg})
	}
	for round := range 60 {
		w.now += 20 * second
		w.mine()
		for _, a := range simAccounts {
			w.update(a)
		}
		w.work()
		w.audit()
		w.check()
		if round%4 == 3 {
			w.operate(round > 20 || w.chance(0.5))
		}
		if round == 16 {
			w.resend()
		}
		if n, _ := w.openDeposits(); round > 2*simSettled && n == 0 && w.s.Open() == 0 && w.s.Paused() == "" && len(w.s.Tasks()) == 0 && !w.s.Watching() && len(w.s.payments) == 0 {
			break
		}
	}
	w.crash()
	if w.s.Paused() != "" || w.s.Open() != 0 || len(w.s.Tasks()) != 0 {
		w.fail("does not come to rest: %d withdrawals are open, %s, tasks %v", w.s.Open(), w.s.Paused(), w.s.Tasks())
	}
	if n, one := w.openDeposits(); n > 0 {
		w.fail("%d deposits have no end, among them %v", n, one)
	}
	for id, r := range w.s.requests {
		times := 0
		for _, b := range w.chain {
			for _, tx := range b {
				for _, o := range tx.Outputs {
					if string(o.Script) == string(r.Address.Script()) {
						times++
					}
				}
			}
		}
		w.stats.Paid, w.stats.Refunded = w.stats.Paid+times, w.stats.Refunded+w.refunds[id]
		if times+w.refunds[id] != 1 || (r.State == RequestConfirmed) != (times == 1) {
			w.fail("withdrawal %d ends in state %d, paid %d times, refunded %d times", id, r.State, times, w.refunds[id])
		}
	}
	if w.s.minted+w.s.refunded-w.s.burned != w.supply {
		w.fail("the ledger has %d, the log %d", w.supply, w.s.minted+w.s.refunded-w.s.burned)
	}
}

// simulateCore runs a seed and returns what went wrong.
func simulateCore(seed uint64, steps int, bug string, tracing bool) (w *simulated, err error) {
	w = newSimulated(seed, bug)
	w.tracing = tracing
	defer func() {
		if f, ok := recover().(failed); ok {
			err = fmt.Errorf("seed %d, event %d: %s", seed, len(w.log), f.text)
		}
	}()
	w.open()
	for range steps {
		w.step()
	}
	w.settle()
	return w, nil
}

func TestSimulation(t *testing.T) {
	first, seeds, steps := uint64(0), 10_000, 24
	if testing.Short() {
		seeds = 500
	}
	if text := os.Getenv("FUSION_SIM_SEEDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		seeds, steps = 100*n, 80
	}
	if text := os.Getenv("FUSION_SIM_SEED"); text != "" { // one seed again
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, seeds = n, 1
	}
	var total simStats
	for seed := first; seed < first+uint64(seeds); seed++ {
		w, err := simulateCore(seed, steps, "", false)
		if err != nil {
			for short := 0; short <= steps; short++ { // the fewest steps that fail
				if v, e := simulateCore(seed, short, "", true); e != nil {
					w, err = v, e
					break
				}
			}
			t.Fatalf("%v\nagain: FUSION_SIM_SEED=%d go test -run '^TestSimulation$' ./ckledger/ckbtc/core\n%s", err, seed, strings.Join(w.trace[max(0, len(w.trace)-100):], "\n"))
		}
		total.add(w.stats)
	}
	t.Logf("%+v", total)
	if names := total.missing(); total.Deposits < seeds || total.Paid < seeds/2 || seeds >= 100 && names != nil {
		t.Logf("never: %v", names)
		t.Error("the simulation does too little to mean anything")
	}
}

// The simulation finds mistakes: each of these is made once in a run, with the state machine's own checks off.
func TestSimulationFindsBugs(t *testing.T) {
	for _, bug := range []string{"mint twice", "go on in a deficit", "spend an input twice", "refund a signed withdrawal", "mint what is tainted", "forget a deposit",
		"lose a withdrawal"} {
		made, found := 0, 0
		for seed := uint64(0); seed < 400 && found < 5; seed++ {
			w, err := simulateCore(seed, 24, bug, false)
			if w.broken {
				made++
				if err != nil {
					found++
				}
			} else if err != nil {
				t.Fatalf("%s: %v before the mistake", bug, err)
			}
		}
		t.Logf("%s: made %d times, found %d times", bug, made, found)
		if found == 0 {
			t.Errorf("%s: made %d times and never found", bug, made)
		}
	}
}
