package bench

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
	"golang.org/x/sync/errgroup"

	"fusion/chainkey"
	"fusion/ckledger/cketh"
	"fusion/ckledger/icrc"
	"fusion/eth"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/internal/pause"
	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

const (
	ckethDeposits    = 10
	ckethWithdrawals = 8
)

// counter hands requests on to the Ethereum node and counts them.
type counter struct {
	http  http.Server
	addr  string
	calls atomic.Int64
}

func newCounter(node string) (*counter, error) {
	to, err := url.Parse(node)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{addr: "http://" + l.Addr().String()}
	proxy := httputil.NewSingleHostReverseProxy(to)
	c.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.calls.Add(1)
		proxy.ServeHTTP(w, r)
	})
	go c.http.Serve(l) // until Close
	return c, nil
}

// cketh deposits and withdraws ether on a network of its own, on a geth in the same process.
func (s *suite) cketh(ctx context.Context) (err error) {
	s.Progress.Begin("a network that follows Ethereum")
	dir := s.dir + "-ethereum"
	m, err := testnets.Load(dir)
	if errors.Is(err, testnets.ErrNoNetwork) {
		m, err = testnets.Create(dir, testnets.Settings{Ethereum: testnets.EthereumGeth, Keys: []chainkey.KeyID{testnets.EcdsaKey}})
	}
	if err != nil {
		return err
	}
	count, err := newCounter(m.Ethereum.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, count.http.Close()) }()
	for i := range m.Nodes {
		c, err := replica.LoadConfig(testnets.NodeDir(dir, i))
		if err != nil {
			return err
		}
		c.Ethereum.Providers = []replica.EthereumProvider{{URL: count.addr, Operator: "bench"}}
		if err := c.Save(); err != nil {
			return err
		}
	}
	n, err := testnets.Run(ctx, dir, testnets.RunOptions{Progress: s.Progress})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := n.Bootstrap(ctx); err != nil {
		return err
	}
	if err := n.WaitKeys(ctx); err != nil {
		return err
	}
	id, err := testnets.EnsureIdentity(dir, "bench")
	if err != nil {
		return err
	}
	a, err := n.Agent(id)
	if err != nil {
		return err
	}
	b := &ckethBench{suite: s, net: n, user: a, calls: &count.calls}
	if err := b.deposits(ctx); err != nil {
		return err
	}
	return b.withdrawals(ctx)
}

type ckethBench struct {
	*suite
	net   *testnets.Network
	user  *agent.Agent
	calls *atomic.Int64
}

// deposits counts what the replicas ask their providers until deposits are minted, beside what they ask in as much time without any.
func (b *ckethBench) deposits(ctx context.Context) error {
	b.Progress.Begin("deposits of ether")
	chain := b.net.Ethereum()
	key, err := testnets.EthereumKey(b.net.Dir, "bench")
	if err != nil {
		return err
	}
	helper, ok := chain.Helper()
	if !ok {
		return errors.New("the chain has no helper contract")
	}
	own, one := eth.Address(crypto.PubkeyToAddress(key.PublicKey)), uint256.NewInt(1_000_000_000_000_000_000)
	if _, err := chain.Faucet(ctx, &own, new(uint256.Int).Mul(one, uint256.NewInt(2*ckethDeposits)), nil); err != nil {
		return err
	}
	balance := func() (*big.Int, error) {
		var n candid.Nat
		err := b.user.Ask(ctx, canisters.CkethLedger, "icrc1_balance_of", []any{icrc.Account{Owner: b.user.Sender()}}, []any{&n})
		return n.Big(), err
	}
	want, err := balance() // of an earlier run
	if err != nil {
		return err
	}
	want.Add(want, new(big.Int).Mul(one.ToBig(), big.NewInt(ckethDeposits)))
	began, before := time.Now(), b.calls.Load()
	for range ckethDeposits {
		if _, err := chain.Transact(ctx, key, &helper, one, eth.PackDepositETH(b.user.Sender(), [32]byte{})); err != nil {
			return err
		}
	}
	for {
		got, err := balance()
		if err != nil {
			return err
		}
		if got.Cmp(want) >= 0 {
			break
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	took, calls := time.Since(began), b.calls.Load()-before
	before = b.calls.Load()
	if err := pause.For(ctx, took); err != nil {
		return err
	}
	idle := b.calls.Load() - before
	b.add("eth_provider_calls_per_deposit", float64(calls)/ckethDeposits, fmt.Sprintf("requests of all 4 replicas, %d deposits", ckethDeposits),
		"the same time without a deposit", float64(idle)/ckethDeposits)
	return nil
}

// withdrawals waits until several at once are paid and final.
func (b *ckethBench) withdrawals(ctx context.Context) error {
	b.Progress.Begin("withdrawals of ether")
	const amount = 50_000_000_000_000_000
	var approved icrc.ApproveResult
	approve := icrc.ApproveArgs{Spender: icrc.Account{Owner: canisters.CkethMinter}, Amount: candid.NatFromUint64(ckethWithdrawals * amount)}
	if err := b.user.Update(ctx, canisters.CkethLedger, "icrc2_approve", []any{approve}, []any{&approved}); err != nil {
		return err
	}
	began := time.Now()
	ids := make([]uint64, ckethWithdrawals)
	for i := range ids {
		var res cketh.WithdrawEthResult
		arg := cketh.WithdrawalArg{Recipient: eth.Address{1, byte(i)}.String(), Amount: candid.NatFromUint64(amount)}
		if err := b.user.Update(ctx, canisters.CkethMinter, "withdraw_eth", []any{arg}, []any{&res}); err != nil {
			return err
		}
		if res.Ok == nil {
			return fmt.Errorf("withdrawal %d is refused: %+v", i, res.Err)
		}
		ids[i], _ = res.Ok.BlockIndex.Uint64()
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, id := range ids {
		g.Go(func() error {
			for {
				var all []cketh.WithdrawalDetail
				if err := b.user.Ask(gctx, canisters.CkethMinter, "withdrawal_status", []any{cketh.SearchParameter{ByWithdrawalID: &id}}, []any{&all}); err != nil {
					return err
				}
				if len(all) == 1 && all[0].Status.TxFinalized != nil {
					if all[0].Status.TxFinalized.Success == nil {
						return fmt.Errorf("withdrawal %d was not paid", id)
					}
					return nil
				}
				if err := pause.For(gctx, 200*time.Millisecond); err != nil {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	b.add("cketh_withdrawals_per_min", ckethWithdrawals/time.Since(began).Minutes(), fmt.Sprintf("paid and final, %d at once, gg18, 4 replicas", ckethWithdrawals), "", 0)
	return nil
}
