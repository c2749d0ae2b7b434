package core

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fusion/btc"
)

// Bitcoin may take back what had enough confirmations. Until an output of the minter is settled, that is, below as many blocks as no reorganisation
// is expected to reach, it is watched: Recheck compares the log with what the chain holds now.
//
//   - A deposit that was minted and is gone is a deficit: nothing is minted or paid until it is back, or until custody was restored from elsewhere and
//     Resumed says so. Deposits that are not minted yet are forgotten.
//   - A final payment that is gone is open again: its transaction is sent until it is mined again, or another version of it is.
//   - Doubted has everything watched again, for reorganisations deeper than that.
//   - Recovery says that the subnet was restored from a backup: the chain may have payments that the log does not know. Nothing is minted or paid until Resumed.
//   - Epoch says that the Bitcoin canister forgot its chain and began again: nothing is minted or paid until Resumed.
//
// Which version of a payment wins may change as long as it is not settled. So change of a payment with more than one version is spent only when settled.

// Watch is an output of the minter that is not settled.
type Watch struct {
	Owned
	Payment uint64 // whose change it is, 0 for deposits and restored custody
	Missing bool   // the chain has it no more
	Locked  bool   // not to be spent before it is settled
	Lost    bool   // written off; a payment that spends nothing else waits for it
}

// Return says at which height an output lies that was missing, or lay elsewhere.
type Return struct {
	Outpoint btc.Outpoint
	Height   uint32
}

// Outputs is a list of outpoints.
type Outputs struct{ List []btc.Outpoint }

// WriteOff is how a controller ends a pause.
type WriteOff struct {
	List  []btc.Outpoint // missing outputs that are given up
	Never []btc.Hash     // transactions that can never be mined, by the controller's word
	// forgets is the rule of the first layout: a payment that spends nothing but what is given up was forgotten, although it might be mined one day.
	forgets bool
}

// watch begins to watch an output.
func (s *State) watch(o Owned, payment uint64) *Watch {
	w := &Watch{Owned: o, Payment: payment}
	s.watched[o.Outpoint()] = w
	return w
}

// Paused says why nothing is minted and paid now, or "".
func (s *State) Paused() string {
	if s.stale != 0 {
		return RecoveryPause(s.recovery)
	}
	if s.reset {
		return fmt.Sprintf("the minter is paused: the Bitcoin canister forgot its chain and began again (epoch %d); when it follows the right one, a controller of the minter calls resume", *s.epoch)
	}
	if n := s.Deficit(); n > 0 {
		return fmt.Sprintf("the minter is paused: a reorganisation of Bitcoin took back deposits of %d satoshi that were minted", n)
	}
	return ""
}

// Epoch gives the event that notes the epoch of the Bitcoin canister, or nil if it is the one known. old reports that it is an earlier one.
func (s *State) Epoch(n uint64) (e *Event, old bool) {
	if s.epoch != nil && n <= *s.epoch {
		return nil, n < *s.epoch
	}
	return &Event{Epoch: &n}, false
}

// RecoveryPause says why nothing is minted and paid after a recovery of the subnet.
func RecoveryPause(number uint64) string {
	return fmt.Sprintf("the minter is paused: the subnet was restored from a backup (recovery %d), and the chain may have payments that the log does not; a controller of the minter calls resume, "+
		"which compares them", number)
}

// Recovery gives the event that notes the number of the subnet's last recovery from a backup, or nil if it is the one known.
func (s *State) Recovery(n uint64) *Event {
	if n <= s.recovery {
		return nil
	}
	return &Event{Recovery: &n}
}

// Stale reports whether the subnet was restored from a backup and no controller has resumed since, and the time at which that was learnt, in ns.
func (s *State) Stale() (since uint64, stale bool) { return s.stale, s.stale != 0 }

// Reset reports whether the Bitcoin canister began again and no controller has resumed since.
func (s *State) Reset() bool { return s.reset }

// Deficit is the value of the minted deposits that are missing.
func (s *State) Deficit() (sum uint64) {
	for _, w := range s.watched {
		if s.isDeficit(w) {
			sum += w.Value
		}
	}
	return sum
}

func (s *State) isDeficit(w *Watch) bool { return w.Missing && w.Payment == 0 && !w.Lost }

// found notes that an output is there after all, written off or not.
func (s *State) found(w *Watch) {
	if w.Lost {
		s.lost -= w.Value
	}
	w.Missing, w.Lost = false, false
}

