package core

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"fusion/btc"
)

// Parameters of batching and fees, as ckBTC's.
const (
	minDust           = 546  // satoshi; the highest dust limit of the kinds of addresses that can be paid
	regtestFeeRate    = 5000 // millisatoshi per vbyte
	maxFeeRate        = 10_000_000
	mainnetFloor      = 1500
	testnetFloor      = 1000
	minPercentiles    = 100
	inputVSize        = 68 // of a P2WPKH input, BIP141
	minterFeePerIn    = 146
	minterFeePerOut   = 4
	minterFeeConstant = 26
	minterFeeMin      = 300
)

// FeeRate reads a fee rate, in millisatoshi per vbyte, from the percentiles that the Bitcoin canister reports; false means that they do not suffice.
func FeeRate(n btc.Network, percentiles []uint64) (uint64, bool) {
	if n == btc.Regtest {
		return regtestFeeRate, true // a private chain has no fee market
	}
	if len(percentiles) < minPercentiles {
		return 0, false
	}
	floor := uint64(testnetFloor)
	if n == btc.Mainnet {
		floor = mainnetFloor
	}
	return min(max(percentiles[len(percentiles)/2], floor), maxFeeRate), true // whatever is reported, sums of fees stay within bounds
}

// ExpectedBlocks estimates how many blocks pass before one holds a transaction that pays a fee rate, from the percentiles of what was paid lately: whoever pays as much as
// most of those that were mined is in the next block, whoever pays as little as the least waits for a quiet hour. Without percentiles there is no market, and the next
// block takes everything.
func ExpectedBlocks(feeRate uint64, percentiles []uint64) uint32 {
	if len(percentiles) == 0 {
		return 1
	}
	below, _ := slices.BinarySearch(percentiles, feeRate+1) // how many are at most the rate
	switch rank := below * 100 / len(percentiles); {
	case rank >= 75:
		return 1
	case rank >= 50:
		return 2
	case rank >= 25:
		return 3
	case rank >= 10:
		return 6
	case rank >= 1:
		return 24
	}
	return 144
}

// MinterFee is what the minter keeps for signatures and cycles, in satoshi; outputs include the change.
func MinterFee(inputs, outputs int) uint64 {
	return max(minterFeePerIn*uint64(inputs)+minterFeePerOut*uint64(outputs)+minterFeeConstant, minterFeeMin)
}

// Distribute splits an amount into n parts that differ by at most one.
func Distribute(amount uint64, n int) []uint64 {
	parts := make([]uint64, n)
	for i := range parts {
		parts[i] = amount / uint64(n)
		if uint64(i) < amount%uint64(n) {
			parts[i]++
		}
	}
	return parts
}

// RetrieveMin is the smallest withdrawal at a fee rate (millisatoshi per vbyte): the configured one, and on public networks more in steps of
// 50,000 satoshi as fees rise.
func (s *State) RetrieveMin(feeRate uint64) uint64 {
	if s.Config.Network == btc.Regtest {
		return s.Config.RetrieveMin
	}
	const perRequestBase, perRequestVSize, signing, step = 22_100, 221, 305, 50_000
	return (perRequestBase+perRequestVSize*(feeRate/1000)+signing+s.Config.CheckFee)/step*step + s.Config.RetrieveMin
}

// errFunds: the outputs that are free now do not cover the amount; change of open payments may, later.
var errFunds = errors.New("not enough spendable outputs now")

// tooManyInputs says how many inputs an amount would need.
type tooManyInputs int

func (n tooManyInputs) Error() string { return fmt.Sprintf("%d inputs needed", int(n)) }

