package ckbtc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"fusion/cdk"
	"fusion/ckledger/ckbtc/core"
	"fusion/internal/metrics"
)

// The types of http_request.
type (
	httpQuery = metrics.Request
	// HTTPResponse is the answer; it is not certified.
	HTTPResponse = metrics.Response
)

// logLine is an entry of /logs.
type logLine struct {
	at   uint64 // ns
	text string
}

// quote is a string of JSON. The codec of the standard library would cost a canister hundreds of kilobytes.
func quote(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = fmt.Appendf(b, "\\u%04x", r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}

// maxLogs is how many lines are remembered.
const maxLogs = 200

// logf writes a line to the canister's log and remembers it for /logs, until the next upgrade.
func (m *minter) logf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	m.c.Print("%s", line)
	if len(m.logs) >= maxLogs {
		m.logs = append(m.logs[:0], m.logs[1:]...)
	}
	m.logs = append(m.logs, logLine{m.c.Time(), line})
}

// httpRequest serves /metrics in the text format of Prometheus, /logs as JSON, and /dashboard, a page of plain text for people.
func (m *minter) httpRequest(_ *cdk.Msg, q httpQuery) HTTPResponse {
	var b strings.Builder
	kind := metrics.Plain
	switch q.Path() {
	case "/metrics":
		return metrics.Answer(metrics.Prometheus, m.metrics())
	case "/logs":
		kind = "application/json"
		b.WriteString(`{"entries":[`)
		for i, l := range m.logs {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"timestamp":%d,"message":%s}`, l.at, quote(l.text))
		}
		b.WriteString("]}")
	case "/", "/dashboard":
		m.dashboard(&b)
	default:
		return metrics.NotFound("/dashboard, /metrics and /logs are here")
	}
	return metrics.Answer(kind, b.String())
}

func (m *minter) metrics() string {
	w := metrics.Writer{Prefix: "ckbtc_"}
	minted, burned, refunded := m.state.Totals()
	book := m.state.Book()
	w.Gauge("events", "Events in the log.", m.state.Events())
	w.Gauge("custody_satoshi", "Bitcoin that the log accounts for.", m.state.Custody())
	w.Gauge("minted_satoshi", "ckBTC ever minted for deposits.", minted)
	w.Gauge("burned_satoshi", "ckBTC ever burned for withdrawals and fees.", burned)
	w.Gauge("refunded_satoshi", "ckBTC ever minted back.", refunded)
	w.Gauge("supply_satoshi", "ckBTC in existence, as far as the log knows.", minted+refunded-min(burned, minted+refunded))
	w.Gauge("open_withdrawals", "Withdrawals that are neither paid nor refunded.", m.state.Open())
	w.Gauge("queued_withdrawals", "Withdrawals that wait for a transaction.", book.Queued)
	w.Gauge("set_aside_withdrawals", "Withdrawals that can neither be paid now nor refunded: a transaction that was given up may pay them.", len(m.state.Aside(m.knownFeeRate())))
	w.Gauge("open_payments", "Transactions that are not final, counted once with all replacements.", book.Payments)
	w.Gauge("available_utxos", "Outputs that can be spent now.", book.Available)
	w.Gauge("suspended_utxos", "Deposits that did not pass their checks.", book.Suspended)
	w.Gauge("open_mints", "Deposits that passed their checks and are not minted.", book.OpenMints)
	w.Gauge("unknown_transfers", "Transfers of which the ledger did not say whether they happened.", len(m.state.Unknown()))
	w.Gauge("audit_findings", "Mints and burns in the ledger's blocks that the log does not explain, since the last upgrade.", m.findings)
	w.Gauge("consolidations", "Consolidations so far.", book.Consolidations)
	w.Gauge("fee_rate_millisatoshi_per_vbyte", "Median fee rate in use.", m.knownFeeRate())
	w.Gauge("fee_rate_updated_seconds", "When the fee rate was learnt, since 1970.", m.feeAt/1e9)
	h := m.health()
	w.Flag("stopped", "1 while nothing is minted or paid.", h.Stopped != nil)
	_, stale := m.state.Stale()
	w.Flag("restored", "1 since the subnet was restored from a backup, until a controller resumes.", stale)
	w.Flag("bitcoin_reset", "1 since the Bitcoin canister forgot its chain and began again, until a controller resumes.", m.state.Reset())
	w.Gauge("deficit_satoshi", "Minted deposits that a reorganisation of Bitcoin took back.", h.Deficit)
	w.Gauge("unsettled_satoshi", "Outputs that a reorganisation may still take back.", h.Unsettled)
	w.Gauge("written_off_satoshi", "Missing deposits that the operator gave up.", h.WrittenOff)
	w.Gauge("restored_satoshi", "Taken into custody without a mint.", h.Restored)
	orphans, value := m.state.Orphanage()
	w.Gauge("orphans", "Outputs that were spent after the backup from which the subnet was restored, and that no account has claimed; some may be others'.", orphans)
	w.Gauge("orphans_satoshi", "Their value.", value)
	w.Gauge("bitcoin_height", "Tip of the Bitcoin chain, as last seen.", m.tip)
	w.Flag("mode_restricted", "1 unless everybody may use the minter.", m.state.Config.Mode.Kind != core.GeneralAvailability)
	return w.String()
}

func (m *minter) dashboard(b *strings.Builder) {
	c := m.state.Config
	book := m.state.Book()
	minted, burned, refunded := m.state.Totals()
	fmt.Fprintf(b, "ckBTC minter %v on %v\n\n", m.c.Self(), c.Network)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	if m.key != nil {
		row("main address", "%v", m.main)
	}
	row("ledger", "%v", m.ledgerID())
	row("mode", "%s", []string{"general availability", "read-only", "restricted", "deposits restricted"}[c.Mode.Kind])
	row("confirmations", "%d", c.Confirmations)
	row("smallest deposit", "%s BTC", coins(c.MinDeposit(m.knownFeeRate())))
	row("smallest withdrawal", "%s BTC", coins(m.state.RetrieveMin(m.knownFeeRate())))
	row("check fee", "%d sat", c.CheckFee)
	row("fee rate", "%d millisatoshi per vbyte", m.knownFeeRate())
	row("events", "%d", m.state.Events())
	row("minted", "%s ckBTC", coins(minted))
	row("burned", "%s ckBTC", coins(burned))
	row("refunded", "%s ckBTC", coins(refunded))
	row("custody", "%s BTC in %d spendable outputs and %d payments", coins(m.state.Custody()), book.Available, book.Payments)
	row("suspended deposits", "%d", book.Suspended)
	row("open withdrawals", "%d, %d of them wait for a transaction", m.state.Open(), book.Queued)
	row("not settled", "%s BTC", coins(m.state.Unsettled()))
	if why := m.stopped(); why != "" {
		fmt.Fprintf(b, "TROUBLE: nothing is minted or paid: %s\n", why)
	}
	if m.findings > 0 {
		fmt.Fprintf(b, "TROUBLE: %d blocks of the ledger are not explained by the log: see /logs\n", m.findings)
	}
	if n := len(m.state.Unknown()); n > 0 {
		fmt.Fprintf(b, "TROUBLE: the ledger did not say what became of %d transfers; its blocks will tell\n", n)
	}
	aside := m.state.Aside(m.knownFeeRate())
	for _, id := range slices.Sorted(maps.Keys(aside)) {
		fmt.Fprintf(b, "TROUBLE: withdrawal %d is set aside: %s\n", id, aside[id])
	}
	for i, p := range m.state.Payments() {
		if i == 0 {
			fmt.Fprintf(b, "\nopen payments\n")
		}
		if i == 100 {
			fmt.Fprintf(b, "  and more\n")
			break
		}
		v := p.Latest()
		fmt.Fprintf(b, "  %d: %d withdrawals, %d inputs, transaction %v pays %d millisatoshi per vbyte, %d replacements\n", p.ID, len(p.Requests), len(p.Inputs), v.Txid,
			v.FeeRate, len(p.Versions)-1)
	}
}
