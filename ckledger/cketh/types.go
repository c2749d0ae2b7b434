package cketh

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"time"

	"fusion/ckledger/cketh/core"
	"fusion/ckledger/minting/ledger"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The types of the minter's Candid interface. Names and labels are those of ckETH's published interface; what is ours beside it are optional fields at the
// end of records, and methods.

// Network is a public Ethereum network.
type Network struct {
	candid.Variant
	Mainnet *candid.Null `candid:"Mainnet"`
	Sepolia *candid.Null `candid:"Sepolia"`
}

// BlockTag says which blocks count.
type BlockTag struct {
	candid.Variant
	Latest    *candid.Null `candid:"Latest"`
	Safe      *candid.Null `candid:"Safe"`
	Finalized *candid.Null `candid:"Finalized"`
}

func (b BlockTag) height() core.Height {
	switch {
	case b.Latest != nil:
		return core.Latest
	case b.Safe != nil:
		return core.Safe
	}
	return core.Finalized
}

func tagOf(h core.Height) BlockTag {
	switch h {
	case core.Latest:
		return BlockTag{Latest: candid.Unit}
	case core.Safe:
		return BlockTag{Safe: candid.Unit}
	}
	return BlockTag{Finalized: candid.Unit}
}

// Cap bounds what is minted of a token in a day; without a contract address it is for ETH.
type Cap struct {
	Erc20ContractAddress *string    `candid:"erc20_contract_address"`
	PerDay               candid.Nat `candid:"per_day"`
}

// InitArg configures a new minter. The fields from DevelopmentChainID on are not in the published interface.
type InitArg struct {
	Network                Network              `candid:"ethereum_network"`
	ECDSAKeyName           string               `candid:"ecdsa_key_name"`
	ContractAddress        *string              `candid:"ethereum_contract_address"`
	LedgerID               principal.Principal  `candid:"ledger_id"`
	BlockHeight            BlockTag             `candid:"ethereum_block_height"`
	MinimumWithdrawal      candid.Nat           `candid:"minimum_withdrawal_amount"`
	NextTransactionNonce   candid.Nat           `candid:"next_transaction_nonce"`
	LastScrapedBlockNumber candid.Nat           `candid:"last_scraped_block_number"`
	EvmRpcID               *principal.Principal `candid:"evm_rpc_id"`

	// DevelopmentChainID replaces the network by a private chain (1337 or 31337).
	DevelopmentChainID *candid.Nat `candid:"development_chain_id"`
	// Erc20HelperAddress and DepositHelperAddress are what an upgrade would set.
	Erc20HelperAddress   *string              `candid:"erc20_helper_contract_address"`
	DepositHelperAddress *string              `candid:"deposit_with_subaccount_helper_contract_address"`
	OrchestratorID       *principal.Principal `candid:"ledger_suite_orchestrator_id"`
	// PersonalDeposits says whether accounts have deposit addresses of their own.
	PersonalDeposits *bool     `candid:"personal_deposits"`
	MintCaps         *[]Cap    `candid:"mint_caps"`
	BlockedAddresses *[]string `candid:"blocked_addresses"` // instead of the built-in list
	ScrapeSeconds    *uint64   `candid:"scrape_interval_seconds"`
	PipelineSeconds  *uint64   `candid:"withdrawal_interval_seconds"`
	AbandonSeconds   *uint64   `candid:"abandon_withdrawals_after_seconds"`
}

// UpgradeArg changes what it names and leaves the rest. The fields from Resume on are not in the published interface.
type UpgradeArg struct {
	NextTransactionNonce     *candid.Nat          `candid:"next_transaction_nonce"`
	MinimumWithdrawal        *candid.Nat          `candid:"minimum_withdrawal_amount"`
	ContractAddress          *string              `candid:"ethereum_contract_address"`
	BlockHeight              *BlockTag            `candid:"ethereum_block_height"`
	OrchestratorID           *principal.Principal `candid:"ledger_suite_orchestrator_id"`
	Erc20HelperAddress       *string              `candid:"erc20_helper_contract_address"`
	LastErc20ScrapedBlock    *candid.Nat          `candid:"last_erc20_scraped_block_number"`
	EvmRpcID                 *principal.Principal `candid:"evm_rpc_id"`
	DepositHelperAddress     *string              `candid:"deposit_with_subaccount_helper_contract_address"`
	LastDepositHelperScraped *candid.Nat          `candid:"last_deposit_with_subaccount_scraped_block_number"`

	// Resume lets a halted minter and paused tokens go on, on whatever chain there is now.
	Resume           *bool     `candid:"resume"`
	LastScraped      *uint64   `candid:"last_scraped_block_number"`
	PersonalDeposits *bool     `candid:"personal_deposits"`
	MintCaps         *[]Cap    `candid:"mint_caps"`
	BlockedAddresses *[]string `candid:"blocked_addresses"`
	ScrapeSeconds    *uint64   `candid:"scrape_interval_seconds"`
	PipelineSeconds  *uint64   `candid:"withdrawal_interval_seconds"`
	AbandonSeconds   *uint64   `candid:"abandon_withdrawals_after_seconds"`
}

