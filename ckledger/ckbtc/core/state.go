package core

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"fusion/btc"
)

// ErrEvent means that an event does not fit the state: the log is corrupt or the program is wrong. The caller must stop.
var ErrEvent = errors.New("event does not fit the minter's state")

// DepositState is where a deposit stands.
type DepositState uint8

// The states of a deposit that passed its checks.
const (
	DepositChecked DepositState = iota + 1 // to be minted
	DepositAsked                           // the ledger was asked; the outcome is not known yet
	DepositUnknown                         // the outcome can no longer be known; an operator must look at the ledger
	DepositMinted
)

// Deposit is a deposit that passed its checks.
type Deposit struct {
	Utxo    Utxo
	Account Account
	State   DepositState
	Mint    MintAsked // the last one asked
	Block   uint64    // of the ledger, once minted
	Spent   bool      // an orphan: it is minted and never the minter's to spend
}

// Suspended is a deposit that did not pass its checks. It may be tried again later (Limits.Suspend).
type Suspended struct {
	Utxo    Utxo
	Account Account
	Reason  SuspendReason
	Since   uint64 // ns
}

// RequestState is where a withdrawal stands.
type RequestState uint8

// The states of a withdrawal, from burn to end.
const (
	RequestPending       RequestState = iota + 1 // waits for a transaction
	RequestInPayment                             // see the payment
	RequestConfirmed                             // paid
	RequestWillRefund                            // ckBTC will be minted back
	RequestRefunded                              // it was
	RequestRefundUnknown                         // the mint's outcome cannot be known: an operator must look at the ledger
	RequestCancelled                             // a transaction that cancels its payment is final: to be refunded
)

// Request is a withdrawal.
type Request struct {
	BlockIndex   uint64 // of the burn
	Amount       uint64
	Address      btc.Address
	ReceivedAt   uint64
	Account      Account // to refund
	State        RequestState
	Payment      uint64
	Txid         btc.Hash // of the confirmed transaction
	FeeRate      uint64   // that it pays
	Replacements uint64   // of transactions, before one confirmed
	Refund       Refund
	RefundAt     uint64 // the stamp of the refund asked, 0 for none
	RefundIn     uint64 // the block of the refund
}

// Burn is a burn whose outcome is not known yet.
type Burn struct {
	BurnAsked
	Unknown bool
}

// Version is one transaction of a payment.
type Version struct {
	Prepared
	Tx         *btc.Tx
	Txid       btc.Hash
	Digests    [][32]byte
	Signatures [][]byte // nil where missing
	PreparedAt uint64
	Complete   bool
	CompleteAt uint64
	Raw        []byte // once complete
	Sent       bool
}

// Payment is a batch of withdrawals with all transactions ever prepared for it. All spend the same inputs.
type Payment struct {
	ID       uint64
	Kind     PaymentKind // PaysOut or Consolidates
	Requests []uint64
	Inputs   []Owned
	Keys     [][]byte
	Versions []*Version
}

// Owned is an output that the minter can spend.
type Owned struct {
	Utxo
	Account Account
}

// Latest is the newest version.
func (p *Payment) Latest() *Version { return p.Versions[len(p.Versions)-1] }

// Cancelling reports whether a transaction was prepared that pays nobody.
func (p *Payment) Cancelling() bool { return p.Latest().Kind == Cancels }

// best is the newest version that is complete, or nil.
func (p *Payment) best() *Version {
	for i := len(p.Versions) - 1; i >= 0; i-- {
		if p.Versions[i].Complete {
			return p.Versions[i]
		}
	}
	return nil
}

