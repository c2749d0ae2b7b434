package http

import (
	"context"
	"errors"

	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/replica/ingress"
)

// Errors that a Backend returns to choose the HTTP status of a response. Beside them, those of ic/envelope give 400, those of
// replica/ingress what they say (a full pool 429, a call that is known already is as good as new), and an *envelope.Reject
// becomes the reject that the client sees.
var (
	// ErrBusy means that the request may succeed later: 429.
	ErrBusy = errors.New("too busy, try again")
	// ErrUnavailable means that this replica cannot answer now: 503.
	ErrUnavailable = errors.New("not available")
	// ErrDuplicate means that a submitted call is known already.
	ErrDuplicate = ingress.ErrDuplicate
)

// Snapshot is a certified state. It is immutable.
type Snapshot struct {
	Tree       *hashtree.Map
	Signature  []byte                  // of the tree's root, by the subnet's key
	Delegation *certificate.Delegation // nil for a subnet that is its own root
	Height     uint64
}

var pathTime = [][]byte{[]byte("time")}

// Certify returns the CBOR of a certificate that reveals the time and the given paths, or proves that they do not exist.
func (s *Snapshot) Certify(paths ...[][]byte) []byte {
	all := make([][][]byte, 0, 8)
	all = append(append(all, pathTime), paths...)
	c := certificate.Certificate{Tree: s.Tree.Witness(all...), Signature: s.Signature, Delegation: s.Delegation}
	return c.Encode()
}

// Owner is who a request id belongs to.
type Owner struct {
	Sender principal.Principal
	// Effective is the canister that the call was for; the management canister where that is not recorded.
	Effective principal.Principal
}

// Backend is what the interface needs of a replica. All methods may be called concurrently.
type Backend interface {
	// RootKeyDER is the subnet's public key, nil as long as there is none.
	RootKeyDER() []byte
	// SubnetID is derived from the root key; it is asked for only when there is one.
	SubnetID() principal.Principal
	// Verifier checks signatures of canisters by the root key; nil as long as there is none.
	Verifier() *certificate.Verifier
	// CanisterRanges are the ids of the subnet's canisters.
	CanisterRanges() []certificate.Range
	// Health is "healthy", or a word or two about what the replica is waiting for.
	Health() string
	// Ready is "ready", or says why no calls should be sent here at the moment.
	Ready() string
	// NowNs is the time against which requests expire, ns since 1970.
	NowNs() uint64

	// Snapshot is the newest certified state, nil before the first.
	Snapshot() *Snapshot
	// Owner looks up a request id in the newest state that this replica has executed.
	Owner(id envelope.ID) (Owner, bool)
	// MayReadMetadata reports whether a user may see a canister's metadata section: it is public, or the user a controller, or there
	// is none.
	MayReadMetadata(canister principal.Principal, name string, user principal.Principal) bool

	// Submit authenticates and inspects a call and passes it on to be ordered. raw, from which env was decoded, belongs to the
	// Backend from then on.
	Submit(ctx context.Context, env *envelope.Envelope, raw []byte) (envelope.ID, error)
	// WaitCertified waits for a certified state in which the call has been answered.
	WaitCertified(ctx context.Context, id envelope.ID) (*Snapshot, error)

	// Query executes an authentic query.
	Query(ctx context.Context, c *envelope.Content) (reply []byte, err error)
	// NodeID is this replica's principal.
	NodeID() principal.Principal
	// SignQuery signs a query response with the node's Ed25519 key; msg includes its domain separator.
	SignQuery(msg []byte) ([]byte, error)
}
