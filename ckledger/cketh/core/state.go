package core

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"

	"fusion/eth"
)

// ErrEvent means that an event does not fit the state: the log is corrupt or the program is wrong. The caller must stop.
var ErrEvent = errors.New("event does not fit the minter's state")

// DepositState is where a deposit stands.
type DepositState uint8

// The states of a deposit.
const (
	DepositSeen    DepositState = iota + 1 // a token's: the receipt has not been read
	DepositWaiting                         // to be minted
	DepositAsked                           // the ledger was asked; the outcome is not known yet
	DepositUnknown                         // the outcome can no longer be known from the ledger's methods
	DepositMinted
	DepositInvalid // never minted: see Reason
)

// Deposit is a deposit. Value is what is minted.
type Deposit struct {
	Claim
	State  DepositState
	SeenAt uint64
	MintAt uint64 // the stamp of the mint asked, 0 for none
	Minted uint64 // the block of the ledger
	Reason string
	Sweep  uint64 // the transfer that brought it, 0 for a log
}

// RequestState is where a withdrawal stands.
type RequestState uint8

// The states of a withdrawal, from its first burn to its end.
const (
	RequestBurning      RequestState = iota + 1 // the ckETH ledger was asked
	RequestGasBurned                            // the fee is burned, the token is not
	RequestTokenBurning                         // the token's ledger was asked
	RequestPending                              // waits for a transaction
	RequestInTransfer                           // see the transfer
	RequestSucceeded                            // paid
	RequestWillRefund                           // tokens will be minted back
	RequestRefunded                             // they were
	RequestDisputed                             // its transaction did something that cannot be: an operator must look
)

// Refund is what goes back.
type Refund struct {
	Asset     Asset
	Amount    Amount
	To        Account
	CreatedAt uint64 // the stamp asked, 0 for none
	Unknown   bool   // the outcome cannot be known from the ledger's methods
	Done      bool
	Block     uint64
}

// Request is a withdrawal, known by its number until ckETH is burned and by the block of that burn from then on.
type Request struct {
	BurnAsked
	State      RequestState
	Unknown    bool   // the outcome of the burn under way cannot be known from the ledger's methods
	ID         uint64 // the block of the burn of ckETH
	TokenAt    uint64 // the stamp of the token's burn
	TokenBlock uint64
	AcceptedAt uint64
	Transfer   uint64
	Reserved   Amount // wei of the minter's own behind a filler
	Receipt    *Receipt
	Paid       Amount // wei that the recipient got
	Filled     bool   // the nonce was used by a filler
	Refunds    []Refund
	Why        string // of a refund
}

// IsEther reports whether ether is withdrawn.
func (r *Request) IsEther() bool { return r.Asset == Ether }

// Burned reports whether ckETH was burned: whether ID counts.
func (r *Request) Burned() bool { return r.State != RequestBurning }

// owed is what the minter owes for a request of an asset: it has been burned and neither paid nor minted back.
func (r *Request) owed(a Asset) (sum Amount) {
	switch r.State {
	case RequestGasBurned, RequestTokenBurning, RequestPending, RequestInTransfer, RequestDisputed:
		switch {
		case r.IsEther() && a == Ether:
			return r.Amount
		case a == Ether:
			return plus(r.MaxFee, r.Reserved)
		case a == r.Asset && r.State >= RequestPending:
			return r.Amount
		}
	case RequestWillRefund:
		for _, f := range r.Refunds {
			if f.Asset == a && !f.Done {
				sum = plus(sum, f.Amount)
			}
		}
	}
	return sum
}

// Version is one transaction under a nonce.
type Version struct {
	Tx        eth.Transaction
	Fee       Fee
	Digest    [32]byte
	Filler    bool
	CreatedAt uint64
	Raw       []byte   // once signed
	Hash      eth.Hash // once signed
	SignedAt  uint64
	Sent      bool
}

// Transfer is a nonce of one of the minter's addresses with all transactions ever prepared for it, of which the chain takes one.
type Transfer struct {
	ID       uint64
	Number   uint64 // of the request; 0 for a sweep
	Account  Account
	From     eth.Address
	Nonce    uint64
	Versions []*Version
	Disputed bool
}

// IsSweep reports whether the transfer empties a deposit address.
func (t *Transfer) IsSweep() bool { return t.Number == 0 }

// Path is the derivation path of the key that signs.
func (t *Transfer) Path() [][]byte {
	if t.IsSweep() {
		return t.Account.Path()
	}
	return [][]byte{}
}

// Latest is the newest version.
func (t *Transfer) Latest() *Version { return t.Versions[len(t.Versions)-1] }

// Book is what is known of an asset. Supply is what its ledger issued, as far as the log knows; Owed is burned and neither paid nor minted back; Custody is
// what the chain must hold at least.
type Book struct{ Supply, Owed, Custody Amount }

