package session

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"fusion/chainkey"
	"fusion/internal/codec"
)

// toy is a protocol of three rounds: everybody says a number to all and another to each; the result is a hash of all of them.
type toy struct {
	seat, n int
	voice   string // what it says depends on it
	result  string
	wiped   bool
	refuse  int // seat whose word of round 2 is called bad; -1 for none
}

func (p *toy) Rounds() int { return 3 }

func (p *toy) Limits(round int) chainkey.Limits {
	if round == 3 {
		return chainkey.Limits{Broadcast: 100}
	}
	return chainkey.Limits{Broadcast: 100, Private: 100}
}

func (p *toy) say(round int) chainkey.Output {
	out := chainkey.Output{Broadcast: fmt.Appendf(nil, "%s %d to all in %d", p.voice, p.seat, round)}
	if round < 3 {
		for to := range p.n {
			out.Private = append(out.Private, fmt.Appendf(nil, "%s %d to %d in %d", p.voice, p.seat, to, round))
		}
	}
	return out
}

func (p *toy) Start() (chainkey.Output, error) { return p.say(1), nil }

func (p *toy) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	for seat, m := range in {
		if seat == p.seat {
			p.result += string(p.say(round).Broadcast)
			continue
		}
		if round == 2 && seat == p.refuse {
			return chainkey.Output{}, chainkey.Blame(seat, "refused by the test")
		}
		p.result += string(m.Broadcast)
		if want := fmt.Sprintf("%d to %d in %d", seat, p.seat, round); round < 3 && !strings.HasSuffix(string(m.Private), want) {
			return chainkey.Output{}, chainkey.Blame(seat, "said %q", m.Private)
		}
	}
	if round == 3 {
		return chainkey.Output{Done: true}, nil
	}
	return p.say(round + 1), nil
}

func (p *toy) Wipe() { p.wiped = true }

// world is a network of sessions under a seeded scheduler. A seat may be played by more than one session: an equivocator.
type world struct {
	t        *testing.T
	rng      *rand.Rand
	id       ID
	keys     []ed25519.PublicKey
	privates []ed25519.PrivateKey
	sessions []*Session
	toys     []*toy
	queue    []packet
	tamper   func(from, to int, data []byte) [][]byte // nil leaves everything alone
	faults   []*Fault
	done     []bool
	refused  int // deliveries that returned an error
}

type packet struct {
	from, to int
	data     []byte
}

func newWorld(t *testing.T, n int, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), id: Context{Key: "k", Request: seed}.ID(), faults: make([]*Fault, n), done: make([]bool, n)}
	for seat := range n {
		h := sha256.Sum256([]byte{byte(seat)})
		private := ed25519.NewKeyFromSeed(h[:])
		w.privates, w.keys = append(w.privates, private), append(w.keys, private.Public().(ed25519.PublicKey))
	}
	for seat := range n {
		s, p := w.member(seat, "honest")
		w.sessions, w.toys = append(w.sessions, s), append(w.toys, p)
	}
	return w
}

func (w *world) member(seat int, voice string) (*Session, *toy) {
	w.t.Helper()
	p := &toy{seat: seat, n: len(w.keys), voice: voice, refuse: -1}
	source := rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%s%d", voice, seat)))
	s, err := New(Config{ID: w.id, Seat: seat, Keys: w.keys, Protocol: p, Rand: source,
		Sign: func(m []byte) []byte { return ed25519.Sign(w.privates[seat], m) }})
	if err != nil {
		w.t.Fatal(err)
	}
	return s, p
}

func (w *world) apply(seat int, fx Effects) {
	for _, m := range fx.Send {
		datas := [][]byte{m.Data}
		if w.tamper != nil {
			datas = w.tamper(seat, m.To, m.Data)
		}
		for _, d := range datas {
			w.queue = append(w.queue, packet{seat, m.To, d})
		}
	}
	if fx.Done {
		w.done[seat] = true
	}
	if fx.Fault != nil {
		if w.faults[seat] != nil || w.done[seat] {
			w.t.Errorf("seat %d ended twice", seat)
		}
		w.faults[seat] = fx.Fault
	}
}

// run delivers packets in random order until nothing is left, with so many ticks to everybody afterwards.
func (w *world) run(ticks int) {
	for seat, s := range w.sessions {
		w.apply(seat, s.Start())
	}
	for {
		for len(w.queue) > 0 {
			i := w.rng.IntN(len(w.queue))
			p := w.queue[i]
			w.queue[i] = w.queue[len(w.queue)-1]
			w.queue = w.queue[:len(w.queue)-1]
			fx, err := w.sessions[p.to].Deliver(p.from, p.data)
			if err != nil {
				w.refused++
			}
			w.apply(p.to, fx)
		}
		if ticks == 0 {
			return
		}
		ticks--
		for seat, s := range w.sessions {
			w.apply(seat, s.Tick())
		}
	}
}

