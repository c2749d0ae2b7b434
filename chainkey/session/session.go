package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"fusion/chainkey"
	"fusion/internal/codec"
)

// Config describes one member's side of a session.
type Config struct {
	ID       ID
	Seat     int                 // own
	Keys     []ed25519.PublicKey // node keys by seat
	Sign     func([]byte) []byte // signs with the own node key
	Rand     io.Reader           // a cryptographically secure source, for the ephemeral key
	Protocol chainkey.Protocol
}

// Reason is why a session failed.
type Reason uint8

// The reasons. Their numbers stand in blocks.
const (
	Silent       Reason = 1 + iota // nothing came until the caller gave up
	Invalid                        // a message that the protocol or this package refuses
	Equivocation                   // two words in one round, with evidence
	Aborted                        // another member gave up
	Internal                       // this member failed, or nobody can be named
	Cloned                         // the own node key signs elsewhere
)

func (r Reason) String() string {
	switch r {
	case Silent:
		return "silent"
	case Invalid:
		return "invalid message"
	case Equivocation:
		return "equivocation"
	case Aborted:
		return "aborted by another member"
	case Internal:
		return "failed without a culprit"
	case Cloned:
		return "own key in use elsewhere"
	}
	return "unknown reason"
}

// Fault is how a session failed.
type Fault struct {
	Reason   Reason
	Seats    []int // those to blame, by what this member saw itself; may be empty
	Round    int
	Detail   string
	Evidence []byte // encoded Evidence, for Equivocation
	By       int    // for Aborted: who gave up
}

func (f *Fault) Error() string {
	return fmt.Sprintf("round %d: %v by seats %v: %s", f.Round, f.Reason, f.Seats, f.Detail)
}

// Send is bytes for one seat.
type Send struct {
	To   int
	Data []byte
}

// Effects are what a step wants done. Done and Fault exclude each other, and come once.
type Effects struct {
	Send  []Send
	Done  bool
	Fault *Fault
}

// word is a verified message of one seat in one round.
type word struct {
	digest    [32]byte
	signature []byte
	broadcast []byte
	private   []byte // ciphertext
}

// Session is one member's side of a ceremony. It is used by one goroutine at a time.
type Session struct {
	cfg    Config
	n      int
	round  int // 0 is the exchange of ephemeral keys
	last   int
	words  []map[int]*word // by round and seat, for the current round and the next
	seen   []map[int]*word // digests and signatures of past rounds
	echoes []*envelope     // of the current round, by seat
	status []*envelope     // newest by seat
	heard  []int           // when status came, in ticks of clock
	clock  int             // ticks since the start
	outbox map[int][]Send  // what was sent in the current and the previous round
	// repeated notes who was helped since the last tick: nobody can make this member talk for ever.
	repeated []bool
	echoed   bool // the own echo of the current round is out
	secret   *ecdh.PrivateKey
	peers    []*ecdh.PublicKey
	trace    hasher // over the digests of all delivered rounds
	ticks    int    // since the round began
	ended    bool
	done     bool
}

// New makes a session; Start begins it.
func New(cfg Config) (*Session, error) {
	n := len(cfg.Keys)
	if cfg.Seat < 0 || cfg.Seat >= n {
		return nil, fmt.Errorf("session %v: seat %d of %d", cfg.ID, cfg.Seat, n)
	}
	secret, err := ecdh.X25519().GenerateKey(cfg.Rand)
	if err != nil {
		return nil, fmt.Errorf("session %v: making an ephemeral key: %w", cfg.ID, err)
	}
	s := &Session{cfg: cfg, n: n, last: cfg.Protocol.Rounds(), secret: secret, peers: make([]*ecdh.PublicKey, n),
		echoes: make([]*envelope, n), status: make([]*envelope, n), heard: make([]int, n), repeated: make([]bool, n), outbox: map[int][]Send{}, trace: newHash("transcript")}
	for range s.last + 1 {
		s.words, s.seen = append(s.words, map[int]*word{}), append(s.seen, map[int]*word{})
	}
	s.trace.bytes(cfg.ID[:])
	return s, nil
}

// Round returns the current round and the number of the last one.
func (s *Session) Round() (current, last int) { return s.round, s.last }

// Transcript is the hash of every digest of every round, which all members share when the session is done.
func (s *Session) Transcript() [32]byte { return s.trace.sum() }

