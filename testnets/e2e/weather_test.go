package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"fusion/chainkey"
	"fusion/ckledger/cketh"
	"fusion/ckledger/icrc"
	"fusion/eth"
	"fusion/eth/contracts"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/replica"
	"fusion/testnets"
	"fusion/testnets/canisters"
	"fusion/testnets/golden"
)

// provider hands the replicas' requests on to the Ethereum node, unless it is down, and changes its answers if it lies.
type provider struct {
	*httptest.Server
	down  atomic.Bool
	calls atomic.Int64
}

func newProvider(t *testing.T, node string, lies bool) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		p.calls.Add(1)
		asked, err := io.ReadAll(io.LimitReader(in.Body, 1<<20))
		if err != nil || p.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		res, err := http.Post(node, "application/json", bytes.NewReader(asked))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		if lies && !bytes.Contains(asked, []byte("eth_chainId")) {
			answer = lie(answer)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	t.Cleanup(p.Close)
	return p
}

// lie changes all numbers, hashes and texts of bytes in a result, and leaves its form.
func lie(answer []byte) []byte {
	i := bytes.Index(answer, []byte(`"result"`))
	if i < 0 {
		return answer
	}
	return append(answer[:i:i], bytes.ReplaceAll(answer[i:], []byte("3"), []byte("4"))...)
}

// weather is a network of four replicas that ask four providers, one of which always lies.
type weather struct {
	context.Context
	t         *testing.T // the case's
	all       *testing.T // of all cases
	dir       string
	net       *testnets.Network
	chain     *testnets.Ethereum
	providers []*provider // the first lies
	user      *agent.Agent
	key       *ecdsa.PrivateKey // of the user's account on Ethereum
	helper    eth.Address
}

// TestEthereumWeather has ckETH go through bad weather, on geth in the process and on anvil. After each of it the balance is what it should be
// to the last wei: nothing is lost and nothing minted twice.
func TestEthereumWeather(t *testing.T) {
	t.Parallel()
	program(t, "FUSION_BIN")
	for _, kind := range []string{testnets.EthereumGeth, testnets.EthereumAnvil} {
		t.Run(kind, func(t *testing.T) {
			w := newWeather(t, kind)
			for _, c := range []struct {
				name string
				run  func(*weather)
			}{
				{"a lying provider", (*weather).liar}, {"providers down", (*weather).outage}, {"a reorganisation below finality", (*weather).reorganisation},
				{"a contract that reverts", (*weather).reverts}, {"recipients that are refused", (*weather).refused},
				{"a replica killed while signing", (*weather).killed}, {"a reorganisation beyond finality", (*weather).broken},
			} {
				if !t.Run(c.name, func(t *testing.T) {
					w.t = t
					c.run(w)
				}) {
					return
				}
			}
		})
	}
}

func newWeather(t *testing.T, kind string) *weather {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	t.Cleanup(cancel)
	w := &weather{Context: ctx, t: t, all: t}
	var err error
	w.dir, err = os.MkdirTemp("", "fn") // not t.TempDir: its names are too long for Unix sockets
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(w.dir) })
	m, err := testnets.Create(w.dir, testnets.Settings{Ethereum: kind, Keys: []chainkey.KeyID{testnets.EcdsaKey}})
	must(t, err)
	var list []replica.EthereumProvider
	for i := range 4 {
		p := newProvider(t, m.Ethereum.URL, i == 0)
		w.providers = append(w.providers, p)
		list = append(list, replica.EthereumProvider{URL: p.URL, Operator: fmt.Sprintf("operator %d", i)})
	}
	for i := range m.Nodes {
		c, err := replica.LoadConfig(testnets.NodeDir(w.dir, i))
		must(t, err)
		c.Ethereum.Providers, c.Ethereum.Quorum = list, 2
		must(t, c.Save())
	}
	w.net = golden.RunDir(t, w.dir)
	w.chain = w.net.Ethereum()
	must(t, w.net.Bootstrap(ctx))
	must(t, w.net.WaitKeys(ctx))
	id, err := testnets.EnsureIdentity(w.dir, "alice")
	must(t, err)
	w.user, err = w.net.Agent(id)
	must(t, err)
	w.key, err = testnets.EthereumKey(w.dir, "alice")
	must(t, err)
	helper, ok := w.chain.Helper()
	if !ok {
		t.Fatal("the chain has no helper contract")
	}
	w.helper = helper
	own := eth.Address(crypto.PubkeyToAddress(w.key.PublicKey))
	_, err = w.chain.Faucet(ctx, &own, new(uint256.Int).Mul(uint256.NewInt(100), uint256.NewInt(ether)), nil)
	must(t, err)
	return w
}

