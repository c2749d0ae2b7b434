package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fusion/exchange/proof"
	"fusion/exchange/watch"
	"fusion/internal/durable"
	"fusion/testnets/canisters"
)

func exchangeCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "exchange", Short: "tools of an exchange: watch deposits"}
	cmd.AddCommand(watchCmd(o), &cobra.Command{Use: "secret FILE", Short: "make a secret that signs webhooks", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return newSecret(args[0]) }})
	return o.remote(cmd)
}

func newSecret(path string) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return durable.Create(path, 0o600, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "whsec_%s\n", base64.StdEncoding.EncodeToString(key))
		return err
	})
}

// watchFlags are the flags of fusion exchange watch.
type watchFlags struct {
	owner, prefix, subaccounts, state, webhook, secret, start, metrics string
	ledgers                                                            []string
	all, mint                                                          bool
	mintEvery                                                          time.Duration
}

func watchCmd(o *options) *cobra.Command {
	f := &watchFlags{}
	cmd := &cobra.Command{Use: "watch", Short: "tell of each payment to an exchange's accounts once, by webhook or as lines of JSON", Args: cobra.NoArgs,
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, _ []string) error {
			cfg, err := f.config(c, w)
			if err != nil {
				return err
			}
			x, err := watch.New(*cfg)
			if err != nil {
				return err
			}
			if f.metrics != "" {
				stop, err := serveMetrics(f.metrics, x.Metrics())
				if err != nil {
					return errors.Join(err, x.Close())
				}
				defer stop()
			}
			err = x.Run(ctx)
			if ctx.Err() != nil { // told to stop
				err = nil
			}
			return errors.Join(err, x.Close())
		})}
	l := cmd.Flags()
	l.StringVar(&f.owner, "owner", "", "whose accounts: a principal or an identity; the default is yours")
	l.StringVar(&f.prefix, "prefix", "", "only subaccounts that begin so, in hexadecimal")
	l.StringVar(&f.subaccounts, "subaccounts", "", "only the subaccounts in this file: 64 hexadecimal digits a line")
	l.StringSliceVar(&f.ledgers, "ledger", []string{"ledger"}, "ledgers to read: ledger (ckBTC), cketh, or ids")
	l.StringVar(&f.state, "state", "", "directory that remembers what was told (default DATA-DIR/watch)")
	l.StringVar(&f.webhook, "webhook", "", "URL to post events to; without it they are printed as lines")
	l.StringVar(&f.secret, "secret", "", "file with the secret that signs webhooks, see fusion exchange secret")
	l.StringVar(&f.start, "start", "0", "block at which a ledger begins that is not known yet, or now")
	l.BoolVar(&f.all, "all", false, "also tell of withdrawals and of payments between watched accounts; with --mint, of how withdrawals of bitcoin go on")
	l.BoolVar(&f.mint, "mint", false, "also have the minter mint bitcoin that arrived for --subaccounts and the default account, and tell of what is on its way")
	l.StringVar(&f.metrics, "metrics", "", "address to serve metrics at for Prometheus, such as 127.0.0.1:9090")
	l.DurationVar(&f.mintEvery, "mint-interval", 10*time.Second, "how often --mint looks")
	return cmd
}

// serveMetrics serves metrics until stop.
func serveMetrics(listen string, h http.Handler) (stop func(), err error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, hint(err, "another address: --metrics 127.0.0.1:PORT")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	s := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	fmt.Fprintf(os.Stderr, "metrics at http://%s/metrics\n", l.Addr())
	go func() { _ = s.Serve(l) }() // ends with stop
	return func() { _ = s.Close() }, nil
}

