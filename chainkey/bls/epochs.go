package bls

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// Epochs is a key through its epochs, in a store of its own: the board of its generation, its public side, and the board on which it is handed to
// the nodes of the next epoch. Like a Board it is a deterministic machine over blocks and what it has in memory is a cache of its store.
type Epochs struct {
	board  *Board // of the generation, until it is done
	next   *Board // to the next epoch
	origin meta   // of the board that made the shares in force
	group  *Group
	rec    epochRecord
	then   epochRecord // of the next epoch
	domain []byte      // of resharings, where it is another than the generation's
}

// epochRecord says who holds the shares of an epoch.
type epochRecord struct {
	_       struct{} `cbor:",toarray"`
	Members []uint32 // nodes of the network by seat
	Since   uint64   // height
	Before  int64    // the epoch whose shares these replaced, or -1
}

// Where a store holds what, beside the board of the shares in force.
var (
	epochKey  = []byte("epoch")
	thenKey   = []byte("then")
	domainKey = []byte("domain") // of resharings, after Renew
)

const nextPrefix = "next/"

// maxReshareAttempts is after how many attempts of a board a resharing is given up. Deadlines double, so the last ones are long.
const maxReshareAttempts = 6

// OpenEpochs reads a key. A store without a board is a key that is not begun.
func OpenEpochs(r kv.Reader) (*Epochs, error) {
	e := &Epochs{}
	board, err := Open(r)
	if errors.Is(err, ErrNoBoard) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	if e.rec, err = readEpoch(r, epochKey); err != nil {
		return nil, err
	}
	if d, ok := r.Get(domainKey); ok {
		e.domain = bytes.Clone(d)
	}
	if err := e.use(board); err != nil {
		return nil, err
	}
	if e.next, err = Open(kv.PrefixReader(r, nextPrefix)); errors.Is(err, ErrNoBoard) {
		return e, nil
	}
	if err == nil {
		e.then, err = readEpoch(r, thenKey)
	}
	return e, err
}

func readEpoch(r kv.Reader, key []byte) (v epochRecord, err error) {
	raw, ok := r.Get(key)
	if !ok {
		return v, errors.New("opening a key: there is no record of its epoch")
	}
	if err := codec.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("opening a key: its epoch: %w", err)
	}
	return v, nil
}

// use takes a board as it stands.
func (e *Epochs) use(b *Board) (err error) {
	r, done := b.Result()
	if !done {
		e.board = b
		return nil
	}
	e.board, e.origin = nil, b.meta
	e.group, err = r.Group()
	return err
}

// Generate begins the key's generation, by nodes 0 to n-1 of the network.
func (e *Epochs) Generate(s kv.Store, height uint64, p Params) error {
	b, err := Start(s, height, p)
	if err != nil {
		return err
	}
	e.rec = epochRecord{Since: height, Before: -1}
	for i := range p.Nodes {
		e.rec.Members = append(e.rec.Members, uint32(i))
	}
	s.Set(epochKey, codec.Marshal(e.rec))
	e.board = b
	return nil
}

// Begun says whether there is a key or its generation.
func (e *Epochs) Begun() bool { return e.board != nil || e.group != nil }

// Board is the one that waits for items, of the generation or of a resharing, or nil.
func (e *Epochs) Board() *Board {
	if e.next != nil && e.next.Phase != PhaseDone {
		return e.next
	}
	return e.board
}

// Prepared is the finished board of the next epoch, from which its members take their shares before they are in force, or nil.
func (e *Epochs) Prepared() *Board {
	if e.next != nil && e.next.Phase == PhaseDone {
		return e.next
	}
	return nil
}

// Group is the key's public side in the epoch in force, or nil before there is a key.
func (e *Epochs) Group() *Group { return e.group }

// Result is what the board of the epoch in force has made, or nil.
func (e *Epochs) Result() *Result { return e.origin.Result }

// Epoch is the one in force, Members are its nodes by seat, and Since the height from which it is.
func (e *Epochs) Epoch() uint64 { return e.origin.Epoch }

// Members are the nodes of the epoch in force, by seat.
func (e *Epochs) Members() []uint32 { return e.rec.Members }

// Before is the epoch whose shares were replaced, at which height; ok is false in the first one.
func (e *Epochs) Before() (epoch, since uint64, ok bool) {
	return uint64(e.rec.Before), e.rec.Since, e.rec.Before >= 0
}

