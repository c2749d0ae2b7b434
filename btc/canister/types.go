package canister

import (
	"fmt"
	"slices"

	"fusion/btc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The Candid types of the interface, in the order of the .did file.

// Network is variant { mainnet; testnet; regtest }; testnet means testnet4.
type Network struct {
	candid.Variant
	Mainnet *candid.Null `candid:"mainnet"`
	Testnet *candid.Null `candid:"testnet"`
	Regtest *candid.Null `candid:"regtest"`
}

// NetworkOf translates a network. Signet, which has no name here, is a testnet, too: its addresses are the same.
func NetworkOf(n btc.Network) (Network, error) {
	switch n {
	case btc.Mainnet:
		return Network{Mainnet: candid.Unit}, nil
	case btc.Testnet4, btc.Signet:
		return Network{Testnet: candid.Unit}, nil
	case btc.Regtest:
		return Network{Regtest: candid.Unit}, nil
	}
	return Network{}, fmt.Errorf("the Bitcoin canister has no name for %v", n)
}

// Network is the inverse of NetworkOf, where testnet means Testnet4.
func (n Network) Network() btc.Network {
	switch {
	case n.Mainnet != nil:
		return btc.Mainnet
	case n.Testnet != nil:
		return btc.Testnet4
	}
	return btc.Regtest
}

// Flag is variant { enabled; disabled }.
type Flag struct {
	candid.Variant
	Enabled  *candid.Null `candid:"enabled"`
	Disabled *candid.Null `candid:"disabled"`
}

func flagOf(on bool) Flag {
	if on {
		return Flag{Enabled: candid.Unit}
	}
	return Flag{Disabled: candid.Unit}
}

func (f Flag) on() bool { return f.Enabled != nil }

func (f Flag) String() string {
	if f.on() {
		return "enabled"
	}
	return "disabled"
}

// Outpoint is a reference to an output; Txid is in internal order.
type Outpoint struct {
	Txid []byte `candid:"txid"`
	Vout uint32 `candid:"vout"`
}

// UTXO is an unspent output.
type UTXO struct {
	Outpoint Outpoint `candid:"outpoint"`
	Value    uint64   `candid:"value"` // satoshi
	Height   uint32   `candid:"height"`
}

// Fees are the prices of the methods in cycles.
type Fees struct {
	GetUTXOsBase                      candid.Nat `candid:"get_utxos_base"`
	GetUTXOsPerTenInstructions        candid.Nat `candid:"get_utxos_cycles_per_ten_instructions"`
	GetUTXOsMaximum                   candid.Nat `candid:"get_utxos_maximum"`
	GetBalance                        candid.Nat `candid:"get_balance"`
	GetBalanceMaximum                 candid.Nat `candid:"get_balance_maximum"`
	GetCurrentFeePercentiles          candid.Nat `candid:"get_current_fee_percentiles"`
	GetCurrentFeePercentilesMaximum   candid.Nat `candid:"get_current_fee_percentiles_maximum"`
	SendTransactionBase               candid.Nat `candid:"send_transaction_base"`
	SendTransactionPerByte            candid.Nat `candid:"send_transaction_per_byte"`
	GetBlockHeadersBase               candid.Nat `candid:"get_block_headers_base"`
	GetBlockHeadersPerTenInstructions candid.Nat `candid:"get_block_headers_cycles_per_ten_instructions"`
	GetBlockHeadersMaximum            candid.Nat `candid:"get_block_headers_maximum"`
}

// DefaultFees are the Internet Computer's prices: none on regtest (bitcoin-canister, interface/src/lib.rs).
func DefaultFees(n btc.Network) Fees {
	u := candid.NatFromUint64
	switch n {
	case btc.Mainnet:
		return Fees{u(50e6), u(10), u(10e9), u(10e6), u(100e6), u(10e6), u(100e6), u(5e9), u(20e6), u(50e6), u(10), u(10e9)}
	case btc.Testnet4, btc.Signet:
		return Fees{u(20e6), u(4), u(4e9), u(4e6), u(40e6), u(4e6), u(40e6), u(2e9), u(8e6), u(20e6), u(4), u(4e9)}
	}
	return Fees{}
}

// Config is what get_config answers.
type Config struct {
	StabilityThreshold          candid.Nat           `candid:"stability_threshold"`
	Network                     Network              `candid:"network"`
	BlocksSource                principal.Principal  `candid:"blocks_source"`
	Syncing                     Flag                 `candid:"syncing"`
	Fees                        Fees                 `candid:"fees"`
	APIAccess                   Flag                 `candid:"api_access"`
	DisableAPIIfNotFullySynced  Flag                 `candid:"disable_api_if_not_fully_synced"`
	WatchdogCanister            *principal.Principal `candid:"watchdog_canister"`
	BurnCycles                  Flag                 `candid:"burn_cycles"`
	LazilyEvaluateFeePercentile Flag                 `candid:"lazily_evaluate_fee_percentiles"`
}

// SetConfigRequest changes what is given.
type SetConfigRequest struct {
	StabilityThreshold          *candid.Nat           `candid:"stability_threshold"`
	Syncing                     *Flag                 `candid:"syncing"`
	Fees                        *Fees                 `candid:"fees"`
	APIAccess                   *Flag                 `candid:"api_access"`
	DisableAPIIfNotFullySynced  *Flag                 `candid:"disable_api_if_not_fully_synced"`
	WatchdogCanister            **principal.Principal `candid:"watchdog_canister"`
	BurnCycles                  *Flag                 `candid:"burn_cycles"`
	LazilyEvaluateFeePercentile *Flag                 `candid:"lazily_evaluate_fee_percentiles"`
}

// GetBalanceRequest asks for a balance.
type GetBalanceRequest struct {
	Network          Network `candid:"network"`
	Address          string  `candid:"address"`
	MinConfirmations *uint32 `candid:"min_confirmations"`
}

// Filter is variant { min_confirmations : nat32; page : blob }.
type Filter struct {
	candid.Variant
	MinConfirmations *uint32 `candid:"min_confirmations"`
	Page             *[]byte `candid:"page"`
}

// GetUTXOsRequest asks for coins.
type GetUTXOsRequest struct {
	Network Network `candid:"network"`
	Address string  `candid:"address"`
	Filter  *Filter `candid:"filter"`
}

// GetUTXOsResponse is a page of coins.
type GetUTXOsResponse struct {
	UTXOs        []UTXO  `candid:"utxos"`
	TipBlockHash []byte  `candid:"tip_block_hash"`
	TipHeight    uint32  `candid:"tip_height"`
	NextPage     *[]byte `candid:"next_page"`
	Epoch        *uint32 `candid:"epoch"` // how often reset_chain had all that was known forgotten
}

// GetMempoolUTXOsRequest asks for outputs that are not in a block yet.
type GetMempoolUTXOsRequest struct {
	Network Network `candid:"network"`
	Address string  `candid:"address"`
}

// MempoolUTXO is an output that the answering replica has seen announced, and in no block.
type MempoolUTXO struct {
	Outpoint Outpoint `candid:"outpoint"`
	Value    uint64   `candid:"value"`   // satoshi
	SeenNs   uint64   `candid:"seen_ns"` // since 1970
}

// NetworkRequest is the argument of bitcoin_get_current_fee_percentiles.
type NetworkRequest struct {
	Network Network `candid:"network"`
}

// SendTransactionRequest carries a transaction in wire format.
type SendTransactionRequest struct {
	Network     Network `candid:"network"`
	Transaction []byte  `candid:"transaction"`
}

// GetBlockHeadersRequest asks for the headers of a range of heights, both ends included.
type GetBlockHeadersRequest struct {
	StartHeight uint32  `candid:"start_height"`
	EndHeight   *uint32 `candid:"end_height"`
	Network     Network `candid:"network"`
}

// GetBlockHeadersResponse holds headers of 80 bytes.
type GetBlockHeadersResponse struct {
	TipHeight    uint32   `candid:"tip_height"`
	BlockHeaders [][]byte `candid:"block_headers"`
}

// BlockchainInfo describes the tip; UTXOsLength counts the coins that can not be reorganised any more.
type BlockchainInfo struct {
	Height      uint32     `candid:"height"`
	BlockHash   []byte     `candid:"block_hash"`
	Timestamp   uint32     `candid:"timestamp"`
	Difficulty  candid.Nat `candid:"difficulty"`
	UTXOsLength uint64     `candid:"utxos_length"`
	Halted      *string    `candid:"halted"` // why nothing but this is answered, and what to do
	Epoch       *uint32    `candid:"epoch"`  // as in GetUTXOsResponse
	Doubt       *string    `candid:"doubt"`  // why coins are not counted now, although blocks are all there
}

// HTTPRequest is what the HTTP gateway passes on.
type HTTPRequest struct {
	Method  string        `candid:"method"`
	URL     string        `candid:"url"`
	Headers []HeaderField `candid:"headers"`
	Body    []byte        `candid:"body"`
}

// HeaderField is a pair of name and value.
type HeaderField struct {
	Name  string `candid:"0"`
	Value string `candid:"1"`
}

// HTTPResponse is the answer to it.
type HTTPResponse struct {
	StatusCode uint16        `candid:"status_code"`
	Headers    []HeaderField `candid:"headers"`
	Body       []byte        `candid:"body"`
}

// Service is the Candid type of the canister's interface.
func Service() *candid.Type {
	balance, utxos, page := candid.MustTypeFor[GetBalanceRequest](), candid.MustTypeFor[GetUTXOsRequest](), candid.MustTypeFor[GetUTXOsResponse]()
	nat64 := candid.Prim(candid.KindNat64)
	t := &candid.Type{Kind: candid.KindService}
	method := func(name string, mode candid.FuncMode, args, results []*candid.Type) {
		f := &candid.FuncType{Mode: mode}
		for _, a := range args {
			f.Args = append(f.Args, candid.Arg{Type: a})
		}
		for _, r := range results {
			f.Results = append(f.Results, candid.Arg{Type: r})
		}
		t.Methods = append(t.Methods, candid.Method{Name: name, Type: &candid.Type{Kind: candid.KindFunc, Func: f}})
	}
	types := func(ts ...*candid.Type) []*candid.Type { return ts }
	method("bitcoin_get_balance", candid.Update, types(balance), types(nat64))
	method("bitcoin_get_balance_query", candid.Query, types(balance), types(nat64))
	method("bitcoin_get_utxos", candid.Update, types(utxos), types(page))
	method("bitcoin_get_utxos_query", candid.Query, types(utxos), types(page))
	method("bitcoin_get_current_fee_percentiles", candid.Update, types(candid.MustTypeFor[NetworkRequest]()), types(candid.VecOf(nat64)))
	method("bitcoin_get_block_headers", candid.Update, types(candid.MustTypeFor[GetBlockHeadersRequest]()), types(candid.MustTypeFor[GetBlockHeadersResponse]()))
	method("bitcoin_send_transaction", candid.Update, types(candid.MustTypeFor[SendTransactionRequest]()), nil)
	method("bitcoin_get_mempool_utxos_query", candid.Query, types(candid.MustTypeFor[GetMempoolUTXOsRequest]()), types(candid.VecOf(candid.MustTypeFor[MempoolUTXO]())))
	method("get_config", candid.Query, nil, types(candid.MustTypeFor[Config]()))
	method("set_config", candid.Update, types(candid.MustTypeFor[SetConfigRequest]()), nil)
	method("get_blockchain_info", candid.Query, nil, types(candid.MustTypeFor[BlockchainInfo]()))
	method("reset_chain", candid.Update, nil, nil)
	method("http_request", candid.Query, types(candid.MustTypeFor[HTTPRequest]()), types(candid.MustTypeFor[HTTPResponse]()))
	slices.SortFunc(t.Methods, func(a, b candid.Method) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return t
}
