package cketh

import (
	"encoding/hex"

	"fusion/cdk"
	"fusion/ckledger/cketh/core"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Event is an entry of get_events. The minter's own log is finer: it also holds what is about to be asked of others, and sweeps, which have no counterpart in the
// published interface and are left out here.
type Event struct {
	Timestamp uint64    `candid:"timestamp"`
	Payload   EventType `candid:"payload"`
}

// EventType holds the published events.
type EventType struct {
	candid.Variant
	Init                               *InitArg             `candid:"Init"`
	Upgrade                            *UpgradeArg          `candid:"Upgrade"`
	AcceptedDeposit                    *AcceptedDeposit     `candid:"AcceptedDeposit"`
	InvalidDeposit                     *InvalidDeposit      `candid:"InvalidDeposit"`
	MintedCkEth                        *MintedCkEth         `candid:"MintedCkEth"`
	SyncedToBlock                      *SyncedTo            `candid:"SyncedToBlock"`
	SyncedErc20ToBlock                 *SyncedTo            `candid:"SyncedErc20ToBlock"`
	SyncedDepositWithSubaccountToBlock *SyncedTo            `candid:"SyncedDepositWithSubaccountToBlock"`
	AcceptedEthWithdrawalRequest       *AcceptedEth         `candid:"AcceptedEthWithdrawalRequest"`
	CreatedTransaction                 *CreatedTransaction  `candid:"CreatedTransaction"`
	SignedTransaction                  *SignedTransaction   `candid:"SignedTransaction"`
	ReplacedTransaction                *CreatedTransaction  `candid:"ReplacedTransaction"`
	FinalizedTransaction               *FinalizedTx         `candid:"FinalizedTransaction"`
	ReimbursedEthWithdrawal            *ReimbursedEth       `candid:"ReimbursedEthWithdrawal"`
	ReimbursedErc20Withdrawal          *ReimbursedErc20     `candid:"ReimbursedErc20Withdrawal"`
	SkippedBlock                       *SkippedBlock        `candid:"SkippedBlock"`
	AddedCkErc20Token                  *AddCkErc20Token     `candid:"AddedCkErc20Token"`
	AcceptedErc20Deposit               *AcceptedErc20       `candid:"AcceptedErc20Deposit"`
	AcceptedErc20WithdrawalRequest     *AcceptedErc20Wd     `candid:"AcceptedErc20WithdrawalRequest"`
	FailedErc20WithdrawalRequest       *FailedErc20         `candid:"FailedErc20WithdrawalRequest"`
	MintedCkErc20                      *MintedCkErc20       `candid:"MintedCkErc20"`
	QuarantinedDeposit                 *QuarantinedDeposit  `candid:"QuarantinedDeposit"`
	QuarantinedReimbursement           *QuarantinedRefundOf `candid:"QuarantinedReimbursement"`
}

// The payloads of events.
type (
	// EventSource names a log.
	EventSource struct {
		TransactionHash string     `candid:"transaction_hash"`
		LogIndex        candid.Nat `candid:"log_index"`
	}
	// AcceptedDeposit is a deposit of ETH.
	AcceptedDeposit struct {
		TransactionHash string              `candid:"transaction_hash"`
		BlockNumber     candid.Nat          `candid:"block_number"`
		LogIndex        candid.Nat          `candid:"log_index"`
		FromAddress     string              `candid:"from_address"`
		Value           candid.Nat          `candid:"value"`
		Principal       principal.Principal `candid:"principal"`
		Subaccount      *[]byte             `candid:"subaccount"`
	}
	// AcceptedErc20 is a deposit of tokens.
	AcceptedErc20 struct {
		TransactionHash string              `candid:"transaction_hash"`
		BlockNumber     candid.Nat          `candid:"block_number"`
		LogIndex        candid.Nat          `candid:"log_index"`
		FromAddress     string              `candid:"from_address"`
		Value           candid.Nat          `candid:"value"`
		Principal       principal.Principal `candid:"principal"`
		ContractAddress string              `candid:"erc20_contract_address"`
		Subaccount      *[]byte             `candid:"subaccount"`
	}
	// InvalidDeposit is a deposit that is not minted.
	InvalidDeposit struct {
		EventSource EventSource `candid:"event_source"`
		Reason      string      `candid:"reason"`
	}
	// MintedCkEth is a minted deposit.
	MintedCkEth struct {
		EventSource    EventSource `candid:"event_source"`
		MintBlockIndex candid.Nat  `candid:"mint_block_index"`
	}
	// MintedCkErc20 is a minted deposit of tokens.
	MintedCkErc20 struct {
		EventSource     EventSource `candid:"event_source"`
		ContractAddress string      `candid:"erc20_contract_address"`
		MintBlockIndex  candid.Nat  `candid:"mint_block_index"`
		Symbol          string      `candid:"ckerc20_token_symbol"`
	}
	// SyncedTo is how far logs are read.
	SyncedTo struct {
		BlockNumber candid.Nat `candid:"block_number"`
	}
	// SkippedBlock is a block whose logs are too large.
	SkippedBlock struct {
		ContractAddress *string    `candid:"contract_address"`
		BlockNumber     candid.Nat `candid:"block_number"`
	}
	// AcceptedEth is a withdrawal of ETH.
	AcceptedEth struct {
		WithdrawalAmount candid.Nat          `candid:"withdrawal_amount"`
		Destination      string              `candid:"destination"`
		LedgerBurnIndex  candid.Nat          `candid:"ledger_burn_index"`
		From             principal.Principal `candid:"from"`
		FromSubaccount   *[]byte             `candid:"from_subaccount"`
		CreatedAt        *uint64             `candid:"created_at"`
	}
	// AcceptedErc20Wd is a withdrawal of tokens.
	AcceptedErc20Wd struct {
		MaxTransactionFee candid.Nat          `candid:"max_transaction_fee"`
		WithdrawalAmount  candid.Nat          `candid:"withdrawal_amount"`
		ContractAddress   string              `candid:"erc20_contract_address"`
		Destination       string              `candid:"destination"`
		CkethBurnIndex    candid.Nat          `candid:"cketh_ledger_burn_index"`
		Ckerc20LedgerID   principal.Principal `candid:"ckerc20_ledger_id"`
		Ckerc20BurnIndex  candid.Nat          `candid:"ckerc20_ledger_burn_index"`
		From              principal.Principal `candid:"from"`
		FromSubaccount    *[]byte             `candid:"from_subaccount"`
		CreatedAt         uint64              `candid:"created_at"`
	}
	// FailedErc20 is a withdrawal whose tokens were not burned.
	FailedErc20 struct {
		WithdrawalID     candid.Nat          `candid:"withdrawal_id"`
		ReimbursedAmount candid.Nat          `candid:"reimbursed_amount"`
		To               principal.Principal `candid:"to"`
		ToSubaccount     *[]byte             `candid:"to_subaccount"`
	}
	// AccessListEntry is part of a transaction; ours have none.
	AccessListEntry struct {
		Address     string   `candid:"address"`
		StorageKeys [][]byte `candid:"storage_keys"`
	}
	// UnsignedTransaction is a transaction.
	UnsignedTransaction struct {
		ChainID              candid.Nat        `candid:"chain_id"`
		Nonce                candid.Nat        `candid:"nonce"`
		MaxPriorityFeePerGas candid.Nat        `candid:"max_priority_fee_per_gas"`
		MaxFeePerGas         candid.Nat        `candid:"max_fee_per_gas"`
		GasLimit             candid.Nat        `candid:"gas_limit"`
		Destination          string            `candid:"destination"`
		Value                candid.Nat        `candid:"value"`
		Data                 []byte            `candid:"data"`
		AccessList           []AccessListEntry `candid:"access_list"`
	}
	// CreatedTransaction is a transaction of a withdrawal.
	CreatedTransaction struct {
		WithdrawalID candid.Nat          `candid:"withdrawal_id"`
		Transaction  UnsignedTransaction `candid:"transaction"`
	}
	// SignedTransaction is its signed form.
	SignedTransaction struct {
		WithdrawalID   candid.Nat `candid:"withdrawal_id"`
		RawTransaction string     `candid:"raw_transaction"`
	}
	// ReceiptStatus says whether a transaction succeeded.
	ReceiptStatus struct {
		candid.Variant
		Success *candid.Null `candid:"Success"`
		Failure *candid.Null `candid:"Failure"`
	}
	// TransactionReceipt is what became of it.
	TransactionReceipt struct {
		BlockHash         string        `candid:"block_hash"`
		BlockNumber       candid.Nat    `candid:"block_number"`
		EffectiveGasPrice candid.Nat    `candid:"effective_gas_price"`
		GasUsed           candid.Nat    `candid:"gas_used"`
		Status            ReceiptStatus `candid:"status"`
		TransactionHash   string        `candid:"transaction_hash"`
	}
	// FinalizedTx is a final transaction of a withdrawal.
	FinalizedTx struct {
		WithdrawalID candid.Nat         `candid:"withdrawal_id"`
		Receipt      TransactionReceipt `candid:"transaction_receipt"`
	}
	// ReimbursedEth is ckETH that was minted back.
	ReimbursedEth struct {
		ReimbursedInBlock candid.Nat `candid:"reimbursed_in_block"`
		ReimbursedAmount  candid.Nat `candid:"reimbursed_amount"`
		WithdrawalID      candid.Nat `candid:"withdrawal_id"`
		TransactionHash   *string    `candid:"transaction_hash"`
	}
	// ReimbursedErc20 is tokens that were minted back.
	ReimbursedErc20 struct {
		WithdrawalID      candid.Nat          `candid:"withdrawal_id"`
		BurnInBlock       candid.Nat          `candid:"burn_in_block"`
		ReimbursedInBlock candid.Nat          `candid:"reimbursed_in_block"`
		LedgerID          principal.Principal `candid:"ledger_id"`
		ReimbursedAmount  candid.Nat          `candid:"reimbursed_amount"`
		TransactionHash   *string             `candid:"transaction_hash"`
	}
	// QuarantinedDeposit is a deposit whose mint has an unknown outcome.
	QuarantinedDeposit struct {
		EventSource EventSource `candid:"event_source"`
	}
	// RefundOfEth names a refund.
	RefundOfEth struct {
		LedgerBurnIndex candid.Nat `candid:"ledger_burn_index"`
	}
	// RefundOfErc20 names a refund.
	RefundOfErc20 struct {
		CkethBurnIndex   candid.Nat          `candid:"cketh_ledger_burn_index"`
		LedgerID         principal.Principal `candid:"ledger_id"`
		Ckerc20BurnIndex candid.Nat          `candid:"ckerc20_ledger_burn_index"`
	}
	// ReimbursementIndex names a refund.
	ReimbursementIndex struct {
		candid.Variant
		CkEth   *RefundOfEth   `candid:"CkEth"`
		CkErc20 *RefundOfErc20 `candid:"CkErc20"`
	}
	// QuarantinedRefundOf is a refund with an unknown outcome.
	QuarantinedRefundOf struct {
		Index ReimbursementIndex `candid:"index"`
	}
)

// maxEvents bounds one answer of get_events.
const maxEvents = 100

func (m *minter) getEvents(_ *cdk.Msg, a EventsArg) Events {
	n := uint64(len(m.visible))
	out := Events{Events: []Event{}, TotalEventCount: n}
	if a.Start >= n {
		return out
	}
	var buf []byte
	for _, i := range m.visible[a.Start : a.Start+min(a.Length, n-a.Start, maxEvents)] {
		buf = m.log.Get(uint64(i), buf[:0])
		e, err := core.UnmarshalEvent(buf)
		if err != nil {
			m.c.Trap("event %d: %v", i, err)
		}
		out.Events = append(out.Events, Event{e.Time, m.payload(&e)})
	}
	return out
}

// hasPublicForm reports whether an event appears in get_events. A withdrawal of tokens appears when both burns are done, a deposit of tokens when it is verified.
func hasPublicForm(e *core.Event) bool {
	switch {
	case e.Init != nil, e.Upgrade != nil, e.TokenAdded != nil, e.Synced != nil, e.Skipped != nil, e.Verified != nil, e.Invalid != nil, e.Minted != nil,
		e.MintUnknown != nil, e.TokenBurned != nil, e.TokenBurnRefused != nil, e.Created != nil, e.Replaced != nil, e.RefundUnknown != nil, e.Refunded != nil:
		return true
	case e.Seen != nil:
		return e.Seen.Asset == core.Ether
	case e.Burned != nil, e.Signed != nil, e.Finalized != nil:
		return true
	case e.Swept != nil:
		return !e.Swept.Value.IsZero()
	}
	return false
}

// isPublic looks at what the event is about: signatures and failures of sweeps, and burns of ckETH that pay the fee of a token, do not appear.
func (m *minter) isPublic(e *core.Event) bool {
	switch {
	case e.Burned != nil:
		return m.state.Request(e.Burned.Number).IsEther()
	case e.Signed != nil:
		return m.state.RequestOf(e.Signed.Transfer) != nil
	case e.Finalized != nil:
		return m.state.RequestOf(e.Finalized.Transfer) != nil || e.Finalized.Success
	}
	return true
}

func sourceOf(s core.Source) EventSource {
	return EventSource{s.Tx.String(), *natOf(s.Index)}
}

func (m *minter) acceptedEth(d *core.Deposit) EventType {
	return EventType{AcceptedDeposit: &AcceptedDeposit{d.Source.Tx.String(), *natOf(d.Block), *natOf(d.Source.Index), d.From.String(), nat(d.Value), d.To.Owner, d.To.Sub()}}
}

// payload gives an event its published form.
func (m *minter) payload(e *core.Event) EventType {
	s := m.state
	switch {
	case e.Init != nil:
		return EventType{Init: initOf(e.Init)}
	case e.Upgrade != nil:
		return EventType{Upgrade: upgradeOf(e.Upgrade)}
	case e.TokenAdded != nil:
		t := e.TokenAdded
		return EventType{AddedCkErc20Token: &AddCkErc20Token{*natOf(s.Config.ChainID), t.Asset.String(), t.Symbol, principalOf(t.Ledger)}}
	case e.Synced != nil:
		x := &SyncedTo{*natOf(e.Synced.Block)}
		switch e.Synced.Scraper {
		case core.ScrapeEth:
			return EventType{SyncedToBlock: x}
		case core.ScrapeErc20:
			return EventType{SyncedErc20ToBlock: x}
		}
		return EventType{SyncedDepositWithSubaccountToBlock: x}
	case e.Skipped != nil:
		return EventType{SkippedBlock: &SkippedBlock{text(s.Config.Helpers[e.Skipped.Scraper]), *natOf(e.Skipped.Block)}}
	case e.Seen != nil:
		return m.acceptedEth(s.Deposit(e.Seen.Source))
	case e.Swept != nil:
		return m.acceptedEth(s.Deposit(core.Source{Tx: e.Swept.Hash}))
	case e.Verified != nil:
		d := s.Deposit(e.Verified.Source)
		return EventType{AcceptedErc20Deposit: &AcceptedErc20{d.Source.Tx.String(), *natOf(d.Block), *natOf(d.Source.Index), d.From.String(), nat(d.Value), d.To.Owner,
			d.Asset.String(), d.To.Sub()}}
	case e.Invalid != nil:
		return EventType{InvalidDeposit: &InvalidDeposit{sourceOf(e.Invalid.Claim.Source), e.Invalid.Reason}}
	case e.MintUnknown != nil:
		return EventType{QuarantinedDeposit: &QuarantinedDeposit{sourceOf(*e.MintUnknown)}}
	case e.Minted != nil:
		d := s.Deposit(e.Minted.Source)
		if d.Asset == core.Ether {
			return EventType{MintedCkEth: &MintedCkEth{sourceOf(d.Source), *natOf(e.Minted.Block)}}
		}
		return EventType{MintedCkErc20: &MintedCkErc20{sourceOf(d.Source), d.Asset.String(), *natOf(e.Minted.Block), s.Symbol(d.Asset)}}
	}
	return m.withdrawalPayload(e)
}

func (m *minter) withdrawalPayload(e *core.Event) EventType {
	s := m.state
	switch {
	case e.Burned != nil:
		r := s.Request(e.Burned.Number)
		at := e.Time
		return EventType{AcceptedEthWithdrawalRequest: &AcceptedEth{nat(r.Amount), r.To.String(), *natOf(r.ID), r.From.Owner, r.From.Sub(), &at}}
	case e.TokenBurned != nil:
		r := s.Request(e.TokenBurned.Number)
		return EventType{AcceptedErc20WithdrawalRequest: &AcceptedErc20Wd{nat(r.MaxFee), nat(r.Amount), r.Asset.String(), r.To.String(), *natOf(r.ID),
			principalOf(s.LedgerOf(r.Asset)), *natOf(r.TokenBlock), r.From.Owner, r.TokenFrom.Sub(), e.Time}}
	case e.TokenBurnRefused != nil:
		r := s.Request(*e.TokenBurnRefused)
		return EventType{FailedErc20WithdrawalRequest: &FailedErc20{*natOf(r.ID), nat(r.MaxFee), r.From.Owner, r.From.Sub()}}
	case e.Created != nil, e.Replaced != nil:
		x := e.Created
		if x == nil {
			x = e.Replaced
		}
		r := s.Request(x.Number)
		tx := s.Transaction(r, x)
		data := tx.Data
		if data == nil {
			data = []byte{}
		}
		c := &CreatedTransaction{*natOf(r.ID), UnsignedTransaction{*natOf(tx.ChainID), *natOf(tx.Nonce), nat(tx.MaxPriorityFeePerGas), nat(tx.MaxFeePerGas),
			*natOf(tx.GasLimit), tx.To.String(), nat(tx.Value), data, []AccessListEntry{}}}
		if e.Created != nil {
			return EventType{CreatedTransaction: c}
		}
		return EventType{ReplacedTransaction: c}
	case e.Signed != nil:
		return EventType{SignedTransaction: &SignedTransaction{*natOf(s.RequestOf(e.Signed.Transfer).ID), "0x" + hex.EncodeToString(e.Signed.Raw)}}
	case e.Finalized != nil:
		x := e.Finalized
		status := ReceiptStatus{Failure: unit}
		if x.Success && !x.NotMoved {
			status = ReceiptStatus{Success: unit}
		}
		if r := s.RequestOf(x.Transfer); r != nil {
			return EventType{FinalizedTransaction: &FinalizedTx{*natOf(r.ID), TransactionReceipt{x.Block.Hash.String(), *natOf(x.Block.Number), nat(x.GasPrice), *natOf(x.GasUsed),
				status, x.Hash.String()}}}
		}
		return m.acceptedEth(s.Deposit(core.Source{Tx: x.Hash})) // a sweep
	case e.RefundUnknown != nil:
		r := s.Request(e.RefundUnknown.Number)
		f := r.Refunds[e.RefundUnknown.Index]
		if f.Asset == core.Ether {
			return EventType{QuarantinedReimbursement: &QuarantinedRefundOf{ReimbursementIndex{CkEth: &RefundOfEth{*natOf(r.ID)}}}}
		}
		return EventType{QuarantinedReimbursement: &QuarantinedRefundOf{ReimbursementIndex{CkErc20: &RefundOfErc20{*natOf(r.ID), principalOf(s.LedgerOf(f.Asset)), *natOf(r.TokenBlock)}}}}
	}
	x := e.Refunded
	r := s.Request(x.Number)
	f := r.Refunds[x.Index]
	var hash *string
	if r.Receipt != nil {
		h := r.Receipt.Hash.String()
		hash = &h
	}
	if f.Asset == core.Ether {
		return EventType{ReimbursedEthWithdrawal: &ReimbursedEth{*natOf(x.Block), nat(f.Amount), *natOf(r.ID), hash}}
	}
	return EventType{ReimbursedErc20Withdrawal: &ReimbursedErc20{*natOf(r.ID), *natOf(r.TokenBlock), *natOf(x.Block), principalOf(s.LedgerOf(f.Asset)), nat(f.Amount), hash}}
}

func initOf(x *core.Start) *InitArg {
	c := &x.Config
	rpcID, height := principalOf(c.Rpc), tagOf(c.Height)
	a := &InitArg{Network: Network{Mainnet: unit}, ECDSAKeyName: c.KeyName, ContractAddress: text(c.Helpers[core.ScrapeEth]), LedgerID: principalOf(c.Ledger), BlockHeight: height,
		MinimumWithdrawal: nat(c.WithdrawMin), NextTransactionNonce: *natOf(x.NextNonce), LastScrapedBlockNumber: *natOf(x.LastBlock), EvmRpcID: &rpcID,
		Erc20HelperAddress: text(c.Helpers[core.ScrapeErc20]), DepositHelperAddress: text(c.Helpers[core.ScrapeDeposit]), PersonalDeposits: &c.Personal}
	if c.ChainID != core.Mainnet {
		a.Network = Network{Sepolia: unit}
	}
	if c.Development() {
		a.DevelopmentChainID = natOf(c.ChainID)
	}
	if len(c.Orchestrator) > 0 {
		p := principalOf(c.Orchestrator)
		a.OrchestratorID = &p
	}
	return a
}

func upgradeOf(x *core.Change) *UpgradeArg {
	c := &x.Config
	rpcID, height, least := principalOf(c.Rpc), tagOf(c.Height), nat(c.WithdrawMin)
	a := &UpgradeArg{MinimumWithdrawal: &least, ContractAddress: text(c.Helpers[core.ScrapeEth]), BlockHeight: &height, Erc20HelperAddress: text(c.Helpers[core.ScrapeErc20]),
		EvmRpcID: &rpcID, DepositHelperAddress: text(c.Helpers[core.ScrapeDeposit]), PersonalDeposits: &c.Personal, LastScraped: x.Cursors[core.ScrapeEth]}
	optional := func(n *uint64) *candid.Nat {
		if n == nil {
			return nil
		}
		return natOf(*n)
	}
	a.NextTransactionNonce = optional(x.NextNonce)
	a.LastErc20ScrapedBlock, a.LastDepositHelperScraped = optional(x.Cursors[core.ScrapeErc20]), optional(x.Cursors[core.ScrapeDeposit])
	if len(c.Orchestrator) > 0 {
		p := principalOf(c.Orchestrator)
		a.OrchestratorID = &p
	}
	if x.Resume {
		a.Resume = &x.Resume
	}
	return a
}
