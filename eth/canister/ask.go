package canister

import (
	"errors"
	"fmt"
	"strings"

	"fusion/eth/rpc"
	"fusion/internal/codec"
)

// Ask is what each replica has to find out by itself: a height, or the answers to queries. It may hold keys of providers.
type Ask struct {
	_     struct{} `cbor:",toarray"`
	Chain uint64   // 0 where the call does not say
	// Own asks the replica's own providers. Otherwise Endpoints are asked: one for queries, all of them for a height.
	Own       bool
	Endpoints []Endpoint
	// Height is the tag of the block whose number is wanted: latest, safe or finalized; empty where Queries are asked. Of several endpoints so many
	// as Known must have that block.
	Height  string
	Known   uint32
	Queries []Query
	// MaxBytes bounds what an endpoint may answer with.
	MaxBytes uint64
}

// Query is an rpc.Query as it is stored.
type Query struct {
	_      struct{} `cbor:",toarray"`
	Method string
	Params []byte
}

// RPC is the query as package rpc knows it.
func (q Query) RPC() rpc.Query { return rpc.Query{Method: q.Method, Params: q.Params} }

// Encode is the ask as the state holds it.
func (a *Ask) Encode() []byte { return codec.Marshal(a) }

// DecodeAsk reads what Encode wrote.
func DecodeAsk(b []byte) (*Ask, error) {
	a := &Ask{}
	if err := codec.Unmarshal(b, a); err != nil {
		return nil, err
	}
	return a, nil
}

// replyOverhead is what encoding adds to an answer, and a failure's message.
const replyOverhead = 4096

// MaxReply is how large the reply to the ask may be. What a provider wrote is written again in canonical form, which can be somewhat longer.
func (a *Ask) MaxReply() uint64 {
	if a.Height != "" {
		return 8
	}
	return min(a.MaxBytes+a.MaxBytes/2, MaxResponse) + replyOverhead
}

// answer is an rpc.Answer as it is stored.
type answer struct {
	_       struct{} `cbor:",toarray"`
	Result  []byte
	Kind    uint8 // 0: there is a result
	Code    int64
	Status  uint16
	Message string
}

// Reply encodes the answers to an ask's queries. Answers that are too large become failures that say so, at every replica alike.
func (a *Ask) Reply(answers []rpc.Answer) []byte {
	list := make([]answer, len(answers))
	size := uint64(0)
	for i, x := range answers {
		if size += uint64(len(x.Result)); size > a.MaxReply()-replyOverhead {
			x = rpc.Fail(rpc.KindTooLarge, "the answers exceed %d bytes", a.MaxBytes)
		}
		list[i].Result = x.Result
		if e := x.Err; e != nil {
			list[i] = answer{Kind: uint8(e.Kind), Code: e.Code, Status: e.Status, Message: e.Message}
		}
	}
	b := codec.Marshal(list)
	if uint64(len(b)) <= a.MaxReply() {
		return b
	}
	// Many failures with long messages.
	for i := range list {
		list[i] = answer{Kind: uint8(rpc.KindTooLarge), Message: "the answers are too large"}
	}
	return codec.Marshal(list)
}

var errReply = errors.New("the replicas' answer is malformed")

// readReply reads what Reply wrote for so many queries.
func readReply(b []byte, queries int) ([]rpc.Answer, error) {
	var list []answer
	if err := codec.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%w: %w", errReply, err)
	}
	if len(list) != queries {
		return nil, fmt.Errorf("%w: %d answers to %d queries", errReply, len(list), queries)
	}
	out := make([]rpc.Answer, len(list))
	for i, x := range list {
		if x.Kind == 0 {
			out[i].Result = x.Result
		} else {
			out[i].Err = &rpc.Error{Kind: rpc.Kind(x.Kind), Code: x.Code, Status: x.Status, Message: strings.ToValidUTF8(x.Message, "\uFFFD")}
		}
	}
	return out, nil
}

// Settle makes equal what honest replicas are told differently because they ask one after another, or ask nodes of different make: the first hands
// a transaction over, the others learn that it is known already, each in its node's words. Other answers stay as they are.
func Settle(q rpc.Query, a rpc.Answer) rpc.Answer {
	hash, ok := q.SentHash()
	if !ok || a.Err == nil || a.Err.Kind != rpc.KindRPC {
		return a
	}
	if a.Err.Class() == rpc.ClassKnown {
		return rpc.Answer{Result: rpc.EncodeData(hash[:])}
	}
	return rpc.Answer{Err: a.Err.Canonical()}
}
