package demo

import (
	"cmp"
	"context"
	"io"
	"os"
	"testing"
	"time"

	"fusion/replica/genesis"
	"fusion/testnets/golden"
)

// logProgress shows steps in a test's log.
type logProgress struct{ t *testing.T }

func (p logProgress) Begin(name string)               { p.t.Log(name) }
func (p logProgress) Note(string, ...any)             {}
func (p logProgress) Done(format string, args ...any) { p.t.Logf("  "+format, args...) }

// TestCkBTC tells the story on copies of the golden networks, whose keys are from real ceremonies; `make demo` makes its own. That of the robust scheme belongs
// to the real tier.
func TestCkBTC(t *testing.T) {
	for _, scheme := range []string{"", genesis.Idkg} {
		t.Run(cmp.Or(scheme, "gg18"), func(t *testing.T) {
			if scheme != "" && os.Getenv("FUSION_E2E") == "" {
				t.Skip("the real tier runs with `make e2e`, which sets FUSION_E2E")
			}
			n := golden.RunDir(t, golden.CloneOf(t, scheme))
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			if err := CkBTC(ctx, n, Options{Out: io.Discard, Progress: logProgress{t}}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