// Start sends the first message.
func (s *Session) Start() Effects {
	var fx Effects
	s.speak(&fx, chainkey.Output{Broadcast: s.secret.PublicKey().Bytes()})
	s.advance(&fx)
	return fx
}

// Tick is called at regular intervals. It tells the members that keep this one waiting so, with growing pauses; a member that
// hears it repeats the very bytes it sent.
func (s *Session) Tick() Effects {
	var fx Effects
	s.ticks++
	s.clock++
	clear(s.repeated)
	if s.ended || s.ticks&(s.ticks-1) != 0 && s.ticks%8 != 0 { // at 1, 2, 4, then every 8
		return fx
	}
	e := &envelope{Kind: kindStatus}
	for seat, w := range s.waiting() {
		if w {
			e.Seats = append(e.Seats, uint32(seat))
		}
	}
	if len(e.Seats) > 0 {
		s.toAll(&fx, s.sealed(e), false)
	}
	return fx
}

// heed answers a status: it is kept for Blame, and what the sender waits for is repeated, once per tick.
func (s *Session) heed(fx *Effects, from int, e *envelope) {
	if st := s.status[from]; len(e.Seats) > s.n || st != nil && st.Round > e.Round {
		return
	}
	s.status[from], s.heard[from] = e, s.clock
	if s.repeated[from] || !slices.Contains(e.Seats, uint32(s.cfg.Seat)) {
		return
	}
	s.repeated[from] = true
	for _, m := range s.outbox[int(e.Round)] {
		if m.To == from {
			fx.Send = append(fx.Send, m)
		}
	}
}

// waiting says whose message, or, once all messages are here, whose echo is missing.
func (s *Session) waiting() []bool {
	w := make([]bool, s.n)
	for seat := range w {
		if seat == s.cfg.Seat {
			continue
		}
		if len(s.words[s.round]) < s.n {
			w[seat] = s.words[s.round][seat] == nil
		} else {
			w[seat] = s.echoes[seat] == nil
		}
	}
	return w
}

// stale is for how many ticks what a member said of itself excuses it: one that still waits says so again within 8.
const stale = 20

// Blame names the members that kept the session from going on, for a caller that gives it up: those waited for, except
// members that said themselves to be waiting for a third one. It names nobody once the session has ended.
func (s *Session) Blame() *Fault {
	f := &Fault{Reason: Silent, Round: s.round, Detail: "no message before the deadline"}
	if s.ended {
		return f
	}
	for seat, w := range s.waiting() {
		if !w {
			continue
		}
		// What excuses a missing word is to be in the round before; what excuses a missing echo is to lack somebody's word of this one. Who says
		// to be further has, by its own account, sent what is missing, and was asked to repeat it.
		where := s.round
		if s.words[s.round][seat] == nil {
			where--
		}
		excused := false
		if st := s.status[seat]; st != nil && int(st.Round) == where && s.clock-s.heard[seat] <= stale {
			for _, other := range st.Seats {
				excused = excused || int(other) != s.cfg.Seat && int(other) != seat
			}
		}
		if !excused {
			f.Seats = append(f.Seats, seat)
		}
	}
	return f
}

// Deliver takes an envelope from the member in seat from, as the transport authenticated it. An error says why the bytes were
// ignored; it changes nothing. A verified offence ends the session and stands in Effects.Fault.
func (s *Session) Deliver(from int, data []byte) (Effects, error) {
	var fx Effects
	e, err := decode(data)
	if err != nil {
		return fx, err
	}
	switch {
	case ID(e.Session) != s.cfg.ID:
		return fx, fmt.Errorf("%w: of session %v, not %v", ErrEnvelope, ID(e.Session), s.cfg.ID)
	case from < 0 || from >= s.n || from == s.cfg.Seat || e.From != uint32(from):
		return fx, fmt.Errorf("%w: seat %d speaks as seat %d", ErrEnvelope, from, e.From)
	case int64(e.Round) > int64(s.round)+1 || int(e.Round) > s.last:
		return fx, fmt.Errorf("%w: of round %d during round %d", ErrEnvelope, e.Round, s.round)
	case s.ended && !(s.done && e.Kind == kindStatus): // a finished member still helps the others
		return fx, nil
	}
	digest, ok := e.verify(s.cfg.Keys[from])
	if !ok {
		return fx, fmt.Errorf("%w: bad signature by seat %d in round %d", ErrEnvelope, from, e.Round)
	}
	switch e.Kind {
	case kindMessage:
		// The one part of an envelope that the digest covers only through a hash in it.
		if len(e.Digests) == s.n && string(e.Digests[s.cfg.Seat]) != string(privateHash(e.Private)) || len(e.Digests) != s.n && len(e.Private) > 0 {
			return fx, fmt.Errorf("%w: not the ciphertext that seat %d signed for round %d", ErrEnvelope, from, e.Round)
		}
		s.message(&fx, from, e, digest)
	case kindEcho:
		s.echo(&fx, from, e)
	case kindAbort:
		s.fail(&fx, &Fault{Reason: Aborted, By: from, Detail: fmt.Sprintf("seat %d gave up, accusing %v: %q", from, e.Seats, e.Reason)})
	case kindStatus:
		s.heed(&fx, from, e)
	default:
		return fx, fmt.Errorf("%w: kind %d", ErrEnvelope, e.Kind)
	}
	return fx, nil
}

