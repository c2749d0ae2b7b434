package cdk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fusion/cdk/stable"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Canister is one canister under construction and then at work. A setup function registers methods and hooks on it; the
// runtime creates it again, with the same setup function, after every install and upgrade.
type Canister struct {
	sys     System
	methods []*method // by name

	init, preUpgrade, postUpgrade, heartbeat, lowMemory func()
	inspect                                             func(*Inspection)
	initArgs                                            []candid.Arg

	current *Msg // the message or call context that is being executed
	calls   map[uint32]*Call
	lastEnv uint32
	mark    uint32 // lastEnv when the running message began
	timers  timers
	buf     []byte // for replies, which the system copies
}

type method struct {
	name   string
	kind   candid.FuncMode // Update, Query or CompositeQuery
	hidden bool
	args   []*candid.Type
	res    []*candid.Type
	typed  bool
	run    func(*Msg)
}

// New builds a canister on a system; programs use Main, runtimes use New. A nil system gives a canister that can only be
// described.
func New(sys System, setup func(*Canister)) *Canister {
	c := &Canister{sys: sys, calls: map[uint32]*Call{}}
	c.timers.c = c
	c.add(&method{name: timerMethod, hidden: true, run: c.timers.execute})
	setup(c)
	return c
}

func (c *Canister) add(m *method) {
	i, dup := c.search(m.name)
	if dup {
		panic("cdk: method " + m.name + " registered twice")
	}
	c.methods = slices.Insert(c.methods, i, m)
}

func (c *Canister) search(name string) (int, bool) {
	return slices.BinarySearchFunc(c.methods, name, func(m *method, name string) int { return strings.Compare(m.name, name) })
}

// OnInit registers what runs once when the canister is installed; the argument is read with Arg. Init is the typed form.
func (c *Canister) OnInit(fn func()) { c.init = fn }

// OnPostUpgrade registers what runs after an upgrade, on a fresh heap over the old stable memory.
func (c *Canister) OnPostUpgrade(fn func()) { c.postUpgrade = fn }

// OnPreUpgrade registers what runs on the old code before an upgrade. A trap in it blocks every later upgrade, so a canister
// that keeps its state in stable memory has none.
func (c *Canister) OnPreUpgrade(fn func()) { c.preUpgrade = fn }

// OnHeartbeat registers what runs every block. Prefer timers.
func (c *Canister) OnHeartbeat(fn func()) { c.heartbeat = fn }

// OnLowMemory registers what runs once when the room for the heap falls below the threshold in the canister's settings
// (wasm_memory_threshold), before memory is gone.
func (c *Canister) OnLowMemory(fn func()) { c.lowMemory = fn }

// OnInspect registers the filter of ingress messages: a message that is not accepted is refused by the replica that received
// it, at no cost. It is a filter against waste, not a security check: calls from canisters pass it by.
func (c *Canister) OnInspect(fn func(*Inspection)) { c.inspect = fn }

// RawUpdate registers an update method that reads and writes bytes. Use Update where the argument is Candid.
func (c *Canister) RawUpdate(name string, fn func(*Msg)) { c.add(&method{name: name, run: fn}) }

// RawQuery registers a query method that reads and writes bytes.
func (c *Canister) RawQuery(name string, fn func(*Msg)) {
	c.add(&method{name: name, kind: candid.Query, run: fn})
}

// Arg is the raw argument of the running hook or method.
func (c *Canister) Arg() []byte { return c.sys.Arg() }

// Self is the canister's own id.
func (c *Canister) Self() principal.Principal { return c.sys.Self() }

// Time is the block time in nanoseconds since 1970. It does not change within a message.
func (c *Canister) Time() uint64 { return c.sys.Time() }

// Balance is the canister's cycles balance.
func (c *Canister) Balance() Cycles { return c.sys.Balance() }

// SetCertifiedData sets the bytes (at most 32) that the subnet certifies for this canister.
func (c *Canister) SetCertifiedData(data []byte) { c.sys.SetCertifiedData(data) }

// DataCertificate is the certificate of the certified data; only non-replicated queries have one.
func (c *Canister) DataCertificate() ([]byte, bool) { return c.sys.DataCertificate() }

// Version counts the canister's changes of code and settings, and on the Internet Computer its messages too.
func (c *Canister) Version() uint64 { return c.sys.Version() }

// IsController reports whether p may change the canister.
func (c *Canister) IsController(p principal.Principal) bool { return c.sys.IsController(p) }

// EnvVar is an environment variable of the canister, and whether it has one of that name.
func (c *Canister) EnvVar(name string) (value string, ok bool) { return c.sys.EnvVar(name) }

// recoveryVariable is where fusion's subnets say it (replica/execution, RecoveryVariable); those of the Internet Computer do not.
const recoveryVariable = "FUSION_RECOVERY"

// Recovery is the number of the subnet's last recovery from a backup, 0 before the first. A canister with custody of users' coins sees it from the first
// message after the recovery on: what it did since the backup is forgotten, and the chains are not.
func (c *Canister) Recovery() uint64 {
	text, ok := c.EnvVar(recoveryVariable)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		c.Trap("environment variable %s is %q, no number", recoveryVariable, text)
	}
	return n
}

// InReplicated is false in queries that one node answers alone.
func (c *Canister) InReplicated() bool { return c.sys.InReplicated() }

// Instructions counts the wasm instructions of the running message; it is 0 in native runs.
func (c *Canister) Instructions() uint64 { return c.sys.PerformanceCounter(0) }

// ContextInstructions counts those of all messages of the running call context, so of a call with the answers that it waited for; it is 0 in native runs.
func (c *Canister) ContextInstructions() uint64 { return c.sys.PerformanceCounter(1) }

