package machine

import (
	"context"
	"fmt"

	"fusion/replica/consensus/driver"
)

// App lets a driver order a machine's blocks. The replica has an App of its own, which also tells its rooms; this one is the
// machine alone, as simulations and tests drive it with a manual clock (package solo).
type App struct {
	*Machine
	// Propose fills a block; the default proposes empty ones.
	Propose func(driver.Proposal) [][]byte
}

var (
	_ driver.App        = App{}
	_ driver.Electorate = App{}
)

// Info implements driver.App.
func (a App) Info() (uint64, []byte) {
	h := a.Head()
	if h.Height == 0 {
		return 0, nil
	}
	return h.Height, h.AppHash[:]
}

// InitChain implements driver.App: before the first block the state is the genesis document, or that of a recovery.
func (a App) InitChain(uint64) ([]byte, error) {
	h := a.Head()
	switch {
	case h.Height == 0:
		return a.genesis[:], nil
	case h.Height == a.last.Base:
		return h.AppHash[:], nil
	}
	return nil, fmt.Errorf("%w: consensus has no blocks, and the state is of block %d", ErrInvalid, h.Height)
}

// Prepare implements driver.App.
func (a App) Prepare(_ context.Context, p driver.Proposal) [][]byte {
	if a.Propose == nil {
		return nil
	}
	return a.Propose(p)
}

// Process implements driver.App.
func (a App) Process(b driver.Block) error { return a.Check(b) }

// Finalize implements driver.App.
func (a App) Finalize(b driver.Block) ([]byte, error) {
	res, err := a.Step(b)
	if err != nil {
		return nil, err
	}
	return res.AppHash[:], nil
}

// Commit implements driver.App. Nothing is pruned.
func (a App) Commit() (uint64, error) { return 0, a.Machine.Commit() }
