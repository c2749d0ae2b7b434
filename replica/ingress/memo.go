package ingress

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"

	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/principal"
	"fusion/replica/payload"
)

// MaxSize is the largest encoded call, in bytes.
const MaxSize = payload.MaxIngressBytes

// Errors returned by this package, beside those of ic/envelope; test with errors.Is.
var (
	ErrTooLarge  = errors.New("ingress message too large")
	ErrNotCall   = errors.New("not a call request")
	ErrDuplicate = errors.New("ingress message already known")
	ErrFull      = errors.New("ingress pool is full")
)

// Message is an authentic call. It is immutable.
type Message struct {
	ID       envelope.ID
	Sender   principal.Principal
	Canister principal.Principal
	Method   string
	Arg      []byte
	ExpiryNs uint64
	Info     *envelope.SenderInfo // what a canister vouches for about the sender; nil mostly
	Raw      []byte               // the signed envelope as the user sent it

	env *envelope.Envelope
}

// CheckTimes reports whether the call may be executed in a block of the given time.
func (m *Message) CheckTimes(blockNs uint64) error { return m.env.CheckTimes(blockNs) }

// memoKey is a hash of a call's bytes, which are compared afterwards, and the root key by which it was found authentic.
type memoKey struct {
	raw  uint64
	root [32]byte
}

// Memo remembers authentic calls by their bytes. It is safe for concurrent use, and may be shared by the replicas of a process.
type Memo struct {
	seed       maphash.Seed
	mu         sync.Mutex
	limit      int // bytes of a generation
	size       int // bytes of young
	young, old map[memoKey]*Message
}

// entryOverhead is what a remembered call occupies beside its bytes, roughly.
const entryOverhead = 512

// NewMemo makes a memo of about limit bytes. The default for zero is 64 MiB: some 80,000 transfers.
func NewMemo(limit int) *Memo {
	if limit <= 0 {
		limit = 64 << 20
	}
	return &Memo{seed: maphash.MakeSeed(), limit: limit / 2, young: map[memoKey]*Message{}}
}

func (m *Memo) get(key memoKey, raw []byte) *Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	if msg := m.young[key]; msg != nil && bytes.Equal(msg.Raw, raw) {
		return msg
	}
	if msg := m.old[key]; msg != nil && bytes.Equal(msg.Raw, raw) {
		m.put(key, msg)
		return msg
	}
	return nil
}

func (m *Memo) put(key memoKey, msg *Message) {
	if cost := len(msg.Raw) + entryOverhead; m.size+cost > m.limit {
		m.old, m.young, m.size = m.young, map[memoKey]*Message{}, 0
	}
	m.young[key] = msg
	m.size += len(msg.Raw) + entryOverhead
}

// Authenticate decodes a call and checks its signature, but no times. Signatures of canisters are checked by v and refused when
// it is nil. The message aliases raw, which must not change.
func (m *Memo) Authenticate(raw []byte, v *certificate.Verifier) (*Message, error) {
	return m.authenticate(nil, raw, v)
}

// authenticate is Authenticate for a caller who may have decoded the envelope already.
func (m *Memo) authenticate(env *envelope.Envelope, raw []byte, v *certificate.Verifier) (*Message, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(raw), MaxSize)
	}
	key := memoKey{maphash.Bytes(m.seed, raw), v.Root()}
	if msg := m.get(key, raw); msg != nil {
		return msg, nil
	}
	if env == nil {
		var err error
		if env, err = envelope.Decode(raw); err != nil {
			return nil, err
		}
	}
	c := &env.Content
	if c.RequestType != envelope.Call {
		return nil, fmt.Errorf("%w: %s", ErrNotCall, c.RequestType)
	}
	id, err := env.VerifySignature(v)
	if err != nil {
		return nil, err
	}
	msg := &Message{ID: id, Sender: c.Sender, Canister: c.CanisterID, Method: c.MethodName, Arg: c.Arg,
		ExpiryNs: c.IngressExpiry, Info: c.SenderInfo, Raw: raw, env: env}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(key, msg)
	return msg, nil
}

// Check authenticates the calls of a block and checks that each may be executed at the block's time and that none comes twice.
// The result depends on the arguments (of v, on its root key) only. Signatures that are not remembered are checked on all processors.
func (m *Memo) Check(raws [][]byte, blockNs uint64, v *certificate.Verifier) ([]*Message, error) {
	msgs := make([]*Message, len(raws))
	errs := make([]error, len(raws))
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < len(raws); i = int(next.Add(1)) - 1 {
			if msgs[i], errs[i] = m.Authenticate(raws[i], v); errs[i] == nil {
				errs[i] = msgs[i].CheckTimes(blockNs)
			}
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(raws)/8) { // a few are not worth a goroutine
		wg.Go(work)
	}
	work()
	wg.Wait()
	seen := make(map[envelope.ID]struct{}, len(raws))
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("ingress message %d: %w", i, err)
		}
		if _, dup := seen[msgs[i].ID]; dup {
			return nil, fmt.Errorf("ingress message %d: %w: %x twice in a block", i, ErrDuplicate, msgs[i].ID)
		}
		seen[msgs[i].ID] = struct{}{}
	}
	return msgs, nil
}