// deposit has the user deposit ether through the helper contract.
func (w *weather) deposit(wei *big.Int) {
	w.t.Helper()
	_, err := w.chain.Transact(w, w.key, &w.helper, uint256.MustFromBig(wei), eth.PackDepositETH(w.user.Sender(), [32]byte{}))
	must(w.t, err)
}

func (w *weather) balance() (*big.Int, error) {
	var n candid.Nat
	if err := w.user.Ask(w, canisters.CkethLedger, "icrc1_balance_of", []any{icrc.Account{Owner: w.user.Sender()}}, []any{&n}); err != nil {
		return nil, err
	}
	return n.Big(), nil
}

func (w *weather) has() *big.Int {
	w.t.Helper()
	b, err := w.balance()
	must(w.t, err)
	return b
}

func (w *weather) info() cketh.MinterInfo {
	w.t.Helper()
	var info cketh.MinterInfo
	must(w.t, w.user.Ask(w, canisters.CkethMinter, "get_minter_info", nil, []any{&info}))
	return info
}

// troubles is what the minter says is wrong.
func (w *weather) troubles() string {
	w.t.Helper()
	var all []string
	if ts := w.info().Troubles; ts != nil {
		for _, t := range *ts {
			all = append(all, t.Reason)
		}
	}
	return strings.Join(all, "; ")
}

func (w *weather) until(what string, missing func() (string, error)) {
	w.t.Helper()
	must(w.t, golden.Wait(w, what, missing))
}

// becomes waits for a balance. On the way there nothing is minted that would be too much.
func (w *weather) becomes(want *big.Int) {
	w.t.Helper()
	w.until("the balance", func() (string, error) {
		b, err := w.balance()
		switch {
		case err != nil:
			return err.Error(), nil
		case b.Cmp(want) > 0:
			return "", fmt.Errorf("the balance is %v wei, want %v: something was minted twice", b, want)
		case b.Cmp(want) < 0:
			return fmt.Sprintf("%v of %v wei; %s", b, want, w.troubles()), nil
		}
		return "", nil
	})
}

// scraped waits until the minter has read a block.
func (w *weather) scraped(block uint64) {
	w.t.Helper()
	w.until("the minter to read on", func() (string, error) {
		info := w.info()
		if n := info.LastDepositHelperScraped; n != nil && n.Cmp(candid.NatFromUint64(block)) >= 0 {
			return "", nil
		}
		return fmt.Sprintf("at %v, want %d: %s", info.LastDepositHelperScraped, block, w.troubles()), nil
	})
}

func (w *weather) mine(n int) uint64 {
	w.t.Helper()
	h, err := w.chain.Mine(w, n)
	must(w.t, err)
	return h
}

func milli(n int64) *big.Int { return new(big.Int).Mul(big.NewInt(n), big.NewInt(ether/1000)) }

func plus(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }

// liar: what three providers say alike is believed, and a deposit is minted as it was made.
func (w *weather) liar() {
	before := w.has()
	w.deposit(milli(1000))
	w.becomes(plus(before, milli(1000)))
	if w.providers[0].calls.Load() == 0 {
		w.t.Error("nobody asked the provider that lies")
	}
}

