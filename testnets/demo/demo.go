// Package demo tells the story of ckBTC on a network of its own, step by step, and checks each step against the chain, the
// ledger and the minter. `fusion demo ckbtc` shows it to a newcomer; with Quiet it is a test.
package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"golang.org/x/sync/errgroup"

	"fusion/btc"
	"fusion/chainkey/derive"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/signing"
	"fusion/testnets"
)

// Amounts of the story, in satoshi.
const (
	deposit  = 100_000_000
	transfer = 25_000_000
	redeem   = 5_000_000
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
	minterKey  derive.Child
}

type user struct {
	name  string
	agent *agent.Agent
}

func (u *user) account() icrc.Account { return icrc.Account{Owner: u.agent.Sender()} }

// CkBTC tells the story on a running network. The error names the step that failed.
func CkBTC(ctx context.Context, n *testnets.Network, opt Options) error {
	s := &story{n: n, opt: opt}
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"meet Alice and Bob", s.meet},
		{"Alice asks for a deposit address", s.address},
		{"bitcoin is deposited and confirmed", s.deposit},
		{"the deposit is minted, once", s.mint},
		{"Alice pays Bob", s.pay},
		{"Alice redeems to a fresh address of each kind", s.redeem},
		{"supply is covered by custody", s.solvency},
	}
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

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.opt.Out, "      "+format+"\n", args...)
}

func (s *story) meet(ctx context.Context) error {
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
	return s.deriveMinter()
}

// deriveMinter computes the minter's key from the subnet's public key alone, to check the minter's addresses by.
func (s *story) deriveMinter() error {
	st := s.n.Replica(0).Status()
	for _, k := range st.Keys {
		if k.ID != testnets.EcdsaKey {
			continue
		}
		raw, err := hex.DecodeString(k.PublicKey)
		if err != nil || len(raw) != 33 {
			return fmt.Errorf("threshold key %q is not a public key", k.PublicKey)
		}
		pub := [33]byte(raw)
		chain := signing.ChainCode(s.n.Replica(0).Genesis().Hash(), k.ID, raw)
		s.minterKey, err = derive.Secp256k1(pub, chain, derive.Path(s.n.Minter.Bytes()))
		return err
	}
	return fmt.Errorf("the network has no threshold key %s", testnets.TestKey)
}

// addressOf derives an account's deposit address offline: path [1, owner, subaccount] below the minter's key.
func (s *story) addressOf(owner principal.Principal) (btc.Address, error) {
	child, err := derive.Secp256k1(s.minterKey.PublicKey, s.minterKey.ChainCode, [][]byte{{1}, owner.Bytes(), make([]byte, 32)})
	if err != nil {
		return btc.Address{}, err
	}
	return btc.P2WPKHFromPubKey(btc.Regtest, child.PublicKey[:])
}

