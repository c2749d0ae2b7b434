package signing

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// candidate is a node as the choice of a committee sees it.
type candidate struct {
	node      int
	suspicion uint32
	rank      [32]byte
}

// maxSearch bounds the search for a clique, in nodes tried. Forty nodes with a handful of disputes need about forty.
const maxSearch = 1 << 14

// chooseCommittee picks size of the eligible nodes, ascending. Nodes stand in an order: those with less suspicion first, then
// by the hash of seed, request, attempt and node. The committee is the first clique of the graph without disputes in that
// order. Nodes with more than f disputes are left out. Where no such committee exists, disputes are ignored, because a quarrel must not
// stop the subnet; nil means that too few nodes are eligible.
func chooseCommittee(size, f int, seed []byte, request uint64, attempt uint32, eligible []int,
	suspicion func(int) uint32, disputed func(a, b int) bool) []int {
	if len(eligible) < size {
		return nil
	}
	var order []candidate
	for _, node := range eligible {
		h := sha256.New()
		h.Write([]byte("fusion/signing/committee\x00"))
		h.Write(seed)
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], request)
		binary.BigEndian.PutUint32(b[8:], attempt)
		binary.BigEndian.PutUint32(b[12:], uint32(node))
		h.Write(b[:])
		order = append(order, candidate{node, suspicion(node), [32]byte(h.Sum(nil))})
	}
	slices.SortFunc(order, func(a, b candidate) int {
		if a.suspicion != b.suspicion {
			if a.suspicion < b.suspicion {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.rank[:], b.rank[:])
	})
	var usable []candidate
	for _, c := range order {
		disputes := 0
		for _, other := range eligible {
			if other != c.node && disputed(c.node, other) {
				disputes++
			}
		}
		if disputes <= f {
			usable = append(usable, c)
		}
	}
	budget := maxSearch
	chosen := clique(usable, size, nil, disputed, &budget)
	if chosen == nil {
		for _, c := range order[:size] {
			chosen = append(chosen, c.node)
		}
	}
	slices.Sort(chosen)
	return chosen
}

// clique extends chosen by members of order without disputes, in order, with backtracking.
func clique(order []candidate, missing int, chosen []int, disputed func(a, b int) bool, budget *int) []int {
	if missing == 0 {
		return slices.Clone(chosen)
	}
	for i := 0; i+missing <= len(order) && *budget > 0; i++ {
		*budget--
		c := order[i].node
		if slices.ContainsFunc(chosen, func(m int) bool { return disputed(m, c) }) {
			continue
		}
		if found := clique(order[i+1:], missing-1, append(slices.Clone(chosen), c), disputed, budget); found != nil {
			return found
		}
	}
	return nil
}
