package e2e

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fusion/btc"
	"fusion/ic/principal"
	"fusion/testnets"
	"fusion/testnets/canisters"
	"fusion/testnets/golden"
)

// TestJavaScriptCkbtc has the ckBTC, ledger and index classes of @icp-sdk/canisters, unmodified and with certificates and query signatures verified, use
// the minter, the ledger and the index of a network. The test is the Bitcoin network that the program talks of.
func TestJavaScriptCkbtc(t *testing.T) {
	program(t, "FUSION_E2E")
	js, err := filepath.Abs(filepath.Join("..", "js"))
	must(t, err)
	if _, err := os.Stat(filepath.Join(js, "node_modules")); err != nil {
		t.Fatalf("the JavaScript clients are not installed: %v; run `make e2e`", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	n := golden.Run(t)
	w := golden.NewWorld(t, n)
	defer w.Close()
	owner := user(t, w, golden.Owner, 0)

	cmd := exec.CommandContext(ctx, "node", "ckbtc-canisters.mjs")
	cmd.Dir = js
	cmd.Env = append(os.Environ(), "FUSION_URL="+w.URL(0), "FUSION_ROOT_KEY="+hex.EncodeToString(w.RootKey()), "FUSION_LEDGER="+w.Ledger.String(),
		"FUSION_MINTER="+w.Minter.String(), "FUSION_INDEX="+canisters.CkbtcIndex.String(), "FUSION_TO="+golden.FreshAddressOf(btc.P2TR, t.Name()))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var last string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
		var address string
		var number int64
		var answer string
		switch words := strings.Fields(last); words[0] {
		case "send":
			_, err = fmt.Sscan(last, new(string), &address, &number)
			must(t, err)
			answer, err = w.Chain.Send(ctx, testnets.SendRequest{Address: address, Satoshi: btc.Satoshi(number)})
		case "mine":
			_, err = fmt.Sscan(last, new(string), &number)
			must(t, err)
			answer, err = "done", w.Mine(ctx, int(number))
		case "balance":
			var sum btc.Satoshi
			sum, err = w.Chain.Balance(ctx, words[1])
			answer = fmt.Sprint(int64(sum))
		default:
			continue
		}
		must(t, err)
		_, err = fmt.Fprintln(in, answer)
		must(t, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	var saw struct {
		Checks []string
		Owner  string
	}
	if err := json.Unmarshal([]byte(last), &saw); err != nil || len(saw.Checks) != 27 {
		t.Fatalf("%d checks, %v in %q", len(saw.Checks), err, last)
	}
	if _, err := principal.Parse(saw.Owner); err != nil {
		t.Error(err)
	}
	supply, err := w.Supply(ctx, owner)
	must(t, err)
	t.Logf("%s, supply %d", last, supply)
}
