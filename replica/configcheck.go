package replica

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"fusion/adapters/https"
	"fusion/chainkey/keystore"
	"fusion/replica/genesis"
	"fusion/replica/http/face"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Key  string // the setting, or the name of a file in the directory
	What string // what is wrong with it; it holds no secret
	Next string // what to do
	Line int    // in the file, 0 if the key is not there
}

func (p Problem) Error() string {
	if strings.HasPrefix(p.What, ":") {
		return p.Key + p.What
	}
	return p.Key + " " + p.What
}

// CheckConfig reads the configuration at path, a file or a directory, and looks for everything that would keep its replica from
// starting or is dangerous, the files that it needs included. It opens no socket and changes nothing. The error says that nothing could be read.
func CheckConfig(path string) (file string, problems []Problem, err error) {
	c, text, problems, err := readConfig(path)
	if err != nil {
		return configPath(path), problems, err
	}
	c.EnsureDefaults()
	problems = append(problems, c.settingsProblems()...)
	problems = append(problems, c.openWallet()...)
	problems = append(problems, c.fileProblems()...)
	lines := settingLines(text)
	for i, p := range problems {
		key, _, _ := strings.Cut(p.Key, "[")
		problems[i].Line = cmp.Or(p.Line, lines[p.Key], lines[key])
	}
	last := strings.Count(text, "\n") + 2 // what is not in the file comes after it
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(cmp.Or(a.Line, last), cmp.Or(b.Line, last)) })
	return configPath(path), problems, nil
}

func configPath(path string) string {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return filepath.Join(path, ConfigFile)
	}
	return path
}

// readConfig decodes a file without filling in defaults; unknown keys are problems.
func readConfig(path string) (c *Config, text string, unknown []Problem, err error) {
	path = configPath(path)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, "", nil, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	c = &Config{Dir: filepath.Dir(path)}
	meta, err := toml.Decode(string(b), c)
	if err != nil {
		return nil, "", nil, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	lines := settingLines(string(b))
	for _, key := range meta.Undecoded() {
		p := Problem{Key: key.String(), What: "is no setting", Next: "take it out, or look the name up in docs/operate.md", Line: lines[key.String()]}
		if near := nearest(key.String()); near != "" {
			p.Next = "did you mean " + near + "?"
		}
		unknown = append(unknown, p)
	}
	return c, string(b), unknown, nil
}

// nearest is the known setting that is most like a name, or empty.
func nearest(name string) string {
	best, distance := "", 1+len(name)/3
	for _, s := range Settings {
		known := strings.ReplaceAll(s.Name, "[]", "")
		if d := edits(name, known); d <= distance {
			best, distance = known, d-1
		}
		if _, last, ok := cutLast(known); ok && last == name && best == "" { // a key without its table
			best = known + ", in the table [" + known[:len(known)-len(last)-1] + "]"
		}
	}
	return best
}

func cutLast(name string) (before, after string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", name, false
	}
	return name[:i], name[i+1:], true
}

// edits is the Levenshtein distance of two names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := before
			if a[i] != b[j] {
				next++
			}
			before, row[j+1] = row[j+1], min(next, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// settingLines says on which line each key stands, by its name and, in lists of tables, by its name with the index. It is made for
// messages: a text that spans lines may mislead it.
func settingLines(text string) map[string]int {
	lines, counts := map[string]int{}, map[string]int{}
	table, indexed, n := "", "", 0
	set := func(name string) {
		if lines[name] == 0 {
			lines[name] = n
		}
	}
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			list := strings.HasPrefix(line, "[[")
			name, _, _ := strings.Cut(strings.TrimLeft(line, "["), "]")
			name = strings.TrimSpace(name)
			set(name)
			table, indexed = name+".", name+"."
			if list {
				indexed = fmt.Sprintf("%s[%d].", name, counts[name])
				set(strings.TrimSuffix(indexed, "."))
				counts[name]++
			}
		default:
			key, _, ok := strings.Cut(line, "=")
			if ok {
				set(table + strings.TrimSpace(key))
				set(indexed + strings.TrimSpace(key))
			}
		}
	}
	return lines
}

