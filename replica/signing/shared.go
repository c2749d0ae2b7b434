package signing

import (
	"errors"
	"io/fs"

	"fusion/chainkey/keystore"
	"fusion/replica/payload"
	"fusion/replica/transcripts"
)

// startShared starts the driver of the keys that presign.
func (d *Driver) startShared() {
	if d.m.shared == nil {
		return
	}
	d.shared = transcripts.NewDriver(transcripts.DriverConfig{Machine: d.m.shared, Self: uint32(d.self), NodeKey: d.cfg.NodeKey, Store: d.cfg.Store,
		Tick: d.cfg.Tick, Slots: d.cores, Rand: d.cfg.Rand, Log: d.cfg.Log,
		Send: func(to uint32, msg []byte) { d.cfg.Transport.Send(int(to), append([]byte{frameShared}, msg...)) },
		Sign: func(domain string, unsigned any) []byte { return d.m.cfg.sign(d.cfg.NodeKey, domain, unsigned) },
		Offer: func(body []byte) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.offer(payload.Item{Kind: payload.Transcript, Body: body})
		},
		Held: d.holdShared,
		Refused: func(node uint32, err error) {
			if f := d.cfg.Listener.Refused; f != nil {
				f(int(node), err)
			}
		},
		Stored: func(key string, epoch uint64) *transcripts.KeyShare {
			d.mu.Lock()
			defer d.mu.Unlock()
			k, _ := load[keyRecord](d.view.state, keyPrefix+key)
			if k.Status != KeyActive || k.Epoch != epoch {
				return nil
			}
			_, share, err := d.share(keystore.Generation{Key: key, Epoch: epoch, Attempt: k.Attempt.Number})
			if err != nil {
				return nil
			}
			s, ok := share.(*transcripts.KeyShare)
			if !ok {
				return nil
			}
			return s
		},
		Signed: func(request uint64, signature [64]byte) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.offer(item(payload.Signature, Result{Request: request, Signature: signature[:]}))
		}})
}

// reconcileShared tells that driver of the view. The lock is held.
func (d *Driver) reconcileShared() {
	if d.shared == nil || d.view == nil {
		return
	}
	v := d.view
	w := &transcripts.View{Height: v.Height, State: v.state, Left: d.m.node(v.state, d.self).Left, Tasks: func() []transcripts.Task { return d.m.tasks(v) }}
	if d.ordered && d.halted == "" && d.known() {
		w.Since = max(d.since, 1)
	}
	d.shared.Reconcile(w)
}

// holdShared stores a share of a key that is being made or reshared, and votes for it.
func (d *Driver) holdShared(key string, epoch uint64, share *transcripts.KeyShare) (done bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, _ := load[keyRecord](d.view.state, keyPrefix+key)
	g := keystore.Generation{Key: key, Epoch: epoch}
	var votes []voteRecord
	making := func(s KeyStatus) bool { return s == KeyGenerating || s == KeyActivating }
	seat := -1
	switch n := k.Next; {
	case k.Status == KeyActive && k.Epoch == epoch:
		return true, nil
	case making(k.Status) && k.Epoch == epoch:
		g.Attempt, votes, seat = k.Attempt.Number, k.Votes, d.self
	case n != nil && n.Epoch == epoch && making(n.Status):
		g.Attempt, votes = n.Attempt.Number, n.Votes
		for i, node := range n.Members {
			if int(node) == d.self {
				seat = i
			}
		}
	}
	if seat < 0 || seat >= len(votes) || len(votes[seat].Public) != 0 {
		return false, nil
	}
	if _, stored, err := d.cfg.Store.Share(g); err == nil {
		stored.Wipe()
	} else if !errors.Is(err, keystore.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	} else {
		digest := share.Transcript.Digest()
		encoded := share.Encode()
		defer encoded.Wipe()
		blob := append(digest[:], encoded...)
		defer clear(blob)
		// The vote promises that the share survives a crash, so it is stored first.
		if err := d.cfg.Store.PutShare(g, transcripts.Name, blob); err != nil {
			return false, err
		}
	}
	d.revote(g, votes, seat)
	return false, nil
}
