package testnets

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"fusion/chainkey"
	"fusion/ic/principal"
	"fusion/internal/freeport"
	"fusion/replica"
	"fusion/replica/genesis"
	"fusion/replica/http/face"
	"fusion/testnets/canisters"
)

// Version of the layout of a network's directory.
const Version = 1

// Errors of opening and creating networks; test with errors.Is.
var (
	ErrNoNetwork = errors.New("no network in this directory")
	ErrVersion   = errors.New("the network was made by another version")
	ErrSettings  = errors.New("the network was created with other settings")
)

// Manifest is what is chosen when a network is created.
type Manifest struct {
	Version int       `json:"version"`
	ChainID string    `json:"chain_id"`
	Created time.Time `json:"created"`
	Nodes   int       `json:"nodes"`
	// HTTP are the public HTTP interfaces by node, host:port.
	HTTP []string `json:"http"`
	// Bitcoin is where the embedded regtest node listens for peers, host:port. With ExternalBitcoin somebody else's node is there.
	Bitcoin         string `json:"bitcoin"`
	ExternalBitcoin bool   `json:"external_bitcoin,omitempty"`
	// Ethereum is the chain that the network follows, nil for none.
	Ethereum *EthereumChain `json:"ethereum,omitempty"`
	// Checker is how the Bitcoin checker judges, nil for a network that accepts everything.
	Checker *Checker `json:"checker,omitempty"`
	// Scheme is how keys that sign are shared, empty for the defaults.
	Scheme string `json:"scheme,omitempty"`
	// Ledger and Minter are the canister ids of ckBTC.
	Ledger principal.Principal `json:"ckbtc_ledger"`
	Minter principal.Principal `json:"ckbtc_minter"`
}

// Settings of a new network. The zero value is what `fusion up` makes, without Ethereum.
type Settings struct {
	// Nodes is the number of replicas: 1, or 4 and more. The default is 4.
	Nodes int
	// HTTP is where replica 0 serves its public interface; the others take free ports. The default is a free port.
	HTTP string
	// BitcoinPeer names a regtest node that somebody else runs, host:port; the default is an embedded one.
	BitcoinPeer string
	// Ethereum is the chain to follow: EthereumGeth in this process, EthereumAnvil beside it, the URL of somebody else's development node, or
	// EthereumNone, the default.
	Ethereum string
	// Checker is how the Bitcoin checker judges; the default accepts everything.
	Checker *Checker
	// SubnetAdmins go into the genesis document; the default is none.
	SubnetAdmins []principal.Principal
	// Operators decide, by the root canister, what becomes of custodial canisters and of the membership: principals, or names of identities in the network's
	// directory, which are made. The default is none: then the identity DefaultIdentity controls all canisters, and node keys the membership.
	Operators []string
	// TimeLock lies between what operators decide and its execution, in whole seconds; the default is none.
	TimeLock time.Duration
	// Keys are the threshold keys to make; the default is one of each algorithm.
	Keys []chainkey.KeyID
	// Scheme is how keys that sign are shared: genesis.Idkg, or empty for the defaults.
	Scheme string
	// CommitWait and ProposeWait pace the consensus; the defaults suit one machine.
	CommitWait, ProposeWait time.Duration
}

// Well-known names within a network's directory.
const (
	manifestFile  = "network.json"
	LogFile       = "fusion.log"
	AdminSocket   = "admin.sock"
	identitiesDir = "identities"
	bitcoinDir    = "bitcoin"
	ethereumDir   = "ethereum"
	lockFile      = "lock"
)

// TestKey is the threshold key of local networks, under the name that local development networks of the Internet Computer use.
const TestKey = "dfx_test_key"

// Keys are the threshold keys of local networks: one of each algorithm, all of the same name.
func Keys() (list []chainkey.KeyID) {
	for _, a := range chainkey.Algorithms {
		list = append(list, chainkey.KeyID{Algorithm: a, Name: TestKey})
	}
	return append(list, chainkey.KeyID{Algorithm: chainkey.Bls12381G2, Name: TestKey})
}

// schemes are what the genesis document says of how keys are shared.
func (s *Settings) schemes() map[chainkey.KeyID]string {
	if s.Scheme == "" {
		return nil
	}
	out := map[chainkey.KeyID]string{}
	for _, id := range s.Keys {
		if id.Algorithm.Signs() {
			out[id] = s.Scheme
		}
	}
	return out
}

// EcdsaKey is the one that the ckBTC minter signs with.
var EcdsaKey = chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: TestKey}

// Freshly created canisters get ids from this range; the well-known ids are ranges of their own.
const (
	firstCanister = 0x0000_0000_0160_0000
	lastCanister  = 0x0000_0000_016f_ffff
)

// NodeDir is the data directory of replica i of the network in dir.
func NodeDir(dir string, i int) string { return filepath.Join(dir, fmt.Sprintf("node%d", i)) }

// Load reads the manifest of the network in dir.
func Load(dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoNetwork)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the network: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	if m.Version != Version {
		return nil, fmt.Errorf("%s: %w: layout %d, this binary reads %d; use another --data-dir or that version", path, ErrVersion, m.Version, Version)
	}
	if m.Nodes < 1 || len(m.HTTP) != m.Nodes {
		return nil, fmt.Errorf("%s is damaged: %d nodes with %d endpoints", path, m.Nodes, len(m.HTTP))
	}
	return &m, nil
}

