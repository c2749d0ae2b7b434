package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
	"github.com/spf13/cobra"

	"fusion/ckledger/cketh"
	"fusion/ckledger/icrc"
	"fusion/eth"
	"fusion/eth/contracts"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/testnets"
	"fusion/testnets/canisters"
)

// ckethMinter is the canister that keeps ether and tokens; it has one id on all networks.
var ckethMinter = canisters.CkethMinter

func ckethCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "cketh", Short: "deposit ether, hold and send ckETH, withdraw it"}
	ether := func(context.Context, *client) (*asset, error) { return &etherAsset, nil }
	cmd.AddCommand(ckethAddressCmd(o), depositCmd(o, "deposit AMOUNT", cobra.ExactArgs(1), ether),
		&cobra.Command{Use: "update-balance [PRINCIPAL]", Short: "have the minter look at a user's deposit address, yours by default", Args: cobra.MaximumNArgs(1),
			RunE: o.with(ckethUpdateBalance)},
		&cobra.Command{Use: "balance [PRINCIPAL]", Short: "show how much ckETH a user has, you by default", Args: cobra.MaximumNArgs(1),
			RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
				return showBalance(ctx, c, w, &etherAsset, args)
			})},
		&cobra.Command{Use: "transfer AMOUNT PRINCIPAL", Short: "send ckETH to another user", Args: cobra.ExactArgs(2),
			RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
				return sendAsset(ctx, c, w, &etherAsset, args[0], args[1])
			})},
		withdrawCmd(o, "withdraw AMOUNT ETHEREUM-ADDRESS", cobra.ExactArgs(2), ether),
		&cobra.Command{Use: "status [BLOCK]", Short: "show the withdrawal that burned its ckETH in a ledger block, or all of your deposits and withdrawals",
			Args: cobra.MaximumNArgs(1), RunE: o.with(ckethStatus)})
	return o.remote(cmd)
}

func ckerc20Cmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "ckerc20", Short: "deposit ERC-20 tokens, hold and send them, withdraw them",
		Long: `Use tokens of Ethereum that the ckETH minter supports. TOKEN is a symbol such as ckUSDC, with or without its ck. The transaction
of a withdrawal is paid for with ckETH.`}
	// The token is the last argument but for those that name somebody.
	named := func(text string) func(context.Context, *client) (*asset, error) {
		return func(ctx context.Context, c *client) (*asset, error) { return findAsset(ctx, c, text) }
	}
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "show the tokens, their contracts and ledgers", Args: cobra.NoArgs, RunE: o.with(listAssets)},
		depositCmd(o, "deposit AMOUNT TOKEN", cobra.ExactArgs(2), nil),
		&cobra.Command{Use: "balance TOKEN [PRINCIPAL]", Short: "show how much of a token a user has, you by default", Args: cobra.RangeArgs(1, 2),
			RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
				a, err := named(args[0])(ctx, c)
				if err != nil {
					return err
				}
				return showBalance(ctx, c, w, a, args[1:])
			})},
		&cobra.Command{Use: "transfer AMOUNT TOKEN PRINCIPAL", Short: "send a token to another user", Args: cobra.ExactArgs(3),
			RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
				a, err := named(args[1])(ctx, c)
				if err != nil {
					return err
				}
				return sendAsset(ctx, c, w, a, args[0], args[2])
			})},
		withdrawCmd(o, "withdraw AMOUNT TOKEN ETHEREUM-ADDRESS", cobra.ExactArgs(3), nil),
		&cobra.Command{Use: "status [BLOCK]", Short: "show the withdrawal that burned its fee in a block of ckETH's ledger, or all of your deposits and withdrawals",
			Args: cobra.MaximumNArgs(1), RunE: o.with(ckethStatus)})
	return o.remote(cmd)
}

// asset is ether or a token, with its ledger on the network.
type asset struct {
	symbol   string // of the ledger
	ledger   principal.Principal
	decimals uint8
	contract *eth.Address // on Ethereum; nil for ether
}

var etherAsset = asset{symbol: "ckETH", ledger: canisters.CkethLedger, decimals: eth.EtherDecimals}

func (a *asset) parse(text string) (*uint256.Int, error) {
	if a.contract == nil {
		return parseWei(text)
	}
	return parseToken(text, a.decimals)
}

