package signing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/gg18"
	"fusion/chainkey/keystore"
	"fusion/chainkey/session"
	"fusion/replica/payload"
)

// handOver does this node's part in the resharing of an active key. The lock is held.
func (d *Driver) handOver(wanted map[session.ID]*ceremony, name string, k *keyRecord) {
	n := k.Next
	if n == nil || n.Failed != "" {
		return
	}
	seat := slices.Index(n.Members, uint32(d.self))
	switch n.Status {
	case KeyPending:
		id, _, _ := d.m.cfg.schemeOf(name)
		if seat >= 0 && d.m.needsParams(id) && !n.Ready[seat] && d.ordered {
			// In the background, on one core: the old shares go on signing.
			if d.haveParams(keystore.Generation{Key: name, Epoch: n.Epoch}, 1) {
				d.sayReady(name, n.Epoch)
			}
		}
	case KeyGenerating, KeyActivating:
		g := keystore.Generation{Key: name, Epoch: n.Epoch, Attempt: n.Attempt.Number}
		d.revote(g, n.Votes, seat)
		d.want(wanted, d.m.handoverContext(name, k), &n.Attempt, d.m.cfg.KeygenDeadline, [32]byte{}, g)
	}
}

// sayReady offers, once, the word that this node can receive a share.
func (d *Driver) sayReady(name string, epoch uint64) {
	for _, it := range d.own {
		if v, err := decodeItem[KeyVote](it.Body); it.Kind == payload.KeyVote && err == nil && v.Key == name && v.Epoch == epoch {
			return
		}
	}
	v := KeyVote{Key: name, Epoch: epoch, Node: uint32(d.self)}
	v.Signature = d.m.cfg.sign(d.cfg.NodeKey, "key vote", v)
	d.offer(item(payload.KeyVote, v))
}

// idle returns when no step of a ceremony computes, or the context is done: the search for parameters has what the ceremonies leave.
func (d *Driver) idle(ctx context.Context) {
	if len(d.cores) == 0 {
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(d.cores) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// known says whether the network has this node, with this key.
func (d *Driver) known() bool {
	key, ok := d.m.nodeKey(d.view.state, d.self)
	return ok && !d.m.node(d.view.state, d.self).Left && bytes.Equal(key, d.cfg.NodeKey.Public().(ed25519.PublicKey))
}

// resharing prepares this node's part in a resharing.
func (c *ceremony) resharing(key chainkey.KeyID, scheme chainkey.Scheme) (chainkey.Protocol, error) {
	cfg := &c.d.m.cfg
	k, _ := load[keyRecord](c.view.state, keyPrefix+c.context.Key)
	if k.Next == nil || k.Next.Epoch != c.context.Epoch {
		return nil, fmt.Errorf("key %s is not being reshared to epoch %d", key, c.context.Epoch)
	}
	threshold, err := chainkey.Threshold(len(k.Next.Members))
	if err != nil {
		return nil, err
	}
	r := chainkey.Reshare{Algorithm: key.Algorithm, Session: c.id, Public: k.Public, Old: k.Shares, Parts: k.parts(), Seat: c.seat, Threshold: threshold,
		AllowLocal: cfg.Local, Rand: c.d.cfg.Rand}
	self := uint32(c.d.self)
	if slices.Contains(k.Members, self) {
		_, share, err := c.d.share(keystore.Generation{Key: c.context.Key, Epoch: k.Epoch, Attempt: k.Attempt.Number})
		switch {
		case err == nil:
			defer share.Wipe()
			r.Share = share
		case slices.Contains(k.Next.Dealers, self):
			return nil, err
		} // who only receives may have lost its share: resharing gives it another
	}
	if seat := r.Parts[c.seat].New; seat >= 0 && scheme.NeedsParams() {
		if cfg.Local {
			// By seat, since node numbers grow for ever and the set does not. Everybody knows these parameters, so using them again loses nothing.
			r.Params, err = gg18.LocalParams(seat)
		} else {
			r.Params, err = c.d.cfg.Store.Params(keystore.Generation{Key: c.context.Key, Epoch: k.Next.Epoch})
		}
		if err != nil {
			return nil, err
		}
		defer r.Params.Wipe()
	}
	return scheme.Reshare(r)
}

// tidy wipes, once for each state of a key's epochs, what nothing needs any more: shares of abandoned attempts and resharings, the parameters
// that are part of the share in force, and, some blocks after a resharing, the shares that it replaced.
func (d *Driver) tidy(name string, k *keyRecord) {
	member := slices.Contains(k.Members, uint32(d.self))
	// Who has left may not be told of many more blocks.
	old := k.Previous != nil && (member || d.view.Height+d.m.cfg.WipeBlocks/2 < k.Previous.Wipe)
	state := fmt.Sprint(k.Epoch, k.Attempt.Number, old)
	if k.Next != nil {
		state += fmt.Sprint(" ", k.Next.Epoch, k.Next.Attempt.Number)
	}
	if d.tidied[name] == state {
		return
	}
	d.tidied[name] = state
	active := keystore.Generation{Key: name, Epoch: k.Epoch, Attempt: k.Attempt.Number}
	if member {
		_, share, err := d.share(active)
		if err == nil {
			if got := share.PublicKey(); !bytes.Equal(got, k.Public) {
				err = fmt.Errorf("the share is of key %x, not %x", got, k.Public)
			}
			share.Wipe()
		}
		if err != nil {
			d.cfg.Log.Error("the share of an active key is missing: restore it or reshare", "key", name, "err", err)
			if f := d.cfg.Listener.ShareMissing; f != nil {
				f(name, err)
			}
			return // wipe nothing while something is wrong
		}
	}
	if f := d.cfg.Listener.ShareFound; f != nil {
		f(name)
	}
	needed := func(g keystore.Generation) bool {
		switch {
		case g == active:
			return member
		case old && g.Epoch == k.Previous.Epoch && g.Attempt == k.Previous.Attempt:
			return true
		}
		return k.Next != nil && g.Epoch == k.Next.Epoch && g.Attempt == k.Next.Attempt.Number
	}
	list, err := d.cfg.Store.Shares()
	if err == nil {
		for _, g := range list {
			if g.Key == name && !needed(g) {
				d.cfg.Log.Info("wiping a share that was replaced or never used", "key", name, "epoch", g.Epoch, "attempt", g.Attempt)
				err = errors.Join(err, d.cfg.Store.WipeShare(g))
			}
		}
		err = errors.Join(err, d.cfg.Store.WipeParams(keystore.Generation{Key: name, Epoch: k.Epoch}))
	}
	if err != nil {
		d.cfg.Log.Error("wiping old shares", "key", name, "err", err)
	}
}
