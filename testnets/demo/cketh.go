package demo

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"fusion/ckledger/cketh"
	"fusion/eth"
	"fusion/eth/contracts"
	"fusion/ic/candid"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// Amounts of the story, of ether in wei and of the token in its smallest unit.
var (
	etherDeposit, etherTransfer, etherWithdrawal = milliEther(1000), milliEther(250), milliEther(100)
	tokenDeposit, tokenTransfer, tokenWithdrawal = tokens(500), tokens(120), tokens(75)
)

func milliEther(n int64) *big.Int {
	return new(big.Int).Mul(big.NewInt(n), big.NewInt(1_000_000_000_000_000))
}

func tokens(n int64) *big.Int { return big.NewInt(n * 1_000_000) }

// ckethStory is a telling of the life of ether and of a token.
type ckethStory struct {
	story
	chain  *testnets.Ethereum
	key    *ecdsa.PrivateKey // of Alice's account on Ethereum
	minter eth.Address
	helper eth.Address
	token  eth.Address // the contract on Ethereum
	ether  ledger
	usd    ledger
	// What Alice had before the deposits.
	hadEther, hadUSD *big.Int
}

// CkETH tells the story on a running network, which must have an Ethereum node of its own. The error names the step that failed.
func CkETH(ctx context.Context, n *testnets.Network, opt Options) error {
	s := &ckethStory{story: story{n: n, opt: opt}, chain: n.Ethereum(), ether: ledger{canisters.CkethLedger, testnets.CkethFee, "ETH", eth.EtherDecimals}}
	if s.chain == nil {
		return testnets.ErrNoEthereum
	}
	if s.chain.FaucetKey() == nil {
		return testnets.ErrExternalEthereum
	}
	return s.tell(ctx, []step{
		{"meet Alice and Bob", s.meet},
		{"Alice looks where deposits go", s.address},
		{"Alice has ether and dollars on Ethereum", s.fund},
		{"Alice deposits both with the helper contract", s.deposit},
		{"both deposits are minted, once", s.mint},
		{"Alice pays Bob", s.pay},
		{"Bob withdraws ether, Alice withdraws dollars", s.withdraw},
		{"supply is covered by custody", s.solvency},
	})
}

func (s *ckethStory) info(ctx context.Context) (info cketh.MinterInfo, err error) {
	err = s.alice.agent.Ask(ctx, canisters.CkethMinter, "get_minter_info", nil, []any{&info})
	return info, err
}

// address checks that the contract hands deposits to an address whose key the subnet shares, and that this follows from public keys.
func (s *ckethStory) address(ctx context.Context) (err error) {
	if s.minter, err = s.n.CkethAddress(); err != nil {
		return err
	}
	var said string
	if err := s.alice.agent.Update(ctx, canisters.CkethMinter, "minter_address", nil, []any{&said}); err != nil {
		return err
	}
	if said != s.minter.String() {
		return fmt.Errorf("the minter says it is %s, the subnet's public key says %s", said, s.minter)
	}
	info, err := s.info(ctx)
	if err != nil {
		return err
	}
	if info.DepositHelperAddress == nil {
		return errors.New("the minter names no helper contract")
	}
	if s.helper, err = eth.ParseAddress(*info.DepositHelperAddress); err != nil {
		return err
	}
	to, err := contracts.MinterOf(ctx, s.chain.Client(), s.helper)
	if err != nil {
		return err
	}
	if to != s.minter {
		return fmt.Errorf("the helper contract %s passes deposits on to %s, the minter is %s", s.helper, to, s.minter)
	}
	if err := s.findToken(ctx); err != nil {
		return err
	}
	s.done("helper contract %s", s.helper)
	s.say("it passes deposits on to the minter, %s", s.minter)
	s.say("that address follows from the subnet's public key alone; nobody holds its private key")
	s.say("%s is the ledger of the token %s, made by the orchestrator", s.usd.id, s.token)
	return nil
}

// findToken waits until the orchestrator has made the ledger of the development token.
func (s *ckethStory) findToken(ctx context.Context) error {
	return s.until(ctx, "the orchestrator to make the ledger of "+testnets.TokenSymbol, func() (bool, error) {
		info, err := s.info(ctx)
		if err != nil || info.SupportedTokens == nil {
			return false, err
		}
		for _, t := range *info.SupportedTokens {
			if t.Symbol == "ck"+testnets.TokenSymbol {
				s.usd = ledger{t.LedgerID, testnets.TokenFee, testnets.TokenSymbol, testnets.TokenDecimals}
				s.token, err = eth.ParseAddress(t.ContractAddress)
				return err == nil, err
			}
		}
		s.note("the orchestrator makes the ledger of %s", testnets.TokenSymbol)
		return false, nil
	})
}

