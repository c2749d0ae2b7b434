package replica

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"fusion/chainkey"
	"fusion/chainkey/bls"
	"fusion/chainkey/keystore"
	"fusion/replica/gossip"
	"fusion/replica/machine"
)

// dkg is this replica's part in the generation of the subnet's BLS key, and the keeper of its share.
//
// What a member says is derived from its seed, which is on disk before anything leaves. Items are gossiped so that whoever
// proposes next can include them.
type dkg struct {
	r      *Replica
	member *bls.Member // nil once there is a share

	mu       sync.Mutex
	pool     map[[32]byte][]byte
	finished bool
}

const (
	dkgTopic    = "dkg"
	maxDKGItem  = 64 << 10
	maxDKGItems = 256
	// blsKey names the subnet's key in the key store.
	blsKey = "bls12-381"
)

var blsGeneration = keystore.Generation{Key: blsKey}

func newDKG(r *Replica) (*dkg, error) {
	d := &dkg{r: r, pool: map[[32]byte][]byte{}}
	r.net.Handle(gossip.Topic{Name: dkgTopic, MaxBytes: maxDKGItem}, func(_ int, msg []byte) { d.add(msg) })
	if _, share, err := r.keys.Share(blsGeneration); err == nil {
		share.Wipe()
		return d, nil
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, keystore.ErrNotFound) {
		return nil, fmt.Errorf("reading the share of the subnet's key: %w", err)
	}
	secret, err := r.keys.Params(blsGeneration)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, keystore.ErrNotFound) {
		if r.machine.View().Group != nil {
			return nil, fmt.Errorf("the key store of %s has neither the share nor the seed of the subnet's key; restore its backup", r.cfg.Dir)
		}
		seed := bls.NewSeed()
		secret = chainkey.Secret(seed[:])
		err = r.keys.PutParams(blsGeneration, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the seed of the key generation: %w", err)
	}
	var seed [32]byte
	if copy(seed[:], secret) != len(seed) {
		return nil, errors.New("the seed of the key generation is damaged; restore the key store's backup")
	}
	secret.Wipe()
	d.member = bls.NewMember(seed, r.self, r.key)
	clear(seed[:])
	return d, nil
}

func (d *dkg) add(item []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.finished && len(d.pool) < maxDKGItems {
		d.pool[sha256.Sum256(item)] = item
	}
}

// publish says what the board waits for from this member. It is called after every block, which also heals lost messages.
func (d *dkg) publish(b *bls.Board) {
	if d.member == nil {
		return
	}
	if item := d.member.Pending(b); item != nil {
		d.add(item)
		d.r.net.Broadcast(dkgTopic, item)
	}
}

// items are what a block may carry now; what can never be carried any more is forgotten.
func (d *dkg) items(b *bls.Board) [][]byte {
	if b == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
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

// finish hands this replica's share to certification, once, and keeps it in place of the seed.
func (d *dkg) finish(v *machine.View) error {
	if d.finished {
		return nil
	}
	share, err := d.share(v)
	if err != nil {
		return fmt.Errorf("this replica's share of the subnet's key: %w", err)
	}
	d.r.cert.SetKey(v.Group, share)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finished, d.pool, d.member = true, nil, nil
	return nil
}

func (d *dkg) share(v *machine.View) (*bls.SecretShare, error) {
	if d.member == nil {
		_, secret, err := d.r.keys.Share(blsGeneration)
		if err != nil {
			return nil, err
		}
		defer secret.Wipe()
		s := &bls.SecretShare{Index: d.r.self}
		if copy(s.Scalar[:], secret) != bls.SecretSize {
			return nil, errors.New("it is damaged; restore the key store's backup")
		}
		return s, nil
	}
	board, err := d.r.machine.FinishedBoard()
	if err != nil {
		return nil, err
	}
	s, err := d.member.Share(board)
	if errors.Is(err, bls.ErrNoShare) { // it can follow the subnet, and not sign
		d.r.log.Warn("no share of the subnet's key; this replica follows without certifying", "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := d.r.keys.PutShare(blsGeneration, "bls", chainkey.Secret(s.Scalar[:])); err != nil {
		return nil, err
	}
	return s, d.r.keys.WipeParams(blsGeneration)
}
