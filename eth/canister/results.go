package canister

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/holiman/uint256"

	"fusion/eth"
	"fusion/eth/rpc"
	"fusion/ic/candid"
)

// outcome is what a service gave for one operation.
type outcome struct {
	service RPCService
	answer  rpc.Answer
	err     *RPCError // there is no answer
}

// reader makes an outcome a result.
type reader[T any] func(*outcome) Result[T]

// parsed reads results with a parser.
func parsed[T any](parse func([]byte) (T, error)) reader[T] {
	return func(o *outcome) Result[T] {
		switch {
		case o.err != nil:
			return Result[T]{Err: o.err}
		case o.answer.Err != nil:
			return Result[T]{Err: nodeError(o.answer.Err)}
		}
		v, err := parse(o.answer.Result)
		if err != nil {
			return Result[T]{Err: unreadable(o.answer.Result, err)}
		}
		return Result[T]{Ok: &v}
	}
}

var (
	readFees    = parsed(parseFeeHistory)
	readBlock   = parsed(parseBlock)
	readLogs    = parsed(parseLogs)
	readCount   = parsed(parseCount)
	readReceipt = parsed(parseReceipt)
	readData    = parsed(parseData)
	readJSON    = parsed(func(b []byte) (string, error) { return string(b), nil }) // canonical as it is
)

// readSent takes refusals of a transaction for results.
func readSent(o *outcome) Result[SendRawTransactionStatus] {
	if o.err == nil && o.answer.Err != nil {
		if s, ok := sendStatus(o.answer.Err); ok {
			return Result[SendRawTransactionStatus]{Ok: &s}
		}
	}
	return parsed(parseSent)(o)
}

// sendStatus is what a node's refusal of a transaction means.
func sendStatus(e *rpc.Error) (s SendRawTransactionStatus, ok bool) {
	switch e.Class() {
	case rpc.ClassNonceTooLow:
		s.NonceTooLow = candid.Unit
	case rpc.ClassNonceTooHigh:
		s.NonceTooHigh = candid.Unit
	case rpc.ClassFunds:
		s.InsufficientFunds = candid.Unit
	default:
		return s, false
	}
	return s, true
}

const maxBody = 500 // bytes of an unreadable answer that are shown

func unreadable(body []byte, err error) *RPCError {
	return &RPCError{HTTPOutcallError: &HTTPOutcallError{InvalidHTTPJSONRPCResponse: &InvalidResponse{Status: 200, Body: clip(body), ParsingError: ptr(err.Error())}}}
}

func clip(b []byte) string {
	out := []rune{}
	for _, r := range string(b[:min(len(b), maxBody)]) {
		out = append(out, r)
	}
	return string(out)
}

// nodeError is a failed answer as the interface says it.
func nodeError(e *rpc.Error) *RPCError {
	switch e.Kind {
	case rpc.KindRPC:
		return &RPCError{JSONRPCError: &JSONRPCError{Code: e.Code, Message: e.Message}}
	case rpc.KindHTTP:
		return &RPCError{HTTPOutcallError: &HTTPOutcallError{InvalidHTTPJSONRPCResponse: &InvalidResponse{Status: e.Status, Body: e.Message}}}
	case rpc.KindQuery:
		return invalid("%s", e.Message)
	case rpc.KindTooLarge:
		return rejection(sysFatal, "Http body exceeds size limit: "+e.Message)
	case rpc.KindChain:
		return rejection(sysFatal, e.Error())
	}
	return rejection(sysTransient, e.Error())
}

// Reject codes of the Internet Computer.
const (
	sysFatal           = 1
	sysTransient       = 2
	destinationInvalid = 3
	canisterReject     = 4
	canisterError      = 5
)

// rejection is a rejection of the subnet as the interface says it.
func rejection(code int, message string) *RPCError {
	e := &IcError{Message: message}
	switch code {
	case sysFatal:
		e.Code.SysFatal = candid.Unit
	case sysTransient:
		e.Code.SysTransient = candid.Unit
	case destinationInvalid:
		e.Code.DestinationInvalid = candid.Unit
	case canisterReject:
		e.Code.CanisterReject = candid.Unit
	case canisterError:
		e.Code.CanisterError = candid.Unit
	default:
		e.Code.Unknown = candid.Unit
	}
	return &RPCError{HTTPOutcallError: &HTTPOutcallError{IcError: e}}
}

// reduce is what a call is told of the services' results: one of them if enough gave it, else all. need is 0 where all must give the same.
func reduce[T any](outcomes []outcome, need int, read reader[T]) Multi[T] {
	all := make([]ServiceResult[T], len(outcomes))
	first, count, failures := map[string]int{}, make([]int, len(outcomes)), map[string]bool{} // of equal values the first counts them all
	best, oks := -1, 0
	for i := range outcomes {
		r := read(&outcomes[i])
		all[i] = ServiceResult[T]{outcomes[i].service, r}
		if r.Err != nil {
			failures[string(candid.MustMarshal(*r.Err))] = true
			continue
		}
		oks++
		key := string(candid.MustMarshal(*r.Ok))
		if _, ok := first[key]; !ok {
			first[key] = i
		}
		k := first[key]
		if count[k]++; best < 0 || count[k] > count[best] {
			best = k
		}
	}
	if need == 0 {
		need = len(outcomes)
	}
	switch {
	case oks == 0 && len(failures) == 1:
		return Multi[T]{Consistent: &all[0].Result}
	case best >= 0 && count[best] >= need:
		return Multi[T]{Consistent: &all[best].Result}
	}
	return Multi[T]{Inconsistent: &all}
}

