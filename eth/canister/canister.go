package canister

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"

	"fusion/eth/rpc"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/codec"
	"fusion/internal/kv"
)

// ID is the canister's well-known id on the Internet Computer.
var ID = principal.MustParse("7hfb6-caaaa-aaaar-qadga-cai")

// Development chains, whose coins are worth nothing: a geth in the process, and anvil.
const (
	DevelopmentGeth   = 1337
	DevelopmentAnvil  = 31337
	maxNodes          = 1 << 16
	collateralPerNode = 10_000_000 // cycles (dfinity/evm-rpc-canister, COLLATERAL_CYCLES_PER_NODE)
	priceURL          = 256        // bytes that a URL counts, so that the price tells nothing about a key
	priceFixed        = 64         // bytes of what every request has: the header of its type, the envelope's transformation
	maxBatch          = 100        // requests
)

// MaxResponse is the most that a response may have, in bytes (interface specification, http_request).
const MaxResponse = 2_000_000

// Options configure the canister; they are part of the genesis.
type Options struct {
	// Local says that the subnet is of class local: its keys are known to all, so only development chains may be reached.
	Local bool
	// Chain is the id of the chain that the replicas read through their own providers; 0 where they do not.
	Chain uint64
	// Demo answers for nothing, also users, whose messages bring no cycles.
	Demo bool
	// ManageKeys may call updateApiKeys.
	ManageKeys []principal.Principal
	// Override replaces URLs, for tests with a node at hand.
	Override *OverrideProvider
}

// Env is what the canister learns with each call.
type Env struct {
	Caller principal.Principal
	Cycles candid.Nat // attached
	Nodes  int        // of the subnet
	// Price is what an HTTPS outcall costs, by the bytes of the request and of the largest response.
	Price func(request, response uint64) candid.Nat
}

// Call is a call of one of the canister's methods.
type Call struct {
	Env
	Method string
	Arg    []byte
	Query  bool // not replicated
}

// Resume goes on with a call after the replicas have found out what it asked.
type Resume struct {
	Env
	State   []byte
	Answers []Answer // in the order of the asks
}

// Answer is the replicas' answer to an Ask, or a rejection.
type Answer struct {
	Reply  []byte
	Reject *Reject
}

// Outcome is a reply, a rejection, or what has to be asked before there is one.
type Outcome struct {
	Reply      []byte
	Reject     *Reject
	CyclesUsed candid.Nat
	Asks       []Ask
	State      []byte
}

// Reject says why a call was refused.
type Reject struct {
	Code    int
	Message string
}

func (r *Reject) Error() string { return r.Message }

func refuse(code int, format string, args ...any) error {
	return &Reject{code, fmt.Sprintf(format, args...)}
}

// Canister answers calls.
type Canister struct {
	opt         Options
	store       kv.Store
	override    *regexp.Regexp
	replacement string
}

// New opens the canister over its own store, which holds the keys of providers.
func New(opt Options, store kv.Store) (*Canister, error) {
	if opt.Local && opt.Chain != 0 && opt.Chain != DevelopmentGeth && opt.Chain != DevelopmentAnvil {
		return nil, fmt.Errorf("chain %d: a local subnet may only follow a development chain", opt.Chain)
	}
	re, replacement, err := substitution(opt.Override)
	if err != nil {
		return nil, err
	}
	return &Canister{opt: opt, store: store, override: re, replacement: replacement}, nil
}

// Use continues in another store with the same content: the next block's batch.
func (c *Canister) Use(store kv.Store) { c.store = store }

// plan is a call as it was understood.
type plan struct {
	sources *sources
	ops     []*operation // an operation that is not there has failed
	failed  []*RPCError  // by operation
	size    uint64       // of a response, as estimated
	retry   bool         // with room for twice as much when a response is too large
	// reply makes the answer of what each service gave for each operation.
	reply func(p *plan, of [][]outcome) []byte
	// refused makes the answer of a call that asks nothing.
	refused func(*RPCError) []byte
}

// tags are the blocks whose numbers have to be known first.
func (p *plan) tags() (out []rpc.At) {
	for _, op := range p.ops {
		if op != nil {
			out = tagsOf(append(out, op.tags...)...)
		}
	}
	return out
}

