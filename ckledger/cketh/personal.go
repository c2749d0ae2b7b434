package cketh

import (
	"fmt"
	"time"

	"fusion/cdk"
	"fusion/ckledger/cketh/core"
	"fusion/eth"
)

// Personal deposit addresses: each account has an address of its own, derived from the minter's key. Plain ether sent to it, by an exchange for example that calls
// no contract, is moved to the minter's main address by a sweep, whose fee the deposit pays, and what the final sweep brought is minted.

// personal is what is known of one address. It is on the heap: notify_deposit tells again.
type personal struct {
	running bool
	at      uint64 // when to look again
	until   uint64 // when to stop looking
	seen    *core.Amount
	said    string // what came of the last look
}

const (
	maxWatched  = 1000 // addresses that are watched at a time
	watchFor    = uint64(time.Hour)
	maxLooks    = 10 // addresses that one tick looks at
	rechecksMax = 20 // at a time
)

// depositAccount checks whose deposit address is asked for.
func (m *minter) depositAccount(a Account) core.Account {
	acct, err := a.Of()
	switch {
	case err != nil:
		m.c.Trap("%v", err)
	case acct.Owner.IsAnonymous() || acct.Owner.IsManagement():
		m.c.Trap("the owner must be somebody")
	case acct.Owner == m.c.Self():
		m.c.Trap("the minter cannot be the owner")
	}
	return acct
}

func (m *minter) getDepositAddress(_ *cdk.Msg, a Account, out *cdk.Reply[string]) {
	acct := m.depositAccount(a)
	if !m.state.Config.Personal {
		m.c.Trap("deposit addresses are switched off on this minter")
	}
	m.withKey(nil, func(k *core.PublicKey, err error) {
		var addr eth.Address
		if err == nil {
			addr, err = k.Address(acct)
		}
		if err != nil {
			out.Reject("derive the address: %v", err)
			return
		}
		out.Send(addr.String())
	})
}

// notifyDeposit looks at an account's address now, and goes on looking for an hour.
func (m *minter) notifyDeposit(_ *cdk.Msg, a Account, out *cdk.Reply[TextResult]) {
	acct := m.depositAccount(a)
	m.recovered()
	switch {
	case !m.state.Config.Personal:
		out.Send(errText("deposit addresses are switched off on this minter"))
		return
	case m.halt() != nil && (!m.state.Stale() || m.state.HaltedOtherwise()): // after a recovery sweeps are looked for, and none begins
		out.Send(errText("the minter is halted: " + m.halt().Reason + "; what was sent is not lost"))
		return
	case m.key == nil || m.feeAt == 0 || m.state.Observed().Hash.IsZero():
		out.Send(errText("the minter has not seen the chain yet; try again in a minute"))
		return
	}
	p := m.personal[acct]
	switch {
	case p == nil && len(m.personal) >= maxWatched:
		out.Send(errText("too many addresses are watched now; try again in a few minutes"))
		return
	case p == nil:
		p = &personal{}
		m.personal[acct] = p
	case p.running:
		out.Send(errText("the address is being looked at already: see personal_deposit_status"))
		return
	case p.said != "" && m.c.Time() < p.at: // looking costs cycles
		p.until = m.c.Time() + watchFor
		out.Send(okText(p.said))
		return
	}
	p.until = m.c.Time() + watchFor
	m.look(acct, p, func(said string, err error) {
		if err != nil {
			out.Send(errText("the chain cannot be asked now: " + err.Error() + "; the address is looked at again by itself"))
			return
		}
		out.Send(okText(said))
	})
}

// watch looks again at addresses that somebody told us about.
func (m *minter) watch(now uint64) {
	looks := 0
	for _, acct := range core.SortedAccounts(m.personal) {
		p := m.personal[acct]
		switch {
		case p.running:
		case now >= p.until && m.state.SweepOf(acct) == nil:
			delete(m.personal, acct)
		case now >= p.at && looks < maxLooks && m.key != nil && m.feeAt != 0 && m.halt() == nil && m.state.SweepOf(acct) == nil:
			looks++
			m.look(acct, p, func(_ string, err error) {
				if err != nil {
					m.c.Print("look at the deposit address of %v: %v", acct.Owner, err)
				}
			})
		}
	}
}