// show writes an amount of the ledger's token. The symbol is the ledger's: it may be anything.
func (a *asset) show(n candid.Nat) string {
	v, err := toUint256(n.Big())
	if err != nil {
		return n.String()
	}
	return eth.FormatUnits(v, a.decimals) + " " + printable(a.symbol)
}

func natOf(n *uint256.Int) candid.Nat { return candid.NatFromBig(n.ToBig()) }

func minterInfo(ctx context.Context, c *client) (info cketh.MinterInfo, err error) {
	err = c.Ask(ctx, ckethMinter, "get_minter_info", nil, []any{&info})
	return info, err
}

// findAsset is the token with a symbol.
func findAsset(ctx context.Context, c *client, symbol string) (*asset, error) {
	info, err := minterInfo(ctx, c)
	if err != nil {
		return nil, err
	}
	if info.SupportedTokens != nil {
		for _, t := range *info.SupportedTokens {
			if !strings.EqualFold(t.Symbol, symbol) && !strings.EqualFold(t.Symbol, "ck"+symbol) {
				continue
			}
			contract, err := eth.ParseAddress(t.ContractAddress)
			if err != nil {
				return nil, fmt.Errorf("the minter's contract of %s: %w", printable(t.Symbol), err)
			}
			a := &asset{symbol: t.Symbol, ledger: t.LedgerID, contract: &contract}
			return a, c.Ask(ctx, t.LedgerID, "icrc1_decimals", nil, []any{&a.decimals})
		}
	}
	return nil, hint(fmt.Errorf("the minter supports no token %q", symbol), "fusion ckerc20 list shows those that it supports; a new network needs a moment for its first")
}

func listAssets(ctx context.Context, c *client, w io.Writer, _ []string) error {
	info, err := minterInfo(ctx, c)
	if err != nil {
		return err
	}
	if info.SupportedTokens == nil || len(*info.SupportedTokens) == 0 {
		fmt.Fprintln(w, "no tokens")
		return nil
	}
	for _, t := range *info.SupportedTokens {
		fmt.Fprintf(w, "%-10s contract %s  ledger %s\n", printable(t.Symbol), t.ContractAddress, t.LedgerID)
	}
	return nil
}

func ckethAddressCmd(o *options) *cobra.Command {
	var minter, helper bool
	cmd := &cobra.Command{Use: "address [PRINCIPAL]", Short: "show where to send ether that becomes ckETH of a user, you by default", Args: cobra.MaximumNArgs(1),
		Long: `Show the deposit address of a user: plain ether sent there, from an exchange for example, becomes ckETH. After the payment,
fusion cketh update-balance has the minter look. Deposits through the helper contract need no such address.`,
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
			if minter || helper {
				info, err := minterInfo(ctx, c)
				if err != nil {
					return err
				}
				what, address := "the minter's key is in the making", info.MinterAddress
				if helper {
					what, address = "the minter has no helper contract", info.DepositHelperAddress
				}
				if address == nil {
					return hint(errors.New(what), "fusion status shows the keys; fusion eth deploy-helper creates the contract")
				}
				fmt.Fprintln(w, *address)
				return nil
			}
			owner, err := c.owner(args)
			if err != nil {
				return err
			}
			var address string
			if err := c.Update(ctx, ckethMinter, "get_deposit_address", []any{icrc.Account{Owner: owner}}, []any{&address}); err != nil {
				return err
			}
			fmt.Fprintln(w, address)
			return nil
		})}
	cmd.Flags().BoolVar(&minter, "minter", false, "show the address that holds all deposits instead")
	cmd.Flags().BoolVar(&helper, "helper", false, "show the address of the helper contract instead")
	cmd.MarkFlagsMutuallyExclusive("minter", "helper")
	return cmd
}

func ckethUpdateBalance(ctx context.Context, c *client, w io.Writer, args []string) error {
	owner, err := c.owner(args)
	if err != nil {
		return err
	}
	var r cketh.TextResult
	if err := c.Update(ctx, ckethMinter, "notify_deposit", []any{icrc.Account{Owner: owner}}, []any{&r}); err != nil {
		return err
	}
	if r.Ok == nil {
		if r.Err == nil {
			return errUnknownVariant
		}
		return errors.New(*r.Err)
	}
	fmt.Fprintln(w, printable(*r.Ok))
	return nil
}