// State is everything the minter knows. It changes by Apply only.
type State struct {
	Config Config
	Minter Account // the minting account of the ledgers

	tokens   map[Asset]*Token
	order    []Asset // tokens as they were added
	byLedger map[string]Asset

	cursors  [scrapers]uint64
	began    uint64 // the last block before this log: what happened up to it is none of ours
	observed Block
	halt     *Halt
	recovery uint64 // number of the subnet's last recovery from a backup that the log knows
	stale    uint64 // when the log learnt of it, or of a sweep that is not covered, in ns; 0 once a controller has reconciled the log with the chain
	weighed  uint64 // the block of that comparison
	surplus  Amount // wei that the main address held in it beyond the books: of sweeps that the log does not know yet, or given
	paused   map[Asset]string
	books    map[Asset]*Book

	deposits  map[Source]*Deposit
	byTx      map[eth.Hash][]Source
	byOwner   map[Account][]Source
	openMints map[Source]*Deposit // seen, waiting or asked
	minting   map[Asset]Amount    // seen by the chain, not in the supply
	daily     map[Asset]day

	requests  map[uint64]*Request
	ids       map[uint64]uint64 // block of the burn of ckETH → number
	lastReq   uint64
	queue     []uint64            // pending, oldest first
	openReqs  map[uint64]*Request // with something to ask of a ledger
	byAccount map[Account][]uint64
	byTarget  map[eth.Address][]uint64

	transfers map[uint64]*Transfer // not final
	lastTx    uint64
	nonce     uint64 // the next of the main address
	unused    uint64 // nonce minus the number of main transfers ever made
	sweeps    map[Account]uint64
	nonces    map[Account][]uint64 // of all sweeps ever, ascending
	addresses []Account            // whose deposit addresses were ever swept, in the order in which the log learnt of them
	recalled  uint64               // sweeps that a recovery had made unknown
	hashes    map[eth.Hash]uint64  // every signed transaction → transfer
	owners    map[uint64]uint64    // transfer → request, for ever
	mains     uint64

	lastStamp uint64
	stamps    map[uint64]Task // every created_at_time ever used → what was asked with it
	unknown   map[Task]bool
	events    uint64
}

type day struct {
	number uint64
	minted Amount
}

// dayNs is 24 hours.
const dayNs = uint64(24 * 3600 * 1e9)

// NewState is the state before the first event.
func NewState(minter Account) *State {
	return &State{Minter: minter, tokens: map[Asset]*Token{}, byLedger: map[string]Asset{}, paused: map[Asset]string{}, books: map[Asset]*Book{Ether: {}},
		deposits: map[Source]*Deposit{}, byTx: map[eth.Hash][]Source{}, byOwner: map[Account][]Source{}, openMints: map[Source]*Deposit{}, minting: map[Asset]Amount{},
		daily: map[Asset]day{}, requests: map[uint64]*Request{}, ids: map[uint64]uint64{}, openReqs: map[uint64]*Request{}, byAccount: map[Account][]uint64{},
		byTarget: map[eth.Address][]uint64{}, transfers: map[uint64]*Transfer{}, sweeps: map[Account]uint64{}, nonces: map[Account][]uint64{}, hashes: map[eth.Hash]uint64{}, owners: map[uint64]uint64{},
		stamps: map[uint64]Task{}, unknown: map[Task]bool{}}
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
		s.Config, s.nonce, s.unused, s.began = e.Init.Config, e.Init.NextNonce, e.Init.NextNonce, e.Init.LastBlock
		for i := range s.cursors {
			s.cursors[i] = e.Init.LastBlock
		}
		return s.Config.Check()
	case e.Upgrade != nil:
		return s.change(e.Upgrade)
	case e.TokenAdded != nil:
		return s.addToken(e.TokenAdded)
	case e.Observed != nil:
		if e.Observed.Number < s.observed.Number {
			return misfit("block %d is seen after block %d", e.Observed.Number, s.observed.Number)
		}
		s.observed = *e.Observed
	case e.Synced != nil, e.Skipped != nil:
		return s.progress(e)
	case e.Seen != nil, e.Verified != nil, e.Invalid != nil:
		return s.claim(e)
	case e.MintAsked != nil, e.MintRefused != nil, e.MintUnknown != nil, e.Minted != nil:
		return s.mint(e)
	case e.Recovery != nil:
		if *e.Recovery <= s.recovery {
			return misfit("recovery %d of the subnet follows %d", *e.Recovery, s.recovery)
		}
		s.recovery, s.weighed, s.surplus = *e.Recovery, 0, Amount{}
		s.doubt(e.Time)
	case e.Forgotten != nil:
		if s.stale == 0 || e.Forgotten.Nonce != s.nonce {
			return misfit("nonce %d was used by a forgotten transaction, the next is %d, stale: %v", e.Forgotten.Nonce, s.nonce, s.stale != 0)
		}
		s.unused++
		s.nonce++
	case e.Weighed != nil:
		return s.weigh(e.Weighed)
	case e.Reconciled != nil:
		n := e.Reconciled.Nonce
		if s.stale == 0 || n < s.nonce {
			return misfit("the log is reconciled up to nonce %d of %d, stale: %v", n, s.nonce, s.stale != 0)
		}
		s.unused += n - s.nonce
		s.nonce, s.stale, s.halt = n, 0, nil
		clear(s.paused)
	case e.Halted != nil:
		s.halt = e.Halted
	case e.Paused != nil:
		s.paused[e.Paused.Asset] = e.Paused.Reason
	case e.BurnAsked != nil, e.BurnRefused != nil, e.BurnUnknown != nil, e.Burned != nil:
		return s.burn(e)
	case e.TokenBurnAsked != nil, e.TokenBurnRefused != nil, e.TokenBurnUnknown != nil, e.TokenBurned != nil:
		return s.tokenBurn(e)
	case e.Created != nil, e.Replaced != nil, e.Sweep != nil:
		return s.created(e)
	case e.Swept != nil:
		return s.swept(e)
	case e.Signed != nil, e.Sent != nil:
		return s.signed(e)
	case e.Finalized != nil, e.Disputed != nil:
		return s.finalized(e)
	case e.Abandoned != nil:
		return s.abandoned(*e.Abandoned)
	case e.RefundAsked != nil, e.RefundRefused != nil, e.RefundUnknown != nil, e.Refunded != nil:
		return s.refund(e)
	default:
		return misfit("empty event")
	}
	return nil
}