// State is everything the minter knows. It changes by Apply only.
type State struct {
	Config Config
	Minter Account // the minter's main account: change goes there

	deposits  map[btc.Outpoint]*Deposit
	openMints map[btc.Outpoint]*Deposit // checked or asked
	suspended map[btc.Outpoint]*Suspended
	available map[btc.Outpoint]Owned
	taproot   map[btc.Outpoint]bool      // deposits to taproot addresses
	byOwner   map[Account][]btc.Outpoint // deposits that passed their checks
	known     map[Account][]btc.Outpoint // available, by account

	burns     map[uint64]*Burn
	lastBurn  uint64
	requests  map[uint64]*Request
	byAccount map[Account][]uint64 // requests by refund account
	queue     []uint64             // pending requests, oldest first
	refunds   map[uint64]*Request  // scheduled, not minted

	payments map[uint64]*Payment // not final
	lastPay  uint64
	txids    map[btc.Hash]uint64 // every transaction ever prepared → payment

	final    map[uint64]*Payment     // final, not settled
	spends   map[btc.Outpoint]uint64 // inputs of payments that are not settled
	watched  map[btc.Outpoint]*Watch
	pins     map[uint64][]pin      // withdrawals → payments that were abandoned under them
	rebuilt  map[btc.Outpoint]bool // restored custody, ever
	lost     uint64                // satoshi of minted deposits, written off
	restored uint64                // satoshi
	epoch    *uint64               // of the Bitcoin canister, nil until it is known
	recovery uint64                // number of the subnet's last recovery from a backup that the log knows
	stale    uint64                // when that was learnt, in ns, 0 once a controller has resumed
	reset    bool                  // it changed, and no controller has resumed since
	orphans  map[btc.Outpoint]Orphan

	cancelled      map[uint64]bool   // requests to refund
	feeBurns       map[uint64]uint64 // block of the ledger → what was burned for consolidations
	feeCredit      uint64            // of it, not spent yet
	feeAsked       uint64            // when it was asked last, ns
	consolidatedAt uint64            // when a consolidation was prepared last, ns
	consolidations uint64

	lastStamp uint64
	stamps    map[uint64]Task // every created_at_time ever used → what was asked with it
	unknown   map[Task]bool   // transfers whose outcome is unknown
	events    uint64

	minted, burned, refunded uint64 // satoshi, ever
}

// NewState is the state before the first event.
func NewState(minter Account) *State {
	return &State{Minter: minter,
		deposits: map[btc.Outpoint]*Deposit{}, openMints: map[btc.Outpoint]*Deposit{}, suspended: map[btc.Outpoint]*Suspended{},
		available: map[btc.Outpoint]Owned{}, known: map[Account][]btc.Outpoint{}, burns: map[uint64]*Burn{}, requests: map[uint64]*Request{},
		taproot: map[btc.Outpoint]bool{}, byOwner: map[Account][]btc.Outpoint{}, byAccount: map[Account][]uint64{}, refunds: map[uint64]*Request{}, payments: map[uint64]*Payment{}, txids: map[btc.Hash]uint64{},
		cancelled: map[uint64]bool{}, feeBurns: map[uint64]uint64{},
		stamps: map[uint64]Task{}, unknown: map[Task]bool{}, final: map[uint64]*Payment{}, spends: map[btc.Outpoint]uint64{},
		watched: map[btc.Outpoint]*Watch{}, pins: map[uint64][]pin{}, rebuilt: map[btc.Outpoint]bool{}, orphans: map[btc.Outpoint]Orphan{}}
}

func misfit(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrEvent, fmt.Sprintf(format, args...))
}

// Apply changes the state by one event. An error leaves the state unusable.
func (s *State) Apply(e *Event) error {
	if s.events == 0 && e.Init == nil {
		return misfit("the log does not begin with init")
	}
	s.events++
	switch {
	case e.Init != nil:
		if s.events != 1 {
			return misfit("init twice")
		}
		s.Config = *e.Init
		return s.Config.Check()
	case e.Upgrade != nil:
		if s.Config.SchnorrKey != "" && e.Upgrade.SchnorrKey != s.Config.SchnorrKey {
			return misfit("an upgrade changes the key of taproot addresses")
		}
		if e.Upgrade.Network != s.Config.Network || !bytes.Equal(e.Upgrade.Ledger, s.Config.Ledger) || e.Upgrade.KeyName != s.Config.KeyName {
			return misfit("an upgrade changes network, ledger or key")
		}
		s.Config = *e.Upgrade
		return s.Config.Check()
	case e.CheckedUtxo != nil:
		return s.checked(e.CheckedUtxo)
	case e.SuspendedUtxo != nil:
		x := e.SuspendedUtxo
		if s.deposits[x.Utxo.Outpoint()] != nil {
			return misfit("deposit %v is suspended after it passed", x.Utxo.Outpoint())
		}
		s.suspended[x.Utxo.Outpoint()] = &Suspended{x.Utxo, x.Account, x.Reason, e.Time}
	case e.MintAsked != nil, e.MintRefused != nil, e.MintUnknown != nil, e.Minted != nil:
		return s.mint(e)
	case e.BurnAsked != nil, e.BurnRefused != nil, e.BurnUnknown != nil, e.Accepted != nil, e.FeeBurned != nil:
		return s.burn(e)
	case e.Prepared != nil:
		return s.prepared(e)
	case e.Signed != nil, e.Complete != nil, e.Sent != nil:
		return s.signed(e)
	case e.Recalled != nil:
		return s.recalled(e)
	case e.Orphaned != nil:
		return s.orphaned(e.Orphaned)
	case e.Confirmed != nil:
		return s.confirmed(e)
	case e.Refund != nil, e.RefundAsked != nil, e.RefundRefused != nil, e.RefundUnknown != nil, e.Refunded != nil:
		return s.refund(e)
	case e.Vanished != nil, e.Returned != nil, e.Settled != nil, e.Reversed != nil, e.Restored != nil, e.Doubted != nil, e.Epoch != nil, e.Recovery != nil, e.Resumed != nil:
		return s.reorg(e)
	default:
		return misfit("empty event")
	}
	return nil
}

