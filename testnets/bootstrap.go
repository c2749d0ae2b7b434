package testnets

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/btc"
	"fusion/ckledger/checker"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/genesis"
	"fusion/replica/management"
	"fusion/testnets/canisters"
)

// DefaultIdentity controls the canisters of a local network and is the user that commands act for.
const DefaultIdentity = "default"

// Parameters of ckBTC on a local network. Amounts are in satoshi.
const (
	// Confirmations before a deposit is minted; fewer than on mainnet (4), and more than reorganisations of a test reach.
	Confirmations = 4
	// TransferFee is ckBTC's on mainnet.
	TransferFee = 10
	// CheckFee is zero: what the checker's outcalls cost is nothing on a local network.
	CheckFee = 0
	// RetrieveMin is ckBTC's minimum withdrawal on mainnet.
	RetrieveMin = 50_000
	// maxTimeInQueue is how long a withdrawal waits for others to share a transaction with.
	maxTimeInQueue = time.Second
	// faucetBlocks are mined when the chain is new: one coinbase matures with each after the hundredth.
	faucetBlocks = 110
)

// feeAccount is the minter's account that collects the ledger's fees (0x0fee).
var feeAccount = append(make([]byte, 30), 0x0f, 0xee)

// Bootstrap brings what the network is for: the ledgers and minters of ckBTC and, where it follows an Ethereum chain, of ckETH, under their
// well-known ids, and spendable bitcoin in the faucet. What is there already stays as it is. WaitKeys does the rest.
func (n *Network) Bootstrap(ctx context.Context) error {
	id, err := EnsureIdentity(n.Dir, DefaultIdentity)
	if err != nil {
		return err
	}
	a, err := n.Agent(id)
	if err != nil {
		return err
	}
	p := n.opts.Progress
	p.Begin("canisters")
	governed := n.Replica(0).Genesis().Governance != nil
	controller := id.Sender()
	if governed {
		controller = genesis.RootCanister
	}
	archive, err := LoadArchive()
	if err != nil {
		return err
	}
	minter := icrc.Account{Owner: n.Minter}
	ledgerArg := icrc.LedgerArg{Init: &icrc.InitArgs{
		MintingAccount: minter, FeeCollectorAccount: &icrc.Account{Owner: n.Minter, Subaccount: &feeAccount},
		TransferFee: candid.NatFromUint64(TransferFee), Decimals: ptr(uint8(8)), MaxMemoLength: ptr(uint16(80)),
		TokenSymbol: "ckBTC", TokenName: "ckBTC", FeatureFlags: &icrc.FeatureFlags{ICRC2: true},
		ArchiveOptions: archive.Options(controller), IndexPrincipal: n.indexOf(canisters.CkbtcIndex),
	}}
	minterArg := ckbtc.MinterArg{Init: &ckbtc.InitArgs{
		Network: ckbtc.Regtest, LedgerID: n.Ledger, ECDSAKeyName: TestKey, SchnorrKeyName: ptr(TestKey), RetrieveBtcMinAmount: RetrieveMin,
		MaxTimeInQueueNanos: uint64(maxTimeInQueue), MinConfirmations: ptr(uint32(Confirmations)), CheckFee: ptr(uint64(CheckFee)),
		Mode: ckbtc.Mode{GeneralAvailability: candid.Unit}, BtcCheckerPrincipal: &canisters.BtcChecker,
	}}
	// Everything at once: what waits for a block does not wait for the other, and a threshold key may be in the making beside it.
	if n.node != nil {
		if h := n.node.Height(); h < faucetBlocks {
			if _, err := n.node.MineBlocks(int(faucetBlocks-h), n.node.FaucetAddress()); err != nil {
				return fmt.Errorf("mining for the faucet: %w", err)
			}
		}
	}
	list := []install{{n.Ledger, "icrc1_ledger", ledgerArg, archive}, {n.Minter, "ckbtc_minter", minterArg, nil}}
	for _, c := range []install{
		{canisters.CkbtcIndex, "icrc1_index", index.Arg{Init: &index.InitArg{LedgerID: n.Ledger}}, nil},
		{canisters.BtcChecker, "btc_checker", n.checkerArg(), nil},
	} {
		if n.hosts(c.id) {
			list = append(list, c)
		}
	}
	if n.ethereum != nil {
		list = append(list, n.ckethInstalls(controller, archive)...)
	}
	p.Note("%d of them", len(list))
	if governed {
		if err := n.bootstrapGoverned(ctx, a, list); err != nil {
			return err
		}
		list = nil
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range list {
		g.Go(func() error {
			if err := n.ensureCanister(gctx, a, c); err != nil {
				return fmt.Errorf("installing %s as %s: %w", c.module, c.id, err)
			}
			if c.id != canisters.Orchestrator {
				return nil
			}
			if lacks, err := n.lacksToken(gctx, a); err != nil || !lacks {
				return err
			}
			return n.addToken(gctx, controls(a))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if !governed {
		p.Done("%d of them", len(list))
	}
	if n.node != nil {
		p.Begin("bitcoin faucet")
		if err := n.WaitBitcoin(ctx); err != nil {
			return err
		}
		p.Done("block %d", n.node.Height())
	}
	return nil
}

// hosts tells whether the network has a place for a well-known id: one that was made before the canister was known does not.
func (n *Network) hosts(id principal.Principal) bool {
	return slices.ContainsFunc(n.Replica(0).Genesis().CanisterRanges, func(r genesis.Range) bool {
		return r.First.Compare(id) <= 0 && id.Compare(r.Last) <= 0
	})
}

// CheckerArg installs a Bitcoin checker on a local network of so many nodes. In the mode Normal it asks the Bitcoin node at the URL, which the replicas must be allowed
// to reach ([outcalls] in their configuration: allow and allow_http), and refuses what comes from the blocked addresses.
func CheckerArg(mode checker.CheckMode, nodes int, jsonRPC string, blocked []string) *checker.CheckArg {
	return &checker.CheckArg{Init: &checker.InitArg{Network: checker.BtcNetwork{Regtest: &checker.RegtestNode{URL: jsonRPC}}, Mode: mode, Nodes: uint16(nodes), BlockedAddresses: &blocked}}
}

// ErrChecker says that a Bitcoin checker cannot judge as it was told to.
var ErrChecker = errors.New("the Bitcoin checker cannot judge so")

// Ways of a checker to judge.
const (
	CheckerAccepts = "accept-all"
	CheckerRejects = "reject-all"
	CheckerAsks    = "normal" // asks a full node who paid
)

// Checker is how the Bitcoin checker of a local network judges deposits and recipients of withdrawals.
type Checker struct {
	Mode string `json:"mode"`
	// Node is the JSON-RPC interface of the Bitcoin node that CheckerAsks asks, http://user:password@host:port. It needs an index of its transactions.
	Node string `json:"node,omitempty"`
	// Blocked are addresses of regtest that CheckerAsks refuses beside those of the built-in list.
	Blocked []string `json:"blocked,omitempty"`
}

// validate also gives the hosts that the replicas must be allowed to reach.
func (c *Checker) validate() (hosts []string, err error) {
	bad := func(format string, args ...any) ([]string, error) {
		return nil, fmt.Errorf("%w: %s", ErrChecker, fmt.Sprintf(format, args...))
	}
	switch {
	case c.Mode != CheckerAccepts && c.Mode != CheckerRejects && c.Mode != CheckerAsks:
		return bad("%q is none of %s, %s and %s", c.Mode, CheckerAccepts, CheckerRejects, CheckerAsks)
	case c.Mode != CheckerAsks && (c.Node != "" || len(c.Blocked) > 0):
		return bad("%s asks nobody and compares nothing with a list", c.Mode)
	case c.Mode != CheckerAsks:
		return nil, nil
	}
	node, err := checker.ParseRPC(c.Node)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChecker, err)
	}
	for _, text := range c.Blocked {
		if _, err := btc.ParseAddress(btc.Regtest, text); err != nil {
			return nil, fmt.Errorf("%w: blocked address %q: %w", ErrChecker, text, err)
		}
	}
	u, err := url.Parse(node.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChecker, err)
	}
	return []string{u.Hostname()}, nil
}

// checkerArg installs the network's Bitcoin checker.
func (m *Manifest) checkerArg() *checker.CheckArg {
	c := m.Checker
	if c == nil {
		c = &Checker{Mode: CheckerAccepts}
	}
	switch c.Mode {
	case CheckerAsks:
		return CheckerArg(checker.Normal, m.Nodes, c.Node, c.Blocked)
	case CheckerRejects:
		return CheckerArg(checker.RejectAll, m.Nodes, noNode, nil)
	}
	return CheckerArg(checker.AcceptAll, m.Nodes, noNode, nil)
}

// noNode is the node of a checker that asks none.
const noNode = "http://127.0.0.1:18443"

// install is a canister to be.
type install struct {
	id     principal.Principal
	module string
	arg    any
	makes  *Archive // if it is a ledger
}

// Archive is the module that ledgers make their archives of, cut for their chunk stores.
type Archive struct {
	Module icrc.ArchiveModule
	chunks [][]byte
}

// LoadArchive cuts the built module.
func LoadArchive() (*Archive, error) {
	code, err := canisters.Module("icrc1_archive")
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(code)
	m := &Archive{Module: icrc.ArchiveModule{Hash: hash[:]}}
	for part := range slices.Chunk(code, chunkBytes) {
		hash := sha256.Sum256(part)
		m.chunks, m.Module.Chunks = append(m.chunks, part), append(m.Module.Chunks, hash[:])
	}
	return m, nil
}

// Options make a ledger keep its last one to two thousand blocks.
func (m *Archive) Options(controller principal.Principal) icrc.ArchiveOptions {
	return icrc.ArchiveOptions{NumBlocksToArchive: 1000, TriggerThreshold: 2000, ControllerID: controller, Module: &m.Module}
}

// Upload brings the module into the chunk store of a ledger, where its archives come from.
func (m *Archive) Upload(ctx context.Context, a *agent.Agent, ledger principal.Principal) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range m.chunks {
		g.Go(func() error {
			_, err := uploadChunk(ctx, a, ledger, part)
			return err
		})
	}
	return g.Wait()
}

