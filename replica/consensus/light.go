package consensus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	cmtmath "github.com/cometbft/cometbft/libs/math"
	"github.com/cometbft/cometbft/p2p"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	sm "github.com/cometbft/cometbft/state"
	cmtstore "github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"
	wire "github.com/cosmos/gogoproto/types"
)

// Light blocks are headers with the votes under them and the set of validators: all that is needed to trust the hash of a state. Each
// replica hands them out to its peers on a channel of their connections, and those who join check them (see chain).

const (
	lightChannel = byte(0x70)
	lightReactor = "LIGHT"
	// maxLight bounds a message. A header and 128 votes and validators have about 40 kB.
	maxLight = 256 << 10

	lightAsk    = 0 // height
	lightAnswer = 1 // height, light block in CometBFT's encoding
)

func lightChannels() []*p2p.ChannelDescriptor {
	return []*p2p.ChannelDescriptor{{ID: lightChannel, Priority: 2, SendQueueCapacity: 16, RecvMessageCapacity: maxLight, MessageType: &wire.BytesValue{}}}
}

func lightMessage(kind byte, height int64, block []byte) p2p.Envelope {
	b := binary.BigEndian.AppendUint64([]byte{kind}, uint64(height))
	return p2p.Envelope{ChannelID: lightChannel, Message: &wire.BytesValue{Value: append(b, block...)}}
}

var errLight = errors.New("invalid light block")

// parseLight reads a message of the channel. The block is nil in a question.
func parseLight(b []byte) (kind byte, height int64, block *types.LightBlock, err error) {
	if len(b) < 9 || len(b) > maxLight {
		return 0, 0, nil, fmt.Errorf("%w: %d bytes", errLight, len(b))
	}
	kind, height = b[0], int64(binary.BigEndian.Uint64(b[1:]))
	if height < 1 || kind > lightAnswer || kind == lightAsk && len(b) > 9 {
		return 0, 0, nil, fmt.Errorf("%w: message of kind %d for block %d", errLight, kind, height)
	}
	if kind == lightAsk {
		return kind, height, nil, nil
	}
	var pb cmtproto.LightBlock
	if err := pb.Unmarshal(b[9:]); err != nil {
		return 0, 0, nil, fmt.Errorf("%w: %w", errLight, err)
	}
	if pb.ValidatorSet == nil || pb.SignedHeader == nil || pb.SignedHeader.Header == nil || pb.SignedHeader.Commit == nil {
		return 0, 0, nil, fmt.Errorf("%w: it lacks a part", errLight)
	}
	if block, err = types.LightBlockFromProto(&pb); err != nil {
		return 0, 0, nil, fmt.Errorf("%w: %w", errLight, err)
	}
	if block.Height != height {
		return 0, 0, nil, fmt.Errorf("%w: block %d for %d", errLight, block.Height, height)
	}
	return kind, height, block, nil
}

// lightServer answers for the blocks that this node has.
type lightServer struct {
	p2p.BaseReactor
	blocks *cmtstore.BlockStore
	states sm.Store
}

func newLightServer() *lightServer {
	s := &lightServer{}
	s.BaseReactor = *p2p.NewBaseReactor(lightReactor, s)
	return s
}

// open gives it the node's stores, before the node starts.
func (s *lightServer) open(blocks, states dbm.DB) {
	s.blocks, s.states = cmtstore.NewBlockStore(blocks), sm.NewStore(states, sm.StoreOptions{DiscardABCIResponses: true})
}

func (s *lightServer) GetChannels() []*p2p.ChannelDescriptor { return lightChannels() }

func (s *lightServer) Receive(e p2p.Envelope) {
	msg, ok := e.Message.(*wire.BytesValue)
	if !ok {
		return
	}
	kind, height, _, err := parseLight(msg.Value)
	if err != nil {
		s.Switch.StopPeerForError(e.Src, err)
		return
	}
	if kind != lightAsk {
		return
	}
	if block := s.load(height); block != nil {
		e.Src.TrySend(lightMessage(lightAnswer, height, block))
	}
}

