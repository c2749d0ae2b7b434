package canister

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
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
	TimeNs uint64     // block time
	Query  bool       // not replicated; Snapshot must be set
	// Snapshot is where a query reads: the store given to New as of the last committed block. Calls inside a block leave it nil.
	Snapshot kv.Reader
	// State is the snapshot of the coin state's own store, of the same block.
	State kv.Reader
}

// Result is a reply or a rejection.
type Result struct {
	Reply      []byte
	CyclesUsed candid.Nat
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
	c := &Canister{opt, state, store, name}
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
	return c, nil
}

// Use continues in another store with the same content: the next block's batch. The coin state has its own Use.
func (c *Canister) Use(store kv.Store) { c.store = store }

var configKey = []byte("config")

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

// Digest commits to the configuration; utxo.State.Digest does to the rest.
func (c *Canister) Digest() [32]byte {
	raw, _ := c.store.Get(configKey)
	return sha256.Sum256(raw)
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
	"get_config":                          {run: (*call).getConfig, query: true},
	"set_config":                          {run: (*call).setConfig},
	"get_blockchain_info":                 {run: (*call).getInfo, query: true},
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
	if err != nil {
		var r *Reject
		switch {
		case errors.As(err, &r):
		case errors.Is(err, utxo.ErrStale):
			r = reject(SysTransient, "the next block is being executed; ask again")
		default:
			r = reject(CanisterError, "%v", err)
		}
		return Result{CyclesUsed: k.used, Reject: r}
	}
	reply, err := candid.Marshal(out...)
	if err != nil {
		panic(fmt.Sprintf("canister: encoding the answer of %s: %v", in.Method, err))
	}
	return Result{Reply: reply, CyclesUsed: k.used}
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// arg decodes the argument.
func (k *call) arg(dst any) error {
	if err := candid.Unmarshal(k.Arg, dst); err != nil {
		return reject(CanisterError, "%s: malformed argument: %v", k.Method, err)
	}
	return nil
}

// admit applies the switches and the network check, and takes the base price. synced says that the answer depends on the chain.
func (k *call) admit(n Network, synced bool, base, maximum candid.Nat) error {
	if !k.cfg.APIAccess.on() {
		return reject(CanisterError, "Bitcoin API is disabled")
	}
	if got := n.Network(); got != k.c.state.Network() {
		return reject(CanisterError, "Network must be %v. Found %v", k.c.state.Network(), got)
	}
	if synced && k.cfg.DisableAPIIfNotFullySynced.on() {
		info, err := k.view.Info()
		if err != nil {
			return err
		}
		if !info.Synced {
			return reject(CanisterError, "Canister state is not fully synced.")
		}
	}
	if k.Query {
		return nil
	}
	if k.Cycles.Cmp(maximum) < 0 {
		return reject(CanisterReject, "Received %v cycles. %v cycles are required.", k.Cycles, maximum)
	}
	k.used = base
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
	if err := k.admit(r.Network, true, k.cfg.Fees.GetBalance, k.cfg.Fees.GetBalanceMaximum); err != nil {
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
	if err := k.admit(r.Network, true, k.cfg.Fees.GetUTXOsBase, k.cfg.Fees.GetUTXOsMaximum); err != nil {
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
	k.charge(len(p.Coins), k.cfg.Fees.GetUTXOsPerTenInstructions, k.cfg.Fees.GetUTXOsMaximum)
	out := GetUTXOsResponse{UTXOs: make([]UTXO, len(p.Coins)), TipBlockHash: p.Tip[:], TipHeight: p.TipHeight}
	for i := range p.Coins {
		c := &p.Coins[i]
		out.UTXOs[i] = UTXO{Outpoint{c.Outpoint.Txid[:], c.Outpoint.Vout}, uint64(c.Value), c.Height}
	}
	if p.Next != nil {
		out.NextPage = &p.Next
	}
	return []any{out}, nil
}

func (k *call) getFees() ([]any, error) {
	var r NetworkRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	if err := k.admit(r.Network, true, k.cfg.Fees.GetCurrentFeePercentiles, k.cfg.Fees.GetCurrentFeePercentilesMaximum); err != nil {
		return nil, err
	}
	rates, err := k.view.FeePercentiles()
	out := make([]uint64, len(rates))
	for i, r := range rates {
		out[i] = uint64(r)
	}
	return []any{out}, err
}

func (k *call) getHeaders() ([]any, error) {
	var r GetBlockHeadersRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	if err := k.admit(r.Network, true, k.cfg.Fees.GetBlockHeadersBase, k.cfg.Fees.GetBlockHeadersMaximum); err != nil {
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
	if err := k.admit(r.Network, false, price, price); err != nil {
		return nil, err
	}
	_, err := k.c.state.Send(r.Transaction, k.TimeNs)
	return nil, err
}

func (k *call) getConfig() ([]any, error) { return []any{k.cfg}, nil }

func (k *call) setConfig() ([]any, error) {
	var r SetConfigRequest
	if err := k.arg(&r); err != nil {
		return nil, err
	}
	allowed := false
	for _, p := range k.c.opt.Controllers {
		allowed = allowed || p == k.Caller
	}
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
	d := chain.Difficulty(info.Bits, k.c.state.Params().PowLimit)
	return []any{BlockchainInfo{info.Height, info.Hash[:], info.Time, candid.NatFromBig(d), info.Coins}}, nil
}
