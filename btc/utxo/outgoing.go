package utxo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"fusion/btc"
	"fusion/internal/kv"
)

// OutgoingTTL is how long a transaction is announced, in block time: the cache timeout of the Internet Computer's adapter.
const OutgoingTTL = 10 * time.Minute

// Bounds on the transactions that wait.
const (
	MaxOutgoing      = 1000
	MaxOutgoingBytes = 16 << 20
)

// Outgoing is a transaction to announce to the network.
type Outgoing struct {
	Txid      btc.Hash
	Raw       []byte
	ExpiresNs uint64 // block time
}

// Outgoing lists the transactions to announce, in the order of their ids.
func (s *State) Outgoing() []Outgoing { return slices.Clone(s.outgoing) }

func outgoingKey(id btc.Hash) []byte { return append([]byte("t"), id[:]...) }

func (s *State) loadOutgoing() {
	kv.ScanPrefix(s.store, []byte("t"), func(k, v []byte) bool {
		s.outgoing = append(s.outgoing, Outgoing{btc.Hash(k[1:]), bytes.Clone(v[8:]), binary.BigEndian.Uint64(v)})
		return true
	})
}

// Send has a transaction announced until OutgoingTTL after nowNs. Sending it again renews that. It need only be well formed:
// whether nodes take it shows in the blocks that follow.
func (s *State) Send(raw []byte, nowNs uint64) (btc.Hash, error) {
	if s.halt != nil {
		return btc.Hash{}, fmt.Errorf("%w: %v", ErrHalted, s.halt)
	}
	tx, err := btc.ParseTx(raw)
	if err != nil {
		return btc.Hash{}, fmt.Errorf("%w: %w", ErrTxMalformed, err)
	}
	if err := tx.Check(); err != nil {
		return btc.Hash{}, fmt.Errorf("%w: %w", ErrTxMalformed, err)
	}
	if tx.IsCoinbase() {
		return btc.Hash{}, fmt.Errorf("%w: a coinbase cannot be sent", ErrTxMalformed)
	}
	if w := tx.Weight(); w > btc.MaxStandardTxWeight {
		return btc.Hash{}, fmt.Errorf("%w: weight %d, nodes relay at most %d", ErrTxMalformed, w, btc.MaxStandardTxWeight)
	}
	o := Outgoing{tx.Txid(), bytes.Clone(raw), nowNs + uint64(OutgoingTTL)}
	size := len(raw)
	for i := range s.outgoing {
		size += len(s.outgoing[i].Raw)
	}
	at, again := slices.BinarySearchFunc(s.outgoing, o.Txid, func(x Outgoing, id btc.Hash) int { return bytes.Compare(x.Txid[:], id[:]) })
	if !again && (len(s.outgoing) >= MaxOutgoing || size > MaxOutgoingBytes) {
		return btc.Hash{}, fmt.Errorf("%w: %d", ErrOutgoingFull, len(s.outgoing))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if again {
		s.outgoing[at] = o
	} else {
		s.outgoing = slices.Insert(s.outgoing, at, o)
	}
	s.store.Set(outgoingKey(o.Txid), append(binary.BigEndian.AppendUint64(nil, o.ExpiresNs), raw...))
	s.touchGen()
	return o.Txid, nil
}

// expire forgets the transactions whose time is over.
func (s *State) expire(nowNs uint64) bool {
	before := len(s.outgoing)
	s.outgoing = slices.DeleteFunc(s.outgoing, func(o Outgoing) bool {
		if o.ExpiresNs > nowNs {
			return false
		}
		s.store.Delete(outgoingKey(o.Txid))
		return true
	})
	return len(s.outgoing) != before
}
