package demo

import (
	"context"
	"io"
	"testing"
	"time"

	"fusion/testnets"
)

type logProgress struct{ t *testing.T }

func (p logProgress) Begin(name string)               { p.t.Logf("%s %s …", time.Now().Format("05.000"), name) }
func (p logProgress) Note(format string, args ...any) { }
func (p logProgress) Done(format string, args ...any) { p.t.Logf("%s "+format, append([]any{time.Now().Format("05.000")}, args...)...) }

func TestCkBTC(t *testing.T) {
	dir := t.TempDir()
	if _, err := testnets.Create(dir, testnets.Settings{Nodes: 4}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Progress: logProgress{t}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.WaitKeys(ctx); err != nil {
		t.Fatal(err)
	}
	if err := CkBTC(ctx, n, Options{Out: io.Discard, Progress: logProgress{t}}); err != nil {
		t.Fatal(err)
	}
}
