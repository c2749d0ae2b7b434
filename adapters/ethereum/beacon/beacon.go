package beacon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/beacon/light"
	"github.com/ethereum/go-ethereum/beacon/params"
	"github.com/ethereum/go-ethereum/beacon/types"
	"github.com/ethereum/go-ethereum/ethdb"
	"github.com/ethereum/go-ethereum/ethdb/leveldb"
	"github.com/ethereum/go-ethereum/ethdb/memorydb"

	"fusion/adapters/ethereum"
	"fusion/eth"
)

// Errors; test with errors.Is. ethereum.ErrStale is what Finalized fails with.
var (
	ErrConfig  = errors.New("the beacon light client's configuration does not hold")
	ErrInvalid = errors.New("what a beacon node says does not hold")
)

// Networks are the chains that a light client can follow, by the execution layer's chain id.
var networks = map[uint64]*params.ChainConfig{1: params.MainnetLightConfig, 11155111: params.SepoliaLightConfig, 560048: params.HoodiLightConfig}

const (
	slotTime     = 12 * time.Second // consensus specification, SECONDS_PER_SLOT
	updatesAtOne = 8                // updates in one request
)

// Config of a Light.
type Config struct {
	// ChainID is 1 (mainnet), 11155111 (Sepolia) or 560048 (Hoodi).
	ChainID uint64
	// Checkpoint is the root of a recent finalised beacon block, from a source that the operator trusts. It is what everything else follows from, and
	// should not be older than the weak subjectivity period, about two weeks.
	Checkpoint eth.Hash
	// Nodes are asked in turn; one honest one is enough.
	Nodes []API
	// Dir keeps what was verified over restarts. The default is memory.
	Dir string
	// MaxAge is when the newest finalised block is too old to go by. The default is an hour; a healthy chain is 13 to 20 minutes behind.
	MaxAge time.Duration
	// Interval is how often Run asks. The default is a minute.
	Interval time.Duration
	Log      *slog.Logger     // the default discards
	Now      func() time.Time // the default is time.Now
}

// Stats are for metrics.
type Stats struct {
	Number  uint64 // of the finalised execution block; 0 before the first
	Slot    uint64 // of the finalised beacon block
	Age     time.Duration
	Stale   bool
	Periods uint64 // of sync committees that are known, up to this one
	Failed  uint64 // answers of nodes that were refused
}

// Light is a light client of the beacon chain. It may be used from many goroutines.
type Light struct {
	cfg    Config
	config *params.ChainConfig
	db     ethdb.KeyValueStore
	chain  *light.CommitteeChain

	syncing sync.Mutex
	turn    int

	mu     sync.Mutex
	newest *finality
	failed uint64
	warned bool
}

var (
	checkpointKey = []byte("fusion-checkpoint")
	finalityKey   = []byte("fusion-finality")
)

// New opens a light client; Sync brings it up to date.
func New(cfg Config) (*Light, error) {
	if cfg.MaxAge <= 0 {
		cfg.MaxAge = time.Hour
	}
	if cfg.Interval <= 0 {
		cfg.Interval = time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Light{cfg: cfg, config: networks[cfg.ChainID]}
	switch {
	case l.config == nil:
		return nil, fmt.Errorf("%w: chain %d has no beacon chain that this release knows", ErrConfig, cfg.ChainID)
	case cfg.Checkpoint == (eth.Hash{}):
		return nil, fmt.Errorf("%w: no checkpoint: take the root of a finalised block from a beacon node that you trust", ErrConfig)
	case len(cfg.Nodes) == 0:
		return nil, fmt.Errorf("%w: no beacon node", ErrConfig)
	}
	l.db = memorydb.New()
	if cfg.Dir != "" {
		db, err := leveldb.New(cfg.Dir, 16, 16, "", false)
		if err != nil {
			return nil, fmt.Errorf("beacon light client: %w", err)
		}
		l.db = db
	}
	l.chain = light.NewCommitteeChain(l.db, l.config, params.SyncCommitteeSupermajority, true)
	if old, err := l.db.Get(checkpointKey); err == nil && string(old) != string(cfg.Checkpoint[:]) {
		// The operator has chosen another one. What is known may not follow from it.
		l.chain.Reset()
		_ = l.db.Delete(finalityKey)
	} else if body, err := l.db.Get(finalityKey); err == nil {
		if f, err := decodeFinality(l.config, body); err == nil && l.verify(f) == nil {
			l.newest = f
		}
	}
	return l, nil
}

// Close ends the light client. Nothing may be called afterwards.
func (l *Light) Close() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	for _, n := range l.cfg.Nodes {
		if n, ok := n.(*node); ok {
			n.close()
		}
	}
	return l.db.Close()
}