func showBalance(ctx context.Context, c *client, w io.Writer, a *asset, args []string) error {
	owner, err := c.owner(args)
	if err != nil {
		return err
	}
	var n candid.Nat
	if err := c.Ask(ctx, a.ledger, "icrc1_balance_of", []any{icrc.Account{Owner: owner}}, []any{&n}); err != nil {
		return err
	}
	fmt.Fprintln(w, a.show(n))
	return nil
}

func sendAsset(ctx context.Context, c *client, w io.Writer, a *asset, amount, user string) error {
	n, err := a.parse(amount)
	if err != nil {
		return err
	}
	to, err := c.parseUser(user)
	if err != nil {
		return err
	}
	now := uint64(time.Now().UnixNano()) // makes the ledger refuse a repetition (ICRC-1, transaction deduplication)
	var r icrc.TransferResult
	arg := icrc.TransferArg{To: icrc.Account{Owner: to}, Amount: natOf(n), CreatedAtTime: &now}
	if err := c.Update(ctx, a.ledger, "icrc1_transfer", []any{arg}, []any{&r}); err != nil {
		return err
	}
	if r.Ok == nil {
		if e := r.Err; e != nil && e.InsufficientFunds != nil {
			return a.insufficient(natOf(n), e.InsufficientFunds.Balance)
		}
		return transferError(r.Err, 0)
	}
	fmt.Fprintf(w, "sent %s to %s, ledger block %s\n", a.show(natOf(n)), to, r.Ok)
	return nil
}

func (a *asset) insufficient(needs, has candid.Nat) error {
	cmd := "cketh deposit AMOUNT"
	if a.contract != nil {
		cmd = "ckerc20 deposit AMOUNT " + printable(a.symbol)
	}
	return hint(fmt.Errorf("insufficient funds: the balance is %s, this needs %s and the ledger's fee", a.show(has), a.show(needs)), "fusion %s brings more", cmd)
}

// depositCmd deposits an asset; without one the last argument names it.
func depositCmd(o *options, use string, args cobra.PositionalArgs, which func(context.Context, *client) (*asset, error)) *cobra.Command {
	var noWait bool
	var who string
	cmd := &cobra.Command{Use: use, Short: "send a deposit to the helper contract and wait until it is minted", Args: args,
		Long: `On a local network the deposit is sent from the identity's own account on the development chain, which the faucet fills as needed,
and the command waits until it is minted. For another network, named by --network, it prints what to send from your own wallet.`,
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
			find := which
			if find == nil {
				find = func(ctx context.Context, c *client) (*asset, error) { return findAsset(ctx, c, args[1]) }
			}
			a, err := find(ctx, c)
			if err != nil {
				return err
			}
			n, err := a.parse(args[0])
			if err != nil {
				return err
			}
			whom := c.Sender()
			if who != "" {
				if whom, err = parsePrincipal(who, "principal"); err != nil {
					return err
				}
			}
			return deposit(ctx, o, c, w, a, n, whom, !noWait)
		})}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return when the deposit is mined")
	cmd.Flags().StringVar(&who, "for", "", "principal that it is minted for; the default is you")
	return cmd
}

