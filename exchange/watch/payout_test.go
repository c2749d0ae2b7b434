package watch_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/btc"
	ckminter "fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/exchange/reader"
	"fusion/exchange/watch"
	"fusion/ic/candid"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/http/httpmem"
	"fusion/testnets/ledgermem"
)

// A withdrawal is told of at each status, once, over restarts of the watcher; its end is believed only when it is certified.
func TestPayout(t *testing.T) {
	w := newWorld(t)
	minter := principal.FromUint64(9)
	txid := ckminter.Txid{Txid: make([]byte, 32)}
	txid.Txid[31] = 5
	w.ledger.Mint(account(us, 1), 5000)
	burn := w.ledger.Transfer(us, icrc.TransferArg{FromSubaccount: account(us, 1).Subaccount, To: w.ledger.Minting, Amount: candid.NatFromUint64(700)})
	var mu sync.Mutex
	status, certified := ckminter.RetrieveBtcStatusV2{Unknown: candid.Unit}, ckminter.RetrieveBtcStatusV2{Unknown: candid.Unit}
	asked := 0
	answer := func(s *ckminter.RetrieveBtcStatusV2, count bool) func(principal.Principal, string, []byte) ([]byte, error) {
		return func(_ principal.Principal, method string, arg []byte) ([]byte, error) {
			var a ckminter.BlockIndex
			if method != "retrieve_btc_status_v2" {
				return candid.Marshal([]ckminter.DepositStatus{})
			}
			if err := candid.Unmarshal(arg, &a); err != nil || a.BlockIndex != burn {
				return nil, &envelope.Reject{Code: 5, Message: fmt.Sprintf("block %d: %v", a.BlockIndex, err)}
			}
			mu.Lock()
			defer mu.Unlock()
			if count {
				asked++
			}
			return candid.Marshal(*s)
		}
	}
	w.Install(minter, &httpmem.Canister{Query: answer(&status, true), Update: answer(&certified, false)})
	cfg := w.config()
	cfg.OnDisk(vfs.NewMem(), nil)
	cfg.Types = []string{watch.Withdrawal}
	cfg.Bitcoin = &watch.Bitcoin{Minter: minter, Ledger: ledgerID, Interval: 1}
	set := func(s ckminter.RetrieveBtcStatusV2) {
		mu.Lock()
		defer mu.Unlock()
		status, asked = s, 0
	}
	looks := func(ctx context.Context, n int) { // waits for so many more
		until(ctx, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return asked >= n
		})
	}
	id := func(s string) string { return fmt.Sprintf("%s/withdrawal/%d/%s", minter, burn, s) }
	hash := btc.Hash(txid.Txid).String()
	if err := run(t, cfg, func(ctx context.Context, _ *watch.Watcher) {
		w.r.wait(ctx, 1)
		looks(ctx, 1)
		set(ckminter.RetrieveBtcStatusV2{Pending: candid.Unit})
		w.r.wait(ctx, 2)
		set(ckminter.RetrieveBtcStatusV2{Submitted: &txid})
		w.r.wait(ctx, 3)
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// One replica says that it has ended; the subnet does not.
	certified = ckminter.RetrieveBtcStatusV2{Submitted: &txid}
	set(ckminter.RetrieveBtcStatusV2{Confirmed: &txid})
	if err := run(t, cfg, func(ctx context.Context, _ *watch.Watcher) {
		looks(ctx, 3)
		if n := w.r.count(); n != 3 {
			t.Errorf("%d events; an end that is not certified was told", n)
		}
		mu.Lock()
		certified = ckminter.RetrieveBtcStatusV2{Confirmed: &txid}
		mu.Unlock()
		w.r.wait(ctx, 4)
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for key, want := range map[string]string{id("pending"): "", id("submitted/" + hash): hash, id("confirmed/" + hash): hash} {
		e := w.r.booked[key]
		if e.Type != watch.Payout || e.Amount != "700" || e.Block == nil || *e.Block != burn || (e.Source == nil) != (want == "") || e.Source != nil && (e.Source.Transaction != want || e.Source.Index != nil) {
			t.Errorf("%s: %+v", key, e)
		}
	}
	if e := w.r.booked[fmt.Sprintf("%s/%d", ledgerID, burn)]; e.Type != watch.Withdrawal || e.Kind != "burn" || w.r.count() != 4 {
		t.Errorf("the burn: %+v of %d", e, w.r.count())
	}
}

// What a watcher knows is of one network and of one owner's accounts; its metrics say how it goes.
func TestStateOfOthers(t *testing.T) {
	w := newWorld(t)
	w.ledger.Mint(account(us, 1), 7)
	cfg := w.config()
	cfg.OnDisk(vfs.NewMem(), nil)
	w.r.refuse = func(_ watch.Event, attempt int) bool { return attempt == 1 }
	if err := run(t, cfg, func(ctx context.Context, x *watch.Watcher) {
		w.r.wait(ctx, 1)
		var text string
		until(ctx, func() bool { // the watcher knows what the receiver knows
			rec := httptest.NewRecorder()
			x.Metrics().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
			text = rec.Body.String()
			return strings.Contains(text, "fusion_watch_delivered_total 1\n") && strings.Contains(text, "fusion_watch_failures_total 1\n") &&
				strings.Contains(text, `fusion_watch_read_blocks{ledger="`+ledgerID.String()+`"} 1`) && strings.Contains(text, "fusion_watch_queued 0\n")
		})
		if ctx.Err() != nil {
			t.Error(text)
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	other := cfg
	other.Accounts.Owner = them
	if err := run(t, other, wait); !errors.Is(err, watch.ErrOther) || !strings.Contains(err.Error(), us.String()) {
		t.Errorf("another owner: %v", err)
	}
	elsewhere := ledgermem.NewSubnet(2)
	defer elsewhere.Close()
	elsewhere.NewLedger(ledgerID).Mint(account(us, 1), 7)
	other = cfg
	other.Agent = elsewhere.Agent(identity.Anonymous{})
	if err := run(t, other, wait); !errors.Is(err, watch.ErrOther) {
		t.Errorf("another network: %v", err)
	}
	x, err := watch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.SetCursor(ledgerID, reader.Cursor{Index: 1 << 63}); err != nil {
		t.Fatal(err)
	}
	if err := x.Run(t.Context()); !errors.Is(err, watch.ErrState) {
		t.Errorf("a cursor that cannot be: %v", err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

func wait(ctx context.Context, _ *watch.Watcher) { <-ctx.Done() }
