package replica

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"fusion/replica/consensus"
	"fusion/replica/genesis"
	"fusion/replica/gossip"
	"fusion/replica/machine"
	"fusion/replica/members"
	"fusion/replica/payload"
)

// roster is this replica's part in changes of the membership: it carries what operators say of them into blocks, says that this node is ready when
// it joins, and keeps gossip and consensus talking to whom the committed state names.
type roster struct {
	r *Replica

	mu    sync.Mutex
	items map[[32]byte]*memberItem
	left  bool // this node was a member, and is none any more
}

// memberItem is an item that waits for a block.
type memberItem struct {
	body  []byte
	own   bool
	stale int // committed blocks for which it did not hold up: this replica may be behind its sender
}

const (
	membersTopic = "members"
	// maxMemberItems bounds what peers can make a replica keep, maxStaleItem for how many blocks it keeps what does not hold up.
	maxMemberItems = 256
	maxStaleItem   = 50
	// repeatItem is after how many blocks an own item that is in none is gossiped again.
	repeatItem = 20
)

func newRoster(r *Replica) *roster {
	m := &roster{r: r, items: map[[32]byte]*memberItem{}}
	r.wire.Handle(gossip.Topic{Name: membersTopic, MaxBytes: members.MaxItem}, func(from int, msg []byte) {
		if _, err := members.DecodeItem(msg); err != nil {
			r.log.Warn("membership item refused", "peer", from, "err", err)
			return
		}
		m.add(msg, false)
	})
	return m
}

func (m *roster) add(body []byte, own bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := sha256.Sum256(body)
	if old := m.items[id]; old != nil {
		old.own = old.own || own
	} else if own || len(m.items) < maxMemberItems {
		m.items[id] = &memberItem{body: body, own: own}
	}
}

// SubmitMembership takes an item of package members, signed by any node, and brings it into a block. An error says why no block would take it now.
func (r *Replica) SubmitMembership(item []byte) error {
	if err := r.machine.CheckMembers([][]byte{item}); err != nil {
		return err
	}
	r.members.add(slices.Clone(item), true)
	r.wire.Broadcast(membersTopic, slices.Clone(item))
	return nil
}

// propose adds what a block may carry now: of each node one item.
func (m *roster) propose(b *payload.Builder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var taken [][]byte
	for _, id := range m.sorted() {
		it := m.items[id]
		if next := append(taken[:len(taken):len(taken)], it.body); m.r.machine.CheckMembers(next) == nil && b.Add(payload.Membership, it.body) {
			taken = next
		}
	}
}

// sorted are the items' ids in an order. The lock is held.
func (m *roster) sorted() [][32]byte {
	return slices.SortedFunc(maps.Keys(m.items), func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
}

// reconcile follows the committed state.
func (m *roster) reconcile(v *machine.View) {
	m.forget(v)
	m.connect(v)
	if role := m.role(v); role == members.Departed || role == members.Forgotten && v.Peers[m.r.self].Left > 0 {
		m.mu.Lock()
		first := !m.left
		m.left = true
		m.mu.Unlock()
		if first {
			m.r.log.Warn("this node is no member any more: it signs, votes and serves no longer, and may be stopped", "left_at_block", v.Peers[m.r.self].Left)
		}
	}
	if it, ok := members.Ask(m.r.machine.MembersReader(), m.r.self); ok && time.Since(time.Unix(0, int64(v.TimeNs))) < maxLag && m.r.moving.Load() {
		if err := m.r.SubmitMembership(it.Sign(m.r.life(), m.r.key)); err != nil {
			m.r.log.Error("saying that this node is ready", "err", err)
		}
	}
}

// forget drops items that are in a block or can be in none, and says own ones again.
func (m *roster) forget(v *machine.View) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, it := range m.items {
		if m.r.machine.CheckMembers([][]byte{it.body}) == nil {
			it.stale = 0
			if it.own && v.Height%repeatItem == 0 {
				m.r.wire.Broadcast(membersTopic, it.body)
			}
		} else if it.stale++; it.own || it.stale > maxStaleItem {
			delete(m.items, id)
		}
	}
}

// role is what this node is in a state; 0 where the state does not know it.
func (m *roster) role(v *machine.View) members.Role {
	if m.r.self >= len(v.Peers) {
		return 0
	}
	return v.Peers[m.r.self].Role
}

