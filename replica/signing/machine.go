package signing

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/chainkey/frost"
	"fusion/chainkey/gg18"
	"fusion/chainkey/session"
	"fusion/chainkey/solo"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/payload"
	"fusion/replica/transcripts"
)

var (
	// ErrUnknownKey says that the subnet has no key of that name.
	ErrUnknownKey = errors.New("unknown key")
	// ErrKeyNotReady says that the key is still being generated.
	ErrKeyNotReady = errors.New("key is not ready")
	// ErrQueueFull says that a key has as many open requests as it may have.
	ErrQueueFull = errors.New("too many open signature requests")
	// ErrRequest says that a request cannot be served as it is.
	ErrRequest = errors.New("invalid signature request")
)

// Bounds of a request's derivation path: the Internet Computer's count of elements, and as many bytes as a message's proof of
// membership in a session should hold.
const (
	maxPath      = 255
	maxPathBytes = 16 << 10
)

// maxMessageBytes bounds the message of a Schnorr signature: as much as a canister's call carries.
const maxMessageBytes = 2 << 20

// Request asks for a signature.
type Request struct {
	ID       uint64 // unique for ever
	Key      chainkey.KeyID
	Canister []byte // principal of the caller, the first element of the full derivation path
	Path     [][]byte
	Message  chainkey.Message
	Height   uint64 // of the block that orders it
}

// Response ends a request: with a signature (64 bytes, see chainkey.Algorithm), or with a reject of the Internet Computer's codes.
type Response struct {
	ID            uint64
	Signature     []byte
	RejectCode    int
	RejectMessage string
}

// sysTransient is the Internet Computer's reject code for failures that may pass.
const sysTransient = 2

// Key is a key that signs.
type Key struct {
	ID        chainkey.KeyID
	PublicKey []byte
	ChainCode [32]byte
}

// Machine is the deterministic half. It is immutable and may be used concurrently, each call with its own store.
type Machine struct {
	cfg    Config
	shared *transcripts.Machine // nil where no key presigns
}

// NewMachine makes the machine of a network.
func NewMachine(cfg Config) (*Machine, error) {
	cfg.EnsureDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Memo == nil {
		cfg.Memo = transcripts.NewMemo()
	}
	m := &Machine{cfg: cfg}
	m.shared = m.newShared()
	return m, nil
}

// scheme is how a key is shared: as the configuration says, otherwise ECDSA by gg18, Schnorr by FROST, and one member alone holds an ECDSA key as it is.
func (c *Config) scheme(id chainkey.KeyID) chainkey.Scheme {
	switch a := id.Algorithm; {
	case c.substitute != nil:
		return c.substitute
	case c.Schemes[id] == transcripts.Name:
		return transcripts.Scheme{}
	case a != chainkey.EcdsaSecp256k1:
		return frost.Scheme{}
	case len(c.Nodes) == 1:
		return solo.Scheme{}
	}
	return gg18.Scheme{}
}

// schemeOf is scheme for a key as it stands in records.
func (c *Config) schemeOf(key string) (chainkey.KeyID, chainkey.Scheme, bool) {
	for _, id := range c.Keys {
		if id.String() == key {
			return id, c.scheme(id), true
		}
	}
	return chainkey.KeyID{}, nil, false
}

// ChainCode is the chain code of a master key: a hash of public data, since a chain code need not be secret. It outlives
// resharing, which changes neither the public key nor the name.
func ChainCode(genesis [32]byte, key chainkey.KeyID, public []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("fusion/signing/chain code\x00"))
	h.Write(genesis[:])
	h.Write(public)
	h.Write([]byte(key.String()))
	return [32]byte(h.Sum(nil))
}

// Keys returns the keys that sign, in the order of the genesis document.
func (m *Machine) Keys(r kv.Reader) []Key {
	var keys []Key
	for _, id := range m.cfg.Keys {
		if k, ok := m.key(r, id); ok {
			keys = append(keys, k)
		}
	}
	return keys
}

