package execution

import (
	"encoding/binary"
	"errors"
	"fmt"

	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
)

// A canister that is implemented in Go answers a call at once, or asks first. Then the executor opens a system call for each of its questions and
// keeps what the canister wants to know when it goes on, its state, with the caller and the cycles: a dialogue. When the last answer has come the
// canister goes on with the state and the answers, and may answer the call or ask again. Everything about a dialogue is in the store. A caller that
// is gone meanwhile, or has given up waiting, is a matter of responding, as with every call.
const (
	maxAsks   = 32 // questions at a time
	maxPhases = 64 // times that a canister may ask for one call

	answerWork = 50 // charged to the round's budget for each byte that a canister has to read: some 50 ns
)

// Ask is a question of a canister to the world outside the subnet. What it means is a matter between the canister and the caller of Round.
type Ask struct {
	_        struct{} `cbor:",toarray"`
	Kind     uint8
	Data     []byte
	MaxReply uint64 // bytes
}

// NativeCall is a call of a canister that is implemented in Go.
type NativeCall struct {
	Method string
	Arg    []byte
	Caller principal.Principal
	Cycles Cycles // attached
	// Balance is what the canister has already; queries are not told.
	Balance Cycles
	TimeNs  uint64
	Nodes   int  // of the subnet, which prices depend on
	User    bool // a user's message, which brings no cycles
	Query   bool // a query: not replicated, may run at the same time as anything else, must not change state
}

// NativeAnswer is the answer to an Ask: a rejection if Reject is set, else Reply.
type NativeAnswer struct {
	_      struct{} `cbor:",toarray"`
	Reply  []byte
	Reject *Reject
}

// NativeResume lets a canister go on with a call for which it asked: Answers are in the order of its Asks.
type NativeResume struct {
	State   []byte
	Answers []NativeAnswer
	Caller  principal.Principal
	Cycles  Cycles // attached to the call
	TimeNs  uint64
	Nodes   int
	User    bool
}

// NativeResult is the outcome: a rejection if Reject is set, else Reply. CyclesUsed is kept of the attached cycles; the rest
// goes back. With Burn the canister's balance, what it keeps of this call included, is burnt. With Asks it is no outcome yet: Resume will be called with
// State and the answers.
type NativeResult struct {
	Reply      []byte
	CyclesUsed Cycles
	Burn       bool
	Reject     *Reject
	Asks       []Ask // at most 32
	State      []byte
	// Invoke, without Asks, is a call of another canister of the subnet; its answer is the only one that Resume is given. The callee sees the
	// canister as its caller, as with a call of any canister.
	Invoke *Invocation
}

// Invocation is a call that a canister implemented in Go makes.
type Invocation struct {
	Canister principal.Principal // or the management canister
	Method   string
	Arg      []byte
}

func (out *NativeResult) goesOn() bool { return len(out.Asks) > 0 || out.Invoke != nil }

// Native is a canister implemented in Go, such as the Bitcoin canister. Call is deterministic and, unless Query is set, runs
// inside Round.
type Native interface {
	Call(NativeCall) NativeResult
}

// Asker is a Native whose results may have Asks or Invoke. Resume is as Call.
type Asker interface {
	Native
	Resume(NativeResume) NativeResult
}

// Inspector is a Native that refuses users' messages before they get into a block. It may be called at any time, by any goroutine.
type Inspector interface {
	Inspect(caller principal.Principal, method string) *Reject
}

// OutcallPrice is what an HTTPS outcall costs on a subnet of so many nodes.
func OutcallPrice(nodes int, requestBytes, responseBytes uint64) Cycles {
	return prices{uint64(nodes)}.httpOutcall(requestBytes, responseBytes)
}

// dialogue is a call of a native canister that waits for answers.
type dialogue struct {
	_      struct{} `cbor:",toarray"`
	Native principalBytes
	Caller principalBytes
	Origin origin
	Cycles Cycles
	State  []byte
	Asked  uint32 // questions that are open, or answered
	Phase  uint32 // times that the canister has asked

	id      uint64 // of the first of its system calls when it began
	answers map[uint32]*NativeAnswer
	fresh   []uint32 // answers that the store does not have
	stored  []uint32 // answers that it has
	written bool     // the record as it is
	over    bool
}

