package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/internal/pause"
	"fusion/internal/wasmbin"
	"fusion/replica/management"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

const (
	// users of the transfer load, each with a key, an account and one call under way. A subnet that certifies 2,000 calls/s in
	// half a second has 1,000 under way.
	users = 3072
	// askers of the query load.
	askers = 32
	// latencyCalls are made one after the other.
	latencyCalls = 40
	// fee of the bench ledger and what each of its users starts with.
	fee, funds = 10, 1_000_000_000_000
)

// client makes agents for the replicas of a network. All share what clients can share: connections and checked certificates.
type client struct {
	n        *testnets.Network
	http     *http.Client
	verifier *certificate.Verifier
}

func newClient(n *testnets.Network) (*client, error) {
	v, err := certificate.NewVerifier(n.RootKey())
	return &client{n, &http.Client{Transport: &http.Transport{MaxIdleConns: 2 * users, MaxIdleConnsPerHost: users, DisableCompression: true}}, v}, err
}

func (c *client) close() { c.http.CloseIdleConnections() }

// agent makes a client of a replica.
func (c *client) agent(replica int, o agent.Options) (*agent.Agent, error) {
	o.Verifier, o.Client = c.verifier, c.http
	return agent.New(c.n.URL(replica), o)
}

// agents are one for each user, spread over the replicas.
func (c *client) agents(owners []identity.Identity) (_ []*agent.Agent, err error) {
	out := make([]*agent.Agent, len(owners))
	for i := range out {
		if i < c.n.Nodes {
			out[i], err = c.agent(i, agent.Options{Identity: owners[i]})
		} else {
			out[i] = out[i%c.n.Nodes].With(owners[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// setup brings up the network, a client and a canister of our own.
func (s *suite) setup(ctx context.Context, module []byte, arg any) (*client, *agent.Agent, principal.Principal, error) {
	return s.setupWith(ctx, module, func(*agent.Agent) any { return arg }, nil)
}

// setupWith is setup with an argument that depends on the owner, and something to do between the canister's creation and its installation.
func (s *suite) setupWith(ctx context.Context, module []byte, arg func(*agent.Agent) any, prepare func(*agent.Agent, principal.Principal) error) (*client, *agent.Agent, principal.Principal, error) {
	var none principal.Principal
	n, err := s.network(ctx)
	if err != nil {
		return nil, nil, none, err
	}
	return setupOn(ctx, n, module, arg, prepare)
}

func setupOn(ctx context.Context, n *testnets.Network, module []byte, arg func(*agent.Agent) any, prepare func(*agent.Agent, principal.Principal) error) (*client, *agent.Agent, principal.Principal, error) {
	var none principal.Principal
	c, err := newClient(n)
	if err != nil {
		return nil, nil, none, err
	}
	owner, err := identity.GenerateEd25519()
	if err != nil {
		return nil, nil, none, err
	}
	a, err := c.agent(0, agent.Options{Identity: owner})
	if err != nil {
		return nil, nil, none, err
	}
	id, err := install(ctx, a, module, arg(a), prepare)
	if err != nil {
		c.close()
		return nil, nil, none, fmt.Errorf("installing a canister: %w", err)
	}
	return c, a, id, nil
}

// install makes a canister.
func install(ctx context.Context, a *agent.Agent, module []byte, arg any, prepare func(*agent.Agent, principal.Principal) error) (principal.Principal, error) {
	var created management.CanisterID
	cycles := candid.NatFromUint64(1_000_000_000_000_000)
	in := management.ProvisionalCreateArgs{Amount: &cycles}
	if err := a.Update(ctx, principal.Management, "provisional_create_canister_with_cycles", []any{in}, []any{&created}); err != nil {
		return created.CanisterID, err
	}
	var encoded []byte
	var err error
	if arg != nil {
		if encoded, err = candid.Marshal(arg); err != nil {
			return created.CanisterID, err
		}
	}
	if prepare != nil {
		if err := prepare(a, created.CanisterID); err != nil {
			return created.CanisterID, err
		}
	}
	return created.CanisterID, testnets.Install(ctx, a, created.CanisterID, management.ModeInstall(), module, encoded)
}

// ledger brings up a ledger with funded users that keeps all its blocks.
func (s *suite) ledger(ctx context.Context, owners []identity.Identity) (*client, principal.Principal, error) {
	c, _, id, err := s.ledgerWith(ctx, owners, func(principal.Principal) icrc.ArchiveOptions { return icrc.ArchiveOptions{} }, nil)
	return c, id, err
}

func (s *suite) ledgerWith(ctx context.Context, owners []identity.Identity, options func(controller principal.Principal) icrc.ArchiveOptions,
	prepare func(*agent.Agent, principal.Principal) error) (*client, *agent.Agent, principal.Principal, error) {
	module, err := canisters.Module("icrc1_ledger")
	if err != nil {
		return nil, nil, principal.Principal{}, err
	}
	arg := &icrc.InitArgs{MintingAccount: icrc.Account{Owner: principal.Management}, TransferFee: candid.NatFromUint64(fee), TokenSymbol: "BENCH", TokenName: "benchmark"}
	for _, o := range owners {
		arg.InitialBalances = append(arg.InitialBalances,
			icrc.InitialBalance{Account: icrc.Account{Owner: o.Sender()}, Amount: candid.NatFromUint64(funds)})
	}
	return s.setupWith(ctx, module, func(a *agent.Agent) any {
		arg.ArchiveOptions = options(a.Sender())
		return icrc.LedgerArg{Init: arg}
	}, prepare)
}

func makeUsers(n int) ([]identity.Identity, error) {
	out := make([]identity.Identity, n)
	for i := range out {
		id, err := identity.GenerateEd25519()
		if err != nil {
			return nil, err
		}
		out[i] = id
	}
	return out, nil
}

// latency makes transfers one after the other on an idle network and verifies each.
func (s *suite) latency(ctx context.Context) error {
	owners, err := makeUsers(2)
	if err != nil {
		return err
	}
	c, ledger, err := s.ledger(ctx, owners)
	if err != nil {
		return err
	}
	defer c.close()
	a, err := c.agent(0, agent.Options{Identity: owners[0]})
	if err != nil {
		return err
	}
	s.Progress.Begin("update latency")
	took := make([]time.Duration, latencyCalls)
	for i := range took {
		began := time.Now()
		if err := transfer(ctx, a, ledger, owners[1].Sender()); err != nil {
			return err
		}
		took[i] = time.Since(began)
		s.Progress.Note("%d of %d", i+1, latencyCalls)
		if err := pause.For(ctx, time.Duration(i%7)*37*time.Millisecond); err != nil { // calls come at any time within a block
			return err
		}
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1)+0.5)].Seconds() * 1000 }
	s.add("update_latency_p50_ms", at(0.5), "ms", "Internet Computer, tuned", icUpdateLatency)
	s.add("update_latency_p95_ms", at(0.95), "ms", "", 0)
	return nil
}

var errRefused = errors.New("the ledger refuses the transfer")

func transfer(ctx context.Context, a *agent.Agent, ledger, to principal.Principal) error {
	var res icrc.TransferResult
	arg := icrc.TransferArg{To: icrc.Account{Owner: to}, Amount: candid.NatFromUint64(1)}
	if err := a.Update(ctx, ledger, "icrc1_transfer", []any{arg}, []any{&res}); err != nil {
		return err
	}
	if res.Ok == nil {
		return fmt.Errorf("%w: %+v", errRefused, *res.Err)
	}
	return nil
}

// transfers saturates the network with transfers of many users, spread over the replicas, each certified and verified.
func (s *suite) transfers(ctx context.Context) error {
	owners, err := makeUsers(users)
	if err != nil {
		return err
	}
	c, ledger, err := s.ledger(ctx, owners)
	if err != nil {
		return err
	}
	defer c.close()
	rate, cpu, err := s.transferLoad(ctx, c, ledger, owners, "transfers")
	if err != nil {
		return err
	}
	s.add("icrc_transfers_per_s", rate, "transfers/s", "Internet Computer, tuned", icUpdates)
	s.add("transfer_cpu_ms", cpu, "CPU-ms", "", 0)
	return nil
}

func (s *suite) transferLoad(ctx context.Context, c *client, ledger principal.Principal, owners []identity.Identity, name string) (rate, cpuMs float64, err error) {
	agents, err := c.agents(owners)
	if err != nil {
		return 0, 0, err
	}
	s.Progress.Begin(name)
	return s.load(ctx, len(owners), name, func(ctx context.Context, i int) error {
		return transfer(ctx, agents[i], ledger, owners[(i+1)%len(owners)].Sender())
	})
}

// queries saturates one replica with queries, without and with the check of the node's signature by the client.
func (s *suite) queries(ctx context.Context) error {
	owners, err := makeUsers(askers)
	if err != nil {
		return err
	}
	c, ledger, err := s.ledger(ctx, owners)
	if err != nil {
		return err
	}
	defer c.close()
	for _, m := range []struct {
		name string
		skip bool
	}{{"queries_per_s", true}, {"queries_verified_per_s", false}} {
		a, err := c.agent(0, agent.Options{SkipQueryVerification: m.skip})
		if err != nil {
			return err
		}
		s.Progress.Begin(m.name)
		rate, _, err := s.load(ctx, askers, m.name, func(ctx context.Context, i int) error {
			var balance candid.Nat
			if err := a.Ask(ctx, ledger, "icrc1_balance_of", []any{icrc.Account{Owner: owners[i].Sender()}}, []any{&balance}); err != nil {
				return err
			}
			if v, ok := balance.Uint64(); !ok || v != funds {
				return fmt.Errorf("a balance of %s", balance)
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.add(m.name, rate, "queries/s", "Internet Computer, one node", icQueries)
	}
	return nil
}

// nodeQueries asks one replica's HTTP interface without sockets and clients, on one thread and on two: what a machine of its own would do.
func (s *suite) nodeQueries(ctx context.Context) error {
	c, _, counter, err := s.setup(ctx, counterModule(), nil)
	if err != nil {
		return err
	}
	defer c.close()
	h := c.n.Replica(0).Handler()
	url := fmt.Sprintf("http://localhost/api/v3/canister/%s/query", counter)
	for threads, name := range []string{"queries_node_1_thread_per_s", "queries_node_2_threads_per_s"} {
		s.Progress.Begin(name)
		rate, _, err := s.load(ctx, threads+1, name, func(ctx context.Context, i int) error {
			e := envelope.Envelope{Content: envelope.Content{RequestType: envelope.Query, Sender: principal.Anonymous, CanisterID: counter, MethodName: "get",
				Arg: emptyCandid, IngressExpiry: uint64(time.Now().Add(2 * time.Minute).UnixNano())}}
			req := httptest.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(e.Encode()))
			req.Header.Set("Content-Type", "application/cbor")
			req.RemoteAddr = "127.0.0.1:1"
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, req); w.Code != http.StatusOK {
				return fmt.Errorf("a query: %d %s", w.Code, w.Body)
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.add(name, rate, "queries/s", "Internet Computer, one node", icQueries)
	}
	return nil
}

// updates saturates the network with calls of a counter, certified and verified like transfers.
func (s *suite) updates(ctx context.Context) error {
	owners, err := makeUsers(users)
	if err != nil {
		return err
	}
	c, _, counter, err := s.setup(ctx, counterModule(), nil)
	if err != nil {
		return err
	}
	defer c.close()
	agents, err := c.agents(owners)
	if err != nil {
		return err
	}
	s.Progress.Begin("updates")
	rate, cpu, err := s.load(ctx, users, "updates", func(ctx context.Context, i int) error {
		return agents[i].Update(ctx, counter, "add", nil, nil)
	})
	if err != nil {
		return err
	}
	s.add("counter_updates_per_s", rate, "updates/s", "Internet Computer, tuned", icUpdates)
	s.add("counter_update_cpu_ms", cpu, "CPU-ms", "", 0)
	return nil
}

// emptyCandid is a message of no values.
var emptyCandid = []byte("DIDL\x00\x00")

// counterModule is a canister that counts the calls of add in its heap, which replies with nothing, as get does.
func counterModule() []byte {
	const at = 8 // of the count
	m := wasmbin.Module{Memories: []wasmbin.Limits{{Min: 1}},
		Data: []wasmbin.Data{{Mode: wasmbin.Active, Offset: wasmbin.AppendOp(wasmbin.AppendI32(nil, 0), wasmbin.OpEnd), Init: emptyCandid}}}
	for _, f := range []struct {
		name   string
		params []wasmbin.ValType
	}{{"msg_reply_data_append", []wasmbin.ValType{wasmbin.I32, wasmbin.I32}}, {"msg_reply", nil}} {
		m.Imports = append(m.Imports, wasmbin.Import{Module: "ic0", Name: f.name, Kind: wasmbin.KindFunc, Func: m.AddType(wasmbin.FuncType{Params: f.params})})
	}
	reply := wasmbin.AppendI32(wasmbin.AppendI32(nil, 0), int32(len(emptyCandid)))
	reply = wasmbin.AppendIndex(wasmbin.AppendIndex(reply, wasmbin.OpCall, 0), wasmbin.OpCall, 1)
	add := wasmbin.AppendI32(wasmbin.AppendI32(nil, at), at)
	add = wasmbin.AppendMemArg(add, wasmbin.OpI64Load, 3, 0)
	add = wasmbin.AppendOp(wasmbin.AppendI64(add, 1), wasmbin.OpI64Add)
	add = wasmbin.AppendMemArg(add, wasmbin.OpI64Store, 3, 0)
	for _, f := range []struct {
		name string
		body []byte
	}{{"canister_update add", append(add, reply...)}, {"canister_query get", reply}} {
		m.Exports = append(m.Exports, wasmbin.Export{Name: f.name, Kind: wasmbin.KindFunc, Index: uint32(len(m.Imports) + len(m.Code))})
		m.Funcs = append(m.Funcs, m.AddType(wasmbin.FuncType{}))
		m.Code = append(m.Code, wasmbin.Code{Body: wasmbin.AppendOp(slices.Clone(f.body), wasmbin.OpEnd)})
	}
	return m.Encode()
}

// warmUp is how long a load runs before it is measured.
const warmUp = 3 * time.Second

// load runs a number of clients that each do one thing after the other, and returns how many were done per second and the
// milliseconds of processor time that one took, of all replicas and clients together.
func (s *suite) load(ctx context.Context, clients int, name string, do func(ctx context.Context, client int) error) (rate, cpuMs float64, err error) {
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var done atomic.Int64
	var ending atomic.Bool
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for !ending.Load() {
				if err := do(run, i); err != nil {
					stop(err)
					return
				}
				done.Add(1)
			}
		})
	}
	defer wg.Wait()
	defer ending.Store(true)
	if err := s.watch(run, warmUp, &done, "warming up"); err != nil {
		return 0, 0, err
	}
	profiled, err := s.profile(name)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, profiled()) }()
	from, began, cpu := done.Load(), time.Now(), ownCPU()
	if err := s.watch(run, s.Duration, &done, "measuring"); err != nil {
		return 0, 0, err
	}
	n := float64(done.Load() - from)
	return n / time.Since(began).Seconds(), (ownCPU() - cpu).Seconds() * 1000 / n, nil
}

// profile begins a CPU profile of a load if they are asked for, which the function that it returns ends.
func (s *suite) profile(name string) (end func() error, err error) {
	if s.Profile == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(filepath.Join(s.Profile, name+".pprof"))
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("profile: %w", errors.Join(err, f.Close()))
	}
	return sync.OnceValue(func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}), nil
}

// watch shows a load for a while; it returns early with the cause when the load fails.
func (s *suite) watch(ctx context.Context, d time.Duration, done *atomic.Int64, what string) error {
	began, last := time.Now(), done.Load()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end.C:
			return nil
		case <-t.C:
			now := done.Load()
			s.Progress.Note("%s, %.0f of %.0f s: %d/s", what, time.Since(began).Seconds(), d.Seconds(), now-last)
			last = now
		}
	}
}
