package ckbtc

import (
	"fmt"
	"time"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/stable"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/minting/ledger"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The stable memories.
const (
	memoryLogIndex = 0
	memoryLogData  = 1
)

// maxTasks is how many calls to others one run of the reconciler makes.
const maxTasks = 20

// Canister registers the minter.
func Canister(c *cdk.Canister) { register(c) }

func register(c *cdk.Canister) *minter {
	m := &minter{c: c}
	cdk.Init(c, m.init)
	cdk.PostUpgrade(c, m.postUpgrade)

	cdk.UpdateAsync(c, "get_btc_address", m.getBtcAddress)
	cdk.Query(c, "get_known_utxos", m.getKnownUtxos)
	cdk.UpdateAsync(c, "update_balance", m.updateBalance)
	cdk.Query(c, "estimate_withdrawal_fee", m.estimateWithdrawalFee)
	cdk.Query(c, "get_deposit_fee", func(*cdk.Msg, cdk.None) uint64 { return m.state.Config.CheckFee })
	cdk.Update(c, "get_withdrawal_account", m.getWithdrawalAccount)
	cdk.UpdateAsync(c, "retrieve_btc", m.retrieveBtc)
	cdk.UpdateAsync(c, "retrieve_btc_with_approval", m.retrieveBtcWithApproval)
	cdk.Query(c, "retrieve_btc_status", m.retrieveBtcStatus)
	cdk.Query(c, "retrieve_btc_status_v2", func(_ *cdk.Msg, a BlockIndex) RetrieveBtcStatusV2 { return m.statusV2(a.BlockIndex) })
	cdk.Query(c, "retrieve_btc_status_v2_by_account", m.statusByAccount)
	cdk.Query(c, "get_withdrawal_status", m.getWithdrawalStatus)
	cdk.CompositeQuery(c, "get_deposit_status", m.getDepositStatus)
	cdk.Query(c, "http_request", m.httpRequest)
	cdk.Query(c, "get_minter_info", m.getMinterInfo)
	cdk.Query(c, "get_custody", m.getCustody)
	cdk.UpdateAsync(c, "get_canister_status", m.getCanisterStatus)
	cdk.UpdateAsync(c, "resume", m.resume)
	cdk.Query(c, "get_events", m.getEvents)
	cdk.Query(c, "decode_ledger_memo", decodeLedgerMemo)
	cdk.Query(c, "icrc10_supported_standards", supportedStandards)
	cdk.Update(c, "icrc21_canister_call_consent_message", m.consentMessage)
	return m
}

// minter is the canister. The log in stable memory is the truth; state mirrors it. Everything below state is forgotten by an upgrade, and must be.
type minter struct {
	c       *cdk.Canister
	log     *stable.Log
	state   *core.State
	visible []uint32 // positions in the log of the events that get_events shows

	key     *core.PublicKey
	main    btc.Address // of the minter's own account, known with the key
	feeRate uint64      // millisatoshi per vbyte, 0 while unknown
	feeAt   uint64

	percentiles []uint64 // of fees, as last reported
	tip         uint32   // height of the chain, as last seen
	logs        []logLine

	schnorrAt uint64 // when to ask for the key of taproot addresses again

	taproot   map[core.Account]bool        // accounts that asked for their taproot address
	listings  map[listing]listed           // what update_balance saw lately
	reorgs    uint64                       // how often a reorganisation was noticed: what was listed before need not be there
	checks    map[btc.Outpoint]*checkWait  // deposits that the checker had no answer for
	strangers map[btc.Hash]bool            // transactions that resume was given and that are not the minter's
	updating  map[core.Account]bool        // accounts with an update_balance under way
	retrieval map[principal.Principal]bool // users with a withdrawal being accepted
	tasks     *ledger.Schedule[core.Task]  // tasks under way, and when those that failed may run again
	asking    bool                         // key or fees are being asked for
	polling   bool
	pollAt    uint64
	seen      map[uint64]bool // payments seen in some block by the last poll
	polled    bool
	aside     map[uint64]string // withdrawals that were set aside when payments were prepared last, and why
	audit     audit

	listedOutputs int    // in listings
	findings      uint64 // blocks of the ledger that the log does not explain

	rechecking recheck
	outage     string // why the Bitcoin canister's last answer was none

	observe func() // tests: runs after every event
}

func (m *minter) init(arg MinterArg) {
	if arg.Init == nil {
		m.c.Trap("expected init arguments of a new minter, got upgrade arguments")
	}
	if arg.Init.LedgerID.IsAnonymous() || arg.Init.LedgerID.IsManagement() {
		m.c.Trap("%v: ledger_id", core.ErrConfig)
	}
	m.open()
	if m.log.Len() != 0 {
		m.c.Trap("stable memory already holds a minter's log")
	}
	cfg := arg.Init.config()
	m.emit(core.Event{Init: &cfg})
	if e := m.state.Recovery(m.c.Recovery()); e != nil { // before there was anything to forget
		m.emit(*e)
		m.emit(core.Event{Resumed: &core.WriteOff{}})
	}
	m.start()
}

func (m *minter) postUpgrade(arg *MinterArg) {
	m.open()
	var buf []byte
	for i := range m.log.Len() {
		buf = m.log.Get(i, buf[:0])
		e, err := core.UnmarshalEvent(buf)
		if err != nil {
			m.c.Trap("event %d: %v", i, err)
		}
		m.apply(&e, i)
	}
	if m.log.Len() == 0 {
		m.c.Trap("stable memory holds no minter's log")
	}
	if arg != nil && arg.Init != nil {
		m.c.Trap("expected upgrade arguments, got init arguments")
	}
	if arg != nil && arg.Upgrade != nil && *arg.Upgrade != nil {
		before := m.state.Config.Mode.Kind
		cfg := (*arg.Upgrade).apply(m.state.Config)
		m.emit(core.Event{Upgrade: &cfg})
		if before == core.ReadOnly && cfg.Mode.Kind != core.ReadOnly { // it has not looked at the chain meanwhile
			m.doubt()
		}
	}
	m.start()
}

func (m *minter) open() {
	g, err := stable.Open(m.c.Stable())
	if err == nil {
		m.log, err = stable.OpenLog(g.Memory(memoryLogIndex), g.Memory(memoryLogData))
	}
	if err != nil {
		m.c.Trap("open the event log: %v", err)
	}
	m.state = core.NewState(core.Account{Owner: m.c.Self()})
	m.taproot, m.listings, m.checks, m.strangers = map[core.Account]bool{}, map[listing]listed{}, map[btc.Outpoint]*checkWait{}, map[btc.Hash]bool{}
	m.updating, m.retrieval = map[core.Account]bool{}, map[principal.Principal]bool{}
	m.tasks = ledger.NewSchedule[core.Task](0)
}

// emit writes an event to the log and applies it. It traps, which undoes the message, if the event does not fit.
func (m *minter) emit(e core.Event) {
	e.Time = m.c.Time()
	i, err := m.log.Append(e.Marshal())
	if err != nil {
		m.c.Trap("write the event log: %v", err)
	}
	m.apply(&e, i)
}

func (m *minter) apply(e *core.Event, index uint64) {
	if err := m.state.Apply(e); err != nil {
		m.c.Trap("event %d: %v", index, err)
	}
	if hasPublicForm(e) {
		m.visible = append(m.visible, uint32(index))
	}
	if m.observe != nil {
		m.observe()
	}
}

// Times of the reconciler. A regtest chain has blocks whenever somebody mines one, and somebody is waiting.
func (m *minter) pace(regtest, public time.Duration) time.Duration {
	if m.state.Config.Network == btc.Regtest {
		return regtest
	}
	return public
}

func (m *minter) start() {
	m.c.After(0, m.tick)
	m.c.Every(time.Duration(m.state.Config.Tick), m.tick)
}

// withKey gives fn the minter's public key, asking for it first if this instance does not know it yet. cleanup runs if fn traps after that.
func (m *minter) withKey(cleanup func(), fn func(*core.PublicKey, error)) {
	if m.key != nil {
		fn(m.key, nil)
		return
	}
	args := cdk.ECDSAPublicKeyArgs{DerivationPath: [][]byte{}, KeyID: cdk.Secp256k1Key(m.state.Config.KeyName)}
	cdk.Then(m.c.Call(principal.Management, "ecdsa_public_key", args).OnCleanup(cleanup), func(r cdk.ECDSAPublicKey, err error) {
		if err == nil && m.key == nil {
			k := new(core.PublicKey)
			if copy(k.Key[:], r.PublicKey) != 33 || len(r.PublicKey) != 33 || copy(k.ChainCode[:], r.ChainCode) != 32 || len(r.ChainCode) != 32 {
				err = fmt.Errorf("ecdsa_public_key: key of %d and chain code of %d bytes", len(r.PublicKey), len(r.ChainCode))
			} else if m.main, err = k.Address(m.state.Config.Network, m.state.Minter); err == nil {
				m.key = k
			}
		}
		fn(m.key, err)
	})
}

// withTaproot is withKey for who also needs the key of taproot addresses.
func (m *minter) withTaproot(cleanup func(), fn func(*core.PublicKey, error)) {
	m.withKey(cleanup, func(k *core.PublicKey, err error) {
		name := m.state.Config.SchnorrKey
		switch {
		case err == nil && name == "":
			err = core.ErrNoTaproot
			fallthrough
		case err != nil || k.Schnorr != nil:
			fn(k, err)
			return
		}
		args := cdk.SchnorrPublicKeyArgs{DerivationPath: [][]byte{}, KeyID: cdk.Bip340Key(name)}
		cdk.Then(m.c.Call(principal.Management, "schnorr_public_key", args).OnCleanup(cleanup), func(r cdk.SchnorrPublicKey, err error) {
			if err == nil && m.key.Schnorr == nil {
				s := new(core.PublicKey)
				if copy(s.Key[:], r.PublicKey) != 33 || len(r.PublicKey) != 33 || copy(s.ChainCode[:], r.ChainCode) != 32 || len(r.ChainCode) != 32 {
					err = fmt.Errorf("schnorr_public_key: key of %d and chain code of %d bytes", len(r.PublicKey), len(r.ChainCode))
				} else {
					m.key.Schnorr = s
				}
			}
			fn(m.key, err)
		})
	})
}

// maxTaproot bounds how many accounts are remembered to have asked for a taproot address; the others name the type when they update their balance.
const maxTaproot = 100_000

func (m *minter) getBtcAddress(msg *cdk.Msg, a AddressArgs, out *cdk.Reply[string]) {
	acct, err := a.account(msg.Caller())
	if err != nil {
		m.c.Trap("%v", err)
	}
	with := m.withKey
	if a.taproot() {
		with = m.withTaproot
	}
	with(nil, func(k *core.PublicKey, err error) {
		var addr btc.Address
		if err == nil && a.taproot() {
			if addr, err = k.TaprootAddress(m.state.Config.Network, acct); len(m.taproot) < maxTaproot {
				m.taproot[acct] = true
			}
		} else if err == nil {
			addr, err = k.Address(m.state.Config.Network, acct)
		}
		if err != nil {
			out.Reject("derive the address: %v", err)
			return
		}
		out.Send(addr.String())
	})
}

func (m *minter) getKnownUtxos(msg *cdk.Msg, a AddressArgs) []Utxo {
	acct, err := a.account(msg.Caller())
	if err != nil {
		m.c.Trap("%v", err)
	}
	return utxosOf(m.state.Known(acct))
}

func (m *minter) getWithdrawalAccount(msg *cdk.Msg, _ cdk.None) Account {
	if msg.Caller().IsAnonymous() {
		m.c.Trap("the caller must be non-anonymous")
	}
	return accountOf(core.WithdrawalAccount(m.c.Self(), msg.Caller()))
}

// knownFeeRate is the fee rate, or a guess that errs high while none is known.
func (m *minter) knownFeeRate() uint64 {
	if rate, ok := core.FeeRate(m.state.Config.Network, nil); ok {
		return rate
	}
	if m.feeRate == 0 {
		return 20_000
	}
	return m.feeRate
}

func (m *minter) estimateWithdrawalFee(_ *cdk.Msg, a FeeArgs) WithdrawalFee {
	amount := m.state.Config.RetrieveMin
	if a.Amount != nil {
		amount = *a.Amount
	}
	bitcoin, own := m.state.Estimate(amount, m.knownFeeRate())
	return WithdrawalFee{MinterFee: own, BitcoinFee: bitcoin}
}

func (m *minter) getMinterInfo(*cdk.Msg, cdk.None) MinterInfo {
	c := m.state.Config
	least := c.MinDeposit(m.knownFeeRate())
	return MinterInfo{MinConfirmations: c.Confirmations, RetrieveBtcMinAmount: m.state.RetrieveMin(m.knownFeeRate()), KytFee: c.CheckFee, DepositBtcMinAmount: &least,
		Health: m.health()}
}

func (m *minter) getCanisterStatus(_ *cdk.Msg, _ cdk.None, out *cdk.Reply[CanisterStatus]) {
	m.c.CanisterStatus(m.c.Self(), func(s CanisterStatus, err error) {
		if err != nil {
			out.Reject("canister_status: %v", err)
			return
		}
		out.Send(s)
	})
}

// maxEvents bounds one answer of get_events.
const maxEvents = 2000

func (m *minter) getEvents(_ *cdk.Msg, a EventsArgs) []Event {
	events := []Event{}
	n := uint64(len(m.visible))
	if a.Start >= n {
		return events
	}
	var buf []byte
	for _, i := range m.visible[a.Start : a.Start+min(a.Length, n-a.Start, maxEvents)] {
		buf = m.log.Get(uint64(i), buf[:0])
		e, err := core.UnmarshalEvent(buf)
		if err != nil {
			m.c.Trap("event %d: %v", i, err)
		}
		events = append(events, public(m.state, &e))
	}
	return events
}

func (m *minter) statusV2(block uint64) RetrieveBtcStatusV2 {
	r := m.state.Request(block)
	if r == nil {
		return RetrieveBtcStatusV2{Unknown: candid.Unit}
	}
	reason := callFailed
	switch r.State {
	case core.RequestPending:
		return RetrieveBtcStatusV2{Pending: candid.Unit}
	case core.RequestConfirmed:
		return RetrieveBtcStatusV2{Confirmed: txidOf(r.Txid)}
	case core.RequestCancelled, core.RequestWillRefund, core.RequestRefundUnknown:
		return RetrieveBtcStatusV2{WillReimburse: &ReimbursementRequest{accountOf(r.Account), r.Refund.Amount, reason}}
	case core.RequestRefunded:
		return RetrieveBtcStatusV2{Reimbursed: &ReimbursedDeposit{accountOf(r.Account), r.RefundIn, r.Refund.Amount, reason}}
	}
	// In a payment: the newest transaction that is complete counts.
	versions := m.state.Payment(r.Payment).Versions
	for i := len(versions) - 1; i >= 0; i-- {
		switch v := versions[i]; {
		case v.Kind == core.Cancels: // until it is final, what it replaces may be mined
		case v.Sent:
			return RetrieveBtcStatusV2{Submitted: txidOf(v.Txid)}
		case v.Complete:
			return RetrieveBtcStatusV2{Sending: txidOf(v.Txid)}
		}
	}
	return RetrieveBtcStatusV2{Signing: candid.Unit}
}

func (m *minter) retrieveBtcStatus(_ *cdk.Msg, a BlockIndex) RetrieveBtcStatus {
	s := m.statusV2(a.BlockIndex)
	if s.Reimbursed != nil || s.WillReimburse != nil { // what the older form can say of it
		return RetrieveBtcStatus{AmountTooLow: candid.Unit}
	}
	return RetrieveBtcStatus{Unknown: s.Unknown, Pending: s.Pending, Signing: s.Signing, Sending: s.Sending, Submitted: s.Submitted,
		AmountTooLow: s.AmountTooLow, Confirmed: s.Confirmed}
}

func (m *minter) statusByAccount(msg *cdk.Msg, a *Account) []StatusByAccount {
	acct := core.Account{Owner: msg.Caller()}
	if a != nil {
		var err error
		if acct, err = core.NewAccount(a.Owner, a.Subaccount); err != nil {
			m.c.Trap("%v", err)
		}
	}
	out := []StatusByAccount{}
	for _, block := range m.state.Requests(acct) {
		s := m.statusV2(block)
		out = append(out, StatusByAccount{block, &s})
	}
	return out
}
