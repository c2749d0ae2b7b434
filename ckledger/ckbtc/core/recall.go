package core

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"fusion/btc"
)

// After a recovery of the subnet from a backup the chain has transactions of the minter that its log does not know. Each of them made change at the minter's own
// address. So whoever knows the transactions behind all outputs there that the log does not know, and behind those outputs at the address that they spend, and
// so on, knows all of them. The Bitcoin canister shows outputs, not transactions: a controller gives them, and their ids prove what they say.
//
// What a transaction pays of a withdrawal follows from its inputs and outputs to the satoshi: the amount less an even share of the fees (draftOf).

// Recalled is a mined transaction of the minter that the log did not know. Confirmed follows.
type Recalled struct {
	Payment   uint64   // the next one; or an open one, of which it is one more version
	Inputs    []Utxo   // what it spends; none for a version
	Requests  []uint64 // what it pays; none for a version
	Raw       []byte
	BtcFee    uint64 // satoshi
	MinterFee uint64 // satoshi
	FeeRate   uint64 // millisatoshi per vbyte
	Kind      PaymentKind
}

// MinChange is the least value of an output that the minter makes at its own address, satoshi.
const MinChange = minterFeeMin

// ErrForgotten means that transactions which may be the minter's, and were made after the backup, are not known or cannot be told apart.
var ErrForgotten = errors.New("transactions that the log does not know may have paid what waits")

// Past is what a controller and the chain tell about transactions that the log does not know.
type Past struct {
	Own    PublicKey
	Tip    uint32
	Utxos  []Utxo               // at the minter's own address
	Given  map[btc.Hash]*btc.Tx // by their ids
	Others map[btc.Hash]bool    // by the controller's word, what they pay to an address that waits is not for what waits
	// Strangers are transactions that turned out not to be the minter's; Recall adds to them. Anybody can pay to the minter's own address.
	Strangers map[btc.Hash]bool
}

// Orphan is an output that a transaction of after the backup spent and the log does not know. If it lies at an account's address, the minter has minted for it, for it spends
// nothing else; and the ledger has forgotten that.
type Orphan struct {
	Utxo   // the height is that of the spending transaction at most
	Script []byte
}

// Orphaned lists orphans.
type Orphaned struct{ List []Orphan }

func (s *State) orphaned(x *Orphaned) error {
	for _, o := range x.List {
		op := o.Outpoint()
		if !s.Foreign(o.Utxo) || s.Orphan(op) {
			return misfit("output %v is an orphan and known", op)
		}
		s.orphans[op] = o
	}
	return nil
}

// Orphans lists the orphans at an address that are not minted again, in order.
func (s *State) Orphans(script []byte) (us []Utxo) {
	for _, o := range s.orphans {
		if bytes.Equal(o.Script, script) {
			us = append(us, o.Utxo)
		}
	}
	slices.SortFunc(us, func(a, b Utxo) int { return compareOutpoints(a.Outpoint(), b.Outpoint()) })
	return us
}

// Orphan reports whether an output is an orphan that is not minted again.
func (s *State) Orphan(op btc.Outpoint) bool {
	_, is := s.orphans[op]
	return is
}

// Orphanage is the number of orphans, and their value in satoshi. Some may be others' outputs, which nobody can claim.
func (s *State) Orphanage() (n int, sum uint64) {
	for _, o := range s.orphans {
		sum += o.Value
	}
	return len(s.orphans), sum
}