// settingsProblems finds what is wrong with the settings by themselves.
func (c *Config) settingsProblems() (out []Problem) {
	bad := func(key, next, format string, args ...any) {
		out = append(out, Problem{Key: key, What: fmt.Sprintf(format, args...), Next: next})
	}
	c.addressProblems(bad)
	if _, err := https.ParseRules(c.Outcalls.Allow); err != nil {
		bad("outcalls.allow", "write ranges, addresses or names of hosts", "cannot be used: %v", err)
	}
	if c.Outcalls.Parallel < 0 {
		bad("outcalls.parallel", "leave it out for 128", "must not be negative")
	}
	for host, to := range c.Outcalls.Hosts {
		if err := address(to, false); err != nil {
			bad("outcalls.hosts", "write it like 127.0.0.1:8443", "sends %q to %q: %v", host, to, err)
		}
	}
	if _, err := c.Limits.http(); err != nil {
		bad("limits.proxies", "write addresses like 10.0.0.2 or ranges like 10.0.0.0/24", "cannot be used: %v", err)
	}
	if err := c.Ethereum.validate(); err != nil {
		key, what, _ := strings.Cut(err.Error(), " ")
		if name, ok := strings.CutSuffix(key, ":"); ok {
			key, what = name, ": "+what
		}
		bad("ethereum."+key, `correct it as docs/operate.md says in "Ethereum providers"`, "%s", what)
	}
	c.dashboardProblems(bad)
	for key, d := range map[string]Duration{"commit_wait": c.CommitWait, "propose_wait": c.ProposeWait} {
		if d < 0 {
			bad(key, "write a duration such as \"300ms\"", "must not be negative")
		}
	}
	if c.SealKeysWith != "" && len(c.SealKeysBy) > 0 {
		bad("seal_keys_by", "name one of them", "stands beside seal_keys_with")
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		bad("log_level", "take one of them", "is %q, want debug, info, warn or error", c.LogLevel)
	}
	if c.OTLPEndpoint != "" {
		if err := endpoint(string(c.OTLPEndpoint)); err != nil {
			bad("otlp_endpoint", "write it like http://127.0.0.1:4318", ": %v", err)
		}
	}
	if c.Node < 0 || c.Node >= maxNodeIndex {
		bad("node", "take the number that fusion node list shows", "is %d, want 0 to %d", c.Node, maxNodeIndex-1)
	}
	if len(c.Admin) > maxSocketPath {
		bad("admin", "choose a shorter path, such as one below /run", "is %d bytes long, a Unix socket's path has at most %d", len(c.Admin), maxSocketPath)
	}
	return out
}

// maxSocketPath is what fits sockaddr_un, unix(7): 108 bytes with the zero at the end.
const maxSocketPath = 107

// address refuses what is not host:port; port 0 takes a free one, where that is of use.
func address(text string, zero bool) error {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("want host:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && !zero {
		return fmt.Errorf("%q is no port, want 1 to 65535", port)
	}
	return nil
}

func (c *Config) addressProblems(bad func(key, next, format string, args ...any)) {
	type listener struct{ key, addr string }
	var own []listener
	for _, l := range []listener{{"http", c.HTTP}, {"consensus", c.Consensus}, {"gossip", c.Gossip}} {
		if err := address(l.addr, true); err != nil {
			bad(l.key, "write it like 10.0.0.3:4943, with the address of this machine", "is %q: %v", l.addr, err)
			continue
		}
		for _, o := range own {
			if clash(o.addr, l.addr) {
				bad(l.key, "give each a port of its own", "is %s, where %s listens", l.addr, o.key)
			}
		}
		own = append(own, l)
	}
	seen := map[string]string{}
	for i, p := range c.Peers {
		for _, l := range []listener{{"consensus", p.Consensus}, {"gossip", p.Gossip}} {
			key := fmt.Sprintf("peers[%d].%s", i, l.key)
			if err := address(l.addr, false); err != nil {
				bad(key, "write where that replica listens, host:port", "is %q: %v", l.addr, err)
			} else if other := seen[l.addr]; other != "" {
				bad(key, "two replicas, or two purposes, cannot share an address", "is %s, as %s", l.addr, other)
			} else {
				seen[l.addr] = key
			}
		}
	}
	for i, p := range c.BitcoinPeers {
		if err := address(p, false); err != nil {
			bad(fmt.Sprintf("bitcoin_peers[%d]", i), "write where a Bitcoin node listens, host:port", "is %q: %v", p, err)
		}
	}
}

// clash says that two addresses cannot both be listened on.
func clash(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	every := func(h string) bool { ip, err := netip.ParseAddr(h); return h == "" || err == nil && ip.IsUnspecified() }
	return portA == portB && portA != "0" && (hostA == hostB || every(hostA) || every(hostB))
}

// local says that a host is on this machine alone.
func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (c *Config) dashboardProblems(bad func(key, next, format string, args ...any)) {
	mode, err := face.Parse(c.Dashboard)
	switch {
	case err != nil:
		bad("dashboard", "take one of them", "is %v", err)
	case mode == face.Wallet && len(c.domains()) == 0:
		bad("dashboard", "add a name that begins with a dot to allowed_hosts, or set read-only", "is wallet, which needs a host of its own")
	}
}

