package orchestrator

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"fusion/cdk"
	"fusion/ckledger/icrc"
	ix "fusion/ckledger/index"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

const (
	// atOnce is how many suites are worked on at a time.
	atOnce = 10
	// firstPause and longestPause bound the time until a step that failed is tried again.
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	// topUpEvery is how often the cycles of all canisters are looked at.
	topUpEvery = time.Hour
	// lookEvery is how often the orchestrator looks for work without a reason: a timer whose message traps is gone.
	lookEvery = time.Minute
)

// errLost is the outcome that nobody knows.
var errLost = errors.New("the outcome of creating a canister is unknown")

// server is the canister around a State. Everything but the state is forgotten by an upgrade, and must be.
type server struct {
	c       *cdk.Canister
	s       *State
	timer   cdk.TimerID
	work    map[int]*task
	topUpAt uint64
	topping bool

	observe func(what) // tests: runs before every event
}

// task is what a suite is at.
type task struct {
	running   bool
	tries     uint
	notBefore uint64
	problem   string
}

// Canister is the orchestrator as a canister: the setup function for cdk.Main and cdk/native.
func Canister(c *cdk.Canister) { register(c) }

func register(c *cdk.Canister) *server {
	o := &server{c: c}
	cdk.Init(c, func(a Arg) {
		if a.InitArg == nil {
			c.Trap("a new orchestrator needs InitArg")
		}
		var err error
		o.s, err = Create(c.Stable(), *a.InitArg, c.Time())
		o.start(err)
	})
	cdk.PostUpgrade(c, func(a *Arg) {
		var err error
		o.s, err = Open(c.Stable())
		switch {
		case err != nil || a == nil:
		case a.UpgradeArg != nil:
			err = o.s.Upgrade(c.Time(), *a.UpgradeArg)
		case a.AddErc20Arg != nil:
			err = o.s.Add(c.Time(), *a.AddErc20Arg)
		default:
			c.Trap("an upgrade takes UpgradeArg, AddErc20Arg or nothing")
		}
		o.start(err)
	})

	cdk.Query(c, "canister_ids", func(_ *cdk.Msg, a Erc20Contract) *ManagedCanisterIDs { return o.s.IDs(a) })
	cdk.Query(c, "get_orchestrator_info", func(*cdk.Msg, cdk.None) Info {
		return o.s.Info(func(i int) string {
			if t := o.work[i]; t != nil {
				return t.problem
			}
			return ""
		})
	})
	cdk.UpdateAsync(c, "get_canister_status", func(_ *cdk.Msg, _ cdk.None, out *cdk.Reply[CanisterStatus]) {
		c.CanisterStatus(c.Self(), func(s CanisterStatus, err error) {
			if err != nil {
				out.Reject("canister_status: %v", err)
				return
			}
			out.Send(s)
		})
	})

	// What is ours. On public networks the controller is whoever governs upgrades.
	cdk.Update(c, "upload_module_chunk", func(m *cdk.Msg, chunk []byte) UploadResult {
		o.controllers(m)
		h, err := o.s.Upload(c.Time(), chunk)
		if text := o.refusal(err); text != nil {
			return UploadResult{Err: text}
		}
		sum := h[:]
		return UploadResult{Ok: &sum}
	})
	cdk.Update(c, "register_module", func(m *cdk.Msg, a RegisterModuleArg) Result {
		o.controllers(m)
		return o.result(o.s.Register(c.Time(), a))
	})
	cdk.Update(c, "add_erc20", func(m *cdk.Msg, a AddErc20Arg) Result {
		o.controllers(m)
		return o.result(o.s.Add(c.Time(), a))
	})
	cdk.Query(c, "get_modules", func(*cdk.Msg, cdk.None) []ModuleInfo { return o.s.Modules() })
	return o
}

func (o *server) controllers(m *cdk.Msg) {
	if !o.c.IsController(m.Caller()) {
		o.c.Trap("only controllers may call %s", m.Method())
	}
}

// refusal is the text of a mistake of the caller, which changed nothing. Any other error must undo the message.
func (o *server) refusal(err error) *string {
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrArgument) {
		o.c.Trap("%v", err)
	}
	text := err.Error()
	return &text
}