func (s *State) checked(x *UtxoOf) error {
	op := x.Utxo.Outpoint()
	if s.deposits[op] != nil {
		return misfit("deposit %v is checked twice", op)
	}
	if x.Account == s.Minter {
		return misfit("deposit %v belongs to the minter itself", op)
	}
	o, spent := s.orphans[op]
	if spent && (o.Value != x.Utxo.Value || s.Surplus() < o.Value) {
		return misfit("deposit %v of %d satoshi, which was spent after the backup, is worth %d, and %d are nobody's", op, x.Utxo.Value, o.Value, s.Surplus())
	}
	delete(s.suspended, op)
	d := &Deposit{Utxo: x.Utxo, Account: x.Account, State: DepositChecked, Spent: spent}
	s.byOwner[x.Account] = append(s.byOwner[x.Account], op)
	if x.Taproot {
		s.taproot[op] = true
	}
	s.deposits[op], s.openMints[op] = d, d
	if s.Config.settles() && !spent {
		s.watch(Owned{x.Utxo, x.Account}, 0)
	}
	return nil
}

func (s *State) mint(e *Event) error {
	var op btc.Outpoint
	switch {
	case e.MintAsked != nil:
		op = e.MintAsked.Outpoint
	case e.MintRefused != nil:
		op = *e.MintRefused
	case e.MintUnknown != nil:
		op = *e.MintUnknown
	default:
		op = e.Minted.Outpoint
	}
	d := s.deposits[op]
	if d == nil {
		return misfit("mint of unknown deposit %v", op)
	}
	switch d.State {
	case DepositChecked:
		if e.MintAsked == nil {
			return misfit("mint of deposit %v ends but was not asked", op)
		}
	case DepositAsked:
		if e.MintAsked != nil {
			return misfit("mint of deposit %v is asked twice", op)
		}
	case DepositUnknown: // the ledger's blocks may answer what its methods did not
		if e.Minted == nil && e.MintRefused == nil {
			return misfit("mint of deposit %v has an unknown outcome", op)
		}
	default:
		return misfit("deposit %v is minted already", op)
	}
	switch {
	case e.MintAsked != nil:
		if e.MintAsked.Amount+e.MintAsked.CheckFee != d.Utxo.Value || e.MintAsked.Amount == 0 {
			return misfit("mint of %d for deposit %v of %d", e.MintAsked.Amount, op, d.Utxo.Value)
		}
		d.State, d.Mint = DepositAsked, *e.MintAsked
		return s.stamp(d.Mint.CreatedAt, Task{Kind: TaskMint, Outpoint: op})
	case e.MintRefused != nil:
		d.State = DepositChecked
		s.openMints[op] = d
		delete(s.unknown, Task{Kind: TaskMint, Outpoint: op})
	case e.MintUnknown != nil:
		d.State = DepositUnknown
		delete(s.openMints, op)
		s.unknown[Task{Kind: TaskMint, Outpoint: op}] = true
	default:
		delete(s.unknown, Task{Kind: TaskMint, Outpoint: op})
		d.State, d.Block = DepositMinted, e.Minted.BlockIndex
		delete(s.openMints, op)
		s.minted += d.Mint.Amount
		if w := s.watched[op]; w != nil && !w.Missing {
			s.regain(w)
		} else if w == nil && !d.Spent {
			s.own(Owned{d.Utxo, d.Account})
		}
		delete(s.orphans, op)
	}
	return nil
}

// stamp notes what was asked with a created_at_time.
func (s *State) stamp(at uint64, t Task) error {
	if at <= s.lastStamp {
		return misfit("created_at_time %d follows %d", at, s.lastStamp)
	}
	s.lastStamp, s.stamps[at] = at, t
	return nil
}