// Recall gives the events of the next forgotten transaction whose predecessors the log knows; nil if there is none left. other are outputs that such transactions pay
// and no withdrawal explains.
func (s *State) Recall(now uint64, p Past) (events []Event, other []string, err error) {
	self, err := p.Own.Address(s.Config.Network, s.Minter)
	if err != nil {
		return nil, nil, err
	}
	r := recall{State: s, Past: p, self: self.Script(), seen: map[btc.Hash]*sight{}}
	if r.key, err = p.Own.Of(s.Minter); err != nil {
		return nil, nil, err
	}
	for _, b := range s.burns {
		if b.Inputs == 0 {
			return nil, nil, fmt.Errorf("%w: the ledger has not said yet of all withdrawals whether it burned for them: call resume again", ErrForgotten)
		}
	}
	for _, u := range p.Utxos {
		if u.Height > 0 && u.Height <= p.Tip && s.Foreign(u) && !p.Strangers[u.Txid] {
			r.look(u.Txid, u.Height)
		}
	}
	for _, id := range r.order { // predecessors first
		if events, other, err = r.place(now, id); err == nil && confirms(events) && p.Tip-r.seen[id].height+1 < s.Config.Confirmations {
			return nil, nil, fmt.Errorf("%w: %v has less than %d confirmations: call resume again when it has", ErrForgotten, id, s.Config.Confirmations)
		}
		if err != nil || events != nil {
			return events, other, err
		}
		p.Strangers[id] = true
	}
	if len(r.lacking) > 0 {
		more := ""
		if n := len(r.lacking); n > maxNamed {
			r.lacking, more = r.lacking[:maxNamed], fmt.Sprintf(" and %d more", n-maxNamed)
		}
		return nil, nil, fmt.Errorf("%w: give %s%s as they are in blocks, in hexadecimal (transactions)", ErrForgotten, strings.Join(r.lacking, ", "), more)
	}
	return nil, nil, nil
}

func confirms(events []Event) bool {
	return slices.ContainsFunc(events, func(e Event) bool { return e.Confirmed != nil })
}

type recall struct {
	*State
	Past
	self    []byte // the script of the minter's own address
	key     [33]byte
	seen    map[btc.Hash]*sight
	order   []btc.Hash // of those that are whole
	lacking []string
}

// sight is a transaction that was looked at.
type sight struct {
	height uint32 // at most
	whole  bool   // given, with all that it takes to tell what it is
}

// source finds an output that a transaction spends: its value and whether it is certainly the minter's. known is false if the transaction that made it is needed.
func (r *recall) source(op btc.Outpoint) (u Utxo, ours, known bool) {
	if w := r.watched[op]; w != nil {
		return w.Utxo, true, true
	}
	if o, ok := r.available[op]; ok {
		return o.Utxo, true, true
	}
	for _, ps := range []map[uint64]*Payment{r.payments, r.final} {
		if p := ps[r.spends[op]]; p != nil {
			i := slices.IndexFunc(p.Inputs, func(o Owned) bool { return o.Outpoint() == op })
			return p.Inputs[i].Utxo, true, true
		}
	}
	if p := r.payments[r.txids[op.Txid]]; p != nil {
		for _, v := range p.Versions {
			if v.Txid == op.Txid && int(op.Vout) < len(v.Outputs) {
				return Utxo{Txid: op.Txid, Vout: op.Vout, Value: v.Outputs[op.Vout].Value}, bytes.Equal(v.Outputs[op.Vout].Script, r.self), true
			}
		}
	}
	tx := r.Given[op.Txid]
	if tx == nil || int(op.Vout) >= len(tx.Outputs) {
		return Utxo{}, false, false
	}
	out := tx.Outputs[op.Vout]
	return Utxo{Txid: op.Txid, Vout: op.Vout, Value: uint64(out.Value)}, bytes.Equal(out.Script, r.self), true
}

// own reports whether an input may spend an output at the minter's own address, as far as its signature shows.
func (r *recall) own(in btc.TxIn) bool {
	if len(in.Witness) == 2 {
		return bytes.Equal(in.Witness[1], r.key[:])
	}
	return len(in.Witness) == 0 && len(in.ScriptSig) == 0
}

