package e2e

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fusion/ic/identity"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestJavaScriptAgent has the JavaScript agent from npm, unmodified and with certificates and query signatures verified, read a
// balance, transfer, and fetch a deposit address.
func TestJavaScriptAgent(t *testing.T) {
	program(t, "FUSION_BIN")
	js, err := filepath.Abs(filepath.Join("..", "js"))
	must(t, err)
	if _, err := os.Stat(filepath.Join(js, "node_modules")); err != nil {
		t.Fatalf("the JavaScript agent is not installed: %v; run `make e2e`", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	_, w := run(ctx, t)
	owner, bob := user(t, w, golden.Owner, 0), user(t, w, "bob", 1)
	seed := [32]byte{7: 1, 31: 9} // anybody's; the network is gone after the test
	id := identity.NewEd25519(ed25519.NewKeyFromSeed(seed[:]))
	carol, err := w.UserOf("carol", id, 0)
	must(t, err)
	const funds, amount = 1_000_000, 250_000
	_, err = owner.Pay(ctx, id.Sender(), funds)
	must(t, err)

	cmd := exec.CommandContext(ctx, "node", "ckbtc.mjs")
	cmd.Dir = js
	cmd.Env = append(os.Environ(), "FUSION_URL="+w.URL(0), "FUSION_ROOT_KEY="+hex.EncodeToString(w.RootKey()),
		"FUSION_LEDGER="+w.Ledger.String(), "FUSION_MINTER="+w.Minter.String(), "FUSION_SEED="+hex.EncodeToString(seed[:]),
		"FUSION_TO="+bob.Agent.Sender().String(), fmt.Sprintf("FUSION_AMOUNT=%d", amount))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	var saw struct{ Symbol, Fee, Before, After, Block, Address string }
	if err := json.Unmarshal(out, &saw); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	left := fmt.Sprint(funds - amount - testnets.TransferFee)
	if saw.Symbol != "ckBTC" || saw.Fee != fmt.Sprint(testnets.TransferFee) || saw.Before != fmt.Sprint(funds) || saw.After != left {
		t.Errorf("it saw %s", out)
	}
	if want := carol.DepositAddress().String(); saw.Address != want {
		t.Errorf("deposit address %s, the subnet's public key says %s", saw.Address, want)
	}
	if got, err := bob.Own(ctx); err != nil || got != amount {
		t.Errorf("bob has %d sat, want %d (%v)", got, amount, err)
	}
	_, err = w.Audit(ctx, owner, bob, carol)
	must(t, err)
	t.Logf("%s", out)
}