// queries are what is asked once numbers are known; places are the operations that they belong to.
func (p *plan) queries(number func(rpc.At) rpc.At) (list []rpc.Query, places []int) {
	for i, op := range p.ops {
		if op != nil && op.query != nil {
			list, places = append(list, op.query(number)), append(places, i)
		}
	}
	return list, places
}

// services is how many are asked, and paid for.
func (p *plan) services() int {
	if p.sources.own {
		return equalityProviders
	}
	return len(p.sources.targets)
}

// targets is of how many the answers are agreed on one by one.
func (p *plan) targets() int {
	if p.sources.own {
		return 1
	}
	return len(p.sources.targets)
}

// price is what one service costs when its response may have so many bytes.
func (p *plan) price(e *Env, target int, size uint64) *big.Int {
	n := uint64(priceURL + priceFixed)
	list, _ := p.queries(func(at rpc.At) rpc.At { return at })
	if len(list) == 1 {
		n += uint64(len(list[0].Request(0)))
	} else {
		n += uint64(len(rpc.Batch(list, 0)))
	}
	if !p.sources.own {
		if s := p.sources.targets[target].service.Custom; s != nil && s.Headers != nil {
			for _, h := range *s.Headers {
				n += uint64(len(h.Name) + len(h.Value))
			}
		}
	}
	one := e.Price(n, size).Big()
	if p.sources.own {
		one.Mul(one, big.NewInt(int64(p.services())))
	}
	return one
}

// cost is what a call costs at first, without what comes back.
func (p *plan) cost(e *Env) *big.Int {
	sum := new(big.Int)
	for i := range p.targets() {
		sum.Add(sum, p.price(e, i, p.size))
	}
	return sum
}

// collateral has to be sent with a call and comes back.
func (p *plan) collateral(e *Env) *big.Int {
	return big.NewInt(int64(p.services()) * collateralPerNode * int64(min(e.Nodes, maxNodes)))
}

// sized bounds an estimate.
func sized(estimate *uint64, otherwise uint64) uint64 {
	if estimate != nil {
		otherwise = *estimate
	}
	return min(max(otherwise, 1), MaxResponse)
}

// ---- methods ----

type method struct {
	args, results []*candid.Type
	query         bool
	// plan understands a call that asks, or one about its price.
	plan func(*Canister, []byte) (*plan, error)
	cost bool
	// run answers at once.
	run func(*Canister, *Call) ([]any, error)
}

var methods map[string]*method

func typ[T any]() *candid.Type { return candid.MustTypeFor[T]() }

func init() {
	methods = map[string]*method{
		"getNodesInSubnet": {query: true, results: []*candid.Type{typ[uint32]()}, run: func(_ *Canister, k *Call) ([]any, error) {
			return []any{uint32(k.Nodes)}, nil
		}},
		"getProviders":          {query: true, results: []*candid.Type{typ[[]Provider]()}, run: (*Canister).getProviders},
		"getServiceProviderMap": {query: true, results: []*candid.Type{typ[[]serviceID]()}, run: (*Canister).getServices},
		"updateApiKeys":         {args: []*candid.Type{typ[[]keyUpdate]()}, run: (*Canister).updateKeys},
	}
	asking := func(name, cost string, plan func(*Canister, []byte) (*plan, error), result *candid.Type, args ...*candid.Type) {
		methods[name] = &method{args: args, results: []*candid.Type{result}, plan: plan}
		methods[cost] = &method{args: args, results: []*candid.Type{typ[Result[candid.Nat]]()}, plan: plan, query: true, cost: true}
	}
	services, config, logsConfig := typ[RPCServices](), candid.OptOf(typ[RPCConfig]()), candid.OptOf(typ[GetLogsRPCConfig]())
	typed := func(name string, plan func(*Canister, []byte) (*plan, error), result, config, arg *candid.Type) {
		asking(name, name+"CyclesCost", plan, result, services, config, arg)
	}
	typed("eth_feeHistory", one(feeHistory, readFees), typ[Multi[FeeHistory]](), config, typ[FeeHistoryArgs]())
	typed("eth_getBlockByNumber", one(getBlock, readBlock), typ[Multi[Block]](), config, typ[BlockTag]())
	typed("eth_getLogs", logs, typ[Multi[[]LogEntry]](), logsConfig, typ[GetLogsArgs]())
	typed("eth_getTransactionCount", one(getTransactionCount, readCount), typ[Multi[candid.Nat]](), config, typ[GetTransactionCountArgs]())
	typed("eth_getTransactionReceipt", one(getReceipt, readReceipt), typ[Multi[*TransactionReceipt]](), config, typ[string]())
	typed("eth_sendRawTransaction", one(sendRaw, readSent), typ[Multi[SendRawTransactionStatus]](), config, typ[string]())
	typed("eth_call", one(call, readData), typ[Multi[string]](), config, typ[CallArgs]())
	typed("multi_request", one(func(text *string) (*operation, *RPCError) { return raw(*text) }, readJSON), typ[Multi[string]](), config, typ[string]())
	typed("batch", batch, candid.VecOf(typ[Multi[BatchResult]]()), config, typ[[]BatchRequest]())
	asking("request", "requestCost", request, typ[Result[string]](), typ[RPCService](), typ[string](), typ[uint64]())
}