func (w *weather) down(down bool, which ...int) {
	for _, i := range which {
		w.providers[i].down.Store(down)
	}
}

// outage: with nobody but the liar left nothing is believed. The minter says so and goes on afterwards.
func (w *weather) outage() {
	before := w.has()
	w.down(true, 1, 2, 3)
	w.deposit(milli(10))
	w.until("the minter to say that it cannot read", func() (string, error) {
		if s := w.troubles(); !strings.Contains(s, "cannot be read now") {
			return "troubles: " + s, nil
		}
		return "", nil
	})
	if b := w.has(); b.Cmp(before) != 0 {
		w.t.Errorf("%v wei were minted on the word of one provider", b.Sub(b, before))
	}
	w.down(false, 1, 2, 3)
	w.becomes(plus(before, milli(10)))
}

// reorganisation: a deposit whose block is replaced before it is final is not minted, and nothing halts.
func (w *weather) reorganisation() {
	before := w.has()
	must(w.t, w.chain.SetMining(w, false))
	data := eth.PackDepositETH(w.user.Sender(), [32]byte{})
	mined := make(chan error, 1)
	go func() {
		_, err := w.chain.Transact(w, w.key, &w.helper, uint256.MustFromBig(milli(77)), data)
		mined <- err
	}()
	height := uint64(0)
	w.until("the deposit to be mined", func() (string, error) {
		select {
		case err := <-mined:
			return "", err
		default:
		}
		// A block at a time, and only if there is something for it.
		pending, err := w.chain.Client().PendingTransactionCount(w)
		if err == nil && pending > 0 {
			height, err = w.chain.Mine(w, 1)
		}
		return "pending", err
	})
	final, err := w.chain.Finalized(w)
	must(w.t, err)
	if final >= height {
		w.t.Fatalf("block %d with the deposit is final already", height)
	}
	must(w.t, w.chain.Reorg(w, 1))
	must(w.t, w.chain.SetMining(w, true))
	tip := w.mine(6)
	w.scraped(tip - 3)
	if b := w.has(); b.Cmp(before) != 0 {
		w.t.Errorf("%v wei were minted for a deposit that vanished", b.Sub(b, before))
	}
	if s := w.troubles(); s != "" {
		w.t.Errorf("after a reorganisation of what was not final: %s", s)
	}
}

// withdraw asks for ether; the call has to be accepted.
func (w *weather) withdraw(to eth.Address, amount *big.Int) uint64 {
	w.t.Helper()
	res := w.ask(to, amount)
	if res.Ok == nil {
		w.t.Fatalf("the minter refuses: %+v", res.Err)
	}
	id, _ := res.Ok.BlockIndex.Uint64()
	return id
}

func (w *weather) ask(to eth.Address, amount *big.Int) (res cketh.WithdrawEthResult) {
	w.t.Helper()
	must(w.t, w.request(to, amount, &res))
	return res
}

func (w *weather) request(to eth.Address, amount *big.Int, res *cketh.WithdrawEthResult) error {
	var approved icrc.ApproveResult
	approve := icrc.ApproveArgs{Spender: icrc.Account{Owner: canisters.CkethMinter}, Amount: candid.NatFromBig(amount)}
	if err := w.user.Update(w, canisters.CkethLedger, "icrc2_approve", []any{approve}, []any{&approved}); err != nil {
		return err
	}
	if approved.Ok == nil {
		return fmt.Errorf("the ledger refuses an approval: %+v", approved.Err)
	}
	return w.user.Update(w, canisters.CkethMinter, "withdraw_eth", []any{cketh.WithdrawalArg{Recipient: to.String(), Amount: candid.NatFromBig(amount)}}, []any{res})
}

