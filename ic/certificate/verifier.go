package certificate

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"fusion/ic/hashtree"
	"fusion/ic/principal"
)

// Scope is what a certificate is asked to speak for.
type Scope struct {
	kind scopeKind
	id   principal.Principal
}

type scopeKind int

const (
	scopeAny scopeKind = iota
	scopeCanister
	scopeSubnet
)

// Any accepts a certificate of every subnet, for values that do not belong to one, such as the time.
var Any = Scope{}

// ForCanister accepts certificates of the subnet whose canister ranges hold the canister. A certificate without a delegation is
// of the root subnet, which is trusted to speak for all.
func ForCanister(id principal.Principal) Scope { return Scope{scopeCanister, id} }

// ForSubnet accepts certificates of that subnet, and of the root subnet.
func ForSubnet(id principal.Principal) Scope { return Scope{scopeSubnet, id} }

// generation is how many verdicts a Verifier remembers at least; each takes some 100 bytes.
const generation = 4096

// Verifier checks certificates against a root key and remembers valid signatures. It is safe for concurrent use; concurrent
// checks of one signature do the work once.
type Verifier struct {
	root *PublicKey
	id   [32]byte // hash of the root key

	mu         sync.Mutex
	young, old map[[32]byte]*verdict // when young is full it becomes old, and what was old is forgotten
}

type verdict struct {
	once sync.Once
	ok   bool
	// Of a delegation: the subnet's key, its type if shown, and its canister ranges or why there are none.
	key    *PublicKey
	kind   string
	ranges []Range
	err    error
}

// NewVerifier makes a Verifier for a DER-encoded root key.
func NewVerifier(rootKeyDER []byte) (*Verifier, error) {
	root, err := ParsePublicKey(rootKeyDER)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	return &Verifier{root: root, id: sha256.Sum256(rootKeyDER), young: map[[32]byte]*verdict{}}, nil
}

// RootKeyDER returns the root key.
func (v *Verifier) RootKeyDER() []byte { return v.root.DER() }

// Root identifies the root key; it is zero for a nil Verifier.
func (v *Verifier) Root() [32]byte {
	if v == nil {
		return [32]byte{}
	}
	return v.id
}

// Verify checks a certificate's signature and delegation, and that it may speak for scope.
func (v *Verifier) Verify(c *Certificate, scope Scope) error {
	key := v.root
	if d := c.Delegation; d != nil {
		verdict := v.delegation(d)
		if verdict.key == nil {
			return verdict.err
		}
		key = verdict.key
		switch {
		case scope.kind == scopeSubnet && scope.id != d.SubnetID:
			return fmt.Errorf("%w: subnet %s was asked, %s answered", ErrOutOfScope, scope.id, d.SubnetID)
		case scope.kind == scopeCanister && verdict.err != nil:
			return verdict.err
		case scope.kind == scopeCanister && !InRanges(verdict.ranges, scope.id):
			return fmt.Errorf("%w: subnet %s does not hold canister %s", ErrOutOfScope, d.SubnetID, scope.id)
		}
	}
	return v.signature(key, c)
}

// signature checks a certificate's signature under a key.
func (v *Verifier) signature(key *PublicKey, c *Certificate) error {
	if len(c.Signature) != SignatureSize {
		return fmt.Errorf("%w: %d bytes", ErrBadSignature, len(c.Signature))
	}
	root := c.Tree.Digest()
	var b [KeySize + sha256.Size + SignatureSize]byte
	copy(b[:], key.raw[:])
	copy(b[KeySize:], root[:])
	copy(b[KeySize+sha256.Size:], c.Signature)
	id := sha256.Sum256(b[:])
	e := v.remember(id)
	e.once.Do(func() { e.ok = key.Verify(StateRootMessage(root), c.Signature) })
	if !e.ok {
		v.forget(id, e)
		return ErrBadSignature
	}
	return nil
}

// delegation checks a delegation. The verdict has a key if it is valid; its ranges or err tell which canisters it covers.
func (v *Verifier) delegation(d *Delegation) *verdict {
	h := sha256.New()
	h.Write(append([]byte{byte(d.SubnetID.Len())}, d.SubnetID.Bytes()...))
	h.Write(d.Certificate)
	id := [32]byte(h.Sum(nil))
	e := v.remember(id)
	e.once.Do(func() {
		if e.key, e.err = v.checkDelegation(d, e); e.err != nil && e.key == nil {
			e.err = fmt.Errorf("%w of subnet %s: %w", ErrDelegation, d.SubnetID, e.err)
		}
	})
	if e.key == nil {
		v.forget(id, e)
	}
	return e
}

func (v *Verifier) checkDelegation(d *Delegation, e *verdict) (*PublicKey, error) {
	inner, err := Parse(d.Certificate)
	if err != nil {
		return nil, err
	}
	if inner.Delegation != nil {
		return nil, fmt.Errorf("%w: a delegation in a delegation", ErrMalformed)
	}
	if err := v.signature(v.root, inner); err != nil {
		return nil, err
	}
	res, der := inner.Lookup([]byte("subnet"), d.SubnetID.Bytes(), []byte("public_key"))
	if res != hashtree.Found {
		return nil, fmt.Errorf("%w: the subnet's public key is %v", ErrMalformed, res)
	}
	key, err := ParsePublicKey(der)
	if err != nil {
		return nil, err
	}
	if res, kind := inner.Lookup([]byte("subnet"), d.SubnetID.Bytes(), []byte("type")); res == hashtree.Found {
		e.kind = string(kind)
	}
	e.ranges, err = Ranges(inner.Tree, d.SubnetID)
	return key, err
}

func (v *Verifier) remember(id [32]byte) *verdict {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.young[id]; e != nil {
		return e
	}
	e := v.old[id]
	if e == nil {
		e = new(verdict)
	}
	if len(v.young) >= generation {
		v.old, v.young = v.young, make(map[[32]byte]*verdict, generation)
	}
	v.young[id] = e
	return e
}

// forget drops a bad verdict, so that an attacker's certificates do not drive out good ones for long.
func (v *Verifier) forget(id [32]byte, e *verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.young[id] == e {
		delete(v.young, id)
	}
	if v.old[id] == e {
		delete(v.old, id)
	}
}
