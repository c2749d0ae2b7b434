package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"fusion/testnets/golden"
	"fusion/testnets/processes"
)

// program returns a program that the environment names.
func program(t *testing.T, variable string) string {
	t.Helper()
	if os.Getenv("FUSION_E2E") == "" {
		t.Skip("the real tier runs with `make e2e`, which sets FUSION_E2E")
	}
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s names no program; run `make e2e`", variable)
	}
	return path
}

// open takes the network in dir into the test's care: what of it runs at the test's end is stopped.
func open(t *testing.T, dir string) *processes.Network {
	t.Helper()
	n, err := processes.Open(dir, program(t, "FUSION_BIN"))
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is right
			for _, l := range logs {
				t.Logf("end of %s:\n%s", l, golden.Tail(l, 25))
			}
		}
	})
	return n
}

// run starts a copy of the golden network as processes and waits until it works.
func run(ctx context.Context, t *testing.T) (*processes.Network, *golden.World) {
	t.Helper()
	program(t, "FUSION_BIN")
	return runDir(ctx, t, golden.Clone(t))
}

// runDir starts the golden network in dir as processes and waits until it works.
func runDir(ctx context.Context, t *testing.T, dir string) (*processes.Network, *golden.World) {
	t.Helper()
	n := open(t, dir)
	must(t, n.StartBitcoin())
	must(t, n.Each(n.Start))
	must(t, n.Ready(ctx, 0))
	chain, err := n.Chain(ctx)
	must(t, err)
	w, err := golden.OpenWorld(ctx, n.Dir, chain, n.Status)
	must(t, err)
	t.Cleanup(w.Close)
	return n, w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func user(t *testing.T, w *golden.World, name string, node int) *golden.User {
	t.Helper()
	u, err := w.User(name, node)
	must(t, err)
	return u
}
