package core

import (
	"fmt"
	"slices"

	"github.com/holiman/uint256"

	"fusion/eth"
)

// Bounds of the pipeline, as ckETH's.
const (
	perRound    = 5    // transactions that one round creates, and signs
	maxInFlight = 1000 // withdrawals with a transaction that is not final
	maxPending  = 100  // withdrawals that wait for a transaction
	MaxRange    = 500  // blocks of one reading of logs
)

// SweepTimes is how many times the cost of its sweep a deposit must be worth.
const SweepTimes = 10

// Range is what is to be read next of a contract's logs, up to a height; ok is false if there is nothing, or no contract.
func (s *State) Range(k Scraper, height uint64) (from, to uint64, ok bool) {
	if s.Config.Helpers[k] == (eth.Address{}) || s.cursors[k] >= height {
		return 0, 0, false
	}
	from = s.cursors[k] + 1
	return from, min(height, from+MaxRange-1), true
}

// Log is a log of a contract with its place.
type Log struct {
	eth.Event
	Block  uint64
	Source Source
}

// Read gives the event for a log of a helper contract, or nil if the log is known already or none of that contract's deposits.
func (s *State) Read(k Scraper, l Log) *Event {
	if s.deposits[l.Source] != nil || l.Address != s.Config.Helpers[k] || l.Address == (eth.Address{}) || len(l.Topics) == 0 || l.Topics[0] != Topics[k] {
		return nil
	}
	d, err := eth.ParseDeposit(l.Event)
	c := Claim{Source: l.Source, Scraper: k, Block: l.Block, From: d.From, Asset: d.Token, Value: d.Amount, To: Account{Owner: d.Principal, Subaccount: d.Subaccount}}
	refuse := func(format string, args ...any) *Event {
		return &Event{Invalid: &Refusal{c, fmt.Sprintf(format, args...)}}
	}
	switch {
	case err != nil:
		return refuse("%v", err)
	case s.Config.IsBlocked(c.From):
		return refuse("the sender %v is on the block list", c.From)
	case c.To.Owner == s.Minter.Owner:
		return refuse("the minter cannot be the owner")
	case s.books[c.Asset] == nil:
		return refuse("the token %v is not supported", c.Asset)
	}
	return &Event{Seen: &c}
}

// Topics are the first topics of the helper contracts' events.
var Topics = [scrapers]eth.Hash{eth.TopicReceivedETH, eth.TopicReceivedERC20, eth.TopicReceivedETHOrERC20}

// Verify gives the event for an ERC-20 deposit by all logs of its transaction: what counts is the smaller of what the helper says and of what the token says
// moved from the sender to the minter since the helper's log before. The receipt must be of a transaction that succeeded.
func (s *State) Verify(src Source, main eth.Address, logs []Log) Event {
	d := s.deposits[src]
	refuse := func(why string) Event { return Event{Invalid: &Refusal{d.Claim, why}} }
	var arrived Amount
	found := false
	for _, l := range logs {
		if l.Source.Index > src.Index {
			break
		}
		if l.Source == src {
			again, err := eth.ParseDeposit(l.Event)
			found = err == nil && l.Address == s.Config.Helpers[d.Scraper] && again.Amount == d.Value && again.Token == d.Asset && again.From == d.From
			break
		}
		if slices.Contains(s.Config.Helpers[:], l.Address) {
			if _, err := eth.ParseDeposit(l.Event); err == nil {
				arrived = Amount{} // what came before belongs to that deposit
			}
			continue
		}
		if t, err := eth.ParseTransfer(l.Event); err == nil && t.Token == d.Asset && t.From == d.From && t.To == main {
			arrived = plus(arrived, t.Amount)
		}
	}
	switch {
	case !found:
		return refuse("its transaction does not hold the log")
	case arrived.IsZero():
		return refuse("the token did not move to the minter in that transaction")
	}
	return Event{Verified: &Verified{src, least(arrived, d.Value)}}
}

