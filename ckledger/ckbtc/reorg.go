package ckbtc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
)

// What the minter does when Bitcoin takes back what it had: see package core. Here it learns of it: whenever the tip is another, it reads again what lies at
// the addresses whose outputs are not settled.

// viewPlaces is how many addresses are read, at once, before what was read is compared with the log.
const viewPlaces = 20

// recheck is the state of the reading. It begins again with each instance.
type recheck struct {
	running bool
	done    []byte      // the tip at which everything was compared
	last    *core.Place // compared last: when the tip changes before all are read, the others come first next time
}

// errTip: the chain grew while it was read.
var errTip = errors.New("the tip changed")

// recheck compares what is watched with the chain, of which the minter's own outputs have just been read. then may be nil.
func (m *minter) recheck(main []core.Utxo, tip uint32, hash []byte, then func(error)) {
	r := &m.rechecking
	if then == nil {
		if r.running || !m.state.Watching() || bytes.Equal(hash, r.done) {
			return
		}
		then = func(err error) {
			if err != nil && !errors.Is(err, errTip) {
				m.logf("look for what a reorganisation took back: %v", err)
			}
		}
	}
	r.running = true
	end := func(err error) { r.running = false; then(err) }
	todo := m.state.Watched()
	if r.last != nil {
		i, found := slices.BinarySearchFunc(todo, *r.last, core.Place.Compare)
		if found {
			i++
		}
		todo = slices.Concat(todo[i:], todo[:i])
	}
	var unread error // why some could not be read, whose outputs are left alone
	var next func()
	next = func() {
		batch := todo[:min(len(todo), viewPlaces)]
		todo = todo[len(batch):]
		v := core.NewView(tip)
		v.Add(core.Place{Account: m.state.Minter}, main)
		left, failed := len(batch), error(nil)
		finish := func() {
			if failed != nil {
				end(failed)
				return
			}
			m.compare(v)
			if len(batch) > 0 {
				r.last = &batch[len(batch)-1]
			}
			if len(todo) > 0 {
				next()
				return
			}
			if unread == nil {
				r.done = hash
			}
			end(unread)
		}
		if left == 0 {
			finish()
			return
		}
		for _, a := range batch {
			m.readPlace(a, func() { r.running = false }, func(us []core.Utxo, at []byte, err error) {
				switch {
				case errors.Is(err, errPages):
					unread = err
				case err != nil:
					failed = err
				case !bytes.Equal(at, hash):
					failed = errTip
				default:
					v.Add(a, us)
				}
				if left--; left == 0 {
					finish()
				}
			})
		}
	}
	next()
}

// readPlace lists what concerns the log at one address, with the hash of the tip.
func (m *minter) readPlace(a core.Place, cleanup func(), done func(us []core.Utxo, at []byte, err error)) {
	with := m.withKey
	if a.Taproot {
		with = m.withTaproot
	}
	with(cleanup, func(k *core.PublicKey, err error) {
		var addr btc.Address
		if err == nil && a.Taproot {
			addr, err = k.TaprootAddress(m.state.Config.Network, a.Account)
		} else if err == nil {
			addr, err = k.Address(m.state.Config.Network, a.Account)
		}
		if err != nil {
			done(nil, nil, err)
			return
		}
		m.ownUtxos(addr.String(), nil, cleanup, func(us []core.Utxo, _ uint32, at []byte, err error) { done(us, at, err) })
	})
}

// compare writes down what a view shows.
func (m *minter) compare(v *core.View) {
	before := m.state.Deficit()
	for _, e := range m.state.Recheck(m.c.Time(), v) {
		m.emit(e)
		if e.Vanished != nil || e.Reversed != nil { // whoever listed deposits before looks again
			m.reorgs++
			m.forgetListings()
		}
		switch {
		case e.Vanished != nil:
			m.logf("deposit %v is in no block any more", *e.Vanished)
		case e.Reversed != nil:
			m.logf("payment %d, which was final, is in no block any more: it is sent again", *e.Reversed)
		}
	}
	if after := m.state.Deficit(); after != before {
		m.logf("deficit: %d satoshi of minted deposits are missing, %d before", after, before)
	}
}

// doubt has all outputs compared with the chain as soon as it can be read.
func (m *minter) doubt() {
	if e := m.state.Doubt(); e != nil {
		m.logf("all outputs are compared with the chain: %d were settled", *e.Doubted)
		m.emit(*e)
	}
	m.rechecking.done = nil
	m.reorgs++
	m.forgetListings()
}

// errReset: what was listed belongs to another history than what the log knows.
var errReset = errors.New("the Bitcoin canister forgot its chain and began again")

// sawEpoch learns how often the Bitcoin canister began again. If it did so since the minter asked last, however short it took, all that the minter believes to be final
// may be gone: it stops until a controller resumes.
func (m *minter) sawEpoch(n uint64) error {
	e, old := m.state.Epoch(n)
	if old {
		return errReset
	}
	if e == nil {
		return nil
	}
	m.emit(*e)
	if !m.state.Reset() {
		return nil
	}
	m.logf("%s", m.state.Paused())
	m.doubt()
	return errReset
}

