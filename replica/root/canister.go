package root

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/genesis"
	"fusion/replica/members"
)

// Errors of calls. They reach callers as rejections.
var (
	ErrRefused = errors.New("refused")           // by what is as it is now: too early, too late, not an operator
	ErrAction  = errors.New("the action is bad") // it can never be executed as it is
)

// Bounds.
const (
	MaxChunk   = 1 << 20 // bytes of a chunk (interface specification, upload_chunk)
	maxChunks  = 32      // of a module
	maxStored  = 8       // stored_chunks
	MaxOpen    = 8       // proposals of an operator
	maxStaged  = 64      // chunks of an operator's open proposals
	maxArg     = MaxChunk + 64<<10
	maxKept    = 4 << 10 // bytes of an action, or of a reply, that are kept of a proposal that has ended
	maxSummary = 1000
	maxMethod  = 128
	maxReason  = 2000
	maxList    = 100
)

// Options are what the genesis document says.
type Options struct {
	Network    [32]byte // hash of the document
	Operators  []principal.Principal
	Least      int    // operators that there are always
	TimeLockNs uint64 // between the last approval that was needed and execution
	LifetimeNs uint64 // between submission and the deadline
	// Snapshot is the store as of the last block, for queries, which run at any time.
	Snapshot func() (kv.Reader, func() error)
}

// World is what the canister asks and does outside of itself, in a block.
type World interface {
	// Custodial says whether a canister has custody of users' coins.
	Custodial(principal.Principal) bool
	// Configured says whether a canister is part of the replica and takes orders from the root canister: the Bitcoin and EVM RPC canisters.
	Configured(principal.Principal) bool
	// CheckChange says whether a change of the membership can begin, and BeginChange begins it and returns its number.
	CheckChange(members.Change) error
	BeginChange(members.Change) (uint64, error)
}

// Canister is the root canister. All but queries and Inspect belongs to the goroutine that executes blocks.
type Canister struct {
	opt   Options
	world World
	store kv.Store
}

// New opens the canister over its store.
func New(opt Options, world World, store kv.Store) *Canister {
	return &Canister{opt: opt, world: world, store: store}
}

// Use continues in another store with the same content: the next block's.
func (c *Canister) Use(s kv.Store) { c.store = s }

// Threshold is how many of n operators make two thirds.
func Threshold(n int) int { return (2*n + 2) / 3 }

// Keys of the store.
const (
	keyNext      = "next"      // number of the next proposal
	keyOperators = "operators" // the list, once a proposal has changed it
	keyProposals = "proposal/" // number → record
	keyOpen      = "open/"     // number → nothing: those that have not ended
	keyChunks    = "chunk/"    // number, hash → chunk
)

type status uint8

const (
	open status = 1 + iota
	executing
	executed
	failed
	rejected
	withdrawn
	expired
)

func (s status) ended() bool { return s > executing }

// record is a proposal as it is stored.
type record struct {
	_         struct{} `cbor:",toarray"`
	Number    uint64
	Proposer  []byte
	Summary   string
	Action    []byte // Candid; empty when it was forgotten
	Digest    []byte
	Approved  [][]byte
	Rejected  [][]byte
	Submitted uint64
	Reached   uint64 // when there were enough approvals; 0 while there are not
	Expires   uint64
	Ended     uint64
	Status    status
	Reason    string
	Reply     []byte
}

func number(prefix string, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte(prefix), n) }

func chunkKey(n uint64, hash []byte) []byte { return append(number(keyChunks, n), hash...) }

func next(r kv.Reader) uint64 {
	n, ok := kv.Record[uint64](r, []byte(keyNext))
	if !ok {
		return 1
	}
	return n
}

func (c *Canister) operators(r kv.Reader) []principal.Principal {
	return OperatorsOf(r, c.opt.Operators)
}

