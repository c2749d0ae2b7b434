package index

import (
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The types of the interface, testdata/icrc1_index_ng.did, in its words.
type (
	// InitArg says which ledger to follow and how often to ask it, in seconds.
	InitArg struct {
		LedgerID    principal.Principal `candid:"ledger_id"`
		Interval    *uint64             `candid:"retrieve_blocks_from_ledger_interval_seconds"`
		MinInterval *uint64             `candid:"min_retrieve_blocks_from_ledger_interval_seconds"`
		MaxInterval *uint64             `candid:"max_retrieve_blocks_from_ledger_interval_seconds"`
	}
	// UpgradeArg changes that.
	UpgradeArg struct {
		LedgerID    *principal.Principal `candid:"ledger_id"`
		Interval    *uint64              `candid:"retrieve_blocks_from_ledger_interval_seconds"`
		MinInterval *uint64              `candid:"min_retrieve_blocks_from_ledger_interval_seconds"`
		MaxInterval *uint64              `candid:"max_retrieve_blocks_from_ledger_interval_seconds"`
	}
	// Arg is the argument of an installation or an upgrade.
	Arg struct {
		candid.Variant
		Init    *InitArg
		Upgrade *UpgradeArg
	}
	// GetBlocksResponse is the result of get_blocks.
	GetBlocksResponse struct {
		ChainLength uint64       `candid:"chain_length"`
		Blocks      []icrc.Value `candid:"blocks"`
	}
	// GetAccountTransactionsArgs asks for what happened to an account before block Start.
	GetAccountTransactionsArgs struct {
		Account    icrc.Account `candid:"account"`
		Start      *candid.Nat  `candid:"start"`
		MaxResults candid.Nat   `candid:"max_results"`
	}
	// TransactionWithID is a block with its index.
	TransactionWithID struct {
		ID          candid.Nat       `candid:"id"`
		Transaction icrc.Transaction `candid:"transaction"`
	}
	// GetTransactions is what happened to an account, newest first.
	GetTransactions struct {
		Balance      candid.Nat          `candid:"balance"`
		Transactions []TransactionWithID `candid:"transactions"`
		OldestTxID   *candid.Nat         `candid:"oldest_tx_id"`
	}
	// GetTransactionsErr is a mistake of the caller.
	GetTransactionsErr struct {
		Message string `candid:"message"`
	}
	// GetTransactionsResult is the result of get_account_transactions.
	GetTransactionsResult struct {
		candid.Variant
		Ok  *GetTransactions
		Err *GetTransactionsErr
	}
	// ListSubaccountsArgs asks for the subaccounts of an owner after Start.
	ListSubaccountsArgs struct {
		Owner principal.Principal `candid:"owner"`
		Start *[]byte             `candid:"start"`
	}
	// Status is how far the index is. Halted is ours: why it stopped, if it did.
	Status struct {
		NumBlocksSynced candid.Nat `candid:"num_blocks_synced"`
		Halted          *string    `candid:"halted"`
	}
	// BlockRange is from the first block to the one after the last.
	BlockRange struct {
		Start candid.Nat `candid:"0"`
		End   candid.Nat `candid:"1"`
	}
	// CollectorRanges are the blocks whose fees an account collected.
	CollectorRanges struct {
		Account icrc.Account `candid:"0"`
		Ranges  []BlockRange `candid:"1"`
	}
	// FeeCollectorRanges is the result of get_fee_collectors_ranges.
	FeeCollectorRanges struct {
		Ranges []CollectorRanges `candid:"ranges"`
	}
)
