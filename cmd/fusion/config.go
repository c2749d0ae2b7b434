package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"fusion/replica"
	"fusion/replica/genesis"
)

func configCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "check or show the configuration of a replica"}
	cmd.AddCommand(&cobra.Command{
		Use: "check FILE|DIR", Short: "find everything that is wrong with a configuration, before the replica is started", Args: cobra.ExactArgs(1),
		Long: `Read a replica's config.toml, or the one in a directory, and say everything that would keep the replica from starting or is dangerous: unknown
keys, addresses, ports that clash, providers' URLs, files that are missing or that others can read, key shares that would lie unsealed on a
network that is not local, a wallet that others can reach. Nothing is changed and nobody is asked. The exit code is 78 when anything is wrong.`,
		RunE: func(c *cobra.Command, args []string) error {
			file, problems, err := replica.CheckConfig(args[0])
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			for _, p := range problems {
				place := file
				if p.Line > 0 {
					place = fmt.Sprintf("%s:%d", file, p.Line)
				}
				fmt.Fprintf(w, "%s: %s\n  next: %s\n", place, printable(p.Error()), printable(p.Next))
			}
			if len(problems) > 0 {
				return fmt.Errorf("%w: %s in %s", replica.ErrConfig, plural(len(problems), "problem"), file)
			}
			fmt.Fprintf(w, "%s is in order\n", file)
			return nil
		},
	}, &cobra.Command{
		Use: "show FILE|DIR", Short: "show what a replica takes from its configuration and its defaults, without secrets", Args: cobra.ExactArgs(1),
		Long: `Show the configuration as the replica understands it: what is set and, for the rest, the defaults, each key with its meaning. Of the URLs of
Ethereum providers, beacon endpoints and the collector only scheme and host are shown, of headers only the names.`,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := replica.LoadConfig(args[0])
			if err != nil {
				return err
			}
			text, err := cfg.Masked().Text()
			if err != nil {
				return err
			}
			fmt.Fprint(c.OutOrStdout(), text)
			return nil
		},
	})
	return cmd
}

func initCmd(config *string) *cobra.Command {
	var document string
	cmd := &cobra.Command{
		Use: "init --config DIR [--genesis FILE]", Short: "make a replica's directory: its keys and a config.toml with every setting explained", Args: cobra.NoArgs,
		Long: `Make a replica's directory, or complete it: its node keys, a config.toml in which every setting is explained, and the network's genesis
document, if --genesis names it. What is there is kept. Then edit config.toml and check it: fusion config check DIR.`,
		RunE: func(c *cobra.Command, _ []string) error {
			dir := *config
			if err := prepare(dir); err != nil {
				return err
			}
			if document != "" {
				doc, err := genesis.Load(document)
				if err != nil {
					return err
				}
				at := filepath.Join(dir, replica.GenesisFile)
				if err := doc.Save(at); err != nil && !errors.Is(err, os.ErrExist) {
					return err
				}
				if there, err := genesis.Load(at); err != nil {
					return err
				} else if there.Hash() != doc.Hash() {
					return hint(fmt.Errorf("%s is of another network, %s", at, there.ChainID), "choose another directory")
				}
			}
			if _, _, err := replica.NewNodeKeys(dir); err != nil {
				return err
			}
			cfg := &replica.Config{Dir: dir}
			w := c.OutOrStdout()
			switch _, err := os.Stat(filepath.Join(dir, replica.ConfigFile)); {
			case errors.Is(err, os.ErrNotExist):
				if err := cfg.Save(); err != nil {
					return err
				}
			case err != nil:
				return fmt.Errorf("looking for %s: %w", replica.ConfigFile, err)
			}
			fmt.Fprintf(w, "%s holds the replica's keys and %s\nnext: edit it, then fusion config check %s\n", dir, replica.ConfigFile, dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&document, "genesis", "", "the network's genesis document, to copy into the directory")
	return cmd
}
