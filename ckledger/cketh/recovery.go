package cketh

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"fusion/cdk"
	"fusion/ckledger/cketh/core"
	"fusion/eth"
	"fusion/eth/rpc"
	"fusion/ic/candid"
)

// After a recovery of the subnet from a backup the chain may have transactions of the minter that its log has forgotten. Until a controller's resume has
// compared them the minter is halted; it reads deposits and learns what is final of its own transactions meanwhile.

// recovered learns whether the subnet was restored from a backup. It is asked before anything is done.
func (m *minter) recovered() {
	if e := m.state.Recovery(m.c.Recovery()); e != nil {
		m.emit(*e)
		m.c.Print("halted: %s", m.state.Halt().Reason)
	}
}

// halt says why nothing is minted or paid, or is nil.
func (m *minter) halt() *core.Halt {
	if n := m.c.Recovery(); m.state.Recovery(n) != nil { // the log does not know yet
		return &core.Halt{Reason: core.RecoveryHalt(n)}
	}
	return m.state.Halt()
}

// ResumeArgs says which transactions a controller has looked at.
type ResumeArgs struct {
	// Nonce is the number of transactions of the minter's address. Those that neither the log knows nor a withdrawal explains are taken for what they are: spent.
	Nonce *uint64 `candid:"nonce"`
}

// ResumeResult is the result of resume: the next nonce.
type ResumeResult struct {
	candid.Variant
	Ok  *uint64 `candid:"Ok"`
	Err *string `candid:"Err"`
}

// maxUnknown is how many transactions a refusal names.
const maxUnknown = 10

// resume compares the log with the chain after a recovery: the transactions of the main address, which may have paid withdrawals that wait, and what it holds of
// each asset.
func (m *minter) resume(msg *cdk.Msg, a *ResumeArgs, out *cdk.Reply[ResumeResult]) {
	if !m.c.IsController(msg.Caller()) {
		m.c.Trap("only a controller of the minter may call resume")
	}
	m.recovered()
	refuse := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		out.Send(ResumeResult{Err: &text})
	}
	at := m.state.Observed()
	switch {
	case !m.state.Stale():
		refuse("the subnet was not restored since the last comparison; what else halts the minter ends by the upgrade argument resume")
		return
	case m.state.HaltedOtherwise():
		refuse("the minter is halted for another reason too: %s; end that by the upgrade argument resume first", m.state.Halt().Reason)
		return
	case m.problem != "":
		refuse("the chain cannot be read: call resume again; %s", m.problem)
		return
	case m.reader.time*uint64(time.Second) <= m.state.StaleSince(): // blocks of before the recovery may not be all that there were
		at := func(seconds uint64) string { return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339) }
		refuse("the subnet was restored at %s, and the last final block that the minter has read is of %s: call resume again when a later one is final",
			at(m.state.StaleSince()/uint64(time.Second)), at(m.reader.time))
		return
	}
	if done, all, why := m.comparedAddresses(); done < all {
		refuse("%d of %d deposit addresses are compared with the chain: call resume again%s", done, all, why)
		return
	}
	m.withKey(nil, func(_ *core.PublicKey, err error) {
		if err != nil {
			refuse("the minter's key is not available: %v", err)
			return
		}
		m.count(m.main, number(at.Number), nil, func(used uint64, err error) {
			if err != nil {
				refuse("the chain cannot be read: %v", err)
				return
			}
			known := 0
			for _, t := range m.state.Transfers() {
				if !t.IsSweep() && !t.Disputed && t.Nonce < used {
					known++
				}
			}
			if known > 0 {
				refuse("%d transactions of the log became final and are being settled: call resume again", known)
				return
			}
			m.count(m.main, latest, nil, func(mined uint64, err error) {
				switch next := m.state.Nonce(); {
				case err != nil:
					refuse("the chain cannot be read: %v", err)
				case mined > used:
					refuse("%d transactions of the minter's address are not final: call resume again", mined-used)
				case used > next:
					m.recall(&recalling{next: next, used: used, at: at.Number, word: a != nil && a.Nonce != nil && *a.Nonce == used}, func(list []string, err error) {
						switch {
						case err != nil:
							refuse("the minter's address %v has sent %d transactions, and %v", m.main, used, err)
						case list != nil:
							refuse("the log ends before nonce %d, and the minter's address %v has sent %d transactions: the log does not know %s, and no withdrawal that waits is what they pay. "+
								"They were made after the backup. Look at what they paid; then call resume with nonce = %d", m.state.Nonce(), m.main, used, strings.Join(list, ", "), used)
						default:
							m.weighAll(refuse, out)
						}
					})
				default:
					m.weighAll(refuse, out)
				}
			})
		})
	})
}

