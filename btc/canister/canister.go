package canister

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/internal/metrics"
)

// The canister's well-known ids on the Internet Computer.
var (
	MainnetID = principal.MustParse("ghsi2-tqaaa-aaaan-aaaca-cai")
	TestnetID = principal.MustParse("g4xu7-jiaaa-aaaan-aaaaq-cai") // testnet4 and regtest
)

// IDOf is the canister's id for a network.
func IDOf(n btc.Network) principal.Principal {
	if n == btc.Mainnet {
		return MainnetID
	}
	return TestnetID
}

// ErrNetworkClass is returned when a subnet for development is configured for a network where coins may have value.
var ErrNetworkClass = errors.New("a local subnet may only follow a development network")

// CheckClass refuses every network but development ones to a subnet of class local.
func CheckClass(local bool, n btc.Network) error {
	if local && !n.Development() {
		return fmt.Errorf("%w, not %v", ErrNetworkClass, n)
	}
	return nil
}

// Options configure the canister; they are part of the genesis.
type Options struct {
	// Local says that the subnet is of class local: then the network must be a development one.
	Local bool
	// Controllers may call set_config.
	Controllers []principal.Principal
	// Fees is nil for DefaultFees.
	Fees *Fees
	// Strict refuses reads while the chain is not synced (disable_api_if_not_fully_synced). The default of the genesis should be true.
	Strict bool
}

// Call is a call of one of the canister's methods.
type Call struct {
	Method string
	Arg    []byte
	Caller principal.Principal
	Cycles candid.Nat // attached
	// Balance is what the canister has in cycles beside those, for calls that are not queries.
	Balance candid.Nat
	TimeNs  uint64 // block time
	Query   bool   // not replicated; Snapshot must be set
	// Snapshot is where a query reads: the store given to New as of the last committed block. Calls inside a block leave it nil.
	Snapshot kv.Reader
	// State is the snapshot of the coin state's own store, of the same block.
	State kv.Reader
	// Mempool answers from this replica's own view of transactions that are not in a block yet, oldest first; nil where there is none. Only
	// queries may use it: replicas need not agree on it.
	Mempool func(btc.Address) []Sighting
}

// Sighting is an output of a transaction that peers relay and no block holds.
type Sighting struct {
	Outpoint btc.Outpoint
	Value    btc.Satoshi
	SeenNs   uint64 // when this replica saw it first, by its own clock
}

// Result is a reply or a rejection.
type Result struct {
	Reply      []byte
	CyclesUsed candid.Nat
	Burn       bool // the canister's cycles are to be burnt, those of this call included
	Reject     *Reject
}

// Reject codes of the Internet Computer that the canister uses.
const (
	SysTransient   = 2
	DestinationBad = 3
	CanisterReject = 4
	CanisterError  = 5
)

// Reject says why a call was refused.
type Reject struct {
	Code    int
	Message string
}

func (r *Reject) Error() string { return r.Message }

func reject(code int, format string, args ...any) *Reject {
	return &Reject{code, fmt.Sprintf(format, args...)}
}

// Canister answers calls. Calls that are not queries belong to the goroutine that owns the coin state.
type Canister struct {
	opt   Options
	state *utxo.State
	store kv.Store
	name  Network
	rates rates
}

// rates are the fee percentiles as of a tip. They follow from the blocks between the anchor and the tip, so they need not be stored.
type rates struct {
	tip    btc.Hash
	anchor uint32
	ranked []uint64
	known  bool
}

