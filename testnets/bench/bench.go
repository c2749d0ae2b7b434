package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"text/tabwriter"
	"time"

	"fusion/replica"
	"fusion/testnets"
)

// Row is one measured number. Ratio is Value by Reference, or 0 where there is no reference.
type Row struct {
	Name          string  `json:"name"`
	Value         float64 `json:"value"`
	Unit          string  `json:"unit"`
	ReferenceName string  `json:"reference_name"`
	Reference     float64 `json:"reference"`
	Ratio         float64 `json:"ratio"`
}

// Options of a run.
type Options struct {
	// Program is the fusion program, for measuring its start.
	Program string
	// Wasmtime is the program of tools/wasmtime. Without it wasmtime is not measured.
	Wasmtime string
	// Only runs the benchmarks whose name it matches. The default is all.
	Only *regexp.Regexp
	// Duration is how long each load lasts. The default is 10 s.
	Duration time.Duration
	// Dir keeps the network for the next run, which then finds it. The default is a temporary directory.
	Dir string
	// Profile, when set, names a directory for CPU profiles of the loads.
	Profile string
	// Sizes are how many members the measured key generations and resharings have. The default is 4; 7 and 13 take minutes.
	Sizes []int
	// Progress is told what is going on. The default is testnets.Silent.
	Progress testnets.Progress
}

// References that were published by others. The sources are in docs/benchmarks.md.
const (
	icUpdates       = 2000 // update calls/s of a tuned application subnet; 1,200 on mainnet
	icUpdateLatency = 520  // ms, tuned; 1,350 on mainnet
	icQueries       = 7025 // query calls/s of a node
	coldTarget      = 30   // s; nobody offers the same thing, so this is the aim we set ourselves
	warmTarget      = 5    // s
	wasmTarget      = 0.8  // of wasmtime's speed with fuel
)

// suite is a run.
type suite struct {
	Options
	dir  string
	net  *testnets.Network
	rows []Row
}

// benchmark measures one or more rows.
type benchmark struct {
	name string
	run  func(*suite, context.Context) error
}

// benchmarks in the order in which they run: what needs no network, then starts, since they make the network that the others load.
var benchmarks = []benchmark{
	{"wasm", (*suite).wasm},
	{"schemes", (*suite).schemes},
	{"bitcoin_utxo", (*suite).bitcoinUTXO},
	{"ethereum_logs", (*suite).ethereumLogs},
	{"ledger_state", (*suite).ledgerState},
	{"start", (*suite).start},
	{"update_latency", (*suite).latency},
	{"queries", (*suite).queries},
	{"queries_node", (*suite).nodeQueries},
	{"icrc_transfers", (*suite).transfers},
	{"icrc_suite", (*suite).suiteTransfers},
	{"counter_updates", (*suite).updates},
	{"gg18_signatures", (*suite).signatures},
	{"idkg_signatures", (*suite).presigned},
	{"ckbtc_withdrawals", (*suite).ckbtc},
	{"ethereum_cketh", (*suite).cketh},
}

// Names lists the benchmarks.
func Names() (out []string) {
	for _, b := range benchmarks {
		out = append(out, b.name)
	}
	return out
}

// Run measures. The rows of what was measured before an error come with it.
func Run(ctx context.Context, o Options) (_ []Row, err error) {
	if o.Progress == nil {
		o.Progress = testnets.Silent{}
	}
	if o.Duration <= 0 {
		o.Duration = 10 * time.Second
	}
	if len(o.Sizes) == 0 {
		o.Sizes = []int{4}
	}
	s := &suite{Options: o, dir: o.Dir}
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "fusion-bench-")
		if err != nil {
			return nil, fmt.Errorf("benchmarks: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		s.dir = filepath.Join(dir, "network")
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ran := false
	for _, b := range benchmarks {
		if o.Only != nil && !o.Only.MatchString(b.name) {
			continue
		}
		ran = true
		if err := b.run(s, ctx); err != nil {
			return s.rows, fmt.Errorf("%s: %w", b.name, err)
		}
	}
	if !ran {
		return nil, fmt.Errorf("no benchmark matches %s; there are %q", o.Only, Names())
	}
	return s.rows, nil
}

// add notes a result and shows it.
func (s *suite) add(name string, value float64, unit, referenceName string, reference float64) {
	r := Row{Name: name, Value: value, Unit: unit, ReferenceName: referenceName, Reference: reference}
	if reference != 0 {
		r.Ratio = value / reference
	}
	s.rows = append(s.rows, r)
	s.Progress.Done("%s %s %s", r.Name, number(r.Value), r.Unit)
}

// network brings up the network in this process, once.
func (s *suite) network(ctx context.Context) (*testnets.Network, error) {
	if s.net == nil {
		var err error
		if s.net, err = s.open(ctx, s.dir, testnets.Settings{}); err != nil {
			return nil, err
		}
	}
	return s.net, nil
}

// open makes a network, if it is not there, and runs it without limits for clients.
func (s *suite) open(ctx context.Context, dir string, t testnets.Settings) (*testnets.Network, error) {
	m, err := testnets.Load(dir)
	if errors.Is(err, testnets.ErrNoNetwork) {
		m, err = testnets.Create(dir, t)
	}
	if err != nil {
		return nil, err
	}
	for i := range m.Nodes { // the loads are floods
		cfg, err := replica.LoadConfig(testnets.NodeDir(dir, i))
		if err != nil {
			return nil, err
		}
		cfg.Limits.Rate = -1
		if err := cfg.Save(); err != nil {
			return nil, err
		}
	}
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Progress: s.Progress})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(n.Bootstrap(ctx), n.WaitKeys(ctx)); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// stop ends the network in this process, if it runs.
func (s *suite) stop() error {
	if s.net == nil {
		return nil
	}
	n := s.net
	s.net = nil
	return n.Close()
}

// Print writes the rows as a table.
func Print(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "name\tvalue\tunit\treference\t\tratio")
	for _, r := range rows {
		ref, ratio := "", ""
		if r.Reference != 0 {
			ref, ratio = number(r.Reference), strconv.FormatFloat(r.Ratio, 'f', 2, 64)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, number(r.Value), r.Unit, ref, r.ReferenceName, ratio)
	}
	return t.Flush()
}

// number shows three digits at least.
func number(v float64) string {
	digits := 0
	if v != 0 {
		digits = max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// Save writes the rows to a file.
func Save(path string, rows []Row) error {
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}
