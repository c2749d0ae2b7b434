package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/exchange/reader"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
	"fusion/testnets"
	"fusion/testnets/canisters"
	"fusion/testnets/golden"
)

// TestArchives: on a network of replicas a ledger makes its archives, one after the other as they fill up, while users pay and ledger, archive and
// index are upgraded. Each block is in one place, the log can be read and proven from its first block, and the index has all of it.
func TestArchives(t *testing.T) {
	const threshold, batch, perArchive, transfers = 20, 10, 3500, 80 // perArchive in bytes, of blocks of about 180
	program(t, "FUSION_BIN")
	w := golden.NewWorld(t, golden.Run(t))
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	a := user(t, w, golden.Owner, 0).Agent
	archive, err := testnets.LoadArchive()
	must(t, err)
	module := func(name string) []byte {
		t.Helper()
		b, err := canisters.Module(name)
		must(t, err)
		return b
	}
	create := func() principal.Principal {
		t.Helper()
		var created management.CanisterID
		cycles := candid.NatFromUint64(1_000_000_000_000_000)
		must(t, a.Update(ctx, principal.Management, "provisional_create_canister_with_cycles", []any{management.ProvisionalCreateArgs{Amount: &cycles}}, []any{&created}))
		return created.CanisterID
	}
	ledger, idx := create(), create()
	options := archive.Options(a.Sender())
	size := uint64(perArchive)
	options.TriggerThreshold, options.NumBlocksToArchive, options.NodeMaxMemorySizeBytes = threshold, batch, &size
	must(t, archive.Upload(ctx, a, ledger))
	me := icrc.Account{Owner: a.Sender()}
	must(t, testnets.Install(ctx, a, ledger, management.ModeInstall(), module("icrc1_ledger"), candid.MustMarshal(icrc.LedgerArg{Init: &icrc.InitArgs{
		MintingAccount: icrc.Account{Owner: principal.Management}, TransferFee: candid.NatFromUint64(10), TokenSymbol: "ARC", TokenName: "archives",
		InitialBalances: []icrc.InitialBalance{{Account: me, Amount: candid.NatFromUint64(1_000_000)}}, ArchiveOptions: options}})))
	must(t, testnets.Install(ctx, a, idx, management.ModeInstall(), module("icrc1_index"), candid.MustMarshal(index.Arg{Init: &index.InitArg{LedgerID: ledger}})))

	began := uint64(time.Now().UnixNano())
	pay := func(from, to int) error {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(8)
		for i := from; i < to; i++ {
			created := began + uint64(i)
			arg := icrc.TransferArg{To: icrc.Account{Owner: principal.FromUint64(uint64(i % 7))}, Amount: candid.NatFromUint64(100), CreatedAtTime: &created}
			g.Go(func() error { return payOnce(gctx, a, ledger, arg) })
		}
		return g.Wait()
	}
	list := func() (out []icrc.ICRC3Archive) {
		t.Helper()
		must(t, a.Ask(ctx, ledger, "icrc3_get_archives", []any{icrc.GetArchivesArgs{}}, []any{&out}))
		return out
	}
	must(t, pay(0, transfers/2))
	must(t, golden.Wait(ctx, "an archive", func() (string, error) {
		if len(list()) == 0 {
			return "there is none", nil
		}
		return "", nil
	}))

	// Upgrades while the second half is paid and handed over.
	paid := make(chan error, 1)
	go func() { paid <- pay(transfers/2, transfers) }()
	upgrade := func(id principal.Principal, name string, arg ...any) {
		t.Helper()
		must(t, testnets.Install(ctx, a, id, management.ModeUpgrade(nil), module(name), candid.MustMarshal(arg...)))
	}
	var same *icrc.UpgradeArgs
	upgrade(ledger, "icrc1_ledger", icrc.LedgerArg{Upgrade: &same})
	upgrade(list()[0].CanisterID, "icrc1_archive")
	upgrade(idx, "icrc1_index", index.Arg{Upgrade: &index.UpgradeArg{}})
	must(t, <-paid)

	const all = 1 + transfers // with the mint
	must(t, golden.Wait(ctx, "archives and index", func() (string, error) {
		in := uint64(0)
		for _, x := range list() {
			end, _ := x.End.Uint64()
			in = end + 1
		}
		var st index.Status
		if err := a.Ask(ctx, idx, "status", nil, []any{&st}); err != nil {
			return "", err
		}
		if st.Halted != nil {
			return "", fmt.Errorf("the index has halted: %s", *st.Halted)
		}
		if synced, _ := st.NumBlocksSynced.Uint64(); in+threshold < all || synced < all {
			return fmt.Sprintf("of %d blocks %d are archived and %d in the index", all, in, synced), nil
		}
		return "", nil
	}))

	// Archives follow one another, hold what they say and no more, and the ledger has the rest.
	archives := list()
	if len(archives) < 3 {
		t.Errorf("%d archives: none was full", len(archives))
	}
	var next uint64
	for _, x := range archives {
		var span icrc.BlockSpan
		must(t, a.Ask(ctx, x.CanisterID, "block_range", nil, []any{&span}))
		start, _ := x.Start.Uint64()
		end, _ := x.End.Uint64()
		if start != next || span.First != start || span.Next != end+1 {
			t.Errorf("archive %s: the ledger says %d to %d, it has %d to %d, the one before ends at %d", x.CanisterID, start, end, span.First, span.Next, next)
		}
		next = end + 1
	}
	var res icrc.GetBlocksResult
	must(t, a.Ask(ctx, ledger, "icrc3_get_blocks", []any{[]icrc.GetBlocksArgs{{Length: candid.NatFromUint64(1000)}}}, []any{&res}))
	elsewhere := uint64(0)
	for _, x := range res.ArchivedBlocks {
		for _, r := range x.Args {
			n, _ := r.Length.Uint64()
			elsewhere += n
		}
	}
	if len(res.Blocks) == 0 || res.Blocks[0].ID.String() != fmt.Sprint(next) || uint64(len(res.Blocks))+next != all || elsewhere != next {
		t.Errorf("the ledger keeps %d blocks and points at %d, %d of %d are archived", len(res.Blocks), elsewhere, next, all)
	}

	// The log as a client reads it, each block linked to the one before, up to the certified tip.
	r, err := reader.Open(ctx, a, ledger)
	must(t, err)
	seen := 0
	_, err = r.Read(ctx, reader.Cursor{}, func(blocks []reader.Block) error {
		for _, b := range blocks {
			if b.Index != uint64(seen) {
				return fmt.Errorf("block %d comes after %d blocks", b.Index, seen)
			}
			seen++
		}
		return nil
	})
	if err != nil || seen != all {
		t.Errorf("%d of %d blocks were read: %v", seen, all, err)
	}
	t.Logf("%d blocks, %d archives with %d of them", all, len(archives), next)
}

// payOnce makes a transfer, again until it is known to be made: a canister that is being upgraded turns calls away.
func payOnce(ctx context.Context, a *agent.Agent, ledger principal.Principal, arg icrc.TransferArg) error {
	return golden.Wait(ctx, "a transfer", func() (string, error) {
		var res icrc.TransferResult
		err := a.Update(ctx, ledger, "icrc1_transfer", []any{arg}, []any{&res})
		var refused *agent.RejectError
		switch {
		case errors.As(err, &refused):
			return refused.Error(), nil
		case err != nil:
			return "", err
		case res.Ok == nil && (res.Err == nil || res.Err.Duplicate == nil):
			return "", fmt.Errorf("the ledger refuses: %+v", res.Err)
		}
		return "", nil
	})
}