func (o *server) result(err error) Result {
	if text := o.refusal(err); text != nil {
		return Result{Err: text}
	}
	o.schedule()
	return Result{Ok: candid.Unit}
}

func (o *server) start(err error) {
	if err != nil {
		o.c.Trap("%v", err)
	}
	o.work = map[int]*task{}
	o.topUpAt = o.c.Time() + uint64(topUpEvery)
	o.c.Every(lookEvery, o.tick)
	o.schedule()
}

// emit writes an event. It traps, which undoes the message, if the event does not fit.
func (o *server) emit(w what) {
	if o.observe != nil {
		o.observe(w)
	}
	if err := o.s.emit(o.c.Time(), w); err != nil {
		o.c.Trap("%v", err)
	}
}

// schedule sets the timer to when there is something to do.
func (o *server) schedule() {
	at := o.topUpAt
	running := 0
	for _, t := range o.work {
		if t.running {
			running++
		}
	}
	if running < atOnce {
		for i, n := range o.s.suites {
			if st, _ := o.s.next(n); st != nothing && !o.at(i).running {
				at = min(at, o.at(i).notBefore)
			}
		}
	}
	now := o.c.Time()
	o.c.Cancel(o.timer)
	o.timer = o.c.After(time.Duration(max(at, now)-now), o.tick)
}

func (o *server) at(i int) *task {
	if o.work[i] == nil {
		o.work[i] = &task{}
	}
	return o.work[i]
}

func (o *server) tick() {
	running := 0
	for _, t := range o.work {
		if t.running {
			running++
		}
	}
	for i, n := range o.s.suites {
		if running >= atOnce {
			break
		}
		t := o.at(i)
		st, at := o.s.next(n)
		if st == nothing || t.running || t.notBefore > o.c.Time() {
			continue
		}
		t.running = true
		running++
		o.do(i, st, at)
	}
	if !o.topping && o.topUpAt <= o.c.Time() {
		o.topUpAt = o.c.Time() + uint64(topUpEvery)
		o.topping = true
		o.discover(0)
	}
	o.schedule()
}

// done ends a step.
func (o *server) done(i int, err error) {
	t := o.at(i)
	t.running = false
	if err != nil {
		t.notBefore = o.c.Time() + uint64(min(firstPause<<min(t.tries, 16), longestPause))
		t.tries++
		if text := err.Error(); text != t.problem {
			t.problem = text
			o.c.Print("token %s: %s; tried again", o.s.suites[i].symbol, text)
		}
	} else {
		*t = task{}
	}
	o.schedule()
}

// call prepares a call of a step; should its callback trap, the step ends and is found as it is later.
func (o *server) call(i int, to principal.Principal, method string, args ...any) *cdk.Call {
	return o.c.Call(to, method, args...).OnCleanup(func() { o.done(i, fmt.Errorf("%s: the answer could not be taken in", method)) })
}