func (s *State) change(x *Change) error {
	if x.Config.ChainID != s.Config.ChainID || !bytes.Equal(x.Config.Ledger, s.Config.Ledger) || x.Config.KeyName != s.Config.KeyName {
		return misfit("an upgrade changes chain, ledger or key")
	}
	s.Config = x.Config
	if n := x.NextNonce; n != nil && *n != s.nonce {
		for _, t := range s.transfers {
			if !t.IsSweep() {
				return misfit("an upgrade changes the nonce from %d to %d under open transactions", s.nonce, *n)
			}
		}
		s.unused += *n - s.nonce
		s.nonce = *n
	}
	for i, c := range x.Cursors {
		if c != nil {
			s.cursors[i] = *c
		}
	}
	if x.Resume {
		s.halt, s.observed = nil, Block{}
		clear(s.paused)
	}
	if x.Resume && s.stale != 0 { // that ends by a comparison alone
		s.halt = &Halt{Reason: RecoveryHalt(s.recovery)}
	}
	return s.Config.Check()
}

func (s *State) addToken(t *Token) error {
	if t.Asset == Ether || t.Symbol == "" || len(t.Symbol) > MaxSymbol || len(t.Ledger) == 0 {
		return misfit("token %v with symbol %q", t.Asset, t.Symbol)
	}
	if other, dup := s.byLedger[string(t.Ledger)]; s.tokens[t.Asset] != nil || dup || bytes.Equal(t.Ledger, s.Config.Ledger) {
		return misfit("token %v or its ledger is known already (%v)", t.Asset, other)
	}
	s.tokens[t.Asset] = t
	s.order = append(s.order, t.Asset)
	s.byLedger[string(t.Ledger)] = t.Asset
	s.books[t.Asset] = &Book{}
	return nil
}

func (s *State) progress(e *Event) error {
	x := e.Synced
	if x == nil {
		x = e.Skipped
	}
	if x.Scraper >= scrapers || x.Block <= s.cursors[x.Scraper] {
		return misfit("scraper %d goes back to block %d", x.Scraper, x.Block)
	}
	s.cursors[x.Scraper] = x.Block
	return nil
}

// keep enters a deposit.
func (s *State) keep(d *Deposit, at uint64) {
	d.SeenAt = at
	s.deposits[d.Source] = d
	s.byTx[d.Source.Tx] = append(s.byTx[d.Source.Tx], d.Source)
	s.byOwner[d.To] = append(s.byOwner[d.To], d.Source)
}

// arrived books a deposit that is to be minted; false means that the amount cannot be counted.
func (s *State) arrived(d *Deposit) bool {
	b := s.books[d.Asset]
	custody, ok := add(b.Custody, d.Value)
	if !ok {
		return false
	}
	b.Custody = custody
	s.minting[d.Asset] = plus(s.minting[d.Asset], d.Value)
	d.State = DepositWaiting
	s.openMints[d.Source] = d
	return true
}

// tooMuch is the reason of a deposit that would lift what is held of its token beyond all numbers.
const tooMuch = "the minter would hold more than 2^256-1 of the token, so something is wrong with it"

func (s *State) claim(e *Event) error {
	switch {
	case e.Seen != nil:
		x := e.Seen
		if s.deposits[x.Source] != nil {
			return misfit("deposit %v is seen twice", x.Source)
		}
		if s.books[x.Asset] == nil || x.Value.IsZero() {
			return misfit("deposit %v of %v", x.Source, x.Asset)
		}
		d := &Deposit{Claim: *x, State: DepositSeen}
		s.keep(d, e.Time)
		if d.Asset != Ether {
			s.openMints[d.Source] = d
		} else if !s.arrived(d) {
			d.State, d.Reason = DepositInvalid, tooMuch
		}
	case e.Verified != nil:
		x := e.Verified
		d := s.deposits[x.Source]
		if d == nil || d.State != DepositSeen || x.Value.IsZero() || x.Value.Gt(&d.Value) {
			return misfit("deposit %v is not to be verified", x.Source)
		}
		d.Value = x.Value
		if !s.arrived(d) {
			d.State, d.Reason = DepositInvalid, tooMuch
			delete(s.openMints, d.Source)
		}
	default:
		x := e.Invalid
		d := s.deposits[x.Claim.Source]
		if d == nil {
			d = &Deposit{Claim: x.Claim}
			s.keep(d, e.Time)
		} else if d.State != DepositSeen {
			return misfit("deposit %v is refused after it was accepted", x.Claim.Source)
		}
		d.State, d.Reason = DepositInvalid, x.Reason
		delete(s.openMints, d.Source)
	}
	return nil
}

