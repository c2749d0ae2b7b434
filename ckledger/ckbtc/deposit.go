package ckbtc

import (
	"errors"

	"fusion/btc"
	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
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
	if m.updating[acct] {
		refuse(UpdateBalanceError{AlreadyProcessing: candid.Unit})
		return
	}
	if len(m.updating) >= maxConcurrent {
		unavailable("too many concurrent update_balance requests")
		return
	}
	m.updating[acct] = true
	release := func() { delete(m.updating, acct) }
	u := &update{m: m, acct: acct, release: release,
		fail:   func(text string) { release(); unavailable(text) },
		nothin: func(n NoNewUtxos) { release(); refuse(UpdateBalanceError{NoNewUtxos: &n}) },
		finish: func(s []UtxoStatus) { release(); out.Send(UpdateBalanceResult{Ok: &s}) }}
	m.withKey(release, func(k *core.PublicKey, err error) {
		var addr btc.Address
		if err == nil {
			addr, err = k.Address(m.state.Config.Network, acct)
		}
		if err != nil {
			u.fail("the minter's key is not available: " + err.Error())
			return
		}
		u.address = addr.String()
		u.list()
	})
}

// update is one run of update_balance.
type update struct {
	m       *minter
	acct    core.Account
	address string
	release func()
	fail    func(string)
	nothin  func(NoNewUtxos)
	finish  func([]UtxoStatus)

	todo   []core.Utxo
	status []UtxoStatus
}

func (u *update) list() {
	m := u.m
	m.getUtxos(u.address, m.state.Config.Confirmations, u.release, func(us []core.Utxo, _ uint32, err error) {
		if err != nil {
			u.fail("failed to list deposits: " + err.Error())
			return
		}
		for _, x := range us {
			if u.isNew(x) {
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
	return s == nil || u.m.c.Time() >= s.Since+core.RetryAfter
}

// explain answers that there is nothing new, with what is on the way.
func (u *update) explain() {
	m := u.m
	m.getUtxos(u.address, 0, u.release, func(us []core.Utxo, tip uint32, err error) {
		if err != nil {
			u.fail("failed to list deposits: " + err.Error())
			return
		}
		n := NoNewUtxos{RequiredConfirmations: m.state.Config.Confirmations}
		pending, suspended := []PendingUtxo{}, []SuspendedUtxo{}
		for _, x := range us {
			var c uint32
			if x.Height > 0 && x.Height <= tip {
				c = tip - x.Height + 1
			}
			if s := m.state.SuspendedUtxo(x.Outpoint()); s != nil {
				suspended = append(suspended, SuspendedUtxo{utxoOf(x), reasonOf(s.Reason), s.Since + core.RetryAfter})
			} else if c < n.RequiredConfirmations && m.state.Deposit(x.Outpoint()) == nil {
				pending = append(pending, PendingUtxo{utxoOf(x).Outpoint, x.Value, c})
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
		u.finish(u.status)
		return
	}
	x := u.todo[0]
	u.todo = u.todo[1:]
	report := func(s UtxoStatus) {
		u.status = append(u.status, s)
		u.next()
	}
	public := utxoOf(x)
	if m.state.Deposit(x.Outpoint()) != nil {
		u.mint(x, report)
		return
	}
	if x.Value < m.state.Config.MinDeposit(m.knownFeeRate()) {
		m.emit(core.Event{SuspendedUtxo: &core.Suspension{Utxo: x, Account: u.acct, Reason: core.ValueTooSmall}})
		report(UtxoStatus{ValueTooSmall: &public})
		return
	}
	accept := func() {
		m.emit(core.Event{CheckedUtxo: &core.UtxoOf{Utxo: x, Account: u.acct}})
		u.mint(x, report)
	}
	if m.state.Config.Checker == nil { // regtest only: Config.Check
		accept()
		return
	}
	m.checkTransaction(x.Txid, u.release, func(clean bool, err error) {
		switch {
		case err != nil:
			u.fail("the bitcoin checker is not available: " + err.Error())
		case clean:
			accept()
		default:
			m.emit(core.Event{SuspendedUtxo: &core.Suspension{Utxo: x, Account: u.acct, Reason: core.Quarantined}})
			report(UtxoStatus{Tainted: &public})
		}
	})
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
	if m.running[task] || d.State != core.DepositChecked && d.State != core.DepositAsked {
		then()
		return
	}
	first := d.State == core.DepositChecked
	if first {
		fee := min(m.state.Config.CheckFee, d.Utxo.Value-1) // the fee may have risen since the check
		m.emit(core.Event{MintAsked: &core.MintAsked{Outpoint: op, Amount: d.Utxo.Value - fee, CheckFee: fee, CreatedAt: m.state.Stamp(m.c.Time())}})
	}
	memo := core.DepositMemo(op, d.Mint.CheckFee)
	arg := transferArg{To: accountOf(d.Account), Amount: candid.NatFromUint64(d.Mint.Amount), Memo: &memo, CreatedAtTime: &d.Mint.CreatedAt}
	m.ask(task, m.c.Call(m.ledger(), "icrc1_transfer", arg), cleanup, func(o outcome) {
		switch {
		case o.verdict == done:
			m.emit(core.Event{Minted: &core.Minted{Outpoint: op, BlockIndex: o.block, Utxo: d.Utxo, Account: d.Account}})
		case o.verdict == neverMoved || o.verdict == notMoved && first:
			m.emit(core.Event{MintRefused: &op})
			m.c.Print("mint of deposit %v refused: %s", op, o.text)
		case o.verdict == tooOld:
			m.emit(core.Event{MintUnknown: &op})
			m.c.Print("mint of deposit %v has an unknown outcome: compare the ledger with the log", op)
		default:
			m.c.Print("mint of deposit %v is open: %s", op, o.text)
		}
		then()
	})
}

func (m *minter) ledger() principal.Principal { return principal.MustFromBytes(m.state.Config.Ledger) }

// ask makes a transfer call as a task and gives its outcome to fn, having noted when the task may run again.
func (m *minter) ask(task core.Task, call *cdk.Call, cleanup func(), fn func(outcome)) {
	m.running[task] = true
	stop := func() { delete(m.running, task) }
	cdk.Then(call.OnCleanup(func() {
		stop()
		if cleanup != nil {
			cleanup()
		}
	}), func(r transferResult, err error) {
		stop()
		var reject *cdk.RejectError
		if err == nil && r.Ok == nil && r.Err == nil || errors.As(err, &reject) && reject.Code == cdk.SysUnknown {
			err = errors.New("no outcome")
		}
		o := outcomeOf(r, err)
		m.settle(task, o.verdict == done || o.verdict == tooOld)
		fn(o)
	})
}

// settle notes the end of a task: a failed one waits, longer each time, before it runs again.
func (m *minter) settle(task core.Task, ok bool) {
	if ok {
		delete(m.notBefore, task)
		delete(m.tries, task)
		return
	}
	const first, most = uint64(2e9), uint64(3600e9)
	wait := min(first<<min(m.tries[task], 12), most)
	m.tries[task]++
	m.notBefore[task] = m.c.Time() + wait
}
