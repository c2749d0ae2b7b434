package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/spf13/cobra"

	"fusion/eth"
	"fusion/eth/contracts"
	"fusion/testnets"
)

func ethCmd(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "eth", Short: "use the local network's Ethereum chain: pay, mine, look, deploy"}
	cmd.PersistentFlags().StringVar(&o.identity, "identity", "default", "identity whose Ethereum account is meant where none is named")
	cmd.AddCommand(
		&cobra.Command{Use: "send AMOUNT [ADDRESS]", Short: "pay from the faucet, to your own account by default; returns when it is mined", Args: cobra.RangeArgs(1, 2), RunE: o.withChain(ethSend)},
		&cobra.Command{Use: "mine [BLOCKS]", Short: "make blocks, one by default; transactions do not need it", Args: cobra.MaximumNArgs(1), RunE: o.withChain(ethMine)},
		&cobra.Command{Use: "address", Short: "show the address of your own account on the chain; its key lies beside the identity", Args: cobra.NoArgs,
			RunE: o.withChain(func(_ context.Context, c *ethChain, w io.Writer, _ []string) error {
				a, err := c.account(nil)
				if err == nil {
					fmt.Fprintln(w, a)
				}
				return err
			})},
		ethBalanceCmd(o), ethDeployCmd(o), ethTokenCmd(o), deployHelperCmd(o))
	return cmd
}

// ethChain is a local network's Ethereum chain and its operator's interface.
type ethChain struct {
	*testnets.EthereumChain
	admin  *testnets.Admin
	client *ethclient.Client
	o      *options
}

// withChain makes a command of a function that needs the chain of the local network.
func (o *options) withChain(fn func(ctx context.Context, c *ethChain, w io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := o.dialChain(cmd.Context())
		if err != nil {
			return err
		}
		defer c.client.Close()
		return fn(cmd.Context(), c, cmd.OutOrStdout(), args)
	}
}

func (o *options) dialChain(ctx context.Context) (*ethChain, error) {
	a, err := testnets.DialAdmin(o.dir)
	if err != nil {
		return nil, err
	}
	m, err := testnets.Load(o.dir)
	if err != nil {
		return nil, err
	}
	if m.Ethereum == nil {
		return nil, fmt.Errorf("%s: %w", o.dir, testnets.ErrNoEthereum)
	}
	c, err := ethclient.DialContext(ctx, m.Ethereum.URL)
	if err != nil {
		return nil, fmt.Errorf("ethereum node at %s: %w", m.Ethereum.URL, err)
	}
	return &ethChain{m.Ethereum, a, c, o}, nil
}

// key is that of the identity's own account.
func (c *ethChain) key() (*ecdsa.PrivateKey, error) {
	return testnets.EthereumKey(c.o.dir, c.o.identity)
}

// account is the address that the arguments name, or the identity's own.
func (c *ethChain) account(args []string) (eth.Address, error) {
	if len(args) > 0 {
		return parseEthereumAddress(args[0])
	}
	key, err := c.key()
	if err != nil {
		return eth.Address{}, err
	}
	return eth.Address(crypto.PubkeyToAddress(key.PublicKey)), nil
}

func parseEthereumAddress(text string) (eth.Address, error) {
	a, err := eth.ParseAddress(text)
	if err != nil {
		return a, hint(fmt.Errorf("%q: %w", text, err), "an Ethereum address is 0x and 40 hexadecimal digits; fusion eth address shows yours")
	}
	return a, nil
}

func ethSend(ctx context.Context, c *ethChain, w io.Writer, args []string) error {
	wei, err := parseWei(args[0])
	if err != nil {
		return err
	}
	to, err := c.account(args[1:])
	if err != nil {
		return err
	}
	text := to.String()
	sent, err := c.admin.SendEthereum(ctx, testnets.EthereumSend{To: &text, Wei: wei.Dec()})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "sent %s to %s\ntransaction %s, block %d\n", ether(wei), to, sent.Hash, sent.Block)
	return nil
}

func ethMine(ctx context.Context, c *ethChain, w io.Writer, args []string) error {
	n := 1
	if len(args) == 1 {
		var err error
		if n, err = strconv.Atoi(args[0]); err != nil || n < 1 {
			return fmt.Errorf("%q is no number of blocks", args[0])
		}
	}
	h, err := c.admin.MineEthereum(ctx, n)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "mined %s, the chain is at block %d\n", plural(n, "block"), h)
	return nil
}

