package utxo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/codec"
	"fusion/internal/kv"
)

// Errors of a chain that was reorganised deeper than its final blocks.
var (
	// ErrHalted is returned by views, and by Send, while the state is halted.
	ErrHalted = errors.New("the bitcoin chain was reorganised deeper than its final blocks")
	// ErrNotHalted is returned by Reset while nothing is wrong.
	ErrNotHalted = errors.New("the bitcoin state is not halted: there is nothing to reset")
)

// Halt says why the state stands still: a branch that replaces final blocks has more work than the one that is followed.
type Halt struct {
	Fork    uint32   `cbor:"1,keyasint"` // height of the last block that both branches share
	Tip     btc.Hash `cbor:"2,keyasint"` // end of the heavier branch, as far as it is known
	Height  uint32   `cbor:"3,keyasint"`
	SinceNs uint64   `cbor:"4,keyasint"` // block time
}

// String says what happened and what to do.
func (h *Halt) String() string {
	return fmt.Sprintf("Bitcoin was reorganised deeper than its final blocks: a branch that forks after height %d has more work (height %d, %v); "+
		"a controller of the Bitcoin canister must decide (reset_chain)", h.Fork, h.Height, h.Tip)
}

// Halted is why the state stands still, or nil. It may be asked for within a block and, through views, beside it.
func (s *State) Halted() *Halt { return s.halt }

func (s *State) putHalt() {
	if s.halt == nil {
		s.store.Delete([]byte("x"))
	} else {
		s.store.Set([]byte("x"), codec.Marshal(*s.halt))
	}
}

func (s *State) loadHalt() error {
	raw, ok := s.store.Get([]byte("x"))
	if !ok {
		return nil
	}
	var h Halt
	if err := codec.Unmarshal(raw, &h); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	s.halt = &h
	return nil
}

// Suspect notes why coins must not be counted for reasons that the state itself cannot see, or "" when there is none any more. It belongs to the block that it is
// called in.
func (s *State) Suspect(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.suspicion == why {
		return
	}
	if s.suspicion = why; why == "" {
		s.store.Delete(keySuspicion)
	} else {
		s.store.Set(keySuspicion, []byte(why))
	}
	s.touchGen()
}

var keySuspicion = []byte("y")

func (s *State) loadSuspicion() {
	if raw, ok := s.store.Get(keySuspicion); ok {
		s.suspicion = string(raw)
	}
}

// watch halts the state when a branch from below the anchor has more work than the best, and lets it go on when the best leads again by as
// much as makes a block final. Work alone decides, so all replicas do so in the same block.
func (s *State) watch(nowNs uint64) (changed bool) {
	rival, best := s.tree.DeepBest(), s.tree.Best()
	if rival == nil {
		changed = s.halt != nil
		s.halt = nil
	} else if rival.Work.Cmp(best.Work) > 0 {
		h := Halt{rival.ForkHeight(), rival.Hash, rival.Height, nowNs}
		if s.halt != nil {
			h.SinceNs = s.halt.SinceNs
		}
		changed = s.halt == nil || *s.halt != h
		s.halt = &h
	} else if s.halt != nil {
		need := new(big.Int).Mul(chain.Work(s.tree.Anchor().Header.Bits), big.NewInt(int64(s.opt.Stability)))
		if changed = need.Add(need, rival.Work).Cmp(best.Work) <= 0; changed {
			s.halt = nil
		}
	}
	if changed {
		s.putHalt()
	}
	return changed
}

// epochRecord says where in the root store the state is. Each Reset starts a new epoch in a space of its own; the old one is collected
// over many blocks, because it may hold hundreds of millions of coins.
type epochRecord struct {
	Epoch  uint32 `cbor:"1,keyasint"`
	Cursor []byte `cbor:"2,keyasint"` // up to where the old ones are collected
	Done   bool   `cbor:"3,keyasint"`
}

// epochKey and epochSpace are in no use by the keys of the first epoch, which lie in the root store itself.
var (
	epochKey   = []byte("e")
	epochSpace = []byte("E")
)

