package rosetta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coinbase/rosetta-sdk-go/asserter"
	"github.com/coinbase/rosetta-sdk-go/types"

	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/testnets/ledgermem"
)

var ledgerID = principal.FromUint64(7)

// world is a subnet with a ledger and a server over it. The server reads the ledger when a test says so.
type world struct {
	t      testing.TB
	subnet *ledgermem.Subnet
	mem    *ledgermem.Ledger
	fs     vfs.FS
	s      *Server
	l      *ledger
	seen   func(path string, body []byte) // hears of each request
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, subnet: ledgermem.NewSubnet(1), fs: vfs.NewMem()}
	t.Cleanup(w.subnet.Close)
	w.mem = w.subnet.NewLedger(ledgerID)
	w.open()
	t.Cleanup(func() { w.s.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	w.s, err = Open(w.t.Context(), Config{Dir: "mesh", FS: w.fs, Agent: w.subnet.Agent(identity.Anonymous{}), Ledgers: []principal.Principal{ledgerID},
		Interval: time.Millisecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return time.Unix(0, int64(w.subnet.NowNs())) }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.l = w.s.ledgers[0]
}

// restart closes the server and opens it again with the same store.
func (w *world) restart() {
	w.t.Helper()
	if err := w.s.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

func (w *world) sync() {
	w.t.Helper()
	if err := w.l.step(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) advance(d time.Duration) { w.subnet.SetTime(w.subnet.NowNs() + uint64(d)) }

func (w *world) network() *types.NetworkIdentifier { return networkOf(ledgerID) }

// post asks the API; the fault is nil if the answer is a good one.
func post[A any](w *world, path string, q any) (*A, *types.Error) {
	w.t.Helper()
	b, err := json.Marshal(q)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.seen != nil {
		w.seen(path, b)
	}
	rec := httptest.NewRecorder()
	w.s.ServeHTTP(rec, httptest.NewRequest("POST", path, bytes.NewReader(b)))
	if rec.Code != 200 {
		var fault types.Error
		if err := json.Unmarshal(rec.Body.Bytes(), &fault); err != nil {
			w.t.Fatalf("%s: %v: %s", path, err, rec.Body)
		}
		listed := false
		for _, f := range faults {
			listed = listed || f.code == fault.Code && f.message == fault.Message && f.retriable == fault.Retriable
		}
		if !listed {
			w.t.Fatalf("%s: error %s is not in /network/options", path, rec.Body)
		}
		return nil, &fault
	}
	out := new(A)
	if err := json.Unmarshal(rec.Body.Bytes(), out); err != nil {
		w.t.Fatalf("%s: %v: %s", path, err, rec.Body)
	}
	return out, nil
}

func ask[A any](w *world, path string, q any) *A {
	w.t.Helper()
	out, fault := post[A](w, path, q)
	if fault != nil {
		w.t.Fatalf("%s: %s %v", path, fault.Message, fault.Details)
	}
	return out
}

func refused[A any](w *world, path string, q any, want *fault) {
	w.t.Helper()
	out, fault := post[A](w, path, q)
	if fault == nil {
		w.t.Fatalf("%s was accepted: %+v", path, out)
	}
	if fault.Code != want.code {
		w.t.Fatalf("%s: error %d %s %v, want %s", path, fault.Code, fault.Message, fault.Details, want.message)
	}
}

func user(n byte) icrc.Account {
	return icrc.Account{Owner: principal.SelfAuthenticating([]byte{n})}
}

func sub(a icrc.Account, n byte) icrc.Account {
	s := make([]byte, 32)
	s[31] = n
	a.Subaccount = &s
	return a
}

func nat(n uint64) candid.Nat { return candid.NatFromUint64(n) }

// reconcile does what rosetta-cli's check:data does: it adds the operations of all blocks up and compares the sums with the balances that the API
// gives, at each block for the accounts that it touches and at the tip for all.
func (w *world) reconcile() error {
	status, fault := post[types.NetworkStatusResponse](w, "/network/status", &types.NetworkRequest{NetworkIdentifier: w.network()})
	if fault != nil {
		return fmt.Errorf("status: %s", fault.Message)
	}
	options := ask[types.NetworkOptionsResponse](w, "/network/options", &types.NetworkRequest{NetworkIdentifier: w.network()})
	check, err := asserter.NewClientWithResponses(w.network(), status, options, "")
	if err != nil {
		return err
	}
	sums, accounts := map[string]*big.Int{}, map[string]*types.AccountIdentifier{}
	compare := func(key string, at *types.BlockIdentifier) error {
		b := ask[types.AccountBalanceResponse](w, "/account/balance", &types.AccountBalanceRequest{NetworkIdentifier: w.network(),
			AccountIdentifier: accounts[key], BlockIdentifier: &types.PartialBlockIdentifier{Hash: &at.Hash}})
		if *b.BlockIdentifier != *at || b.Balances[0].Value != sums[key].String() {
			return fmt.Errorf("block %d: the balance of %s is %s, its operations add up to %s", at.Index, key, b.Balances[0].Value, sums[key])
		}
		return nil
	}
	parent := status.GenesisBlockIdentifier
	for i := int64(0); i <= status.CurrentBlockIdentifier.Index; i++ {
		b := ask[types.BlockResponse](w, "/block", &types.BlockRequest{NetworkIdentifier: w.network(), BlockIdentifier: &types.PartialBlockIdentifier{Index: &i}}).Block
		if err := check.Block(b); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
		if *b.ParentBlockIdentifier != *parent {
			return fmt.Errorf("block %d names %v as its parent, not %v", i, b.ParentBlockIdentifier, parent)
		}
		parent = b.BlockIdentifier
		touched := map[string]bool{}
		for _, o := range b.Transactions[0].Operations {
			if o.Amount == nil {
				continue
			}
			key := types.AccountString(o.Account)
			if sums[key] == nil {
				sums[key], accounts[key] = new(big.Int), o.Account
			}
			v, _ := new(big.Int).SetString(o.Amount.Value, 10)
			sums[key].Add(sums[key], v)
			touched[key] = true
		}
		for key := range touched {
			if err := compare(key, b.BlockIdentifier); err != nil {
				return err
			}
		}
	}
	for key := range sums {
		if err := compare(key, parent); err != nil {
			return err
		}
	}
	return nil
}

// play does everything that a ledger can do, with and without a fee collector.
func (w *world) play() {
	w.t.Helper()
	core, now := w.mem.Core(), w.subnet.NowNs()
	a, b, c := user(1), sub(user(1), 9), user(3)
	created := now
	memo := []byte("memo")
	fee, huge := nat(10), icrc.Amount{0, 0, 1}.Nat()
	must := func(ok bool, res any, err error) {
		w.t.Helper()
		if err != nil || !ok {
			w.t.Fatalf("%+v %v", res, err)
		}
	}
	round := func() {
		res, err := core.Transfer(now, w.mem.Minting.Owner, &icrc.TransferArg{To: a, Amount: huge, Memo: &memo})
		must(res.Ok != nil, res, err)
		res, err = core.Transfer(now, a.Owner, &icrc.TransferArg{To: b, Amount: nat(5000)})
		must(res.Ok != nil, res, err)
		res, err = core.Transfer(now, b.Owner, &icrc.TransferArg{FromSubaccount: b.Subaccount, To: c, Amount: nat(1000), Fee: &fee, Memo: &memo, CreatedAtTime: &created})
		must(res.Ok != nil, res, err)
		approved, err := core.Approve(now, a.Owner, &icrc.ApproveArgs{Spender: c, Amount: nat(9000), CreatedAtTime: &created})
		must(approved.Ok != nil, approved, err)
		taken, err := core.TransferFrom(now, c.Owner, &icrc.TransferFromArgs{From: a, To: b, Amount: nat(700), Fee: &fee})
		must(taken.Ok != nil, taken, err)
		taken, err = core.TransferFrom(now, c.Owner, &icrc.TransferFromArgs{From: a, To: w.mem.Minting, Amount: nat(300)})
		must(taken.Ok != nil, taken, err)
		res, err = core.Transfer(now, c.Owner, &icrc.TransferArg{To: w.mem.Minting, Amount: nat(100)})
		must(res.Ok != nil, res, err)
		res, err = core.Transfer(now, c.Owner, &icrc.TransferArg{To: c, Amount: nat(1)}) // to himself
		must(res.Ok != nil, res, err)
		created++
	}
	round()
	collector := sub(user(3), 0xfe)
	for _, set := range []*icrc.Account{&collector, &c, nil} { // c collects what it pays itself
		if err := core.Upgrade(&icrc.UpgradeArgs{ChangeFeeCollector: &icrc.ChangeFeeCollector{SetTo: set, Unset: unset(set)}}); err != nil {
			w.t.Fatal(err)
		}
		round()
		round()
	}
	w.mem.Certify()
}

func unset(set *icrc.Account) *candid.Null {
	if set == nil {
		return candid.Unit
	}
	return nil
}

// TestBooks: what the API shows of each block adds up to the balances that it gives and to those of the ledger.
func TestBooks(t *testing.T) {
	w := newWorld(t)
	status := &types.NetworkRequest{NetworkIdentifier: w.network()}
	w.sync()
	refused[types.NetworkStatusResponse](w, "/network/status", status, faultSyncing)
	w.play()
	refused[types.NetworkStatusResponse](w, "/network/status", status, faultSyncing) // it believes nothing that it has not read
	w.sync()
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	got := ask[types.NetworkStatusResponse](w, "/network/status", status)
	if tip := w.mem.Core().Tip(); got.CurrentBlockIdentifier.Hash != fmt.Sprintf("%x", tip) || !*got.SyncStatus.Synced {
		t.Fatalf("status: %+v, the tip is %x", got, tip)
	}
	for _, a := range []icrc.Account{user(1), sub(user(1), 9), user(3), sub(user(3), 0xfe), user(99), w.mem.Minting} {
		want, err := w.mem.Core().BalanceOf(a)
		if err != nil {
			t.Fatal(err)
		}
		b := ask[types.AccountBalanceResponse](w, "/account/balance", &types.AccountBalanceRequest{NetworkIdentifier: w.network(), AccountIdentifier: identify(a)})
		if b.Balances[0].Value != want.String() {
			t.Errorf("balance of %v: %s, the ledger says %s", identify(a), b.Balances[0].Value, want)
		}
	}
	// A restart goes on from the store.
	w.restart()
	if again := ask[types.NetworkStatusResponse](w, "/network/status", status); again.CurrentBlockIdentifier.Hash != got.CurrentBlockIdentifier.Hash {
		t.Fatalf("status after a restart: %+v", again)
	}
	w.sync()
	if err := w.reconcile(); err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	// A wrong balance does not pass unnoticed.
	key, _ := user(3).AppendKey(nil)
	var at uint64
	err := w.l.books.history(key, w.l.head.Load().Proven, func(index uint64, _ icrc.Amount) bool { at = index; return false })
	if err := errors.Join(err, w.s.db.Set(w.l.books.key(keyBalance, key, be(^at)), []byte{1}, nil)); err != nil {
		t.Fatal(err)
	}
	if err := w.reconcile(); err == nil {
		t.Fatal("a wrong balance was not found")
	}
}
