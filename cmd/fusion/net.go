package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

func statusCmd(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "say what each replica of the local network does, in a sentence", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := networkStatus(c.Context(), o.dir)
			if err != nil {
				return err
			}
			m, who := moneyOf(c.Context(), s), controlOf(c.Context(), s)
			if asJSON {
				fmt.Fprint(c.OutOrStdout(), toJSON(struct {
					*testnets.NetworkStatus
					Ckbtc   *money `json:"ckbtc,omitempty"`
					Control string `json:"control"`
				}{s, m, who}))
				return nil
			}
			printStatus(c.OutOrStdout(), s, m, who)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	return cmd
}

// networkStatus asks the process that runs the network or, where each replica is a process, all of these.
func networkStatus(ctx context.Context, dir string) (*testnets.NetworkStatus, error) {
	a, err := testnets.DialAdmin(dir)
	if err == nil {
		s, err := a.Status(ctx)
		return &s, err
	}
	m, loadErr := testnets.Load(dir)
	if loadErr != nil {
		return nil, loadErr
	}
	all := &testnets.NetworkStatus{Manifest: m, BitcoinMempool: []string{}}
	for i := range m.Nodes {
		a, dialErr := testnets.DialAdmin(testnets.NodeDir(dir, i))
		if dialErr != nil {
			all.Stopped = append(all.Stopped, i)
			continue
		}
		s, err := a.Status(ctx)
		if err != nil {
			return nil, err
		}
		all.Replicas = append(all.Replicas, s.Replicas...)
	}
	if len(all.Replicas) == 0 {
		return nil, err
	}
	return all, nil
}

// money compares what the ckBTC ledger issued with what the minter holds, in satoshi.
type money struct {
	Supply uint64 `json:"supply"`
	// Custody is the value of the outputs that the minter can spend, the change of payments that are on their way included.
	Custody uint64 `json:"custody"`
}

// short is by how much the ledger issued more than the minter holds.
func (m *money) short() uint64 {
	if m == nil || m.Custody >= m.Supply {
		return 0
	}
	return m.Supply - m.Custody
}

// moneyOf reads supply and custody; nil where the canisters do not answer, which is no reason to withhold the rest of the status.
func moneyOf(ctx context.Context, s *testnets.NetworkStatus) *money {
	a, err := statusAgent(s, agent.Options{})
	if err != nil {
		return nil
	}
	defer a.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	supply := func() (uint64, error) {
		var n candid.Nat
		err := a.Ask(ctx, s.Manifest.Ledger, "icrc1_total_supply", nil, []any{&n})
		out, _ := n.Uint64()
		return out, err
	}
	before, err := supply()
	if err != nil {
		return nil
	}
	custody, err := custodyOf(ctx, a, s.Manifest.Minter)
	if err != nil {
		return nil
	}
	after, err := supply()
	if err != nil {
		return nil
	}
	return &money{min(before, after), custody} // what was minted or burned meanwhile is no difference
}

// controlOf says who may change the canisters and the members.
func controlOf(ctx context.Context, s *testnets.NetworkStatus) string {
	governed := slices.ContainsFunc(s.Replicas, func(r replica.Status) bool { return r.Governed })
	a, err := statusAgent(s, agent.Options{})
	if err != nil {
		return control(ctx, nil, governed)
	}
	defer a.Close()
	return control(ctx, a, governed)
}

