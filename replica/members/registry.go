package members

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"

	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/genesis"
)

// MaxNodes bounds a Set.
const MaxNodes = genesis.MaxNodes

// Set is the nodes of one epoch.
type Set struct {
	Epoch uint64
	Nodes []uint32 // indexes, ascending
}

// N is the number of nodes.
func (s Set) N() int { return len(s.Nodes) }

// F is how many faulty nodes the set tolerates.
func (s Set) F() int { return (len(s.Nodes) - 1) / 3 }

// Threshold is t = 2f: t+1 nodes sign with a chain key, and t nodes together know nothing of it.
func (s Set) Threshold() int { return 2 * s.F() }

// Quorum is n-f, 2f+1 of 3f+1: so many shares make a certificate or a beacon, and so many equal answers an outcall's. Any two quorums have
// an honest node in common.
func (s Set) Quorum() int { return len(s.Nodes) - s.F() }

// Seat is a node's place in the set, or -1.
func (s Set) Seat(node int) int {
	if node < 0 || uint64(node) > 1<<32-1 {
		return -1
	}
	i, ok := slices.BinarySearch(s.Nodes, uint32(node))
	if !ok {
		return -1
	}
	return i
}

// Equal says whether two sets are of the same epoch and nodes.
func (s Set) Equal(o Set) bool { return s.Epoch == o.Epoch && slices.Equal(s.Nodes, o.Nodes) }

// Keys within the registry. Numbers are big-endian.
const (
	keyCount     = "count"     // nodes that ever were: the next index
	keyCurrent   = "current"   // the epoch in force
	keyNext      = "next"      // the Set that keys are reshared to
	keySets      = "set/"      // epoch → setRecord
	keyNodes     = "node/"     // index → nodeRecord
	keyNumber    = "number"    // of the next proposal
	keyProposals = "proposal/" // index of the proposer → proposalRecord
	keyChange    = "change"    // changeRecord: the change that was approved and goes on
	keyLast      = "last"      // lastRecord: how the last change ended
)

func nodeKey(index uint32) []byte { return binary.BigEndian.AppendUint32([]byte(keyNodes), index) }
func setKey(epoch uint64) []byte  { return binary.BigEndian.AppendUint64([]byte(keySets), epoch) }

// nodeRecord is a node as the registry keeps it.
type nodeRecord struct {
	NodeKey      []byte
	ValidatorKey []byte
	Consensus    string // where it listens; empty for the nodes of the genesis document, whose addresses are in each replica's configuration
	Gossip       string
	Joined       bool   // it was a member in some epoch
	Left         uint64 // height at which it left; 0 for those who did not
}

// setRecord is a Set and the height at which it came into force.
type setRecord struct {
	Set
	From uint64
}

// Genesis is the set of epoch 0.
func Genesis(doc *genesis.Doc) Set {
	s := Set{Nodes: make([]uint32, len(doc.Nodes))}
	for i := range s.Nodes {
		s.Nodes[i] = uint32(i)
	}
	return s
}

// Init writes the registry as it is at genesis. It does nothing where there is one, so it may be called with every block.
func Init(s kv.Store, doc *genesis.Doc) {
	if _, ok := s.Get([]byte(keyCount)); ok {
		return
	}
	for i, n := range doc.Nodes {
		s.Set(nodeKey(uint32(i)), codec.Marshal(nodeRecord{NodeKey: n.NodeKey, ValidatorKey: n.ValidatorKey, Joined: true}))
	}
	s.Set([]byte(keyCount), binary.BigEndian.AppendUint32(nil, uint32(len(doc.Nodes))))
	s.Set([]byte(keyCurrent), binary.BigEndian.AppendUint64(nil, 0))
	s.Set(setKey(0), codec.Marshal(setRecord{Set: Genesis(doc)}))
}

// Node returns the keys of a node that is, was, or is about to become a member.
func Node(r kv.Reader, index int) (n genesis.Node, ok bool) {
	if index < 0 || uint64(index) > 1<<32-1 {
		return n, false
	}
	v, ok := kv.Record[nodeRecord](r, nodeKey(uint32(index)))
	if !ok {
		return n, false
	}
	return genesis.Node{NodeKey: v.NodeKey, ValidatorKey: v.ValidatorKey}, true
}

// Count is how many nodes ever had an index; the next one gets this number.
func Count(r kv.Reader) int {
	b, ok := r.Get([]byte(keyCount))
	if !ok {
		return 0
	}
	return int(binary.BigEndian.Uint32(b))
}

// Current returns the set in force. It is empty before Init.
func Current(r kv.Reader) Set {
	b, ok := r.Get([]byte(keyCurrent))
	if !ok {
		return Set{}
	}
	s, ok := At(r, binary.BigEndian.Uint64(b))
	if !ok {
		panic("members: the current epoch has no set")
	}
	return s
}

// At returns the set of an epoch up to the current one.
func At(r kv.Reader, epoch uint64) (s Set, ok bool) {
	v, ok := kv.Record[setRecord](r, setKey(epoch))
	return v.Set, ok
}

// Since is the height at which an epoch came into force: its members certify that block and the next ones. It is 0 for epoch 0.
func Since(r kv.Reader, epoch uint64) uint64 {
	v, _ := kv.Record[setRecord](r, setKey(epoch))
	return v.From
}

// Next returns the set that keys are being reshared to, and whether there is one. It has the current set's nodes when keys are only
// to be refreshed.
func Next(r kv.Reader) (s Set, ok bool) {
	return kv.Record[Set](r, []byte(keyNext))
}

func put(s kv.Store, key []byte, v any) { s.Set(key, codec.Marshal(v)) }

// Roster is a set with the keys of its nodes.
type Roster struct {
	Set
	keys []ed25519.PublicKey // by seat
}

// NewRoster makes a roster of nodes' keys by seat.
func NewRoster(s Set, keys []ed25519.PublicKey) *Roster {
	if len(keys) != len(s.Nodes) {
		panic(fmt.Sprintf("members: %d keys of %d nodes", len(keys), len(s.Nodes)))
	}
	return &Roster{s, keys}
}

// RosterOf reads the node keys of a set.
func RosterOf(r kv.Reader, s Set) *Roster {
	out := &Roster{Set: s}
	for _, i := range s.Nodes {
		v, ok := kv.Record[nodeRecord](r, nodeKey(i))
		if !ok {
			panic(fmt.Sprintf("members: node %d of epoch %d has no keys", i, s.Epoch))
		}
		out.keys = append(out.keys, v.NodeKey)
	}
	return out
}

// Key is a member's node key, or nil where the node is none.
func (r *Roster) Key(node int) ed25519.PublicKey {
	if seat := r.Seat(node); seat >= 0 {
		return r.keys[seat]
	}
	return nil
}

// Keys are the node keys by seat.
func (r *Roster) Keys() []ed25519.PublicKey { return r.keys }