// indexOf is the index of a ledger, if the network has a place for it.
func (n *Network) indexOf(id principal.Principal) *principal.Principal {
	if !n.hosts(id) {
		return nil
	}
	return &id
}

func ptr[T any](v T) *T { return &v }

// ensureCanister creates a canister and installs a module where there is none.
func (n *Network) ensureCanister(ctx context.Context, a *agent.Agent, c install) error {
	id := c.id
	_, err := a.Read(ctx, id, []byte("canister"), id.Bytes(), []byte("module_hash"))
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, agent.ErrNotFound):
		return err
	}
	wasm, err := canisters.Module(c.module)
	if err != nil {
		return err
	}
	encoded, err := candid.Marshal(c.arg)
	if err != nil {
		return err
	}
	if !n.Replica(0).View().Executor.HasCanister(id) {
		var created management.CanisterID
		in := management.ProvisionalCreateArgs{SpecifiedID: &id, Amount: ptr(candid.NatFromUint64(10_000_000_000_000_000))} // 10,000 T
		if err := a.Update(ctx, principal.Management, "provisional_create_canister_with_cycles", []any{in}, []any{&created}); err != nil {
			return fmt.Errorf("creating it: %w", err)
		}
	}
	if c.makes != nil {
		if err := c.makes.Upload(ctx, a, id); err != nil {
			return err
		}
	}
	return Install(ctx, a, id, management.ModeInstall(), wasm, encoded)
}

