package execution

import (
	"fmt"
	"sort"

	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/management"
)

// IngressState is where a user's message stands.
type IngressState uint8

// The states of the interface specification's request status.
const (
	Received   IngressState = 1
	Processing IngressState = 2
	Replied    IngressState = 3
	Rejected   IngressState = 4
	Done       IngressState = 5 // answered, and the answer is no longer kept
)

func (s IngressState) String() string {
	switch s {
	case Received:
		return "received"
	case Processing:
		return "processing"
	case Replied:
		return "replied"
	case Rejected:
		return "rejected"
	}
	return "done"
}

func (s IngressState) terminal() bool { return s >= Replied }

type ingressRecord struct {
	_        struct{} `cbor:",toarray"`
	State    IngressState
	Expiry   uint64
	DoneNs   uint64
	Number   uint64 // of the terminal ones, in the order in which they ended
	Sender   principalBytes
	Receiver principalBytes
	Reply    []byte
	Reject   *Reject
}

// history is the statuses of users' messages: all that are not answered, and the others until they are neither needed for
// reading the answer nor for recognising a replay.
type history struct {
	entries map[[32]byte]*ingressRecord
	ended   [][32]byte // the terminal ones in their order
	kept    int        // ended[:kept] has lost its answers already
	changed map[[32]byte]struct{}
	tree    map[[32]byte]struct{} // to be updated in the tree
}

func (h *history) open(store kv.Store) error {
	h.entries, h.changed, h.tree = map[[32]byte]*ingressRecord{}, map[[32]byte]struct{}{}, map[[32]byte]struct{}{}
	var err error
	kv.ScanPrefix(store, []byte{keyIngress}, func(k, v []byte) bool {
		e := &ingressRecord{}
		if err = codec.Unmarshal(v, e); err == nil && len(k) != 33 {
			err = fmt.Errorf("key %x", k)
		}
		if err != nil {
			err = fmt.Errorf("%w: ingress status: %w", ErrState, err)
			return false
		}
		id := [32]byte(k[1:])
		h.entries[id] = e
		h.tree[id] = struct{}{}
		if e.State.terminal() {
			h.ended = append(h.ended, id)
		}
		return true
	})
	sort.Slice(h.ended, func(i, j int) bool { return h.entries[h.ended[i]].Number < h.entries[h.ended[j]].Number })
	for h.kept < len(h.ended) && h.entries[h.ended[h.kept]].State == Done {
		h.kept++
	}
	return err
}

func (h *history) touch(id [32]byte) {
	h.changed[id] = struct{}{}
	h.tree[id] = struct{}{}
}

// prune forgets statuses that are no longer needed, and the answers of the oldest where there are too many.
func (h *history) prune(now uint64) {
	n := 0
	for ; n < len(h.ended); n++ {
		e := h.entries[h.ended[n]]
		if e.Expiry >= now || e.DoneNs+retentionNs > now {
			break
		}
		delete(h.entries, h.ended[n])
		h.touch(h.ended[n])
	}
	h.ended = h.ended[n:]
	h.kept = max(0, h.kept-n)
	for ; len(h.ended)-h.kept > maxIngressKept; h.kept++ {
		e := h.entries[h.ended[h.kept]]
		e.State, e.Reply, e.Reject = Done, nil, nil
		h.touch(h.ended[h.kept])
	}
}

func (h *history) flush(store kv.Store) {
	ids := make([]string, 0, len(h.changed))
	for id := range h.changed {
		ids = append(ids, string(id[:]))
	}
	sort.Strings(ids)
	for _, s := range ids {
		key := append([]byte{keyIngress}, s...)
		if e := h.entries[[32]byte([]byte(s))]; e != nil {
			store.Set(key, codec.Marshal(e))
		} else {
			store.Delete(key)
		}
	}
	clear(h.changed)
}

// IngressStatus is a user's message as the CLI and the HTTP interface ask for it.
type IngressStatus struct {
	State    IngressState
	Sender   principal.Principal
	Receiver principal.Principal
	Reply    []byte
	Reject   *Reject
}