func (m *Machine) key(r kv.Reader, id chainkey.KeyID) (Key, bool) {
	rec, ok := load[keyRecord](r, keyPrefix+id.String())
	if !ok || rec.Status != KeyActive {
		return Key{}, false
	}
	return Key{id, rec.Public, ChainCode(m.cfg.Genesis, id, rec.Public)}, true
}

// Submit opens a request. After an error nothing has changed, and the caller rejects the call.
func (m *Machine) Submit(s kv.Store, r Request) error {
	if !slices.Contains(m.cfg.Keys, r.Key) {
		return fmt.Errorf("%w %q", ErrUnknownKey, r.Key)
	}
	if _, ok := m.key(s, r.Key); !ok {
		return fmt.Errorf("%w: %q is still being generated", ErrKeyNotReady, r.Key)
	}
	if err := r.Message.Check(r.Key.Algorithm); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if len(r.Message.Bytes) > maxMessageBytes {
		return fmt.Errorf("%w: a message of %d bytes", ErrRequest, len(r.Message.Bytes))
	}
	size := 0
	for _, e := range r.Path {
		size += len(e)
	}
	if len(r.Path) > maxPath || size > maxPathBytes {
		return fmt.Errorf("%w: a derivation path of %d elements and %d bytes", ErrRequest, len(r.Path), size)
	}
	if _, dup := s.Get([]byte(requestKey(r.ID))); dup {
		return fmt.Errorf("%w: id %d is in use", ErrRequest, r.ID)
	}
	if err := m.admit(s, r.Key.String(), r.Canister); err != nil {
		return err
	}
	digest := r.Message.Digest()
	save(s, requestKey(r.ID), requestRecord{Key: r.Key.String(), Canister: r.Canister, Path: r.Path, Digest: digest[:], Height: r.Height})
	save(s, messageKey(r.ID), r.Message)
	if m.presigns(r.Key.String()) { // where one is free nobody waits for it
		m.take(s, r.Height, r.ID, r.Key.String())
	}
	return nil
}

// NeedBeacon lists the heights, ascending, whose beacon an open request waits for.
func (m *Machine) NeedBeacon(r kv.Reader) []uint64 {
	var heights []uint64
	ids, all := requests(r)
	for i, q := range all {
		b, bound := load[binding](r, bindingKey(ids[i]))
		switch {
		case q.Status != RequestWaiting:
		case bound:
			heights = append(heights, b.Height+1)
		case !m.presigns(q.Key):
			heights = append(heights, q.Height+1)
		}
	}
	slices.Sort(heights)
	return slices.Compact(heights)
}

// Busy reports whether time must go on, by empty blocks if need be: a request is open or a key is not active.
func (m *Machine) Busy(r kv.Reader) bool {
	if len(m.Keys(r)) < len(m.cfg.Keys) {
		return true
	}
	for _, id := range m.cfg.Keys {
		if k, _ := load[keyRecord](r, keyPrefix+id.String()); k.Next != nil || k.Previous != nil || m.presigns(id.String()) && m.shared.Busy(r, id.String(), k.Epoch) {
			return true
		}
	}
	ids, _ := requests(r)
	return len(ids) > 0
}

// Check judges one item of a proposed block against the committed state. It is what Apply relies on.
func (m *Machine) Check(r kv.Reader, it payload.Item) error {
	switch it.Kind {
	case payload.Incarnation:
		_, err := m.checkIncarnation(r, it.Body)
		return err
	case payload.KeyVote:
		_, _, err := m.checkVote(r, it.Body)
		return err
	case payload.Complaint:
		_, err := m.checkComplaint(r, it.Body)
		return err
	case payload.Signature:
		_, err := m.checkResult(r, it.Body)
		return err
	case payload.Transcript:
		if m.shared == nil {
			return fmt.Errorf("%w: a transcript, and no key of this network has any", ErrItem)
		}
		return m.shared.Check(r, it.Body)
	}
	return fmt.Errorf("%w: %v is not of this package", ErrItem, it.Kind)
}