func (w *weather) status(id uint64) (cketh.WithdrawalDetail, error) {
	var all []cketh.WithdrawalDetail
	if err := w.user.Ask(w, canisters.CkethMinter, "withdrawal_status", []any{cketh.SearchParameter{ByWithdrawalID: &id}}, []any{&all}); err != nil {
		return cketh.WithdrawalDetail{}, err
	}
	if len(all) != 1 {
		return cketh.WithdrawalDetail{}, fmt.Errorf("the minter knows %d withdrawals of block %d", len(all), id)
	}
	return all[0], nil
}

// ends waits for a withdrawal's end.
func (w *weather) ends(id uint64) (end cketh.FinalizedStatus) {
	w.t.Helper()
	w.until("the withdrawal", func() (string, error) {
		d, err := w.status(id)
		if err != nil {
			return err.Error(), nil
		}
		if end := d.Status.TxFinalized; end == nil || end.PendingReimbursement != nil {
			return fmt.Sprintf("%+v; %s", d.Status, w.troubles()), nil
		}
		end = *d.Status.TxFinalized
		return "", nil
	})
	return end
}

// paid checks a withdrawal that has to succeed: its recipient had nothing and has the amount less the fee, by a transaction of the minter's.
func (w *weather) paid(id uint64, to eth.Address, amount *big.Int) {
	t := w.t
	t.Helper()
	end := w.ends(id)
	if end.Success == nil {
		t.Fatalf("the withdrawal ended in %+v", end)
	}
	tx, _, err := w.chain.Client().TransactionByHash(w, common.HexToHash(end.Success.TransactionHash))
	must(t, err)
	most := new(big.Int).Mul(tx.GasFeeCap(), new(big.Int).SetUint64(tx.Gas()))
	got, err := w.chain.Client().BalanceAt(w, common.Address(to), nil)
	must(t, err)
	if want := new(big.Int).Sub(amount, most); got.Cmp(want) != 0 {
		t.Errorf("%s has %v wei, want %v", to, got, want)
	}
	from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
	must(t, err)
	if minter := w.info().MinterAddress; minter == nil || *minter != eth.Address(from).String() {
		t.Errorf("the withdrawal was sent by %s", eth.Address(from))
	}
}

// reverts: what a contract does not take comes back, less the fee of the attempt.
func (w *weather) reverts() {
	t := w.t
	auth := bind.NewKeyedTransactor(w.chain.FaucetKey(), new(big.Int).SetUint64(w.chain.ChainID))
	to, err := contracts.Deploy(w, w.chain.Client(), auth, &contracts.RefusesEtherMetaData, nil)
	must(t, err)
	before := w.has()
	end := w.ends(w.withdraw(to, milli(40)))
	if end.Reimbursed == nil {
		t.Fatalf("a withdrawal that reverts ended in %+v", end)
	}
	receipt, err := w.chain.Client().TransactionReceipt(w, common.HexToHash(end.Reimbursed.TransactionHash))
	must(t, err)
	if receipt.Status != types.ReceiptStatusFailed {
		t.Errorf("the transaction has status %d", receipt.Status)
	}
	fee := new(big.Int).Mul(receipt.EffectiveGasPrice, new(big.Int).SetUint64(receipt.GasUsed))
	if back := plus(end.Reimbursed.ReimbursedAmount.Big(), fee); back.Cmp(milli(40)) != 0 {
		t.Errorf("%v wei came back and the fee was %v: together %v, want %v", end.Reimbursed.ReimbursedAmount, fee, back, milli(40))
	}
	before.Sub(before, fee).Sub(before, big.NewInt(testnets.CkethFee)) // the approval's fee
	w.becomes(before)
}

