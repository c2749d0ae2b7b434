package testnets

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
	"golang.org/x/sync/errgroup"

	"fusion/chainkey/derive"
	"fusion/ckledger/cketh"
	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/ckledger/orchestrator"
	"fusion/eth"
	"fusion/eth/contracts"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/signing"
	"fusion/testnets/canisters"
)

// Parameters of ckETH and of the development token on a local network.
const (
	// CkethFee is the ledger's fee in wei, as on mainnet.
	CkethFee = 2_000_000_000_000
	// CkethRetrieveMin is the smallest withdrawal in wei, ckETH's on mainnet.
	CkethRetrieveMin = 30_000_000_000_000_000
	// The token is like a stablecoin of mainnet: six decimals. TokenFee is the fee of its ledger.
	TokenName, TokenSymbol = "Development Dollar", "USDD"
	TokenDecimals          = 6
	TokenFee               = 4_000
)

// deployerWei is what the account gets that creates the helper contract.
const deployerWei = 1_000_000_000_000_000_000

// CanisterKey computes the public key that a canister signs with under EcdsaKey and the empty path, from the subnet's public key alone.
func (n *Network) CanisterKey(id principal.Principal) (derive.Child, error) {
	r := n.Replica(0)
	for _, k := range r.Status().Keys {
		if k.ID != EcdsaKey {
			continue
		}
		raw, err := hex.DecodeString(k.PublicKey)
		if err != nil || len(raw) != 33 {
			return derive.Child{}, fmt.Errorf("threshold key %q is not a public key", k.PublicKey)
		}
		return derive.Secp256k1([33]byte(raw), signing.ChainCode(r.Genesis().Hash(), k.ID, raw), derive.Path(id.Bytes()))
	}
	return derive.Child{}, fmt.Errorf("the network has no threshold key %s", EcdsaKey)
}

// CkethAddress is the minter's address on Ethereum, which holds what backs ckETH and ckERC20.
func (n *Network) CkethAddress() (eth.Address, error) {
	key, err := n.CanisterKey(canisters.CkethMinter)
	if err != nil {
		return eth.Address{}, err
	}
	return eth.AddressFromPubKey(key.PublicKey[:])
}

// helperKey is the key of an account that does one thing: its first transaction creates the helper contract. So the contract's address is known
// before the minter's address is, which the contract needs, and the minter can be installed while its key is still in the making.
func (e *Ethereum) helperKey() (*ecdsa.PrivateKey, error) {
	sum := sha256.Sum256(append(crypto.FromECDSA(e.faucet), "creates the helper contract"...))
	return crypto.ToECDSA(sum[:])
}

// Helper is the address of the helper contract for deposits; false where the network has no faucet to create it with.
func (e *Ethereum) Helper() (eth.Address, bool) {
	if e.faucet == nil {
		return eth.Address{}, false
	}
	key, err := e.helperKey()
	if err != nil {
		return eth.Address{}, false
	}
	return eth.Address(crypto.CreateAddress(crypto.PubkeyToAddress(key.PublicKey), 0)), true
}

// ckethInstalls are the canisters of ckETH with their arguments.
func (n *Network) ckethInstalls(owner principal.Principal, a *Archive) []install {
	chain := candid.NatFromUint64(n.Manifest.Ethereum.ChainID)
	minter := cketh.InitArg{
		Network: cketh.Network{Mainnet: candid.Unit}, DevelopmentChainID: &chain, ECDSAKeyName: TestKey, LedgerID: canisters.CkethLedger,
		BlockHeight: cketh.BlockTag{Finalized: candid.Unit}, MinimumWithdrawal: candid.NatFromUint64(CkethRetrieveMin), OrchestratorID: &canisters.Orchestrator,
	}
	if helper, ok := n.ethereum.Helper(); ok {
		minter.DepositHelperAddress = ptr(helper.String())
	}
	return []install{
		{canisters.CkethLedger, "icrc1_ledger", icrc.LedgerArg{Init: &icrc.InitArgs{
			MintingAccount: icrc.Account{Owner: canisters.CkethMinter}, FeeCollectorAccount: &icrc.Account{Owner: canisters.CkethMinter, Subaccount: &feeAccount},
			TransferFee: candid.NatFromUint64(CkethFee), Decimals: ptr(uint8(eth.EtherDecimals)), MaxMemoLength: ptr(uint16(80)),
			TokenSymbol: "ckETH", TokenName: "ckETH", FeatureFlags: &icrc.FeatureFlags{ICRC2: true},
			ArchiveOptions: a.Options(owner), IndexPrincipal: &canisters.CkethIndex,
		}}, a},
		{canisters.CkethMinter, "cketh_minter", cketh.MinterArg{Init: &minter}, nil},
		{canisters.CkethIndex, "icrc1_index", index.Arg{Init: &index.InitArg{LedgerID: canisters.CkethLedger}}, nil},
		{canisters.Orchestrator, "cketh_orchestrator", orchestrator.Arg{InitArg: &orchestrator.InitArg{MoreControllerIDs: []principal.Principal{owner}, MinterID: &canisters.CkethMinter}}, nil},
	}
}

// control calls a method of a canister as its controller does.
type control func(ctx context.Context, id principal.Principal, method string, arg, out any) error

