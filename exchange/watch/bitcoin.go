package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ic/principal"
)

// Bitcoin looks for bitcoin on its way to watched accounts and has the minter mint what has arrived.
type Bitcoin struct {
	// Minter is the ckBTC minter, and Ledger its ledger, which only payouts need.
	Minter, Ledger principal.Principal
	// Interval is how often it looks; the default is 10 seconds.
	Interval time.Duration
	// Concurrency is how many accounts are asked about at once; the default is 48, below what a minter takes.
	Concurrency int
}

// maxPending bounds the pending deposits of an account that are told of: anybody can announce transactions.
const maxPending = 100

func pendingKey(minter principal.Principal, op btc.Outpoint) []byte {
	key := append([]byte{keyPending, byte(minter.Len())}, minter.Bytes()...)
	key = append(key, op.Txid[:]...)
	return append(key, byte(op.Vout>>24), byte(op.Vout>>16), byte(op.Vout>>8), byte(op.Vout))
}

// bitcoinAccounts are the accounts that are asked about: those that are listed, and the default one.
func (w *Watcher) bitcoinAccounts() [][32]byte {
	var list [][32]byte
	for sub := range w.cfg.Accounts.Subaccounts {
		list = append(list, sub)
	}
	if !w.cfg.Accounts.Subaccounts[[32]byte{}] {
		list = append(list, [32]byte{})
	}
	slices.SortFunc(list, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	return list
}

func (w *Watcher) bitcoin(ctx context.Context) error {
	accounts := w.bitcoinAccounts()
	for {
		if err := w.round(ctx, accounts); err != nil {
			return err
		}
		if err := w.payouts(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(w.cfg.Bitcoin.Interval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// round looks at every account once.
func (w *Watcher) round(ctx context.Context, accounts [][32]byte) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	work := make(chan [32]byte)
	for range w.cfg.Bitcoin.Concurrency {
		wg.Go(func() {
			for sub := range work {
				if err := w.lookAt(ctx, sub); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, sub := range accounts {
		select {
		case work <- sub:
		case <-ctx.Done():
		}
	}
	close(work)
	wg.Wait()
	return context.Cause(ctx)
}

// lookAt asks about one account. Only an error of the disk is returned.
func (w *Watcher) lookAt(ctx context.Context, sub [32]byte) error {
	minter := w.cfg.Bitcoin.Minter
	s := sub[:]
	args := ckbtc.AddressArgs{Owner: &w.cfg.Accounts.Owner, Subaccount: &s}
	fail := func(what string, err error) {
		if ctx.Err() == nil {
			w.cfg.Log.Warn(what, "minter", minter.String(), "subaccount", fmt.Sprintf("%x", sub), "err", err)
		}
	}
	var list []ckbtc.DepositStatus
	if err := w.cfg.Agent.Ask(ctx, minter, "get_deposit_status", []any{args}, []any{&list}); err != nil {
		fail("asking for deposits failed; it is tried again", err)
		return nil
	}
	ready := false
	for i, d := range list {
		st := d.Status
		ready = ready || st.Confirmed != nil || st.Checked != nil
		if i >= maxPending {
			continue
		}
		if err := w.tellPending(ctx, sub, &d); err != nil {
			return err
		}
	}
	if !ready {
		return nil
	}
	var res ckbtc.UpdateBalanceResult
	if err := w.cfg.Agent.Update(ctx, minter, "update_balance", []any{args}, []any{&res}); err != nil {
		fail("update_balance failed; it is tried again", err)
	}
	return nil // what was minted is in the ledger's blocks
}

// tellPending queues an event for a deposit whose status has changed.
func (w *Watcher) tellPending(ctx context.Context, sub [32]byte, d *ckbtc.DepositStatus) error {
	if len(d.Outpoint.Txid) != 32 {
		return nil
	}
	op := btc.Outpoint{Txid: btc.Hash(d.Outpoint.Txid), Vout: d.Outpoint.Vout}
	e := &Event{Type: Pending, To: &Account{Owner: w.cfg.Accounts.Owner.String(), Subaccount: fmt.Sprintf("%x", sub)}, Amount: fmt.Sprint(d.Value),
		Source: &Source{Chain: "bitcoin", Transaction: op.Txid.String(), Index: new(uint64(op.Vout))}}
	detail := ""
	switch st := d.Status; {
	case st.Mempool != nil:
		e.Status = "mempool"
	case st.Confirming != nil:
		e.Status, e.Confirmations, e.Required = "confirming", &st.Confirming.Confirmations, &st.Confirming.Required
		detail = fmt.Sprintf("/%d", st.Confirming.Confirmations)
	case st.Suspended != nil:
		e.Status = "suspended"
	case st.Confirmed != nil, st.Checked != nil, st.MintUnknown != nil:
		e.Status = "confirmed"
	default: // minted: nothing more will be told
		key := pendingKey(w.cfg.Bitcoin.Minter, op)
		if last, err := w.store.get(key); err != nil || last == nil {
			return err
		}
		return w.store.db.Delete(key, pebble.NoSync)
	}
	e.ID = fmt.Sprintf("%s/%s/%s%s", w.cfg.Bitcoin.Minter, op, e.Status, detail)
	key := pendingKey(w.cfg.Bitcoin.Minter, op)
	last, err := w.store.get(key)
	if err != nil || string(last) == e.ID {
		return err
	}
	return w.tell(ctx, e, func(b *pebble.Batch, _ []byte) error { return b.Set(key, []byte(e.ID), nil) })
}

// tell queues an event, once there is room, and in the same write notes that it was told; raw is the event as JSON. Only an error of the disk is returned.
func (w *Watcher) tell(ctx context.Context, e *Event, note func(b *pebble.Batch, raw []byte) error) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := w.queue.room(ctx); err != nil {
		return nil // the watcher ends
	}
	items, err := w.store.put([][]byte{raw}, func(b *pebble.Batch) error { return note(b, raw) })
	if err != nil {
		return err
	}
	w.queue.add(items)
	return nil
}