// alike reports whether a transaction looks like one of the minter's: change comes last, and inputs are as the minter signs them.
func (r *recall) alike(tx *btc.Tx) bool {
	return bytes.Equal(tx.Outputs[len(tx.Outputs)-1].Script, r.self) && !slices.ContainsFunc(tx.Inputs, func(in btc.TxIn) bool {
		w := in.Witness
		return in.Sequence != btc.SequenceRBF || !(len(w) == 2 && len(w[1]) == 33 || len(w) == 1 && (len(w[0]) == 64 || len(w[0]) == 65))
	})
}

// look goes through a mined transaction and those whose outputs at the minter's own address it spends. It reports whether all of them are whole.
func (r *recall) look(id btc.Hash, height uint32) (whole bool) {
	if x := r.seen[id]; x != nil {
		x.height = min(x.height, height)
		return x.whole
	}
	x := &sight{height: height}
	r.seen[id] = x
	tx := r.Given[id]
	if tx == nil {
		r.lack(id)
		return false
	}
	x.whole = true
	mine := r.alike(tx) || slices.ContainsFunc(tx.Outputs, func(o btc.TxOut) bool { return r.wanted(o.Script) })
	for _, in := range tx.Inputs {
		_, ours, known := r.source(in.Prev)
		mine = mine || ours && known
	}
	for _, in := range tx.Inputs {
		_, ours, known := r.source(in.Prev)
		_, logged := r.txids[in.Prev.Txid]
		switch {
		case !known && (mine || r.own(in)):
			r.lack(in.Prev.Txid)
			x.whole = false
		case known && ours && !logged && !r.holds(in.Prev):
			x.whole = r.look(in.Prev.Txid, height) && x.whole
		}
	}
	if x.whole {
		r.order = append(r.order, id)
	}
	return x.whole
}

func (r *recall) lack(id btc.Hash) {
	if text := id.String(); !slices.Contains(r.lacking, text) {
		r.lacking = append(r.lacking, text)
	}
}

// holds reports whether the log has an output.
func (s *State) holds(op btc.Outpoint) bool {
	_, free := s.available[op]
	return free || s.watched[op] != nil || s.spends[op] != 0
}

// wanted reports whether a withdrawal to an address waits.
func (s *State) wanted(script []byte) bool {
	return slices.ContainsFunc(s.queue, func(id uint64) bool { return bytes.Equal(s.requests[id].Address.Script(), script) })
}