func (s *State) mint(e *Event) error {
	var src Source
	switch {
	case e.MintAsked != nil:
		src = e.MintAsked.Source
	case e.MintRefused != nil:
		src = *e.MintRefused
	case e.MintUnknown != nil:
		src = *e.MintUnknown
	default:
		src = e.Minted.Source
	}
	d := s.deposits[src]
	if d == nil {
		return misfit("mint of unknown deposit %v", src)
	}
	ok := false
	switch d.State {
	case DepositWaiting:
		ok = e.MintAsked != nil
	case DepositAsked:
		ok = e.MintAsked == nil
	case DepositUnknown: // the ledger's blocks may answer what its methods did not
		ok = e.Minted != nil || e.MintRefused != nil
	}
	if !ok {
		return misfit("mint of deposit %v is out of order in state %d", src, d.State)
	}
	task := Task{Kind: TaskMint, Source: src}
	switch {
	case e.MintAsked != nil:
		d.State, d.MintAt = DepositAsked, e.MintAsked.CreatedAt
		s.count(d, true)
		return s.stamp(d.MintAt, task)
	case e.MintRefused != nil:
		s.count(d, false)
		d.State = DepositWaiting
		s.openMints[src] = d
		delete(s.unknown, task)
	case e.MintUnknown != nil:
		d.State = DepositUnknown
		delete(s.openMints, src)
		s.unknown[task] = true
	default:
		d.State, d.Minted = DepositMinted, e.Minted.Block
		delete(s.openMints, src)
		delete(s.unknown, task)
		b := s.books[d.Asset]
		b.Supply = plus(b.Supply, d.Value)
		s.minting[d.Asset] = sub(s.minting[d.Asset], d.Value)
	}
	return nil
}

// count adds a mint to what is minted in a day, or takes it back.
func (s *State) count(d *Deposit, asked bool) {
	today, n := s.daily[d.Asset], d.MintAt/dayNs
	switch {
	case asked && today.number != n:
		today = day{n, d.Value}
	case asked:
		today.minted = plus(today.minted, d.Value)
	case today.number == n:
		today.minted = sub(today.minted, d.Value)
	}
	s.daily[d.Asset] = today
}

// Capped reports whether a deposit has to wait because enough was minted today.
func (s *State) Capped(d *Deposit, now uint64) bool {
	for _, c := range s.Config.Caps {
		if c.Asset != d.Asset {
			continue
		}
		sum := d.Value
		if today := s.daily[d.Asset]; today.number == now/dayNs {
			sum = plus(sum, today.minted)
		}
		return sum.Gt(&c.PerDay)
	}
	return false
}

// stamp notes what was asked with a created_at_time.
func (s *State) stamp(at uint64, t Task) error {
	if at <= s.lastStamp {
		return misfit("created_at_time %d follows %d", at, s.lastStamp)
	}
	s.lastStamp, s.stamps[at] = at, t
	return nil
}

// issued takes a burn off the supply. A ledger that burns more than was minted has other tokens than ours: nothing goes on.
func (s *State) issued(a Asset, burned Amount) {
	b := s.books[a]
	if burned.Gt(&b.Supply) && s.halt == nil {
		s.halt = &Halt{Number: s.observed.Number, Want: s.observed.Hash, Got: s.observed.Hash,
			Reason: fmt.Sprintf("the ledger of %v burned more than was ever minted", a)}
	}
	b.Supply = sub(b.Supply, burned)
	b.Owed = plus(b.Owed, burned)
}

func (s *State) burn(e *Event) error {
	if x := e.BurnAsked; x != nil {
		if x.Number != s.lastReq+1 || s.books[x.Asset] == nil || x.Amount.IsZero() || (x.Asset == Ether) != x.MaxFee.IsZero() {
			return misfit("burn %d follows %d", x.Number, s.lastReq)
		}
		s.lastReq = x.Number
		r := &Request{BurnAsked: *x, State: RequestBurning}
		s.requests[x.Number], s.openReqs[x.Number] = r, r
		return s.stamp(x.CreatedAt, Task{Kind: TaskBurn, ID: x.Number})
	}
	var n uint64
	switch {
	case e.BurnRefused != nil:
		n = *e.BurnRefused
	case e.BurnUnknown != nil:
		n = *e.BurnUnknown
	default:
		n = e.Burned.Number
	}
	r := s.requests[n]
	if r == nil || r.State != RequestBurning || r.Unknown && e.BurnUnknown != nil {
		return misfit("burn %d is not open", n)
	}
	task := Task{Kind: TaskBurn, ID: n}
	switch {
	case e.BurnRefused != nil:
		delete(s.requests, n)
		delete(s.openReqs, n)
		delete(s.unknown, task)
	case e.BurnUnknown != nil:
		r.Unknown = true
		s.unknown[task] = true
	default:
		r.ID, r.AcceptedAt, r.Unknown = e.Burned.Block, e.Time, false
		delete(s.unknown, task)
		if other, dup := s.ids[r.ID]; dup {
			return misfit("block %d is the burn of requests %d and %d", r.ID, other, n)
		}
		s.ids[r.ID] = n
		s.byAccount[r.From] = append(s.byAccount[r.From], n)
		if r.TokenFrom != r.From && !r.IsEther() {
			s.byAccount[r.TokenFrom] = append(s.byAccount[r.TokenFrom], n)
		}
		s.byTarget[r.To] = append(s.byTarget[r.To], n)
		if !r.IsEther() {
			r.State = RequestGasBurned
			s.issued(Ether, r.MaxFee)
			return nil
		}
		s.issued(Ether, r.Amount)
		s.enqueue(r)
	}
	return nil
}

func (s *State) enqueue(r *Request) {
	r.State = RequestPending
	s.queue = append(s.queue, r.Number)
	delete(s.openReqs, r.Number)
}

