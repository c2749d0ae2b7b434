package testnets_test

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"fusion/adapters/ethereum/anvil"
	"fusion/adapters/ethereum/node"
	"fusion/chainkey"
	"fusion/eth"
	"fusion/testnets"
)

// TestEthereumChain starts networks of one replica on each kind of chain and uses the operator's interface.
func TestEthereumChain(t *testing.T) {
	if testing.Short() {
		t.Skip("starts networks")
	}
	for _, kind := range []string{testnets.EthereumGeth, testnets.EthereumAnvil} {
		t.Run(kind, func(t *testing.T) {
			if _, err := anvil.Find(); kind == testnets.EthereumAnvil && err != nil {
				if os.Getenv("FUSION_E2E") != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			testEthereumChain(t, kind)
		})
	}
}

func testEthereumChain(t *testing.T, kind string) {
	dir, err := os.MkdirTemp("", "fn") // the names of t.TempDir are too long for Unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	m, err := testnets.Create(dir, testnets.Settings{Nodes: 1, Ethereum: kind, Keys: []chainkey.KeyID{}, CommitWait: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := testnets.DialAdmin(dir)
	if err != nil {
		t.Fatal(err)
	}
	bob := eth.Address{19: 0xb0}
	text := bob.String()
	sent, err := a.SendEthereum(ctx, testnets.EthereumSend{To: &text, Wei: "7"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := n.Ethereum().Client().BalanceAt(ctx, common.Address(bob), nil); err != nil || got.Cmp(big.NewInt(7)) != 0 {
		t.Fatalf("bob has %v wei, %v", got, err)
	}
	if h, err := a.MineEthereum(ctx, 3); err != nil || h < sent.Block+3 {
		t.Fatalf("mined to %d, %v", h, err)
	}
	if f, err := n.Ethereum().Finalized(ctx); err != nil || f < sent.Block {
		t.Fatalf("%d is final after three more blocks, %v; the payment is in %d", f, err, sent.Block)
	}
	// A contract whose constructor reverts is refused before it costs anything.
	if _, err := n.Ethereum().Faucet(ctx, nil, nil, []byte{0x5f, 0x5f, 0xfd}); err == nil {
		t.Fatal("a creation that reverts")
	}
	if _, err := n.Ethereum().Faucet(ctx, &bob, new(uint256.Int).Not(new(uint256.Int)), nil); err == nil {
		t.Fatal("the faucet paid 2^256-1 wei")
	}
	s, err := a.Status(ctx)
	if err != nil || s.EthereumChain == nil || s.EthereumChain.Error != "" || s.EthereumChain.ChainID != m.Ethereum.ChainID || s.EthereumChain.Height < sent.Block {
		t.Fatalf("status: %+v, %v", s.EthereumChain, err)
	}
}

func TestEthereumSettings(t *testing.T) {
	own, err := node.Start(node.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	m, err := testnets.Create(t.TempDir(), testnets.Settings{Nodes: 1, Ethereum: own.URL()})
	if err != nil || m.Ethereum.Kind != testnets.EthereumExternal || m.Ethereum.ChainID != node.ChainID || m.Ethereum.URL != own.URL() {
		t.Fatalf("somebody else's node: %+v, %v", m, err)
	}
	for _, bad := range []string{"mainnet", "ftp://127.0.0.1:1", "http://127.0.0.1:1"} {
		if _, err := testnets.Create(t.TempDir(), testnets.Settings{Nodes: 1, Ethereum: bad}); !errors.Is(err, testnets.ErrEthereumURL) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	t.Setenv("ANVIL_BIN", "")
	t.Setenv("PATH", "")
	if _, err := testnets.Create(t.TempDir(), testnets.Settings{Nodes: 1, Ethereum: testnets.EthereumAnvil}); err != nil && !errors.Is(err, anvil.ErrNotFound) {
		t.Error(err)
	}
}