// MinterArg is the argument of installs and upgrades.
type MinterArg struct {
	candid.Variant
	Upgrade *UpgradeArg `candid:"UpgradeArg"`
	Init    *InitArg    `candid:"InitArg"`
}

func nat(n core.Amount) candid.Nat {
	if n.IsUint64() {
		return candid.NatFromUint64(n.Uint64())
	}
	return candid.NatFromBig(n.ToBig())
}

// amountOf refuses what needs more than 256 bits.
func amountOf(n candid.Nat) (a core.Amount, err error) {
	if v, small := n.Uint64(); small {
		return core.AmountOf(v), nil
	}
	if a.SetFromBig(n.Big()) {
		return a, fmt.Errorf("%v needs more than 256 bits", n)
	}
	return a, nil
}

func small(n candid.Nat) (uint64, error) {
	v, ok := n.Uint64()
	if !ok {
		return 0, fmt.Errorf("%v needs more than 64 bits", n)
	}
	return v, nil
}

// settings are what init and upgrade arguments have in common.
type settings struct {
	helpers                   [core.Scrapers]*string
	orchestrator, rpc         *principal.Principal
	personal                  *bool
	caps                      *[]Cap
	blocked                   *[]string
	scrape, pipeline, abandon *uint64
}

func (s settings) apply(c *core.Config) error {
	for i, text := range s.helpers {
		if text == nil {
			continue
		}
		a, err := eth.ParseAddress(*text)
		if err != nil {
			return fmt.Errorf("helper contract %q: %w", *text, err)
		}
		c.Helpers[i] = a
	}
	if s.orchestrator != nil {
		c.Orchestrator = s.orchestrator.Bytes()
	}
	if s.rpc != nil {
		c.Rpc = s.rpc.Bytes()
	}
	if s.personal != nil {
		c.Personal = *s.personal
	}
	if s.caps != nil {
		c.Caps = nil
		for _, x := range *s.caps {
			var k core.Cap
			var err error
			if x.Erc20ContractAddress != nil {
				if k.Asset, err = eth.ParseAddress(*x.Erc20ContractAddress); err != nil {
					return fmt.Errorf("mint cap of %q: %w", *x.Erc20ContractAddress, err)
				}
			}
			if k.PerDay, err = amountOf(x.PerDay); err != nil {
				return fmt.Errorf("mint cap: %w", err)
			}
			c.Caps = append(c.Caps, k)
		}
	}
	if s.blocked != nil {
		c.Blocked = nil
		for _, text := range *s.blocked {
			a, err := eth.ParseAddress(text)
			if err != nil {
				return fmt.Errorf("blocked address %q: %w", text, err)
			}
			c.Blocked = append(c.Blocked, a)
		}
		c.Blocked = sorted(c.Blocked)
	}
	for dst, seconds := range map[*uint64]*uint64{&c.Every: s.scrape, &c.Pipeline: s.pipeline, &c.AbandonAfter: s.abandon} {
		if seconds == nil {
			continue
		}
		if *seconds > 1<<32 {
			return fmt.Errorf("an interval of %d s", *seconds)
		}
		*dst = *seconds * uint64(time.Second)
	}
	return nil
}

func sorted(as []eth.Address) []eth.Address {
	sort.Slice(as, func(i, j int) bool { return bytes.Compare(as[i][:], as[j][:]) < 0 })
	return slices.Compact(as)
}

// evmRpc is the well-known id of the EVM-RPC canister.
var evmRpc = principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai")

