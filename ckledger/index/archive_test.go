package index_test

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ckledger/archive"
	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// An index that begins when most blocks are in archives, and one that follows while they go there, have the same books as the ledger.
func TestFollowsArchives(t *testing.T) {
	w := native.NewWorld(3)
	module := []byte("archive")
	m := native.NewManagement(w, 100, func([]byte) func(*cdk.Canister) { return archive.Canister })
	w.Handle(principal.Management, m.Serve)
	chunk, hash := m.Upload(ledgerID, module), sha256.Sum256(module)
	init := &icrc.InitArgs{MintingAccount: minter, TransferFee: nat(10), ArchiveOptions: icrc.ArchiveOptions{TriggerThreshold: 100, NumBlocksToArchive: 70,
		NodeMaxMemorySizeBytes: ptr(uint64(60_000)), Module: &icrc.ArchiveModule{Hash: hash[:], Chunks: [][]byte{chunk[:]}}}}
	must(t, w.Install(ledgerID, icrc.Canister, icrc.LedgerArg{Init: init}))
	arg := &index.Arg{Init: &index.InitArg{LedgerID: ledgerID}}
	must(t, w.Install(indexID, index.Canister, arg))
	pay := func(n int) {
		for i := range n {
			_, err := w.Submit(minter.Owner, ledgerID, "icrc1_transfer", icrc.TransferArg{To: acc(i%7, i%2), Amount: nat(uint64(i))})
			must(t, err)
			if i%50 == 0 {
				must(t, w.Advance(time.Second))
			}
		}
		must(t, w.Advance(20*time.Second))
	}
	check := func(id principal.Principal, want uint64) {
		t.Helper()
		s := query[index.Status](t, w, id, "status")
		if n, _ := s.NumBlocksSynced.Uint64(); n != want || s.Halted != nil {
			t.Fatalf("%d of %d blocks, %+v; %v", n, want, s.Halted, w.Logs())
		}
		for i := range 14 {
			a := acc(i%7, i%2)
			got, want := query[candid.Nat](t, w, id, "icrc1_balance_of", a), query[candid.Nat](t, w, ledgerID, "icrc1_balance_of", a)
			if got.Cmp(want) != 0 {
				t.Errorf("account %d has %s, the index says %s", i, want, got)
			}
		}
	}
	pay(1500)
	archives := query[[]icrc.ICRC3Archive](t, w, ledgerID, "icrc3_get_archives", icrc.GetArchivesArgs{})
	if len(archives) < 3 {
		t.Fatalf("%d archives; %v", len(archives), w.Logs())
	}
	if rest := query[[]icrc.ICRC3Archive](t, w, ledgerID, "icrc3_get_archives", icrc.GetArchivesArgs{From: &archives[0].CanisterID}); len(rest) != len(archives)-1 {
		t.Errorf("%d archives after the first of %d", len(rest), len(archives))
	}
	check(indexID, 1500)
	late := principal.FromUint64(3)
	must(t, w.Install(late, index.Canister, arg))
	pay(100)
	check(indexID, 1600)
	check(late, 1600)
}

// A canister that the ledger does not list as its archive is not asked, whatever an answer says.
func TestFollowsNoStranger(t *testing.T) {
	w := native.NewWorld(1)
	stranger := principal.FromUint64(50)
	asked := 0
	w.Handle(stranger, func(in *native.Incoming) { asked++; in.Reject(cdk.CanisterReject, "no") })
	w.Handle(ledgerID, func(in *native.Incoming) {
		if in.Method == "icrc3_get_archives" {
			in.Reply([]icrc.ICRC3Archive{{CanisterID: principal.FromUint64(51), Start: nat(0), End: nat(10)}})
			return
		}
		in.Reply(icrc.GetBlocksResult{LogLength: nat(10), Blocks: []icrc.ICRC3Block{}, ArchivedBlocks: []icrc.ICRC3ArchivedBlocks{{
			Args:     []icrc.GetBlocksArgs{{Start: nat(0), Length: nat(10)}},
			Callback: icrc.ICRC3ArchiveFn{Func: candid.Func{Principal: stranger, Method: "icrc3_get_blocks"}}}}})
	})
	must(t, w.Install(indexID, index.Canister, &index.Arg{Init: &index.InitArg{LedgerID: ledgerID}}))
	must(t, w.Advance(time.Minute))
	if asked > 0 || !strings.Contains(strings.Join(w.Logs(), "\n"), "not among its archives") {
		t.Fatalf("the stranger was asked %d times; %v", asked, w.Logs())
	}
	if s := query[index.Status](t, w, indexID, "status"); s.Halted != nil {
		t.Errorf("%s", *s.Halted)
	}
}
