// Package httpmem is a subnet of one node in memory, for tests of the HTTP interface and of its clients: its canisters are Go
// functions, but its keys, signatures, trees and certificates are real ones.
package httpmem

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"

	blst "github.com/supranational/blst/bindings/go"

	"fusion/ic/cbor"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/identity"
	"fusion/ic/principal"
	replicahttp "fusion/replica/http"
	"fusion/replica/ingress"
)

// Canister answers calls. Errors that are an *envelope.Reject are rejects; others are not allowed.
type Canister struct {
	Update  func(caller principal.Principal, method string, arg []byte) ([]byte, error)
	Query   func(caller principal.Principal, method string, arg []byte) ([]byte, error)
	Inspect func(caller principal.Principal, method string, arg []byte) error // nil accepts
	Private map[string]bool                                                   // metadata names that only Controller may read
	// Controller is also shown in the state tree.
	Controller principal.Principal
}

// Subnet is a Backend.
type Subnet struct {
	// Manual makes calls wait for Step; otherwise each call is executed as soon as it is submitted.
	Manual bool
	// OnSubmit, if set, is told of each call that was accepted.
	OnSubmit func(envelope.ID)

	key    *blst.SecretKey
	der    []byte
	roots  *certificate.Verifier
	node   *identity.Ed25519
	ranges []certificate.Range
	pool   *ingress.Pool

	mu        sync.Mutex
	nowNs     uint64
	height    uint64
	tree      *hashtree.Map
	snap      *replicahttp.Snapshot
	changed   chan struct{} // closed by each Step
	owners    map[envelope.ID]replicahttp.Owner
	canisters map[principal.Principal]*Canister
	health    string
	delegated *certificate.Delegation
}

// New makes a subnet whose keys come from a seed and whose clock stands at nowNs.
func New(seed byte, nowNs uint64) *Subnet {
	var ikm [32]byte
	ikm[0] = seed
	s := &Subnet{key: blst.KeyGen(ikm[:]), node: identity.NewEd25519(ed25519.NewKeyFromSeed(ikm[:])), nowNs: nowNs, health: "healthy",
		changed: make(chan struct{}), owners: map[envelope.ID]replicahttp.Owner{}, canisters: map[principal.Principal]*Canister{},
		ranges: []certificate.Range{{First: principal.FromUint64(0), Last: principal.FromUint64(1 << 20)}}}
	s.der = certificate.WrapKey([certificate.KeySize]byte(new(blst.P2Affine).From(s.key).Compress()))
	var err error
	if s.roots, err = certificate.NewVerifier(s.der); err != nil {
		panic(fmt.Sprintf("httpmem: our own key: %v", err))
	}
	s.pool = ingress.New(ingress.Config{Now: s.NowNs, Verifier: s.Verifier, Known: func(id envelope.ID) bool { _, ok := s.Owner(id); return ok }})
	sid := s.SubnetID().Bytes()
	ranges := certificate.EncodeRanges(s.ranges)
	for _, v := range []struct {
		value []byte
		path  [][]byte
	}{
		{s.der, [][]byte{[]byte("subnet"), sid, []byte("public_key")}},
		{[]byte("application"), [][]byte{[]byte("subnet"), sid, []byte("type")}},
		{ranges, [][]byte{[]byte("subnet"), sid, []byte("canister_ranges")}},
		{ranges, [][]byte{[]byte("canister_ranges"), sid, s.ranges[0].First.Bytes()}},
		{s.node.PublicKeyDER(), [][]byte{[]byte("subnet"), sid, []byte("node"), s.node.Sender().Bytes(), []byte("public_key")}},
	} {
		s.tree = s.tree.Insert(v.path, v.value)
	}
	s.Step()
	return s
}

