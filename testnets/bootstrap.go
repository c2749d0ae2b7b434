package testnets

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
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
	// CheckFee is zero: a local network has no checker to pay.
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

// Bootstrap brings what the network is for: the ckBTC ledger and minter under their well-known ids, and spendable bitcoin in
// the faucet. What is there already stays as it is.
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
	minter := icrc.Account{Owner: n.Minter}
	ledgerArg := icrc.LedgerArg{Init: &icrc.InitArgs{
		MintingAccount: minter, FeeCollectorAccount: &icrc.Account{Owner: n.Minter, Subaccount: &feeAccount},
		TransferFee: candid.NatFromUint64(TransferFee), Decimals: ptr(uint8(8)), MaxMemoLength: ptr(uint16(80)),
		TokenSymbol: "ckBTC", TokenName: "ckBTC", FeatureFlags: &icrc.FeatureFlags{ICRC2: true},
		ArchiveOptions: icrc.ArchiveOptions{NumBlocksToArchive: 1000, TriggerThreshold: 2000, ControllerID: id.Sender()},
	}}
	minterArg := ckbtc.MinterArg{Init: &ckbtc.InitArgs{
		Network: ckbtc.Regtest, LedgerID: n.Ledger, ECDSAKeyName: TestKey, RetrieveBtcMinAmount: RetrieveMin,
		MaxTimeInQueueNanos: uint64(maxTimeInQueue), MinConfirmations: ptr(uint32(Confirmations)), CheckFee: ptr(uint64(CheckFee)),
		Mode: ckbtc.Mode{GeneralAvailability: candid.Unit},
	}}
	// Everything at once: what waits for a block does not wait for the other, and a threshold key may be in the making beside it.
	if n.node != nil {
		if h := n.node.Height(); h < faucetBlocks {
			if _, err := n.node.MineBlocks(int(faucetBlocks-h), n.node.FaucetAddress()); err != nil {
				return fmt.Errorf("mining for the faucet: %w", err)
			}
		}
	}
	p.Note("icrc1_ledger and ckbtc_minter")
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range []struct {
		id     principal.Principal
		module string
		arg    any
	}{{n.Ledger, "icrc1_ledger", ledgerArg}, {n.Minter, "ckbtc_minter", minterArg}} {
		g.Go(func() error {
			if err := n.ensureCanister(gctx, a, c.id, c.module, c.arg); err != nil {
				return fmt.Errorf("installing %s as %s: %w", c.module, c.id, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	p.Done("ledger %s, minter %s", n.Ledger, n.Minter)
	if n.node != nil {
		p.Begin("bitcoin faucet")
		if err := n.WaitBitcoin(ctx); err != nil {
			return err
		}
		p.Done("block %d", n.node.Height())
	}
	return nil
}

func ptr[T any](v T) *T { return &v }

// ensureCanister creates a canister and installs a module where there is none.
func (n *Network) ensureCanister(ctx context.Context, a *agent.Agent, id principal.Principal, module string, arg any) error {
	_, err := a.Read(ctx, id, []byte("canister"), id.Bytes(), []byte("module_hash"))
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, agent.ErrNotFound):
		return err
	}
	wasm, err := canisters.Module(module)
	if err != nil {
		return err
	}
	encoded, err := candid.Marshal(arg)
	if err != nil {
		return err
	}
	if !n.Replica(0).View().Executor.HasCanister(id) {
		var created management.CanisterID
		in := management.ProvisionalCreateArgs{SpecifiedID: &id, Amount: ptr(candid.NatFromUint64(1_000_000_000_000_000))} // 1,000 T
		if err := a.Update(ctx, principal.Management, "provisional_create_canister_with_cycles", []any{in}, []any{&created}); err != nil {
			return fmt.Errorf("creating it: %w", err)
		}
	}
	return Install(ctx, a, id, management.ModeInstall(), wasm, encoded)
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
		var hash management.ChunkHash
		if err := a.Update(ctx, principal.Management, "upload_chunk", []any{management.UploadChunkArgs{CanisterID: id, Chunk: part}}, []any{&hash}); err != nil {
			return fmt.Errorf("uploading a chunk: %w", err)
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