// selectCoins chooses outputs worth at least target from free, which is sorted ascending: each time the smallest that covers the rest, else the largest. While very
// many are free it adds small ones, as many as there are outputs, so that their number stays bounded. Larger choices than maxInputs fail.
func selectCoins(free []Owned, target uint64, outputs int, maxInputs, many uint64) ([]Owned, error) {
	free = slices.Clone(free)
	var chosen []Owned
	take := func(i int) {
		chosen = append(chosen, free[i])
		free = slices.Delete(free, i, i+1)
	}
	for rest := target; rest > 0; {
		if len(free) == 0 {
			return nil, errFunds
		}
		i, _ := slices.BinarySearchFunc(free, rest, func(o Owned, v uint64) int {
			if o.Value < v {
				return -1
			}
			return 1 // leftmost of those that cover
		})
		if i == len(free) {
			i--
		}
		rest -= min(rest, free[i].Value)
		take(i)
	}
	if uint64(len(chosen)) > maxInputs {
		return nil, tooManyInputs(len(chosen))
	}
	for uint64(len(free)) > many && len(chosen) < outputs+1 && uint64(len(chosen)) < maxInputs {
		take(0)
	}
	return chosen, nil
}

// free lists the spendable outputs, smallest first.
func (s *State) free() []Owned {
	return slices.SortedFunc(maps.Values(s.available), func(a, b Owned) int { return a.Utxo.Compare(b.Utxo) })
}

// draft is a payment before it is fixed.
type draft struct {
	inputs            []Owned
	outputs           []Output
	btcFee, minterFee uint64
}

// vsize bounds the size of a transaction.
func (s *State) vsize(inputs []Owned, scripts ...[]byte) int {
	taproot := 0
	for _, o := range inputs {
		if s.taproot[o.Outpoint()] {
			taproot++
		}
	}
	return btc.VSize(len(inputs)-taproot, taproot, scripts...)
}

// tooLow lists the requests that the fees would leave with dust.
type tooLow []uint64

func (tooLow) Error() string { return "amount too low for the fees" }

// draftOf lays out a transaction that pays requests from inputs at a fee rate. The fees are split evenly over the requests.
func (s *State) draftOf(requests []uint64, inputs []Owned, feeRate uint64, change []byte) (draft, error) {
	d := draft{inputs: inputs}
	var in, owed uint64
	for _, o := range inputs {
		in += o.Value
	}
	scripts := [][]byte{}
	for _, id := range requests {
		r := s.requests[id]
		owed += r.Amount
		scripts = append(scripts, r.Address.Script())
	}
	scripts = append(scripts, change)
	d.btcFee = uint64(btc.MillisatPerVByte(feeRate).Fee(s.vsize(inputs, scripts...)))
	d.minterFee = MinterFee(len(inputs), len(scripts))
	var low tooLow
	for i, share := range Distribute(d.btcFee+d.minterFee, len(requests)) {
		r := s.requests[requests[i]]
		if r.Amount < share+max(minDust, uint64(r.Address.DustLimit())) {
			low = append(low, requests[i])
			continue
		}
		d.outputs = append(d.outputs, Output{scripts[i], r.Amount - share})
	}
	if low != nil {
		return d, low
	}
	d.outputs = append(d.outputs, Output{change, in - owed + d.minterFee})
	return d, nil
}