// refused: nothing is burned for whom nothing may be paid.
func (w *weather) refused() {
	t := w.t
	before := w.has()
	var res cketh.WithdrawEthResult
	var rejected *agent.RejectError
	if err := w.request(eth.Address{}, milli(40), &res); !errors.As(err, &rejected) || !strings.Contains(rejected.Message, "zero address") {
		t.Errorf("to the zero address: %v, %+v", err, res)
	}
	blocked, err := eth.ParseAddress("0x04dba1194ee10112fe6c3207c0687def0e78bacf") // on the list of OFAC
	must(t, err)
	if res := w.ask(blocked, milli(40)); res.Err == nil || res.Err.RecipientAddressBlocked == nil {
		t.Errorf("to a blocked address: %+v", res)
	}
	if res := w.ask(eth.Address{1}, milli(1)); res.Err == nil || res.Err.AmountTooLow == nil {
		t.Errorf("too little: %+v", res)
	}
	if b := w.has(); plus(b, big.NewInt(3*testnets.CkethFee)).Cmp(before) != 0 {
		t.Errorf("the balance went from %v to %v wei for withdrawals that were refused", before, b)
	}
}

// killed: the network goes on as processes, and one of them is killed while a withdrawal waits for its signature. It is signed and sent all the
// same, once, and the replica that comes back has the same state as the others.
func (w *weather) killed() {
	t := w.t
	must(t, w.net.Close())
	n := open(w.all, w.dir) // the processes run beyond this case
	chain, err := testnets.StartEthereum(w, w.dir, n.Ethereum, slog.New(slog.DiscardHandler))
	must(t, err)
	w.chain = chain
	w.all.Cleanup(func() { must(w.all, chain.Close()) })
	must(t, n.Each(n.Start))
	must(t, n.Ready(w, 0))
	before := w.has()
	to := eth.Address(crypto.CreateAddress(common.Address{1}, 2))
	id := w.withdraw(to, milli(60))
	const victim = 3
	w.until("the withdrawal to be signed", func() (string, error) {
		d, err := w.status(id)
		switch {
		case err != nil:
			return err.Error(), nil
		case d.Status.TxCreated != nil: // the transaction is made, and its signature asked for
			return "", n.Kill(victim)
		case d.Status.Pending != nil:
			return "pending", nil
		}
		return "", fmt.Errorf("it is %+v already", d.Status)
	})
	w.paid(id, to, milli(60))
	before.Sub(before, milli(60)).Sub(before, big.NewInt(testnets.CkethFee))
	w.becomes(before)
	s, err := n.Status(w, 0)
	must(t, err)
	must(t, n.Start(victim))
	must(t, n.Ready(w, s.Certified))
}

// broken: the chain takes back what was final. The minter halts and says so: it mints nothing, and burns nothing that it could not pay.
func (w *weather) broken() {
	t := w.t
	before := w.has()
	must(t, w.chain.SetMining(w, false)) // or what is taken back may be blocks that the minter has not seen yet
	tip := w.mine(8)                     // geth archives blocks that have been final for a while, and takes those back no more
	final, err := w.chain.Finalized(w)
	must(t, err)
	w.scraped(final)
	must(t, w.chain.Reorg(w, int(tip-final)+3))
	must(t, w.chain.SetMining(w, true))
	w.mine(6)
	w.until("the minter to halt", func() (string, error) {
		if s := w.troubles(); !strings.Contains(s, "halted") {
			return "troubles: " + s, nil
		}
		return "", nil
	})
	t.Logf("the minter says: %s", w.troubles())
	w.deposit(milli(30))
	w.mine(6)
	if res := w.ask(eth.Address{2}, milli(40)); res.Err == nil || res.Err.TemporarilyUnavailable == nil || !strings.Contains(*res.Err.TemporarilyUnavailable, "halted") {
		t.Errorf("a withdrawal from a minter that is halted: %+v", res)
	}
	before.Sub(before, big.NewInt(testnets.CkethFee)) // the approval's fee
	if b := w.has(); b.Cmp(before) != 0 {
		t.Errorf("a minter that is halted changed the balance from %v to %v wei", before, b)
	}
}
