package core

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
)

// TaskKind says what is to be asked of others.
type TaskKind uint8

// The kinds of tasks, in the order in which they are done.
const (
	TaskVerify    TaskKind = iota + 1 // read the receipt of an ERC-20 deposit
	TaskMint                          // at a ledger
	TaskBurn                          // of ckETH
	TaskTokenBurn                     // of a token
	TaskRefund                        // at a ledger
	TaskSign
	TaskSend
)

// Task is a call to make. It may be made twice without harm.
type Task struct {
	Kind    TaskKind
	Source  Source // of a deposit
	ID      uint64 // number of a request; of TaskSign and TaskSend the transfer
	Version uint64 // of a transfer, or the index of a refund
}

func (t Task) compare(u Task) int {
	if c := cmp.Compare(t.Kind, u.Kind); c != 0 {
		return c
	}
	if c := cmp.Compare(t.ID, u.ID); c != 0 {
		return c
	}
	if c := cmp.Compare(t.Version, u.Version); c != 0 {
		return c
	}
	return t.Source.compare(u.Source)
}

// sortTasks, like whatever else is sorted in this canister, uses package sort: slices.SortFunc would bring a copy of itself for each type, 5 kB of a module that has
// to fit into a message.
func sortTasks(ts []Task) { sort.Slice(ts, func(i, j int) bool { return ts[i].compare(ts[j]) < 0 }) }

// Tasks lists what is to be asked of others now, in an order that depends on the state only. While the minter is halted only burns go on, which settle what
// users were told.
func (s *State) Tasks(now uint64) []Task {
	var ts []Task
	for src, d := range s.openMints {
		if (s.halt != nil || s.paused[d.Asset] != "") && !(s.stale != 0 && d.State == DepositSeen) {
			continue
		}
		switch d.State {
		case DepositSeen:
			ts = append(ts, Task{Kind: TaskVerify, Source: src})
		case DepositWaiting:
			if !s.Capped(d, now) {
				ts = append(ts, Task{Kind: TaskMint, Source: src})
			}
		case DepositAsked:
			ts = append(ts, Task{Kind: TaskMint, Source: src})
		}
	}
	for n, r := range s.openReqs {
		switch r.State {
		case RequestBurning:
			if !r.Unknown {
				ts = append(ts, Task{Kind: TaskBurn, ID: n})
			}
		case RequestGasBurned, RequestTokenBurning:
			if !r.Unknown {
				ts = append(ts, Task{Kind: TaskTokenBurn, ID: n})
			}
		case RequestWillRefund:
			for i, f := range r.Refunds {
				if !f.Done && !f.Unknown && s.halt == nil {
					ts = append(ts, Task{Kind: TaskRefund, ID: n, Version: uint64(i)})
				}
			}
		}
	}
	signing := 0
	for _, t := range s.Transfers() {
		newest := len(t.Versions) - 1
		if s.halt != nil || t.Disputed || !t.IsSweep() && s.paused[s.requests[t.Number].Asset] != "" && !t.Versions[newest].Filler {
			continue
		}
		if v := t.Versions[newest]; v.Raw == nil && signing < perRound {
			signing++
			ts = append(ts, Task{Kind: TaskSign, ID: t.ID, Version: uint64(newest)})
		}
		for i := len(t.Versions) - 1; i >= 0; i-- { // the newest that is signed
			if t.Versions[i].Raw != nil {
				ts = append(ts, Task{Kind: TaskSend, ID: t.ID, Version: uint64(i)})
				break
			}
		}
	}
	sortTasks(ts)
	return ts
}

// LedgerBlock is what the minter reads of a block of a ledger: a mint or a burn.
type LedgerBlock struct {
	Index     uint64
	Mint      bool // else a burn
	Amount    Amount
	CreatedAt uint64 // 0 if the transaction had none
}

// assetOf is whose ledger a task asks.
func (s *State) assetOf(t Task) Asset {
	switch t.Kind {
	case TaskMint:
		if d := s.deposits[t.Source]; d != nil {
			return d.Asset
		}
	case TaskTokenBurn:
		if r := s.requests[t.ID]; r != nil {
			return r.Asset
		}
	case TaskRefund:
		if r := s.requests[t.ID]; r != nil && t.Version < uint64(len(r.Refunds)) {
			return r.Refunds[t.Version].Asset
		}
	}
	return Ether
}