// openWallet finds a wallet that others than this machine's users can reach.
func (c *Config) openWallet() []Problem {
	host, _, err := net.SplitHostPort(c.HTTP)
	if c.Dashboard != string(face.Wallet) || err != nil || local(host) {
		return nil
	}
	return []Problem{{Key: "dashboard", What: fmt.Sprintf("is wallet while http is %s, which is not loopback: a page of this replica could have its users' keys sign anything", c.HTTP),
		Next: "set read-only, or let http listen on 127.0.0.1"}}
}

// fileProblems finds what is wrong with the files that the configuration needs, and with the settings as the genesis document wants them.
func (c *Config) fileProblems() (out []Problem) {
	bad := func(key, next, format string, args ...any) {
		out = append(out, Problem{Key: key, What: fmt.Sprintf(format, args...), Next: next})
	}
	at := func(name string) string { return filepath.Join(c.Dir, name) }
	if c.secretURLs() {
		if st, err := os.Stat(at(ConfigFile)); err == nil && st.Mode().Perm()&0o077 != 0 {
			bad(ConfigFile, "chmod 600 "+at(ConfigFile), "names Ethereum providers or a collector, whose URLs hold keys, and others may read it (mode %#o)", st.Mode().Perm())
		}
	}
	for _, name := range []string{nodeKeyFile, validatorKeyFile} {
		key, err := loadKey(at(name))
		clear(key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			bad(name, "put it back from its backup; a new replica's keys are made by fusion replica init --config "+c.Dir, "is missing in %s", c.Dir)
		case err != nil:
			bad(name, "put the right file there, with mode 0600", "cannot be used: %v", err)
		}
	}
	if st, err := os.Stat(at(keysDir)); err == nil && st.Mode().Perm()&0o077 != 0 {
		bad(keysDir, "chmod 700 "+at(keysDir), "can be entered by others (mode %#o)", st.Mode().Perm())
	}
	for _, path := range c.Outcalls.Roots {
		if b, err := os.ReadFile(path); err != nil {
			bad("outcalls.roots", "name a PEM file that this user can read", "cannot be read: %v", err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(b) {
			bad("outcalls.roots", "name a PEM file with certificates", "holds no certificate: %s", path)
		}
	}
	if c.SealKeysWith != "" || len(c.SealKeysBy) > 0 {
		key := "seal_keys_with"
		if c.SealKeysWith == "" {
			key = "seal_keys_by"
		}
		if err := keystore.CheckSealing(keystore.Options{Dir: at(keysDir), IdentityFile: c.SealKeysWith, SealCommand: c.SealKeysBy}); err != nil {
			bad(key, `see "Sealing" in docs/operate.md`, "cannot be used: %v", err)
		}
	}
	doc, err := genesis.Load(at(GenesisFile))
	if err != nil {
		bad(GenesisFile, "copy it from another replica of the network", "cannot be used: %v", err)
		return out
	}
	for _, err := range []error{c.fitsPeers(len(doc.Nodes)), c.fitsClass(doc), c.Ethereum.fits(doc)} {
		if err == nil {
			continue
		}
		if p := (Problem{}); errors.As(err, &p) {
			out = append(out, p)
		} else {
			bad("ethereum.providers", `see "Ethereum providers" in docs/operate.md`, "do not fit: %v", err)
		}
	}
	return out
}

// fitsPeers refuses a list of peers that is not the genesis document's.
func (c *Config) fitsPeers(n int) error {
	if n > 1 && len(c.Peers) != n {
		return Problem{Key: "peers", What: fmt.Sprintf("lists %d replicas, the genesis document has %d", len(c.Peers), n), Next: "list all of the genesis document, in its order, this one included"}
	}
	return nil
}

// fitsClass refuses settings that are for networks of class local elsewhere.
func (c *Config) fitsClass(doc *genesis.Doc) error {
	switch {
	case doc.Class == genesis.Local:
		return nil
	case c.SealKeysWith == "" && len(c.SealKeysBy) == 0:
		return Problem{Key: "seal_keys_with", What: fmt.Sprintf("or seal_keys_by is required on a %s network", doc.Class),
			Next: fmt.Sprintf("name a file with an age identity outside %s, or a command", c.Dir)}
	case c.Outcalls.AllowHTTP || len(c.Outcalls.Hosts) > 0:
		return Problem{Key: "outcalls.allow_http", What: fmt.Sprintf("and outcalls.hosts are for local networks, this one is %s", doc.Class), Next: "take them out"}
	case c.Dashboard == string(face.Wallet):
		return Problem{Key: "dashboard", What: fmt.Sprintf("is wallet, which is for local networks, this one is %s", doc.Class), Next: "set read-only or off"}
	}
	return nil
}
