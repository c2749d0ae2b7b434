package e2e

import (
	"context"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"fusion/testnets/golden"
	"fusion/testnets/meshcheck"
	"fusion/testnets/processes"
)

// TestRosetta has rosetta-cli check a server of a network of replicas: first its construction, which makes blocks, then its data.
func TestRosetta(t *testing.T) {
	cli, fusion := program(t, "ROSETTA_CLI"), program(t, "FUSION_BIN")
	w := golden.NewWorld(t, golden.Run(t))
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	owner, err := w.User(golden.Owner, 0)
	must(t, err)
	currency := map[string]any{"symbol": "ckBTC", "decimals": 8}
	accounts := meshcheck.Accounts(t, currency)
	var last uint64
	for _, a := range accounts {
		last, err = owner.Pay(ctx, a.Owner, 100_000)
		must(t, err)
	}
	must(t, owner.Approve(ctx, 5000))
	addr := fmt.Sprintf("127.0.0.1:%d", meshcheck.FreePort(t))
	args := []string{"rosetta", "--network", w.URL(1), "--root-key", hex.EncodeToString(w.RootKey()), "--ledger", w.Ledger.String(),
		"--store", filepath.Join(t.TempDir(), "mesh"), "--listen", addr, "--interval", "300ms"}
	log := filepath.Join(w.Dir, "rosetta.log")
	p, err := processes.Spawn(log, nil, fusion, args...)
	must(t, err)
	defer func() {
		if err := p.End(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("end of %s:\n%s", log, golden.Tail(log, 25))
		}
	}()
	m := &meshcheck.Run{CLI: cli, URL: "http://" + addr, Dir: t.TempDir(), Ledger: w.Ledger, Currency: currency, Accounts: accounts}
	must(t, golden.Wait(ctx, "the blocks to be proven", func() (string, error) { return m.Proven(ctx, last+1) }))
	// Others use the ledger meanwhile. Without their blocks rosetta-cli would not notice that a broadcast was lost.
	paying, stop := context.WithCancel(ctx)
	paid := make(chan struct{})
	go func() {
		defer close(paid)
		for paying.Err() == nil {
			_, _ = owner.Pay(paying, w.Ledger, 1) // one that fails makes no block
		}
	}()
	m.Pass(ctx, t, "check:construction")
	stop()
	<-paid
	m.Pass(ctx, t, "check:data")
}
