package bench

import (
	"context"
	"fmt"
	"time"

	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/internal/pause"
	"fusion/testnets"
)

const ckbtcWithdrawals = 8

// ckbtc redeems bitcoin: the time from the first request until all are paid and final on a chain that mines as soon as it has something to mine.
func (s *suite) ckbtc(ctx context.Context) error {
	s.Progress.Begin("withdrawals of bitcoin")
	const amount = 1_000_000
	n, err := s.network(ctx)
	if err != nil {
		return err
	}
	id, err := testnets.EnsureIdentity(n.Dir, "bench")
	if err != nil {
		return err
	}
	user, err := n.Agent(id)
	if err != nil {
		return err
	}
	chain, err := testnets.DialAdmin(n.Dir)
	if err != nil {
		return err
	}
	mine := func(blocks int) error {
		_, err := chain.Mine(ctx, testnets.MineRequest{Blocks: blocks})
		return err
	}
	var address string
	if err := user.Update(ctx, n.Minter, "get_btc_address", []any{ckbtc.AddressArgs{}}, []any{&address}); err != nil {
		return err
	}
	if _, err := chain.Send(ctx, testnets.SendRequest{Address: address, Satoshi: (ckbtcWithdrawals + 1) * amount}); err != nil {
		return err
	}
	if err := mine(testnets.Confirmations); err != nil {
		return err
	}
	for {
		var res ckbtc.UpdateBalanceResult
		if err := user.Update(ctx, n.Minter, "update_balance", []any{ckbtc.AddressArgs{}}, []any{&res}); err != nil {
			return err
		}
		if res.Ok != nil {
			break
		}
		if err := pause.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	var approved icrc.ApproveResult
	approve := icrc.ApproveArgs{Spender: icrc.Account{Owner: n.Minter}, Amount: candid.NatFromUint64(ckbtcWithdrawals * amount)}
	if err := user.Update(ctx, n.Ledger, "icrc2_approve", []any{approve}, []any{&approved}); err != nil {
		return err
	}
	began := time.Now()
	var blocks []uint64
	for i := range ckbtcWithdrawals {
		to, err := btc.NewAddress(btc.Regtest, btc.P2WPKH, append(make([]byte, 19), byte(i+1)))
		if err != nil {
			return err
		}
		var res ckbtc.RetrieveBtcWithApprovalResult
		arg := ckbtc.RetrieveBtcWithApprovalArgs{Address: to.String(), Amount: amount}
		if err := user.Update(ctx, n.Minter, "retrieve_btc_with_approval", []any{arg}, []any{&res}); err != nil {
			return err
		}
		if res.Ok == nil {
			return fmt.Errorf("withdrawal %d is refused: %+v", i, res.Err)
		}
		blocks = append(blocks, res.Ok.BlockIndex)
	}
	for len(blocks) > 0 {
		var st ckbtc.RetrieveBtcStatusV2
		if err := user.Ask(ctx, n.Minter, "retrieve_btc_status_v2", []any{ckbtc.BlockIndex{BlockIndex: blocks[0]}}, []any{&st}); err != nil {
			return err
		}
		switch {
		case st.Confirmed != nil:
			blocks = blocks[1:]
			continue
		case st.Reimbursed != nil || st.WillReimburse != nil:
			return fmt.Errorf("withdrawal %d was not paid", blocks[0])
		case st.Submitted != nil:
			if _, err := chain.Tx(ctx, btc.Hash(st.Submitted.Txid).String()); err == nil { // the node has it
				if err := mine(1); err != nil {
					return err
				}
			}
		}
		if err := pause.For(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	s.add("ckbtc_withdrawals_per_min", ckbtcWithdrawals/time.Since(began).Minutes(), fmt.Sprintf("paid and final, %d at once, gg18, 4 replicas", ckbtcWithdrawals), "", 0)
	return nil
}