// one understands a method with one operation.
func one[A, T any](build func(*A) (*operation, *RPCError), read reader[T]) func(*Canister, []byte) (*plan, error) {
	return func(c *Canister, arg []byte) (*plan, error) {
		var s RPCServices
		var config *RPCConfig
		var a A
		if err := candid.Unmarshal(arg, &s, &config, &a); err != nil {
			return nil, err
		}
		if config == nil {
			config = &RPCConfig{}
		}
		op, failed := build(&a)
		return single(c, s, config, op, failed, read), nil
	}
}

func logs(c *Canister, arg []byte) (*plan, error) {
	var s RPCServices
	var config *GetLogsRPCConfig
	var a GetLogsArgs
	if err := candid.Unmarshal(arg, &s, &config, &a); err != nil {
		return nil, err
	}
	if config == nil {
		config = &GetLogsRPCConfig{}
	}
	op, failed := getLogs(&GetLogsBatchArgs{Args: a, MaxBlockRange: config.MaxBlockRange})
	return single(c, s, &RPCConfig{config.ResponseSizeEstimate, config.ResponseConsensus}, op, failed, readLogs), nil
}

// single is the plan of one operation.
func single[T any](c *Canister, s RPCServices, config *RPCConfig, op *operation, failed *RPCError, read reader[T]) *plan {
	p := &plan{retry: true, ops: []*operation{op}, failed: []*RPCError{failed},
		reply: func(p *plan, of [][]outcome) []byte {
			return candid.MustMarshal(reduce(of[0], p.sources.need, read))
		},
		refused: func(e *RPCError) []byte { return candid.MustMarshal(Multi[T]{Consistent: &Result[T]{Err: e}}) }}
	if p.sources, p.failed[0] = c.choose(s, config.ResponseConsensus); p.failed[0] == nil {
		p.failed[0] = failed
	}
	if op != nil {
		p.size = sized(config.ResponseSizeEstimate, op.estimate+headerEstimate)
	}
	return p
}

// batchItem understands one request of a batch.
func batchItem(r *BatchRequest) (op *operation, failed *RPCError, read reader[BatchResult]) {
	switch {
	case r.EthFeeHistory != nil:
		op, failed = feeHistory(r.EthFeeHistory)
		read = inBatch(readFees, func(b *BatchResult, r *Result[FeeHistory]) { b.EthFeeHistory = r })
	case r.EthGetBlockByNumber != nil:
		op, failed = getBlock(r.EthGetBlockByNumber)
		read = inBatch(readBlock, func(b *BatchResult, r *Result[Block]) { b.EthGetBlockByNumber = r })
	case r.EthGetLogs != nil:
		op, failed = getLogs(r.EthGetLogs)
		read = inBatch(readLogs, func(b *BatchResult, r *Result[[]LogEntry]) { b.EthGetLogs = r })
	case r.EthGetTransactionCount != nil:
		op, failed = getTransactionCount(r.EthGetTransactionCount)
		read = inBatch(readCount, func(b *BatchResult, r *Result[candid.Nat]) { b.EthGetTransactionCount = r })
	case r.EthGetTransactionReceipt != nil:
		op, failed = getReceipt(r.EthGetTransactionReceipt)
		read = inBatch(readReceipt, func(b *BatchResult, r *Result[*TransactionReceipt]) { b.EthGetTransactionReceipt = r })
	case r.EthSendRawTransaction != nil:
		op, failed = sendRaw(r.EthSendRawTransaction)
		read = inBatch(readSent, func(b *BatchResult, r *Result[SendRawTransactionStatus]) { b.EthSendRawTransaction = r })
	default:
		op, failed = call(r.EthCall)
		read = inBatch(readData, func(b *BatchResult, r *Result[string]) { b.EthCall = r })
	}
	return op, failed, read
}