func (s *story) address(ctx context.Context) error {
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

func (s *story) deposit(ctx context.Context) error {
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
func (s *story) mine(ctx context.Context, blocks int) error {
	node := s.n.Bitcoin()
	if _, err := node.MineBlocks(blocks, node.FaucetAddress()); err != nil {
		return err
	}
	return s.n.WaitBitcoin(ctx)
}

func (s *story) updateBalance(ctx context.Context) (res ckbtc.UpdateBalanceResult, err error) {
	err = s.alice.agent.Update(ctx, s.n.Minter, "update_balance", []any{ckbtc.AddressArgs{}}, []any{&res})
	return res, err
}

func (s *story) balance(ctx context.Context, u *user) (uint64, error) {
	var n candid.Nat
	if err := u.agent.Ask(ctx, s.n.Ledger, "icrc1_balance_of", []any{u.account()}, []any{&n}); err != nil {
		return 0, err
	}
	v, ok := n.Uint64()
	if !ok {
		return 0, fmt.Errorf("a balance of %s satoshi", n)
	}
	return v, nil
}

// expect compares a user's balance.
func (s *story) expect(ctx context.Context, u *user, want uint64) error {
	got, err := s.balance(ctx, u)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s has %s, want %s", u.name, sats(got), sats(want))
	}
	return nil
}

func (s *story) mint(ctx context.Context) error {
	before, err := s.balance(ctx, s.alice)
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
		return fmt.Errorf("nothing was minted: %s", show(results[0]))
	}
	if minted.MintedAmount != deposit-testnets.CheckFee {
		return fmt.Errorf("%s were minted for %s", sats(minted.MintedAmount), sats(deposit))
	}
	if err := s.expect(ctx, s.alice, before+minted.MintedAmount); err != nil {
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

func (s *story) pay(ctx context.Context) error {
	a, err := s.balance(ctx, s.alice)
	if err != nil {
		return err
	}
	b, err := s.balance(ctx, s.bob)
	if err != nil {
		return err
	}
	started := time.Now()
	var res icrc.TransferResult
	arg := icrc.TransferArg{To: s.bob.account(), Amount: candid.NatFromUint64(transfer)}
	if err := s.alice.agent.Update(ctx, s.n.Ledger, "icrc1_transfer", []any{arg}, []any{&res}); err != nil {
		return err
	}
	if res.Ok == nil {
		return fmt.Errorf("the ledger refuses: %s", show(res))
	}
	took := time.Since(started)
	if err := errors.Join(s.expect(ctx, s.alice, a-transfer-testnets.TransferFee), s.expect(ctx, s.bob, b+transfer)); err != nil {
		return err
	}
	s.done("%s, certified in %.2f s, ledger block %s", sats(transfer), took.Seconds(), *res.Ok)
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

func (s *story) redeem(ctx context.Context) error {
	addrs, order, err := fresh()
	if err != nil {
		return err
	}
	before, err := s.balance(ctx, s.alice)
	if err != nil {
		return err
	}
	total := uint64(len(order)) * redeem
	var approved icrc.ApproveResult
	approve := icrc.ApproveArgs{Spender: icrc.Account{Owner: s.n.Minter}, Amount: candid.NatFromUint64(total + uint64(len(order))*testnets.TransferFee)}
	if err := s.alice.agent.Update(ctx, s.n.Ledger, "icrc2_approve", []any{approve}, []any{&approved}); err != nil {
		return err
	}
	if approved.Ok == nil {
		return fmt.Errorf("the ledger refuses the approval: %s", show(approved))
	}
	blocks := map[string]uint64{}
	for _, kind := range order {
		block, err := s.retrieve(ctx, addrs[kind].String())
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		blocks[kind] = block
	}
	if err := s.expect(ctx, s.alice, before-total-testnets.TransferFee); err != nil {
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
		if s.opt.Progress != nil {
			s.opt.Progress.Note("%s", strings.Join(note, ", "))
		}
		// A miner takes what the node's memory pool accepted; scripts and signatures are checked there.
		if submitted && (len(s.n.Bitcoin().Mempool()) > 0 || mined > 0) {
			if err := s.mine(ctx, 1); err != nil {
				return err
			}
			mined++
		}
		if err := pause(ctx, pollEvery); err != nil {
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

// pollEvery is how often withdrawals are asked about.
const pollEvery = 300 * time.Millisecond

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *story) retrieve(ctx context.Context, address string) (uint64, error) {
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
			if err := pause(ctx, pollEvery); err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("the minter refuses: %s", show(res))
		}
	}
}

func (s *story) status(ctx context.Context, block uint64) (st ckbtc.RetrieveBtcStatusV2, err error) {
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
func (s *story) solvency(ctx context.Context) error {
	var supplyNat candid.Nat
	if err := s.bob.agent.Ask(ctx, s.n.Ledger, "icrc1_total_supply", nil, []any{&supplyNat}); err != nil {
		return err
	}
	supply, ok := supplyNat.Uint64()
	if !ok {
		return fmt.Errorf("a supply of %s satoshi", supplyNat)
	}
	var custody uint64
	for _, owner := range []principal.Principal{s.alice.agent.Sender(), s.bob.agent.Sender(), s.n.Minter} {
		addr, err := s.addressOf(owner)
		if err != nil {
			return err
		}
		v, err := s.n.Bitcoin().Balance(addr.String())
		if err != nil {
			return err
		}
		custody += uint64(v)
	}
	if supply > custody {
		return fmt.Errorf("%s of ckBTC exist, the minter's addresses hold %s", sats(supply), sats(custody))
	}
	a, errA := s.balance(ctx, s.alice)
	b, errB := s.balance(ctx, s.bob)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	s.done("%s of ckBTC, %s of bitcoin", sats(supply), sats(custody))
	s.say("Alice has %s, Bob has %s", sats(a), sats(b))
	return nil
}

// sats writes an amount as people read it.
func sats(v uint64) string { return fmt.Sprintf("%d.%08d BTC", v/1e8, v%1e8) }

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
