package main

import (
	"errors"
	"fmt"

	"github.com/holiman/uint256"

	"fusion/cdk"
	"fusion/eth"
	"fusion/ic/candid"
)

// What follows is the part of the EVM-RPC canister's interface that the wallet uses.

type rpcServices struct {
	candid.Variant
	EthMainnet *candid.Null `candid:"EthMainnet"` // the canister chooses
	EthSepolia *candid.Null `candid:"EthSepolia"`
	Custom     *customChain `candid:"Custom"`
}

type customChain struct {
	ChainID  uint64   `candid:"chainId"`
	Services []rpcAPI `candid:"services"` // none: the canister chooses
}

type rpcAPI struct {
	URL string `candid:"url"`
}

type blockTag struct {
	candid.Variant
	Latest *candid.Null `candid:"Latest"`
}

type feeHistoryArgs struct {
	BlockCount        candid.Nat `candid:"blockCount"`
	NewestBlock       blockTag   `candid:"newestBlock"`
	RewardPercentiles *[]byte    `candid:"rewardPercentiles"`
}

type feeHistory struct {
	BaseFeePerGas []candid.Nat   `candid:"baseFeePerGas"`
	Reward        [][]candid.Nat `candid:"reward"`
}

type countArgs struct {
	Address string   `candid:"address"`
	Block   blockTag `candid:"block"`
}

// multi is what providers answered; consistent, if enough of them agree.
type multi[T any] struct {
	candid.Variant
	Consistent   *result[T]       `candid:"Consistent"`
	Inconsistent *candid.Reserved `candid:"Inconsistent"`
}

type result[T any] struct {
	candid.Variant
	Ok  *T        `candid:"Ok"`
	Err *rpcError `candid:"Err"`
}

type rpcError struct {
	candid.Variant
	JSONRPC *struct {
		Code    int64  `candid:"code"`
		Message string `candid:"message"`
	} `candid:"JsonRpcError"`
	Provider   *providerError   `candid:"ProviderError"`
	Validation *validationError `candid:"ValidationError"`
	Outcall    *outcallError    `candid:"HttpOutcallError"`
}

type providerError struct {
	candid.Variant
	TooFewCycles *struct {
		Expected candid.Nat `candid:"expected"`
	} `candid:"TooFewCycles"`
	Missing      *candid.Null `candid:"MissingRequiredProvider"`
	NotFound     *candid.Null `candid:"ProviderNotFound"`
	NoPermission *candid.Null `candid:"NoPermission"`
	Config       *string      `candid:"InvalidRpcConfig"`
}

type validationError struct {
	candid.Variant
	Custom *string `candid:"Custom"`
	Hex    *string `candid:"InvalidHex"`
}

type outcallError struct {
	candid.Variant
	IC *struct {
		Message string `candid:"message"`
	} `candid:"IcError"`
	Response *struct {
		Status uint16 `candid:"status"`
	} `candid:"InvalidHttpJsonRpcResponse"`
}

func (e *rpcError) Error() string {
	switch p := e.Provider; {
	case e.JSONRPC != nil:
		return fmt.Sprintf("%s (%d)", e.JSONRPC.Message, e.JSONRPC.Code)
	case p != nil && p.TooFewCycles != nil:
		return fmt.Sprintf("the EVM-RPC canister wants %s cycles", p.TooFewCycles.Expected)
	case p != nil && p.Config != nil:
		return *p.Config
	case p != nil:
		return "the EVM-RPC canister has no provider for this"
	case e.Validation != nil && e.Validation.Custom != nil:
		return *e.Validation.Custom
	case e.Validation != nil:
		return "malformed: " + *e.Validation.Hex
	case e.Outcall != nil && e.Outcall.IC != nil:
		return e.Outcall.IC.Message
	case e.Outcall != nil:
		return fmt.Sprintf("a provider answered with status %d", e.Outcall.Response.Status)
	}
	return "unknown error"
}