// Match finds the transfer that a block of an asset's ledger belongs to. Every transfer the minter ever asked for has a created_at_time of its own, so each
// block belongs to at most one. finding is "" if block and log agree, else a sentence for the operator. Burns that the minter did not ask for are none
// of its business: anybody may destroy what is his.
func (s *State) Match(a Asset, b LedgerBlock) (t Task, ours bool, finding string) {
	t, ours = s.stamps[b.CreatedAt]
	ours = ours && b.CreatedAt != 0 && s.assetOf(t) == a
	if !ours {
		if b.Mint {
			finding = fmt.Sprintf("block %d of the ledger of %s mints %v that no event explains", b.Index, s.Symbol(a), &b.Amount)
		}
		return Task{}, false, finding
	}
	wrong := func(format string, args ...any) (Task, bool, string) {
		return t, true, fmt.Sprintf("block %d of the ledger of %s: ", b.Index, s.Symbol(a)) + fmt.Sprintf(format, args...)
	}
	switch t.Kind {
	case TaskMint:
		d := s.deposits[t.Source]
		switch {
		case !b.Mint || b.Amount != d.Value:
			return wrong("does not mint %v for deposit %v", &d.Value, t.Source)
		case d.MintAt != b.CreatedAt || d.State == DepositWaiting:
			return wrong("mints for deposit %v, which the ledger had refused", t.Source)
		case d.State == DepositMinted && d.Minted != b.Index:
			return wrong("mints for deposit %v, which block %d minted", t.Source, d.Minted)
		}
	case TaskBurn, TaskTokenBurn:
		r := s.requests[t.ID]
		if b.Mint {
			return wrong("mints, where the log has a burn")
		}
		if r == nil {
			return wrong("burns %v for a withdrawal that the ledger had refused", &b.Amount)
		}
		want, block, settled := r.Amount, r.ID, r.Burned()
		if t.Kind == TaskBurn && !r.IsEther() {
			want = r.MaxFee
		}
		if t.Kind == TaskTokenBurn {
			block, settled = r.TokenBlock, r.State >= RequestPending
			if len(r.Refunds) == 1 && r.Receipt == nil && r.Refunds[0].Asset == Ether {
				return wrong("burns for withdrawal %d, which the ledger had refused", r.ID)
			}
		}
		switch {
		case b.Amount != want:
			return wrong("burns %v for a withdrawal of %v", &b.Amount, &want)
		case settled && block != b.Index:
			return wrong("burns for withdrawal %d, for which block %d burned", r.ID, block)
		}
	case TaskRefund:
		f := s.requests[t.ID].Refunds[t.Version]
		switch {
		case !b.Mint || b.Amount != f.Amount:
			return wrong("does not refund withdrawal %d with %v", s.requests[t.ID].ID, &f.Amount)
		case f.CreatedAt != b.CreatedAt:
			return wrong("refunds withdrawal %d, which the ledger had refused", s.requests[t.ID].ID)
		case f.Done && f.Block != b.Index:
			return wrong("refunds withdrawal %d, which block %d refunded", s.requests[t.ID].ID, f.Block)
		}
	}
	return t, true, ""
}

// Unknown lists the transfers of an asset whose outcome its ledger's methods can no longer tell.
func (s *State) Unknown(a Asset) []Task {
	var ts []Task
	for t := range s.unknown {
		if s.assetOf(t) == a {
			ts = append(ts, t)
		}
	}
	sortTasks(ts)
	return ts
}

// Resolve gives the event that ends an unknown transfer: it is in the given block of the ledger, or (block nil) in none, which all blocks up to a time
// after it was given up have shown.
func (s *State) Resolve(t Task, block *uint64) Event {
	ref := RefundRef{t.ID, t.Version}
	switch {
	case t.Kind == TaskMint && block == nil:
		return Event{MintRefused: &t.Source}
	case t.Kind == TaskMint:
		return Event{Minted: &Minted{t.Source, *block}}
	case t.Kind == TaskBurn && block == nil:
		return Event{BurnRefused: &t.ID}
	case t.Kind == TaskBurn:
		return Event{Burned: &Burned{t.ID, *block}}
	case t.Kind == TaskTokenBurn && block == nil:
		return Event{TokenBurnRefused: &t.ID}
	case t.Kind == TaskTokenBurn:
		return Event{TokenBurned: &Burned{t.ID, *block}}
	case block == nil:
		return Event{RefundRefused: &ref}
	}
	return Event{Refunded: &Refunded{ref, *block}}
}

