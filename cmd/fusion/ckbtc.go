package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"fusion/btc"
	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/testnets"
)

func ckbtcCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "ckbtc", Short: "deposit bitcoin, hold and send ckBTC, redeem it"}
	cmd.AddCommand(
		addressCmd(o),
		&cobra.Command{Use: "update-balance [PRINCIPAL]", Short: "mint ckBTC for the deposits that have enough confirmations", Args: cobra.MaximumNArgs(1),
			RunE: o.with(updateBalance)},
		&cobra.Command{Use: "balance [PRINCIPAL]", Short: "show how much ckBTC a user has, you by default", Args: cobra.MaximumNArgs(1),
			RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
				owner, err := c.owner(args)
				if err != nil {
					return err
				}
				n, err := c.balance(ctx, owner)
				if err != nil {
					return err
				}
				fmt.Fprintln(w, sats(n))
				return nil
			})},
		&cobra.Command{Use: "transfer AMOUNT PRINCIPAL", Short: "send ckBTC to another user", Args: cobra.ExactArgs(2), RunE: o.with(transfer)},
		redeemCmd(o),
		&cobra.Command{Use: "status [BLOCK]", Short: "show the withdrawal that burned its ckBTC in a ledger block, or all your deposits and withdrawals", Args: cobra.MaximumNArgs(1),
			RunE: o.with(withdrawals)},
	)
	return o.remote(cmd)
}

func addressCmd(o *options) *cobra.Command {
	var taproot bool
	cmd := &cobra.Command{Use: "address [PRINCIPAL]", Short: "show where to send bitcoin that becomes ckBTC of a user, you by default", Args: cobra.MaximumNArgs(1),
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
			owner, err := c.owner(args)
			if err != nil {
				return err
			}
			arg := ckbtc.AddressArgs{Owner: &owner}
			if taproot {
				arg.AddressType = &ckbtc.P2TR
			}
			var address string
			if err := c.Update(ctx, c.minter, "get_btc_address", []any{arg}, []any{&address}); err != nil {
				return err
			}
			fmt.Fprintln(w, address)
			return nil
		})}
	cmd.Flags().BoolVar(&taproot, "taproot", false, "the account's taproot address (P2TR), whose outputs a threshold Schnorr signature spends")
	return cmd
}

// with makes a command of a function that needs a client.
func (o *options) with(fn func(ctx context.Context, c *client, w io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := o.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer c.Close()
		return fn(cmd.Context(), c, cmd.OutOrStdout(), args)
	}
}

// owner is the user that the arguments name: a principal, a local identity, or the caller.
func (c *client) owner(args []string) (principal.Principal, error) {
	if len(args) == 0 {
		return c.Sender(), nil
	}
	return c.parseUser(args[0])
}

// parseUser reads a principal or the name of a local identity.
func (c *client) parseUser(text string) (principal.Principal, error) {
	p, err := principal.Parse(text)
	if err == nil {
		return p, nil
	}
	if id, idErr := testnets.LoadIdentity(c.dir, text); idErr == nil {
		return id.Sender(), nil
	}
	return p, hint(fmt.Errorf("%q is neither a principal nor an identity: %w", text, err), "fusion identity list shows both")
}

func (c *client) balance(ctx context.Context, owner principal.Principal) (uint64, error) {
	var n candid.Nat
	if err := c.Ask(ctx, c.ledger, "icrc1_balance_of", []any{icrc.Account{Owner: owner}}, []any{&n}); err != nil {
		return 0, err
	}
	v, _ := n.Uint64() // there are fewer satoshi than 2^64
	return v, nil
}

func updateBalance(ctx context.Context, c *client, w io.Writer, args []string) error {
	owner, err := c.owner(args)
	if err != nil {
		return err
	}
	var r ckbtc.UpdateBalanceResult
	if err := c.Update(ctx, c.minter, "update_balance", []any{ckbtc.AddressArgs{Owner: &owner}}, []any{&r}); err != nil {
		return err
	}
	if r.Ok == nil {
		return updateBalanceError(r.Err)
	}
	for _, s := range *r.Ok {
		switch {
		case s.Minted != nil:
			fmt.Fprintf(w, "minted %s for %s, ledger block %d\n", sats(s.Minted.MintedAmount), outpoint(s.Minted.Utxo.Outpoint), s.Minted.BlockIndex)
		case s.ValueTooSmall != nil:
			fmt.Fprintf(w, "%s of %s is below the minimum deposit: nothing was minted\n", sats(s.ValueTooSmall.Value), outpoint(s.ValueTooSmall.Outpoint))
		case s.Tainted != nil:
			fmt.Fprintf(w, "%s of %s was refused by the checker: nothing was minted\n", sats(s.Tainted.Value), outpoint(s.Tainted.Outpoint))
		case s.Checked != nil:
			fmt.Fprintf(w, "%s of %s is checked and will be minted by the next update-balance\n", sats(s.Checked.Value), outpoint(s.Checked.Outpoint))
		}
	}
	return nil
}

