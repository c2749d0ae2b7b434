package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fusion/testnets/bench"
)

func benchCmd() *cobra.Command {
	var only, out, profile, keep, wasmtime string
	var duration time.Duration
	var sizes []int
	cmd := &cobra.Command{
		Use: "bench", Short: "measure what a network on this machine can do, beside reference numbers", Args: cobra.NoArgs,
		Long: `Measure what a network on this machine can do, beside reference numbers: a network of its own in a temporary directory,
about three minutes. docs/benchmarks.md explains the rows.

Benchmarks: ` + strings.Join(bench.Names(), ", ") + ".",
		RunE: func(c *cobra.Command, _ []string) error {
			o := bench.Options{Duration: duration, Profile: profile, Dir: keep, Sizes: sizes}
			var err error
			if only != "" {
				if o.Only, err = regexp.Compile(only); err != nil {
					return fmt.Errorf("--only: %w", err)
				}
			}
			if o.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("finding this program: %w", err)
			}
			if o.Wasmtime = wasmtime; wasmtime == "" {
				o.Wasmtime = filepath.Join(filepath.Dir(o.Program), "wasmtime")
			}
			p := newPhases(os.Stderr)
			defer p.Close()
			o.Progress = p
			rows, err := bench.Run(c.Context(), o)
			p.Close()
			if out != "" {
				err = errors.Join(err, bench.Save(out, rows))
			}
			return errors.Join(err, bench.Print(c.OutOrStdout(), rows))
		},
	}
	f := cmd.Flags()
	f.StringVar(&only, "only", "", "run the benchmarks whose name matches this regular expression")
	f.StringVarP(&out, "output", "o", "", "also write the results to this file, as JSON")
	f.DurationVar(&duration, "duration", 10*time.Second, "how long each load lasts")
	f.IntSliceVar(&sizes, "members", []int{4}, "numbers of members for which key generation and resharing are measured; 7 and 13 take minutes")
	f.StringVar(&keep, "keep", "", "keep the network in this directory, where the next run finds it")
	f.StringVar(&wasmtime, "wasmtime", "", "the program that runs wasmtime (default: wasmtime beside this program, where make bench puts it)")
	f.StringVar(&profile, "profile", "", "directory for CPU profiles of the loads")
	return cmd
}