func (s *Session) message(fx *Effects, from int, e *envelope, digest [32]byte) {
	round := int(e.Round)
	if old := s.seen[round][from]; old != nil {
		if old.digest != digest {
			s.convict(fx, round, from, old.digest[:], old.signature, digest[:], e.Signature)
		}
		return
	}
	w := &word{digest, e.Signature, e.Broadcast, e.Private}
	if err := s.wellFormed(round, e); err != nil {
		s.blame(fx, from, Invalid, err.Error())
		return
	}
	s.words[round][from] = w
	s.seen[round][from] = w
	s.advance(fx)
}

// wellFormed checks what the sender signed, all of which is the sender's fault.
func (s *Session) wellFormed(round int, e *envelope) error {
	lim := chainkey.Limits{Broadcast: 32} // an X25519 key
	if round > 0 {
		lim = s.cfg.Protocol.Limits(round)
	}
	if len(e.Broadcast) > lim.Broadcast {
		return fmt.Errorf("broadcast of %d bytes, at most %d are allowed", len(e.Broadcast), lim.Broadcast)
	}
	if len(e.Proofs) != 0 || len(e.Seats) != 0 || e.Reason != "" {
		return errors.New("fields of another kind of envelope")
	}
	if lim.Private == 0 {
		if len(e.Private) != 0 || len(e.Digests) != 0 {
			return errors.New("a private message in a round without any")
		}
		return nil
	}
	if len(e.Private) > lim.Private+overhead {
		return fmt.Errorf("private message of %d bytes, at most %d are allowed", len(e.Private), lim.Private+overhead)
	}
	if len(e.Digests) != s.n {
		return errors.New("not one ciphertext for each seat")
	}
	for _, d := range e.Digests {
		if len(d) != 32 {
			return errors.New("a digest of wrong size")
		}
	}
	return nil
}

func (s *Session) echo(fx *Effects, from int, e *envelope) {
	if int(e.Round) != s.round || s.echoes[from] != nil {
		return
	}
	if len(e.Digests) != s.n || len(e.Proofs) != s.n || len(e.Broadcast)+len(e.Private)+len(e.Seats)+len(e.Reason) != 0 {
		s.blame(fx, from, Invalid, "malformed echo")
		return
	}
	for seat := range s.n {
		if len(e.Digests[seat]) != 32 || len(e.Proofs[seat]) != ed25519.SignatureSize {
			s.blame(fx, from, Invalid, "malformed echo")
			return
		}
	}
	s.echoes[from] = e
	s.advance(fx)
}

// compare holds an echo against what arrived here. It reports whether they agree.
func (s *Session) compare(fx *Effects, from int, e *envelope) bool {
	for seat := range s.n {
		w := s.words[s.round][seat]
		if string(e.Digests[seat]) == string(w.digest[:]) {
			continue
		}
		if !ed25519.Verify(s.cfg.Keys[seat], signable(s.cfg.ID[:], kindMessage, uint32(s.round), uint32(seat), e.Digests[seat]), e.Proofs[seat]) {
			s.blame(fx, from, Invalid, fmt.Sprintf("echoed a word of seat %d that seat %d never signed", seat, seat))
		} else {
			s.convict(fx, s.round, seat, w.digest[:], w.signature, e.Digests[seat], e.Proofs[seat])
		}
		return false
	}
	return true
}

