package replica

import (
	"context"
	"fmt"
	"time"

	"fusion/chainkey/bls"
	"fusion/ic/envelope"
	"fusion/internal/codec"
	"fusion/replica/consensus/driver"
	"fusion/replica/machine"
	"fusion/replica/members"
	"fusion/replica/payload"
)

// app is the replica as consensus drives it.
type app Replica

// Format shows no key, whatever the verb.
func (a *app) Format(f fmt.State, verb rune) { (*Replica)(a).Format(f, verb) }

var (
	_ driver.App        = (*app)(nil)
	_ driver.Electorate = (*app)(nil)
)

func (a *app) Eras() []driver.Era { return a.machine.Eras() }

// maxLag is how far block time may lie behind this machine's clock before proposals carry nothing whose validity depends on
// time: block time is stale after a pause, and messages would look as if they came from the future.
const maxLag = 10 * time.Second

func (a *app) core() machine.App { return machine.App{Machine: a.machine} }

func (a *app) Info() (uint64, []byte)                  { return a.core().Info() }
func (a *app) InitChain(timeNs uint64) ([]byte, error) { return a.core().InitChain(timeNs) }

// Prepare fills a block. Each item is one that Process would take.
func (a *app) Prepare(_ context.Context, p driver.Proposal) [][]byte { return proposed(a.fill(p)) }

func (a *app) fill(p driver.Proposal) [][]byte {
	b := payload.NewBuilder(p.MaxBytes)
	v := a.machine.View()
	for _, item := range a.dkg.items(a.machine.RootKey().Board()) {
		b.Add(payload.DKG, item)
	}
	if v.Group == nil {
		return b.Items()
	}
	for _, h := range v.Beacons {
		if c, ok := a.states.beacon(h); ok {
			b.Add(payload.Beacon, machine.EncodeBeacon(h, c))
		}
	}
	a.signing.propose(b)
	a.deriver.propose(b)
	a.members.propose(b)
	a.outcall.propose(b, p.Height)
	if lag := time.Since(time.Unix(0, int64(p.TimeNs))); lag > maxLag {
		a.log.Info("proposing no time-dependent items: block time lags", "height", p.Height, "lag", lag)
		return b.Items()
	}
	if a.bitcoin != nil {
		if items := mined(a.machine.FilterBitcoin(a.bitcoin.take(), p.TimeNs, b.Room(payload.Bitcoin)-bitcoinOverhead)); !items.Empty() {
			b.Add(payload.Bitcoin, codec.Marshal(items))
		}
		a.bitcoin.attest(b, v, p.Height)
	}
	for _, m := range a.pool.Take(p.TimeNs, b.Room(payload.Ingress), payload.Quotas[payload.Ingress].Count) {
		b.Add(payload.Ingress, m.Raw)
	}
	return b.Items()
}

// bitcoinOverhead is what encoding adds to headers and bodies: a few bytes for each of at most a hundred.
const bitcoinOverhead = 4 << 10

func (a *app) Process(b driver.Block) error {
	a.traces.Proposed(b.Height)
	return a.machine.Check(b)
}

func (a *app) Finalize(b driver.Block) ([]byte, error) {
	started := time.Now()
	res, err := a.machine.Step(b)
	if err != nil {
		return nil, err
	}
	a.traces.Executed(b.Height, res.Ingress, started)
	a.last = executed{ids: res.Ingress, timeNs: b.TimeNs, result: res, took: time.Since(started)}
	return res.AppHash[:], nil
}

// executed is what Commit still has to do about a finalized block.
type executed struct {
	ids    []envelope.ID
	timeNs uint64
	result machine.Result
	took   time.Duration
}

func (a *app) Commit() (uint64, error) {
	if err := a.machine.Commit(); err != nil {
		return 0, err
	}
	r := (*Replica)(a)
	v := a.machine.View()
	a.pool.Remove(a.last.ids)
	a.pool.Expire(v.TimeNs)
	r.metrics.block(v, &a.last)
	r.metrics.silent(r.silent(v))
	r.moving.Store(true)
	now := time.Now()
	r.committed.Store(&now)
	r.reconcile(v)
	r.snapshots.committed(v)
	return r.snapshots.retain(v), nil
}

// blocksKept is how many blocks a local network keeps, some five hours' worth: a laptop's disk is finite. A replica that
// was away for longer cannot catch up from the others' blocks, but recover from a snapshot; public networks keep all of them.
const blocksKept = 50_000

// reconcile derives from the committed state what this replica should be doing. It is called after each commit and once at the
// start, and nothing it does depends on having been called before.
func (r *Replica) reconcile(v *machine.View) {
	if err := r.misplaced(v); err != nil {
		r.fail(err)
		return
	}
	r.metrics.roll(v.Peers)
	r.members.reconcile(v)
	key := r.machine.RootKey()
	err := r.dkg.follow(key, v.Height, r.machine.FinishedBoard, func(s *bls.SecretShare) {
		r.cert.SetKey(members.Set{Epoch: key.Epoch(), Nodes: key.Members()}, v.Group, s)
	})
	if err != nil {
		r.fail(err)
		return
	}
	if v.Group == nil {
		return
	}
	if err := r.deriver.generate(v.Height); err != nil {
		r.fail(err)
		return
	}
	r.states.executed(v)
	if err := r.cert.Sign(bls.DomainStateRoot, v.Height, v.Root[:]); err != nil {
		r.fail(fmt.Errorf("certifying block %d: %w", v.Height, err))
		return
	}
	for _, h := range v.Beacons {
		if err := r.cert.Sign(bls.DomainBeacon, h, r.machine.BeaconPayload(h)); err != nil {
			r.fail(fmt.Errorf("beacon of block %d: %w", h, err))
			return
		}
	}
	// What costs others' time waits until this replica has caught up: open ceremonies and outcalls of old blocks are over.
	if time.Since(time.Unix(0, int64(v.TimeNs))) < maxLag {
		r.signing.reconcile(v)
		r.deriver.reconcile()
		r.outcall.reconcile(v)
	}
	if r.bitcoin != nil {
		r.bitcoin.reconcile(v)
		flag(r.metrics.bitcoinFar, r.bitcoin.strange(v) != "")
	}
}
