package agent

import (
	"context"
	"fmt"
	"sync"

	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

// Query makes a query call. The answer is signed by one node of the subnet, which is checked, but not agreed on by the subnet.
func (a *Agent) Query(ctx context.Context, canister principal.Principal, method string, arg []byte) ([]byte, error) {
	return a.DoQuery(ctx, Request{Canister: canister, Method: method, Arg: arg})
}

// DoQuery makes a query call.
func (a *Agent) DoQuery(ctx context.Context, r Request) ([]byte, error) {
	e, err := envelope.Sign(r.content(a, envelope.Query), a.opts.Identity)
	if err != nil {
		return nil, err
	}
	at := r.effective()
	answer, err := a.post(ctx, queryEndpoint, at, e.Encode())
	if err != nil {
		return nil, fmt.Errorf("querying %s of canister %s: %w", r.Method, r.Canister, err)
	}
	res, err := envelope.DecodeQueryResponse(answer.body)
	if err != nil {
		return nil, err
	}
	if !a.opts.SkipQueryVerification {
		if err := a.verifyQuery(ctx, res, e.Content.RequestID(), at); err != nil {
			return nil, fmt.Errorf("querying %s of canister %s: %w", r.Method, r.Canister, err)
		}
	}
	if res.Reject != nil {
		return nil, &RejectError{Reject: *res.Reject, Canister: r.Canister, Method: r.Method}
	}
	return res.Reply, nil
}

// verifyQuery checks a response's signatures (section "Request: Query call"). Unknown nodes and bad signatures are looked at a second
// time with freshly read keys, since subnets change.
func (a *Agent) verifyQuery(ctx context.Context, res *envelope.QueryResponse, id envelope.ID, at principal.Principal) error {
	if len(res.Signatures) == 0 {
		return fmt.Errorf("%w: no node has signed it", ErrVerification)
	}
	for i := range res.Signatures {
		s := &res.Signatures[i]
		if err := a.recent("the node's signature", s.Timestamp); err != nil {
			return err
		}
		msg := res.SignedBytes(id, s.Timestamp)
		verified := false
		if sub := a.nodes.find(at); sub != nil {
			verified = sub.verify(s, msg)
		}
		if !verified {
			sub, err := a.fetchSubnet(ctx, at)
			if err != nil {
				return err
			}
			if sub.keys[s.Identity] == nil {
				return fmt.Errorf("%w: node %s does not belong to the subnet of canister %s", ErrVerification, s.Identity, at)
			}
			if !sub.verify(s, msg) {
				return fmt.Errorf("%w: signature of node %s", ErrVerification, s.Identity)
			}
		}
	}
	return nil
}

// subnetKeys are the nodes that a certified state shows for a subnet.
type subnetKeys struct {
	id     principal.Principal
	ranges []certificate.Range
	keys   map[principal.Principal]identity.PublicKey
}

func (s *subnetKeys) verify(sig *envelope.NodeSignature, msg []byte) bool {
	key := s.keys[sig.Identity]
	return key != nil && key.Verify(msg, sig.Signature) == nil
}

// nodeKeys remembers subnets.
type nodeKeys struct {
	mu      sync.RWMutex
	subnets []*subnetKeys
}

func (n *nodeKeys) find(canister principal.Principal) *subnetKeys {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, s := range n.subnets {
		if certificate.InRanges(s.ranges, canister) {
			return s
		}
	}
	return nil
}

func (n *nodeKeys) put(s *subnetKeys) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, old := range n.subnets {
		if old.id == s.id {
			n.subnets[i] = s
			return
		}
	}
	n.subnets = append(n.subnets, s)
}

// fetchSubnet reads which nodes a canister's subnet has.
func (a *Agent) fetchSubnet(ctx context.Context, at principal.Principal) (*subnetKeys, error) {
	anonymous := a.With(identity.Anonymous{})
	cert, err := anonymous.ReadState(ctx, at, hashtree.Path("subnet"))
	if err != nil {
		return nil, fmt.Errorf("reading the node keys: %w", err)
	}
	s, err := a.subnetOf(cert)
	if err != nil {
		return nil, err
	}
	if !certificate.InRanges(s.ranges, at) {
		return nil, fmt.Errorf("%w: subnet %s does not hold canister %s", ErrVerification, s.id, at)
	}
	a.nodes.put(s)
	return s, nil
}

// subnetOf extracts the certifying subnet's ranges and nodes from a verified certificate.
func (a *Agent) subnetOf(cert *certificate.Certificate) (*subnetKeys, error) {
	s := &subnetKeys{keys: map[principal.Principal]identity.PublicKey{}}
	var err error
	if d := cert.Delegation; d != nil {
		s.id = d.SubnetID
		inner, perr := certificate.Parse(d.Certificate) // which the verifier has checked
		if perr != nil {
			return nil, fmt.Errorf("%w: %w", ErrVerification, perr)
		}
		s.ranges, err = certificate.Ranges(inner.Tree, s.id)
	} else {
		s.id = principal.SelfAuthenticating(a.verifier.RootKeyDER()) // the root subnet's id is that of its key
		s.ranges, err = certificate.Ranges(cert.Tree, s.id)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVerification, err)
	}
	nodes, res := hashtree.Descend(cert.Tree, []byte("subnet"), s.id.Bytes(), []byte("node"))
	if res != hashtree.Found {
		return nil, fmt.Errorf("%w: the nodes of subnet %s are %v", ErrVerification, s.id, res)
	}
	err = hashtree.Leaves(nodes, func(path [][]byte, der []byte) error {
		if len(path) != 2 || string(path[1]) != "public_key" {
			return nil
		}
		id, err := principal.FromBytes(path[0])
		if err != nil {
			return err
		}
		s.keys[id], err = identity.ParsePublicKey(der)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: node keys of subnet %s: %w", ErrVerification, s.id, err)
	}
	return s, nil
}
