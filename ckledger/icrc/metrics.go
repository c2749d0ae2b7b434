package icrc

import (
	"fmt"

	"fusion/internal/metrics"
)

// ServeMetrics answers http_request with what collect writes; all other paths are unknown.
func ServeMetrics(q metrics.Request, collect func(*metrics.Writer)) metrics.Response {
	if q.Path() != "/metrics" {
		return metrics.NotFound("/metrics is here")
	}
	w := &metrics.Writer{}
	collect(w)
	return metrics.Answer(metrics.Prometheus, w.String())
}

func (a *archiver) metrics(w *metrics.Writer) {
	l := a.l
	w.Prefix = "ledger_"
	w.Gauge("blocks", "Blocks of the log, wherever they are.", l.log.Len())
	w.Gauge("archived_blocks", "Blocks that are in archives.", l.Archived())
	w.Gauge("block_log_pages", "Pages of stable memory that the blocks here take.", l.logIndex.Kept()+l.logData.Kept())
	w.Gauge("supply", "Sum of all balances, in smallest units.", l.hot.supply)
	w.Gauge("accounts", "Accounts with a balance.", l.balances.Len())
	w.Gauge("allowances", "Allowances that are stored.", l.allowances.Len())
	w.Gauge("recent_transactions", "Transactions that are remembered to find duplicates.", l.recent.Len())
	w.Gauge("archives", "Archives with blocks.", len(l.Archives()))
	w.Gauge("archives_lost", "Canisters for archives whose creation has an unknown outcome.", l.arch.Lost)
	w.Flag("archives_enabled", "1 if the ledger has a module for archives; without it it keeps all blocks.", l.cfg.Archive.Module != nil)
	w.Gauge("archive_creation_cycles", "Cycles that the next archive gets.", option(l.cfg.Archive.CyclesForArchiveCreation, defaultArchiveCycles))
	w.Flag("archiving_due", "1 while more blocks are here than trigger_threshold.", l.ArchiveDue())
	w.Gauge("archiving_failures", "Failed hand-overs since the last upgrade.", a.failures)
	w.Rows("gauge", "archiving_problem", "1 while the last hand-over failed, with the reason.", metrics.Row{Labels: fmt.Sprintf("{reason=%q}", a.problem), Value: metrics.Bit(a.problem != "")})
}
