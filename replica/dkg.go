package replica

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"fusion/chainkey"
	"fusion/chainkey/bls"
	"fusion/chainkey/keystore"
	"fusion/replica/gossip"
)

// dkg is this replica's part in the generation and the resharing of a BLS key, and the keeper of its shares.
//
// What a member says is derived from its seed, which is on disk before anything leaves, one for each epoch. Items are gossiped so that whoever
// proposes next can include them. All methods but add belong to the goroutine of blocks.
type dkg struct {
	r     *Replica
	topic string
	what  string // the key in words
	name  string // in the key store

	part   *bls.Member // of the board that is running or prepared
	of     [2]uint64   // its epoch and begin
	handed int64       // epoch whose share was handed out, or -1
	tidied string      // the epochs for which the key store was tidied

	mu   sync.Mutex
	pool map[[32]byte][]byte
}

const (
	dkgTopic    = "dkg"
	maxDKGItem  = 64 << 10
	maxDKGItems = 256
	// blsKey names the subnet's key in the key store.
	blsKey = "bls12-381"
	// wipeBlocks is how many blocks after an epoch's activation the shares that it replaced are wiped.
	wipeBlocks = 100
)

// newDKG takes up a key under its name in the key store, as the committed state has it.
func newDKG(r *Replica, topic, what, name string, e *bls.Epochs) (*dkg, error) {
	d := &dkg{r: r, topic: topic, what: what, name: name, handed: -1, pool: map[[32]byte][]byte{}}
	r.wire.Handle(gossip.Topic{Name: topic, MaxBytes: maxDKGItem}, func(_ int, msg []byte) { d.add(msg) })
	if e == nil || e.Group() == nil || slices.Index(e.Members(), uint32(r.self)) < 0 {
		return d, nil
	}
	g := d.generation(e.Epoch())
	share, err := d.stored(g)
	if err == nil && share == nil {
		var seed chainkey.Secret
		if seed, err = r.keys.Params(g); missing(err) {
			return nil, fmt.Errorf("the key store of %s has neither the share nor the seed of %s; restore its backup", r.cfg.Dir, what)
		}
		seed.Wipe()
	}
	share.Wipe()
	return d, err
}

func (d *dkg) generation(epoch uint64) keystore.Generation {
	return keystore.Generation{Key: d.name, Epoch: epoch}
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, keystore.ErrNotFound)
}

// stored is the share of a generation in the key store, or nil.
func (d *dkg) stored(g keystore.Generation) (chainkey.Secret, error) {
	_, share, err := d.r.keys.Share(g)
	switch {
	case missing(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the share of %s: %w", d.what, err)
	case len(share) != bls.SecretSize:
		return nil, fmt.Errorf("the share of %s is damaged; restore the key store's backup", d.what)
	}
	return share, nil
}

func (d *dkg) add(item []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pool) < maxDKGItems {
		d.pool[sha256.Sum256(item)] = item
	}
}

// items are what a block may carry now; what can never be carried any more is forgotten.
func (d *dkg) items(b *bls.Board) [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b == nil {
		clear(d.pool) // what comes too early is said again after every block
		return nil
	}
	var out [][]byte
	for key, item := range d.pool {
		switch err := b.CheckAll(append(out[:len(out):len(out)], item)); {
		case err == nil:
			out = append(out, item)
		case b.Check(item) != nil:
			delete(d.pool, key)
		}
	}
	return out
}

// follow does this replica's part after a block: it says what a board waits for, which also heals lost messages; keeps its share of an epoch that is
// prepared, before that is in force; hands the share in force out to use, nil if this replica has none; and wipes what was replaced. finished
// reads the board that made the shares in force.
func (d *dkg) follow(e *bls.Epochs, height uint64, finished func() (*bls.Board, error), use func(*bls.SecretShare)) error {
	if b := e.Board(); b != nil {
		if err := d.take(e, b); err != nil {
			return err
		}
		if d.part != nil {
			if item := d.part.Pending(b); item != nil {
				d.add(item)
				d.r.wire.Broadcast(d.topic, item)
			}
		}
	} else {
		d.items(nil)
	}
	if b := e.Prepared(); b != nil {
		if _, err := d.keep(e, b, seatOf(b.Nodes, d.r.key)); err != nil {
			return err
		}
	}
	if e.Group() == nil {
		return nil
	}
	if d.handed != int64(e.Epoch()) {
		share, err := d.inForce(e, finished)
		if err != nil {
			return fmt.Errorf("this replica's share of %s: %w", d.what, err)
		}
		use(share)
		d.handed = int64(e.Epoch())
	}
	return d.tidy(e, height)
}

// seatOf is the place of a node's key in a list, or -1.
func seatOf[K ~[]byte](nodes []K, key ed25519.PrivateKey) int {
	return slices.IndexFunc(nodes, func(k K) bool { return bytes.Equal(k, key.Public().(ed25519.PublicKey)) })
}