func (o *server) do(i int, st step, at target) {
	n, k := o.s.suites[i], at.kind
	about := func(id *principal.Principal, h *hash, why string) *canisterEvent {
		e := &canisterEvent{Suite: uint64(i), Kind: k.public(), ID: id}
		if h != nil {
			sum := h[:]
			e.Hash = &sum
		}
		if why != "" {
			e.Why = &why
		}
		return e
	}
	switch st {
	case lose:
		o.emit(what{Lost: about(nil, nil, "")})
		o.done(i, fmt.Errorf("%w (%s); another one is created", errLost, k))

	case create:
		controllers := append([]principal.Principal{o.c.Self()}, o.s.cfg.MoreControllerIDs...)
		slices.SortFunc(controllers, principal.Principal.Compare)
		controllers = slices.Compact(controllers)
		cycles := o.s.cycles.ForLedger
		if k == index {
			cycles = o.s.cycles.ForIndex
		}
		o.emit(what{Creating: about(nil, nil, "")})
		call := o.call(i, principal.Management, "create_canister", createArgs{&canisterSettings{&controllers}}).WithCycles(cyclesOf(cycles))
		cdk.Then(call, func(r canisterID, err error) {
			var rej *cdk.RejectError
			switch {
			case err == nil:
				o.emit(what{Created: about(&r.CanisterID, nil, "")})
			case errors.As(err, &rej) && rej.Code != cdk.SysUnknown:
				o.emit(what{NotCreated: about(nil, nil, err.Error())})
				err = fmt.Errorf("create a canister for the %s: %w", k, err)
			default:
				o.emit(what{Lost: about(nil, nil, err.Error())})
				err = fmt.Errorf("%w (%s): %w", errLost, k, err)
			}
			o.done(i, err)
		})

	case install:
		o.status(i, at, func(s cdk.CanisterStatus) {
			switch {
			case s.ModuleHash == nil:
				then := func(arg any) {
					o.install(i, at, installMode{Install: candid.Unit}, candid.MustMarshal(arg), func(err error) {
						if err == nil {
							o.emit(what{Installed: about(nil, &at.want, "")})
						}
						o.done(i, err)
					})
				}
				if k == index {
					then(&ix.Arg{Init: &ix.InitArg{LedgerID: *n.members[ledger].id}})
					return
				}
				var chunks []uint64
				if n.archive != nil {
					chunks = o.s.modules[*n.archive].chunks
				}
				o.upload(i, chunks, func() { then(o.s.ledgerArg(o.c.Self(), n)) })
			case string(*s.ModuleHash) == string(at.want[:]):
				o.emit(what{Installed: about(nil, &at.want, "")})
				o.done(i, nil)
			default:
				o.done(i, fmt.Errorf("canister %s, created for a %s, holds module %x, which is not ours", at.id, k, *s.ModuleHash))
			}
		})

	case notify:
		minter, id := *o.s.cfg.MinterID, *n.members[ledger].id
		cdk.Then(o.call(i, minter, "get_minter_info"), func(r minterInfo, err error) {
			if err != nil {
				o.done(i, fmt.Errorf("ask minter %s for its tokens: %w", minter, err))
				return
			}
			if r.Supported != nil && slices.ContainsFunc(*r.Supported, func(t ckErc20Token) bool { return t.LedgerID == id }) {
				o.emit(what{Notified: about(nil, nil, "")})
				o.done(i, nil)
				return
			}
			token := addCkErc20Token{n.contract.ChainID, n.contract.Address, n.symbol, id}
			cdk.Then(o.call(i, minter, "add_ckerc20_token", token), func(_ cdk.None, err error) {
				if err != nil {
					o.done(i, fmt.Errorf("tell minter %s: %w", minter, err))
					return
				}
				o.emit(what{Notified: about(nil, nil, "")})
				o.done(i, nil)
			})
		})

	case upgrade:
		o.status(i, at, func(s cdk.CanisterStatus) {
			switch {
			case s.ModuleHash == nil:
				o.done(i, fmt.Errorf("canister %s, the %s, has no code to upgrade", at.id, k))
			case string(*s.ModuleHash) != string(at.want[:]):
				if s.Status.Stopped == nil {
					o.manage(i, at, "stop_canister", func() { o.upgrade(i, at) })
					return
				}
				o.upgrade(i, at)
			case s.Status.Running == nil:
				o.manage(i, at, "start_canister", func() { o.done(i, nil) })
			default:
				id := at.id
				if k != archive {
					id = nil // the suite has one of the kind
				}
				o.emit(what{Installed: about(id, &at.want, "")})
				o.done(i, nil)
			}
		})
	}
}

// upload puts the chunks of the module for archives into the chunk store of a ledger, where those are that it has already.
func (o *server) upload(i int, chunks []uint64, then func()) {
	if len(chunks) == 0 {
		then()
		return
	}
	id := *o.s.suites[i].members[ledger].id
	args := uploadArgs{id, o.s.chunks.Get(chunks[0], nil)}
	cdk.Then(o.call(i, principal.Management, "upload_chunk", args), func(_ chunkHash, err error) {
		if err != nil {
			o.done(i, fmt.Errorf("upload the archives' module to %s, the ledger: %w", id, err))
			return
		}
		o.upload(i, chunks[1:], then)
	})
}

