package replica

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fusion/ic/principal"
	"fusion/replica/genesis"
)

// checked is a directory of a replica with a configuration: of a network of one, or of a public one of four, whose peers are added.
func checked(t *testing.T, class genesis.Class, config string) string {
	t.Helper()
	dir := t.TempDir()
	doc := &genesis.Doc{Version: genesis.Version, ChainID: "check-1", Class: class, TimeNs: uint64(time.Now().UnixNano()), Ethereum: &genesis.Ethereum{ChainID: 1337},
		CanisterRanges: []genesis.Range{{First: principal.FromUint64(1), Last: principal.FromUint64(9)}},
		BlockMaxBytes:  5 << 20, DKGPhaseBlocks: 40, SigningDeadlineBlocks: 60, KeygenDeadlineBlocks: 1200, SigningParallel: 4}
	nodes := 1
	if class != genesis.Local {
		nodes, doc.Ethereum.ChainID = 4, 1
		doc.Governance = &genesis.Governance{TimeLockSeconds: genesis.MinTimeLock, ProposalSeconds: 7 * 24 * 3600}
		for i := range byte(genesis.MinOperators) {
			doc.Governance.Operators = append(doc.Governance.Operators, principal.SelfAuthenticating([]byte{i}))
		}
	}
	for i := range nodes {
		at := dir
		if i > 0 {
			at = t.TempDir()
			config += fmt.Sprintf("[[peers]]\nconsensus = '10.0.0.%d:2'\ngossip = '10.0.0.%[1]d:3'\n", i)
		}
		node, validator, err := NewNodeKeys(at)
		if err != nil {
			t.Fatal(err)
		}
		doc.Nodes = append(doc.Nodes, genesis.Node{NodeKey: genesis.Hex(node), ValidatorKey: genesis.Hex(validator)})
	}
	if class != genesis.Local {
		config += "[[peers]]\nconsensus = '10.0.0.9:2'\ngossip = '10.0.0.9:3'\n"
	}
	if err := doc.Save(filepath.Join(dir, GenesisFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const inOrder = "http = '127.0.0.1:1'\nconsensus = '10.0.0.1:2'\ngossip = '10.0.0.1:3'\n"

func TestCheckConfig(t *testing.T) {
	write := func(t *testing.T, name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const provider = "[[ethereum.providers]]\nurl = '%s'\noperator = '%s'\n"
	two := fmt.Sprintf(provider, "https://a.example/KEY", "a") + fmt.Sprintf(provider, "https://b.example/KEY", "b")
	for name, c := range map[string]struct {
		class  genesis.Class // local if empty
		config string
		change func(dir string) error
		want   []string // "line key what"
	}{
		"in order": {config: inOrder + two},
		"all at once": {config: "http = 'x'\nconsensus = '10.0.0.1:99999'\ngossip = '10.0.0.1:3'\ncommit_wiat = '1s'\nlog_level = 'loud'\n[limits]\nrates = 1\n", want: []string{
			`1 http is "x": want host:port`, "2 consensus", "4 commit_wiat is no setting; did you mean commit_wait?", "5 log_level", "7 limits.rates is no setting; did you mean limits.rate?"}},
		"without its table": {config: inOrder + "client_rate = 5\n", want: []string{"4 client_rate is no setting; did you mean limits.client_rate, in the table [limits]?"}},
		"nothing like it":   {config: inOrder + "xyzzy = 5\n", want: []string{"4 xyzzy is no setting; take it out"}},
		"missing":           {want: []string{"0 consensus", "0 gossip"}},
		"ports clash":       {config: "http = '0.0.0.0:2'\nconsensus = '10.0.0.1:2'\ngossip = '10.0.0.1:3'\n", want: []string{"2 consensus is 10.0.0.1:2, where http listens"}},
		"peers clash": {config: inOrder + "[[peers]]\nconsensus = 'a:1'\ngossip = 'a:2'\n[[peers]]\nconsensus = 'b:1'\ngossip = 'a:2'\n",
			want: []string{"9 peers[1].gossip is a:2, as peers[0].gossip"}},
		"bitcoin peer":   {config: inOrder + "bitcoin_peers = ['a:1', 'b']\n", want: []string{`4 bitcoin_peers[1] is "b": want host:port`}},
		"provider's URL": {config: inOrder + two + fmt.Sprintf(provider, "ftp://c.example/SECRET", "c"), want: []string{"11 ethereum.providers[2].url: it begins neither"}},
		"quorum":         {config: inOrder + "[ethereum]\nquorum = 2\n" + two, want: []string{"5 ethereum.quorum is 2"}},
		"others may read the providers": {config: inOrder + two, change: func(dir string) error { return os.Chmod(filepath.Join(dir, ConfigFile), 0o644) },
			want: []string{"0 config.toml names Ethereum providers"}},
		"others may read the key": {config: inOrder, change: func(dir string) error { return os.Chmod(filepath.Join(dir, nodeKeyFile), 0o640) }, want: []string{"0 node_key cannot be used"}},
		"no key":                  {config: inOrder, change: func(dir string) error { return os.Remove(filepath.Join(dir, validatorKeyFile)) }, want: []string{"0 validator_key is missing"}},
		"no genesis":              {config: inOrder, change: func(dir string) error { return os.Remove(filepath.Join(dir, GenesisFile)) }, want: []string{"0 genesis.json cannot be used"}},
		"key store is open": {config: inOrder, change: func(dir string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, keysDir), 0o700), os.Chmod(filepath.Join(dir, keysDir), 0o755))
		}, want: []string{"0 keys can be entered"}},
		"no authority": {config: inOrder + "[outcalls]\nroots = ['" + write(t, "ca.pem", "x", 0o644) + "']\n", want: []string{"5 outcalls.roots holds no certificate"}},
		"not sealed":   {class: genesis.Public, config: inOrder, want: []string{"0 seal_keys_with or seal_keys_by is required"}},
		"sealed with an open file": {class: genesis.Public, config: inOrder + "seal_keys_with = '" + write(t, "seal", "AGE-SECRET-KEY-1", 0o644) + "'\n",
			want: []string{"4 seal_keys_with cannot be used"}},
		"sealed by a program that others can change": {class: genesis.Public, config: inOrder + "seal_keys_by = ['" + write(t, "seal", "#!/bin/sh\n", 0o777) + "']\n",
			want: []string{"4 seal_keys_by cannot be used"}},
		"sealed twice":              {config: inOrder + "seal_keys_with = '/x'\nseal_keys_by = ['/y']\n", want: []string{"4 seal_keys_with cannot be used", "5 seal_keys_by stands beside"}},
		"wallet for everybody":      {config: strings.Replace(inOrder, "127.0.0.1", "0.0.0.0", 1) + "dashboard = 'wallet'\n", want: []string{"4 dashboard is wallet while http is 0.0.0.0:1"}},
		"wallet here":               {config: inOrder + "dashboard = 'wallet'\n"},
		"wallet on a public subnet": {class: genesis.Public, config: inOrder + "seal_keys_by = ['/bin/sh']\ndashboard = 'wallet'\n", want: []string{"5 dashboard is wallet, which is for local networks"}},
		"outcalls without TLS": {class: genesis.Public, config: inOrder + "seal_keys_by = ['/bin/sh']\n[outcalls]\nallow_http = true\n",
			want: []string{"6 outcalls.allow_http and outcalls.hosts are for local networks"}},
		"one operator": {class: genesis.Public, config: inOrder + "seal_keys_by = ['/bin/sh']\n" + fmt.Sprintf(provider, "https://a.example", "a"), want: []string{"5 ethereum.providers do not fit"}},
		"peers missing": {class: genesis.Public, config: inOrder + "seal_keys_by = ['/bin/sh']\n[[peers]]\nconsensus = '10.0.1.1:2'\ngossip = '10.0.1.1:3'\n",
			want: []string{"5 peers lists 5 replicas"}},
		"collector":   {config: inOrder + "otlp_endpoint = '127.0.0.1:4318'\n", want: []string{"4 otlp_endpoint: it "}},
		"number":      {config: inOrder + "node = -1\n", want: []string{"4 node is -1"}},
		"long socket": {config: inOrder + "admin = '/" + strings.Repeat("a", 107) + "'\n", want: []string{"4 admin is 108 bytes long"}},
	} {
		t.Run(name, func(t *testing.T) {
			class := c.class
			if class == "" {
				class = genesis.Local
			}
			dir := checked(t, class, c.config)
			if c.change != nil {
				if err := c.change(dir); err != nil {
					t.Fatal(err)
				}
			}
			_, problems, err := CheckConfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			ok := len(problems) == len(c.want)
			var got []string
			for i, p := range problems {
				got = append(got, fmt.Sprintf("%d %v; %s", p.Line, p, p.Next))
				ok = ok && strings.HasPrefix(got[i], c.want[i])
				if p.Next == "" || strings.Contains(got[i], "SECRET") || strings.Contains(got[i], "KEY") {
					t.Errorf("no next step, or a secret: %s", got[i])
				}
			}
			if !ok {
				t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	dir := checked(t, genesis.Local, "http = \n")
	if _, _, err := CheckConfig(dir); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a file that is no TOML: %v", err)
	}
	dir = checked(t, genesis.Local, inOrder+"\n[outcalls]\nparalel = 1\n")
	if _, err := LoadConfig(dir); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "line 6: unknown key outcalls.paralel; did you mean outcalls.parallel?") {
		t.Errorf("an unknown key: %v", err)
	}
}

func FuzzReadConfig(f *testing.F) {
	text, err := full().Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(text))
	f.Add([]byte("[[peers]]\n[peers]\n=\n[a.b]\nc=1"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "f.toml")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, problems, err := CheckConfig(path)
		for _, p := range problems {
			if p.Line > 1+bytes.Count(b, []byte("\n")) {
				t.Errorf("line %d of a file of %d bytes, %v", p.Line, len(b), err)
			}
		}
	})
}