// ApplyAll applies the items of the block at height: first those of package transcripts, since a signature ends what an accusation of the same block is
// about, and then the others, in their order.
func (m *Machine) ApplyAll(s kv.Store, height uint64, items []payload.Item) (out []Response) {
	for _, first := range []bool{true, false} {
		for _, it := range items {
			if (it.Kind == payload.Transcript) == first {
				out = append(out, m.Apply(s, height, it)...)
			}
		}
	}
	return out
}

// Apply applies one item of the block at height. An item that does not pass Check, because an earlier one of the same block
// made it moot, changes nothing.
func (m *Machine) Apply(s kv.Store, height uint64, it payload.Item) []Response {
	switch it.Kind {
	case payload.Incarnation:
		if v, err := m.checkIncarnation(s, it.Body); err == nil {
			m.applyIncarnation(s, height, v)
		}
	case payload.KeyVote:
		if v, rec, err := m.checkVote(s, it.Body); err == nil {
			m.applyVote(s, height, v, rec)
		}
	case payload.Complaint:
		if v, err := m.checkComplaint(s, it.Body); err == nil {
			m.applyComplaint(s, height, v)
		}
	case payload.Signature:
		if v, err := m.checkResult(s, it.Body); err == nil {
			return m.applyResult(s, v)
		}
	case payload.Transcript:
		m.applyTranscript(s, height, it.Body)
	}
	return nil
}

func (m *Machine) node(r kv.Reader, node int) nodeRecord {
	rec, _ := load[nodeRecord](r, nodeKey(node))
	return rec
}

// Protocol is the newest version of the protocol that a node's program knows, as it said when it booted last; 0 before it has said anything.
func (m *Machine) Protocol(r kv.Reader, node int) uint64 { return m.node(r, node).Protocol }

func (m *Machine) checkIncarnation(r kv.Reader, body []byte) (*Incarnation, error) {
	v, err := decodeItem[Incarnation](body)
	if err != nil {
		return nil, err
	}
	unsigned := *v
	unsigned.Signature = nil
	if err := m.authentic(r, v.Node, "incarnation", unsigned, v.Signature); err != nil {
		return nil, err
	}
	if rec := m.node(r, int(v.Node)); v.Number != rec.Number+1 || len(v.Nonce) != 16 || bytes.Equal(v.Nonce, rec.Incarnation) {
		return nil, fmt.Errorf("%w: incarnation %d of node %d after %d", ErrItem, v.Number, v.Node, rec.Number)
	}
	return v, nil
}

func (m *Machine) applyIncarnation(s kv.Store, height uint64, v *Incarnation) {
	rec := m.node(s, int(v.Node))
	rec.Number, rec.Incarnation, rec.Protocol = v.Number, v.Nonce, v.Protocol
	save(s, nodeKey(int(v.Node)), rec)
	// Attempts that the earlier boot may have joined are over.
	why := fmt.Sprintf("node %d restarted", v.Node)
	ids, all := requests(s)
	for i, q := range all {
		if q.Status == RequestActive && slices.Contains(q.Current.Committee, v.Node) {
			m.suspect(s, height, int(v.Node))
			m.failAttempt(s, ids[i], &q, why)
		}
	}
	for _, id := range m.cfg.Keys {
		name := id.String()
		k, ok := load[keyRecord](s, keyPrefix+name)
		switch {
		case m.presigns(name): // sharings do not mind
		case ok && k.Status == KeyGenerating:
			m.failKey(s, height, name, &k, why)
		case ok && k.Next != nil && k.Next.Status == KeyGenerating && slices.Contains(k.Next.Attempt.Committee, v.Node):
			m.failHandover(s, height, name, &k, why)
		}
	}
}

