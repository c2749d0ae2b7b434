package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fusion/replica/genesis"
	"fusion/replica/outcalls"
)

func ethereumConfig(dir string) *Config {
	c := &Config{Dir: dir, Consensus: "127.0.0.1:1", Gossip: "127.0.0.1:2", Ethereum: Ethereum{Providers: []EthereumProvider{
		{URL: "https://one.example/v2/SECRETKEY", Operator: "one"},
		{URL: "https://two.example/", Headers: map[string]string{"Authorization": "Bearer SECRETKEY"}},
		{URL: "https://two.example/other"},
	}, Beacon: []string{"https://beacon.example/SECRETKEY"}, Checkpoint: "0x" + strings.Repeat("ab", 32)}}
	c.EnsureDefaults()
	return c
}

func TestEthereumSettings(t *testing.T) {
	c := ethereumConfig(t.TempDir())
	if err := c.Validate(1); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Ethereum.operators()); n != 2 || c.Ethereum.quorum() != 1 || !c.Ethereum.verify() {
		t.Errorf("%d operators, quorum %d, verify %v", n, c.Ethereum.quorum(), c.Ethereum.verify())
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(c.Dir, ConfigFile))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("a file with keys has mode %v, %v", st.Mode(), err)
	}
	back, err := LoadConfig(c.Dir)
	if err != nil || len(back.Ethereum.Providers) != 3 || back.Ethereum.Providers[1].Headers["Authorization"] != "Bearer SECRETKEY" {
		t.Errorf("read back: %v, %v", back, err)
	}

	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c.Ethereum, "provider", c.Ethereum.Providers[0])
	for _, shown := range []string{log.String(), fmt.Sprintf("%v %+v %#v %s", c.Ethereum, *c, c.Ethereum.Providers, c.Ethereum.Providers[1])} {
		if strings.Contains(shown, "SECRETKEY") {
			t.Errorf("a key is shown: %s", shown)
		}
	}
}

func TestEthereumSettingsRefused(t *testing.T) {
	for want, change := range map[string]func(*Ethereum){
		"providers[0].url: it cannot":  func(e *Ethereum) { e.Providers[0].URL = "https://SECRETKEY%zz\x00" },
		"providers[0].url: it begins":  func(e *Ethereum) { e.Providers[0].URL = "ftp://one.example/SECRETKEY" },
		"providers[0].url: it names":   func(e *Ethereum) { e.Providers[0].URL = "https:///SECRETKEY" },
		"providers[0].url: it holds":   func(e *Ethereum) { e.Providers[0].URL = "https://me:SECRETKEY@one.example/" },
		"providers[1].url stands":      func(e *Ethereum) { e.Providers[1].URL = e.Providers[0].URL },
		"providers[0].operator":        func(e *Ethereum) { e.Providers[0].Operator = "a\nb" },
		"providers[0].headers: one":    func(e *Ethereum) { e.Providers[0].Headers = map[string]string{"A": "b\r\nSECRETKEY: c"} },
		"quorum is 2, and":             func(e *Ethereum) { e.Quorum = 2 },
		"quorum is 3":                  func(e *Ethereum) { e.Quorum = 3 },
		"beacon[0]: it":                func(e *Ethereum) { e.Beacon[0] = "SECRETKEY" },
		"checkpoint is not 32":         func(e *Ethereum) { e.Checkpoint = "" },
		"checkpoint is set without":    func(e *Ethereum) { e.Beacon = nil },
		"providers: 33, at most 32":    func(e *Ethereum) { e.Providers = make([]EthereumProvider, 33) },
		"providers[0].headers: 17, at": func(e *Ethereum) { e.Providers[0].Headers = manyHeaders(17) },
	} {
		c := ethereumConfig(t.TempDir())
		change(&c.Ethereum)
		err := c.Validate(1)
		if err == nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "ethereum."+want) || strings.Contains(err.Error(), "SECRETKEY") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func manyHeaders(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("X-%d", i)] = "y"
	}
	return out
}