// Install puts a canister at an id.
func (s *Subnet) Install(id principal.Principal, c *Canister) {
	s.mu.Lock()
	s.canisters[id] = c
	controllers := cbor.AppendBytes(cbor.AppendArray(cbor.AppendSelfDescribe(nil), 1), c.Controller.Bytes())
	s.tree = s.tree.Insert([][]byte{[]byte("canister"), id.Bytes(), []byte("controllers")}, controllers)
	for name := range c.Private {
		s.tree = s.tree.Insert([][]byte{[]byte("canister"), id.Bytes(), []byte("metadata"), []byte(name)}, []byte("private "+name))
	}
	s.mu.Unlock()
	s.Step()
}

// SetTree puts a value into the state.
func (s *Subnet) SetTree(value []byte, path ...[]byte) {
	s.mu.Lock()
	s.tree = s.tree.Insert(path, value)
	s.mu.Unlock()
	s.Step()
}

// DelegateTo makes another subnet one below this one, which vouches for canister ranges that need not be those that the other
// claims to have.
func (s *Subnet) DelegateTo(sub *Subnet, ranges ...certificate.Range) {
	sid := sub.SubnetID().Bytes()
	s.SetTree(sub.der, []byte("subnet"), sid, []byte("public_key"))
	s.SetTree([]byte("application"), []byte("subnet"), sid, []byte("type"))
	s.SetTree(certificate.EncodeRanges(ranges), []byte("subnet"), sid, []byte("canister_ranges"))
	s.SetTree(certificate.EncodeRanges(ranges), []byte("canister_ranges"), sid, ranges[0].First.Bytes())
	cert := s.Snapshot().Certify([][]byte{[]byte("subnet"), sid}, [][]byte{[]byte("canister_ranges"), sid})
	sub.mu.Lock()
	sub.delegated = &certificate.Delegation{SubnetID: sub.SubnetID(), Certificate: cert}
	sub.mu.Unlock()
	sub.Step()
}

// SetTime moves the clock; SetHealth says how the replica is.
func (s *Subnet) SetTime(ns uint64) {
	s.mu.Lock()
	s.nowNs = ns
	s.mu.Unlock()
	s.Step()
}

// SetHealth sets what Health returns.
func (s *Subnet) SetHealth(h string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = h
}

// Pending is the number of calls that wait for Step.
func (s *Subnet) Pending() int {
	n, _ := s.pool.Size()
	return n
}

// Step makes a block of what is in the pool, executes and certifies it.
func (s *Subnet) Step() {
	msgs := s.pool.Take(s.NowNs(), 4<<20, 10_000)
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]envelope.ID, 0, len(msgs))
	for _, m := range msgs {
		ids = append(ids, m.ID)
		s.owners[m.ID] = replicahttp.Owner{Sender: m.Sender, Effective: m.Canister}
		s.tree = s.tree.InsertMap([][]byte{[]byte("request_status"), m.ID[:]}, s.execute(m))
	}
	s.pool.Remove(ids)
	s.height++
	s.tree = s.tree.Insert(hashtree.Path("time"), certificate.EncodeNat(s.nowNs))
	s.snap = &replicahttp.Snapshot{Tree: s.tree, Height: s.height, Delegation: s.delegated,
		Signature: new(blst.P1Affine).Sign(s.key, certificate.StateRootMessage(s.tree.Digest()), []byte(certificate.Ciphersuite)).Compress()}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Subnet) execute(m *ingress.Message) (status *hashtree.Map) {
	put := func(label string, v []byte) { status = status.Insert(hashtree.Path(label), v) }
	var data []byte
	err := error(&envelope.Reject{Code: 3, Message: fmt.Sprintf("canister %s not found", m.Canister), ErrorCode: "IC0301"})
	if c := s.canisters[m.Canister]; c != nil {
		data, err = c.Update(m.Sender, m.Method, m.Arg)
	}
	var rej *envelope.Reject
	if !errors.As(err, &rej) {
		put("status", []byte("replied"))
		put("reply", data)
		return status
	}
	put("status", []byte("rejected"))
	put("reject_code", certificate.EncodeNat(rej.Code))
	put("reject_message", []byte(rej.Message))
	if rej.ErrorCode != "" {
		put("error_code", []byte(rej.ErrorCode))
	}
	return status
}