// recalling is what resume does about transactions that the log does not know.
type recalling struct {
	next, used uint64 // nonces: to be looked at next, and the first that is not used
	at         uint64 // the final block that counts
	word       bool   // the controller has looked at those that pay no withdrawal
	written    int
	list       []string // such ones, for the controller to look at; from the first on nothing is written
}

// maxRecalled is how many transactions one call of resume writes into the log.
const maxRecalled = 50

// recall goes through the transactions of the main address that the log does not know, in the order of their nonces. One that pays a withdrawal which waits becomes
// that withdrawal's, with its receipt, as if the log had always known it. done gets the others, if the controller has not looked at them.
func (m *minter) recall(r *recalling, done func([]string, error)) {
	switch {
	case r.next == r.used || len(r.list) == maxUnknown:
		if r.next < r.used {
			r.list = append(r.list, fmt.Sprintf("and %d more", r.used-r.next))
		}
		done(r.list, nil)
		return
	case r.written == maxRecalled:
		done(nil, fmt.Errorf("%d of them were compared with the log: call resume again", r.written))
		return
	}
	fail := func(err error) { done(nil, fmt.Errorf("the one with nonce %d stands in the way: %w", r.next, err)) }
	m.locate(m.main, r.next, r.at, nil, func(h eth.Hash, tx *rpc.Transaction, block core.Block, err error) {
		if err != nil {
			fail(err)
			return
		}
		m.receipt(h, nil, func(rec *receipt, err error) {
			switch {
			case err != nil:
				fail(err)
			case rec == nil || rec.Block.Number > r.at || rec.from != m.main:
				fail(fmt.Errorf("%v has no receipt in final blocks", h))
			case !m.state.Stale() || r.list == nil && m.state.Nonce() != r.next:
				fail(errors.New("another call of resume was faster"))
			default:
				if err := m.place(r, tx, block, rec); err != nil {
					fail(err)
					return
				}
				r.next++
				m.recall(r, done)
			}
		})
	})
}

// place writes a transaction of the main address into the log, or notes that the controller has to look at it.
func (m *minter) place(r *recalling, tx *rpc.Transaction, block core.Block, rec *receipt) error {
	var x *core.Created
	if payload, ok := m.signs(tx); ok && r.list == nil {
		var err error
		if x, err = m.state.Recall(payload, m.main); err != nil {
			return fmt.Errorf("%v: %w", rec.Hash, err)
		}
	}
	switch {
	case x != nil:
		m.emit(core.Event{Created: x})
		m.judge(m.state.Transfer(x.Transfer), 0, rec)
		m.c.Print("%v paid withdrawal %d after the backup", rec.Hash, m.state.Request(x.Number).ID)
	case r.word:
		m.emit(core.Event{Forgotten: &core.Forgotten{Nonce: r.next, Hash: rec.Hash}})
		m.c.Print("%v (nonce %d) was sent after the backup and pays no withdrawal that waits", rec.Hash, r.next)
	default:
		to := "a new contract"
		if tx.To != nil {
			to = tx.To.String()
		}
		r.list = append(r.list, fmt.Sprintf("%v (nonce %d, block %d, %s wei to %s)", rec.Hash, r.next, block.Number, tx.Value.Dec(), to))
		return nil
	}
	r.written++
	return nil
}