// IngressStatus looks up a request id. Like Round, Tree and CanisterStatus it belongs to the goroutine that owns the executor.
func (x *Executor) IngressStatus(id [32]byte) (IngressStatus, bool) {
	e := x.history.entries[id]
	if e == nil {
		return IngressStatus{}, false
	}
	return e.status(), true
}

func (e *ingressRecord) status() IngressStatus {
	return IngressStatus{State: e.State, Sender: e.Sender.principal(), Receiver: e.Receiver.principal(), Reply: e.Reply, Reject: e.Reject}
}

// KnowsIngress reports whether a request id was seen and is not forgotten; a block that repeats it changes nothing.
func (x *Executor) KnowsIngress(id [32]byte) bool { return x.history.entries[id] != nil }

// induct takes a user's message of the block. Replays and expired messages change nothing; whatever else is wrong with it
// becomes its rejection, which the user can read.
func (x *Executor) induct(m *Ingress) {
	if m.ExpiryNs < x.global.TimeNs || x.history.entries[m.ID] != nil {
		return
	}
	x.history.entries[m.ID] = &ingressRecord{State: Received, Expiry: m.ExpiryNs, Sender: m.Sender.Bytes(), Receiver: m.Canister.Bytes()}
	x.history.touch(m.ID)
	x.result.IngressAccepted++
	from := origin{Kind: originIngress, ID: append([]byte(nil), m.ID[:]...)}
	msg := &message{Method: m.Method, Data: m.Arg, Caller: m.Sender.Bytes(), Origin: from, Expiry: m.ExpiryNs, Info: m.Info}
	c := x.canisters[m.Canister]
	if c != nil && c.ingressWaiting >= maxIngressQueue {
		x.respond(from, response{reject: reject(errQueueFull, "Canister %s has %d messages waiting", m.Canister, c.ingressWaiting)}, Cycles{})
		return
	}
	if c != nil && !x.takes(c, uint64(len(m.Method)+len(m.Arg))) {
		x.respond(from, response{reject: reject(errQueueFull, "The messages that wait take all the memory there is for them")}, Cycles{})
		return
	}
	if c != nil && c.kind == wasmCanister && c.Status == running {
		cost := x.prices().ingress(uint64(len(m.Method) + len(m.Arg)))
		if frozen := x.prices().freezing(&c.Settings, c.memory(), c.Reserved); c.Cycles.Sub(c.Debt).Sub(frozen).Cmp(cost) < 0 {
			x.respond(from, response{reject: reject(errOutOfCycles, "Canister %s is out of cycles and cannot take the message", m.Canister)}, Cycles{})
			return
		}
		c.debit(forIngress, cost)
	}
	if c != nil && c.kind == managementCanister {
		x.payInduction(m)
	}
	x.route(m.Canister, msg)
}

// payInduction charges a message for the management canister to the canister that it is about, as far as that one has cycles: its
// controllers must be able to help a canister that has none left. Provisional methods are free.
func (x *Executor) payInduction(m *Ingress) {
	id, _, err := management.EffectiveCanister(m.Method, m.Arg, false)
	if err != nil || management.Methods[m.Method].Provisional {
		return
	}
	if c := x.canisters[id]; c != nil && c.kind == wasmCanister {
		cost := x.prices().ingress(uint64(len(m.Method) + len(m.Arg))).Min(c.Cycles.Sub(c.Debt))
		c.debit(forIngress, cost)
	}
}

func (x *Executor) processingIngress(o origin) {
	id := [32]byte(o.ID)
	if e := x.history.entries[id]; e != nil && e.State == Received {
		e.State = Processing
		x.history.touch(id)
	}
}

func (x *Executor) finishIngress(o origin, r response) {
	id := [32]byte(o.ID)
	e := x.history.entries[id]
	if e == nil || e.State.terminal() {
		panic(fmt.Sprintf("execution: ingress message %x is answered twice", id))
	}
	e.State, e.Reply, e.Reject = Replied, r.data, r.reject
	if r.reject != nil {
		e.State = Rejected
	}
	e.DoneNs, e.Number = x.global.TimeNs, x.global.NextDone
	x.global.NextDone++
	x.history.ended = append(x.history.ended, id)
	x.history.touch(id)
	x.result.IngressDone++
}
