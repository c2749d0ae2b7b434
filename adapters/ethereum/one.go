package ethereum

import (
	"context"
	"errors"
	"strings"

	"fusion/adapters/https"
	"fusion/eth/rpc"
)

// Doer makes HTTPS requests within limits: *https.Client, whose policy of addresses then holds for what canisters name.
type Doer interface {
	Do(ctx context.Context, r https.Request) (*https.Response, error)
}

// headerRoom is added to the limit of a response's body for its headers (EVM-RPC canister: 2 KiB).
const headerRoom = 2 << 10

// AskOne asks the one provider that a canister named. Its answer depends on nothing but what the provider says, so that replicas agree on it: the id of
// the request is always the same, and a transaction that the provider took from another replica is taken. Nothing is retried; most bounds the response's body.
func AskOne(ctx context.Context, doer Doer, url string, headers []Header, q rpc.Query, most int64) rpc.Answer {
	a := askOne(ctx, doer, url, headers, q, most)
	hash, sent := q.SentHash()
	if !sent || a.Err == nil {
		return a
	}
	switch a.Err.Class() {
	case rpc.ClassKnown:
		return rpc.Answer{Result: rpc.EncodeData(hash[:])}
	case rpc.ClassNonceTooLow: // perhaps because this very transaction is in the chain
		known := askOne(ctx, doer, url, headers, rpc.TransactionByHash(hash), 1<<20)
		if known.Err == nil && string(known.Result) != "null" {
			return rpc.Answer{Result: rpc.EncodeData(hash[:])}
		}
	}
	return a
}

func askOne(ctx context.Context, doer Doer, url string, headers []Header, q rpc.Query, most int64) rpc.Answer {
	const id = 1
	r := https.Request{URL: url, Method: "POST", Body: q.Request(id), MaxResponseBytes: min(most, rpc.MaxBytes) + headerRoom}
	named := false
	for _, h := range headers {
		r.Headers = append(r.Headers, https.Header{Name: h.Name, Value: h.Value})
		named = named || strings.EqualFold(h.Name, "content-type")
	}
	if !named {
		r.Headers = append(r.Headers, https.Header{Name: "Content-Type", Value: "application/json"})
	}
	res, err := doer.Do(ctx, r)
	switch {
	case err == nil:
	case errors.Is(err, https.ErrTooLarge):
		return rpc.Fail(rpc.KindTooLarge, "%v", err)
	case errors.Is(err, https.ErrRequest), errors.Is(err, https.ErrForbidden):
		return rpc.Fail(rpc.KindQuery, "%v", err)
	default:
		return rpc.Fail(rpc.KindTransport, "%v", err)
	}
	if int64(len(res.Body)) > most {
		return rpc.Fail(rpc.KindTooLarge, "Http body exceeds size limit of %d bytes.", most)
	}
	return q.Read(res.Status, res.Body, id)
}