// Create gives the events that one round of the pipeline begins with: transactions for the oldest withdrawals, as many as a round may create. A
// withdrawal that cannot pay the fee now lets others go first, and is given up after too long.
func (s *State) Create(now uint64, fee Fee, main eth.Address, apply func(Event)) {
	if s.halt != nil {
		return
	}
	mains := 0
	for _, t := range s.transfers {
		if !t.IsSweep() {
			mains++
		}
	}
	created := 0
	for _, n := range slices.Clone(s.queue) {
		if created == perRound || mains == maxInFlight {
			return
		}
		r := s.requests[n]
		if s.paused[r.Asset] != "" {
			continue
		}
		x := Created{Transfer: s.lastTx + 1, Number: n, Nonce: s.nonce, Fee: fee, Main: main}
		ok := x.pays(r)
		switch {
		case ok:
			apply(Event{Created: &x})
			created++
			mains++
		case now >= r.AcceptedAt+s.Config.AbandonAfter:
			apply(Event{Abandoned: &n})
		}
	}
}

// pays completes a transaction by what its withdrawal can pay, and reports whether that covers the fee.
func (x *Created) pays(r *Request) bool {
	if r.IsEther() {
		x.Value = sub(r.Amount, x.Fee.Cost(GasEther))
		return !x.Value.IsZero()
	}
	most := perGas(r.MaxFee, GasErc20)
	if most.Lt(&x.Fee.MaxFeePerGas) {
		return false
	}
	x.Fee.MaxFeePerGas = most // the fee is burned already: it may as well help
	return true
}

// Full reports whether no further withdrawal is to be accepted: too many wait for a transaction. Those that wait for lower fees, or for an operator who looks at
// their asset, take nobody's turn and count only a tenth.
func (s *State) Full(fee Fee) bool {
	next := 0
	for _, n := range s.queue {
		if r := s.requests[n]; s.paused[r.Asset] == "" && (&Created{Fee: fee}).pays(r) {
			next++
		}
	}
	return next >= maxPending || len(s.queue) >= 10*maxPending
}

func perGas(n Amount, gas uint64) (q Amount) {
	q.Div(&n, uint256.NewInt(gas))
	return q
}

// FillAfter is how long a withdrawal that can no longer pay its fee keeps its nonce before a filler takes it, in ns.
func (c *Config) FillAfter() uint64 { return 20 * c.Pipeline }

// Replace gives a new version of a transfer if its newest one offers too little for the next block, or nil. base is the base fee of the next block.
func (s *State) Replace(t *Transfer, now uint64, fee Fee, base Amount) *Event {
	v := t.Latest()
	if s.halt != nil || t.Disputed {
		return nil
	}
	paused := !t.IsSweep() && s.paused[s.requests[t.Number].Asset] != ""
	if paused && !v.Filler {
		if now < v.CreatedAt+s.Config.FillAfter() || !s.holdsUp(t) {
			return nil
		}
	} else if v.Raw == nil || !v.Sent || !v.Fee.Stale(base) {
		return nil
	}
	bumped := eth.Bump(v.Fee, base).Max(fee)
	if t.IsSweep() {
		value := sub(plus(v.Tx.Value, v.Fee.Cost(GasEther)), bumped.Cost(GasEther))
		if value.IsZero() {
			return nil
		}
		return &Event{Sweep: &SweepCreated{Transfer: t.ID, Version: uint64(len(t.Versions)), Account: t.Account, From: t.From, Main: v.Tx.To, Nonce: t.Nonce, Fee: bumped, Value: value}}
	}
	r := s.requests[t.Number]
	x := Created{Transfer: t.ID, Number: t.Number, Nonce: t.Nonce, Main: t.From, Filler: v.Filler}
	lowest := eth.Bump(v.Fee, base)
	for _, f := range []Fee{bumped, lowest} {
		if v.Filler || paused {
			break
		}
		x.Fee = f
		if r.IsEther() {
			if x.Value = sub(r.Amount, f.Cost(GasEther)); !x.Value.IsZero() {
				return &Event{Replaced: &x}
			}
		} else if cost := f.Cost(GasErc20); !cost.Gt(&r.MaxFee) {
			return &Event{Replaced: &x}
		}
	}
	if !v.Filler && !paused && now < v.CreatedAt+s.Config.FillAfter() {
		return nil // fees may fall
	}
	x.Filler, x.Value, x.Fee = true, Amount{}, lowest
	cost, most := lowest.Cost(GasEther), plus(r.MaxFee, plus(s.Spare(), r.Reserved))
	if r.IsEther() {
		most = sub(r.Amount, AmountOf(1)) // something must be left to mint back, or the withdrawal would have no end that a user can see
	}
	if cost.Gt(&most) {
		return nil
	}
	return &Event{Replaced: &x}
}

