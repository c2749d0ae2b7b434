package demo

import (
	"context"
	"io"
	"testing"
	"time"

	"fusion/testnets/golden"
)

// logProgress shows steps in a test's log.
type logProgress struct{ t *testing.T }

func (p logProgress) Begin(name string)               { p.t.Log(name) }
func (p logProgress) Note(string, ...any)             {}
func (p logProgress) Done(format string, args ...any) { p.t.Logf("  "+format, args...) }

// TestCkBTC tells the story on a copy of the golden network, whose keys are from real ceremonies; `make demo` makes its own.
func TestCkBTC(t *testing.T) {
	n := golden.Run(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := CkBTC(ctx, n, Options{Out: io.Discard, Progress: logProgress{t}}); err != nil {
		t.Fatal(err)
	}
}