// Batch prepares the next transaction if it is time: a Prepared event, or Refund events for requests that cannot be paid. The result is empty when there is nothing to
// do, or nothing that can be done before change comes back.
func (s *State) Batch(now, feeRate uint64, keys PublicKey) ([]Event, error) {
	if len(s.queue) == 0 || s.Paused() != "" {
		return nil, nil
	}
	queue := s.queue
	if aside := s.Aside(feeRate); aside != nil {
		queue = slices.DeleteFunc(slices.Clone(queue), func(id uint64) bool { return aside[id] != "" })
	}
	if len(queue) == 0 || uint64(len(queue)) < s.Config.MinBatch && now < s.requests[queue[0]].ReceivedAt+s.Config.MaxTimeInQueue {
		return nil, nil
	}
	change, err := keys.Address(s.Config.Network, s.Minter)
	if err != nil {
		return nil, err
	}
	feeRate = min(feeRate, s.Config.MaxFeeRate)
	batch := queue[:min(uint64(len(queue)), s.Config.MaxBatch)]
	free := s.free()
	for len(batch) > 0 {
		var owed uint64
		for _, id := range batch {
			owed += s.requests[id].Amount
		}
		inputs, err := s.selectFor(batch, free, owed, len(batch)+1, s.Config.MaxInputs, s.Config.ManyUtxos)
		var many tooManyInputs
		if err != nil {
			if len(batch) > 1 {
				batch = batch[:len(batch)/2] // oldest first: nobody is passed over
				continue
			}
			if errors.As(err, &many) {
				return s.refuse(now, batch, RefundTooManyInputs, uint64(many)), nil
			}
			return nil, nil
		}
		d, err := s.draftOf(batch, inputs, feeRate, change.Script())
		var low tooLow
		if errors.As(err, &low) {
			if i := slices.IndexFunc(low, s.abandoned); i >= 0 { // signed before, and not aside: it can be paid alone
				batch = []uint64{low[i]}
				continue
			}
			return s.refuse(now, low, RefundAmountTooLow, 0), nil
		}
		if err != nil {
			return nil, err
		}
		p := &Prepared{Payment: s.lastPay + 1, Requests: slices.Clone(batch), Outputs: d.outputs, FeeRate: feeRate, BtcFee: d.btcFee, MinterFee: d.minterFee}
		if err := s.spend(p, d.inputs, keys); err != nil {
			return nil, err
		}
		return []Event{{Time: now, Prepared: p}}, nil
	}
	return nil, nil
}

func (s *State) refuse(now uint64, requests []uint64, why RefundReason, inputs uint64) []Event {
	var es []Event
	for _, id := range requests {
		r := s.requests[id]
		x := &Refund{BlockIndex: id, Amount: r.Amount, Account: r.Account, Reason: why}
		if why == RefundTooManyInputs {
			x.Inputs, x.MaxInputs = inputs, s.Config.MaxInputs
		}
		es = append(es, Event{Time: now, Refund: x})
	}
	return es
}

// Replace prepares a replacement of a payment whose newest transaction was signed a while ago and is in no block. It pays more, or, after the deadline, it cancels the
// payment. Replace returns nil if none is due, or if the fee would exceed its bounds: then the transaction is only sent again.
func (s *State) Replace(p *Payment, now, feeRate uint64) *Event {
	v, c := p.Latest(), &s.Config
	if s.Paused() != "" || s.changeSpent(p) || s.waits(p) != nil { // a replacement would end the payments that spend the change, or has no better inputs
		return nil
	}
	late := c.CancelAfter > 0 && p.Versions[0].Complete && now >= p.Versions[0].CompleteAt+c.CancelAfter && !p.Cancelling()
	if p.Kind != PaysOut || p.Keys == nil || !v.Sent || // what was recalled is sent again as it is
		!late && now < v.CompleteAt+c.ResubmitAfter {
		return nil
	}
	event := func(x Prepared) *Event {
		x.Payment, x.Version = p.ID, uint64(len(p.Versions))
		return &Event{Time: now, Prepared: &x}
	}
	change := v.Outputs[len(v.Outputs)-1].Script
	if late || p.Cancelling() {
		if x, ok := s.cancellation(p, feeRate, change); ok {
			return event(x)
		}
		return nil
	}
	least := v.FeeRate + c.FeeBump
	for _, rate := range []uint64{min(max(feeRate, least), c.MaxFeeRate), least} {
		if rate < least || rate > c.MaxFeeRate {
			return nil
		}
		d, err := s.draftOf(p.Requests, p.Inputs, rate, change)
		if err != nil || !s.withinBudget(p.Requests, d.btcFee+d.minterFee) {
			continue
		}
		return event(Prepared{Outputs: d.outputs, FeeRate: rate, BtcFee: d.btcFee, MinterFee: d.minterFee})
	}
	return nil
}