// Unsettled is the value of what is watched and there.
func (s *State) Unsettled() (sum uint64) {
	for _, w := range s.watched {
		if !w.Missing {
			sum += w.Value
		}
	}
	return sum
}

// WrittenOff is the value of minted deposits that were given up.
func (s *State) WrittenOff() uint64 { return s.lost }

// Restored is the value of the outputs that were taken into custody without a mint.
func (s *State) Restored() uint64 { return s.restored }

// Shortfall is by how much what is owed, to holders and for burns, exceeds what is there.
func (s *State) Shortfall() uint64 {
	supply, have := s.balance()
	return supply - min(supply, have)
}

// balance is what was minted and is owed, and what is there and was burned, in satoshi: the first is at most the second.
func (s *State) balance() (supply, have uint64) {
	return s.minted + s.refunded + s.Owed() + s.feesDue(), s.Custody() + s.burned
}

// Surplus is what is there and nobody's: what the minter earned, and what payments of after a backup left of deposits that the ledger forgot.
func (s *State) Surplus() uint64 {
	supply, have := s.balance()
	for op := range s.orphans {
		if d := s.deposits[op]; d != nil { // about to be minted
			supply += d.Utxo.Value
		}
	}
	return have - min(supply, have)
}

// feesDue is what was burned for consolidations and is not spent yet: custody will fall by as much.
func (s *State) feesDue() uint64 {
	sum := s.feeCredit
	for _, p := range s.payments {
		if p.Kind == Consolidates {
			sum += p.Versions[0].BtcFee
		}
	}
	return sum
}

// owed is what a withdrawal that was burned for is still owed.
func (r *Request) owed() uint64 {
	switch r.State {
	case RequestPending, RequestInPayment:
		return r.Amount
	case RequestCancelled, RequestWillRefund, RequestRefundUnknown:
		return r.Refund.Amount
	}
	return 0
}

// missing reports whether the chain is known to have lost an output.
func (s *State) missing(op btc.Outpoint) bool {
	w := s.watched[op]
	return w != nil && w.Missing
}

// reorg applies the events of this file.
func (s *State) reorg(e *Event) error {
	switch {
	case e.Vanished != nil:
		return s.vanished(*e.Vanished)
	case e.Returned != nil:
		w := s.watched[e.Returned.Outpoint]
		if w == nil || w.Payment != 0 && w.Missing {
			return misfit("output %v returns and was not missing", e.Returned.Outpoint)
		}
		w.Height = e.Returned.Height
		if w.Missing {
			s.found(w)
			s.regain(w)
		}
	case e.Settled != nil:
		var spent []Owned
		for _, op := range e.Settled.List {
			inputs, err := s.settled(op)
			if err != nil {
				return err
			}
			spent = append(spent, inputs...)
		}
		return s.forget(spent)
	case e.Reversed != nil:
		return s.reversed(*e.Reversed, e.Time)
	case e.Restored != nil:
		u := *e.Restored
		if !s.Foreign(u) {
			return misfit("output %v is no restored custody: it is known", u.Outpoint())
		}
		s.rebuilt[u.Outpoint()] = true
		s.restored += u.Value
		o := Owned{Utxo: u, Account: s.Minter}
		s.own(o)
		s.watch(o, 0)
	case e.Doubted != nil:
		for _, o := range s.settledOutputs() {
			s.watch(o, 0)
		}
	case e.Epoch != nil:
		if s.epoch != nil && *e.Epoch <= *s.epoch {
			return misfit("epoch %d of the Bitcoin canister follows %d", *e.Epoch, *s.epoch)
		}
		s.reset = s.reset || s.epoch != nil
		n := *e.Epoch
		s.epoch = &n
	case e.Recovery != nil:
		if *e.Recovery <= s.recovery {
			return misfit("recovery %d of the subnet follows %d", *e.Recovery, s.recovery)
		}
		s.recovery, s.stale = *e.Recovery, max(e.Time, 1)
	default:
		return s.resumed(e)
	}
	return nil
}

// settledOutputs lists what the minter has, or spends by payments that are not settled, and does not watch.
func (s *State) settledOutputs() (list []Owned) {
	add := func(o Owned) {
		if s.watched[o.Outpoint()] == nil {
			list = append(list, o)
		}
	}
	for _, o := range s.available {
		add(o)
	}
	for _, ps := range []map[uint64]*Payment{s.payments, s.final} {
		for _, p := range ps {
			for _, o := range p.Inputs {
				add(o)
			}
		}
	}
	return list
}