func ethBalanceCmd(o *options) *cobra.Command {
	var token string
	cmd := &cobra.Command{Use: "balance [ADDRESS]", Short: "show what an account holds, yours by default", Args: cobra.MaximumNArgs(1),
		RunE: o.withChain(func(ctx context.Context, c *ethChain, w io.Writer, args []string) error {
			a, err := c.account(args)
			if err != nil {
				return err
			}
			if token == "" {
				wei, err := c.client.BalanceAt(ctx, common.Address(a), nil)
				if err != nil {
					return fmt.Errorf("ethereum node at %s: %w", c.URL, err)
				}
				n, err := toUint256(wei)
				if err != nil {
					return err
				}
				fmt.Fprintln(w, ether(n))
				return nil
			}
			contract, err := parseEthereumAddress(token)
			if err != nil {
				return err
			}
			t, err := readToken(ctx, c.client, contract)
			if err != nil {
				return err
			}
			n, err := t.balance(ctx, a)
			if err != nil {
				return err
			}
			fmt.Fprintln(w, t.show(n))
			return nil
		})}
	cmd.Flags().StringVar(&token, "token", "", "address of an ERC-20 contract, for the balance of its token")
	return cmd
}

// maxCode bounds a file with a contract: Ethereum takes at most 48 KiB of creation code, which a compiler's output wraps into more.
const maxCode = 4 << 20

func ethDeployCmd(o *options) *cobra.Command {
	var args string
	cmd := &cobra.Command{Use: "deploy FILE", Short: "create a contract, paid for by the faucet", Args: cobra.ExactArgs(1),
		Long: `Create a contract on the local network's Ethereum chain. FILE holds its creation code in hexadecimal digits, or is a compiler's JSON
output with a member "bytecode" or "bin". Arguments of the constructor, if it has any, are given as encoded by the ABI.`,
		RunE: o.withChain(func(ctx context.Context, c *ethChain, w io.Writer, files []string) error {
			code, err := readCode(files[0])
			if err != nil {
				return err
			}
			more, err := hex.DecodeString(strings.TrimPrefix(args, "0x"))
			if err != nil {
				return fmt.Errorf("--args: %w", err)
			}
			sent, err := c.admin.SendEthereum(ctx, testnets.EthereumSend{Data: append(code, more...)})
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "contract %s\ntransaction %s, block %d\n", sent.Contract, sent.Hash, sent.Block)
			return nil
		})}
	cmd.Flags().StringVar(&args, "args", "", "arguments of the constructor, ABI-encoded, in hexadecimal")
	return cmd
}

// readCode reads a contract's creation code.
func readCode(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxCode+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(raw) > maxCode {
		return nil, fmt.Errorf("%s has more than %d MiB", path, maxCode>>20)
	}
	return parseCode(path, raw)
}

func parseCode(name string, raw []byte) ([]byte, error) {
	text := string(bytes.TrimSpace(raw))
	if strings.HasPrefix(text, "{") {
		var out struct {
			Bytecode json.RawMessage `json:"bytecode"`
			Bin      string          `json:"bin"`
		}
		if err := json.Unmarshal(raw, &out); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		text = out.Bin
		var nested struct {
			Object string `json:"object"`
		}
		switch {
		case len(out.Bytecode) == 0:
		case json.Unmarshal(out.Bytecode, &text) == nil:
		case json.Unmarshal(out.Bytecode, &nested) == nil:
			text = nested.Object
		}
	}
	code, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err == nil && len(code) == 0 {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, hint(fmt.Errorf("%s holds no creation code: %w", name, err), "compile it with: solc --bin, and give the file with the digits; libraries must be linked")
	}
	return code, nil
}

func ethTokenCmd(o *options) *cobra.Command {
	var name, symbol, mint string
	var decimals uint8
	cmd := &cobra.Command{Use: "token [ADDRESS]", Short: "create an ERC-20 token and mint some for an account, yours by default", Args: cobra.MaximumNArgs(1),
		RunE: o.withChain(func(ctx context.Context, c *ethChain, w io.Writer, args []string) error {
			to, err := c.account(args)
			if err != nil {
				return err
			}
			amount, err := parseToken(mint, decimals)
			if err != nil {
				return fmt.Errorf("--mint: %w", err)
			}
			code := append(common.FromHex(contracts.DevTokenMetaData.Bin), contracts.NewDevToken().PackConstructor(name, symbol, decimals)...)
			sent, err := c.admin.SendEthereum(ctx, testnets.EthereumSend{Data: code})
			if err != nil {
				return err
			}
			data := contracts.NewDevToken().PackMint(common.Address(to), amount.ToBig())
			if _, err := c.admin.SendEthereum(ctx, testnets.EthereumSend{To: &sent.Contract, Data: data}); err != nil {
				return fmt.Errorf("minting %s: %w", symbol, err)
			}
			fmt.Fprintf(w, "contract %s\nminted %s %s for %s\n", sent.Contract, eth.FormatUnits(amount, decimals), symbol, to)
			return nil
		})}
	f := cmd.Flags()
	f.StringVar(&name, "name", "Development Dollar", "name of the token")
	f.StringVar(&symbol, "symbol", "USDD", "symbol of the token")
	f.Uint8Var(&decimals, "decimals", 6, "digits behind the point")
	f.StringVar(&mint, "mint", "1000000", "whole tokens to mint")
	return cmd
}

