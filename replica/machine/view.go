package machine

import (
	"fmt"
	"math/big"

	"fusion/btc/utxo"
	"fusion/chainkey/bls"
	"fusion/ic/certificate"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/members"
	"fusion/replica/rival"
	"fusion/replica/vetkeys"
)

// View is the committed state as the reconciler and the public interface see it. It never changes.
type View struct {
	Height  uint64
	TimeNs  uint64
	AppHash [32]byte

	// DKG says where the key generation stands; nil once there is a key.
	DKG *bls.Status

	// Members are the nodes in force, Peers all that ever had an index, and Membership says how changes of them stand.
	Members    members.Set
	Roster     *members.Roster
	Peers      []members.Peer
	Membership members.Status

	// What follows is empty before there is a key.

	// Protocol is the version in force, and Next the one that is decided, if there is one, from block NextHeight on.
	Protocol, Next, NextHeight uint64

	Key        *bls.Result
	Group      *bls.Group
	Subnet     principal.Principal
	RootKeyDER []byte
	Verifier   *certificate.Verifier // of the root key, shared with the machine: it remembers pairings
	Tree       *hashtree.Map
	Root       [32]byte
	Executor   *execution.Executor
	// VetKeys says where the keys to derive from stand.
	VetKeys []vetkeys.Status
	// Beacons are the committed heights whose beacon something waits for.
	Beacons []uint64
	// Bitcoin is what the view of the chain lacks and what is to be announced; nil where the subnet follows no chain.
	Bitcoin *BitcoinView
}

// BitcoinView is what the Bitcoin adapter works from.
type BitcoinView struct {
	Request  utxo.Request
	Outgoing []utxo.Outgoing
	Info     utxo.Info
	// Doubt says why coins are not counted at the moment, or nothing; BestWork is the work of the heaviest known branch of headers.
	Doubt    string
	BestWork *big.Int
	// Margin is by how much work more a chain must have that members speak of, and Rivals what their words come to.
	Margin *big.Int
	Rivals rival.Verdict
}

// View returns the newest committed state. It may be called from any goroutine.
func (m *Machine) View() *View { return m.view.Load() }

// Board returns the generation of the subnet's key, or nil once there is a key. It belongs to the goroutine that steps the machine.
func (m *Machine) Board() *bls.Board {
	if m.group != nil {
		return nil
	}
	return m.rootKey.Board()
}

// FinishedBoard reads the board that made the shares in force of the subnet's key, from which members derive theirs.
func (m *Machine) FinishedBoard() (*bls.Board, error) {
	b, err := bls.Open(kv.PrefixReader(m.db.Reader(), prefixDKG))
	if err != nil {
		return nil, fmt.Errorf("reading the finished key generation: %w", err)
	}
	return b, nil
}

// FilterBitcoin keeps of an adapter's answer what a proposal at the given time may carry. It belongs to the goroutine that
// steps the machine.
func (m *Machine) FilterBitcoin(items utxo.Items, timeNs uint64, maxBytes int) utxo.Items {
	if m.btc == nil || !m.btc.canister.Syncing() {
		return utxo.Items{}
	}
	return m.btc.Filter(items, timeNs, maxBytes)
}

// ForeseeBitcoin looks at a Bitcoin block that a proposal may bring soon, in any goroutine: what it says by itself, and which coins it spends, is then known.
func (m *Machine) ForeseeBitcoin(raw []byte) error {
	if m.btc == nil {
		return nil
	}
	return m.db.Look(func(committed kv.Reader) { m.btc.Foresee(raw, kv.PrefixReader(committed, prefixCoins)) })
}

func (m *Machine) publish() {
	head := m.db.Head()
	v := &View{Height: head.Height, TimeNs: m.timeNs, AppHash: head.AppHash, Members: m.members.set, Roster: m.members.roster, Peers: m.members.peers,
		Membership: m.members.status}
	if b := m.Board(); b != nil {
		s := b.Status()
		v.DKG = &s
	}
	if m.group != nil {
		mac := kv.PrefixReader(m.db.Reader(), prefixMachine)
		v.Protocol = Protocol(mac)
		v.Next, v.NextHeight, _ = planned(mac)
		v.Key, v.Group, v.Subnet, v.RootKeyDER, v.Verifier = m.rootKey.Result(), m.group, m.subnet.id, m.subnet.rootKeyDER, m.subnet.verifier
		v.Tree, v.Root, v.Executor = m.tree, m.tree.Digest(), m.exec
		v.VetKeys = m.vet.Status()
		v.Beacons = m.wantedBeacons(mac, head.Height)
		if m.btc != nil {
			v.Bitcoin = &BitcoinView{Request: m.btc.Request(), Outgoing: m.btc.Outgoing(), Info: m.btc.Info(), BestWork: m.btc.BestHeader().Work,
				Margin: margin(m.cfg.Genesis, m.btc.BestHeader()), Rivals: m.judgeRivals(kv.PrefixReader(m.db.Reader(), prefixRivals))}
			if doubt, err := m.btc.Live().Doubt(m.timeNs); err == nil {
				v.Bitcoin.Doubt = doubt
			}
		}
	}
	m.view.Store(v)
}

// ExecutionReader reads what the executor keeps, as of the last commit, from any goroutine.
func (m *Machine) ExecutionReader() kv.Reader {
	return kv.PrefixReader(m.db.Reader(), prefixExecution)
}

// Close releases what the machine holds beside its database.
func (m *Machine) Close() {
	if m.exec != nil {
		m.exec.Close()
	}
}
