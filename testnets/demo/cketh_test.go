package demo

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fusion/adapters/ethereum/anvil"
	"fusion/chainkey"
	"fusion/replica/genesis"
	"fusion/testnets"
)

// TestCkETH tells the story on networks of their own, one on each kind of chain; it belongs to the real tier.
func TestCkETH(t *testing.T) {
	if os.Getenv("FUSION_E2E") == "" {
		t.Skip("the real tier runs with `make e2e`, which sets FUSION_E2E")
	}
	for _, c := range []struct{ kind, scheme string }{{testnets.EthereumGeth, ""}, {testnets.EthereumAnvil, ""}, {testnets.EthereumGeth, genesis.Idkg}} {
		kind := c.kind
		t.Run(strings.TrimSuffix(kind+"/"+c.scheme, "/"), func(t *testing.T) {
			if _, err := anvil.Find(); kind == testnets.EthereumAnvil && err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
			defer cancel()
			n := network(ctx, t, kind, c.scheme)
			if err := CkETH(ctx, n, Options{Out: io.Discard, Progress: logProgress{t}}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// network makes and runs a network of four that follows an Ethereum chain and has the one key that is needed.
func network(ctx context.Context, t *testing.T, ethereum, scheme string) *testnets.Network {
	t.Helper()
	dir, err := os.MkdirTemp("", "fn") // the names of t.TempDir are too long for Unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if _, err := testnets.Create(dir, testnets.Settings{Ethereum: ethereum, Scheme: scheme, Keys: []chainkey.KeyID{testnets.EcdsaKey}}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, testnets.LogFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Log: slog.New(slog.NewTextHandler(f, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.WaitKeys(ctx); err != nil {
		t.Fatal(err)
	}
	return n
}
