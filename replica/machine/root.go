package machine

import (
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/genesis"
	"fusion/replica/members"
	"fusion/replica/root"
)

// governance is the root canister, and what it may do outside of itself.
type governance struct {
	*root.Canister
	m      *Machine
	store  kv.Store // of the members
	height uint64
	began  bool // a change of the membership, in this block
}

// openGovernance is nil where the genesis document names no operators.
func (m *Machine) openGovernance(doc *genesis.Doc, s kv.Store) *governance {
	if doc.Governance == nil {
		return nil
	}
	g := &governance{m: m}
	const second = 1_000_000_000 // ns
	g.Canister = root.New(root.Options{Network: m.genesis, Operators: doc.Governance.Operators, Least: doc.Class.Least(),
		TimeLockNs: doc.Governance.TimeLockSeconds * second, LifetimeNs: doc.Governance.ProposalSeconds * second,
		Snapshot: func() (kv.Reader, func() error) {
			snap := m.db.Snapshot()
			return kv.PrefixReader(snap, prefixRoot), snap.Close
		}}, g, nil)
	g.use(s, 0)
	return g
}

// use continues in another store with the same content.
func (g *governance) use(s kv.Store, height uint64) {
	g.Use(kv.Prefix(s, prefixRoot))
	g.store, g.height, g.began = kv.Prefix(s, prefixMembers), height, false
}

// Custodial implements root.World.
func (g *governance) Custodial(id principal.Principal) bool { return g.m.exec.Custodial(id) }

// Configured implements root.World.
func (g *governance) Configured(id principal.Principal) bool {
	return g.m.btc != nil && id == g.m.btc.id || g.m.eth != nil && id == g.m.eth.id
}

// configurers may configure the canisters that are part of the replica.
func configurers(doc *genesis.Doc) []principal.Principal {
	if doc.Governance != nil {
		return []principal.Principal{genesis.RootCanister}
	}
	return doc.SubnetAdmins
}

// CheckChange implements root.World.
func (g *governance) CheckChange(c members.Change) error { return g.m.change.CheckChange(g.store, c) }

// BeginChange implements root.World.
func (g *governance) BeginChange(c members.Change) (uint64, error) {
	n, err := g.m.change.Begin(g.store, g.height, c)
	g.began = g.began || err == nil
	return n, err
}