// recovered learns whether the subnet was restored from a backup. It is asked before anything is done.
func (m *minter) recovered() {
	e := m.state.Recovery(m.c.Recovery())
	if e == nil {
		return
	}
	m.emit(*e)
	m.logf("%s", m.state.Paused())
	m.doubt()
}

// paused says why nothing may begin until something ends the pause, or "".
func (m *minter) paused() string {
	if n := m.c.Recovery(); m.state.Recovery(n) != nil { // the log does not know yet
		return core.RecoveryPause(n)
	}
	return m.state.Paused()
}

// stopped says why nothing may be minted or paid now, or "".
func (m *minter) stopped() string {
	if why := m.paused(); why != "" {
		return why
	}
	if m.outage != "" {
		return "the bitcoin canister is not available: " + m.outage
	}
	return ""
}

func (m *minter) health() *Health {
	s := m.state
	h := &Health{Deficit: s.Deficit(), Unsettled: s.Unsettled(), WrittenOff: s.WrittenOff(), Restored: s.Restored()}
	if why := m.stopped(); why != "" {
		h.Stopped = &why
	}
	return h
}

// ResumeArgs are what a controller knows about transactions: Never names those that can never be mined again, as explorers show them, the minter's own or those of
// deposits. Transactions are whole ones in hexadecimal, that the minter may have forgotten in a recovery of the subnet; Others names those of them that pay withdrawals
// unknown to the log, to addresses that wait for other amounts.
type ResumeArgs struct {
	Never        []string  `candid:"never"`
	Transactions *[]string `candid:"transactions"`
	Others       *[]string `candid:"others"`
}

// ResumeResult is the result of resume: what custody was restored and what was written off, in satoshi.
type ResumeResult struct {
	candid.Variant
	Ok  *Resumed `candid:"Ok"`
	Err *string  `candid:"Err"`
}

// Resumed says how a pause ended.
type Resumed struct {
	Restored   uint64 `candid:"restored"`
	WrittenOff uint64 `candid:"written_off"`
}

// Anybody can pay dust to the minter's own address: resume takes the largest outputs that it does not know, so many at a time, and leaves what is smaller.
const (
	leastRestored = 1000 // satoshi
	maxRestored   = 1000
)

// recall writes down what the minter forgot in a recovery of the subnet: which of the withdrawals that wait are paid, and which deposits were spent.
func (m *minter) recall(us []core.Utxo, tip uint32, past core.Past) (other []string, err error) {
	if _, stale := m.state.Stale(); !stale {
		return nil, nil
	}
	past.Own, past.Tip, past.Utxos, past.Strangers = *m.key, tip, us, m.strangers
	for {
		events, more, err := m.state.Recall(m.c.Time(), past)
		if err != nil || events == nil {
			return other, err
		}
		other = append(other, more...)
		for _, e := range events {
			m.emit(e)
			if e.Orphaned != nil {
				m.logf("%d outputs that the log does not know were spent after the backup: what lay at an account's address is minted when that account asks", len(e.Orphaned.List))
			}
			if e.Recalled != nil {
				m.logf("payment %d was made after the backup: it paid withdrawals %v", e.Recalled.Payment, m.state.Payment(e.Recalled.Payment).Requests)
			}
			if e.Confirmed != nil {
				m.tasks.ForgetAll(func(t core.Task) bool { return t.Kind >= core.TaskSign && t.ID == e.Confirmed.Payment })
			}
		}
	}
}

