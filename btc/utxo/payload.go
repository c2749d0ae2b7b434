package utxo

import (
	"errors"
	"fmt"
	"slices"

	"fusion/btc"
	"fusion/btc/chain"
)

// Request says what the state lacks. It is a snapshot that may be handed to another goroutine; Known must not be written.
type Request struct {
	Network btc.Network
	// Anchor is the highest final block, Best the end of the heaviest known branch of headers.
	Anchor, Best             btc.Hash
	AnchorHeight, BestHeight uint32
	// Known holds the headers from the anchor up, with their heights: further headers should build on one of them.
	Known map[btc.Hash]uint32
	// Below holds some final blocks below the anchor, at most belowStep apart, and the headers of branches that fork there. What builds on
	// them can not be followed; the state wants it when it is heavier than what is.
	Below map[btc.Hash]uint32
	// Missing are the bodies wanted, in an order in which they can be applied, the heaviest branch first.
	Missing []btc.Hash
}

// Request asks for what comes next.
func (s *State) Request() Request {
	if s.known == nil {
		s.known = make(map[btc.Hash]uint32, s.tree.Len()+1)
		for _, n := range s.tree.Sorted() {
			s.known[n.Hash] = n.Height
		}
	}
	if s.below == nil {
		s.below = map[btc.Hash]uint32{}
		anchor := s.tree.Anchor().Height
		lowest := min(anchor, chain.MaxForkDepth)
		for depth, step := uint32(0), uint32(1); depth < lowest; step = min(2*step, belowStep) {
			depth = min(depth+step, lowest)
			if h, ok := s.tree.Final(anchor - depth); ok {
				s.below[h.Hash()] = anchor - depth
			}
		}
		for _, n := range s.tree.DeepHeaders() {
			s.below[n.Hash] = n.Height
		}
	}
	a, b := s.tree.Anchor(), s.tree.Best()
	return Request{s.Network(), a.Hash, b.Hash, a.Height, b.Height, s.known, s.below, s.missing()}
}

// belowStep is small against what a payload holds: a few known headers before a fork do not fill it.
const belowStep = 500

func (s *State) missing() []btc.Hash {
	if s.tree.Best().Body == chain.HasBody && s.tree.Len() == len(s.bodies) {
		return nil
	}
	var leaves []*chain.Node
	inner := map[*chain.Node]bool{}
	all := s.tree.Sorted()
	for _, n := range all {
		inner[n.Parent] = true
	}
	for _, n := range all {
		if !inner[n] && n.Body == chain.NoBody {
			leaves = append(leaves, n)
		}
	}
	slices.SortFunc(leaves, func(a, b *chain.Node) int {
		if a.Heavier(b) {
			return -1
		}
		return 1
	})
	var out []btc.Hash
	asked := map[*chain.Node]bool{}
	for _, leaf := range leaves {
		var path []*chain.Node
		for n := leaf; n.Body == chain.NoBody && !asked[n]; n = n.Parent {
			path = append(path, n)
		}
		for _, n := range slices.Backward(path) {
			if len(out) == maxMissing {
				return out
			}
			asked[n] = true
			out = append(out, n.Hash)
		}
	}
	return out
}

// overlay follows a payload through the tree without changing it.
type overlay struct {
	s     *State
	nodes map[btc.Hash]*chain.Node
	body  map[btc.Hash]bool
	bytes int
}

func (v *overlay) get(h btc.Hash) *chain.Node {
	if n := v.nodes[h]; n != nil {
		return n
	}
	return v.s.tree.Get(h)
}

// knows tells whether a header is there already, final ones included.
func (v *overlay) knows(h btc.Header) bool {
	hash := h.Hash()
	return v.get(hash) != nil || v.get(h.Prev) == nil && v.s.tree.Lookup(hash) != nil
}

func (v *overlay) header(h btc.Header) (*chain.Node, error) {
	hash := h.Hash()
	if n := v.get(hash); n != nil {
		return n, nil
	}
	parent := v.get(h.Prev)
	if parent == nil { // perhaps it builds on a block below the anchor
		if n := v.s.tree.Lookup(hash); n != nil {
			return n, nil
		}
		parent = v.s.tree.Lookup(h.Prev)
	}
	if parent == nil {
		return nil, fmt.Errorf("%w: %v", chain.ErrOrphan, hash)
	}
	n, err := v.s.tree.Verify(h, parent)
	if err != nil {
		return nil, err
	}
	v.nodes[hash] = n
	return n, nil
}