func (m *Machine) checkVote(r kv.Reader, body []byte) (*KeyVote, *keyRecord, error) {
	v, err := decodeItem[KeyVote](body)
	if err != nil {
		return nil, nil, err
	}
	unsigned := *v
	unsigned.Signature = nil
	if err := m.authentic(r, v.Node, "key vote", unsigned, v.Signature); err != nil {
		return nil, nil, err
	}
	rec, ok := load[keyRecord](r, keyPrefix+v.Key)
	id, _, known := m.cfg.schemeOf(v.Key)
	if known && rec.Next != nil && v.Epoch == rec.Next.Epoch {
		if err := rec.checkHandoverVote(v); err != nil {
			return nil, nil, err
		}
		return v, &rec, m.checkShared(r, v)
	}
	running := rec.Status == KeyGenerating || rec.Status == KeyActivating
	if !ok || !known || !running || rec.Epoch != v.Epoch || rec.Attempt.Number != v.Attempt {
		return nil, nil, fmt.Errorf("%w: vote for key %q, epoch %d, attempt %d, which is not being generated", ErrItem, v.Key, v.Epoch, v.Attempt)
	}
	if int(v.Node) >= len(rec.Votes) || len(rec.Votes[v.Node].Public) != 0 {
		return nil, nil, fmt.Errorf("%w: node %d voted before, or is no member", ErrItem, v.Node)
	}
	if err := v.checkForm(len(rec.Votes)); err != nil {
		return nil, nil, err
	}
	if _, err := chainkey.Derive(id.Algorithm, v.Public, [32]byte{}, nil); err != nil {
		return nil, nil, fmt.Errorf("%w: vote of node %d: %w", ErrItem, v.Node, err)
	}
	return v, &rec, m.checkShared(r, v)
}

func (m *Machine) applyVote(s kv.Store, height uint64, v *KeyVote, rec *keyRecord) {
	if rec.Next != nil {
		m.applyHandoverVote(s, height, v, rec)
		return
	}
	rec.Votes[v.Node] = v.record()
	rec.Status = KeyActivating
	all, other := agree(rec.Votes, int(v.Node))
	if other >= 0 {
		m.failKey(s, height, v.Key, rec, fmt.Sprintf("nodes %d and %d hold different keys", other, v.Node))
		return
	}
	if all {
		rec.Status, rec.Public, rec.Activated, rec.Votes = KeyActive, v.Public, height, nil
		rec.Members, rec.Shares = slices.Clone(rec.Attempt.Committee), v.Shares
	}
	save(s, keyPrefix+v.Key, *rec)
}

// failKey abandons an attempt. The next one starts after a pause that doubles.
func (m *Machine) failKey(s kv.Store, height uint64, name string, rec *keyRecord, why string) {
	if m.presigns(name) {
		m.shared.Abandon(s, name, rec.Epoch)
	}
	rec.Status, rec.Votes = KeyPending, nil
	rec.Attempt.Failure = why
	rec.NotBefore = height + 1<<min(rec.Attempt.Number, 8)
	rec.Attempt.Number++
	save(s, keyPrefix+name, *rec)
}

// context is what an attempt at a request binds its session to.
func (m *Machine) context(id uint64, q *requestRecord, a *attemptRecord, epoch uint64) session.Context {
	_, scheme, _ := m.cfg.schemeOf(q.Key)
	c := session.Context{Genesis: m.cfg.Life, Key: q.Key, Scheme: scheme.Name(), Kind: session.Signature, Request: id, Attempt: a.Number,
		Epoch: epoch, Message: [32]byte(q.Digest), Path: derive.Path(q.Canister, q.Path...)}
	c.Committee = seats(a)
	return c
}

func (m *Machine) keyContext(name string, k *keyRecord) session.Context {
	_, scheme, _ := m.cfg.schemeOf(name)
	return session.Context{Genesis: m.cfg.Life, Key: name, Scheme: scheme.Name(), Kind: session.KeyGeneration, Attempt: k.Attempt.Number,
		Epoch: k.Epoch, Committee: seats(&k.Attempt)}
}

func seats(a *attemptRecord) []session.Seat {
	var out []session.Seat
	for i, node := range a.Committee {
		out = append(out, session.Seat{Node: node, Incarnation: [16]byte(a.Incarnations[i])})
	}
	return out
}

