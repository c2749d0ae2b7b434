package ckbtc

import (
	"testing"

	"fusion/cdk/native"
)

// The pages of get_custody list each output once, and their sum is what the minter holds.
func TestCustody(t *testing.T) {
	u := newUniverse(t, 31, nil)
	alice := user(0)
	addr, err := native.Update[string](u.w, alice, minterID, "get_btc_address", AddressArgs{})
	must(t, err)
	for i := range 5 {
		u.chain.fund(addr, uint64(100_000+i))
	}
	for range 6 {
		u.chain.mine()
	}
	_, err = native.Update[UpdateBalanceResult](u.w, alice, minterID, "update_balance", AddressArgs{})
	must(t, err)
	var sum uint64
	seen := map[string]bool{}
	limit := uint32(2)
	args := CustodyArgs{Limit: &limit}
	for pages := 1; ; pages++ {
		c, err := native.Update[Custody](u.w, alice, minterID, "get_custody", args)
		must(t, err)
		for _, h := range c.Holdings {
			sum += h.Value
			seen[string(h.Outpoint.Txid)+string(rune(h.Outpoint.Vout))] = true
			if h.Account.Owner != alice || h.InPayment || h.AddressType.P2WPKH == nil {
				t.Errorf("holding %+v", h)
			}
		}
		if c.Total != 500_010 || c.Owed != 0 || c.ECDSA == nil || len(c.ECDSA.PublicKey) != 33 || c.Network.Regtest == nil || c.Ledger != ledgerID {
			t.Fatalf("custody %+v", c)
		}
		if !c.More {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		args.After = &c.Holdings[len(c.Holdings)-1].Outpoint
	}
	if sum != 500_010 || len(seen) != 5 {
		t.Errorf("%d satoshi in %d outputs", sum, len(seen))
	}
}
