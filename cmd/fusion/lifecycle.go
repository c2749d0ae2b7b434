package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fusion/ic/principal"
	"fusion/replica/management"
)

func createCmd(o *options) *cobra.Command {
	var id string
	cmd := &cobra.Command{Use: "create", Short: "make an empty canister; on local networks, which give it cycles", Args: cobra.NoArgs,
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, _ []string) (err error) {
			var at principal.Principal
			if id != "" {
				if at, err = c.parseCanister(id); err != nil {
					return err
				}
			}
			if at, err = c.create(ctx, at, id != ""); err != nil {
				return err
			}
			fmt.Fprintf(w, "created canister %s\n", at)
			return nil
		})}
	cmd.Flags().StringVar(&id, "id", "", "id that it shall have; the default is the next free one")
	return cmd
}

// lifecycleCmds are the methods of the management canister that do something with a canister and answer nothing.
func lifecycleCmds(o *options) (cmds []*cobra.Command) {
	for _, l := range []struct{ use, method, short, done string }{
		{"start", "start_canister", "let a stopped canister take messages again", "started"},
		{"stop", "stop_canister", "let a canister finish its open calls and take no new messages", "stopped"},
		{"uninstall", "uninstall_code", "remove a canister's code and state", "uninstalled the code of"},
		{"delete", "delete_canister", "delete a stopped canister with its cycles", "deleted"},
	} {
		cmds = append(cmds, &cobra.Command{Use: l.use + " CANISTER", Short: l.short + "; for its controllers", Args: cobra.ExactArgs(1),
			RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
				id, err := c.parseCanister(args[0])
				if err != nil {
					return err
				}
				if err := c.Update(ctx, principal.Management, l.method, []any{management.CanisterID{CanisterID: id}}, nil); err != nil {
					return err
				}
				fmt.Fprintf(w, "%s %s\n", l.done, id)
				return nil
			})})
	}
	return cmds
}
