package cketh

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/holiman/uint256"

	"fusion/cdk"
	"fusion/ckledger/cketh/core"
	"fusion/eth"
	"fusion/eth/rpc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// What the minter asks of the EVM-RPC canister. Only the fields it uses are declared; Candid skips the rest.

// rpcServices names a chain without naming providers: then the replicas' own are asked and agree on one answer.
type rpcServices struct {
	candid.Variant
	EthMainnet **[]candid.Reserved `candid:"EthMainnet"`
	EthSepolia **[]candid.Reserved `candid:"EthSepolia"`
	Custom     *customServices     `candid:"Custom"`
}

type customServices struct {
	ChainID  uint64   `candid:"chainId"`
	Services []rpcApi `candid:"services"`
}

type rpcApi struct {
	URL     string       `candid:"url"`
	Headers *[]rpcHeader `candid:"headers"`
}

type rpcHeader struct {
	Value string `candid:"value"`
	Name  string `candid:"name"`
}

// noServices is opt vec of some variant, absent: whatever the variant, its encoding is that of an absent option of anything.
func noServices() **[]candid.Reserved {
	var none *[]candid.Reserved
	return &none
}

func (m *minter) services() rpcServices {
	switch id := m.state.Config.ChainID; id {
	case core.Mainnet:
		return rpcServices{EthMainnet: noServices()}
	case core.Sepolia:
		return rpcServices{EthSepolia: noServices()}
	default:
		return rpcServices{Custom: &customServices{ChainID: id, Services: []rpcApi{}}}
	}
}

type rpcConfig struct {
	ResponseSizeEstimate *uint64 `candid:"responseSizeEstimate"`
}

type multi[T any] struct {
	candid.Variant
	Consistent   *result[T]     `candid:"Consistent"`
	Inconsistent *[]provided[T] `candid:"Inconsistent"`
}

type provided[T any] struct {
	Provider candid.Reserved `candid:"0"`
	Result   result[T]       `candid:"1"`
}

type result[T any] struct {
	candid.Variant
	Ok  *T        `candid:"Ok"`
	Err *rpcError `candid:"Err"`
}

type rpcError struct {
	candid.Variant
	JSONRPC    *jsonRpcError     `candid:"JsonRpcError"`
	Provider   *providerError    `candid:"ProviderError"`
	Validation *candid.Reserved  `candid:"ValidationError"`
	HTTP       *httpOutcallError `candid:"HttpOutcallError"`
}

type jsonRpcError struct {
	Code    int64  `candid:"code"`
	Message string `candid:"message"`
}

type providerError struct {
	candid.Variant
	TooFewCycles            *tooFewCycles `candid:"TooFewCycles"`
	MissingRequiredProvider *candid.Null  `candid:"MissingRequiredProvider"`
	ProviderNotFound        *candid.Null  `candid:"ProviderNotFound"`
	NoPermission            *candid.Null  `candid:"NoPermission"`
	InvalidRpcConfig        *string       `candid:"InvalidRpcConfig"`
}

type tooFewCycles struct {
	Expected candid.Nat `candid:"expected"`
	Received candid.Nat `candid:"received"`
}

type httpOutcallError struct {
	candid.Variant
	IC      *icError      `candid:"IcError"`
	Invalid *invalidReply `candid:"InvalidHttpJsonRpcResponse"`
}

type icError struct {
	Code    candid.Reserved `candid:"code"`
	Message string          `candid:"message"`
}

type invalidReply struct {
	Status uint16 `candid:"status"`
	Body   string `candid:"body"`
}

// Errors of asking the chain.
var (
	errTooLarge = errors.New("the answer is too large")
	errDisagree = errors.New("the providers disagree")
)

func (e *rpcError) Error() string {
	switch {
	case e.JSONRPC != nil:
		return fmt.Sprintf("provider: %s (code %d)", e.JSONRPC.Message, e.JSONRPC.Code)
	case e.Provider != nil && e.Provider.TooFewCycles != nil:
		return "the EVM-RPC canister wants " + e.Provider.TooFewCycles.Expected.String() + " cycles"
	case e.Provider != nil && e.Provider.InvalidRpcConfig != nil:
		return "EVM-RPC canister: " + *e.Provider.InvalidRpcConfig
	case e.Provider != nil:
		return "the EVM-RPC canister has no usable provider"
	case e.Validation != nil:
		return "the EVM-RPC canister refused the request as invalid"
	case e.HTTP != nil && e.HTTP.IC != nil:
		return "outcall: " + e.HTTP.IC.Message
	case e.HTTP != nil && e.HTTP.Invalid != nil:
		return fmt.Sprintf("provider: HTTP status %d, no JSON-RPC", e.HTTP.Invalid.Status)
	}
	return "EVM-RPC canister: unknown error"
}

