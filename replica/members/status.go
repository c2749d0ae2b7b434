package members

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/genesis"
)

// FarewellBlocks is for how many blocks a node that left is still talked to, so that it learns of it.
const FarewellBlocks = 100

// Role is what a node is to the network.
type Role uint8

// The roles of nodes.
const (
	Member    Role = 1 + iota
	Joiner         // a change that goes on wants it in
	Departed       // it left not long ago
	Forgotten      // it left, or never came in: nobody talks to it
)

func (r Role) String() string {
	return [...]string{"", "member", "joining", "departed", "left"}[r]
}

// Peer is a node as others reach it.
type Peer struct {
	Index        int
	NodeKey      ed25519.PublicKey
	ValidatorKey ed25519.PublicKey
	Consensus    string // empty where only the configuration of each replica says it
	Gossip       string
	Role         Role
	Left         uint64
}

// Peers lists all nodes that ever had an index, in its order.
func Peers(r kv.Reader, height uint64) []Peer {
	now := Current(r)
	c, _ := kv.Record[changeRecord](r, []byte(keyChange))
	out := make([]Peer, Count(r))
	for i := range out {
		v, _ := kv.Record[nodeRecord](r, nodeKey(uint32(i)))
		p := Peer{Index: i, NodeKey: v.NodeKey, ValidatorKey: v.ValidatorKey, Consensus: v.Consensus, Gossip: v.Gossip, Left: v.Left, Role: Forgotten}
		switch {
		case now.Seat(i) >= 0:
			p.Role = Member
		case slices.Contains(c.Added, uint32(i)):
			p.Role = Joiner
		case v.Left > 0 && height < v.Left+FarewellBlocks:
			p.Role = Departed
		}
		out[i] = p
	}
	return out
}

// Ask is what a new node says when it has caught up, and whether it is asked to.
func Ask(r kv.Reader, node int) (it Item, ok bool) {
	c, goesOn := kv.Record[changeRecord](r, []byte(keyChange))
	if !goesOn || c.Phase != Joining || node < 0 || !slices.Contains(c.Added, uint32(node)) || slices.Contains(c.Ready, uint32(node)) {
		return it, false
	}
	return Item{Verb: Ready, Node: uint32(node), Epoch: Current(r).Epoch, Number: c.Number}, true
}

// NodeInfo is a node that has an index.
type NodeInfo struct {
	Index  int    `json:"index"`
	ID     string `json:"id"`
	Role   string `json:"role"`
	Joined bool   `json:"joined"` // it is or was a member
}

// NewProposal is the item that proposes a change, for a member to sign.
func (st *Status) NewProposal(c Change) Item {
	return Item{Verb: Propose, Epoch: st.Epoch, Number: st.NextNumber, Body: codec.Marshal(c)}
}

// Say is the item that approves or rejects an open proposal or the change that goes on, for a member to sign.
func (st *Status) Say(verb Verb, number uint64) (Item, error) {
	list := st.Proposals
	if st.Running != nil {
		list = append(list[:len(list):len(list)], *st.Running)
	}
	for _, p := range list {
		if p.Number == number {
			return Item{Verb: verb, Epoch: st.Epoch, Number: number, Body: p.Digest}, nil
		}
	}
	return Item{}, fmt.Errorf("%w: there is no open proposal or change %d", ErrStale, number)
}

// Progress is a proposal, or the change that goes on.
type Progress struct {
	Number   uint64   `json:"number"`
	Digest   []byte   `json:"digest"`
	Proposer int      `json:"proposer"` // -1 of a change that goes on
	Phase    string   `json:"phase"`
	Added    []uint32 `json:"added,omitempty"`
	Approved []uint32 `json:"approved"`
	Rejected []uint32 `json:"rejected,omitempty"`
	Needed   int      `json:"approvals_needed"`
	Deadline uint64   `json:"deadline"`
	Sentence string   `json:"sentence"`
	Change   Change   `json:"-"`
}

