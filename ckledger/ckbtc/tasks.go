package ckbtc

import (
	"maps"
	"slices"

	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/principal"
)

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
					m.logf("ask for the public key: %v", err)
					return
				}
				m.work()
			})
		case m.state.Config.SchnorrKey != "" && m.key.Schnorr == nil && now >= m.schnorrAt:
			m.asking, m.schnorrAt = true, now+60e9
			m.withTaproot(func() { m.asking = false }, func(_ *core.PublicKey, err error) {
				if m.asking = false; err != nil {
					m.logf("ask for the key of taproot addresses: %v", err)
				}
			})
		case fixed:
			m.feeRate = rate
		case m.feeRate == 0 || now >= m.feeAt+m.state.Config.FeeRefresh:
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
			m.logf("ask for fees: %v", err)
			return
		}
		if rate, ok := core.FeeRate(n, percentiles); ok {
			m.feeRate, m.feeAt, m.percentiles = rate, m.c.Time(), percentiles
		}
	})
}

// work does what the state demands. It is idempotent: what is under way or waits after a failure is left alone.
func (m *minter) work() {
	if m.state.Config.Mode.Kind == core.ReadOnly {
		return
	}
	m.recovered()
	now := m.c.Time()
	if m.key != nil && m.feeRate != 0 && m.stopped() == "" {
		m.prepare(now)
	}
	started := 0
	for _, t := range m.state.Tasks() {
		if !m.tasks.Ready(t, now) || m.outage != "" && (t.Kind == core.TaskSign || t.Kind == core.TaskMint && m.state.Deposit(t.Outpoint).State == core.DepositChecked) {
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
	aside := m.state.Aside(m.feeRate)
	for _, id := range slices.Sorted(maps.Keys(aside)) {
		if m.aside[id] != aside[id] {
			m.logf("withdrawal %d is set aside, neither paid nor refunded: %s", id, aside[id])
		}
	}
	m.aside = aside
	for {
		events, err := m.state.Batch(now, m.feeRate, *m.key)
		if err != nil {
			m.logf("prepare a payment: %v", err)
			return
		}
		for _, e := range events {
			m.emit(e)
		}
		if len(events) == 0 {
			break
		}
	}
	for _, e := range m.state.Cancelled(now) {
		m.emit(e)
	}
	if e, err := m.state.Consolidate(now, m.feeRate, *m.key); err != nil {
		m.logf("prepare a consolidation: %v", err)
	} else if e != nil {
		if m.emit(*e); e.BurnAsked != nil {
			m.burn(e.BurnAsked.Number, true, nil, func(o outcome) {
				if o.Verdict == neverMoved {
					m.logf("the fee of a consolidation, %d satoshi, was not burned: %s", e.BurnAsked.Amount, o.Text)
				}
			})
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
	path := p.Inputs[t.Input].Account.Path()
	name := m.state.Config.KeyName
	call := m.c.Call(principal.Management, "sign_with_ecdsa", cdk.SignWithECDSAArgs{MessageHash: v.Digests[t.Input][:], DerivationPath: path, KeyID: cdk.Secp256k1Key(name)})
	if len(p.Keys[t.Input]) == 32 { // taproot without scripts
		name = m.state.Config.SchnorrKey
		call = m.c.Call(principal.Management, "sign_with_schnorr", cdk.SignWithSchnorrArgs{Message: v.Digests[t.Input][:], DerivationPath: path, KeyID: cdk.Bip340Key(name),
			Aux: &cdk.SchnorrAux{Bip341: &cdk.Bip341{MerkleRootHash: []byte{}}}})
	}
	m.tasks.Start(t)
	call = call.WithCycles(cdk.CyclesOf(signCycles(name)))
	cdk.Then(call.OnCleanup(func() { m.tasks.Stop(t) }), func(r signatureReply, err error) {
		sig := r.Signature
		m.tasks.Stop(t)
		p := m.state.Payment(t.ID)
		if p == nil || p.Versions[t.Version].Complete || p.Versions[t.Version].Signatures[t.Input] != nil {
			m.settle(t, true) // an older version confirmed meanwhile
			return
		}
		if err == nil {
			err = p.Verify(p.Versions[t.Version], t.Input, sig)
		}
		m.settle(t, err == nil)
		if err != nil {
			m.logf("signature for input %d of payment %d: %v", t.Input, t.ID, err)
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
	m.tasks.Start(t)
	call := m.c.Call(bitcoinCanister(n), "bitcoin_send_transaction", sendRequest{bitcoinNetworkOf(n), raw}).WithCycles(cdk.CyclesOf(pay))
	cdk.Then(call.OnCleanup(func() { m.tasks.Stop(t) }), func(_ cdk.None, err error) {
		m.tasks.Stop(t)
		m.settle(t, err == nil)
		p := m.state.Payment(t.ID)
		if err != nil {
			m.logf("send payment %d: %v", t.ID, err)
			return
		}
		if p == nil {
			return
		}
		m.tasks.Defer(t, m.c.Time()+m.state.Config.Resend)
		if !p.Versions[t.Version].Sent {
			m.emit(core.Event{Sent: &core.SentTo{Payment: t.ID, Version: t.Version}})
		}
	})
}

// poll looks for the change of sent payments at the minter's main address, and for what a reorganisation took back.
func (m *minter) poll(now uint64) {
	if m.polling || m.rechecking.running || m.key == nil || now < m.pollAt {
		return
	}
	// With nothing to wait for it looks less often, but it looks: a halt of the Bitcoin canister after which deposits are gone must not pass unnoticed.
	waiting := m.state.Queued() > 0 || m.outage != "" || now >= m.pollAt+4*m.state.Config.Poll
	for _, p := range m.state.Payments() {
		waiting = waiting || p.Versions[0].Complete
	}
	if !waiting {
		return
	}
	m.polling = true
	m.pollAt = now + m.state.Config.Poll
	m.ownUtxos(m.main.String(), nil, func() { m.polling = false }, func(us []core.Utxo, tip uint32, hash []byte, err error) {
		m.polling = false
		if err != nil {
			m.logf("look for confirmations: %v", err)
			return
		}
		m.tip = tip
		events, seen := m.state.Final(m.c.Time(), tip, us)
		m.seen, m.polled = seen, true
		for _, e := range events {
			m.emit(e)
			m.tasks.ForgetAll(func(t core.Task) bool { return t.Kind >= core.TaskSign && t.ID == e.Confirmed.Payment })
		}
		m.recheck(us, tip, hash, nil)
		if len(events) > 0 {
			m.work()
		}
	})
}
