package outcalls

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A request of kind Height asks how far a chain has come: the number of its latest, safe or finalized block. Honest replicas see different numbers,
// since their providers do and they ask at different times. So what a replica signs is not the digest of an answer but the height itself, in the
// place of the digest: an opinion. Two items end such a request:
//
//   - n−f opinions that name a height. The answer is the (f+1)-th smallest. Of n−f ≥ 2f+1 opinions, f+1 are not above it and f+1 are not below it,
//     so that an honest replica stands on either side: whatever f replicas say, the answer lies between what two honest ones saw.
//   - f+1 opinions that name none, at least one of which is an honest replica's: the request is rejected.

const heightSize = 8

// HeightAnswer is how a Source of kind Height says what it saw, and how the machine says what was settled.
func HeightAnswer(height uint64) Answer {
	return Answer{Reply: binary.BigEndian.AppendUint64(nil, height)}
}

// ReadHeight reads the reply of a settled height.
func ReadHeight(reply []byte) (uint64, error) {
	if len(reply) != heightSize {
		return 0, fmt.Errorf("a height of %d bytes, want %d", len(reply), heightSize)
	}
	return binary.BigEndian.Uint64(reply), nil
}

// HeightReply is how large the reply to a request of kind Height may be.
const HeightReply = heightSize

// opinion is what a node signs for what its source said: 1 and the height, or nothing but zeroes where it has none.
func opinion(a *Answer) (out [sha256.Size]byte) {
	if h, err := ReadHeight(a.Reply); a.RejectCode == 0 && err == nil {
		out[0] = 1
		binary.BigEndian.PutUint64(out[sha256.Size-heightSize:], h)
	}
	return out
}

func readOpinion(b []byte) (height uint64, known bool, err error) {
	if len(b) != sha256.Size {
		return 0, false, fmt.Errorf("an opinion of %d bytes", len(b))
	}
	a := Answer{RejectCode: sysTransient}
	if b[0] != 0 {
		a = HeightAnswer(binary.BigEndian.Uint64(b[sha256.Size-heightSize:]))
	}
	if [sha256.Size]byte(b) != opinion(&a) {
		return 0, false, errors.New("an opinion that is no height")
	}
	return binary.BigEndian.Uint64(b[sha256.Size-heightSize:]), b[0] != 0, nil
}

// settled verifies the opinions of an item and says what they settle.
func (m *Machine) settled(o *Open, shares []Share) (*Answer, error) {
	roster := m.roster()
	if len(shares) != roster.Quorum() && len(shares) != roster.F()+1 {
		return nil, fmt.Errorf("%d opinions, want %d with heights or %d without", len(shares), roster.Quorum(), roster.F()+1)
	}
	var heights []uint64
	if err := m.verify(o, shares, func(s *Share) ([]byte, error) {
		h, known, err := readOpinion(s.Digest)
		if known {
			heights = append(heights, h)
		}
		return s.Digest, err
	}); err != nil {
		return nil, err
	}
	var a Answer
	switch {
	case len(heights) == roster.Quorum() && len(shares) == len(heights):
		slices.Sort(heights)
		a = HeightAnswer(heights[roster.F()])
	case len(heights) == 0 && len(shares) == roster.F()+1:
		a = Rejection(sysTransient, "%d of %d replicas could not learn how far the chain has come: too few of their Ethereum providers answer, or none are configured",
			len(shares), roster.N())
	default:
		return nil, fmt.Errorf("%d opinions, %d of which name a height, settle nothing", len(shares), len(heights))
	}
	return &a, nil
}

// settling is an item of what is needed of the members' shares, or nil while they settle nothing.
func (m *Machine) settling(id uint64, shares []Share) *item {
	var with, without []Share
	for _, s := range shares {
		if _, known, err := readOpinion(s.Digest); err == nil && known {
			with = append(with, s)
		} else if err == nil {
			without = append(without, s)
		}
	}
	roster := m.roster()
	switch {
	case len(with) >= roster.Quorum():
		return &item{ID: id, Shares: with[:roster.Quorum()]}
	case len(without) > roster.F():
		return &item{ID: id, Shares: without[:roster.F()+1]}
	}
	return nil
}