// collectPerBlock is how many keys of old epochs a block deletes.
const collectPerBlock = 10_000

func epochPrefix(epoch uint32) string {
	if epoch == 0 {
		return ""
	}
	return string(binary.BigEndian.AppendUint32(bytes.Clone(epochSpace), epoch))
}

func epochStore(root kv.Store, epoch uint32) kv.Store {
	if epoch == 0 {
		return root
	}
	return kv.Prefix(root, epochPrefix(epoch))
}

func readEpoch(r kv.Reader) (e epochRecord, err error) {
	raw, ok := r.Get(epochKey)
	if !ok {
		return epochRecord{Done: true}, nil
	}
	if err := codec.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return e, nil
}

// Epoch counts the resets.
func (s *State) Epoch() uint32 { return s.epoch.Epoch }

// Reset drops everything that is known of the chain, an imported snapshot too, and starts again at the base of the parameters, from where
// the heaviest branch is followed. Transactions to announce are kept. It belongs to the block that it is called in, and is refused while the
// state is not halted, but on development networks.
func (s *State) Reset() error {
	if s.halt == nil && !s.Network().Development() {
		return ErrNotHalted
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := epochRecord{Epoch: s.epoch.Epoch + 1}
	s.root.Set(epochKey, codec.Marshal(next))
	fresh, err := Open(s.opt, s.root)
	if err != nil {
		panic(fmt.Sprintf("utxo: a fresh state cannot be opened: %v", err)) // it holds nothing yet
	}
	for _, o := range s.outgoing {
		fresh.store.Set(outgoingKey(o.Txid), append(binary.BigEndian.AppendUint64(nil, o.ExpiresNs), o.Raw...))
	}
	s.become(fresh)
	s.touchGen()
	return nil
}

// become takes over all of another state but what outlives a reset: the options, the locks, the generation, the transactions to announce, and
// what is known of blocks by themselves.
func (s *State) become(f *State) {
	s.foresight.young.Lock()
	defer s.foresight.young.Unlock()
	s.foresight.mu.Lock()
	defer s.foresight.mu.Unlock()
	s.foresight.epoch = f.epoch.Epoch
	s.store, s.epoch, s.tree, s.tip, s.halt, s.suspicion = f.store, f.epoch, f.tree, f.tip, f.halt, f.suspicion
	s.bodies, s.created, s.spends, s.bytes, s.marks = f.bodies, f.created, f.spends, f.bytes, f.marks
	s.muhash, s.setSum, s.coins, s.meta, s.many = f.muhash, f.setSum, f.coins, f.meta, f.many
	s.digest, s.known, s.below = nil, nil, nil
}

// collect deletes some keys of old epochs. They are no part of the state any more, so the digest does not change.
func (s *State) collect() {
	if s.epoch.Done {
		return
	}
	own := []byte(epochPrefix(s.epoch.Epoch))
	var keys [][]byte
	gather := func(k, _ []byte) bool {
		if !bytes.Equal(k, epochKey) {
			keys = append(keys, bytes.Clone(k))
		}
		return len(keys) < collectPerBlock
	}
	// What lies before the epoch's own space, then what lies behind it.
	if bytes.Compare(s.epoch.Cursor, own) < 0 {
		s.root.Scan(s.epoch.Cursor, own, gather)
	}
	if len(keys) < collectPerBlock {
		s.root.Scan(maxKey(s.epoch.Cursor, kv.PrefixEnd(own)), nil, gather)
	}
	for _, k := range keys {
		s.root.Delete(k)
	}
	if len(keys) < collectPerBlock {
		s.epoch.Cursor, s.epoch.Done = nil, true
	} else {
		s.epoch.Cursor = append(keys[len(keys)-1], 0)
	}
	s.root.Set(epochKey, codec.Marshal(s.epoch))
}

func maxKey(a, b []byte) []byte {
	if bytes.Compare(a, b) > 0 {
		return a
	}
	return b
}
