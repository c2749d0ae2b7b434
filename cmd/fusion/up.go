package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"fusion/ckledger/ckbtc"
	"fusion/ic/agent"
	"fusion/replica/genesis"
	"fusion/replica/http/face"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// defaultHTTP is where replica 0 of a new network serves its public interface.
const defaultHTTP = "127.0.0.1:4943"

// maxNodes is how many replicas of a network one machine is asked to run. Fewer than four tolerate no faulty one; the single one is for
// those who only need the interface.
const maxNodes = 13

var errDied = errors.New("the network's process ended without a word")

// settings are the flags of up.
type settings struct {
	nodes     int
	http      string
	bitcoin   string
	ethereum  string
	checker   string
	blocked   []string
	admins    []string // principals
	operators []string // principals, or names of identities
	timeLock  time.Duration
	scheme    string
	logLevel  slog.Level
	detach    bool
	reportTo  int // file descriptor for events, in the process that --detach makes
	changed   func(flag string) bool
}

func upCmd(o *options) *cobra.Command {
	s := &settings{}
	var level string
	cmd := &cobra.Command{
		Use: "up", Short: "start a local network: replicas, Bitcoin and Ethereum development nodes, ckBTC", Args: cobra.NoArgs,
		Long: `Start a local network: replicas, a Bitcoin regtest node, an Ethereum development chain and the canisters, all in one process.

The first start makes the network in --data-dir: node keys, the subnet's key, threshold keys and the canisters.
Later starts find all of it again. Ctrl-C stops the network; nothing is lost by stopping or killing it.`,
		RunE: func(c *cobra.Command, _ []string) error {
			s.changed = c.Flags().Changed
			if err := s.logLevel.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level is %q, want debug, info, warn or error", level)
			}
			if s.detach {
				return detach(c.Context(), o, again(c.Flags()))
			}
			return up(c.Context(), o, s)
		},
	}
	f := cmd.Flags()
	f.IntVar(&s.nodes, "nodes", 4, "replicas of a new network: 1, or 4 to 13")
	f.StringVar(&s.http, "http", defaultHTTP, "public HTTP interface of replica 0 of a new network; port 0 takes a free one")
	f.StringVar(&s.bitcoin, "bitcoin", "embedded", "Bitcoin regtest node of a new network: embedded, or host:port of yours")
	f.StringVar(&s.ethereum, "ethereum", testnets.EthereumGeth, "Ethereum development chain of a new network: geth in this process, anvil (the program), the URL of yours, or none")
	s.checkerFlags(f)
	schemeFlag(f, &s.scheme)
	f.BoolVar(&s.detach, "detach", false, "return when the network is ready and leave it running")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.IntVar(&s.reportTo, "report-to", 0, "file descriptor that events go to")
	if err := f.MarkHidden("report-to"); err != nil {
		panic(err)
	}
	return cmd
}

func (s *settings) checkerFlags(f *pflag.FlagSet) {
	f.StringVar(&s.checker, "checker", testnets.CheckerAccepts,
		"Bitcoin checker of a new network: accept-all, reject-all, or http://USER:PASSWORD@HOST:PORT of your Bitcoin node, which it asks where deposits come from")
	f.StringSliceVar(&s.blocked, "blocked", nil, "Bitcoin address that a checker which asks refuses; may be repeated")
}

func schemeFlag(f *pflag.FlagSet, scheme *string) {
	f.StringVar(scheme, "scheme", "", "how a new network shares the keys that sign: idkg (robust, with presignatures), or gg18 and FROST, the default")
}

func checkScheme(scheme string) error {
	if scheme != "" && scheme != genesis.Idkg {
		return fmt.Errorf("--scheme is %q, want %s, or leave it out for the defaults", scheme, genesis.Idkg)
	}
	return nil
}

// checkerOf reads the flags of a Bitcoin checker.
func (s *settings) checkerOf() *testnets.Checker {
	c := &testnets.Checker{Mode: s.checker, Blocked: s.blocked}
	if strings.Contains(s.checker, "://") {
		c.Mode, c.Node = testnets.CheckerAsks, s.checker
	}
	return c
}

// minFree is how much room a data directory must have: less would fill up within minutes.
const minFree = 64 << 20

