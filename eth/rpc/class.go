package rpc

import "strings"

// Class is what a node's error means, whichever software the node runs: the specification leaves code and words to it.
type Class uint8

const (
	ClassOther        Class = iota
	ClassKnown              // the node has this very transaction already
	ClassNonceTooLow        // another transaction with the nonce is in the chain
	ClassNonceTooHigh       // earlier nonces are missing
	ClassFunds              // the account cannot pay
	ClassUnderpriced        // the fee is below what the node takes, or does not outbid the transaction that it would replace
	ClassRange              // the node would have to answer with more than it likes: ask for less
	ClassUnable             // the node cannot answer now or at all (pruned, behind, overloaded, the method missing); another one may
)

var classNames = [...]string{"other", "already known", "nonce too low", "nonce too high", "insufficient funds", "underpriced", "range too large", "unable"}

func (c Class) String() string { return classNames[c] }

// phrases are how geth, Erigon, Nethermind, Besu, reth and anvil, and the services in front of them, word their errors; in lower case.
var phrases = []struct {
	class Class
	words []string
}{
	{ClassKnown, []string{"already known", "alreadyknown", "known transaction", "already imported", "transaction already exists", "already in mempool", "already in the mempool"}},
	{ClassNonceTooLow, []string{"nonce too low", "nonce is too low", "oldnonce", "nonce_too_low", "invalid nonce: too low"}},
	{ClassNonceTooHigh, []string{"nonce too high", "nonce is too high", "nonce_too_high", "nonce gap", "noncegap", "exceeds the next nonce"}},
	{ClassFunds, []string{"insufficient funds", "insufficientfunds", "insufficient balance", "upfront cost exceeds", "upfront_cost_exceeds_balance"}},
	{ClassUnderpriced, []string{"underpriced", "fee too low", "feetoolow", "gas price below", "max fee per gas less than block base fee", "feetoolowtocompete", "gas_price_too_low"}},
	{ClassRange, []string{"query returned more than", "more than 10000 results", "response size exceeded", "response is too big", "response too large", "range too large", "range is too large", "range limit exceeded",
		"exceed maximum block range", "exceeds max block range", "block range exceeds", "exceeds the limit of", "too many logs", "limit the query to", "query exceeds max", "log response size", "block range is too wide",
		"maximum block range", "max results", "ranges over"}},
	{ClassUnable, []string{"missing trie node", "header not found", "unknown block", "block not found", "cannot find block", "state not available", "historical state", "is not available", "pruned", "rate limit",
		"too many requests", "request limit", "capacity", "timeout", "timed out", "internal error", "unavailable", "overloaded", "unauthorized", "api key", "forbidden", "beyond current head", "block range extends beyond",
		"invalid block range", "resource not found", "not synced", "syncing"}},
}

// Class tells errors of nodes apart. For everything but KindRPC it is ClassOther.
func (e *Error) Class() Class {
	if e == nil || e.Kind != KindRPC {
		return ClassOther
	}
	if e.Code == -32601 || e.Code == -32603 { // no such method, internal error (JSON-RPC 2.0)
		return ClassUnable
	}
	text := strings.ToLower(e.Message)
	for _, p := range phrases {
		for _, w := range p.words {
			if strings.Contains(text, w) {
				return p.class
			}
		}
	}
	if e.Code == -32005 || e.Code == -32016 || e.Code == 429 || e.Code == -32002 || e.Code == -32001 { // limits and resources (EIP-1474, and what services made of it)
		return ClassUnable
	}
	return ClassOther
}

// Canonical is the error in the same words whichever software the node runs, as far as its class is known.
func (e *Error) Canonical() *Error {
	switch c := e.Class(); c {
	case ClassKnown, ClassNonceTooLow, ClassNonceTooHigh, ClassFunds, ClassUnderpriced:
		return &Error{Kind: KindRPC, Code: -32000, Message: c.String()}
	case ClassRange:
		return &Error{Kind: KindTooLarge, Message: c.String()}
	}
	return e
}