func (d *dialogue) key(suffix ...byte) []byte {
	return append(append([]byte{keyDialogue}, be64(d.id)...), suffix...)
}

func (x *Executor) nodeCount() int { return int(x.nodes.Load()) }

// runNative executes a call of a canister that is implemented in Go.
func (x *Executor) runNative(c *canister, m *message) {
	x.used += messageOverhead
	x.executed(1)
	if m.Expiry != 0 && m.Expiry < x.global.TimeNs {
		x.respond(m.Origin, response{reject: reject(errIngressTimeout, "Ingress message to Canister %s timed out before it was executed", c.id)}, m.Cycles)
		return
	}
	out := x.callNative(c, m)
	if out.goesOn() {
		d := &dialogue{Native: c.id.Bytes(), Caller: m.Caller, Origin: m.Origin, Cycles: m.Cycles, id: x.global.NextCall}
		x.dialogues[d.id] = d
		if m.Origin.Kind == originIngress {
			x.processingIngress(m.Origin)
		}
		x.ask(c, d, out)
		return
	}
	x.respond(m.Origin, response{data: out.Reply, reject: out.Reject}, x.charge(c, m.Cycles, &out))
}

// callNative makes a call.
func (x *Executor) callNative(c *canister, m *message) NativeResult {
	return c.native.Call(NativeCall{Method: m.Method, Arg: m.Data, Caller: m.Caller.principal(), Cycles: m.Cycles, Balance: c.Cycles, TimeNs: x.global.TimeNs,
		Nodes: x.nodeCount(), User: m.Origin.Kind == originIngress})
}

// charge keeps what a call cost and returns what goes back.
func (x *Executor) charge(c *canister, attached Cycles, out *NativeResult) (refund Cycles) {
	used := out.CyclesUsed.Min(attached)
	c.Cycles = c.Cycles.Add(used)
	if out.Burn {
		c.consume(forBurning, c.Cycles)
		c.Cycles = Cycles{}
	}
	c.dirty = true
	return attached.Sub(used)
}

// ask opens a system call for each of a canister's questions, or sends its call.
func (x *Executor) ask(c *canister, d *dialogue, out NativeResult) {
	if _, ok := c.native.(Asker); !ok || len(out.Asks) > maxAsks || d.Phase >= maxPhases || len(out.Asks) > 0 && out.Invoke != nil {
		panic(fmt.Sprintf("execution: canister %s asks %d questions the %dth time", c.id, len(out.Asks), d.Phase+1))
	}
	d.State, d.Asked, d.Phase = out.State, uint32(len(out.Asks)), d.Phase+1
	d.answers, d.written = map[uint32]*NativeAnswer{}, false
	x.talked = append(x.talked, d)
	for i := range out.Asks {
		x.openSystemCall(&pendingCall{Kind: Asking, Caller: d.Caller, Ask: &out.Asks[i], Dialogue: d.id, Question: uint32(i)})
	}
	if v := out.Invoke; v != nil {
		d.Asked = 1
		x.global.NextCall++ // as a system call would: the id of the dialogue is not given again
		x.route(v.Canister, &message{Method: v.Method, Data: v.Arg, Caller: c.id.Bytes(), Origin: origin{Kind: originNative, ID: c.id.Bytes(), Callback: d.id}})
	}
}