func (m *Machine) checkComplaint(r kv.Reader, body []byte) (*Complaint, error) {
	v, err := decodeItem[Complaint](body)
	if err != nil {
		return nil, err
	}
	unsigned := *v
	unsigned.Signature = nil
	if err := m.authentic(r, v.Node, "complaint", unsigned, v.Signature); err != nil {
		return nil, err
	}
	var attempt *attemptRecord
	var id session.ID
	if v.Key != "" {
		k, ok := load[keyRecord](r, keyPrefix+v.Key)
		if _, _, known := m.cfg.schemeOf(v.Key); !ok || !known {
			return nil, fmt.Errorf("%w: complaint about key %q, which does not exist", ErrItem, v.Key)
		}
		switch n := k.Next; {
		case v.Request != 0:
			return nil, fmt.Errorf("%w: complaint about a key and a request", ErrItem)
		case (k.Status == KeyGenerating || k.Status == KeyActivating) && k.Epoch == v.Epoch && k.Attempt.Number == v.Attempt:
			attempt, id = &k.Attempt, m.keyContext(v.Key, &k).ID()
		case n != nil && (n.Status == KeyGenerating || n.Status == KeyActivating) && n.Epoch == v.Epoch && n.Attempt.Number == v.Attempt:
			attempt, id = &n.Attempt, m.handoverContext(v.Key, &k).ID()
		case n != nil && n.Status == KeyPending && n.Failed == "" && n.Epoch == v.Epoch && n.Attempt.Number > 0 && n.Attempt.Number-1 == v.Attempt:
			attempt, id = &n.Attempt, m.lateContext(v.Key, k).ID()
		default:
			return nil, fmt.Errorf("%w: complaint about key %q, epoch %d, attempt %d, which is not running", ErrItem, v.Key, v.Epoch, v.Attempt)
		}
	} else {
		q, ok := load[requestRecord](r, requestKey(v.Request))
		switch {
		case ok && q.Status == RequestActive && q.Current.Number == v.Attempt:
			attempt = &q.Current
		case ok && len(q.Previous.Committee) > 0 && q.Previous.Number == v.Attempt:
			attempt = &q.Previous // its members' complaints come in one after the other
		default:
			return nil, fmt.Errorf("%w: complaint about attempt %d of request %d, which is not running", ErrItem, v.Attempt, v.Request)
		}
		k, _ := load[keyRecord](r, keyPrefix+q.Key)
		id = m.context(v.Request, &q, attempt, k.Epoch).ID()
	}
	if !slices.Contains(attempt.Committee, v.Node) || slices.Contains(attempt.Complained, v.Node) {
		return nil, fmt.Errorf("%w: node %d is not a member of the attempt or has complained", ErrItem, v.Node)
	}
	for i, a := range v.Accused {
		if a == v.Node || !slices.Contains(attempt.Committee, a) || i > 0 && v.Accused[i-1] >= a {
			return nil, fmt.Errorf("%w: node %d cannot accuse %v", ErrItem, v.Node, v.Accused)
		}
	}
	switch v.Reason {
	case session.Equivocation:
		if len(v.Accused) != 1 {
			return nil, fmt.Errorf("%w: evidence against %d nodes", ErrItem, len(v.Accused))
		}
		culprit := v.Accused[0]
		if err := session.VerifyEvidence(v.Evidence, id, slices.Index(attempt.Committee, culprit), m.mustKey(r, culprit)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrItem, err)
		}
	case session.Silent, session.Invalid, session.Internal:
		if len(v.Evidence) != 0 {
			return nil, fmt.Errorf("%w: evidence for %v", ErrItem, v.Reason)
		}
	default:
		return nil, fmt.Errorf("%w: complaint for %v", ErrItem, v.Reason)
	}
	return v, nil
}

