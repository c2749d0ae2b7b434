package consensus

import (
	"bytes"
	stded25519 "crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"sync"
	"time"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"fusion/internal/durable"
	"fusion/internal/redact"
	"fusion/internal/strictjson"
)

// Errors of a Signer.
var (
	ErrDoubleSign = errors.New("refusing to sign a second time for the same step")
	ErrSignState  = errors.New("invalid sign state")
)

// Steps of a round, in the order of signing.
const (
	stepProposal  = 1
	stepPrevote   = 2
	stepPrecommit = 3
)

// maxSignState bounds the state file, which is of some hundred bytes: bytes.
const maxSignState = 64 << 10

// Signer is a validator's key with the memory of what it signed last. Unlike CometBFT's file signer it keeps the key
// out of the state file and reports errors instead of ending the process.
type Signer struct {
	key  ed25519.PrivKey
	path string
	fs   durable.FS
	// broken is told when the state file cannot be written: nothing is signed any more then.
	broken func(error)

	mu   sync.Mutex
	last signState
}

// Format shows no key, whatever the verb.
func (*Signer) Format(f fmt.State, _ rune) { redact.Format(f, "validator") }

// signState is the last signature. It is written before the signature is given away.
type signState struct {
	Height    int64     `json:"height"`
	Round     int32     `json:"round"`
	Step      int8      `json:"step"`
	Time      time.Time `json:"time"` // the message's, to sign the same again
	SignBytes []byte    `json:"sign_bytes"`
	Signature []byte    `json:"signature"`
}

var _ types.PrivValidator = (*Signer)(nil)

// OpenSigner reads the state file. A missing file is created if create is set and an error otherwise.
func OpenSigner(key stded25519.PrivateKey, path string, create bool) (*Signer, error) {
	return openSigner(durable.OS{}, key, path, create)
}

func openSigner(fsys durable.FS, key stded25519.PrivateKey, path string, create bool) (*Signer, error) {
	if len(key) != stded25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: validator key of %d bytes", ErrConfig, len(key))
	}
	s := &Signer{key: ed25519.PrivKey(bytes.Clone(key)), path: path, fs: fsys, broken: func(error) {}}
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		return s, s.save()
	case err != nil:
		return nil, fmt.Errorf("reading the sign state: %w", err)
	}
	if err := strictjson.Unmarshal(raw, maxSignState, &s.last); err != nil {
		return nil, fmt.Errorf("%w in %s: %w", ErrSignState, path, err)
	}
	l := s.last
	signed := len(l.Signature) == ed25519.SignatureSize && len(l.SignBytes) > 0
	if l.Height < 0 || l.Round < 0 || l.Step < 0 || l.Step > stepPrecommit || signed != (l.Height > 0) {
		return nil, fmt.Errorf("%w in %s", ErrSignState, path)
	}
	return s, nil
}

// Abstain writes the state file of a validator that has lost its own: it signs nothing up to a height. It replaces no file.
func Abstain(key stded25519.PrivateKey, path string, height uint64) error {
	if height == 0 || height > math.MaxInt64 {
		return fmt.Errorf("%w: height %d", ErrConfig, height)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%w: %s exists", ErrSignState, path), err)
	}
	// No vote has these bytes, so nothing is ever signed again at that height either.
	what := []byte("abstained")
	s := &Signer{path: path, fs: durable.OS{}, last: signState{Height: int64(height), Round: math.MaxInt32, Step: stepPrecommit, SignBytes: what, Signature: stded25519.Sign(key, what)}}
	return s.save()
}

// GetPubKey implements types.PrivValidator.
func (s *Signer) GetPubKey() (crypto.PubKey, error) { return s.key.PubKey(), nil }

// SignVote implements types.PrivValidator.
func (s *Signer) SignVote(chainID string, vote *cmtproto.Vote) error {
	step := int8(stepPrevote)
	if vote.Type == cmtproto.PrecommitType {
		step = stepPrecommit
	}
	if len(vote.Extension) > 0 {
		return errors.New("vote extensions are not used")
	}
	sig, at, err := s.sign(vote.Height, vote.Round, step, vote.Timestamp, func(t time.Time) []byte {
		v := *vote
		v.Timestamp = t
		return types.VoteSignBytes(chainID, &v)
	})
	if err != nil {
		return err
	}
	vote.Signature, vote.Timestamp = sig, at
	// CometBFT expects a signature over the empty extension of a precommit for a block, and drops it when extensions
	// are off.
	if vote.Type == cmtproto.PrecommitType && !types.ProtoBlockIDIsNil(&vote.BlockID) {
		if vote.ExtensionSignature, err = s.key.Sign(types.VoteExtensionSignBytes(chainID, vote)); err != nil {
			return fmt.Errorf("signing a vote: %w", err)
		}
	}
	return nil
}

// SignProposal implements types.PrivValidator.
func (s *Signer) SignProposal(chainID string, p *cmtproto.Proposal) error {
	sig, at, err := s.sign(p.Height, p.Round, stepProposal, p.Timestamp, func(t time.Time) []byte {
		q := *p
		q.Timestamp = t
		return types.ProposalSignBytes(chainID, &q)
	})
	if err != nil {
		return err
	}
	p.Signature, p.Timestamp = sig, at
	return nil
}

// sign signs message(at) unless something else was signed for this step or a later one. A replica that crashed after
// signing asks again with another time; it gets the old signature and the old time.
func (s *Signer) sign(height int64, round int32, step int8, at time.Time, message func(time.Time) []byte) ([]byte, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.last
	switch {
	case height == l.Height && round == l.Round && step == l.Step:
		if !bytes.Equal(message(l.Time), l.SignBytes) {
			return nil, at, fmt.Errorf("%w: height %d, round %d, step %d", ErrDoubleSign, height, round, step)
		}
		return bytes.Clone(l.Signature), l.Time, nil
	case height < l.Height || height == l.Height && (round < l.Round || round == l.Round && step < l.Step):
		return nil, at, fmt.Errorf("%w: height %d, round %d, step %d after %d, %d, %d", ErrDoubleSign,
			height, round, step, l.Height, l.Round, l.Step)
	}
	msg := message(at)
	sig, err := s.key.Sign(msg)
	if err != nil {
		return nil, at, fmt.Errorf("signing for height %d: %w", height, err)
	}
	s.last = signState{height, round, step, at, msg, sig}
	if err := s.save(); err != nil {
		s.last = l
		s.broken(err)
		return nil, at, err
	}
	return bytes.Clone(sig), at, nil
}

// save replaces the state file, durably.
func (s *Signer) save() error {
	raw, err := json.Marshal(s.last)
	if err == nil {
		err = durable.Replace(s.fs, s.path, raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the sign state %s: %w; make room on the disk or replace it, then start again", s.path, err)
	}
	return nil
}