// withinBudget reports whether a replacement leaves each withdrawal the part of its amount that is promised.
func (s *State) withinBudget(requests []uint64, fee uint64) bool {
	for i, share := range Distribute(fee, len(requests)) {
		if share > s.requests[requests[i]].Amount/1000*s.Config.MaxFeePermille {
			return false
		}
	}
	return true
}

// cancellation lays out a transaction that takes the place of a payment's transactions and pays nobody. It spends all their inputs, so at most one of them can ever be
// mined, and pays more than the newest, rate and amount, or nodes would refuse it (BIP125). The withdrawals bear its fee.
func (s *State) cancellation(p *Payment, feeRate uint64, change []byte) (Prepared, bool) {
	v := p.Latest()
	vsize := s.vsize(p.Inputs, change)
	rate := min(max(feeRate, v.FeeRate+s.Config.FeeBump), max(s.Config.MaxFeeRate, v.FeeRate+s.Config.FeeBump))
	fee := max(uint64(btc.MillisatPerVByte(rate).Fee(vsize)), v.BtcFee+uint64(btc.MillisatPerVByte(s.Config.FeeBump).Fee(vsize)))
	x := Prepared{Kind: Cancels, FeeRate: uint64(btc.FeeRate(btc.Satoshi(fee), vsize)), BtcFee: fee, MinterFee: MinterFee(len(p.Inputs), 1)}
	var in uint64
	for _, o := range p.Inputs {
		in += o.Value
	}
	if in < fee+minDust || s.refundable(p, x.BtcFee+x.MinterFee) == nil {
		return x, false
	}
	x.Outputs = []Output{{change, in - fee}}
	return x, true
}

// Cancelled gives the events that schedule the refunds of payments whose cancellation is settled.
func (s *State) Cancelled(now uint64) (es []Event) {
	for _, id := range slices.Sorted(maps.Keys(s.cancelled)) {
		if r := s.requests[id]; s.final[r.Payment] == nil { // settled: no reorganisation brings back what was cancelled
			refund := r.Refund
			es = append(es, Event{Time: now, Refund: &refund})
		}
	}
	return es
}

// Consolidate prepares to merge the smallest outputs if there are very many: first a burn of the fee from the fee account, so that those who hold ckBTC do not pay
// it, then the transaction. It returns nil if nothing is due. A consolidation is never replaced by one that pays more; it is sent until it is mined.
func (s *State) Consolidate(now, feeRate uint64, keys PublicKey) (*Event, error) {
	c := &s.Config
	if s.Paused() != "" || uint64(len(s.available)) < c.Consolidate || len(s.available) < 2 || s.consolidations > 0 && now < s.consolidatedAt+c.ConsolidateEvery {
		return nil, nil
	}
	for _, p := range s.payments {
		if p.Kind == Consolidates {
			return nil, nil
		}
	}
	for _, b := range s.burns {
		if b.Inputs > 0 {
			return nil, nil
		}
	}
	free := s.free()
	free = free[:min(uint64(len(free)), c.ConsolidateInputs, c.MaxInputs)]
	var in uint64
	for _, o := range free {
		in += o.Value
	}
	rate := min(feeRate, c.MaxFeeRate)
	own := make([]byte, 22) // as long as the script of a P2WPKH address
	fee := uint64(btc.MillisatPerVByte(rate).Fee(s.vsize(free, own, own)))
	if in < fee+2*minDust {
		return nil, nil // they are not worth it
	}
	if fee > s.feeCredit && s.feeAsked != 0 && now < s.feeAsked+min(hour, c.ConsolidateEvery) {
		return nil, nil // the fee account had not enough
	}
	change, err := keys.Address(c.Network, s.Minter) // costs a derivation: only when something is due
	if err != nil {
		return nil, err
	}
	if fee > s.feeCredit {
		return &Event{Time: now, BurnAsked: &BurnAsked{Number: s.NextBurn(), From: FeeAccount(s.Minter.Owner), Amount: fee - s.feeCredit, Address: change.String(), CreatedAt: s.Stamp(now),
			Value: in, Inputs: uint64(len(free))}}, nil
	}
	p := &Prepared{Kind: Consolidates, Payment: s.lastPay + 1, FeeRate: rate, BtcFee: fee}
	for _, part := range Distribute(in-fee, 2) {
		p.Outputs = append(p.Outputs, Output{change.Script(), part})
	}
	if err := s.spend(p, free, keys); err != nil {
		return nil, err
	}
	return &Event{Time: now, Prepared: p}, nil
}