func (s *State) own(o Owned) {
	op := o.Outpoint()
	s.available[op] = o
	s.known[o.Account] = append(s.known[o.Account], op)
}

func (s *State) disown(op btc.Outpoint) (Owned, bool) {
	o, ok := s.available[op]
	if !ok {
		return o, false
	}
	delete(s.available, op)
	list := s.known[o.Account]
	list = slices.Delete(list, slices.Index(list, op), slices.Index(list, op)+1)
	if len(list) == 0 {
		delete(s.known, o.Account)
	} else {
		s.known[o.Account] = list
	}
	return o, true
}

func (s *State) burn(e *Event) error {
	switch {
	case e.BurnAsked != nil:
		b := e.BurnAsked
		if b.Number != s.lastBurn+1 {
			return misfit("burn %d follows %d", b.Number, s.lastBurn)
		}
		s.lastBurn = b.Number
		s.burns[b.Number] = &Burn{BurnAsked: *b}
		if b.Inputs > 0 {
			if b.From != FeeAccount(s.Minter.Owner) {
				return misfit("burn %d takes a consolidation's fee from somebody else", b.Number)
			}
			s.feeAsked = e.Time
		}
		return s.stamp(b.CreatedAt, Task{Kind: TaskBurn, ID: b.Number})
	case e.BurnRefused != nil:
		if s.burns[*e.BurnRefused] == nil {
			return misfit("burn %d is not open", *e.BurnRefused)
		}
		delete(s.burns, *e.BurnRefused)
		delete(s.unknown, Task{Kind: TaskBurn, ID: *e.BurnRefused})
	case e.BurnUnknown != nil:
		b := s.burns[*e.BurnUnknown]
		if b == nil || b.Unknown {
			return misfit("burn %d is not open", *e.BurnUnknown)
		}
		b.Unknown = true
		s.unknown[Task{Kind: TaskBurn, ID: b.Number}] = true
	case e.FeeBurned != nil:
		x := e.FeeBurned
		if b := s.burns[x.Number]; b == nil || b.Inputs == 0 || b.Amount != x.Amount || s.BurnedIn(x.BlockIndex) {
			return misfit("burn %d of a fee is not open", x.Number)
		}
		delete(s.burns, x.Number)
		delete(s.unknown, Task{Kind: TaskBurn, ID: x.Number})
		s.feeBurns[x.BlockIndex] = x.Amount
		s.feeCredit += x.Amount
		s.burned += x.Amount
	default:
		a := e.Accepted
		if b := s.burns[a.Number]; b == nil || b.Inputs > 0 {
			return misfit("burn %d is not open", a.Number)
		}
		if s.BurnedIn(a.BlockIndex) {
			return misfit("burn block %d is accepted twice", a.BlockIndex)
		}
		addr, err := btc.ParseAddress(s.Config.Network, a.Address)
		if err != nil {
			return misfit("withdrawal to %q: %v", a.Address, err)
		}
		delete(s.burns, a.Number)
		delete(s.unknown, Task{Kind: TaskBurn, ID: a.Number})
		s.requests[a.BlockIndex] = &Request{BlockIndex: a.BlockIndex, Amount: a.Amount, Address: addr, ReceivedAt: e.Time,
			Account: a.Refund, State: RequestPending}
		s.byAccount[a.Refund] = append(s.byAccount[a.Refund], a.BlockIndex)
		s.queue = append(s.queue, a.BlockIndex)
		s.burned += a.Amount
	}
	return nil
}