func deposit(ctx context.Context, o *options, c *client, w io.Writer, a *asset, n *uint256.Int, whom principal.Principal, wait bool) error {
	info, err := minterInfo(ctx, c)
	if err != nil {
		return err
	}
	if info.DepositHelperAddress == nil || info.MinterAddress == nil {
		return hint(errors.New("the minter has no helper contract, or no key yet"), "fusion eth deploy-helper creates the contract; fusion cketh address shows an address that needs none")
	}
	helper, err := eth.ParseAddress(*info.DepositHelperAddress)
	if err != nil {
		return fmt.Errorf("the minter's helper contract: %w", err)
	}
	value, data := n, eth.PackDepositETH(whom, [32]byte{})
	if a.contract != nil {
		value, data = new(uint256.Int), eth.PackDepositERC20(*a.contract, n, whom, [32]byte{})
	}
	if !c.local {
		if a.contract != nil {
			fmt.Fprintf(w, "first allow the helper contract to take the tokens:\n  to    %s\n  value 0\n  data  0x%x\nthen ", *a.contract, eth.PackApprove(helper, n))
		}
		fmt.Fprintf(w, "send from your wallet, on chain %s:\n  to    %s\n  value %s\n  data  0x%x\n", chainName(info), helper, ether(value), data)
		fmt.Fprintf(w, "compare the contract's minter with %s before: it is what getMinterAddress() answers\n", *info.MinterAddress)
		return nil
	}
	chain, err := o.dialChain(ctx)
	if err != nil {
		return err
	}
	defer chain.client.Close()
	forwards, err := contracts.MinterOf(ctx, chain.client, helper)
	if err != nil {
		return err
	}
	if forwards.String() != *info.MinterAddress {
		return fmt.Errorf("the helper contract %s passes deposits on to %s, the minter is %s: nothing was sent", helper, forwards, *info.MinterAddress)
	}
	key, err := chain.key()
	if err != nil {
		return err
	}
	own := eth.Address(crypto.PubkeyToAddress(key.PublicKey))
	if err := chain.fill(ctx, own, value, a, n); err != nil {
		return err
	}
	if a.contract != nil {
		if _, err := testnets.SendEthereum(ctx, chain.client, key, a.contract, nil, eth.PackApprove(helper, n)); err != nil {
			return fmt.Errorf("allowing the helper contract to take the tokens: %w", err)
		}
	}
	sent, err := testnets.SendEthereum(ctx, chain.client, key, &helper, value, data)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "deposited %s in transaction %s, block %v\n", a.show(natOf(n)), sent.TxHash, sent.BlockNumber)
	if !wait {
		fmt.Fprintln(w, "fusion cketh status shows when it is minted")
		return nil
	}
	return awaitMint(ctx, c, w, a, sent.TxHash.String())
}

func chainName(info cketh.MinterInfo) string {
	if info.ChainID == nil {
		return "1 (Ethereum)"
	}
	return info.ChainID.String()
}

// gasMoney is what an account of a development chain is given for the fees of its transactions, in wei.
var gasMoney = uint256.NewInt(10_000_000_000_000_000)

// fill gives an account of a development chain what it lacks for a deposit.
func (c *ethChain) fill(ctx context.Context, own eth.Address, value *uint256.Int, a *asset, n *uint256.Int) error {
	has, err := c.client.BalanceAt(ctx, common.Address(own), nil)
	if err != nil {
		return fmt.Errorf("ethereum node at %s: %w", c.URL, err)
	}
	need, overflow := new(uint256.Int).AddOverflow(value, gasMoney)
	if overflow {
		return hint(fmt.Errorf("%s is more than there is", ether(value)), "deposit less")
	}
	text := own.String()
	if missing := new(big.Int).Sub(need.ToBig(), has); missing.Sign() > 0 {
		if _, err := c.admin.SendEthereum(ctx, testnets.EthereumSend{To: &text, Wei: missing.String()}); err != nil {
			return hint(fmt.Errorf("%s has %s, the deposit and its fees need %s: %w", own, ether(uint256.MustFromBig(has)), ether(need), err),
				"send ether to %s", own)
		}
	}
	if a.contract == nil {
		return nil
	}
	t, err := readToken(ctx, c.client, *a.contract)
	if err != nil {
		return err
	}
	if has, err = t.balance(ctx, own); err != nil {
		return err
	}
	if missing := new(big.Int).Sub(n.ToBig(), has); missing.Sign() > 0 {
		contract := a.contract.String()
		data := contracts.NewDevToken().PackMint(common.Address(own), missing)
		if _, err := c.admin.SendEthereum(ctx, testnets.EthereumSend{To: &contract, Data: data}); err != nil {
			return hint(fmt.Errorf("%s has %s, and the faucet cannot mint of token %s: %w", own, t.show(has), contract, err), "send the tokens to %s", own)
		}
	}
	return nil
}

