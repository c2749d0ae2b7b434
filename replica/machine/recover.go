package machine

import (
	"bytes"
	"errors"
	"fmt"

	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/members"
	"fusion/replica/recovery"
	"fusion/replica/root"
	"fusion/replica/state"
)

// A recovery is a block of its own, made by all replicas alike from the restored state and the operators' document (package recovery).

var keyRecovered = []byte("recovered")

// Recovered is what the state keeps of the last recovery; the zero value is of a network that never had one.
type Recovered struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64
	Document [32]byte // digest
	Base     uint64   // height of the recovery's own block
	Epoch    uint64   // of the members who recovered
}

// LastRecovery reads it. The reader is of the whole state.
func LastRecovery(r kv.Reader) Recovered {
	v, _ := kv.Record[Recovered](kv.PrefixReader(r, prefixMachine), keyRecovered)
	return v
}

// Life is what sessions and messages are bound to.
func (v Recovered) Life(network [32]byte) [32]byte {
	if v.Number == 0 {
		return network
	}
	return recovery.Life(network, v.Number, v.Document)
}

func (m *Machine) readRecovered(mac kv.Reader) {
	m.last, _ = kv.Record[Recovered](mac, keyRecovered)
	m.life = m.last.Life(m.genesis)
}

// LastRecovery is what the state keeps of the last recovery.
func (m *Machine) LastRecovery() Recovered { return m.last }

// Life is the genesis document's hash, or what took its place with the last recovery.
func (m *Machine) Life() [32]byte { return m.life }

// Statement is what the members sign of the committed state, in bls.DomainState.
func (m *Machine) Statement(v *View) []byte { return recovery.Statement(m.life, v.Height, v.AppHash) }

// Deciders are who signs a recovery of the committed state: the operators, or the nodes of a network that is not governed.
func (m *Machine) Deciders() []principal.Principal {
	if g := m.cfg.Genesis.Governance; g != nil {
		return root.OperatorsOf(kv.PrefixReader(m.db.Reader(), prefixRoot), g.Operators)
	}
	out := make([]principal.Principal, 0, m.members.set.N())
	for _, i := range m.members.set.Nodes {
		out = append(out, m.members.ids[i])
	}
	return out
}

// DraftRecovery is the document of a recovery of the committed state, without signatures.
func (m *Machine) DraftRecovery(number, timeNs uint64) (*recovery.Document, error) {
	if m.group == nil {
		return nil, fmt.Errorf("%w: the subnet has no key yet; make a new network", recovery.ErrMismatch)
	}
	h := m.db.Head()
	d := &recovery.Document{Version: recovery.Version, Network: m.genesis[:], RootKey: m.rootKeyDER, Number: number, Height: h.Height, AppHash: h.AppHash[:],
		TimeNs: max(timeNs, m.timeNs+1)}
	for _, i := range m.members.set.Nodes {
		p := m.members.peers[i]
		d.Members = append(d.Members, recovery.Member{Node: i, NodeKey: []byte(p.NodeKey), ValidatorKey: []byte(p.ValidatorKey)})
	}
	return d, nil
}

// FitsRecovery says whether a document is of the committed state, and has the signatures that it needs.
func (m *Machine) FitsRecovery(d *recovery.Document) error {
	want, err := m.DraftRecovery(d.Number, d.TimeNs)
	if err != nil {
		return err
	}
	differs := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", recovery.ErrMismatch, fmt.Sprintf(format, args...))
	}
	switch {
	case !bytes.Equal(d.Network, want.Network):
		return differs("it is of the network %x, the state of %x", []byte(d.Network), []byte(want.Network))
	case !bytes.Equal(d.RootKey, want.RootKey):
		return differs("it is of another subnet: its root key is not the state's")
	case d.Height != want.Height || !bytes.Equal(d.AppHash, want.AppHash):
		return differs("it is of block %d with app hash %x, the state of block %d with %x", d.Height, []byte(d.AppHash), want.Height, []byte(want.AppHash))
	case d.TimeNs != want.TimeNs:
		return differs("its first block would be older than the state")
	case d.Digest() != want.Digest():
		return differs("it names other members than the state has")
	case d.Number <= m.last.Number:
		return fmt.Errorf("%w: it is %d, and the state is of recovery %d", recovery.ErrNumber, d.Number, m.last.Number)
	}
	return d.Check(m.Deciders())
}

// Recover makes a recovery's block on top of a restored state: ceremonies and changes of the membership that were under way end, and the number is
// noted. The database then holds the state of the document's Base, and is to be opened anew.
func Recover(cfg Config, db *state.DB, d *recovery.Document) (_ [32]byte, err error) {
	m, err := Open(cfg, db)
	if err != nil {
		return [32]byte{}, err
	}
	defer m.Close()
	if err := m.FitsRecovery(d); err != nil {
		return [32]byte{}, err
	}
	const why = "the subnet was restored from a backup"
	height := d.Base()
	blk := db.Begin()
	done := false
	defer func() {
		if !done {
			blk.Discard()
		}
	}()
	rec := Recovered{Number: d.Number, Document: d.Digest(), Base: height, Epoch: m.members.set.Epoch}
	kv.Prefix(blk, prefixMachine).Set(keyRecovered, codec.Marshal(rec))
	members.Abandon(kv.Prefix(blk, prefixMembers), height, why)
	m.sign.Renew(kv.Prefix(blk, prefixSigning), height, why)
	life := rec.Life(m.genesis)
	if err := errors.Join(m.rootKey.Renew(kv.Prefix(blk, prefixDKG), height, life[:]), m.vet.Renew(kv.Prefix(blk, prefixVetKeys), height, life)); err != nil {
		return [32]byte{}, err
	}
	hash := appHash(m.tree.Digest(), blk.Digest()) // nothing of the certified tree has changed
	if err := blk.Commit(height, hash); err != nil {
		return [32]byte{}, err
	}
	done = true
	return hash, nil
}