func (a InitArg) start() (core.Start, error) {
	c := core.Config{ChainID: core.Mainnet, KeyName: a.ECDSAKeyName, Ledger: a.LedgerID.Bytes(), Rpc: evmRpc.Bytes(), Height: a.BlockHeight.height(), Personal: true,
		Blocked: blocklist(), Every: uint64(3 * time.Minute), Pipeline: uint64(6 * time.Minute), AbandonAfter: uint64(7 * 24 * time.Hour)}
	if a.Network.Sepolia != nil {
		c.ChainID = core.Sepolia
	}
	if a.DevelopmentChainID != nil {
		id, err := small(*a.DevelopmentChainID)
		if err != nil {
			return core.Start{}, err
		}
		c.ChainID, c.Every, c.Pipeline = id, uint64(time.Second), uint64(2*time.Second)
		if !c.Development() {
			return core.Start{}, fmt.Errorf("%w: %d is not the id of a development chain (%d, %d)", core.ErrConfig, id, core.DevGeth, core.Anvil)
		}
	}
	var err error
	if c.WithdrawMin, err = amountOf(a.MinimumWithdrawal); err != nil {
		return core.Start{}, err
	}
	s := core.Start{}
	if s.NextNonce, err = small(a.NextTransactionNonce); err != nil {
		return core.Start{}, err
	}
	if s.LastBlock, err = small(a.LastScrapedBlockNumber); err != nil {
		return core.Start{}, err
	}
	err = settings{helpers: [core.Scrapers]*string{a.ContractAddress, a.Erc20HelperAddress, a.DepositHelperAddress}, orchestrator: a.OrchestratorID, rpc: a.EvmRpcID,
		personal: a.PersonalDeposits, caps: a.MintCaps, blocked: a.BlockedAddresses, scrape: a.ScrapeSeconds, pipeline: a.PipelineSeconds, abandon: a.AbandonSeconds}.apply(&c)
	s.Config = c
	return s, err
}

func (a UpgradeArg) change(c core.Config) (core.Change, error) {
	x := core.Change{Resume: a.Resume != nil && *a.Resume}
	optional := func(n *candid.Nat, dst **uint64) error {
		if n == nil {
			return nil
		}
		v, err := small(*n)
		*dst = &v
		return err
	}
	if err := optional(a.NextTransactionNonce, &x.NextNonce); err != nil {
		return x, err
	}
	if err := optional(a.LastErc20ScrapedBlock, &x.Cursors[core.ScrapeErc20]); err != nil {
		return x, err
	}
	if err := optional(a.LastDepositHelperScraped, &x.Cursors[core.ScrapeDeposit]); err != nil {
		return x, err
	}
	x.Cursors[core.ScrapeEth] = a.LastScraped
	if a.MinimumWithdrawal != nil {
		var err error
		if c.WithdrawMin, err = amountOf(*a.MinimumWithdrawal); err != nil {
			return x, err
		}
	}
	if a.BlockHeight != nil {
		c.Height = a.BlockHeight.height()
	}
	err := settings{helpers: [core.Scrapers]*string{a.ContractAddress, a.Erc20HelperAddress, a.DepositHelperAddress}, orchestrator: a.OrchestratorID, rpc: a.EvmRpcID,
		personal: a.PersonalDeposits, caps: a.MintCaps, blocked: a.BlockedAddresses, scrape: a.ScrapeSeconds, pipeline: a.PipelineSeconds, abandon: a.AbandonSeconds}.apply(&c)
	x.Config = c
	return x, err
}

// Account is an account of a ledger.
type Account = ledger.Account

func accountOf(a core.Account) Account { return ledger.AccountOf(a) }

// PriceArg names the token that is withdrawn.
type PriceArg struct {
	LedgerID principal.Principal `candid:"ckerc20_ledger_id"`
}

// Price is an estimate of what a transaction costs.
type Price struct {
	GasLimit             candid.Nat `candid:"gas_limit"`
	MaxFeePerGas         candid.Nat `candid:"max_fee_per_gas"`
	MaxPriorityFeePerGas candid.Nat `candid:"max_priority_fee_per_gas"`
	MaxTransactionFee    candid.Nat `candid:"max_transaction_fee"`
	Timestamp            *uint64    `candid:"timestamp"`
}

// CkErc20Token is a token with its ledger.
type CkErc20Token struct {
	Symbol          string              `candid:"ckerc20_token_symbol"`
	ContractAddress string              `candid:"erc20_contract_address"`
	LedgerID        principal.Principal `candid:"ledger_canister_id"`
}