// load returns a light block in CometBFT's encoding, or nil.
func (s *lightServer) load(height int64) []byte {
	// Not through a BlockStore's height, which only the node's own one keeps up to date.
	meta := s.blocks.LoadBlockMeta(height)
	if meta == nil {
		return nil
	}
	commit := s.blocks.LoadBlockCommit(height)
	if commit == nil {
		commit = s.blocks.LoadSeenCommit(height) // of the last block
	}
	validators, err := s.states.LoadValidators(height)
	if commit == nil || err != nil {
		return nil
	}
	block := types.LightBlock{SignedHeader: &types.SignedHeader{Header: &meta.Header, Commit: commit}, ValidatorSet: validators}
	pb, err := block.ToProto()
	if err != nil {
		return nil
	}
	b, err := pb.Marshal()
	if err != nil {
		return nil
	}
	return b
}

// TrustPoint is a block that an operator vouches for.
type TrustPoint struct {
	Height uint64
	Hash   []byte // of the header
}

// ErrTrust says that what peers show does not follow from what is trusted.
var ErrTrust = errors.New("the peers' blocks do not follow from what is trusted")

// chain decides which light blocks to believe. It starts from the validators of the genesis document, or from a block that the operator
// named, and believes a block that more than two thirds of its own validators have signed, if also more than a third of a set that was
// believed before have: at least one honest one of them. Where sets have changed too much for that, blocks between are asked for. And f+1
// peers have to show the same block with the same validators, because whose turn it is to propose is not in the header.
type chain struct {
	id        string
	consensus []byte // hash of the consensus parameters, which never change
	ask       func(ctx context.Context, height int64, good func(*types.LightBlock) error, need int) (*types.LightBlock, error)
	base      anchor
	known     map[int64]*types.LightBlock // believed
}

// anchor is what is known of the validators at a height.
type anchor struct {
	height     int64
	validators *types.ValidatorSet
	next       []byte // hash of the validators of the height above
}

func anchorOf(b *types.LightBlock) anchor {
	return anchor{b.Height, b.ValidatorSet, b.NextValidatorsHash}
}

func newChain(id string, base int64, genesis *types.ValidatorSet, params types.ConsensusParams) *chain {
	return &chain{id: id, consensus: params.Hash(), base: anchor{base, genesis, genesis.Hash()}, known: map[int64]*types.LightBlock{}}
}

// trust starts from a block that the operator named.
func (c *chain) trust(ctx context.Context, p TrustPoint) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	b, err := c.ask(ctx, int64(p.Height), func(b *types.LightBlock) error {
		if !bytes.Equal(b.Hash(), p.Hash) {
			return fmt.Errorf("%w: block %d has hash %X, the trusted one has %X", ErrTrust, b.Height, b.Hash(), p.Hash)
		}
		return c.own(b)
	}, 1)
	if err != nil {
		return err
	}
	c.base, c.known = anchorOf(b), map[int64]*types.LightBlock{b.Height: b}
	return nil
}

// below is the highest believed block below a height.
func (c *chain) below(height int64) anchor {
	a := c.base
	for h, b := range c.known {
		if h > a.height && h < height {
			a = anchorOf(b)
		}
	}
	return a
}

// own checks what a block says of itself.
func (c *chain) own(b *types.LightBlock) error {
	if err := b.ValidateBasic(c.id); err != nil {
		return fmt.Errorf("%w: %w", errLight, err)
	}
	if !bytes.Equal(b.ConsensusHash, c.consensus) {
		return fmt.Errorf("%w: block %d has other consensus parameters than the genesis document", ErrTrust, b.Height)
	}
	if err := types.VerifyCommitLight(c.id, b.ValidatorSet, b.Commit.BlockID, b.Height, b.Commit); err != nil {
		return fmt.Errorf("%w: votes of block %d: %w", ErrTrust, b.Height, err)
	}
	return nil
}

// errFar says that blocks between are needed.
var errFar = errors.New("too few of the trusted validators have signed")

func (c *chain) follows(from anchor, b *types.LightBlock) error {
	if err := c.own(b); err != nil {
		return err
	}
	switch {
	case b.Height == from.height+1:
		if !bytes.Equal(b.ValidatorsHash, from.next) {
			return fmt.Errorf("%w: block %d has other validators than block %d announces", ErrTrust, b.Height, from.height)
		}
		return nil
	case bytes.Equal(b.ValidatorsHash, from.validators.Hash()):
		return nil
	}
	if err := types.VerifyCommitLightTrusting(c.id, from.validators, b.Commit, cmtmath.Fraction{Numerator: 1, Denominator: 3}); err != nil {
		return fmt.Errorf("%w: %w of block %d: %w", errFar, ErrTrust, b.Height, err)
	}
	return nil
}

// patience is how long to wait for a block that a peer claims to have.
const patience = 10 * time.Second

