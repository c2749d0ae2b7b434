package ckbtc

import (
	"fmt"
	"slices"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/minting/ledger"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// updateBalance mints what arrived at an account's address. One call per account runs at a time.
func (m *minter) updateBalance(msg *cdk.Msg, a AddressArgs, out *cdk.Reply[UpdateBalanceResult]) {
	acct, err := a.account(msg.Caller())
	if err != nil {
		m.c.Trap("%v", err)
	}
	if acct.Owner == m.c.Self() {
		m.c.Trap("cannot update the minter's own balance")
	}
	refuse := func(e UpdateBalanceError) { out.Send(UpdateBalanceResult{Err: &e}) }
	unavailable := func(text string) { refuse(UpdateBalanceError{TemporarilyUnavailable: &text}) }
	if why := m.state.Config.Mode.Deposits(msg.Caller()); why != "" {
		unavailable(why)
		return
	}
	if why := m.paused(); why != "" {
		unavailable(why)
		return
	}
	if m.updating[acct] {
		refuse(UpdateBalanceError{AlreadyProcessing: candid.Unit})
		return
	}
	if uint64(len(m.updating)) >= m.state.Config.MaxUpdates {
		unavailable("too many concurrent update_balance requests")
		return
	}
	m.updating[acct] = true
	release := func() { delete(m.updating, acct) }
	u := &update{m: m, acct: acct, release: release, refuse: refuse,
		fail:   func(text string) { release(); unavailable(text) },
		nothin: func(n NoNewUtxos) { release(); refuse(UpdateBalanceError{NoNewUtxos: &n}) },
		finish: func(s []UtxoStatus) { release(); out.Send(UpdateBalanceResult{Ok: &s}) }}
	with, both := m.withKey, a.AddressType == nil && m.hasTaproot(acct)
	if both || a.taproot() {
		with = m.withTaproot
	}
	with(release, func(k *core.PublicKey, err error) {
		if err != nil {
			u.fail("the minter's key is not available: " + err.Error())
			return
		}
		for _, taproot := range []bool{false, true} {
			if !both && taproot != a.taproot() {
				continue
			}
			address := k.Address
			if taproot {
				address = k.TaprootAddress
			}
			addr, err := address(m.state.Config.Network, acct)
			if err != nil {
				u.fail("derive the address: " + err.Error())
				return
			}
			u.places = append(u.places, place{addr, taproot})
		}
		u.list()
	})
}

// hasTaproot reports whether an account may use its taproot address: once the key is known, anybody's may have been derived.
func (m *minter) hasTaproot(a core.Account) bool {
	return m.key != nil && m.key.Schnorr != nil || m.taproot[a] || slices.ContainsFunc(m.state.Deposits(a), m.state.Taproot)
}

// place is an address of the account.
type place struct {
	btc.Address
	taproot bool
}

// found is a deposit at an address.
type found struct {
	core.Utxo
	taproot bool
	spent   bool // by a payment of the minter that its log has forgotten: core.Orphan
}

// listing names what is listed, listed what was seen there.
type (
	listing struct {
		address       string
		confirmations uint32
	}
	listed struct {
		utxos []core.Utxo
		tip   uint32
		at    uint64
	}
)

// Bounds of the listings that are remembered, and of all outputs in them.
const (
	maxListings = 1000
	maxListed   = 200_000
)

// remember keeps a listing for a while.
func (m *minter) remember(what listing, l listed) {
	if len(m.listings) >= maxListings || m.listedOutputs+len(l.utxos) > maxListed {
		m.forgetListings()
	}
	m.listedOutputs += len(l.utxos) - len(m.listings[what].utxos)
	m.listings[what] = l
}

func (m *minter) forgetListings() {
	clear(m.listings)
	m.listedOutputs = 0
}

// eachPlace lists the deposits at all addresses, or fails. A listing is used again for a while: whoever asks too often costs nothing.
func (u *update) eachPlace(confirmations uint32, fn func(us []found, tip uint32)) {
	m, keep := u.m, u.m.state.Config.UtxoCache
	var all []found
	left := u.places
	var tip uint32
	var next func()
	add := func(us []core.Utxo, height uint32) {
		for _, x := range us {
			all = append(all, found{Utxo: x, taproot: left[0].taproot})
		}
		tip, left = height, left[1:]
		next()
	}
	next = func() {
		if len(left) == 0 {
			fn(all, tip)
			return
		}
		what := listing{left[0].String(), confirmations}
		if l, ok := m.listings[what]; ok && m.outage == "" && m.c.Time() < l.at+keep {
			add(l.utxos, l.tip)
			return
		}
		m.getUtxos(what.address, confirmations, u.release, func(us []core.Utxo, tip uint32, err error) {
			if err != nil {
				u.fail("failed to list deposits: " + err.Error())
				return
			}
			if keep > 0 {
				m.remember(what, listed{us, tip, m.c.Time()})
			}
			add(us, tip)
		})
	}
	next()
}

// update is one run of update_balance.
type update struct {
	m       *minter
	acct    core.Account
	places  []place
	release func()
	refuse  func(UpdateBalanceError)
	fail    func(string)
	nothin  func(NoNewUtxos)
	finish  func([]UtxoStatus)

	tip     uint32
	reorgs  uint64 // of minter, when the deposits were listed
	todo    []found
	status  []UtxoStatus
	trouble string // with a check; what has an answer goes on
	code    uint64 // of GenericError; 0 for a trouble that passes
	down    bool   // the checker does not answer at all
}

func (u *update) list() {
	m := u.m
	u.reorgs = m.reorgs
	u.eachPlace(m.state.Config.Confirmations, func(us []found, tip uint32) {
		// The tip that comes with a listing is the last block that has the confirmations asked for.
		u.tip = tip + max(m.state.Config.Confirmations, 1) - 1
		for _, p := range u.places {
			for _, x := range m.state.Orphans(p.Script()) {
				us = append(us, found{x, p.taproot, true})
			}
		}
		for _, x := range us {
			if u.isNew(x.Utxo) {
				u.todo = append(u.todo, x)
			}
		}
		if len(u.todo) == 0 {
			u.explain()
			return
		}
		u.next()
	})
}

// isNew reports whether there is something to do for a deposit.
func (u *update) isNew(x core.Utxo) bool {
	op := x.Outpoint()
	if d := u.m.state.Deposit(op); d != nil {
		return d.State == core.DepositChecked || d.State == core.DepositAsked
	}
	s := u.m.state.SuspendedUtxo(op)
	return s == nil || u.m.c.Time() >= s.Since+u.m.state.Config.Suspend
}

// explain answers that there is nothing new, with what is on the way.
func (u *update) explain() {
	m := u.m
	u.eachPlace(0, func(us []found, tip uint32) {
		n := NoNewUtxos{RequiredConfirmations: m.state.Config.Confirmations}
		pending, suspended := []PendingUtxo{}, []SuspendedUtxo{}
		for _, x := range us {
			var c uint32
			if x.Height > 0 && x.Height <= tip {
				c = tip - x.Height + 1
			}
			if s := m.state.SuspendedUtxo(x.Outpoint()); s != nil {
				suspended = append(suspended, SuspendedUtxo{utxoOf(x.Utxo), reasonOf(s.Reason), s.Since + m.state.Config.Suspend})
			} else if need := m.state.Required(x.Value, tip); c < need && m.state.Deposit(x.Outpoint()) == nil {
				n.RequiredConfirmations = max(n.RequiredConfirmations, need)
				pending = append(pending, PendingUtxo{utxoOf(x.Utxo).Outpoint, x.Value, c})
				if n.CurrentConfirmations == nil || *n.CurrentConfirmations < c {
					n.CurrentConfirmations = &c
				}
			}
		}
		n.PendingUtxos, n.SuspendedUtxos = &pending, &suspended
		u.nothin(n)
	})
}

// next takes the next deposit through check and mint.
func (u *update) next() {
	m := u.m
	if len(u.todo) == 0 {
		if len(u.status) == 0 && u.code != 0 {
			u.release()
			u.refuse(UpdateBalanceError{GenericError: &GenericError{u.trouble, u.code}})
			return
		}
		if len(u.status) == 0 && u.trouble != "" {
			u.fail(u.trouble)
			return
		}
		if len(u.status) == 0 { // what there is needs more confirmations
			u.explain()
			return
		}
		u.finish(u.status)
		return
	}
	x := u.todo[0]
	u.todo = u.todo[1:]
	report := func(s UtxoStatus) {
		u.status = append(u.status, s)
		u.next()
	}
	public := utxoOf(x.Utxo)
	if m.state.Deposit(x.Outpoint()) != nil {
		u.mint(x.Utxo, report)
		return
	}
	if !u.deep(x) {
		u.next()
		return
	}
	later := func(trouble string, code uint64) { // the deposit stays as it is; the others have their turn
		if u.trouble == "" {
			u.trouble, u.code = trouble, code
		}
		u.next()
	}
	covered := func() bool { // what is not spent covers itself
		free := m.state.Surplus()
		if !x.spent || free >= x.Value {
			return true
		}
		later(fmt.Sprintf("deposit %v was minted and spent in the time that the subnet lost when it was restored from a backup, and custody does not cover that it is minted again: "+
			"the minter's controller has to pay %d satoshi to %v and call resume", x.Outpoint(), x.Value-free, m.main), 0)
		return false
	}
	if !covered() {
		return
	}
	if !x.spent && x.Value < m.state.Config.MinDeposit(m.knownFeeRate()) {
		m.emit(core.Event{SuspendedUtxo: &core.Suspension{Utxo: x.Utxo, Account: u.acct, Reason: core.ValueTooSmall}})
		report(UtxoStatus{ValueTooSmall: &public})
		return
	}
	accept := func() { // the check took time: what was true before it need not be true now
		if u.reorgs != m.reorgs {
			later("a reorganisation of Bitcoin took blocks back meanwhile: call again", 0)
			return
		}
		if !u.deep(x) {
			u.next()
			return
		}
		if !covered() { // others were minted meanwhile
			return
		}
		m.emit(core.Event{CheckedUtxo: &core.UtxoOf{Utxo: x.Utxo, Account: u.acct, Taproot: x.taproot}})
		u.mint(x.Utxo, report)
	}
	if m.state.Config.Checker == nil { // regtest only: Config.Check
		accept()
		return
	}
	if w := m.checks[x.Outpoint()]; u.down {
		later(u.trouble, 0)
		return
	} else if w != nil && m.c.Time() < w.notBefore {
		later(fmt.Sprintf("the bitcoin checker had no answer (%s); it is asked again in %d s", w.why, (w.notBefore-m.c.Time())/1e9+1), 0)
		return
	}
	m.checkTransaction(x.Txid, u.release, func(v verdict, why string) {
		if v == clean || v == tainted {
			delete(m.checks, x.Outpoint())
		} else {
			m.waitForCheck(x.Outpoint(), why)
		}
		if m.state.Deposit(x.Outpoint()) != nil { // another call was faster
			u.mint(x.Utxo, report)
			return
		}
		switch v {
		case clean:
			accept()
		case tainted:
			m.emit(core.Event{SuspendedUtxo: &core.Suspension{Utxo: x.Utxo, Account: u.acct, Reason: core.Quarantined}})
			report(UtxoStatus{Tainted: &public})
		case hopeless:
			later("the bitcoin checker cannot check "+x.Outpoint().String()+": "+why, codeCheckerFailed)
		default:
			u.down = v == silent
			later("the bitcoin checker is not available: "+why, 0)
		}
	})
}

// deep reports whether a deposit has the confirmations that its value needs now.
func (u *update) deep(x found) bool {
	return x.spent || x.Height > 0 && x.Height <= u.tip && u.tip-x.Height+1 >= u.m.state.Required(x.Value, u.tip)
}

// checkWait is when the checker may be asked again about a deposit: each question costs cycles, and anybody can make the minter ask.
type checkWait struct {
	notBefore uint64
	tries     uint
	why       string
}

// maxChecks bounds the deposits whose waits are remembered.
const maxChecks = 10_000

func (m *minter) waitForCheck(op btc.Outpoint, why string) {
	w := m.checks[op]
	if w == nil {
		if len(m.checks) >= maxChecks {
			clear(m.checks)
		}
		w = new(checkWait)
		m.checks[op] = w
	}
	w.notBefore, w.why = m.c.Time()+m.state.Config.CheckRetry<<min(w.tries, 9), why
	w.tries++
}

func (u *update) mint(x core.Utxo, report func(UtxoStatus)) {
	m := u.m
	public := utxoOf(x)
	op := x.Outpoint()
	m.mint(op, u.release, func() {
		d := m.state.Deposit(op)
		if d.State == core.DepositMinted {
			report(UtxoStatus{Minted: &MintedUtxo{d.Block, d.Mint.Amount, public}})
			return
		}
		report(UtxoStatus{Checked: &public})
	})
}

// mint asks the ledger to mint a deposit that passed its checks, or to say again what became of it. then runs once, when this attempt is over.
func (m *minter) mint(op btc.Outpoint, cleanup, then func()) {
	task := core.Task{Kind: core.TaskMint, Outpoint: op}
	d := m.state.Deposit(op)
	if m.tasks.Running(task) || d.State != core.DepositChecked && d.State != core.DepositAsked {
		then()
		return
	}
	first := d.State == core.DepositChecked
	if first && m.paused() != "" {
		then()
		return
	}
	if first {
		fee := min(m.state.Config.CheckFee, d.Utxo.Value-1) // the fee may have risen since the check
		m.emit(core.Event{MintAsked: &core.MintAsked{Outpoint: op, Amount: d.Utxo.Value - fee, CheckFee: fee, CreatedAt: m.state.Stamp(m.c.Time())}})
	}
	memo := core.DepositMemo(op, d.Mint.CheckFee)
	arg := transferArg{To: accountOf(d.Account), Amount: candid.NatFromUint64(d.Mint.Amount), Memo: &memo, CreatedAtTime: &d.Mint.CreatedAt}
	m.ask(task, m.c.Call(m.ledgerID(), "icrc1_transfer", arg), cleanup, func(o outcome) {
		switch {
		case o.Verdict == done:
			m.emit(core.Event{Minted: &core.Minted{Outpoint: op, BlockIndex: o.Block, Utxo: d.Utxo, Account: d.Account}})
		case o.Verdict == neverMoved || o.Verdict == notMoved && first:
			m.emit(core.Event{MintRefused: &op})
			m.logf("mint of deposit %v refused: %s", op, o.Text)
		case o.Verdict == tooOld:
			m.emit(core.Event{MintUnknown: &op})
			m.logf("mint of deposit %v has an unknown outcome: compare the ledger with the log", op)
		default:
			m.logf("mint of deposit %v is open: %s", op, o.Text)
		}
		then()
	})
}

func (m *minter) ledgerID() principal.Principal {
	return principal.MustFromBytes(m.state.Config.Ledger)
}

// ask makes a transfer call as a task and gives its outcome to fn, having noted when the task may run again.
func (m *minter) ask(task core.Task, call *cdk.Call, cleanup func(), fn func(outcome)) {
	m.tasks.Start(task)
	cdk.Then(call.OnCleanup(func() {
		m.tasks.Stop(task)
		if cleanup != nil {
			cleanup()
		}
	}), func(r transferResult, err error) {
		o := ledger.OutcomeOf(r, err)
		m.settle(task, o.Verdict == done || o.Verdict == tooOld)
		fn(o)
	})
}

// settle notes the end of a task: a failed one waits, longer each time, before it runs again.
func (m *minter) settle(task core.Task, ok bool) { m.tasks.Settle(task, ok, m.c.Time()) }