// Doubt gives the event that has all outputs watched again, for a reorganisation deeper than any that was expected; nil if all are.
func (s *State) Doubt() *Event {
	if n := uint64(len(s.settledOutputs())); n > 0 {
		return &Event{Doubted: &n}
	}
	return nil
}

// Foreign reports whether an output is neither change nor anything else that the log knows.
func (s *State) Foreign(u Utxo) bool {
	op := u.Outpoint()
	_, ours := s.txids[u.Txid]
	return !ours && !s.holds(op) && s.deposits[op] == nil && !s.rebuilt[op]
}

// regain makes an output spendable that is there again, unless a payment spends it.
func (s *State) regain(w *Watch) {
	d := s.deposits[w.Outpoint()]
	if s.spends[w.Outpoint()] == 0 && !w.Locked && (d == nil || d.State == DepositMinted) {
		s.own(w.Owned)
	}
}

func (s *State) vanished(op btc.Outpoint) error {
	w := s.watched[op]
	d := s.deposits[op]
	checked := d != nil && d.State == DepositChecked
	if w == nil || w.Missing && !checked || w.Payment != 0 {
		return misfit("output %v vanishes and is no deposit that is there", op)
	}
	if id := s.spends[op]; id != 0 && s.final[id] != nil {
		return misfit("output %v vanishes and payment %d, which spent it, is final", op, id)
	}
	if checked {
		delete(s.deposits, op)
		delete(s.openMints, op)
		delete(s.watched, op)
		delete(s.taproot, op)
		s.byOwner[d.Account] = slices.DeleteFunc(s.byOwner[d.Account], func(o btc.Outpoint) bool { return o == op })
		return nil
	}
	w.Missing = true // the ledger may have minted even if it has not said so
	s.disown(op)
	return nil
}

// settled ends the watch over an output, and, if it is change, gives what its payment spent.
func (s *State) settled(op btc.Outpoint) (spent []Owned, err error) {
	w := s.watched[op]
	if w == nil || w.Missing {
		return nil, misfit("output %v is settled and was not there", op)
	}
	if d := s.deposits[op]; w.Payment == 0 && d != nil && d.State != DepositMinted {
		return nil, misfit("deposit %v is settled and not minted", op)
	}
	delete(s.watched, op)
	if w.Locked {
		w.Locked = false
		s.regain(w)
	}
	if p := s.final[w.Payment]; p != nil {
		delete(s.final, w.Payment)
		for _, o := range p.Inputs {
			delete(s.spends, o.Outpoint())
		}
		s.buried(p)
		for other, x := range s.watched { // of a consolidation: the same transaction
			if x.Payment == p.ID {
				delete(s.watched, other)
			}
		}
		spent = p.Inputs
	}
	return spent, nil
}

// forget ends the watch over what settled payments spent, and so on: it is spent for good, and no chain will show it again. Its address may be compared
// later than the change was.
func (s *State) forget(spent []Owned) error {
	for len(spent) > 0 {
		op := spent[0].Outpoint()
		if spent = spent[1:]; s.watched[op] == nil {
			continue
		}
		more, err := s.settled(op)
		if err != nil {
			return err
		}
		spent = append(spent, more...)
	}
	return nil
}

// reversed opens a final payment again: no block has any of its transactions.
func (s *State) reversed(id, now uint64) error {
	p := s.final[id]
	if p == nil {
		return misfit("payment %d is not final", id)
	}
	delete(s.final, id)
	s.payments[id] = p
	for _, r := range p.Requests {
		s.requests[r].State, s.requests[r].Txid, s.requests[r].Refund = RequestInPayment, btc.Hash{}, Refund{}
		delete(s.cancelled, r)
	}
	for _, w := range s.watched {
		if w.Payment == id {
			w.Missing = true
			s.disown(w.Outpoint())
		}
	}
	p.Latest().CompleteAt = now // time for the old transaction to be mined again before it is replaced
	return nil
}

// finalChange takes the change of a payment that became final into custody.
func (s *State) finalChange(p *Payment, v *Version, height uint32) error {
	s.final[p.ID] = p
	for _, in := range p.Inputs { // what was missing is there: it was spent in a block
		if w := s.watched[in.Outpoint()]; w != nil && w.Missing && w.Payment == 0 {
			s.found(w)
		}
	}
	for other, w := range s.watched { // the payment was final before, by another version perhaps
		if w.Payment == p.ID {
			delete(s.watched, other)
		}
	}
	var last btc.Outpoint
	for _, u := range v.own() {
		u.Height = height
		w := s.watch(Owned{u, s.Minter}, p.ID)
		w.Locked = len(p.Versions) > 1 && s.Config.settles()
		s.regain(w)
		last = u.Outpoint()
	}
	if s.Config.settles() {
		return nil
	}
	spent, err := s.settled(last)
	if err != nil {
		return err
	}
	return s.forget(spent)
}

