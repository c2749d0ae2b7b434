package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"fusion/chainkey"
	"fusion/ckledger/orchestrator"
	"fusion/eth"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/management"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// TestJavaScriptCketh has the ckETH, ledger and index classes of @icp-sdk/canisters, unmodified and with certificates and query signatures verified,
// use the minter, the orchestrator, the ledgers and the indexes of a network on each kind of Ethereum chain. The deposits are sent with Foundry's cast.
func TestJavaScriptCketh(t *testing.T) {
	t.Parallel()
	cast := program(t, "CAST_BIN")
	js, err := filepath.Abs(filepath.Join("..", "js"))
	must(t, err)
	if _, err := os.Stat(filepath.Join(js, "node_modules")); err != nil {
		t.Fatalf("the JavaScript clients are not installed: %v; run `make e2e`", err)
	}
	for _, kind := range []string{testnets.EthereumGeth, testnets.EthereumAnvil} {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
			defer cancel()
			n := ckethNetwork(ctx, t, kind, 4)
			anyone, err := n.Agent(identity.Anonymous{})
			must(t, err)
			var info orchestrator.Info
			must(t, anyone.Ask(ctx, canisters.Orchestrator, "get_orchestrator_info", nil, []any{&info}))
			if len(info.ManagedCanisters) != 1 {
				t.Fatalf("tokens %+v, want the development token", info.ManagedCanisters)
			}
			token, err := eth.ParseAddress(info.ManagedCanisters[0].Erc20Contract.Address)
			must(t, err)

			// Somebody with ether and tokens on Ethereum.
			const tokens = 1_000_000_000
			key, err := crypto.GenerateKey()
			must(t, err)
			payer := eth.Address(crypto.PubkeyToAddress(key.PublicKey))
			_, err = n.Ethereum().Faucet(ctx, &payer, new(uint256.Int).Mul(uint256.NewInt(1e18), uint256.NewInt(10)), nil)
			must(t, err)
			must(t, n.Ethereum().MintToken(ctx, token, payer, uint256.NewInt(tokens)))

			cmd := exec.CommandContext(ctx, "node", "cketh.mjs")
			cmd.Dir = js
			cmd.Env = append(os.Environ(), "FUSION_URL="+n.URL(0), "FUSION_ROOT_KEY="+hex.EncodeToString(n.RootKey()), "CAST_BIN="+cast,
				"FUSION_MINTER="+canisters.CkethMinter.String(), "FUSION_LEDGER="+canisters.CkethLedger.String(), "FUSION_INDEX="+canisters.CkethIndex.String(),
				"FUSION_ORCHESTRATOR="+canisters.Orchestrator.String(), "FUSION_ETHEREUM="+n.Ethereum().URL, fmt.Sprintf("FUSION_TOKENS=%d", tokens),
				"FUSION_ETHEREUM_KEY="+hex.EncodeToString(crypto.FromECDSA(key)))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("node: %v\n%s", err, stderr.String())
			}
			var saw struct{ Checks []string }
			if err := json.Unmarshal(out, &saw); err != nil || len(saw.Checks) != 18 {
				t.Fatalf("%d checks, %v in %q", len(saw.Checks), err, out)
			}
			t.Logf("%s", out)

			// The ledger that the orchestrator made is in custody: its controllers cannot throw it away.
			owner, err := testnets.EnsureIdentity(n.Dir, testnets.DefaultIdentity)
			must(t, err)
			a, err := n.Agent(owner)
			must(t, err)
			must(t, anyone.Ask(ctx, canisters.Orchestrator, "get_orchestrator_info", nil, []any{&info}))
			made := info.ManagedCanisters[0].Ledger.Installed.CanisterID
			if err := a.Update(ctx, principal.Management, "uninstall_code", []any{management.UninstallCodeArgs{CanisterID: made}}, nil); err == nil || !strings.Contains(err.Error(), "has custody of users' coins") {
				t.Errorf("uninstalling the ledger of a token: %v", err)
			}
		})
	}
}

// ckethNetwork is a network of four replicas in this process with everything that ckETH needs.
func ckethNetwork(ctx context.Context, t *testing.T, kind string, nodes int) *testnets.Network {
	t.Helper()
	dir, err := os.MkdirTemp("", "fn") // the names of t.TempDir are too long for Unix sockets
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, err = testnets.Create(dir, testnets.Settings{Nodes: nodes, Ethereum: kind, Keys: []chainkey.KeyID{testnets.EcdsaKey}})
	must(t, err)
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, n.Bootstrap(ctx))
	must(t, n.WaitKeys(ctx))
	return n
}