// place finds what a mined transaction is, given that the log knows those before it. It returns nothing for one that is not the minter's.
func (r *recall) place(now uint64, id btc.Hash) (events []Event, other []string, err error) {
	fail := func(format string, args ...any) ([]Event, []string, error) {
		return nil, nil, fmt.Errorf("%w: %v %s", ErrForgotten, id, fmt.Sprintf(format, args...))
	}
	tx, height := r.Given[id], r.seen[id].height
	if _, done := r.txids[id]; done {
		return nil, nil, nil
	}
	last := len(tx.Outputs) - 1
	x := &Recalled{Payment: r.lastPay + 1, Raw: tx.Bytes()}
	var open uint64 // the payment some of whose inputs it spends
	mine, complete := false, true
	var in, out uint64
	var orphans []Orphan
	for _, i := range tx.Inputs {
		op := i.Prev
		u, ours, known := r.source(op)
		complete = complete && known
		mine = mine || ours
		if from := r.Given[op.Txid]; known && !ours && from != nil && r.Foreign(u) && !r.Orphan(op) {
			o := Orphan{u, from.Outputs[op.Vout].Script}
			o.Height = height
			orphans = append(orphans, o)
		}
		if p := r.payments[r.txids[op.Txid]]; p != nil && known {
			return []Event{{Time: now, Confirmed: r.mined(op.Txid, height)}}, nil, nil
		}
		if d := r.deposits[op]; d != nil && d.State != DepositMinted {
			return fail("spends deposit %v, and the ledger has not said yet whether it minted for that: call resume again", op)
		}
		switch n := r.spends[op]; {
		case r.final[n] != nil:
			return fail("spends %v, which payment %d spent", op, n)
		case n != 0:
			open = n
		}
		u.Height = 0
		x.Inputs = append(x.Inputs, u)
		in += u.Value
	}
	for _, o := range tx.Outputs {
		out += uint64(o.Value)
	}
	if !complete { // nothing shows that it is the minter's, and it pays nobody who waits
		return nil, nil, nil
	}
	if in < out || !bytes.Equal(tx.Outputs[last].Script, r.self) {
		if !mine {
			return nil, nil, nil
		}
		return fail("spends the minter's outputs and is no transaction that it makes")
	}
	x.BtcFee = in - out
	x.FeeRate = uint64(btc.FeeRate(btc.Satoshi(x.BtcFee), tx.VSize()))
	x.MinterFee = MinterFee(len(tx.Inputs), len(tx.Outputs))
	confirmed := Event{Time: now, Confirmed: &ConfirmedTx{Payment: x.Payment, Txid: id, Height: height}}
	if p := r.payments[open]; p != nil {
		same := len(p.Inputs) == len(tx.Inputs) && p.Kind == PaysOut
		for i := range tx.Inputs {
			same = same && p.Inputs[i].Outpoint() == tx.Inputs[i].Prev
		}
		if len(tx.Outputs) == 1 {
			x.Kind = Cancels
		}
		x.Payment, x.Inputs = open, nil
		confirmed.Confirmed.Payment = open
		if !same {
			return fail("spends other outputs than payment %d, and some of them", open)
		}
		if _, err := r.version(p, x.prepared(tx, uint64(len(p.Versions)))); err != nil {
			return fail("spends what payment %d spends, and does not do what that is for: %v", open, err)
		}
		return []Event{{Time: now, Recalled: x}, confirmed}, nil, nil
	}
	if slices.ContainsFunc(tx.Outputs, func(o btc.TxOut) bool { return !bytes.Equal(o.Script, r.self) }) {
		for i, share := range Distribute(x.BtcFee+x.MinterFee, last) {
			o := tx.Outputs[i]
			amount := uint64(o.Value) + share
			n := slices.IndexFunc(r.queue, func(q uint64) bool {
				w := r.requests[q]
				return w.Amount == amount && bytes.Equal(w.Address.Script(), o.Script) && !slices.Contains(x.Requests, q)
			})
			if n >= 0 {
				x.Requests = append(x.Requests, r.queue[n])
				continue
			}
			if q, ok := r.begun(o.Script, amount); ok {
				return fail("pays what withdrawal %d is owed, which has another transaction: call resume again when that is in a block", q)
			}
			if q, like := r.like(o, x.Requests); like && !r.Others[id] {
				return fail("pays %d satoshi to the address of withdrawal %d, which waits for %d, and that is not what the minter would pay of it. If it is another's, name the transaction in others",
					o.Value, q, r.requests[q].Amount)
			}
			other = append(other, fmt.Sprintf("%v:%d (%d satoshi)", id, i, o.Value))
		}
	} else if last == 1 {
		x.Kind = Consolidates
		x.MinterFee = 0
	}
	paid := mine || len(x.Requests) > 0
	if len(orphans) > 0 && (paid || r.alike(tx)) {
		events = append(events, Event{Time: now, Orphaned: &Orphaned{orphans}})
	}
	if !paid {
		return events, nil, nil
	}
	return append(events, Event{Time: now, Recalled: x}, confirmed), other, nil
}

// mined gives what confirms a transaction of an open payment that a mined one spends, or, before it, one that it spends itself, and so on: all of them are mined.
func (s *State) mined(id btc.Hash, height uint32) *ConfirmedTx {
	p := s.payments[s.txids[id]]
	for _, o := range p.Inputs {
		if s.payments[s.txids[o.Txid]] != nil {
			return s.mined(o.Txid, height)
		}
	}
	return &ConfirmedTx{Payment: p.ID, Txid: id, Height: height}
}