func (s *ckethStory) fund(ctx context.Context) (err error) {
	if s.key, err = testnets.EthereumKey(s.n.Dir, s.alice.name); err != nil {
		return err
	}
	own := eth.Address(crypto.PubkeyToAddress(s.key.PublicKey))
	ether := new(big.Int).Mul(etherDeposit, big.NewInt(2)) // the fees come out of the other half
	if _, err := s.chain.Faucet(ctx, &own, uint256.MustFromBig(ether), nil); err != nil {
		return err
	}
	if err := s.chain.MintToken(ctx, s.token, own, uint256.MustFromBig(tokenDeposit)); err != nil {
		return err
	}
	s.done("%s and %s at %s", s.ether.show(ether), s.usd.show(tokenDeposit), own)
	return nil
}

// send sends a transaction of Alice's.
func (s *ckethStory) send(ctx context.Context, to eth.Address, wei *big.Int, data []byte) (*types.Receipt, error) {
	return s.chain.Transact(ctx, s.key, &to, uint256.MustFromBig(wei), data)
}

func (s *ckethStory) deposit(ctx context.Context) error {
	var err error
	if s.hadEther, err = s.ether.balance(ctx, s.alice); err != nil {
		return err
	}
	if s.hadUSD, err = s.usd.balance(ctx, s.alice); err != nil {
		return err
	}
	me, none := s.alice.agent.Sender(), [32]byte{}
	ether, err := s.send(ctx, s.helper, etherDeposit, eth.PackDepositETH(me, none))
	if err != nil {
		return err
	}
	s.say("%s in transaction %s", s.ether.show(etherDeposit), ether.TxHash)
	amount := uint256.MustFromBig(tokenDeposit)
	if _, err := s.send(ctx, s.token, new(big.Int), eth.PackApprove(s.helper, amount)); err != nil {
		return err
	}
	usd, err := s.send(ctx, s.helper, new(big.Int), eth.PackDepositERC20(s.token, amount, me, none))
	if err != nil {
		return err
	}
	s.say("%s in transaction %s", s.usd.show(tokenDeposit), usd.TxHash)
	if err := s.final(ctx, usd.BlockNumber.Uint64()); err != nil {
		return err
	}
	s.done("final in block %d", usd.BlockNumber)
	return nil
}

// final waits until a block is final on the chain.
func (s *ckethStory) final(ctx context.Context, block uint64) error {
	return s.until(ctx, fmt.Sprintf("block %d to become final", block), func() (bool, error) {
		f, err := s.chain.Finalized(ctx)
		s.note("block %d of %d is final", f, block)
		return f >= block, err
	})
}

func (s *ckethStory) mint(ctx context.Context) error {
	wantEther, wantUSD := new(big.Int).Add(s.hadEther, etherDeposit), new(big.Int).Add(s.hadUSD, tokenDeposit)
	for _, d := range []struct {
		of        *ledger
		had, want *big.Int
	}{{&s.ether, s.hadEther, wantEther}, {&s.usd, s.hadUSD, wantUSD}} {
		if err := s.until(ctx, "the mint of "+d.of.symbol, func() (bool, error) {
			got, err := d.of.balance(ctx, s.alice)
			return err == nil && got.Cmp(d.had) > 0, err
		}); err != nil {
			return err
		}
		if err := d.of.expect(ctx, s.alice, d.want); err != nil {
			return err
		}
	}
	// The logs are read again and again: what was minted is not minted once more.
	h, err := s.chain.Mine(ctx, 5)
	if err != nil {
		return err
	}
	past := h - 2 // behind the tip, as what is final
	if err := s.until(ctx, fmt.Sprintf("the minter to read to block %d", past), func() (bool, error) {
		info, err := s.info(ctx)
		if err != nil || info.LastDepositHelperScraped == nil {
			return false, err
		}
		at, _ := info.LastDepositHelperScraped.Uint64()
		s.note("the minter has read to block %d of %d", at, past)
		return at >= past, nil
	}); err != nil {
		return err
	}
	if err := errors.Join(s.ether.expect(ctx, s.alice, wantEther), s.usd.expect(ctx, s.alice, wantUSD)); err != nil {
		return err
	}
	s.done("%s and %s", s.ether.show(etherDeposit), s.usd.show(tokenDeposit))
	s.say("to the last wei, and the minter has read further since: minted once")
	return nil
}