// control is controlOf with an agent, or nil.
func control(ctx context.Context, a *agent.Agent, governed bool) string {
	if !governed {
		return "one key, the identity " + testnets.DefaultIdentity + ", controls all canisters, and the nodes' keys the membership: for development only"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	who := "operators"
	if a != nil {
		if info, err := (testnets.Proposals{Agent: a}).Info(ctx); err == nil {
			if who = fmt.Sprintf("%d of %s, after a time lock of %s", info.Needed, plural(len(info.Operators), "operator"), time.Duration(info.TimeLockNs)); len(info.Operators) == 1 {
				who = fmt.Sprintf("one operator's key, after a time lock of %s", time.Duration(info.TimeLockNs))
			}
		}
	}
	return who + ", by proposals: fusion proposal list"
}

// statusAgent makes a client of the first replica that runs.
func statusAgent(s *testnets.NetworkStatus, opts agent.Options) (*agent.Agent, error) {
	for _, r := range s.Replicas {
		if r.RootKey == "" {
			continue
		}
		key, err := parseRootKey(r.RootKey)
		if err != nil {
			return nil, err
		}
		opts.RootKey = key
		return agent.New(s.Manifest.URL(r.Node), opts)
	}
	return nil, hint(errors.New("the subnet has no key yet"), "it is being generated; see fusion status")
}

func printStatus(w io.Writer, s *testnets.NetworkStatus, m *money, who string) {
	how := fmt.Sprintf("process %d, up for %s", s.PID, time.Since(s.Started).Round(time.Second))
	if s.PID == 0 {
		how = "a process for each replica"
	}
	fmt.Fprintf(w, "network %s, %s, %s\n\n", s.Manifest.ChainID, plural(s.Manifest.Nodes, "replica"), how)
	for _, r := range s.Replicas {
		fmt.Fprintf(w, "  replica %-2d  block %-7d certified %-7d %s\n", r.Node, r.Height, r.Certified, r.Sentence)
		for _, t := range r.Trouble {
			if t.Sentence != r.Sentence {
				fmt.Fprintf(w, "              also: %s\n", t.Sentence)
			}
		}
		for _, line := range slices.Concat(r.Signing, r.Deriving, r.Outcalls) {
			fmt.Fprintf(w, "              %s\n", line)
		}
	}
	for _, i := range s.Stopped {
		fmt.Fprintf(w, "  replica %-2d  stopped\n", i)
	}
	if m.short() > 0 {
		fmt.Fprintf(w, "  ALARM: %s of ckBTC are backed by nothing: docs/runbook.md, supply-above-custody, says what to do\n", sats(m.short()))
	}
	fmt.Fprintln(w)
	var r *replica.Status
	for i := range s.Replicas {
		if s.Replicas[i].RootKey != "" {
			r = &s.Replicas[i]
			break
		}
	}
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-17s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("http endpoint", "%s", s.Manifest.URL(0))
	row("control", "%s", who)
	if r != nil {
		if text := protocol(r); text != "" {
			row("protocol", "%s", text)
		}
		for _, n := range r.Members { // those that ceremonies avoid, by name
			if n.Excluded || len(n.Disputes) > 0 || n.Suspicion > 0 {
				row("signing", "node %d (%s): %s", n.Node, n.ID, n.Sentence)
			}
		}
		for _, c := range r.Complaints[:min(len(r.Complaints), 5)] {
			row("complaint", "%s", c.Sentence)
		}
	}
	if r != nil {
		row("root key", "%s", r.RootKey)
		row("subnet", "%s", r.Subnet)
		row("newest block", "%s", r.Block)
		for _, k := range r.Keys {
			if k.Active {
				row("threshold key", "%s = %s", k.ID, k.PublicKey)
			} else {
				row("threshold key", "%s: %s", k.ID, k.State)
			}
		}
		if b := r.Bitcoin; b != nil {
			synced := "in step"
			if !b.Synced {
				synced = fmt.Sprintf("%d headers known", b.Headers)
			}
			row("bitcoin", "%s, the subnet is at block %d (%s, final to %d), %s", b.Network, b.Tip, synced, b.Anchor, plural(b.Peers, "peer"))
		}
	}
	if !s.Manifest.ExternalBitcoin && s.PID != 0 {
		row("bitcoin node", "%s, block %d, %s waiting", s.Manifest.Bitcoin, s.BitcoinHeight, plural(len(s.BitcoinMempool), "transaction"))
	}
	if e := s.EthereumChain; e != nil && e.Error != "" {
		row("ethereum", "%s at %s does not answer: %s", e.Kind, e.URL, e.Error)
	} else if e != nil {
		row("ethereum", "%s at %s, chain id %d, block %d, final to %d", e.Kind, e.URL, e.ChainID, e.Height, e.Finalized)
	}
	row("ckBTC ledger", "%s", s.Manifest.Ledger)
	row("ckBTC minter", "%s", s.Manifest.Minter)
	row("ckBTC index", "%s", canisters.CkbtcIndex)
	row("bitcoin checker", "%s", canisters.BtcChecker)
	if s.Manifest.Ethereum != nil {
		row("ckETH ledger", "%s", canisters.CkethLedger)
		row("ckETH minter", "%s", canisters.CkethMinter)
	}
	if m != nil {
		row("ckBTC supply", "%s", sats(m.Supply))
		row("minter holds", "%s", sats(m.Custody))
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func downCmd(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "stop the local network and wait until it has stopped", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := testnets.DialAdmin(o.dir)
			if errors.Is(err, testnets.ErrNotRunning) {
				// It may be starting, or its process may be on its way out.
				ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
				defer cancel()
				if err := testnets.WaitStopped(ctx, o.dir); err != nil {
					return hint(fmt.Errorf("%s: the network is just starting or stopping", o.dir), "try again when fusion status answers")
				}
				fmt.Fprintln(c.OutOrStdout(), "the network is not running")
				return nil
			}
			if err != nil {
				return err
			}
			if err := a.Stop(c.Context()); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
			defer cancel()
			if err := testnets.WaitStopped(ctx, o.dir); err != nil {
				return hint(err, "see what it does: fusion logs")
			}
			fmt.Fprintln(c.OutOrStdout(), "stopped; fusion up starts it again with everything it had")
			return nil
		},
	}
}

func logsCmd(o *options) *cobra.Command {
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use: "logs", Short: "show the network's log", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path := filepath.Join(o.dir, testnets.LogFile)
			f, err := os.Open(path)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: %w", o.dir, testnets.ErrNoNetwork)
			}
			if err != nil {
				return fmt.Errorf("log: %w", err)
			}
			defer f.Close()
			if err := seekLines(f, lines); err != nil {
				return fmt.Errorf("log %s: %w", path, err)
			}
			if err := copyLog(c.Context(), c.OutOrStdout(), f, follow); err != nil {
				return fmt.Errorf("log %s: %w", path, err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as the log grows, until ctrl-c")
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "how many of the last lines; 0 is all")
	return cmd
}

// seekLines moves to the start of the last n lines, or to the start of the file for n = 0.
func seekLines(f *os.File, n int) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if n <= 0 {
		size = 0
	}
	buf := make([]byte, 64<<10)
	for size > 0 {
		part := buf[:min(int64(len(buf)), size)]
		at := size - int64(len(part))
		if _, err := f.ReadAt(part, at); err != nil {
			return err
		}
		for i := bytes.LastIndexByte(part, '\n'); i >= 0; i = bytes.LastIndexByte(part[:i], '\n') {
			if n--; n < 0 { // the first one found ends the last line
				_, err := f.Seek(at+int64(i)+1, io.SeekStart)
				return err
			}
		}
		size = at
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

func copyLog(ctx context.Context, w io.Writer, f *os.File, follow bool) error {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		if _, err := io.Copy(w, f); err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// protocol says how an upgrade stands, while there is one.
func protocol(r *replica.Status) string {
	p := r.Protocol
	switch {
	case p.Next > 0:
		return fmt.Sprintf("version %d; version %d from block %d on", p.Version, p.Next, p.NextHeight)
	case p.Newest > p.Version:
		var old []string
		for _, n := range r.Members {
			if n.Protocol < p.Newest {
				old = append(old, fmt.Sprint(n.Node))
			}
		}
		return fmt.Sprintf("version %d; version %d waits for the programs of nodes %s", p.Version, p.Newest, strings.Join(old, ", "))
	}
	return ""
}