// awaitMint waits until the deposits of a transaction are minted, or never will be.
func awaitMint(ctx context.Context, c *client, w io.Writer, a *asset, hash string) error {
	p := newPhases(os.Stderr)
	defer p.Close()
	p.Begin("mint")
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		var all []cketh.DepositReport
		if err := c.Ask(ctx, ckethMinter, "deposit_status", []any{cketh.DepositQuery{TransactionHash: &hash}}, []any{&all}); err != nil {
			return hint(err, "the deposit goes on; see it with: fusion cketh status")
		}
		note := "the block is not final yet"
		for _, d := range all {
			note = printable(d.Message)
			switch {
			case d.Status.Minted != nil:
				p.Done("")
				p.Close()
				fmt.Fprintf(w, "minted %s, ledger block %s\n", a.show(d.Amount), d.Status.Minted.BlockIndex)
				return nil
			case d.Status.Invalid != nil:
				return fmt.Errorf("the deposit will not be minted: %s", *d.Status.Invalid)
			}
		}
		p.Note("%s", note)
		select {
		case <-ctx.Done():
			return hint(ctx.Err(), "the deposit goes on; see it with: fusion cketh status")
		case <-t.C:
		}
	}
}

// withdrawCmd withdraws an asset; without one the argument before the address names it.
func withdrawCmd(o *options, use string, args cobra.PositionalArgs, which func(context.Context, *client) (*asset, error)) *cobra.Command {
	var noWait bool
	cmd := &cobra.Command{Use: use, Short: "burn what you hold here and get it on Ethereum", Args: args,
		Long: `The minter is allowed to take AMOUNT from your account, burns it, and sends it on Ethereum. The fee of that transaction comes out of the
amount of ether, and for a token out of your ckETH. The command returns when the payment is final; fusion cketh status shows it too.`,
		RunE: o.with(func(ctx context.Context, c *client, w io.Writer, args []string) error {
			find := which
			if find == nil {
				find = func(ctx context.Context, c *client) (*asset, error) { return findAsset(ctx, c, args[1]) }
			}
			a, err := find(ctx, c)
			if err != nil {
				return err
			}
			n, err := a.parse(args[0])
			if err != nil {
				return err
			}
			to, err := parseEthereumAddress(args[len(args)-1])
			if err != nil {
				return err
			}
			id, err := withdraw(ctx, c, a, n, to)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "burned %s, withdrawal %d\n", a.show(natOf(n)), id)
			if noWait {
				fmt.Fprintf(w, "fusion cketh status %d shows when it is paid\n", id)
				return nil
			}
			return awaitPayment(ctx, c, w, id)
		})}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return when it is burned; the payment follows")
	return cmd
}

// withdraw allows the minter to take what it needs and asks for the payment. It returns the withdrawal's number, a block of ckETH's ledger.
func withdraw(ctx context.Context, c *client, a *asset, n *uint256.Int, to eth.Address) (uint64, error) {
	if a.contract == nil {
		// What would be refused is found before an allowance is paid for and left behind.
		info, err := minterInfo(ctx, c)
		if err != nil {
			return 0, err
		}
		if least := info.MinimumWithdrawal; least != nil && natOf(n).Cmp(*least) < 0 {
			return 0, fmt.Errorf("%s is below the smallest withdrawal, %s; nothing was burned", a.show(natOf(n)), a.show(*least))
		}
		if err := approve(ctx, c, a, natOf(n)); err != nil {
			return 0, err
		}
		var r cketh.WithdrawEthResult
		if err := c.Update(ctx, ckethMinter, "withdraw_eth", []any{cketh.WithdrawalArg{Amount: natOf(n), Recipient: to.String()}}, []any{&r}); err != nil {
			return 0, err
		}
		if r.Ok == nil {
			return 0, a.withdrawalError(r.Err, natOf(n))
		}
		id, _ := r.Ok.BlockIndex.Uint64()
		return id, nil
	}
	var price cketh.Price
	if err := c.Ask(ctx, ckethMinter, "eip_1559_transaction_price", []any{&cketh.PriceArg{LedgerID: a.ledger}}, []any{&price}); err != nil {
		return 0, err
	}
	// Fees may rise until the minter takes them.
	fee := candid.NatFromBig(new(big.Int).Mul(price.MaxTransactionFee.Big(), big.NewInt(2)))
	if err := approve(ctx, c, &etherAsset, fee); err != nil {
		return 0, fmt.Errorf("the fee of the transaction: %w", err)
	}
	if err := approve(ctx, c, a, natOf(n)); err != nil {
		return 0, err
	}
	var r cketh.WithdrawErc20Result
	arg := cketh.WithdrawErc20Arg{Amount: natOf(n), LedgerID: a.ledger, Recipient: to.String()}
	if err := c.Update(ctx, ckethMinter, "withdraw_erc20", []any{arg}, []any{&r}); err != nil {
		return 0, err
	}
	if r.Ok == nil {
		return 0, a.tokenWithdrawalError(r.Err)
	}
	id, _ := r.Ok.CkethBlockIndex.Uint64()
	return id, nil
}

