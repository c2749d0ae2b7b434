package signing

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"fusion/chainkey/session"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/genesis"
)

// How many complaints are remembered. Those that carry proof are kept apart, so that nobody can bury it under claims.
const (
	maxComplaints  = 256
	maxConvictions = 256
)

// complaintRecord is a complaint as a block carried it.
type complaintRecord struct {
	_        struct{} `cbor:",toarray"`
	Height   uint64
	Key      string // chainkey.KeyID
	Request  uint64 // zero for a key generation
	Attempt  uint32
	Node     uint32
	Reason   session.Reason
	Accused  []uint32
	Evidence []byte
}

// ComplaintInfo is a complaint that stood in a block.
type ComplaintInfo struct {
	Height   uint64   `json:"height"`
	Key      string   `json:"key"`
	Request  uint64   `json:"request,omitempty"` // zero for a key generation
	Attempt  uint32   `json:"attempt"`
	Node     uint32   `json:"node"` // who complains
	Accused  []uint32 `json:"accused,omitempty"`
	Reason   string   `json:"reason"`
	Evidence string   `json:"evidence,omitempty"` // session.Evidence in hexadecimal: whoever knows the accused node's key can check it
	Sentence string   `json:"sentence"`
}

// remember keeps a complaint that was applied.
func (m *Machine) remember(s kv.Store, height uint64, key string, v *Complaint) {
	part, limit := complaintPrefix, maxComplaints
	if len(v.Evidence) > 0 {
		part, limit = convictPrefix, maxConvictions
	}
	var keys [][]byte
	kv.ScanPrefix(s, []byte(part), func(k, _ []byte) bool {
		keys = append(keys, bytes.Clone(k))
		return true
	})
	next := uint64(0)
	if len(keys) > 0 {
		next = binary.BigEndian.Uint64(keys[len(keys)-1][len(part):]) + 1
	}
	for len(keys) >= limit {
		s.Delete(keys[0])
		keys = keys[1:]
	}
	save(s, string(binary.BigEndian.AppendUint64([]byte(part), next)), complaintRecord{Height: height, Key: key, Request: v.Request, Attempt: v.Attempt,
		Node: v.Node, Reason: v.Reason, Accused: v.Accused, Evidence: v.Evidence})
}

// Complaints lists what is remembered, the newest first, those with proof before all others.
func (m *Machine) Complaints(r kv.Reader) []ComplaintInfo {
	var out []ComplaintInfo
	for _, part := range []string{convictPrefix, complaintPrefix} {
		var some []ComplaintInfo
		kv.ScanPrefix(r, []byte(part), func(key, value []byte) bool {
			var v complaintRecord
			if err := codec.Unmarshal(value, &v); err != nil {
				panic(fmt.Sprintf("signing: damaged state under %q: %v", key, err))
			}
			some = append(some, m.complaintInfo(r, &v))
			return true
		})
		for i := len(some) - 1; i >= 0; i-- {
			out = append(out, some[i])
		}
	}
	return out
}

func (m *Machine) complaintInfo(r kv.Reader, v *complaintRecord) ComplaintInfo {
	info := ComplaintInfo{Height: v.Height, Key: v.Key, Request: v.Request, Attempt: v.Attempt, Node: v.Node, Accused: v.Accused, Reason: v.Reason.String(),
		Evidence: hex.EncodeToString(v.Evidence)}
	what := fmt.Sprintf("request %d", v.Request)
	if v.Request == 0 {
		what = "the generation of " + v.Key
	}
	whom := "nobody it could name"
	if len(v.Accused) > 0 {
		var names []string
		for _, a := range v.Accused {
			names = append(names, m.NodeName(r, int(a)))
		}
		whom = strings.Join(names, " and ")
	}
	verb := "accuses"
	if len(v.Evidence) > 0 {
		verb = "convicts"
	}
	info.Sentence = fmt.Sprintf("height %d, attempt %d of %s: %s %s %s: %v", v.Height, v.Attempt, what, m.NodeName(r, int(v.Node)), verb, whom, v.Reason)
	return info
}

// NodeName names a node for people: its index and its id.
func (m *Machine) NodeName(r kv.Reader, node int) string {
	return fmt.Sprintf("node %d (%s)", node, m.NodeID(r, node))
}

// NodeID is the principal of a node.
func (m *Machine) NodeID(r kv.Reader, node int) string {
	key, ok := m.nodeKey(r, node)
	if !ok {
		return "unknown"
	}
	return genesis.Node{NodeKey: genesis.Hex(key)}.NodeID().String()
}
