package testnets_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fusion/ic/agent"
	"fusion/ic/principal"
	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/golden"
)

func ptr[T any](v T) *T { return &v }

// TestOutcalls lets a canister ask a web server of the test's. One of the four replicas is given other answers than the others.
func TestOutcalls(t *testing.T) {
	var visits, holding atomic.Int32
	release := make(chan struct{})
	serve := func(what string) *httptest.Server {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := visits.Add(1)
			w.Header().Set("X-Request", fmt.Sprint(n))
			switch r.URL.Path {
			case "/big":
				w.Write([]byte(strings.Repeat("x", 1_990_000)))
			case "/hold":
				holding.Add(1)
				select {
				case <-release:
				case <-r.Context().Done():
				}
				fmt.Fprintf(w, "%s;%d", what, n)
			default:
				fmt.Fprintf(w, "%s %s;%d", r.Method, what, n)
			}
		}))
		t.Cleanup(s.Close)
		return s
	}
	truth, lie := serve("truth"), serve("lie")

	dir := golden.Clone(t)
	roots := filepath.Join(dir, "roots.pem")
	check(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: truth.Certificate().Raw}), 0o600))
	for i := range golden.Nodes {
		c := must(replica.LoadConfig(testnets.NodeDir(dir, i)))(t)
		to := truth
		if i == 3 {
			to = lie
		}
		c.Outcalls = replica.Outcalls{Roots: []string{roots}, Hosts: map[string]string{"example.com": to.Listener.Addr().String()}}
		check(t, c.Save())
	}
	n := golden.RunDir(t, dir)
	f := attach(t, n)
	a := f.owner.Agent
	asker := f.install(t, f.compile(t, "asker"))
	ask := func(q golden.Question) (o golden.Outcome) {
		t.Helper()
		check(t, update(f, a, asker, q, &o))
		return o
	}
	const url = "https://example.com/"
	tidy := ptr(";")

	// The three that are told the truth agree once the transform has dropped what differs.
	price := uint64((3_000_000 + 60_000*4 + 400*(len(url)+len("Accept")+len("text/plain")+len("tidy")+1) + 800*1000) * 4)
	if o := ask(golden.Question{URL: url, Transform: tidy, MaxResponseBytes: ptr(uint64(1000))}); string(o.Body) != "GET truth" || o.Status != 200 || o.Headers != 0 ||
		o.Refunded != 1_000_000_000_000-price {
		t.Errorf("with a transform: %+v, want a price of %d", o, price)
	}
	// Without it, no two answers are equal.
	if o := ask(golden.Question{URL: url, MaxResponseBytes: ptr(uint64(1000))}); o.Code != 2 || !strings.HasPrefix(o.Message, "No consensus could be reached. Replicas had different responses.") ||
		strings.Count(o.Message, ": 1]") < 3 {
		t.Errorf("without a transform: %+v", o)
	}
	// An answer as large as answers may be fits a block. The replicas' servers all say this.
	if o := ask(golden.Question{URL: url + "big", Transform: tidy}); o.Code != 0 || len(o.Body) != 1_990_000 {
		t.Errorf("a large answer: code %d, %q, %d bytes", o.Code, o.Message, len(o.Body))
	}
	if o := ask(golden.Question{URL: url + "big", Transform: tidy, MaxResponseBytes: ptr(uint64(100_000))}); o.Code != 1 || o.Message != "Http body exceeds size limit of 100000 bytes." {
		t.Errorf("an answer that is too large: %+v", o)
	}
	// The same server under its address is in the private part of the world.
	for _, address := range []string{truth.URL, strings.Replace(truth.URL, "127.0.0.1", "localhost", 1), "https://169.254.169.254/latest/meta-data"} {
		if o := ask(golden.Question{URL: address, Transform: tidy}); o.Code != 1 || !strings.HasSuffix(o.Message, "its address is not on the public internet") {
			t.Errorf("%s: %+v", address, o)
		}
	}
	// What is not replicated is asked once.
	before := visits.Load()
	if o := ask(golden.Question{URL: url, Put: true, Transform: tidy}); !strings.HasPrefix(string(o.Body), "PUT ") || visits.Load() != before+1 {
		t.Errorf("not replicated: %+v, %d visits", o, visits.Load()-before)
	}

	// A replica stops and starts again while the servers think.
	type result struct {
		o   golden.Outcome
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = update(f, a, asker, golden.Question{URL: url + "hold", Transform: tidy}, &r.o)
		done <- r
	}()
	held := func(want int32) {
		t.Helper()
		check(t, poll(f, func() bool { return holding.Load() >= want }))
	}
	held(golden.Nodes)
	check(t, n.StopReplica(1))
	check(t, n.StartReplica(f, 1))
	held(golden.Nodes + 1) // it asks again
	for i := range golden.Nodes {
		if s := n.Replica(i).Status(); len(s.Outcalls) != 1 || !strings.Contains(s.Outcalls[0], "being carried out") {
			t.Errorf("replica %d says %q", i, s.Outcalls)
		}
	}
	close(release)
	if r := <-done; r.err != nil || string(r.o.Body) != "truth" {
		t.Errorf("with a restart: %+v, %v", r.o, r.err)
	}

	// The liar stops: the other three are enough.
	check(t, n.StopReplica(3))
	if o := ask(golden.Question{URL: url, Transform: tidy}); string(o.Body) != "GET truth" {
		t.Errorf("with one replica down: %+v", o)
	}
	check(t, poll(f, func() bool { return len(n.Replica(0).Status().Outcalls) == 0 }))
}

func update(ctx context.Context, a *agent.Agent, to principal.Principal, q golden.Question, o *golden.Outcome) error {
	return a.Update(ctx, to, "ask", []any{q}, []any{o})
}

// poll waits until ok holds.
func poll(ctx context.Context, ok func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the condition never held: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
