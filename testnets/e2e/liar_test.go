package e2e

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/ethclient"

	"fusion/chainkey"
	evmrpc "fusion/eth/canister"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica"
	"fusion/replica/management"
	"fusion/replica/misdeed"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestFalseAnswers: one replica of four lies about all that the world outside says, the web, Ethereum and Bitcoin. What the replicas agree on is true all
// the same, and their metrics name the liar. What one replica alone answers is as true as that replica.
func TestFalseAnswers(t *testing.T) {
	const liar = 3
	byzantine := program(t, "FUSION_BYZANTINE_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "truth;", time.Now()) }))
	t.Cleanup(web.Close)

	dir, err := os.MkdirTemp("", "fn") // the names of t.TempDir are too long for Unix sockets
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	m, err := testnets.Create(dir, testnets.Settings{Ethereum: testnets.EthereumGeth, Keys: []chainkey.KeyID{}})
	must(t, err)
	roots := filepath.Join(dir, "roots.pem")
	must(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600))
	for i := range m.Nodes {
		c, err := replica.LoadConfig(testnets.NodeDir(dir, i))
		must(t, err)
		c.Outcalls = replica.Outcalls{Roots: []string{roots}, Hosts: map[string]string{"example.com": web.Listener.Addr().String()}}
		must(t, c.Save())
	}
	ethereum, err := testnets.StartEthereum(ctx, dir, m.Ethereum, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { must(t, ethereum.Close()) })
	n := open(t, dir)
	must(t, n.StartBitcoin())
	must(t, n.Each(func(i int) error {
		if i == liar {
			return n.StartWith(i, byzantine, []string{fmt.Sprintf("%s=%s,%s", misdeed.Env, misdeed.FalseAnswers, misdeed.FalseChain)})
		}
		return n.Start(i)
	}))
	must(t, n.Ready(ctx, 0))
	chain, err := n.Chain(ctx)
	must(t, err)
	w, err := golden.OpenWorld(ctx, dir, chain, n.Status)
	must(t, err)
	t.Cleanup(w.Close)
	a := user(t, w, testnets.DefaultIdentity, 0).Agent

	module := filepath.Join(t.TempDir(), "asker.wasm")
	if out, err := exec.CommandContext(ctx, program(t, "FUSION_BIN"), "build", "-o", module, "../testdata/asker").CombinedOutput(); err != nil {
		t.Fatalf("fusion build: %v\n%s", err, out)
	}
	wasm, err := os.ReadFile(module)
	must(t, err)
	amount := candid.NatFromUint64(100_000_000_000_000)
	var created management.CanisterID
	must(t, a.Update(ctx, principal.Management, "provisional_create_canister_with_cycles", []any{management.ProvisionalCreateArgs{Amount: &amount}}, []any{&created}))
	must(t, testnets.Install(ctx, a, created.CanisterID, management.ModeInstall(), wasm, nil))
	tidy := ";"
	ask := func(put bool) (o golden.Outcome) {
		t.Helper()
		must(t, a.Update(ctx, created.CanisterID, "ask", []any{golden.Question{URL: "https://example.com/", Put: put, Transform: &tidy}}, []any{&o}))
		return o
	}

	// The web, as all replicas agree, until two of the others have seen that the liar differs.
	differed := func(node, member int) bool {
		return metric(ctx, t, w.URL(node), fmt.Sprintf(`fusion_member_answers_differed_total{member="%d",node="%d"}`, member, node)) > 0
	}
	for asked := 0; asked < 5 || !differed(0, liar) || !differed(1, liar); asked++ {
		if o := ask(false); string(o.Body) != "truth" || o.Status != 200 {
			t.Fatalf("the replicas agree on %+v", o)
		}
	}
	for member := range liar {
		if differed(0, member) {
			t.Errorf("member %d, who is honest, is said to differ", member)
		}
	}
	// As one replica says, whose turn chance decides.
	said := map[string]int{}
	for said["truth"] == 0 || len(said) < 2 {
		o := ask(true)
		if string(o.Body) != "truth" && (len(o.Body) != len("truth") || o.Status != 200) {
			t.Fatalf("one replica says %+v", o)
		}
		said[string(o.Body)]++
	}
	if len(said) != 2 {
		t.Errorf("one replica says %v", said)
	}

	// Ethereum: how far the chain has come, and what is in it.
	node, err := ethclient.DialContext(ctx, m.Ethereum.URL)
	must(t, err)
	defer node.Close()
	own := evmrpc.RPCServices{Custom: &evmrpc.CustomServices{ChainID: m.Ethereum.ChainID, Services: []evmrpc.RPCAPI{}}}
	for range 3 {
		var out evmrpc.Multi[evmrpc.Block]
		must(t, a.Update(ctx, evmrpc.ID, "eth_getBlockByNumber", []any{own, (*evmrpc.RPCConfig)(nil), evmrpc.BlockTag{Latest: candid.Unit}}, []any{&out}))
		if out.Consistent == nil || out.Consistent.Ok == nil {
			t.Fatalf("the newest block is %+v", out)
		}
		number, _ := out.Consistent.Ok.Number.Uint64()
		b, err := node.HeaderByNumber(ctx, new(big.Int).SetUint64(number))
		must(t, err)
		if got := out.Consistent.Ok.Hash; got != b.Hash().Hex() {
			t.Errorf("block %d is %s, and the chain has %s", number, got, b.Hash().Hex())
		}
	}

	// Bitcoin: the liar's blocks are refused, those of the chain come.
	for range 3 {
		must(t, w.Mine(ctx, 1))
	}
	must(t, golden.Wait(ctx, "the liar's proposals to be refused", func() (string, error) {
		if metric(ctx, t, w.URL(0), fmt.Sprintf(`fusion_member_misconduct_total{kind="bad-proposal",member="%d",node="0"}`, liar)) == 0 {
			return "none was", nil
		}
		return "", nil
	}))
	s, err := n.Status(ctx, 0)
	must(t, err)
	_, err = w.Agree(ctx, s.Height)
	must(t, err)
}

// metric is a replica's figure, 0 if there is none of that name.
func metric(ctx context.Context, t *testing.T, url, name string) (v float64) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, err := fmt.Sscan(rest, &v)
			must(t, err)
		}
	}
	return v
}
