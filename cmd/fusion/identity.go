package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"fusion/testnets"
)

func identityCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "identity", Short: "make and list the keys that sign calls",
		Long: `Make and list the keys that sign calls. They lie in --data-dir/identities as PEM files that other tools of the Internet
Computer read too. A network's first start makes the one named default.`}
	cmd.AddCommand(&cobra.Command{
		Use: "new NAME", Short: "make an Ed25519 identity", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := testnets.NewIdentity(o.dir, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s  %s\n", args[0], id.Sender())
			return nil
		},
	}, &cobra.Command{
		Use: "list", Short: "list identities and their principals", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			names, err := testnets.Identities(o.dir)
			if err != nil {
				return err
			}
			for _, name := range append(names, "anonymous") {
				id, err := testnets.LoadIdentity(o.dir, name)
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%-20s %s\n", name, id.Sender())
			}
			return nil
		},
	})
	return cmd
}
