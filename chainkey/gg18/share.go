package gg18

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"

	"github.com/bnb-chain/tss-lib/v2/crypto"
	"github.com/bnb-chain/tss-lib/v2/crypto/paillier"
	"github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"
	"github.com/bnb-chain/tss-lib/v2/tss"
	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/chainkey"
	"fusion/chainkey/gg18/localparams"
	"fusion/internal/codec"
)

// ErrShare says that an encoded share is damaged.
var ErrShare = errors.New("invalid key share")

// Share is one member's part of a key.
type Share struct {
	threshold int
	seat      int
	public    [33]byte
	save      keygen.LocalPartySaveData
}

var _ chainkey.Share = (*Share)(nil)

// PublicKey implements chainkey.Share.
func (s *Share) PublicKey() []byte { return bytes.Clone(s.public[:]) }

// PublicShares implements chainkey.Share: of every seat the share's index, in 32 bytes, and share·G.
func (s *Share) PublicShares() (out [][]byte) {
	for i, k := range s.save.Ks {
		out = append(out, append(k.FillBytes(make([]byte, 32)), compress(s.save.BigXj[i])...))
	}
	return out
}

// Threshold is t: t+1 members sign.
func (s *Share) Threshold() int { return s.threshold }

// Moduli are all members' moduli, which a later epoch must not reuse.
func (s *Share) Moduli() []*big.Int {
	var m []*big.Int
	for i, n := range s.save.NTildej {
		m = append(m, n, s.save.PaillierPKs[i].N)
	}
	return m
}

// String, GoString, MarshalJSON and MarshalText show nothing secret.
func (s *Share) String() string {
	return fmt.Sprintf("share of seat %d of %d for key %x", s.seat, len(s.save.Ks), s.public)
}

// GoString implements fmt.GoStringer.
func (s *Share) GoString() string { return s.String() }

// Format implements fmt.Formatter.
func (s *Share) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (s *Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Wipe implements chainkey.Share.
func (s *Share) Wipe() { wipeSave(&s.save) }

func wipeSave(d *keygen.LocalPartySaveData) {
	wipe(d.Xi, d.Alpha, d.Beta, d.P, d.Q)
	if d.PaillierSK != nil {
		wipe(d.PaillierSK.P, d.PaillierSK.Q, d.PaillierSK.LambdaN, d.PaillierSK.PhiN)
	}
}

// stored is the encoded form. Numbers are big-endian, points SEC1 compressed.
type stored struct {
	_         struct{} `cbor:",toarray"`
	Version   uint8
	Threshold uint32
	Seat      uint32
	Params    []byte
	Secret    []byte
	Public    []byte
	Members   []storedMember
}

type storedMember struct {
	_        struct{} `cbor:",toarray"`
	Index    []byte   // of the share, the x coordinate of the polynomial
	Point    []byte   // share·G
	Paillier []byte
	NTilde   []byte
	H1, H2   []byte
}

// maxShare bounds an encoded share of 40 members, in bytes.
const maxShare = 64 << 10

// Encode implements chainkey.Share.
func (s *Share) Encode() chainkey.Secret {
	d := &s.save
	set := localparams.Set{PaillierP: d.PaillierSK.P, PaillierQ: d.PaillierSK.Q, P: d.P, Q: d.Q, H1: d.H1i, Alpha: d.Alpha}
	v := stored{Version: 1, Threshold: uint32(s.threshold), Seat: uint32(s.seat), Params: set.Encode(),
		Secret: d.Xi.FillBytes(make([]byte, 32)), Public: s.public[:]}
	defer clear(v.Secret)
	defer clear(v.Params)
	for i, k := range d.Ks {
		v.Members = append(v.Members, storedMember{Index: k.Bytes(), Point: compress(d.BigXj[i]), Paillier: d.PaillierPKs[i].N.Bytes(),
			NTilde: d.NTildej[i].Bytes(), H1: d.H1j[i].Bytes(), H2: d.H2j[i].Bytes()})
	}
	return codec.Marshal(v)
}

// DecodeShare reads an encoded share and checks that its parts belong together.
func DecodeShare(b chainkey.Secret) (*Share, error) {
	if len(b) > maxShare {
		return nil, fmt.Errorf("%w: %d bytes", ErrShare, len(b))
	}
	var v stored
	if err := codec.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShare, err)
	}
	defer clear(v.Secret)
	defer clear(v.Params)
	n := len(v.Members)
	if t, err := chainkey.Threshold(n); err != nil || v.Version != 1 || int(v.Threshold) != t || int(v.Seat) >= n ||
		len(v.Secret) != 32 || len(v.Public) != 33 {
		return nil, fmt.Errorf("%w: version %d, threshold %d, seat %d of %d", ErrShare, v.Version, v.Threshold, v.Seat, n)
	}
	params, err := parseParams(v.Params, true)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShare, err)
	}
	s := &Share{threshold: int(v.Threshold), seat: int(v.Seat), public: [33]byte(v.Public), save: keygen.NewLocalPartySaveData(n)}
	d := &s.save
	d.LocalPreParams = *params
	if d.ECDSAPub, err = decompress(v.Public); err != nil {
		return nil, fmt.Errorf("%w: public key: %w", ErrShare, err)
	}
	d.Xi = new(big.Int).SetBytes(v.Secret)
	for i, m := range v.Members {
		number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
		d.Ks[i], d.NTildej[i], d.H1j[i], d.H2j[i] = number(m.Index), number(m.NTilde), number(m.H1), number(m.H2)
		d.PaillierPKs[i] = &paillier.PublicKey{N: number(m.Paillier)}
		if d.BigXj[i], err = decompress(m.Point); err != nil {
			return nil, fmt.Errorf("%w: point of seat %d: %w", ErrShare, i, err)
		}
	}
	own := int(v.Seat)
	d.ShareID = new(big.Int).Set(d.Ks[own])
	if d.Xi.Sign() == 0 || d.Xi.Cmp(order) >= 0 || !crypto.ScalarBaseMult(tss.S256(), d.Xi).Equals(d.BigXj[own]) {
		return nil, fmt.Errorf("%w: the secret is not that of its public point", ErrShare)
	}
	if d.PaillierPKs[own].N.Cmp(params.PaillierSK.N) != 0 || d.NTildej[own].Cmp(params.NTildei) != 0 ||
		d.H1j[own].Cmp(params.H1i) != 0 || d.H2j[own].Cmp(params.H2i) != 0 {
		return nil, fmt.Errorf("%w: the parameters are not those of seat %d", ErrShare, own)
	}
	return s, nil
}

// clone copies every number: the library changes and aliases what it is given.
func (s *Share) clone() (keygen.LocalPartySaveData, error) {
	encoded := s.Encode()
	defer encoded.Wipe()
	c, err := DecodeShare(encoded)
	if err != nil {
		return keygen.LocalPartySaveData{}, err
	}
	return c.save, nil
}

func compress(p *crypto.ECPoint) []byte {
	var x, y secp.FieldVal
	x.SetByteSlice(p.X().Bytes())
	y.SetByteSlice(p.Y().Bytes())
	return secp.NewPublicKey(&x, &y).SerializeCompressed()
}

func decompress(b []byte) (*crypto.ECPoint, error) {
	if len(b) != 33 {
		return nil, fmt.Errorf("a point of %d bytes", len(b))
	}
	p, err := secp.ParsePubKey(b)
	if err != nil {
		return nil, err
	}
	return crypto.NewECPoint(tss.S256(), p.X(), p.Y())
}
