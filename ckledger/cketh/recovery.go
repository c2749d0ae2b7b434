package cketh

import (
	"fmt"
	"strings"

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
		m.recoveredAt = m.c.Time()
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
	// Nonce is the number of transactions of the minter's address. Those that the log does not know are taken for what they are: spent.
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

// resume compares the log with the chain after a recovery: the transactions of the main address, and what it holds of each asset.
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
	case m.reader.done <= m.recoveredAt || m.problem != "":
		refuse("the minter has not read the chain since: call resume again; %s", m.problem)
		return
	}
	for k := range core.Scraper(core.Scrapers) {
		if _, _, more := m.state.Range(k, at.Number); more {
			refuse("the minter is still reading the deposits of the blocks since the backup: call resume again")
			return
		}
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
				case used > next && (a == nil || a.Nonce == nil || *a.Nonce != used):
					m.unknownTransactions(next, used, at.Number, nil, func(list []string) {
						refuse("the log ends before nonce %d, and the minter's address %v has sent %d transactions: the log does not know %s. They were made after the backup. Look at what they paid; "+
							"then call resume with nonce = %d", next, m.main, used, strings.Join(list, ", "), used)
					})
				default:
					m.weigh(append([]core.Asset{core.Ether}, assets(m.state.Tokens())...), at.Number, nil, func(short []string, err error) {
						switch {
						case err != nil:
							refuse("the chain cannot be read: %v", err)
						case len(short) > 0:
							refuse("custody does not cover what is owed: %s. Pay what is missing to %v by plain transfers, wait until they are final, and call resume again", strings.Join(short, "; "), m.main)
						case !m.state.Stale():
							refuse("another call of resume was faster")
						default:
							m.emit(core.Event{Reconciled: &core.Reconciled{Nonce: max(used, m.state.Nonce())}})
							m.c.Print("resumed at nonce %d", m.state.Nonce())
							n := m.state.Nonce()
							out.Send(ResumeResult{Ok: &n})
							m.work()
						}
					})
				}
			})
		})
	})
}

// unknownTransactions names the transactions of the main address with nonces from next up to used, the first of them.
func (m *minter) unknownTransactions(next, used, at uint64, list []string, done func([]string)) {
	if next == used || len(list) == maxUnknown {
		if next < used {
			list = append(list, fmt.Sprintf("and %d more", used-next))
		}
		done(list)
		return
	}
	m.locate(m.main, next, at, nil, func(h eth.Hash, _ *rpc.Transaction, block core.Block, err error) {
		text := fmt.Sprintf("%v (nonce %d, block %d)", h, next, block.Number)
		if err != nil {
			text = fmt.Sprintf("the one with nonce %d, which could not be found: %v", next, err)
		}
		m.unknownTransactions(next+1, used, at, append(list, text), done)
	})
}

// weigh compares what the chain holds of each asset with what is owed.
func (m *minter) weigh(left []core.Asset, at uint64, short []string, done func([]string, error)) {
	if len(left) == 0 {
		done(short, nil)
		return
	}
	a := left[0]
	check := func(held core.Amount, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		if owed := m.state.Claims(a); held.Lt(&owed) {
			var missing core.Amount
			missing.Sub(&owed, &held)
			short = append(short, fmt.Sprintf("%s of %s are owed, the minter's address holds %s in block %d, %s are missing", owed.Dec(), m.state.Symbol(a), held.Dec(), at, missing.Dec()))
		}
		m.weigh(left[1:], at, short, done)
	}
	if a == core.Ether {
		m.ether(m.main, at, nil, check)
		return
	}
	m.tokens(a, m.main, at, nil, check)
}
