package main

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"fusion/btc"
	"fusion/testnets"
)

func btcCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "btc", Short: "use the local network's Bitcoin regtest node: mine, pay, look"}
	cmd.AddCommand(mineCmd(o),
		&cobra.Command{Use: "send AMOUNT ADDRESS", Short: "pay from the faucet; the payment waits until a block is mined", Args: cobra.ExactArgs(2),
			RunE: func(c *cobra.Command, args []string) error {
				amount, err := parseAmount(args[0])
				if err != nil {
					return err
				}
				if err := regtestAddress(args[1]); err != nil {
					return err
				}
				a, err := testnets.DialAdmin(o.dir)
				if err != nil {
					return err
				}
				id, err := a.Send(c.Context(), testnets.SendRequest{Address: args[1], Satoshi: btc.Satoshi(amount)})
				if err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "sent %s to %s\ntransaction %s\n", sats(amount), args[1], id)
				return nil
			}},
		&cobra.Command{Use: "balance ADDRESS", Short: "show what an address holds on the best chain", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				if err := regtestAddress(args[0]); err != nil {
					return err
				}
				a, err := testnets.DialAdmin(o.dir)
				if err != nil {
					return err
				}
				n, err := a.Balance(c.Context(), args[0])
				if err != nil {
					return err
				}
				fmt.Fprintln(c.OutOrStdout(), sats(uint64(n)))
				return nil
			}},
		txCmd(o),
	)
	return cmd
}

func regtestAddress(text string) error {
	if _, err := btc.ParseAddress(btc.Regtest, text); err != nil {
		return hint(fmt.Errorf("%q: %w", text, err), "regtest addresses start with bcrt1, m, n or 2; fusion ckbtc address shows yours")
	}
	return nil
}

func mineCmd(o *options) *cobra.Command {
	var to string
	cmd := &cobra.Command{Use: "mine [BLOCKS]", Short: "mine blocks, one by default, with what waits in the node's pool", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in := testnets.MineRequest{Blocks: 1, Address: to}
			if len(args) == 1 {
				n, err := strconv.Atoi(args[0])
				if err != nil || n < 1 {
					return fmt.Errorf("%q is no number of blocks", args[0])
				}
				in.Blocks = n
			}
			if to != "" {
				if err := regtestAddress(to); err != nil {
					return err
				}
			}
			a, err := testnets.DialAdmin(o.dir)
			if err != nil {
				return err
			}
			r, err := a.Mine(c.Context(), in)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "mined %s, the chain is at block %d\n", plural(in.Blocks, "block"), r.Height)
			return nil
		}}
	cmd.Flags().StringVar(&to, "to", "", "address that gets the new coins; the default is the faucet")
	return cmd
}

func txCmd(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "tx TXID", Short: "show a transaction of the node's chain or pool", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := btc.ParseHash(args[0]); err != nil {
				return fmt.Errorf("%q is no transaction id: %w", args[0], err)
			}
			a, err := testnets.DialAdmin(o.dir)
			if err != nil {
				return err
			}
			tx, err := a.Tx(c.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				fmt.Fprint(c.OutOrStdout(), toJSON(tx))
				return nil
			}
			return printTx(c, tx)
		}}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON, raw bytes included")
	return cmd
}

func printTx(c *cobra.Command, found testnets.BitcoinTx) error {
	raw, err := hex.DecodeString(found.Raw)
	if err != nil {
		return fmt.Errorf("transaction %s from the node: %w", found.Txid, err)
	}
	tx, err := btc.ParseTx(raw)
	if err != nil {
		return fmt.Errorf("transaction %s from the node: %w", found.Txid, err)
	}
	w := c.OutOrStdout()
	where := "waiting to be mined"
	if found.Confirmations > 0 {
		where = fmt.Sprintf("block %d, %s", found.Height, plural(int(found.Confirmations), "confirmation"))
	}
	fmt.Fprintf(w, "transaction %s\n%s, %d bytes\n", found.Txid, where, len(raw))
	for _, in := range tx.Inputs {
		if in.Prev.IsNull() {
			fmt.Fprintln(w, "  in   new coins of the block")
			continue
		}
		fmt.Fprintf(w, "  in   %s\n", in.Prev)
	}
	for i, out := range tx.Outputs {
		to := fmt.Sprintf("script %x", out.Script)
		if a, ok := btc.AddressOf(btc.Regtest, out.Script); ok {
			to = fmt.Sprintf("%s (%s)", a, a.Kind())
		}
		fmt.Fprintf(w, "  out  %d: %s to %s\n", i, sats(uint64(out.Value)), to)
	}
	return nil
}