func approve(ctx context.Context, c *client, a *asset, n candid.Nat) error {
	now := uint64(time.Now().UnixNano())
	var r icrc.ApproveResult
	arg := icrc.ApproveArgs{Spender: icrc.Account{Owner: ckethMinter}, Amount: n, CreatedAtTime: &now}
	if err := c.Update(ctx, a.ledger, "icrc2_approve", []any{arg}, []any{&r}); err != nil {
		return err
	}
	if r.Ok != nil {
		return nil
	}
	if r.Err != nil && r.Err.InsufficientFunds != nil {
		return a.insufficient(n, r.Err.InsufficientFunds.Balance)
	}
	return approveError(r.Err, 0)
}

func (a *asset) withdrawalError(e *cketh.WithdrawalError, n candid.Nat) error {
	switch {
	case e == nil:
	case e.AmountTooLow != nil:
		return fmt.Errorf("%s is below the smallest withdrawal, %s; nothing was burned", a.show(n), a.show(e.AmountTooLow.MinWithdrawalAmount))
	case e.InsufficientFunds != nil:
		return a.insufficient(n, e.InsufficientFunds.Balance)
	case e.InsufficientAllowance != nil:
		return hint(fmt.Errorf("the minter may take only %s", a.show(e.InsufficientAllowance.Allowance)), "another withdrawal used the allowance; try again")
	case e.RecipientAddressBlocked != nil:
		return fmt.Errorf("the minter pays nothing to %s, which is on its block list; nothing was burned", printable(e.RecipientAddressBlocked.Address))
	case e.TemporarilyUnavailable != nil:
		return hint(fmt.Errorf("the minter is busy: %s; nothing was burned", *e.TemporarilyUnavailable), "try again")
	}
	return errUnknownVariant
}

func (a *asset) tokenWithdrawalError(e *cketh.WithdrawErc20Error) error {
	burn := func(of *asset, e cketh.LedgerError) error {
		switch {
		case e.InsufficientFunds != nil:
			return of.insufficient(e.InsufficientFunds.FailedBurnAmount, e.InsufficientFunds.Balance)
		case e.InsufficientAllowance != nil:
			return hint(fmt.Errorf("the minter may take only %s, and needs %s", of.show(e.InsufficientAllowance.Allowance), of.show(e.InsufficientAllowance.FailedBurnAmount)),
				"fees have risen, or another withdrawal used the allowance; try again")
		case e.AmountTooLow != nil:
			return fmt.Errorf("the ledger burns no less than %s", of.show(e.AmountTooLow.MinimumBurnAmount))
		case e.TemporarilyUnavailable != nil:
			return hint(fmt.Errorf("the ledger is busy: %s", *e.TemporarilyUnavailable), "try again")
		}
		return errUnknownVariant
	}
	switch {
	case e == nil:
	case e.TokenNotSupported != nil:
		return hint(fmt.Errorf("the minter does not support %s any more", printable(a.symbol)), "fusion ckerc20 list shows the tokens that it supports")
	case e.RecipientAddressBlocked != nil:
		return fmt.Errorf("the minter pays nothing to %s, which is on its block list; nothing was burned", printable(e.RecipientAddressBlocked.Address))
	case e.CkEthLedgerError != nil:
		return fmt.Errorf("the fee of the transaction: %w", burn(&etherAsset, e.CkEthLedgerError.Error))
	case e.CkErc20LedgerError != nil:
		return fmt.Errorf("the fee was burned and comes back, less a small part of it: %w", burn(a, e.CkErc20LedgerError.Error))
	case e.TemporarilyUnavailable != nil:
		return hint(fmt.Errorf("the minter is busy: %s; nothing was burned", *e.TemporarilyUnavailable), "try again")
	}
	return errUnknownVariant
}

