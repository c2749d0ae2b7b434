package machine

import (
	"fusion/chainkey/bls"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/vetkeys"
)

// The room of derived keys is called like the chain-key room: before the round of the canisters, which then sees its answers, and after it,
// to take the requests that the round made.

// VetKeys is the deterministic half of package vetkeys, or nil before there is a subnet. It belongs to the goroutine that steps the machine.
func (m *Machine) VetKeys() *vetkeys.Machine { return m.vet }

// OpenDerivations are the requests for derived keys in the committed state. It belongs to the goroutine that steps the machine.
func (m *Machine) OpenDerivations() []vetkeys.Open { return m.vet.Requests(m.vetReader()) }

// FinishedVetBoard reads the board on which the i-th key was made.
func (m *Machine) FinishedVetBoard(i int) (*bls.Board, error) {
	return m.vet.FinishedBoard(m.vetReader(), i)
}

func (m *Machine) vetReader() kv.Reader { return kv.PrefixReader(m.db.Reader(), prefixVetKeys) }

// CheckVetKeys says whether a block on top of the committed state may carry these bundles of key generations and encrypted keys.
func (m *Machine) CheckVetKeys(generation, derived [][]byte) error {
	root, others := m.sortBundles(generation)
	if len(root) > 0 {
		if err := m.rootKey.Board().CheckAll(root); err != nil {
			return err
		}
	}
	if err := m.vet.CheckGeneration(others); err != nil {
		return err
	}
	return m.vet.CheckResults(m.vetReader(), derived)
}

// stepVetKeys applies a block's items and lets deadlines pass; it returns the answers that became due.
func (m *Machine) stepVetKeys(vet kv.Store, height uint64, by *parts, res *Result) []execution.SystemResponse {
	due, skipped := m.vet.Step(vet, height, by.dkg, by.derived)
	res.Skipped += skipped
	out := make([]execution.SystemResponse, len(due))
	for i, r := range due {
		out[i] = execution.SystemResponse{ID: r.ID, EncryptedKey: r.EncryptedKey, RejectCode: r.RejectCode, RejectMessage: r.RejectMessage}
	}
	return out
}

func (m *Machine) openDerivation(vet kv.Store, height uint64, c execution.SystemCall) error {
	d := c.Derive
	return m.vet.Submit(vet, vetkeys.Request{ID: c.ID, Key: d.Key, Canister: c.Caller.Bytes(), Context: d.Context, Input: d.Input,
		Transport: d.Transport, Height: height})
}
