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
)

// dkg is this replica's part in the generation of a BLS key, and the keeper of its share.
//
// What a member says is derived from its seed, which is on disk before anything leaves. Items are gossiped so that whoever
// proposes next can include them.
type dkg struct {
	r          *Replica
	topic      string
	what       string // the key in words
	generation keystore.Generation
	member     *bls.Member // nil once there is a share

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

// newDKG takes up the generation of a key under its name in the key store; made says that it is over in the committed state.
func newDKG(r *Replica, topic, what, name string, made bool) (*dkg, error) {
	d := &dkg{r: r, topic: topic, what: what, generation: keystore.Generation{Key: name}, pool: map[[32]byte][]byte{}}
	r.net.Handle(gossip.Topic{Name: topic, MaxBytes: maxDKGItem}, func(_ int, msg []byte) { d.add(msg) })
	if _, share, err := r.keys.Share(d.generation); err == nil {
		share.Wipe()
		return d, nil
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, keystore.ErrNotFound) {
		return nil, fmt.Errorf("reading the share of %s: %w", what, err)
	}
	secret, err := r.keys.Params(d.generation)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, keystore.ErrNotFound) {
		if made {
			return nil, fmt.Errorf("the key store of %s has neither the share nor the seed of %s; restore its backup", r.cfg.Dir, what)
		}
		seed := bls.NewSeed()
		secret = chainkey.Secret(seed[:])
		err = r.keys.PutParams(d.generation, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the seed of the generation of %s: %w", what, err)
	}
	var seed [32]byte
	if copy(seed[:], secret) != len(seed) {
		return nil, fmt.Errorf("the seed of the generation of %s is damaged; restore the key store's backup", what)
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
		d.r.net.Broadcast(d.topic, item)
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

// finish hands this replica's share out, once, and keeps it in place of the seed; the board is that of the finished generation. A nil share
// says that this replica has none: it can follow the subnet, and not sign.
func (d *dkg) finish(board func() (*bls.Board, error), use func(*bls.SecretShare)) error {
	if d.finished {
		return nil
	}
	share, err := d.share(board)
	if err != nil {
		return fmt.Errorf("this replica's share of %s: %w", d.what, err)
	}
	use(share)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.finished, d.pool, d.member = true, nil, nil
	return nil
}

func (d *dkg) share(board func() (*bls.Board, error)) (*bls.SecretShare, error) {
	if d.member == nil {
		_, secret, err := d.r.keys.Share(d.generation)
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
	b, err := board()
	if err != nil {
		return nil, err
	}
	s, err := d.member.Share(b)
	if errors.Is(err, bls.ErrNoShare) {
		d.r.log.Warn("no share of "+d.what+"; this replica follows without using it", "err", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := d.r.keys.PutShare(d.generation, "bls", chainkey.Secret(s.Scalar[:])); err != nil {
		return nil, err
	}
	return s, d.r.keys.WipeParams(d.generation)
}