// GasFeeEstimate is the last estimate.
type GasFeeEstimate struct {
	MaxFeePerGas         candid.Nat `candid:"max_fee_per_gas"`
	MaxPriorityFeePerGas candid.Nat `candid:"max_priority_fee_per_gas"`
	Timestamp            uint64     `candid:"timestamp"`
}

// Erc20Balance is what the minter holds of a token.
type Erc20Balance struct {
	ContractAddress string     `candid:"erc20_contract_address"`
	Balance         candid.Nat `candid:"balance"`
}

// Trouble says why nothing goes on, and what happens next.
type Trouble struct {
	ContractAddress *string `candid:"erc20_contract_address"` // nil: everything
	Reason          string  `candid:"reason"`
}

// MinterInfo are the minter's parameters. The fields from ChainID on are not in the published interface.
type MinterInfo struct {
	MinterAddress            *string              `candid:"minter_address"`
	SmartContractAddress     *string              `candid:"smart_contract_address"`
	EthHelperAddress         *string              `candid:"eth_helper_contract_address"`
	Erc20HelperAddress       *string              `candid:"erc20_helper_contract_address"`
	DepositHelperAddress     *string              `candid:"deposit_with_subaccount_helper_contract_address"`
	SupportedTokens          *[]CkErc20Token      `candid:"supported_ckerc20_tokens"`
	MinimumWithdrawal        *candid.Nat          `candid:"minimum_withdrawal_amount"`
	BlockHeight              *BlockTag            `candid:"ethereum_block_height"`
	LastObservedBlock        *candid.Nat          `candid:"last_observed_block_number"`
	EthBalance               *candid.Nat          `candid:"eth_balance"`
	LastGasFeeEstimate       *GasFeeEstimate      `candid:"last_gas_fee_estimate"`
	Erc20Balances            *[]Erc20Balance      `candid:"erc20_balances"`
	LastEthScraped           *candid.Nat          `candid:"last_eth_scraped_block_number"`
	LastErc20Scraped         *candid.Nat          `candid:"last_erc20_scraped_block_number"`
	LastDepositHelperScraped *candid.Nat          `candid:"last_deposit_with_subaccount_scraped_block_number"`
	CkethLedgerID            *principal.Principal `candid:"cketh_ledger_id"`
	EvmRpcID                 *principal.Principal `candid:"evm_rpc_id"`

	ChainID          *candid.Nat          `candid:"chain_id"`
	OrchestratorID   *principal.Principal `candid:"ledger_suite_orchestrator_id"`
	PersonalDeposits *bool                `candid:"personal_deposits"`
	LeastDeposit     *candid.Nat          `candid:"minimum_personal_deposit"` // wei, at today's fees
	ScrapeSeconds    *uint64              `candid:"scrape_interval_seconds"`
	PipelineSeconds  *uint64              `candid:"withdrawal_interval_seconds"`
	Troubles         *[]Trouble           `candid:"troubles"` // empty: all is well
}

// EthTransaction names a transaction.
type EthTransaction struct {
	TransactionHash string `candid:"transaction_hash"`
}

// Success is a paid withdrawal.
type Success struct {
	TransactionHash string      `candid:"transaction_hash"`
	EffectiveFee    *candid.Nat `candid:"effective_transaction_fee"`
}

// Reimbursed is a withdrawal that was minted back.
type Reimbursed struct {
	TransactionHash   string     `candid:"transaction_hash"`
	ReimbursedAmount  candid.Nat `candid:"reimbursed_amount"`
	ReimbursedInBlock candid.Nat `candid:"reimbursed_in_block"`
}

// FinalizedStatus is how a withdrawal ended.
type FinalizedStatus struct {
	candid.Variant
	Success              *Success        `candid:"Success"`
	Reimbursed           *Reimbursed     `candid:"Reimbursed"`
	PendingReimbursement *EthTransaction `candid:"PendingReimbursement"`
}

// RetrieveEthStatus is the state of a withdrawal.
type RetrieveEthStatus struct {
	candid.Variant
	NotFound    *candid.Null     `candid:"NotFound"`
	Pending     *candid.Null     `candid:"Pending"`
	TxCreated   *candid.Null     `candid:"TxCreated"`
	TxSent      *EthTransaction  `candid:"TxSent"`
	TxFinalized *FinalizedStatus `candid:"TxFinalized"`
}

