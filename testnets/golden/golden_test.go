package golden_test

import (
	"context"
	"testing"
	"time"

	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestCopies runs two copies at once: each goes on from the same state, with ports of its own.
func TestCopies(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var supplies [2]uint64
	for i := range supplies {
		w := golden.NewWorld(t, golden.Run(t))
		t.Cleanup(w.Close)
		u, err := w.User(golden.Owner, i)
		if err != nil {
			t.Fatal(err)
		}
		to, err := w.User("somebody", i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Pay(ctx, to.Agent.Sender(), uint64(i+1)*1000); err != nil {
			t.Fatal(err)
		}
		if got, err := to.Own(ctx); err != nil || got != uint64(i+1)*1000 {
			t.Fatalf("copy %d: %d sat arrived, %v", i, got, err)
		}
		if supplies[i], err = w.Audit(ctx, u, to); err != nil {
			t.Fatal(err)
		}
	}
	if want := uint64(golden.Deposits * (golden.DepositSats - testnets.CheckFee)); supplies[0] != want || supplies[1] != want {
		t.Fatalf("supplies %v, want %d", supplies, want)
	}
}
