package chainkey

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Output is what a protocol says in one round. In a round without Done, Broadcast goes to all members and Private[i] to the
// member in seat i alone; Private is nil in rounds without private messages, and its own seat's entry is empty.
type Output struct {
	Broadcast []byte
	Private   [][]byte
	Done      bool
}

// Input is what one member said in a round.
type Input struct {
	Broadcast []byte
	Private   []byte
}

// Limits bound the messages of one round, in bytes. A limit of zero says that the round has no such message.
type Limits struct {
	Broadcast int
	Private   int
}

// Protocol is one member's part in one run of a scheme, without I/O. Members are numbered by seat, 0 to n-1.
//
// Start returns the messages of round 1. Deliver takes the messages of round r from all other seats (the own entry is
// empty) and returns those of round r+1, or Done after the last round. After an error the run is over; a *Misbehaviour in
// the error's chain names who caused it. Wipe may be called at any time and more than once.
type Protocol interface {
	Rounds() int
	Limits(round int) Limits
	Start() (Output, error)
	Deliver(round int, in []Input) (Output, error)
	Wipe()
}

// Share is one member's part of a key.
type Share interface {
	// PublicKey is the key that all shares belong to, in Algorithm.PublicKeySize bytes.
	PublicKey() []byte
	// PublicShares says, by seat, what everybody may know of the members' shares. Resharing checks what dealers say against it.
	PublicShares() [][]byte
	// Encode returns everything needed to sign. The result is secret.
	Encode() Secret
	// Wipe overwrites what can be overwritten.
	Wipe()
}

// Generate describes one member's part in a key generation. A scheme may need secret parameters that took long to make.
type Generate struct {
	Algorithm Algorithm
	Session   [32]byte // binds all proofs of the run
	Seat      int
	Seats     int
	Threshold int // Threshold+1 members sign
	Params    Secret
	// AllowLocal accepts the parameters shipped for local networks, whose secrets everybody knows.
	AllowLocal bool
	Rand       io.Reader
}

// Part is a node's place in a resharing: its seat in the old epoch if it deals, and its seat in the new one if it will be a member, otherwise -1.
type Part struct{ Old, New int }

// Reshare describes one node's part in handing a key to the members of a new epoch. Exactly t+1 members of the old epoch deal, all
// members of the new one receive, and a node may do both. The key stays what it is.
type Reshare struct {
	Algorithm Algorithm
	Session   [32]byte // binds all proofs of the run
	Public    []byte   // the key
	Old       [][]byte // Share.PublicShares of the old epoch
	Parts     []Part   // of all who take part
	Seat      int      // own, index into Parts
	Threshold int      // of the new epoch
	Share     Share    // own of the old epoch: a dealer's, and that of another who has one. It is not changed
	Params    Secret   // for a member of the new epoch, where the scheme needs them
	// AllowLocal accepts the parameters shipped for local networks, also those of an earlier epoch.
	AllowLocal bool
	Rand       io.Reader
}

// ErrOnlyDealt is what Generation.Share returns to a node that dealt in a resharing and is no member of the new epoch.
var ErrOnlyDealt = errors.New("this node dealt and is no member of the new epoch")

