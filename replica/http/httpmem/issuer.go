package httpmem

import (
	"crypto/sha256"
	"sync"

	"fusion/ic/certificate"
	"fusion/ic/hashtree"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

// Issuer is an identity whose key belongs to a canister of the subnet: what it signs, the canister certifies.
type Issuer struct {
	s   *Subnet
	key *identity.CanisterKey

	mu   sync.Mutex
	sigs *hashtree.Map
}

var _ identity.Identity = (*Issuer)(nil)

// Issuer makes an identity of a canister's key with a seed.
func (s *Subnet) Issuer(canister principal.Principal, seed string) *Issuer {
	return &Issuer{s: s, key: &identity.CanisterKey{Canister: canister, Seed: []byte(seed)}}
}

// Sender implements identity.Identity.
func (i *Issuer) Sender() principal.Principal { return principal.SelfAuthenticating(i.PublicKeyDER()) }

// PublicKeyDER implements identity.Identity.
func (i *Issuer) PublicKeyDER() []byte { return i.key.DER() }

// Sign implements identity.Identity.
func (i *Issuer) Sign(msg []byte) ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	seed, what := sha256.Sum256(i.key.Seed), sha256.Sum256(msg)
	path := [][]byte{[]byte("sig"), seed[:], what[:]}
	i.sigs = i.sigs.Insert(path, nil)
	root := i.sigs.Digest()
	data := [][]byte{[]byte("canister"), i.key.Canister.Bytes(), []byte("certified_data")}
	i.s.SetTree(root[:], data...)
	sig := certificate.CanisterSignature{Certificate: i.s.Snapshot().Certify(data), Tree: i.sigs.Witness(path)}
	return sig.Encode(), nil
}