// Step applies a block's items. It returns how many were taken, and whether the generation was done by it.
func (e *Epochs) Step(s kv.Store, height uint64, items [][]byte) (taken int, made bool) {
	if e.next != nil {
		return e.next.Step(kv.Prefix(s, nextPrefix), height, items), false
	}
	if e.board == nil {
		return 0, false
	}
	taken = e.board.Step(s, height, items)
	if err := e.use(e.board); err != nil {
		panic(fmt.Sprintf("bls: a finished board: %v", err)) // the board has checked its result
	}
	return taken, e.board == nil
}

// Reshare begins to hand the key to nodes of the network, in the order of their seats, with these node keys.
func (e *Epochs) Reshare(s kv.Store, height, epoch uint64, nodes []uint32, keys []ed25519.PublicKey) error {
	if e.group == nil {
		return fmt.Errorf("%w: the key is still being generated", ErrParams)
	}
	r := e.origin.Result
	p := Params{Domain: e.origin.Domain, Epoch: epoch, Nodes: keys, PhaseBlocks: e.origin.PhaseBlocks,
		Old: &Old{Threshold: r.Threshold, PublicKey: r.PublicKey, ShareKeys: r.ShareKeys}}
	if e.domain != nil {
		p.Domain = e.domain
	}
	for _, k := range e.origin.Nodes {
		p.Old.Nodes = append(p.Old.Nodes, k)
	}
	b, err := Start(kv.Prefix(s, nextPrefix), height, p)
	if err != nil {
		return err
	}
	e.next, e.then = b, epochRecord{Members: slices.Clone(nodes), Before: int64(e.Epoch())}
	s.Set(thenKey, codec.Marshal(e.then))
	return nil
}

// Resharing says whether the next epoch is prepared, or why it will not be.
func (e *Epochs) Resharing() (done bool, failed string) {
	switch b := e.next; {
	case b == nil:
		return false, "it is not being reshared: it was not there when resharing began"
	case b.Phase != PhaseDone && b.Attempt >= maxReshareAttempts:
		return false, fmt.Sprintf("%d attempts at resharing failed, the last: %s", b.Attempt, b.Failure)
	default:
		return b.Phase == PhaseDone, ""
	}
}

// Activate puts the next epoch in force, which must be prepared.
func (e *Epochs) Activate(s kv.Store, height uint64) {
	if e.Prepared() == nil {
		panic("bls: an epoch is activated that is not prepared")
	}
	Move(s, kv.Prefix(s, nextPrefix))
	e.then.Since = height
	e.rec = e.then
	s.Set(epochKey, codec.Marshal(e.rec))
	s.Delete(thenKey)
	if err := e.use(e.next); err != nil {
		panic(fmt.Sprintf("bls: a finished board: %v", err))
	}
	e.next = nil
}

// Abort gives a resharing up, if there is one.
func (e *Epochs) Abort(s kv.Store) {
	if e.next != nil {
		Erase(kv.Prefix(s, nextPrefix))
		s.Delete(thenKey)
		e.next = nil
	}
}

// Renew binds what is generated or reshared from now on to another domain. A generation that is not done begins anew, a resharing is given up.
func (e *Epochs) Renew(s kv.Store, height uint64, domain []byte) error {
	e.Abort(s)
	b := e.board
	if b == nil && e.group == nil {
		return nil
	}
	if b != nil {
		p := Params{Domain: domain, Threshold: b.Threshold, PhaseBlocks: b.PhaseBlocks}
		for _, k := range b.Nodes {
			p.Nodes = append(p.Nodes, ed25519.PublicKey(k))
		}
		return e.Generate(s, height, p)
	}
	e.domain = bytes.Clone(domain)
	s.Set(domainKey, e.domain)
	return nil
}

// Sentence says where the key stands, for operators.
func (e *Epochs) Sentence() string {
	running := func(b *Board) string {
		s := b.Status()
		return fmt.Sprintf("%v, %d of %d there", s.Phase, s.Have, s.Want)
	}
	switch {
	case e.board != nil:
		return running(e.board)
	case e.group == nil:
		return "waiting for its turn"
	case e.Prepared() != nil:
		return fmt.Sprintf("active; reshared to nodes %v, which take over when all keys are", e.then.Members)
	case e.next != nil:
		return fmt.Sprintf("active; being reshared to nodes %v: %s", e.then.Members, running(e.next))
	}
	return "active"
}
