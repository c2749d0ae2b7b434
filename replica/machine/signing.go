package machine

import (
	"encoding/binary"
	"errors"

	"fusion/chainkey"
	"fusion/internal/kv"
	"fusion/replica/execution"
	"fusion/replica/payload"
	"fusion/replica/signing"
	"fusion/replica/vetkeys"
)

// The chain-key room is called twice in a block: before the round of the canisters, which then sees its answers, and after
// it, to take the requests that the round made.

// CheckSigning says whether a block on top of the committed state may carry an item of package signing.
func (m *Machine) CheckSigning(it payload.Item) error {
	return m.sign.Check(m.SigningReader(), it)
}

// SigningReader reads the committed state of package signing, from any goroutine.
func (m *Machine) SigningReader() kv.Reader { return kv.PrefixReader(m.db.Reader(), prefixSigning) }

// Signing is the deterministic half of package signing, or nil before there is a subnet.
func (m *Machine) Signing() *signing.Machine { return m.sign }

// stepSigning applies a block's items and lets deadlines pass; it returns the answers that became due.
func (m *Machine) stepSigning(sig kv.Store, mac kv.Reader, height uint64, by *parts) []execution.SystemResponse {
	due := m.sign.ApplyAll(sig, height, by.signing)
	due = append(due, m.sign.Advance(sig, height, func(h uint64) ([32]byte, bool) { return beacon(mac, h) })...)
	out := make([]execution.SystemResponse, len(due))
	for i, r := range due {
		out[i] = execution.SystemResponse{ID: r.ID, Signature: r.Signature, RejectCode: r.RejectCode, RejectMessage: r.RejectMessage}
	}
	return out
}

// activeKeys are the keys that canisters may use.
func (m *Machine) activeKeys(sig kv.Reader) (out []execution.ChainKey) {
	for _, k := range m.sign.Keys(sig) {
		out = append(out, execution.ChainKey{ID: k.ID, PublicKey: k.PublicKey, ChainCode: k.ChainCode})
	}
	for _, k := range m.vet.Keys() {
		out = append(out, execution.ChainKey{ID: chainkey.KeyID{Algorithm: chainkey.Bls12381G2, Name: k.Name}, PublicKey: k.PublicKey[:]})
	}
	return out
}

// takeSystemCalls registers what only the subnet can answer. A request that is refused is answered in the next round.
func (m *Machine) takeSystemCalls(sig, vet, out, mac kv.Store, height uint64, calls []execution.SystemCall) {
	for _, c := range calls {
		switch c.Kind {
		case execution.Outcall:
			if err := m.openOutcall(out, c); err != nil {
				mac.Set(refusedKey(c.ID), append([]byte{execution.SysTransient}, err.Error()...))
			}
		case execution.Asking:
			if err := m.openQuestion(out, c); err != nil {
				mac.Set(refusedKey(c.ID), append([]byte{execution.SysTransient}, err.Error()...))
			}
		case execution.RawRand:
			mac.Set(randKey(c.ID), binary.BigEndian.AppendUint64(nil, height+1))
		case execution.Sign:
			err := m.sign.Submit(sig, signing.Request{ID: c.ID, Key: c.Sign.Key, Canister: c.Caller.Bytes(), Path: c.Sign.Path,
				Message: c.Sign.Message, Height: height})
			if err != nil {
				mac.Set(refusedKey(c.ID), append([]byte{rejectCode(err)}, err.Error()...))
			}
		case execution.Derive:
			if err := m.openDerivation(vet, height, c); err != nil {
				mac.Set(refusedKey(c.ID), append([]byte{rejectCode(err)}, err.Error()...))
			}
		}
	}
}

func refusedKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte("refused/"), id) }

// rejectCode tells a caller whether trying again can help.
func rejectCode(err error) byte {
	for _, passing := range []error{signing.ErrQueueFull, signing.ErrKeyNotReady, vetkeys.ErrQueueFull, vetkeys.ErrKeyNotReady} {
		if errors.Is(err, passing) {
			return execution.SysTransient
		}
	}
	return execution.CanisterReject
}

// answerRefused returns the rejections of the last round's refused requests.
func (m *Machine) answerRefused(mac kv.Store) (out []execution.SystemResponse) {
	for _, e := range take(mac, "refused/") {
		out = append(out, execution.SystemResponse{ID: binary.BigEndian.Uint64(e.key), NotTaken: true, RejectCode: int(e.value[0]), RejectMessage: string(e.value[1:])})
	}
	return out
}

type entry struct{ key, value []byte }

// take removes and returns everything under a prefix; keys come without it.
func take(s kv.Store, prefix string) (out []entry) {
	kv.ScanPrefix(s, []byte(prefix), func(k, v []byte) bool {
		out = append(out, entry{append([]byte{}, k[len(prefix):]...), append([]byte{}, v...)})
		return true
	})
	for _, e := range out {
		s.Delete(append([]byte(prefix), e.key...))
	}
	return out
}