// WithdrawalStatus is the state of a withdrawal that exists.
type WithdrawalStatus struct {
	candid.Variant
	Pending     *candid.Null     `candid:"Pending"`
	TxCreated   *candid.Null     `candid:"TxCreated"`
	TxSent      *EthTransaction  `candid:"TxSent"`
	TxFinalized *FinalizedStatus `candid:"TxFinalized"`
}

// WithdrawalArg asks for ETH.
type WithdrawalArg struct {
	Recipient      string     `candid:"recipient"`
	Amount         candid.Nat `candid:"amount"`
	FromSubaccount *[]byte    `candid:"from_subaccount"`
}

// WithdrawErc20Arg asks for tokens.
type WithdrawErc20Arg struct {
	Amount                candid.Nat          `candid:"amount"`
	LedgerID              principal.Principal `candid:"ckerc20_ledger_id"`
	Recipient             string              `candid:"recipient"`
	FromCkethSubaccount   *[]byte             `candid:"from_cketh_subaccount"`
	FromCkerc20Subaccount *[]byte             `candid:"from_ckerc20_subaccount"`
}

// WithdrawalDetail is a withdrawal with its status. Message and MinterFee are not in the published interface.
type WithdrawalDetail struct {
	TokenSymbol       string              `candid:"token_symbol"`
	WithdrawalAmount  candid.Nat          `candid:"withdrawal_amount"`
	MaxTransactionFee *candid.Nat         `candid:"max_transaction_fee"`
	WithdrawalID      uint64              `candid:"withdrawal_id"`
	From              principal.Principal `candid:"from"`
	FromSubaccount    *[]byte             `candid:"from_subaccount"`
	RecipientAddress  string              `candid:"recipient_address"`
	Status            WithdrawalStatus    `candid:"status"`
	Message           *string             `candid:"message"`    // what happens next
	MinterFee         *candid.Nat         `candid:"minter_fee"` // wei that the minter kept: what was set aside for fees and not used
}

// SearchParameter selects withdrawals.
type SearchParameter struct {
	candid.Variant
	ByRecipient     *string  `candid:"ByRecipient"`
	BySenderAccount *Account `candid:"BySenderAccount"`
	ByWithdrawalID  *uint64  `candid:"ByWithdrawalId"`
}

// RetrieveEthRequest names a withdrawal by the block of its burn.
type RetrieveEthRequest struct {
	BlockIndex candid.Nat `candid:"block_index"`
}

// RetrieveErc20Request names a withdrawal by the blocks of its burns.
type RetrieveErc20Request struct {
	CkethBlockIndex   candid.Nat `candid:"cketh_block_index"`
	Ckerc20BlockIndex candid.Nat `candid:"ckerc20_block_index"`
}

