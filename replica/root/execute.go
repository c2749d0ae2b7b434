package root

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/management"
)

// The steps of an execution: what the canister waits for.
const (
	stepInfo uint8 = 1 + iota
	stepStore
	stepStop
	stepInstall
	stepStart
	stepCall
)

// run is an execution at work, which the executor keeps.
type run struct {
	_       struct{} `cbor:",toarray"`
	Number  uint64
	Step    uint8
	Stored  int  // chunks
	HasCode bool // so it must be stopped
	Failure string
}

func (c *Canister) execute(k *call, a SayArg) (any, error) {
	p, err := c.meant(a)
	if err != nil {
		return nil, err
	}
	switch until := p.Reached + c.opt.TimeLockNs; {
	case p.Reached == 0:
		return nil, fmt.Errorf("%w: proposal %d has %d approvals, it needs %d", ErrRefused, p.Number, len(p.Approved), Threshold(len(c.operators(c.store))))
	case k.TimeNs < until:
		return nil, fmt.Errorf("%w: the time lock of proposal %d ends at %s", ErrRefused, p.Number, clock(until))
	}
	action := decodeAction(p.Action)
	if err := c.check(&action); err != nil { // which may have become impossible
		return nil, err
	}
	switch {
	case action.Membership != nil:
		n, err := c.world.BeginChange(action.Membership.change())
		if err != nil {
			return nil, err
		}
		c.end(&p, executed, k.TimeNs, fmt.Sprintf("change %d of the membership has begun", n))
	case action.Operators != nil:
		var list [][]byte
		for _, o := range action.Operators.Operators {
			list = append(list, o.Bytes())
		}
		c.store.Set([]byte(keyOperators), codec.Marshal(list))
		c.end(&p, executed, k.TimeNs, fmt.Sprintf("there are %d operators now", len(list)))
		for _, o := range openOnes(c.store) {
			if o.Status == open && o.Number != p.Number {
				c.tally(&o, k.TimeNs)
				c.put(&o)
			}
		}
	case action.Upgrade != nil:
		for _, o := range openOnes(c.store) {
			other := decodeAction(o.Action)
			if o.Status == executing && other.Upgrade != nil && other.Upgrade.Canister == action.Upgrade.Canister {
				return nil, fmt.Errorf("%w: proposal %d is changing canister %s", ErrRefused, o.Number, action.Upgrade.Canister)
			}
		}
		if _, err := module(c.store, &p, action.Upgrade); err != nil {
			return nil, err
		}
		p.Status = executing
		c.put(&p)
		return manage(run{Number: p.Number, Step: stepInfo}, "canister_info", management.CanisterInfoArgs{CanisterID: action.Upgrade.Canister}), nil
	case action.Call != nil:
		arg := action.Call.Arg
		if h := action.Call.ArgHash; h != nil {
			var ok bool
			if arg, ok = c.store.Get(chunkKey(p.Number, *h)); !ok {
				return nil, fmt.Errorf("%w: the argument of proposal %d is not staged", ErrRefused, p.Number)
			}
		}
		p.Status = executing
		c.put(&p)
		return answer{State: codec.Marshal(run{Number: p.Number, Step: stepCall}),
			Invoke: &execution.Invocation{Canister: action.Call.Canister, Method: action.Call.Method, Arg: arg}}, nil
	}
	c.put(&p)
	return c.show(c.store, &p, k.TimeNs), nil
}

// module puts the staged chunks together.
func module(r kv.Reader, p *record, u *Upgrade) ([]byte, error) {
	var whole []byte
	var missing int
	for i, h := range append(u.StoredChunks[:len(u.StoredChunks):len(u.StoredChunks)], u.ChunkHashes...) {
		b, ok := r.Get(chunkKey(p.Number, h))
		if !ok {
			missing++
		}
		if i >= len(u.StoredChunks) {
			whole = append(whole, b...)
		}
	}
	if missing > 0 {
		return nil, fmt.Errorf("%w: %d chunks of proposal %d are not staged", ErrRefused, missing, p.Number)
	}
	if sum := sha256.Sum256(whole); !bytes.Equal(sum[:], u.ModuleHash) {
		return nil, fmt.Errorf("%w: the staged module of proposal %d has the hash %x, approved was %x", ErrRefused, p.Number, sum, u.ModuleHash)
	}
	return whole, nil
}

