package machine

import (
	"crypto/ed25519"
	"fmt"

	"fusion/chainkey/bls"
	"fusion/internal/kv"
	"fusion/replica/members"
)

// The subnet's own key: made before anything else, and handed from epoch to epoch like the others.

// RootKey is the subnet's key with its epochs. It is for reading, and belongs to the goroutine that steps the machine.
func (m *Machine) RootKey() *bls.Epochs { return m.rootKey }

// rootKeyRoom reshares the subnet's key; its store is the key's.
type rootKeyRoom struct{ m *Machine }

// StartReshare implements resharing.
func (r rootKeyRoom) StartReshare(s kv.Store, height, epoch uint64, nodes []uint32) {
	var keys []ed25519.PublicKey
	for _, n := range nodes {
		keys = append(keys, r.m.nodeKey(n))
	}
	if err := r.m.rootKey.Reshare(s, height, epoch, nodes, keys); err != nil {
		r.m.log.Error("resharing the subnet's key", "err", err) // ReshareStatus says so
	}
}

// ReshareStatus implements resharing.
func (r rootKeyRoom) ReshareStatus(kv.Reader) (done bool, failed string) {
	if done, failed = r.m.rootKey.Resharing(); failed != "" {
		failed = fmt.Sprintf("the subnet's key: %s", failed)
	}
	return done, failed
}

// ActivateReshare implements resharing.
func (r rootKeyRoom) ActivateReshare(s kv.Store, height uint64) {
	r.m.rootKey.Activate(s, height)
	r.m.group = r.m.rootKey.Group()
}

// AbortReshare implements resharing.
func (r rootKeyRoom) AbortReshare(s kv.Store) { r.m.rootKey.Abort(s) }

// nodeKey is the key of a node in the registry.
func (m *Machine) nodeKey(node uint32) ed25519.PublicKey {
	if int(node) >= len(m.members.peers) {
		panic(fmt.Sprintf("machine: node %d is in no registry", node)) // epochs are made of registered nodes
	}
	return m.members.peers[node].NodeKey
}

// introduce makes nodes that joined later, or are about to, known to the chain-key room, whose items they sign.
func (m *Machine) introduce(sig kv.Store) {
	for i := len(m.cfg.Genesis.Nodes); i < len(m.members.peers); i++ {
		if p := m.members.peers[i]; p.Role == members.Member || p.Role == members.Joiner {
			m.sign.AddNode(sig, uint32(i), p.NodeKey)
		} else {
			m.sign.RemoveNode(sig, uint32(i))
		}
	}
}

// sortBundles tells the bundles of the subnet's key, while it is reshared, from those of the keys to derive from.
func (m *Machine) sortBundles(items [][]byte) (root, others [][]byte) {
	b := m.rootKey.Board()
	if b == nil {
		return nil, items
	}
	for _, it := range items {
		if b.Check(it) == nil {
			root = append(root, it)
		} else {
			others = append(others, it)
		}
	}
	return root, others
}

// stepRootKey moves a resharing of the subnet's key. It returns the bundles of other keys.
func (m *Machine) stepRootKey(s kv.Store, height uint64, items [][]byte, res *Result) [][]byte {
	root, others := m.sortBundles(items)
	taken, _ := m.rootKey.Step(s, height, root)
	res.Skipped += len(root) - taken
	return others
}
