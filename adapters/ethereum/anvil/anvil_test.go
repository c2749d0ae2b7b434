package anvil

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/holiman/uint256"

	"fusion/eth"
)

func TestListensOnLoopbackOnly(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "192.0.2.1:8545", ":8545", "localhost"} {
		if p, err := Start(t.Context(), Config{Bin: "/bin/true", Dir: t.TempDir(), Listen: listen}); err == nil {
			p.Close()
			t.Errorf("started on %q", listen)
		}
	}
}

func TestProgramThatEnds(t *testing.T) {
	if _, err := Start(t.Context(), Config{Bin: "/bin/true", Dir: t.TempDir()}); !errors.Is(err, ErrExited) {
		t.Errorf("%v, want %v", err, ErrExited)
	}
}

func start(t *testing.T, cfg Config) *Process {
	t.Helper()
	if os.Getenv("ANVIL_BIN") == "" {
		if os.Getenv("FUSION_E2E") != "" {
			t.Fatal("ANVIL_BIN names no anvil program")
		}
		t.Skip("ANVIL_BIN names no anvil program; make e2e installs one")
	}
	bin, err := Find()
	check(t, err)
	cfg.Bin = bin
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p, err := Start(ctx, cfg)
	check(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	return p
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAnvil has the real program mine, say what is final, replace blocks that are not and such that are, and go back to a snapshot.
func TestAnvil(t *testing.T) {
	p := start(t, Config{Dir: t.TempDir(), Slots: 2})
	ctx := t.Context()
	height := func(tag string, want uint64) {
		t.Helper()
		if got, err := p.Height(ctx, tag); err != nil || got != want {
			t.Fatalf("%s is %d, %v; want %d", tag, got, err, want)
		}
	}
	check(t, p.Mine(ctx, 10))
	height("latest", 10)
	height("safe", 8)
	height("finalized", 6)

	a := eth.Address{1, 19: 1}
	balance := func(want uint64) {
		t.Helper()
		if got, err := p.Balance(ctx, a); err != nil || !got.Eq(uint256.NewInt(want)) {
			t.Fatalf("balance %v, %v; want %d", got, err, want)
		}
	}
	check(t, p.SetBalance(ctx, a, uint256.NewInt(5)))
	balance(5)
	id, err := p.Snapshot(ctx)
	check(t, err)
	var accounts []string
	check(t, p.Call(ctx, &accounts, "eth_accounts"))
	check(t, p.Call(ctx, nil, "eth_sendTransaction", map[string]string{"from": accounts[0], "to": a.String(), "value": "0x2"}))
	for { // it is mined in a moment
		if n, err := p.Height(ctx, "latest"); err != nil || n == 11 {
			check(t, err)
			break
		}
	}
	balance(7)
	check(t, p.Reorg(ctx, 1))
	height("latest", 11)
	balance(5)

	check(t, p.Revert(ctx, id))
	height("latest", 10)
	if err := p.Revert(ctx, id); err == nil {
		t.Error("a snapshot serves twice")
	}

	final := p.hash(ctx, t, 7)
	check(t, p.Reorg(ctx, 5))
	if p.hash(ctx, t, 7) == final {
		t.Error("a final block is not replaced")
	}
	var rejected *RPCError
	if err := p.Call(ctx, nil, "eth_nonsense"); !errors.As(err, &rejected) || rejected.Code != -32601 {
		t.Errorf("a method that there is not: %v", err)
	}
}

// TestKeep ends the program and starts it again: the chain goes on.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	a := eth.Address{1, 19: 1}
	p := start(t, Config{Dir: dir, Keep: true, ChainID: 1337})
	check(t, p.SetBalance(ctx, a, uint256.NewInt(5)))
	check(t, p.Mine(ctx, 3))
	check(t, p.Close())
	if _, err := p.Height(ctx, "latest"); err == nil {
		t.Error("it answers after its end")
	}
	q := start(t, Config{Dir: dir, Keep: true, ChainID: 1337, Listen: p.addr, BlockTime: time.Second})
	if n, err := q.Height(ctx, "latest"); err != nil || n < 3 {
		t.Errorf("the chain goes on at %d, %v; want 3", n, err)
	}
	if b, err := q.Balance(ctx, a); err != nil || b.Uint64() != 5 {
		t.Errorf("balance %v, %v", b, err)
	}
	check(t, q.SetInterval(ctx, 0))
	n, err := q.Height(ctx, "latest")
	check(t, err)
	check(t, q.Mine(ctx, 1))
	if m, err := q.Height(ctx, "latest"); err != nil || m != n+1 {
		t.Errorf("without mining a block after %d was %d, %v", n, m, err)
	}
	if q.URL() != p.URL() {
		t.Errorf("it moved from %s to %s", p.URL(), q.URL())
	}
}

// TestReorgOfEmptyBlocks replaces blocks by others of the same parent, time and contents, and, once the base fee has come down to where it stays,
// of the same fee.
func TestReorgOfEmptyBlocks(t *testing.T) {
	ctx := t.Context()
	p := start(t, Config{Dir: t.TempDir(), BlockTime: time.Second})
	check(t, p.SetInterval(ctx, 0))
	check(t, p.Mine(ctx, 200))
	for range 5 {
		check(t, p.Mine(ctx, 8))
		n, err := p.Height(ctx, "latest")
		check(t, err)
		old := p.hash(ctx, t, n)
		check(t, p.Reorg(ctx, 5))
		if p.hash(ctx, t, n) == old {
			t.Errorf("block %d is the same after its replacement", n)
		}
	}
}

func (p *Process) hash(ctx context.Context, t *testing.T, number uint64) string {
	t.Helper()
	var block struct{ Hash string }
	check(t, p.Call(ctx, &block, "eth_getBlockByNumber", quantity(number), false))
	return block.Hash
}
