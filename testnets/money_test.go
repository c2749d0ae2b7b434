package testnets_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fusion/replica"
	"fusion/replica/consensus"
	"fusion/replica/members"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestMembersAndMoney lets a fifth replica join a network with all its keys, and one of the first four leave it, each time with a redemption on
// its way. The newcomer starts from a snapshot. Deposit addresses stay, what was under way is paid, and at the end the newcomer's signature is needed for every payment.
func TestMembersAndMoney(t *testing.T) {
	if os.Getenv("FUSION_E2E") == "" {
		t.Skip("reshares an ECDSA key twice, which takes minutes of CPU time: make e2e runs it")
	}
	dir := golden.Clone(t)
	snapshotsEvery(t, dir, 20)
	f := attach(t, golden.RunDir(t, dir))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	f.Context = ctx
	w := &membership{f.n, ctx, t}
	const sats = 500_000
	redeem := func(name string) (block uint64, to string) {
		t.Helper()
		to = golden.FreshAddress(t.Name() + name)
		return must(f.owner.Redeem(f, to, sats))(t), to
	}
	paid := func(block uint64, to string) {
		t.Helper()
		txid := must(f.owner.Finish(f, block))(t)
		if got := must(f.w.Chain.Balance(f, to))(t); got <= 0 || got > sats {
			t.Errorf("%s received %d sat in %s for %d", to, got, txid, sats)
		}
	}
	resharing := func(s replica.Status) bool {
		return s.Membership.Running != nil && s.Membership.Running.Phase == "resharing"
	}
	keys, address := w.Replica(0).Status().Keys, f.bob.DepositAddress().String()

	// The newcomer fetches a snapshot once it is let in, and executes only the blocks after it.
	must(waitSnapshots(f, dir, 0, 0, 1, 2, 3))(t)
	c := must(w.AddNode(4))(t)
	w.decide(members.Change{Add: []members.Candidate{c}}, 0, 1, 2)
	got := must(replica.Recover(w, *must(replica.LoadConfig(testnets.NodeDir(dir, 4)))(t), replica.RecoverOptions{Progress: t.Logf}))(t)
	check(t, w.StartReplica(w, 4))
	w.until(0, "resharing", resharing)
	first, firstTo := redeem("one comes")
	w.reach(1, 0, 1, 2, 3, 4)
	paid(first, firstTo)
	t.Logf("five members since block %d", w.Replica(0).Status().Membership.Since)

	w.decide(members.Change{Remove: []uint32{2}}, 4, 0, 1, 3)
	w.until(0, "resharing", resharing)
	second, secondTo := redeem("one goes")
	w.reach(2, 0, 1, 3, 4)
	paid(second, secondTo)
	t.Logf("four members since block %d", w.Replica(0).Status().Membership.Since)

	for i, k := range w.Replica(4).Status().Keys {
		if !k.Active || k.ID != keys[i].ID || k.PublicKey != keys[i].PublicKey {
			t.Errorf("%+v, was %+v", k, keys[i])
		}
	}
	var deposit string
	check(t, f.bob.Agent.Update(f, f.w.Minter, "get_btc_address", []any{struct{}{}}, []any{&deposit}))
	if deposit != address {
		t.Errorf("the deposit address was %s and is %s", address, deposit)
	}
	check(t, w.StopReplica(3))
	must(f.bob.Deposit(f, 2*sats))(t)
	check(t, f.w.Mine(f, testnets.Confirmations))
	must(f.bob.Mint(f, 1))(t)
	third, thirdTo := redeem("three of four")
	paid(third, thirdTo)
	must(f.w.Audit(f, f.owner, f.bob))(t)

	f.w.Close()
	check(t, w.Close())
	blocks := must(consensus.OpenBlocks(consensus.Config{Home: filepath.Join(testnets.NodeDir(dir, 4), "consensus"), ChainID: w.ChainID}))(t)
	if first, _ := blocks.Range(); got == 0 || first != got+1 {
		t.Errorf("the newcomer has blocks from %d on, after a snapshot of block %d", first, got)
	}
	check(t, blocks.Close())
}
