package rival

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	"fusion/btc"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/members"
)

// Bounds.
const (
	// MaxItem is the most that an item takes, in bytes.
	MaxItem = 256
	// FreshBlocks is within how many blocks of the subnet a claim is taken.
	FreshBlocks = 100
	// Lifetime is for how long a claim holds that is not said again.
	Lifetime = time.Hour
	// Renew is after what time a member says its claim again.
	Renew = 10 * time.Minute

	maxWork = 32 // bytes
)

// ErrItem is wrapped by every refusal of an item.
var ErrItem = errors.New("bad claim of a bitcoin chain")

// Config is what the genesis document says.
type Config struct {
	Life [32]byte      // what claims are bound to (package recovery)
	For  time.Duration // how long a member must have claimed before it counts
}

// Claim is a member's word. Without Work it takes an earlier one back.
type Claim struct {
	_         struct{} `cbor:",toarray"`
	Node      uint32
	At        uint64 // height of the subnet's chain when it was made
	Height    uint32 // of Bitcoin's chain
	Tip       btc.Hash
	Work      []byte // of the chain from its genesis block on, big-endian without leading zeros
	Signature []byte // Ed25519, by the node key
}

func (c Claim) signed(network [32]byte) []byte {
	c.Signature = nil
	d := sha256.Sum256(codec.Marshal(c))
	return append(append([]byte("fusion/rival/claim/v1\x00"), network[:]...), d[:]...)
}

// Sign gives the item that a block carries.
func (c Claim) Sign(network [32]byte, key ed25519.PrivateKey) []byte {
	c.Signature = ed25519.Sign(key, c.signed(network))
	return codec.Marshal(c)
}

// Decode reads an item. Its signature is not checked.
func Decode(b []byte) (c Claim, err error) {
	if len(b) > MaxItem {
		return c, fmt.Errorf("%w: %d bytes, at most %d", ErrItem, len(b), MaxItem)
	}
	if err := codec.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrItem, err)
	}
	if len(c.Work) > maxWork || len(c.Work) > 0 && c.Work[0] == 0 || len(c.Signature) != ed25519.SignatureSize {
		return c, fmt.Errorf("%w: work of %d bytes, a signature of %d", ErrItem, len(c.Work), len(c.Signature))
	}
	return c, nil
}

// record is the last claim of a node.
type record struct {
	_       struct{} `cbor:",toarray"`
	At      uint64
	Height  uint32
	Tip     btc.Hash
	Work    []byte
	SinceNs uint64 // block time of the first claim without a gap up to this one
	TimeNs  uint64 // block time of this one
}

// alive says whether a claim is in force at a time.
func (r *record) alive(nowNs uint64) bool {
	return len(r.Work) > 0 && nowNs < r.TimeNs+uint64(Lifetime)
}

func key(node uint32) []byte { return binary.BigEndian.AppendUint32(nil, node) }

// take reads items for a block; bad ones are errors at their places.
func take(r kv.Reader, cfg *Config, roster *members.Roster, height uint64, items [][]byte) ([]Claim, []error) {
	out, errs := make([]Claim, len(items)), make([]error, len(items))
	seen := map[uint32]bool{}
	for i, b := range items {
		c, err := Decode(b)
		last, _ := kv.Record[record](r, key(c.Node))
		switch pub := roster.Key(int(c.Node)); {
		case err != nil:
		case pub == nil:
			err = fmt.Errorf("%w: node %d is no member", ErrItem, c.Node)
		case seen[c.Node]:
			err = fmt.Errorf("%w: a second one of node %d", ErrItem, c.Node)
		case c.At > height || height-c.At >= FreshBlocks || c.At <= last.At:
			err = fmt.Errorf("%w: node %d made it at block %d, for block %d after one of block %d", ErrItem, c.Node, c.At, height, last.At)
		case !ed25519.Verify(pub, c.signed(cfg.Life), c.Signature):
			err = fmt.Errorf("%w: the signature is not that of node %d", ErrItem, c.Node)
		}
		if err == nil {
			seen[c.Node] = true
		}
		out[i], errs[i] = c, err
	}
	return out, errs
}

// Check says whether a block may carry the items.
func Check(r kv.Reader, cfg Config, roster *members.Roster, height uint64, items [][]byte) error {
	_, errs := take(r, &cfg, roster, height, items)
	return errors.Join(errs...)
}

// Step executes a block's items and returns how many did not hold up.
func Step(s kv.Store, cfg Config, roster *members.Roster, height, nowNs uint64, items [][]byte) (skipped int) {
	claims, errs := take(s, &cfg, roster, height, items)
	for i, c := range claims {
		if errs[i] != nil {
			skipped++
			continue
		}
		last, _ := kv.Record[record](s, key(c.Node))
		next := record{At: c.At, Height: c.Height, Tip: c.Tip, Work: c.Work, SinceNs: nowNs, TimeNs: nowNs}
		if last.alive(nowNs) {
			next.SinceNs = last.SinceNs
		}
		s.Set(key(c.Node), codec.Marshal(next))
	}
	return skipped
}

// Verdict is what the claims come to.
type Verdict struct {
	Members []uint32 // whose claims count
	Need    int      // so many of them are believed: f+1
	Height  uint32   // of the chain with the most work that they name
	Tip     btc.Hash
}

// Believed says whether an honest member is among those who claim.
func (v *Verdict) Believed() bool { return len(v.Members) >= v.Need }

// String says what follows, or nothing.
func (v *Verdict) String() string {
	if !v.Believed() {
		return ""
	}
	return fmt.Sprintf("%d replicas, %d are enough, are shown a chain with more work, up to block %v at height %d, that this network cannot follow: find out which one the world follows",
		len(v.Members), v.Need, v.Tip, v.Height)
}

// Judge weighs the claims of the members in force against the work of the followed branch and a margin.
func Judge(r kv.Reader, cfg Config, set members.Set, work, margin *big.Int, nowNs uint64) Verdict {
	v := Verdict{Need: set.F() + 1}
	most := new(big.Int)
	least := new(big.Int).Add(work, margin)
	for _, node := range set.Nodes {
		c, ok := kv.Record[record](r, key(node))
		w := new(big.Int).SetBytes(c.Work)
		if !ok || !c.alive(nowNs) || nowNs < c.SinceNs+uint64(cfg.For) || w.Cmp(least) <= 0 {
			continue
		}
		v.Members = append(v.Members, node)
		if n := w.Cmp(most); n > 0 || n == 0 && bytes.Compare(c.Tip[:], v.Tip[:]) > 0 {
			most, v.Height, v.Tip = w, c.Height, c.Tip
		}
	}
	return v
}

// Due is the claim that a member should make at a block height, or nil: what its peers show, with its height and work, or nothing with a nil work.
func Due(r kv.Reader, node uint32, at, nowNs uint64, tip btc.Hash, height uint32, work *big.Int) *Claim {
	last, _ := kv.Record[record](r, key(node))
	switch alive := last.alive(nowNs); {
	case at <= last.At:
		return nil
	case work == nil && !alive, work != nil && alive && nowNs < last.TimeNs+uint64(Renew):
		return nil
	case work == nil:
		return &Claim{Node: node, At: at}
	}
	return &Claim{Node: node, At: at, Height: height, Tip: tip, Work: work.Bytes()}
}
