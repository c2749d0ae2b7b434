package ckbtc

import (
	"bytes"

	"fusion/btc"
	"fusion/ckledger/ckbtc/core"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Event is an entry of get_events. The minter's own log is finer: it also holds what is about to be asked of others, which has no counterpart in the
// published interface and is left out here.
type Event struct {
	Timestamp *uint64   `candid:"timestamp"`
	Payload   EventType `candid:"payload"`
}

// EventType holds the published events that this minter has.
type EventType struct {
	candid.Variant
	Init                            *InitArgs                        `candid:"init"`
	Upgrade                         *UpgradeArgs                     `candid:"upgrade"`
	ReceivedUtxos                   *ReceivedUtxos                   `candid:"received_utxos"`
	AcceptedRetrieveBtcRequest      *AcceptedRetrieveBtcRequest      `candid:"accepted_retrieve_btc_request"`
	CreatedConsolidateUtxosRequest  *CreatedConsolidateUtxosRequest  `candid:"created_consolidate_utxos_request"`
	SentTransaction                 *SentTransaction                 `candid:"sent_transaction"`
	ReplacedTransaction             *ReplacedTransaction             `candid:"replaced_transaction"`
	ConfirmedTransaction            *Txid                            `candid:"confirmed_transaction"`
	CheckedUtxoV2                   *UtxoAccount                     `candid:"checked_utxo_v2"`
	CheckedUtxoMintUnknown          *UtxoAccount                     `candid:"checked_utxo_mint_unknown"`
	SuspendedUtxo                   *SuspendedUtxoEvent              `candid:"suspended_utxo"`
	ScheduleDepositReimbursement    *ScheduleDepositReimbursement    `candid:"schedule_deposit_reimbursement"`
	ReimbursedFailedDeposit         *ReimbursedEvent                 `candid:"reimbursed_failed_deposit"`
	ScheduleWithdrawalReimbursement *ScheduleWithdrawalReimbursement `candid:"schedule_withdrawal_reimbursement"`
	QuarantinedWithdrawal           *QuarantinedWithdrawal           `candid:"quarantined_withdrawal_reimbursement"`
	ReimbursedWithdrawal            *ReimbursedEvent                 `candid:"reimbursed_withdrawal"`
}

// ReceivedUtxos is a minted deposit.
type ReceivedUtxos struct {
	ToAccount Account `candid:"to_account"`
	MintTxid  *uint64 `candid:"mint_txid"`
	Utxos     []Utxo  `candid:"utxos"`
}

// BitcoinAddress is a parsed address.
type BitcoinAddress struct {
	candid.Variant
	P2wpkhV0 *[]byte `candid:"p2wpkh_v0"`
	P2wshV0  *[]byte `candid:"p2wsh_v0"`
	P2trV1   *[]byte `candid:"p2tr_v1"`
	P2pkh    *[]byte `candid:"p2pkh"`
	P2sh     *[]byte `candid:"p2sh"`
}

func addressOf(a btc.Address) BitcoinAddress {
	b := a.Payload()
	switch a.Kind() {
	case btc.P2WPKH:
		return BitcoinAddress{P2wpkhV0: &b}
	case btc.P2WSH:
		return BitcoinAddress{P2wshV0: &b}
	case btc.P2TR:
		return BitcoinAddress{P2trV1: &b}
	case btc.P2PKH:
		return BitcoinAddress{P2pkh: &b}
	}
	return BitcoinAddress{P2sh: &b}
}

// AcceptedRetrieveBtcRequest is a new withdrawal.
type AcceptedRetrieveBtcRequest struct {
	Amount               uint64               `candid:"amount"`
	Address              BitcoinAddress       `candid:"address"`
	BlockIndex           uint64               `candid:"block_index"`
	ReceivedAt           uint64               `candid:"received_at"`
	KytProvider          *principal.Principal `candid:"kyt_provider"`
	ReimbursementAccount *Account             `candid:"reimbursement_account"`
}

// CreatedConsolidateUtxosRequest is the burn of a consolidation's fee.
type CreatedConsolidateUtxosRequest struct {
	Amount     uint64         `candid:"amount"`
	Address    BitcoinAddress `candid:"address"`
	BlockIndex uint64         `candid:"block_index"`
	ReceivedAt uint64         `candid:"received_at"`
}

// ChangeOutput is what comes back to the minter.
type ChangeOutput struct {
	Vout  uint32 `candid:"vout"`
	Value uint64 `candid:"value"`
}

// SentTransaction is a signed payment.
type SentTransaction struct {
	Requests      []uint64       `candid:"requests"`
	Txid          []byte         `candid:"txid"`
	Utxos         []Utxo         `candid:"utxos"`
	ChangeOutput  *ChangeOutput  `candid:"change_output"`
	SubmittedAt   uint64         `candid:"submitted_at"`
	Fee           *uint64        `candid:"fee"` // millisatoshi per vbyte
	WithdrawalFee *WithdrawalFee `candid:"withdrawal_fee"`
	SignedTx      *[]byte        `candid:"signed_tx"`
}

// ReplacedReason says why a transaction was replaced; this minter only replaces to pay more.
type ReplacedReason struct {
	candid.Variant
	ToRetry *candid.Null `candid:"to_retry"`
}

// ReplacedTransaction is a signed replacement by fee.
type ReplacedTransaction struct {
	NewTxid       []byte          `candid:"new_txid"`
	OldTxid       []byte          `candid:"old_txid"`
	ChangeOutput  ChangeOutput    `candid:"change_output"`
	SubmittedAt   uint64          `candid:"submitted_at"`
	Fee           uint64          `candid:"fee"`
	WithdrawalFee *WithdrawalFee  `candid:"withdrawal_fee"`
	Reason        *ReplacedReason `candid:"reason"`
	NewUtxos      *[]Utxo         `candid:"new_utxos"`
	SignedTx      *[]byte         `candid:"signed_tx"` // ours: an operator may have to send it again
}

// UtxoAccount is a deposit of an account.
type UtxoAccount struct {
	Utxo    Utxo    `candid:"utxo"`
	Account Account `candid:"account"`
}

// SuspendedUtxoEvent is a deposit that did not pass its checks.
type SuspendedUtxoEvent struct {
	Utxo    Utxo            `candid:"utxo"`
	Account Account         `candid:"account"`
	Reason  SuspendedReason `candid:"reason"`
}

// ScheduleDepositReimbursement is a refund of a withdrawal whose amount does not cover the fees.
type ScheduleDepositReimbursement struct {
	Account        Account             `candid:"account"`
	BurnBlockIndex uint64              `candid:"burn_block_index"`
	Amount         uint64              `candid:"amount"`
	Reason         ReimbursementReason `candid:"reason"`
}

// TooManyInputs is the reason of a refund.
type TooManyInputs struct {
	NumInputs    uint64 `candid:"num_inputs"`
	MaxNumInputs uint64 `candid:"max_num_inputs"`
}

// InvalidTransactionError says why a payment cannot be built.
type InvalidTransactionError struct {
	candid.Variant
	TooManyInputs *TooManyInputs `candid:"too_many_inputs"`
}

// WithdrawalReimbursementReason says why a payment cannot be made.
type WithdrawalReimbursementReason struct {
	candid.Variant
	InvalidTransaction *InvalidTransactionError `candid:"invalid_transaction"`
}

// ScheduleWithdrawalReimbursement is a refund of a withdrawal that cannot be paid.
type ScheduleWithdrawalReimbursement struct {
	Account        Account                       `candid:"account"`
	BurnBlockIndex uint64                        `candid:"burn_block_index"`
	Amount         uint64                        `candid:"amount"`
	Reason         WithdrawalReimbursementReason `candid:"reason"`
}

// ReimbursedEvent is a refund that was minted.
type ReimbursedEvent struct {
	BurnBlockIndex uint64 `candid:"burn_block_index"`
	MintBlockIndex uint64 `candid:"mint_block_index"`
}

// QuarantinedWithdrawal is a refund whose outcome cannot be known.
type QuarantinedWithdrawal struct {
	BurnBlockIndex uint64 `candid:"burn_block_index"`
}

// hasPublicForm reports whether an event appears in get_events.
func hasPublicForm(e *core.Event) bool {
	return e.Init != nil || e.Upgrade != nil || e.CheckedUtxo != nil || e.SuspendedUtxo != nil || e.MintUnknown != nil || e.Minted != nil ||
		e.Accepted != nil || e.FeeBurned != nil || e.Complete != nil || e.Recalled != nil || e.Confirmed != nil || e.Refund != nil || e.RefundUnknown != nil || e.Refunded != nil
}

// public gives an event its published form.
func public(s *core.State, e *core.Event) Event {
	t := e.Time
	return Event{&t, payload(s, e)}
}

func payload(s *core.State, e *core.Event) EventType {
	switch {
	case e.Init != nil:
		return EventType{Init: initOf(*e.Init)}
	case e.Upgrade != nil:
		return EventType{Upgrade: upgradeOf(*e.Upgrade)}
	case e.CheckedUtxo != nil:
		return EventType{CheckedUtxoV2: &UtxoAccount{utxoOf(e.CheckedUtxo.Utxo), accountOf(e.CheckedUtxo.Account)}}
	case e.SuspendedUtxo != nil:
		x := e.SuspendedUtxo
		return EventType{SuspendedUtxo: &SuspendedUtxoEvent{utxoOf(x.Utxo), accountOf(x.Account), reasonOf(x.Reason)}}
	case e.MintUnknown != nil:
		d := s.Deposit(*e.MintUnknown)
		return EventType{CheckedUtxoMintUnknown: &UtxoAccount{utxoOf(d.Utxo), accountOf(d.Account)}}
	case e.Minted != nil:
		x := e.Minted
		return EventType{ReceivedUtxos: &ReceivedUtxos{accountOf(x.Account), &x.BlockIndex, []Utxo{utxoOf(x.Utxo)}}}
	case e.Accepted != nil:
		x := e.Accepted
		a := accountOf(x.Refund)
		addr, _ := btc.ParseAddress(s.Config.Network, x.Address) // Apply has parsed it
		return EventType{AcceptedRetrieveBtcRequest: &AcceptedRetrieveBtcRequest{Amount: x.Amount, Address: addressOf(addr), BlockIndex: x.BlockIndex,
			ReceivedAt: e.Time, ReimbursementAccount: &a}}
	case e.FeeBurned != nil:
		x := e.FeeBurned
		addr, _ := btc.ParseAddress(s.Config.Network, x.Address) // the minter derived it
		return EventType{CreatedConsolidateUtxosRequest: &CreatedConsolidateUtxosRequest{Amount: x.Amount, Address: addressOf(addr), BlockIndex: x.BlockIndex,
			ReceivedAt: e.Time}}
	case e.Complete != nil:
		x := e.Complete
		change := ChangeOutput{x.ChangeVout, x.ChangeValue}
		fee := &WithdrawalFee{MinterFee: x.MinterFee, BitcoinFee: x.BtcFee}
		if x.Version > 0 {
			inputs := utxosOf(x.Inputs)
			reason := &ReplacedReason{ToRetry: candid.Unit}
			if x.Kind == core.Cancels {
				reason = nil // the published reasons do not have it
			}
			return EventType{ReplacedTransaction: &ReplacedTransaction{NewTxid: x.Txid[:], OldTxid: x.Old[:], ChangeOutput: change, SubmittedAt: e.Time,
				Fee: x.FeeRate, WithdrawalFee: fee, Reason: reason, NewUtxos: &inputs, SignedTx: &x.Raw}}
		}
		return EventType{SentTransaction: &SentTransaction{Requests: x.Requests, Txid: x.Txid[:], Utxos: utxosOf(x.Inputs), ChangeOutput: &change,
			SubmittedAt: e.Time, Fee: &x.FeeRate, WithdrawalFee: fee, SignedTx: &x.Raw}}
	case e.Recalled != nil:
		return EventType{SentTransaction: recalledOf(s, e)}
	case e.Confirmed != nil:
		return EventType{ConfirmedTransaction: txidOf(e.Confirmed.Txid)}
	case e.Refund != nil:
		x := e.Refund
		if x.Reason == core.RefundTooManyInputs {
			return EventType{ScheduleWithdrawalReimbursement: &ScheduleWithdrawalReimbursement{accountOf(x.Account), x.BlockIndex, x.Amount,
				WithdrawalReimbursementReason{InvalidTransaction: &InvalidTransactionError{TooManyInputs: &TooManyInputs{x.Inputs, x.MaxInputs}}}}}
		}
		return EventType{ScheduleDepositReimbursement: &ScheduleDepositReimbursement{accountOf(x.Account), x.BlockIndex, x.Amount, callFailed}}
	case e.RefundUnknown != nil:
		return EventType{QuarantinedWithdrawal: &QuarantinedWithdrawal{*e.RefundUnknown}}
	}
	x := &ReimbursedEvent{e.Refunded.BlockIndex, e.Refunded.MintBlock}
	if r := s.Request(x.BurnBlockIndex); r != nil && r.Refund.Reason != core.RefundTooManyInputs {
		return EventType{ReimbursedFailedDeposit: x}
	}
	return EventType{ReimbursedWithdrawal: x}
}

// recalledOf shows a transaction that the log had forgotten.
func recalledOf(s *core.State, e *core.Event) *SentTransaction {
	x := e.Recalled
	tx, _ := btc.ParseTx(bytes.Clone(x.Raw)) // Apply has parsed it
	id, last := tx.Txid(), len(tx.Outputs)-1
	out := &SentTransaction{Requests: x.Requests, Txid: id[:], Utxos: utxosOf(x.Inputs), ChangeOutput: &ChangeOutput{uint32(last), uint64(tx.Outputs[last].Value)},
		SubmittedAt: e.Time, Fee: &x.FeeRate, WithdrawalFee: &WithdrawalFee{MinterFee: x.MinterFee, BitcoinFee: x.BtcFee}, SignedTx: &x.Raw}
	if p := s.Payment(x.Payment); x.Requests == nil && p != nil {
		out.Requests = p.Requests
	}
	if out.Requests == nil {
		out.Requests = []uint64{}
	}
	return out
}

var callFailed = ReimbursementReason{CallFailed: candid.Unit}

func checkerOf(c core.Config) *principal.Principal {
	if c.Checker == nil {
		return nil
	}
	p := principal.MustFromBytes(c.Checker)
	return &p
}

func schnorrOf(c core.Config) *string {
	if c.SchnorrKey == "" {
		return nil
	}
	return &c.SchnorrKey
}

func initOf(c core.Config) *InitArgs {
	return &InitArgs{Network: networkOf(c.Network), LedgerID: principal.MustFromBytes(c.Ledger), ECDSAKeyName: c.KeyName, DepositBtcMinAmount: &c.DepositMin,
		RetrieveBtcMinAmount: c.RetrieveMin, MaxTimeInQueueNanos: c.MaxTimeInQueue, MinConfirmations: &c.Confirmations, Mode: modeOf(c.Mode),
		CheckFee: &c.CheckFee, BtcCheckerPrincipal: checkerOf(c), UtxoConsolidation: &c.Consolidate, MaxNumInputsInTransaction: &c.MaxInputs,
		SchnorrKeyName: schnorrOf(c), Limits: limitsOf(c.Limits)}
}

func upgradeOf(c core.Config) *UpgradeArgs {
	mode := modeOf(c.Mode)
	return &UpgradeArgs{DepositBtcMinAmount: &c.DepositMin, RetrieveBtcMinAmount: &c.RetrieveMin, MaxTimeInQueueNanos: &c.MaxTimeInQueue,
		MinConfirmations: &c.Confirmations, Mode: &mode, CheckFee: &c.CheckFee, BtcCheckerPrincipal: checkerOf(c), UtxoConsolidation: &c.Consolidate,
		MaxNumInputsInTransaction: &c.MaxInputs, SchnorrKeyName: schnorrOf(c), Limits: limitsOf(c.Limits)}
}
