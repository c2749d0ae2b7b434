package checker

import (
	"container/list"
	"fmt"
	"slices"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ic/candid"
)

// The bounds of a Book.
const (
	maxOutcalls      = 50       // under way at a time
	maxOutcallsCheck = 20       // of them for one check
	maxFailures      = 2        // failed outcalls that a check tries to make good by asking another explorer
	maxEntries       = 10_000   // transactions kept
	maxWeight        = 32 << 20 // bytes that they take, about
)

// Book is what the checker knows and has under way. It is not safe for concurrent use.
type Book struct {
	Config Config

	entries  map[btc.Hash]*entry
	order    *list.List // of *entry: the one that was not needed for longest comes first
	weight   int
	outcalls int
	turn     int // of the explorers
}

// entry is what is known of one transaction.
type entry struct {
	at        *list.Element
	txid      btc.Hash
	tx        *Transaction // nil until it was fetched
	inputs    []btc.Address
	known     int    // inputs whose address is known
	pending   bool   // an outcall is under way
	provider  int    // to be asked next, once one has been asked
	asked     bool   // at least once
	maxBytes  uint32 // of the next response
	forgotten bool
}

// NewBook makes a book that knows nothing yet.
func NewBook(c Config) *Book {
	return &Book{Config: c, entries: map[btc.Hash]*entry{}, order: list.New()}
}

// Outcalls is how many are under way.
func (b *Book) Outcalls() int { return b.outcalls }

// Known is how many transactions are kept, and about how many bytes they take.
func (b *Book) Known() (entries, weight int) { return len(b.entries), b.weight }

func (b *Book) entry(txid btc.Hash) *entry {
	e := b.entries[txid]
	if e == nil {
		e = &entry{txid: txid, maxBytes: smallResponse}
		e.at = b.order.PushBack(e)
		b.entries[txid] = e
		b.shrink()
	} else {
		b.order.MoveToBack(e.at)
	}
	return e
}

// shrink forgets the oldest transactions until the rest is within the bounds. A check keeps what it works on, forgotten or not.
func (b *Book) shrink() {
	for b.order.Len() > maxEntries || b.weight > maxWeight {
		e := b.order.Remove(b.order.Front()).(*entry)
		delete(b.entries, e.txid)
		e.forgotten = true
		b.weight -= e.weight()
	}
}

func (e *entry) weight() int {
	if e.tx == nil {
		return 0
	}
	return e.tx.weight() + 34*len(e.inputs)
}

// store takes a transaction that was fetched.
func (b *Book) store(e *entry, tx *Transaction) {
	e.tx, e.inputs = tx, make([]btc.Address, len(tx.Prevs))
	if !e.forgotten {
		b.weight += e.weight()
		b.shrink()
	}
}

// resolve fills in the address of an input from the transaction that it spends. An input that cannot be is an error.
func (e *entry) resolve(i int, prev *Transaction) error {
	p := e.tx.Prevs[i]
	if int64(p.Vout) >= int64(len(prev.Outs)) {
		return fmt.Errorf("input %d of transaction %v spends output %d of %v, which has %d", i, e.txid, p.Vout, p.Txid, len(prev.Outs))
	}
	a := prev.Outs[p.Vout]
	if a.IsZero() {
		return fmt.Errorf("input %d of transaction %v spends output %d of %v, which has no address", i, e.txid, p.Vout, p.Txid)
	}
	e.inputs[i] = a
	e.known++
	return nil
}

// verdict is known once all inputs are.
func (b *Book) verdict(e *entry) (blocked []string, known bool) {
	if e == nil || e.tx == nil || e.known < len(e.inputs) {
		return nil, false
	}
	for _, a := range e.inputs {
		if b.Config.Blocked(a) {
			if text := a.String(); !slices.Contains(blocked, text) {
				blocked = append(blocked, text)
			}
		}
	}
	return blocked, true
}

// Query is the verdict as far as it is known without asking anybody.
func (b *Book) Query(txid btc.Hash) CheckTransactionQueryResponse {
	switch {
	case b.Config.Mode.AcceptAll != nil:
		return CheckTransactionQueryResponse{Passed: candid.Unit}
	case b.Config.Mode.RejectAll != nil:
		return CheckTransactionQueryResponse{Failed: &[]string{}}
	}
	switch blocked, known := b.verdict(b.entries[txid]); {
	case !known:
		return CheckTransactionQueryResponse{Unknown: candid.Unit}
	case len(blocked) > 0:
		return CheckTransactionQueryResponse{Failed: &blocked}
	}
	return CheckTransactionQueryResponse{Passed: candid.Unit}
}

// Address judges an address.
func (b *Book) Address(a btc.Address) CheckAddressResponse {
	if b.Config.Mode.RejectAll != nil || b.Config.Mode.Normal != nil && b.Config.Blocked(a) {
		return CheckAddressResponse{Failed: candid.Unit}
	}
	return CheckAddressResponse{Passed: candid.Unit}
}

// Fetch is an outcall to be made: which transaction, from which provider, how large the response may be, and what it costs.
type Fetch struct {
	Txid     btc.Hash
	Provider int
	MaxBytes uint32
	Price    cdk.Cycles

	e *entry
}

// Outcome is what became of an outcall.
type Outcome struct {
	Tx       *Transaction // when it was fetched
	TooLarge bool         // the response did not fit
	Failure  string       // otherwise
}

// Check is one call of check_transaction. Next says what to fetch, as long as there is something; each Fetch ends by Done, and when none is open
// there is an Answer.
type Check struct {
	b        *Book
	e        *entry
	next     int     // input to look at
	again    []Fetch // to be asked again, larger or elsewhere
	open     int
	made     int // outcalls
	failures int
	busy     bool // another check fetches what this one needs
	load     bool // no room for an outcall
	short    bool // no cycles for one
	failure  *CheckTransactionStatus
}

