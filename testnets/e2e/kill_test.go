package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fusion/btc"
	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/testnets"
	"fusion/testnets/golden"
	"fusion/testnets/processes"
)

// kills is how many times the whole network is killed. FUSION_SEED=N runs one seed alone.
const kills = 20

// TestKillAll kills all replicas at random points of random work. What was answered is still there, what was not answered has happened
// once or not at all, and money is neither made nor lost. The twenty kills hit one copy of the golden network one after the
// other, so each starts from what the one before left.
func TestKillAll(t *testing.T) {
	program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	n, w := run(ctx, t)
	owner, bob := user(t, w, golden.Owner, 0), user(t, w, "bob", 1)
	first, last := 1, kills
	if s := os.Getenv("FUSION_SEED"); s != "" {
		seed, err := strconv.Atoi(s)
		must(t, err)
		first, last = seed, seed
	}
	for seed := first; seed <= last; seed++ {
		if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { killOnce(ctx, t, n, w, owner, bob, uint64(seed)) }) {
			return // the state is not to be trusted further
		}
	}
}

// payment is a transfer that is sent until its outcome is known. The time of its creation makes it one transaction to the ledger,
// however often it is sent.
type payment struct {
	arg   icrc.TransferArg
	block *uint64 // where it is, once somebody said so
}

func (p *payment) send(ctx context.Context, u *golden.User) error {
	res, err := u.Transfer(ctx, p.arg)
	if err != nil {
		return err
	}
	var at candid.Nat
	switch {
	case res.Ok != nil:
		at = *res.Ok
	case res.Err != nil && res.Err.Duplicate != nil:
		at = res.Err.Duplicate.DuplicateOf
	default:
		return fmt.Errorf("the ledger refuses: %+v", res.Err)
	}
	block, _ := at.Uint64()
	if p.block != nil && *p.block != block {
		return fmt.Errorf("a transfer was answered as block %d and is now in block %d", *p.block, block)
	}
	p.block = &block
	return nil
}

