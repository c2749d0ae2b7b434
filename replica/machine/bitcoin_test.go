package machine

import (
	"testing"

	"fusion/btc"
	"fusion/btc/canister"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution"
)

// What the Bitcoin canister keeps of the cycles that came with a call reaches the executor, with a rejection too, and so does the wish to burn them.
func TestBitcoinKeepsItsPrice(t *testing.T) {
	p, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	st, err := utxo.Open(utxo.Options{Params: p}, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	fees := canister.DefaultFees(btc.Mainnet)
	admin := principal.FromUint64(7)
	c, err := canister.New(canister.Options{Local: true, Controllers: []principal.Principal{admin}, Fees: &fees}, st, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	b := &bitcoin{State: st, canister: c}
	balance := func() execution.NativeResult {
		return b.Call(execution.NativeCall{Method: "bitcoin_get_balance", Cycles: execution.CyclesOf(100_000_000),
			Arg: candid.MustMarshal(canister.GetBalanceRequest{Network: canister.Network{Regtest: candid.Unit}, Address: "nonsense"})})
	}
	if out := balance(); out.Reject == nil || out.CyclesUsed != execution.CyclesOf(10_000_000) || out.Burn {
		t.Errorf("%+v", out)
	}
	on := canister.Flag{Enabled: candid.Unit}
	if out := b.Call(execution.NativeCall{Method: "set_config", Caller: admin, Arg: candid.MustMarshal(canister.SetConfigRequest{BurnCycles: &on})}); out.Reject != nil {
		t.Fatal(out.Reject)
	}
	if out := balance(); out.Reject == nil || out.CyclesUsed != execution.CyclesOf(10_000_000) || !out.Burn {
		t.Errorf("with burn_cycles: %+v", out)
	}
}
