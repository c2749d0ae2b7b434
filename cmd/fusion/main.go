// Command fusion runs, inspects and uses chain-fusion subnets. `fusion help` lists what it does; README.md shows the way in.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"fusion/replica"
	"fusion/replica/consensus"
)

func main() { os.Exit(run()) }

// run is main with an exit code, so that command tests can call it.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := root().ExecuteContext(ctx); err != nil {
		printError(os.Stderr, err)
		return exitCode(err)
	}
	return 0
}

// Exit codes beside 1, from sysexits(3). A supervisor must not start the program again after these: nothing would be different.
const (
	exitStopped = 70 // EX_SOFTWARE: the replica stopped itself, because its state diverged or its consensus failed
	exitConfig  = 78 // EX_CONFIG: its configuration is refused
)

func exitCode(err error) int {
	switch {
	case errors.Is(err, replica.ErrDiverged), errors.Is(err, consensus.ErrFailure):
		return exitStopped
	case errors.Is(err, replica.ErrConfig):
		return exitConfig
	}
	return 1
}

// gcPercent is how much the heap may grow between two collections, in percent of what lives, unless GOGC says otherwise. Collecting took a
// seventh of the processor under load at Go's 100.
const gcPercent = 200

// printError shows an error and the next step, a line each.
func printError(w io.Writer, err error) {
	text, next := explain(err)
	fmt.Fprintf(w, "fusion: %s\n", forTerminal(text))
	if next != "" {
		fmt.Fprintf(w, "hint: %s\n", forTerminal(next))
	}
}

// forTerminal makes a message fit to be shown: parts of it may come from a canister or a replica.
func forTerminal(text string) string {
	const most = 8 << 10
	if len(text) > most {
		text = text[:most] + "…"
	}
	return printable(text)
}

const defaultDir = ".fusion"

// options are the flags that all commands share.
type options struct {
	dir      string
	identity string
	network  string // URL of a replica of a network that runs somewhere else
	rootKey  string
}

func root() *cobra.Command {
	o := &options{}
	dir := os.Getenv("FUSION_DATA_DIR")
	if dir == "" {
		dir = defaultDir
	}
	cmd := &cobra.Command{
		Use:           "fusion",
		Short:         "chain fusion without bridges: a subnet that holds bitcoin and runs canisters",
		SilenceUsage:  true,
		SilenceErrors: true,
		// Completion scripts are in every cobra program and in nobody's way, but they are not what a newcomer looks for.
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	cmd.PersistentFlags().StringVar(&o.dir, "data-dir", dir, "directory of the local network and of identities (or FUSION_DATA_DIR)")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return hint(err, "%s --help lists the flags", c.CommandPath())
	})
	cmd.AddGroup(&cobra.Group{ID: "net", Title: "Networks:"}, &cobra.Group{ID: "use", Title: "Using one:"}, &cobra.Group{ID: "make", Title: "Writing canisters:"})
	add := func(group string, list ...*cobra.Command) {
		for _, c := range list {
			c.GroupID = group
			cmd.AddCommand(c)
		}
	}
	add("net", upCmd(o), statusCmd(o), logsCmd(o), downCmd(o), demoCmd(o), benchCmd(), networkCmd(o), nodeCmd(o), proposalCmd(o), replicaCmd(), recoveryCmd(o), configCmd(), bitcoinNodeCmd())
	add("use", ckbtcCmd(o), exchangeCmd(o), proofCmd(o), btcCmd(o), ckethCmd(o), ckerc20Cmd(o), ethCmd(o), rosettaCmd(o), canisterCmd(o), identityCmd(o), keyCmd(o))
	add("make", newCmd(), buildCmd(), candidCmd())
	return cmd
}

// remote adds the flags of commands that can use a network which runs somewhere else.
func (o *options) remote(c *cobra.Command) *cobra.Command {
	f := c.PersistentFlags()
	f.StringVar(&o.identity, "identity", "default", "identity that signs calls, see fusion identity list")
	f.StringVar(&o.network, "network", "", "URL of a replica, such as http://10.0.0.5:4943; the default is the local network")
	f.StringVar(&o.rootKey, "root-key", "", "the network's root key in hexadecimal, for --network")
	return c
}

// flags repeats --data-dir where a command printed for the user needs it.
func (o *options) flags() string {
	dir := os.Getenv("FUSION_DATA_DIR")
	if dir == "" {
		dir = defaultDir
	}
	if o.dir == dir {
		return ""
	}
	return " --data-dir " + o.dir
}
