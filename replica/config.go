package replica

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fusion/internal/durable"
	"fusion/internal/redact"
	"fusion/replica/http"
	"fusion/replica/http/face"
)

// Config is what one replica needs to know beside the genesis document: where it keeps its data, where it listens and where the
// others are. Durations are written like "300ms".
type Config struct {
	// Dir is the data directory. It holds genesis.json, the node's keys, the replicated state and the key store.
	Dir string `toml:"-"`
	// Node is the number that the network gave this replica when it joined. Replicas of the genesis document are found by their node key.
	Node      int    `toml:"node,omitempty"`
	HTTP      string `toml:"http"`      // public HTTP interface; the default is 127.0.0.1:4943
	Consensus string `toml:"consensus"` // consensus transport, for the other replicas
	Gossip    string `toml:"gossip"`    // shares, ceremonies and ingress, for the other replicas
	Admin     string `toml:"admin"`     // Unix socket of the operator's interface; the default is admin.sock in Dir
	// AllowedHosts are the values of the Host header that are answered. One that begins with a dot stands for the names below it, where canisters
	// have hosts of their own. The default is localhost, .localhost, 127.0.0.1 and ::1.
	AllowedHosts []string `toml:"allowed_hosts"`
	// Dashboard is what the web page at / offers: off, read-only or wallet (package face). The default is read-only.
	Dashboard string `toml:"dashboard,omitempty"`
	// Limits are what clients of the public interface may ask for.
	Limits Limits `toml:"limits"`
	// Peers are the replicas of the genesis document by node index, this one included if it is one of them. Where others listen is in the state.
	Peers []Peer `toml:"peers"`
	// BitcoinPeers are Bitcoin nodes to speak to, host:port. Where none is named, a public network's are looked up in the DNS.
	BitcoinPeers []string `toml:"bitcoin_peers"`
	// Ethereum is how this replica reads the Ethereum chain of the genesis document.
	Ethereum Ethereum `toml:"ethereum"`
	// CommitWait is how long a replica waits for late votes before the next block. It paces the network; the default is 300ms.
	CommitWait Duration `toml:"commit_wait"`
	// ProposeWait is how long it waits for a proposal before the next proposer's turn; the default is 2s.
	ProposeWait Duration `toml:"propose_wait"`
	// SnapshotEvery is after how many blocks the next image of the state is made, from which other replicas join or recover. It should be the same
	// on all. The default is 10,000, an hour or more of blocks; negative makes none.
	SnapshotEvery int64 `toml:"snapshot_every"`
	// SealKeysWith names a file with an age identity that seals the key store; SealKeysBy a command with arguments that keeps that identity (package
	// keystore). One of them is required unless the network's class is local.
	SealKeysWith string   `toml:"seal_keys_with"`
	SealKeysBy   []string `toml:"seal_keys_by"`
	// Outcalls is what canisters may reach from this machine.
	Outcalls Outcalls `toml:"outcalls"`
	// LogLevel is debug, info, warn or error; the default is info.
	LogLevel string `toml:"log_level"`
	// OTLPEndpoint is the URL of an OpenTelemetry collector to which this replica sends what becomes of users' calls (package tracing); the
	// default sends nothing. It is never shown: it may hold a key.
	OTLPEndpoint SecretURL `toml:"otlp_endpoint"`
}

// Limits are this replica's limits of its public HTTP interface; package http says what the units are. Zero is the default, negative
// is no limit.
type Limits struct {
	// ClientRate is the units per second of one client address, the default is 1000; Rate is that of all, the default is 10,000 for each
	// processor.
	ClientRate float64 `toml:"client_rate"`
	Rate       float64 `toml:"rate"`
	// Proxies are the addresses or ranges of proxies, whose X-Forwarded-For header tells who the client is.
	Proxies []string `toml:"proxies"`
}

// http are the limits as the interface takes them.
func (l *Limits) http() (http.Limits, error) {
	out := http.Limits{ClientRate: l.ClientRate, Rate: l.Rate}
	for _, text := range l.Proxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return out, fmt.Errorf("%q is neither an address nor a range of them", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out.Proxies = append(out.Proxies, p)
	}
	return out, nil
}

// Outcalls are this replica's settings of HTTPS outcalls. By default they reach the public internet only, and servers that the
// system's certificate authorities vouch for.
type Outcalls struct {
	// Allow names what may be reached beside the public internet: ranges ("10.1.0.0/16"), addresses, or hosts by name.
	Allow []string `toml:"allow"`
	// Roots are PEM files with certificate authorities that are trusted beside the system's.
	Roots []string `toml:"roots"`
	// Parallel bounds the requests that are made at once; the default is 128.
	Parallel int `toml:"parallel"`

	// What follows is for networks of class local.

	// AllowHTTP lets requests go without TLS.
	AllowHTTP bool `toml:"allow_http"`
	// Hosts sends connections for a host to another address, host:port, whatever DNS says and wherever that is.
	Hosts map[string]string `toml:"hosts"`
}

// Peer is where another replica listens.
type Peer struct {
	Consensus string `toml:"consensus"`
	Gossip    string `toml:"gossip"`
}