// holdsUp reports whether withdrawals of assets that are not paused wait behind the nonce of a transfer.
func (s *State) holdsUp(t *Transfer) bool {
	waits := func(n uint64) bool { return s.paused[s.requests[n].Asset] == "" }
	for _, x := range s.transfers {
		if !x.IsSweep() && x.Nonce > t.Nonce && waits(x.Number) {
			return true
		}
	}
	return slices.ContainsFunc(s.queue, waits)
}

// Facts are what a receipt says.
type Facts struct {
	Hash     eth.Hash
	Block    Block
	GasUsed  uint64
	GasPrice Amount
	Success  bool
	Logs     []eth.Event
}

// Judge gives the event for the receipt of one of a transfer's transactions.
func (s *State) Judge(t *Transfer, version int, f Facts) Event {
	v := t.Versions[version]
	x := &Receipt{Transfer: t.ID, Version: uint64(version), Hash: f.Hash, Block: f.Block, GasUsed: f.GasUsed, GasPrice: f.GasPrice, Success: f.Success}
	if f.GasUsed > v.Tx.GasLimit || f.GasPrice.Gt(&v.Tx.MaxFeePerGas) {
		x.Confusion = fmt.Sprintf("the receipt of %v has %d gas at %v wei, more than was signed", f.Hash, f.GasUsed, &f.GasPrice)
		return Event{Disputed: x}
	}
	r := s.requests[t.Number]
	if !f.Success || v.Filler || r == nil || r.IsEther() {
		return Event{Finalized: x}
	}
	var out Amount
	for _, l := range f.Logs {
		m, err := eth.ParseTransfer(l)
		if err != nil || m.Token != r.Asset || m.From != t.From {
			continue
		}
		if m.To == r.To && m.Amount == r.Amount {
			return Event{Finalized: x}
		}
		out = plus(out, m.Amount)
	}
	if out.IsZero() {
		x.NotMoved = true
		return Event{Finalized: x}
	}
	x.Moved = out
	x.Confusion = fmt.Sprintf("%v moved %v of the token instead of %v: an operator must look at the token", f.Hash, &out, &r.Amount)
	return Event{Disputed: x}
}

// Adopt gives the version of a transfer with the payload of a transaction that the chain has under its nonce, or -1: then somebody else has the minter's key.
func (t *Transfer) Adopt(tx eth.Transaction) int {
	digest := tx.SigningHash()
	return slices.IndexFunc(t.Versions, func(v *Version) bool { return v.Digest == digest })
}

// Foreign is the event for a nonce that was used by a transaction which the minter never prepared.
func (t *Transfer) Foreign(hash eth.Hash, at Block) Event {
	return Event{Disputed: &Receipt{Transfer: t.ID, Hash: hash, Block: at,
		Confusion: fmt.Sprintf("nonce %d was used by %v, which the minter did not prepare", t.Nonce, hash)}}
}

// PlanSweep gives the event that empties a deposit address, or says why not. balance is what it holds in a final block.
func (s *State) PlanSweep(a Account, from, main eth.Address, nonce uint64, balance Amount, fee Fee) (*Event, string) {
	cost := fee.Cost(GasEther)
	need := times(cost, SweepTimes)
	switch {
	case !s.Config.Personal:
		return nil, "deposit addresses are switched off"
	case s.halt != nil:
		return nil, "the minter is halted: " + s.halt.Reason
	case s.sweeps[a] != 0:
		return nil, "an earlier deposit of this address is on its way"
	case balance.Lt(&need):
		return nil, fmt.Sprintf("the address holds %s wei in final blocks; at least %s are needed now, ten times what moving them costs", balance.Dec(), need.Dec())
	}
	return &Event{Sweep: &SweepCreated{Transfer: s.lastTx + 1, Account: a, From: from, Main: main, Nonce: nonce, Fee: fee, Value: sub(balance, cost)}}, ""
}

// MaxFee is what is burned of ckETH for the fee of a token's withdrawal.
func MaxFee(fee Fee) Amount { return fee.Cost(GasErc20) }