// inBatch puts a result into that of a batch. An error stands outside, so that it counts as one when services are compared.
func inBatch[T any](read reader[T], put func(*BatchResult, *Result[T])) reader[BatchResult] {
	return func(o *outcome) Result[BatchResult] {
		r := read(o)
		if r.Err != nil {
			return Result[BatchResult]{Err: r.Err}
		}
		var b BatchResult
		put(&b, &r)
		return Result[BatchResult]{Ok: &b}
	}
}

func batch(c *Canister, arg []byte) (*plan, error) {
	var s RPCServices
	var config *RPCConfig
	var list []BatchRequest
	if err := candid.Unmarshal(arg, &s, &config, &list); err != nil {
		return nil, err
	}
	if config == nil {
		config = &RPCConfig{}
	}
	if len(list) > maxBatch {
		return nil, fmt.Errorf("a batch of %d requests, at most %d are allowed", len(list), maxBatch)
	}
	type multi = Multi[BatchResult]
	alike := func(e *RPCError) []byte {
		out := make([]multi, len(list))
		for i := range out {
			out[i] = multi{Consistent: &Result[BatchResult]{Err: e}}
		}
		return candid.MustMarshal(out)
	}
	p := &plan{retry: true, refused: alike}
	var readers []reader[BatchResult]
	estimate := uint64(headerEstimate)
	for i := range list {
		op, failed, read := batchItem(&list[i])
		p.ops, p.failed, readers = append(p.ops, op), append(p.failed, failed), append(readers, read)
		if op != nil {
			estimate += op.estimate
		}
	}
	p.size = sized(config.ResponseSizeEstimate, estimate)
	p.reply = func(p *plan, of [][]outcome) []byte {
		out := make([]multi, len(list))
		for i := range out {
			if p.failed[i] != nil {
				out[i] = multi{Consistent: &Result[BatchResult]{Err: p.failed[i]}}
			} else {
				out[i] = reduce(of[i], p.sources.need, readers[i])
			}
		}
		return candid.MustMarshal(out)
	}
	var refused *RPCError
	if p.sources, refused = c.choose(s, config.ResponseConsensus); refused != nil {
		p.ops, p.failed = []*operation{nil}, []*RPCError{refused}
	}
	return p, nil
}

// request understands the deprecated method: a request to one service, with the whole response as its result.
func request(c *Canister, arg []byte) (*plan, error) {
	var s RPCService
	var text string
	var most uint64
	if err := candid.Unmarshal(arg, &s, &text, &most); err != nil {
		return nil, err
	}
	p := &plan{size: sized(&most, 0), refused: func(e *RPCError) []byte { return candid.MustMarshal(Result[string]{Err: e}) },
		reply: func(_ *plan, of [][]outcome) []byte {
			o := &of[0][0]
			if o.err == nil && (o.answer.Err == nil || o.answer.Err.Kind == rpc.KindRPC) {
				o.answer = rpc.Answer{Result: response(text, o.answer)}
			}
			return candid.MustMarshal(readJSON(o))
		}}
	op, failed := raw(text)
	p.ops, p.failed = []*operation{op}, []*RPCError{failed}
	var refused *RPCError
	if p.sources, refused = c.single(s); refused != nil {
		p.failed[0] = refused
	}
	return p, nil
}

// response is the envelope around an answer, with the request's id.
func response(request string, a rpc.Answer) []byte {
	var id struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal([]byte(request), &id); err != nil || id.ID == nil {
		id.ID = json.RawMessage("null")
	}
	out := map[string]any{"jsonrpc": "2.0", "id": id.ID}
	if a.Err != nil {
		out["error"] = map[string]any{"code": a.Err.Code, "message": a.Err.Message}
	} else {
		out["result"] = json.RawMessage(a.Result)
	}
	b, err := json.Marshal(out)
	if err == nil {
		b, err = rpc.Canonical(b)
	}
	if err != nil {
		panic(fmt.Sprintf("canister: an answer that was read: %v", err))
	}
	return b
}