// Forget drops the answer of a call and leaves that there was one.
func (s *Subnet) Forget(id envelope.ID) {
	var done *hashtree.Map
	s.mu.Lock()
	s.tree = s.tree.InsertMap([][]byte{[]byte("request_status"), id[:]}, done.Insert(hashtree.Path("status"), []byte("done")))
	s.mu.Unlock()
	s.Step()
}

// Prune forgets the statuses of all calls.
func (s *Subnet) Prune() {
	s.mu.Lock()
	s.tree = s.tree.Delete(hashtree.Path("request_status"))
	clear(s.owners)
	s.mu.Unlock()
	s.Step()
}

// RootKeyDER implements Backend.
func (s *Subnet) RootKeyDER() []byte { return s.der }

// SubnetID implements Backend.
func (s *Subnet) SubnetID() principal.Principal { return principal.SelfAuthenticating(s.der) }

// Verifier implements Backend.
func (s *Subnet) Verifier() *certificate.Verifier { return s.roots }

// CanisterRanges implements Backend.
func (s *Subnet) CanisterRanges() []certificate.Range { return s.ranges }

// Health implements Backend.
func (s *Subnet) Health() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}

// Ready implements Backend: the subnet is ready when it is healthy.
func (s *Subnet) Ready() string {
	if state := s.Health(); state != "healthy" {
		return state
	}
	return "ready"
}

// NowNs implements Backend.
func (s *Subnet) NowNs() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nowNs
}

// Snapshot implements Backend.
func (s *Subnet) Snapshot() *replicahttp.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snap
}

// Owner implements Backend.
func (s *Subnet) Owner(id envelope.ID) (replicahttp.Owner, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.owners[id]
	return o, ok
}

// MayReadMetadata implements Backend.
func (s *Subnet) MayReadMetadata(id principal.Principal, name string, user principal.Principal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.canisters[id]
	return c == nil || !c.Private[name] || c.Controller == user
}

// Submit implements Backend.
func (s *Subnet) Submit(_ context.Context, env *envelope.Envelope, raw []byte) (envelope.ID, error) {
	m, err := s.pool.Authenticate(env, raw)
	if err != nil {
		return envelope.ID{}, err
	}
	s.mu.Lock()
	c := s.canisters[m.Canister]
	s.mu.Unlock()
	if c != nil && c.Inspect != nil {
		if err := c.Inspect(m.Sender, m.Method, m.Arg); err != nil {
			return m.ID, err
		}
	}
	id, err := s.pool.AddDecoded(env, raw)
	if err == nil && !s.Manual {
		s.Step()
	}
	if err == nil && s.OnSubmit != nil {
		s.OnSubmit(id)
	}
	return id, err
}

// WaitCertified implements Backend.
func (s *Subnet) WaitCertified(ctx context.Context, id envelope.ID) (*replicahttp.Snapshot, error) {
	for {
		s.mu.Lock()
		snap, changed := s.snap, s.changed
		s.mu.Unlock()
		if snap.Tree.Sub([]byte("request_status"), id[:]) != nil {
			return snap, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Query implements Backend.
func (s *Subnet) Query(_ context.Context, c *envelope.Content) ([]byte, error) {
	s.mu.Lock()
	can := s.canisters[c.CanisterID]
	s.mu.Unlock()
	if can == nil || can.Query == nil {
		return nil, &envelope.Reject{Code: 3, Message: fmt.Sprintf("canister %s not found", c.CanisterID), ErrorCode: "IC0301"}
	}
	return can.Query(c.Sender, c.MethodName, c.Arg)
}

// NodeID implements Backend.
func (s *Subnet) NodeID() principal.Principal { return s.node.Sender() }

// SignQuery implements Backend.
func (s *Subnet) SignQuery(msg []byte) ([]byte, error) { return s.node.Sign(msg) }

var _ replicahttp.Backend = (*Subnet)(nil)