// look asks what an address holds in a final block and sweeps it if it is worth it. After a recovery it first finds the sweeps that the log does not know.
func (m *minter) look(acct core.Account, p *personal, then func(string, error)) {
	addr, err := m.key.Address(acct)
	if err != nil {
		then("", err)
		return
	}
	p.running, p.at = true, m.c.Time()+max(m.state.Config.Every, uint64(2*time.Second))
	stop := func() { p.running = false }
	finish := func(said string, err error) {
		stop()
		if err == nil {
			p.said = said
		}
		then(said, err)
	}
	if m.state.SweepOf(acct) != nil {
		finish("an earlier deposit of this address is on its way; what arrives meanwhile is moved afterwards", nil)
		return
	}
	at := m.state.Observed().Number
	m.recallSweeps(acct, at, stop, func(sum core.Amount, err error) {
		switch {
		case err != nil:
			finish("", err)
		case !sum.IsZero():
			p.until = m.c.Time() + watchFor
			finish(fmt.Sprintf("%s wei were moved to the minter before the subnet was restored from a backup, and are minted now; what arrived since is moved afterwards", sum.Dec()), nil)
			m.work()
		case m.state.Stale():
			finish("all that was moved from the address is known. The minter is halted: "+m.halt().Reason+"; what was sent is not lost", nil)
		default:
			m.lookAt(acct, p, addr, at, stop, finish)
		}
	})
}

// lookAt asks what an address holds in a block.
func (m *minter) lookAt(acct core.Account, p *personal, addr eth.Address, at uint64, stop func(), finish func(string, error)) {
	m.ether(addr, at, stop, func(held core.Amount, err error) {
		if err != nil {
			finish("", err)
			return
		}
		p.seen = &held
		if _, why := m.state.PlanSweep(acct, addr, m.main, 0, held, m.fee); why != "" {
			finish(why, nil)
			return
		}
		m.count(addr, number(at), stop, func(nonce uint64, err error) {
			if err != nil {
				finish("", err)
				return
			}
			e, why := m.state.PlanSweep(acct, addr, m.main, nonce, held, m.fee)
			if e == nil {
				finish(why, nil)
				return
			}
			m.emit(*e)
			p.until = m.c.Time() + watchFor
			finish(fmt.Sprintf("%s wei arrived; they are being moved to the minter, and %s are minted when that is final", held.Dec(), e.Sweep.Value.Dec()), nil)
			m.work()
		})
	})
}

// leastPersonal is the smallest deposit to a personal address at today's fees.
func (m *minter) leastPersonal() core.Amount {
	least := m.fee.Cost(core.GasEther)
	times := core.AmountOf(core.SweepTimes)
	if _, overflow := least.MulOverflow(&least, &times); overflow {
		least.SetAllOne()
	}
	return least
}

func (m *minter) personalStatus(_ *cdk.Msg, a Account) PersonalDeposit {
	acct := m.depositAccount(a)
	s := PersonalDeposit{Address: "N/A", Message: "The minter has not seen the chain yet; try again in a minute.", Minted: []DepositReport{}}
	if m.key == nil {
		return s
	}
	addr, err := m.key.Address(acct)
	if err != nil {
		m.c.Trap("derive the address: %v", err)
	}
	s.Address = addr.String()
	if m.feeAt != 0 {
		least := nat(m.leastPersonal())
		s.MinimumDeposit = &least
	}
	s.Message = "Nothing is known of a deposit: call notify_deposit when ether was sent to the address."
	if p := m.personal[acct]; p != nil {
		if p.seen != nil {
			n := nat(*p.seen)
			s.LastSeenBalance = &n
		}
		if p.said != "" {
			s.Message = p.said
		}
	}
	if t := m.state.SweepOf(acct); t != nil {
		s.Message = "Ether arrived and is being moved to the minter; it is minted when that transaction is final."
		if v := t.Latest(); v.Raw != nil {
			h := v.Hash.String()
			s.Sweep = &h
		}
	}
	if h := m.halt(); h != nil {
		s.Message = "The minter is halted (" + h.Reason + "). Nothing is lost: deposits go on when an operator has looked at it."
	}
	list := m.state.DepositsTo(acct)
	for _, src := range list[max(0, len(list)-maxShown):] {
		if d := m.state.Deposit(src); d.Sweep != 0 {
			s.Minted = append(s.Minted, m.report(d))
		}
	}
	return s
}