func (f *watchFlags) config(c *client, out io.Writer) (*watch.Config, error) {
	cfg := &watch.Config{Agent: c.Agent, Dir: f.state, Accounts: watch.Accounts{Owner: c.Sender()}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if f.state == "" {
		cfg.Dir = filepath.Join(c.dir, "watch")
	}
	var err error
	if f.owner != "" {
		if cfg.Accounts.Owner, err = c.parseUser(f.owner); err != nil {
			return nil, err
		}
	}
	if cfg.Accounts.Prefix, err = hex.DecodeString(f.prefix); err != nil {
		return nil, fmt.Errorf("--prefix: %w", err)
	}
	if f.subaccounts != "" {
		if cfg.Accounts.Subaccounts, err = readSubaccounts(f.subaccounts); err != nil {
			return nil, err
		}
	}
	for _, text := range f.ledgers {
		id := canisters.CkethLedger
		if text != "cketh" {
			if id, err = c.parseCanister(text); err != nil {
				return nil, err
			}
		}
		cfg.Ledgers = append(cfg.Ledgers, id)
	}
	if cfg.Start = watch.FromNow; f.start != "now" {
		if cfg.Start, err = strconv.ParseUint(f.start, 10, 62); err != nil {
			return nil, fmt.Errorf("--start is %q, want a block or now", f.start)
		}
	}
	if f.all {
		cfg.Types = []string{watch.Deposit, watch.Withdrawal, watch.Internal}
	}
	if f.mint {
		cfg.Bitcoin = &watch.Bitcoin{Minter: c.minter, Ledger: c.ledger, Interval: f.mintEvery}
	}
	switch {
	case f.webhook != "" && f.secret == "":
		return nil, hint(errors.New("--webhook needs --secret: a receiver must be able to tell who posts"), "make one with: fusion exchange secret webhook.secret")
	case f.webhook != "":
		secrets, err := watch.ReadSecrets(f.secret)
		if err != nil {
			return nil, err
		}
		cfg.Webhook = &watch.Webhook{URL: f.webhook, Secrets: secrets}
	default:
		cfg.Lines = out
	}
	return cfg, nil
}

// maxSubaccounts bounds the file of subaccounts.
const maxSubaccounts = 10_000_000

func readSubaccounts(path string) (map[[32]byte]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[[32]byte]bool{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != 32 {
			return nil, fmt.Errorf("%s:%d: want 64 hexadecimal digits", path, n)
		}
		if out[[32]byte(b)] = true; len(out) > maxSubaccounts {
			return nil, fmt.Errorf("%s: more than %d subaccounts; use --prefix", path, maxSubaccounts)
		}
	}
	return out, lines.Err()
}

func proofCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "proof", Short: "prove that the bitcoin in custody cover all ckBTC, and check such a proof"}
	var out, rootKey, minter, token, node, auth string
	var outputs bool
	makeIt := &cobra.Command{Use: "make [FILE]", Short: "read the books of the minter and of the ledger, with certificates, into a file (proof.json)", Args: cobra.MaximumNArgs(1),
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
			if !strings.EqualFold(token, "ckBTC") {
				return hint(fmt.Errorf("there are no proofs of reserves of %s: its minter certifies what it holds but not what it owes for withdrawals "+
					"under way, so that a proof would hide a shortage of that size", token), "proofs are of ckBTC; docs/exchange.md says what can be compared for ckETH")
			}
			if out = "proof.json"; len(args) > 0 {
				out = args[0]
			}
			p, err := proof.Make(ctx, c.Agent, c.minter)
			if err != nil {
				return err
			}
			file, err := p.Encode()
			if err != nil {
				return err
			}
			key, err := c.RootKey(ctx)
			if err != nil {
				return err
			}
			r, err := proof.Verify(file, key, c.minter)
			if err != nil {
				return fmt.Errorf("the proof that was made does not verify: %w", err)
			}
			if err := os.WriteFile(out, file, 0o644); err != nil {
				return err
			}
			report(w, r, false)
			fmt.Fprintf(w, "anybody checks it with: fusion proof verify %s --root-key %x\n", out, key)
			return nil
		})}
	verify := &cobra.Command{Use: "verify FILE", Short: "check a proof with the root key alone", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := parseRootKey(rootKey)
			if err != nil {
				return hint(fmt.Errorf("--root-key: %w", err), "the network's operator publishes it; fusion status shows it")
			}
			id, err := parsePrincipal(minter, "canister id")
			if err != nil {
				return err
			}
			file, err := readBounded(args[0], proof.MaxFile)
			if err != nil {
				return err
			}
			r, err := proof.Verify(file, key, id)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			report(w, r, outputs)
			if !r.Solvent() {
				return fmt.Errorf("custody lacks %s", sats(r.Liabilities()-r.Custody))
			}
			if node == "" {
				return nil
			}
			n, err := bitcoinNode(node, auth)
			if err != nil {
				return err
			}
			u, err := r.Compare(cmd.Context(), n)
			if u != nil {
				fmt.Fprintf(w, "bitcoin    %s unspent at block %d of the node, %s\n", sats(u.Value), u.Height,
					plural(len(u.Moving), "output")+" being spent by withdrawals")
			}
			return err
		}}
	makeIt.Flags().StringVar(&token, "token", "ckBTC", "whose reserves")
	verify.Flags().StringVar(&rootKey, "root-key", "", "the network's root key in hexadecimal")
	verify.Flags().StringVar(&minter, "minter", canisters.CkbtcMinter.String(), "the minter that the proof must be of")
	verify.Flags().StringVar(&node, "bitcoin", "", "also ask this Bitcoin node of yours, such as http://127.0.0.1:8332, whether the outputs are unspent")
	verify.Flags().StringVar(&auth, "bitcoin-auth", "", "file with user:password for --bitcoin, such as Bitcoin Core's .cookie")
	verify.Flags().BoolVar(&outputs, "outputs", false, "list the outputs with their addresses, to be looked up on a Bitcoin node")
	cmd.AddCommand(o.remote(makeIt), verify)
	return cmd
}