// spend adds inputs with the keys that sign for them.
func (s *State) spend(p *Prepared, inputs []Owned, keys PublicKey) error {
	for _, o := range inputs {
		pub, err := keys.spender(o.Account, s.taproot[o.Outpoint()])
		if err != nil {
			return err
		}
		p.Inputs, p.Keys = append(p.Inputs, o.Utxo), append(p.Keys, pub)
	}
	return nil
}

// Verify checks a signature of an input before it is used: what the subnet signed for is fixed, what came back is not trusted.
func (p *Payment) Verify(v *Version, input uint64, sig []byte) error {
	if key := p.Keys[input]; len(key) == 32 {
		return btc.VerifySchnorr([32]byte(key), v.Digests[input], sig)
	}
	return btc.VerifyECDSA(p.Keys[input], v.Digests[input], sig)
}

// Finish assembles a version whose inputs are all signed.
func (p *Payment) Finish(now uint64, v *Version) (*Event, error) {
	for i, sig := range v.Signatures {
		sign := func() error { return v.Tx.SignP2WPKH(i, sig, p.Keys[i]) }
		if len(p.Keys[i]) == 32 {
			sign = func() error { return v.Tx.SignP2TR(i, sig) }
		}
		if err := sign(); err != nil {
			return nil, fmt.Errorf("input %d of payment %d: %w", i, p.ID, err)
		}
	}
	change := len(v.Outputs) - 1
	c := &Complete{Payment: p.ID, Version: v.Version, Txid: v.Txid, Requests: p.Requests, ChangeVout: uint32(change), ChangeValue: v.Outputs[change].Value,
		FeeRate: v.FeeRate, BtcFee: v.BtcFee, MinterFee: v.MinterFee, Raw: v.Tx.Bytes(), Kind: v.Kind}
	for _, o := range p.Inputs {
		c.Inputs = append(c.Inputs, o.Utxo)
	}
	if v.Version > 0 {
		c.Old = p.Versions[v.Version-1].Txid
	}
	return &Event{Time: now, Complete: c}, nil
}

// Final finds the payments that the outputs at the minter's main address prove to be confirmed at least as often as configured, given the height of the tip. seen are the
// payments with a transaction in some block.
func (s *State) Final(now uint64, tip uint32, utxos []Utxo) (events []Event, seen map[uint64]bool) {
	seen = map[uint64]bool{}
	// What a mined transaction spends is mined: change of a payment that a reorganisation opened again may be seen only by what spent it.
	var mined func(p *Payment, txid btc.Hash, height uint32)
	mined = func(p *Payment, txid btc.Hash, height uint32) {
		seen[p.ID] = true
		for _, o := range p.Inputs {
			if parent := s.payments[s.txids[o.Txid]]; parent != nil {
				mined(parent, o.Txid, height)
			}
		}
		if tip-height+1 >= s.Config.Confirmations && !slices.ContainsFunc(events, func(e Event) bool { return e.Confirmed.Payment == p.ID }) {
			events = append(events, Event{Time: now, Confirmed: &ConfirmedTx{Payment: p.ID, Txid: txid, Height: height}})
		}
	}
	for _, u := range utxos {
		id, ours := s.txids[u.Txid]
		p := s.payments[id]
		if !ours || p == nil || u.Height == 0 || u.Height > tip {
			continue
		}
		for _, v := range p.Versions {
			if v.Txid != u.Txid || !slices.Contains(v.own(), Utxo{Txid: u.Txid, Vout: u.Vout, Value: u.Value}) {
				continue
			}
			mined(p, u.Txid, u.Height)
		}
	}
	return events, seen
}

