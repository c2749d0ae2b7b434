package ckbtc

import (
	"time"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/principal"
)

// refreshFees is how long a fee rate is used, as by ckBTC's minter.
const refreshFees = uint64(time.Hour)

// tick is the timer: it learns what must be known, then does what the state demands.
func (m *minter) tick() {
	if !m.asking {
		now := m.c.Time()
		rate, fixed := core.FeeRate(m.state.Config.Network, nil)
		switch {
		case m.key == nil:
			m.asking = true
			m.withKey(func() { m.asking = false }, func(_ *core.PublicKey, err error) {
				m.asking = false
				if err != nil {
					m.c.Print("ask for the public key: %v", err)
					return
				}
				m.work()
			})
		case fixed:
			m.feeRate = rate
		case m.feeRate == 0 || now >= m.feeAt+refreshFees:
			m.asking = true
			m.askFees()
		}
	}
	m.work()
}

func (m *minter) askFees() {
	n := m.state.Config.Network
	call := m.c.Call(bitcoinCanister(n), "bitcoin_get_current_fee_percentiles", feesRequest{bitcoinNetworkOf(n)}).WithCycles(cdk.CyclesOf(feesCycles[n]))
	cdk.Then(call.OnCleanup(func() { m.asking = false }), func(percentiles []uint64, err error) {
		m.asking = false
		if err != nil {
			m.c.Print("ask for fees: %v", err)
			return
		}
		if rate, ok := core.FeeRate(n, percentiles); ok {
			m.feeRate, m.feeAt = rate, m.c.Time()
		}
	})
}

// work does what the state demands. It is idempotent: what is under way or waits after a failure is left alone.
func (m *minter) work() {
	if m.state.Config.Mode.Kind == core.ReadOnly {
		return
	}
	now := m.c.Time()
	if m.key != nil && m.feeRate != 0 {
		m.prepare(now)
	}
	started := 0
	for _, t := range m.state.Tasks() {
		if m.running[t] || now < m.notBefore[t] {
			continue
		}
		if started++; started > maxTasks {
			break
		}
		switch t.Kind {
		case core.TaskMint:
			m.mint(t.Outpoint, nil, func() {})
		case core.TaskBurn:
			m.burn(t.ID, false, nil, nil)
		case core.TaskRefund:
			m.refund(t.ID)
		case core.TaskSign:
			m.sign(t)
		case core.TaskSend:
			m.send(t)
		}
	}
	m.poll(now)
	m.readLedger(now)
}

// prepare fixes transactions that are due.
func (m *minter) prepare(now uint64) {
	for {
		events, err := m.state.Batch(now, m.feeRate, *m.key)
		if err != nil {
			m.c.Print("prepare a payment: %v", err)
			return
		}
		for _, e := range events {
			m.emit(e)
		}
		if len(events) == 0 {
			break
		}
	}
	if !m.polled { // whether a transaction is in a block decides over its replacement
		return
	}
	for _, p := range m.state.Payments() {
		if m.seen[p.ID] {
			continue
		}
		if e := m.state.Replace(p, now, m.feeRate); e != nil {
			m.emit(*e)
		}
	}
}

type signatureReply struct {
	Signature []byte `candid:"signature"`
}

// sign asks for one signature. The transaction is in the log; whatever the answer, it counts as signed from here on.
func (m *minter) sign(t core.Task) {
	p := m.state.Payment(t.ID)
	v := p.Versions[t.Version]
	args := cdk.SignWithECDSAArgs{MessageHash: v.Digests[t.Input][:], DerivationPath: p.Inputs[t.Input].Account.Path(), KeyID: cdk.Secp256k1Key(m.state.Config.KeyName)}
	m.running[t] = true
	call := m.c.Call(principal.Management, "sign_with_ecdsa", args).WithCycles(cdk.CyclesOf(signCycles(m.state.Config.KeyName)))
	cdk.Then(call.OnCleanup(func() { delete(m.running, t) }), func(r signatureReply, err error) {
		sig := r.Signature
		delete(m.running, t)
		p := m.state.Payment(t.ID)
		if p == nil || p.Versions[t.Version].Complete || p.Versions[t.Version].Signatures[t.Input] != nil {
			m.settle(t, true) // an older version confirmed meanwhile
			return
		}
		if err == nil {
			_, err = btc.DER(sig)
		}
		m.settle(t, err == nil)
		if err != nil {
			m.c.Print("signature for input %d of payment %d: %v", t.Input, t.ID, err)
			return
		}
		m.emit(core.Event{Signed: &core.InputSigned{Payment: t.ID, Version: t.Version, Input: t.Input, Signature: sig}})
		v := p.Versions[t.Version]
		for _, s := range v.Signatures {
			if s == nil {
				return
			}
		}
		e, err := p.Finish(m.c.Time(), v)
		if err != nil {
			m.c.Trap("%v", err)
		}
		m.emit(*e)
		m.work()
	})
}

// send hands the newest complete transaction of a payment to the Bitcoin canister, and does so again until it is final: nodes forget.
func (m *minter) send(t core.Task) {
	n := m.state.Config.Network
	raw := m.state.Payment(t.ID).Versions[t.Version].Raw
	pay := sendBaseCycles[n] + sendByteCycles[n]*uint64(len(raw))
	m.running[t] = true
	call := m.c.Call(bitcoinCanister(n), "bitcoin_send_transaction", sendRequest{bitcoinNetworkOf(n), raw}).WithCycles(cdk.CyclesOf(pay))
	cdk.Then(call.OnCleanup(func() { delete(m.running, t) }), func(_ cdk.None, err error) {
		delete(m.running, t)
		m.settle(t, err == nil)
		p := m.state.Payment(t.ID)
		if err != nil {
			m.c.Print("send payment %d: %v", t.ID, err)
			return
		}
		if p == nil {
			return
		}
		m.notBefore[t] = m.c.Time() + uint64(m.pace(10*time.Second, 10*time.Minute))
		if !p.Versions[t.Version].Sent {
			m.emit(core.Event{Sent: &core.SentTo{Payment: t.ID, Version: t.Version}})
		}
	})
}

// poll looks for the change of sent payments at the minter's main address.
func (m *minter) poll(now uint64) {
	if m.polling || m.key == nil || now < m.pollAt {
		return
	}
	waiting := false
	for _, p := range m.state.Payments() {
		waiting = waiting || p.Versions[0].Complete
	}
	if !waiting {
		return
	}
	m.polling = true
	m.pollAt = now + uint64(m.pace(2*time.Second, time.Minute))
	m.getUtxos(m.main.String(), 0, func() { m.polling = false }, func(us []core.Utxo, tip uint32, err error) {
		m.polling = false
		if err != nil {
			m.c.Print("look for confirmations: %v", err)
			return
		}
		events, seen := m.state.Final(m.c.Time(), tip, us)
		m.seen, m.polled = seen, true
		for _, e := range events {
			m.emit(e)
			for t := range m.notBefore {
				if t.Kind >= core.TaskSign && t.ID == e.Confirmed.Payment {
					delete(m.notBefore, t)
					delete(m.tries, t)
				}
			}
		}
		if len(events) > 0 {
			m.work()
		}
	})
}