// ---- values ----

func nat(v uint64) candid.Nat { return candid.NatFromUint64(v) }

func whole(v *uint256.Int) candid.Nat { return candid.NatFromBig(v.ToBig()) }

func opt(v *uint64) *candid.Nat {
	if v == nil {
		return nil
	}
	return ptr(nat(*v))
}

func text(b []byte) string { return "0x" + hex.EncodeToString(b) }

func optText[B eth.Hash | eth.Address](b *B, bytes func(*B) []byte) *string {
	if b == nil {
		return nil
	}
	return ptr(text(bytes(b)))
}

func hashBytes(h *eth.Hash) []byte       { return h[:] }
func addressBytes(a *eth.Address) []byte { return a[:] }

func hashes(list []eth.Hash) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].String()
	}
	return out
}

var errNoBlock = errors.New("the node has no such block")

func parseBlock(b []byte) (Block, error) {
	x, err := rpc.ParseBlock(b)
	if err != nil {
		return Block{}, err
	}
	if x == nil {
		return Block{}, errNoBlock
	}
	out := Block{Miner: text(x.Miner[:]), ReceiptsRoot: x.ReceiptsRoot.String(), StateRoot: x.StateRoot.String(), Hash: x.Hash.String(), Difficulty: ptr(whole(&x.Difficulty)),
		Size: nat(x.Size), Uncles: hashes(x.Uncles), ExtraData: text(x.ExtraData), TransactionsRoot: ptr(x.TransactionsRoot.String()), Sha3Uncles: x.UnclesHash.String(),
		Nonce: nat(binary.BigEndian.Uint64(x.Nonce[:])), Number: nat(x.Number), Timestamp: nat(x.Timestamp), Transactions: hashes(x.Transactions), GasLimit: nat(x.GasLimit),
		LogsBloom: text(x.LogsBloom[:]), ParentHash: x.ParentHash.String(), GasUsed: nat(x.GasUsed), MixHash: x.MixHash.String()}
	if x.BaseFee != nil {
		out.BaseFeePerGas = ptr(whole(x.BaseFee))
	}
	return out, nil
}

func logEntry(l *rpc.Log) LogEntry {
	return LogEntry{TransactionHash: ptr(l.TxHash.String()), BlockNumber: ptr(nat(l.BlockNumber)), Data: text(l.Data), BlockHash: ptr(l.BlockHash.String()),
		TransactionIndex: ptr(nat(l.TxIndex)), Topics: hashes(l.Topics), Address: text(l.Address[:]), LogIndex: ptr(nat(l.Index)), Removed: l.Removed}
}

func parseLogs(b []byte) ([]LogEntry, error) {
	list, err := rpc.ParseLogs(b)
	out := make([]LogEntry, len(list))
	for i := range list {
		out[i] = logEntry(&list[i])
	}
	return out, err
}

func parseReceipt(b []byte) (*TransactionReceipt, error) {
	r, err := rpc.ParseReceipt(b)
	if r == nil || err != nil {
		return nil, err
	}
	out := &TransactionReceipt{To: optText(r.To, addressBytes), Status: opt(r.Status), Root: optText(r.Root, hashBytes), TransactionHash: r.TxHash.String(),
		BlockNumber: nat(r.BlockNumber), From: text(r.From[:]), Logs: make([]LogEntry, len(r.Logs)), BlockHash: r.BlockHash.String(), Type: "0x" + strconv.FormatUint(r.Type, 16),
		TransactionIndex: nat(r.TxIndex), EffectiveGasPrice: whole(&r.EffectiveGasPrice), LogsBloom: text(r.LogsBloom[:]), ContractAddress: optText(r.Contract, addressBytes),
		GasUsed: nat(r.GasUsed), CumulativeGasUsed: nat(r.CumulativeGasUsed)}
	for i := range r.Logs {
		out.Logs[i] = logEntry(&r.Logs[i])
	}
	return out, nil
}

func parseFeeHistory(b []byte) (FeeHistory, error) {
	h, err := rpc.ParseFeeHistory(b)
	out := FeeHistory{Reward: make([][]candid.Nat, len(h.Reward)), GasUsedRatio: append([]float64{}, h.GasUsedRatio...), OldestBlock: nat(h.OldestBlock),
		BaseFeePerGas: make([]candid.Nat, len(h.BaseFee))}
	for i := range h.BaseFee {
		out.BaseFeePerGas[i] = whole(&h.BaseFee[i])
	}
	for i, list := range h.Reward {
		out.Reward[i] = make([]candid.Nat, len(list))
		for k := range list {
			out.Reward[i][k] = whole(&list[k])
		}
	}
	return out, err
}

func parseCount(b []byte) (candid.Nat, error) {
	v, err := rpc.ParseQuantity(b)
	return whole(&v), err
}

func parseData(b []byte) (string, error) {
	v, err := rpc.ParseData(b)
	return text(v), err
}

func parseSent(b []byte) (SendRawTransactionStatus, error) {
	h, err := rpc.ParseHash(b)
	return SendRawTransactionStatus{Ok: ptr(ptr(h.String()))}, err
}