// OperatorsOf are those that a canister's store names, or the genesis document's where no proposal has changed them.
func OperatorsOf(r kv.Reader, genesis []principal.Principal) []principal.Principal {
	list, ok := kv.Record[[][]byte](r, []byte(keyOperators))
	if !ok {
		return genesis
	}
	out := make([]principal.Principal, len(list))
	for i, b := range list {
		out[i] = principal.MustFromBytes(b)
	}
	return out
}

func (c *Canister) put(p *record) {
	c.store.Set(number(keyProposals, p.Number), codec.Marshal(p))
	if p.Status.ended() {
		c.store.Delete(number(keyOpen, p.Number))
	}
}

// openOnes are the proposals that have not ended, in order.
func openOnes(r kv.Reader) (out []record) {
	var numbers []uint64
	kv.ScanPrefix(r, []byte(keyOpen), func(k, _ []byte) bool {
		numbers = append(numbers, binary.BigEndian.Uint64(k[len(keyOpen):]))
		return true
	})
	for _, n := range numbers {
		p, ok := kv.Record[record](r, number(keyProposals, n))
		if !ok {
			panic(fmt.Sprintf("root: proposal %d is open and not there", n))
		}
		out = append(out, p)
	}
	return out
}

// Digest names an action on a network.
func Digest(network [32]byte, a Action) ([]byte, error) {
	raw, err := candid.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAction, err)
	}
	return digest(network, raw), nil
}

func digest(network [32]byte, raw []byte) []byte {
	d := sha256.Sum256(append(append([]byte("fusion/root/action/v1\x00"), network[:]...), raw...))
	return d[:]
}

func decodeAction(raw []byte) (a Action) {
	if err := candid.Unmarshal(raw, &a); err != nil {
		panic(fmt.Sprintf("root: a stored action is damaged: %v", err))
	}
	return a
}

// chunks are the hashes of what an action has to have staged.
func (a *Action) chunks() [][]byte {
	switch {
	case a.Upgrade != nil:
		return slices.Concat(a.Upgrade.StoredChunks, a.Upgrade.ChunkHashes)
	case a.Call != nil && a.Call.ArgHash != nil:
		return [][]byte{*a.Call.ArgHash}
	}
	return nil
}

// check says whether an action could be executed, as far as one can tell.
func (c *Canister) check(a *Action) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrAction, fmt.Sprintf(format, args...))
	}
	target := func(id principal.Principal, arg []byte) error {
		switch {
		case !c.world.Custodial(id) && (a.Call == nil || !c.world.Configured(id)):
			return bad("canister %s has no custody of users' coins: its controllers change it", id)
		case len(arg) > maxArg:
			return bad("an argument of %d bytes, at most %d are possible", len(arg), maxArg)
		}
		return nil
	}
	switch {
	case a.Upgrade != nil:
		u := a.Upgrade
		if len(u.ModuleHash) != sha256.Size || len(u.ChunkHashes) == 0 || len(u.ChunkHashes) > maxChunks || len(u.StoredChunks) > maxStored {
			return bad("a module hash of %d bytes, %d chunks and %d stored ones; want 32, 1 to %d and at most %d", len(u.ModuleHash), len(u.ChunkHashes), len(u.StoredChunks), maxChunks, maxStored)
		}
		for _, h := range a.chunks() {
			if len(h) != sha256.Size {
				return bad("the hash of a chunk has %d bytes, want 32", len(h))
			}
		}
		return target(u.Canister, u.Arg)
	case a.Call != nil:
		if n := len(a.Call.Method); n == 0 || n > maxMethod {
			return bad("a method with a name of %d bytes, want 1 to %d", n, maxMethod)
		}
		if h := a.Call.ArgHash; h != nil {
			switch {
			case !c.world.Configured(a.Call.Canister):
				return bad("an argument that is not shown is for the Bitcoin and EVM RPC canisters alone, not for %s", a.Call.Canister)
			case len(*h) != sha256.Size || len(a.Call.Arg) > 0:
				return bad("the hash of an argument has %d bytes, want 32, and the argument itself %d, want none", len(*h), len(a.Call.Arg))
			}
		}
		return target(a.Call.Canister, a.Call.Arg)
	case a.Membership != nil:
		return c.world.CheckChange(a.Membership.change())
	case a.Operators != nil:
		if err := genesis.CheckOperators(a.Operators.Operators, c.opt.Least); err != nil {
			return bad("%v", err)
		}
		return nil
	}
	return bad("it is empty")
}