func (m *Machine) applyComplaint(s kv.Store, height uint64, v *Complaint) {
	why := fmt.Sprintf("node %d: %v", v.Node, v.Reason)
	if len(v.Accused) > 0 {
		why = fmt.Sprintf("node %d accuses %v: %v", v.Node, v.Accused, v.Reason)
	}
	for _, a := range v.Accused {
		if v.Reason == session.Equivocation {
			for _, other := range m.nodes(s) {
				m.dispute(s, height, int(a), other)
			}
		}
		m.dispute(s, height, int(a), int(v.Node))
		m.suspect(s, height, int(a))
	}
	if v.Key != "" {
		k, _ := load[keyRecord](s, keyPrefix+v.Key)
		m.remember(s, height, v.Key, v)
		if n := k.Next; n != nil {
			n.Attempt.Complained = append(n.Attempt.Complained, v.Node)
			if n.Status == KeyPending {
				n.Attempt.Failure += "; " + why
				save(s, keyPrefix+v.Key, k)
				return
			}
			m.failHandover(s, height, v.Key, &k, why)
			return
		}
		k.Attempt.Complained = append(k.Attempt.Complained, v.Node)
		m.failKey(s, height, v.Key, &k, why)
		return
	}
	q, _ := load[requestRecord](s, requestKey(v.Request))
	m.remember(s, height, q.Key, v)
	if q.Status != RequestActive || q.Current.Number != v.Attempt {
		q.Previous.Complained = append(q.Previous.Complained, v.Node)
		save(s, requestKey(v.Request), q)
		return
	}
	q.Current.Complained = append(q.Current.Complained, v.Node)
	if len(v.Accused) == 0 { // one of them is to blame, nobody knows which: try others first
		for _, node := range q.Current.Committee {
			m.suspect(s, height, int(node))
		}
	}
	m.failAttempt(s, v.Request, &q, why)
}

func (m *Machine) dispute(s kv.Store, height uint64, a, b int) {
	if a != b {
		save(s, edgeKey(a, b), edgeRecord{Until: height + m.cfg.DisputeBlocks})
	}
}

func (m *Machine) disputed(r kv.Reader, height uint64, a, b int) bool {
	e, ok := load[edgeRecord](r, edgeKey(a, b))
	return ok && height < e.Until
}

func (m *Machine) suspect(s kv.Store, height uint64, node int) {
	rec := m.node(s, node)
	rec.Suspicion = m.suspicion(s, height, node) + 1
	rec.Until = height + m.cfg.DisputeBlocks
	save(s, nodeKey(node), rec)
}

func (m *Machine) suspicion(r kv.Reader, height uint64, node int) uint32 {
	if rec := m.node(r, node); height < rec.Until {
		return rec.Suspicion
	}
	return 0
}

// failAttempt frees the slot; Advance starts the next attempt.
func (m *Machine) failAttempt(s kv.Store, id uint64, q *requestRecord, why string) {
	q.Current.Failure = why
	q.Previous, q.Current = q.Current, attemptRecord{}
	q.Status = RequestReady
	save(s, requestKey(id), *q)
}

func (m *Machine) checkResult(r kv.Reader, body []byte) (*Result, error) {
	v, err := decodeItem[Result](body)
	if err != nil {
		return nil, err
	}
	q, ok := load[requestRecord](r, requestKey(v.Request))
	if !ok || len(v.Signature) != 64 {
		return nil, fmt.Errorf("%w: a signature of %d bytes for request %d, which is not open", ErrItem, len(v.Signature), v.Request)
	}
	key, _, _ := m.cfg.schemeOf(q.Key)
	k, ok := m.key(r, key)
	if !ok {
		return nil, fmt.Errorf("%w: key %q is not active", ErrItem, q.Key)
	}
	message, ok := load[chainkey.Message](r, messageKey(v.Request))
	if !ok {
		return nil, fmt.Errorf("%w: request %d is not open", ErrItem, v.Request) // r is a view whose source has moved on
	}
	path := derive.Path(q.Canister, q.Path...)
	name := sha256.Sum256(codec.Marshal([]any{q.Key, k.PublicKey, k.ChainCode, path, message, v.Signature}))
	if err := m.cfg.Memo.Verified(name, func() error {
		child, err := chainkey.Derive(key.Algorithm, k.PublicKey, k.ChainCode, path)
		if err != nil {
			return err
		}
		return chainkey.Verify(key.Algorithm, child.PublicKey, message, [64]byte(v.Signature))
	}); err != nil {
		return nil, fmt.Errorf("%w: request %d: %w", ErrItem, v.Request, err)
	}
	return v, nil
}