// bitcoinNode is the node at a URL, with what a file says of user and password.
func bitcoinNode(url, auth string) (*proof.Node, error) {
	n := &proof.Node{URL: url}
	if auth == "" {
		return n, nil
	}
	b, err := readBounded(auth, 1<<10)
	if err != nil {
		return nil, err
	}
	user, password, ok := strings.Cut(strings.TrimSpace(string(b)), ":")
	if !ok {
		return nil, fmt.Errorf("%s is not user:password", auth)
	}
	n.User, n.Password = user, password
	return n, nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return b, err
}

func report(w io.Writer, r *proof.Report, outputs bool) {
	fmt.Fprintf(w, "supply     %s\n", sats(r.Supply))
	fmt.Fprintf(w, "owed       %s for withdrawals that are not paid yet\n", sats(r.Owed))
	fmt.Fprintf(w, "custody    %s in %d outputs\n", sats(r.Custody), len(r.Outputs))
	if r.Deficit > 0 {
		fmt.Fprintf(w, "deficit    %s of deposits that Bitcoin took back\n", sats(r.Deficit))
	}
	if r.Solvent() {
		fmt.Fprintf(w, "surplus    %s\n", sats(r.Custody-r.Liabilities()))
	}
	fmt.Fprintf(w, "minter     %s\nledger     %s\n", r.Minter, r.Ledger)
	fmt.Fprintf(w, "certified  %s to %s (%s ago)\n", r.Oldest.Format(time.RFC3339), r.Newest.Format(time.RFC3339), age(time.Since(r.Oldest)))
	if outputs {
		for _, u := range r.Outputs {
			note := ""
			if u.InPayment {
				note = " being spent by a withdrawal"
			}
			fmt.Fprintf(w, "%s %s %d%s\n", u.Outpoint, u.Address, u.Value, note)
		}
	}
}

func age(d time.Duration) time.Duration {
	return time.Duration(math.Max(0, float64(d))).Round(time.Second)
}
