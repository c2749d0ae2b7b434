package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/internal/pause"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// client is somebody who knows all replicas and turns to the next when one does not answer.
type client struct {
	users   []*golden.User // the same one at each replica
	at      int
	retries *atomic.Int64
}

// errRefused says that the network answered, and that the answer is no.
var errRefused = errors.New("refused")

const (
	// attempt is how long a client waits for a replica, and betweenAttempts before it asks the next.
	attempt         = 20 * time.Second
	betweenAttempts = 100 * time.Millisecond
)

// do asks until somebody answers. What it asks for must bear being asked for twice.
func (c *client) do(ctx context.Context, what string, fn func(ctx context.Context, u *golden.User) error) error {
	for {
		once, cancel := context.WithTimeout(ctx, attempt)
		err := fn(once, c.users[c.at])
		cancel()
		if err == nil || errors.Is(err, errRefused) {
			return err
		}
		c.at = (c.at + 1) % len(c.users)
		c.retries.Add(1)
		if ended := pause.For(ctx, betweenAttempts); ended != nil {
			return fmt.Errorf("%s: %w: %w", what, ended, err)
		}
	}
}

// load is the work of an experiment. The golden network's owner pays one receiver and redeems; another user deposits.
type load struct {
	x         *experiment
	payers    []*client
	redeemer  *client
	depositor *client
	receiver  *golden.User

	paid     atomic.Int64 // sat
	payments atomic.Int64
	retries  atomic.Int64
	accepted []uint64 // burns that the minter confirmed
	deposits uint64   // sat that have to be minted
	address  string   // of redemptions

	bulk        []*client
	crowd       *golden.User // whom those pay
	interval    time.Duration
	asked, made atomic.Int64 // payments of 1 sat
	mu          sync.Mutex
	took        []time.Duration
}

const (
	depositSats = 200_000
	redeemSats  = 100_000
)

func (x *experiment) newLoad(ctx context.Context) (*load, error) {
	l := &load{x: x, address: golden.FreshAddress(x.m.Name)}
	var err error
	l.redeemer, err = l.client(golden.Owner, 0)
	for i := 0; err == nil && i < x.m.Load.Payers; i++ {
		var c *client
		c, err = l.client(golden.Owner, i)
		l.payers = append(l.payers, c)
	}
	for i := 0; err == nil && i < x.m.Load.Bulk; i++ {
		var c *client
		c, err = l.client(golden.Owner, i)
		l.bulk = append(l.bulk, c)
	}
	if err == nil {
		l.crowd, err = x.world.User("crowd", 0)
	}
	if err == nil {
		l.depositor, err = l.client("depositor", 1)
	}
	if err == nil {
		l.receiver, err = x.world.User("receiver", 0)
	}
	if err == nil && x.m.Load.Redemptions > 0 {
		// More than is redeemed, since a request whose answer is lost may be made again.
		err = l.redeemer.users[0].Approve(ctx, uint64(10*x.m.Load.Redemptions)*(redeemSats+testnets.TransferFee))
	}
	return l, err
}

func (l *load) client(name string, first int) (*client, error) {
	c := &client{at: first % l.x.m.Nodes, retries: &l.retries}
	for i := range l.x.m.Nodes {
		u, err := l.x.world.User(name, i)
		if err != nil {
			return nil, err
		}
		c.users = append(c.users, u)
	}
	return c, nil
}