func (w *world) wantDone(seats ...int) {
	w.t.Helper()
	for _, seat := range seats {
		if !w.done[seat] || w.toys[seat].result != w.toys[seats[0]].result || w.sessions[seat].Transcript() != w.sessions[seats[0]].Transcript() {
			w.t.Errorf("seat %d: done %v, fault %v", seat, w.done[seat], w.faults[seat])
		}
	}
}

func (w *world) wantFault(seat int, reason Reason, accused ...int) *Fault {
	w.t.Helper()
	f := w.faults[seat]
	if f == nil {
		w.t.Fatalf("seat %d saw no fault", seat)
	}
	if f.Reason != reason || fmt.Sprint(f.Seats) != fmt.Sprint(accused) {
		w.t.Fatalf("seat %d: %v", seat, f)
	}
	if !w.toys[seat].wiped {
		w.t.Errorf("seat %d kept its protocol's secrets", seat)
	}
	return f
}

func TestHonestRuns(t *testing.T) {
	for seed := range uint64(20) {
		n := 1 + int(seed%5)
		w := newWorld(t, n, seed)
		w.run(0)
		w.wantDone(seq(n)...)
		if w.refused != 0 {
			t.Errorf("%d good messages were refused", w.refused)
		}
	}
}

func TestLossDuplicatesAndReordering(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, 4, seed)
		w.tamper = func(from, to int, data []byte) [][]byte {
			switch w.rng.IntN(4) {
			case 0:
				return nil
			case 1:
				return [][]byte{data, data}
			}
			return [][]byte{data}
		}
		w.run(2000)
		w.wantDone(0, 1, 2, 3)
	}
}

func TestEverySingleByteIsAuthenticated(t *testing.T) {
	w := newWorld(t, 3, 1)
	var sample [][]byte
	w.tamper = func(from, to int, data []byte) [][]byte {
		if from == 0 && to == 1 {
			sample = append(sample, bytes.Clone(data))
		}
		return [][]byte{data}
	}
	w.run(0)
	if len(sample) != 8 { // four rounds of a message and an echo
		t.Fatalf("%d envelopes were sent", len(sample))
	}
	for k, good := range sample[:3] { // message and echo of round 0, message of round 1
		for i := range good {
			victim := newWorld(t, 3, 1)
			if k == 2 { // bring the victim to round 1
				for _, s := range victim.sessions {
					victim.apply(s.cfg.Seat, s.Start())
				}
				for victim.sessions[1].round == 0 {
					p := victim.queue[0]
					victim.queue = victim.queue[1:]
					fx, _ := victim.sessions[p.to].Deliver(p.from, p.data)
					victim.apply(p.to, fx)
				}
				delete(victim.sessions[1].words[1], 0)
				delete(victim.sessions[1].seen[1], 0)
			} else {
				victim.sessions[1].Start()
			}
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			if bytes.Equal(bad, good) {
				continue
			}
			fx, err := victim.sessions[1].Deliver(0, bad)
			if err == nil || fx.Fault != nil || len(fx.Send) > 0 {
				t.Fatalf("envelope %d with byte %d flipped: error %v, effects %+v", k, i, err, fx)
			}
		}
	}
}