func (c *Canister) getProviders(*Call) ([]any, error) {
	out := make([]Provider, len(providers))
	for i := range providers {
		out[i] = providers[i].entry(uint64(i))
	}
	return []any{out}, nil
}

func (c *Canister) getServices(*Call) ([]any, error) {
	out := make([]serviceID, len(providers))
	for i := range providers {
		out[i] = serviceID{providers[i].service(), uint64(i)}
	}
	return []any{out}, nil
}

func (c *Canister) updateKeys(k *Call) ([]any, error) {
	if !slices.Contains(c.opt.ManageKeys, k.Caller) {
		return nil, refuse(canisterReject, "You are not authorized")
	}
	var list []keyUpdate
	if err := candid.Unmarshal(k.Arg, &list); err != nil {
		return nil, err
	}
	for _, u := range list { // all or none
		switch {
		case u.ID >= uint64(len(providers)):
			return nil, refuse(canisterError, "Provider not found: %d", u.ID)
		case providers[u.ID].bearer == "" && providers[u.ID].param == "":
			return nil, refuse(canisterError, "Trying to set API key for unauthenticated provider: %d", u.ID)
		case u.Key != nil && !validKey(*u.Key):
			return nil, refuse(canisterError, "Invalid API key for provider %d: want 1 to %d letters, digits or characters of $-_.+!*", u.ID, maxKeySize)
		}
	}
	for _, u := range list {
		if u.Key == nil {
			c.store.Delete(keyName(u.ID))
		} else {
			c.store.Set(keyName(u.ID), []byte(*u.Key))
		}
	}
	return nil, nil
}

// ---- calls ----

// Call begins a call. Queries may run beside everything else.
func (c *Canister) Call(k Call) Outcome {
	m := methods[k.Method]
	if m == nil {
		return rejected(canisterError, "the EVM RPC canister has no method %q", k.Method[:min(len(k.Method), 64)])
	}
	if k.Query && !m.query {
		return rejected(canisterError, "%s is not a query method", k.Method)
	}
	if m.run != nil {
		out, err := m.run(c, &k)
		if err != nil {
			return failed(k.Method, err)
		}
		return Outcome{Reply: candid.MustMarshal(out...)}
	}
	p, err := m.plan(c, k.Arg)
	if err != nil {
		return failed(k.Method, err)
	}
	refused := p.refusal()
	if m.cost {
		if refused != nil {
			return Outcome{Reply: candid.MustMarshal(Result[candid.Nat]{Err: refused})}
		}
		price := candid.Nat{}
		if !c.opt.Demo && len(p.ops) > 0 {
			price = candid.NatFromBig(new(big.Int).Add(p.cost(&k.Env), p.collateral(&k.Env)))
		}
		return Outcome{Reply: candid.MustMarshal(Result[candid.Nat]{Ok: &price})}
	}
	if refused != nil {
		return Outcome{Reply: p.refused(refused)}
	}
	t := &talk{Method: k.Method, Arg: k.Arg, Sizes: make([]uint64, p.targets()), Got: make([]got, p.targets())}
	for i := range t.Sizes {
		t.Sizes[i] = p.size
	}
	if !c.opt.Demo && slices.ContainsFunc(p.ops, func(op *operation) bool { return op != nil }) {
		cost := p.cost(&k.Env)
		if want := new(big.Int).Add(cost, p.collateral(&k.Env)); k.Cycles.Big().Cmp(want) < 0 {
			return Outcome{Reply: p.refused(tooFew(want, k.Cycles))}
		}
		t.Cost = cost.Bytes()
	}
	if tags := p.tags(); len(tags) > 0 {
		return c.askHeights(p, t, tags)
	}
	t.Resolved = true
	return c.askQueries(p, t)
}

// refusal is why nothing is asked at all.
func (p *plan) refusal() *RPCError {
	if p.sources == nil || len(p.ops) == 1 && p.ops[0] == nil {
		return p.failed[0]
	}
	if len(p.ops) == 1 {
		return p.failed[0]
	}
	return nil
}