func (m *Machine) applyResult(s kv.Store, v *Result) []Response {
	q, _ := load[requestRecord](s, requestKey(v.Request))
	for _, node := range q.Current.Committee { // they proved themselves
		if rec := m.node(s, int(node)); rec.Suspicion > 0 {
			rec.Suspicion, rec.Until = 0, 0
			save(s, nodeKey(int(node)), rec)
		}
	}
	m.forgetRequest(s, v.Request, q.Key)
	return []Response{{ID: v.Request, Signature: v.Signature}}
}

// Advance ends the block at height: it starts key generations, ends attempts that are past their deadline, rejects requests
// that are past theirs, and gives free slots to waiting requests. The beacon function returns the beacon of a height once a
// block up to this one carried it.
func (m *Machine) Advance(s kv.Store, height uint64, beacon func(height uint64) ([32]byte, bool)) []Response {
	m.advanceKeys(s, height)
	var out []Response
	ids, all := requests(s)
	var active, ready, presigned []int // indices into ids and all
	for i := range all {
		q := &all[i]
		if presigns := m.presigns(q.Key); presigns && height < q.Height+m.cfg.RequestBlocks {
			switch waits := m.advancePresigned(s, height, ids[i], q, beacon); {
			case waits && q.Next >= m.cfg.MaxAttempts:
				out = append(out, m.reject(s, ids[i], q.Key, fmt.Sprintf("%d presignatures did not serve; the last: %s", q.Next, q.Previous.Failure)))
			case waits:
				presigned = append(presigned, i)
			}
			continue
		} else if q.Status == RequestWaiting && !presigns {
			if seed, ok := beacon(q.Height + 1); ok {
				q.Status, q.Seed = RequestReady, seed[:]
				save(s, requestKey(ids[i]), *q)
			}
		}
		if q.Status == RequestActive && height >= q.Current.Deadline && !m.presigns(q.Key) {
			if len(q.Current.Complained) == 0 {
				for _, node := range q.Current.Committee {
					m.suspect(s, height, int(node))
				}
			}
			m.failAttempt(s, ids[i], q, "no signature before the deadline")
		}
		switch {
		case q.Status == RequestReady && q.Next >= m.cfg.MaxAttempts:
			out = append(out, m.reject(s, ids[i], q.Key, fmt.Sprintf("%d committees failed to sign; the last: %s", q.Next, q.Previous.Failure)))
		case height >= q.Height+m.cfg.RequestBlocks:
			out = append(out, m.reject(s, ids[i], q.Key, fmt.Sprintf("no signature within %d blocks", m.cfg.RequestBlocks)))
		case q.Status == RequestActive:
			active = append(active, i)
		case q.Status == RequestReady:
			ready = append(ready, i)
		}
	}
	m.fill(s, height, ids, all, active, ready)
	m.bind(s, height, ids, all, presigned)
	m.advanceShared(s, height)
	m.forget(s, height)
	return out
}

func (m *Machine) forgetRequest(s kv.Store, id uint64, key string) {
	m.spend(s, id, key)
	s.Delete([]byte(requestKey(id)))
	s.Delete([]byte(messageKey(id)))
}

func (m *Machine) reject(s kv.Store, id uint64, key, why string) Response {
	m.forgetRequest(s, id, key)
	return Response{ID: id, RejectCode: sysTransient, RejectMessage: "signature request expired: " + why}
}

