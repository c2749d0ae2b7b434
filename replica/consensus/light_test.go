package consensus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmtversion "github.com/cometbft/cometbft/proto/tendermint/version"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"
)

// testChain is a chain of headers whose validators change as a test wants.
type testChain struct {
	t      testing.TB
	blocks map[int64]*types.LightBlock
	asked  []int64
}

func testSet(nodes ...int) *types.ValidatorSet {
	var list []*types.Validator
	for _, i := range nodes {
		list = append(list, types.NewValidator(cmted25519.PrivKey(testKey("validator", i)).PubKey(), 1))
	}
	return types.NewValidatorSet(list)
}

var testParams = *types.DefaultConsensusParams()

// signedBlock is a block of a set, signed by some of it.
func signedBlock(t testing.TB, height int64, set, next *types.ValidatorSet, appHash []byte, signers ...int) *types.LightBlock {
	t.Helper()
	h := types.Header{Version: cmtversion.Consensus{Block: version.BlockProtocol}, ChainID: "test", Height: height, Time: time.Unix(height, 0),
		ValidatorsHash: set.Hash(), NextValidatorsHash: next.Hash(), ConsensusHash: testParams.Hash(), AppHash: appHash,
		ProposerAddress: set.Validators[0].Address, LastResultsHash: bytes.Repeat([]byte{1}, 32), DataHash: bytes.Repeat([]byte{2}, 32),
		LastCommitHash: bytes.Repeat([]byte{3}, 32), EvidenceHash: bytes.Repeat([]byte{4}, 32)}
	id := types.BlockID{Hash: h.Hash(), PartSetHeader: types.PartSetHeader{Total: 1, Hash: bytes.Repeat([]byte{5}, 32)}}
	commit := &types.Commit{Height: height, BlockID: id, Signatures: make([]types.CommitSig, set.Size())}
	for i := range commit.Signatures {
		commit.Signatures[i] = types.NewCommitSigAbsent()
	}
	for _, s := range signers {
		key := cmted25519.PrivKey(testKey("validator", s))
		i, v := set.GetByAddress(key.PubKey().Address())
		if v == nil {
			t.Fatalf("node %d is not in the set", s)
		}
		vote := &types.Vote{Type: cmtproto.PrecommitType, Height: height, BlockID: id, Timestamp: h.Time, ValidatorAddress: v.Address, ValidatorIndex: i}
		sig, err := key.Sign(types.VoteSignBytes("test", vote.ToProto()))
		if err != nil {
			t.Fatal(err)
		}
		commit.Signatures[i] = types.CommitSig{BlockIDFlag: types.BlockIDFlagCommit, ValidatorAddress: v.Address, Timestamp: h.Time, Signature: sig}
	}
	return &types.LightBlock{SignedHeader: &types.SignedHeader{Header: &h, Commit: commit}, ValidatorSet: set}
}

// ask answers as one honest peer and one that has nothing would.
func (c *testChain) ask(_ context.Context, height int64, good func(*types.LightBlock) error, _ int) (*types.LightBlock, error) {
	c.asked = append(c.asked, height)
	b := c.blocks[height]
	if b == nil {
		return nil, context.DeadlineExceeded
	}
	return b, good(b)
}

func newTestChain(t testing.TB, blocks ...*types.LightBlock) (*chain, *testChain) {
	tc := &testChain{t: t, blocks: map[int64]*types.LightBlock{}}
	for _, b := range blocks {
		tc.blocks[b.Height] = b
	}
	c := newChain("test", 0, testSet(0, 1, 2, 3), testParams)
	c.ask = tc.ask
	return c, tc
}

