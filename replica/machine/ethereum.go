package machine

import (
	"crypto/sha256"
	"fmt"

	"fusion/eth/canister"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/genesis"
	"fusion/replica/outcalls"
)

// ethereum is the canister through which others ask Ethereum nodes. What it asks goes to package outcalls.
type ethereum struct {
	id       principal.Principal
	canister *canister.Canister
}

func openEthereum(doc *genesis.Doc, s kv.Store) (*ethereum, error) {
	if doc.Ethereum == nil {
		return nil, nil
	}
	local := doc.Class == genesis.Local
	c, err := canister.New(canister.Options{Local: local, Chain: doc.Ethereum.ChainID, Demo: local, ManageKeys: configurers(doc)}, kv.Prefix(s, prefixEthereum))
	if err != nil {
		return nil, fmt.Errorf("opening the EVM RPC canister: %w", err)
	}
	return &ethereum{canister.ID, c}, nil
}

// use continues in another store with the same content.
func (e *ethereum) use(s kv.Store) { e.canister.Use(kv.Prefix(s, prefixEthereum)) }

func env(caller principal.Principal, cycles execution.Cycles, nodes int) canister.Env {
	return canister.Env{Caller: caller, Cycles: candid.NatFromBig(cycles.Big()), Nodes: nodes, Price: func(request, response uint64) candid.Nat {
		return candid.NatFromBig(execution.OutcallPrice(nodes, request, response).Big())
	}}
}

// Call implements execution.Native. Queries read no store.
func (e *ethereum) Call(c execution.NativeCall) execution.NativeResult {
	return result(e.canister.Call(canister.Call{Env: env(c.Caller, c.Cycles, c.Nodes), Method: c.Method, Arg: c.Arg, Query: c.Query}))
}

// Resume implements execution.Asker.
func (e *ethereum) Resume(r execution.NativeResume) execution.NativeResult {
	in := canister.Resume{Env: env(r.Caller, r.Cycles, r.Nodes), State: r.State}
	for _, a := range r.Answers {
		x := canister.Answer{Reply: a.Reply}
		if a.Reject != nil {
			x.Reject = &canister.Reject{Code: a.Reject.Code, Message: a.Reject.Message}
		}
		in.Answers = append(in.Answers, x)
	}
	return result(e.canister.Resume(in))
}

func result(o canister.Outcome) execution.NativeResult {
	used, ok := execution.CyclesFromBig(o.CyclesUsed.Big())
	if !ok {
		panic(fmt.Sprintf("machine: the EVM RPC canister used %v cycles", o.CyclesUsed))
	}
	out := execution.NativeResult{Reply: o.Reply, CyclesUsed: used, State: o.State}
	if o.Reject != nil {
		out.Reject = &execution.Reject{Code: o.Reject.Code, Message: o.Reject.Message}
	}
	for i := range o.Asks {
		a := &o.Asks[i]
		kind := outcalls.Ethereum
		if a.Height != "" {
			kind = outcalls.Height
		}
		out.Asks = append(out.Asks, execution.Ask{Kind: uint8(kind), Data: a.Encode(), MaxReply: a.MaxReply()})
	}
	return out
}

// openQuestion hands a question of the canister to the replicas. It counts as its caller's.
func (m *Machine) openQuestion(out kv.Store, c execution.SystemCall) error {
	digest := sha256.Sum256(c.Ask.Data)
	return m.out.Submit(out, m.timeNs, outcalls.Request{ID: c.ID, Kind: outcalls.Kind(c.Ask.Kind), Canister: c.Caller.Bytes(), Digest: digest[:],
		MaxReply: c.Ask.MaxReply, Replicated: true})
}
