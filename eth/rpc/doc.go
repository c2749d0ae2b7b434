// Package rpc is Ethereum's JSON-RPC without a connection: queries, their envelopes, and bounded parsers of what nodes answer.
//
// A Query is made by a builder (GetLogs, BlockByNumber, TransactionCount, ReceiptOf, SendRaw, CallTo, FeeHistoryOf, Balance, …) or from a request that
// somebody else wrote (Raw). Whoever has a connection sends q.Request(id) and gives what came back to q.Read, which opens the envelope and makes an Answer:
// a result in canonical form, or an Error. Answers of different nodes, and of different replicas, are compared byte by byte, so a result of a method that has
// a type here is parsed and written again: quantities without leading zeros, digits in lower case, members in alphabetical order, fields
// that only some nodes know left out, logs in the order of the chain. Of other methods the members are sorted and the space is dropped.
//
// The parsers (ParseLogs, ParseBlock, ParseReceipt, ParseFeeHistory, ParseTransaction, ParseProof, ParseQuantity, …) take results, canonical or as a node
// wrote them. They are strict where an answer could mean two things (a member twice, digits that are too many, a log that is in no block) and
// forgiving where real nodes differ (quantities with leading zeros, unknown members, blocks with whole transactions, both status and root in a receipt).
// Depth, counts and sizes are bounded before anything is allocated, and every failure is an ErrMalformed that names the byte.
//
// Nothing here is verified against the chain: that is adapters/ethereum's work. The package is pure and small, because canisters import it.
package rpc