// weighing is the end of the comparison: what is owed, and what the books have, when everything up to a block was in the log.
type weighing struct {
	at       uint64
	owed     map[core.Asset]core.Amount
	booked   core.Amount // wei
	held     core.Amount // wei
	recalled uint64
	sweeps   []*core.Transfer // that were open
	assets   []core.Asset     // to be asked about
	short    []string
}

// weighAll ends the comparison: if the chain holds what is owed of each asset, the halt is over. What it holds beyond that may be of sweeps that the log does not
// know; how much it is goes into the log, so that it covers them and nothing else.
func (m *minter) weighAll(refuse func(string, ...any), out *cdk.Reply[ResumeResult]) {
	w := &weighing{at: m.state.Observed().Number, owed: map[core.Asset]core.Amount{}, booked: m.state.Book(core.Ether).Custody, recalled: m.state.Recalled(),
		assets: append([]core.Asset{core.Ether}, assets(m.state.Tokens())...)}
	for k := range core.Scraper(core.Scrapers) {
		if _, _, more := m.state.Range(k, w.at); more {
			refuse("the minter is still reading the deposits of the blocks since the backup: call resume again")
			return
		}
	}
	for _, a := range w.assets {
		w.owed[a] = m.state.Claims(a)
	}
	for _, t := range m.state.Transfers() {
		if t.IsSweep() && !t.Disputed {
			w.sweeps = append(w.sweeps, t)
		}
	}
	m.weigh(w, func(err error) {
		switch {
		case err != nil:
			refuse("%v", err)
		case len(w.short) > 0:
			refuse("custody does not cover what is owed: %s. Pay what is missing to %v by plain transfers, wait until they are final, and call resume again", strings.Join(w.short, "; "), m.main)
		case !m.state.Stale():
			refuse("another call of resume was faster")
		case m.state.HaltedOtherwise():
			refuse("the minter is halted for another reason too: %s; end that by the upgrade argument resume first", m.state.Halt().Reason)
		case m.state.Recalled() != w.recalled:
			refuse("a sweep that the log did not know was found meanwhile: call resume again")
		default:
			m.emit(core.Event{Weighed: &core.Weighed{Block: w.at, Held: w.held, Booked: w.booked}})
			m.emit(core.Event{Reconciled: &core.Reconciled{Nonce: m.state.Nonce()}})
			m.c.Print("resumed at nonce %d", m.state.Nonce())
			n := m.state.Nonce()
			out.Send(ResumeResult{Ok: &n})
			m.work()
		}
	})
}

// weigh makes sure that no open sweep has been mined, and compares what the chain holds of each asset with what is owed.
func (m *minter) weigh(w *weighing, done func(error)) {
	fail := func(err error) { done(fmt.Errorf("the chain cannot be read: %w", err)) }
	switch {
	case len(w.sweeps) > 0:
		t := w.sweeps[0]
		w.sweeps = w.sweeps[1:]
		m.count(t.From, number(w.at), nil, func(used uint64, err error) {
			switch {
			case err != nil:
				fail(err)
			case t.Nonce < used:
				done(fmt.Errorf("the sweep of the deposit address %v became final and is being settled: call resume again", t.From))
			default:
				m.weigh(w, done)
			}
		})
	case len(w.assets) > 0:
		a := w.assets[0]
		w.assets = w.assets[1:]
		check := func(held core.Amount, err error) {
			if err != nil {
				fail(err)
				return
			}
			if owed := w.owed[a]; held.Lt(&owed) {
				var missing core.Amount
				missing.Sub(&owed, &held)
				w.short = append(w.short, fmt.Sprintf("%s of %s are owed, the minter's address holds %s in block %d, %s are missing", owed.Dec(), m.state.Symbol(a), held.Dec(), w.at, missing.Dec()))
			}
			if a == core.Ether {
				w.held = held
			}
			m.weigh(w, done)
		}
		if a == core.Ether {
			m.ether(m.main, w.at, nil, check)
			return
		}
		m.tokens(a, m.main, w.at, nil, check)
	default:
		done(nil)
	}
}

// comparison is how far the deposit addresses that the log knows are compared with the chain after a recovery. It is on the heap: a new instance begins again.
type comparison struct {
	since   uint64 // when the log began to be doubted
	next    int    // of the list of addresses: those before it are compared
	open    int    // of those that are being compared
	at      uint64 // when to go on after a failure
	problem error  // of the last failure
}