func updateBalanceError(e *ckbtc.UpdateBalanceError) error {
	switch {
	case e == nil:
	case e.NoNewUtxos != nil:
		n := e.NoNewUtxos
		text := "no new deposit has enough confirmations"
		if n.PendingUtxos != nil {
			for _, p := range *n.PendingUtxos {
				text += fmt.Sprintf("; %s of %s has %d of %d", sats(p.Value), outpoint(p.Outpoint), p.Confirmations, n.RequiredConfirmations)
			}
		}
		return hint(errors.New(text), "fusion btc mine %d makes confirmations on a local network", n.RequiredConfirmations)
	case e.AlreadyProcessing != nil:
		return hint(errors.New("another update_balance for this account is under way"), "try again")
	case e.TemporarilyUnavailable != nil:
		return hint(fmt.Errorf("the minter is busy: %s", *e.TemporarilyUnavailable), "try again")
	case e.GenericError != nil:
		return fmt.Errorf("the minter refused: %s (code %d)", e.GenericError.ErrorMessage, e.GenericError.ErrorCode)
	}
	return errUnknownVariant
}

// errUnknownVariant is for alternatives that a later version of a canister may have.
var errUnknownVariant = errors.New("the canister answered with an error that this version does not know")

func outpoint(o ckbtc.Outpoint) string { return fmt.Sprintf("%s:%d", txid(o.Txid), o.Vout) }

// txid shows a transaction id as explorers do.
func txid(b []byte) string {
	var h btc.Hash
	copy(h[:], b)
	return h.String()
}

func transfer(ctx context.Context, c *client, w io.Writer, args []string) error {
	amount, err := parseAmount(args[0])
	if err != nil {
		return err
	}
	to, err := c.parseUser(args[1])
	if err != nil {
		return err
	}
	now := uint64(time.Now().UnixNano()) // makes the ledger refuse a repetition (ICRC-1, transaction deduplication)
	var r icrc.TransferResult
	arg := icrc.TransferArg{To: icrc.Account{Owner: to}, Amount: candid.NatFromUint64(amount), CreatedAtTime: &now}
	if err := c.Update(ctx, c.ledger, "icrc1_transfer", []any{arg}, []any{&r}); err != nil {
		return err
	}
	if r.Ok == nil {
		return transferError(r.Err, amount)
	}
	fmt.Fprintf(w, "sent %s to %s, ledger block %s\n", sats(amount), to, r.Ok)
	return nil
}

func natSats(n candid.Nat) string {
	v, ok := n.Uint64()
	if !ok {
		return n.String() + " sat"
	}
	return sats(v)
}

func transferError(e *icrc.TransferError, amount uint64) error {
	switch {
	case e == nil:
	case e.InsufficientFunds != nil:
		return insufficient(amount, natSats(e.InsufficientFunds.Balance))
	case e.BadFee != nil:
		return fmt.Errorf("the ledger's fee is %s", natSats(e.BadFee.ExpectedFee))
	case e.BadBurn != nil:
		return hint(fmt.Errorf("a burn must be of at least %s", natSats(e.BadBurn.MinBurnAmount)), "to get bitcoin back use: fusion ckbtc redeem")
	case e.Duplicate != nil:
		return fmt.Errorf("the same transfer is ledger block %s already", e.Duplicate.DuplicateOf)
	case e.TooOld != nil, e.CreatedInFuture != nil:
		return hint(errors.New("this machine's clock and the ledger's differ too much"), "set the clock; fusion status shows whether the network makes blocks")
	case e.TemporarilyUnavailable != nil:
		return hint(errors.New("the ledger is busy"), "try again")
	case e.GenericError != nil:
		return fmt.Errorf("the ledger refused: %s (code %s)", e.GenericError.Message, e.GenericError.ErrorCode)
	}
	return errUnknownVariant
}