func (s *State) prepared(e *Event) error {
	x := e.Prepared
	var p *Payment
	if x.Version == 0 {
		if x.Payment != s.lastPay+1 {
			return misfit("payment %d follows %d", x.Payment, s.lastPay)
		}
		p = &Payment{ID: x.Payment, Kind: x.Kind, Requests: x.Requests, Keys: x.Keys}
		if x.Kind > Consolidates || x.Kind == Cancels || (len(x.Requests) == 0) != (x.Kind == Consolidates) || len(x.Inputs) == 0 || len(x.Keys) != len(x.Inputs) {
			return misfit("payment %d is empty", x.Payment)
		}
		if !s.kills(x.Requests, x.Inputs) {
			return misfit("payment %d does not spend what a payment before it spent", x.Payment)
		}
		for _, u := range x.Inputs {
			o, ok := s.disown(u.Outpoint())
			if !ok {
				return misfit("payment %d spends %v, which is not available", x.Payment, u.Outpoint())
			}
			p.Inputs = append(p.Inputs, o)
			s.spends[u.Outpoint()] = x.Payment
		}
		for _, id := range x.Requests {
			r := s.requests[id]
			if r == nil || r.State != RequestPending {
				return misfit("payment %d pays %d, which is not pending", x.Payment, id)
			}
			r.State, r.Payment = RequestInPayment, x.Payment
			s.unqueue(id)
		}
		s.lastPay = x.Payment
		s.payments[p.ID] = p
	} else {
		p = s.payments[x.Payment]
		if p == nil || x.Version != uint64(len(p.Versions)) || !p.Latest().Complete || len(x.Inputs)+len(x.Requests)+len(x.Keys) != 0 ||
			p.Kind != PaysOut || x.Kind > Cancels || p.Cancelling() && x.Kind != Cancels {
			return misfit("version %d of payment %d is out of order", x.Version, x.Payment)
		}
	}
	v, err := s.version(p, x)
	if err != nil {
		return err
	}
	if _, dup := s.txids[v.Txid]; dup {
		return misfit("transaction %v is prepared twice", v.Txid)
	}
	v.PreparedAt = e.Time
	if x.Kind == Consolidates {
		s.feeCredit -= x.BtcFee
		s.consolidatedAt = e.Time
		s.consolidations++
	}
	s.txids[v.Txid] = p.ID
	p.Versions = append(p.Versions, v)
	return nil
}

// version builds the transaction and checks that it pays every request what it is owed less the fees, and the rest to the minter.
func (s *State) version(p *Payment, x *Prepared) (v *Version, err error) {
	tx := &btc.Tx{Version: 2}
	var in, out, owed uint64
	for _, u := range p.Inputs {
		tx.Inputs = append(tx.Inputs, btc.TxIn{Prev: u.Outpoint(), Sequence: btc.SequenceRBF})
		in += u.Value
	}
	for _, o := range x.Outputs {
		tx.Outputs = append(tx.Outputs, btc.TxOut{Value: btc.Satoshi(o.Value), Script: o.Script})
		out += o.Value
	}
	if in != out+x.BtcFee {
		return nil, misfit("payment %d does not balance", p.ID)
	}
	switch x.Kind {
	case Cancels:
		first := p.Versions[0]
		if len(x.Outputs) != 1 || !bytes.Equal(x.Outputs[0].Script, first.Outputs[len(first.Outputs)-1].Script) || s.refundable(p, x.BtcFee+x.MinterFee) == nil {
			return nil, misfit("payment %d is not cancelled to the minter alone", p.ID)
		}
	case Consolidates:
		if len(x.Outputs) != 2 || !bytes.Equal(x.Outputs[0].Script, x.Outputs[1].Script) || x.BtcFee > s.feeCredit || x.MinterFee != 0 {
			return nil, misfit("consolidation %d spends %d on fees of %d that were burned", p.ID, x.BtcFee, s.feeCredit)
		}
	default:
		if len(x.Outputs) != len(p.Requests)+1 {
			return nil, misfit("payment %d has %d outputs for %d requests", p.ID, len(x.Outputs), len(p.Requests))
		}
		for i, id := range p.Requests {
			r := s.requests[id]
			if !bytes.Equal(x.Outputs[i].Script, r.Address.Script()) || x.Outputs[i].Value > r.Amount {
				return nil, misfit("payment %d does not pay request %d what it asked", p.ID, id)
			}
			owed += r.Amount
		}
		if in < owed || x.Outputs[len(p.Requests)].Value != in-owed+x.MinterFee {
			return nil, misfit("payment %d does not balance", p.ID)
		}
	}
	v = &Version{Prepared: *x, Tx: tx, Txid: tx.Txid(), Signatures: make([][]byte, len(p.Inputs))}
	if v.Digests, err = s.digests(tx, p); err != nil {
		return nil, misfit("payment %d: %v", p.ID, err)
	}
	return v, nil
}

