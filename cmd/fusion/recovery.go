package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"fusion/chainkey/keystore"
	"fusion/ic/identity"
	"fusion/internal/durable"
	"fusion/replica"
	"fusion/replica/recovery"
	"fusion/testnets"
)

func recoveryCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "recovery", Short: "back up a subnet as a whole, and begin again from a backup",
		Long: `Back up a subnet as a whole, and begin again from a backup when more replicas are lost than it tolerates, or when it has halted. One replica alone gets
its state back from the others: fusion replica recover. docs/runbook.md has the procedure.`}
	cmd.AddCommand(recoveryBackupCmd(), recoveryVerifyCmd(), recoveryDraftCmd(), recoverySignCmd(o), recoveryRestoreCmd())
	return cmd
}

func recoveryBackupCmd() *cobra.Command {
	var config, out string
	var newest bool
	cmd := &cobra.Command{Use: "backup --config FILE|DIR --out FILE", Short: "save the subnet's state to a file", Args: cobra.NoArgs,
		Long: `Save the newest image of the state that the subnet has signed, from the directory of a replica, which may be running. Images are made every
snapshot_every blocks (config.toml). The file proves itself against the subnet's root key and has no secrets in it: each operator backs up the key shares
of the own node beside it (fusion key backup), and again after each change of the members.

--newest takes the newest state of a stopped replica instead, of a subnet that has halted. The subnet has not signed it: compare the app hash with other
operators' before you sign a recovery of it.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := replica.LoadConfig(config)
			if err != nil {
				return err
			}
			var b *recovery.Backup
			if err := saveBackup(out, func(w io.Writer) (err error) {
				b, err = replica.Backup(c.Context(), *cfg, w, replica.BackupOptions{Newest: newest})
				return err
			}); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "saved the state of block %d, app hash %x, to %s\n%s\n", b.Height, []byte(b.AppHash), out, signedBy(b))
			return nil
		}}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.toml of the replica, or its directory")
	f.StringVar(&out, "out", "", "file to make")
	f.BoolVar(&newest, "newest", false, "take the newest state of a stopped replica, which the subnet has not signed")
	required(cmd, "config", "out")
	return cmd
}

func signedBy(b *recovery.Backup) string {
	if b.Certified() {
		return fmt.Sprintf("signed by the subnet, root key %x", []byte(b.RootKey))
	}
	return "NOT signed by the subnet: it is the word of the replica that it comes from"
}

// checkBackup restores a backup for a look at it.
func checkBackup(path string, number uint64) (*replica.Checked, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return replica.CheckBackup(f, number)
}

func recoveryVerifyCmd() *cobra.Command {
	var rootKey string
	cmd := &cobra.Command{Use: "verify BACKUP", Short: "check a backup offline", Args: cobra.ExactArgs(1),
		Long: `Restore a backup into a directory that is removed afterwards, check its state against its app hash and the subnet's signature, and show what it is of.
With --root-key it must also be of that subnet.`,
		RunE: func(c *cobra.Command, args []string) error {
			b, err := checkBackup(args[0], 0)
			if err != nil {
				return err
			}
			if want, err := hex.DecodeString(rootKey); err != nil || rootKey != "" && !bytes.Equal(want, b.RootKey) {
				return fmt.Errorf("%w: it is of the subnet with the root key %x", recovery.ErrMismatch, []byte(b.RootKey))
			}
			w := c.OutOrStdout()
			fmt.Fprintf(w, "network %s, block %d, app hash %x\n%s\n", b.Genesis.ChainID, b.Height, []byte(b.AppHash), signedBy(b.Backup))
			fmt.Fprintf(w, "recoveries before: %d; members:", b.Recovery.Number)
			for _, m := range b.Draft.Members {
				fmt.Fprintf(w, " %d", m.Node)
			}
			fmt.Fprintf(w, "\na recovery of it needs signatures of two thirds of\n")
			for _, p := range b.Deciders {
				fmt.Fprintf(w, "  %s\n", p)
			}
			return nil
		}}
	cmd.Flags().StringVar(&rootKey, "root-key", "", "the subnet's root key in hexadecimal")
	return cmd
}

func recoveryDraftCmd() *cobra.Command {
	var out string
	var number uint64
	cmd := &cobra.Command{Use: "draft --out DOCUMENT BACKUP", Short: "write the document by which a subnet begins again", Args: cobra.ExactArgs(1),
		Long: `Check a backup and write the document of its recovery: the subnet, the block and its app hash, the members, the time, and a number above that of every
earlier recovery. The default number is the one after the last recovery that the backup knows of; name a higher one if there was a recovery since. The operators
sign it (fusion recovery sign), one after the other or each a copy: any file with enough signatures will do.`,
		RunE: func(c *cobra.Command, args []string) error {
			b, err := checkBackup(args[0], number)
			if err != nil {
				return err
			}
			if b.Draft.Number > recovery.MaxNumber || b.Draft.Number <= b.Recovery.Number {
				return fmt.Errorf("%w: %d, and the backup is of recovery %d", recovery.ErrNumber, b.Draft.Number, b.Recovery.Number)
			}
			if _, err := os.Stat(out); err == nil {
				return hint(fmt.Errorf("%s exists", out), "choose another name")
			}
			if err := durable.Replace(durable.OS{}, out, b.Draft.Encode(), 0o644); err != nil {
				return err
			}
			showDocument(c, b.Draft)
			fmt.Fprintf(c.OutOrStdout(), "%s\n", signedBy(b.Backup))
			return nil
		}}
	cmd.Flags().StringVar(&out, "out", "", "file to make")
	cmd.Flags().Uint64Var(&number, "number", 0, "recovery number; the default is the one after the backup's last")
	required(cmd, "out")
	return cmd
}

// showDocument tells what a document does.
func showDocument(c *cobra.Command, d *recovery.Document) {
	fmt.Fprintf(c.OutOrStdout(), "recovery %d from block %d with app hash %x\ndocument %x, first block not before %s\n", d.Number, d.Height, []byte(d.AppHash), d.Digest(),
		time.Unix(0, int64(d.TimeNs)).UTC().Format(time.RFC3339))
}

func recoverySignCmd(o *options) *cobra.Command {
	var backup, config, name string
	cmd := &cobra.Command{Use: "sign --backup FILE (--config FILE|DIR | --identity NAME) DOCUMENT", Short: "agree to a recovery as an operator", Args: cobra.ExactArgs(1),
		Long: `Sign a recovery document, after checking it against the backup. Where the network is governed its operators sign, with --identity; elsewhere the members'
node keys do, with --config of the replica. Two thirds are needed. Before you sign, make sure that the number was never used, that the state is the newest that
can be had, and that no member of the subnet goes on without you.`,
		RunE: func(c *cobra.Command, args []string) error {
			d, err := recovery.Load(args[0])
			if err != nil {
				return err
			}
			b, err := checkBackup(backup, d.Number)
			if err != nil {
				return err
			}
			unsigned := *d
			unsigned.TimeNs = b.Draft.TimeNs
			if unsigned.Digest() != b.Draft.Digest() || d.Number <= b.Recovery.Number {
				return fmt.Errorf("%w: it is not what fusion recovery draft makes of this backup", recovery.ErrMismatch)
			}
			var id identity.Identity
			if config != "" {
				cfg, err := replica.LoadConfig(config)
				if err != nil {
					return err
				}
				if id, err = replica.NodeIdentity(cfg); err != nil {
					return err
				}
			} else if id, err = testnets.LoadIdentity(o.dir, name); err != nil {
				return err
			}
			known := false
			for _, p := range b.Deciders {
				known = known || p == id.Sender()
			}
			if !known {
				return hint(fmt.Errorf("%s does not decide about this subnet's recovery", id.Sender()), "fusion recovery verify %s lists who does", backup)
			}
			if err := d.Sign(id); err != nil {
				return err
			}
			if err := durable.Replace(durable.OS{}, args[0], d.Encode(), 0o644); err != nil {
				return err
			}
			showDocument(c, d)
			switch err := d.Check(b.Deciders); {
			case errors.Is(err, recovery.ErrSignatures):
				fmt.Fprintln(c.OutOrStdout(), err)
			case err != nil:
				return err
			default:
				fmt.Fprintln(c.OutOrStdout(), "it has all signatures that it needs")
			}
			return nil
		}}
	f := cmd.Flags()
	f.StringVar(&backup, "backup", "", "the backup that the document is about")
	f.StringVar(&config, "config", "", "sign with the node key of this replica")
	f.StringVar(&name, "identity", "", "sign with this identity of --data-dir")
	required(cmd, "backup")
	cmd.MarkFlagsMutuallyExclusive("config", "identity")
	cmd.MarkFlagsOneRequired("config", "identity")
	return cmd
}

func recoveryRestoreCmd() *cobra.Command {
	var config, document string
	var later bool
	cmd := &cobra.Command{Use: "restore --config FILE|DIR --document FILE BACKUP", Short: "prepare a stopped replica to begin again from a backup", Args: cobra.ExactArgs(1),
		Long: `Give a stopped replica the state of a backup, with which the subnet begins again as the recovery document says. Every member does this with the same files,
and starts only afterwards. Nothing is in its place before the backup, the document and its signatures are checked; the old state and blocks are removed then: copy
them first if you want to look at them later. The key store is not touched and must have this node's shares; give it back from the operator's backup before (fusion key
restore). The replica's directory needs genesis.json, config.toml and the two node keys, as ever.

Afterwards all ceremonies begin anew, and the minters are paused until their controller's resume: docs/operate.md, "Backup and recovery of a subnet".`,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := replica.LoadConfig(config)
			if err != nil {
				return err
			}
			d, err := recovery.Load(document)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			err = replica.RestoreBackup(*cfg, f, d, replica.RestoreOptions{WipeLaterShares: later})
			switch {
			case errors.Is(err, keystore.ErrInUse):
				return hint(err, "stop the replica first")
			case errors.Is(err, recovery.ErrSignatures):
				return hint(err, "fusion recovery sign --backup %s %s", args[0], document)
			case err != nil:
				return err
			}
			showDocument(c, d)
			fmt.Fprintf(c.OutOrStdout(), "the state is in place; when all members are ready, start the replica: fusion replica --config %s\n", config)
			return nil
		}}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.toml of the replica, or its directory")
	f.StringVar(&document, "document", "", "the signed recovery document")
	f.BoolVar(&later, "wipe-later-shares", false, "restore although the key store has shares of a later epoch, which are wiped then")
	required(cmd, "config", "document")
	return cmd
}