// Undecided reports whether a transfer has neither moved anything nor been refused, as far as the log knows.
func (s *State) Undecided(t Task) bool {
	r := s.requests[t.ID]
	switch t.Kind {
	case TaskMint:
		d := s.deposits[t.Source]
		return d != nil && (d.State == DepositAsked || d.State == DepositUnknown)
	case TaskBurn:
		return r != nil && r.State == RequestBurning
	case TaskTokenBurn:
		return r != nil && r.State == RequestTokenBurning
	case TaskRefund:
		return r != nil && r.State == RequestWillRefund && !r.Refunds[t.Version].Done && r.Refunds[t.Version].CreatedAt != 0
	}
	return false
}

// CheckInvariants checks what must hold after every event. It visits everything: for tests and upgrades.
func (s *State) CheckInvariants() error {
	bad := func(format string, args ...any) error { return fmt.Errorf("invariant broken: "+format, args...) }
	owed, minting := map[Asset]Amount{}, map[Asset]Amount{}
	for src, d := range s.deposits {
		switch d.State {
		case DepositWaiting, DepositAsked, DepositUnknown:
			minting[d.Asset] = plus(minting[d.Asset], d.Value)
		}
		if _, open := s.openMints[src]; open != (d.State == DepositSeen || d.State == DepositWaiting || d.State == DepositAsked) {
			return bad("deposit %v in state %d, open %v", src, d.State, open)
		}
	}
	queued := map[uint64]int{}
	for _, n := range s.queue {
		queued[n]++
	}
	for n, r := range s.requests {
		owed[Ether] = plus(owed[Ether], r.owed(Ether))
		if !r.IsEther() {
			owed[r.Asset] = plus(owed[r.Asset], r.owed(r.Asset))
		}
		if in := queued[n]; (in == 1) != (r.State == RequestPending) || in > 1 {
			return bad("withdrawal %d in state %d is queued %d times", n, r.State, in)
		}
		t := s.transfers[r.Transfer]
		if under := t != nil && t.Number == n; under != (r.State == RequestInTransfer || r.State == RequestDisputed) {
			return bad("withdrawal %d in state %d, transfer %d", n, r.State, r.Transfer)
		}
		if _, open := s.openReqs[n]; open != (r.State <= RequestTokenBurning || r.State == RequestWillRefund) {
			return bad("withdrawal %d in state %d, open %v", n, r.State, open)
		}
		if back := r.State == RequestWillRefund || r.State == RequestRefunded; back != (len(r.Refunds) > 0) {
			return bad("withdrawal %d in state %d has %d refunds", n, r.State, len(r.Refunds))
		}
		if r.Burned() && s.ids[r.ID] != n {
			return bad("withdrawal %d is not known as %d", n, r.ID)
		}
	}
	for a, b := range s.books {
		o, m := owed[a], minting[a]
		if o != b.Owed || m != s.minting[a] {
			return bad("%v: the books owe %v and mint %v, the requests %v, the deposits %v", a, &b.Owed, s.minting[a], &o, &m)
		}
		claims := plus(plus(b.Supply, b.Owed), m)
		if claims.Gt(&b.Custody) && s.halt == nil {
			return bad("%v: supply %v + owed %v + to mint %v exceed custody %v", a, &b.Supply, &b.Owed, &m, &b.Custody)
		}
	}
	if s.nonce != s.unused+s.mains {
		return bad("next nonce %d after %d transfers from nonce %d", s.nonce, s.mains, s.unused)
	}
	nonces := map[uint64]uint64{}
	for id, t := range s.transfers {
		if len(t.Versions) == 0 {
			return bad("transfer %d has no transaction", id)
		}
		for i, v := range t.Versions {
			if v.Tx.Nonce != t.Nonce || i > 0 && !v.Fee.Replaces(t.Versions[i-1].Fee) {
				return bad("version %d of transfer %d replaces nothing", i, id)
			}
			if v.Raw != nil && s.hashes[v.Hash] != id {
				return bad("transaction %v of transfer %d is not tracked", v.Hash, id)
			}
		}
		if t.IsSweep() {
			if s.sweeps[t.Account] != id || !slices.Contains(s.nonces[t.Account], t.Nonce) {
				return bad("sweep %d is not the one of its address, or its nonce is not known", id)
			}
			continue
		}
		if other, dup := nonces[t.Nonce]; dup || t.Nonce >= s.nonce {
			return bad("transfers %d and %d have nonce %d of %d", id, other, t.Nonce, s.nonce)
		}
		nonces[t.Nonce] = id
	}
	for t := range s.unknown {
		if !s.Undecided(t) {
			return bad("transfer %+v is unknown and decided", t)
		}
	}
	return nil
}