func tooFew(want *big.Int, got candid.Nat) *RPCError {
	return &RPCError{ProviderError: &ProviderError{TooFewCycles: &TooFewCycles{Expected: candid.NatFromBig(want), Received: got}}}
}

func rejected(code int, format string, args ...any) Outcome {
	return Outcome{Reject: &Reject{code, fmt.Sprintf(format, args...)}}
}

func failed(method string, err error) Outcome {
	var r *Reject
	if errors.As(err, &r) {
		return Outcome{Reject: r}
	}
	return rejected(canisterError, "%s: malformed argument: %v", method, err)
}

// talk is the state of a call that waits for answers. What can be read from the argument again is not in it.
type talk struct {
	_        struct{} `cbor:",toarray"`
	Method   string
	Arg      []byte
	Resolved bool     // Heights are known
	Heights  []uint64 // of the plan's tags
	Sizes    []uint64 // by target: what its response may have
	Asked    []uint32 // targets that are being asked
	Got      []got    // by target
	Cost     []byte   // cycles so far, big-endian
}

// got is what a target gave.
type got struct {
	_      struct{} `cbor:",toarray"`
	Reply  []byte   // as Ask.Reply makes it
	Failed []byte   // Candid of an RPCError
}

func (g *got) fail(e *RPCError) { g.Reply, g.Failed = nil, candid.MustMarshal(*e) }

// ask opens the questions.
func (t *talk) ask(asks []Ask) Outcome { return Outcome{Asks: asks, State: codec.Marshal(t)} }

// askHeights asks for the numbers of tags.
func (c *Canister) askHeights(p *plan, t *talk, tags []rpc.At) Outcome {
	a := Ask{Chain: p.sources.chain, Own: p.sources.own, MaxBytes: 64 << 10}
	if !p.sources.own {
		for i := range p.sources.targets {
			e, err := c.endpoint(&p.sources.targets[i])
			if err != nil {
				t.Got[i].fail(err)
				continue
			}
			a.Endpoints = append(a.Endpoints, e)
		}
		if len(a.Endpoints) == 0 {
			return t.finish(p)
		}
		a.Known = uint32(p.sources.need)
		if a.Known == 0 || int(a.Known) > len(a.Endpoints) {
			a.Known = uint32(len(a.Endpoints))
		}
	}
	asks := make([]Ask, len(tags))
	for i, tag := range tags {
		asks[i] = a
		asks[i].Height = string(tag)
	}
	return t.ask(asks)
}

// number is a tag's number once heights are known.
func (t *talk) number(p *plan) func(rpc.At) rpc.At {
	tags := p.tags()
	return func(at rpc.At) rpc.At {
		if i := slices.Index(tags, at); i >= 0 {
			return rpc.Number(t.Heights[i])
		}
		return at
	}
}

// askQueries asks every target that has neither answered nor failed.
func (c *Canister) askQueries(p *plan, t *talk) Outcome {
	list, _ := p.queries(t.number(p))
	queries := make([]Query, len(list))
	for i, q := range list {
		queries[i] = Query{Method: q.Method, Params: q.Params}
	}
	var asks []Ask
	t.Asked = nil
	for i := range t.Got {
		g := &t.Got[i]
		if len(queries) == 0 || len(g.Reply)+len(g.Failed) > 0 {
			continue
		}
		a := Ask{Chain: p.sources.chain, Own: p.sources.own, Queries: queries, MaxBytes: MaxResponse}
		if !p.sources.own {
			a.MaxBytes = t.Sizes[i]
			e, err := c.endpoint(&p.sources.targets[i])
			if err != nil {
				g.fail(err)
				continue
			}
			a.Endpoints = []Endpoint{e}
		}
		t.Asked = append(t.Asked, uint32(i))
		asks = append(asks, a)
	}
	if len(asks) == 0 {
		return t.finish(p)
	}
	return t.ask(asks)
}

