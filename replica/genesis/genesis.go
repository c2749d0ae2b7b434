package genesis

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"fusion/btc"
	"fusion/btc/utxo"
	"fusion/chainkey"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/internal/durable"
	"fusion/internal/strictjson"
)

// Version of the document's form.
const Version = 1

// MaxNodes is how many replicas a network may have.
const MaxNodes = 40

// ErrInvalid is wrapped by every refusal of a document.
var ErrInvalid = errors.New("invalid genesis document")

// Class says what a network's keys may guard; it can never change (SECURITY: development pre-parameters never meet real coins).
type Class string

// Local networks use pre-made parameters and plaintext shares, accept provisional methods, and reach development chains only.
// Public networks generate their own parameters, seal their shares and refuse provisional methods.
const (
	Local  Class = "local"
	Public Class = "public"
)

// Idkg is the scheme of package chainkey/idkg, by its name in documents.
const Idkg = "idkg"

// Hex is a byte string written in hexadecimal.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// Doc is a genesis document.
type Doc struct {
	Version int    `json:"version"`
	ChainID string `json:"chain_id"` // at most 50 characters, shown everywhere
	Class   Class  `json:"class"`
	TimeNs  uint64 `json:"time_ns"` // nanoseconds since 1970, the time of block 0
	Nodes   []Node `json:"nodes"`   // 1, or 4 and more replicas; the position is the node index everywhere
	// Keys are the threshold keys to generate, as "algorithm:name": the name is what canisters ask for.
	Keys []chainkey.KeyID `json:"keys"`
	// Schemes name, by key, how it is shared where that is not the default: "idkg" (package chainkey/idkg). The defaults are gg18 for ECDSA and FROST for
	// Schnorr.
	Schemes map[chainkey.KeyID]string `json:"schemes,omitempty"`
	// Presignatures is how many presignatures a key of scheme "idkg" keeps ready, absent for the default: 256 for ECDSA, 32 for Schnorr. One takes
	// about 4 kB of state at four members, 170 kB at 34.
	Presignatures int `json:"presignatures,omitempty"`
	// Bitcoin names the chain to follow; absent where the subnet reads none.
	Bitcoin *Bitcoin `json:"bitcoin,omitempty"`
	// Ethereum names the chain that the replicas read through their own providers; absent where they have none.
	Ethereum *Ethereum `json:"ethereum,omitempty"`
	// CanisterRanges are the ids that belong to this subnet, inclusive, ascending. Fresh ids come from the first.
	CanisterRanges []Range `json:"canister_ranges"`
	// SubnetAdmins may create canisters without cycles, list all of them, and start, stop, uninstall and delete any; most subnets have none.
	SubnetAdmins []principal.Principal `json:"subnet_admins,omitempty"`
	// Custodial are the canisters that hold or account for users' coins: minters and their ledgers. The subnet keeps them in cycles, nobody can
	// throw their state away, and their signatures go before those of others: most of a key's queue, but not all, may be theirs. The canisters that
	// they make are kept likewise.
	Custodial []principal.Principal `json:"custodial,omitempty"`
	// Governance says who may change custodial canisters and members. Where it is absent, which only local networks may have it, the canisters' controllers
	// and the nodes' keys do.
	Governance *Governance `json:"governance,omitempty"`
	// BlockMaxBytes bounds a block. CometBFT fixes it at genesis.
	BlockMaxBytes int64 `json:"block_max_bytes"`
	// DKGPhaseBlocks is how long the BLS key generation waits for missing bundles in each phase, in blocks.
	DKGPhaseBlocks uint64 `json:"dkg_phase_blocks"`
	// SigningDeadlineBlocks is how long the first attempt at a signature may take, in blocks; it doubles per attempt.
	SigningDeadlineBlocks uint64 `json:"signing_deadline_blocks"`
	// KeygenDeadlineBlocks is the same for key generation.
	KeygenDeadlineBlocks uint64 `json:"keygen_deadline_blocks"`
	// SigningParallel caps the ceremonies that run at once.
	SigningParallel int `json:"signing_parallel"`
}

// RootCanister is the id of the root canister, where there is governance: that of the Internet Computer's.
var RootCanister = principal.MustParse("r7inp-6aaaa-aaaaa-aaabq-cai")

// Governance is what the root canister begins with (package root). Two thirds of the operators decide.
type Governance struct {
	Operators []principal.Principal `json:"operators"` // of people; a proposal changes them
	// TimeLockSeconds lie between the approval of a proposal and its execution.
	TimeLockSeconds uint64 `json:"time_lock_seconds"`
	// ProposalSeconds is how long a proposal may take from submission to execution, the time lock included.
	ProposalSeconds uint64 `json:"proposal_seconds"`
}

