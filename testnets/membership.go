package testnets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"fusion/internal/freeport"
	"fusion/replica"
	"fusion/replica/genesis"
	"fusion/replica/members"
	"fusion/replica/recovery"
)

// AddNode makes the directory of one more replica of the network in dir, which is to be node number index of it, and returns what the members have
// to approve. Nothing is started. A directory that is there already is used again.
func (m *Manifest) AddNode(dir string, index int) (*replica.Config, members.Candidate, error) {
	none := members.Candidate{}
	if index < m.Nodes {
		cfg, err := replica.LoadConfig(NodeDir(dir, index))
		if err != nil {
			return nil, none, err
		}
		c, err := replica.NewCandidate(cfg)
		return cfg, c, err
	}
	if index > m.Nodes {
		return nil, none, fmt.Errorf("the network has given out %d numbers, %s holds %d replicas: take the others' directories along", index, dir, m.Nodes)
	}
	first, err := replica.LoadConfig(NodeDir(dir, 0))
	if err != nil {
		return nil, none, err
	}
	doc, err := genesis.Load(filepath.Join(first.Dir, replica.GenesisFile))
	if err != nil {
		return nil, none, err
	}
	ports, err := freeport.Find(3)
	if err != nil {
		return nil, none, err
	}
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(ports[i])) }
	d := NodeDir(dir, index)
	if err := os.MkdirAll(d, 0o700); err != nil {
		return nil, none, fmt.Errorf("creating a replica's directory: %w", err)
	}
	if _, _, err := replica.NewNodeKeys(d); err != nil {
		return nil, none, err
	}
	path := filepath.Join(d, replica.GenesisFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, none, fmt.Errorf("creating a replica's directory: %w", err)
	}
	if err := doc.Save(path); err != nil {
		return nil, none, err
	}
	switch last, err := recovery.Load(filepath.Join(first.Dir, replica.RecoveryFile)); { // what a candidate signs is of the life since
	case err == nil:
		if err := os.WriteFile(filepath.Join(d, replica.RecoveryFile), last.Encode(), 0o644); err != nil {
			return nil, none, fmt.Errorf("creating a replica's directory: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, none, err
	}
	cfg := &replica.Config{Dir: d, Node: index, HTTP: at(0), Consensus: at(1), Gossip: at(2), Peers: first.Peers, BitcoinPeers: first.BitcoinPeers, Ethereum: first.Ethereum,
		CommitWait: first.CommitWait, ProposeWait: first.ProposeWait}
	cfg.EnsureDefaults()
	if err := cfg.Validate(len(doc.Nodes)); err != nil {
		return nil, none, err
	}
	if err := cfg.Save(); err != nil {
		return nil, none, err
	}
	c, err := replica.NewCandidate(cfg)
	if err != nil {
		return nil, none, err
	}
	m.Nodes, m.HTTP = m.Nodes+1, append(m.HTTP, cfg.HTTP)
	return cfg, c, m.save(dir)
}

// AddNode is Manifest.AddNode on a running network; StartReplica starts the replica.
func (n *Network) AddNode(index int) (members.Candidate, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, c, err := n.Manifest.AddNode(n.Dir, index)
	for len(n.replicas) < n.Nodes {
		n.replicas = append(n.replicas, nil)
	}
	return c, err
}

// count is how many replicas there are.
func (n *Network) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.replicas)
}

// submitMembership hands an item to a replica that runs and is a member. When none takes it, the error is that of the replica with the most blocks:
// one that is behind refuses what it does not know yet.
func (n *Network) submitMembership(item []byte) error {
	refused, best := ErrNotRunning, uint64(0)
	for i := range n.count() {
		r := n.Replica(i)
		if r == nil {
			continue
		}
		height := r.Status().Height
		err := r.SubmitMembership(item)
		if err == nil {
			return nil
		}
		if height >= best {
			refused, best = err, height
		}
	}
	return refused
}

// addNode makes and starts one more replica.
func (n *Network) addNode(ctx context.Context, index int) (members.Candidate, error) {
	c, err := n.AddNode(index)
	if err == nil && n.Replica(index) == nil {
		err = n.StartReplica(ctx, index)
	}
	return c, err
}