// Estimate is what a withdrawal of amount would pay now: the bitcoin fee and the minter's, in satoshi.
func (s *State) Estimate(amount, feeRate uint64) (btcFee, minterFee uint64) {
	chosen, err := selectCoins(s.free(), amount, 2, s.Config.MaxInputs, s.Config.ManyUtxos)
	if err != nil || len(chosen) == 0 {
		chosen = make([]Owned, 1)
	}
	script := make([]byte, 34) // the longest output script that can be paid
	fee := btc.MillisatPerVByte(min(feeRate, s.Config.MaxFeeRate)).Fee(s.vsize(chosen, script, script[:22]))
	return uint64(fee), MinterFee(len(chosen), 2)
}

// TaskKind says what has to be done outside.
type TaskKind uint8

// The kinds of tasks.
const (
	TaskMint   TaskKind = iota + 1 // ask the ledger to mint a deposit
	TaskBurn                       // ask the ledger again for the outcome of a burn
	TaskRefund                     // ask the ledger to mint a refund
	TaskSign                       // ask for a signature
	TaskSend                       // hand a transaction to the Bitcoin canister
)

// Task is a piece of outside work that the state demands. Tasks are comparable, so that who runs them can remember which are under way.
type Task struct {
	Kind     TaskKind
	Outpoint btc.Outpoint // mint
	ID       uint64       // burn number, block index or payment
	Version  uint64
	Input    uint64
}

// Tasks lists all outside work that the state demands now, in a fixed order. Running a task twice is harmless; each ends in an event.
func (s *State) Tasks() []Task {
	var ts []Task
	paused := s.Paused() != "" // then what was begun is finished, and nothing begins
	for _, op := range slices.SortedFunc(maps.Keys(s.openMints), compareOutpoints) {
		if paused && s.openMints[op].State == DepositChecked {
			continue
		}
		ts = append(ts, Task{Kind: TaskMint, Outpoint: op})
	}
	for _, n := range slices.Sorted(maps.Keys(s.burns)) {
		if !s.burns[n].Unknown {
			ts = append(ts, Task{Kind: TaskBurn, ID: n})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.refunds)) {
		if paused && s.refunds[id].RefundAt == 0 {
			continue
		}
		ts = append(ts, Task{Kind: TaskRefund, ID: id})
	}
	for _, id := range slices.Sorted(maps.Keys(s.payments)) {
		p := s.payments[id]
		if v := p.best(); v != nil {
			ts = append(ts, Task{Kind: TaskSend, ID: id, Version: v.Version})
		}
		if v := p.Latest(); !v.Complete && !paused && s.waits(p) == nil {
			for i, sig := range v.Signatures {
				if sig == nil {
					ts = append(ts, Task{Kind: TaskSign, ID: id, Version: v.Version, Input: uint64(i)})
				}
			}
		}
	}
	return ts
}

// Payments lists the payments that are not final, oldest first.
func (s *State) Payments() []*Payment {
	var ps []*Payment
	for _, id := range slices.Sorted(maps.Keys(s.payments)) {
		ps = append(ps, s.payments[id])
	}
	return ps
}

func compareOutpoints(a, b btc.Outpoint) int {
	return Utxo{Txid: a.Txid, Vout: a.Vout}.Compare(Utxo{Txid: b.Txid, Vout: b.Vout})
}
