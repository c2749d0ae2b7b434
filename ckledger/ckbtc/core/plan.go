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
	minPending        = 20   // requests that start a transaction at once
	maxBatch          = 100  // requests of one transaction
	maxOpen           = 5000 // withdrawals that are open at a time
	minDust           = 546  // satoshi; the highest dust limit of the kinds of addresses that can be paid
	resubmitAfter     = uint64(24 * 3600 * 1e9)
	minRelayBump      = 1000 // millisatoshi per vbyte by which a replacement pays more
	regtestFeeRate    = 5000 // millisatoshi per vbyte
	mainnetFloor      = 1500
	testnetFloor      = 1000
	minPercentiles    = 100
	inputVSize        = 68 // of a P2WPKH input, BIP141
	minterFeePerIn    = 146
	minterFeePerOut   = 4
	minterFeeConstant = 26
	minterFeeMin      = 300
)

// MaxOpen is how many withdrawals may be open at a time.
func MaxOpen() int { return maxOpen }

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
	return max(percentiles[len(percentiles)/2], floor), true
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
func selectCoins(free []Owned, target uint64, outputs int, maxInputs, consolidate uint64) ([]Owned, error) {
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
	for uint64(len(free)) > consolidate && len(chosen) < outputs+1 && uint64(len(chosen)) < maxInputs {
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
	d.btcFee = uint64(btc.MillisatPerVByte(feeRate).Fee(btc.VSizeP2WPKH(len(inputs), scripts...)))
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
	if len(s.queue) == 0 {
		return nil, nil
	}
	oldest := s.requests[s.queue[0]].ReceivedAt
	if len(s.queue) < minPending && now < oldest+s.Config.MaxTimeInQueue {
		return nil, nil
	}
	change, err := keys.Address(s.Config.Network, s.Minter)
	if err != nil {
		return nil, err
	}
	batch := s.queue[:min(len(s.queue), maxBatch)]
	free := s.free()
	for len(batch) > 0 {
		var owed uint64
		for _, id := range batch {
			owed += s.requests[id].Amount
		}
		inputs, err := selectCoins(free, owed, len(batch)+1, s.Config.MaxInputs, s.Config.Consolidate)
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
			return s.refuse(now, low, RefundAmountTooLow, 0), nil
		}
		if err != nil {
			return nil, err
		}
		p := &Prepared{Payment: s.lastPay + 1, Requests: slices.Clone(batch), Outputs: d.outputs, FeeRate: feeRate, BtcFee: d.btcFee, MinterFee: d.minterFee}
		for _, o := range d.inputs {
			pub, err := keys.Of(o.Account)
			if err != nil {
				return nil, err
			}
			p.Inputs, p.Keys = append(p.Inputs, o.Utxo), append(p.Keys, pub[:])
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

// Replace prepares a replacement by fee of a payment whose newest transaction was sent a day ago and is in no block. It returns nil if none
// is due, or if a higher fee would leave some request with dust: then the transaction is only sent again.
func (s *State) Replace(p *Payment, now, feeRate uint64) *Event {
	v := p.Latest()
	if !v.Sent || now < v.CompleteAt+resubmitAfter {
		return nil
	}
	rate := max(feeRate, v.FeeRate+minRelayBump)
	change := v.Outputs[len(v.Outputs)-1].Script
	d, err := s.draftOf(p.Requests, p.Inputs, rate, change)
	if err != nil {
		return nil
	}
	return &Event{Time: now, Prepared: &Prepared{Payment: p.ID, Version: uint64(len(p.Versions)), Outputs: d.outputs, FeeRate: rate, BtcFee: d.btcFee, MinterFee: d.minterFee}}
}

// Finish assembles a version whose inputs are all signed.
func (p *Payment) Finish(now uint64, v *Version) (*Event, error) {
	for i, sig := range v.Signatures {
		if err := v.Tx.SignP2WPKH(i, sig, p.Keys[i]); err != nil {
			return nil, fmt.Errorf("input %d of payment %d: %w", i, p.ID, err)
		}
	}
	change := len(v.Outputs) - 1
	c := &Complete{Payment: p.ID, Version: v.Version, Txid: v.Txid, Requests: p.Requests, ChangeVout: uint32(change), ChangeValue: v.Outputs[change].Value,
		FeeRate: v.FeeRate, BtcFee: v.BtcFee, MinterFee: v.MinterFee, Raw: v.Tx.Bytes()}
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
	for _, u := range utxos {
		id, ours := s.txids[u.Txid]
		p := s.payments[id]
		if !ours || p == nil || u.Height == 0 || u.Height > tip {
			continue
		}
		for _, v := range p.Versions {
			if v.Txid != u.Txid || int(u.Vout) != len(v.Outputs)-1 || u.Value != v.Outputs[u.Vout].Value {
				continue
			}
			seen[id] = true
			if tip-u.Height+1 >= s.Config.Confirmations && !slices.ContainsFunc(events, func(e Event) bool { return e.Confirmed.Payment == id }) {
				events = append(events, Event{Time: now, Confirmed: &ConfirmedTx{Payment: id, Txid: u.Txid, Height: u.Height}})
			}
		}
	}
	return events, seen
}

// Estimate is what a withdrawal of amount would pay now: the bitcoin fee and the minter's, in satoshi.
func (s *State) Estimate(amount, feeRate uint64) (btcFee, minterFee uint64) {
	inputs := 1
	if chosen, err := selectCoins(s.free(), amount, 2, s.Config.MaxInputs, s.Config.Consolidate); err == nil {
		inputs = max(len(chosen), 1)
	}
	script := make([]byte, 34) // the longest output script that can be paid
	fee := btc.MillisatPerVByte(feeRate).Fee(btc.VSizeP2WPKH(inputs, script, script[:22]))
	return uint64(fee), MinterFee(inputs, 2)
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
	for _, op := range slices.SortedFunc(maps.Keys(s.openMints), compareOutpoints) {
		ts = append(ts, Task{Kind: TaskMint, Outpoint: op})
	}
	for _, n := range slices.Sorted(maps.Keys(s.burns)) {
		if !s.burns[n].Unknown {
			ts = append(ts, Task{Kind: TaskBurn, ID: n})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.refunds)) {
		ts = append(ts, Task{Kind: TaskRefund, ID: id})
	}
	for _, id := range slices.Sorted(maps.Keys(s.payments)) {
		p := s.payments[id]
		if v := p.best(); v != nil {
			ts = append(ts, Task{Kind: TaskSend, ID: id, Version: v.Version})
		}
		if v := p.Latest(); !v.Complete {
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
