package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/execution"
	"fusion/replica/http"
	"fusion/replica/ingress"
	"fusion/replica/machine"
)

// backend is the replica as the public interface sees it.
type backend Replica

var _ http.Backend = (*backend)(nil)

func (b *backend) RootKeyDER() []byte            { return b.machine.View().RootKeyDER }
func (b *backend) SubnetID() principal.Principal { return b.machine.View().Subnet }
func (b *backend) NodeID() principal.Principal   { return (*Replica)(b).identity().NodeID() }
func (b *backend) NowNs() uint64                 { return uint64(time.Now().UnixNano()) }

func (b *backend) Verifier() *certificate.Verifier { return b.machine.View().Verifier }

func (b *backend) CanisterRanges() []certificate.Range {
	out := make([]certificate.Range, len(b.doc.CanisterRanges))
	for i, r := range b.doc.CanisterRanges {
		out[i] = certificate.Range(r)
	}
	return out
}

func (b *backend) SignQuery(msg []byte) ([]byte, error) { return identity.SignEd25519(b.key, msg), nil }

func (b *backend) Health() string { return (*Replica)(b).Health() }
func (b *backend) Ready() string  { return (*Replica)(b).Ready() }

func (b *backend) Snapshot() *http.Snapshot {
	s, _ := b.states.snapshot()
	return s
}

func (b *backend) Owner(id envelope.ID) (http.Owner, bool) {
	s, ok := execution.LookupIngress(b.machine.ExecutionReader(), id)
	if !ok {
		return http.Owner{}, false
	}
	return http.Owner{Sender: s.Sender, Effective: s.Receiver}, true
}

func (b *backend) MayReadMetadata(canister principal.Principal, name string, user principal.Principal) bool {
	x := b.machine.View().Executor
	if x == nil {
		return true
	}
	if _, public, ok := x.Metadata(canister, name); !ok || public {
		return true
	}
	list, _ := x.Controllers(canister)
	return slices.Contains(list, user)
}

// submitQueue is how full the pool may be before new calls are turned away, so that what was accepted is executed in time.
const submitQueue = 50_000

func (b *backend) Submit(ctx context.Context, env *envelope.Envelope, raw []byte) (envelope.ID, error) {
	arrived := time.Now()
	x := b.machine.View().Executor
	if x == nil {
		return envelope.ID{}, fmt.Errorf("%w: the subnet's key is not generated yet", http.ErrUnavailable)
	}
	if n, _ := b.pool.Size(); n >= submitQueue {
		return envelope.ID{}, fmt.Errorf("%w: %d calls wait for a block", http.ErrBusy, n)
	}
	// The signature comes first: nobody makes a canister inspect messages in somebody else's name.
	msg, err := b.pool.Authenticate(env, raw)
	if err != nil {
		return envelope.ID{}, err
	}
	if rej := x.InspectMessage(ctx, execution.Ingress{ID: msg.ID, Sender: msg.Sender, Canister: msg.Canister, Method: msg.Method,
		Arg: msg.Arg, ExpiryNs: msg.ExpiryNs, Info: machine.CallerInfo(msg.Info)}); rej != nil {
		return envelope.ID{}, wireReject(rej)
	}
	switch id, err := b.pool.AddDecoded(env, raw); {
	case errors.Is(err, ingress.ErrDuplicate):
		return id, http.ErrDuplicate
	case errors.Is(err, ingress.ErrFull):
		return id, fmt.Errorf("%w: %w", http.ErrBusy, err)
	default:
		if err == nil {
			b.traces.Accepted(id, msg.Canister, msg.Method, arrived)
		}
		return id, err
	}
}

func wireReject(r *execution.Reject) *envelope.Reject {
	return &envelope.Reject{Code: uint64(r.Code), Message: r.Message, ErrorCode: r.Error}
}

func (b *backend) WaitCertified(ctx context.Context, id envelope.ID) (*http.Snapshot, error) {
	s, err := b.states.wait(ctx, func(s *http.Snapshot) bool { return answered(s.Tree, id) })
	if err == nil {
		b.traces.Certified(id)
	}
	return s, err
}

var labelRequestStatus, labelStatus = []byte("request_status"), []byte("status")

// answered says whether a certified state has a call's outcome.
func answered(t *hashtree.Map, id envelope.ID) bool {
	switch status, _ := t.Get(labelRequestStatus, id[:], labelStatus); string(status) {
	case "replied", "rejected", "done":
		return true
	}
	return false
}

// knownIngress says whether the newest executed state has seen a call.
func (r *Replica) knownIngress(id envelope.ID) bool {
	v := r.machine.View()
	if v.Tree == nil {
		return false
	}
	_, ok := v.Tree.Get(labelRequestStatus, id[:], labelStatus)
	return ok
}

func (b *backend) Query(ctx context.Context, c *envelope.Content) ([]byte, error) {
	v := b.machine.View()
	if v.Executor == nil {
		return nil, fmt.Errorf("%w: the subnet's key is not generated yet", http.ErrUnavailable)
	}
	req := execution.QueryRequest{Sender: c.Sender, Canister: c.CanisterID, Method: c.MethodName, Arg: c.Arg, Info: machine.CallerInfo(c.SenderInfo)}
	req.Certificate = b.states.dataCertificate(c.CanisterID)
	res := v.Executor.Query(ctx, req)
	if res.Reject != nil {
		return nil, wireReject(res.Reject)
	}
	return res.Reply, nil
}