// Status is what an operator wants to know of the membership.
type Status struct {
	Epoch      uint64     `json:"epoch"`
	Since      uint64     `json:"since_block"`
	Members    []uint32   `json:"members"`
	NextNumber uint64     `json:"next_number"`
	NextNode   int        `json:"next_node"` // the index that the next new node gets
	Running    *Progress  `json:"change,omitempty"`
	Proposals  []Progress `json:"proposals,omitempty"`
	Last       string     `json:"last_change,omitempty"` // how the last one ended
	LastNumber uint64     `json:"last_number,omitempty"`
	LastDone   bool       `json:"last_done,omitempty"` // it is in force
	Nodes      []NodeInfo `json:"nodes"`
	Sentence   string     `json:"sentence"`
}

// Describe says where the membership stands.
func Describe(r kv.Reader) Status {
	now := Current(r)
	st := Status{Epoch: now.Epoch, Since: Since(r, now.Epoch), Members: now.Nodes, NextNumber: NextNumber(r), NextNode: Count(r)}
	if l, ok := kv.Record[lastRecord](r, []byte(keyLast)); ok {
		st.Last, st.LastNumber, st.LastDone = l.Sentence, l.Number, l.Done
	}
	for i := range Count(r) {
		v, _ := kv.Record[nodeRecord](r, nodeKey(uint32(i)))
		n := NodeInfo{Index: i, ID: genesis.Node{NodeKey: v.NodeKey}.NodeID().String(), Role: Forgotten.String(), Joined: v.Joined}
		if now.Seat(i) >= 0 {
			n.Role = Member.String()
		} else if !v.Joined {
			n.Role = Joiner.String()
		}
		st.Nodes = append(st.Nodes, n)
	}
	proposals(r, func(i uint32, p proposalRecord) bool {
		g := Progress{Number: p.Number, Proposer: int(i), Phase: "proposed", Approved: p.Approved, Rejected: p.Rejected, Needed: now.Quorum(), Deadline: p.Deadline}
		next := uint32(Count(r))
		var err error
		if g.Change, err = decodeChange(p.Change); err == nil && len(g.Change.Add) == 1 {
			if j, err := indexFor(r, g.Change.Add[0]); err == nil {
				next = j
			}
		}
		g.Digest = g.Change.Digest()
		g.Sentence = fmt.Sprintf("proposal %d, by node %d, to %s: %d of %d approvals are there (%s), it lapses at block %d",
			p.Number, i, g.Change.sentence(next), len(p.Approved), now.Quorum(), nodes(p.Approved), p.Deadline)
		st.Proposals = append(st.Proposals, g)
		return true
	})
	if c, ok := kv.Record[changeRecord](r, []byte(keyChange)); ok {
		g := Progress{Number: c.Number, Proposer: -1, Phase: c.Phase.String(), Added: c.Added, Approved: c.Approved, Rejected: c.Rejected, Needed: now.Quorum(), Deadline: c.Deadline}
		g.Change, _ = decodeChange(c.Change)
		g.Digest = g.Change.Digest()
		what := fmt.Sprintf("change %d, to %s", c.Number, g.Change.sentence(first(c.Added)))
		switch c.Phase {
		case Joining:
			g.Sentence = fmt.Sprintf("%s, waits for node %d to catch up with the network, until block %d", what, first(c.Added), c.Deadline)
		case Resharing:
			g.Sentence = fmt.Sprintf("%s: all keys are being reshared to the next members, until block %d at the latest; the old shares sign meanwhile", what, c.Deadline)
		}
		st.Running = &g
	}
	switch {
	case st.Running != nil:
		st.Sentence = st.Running.Sentence
	case len(st.Proposals) > 0:
		st.Sentence = st.Proposals[0].Sentence
	default:
		st.Sentence = fmt.Sprintf("%d members in epoch %d, no change goes on", now.N(), now.Epoch)
	}
	return st
}

func nodes(list []uint32) string {
	var out []string
	for _, i := range list {
		out = append(out, fmt.Sprint(i))
	}
	return strings.Join(out, ", ")
}
