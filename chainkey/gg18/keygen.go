package gg18

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"
	"github.com/bnb-chain/tss-lib/v2/tss"

	"fusion/chainkey"
)

// The messages of key generation and generous bounds of their sizes in bytes: round 1 carries two proofs of 256 residues, round 2
// a factor proof of 11 numbers to each and a modulus proof of 160 residues and the polynomial's points to all.
var keygenRounds = []round{
	{broadcast: "keygen 1", limits: chainkey.Limits{Broadcast: 160 << 10}},
	{broadcast: "keygen 2", private: "keygen 2 private", limits: chainkey.Limits{Broadcast: 64 << 10, Private: 8 << 10}},
	{broadcast: "keygen 3", limits: chainkey.Limits{Broadcast: 8 << 10}},
}

// Keygen is one member's part in a key generation.
type Keygen struct {
	party
	threshold int
	end       chan *keygen.LocalPartySaveData
	params    *keygen.LocalPreParams
	share     *Share
}

var _ chainkey.Generation = (*Keygen)(nil)

// NewKeygen prepares a member's part. Retired are moduli of earlier epochs, which nobody may use again.
func NewKeygen(g chainkey.Generate, retired []*big.Int) (*Keygen, error) {
	if g.Algorithm != chainkey.EcdsaSecp256k1 {
		return nil, fmt.Errorf("key generation: %w: %s has no %s", chainkey.ErrAlgorithm, Name, g.Algorithm)
	}
	t, err := chainkey.Threshold(g.Seats)
	if err != nil {
		return nil, err
	}
	if g.Threshold != t || t < 2 || g.Seat < 0 || g.Seat >= g.Seats {
		return nil, fmt.Errorf("key generation: seat %d of %d with threshold %d", g.Seat, g.Seats, g.Threshold)
	}
	params, err := parseParams(g.Params, g.AllowLocal)
	if err != nil {
		return nil, fmt.Errorf("key generation: %w", err)
	}
	random, err := newHedged(g.Rand, g.Session, g.Params)
	if err != nil {
		return nil, fmt.Errorf("key generation: %w", err)
	}
	var keys []*big.Int
	for seat := range g.Seats {
		keys = append(keys, bound(g.Session, "share index", seat))
	}
	ids, err := partyIDs(keys)
	if err != nil {
		return nil, err
	}
	k := &Keygen{threshold: t, params: params, end: make(chan *keygen.LocalPartySaveData, 1),
		party: party{ids: ids, seat: g.Seat, kinds: keygenRounds, out: make(chan tss.Message, 4*g.Seats)}}
	p := tss.NewParameters(tss.S256(), tss.NewPeerContext(ids), ids[g.Seat], g.Seats, t)
	p.SetRand(random)
	p.SetPartialKeyRand(random)
	k.lib = keygen.NewLocalParty(p, k.out, k.end, *params)
	for range g.Seats {
		k.filters = append(k.filters, &filter{threshold: t, denyLocal: !g.AllowLocal, myN: params.PaillierSK.N, myNT: params.NTildei,
			foreign: append([]*big.Int{params.PaillierSK.N, params.NTildei}, retired...)})
	}
	return k, nil
}

// Start implements chainkey.Protocol.
func (k *Keygen) Start() (chainkey.Output, error) { return k.start() }

// Deliver implements chainkey.Protocol.
func (k *Keygen) Deliver(r int, in []chainkey.Input) (chainkey.Output, error) {
	out, err := k.deliver(r, in)
	if err != nil {
		return out, err
	}
	if r == 1 {
		if err := distinct(k.filters, k.seat); err != nil {
			k.ended = true
			return chainkey.Output{}, err
		}
	}
	if out.Done {
		select {
		case save := <-k.end:
			k.share = &Share{threshold: k.threshold, seat: k.seat, public: [33]byte(compress(save.ECDSAPub)), save: *save}
			// Reading it back checks that the secret fits the public points.
			encoded := k.share.Encode()
			defer encoded.Wipe()
			if _, err := DecodeShare(encoded); err != nil {
				return chainkey.Output{}, fmt.Errorf("key generation: %w", err)
			}
		default:
			return chainkey.Output{}, errors.New("key generation: the library finished without a share")
		}
	}
	return out, nil
}

// distinct checks after round 1 that no two members share a factor. Who copied whom cannot be told, so both are named: a member
// whose modulus was copied made it public in the same round, and an honest one is then excluded with the cheater at worst.
func distinct(filters []*filter, own int) error {
	for i, a := range filters {
		for j, b := range filters[:i] {
			if i == own || j == own || a.n == nil || b.n == nil {
				continue // checked by the filter, or without moduli
			}
			for _, x := range []*big.Int{a.n, a.ntilde} {
				for _, y := range []*big.Int{b.n, b.ntilde} {
					if new(big.Int).GCD(nil, nil, x, y).Cmp(one) != 0 {
						return &chainkey.Misbehaviour{Seats: []int{j, i}, Reason: "two members' moduli share a factor"}
					}
				}
			}
		}
	}
	return nil
}

// Share implements chainkey.Generation.
func (k *Keygen) Share() (chainkey.Share, error) {
	if k.share == nil {
		return nil, errors.New("key generation is not done")
	}
	return k.share, nil
}

// Wipe implements chainkey.Protocol. A share that was taken remains.
func (k *Keygen) Wipe() {
	k.ended = true
	if k.share == nil {
		p := k.params
		wipe(p.Alpha, p.Beta, p.P, p.Q, p.PaillierSK.P, p.PaillierSK.Q, p.PaillierSK.LambdaN, p.PaillierSK.PhiN)
	}
	k.lib, k.share = nil, nil
}