func (s *ckethStory) pay(ctx context.Context) error {
	_, took, err := s.ether.transfer(ctx, s.alice, s.bob, etherTransfer)
	if err != nil {
		return err
	}
	if _, _, err := s.usd.transfer(ctx, s.alice, s.bob, tokenTransfer); err != nil {
		return err
	}
	s.done("%s and %s, certified in %.2f s", s.ether.show(etherTransfer), s.usd.show(tokenTransfer), took.Seconds())
	return nil
}

// withdrawal is one that is on its way.
type withdrawal struct {
	what   string
	by     *user
	id     uint64
	to     eth.Address
	detail cketh.WithdrawalDetail
	hash   common.Hash
}

// stranger is an address that nothing was ever sent to.
func stranger() (eth.Address, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return eth.Address{}, err
	}
	return eth.Address(crypto.PubkeyToAddress(key.PublicKey)), nil
}

func (s *ckethStory) withdraw(ctx context.Context) error {
	toEther, errA := stranger()
	toUSD, errB := stranger()
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if err := s.ether.approve(ctx, s.bob, canisters.CkethMinter, etherWithdrawal); err != nil {
		return err
	}
	var e cketh.WithdrawEthResult
	if err := s.bob.agent.Update(ctx, canisters.CkethMinter, "withdraw_eth", []any{cketh.WithdrawalArg{Recipient: toEther.String(), Amount: candid.NatFromBig(etherWithdrawal)}}, []any{&e}); err != nil {
		return err
	}
	if e.Ok == nil {
		return fmt.Errorf("the minter refuses the ether: %s", show(e))
	}
	// The transaction of a token costs ether: what it costs at most is burned with it.
	if err := s.ether.approve(ctx, s.alice, canisters.CkethMinter, etherWithdrawal); err != nil {
		return err
	}
	if err := s.usd.approve(ctx, s.alice, canisters.CkethMinter, tokenWithdrawal); err != nil {
		return err
	}
	var t cketh.WithdrawErc20Result
	arg := cketh.WithdrawErc20Arg{Amount: candid.NatFromBig(tokenWithdrawal), LedgerID: s.usd.id, Recipient: toUSD.String()}
	if err := s.alice.agent.Update(ctx, canisters.CkethMinter, "withdraw_erc20", []any{arg}, []any{&t}); err != nil {
		return err
	}
	if t.Ok == nil {
		return fmt.Errorf("the minter refuses the token: %s", show(t))
	}
	s.say("burned; 2f+1 replicas now sign a transaction for each, without ever holding a key")
	etherID, _ := e.Ok.BlockIndex.Uint64()
	usdID, _ := t.Ok.CkethBlockIndex.Uint64()
	ether := &withdrawal{what: "ether", by: s.bob, id: etherID, to: toEther}
	usd := &withdrawal{what: "dollars", by: s.alice, id: usdID, to: toUSD}
	if err := s.until(ctx, "the withdrawals", func() (bool, error) {
		var note []string
		all := true
		for _, w := range []*withdrawal{ether, usd} {
			paid, state, err := s.paid(ctx, w)
			if err != nil {
				return false, fmt.Errorf("%s: %w", w.what, err)
			}
			all = all && paid
			note = append(note, w.what+" "+state)
		}
		s.note("%s", strings.Join(note, ", "))
		return all, nil
	}); err != nil {
		return err
	}
	if err := s.checkEther(ctx, ether); err != nil {
		return err
	}
	if err := s.checkToken(ctx, usd); err != nil {
		return err
	}
	s.done("2 withdrawals paid")
	return nil
}

// paid asks the minter for the state of a withdrawal.
func (s *ckethStory) paid(ctx context.Context, w *withdrawal) (bool, string, error) {
	var all []cketh.WithdrawalDetail
	if err := w.by.agent.Ask(ctx, canisters.CkethMinter, "withdrawal_status", []any{cketh.SearchParameter{ByWithdrawalID: &w.id}}, []any{&all}); err != nil {
		return false, "", err
	}
	if len(all) != 1 {
		return false, "", fmt.Errorf("the minter knows %d withdrawals of ledger block %d", len(all), w.id)
	}
	w.detail = all[0]
	switch st := w.detail.Status; {
	case st.Pending != nil:
		return false, "pending", nil
	case st.TxCreated != nil:
		return false, "signing", nil
	case st.TxSent != nil:
		return false, "sent", nil
	case st.TxFinalized != nil && st.TxFinalized.Success != nil:
		w.hash = common.HexToHash(st.TxFinalized.Success.TransactionHash)
		return true, "paid", nil
	}
	return false, "", fmt.Errorf("the withdrawal of ledger block %d is %s", w.id, show(w.detail.Status))
}

