package rosetta_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fusion/ckledger/icrc"
	"fusion/exchange/rosetta"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/testnets/ledgermem"
	"fusion/testnets/meshcheck"
)

// TestRosettaFindsALie: what rosetta-cli accepts of an honest server it refuses of one that shows a wrong balance, so that its passing means
// something. The ledger is in memory.
func TestRosettaFindsALie(t *testing.T) {
	cli := os.Getenv("ROSETTA_CLI")
	if cli == "" {
		if os.Getenv("FUSION_E2E") != "" {
			t.Fatal("ROSETTA_CLI names no program; run `make e2e`")
		}
		t.Skip("the real tier runs with `make e2e`, which sets ROSETTA_CLI")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	s := ledgermem.NewSubnet(1)
	defer s.Close()
	id := principal.FromUint64(7)
	l := s.NewLedger(id)
	currency := map[string]any{"symbol": "ckTEST", "decimals": 8}
	accounts := meshcheck.Accounts(t, currency)
	for _, a := range accounts {
		l.Mint(icrc.Account{Owner: a.Owner}, 100_000)
	}
	server, err := rosetta.Open(ctx, rosetta.Config{Dir: t.TempDir(), Agent: s.Agent(identity.Anonymous{}), Ledgers: []principal.Principal{id},
		Interval: 50 * time.Millisecond, Now: func() time.Time { return time.Unix(0, int64(s.NowNs())) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	go func() { // the ledger in memory does not certify by itself what calls do
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				l.Certify()
			}
		}
	}()
	var lying atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !lying.Load() || r.URL.Path != "/account/balance" {
			server.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(rec.Code)
		_, _ = io.WriteString(w, strings.Replace(rec.Body.String(), `"value":"`, `"value":"1`, 1))
	}))
	defer func() {
		front.Close()
		stop()
		<-done
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	m := &meshcheck.Run{CLI: cli, URL: front.URL, Dir: t.TempDir(), Ledger: id, Currency: currency, Accounts: accounts}
	for missing := "nothing yet"; missing != ""; {
		if missing, err = m.Proven(ctx, l.Core().Blocks()-1); err != nil {
			t.Fatal(missing, err)
		}
	}
	m.Pass(ctx, t, "check:construction")
	m.Pass(ctx, t, "check:data")
	lying.Store(true)
	out, err := m.Check(ctx, t, "check:data")
	var failed *exec.ExitError
	if !errors.As(err, &failed) || !strings.Contains(strings.ToLower(out), "reconciliation") {
		t.Fatalf("rosetta-cli accepted wrong balances: %v\n%s", err, out)
	}
}