// convict ends the session with proof that a seat signed two words.
func (s *Session) convict(fx *Effects, round, seat int, d1, s1, d2, s2 []byte) {
	f := &Fault{Reason: Equivocation, Seats: []int{seat}, Detail: fmt.Sprintf("seat %d said two things in round %d", seat, round),
		Evidence: codec.Marshal(Evidence{Session: s.cfg.ID[:], Round: uint32(round), Seat: uint32(seat),
			Digests: [][]byte{d1, d2}, Signatures: [][]byte{s1, s2}})}
	if seat == s.cfg.Seat {
		f.Reason, f.Seats, f.Detail = Cloned, nil, "another machine signs with this node's key in the same session"
	}
	s.fail(fx, f)
}

func (s *Session) blame(fx *Effects, seat int, reason Reason, detail string) {
	s.fail(fx, &Fault{Reason: reason, Seats: []int{seat}, Detail: fmt.Sprintf("seat %d: %s", seat, detail)})
}

// fail ends the session and tells the others, so that nobody waits for the deadline.
func (s *Session) fail(fx *Effects, f *Fault) {
	if s.ended {
		return
	}
	f.Round = s.round
	if f.Reason != Aborted && f.Reason != Cloned {
		e := &envelope{Kind: kindAbort, Reason: f.Detail[:min(len(f.Detail), maxReason)]}
		for _, seat := range f.Seats {
			e.Seats = append(e.Seats, uint32(seat))
		}
		s.toAll(fx, s.sealed(e), false)
	}
	fx.Fault = f
	s.end()
}

func (s *Session) end() {
	s.ended = true
	s.secret = nil
	s.cfg.Protocol.Wipe()
}

// Close forgets the session's secrets. It may be called at any time.
func (s *Session) Close() {
	s.end()
	s.done = false
	s.outbox = nil
}

// advance goes as far as the messages at hand allow.
func (s *Session) advance(fx *Effects) {
	for !s.ended {
		if len(s.words[s.round]) < s.n {
			return
		}
		if !s.echoed {
			s.echoed = true
			e := &envelope{Kind: kindEcho}
			for seat := range s.n {
				w := s.words[s.round][seat]
				e.Digests, e.Proofs = append(e.Digests, w.digest[:]), append(e.Proofs, w.signature)
			}
			s.toAll(fx, s.sealed(e), true)
		}
		missing := false
		for seat, e := range s.echoes {
			if seat == s.cfg.Seat {
				continue
			}
			if e == nil {
				missing = true
			} else if !s.compare(fx, seat, e) {
				return
			}
		}
		if missing {
			return
		}
		s.deliver(fx)
	}
}

// deliver hands the finished round to the protocol and opens the next.
func (s *Session) deliver(fx *Effects) {
	words := s.words[s.round]
	for seat := range s.n {
		s.trace.bytes(words[seat].digest[:])
	}
	var out chainkey.Output
	var err error
	if s.round == 0 {
		if !s.meet(fx, words) {
			return
		}
		out, err = contained(s.cfg.Protocol.Start)
	} else {
		in := make([]chainkey.Input, s.n)
		for seat, w := range words {
			if seat == s.cfg.Seat {
				continue
			}
			in[seat].Broadcast = w.broadcast
			if s.cfg.Protocol.Limits(s.round).Private > 0 {
				plain, err := s.open(seat, w.private)
				if err != nil {
					s.blame(fx, seat, Invalid, "a private message that cannot be opened")
					return
				}
				in[seat].Private = plain
			}
		}
		out, err = contained(func() (chainkey.Output, error) { return s.cfg.Protocol.Deliver(s.round, in) })
	}
	if err != nil {
		f := &Fault{Reason: Internal, Detail: err.Error()}
		var m *chainkey.Misbehaviour
		if errors.As(err, &m) && len(m.Seats) > 0 {
			f.Reason, f.Seats = Invalid, slices.Clone(m.Seats)
		}
		s.fail(fx, f)
		return
	}
	for seat := range words {
		words[seat].broadcast, words[seat].private = nil, nil // the digests remain, for evidence
	}
	if s.round == s.last {
		if !out.Done {
			s.fail(fx, &Fault{Reason: Internal, Detail: "the protocol is not done after its last round"})
			return
		}
		fx.Done, s.done, s.ended, s.ticks = true, true, true, 0
		return
	}
	s.round++
	s.ticks, s.echoed = 0, false
	clear(s.echoes)
	delete(s.outbox, s.round-2)
	s.speak(fx, out)
}

