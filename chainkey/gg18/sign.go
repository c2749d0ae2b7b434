package gg18

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/bnb-chain/tss-lib/v2/common"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/signing"
	"github.com/bnb-chain/tss-lib/v2/tss"

	"fusion/chainkey"
	"fusion/chainkey/derive"
)

// The messages of signing and generous bounds of their sizes in bytes: rounds 1 and 2 carry Paillier ciphertexts with range
// proofs (6.9 kB at most), the others a few numbers of 32 bytes.
var signRounds = []round{
	{broadcast: "sign 1", private: "sign 1 private", limits: chainkey.Limits{Broadcast: 1 << 10, Private: 16 << 10}},
	{private: "sign 2 private", limits: chainkey.Limits{Private: 16 << 10}},
	{broadcast: "sign 3", limits: chainkey.Limits{Broadcast: 1 << 10}},
	{broadcast: "sign 4", limits: chainkey.Limits{Broadcast: 1 << 10}},
	{broadcast: "sign 5", limits: chainkey.Limits{Broadcast: 1 << 10}},
	{broadcast: "sign 6", limits: chainkey.Limits{Broadcast: 1 << 10}},
	{broadcast: "sign 7", limits: chainkey.Limits{Broadcast: 1 << 10}},
	{broadcast: "sign 8", limits: chainkey.Limits{Broadcast: 1 << 10}},
	{broadcast: "sign 9", limits: chainkey.Limits{Broadcast: 1 << 10}},
}

// Signer is one member's part in a signature.
type Signer struct {
	party
	end       chan *common.SignatureData
	save      keygen.LocalPartySaveData
	public    [33]byte // derived
	message   chainkey.Message
	signature [64]byte
	done      bool
}

var _ chainkey.Signing = (*Signer)(nil)

// NewSigner prepares a member's part. The committee has exactly threshold+1 members.
func NewSigner(c chainkey.Sign) (*Signer, error) {
	share, ok := c.Share.(*Share)
	if !ok {
		return nil, fmt.Errorf("signing: a share of another scheme (%T)", c.Share)
	}
	if len(c.Committee) != share.threshold+1 || !slices.IsSorted(c.Committee) || len(slices.Compact(slices.Clone(c.Committee))) != len(c.Committee) ||
		c.Committee[0] < 0 || c.Committee[len(c.Committee)-1] >= len(share.save.Ks) {
		return nil, fmt.Errorf("signing: committee %v is not %d ascending seats of %d", c.Committee, share.threshold+1, len(share.save.Ks))
	}
	if c.Seat < 0 || c.Seat >= len(c.Committee) || c.Committee[c.Seat] != share.seat {
		return nil, fmt.Errorf("signing: the share of seat %d cannot take place %d of committee %v", share.seat, c.Seat, c.Committee)
	}
	if err := c.Message.Check(chainkey.EcdsaSecp256k1); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	child, err := derive.Secp256k1(share.public, c.ChainCode, c.Path)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	save, err := share.clone()
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	s := &Signer{save: save, public: child.PublicKey, message: c.Message, end: make(chan *common.SignatureData, 1)}
	if err := s.prepare(c, share.threshold, child); err != nil {
		s.Wipe()
		return nil, fmt.Errorf("signing: %w", err)
	}
	return s, nil
}

func (s *Signer) prepare(c chainkey.Sign, threshold int, child derive.Child) error {
	secret := s.save.Xi.FillBytes(make([]byte, 32))
	random, err := newHedged(c.Rand, c.Session, secret)
	clear(secret)
	if err != nil {
		return err
	}
	var keys []*big.Int
	for _, member := range c.Committee {
		keys = append(keys, s.save.Ks[member])
	}
	ids, err := partyIDs(keys)
	if err != nil {
		return err
	}
	var tweak *big.Int
	if t := new(big.Int).SetBytes(child.Tweak[:]); t.Sign() != 0 {
		tweak = t
		pub, err := decompress(child.PublicKey[:])
		if err != nil {
			return err
		}
		saves := []keygen.LocalPartySaveData{s.save}
		if err := signing.UpdatePublicKeyAndAdjustBigXj(tweak, saves, &ecdsa.PublicKey{Curve: tss.S256(), X: pub.X(), Y: pub.Y()}, tss.S256()); err != nil {
			return err
		}
		s.save = saves[0]
	}
	own := s.save
	s.party = party{ids: ids, seat: c.Seat, kinds: signRounds, out: make(chan tss.Message, 4*len(ids))}
	for _, member := range c.Committee {
		s.filters = append(s.filters, &filter{threshold: threshold, n: own.PaillierPKs[member].N, ntilde: own.NTildej[member],
			myN: own.PaillierSK.N, myNT: own.NTildei})
	}
	p := tss.NewParameters(tss.S256(), tss.NewPeerContext(ids), ids[c.Seat], len(ids), threshold)
	p.SetRand(random)
	p.SetPartialKeyRand(random)
	message := new(big.Int).SetBytes(c.Message.Bytes)
	message.Mod(message, order) // SEC1 section 4.1.3: the hash counts modulo the order
	s.lib = signing.NewLocalPartyWithKDD(message, p, s.save, tweak, s.out, s.end, 32)
	// From here on the library reads the members' keys only to label its proofs: bind the label to the session.
	for seat, id := range ids {
		id.Key = bound(c.Session, "proof label", seat).Bytes()
	}
	return nil
}

// Start implements chainkey.Protocol.
func (s *Signer) Start() (chainkey.Output, error) { return s.start() }

// Deliver implements chainkey.Protocol.
func (s *Signer) Deliver(r int, in []chainkey.Input) (chainkey.Output, error) {
	out, err := s.deliver(r, in)
	if err != nil || !out.Done {
		return out, err
	}
	select {
	case data := <-s.end:
		if len(data.R) > 32 || len(data.S) > 32 {
			return chainkey.Output{}, errors.New("signing: the library returned numbers of wrong size")
		}
		copy(s.signature[32-len(data.R):32], data.R)
		copy(s.signature[64-len(data.S):], data.S)
	default:
		return chainkey.Output{}, errors.New("signing: the library finished without a signature")
	}
	if err := chainkey.Verify(chainkey.EcdsaSecp256k1, s.public[:], s.message, s.signature); err != nil {
		return chainkey.Output{}, fmt.Errorf("signing: %w", err)
	}
	s.done = true
	return out, nil
}

// Signature implements chainkey.Signing.
func (s *Signer) Signature() ([64]byte, error) {
	if !s.done {
		return [64]byte{}, errors.New("signing is not done")
	}
	return s.signature, nil
}

// Wipe implements chainkey.Protocol. A finished signature remains.
func (s *Signer) Wipe() {
	s.ended = true
	wipeSave(&s.save)
	s.lib = nil
}