// Errors of withdrawals: nothing was burned, except as CkErc20LedgerError says.
type (
	// AmountTooLow names the least amount.
	AmountTooLow struct {
		MinWithdrawalAmount candid.Nat `candid:"min_withdrawal_amount"`
	}
	// InsufficientFunds names the balance.
	InsufficientFunds struct {
		Balance candid.Nat `candid:"balance"`
	}
	// InsufficientAllowance names the allowance.
	InsufficientAllowance struct {
		Allowance candid.Nat `candid:"allowance"`
	}
	// AddressBlocked names the recipient.
	AddressBlocked struct {
		Address string `candid:"address"`
	}
	// WithdrawalError says why ETH was not withdrawn.
	WithdrawalError struct {
		candid.Variant
		AmountTooLow            *AmountTooLow          `candid:"AmountTooLow"`
		InsufficientFunds       *InsufficientFunds     `candid:"InsufficientFunds"`
		InsufficientAllowance   *InsufficientAllowance `candid:"InsufficientAllowance"`
		RecipientAddressBlocked *AddressBlocked        `candid:"RecipientAddressBlocked"`
		TemporarilyUnavailable  *string                `candid:"TemporarilyUnavailable"`
	}
	// WithdrawEthResult is the result of withdraw_eth.
	WithdrawEthResult struct {
		candid.Variant
		Ok  *RetrieveEthRequest `candid:"Ok"`
		Err *WithdrawalError    `candid:"Err"`
	}
	// LedgerFunds is a balance that is too low.
	LedgerFunds struct {
		Balance          candid.Nat          `candid:"balance"`
		FailedBurnAmount candid.Nat          `candid:"failed_burn_amount"`
		TokenSymbol      string              `candid:"token_symbol"`
		LedgerID         principal.Principal `candid:"ledger_id"`
	}
	// LedgerAllowance is an allowance that is too low.
	LedgerAllowance struct {
		Allowance        candid.Nat          `candid:"allowance"`
		FailedBurnAmount candid.Nat          `candid:"failed_burn_amount"`
		TokenSymbol      string              `candid:"token_symbol"`
		LedgerID         principal.Principal `candid:"ledger_id"`
	}
	// LedgerMinimum is an amount that is too low to be burned.
	LedgerMinimum struct {
		MinimumBurnAmount candid.Nat          `candid:"minimum_burn_amount"`
		FailedBurnAmount  candid.Nat          `candid:"failed_burn_amount"`
		TokenSymbol       string              `candid:"token_symbol"`
		LedgerID          principal.Principal `candid:"ledger_id"`
	}
	// LedgerError says why a ledger did not burn.
	LedgerError struct {
		candid.Variant
		InsufficientFunds      *LedgerFunds     `candid:"InsufficientFunds"`
		InsufficientAllowance  *LedgerAllowance `candid:"InsufficientAllowance"`
		AmountTooLow           *LedgerMinimum   `candid:"AmountTooLow"`
		TemporarilyUnavailable *string          `candid:"TemporarilyUnavailable"`
	}
	// TokenNotSupported names those that are.
	TokenNotSupported struct {
		SupportedTokens []CkErc20Token `candid:"supported_tokens"`
	}
	// CkEthLedgerError is the error of the fee's burn.
	CkEthLedgerError struct {
		Error LedgerError `candid:"error"`
	}
	// CkErc20LedgerError is the error of the tokens' burn; the fee's burn is refunded.
	CkErc20LedgerError struct {
		CkethBlockIndex candid.Nat  `candid:"cketh_block_index"`
		Error           LedgerError `candid:"error"`
	}
	// WithdrawErc20Error says why tokens were not withdrawn.
	WithdrawErc20Error struct {
		candid.Variant
		TokenNotSupported       *TokenNotSupported  `candid:"TokenNotSupported"`
		RecipientAddressBlocked *AddressBlocked     `candid:"RecipientAddressBlocked"`
		CkEthLedgerError        *CkEthLedgerError   `candid:"CkEthLedgerError"`
		CkErc20LedgerError      *CkErc20LedgerError `candid:"CkErc20LedgerError"`
		TemporarilyUnavailable  *string             `candid:"TemporarilyUnavailable"`
	}
	// WithdrawErc20Result is the result of withdraw_erc20.
	WithdrawErc20Result struct {
		candid.Variant
		Ok  *RetrieveErc20Request `candid:"Ok"`
		Err *WithdrawErc20Error   `candid:"Err"`
	}
)

// AddCkErc20Token is a token that the orchestrator adds.
type AddCkErc20Token struct {
	ChainID  candid.Nat          `candid:"chain_id"`
	Address  string              `candid:"address"`
	Symbol   string              `candid:"ckerc20_token_symbol"`
	LedgerID principal.Principal `candid:"ckerc20_ledger_id"`
}

// EventsArg selects events.
type EventsArg struct {
	Start  uint64 `candid:"start"`
	Length uint64 `candid:"length"`
}

// Events are events.
type Events struct {
	Events          []Event `candid:"events"`
	TotalEventCount uint64  `candid:"total_event_count"`
}

// DepositQuery selects deposits: of a transaction, or to an account (the caller's default account without either).
type DepositQuery struct {
	TransactionHash *string  `candid:"transaction_hash"`
	Account         *Account `candid:"account"`
}

// DepositState is where a deposit stands.
type DepositState struct {
	candid.Variant
	Checking    *candid.Null `candid:"Checking"`    // the transaction's receipt is being read
	Accepted    *candid.Null `candid:"Accepted"`    // it will be minted
	Minted      *MintedIn    `candid:"Minted"`      // it was
	Invalid     *string      `candid:"Invalid"`     // it never will be, and why
	Quarantined *candid.Null `candid:"Quarantined"` // the ledger's blocks must tell whether it was
}

// MintedIn names a block of a ledger.
type MintedIn struct {
	BlockIndex candid.Nat          `candid:"block_index"`
	LedgerID   principal.Principal `candid:"ledger_id"`
}

