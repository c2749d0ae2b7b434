package cketh

import (
	"fmt"
	"time"

	"fusion/cdk"
	"fusion/cdk/stable"
	"fusion/ckledger/cketh/core"
	"fusion/ckledger/minting/ledger"
	"fusion/eth"
	"fusion/ic/principal"
)

// The stable memories.
const (
	memoryLogIndex = 0
	memoryLogData  = 1
)

// maxConcurrent is how many withdrawals are being accepted at a time, as in ckETH's minter.
const maxConcurrent = 100

// maxTasks is how many calls to others one run of the reconciler makes.
const maxTasks = 20

// Canister registers the minter.
func Canister(c *cdk.Canister) { register(c) }

func register(c *cdk.Canister) *minter {
	m := &minter{c: c}
	cdk.Init(c, m.init)
	cdk.PostUpgrade(c, m.postUpgrade)

	cdk.UpdateAsync(c, "minter_address", m.minterAddress)
	cdk.Query(c, "smart_contract_address", m.smartContractAddress)
	cdk.Query(c, "eip_1559_transaction_price", m.transactionPrice)
	cdk.Query(c, "get_minter_info", m.getMinterInfo)
	cdk.UpdateAsync(c, "withdraw_eth", m.withdrawEth)
	cdk.UpdateAsync(c, "withdraw_erc20", m.withdrawErc20)
	cdk.Update(c, "retrieve_eth_status", m.retrieveEthStatus)
	cdk.Query(c, "withdrawal_status", m.withdrawalStatus)
	cdk.Query(c, "is_address_blocked", m.isAddressBlocked)
	cdk.UpdateAsync(c, "get_canister_status", m.getCanisterStatus)
	cdk.Query(c, "get_events", m.getEvents)
	cdk.Update(c, "add_ckerc20_token", m.addToken)
	cdk.Query(c, "decode_ledger_memo", decodeLedgerMemo)

	// What follows is not in the published interface.
	cdk.Query(c, "deposit_status", m.depositStatus)
	cdk.UpdateAsync(c, "recheck", m.recheck)
	cdk.UpdateAsync(c, "resume", m.resume)
	cdk.UpdateAsync(c, "get_deposit_address", m.getDepositAddress)
	cdk.UpdateAsync(c, "notify_deposit", m.notifyDeposit)
	cdk.Query(c, "personal_deposit_status", m.personalStatus)
	cdk.Query(c, "http_request", m.httpRequest)
	return m
}

// minter is the canister. The log in stable memory is the truth; state mirrors it. Everything below state is forgotten by an upgrade, and must be.
type minter struct {
	c       *cdk.Canister
	log     *stable.Log
	state   *core.State
	visible []uint32 // positions in the log of the events that get_events shows

	key   *core.PublicKey
	main  eth.Address // the minter's address, known with the key
	fee   core.Fee    // an estimate
	base  core.Amount // the base fee of the next block
	feeAt uint64      // when they were learnt, 0 for never

	tasks     *ledger.Schedule[core.Task]
	busy      map[principal.Principal]bool // users with a withdrawal being accepted
	asking    bool                         // the key is being asked for
	reader    reader
	pipe      pipe
	personal  map[core.Account]*personal
	compared  *comparison
	rechecks  int
	audits    map[core.Asset]*audit
	rpcCycles uint64
	asked     uint64 // calls to the EVM-RPC canister
	problem   string // the last failure of reading the chain, "" after a success

	observe func() // tests: runs after every event
}

func (m *minter) init(arg MinterArg) {
	if arg.Init == nil {
		m.c.Trap("expected init arguments of a new minter, got upgrade arguments")
	}
	if arg.Init.LedgerID.IsAnonymous() || arg.Init.LedgerID.IsManagement() {
		m.c.Trap("%v: ledger_id", core.ErrConfig)
	}
	start, err := arg.Init.start()
	if err != nil {
		m.c.Trap("init arguments: %v", err)
	}
	m.open()
	if m.log.Len() != 0 {
		m.c.Trap("stable memory already holds a minter's log")
	}
	m.emit(core.Event{Init: &start})
	if e := m.state.Recovery(m.c.Recovery()); e != nil { // before there was anything to forget
		m.emit(*e)
		m.emit(core.Event{Reconciled: &core.Reconciled{Nonce: m.state.Nonce()}})
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
	if arg != nil && arg.Upgrade != nil {
		x, err := arg.Upgrade.change(m.state.Config)
		if err != nil {
			m.c.Trap("upgrade arguments: %v", err)
		}
		m.emit(core.Event{Upgrade: &x})
	}
	if err := m.state.CheckInvariants(); err != nil {
		m.c.Trap("after replaying %d events: %v", m.log.Len(), err)
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
	m.busy = map[principal.Principal]bool{}
	m.compared = &comparison{}
	m.personal, m.audits = map[core.Account]*personal{}, map[core.Asset]*audit{}
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
	if hasPublicForm(e) && m.isPublic(e) {
		m.visible = append(m.visible, uint32(index))
	}
	if m.observe != nil {
		m.observe()
	}
}

// pace chooses an interval: on a development chain somebody waits for every block.
func (m *minter) pace(development, public time.Duration) uint64 {
	if m.state.Config.Development() {
		return uint64(development)
	}
	return uint64(public)
}

func (m *minter) start() {
	m.tasks = ledger.NewSchedule[core.Task](m.pace(30*time.Second, 10*time.Minute))
	m.c.After(0, m.tick)
	m.c.Every(time.Duration(m.pace(time.Second, 5*time.Second)), m.tick)
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
			} else if m.main, err = k.Main(); err == nil {
				m.key = k
			}
		}
		fn(m.key, err)
	})
}

func (m *minter) minterAddress(_ *cdk.Msg, _ cdk.None, out *cdk.Reply[string]) {
	m.withKey(nil, func(_ *core.PublicKey, err error) {
		if err != nil {
			out.Reject("the minter's key is not available: %v", err)
			return
		}
		out.Send(m.main.String())
	})
}

// addToken is for the orchestrator. Adding a token that is there already, unchanged, does nothing.
func (m *minter) addToken(msg *cdk.Msg, a AddCkErc20Token) cdk.None {
	c := m.state.Config
	if len(c.Orchestrator) == 0 || msg.Caller() != principal.MustFromBytes(c.Orchestrator) {
		m.c.Trap("only the ledger suite orchestrator may add tokens")
	}
	if id, err := small(a.ChainID); err != nil || id != c.ChainID {
		m.c.Trap("the token is on chain %v, the minter on %d", a.ChainID, c.ChainID)
	}
	address, err := eth.ParseAddress(a.Address)
	if err != nil {
		m.c.Trap("token %q: %v", a.Address, err)
	}
	t := core.Token{Asset: address, Symbol: a.Symbol, Ledger: a.LedgerID.Bytes()}
	if old := m.state.Token(address); old != nil && old.Symbol == t.Symbol && string(old.Ledger) == string(t.Ledger) {
		return cdk.None{}
	}
	m.emit(core.Event{TokenAdded: &t})
	return cdk.None{}
}
