package archive

import (
	"fusion/cdk"
	"fusion/ckledger/icrc"
	"fusion/ic/principal"
	"fusion/internal/metrics"
)

// Canister is the archive as a canister: the setup function for cdk.Main and cdk/native.
func Canister(c *cdk.Canister) {
	var a *Archive
	check := func(err error) {
		if err != nil {
			c.Trap("%v", err)
		}
	}
	cdk.Init(c, func(arg cdk.Args4[principal.Principal, uint64, *uint64, *uint64]) {
		var err error
		a, err = Create(c.Stable(), arg.First, arg.Second, arg.Third, arg.Fourth)
		check(err)
	})
	// An upgrade takes no argument; the one of the installation, which tools may repeat, changes nothing.
	c.OnPostUpgrade(func() {
		var err error
		a, err = Open(c.Stable())
		check(err)
	})

	type none = cdk.None
	cdk.Update(c, "append_blocks", func(m *cdk.Msg, arg cdk.Args2[[][]byte, *uint64]) none {
		if m.Caller() != a.Ledger() {
			c.Trap("only ledger %s appends blocks", a.Ledger())
		}
		check(a.Append(arg.First, arg.Second))
		return none{}
	})
	cdk.Query(c, "block_range", func(*cdk.Msg, none) icrc.BlockSpan { return a.Span() })
	cdk.Query(c, "remaining_capacity", func(*cdk.Msg, none) uint64 { return a.Free() })
	cdk.Query(c, "get_transaction", func(_ *cdk.Msg, i uint64) *icrc.Transaction { return a.Transaction(i) })
	cdk.Query(c, "get_transactions", func(_ *cdk.Msg, r icrc.GetBlocksArgs) icrc.TransactionRange { return a.Transactions(r) })
	cdk.Query(c, "get_blocks", func(_ *cdk.Msg, r icrc.GetBlocksArgs) icrc.BlockRange { return a.Blocks(r) })
	cdk.Query(c, "get_stored_blocks", func(_ *cdk.Msg, r icrc.GetBlocksArgs) icrc.StoredBlocks { return a.StoredBlocks(r) })
	cdk.Query(c, "icrc3_get_blocks", func(_ *cdk.Msg, r []icrc.GetBlocksArgs) icrc.GetBlocksResult { return a.ICRC3Blocks(r) })
	cdk.Query(c, "icrc3_get_archives", func(*cdk.Msg, icrc.GetArchivesArgs) []icrc.ICRC3Archive { return []icrc.ICRC3Archive{} })
	cdk.Query(c, "icrc3_get_tip_certificate", func(*cdk.Msg, none) *icrc.ICRC3DataCertificate { return nil }) // the ledger's covers all blocks
	cdk.Query(c, "icrc3_supported_block_types", func(*cdk.Msg, none) []icrc.BlockType { return icrc.AllBlockTypes() })
	cdk.Query(c, "http_request", func(_ *cdk.Msg, q metrics.Request) metrics.Response {
		return icrc.ServeMetrics(q, func(w *metrics.Writer) {
			w.Prefix = "archive_"
			w.Gauge("first_block", "Index of the first block.", a.cfg.First)
			w.Gauge("blocks", "Blocks that are here.", a.log.Len())
			w.Gauge("block_bytes", "Their bytes.", a.log.Bytes())
			w.Gauge("remaining_capacity_bytes", "How many more bytes of blocks are taken.", a.Free())
			w.Gauge("cycle_balance", "Cycles of this canister.", c.Balance())
		})
	})
}
