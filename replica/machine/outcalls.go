package machine

import (
	"crypto/sha256"

	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/outcalls"
)

// The room of outcalls is called like the chain-key room: before the round of the canisters, which then sees its answers, and
// after it, to take the requests that the round made.

// OutcallsReader reads the committed state of package outcalls, from any goroutine.
func (m *Machine) OutcallsReader() kv.Reader { return kv.PrefixReader(m.db.Reader(), prefixOutcalls) }

// Outcalls is the deterministic half of package outcalls, or nil before there is a subnet.
func (m *Machine) Outcalls() *outcalls.Machine { return m.out }

// CheckOutcalls says whether a block on top of the committed state may carry these items of package outcalls.
func (m *Machine) CheckOutcalls(items [][]byte) error {
	return m.out.CheckAll(m.OutcallsReader(), items)
}

// stepOutcalls applies a block's items and lets time pass; it returns the answers.
func (m *Machine) stepOutcalls(out kv.Store, items [][]byte, res *Result) []execution.SystemResponse {
	var done []outcalls.Response
	for _, it := range items {
		r, err := m.out.Apply(out, it)
		if err != nil {
			res.Skipped++
			continue
		}
		done = append(done, r)
	}
	done = append(done, m.out.Advance(out, m.timeNs)...)
	answers := make([]execution.SystemResponse, len(done))
	for i, r := range done {
		answers[i] = execution.SystemResponse{ID: r.ID, Reply: r.Reply, RejectCode: r.RejectCode, RejectMessage: r.RejectMessage}
	}
	return answers
}

// encodingOverhead is what Candid adds to a response's headers and body, or more: two lengths for each header, the types, the status.
const encodingOverhead = 2048

func (m *Machine) openOutcall(out kv.Store, c execution.SystemCall) error {
	digest := sha256.Sum256(codec.Marshal(c.HTTP))
	return m.out.Submit(out, m.timeNs, outcalls.Request{ID: c.ID, Kind: outcalls.HTTP, Canister: c.Caller.Bytes(), Digest: digest[:],
		MaxReply: c.HTTP.MaxResponseBytes + encodingOverhead, Replicated: c.HTTP.Replicated})
}
