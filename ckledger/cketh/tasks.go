package cketh

import (
	"errors"
	"fmt"
	"time"

	"fusion/cdk"
	"fusion/ckledger/cketh/core"
	"fusion/eth"
	"fusion/eth/rpc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var unit = candid.Unit

// tick is the timer: it learns what must be known, then does what the state demands.
func (m *minter) tick() {
	if m.key == nil && !m.asking {
		m.asking = true
		m.withKey(func() { m.asking = false }, func(_ *core.PublicKey, err error) {
			m.asking = false
			if err != nil {
				m.c.Print("ask for the public key: %v", err)
			}
		})
	}
	m.recovered()
	now := m.c.Time()
	m.read(now)
	m.pipeline(now)
	m.work()
	m.watch(now)
	m.compareAddresses(now)
	m.readLedgers(now)
}

// work makes the calls that the state demands. It is idempotent: what is under way or waits after a failure is left alone.
func (m *minter) work() {
	m.recovered()
	now := m.c.Time()
	started := 0
	for _, t := range m.state.Tasks(now) {
		if !m.tasks.Ready(t, now) || m.reader.lags() && (t.Kind == core.TaskSign || t.Kind == core.TaskMint && m.state.Deposit(t.Source).State == core.DepositWaiting) {
			continue
		}
		if started++; started > maxTasks {
			break
		}
		switch t.Kind {
		case core.TaskVerify:
			m.verify(t)
		case core.TaskMint:
			m.mint(t)
		case core.TaskBurn:
			m.burn(t.ID, false, nil, nil)
		case core.TaskTokenBurn:
			m.tokenBurn(t.ID, nil, nil)
		case core.TaskRefund:
			m.refund(t)
		case core.TaskSign:
			m.sign(t)
		case core.TaskSend:
			m.send(t)
		}
	}
}

type signatureReply struct {
	Signature []byte `candid:"signature"`
}

// sign asks for a signature. The transaction is in the log; whatever the answer, it counts as signed from here on.
func (m *minter) sign(t core.Task) {
	if m.key == nil {
		return
	}
	x := m.state.Transfer(t.ID)
	v := x.Versions[t.Version]
	pub := m.key.Key
	if x.IsSweep() {
		var err error
		if pub, err = m.key.Of(x.Account); err != nil {
			m.c.Print("key of a deposit address: %v", err)
			return
		}
	}
	args := cdk.SignWithECDSAArgs{MessageHash: v.Digest[:], DerivationPath: x.Path(), KeyID: cdk.Secp256k1Key(m.state.Config.KeyName)}
	m.tasks.Start(t)
	call := m.c.Call(principal.Management, "sign_with_ecdsa", args).WithCycles(cdk.CyclesOf(signCycles(m.state.Config.KeyName)))
	cdk.Then(call.OnCleanup(func() { m.tasks.Stop(t) }), func(r signatureReply, err error) {
		x := m.state.Transfer(t.ID)
		if x == nil || x.Versions[t.Version].Raw != nil {
			m.tasks.Settle(t, true, m.c.Time()) // another version is final meanwhile
			return
		}
		var s eth.Signed
		if err == nil && len(r.Signature) != 64 {
			err = fmt.Errorf("a signature of %d bytes", len(r.Signature))
		}
		if err == nil {
			s, err = x.Versions[t.Version].Tx.Sign([64]byte(r.Signature), pub[:])
		}
		m.tasks.Settle(t, err == nil, m.c.Time())
		if err != nil {
			m.c.Print("sign transfer %d: %v", t.ID, err)
			return
		}
		m.emit(core.Event{Signed: &core.Signed{Transfer: t.ID, Version: t.Version, Raw: s.Raw(), Hash: s.Hash()}})
		m.work()
	})
}

// send hands the newest signed transaction of a transfer to the providers, and does so again until it is final: nodes forget.
func (m *minter) send(t core.Task) {
	m.tasks.Start(t)
	raw := m.state.Transfer(t.ID).Versions[t.Version].Raw
	m.sendRaw(raw, func() { m.tasks.Stop(t) }, func(err error) {
		m.tasks.Settle(t, err == nil, m.c.Time())
		x := m.state.Transfer(t.ID)
		if err != nil {
			m.c.Print("send transfer %d: %v", t.ID, err)
		}
		if x == nil {
			m.tasks.Forget(t)
			return
		}
		if err == nil {
			m.tasks.Defer(t, m.c.Time()+m.pace(10*time.Second, 10*time.Minute))
		}
		// Whatever the answer, some node may have it: from now on it can be replaced.
		if !x.Disputed && !x.Versions[t.Version].Sent {
			m.emit(core.Event{Sent: &core.SentTo{Transfer: t.ID, Version: t.Version}})
		}
	})
}

// pipe is the pipeline of withdrawals. It is on the heap.
type pipe struct {
	running bool
	at      uint64
}

func (m *minter) stopPipe() { m.pipe.running = false }

func (m *minter) endPipe(err error) {
	m.pipe.running = false
	m.pipe.at = m.c.Time() + m.state.Config.Pipeline
	if err != nil {
		m.c.Print("%v", err)
		m.pipe.at = m.c.Time() + min(m.state.Config.Pipeline, uint64(time.Minute))
	}
	m.work()
}

// pipeline begins a round if it is time, and there is something to do: fees, replacements, new transactions, then what became final.
func (m *minter) pipeline(now uint64) {
	p := &m.pipe
	if p.running || now < p.at || m.key == nil {
		return
	}
	idle := m.state.Pending() == 0 && len(m.state.Transfers()) == 0
	fresh := m.feeAt != 0 && now < m.feeAt+m.pace(2*time.Second, time.Minute)
	if idle && m.feeAt != 0 && now < m.feeAt+m.pace(10*time.Second, 5*time.Minute) { // users see the estimate
		return
	}
	p.running = true
	if fresh {
		m.tip()
		return
	}
	m.feeHistory(m.stopPipe, func(h eth.FeeHistory, err error) {
		var fee core.Fee
		if err == nil {
			fee, err = eth.EstimateFee(h)
		}
		if err != nil {
			m.endPipe(fmt.Errorf("fees: %w", err))
			return
		}
		m.fee, m.base, m.feeAt = fee, h.NextBaseFee(), m.c.Time()
		m.tip()
	})
}

// tip replaces what the tip of the chain does not have yet, and creates new transactions.
func (m *minter) tip() {
	if m.state.Halt() != nil && !m.state.Stale() || m.reader.lags() { // after a recovery what is final is learnt, and nothing begins
		m.endPipe(nil)
		return
	}
	apply := func(e core.Event) { m.emit(e) }
	open := m.state.Transfers()
	if len(open) == 0 {
		m.state.Create(m.c.Time(), m.fee, m.main, apply)
		m.endPipe(nil)
		return
	}
	m.count(m.main, latest, m.stopPipe, func(mined uint64, err error) {
		if err != nil {
			m.endPipe(fmt.Errorf("transactions sent so far: %w", err))
			return
		}
		for _, t := range m.state.Transfers() {
			if !t.IsSweep() && t.Nonce < mined {
				continue // it is in a block: wait for finality
			}
			if e := m.state.Replace(t, m.c.Time(), m.fee, m.base); e != nil {
				m.emit(*e)
			}
		}
		m.state.Create(m.c.Time(), m.fee, m.main, apply)
		m.work()
		m.finalize()
	})
}

// finalize looks which nonces are used in final blocks: first those of the main address, then those of sweeps one by one.
func (m *minter) finalize() {
	at := m.state.Observed()
	if at.Hash.IsZero() {
		m.endPipe(nil)
		return
	}
	m.count(m.main, number(at.Number), m.stopPipe, func(used uint64, err error) {
		if err != nil {
			m.endPipe(fmt.Errorf("final transactions: %w", err))
			return
		}
		var list, sweeps []uint64
		for _, t := range m.state.Transfers() {
			switch {
			case t.Disputed:
			case t.IsSweep():
				sweeps = append(sweeps, t.ID)
			case t.Nonce < used:
				list = append(list, t.ID)
			}
		}
		m.finals(list, sweeps, at.Number)
	})
}

// finals settles transfers whose nonces are used, then asks about sweeps.
func (m *minter) finals(list, sweeps []uint64, at uint64) {
	switch {
	case len(list) > 0:
		m.receipts(list[0], at, func() { m.finals(list[1:], sweeps, at) })
	case len(sweeps) > 0:
		t := m.state.Transfer(sweeps[0])
		m.count(t.From, number(at), m.stopPipe, func(used uint64, err error) {
			switch {
			case err != nil:
				m.c.Print("final sweeps of %v: %v", t.From, err)
			case t.Nonce < used:
				list = append(list, t.ID)
			}
			m.finals(list, sweeps[1:], at)
		})
	default:
		m.endPipe(nil)
	}
}

// receipts looks for the receipt of one of a transfer's transactions, newest first. The nonce is used, so there is one, of ours or of another signature of ours.
func (m *minter) receipts(id, at uint64, next func()) {
	t := m.state.Transfer(id)
	var version func(i int)
	version = func(i int) {
		for i >= 0 && t.Versions[i].Raw == nil {
			i--
		}
		if i < 0 {
			m.search(t, at, next)
			return
		}
		m.receipt(t.Versions[i].Hash, m.stopPipe, func(r *receipt, err error) {
			switch {
			case err != nil:
				m.c.Print("%v", err)
				next()
			case r == nil || r.Block.Number > at:
				version(i - 1)
			default:
				m.judge(t, i, r)
				next()
			}
		})
	}
	version(len(t.Versions) - 1)
}

// judge writes what a receipt says into the log.
func (m *minter) judge(t *core.Transfer, version int, r *receipt) {
	if m.state.Transfer(t.ID) == nil || t.Disputed {
		return
	}
	if r.from != t.From {
		m.c.Print("receipt of %v names the sender %v instead of %v", r.Hash, r.from, t.From)
		return
	}
	e := m.state.Judge(t, version, r.Facts)
	m.emit(e)
	m.forget(t)
	if e.Disputed != nil {
		m.c.Print("transfer %d is disputed: %s", t.ID, e.Disputed.Confusion)
	}
}

// forget drops what the schedule has of a transfer that ended.
func (m *minter) forget(t *core.Transfer) {
	for i := range t.Versions {
		m.tasks.Forget(core.Task{Kind: core.TaskSend, ID: t.ID, Version: uint64(i)})
		m.tasks.Forget(core.Task{Kind: core.TaskSign, ID: t.ID, Version: uint64(i)})
	}
}

// search finds the transaction that used a transfer's nonce although none of the hashes we know has a receipt: a signature that was asked for and whose answer
// was lost is as good as ours.
func (m *minter) search(t *core.Transfer, at uint64, next func()) {
	m.locate(t.From, t.Nonce, at, m.stopPipe, func(h eth.Hash, tx *rpc.Transaction, x core.Block, err error) {
		if err != nil {
			m.c.Print("look for nonce %d of %v: %v", t.Nonce, t.From, err)
			next()
			return
		}
		m.found(t, h, tx, x, next)
	})
}

// locate finds the transaction with a nonce of an address, which is used in a block up to a height. The block is found by the number of transactions sent, which
// only grows.
func (m *minter) locate(from eth.Address, nonce, at uint64, cleanup func(), done func(eth.Hash, *rpc.Transaction, core.Block, error)) {
	fail := func(err error) { done(eth.Hash{}, nil, core.Block{}, err) }
	inBlock := func(b uint64) {
		m.block(number(b), cleanup, func(x core.Block, what rpcBlock, err error) {
			if err != nil {
				fail(err)
				return
			}
			var look func(i int)
			look = func(i int) {
				if i == len(what.Transactions) {
					fail(fmt.Errorf("not in block %d", b))
					return
				}
				h, err := eth.ParseHash(what.Transactions[i])
				if err != nil {
					fail(err)
					return
				}
				m.transaction(h, cleanup, func(tx *rpc.Transaction, err error) {
					switch {
					case err != nil:
						fail(err)
					case tx == nil || tx.From != from || tx.Nonce != nonce:
						look(i + 1)
					default:
						done(h, tx, x, nil)
					}
				})
			}
			look(0)
		})
	}
	// Invariant: at block hi the nonce is used, at lo it is not.
	var between func(lo, hi uint64)
	between = func(lo, hi uint64) {
		if hi-lo <= 1 {
			inBlock(hi)
			return
		}
		mid := lo + (hi-lo)/2
		m.count(from, number(mid), cleanup, func(used uint64, err error) {
			switch {
			case err != nil:
				fail(err)
			case used > nonce:
				between(lo, mid)
			default:
				between(mid, hi)
			}
		})
	}
	// Nodes forget old states, so go back from the tip in growing steps.
	var back func(hi, step uint64)
	back = func(hi, step uint64) {
		lo := uint64(0)
		if hi > step {
			lo = hi - step
		}
		if lo == 0 {
			between(0, hi)
			return
		}
		m.count(from, number(lo), cleanup, func(used uint64, err error) {
			switch {
			case err != nil:
				fail(err)
			case used > nonce:
				back(lo, 2*step)
			default:
				between(lo, hi)
			}
		})
	}
	back(at, 8)
}

// found compares a transaction with what we prepared.
func (m *minter) found(t *core.Transfer, h eth.Hash, tx *rpc.Transaction, at core.Block, next func()) {
	if m.state.Transfer(t.ID) == nil || t.Disputed {
		next()
		return
	}
	version := -1
	if x, ok := m.signs(tx); ok {
		if version = t.Adopt(x); version < 0 {
			if e := m.state.Recognise(t, x); e != nil {
				m.emit(*e)
				version = len(t.Versions) - 1
			}
		}
	}
	foreign := func() {
		m.emit(t.Foreign(h, at))
		m.c.Print("halted: %s", m.state.Halt().Reason)
	}
	if version < 0 && !(t.IsSweep() && m.state.Restored()) {
		foreign()
		next()
		return
	}
	m.receipt(h, m.stopPipe, func(r *receipt, err error) {
		if err == nil && (r == nil || r.Block != at || r.from != t.From) {
			err = errors.New("no receipt of that block")
		}
		switch {
		case err != nil:
			m.c.Print("adopt %v: %v", h, err)
		case version >= 0:
			m.judge(t, version, r)
		case m.state.Transfer(t.ID) == nil || t.Disputed: // settled meanwhile
		case m.recallSweep(t.Account, t.From, tx, r) == nil:
			foreign()
		default:
			m.forget(t)
		}
		next()
	})
}

// signs is what a transaction of the chain signs, if it has the form of the minter's.
func (m *minter) signs(tx *rpc.Transaction) (x eth.Transaction, ok bool) {
	if tx.To == nil || tx.MaxFeePerGas == nil || tx.MaxPriorityFeePerGas == nil || tx.Type != 2 {
		return x, false
	}
	return eth.Transaction{ChainID: m.state.Config.ChainID, Nonce: tx.Nonce, MaxPriorityFeePerGas: *tx.MaxPriorityFeePerGas, MaxFeePerGas: *tx.MaxFeePerGas,
		GasLimit: tx.Gas, To: *tx.To, Value: tx.Value, Data: tx.Input}, true
}
