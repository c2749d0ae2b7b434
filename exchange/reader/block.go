package reader

import (
	"fmt"

	"fusion/ckledger/icrc"
)

// Parse reads a block and computes its hash.
func Parse(index uint64, v icrc.ICRC3Value) (b Block, err error) {
	raw, err := icrc.AppendValue(nil, v)
	if err != nil {
		return b, fmt.Errorf("%w %d: %w", ErrBlock, index, err)
	}
	b.Index, b.Value = index, v
	if b.Hash, err = icrc.HashValue(raw); err != nil {
		return b, fmt.Errorf("%w %d: %w", ErrBlock, index, err)
	}
	if b.Followed, err = icrc.Follow(v); err != nil {
		return b, fmt.Errorf("%w %d: %w", ErrBlock, index, err)
	}
	if (b.Parent == nil) != (index == 0) {
		return b, fmt.Errorf("%w %d: all but the first name the hash of the block before", ErrBlock, index)
	}
	return b, nil
}
