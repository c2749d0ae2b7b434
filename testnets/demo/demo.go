// Package demo tells stories on a network of its own, step by step, and checks each step against the chain, the ledgers and the minter: the life of
// a bitcoin (CkBTC), and of ether and a token (CkETH). `fusion demo` shows them to a newcomer; in silence they are tests.
package demo

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"time"

	"github.com/holiman/uint256"

	"fusion/ckledger/icrc"
	"fusion/eth"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/pause"
	"fusion/testnets"
)

// Options of a telling.
type Options struct {
	Out io.Writer // where the story goes
	// Begin and Done frame a step; the durations between them are the display's business.
	Progress testnets.Progress
}

// story is one telling.
type story struct {
	n          *testnets.Network
	opt        Options
	alice, bob *user
}

type user struct {
	name  string
	agent *agent.Agent
}

func (u *user) account() icrc.Account { return icrc.Account{Owner: u.agent.Sender()} }

// step is a part of a story, with a name that an error repeats.
type step struct {
	name string
	run  func(context.Context) error
}

func (s *story) tell(ctx context.Context, steps []step) error {
	for i, st := range steps {
		if s.opt.Progress != nil {
			s.opt.Progress.Begin(st.name)
		}
		if err := st.run(ctx); err != nil {
			return fmt.Errorf("step %d, %q: %w", i+1, st.name, err)
		}
	}
	return nil
}

// done ends a step with what the reader should see of it.
func (s *story) done(format string, args ...any) {
	if s.opt.Progress != nil {
		s.opt.Progress.Done(format, args...)
	}
}

// note shows what a step waits for.
func (s *story) note(format string, args ...any) {
	if s.opt.Progress != nil {
		s.opt.Progress.Note(format, args...)
	}
}

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.opt.Out, "      "+format+"\n", args...)
}

func (s *story) meet(context.Context) error {
	for _, p := range []struct {
		name string
		to   **user
	}{{"alice", &s.alice}, {"bob", &s.bob}} {
		id, err := testnets.EnsureIdentity(s.n.Dir, p.name)
		if err != nil {
			return err
		}
		a, err := s.n.Agent(id)
		if err != nil {
			return err
		}
		*p.to = &user{p.name, a}
	}
	s.done("")
	s.say("Alice is %s", s.alice.agent.Sender())
	s.say("Bob   is %s", s.bob.agent.Sender())
	return nil
}

// ledger is a token of the Internet Computer's side.
type ledger struct {
	id       principal.Principal
	fee      int64
	symbol   string
	decimals uint8
}

// show writes an amount as people read it.
func (l *ledger) show(n *big.Int) string {
	v, overflow := uint256.FromBig(n)
	if overflow {
		return n.String()
	}
	return eth.FormatUnits(v, l.decimals) + " " + l.symbol
}

func (l *ledger) balance(ctx context.Context, u *user) (*big.Int, error) {
	var n candid.Nat
	if err := u.agent.Ask(ctx, l.id, "icrc1_balance_of", []any{u.account()}, []any{&n}); err != nil {
		return nil, err
	}
	return n.Big(), nil
}

func (l *ledger) supply(ctx context.Context, u *user) (*big.Int, error) {
	var n candid.Nat
	if err := u.agent.Ask(ctx, l.id, "icrc1_total_supply", nil, []any{&n}); err != nil {
		return nil, err
	}
	return n.Big(), nil
}

// expect compares a user's balance.
func (l *ledger) expect(ctx context.Context, u *user, want *big.Int) error {
	got, err := l.balance(ctx, u)
	if err != nil {
		return err
	}
	if got.Cmp(want) != 0 {
		return fmt.Errorf("%s has %s, want %s", u.name, l.show(got), l.show(want))
	}
	return nil
}

// transfer pays, checks both balances, and returns the ledger's block and how long the payment took to be certified.
func (l *ledger) transfer(ctx context.Context, from, to *user, amount *big.Int) (block candid.Nat, took time.Duration, err error) {
	a, err := l.balance(ctx, from)
	if err != nil {
		return block, 0, err
	}
	b, err := l.balance(ctx, to)
	if err != nil {
		return block, 0, err
	}
	started := time.Now()
	var res icrc.TransferResult
	arg := icrc.TransferArg{To: to.account(), Amount: candid.NatFromBig(amount)}
	if err := from.agent.Update(ctx, l.id, "icrc1_transfer", []any{arg}, []any{&res}); err != nil {
		return block, 0, err
	}
	if res.Ok == nil {
		return block, 0, fmt.Errorf("the ledger refuses: %s", show(res))
	}
	took = time.Since(started)
	if err := l.expect(ctx, from, sub(a, amount, big.NewInt(l.fee))); err != nil {
		return block, 0, err
	}
	return *res.Ok, took, l.expect(ctx, to, new(big.Int).Add(b, amount))
}

// approve lets a canister take an amount.
func (l *ledger) approve(ctx context.Context, u *user, spender principal.Principal, amount *big.Int) error {
	var res icrc.ApproveResult
	arg := icrc.ApproveArgs{Spender: icrc.Account{Owner: spender}, Amount: candid.NatFromBig(amount)}
	if err := u.agent.Update(ctx, l.id, "icrc2_approve", []any{arg}, []any{&res}); err != nil {
		return err
	}
	if res.Ok == nil {
		return fmt.Errorf("the ledger refuses the approval: %s", show(res))
	}
	return nil
}

func sub(n *big.Int, less ...*big.Int) *big.Int {
	n = new(big.Int).Set(n)
	for _, l := range less {
		n.Sub(n, l)
	}
	return n
}

// pollEvery is how often what is on its way is asked about.
const pollEvery = 300 * time.Millisecond

// until asks again and again until the answer is yes. What it waits for is in the error when time runs out.
func (s *story) until(ctx context.Context, what string, ok func() (bool, error)) error {
	for {
		if yes, err := ok(); yes || err != nil {
			return err
		}
		if err := pause.For(ctx, pollEvery); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}

// show writes a Candid value for an error message.
func show(v any) string {
	t, err := candid.TypeOf(reflect.TypeOf(v))
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	raw, err := candid.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	values, err := candid.DecodeAs(raw, []*candid.Type{t})
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return candid.FormatValues(values)
}