// connect tells gossip and consensus who the peers are. A replica that catches up may not know itself yet, nor those who came after the state it has.
func (m *roster) connect(v *machine.View) {
	g, c := m.r.peers(v.Peers)
	if err := m.r.net.SetPeers(g); err != nil {
		m.r.fail(fmt.Errorf("the peers of block %d: %w", v.Height, err))
		return
	}
	if node := m.r.node.Load(); node != nil {
		if err := node.SetPeers(c); err != nil {
			m.r.fail(fmt.Errorf("the peers of block %d: %w", v.Height, err))
		}
	}
}

// peers are those whom gossip and consensus speak to, by node index. Addresses of nodes of the genesis document are in the configuration, others' in
// the state.
func (r *Replica) peers(known []members.Peer) (g []gossip.Peer, c []consensus.Peer) {
	n := max(len(known), r.self+1)
	g, c = make([]gossip.Peer, n), make([]consensus.Peer, n)
	for _, p := range known {
		if p.Role == members.Forgotten {
			continue
		}
		ga, ca := p.Gossip, p.Consensus
		if p.Index < len(r.cfg.Peers) {
			ga, ca = r.cfg.Peers[p.Index].Gossip, r.cfg.Peers[p.Index].Consensus
		}
		g[p.Index], c[p.Index] = gossip.Peer{PublicKey: p.NodeKey, Addr: ga}, consensus.Peer{NodeKey: p.NodeKey, Addr: ca}
	}
	own := r.key.Public().(ed25519.PublicKey)
	g[r.self], c[r.self] = gossip.Peer{PublicKey: own, Addr: r.cfg.Gossip}, consensus.Peer{NodeKey: own, Addr: r.cfg.Consensus}
	return g, c
}

// misplaced says that the network gave this node another index than its configuration says.
func (r *Replica) misplaced(v *machine.View) error {
	own := r.key.Public().(ed25519.PublicKey)
	for _, p := range v.Peers {
		if p.Index != r.self && own.Equal(p.NodeKey) {
			return fmt.Errorf("%w: this is node %d of %s, and node = %d is configured: set node = %d in %s and start again", ErrConfig, p.Index, r.doc.ChainID, r.self, p.Index, ConfigFile)
		}
		if p.Index == r.self && !own.Equal(p.NodeKey) {
			return fmt.Errorf("%w: node %d of %s is somebody else: ask the members for this node's number (fusion node list), and set it as node in %s", ErrConfig, r.self, r.doc.ChainID, ConfigFile)
		}
	}
	return nil
}

// identity is this node's public key in the form that has a principal.
func (r *Replica) identity() genesis.Node {
	return genesis.Node{NodeKey: genesis.Hex(r.key.Public().(ed25519.PublicKey))}
}

// Membership says where the membership stands.
func (r *Replica) Membership() members.Status { return r.machine.View().Membership }

// standing is what a replica's directory says of the network and of itself: the genesis document and the node key.
func (c *Config) standing() (*genesis.Doc, ed25519.PrivateKey, error) {
	doc, err := genesis.Load(filepath.Join(c.Dir, GenesisFile))
	if err != nil {
		return nil, nil, err
	}
	key, err := loadKey(filepath.Join(c.Dir, nodeKeyFile))
	return doc, key, err
}

// NewCandidate signs what the members have to know of a replica that wants to join, from its directory.
func NewCandidate(c *Config) (out members.Candidate, err error) {
	doc, node, err := c.standing()
	if err != nil {
		return out, err
	}
	validator, err := loadKey(filepath.Join(c.Dir, validatorKeyFile))
	if err != nil {
		return out, err
	}
	life, err := c.life(doc)
	if err != nil {
		return out, err
	}
	out = members.NewCandidate(life, node, validator, c.Consensus, c.Gossip)
	return out, out.Check(life)
}

// SignMembership signs an item with the node key in a replica's directory, as that node.
func SignMembership(c *Config, it members.Item) ([]byte, error) {
	doc, key, err := c.standing()
	if err != nil {
		return nil, err
	}
	node := doc.NodeIndex(key.Public().(ed25519.PublicKey))
	if node < 0 {
		node = c.Node
	}
	it.Node = uint32(node)
	life, err := c.life(doc)
	if err != nil {
		return nil, err
	}
	return it.Sign(life, key), nil
}