func TestChain(t *testing.T) {
	ctx := t.Context()
	genesis := testSet(0, 1, 2, 3)
	good := func(c *chain, heights ...int64) {
		t.Helper()
		for _, h := range heights {
			if _, err := c.at(ctx, h); err != nil {
				t.Errorf("block %d: %v", h, err)
			}
		}
	}
	bad := func(c *chain, height int64, want error) {
		t.Helper()
		if _, err := c.at(ctx, height); !errors.Is(err, want) {
			t.Errorf("block %d: %v, want %v", height, err, want)
		}
	}
	t.Run("the same validators", func(t *testing.T) {
		c, _ := newTestChain(t, signedBlock(t, 500, genesis, genesis, nil, 0, 1, 2), signedBlock(t, 400, genesis, genesis, nil, 0, 1, 3))
		good(c, 500, 400, 500) // an older one after a newer one: a snapshot may be refused and the one before tried
	})
	t.Run("too few votes", func(t *testing.T) {
		c, _ := newTestChain(t, signedBlock(t, 500, genesis, genesis, nil, 0, 1))
		bad(c, 500, ErrTrust)
	})
	t.Run("another chain's votes", func(t *testing.T) {
		b := signedBlock(t, 500, genesis, genesis, nil, 0, 1, 2)
		b.AppHash = []byte("forged")
		c, _ := newTestChain(t, b)
		bad(c, 500, errLight)
	})
	t.Run("strangers", func(t *testing.T) {
		strangers := testSet(7, 8, 9, 10)
		c, _ := newTestChain(t, signedBlock(t, 500, strangers, strangers, nil, 7, 8, 9, 10))
		bad(c, 500, context.DeadlineExceeded) // nobody has blocks between
		c, _ = newTestChain(t, signedBlock(t, 1, strangers, strangers, nil, 7, 8, 9, 10))
		bad(c, 1, ErrTrust)
	})
	t.Run("a node more and one less", func(t *testing.T) {
		five, four := testSet(0, 1, 2, 3, 4), testSet(1, 2, 3, 4)
		c, tc := newTestChain(t, signedBlock(t, 500, five, five, nil, 0, 1, 2, 4), signedBlock(t, 900, four, four, nil, 2, 3, 4))
		good(c, 500, 900)
		if len(tc.asked) != 2 {
			t.Errorf("asked for %v", tc.asked)
		}
	})
	t.Run("all nodes, one after the other", func(t *testing.T) {
		var blocks []*types.LightBlock
		sets := []*types.ValidatorSet{genesis, testSet(1, 2, 3, 4), testSet(2, 3, 4, 5), testSet(3, 4, 5, 6), testSet(4, 5, 6, 7)}
		for h := int64(1); h <= 50; h++ {
			at := int(h-1) / 10
			n := at
			if h%10 == 0 && at < 4 {
				n = at + 1
			}
			blocks = append(blocks, signedBlock(t, h, sets[at], sets[n], nil, at, at+1, at+2, at+3))
		}
		c, tc := newTestChain(t, blocks...)
		good(c, 50)
		if len(tc.asked) < 3 || len(tc.asked) > 20 {
			t.Errorf("asked for %v", tc.asked)
		}
		// One of the blocks between was signed by too few who were believed.
		for i, b := range blocks {
			if b.Height > 10 && b.Height <= 20 {
				blocks[i] = signedBlock(t, b.Height, sets[1], sets[1], nil, 1, 4) // half of the votes
			}
		}
		c, _ = newTestChain(t, blocks...)
		if _, err := c.at(ctx, 15); !errors.Is(err, ErrTrust) {
			t.Errorf("half of the votes: %v", err)
		}
	})
	t.Run("a trusted block", func(t *testing.T) {
		now := testSet(7, 8, 9, 10)
		b := signedBlock(t, 600, now, now, nil, 7, 8, 9)
		c, _ := newTestChain(t, b, signedBlock(t, 700, now, now, nil, 8, 9, 10), signedBlock(t, 500, genesis, genesis, nil, 0, 1, 2))
		if err := c.trust(ctx, TrustPoint{Height: 600, Hash: []byte("another")}); !errors.Is(err, ErrTrust) {
			t.Errorf("another hash: %v", err)
		}
		if err := c.trust(ctx, TrustPoint{Height: 600, Hash: b.Hash()}); err != nil {
			t.Fatal(err)
		}
		good(c, 600, 700)
		bad(c, 500, ErrTrust)
	})
	t.Run("other parameters", func(t *testing.T) {
		c, _ := newTestChain(t, signedBlock(t, 500, genesis, genesis, nil, 0, 1, 2))
		c.consensus = []byte("others")
		bad(c, 500, ErrTrust)
	})
}

// Whose turn it is to propose is not in a header, so that enough peers have to say the same.
func TestPeersHaveToAgree(t *testing.T) {
	set := testSet(0, 1, 2, 3)
	honest := signedBlock(t, 9, set, set, nil, 0, 1, 2)
	others := signedBlock(t, 9, set, set, nil, 1, 2, 3) // the same block with other votes
	turned := signedBlock(t, 9, set.CopyIncrementProposerPriority(1), set, nil, 0, 1, 2)
	fine := func(*types.LightBlock) error { return nil }
	pick := func(need int, blocks ...*types.LightBlock) *types.LightBlock {
		answers := map[p2p.ID]*types.LightBlock{}
		for i, b := range blocks {
			answers[p2p.ID(fmt.Sprint(i))] = b
		}
		b, err := choose(answers, fine, need)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if pick(2, honest, turned) != nil {
		t.Error("one of two that differ was believed")
	}
	if b := pick(2, honest, turned, others); b != honest && b != others {
		t.Errorf("of two against one %v was believed", b)
	}
	if pick(1, honest) != honest {
		t.Error("a single replica is not believed where none may be faulty")
	}
	// Refusals do not count as answers, and one liar does not make us look for blocks between.
	refuse := func(b *types.LightBlock) error {
		if b == turned {
			return errFar
		}
		return nil
	}
	if b, err := choose(map[p2p.ID]*types.LightBlock{"a": turned, "b": honest}, refuse, 2); b != nil || err != nil {
		t.Errorf("%v, %v", b, err)
	}
}

func FuzzLight(f *testing.F) {
	set := testSet(0, 1, 2, 3)
	pb, err := signedBlock(f, 9, set, set, nil, 0, 1, 2).ToProto()
	if err != nil {
		f.Fatal(err)
	}
	raw, err := pb.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte{lightAnswer, 0, 0, 0, 0, 0, 0, 0, 9}, raw...))
	f.Add([]byte{lightAsk, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Add([]byte{lightAnswer, 0, 0, 0, 0, 0, 0, 0, 9, 0x0a, 0x00, 0x12, 0x00})
	c := newChain("test", 0, set, testParams)
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, height, block, err := parseLight(b)
		if err != nil {
			return
		}
		if height < 1 || (kind == lightAsk) != (block == nil) {
			t.Errorf("%x is kind %d, block %d, %v", b, kind, height, block)
		}
		if block != nil && c.follows(c.base, block) == nil && !bytes.Equal(b[9:], raw) && block.AppHash != nil {
			t.Errorf("a forged block was believed: %x", b)
		}
	})
}