// Print writes a line to the canister's log.
func (c *Canister) Print(format string, args ...any) { c.sys.Print(fmt.Sprintf(format, args...)) }

// Trap ends the message, undoes its effects and rejects the call with the text. It does not return.
func (c *Canister) Trap(format string, args ...any) {
	c.sys.Trap(fmt.Sprintf(format, args...))
	panic("cdk: the system returned from a trap")
}

// Stable is the stable memory, which survives upgrades. See package cdk/stable for structures on it.
func (c *Canister) Stable() stable.Memory { return c.sys.Stable() }

// Inspection is an ingress message before it is admitted.
type Inspection struct{ c *Canister }

// Method is the name of the method that is called.
func (i *Inspection) Method() string { return i.c.sys.MethodName() }

// Caller is the sender of the message.
func (i *Inspection) Caller() principal.Principal { return i.c.sys.Caller() }

// Arg is the raw argument.
func (i *Inspection) Arg() []byte { return i.c.sys.Arg() }

// Accept admits the message; without it the message is refused.
func (i *Inspection) Accept() { i.c.sys.AcceptMessage() }

// Entry is a way into a canister. The numbers are part of the contract between this package and package cdk/link.
type Entry int32

// The entries: lifecycle hooks, system tasks, methods by index in Description.Methods, and the three callbacks by env.
const (
	EntryInit Entry = iota
	EntryPreUpgrade
	EntryPostUpgrade
	EntryHeartbeat
	EntryTimer
	EntryInspect
	EntryMethod
	EntryReply
	EntryReject
	EntryCleanup
	EntryLowMemory
)

// Run executes one entry. Runtimes call it; a trap unwinds by whatever System.Trap does.
func (c *Canister) Run(e Entry, n uint32) {
	c.current, c.mark = nil, c.lastEnv
	switch e {
	case EntryInit:
		call(c.init)
	case EntryPreUpgrade:
		call(c.preUpgrade)
	case EntryPostUpgrade:
		// Answers to calls of the instance before this one may still come. They must not find calls of this one, so it counts from
		// another number: the time in units of about a millisecond, which runs ahead of any count of calls.
		c.lastEnv = uint32(c.sys.Time() >> 20)
		c.mark = c.lastEnv
		call(c.postUpgrade)
	case EntryHeartbeat:
		call(c.heartbeat)
	case EntryTimer:
		c.timers.fire()
	case EntryInspect:
		if c.inspect != nil {
			c.inspect(&Inspection{c})
		}
	case EntryMethod:
		if n >= uint32(len(c.methods)) {
			c.Trap("cdk: method index %d of %d", n, len(c.methods))
		}
		m := c.methods[n]
		c.current = &Msg{c: c, method: m.name}
		m.run(c.current)
	case EntryLowMemory:
		call(c.lowMemory)
	case EntryReply, EntryReject, EntryCleanup:
		c.callback(e, n)
	default:
		c.Trap("cdk: unknown entry %d", e)
	}
	c.current = nil
}

func call(fn func()) {
	if fn != nil {
		fn()
	}
}

// Msg is one call of an update or query method. It stays valid in the callbacks of calls made while handling it, and answers
// only from there.
type Msg struct {
	c       *Canister
	method  string
	caller  principal.Principal
	known   bool
	replied bool
}

// Canister is the canister that was called.
func (m *Msg) Canister() *Canister { return m.c }

// Method is the name of the method.
func (m *Msg) Method() string { return m.method }

// Caller is the principal that sent the call.
func (m *Msg) Caller() principal.Principal {
	if !m.known {
		m.own("caller")
		m.caller, m.known = m.c.sys.Caller(), true
	}
	return m.caller
}

// CallerInfo is what a canister, the signer, vouches for about the user who sent the call; ok is false when there is nothing of the
// kind. Whether to believe the signer is for this canister to decide.
func (m *Msg) CallerInfo() (data []byte, signer principal.Principal, ok bool) {
	m.own("caller information")
	data, signer = m.c.sys.CallerInfo()
	return data, signer, !signer.IsManagement()
}

// Reply answers the call with bytes.
func (m *Msg) Reply(data []byte) {
	m.own("reply")
	m.replied = true
	m.c.sys.Reply(data)
}

// Reject answers the call with reject code CanisterReject. Effects of the message stay; Canister.Trap undoes them.
func (m *Msg) Reject(format string, args ...any) {
	m.own("reject")
	m.replied = true
	m.c.sys.Reject(fmt.Sprintf(format, args...))
}

// Replied reports whether the call was answered.
func (m *Msg) Replied() bool { return m.replied }

// CyclesAvailable is what the caller attached and was not yet accepted.
func (m *Msg) CyclesAvailable() Cycles { m.own("cycles"); return m.c.sys.CyclesAvailable() }

// AcceptCycles moves at most max of the attached cycles to the canister and returns the amount moved.
func (m *Msg) AcceptCycles(max Cycles) Cycles { m.own("cycles"); return m.c.sys.AcceptCycles(max) }

// own guards against answering one call from another's context, which the system would attribute to the wrong caller.
func (m *Msg) own(what string) {
	if m.c.current != m {
		m.c.Trap("cdk: %s of a call to %s used outside its context", what, m.method)
	}
}

// Lookup finds the index and kind of a method for EntryMethod.
func (c *Canister) Lookup(name string) (index uint32, kind candid.FuncMode, ok bool) {
	i, ok := c.search(name)
	if !ok {
		return 0, 0, false
	}
	return uint32(i), c.methods[i].kind, true
}