// digests are what the signatures of a transaction's inputs sign.
func (s *State) digests(tx *btc.Tx, p *Payment) (ds [][32]byte, err error) {
	hashes := btc.NewSigHashes(tx)
	var rooted *btc.TaprootHashes // made if there is a taproot input: it needs all scripts that are spent
	if slices.ContainsFunc(p.Inputs, func(o Owned) bool { return s.taproot[o.Outpoint()] }) {
		prevs := make([]btc.TxOut, len(p.Inputs))
		for i, o := range p.Inputs {
			a, err := btc.P2WPKHFromPubKey(s.Config.Network, p.Keys[i])
			if s.taproot[o.Outpoint()] {
				a, err = btc.NewAddress(s.Config.Network, btc.P2TR, p.Keys[i])
			}
			if err != nil {
				return nil, err
			}
			prevs[i] = btc.TxOut{Value: btc.Satoshi(o.Value), Script: a.Script()}
		}
		if rooted, err = btc.NewTaprootHashes(tx, prevs); err != nil {
			return nil, err
		}
	}
	for i, o := range p.Inputs {
		var d [32]byte
		if s.taproot[o.Outpoint()] {
			d, err = rooted.Digest(i)
		} else {
			d, err = hashes.P2WPKH(i, p.Keys[i], btc.Satoshi(o.Value))
		}
		if err != nil {
			return nil, err
		}
		ds = append(ds, d)
	}
	return ds, nil
}

func (s *State) signed(e *Event) error {
	var id, n uint64
	switch {
	case e.Signed != nil:
		id, n = e.Signed.Payment, e.Signed.Version
	case e.Complete != nil:
		id, n = e.Complete.Payment, e.Complete.Version
	default:
		id, n = e.Sent.Payment, e.Sent.Version
	}
	p := s.payments[id]
	if p == nil || n >= uint64(len(p.Versions)) {
		return misfit("no version %d of payment %d", n, id)
	}
	v := p.Versions[n]
	switch {
	case e.Signed != nil:
		i := e.Signed.Input
		if i >= uint64(len(v.Signatures)) || v.Complete || v.Signatures[i] != nil {
			return misfit("input %d of payment %d needs no signature", i, id)
		}
		v.Signatures[i] = e.Signed.Signature
	case e.Complete != nil:
		if v.Complete || slices.ContainsFunc(v.Signatures, func(b []byte) bool { return b == nil }) || e.Complete.Txid != v.Txid {
			return misfit("version %d of payment %d is not complete", n, id)
		}
		v.Complete, v.CompleteAt, v.Raw = true, e.Time, e.Complete.Raw
		v.Tx = nil
	default:
		if !v.Complete || v.Sent {
			return misfit("version %d of payment %d is sent out of order", n, id)
		}
		v.Sent = true
	}
	return nil
}

func (s *State) confirmed(e *Event) error {
	x := e.Confirmed
	p := s.payments[x.Payment]
	if p == nil || s.txids[x.Txid] != x.Payment {
		return misfit("payment %d is not open", x.Payment)
	}
	i := slices.IndexFunc(p.Versions, func(v *Version) bool { return v.Txid == x.Txid })
	v := p.Versions[i]
	var back []uint64
	if v.Kind == Cancels {
		back = s.refundable(p, v.BtcFee+v.MinterFee)
	}
	for i, id := range p.Requests {
		r := s.requests[id]
		r.State, r.Txid = RequestConfirmed, x.Txid
		r.FeeRate, r.Replacements = v.FeeRate, uint64(len(p.Versions)-1)
		if v.Kind == Cancels {
			r.State, r.Refund = RequestCancelled, Refund{BlockIndex: id, Amount: back[i], Account: r.Account, Reason: RefundCancelled}
			s.cancelled[id] = true
		}
	}
	delete(s.payments, x.Payment)
	return s.finalChange(p, v, x.Height)
}

// own lists the outputs of a version that come back to the minter.
func (v *Version) own() (us []Utxo) {
	first := len(v.Outputs) - 1
	if v.Kind == Consolidates {
		first = 0
	}
	for i := first; i < len(v.Outputs); i++ {
		us = append(us, Utxo{Txid: v.Txid, Vout: uint32(i), Value: v.Outputs[i].Value})
	}
	return us
}

// refundable is what the requests of a payment get back if it is cancelled for a fee, in order; nil if some would get nothing.
func (s *State) refundable(p *Payment, fee uint64) (amounts []uint64) {
	for i, share := range Distribute(fee, len(p.Requests)) {
		r := s.requests[p.Requests[i]]
		if r.Amount <= share {
			return nil
		}
		amounts = append(amounts, r.Amount-share)
	}
	return amounts
}

