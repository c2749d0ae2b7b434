package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"fusion/chainkey/keystore"
	"fusion/internal/durable"
	"fusion/replica"
)

func keyBackupCmd() *cobra.Command {
	var config, to, out string
	cmd := &cobra.Command{Use: "backup --config FILE|DIR --to RECIPIENT --out FILE", Short: "save one replica's key shares, encrypted", Args: cobra.NoArgs,
		Long: `Save one replica's key shares to a file, encrypted to an age recipient (age1…, as age-keygen prints it). Keep its identity offline. The replica may be
running. Make a new backup whenever a key was generated or reshared: fusion key list shows the epochs, and shares of an old epoch are worth nothing.
Nothing else is in it: no join markers, no nonces, no record of votes, no node keys.`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			cfg, err := replica.LoadConfig(config)
			if err != nil {
				return err
			}
			var list []keystore.Generation
			if err := saveBackup(out, func(w io.Writer) (err error) {
				list, err = replica.BackupKeys(*cfg, w, to)
				return err
			}); err != nil {
				return err
			}
			w := c.OutOrStdout()
			fmt.Fprintf(w, "saved %s to %s\n", plural(len(list), "share"), out)
			for _, g := range list {
				fmt.Fprintf(w, "  %s\n", g)
			}
			return nil
		}}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.toml of the replica, or its directory")
	f.StringVar(&to, "to", "", "age recipient that can open the backup")
	f.StringVar(&out, "out", "", "file to make")
	required(cmd, "config", "to", "out")
	return cmd
}

// saveBackup makes a file of a backup.
func saveBackup(path string, write func(io.Writer) error) error {
	err := durable.Create(path, 0o600, write)
	if errors.Is(err, fs.ErrExist) {
		return hint(err, "a backup replaces no file; choose another name")
	}
	return err
}

func keyRestoreCmd() *cobra.Command {
	var config, identity string
	var voted uint64
	cmd := &cobra.Command{Use: "restore --config FILE|DIR --identity FILE BACKUP", Short: "give a stopped replica its lost key shares back", Args: cobra.ExactArgs(1),
		Long: `Give a stopped replica the key shares of its backup that it has lost or that are damaged. A backup of another node or network is refused, and so is one that would set
a key back to an older share. The replica draws a new incarnation when it starts, so it takes part in no session of before.

If its record of votes (keys/sign-state.json) is lost too, say with --no-votes-until up to which block it shall not vote: take the highest block that fusion status
shows for any replica, plus 10.`,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := replica.LoadConfig(config)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			list, err := replica.RestoreKeys(*cfg, f, identity, voted)
			switch {
			case errors.Is(err, keystore.ErrInUse):
				return hint(err, "stop the replica first")
			case errors.Is(err, keystore.ErrNewer):
				return hint(err, "nothing was changed; this backup is too old for this replica")
			case errors.Is(err, replica.ErrSignStateLost):
				return hint(err, "--no-votes-until HEIGHT: the highest block of any replica, plus 10")
			case err != nil:
				return err
			}
			w := c.OutOrStdout()
			if len(list) == 0 {
				fmt.Fprintln(w, "nothing was missing")
				return nil
			}
			fmt.Fprintf(w, "restored %s\n", plural(len(list), "share"))
			for _, g := range list {
				fmt.Fprintf(w, "  %s\n", g)
			}
			return nil
		}}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.toml of the replica, or its directory")
	f.StringVar(&identity, "identity", "", "file with the age identity that opens the backup")
	f.Uint64Var(&voted, "no-votes-until", 0, "where the record of votes is lost: vote for no block up to this one")
	required(cmd, "config", "identity")
	return cmd
}

func required(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was just defined
		}
	}
}