// Bounds of governance. On public networks a lost key must not freeze it, and people need time to see what was decided.
const (
	MinOperators  = 3
	MaxOperators  = 40
	MinTimeLock   = 3600                // seconds
	MaxTimeLock   = 90 * 24 * 3600      // seconds
	maxProposal   = 2 * 365 * 24 * 3600 // seconds
	leastDeciding = 60                  // seconds beside the time lock, in which a proposal is approved and executed
)

// Least is how many operators a network of a class must have.
func (c Class) Least() int {
	if c == Local {
		return 1
	}
	return MinOperators
}

// CheckOperators says whether at least so many operators can decide together.
func CheckOperators(list []principal.Principal, least int) error {
	if n := len(list); n < max(least, 1) || n > MaxOperators {
		return fmt.Errorf("%d operators, want %d to %d", n, max(least, 1), MaxOperators)
	}
	for i, p := range list {
		if p.IsAnonymous() || p.IsManagement() || slices.Contains(list[:i], p) {
			return fmt.Errorf("operators[%d] (%s) is nobody, or is named twice", i, p)
		}
	}
	return nil
}

func (g *Governance) validate(class Class) error {
	if err := CheckOperators(g.Operators, class.Least()); err != nil {
		return fmt.Errorf("governance.operators: %w", err)
	}
	switch {
	case g.TimeLockSeconds > MaxTimeLock || class != Local && g.TimeLockSeconds < MinTimeLock:
		return fmt.Errorf("governance.time_lock_seconds is %d, want %d to %d on a public network", g.TimeLockSeconds, MinTimeLock, MaxTimeLock)
	case g.ProposalSeconds < g.TimeLockSeconds+leastDeciding || g.ProposalSeconds > maxProposal:
		return fmt.Errorf("governance.proposal_seconds is %d, want %d (time_lock_seconds and a minute) to %d", g.ProposalSeconds, g.TimeLockSeconds+leastDeciding, maxProposal)
	}
	return nil
}

// Node is one replica's public keys.
type Node struct {
	NodeKey      Hex `json:"node_key"`      // Ed25519: transport, envelopes, query signatures
	ValidatorKey Hex `json:"validator_key"` // Ed25519: consensus votes
}

// Bitcoin is the chain to follow.
type Bitcoin struct {
	Network            string `json:"network"`             // mainnet, testnet4, signet or regtest
	StabilityThreshold uint32 `json:"stability_threshold"` // confirmations after which a block enters the UTXO set
	// RivalBlocks and RivalSeconds say from when on members speak of a chain with more work that the network cannot follow: by how many blocks' work it is ahead, the
	// default is 6, and for how long f+1 of them have said so before coins are not counted, the default is 600.
	RivalBlocks  uint32 `json:"rival_blocks,omitempty"`
	RivalSeconds uint32 `json:"rival_seconds,omitempty"`
	// Snapshot is what the UTXO set begins with instead of the genesis block; every founding replica imports the file before it starts.
	Snapshot *BitcoinSnapshot `json:"snapshot,omitempty"`
}

// Rivals are RivalBlocks and RivalSeconds with their defaults.
func (b *Bitcoin) Rivals() (blocks uint32, wait time.Duration) {
	blocks, seconds := cmp.Or(b.RivalBlocks, 6), cmp.Or(b.RivalSeconds, 600)
	return blocks, time.Duration(seconds) * time.Second
}

// BitcoinSnapshot names a file that Bitcoin Core's dumptxoutset made.
type BitcoinSnapshot struct {
	Height uint32 `json:"height"`
	Block  string `json:"block"` // hash of the block after which the coins exist
	Hash   string `json:"hash"`  // of the coins: txoutset_hash, hash_serialized_3
}

// Base is the snapshot that the UTXO set begins with, or nil.
func (b *Bitcoin) Base() (*utxo.Base, error) {
	if b.Snapshot == nil {
		return nil, nil
	}
	network, err := btc.ParseNetwork(b.Network)
	if err != nil {
		return nil, err
	}
	block, err := btc.ParseHash(b.Snapshot.Block)
	if err != nil {
		return nil, fmt.Errorf("block: %w", err)
	}
	hash, err := btc.ParseHash(b.Snapshot.Hash)
	if err != nil {
		return nil, fmt.Errorf("hash: %w", err)
	}
	base := &utxo.Base{Height: b.Snapshot.Height, Block: block, Hash: hash}
	return base, base.Accept(network)
}

// Ethereum is a chain of Ethereum's kind.
type Ethereum struct {
	ChainID uint64 `json:"chain_id"`
}

// Chain ids of Ethereum's development chains, whose coins are worth nothing: a geth in the process, and anvil.
const (
	GethChainID  = 1337
	AnvilChainID = 31337
)