func (s *State) tokenBurn(e *Event) error {
	var n uint64
	switch {
	case e.TokenBurnAsked != nil:
		n = e.TokenBurnAsked.Number
	case e.TokenBurnRefused != nil:
		n = *e.TokenBurnRefused
	case e.TokenBurnUnknown != nil:
		n = *e.TokenBurnUnknown
	default:
		n = e.TokenBurned.Number
	}
	r := s.requests[n]
	want := RequestTokenBurning
	if e.TokenBurnAsked != nil {
		want = RequestGasBurned
	}
	if r == nil || r.State != want || r.Unknown && e.TokenBurnUnknown != nil {
		return misfit("burn of tokens for %d is out of order", n)
	}
	task := Task{Kind: TaskTokenBurn, ID: n}
	switch {
	case e.TokenBurnAsked != nil:
		r.State, r.TokenAt = RequestTokenBurning, e.TokenBurnAsked.CreatedAt
		return s.stamp(r.TokenAt, task)
	case e.TokenBurnRefused != nil:
		r.Unknown = false
		delete(s.unknown, task)
		s.giveBack(r, "the token's ledger did not burn the amount", Refund{Asset: Ether, Amount: r.MaxFee, To: r.From})
	case e.TokenBurnUnknown != nil:
		r.Unknown = true
		s.unknown[task] = true
	default:
		r.Unknown = false
		delete(s.unknown, task)
		r.TokenBlock, r.AcceptedAt = e.TokenBurned.Block, e.Time
		s.issued(r.Asset, r.Amount)
		s.enqueue(r)
	}
	return nil
}

// giveBack schedules refunds, each of more than nothing: what a transaction costs is less than what its withdrawal burned. Whatever else was owed for the request is
// spent.
func (s *State) giveBack(r *Request, why string, refunds ...Refund) {
	before := s.owes(r)
	r.State, r.Why, r.Reserved, r.Refunds = RequestWillRefund, why, Amount{}, refunds
	s.openReqs[r.Number] = r
	s.settle(r, before)
}

type debt struct{ ether, token Amount }

// owes is what the books have for a request.
func (s *State) owes(r *Request) (d debt) {
	d.ether = r.owed(Ether)
	if !r.IsEther() {
		d.token = r.owed(r.Asset)
	}
	return d
}

// settle changes the books by what a request is owed now, compared with before.
func (s *State) settle(r *Request, before debt) {
	now := s.owes(r)
	b := s.books[Ether]
	b.Owed = sub(plus(b.Owed, now.ether), before.ether)
	if !r.IsEther() {
		b = s.books[r.Asset]
		b.Owed = sub(plus(b.Owed, now.token), before.token)
	}
}

// Spare is the ether that nobody has a claim on: fees that were not used up.
func (s *State) Spare() Amount {
	b := s.books[Ether]
	return sub(b.Custody, plus(plus(b.Supply, b.Owed), s.minting[Ether]))
}

func (s *State) created(e *Event) error {
	switch {
	case e.Created != nil:
		x := e.Created
		r := s.requests[x.Number]
		if x.Transfer != s.lastTx+1 || x.Nonce != s.nonce || r == nil || r.State != RequestPending || x.Filler {
			return misfit("transfer %d with nonce %d for request %d is out of order", x.Transfer, x.Nonce, x.Number)
		}
		t := &Transfer{ID: x.Transfer, Number: x.Number, From: x.Main, Nonce: x.Nonce}
		s.lastTx, s.nonce = x.Transfer, x.Nonce+1
		s.mains++
		s.transfers[t.ID] = t
		i := slices.Index(s.queue, x.Number)
		s.queue = slices.Delete(s.queue, i, i+1)
		r.State, r.Transfer = RequestInTransfer, t.ID
		s.owners[t.ID] = x.Number
		return s.version(t, r, x, e.Time)
	case e.Replaced != nil:
		x := e.Replaced
		t := s.transfers[x.Transfer]
		if t == nil || t.IsSweep() || t.Disputed || t.Number != x.Number || t.Nonce != x.Nonce || t.From != x.Main || t.Latest().Raw == nil && !x.Filler && s.recovery == 0 || !x.Fee.Replaces(t.Latest().Fee) {
			return misfit("replacement of transfer %d is out of order", x.Transfer)
		}
		return s.version(t, s.requests[x.Number], x, e.Time)
	}
	x := e.Sweep
	tx := eth.Transaction{ChainID: s.Config.ChainID, Nonce: x.Nonce, MaxPriorityFeePerGas: x.Fee.MaxPriorityFeePerGas, MaxFeePerGas: x.Fee.MaxFeePerGas,
		GasLimit: GasEther, To: x.Main, Value: x.Value}
	t := s.transfers[x.Transfer]
	switch {
	case x.Value.IsZero():
		return misfit("sweep of nothing")
	case x.Version == 0:
		if x.Transfer != s.lastTx+1 || s.sweeps[x.Account] != 0 || x.From == x.Main {
			return misfit("sweep %d is out of order", x.Transfer)
		}
		t = &Transfer{ID: x.Transfer, Account: x.Account, From: x.From, Nonce: x.Nonce}
		s.lastTx = x.Transfer
		s.transfers[t.ID], s.sweeps[x.Account] = t, t.ID
		s.note(x.Account, x.Nonce)
	case t == nil || !t.IsSweep() || x.Version != uint64(len(t.Versions)) || t.Disputed || t.Nonce != x.Nonce || t.From != x.From || t.Account != x.Account ||
		t.Latest().Raw == nil || t.Latest().Tx.To != x.Main || !x.Fee.Replaces(t.Latest().Fee):
		return misfit("version %d of sweep %d is out of order", x.Version, x.Transfer)
	}
	t.Versions = append(t.Versions, &Version{Tx: tx, Fee: x.Fee, Digest: tx.SigningHash(), CreatedAt: e.Time})
	return nil
}

