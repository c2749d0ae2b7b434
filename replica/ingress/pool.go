package ingress

import (
	"container/heap"
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/principal"
)

// Config says what a Pool needs. Fields without a default must be set.
type Config struct {
	// MaxBytes bounds the pool. The default is 64 MiB.
	MaxBytes int
	// MaxCount bounds the number of calls in the pool. The default is 100,000.
	MaxCount int
	// Memo remembers signatures. The default is one of the pool's own.
	Memo *Memo
	// Verifier returns what checks signatures of canisters; nil as long as there is no root key. The default returns nil always.
	Verifier func() *certificate.Verifier
	// Now is the time against which expiry is checked on admission, ns since 1970. The default is the wall clock.
	Now func() uint64
	// Known reports whether the replicated state has a call's id in its ingress history. It is called without a lock held. The default
	// knows none.
	Known func(id envelope.ID) bool
	// OnAdd is told of each call that Add accepted, to gossip it. It is called without a lock held and must not block.
	OnAdd func(raw []byte)
}

func (c *Config) ensureDefaults() {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 64 << 20
	}
	if c.MaxCount <= 0 {
		c.MaxCount = 100_000
	}
	if c.Memo == nil {
		c.Memo = NewMemo(0)
	}
	if c.Verifier == nil {
		c.Verifier = func() *certificate.Verifier { return nil }
	}
	if c.Now == nil {
		c.Now = func() uint64 { return uint64(time.Now().UnixNano()) }
	}
	if c.Known == nil {
		c.Known = func(envelope.ID) bool { return false }
	}
	if c.OnAdd == nil {
		c.OnAdd = func([]byte) {}
	}
}

// Pool keeps calls until a block has them or they expire. It is safe for concurrent use.
type Pool struct {
	cfg Config

	mu       sync.Mutex
	bytes    int
	byID     map[envelope.ID]*pending
	senders  map[principal.Principal]*account
	turns    *list.List // *account; the next block begins with the first
	largest  accounts   // heap
	expiring expiries   // heap
}

// pending is a call in the pool.
type pending struct {
	*Message
	account *account
	elem    *list.Element // in account.queue
	index   int           // in Pool.expiring
}

// account is the calls of one sender, in the order in which they came.
type account struct {
	queue *list.List // *pending
	bytes int
	turn  *list.Element // in Pool.turns
	index int           // in Pool.largest
}

// New makes an empty pool.
func New(cfg Config) *Pool {
	cfg.ensureDefaults()
	return &Pool{cfg: cfg, byID: map[envelope.ID]*pending{}, senders: map[principal.Principal]*account{}, turns: list.New()}
}

// Authenticate checks the signature and the times of a call that a user submits, without keeping it, so that it can be inspected
// before; the Add that follows does not check the signature again. env may be nil or raw decoded.
func (p *Pool) Authenticate(env *envelope.Envelope, raw []byte) (*Message, error) {
	msg, err := p.cfg.Memo.authenticate(env, raw, p.cfg.Verifier())
	if err != nil {
		return nil, err
	}
	return msg, msg.CheckTimes(p.cfg.Now())
}

// Add authenticates a call that a user submitted here and keeps it. The id is valid also with ErrDuplicate, which means that the
// call is in the pool or the state already.
func (p *Pool) Add(raw []byte) (envelope.ID, error) { return p.AddDecoded(nil, raw) }

// AddDecoded is Add for a caller who has decoded raw into env.
func (p *Pool) AddDecoded(env *envelope.Envelope, raw []byte) (envelope.ID, error) {
	msg, err := p.add(env, raw)
	if msg == nil {
		return envelope.ID{}, err
	}
	if err == nil {
		p.cfg.OnAdd(raw)
	}
	return msg.ID, err
}

// AddBatch adds calls that another replica gossiped. It returns how many are new, and the error of the first one that an honest
// replica would not have sent; one that does not fit, or that is known, is no error.
func (p *Pool) AddBatch(raws [][]byte) (added int, bad error) {
	for i, raw := range raws {
		switch _, err := p.add(nil, raw); {
		case err == nil:
			added++
		case errors.Is(err, ErrDuplicate), errors.Is(err, ErrFull), errors.Is(err, envelope.ErrExpired), errors.Is(err, envelope.ErrTooFarInFuture):
		case bad == nil:
			bad = fmt.Errorf("gossiped ingress message %d: %w", i, err)
		}
	}
	return added, bad
}