// start begins the work. Payments go on until the context working ends, what is under way then is finished.
func (l *load) start(g *errgroup.Group, ctx, working context.Context) {
	for _, c := range l.payers {
		g.Go(func() error {
			for working.Err() == nil {
				if err := l.pay(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	l.startBulk(g, ctx, working)
	g.Go(func() error {
		for range l.x.m.Load.Redemptions {
			if err := l.redeem(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		for range l.x.m.Load.Deposits {
			if err := l.deposit(ctx); err != nil {
				return err
			}
			l.deposits += depositSats - testnets.CheckFee
			if err := l.mint(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// deposit makes a deposit that the chain has confirmed.
func (l *load) deposit(ctx context.Context) error {
	release, err := l.x.holdChain(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := l.depositor.users[0].Deposit(ctx, depositSats); err != nil {
		return err
	}
	_, err = l.x.world.Chain.Mine(ctx, testnets.MineRequest{Blocks: testnets.Confirmations})
	return err
}

// pay makes one payment. The time of its creation makes it one transaction to the ledger, however often it is sent.
func (l *load) pay(ctx context.Context, c *client) error {
	now := uint64(time.Now().UnixNano())
	amount := 1 + l.payments.Add(1)
	arg := icrc.TransferArg{To: l.receiver.Account(), Amount: candid.NatFromUint64(uint64(amount)), CreatedAtTime: &now}
	err := c.do(ctx, "a payment", func(ctx context.Context, u *golden.User) error {
		res, err := u.Transfer(ctx, arg)
		switch {
		case err != nil:
			return err
		case res.Ok != nil, res.Err != nil && res.Err.Duplicate != nil:
			return nil
		case res.Err != nil && res.Err.CreatedInFuture != nil: // the network's clock is behind; the payment is good later
			return errors.New("the ledger lives in the past")
		}
		return fmt.Errorf("a payment is %w: %+v", errRefused, res.Err)
	})
	if err == nil {
		l.paid.Add(amount)
	}
	return err
}

// startBulk lets the bulk of the clients pay. Each begins a payment in every interval, or when the one before it is confirmed.
func (l *load) startBulk(g *errgroup.Group, ctx, working context.Context) {
	for i, c := range l.bulk {
		g.Go(func() error {
			next := time.Now().Add(l.interval * time.Duration(i) / time.Duration(len(l.bulk)))
			for pause.For(working, time.Until(next)) == nil {
				began := time.Now()
				if err := l.payBulk(ctx, c); err != nil {
					return err
				}
				l.mu.Lock()
				l.took = append(l.took, time.Since(began))
				l.mu.Unlock()
				if next = next.Add(l.interval); time.Until(next) < 0 {
					next = time.Now()
				}
			}
			return nil
		})
	}
}

// payBulk pays 1 sat, and again where the outcome is not known.
func (l *load) payBulk(ctx context.Context, c *client) error {
	err := c.do(ctx, "a payment of the bulk", func(ctx context.Context, u *golden.User) error {
		l.asked.Add(1)
		res, err := u.Transfer(ctx, icrc.TransferArg{To: l.crowd.Account(), Amount: candid.NatFromUint64(1)})
		if err == nil && res.Ok == nil {
			err = fmt.Errorf("a payment is %w: %+v", errRefused, res.Err)
		}
		return err
	})
	if err == nil {
		l.made.Add(1)
	}
	return err
}

// measureFor is how long the bulk of the clients show what they can do.
const measureFor = 30 * time.Second

// measure sets the pace of the bulk.
func (l *load) measure(ctx context.Context) error {
	share := l.x.m.Load.Share
	if share == 0 {
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	working, enough := context.WithTimeout(gctx, measureFor)
	defer enough()
	began := time.Now()
	l.startBulk(g, gctx, working)
	if err := g.Wait(); err != nil {
		return err
	}
	b := &l.x.report.Bulk
	b.Capacity = float64(l.made.Load()) / time.Since(began).Seconds()
	if b.Rate = share * b.Capacity; b.Rate == 0 {
		return errors.New("the bulk of the clients paid nothing while it was measured")
	}
	l.interval = time.Duration(float64(len(l.bulk)) / b.Rate * float64(time.Second))
	l.took = nil
	l.x.o.Log("%s: %.0f payments/s are possible, %.0f/s from now on", l.x.m.Name, b.Capacity, b.Rate)
	return nil
}

// burns are all withdrawals of the redeemer.
func (l *load) burns(ctx context.Context) (out []ckbtc.StatusByAccount, err error) {
	err = l.redeemer.do(ctx, "the list of withdrawals", func(ctx context.Context, u *golden.User) error {
		return u.Agent.Ask(ctx, l.x.world.Minter, "retrieve_btc_status_v2_by_account", []any{(*ckbtc.Account)(nil)}, []any{&out})
	})
	return out, err
}

// redeem asks for one redemption. When the answer is lost, the minter's list says whether there is one.
func (l *load) redeem(ctx context.Context) error {
	before, err := l.burns(ctx)
	if err != nil {
		return err
	}
	return l.redeemer.do(ctx, "a redemption", func(once context.Context, u *golden.User) error {
		res, err := u.Retrieve(once, l.address, redeemSats)
		switch {
		case err != nil:
			if now, listErr := l.burns(ctx); listErr != nil || len(now) > len(before) {
				return listErr
			}
			return err
		case res.Ok != nil:
			l.accepted = append(l.accepted, res.Ok.BlockIndex)
			return nil
		case res.Err != nil && (res.Err.AlreadyProcessing != nil || res.Err.TemporarilyUnavailable != nil):
			return fmt.Errorf("the minter says %+v", res.Err)
		}
		return fmt.Errorf("a redemption is %w: %+v", errRefused, res.Err)
	})
}

// mint waits until all deposits are minted. Answers may be lost, so only the balance counts.
func (l *load) mint(ctx context.Context) error {
	return l.depositor.do(ctx, "a deposit", func(ctx context.Context, u *golden.User) error {
		res, err := u.UpdateBalance(ctx)
		if err != nil {
			return err
		}
		have, err := u.Own(ctx)
		switch {
		case err != nil:
			return err
		case have > l.deposits:
			return fmt.Errorf("%d sat were minted for deposits of %d sat: %w", have, l.deposits, errRefused)
		case have < l.deposits:
			return fmt.Errorf("%d of %d sat are minted, the minter says %+v", have, l.deposits, res)
		}
		return nil
	})
}

// finish mines until every withdrawal is paid or paid back.
func (l *load) finish(ctx context.Context) (int, error) {
	known := map[uint64]bool{}
	paid := 0
	err := golden.Wait(ctx, "all withdrawals to end", func() (string, error) {
		list, err := l.burns(ctx)
		if err != nil {
			return "", err
		}
		open, submitted := "", false
		paid = 0
		for _, w := range list {
			known[w.BlockIndex] = true
			st := w.StatusV2
			switch {
			case st == nil || st.Unknown != nil || st.AmountTooLow != nil:
				return "", fmt.Errorf("burn %d is lost: %+v", w.BlockIndex, st)
			case st.Confirmed != nil:
				paid++
			case st.Reimbursed != nil:
			default:
				open = fmt.Sprintf("burn %d is %+v", w.BlockIndex, *st)
				submitted = submitted || st.Submitted != nil
			}
		}
		if submitted {
			_, err = l.x.world.Chain.Mine(ctx, testnets.MineRequest{Blocks: 1})
		}
		return open, err
	})
	if err != nil {
		return 0, err
	}
	for _, block := range l.accepted {
		if !known[block] {
			return 0, fmt.Errorf("the minter accepted burn %d and does not know it any more", block)
		}
	}
	got, err := l.x.world.Chain.Balance(ctx, l.address)
	if err != nil {
		return 0, err
	}
	if got < btc.Satoshi(paid*redeemSats/2) || got > btc.Satoshi(paid*redeemSats) {
		return 0, fmt.Errorf("%d withdrawals of %d sat paid %d sat", paid, redeemSats, got)
	}
	return len(known), nil
}
