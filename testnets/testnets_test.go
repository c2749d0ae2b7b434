package testnets

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"
)

type logProgress struct{ t *testing.T }

func (p logProgress) Begin(name string)               { p.t.Logf("%s …", name) }
func (p logProgress) Note(string, ...any)             {}
func (p logProgress) Done(format string, args ...any) { p.t.Logf("  "+format, args...) }

func TestUp(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, Settings{Nodes: 4}); err != nil {
		t.Fatal(err)
	}
	f, _ := os.Create("/tmp/up.log")
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	start := time.Now()
	n, err := Run(ctx, dir, RunOptions{Progress: logProgress{t}, Log: slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	t.Log("run", time.Since(start))
	if err := n.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	t.Log("bootstrap", time.Since(start))
	if err := n.WaitKeys(ctx); err != nil {
		t.Fatal(err)
	}
	t.Log("keys", time.Since(start))
}
