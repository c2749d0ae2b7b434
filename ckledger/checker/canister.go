package checker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/stable"
	"fusion/ic/principal"
	"fusion/internal/metrics"
)

// transformMethod is the query that the subnet runs on responses.
const transformMethod = "transform"

// server is the canister around a Book. Everything but the configuration is forgotten by an upgrade.
type server struct {
	c     *cdk.Canister
	cell  *stable.Cell
	b     *Book
	stats stats
}

// Canister is the checker as a canister: the setup function for cdk.Main and cdk/native.
func Canister(c *cdk.Canister) {
	s := &server{c: c, stats: stats{calls: map[outcallKey]uint64{}}}
	cdk.Init(c, func(a *CheckArg) {
		if a == nil || a.Init == nil {
			c.Trap("a new checker needs InitArg arguments")
		}
		s.open()
		cfg, err := newConfig(*a.Init)
		s.start(cfg, err)
	})
	cdk.PostUpgrade(c, func(a *CheckArg) {
		s.open()
		cfg, err := loadConfig(s.cell)
		if err == nil && a != nil {
			if a.Upgrade == nil {
				c.Trap("an upgrade needs UpgradeArg arguments, or none")
			}
			if u := *a.Upgrade; u != nil {
				err = cfg.upgrade(*u)
			}
		}
		s.start(cfg, err)
	})

	cdk.UpdateAsync(c, "check_transaction", func(m *cdk.Msg, a CheckTransactionArgs, out *cdk.Reply[CheckTransactionResponse]) {
		txid, err := hashOf(a.Txid)
		s.check(m, txid, err, out)
	})
	cdk.UpdateAsync(c, "check_transaction_str", func(m *cdk.Msg, a CheckTransactionStrArgs, out *cdk.Reply[CheckTransactionResponse]) {
		txid, err := btc.ParseHash(a.Txid)
		s.check(m, txid, err, out)
	})
	cdk.Query(c, "check_transaction_query", func(_ *cdk.Msg, a CheckTransactionQueryArgs) CheckTransactionQueryResponse {
		var txid btc.Hash
		var err error
		if a.TxIDStr != nil {
			txid, err = btc.ParseHash(*a.TxIDStr)
		} else {
			txid, err = hashOf(*a.TxIDBin)
		}
		s.must(err)
		return s.b.Query(txid)
	})
	cdk.Query(c, "check_address", func(_ *cdk.Msg, a CheckAddressArgs) CheckAddressResponse {
		address, err := btc.ParseAddress(s.b.Config.Network, strings.TrimSpace(a.Address))
		s.must(err)
		s.stats.addresses++
		return s.b.Address(address)
	})
	cdk.Transform(c, transformMethod, transform)
	cdk.Query(c, "http_request", s.httpRequest)
}

func (s *server) must(err error) {
	if err != nil {
		s.c.Trap("%v", err)
	}
}

func (s *server) open() {
	var err error
	s.cell, err = stable.OpenCell(s.c.Stable())
	s.must(err)
}

func (s *server) start(cfg Config, err error) {
	s.must(err)
	s.must(cfg.save(s.cell))
	s.b = NewBook(cfg)
}

func hashOf(b []byte) (btc.Hash, error) {
	if len(b) != len(btc.Hash{}) {
		return btc.Hash{}, fmt.Errorf("%w: %d bytes, want 32", btc.ErrHash, len(b))
	}
	return btc.Hash(b), nil
}

// check answers check_transaction.
func (s *server) check(m *cdk.Msg, txid btc.Hash, invalid error, out *cdk.Reply[CheckTransactionResponse]) {
	s.stats.checks++
	attached := m.CyclesAvailable()
	if m.AcceptCycles(serviceFee).Cmp(serviceFee) < 0 || attached.Cmp(required) < 0 && invalid == nil {
		s.answer(out, unknown(notEnoughCycles))
		return
	}
	if invalid != nil {
		s.answer(out, unknown(irrecoverable(CheckTransactionIrrecoverableError{InvalidTransactionID: ptr(invalid.Error())})))
		return
	}
	s.advance(m, s.b.Begin(txid), out)
}

// advance makes the outcalls that a check needs now, and answers when it needs none and none is under way.
func (s *server) advance(m *cdk.Msg, k *Check, out *cdk.Reply[CheckTransactionResponse]) {
	for {
		f, ok := k.Next(m.CyclesAvailable())
		if !ok {
			break
		}
		m.AcceptCycles(f.Price)
		s.fetch(m, k, f, out)
	}
	if k.Open() == 0 {
		s.answer(out, k.Answer())
	}
}

func (s *server) answer(out *cdk.Reply[CheckTransactionResponse], r CheckTransactionResponse) {
	s.stats.count(&r)
	out.Send(r)
}

// fetch makes an outcall, whose price was accepted.
func (s *server) fetch(m *cdk.Msg, k *Check, f Fetch, out *cdk.Reply[CheckTransactionResponse]) {
	r := s.b.Config.request(f)
	r.Transform = s.c.TransformBy(transformMethod, transformContext(f.Txid, s.b.Config.Node != nil))
	name := explorers[s.b.Config.Network][f.Provider].name
	sending := true
	call := s.c.Call(principal.Management, "http_request", r).WithCycles(f.Price).OnCleanup(func() {
		// A callback that trapped leaves its check without an answer; what it held must be free for others.
		k.Done(f, Outcome{Failure: "the checker trapped"})
	})
	cdk.Then(call, func(res cdk.HTTPResponse, err error) {
		k.Done(f, s.outcome(name, f, res, err))
		if !sending { // otherwise advance, which is at work, goes on with this
			s.advance(m, k, out)
		}
	})
	sending = false
}

