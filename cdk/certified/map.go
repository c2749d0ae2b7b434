package certified

import (
	"fusion/cdk"
	"fusion/ic/hashtree"
)

// Map is a tree of values whose root is the canister's certified data. A canister has one at most.
type Map struct {
	c    *cdk.Canister
	tree *hashtree.Map
}

// NewMap makes an empty Map.
func NewMap(c *cdk.Canister) *Map { return &Map{c: c} }

// Put sets the value at a path. The labels "http_assets" and "http_expr" are a Site's.
func (m *Map) Put(value []byte, path ...string) {
	m.tree = m.tree.Insert(hashtree.Path(path...), value)
}

// Delete removes what is at a path and below it.
func (m *Map) Delete(path ...string) { m.tree = m.tree.Delete(hashtree.Path(path...)) }

// Get returns the value at a path.
func (m *Map) Get(path ...string) ([]byte, bool) { return m.tree.Get(hashtree.Path(path...)...) }

// Commit makes the Map the canister's certified data, at the end of whatever changed it.
func (m *Map) Commit() {
	root := m.tree.Digest()
	m.c.SetCertifiedData(root[:])
}

// Witness is the part of the tree that proves what is at the paths.
func (m *Map) Witness(paths ...[]string) hashtree.Node {
	raw := make([][][]byte, len(paths))
	for i, p := range paths {
		raw[i] = hashtree.Path(p...)
	}
	return m.tree.Witness(raw...)
}

// Proof returns the certificate of the canister's certified data and the CBOR of the tree that proves what is at the paths. It is false outside of
// queries that one replica answers alone: elsewhere there is no certificate, and no need of one.
func (m *Map) Proof(paths ...[]string) (certificate, tree []byte, ok bool) {
	certificate, ok = m.c.DataCertificate()
	if !ok {
		return nil, nil, false
	}
	return certificate, hashtree.Encode(m.Witness(paths...)), true
}