// Check says whether the parts are those of a resharing. It returns who deals and who receives, as indices into Parts; the latter by seat.
func (r *Reshare) Check() (dealers, members []int, err error) {
	t, err := Threshold(len(r.Old))
	if err != nil {
		return nil, nil, fmt.Errorf("resharing: the old epoch: %w", err)
	}
	if r.Seat < 0 || r.Seat >= len(r.Parts) {
		return nil, nil, fmt.Errorf("resharing: part %d of %d", r.Seat, len(r.Parts))
	}
	bySeat := map[int]int{}
	dealt := map[int]bool{}
	for i, p := range r.Parts {
		if p.Old >= len(r.Old) || dealt[p.Old] || p.Old < 0 && p.New < 0 {
			return nil, nil, fmt.Errorf("resharing: part %d is seat %d of %d in the old epoch", i, p.Old, len(r.Old))
		}
		if p.Old >= 0 {
			dealt[p.Old] = true
			dealers = append(dealers, i)
		}
		if p.New >= 0 {
			if _, twice := bySeat[p.New]; twice {
				return nil, nil, fmt.Errorf("resharing: two parts are seat %d of the new epoch", p.New)
			}
			bySeat[p.New] = i
		}
	}
	for seat := range len(bySeat) {
		i, ok := bySeat[seat]
		if !ok {
			return nil, nil, fmt.Errorf("resharing: nobody takes seat %d of %d", seat, len(bySeat))
		}
		members = append(members, i)
	}
	if next, err := Threshold(len(members)); err != nil {
		return nil, nil, fmt.Errorf("resharing: the new epoch: %w", err)
	} else if r.Threshold != next || len(dealers) != t+1 {
		return nil, nil, fmt.Errorf("resharing: threshold %d for %d members, %d dealers of %d", r.Threshold, len(members), len(dealers), len(r.Old))
	}
	if r.Share == nil && r.Parts[r.Seat].Old >= 0 {
		return nil, nil, fmt.Errorf("resharing: part %d lacks the share that it deals", r.Seat)
	}
	return dealers, members, nil
}

// Sign describes one member's part in a signature.
type Sign struct {
	Session   [32]byte
	Share     Share
	Committee []int // the signers by their seat in the key generation, ascending
	Seat      int   // index into Committee
	Path      [][]byte
	ChainCode [32]byte
	Message   Message
	Rand      io.Reader
}

// Generation is a Protocol that yields a share when it is done.
type Generation interface {
	Protocol
	Share() (Share, error)
}

// Signing is a Protocol that yields a signature when it is done, in the form that Verify takes and verified against the derived
// public key.
type Signing interface {
	Protocol
	Signature() ([64]byte, error)
}

// Scheme makes protocols.
type Scheme interface {
	Name() string
	// Presigns says whether signing draws from a pool of presignatures that somebody must keep filled.
	Presigns() bool
	// NeedsParams says whether Generate.Params must be made ahead with NewParams, which may take minutes of CPU time.
	NeedsParams() bool
	Generate(Generate) (Generation, error)
	// Reshare makes a node's part in a resharing. The share that comes out is of the new epoch; see ErrOnlyDealt.
	Reshare(Reshare) (Generation, error)
	Sign(Sign) (Signing, error)
	DecodeShare(Secret) (Share, error)
}

// ErrMembers says that a key cannot be shared among that many members.
var ErrMembers = errors.New("a threshold key needs 1 member, or 4 and more")

// Threshold returns t = 2f for n members, of whom f = (n-1)/3 may be faulty, and refuses an n for which there is none. t+1 members sign.
func Threshold(n int) (int, error) {
	if n == 1 || n >= 4 {
		return 2 * ((n - 1) / 3), nil
	}
	return 0, fmt.Errorf("%w, not %d", ErrMembers, n)
}

// Misbehaviour says that seats broke a protocol. The list may be empty where no culprit can be named.
type Misbehaviour struct {
	Seats  []int
	Reason string
}

func (m *Misbehaviour) Error() string {
	if len(m.Seats) == 0 {
		return m.Reason
	}
	return fmt.Sprintf("seats %v: %s", m.Seats, m.Reason)
}

// Blame makes a *Misbehaviour.
func Blame(seat int, format string, args ...any) error {
	return &Misbehaviour{Seats: []int{seat}, Reason: fmt.Sprintf(format, args...)}
}

// Secret is bytes that must never be printed: every formatting verb, JSON, text and slog show a placeholder instead.
type Secret []byte

const redacted = "[secret]"

// Format implements fmt.Formatter for all verbs.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalCBOR refuses: a secret is never part of a structure that is encoded.
func (Secret) MarshalCBOR() ([]byte, error) { return nil, errors.New("a secret is not encoded") }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Wipe overwrites the secret. Copies that the runtime or a library made remain: this is best effort.
func (s Secret) Wipe() { clear(s) }