// tooLarge reports whether asking for less may help.
func (e *rpcError) tooLarge() bool {
	switch {
	case e.JSONRPC != nil:
		return (&rpc.Error{Kind: rpc.KindRPC, Code: e.JSONRPC.Code, Message: e.JSONRPC.Message}).Class() == rpc.ClassRange
	case e.HTTP != nil && e.HTTP.IC != nil:
		text := strings.ToLower(e.HTTP.IC.Message)
		return strings.Contains(text, "size limit") || strings.Contains(text, "too large") || strings.Contains(text, "exceeds limit") || strings.Contains(text, "exceeded the limit")
	}
	return false
}

// firstCycles are attached to a request until the canister asks for more; what is not used comes back.
const firstCycles = uint64(20_000_000_000)

// agreed takes an answer only if all providers that were asked gave it.
func agreed[T any]([]T) (t T, ok bool) { return t, false }

// ask makes a request of the chain. reduce chooses one of several answers (all successful) when providers do not agree. cleanup runs if the callback traps.
func ask[T any](m *minter, method string, reduce func([]T) (T, bool), cleanup func(), done func(T, error), args ...any) {
	to := principal.MustFromBytes(m.state.Config.Rpc)
	full := append([]any{m.services(), (*rpcConfig)(nil)}, args...)
	call := m.c.Call(to, method, full...).WithCycles(cdk.CyclesOf(max(m.rpcCycles, firstCycles))).OnCleanup(cleanup)
	m.asked++
	cdk.Then(call, func(r multi[T], err error) {
		var zero T
		switch {
		case err != nil:
			done(zero, err)
		case r.Consistent != nil && r.Consistent.Ok != nil:
			done(*r.Consistent.Ok, nil)
		case r.Consistent != nil && r.Consistent.Err != nil:
			done(zero, m.rpcFailed(r.Consistent.Err))
		case r.Inconsistent != nil:
			var oks []T
			large := false
			for _, p := range *r.Inconsistent {
				if p.Result.Ok != nil {
					oks = append(oks, *p.Result.Ok)
				} else if p.Result.Err != nil {
					large = large || errors.Is(m.rpcFailed(p.Result.Err), errTooLarge)
				}
			}
			if len(oks) > 0 {
				if t, ok := reduce(oks); ok {
					done(t, nil)
					return
				}
			}
			if large {
				done(zero, errTooLarge)
				return
			}
			done(zero, errDisagree)
		default:
			done(zero, errors.New("the EVM-RPC canister gave an empty answer"))
		}
	})
}

// rpcFailed notes what an error teaches about cycles, and tells errors apart.
func (m *minter) rpcFailed(e *rpcError) error {
	if e.Provider != nil && e.Provider.TooFewCycles != nil {
		if n, ok := e.Provider.TooFewCycles.Expected.Uint64(); ok && n < 10_000_000_000_000 {
			m.rpcCycles = max(m.rpcCycles, n)
		}
	}
	if e.tooLarge() {
		return fmt.Errorf("%w: %w", errTooLarge, e)
	}
	return e
}

// rpcTag is a block.
type rpcTag struct {
	candid.Variant
	Earliest  *candid.Null `candid:"Earliest"`
	Safe      *candid.Null `candid:"Safe"`
	Finalized *candid.Null `candid:"Finalized"`
	Latest    *candid.Null `candid:"Latest"`
	Number    *candid.Nat  `candid:"Number"`
	Pending   *candid.Null `candid:"Pending"`
}

var latest = rpcTag{Latest: candid.Unit}

func number(n uint64) rpcTag {
	x := candid.NatFromUint64(n)
	return rpcTag{Number: &x}
}

func (m *minter) tag() rpcTag {
	switch m.state.Config.Height {
	case core.Latest:
		return latest
	case core.Safe:
		return rpcTag{Safe: candid.Unit}
	}
	return rpcTag{Finalized: candid.Unit}
}

