package signing

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"

	"fusion/chainkey"
	"fusion/replica/genesis"
	"fusion/replica/transcripts"
)

// Config is what all replicas agree on before the first block.
type Config struct {
	Genesis [32]byte            // hash of the genesis document, which chain codes are made of
	Life    [32]byte            // what sessions and items are bound to: Genesis, or what took its place (package recovery)
	Nodes   []ed25519.PublicKey // node keys by node index
	Keys    []chainkey.KeyID    // to generate
	// Schemes name how keys are shared, where it is not the default: transcripts.Name.
	Schemes map[chainkey.KeyID]string
	// Presignatures is how many of them a key of such a scheme keeps ready. The default is that of package transcripts.
	Presignatures int
	// Memo is what machines of one replica share, see transcripts.Config.
	Memo  *transcripts.Memo
	Local bool // class local: shipped secret parameters are accepted

	// SigningDeadline and KeygenDeadline are how many blocks the first attempt may take; each further one has twice as many,
	// up to 64 times.
	SigningDeadline uint64
	KeygenDeadline  uint64
	// Parallel caps the attempts at signatures that are active at once.
	Parallel int

	// QueueLimit is how many requests may be open per key, of which one canister may have half: ten times as many for ECDSA keys that sign from
	// presignatures. The default is 20, the Internet Computer's limit.
	QueueLimit int
	// Minters are principals of canisters whose requests go first: of four free slots three are theirs while others wait, too. A quarter of
	// each key's queue is kept for them, and a quarter for the others.
	Minters [][]byte
	// MaxAttempts is after how many failed attempts a request is rejected. The default is 10.
	MaxAttempts uint32
	// RequestBlocks is after how many blocks an unanswered request is rejected in any case. The default is 100 × SigningDeadline.
	RequestBlocks uint64
	// ReshareAttempts is after how many failed attempts a resharing is given up. The default is 8.
	ReshareAttempts uint32
	// WipeBlocks is how many blocks after an epoch's activation the shares of the one before are wiped. The default is 100.
	WipeBlocks uint64
	// DisputeBlocks is how long a complaint counts. The default is 5,000 blocks.
	DisputeBlocks uint64

	substitute chainkey.Scheme // of tests, for all keys
}

// FromGenesis reads the configuration out of a genesis document. life is its hash, or what took its place (package recovery).
func FromGenesis(doc *genesis.Doc, life [32]byte) Config {
	c := Config{Genesis: doc.Hash(), Life: life, Local: doc.Class == genesis.Local,
		SigningDeadline: doc.SigningDeadlineBlocks, KeygenDeadline: doc.KeygenDeadlineBlocks, Parallel: doc.SigningParallel, Schemes: doc.Schemes,
		Presignatures: doc.Presignatures}
	for _, k := range doc.Keys {
		if k.Algorithm.Signs() {
			c.Keys = append(c.Keys, k)
		}
	}
	for _, id := range doc.Custodial {
		c.Minters = append(c.Minters, id.Bytes())
	}
	for _, n := range doc.Nodes {
		c.Nodes = append(c.Nodes, ed25519.PublicKey(n.NodeKey))
	}
	return c
}

// EnsureDefaults fills fields that are zero.
func (c *Config) EnsureDefaults() {
	set := func(v *uint64, d uint64) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Life == ([32]byte{}) {
		c.Life = c.Genesis
	}
	set(&c.SigningDeadline, 60)
	set(&c.KeygenDeadline, 600)
	set(&c.RequestBlocks, 100*c.SigningDeadline)
	set(&c.DisputeBlocks, 5000)
	set(&c.WipeBlocks, 100)
	c.Parallel = max(c.Parallel, 1)
	if c.QueueLimit == 0 {
		c.QueueLimit = 20
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 10
	}
	if c.ReshareAttempts == 0 {
		c.ReshareAttempts = 8
	}
}

func (c *Config) validate() error {
	if _, err := chainkey.Threshold(len(c.Nodes)); err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	for i, k := range c.Nodes {
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("signing: node %d's key has %d bytes", i, len(k))
		}
	}
	for _, k := range c.Keys {
		if !k.Algorithm.Signs() || k.Name == "" || len(k.Name) > maxKeyName {
			return fmt.Errorf("signing: key %q: no such algorithm, or a name that is empty or longer than %d bytes", k, maxKeyName)
		}
	}
	for id, name := range c.Schemes {
		if name != transcripts.Name || !slices.Contains(c.Keys, id) {
			return fmt.Errorf("signing: scheme %q of key %s: no such scheme or key", name, id)
		}
	}
	return nil
}

// maxKeyName bounds a key's name, in bytes, as the genesis document does.
const maxKeyName = 64

// faulty is how many of n members may be.
func faulty(n int) int { return (n - 1) / 3 }

// quorum is how many of n members sign.
func quorum(n int) int { return 2*faulty(n) + 1 }

// minter reports whether a canister's requests go first.
func (c *Config) minter(canister []byte) bool {
	return slices.ContainsFunc(c.Minters, func(id []byte) bool { return bytes.Equal(id, canister) })
}

// window is how many blocks an attempt may take.
func window(base uint64, attempt uint32) uint64 { return base << min(attempt, 6) }

// grace is how many blocks before its deadline a driver gives an attempt up, so that its complaint is ordered in time.
func grace(window uint64) uint64 { return min(window/4, 10) }
