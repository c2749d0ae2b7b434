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

func demoCmd(_ *options) *cobra.Command {
	cmd := &cobra.Command{Use: "demo", Short: "tell a story on a network of its own and check each step"}
	var nodes int
	var keep string
	var test bool
	ckbtc := &cobra.Command{
		Use: "ckbtc", Short: "bitcoin becomes ckBTC, is paid, and becomes bitcoin again", Args: cobra.NoArgs,
		Long: `Starts a fresh network (replicas with real consensus, a distributed key generation, a Bitcoin regtest node spoken to
over its peer-to-peer protocol) and tells the life of one bitcoin: deposit, confirmations, mint, transfer, and redemption to an
address of each kind. Every step is checked against the chain, the ledger and the minter; a failure names its step.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemo(c.Context(), c.OutOrStdout(), nodes, keep, test)
		},
	}
	ckbtc.Flags().IntVar(&nodes, "nodes", 4, "number of replicas: 1, or 4 to 13")
	ckbtc.Flags().StringVar(&keep, "dir", "", "make the network in this directory and keep it (default: a temporary one)")
	ckbtc.Flags().BoolVar(&test, "test", false, "also fail on unexpected errors in the log, and end with a test's result line")
	cmd.AddCommand(ckbtc)
	return cmd
}

// demoTimeout bounds a telling on a slow, busy machine. An idle one with two cores needs less than a minute.
const demoTimeout = 10 * time.Minute

func runDemo(ctx context.Context, out io.Writer, nodes int, dir string, test bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	temporary := dir == ""
	if temporary {
		if dir, err = os.MkdirTemp("", "fusion-demo-"); err != nil {
			return err
		}
	}
	began := time.Now()
	fmt.Fprintf(out, "fusion demo: %d replicas and a Bitcoin regtest node in %s\n\n", nodes, dir)
	err = tell(ctx, out, nodes, dir)
	if err == nil && test {
		err = scanLog(filepath.Join(dir, testnets.LogFile))
	}
	if test {
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

func tell(ctx context.Context, out io.Writer, nodes int, dir string) (err error) {
	show := newPhases(os.Stdout)
	defer show.Close()
	if _, err := testnets.Create(dir, testnets.Settings{Nodes: nodes}); err != nil {
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
	return demo.CkBTC(ctx, n, demo.Options{Out: out, Progress: show})
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