// manage calls a method of the management canister.
func manage(r run, method string, arg any) answer {
	return answer{State: codec.Marshal(r), Invoke: &execution.Invocation{Canister: principal.Management, Method: method, Arg: candid.MustMarshal(arg)}}
}

// Resume implements execution.Asker.
func (c *Canister) Resume(in execution.NativeResume) execution.NativeResult {
	var r run
	if err := codec.Unmarshal(in.State, &r); err != nil {
		panic(fmt.Sprintf("root: an execution's state is damaged: %v", err))
	}
	p, ok := kv.Record[record](c.store, number(keyProposals, r.Number))
	if !ok || p.Status != executing || len(in.Answers) != 1 {
		panic(fmt.Sprintf("root: proposal %d is not being executed", r.Number))
	}
	action, a := decodeAction(p.Action), in.Answers[0]
	if r.Step == stepCall {
		if a.Reject == nil {
			c.end(&p, executed, in.TimeNs, fmt.Sprintf("%s has answered", action.Call.Method))
			if len(a.Reply) <= maxKept {
				p.Reply = a.Reply
			}
		} else {
			c.end(&p, failed, in.TimeNs, a.Reject.String())
		}
		c.put(&p)
		return reply(c.show(c.store, &p, in.TimeNs))
	}
	if a.Reject != nil {
		what := map[uint8]string{stepInfo: "asking for the installed module", stepStore: "storing a chunk", stepStop: "stopping the canister", stepInstall: "installing",
			stepStart: "starting the canister again"}[r.Step]
		r.Failure = strings.TrimPrefix(r.Failure+"; "+what+": "+a.Reject.String(), "; ")
	}
	return c.upgrade(&p, action.Upgrade, r, a, in.TimeNs)
}

// upgrade makes the next step of an upgrade.
func (c *Canister) upgrade(p *record, u *Upgrade, r run, a execution.NativeAnswer, now uint64) execution.NativeResult {
	id := management.CanisterID{CanisterID: u.Canister}
	step := func(s uint8, method string, arg any) execution.NativeResult {
		r.Step = s
		return execution.NativeResult(manage(r, method, arg))
	}
	done := func() execution.NativeResult {
		if r.Failure != "" {
			c.end(p, failed, now, r.Failure)
		} else {
			c.end(p, executed, now, fmt.Sprintf("canister %s has the module %x", u.Canister, u.ModuleHash))
		}
		c.put(p)
		return reply(c.show(c.store, p, now))
	}
	install := func() execution.NativeResult {
		code, err := module(c.store, p, u)
		if err != nil {
			panic(fmt.Sprintf("root: what was staged is not any more: %v", err))
		}
		mode := management.ModeInstall()
		if r.HasCode {
			mode = management.ModeUpgrade(nil)
		}
		return step(stepInstall, "install_code", management.InstallCodeArgs{Mode: mode, CanisterID: u.Canister, WasmModule: code, Arg: u.Arg})
	}
	switch {
	case r.Step == stepStart || r.Failure != "" && (r.Step == stepInfo || r.Step == stepStore || !r.HasCode):
		return done()
	case r.Failure != "":
		return step(stepStart, "start_canister", id)
	case r.Step == stepInfo:
		var info management.CanisterInfoResult
		if err := candid.Unmarshal(a.Reply, &info); err != nil {
			panic(fmt.Sprintf("root: the answer of canister_info: %v", err))
		}
		r.HasCode = info.ModuleHash != nil
	case r.Step == stepStore:
		r.Stored++
	case r.Step == stepStop:
		return install()
	case r.Step == stepInstall && r.HasCode:
		return step(stepStart, "start_canister", id)
	case r.Step == stepInstall:
		return done()
	}
	if r.Stored < len(u.StoredChunks) {
		chunk, _ := c.store.Get(chunkKey(p.Number, u.StoredChunks[r.Stored]))
		return step(stepStore, "upload_chunk", management.UploadChunkArgs{CanisterID: u.Canister, Chunk: chunk})
	}
	if r.HasCode {
		return step(stepStop, "stop_canister", id)
	}
	return install()
}