// Transaction builds what a version signs.
func (s *State) Transaction(r *Request, x *Created) eth.Transaction {
	tx := eth.Transaction{ChainID: s.Config.ChainID, Nonce: x.Nonce, MaxPriorityFeePerGas: x.Fee.MaxPriorityFeePerGas, MaxFeePerGas: x.Fee.MaxFeePerGas,
		GasLimit: GasEther, To: r.To, Value: x.Value}
	switch {
	case x.Filler:
		tx.To = x.Main
	case !r.IsEther():
		tx.GasLimit, tx.To, tx.Data = GasErc20, r.Asset, eth.PackTransfer(r.To, &r.Amount)
	}
	return tx
}

// version checks that the transaction pays no more than the withdrawal is worth.
func (s *State) version(t *Transfer, r *Request, x *Created, at uint64) error {
	tx := s.Transaction(r, x)
	cost := plus(x.Fee.Cost(tx.GasLimit), x.Value)
	budget := r.MaxFee
	if r.IsEther() {
		budget = r.Amount
	}
	if (x.Filler || !r.IsEther()) != x.Value.IsZero() {
		return misfit("transfer %d has a value of %v", x.Transfer, &x.Value)
	}
	if x.Filler && r.IsEther() && !cost.Lt(&budget) {
		return misfit("filler of transfer %d costs %v and leaves nothing of %v to mint back", x.Transfer, &cost, &budget)
	}
	if over := sub(cost, budget); !over.IsZero() {
		if !x.Filler {
			return misfit("transfer %d costs %v, the withdrawal has %v", x.Transfer, &cost, &budget)
		}
		if more := sub(over, r.Reserved); !more.IsZero() {
			if spare := s.Spare(); more.Gt(&spare) {
				return misfit("filler of transfer %d costs %v more than there is", x.Transfer, &more)
			}
			before := s.owes(r)
			r.Reserved = over
			s.settle(r, before)
		}
	}
	t.Versions = append(t.Versions, &Version{Tx: tx, Fee: x.Fee, Digest: tx.SigningHash(), Filler: x.Filler, CreatedAt: at})
	return nil
}

func (s *State) signed(e *Event) error {
	var id, n uint64
	if e.Signed != nil {
		id, n = e.Signed.Transfer, e.Signed.Version
	} else {
		id, n = e.Sent.Transfer, e.Sent.Version
	}
	t := s.transfers[id]
	if t == nil || n >= uint64(len(t.Versions)) {
		return misfit("no version %d of transfer %d", n, id)
	}
	v := t.Versions[n]
	if e.Sent != nil {
		if v.Raw == nil || v.Sent {
			return misfit("version %d of transfer %d is sent out of order", n, id)
		}
		v.Sent = true
		return nil
	}
	if _, dup := s.hashes[e.Signed.Hash]; dup || v.Raw != nil || len(e.Signed.Raw) == 0 {
		return misfit("version %d of transfer %d is signed twice", n, id)
	}
	v.Raw, v.Hash, v.SignedAt = e.Signed.Raw, e.Signed.Hash, e.Time
	s.hashes[v.Hash] = id
	return nil
}

// spend takes from what is held.
func (s *State) spend(a Asset, n Amount) error {
	b := s.books[a]
	if n.Gt(&b.Custody) {
		return misfit("%v of %v are spent, %v were held", &n, a, &b.Custody)
	}
	b.Custody = sub(b.Custody, n)
	return nil
}

// brought enters what a sweep moved to the main address.
func (s *State) brought(d *Deposit, at uint64) error {
	d.Scraper, d.Asset = scrapers, Ether
	if s.deposits[d.Source] != nil {
		return misfit("sweep %v is minted twice", d.Source)
	}
	s.keep(d, at)
	if !s.arrived(d) {
		return misfit("more ether than there can be")
	}
	return nil
}