// maxNamed is how many missing outputs a refusal names.
const maxNamed = 20

// ErrShort means that custody does not cover what is owed.
var ErrShort = errors.New("custody does not cover what is owed")

// ErrUnmined means that an output is missing which a transaction of the minter made.
var ErrUnmined = errors.New("the minter's own transactions are in no block")

// Resume gives the event that ends a pause: what is missing is written off. Change of a settled payment is not missing because somebody spent otherwise what made
// it: as long as its transaction can be mined, so can those that spend it, and what they pay would be paid again by others. So it is written off only if never
// names the transaction. Payments that spend nothing but missing deposits wait for them until never names one that made such a deposit, now or later.
func (s *State) Resume(now uint64, never []btc.Hash) (*Event, error) {
	var unmined []string
	for _, op := range slices.SortedFunc(maps.Keys(s.watched), compareOutpoints) {
		id := op.Txid.String()
		if _, ours := s.txids[op.Txid]; ours && s.isDeficit(s.watched[op]) && !slices.Contains(never, op.Txid) && !slices.Contains(unmined, id) {
			unmined = append(unmined, id)
		}
	}
	if len(unmined) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnmined, strings.Join(unmined, ", "))
	}
	if n := s.Shortfall(); n > 0 {
		var gone []string
		for _, op := range slices.SortedFunc(maps.Keys(s.watched), compareOutpoints) {
			if s.isDeficit(s.watched[op]) && len(gone) < maxNamed {
				gone = append(gone, fmt.Sprintf("%v (%d satoshi)", op, s.watched[op].Value))
			}
		}
		if gone == nil {
			return nil, fmt.Errorf("%w: %d satoshi are missing", ErrShort, n)
		}
		return nil, fmt.Errorf("%w: %d satoshi are missing; of what the log has, the chain has no more %s", ErrShort, n, strings.Join(gone, ", "))
	}
	e := &Event{Time: now, Resumed: &WriteOff{}}
	for _, op := range slices.SortedFunc(maps.Keys(s.watched), compareOutpoints) {
		if s.isDeficit(s.watched[op]) {
			if d := s.deposits[op]; d != nil && d.State != DepositMinted {
				return nil, fmt.Errorf("%w for certain: the ledger has not said yet whether it minted for deposit %v", ErrShort, op)
			}
			e.Resumed.List = append(e.Resumed.List, op)
		}
	}
	for _, id := range never {
		if s.awaits(id) && !slices.Contains(e.Resumed.Never, id) {
			e.Resumed.Never = append(e.Resumed.Never, id)
		}
	}
	return e, nil
}

// awaits reports whether it matters that a transaction can never be mined: it made what is missing, or what payments that were given up spend.
func (s *State) awaits(id btc.Hash) bool {
	of := func(op btc.Outpoint) bool { return op.Txid == id }
	for op, w := range s.watched {
		if of(op) && w.Missing && w.Payment == 0 {
			return true
		}
	}
	for _, pins := range s.pins {
		if slices.ContainsFunc(pins, func(p pin) bool { return slices.ContainsFunc(p.lost, of) }) {
			return true
		}
	}
	return false
}

// pin is a payment that was abandoned under a withdrawal although it is signed. It can never be mined once something else spends one of the outputs in kills, or
// if one of those in lost, which it spends too, never comes back. Of what it spends that a payment abandoned before it made, both lists have what that one spends.
type pin struct{ kills, lost []btc.Outpoint }

