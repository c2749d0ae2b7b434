package icrc_test

import (
	"context"
	"crypto/sha256"
	"slices"
	"testing"

	"fusion/cdk/link"
	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/execution"
	"fusion/replica/management"
)

// BenchmarkSuiteWasm measures transfers in a replica's executor, blocks of a hundred every 100 ms, until the ledger's archives and its index have them too.
func BenchmarkSuiteWasm(b *testing.B) {
	for _, c := range []struct {
		name             string
		archives, follow bool
	}{{"alone", false, false}, {"index", false, true}, {"archives", true, false}, {"suite", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			s := newSubnet(b)
			s.every = 100e6
			var modules [2][]byte
			for i, dir := range []string{"../archive/cmd/archive", "../index/cmd/index"} {
				m, err := link.Build(context.Background(), "", dir)
				if err != nil {
					b.Fatal(err)
				}
				if modules[i], err = link.Gzip(m.Wasm); err != nil {
					b.Fatal(err)
				}
			}
			if c.archives {
				var chunks [][]byte
				for part := range slices.Chunk(modules[0], 1<<20) {
					var h management.ChunkHash
					if err := candid.Unmarshal(s.manage(b, "upload_chunk", management.UploadChunkArgs{CanisterID: s.ledger, Chunk: part}), &h); err != nil {
						b.Fatal(err)
					}
					chunks = append(chunks, h.Hash)
				}
				hash := sha256.Sum256(modules[0])
				trigger, num, module := uint64(2000), uint64(1000), &icrc.ArchiveModule{Hash: hash[:], Chunks: chunks}
				s.upgrade(b, icrc.LedgerArg{Upgrade: ptr(&icrc.UpgradeArgs{ChangeArchiveOptions: &icrc.ChangeArchiveOptions{TriggerThreshold: &trigger, NumBlocksToArchive: &num, Module: module}})})
			}
			var idx principal.Principal
			if c.follow {
				var id management.CanisterID
				if err := candid.Unmarshal(s.manage(b, "provisional_create_canister_with_cycles", management.ProvisionalCreateArgs{}), &id); err != nil {
					b.Fatal(err)
				}
				idx = id.CanisterID
				s.manage(b, "install_code", management.InstallCodeArgs{Mode: management.ModeInstall(), CanisterID: idx, WasmModule: modules[1],
					Arg: candid.MustMarshal(index.Arg{Init: &index.InitArg{LedgerID: s.ledger}})})
			}
			n, instructions, rounds := 0, 0, 0
			blocks := func(count int) {
				for end := n + count; n < end; {
					var msgs []execution.Ingress
					for range min(100, end-n) {
						arg := icrc.TransferArg{To: acc(n * 7 % 256), Amount: nat(5)}
						msgs = append(msgs, s.message(who(n*3%255), s.ledger, "icrc1_transfer", candid.MustMarshal(arg)))
						n++
					}
					instructions += int(s.round(msgs...).InstructionsUsed)
					rounds++
				}
				for quiet := 0; quiet < 20; quiet++ { // the rest
					r := s.round()
					instructions += int(r.InstructionsUsed)
					rounds++
					if r.InstructionsUsed > 1e6 {
						quiet = 0
					}
				}
			}
			blocks(2500)
			instructions, rounds = 0, 0
			b.ResetTimer()
			blocks(b.N)
			b.StopTimer()
			b.ReportMetric(float64(instructions)/float64(b.N), "instructions/op")
			b.ReportMetric(float64(rounds), "rounds")
			if c.follow {
				r := s.x.Query(b.Context(), execution.QueryRequest{Sender: who(1), Canister: idx, Method: "status", Arg: candid.MustMarshal()})
				var st index.Status
				if err := candid.Unmarshal(r.Reply, &st); err != nil || st.Halted != nil || st.NumBlocksSynced.Cmp(candid.NatFromUint64(uint64(n))) < 0 {
					b.Fatalf("%+v %v", st, err)
				}
			}
		})
	}
}