func (s *State) finalized(e *Event) error {
	x := e.Finalized
	if x == nil {
		x = e.Disputed
	}
	t := s.transfers[x.Transfer]
	if t == nil || t.Disputed || x.Version >= uint64(len(t.Versions)) {
		return misfit("transfer %d is not open", x.Transfer)
	}
	r := s.requests[t.Number]
	if e.Disputed != nil {
		t.Disputed = true
		if r != nil {
			r.State, r.Receipt, r.Why = RequestDisputed, x, x.Confusion
		}
		if r != nil && !r.IsEther() && !x.Moved.IsZero() {
			s.paused[r.Asset] = x.Confusion
		} else {
			s.halt = &Halt{Number: x.Block.Number, Want: t.Versions[x.Version].Hash, Got: x.Hash, Reason: x.Confusion}
		}
		return nil
	}
	v := t.Versions[x.Version]
	cost := times(x.GasPrice, x.GasUsed)
	if most := v.Fee.Cost(v.Tx.GasLimit); cost.Gt(&most) {
		return misfit("transfer %d cost %v, at most %v", x.Transfer, &cost, &most)
	}
	delete(s.transfers, t.ID)
	if t.IsSweep() {
		delete(s.sweeps, t.Account)
		if !x.Success {
			return nil
		}
		return s.brought(&Deposit{Claim: Claim{Source: Source{Tx: x.Hash}, Block: x.Block.Number, From: t.From, Value: v.Tx.Value, To: t.Account}, Sweep: t.ID}, e.Time)
	}
	if err := s.spend(Ether, cost); err != nil {
		return err
	}
	r.Receipt, r.Filled = x, v.Filler
	if x.Success && !x.NotMoved && !v.Filler {
		before := s.owes(r)
		r.State, r.Reserved = RequestSucceeded, Amount{}
		s.settle(r, before)
		if r.IsEther() {
			r.Paid = v.Tx.Value
			return s.spend(Ether, v.Tx.Value)
		}
		return s.spend(r.Asset, r.Amount)
	}
	why := "the transaction failed on Ethereum"
	switch {
	case v.Filler:
		why = "the fees of Ethereum rose beyond what the withdrawal can pay, or its asset was paused while others waited behind it"
	case x.NotMoved:
		why = "the token contract did not move the amount"
	}
	if r.IsEther() {
		s.giveBack(r, why, Refund{Asset: Ether, Amount: sub(r.Amount, cost), To: r.From})
	} else {
		s.giveBack(r, why, Refund{Asset: r.Asset, Amount: r.Amount, To: r.TokenFrom})
	}
	return nil
}