// compareAddresses looks for sweeps that the log does not know, a few addresses at a time, until all are done.
func (m *minter) compareAddresses(now uint64) {
	since, list := m.state.StaleSince(), m.state.Addresses()
	if m.compared.since != since {
		m.compared = &comparison{since: since}
	}
	c := m.compared
	if since == 0 || c.open > 0 || now < c.at || c.next >= len(list) || m.key == nil || m.reader.time*uint64(time.Second) <= since {
		return
	}
	list = list[c.next:min(len(list), c.next+maxLooks)]
	c.open, c.problem = len(list), nil
	for _, acct := range list {
		end := func(err error) {
			if err != nil {
				c.problem, c.at = err, m.c.Time()+m.pace(time.Second, time.Minute)
				m.c.Print("compare the deposit address of %v: %v", acct.Owner, err)
			}
			if c.open--; c.open == 0 && c.problem == nil {
				c.next += len(list)
			}
		}
		m.recallSweeps(acct, m.state.Observed().Number, func() { end(errors.New("the minter trapped")) }, func(_ core.Amount, err error) { end(err) })
	}
}

// comparedAddresses is how many of the deposit addresses that the log knows are compared with the chain, and what stands in the way.
func (m *minter) comparedAddresses() (done, all int, why string) {
	if c := m.compared; c.since == m.state.StaleSince() {
		done = c.next
		if c.problem != nil {
			why = "; " + c.problem.Error()
		}
	}
	return done, len(m.state.Addresses()), why
}

// recallSweeps finds the sweeps of an account's deposit address up to a final block that the log does not know, by nonce as those of the main address, and writes
// them into it. done gets how many wei they brought.
func (m *minter) recallSweeps(acct core.Account, at uint64, cleanup func(), done func(core.Amount, error)) {
	var sum core.Amount
	addr, err := m.key.Address(acct)
	if err != nil || !m.state.Restored() {
		done(sum, err)
		return
	}
	m.count(addr, number(at), cleanup, func(used uint64, err error) {
		if err != nil {
			done(sum, err)
			return
		}
		var next func()
		next = func() {
			nonce, lost := m.state.LostNonce(acct, used)
			if !lost {
				done(sum, nil)
				return
			}
			fail := func(err error) { done(sum, fmt.Errorf("transaction %d of %v: %w", nonce, addr, err)) }
			m.locate(addr, nonce, at, cleanup, func(h eth.Hash, tx *rpc.Transaction, block core.Block, err error) {
				if err != nil {
					fail(err)
					return
				}
				m.receipt(h, cleanup, func(r *receipt, err error) {
					again, lost := m.state.LostNonce(acct, used)
					switch {
					case err != nil:
						fail(err)
						return
					case r == nil || r.Block != block || r.from != addr:
						fail(fmt.Errorf("%v has no receipt in block %d", h, block.Number))
						return
					case lost && again == nonce: // else somebody else was faster
						x := m.recallSweep(acct, addr, tx, r)
						sum.Add(&sum, &x.Value)
					}
					next()
				})
			})
		}
		next()
	})
}

// recallSweep writes a sweep into the log that this did not know. It returns nil if the transaction has the nonce of an open sweep and is none.
func (m *minter) recallSweep(acct core.Account, from eth.Address, tx *rpc.Transaction, r *receipt) *core.Swept {
	var signed *eth.Transaction
	if x, ok := m.signs(tx); ok {
		signed = &x
	}
	e := m.state.RecallSweep(acct, from, m.main, tx.Nonce, signed, r.Facts)
	if e == nil {
		return nil
	}
	before := m.state.Halt()
	m.emit(*e)
	m.c.Print("%v (nonce %d of the deposit address %v) moved %s wei after the backup", r.Hash, tx.Nonce, from, e.Swept.Value.Dec())
	if h := m.state.Halt(); h != before {
		m.c.Print("halted: %s", h.Reason)
	}
	return e.Swept
}
