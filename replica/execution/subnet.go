package execution

import (
	"encoding/binary"
	"fmt"
	"slices"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/management"
)

// Methods of the management canister that are about the subnet: its canisters, its nodes, its view of Bitcoin.

// isAdmin reports whether p is a subnet admin, who may do to any canister what ends it and to none what changes it.
func (x *Executor) isAdmin(p principal.Principal) bool { return slices.Contains(x.cfg.Admins, p) }

func (x *Executor) subnetInfo(_ *call, a *management.SubnetInfoArgs) ([]byte, *Reject) {
	if rej := x.thisSubnet(a.SubnetID); rej != nil {
		return nil, rej
	}
	return candid.MustMarshal(management.SubnetInfoResult{ReplicaVersion: replicaVersion}), nil
}

func (x *Executor) thisSubnet(id principal.Principal) *Reject {
	if id != x.cfg.Subnet {
		return reject(errSubnetNotFound, "Subnet %s is not known here", id)
	}
	return nil
}

// listCanisters is list_canisters: the ids of all canisters, those written in Go included, as ranges without gaps.
func (x *Executor) listCanisters(caller principal.Principal) ([]byte, *Reject) {
	if !x.isAdmin(caller) {
		return nil, reject(errCanisterRejected, "Only subnet admins can list the canisters of the subnet, and %s is none", caller)
	}
	x.mu.RLock()
	ids := make([]principal.Principal, 0, len(x.canisters))
	for id, c := range x.canisters {
		if c.kind != managementCanister {
			ids = append(ids, id)
		}
	}
	x.mu.RUnlock()
	slices.SortFunc(ids, principal.Principal.Compare)
	out := management.ListCanistersResult{Canisters: []management.CanisterIDRange{}}
	for _, id := range ids {
		n, numbered := id.Uint64()
		if last := len(out.Canisters) - 1; last >= 0 && numbered {
			if before, ok := out.Canisters[last].End.Uint64(); ok && before+1 == n {
				out.Canisters[last].End = id
				continue
			}
		}
		out.Canisters = append(out.Canisters, management.CanisterIDRange{Start: id, End: id})
	}
	return candid.MustMarshal(out), nil
}

// NodeBlocks is what a block tells of a node's part in the consensus.
type NodeBlocks struct {
	Node     principal.Principal
	Proposed uint64 // blocks: 1 for who made this one
	Failed   uint64 // turns to propose that passed without a block
}

// maxSamples is for how many days with blocks the metrics of nodes are kept (interface specification, node_metrics_history).
const maxSamples = 60

const nsPerDay = secondsPerDay * 1e9

// nodeSample is what the nodes have done until the last block of a UTC day. Of nodes that did nothing on it there is no entry; one that does
// something again starts from zero, as readers of the history expect.
type nodeSample struct {
	_      struct{} `cbor:",toarray"`
	TimeNs uint64   // of the day's last block
	Nodes  []nodeTotals

	day uint64
}

type nodeTotals struct {
	_        struct{} `cbor:",toarray"`
	Node     principalBytes
	Proposed uint64
	Failed   uint64
}

func (s *nodeSample) find(node principal.Principal) *nodeTotals {
	for i := range s.Nodes {
		if s.Nodes[i].Node.principal() == node {
			return &s.Nodes[i]
		}
	}
	return nil
}

func (x *Executor) openSamples(store kv.Reader) (err error) {
	kv.ScanPrefix(store, []byte{keyNodes}, func(k, v []byte) bool {
		s := &nodeSample{}
		if err = codec.Unmarshal(v, s); err == nil && len(k) != 9 {
			err = fmt.Errorf("key %x", k)
		}
		if err != nil {
			err = fmt.Errorf("%w: metrics of nodes: %w", ErrState, err)
			return false
		}
		s.day = binary.BigEndian.Uint64(k[1:])
		x.samples = append(x.samples, s)
		return true
	})
	return err
}

// observe counts what the nodes did for a block.
func (x *Executor) observe(store kv.Store, blocks []NodeBlocks) {
	if len(blocks) == 0 {
		return
	}
	day := x.global.TimeNs / nsPerDay
	if n := len(x.samples); n == 0 || x.samples[n-1].day != day {
		x.samples = append(x.samples, &nodeSample{day: day})
	}
	for ; len(x.samples) > maxSamples; x.samples = x.samples[1:] {
		store.Delete(append([]byte{keyNodes}, be64(x.samples[0].day)...))
	}
	today := x.samples[len(x.samples)-1]
	today.TimeNs = x.global.TimeNs
	for _, b := range blocks {
		if b.Proposed|b.Failed == 0 {
			continue
		}
		t := today.find(b.Node)
		if t == nil {
			fresh := nodeTotals{Node: b.Node.Bytes()}
			if n := len(x.samples); n > 1 {
				if last := x.samples[n-2].find(b.Node); last != nil {
					fresh = *last
				}
			}
			today.Nodes = append(today.Nodes, fresh)
			t = &today.Nodes[len(today.Nodes)-1]
		}
		t.Proposed += b.Proposed
		t.Failed += b.Failed
	}
	store.Set(append([]byte{keyNodes}, be64(day)...), codec.Marshal(today))
}

func (x *Executor) nodeMetricsHistory(_ *call, a *management.NodeMetricsHistoryArgs) ([]byte, *Reject) {
	if rej := x.thisSubnet(a.SubnetID); rej != nil {
		return nil, rej
	}
	out := []management.NodeMetricsSample{}
	for _, s := range x.samples {
		if s.TimeNs < a.StartAtTimestampNanos {
			continue
		}
		m := management.NodeMetricsSample{TimestampNanos: s.TimeNs, NodeMetrics: []management.NodeMetrics{}}
		for _, t := range s.Nodes {
			m.NodeMetrics = append(m.NodeMetrics, management.NodeMetrics{NodeID: t.Node.principal(), BlocksProposed: t.Proposed, BlockFailures: t.Failed})
		}
		out = append(out, m)
	}
	return candid.MustMarshal(out), nil
}

// bitcoin passes a call on to the Bitcoin canister of the network that it names, with the caller, the argument and the cycles that came. The
// canister's prices and limits are the method's, so what it keeps is kept with a rejection too.
func (x *Executor) bitcoin(k *call) ([]byte, *Reject) {
	var a management.BitcoinArgs
	if rej := decodeArg(k.Method, k.Data, &a); rej != nil {
		return nil, rej
	}
	network := "regtest"
	switch {
	case a.Network.Mainnet != nil:
		network = "mainnet"
	case a.Network.Testnet != nil:
		network = "testnet"
	}
	c := x.canisters[x.cfg.Bitcoin[network]]
	if c == nil || c.kind != nativeCanister {
		return nil, reject(errCanisterNotFound, "The subnet has no Bitcoin canister for %s", network)
	}
	out := x.callNative(c, k.message)
	if out.goesOn() {
		panic("execution: the Bitcoin canister asks something")
	}
	k.refund, k.keeps = x.charge(c, k.Cycles, &out), true
	return out.Reply, out.Reject
}
