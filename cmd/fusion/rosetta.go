package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fusion/exchange/rosetta"
	"fusion/ic/agent"
	"fusion/ic/identity"
	"fusion/ic/principal"
	replicahttp "fusion/replica/http"
	"fusion/testnets/canisters"
)

func rosettaCmd(o *options) *cobra.Command {
	var ledgers []string
	var listen, store string
	var interval time.Duration
	cmd := &cobra.Command{
		Use: "rosetta", Short: "serve the Mesh (Rosetta) API over ledgers, for exchanges and wallets", Args: cobra.NoArgs,
		Long: `Serve the Mesh (Rosetta) API over ledgers: blocks and balances, and transactions to build, sign elsewhere and submit.

One server serves several ledgers; the network identifier of each is its canister id. Without --ledger these are ckBTC's and, where the
network has them, ckETH's and those of all ckERC20 tokens. Blocks are believed only when a tip that the network's root key certifies proves
them. The server signs nothing and holds no keys. It goes on where it was when it is started again with the same --store.`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			a, err := o.anonymous(ctx)
			if err != nil {
				return err
			}
			defer a.Close()
			var ids []principal.Principal
			for _, text := range ledgers {
				id, err := parsePrincipal(text, "canister id")
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			if len(ids) == 0 {
				if ids, err = a.allLedgers(ctx); err != nil {
					return err
				}
			}
			if store == "" {
				store = filepath.Join(o.dir, "rosetta")
			}
			return serveRosetta(ctx, c, listen, rosetta.Config{Dir: store, Agent: a.Agent, Ledgers: ids, Interval: interval})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&ledgers, "ledger", nil, "canister id of a ledger; may be repeated")
	f.StringVar(&listen, "listen", "127.0.0.1:8080", "address to serve at; the API is public and has no passwords")
	f.StringVar(&store, "store", "", "directory of the blocks and balances; the default is rosetta in --data-dir")
	f.DurationVar(&interval, "interval", time.Second, "how long to wait between looks at a ledger")
	f.StringVar(&o.network, "network", "", "URL of a replica, such as http://10.0.0.5:4943; the default is the local network")
	f.StringVar(&o.rootKey, "root-key", "", "the network's root key in hexadecimal, for --network")
	return cmd
}

// anonymous makes a client that signs nothing.
func (o *options) anonymous(ctx context.Context) (*client, error) {
	if o.network != "" {
		return o.remoteClient(func() (identity.Identity, error) { return identity.Anonymous{}, nil })
	}
	if o.rootKey != "" {
		return nil, errRootKeyAlone
	}
	s, err := networkStatus(ctx, o.dir)
	if err != nil {
		return nil, err
	}
	a, err := statusAgent(s, agent.Options{})
	if err != nil {
		return nil, err
	}
	return &client{a, s.Manifest.Ledger, s.Manifest.Minter, o.dir, true}, nil
}

// allLedgers are the ledgers of ckBTC, ckETH and all ckERC20 tokens that the network has.
func (c *client) allLedgers(ctx context.Context) ([]principal.Principal, error) {
	ids := []principal.Principal{c.ledger}
	info, err := minterInfo(ctx, c)
	var refused *agent.RejectError
	var elsewhere *agent.HTTPError
	if errors.As(err, &refused) || errors.As(err, &elsewhere) && strings.HasPrefix(elsewhere.Body, "canister_not_found: ") { // a network without Ethereum
		return ids, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking the ckETH minter for its ledgers: %w", err)
	}
	ids = append(ids, canisters.CkethLedger)
	if info.SupportedTokens != nil {
		for _, t := range *info.SupportedTokens {
			ids = append(ids, t.LedgerID)
		}
	}
	return ids, nil
}

// drainTime is how long requests that are under way have when the server is stopped.
const drainTime = 10 * time.Second

// maxMeshConnections bounds the open connections, and with them the memory that slow requests hold.
const maxMeshConnections = 256

func serveRosetta(ctx context.Context, c *cobra.Command, listen string, cfg rosetta.Config) (err error) {
	s, err := rosetta.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return hint(err, "another address: --listen 127.0.0.1:PORT")
	}
	ctx, stop := context.WithCancel(ctx)
	server := s.NewHTTPServer()
	followed, drained := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(followed)
		_ = s.Run(ctx) // ends with the context
	}()
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		drained <- server.Shutdown(grace)
	}()
	l = replicahttp.LimitListener(l, replicahttp.Limits{Connections: maxMeshConnections, ClientConnections: -1})
	fmt.Fprintf(c.OutOrStdout(), "Mesh API at http://%s over %s; blockchain %q, networks:\n", l.Addr(), plural(len(cfg.Ledgers), "ledger"), rosetta.Blockchain)
	for _, id := range cfg.Ledgers {
		fmt.Fprintf(c.OutOrStdout(), "  %s\n", id)
	}
	err = server.Serve(l)
	stop()
	<-followed
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, <-drained)
}