// take makes the private side of this replica on a board, if it has a part there.
func (d *dkg) take(e *bls.Epochs, b *bls.Board) error {
	of := [2]uint64{b.Epoch, b.Started}
	if d.part != nil && d.of == of {
		return nil
	}
	d.drop()
	seat := seatOf(b.Nodes, d.r.key)
	var old *bls.SecretShare
	if b.Old != nil {
		if from := seatOf(b.Old.Nodes, d.r.key); from >= 0 {
			secret, err := d.stored(d.generation(e.Epoch()))
			if err != nil {
				return err
			}
			if secret == nil { // then it only receives: resharing gives it another
				d.r.log.Error("no share to deal", "key", d.what)
			} else {
				old = &bls.SecretShare{Index: from, Scalar: [bls.SecretSize]byte(secret)}
				secret.Wipe()
			}
		}
	}
	if seat < 0 && old == nil {
		return nil
	}
	seed, err := d.seed(d.generation(b.Epoch))
	if err != nil {
		return err
	}
	defer clear(seed[:])
	if d.of = of; b.Old == nil {
		d.part = bls.NewMember(seed, seat, d.r.key)
	} else {
		d.part = bls.NewResharer(seed, seat, old, d.r.key)
	}
	return nil
}

func (d *dkg) drop() {
	if d.part != nil {
		d.part.Wipe()
		d.part = nil
	}
}

// seed is on disk when it returns.
func (d *dkg) seed(g keystore.Generation) (seed [32]byte, err error) {
	secret, err := d.r.keys.Params(g)
	if missing(err) {
		seed = bls.NewSeed()
		return seed, d.r.keys.PutParams(g, chainkey.Secret(bytes.Clone(seed[:])))
	}
	if err != nil {
		return seed, fmt.Errorf("keeping the seed of %s: %w", d.what, err)
	}
	defer secret.Wipe()
	if copy(seed[:], secret) != len(seed) {
		return seed, fmt.Errorf("the seed of %s is damaged; restore the key store's backup", d.what)
	}
	return seed, nil
}

// keep stores this replica's share of a finished board in place of its seed, once, and returns it. It is nil for a replica without a seat, or one
// that was silent while a dealer cheated: it can follow the subnet, and not sign.
func (d *dkg) keep(e *bls.Epochs, b *bls.Board, seat int) (*bls.SecretShare, error) {
	if seat < 0 {
		return nil, nil
	}
	g := d.generation(b.Epoch)
	secret, err := d.stored(g)
	if err != nil {
		return nil, err
	}
	if secret != nil {
		defer secret.Wipe()
		return &bls.SecretShare{Index: seat, Scalar: [bls.SecretSize]byte(secret)}, nil
	}
	if err := d.take(e, b); err != nil {
		return nil, err
	}
	s, err := d.part.Share(b)
	if errors.Is(err, bls.ErrNoShare) {
		d.r.log.Warn("no share of a key of the subnet: this replica follows without using it", "key", d.what, "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := d.r.keys.PutShare(g, "bls", chainkey.Secret(bytes.Clone(s.Scalar[:]))); err != nil {
		return nil, err
	}
	d.drop()
	return s, d.r.keys.WipeParams(g)
}

// inForce is this replica's share in the epoch in force.
func (d *dkg) inForce(e *bls.Epochs, finished func() (*bls.Board, error)) (*bls.SecretShare, error) {
	seat := slices.Index(e.Members(), uint32(d.r.self))
	if seat < 0 {
		return nil, nil
	}
	secret, err := d.stored(d.generation(e.Epoch()))
	if err != nil {
		return nil, err
	}
	if secret != nil {
		defer secret.Wipe()
		return &bls.SecretShare{Index: seat, Scalar: [bls.SecretSize]byte(secret)}, nil
	}
	b, err := finished()
	if err != nil {
		return nil, err
	}
	return d.keep(e, b, seat)
}

// tidy wipes, once for each state of the epochs, the shares that were replaced some blocks ago and what is left of resharings that came to nothing.
func (d *dkg) tidy(e *bls.Epochs, height uint64) error {
	before, since, replaced := e.Before()
	wait := uint64(wipeBlocks)
	if slices.Index(e.Members(), uint32(d.r.self)) < 0 {
		wait /= 2 // who has left may not be told of many more blocks
	}
	due := replaced && height >= since+wait
	next := e.Board() != nil || e.Prepared() != nil
	state := fmt.Sprint(e.Epoch(), due, next)
	if d.tidied == state {
		return nil
	}
	d.tidied = state
	list, err := d.r.keys.Shares()
	if err != nil {
		return fmt.Errorf("tidying the key store: %w", err)
	}
	for _, g := range list {
		if g.Key == d.name && (g.Epoch < e.Epoch() && (due || g.Epoch != before) || g.Epoch > e.Epoch() && !next) {
			d.r.log.Info("wiping a share that was replaced or never used", "key", d.what, "epoch", g.Epoch)
			err = errors.Join(err, d.r.keys.WipeShare(g))
		}
	}
	if !next { // the seed of a resharing that came to nothing
		d.drop()
		err = errors.Join(err, d.r.keys.WipeParams(d.generation(e.Epoch()+1)))
	}
	if err != nil {
		return fmt.Errorf("wiping old shares of %s: %w", d.what, err)
	}
	return nil
}
