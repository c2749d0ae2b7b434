package transcripts

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/chainkey/keystore"
)

func supportName(s *idkg.Sharing, dealer int) [32]byte {
	id := s.ID()
	return sha256.Sum256(binary.BigEndian.AppendUint32(append([]byte("fusion/transcripts/support\x00"), id[:]...), uint32(dealer)))
}

// seat is where a node sits in an epoch, or -1.
func (d *Driver) seat(epoch uint64, node uint32) int {
	if e := d.epochs[epoch]; e != nil {
		return slices.Index(e.Nodes, node)
	}
	return -1
}

// later keeps a message for what may begin soon.
func (d *Driver) later(in inbound) {
	list := append(d.early[in.from], in)
	sum := 0
	for i := len(list) - 1; i >= 0; i-- {
		if sum += len(list[i].msg); sum > maxEarlySum || len(list)-i > maxEarly {
			list = list[i+1:]
			break
		}
	}
	d.early[in.from] = list
}

func (d *Driver) refuse(from uint32, err error) {
	if f := d.cfg.Refused; f != nil {
		f(from, err)
	}
}

// receive takes a message. What is garbled proves nothing against anybody and is ignored.
func (d *Driver) receive(in inbound) {
	if d.view == nil || d.view.Since == 0 {
		d.later(in)
		return
	}
	body := in.msg[1:]
	switch in.msg[0] {
	case msgDealing:
		d.receiveDealing(in, body)
	case msgSupport:
		d.receiveSupport(in, body)
	case msgComplaint:
		if c, err := idkg.DecodeComplaint(body); err == nil {
			d.answer(in, c)
		} else {
			d.refuse(in.from, err)
		}
	case msgOpening:
		if o, err := idkg.DecodeOpening(body); err == nil {
			d.opened(o, body)
		} else {
			d.refuse(in.from, err)
		}
	case msgShare:
		if len(body) < 8 {
			return
		}
		t := d.tasks[binary.BigEndian.Uint64(body)]
		if t == nil {
			d.later(in)
			return
		}
		share, err := idkg.DecodeSignatureShare(body[8:])
		if err != nil {
			d.refuse(in.from, err)
		} else if !t.done && !t.bad[share.Seat()] && t.shares[share.Seat()] == nil && share.Seat() == d.seat(t.Epoch, in.from) {
			t.shares[share.Seat()], t.raw[share.Seat()] = share, body[8:]
		}
	}
}

func (d *Driver) receiveDealing(in inbound, body []byte) {
	x, err := idkg.DecodeDealing(body)
	if err != nil {
		d.refuse(in.from, err)
		return
	}
	id := x.Sharing()
	for _, h := range d.held {
		if h.rd.Stage >= len(h.stages) {
			continue
		}
		st := h.stages[h.rd.Stage]
		for i, s := range st.sharings {
			if s.ID() != id {
				continue
			}
			if st.dealings[i][x.Dealer()] != nil || d.seat(h.rd.From, in.from) != x.Dealer() {
				return
			}
			x, err := d.m.dealing(s, body)
			if err != nil {
				d.refuse(in.from, err)
				d.cfg.Log.Warn("a bad dealing", "from", in.from, "key", st.p.key, "serial", st.p.serial, "err", err)
				d.blame(st, i, badDealing, body, err)
				return
			}
			d.keep(st, i, x, body)
			return
		}
	}
	d.later(in)
}

func (d *Driver) receiveSupport(in inbound, body []byte) {
	sup, err := idkg.DecodeSupport(body)
	if err != nil {
		d.refuse(in.from, err)
		return
	}
	if len(sup.Dealings()) > 2*idkg.MaxMembers {
		return
	}
	var st *stage
	missing := false
	for _, x := range sup.Dealings() {
		if s := d.byDeal[x]; s != nil {
			st = s
		} else {
			missing = true
		}
	}
	if missing { // dealings are under way, or were chosen without these
		d.later(in)
	}
	if st == nil || d.seat(st.p.epoch, in.from) != sup.Seat() || len(st.supports[sup.Seat()]) >= maxSupports {
		return
	}
	for _, old := range st.supports[sup.Seat()] {
		if slices.Equal(old.Dealings(), sup.Dealings()) {
			return
		}
	}
	if err := st.tally.Add(sup); err != nil {
		d.refuse(in.from, err)
		return
	}
	st.supports[sup.Seat()] = append(st.supports[sup.Seat()], sup)
}

// find is the sharing and the chosen dealing of a stage that a block ended.
func (d *Driver) find(digest [32]byte) (st *stage, sharing int, x *idkg.Dealing) {
	st = d.byDeal[digest]
	if st == nil {
		return nil, 0, nil
	}
	for i, list := range st.chosen {
		for _, x := range list {
			if x.Digest() == digest {
				return st, i, x
			}
		}
	}
	return nil, 0, nil
}

// answer opens the own shares of a dealing to a member whose shares are provably bad.
func (d *Driver) answer(in inbound, c *idkg.Complaint) {
	st, i, x := d.find(c.Dealing())
	if st == nil {
		d.later(in)
		return
	}
	digest := c.Dealing()
	who := string(binary.BigEndian.AppendUint32(digest[:], in.from))
	me, member := d.me(st.p.epoch)
	if !member || me.Key == nil || time.Since(st.answered[who]) < 4*d.cfg.Tick {
		return
	}
	st.answered[who] = time.Now()
	o, err := st.sharings[i].Open(x, c, me)
	if err != nil {
		d.cfg.Log.Warn("a complaint is not answered", "from", in.from, "err", err)
		d.blame(st, i, badBox, c.Encode(), err)
		return
	}
	d.cfg.Send(in.from, append([]byte{msgOpening}, o.Encode()...))
}