func (s *State) refund(e *Event) error {
	if x := e.Refund; x != nil {
		r := s.requests[x.BlockIndex]
		if r != nil && r.State == RequestCancelled && s.final[r.Payment] == nil && *x == r.Refund {
			delete(s.cancelled, x.BlockIndex)
			r.State = RequestWillRefund
			s.refunds[x.BlockIndex] = r
			return nil
		}
		if r == nil || r.State != RequestPending || s.abandoned(x.BlockIndex) || x.Amount == 0 || x.Amount > r.Amount || x.Account != r.Account {
			return misfit("withdrawal %d cannot be refunded", x.BlockIndex)
		}
		s.unqueue(x.BlockIndex)
		r.State, r.Refund = RequestWillRefund, *x
		s.refunds[x.BlockIndex] = r
		return nil
	}
	var id uint64
	switch {
	case e.RefundAsked != nil:
		id = e.RefundAsked.BlockIndex
	case e.RefundRefused != nil:
		id = *e.RefundRefused
	case e.RefundUnknown != nil:
		id = *e.RefundUnknown
	default:
		id = e.Refunded.BlockIndex
	}
	r := s.refunds[id]
	if q := s.requests[id]; q != nil && q.State == RequestRefundUnknown && (e.RefundRefused != nil || e.Refunded != nil) {
		r = q // the ledger's blocks answered what its methods did not
		delete(s.unknown, Task{Kind: TaskRefund, ID: id})
		r.State, s.refunds[id] = RequestWillRefund, r
	}
	if r == nil || (e.RefundAsked != nil) != (r.RefundAt == 0) {
		return misfit("refund of %d is out of order", id)
	}
	switch {
	case e.RefundAsked != nil:
		r.RefundAt = e.RefundAsked.CreatedAt
		return s.stamp(r.RefundAt, Task{Kind: TaskRefund, ID: id})
	case e.RefundRefused != nil:
		r.RefundAt = 0
	case e.RefundUnknown != nil:
		r.State = RequestRefundUnknown
		delete(s.refunds, id)
		s.unknown[Task{Kind: TaskRefund, ID: id}] = true
	default:
		r.State, r.RefundIn = RequestRefunded, e.Refunded.MintBlock
		delete(s.refunds, id)
		s.refunded += r.Refund.Amount
	}
	return nil
}

func (s *State) unqueue(id uint64) {
	if i := slices.Index(s.queue, id); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
	}
}

// Stamp is a created_at_time for the ledger that no earlier request has: two equal transfers in one block must not look like one.
func (s *State) Stamp(now uint64) uint64 { return max(now, s.lastStamp+1) }

// NextBurn is the number of the next burn.
func (s *State) NextBurn() uint64 { return s.lastBurn + 1 }

// Deposit returns a deposit that passed its checks, or nil.
func (s *State) Deposit(op btc.Outpoint) *Deposit { return s.deposits[op] }

// Taproot reports whether a deposit lies at a taproot address.
func (s *State) Taproot(op btc.Outpoint) bool { return s.taproot[op] }

// Deposits lists the deposits of an account that passed their checks, oldest first.
func (s *State) Deposits(a Account) []btc.Outpoint { return s.byOwner[a] }

// SuspendedUtxo returns a suspended deposit, or nil.
func (s *State) SuspendedUtxo(op btc.Outpoint) *Suspended { return s.suspended[op] }

// Burn returns an open burn, or nil.
func (s *State) Burn(number uint64) *Burn { return s.burns[number] }

// Request returns a withdrawal by the block of its burn, or nil.
func (s *State) Request(block uint64) *Request { return s.requests[block] }

// BurnedIn reports whether a block of the ledger is that of a burn which was acted upon.
func (s *State) BurnedIn(block uint64) bool {
	_, fee := s.feeBurns[block]
	return fee || s.requests[block] != nil
}

// Requests lists the withdrawals that would be refunded to an account, oldest first.
func (s *State) Requests(a Account) []uint64 { return s.byAccount[a] }

// Payment returns a payment that is not final, or nil.
func (s *State) Payment(id uint64) *Payment { return s.payments[id] }

// Known lists the spendable outputs of an account.
func (s *State) Known(a Account) []Utxo {
	var us []Utxo
	for _, op := range s.known[a] {
		us = append(us, s.available[op].Utxo)
	}
	return us
}

// Queued is the number of withdrawals that wait for a payment.
func (s *State) Queued() int { return len(s.queue) }

// Open is the number of withdrawals that are neither paid nor refunded, with burns whose outcome is open.
func (s *State) Open() int {
	n := len(s.queue) + len(s.burns) + len(s.cancelled)
	for _, p := range s.payments {
		n += len(p.Requests)
	}
	return n
}

