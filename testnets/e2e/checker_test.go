package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"fusion/btc"
	"fusion/ckledger/checker"
	"fusion/ckledger/ckbtc"
	"fusion/ic/candid"
	"fusion/replica"
	"fusion/replica/management"
	"fusion/testnets"
	"fusion/testnets/canisters"
	"fusion/testnets/golden"
)

// allowNode lets the replicas of a network that does not run yet reach a full node's JSON-RPC interface.
func allowNode(t *testing.T, dir string, nodes int) {
	t.Helper()
	for i := range nodes {
		c, err := replica.LoadConfig(testnets.NodeDir(dir, i))
		must(t, err)
		c.Outcalls.AllowHTTP, c.Outcalls.Allow = true, []string{"127.0.0.1"}
		must(t, c.Save())
	}
}

// checkDeposits makes the checker a real one, which asks the full node, and blocks an address: what comes from there is quarantined, the rest minted, and
// nothing is paid to it.
func checkDeposits(ctx context.Context, t *testing.T, n *testnets.Network, w *golden.World, chain *nodeChain, alice *golden.User) {
	t.Helper()
	key, public := btcec.PrivKeyFromBytes([]byte("a thief on a full node's regtest"))
	thief, err := btc.P2WPKHFromPubKey(btc.Regtest, public.SerializeCompressed())
	must(t, err)
	code, err := canisters.Module("btc_checker")
	must(t, err)
	operator := user(t, w, testnets.DefaultIdentity, 0)
	arg := candid.MustMarshal(testnets.CheckerArg(checker.Normal, n.Nodes, chain.node.RPC(), []string{thief.String()}))
	must(t, testnets.Install(ctx, operator.Agent, canisters.BtcChecker, management.ModeReinstall(), code, arg))

	// The thief is paid, and pays on to alice; so does the miner.
	const loot, clean, fee = 3_000_000, 2_000_000, 1000
	stolen, err := chain.Send(ctx, testnets.SendRequest{Address: thief.String(), Satoshi: loot})
	must(t, err)
	must(t, w.Mine(ctx, 1))
	id, err := btc.ParseHash(stolen)
	must(t, err)
	tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: id}, Sequence: btc.SequenceRBF}},
		Outputs: []btc.TxOut{{Value: loot - fee, Script: alice.DepositAddress().Script()}}}
	digest, err := btc.NewSigHashes(tx).P2WPKH(0, public.SerializeCompressed(), loot)
	must(t, err)
	must(t, tx.SignP2WPKH(0, ecdsa.SignCompact(key, digest[:], true)[1:], public.SerializeCompressed()))
	must(t, chain.node.Submit(ctx, tx.Bytes()))
	good, err := chain.Send(ctx, testnets.SendRequest{Address: alice.DepositAddress().String(), Satoshi: clean})
	must(t, err)
	must(t, w.Mine(ctx, testnets.Confirmations))

	before, err := alice.Own(ctx)
	must(t, err)
	seen := map[btc.Hash]string{}
	must(t, golden.Wait(ctx, "a verdict on both deposits", func() (string, error) {
		var res ckbtc.UpdateBalanceResult
		if err := alice.Agent.Update(ctx, w.Minter, "update_balance", []any{ckbtc.AddressArgs{}}, []any{&res}); err != nil {
			return "", err
		}
		if res.Ok != nil {
			for _, s := range *res.Ok {
				switch {
				case s.Minted != nil:
					seen[btc.Hash(s.Minted.Utxo.Outpoint.Txid)] = "minted"
				case s.Tainted != nil:
					seen[btc.Hash(s.Tainted.Outpoint.Txid)] = "tainted"
				default:
					return "", fmt.Errorf("another status: %+v", s)
				}
			}
		}
		if len(seen) < 2 {
			return fmt.Sprintf("seen %v, then %+v", seen, res.Err), nil
		}
		return "", nil
	}))
	goodID, err := btc.ParseHash(good)
	must(t, err)
	if seen[tx.Txid()] != "tainted" || seen[goodID] != "minted" {
		t.Errorf("verdicts %v, want tainted for %v and minted for %s", seen, tx.Txid(), good)
	}
	after, err := alice.Own(ctx)
	must(t, err)
	if after != before+clean {
		t.Errorf("alice has %d sat after %d, want %d more", after, before, clean)
	}
	must(t, alice.Approve(ctx, 1_000_000))
	res, err := alice.Retrieve(ctx, thief.String(), 500_000)
	must(t, err)
	if res.Err == nil || res.Err.GenericError == nil {
		t.Errorf("a withdrawal to a blocked address: %+v", res)
	}
	// What others ask the checker costs them: a user cannot attach cycles.
	var r checker.CheckTransactionResponse
	must(t, alice.Agent.Update(ctx, canisters.BtcChecker, "check_transaction_str", []any{checker.CheckTransactionStrArgs{Txid: good}}, []any{&r}))
	if r.Unknown == nil || r.Unknown.NotEnoughCycles == nil {
		t.Errorf("a check that nobody pays: %+v", r)
	}
	for txid, want := range map[string]string{good: "passed", tx.Txid().String(): "failed"} {
		var q checker.CheckTransactionQueryResponse
		must(t, alice.Agent.Ask(ctx, canisters.BtcChecker, "check_transaction_query", []any{checker.CheckTransactionQueryArgs{TxIDStr: &txid}}, []any{&q}))
		if (q.Passed != nil) != (want == "passed") || (q.Failed != nil) != (want == "failed") {
			t.Errorf("%s: %+v, want %s", txid, q, want)
		}
	}
	must(t, testnets.Install(ctx, operator.Agent, canisters.BtcChecker, management.ModeUpgrade(nil), code, candid.MustMarshal(&checker.CheckArg{Upgrade: new(&checker.UpgradeArg{Mode: &checker.AcceptAll})})))
}
