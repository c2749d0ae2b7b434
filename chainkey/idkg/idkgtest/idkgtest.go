// Package idkgtest runs package idkg among members in one process: for benchmarks and for tests of what drives it. Every member decodes and
// verifies for itself what it would be sent, so that time and bytes are those of real members.
package idkgtest

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"slices"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
)

// Network is the members of an epoch.
type Network struct {
	Key    chainkey.KeyID
	Roster *idkg.Roster
	IDs    []idkg.Identity
	Bytes  int // on the wire so far: each message once
}

// Held is a transcript and all members' shares of it, by seat.
type Held struct {
	*idkg.Transcript
	Shares []*idkg.Share
}

// Presigned is a presignature and all members' shares of it, by seat.
type Presigned struct {
	*idkg.Presignature
	Shares []*idkg.Shares
}

// New makes n members.
func New(a chainkey.Algorithm, epoch uint64, n int, random io.Reader) (*Network, error) {
	w := &Network{Key: chainkey.KeyID{Algorithm: a, Name: "test_key"}}
	var members []idkg.Member
	for seat := range n {
		_, node, err := ed25519.GenerateKey(random)
		if err != nil {
			return nil, err
		}
		m, key, err := idkg.NewMember([32]byte{1}, epoch, node, random)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
		w.IDs = append(w.IDs, idkg.Identity{Seat: seat, Node: node, Key: key, Rand: random})
	}
	var err error
	w.Roster, err = idkg.NewRoster([32]byte{1}, epoch, members)
	return w, err
}

// Run makes the transcripts of a sharing: those whose turn it is deal, everybody checks, supports, combines and loads. Key, rosters and inputs are
// filled in.
func (w *Network) Run(dealers *Network, p idkg.Params, left, right []*Held) ([]*Held, error) {
	p.Key, p.Dealers, p.Receivers = w.Key, dealers.Roster, w.Roster
	for _, h := range left {
		p.Left = append(p.Left, h.Transcript)
	}
	for _, h := range right {
		p.Right = append(p.Right, h.Transcript)
	}
	s, err := idkg.NewSharing(p)
	if err != nil {
		return nil, err
	}
	var dealt [][]byte
	for _, seat := range s.Order()[:s.Needed()] {
		d, err := s.Deal(dealers.IDs[seat], shares(left, seat), shares(right, seat))
		if err != nil {
			return nil, err
		}
		dealt = append(dealt, d.Encode())
		w.Bytes += len(dealt[len(dealt)-1])
	}
	held := make([][]*idkg.Dealing, len(w.IDs))
	var supports [][]byte
	for seat, me := range w.IDs {
		var good [][32]byte
		for _, b := range dealt {
			d, err := idkg.DecodeDealing(b)
			if err != nil {
				return nil, err
			}
			if err := s.Check(d, me); err != nil {
				return nil, err
			}
			held[seat], good = append(held[seat], d), append(good, d.Digest())
		}
		if seat < w.Roster.SupportNeeded() {
			sup, err := w.Roster.Support(me, good...)
			if err != nil {
				return nil, err
			}
			supports = append(supports, sup.Encode())
			w.Bytes += len(supports[len(supports)-1])
		}
	}
	var out []*Held
	for seat, me := range w.IDs {
		tally := idkg.NewTally(w.Roster)
		for _, b := range supports {
			sup, err := idkg.DecodeSupport(b)
			if err != nil {
				return nil, err
			}
			if err := tally.Add(sup); err != nil {
				return nil, err
			}
		}
		chosen, err := s.Select(held[seat], tally)
		if err != nil {
			return nil, err
		}
		ts, err := s.Combine(chosen, tally)
		if err != nil {
			return nil, err
		}
		loaded, _, err := s.Load(ts, chosen, me, nil)
		if err != nil {
			return nil, err
		}
		for i, t := range ts {
			if seat == 0 {
				out = append(out, &Held{Transcript: t})
			}
			if out[i].Digest() != t.Digest() {
				return nil, errors.New("members made different transcripts")
			}
			out[i].Shares = append(out[i].Shares, loaded[i])
		}
	}
	return out, nil
}

func shares(hs []*Held, seat int) (out []*idkg.Share) {
	for _, h := range hs {
		out = append(out, h.Shares[seat])
	}
	return out
}