// controls is the control of an identity.
func controls(a *agent.Agent) control {
	return func(ctx context.Context, id principal.Principal, method string, arg, out any) error {
		return a.Update(ctx, id, method, []any{arg}, []any{out})
	}
}

// lacksToken says whether the development token is still to come: where the faucet is ours, and no token is there.
func (n *Network) lacksToken(ctx context.Context, a *agent.Agent) (bool, error) {
	if n.ethereum == nil || n.ethereum.faucet == nil {
		return false, nil
	}
	var info orchestrator.Info
	err := a.Ask(ctx, canisters.Orchestrator, "get_orchestrator_info", nil, []any{&info})
	return err == nil && len(info.ManagedCanisters) == 0, err
}

// addToken deploys the development token and has the orchestrator make its ledger and index.
func (n *Network) addToken(ctx context.Context, do control) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, m := range []struct {
		name string
		kind orchestrator.Kind
	}{{"icrc1_ledger", orchestrator.Kind{Ledger: candid.Unit}}, {"icrc1_index", orchestrator.Kind{Index: candid.Unit}}, {"icrc1_archive", orchestrator.Kind{Archive: candid.Unit}}} {
		g.Go(func() error {
			if err := registerModule(gctx, do, m.name, m.kind); err != nil {
				return fmt.Errorf("giving the orchestrator %s: %w", m.name, err)
			}
			return nil
		})
	}
	code := append(common.FromHex(contracts.DevTokenMetaData.Bin), contracts.NewDevToken().PackConstructor(TokenName, TokenSymbol, TokenDecimals)...)
	receipt, err := n.ethereum.Faucet(ctx, nil, nil, code)
	if err != nil {
		return fmt.Errorf("deploying the development token: %w", err)
	}
	if err := g.Wait(); err != nil {
		return err
	}
	arg := orchestrator.AddErc20Arg{
		Contract: orchestrator.Erc20Contract{ChainID: candid.NatFromUint64(n.ethereum.ChainID), Address: eth.Address(receipt.ContractAddress).String()},
		LedgerInitArg: orchestrator.LedgerInitArg{TransferFee: candid.NatFromUint64(TokenFee), Decimals: TokenDecimals,
			TokenSymbol: "ck" + TokenSymbol, TokenName: "ck" + TokenSymbol},
	}
	var res orchestrator.Result
	if err := do(ctx, canisters.Orchestrator, "add_erc20", arg, &res); err != nil {
		return err
	}
	if res.Err != nil {
		return fmt.Errorf("the orchestrator refuses the development token: %s", *res.Err)
	}
	return nil
}

// registerModule gives the orchestrator a module, in chunks.
func registerModule(ctx context.Context, do control, name string, kind orchestrator.Kind) error {
	code, err := canisters.Module(name)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(code)
	arg := orchestrator.RegisterModuleArg{Kind: kind, Hash: sum[:], Chunks: make([][]byte, (len(code)+chunkBytes-1)/chunkBytes)}
	g, gctx := errgroup.WithContext(ctx)
	for i := range arg.Chunks {
		g.Go(func() error {
			var res orchestrator.UploadResult
			part := code[i*chunkBytes : min(len(code), (i+1)*chunkBytes)]
			if err := do(gctx, canisters.Orchestrator, "upload_module_chunk", part, &res); err != nil {
				return err
			}
			if res.Ok == nil {
				return fmt.Errorf("refused: %s", *res.Err)
			}
			arg.Chunks[i] = *res.Ok
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var res orchestrator.Result
	if err := do(ctx, canisters.Orchestrator, "register_module", arg, &res); err != nil {
		return err
	}
	if res.Err != nil {
		return fmt.Errorf("refused: %s", *res.Err)
	}
	return nil
}

// deployHelper creates the helper contract where it is not there yet. The minter's key must be active.
func (n *Network) deployHelper(ctx context.Context) error {
	e := n.ethereum
	helper, ok := e.Helper()
	if !ok {
		return nil
	}
	if code, err := e.client.CodeAt(ctx, common.Address(helper), nil); err != nil || len(code) > 0 {
		return err
	}
	minter, err := n.CkethAddress()
	if err != nil {
		return err
	}
	key, err := e.helperKey()
	if err != nil {
		return err
	}
	payer := eth.Address(crypto.PubkeyToAddress(key.PublicKey))
	if _, err := e.Faucet(ctx, &payer, uint256.NewInt(deployerWei), nil); err != nil {
		return err
	}
	got, err := contracts.DeployDeposit(ctx, patient{e.client}, bind.NewKeyedTransactor(key, new(big.Int).SetUint64(e.ChainID)), minter)
	if err != nil {
		return err
	}
	if got != helper {
		return fmt.Errorf("the helper contract is at %s, the minter was told %s: somebody used the account that creates it", got, helper)
	}
	return nil
}

// MintToken has the development token's contract, which the faucet created, make some for an account.
func (e *Ethereum) MintToken(ctx context.Context, token, to eth.Address, amount *uint256.Int) error {
	if _, err := e.Faucet(ctx, &token, nil, contracts.NewDevToken().PackMint(common.Address(to), amount.ToBig())); err != nil {
		return fmt.Errorf("minting of token %s: %w", token, err)
	}
	return nil
}