// prepare makes sure that the directory can be written to and has room.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); fs.Blocks > 0 && free < minFree {
		return fmt.Errorf("data directory %s: %w: %d MiB are free, %d MiB are needed to start", dir, syscall.ENOSPC, free>>20, minFree>>20)
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	_, err = f.Write(make([]byte, 4096))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// create makes the network that the settings describe, or checks that the existing one is that.
func (s *settings) create(dir string) (*testnets.Manifest, bool, error) {
	m, err := testnets.Load(dir)
	if err == nil {
		return m, false, s.agree(m)
	}
	if !errors.Is(err, testnets.ErrNoNetwork) {
		return nil, false, err
	}
	if s.nodes != 1 && (s.nodes < 4 || s.nodes > maxNodes) {
		return nil, false, fmt.Errorf("--nodes is %d, want 1, or 4 to %d", s.nodes, maxNodes)
	}
	t := testnets.Settings{Nodes: s.nodes, Ethereum: s.ethereum}
	if t.HTTP, err = freeAddress(s.http); err != nil {
		return nil, false, err
	}
	if s.bitcoin != "embedded" {
		if _, _, err := net.SplitHostPort(s.bitcoin); err != nil {
			return nil, false, fmt.Errorf("--bitcoin is %q, want embedded or host:port", s.bitcoin)
		}
		t.BitcoinPeer = s.bitcoin
	}
	if t.Checker = s.checkerOf(); t.Checker.Node != "" && t.BitcoinPeer == "" {
		return nil, false, hint(errors.New("--checker names a Bitcoin node, and the network has its own, which that one does not know"), "name the node's P2P address too: --bitcoin HOST:PORT")
	}
	for _, text := range s.admins {
		p, err := parsePrincipal(text, "principal")
		if err != nil {
			return nil, false, fmt.Errorf("--subnet-admin: %w", err)
		}
		t.SubnetAdmins = append(t.SubnetAdmins, p)
	}
	if t.Scheme = s.scheme; checkScheme(s.scheme) != nil {
		return nil, false, checkScheme(s.scheme)
	}
	t.Operators, t.TimeLock = s.operators, s.timeLock
	m, err = testnets.Create(dir, t)
	return m, true, err
}

// freeAddress checks that a new network can listen at an address, before anything is made for it.
func freeAddress(addr string) (string, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return "", fmt.Errorf("--http is %q, want host:port", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", hint(fmt.Errorf("http on %s: %w", addr, err), "stop the process that uses the port, or choose another: --http 127.0.0.1:0 takes a free one")
	}
	return l.Addr().String(), l.Close()
}

// agree reports flags that contradict the network that is there.
func (s *settings) agree(m *testnets.Manifest) error {
	contradiction := func(flag, has, wants string) error {
		if !s.changed(flag) || has == wants {
			return nil
		}
		return fmt.Errorf("%w: --%s is %s, it has %s", testnets.ErrSettings, flag, wants, has)
	}
	bitcoin, http := "embedded", m.HTTP[0]
	if m.ExternalBitcoin {
		bitcoin = m.Bitcoin
	}
	if _, port, err := net.SplitHostPort(s.http); err == nil && port == "0" {
		http = s.http // any port suits
	}
	ethereum := testnets.EthereumNone
	if e := m.Ethereum; e != nil {
		if ethereum = e.Kind; e.Kind == testnets.EthereumExternal {
			ethereum = e.URL
		}
	}
	has := m.Checker
	if has == nil {
		has = &testnets.Checker{Mode: testnets.CheckerAccepts}
	}
	wants := s.checkerOf()
	modes := [2]string{has.Mode, wants.Mode}
	if has.Mode == wants.Mode && has.Node != wants.Node { // without what may be a password
		modes = [2]string{"another node", "this node"}
	}
	return errors.Join(contradiction("scheme", cmp.Or(m.Scheme, "the default"), s.scheme), contradiction("checker", modes[0], modes[1]), contradiction("blocked", fmt.Sprint(has.Blocked), fmt.Sprint(s.blocked)), contradiction("nodes", fmt.Sprint(m.Nodes), fmt.Sprint(s.nodes)),
		contradiction("http", http, s.http), contradiction("bitcoin", bitcoin, s.bitcoin), contradiction("ethereum", ethereum, s.ethereum))
}

// maxLog is when a start sets the log of the runs before aside.
const maxLog = 64 << 20

// openLog opens DIR/fusion.log for appending. Panics of this process go there too.
func openLog(dir string) (*os.File, error) {
	path := filepath.Join(dir, testnets.LogFile)
	if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return f, debug.SetCrashOutput(f, debug.CrashOptions{})
}