// tally counts what the operators have said, and forgets what others have.
func (c *Canister) tally(p *record, now uint64) {
	ops := c.operators(c.store)
	known := func(list [][]byte) [][]byte {
		return slices.DeleteFunc(list, func(b []byte) bool { return !slices.Contains(ops, principal.MustFromBytes(b)) })
	}
	p.Approved, p.Rejected = known(p.Approved), known(p.Rejected)
	needed := Threshold(len(ops))
	switch {
	case len(p.Approved) < needed:
		p.Reached = 0
	case p.Reached == 0:
		p.Reached = now
	}
	if len(ops)-len(p.Rejected) < needed {
		c.end(p, rejected, now, fmt.Sprintf("%d of %d operators have rejected it", len(p.Rejected), len(ops)))
	}
}

// end ends a proposal. The caller puts it.
func (c *Canister) end(p *record, s status, now uint64, reason string) {
	if len(reason) > maxReason {
		reason = string(bytes.ToValidUTF8([]byte(reason[:maxReason]), nil))
	}
	p.Status, p.Ended, p.Reason = s, now, reason
	if len(p.Action) > maxKept {
		p.Action = nil
	}
	var staged [][]byte
	kv.ScanPrefix(c.store, number(keyChunks, p.Number), func(k, _ []byte) bool {
		staged = append(staged, bytes.Clone(k))
		return true
	})
	for _, k := range staged {
		c.store.Delete(k)
	}
}

// sweep ends the proposals whose deadline has passed.
func (c *Canister) sweep(now uint64) {
	for _, p := range openOnes(c.store) {
		if p.Status == open && now >= p.Expires {
			c.end(&p, expired, now, "it was not executed before its deadline")
			c.put(&p)
		}
	}
}

// call is what a method works with.
type call struct {
	execution.NativeCall
	r kv.Reader
}

type method struct {
	run   func(*Canister, *call) (any, error)
	query bool // also as a query, and then by anybody
}

// answer is a result that is not a value to be encoded.
type answer execution.NativeResult

var methods = map[string]method{
	"submit":         {run: with((*Canister).submit)},
	"stage_chunk":    {run: with((*Canister).stage)},
	"approve":        {run: with((*Canister).approve)},
	"reject":         {run: with((*Canister).reject)},
	"withdraw":       {run: with((*Canister).withdraw)},
	"execute":        {run: with((*Canister).execute)},
	"get_proposal":   {run: with((*Canister).getProposal), query: true},
	"list_proposals": {run: with((*Canister).list), query: true},
	"get_info":       {run: (*Canister).info, query: true},
}

func with[A any](f func(*Canister, *call, A) (any, error)) func(*Canister, *call) (any, error) {
	return func(c *Canister, k *call) (any, error) {
		var a A
		if err := candid.Unmarshal(k.Arg, &a); err != nil {
			return nil, fmt.Errorf("decoding the argument: %w", err)
		}
		return f(c, k, a)
	}
}