// SecretURL is a URL that may hold a key. It is never shown, whatever the verb.
type SecretURL string

// Format implements fmt.Formatter.
func (SecretURL) Format(f fmt.State, _ rune) { redact.Format(f, "a URL") }

// LogValue is what a log shows.
func (SecretURL) LogValue() slog.Value { return slog.StringValue("a URL") }

// Duration is a time.Duration in text form.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// File names in a replica's data directory.
const (
	ConfigFile  = "config.toml"
	GenesisFile = "genesis.json"
	// RecoveryFile is the document of the last recovery of the subnet from a backup; absent before the first.
	RecoveryFile = "recovery.json"
)

// ErrConfig is wrapped by every refusal of a configuration.
var ErrConfig = errors.New("invalid configuration")

// EnsureDefaults fills what was left out.
func (c *Config) EnsureDefaults() {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.HTTP, "127.0.0.1:4943")
	def(&c.Admin, c.adminSocket())
	def(&c.LogLevel, "info")
	def(&c.Dashboard, string(face.ReadOnly))
	if c.CommitWait == 0 {
		c.CommitWait = Duration(300 * time.Millisecond)
	}
	if c.ProposeWait == 0 {
		c.ProposeWait = Duration(2 * time.Second)
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = 10_000
	}
	if len(c.AllowedHosts) == 0 {
		c.AllowedHosts = []string{"localhost", ".localhost", "127.0.0.1", "::1"}
	}
}

func (c *Config) adminSocket() string { return filepath.Join(c.Dir, "admin.sock") }

// domains are the names below which canisters have hosts of their own.
func (c *Config) domains() []string {
	var out []string
	for _, h := range c.AllowedHosts {
		if d, ok := strings.CutPrefix(h, "."); ok {
			out = append(out, strings.ToLower(d))
		}
	}
	return out
}

// Validate refuses what cannot run; n is the number of replicas in the genesis document. The error names everything that is wrong.
func (c *Config) Validate(n int) error {
	if c.Dir == "" {
		return fmt.Errorf("%w: no data directory", ErrConfig)
	}
	problems := c.settingsProblems()
	if p := (Problem{}); errors.As(c.fitsPeers(n), &p) {
		problems = append(problems, p)
	}
	return refuse(problems)
}

// refuse makes one error of problems, nil of none.
func refuse(problems []Problem) error {
	var texts []string
	for _, p := range problems {
		texts = append(texts, fmt.Sprintf("%v (%s)", p, p.Next))
	}
	if texts == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrConfig, strings.Join(texts, "; "))
}

// LoadConfig reads dir/config.toml, or path when it names a file; unknown keys are refused.
func LoadConfig(path string) (*Config, error) {
	c, _, unknown, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		p := unknown[0]
		return nil, fmt.Errorf("%w: %s: line %d: unknown key %s; %s", ErrConfig, configPath(path), p.Line, p.Key, p.Next)
	}
	c.EnsureDefaults()
	return c, nil
}

// secretURLs says that the file holds URLs or headers with keys.
func (c *Config) secretURLs() bool {
	return len(c.Ethereum.Providers) > 0 || len(c.Ethereum.Beacon) > 0 || c.OTLPEndpoint != ""
}

// Save writes the configuration to its directory, with every key explained (Text).
func (c *Config) Save() error {
	out := *c
	if out.Admin == out.adminSocket() { // which follows the directory when it is moved
		out.Admin = ""
	}
	text, err := out.Text()
	if err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if c.secretURLs() {
		mode = 0o600
	}
	return writeFile(filepath.Join(c.Dir, ConfigFile), []byte(text), mode)
}

// Files of the two node keys, each an Ed25519 seed in hexadecimal.
const (
	nodeKeyFile      = "node_key"
	validatorKeyFile = "validator_key"
)

// NewNodeKeys makes the keys of a replica in dir and returns their public halves. Existing keys are kept.
func NewNodeKeys(dir string) (node, validator ed25519.PublicKey, err error) {
	var out [2]ed25519.PublicKey
	for i, name := range []string{nodeKeyFile, validatorKeyFile} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			seed := make([]byte, ed25519.SeedSize)
			if _, err := rand.Read(seed); err != nil {
				return nil, nil, fmt.Errorf("making %s: %w", path, err)
			}
			if err := writeFile(path, []byte(hex.EncodeToString(seed)+"\n"), 0o600); err != nil {
				return nil, nil, err
			}
		}
		key, err := loadKey(path)
		if err != nil {
			return nil, nil, err
		}
		out[i] = key.Public().(ed25519.PublicKey)
	}
	return out[0], out[1], nil
}

func loadKey(path string) (ed25519.PrivateKey, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading node key: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is readable by others (mode %v); run chmod 600 on it", path, st.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading node key: %w", err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is not a node key: want %d bytes in hexadecimal", path, ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// writeFile writes a file durably.
func writeFile(path string, b []byte, mode os.FileMode) error {
	if err := durable.Replace(durable.OS{}, path, b, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