// resumed writes missing deposits off. Bitcoin may yet bring back what it took, and with it the payments that would spend it, which are signed. So:
//
//   - A payment one of whose inputs can never come back, by the controller's word, is dead: what it would have paid is queued again.
//   - One that spends something else besides is abandoned: what it would have paid is queued again and keeps, as a pin, what the next payment has to conflict with.
//   - One that spends nothing else cannot be killed. It stays open, and what it pays is neither paid otherwise nor refunded, until it is mined or dead.
func (s *State) resumed(e *Event) error {
	if s.Shortfall() > 0 {
		return misfit("%v", ErrShort)
	}
	x := e.Resumed
	gone := map[btc.Outpoint]bool{}
	for _, op := range x.List {
		w := s.watched[op]
		d := s.deposits[op]
		if w == nil || !s.isDeficit(w) || d != nil && d.State != DepositMinted {
			return misfit("output %v is written off and not missing", op)
		}
		gone[op] = true
		s.lost += w.Value
		w.Lost = true
	}
	s.reset, s.stale = false, 0
	never := map[btc.Hash]bool{}
	for _, id := range x.Never {
		never[id] = true
	}
	lost := func(op btc.Outpoint) bool { w := s.watched[op]; return gone[op] || w != nil && w.Lost }
	var back []uint64
	heirs := map[btc.Outpoint]pin{}                           // change of an abandoned payment → how that payment dies, and so what spends the change
	for _, id := range slices.Sorted(maps.Keys(s.payments)) { // a payment is younger than those whose change it spends
		p := s.payments[id]
		if !slices.ContainsFunc(p.Inputs, func(o Owned) bool { return lost(o.Outpoint()) }) {
			continue
		}
		left := pin{}
		for _, o := range p.Inputs {
			left.kills = append(left.kills, o.Outpoint())
		}
		left = left.without(lost, heirs)
		dead := left.dead(never)
		if len(left.kills) == 0 && !dead && p.Kind == PaysOut && !x.forgets {
			continue
		}
		delete(s.payments, id)
		if p.Kind == Consolidates {
			s.feeCredit += p.Versions[0].BtcFee
		}
		for _, o := range p.Inputs {
			op := o.Outpoint()
			delete(s.spends, op)
			if lost(op) {
				continue
			}
			if w := s.watched[op]; w != nil {
				if !w.Missing {
					s.regain(w)
				}
			} else {
				s.own(o)
			}
		}
		if dead {
			for _, v := range p.Versions {
				never[v.Txid] = true
			}
		}
		for op, w := range s.watched {
			if w.Payment == id {
				gone[op] = true
				if !dead {
					heirs[op] = left
				}
				delete(s.watched, op)
			}
		}
		for _, r := range p.Requests {
			q := s.requests[r]
			q.State, q.Payment = RequestPending, 0
			if !dead {
				s.pins[r] = append(s.pins[r], left)
			}
			back = append(back, r)
		}
	}
	for r, pins := range s.pins {
		for i := range pins {
			pins[i] = pins[i].without(lost, heirs)
		}
		s.unpin(r, func(p pin) bool { return p.dead(never) || x.forgets && len(p.kills) == 0 })
	}
	for op, w := range s.watched {
		if w.Lost && s.spends[op] == 0 {
			delete(s.watched, op)
		}
	}
	slices.Sort(back)
	s.queue = append(back, s.queue...)
	return nil
}

// without moves what is lost out of what kills a payment; in the place of what payments made that are abandoned comes how those die.
func (p pin) without(lost func(btc.Outpoint) bool, heirs map[btc.Outpoint]pin) (out pin) {
	add := func(list *[]btc.Outpoint, ops ...btc.Outpoint) {
		for _, op := range ops {
			if !slices.Contains(*list, op) {
				*list = append(*list, op)
			}
		}
	}
	add(&out.lost, p.lost...)
	for _, op := range p.kills {
		parent, made := heirs[op]
		switch {
		case made:
			add(&out.kills, parent.kills...)
			add(&out.lost, parent.lost...)
		case lost(op):
			add(&out.lost, op)
		default:
			add(&out.kills, op)
		}
	}
	return out
}

// dead reports whether the payment spends what one of some transactions made, which can never be mined.
func (p pin) dead(never map[btc.Hash]bool) bool {
	return slices.ContainsFunc(p.lost, func(op btc.Outpoint) bool { return never[op.Txid] })
}

// unpin forgets the payments that were abandoned under a withdrawal and are dead. If all are, it is like one that was never in a payment.
func (s *State) unpin(r uint64, dead func(pin) bool) {
	if s.pins[r] = slices.DeleteFunc(s.pins[r], dead); len(s.pins[r]) == 0 {
		delete(s.pins, r)
	}
}

// buried forgets the abandoned payments that a settled payment killed.
func (s *State) buried(p *Payment) {
	for r := range s.pins {
		s.unpin(r, func(x pin) bool {
			return slices.ContainsFunc(p.Inputs, func(o Owned) bool { return slices.Contains(x.kills, o.Outpoint()) })
		})
	}
}

