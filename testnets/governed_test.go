package testnets_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"fusion/btc/canister"
	"fusion/chainkey"
	"fusion/ckledger/icrc"
	"fusion/ckledger/orchestrator"
	"fusion/eth"
	ethcanister "fusion/eth/canister"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/root"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// TestGovernedEthereum runs a network that follows an Ethereum chain and whose operators decide: their proposals install ckETH and the development token, and
// deposits of both arrive. Subnet admins do not configure the Bitcoin and EVM RPC canisters, a proposal does.
func TestGovernedEthereum(t *testing.T) {
	noLeaks(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	dir := t.TempDir()
	admin := must(testnets.NewIdentity(dir, "admin"))(t)
	must(testnets.Create(dir, testnets.Settings{Nodes: 1, Ethereum: testnets.EthereumGeth, Keys: []chainkey.KeyID{testnets.EcdsaKey}, CommitWait: 50 * time.Millisecond,
		Operators: []string{"ann", "bea", "cyd"}, TimeLock: time.Second, SubnetAdmins: []principal.Principal{admin.Sender()}}))(t)
	n := must(testnets.Run(ctx, dir, testnets.RunOptions{}))(t)
	t.Cleanup(func() { check(t, n.Close()) })
	check(t, n.Bootstrap(ctx))
	check(t, n.WaitKeys(ctx))
	check(t, n.Bootstrap(ctx)) // what is there stays
	council := must(n.Council())(t)

	// What admins did they do no more. A hidden argument is shown to nobody.
	boss := must(n.Agent(admin))(t)
	closed := candid.MustMarshal(canister.SetConfigRequest{APIAccess: &canister.Flag{Disabled: candid.Unit}})
	for _, c := range []struct {
		id     principal.Principal
		method string
		arg    []byte
		want   string
	}{
		{canisters.BitcoinTestnet, "set_config", closed, "only a controller"},
		{canisters.BitcoinTestnet, "reset_chain", candid.MustMarshal(), "only a controller"},
		{ethcanister.ID, "updateApiKeys", candid.MustMarshal(), "not authorized"},
	} {
		var r *agent.RejectError
		if _, err := boss.Call(ctx, c.id, c.method, c.arg); !errors.As(err, &r) || !strings.Contains(r.Message, c.want) {
			t.Errorf("%s by a subnet admin: %v", c.method, err)
		}
		if !strings.HasPrefix(c.method, "update") {
			must(council.Decide(ctx, root.Action{Call: &root.MethodCall{Canister: c.id, Method: c.method, Arg: c.arg}}, "", nil))(t)
		}
	}
	var cfg canister.Config
	check(t, boss.Ask(ctx, canisters.BitcoinTestnet, "get_config", nil, []any{&cfg}))
	if cfg.APIAccess.Disabled == nil {
		t.Errorf("%+v", cfg)
	}
	key := "never-shown"
	keys := candid.MustMarshal([]struct {
		ID  uint64  `candid:"0"`
		Key *string `candid:"1"`
	}{{Key: &key}})
	sum := sha256.Sum256(keys)
	hash := sum[:]
	p := must(council.Decide(ctx, root.Action{Call: &root.MethodCall{Canister: ethcanister.ID, Method: "updateApiKeys", ArgHash: &hash}}, "keys", [][]byte{keys}))(t)
	if !strings.Contains(p.Sentence, hex.EncodeToString(hash)) {
		t.Error(p.Sentence)
	}

	// Deposits of ether and of the token.
	var info orchestrator.Info
	var token orchestrator.ManagedCanisters
	await(ctx, t, "the token's ledger", func() bool {
		check(t, boss.Ask(ctx, canisters.Orchestrator, "get_orchestrator_info", nil, []any{&info}))
		if len(info.ManagedCanisters) != 1 {
			t.Fatalf("tokens %+v, want the development token", info.ManagedCanisters)
		}
		token = info.ManagedCanisters[0]
		return token.MinterNotified
	})
	const wei, amount = 50_000_000_000_000_000, 25_000_000
	user := must(identity.GenerateEd25519())(t).Sender()
	helper, _ := n.Ethereum().Helper()
	contract := must(eth.ParseAddress(token.Erc20Contract.Address))(t)
	faucet := eth.Address(crypto.PubkeyToAddress(n.Ethereum().FaucetKey().PublicKey))
	check(t, n.Ethereum().MintToken(ctx, contract, faucet, uint256.NewInt(amount)))
	must(n.Ethereum().Faucet(ctx, &contract, nil, eth.PackApprove(helper, uint256.NewInt(amount))))(t)
	must(n.Ethereum().Faucet(ctx, &helper, nil, eth.PackDepositERC20(contract, uint256.NewInt(amount), user, [32]byte{})))(t)
	must(n.Ethereum().Faucet(ctx, &helper, uint256.NewInt(wei), eth.PackDepositETH(user, [32]byte{})))(t)
	must(n.Ethereum().Mine(ctx, 4))(t)
	for ledger, want := range map[principal.Principal]uint64{canisters.CkethLedger: wei, token.Ledger.Installed.CanisterID: amount} {
		await(ctx, t, "a deposit", func() bool {
			var has candid.Nat
			check(t, boss.Ask(ctx, ledger, "icrc1_balance_of", []any{icrc.Account{Owner: user}}, []any{&has}))
			return has.Cmp(candid.NatFromUint64(want)) == 0
		})
	}
}

// await waits until something is there.
func await(ctx context.Context, t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, ctx.Err())
		case <-tick.C:
		}
	}
}
