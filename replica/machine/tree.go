package machine

import (
	"fusion/ic/certificate"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/replica/genesis"
)

// stateTree inserts what the interface specification shows of a subnet that never changes here: its key, type and
// canister ranges, the last in the old form and in the sharded one.
func stateTree(t *hashtree.Map, g *genesis.Doc, subnet principal.Principal, rootKeyDER []byte) *hashtree.Map {
	put := func(value []byte, path ...[]byte) { t = t.Insert(path, value) }
	sid := subnet.Bytes()
	var list []certificate.Range
	for _, r := range g.CanisterRanges {
		list = append(list, certificate.Range(r))
	}
	ranges := certificate.EncodeRanges(list)
	put(rootKeyDER, []byte("subnet"), sid, []byte("public_key"))
	put([]byte("application"), []byte("subnet"), sid, []byte("type"))
	put(ranges, []byte("subnet"), sid, []byte("canister_ranges"))
	// One shard that starts at the first range holds them all.
	put(ranges, []byte("canister_ranges"), sid, list[0].First.Bytes())
	return t
}

// withTime sets the tree's time.
func withTime(t *hashtree.Map, ns uint64) *hashtree.Map {
	return t.Insert([][]byte{[]byte("time")}, certificate.EncodeNat(ns))
}