func TestOtherSessionsMessagesAreRefused(t *testing.T) {
	base := Context{Genesis: [32]byte{1}, Key: "key", Scheme: "gg18", Kind: Signature, Request: 7, Attempt: 1, Epoch: 2,
		Committee: []Seat{{0, [16]byte{1}}, {2, [16]byte{2}}}, Message: [32]byte{3}, Path: [][]byte{{1}, {2}}}
	ids := map[ID]string{base.ID(): "base"}
	for name, change := range map[string]func(*Context){
		"genesis":     func(c *Context) { c.Genesis[31] = 1 },
		"key":         func(c *Context) { c.Key = "kez" },
		"scheme":      func(c *Context) { c.Scheme = "idkg" },
		"kind":        func(c *Context) { c.Kind = Resharing },
		"request":     func(c *Context) { c.Request++ },
		"attempt":     func(c *Context) { c.Attempt++ },
		"epoch":       func(c *Context) { c.Epoch++ },
		"member":      func(c *Context) { c.Committee = []Seat{{0, [16]byte{1}}, {3, [16]byte{2}}} },
		"incarnation": func(c *Context) { c.Committee = []Seat{{0, [16]byte{1}}, {2, [16]byte{3}}} },
		"order":       func(c *Context) { c.Committee = []Seat{{2, [16]byte{2}}, {0, [16]byte{1}}} },
		"message":     func(c *Context) { c.Message[0]++ },
		"path":        func(c *Context) { c.Path = [][]byte{{1, 2}} },
		"path split":  func(c *Context) { c.Path = [][]byte{{1}, {}, {2}} },
	} {
		c := base
		change(&c)
		if other, dup := ids[c.ID()]; dup {
			t.Errorf("changing %s gives the id of %s", name, other)
		}
		ids[c.ID()] = name
	}

	a, b := newWorld(t, 3, 1), newWorld(t, 3, 2)
	b.sessions[1].Start()
	for _, m := range a.sessions[0].Start().Send {
		if m.To == 1 {
			if _, err := b.sessions[1].Deliver(0, m.Data); !errors.Is(err, ErrEnvelope) {
				t.Errorf("a message of another session: %v", err)
			}
			// The same envelope with the session's name exchanged does not verify.
			e, err := decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			e.Session = b.id[:]
			if _, err := b.sessions[1].Deliver(0, codec.Marshal(e)); !errors.Is(err, ErrEnvelope) {
				t.Errorf("a relabelled message: %v", err)
			}
			// Nor may another seat send it on.
			if _, err := a.sessions[1].Deliver(2, m.Data); !errors.Is(err, ErrEnvelope) {
				t.Errorf("a message from the wrong seat: %v", err)
			}
		}
	}
}

// TestEquivocation lets seat 2 say one thing to seat 0 and another to seat 1, from each round on. One of the honest members
// gets proof, both end, and nobody accuses an honest one.
func TestEquivocation(t *testing.T) {
	for round := range 4 {
		for seed := range uint64(5) {
			w := newWorld(t, 3, seed)
			twin, _ := w.member(2, "twin")
			split := false
			w.tamper = func(from, to int, data []byte) [][]byte {
				e, err := decode(data)
				if err != nil {
					t.Fatal(err)
				}
				if from == 2 && to == 1 && e.Kind == kindMessage && int(e.Round) == round {
					split = true
					e.Broadcast = append(bytes.Clone(e.Broadcast), '!')
					if round == 0 {
						e.Broadcast = twin.secret.PublicKey().Bytes()
					}
					d := e.digest()
					e.Signature = ed25519.Sign(w.privates[2], signable(e.Session, e.Kind, e.Round, e.From, d[:]))
					return [][]byte{codec.Marshal(e)}
				}
				return [][]byte{data}
			}
			w.run(3)
			if !split {
				t.Fatalf("round %d: no equivocation happened", round)
			}
			convicted := 0
			for seat := range 2 {
				f := w.faults[seat]
				if f == nil {
					t.Fatalf("round %d: honest seat %d ended with done=%v and no fault", round, seat, w.done[seat])
				}
				if f.Reason == Equivocation {
					convicted++
					if fmt.Sprint(f.Seats) != "[2]" {
						t.Fatalf("round %d: seat %d convicts %v", round, seat, f.Seats)
					}
					if err := VerifyEvidence(f.Evidence, w.id, 2, w.keys[2]); err != nil {
						t.Fatalf("the proof does not verify: %v", err)
					}
					for name, err := range map[string]error{
						"another seat":    VerifyEvidence(f.Evidence, w.id, 1, w.keys[1]),
						"another key":     VerifyEvidence(f.Evidence, w.id, 2, w.keys[1]),
						"another session": VerifyEvidence(f.Evidence, ID{}, 2, w.keys[2]),
						"truncated":       VerifyEvidence(f.Evidence[1:], w.id, 2, w.keys[2]),
					} {
						if err == nil {
							t.Errorf("proof accepted against %s", name)
						}
					}
				} else if f.Reason != Aborted {
					t.Fatalf("round %d: seat %d: %v", round, seat, f)
				}
			}
			if convicted == 0 {
				t.Fatalf("round %d: nobody was convicted", round)
			}
		}
	}
}

func TestLyingEchoConvictsItsSender(t *testing.T) {
	w := newWorld(t, 3, 1)
	w.tamper = func(from, to int, data []byte) [][]byte {
		e, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if from == 2 && to == 1 && e.Kind == kindEcho && e.Round == 1 {
			e.Digests[0] = bytes.Repeat([]byte{9}, 32)
			d := e.digest()
			e.Signature = ed25519.Sign(w.privates[2], signable(e.Session, e.Kind, e.Round, e.From, d[:]))
			data = codec.Marshal(e)
		}
		return [][]byte{data}
	}
	w.run(0)
	w.wantFault(1, Invalid, 2)
}