// Create makes a network in dir, which must not hold one. Nothing is started. It is complete when the manifest is there: a
// creation that was cut short is redone by the next.
func Create(dir string, s Settings) (*Manifest, error) {
	if s.Nodes == 0 {
		s.Nodes = 4
	}
	if s.Keys == nil {
		s.Keys = Keys()
	}
	if _, err := Load(dir); err == nil {
		return nil, fmt.Errorf("%s holds a network already", dir)
	} else if !errors.Is(err, ErrNoNetwork) {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the network's directory: %w", err)
	}
	ports, err := freeport.Find(3*s.Nodes + 2)
	if err != nil {
		return nil, err
	}
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(ports[i])) }
	m := &Manifest{Version: Version, Created: time.Now().UTC(), Nodes: s.Nodes, Bitcoin: at(3 * s.Nodes), Checker: s.Checker, Scheme: s.Scheme,
		Ledger: canisters.CkbtcLedger, Minter: canisters.CkbtcMinter}
	m.ChainID = fmt.Sprintf("local-%d", m.Created.Unix())
	var outcalls replica.Outcalls
	if s.Checker != nil {
		if outcalls.Allow, err = s.Checker.validate(); err != nil {
			return nil, err
		}
		outcalls.AllowHTTP = outcalls.Allow != nil
	}
	if s.BitcoinPeer != "" {
		m.Bitcoin, m.ExternalBitcoin = s.BitcoinPeer, true
	}
	if m.Ethereum, err = newEthereumChain(s.Ethereum, at(3*s.Nodes+1)); err != nil {
		return nil, err
	}
	doc := &genesis.Doc{
		Version: genesis.Version, ChainID: m.ChainID, Class: genesis.Local, TimeNs: uint64(m.Created.UnixNano()), Keys: s.Keys,
		Schemes: s.schemes(),
		// Six confirmations are final on a chain where blocks cost nothing.
		Bitcoin:        &genesis.Bitcoin{Network: "regtest", StabilityThreshold: 6},
		CanisterRanges: ranges(m.Ethereum != nil, len(s.Operators) > 0), SubnetAdmins: s.SubnetAdmins, Custodial: []principal.Principal{canisters.CkbtcMinter, canisters.CkbtcLedger},
		BlockMaxBytes: 5 << 20, DKGPhaseBlocks: 40,
		// A signature takes about a second of CPU for each signer, all of them on this machine.
		SigningDeadlineBlocks: 60, KeygenDeadlineBlocks: 1200, SigningParallel: 4,
	}
	if m.Ethereum != nil {
		doc.Ethereum = &genesis.Ethereum{ChainID: m.Ethereum.ChainID}
		doc.Custodial = append(doc.Custodial, canisters.CkethMinter, canisters.CkethLedger, canisters.Orchestrator)
	}
	if doc.Governance, err = govern(dir, s.Operators, s.TimeLock); err != nil {
		return nil, err
	}
	if doc.Governance != nil { // the operators' are then those beside them, too
		doc.Custodial = append(doc.Custodial, canisters.CkbtcIndex, canisters.BtcChecker)
		if m.Ethereum != nil {
			doc.Custodial = append(doc.Custodial, canisters.CkethIndex)
		}
	}
	var peers []replica.Peer
	for i := range s.Nodes {
		if err := os.MkdirAll(NodeDir(dir, i), 0o700); err != nil {
			return nil, fmt.Errorf("creating a replica's directory: %w", err)
		}
		node, validator, err := replica.NewNodeKeys(NodeDir(dir, i))
		if err != nil {
			return nil, err
		}
		doc.Nodes = append(doc.Nodes, genesis.Node{NodeKey: genesis.Hex(node), ValidatorKey: genesis.Hex(validator)})
		peers = append(peers, replica.Peer{Consensus: at(3*i + 1), Gossip: at(3*i + 2)})
		http := at(3 * i)
		if i == 0 && s.HTTP != "" {
			http = s.HTTP
		}
		m.HTTP = append(m.HTTP, http)
	}
	if err := doc.Validate(); err != nil {
		return nil, err
	}
	for i := range s.Nodes {
		d := NodeDir(dir, i)
		if err := os.Remove(filepath.Join(d, replica.GenesisFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("creating the network: %w", err)
		}
		if err := doc.Save(filepath.Join(d, replica.GenesisFile)); err != nil {
			return nil, err
		}
		c := &replica.Config{Dir: d, HTTP: m.HTTP[i], Consensus: peers[i].Consensus, Gossip: peers[i].Gossip, Peers: peers,
			BitcoinPeers: []string{m.Bitcoin}, Dashboard: string(face.Wallet), Ethereum: m.Ethereum.providers(), Outcalls: outcalls, CommitWait: replica.Duration(s.CommitWait), ProposeWait: replica.Duration(s.ProposeWait)}
		c.EnsureDefaults()
		if err := c.Validate(s.Nodes); err != nil {
			return nil, err
		}
		if err := c.Save(); err != nil {
			return nil, err
		}
	}
	return m, m.save(dir)
}

func (m *Manifest) save(dir string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	path := filepath.Join(dir, manifestFile)
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return nil
}

// ranges are the canister ids of a local network in ascending order.
func ranges(ethereum, governed bool) []genesis.Range {
	one := func(p principal.Principal) genesis.Range { return genesis.Range{First: p, Last: p} }
	out := []genesis.Range{
		{First: principal.FromUint64(firstCanister), Last: principal.FromUint64(lastCanister)},
		one(canisters.BitcoinTestnet), one(canisters.CkbtcLedger), one(canisters.CkbtcMinter), one(canisters.CkbtcIndex), one(canisters.BtcChecker),
	}
	if ethereum {
		out = append(out, one(canisters.EvmRpc), one(canisters.CkethMinter), one(canisters.CkethLedger), one(canisters.CkethIndex), one(canisters.Orchestrator))
	}
	if governed {
		out = append(out, one(genesis.RootCanister))
	}
	for i := range out { // few enough for insertion
		for j := i; j > 0 && out[j].First.Compare(out[j-1].First) < 0; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}