// report tells the user what happens next with a deposit.
func (m *minter) report(d *core.Deposit) DepositReport {
	r := DepositReport{TransactionHash: d.Source.Tx.String(), LogIndex: d.Source.Index, BlockNumber: d.Block, From: d.From.String(), Amount: nat(d.Value)}
	if d.Asset != core.Ether {
		text := d.Asset.String()
		r.ContractAddress = &text
	}
	if d.To != (core.Account{}) {
		to := accountOf(d.To)
		r.To = &to
	}
	switch d.State {
	case core.DepositInvalid:
		reason := d.Reason
		r.Status = DepositState{Invalid: &reason}
		r.Message = "The deposit cannot be minted: " + reason + "."
		return r
	case core.DepositMinted:
		r.Status = DepositState{Minted: &MintedIn{nat(core.AmountOf(d.Minted)), principalOf(m.state.LedgerOf(d.Asset))}}
		r.Message = "Minted."
		return r
	case core.DepositUnknown:
		r.Status = DepositState{Quarantined: unit}
		r.Message = "The ledger gave no answer for a day. Its blocks are being read to learn whether it minted."
	case core.DepositSeen:
		r.Status = DepositState{Checking: unit}
		r.Message = "The deposit was seen in a final block; the transaction's receipt is being read."
	default:
		r.Status = DepositState{Accepted: unit}
		r.Message = "The deposit is being minted."
		if m.state.Capped(d, m.c.Time()) {
			r.Message = "The day's limit of what is minted of this token is reached. The deposit is minted on a later day, or when an operator raises the limit."
		}
	}
	if h := m.halt(); h != nil {
		r.Message = "The minter is halted (" + h.Reason + "). Nothing is lost: the deposit goes on when an operator has looked at it."
	} else if p := m.state.Paused(d.Asset); p != "" {
		r.Message = m.state.Symbol(d.Asset) + " is paused (" + p + "). The deposit goes on when an operator has looked at it."
	}
	return r
}

func (m *minter) depositStatus(msg *cdk.Msg, q DepositQuery) []DepositReport {
	out := []DepositReport{}
	acct := core.Account{Owner: msg.Caller()}
	list := m.state.DepositsTo(acct)
	switch {
	case q.TransactionHash != nil:
		h, err := eth.ParseHash(*q.TransactionHash)
		if err != nil {
			m.c.Trap("transaction %q: %v", *q.TransactionHash, err)
		}
		list = m.state.DepositsOf(h)
	case q.Account != nil:
		var err error
		if acct, err = q.Account.Of(); err != nil {
			m.c.Trap("%v", err)
		}
		list = m.state.DepositsTo(acct)
	}
	for _, src := range list[max(0, len(list)-maxShown):] {
		out = append(out, m.report(m.state.Deposit(src)))
	}
	return out
}

// recheck reads the receipt of one transaction and takes deposits in it that were missed: of a block that was skipped, or whose logs were withheld.
func (m *minter) recheck(_ *cdk.Msg, text string, out *cdk.Reply[TextResult]) {
	h, err := eth.ParseHash(text)
	if err != nil {
		m.c.Trap("transaction %q: %v", text, err)
	}
	at := m.state.Observed()
	switch {
	case m.rechecks >= rechecksMax:
		out.Send(errText("too many transactions are being rechecked now; try again in a minute"))
		return
	case at.Hash.IsZero():
		out.Send(errText("the minter has not seen the chain yet; try again in a minute"))
		return
	case m.halt() != nil:
		out.Send(errText("the minter is halted: " + m.halt().Reason))
		return
	}
	m.rechecks++
	release := func() { m.rechecks-- }
	m.receipt(h, release, func(r *receipt, err error) {
		release()
		switch {
		case err != nil:
			out.Send(errText("the chain cannot be asked now: " + err.Error()))
		case r == nil:
			out.Send(errText("no receipt: the transaction is in no block"))
		case r.Block.Number > m.state.Observed().Number:
			out.Send(errText(fmt.Sprintf("the transaction is in block %d, which is not final yet: final is %d", r.Block.Number, m.state.Observed().Number)))
		case !r.Success:
			out.Send(errText("the transaction failed: nothing was deposited"))
		default:
			n := 0
			for _, l := range r.logs {
				for k := range core.Scraper(core.Scrapers) {
					if m.take(k, l) {
						n++
					}
				}
			}
			known := len(m.state.DepositsOf(h))
			out.Send(okText(fmt.Sprintf("%d deposits in the transaction, %d of them new: see deposit_status", known, n)))
			m.work()
		}
	})
}