// at returns the block of a height once it can be believed.
func (c *chain) at(ctx context.Context, height int64) (*types.LightBlock, error) {
	if b := c.known[height]; b != nil {
		return b, nil
	}
	if height <= c.base.height {
		return nil, fmt.Errorf("%w: block %d lies before block %d, which is trusted", ErrTrust, height, c.base.height)
	}
	from := c.below(height)
	// The number of faulty peers is that of the newest set that is believed.
	need := (from.validators.Size()-1)/3 + 1
	asking, cancel := context.WithTimeout(ctx, patience)
	b, err := c.ask(asking, height, func(b *types.LightBlock) error { return c.follows(from, b) }, need)
	cancel()
	if errors.Is(err, errFar) && height > from.height+1 {
		if _, err := c.at(ctx, from.height+(height-from.height)/2); err != nil {
			return nil, err
		}
		return c.at(ctx, height)
	}
	if err != nil {
		return nil, err
	}
	c.known[height] = b
	return b, nil
}

// lightClient asks peers for light blocks.
type lightClient struct {
	p2p.BaseReactor
	mu      sync.Mutex
	height  int64 // that is being asked for, or 0
	answers map[p2p.ID]*types.LightBlock
	changed chan struct{}
}

func newLightClient() *lightClient {
	c := &lightClient{changed: make(chan struct{}, 1)}
	c.BaseReactor = *p2p.NewBaseReactor(lightReactor, c)
	return c
}

func (c *lightClient) GetChannels() []*p2p.ChannelDescriptor { return lightChannels() }

func (c *lightClient) AddPeer(peer p2p.Peer) {
	c.mu.Lock()
	height := c.height
	c.mu.Unlock()
	if height > 0 {
		peer.TrySend(lightMessage(lightAsk, height, nil))
	}
}

func (c *lightClient) Receive(e p2p.Envelope) {
	msg, ok := e.Message.(*wire.BytesValue)
	if !ok {
		return
	}
	kind, height, block, err := parseLight(msg.Value)
	if err != nil {
		c.Switch.StopPeerForError(e.Src, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if kind != lightAnswer || height != c.height {
		return
	}
	c.answers[e.Src.ID()] = block
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// askAgain is how often a question is repeated: a message may be lost, and a peer may have the block a little later.
const askAgain = 300 * time.Millisecond

// ask returns the block that need peers show alike, of those that are good. When the context ends first, or all who answered are refused by good
// for the same reason, it says why. One question is asked at a time.
func (c *lightClient) ask(ctx context.Context, height int64, good func(*types.LightBlock) error, need int) (*types.LightBlock, error) {
	c.mu.Lock()
	c.height, c.answers = height, map[p2p.ID]*types.LightBlock{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.height, c.answers = 0, nil
		c.mu.Unlock()
	}()
	var refused error // why an answer was
	check := func(b *types.LightBlock) error {
		err := good(b)
		if err != nil {
			refused = err
		}
		return err
	}
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		for _, p := range c.Switch.Peers().Copy() {
			p.TrySend(lightMessage(lightAsk, height, nil))
		}
		select {
		case <-c.changed:
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("asking %d peers for block %d, %d have to agree: %w", c.Switch.Peers().Size(), height, need, errors.Join(ctx.Err(), refused))
		}
		c.mu.Lock()
		block, err := choose(c.answers, check, need)
		c.mu.Unlock()
		if block != nil || err != nil {
			return block, err
		}
	}
}

// choose finds a block that need peers show alike, or the reason for which so many were refused.
func choose(answers map[p2p.ID]*types.LightBlock, good func(*types.LightBlock) error, need int) (*types.LightBlock, error) {
	count := map[[32]byte]int{}
	far := 0
	for _, b := range answers {
		if err := good(b); err != nil {
			if errors.Is(err, errFar) {
				if far++; far >= need {
					return nil, err
				}
			}
			continue
		}
		key, err := fingerprint(b)
		if err != nil {
			continue
		}
		if count[key]++; count[key] >= need {
			return b, nil
		}
	}
	return nil, nil
}

// fingerprint is equal for equal headers and validators with their turns. Votes may differ.
func fingerprint(b *types.LightBlock) (key [32]byte, err error) {
	v, err := b.ValidatorSet.ToProto()
	if err != nil {
		return key, err
	}
	raw, err := v.Marshal()
	if err != nil {
		return key, err
	}
	return sha256.Sum256(append(append([]byte{}, b.Hash()...), raw...)), nil
}