func TestCloneIsNoticed(t *testing.T) {
	w := newWorld(t, 3, 1)
	clone, _ := w.member(0, "clone")
	fx := clone.Start()
	w.tamper = func(from, to int, data []byte) [][]byte {
		if from == 0 && to == 1 {
			for _, m := range fx.Send {
				if m.To == 1 {
					return [][]byte{m.Data}
				}
			}
		}
		return [][]byte{data}
	}
	w.run(0)
	f := w.faults[0]
	if f == nil || f.Reason != Cloned && f.Reason != Aborted {
		t.Fatalf("seat 0: %v", f)
	}
	if f := w.faults[1]; f == nil || f.Reason != Equivocation && f.Reason != Aborted {
		t.Fatalf("seat 1: %v", f)
	}
}

func TestMisbehaviourIsAttributed(t *testing.T) {
	forge := func(w *world, e *envelope, seat int) [][]byte {
		d := e.digest()
		e.Signature = ed25519.Sign(w.privates[seat], signable(e.Session, e.Kind, e.Round, e.From, d[:]))
		return [][]byte{codec.Marshal(e)}
	}
	for name, change := range map[string]func(e *envelope){
		"oversized broadcast": func(e *envelope) { e.Broadcast = make([]byte, 101) },
		"oversized private":   func(e *envelope) { e.Private = make([]byte, 117); e.Digests[1] = privateHash(e.Private) },
		"garbled private":     func(e *envelope) { e.Private[0] ^= 1; e.Digests[1] = privateHash(e.Private) },
		"no private":          func(e *envelope) { e.Private = nil; e.Digests[1] = privateHash(nil) },
		"no digests":          func(e *envelope) { e.Private, e.Digests = nil, nil },
		"foreign fields":      func(e *envelope) { e.Seats = []uint32{1} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3, 5)
			w.tamper = func(from, to int, data []byte) [][]byte {
				e, err := decode(data)
				if err != nil {
					t.Fatal(err)
				}
				if from == 2 && e.Kind == kindMessage && e.Round == 1 {
					// The same lie to everybody, so that the echoes agree.
					if to != 1 {
						target, err := decode(w.toOne(t, 2))
						if err != nil {
							t.Fatal(err)
						}
						own := e.Private
						change(target)
						e.Broadcast, e.Digests, e.Seats, e.Private = target.Broadcast, target.Digests, target.Seats, own
						if len(target.Digests) == 0 {
							e.Private = nil
						}
						return forge(w, e, 2)
					}
					change(e)
					return forge(w, e, 2)
				}
				return [][]byte{data}
			}
			w.run(0)
			accused := 0
			for seat, f := range w.faults[:2] {
				switch {
				case f == nil:
					t.Errorf("seat %d saw nothing", seat)
				case f.Reason == Aborted:
				case fmt.Sprint(f.Seats) != "[2]": // its own honest echo may convict it as well
					t.Errorf("seat %d: %v", seat, f)
				default:
					accused++
				}
			}
			if accused == 0 {
				t.Error("nobody accuses seat 2")
			}
		})
	}
}

// toOne builds what seat from sends to seat 1 in its current round.
func (w *world) toOne(t *testing.T, from int) []byte {
	for _, m := range w.sessions[from].outbox[1] {
		if m.To == 1 {
			return m.Data
		}
	}
	// Not sent yet: seat 0 comes first in the outbox. Make it as speak does.
	s := w.sessions[from]
	e := &envelope{Kind: kindMessage, Session: s.cfg.ID[:], Round: 1, From: uint32(from), Broadcast: w.toys[from].say(1).Broadcast}
	for seat := range s.n {
		var private []byte
		if seat != from {
			private = s.channel(from, seat).Seal(nil, s.nonce(), w.toys[from].say(1).Private[seat], s.cfg.ID[:])
		}
		if seat == 1 {
			e.Private = private
		}
		e.Digests = append(e.Digests, privateHash(private))
	}
	return w.forged(e, from)
}

func (w *world) forged(e *envelope, seat int) []byte {
	d := e.digest()
	e.Signature = ed25519.Sign(w.privates[seat], signable(e.Session, e.Kind, e.Round, e.From, d[:]))
	return codec.Marshal(e)
}

func TestProtocolFaultEndsForAll(t *testing.T) {
	w := newWorld(t, 4, 3)
	w.toys[1].refuse = 3
	w.run(0)
	w.wantFault(1, Invalid, 3)
	for _, seat := range []int{0, 2, 3} {
		if f := w.wantFault(seat, Aborted); f.By != 1 || !strings.Contains(f.Detail, "refused by the test") {
			t.Errorf("seat %d: %v", seat, f)
		}
	}
}