func killOnce(ctx context.Context, t *testing.T, n *processes.Network, w *golden.World, owner, bob *golden.User, seed uint64) {
	started := time.Now()
	rng := rand.New(rand.NewPCG(seed, 0))
	ownerBefore, err := owner.Own(ctx)
	must(t, err)
	bobBefore, err := bob.Own(ctx)
	must(t, err)
	delay := time.Duration(rng.Int64N(int64(2500 * time.Millisecond)))
	var deposit int
	if seed%3 == 1 { // a deposit that the kill finds minted or on the way
		deposit = 300_000 + rng.IntN(100_000)
		_, err := bob.Deposit(ctx, btc.Satoshi(deposit))
		must(t, err)
		_, err = w.Chain.Mine(ctx, testnets.MineRequest{Blocks: testnets.Confirmations})
		must(t, err)
	}
	var redeem uint64
	address := golden.FreshAddress(t.Name())
	if seed%5 == 2 { // a withdrawal that the kill finds before, in or after its signing
		redeem = 400_000
		must(t, owner.Approve(ctx, redeem+testnets.TransferFee))
		ownerBefore -= testnets.TransferFee
		delay += time.Second
	}

	// The work goes on until the replicas are dead; calls that are under way then are cut off.
	work, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var payments []*payment
	var failed error // of the transfers' goroutine alone
	wg.Go(func() {
		for i := range 1000 {
			now := uint64(time.Now().UnixNano())
			p := &payment{arg: icrc.TransferArg{To: bob.Account(), Amount: candid.NatFromUint64(uint64(i) + 1), CreatedAtTime: &now}}
			payments = append(payments, p)
			if err := p.send(work, owner); err != nil {
				failed = err
				return
			}
		}
	})
	if deposit != 0 {
		for range 2 {
			wg.Go(func() {
				for work.Err() == nil {
					if _, err := bob.UpdateBalance(work); err != nil {
						return // the next audit looks
					}
				}
			})
		}
	}
	var burned *uint64
	if redeem != 0 {
		wg.Go(func() {
			if res, err := owner.Retrieve(work, address, redeem); err == nil && res.Ok != nil {
				burned = &res.Ok.BlockIndex
			}
		})
	}
	timer := time.NewTimer(delay)
	select {
	case <-timer.C:
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	var top uint64
	for i := range w.Nodes {
		if s, err := n.Status(ctx, i); err == nil {
			top = max(top, s.Certified)
		}
	}
	must(t, n.Each(n.Kill))
	killed := time.Now()
	stop()
	wg.Wait()
	// Until the kill everything has to work; what ended it must be the kill.
	var reject *agent.RejectError
	if errors.As(failed, &reject) || failed != nil && strings.Contains(failed.Error(), "refuses") {
		t.Fatalf("a transfer failed before the kill: %v", failed)
	}

	must(t, n.Each(n.Start))
	must(t, n.Ready(ctx, top))
	back := time.Now()
	if _, err := w.Agree(ctx, top); err != nil {
		t.Fatal(err)
	}
	var sent, answered uint64
	for _, p := range payments {
		if p.block != nil {
			answered++
		}
		must(t, p.send(ctx, owner)) // those that were answered must be duplicates at the same place
		amount, _ := p.arg.Amount.Uint64()
		sent += amount
	}
	var minted uint64
	if deposit != 0 {
		// Whether some call minted it before or after the kill shows in the balance alone.
		must(t, golden.Wait(ctx, "the deposit to be minted", func() (string, error) {
			res, err := bob.UpdateBalance(ctx)
			if err != nil {
				return "", err
			}
			if b, err := bob.Own(ctx); err != nil || b == bobBefore+sent {
				return fmt.Sprintf("the minter says %+v", res), err
			}
			return "", nil
		}))
		minted = uint64(deposit - testnets.CheckFee)
	}
	if redeem != 0 {
		if burned == nil { // the answer is lost; whether the burn happened shows in the balance
			now, err := owner.Own(ctx)
			must(t, err)
			if spent := sent + uint64(len(payments))*testnets.TransferFee; now+spent == ownerBefore {
				redeem = 0
			}
		}
		if burned != nil {
			txid, err := owner.Finish(ctx, *burned)
			must(t, err)
			got, err := w.Chain.Balance(ctx, address)
			must(t, err)
			if got <= 0 || uint64(got) > redeem {
				t.Errorf("%s received %d sat for %d in %s", address, got, redeem, txid)
			}
		}
	}
	got, err := bob.Own(ctx)
	must(t, err)
	if want := bobBefore + sent + minted; got != want {
		t.Errorf("bob has %d sat, want %d", got, want)
	}
	got, err = owner.Own(ctx)
	must(t, err)
	if want := ownerBefore - sent - uint64(len(payments))*testnets.TransferFee - redeem; got != want {
		t.Errorf("the owner has %d sat, want %d", got, want)
	}
	supply, err := w.Audit(ctx, owner, bob)
	must(t, err)
	t.Logf("killed at %.1f s above block %d with %d of %d transfers answered, deposit %d, redeem %d; back after %.1f s, checked after %.1f s; supply %d",
		killed.Sub(started).Seconds(), top, answered, len(payments), deposit, redeem, back.Sub(killed).Seconds(), time.Since(killed).Seconds(), supply)
}

// TestKillOneDuringSigning kills a member of a signing committee. The next committee completes the redemption while it is dead,
// and it comes back to the same state.
func TestKillOneDuringSigning(t *testing.T) {
	program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	n, w := run(ctx, t)
	owner := user(t, w, golden.Owner, 0)
	address := golden.FreshAddress(t.Name())
	const sats = 1_000_000
	block, err := owner.Redeem(ctx, address, sats)
	must(t, err)
	victim := -1
	must(t, golden.Wait(ctx, "a committee", func() (string, error) {
		s, err := n.Status(ctx, 0)
		if err != nil {
			return "", err
		}
		for _, line := range s.Signing {
			_, rest, _ := strings.Cut(line, "nodes [")
			members, rest, _ := strings.Cut(rest, "]")
			if !strings.HasPrefix(rest, " are signing") {
				continue
			}
			for i := 1; i < w.Nodes; i++ { // not replica 0, which this test asks
				if strings.Contains(" "+members+" ", fmt.Sprintf(" %d ", i)) {
					victim = i
				}
			}
			return "", nil
		}
		return fmt.Sprintf("signing: %q", s.Signing), nil
	}))
	must(t, n.Kill(victim))
	t.Logf("killed replica %d", victim)
	_, err = owner.Finish(ctx, block)
	must(t, err)
	got, err := w.Chain.Balance(ctx, address)
	must(t, err)
	if got <= 0 || got > sats {
		t.Errorf("%s received %d sat for %d", address, got, sats)
	}
	s, err := n.Status(ctx, 0)
	must(t, err)
	must(t, n.Start(victim))
	_, err = w.Agree(ctx, s.Height)
	must(t, err)
	_, err = w.Audit(ctx, owner)
	must(t, err)
}