func insufficient(amount uint64, balance string) error {
	return hint(fmt.Errorf("insufficient funds: the balance is %s, this needs %s and the ledger's fee", balance, sats(amount)),
		"fusion ckbtc balance shows what you have; fusion ckbtc address where to deposit")
}

func redeemCmd(o *options) *cobra.Command {
	var noWait bool
	cmd := &cobra.Command{Use: "redeem AMOUNT BITCOIN-ADDRESS", Short: "burn ckBTC and get bitcoin to an address of any kind", Args: cobra.ExactArgs(2),
		Long: `Burn ckBTC and get bitcoin to an address: P2PKH, P2SH, P2WPKH, P2WSH or P2TR.

The minter is allowed to take AMOUNT from your account, burns it, and pays it out minus its fee and the Bitcoin
network's. The command returns when the payment is signed and sent; fusion ckbtc status shows what follows.`,
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
			amount, err := parseAmount(args[0])
			if err != nil {
				return err
			}
			return redeem(ctx, c, w, amount, args[1], !noWait)
		})}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return when the ckBTC is burned; the payment follows")
	return cmd
}

func redeem(ctx context.Context, c *client, w io.Writer, amount uint64, address string, wait bool) error {
	// What would be refused is found before an allowance is paid for and left behind.
	var info ckbtc.MinterInfo
	if err := c.Ask(ctx, c.minter, "get_minter_info", nil, []any{&info}); err != nil {
		return err
	}
	if amount < info.RetrieveBtcMinAmount {
		return redeemError(&ckbtc.RetrieveBtcWithApprovalError{AmountTooLow: &info.RetrieveBtcMinAmount}, address, amount)
	}
	if c.local {
		if err := regtestAddress(address); err != nil {
			return err
		}
	}
	now := uint64(time.Now().UnixNano())
	var approved icrc.ApproveResult
	approve := icrc.ApproveArgs{Spender: icrc.Account{Owner: c.minter}, Amount: candid.NatFromUint64(amount), CreatedAtTime: &now}
	if err := c.Update(ctx, c.ledger, "icrc2_approve", []any{approve}, []any{&approved}); err != nil {
		return err
	}
	if approved.Ok == nil {
		return approveError(approved.Err, amount)
	}
	var r ckbtc.RetrieveBtcWithApprovalResult
	arg := ckbtc.RetrieveBtcWithApprovalArgs{Address: address, Amount: amount}
	if err := c.Update(ctx, c.minter, "retrieve_btc_with_approval", []any{arg}, []any{&r}); err != nil {
		return err
	}
	if r.Ok == nil {
		return redeemError(r.Err, address, amount)
	}
	block := r.Ok.BlockIndex
	fmt.Fprintf(w, "burned %s in ledger block %d\n", sats(amount), block)
	if !wait {
		fmt.Fprintf(w, "fusion ckbtc status %d shows when it is paid\n", block)
		return nil
	}
	p := newPhases(os.Stderr)
	defer p.Close()
	p.Begin("payment")
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		s, err := c.withdrawal(ctx, block)
		if err != nil {
			return hint(err, "the withdrawal goes on; see it with: fusion ckbtc status %d", block)
		}
		p.Note("%s", withdrawalState(s))
		if s.Pending == nil && s.Signing == nil && s.Sending == nil && s.Unknown == nil {
			p.Done("")
			p.Close()
			fmt.Fprintln(w, withdrawalState(s))
			return nil
		}
		select {
		case <-ctx.Done():
			return hint(ctx.Err(), "the withdrawal goes on; see it with: fusion ckbtc status %d", block)
		case <-t.C:
		}
	}
}

func approveError(e *icrc.ApproveError, amount uint64) error {
	switch {
	case e == nil:
	case e.InsufficientFunds != nil:
		return insufficient(amount, natSats(e.InsufficientFunds.Balance))
	case e.GenericError != nil:
		return fmt.Errorf("the ledger refused: %s (code %s)", e.GenericError.Message, e.GenericError.ErrorCode)
	case e.TooOld != nil, e.CreatedInFuture != nil:
		return hint(errors.New("this machine's clock and the ledger's differ too much"), "set the clock")
	case e.TemporarilyUnavailable != nil:
		return hint(errors.New("the ledger is busy"), "try again")
	}
	return errUnknownVariant
}

