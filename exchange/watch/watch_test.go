package watch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/btc"
	ckminter "fusion/ckledger/ckbtc"
	ckbtc "fusion/ckledger/ckbtc/core"
	"fusion/ckledger/icrc"
	"fusion/exchange/reader"
	"fusion/exchange/watch"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/http/httpmem"
	"fusion/testnets/ledgermem"
)

var (
	ledgerID = principal.FromUint64(7)
	us       = principal.MustFromBytes([]byte("exchange"))
	them     = principal.MustFromBytes([]byte("somebody"))
	quiet    = slog.New(slog.NewTextHandler(io.Discard, nil))
)

func sub(i int) [32]byte { return [32]byte{30: byte(i >> 8), 31: byte(i)} }

func account(owner principal.Principal, i int) icrc.Account {
	if i == 0 {
		return icrc.Account{Owner: owner}
	}
	s := sub(i)
	b := s[:]
	return icrc.Account{Owner: owner, Subaccount: &b}
}

func secrets(t testing.TB, texts ...string) (out []watch.Secret) {
	t.Helper()
	for _, text := range texts {
		s, err := watch.ParseSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLasB"

// until waits for a condition, or for the end of ctx.
func until(ctx context.Context, done func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// receiver is an exchange's end of the webhook: it checks signatures and books each ID once.
type receiver struct {
	*httptest.Server
	t       testing.TB
	secrets []watch.Secret
	refuse  func(e watch.Event, attempt int) bool

	mu       sync.Mutex
	attempts map[string]int
	bodies   map[string]string
	booked   map[string]watch.Event
	news     chan struct{}
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t, secrets: secrets(t, secret), attempts: map[string]int{}, bodies: map[string]string{}, booked: map[string]watch.Event{}, news: make(chan struct{}, 1)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the watcher went away
	}
	if err := watch.Verify(r.secrets, req.Header, body, time.Now()); err != nil {
		r.t.Errorf("a webhook: %v", err)
	}
	var e watch.Event
	if err := json.Unmarshal(body, &e); err != nil || e.ID != req.Header.Get(watch.HeaderID) {
		r.t.Errorf("event %q: %v", body, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts[e.ID]++
	if was, again := r.bodies[e.ID]; again && was != string(body) {
		r.t.Errorf("%s was\n%s\nand is\n%s", e.ID, was, body)
	}
	r.bodies[e.ID] = string(body)
	if r.refuse != nil && r.refuse(e, r.attempts[e.ID]) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.booked[e.ID] = e
	select {
	case r.news <- struct{}{}:
	default:
	}
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.booked)
}

// wait waits until n events are booked or ctx ends.
func (r *receiver) wait(ctx context.Context, n int) {
	for r.count() < n {
		select {
		case <-r.news:
		case <-ctx.Done():
			return
		}
	}
}

type world struct {
	*ledgermem.Subnet
	ledger *ledgermem.Ledger
	r      *receiver
}

func newWorld(t testing.TB) *world {
	s := ledgermem.NewSubnet(1)
	t.Cleanup(s.Close)
	return &world{s, s.NewLedger(ledgerID), newReceiver(t)}
}

func (w *world) config() watch.Config {
	return watch.Config{Agent: w.Agent(identity.Anonymous{}), Dir: "watch", Ledgers: []principal.Principal{ledgerID}, Accounts: watch.Accounts{Owner: us},
		Webhook: &watch.Webhook{URL: w.r.URL + "/hook", Secrets: w.r.secrets}, Interval: time.Millisecond, Backoff: time.Millisecond, Window: 4, Log: quiet}
}

// run watches until stop returns.
func run(t testing.TB, cfg watch.Config, stop func(ctx context.Context, w *watch.Watcher)) error {
	t.Helper()
	w, err := watch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- w.Run(ctx)
		cancel()
	}()
	stop(ctx, w)
	cancel()
	err = <-done
	if e := w.Close(); e != nil {
		t.Fatal(e)
	}
	return err
}

func (w *world) move(from, to icrc.Account, amount uint64) uint64 {
	return w.ledger.Transfer(from.Owner, icrc.TransferArg{FromSubaccount: from.Subaccount, To: to, Amount: candid.NatFromUint64(amount)})
}

// Whatever the step at which the watcher is killed, each payment is booked once, with its amount, and nothing else is.
func TestCrashes(t *testing.T) {
	w := newWorld(t)
	want := map[string]string{}
	for i := range 40 {
		switch i % 4 {
		case 3: // not ours
			w.ledger.Mint(account(them, 0), 1000)
		case 2:
			n := w.move(account(them, 0), account(us, i), uint64(200+i))
			want[fmt.Sprintf("%s/%d", ledgerID, n)] = fmt.Sprint(200 + i)
		default:
			n := w.ledger.Mint(account(us, i), uint64(100+i))
			want[fmt.Sprintf("%s/%d", ledgerID, n)] = fmt.Sprint(100 + i)
			w.ledger.Mint(account(them, 0), 1000)
		}
	}
	var rmu sync.Mutex
	rng := rand.New(rand.NewPCG(6, 2026))
	chance := func(n int) bool {
		rmu.Lock()
		defer rmu.Unlock()
		return rng.IntN(n) == 0
	}
	w.r.refuse = func(watch.Event, int) bool { return chance(4) }
	disk := vfs.NewCrashableMem()
	crashed := map[string]int{}
	crashes := 0
	client := w.Agent(identity.Anonymous{})
	for w.r.count() < len(want) {
		cfg := w.config()
		cfg.Agent = client
		var mu sync.Mutex
		var image *vfs.MemFS
		steps, at := 0, 1+crashes%7
		var stop context.CancelFunc
		cfg.OnDisk(disk, func(step string) {
			mu.Lock()
			defer mu.Unlock()
			if steps++; steps == at {
				image = disk.CrashClone(vfs.CrashCloneCfg{})
				crashed[step]++
				stop()
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		stop = cancel
		err := run(t, cfg, func(_ context.Context, _ *watch.Watcher) { w.r.wait(ctx, len(want)) })
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		mu.Lock()
		if image != nil { // what was written after the crash never was
			disk = image
			crashes++
		}
		mu.Unlock()
		cancel()
	}
	for _, step := range []string{"read", "stored", "deliver", "delivered", "removed"} {
		if crashed[step] == 0 {
			t.Errorf("no crash at %q: %v", step, crashed)
		}
	}
	w.r.refuse = nil
	cfg := w.config()
	cfg.OnDisk(disk, nil)
	if err := run(t, cfg, func(ctx context.Context, x *watch.Watcher) {
		w.r.wait(ctx, len(want))
		until(ctx, func() bool { // the disk says so too
			c, _, err := x.Cursor(ledgerID)
			return err != nil || c.Index == w.ledger.Core().Blocks() && x.Queued() == 0
		})
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for id, amount := range want {
		if got := w.r.booked[id]; got.Amount != amount || got.Type != watch.Deposit {
			t.Errorf("%s: %+v, want %s", id, got, amount)
		}
	}
	if len(w.r.booked) != len(want) || len(w.r.bodies) != len(want) {
		t.Errorf("%d booked, %d offered, want %d", len(w.r.booked), len(w.r.bodies), len(want))
	}
	if crashes < 10 {
		t.Errorf("only %d crashes: %v", crashes, crashed)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	op := btc.Outpoint{Txid: btc.Hash{1, 2, 3}, Vout: 5}
	memo := ckbtc.DepositMemo(op, 100)
	w.ledger.Transfer(w.ledger.Minting.Owner, icrc.TransferArg{To: account(us, 1), Amount: candid.NatFromUint64(5000), Memo: &memo}) // 0
	w.move(account(us, 1), account(us, 0), 3000)                                                                                     // 1: a sweep
	w.move(account(us, 0), account(them, 0), 700)                                                                                    // 2
	w.move(account(us, 0), w.ledger.Minting, 600)                                                                                    // 3: a burn
	w.move(account(them, 0), account(us, 0x0102), 50)                                                                                // 4
	w.ledger.Mint(account(us, 2), 1)                                                                                                 // 5
	for name, c := range map[string]struct {
		types []string
		in    watch.Accounts
		start uint64
		want  string
	}{
		"deposits":       {nil, watch.Accounts{Owner: us}, 0, "0 deposit 5000, 4 deposit 50, 5 deposit 1"},
		"all":            {[]string{watch.Deposit, watch.Withdrawal, watch.Internal}, watch.Accounts{Owner: us}, 0, "0 deposit 5000, 1 internal 3000, 2 withdrawal 700, 3 withdrawal 600, 4 deposit 50, 5 deposit 1"},
		"from a block":   {nil, watch.Accounts{Owner: us}, 1, "4 deposit 50, 5 deposit 1"},
		"by prefix":      {nil, watch.Accounts{Owner: us, Prefix: make([]byte, 31)}, 0, "0 deposit 5000, 5 deposit 1"},
		"by subaccounts": {nil, watch.Accounts{Owner: us, Subaccounts: map[[32]byte]bool{sub(0x0102): true, sub(2): true}}, 0, "4 deposit 50, 5 deposit 1"},
	} {
		if name == "by prefix" {
			c.in.Prefix = make([]byte, 31) // but not 0x0102
		}
		var lines lockedBuffer
		cfg := w.config()
		cfg.OnDisk(vfs.NewMem(), nil)
		cfg.Webhook, cfg.Lines, cfg.Types, cfg.Accounts, cfg.Start = nil, &lines, c.types, c.in, c.start
		if err := run(t, cfg, func(ctx context.Context, x *watch.Watcher) {
			until(ctx, func() bool {
				at, _, err := x.Cursor(ledgerID)
				return err != nil || at.Index == 6 && strings.Count(lines.String(), "\n") > strings.Count(c.want, ",")
			})
		}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(lines.String()) {
			var e watch.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%d %s %s", *e.Block, e.Type, e.Amount))
			if *e.Block == 0 && !reflect.DeepEqual(e.Source, &watch.Source{Chain: "bitcoin", Transaction: op.Txid.String(), Index: new(uint64(5))}) {
				t.Errorf("source of a mint: %+v", e.Source)
			}
			if e.Symbol != "ckTEST" || *e.Decimals != 8 || e.Time != "2027-01-15T08:00:00Z" || len(e.Hash) != 64 {
				t.Errorf("event: %s", line)
			}
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
}

// An event that is never taken holds up no other, and the receiver's refusal reaches the log without the address's token.
func TestOneEventIsNeverTaken(t *testing.T) {
	w := newWorld(t)
	for i := range 12 {
		w.ledger.Mint(account(us, i), uint64(i+1))
	}
	w.r.refuse = func(e watch.Event, _ int) bool { return e.Amount == "3" }
	var log lockedBuffer
	cfg := w.config()
	cfg.OnDisk(vfs.NewMem(), nil)
	cfg.Webhook.URL += "?token=hunter2"
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	if err := run(t, cfg, func(ctx context.Context, x *watch.Watcher) {
		w.r.wait(ctx, 11)
		until(ctx, func() bool { return strings.Contains(log.String(), "status 503") })
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if w.r.count() != 11 {
		t.Errorf("%d events", w.r.count())
	}
	if s := log.String(); !strings.Contains(s, "status 503") || strings.Contains(s, "hunter2") || strings.Contains(s, "MfKQ") {
		t.Errorf("log: %s", s)
	}
}

// While the receiver is away, reading pauses when the queue is full; then everything comes.
func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.ledger.Mint(account(us, i), uint64(i+1))
	}
	var mu sync.Mutex
	away := true
	w.r.refuse = func(watch.Event, int) bool {
		mu.Lock()
		defer mu.Unlock()
		return away
	}
	cfg := w.config()
	cfg.OnDisk(vfs.NewMem(), nil)
	cfg.MaxQueue = 6
	if err := run(t, cfg, func(ctx context.Context, x *watch.Watcher) {
		until(ctx, func() bool { return x.Queued() >= 8 }) // two windows of four
		until(ctx, func() bool {                           // some tries of the receiver, during which nothing more is read
			w.r.mu.Lock()
			tries := 0
			for _, n := range w.r.attempts {
				tries += n
			}
			w.r.mu.Unlock()
			if c, _, err := x.Cursor(ledgerID); ctx.Err() == nil && (err != nil || x.Queued() != 8 || c.Index != 8) {
				t.Fatalf("%d queued, read up to %d, %v", x.Queued(), c.Index, err)
			}
			return tries >= 8
		})
		mu.Lock()
		away = false
		mu.Unlock()
		w.r.wait(ctx, 40)
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if w.r.count() != 40 {
		t.Errorf("%d events", w.r.count())
	}
}

// A deposit of bitcoin is told of from the mempool on, each status once, and minted when it has arrived.
func TestBitcoin(t *testing.T) {
	w := newWorld(t)
	minter := principal.FromUint64(9)
	confirming := func(n uint32) ckminter.DepositState {
		return ckminter.DepositState{Confirming: &ckminter.Confirming{Confirmations: n, Required: 3}}
	}
	script := []ckminter.DepositState{{Mempool: candid.Unit}, {Mempool: candid.Unit}, confirming(1), confirming(1), confirming(2), {Confirmed: candid.Unit}}
	var mu sync.Mutex
	asked, update := 0, make(chan bool, 1)
	minted := false
	w.Install(minter, &httpmem.Canister{
		Query: func(_ principal.Principal, method string, arg []byte) ([]byte, error) {
			var a ckminter.AddressArgs
			if err := candid.Unmarshal(arg, &a); err != nil || method != "get_deposit_status" || *a.Owner != us {
				t.Errorf("%s of %v: %v", method, a, err)
			}
			if (*a.Subaccount)[31] != 1 {
				return candid.Marshal([]ckminter.DepositStatus{})
			}
			mu.Lock()
			defer mu.Unlock()
			st := script[min(asked, len(script)-1)]
			asked++
			if minted {
				st = ckminter.DepositState{Minted: &ckminter.Mint{BlockIndex: 0, MintedAmount: 500}}
			}
			return candid.Marshal([]ckminter.DepositStatus{{Outpoint: ckminter.Outpoint{Txid: make([]byte, 32), Vout: 3}, Value: 500,
				AddressType: ckminter.AddressType{P2WPKH: candid.Unit}, Status: st}})
		},
		Update: func(_ principal.Principal, method string, _ []byte) ([]byte, error) {
			select {
			case update <- true:
			default:
			}
			return candid.Marshal(ckminter.UpdateBalanceResult{Ok: &[]ckminter.UtxoStatus{}})
		}})
	cfg := w.config()
	cfg.OnDisk(vfs.NewMem(), nil)
	cfg.Accounts.Subaccounts = map[[32]byte]bool{sub(1): true}
	cfg.Bitcoin = &watch.Bitcoin{Minter: minter, Interval: time.Millisecond}
	if err := run(t, cfg, func(ctx context.Context, _ *watch.Watcher) {
		select {
		case <-update:
		case <-ctx.Done():
			return
		}
		w.ledger.Mint(account(us, 1), 500)
		mu.Lock()
		minted = true
		mu.Unlock()
		w.r.wait(ctx, 5)
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	out := minter.String() + "/" + btc.Outpoint{Vout: 3}.String()
	for _, id := range []string{out + "/mempool", out + "/confirming/1", out + "/confirming/2", out + "/confirmed"} {
		if e := w.r.booked[id]; e.Type != watch.Pending || e.Amount != "500" || e.To == nil || e.Source.Index == nil || *e.Source.Index != 3 {
			t.Errorf("%s: %+v", id, e)
		}
	}
	if e := w.r.booked[ledgerID.String()+"/0"]; e.Type != watch.Deposit || len(w.r.booked) != 5 {
		t.Errorf("deposit %+v of %d events", e, len(w.r.booked))
	}
}

// Between two looks the watcher rests for the interval.
func TestBitcoinRests(t *testing.T) {
	w := newWorld(t)
	minter := principal.FromUint64(9)
	var asked atomic.Int64
	w.Install(minter, &httpmem.Canister{Query: func(principal.Principal, string, []byte) ([]byte, error) {
		asked.Add(1)
		return candid.Marshal([]ckminter.DepositStatus{})
	}})
	cfg := w.config()
	cfg.OnDisk(vfs.NewMem(), nil)
	cfg.Bitcoin = &watch.Bitcoin{Minter: minter, Interval: time.Hour}
	w.ledger.Mint(account(us, 1), 1)
	if err := run(t, cfg, func(ctx context.Context, _ *watch.Watcher) {
		w.r.wait(ctx, 1)
		for i := 2; i < 12 && ctx.Err() == nil; i++ { // time in which it would have looked again
			w.ledger.Mint(account(us, 1), 1)
			w.r.wait(ctx, i)
		}
		until(ctx, func() bool { return asked.Load() > 0 })
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the default account was asked about %d times", n)
	}
}

func TestFromNowAndFork(t *testing.T) {
	w := newWorld(t)
	w.ledger.Mint(account(us, 1), 1)
	cfg := w.config()
	fs := vfs.NewMem()
	cfg.OnDisk(fs, nil)
	cfg.Start = watch.FromNow
	if err := run(t, cfg, func(ctx context.Context, x *watch.Watcher) {
		until(ctx, func() bool {
			c, found, err := x.Cursor(ledgerID)
			return err != nil || found && c.Index == 1
		})
		w.ledger.Mint(account(us, 1), 2)
		w.r.wait(ctx, 1)
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if w.r.count() != 1 {
		t.Errorf("%d events", w.r.count())
	}
	x, err := watch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.New(cfg); err == nil {
		t.Error("two watchers of one state")
	}
	if err := x.SetCursor(ledgerID, reader.Cursor{Index: 1, Hash: [32]byte{1}}); err != nil {
		t.Fatal(err)
	}
	if err := x.Run(t.Context()); !errors.Is(err, reader.ErrFork) {
		t.Errorf("a ledger that contradicts the cursor: %v", err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConfigRefused(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*watch.Config){
		"no agent":          func(c *watch.Config) { c.Agent = nil },
		"no directory":      func(c *watch.Config) { c.Dir = "" },
		"no ledger":         func(c *watch.Config) { c.Ledgers = nil },
		"a ledger twice":    func(c *watch.Config) { c.Ledgers = append(c.Ledgers, ledgerID) },
		"no receiver":       func(c *watch.Config) { c.Webhook = nil },
		"two receivers":     func(c *watch.Config) { c.Lines = io.Discard },
		"unknown type":      func(c *watch.Config) { c.Types = []string{"refund"} },
		"a long prefix":     func(c *watch.Config) { c.Accounts.Prefix = make([]byte, 33) },
		"plain http":        func(c *watch.Config) { c.Webhook.URL = "http://example.com/" },
		"another scheme":    func(c *watch.Config) { c.Webhook.URL = "file:///etc/passwd" },
		"no host":           func(c *watch.Config) { c.Webhook.URL = "https:///hook" },
		"a user":            func(c *watch.Config) { c.Webhook.URL = "https://me@example.com/" },
		"metadata service":  func(c *watch.Config) { c.Webhook.URL = "https://169.254.169.254/latest" },
		"the same, mapped":  func(c *watch.Config) { c.Webhook.URL = "https://[::ffff:169.254.169.254]/latest" },
		"a group":           func(c *watch.Config) { c.Webhook.URL = "https://224.0.0.1/" },
		"no secret":         func(c *watch.Config) { c.Webhook.Secrets = nil },
		"too many secrets":  func(c *watch.Config) { c.Webhook.Secrets = make([]watch.Secret, 5) },
		"unspecified host":  func(c *watch.Config) { c.Webhook.URL = "https://0.0.0.0/" },
		"link-local by v6":  func(c *watch.Config) { c.Webhook.URL = "https://[fe80::1]/" },
		"http on somewhere": func(c *watch.Config) { c.Webhook.URL = "http://10.0.0.1/" },
	} {
		cfg := w.config()
		cfg.OnDisk(vfs.NewMem(), nil)
		change(&cfg)
		if x, err := watch.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
			_ = x.Close()
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	w := newWorld(t)
	w.ledger.Mint(account(us, 1), 1)
	var mu sync.Mutex
	hits := 0
	away := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if hits++; hits < 3 {
			http.Redirect(rw, r, w.r.URL+"/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		w.r.news <- struct{}{}
	}))
	defer away.Close()
	cfg := w.config()
	cfg.OnDisk(vfs.NewMem(), nil)
	cfg.Webhook.URL = away.URL
	if err := run(t, cfg, func(ctx context.Context, _ *watch.Watcher) {
		select {
		case <-w.r.news:
		case <-ctx.Done():
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if hits != 3 || w.r.count() != 0 {
		t.Errorf("%d attempts, %d elsewhere", hits, w.r.count())
	}
}

// The example of the Standard Webhooks specification.
func TestSignature(t *testing.T) {
	const id, ts, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`
	keys := secrets(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	sig := watch.Sign(keys, id, ts, []byte(body))
	if sig != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature %s", sig)
	}
	header := func(id, ts, sig string) http.Header {
		h := http.Header{}
		h.Set(watch.HeaderID, id)
		h.Set(watch.HeaderTimestamp, ts)
		h.Set(watch.HeaderSignature, sig)
		return h
	}
	now := time.Unix(1614265330, 0)
	if err := watch.Verify(keys, header(id, ts, "v2,AAAA "+sig), []byte(body), now.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	both := secrets(t, secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err := watch.Verify(keys, header(id, ts, watch.Sign(both, id, ts, []byte(body))), []byte(body), now); err != nil {
		t.Errorf("a new secret beside the old: %v", err)
	}
	for name, err := range map[string]error{
		"another body":   watch.Verify(keys, header(id, ts, sig), []byte(body+" "), now),
		"another id":     watch.Verify(keys, header(id+"x", ts, sig), []byte(body), now),
		"another time":   watch.Verify(keys, header(id, "1614265331", sig), []byte(body), now),
		"an old attempt": watch.Verify(keys, header(id, ts, sig), []byte(body), now.Add(time.Hour)),
		"of the future":  watch.Verify(keys, header(id, ts, sig), []byte(body), now.Add(-time.Hour)),
		"no signature":   watch.Verify(keys, header(id, ts, ""), []byte(body), now),
		"another secret": watch.Verify(secrets(t, secret), header(id, ts, sig), []byte(body), now),
		"no secret":      watch.Verify(nil, header(id, ts, sig), []byte(body), now),
	} {
		if !errors.Is(err, watch.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if list, err := watch.ReadSecrets(write("two", secret+"\n"+secret+"\n", 0o600)); err != nil || len(list) != 2 {
		t.Errorf("two secrets: %v %v", list, err)
	} else if s := fmt.Sprintf("%v %+v %#v %s", list[0], list[0], list[0], list); strings.Contains(s, "MfKQ") || strings.Contains(s, "49") {
		t.Errorf("a secret shows: %s", s)
	}
	for name, path := range map[string]string{
		"readable by others": write("open", secret, 0o644), "empty": write("empty", "", 0o600), "short": write("short", "whsec_AAAA", 0o600),
		"no prefix": write("plain", secret[6:], 0o600), "missing": filepath.Join(dir, "missing"), "many": write("many", strings.Repeat(secret+"\n", 5), 0o600),
	} {
		if _, err := watch.ReadSecrets(path); !errors.Is(err, watch.ErrSecret) || strings.Contains(err.Error(), "MfKQ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVerify: no header makes a webhook without the secret pass, and none breaks the receiver.
func FuzzVerify(f *testing.F) {
	keys := secrets(f, secret)
	f.Add("id", "1614265330", watch.Sign(keys, "id", "1614265330", []byte("{}")), []byte("{}"))
	f.Add("id", "", "v1,", []byte{})
	f.Fuzz(func(t *testing.T, id, ts, sig string, body []byte) {
		h := http.Header{watch.HeaderID: {id}, watch.HeaderTimestamp: {ts}, watch.HeaderSignature: {sig}}
		if err := watch.Verify(keys, h, body, time.Unix(1614265330, 0)); err == nil && !strings.Contains(sig, watch.Sign(keys, id, ts, body)) {
			t.Fatalf("accepted: %q %q %q %q", id, ts, sig, body)
		}
	})
}