// contained runs a step of a protocol. A panic in it ends this session and no other: what one member sends must not stop a replica.
func contained(step func() (chainkey.Output, error)) (out chainkey.Output, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the protocol panicked: %v", v)
		}
	}()
	return step()
}

// meet reads the ephemeral keys of round 0.
func (s *Session) meet(fx *Effects, words map[int]*word) bool {
	for seat := range s.n {
		key, err := ecdh.X25519().NewPublicKey(words[seat].broadcast)
		if err == nil && seat != s.cfg.Seat {
			_, err = s.secret.ECDH(key) // refuses points of low order
		}
		if err != nil {
			s.blame(fx, seat, Invalid, "bad ephemeral key")
			return false
		}
		s.peers[seat] = key
	}
	return true
}

// overhead is what sealing adds: the tag of AES-GCM.
const overhead = 16

// speak sends the own message of the current round and keeps it as the own word.
func (s *Session) speak(fx *Effects, out chainkey.Output) {
	private := make([][]byte, s.n)
	e := &envelope{Kind: kindMessage, Session: s.cfg.ID[:], Round: uint32(s.round), From: uint32(s.cfg.Seat), Broadcast: out.Broadcast}
	if s.round > 0 && s.cfg.Protocol.Limits(s.round).Private > 0 {
		for seat := range s.n {
			if seat != s.cfg.Seat {
				private[seat] = s.channel(s.cfg.Seat, seat).Seal(nil, s.nonce(), out.Private[seat], s.cfg.ID[:])
			}
			e.Digests = append(e.Digests, privateHash(private[seat]))
		}
	}
	digest := e.digest()
	e.Signature = s.cfg.Sign(signable(e.Session, e.Kind, e.Round, e.From, digest[:]))
	w := &word{digest, e.Signature, e.Broadcast, nil}
	s.words[s.round][s.cfg.Seat] = w
	s.seen[s.round][s.cfg.Seat] = w
	for seat := range s.n {
		if seat != s.cfg.Seat {
			e.Private = private[seat]
			m := Send{seat, codec.Marshal(e)}
			s.outbox[s.round] = append(s.outbox[s.round], m)
			fx.Send = append(fx.Send, m)
		}
	}
}

func (s *Session) sealed(e *envelope) []byte {
	e.Session, e.From, e.Round = s.cfg.ID[:], uint32(s.cfg.Seat), uint32(s.round)
	digest := e.digest()
	e.Signature = s.cfg.Sign(signable(e.Session, e.Kind, e.Round, e.From, digest[:]))
	return codec.Marshal(e)
}

func (s *Session) toAll(fx *Effects, data []byte, keep bool) {
	for seat := range s.n {
		if seat != s.cfg.Seat {
			fx.Send = append(fx.Send, Send{seat, data})
			if keep {
				s.outbox[s.round] = append(s.outbox[s.round], Send{seat, data})
			}
		}
	}
}

// nonce is the round: a channel's key is used for one message per round and direction.
func (s *Session) nonce() []byte {
	return binary.BigEndian.AppendUint32(make([]byte, 8), uint32(s.round))
}

// channel is the AEAD for messages from one seat to another, one of them the own.
func (s *Session) channel(from, to int) cipher.AEAD {
	other := from
	if from == s.cfg.Seat {
		other = to
	}
	shared, err := s.secret.ECDH(s.peers[other])
	if err != nil {
		panic("session: agreement with a key that was checked: " + err.Error())
	}
	h := newHash("channel")
	h.number(uint64(from))
	h.number(uint64(to))
	h.bytes(s.peers[from].Bytes())
	h.bytes(s.peers[to].Bytes())
	info := h.sum()
	key, err := hkdf.Key(sha256.New, shared, s.cfg.ID[:], string(info[:]), 32)
	if err != nil {
		panic("session: deriving 32 bytes: " + err.Error())
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("session: AES with 32 bytes: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("session: GCM over AES: " + err.Error())
	}
	return aead
}

func (s *Session) open(from int, ciphertext []byte) ([]byte, error) {
	return s.channel(from, s.cfg.Seat).Open(nil, s.nonce(), ciphertext, s.cfg.ID[:])
}