func redeemError(e *ckbtc.RetrieveBtcWithApprovalError, address string, amount uint64) error {
	switch {
	case e == nil:
	case e.MalformedAddress != nil:
		return fmt.Errorf("%q is no address that the minter can pay to: %s; nothing was burned", address, *e.MalformedAddress)
	case e.AmountTooLow != nil:
		return fmt.Errorf("%s is below the smallest withdrawal, %s; nothing was burned", sats(amount), sats(*e.AmountTooLow))
	case e.InsufficientFunds != nil:
		return insufficient(amount, sats(e.InsufficientFunds.Balance))
	case e.InsufficientAllowance != nil:
		return hint(fmt.Errorf("the minter may take only %s", sats(e.InsufficientAllowance.Allowance)), "another withdrawal used the allowance; try again")
	case e.AlreadyProcessing != nil:
		return hint(errors.New("another withdrawal of this account is being accepted"), "try again")
	case e.TemporarilyUnavailable != nil:
		return hint(fmt.Errorf("the minter is busy: %s", *e.TemporarilyUnavailable), "try again")
	case e.GenericError != nil:
		return fmt.Errorf("the minter refused: %s (code %d); nothing was burned", e.GenericError.ErrorMessage, e.GenericError.ErrorCode)
	}
	return errUnknownVariant
}

func (c *client) withdrawal(ctx context.Context, block uint64) (s ckbtc.RetrieveBtcStatusV2, err error) {
	err = c.Ask(ctx, c.minter, "retrieve_btc_status_v2", []any{ckbtc.BlockIndex{BlockIndex: block}}, []any{&s})
	return s, err
}

func withdrawals(ctx context.Context, c *client, w io.Writer, args []string) error {
	if len(args) == 1 {
		block, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return hint(fmt.Errorf("%q is no ledger block", args[0]), "fusion ckbtc redeem prints the number of the block")
		}
		s, err := c.withdrawal(ctx, block)
		if err != nil {
			return err
		}
		if s.Unknown != nil {
			return fmt.Errorf("ledger block %d is no withdrawal", block)
		}
		fmt.Fprintln(w, withdrawalState(s))
		var more *ckbtc.WithdrawalStatus
		if err := c.Ask(ctx, c.minter, "get_withdrawal_status", []any{ckbtc.BlockIndex{BlockIndex: block}}, []any{&more}); err == nil && more != nil {
			withdrawalDetails(w, more) // minters elsewhere do not have this method
		}
		return nil
	}
	var deposits []ckbtc.DepositStatus
	if err := c.Ask(ctx, c.minter, "get_deposit_status", []any{ckbtc.AddressArgs{}}, []any{&deposits}); err == nil { // nor this one
		for _, d := range deposits {
			fmt.Fprintf(w, "deposit %s of %s: %s\n", outpoint(d.Outpoint), sats(d.Value), depositState(d.Status))
		}
	}
	var all []ckbtc.StatusByAccount
	owner := &ckbtc.Account{Owner: c.Sender()}
	if err := c.Ask(ctx, c.minter, "retrieve_btc_status_v2_by_account", []any{owner}, []any{&all}); err != nil {
		return err
	}
	for _, s := range all {
		if s.StatusV2 != nil {
			fmt.Fprintf(w, "ledger block %-6d %s\n", s.BlockIndex, withdrawalState(*s.StatusV2))
		}
	}
	if len(all) == 0 {
		fmt.Fprintln(w, "no withdrawals")
	}
	return nil
}

// withdrawalDetails shows what a withdrawal's transactions pay and when one is expected in a block.
func withdrawalDetails(w io.Writer, s *ckbtc.WithdrawalStatus) {
	fmt.Fprintf(w, "%s to %s\n", sats(s.Amount), s.Address)
	if s.FeeRate != nil {
		fmt.Fprintf(w, "fee rate %d.%03d sat/vB after %d replacements\n", *s.FeeRate/1000, *s.FeeRate%1000, s.Replacements)
	}
	for _, t := range s.Transactions {
		what := "pays"
		if t.Cancels {
			what = "cancels"
		}
		fmt.Fprintf(w, "transaction %s %s: %d.%03d sat/vB, %s in fees\n", txid(t.Txid), what, t.FeeRate/1000, t.FeeRate%1000, sats(t.BitcoinFee))
	}
	switch {
	case s.SetAside != nil:
		fmt.Fprintf(w, "set aside: %s\n", *s.SetAside)
	case s.ExpectedBlocks == nil:
	case s.ExpectedHeight != nil:
		fmt.Fprintf(w, "expected within %d blocks, by block %d\n", *s.ExpectedBlocks, *s.ExpectedHeight)
	default:
		fmt.Fprintf(w, "expected within %d blocks\n", *s.ExpectedBlocks)
	}
}