// clock is a time for people.
func clock(ns uint64) string { return time.Unix(0, int64(ns)).UTC().Format("2006-01-02 15:04:05 UTC") }

// show is a proposal at a time.
func (c *Canister) show(r kv.Reader, p *record, now uint64) Proposal {
	needed := Threshold(len(c.operators(r)))
	v := Proposal{Number: p.Number, Proposer: principal.MustFromBytes(p.Proposer), Summary: p.Summary, Digest: p.Digest, Approved: list(p.Approved),
		Rejected: list(p.Rejected), Needed: uint32(needed), Submitted: p.Submitted, Expires: p.Expires}
	what := "do something that is no longer kept"
	if len(p.Action) > 0 {
		a := decodeAction(p.Action)
		v.Action = &a
		what = a.Sentence()
		if !p.Status.ended() {
			for _, h := range a.chunks() {
				if _, ok := r.Get(chunkKey(p.Number, h)); !ok {
					v.Missing++
				}
			}
		}
	}
	if p.Reached > 0 {
		at := p.Reached + c.opt.TimeLockNs
		v.Executable = &at
	}
	if p.Ended > 0 {
		v.Ended = &p.Ended
	}
	if len(p.Reply) > 0 {
		v.Reply = &p.Reply
	}
	var where string
	switch s := p.Status; {
	case s == open && now >= p.Expires:
		v.State.Expired, where = candid.Unit, "has lapsed: it was not executed before its deadline"
	case s == open && p.Reached == 0:
		v.State.Open, where = candid.Unit, fmt.Sprintf("has %d of %d approvals and lapses at %s", len(p.Approved), needed, clock(p.Expires))
	case s == open && now < *v.Executable:
		v.State.Locked, where = candid.Unit, fmt.Sprintf("is approved; its time lock ends at %s", clock(*v.Executable))
	case s == open:
		v.State.Ready, where = candid.Unit, fmt.Sprintf("may be executed until %s", clock(p.Expires))
	case s == executing:
		v.State.Executing, where = candid.Unit, "is being executed"
	case s == executed:
		v.State.Executed, where = candid.Unit, "was executed: "+p.Reason
	case s == failed:
		v.State.Failed, where = candid.Unit, "has failed: "+p.Reason
	case s == rejected:
		v.State.Rejected, where = candid.Unit, "was rejected: "+p.Reason
	case s == withdrawn:
		v.State.Withdrawn, where = candid.Unit, "was withdrawn"
	case s == expired:
		v.State.Expired, where = candid.Unit, "has lapsed: "+p.Reason
	}
	if v.Missing > 0 {
		if v.Action.Call != nil {
			where += "; its argument is not staged"
		} else {
			where += fmt.Sprintf("; %d chunks of its module are not staged", v.Missing)
		}
	}
	v.Sentence = fmt.Sprintf("proposal %d, to %s, %s", p.Number, what, where)
	return v
}

func list(in [][]byte) []principal.Principal {
	out := make([]principal.Principal, len(in))
	for i, b := range in {
		out[i] = principal.MustFromBytes(b)
	}
	return out
}

// Sentence tells an action in words, up to the verb's object.
func (a *Action) Sentence() string {
	switch {
	case a.Upgrade != nil:
		return fmt.Sprintf("install module %x in canister %s", a.Upgrade.ModuleHash, a.Upgrade.Canister)
	case a.Call != nil:
		if h := a.Call.ArgHash; h != nil {
			return fmt.Sprintf("call %q of canister %s with the argument whose SHA-256 is %x", a.Call.Method, a.Call.Canister, *h)
		}
		return fmt.Sprintf("call %q of canister %s", a.Call.Method, a.Call.Canister)
	case a.Membership != nil:
		switch m := a.Membership; {
		case m.Add != nil && m.Remove != nil:
			return fmt.Sprintf("replace node %d by the one with the key %x", *m.Remove, m.Add.NodeKey)
		case m.Add != nil:
			return fmt.Sprintf("add the node with the key %x", m.Add.NodeKey)
		case m.Remove != nil:
			return fmt.Sprintf("remove node %d", *m.Remove)
		}
		return "reshare all keys among the same members"
	case a.Operators != nil:
		return fmt.Sprintf("have %d operators", len(a.Operators.Operators))
	}
	return "do nothing"
}