type sendStatus struct {
	candid.Variant
	Ok                *candid.Reserved `candid:"Ok"`
	NonceTooLow       *candid.Null     `candid:"NonceTooLow"`
	NonceTooHigh      *candid.Null     `candid:"NonceTooHigh"`
	InsufficientFunds *candid.Null     `candid:"InsufficientFunds"`
}

func (w *wallet) services() rpcServices {
	switch w.ChainID {
	case 1:
		return rpcServices{EthMainnet: candid.Unit}
	case 11155111:
		return rpcServices{EthSepolia: candid.Unit}
	}
	return rpcServices{Custom: &customChain{ChainID: w.ChainID, Services: []rpcAPI{}}}
}

// rpc calls a method of the EVM-RPC canister. The cleanup runs if done traps.
func rpc[T any](w *wallet, method string, arg any, cleanup func(), done func(T, error)) {
	call := w.c.Call(w.EvmRPC, method, w.services(), candid.Null{}, arg).WithCycles(cdk.CyclesOf(rpcCycles)).OnCleanup(cleanup)
	cdk.Then(call, func(m multi[T], err error) {
		switch {
		case err != nil:
		case m.Consistent == nil:
			err = errors.New("the providers disagree")
		case m.Consistent.Err != nil:
			err = m.Consistent.Err
		default:
			done(*m.Consistent.Ok, nil)
			return
		}
		var zero T
		done(zero, fmt.Errorf("%s: %w", method, err))
	})
}

// ask learns how many transactions of an account are mined and what the next should offer.
func (w *wallet) ask(a eth.Address, done func(mined uint64, fee eth.Fee, err error)) {
	var mined uint64
	var fee eth.Fee
	var failed error
	waiting := 2
	end := func(err error) {
		if err != nil {
			failed = err
		}
		if waiting--; waiting == 0 {
			done(mined, fee, failed)
		}
	}
	latest := blockTag{Latest: candid.Unit}
	rpc(w, "eth_getTransactionCount", countArgs{a.String(), latest}, nil, func(n candid.Nat, err error) {
		var ok bool
		if mined, ok = n.Uint64(); !ok {
			err = errors.New("a number of transactions above 2^64")
		}
		end(err)
	})
	percentile := []byte{eth.FeeHistoryPercentile}
	history := feeHistoryArgs{candid.NatFromUint64(eth.FeeHistoryBlocks), latest, &percentile}
	rpc(w, "eth_feeHistory", history, nil, func(h feeHistory, err error) {
		if err == nil {
			fee, err = h.estimate()
		}
		end(err)
	})
}

func (h feeHistory) estimate() (eth.Fee, error) {
	var in eth.FeeHistory
	add := func(to *[]uint256.Int, n candid.Nat) error {
		b, err := bits256(n)
		*to = append(*to, *new(uint256.Int).SetBytes32(b[:]))
		return err
	}
	for _, n := range h.BaseFeePerGas {
		if err := add(&in.BaseFees, n); err != nil {
			return eth.Fee{}, err
		}
	}
	for _, r := range h.Reward {
		if len(r) != 1 {
			return eth.Fee{}, fmt.Errorf("%d rewards of a block, want 1", len(r))
		}
		if err := add(&in.Rewards, r[0]); err != nil {
			return eth.Fee{}, err
		}
	}
	return eth.EstimateFee(in)
}

// send hands a signed transaction to Ethereum's nodes. Those that have it already are content.
func (w *wallet) send(raw []byte, cleanup func(), done func(error)) {
	rpc(w, "eth_sendRawTransaction", fmt.Sprintf("0x%x", raw), cleanup, func(s sendStatus, err error) {
		switch {
		case err != nil:
		case s.NonceTooLow != nil:
			err = errors.New("not sent: its nonce is used, so it or another is mined already")
		case s.NonceTooHigh != nil:
			err = errors.New("not sent: payments before it are missing")
		case s.InsufficientFunds != nil:
			err = errors.New("not sent: the address has too little ETH")
		}
		done(err)
	})
}