// TestSilenceIsBlamedOnTheSilent: seat 3 falls silent towards some. Only it is blamed, also by members that wait for an
// honest one which is itself waiting.
func TestSilenceIsBlamedOnTheSilent(t *testing.T) {
	for name, mute := range map[string]func(e *envelope, to int) bool{
		"dead from the start":      func(*envelope, int) bool { return true },
		"dead in round 2":          func(e *envelope, _ int) bool { return e.Round >= 2 },
		"no echo in round 1":       func(e *envelope, _ int) bool { return e.Round >= 1 && e.Kind == kindEcho || e.Round > 1 },
		"no echo towards seat 0":   func(e *envelope, to int) bool { return e.Round == 1 && to == 0 && e.Kind == kindEcho },
		"mute towards seat 0 only": func(e *envelope, to int) bool { return e.Round == 2 && to == 0 && e.Kind == kindMessage },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				w := newWorld(t, 4, seed)
				w.tamper = func(from, to int, data []byte) [][]byte {
					e, err := decode(data)
					if err != nil {
						t.Fatal(err)
					}
					if from == 3 && mute(e, to) {
						return nil
					}
					return [][]byte{data}
				}
				w.run(40)
				blamed := 0
				for seat := range 3 {
					if w.done[seat] || w.faults[seat] != nil {
						t.Fatalf("seat %d ended: %v", seat, w.faults[seat])
					}
					f := w.sessions[seat].Blame()
					for _, accused := range f.Seats {
						if accused != 3 {
							t.Errorf("seat %d blames seat %d", seat, accused)
						}
						blamed++
					}
				}
				if blamed == 0 {
					t.Error("nobody blames the silent one")
				}
			}
		})
	}
}

func TestCloseForgets(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.run(0)
	w.wantDone(0, 1)
	w.sessions[0].Close()
	if !w.toys[0].wiped || w.sessions[0].secret != nil {
		t.Error("secrets remain after Close")
	}
	if fx := w.sessions[0].Tick(); len(fx.Send) > 0 {
		t.Error("a closed session speaks")
	}
}

func seq(n int) []int {
	var s []int
	for i := range n {
		s = append(s, i)
	}
	return s
}

func FuzzDeliver(f *testing.F) {
	t := &testing.T{}
	w := newWorld(t, 3, 1)
	for _, s := range w.sessions {
		for _, m := range s.Start().Send {
			f.Add(s.cfg.Seat, m.Data)
		}
	}
	f.Add(0, codec.Marshal(envelope{Session: make([]byte, 32), Signature: make([]byte, 64)}))
	f.Fuzz(func(t *testing.T, from int, data []byte) {
		w := newWorld(t, 3, 1)
		w.sessions[1].Start()
		_, _ = Peek(data)
		fx, err := w.sessions[1].Deliver(from, data)
		if err != nil && (len(fx.Send) > 0 || fx.Fault != nil) {
			t.Fatal("refused bytes had effects")
		}
	})
}

func FuzzVerifyEvidence(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	f.Add(codec.Marshal(Evidence{Session: make([]byte, 32), Digests: [][]byte{make([]byte, 32), {1}}, Signatures: [][]byte{{}, {}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if VerifyEvidence(b, ID{}, 0, key) == nil {
			t.Fatal("evidence without signatures was accepted")
		}
	})
}

// TestPanicEndsOneSession: a protocol that panics ends its session, names nobody and tells the others.
func TestPanicEndsOneSession(t *testing.T) {
	w := newWorld(t, 3, 1)
	p := &panicking{toy: toy{seat: 0, n: 3, voice: "honest", refuse: -1}}
	s, err := New(Config{ID: w.id, Seat: 0, Keys: w.keys, Protocol: p, Rand: rand.NewChaCha8([32]byte{1}),
		Sign: func(m []byte) []byte { return ed25519.Sign(w.privates[0], m) }})
	if err != nil {
		t.Fatal(err)
	}
	w.sessions[0], w.toys[0] = s, &p.toy
	w.run(0)
	if f := w.wantFault(0, Internal); !strings.Contains(f.Detail, "panicked") {
		t.Errorf("%v", f)
	}
	for _, seat := range []int{1, 2} {
		if f := w.faults[seat]; f == nil || f.Reason != Aborted || f.By != 0 {
			t.Errorf("seat %d: %v", seat, f)
		}
	}
}

type panicking struct{ toy }

func (p *panicking) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	if round == 2 {
		panic("as the test asked")
	}
	return p.toy.Deliver(round, in)
}
