package rpc

import (
	"errors"
	"testing"
)

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		code    int64
		message string
		want    Class
	}{
		{-32000, "already known", ClassKnown}, // geth
		{-32010, "AlreadyKnown", ClassKnown},  // Nethermind
		{-32000, "Known transaction", ClassKnown},
		{-32003, "nonce too low: next nonce 5, tx nonce 3", ClassNonceTooLow},
		{-32001, "Nonce too low", ClassNonceTooLow}, // Besu
		{-32003, "nonce too high", ClassNonceTooHigh},
		{-32000, "insufficient funds for gas * price + value: balance 0, tx cost 21000", ClassFunds},
		{-32003, "Insufficient funds for gas * price + value", ClassFunds}, // anvil
		{-32000, "replacement transaction underpriced", ClassUnderpriced},
		{-32005, "query returned more than 10000 results", ClassRange},
		{-32602, "eth_getLogs is limited to a 10,000 range: block range is too wide", ClassRange},
		{-32000, "missing trie node 0xab (path )", ClassUnable},
		{-32005, "daily request count exceeded, request rate limited", ClassUnable},
		{-32601, "the method eth_x does not exist/is not available", ClassUnable},
		{3, "execution reverted", ClassOther},
		{-32602, "invalid argument 0: hex string without 0x prefix", ClassOther},
	} {
		if got := (&Error{Kind: KindRPC, Code: c.code, Message: c.message}).Class(); got != c.want {
			t.Errorf("%d %s is %v, want %v", c.code, c.message, got, c.want)
		}
	}
	if got := (&Error{Kind: KindHTTP, Message: "already known"}).Class(); got != ClassOther {
		t.Errorf("an answer that is no JSON-RPC is %v", got)
	}
	var node *Error
	if _, err := ParseResponse(recorded(t)["again"], 7); !errors.As(err, &node) || node.Canonical().Message != "already known" {
		t.Errorf("geth on a transaction that it has: %v", err)
	}
	if e := (&Error{Kind: KindRPC, Code: -32005, Message: "query returned more than 10000 results"}).Canonical(); e.Kind != KindTooLarge {
		t.Errorf("%+v", e)
	}
}