type rpcBlock struct {
	Hash         string      `candid:"hash"`
	Number       candid.Nat  `candid:"number"`
	Timestamp    candid.Nat  `candid:"timestamp"` // seconds since 1970
	BaseFee      *candid.Nat `candid:"baseFeePerGas"`
	Transactions []string    `candid:"transactions"`
}

func (b rpcBlock) block() (core.Block, error) {
	n, err := small(b.Number)
	if err != nil {
		return core.Block{}, err
	}
	h, err := eth.ParseHash(b.Hash)
	return core.Block{Number: n, Hash: h}, err
}

// block asks for a block.
func (m *minter) block(at rpcTag, cleanup func(), done func(core.Block, rpcBlock, error)) {
	ask(m, "eth_getBlockByNumber", agreed[rpcBlock], cleanup, func(b rpcBlock, err error) {
		var x core.Block
		if err == nil {
			x, err = b.block()
		}
		if err == nil && at.Number != nil && at.Number.Cmp(b.Number) != 0 {
			err = fmt.Errorf("asked for block %v, got %d", *at.Number, x.Number)
		}
		done(x, b, err)
	}, at)
}

type logsArgs struct {
	FromBlock *rpcTag     `candid:"fromBlock"`
	ToBlock   *rpcTag     `candid:"toBlock"`
	Addresses []string    `candid:"addresses"`
	Topics    *[][]string `candid:"topics"`
}

type rpcLog struct {
	TransactionHash *string     `candid:"transactionHash"`
	BlockNumber     *candid.Nat `candid:"blockNumber"`
	Data            string      `candid:"data"`
	Topics          []string    `candid:"topics"`
	Address         string      `candid:"address"`
	LogIndex        *candid.Nat `candid:"logIndex"`
	Removed         bool        `candid:"removed"`
}

// log reads a log whose place is known.
func (l rpcLog) log() (x core.Log, err error) {
	if l.TransactionHash == nil || l.BlockNumber == nil || l.LogIndex == nil || l.Removed {
		return x, errors.New("a log that is in no block")
	}
	if x.Source.Tx, err = eth.ParseHash(*l.TransactionHash); err != nil {
		return x, err
	}
	if x.Block, err = small(*l.BlockNumber); err != nil {
		return x, err
	}
	if x.Source.Index, err = small(*l.LogIndex); err != nil {
		return x, err
	}
	x.Event, err = l.event()
	return x, err
}

func (l rpcLog) event() (e eth.Event, err error) {
	if e.Address, err = eth.ParseAddress(l.Address); err != nil {
		return e, err
	}
	for _, t := range l.Topics {
		h, err := eth.ParseHash(t)
		if err != nil {
			return e, err
		}
		e.Topics = append(e.Topics, h)
	}
	e.Data, err = unhex(l.Data)
	return e, err
}

func unhex(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok {
		return nil, fmt.Errorf("%.20q does not begin with 0x", text)
	}
	return hex.DecodeString(digits)
}

type countArgs struct {
	Address string `candid:"address"`
	Block   rpcTag `candid:"block"`
}

// count asks for the number of transactions an address has sent: the next nonce. Of different answers about the tip the smallest is taken.
func (m *minter) count(a eth.Address, at rpcTag, cleanup func(), done func(uint64, error)) {
	reduce := agreed[candid.Nat]
	if at.Latest != nil {
		reduce = func(ns []candid.Nat) (candid.Nat, bool) { return slices.MinFunc(ns, candid.Nat.Cmp), true }
	}
	ask(m, "eth_getTransactionCount", reduce, cleanup, func(n candid.Nat, err error) {
		var x uint64
		if err == nil {
			x, err = small(n)
		}
		done(x, err)
	}, countArgs{a.String(), at})
}

type rpcReceipt struct {
	Status            *candid.Nat `candid:"status"`
	TransactionHash   string      `candid:"transactionHash"`
	BlockNumber       candid.Nat  `candid:"blockNumber"`
	BlockHash         string      `candid:"blockHash"`
	From              string      `candid:"from"`
	EffectiveGasPrice candid.Nat  `candid:"effectiveGasPrice"`
	GasUsed           candid.Nat  `candid:"gasUsed"`
	Logs              []rpcLog    `candid:"logs"`
}

