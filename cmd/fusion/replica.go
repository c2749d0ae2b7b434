package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fusion/adapters/bitcoin/node"
	"fusion/replica"
	"fusion/replica/consensus"
	"fusion/replica/genesis"
	"fusion/testnets"
)

func replicaCmd() *cobra.Command {
	var config, logFile string
	cmd := &cobra.Command{
		Use: "replica --config FILE|DIR", Short: "run one replica as a process of its own", Args: cobra.NoArgs,
		Long: `Run one replica as a process of its own, until SIGTERM or ctrl-c. --config names its config.toml, or the directory
that holds it beside the genesis document and the node's keys; docs/operate.md explains the keys. The exit code is 78 when the
configuration is refused, 70 when the replica stopped itself because its state diverged or its consensus failed, and else 1 when it cannot start
or cannot go on: only then may a supervisor start it again.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := replica.LoadConfig(config)
			if err != nil {
				return err
			}
			if err := prepare(cfg.Dir); err != nil {
				return err
			}
			log, closeLog, err := newLogger(logFile, cfg.LogLevel)
			if err != nil {
				return err
			}
			defer closeLog()
			return runReplica(c.Context(), cfg, log)
		},
	}
	cmd.PersistentFlags().StringVar(&config, "config", "", "config.toml of the replica, or its directory")
	cmd.Flags().StringVar(&logFile, "log", "", "file that the log is appended to; the default is standard error")
	if err := cmd.MarkPersistentFlagRequired("config"); err != nil {
		panic(err)
	}
	cmd.AddCommand(initCmd(&config), replayCmd(&config), recoverCmd(&config), joinCmd(&config), importUTXOsCmd(&config))
	return cmd
}

// restoring are the flags of recover and join.
type restoring struct {
	config     *string
	trust, log string
	fromBlocks bool
}

func (o *restoring) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.trust, "trust", "", "HEIGHT:HASH of a block to begin with, as another operator's replica has it; the default is the genesis document's nodes")
	f.StringVar(&o.log, "log", "", "file that the log is appended to; the default is none")
}

// run fetches the state and puts it in its place.
func (o *restoring) run(c *cobra.Command, cfg *replica.Config, phase string) error {
	opts := replica.RecoverOptions{FromBlocks: o.fromBlocks}
	var err error
	if opts.Trust, err = parseTrust(o.trust); err != nil {
		return err
	}
	if o.log != "" {
		log, closeLog, err := newLogger(o.log, cfg.LogLevel)
		if err != nil {
			return err
		}
		defer closeLog()
		opts.Log = log
	}
	p := newPhases(os.Stderr)
	defer p.Close()
	p.Begin(phase)
	opts.Progress = p.Note
	height, err := replica.Recover(c.Context(), *cfg, opts)
	if err != nil {
		return err
	}
	p.Done("%s", cfg.Dir)
	p.Close()
	w := c.OutOrStdout()
	if o.fromBlocks {
		fmt.Fprintln(w, "the old state is removed; all blocks are executed again when the replica is started")
		if doc, err := genesis.Load(filepath.Join(cfg.Dir, replica.GenesisFile)); err == nil && doc.Bitcoin != nil && doc.Bitcoin.Snapshot != nil {
			fmt.Fprintf(w, "first give it the snapshot of Bitcoin's coins again: fusion replica import-utxos --config %s\n", *o.config)
		}
	} else {
		fmt.Fprintf(w, "the state of block %d is in place, checked against the network's votes\n", height)
	}
	fmt.Fprintf(w, "start the replica: fusion replica --config %s\n", *o.config)
	return nil
}

func recoverCmd(config *string) *cobra.Command {
	o := &restoring{config: config}
	cmd := &cobra.Command{
		Use: "recover --config FILE|DIR", Short: "replace a stopped replica's state by a snapshot from the others", Args: cobra.NoArgs,
		Long: `Replace the state of a stopped replica by a snapshot from the others: after a divergence, a broken disk, or when it was away for too long.
The snapshot is believed only if it leads to the state that more than two thirds of the network's nodes have signed, beginning with the
nodes of the genesis document, or with the block of --trust.

The old state is removed when the new one is complete. The node's keys, the key store with its join markers and the record of what the validator has
signed are never touched: without them the replica must not come back, see docs/operate.md. A recovery that was cut short is begun again by the same
command. Afterwards start the replica; it executes the blocks since the snapshot.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := replica.LoadConfig(*config)
			if err != nil {
				return err
			}
			if err = o.run(c, cfg, "recovering"); errors.Is(err, consensus.ErrNoSnapshot) {
				return hint(err, "they make one every snapshot_every blocks (config.toml); before the first, execute all blocks: add --from-blocks")
			}
			return err
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.fromBlocks, "from-blocks", false, "fetch no snapshot; execute all blocks again")
	return cmd
}

