// Package stable keeps a canister's state in stable memory, which upgrades preserve.
//
// The structures are a Cell (one value), a Log (append-only records by index) and a Map (ordered, a B+tree). Each lives in a
// Memory of its own; Manager divides the one stable memory of a canister into up to 64 of them.
//
//	m, err := stable.Open(c.Stable())
//	blocks, err := stable.OpenLog(m.Memory(0), m.Memory(1))
//	balances, err := stable.OpenMap(m.Memory(2), 62, 32)
//
// Opening creates the structure in an empty memory and finds it again in a used one, so that install and upgrade run the same
// code. Opening with other bounds than it was created with is an error.
//
// A Log over two Windows can forget its oldest records, whose pages are then used for new ones.
//
// # Crashes
//
// There is no journal: a message is atomic, and a trap undoes stable memory and heap together. Whoever uses these structures
// elsewhere must give them the same property. What they keep on the heap (sizes, inner nodes) only mirrors the memory.
//
// # Costs
//
// Each read and write is one call into the system. A Map reads inner nodes from a cache and touches one leaf: a lookup reads one leaf,
// or none if it is the one used last, and Set of a present key writes its value in place, so the pages that a message dirties are few.
//
// Corrupt contents are reported by the Open functions as ErrCorrupt where the header shows it; corruption found later panics.
package stable

import "errors"

// Errors of this package.
var (
	ErrFull     = errors.New("stable memory cannot grow")
	ErrCorrupt  = errors.New("stable memory does not hold this structure")
	ErrTooLarge = errors.New("key or value longer than the structure allows")
	ErrNoWindow = errors.New("the log lies over memories that cannot forget")
)