// New opens the canister over its own store, which holds its configuration.
func New(opt Options, state *utxo.State, store kv.Store) (*Canister, error) {
	if err := CheckClass(opt.Local, state.Network()); err != nil {
		return nil, err
	}
	name, err := NetworkOf(state.Network())
	if err != nil {
		return nil, err
	}
	c := &Canister{opt: opt, state: state, store: store, name: name}
	if _, ok := store.Get(configKey); !ok {
		fees := DefaultFees(state.Network())
		if opt.Fees != nil {
			fees = *opt.Fees
		}
		c.putConfig(Config{StabilityThreshold: candid.NatFromUint64(uint64(state.Stability())), Network: name, BlocksSource: principal.Management,
			Syncing: flagOf(true), Fees: fees, APIAccess: flagOf(true), DisableAPIIfNotFullySynced: flagOf(opt.Strict),
			BurnCycles: flagOf(false), LazilyEvaluateFeePercentile: flagOf(true)})
	}
	if _, err := c.config(store); err != nil {
		return nil, err
	}
	if _, err := c.counters(store); err != nil {
		return nil, err
	}
	return c, nil
}

// Use continues in another store with the same content: the next block's batch. The coin state has its own Use.
func (c *Canister) Use(store kv.Store) { c.store = store }

var (
	configKey   = []byte("config")
	countersKey = []byte("counters")
)

// counters are the totals of the metrics.
type counters struct {
	Sent  uint64     `candid:"send_transaction_count"`
	Burnt candid.Nat `candid:"cycles_burnt"`
}

func (c *Canister) counters(r kv.Reader) (n counters, err error) {
	raw, ok := r.Get(countersKey)
	if !ok {
		return n, nil
	}
	if err := candid.Unmarshal(raw, &n); err != nil {
		return n, fmt.Errorf("the Bitcoin canister's stored counters: %w", err)
	}
	return n, nil
}

// count changes the totals. They could be read when the canister was opened, so they can be read now.
func (c *Canister) count(add func(*counters)) {
	n, err := c.counters(c.store)
	if err != nil {
		panic(fmt.Sprintf("canister: %v", err))
	}
	add(&n)
	c.store.Set(countersKey, candid.MustMarshal(n))
}

func (c *Canister) putConfig(cfg Config) {
	raw, err := candid.Marshal(cfg)
	if err != nil {
		panic(fmt.Sprintf("canister: encoding the configuration: %v", err))
	}
	c.store.Set(configKey, raw)
}

func (c *Canister) config(r kv.Reader) (Config, error) {
	var cfg Config
	raw, ok := r.Get(configKey)
	if !ok {
		return cfg, errors.New("the Bitcoin canister has no stored configuration")
	}
	if err := candid.Unmarshal(raw, &cfg); err != nil {
		return cfg, fmt.Errorf("the Bitcoin canister's stored configuration: %w", err)
	}
	return cfg, nil
}

// Syncing tells whether new blocks are to be taken in at all (set_config syncing).
func (c *Canister) Syncing() bool {
	cfg, err := c.config(c.store)
	return err == nil && cfg.Syncing.on()
}

// Applied does what is due after the coin state took in a block of the subnet: unless they are evaluated lazily, the fee percentiles of a new tip.
func (c *Canister) Applied() {
	cfg, err := c.config(c.store)
	if err != nil || cfg.LazilyEvaluateFeePercentile.on() {
		return
	}
	// A halted state has none.
	_, _ = c.percentiles(c.state.Live())
}

// percentiles are the fee percentiles as of the tip, ranked once for each.
func (c *Canister) percentiles(v utxo.View) ([]uint64, error) {
	info, err := v.Info()
	if err != nil {
		return nil, err
	}
	if r := &c.rates; r.known && info.Halted == nil && r.tip == info.Hash && r.anchor == info.Anchor {
		return r.ranked, nil
	}
	ranked, err := v.FeePercentiles()
	if err != nil {
		return nil, err
	}
	out := make([]uint64, len(ranked))
	for i, r := range ranked {
		out[i] = uint64(r)
	}
	c.rates = rates{info.Hash, info.Anchor, out, true}
	return out, nil
}

// call is what a method works with.
type call struct {
	Call
	c    *Canister
	cfg  Config
	view utxo.View
	used candid.Nat
}

type method struct {
	run   func(*call) ([]any, error)
	query bool // may be called as a query
	only  bool // and as nothing else
}