// answered takes the answer to a question; with the last one the canister goes on.
func (x *Executor) answered(p *pendingCall, r *SystemResponse) {
	d := x.dialogues[p.Dialogue]
	if d == nil {
		panic(fmt.Sprintf("execution: system call %d is of dialogue %d, which is not there", p.id, p.Dialogue))
	}
	a := &NativeAnswer{Reply: r.Reply}
	switch {
	case r.RejectCode != 0:
		a = &NativeAnswer{Reject: &Reject{Code: r.RejectCode, Message: r.RejectMessage}}
	case uint64(len(r.Reply)) > p.Ask.MaxReply:
		a = &NativeAnswer{Reject: &Reject{Code: SysFatal, Message: fmt.Sprintf("the answer has %d bytes, %d are allowed", len(r.Reply), p.Ask.MaxReply)}}
	}
	d.answers[p.Question] = a
	if len(d.answers) < int(d.Asked) {
		d.fresh = append(d.fresh, p.Question)
		x.talked = append(x.talked, d)
		return
	}
	x.resume(d)
}

// invoked takes the response to a call that a native canister made.
func (x *Executor) invoked(o origin, r response) {
	d := x.dialogues[o.Callback]
	if d == nil {
		panic(fmt.Sprintf("execution: a response of dialogue %d, which is not there", o.Callback))
	}
	d.answers[0] = &NativeAnswer{Reply: r.data, Reject: r.reject}
	x.resume(d)
}

// resume lets a canister go on that has all its answers.
func (x *Executor) resume(d *dialogue) {
	x.used += messageOverhead
	for _, a := range d.answers {
		x.used += uint64(len(a.Reply)) * answerWork
	}
	x.executed(1)
	c := x.canisters[d.Native.principal()]
	in := NativeResume{State: d.State, Caller: d.Caller.principal(), Cycles: d.Cycles, TimeNs: x.global.TimeNs, Nodes: x.nodeCount(),
		User: d.Origin.Kind == originIngress}
	for i := range d.Asked {
		in.Answers = append(in.Answers, *d.answers[i])
	}
	d.fresh = d.fresh[:0]
	out := c.native.(Asker).Resume(in)
	if out.goesOn() {
		x.ask(c, d, out)
		return
	}
	d.over = true
	x.talked = append(x.talked, d)
	delete(x.dialogues, d.id)
	x.respond(d.Origin, response{data: out.Reply, reject: out.Reject}, x.charge(c, d.Cycles, &out))
}

// openDialogue reads a record of the store: a dialogue, or an answer of the one that was read last.
func (x *Executor) openDialogue(key, value []byte) error {
	switch len(key) {
	case 8:
		d := &dialogue{id: binary.BigEndian.Uint64(key), answers: map[uint32]*NativeAnswer{}, written: true}
		if err := codec.Unmarshal(value, d); err != nil {
			return err
		}
		id, err := principal.FromBytes(d.Native)
		if _, ok := x.cfg.Natives[id].(Asker); err != nil || !ok {
			return fmt.Errorf("dialogue %d is of canister %x, which asks nothing", d.id, []byte(d.Native))
		}
		x.dialogues[d.id] = d
		return nil
	case 12:
		d, n := x.dialogues[binary.BigEndian.Uint64(key)], binary.BigEndian.Uint32(key[8:])
		if d == nil || n >= d.Asked {
			return fmt.Errorf("answer %x of no question", key)
		}
		a := &NativeAnswer{}
		if err := codec.Unmarshal(value, a); err != nil {
			return err
		}
		d.answers[n] = a
		d.stored = append(d.stored, n)
		return nil
	}
	return errors.New("key of neither a dialogue nor an answer")
}

// flushDialogues writes what a round changed.
func (x *Executor) flushDialogues(store kv.Store) {
	for _, d := range x.talked {
		if d.over || !d.written { // the answers of an earlier phase
			for _, n := range d.stored {
				store.Delete(d.key(be32(n)...))
			}
			d.stored = d.stored[:0]
		}
		if d.over {
			store.Delete(d.key())
			continue
		}
		if !d.written {
			store.Set(d.key(), codec.Marshal(d))
			d.written = true
		}
		for _, n := range d.fresh {
			store.Set(d.key(be32(n)...), codec.Marshal(d.answers[n]))
		}
		d.stored = append(d.stored, d.fresh...)
		d.fresh = d.fresh[:0]
	}
	x.talked = x.talked[:0]
}