// up runs the network in this process until it is told to stop.
func up(ctx context.Context, o *options, s *settings) error {
	start := time.Now()
	if s.reportTo != 0 {
		pipe := os.NewFile(uintptr(s.reportTo), "events")
		e := newEvents(pipe)
		err := runNetwork(ctx, o, s, e, func(r *ready) {
			r.Seconds = time.Since(start).Seconds()
			e.send(event{Ready: r})
			pipe.Close()
		})
		if err != nil {
			e.send(event{Error: toFailure(err)})
		}
		return err
	}
	p := newPhases(os.Stderr)
	defer p.Close()
	return runNetwork(ctx, o, s, p, func(r *ready) {
		p.Close()
		r.Seconds = time.Since(start).Seconds()
		r.print(os.Stdout, o)
		fmt.Fprintln(os.Stderr, "\nrunning; ctrl-c stops it")
	})
}

func runNetwork(ctx context.Context, o *options, s *settings, p testnets.Progress, onReady func(*ready)) (err error) {
	if err := prepare(o.dir); err != nil {
		return err
	}
	m, created, err := s.create(o.dir)
	if err != nil {
		return err
	}
	if created {
		p.Begin("new network")
		p.Done("%s in %s", m.ChainID, o.dir)
	}
	logFile, err := openLog(o.dir)
	if err != nil {
		return err
	}
	defer logFile.Close()
	defer func() { err = errors.Join(err, debug.SetCrashOutput(nil, debug.CrashOptions{})) }()
	log := slog.New(slog.NewTextHandler(logFile, &slog.HandlerOptions{Level: s.logLevel}))
	n, err := testnets.Run(ctx, o.dir, testnets.RunOptions{Progress: p, Log: log})
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := n.Bootstrap(ctx); err != nil {
		return stopped(ctx, err)
	}
	if err := n.WaitKeys(ctx); err != nil {
		return stopped(ctx, err)
	}
	r, err := describe(ctx, n)
	if err != nil {
		return stopped(ctx, err)
	}
	onReady(r)
	select {
	case <-ctx.Done():
		return nil
	case <-n.StopRequested():
		return nil
	case err := <-n.Fatal():
		return hint(err, "the other replicas were stopped with it; details are in %s, fusion up starts again", logFile.Name())
	}
}

// stopped words the end of a start that was interrupted.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return hint(errors.New("stopped before the network was ready"), "fusion up goes on where it stopped")
	}
	return err
}

// ready is what a user needs to know of a running network.
type ready struct {
	Seconds  float64 `json:"seconds"`
	Nodes    int     `json:"nodes"`
	Height   uint64  `json:"height"`
	URL      string  `json:"url"`
	RootKey  string  `json:"root_key"`
	Subnet   string  `json:"subnet"`
	Ledger   string  `json:"ckbtc_ledger"`
	Minter   string  `json:"ckbtc_minter"`
	Canister string  `json:"bitcoin_canister"`
	User     string  `json:"user"`
	Deposit  string  `json:"deposit_address"`
	Control  string  `json:"control"` // who may change canisters and members, in words
	Bitcoin  string  `json:"bitcoin"`
	External bool    `json:"external_bitcoin"`
	Ethereum string  `json:"ethereum,omitempty"`
	CkEther  string  `json:"cketh_ledger,omitempty"`
	EthMint  string  `json:"cketh_minter,omitempty"`
	Helper   string  `json:"ethereum_helper,omitempty"` // contract for deposits
	Log      string  `json:"log"`
}

func describe(ctx context.Context, n *testnets.Network) (*ready, error) {
	id, err := testnets.LoadIdentity(n.Dir, testnets.DefaultIdentity)
	if err != nil {
		return nil, err
	}
	a, err := n.Agent(id)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	s := n.Replica(0).Status()
	deposit := "none: the minter waits for the operators' proposals"
	if _, err = a.Read(ctx, n.Minter, []byte("canister"), n.Minter.Bytes(), []byte("module_hash")); !errors.Is(err, agent.ErrNotFound) || !s.Governed {
		if deposit, err = depositAddress(ctx, a, n.Manifest); err != nil {
			return nil, fmt.Errorf("asking for a deposit address: %w", err)
		}
	}
	ethereum := ""
	if e := n.Manifest.Ethereum; e != nil {
		ethereum = fmt.Sprintf("%s, JSON-RPC at %s, chain id %d", e.Kind, e.URL, e.ChainID)
	}
	r := &ready{Ethereum: ethereum, Nodes: n.Nodes, Height: s.Height, URL: n.URL(0), RootKey: hex.EncodeToString(n.RootKey()), Subnet: s.Subnet,
		Ledger: n.Ledger.String(), Minter: n.Minter.String(), Canister: canisters.BitcoinTestnet.String(), User: id.Sender().String(), Deposit: deposit,
		Control: control(ctx, a, s.Governed), Bitcoin: n.Manifest.Bitcoin, External: n.ExternalBitcoin, Log: filepath.Join(n.Dir, testnets.LogFile)}
	if e := n.Ethereum(); e != nil {
		r.CkEther, r.EthMint, r.Helper = canisters.CkethLedger.String(), canisters.CkethMinter.String(), "none yet: fusion eth deploy-helper creates one"
		if helper, ok := e.Helper(); ok {
			r.Helper = helper.String()
		}
	}
	return r, nil
}

