package replica

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"fusion/ic/principal"
	"fusion/replica/genesis"
)

// A replica of a public network does not start with its shares in the clear, nor with what is for development: a directory with one's keys, and a
// configuration that lacks or has too much.
func TestPublicNetworkWantsSealedKeys(t *testing.T) {
	dir := t.TempDir()
	node, validator, err := NewNodeKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	doc := &genesis.Doc{Version: genesis.Version, ChainID: "public", Class: genesis.Public, CanisterRanges: []genesis.Range{{First: principal.FromUint64(0), Last: principal.FromUint64(99)}},
		BlockMaxBytes: 5 << 20, DKGPhaseBlocks: 1, SigningDeadlineBlocks: 1, KeygenDeadlineBlocks: 1, SigningParallel: 1,
		Governance: &genesis.Governance{TimeLockSeconds: genesis.MinTimeLock, ProposalSeconds: 7 * 24 * 3600}}
	peers := make([]Peer, 4)
	for i := range byte(4) {
		n := genesis.Node{NodeKey: append(make(genesis.Hex, ed25519.PublicKeySize-2), 1, i), ValidatorKey: append(make(genesis.Hex, ed25519.PublicKeySize-2), 2, i)}
		if i == 0 {
			n = genesis.Node{NodeKey: genesis.Hex(node), ValidatorKey: genesis.Hex(validator)}
		}
		doc.Nodes = append(doc.Nodes, n)
		doc.Governance.Operators = append(doc.Governance.Operators, principal.SelfAuthenticating([]byte{i}))
		peers[i] = Peer{Consensus: fmt.Sprintf("127.0.0.1:%d", 2*i+1), Gossip: fmt.Sprintf("127.0.0.1:%d", 2*i+2)}
	}
	if err := doc.Save(filepath.Join(dir, GenesisFile)); err != nil {
		t.Fatal(err)
	}
	base := Config{Dir: dir, Consensus: "127.0.0.1:1", Gossip: "127.0.0.1:2", Peers: peers}
	base.EnsureDefaults()
	if base.HTTP != "127.0.0.1:4943" || strings.Join(base.AllowedHosts, " ") != "localhost .localhost 127.0.0.1 ::1" {
		t.Errorf("by default it answers at %s, to %v: not to this machine alone", base.HTTP, base.AllowedHosts)
	}
	identify := func(change func(*Config)) error {
		cfg := base
		change(&cfg)
		return (&Replica{cfg: cfg}).identify()
	}
	for want, change := range map[string]func(*Config){
		"seal_keys_with or seal_keys_by is required": func(*Config) {},
		"outcalls.allow_http":                        func(c *Config) { c.SealKeysBy, c.Outcalls.AllowHTTP = []string{"/bin/true"}, true },
	} {
		if err := identify(change); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
