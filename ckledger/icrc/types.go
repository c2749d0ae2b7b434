package icrc

import (
	"sync"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The types of the interface, testdata/icrc1_ledger.did, in its words. Amounts are numbers of the smallest unit, times are in
// nanoseconds since 1970.
type (
	// TransferArg is the argument of icrc1_transfer.
	TransferArg struct {
		FromSubaccount *[]byte     `candid:"from_subaccount"`
		To             Account     `candid:"to"`
		Amount         candid.Nat  `candid:"amount"`
		Fee            *candid.Nat `candid:"fee"`
		Memo           *[]byte     `candid:"memo"`
		CreatedAtTime  *uint64     `candid:"created_at_time"`
	}
	// TransferFromArgs is the argument of icrc2_transfer_from.
	TransferFromArgs struct {
		SpenderSubaccount *[]byte     `candid:"spender_subaccount"`
		From              Account     `candid:"from"`
		To                Account     `candid:"to"`
		Amount            candid.Nat  `candid:"amount"`
		Fee               *candid.Nat `candid:"fee"`
		Memo              *[]byte     `candid:"memo"`
		CreatedAtTime     *uint64     `candid:"created_at_time"`
	}
	// ApproveArgs is the argument of icrc2_approve.
	ApproveArgs struct {
		FromSubaccount    *[]byte     `candid:"from_subaccount"`
		Spender           Account     `candid:"spender"`
		Amount            candid.Nat  `candid:"amount"`
		ExpectedAllowance *candid.Nat `candid:"expected_allowance"`
		ExpiresAt         *uint64     `candid:"expires_at"`
		Fee               *candid.Nat `candid:"fee"`
		Memo              *[]byte     `candid:"memo"`
		CreatedAtTime     *uint64     `candid:"created_at_time"`
	}

	// BadFee says which fee the ledger expects.
	BadFee struct {
		ExpectedFee candid.Nat `candid:"expected_fee"`
	}
	// BadBurn says how much must be burned at least.
	BadBurn struct {
		MinBurnAmount candid.Nat `candid:"min_burn_amount"`
	}
	// InsufficientFunds says how much there is.
	InsufficientFunds struct {
		Balance candid.Nat `candid:"balance"`
	}
	// InsufficientAllowance says how much may be spent.
	InsufficientAllowance struct {
		Allowance candid.Nat `candid:"allowance"`
	}
	// AllowanceChanged says what the allowance is.
	AllowanceChanged struct {
		CurrentAllowance candid.Nat `candid:"current_allowance"`
	}
	// LedgerTime carries the time of the ledger.
	LedgerTime struct {
		LedgerTime uint64 `candid:"ledger_time"`
	}
	// Duplicate says which block the same transaction has.
	Duplicate struct {
		DuplicateOf candid.Nat `candid:"duplicate_of"`
	}
	// GenericError is any other error.
	GenericError struct {
		ErrorCode candid.Nat `candid:"error_code"`
		Message   string     `candid:"message"`
	}

	// TransferError is an error of icrc1_transfer.
	TransferError struct {
		candid.Variant
		BadFee                 *BadFee
		BadBurn                *BadBurn
		InsufficientFunds      *InsufficientFunds
		TooOld                 *candid.Null
		CreatedInFuture        *LedgerTime
		TemporarilyUnavailable *candid.Null
		Duplicate              *Duplicate
		GenericError           *GenericError
	}
	// TransferFromError is an error of icrc2_transfer_from.
	TransferFromError struct {
		candid.Variant
		BadFee                 *BadFee
		BadBurn                *BadBurn
		InsufficientFunds      *InsufficientFunds
		InsufficientAllowance  *InsufficientAllowance
		TooOld                 *candid.Null
		CreatedInFuture        *LedgerTime
		Duplicate              *Duplicate
		TemporarilyUnavailable *candid.Null
		GenericError           *GenericError
	}
	// ApproveError is an error of icrc2_approve.
	ApproveError struct {
		candid.Variant
		BadFee                 *BadFee
		InsufficientFunds      *InsufficientFunds
		AllowanceChanged       *AllowanceChanged
		Expired                *LedgerTime
		TooOld                 *candid.Null
		CreatedInFuture        *LedgerTime
		Duplicate              *Duplicate
		TemporarilyUnavailable *candid.Null
		GenericError           *GenericError
	}
	// TransferResult is the result of icrc1_transfer: the index of its block, or an error that changed nothing.
	TransferResult struct {
		candid.Variant
		Ok  *candid.Nat
		Err *TransferError
	}
	// TransferFromResult is the result of icrc2_transfer_from.
	TransferFromResult struct {
		candid.Variant
		Ok  *candid.Nat
		Err *TransferFromError
	}
	// ApproveResult is the result of icrc2_approve.
	ApproveResult struct {
		candid.Variant
		Ok  *candid.Nat
		Err *ApproveError
	}

	// AllowanceArgs is the argument of icrc2_allowance.
	AllowanceArgs struct {
		Account Account `candid:"account"`
		Spender Account `candid:"spender"`
	}
	// Allowance is what a spender may still spend.
	Allowance struct {
		Allowance candid.Nat `candid:"allowance"`
		ExpiresAt *uint64    `candid:"expires_at"`
	}
	// GetAllowancesArgs is the argument of icrc103_get_allowances.
	GetAllowancesArgs struct {
		FromAccount *Account    `candid:"from_account"`
		PrevSpender *Account    `candid:"prev_spender"`
		Take        *candid.Nat `candid:"take"`
	}
	// AllowanceEntry is an element of its result.
	AllowanceEntry struct {
		FromAccount Account    `candid:"from_account"`
		ToSpender   Account    `candid:"to_spender"`
		Allowance   candid.Nat `candid:"allowance"`
		ExpiresAt   *uint64    `candid:"expires_at"`
	}
	// GetAllowancesError is its error.
	GetAllowancesError struct {
		candid.Variant
		AccessDenied *AccessDenied
		GenericError *GenericError
	}
	// AccessDenied says why.
	AccessDenied struct {
		Reason string `candid:"reason"`
	}
	// GetAllowancesResult is its result.
	GetAllowancesResult struct {
		candid.Variant
		Ok  *[]AllowanceEntry
		Err *GetAllowancesError
	}

	// MetadataValue is a value of the token's metadata.
	MetadataValue struct {
		candid.Variant
		Nat  *candid.Nat
		Int  *candid.Int
		Text *string
		Blob *[]byte
	}
	// MetadataEntry is one piece of metadata.
	MetadataEntry struct {
		Key   string        `candid:"0"`
		Value MetadataValue `candid:"1"`
	}
	// InitialBalance is minted when the ledger is installed.
	InitialBalance struct {
		Account Account    `candid:"0"`
		Amount  candid.Nat `candid:"1"`
	}
	// FeatureFlags turn standards on and off.
	FeatureFlags struct {
		ICRC2   bool `candid:"icrc2"`
		ICRC152 bool `candid:"icrc152"`
	}
	// ArchiveModule says what archives are made of: the SHA-256 of a module and, in order, those of its chunks, which the ledger's own
	// chunk store must hold.
	ArchiveModule struct {
		Hash   []byte   `candid:"wasm_hash"`
		Chunks [][]byte `candid:"chunk_hashes"`
	}
	// ArchiveOptions say when blocks go to archives and how these are made. Module is ours: without it the ledger keeps all blocks.
	ArchiveOptions struct {
		NumBlocksToArchive         uint64                 `candid:"num_blocks_to_archive"`
		MaxTransactionsPerResponse *uint64                `candid:"max_transactions_per_response"`
		TriggerThreshold           uint64                 `candid:"trigger_threshold"`
		MaxMessageSizeBytes        *uint64                `candid:"max_message_size_bytes"`
		CyclesForArchiveCreation   *uint64                `candid:"cycles_for_archive_creation"`
		NodeMaxMemorySizeBytes     *uint64                `candid:"node_max_memory_size_bytes"`
		ControllerID               principal.Principal    `candid:"controller_id"`
		MoreControllerIDs          *[]principal.Principal `candid:"more_controller_ids"`
		Module                     *ArchiveModule         `candid:"module"`
	}
	// InitArgs are the parameters of a new ledger. AmountBits is ours: 64 for a token whose supply fits into 64 bits, 256 (the default) for any
	// ERC-20.
	InitArgs struct {
		MintingAccount      Account              `candid:"minting_account"`
		FeeCollectorAccount *Account             `candid:"fee_collector_account"`
		TransferFee         candid.Nat           `candid:"transfer_fee"`
		Decimals            *uint8               `candid:"decimals"`
		MaxMemoLength       *uint16              `candid:"max_memo_length"`
		TokenSymbol         string               `candid:"token_symbol"`
		TokenName           string               `candid:"token_name"`
		Metadata            []MetadataEntry      `candid:"metadata"`
		InitialBalances     []InitialBalance     `candid:"initial_balances"`
		FeatureFlags        *FeatureFlags        `candid:"feature_flags"`
		ArchiveOptions      ArchiveOptions       `candid:"archive_options"`
		IndexPrincipal      *principal.Principal `candid:"index_principal"`
		AmountBits          *uint16              `candid:"amount_bits"`
	}
	// ChangeFeeCollector is an order to change the fee collector.
	ChangeFeeCollector struct {
		candid.Variant
		Unset *candid.Null
		SetTo *Account
	}
	// ChangeArchiveOptions changes some archive options.
	ChangeArchiveOptions struct {
		NumBlocksToArchive         *uint64                `candid:"num_blocks_to_archive"`
		MaxTransactionsPerResponse *uint64                `candid:"max_transactions_per_response"`
		TriggerThreshold           *uint64                `candid:"trigger_threshold"`
		MaxMessageSizeBytes        *uint64                `candid:"max_message_size_bytes"`
		CyclesForArchiveCreation   *uint64                `candid:"cycles_for_archive_creation"`
		NodeMaxMemorySizeBytes     *uint64                `candid:"node_max_memory_size_bytes"`
		ControllerID               *principal.Principal   `candid:"controller_id"`
		MoreControllerIDs          *[]principal.Principal `candid:"more_controller_ids"`
		Module                     *ArchiveModule         `candid:"module"`
	}
	// UpgradeArgs change parameters at an upgrade; what is absent stays.
	UpgradeArgs struct {
		Metadata             *[]MetadataEntry      `candid:"metadata"`
		TokenSymbol          *string               `candid:"token_symbol"`
		TokenName            *string               `candid:"token_name"`
		TransferFee          *candid.Nat           `candid:"transfer_fee"`
		ChangeFeeCollector   *ChangeFeeCollector   `candid:"change_fee_collector"`
		MaxMemoLength        *uint16               `candid:"max_memo_length"`
		FeatureFlags         *FeatureFlags         `candid:"feature_flags"`
		ChangeArchiveOptions *ChangeArchiveOptions `candid:"change_archive_options"`
		IndexPrincipal       *principal.Principal  `candid:"index_principal"`
	}
	// LedgerArg is the argument of install and upgrade.
	LedgerArg struct {
		candid.Variant
		Init    *InitArgs
		Upgrade **UpgradeArgs
	}

	// GetBlocksArgs is a range of blocks or transactions.
	GetBlocksArgs struct {
		Start  candid.Nat `candid:"start"`
		Length candid.Nat `candid:"length"`
	}
	// TransactionRange is what an archive's get_transactions returns.
	TransactionRange struct {
		Transactions []Transaction `candid:"transactions"`
	}
	// ArchivedTransactions says where older transactions are.
	ArchivedTransactions struct {
		Start    candid.Nat     `candid:"start"`
		Length   candid.Nat     `candid:"length"`
		Callback QueryArchiveFn `candid:"callback"`
	}
	// GetTransactionsResponse is the result of get_transactions.
	GetTransactionsResponse struct {
		LogLength            candid.Nat             `candid:"log_length"`
		Transactions         []Transaction          `candid:"transactions"`
		FirstIndex           candid.Nat             `candid:"first_index"`
		ArchivedTransactions []ArchivedTransactions `candid:"archived_transactions"`
	}
	// BlockRange is what an archive's get_blocks returns.
	BlockRange struct {
		Blocks []Value `candid:"blocks"`
	}
	// ArchivedBlocks says where older blocks are.
	ArchivedBlocks struct {
		Start    candid.Nat          `candid:"start"`
		Length   candid.Nat          `candid:"length"`
		Callback QueryBlockArchiveFn `candid:"callback"`
	}
	// GetBlocksResponse is the result of get_blocks.
	GetBlocksResponse struct {
		FirstIndex     candid.Nat       `candid:"first_index"`
		ChainLength    uint64           `candid:"chain_length"`
		Certificate    *[]byte          `candid:"certificate"`
		Blocks         []Value          `candid:"blocks"`
		ArchivedBlocks []ArchivedBlocks `candid:"archived_blocks"`
	}
	// DataCertificate proves the tip of the log.
	DataCertificate struct {
		Certificate *[]byte `candid:"certificate"`
		HashTree    []byte  `candid:"hash_tree"`
	}
	// ICRC3DataCertificate is the same in ICRC-3.
	ICRC3DataCertificate struct {
		Certificate []byte `candid:"certificate"`
		HashTree    []byte `candid:"hash_tree"`
	}
	// ICRC3Block is a block with its index.
	ICRC3Block struct {
		ID    candid.Nat `candid:"id"`
		Block ICRC3Value `candid:"block"`
	}
	// ICRC3ArchivedBlocks says where older blocks are.
	ICRC3ArchivedBlocks struct {
		Args     []GetBlocksArgs `candid:"args"`
		Callback ICRC3ArchiveFn  `candid:"callback"`
	}
	// StoredBlocks is the result of get_stored_blocks: blocks from First on.
	StoredBlocks struct {
		LogLength uint64   `candid:"log_length"`
		First     uint64   `candid:"first"`
		Blocks    [][]byte `candid:"blocks"`
	}
	// GetBlocksResult is the result of icrc3_get_blocks.
	GetBlocksResult struct {
		LogLength      candid.Nat            `candid:"log_length"`
		Blocks         []ICRC3Block          `candid:"blocks"`
		ArchivedBlocks []ICRC3ArchivedBlocks `candid:"archived_blocks"`
	}
	// GetArchivesArgs asks for the archives after one.
	GetArchivesArgs struct {
		From *principal.Principal `candid:"from"`
	}
	// ICRC3Archive is an archive in ICRC-3.
	ICRC3Archive struct {
		CanisterID principal.Principal `candid:"canister_id"`
		Start      candid.Nat          `candid:"start"`
		End        candid.Nat          `candid:"end"`
	}
	// ArchiveInfo is an archive.
	ArchiveInfo struct {
		CanisterID      principal.Principal `candid:"canister_id"`
		BlockRangeStart candid.Nat          `candid:"block_range_start"`
		BlockRangeEnd   candid.Nat          `candid:"block_range_end"`
	}
	// StandardRecord names a standard.
	StandardRecord struct {
		Name string `candid:"name"`
		URL  string `candid:"url"`
	}
	// BlockType names a type of block.
	BlockType struct {
		BlockType string `candid:"block_type"`
		URL       string `candid:"url"`
	}

	// Transaction is a block as get_transactions shows it.
	Transaction struct {
		Kind           string            `candid:"kind"`
		Timestamp      uint64            `candid:"timestamp"`
		Mint           *Mint             `candid:"mint"`
		Burn           *Burn             `candid:"burn"`
		Transfer       *Transfer         `candid:"transfer"`
		Approve        *Approve          `candid:"approve"`
		FeeCollector   *FeeCollector     `candid:"fee_collector"`
		AuthorizedMint *AuthorizedSupply `candid:"authorized_mint"`
		AuthorizedBurn *AuthorizedDemand `candid:"authorized_burn"`
	}
	// Mint creates tokens.
	Mint struct {
		To            Account     `candid:"to"`
		Amount        candid.Nat  `candid:"amount"`
		Memo          *[]byte     `candid:"memo"`
		CreatedAtTime *uint64     `candid:"created_at_time"`
		Fee           *candid.Nat `candid:"fee"`
	}
	// Burn destroys tokens.
	Burn struct {
		From          Account     `candid:"from"`
		Amount        candid.Nat  `candid:"amount"`
		Spender       *Account    `candid:"spender"`
		Memo          *[]byte     `candid:"memo"`
		CreatedAtTime *uint64     `candid:"created_at_time"`
		Fee           *candid.Nat `candid:"fee"`
	}
	// Transfer moves tokens.
	Transfer struct {
		From          Account     `candid:"from"`
		To            Account     `candid:"to"`
		Amount        candid.Nat  `candid:"amount"`
		Fee           *candid.Nat `candid:"fee"`
		Spender       *Account    `candid:"spender"`
		Memo          *[]byte     `candid:"memo"`
		CreatedAtTime *uint64     `candid:"created_at_time"`
	}
	// Approve sets an allowance.
	Approve struct {
		From              Account     `candid:"from"`
		Spender           Account     `candid:"spender"`
		Amount            candid.Nat  `candid:"amount"`
		ExpectedAllowance *candid.Nat `candid:"expected_allowance"`
		ExpiresAt         *uint64     `candid:"expires_at"`
		Fee               *candid.Nat `candid:"fee"`
		Memo              *[]byte     `candid:"memo"`
		CreatedAtTime     *uint64     `candid:"created_at_time"`
	}
	// FeeCollector is a change of the fee collector.
	FeeCollector struct {
		Caller       *principal.Principal `candid:"caller"`
		FeeCollector *Account             `candid:"fee_collector"`
		TS           *uint64              `candid:"ts"`
		Mthd         *string              `candid:"mthd"`
	}
	// AuthorizedSupply is a mint by a controller (ICRC-152).
	AuthorizedSupply struct {
		To            Account              `candid:"to"`
		Amount        candid.Nat           `candid:"amount"`
		CreatedAtTime *uint64              `candid:"created_at_time"`
		Caller        *principal.Principal `candid:"caller"`
		Mthd          *string              `candid:"mthd"`
		Reason        *string              `candid:"reason"`
	}
	// AuthorizedDemand is a burn by a controller (ICRC-152).
	AuthorizedDemand struct {
		From          Account              `candid:"from"`
		Amount        candid.Nat           `candid:"amount"`
		CreatedAtTime *uint64              `candid:"created_at_time"`
		Caller        *principal.Principal `candid:"caller"`
		Mthd          *string              `candid:"mthd"`
		Reason        *string              `candid:"reason"`
	}

	// ICRC152MintArgs is the argument of icrc152_mint.
	ICRC152MintArgs struct {
		To            Account    `candid:"to"`
		Amount        candid.Nat `candid:"amount"`
		CreatedAtTime uint64     `candid:"created_at_time"`
		Reason        *string    `candid:"reason"`
	}
	// ICRC152MintError is its error.
	ICRC152MintError struct {
		candid.Variant
		Unauthorized   *string
		InvalidAccount *string
		Duplicate      *Duplicate
		GenericError   *GenericError
	}
	// ICRC152MintResult is its result.
	ICRC152MintResult struct {
		candid.Variant
		Ok  *candid.Nat
		Err *ICRC152MintError
	}
	// ICRC152BurnArgs is the argument of icrc152_burn.
	ICRC152BurnArgs struct {
		From          Account    `candid:"from"`
		Amount        candid.Nat `candid:"amount"`
		CreatedAtTime uint64     `candid:"created_at_time"`
		Reason        *string    `candid:"reason"`
	}
	// ICRC152BurnError is its error.
	ICRC152BurnError struct {
		candid.Variant
		Unauthorized        *string
		InvalidAccount      *string
		InsufficientBalance *InsufficientFunds
		Duplicate           *Duplicate
		GenericError        *GenericError
	}
	// ICRC152BurnResult is its result.
	ICRC152BurnResult struct {
		candid.Variant
		Ok  *candid.Nat
		Err *ICRC152BurnError
	}

	// IndexPrincipalError is an error of icrc106_get_index_principal.
	IndexPrincipalError struct {
		candid.Variant
		IndexPrincipalNotSet *candid.Null
		GenericError         *DescribedError
	}
	// DescribedError is a GenericError of ICRC-21 and ICRC-106.
	DescribedError struct {
		ErrorCode   candid.Nat `candid:"error_code"`
		Description string     `candid:"description"`
	}
	// IndexPrincipalResult is its result.
	IndexPrincipalResult struct {
		candid.Variant
		Ok  *principal.Principal
		Err *IndexPrincipalError
	}
)

// Func types carry their signatures.
type (
	// QueryArchiveFn is an archive's get_transactions.
	QueryArchiveFn struct{ candid.Func }
	// QueryBlockArchiveFn is an archive's get_blocks.
	QueryBlockArchiveFn struct{ candid.Func }
	// ICRC3ArchiveFn is an archive's icrc3_get_blocks.
	ICRC3ArchiveFn struct{ candid.Func }
)

func queryType[A, R any]() *candid.Type {
	return &candid.Type{Kind: candid.KindFunc, Func: &candid.FuncType{
		Args: []candid.Arg{{Type: candid.MustTypeFor[A]()}}, Results: []candid.Arg{{Type: candid.MustTypeFor[R]()}}, Mode: candid.Query}}
}

var (
	archiveFn      = sync.OnceValue(queryType[GetBlocksArgs, TransactionRange])
	blockArchiveFn = sync.OnceValue(queryType[GetBlocksArgs, BlockRange])
	// icrc3Fn is recursive: an archive's answer may point at other archives.
	icrc3Fn = sync.OnceValue(func() *candid.Type {
		fn := &candid.Type{Kind: candid.KindFunc}
		archived := candid.RecordOf(
			candid.Named("args", candid.VecOf(candid.MustTypeFor[GetBlocksArgs]())),
			candid.Named("callback", fn))
		result := candid.RecordOf(
			candid.Named("log_length", candid.Prim(candid.KindNat)),
			candid.Named("blocks", candid.VecOf(candid.MustTypeFor[ICRC3Block]())),
			candid.Named("archived_blocks", candid.VecOf(archived)))
		result.Name = "ArchivedBlocksResult"
		fn.Func = &candid.FuncType{Args: []candid.Arg{{Type: candid.VecOf(candid.MustTypeFor[GetBlocksArgs]())}},
			Results: []candid.Arg{{Type: result}}, Mode: candid.Query}
		return fn
	})
)

// CandidType implements candid.Typed.
func (QueryArchiveFn) CandidType() *candid.Type { return archiveFn() }

// CandidType implements candid.Typed.
func (QueryBlockArchiveFn) CandidType() *candid.Type { return blockArchiveFn() }

// CandidType implements candid.Typed.
func (ICRC3ArchiveFn) CandidType() *candid.Type { return icrc3Fn() }