// Begin begins a check of a transaction.
func (b *Book) Begin(txid btc.Hash) *Check {
	k := &Check{b: b}
	if b.Config.Mode.Normal != nil {
		k.e = b.entry(txid)
	}
	return k
}

// Open is how many outcalls have not ended.
func (k *Check) Open() int { return k.open }

// Next gives an outcall to be made now, if there is one that the available cycles pay for.
func (k *Check) Next(available cdk.Cycles) (Fetch, bool) {
	k.load, k.short = false, false
	if k.e == nil || k.failure != nil || k.open >= maxOutcallsCheck {
		return Fetch{}, false
	}
	if len(k.again) > 0 {
		f, ok := k.begin(k.again[0].e, available)
		if ok {
			k.again = k.again[1:]
		}
		return f, ok
	}
	if k.e.tx == nil {
		if k.open > 0 || k.made > 0 {
			return Fetch{}, false
		}
		return k.begin(k.e, available)
	}
	for ; k.next < len(k.e.tx.Prevs); k.next++ {
		if !k.e.inputs[k.next].IsZero() {
			continue
		}
		prev := k.b.entry(k.e.tx.Prevs[k.next].Txid)
		switch {
		case prev.tx != nil:
			if !k.resolve(k.next, prev.tx) {
				return Fetch{}, false
			}
		case prev.pending: // by another check, or by this one for another input
			k.busy = true
		default:
			f, ok := k.begin(prev, available)
			if ok {
				k.next++
			}
			return f, ok
		}
	}
	return Fetch{}, false
}

func (k *Check) resolve(input int, prev *Transaction) bool {
	if err := k.e.resolve(input, prev); err != nil {
		k.fail(irrecoverable(CheckTransactionIrrecoverableError{InvalidTransaction: ptr(err.Error())}))
		return false
	}
	return true
}

func (k *Check) fail(s CheckTransactionStatus) {
	if k.failure == nil || k.failure.Error == nil {
		k.failure = &s
	}
}

// begin opens an outcall if nothing is in its way.
func (k *Check) begin(e *entry, available cdk.Cycles) (Fetch, bool) {
	b := k.b
	f := Fetch{Txid: e.txid, Provider: e.provider, MaxBytes: e.maxBytes, Price: b.Config.price(e.maxBytes), e: e}
	switch {
	case e.pending:
		k.busy = true
		return f, false
	case b.outcalls >= maxOutcalls:
		k.load = true
		return f, false
	case available.Cmp(f.Price) < 0:
		k.short = true
		return f, false
	}
	if n := len(explorers[b.Config.Network]); !e.asked {
		f.Provider, b.turn = b.turn%n, (b.turn+1)%n
		e.provider, e.asked = f.Provider, true
	}
	e.pending = true
	b.outcalls++
	k.open++
	k.made++
	return f, true
}

// Done ends an outcall.
func (k *Check) Done(f Fetch, o Outcome) {
	b, e := k.b, f.e
	e.pending = false
	b.outcalls--
	k.open--
	switch {
	case o.Tx != nil:
		b.store(e, o.Tx)
		if e == k.e {
			return
		}
		for i, p := range k.e.tx.Prevs {
			if p.Txid == f.Txid && k.e.inputs[i].IsZero() && !k.resolve(i, o.Tx) {
				return
			}
		}
	case o.TooLarge && f.MaxBytes < largeResponse:
		e.maxBytes = largeResponse
		k.again = append(k.again, f)
	case o.TooLarge: // which an explorer can make true of any transaction: the others are asked too
		n := len(explorers[b.Config.Network])
		e.provider = (f.Provider + 1) % n
		if k.failures++; k.failures <= min(maxFailures, n-1) {
			k.again = append(k.again, f)
			return
		}
		k.fail(irrecoverable(CheckTransactionIrrecoverableError{ResponseTooLarge: &TooLarge{f.Txid[:]}}))
	default:
		e.provider = (f.Provider + 1) % len(explorers[b.Config.Network])
		if k.failures++; k.failures <= maxFailures {
			k.again = append(k.again, f)
		} else {
			k.fail(retriable(CheckTransactionRetriable{TransientInternalError: &o.Failure}))
		}
	}
}

// Answer is what the call is answered when no outcall is open and Next gives none.
func (k *Check) Answer() CheckTransactionResponse {
	mode := k.b.Config.Mode
	switch {
	case mode.AcceptAll != nil:
		return passed()
	case mode.RejectAll != nil:
		return CheckTransactionResponse{Failed: &[]string{}}
	}
	if k.e.tx != nil && k.failure == nil { // others may have fetched what was pending
		for i, p := range k.e.tx.Prevs {
			if prev := k.b.entries[p.Txid]; k.e.inputs[i].IsZero() && prev != nil && prev.tx != nil && !k.resolve(i, prev.tx) {
				break
			}
		}
	}
	switch blocked, known := k.b.verdict(k.e); {
	case known && len(blocked) > 0:
		return CheckTransactionResponse{Failed: &blocked}
	case known:
		return passed()
	case k.failure != nil:
		return unknown(*k.failure)
	case k.made > 0 || k.busy: // called again, it goes on from here
		return unknown(retriable(CheckTransactionRetriable{Pending: candid.Unit}))
	case k.load:
		return unknown(retriable(CheckTransactionRetriable{HighLoad: candid.Unit}))
	}
	return unknown(notEnoughCycles)
}

func ptr[T any](v T) *T { return &v }