// abandoned reports whether a transaction that is signed, and that nothing settled conflicts with, may still pay a withdrawal: then it is not refunded.
func (s *State) abandoned(id uint64) bool { return len(s.pins[id]) > 0 }

// waits lists what was written off of the inputs of a payment. If it is not empty, the payment spends nothing else.
func (s *State) waits(p *Payment) (ops []btc.Outpoint) {
	for _, o := range p.Inputs {
		if w := s.watched[o.Outpoint()]; w != nil && w.Lost {
			ops = append(ops, o.Outpoint())
		}
	}
	return ops
}

// lostInputs says what to do about a transaction that spends nothing but what was written off.
func lostInputs(ops []btc.Outpoint) error {
	var ids []string
	for _, op := range ops {
		if id := op.Txid.String(); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return fmt.Errorf("its transaction is signed and spends only what was written off: it is mined if that comes back; if it cannot, a controller of the minter names in resume's never one of %s", strings.Join(ids, ", "))
}

// pinned lists outputs that a payment of requests has to spend so that no payment abandoned under them can be mined beside it, or says why there are none now.
func (s *State) pinned(requests []uint64) (pins []Owned, err error) {
	have := func(op btc.Outpoint) bool {
		return slices.ContainsFunc(pins, func(o Owned) bool { return o.Outpoint() == op })
	}
	for _, id := range requests {
		for _, p := range s.pins[id] {
			if len(p.kills) == 0 {
				return nil, lostInputs(p.lost)
			}
			if slices.ContainsFunc(p.kills, have) {
				continue
			}
			i := slices.IndexFunc(p.kills, func(op btc.Outpoint) bool { _, free := s.available[op]; return free })
			if i < 0 { // another payment of ours spends it, or it is not settled
				return nil, errPinned
			}
			pins = append(pins, s.available[p.kills[i]])
		}
	}
	return pins, nil
}

// kills reports whether inputs include what a payment of requests has to spend.
func (s *State) kills(requests []uint64, inputs []Utxo) bool {
	for _, id := range requests {
		for _, p := range s.pins[id] {
			if !slices.ContainsFunc(inputs, func(u Utxo) bool { return slices.Contains(p.kills, u.Outpoint()) }) {
				return false
			}
		}
	}
	return true
}

// errPinned: what a payment has to spend cannot be spent now.
var errPinned = errors.New("a transaction that was given up may still be mined, and what would conflict with it cannot be spent yet")

// selectFor chooses outputs for requests, those that they have to spend first.
func (s *State) selectFor(requests []uint64, free []Owned, target uint64, outputs int, maxInputs, many uint64) ([]Owned, error) {
	pins, err := s.pinned(requests)
	if err != nil {
		return nil, err
	}
	for _, o := range pins {
		target -= min(target, o.Value)
		free = slices.DeleteFunc(slices.Clone(free), func(f Owned) bool { return f.Outpoint() == o.Outpoint() })
	}
	if n := uint64(len(pins)); n > maxInputs {
		return nil, tooManyInputs(n)
	}
	chosen, err := selectCoins(free, target, outputs, maxInputs-uint64(len(pins)), many)
	var more tooManyInputs
	if errors.As(err, &more) {
		err = more + tooManyInputs(len(pins))
	}
	return append(pins, chosen...), err
}

// Aside lists the withdrawals that cannot be paid now and must not be refunded, because a transaction that was given up may still pay them, and says why. The
// others do not wait for them. Each is tried again, and refunded if it cannot be paid once no such transaction can be mined any more.
func (s *State) Aside(feeRate uint64) map[uint64]string {
	var aside map[uint64]string
	note := func(id uint64, why error) {
		if aside == nil {
			aside = map[uint64]string{}
		}
		aside[id] = why.Error()
	}
	for _, p := range s.payments {
		if ops := s.waits(p); ops != nil {
			for _, id := range p.Requests {
				note(id, lostInputs(ops))
			}
		}
	}
	var free []Owned
	for _, id := range s.queue {
		if !s.abandoned(id) {
			continue
		}
		if free == nil {
			free = s.free()
		}
		if _, err := s.alone(id, free, min(feeRate, s.Config.MaxFeeRate)); err != nil && !errors.Is(err, errFunds) {
			note(id, err)
		}
	}
	return aside
}

// alone lays out a payment of one withdrawal.
func (s *State) alone(id uint64, free []Owned, feeRate uint64) (draft, error) {
	inputs, err := s.selectFor([]uint64{id}, free, s.requests[id].Amount, 2, s.Config.MaxInputs, s.Config.ManyUtxos)
	if err != nil {
		return draft{}, err
	}
	return s.draftOf([]uint64{id}, inputs, feeRate, make([]byte, 22)) // a script as long as that of the change
}

// changeSpent reports whether a payment spends the change of another.
func (s *State) changeSpent(p *Payment) bool {
	for _, v := range p.Versions {
		if slices.ContainsFunc(v.own(), func(u Utxo) bool { return s.spends[u.Outpoint()] != 0 }) {
			return true
		}
	}
	return false
}

// Place is one of the addresses of an account.
type Place struct {
	Account Account
	Taproot bool
}

// View is what the chain holds at some addresses, all read at the same tip.
type View struct {
	Tip     uint32
	outputs map[btc.Outpoint]uint32 // height
	places  map[Place]bool
}

// NewView begins a view.
func NewView(tip uint32) *View {
	return &View{Tip: tip, outputs: map[btc.Outpoint]uint32{}, places: map[Place]bool{}}
}

// Add notes all outputs of a place.
func (v *View) Add(p Place, us []Utxo) {
	v.places[p] = true
	for _, u := range us {
		if u.Height > 0 && u.Height <= v.Tip {
			v.outputs[u.Outpoint()] = u.Height
		}
	}
}

// Watched lists the places, beside the minter's own account, whose outputs are watched, in order.
func (s *State) Watched() []Place {
	set := map[Place]bool{}
	for op, w := range s.watched {
		if w.Account != s.Minter {
			set[s.place(op, w)] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), Place.Compare)
}

// Compare orders places.
func (p Place) Compare(q Place) int {
	a, b := p.Account, q.Account
	c := cmp.Or(bytes.Compare(a.Owner.Bytes(), b.Owner.Bytes()), bytes.Compare(a.Subaccount[:], b.Subaccount[:]))
	if c == 0 && p.Taproot != q.Taproot {
		c = 1
		if q.Taproot {
			c = -1
		}
	}
	return c
}

// Concerns reports whether an output at an address of the minter matters to Final and Recheck: it is watched, or of one of the minter's transactions. Anybody
// can pay any number of others to any address.
func (s *State) Concerns(u Utxo) bool {
	_, ours := s.txids[u.Txid]
	return ours || s.watched[u.Outpoint()] != nil
}

func (s *State) place(op btc.Outpoint, w *Watch) Place { return Place{w.Account, s.taproot[op]} }

// Watching reports whether anything is watched.
func (s *State) Watching() bool { return len(s.watched) > 0 }

// depth is how many confirmations an output has at least, 0 if the chain does not have it: it is there, or what spends it is.
func (s *State) depth(v *View, op btc.Outpoint) uint32 {
	if h, ok := v.outputs[op]; ok {
		return v.Tip - h + 1
	}
	id := s.spends[op]
	p := s.payments[id]
	if p == nil {
		p = s.final[id]
	}
	if p == nil {
		return 0
	}
	var most uint32
	for _, x := range p.Versions {
		for _, o := range x.own() {
			most = max(most, s.depth(v, o.Outpoint()))
		}
	}
	return most
}

// Recheck compares what is watched with a view that has the minter's own account, and with it at least. Outputs of accounts that the view has not are
// left alone. The events fit in the order given.
func (s *State) Recheck(now uint64, v *View) (events []Event) {
	add := func(e Event) { e.Time = now; events = append(events, e) }
	// Payments first, the youngest first: what a payment spent cannot be missing while the payment is final.
	reversed := map[uint64]bool{}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(s.final))) {
		there := false
		for _, x := range s.final[id].Versions {
			there = there || slices.ContainsFunc(x.own(), func(u Utxo) bool { return s.depth(v, u.Outpoint()) > 0 && s.watched[u.Outpoint()] != nil })
		}
		if !there {
			reversed[id] = true
			add(Event{Reversed: &id})
		}
	}
	var settled []btc.Outpoint
	ended := map[uint64]bool{}
	for _, op := range slices.SortedFunc(maps.Keys(s.watched), compareOutpoints) {
		w := s.watched[op]
		if !v.places[s.place(op, w)] || w.Payment != 0 && (w.Missing || reversed[w.Payment]) {
			continue
		}
		d := s.deposits[op]
		open := d != nil && d.State != DepositMinted
		depth := s.depth(v, op)
		h, visible := v.outputs[op]
		switch {
		case depth == 0:
			if w.Payment == 0 && (!w.Missing || open && d.State == DepositChecked) {
				add(Event{Vanished: &op})
			}
			continue
		case w.Missing:
			add(Event{Returned: &Return{op, v.Tip - depth + 1}})
		case visible && h != w.Height:
			add(Event{Returned: &Return{op, h}})
		}
		if depth >= uint32(s.Config.SettleAfter) && !open && !ended[w.Payment] {
			settled = append(settled, op)
			ended[w.Payment] = w.Payment != 0 // with all its outputs
		}
	}
	if settled != nil {
		add(Event{Settled: &Outputs{settled}})
	}
	return events
}

