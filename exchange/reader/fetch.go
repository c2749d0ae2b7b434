package reader

import (
	"context"
	"fmt"
	"sync"

	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// archives are the canisters that the ledger has listed as holding its blocks.
type archives struct {
	mu     sync.Mutex
	listed map[principal.Principal]bool
}

// archived tells whether the ledger lists a canister as its archive. Archives are only ever added, so the list is read again for one that
// is not known.
func (r *Reader) archived(ctx context.Context, id principal.Principal) (bool, error) {
	r.mu.Lock()
	known := r.listed[id]
	r.mu.Unlock()
	if known {
		return true, nil
	}
	listed := map[principal.Principal]bool{}
	var from *principal.Principal
	for {
		var page []icrc.ICRC3Archive
		if err := r.agent.Ask(ctx, r.ledger, "icrc3_get_archives", []any{icrc.GetArchivesArgs{From: from}}, []any{&page}); err != nil {
			return false, err
		}
		fresh := false
		for _, a := range page {
			fresh = fresh || !listed[a.CanisterID]
			listed[a.CanisterID] = true
			last := a.CanisterID
			from = &last
		}
		if len(listed) > maxArchives {
			return false, fmt.Errorf("%w: the ledger lists more than %d archives", ErrChain, maxArchives)
		}
		if !fresh {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listed = listed
	return listed[id], nil
}

// rangeOf reads a range and cuts it to [start, end).
func rangeOf(a icrc.GetBlocksArgs, start, end uint64) (from, to uint64) {
	from, ok := a.Start.Uint64()
	length, ok2 := a.Length.Uint64()
	if !ok || !ok2 || from >= end {
		return 0, 0
	}
	to = end
	if length < end-from {
		to = from + length
	}
	return max(from, start), to
}

// stretch is the part of a log that is being fetched: blocks[i] has index start+i.
type stretch struct {
	start  uint64
	blocks []Block
	have   []bool
}

func (s *stretch) end() uint64 { return s.start + uint64(len(s.blocks)) }

// take keeps the blocks of an answer that were asked for.
func (s *stretch) take(blocks []icrc.ICRC3Block, from, to uint64) error {
	for _, b := range blocks {
		id, ok := b.ID.Uint64()
		if !ok || id < from || id >= to {
			return fmt.Errorf("%w: block %s was not asked for", ErrChain, b.ID)
		}
		i := id - s.start
		if s.have[i] {
			return fmt.Errorf("%w: block %d came twice", ErrChain, id)
		}
		block, err := Parse(id, b.Block)
		if err != nil {
			return err
		}
		s.blocks[i], s.have[i] = block, true
	}
	return nil
}

// missing is the first block that has not come, and how many of those behind it have not either.
func (s *stretch) missing() (first uint64, n int) {
	for i, ok := range s.have {
		if !ok {
			for n = 1; i+n < len(s.have) && !s.have[i+n] && n < perQuery; n++ {
			}
			return s.start + uint64(i), n
		}
	}
	return s.end(), 0
}

func span(from, to uint64) []icrc.GetBlocksArgs {
	return []icrc.GetBlocksArgs{{Start: candid.NatFromUint64(from), Length: candid.NatFromUint64(to - from)}}
}

// fetch reads n blocks, linked to each other. Fewer come only if the ledger says that its log ends.
func (r *Reader) fetch(ctx context.Context, from uint64, n int) ([]Block, error) {
	s := &stretch{start: from, blocks: make([]Block, n), have: make([]bool, n)}
	for {
		first, want := s.missing()
		if want == 0 {
			break
		}
		var res icrc.GetBlocksResult
		if err := r.agent.Ask(ctx, r.ledger, "icrc3_get_blocks", []any{span(first, first+uint64(want))}, []any{&res}); err != nil {
			return nil, err
		}
		if length, ok := res.LogLength.Uint64(); !ok || length <= first {
			s.blocks, s.have = s.blocks[:first-s.start], s.have[:first-s.start]
			break
		}
		if err := s.take(res.Blocks, first, first+uint64(want)); err != nil {
			return nil, err
		}
		for _, a := range res.ArchivedBlocks {
			if err := r.callback(ctx, s, a, first, first+uint64(want)); err != nil {
				return nil, err
			}
		}
		if now, _ := s.missing(); now == first {
			return nil, fmt.Errorf("%w: neither ledger nor archives hand out block %d", ErrChain, first)
		}
	}
	for i := 1; i < len(s.blocks); i++ {
		if b := &s.blocks[i]; *b.Parent != s.blocks[i-1].Hash {
			return nil, fmt.Errorf("%w: block %d does not name the block before", ErrChain, b.Index)
		}
	}
	return s.blocks, nil
}

// callback asks an archive for what the ledger says that it has of [start, end).
func (r *Reader) callback(ctx context.Context, s *stretch, a icrc.ICRC3ArchivedBlocks, start, end uint64) error {
	id, method := a.Callback.Principal, a.Callback.Method
	if ok, err := r.archived(ctx, id); err != nil {
		return err
	} else if !ok || method != "icrc3_get_blocks" {
		return fmt.Errorf("%w: the ledger points at %s of %s, which it does not list as an archive", ErrChain, method, id)
	}
	for _, args := range a.Args {
		for from, to := rangeOf(args, start, end); from < to; {
			var res icrc.GetBlocksResult
			if err := r.agent.Ask(ctx, id, method, []any{span(from, to)}, []any{&res}); err != nil {
				return fmt.Errorf("archive %s: %w", id, err)
			}
			if err := s.take(res.Blocks, from, to); err != nil {
				return fmt.Errorf("archive %s: %w", id, err)
			}
			next := from
			for next < to && s.have[next-s.start] {
				next++
			}
			if next == from {
				return fmt.Errorf("%w: archive %s does not hand out block %d", ErrChain, id, from)
			}
			from = next
		}
	}
	return nil
}

// Blocks reads n blocks, at most MaxBlocks, or fewer if the log ends. They link to each other, but only Read, Follow or a comparison with
// what is proven already tell that they are the ledger's.
func (r *Reader) Blocks(ctx context.Context, from uint64, n int) ([]Block, error) {
	if n < 0 || n > MaxBlocks || from >= 1<<62 {
		return nil, fmt.Errorf("%w: asked for %d blocks from %d, want at most %d", ErrChain, n, from, MaxBlocks)
	}
	return r.fetch(ctx, from, n)
}