// mined reads a withdrawal's transaction and its receipt from the chain, and checks who signed it.
func (s *ckethStory) mined(ctx context.Context, w *withdrawal) (*types.Transaction, error) {
	tx, pending, err := s.chain.Client().TransactionByHash(ctx, w.hash)
	if err != nil {
		return nil, fmt.Errorf("%s: the chain's transaction %s: %w", w.what, w.hash, err)
	}
	receipt, err := s.chain.Client().TransactionReceipt(ctx, w.hash)
	if err != nil {
		return nil, fmt.Errorf("%s: the chain's receipt of %s: %w", w.what, w.hash, err)
	}
	if pending || receipt.Status != types.ReceiptStatusSuccessful {
		return nil, fmt.Errorf("%s: transaction %s was not executed: status %d", w.what, w.hash, receipt.Status)
	}
	from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
	if err != nil {
		return nil, err
	}
	if eth.Address(from) != s.minter {
		return nil, fmt.Errorf("%s: transaction %s is signed by %s, not by the minter %s", w.what, w.hash, eth.Address(from), s.minter)
	}
	return tx, nil
}

func (s *ckethStory) checkEther(ctx context.Context, w *withdrawal) error {
	tx, err := s.mined(ctx, w)
	if err != nil {
		return err
	}
	got, err := s.chain.Client().BalanceAt(ctx, common.Address(w.to), nil)
	if err != nil {
		return err
	}
	// What is burned beyond the payment is the most that the transaction may cost.
	most := new(big.Int).Mul(tx.GasFeeCap(), new(big.Int).SetUint64(tx.Gas()))
	if want := sub(etherWithdrawal, most); got.Cmp(want) != 0 || tx.Value().Cmp(want) != 0 {
		return fmt.Errorf("%s received %s, want %s: %s less a fee of at most %s", w.to, s.ether.show(got), s.ether.show(want), s.ether.show(etherWithdrawal), s.ether.show(most))
	}
	s.say("%s received %s", w.to, s.ether.show(got))
	return nil
}

func (s *ckethStory) checkToken(ctx context.Context, w *withdrawal) error {
	if _, err := s.mined(ctx, w); err != nil {
		return err
	}
	got, err := s.tokenOf(ctx, w.to)
	if err != nil {
		return err
	}
	if got.Cmp(tokenWithdrawal) != 0 {
		return fmt.Errorf("%s received %s, want %s", w.to, s.usd.show(got), s.usd.show(tokenWithdrawal))
	}
	s.say("%s received %s", w.to, s.usd.show(got))
	return nil
}

// tokenOf is what an account holds of the token on Ethereum.
func (s *ckethStory) tokenOf(ctx context.Context, a eth.Address) (*big.Int, error) {
	to := common.Address(s.token)
	answer, err := s.chain.Client().CallContract(ctx, ethereum.CallMsg{To: &to, Data: eth.PackBalanceOf(a)}, nil)
	if err != nil {
		return nil, fmt.Errorf("balance of %s: %w", a, err)
	}
	n, err := eth.UnpackUint(answer)
	if err != nil {
		return nil, err
	}
	return n.ToBig(), nil
}

// solvency compares what the ledgers say exists with what the chain says the minter's address holds.
func (s *ckethStory) solvency(ctx context.Context) error {
	heldEther, err := s.chain.Client().BalanceAt(ctx, common.Address(s.minter), nil)
	if err != nil {
		return err
	}
	heldUSD, err := s.tokenOf(ctx, s.minter)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		of   *ledger
		held *big.Int
	}{{&s.ether, heldEther}, {&s.usd, heldUSD}} {
		supply, err := c.of.supply(ctx, s.bob)
		if err != nil {
			return err
		}
		if supply.Cmp(c.held) > 0 {
			return fmt.Errorf("ck%s of %s exist, the minter's address holds %s", c.of.symbol, c.of.show(supply), c.of.show(c.held))
		}
		s.say("%s exist as ck%s, %s are held", c.of.show(supply), c.of.symbol, c.of.show(c.held))
	}
	s.done("both are")
	for _, u := range []*user{s.alice, s.bob} {
		e, errE := s.ether.balance(ctx, u)
		t, errT := s.usd.balance(ctx, u)
		if err := errors.Join(errE, errT); err != nil {
			return err
		}
		s.say("%s has %s and %s", u.name, s.ether.show(e), s.usd.show(t))
	}
	return nil
}