func (s *State) abandoned(n uint64) error {
	i := slices.Index(s.queue, n)
	if i < 0 {
		return misfit("request %d is not pending", n)
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	r := s.requests[n]
	const why = "the fees of Ethereum were too high for the amount for too long"
	if r.IsEther() {
		s.giveBack(r, why, Refund{Asset: Ether, Amount: r.Amount, To: r.From})
	} else {
		s.giveBack(r, why, Refund{Asset: r.Asset, Amount: r.Amount, To: r.TokenFrom}, Refund{Asset: Ether, Amount: r.MaxFee, To: r.From})
	}
	return nil
}

func (s *State) refund(e *Event) error {
	var ref RefundRef
	switch {
	case e.RefundAsked != nil:
		ref = e.RefundAsked.RefundRef
	case e.RefundRefused != nil:
		ref = *e.RefundRefused
	case e.RefundUnknown != nil:
		ref = *e.RefundUnknown
	default:
		ref = e.Refunded.RefundRef
	}
	r := s.requests[ref.Number]
	if r == nil || r.State != RequestWillRefund || ref.Index >= uint64(len(r.Refunds)) {
		return misfit("refund %+v is not open", ref)
	}
	f := &r.Refunds[ref.Index]
	if f.Done || (e.RefundAsked != nil) != (f.CreatedAt == 0) || f.Unknown && e.RefundUnknown != nil {
		return misfit("refund %+v is out of order", ref)
	}
	task := Task{Kind: TaskRefund, ID: ref.Number, Version: ref.Index}
	switch {
	case e.RefundAsked != nil:
		f.CreatedAt = e.RefundAsked.CreatedAt
		return s.stamp(f.CreatedAt, task)
	case e.RefundRefused != nil:
		f.CreatedAt, f.Unknown = 0, false
		delete(s.unknown, task)
	case e.RefundUnknown != nil:
		f.Unknown = true
		s.unknown[task] = true
	default:
		before := s.owes(r)
		f.Done, f.Unknown, f.Block = true, false, e.Refunded.Block
		delete(s.unknown, task)
		b := s.books[f.Asset]
		b.Supply = plus(b.Supply, f.Amount)
		s.settle(r, before)
		if !slices.ContainsFunc(r.Refunds, func(f Refund) bool { return !f.Done }) {
			r.State = RequestRefunded
			delete(s.openReqs, r.Number)
		}
	}
	return nil
}

// MaxSymbol is the longest symbol of a token, as short as memos need it.
const MaxSymbol = 20

// Stamp is a created_at_time for a ledger that no earlier request has: two equal transfers in one block must not look like one.
func (s *State) Stamp(now uint64) uint64 { return max(now, s.lastStamp+1) }

// NextRequest is the number of the next withdrawal.
func (s *State) NextRequest() uint64 { return s.lastReq + 1 }

// Nonce is the next nonce of the main address.
func (s *State) Nonce() uint64 { return s.nonce }

// Cursor is the last block whose logs of a contract were read.
func (s *State) Cursor(k Scraper) uint64 { return s.cursors[k] }

// Observed is the last final block that was seen; its hash is zero if none was.
func (s *State) Observed() Block { return s.observed }

// RecoveryHalt says why nothing is minted or paid after a recovery of the subnet.
func RecoveryHalt(number uint64) string {
	return fmt.Sprintf("the subnet was restored from a backup (recovery %d), and the chain may have transactions that the log does not; a controller of the minter calls resume, which compares them",
		number)
}

// Recovery gives the event that notes the number of the subnet's last recovery from a backup, or nil if it is the one known.
func (s *State) Recovery(n uint64) *Event {
	if n <= s.recovery {
		return nil
	}
	return &Event{Recovery: &n}
}

// HaltedOtherwise reports whether something else than a recovery of the subnet halts the minter.
func (s *State) HaltedOtherwise() bool {
	return s.halt != nil && s.halt.Reason != RecoveryHalt(s.recovery)
}

// Stale reports whether the subnet was restored from a backup and the log is not reconciled with the chain since.
func (s *State) Stale() bool { return s.stale != 0 }

// StaleSince is when the log learnt that the subnet was restored, in ns; 0 if it is not stale.
func (s *State) StaleSince() uint64 { return s.stale }

// Claims is what the minter owes of an asset: issued, burned and not paid, to be minted, and claimed by deposits that are not verified yet.
func (s *State) Claims(a Asset) Amount {
	b := s.Book(a)
	sum := plus(plus(b.Supply, b.Owed), s.minting[a])
	for _, d := range s.openMints {
		if d.Asset == a && d.State == DepositSeen {
			sum = plus(sum, d.Value)
		}
	}
	return sum
}

// Halt says why nothing is minted or paid, or is nil.
func (s *State) Halt() *Halt { return s.halt }

// Paused says why nothing is minted or paid of an asset, or is "".
func (s *State) Paused(a Asset) string { return s.paused[a] }

// Tokens lists the tokens in the order in which they came.
func (s *State) Tokens() []*Token {
	ts := make([]*Token, len(s.order))
	for i, a := range s.order {
		ts[i] = s.tokens[a]
	}
	return ts
}

// Token returns a token, or nil.
func (s *State) Token(a Asset) *Token { return s.tokens[a] }

// TokenOf returns the token with a ledger, or nil.
func (s *State) TokenOf(ledger []byte) *Token { return s.tokens[s.byLedger[string(ledger)]] }

// LedgerOf is the ledger of an asset.
func (s *State) LedgerOf(a Asset) []byte {
	if a == Ether {
		return s.Config.Ledger
	}
	return s.tokens[a].Ledger
}

// Symbol is the name of what is minted for an asset.
func (s *State) Symbol(a Asset) string {
	if a == Ether {
		return "ckETH"
	}
	return s.tokens[a].Symbol
}

// Book is what is known of an asset.
func (s *State) Book(a Asset) Book { return *s.books[a] }

// Deposit returns a deposit, or nil.
func (s *State) Deposit(src Source) *Deposit { return s.deposits[src] }

// DepositsOf lists the deposits of a transaction.
func (s *State) DepositsOf(tx eth.Hash) []Source { return s.byTx[tx] }

// DepositsTo lists the deposits to an account, oldest first.
func (s *State) DepositsTo(a Account) []Source { return s.byOwner[a] }

// Request returns a withdrawal by its number, or nil.
func (s *State) Request(number uint64) *Request { return s.requests[number] }

// RequestByID returns a withdrawal by the block of its burn of ckETH, or nil.
func (s *State) RequestByID(id uint64) *Request {
	if n, ok := s.ids[id]; ok {
		return s.requests[n]
	}
	return nil
}

// RequestsFrom lists the withdrawals from an account, oldest first.
func (s *State) RequestsFrom(a Account) []uint64 { return s.byAccount[a] }

// RequestsTo lists the withdrawals to an address, oldest first.
func (s *State) RequestsTo(a eth.Address) []uint64 { return s.byTarget[a] }

// Transfer returns a transfer that is not final, or nil.
func (s *State) Transfer(id uint64) *Transfer { return s.transfers[id] }

// Transfers lists the transfers that are not final, oldest first.
func (s *State) Transfers() []*Transfer {
	ts := slices.Collect(maps.Values(s.transfers))
	sort.Slice(ts, func(i, j int) bool { return ts[i].ID < ts[j].ID })
	return ts
}

// SweepOf is the open sweep of an account's deposit address, or nil.
func (s *State) SweepOf(a Account) *Transfer { return s.transfers[s.sweeps[a]] }

// NextTransfer is the number of the next transfer.
func (s *State) NextTransfer() uint64 { return s.lastTx + 1 }

// Pending is how many withdrawals wait for a transaction.
func (s *State) Pending() int { return len(s.queue) }

// Open is the number of withdrawals that are neither paid nor refunded, with burns whose outcome is open.
func (s *State) Open() int {
	n := len(s.queue) + len(s.openReqs)
	for _, t := range s.transfers {
		if !t.IsSweep() {
			n++
		}
	}
	return n
}

// OpenDeposits is the number of deposits that are still to be minted.
func (s *State) OpenDeposits() int { return len(s.openMints) }

// Events is the number of events applied.
func (s *State) Events() uint64 { return s.events }

// Kept is what the minter kept of a paid withdrawal: what was set aside for fees and not used, in wei.
func (s *State) Kept(r *Request) Amount {
	spent := times(r.Receipt.GasPrice, r.Receipt.GasUsed)
	if !r.IsEther() {
		return sub(r.MaxFee, spent)
	}
	return sub(r.Amount, plus(spent, r.Paid))
}

// RequestOf is the withdrawal that a transfer belongs or belonged to, nil for a sweep.
func (s *State) RequestOf(transfer uint64) *Request { return s.requests[s.owners[transfer]] }

// SortedAccounts are the keys of a map in an order of their own.
func SortedAccounts[V any](m map[Account]V) []Account {
	as := slices.Collect(maps.Keys(m))
	sort.Slice(as, func(i, j int) bool {
		if c := as[i].Owner.Compare(as[j].Owner); c != 0 {
			return c < 0
		}
		return bytes.Compare(as[i].Subaccount[:], as[j].Subaccount[:]) < 0
	})
	return as
}
