package watch

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ic/principal"
	"fusion/internal/kv"
)

const (
	// maxPayouts bounds the open withdrawals that one round asks about; the next one goes on behind them.
	maxPayouts = 1000
	// forgetBurn is after how long a burn that the minter does not know is taken for none of a withdrawal.
	forgetBurn = time.Hour
)

func payoutKey(minter principal.Principal, burn uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{keyPayout, byte(minter.Len())}, minter.Bytes()...), burn)
}

// payoutOf is what there is to tell of the burn of a withdrawal. It has no status yet.
func (w *Watcher) payoutOf(e *Event) *Event {
	return &Event{Type: Payout, Ledger: e.Ledger, Symbol: e.Symbol, Decimals: e.Decimals, Block: e.Block, Time: e.Time, From: e.From, Amount: e.Amount}
}

// payouts asks about withdrawals that have not ended. Only an error of the disk is returned.
func (w *Watcher) payouts(ctx context.Context) error {
	prefix := payoutKey(w.cfg.Bitcoin.Minter, 0)
	prefix = prefix[:len(prefix)-8]
	for from := prefix; ; {
		list, err := w.store.scan(from, kv.PrefixEnd(prefix), maxPayouts)
		if err != nil {
			return err
		}
		for _, it := range list {
			if err := w.tellPayout(ctx, it.key, it.value); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		if len(list) < maxPayouts {
			return nil
		}
		from = append(list[len(list)-1].key, 0)
	}
}

// tellPayout queues an event if the status of a withdrawal has changed.
func (w *Watcher) tellPayout(ctx context.Context, key, last []byte) error {
	e := &Event{}
	if err := json.Unmarshal(last, e); err != nil {
		return fmt.Errorf("%w: payout %x: %w", ErrState, key, err)
	}
	if e.Block == nil {
		return fmt.Errorf("%w: payout %x names no block", ErrState, key)
	}
	minter, args := w.cfg.Bitcoin.Minter, []any{ckbtc.BlockIndex{BlockIndex: *e.Block}}
	var st ckbtc.RetrieveBtcStatusV2
	err := w.cfg.Agent.Ask(ctx, minter, "retrieve_btc_status_v2", args, []any{&st})
	if err == nil && final(&st) { // a query is one replica's word; the end is certified
		st = ckbtc.RetrieveBtcStatusV2{}
		err = w.cfg.Agent.Update(ctx, minter, "retrieve_btc_status_v2", args, []any{&st})
	}
	if err != nil {
		if ctx.Err() == nil {
			w.cfg.Log.Warn("asking for a withdrawal failed; it is tried again", "minter", minter.String(), "block", *e.Block, "err", err)
		}
		return nil
	}
	if st.Unknown != nil {
		if at, err := time.Parse(time.RFC3339Nano, e.Time); err != nil || time.Since(at) > forgetBurn {
			return w.store.db.Delete(key, pebble.NoSync)
		}
		return nil // the minter hears of the burn after the ledger
	}
	status, tx := payoutStatus(&st)
	id := fmt.Sprintf("%s/withdrawal/%d/%s", minter, *e.Block, status)
	e.Source = nil
	if tx != nil && len(tx.Txid) == 32 {
		e.Source = &Source{Chain: "bitcoin", Transaction: btc.Hash(tx.Txid).String()}
		id += "/" + e.Source.Transaction
	}
	if id == e.ID {
		return nil
	}
	e.ID, e.Status = id, status
	return w.tell(ctx, e, func(b *pebble.Batch, raw []byte) error {
		if final(&st) {
			return b.Delete(key, nil)
		}
		return b.Set(key, raw, nil)
	})
}

func final(st *ckbtc.RetrieveBtcStatusV2) bool {
	return st.Confirmed != nil || st.Reimbursed != nil || st.AmountTooLow != nil || st.Unknown != nil
}

// payoutStatus names a status, with the transaction that pays if there is one.
func payoutStatus(st *ckbtc.RetrieveBtcStatusV2) (string, *ckbtc.Txid) {
	switch {
	case st.Signing != nil:
		return "signing", nil
	case st.Sending != nil:
		return "sending", st.Sending
	case st.Submitted != nil:
		return "submitted", st.Submitted
	case st.Confirmed != nil:
		return "confirmed", st.Confirmed
	case st.AmountTooLow != nil:
		return "too_low", nil
	case st.WillReimburse != nil:
		return "reimbursing", nil
	case st.Reimbursed != nil:
		return "reimbursed", nil
	}
	return "pending", nil
}
