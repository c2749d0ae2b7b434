package demo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strings"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"golang.org/x/sync/errgroup"

	"fusion/btc"
	"fusion/chainkey/derive"
	"fusion/ckledger/ckbtc"
	"fusion/ic/principal"
	"fusion/internal/pause"
	"fusion/testnets"
)

// Amounts of the story, in satoshi.
const (
	deposit  = 100_000_000
	transfer = 25_000_000
	redeem   = 5_000_000
)

// CkBTC tells the story on a running network. The error names the step that failed.
func CkBTC(ctx context.Context, n *testnets.Network, opt Options) error {
	s := &ckbtcStory{story: story{n: n, opt: opt}, ledger: ledger{n.Ledger, testnets.TransferFee, "BTC", 8}}
	return s.tell(ctx, []step{
		{"meet Alice and Bob", s.meet},
		{"Alice asks for a deposit address", s.address},
		{"bitcoin is deposited and confirmed", s.deposit},
		{"the deposit is minted, once", s.mint},
		{"Alice pays Bob", s.pay},
		{"Alice redeems to a fresh address of each kind", s.redeem},
		{"supply is covered by custody", s.solvency},
	})
}

// ckbtcStory is a telling of the life of a bitcoin.
type ckbtcStory struct {
	story
	ledger    ledger
	minterKey derive.Child
}

// addressOf derives an account's deposit address offline: path [1, owner, subaccount] below the minter's key.
func (s *ckbtcStory) addressOf(owner principal.Principal) (btc.Address, error) {
	child, err := derive.Secp256k1(s.minterKey.PublicKey, s.minterKey.ChainCode, [][]byte{{1}, owner.Bytes(), make([]byte, 32)})
	if err != nil {
		return btc.Address{}, err
	}
	return btc.P2WPKHFromPubKey(btc.Regtest, child.PublicKey[:])
}

func (s *ckbtcStory) address(ctx context.Context) error {
	var err error
	if s.minterKey, err = s.n.CanisterKey(s.n.Minter); err != nil {
		return err
	}
	want, err := s.addressOf(s.alice.agent.Sender())
	if err != nil {
		return err
	}
	var got string
	if err := s.alice.agent.Update(ctx, s.n.Minter, "get_btc_address", []any{ckbtc.AddressArgs{}}, []any{&got}); err != nil {
		return err
	}
	if got != want.String() {
		return fmt.Errorf("the minter says %s, the subnet's public key says %s", got, want)
	}
	s.done("%s", got)
	s.say("the same address follows from the subnet's public key alone; nobody holds its private key")
	return nil
}

func (s *ckbtcStory) deposit(ctx context.Context) error {
	addr, err := s.addressOf(s.alice.agent.Sender())
	if err != nil {
		return err
	}
	node := s.n.Bitcoin()
	if node == nil {
		return errors.New("the story needs the embedded Bitcoin node")
	}
	txid, err := node.Send(addr.String(), deposit)
	if err != nil {
		return err
	}
	s.say("%s sent in transaction %s", sats(deposit), txid)
	if err := s.mine(ctx, 1); err != nil {
		return err
	}
	res, err := s.updateBalance(ctx)
	if err != nil {
		return err
	}
	if res.Err == nil || res.Err.NoNewUtxos == nil || res.Err.NoNewUtxos.PendingUtxos == nil || len(*res.Err.NoNewUtxos.PendingUtxos) != 1 {
		return fmt.Errorf("after one confirmation the minter should know one pending deposit, it says %s", show(res))
	}
	s.say("one of %d confirmations: the minter sees the deposit and mints nothing yet", res.Err.NoNewUtxos.RequiredConfirmations)
	if err := s.mine(ctx, testnets.Confirmations-1); err != nil {
		return err
	}
	s.done("%d confirmations", testnets.Confirmations)
	return nil
}

// mine mines blocks and waits until the subnet has them.
func (s *ckbtcStory) mine(ctx context.Context, blocks int) error {
	node := s.n.Bitcoin()
	if _, err := node.MineBlocks(blocks, node.FaucetAddress()); err != nil {
		return err
	}
	return s.n.WaitBitcoin(ctx)
}

func (s *ckbtcStory) updateBalance(ctx context.Context) (res ckbtc.UpdateBalanceResult, err error) {
	err = s.alice.agent.Update(ctx, s.n.Minter, "update_balance", []any{ckbtc.AddressArgs{}}, []any{&res})
	return res, err
}