// upgrade upgrades a stopped canister and starts it, whatever comes of it. The step is done when the next one finds it so.
func (o *server) upgrade(i int, at target) {
	o.install(i, at, installMode{Upgrade: new(*upgradeOptions)}, candid.MustMarshal(), func(failed error) {
		cdk.Then(o.call(i, principal.Management, "start_canister", canisterID{*at.id}), func(_ cdk.None, err error) {
			o.done(i, errors.Join(failed, err))
		})
	})
}

// status asks how a canister of a suite is.
func (o *server) status(i int, at target, then func(cdk.CanisterStatus)) {
	cdk.Then(o.call(i, principal.Management, "canister_status", canisterID{*at.id}), func(s cdk.CanisterStatus, err error) {
		if err != nil {
			o.done(i, fmt.Errorf("status of %s, the %s: %w", at.id, at.kind, err))
			return
		}
		then(s)
	})
}

func (o *server) manage(i int, at target, method string, then func()) {
	cdk.Then(o.call(i, principal.Management, method, canisterID{*at.id}), func(_ cdk.None, err error) {
		if err != nil {
			o.done(i, fmt.Errorf("%s of %s, the %s: %w", method, at.id, at.kind, err))
			return
		}
		then()
	})
}

func (o *server) install(i int, at target, mode installMode, arg []byte, then func(error)) {
	args := installArgs{mode, *at.id, o.s.join(o.s.modules[at.want].chunks), arg}
	cdk.Then(o.call(i, principal.Management, "install_code", args), func(_ cdk.None, err error) {
		if err != nil {
			err = fmt.Errorf("install %x in %s, the %s: %w", at.want, at.id, at.kind, err)
		}
		then(err)
	})
}

func cyclesOf(n candid.Nat) cdk.Cycles {
	hi, lo, _ := n.Uint128() // checked when it was set
	return cdk.Cycles{Hi: hi, Lo: lo}
}

func (o *server) all() (ids []principal.Principal) {
	for _, n := range o.s.suites {
		for k := range kinds {
			if id := n.members[k].id; id != nil {
				ids = append(ids, *id)
			}
		}
		ids = append(ids, n.archiveIDs()...)
	}
	return ids
}

// discover asks the ledgers, from suite i on, for the archives that they have made, and goes on to give all canisters cycles.
func (o *server) discover(i int) {
	for i < len(o.s.suites) && o.s.suites[i].members[ledger].installed == nil {
		i++
	}
	if i >= len(o.s.suites) {
		o.topUp(o.all())
		return
	}
	id := *o.s.suites[i].members[ledger].id
	call := o.c.Call(id, "icrc3_get_archives", icrc.GetArchivesArgs{}).OnCleanup(func() { o.topping = false })
	cdk.Then(call, func(list []canisterID, err error) {
		ids := []principal.Principal{}
		for _, a := range list {
			ids = append(ids, a.CanisterID)
		}
		if err == nil {
			err = o.s.listed(o.c.Time(), i, ids)
		}
		if err != nil {
			o.c.Print("archives of %s: %v", id, err)
		}
		o.discover(i + 1)
	})
}

// topUp gives cycles to those canisters that have less than the increment, one after the other, as long as the orchestrator keeps twice that.
func (o *server) topUp(ids []principal.Principal) {
	if len(ids) == 0 {
		o.topping = false
		return
	}
	id, rest := ids[0], ids[1:]
	stop := func() { o.topping = false }
	next := func(err error) {
		if err != nil {
			o.c.Print("top-up of %s: %v", id, err)
		}
		o.topUp(rest)
	}
	cdk.Then(o.c.Call(principal.Management, "canister_status", canisterID{id}).OnCleanup(stop), func(s cdk.CanisterStatus, err error) {
		increment := cyclesOf(o.s.cycles.TopUpIncrement)
		if err != nil || s.Cycles.Cmp(o.s.cycles.TopUpIncrement) >= 0 {
			next(err)
			return
		}
		if o.c.Balance().Cmp(increment.Add(increment).Add(increment)) < 0 {
			next(fmt.Errorf("it has %s cycles, and the orchestrator too few to give it %s", s.Cycles, increment))
			return
		}
		call := o.c.Call(principal.Management, "deposit_cycles", canisterID{id}).WithCycles(increment).OnCleanup(stop)
		cdk.Then(call, func(_ cdk.None, err error) { next(err) })
	})
}