// receipt is a receipt with its logs.
type receipt struct {
	core.Facts
	from eth.Address
	logs []core.Log
}

// receipt asks for a transaction's receipt, nil if there is none.
func (m *minter) receipt(tx eth.Hash, cleanup func(), done func(*receipt, error)) {
	ask(m, "eth_getTransactionReceipt", agreed[*rpcReceipt], cleanup, func(r *rpcReceipt, err error) {
		if err != nil || r == nil {
			done(nil, err)
			return
		}
		x, err := r.read(tx)
		if err != nil {
			done(nil, fmt.Errorf("receipt of %v: %w", tx, err))
			return
		}
		done(x, nil)
	}, tx.String())
}

func (r *rpcReceipt) read(tx eth.Hash) (*receipt, error) {
	var x receipt
	var err error
	if x.Hash, err = eth.ParseHash(r.TransactionHash); err == nil && x.Hash != tx {
		err = fmt.Errorf("it is of %v", x.Hash)
	}
	if err != nil {
		return nil, err
	}
	if x.Block.Number, err = small(r.BlockNumber); err != nil {
		return nil, err
	}
	if x.Block.Hash, err = eth.ParseHash(r.BlockHash); err != nil {
		return nil, err
	}
	if x.from, err = eth.ParseAddress(r.From); err != nil {
		return nil, err
	}
	if x.GasUsed, err = small(r.GasUsed); err != nil {
		return nil, err
	}
	if x.GasPrice, err = amountOf(r.EffectiveGasPrice); err != nil {
		return nil, err
	}
	if r.Status == nil {
		return nil, errors.New("it has no status")
	}
	status, _ := r.Status.Uint64()
	x.Success = status == 1
	for _, l := range r.Logs {
		g, err := l.log()
		if err != nil {
			return nil, err
		}
		if g.Source.Tx != tx || g.Block != x.Block.Number {
			return nil, errors.New("it holds a log of another transaction")
		}
		x.logs, x.Logs = append(x.logs, g), append(x.Logs, g.Event)
	}
	return &x, nil
}

type feeHistoryArgs struct {
	BlockCount        candid.Nat `candid:"blockCount"`
	NewestBlock       rpcTag     `candid:"newestBlock"`
	RewardPercentiles *[]byte    `candid:"rewardPercentiles"`
}

type rpcFeeHistory struct {
	Reward        [][]candid.Nat `candid:"reward"`
	BaseFeePerGas []candid.Nat   `candid:"baseFeePerGas"`
}

func (h rpcFeeHistory) history() (x eth.FeeHistory, err error) {
	if len(h.BaseFeePerGas) > eth.MaxFeeHistory+1 || len(h.Reward) > eth.MaxFeeHistory {
		return x, eth.ErrFeeHistory
	}
	for _, b := range h.BaseFeePerGas {
		n, err := amountOf(b)
		if err != nil {
			return x, err
		}
		x.BaseFees = append(x.BaseFees, n)
	}
	for _, r := range h.Reward {
		if len(r) != 1 {
			return x, fmt.Errorf("%w: %d rewards of a block", eth.ErrFeeHistory, len(r))
		}
		n, err := amountOf(r[0])
		if err != nil {
			return x, err
		}
		x.Rewards = append(x.Rewards, n)
	}
	return x, nil
}

// feeHistory asks for fees. Providers see different tips: of their answers the one with the middle base fee is taken.
func (m *minter) feeHistory(cleanup func(), done func(eth.FeeHistory, error)) {
	percentiles := []byte{eth.FeeHistoryPercentile}
	middle := func(hs []rpcFeeHistory) (h rpcFeeHistory, ok bool) {
		hs = slices.DeleteFunc(hs, func(h rpcFeeHistory) bool { return len(h.BaseFeePerGas) == 0 })
		if len(hs) == 0 {
			return h, false
		}
		next := func(h rpcFeeHistory) candid.Nat { return h.BaseFeePerGas[len(h.BaseFeePerGas)-1] }
		sort.SliceStable(hs, func(i, j int) bool { return next(hs[i]).Cmp(next(hs[j])) < 0 })
		return hs[len(hs)/2], true
	}
	ask(m, "eth_feeHistory", middle, cleanup, func(h rpcFeeHistory, err error) {
		var x eth.FeeHistory
		if err == nil {
			x, err = h.history()
		}
		done(x, err)
	}, feeHistoryArgs{candid.NatFromUint64(eth.FeeHistoryBlocks), latest, &percentiles})
}