// Generate makes a key.
func (w *Network) Generate() (*Held, error) {
	mask, err := w.Run(w, idkg.Params{Kind: idkg.Random}, nil, nil)
	if err != nil {
		return nil, err
	}
	key, err := w.Run(w, idkg.Params{Kind: idkg.ReshareMasked}, mask, nil)
	if err != nil {
		return nil, err
	}
	return key[0], nil
}

// Reshare hands a key on to the members of a later epoch.
func (w *Network) Reshare(next *Network, key *Held) (*Held, error) {
	moved, err := next.Run(w, idkg.Params{Kind: idkg.ReshareUnmasked}, []*Held{key}, nil)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(moved[0].PublicKey(), key.PublicKey()) {
		return nil, errors.New("resharing changed the key")
	}
	return moved[0], nil
}

// Presign makes presignatures, with serials from the first on.
func (w *Network) Presign(key *Held, serial uint64, count int) ([]*Presigned, error) {
	kappa, err := w.Run(w, idkg.Params{Kind: idkg.RandomUnmasked, Serial: serial, Count: count}, nil, nil)
	if err != nil {
		return nil, err
	}
	var lambda, kappaLambda, keyLambda []*Held
	if w.Key.Algorithm == chainkey.EcdsaSecp256k1 {
		if lambda, err = w.Run(w, idkg.Params{Kind: idkg.Random, Serial: serial, Count: count}, nil, nil); err != nil {
			return nil, err
		}
		products := idkg.Params{Kind: idkg.Product, Serial: serial, Count: count}
		if kappaLambda, err = w.Run(w, products, kappa, lambda); err != nil {
			return nil, err
		}
		if keyLambda, err = w.Run(w, products, slices.Repeat([]*Held{key}, count), lambda); err != nil {
			return nil, err
		}
	}
	var out []*Presigned
	for i := range count {
		at := func(hs []*Held) (h Held) {
			if hs != nil {
				h = *hs[i]
			}
			return h
		}
		k, l, kl, xl := at(kappa), at(lambda), at(kappaLambda), at(keyLambda)
		p, err := idkg.NewPresignature(key.Transcript, k.Transcript, l.Transcript, kl.Transcript, xl.Transcript)
		if err != nil {
			return nil, err
		}
		q := &Presigned{Presignature: p}
		for seat := range w.IDs {
			sh := &idkg.Shares{Key: key.Shares[seat], Kappa: k.Shares[seat]}
			if l.Transcript != nil {
				sh.Lambda, sh.KappaLambda, sh.KeyLambda = l.Shares[seat], kl.Shares[seat], xl.Shares[seat]
			}
			q.Shares = append(q.Shares, sh)
		}
		out = append(out, q)
	}
	return out, nil
}

// Sign has every member make its share, verify those of f others, and make the signature.
func (w *Network) Sign(key *Held, p *Presigned, m chainkey.Message) (*idkg.Signature, error) {
	var sent [][]byte
	var signings []*idkg.Signing
	var out *idkg.Signature
	for _, me := range w.IDs {
		s, err := idkg.NewSigning(idkg.Request{Roster: w.Roster, Key: key.Transcript, Presignature: p.Presignature, Message: m, Path: [][]byte{{1}}})
		if err != nil {
			return nil, err
		}
		signings = append(signings, s)
		sh, err := s.Share(me, p.Shares[me.Seat], func(_, _ [32]byte) error { return nil })
		if err != nil {
			return nil, err
		}
		sent = append(sent, sh.Encode())
		w.Bytes += len(sent[len(sent)-1])
	}
	for _, me := range w.IDs {
		s := signings[me.Seat]
		var shares []*idkg.SignatureShare
		for i := range w.Roster.Threshold() {
			sh, err := idkg.DecodeSignatureShare(sent[(me.Seat+i)%len(sent)])
			if err != nil {
				return nil, err
			}
			if i > 0 {
				if err := s.Verify(sh); err != nil {
					return nil, err
				}
			}
			shares = append(shares, sh)
		}
		sig, _, err := s.Combine(shares)
		if err != nil {
			return nil, err
		}
		if out != nil && *out != *sig {
			return nil, errors.New("members made different signatures")
		}
		out = sig
	}
	return out, nil
}