// depositState says in words where a deposit is.
func depositState(s ckbtc.DepositState) string {
	switch {
	case s.Mempool != nil:
		return "announced, in no block yet"
	case s.Confirming != nil:
		return fmt.Sprintf("%d of %d confirmations", s.Confirming.Confirmations, s.Confirming.Required)
	case s.Confirmed != nil:
		return "confirmed: fusion ckbtc update-balance mints it"
	case s.Suspended != nil && s.Suspended.Reason.Quarantined != nil:
		return "refused by the checker; asked again after " + time.Unix(0, int64(s.Suspended.EarliestRetry)).Format(time.DateTime)
	case s.Suspended != nil:
		return "below the minimum deposit; looked at again after " + time.Unix(0, int64(s.Suspended.EarliestRetry)).Format(time.DateTime)
	case s.Checked != nil:
		return "checked: the ledger is being asked"
	case s.MintUnknown != nil:
		return "the ledger did not say whether it minted; its blocks will tell"
	case s.Minted != nil:
		return fmt.Sprintf("minted %s in ledger block %d", sats(s.Minted.MintedAmount), s.Minted.BlockIndex)
	}
	return "unknown"
}

// withdrawalState says in words where a withdrawal is.
func withdrawalState(s ckbtc.RetrieveBtcStatusV2) string {
	switch {
	case s.Pending != nil:
		return "pending: waiting to be paid with others in one transaction"
	case s.Signing != nil:
		return "signing: the replicas are signing the payment"
	case s.Sending != nil:
		return "sending: transaction " + txid(s.Sending.Txid) + " is signed and on its way to the bitcoin network"
	case s.Submitted != nil:
		return "submitted: transaction " + txid(s.Submitted.Txid) + " waits for confirmations"
	case s.Confirmed != nil:
		return "confirmed: paid by transaction " + txid(s.Confirmed.Txid)
	case s.AmountTooLow != nil:
		return "amount too low: it does not cover the fees"
	case s.WillReimburse != nil:
		return "will be reimbursed: " + sats(s.WillReimburse.Amount) + " of ckBTC come back"
	case s.Reimbursed != nil:
		return fmt.Sprintf("reimbursed: %s of ckBTC came back in ledger block %d", sats(s.Reimbursed.Amount), s.Reimbursed.MintBlockIndex)
	}
	return "unknown"
}

// eventsPage is how many events are asked for at once (the minter returns at most 2,000).
const eventsPage = 2000

// custodyOf adds up what the minter's public event log says it holds: deposits minus what payments spent plus their change.
func custodyOf(ctx context.Context, a *agent.Agent, minter principal.Principal) (uint64, error) {
	var held uint64
	change := map[string]uint64{}
	value := func(us []ckbtc.Utxo) (sum uint64) {
		for _, u := range us {
			sum += u.Value
		}
		return sum
	}
	for start := uint64(0); ; {
		var page []ckbtc.Event
		if err := a.Ask(ctx, minter, "get_events", []any{ckbtc.EventsArgs{Start: start, Length: eventsPage}}, []any{&page}); err != nil {
			return 0, err
		}
		for _, e := range page {
			switch p := e.Payload; {
			case p.ReceivedUtxos != nil:
				held += value(p.ReceivedUtxos.Utxos)
			case p.SentTransaction != nil:
				held -= value(p.SentTransaction.Utxos)
				if fee := p.SentTransaction.WithdrawalFee; len(p.SentTransaction.Requests) == 0 && fee != nil { // a consolidation keeps all but its fee
					held += value(p.SentTransaction.Utxos) - fee.BitcoinFee
				} else if out := p.SentTransaction.ChangeOutput; out != nil {
					held += out.Value
					change[string(p.SentTransaction.Txid)] = out.Value
				}
			case p.ReplacedTransaction != nil:
				r := p.ReplacedTransaction
				held += r.ChangeOutput.Value - change[string(r.OldTxid)]
				change[string(r.NewTxid)] = r.ChangeOutput.Value
			}
		}
		if len(page) == 0 {
			return held, nil
		}
		start += uint64(len(page))
	}
}