func refuse(code int, format string, args ...any) execution.NativeResult {
	return execution.NativeResult{Reject: &execution.Reject{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// Inspect implements execution.Inspector: only operators may have blocks work for this canister.
func (c *Canister) Inspect(caller principal.Principal, name string) *execution.Reject {
	r, done := c.opt.Snapshot()
	ops := c.operators(r)
	if err := done(); err != nil {
		panic(fmt.Sprintf("root: closing a snapshot: %v", err))
	}
	if _, ok := methods[name]; ok && slices.Contains(ops, caller) {
		return nil
	}
	return &execution.Reject{Code: execution.CanisterReject, Message: fmt.Sprintf("the root canister takes messages of operators only, and %s is none", caller)}
}

// Call implements execution.Native.
func (c *Canister) Call(in execution.NativeCall) execution.NativeResult {
	m, ok := methods[in.Method]
	k := &call{in, c.store}
	switch {
	case !ok:
		return refuse(execution.CanisterError, "the root canister has no method %.64q", in.Method)
	case in.Query && !m.query:
		return refuse(execution.CanisterError, "%s is not a query method", in.Method)
	case in.Query:
		r, done := c.opt.Snapshot()
		defer func() {
			if err := done(); err != nil {
				panic(fmt.Sprintf("root: closing a snapshot: %v", err))
			}
		}()
		k.r = r
	case !slices.Contains(c.operators(c.store), in.Caller):
		return refuse(execution.CanisterReject, "%s is for operators, and %s is none", in.Method, in.Caller)
	default:
		c.sweep(in.TimeNs)
	}
	v, err := m.run(c, k)
	if err != nil {
		return refuse(execution.CanisterReject, "%v", err)
	}
	if a, ok := v.(answer); ok {
		return execution.NativeResult(a)
	}
	return reply(v)
}

func reply(v any) execution.NativeResult { return execution.NativeResult{Reply: candid.MustMarshal(v)} }

func (c *Canister) submit(k *call, a SubmitArg) (any, error) {
	if len(a.Summary) > maxSummary || !utf8.ValidString(a.Summary) {
		return nil, fmt.Errorf("%w: a summary of %d bytes, at most %d are possible", ErrAction, len(a.Summary), maxSummary)
	}
	if err := c.check(&a.Action); err != nil {
		return nil, err
	}
	raw, err := candid.Marshal(a.Action)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAction, err)
	}
	count, staged := 0, len(a.Action.chunks())
	for _, p := range openOnes(c.store) {
		if bytes.Equal(p.Proposer, k.Caller.Bytes()) {
			o := decodeAction(p.Action)
			count, staged = count+1, staged+len(o.chunks())
		}
	}
	if count >= MaxOpen || staged > maxStaged {
		return nil, fmt.Errorf("%w: %s has %d open proposals with %d chunks, at most %d with %d are possible; withdraw one", ErrRefused, k.Caller, count, staged, MaxOpen, maxStaged)
	}
	p := record{Number: next(c.store), Proposer: k.Caller.Bytes(), Summary: a.Summary, Action: raw, Digest: digest(c.opt.Network, raw),
		Approved: [][]byte{k.Caller.Bytes()}, Submitted: k.TimeNs, Expires: k.TimeNs + c.opt.LifetimeNs, Status: open}
	c.store.Set([]byte(keyNext), codec.Marshal(p.Number+1))
	c.store.Set(number(keyOpen, p.Number), nil)
	c.tally(&p, k.TimeNs)
	c.put(&p)
	return c.show(c.store, &p, k.TimeNs), nil
}

// find returns a proposal that waits for something.
func (c *Canister) find(n uint64) (p record, err error) {
	p, ok := kv.Record[record](c.store, number(keyProposals, n))
	switch {
	case !ok:
		return p, fmt.Errorf("%w: there is no proposal %d", ErrRefused, n)
	case p.Status == executing:
		return p, fmt.Errorf("%w: proposal %d is being executed", ErrRefused, n)
	case p.Status != open:
		return p, fmt.Errorf("%w: proposal %d has ended: %s", ErrRefused, n, p.Reason)
	}
	return p, nil
}

// meant is find for a caller who says what he means.
func (c *Canister) meant(a SayArg) (record, error) {
	p, err := c.find(a.Number)
	if err == nil && !bytes.Equal(a.Digest, p.Digest) {
		err = fmt.Errorf("%w: proposal %d does something else: its digest is %x, not %x", ErrRefused, a.Number, p.Digest, a.Digest)
	}
	return p, err
}

func (c *Canister) stage(k *call, a StageArg) (any, error) {
	p, err := c.find(a.Number)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(a.Chunk)
	action := decodeAction(p.Action)
	if len(a.Chunk) > MaxChunk || !slices.ContainsFunc(action.chunks(), func(h []byte) bool { return bytes.Equal(h, hash[:]) }) {
		return nil, fmt.Errorf("%w: a chunk of %d bytes with hash %x is none that proposal %d names, or is longer than %d", ErrRefused, len(a.Chunk), hash, a.Number, MaxChunk)
	}
	c.store.Set(chunkKey(p.Number, hash[:]), a.Chunk)
	return c.show(c.store, &p, k.TimeNs), nil
}

func without(list [][]byte, b []byte) [][]byte {
	return slices.DeleteFunc(list, func(o []byte) bool { return bytes.Equal(o, b) })
}

func (c *Canister) approve(k *call, a SayArg) (any, error) {
	return c.say(k, a, func(p *record) (to, from *[][]byte) { return &p.Approved, &p.Rejected })
}

func (c *Canister) reject(k *call, a SayArg) (any, error) {
	return c.say(k, a, func(p *record) (to, from *[][]byte) { return &p.Rejected, &p.Approved })
}

// say puts the caller into one list and takes him out of the other.
func (c *Canister) say(k *call, a SayArg, lists func(*record) (to, from *[][]byte)) (any, error) {
	p, err := c.meant(a)
	if err != nil {
		return nil, err
	}
	by := k.Caller.Bytes()
	to, from := lists(&p)
	if slices.ContainsFunc(*to, func(o []byte) bool { return bytes.Equal(o, by) }) {
		return nil, fmt.Errorf("%w: %s has said so already", ErrRefused, k.Caller)
	}
	*to, *from = append(*to, by), without(*from, by)
	c.tally(&p, k.TimeNs)
	c.put(&p)
	return c.show(c.store, &p, k.TimeNs), nil
}

func (c *Canister) withdraw(k *call, a SayArg) (any, error) {
	p, err := c.meant(a)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p.Proposer, k.Caller.Bytes()) {
		return nil, fmt.Errorf("%w: proposal %d is of %s, who alone may withdraw it; reject it", ErrRefused, p.Number, principal.MustFromBytes(p.Proposer))
	}
	c.end(&p, withdrawn, k.TimeNs, "its proposer has withdrawn it")
	c.put(&p)
	return c.show(c.store, &p, k.TimeNs), nil
}