func joinCmd(config *string) *cobra.Command {
	o := &restoring{config: config}
	cmd := &cobra.Command{
		Use: "join --config FILE|DIR", Short: "fetch the state for a new replica, once the members let it in", Args: cobra.NoArgs,
		Long: `Prepare a new replica whose directory has genesis.json and config.toml: make its node keys if there are none, wait until the members let it
in, and fetch a snapshot of the state, so that it need not execute all blocks. Start it afterwards. What the members need to let it in is
printed by fusion node candidate --home DIR; they use it with fusion node add.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := replica.LoadConfig(*config)
			if err != nil {
				return err
			}
			if cfg.HasState() {
				return hint(fmt.Errorf("%s has a state already", cfg.Dir), "start it, or replace the state: fusion replica recover --config %s", *config)
			}
			if _, _, err := replica.NewNodeKeys(cfg.Dir); err != nil {
				return err
			}
			if _, err := replica.NewCandidate(cfg); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "the members let this node in with what this prints: fusion node candidate --home %s\n", cfg.Dir)
			if err = o.run(c, cfg, "joining"); errors.Is(err, consensus.ErrNoSnapshot) {
				return hint(err, "start the replica: it executes all blocks")
			}
			return err
		},
	}
	o.flags(cmd)
	return cmd
}

func importUTXOsCmd(config *string) *cobra.Command {
	var headers string
	cmd := &cobra.Command{
		Use: "import-utxos --config FILE|DIR --headers FILE SNAPSHOT", Short: "begin with a snapshot of Bitcoin's coins that bitcoind made", Args: cobra.ExactArgs(1),
		Long: `Give a founding replica that never ran, or one after recover --from-blocks, the snapshot of Bitcoin's unspent outputs that its genesis document names
(bitcoin.snapshot), so that it need not follow the chain from its first block. SNAPSHOT is a file that bitcoin-cli dumptxoutset made. --headers names a file with the block headers from block 1 up to
the snapshot's block, 80 bytes each; they are checked with all rules, so it does not matter who gave them.

All of it is checked before any of it is used: the hash of the coins must be the one in the genesis document, which on public networks must be one that
this release knows. An import that was cut short is begun again by the same command.`,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := replica.LoadConfig(*config)
			if err != nil {
				return err
			}
			if err := prepare(cfg.Dir); err != nil {
				return err
			}
			p := newPhases(os.Stderr)
			defer p.Close()
			p.Begin("importing")
			next := uint64(0)
			if err := replica.ImportUTXOs(c.Context(), *cfg, replica.UTXOFiles{Snapshot: args[0], Headers: headers}, func(done, of uint64) {
				if done >= next {
					p.Note("%d of %d coins", done, of)
					next = done + 1_000_000
				}
			}); err != nil {
				return err
			}
			p.Done("%s", cfg.Dir)
			p.Close()
			fmt.Fprintf(c.OutOrStdout(), "the snapshot is in place, checked against its hash\nstart the replica: fusion replica --config %s\n", *config)
			return nil
		},
	}
	cmd.Flags().StringVar(&headers, "headers", "", "file with the block headers up to the snapshot's block")
	if err := cmd.MarkFlagRequired("headers"); err != nil {
		panic(err)
	}
	return cmd
}

func parseTrust(text string) (*consensus.TrustPoint, error) {
	if text == "" {
		return nil, nil
	}
	height, hash, _ := strings.Cut(text, ":")
	h, err := strconv.ParseUint(height, 10, 63)
	b, hexErr := hex.DecodeString(hash)
	if err != nil || hexErr != nil || h == 0 || len(b) != sha256.Size {
		return nil, fmt.Errorf("--trust is %q, want HEIGHT:HASH with the hash in hexadecimal", text)
	}
	return &consensus.TrustPoint{Height: h, Hash: b}, nil
}

func replayCmd(config *string) *cobra.Command {
	var files replica.UTXOFiles
	cmd := &cobra.Command{
		Use: "replay --config FILE|DIR", Short: "execute a stopped replica's blocks again and compare every state", Args: cobra.NoArgs,
		Long: `Execute the blocks of a stopped replica again, from the genesis document and nothing else. The votes under each block are checked,
and the state after it is compared with the hash that the replicas voted for. The exit code is 1 when anything differs. Local networks
keep their last 50,000 blocks; a replay needs all of them. Where the network began with a snapshot of Bitcoin's coins, --utxos and --headers name the files
that import-utxos was given.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := replica.LoadConfig(*config)
			if err != nil {
				return err
			}
			var begin *replica.UTXOFiles
			if files != (replica.UTXOFiles{}) {
				begin = &files
			}
			p := newPhases(os.Stderr)
			defer p.Close()
			p.Begin("replaying")
			res, err := replica.Replay(c.Context(), *cfg, replica.Options{}, begin, func(h, last uint64) {
				if h%100 == 0 || h == last {
					p.Note("block %d of %d", h, last)
				}
			})
			if err != nil {
				return err
			}
			p.Done("replayed %d blocks", res.Blocks)
			p.Close()
			fmt.Fprintf(c.OutOrStdout(), "%d blocks with %d canister messages: each gave the state that the network has voted for, at the end %s\n",
				res.Blocks, res.Messages, res.AppHash)
			return nil
		},
	}
	cmd.Flags().StringVar(&files.Snapshot, "utxos", "", "the snapshot of Bitcoin's coins that the network began with")
	cmd.Flags().StringVar(&files.Headers, "headers", "", "file with the block headers up to the snapshot's block")
	cmd.MarkFlagsRequiredTogether("utxos", "headers")
	return cmd
}