// Required is how many confirmations a deposit of a value needs now. All deposits with at most n confirmations that are minted are worth at most
// RewardMultiple times the rewards of n blocks: whoever would take them back has to give up as much.
func (s *State) Required(value uint64, tip uint32) uint32 {
	least, deep := s.Config.Confirmations, uint32(s.Config.SettleAfter)
	if s.Config.RewardMultiple == 0 || deep <= least {
		return least
	}
	at := make([]uint64, deep)
	for _, w := range s.watched {
		if w.Payment != 0 || w.Missing {
			continue
		}
		if n := tip - min(tip, w.Height) + 1; n < deep {
			at[n] += w.Value
		}
	}
	reward := s.Config.RewardMultiple * subsidy(s.Config.Network, tip)
	need, sum := least, value
	for n := uint32(0); n < deep; n++ {
		sum += at[n]
		if n >= least && sum > uint64(n)*reward {
			need = n + 1
		}
	}
	return need
}

// subsidy is what a block creates.
func subsidy(n btc.Network, height uint32) uint64 {
	halving := uint32(210_000)
	if n == btc.Regtest {
		halving = 150
	}
	return 50 * uint64(btc.Coin) >> min(height/halving, 63)
}

// checkWatched checks what must hold between watched outputs, payments and what is spendable.
func (s *State) checkWatched() error {
	spends := map[btc.Outpoint]uint64{}
	for _, ps := range []map[uint64]*Payment{s.payments, s.final} {
		for id, p := range ps {
			for _, o := range p.Inputs {
				if other := spends[o.Outpoint()]; other != 0 {
					return fmt.Errorf("payments %d and %d spend %v", id, other, o.Outpoint())
				}
				spends[o.Outpoint()] = id
			}
		}
	}
	if !maps.Equal(spends, s.spends) {
		return fmt.Errorf("%d inputs of payments, %d noted", len(spends), len(s.spends))
	}
	for id := range s.final {
		if s.payments[id] != nil {
			return fmt.Errorf("payment %d is open and final", id)
		}
	}
	for id, pins := range s.pins {
		for _, p := range pins {
			if len(p.kills)+len(p.lost) == 0 {
				return fmt.Errorf("a payment that was abandoned under withdrawal %d spends nothing", id)
			}
			for _, op := range p.kills {
				if _, free := s.available[op]; !free && s.spends[op] == 0 && s.watched[op] == nil {
					return fmt.Errorf("output %v, which kills a payment that was abandoned under withdrawal %d, is nowhere", op, id)
				}
			}
		}
	}
	changes := map[uint64]int{}
	for op, w := range s.watched {
		_, free := s.available[op]
		d := s.deposits[op]
		switch {
		case w.Lost && (!w.Missing || w.Payment != 0 || s.payments[s.spends[op]] == nil || len(s.waits(s.payments[s.spends[op]])) != len(s.payments[s.spends[op]].Inputs)):
			return fmt.Errorf("output %v is written off: %+v, and payment %d does not wait for it", op, *w, s.spends[op])
		case free && (w.Missing || w.Locked || s.spends[op] != 0):
			return fmt.Errorf("output %v is spendable: %+v", op, *w)
		case w.Missing && s.final[s.spends[op]] != nil:
			return fmt.Errorf("output %v is missing and payment %d, which spends it, is final", op, s.spends[op])
		case w.Payment != 0 && w.Missing != (s.final[w.Payment] == nil):
			return fmt.Errorf("change %v is missing: %v, and payment %d not so", op, w.Missing, w.Payment)
		case !free && !w.Missing && !w.Locked && s.spends[op] == 0 && (d == nil || d.State == DepositMinted):
			return fmt.Errorf("output %v is nowhere", op)
		}
		if w.Payment != 0 {
			changes[w.Payment]++
		}
	}
	for id := range s.final {
		if changes[id] == 0 {
			return fmt.Errorf("payment %d is final and nothing of it is watched", id)
		}
	}
	return nil
}