var methods = map[string]method{
	"bitcoin_get_balance":                 {run: (*call).getBalance},
	"bitcoin_get_balance_query":           {run: (*call).getBalance, query: true, only: true},
	"bitcoin_get_utxos":                   {run: (*call).getUTXOs},
	"bitcoin_get_utxos_query":             {run: (*call).getUTXOs, query: true, only: true},
	"bitcoin_get_current_fee_percentiles": {run: (*call).getFees},
	"bitcoin_get_block_headers":           {run: (*call).getHeaders},
	"bitcoin_send_transaction":            {run: (*call).send},
	"bitcoin_get_mempool_utxos_query":     {run: (*call).getMempool, query: true, only: true},
	"get_config":                          {run: (*call).getConfig, query: true},
	"set_config":                          {run: (*call).setConfig},
	"get_blockchain_info":                 {run: (*call).getInfo, query: true},
	"reset_chain":                         {run: (*call).resetChain},
	"http_request":                        {run: (*call).http, query: true, only: true},
}

// Call runs a method.
func (c *Canister) Call(in Call) Result {
	m, ok := methods[in.Method]
	switch {
	case !ok:
		return Result{Reject: reject(CanisterError, "the Bitcoin canister has no method %q", clip(in.Method))}
	case in.Query && !m.query:
		return Result{Reject: reject(CanisterError, "%s is not a query method", in.Method)}
	case !in.Query && m.only:
		return Result{Reject: reject(CanisterReject, "%s cannot be called in replicated mode", in.Method)}
	}
	k := &call{Call: in, c: c}
	var err error
	if in.Query {
		k.view = c.state.View(in.State)
		k.cfg, err = c.config(in.Snapshot)
	} else {
		k.view = c.state.Live()
		k.cfg, err = c.config(c.store)
	}
	var out []any
	if err == nil {
		out, err = m.run(k)
	}
	res := Result{CyclesUsed: k.used}
	if !in.Query && k.cfg.BurnCycles.on() {
		res.Burn = true
		if all := in.Balance.Add(k.used); !all.IsZero() {
			c.count(func(n *counters) { n.Burnt = n.Burnt.Add(all) })
		}
	}
	if err != nil {
		var r *Reject
		switch {
		case errors.As(err, &r):
		case errors.Is(err, utxo.ErrStale):
			r = reject(SysTransient, "the next block is being executed; ask again")
		default:
			r = reject(CanisterError, "%v", err)
		}
		res.Reject = r
		return res
	}
	reply, err := candid.Marshal(out...)
	if err != nil {
		panic(fmt.Sprintf("canister: encoding the answer of %s: %v", in.Method, err))
	}
	res.Reply = reply
	return res
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// arg decodes the argument.
func (k *call) arg(dst ...any) error {
	if err := candid.Unmarshal(k.Arg, dst...); err != nil {
		return reject(CanisterError, "%s: malformed argument: %v", k.Method, err)
	}
	return nil
}

// gate says what must hold of the chain for a method to answer.
type gate int

const (
	anyChain gate = iota
	synced        // bodies have caught up with headers
	trusted       // and nothing says that this is not the chain that the world mines on: coins are counted
)

// admit applies the switches, the network check and the gate, and takes the base price.
func (k *call) admit(n Network, g gate, base, maximum candid.Nat) error {
	if !k.cfg.APIAccess.on() {
		return reject(CanisterError, "Bitcoin API is disabled")
	}
	if got := n.Network(); got != k.c.name.Network() {
		return reject(CanisterError, "Network must be %v. Found %v", k.c.name.Network(), got)
	}
	info, err := k.view.Info()
	if err != nil {
		return err
	}
	if info.Halted != nil {
		return reject(CanisterError, "Bitcoin API is halted: %v", info.Halted)
	}
	if g != anyChain && k.cfg.DisableAPIIfNotFullySynced.on() {
		if !info.Synced {
			return reject(CanisterError, "Canister state is not fully synced.")
		}
		if g == trusted {
			doubt, err := k.view.Doubt(k.TimeNs)
			if err != nil {
				return err
			}
			if doubt != "" {
				return reject(CanisterError, "Canister state is not fully synced: %s", doubt)
			}
		}
	}
	if k.Query {
		return nil
	}
	if k.Cycles.Cmp(maximum) < 0 {
		return reject(CanisterReject, "Received %v cycles. %v cycles are required.", k.Cycles, maximum)
	}
	k.used = base
	if base.Cmp(k.Cycles) > 0 { // a base above the maximum
		k.used = k.Cycles
	}
	return nil
}

// instructionsPerItem is what each coin or header of an answer counts.
const instructionsPerItem = 10_000

// charge adds the price of an answer's items, up to the maximum.
func (k *call) charge(items int, perTen, maximum candid.Nat) {
	if k.Query {
		return
	}
	n := new(big.Int).Mul(perTen.Big(), big.NewInt(int64(items)*instructionsPerItem/10))
	k.used = k.used.Add(candid.NatFromBig(n))
	if k.used.Cmp(maximum) > 0 {
		k.used = maximum
	}
}

func (k *call) address(text string) (btc.Address, error) {
	a, err := btc.ParseAddress(k.c.state.Network(), text)
	if err != nil {
		return a, reject(CanisterError, "%v", err)
	}
	return a, nil
}

func (k *call) getBalance() ([]any, error) {
	var r GetBalanceRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	if err := k.admit(r.Network, trusted, k.cfg.Fees.GetBalance, k.cfg.Fees.GetBalanceMaximum); err != nil {
		return nil, err
	}
	a, err := k.address(r.Address)
	if err != nil {
		return nil, err
	}
	confirmations := uint32(0)
	if r.MinConfirmations != nil {
		confirmations = *r.MinConfirmations
	}
	sum, err := k.view.Balance(a, confirmations)
	return []any{uint64(sum)}, err
}

func (k *call) getUTXOs() ([]any, error) {
	var r GetUTXOsRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	if err := k.admit(r.Network, trusted, k.cfg.Fees.GetUTXOsBase, k.cfg.Fees.GetUTXOsMaximum); err != nil {
		return nil, err
	}
	a, err := k.address(r.Address)
	if err != nil {
		return nil, err
	}
	var p utxo.Page
	switch {
	case r.Filter == nil:
		p, err = k.view.UTXOs(a, 0)
	case r.Filter.Page != nil:
		p, err = k.view.NextUTXOs(a, *r.Filter.Page)
	default:
		p, err = k.view.UTXOs(a, *r.Filter.MinConfirmations)
	}
	if err != nil {
		return nil, err
	}
	info, err := k.view.Info()
	if err != nil {
		return nil, err
	}
	k.charge(len(p.Coins), k.cfg.Fees.GetUTXOsPerTenInstructions, k.cfg.Fees.GetUTXOsMaximum)
	out := GetUTXOsResponse{UTXOs: make([]UTXO, len(p.Coins)), TipBlockHash: p.Tip[:], TipHeight: p.TipHeight, Epoch: &info.Epoch}
	for i := range p.Coins {
		c := &p.Coins[i]
		out.UTXOs[i] = UTXO{Outpoint{c.Outpoint.Txid[:], c.Outpoint.Vout}, uint64(c.Value), c.Height}
	}
	if p.Next != nil {
		out.NextPage = &p.Next
	}
	return []any{out}, nil
}

// maxSightings bounds an answer about the memory pool.
const maxSightings = 1000

// getMempool answers from this replica's own view. What blocks hold by now is left out: bitcoin_get_utxos_query lists that.
func (k *call) getMempool() ([]any, error) {
	var r GetMempoolUTXOsRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	none := candid.NatFromUint64(0)
	if err := k.admit(r.Network, synced, none, none); err != nil {
		return nil, err
	}
	a, err := k.address(r.Address)
	if err != nil {
		return nil, err
	}
	out := []MempoolUTXO{}
	if k.Mempool == nil {
		return []any{out}, nil
	}
	for _, s := range k.Mempool(a) {
		if len(out) == maxSightings {
			break
		}
		mined, err := k.view.Made(s.Outpoint)
		if err != nil {
			return nil, err
		}
		if !mined {
			out = append(out, MempoolUTXO{Outpoint{s.Outpoint.Txid[:], s.Outpoint.Vout}, uint64(s.Value), s.SeenNs})
		}
	}
	return []any{out}, nil
}

func (k *call) getFees() ([]any, error) {
	var r NetworkRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	if err := k.admit(r.Network, synced, k.cfg.Fees.GetCurrentFeePercentiles, k.cfg.Fees.GetCurrentFeePercentilesMaximum); err != nil {
		return nil, err
	}
	out, err := k.c.percentiles(k.view)
	return []any{out}, err
}

func (k *call) getHeaders() ([]any, error) {
	var r GetBlockHeadersRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	if err := k.admit(r.Network, synced, k.cfg.Fees.GetBlockHeadersBase, k.cfg.Fees.GetBlockHeadersMaximum); err != nil {
		return nil, err
	}
	headers, tip, err := k.view.Headers(r.StartHeight, r.EndHeight)
	if err != nil {
		return nil, err
	}
	k.charge(len(headers), k.cfg.Fees.GetBlockHeadersPerTenInstructions, k.cfg.Fees.GetBlockHeadersMaximum)
	return []any{GetBlockHeadersResponse{tip, headers}}, nil
}

func (k *call) send() ([]any, error) {
	var r SendTransactionRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	perByte := new(big.Int).Mul(k.cfg.Fees.SendTransactionPerByte.Big(), big.NewInt(int64(len(r.Transaction))))
	price := k.cfg.Fees.SendTransactionBase.Add(candid.NatFromBig(perByte))
	if err := k.admit(r.Network, anyChain, price, price); err != nil {
		return nil, err
	}
	if _, err := k.c.state.Send(r.Transaction, k.TimeNs); err != nil {
		return nil, err
	}
	k.c.count(func(n *counters) { n.Sent++ })
	return nil, nil
}

func (k *call) getConfig() ([]any, error) { return []any{k.cfg}, nil }

func (k *call) setConfig() ([]any, error) {
	var r SetConfigRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	allowed := slices.Contains(k.c.opt.Controllers, k.Caller)
	if w := k.cfg.WatchdogCanister; w != nil && *w == k.Caller && r == (SetConfigRequest{APIAccess: r.APIAccess}) {
		allowed = true // the watchdog may open and close the interface, and do nothing else
	}
	if !allowed {
		return nil, reject(CanisterReject, "only a controller can set the configuration")
	}
	if s := r.StabilityThreshold; s != nil && s.Cmp(k.cfg.StabilityThreshold) != 0 {
		return nil, reject(CanisterReject, "the stability threshold is fixed at genesis: %v", k.cfg.StabilityThreshold)
	}
	cfg := k.cfg
	for _, f := range []struct {
		from *Flag
		to   *Flag
	}{{r.Syncing, &cfg.Syncing}, {r.APIAccess, &cfg.APIAccess}, {r.DisableAPIIfNotFullySynced, &cfg.DisableAPIIfNotFullySynced},
		{r.BurnCycles, &cfg.BurnCycles}, {r.LazilyEvaluateFeePercentile, &cfg.LazilyEvaluateFeePercentile}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if r.Fees != nil {
		cfg.Fees = *r.Fees
	}
	if r.WatchdogCanister != nil {
		cfg.WatchdogCanister = *r.WatchdogCanister
	}
	k.c.putConfig(cfg)
	return nil, nil
}

func (k *call) getInfo() ([]any, error) {
	info, err := k.view.Info()
	if err != nil {
		return nil, err
	}
	doubt, err := k.view.Doubt(k.TimeNs)
	if err != nil {
		return nil, err
	}
	d := chain.Difficulty(info.Bits, k.c.state.Params().PowLimit)
	out := BlockchainInfo{Height: info.Height, BlockHash: info.Hash[:], Timestamp: info.Time, Difficulty: candid.NatFromBig(d), UTXOsLength: info.Coins, Epoch: &info.Epoch}
	if info.Halted != nil {
		text := info.Halted.String()
		out.Halted = &text
	}
	if doubt != "" {
		out.Doubt = &doubt
	}
	return []any{out}, nil
}

// resetChain is the way out after a reorganisation that was deeper than final blocks.
func (k *call) resetChain() ([]any, error) {
	if err := k.arg(); err != nil {
		return nil, err
	}
	if !slices.Contains(k.c.opt.Controllers, k.Caller) {
		return nil, reject(CanisterReject, "only a controller can reset the chain")
	}
	return nil, k.c.state.Reset()
}

// http serves GET /metrics in Prometheus' text format.
func (k *call) http() ([]any, error) {
	var r HTTPRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	path, _, _ := strings.Cut(r.URL, "?")
	if path != "/metrics" {
		return []any{HTTPResponse{404, []HeaderField{}, []byte("not found: there is /metrics\n")}}, nil
	}
	info, err := k.view.Info()
	if err != nil {
		return nil, err
	}
	doubt, err := k.view.Doubt(k.TimeNs)
	if err != nil {
		return nil, err
	}
	totals, err := k.c.counters(k.Snapshot)
	if err != nil {
		return nil, err
	}
	var w metrics.Writer
	w.Gauge("main_chain_height", "Height of the main chain.", info.Height)
	w.Gauge("stable_height", "Height of the last final block.", info.Anchor)
	w.Gauge("header_height", "Height of the heaviest branch of headers.", info.BestHeader)
	w.Gauge("utxos_length", "Unspent outputs as of the last final block.", info.Coins)
	if headers, _, err := k.view.Headers(info.Anchor, &info.Anchor); err == nil { // a halted state shows none
		anchor, err := btc.ParseHeader(headers[0])
		if err != nil {
			return nil, err
		}
		d := chain.Difficulty(anchor.Bits, k.c.state.Params().PowLimit)
		w.Gauge("anchor_difficulty", "Difficulty of the last final block.", d)
		w.Gauge("normalized_stability_threshold", "Work that makes the next block final, as a difficulty.", new(big.Int).Mul(d, k.cfg.StabilityThreshold.Big()))
	}
	w.Gauge("unstable_blocks_total", "Blocks that are not final.", info.Blocks)
	w.Gauge("unstable_blocks_depth", "Blocks of the main chain that are not final.", info.Height-info.Anchor)
	w.Gauge("unstable_blocks_bytes", "Size of those.", info.Bytes)
	w.Gauge("outgoing_transactions", "Transactions that are announced.", info.Outgoing)
	w.Gauge("send_transaction_count", "Transactions that were taken to be announced, from the beginning.", totals.Sent)
	w.Gauge("cycles_burnt", "Cycles burnt, from the beginning.", totals.Burnt)
	w.Gauge("resets_total", "How often reset_chain had all that was known forgotten.", info.Epoch)
	w.Flag("is_synced", "Whether blocks have caught up with headers.", info.Synced)
	w.Flag("is_halted", "Whether a reorganisation deeper than final blocks halted the canister.", info.Halted != nil)
	w.Flag("is_doubted", "Whether the newest block is too old, or blocks come too slowly, for coins to be counted.", doubt != "")
	var access []metrics.Row
	for _, on := range []bool{true, false} {
		access = append(access, metrics.Row{Labels: fmt.Sprintf("{flag=%q}", flagOf(on)), Value: metrics.Bit(on == k.cfg.APIAccess.on())})
	}
	w.Rows("gauge", "api_access", "Whether the interface is open.", access...)
	w.Flag("syncing", "Whether blocks are taken in.", k.cfg.Syncing.on())
	return []any{HTTPResponse{200, []HeaderField{{"Content-Type", metrics.Prometheus}}, []byte(w.String())}}, nil
}