func (p *Pool) add(env *envelope.Envelope, raw []byte) (*Message, error) {
	msg, err := p.Authenticate(env, raw)
	if err != nil {
		return nil, err
	}
	if p.cfg.Known(msg.ID) {
		return msg, fmt.Errorf("%w: %x is in the state", ErrDuplicate, msg.ID)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byID[msg.ID] != nil {
		return msg, fmt.Errorf("%w: %x is in the pool", ErrDuplicate, msg.ID)
	}
	if err := p.makeRoom(msg); err != nil {
		return nil, err
	}
	p.insert(msg)
	return msg, nil
}

// makeRoom drops the newest calls of the largest sender as long as that one would still have more than the sender of msg.
func (p *Pool) makeRoom(msg *Message) error {
	need := len(msg.Raw)
	own := 0
	if a := p.senders[msg.Sender]; a != nil {
		own = a.bytes
	}
	for p.bytes+need > p.cfg.MaxBytes || len(p.byID) >= p.cfg.MaxCount {
		if len(p.largest) == 0 || p.largest[0].bytes <= own+need {
			return fmt.Errorf("%w: %d calls, %d bytes", ErrFull, len(p.byID), p.bytes)
		}
		p.drop(p.largest[0].queue.Back().Value.(*pending))
	}
	return nil
}

func (p *Pool) insert(msg *Message) {
	a := p.senders[msg.Sender]
	if a == nil {
		a = &account{queue: list.New()}
		a.turn = p.turns.PushBack(a)
		p.senders[msg.Sender] = a
		heap.Push(&p.largest, a)
	}
	m := &pending{Message: msg, account: a}
	m.elem = a.queue.PushBack(m)
	a.bytes += len(msg.Raw)
	heap.Fix(&p.largest, a.index)
	heap.Push(&p.expiring, m)
	p.byID[msg.ID] = m
	p.bytes += len(msg.Raw)
}

func (p *Pool) drop(m *pending) {
	a := m.account
	a.queue.Remove(m.elem)
	a.bytes -= len(m.Raw)
	heap.Remove(&p.expiring, m.index)
	delete(p.byID, m.ID)
	p.bytes -= len(m.Raw)
	if a.queue.Len() > 0 {
		heap.Fix(&p.largest, a.index)
		return
	}
	heap.Remove(&p.largest, a.index)
	p.turns.Remove(a.turn)
	delete(p.senders, m.Sender)
}

// Take returns calls for a block of the given time: at most maxCount with at most maxBytes in all, by turns of senders, each
// sender's in the order in which they came. A call that is larger than maxBytes is taken alone, when its turn comes. Calls stay in
// the pool until they are removed; those that the block's time does not permit are passed over.
func (p *Pool) Take(blockNs uint64, maxBytes, maxCount int) []*Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	type cursor struct {
		a    *account
		next *list.Element
	}
	round := make([]cursor, 0, p.turns.Len())
	for e := p.turns.Front(); e != nil; e = e.Next() {
		a := e.Value.(*account)
		round = append(round, cursor{a, a.queue.Front()})
	}
	var out []*Message
	var served, waiting *account // the last one served, and the first one whose call did not fit
	left := maxBytes
	for len(round) > 0 && len(out) < maxCount && left > 0 {
		again := round[:0]
		for _, c := range round {
			var m *pending
			for ; c.next != nil; c.next = c.next.Next() {
				if m = c.next.Value.(*pending); m.CheckTimes(blockNs) == nil {
					break
				}
			}
			if c.next == nil || len(out) == maxCount || left <= 0 {
				continue
			}
			alone := len(m.Raw) > maxBytes && len(out) == 0
			if len(m.Raw) > left && !alone {
				if waiting == nil {
					waiting = c.a
				}
				continue // later calls of this sender wait too, which keeps their order
			}
			out = append(out, m.Message)
			left -= len(m.Raw)
			served = c.a
			c.next = c.next.Next()
			again = append(again, c)
		}
		round = again
	}
	switch {
	case waiting != nil:
		p.turns.MoveToFront(waiting.turn)
	case served != nil:
		for p.turns.Front() != served.turn {
			p.turns.MoveToBack(p.turns.Front())
		}
		p.turns.MoveToBack(served.turn)
	}
	return out
}

// Remove drops calls that a committed block contains.
func (p *Pool) Remove(ids []envelope.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if m := p.byID[id]; m != nil {
			p.drop(m)
		}
	}
}

// Expire drops calls that no block at or after the given time may contain, and returns how many.
func (p *Pool) Expire(blockNs uint64) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for ; len(p.expiring) > 0 && p.expiring[0].ExpiryNs < blockNs; n++ {
		p.drop(p.expiring[0])
	}
	return n
}

// Has reports whether a call is in the pool.
func (p *Pool) Has(id envelope.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id] != nil
}

// Size returns the number of calls in the pool and their bytes.
func (p *Pool) Size() (count, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byID), p.bytes
}

// accounts is a heap with the largest on top.
type accounts []*account

func (h accounts) Len() int           { return len(h) }
func (h accounts) Less(i, j int) bool { return h[i].bytes > h[j].bytes }
func (h accounts) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *accounts) Push(a any) { a.(*account).index = len(*h); *h = append(*h, a.(*account)) }
func (h *accounts) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}

// expiries is a heap with the one that expires first on top.
type expiries []*pending

func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].ExpiryNs < h[j].ExpiryNs }
func (h expiries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *expiries) Push(m any) { m.(*pending).index = len(*h); *h = append(*h, m.(*pending)) }
func (h *expiries) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}