func findWithdrawal(ctx context.Context, c *client, id uint64) (*cketh.WithdrawalDetail, error) {
	var all []cketh.WithdrawalDetail
	if err := c.Ask(ctx, ckethMinter, "withdrawal_status", []any{cketh.SearchParameter{ByWithdrawalID: &id}}, []any{&all}); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, hint(fmt.Errorf("block %d of ckETH's ledger is no withdrawal", id), "fusion cketh withdraw prints the number; fusion cketh status lists yours")
	}
	return &all[0], nil
}

// awaitPayment waits until a withdrawal has ended.
func awaitPayment(ctx context.Context, c *client, w io.Writer, id uint64) error {
	p := newPhases(os.Stderr)
	defer p.Close()
	p.Begin("payment")
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		d, err := findWithdrawal(ctx, c, id)
		if err != nil {
			return hint(err, "the withdrawal goes on; see it with: fusion cketh status %d", id)
		}
		p.Note("%s", paymentState(d))
		if f := d.Status.TxFinalized; f != nil && f.PendingReimbursement == nil {
			p.Done("")
			p.Close()
			fmt.Fprintln(w, paymentState(d))
			return nil
		}
		select {
		case <-ctx.Done():
			return hint(ctx.Err(), "the withdrawal goes on; see it with: fusion cketh status %d", id)
		case <-t.C:
		}
	}
}

// paymentState says in words where a withdrawal is, and what the minter adds to that.
func paymentState(d *cketh.WithdrawalDetail) string {
	state := "unknown"
	switch s := d.Status; {
	case s.Pending != nil:
		state = "pending: it waits for its turn"
	case s.TxCreated != nil:
		state = "signing: the replicas are signing the transaction"
	case s.TxSent != nil:
		state = "sent: transaction " + printable(s.TxSent.TransactionHash) + " waits to become final"
	case s.TxFinalized != nil && s.TxFinalized.Success != nil:
		return "paid by transaction " + printable(s.TxFinalized.Success.TransactionHash)
	case s.TxFinalized != nil && s.TxFinalized.PendingReimbursement != nil:
		state = "failed: what was burned comes back"
	case s.TxFinalized != nil && s.TxFinalized.Reimbursed != nil:
		return fmt.Sprintf("failed: what was burned came back in ledger block %s", s.TxFinalized.Reimbursed.ReimbursedInBlock)
	}
	if d.Message != nil && *d.Message != "" {
		state += " (" + printable(*d.Message) + ")"
	}
	return state
}

func ckethStatus(ctx context.Context, c *client, w io.Writer, args []string) error {
	if len(args) == 1 {
		id, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return hint(fmt.Errorf("%q is no ledger block", args[0]), "fusion cketh withdraw prints the number of the block")
		}
		d, err := findWithdrawal(ctx, c, id)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, paymentState(d))
		return nil
	}
	info, err := minterInfo(ctx, c)
	if err != nil {
		return err
	}
	if info.Troubles != nil {
		for _, t := range *info.Troubles {
			what := "the minter"
			if t.ContractAddress != nil {
				what = "token " + printable(*t.ContractAddress)
			}
			fmt.Fprintf(w, "%s has halted: %s\n", what, printable(t.Reason))
		}
	}
	me := cketh.Account{Owner: c.Sender()}
	var deposits []cketh.DepositReport
	if err := c.Ask(ctx, ckethMinter, "deposit_status", []any{cketh.DepositQuery{}}, []any{&deposits}); err != nil {
		return err
	}
	for _, d := range deposits {
		fmt.Fprintf(w, "deposit %s: %s\n", printable(d.TransactionHash), printable(d.Message))
	}
	var paid []cketh.WithdrawalDetail
	if err := c.Ask(ctx, ckethMinter, "withdrawal_status", []any{cketh.SearchParameter{BySenderAccount: &me}}, []any{&paid}); err != nil {
		return err
	}
	for _, d := range paid {
		fmt.Fprintf(w, "withdrawal %d of %s: %s\n", d.WithdrawalID, printable(d.TokenSymbol), paymentState(&d))
	}
	if len(deposits)+len(paid) == 0 {
		fmt.Fprintln(w, "no deposits and no withdrawals")
	}
	return nil
}