func uploadChunk(ctx context.Context, a *agent.Agent, id principal.Principal, part []byte) (hash management.ChunkHash, err error) {
	if err = a.Update(ctx, principal.Management, "upload_chunk", []any{management.UploadChunkArgs{CanisterID: id, Chunk: part}}, []any{&hash}); err != nil {
		return hash, fmt.Errorf("uploading a chunk: %w", err)
	}
	return hash, nil
}

const (
	// wholeBytes is the largest module that travels in one message of at most 2 MiB, with its arguments and envelope. A whole
	// module is compiled when it is admitted, so no block waits for the compiler.
	wholeBytes = 2<<20 - 32<<10
	// chunkBytes is the largest chunk of a module (interface specification, upload_chunk).
	chunkBytes = 1 << 20
)

// Install installs a module of any size: a large one travels in chunks, since one message holds at most 2 MiB.
func Install(ctx context.Context, a *agent.Agent, id principal.Principal, mode management.InstallMode, wasm, arg []byte) error {
	if len(wasm)+len(arg) <= wholeBytes {
		in := management.InstallCodeArgs{Mode: mode, CanisterID: id, WasmModule: wasm, Arg: arg}
		return a.Update(ctx, principal.Management, "install_code", []any{in}, nil)
	}
	var chunks []management.ChunkHash
	for rest := wasm; len(rest) > 0; {
		part := rest[:min(len(rest), chunkBytes)]
		rest = rest[len(part):]
		hash, err := uploadChunk(ctx, a, id, part)
		if err != nil {
			return err
		}
		chunks = append(chunks, hash)
	}
	hash := sha256.Sum256(wasm)
	in := management.InstallChunkedCodeArgs{Mode: mode, TargetCanister: id, ChunkHashesList: chunks, WasmModuleHash: hash[:], Arg: arg}
	if err := a.Update(ctx, principal.Management, "install_chunked_code", []any{in}, nil); err != nil {
		return err
	}
	return a.Update(ctx, principal.Management, "clear_chunk_store", []any{management.CanisterID{CanisterID: id}}, nil)
}