func newLogger(file, level string) (*slog.Logger, func(), error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, nil, fmt.Errorf("%w: log_level is %q, want debug, info, warn or error", replica.ErrConfig, level)
	}
	w, closeLog := io.Writer(os.Stderr), func() {}
	if file != "" {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("log: %w", err)
		}
		w, closeLog = f, func() { f.Close() }
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), closeLog, nil
}

func runReplica(ctx context.Context, cfg *replica.Config, log *slog.Logger) (err error) {
	fatal := make(chan error, 1)
	r, err := replica.Start(ctx, *cfg, replica.Options{Log: log, OnFatal: func(err error) {
		select {
		case fatal <- err:
		default:
		}
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s, err := testnets.ServeReplica(cfg.Admin, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	log.Info("replica started", "http", cfg.HTTP, "consensus", cfg.Consensus, "gossip", cfg.Gossip)
	select {
	case <-ctx.Done():
	case <-s.StopRequested():
	case err := <-fatal:
		return fmt.Errorf("the replica cannot go on: %w", err)
	}
	log.Info("replica stopping")
	return nil
}

func bitcoinNodeCmd() *cobra.Command {
	var dir, listen string
	cmd := &cobra.Command{
		Use: "bitcoin-node", Short: "run the Bitcoin regtest node as a process of its own", Args: cobra.NoArgs,
		Long: `Run the Bitcoin regtest node of local networks as a process of its own, until SIGTERM or ctrl-c. Networks use it with
fusion up --bitcoin HOST:PORT, and fusion btc with its --data-dir.`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			log, closeLog, err := newLogger("", "info")
			if err != nil {
				return err
			}
			defer closeLog()
			if err := prepare(dir); err != nil {
				return err
			}
			n, err := node.Start(node.Config{DataDir: dir, ListenAddr: listen, Log: log})
			if err != nil {
				return fmt.Errorf("bitcoin node on %s: %w", listen, err)
			}
			defer func() { err = errors.Join(err, n.Close()) }()
			s, err := testnets.ServeBitcoin(dir, n)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			fmt.Fprintf(c.OutOrStdout(), "bitcoin regtest node on %s, block %d\n", n.Addr(), n.Height())
			select {
			case <-c.Context().Done():
			case <-s.StopRequested():
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "data-dir", "", "directory of the chain and the admin socket")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:18444", "P2P address, on loopback")
	if err := cmd.MarkFlagRequired("data-dir"); err != nil {
		panic(err)
	}
	return cmd
}

func networkCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "network", Short: "make networks whose replicas run as processes"}
	s := &settings{bitcoin: "embedded"}
	create := &cobra.Command{
		Use: "create DIR", Short: "make a network's directory and start nothing", Args: cobra.ExactArgs(1),
		Long: `Make a network's directory: genesis, keys, a configuration for each replica. Nothing is started. Then run

  fusion bitcoin-node --data-dir DIR/bitcoin --listen ADDRESS-IN-network.json
  fusion replica --config DIR/node0        and so on, a process each

or all in one process: fusion up --data-dir DIR, which also installs the ckBTC canisters. Both ways can be used in turn.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := prepare(args[0]); err != nil {
				return err
			}
			if m, err := testnets.Load(args[0]); err == nil {
				return hint(fmt.Errorf("%s holds a network already: %s with %s", args[0], m.ChainID, plural(m.Nodes, "replica")), "choose another directory")
			}
			m, _, err := s.create(args[0])
			if err != nil {
				return err
			}
			w := c.OutOrStdout()
			fmt.Fprintf(w, "network %s in %s\n", m.ChainID, args[0])
			if !m.ExternalBitcoin {
				fmt.Fprintf(w, "  fusion bitcoin-node --data-dir %s/bitcoin --listen %s\n", args[0], m.Bitcoin)
			}
			for i := range m.Nodes {
				fmt.Fprintf(w, "  fusion replica --config %s    # http on %s\n", testnets.NodeDir(args[0], i), m.HTTP[i])
			}
			return nil
		},
	}
	f := create.Flags()
	f.IntVar(&s.nodes, "nodes", 4, "replicas: 1, or 4 to 13")
	f.StringVar(&s.http, "http", "127.0.0.1:0", "public HTTP interface of replica 0; port 0 takes a free one")
	f.StringVar(&s.bitcoin, "bitcoin", "embedded", "Bitcoin regtest node: embedded, or host:port of yours")
	s.checkerFlags(f)
	schemeFlag(f, &s.scheme)
	f.StringSliceVar(&s.admins, "subnet-admin", nil, "principal that may create canisters, list them all, and start, stop, uninstall and delete any; creating them costs nothing then")
	f.StringSliceVar(&s.operators, "operator", nil, "principal, or name of an identity to make, that decides with others what becomes of custodial canisters and of the membership; without any, one key controls all")
	f.DurationVar(&s.timeLock, "time-lock", 0, "time between what operators decide and its execution")
	cmd.AddCommand(create)
	return cmd
}
