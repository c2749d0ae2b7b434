package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fusion/testnets"
	"fusion/testnets/demo"
)

// tale is a story and the network that it needs.
type tale struct {
	nodes    int
	dir      string
	test     bool
	ethereum string
	scheme   string
	about    string // the nodes of other chains beside the replicas
	tell     func(context.Context, *testnets.Network, demo.Options) error
}

func demoCmd(_ *options) *cobra.Command {
	cmd := &cobra.Command{Use: "demo", Short: "tell a story on a network of its own and check each step"}
	add := func(c *cobra.Command, t *tale) *tale {
		c.Args = cobra.NoArgs
		c.RunE = func(c *cobra.Command, _ []string) error { return t.run(c.Context(), c.OutOrStdout()) }
		c.Flags().IntVar(&t.nodes, "nodes", 4, "number of replicas: 1, or 4 to 13")
		c.Flags().StringVar(&t.dir, "dir", "", "make the network in this directory and keep it (default: a temporary one)")
		schemeFlag(c.Flags(), &t.scheme)
		c.Flags().BoolVar(&t.test, "test", false, "also fail on unexpected errors in the log, and end with a test's result line")
		cmd.AddCommand(c)
		return t
	}
	add(&cobra.Command{
		Use: "ckbtc", Short: "bitcoin becomes ckBTC, is paid, and becomes bitcoin again",
		Long: `Starts a fresh network (replicas with real consensus, a distributed key generation, a Bitcoin regtest node spoken to
over its peer-to-peer protocol) and tells the life of one bitcoin: deposit, confirmations, mint, transfer, and redemption to an
address of each kind. Every step is checked against the chain, the ledger and the minter; a failure names its step.`,
	}, &tale{about: "a Bitcoin regtest node", tell: demo.CkBTC})
	cketh := &cobra.Command{
		Use: "cketh", Short: "ether and a token become ckETH and ckERC20, are paid, and become what they were",
		Long: `Starts a fresh network (replicas with real consensus, a distributed key generation, an Ethereum development chain) and tells
the life of ether and of an ERC-20 token: deposit through the helper contract, mint, transfer, withdrawal, and the receipts on the
chain. Every step is checked against the chain, the ledgers and the minter; a failure names its step.`,
	}
	t := add(cketh, &tale{about: "an Ethereum development chain", tell: demo.CkETH})
	cketh.Flags().StringVar(&t.ethereum, "ethereum", testnets.EthereumGeth, "development chain: geth in this process, or anvil (the program)")
	return cmd
}

// demoTimeout bounds a telling on a slow, busy machine. An idle one with two cores needs less than a minute.
const demoTimeout = 10 * time.Minute

func (t *tale) run(ctx context.Context, out io.Writer) (err error) {
	dir := t.dir
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	temporary := dir == ""
	if temporary {
		if dir, err = os.MkdirTemp("", "fusion-demo-"); err != nil {
			return err
		}
	}
	began := time.Now()
	fmt.Fprintf(out, "fusion demo: %d replicas and %s in %s\n\n", t.nodes, t.about, dir)
	err = t.onNetwork(ctx, out, dir)
	if err == nil && t.test {
		err = scanLog(filepath.Join(dir, testnets.LogFile))
	}
	if t.test {
		passed, failed := 1, 0
		if err != nil {
			passed, failed = 0, 1
		}
		defer fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	}
	if err != nil {
		return hint(err, "the network's files and log are in %s", dir)
	}
	fmt.Fprintf(out, "\nall steps hold, after %.1f s. Your own network: fusion up\n", time.Since(began).Seconds())
	if temporary {
		return os.RemoveAll(dir)
	}
	return nil
}

func (t *tale) onNetwork(ctx context.Context, out io.Writer, dir string) (err error) {
	show := newPhases(os.Stdout)
	defer show.Close()
	if err := checkScheme(t.scheme); err != nil {
		return err
	}
	if _, err := testnets.Create(dir, testnets.Settings{Nodes: t.nodes, Ethereum: t.ethereum, Scheme: t.scheme}); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, testnets.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer f.Close()
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Progress: show, Log: slog.New(slog.NewTextHandler(f, nil))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := n.Bootstrap(ctx); err != nil {
		return err
	}
	if err := n.WaitKeys(ctx); err != nil {
		return err
	}
	return t.tell(ctx, n, demo.Options{Out: out, Progress: show})
}

// scanLog fails on lines of level ERROR: none belongs to a network without faults.
func scanLog(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("scanning the log: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "level=ERROR") {
			return fmt.Errorf("unexpected error in the log: %s", lines.Text())
		}
	}
	return lines.Err()
}