// opened takes an opening that this node asked for. The round is loaded again with it.
func (d *Driver) opened(o *idkg.Opening, body []byte) {
	st, i, x := d.find(o.Dealing())
	if st == nil || st.complaints == nil || slices.ContainsFunc(st.openings, func(other *idkg.Opening) bool { return other.Seat() == o.Seat() && other.Dealing() == o.Dealing() }) {
		return
	}
	if err := st.sharings[i].VerifyOpening(x, o); err != nil {
		d.blame(st, i, badOpening, bytes.Clone(body), err)
		return
	}
	st.openings = append(st.openings, o)
}

// repeat says again what may have been lost.
func (d *Driver) repeat() {
	if d.view == nil || d.view.Since == 0 {
		return
	}
	for p, h := range d.held {
		for _, st := range h.stages {
			if st.number == h.rd.Stage {
				for _, msg := range st.own {
					d.tell(msg, p.epoch, h.rd.From)
				}
			}
			for _, msg := range st.complaints {
				d.tell(msg, p.epoch)
			}
		}
	}
	for _, t := range d.tasks {
		if t.own != nil {
			d.tell(t.own, t.Epoch)
		}
	}
}

// sign makes the own shares of signatures, and signatures of all shares.
func (d *Driver) sign() {
	var begin []*task
	var bonds []keystore.Bond
	var requests []uint64
	for request := range d.tasks {
		requests = append(requests, request)
	}
	slices.Sort(requests)
	for _, request := range requests {
		t := d.tasks[request]
		if t.own != nil || t.skip || d.sharesOf(t) == nil {
			continue
		}
		bond := keystore.Bond{Name: t.signing.Presignature.Name(), Value: t.signing.ID()}
		old, ok := d.cfg.Store.Bound(bond.Name)
		if ok && old != bond.Value || !ok && t.Bound <= d.view.Since {
			t.skip = true
			d.cfg.Log.Warn("this node lets a presignature be that an earlier boot may have used", "request", request, "serial", t.Serial)
			continue
		}
		begin, bonds = append(begin, t), append(bonds, bond)
	}
	if len(bonds) > 0 {
		if err := d.cfg.Store.Bind(bonds...); err != nil { // what it cannot note it must not do
			d.cfg.Log.Error("writing the key store", "what", "presignatures", "err", err)
			begin = nil
		}
	}
	for _, t := range begin {
		me, _ := d.me(t.Epoch)
		share, err := t.signing.Share(me, d.sharesOf(t), func(name, signing [32]byte) error {
			return d.cfg.Store.Bind(keystore.Bond{Name: name, Value: signing})
		})
		if err != nil {
			t.skip = true
			d.cfg.Log.Error("computing with key shares", "what", "a share of a signature", "request", t.Request, "err", err)
			continue
		}
		b := share.Encode()
		t.shares[me.Seat], t.raw[me.Seat] = share, b
		t.own = append(binary.BigEndian.AppendUint64([]byte{msgShare}, t.Request), b...)
		d.tell(t.own, t.Epoch)
	}
	for _, request := range requests {
		d.combine(d.tasks[request])
	}
}

func (d *Driver) combine(t *task) {
	if t.done || len(t.shares) < t.signing.Roster.Threshold() || len(t.shares) <= t.tried {
		return
	}
	var list []*idkg.SignatureShare
	for _, s := range t.shares {
		list = append(list, s)
	}
	sig, liars, err := t.signing.Combine(list)
	for _, seat := range liars {
		d.accuse(accusation{Key: t.Key, Epoch: t.Epoch, Serial: d.round(t).serial, Request: t.Request, Charge: badSignature, Evidence: t.raw[seat]})
		delete(t.shares, seat)
		t.bad[seat] = true
	}
	t.tried = len(t.shares)
	if err != nil {
		if m := (*chainkey.Misbehaviour)(nil); !errors.Is(err, idkg.ErrTooFewShares) && !errors.As(err, &m) {
			d.cfg.Log.Error("computing with key shares", "what", "a signature", "request", t.Request, "err", err)
		}
		return
	}
	t.done = true
	d.cfg.Signed(t.Request, sig.Bytes)
}

// round is where the presignature of a task is held.
func (d *Driver) round(t *task) (at place) {
	for p, h := range d.held {
		if p.key == t.Key && p.epoch == t.Epoch && p.serial > 0 && p.serial <= t.Serial && t.Serial < p.serial+uint64(h.rd.Count) {
			at = p
		}
	}
	return at
}

// sharesOf are the own shares for a task; nil while they are not there.
func (d *Driver) sharesOf(t *task) *idkg.Shares {
	p := d.round(t)
	h, k := d.held[p], d.held[place{t.Key, t.Epoch, 0}]
	if h == nil || k == nil || h.loaded < h.rd.Stage || !d.m.complete(p, &h.rd) || k.loaded < k.rd.Stage || len(k.shares) == 0 {
		return nil
	}
	i := int(t.Serial - p.serial)
	out := &idkg.Shares{Key: k.shares[len(k.shares)-1][0], Kappa: h.shares[0][i]}
	if len(h.shares) == 4 {
		out.Lambda, out.KappaLambda, out.KeyLambda = h.shares[1][i], h.shares[2][i], h.shares[3][i]
	}
	return out
}
