package cdk

import (
	"fmt"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Call is an inter-canister call being prepared. Nothing is sent before Then (or the function Then).
//
// Each callback runs as a message of its own, possibly many blocks later, with other messages in between: check state again.
// Outstanding callbacks live on the heap, so an upgrade must wait until the canister is stopped, and an upgrade without
// stopping drops them.
type Call struct {
	c       *Canister
	out     Outgoing
	encode  error
	msg     *Msg
	reply   func([]byte)
	reject  func(*RejectError)
	cleanup func()
}

// Call prepares a call with Candid arguments.
func (c *Canister) Call(to principal.Principal, method string, args ...any) *Call {
	arg, err := candid.Marshal(args...)
	k := c.CallRaw(to, method, arg)
	k.encode = err
	return k
}

// CallRaw prepares a call with an encoded argument.
func (c *Canister) CallRaw(to principal.Principal, method string, arg []byte) *Call {
	return &Call{c: c, msg: c.current, out: Outgoing{To: to, Method: method, Arg: arg}}
}

// WithCycles attaches cycles; what the callee does not accept comes back (Canister.Refunded).
func (k *Call) WithCycles(n Cycles) *Call { k.out.Cycles = n; return k }

// BestEffort gives up waiting after the given time; the outcome may then be SysUnknown. Never use it to move money.
func (k *Call) BestEffort(seconds uint32) *Call { k.out.TimeoutSeconds = seconds; return k }

// OnCleanup registers what runs when a callback of this call traps. The trap undid everything the callback did; cleanup is the
// place to release locks taken before the call. It cannot make calls or answer.
func (k *Call) OnCleanup(fn func()) *Call { k.cleanup = fn; return k }

// Then sends the call. Exactly one of the functions runs, once; either may be nil. When the call cannot be sent (queue full,
// cycles missing, argument not encodable) reject runs before Then returns, with SysTransient or SysFatal.
func (k *Call) Then(reply func(data []byte), reject func(*RejectError)) {
	if k.encode != nil {
		k.failed(reject, SysFatal, fmt.Sprintf("encode arguments of %s: %v", k.out.Method, k.encode))
		return
	}
	k.reply, k.reject = reply, reject
	c := k.c
	for {
		c.lastEnv++
		if _, used := c.calls[c.lastEnv]; !used {
			break
		}
	}
	k.out.Env = c.lastEnv
	c.calls[k.out.Env] = k
	if !c.sys.Call(k.out) {
		delete(c.calls, k.out.Env)
		k.failed(reject, SysTransient, "call to "+k.out.Method+" could not be enqueued")
		return
	}
	k.out.Arg = nil // the system has its copy; do not keep another for the life of the call
}

func (k *Call) failed(reject func(*RejectError), code RejectCode, text string) {
	if reject != nil {
		reject(&RejectError{code, text})
	}
}

// Then sends a call whose reply is one Candid value (None for a reply without values, Args2 or Args3 for more). The error is a
// *RejectError, or a decoding error when the callee replied with something else.
func Then[R any](k *Call, done func(R, error)) {
	k.Then(func(data []byte) {
		var r R
		err := decode(data, &r)
		if err != nil {
			err = fmt.Errorf("decode reply of %s: %w", k.out.Method, err)
		}
		done(r, err)
	}, func(e *RejectError) {
		var zero R
		done(zero, e)
	})
}

// Refunded is the part of the attached cycles that came back; it has a meaning inside callbacks only.
func (c *Canister) Refunded() Cycles { return c.sys.CyclesRefunded() }

// Outstanding is the number of calls whose callback has not run.
func (c *Canister) Outstanding() int { return len(c.calls) }

func (c *Canister) callback(e Entry, env uint32) {
	k := c.calls[env]
	if k == nil {
		c.Trap("cdk: callback %d is not outstanding (was the canister upgraded while calls were open?)", env)
	}
	if e == EntryCleanup {
		delete(c.calls, env)
	}
	c.current = k.msg
	switch {
	case e == EntryReply && k.reply != nil:
		k.reply(c.sys.Arg())
	case e == EntryReject && k.reject != nil:
		k.reject(&RejectError{c.sys.RejectCode(), c.sys.RejectMessage()})
	case e == EntryCleanup && k.cleanup != nil:
		k.cleanup()
	}
	// After a trap the call is still here for the cleanup entry to find, on a machine that undoes the heap and on one that does not.
	delete(c.calls, env)
}

// Undo forgets the calls that the last message prepared. It is for runtimes that cannot undo the heap when a message traps.
func (c *Canister) Undo() {
	for ; c.lastEnv != c.mark; c.lastEnv-- {
		delete(c.calls, c.lastEnv)
	}
}