// Development says whether the chain is one that a local network may follow, and only it.
func (e *Ethereum) Development() bool { return e.ChainID == GethChainID || e.ChainID == AnvilChainID }

// Range is an inclusive range of canister ids.
type Range struct {
	First principal.Principal `json:"first"`
	Last  principal.Principal `json:"last"`
}

// Contains reports whether id lies in the range.
func (r Range) Contains(id principal.Principal) bool {
	return r.First.Compare(id) <= 0 && id.Compare(r.Last) <= 0 && id.Len() == r.First.Len()
}

// F is the number of faulty replicas that the network tolerates.
func (d *Doc) F() int { return (len(d.Nodes) - 1) / 3 }

// Quorum is n-f, 2f+1 of 3f+1: certificates and beacons have that many signers.
func (d *Doc) Quorum() int { return len(d.Nodes) - d.F() }

// Hash names the network.
func (d *Doc) Hash() [32]byte {
	b, err := json.Marshal(d)
	if err != nil {
		panic(fmt.Sprintf("genesis: encoding the document: %v", err)) // plain data always encodes
	}
	return sha256.Sum256(append([]byte("fusion/genesis/v1\x00"), b...))
}

// NodeID is the principal of a replica: the self-authenticating id of its DER-encoded node key.
func (n Node) NodeID() principal.Principal { return principal.SelfAuthenticating(n.NodeKeyDER()) }

// NodeKeyDER is the node key as the state tree shows it.
func (n Node) NodeKeyDER() []byte { return identity.EncodeEd25519(ed25519.PublicKey(n.NodeKey)) }

// NodeIndex finds a replica by its node key, or returns -1.
func (d *Doc) NodeIndex(nodeKey []byte) int {
	for i, n := range d.Nodes {
		if string(n.NodeKey) == string(nodeKey) {
			return i
		}
	}
	return -1
}

// OwnsCanister reports whether id is in the subnet's ranges.
func (d *Doc) OwnsCanister(id principal.Principal) bool {
	for _, r := range d.CanisterRanges {
		if r.Contains(id) {
			return true
		}
	}
	return false
}

