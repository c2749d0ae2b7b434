package signing

import (
	"slices"

	"fusion/chainkey/keystore"
	"fusion/internal/kv"
)

// Renew ends every attempt, of requests, of key generations and of resharings, which are given up: the state was restored, and what its
// ceremonies have come to since then is lost, as why says. Presignatures are destroyed: in lost blocks they may have served. Requests and generations get
// new attempts by themselves, which the machine of the new life binds to it.
func (m *Machine) Renew(s kv.Store, height uint64, why string) {
	m.AbortReshare(s)
	ids, all := requests(s)
	for i, q := range all {
		if m.presigns(q.Key) {
			if _, bound := load[binding](s, bindingKey(ids[i])); bound {
				m.release(s, ids[i], &q, why)
			}
		} else if q.Status == RequestActive {
			m.failAttempt(s, ids[i], &q, why)
		}
	}
	for _, id := range m.cfg.Keys {
		name := id.String()
		if k, _ := load[keyRecord](s, keyPrefix+name); k.Status == KeyGenerating || k.Status == KeyActivating {
			m.failKey(s, height, name, &k, why)
		}
	}
	if m.shared != nil {
		m.shared.Renew(s, func(key string, epoch uint64) bool {
			k, _ := load[keyRecord](s, keyPrefix+key)
			return k.Status == KeyActive && k.Epoch == epoch
		})
	}
}

// Generations names the shares that a node holds of the keys that sign.
func (m *Machine) Generations(r kv.Reader, node uint32) (out []keystore.Generation) {
	for _, id := range m.cfg.Keys {
		name := id.String()
		if k, ok := load[keyRecord](r, keyPrefix+name); ok && k.Status == KeyActive && slices.Contains(k.Members, node) {
			out = append(out, keystore.Generation{Key: name, Epoch: k.Epoch, Attempt: k.Attempt.Number})
		}
	}
	return out
}