// Run keeps the light client up to date until the context ends.
func (l *Light) Run(ctx context.Context) {
	for {
		if err := l.Sync(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Log.Warn("the beacon light client does not get on", "err", err)
		}
		l.alarm()
		// A tenth of jitter, so that replicas do not ask all at once.
		timer := time.NewTimer(l.cfg.Interval + time.Duration(rand.Float64()*0.1*float64(l.cfg.Interval)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// alarm says once when finality becomes stale, and once when it is back.
func (l *Light) alarm() {
	_, err := l.Finalized(context.Background())
	stale := errors.Is(err, ethereum.ErrStale)
	l.mu.Lock()
	changed := stale != l.warned
	l.warned = stale
	l.mu.Unlock()
	switch {
	case changed && stale:
		l.cfg.Log.Error("the beacon chain's finality is stale: nothing is taken for final until it advances", "err", err)
	case changed:
		l.cfg.Log.Info("the beacon chain's finality advances again")
	}
}

// Sync asks all nodes for their newest finality update and takes the newest that holds. It fails if no node could be asked or none said what holds.
func (l *Light) Sync(ctx context.Context) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	var failed []error
	good := false
	l.turn++
	for i := range l.cfg.Nodes {
		n := l.cfg.Nodes[(l.turn+i)%len(l.cfg.Nodes)]
		if err := l.follow(ctx, n); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", n, err))
			l.mu.Lock()
			l.failed++
			l.mu.Unlock()
			continue
		}
		good = true
	}
	if good {
		if len(failed) > 0 {
			l.cfg.Log.Debug("a beacon node's answer is refused", "err", errors.Join(failed...))
		}
		return nil
	}
	return errors.Join(failed...)
}

// follow takes what one node has.
func (l *Light) follow(ctx context.Context, n API) error {
	if err := l.start(ctx, n); err != nil {
		return err
	}
	body, err := n.Finality(ctx)
	if err != nil {
		return err
	}
	f, err := decodeFinality(l.config, body)
	if err != nil {
		return err
	}
	l.mu.Lock()
	known := l.newest
	l.mu.Unlock()
	if known != nil && f.slot <= known.slot {
		return nil // not newer: another node may have it
	}
	if now := l.slot(); f.signed.SignatureSlot > now+1 {
		return fmt.Errorf("%w: a finality update signed at slot %d, which comes after %d", ErrInvalid, f.signed.SignatureSlot, now)
	}
	if err := l.committees(ctx, n, types.SyncPeriod(f.signed.SignatureSlot)); err != nil {
		return err
	}
	if err := l.verify(f); err != nil {
		return err
	}
	l.mu.Lock()
	l.newest = f
	l.mu.Unlock()
	l.cfg.Log.Debug("the beacon chain has finalised", "slot", f.slot, "block", f.finalized.Number, "hash", f.finalized.Hash)
	return l.db.Put(finalityKey, body)
}

// slot is that of the present.
func (l *Light) slot() uint64 {
	return uint64(max(l.cfg.Now().Sub(time.Unix(int64(l.config.GenesisTime), 0)), 0) / slotTime)
}

// start begins at the checkpoint, once.
func (l *Light) start(ctx context.Context, n API) error {
	if _, begun := l.chain.NextSyncPeriod(); begun {
		return nil
	}
	body, err := n.Bootstrap(ctx, l.cfg.Checkpoint)
	if err != nil {
		return err
	}
	b, err := decodeBootstrap(l.config, body, l.cfg.Checkpoint)
	if err != nil {
		return err
	}
	if err := l.chain.CheckpointInit(*b); err != nil {
		return fmt.Errorf("%w: bootstrap: %v", ErrInvalid, err)
	}
	return l.db.Put(checkpointKey, l.cfg.Checkpoint[:])
}

// committees follows the sync committees up to the one of a period.
func (l *Light) committees(ctx context.Context, n API, period uint64) error {
	for {
		next, _ := l.chain.NextSyncPeriod()
		if next >= period { // the update of a period leads to the committee of the next
			return nil
		}
		count := min(period-next, updatesAtOne)
		body, err := n.Updates(ctx, next, count)
		if err != nil {
			return err
		}
		updates, err := decodeUpdates(l.config, body, next, count)
		if err != nil {
			return err
		}
		for _, u := range updates {
			if err := l.chain.InsertUpdate(&u.LightClientUpdate, &u.next); err != nil {
				return fmt.Errorf("%w: update of period %d: %v", ErrInvalid, u.AttestedHeader.Header.SyncPeriod(), err)
			}
		}
		if after, _ := l.chain.NextSyncPeriod(); after == next {
			return fmt.Errorf("%w: the update of period %d leads nowhere", ErrInvalid, next)
		}
	}
}

// verify checks who signed a finality update.
func (l *Light) verify(f *finality) error {
	ok, _, err := l.chain.VerifySignedHeader(f.signed)
	if err != nil {
		return fmt.Errorf("%w: finality update: %v", ErrInvalid, err)
	}
	if !ok {
		return fmt.Errorf("%w: the signature of a finality update of slot %d", ErrInvalid, f.signed.Header.Slot)
	}
	return nil
}

// Finalized is the newest finalised execution block that is known. It fails with ethereum.ErrStale if that is too old, or if there is none yet.
func (l *Light) Finalized(context.Context) (ethereum.Finalized, error) {
	l.mu.Lock()
	f := l.newest
	l.mu.Unlock()
	if f == nil {
		return ethereum.Finalized{}, fmt.Errorf("%w: no finality update has been verified yet", ethereum.ErrStale)
	}
	if age := l.cfg.Now().Sub(f.finalized.Time); age > l.cfg.MaxAge {
		return ethereum.Finalized{}, fmt.Errorf("%w: block %d is %s old, the limit is %s", ethereum.ErrStale, f.finalized.Number, age.Round(time.Second), l.cfg.MaxAge)
	}
	return f.finalized, nil
}

// Stats is a snapshot for metrics.
func (l *Light) Stats() Stats {
	next, _ := l.chain.NextSyncPeriod()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Periods: next, Failed: l.failed, Stale: true}
	if f := l.newest; f != nil {
		s.Number, s.Slot, s.Age = f.finalized.Number, f.slot, l.cfg.Now().Sub(f.finalized.Time)
		s.Stale = s.Age > l.cfg.MaxAge
	}
	return s
}

var _ ethereum.Finality = (*Light)(nil)