// pagesURL is the form of a canister's web address at an endpoint. Names below localhost are loopback, so that is what a local endpoint is called.
func pagesURL(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	return fmt.Sprintf("%s://CANISTER-ID.%s/", u.Scheme, net.JoinHostPort(host, u.Port()))
}

// dashboardURL is the address of the pages with the wallet at an endpoint of this machine.
func dashboardURL(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	return face.Address(u.Scheme, u.Host, "localhost")
}

func depositAddress(ctx context.Context, a *agent.Agent, m *testnets.Manifest) (address string, err error) {
	owner := a.Sender()
	err = a.Update(ctx, m.Minter, "get_btc_address", []any{ckbtc.AddressArgs{Owner: &owner}}, []any{&address})
	return address, err
}

func (r *ready) print(w io.Writer, o *options) {
	fmt.Fprintf(w, "\nready after %.1fs: %s, block %d\n\n", r.Seconds, plural(r.Nodes, "replica"), r.Height)
	node := "embedded node, P2P on " + r.Bitcoin
	if r.External {
		node = "your node at " + r.Bitcoin
	}
	ethereum := r.Ethereum
	if ethereum == "" {
		ethereum = "none"
	}
	lines := [][2]string{
		{"dashboard", dashboardURL(r.URL)}, {"http endpoint", r.URL}, {"canister pages", pagesURL(r.URL)}, {"root key", r.RootKey}, {"subnet", r.Subnet},
		{"ckBTC ledger", r.Ledger}, {"ckBTC minter", r.Minter}, {"ckBTC index", canisters.CkbtcIndex.String()},
		{"bitcoin checker", canisters.BtcChecker.String()}, {"bitcoin canister", r.Canister}, {"bitcoin regtest", node}, {"ethereum", ethereum},
		{"identity", testnets.DefaultIdentity + " = " + r.User}, {"deposit address", r.Deposit}, {"control", r.Control}, {"log", r.Log},
	}
	if r.CkEther != "" {
		lines = append(lines, [2]string{"ckETH ledger", r.CkEther}, [2]string{"ckETH minter", r.EthMint}, [2]string{"helper contract", r.Helper})
	}
	for _, l := range lines {
		fmt.Fprintf(w, "  %-17s %s\n", l[0], l[1])
	}
	next := []string{"fusion btc send 0.01btc " + r.Deposit + "%[1]s && fusion btc mine 4%[1]s", "fusion ckbtc update-balance%[1]s", "fusion ckbtc balance%[1]s"}
	if strings.HasPrefix(r.Deposit, "none") {
		next = []string{"fusion proposal operators%[1]s", "fusion proposal submit --help"}
	} else if r.External {
		next = []string{"fusion status%[1]s", "fusion ckbtc address%[1]s", "fusion ckbtc update-balance%[1]s"}
	}
	if r.CkEther != "" && !strings.HasPrefix(r.Helper, "none") {
		next = append(next, "fusion cketh deposit 0.5eth%[1]s && fusion cketh balance%[1]s")
	}
	fmt.Fprintf(w, "\nnext:\n  %s\n", strings.ReplaceAll(strings.Join(next, "\n  "), "%[1]s", o.flags()))
}

// again are the arguments of up for another process that does in the foreground what this one was asked for.
func again(flags *pflag.FlagSet) []string {
	args := []string{"up", "--report-to=3"}
	flags.Visit(func(f *pflag.Flag) {
		switch list, ok := f.Value.(pflag.SliceValue); {
		case f.Name == "detach":
		case ok:
			for _, v := range list.GetSlice() {
				args = append(args, "--"+f.Name+"="+v)
			}
		default:
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

// detach starts up in a process of its own and returns when the network is ready.
func detach(ctx context.Context, o *options, args []string) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting in the background: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(exe, args...)
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("starting in the background: %w", err)
	}
	p := newPhases(os.Stderr)
	defer p.Close()
	// An interrupted start stops what it started; the pipe then ends and so does play.
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })()
	ok, err := play(r, p)
	if err != nil {
		_ = cmd.Wait() // it ended, or is about to
		if errors.Is(err, errDied) {
			return hint(err, "the end of its log: fusion logs%s", o.flags())
		}
		return err
	}
	p.Close()
	ok.print(os.Stdout, o)
	return cmd.Process.Release()
}
