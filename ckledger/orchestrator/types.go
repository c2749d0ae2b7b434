package orchestrator

import (
	"fusion/cdk"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The types of the interface, testdata/ledger_suite_orchestrator.did, in its words. Hashes are in hexadecimal.
type (
	// Arg is the argument of an installation (InitArg) or an upgrade (the others).
	Arg struct {
		candid.Variant
		UpgradeArg  *UpgradeArg
		InitArg     *InitArg
		AddErc20Arg *AddErc20Arg
	}
	// InitArg says who controls the canisters that the orchestrator makes besides itself, and who mints.
	InitArg struct {
		MoreControllerIDs []principal.Principal `candid:"more_controller_ids"`
		MinterID          *principal.Principal  `candid:"minter_id"`
		CyclesManagement  *CyclesManagement     `candid:"cycles_management"`
	}
	// UpgradeArg upgrades the canisters that exist, and changes parameters.
	UpgradeArg struct {
		GitCommitHash      *string                 `candid:"git_commit_hash"`
		LedgerHash         *string                 `candid:"ledger_compressed_wasm_hash"`
		IndexHash          *string                 `candid:"index_compressed_wasm_hash"`
		ArchiveHash        *string                 `candid:"archive_compressed_wasm_hash"`
		CyclesManagement   *UpdateCyclesManagement `candid:"cycles_management"`
		ManageLedgerSuites *[]InstalledLedgerSuite `candid:"manage_ledger_suites"`
	}
	// AddErc20Arg names a new token.
	AddErc20Arg struct {
		Contract      Erc20Contract `candid:"contract"`
		LedgerInitArg LedgerInitArg `candid:"ledger_init_arg"`
	}
	// Erc20Contract is where the token lives on Ethereum.
	Erc20Contract struct {
		ChainID candid.Nat `candid:"chain_id"`
		Address string     `candid:"address"`
	}
	// LedgerInitArg is what differs between ledgers.
	LedgerInitArg struct {
		TransferFee candid.Nat `candid:"transfer_fee"`
		Decimals    uint8      `candid:"decimals"`
		TokenSymbol string     `candid:"token_symbol"`
		TokenName   string     `candid:"token_name"`
		TokenLogo   string     `candid:"token_logo"`
	}
	// ManagedCanisterIDs are the canisters of a token.
	ManagedCanisterIDs struct {
		Ledger   *principal.Principal  `candid:"ledger"`
		Index    *principal.Principal  `candid:"index"`
		Archives []principal.Principal `candid:"archives"`
	}
	// CyclesManagement are numbers of cycles.
	CyclesManagement struct {
		ForLedger      candid.Nat `candid:"cycles_for_ledger_creation"`
		ForArchive     candid.Nat `candid:"cycles_for_archive_creation"`
		ForIndex       candid.Nat `candid:"cycles_for_index_creation"`
		TopUpIncrement candid.Nat `candid:"cycles_top_up_increment"`
	}
	// UpdateCyclesManagement changes them.
	UpdateCyclesManagement struct {
		ForLedger      *candid.Nat `candid:"cycles_for_ledger_creation"`
		ForArchive     *candid.Nat `candid:"cycles_for_archive_creation"`
		ForIndex       *candid.Nat `candid:"cycles_for_index_creation"`
		TopUpIncrement *candid.Nat `candid:"cycles_top_up_increment"`
	}
	// CreatedCanister has no code yet.
	CreatedCanister struct {
		CanisterID principal.Principal `candid:"canister_id"`
	}
	// InstalledCanister has the code with this hash, as far as the orchestrator knows.
	InstalledCanister struct {
		CanisterID        principal.Principal `candid:"canister_id"`
		InstalledWasmHash string              `candid:"installed_wasm_hash"`
	}
	// ManagedCanisterStatus is how far a canister is.
	ManagedCanisterStatus struct {
		candid.Variant
		Created   *CreatedCanister
		Installed *InstalledCanister
	}
	// InstalledLedgerSuite is a ledger with its index that somebody else made.
	InstalledLedgerSuite struct {
		TokenSymbol string                 `candid:"token_symbol"`
		Ledger      InstalledCanister      `candid:"ledger"`
		Index       InstalledCanister      `candid:"index"`
		Archives    *[]principal.Principal `candid:"archives"`
	}
	// ManagedCanisters are the canisters of a ckERC20 token. Problem is ours: what the token waits for.
	ManagedCanisters struct {
		Erc20Contract      Erc20Contract          `candid:"erc20_contract"`
		CkErc20TokenSymbol string                 `candid:"ckerc20_token_symbol"`
		Ledger             *ManagedCanisterStatus `candid:"ledger"`
		Index              *ManagedCanisterStatus `candid:"index"`
		Archives           []principal.Principal  `candid:"archives"`
		MinterNotified     bool                   `candid:"minter_notified"`
		Problem            *string                `candid:"problem"`
	}
	// ManagedLedgerSuite is an adopted InstalledLedgerSuite.
	ManagedLedgerSuite struct {
		TokenSymbol string                 `candid:"token_symbol"`
		Ledger      *ManagedCanisterStatus `candid:"ledger"`
		Index       *ManagedCanisterStatus `candid:"index"`
		Archives    []principal.Principal  `candid:"archives"`
		Problem     *string                `candid:"problem"`
	}
	// LedgerSuiteVersion are the modules that new tokens get. ArchiveHash is empty while none is registered: ledgers then keep all blocks.
	LedgerSuiteVersion struct {
		LedgerHash  string `candid:"ledger_compressed_wasm_hash"`
		IndexHash   string `candid:"index_compressed_wasm_hash"`
		ArchiveHash string `candid:"archive_compressed_wasm_hash"`
	}
	// Info is the result of get_orchestrator_info. LostCanisters is ours: creations whose outcome became unknown.
	Info struct {
		ManagedCanisters   []ManagedCanisters    `candid:"managed_canisters"`
		CyclesManagement   CyclesManagement      `candid:"cycles_management"`
		MoreControllerIDs  []principal.Principal `candid:"more_controller_ids"`
		MinterID           *principal.Principal  `candid:"minter_id"`
		LedgerSuiteVersion *LedgerSuiteVersion   `candid:"ledger_suite_version"`
		ManagedPreExisting *[]ManagedLedgerSuite `candid:"managed_pre_existing_ledger_suites"`
		LostCanisters      uint64                `candid:"lost_canisters"`
	}
)

// The types of the methods that are ours.
type (
	// Kind is which canister of a suite a module is for.
	Kind struct {
		candid.Variant
		Ledger  *candid.Null `candid:"ledger"`
		Index   *candid.Null `candid:"index"`
		Archive *candid.Null `candid:"archive"`
	}
	// RegisterModuleArg puts chunks together to a module.
	RegisterModuleArg struct {
		Kind   Kind     `candid:"kind"`
		Hash   []byte   `candid:"wasm_hash"`
		Chunks [][]byte `candid:"chunk_hashes"`
	}
	// ModuleInfo is a registered module.
	ModuleInfo struct {
		Kind Kind   `candid:"kind"`
		Hash string `candid:"wasm_hash"`
		Size uint64 `candid:"size"`
	}
	// Result is the result of a change: nothing, or why it was refused.
	Result struct {
		candid.Variant
		Ok  *candid.Null
		Err *string
	}
	// UploadResult is the hash of the chunk, or why it was refused.
	UploadResult struct {
		candid.Variant
		Ok  *[]byte
		Err *string
	}
)

// What the management canister and the minter are told.
type (
	canisterSettings struct {
		Controllers *[]principal.Principal `candid:"controllers"`
	}
	createArgs struct {
		Settings *canisterSettings `candid:"settings"`
	}
	canisterID struct {
		CanisterID principal.Principal `candid:"canister_id"`
	}
	upgradeOptions struct {
		SkipPreUpgrade *bool `candid:"skip_pre_upgrade"`
	}
	installMode struct {
		candid.Variant
		Install *candid.Null     `candid:"install"`
		Upgrade **upgradeOptions `candid:"upgrade"`
	}
	installArgs struct {
		Mode       installMode         `candid:"mode"`
		CanisterID principal.Principal `candid:"canister_id"`
		WasmModule []byte              `candid:"wasm_module"`
		Arg        []byte              `candid:"arg"`
	}
	uploadArgs struct {
		CanisterID principal.Principal `candid:"canister_id"`
		Chunk      []byte              `candid:"chunk"`
	}
	chunkHash struct {
		Hash []byte `candid:"hash"`
	}
	addCkErc20Token struct {
		ChainID  candid.Nat          `candid:"chain_id"`
		Address  string              `candid:"address"`
		Symbol   string              `candid:"ckerc20_token_symbol"`
		LedgerID principal.Principal `candid:"ckerc20_ledger_id"`
	}
	ckErc20Token struct {
		Symbol   string              `candid:"ckerc20_token_symbol"`
		Address  string              `candid:"erc20_contract_address"`
		LedgerID principal.Principal `candid:"ledger_canister_id"`
	}
	minterInfo struct {
		Supported *[]ckErc20Token `candid:"supported_ckerc20_tokens"`
	}
)

// CanisterStatus is the result of get_canister_status.
type CanisterStatus = cdk.CanisterStatus
