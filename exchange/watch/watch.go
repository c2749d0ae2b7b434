package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/exchange/reader"
	"fusion/ic/agent"
	"fusion/ic/principal"
)

// ErrConfig means that a watcher cannot be made of a Config.
var ErrConfig = errors.New("bad configuration of the watcher")

// FromNow starts a ledger at its tip of that moment.
const FromNow = uint64(math.MaxUint64)

// Config says what is watched and who is told. Agent, Dir, Ledgers, Accounts and one of Webhook, Deliver and Lines must be set.
type Config struct {
	// Agent reaches the network.
	Agent *agent.Agent
	// Dir is where the watcher keeps its state. It belongs to one watcher.
	Dir string
	// Ledgers are the ledgers that are read; any ICRC-3 ledger.
	Ledgers []principal.Principal
	// Accounts are whose payments are told of.
	Accounts Accounts
	// Types are the types of events that are told. The default is deposits; pending ones are added if Bitcoin is set.
	Types []string
	// Start is the block at which a ledger begins that Dir does not know yet: the default is the first one, FromNow is what comes next.
	Start uint64

	// Webhook posts events. Deliver hands them to a function instead: nil from it means that the event is booked. Lines writes them as
	// lines, each once per run of the watcher and again after a crash.
	Webhook *Webhook
	Deliver func(ctx context.Context, id string, event []byte) error
	Lines   io.Writer

	// Bitcoin, if set, also looks for deposits of bitcoin that are on their way, to the accounts of Accounts.Subaccounts and the default
	// one, and has those minted that have arrived. If withdrawals are told, it also tells how those of bitcoin go on.
	Bitcoin *Bitcoin

	// MaxQueue is how many events wait for the receiver at most before the watcher stops reading (it may be passed by a Window of the
	// reader). The default is 10,000.
	MaxQueue int
	// Concurrency is how many events are offered at once; the default is 4. With 1, events that no failure holds up come in order.
	Concurrency int
	// Backoff is the wait after the first failure of an event; it doubles up to 5 minutes. The default is a second.
	Backoff time.Duration
	// Interval is how often ledgers are looked at. The default is a second.
	Interval time.Duration
	// Window is how many blocks are read at once. The default is 1,000.
	Window int
	// Log hears of failures that are retried. The default is slog.Default.
	Log *slog.Logger

	fs    vfs.FS // the default is the disk's
	fault func(step string)
}