func TestEthereumSettingsFitTheNetwork(t *testing.T) {
	one := Ethereum{Providers: []EthereumProvider{{URL: "http://127.0.0.1:8545"}}}
	public := &genesis.Doc{Class: genesis.Public, Ethereum: &genesis.Ethereum{ChainID: 1}}
	if err := one.fits(&genesis.Doc{Class: genesis.Local, Ethereum: &genesis.Ethereum{ChainID: genesis.GethChainID}}); err != nil {
		t.Error(err)
	}
	if err := one.fits(&genesis.Doc{Class: genesis.Local}); !errors.Is(err, ErrConfig) {
		t.Errorf("providers without a chain: %v", err)
	}
	if err := one.fits(public); !errors.Is(err, ErrConfig) {
		t.Errorf("one operator on a public network: %v", err)
	}
	if err := (&Ethereum{}).fits(public); err != nil {
		t.Error(err)
	}
	two := ethereumConfig(t.TempDir()).Ethereum
	if err := two.fits(public); err != nil { // with a light client
		t.Error(err)
	}
	two.Beacon, two.Checkpoint = nil, ""
	if err := two.fits(public); !errors.Is(err, ErrConfig) {
		t.Errorf("two operators, one of which is believed: %v", err)
	}
	two.Providers = append(two.Providers, EthereumProvider{URL: "https://three.example"})
	if err := two.fits(public); err != nil || two.quorum() != 2 {
		t.Error(err)
	}
}

// client makes the client of a replica that is not running.
func client(t *testing.T, doc *genesis.Doc, set Ethereum) (*outcaller, error) {
	t.Helper()
	r := &Replica{cfg: Config{Dir: t.TempDir(), Ethereum: set}, doc: doc, log: slog.New(slog.DiscardHandler), metrics: newMetrics(0)}
	r.ctx, r.cancel = context.WithCancel(t.Context())
	c, err := newEthereumClient(r)
	o := &outcaller{r: r, chain: c}
	t.Cleanup(func() {
		if c != nil {
			r.opened(c.Close)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return o, err
}

func TestEthereumClient(t *testing.T) {
	dev := &genesis.Doc{Class: genesis.Local, Ethereum: &genesis.Ethereum{ChainID: genesis.GethChainID}}
	mainnet := &genesis.Doc{Class: genesis.Public, Ethereum: &genesis.Ethereum{ChainID: 1}}
	set := ethereumConfig(t.TempDir()).Ethereum
	set.Beacon[0] = "http://127.0.0.1:1/SECRETKEY" // nobody listens there

	o, err := client(t, dev, Ethereum{})
	if err != nil || o.chain != nil {
		t.Fatalf("without providers: %v, %v", o.chain, err)
	}
	if s := o.ethereumStatus(); s.Healthy || !strings.Contains(s.Sentence, "no Ethereum providers are configured for chain 1337") {
		t.Errorf("%+v", s)
	}
	if a := o.noProviders(); a.RejectCode != 2 || !strings.Contains(a.RejectMessage, "ethereum.providers") {
		t.Errorf("%+v", a)
	}
	if o, err = client(t, mainnet, set); err != nil {
		t.Fatal(err)
	}
	s := o.ethereumStatus()
	if !s.Healthy || len(s.Providers) != 3 || s.Providers[0].Operator != "one" || s.Providers[1].Operator != "two.example" || strings.Contains(fmt.Sprintf("%+v", s), "SECRETKEY") {
		t.Errorf("%+v", s)
	}
	families, err := o.r.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "fusion_ethereum_provider_") {
			seen++
			if len(f.GetMetric()) != 3 {
				t.Errorf("%s has %d series", f.GetName(), len(f.GetMetric()))
			}
		}
		if strings.Contains(f.String(), "SECRETKEY") {
			t.Errorf("a key is shown: %s", f)
		}
	}
	if seen != len(providerHelp) {
		t.Errorf("%d metrics of providers", seen)
	}
	if _, err := client(t, dev, set); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "beacon") {
		t.Errorf("a beacon chain of a development chain: %v", err)
	}
}

func TestHeightOfServices(t *testing.T) {
	h := func(list ...uint64) (out []*uint64) {
		for _, v := range list {
			if v == 0 {
				out = append(out, nil)
			} else {
				out = append(out, &v)
			}
		}
		return out
	}
	for _, c := range []struct {
		seen  []*uint64
		known int
		want  uint64
	}{
		{h(10, 12, 11), 3, 10}, {h(10, 12, 11), 2, 11}, {h(10, 12, 11), 1, 12}, {h(10, 0, 11), 2, 10}, {h(10, 0, 11), 3, 10}, {h(0, 0, 7), 2, 7}, {h(5), 0, 5},
		{h(10, 1, 11), 2, 10}, {h(10, 1<<60, 11), 2, 11}, // one of three lies
	} {
		a := heightOf(c.seen, c.known)
		if got, err := outcalls.ReadHeight(a.Reply); err != nil || got != c.want {
			t.Errorf("%v known to %d: %d, %v, want %d", c.seen, c.known, got, err, c.want)
		}
	}
	if a := heightOf(h(0, 0), 1); a.RejectCode != 2 {
		t.Errorf("%+v", a)
	}
}