// Validate refuses a document that no network could run on; the error names the field.
func (d *Doc) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case d.Version != Version:
		return bad("version is %d, this binary reads %d", d.Version, Version)
	case d.ChainID == "" || len(d.ChainID) > 50 || strings.ContainsFunc(d.ChainID, func(r rune) bool { return r <= ' ' || r > '~' }):
		return bad("chain_id %q is not 1 to 50 printable characters without spaces", d.ChainID)
	case d.Class != Local && d.Class != Public:
		return bad("class is %q, want %q or %q", d.Class, Local, Public)
	case len(d.Nodes) != 1 && len(d.Nodes) < 4:
		return bad("%d nodes, want 1, or 4 and more (3f+1 of them tolerate f faulty ones)", len(d.Nodes))
	case len(d.Nodes) > MaxNodes:
		return bad("%d nodes, at most %d are supported", len(d.Nodes), MaxNodes)
	case d.Class == Public && len(d.Nodes) < 4:
		return bad("a public network needs at least 4 nodes")
	case len(d.CanisterRanges) == 0:
		return bad("canister_ranges is empty")
	case d.BlockMaxBytes < 4<<20+1<<18 || d.BlockMaxBytes > 16<<20:
		return bad("block_max_bytes is %d, want %d to %d (a whole Bitcoin block must fit)", d.BlockMaxBytes, 4<<20+1<<18, 16<<20)
	case d.DKGPhaseBlocks == 0 || d.SigningDeadlineBlocks == 0 || d.KeygenDeadlineBlocks == 0:
		return bad("dkg_phase_blocks, signing_deadline_blocks and keygen_deadline_blocks must be positive")
	case len(d.SubnetAdmins) > maxAdmins:
		return bad("%d subnet_admins, at most %d are allowed", len(d.SubnetAdmins), maxAdmins)
	case len(d.Custodial) > maxCustodial:
		return bad("%d custodial canisters, at most %d are allowed", len(d.Custodial), maxCustodial)
	case d.SigningParallel < 1:
		return bad("signing_parallel is %d, want at least 1", d.SigningParallel)
	}
	seen := map[string]string{}
	for i, n := range d.Nodes {
		for name, key := range map[string][]byte{"node_key": n.NodeKey, "validator_key": n.ValidatorKey} {
			if len(key) != ed25519.PublicKeySize {
				return bad("node %d: %s has %d bytes, want %d", i, name, len(key), ed25519.PublicKeySize)
			}
			if where, dup := seen[string(key)]; dup {
				return bad("node %d: %s is also %s", i, name, where)
			}
			seen[string(key)] = fmt.Sprintf("node %d's %s", i, name)
		}
	}
	names := map[chainkey.KeyID]bool{}
	for _, k := range d.Keys {
		if !k.Algorithm.Valid() || k.Name == "" || len(k.Name) > 64 || names[k] {
			return bad("keys: %q has no such algorithm, no name, a long one, or stands there twice", k)
		}
		names[k] = true
	}
	if d.Presignatures < 0 || d.Presignatures > maxPresignatures || d.Presignatures > 0 && len(d.Schemes) == 0 {
		return bad("presignatures is %d, want at most %d, and keys that use them (schemes)", d.Presignatures, maxPresignatures)
	}
	for k, scheme := range d.Schemes {
		if !names[k] || !k.Algorithm.Signs() || scheme != Idkg {
			return bad("schemes: %q for %q: the scheme is not %q, or keys does not have a key of that name that signs", scheme, k, Idkg)
		}
	}
	for i, r := range d.CanisterRanges {
		if r.First.Compare(r.Last) > 0 || r.First.Len() != r.Last.Len() || i > 0 && d.CanisterRanges[i-1].Last.Compare(r.First) >= 0 {
			return bad("canister_ranges[%d] is empty or out of order", i)
		}
	}
	for i, p := range d.SubnetAdmins {
		if p.IsAnonymous() || p.IsManagement() || slices.Contains(d.SubnetAdmins[:i], p) {
			return bad("subnet_admins[%d] is nobody, or is named twice", i)
		}
	}
	for i, p := range d.Custodial {
		if !d.OwnsCanister(p) || slices.Contains(d.Custodial[:i], p) {
			return bad("custodial[%d] is no canister of this subnet, or is named twice", i)
		}
	}
	if g := d.Governance; g != nil {
		if err := g.validate(d.Class); err != nil {
			return bad("%v", err)
		}
		if !d.OwnsCanister(RootCanister) || slices.Contains(d.Custodial, RootCanister) {
			return bad("governance: the root canister %s must be in canister_ranges, and not custodial", RootCanister)
		}
	} else if d.Class != Local {
		return bad("governance is missing: a public network names its operators")
	}
	if d.Bitcoin != nil {
		switch n := d.Bitcoin.Network; {
		case n != "mainnet" && n != "testnet4" && n != "signet" && n != "regtest":
			return bad("bitcoin.network is %q, want mainnet, testnet4, signet or regtest", n)
		case d.Class == Local && n != "regtest":
			return bad("bitcoin.network is %q: a local network holds keys made from public parameters and may only follow regtest", n)
		case d.Bitcoin.StabilityThreshold == 0:
			return bad("bitcoin.stability_threshold must be positive")
		case d.Bitcoin.RivalBlocks > maxRivalBlocks || d.Bitcoin.RivalSeconds > maxRivalSeconds:
			return bad("bitcoin.rival_blocks is %d and rival_seconds %d, at most %d and %d are allowed", d.Bitcoin.RivalBlocks, d.Bitcoin.RivalSeconds, maxRivalBlocks, maxRivalSeconds)
		}
		if _, err := d.Bitcoin.Base(); err != nil {
			return fmt.Errorf("%w: bitcoin.snapshot: %w", ErrInvalid, err)
		}
	}
	if e := d.Ethereum; e != nil {
		switch {
		case e.ChainID == 0:
			return bad("ethereum.chain_id must be positive")
		case d.Class == Local && !e.Development():
			return bad("ethereum.chain_id is %d: a local network holds keys made from public parameters and may only follow a development chain, %d or %d",
				e.ChainID, GethChainID, AnvilChainID)
		case d.Class == Public && e.Development():
			return bad("ethereum.chain_id is %d, a development chain: a public network must not follow it, anybody can make its blocks", e.ChainID)
		}
	}
	return nil
}

const (
	maxBytes     = 1 << 20 // of a document on disk
	maxCustodial = 64

	maxPresignatures = 4096
	// Who claims a rival chain says so again within an hour (package rival), and a day's lead is too late to be careful.
	maxRivalBlocks, maxRivalSeconds = 144, 24 * 3600

	maxAdmins = 10 // of a subnet, as on the Internet Computer (dfinity/ic, registry canister, MAX_SUBNET_ADMINS)
)

// Parse reads and validates a document; unknown fields are refused.
func Parse(b []byte) (*Doc, error) {
	var d Doc
	if err := strictjson.Unmarshal(b, maxBytes, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &d, d.Validate()
}

// Load reads a document from a file.
func Load(path string) (*Doc, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading genesis: %w", err)
	}
	d, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// Save writes the document to a file that does not exist yet.
func (d *Doc) Save(path string) error {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding genesis: %w", err)
	}
	if err := durable.Create(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	}); err != nil {
		return fmt.Errorf("writing genesis: %w", err)
	}
	return nil
}