// Resume goes on with a call.
func (c *Canister) Resume(r Resume) Outcome {
	t := &talk{}
	if err := codec.Unmarshal(r.State, t); err != nil {
		panic(fmt.Sprintf("canister: the state of a call: %v", err)) // we wrote it
	}
	p, err := methods[t.Method].plan(c, t.Arg)
	if err != nil {
		panic(fmt.Sprintf("canister: the argument of a call that was understood: %v", err))
	}
	if !t.Resolved {
		for _, a := range r.Answers {
			var height uint64
			e := a.Reject
			if e == nil {
				if height, err = readHeight(a.Reply); err != nil {
					e = &Reject{sysTransient, err.Error()}
				}
			}
			if e != nil {
				return Outcome{Reply: p.refused(rejection(e.Code, e.Message)), CyclesUsed: t.used()}
			}
			t.Heights = append(t.Heights, height)
		}
		t.Resolved = true
		return c.askQueries(p, t)
	}
	queries, _ := p.queries(t.number(p))
	for i, target := range t.Asked {
		g, a := &t.Got[target], r.Answers[i]
		if a.Reject != nil {
			g.fail(rejection(a.Reject.Code, a.Reject.Message))
			continue
		}
		answers, err := readReply(a.Reply, len(queries))
		if err != nil {
			g.fail(rejection(sysTransient, err.Error()))
			continue
		}
		g.Reply = a.Reply
		if p.sources.own {
			if size := sized(nil, uint64(len(a.Reply))); size > t.Sizes[target] { // it is paid for as it is, instead of as it was estimated
				before := t.Cost
				if t.Cost = nil; !c.pay(p, t, &r.Env, target, size) {
					t.Cost = before
				}
			}
			continue
		}
		large := slices.ContainsFunc(answers, func(x rpc.Answer) bool { return x.Err != nil && x.Err.Kind == rpc.KindTooLarge })
		if !large || !p.retry || t.Sizes[target] >= MaxResponse {
			continue
		}
		size := min(2*t.Sizes[target], MaxResponse)
		if !c.pay(p, t, &r.Env, target, size) {
			continue
		}
		t.Sizes[target], g.Reply = size, nil
	}
	return c.askQueries(p, t)
}

// pay adds the price of a response of so many bytes to what a call costs, or fails the target if too few cycles came with the call.
func (c *Canister) pay(p *plan, t *talk, e *Env, target uint32, size uint64) bool {
	if c.opt.Demo {
		return true
	}
	cost := new(big.Int).Add(new(big.Int).SetBytes(t.Cost), p.price(e, int(target), size))
	if want := new(big.Int).Add(cost, p.collateral(e)); e.Cycles.Big().Cmp(want) < 0 {
		t.Got[target].fail(tooFew(want, e.Cycles))
		return false
	}
	t.Cost = cost.Bytes()
	return true
}

func readHeight(b []byte) (h uint64, err error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: a height of %d bytes", errReply, len(b))
	}
	for _, x := range b {
		h = h<<8 | uint64(x)
	}
	return h, nil
}

func (t *talk) used() candid.Nat { return candid.NatFromBig(new(big.Int).SetBytes(t.Cost)) }

// finish makes the answer of what all targets gave.
func (t *talk) finish(p *plan) Outcome {
	of := make([][]outcome, len(p.ops))
	number := func(at rpc.At) rpc.At { return at } // before heights are known only failures are told
	if t.Resolved {
		number = t.number(p)
	}
	queries, places := p.queries(number)
	for i := range t.Got {
		g := &t.Got[i]
		o := outcome{}
		if !p.sources.own {
			o.service = p.sources.targets[i].service
		}
		var answers []rpc.Answer
		switch {
		case len(g.Failed) > 0:
			o.err = &RPCError{}
			if err := candid.Unmarshal(g.Failed, o.err); err != nil {
				panic(fmt.Sprintf("canister: a failure in the state of a call: %v", err))
			}
		case len(queries) > 0:
			var err error
			if answers, err = readReply(g.Reply, len(queries)); err != nil {
				panic(fmt.Sprintf("canister: answers in the state of a call: %v", err)) // they were read when they came
			}
		}
		for k, op := range p.ops {
			x := o
			if op != nil && o.err == nil {
				if op.known != nil {
					x.answer.Result = op.known(number)
				} else {
					x.answer = answers[slices.Index(places, k)]
				}
			}
			of[k] = append(of[k], x)
		}
	}
	return Outcome{Reply: p.reply(p, of), CyclesUsed: t.used()}
}