// maxFailure bounds what is said about an outcall that failed.
const maxFailure = 300

// outcome reads what an outcall gave.
func (s *server) outcome(name string, f Fetch, res cdk.HTTPResponse, err error) Outcome {
	failed := func(status uint64, format string, args ...any) Outcome {
		s.stats.calls[outcallKey{name, status}]++
		text := fmt.Sprintf(format, args...)
		if len(text) > maxFailure {
			text = strings.ToValidUTF8(text[:maxFailure], "")
		}
		return Outcome{Failure: fmt.Sprintf("fetching transaction %v from %s: %s", f.Txid, name, text)}
	}
	var rejected *cdk.RejectError
	switch {
	case errors.As(err, &rejected) && tooLarge(rejected):
		s.stats.calls[outcallKey{name, statusTooLarge}]++
		return Outcome{TooLarge: true}
	case err != nil:
		return failed(statusNone, "%v", err)
	}
	status, ok := res.Status.Uint64()
	if !ok || status != 200 {
		return failed(status, "status %v %s", res.Status, res.Body)
	}
	tx, err := readTransaction(s.b.Config.Network, f.Txid, res.Body)
	if err != nil {
		return failed(badGateway, "%v", err)
	}
	s.stats.calls[outcallKey{name, status}]++
	s.stats.bytes += uint64(len(res.Body))
	return Outcome{Tx: tx}
}

// What the metrics call an outcall without a status.
const (
	statusNone     = 0
	statusTooLarge = 1
)

type outcallKey struct {
	provider string
	status   uint64
}

type stats struct {
	checks, addresses          uint64
	passed, failed             uint64
	retriable, errors, starved uint64
	bytes                      uint64
	calls                      map[outcallKey]uint64
}

func (s *stats) count(r *CheckTransactionResponse) {
	switch {
	case r.Passed != nil:
		s.passed++
	case r.Failed != nil:
		s.failed++
	case r.Unknown.NotEnoughCycles != nil:
		s.starved++
	case r.Unknown.Retriable != nil:
		s.retriable++
	default:
		s.errors++
	}
}

// The types of http_request.
type (
	httpQuery = metrics.Request
	// HTTPResponse is the answer of http_request; it is not certified.
	HTTPResponse = metrics.Response
)

// httpRequest serves /metrics in the text format of Prometheus.
func (s *server) httpRequest(_ *cdk.Msg, q httpQuery) HTTPResponse {
	if q.Path() != "/metrics" {
		return metrics.NotFound("/metrics is here")
	}
	return metrics.Answer(metrics.Prometheus, s.metrics())
}

func (s *server) metrics() string {
	row := func(labels string, value any) metrics.Row { return metrics.Row{Labels: labels, Value: value} }
	w := metrics.Writer{Prefix: "btc_checker_"}
	cfg, st := &s.b.Config, &s.stats
	entries, weight := s.b.Known()
	listed := len(cfg.Own)
	if cfg.Network == btc.Mainnet {
		listed += len(builtin)
	}
	w.Rows("gauge", "mode", "What the checker does.", row(fmt.Sprintf("{mode=%q,network=%q}", cfg.Mode, cfg.Network), 1))
	w.Gauge("cycle_balance", "Cycles of the canister.", s.c.Balance())
	w.Gauge("blocked_addresses", "Addresses that are blocked.", listed)
	w.Gauge("transactions", "Transactions that are kept.", entries)
	w.Gauge("transactions_bytes", "About what they take.", weight)
	w.Gauge("outcalls_open", "HTTPS outcalls under way.", s.b.Outcalls())
	w.Rows("counter", "requests_total", "Calls since the last upgrade.", row(`{type="check_transaction"}`, st.checks), row(`{type="check_address"}`, st.addresses))
	w.Rows("counter", "answers_total", "Answers of check_transaction since the last upgrade.", row(`{answer="passed"}`, st.passed), row(`{answer="failed"}`, st.failed),
		row(`{answer="retriable"}`, st.retriable), row(`{answer="not_enough_cycles"}`, st.starved), row(`{answer="error"}`, st.errors))
	var calls []metrics.Row
	for _, k := range sortedKeys(st.calls) {
		status := fmt.Sprint(k.status)
		switch k.status {
		case statusNone:
			status = "none"
		case statusTooLarge:
			status = "too large"
		}
		calls = append(calls, row(fmt.Sprintf("{provider=%q,status=%q}", k.provider, status), st.calls[k]))
	}
	w.Rows("counter", "http_calls_total", "HTTPS outcalls that ended since the last upgrade, by provider and status.", calls...)
	w.Rows("counter", "http_bytes_total", "Bytes of transactions without witness that they brought.", row("", st.bytes))
	return w.String()
}

func sortedKeys(m map[outcallKey]uint64) []outcallKey {
	return slices.SortedFunc(maps.Keys(m), func(a, b outcallKey) int {
		return cmp.Or(strings.Compare(a.provider, b.provider), cmp.Compare(a.status, b.status))
	})
}