// Book counts what a state holds.
type Book struct {
	Queued, Payments, Available, Suspended, OpenMints int
	Consolidations                                    uint64
}

// Book counts what the state holds.
func (s *State) Book() Book {
	return Book{Queued: len(s.queue), Payments: len(s.payments), Available: len(s.available), Suspended: len(s.suspended), OpenMints: len(s.openMints),
		Consolidations: s.consolidations}
}

// Events is the number of events applied.
func (s *State) Events() uint64 { return s.events }

// Totals are the ckBTC ever minted for deposits, burned for withdrawals and minted back, in satoshi.
func (s *State) Totals() (minted, burned, refunded uint64) { return s.minted, s.burned, s.refunded }

// Custody is the bitcoin that the log accounts for: spendable outputs and the inputs of payments that are not final, without those that are missing.
func (s *State) Custody() uint64 {
	var sum uint64
	for _, o := range s.available {
		sum += o.Value
	}
	for _, w := range s.watched {
		if w.Locked && !w.Missing {
			sum += w.Value
		}
	}
	for _, p := range s.payments {
		for _, o := range p.Inputs {
			if !s.missing(o.Outpoint()) {
				sum += o.Value
			}
		}
	}
	return sum
}

// CheckInvariants checks what must hold after every event. It visits everything: for tests and upgrades.
func (s *State) CheckInvariants() error {
	bad := func(format string, args ...any) error { return fmt.Errorf("invariant broken: "+format, args...) }
	// What holders of ckBTC own, and what is owed for burns, is covered by bitcoin.
	for id, r := range s.requests {
		if s.cancelled[id] != (r.State == RequestCancelled) {
			return bad("withdrawal %d in state %d, cancelled %v", id, r.State, s.cancelled[id])
		}
		queued := slices.Contains(s.queue, id)
		if queued != (r.State == RequestPending) {
			return bad("withdrawal %d in state %d, queued %v", id, r.State, queued)
		}
		if p := s.payments[r.Payment]; (r.State == RequestInPayment) != (p != nil && slices.Contains(p.Requests, id)) {
			return bad("withdrawal %d in state %d, payment %d", id, r.State, r.Payment)
		}
		if open := s.refunds[id] != nil; open != (r.State == RequestWillRefund) {
			return bad("withdrawal %d in state %d, refund open %v", id, r.State, open)
		}
	}
	for op, d := range s.deposits {
		if (d.State == DepositAsked || d.State == DepositUnknown) && d.Mint.Amount > d.Utxo.Value {
			return bad("deposit %v may mint %d", op, d.Mint.Amount)
		}
		if s.suspended[op] != nil {
			return bad("deposit %v is suspended and checked", op)
		}
		if _, have := s.available[op]; have && (d.State != DepositMinted || d.Spent) {
			return bad("deposit %v is spendable in state %d, spent: %v", op, d.State, d.Spent)
		}
	}
	if supply, have := s.balance(); supply > have+s.Deficit() && s.stale == 0 { // Resumed closes the gap
		return bad("minted %d + refunded %d + owed %d exceed custody %d + burned %d + deficit %d", s.minted, s.refunded, s.Owed(), s.Custody(), s.burned, s.Deficit())
	}
	if err := s.checkWatched(); err != nil {
		return bad("%v", err)
	}
	inputs := map[btc.Outpoint]uint64{}
	for id, p := range s.payments {
		for _, o := range p.Inputs {
			if other, dup := inputs[o.Outpoint()]; dup {
				return bad("payments %d and %d spend %v", id, other, o.Outpoint())
			}
			inputs[o.Outpoint()] = id
			if _, have := s.available[o.Outpoint()]; have {
				return bad("payment %d spends %v, which is still available", id, o.Outpoint())
			}
		}
		for _, v := range p.Versions {
			if s.txids[v.Txid] != id {
				return bad("transaction %v of payment %d is not tracked", v.Txid, id)
			}
		}
	}
	known := 0
	for a, ops := range s.known {
		known += len(ops)
		for _, op := range ops {
			if s.available[op].Account != a {
				return bad("output %v is not with its account", op)
			}
		}
	}
	for t := range s.unknown {
		if !s.Undecided(t) {
			return bad("transfer %+v is unknown and decided", t)
		}
	}
	if known != len(s.available) {
		return bad("%d outputs by account, %d in all", known, len(s.available))
	}
	return nil
}