func parseHashes(list []string) (ids []btc.Hash, err error) {
	for _, text := range list {
		id, err := btc.ParseHash(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// parseGiven reads transactions by their ids.
func parseGiven(list []string) (map[btc.Hash]*btc.Tx, error) {
	given := map[btc.Hash]*btc.Tx{}
	for i, text := range list {
		raw, err := hex.DecodeString(text)
		var tx *btc.Tx
		if err == nil {
			tx, err = btc.ParseTx(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("transaction %d: %w", i+1, err)
		}
		given[tx.Txid()] = tx
	}
	return given, nil
}

// caughtUp makes sure that the Bitcoin canister, which began again where the backup ends, has seen everything that Bitcoin had when the subnet was restored: before,
// it does not show what the minter paid since the backup. The last blocks are a proof, since all that were mined before them are below them; no time that passes is.
func (m *minter) caughtUp(tip uint32, hash []byte, cleanup func(), done func(error)) {
	since, stale := m.state.Stale()
	if !stale {
		done(nil)
		return
	}
	m.medianTime(tip, hash, cleanup, func(ns uint64, err error) {
		if err == nil && ns <= since {
			at := func(ns uint64) string { return time.Unix(0, int64(ns)).UTC().Format(time.RFC3339) }
			err = fmt.Errorf("the Bitcoin canister has to catch up: it shows block %d, and half of the %d blocks up to there are not of after the recovery of the subnet at %s (median %s): "+
				"call resume when six later ones are mined", tip, medianSpan, at(since), at(ns))
		}
		done(err)
	})
}

// resume is the operator's way out of a deficit that Bitcoin does not close. Outputs at the minter's own address that it knows nothing of are taken into
// custody; if that is then enough for all that is owed, the missing deposits are written off. Change that is missing because a transaction of the minter is in no
// block is written off only if the operator names the transaction, and so it is with deposits that are all that a signed transaction spends: see core.State.Resume.
func (m *minter) resume(msg *cdk.Msg, a *ResumeArgs, out *cdk.Reply[ResumeResult]) {
	if !m.c.IsController(msg.Caller()) {
		m.c.Trap("only a controller of the minter may call resume")
	}
	fail := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		out.Send(ResumeResult{Err: &text})
	}
	var never []btc.Hash
	past := core.Past{Others: map[btc.Hash]bool{}}
	if a != nil {
		var others []btc.Hash
		var err error
		if never, err = parseHashes(a.Never); err == nil && a.Others != nil {
			others, err = parseHashes(*a.Others)
		}
		if err != nil {
			fail("never and others name transactions: %v", err)
			return
		}
		for _, id := range others {
			past.Others[id] = true
		}
		if a.Transactions != nil {
			if past.Given, err = parseGiven(*a.Transactions); err != nil {
				fail("transactions holds whole ones in hexadecimal: %v", err)
				return
			}
		}
	}
	m.recovered()
	if m.rechecking.running {
		fail("the minter is just comparing its log with the chain: call resume again")
		return
	}
	m.doubt()
	m.rechecking.running = true
	release := func() { m.rechecking.running = false }
	refuse := func(err error) {
		release()
		fail("the chain cannot be read: %v", err)
	}
	m.withKey(release, func(_ *core.PublicKey, err error) {
		if err != nil {
			refuse(err)
			return
		}
		least := uint64(leastRestored)
		if _, stale := m.state.Stale(); stale {
			least = core.MinChange
		}
		also := func(u core.Utxo) bool { return u.Value >= least && m.state.Foreign(u) }
		m.ownUtxos(m.main.String(), also, release, func(us []core.Utxo, tip uint32, hash []byte, err error) {
			if err != nil {
				refuse(err)
				return
			}
			m.caughtUp(tip, hash, release, func(err error) {
				if err != nil {
					release()
					fail("%v", err)
					return
				}
				m.recheck(us, tip, hash, func(err error) {
					if err != nil {
						refuse(err)
						return
					}
					m.conclude(us, tip, past, never, fail, out)
				})
			})
		})
	})
}

// conclude ends a pause if what the chain shows allows it. us is what lies at the minter's own address.
func (m *minter) conclude(us []core.Utxo, tip uint32, past core.Past, never []btc.Hash, fail func(string, ...any), out *cdk.Reply[ResumeResult]) {
	other, err := m.recall(us, tip, past)
	if err != nil {
		fail("%v", err)
		return
	}
	var r Resumed
	taken := 0
	slices.SortFunc(us, func(a, b core.Utxo) int { return b.Compare(a) })
	for _, u := range us {
		if taken == maxRestored {
			break
		}
		if u.Value >= leastRestored && u.Height > 0 && u.Height <= tip && tip-u.Height+1 >= m.state.Config.Confirmations && m.state.Foreign(u) {
			m.emit(core.Event{Restored: &u})
			r.Restored += u.Value
			taken++
		}
	}
	before := m.state.WrittenOff()
	e, err := m.state.Resume(m.c.Time(), never)
	if errors.Is(err, core.ErrUnmined) {
		fail("%v. Send them (signed_tx in get_events) until they are mined: the deficit then closes by itself. Name in never those alone that cannot be mined any more, "+
			"because a deep block spends one of their inputs otherwise: what they were to make is written off, and what would spend it is paid by others", err)
		return
	}
	if err != nil && len(other) > 0 {
		err = fmt.Errorf("%w; no withdrawal that the log knows explains %s", err, strings.Join(other, ", "))
	}
	if err != nil {
		fail("%v, after %d satoshi were taken into custody: pay at least what is missing to %v, wait for %d confirmations, and call resume again", err,
			r.Restored, m.main, m.state.Config.Confirmations)
		return
	}
	if len(e.Resumed.List)+len(e.Resumed.Never) > 0 || m.state.Paused() != "" {
		m.emit(*e)
	}
	clear(m.strangers)
	r.WrittenOff = m.state.WrittenOff() - before
	m.logf("resumed: %d satoshi restored, %d written off", r.Restored, r.WrittenOff)
	out.Send(ResumeResult{Ok: &r})
	m.work()
}