func (c *Config) ensureDefaults() error {
	if c.Agent == nil || c.Dir == "" || len(c.Ledgers) == 0 {
		return fmt.Errorf("%w: it needs an agent, a directory and a ledger", ErrConfig)
	}
	seen := map[principal.Principal]bool{}
	for _, l := range c.Ledgers {
		if seen[l] {
			return fmt.Errorf("%w: ledger %s twice", ErrConfig, l)
		}
		seen[l] = true
	}
	if len(c.Accounts.Prefix) > 32 {
		return fmt.Errorf("%w: a prefix of %d bytes, subaccounts have 32", ErrConfig, len(c.Accounts.Prefix))
	}
	n := 0
	for _, set := range []bool{c.Webhook != nil, c.Deliver != nil, c.Lines != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%w: want one of a webhook, a function and a writer, not %d", ErrConfig, n)
	}
	if len(c.Types) == 0 {
		c.Types = []string{Deposit}
	}
	if c.Bitcoin != nil {
		b := *c.Bitcoin
		if c.Bitcoin = &b; b.Interval <= 0 {
			c.Bitcoin.Interval = 10 * time.Second
		}
		if b.Concurrency <= 0 {
			c.Bitcoin.Concurrency = 48
		}
		c.Types = append(slices.Clone(c.Types), Pending)
		if slices.Contains(c.Types, Withdrawal) {
			c.Types = append(c.Types, Payout)
		}
	}
	for _, t := range c.Types {
		if t != Deposit && t != Withdrawal && t != Internal && t != Pending && t != Payout {
			return fmt.Errorf("%w: no events are of type %q", ErrConfig, t)
		}
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = 10_000
	}
	if c.Concurrency <= 0 {
		c.Concurrency = 4
	}
	if c.Backoff <= 0 {
		c.Backoff = time.Second
	}
	if c.Interval <= 0 {
		c.Interval = time.Second
	}
	if c.Window <= 0 {
		c.Window = 1000
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.fs == nil {
		c.fs = vfs.Default
	}
	return nil
}

// Watcher tells a receiver of payments.
type Watcher struct {
	cfg     Config
	types   map[string]bool
	store   *store
	queue   *queue
	deliver func(ctx context.Context, id string, event []byte) error
	metrics metrics
}

// New opens the watcher's state. Close it after Run.
func New(cfg Config) (*Watcher, error) {
	if err := cfg.ensureDefaults(); err != nil {
		return nil, err
	}
	w := &Watcher{cfg: cfg, types: map[string]bool{}, deliver: cfg.Deliver}
	for _, t := range cfg.Types {
		w.types[t] = true
	}
	switch {
	case cfg.Webhook != nil:
		var err error
		if w.deliver, err = cfg.Webhook.deliver(); err != nil {
			return nil, err
		}
	case cfg.Lines != nil:
		w.cfg.Concurrency = 1
		w.deliver = func(_ context.Context, _ string, event []byte) error {
			_, err := cfg.Lines.Write(append(event[:len(event):len(event)], '\n'))
			return err
		}
	}
	var err error
	if w.store, err = openStore(cfg.Dir, cfg.fs); err != nil {
		return nil, err
	}
	items, err := w.store.queue()
	if err != nil {
		return nil, errors.Join(err, w.store.close())
	}
	w.queue = newQueue(w, items)
	w.metrics.init(w)
	return w, nil
}

// Close closes the state. Run must have returned.
func (w *Watcher) Close() error { return w.store.close() }

func (w *Watcher) fault(step string) {
	if w.cfg.fault != nil {
		w.cfg.fault(step)
	}
}

// Run watches until ctx ends, whose error it then returns, or until something happens that waiting does not heal: the disk fails, the
// state is another's (ErrOther), or a ledger contradicts what it has certified before (reader.ErrFork). It runs once.
func (w *Watcher) Run(ctx context.Context) error {
	var key []byte
	if err := w.retry(ctx, "asking for the root key", func() (err error) {
		key, err = w.cfg.Agent.RootKey(ctx)
		return err
	}); err != nil {
		return err
	}
	if err := w.store.claim(key, w.cfg.Accounts.Owner); err != nil {
		return fmt.Errorf("%s: %w", w.cfg.Dir, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(do func(context.Context) error) {
		wg.Go(func() { cancel(do(ctx)) })
	}
	start(w.queue.run)
	for _, ledger := range w.cfg.Ledgers {
		start(func(ctx context.Context) error { return w.follow(ctx, ledger) })
	}
	if w.cfg.Bitcoin != nil {
		start(w.bitcoin)
	}
	wg.Wait()
	return context.Cause(ctx)
}

// retry does something until it succeeds or ctx ends.
func (w *Watcher) retry(ctx context.Context, what string, do func() error) error {
	for wait := w.cfg.Interval; ; wait = min(2*wait, 30*time.Second) {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.cfg.Log.Warn(what+" failed; trying again", "wait", wait, "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow reads a ledger and queues what happens in its blocks.
func (w *Watcher) follow(ctx context.Context, ledger principal.Principal) error {
	var r *reader.Reader
	var token reader.Token
	c, known, err := w.store.cursor(ledger)
	if err != nil {
		return err
	}
	if err := w.retry(ctx, "opening ledger "+ledger.String(), func() (err error) {
		if r, err = reader.Open(ctx, w.cfg.Agent, ledger); err != nil {
			return err
		}
		if token, err = r.Metadata(ctx); err != nil || known {
			return err
		}
		switch w.cfg.Start {
		case 0:
			return nil
		case FromNow:
			tip, err := r.Tip(ctx)
			if errors.Is(err, reader.ErrEmpty) {
				return nil
			}
			c = tip.After()
			return err
		}
		c, err = r.At(ctx, w.cfg.Start)
		return err
	}); err != nil {
		return err
	}
	if !known { // or a crash before the first block would start later than asked
		if _, err := w.store.put(nil, func(b *pebble.Batch) error { return setCursor(b, ledger, c) }); err != nil {
			return err
		}
	}
	w.metrics.read[ledger].Store(c.Index)
	r.Interval, r.Window, r.Log = w.cfg.Interval, w.cfg.Window, w.cfg.Log
	return r.Follow(ctx, c, func(blocks []reader.Block) error {
		if err := w.queue.room(ctx); err != nil {
			return err
		}
		w.fault("read")
		var events [][]byte
		payouts := map[uint64][]byte{}
		for i := range blocks {
			e := w.cfg.Accounts.eventOf(ledger, &token, &blocks[i])
			if e == nil || !w.types[e.Type] {
				continue
			}
			raw, err := json.Marshal(e)
			if err != nil {
				return err
			}
			events = append(events, raw)
			if w.types[Payout] && ledger == w.cfg.Bitcoin.Ledger && e.Type == Withdrawal && e.Kind == "burn" {
				if payouts[blocks[i].Index], err = json.Marshal(w.payoutOf(e)); err != nil {
					return err
				}
			}
		}
		next := blocks[len(blocks)-1].After()
		items, err := w.store.put(events, func(b *pebble.Batch) error {
			for n, raw := range payouts {
				if err := b.Set(payoutKey(w.cfg.Bitcoin.Minter, n), raw, nil); err != nil {
					return err
				}
			}
			return setCursor(b, ledger, next)
		})
		if err != nil {
			return err
		}
		w.metrics.read[ledger].Store(next.Index)
		w.fault("stored")
		w.queue.add(items)
		return nil
	})
}
