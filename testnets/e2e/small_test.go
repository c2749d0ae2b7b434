package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fusion/adapters/bitcoin/node"
	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestSmallOutputs deposits 1,500 small outputs to taproot addresses of 30 accounts. The minter merges the smallest at the expense of its fee
// account, and what is left is redeemed in one withdrawal.
func TestSmallOutputs(t *testing.T) {
	program(t, "FUSION_BIN")
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	n := golden.Run(t)
	w := golden.NewWorld(t, n)
	defer w.Close()
	many := user(t, w, "many", 0)
	const accounts, each, sats = 30, 50, 10_000
	subs := make([][]byte, accounts)
	args := make([]ckbtc.AddressArgs, accounts)
	addresses := make([]string, accounts)
	var g errgroup.Group
	for i := range accounts {
		subs[i] = make([]byte, 32)
		subs[i][31] = byte(i + 1)
		args[i] = ckbtc.AddressArgs{Subaccount: &subs[i], AddressType: &ckbtc.AddressType{P2TR: candid.Unit}}
		g.Go(func() error {
			return many.Agent.Update(ctx, w.Minter, "get_btc_address", []any{args[i]}, []any{&addresses[i]})
		})
	}
	must(t, g.Wait())
	var payments []node.Payment
	for _, address := range addresses {
		for range each {
			payments = append(payments, node.Payment{Address: address, Satoshi: sats})
		}
	}
	_, err := w.Chain.Send(ctx, testnets.SendRequest{Address: payments[0].Address, Satoshi: payments[0].Satoshi, More: payments[1:]})
	must(t, err)
	must(t, w.Mine(ctx, testnets.Confirmations))
	at := time.Now()
	step := func(format string, a ...any) {
		t.Logf("%s, after %.1f s", fmt.Sprintf(format, a...), time.Since(at).Seconds())
		at = time.Now()
	}
	for i := range accounts {
		g.Go(func() error {
			var res ckbtc.UpdateBalanceResult
			if err := many.Agent.Update(ctx, w.Minter, "update_balance", []any{args[i]}, []any{&res}); err != nil {
				return err
			}
			if res.Ok == nil || len(*res.Ok) != each {
				return fmt.Errorf("account %d: %+v", i, res)
			}
			return nil
		})
	}
	must(t, g.Wait())
	const minted = accounts * each * sats
	step("%d deposits are minted", accounts*each)

	// Somebody pays for the consolidation: the fee account has only what transfers left there.
	const forFees = each * sats
	fees := append(make([]byte, 30), 0x0f, 0xee)
	for i, sub := range subs {
		to := many.Account()
		if i == 0 {
			to = icrc.Account{Owner: w.Minter, Subaccount: &fees}
		}
		g.Go(func() error {
			res, err := many.Transfer(ctx, icrc.TransferArg{FromSubaccount: &sub, To: to, Amount: candid.NatFromUint64(each*sats - testnets.TransferFee)})
			if err == nil && res.Ok == nil {
				err = fmt.Errorf("the ledger refuses the sweep of account %d: %+v", i, res.Err)
			}
			return err
		})
	}
	must(t, g.Wait())
	before := custody(ctx, t, w, many)
	setLimits(ctx, t, w, ckbtc.UpgradeArgs{UtxoConsolidation: new(uint64(1000)), Limits: &ckbtc.Limits{ConsolidationIntervalNanos: new(uint64(1e9)), ConsolidationInputs: new(uint64(1000)),
		PollNanos: new(uint64(1e9))}})
	var after held
	must(t, golden.Wait(ctx, "the consolidation", func() (string, error) {
		if after = custody(ctx, t, w, many); after.free == before.outputs-1000+2 {
			return "", nil
		}
		return fmt.Sprintf("%+v, before %+v", after, before), w.Mine(ctx, 1)
	}))
	if paid := before.sats - after.sats; paid == 0 || paid > forFees {
		t.Errorf("the consolidation cost %d sat", paid)
	}
	step("%d outputs of %d sat became %d of %d sat", before.outputs, before.sats, after.outputs, after.sats)

	rest, err := many.Own(ctx)
	must(t, err)
	address := golden.FreshAddressOf(btc.P2TR, t.Name())
	block, err := many.Redeem(ctx, address, rest-2*testnets.TransferFee)
	must(t, err)
	txid, err := many.Finish(ctx, block)
	must(t, err)
	got, err := w.Chain.Balance(ctx, address)
	must(t, err)
	if uint64(got) > rest || uint64(got) < rest*9/10 {
		t.Errorf("%d sat came back for %d", got, rest)
	}
	step("%d of %d sat are redeemed in %s", got, minted, txid)
	supply, err := w.Supply(ctx, many)
	must(t, err)
	if end := custody(ctx, t, w, many); end.sats < supply {
		t.Errorf("%d sat of ckBTC exist, the minter holds %d sat", supply, end.sats)
	}
}

// held is what the minter holds.
type held struct {
	outputs, free int // free are those that no payment spends
	sats          uint64
}

func custody(ctx context.Context, t *testing.T, w *golden.World, u *golden.User) (h held) {
	t.Helper()
	var after *ckbtc.Outpoint
	for {
		var page ckbtc.Custody
		must(t, u.Agent.Ask(ctx, w.Minter, "get_custody", []any{ckbtc.CustodyArgs{After: after}}, []any{&page}))
		h.sats = page.Total
		for _, x := range page.Holdings {
			h.outputs++
			if !x.InPayment {
				h.free++
			}
			after = &x.Outpoint
		}
		if !page.More {
			return h
		}
	}
}
