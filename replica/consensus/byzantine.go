//go:build byzantine

package consensus

import (
	"bytes"

	cmtconsensus "github.com/cometbft/cometbft/consensus"
	"github.com/cometbft/cometbft/p2p"
	cmtcons "github.com/cometbft/cometbft/proto/tendermint/consensus"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"fusion/replica/misdeed"
)

// voter is who votes for this node.
func (n *Node) voter(s *Signer) types.PrivValidator {
	if misdeed.On(misdeed.Equivocate) {
		return &equivocator{s, n}
	}
	return s
}

// equivocator tells everybody of a second vote for each that it is asked for: for nothing where that is for a block, and for a block that there is
// not where that is for nothing.
type equivocator struct {
	*Signer
	n *Node
}

func (e *equivocator) SignVote(chainID string, vote *cmtproto.Vote) error {
	if err := e.Signer.SignVote(chainID, vote); err != nil {
		return err
	}
	other := *vote
	other.BlockID, other.ExtensionSignature = cmtproto.BlockID{}, nil
	if types.ProtoBlockIDIsNil(&vote.BlockID) {
		hash := bytes.Repeat([]byte{0xba}, 32)
		other.BlockID = cmtproto.BlockID{Hash: hash, PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: hash}}
	}
	var err error
	if other.Signature, err = e.key.Sign(types.VoteSignBytes(chainID, &other)); err != nil {
		return err
	}
	envelope := p2p.Envelope{ChannelID: cmtconsensus.VoteChannel, Message: &cmtcons.Vote{Vote: &other}}
	e.n.node.Switch().Peers().ForEach(func(p p2p.Peer) { p.TrySend(envelope) })
	return nil
}