// like finds a withdrawal that waits, besides some, and that an output could be for.
func (s *State) like(o btc.TxOut, besides []uint64) (id uint64, ok bool) {
	i := slices.IndexFunc(s.queue, func(q uint64) bool {
		r := s.requests[q]
		return !slices.Contains(besides, q) && uint64(o.Value) < r.Amount && bytes.Equal(r.Address.Script(), o.Script)
	})
	if i < 0 {
		return 0, false
	}
	return s.queue[i], true
}

// begun names the first withdrawal that has another transaction and would be paid so.
func (s *State) begun(script []byte, amount uint64) (id uint64, ok bool) {
	for _, p := range s.payments {
		for _, q := range p.Requests {
			if r := s.requests[q]; r.Amount == amount && bytes.Equal(r.Address.Script(), script) && (!ok || q < id) {
				id, ok = q, true
			}
		}
	}
	return id, ok
}

// prepared is the layout of a recalled transaction.
func (x *Recalled) prepared(tx *btc.Tx, version uint64) *Prepared {
	p := &Prepared{Payment: x.Payment, Version: version, Requests: x.Requests, Inputs: x.Inputs, FeeRate: x.FeeRate, BtcFee: x.BtcFee, MinterFee: x.MinterFee, Kind: x.Kind}
	for _, o := range tx.Outputs {
		p.Outputs = append(p.Outputs, Output{o.Script, uint64(o.Value)})
	}
	return p
}

// recalled opens a payment that the log did not know, or adds its transaction to one that it knows.
func (s *State) recalled(e *Event) error {
	x := e.Recalled
	tx, err := btc.ParseTx(bytes.Clone(x.Raw))
	if err != nil || s.stale == 0 || len(tx.Outputs) == 0 {
		return misfit("payment %d is recalled: %v, stale: %v", x.Payment, err, s.stale != 0)
	}
	id := tx.Txid()
	if _, dup := s.txids[id]; dup {
		return misfit("transaction %v is recalled and was known", id)
	}
	p := s.payments[x.Payment]
	v := &Version{Txid: id}
	if p != nil {
		if v, err = s.version(p, x.prepared(tx, uint64(len(p.Versions)))); err != nil {
			return err
		}
		if v.Txid != id {
			return misfit("transaction %v is no version of payment %d", id, x.Payment)
		}
		v.Tx = nil
	} else {
		if x.Payment != s.lastPay+1 || len(x.Inputs) != len(tx.Inputs) {
			return misfit("payment %d with %d inputs is recalled after payment %d", x.Payment, len(x.Inputs), s.lastPay)
		}
		p = &Payment{ID: x.Payment, Kind: x.Kind, Requests: x.Requests}
		for i, u := range x.Inputs {
			op := u.Outpoint()
			if op != tx.Inputs[i].Prev || s.spends[op] != 0 {
				return misfit("payment %d does not spend %v", x.Payment, op)
			}
			o := Owned{u, s.Minter} // of a deposit that the log does not know
			if w := s.watched[op]; w != nil {
				o, w.Locked = w.Owned, false // it was spent, so it was free
			} else if have, ok := s.available[op]; ok {
				o = have
			}
			s.disown(op)
			s.spends[op] = x.Payment
			p.Inputs = append(p.Inputs, o)
		}
		for _, q := range x.Requests {
			r := s.requests[q]
			if r == nil || r.State != RequestPending {
				return misfit("payment %d has paid %d, which is not pending", x.Payment, q)
			}
			r.State, r.Payment = RequestInPayment, x.Payment
			s.unqueue(q)
		}
		if x.Kind == Consolidates {
			s.feeCredit -= min(s.feeCredit, x.BtcFee)
		}
		s.lastPay, s.payments[x.Payment] = x.Payment, p
		v.Prepared = *x.prepared(tx, 0)
	}
	v.PreparedAt, v.CompleteAt, v.Complete, v.Sent, v.Raw = e.Time, e.Time, true, true, x.Raw
	s.txids[id] = p.ID
	p.Versions = append(p.Versions, v)
	return nil
}
