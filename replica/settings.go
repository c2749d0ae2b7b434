package replica

import (
	"bytes"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Setting documents one key of a configuration, as the file itself shows it; docs/operate.md says more.
type Setting struct {
	// Name is the key with its tables, such as "limits.rate". Keys of a list of tables are written after "[]".
	Name string
	// Default is what the replica takes where the key is left out, in TOML; empty where there is none.
	Default string
	// Example is a value in TOML for a key without default.
	Example string
	// Meaning is what it does, with its unit.
	Meaning string
}

// Settings are all keys of Config, in the order in which they are written: keys of a table follow those outside of it.
var Settings = []Setting{
	{"http", `"127.0.0.1:4943"`, "", "public HTTP interface, host:port; /health, /ready and /metrics are there, too"},
	{"consensus", "", `"10.0.0.3:4944"`, "host:port of the consensus transport, for the other replicas only"},
	{"gossip", "", `"10.0.0.3:4945"`, "host:port for shares, ceremonies and calls, for the other replicas only"},
	{"admin", `"admin.sock"`, "", "Unix socket of the operator, mode 0600, at most 107 bytes; the default lies in this directory"},
	{"node", "0", "", "number of a replica that joined later, as fusion node list announces it; replicas of the genesis document need none"},
	{"dashboard", `"read-only"`, "", "web page at /: off, read-only, or wallet, which is for development networks on loopback"},
	{"allowed_hosts", `["localhost", ".localhost", "127.0.0.1", "::1"]`, "", "values of the Host header that are answered; one that begins with a dot stands for the names below it"},
	{"bitcoin_peers", "", `["10.0.0.9:8333"]`, "Bitcoin nodes to speak to, host:port; without any, public networks are looked up in the DNS"},
	{"commit_wait", `"300ms"`, "", "wait for late votes before the next block: a duration, which paces the network"},
	{"propose_wait", `"2s"`, "", "wait for a proposal before the next proposer's turn: a duration"},
	{"snapshot_every", "10000", "", "blocks from one snapshot of the state to the next, the same on all replicas; -1: none"},
	{"seal_keys_with", "", `"/etc/fusion/node3.age"`, "file with the age identity that seals keys/, outside this directory, mode 0600; this or seal_keys_by unless the class is local"},
	{"seal_keys_by", "", `["/usr/local/libexec/fusion-seal"]`, "command, with arguments, that keeps that identity instead"},
	{"log_level", `"info"`, "", "debug, info, warn or error"},
	{"otlp_endpoint", "", `"http://127.0.0.1:4318"`, "OpenTelemetry collector that is sent what becomes of calls, over OTLP/HTTP; without one nothing is sent"},

	{"peers[].consensus", "", `"10.0.0.3:4944"`, "where each replica of the genesis document has consensus, in its order, this one included"},
	{"peers[].gossip", "", `"10.0.0.3:4945"`, "where it has gossip"},

	{"limits.client_rate", "1000.0", "", "requests per second of one client, twice as many at once; -1: no limit"},
	{"limits.rate", "", "20000.0", "requests per second of all clients; the default is 10,000 per processor, -1: no limit"},
	{"limits.proxies", "", `["10.0.0.0/24"]`, "addresses or ranges of proxies in front, whose X-Forwarded-For is believed"},

	{"outcalls.allow", "", `["10.1.0.0/16", "metrics.internal"]`, "what canisters may reach from this machine beside the public internet: ranges, addresses, hosts; the same on all replicas"},
	{"outcalls.roots", "", `["/etc/fusion/authority.pem"]`, "PEM files with certificate authorities that are trusted beside the system's"},
	{"outcalls.parallel", "128", "", "HTTPS outcalls made at once; one canister gets an eighth"},
	{"outcalls.allow_http", "false", "", "class local only: outcalls without TLS"},
	{"outcalls.hosts", "", `{ "api.example" = "127.0.0.1:8443" }`, "class local only: connect to this address, host:port, for a host"},

	{"ethereum.quorum", "", "2", "different operators of providers that must say the same; the default is more than half of them"},
	{"ethereum.verify", "true", "", "also check logs and receipts against the headers of their blocks"},
	{"ethereum.beacon", "", `["https://beacon.example"]`, "beacon endpoints of a light client that follows what is final"},
	{"ethereum.checkpoint", "", `"0x<64 digits>"`, "root of the finalized beacon block that it starts from, at most two weeks old; from a source that you trust"},
	{"ethereum.providers[].url", "", `"https://rpc.example/v2/KEY"`, "JSON-RPC endpoint, http or https; never shown, it usually holds a key"},
	{"ethereum.providers[].operator", "", `"example"`, "who runs it; the default is the host's name. Two endpoints of one operator count once"},
	{"ethereum.providers[].headers", "", `{ Authorization = "Bearer KEY" }`, "headers to send; never shown"},
}

// Text is the configuration as a file: every key with its meaning and its default, those that are not set as comments.
func (c *Config) Text() (string, error) {
	w := &settingsWriter{}
	w.b.WriteString("# Configuration of one fusion replica. A key that is commented out has the default that is shown, or none and then shows an example.\n" +
		"# Durations are written like \"300ms\". Unknown keys are refused. Check the file before a restart: fusion config check FILE\n")
	for at := 0; at < len(Settings); {
		table, _ := Settings[at].split()
		n := 1
		for at+n < len(Settings) {
			if t, _ := Settings[at+n].split(); t != table {
				break
			}
			n++
		}
		if err := w.table(c, table, Settings[at:at+n]); err != nil {
			return "", err
		}
		at += n
	}
	return w.b.String(), nil
}

// split is the table and the key of a setting; a list of tables ends in "[]".
func (s *Setting) split() (table, key string) {
	i := strings.LastIndexByte(s.Name, '.')
	return s.Name[:max(i, 0)], s.Name[i+1:]
}

type settingsWriter struct{ b strings.Builder }

// table writes the keys of one table, or of each entry of a list of tables.
func (w *settingsWriter) table(c *Config, name string, keys []Setting) error {
	v := reflect.ValueOf(c).Elem()
	list, isList := strings.CutSuffix(name, "[]")
	for part := range strings.SplitSeq(list, ".") {
		if part != "" {
			v = field(v, part)
		}
	}
	switch {
	case !isList && name != "":
		fmt.Fprintf(&w.b, "\n[%s]\n", name)
	case isList:
		fmt.Fprintln(&w.b)
		for _, s := range keys {
			_, key := s.split()
			fmt.Fprintf(&w.b, "# %s.%s: %s\n", list, key, s.Meaning)
		}
		if v.Len() == 0 {
			fmt.Fprintf(&w.b, "# [[%s]]\n", list)
			for _, s := range keys {
				_, key := s.split()
				fmt.Fprintf(&w.b, "# %s = %s\n", key, s.Example)
			}
		}
		for i := range v.Len() {
			fmt.Fprintf(&w.b, "[[%s]]\n", list)
			for _, s := range keys {
				_, key := s.split()
				if f := field(v.Index(i), key); !unset(f) {
					if err := w.value(key, f); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	for _, s := range keys {
		_, key := s.split()
		fmt.Fprintf(&w.b, "\n# %s\n", s.Meaning)
		switch f := field(v, key); {
		case !unset(f):
			if err := w.value(key, f); err != nil {
				return err
			}
			if s.Default != "" {
				fmt.Fprintf(&w.b, "# default: %s\n", s.Default)
			}
		case s.Default != "":
			fmt.Fprintf(&w.b, "# %s = %s\n", key, s.Default)
		default:
			fmt.Fprintf(&w.b, "# no default; example:\n# %s = %s\n", key, s.Example)
		}
	}
	return nil
}

// unset says that a value is what leaving the key out gives.
func unset(v reflect.Value) bool {
	return v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

// field is the field of a structure with a TOML key.
func field(v reflect.Value, key string) reflect.Value {
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ","); name == key {
			return v.Field(i)
		}
	}
	panic("replica: no setting " + key)
}

// value writes key = value on one line.
func (w *settingsWriter) value(key string, v reflect.Value) error {
	line := func(k string, v any) (string, error) {
		var b bytes.Buffer
		if err := toml.NewEncoder(&b).Encode(map[string]any{k: v}); err != nil {
			return "", fmt.Errorf("encoding %s: %w", key, err)
		}
		return strings.TrimSuffix(b.String(), "\n"), nil
	}
	if v.Kind() != reflect.Map {
		text, err := line(key, v.Interface())
		fmt.Fprintln(&w.b, text)
		return err
	}
	var parts []string
	for k, e := range v.Seq2() {
		part, err := line(k.String(), e.Interface())
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	slices.Sort(parts)
	fmt.Fprintf(&w.b, "%s = { %s }\n", key, strings.Join(parts, ", "))
	return nil
}

// Masked is a copy that holds no secret: of URLs of providers and of the collector only scheme and host are left, of headers only the names.
func (c *Config) Masked() *Config {
	out := *c
	mask := func(text string) string {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return "***"
		}
		return u.Scheme + "://" + u.Host + "/***"
	}
	out.Ethereum.Providers = slices.Clone(c.Ethereum.Providers)
	for i := range out.Ethereum.Providers {
		p := &out.Ethereum.Providers[i]
		p.URL = mask(p.URL)
		headers := map[string]string{}
		for name := range p.Headers {
			headers[name] = "***"
		}
		p.Headers = headers
	}
	out.Ethereum.Beacon = slices.Clone(c.Ethereum.Beacon)
	for i, b := range out.Ethereum.Beacon {
		out.Ethereum.Beacon[i] = mask(b)
	}
	if out.OTLPEndpoint != "" {
		out.OTLPEndpoint = SecretURL(mask(string(out.OTLPEndpoint)))
	}
	return &out
}
