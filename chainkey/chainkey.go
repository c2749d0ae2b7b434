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