func (s *ckbtcStory) mint(ctx context.Context) error {
	before, err := s.ledger.balance(ctx, s.alice)
	if err != nil {
		return err
	}
	// Many ask at once; the deposit is minted once all the same.
	const askers = 4
	results := make([]ckbtc.UpdateBalanceResult, askers)
	g, gctx := errgroup.WithContext(ctx)
	for i := range results {
		g.Go(func() (err error) { results[i], err = s.updateBalance(gctx); return err })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var minted *ckbtc.MintedUtxo
	for _, r := range results {
		if r.Ok == nil {
			continue
		}
		for _, u := range *r.Ok {
			if u.Minted == nil {
				return fmt.Errorf("the minter says %s", show(r))
			}
			if minted != nil {
				return fmt.Errorf("minted twice: blocks %d and %d", minted.BlockIndex, u.Minted.BlockIndex)
			}
			minted = u.Minted
		}
	}
	if minted == nil {
		var said []string
		for _, r := range results {
			said = append(said, show(r))
		}
		return fmt.Errorf("nothing was minted: %s", strings.Join(said, ", "))
	}
	if minted.MintedAmount != deposit-testnets.CheckFee {
		return fmt.Errorf("%s were minted for %s", sats(minted.MintedAmount), sats(deposit))
	}
	if err := s.ledger.expect(ctx, s.alice, new(big.Int).Add(before, new(big.Int).SetUint64(minted.MintedAmount))); err != nil {
		return err
	}
	again, err := s.updateBalance(ctx)
	if err != nil {
		return err
	}
	if again.Err == nil || again.Err.NoNewUtxos == nil {
		return fmt.Errorf("asked again, the minter says %s", show(again))
	}
	s.done("%s in ledger block %d", sats(minted.MintedAmount), minted.BlockIndex)
	s.say("%d callers asked at once and another one later: minted once", askers)
	return nil
}

func (s *ckbtcStory) pay(ctx context.Context) error {
	block, took, err := s.ledger.transfer(ctx, s.alice, s.bob, big.NewInt(transfer))
	if err != nil {
		return err
	}
	s.done("%s, certified in %.2f s, ledger block %s", sats(transfer), took.Seconds(), block)
	return nil
}

// fresh makes an address of each kind, with keys that are thrown away.
func fresh() (map[string]btc.Address, []string, error) {
	key, err := secp.GeneratePrivateKey()
	if err != nil {
		return nil, nil, err
	}
	pub := key.PubKey().SerializeCompressed()
	keyHash := sha256.Sum256(pub) // any 20 bytes make the redeem script's hash; P2SH wraps a P2WPKH output
	out := map[string]btc.Address{}
	order := []string{"P2PKH", "P2SH", "P2WPKH", "P2WSH", "P2TR"}
	var errs [5]error
	out["P2PKH"], errs[0] = btc.P2PKHFromPubKey(btc.Regtest, pub)
	out["P2SH"], errs[1] = btc.P2SHFromScript(btc.Regtest, append([]byte{0x00, 0x14}, keyHash[:20]...))
	out["P2WPKH"], errs[2] = btc.P2WPKHFromPubKey(btc.Regtest, pub)
	out["P2WSH"], errs[3] = btc.P2WSHFromScript(btc.Regtest, append(append([]byte{0x21}, pub...), 0xac)) // <key> CHECKSIG
	out["P2TR"], errs[4] = btc.P2TRFromInternalKey(btc.Regtest, [32]byte(pub[1:]), nil)
	return out, order, errors.Join(errs[:]...)
}

func (s *ckbtcStory) redeem(ctx context.Context) error {
	addrs, order, err := fresh()
	if err != nil {
		return err
	}
	before, err := s.ledger.balance(ctx, s.alice)
	if err != nil {
		return err
	}
	total := uint64(len(order)) * redeem
	if err := s.ledger.approve(ctx, s.alice, s.n.Minter, big.NewInt(int64(total+uint64(len(order))*testnets.TransferFee))); err != nil {
		return err
	}
	blocks := map[string]uint64{}
	for _, kind := range order {
		block, err := s.retrieve(ctx, addrs[kind].String())
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		blocks[kind] = block
	}
	if err := s.ledger.expect(ctx, s.alice, sub(before, big.NewInt(int64(total+testnets.TransferFee)))); err != nil {
		return err
	}
	s.say("%s burned in %d ledger blocks; 2f+1 replicas now sign, for each input, without ever holding a key", sats(total), len(order))
	done := map[string]btc.Hash{}
	mined := 0
	for len(done) < len(order) {
		var note []string
		submitted := false
		for _, kind := range order {
			st, err := s.status(ctx, blocks[kind])
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			switch {
			case st.Confirmed != nil:
				done[kind] = btc.Hash(st.Confirmed.Txid)
			case st.Submitted != nil:
				submitted = true
			case st.AmountTooLow != nil || st.Reimbursed != nil || st.WillReimburse != nil || st.Unknown != nil:
				return fmt.Errorf("%s: the withdrawal of ledger block %d is %s", kind, blocks[kind], show(st))
			}
			note = append(note, fmt.Sprintf("%s %s", kind, stateOf(st)))
		}
		s.note("%s", strings.Join(note, ", "))
		// A miner takes what the node's memory pool accepted; scripts and signatures are checked there.
		if submitted && (len(s.n.Bitcoin().Mempool()) > 0 || mined > 0) {
			if err := s.mine(ctx, 1); err != nil {
				return err
			}
			mined++
		}
		if err := pause.For(ctx, pollEvery); err != nil {
			return fmt.Errorf("waiting for withdrawals (%s): %w", strings.Join(note, ", "), err)
		}
	}
	for _, kind := range order {
		got, err := s.n.Bitcoin().Balance(addrs[kind].String())
		if err != nil {
			return err
		}
		if got == 0 || uint64(got) > redeem {
			return fmt.Errorf("%s %s received %s for %s", kind, addrs[kind], sats(uint64(got)), sats(redeem))
		}
		if _, ok := s.n.Bitcoin().GetTx(done[kind]); !ok {
			return fmt.Errorf("%s: the node does not know transaction %s", kind, done[kind])
		}
		s.say("%-6s %s received %s", kind, addrs[kind], sats(uint64(got)))
	}
	s.done("%d withdrawals paid", len(order))
	return nil
}

func (s *ckbtcStory) retrieve(ctx context.Context, address string) (uint64, error) {
	for {
		var res ckbtc.RetrieveBtcWithApprovalResult
		arg := ckbtc.RetrieveBtcWithApprovalArgs{Address: address, Amount: redeem}
		if err := s.alice.agent.Update(ctx, s.n.Minter, "retrieve_btc_with_approval", []any{arg}, []any{&res}); err != nil {
			return 0, err
		}
		switch {
		case res.Ok != nil:
			return res.Ok.BlockIndex, nil
		case res.Err != nil && res.Err.AlreadyProcessing != nil:
			if err := pause.For(ctx, pollEvery); err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("the minter refuses: %s", show(res))
		}
	}
}

func (s *ckbtcStory) status(ctx context.Context, block uint64) (st ckbtc.RetrieveBtcStatusV2, err error) {
	err = s.alice.agent.Ask(ctx, s.n.Minter, "retrieve_btc_status_v2", []any{ckbtc.BlockIndex{BlockIndex: block}}, []any{&st})
	return st, err
}

func stateOf(st ckbtc.RetrieveBtcStatusV2) string {
	switch {
	case st.Pending != nil:
		return "pending"
	case st.Signing != nil:
		return "signing"
	case st.Sending != nil:
		return "sending"
	case st.Submitted != nil:
		return "submitted"
	case st.Confirmed != nil:
		return "confirmed"
	}
	return show(st)
}

// solvency compares what the ledger says exists with what the Bitcoin chain says the minter's addresses hold.
func (s *ckbtcStory) solvency(ctx context.Context) error {
	supply, err := s.ledger.supply(ctx, s.bob)
	if err != nil {
		return err
	}
	custody := new(big.Int)
	for _, owner := range []principal.Principal{s.alice.agent.Sender(), s.bob.agent.Sender(), s.n.Minter} {
		addr, err := s.addressOf(owner)
		if err != nil {
			return err
		}
		v, err := s.n.Bitcoin().Balance(addr.String())
		if err != nil {
			return err
		}
		custody.Add(custody, big.NewInt(int64(v)))
	}
	if supply.Cmp(custody) > 0 {
		return fmt.Errorf("%s of ckBTC exist, the minter's addresses hold %s", s.ledger.show(supply), s.ledger.show(custody))
	}
	a, errA := s.ledger.balance(ctx, s.alice)
	b, errB := s.ledger.balance(ctx, s.bob)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	s.done("%s of ckBTC, %s of bitcoin", s.ledger.show(supply), s.ledger.show(custody))
	s.say("Alice has %s, Bob has %s", s.ledger.show(a), s.ledger.show(b))
	return nil
}

// sats writes an amount as people read it.
func sats(v uint64) string { return fmt.Sprintf("%d.%08d BTC", v/1e8, v%1e8) }