// begin orders the next attempt at a request.
func (m *Machine) begin(s kv.Store, height uint64, id uint64, q *requestRecord) bool {
	k, _ := load[keyRecord](s, keyPrefix+q.Key)
	eligible, n := m.announced(s, k.Members), len(k.Members)
	committee := chooseCommittee(quorum(n), faulty(n), q.Seed, id, q.Next, eligible,
		func(n int) uint32 { return m.suspicion(s, height, n) }, func(a, b int) bool { return m.disputed(s, height, a, b) })
	if committee == nil {
		return false
	}
	q.Current = m.attempt(s, height, q.Next, m.cfg.SigningDeadline, committee)
	q.Status = RequestActive
	q.Next++
	save(s, requestKey(id), *q)
	return true
}

func (m *Machine) attempt(s kv.Store, height uint64, number uint32, base uint64, committee []int) attemptRecord {
	a := attemptRecord{Number: number, Started: height, Deadline: height + window(base, number)}
	for _, node := range committee {
		a.Committee = append(a.Committee, uint32(node))
		a.Incarnations = append(a.Incarnations, m.node(s, node).Incarnation)
	}
	return a
}

// advanceKeys runs one key generation of a costly scheme at a time: each needs all nodes and much of their CPU. Others do not wait.
func (m *Machine) advanceKeys(s kv.Store, height uint64) {
	running := false
	for _, id := range m.cfg.Keys {
		name := id.String()
		k, _ := load[keyRecord](s, keyPrefix+name)
		if (k.Status == KeyGenerating || k.Status == KeyActivating) && height >= k.Attempt.Deadline {
			var silent []int
			for node, v := range k.Votes {
				if len(v.Public) == 0 {
					silent = append(silent, node)
				}
			}
			m.failKey(s, height, name, &k, fmt.Sprintf("nodes %v did not finish before the deadline", silent))
		}
		running = running || m.cfg.costly(id) && (k.Status == KeyGenerating || k.Status == KeyActivating)
		running = m.advanceHandover(s, height, id, &k) || running
	}
	for _, id := range m.cfg.Keys {
		name := id.String()
		k, _ := load[keyRecord](s, keyPrefix+name)
		if running && m.cfg.costly(id) {
			continue
		}
		if k.Next != nil {
			running = m.beginHandover(s, height, id, &k) || running
			continue
		}
		if k.Status != KeyPending || height < k.NotBefore {
			continue
		}
		var everybody []int
		for node := range m.cfg.Nodes {
			if m.node(s, node).Number == 0 {
				return // some node has never started
			}
			everybody = append(everybody, node)
		}
		if m.presigns(name) {
			var nodes []uint32
			for _, node := range everybody {
				nodes = append(nodes, uint32(node))
			}
			m.openEpoch(s, height, k.Epoch, nodes)
			if len(m.awaited(s, name, k.Epoch)) > 0 {
				continue
			}
			m.shared.Generate(s, height, id, k.Epoch, uint64(k.Attempt.Number))
		}
		k.Status = KeyGenerating
		k.Attempt = m.attempt(s, height, k.Attempt.Number, m.cfg.KeygenDeadline, everybody)
		k.Votes = make([]voteRecord, len(m.cfg.Nodes))
		save(s, keyPrefix+name, k)
		running = running || m.cfg.costly(id)
	}
}

// costly reports whether generating the key takes seconds of CPU time.
func (c *Config) costly(id chainkey.KeyID) bool { return c.scheme(id).NeedsParams() }

// forget removes disputes that have expired.
func (m *Machine) forget(s kv.Store, height uint64) {
	var old [][]byte
	kv.ScanPrefix(s, []byte(edgePrefix), func(key, _ []byte) bool {
		a, b := binary.BigEndian.Uint32(key[len(edgePrefix):]), binary.BigEndian.Uint32(key[len(edgePrefix)+4:])
		if !m.disputed(s, height, int(a), int(b)) {
			old = append(old, bytes.Clone(key))
		}
		return true
	})
	for _, key := range old {
		s.Delete(key)
	}
}