type sendStatus struct {
	candid.Variant
	Ok                *(*string)   `candid:"Ok"`
	NonceTooLow       *candid.Null `candid:"NonceTooLow"`
	NonceTooHigh      *candid.Null `candid:"NonceTooHigh"`
	InsufficientFunds *candid.Null `candid:"InsufficientFunds"`
}

// sendRaw hands a transaction to the providers; one that takes it is enough. A nonce that is used already is no error: finalisation will tell by whom.
func (m *minter) sendRaw(raw []byte, cleanup func(), done func(error)) {
	taken := func(ss []sendStatus) (sendStatus, bool) {
		for _, s := range ss {
			if s.Ok != nil || s.NonceTooLow != nil {
				return s, true
			}
		}
		return ss[0], true
	}
	ask(m, "eth_sendRawTransaction", taken, cleanup, func(s sendStatus, err error) {
		var e *rpcError
		switch {
		case errors.As(err, &e) && e.JSONRPC != nil:
			switch (&rpc.Error{Kind: rpc.KindRPC, Code: e.JSONRPC.Code, Message: e.JSONRPC.Message}).Class() {
			case rpc.ClassKnown, rpc.ClassNonceTooLow:
				err = nil
			}
		case err != nil:
		case s.NonceTooHigh != nil:
			err = errors.New("an earlier transaction has not arrived yet")
		case s.InsufficientFunds != nil:
			err = errors.New("the address cannot pay")
		}
		done(err)
	}, "0x"+hex.EncodeToString(raw))
}

type callArgs struct {
	Transaction callTransaction `candid:"transaction"`
	Block       *rpcTag         `candid:"block"`
}

type callTransaction struct {
	To    *string `candid:"to"`
	Input *string `candid:"input"`
}

// tokens asks a token what an address holds at a block.
func (m *minter) tokens(token, owner eth.Address, at uint64, cleanup func(), done func(core.Amount, error)) {
	to, input, block := token.String(), "0x"+hex.EncodeToString(eth.PackBalanceOf(owner)), number(at)
	ask(m, "eth_call", agreed[string], cleanup, func(out string, err error) {
		var n core.Amount
		var data []byte
		if err == nil {
			data, err = unhex(out)
		}
		if err == nil {
			n, err = eth.UnpackUint(data)
		}
		done(n, err)
	}, callArgs{callTransaction{&to, &input}, &block})
}

// query asks what has no method of its own. The answer is the JSON of the result, or of the whole response.
func (m *minter) query(q rpc.Query, cleanup func(), done func([]byte, error)) {
	ask(m, "multi_request", agreed[string], cleanup, func(text string, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		out := []byte(text)
		if inner, err := rpc.ParseResponse(out, 1); err == nil {
			out = inner
		}
		done(out, nil)
	}, string(q.Request(1)))
}

// ether asks what an address holds at a block, in wei.
func (m *minter) ether(a eth.Address, at uint64, cleanup func(), done func(core.Amount, error)) {
	m.query(rpc.Balance(a, rpc.Number(at)), cleanup, func(out []byte, err error) {
		var n uint256.Int
		if err == nil {
			n, err = rpc.ParseQuantity(out)
		}
		done(n, err)
	})
}

// transaction asks for a transaction, nil if there is none.
func (m *minter) transaction(tx eth.Hash, cleanup func(), done func(*rpc.Transaction, error)) {
	m.query(rpc.TransactionByHash(tx), cleanup, func(out []byte, err error) {
		var x *rpc.Transaction
		if err == nil {
			x, err = rpc.ParseTransaction(out)
		}
		done(x, err)
	})
}

// Cycles attached for a signature on the Internet Computer; what is not used comes back.
const (
	signCyclesLarge = uint64(26_153_846_153) // 34 nodes
	signCyclesSmall = uint64(10_000_000_000) // 13 nodes
)

func signCycles(key string) uint64 {
	if key == "key_1" {
		return signCyclesLarge
	}
	return signCyclesSmall
}
