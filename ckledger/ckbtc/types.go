package ckbtc

import (
	"fmt"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/minting/ledger"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The types of the minter's Candid interface. Names and labels are those of ckBTC's published interface.

// Network is the Bitcoin network. Testnet is testnet4.
type Network struct {
	candid.Variant
	Mainnet *candid.Null `candid:"Mainnet"`
	Testnet *candid.Null `candid:"Testnet"`
	Regtest *candid.Null `candid:"Regtest"`
}

// Regtest is a private network.
var Regtest = Network{Regtest: candid.Unit}

func networkOf(n btc.Network) Network {
	switch n {
	case btc.Mainnet:
		return Network{Mainnet: candid.Unit}
	case btc.Regtest:
		return Regtest
	}
	return Network{Testnet: candid.Unit}
}

func (n Network) network() btc.Network {
	switch {
	case n.Mainnet != nil:
		return btc.Mainnet
	case n.Regtest != nil:
		return btc.Regtest
	}
	return btc.Testnet4
}

// Mode says who may use the minter.
type Mode struct {
	candid.Variant
	ReadOnly             *candid.Null           `candid:"ReadOnly"`
	RestrictedTo         *[]principal.Principal `candid:"RestrictedTo"`
	DepositsRestrictedTo *[]principal.Principal `candid:"DepositsRestrictedTo"`
	GeneralAvailability  *candid.Null           `candid:"GeneralAvailability"`
}

func (m Mode) mode() core.Mode {
	list := func(kind core.ModeKind, ps []principal.Principal) core.Mode {
		out := core.Mode{Kind: kind}
		for _, p := range ps {
			out.Allowed = append(out.Allowed, p.Bytes())
		}
		return out
	}
	switch {
	case m.ReadOnly != nil:
		return core.Mode{Kind: core.ReadOnly}
	case m.RestrictedTo != nil:
		return list(core.RestrictedTo, *m.RestrictedTo)
	case m.DepositsRestrictedTo != nil:
		return list(core.DepositsRestrictedTo, *m.DepositsRestrictedTo)
	}
	return core.Mode{Kind: core.GeneralAvailability}
}

func modeOf(m core.Mode) Mode {
	var ps []principal.Principal
	for _, b := range m.Allowed {
		ps = append(ps, principal.MustFromBytes(b))
	}
	switch m.Kind {
	case core.ReadOnly:
		return Mode{ReadOnly: candid.Unit}
	case core.RestrictedTo:
		return Mode{RestrictedTo: &ps}
	case core.DepositsRestrictedTo:
		return Mode{DepositsRestrictedTo: &ps}
	}
	return Mode{GeneralAvailability: candid.Unit}
}

// InitArgs configure a new minter.
type InitArgs struct {
	Network                   Network              `candid:"btc_network"`
	LedgerID                  principal.Principal  `candid:"ledger_id"`
	ECDSAKeyName              string               `candid:"ecdsa_key_name"`
	DepositBtcMinAmount       *uint64              `candid:"deposit_btc_min_amount"`
	RetrieveBtcMinAmount      uint64               `candid:"retrieve_btc_min_amount"`
	MaxTimeInQueueNanos       uint64               `candid:"max_time_in_queue_nanos"`
	MinConfirmations          *uint32              `candid:"min_confirmations"`
	Mode                      Mode                 `candid:"mode"`
	CheckFee                  *uint64              `candid:"check_fee"`
	KytFee                    *uint64              `candid:"kyt_fee"`
	BtcCheckerPrincipal       *principal.Principal `candid:"btc_checker_principal"`
	KytPrincipal              *principal.Principal `candid:"kyt_principal"`
	GetUtxosCacheSeconds      *uint64              `candid:"get_utxos_cache_expiration_seconds"`
	UtxoConsolidation         *uint64              `candid:"utxo_consolidation_threshold"`
	MaxNumInputsInTransaction *uint64              `candid:"max_num_inputs_in_transaction"`
	SchnorrKeyName            *string              `candid:"schnorr_key_name"` // absent: no taproot addresses
	Limits                    *Limits              `candid:"limits"`
}

// UpgradeArgs change what they name and leave the rest.
type UpgradeArgs struct {
	DepositBtcMinAmount       *uint64              `candid:"deposit_btc_min_amount"`
	RetrieveBtcMinAmount      *uint64              `candid:"retrieve_btc_min_amount"`
	MaxTimeInQueueNanos       *uint64              `candid:"max_time_in_queue_nanos"`
	MinConfirmations          *uint32              `candid:"min_confirmations"`
	Mode                      *Mode                `candid:"mode"`
	CheckFee                  *uint64              `candid:"check_fee"`
	KytFee                    *uint64              `candid:"kyt_fee"`
	BtcCheckerPrincipal       *principal.Principal `candid:"btc_checker_principal"`
	KytPrincipal              *principal.Principal `candid:"kyt_principal"`
	GetUtxosCacheSeconds      *uint64              `candid:"get_utxos_cache_expiration_seconds"`
	UtxoConsolidation         *uint64              `candid:"utxo_consolidation_threshold"`
	MaxNumInputsInTransaction *uint64              `candid:"max_num_inputs_in_transaction"`
	SchnorrKeyName            *string              `candid:"schnorr_key_name"` // absent: no taproot addresses
	Limits                    *Limits              `candid:"limits"`
}

// Limits are the minter's times and bounds. Those that are absent have the values of the Internet Computer's minter, or keep theirs in an upgrade. core.Limits
// says what each means; fees are in millisatoshi per vbyte.
type Limits struct {
	ResubmissionDelayNanos     *uint64 `candid:"resubmission_delay_nanos"`
	FeeBump                    *uint64 `candid:"fee_bump"`
	MaxFeeRate                 *uint64 `candid:"max_fee_rate"`
	MaxFeePermille             *uint64 `candid:"max_fee_permille"`
	CancelAfterNanos           *uint64 `candid:"cancel_after_nanos"`
	ConsolidationIntervalNanos *uint64 `candid:"consolidation_interval_nanos"`
	ConsolidationInputs        *uint64 `candid:"consolidation_inputs"`
	ManyUtxos                  *uint64 `candid:"many_utxos"`
	SuspensionNanos            *uint64 `candid:"suspension_nanos"`
	MinBatch                   *uint64 `candid:"min_batch"`
	MaxBatch                   *uint64 `candid:"max_batch"`
	MaxOpenRequests            *uint64 `candid:"max_open_requests"`
	MaxConcurrentUpdates       *uint64 `candid:"max_concurrent_updates"`
	CheckerRetries             *uint64 `candid:"checker_retries"`
	CheckerRetryNanos          *uint64 `candid:"checker_retry_nanos"`
	FeeRefreshNanos            *uint64 `candid:"fee_refresh_nanos"`
	TickNanos                  *uint64 `candid:"tick_nanos"`
	PollNanos                  *uint64 `candid:"poll_nanos"`
	ResendNanos                *uint64 `candid:"resend_nanos"`
	UtxoCacheNanos             *uint64 `candid:"utxo_cache_nanos"`
	SettledAfter               *uint64 `candid:"settled_after"`
	RewardMultiple             *uint64 `candid:"reward_multiple"`
}

// fields lists the values in the order of core.Limits.Fields.
func (l *Limits) fields() []**uint64 {
	return []**uint64{&l.ResubmissionDelayNanos, &l.FeeBump, &l.MaxFeeRate, &l.MaxFeePermille, &l.CancelAfterNanos, &l.ConsolidationIntervalNanos, &l.ConsolidationInputs,
		&l.ManyUtxos, &l.SuspensionNanos, &l.MinBatch, &l.MaxBatch, &l.MaxOpenRequests, &l.MaxConcurrentUpdates, &l.CheckerRetries, &l.CheckerRetryNanos,
		&l.FeeRefreshNanos, &l.TickNanos, &l.PollNanos, &l.ResendNanos, &l.UtxoCacheNanos, &l.SettledAfter, &l.RewardMultiple}
}

// set changes what l names; cacheSeconds is the published name of the cache's time.
func (l *Limits) set(c *core.Limits, cacheSeconds *uint64) {
	if cacheSeconds != nil {
		c.UtxoCache = min(*cacheSeconds, 1<<32) * 1e9
	}
	if l == nil {
		return
	}
	from := l.fields()
	for i, dst := range c.Fields() {
		set(dst, *from[i])
	}
}

func limitsOf(c core.Limits) *Limits {
	l := new(Limits)
	to := l.fields()
	for i, v := range c.Fields() {
		n := *v
		*to[i] = &n
	}
	return l
}

// MinterArg is the argument of installs and upgrades.
type MinterArg struct {
	candid.Variant
	Init    *InitArgs     `candid:"Init"`
	Upgrade **UpgradeArgs `candid:"Upgrade"`
}

func set[T any](dst *T, from ...*T) {
	for _, f := range from {
		if f != nil {
			*dst = *f
			return
		}
	}
}

func setPrincipal(dst *[]byte, from ...*principal.Principal) {
	for _, f := range from {
		if f != nil {
			*dst = f.Bytes()
			return
		}
	}
}

func (a InitArgs) config() core.Config {
	c := core.Config{Network: a.Network.network(), Ledger: a.LedgerID.Bytes(), KeyName: a.ECDSAKeyName, RetrieveMin: a.RetrieveBtcMinAmount,
		MaxTimeInQueue: a.MaxTimeInQueueNanos, Confirmations: core.DefaultConfirmations, Mode: a.Mode.mode(), MaxInputs: core.DefaultMaxInputs,
		Consolidate: core.DefaultConsolidate, Limits: core.DefaultLimits(a.Network.network())}
	set(&c.DepositMin, a.DepositBtcMinAmount)
	set(&c.Confirmations, a.MinConfirmations)
	set(&c.CheckFee, a.CheckFee, a.KytFee)
	setPrincipal(&c.Checker, a.BtcCheckerPrincipal, a.KytPrincipal)
	set(&c.MaxInputs, a.MaxNumInputsInTransaction)
	set(&c.Consolidate, a.UtxoConsolidation)
	set(&c.SchnorrKey, a.SchnorrKeyName)
	a.Limits.set(&c.Limits, a.GetUtxosCacheSeconds)
	return c
}

func (a UpgradeArgs) apply(c core.Config) core.Config {
	set(&c.DepositMin, a.DepositBtcMinAmount)
	set(&c.RetrieveMin, a.RetrieveBtcMinAmount)
	set(&c.MaxTimeInQueue, a.MaxTimeInQueueNanos)
	set(&c.Confirmations, a.MinConfirmations)
	if a.Mode != nil {
		c.Mode = a.Mode.mode()
	}
	set(&c.CheckFee, a.CheckFee, a.KytFee)
	setPrincipal(&c.Checker, a.BtcCheckerPrincipal, a.KytPrincipal)
	set(&c.MaxInputs, a.MaxNumInputsInTransaction)
	set(&c.Consolidate, a.UtxoConsolidation)
	set(&c.SchnorrKey, a.SchnorrKeyName)
	a.Limits.set(&c.Limits, a.GetUtxosCacheSeconds)
	return c
}

// Account is an account of the ledger.
type Account = ledger.Account

func accountOf(a core.Account) Account { return ledger.AccountOf(a) }

// AddressType says which of an account's addresses is meant.
type AddressType struct {
	candid.Variant
	P2WPKH *candid.Null `candid:"p2wpkh"`
	P2TR   *candid.Null `candid:"p2tr"`
}

// P2TR is the taproot address of an account.
var P2TR = AddressType{P2TR: candid.Unit}

func addressTypeOf(taproot bool) AddressType {
	if taproot {
		return P2TR
	}
	return AddressType{P2WPKH: candid.Unit}
}

// AddressArgs name an account; the owner defaults to the caller. The address is the P2WPKH one by default; update_balance by default looks at both once
// the account has asked for its taproot address.
type AddressArgs struct {
	Owner       *principal.Principal `candid:"owner"`
	Subaccount  *[]byte              `candid:"subaccount"`
	AddressType *AddressType         `candid:"address_type"`
}

func (a AddressArgs) taproot() bool { return a.AddressType != nil && a.AddressType.P2TR != nil }

func (a AddressArgs) account(caller principal.Principal) (core.Account, error) {
	owner := caller
	if a.Owner != nil {
		owner = *a.Owner
	}
	if owner.IsAnonymous() {
		return core.Account{}, fmt.Errorf("the owner must be non-anonymous")
	}
	return core.NewAccount(owner, a.Subaccount)
}

// Outpoint names an output; the txid is in internal byte order.
type Outpoint struct {
	Txid []byte `candid:"txid"`
	Vout uint32 `candid:"vout"`
}

// Utxo is an unspent output.
type Utxo struct {
	Outpoint Outpoint `candid:"outpoint"`
	Value    uint64   `candid:"value"`
	Height   uint32   `candid:"height"`
}

func utxoOf(u core.Utxo) Utxo {
	return Utxo{Outpoint{append([]byte(nil), u.Txid[:]...), u.Vout}, u.Value, u.Height}
}

func utxosOf(us []core.Utxo) []Utxo {
	out := make([]Utxo, len(us))
	for i, u := range us {
		out[i] = utxoOf(u)
	}
	return out
}

func (u Utxo) core() (core.Utxo, error) {
	c := core.Utxo{Vout: u.Outpoint.Vout, Value: u.Value, Height: u.Height}
	if copy(c.Txid[:], u.Outpoint.Txid) != 32 || len(u.Outpoint.Txid) != 32 {
		return c, fmt.Errorf("transaction id of %d bytes, want 32", len(u.Outpoint.Txid))
	}
	return c, nil
}

// MintedUtxo is a deposit that was minted.
type MintedUtxo struct {
	BlockIndex   uint64 `candid:"block_index"`
	MintedAmount uint64 `candid:"minted_amount"`
	Utxo         Utxo   `candid:"utxo"`
}

// UtxoStatus is the outcome of update_balance for one deposit.
type UtxoStatus struct {
	candid.Variant
	ValueTooSmall *Utxo       `candid:"ValueTooSmall"`
	Tainted       *Utxo       `candid:"Tainted"`
	Checked       *Utxo       `candid:"Checked"`
	Minted        *MintedUtxo `candid:"Minted"`
}

// PendingUtxo is a deposit that lacks confirmations.
type PendingUtxo struct {
	Outpoint      Outpoint `candid:"outpoint"`
	Value         uint64   `candid:"value"`
	Confirmations uint32   `candid:"confirmations"`
}

// SuspendedReason says why a deposit waits.
type SuspendedReason struct {
	candid.Variant
	ValueTooSmall *candid.Null `candid:"ValueTooSmall"`
	Quarantined   *candid.Null `candid:"Quarantined"`
}

func reasonOf(r core.SuspendReason) SuspendedReason {
	if r == core.Quarantined {
		return SuspendedReason{Quarantined: candid.Unit}
	}
	return SuspendedReason{ValueTooSmall: candid.Unit}
}

// SuspendedUtxo is a deposit that waits.
type SuspendedUtxo struct {
	Utxo          Utxo            `candid:"utxo"`
	Reason        SuspendedReason `candid:"reason"`
	EarliestRetry uint64          `candid:"earliest_retry"`
}

// NoNewUtxos says what is known of deposits on the way.
type NoNewUtxos struct {
	CurrentConfirmations  *uint32          `candid:"current_confirmations"`
	RequiredConfirmations uint32           `candid:"required_confirmations"`
	PendingUtxos          *[]PendingUtxo   `candid:"pending_utxos"`
	SuspendedUtxos        *[]SuspendedUtxo `candid:"suspended_utxos"`
}

// GenericError is an error without a name of its own.
type GenericError struct {
	ErrorMessage string `candid:"error_message"`
	ErrorCode    uint64 `candid:"error_code"`
}

// UpdateBalanceError says why nothing was minted.
type UpdateBalanceError struct {
	candid.Variant
	NoNewUtxos             *NoNewUtxos   `candid:"NoNewUtxos"`
	AlreadyProcessing      *candid.Null  `candid:"AlreadyProcessing"`
	TemporarilyUnavailable *string       `candid:"TemporarilyUnavailable"`
	GenericError           *GenericError `candid:"GenericError"`
}

// UpdateBalanceResult is the result of update_balance.
type UpdateBalanceResult struct {
	candid.Variant
	Ok  *[]UtxoStatus       `candid:"Ok"`
	Err *UpdateBalanceError `candid:"Err"`
}

// RetrieveBtcArgs ask for a withdrawal of what lies on the withdrawal account.
type RetrieveBtcArgs struct {
	Address string `candid:"address"`
	Amount  uint64 `candid:"amount"`
}

// RetrieveBtcWithApprovalArgs ask for a withdrawal from the caller's account.
type RetrieveBtcWithApprovalArgs struct {
	Address        string  `candid:"address"`
	Amount         uint64  `candid:"amount"`
	FromSubaccount *[]byte `candid:"from_subaccount"`
}

// RetrieveBtcOk names the withdrawal by the block of its burn.
type RetrieveBtcOk struct {
	BlockIndex uint64 `candid:"block_index"`
}

// InsufficientFunds reports a balance in satoshi.
type InsufficientFunds struct {
	Balance uint64 `candid:"balance"`
}

// InsufficientAllowance reports an allowance in satoshi.
type InsufficientAllowance struct {
	Allowance uint64 `candid:"allowance"`
}

// RetrieveBtcError says why a withdrawal was not accepted; nothing was burned.
type RetrieveBtcError struct {
	candid.Variant
	MalformedAddress       *string            `candid:"MalformedAddress"`
	AlreadyProcessing      *candid.Null       `candid:"AlreadyProcessing"`
	AmountTooLow           *uint64            `candid:"AmountTooLow"`
	InsufficientFunds      *InsufficientFunds `candid:"InsufficientFunds"`
	TemporarilyUnavailable *string            `candid:"TemporarilyUnavailable"`
	GenericError           *GenericError      `candid:"GenericError"`
}

// RetrieveBtcResult is the result of retrieve_btc.
type RetrieveBtcResult struct {
	candid.Variant
	Ok  *RetrieveBtcOk    `candid:"Ok"`
	Err *RetrieveBtcError `candid:"Err"`
}

// RetrieveBtcWithApprovalError is RetrieveBtcError with the allowance.
type RetrieveBtcWithApprovalError struct {
	candid.Variant
	MalformedAddress       *string                `candid:"MalformedAddress"`
	AlreadyProcessing      *candid.Null           `candid:"AlreadyProcessing"`
	AmountTooLow           *uint64                `candid:"AmountTooLow"`
	InsufficientFunds      *InsufficientFunds     `candid:"InsufficientFunds"`
	InsufficientAllowance  *InsufficientAllowance `candid:"InsufficientAllowance"`
	TemporarilyUnavailable *string                `candid:"TemporarilyUnavailable"`
	GenericError           *GenericError          `candid:"GenericError"`
}

// RetrieveBtcWithApprovalResult is the result of retrieve_btc_with_approval.
type RetrieveBtcWithApprovalResult struct {
	candid.Variant
	Ok  *RetrieveBtcOk                `candid:"Ok"`
	Err *RetrieveBtcWithApprovalError `candid:"Err"`
}

// BlockIndex names a withdrawal.
type BlockIndex struct {
	BlockIndex uint64 `candid:"block_index"`
}

// Txid is a transaction id in internal byte order.
type Txid struct {
	Txid []byte `candid:"txid"`
}

func txidOf(h btc.Hash) *Txid { return &Txid{append([]byte(nil), h[:]...)} }

// RetrieveBtcStatus is the state of a withdrawal.
type RetrieveBtcStatus struct {
	candid.Variant
	Unknown      *candid.Null `candid:"Unknown"`
	Pending      *candid.Null `candid:"Pending"`
	Signing      *candid.Null `candid:"Signing"`
	Sending      *Txid        `candid:"Sending"`
	Submitted    *Txid        `candid:"Submitted"`
	AmountTooLow *candid.Null `candid:"AmountTooLow"`
	Confirmed    *Txid        `candid:"Confirmed"`
}

// ReimbursementReason says why ckBTC goes back.
type ReimbursementReason struct {
	candid.Variant
	CallFailed         *candid.Null        `candid:"CallFailed"`
	TaintedDestination *TaintedDestination `candid:"TaintedDestination"`
}

// TaintedDestination is part of the interface; withdrawals to tainted addresses are refused before the burn.
type TaintedDestination struct {
	KytFee      uint64              `candid:"kyt_fee"`
	KytProvider principal.Principal `candid:"kyt_provider"`
}

// ReimbursementRequest is a refund to come.
type ReimbursementRequest struct {
	Account Account             `candid:"account"`
	Amount  uint64              `candid:"amount"`
	Reason  ReimbursementReason `candid:"reason"`
}

// ReimbursedDeposit is a refund that was minted.
type ReimbursedDeposit struct {
	Account        Account             `candid:"account"`
	MintBlockIndex uint64              `candid:"mint_block_index"`
	Amount         uint64              `candid:"amount"`
	Reason         ReimbursementReason `candid:"reason"`
}

// RetrieveBtcStatusV2 is the state of a withdrawal, refunds included.
type RetrieveBtcStatusV2 struct {
	candid.Variant
	Unknown       *candid.Null          `candid:"Unknown"`
	Pending       *candid.Null          `candid:"Pending"`
	Signing       *candid.Null          `candid:"Signing"`
	Sending       *Txid                 `candid:"Sending"`
	Submitted     *Txid                 `candid:"Submitted"`
	AmountTooLow  *candid.Null          `candid:"AmountTooLow"`
	Confirmed     *Txid                 `candid:"Confirmed"`
	Reimbursed    *ReimbursedDeposit    `candid:"Reimbursed"`
	WillReimburse *ReimbursementRequest `candid:"WillReimburse"`
}

// StatusByAccount is a withdrawal of an account.
type StatusByAccount struct {
	BlockIndex uint64               `candid:"block_index"`
	StatusV2   *RetrieveBtcStatusV2 `candid:"status_v2"`
}

// MinterInfo are the minter's parameters.
type MinterInfo struct {
	MinConfirmations     uint32  `candid:"min_confirmations"`
	RetrieveBtcMinAmount uint64  `candid:"retrieve_btc_min_amount"`
	KytFee               uint64  `candid:"kyt_fee"`
	DepositBtcMinAmount  *uint64 `candid:"deposit_btc_min_amount"`
	Health               *Health `candid:"health"`
}

// Health says what reorganisations of Bitcoin did to the minter, in satoshi.
type Health struct {
	Stopped    *string `candid:"stopped"`     // why nothing is minted or paid now
	Deficit    uint64  `candid:"deficit"`     // minted deposits that are missing
	Unsettled  uint64  `candid:"unsettled"`   // outputs that are watched until they are deep enough
	WrittenOff uint64  `candid:"written_off"` // missing deposits that were given up
	Restored   uint64  `candid:"restored"`    // taken into custody without a mint
}

// FeeArgs ask for an estimate.
type FeeArgs struct {
	Amount *uint64 `candid:"amount"`
}

// WithdrawalFee is an estimate in satoshi.
type WithdrawalFee struct {
	MinterFee  uint64 `candid:"minter_fee"`
	BitcoinFee uint64 `candid:"bitcoin_fee"`
}

// EventsArgs select events.
type EventsArgs struct {
	Start  uint64 `candid:"start"`
	Length uint64 `candid:"length"`
}

// CanisterStatus is the answer of get_canister_status.
type CanisterStatus = cdk.CanisterStatus

// MemoType says from which kind of ledger block a memo is.
type MemoType struct {
	candid.Variant
	Burn *candid.Null `candid:"Burn"`
	Mint *candid.Null `candid:"Mint"`
}

// DecodeLedgerMemoArgs hold a memo of a ledger block.
type DecodeLedgerMemoArgs struct {
	MemoType    MemoType `candid:"memo_type"`
	EncodedMemo []byte   `candid:"encoded_memo"`
}

// MemoStatus is deprecated.
type MemoStatus struct {
	candid.Variant
	Accepted   *candid.Null `candid:"Accepted"`
	Rejected   *candid.Null `candid:"Rejected"`
	CallFailed *candid.Null `candid:"CallFailed"`
}

// MintConvert names a deposit.
type MintConvert struct {
	Txid   *[]byte `candid:"txid"`
	Vout   *uint32 `candid:"vout"`
	KytFee *uint64 `candid:"kyt_fee"`
}

// KytFail is deprecated.
type KytFail struct {
	KytFee              *uint64     `candid:"kyt_fee"`
	Status              *MemoStatus `candid:"status"`
	AssociatedBurnIndex *uint64     `candid:"associated_burn_index"`
}

// ReimburseWithdrawal names the withdrawal that was refunded.
type ReimburseWithdrawal struct {
	WithdrawalID uint64 `candid:"withdrawal_id"`
}

// MintMemo is the memo of a mint.
type MintMemo struct {
	candid.Variant
	Convert             *MintConvert         `candid:"Convert"`
	Kyt                 *candid.Null         `candid:"Kyt"`
	KytFail             *KytFail             `candid:"KytFail"`
	ReimburseWithdrawal *ReimburseWithdrawal `candid:"ReimburseWithdrawal"`
}

// BurnConvert says where the bitcoin went.
type BurnConvert struct {
	Address *string     `candid:"address"`
	KytFee  *uint64     `candid:"kyt_fee"`
	Status  *MemoStatus `candid:"status"`
}

// Consolidate is the fee of a consolidation.
type Consolidate struct {
	Value  uint64 `candid:"value"`
	Inputs uint64 `candid:"inputs"`
}

// BurnMemo is the memo of a burn.
type BurnMemo struct {
	candid.Variant
	Convert     *BurnConvert `candid:"Convert"`
	Consolidate *Consolidate `candid:"Consolidate"`
}

// DecodedMemo is a memo in words.
type DecodedMemo struct {
	candid.Variant
	Mint **MintMemo `candid:"Mint"`
	Burn **BurnMemo `candid:"Burn"`
}

// DecodeLedgerMemoError says why a memo cannot be read.
type DecodeLedgerMemoError struct {
	candid.Variant
	InvalidMemo *string `candid:"InvalidMemo"`
}

// DecodeLedgerMemoResult is the result of decode_ledger_memo.
type DecodeLedgerMemoResult struct {
	candid.Variant
	Ok  **DecodedMemo           `candid:"Ok"`
	Err **DecodeLedgerMemoError `candid:"Err"`
}
