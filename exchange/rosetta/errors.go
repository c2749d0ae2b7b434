package rosetta

import (
	"errors"

	"github.com/coinbase/rosetta-sdk-go/types"
)

// Errors returned by this package; test with errors.Is.
var (
	// ErrConfig means that a server cannot be made of its configuration.
	ErrConfig = errors.New("bad mesh server configuration")
	// ErrStore means that what the store holds is not what this version writes.
	ErrStore = errors.New("the store is not readable")
	// ErrBlocks means that blocks do not continue what is known: who gave them is not honest, or is behind.
	ErrBlocks = errors.New("the blocks do not fit")
	// ErrFork means that the ledger's certified log contradicts blocks that were proven before. The ledger was reinstalled or restored from a
	// backup, and nothing more is believed: the store must be moved away and what was credited be reconciled by hand.
	ErrFork = errors.New("the certified log contradicts proven blocks")
	// ErrTransaction means that a transaction under construction is malformed.
	ErrTransaction = errors.New("malformed transaction")
	// ErrIntent means that operations are none of those that can be constructed.
	ErrIntent = errors.New("operations that cannot be constructed")
	// ErrAccount means that an account identifier is malformed.
	ErrAccount = errors.New("malformed account identifier")
)

// fault is an error of the API; its code, message and whether it may heal are listed in /network/options.
type fault struct {
	code      int32
	message   string
	retriable bool
}

// The faults. Codes are kept for ever; the first 13 mean what they mean in the Rosetta server of the Internet Computer's ICRC-1 ledgers.
var (
	faultNetwork      = &fault{1, "invalid network identifier", false}
	faultBlock        = &fault{2, "block not found", false}
	faultBlockID      = &fault{3, "invalid block identifier", false}
	faultTransaction  = &fault{5, "transaction not found", false}
	faultMempool      = &fault{6, "transaction is not in the mempool", false}
	faultParse        = &fault{7, "invalid request", false}
	faultUnsupported  = &fault{8, "not supported", false}
	faultLedger       = &fault{9, "the ledger does not answer", true}
	faultInternal     = &fault{10, "internal error", false}
	faultConstruction = &fault{11, "the transaction cannot be constructed", false}
	faultMetadata     = &fault{12, "invalid metadata", false}
	faultAccount      = &fault{13, "invalid account identifier", false}
	faultFuture       = &fault{14, "block is not there yet", true}
	faultSyncing      = &fault{15, "no block is proven yet", true}
	faultForked       = &fault{16, "the ledger contradicts its own past", false}
	faultFunds        = &fault{17, "insufficient funds", false}
	faultAllowance    = &fault{18, "insufficient or changed allowance", false}
	faultFee          = &fault{19, "not the ledger's fee", false}
	faultRefused      = &fault{20, "the ledger refuses the transaction", false}
	faultExpired      = &fault{21, "the transaction has expired", false}
	faultEarly        = &fault{22, "the transaction is not valid yet", true}
	faultBusy         = &fault{23, "the ledger is busy", true}
	faultUnknown      = &fault{24, "the outcome is not known; submit the same transaction again", true}
	faultTooLarge     = &fault{25, "the request is too large", false}
	faultOverload     = &fault{26, "the server is busy", true}

	faults = []*fault{faultNetwork, faultBlock, faultBlockID, faultTransaction, faultMempool, faultParse, faultUnsupported, faultLedger, faultInternal,
		faultConstruction, faultMetadata, faultAccount, faultFuture, faultSyncing, faultForked, faultFunds, faultAllowance, faultFee, faultRefused,
		faultExpired, faultEarly, faultBusy, faultUnknown, faultTooLarge, faultOverload}
)

func (f *fault) error(details map[string]any) *types.Error {
	return &types.Error{Code: f.code, Message: f.message, Retriable: f.retriable, Details: details}
}

// because says why.
func (f *fault) because(reason string) *types.Error { return f.error(map[string]any{"reason": reason}) }

// of says why with an error.
func (f *fault) of(err error) *types.Error { return f.because(err.Error()) }