func (v *overlay) block(raw []byte) error {
	if v.bytes += len(raw); v.bytes > MaxBytesPerPayload {
		return fmt.Errorf("%w: more than %d bytes of blocks", ErrPayloadSize, MaxBytesPerPayload)
	}
	blk, err := v.s.parse(raw)
	if err != nil {
		return err
	}
	n, err := v.header(blk.Header)
	if err != nil {
		return err
	}
	switch {
	case v.body[n.Hash]:
		return fmt.Errorf("%w: %v", ErrKnown, n.Hash)
	case n.Parent != nil && v.body[n.Parent.Hash] && n.Body == chain.NoBody:
	default:
		if err := v.s.takeable(n); err != nil {
			return err
		}
	}
	if err := v.s.check(blk, n.Height); err != nil && !errors.Is(err, btc.ErrBlockInvalid) {
		return err
	}
	v.body[n.Hash] = true
	return nil
}

func (s *State) overlay() *overlay {
	return &overlay{s: s, nodes: map[btc.Hash]*chain.Node{}, body: map[btc.Hash]bool{}}
}

// CheckPayload decides whether a proposal's items may enter a block: they are within bounds, headers obey all rules but the
// future bound, and bodies belong to their headers and connect to bodies that are there. It depends on the state and the items only.
func (s *State) CheckPayload(items Items) error {
	if n := len(items.Headers) / btc.HeaderSize; n > MaxHeadersPerPayload || len(items.Headers)%btc.HeaderSize != 0 || len(items.Blocks) > MaxBlocksPerPayload {
		return fmt.Errorf("%w: %d bytes of headers, %d blocks", ErrPayloadSize, len(items.Headers), len(items.Blocks))
	}
	v := s.overlay()
	for raw := range slices.Chunk(items.Headers, btc.HeaderSize) {
		h, err := btc.ParseHeader(raw)
		if err != nil {
			return err
		}
		if v.knows(h) {
			return fmt.Errorf("%w: %v", ErrKnown, h.Hash())
		}
		if _, err := v.header(h); err != nil {
			return err
		}
	}
	for i, raw := range items.Blocks {
		if err := v.block(raw); err != nil {
			return fmt.Errorf("bitcoin block %d of %d: %w", i, len(items.Blocks), err)
		}
	}
	return nil
}

// Filter keeps what CheckPayload takes and Apply can use at the block time: an adapter's answer becomes a proposal. The result is
// at most maxBytes long, bodies and headers together.
func (s *State) Filter(items Items, blockTimeNs uint64, maxBytes int) Items {
	var out Items
	v := s.overlay()
	late := func(h btc.Header) bool { return int64(h.Time) > int64(blockTimeNs/1e9)+chain.MaxFuture }
	room := maxBytes
	for raw := range slices.Chunk(items.Headers, btc.HeaderSize) {
		h, err := btc.ParseHeader(raw)
		if err != nil || room < btc.HeaderSize || len(out.Headers) == MaxHeadersPerPayload*btc.HeaderSize {
			break
		}
		if v.knows(h) {
			continue
		}
		if late(h) {
			continue
		}
		if _, err := v.header(h); err != nil {
			continue
		}
		out.Headers = append(out.Headers, raw...)
		room -= btc.HeaderSize
	}
	for _, raw := range items.Blocks {
		if len(raw) < btc.HeaderSize {
			continue
		}
		if len(out.Blocks) == MaxBlocksPerPayload || len(raw) > room || v.bytes+len(raw) > MaxBytesPerPayload {
			break
		}
		h, err := btc.ParseHeader(raw[:btc.HeaderSize])
		if err != nil || late(h) {
			continue
		}
		before := v.bytes
		if err := v.block(raw); err != nil {
			v.bytes = before
			continue
		}
		out.Blocks = append(out.Blocks, raw)
		room -= len(raw)
	}
	return out
}