func (c *Canister) getProposal(k *call, n uint64) (any, error) {
	p, ok := kv.Record[record](k.r, number(keyProposals, n))
	if !ok {
		return (*Proposal)(nil), nil
	}
	v := c.show(k.r, &p, k.TimeNs)
	return &v, nil
}

func (c *Canister) list(k *call, a ListArg) (any, error) {
	before, length := next(k.r), uint64(20)
	if a.Before != nil {
		before = min(before, *a.Before)
	}
	if a.Length != nil {
		length = min(*a.Length, maxList)
	}
	out := []Proposal{}
	size := 0
	for n := before; n > 1 && uint64(len(out)) < length; n-- {
		p, ok := kv.Record[record](k.r, number(keyProposals, n-1))
		if !ok {
			panic(fmt.Sprintf("root: proposal %d of %d is not there", n-1, next(k.r)))
		}
		if size += len(p.Action); size > maxArg && len(out) > 0 { // an answer has at most 2 MiB
			break
		}
		out = append(out, c.show(k.r, &p, k.TimeNs))
	}
	return out, nil
}

func (c *Canister) info(k *call) (any, error) {
	ops := c.operators(k.r)
	return Info{ops, uint32(Threshold(len(ops))), c.opt.TimeLockNs, c.opt.LifetimeNs, next(k.r)}, nil
}