func deployHelperCmd(o *options) *cobra.Command {
	var url, keyFile, minter string
	cmd := &cobra.Command{Use: "deploy-helper", Short: "create the helper contract for deposits on any Ethereum chain", Args: cobra.NoArgs,
		Long: `Create the contract that takes deposits of ether and ERC-20 tokens and passes them on to a ckETH minter's address. A local network has
it already. The contract is immutable and has no owner; whoever pays for it gets no rights.`,
		RunE: func(c *cobra.Command, _ []string) error {
			to, err := parseEthereumAddress(minter)
			if err != nil {
				return fmt.Errorf("--minter: %w", err)
			}
			key, err := crypto.LoadECDSA(keyFile)
			if err != nil {
				return hint(fmt.Errorf("--key %s: %w", keyFile, err), "the file holds the private key of an account with some ether, 64 hexadecimal digits")
			}
			client, err := ethclient.DialContext(c.Context(), url)
			if err != nil {
				return fmt.Errorf("--rpc: %w", err)
			}
			defer client.Close()
			id, err := client.ChainID(c.Context())
			if err != nil {
				return hint(fmt.Errorf("asking the node for its chain id: %w", err), "check --rpc")
			}
			helper, err := contracts.DeployDeposit(c.Context(), client, bind.NewKeyedTransactor(key, id), to)
			if err != nil {
				return hint(err, "account %s pays for it: look at its balance", eth.Address(crypto.PubkeyToAddress(key.PublicKey)))
			}
			fmt.Fprintf(c.OutOrStdout(), "contract %s on chain %v passes deposits on to %s\n", helper, id, to)
			return nil
		}}
	f := cmd.Flags()
	f.StringVar(&url, "rpc", "", "URL of an Ethereum node")
	f.StringVar(&keyFile, "key", "", "file with the private key of the account that pays")
	f.StringVar(&minter, "minter", "", "the minter's address, see fusion cketh address --minter")
	for _, name := range []string{"rpc", "key", "minter"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a flag of this command
		}
	}
	return cmd
}

// token is an ERC-20 contract.
type token struct {
	client   *ethclient.Client
	address  eth.Address
	symbol   string
	decimals uint8
}

func readToken(ctx context.Context, c *ethclient.Client, address eth.Address) (*token, error) {
	t := &token{client: c, address: address}
	binding := contracts.NewDevToken()
	answer, err := t.call(ctx, binding.PackDecimals())
	if err == nil {
		t.decimals, err = binding.UnpackDecimals(answer)
	}
	if err == nil {
		if answer, err = t.call(ctx, binding.PackSymbol()); err == nil {
			t.symbol, err = binding.UnpackSymbol(answer)
		}
	}
	if err != nil {
		return nil, hint(fmt.Errorf("%s is no ERC-20 contract with decimals and a symbol: %w", address, err), "fusion eth token makes one on a local network")
	}
	return t, nil
}

func (t *token) call(ctx context.Context, data []byte) ([]byte, error) {
	to := common.Address(t.address)
	return t.client.CallContract(ctx, ethereum.CallMsg{To: &to, Data: data}, nil)
}

func (t *token) balance(ctx context.Context, a eth.Address) (*big.Int, error) {
	binding := contracts.NewDevToken()
	answer, err := t.call(ctx, binding.PackBalanceOf(common.Address(a)))
	if err != nil {
		return nil, fmt.Errorf("token %s: %w", t.address, err)
	}
	return binding.UnpackBalanceOf(answer)
}

// show writes an amount in whole tokens. The symbol is the contract's: it may be anything.
func (t *token) show(n *big.Int) string {
	v, err := toUint256(n)
	if err != nil {
		return n.String()
	}
	return eth.FormatUnits(v, t.decimals) + " " + printable(t.symbol)
}