// DepositReport is a deposit with its status.
type DepositReport struct {
	TransactionHash string       `candid:"transaction_hash"`
	LogIndex        uint64       `candid:"log_index"`
	BlockNumber     uint64       `candid:"block_number"`
	From            string       `candid:"from_address"`
	ContractAddress *string      `candid:"erc20_contract_address"`
	Amount          candid.Nat   `candid:"amount"`
	To              *Account     `candid:"account"`
	Status          DepositState `candid:"status"`
	MinterFee       candid.Nat   `candid:"minter_fee"` // what the minter keeps of a deposit: nothing
	Message         string       `candid:"message"`    // what happens next
}

// TextResult is a text or an error.
type TextResult struct {
	candid.Variant
	Ok  *string `candid:"Ok"`
	Err *string `candid:"Err"`
}

func okText(text string) TextResult  { return TextResult{Ok: &text} }
func errText(text string) TextResult { return TextResult{Err: &text} }

// PersonalDeposit is what is known of an account's deposit address.
type PersonalDeposit struct {
	Address         string          `candid:"address"`
	Sweep           *string         `candid:"sweep"`             // the transaction that moves what arrived
	MinimumDeposit  *candid.Nat     `candid:"minimum_deposit"`   // wei, at today's fees
	LastSeenBalance *candid.Nat     `candid:"last_seen_balance"` // wei, of final blocks
	Message         string          `candid:"message"`
	Minted          []DepositReport `candid:"minted"`
}

// Memos in words.
type (
	// MemoType says from which kind of ledger block a memo is.
	MemoType struct {
		candid.Variant
		Burn *candid.Null `candid:"Burn"`
		Mint *candid.Null `candid:"Mint"`
	}
	// DecodeLedgerMemoArgs hold a memo of a ledger block.
	DecodeLedgerMemoArgs struct {
		MemoType    MemoType `candid:"memo_type"`
		EncodedMemo []byte   `candid:"encoded_memo"`
	}
	// MintConvert names a deposit.
	MintConvert struct {
		FromAddress string     `candid:"from_address"`
		TxHash      string     `candid:"tx_hash"`
		LogIndex    candid.Nat `candid:"log_index"`
	}
	// ReimburseTransaction names a withdrawal and its failed transaction.
	ReimburseTransaction struct {
		WithdrawalID uint64 `candid:"withdrawal_id"`
		TxHash       string `candid:"tx_hash"`
	}
	// ReimburseWithdrawal names a withdrawal without transaction.
	ReimburseWithdrawal struct {
		WithdrawalID uint64 `candid:"withdrawal_id"`
	}
	// MintMemo is the memo of a mint.
	MintMemo struct {
		candid.Variant
		Convert              *MintConvert          `candid:"Convert"`
		ReimburseTransaction *ReimburseTransaction `candid:"ReimburseTransaction"`
		ReimburseWithdrawal  *ReimburseWithdrawal  `candid:"ReimburseWithdrawal"`
	}
	// BurnConvert says whom ether goes to.
	BurnConvert struct {
		ToAddress string `candid:"to_address"`
	}
	// Erc20GasFee says what the burn pays the fee of.
	Erc20GasFee struct {
		Symbol    string     `candid:"ckerc20_token_symbol"`
		Amount    candid.Nat `candid:"ckerc20_withdrawal_amount"`
		ToAddress string     `candid:"to_address"`
	}
	// Erc20Convert says whom tokens go to.
	Erc20Convert struct {
		WithdrawalID uint64 `candid:"ckerc20_withdrawal_id"`
		ToAddress    string `candid:"to_address"`
	}
	// BurnMemo is the memo of a burn.
	BurnMemo struct {
		candid.Variant
		Convert      *BurnConvert  `candid:"Convert"`
		Erc20GasFee  *Erc20GasFee  `candid:"Erc20GasFee"`
		Erc20Convert *Erc20Convert `candid:"Erc20Convert"`
	}
	// DecodedMemo is a memo in words.
	DecodedMemo struct {
		candid.Variant
		Mint **MintMemo `candid:"Mint"`
		Burn **BurnMemo `candid:"Burn"`
	}
	// DecodeLedgerMemoError says why a memo cannot be read.
	DecodeLedgerMemoError struct {
		candid.Variant
		InvalidMemo *string `candid:"InvalidMemo"`
	}
	// DecodeLedgerMemoResult is the result of decode_ledger_memo.
	DecodeLedgerMemoResult struct {
		candid.Variant
		Ok  **DecodedMemo           `candid:"Ok"`
		Err **DecodeLedgerMemoError `candid:"Err"`
	}
)
