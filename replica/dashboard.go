package replica

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"fusion/ic/hashtree"
	"fusion/replica/http/face"
	"fusion/replica/signing"
)

// ceremonies remembers this replica's part in the newest ceremonies of threshold keys, for the dashboard.
type ceremonies struct {
	mu   sync.Mutex
	n    uint64
	list []face.Ceremony // oldest first
}

// ceremoniesKept bounds what is remembered.
const ceremoniesKept = 24

func (c *ceremonies) begin(i signing.CeremonyInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if len(c.list) >= ceremoniesKept {
		c.list = slices.Delete(c.list, 0, 1)
	}
	c.list = append(c.list, face.Ceremony{Number: c.n, Kind: fmt.Sprint(i.Kind), Key: i.Key, Request: i.Request, Attempt: i.Attempt,
		Committee: slices.Clone(i.Committee), Began: time.Now().UTC()})
}

func (c *ceremonies) end(i signing.CeremonyInfo, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := len(c.list) - 1; k >= 0; k-- {
		e := &c.list[k]
		if e.Outcome == "" && e.Kind == fmt.Sprint(i.Kind) && e.Key == i.Key && e.Request == i.Request && e.Attempt == i.Attempt {
			e.Seconds, e.Outcome = took.Seconds(), outcomeOf(err)
			return
		}
	}
}

func (c *ceremonies) newest() []face.Ceremony {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := append([]face.Ceremony{}, c.list...) // an empty list is one in JSON, too
	slices.Reverse(out)
	return out
}

// dashboard tells what the pages of package face show. Status holds more than is everybody's business: sentences of outcalls and hosts of
// providers stay here.
func (r *Replica) dashboard() face.State {
	s := r.Status()
	out := face.State{Network: s.ChainID, Class: string(r.doc.Class), Node: s.Node, NodeID: s.NodeID, Healthy: s.Healthy, Sentence: s.Sentence, Height: s.Height,
		BlockTime: s.BlockTime, PoolCalls: s.PoolCalls, Outcalls: len(s.Outcalls), Open: append(append([]string{}, s.Signing...), s.Deriving...),
		Ceremonies: r.ceremonies.newest(), Replicas: []face.Replica{}, Keys: []face.Key{}, Certified: r.certifiedFacts(s.Subnet, s.RootKey)}
	if s.Membership.Running != nil {
		out.Change = s.Membership.Sentence
	}
	standing := map[int]signing.NodeInfo{}
	for _, n := range s.Members {
		standing[n.Node] = n
	}
	heard := r.cert.Heard()
	for _, n := range s.Membership.Nodes {
		self := n.Index == s.Node
		v := face.Replica{Index: n.Index, ID: n.ID, Role: n.Role, Self: self, Connected: self || slices.Contains(s.Connected, n.Index), Signed: heard[n.Index]}
		if self {
			v.Signed = s.Height
		}
		if i, ok := standing[n.Index]; ok {
			v.Standing, v.Trouble = i.Sentence, i.Excluded || len(i.Disputes) > 0 || i.Suspicion > 0
		}
		out.Replicas = append(out.Replicas, v)
	}
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, face.Key{ID: k.ID.String(), Active: k.Active, Public: k.PublicKey, State: k.State})
	}
	if b := s.Bitcoin; b != nil {
		out.Bitcoin = &face.Bitcoin{Network: b.Network, Tip: b.Tip, TipHash: b.TipHash, Final: b.Anchor, Headers: b.Headers, Synced: b.Synced, Peers: b.Peers}
		for _, trouble := range []string{b.Doubt, b.Strange, b.Halted} { // the last is the worst
			if trouble != "" {
				out.Bitcoin.Trouble = trouble
			}
		}
	}
	if e := s.Ethereum; e != nil {
		out.Ethereum = &face.Ethereum{ChainID: e.ChainID, Latest: e.Latest, Final: e.Finalized, Healthy: e.Healthy, Sentence: e.Sentence, Operators: []face.Operator{}}
		for _, p := range e.Providers {
			out.Ethereum.Operators = append(out.Ethereum.Operators, face.Operator{Name: p.Operator, State: p.State})
		}
	}
	return out
}

// certifiedFacts reads the newest state that the subnet has signed, nil before the first.
func (r *Replica) certifiedFacts(subnet, rootKey string) *face.Certified {
	snap, _ := r.states.snapshot()
	if snap == nil {
		return nil
	}
	out := &face.Certified{Height: snap.Height, Subnet: subnet, RootKey: rootKey, Canisters: []face.Canister{}}
	if t, ok := snap.Tree.Get([]byte("time")); ok {
		out.TimeNs, _ = binary.Uvarint(t) // LEB128 of at most 64 bits, written by this program
	}
	for _, c := range face.WellKnown {
		var sub *hashtree.Map
		if sub = snap.Tree.Sub([]byte("canister"), c.ID.Bytes()); sub == nil {
			continue
		}
		module, _ := sub.Get([]byte("module_hash"))
		out.Canisters = append(out.Canisters, face.Canister{Name: c.Name, ID: c.ID.String(), Module: fmt.Sprintf("%x", module)})
	}
	return out
}
