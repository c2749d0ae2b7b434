package session

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	btcecdsa "github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/cockroachdb/datadriven"

	"fusion/chainkey"
	"fusion/chainkey/frost"
	"fusion/chainkey/gg18"
	"fusion/internal/codec"
)

// TestScenarios plays the files in testdata: real ceremonies of four nodes, one of which does what a scenario says. A scenario is a line
//
//	sign | generate  scheme=gg18|bip340|ed25519  [committee=(0,1,3)]  [liar=1]  fault=…  [round=R]
//
// and what comes of it: how each honest member sees the end, who is left out after that, and which members, without those, sign. Their
// signature is verified by a library that has no part in making it (btcec for ECDSA and BIP 340, crypto/ed25519). The faults are the
// methods of type liar. Run with -rewrite to write what happens into the files.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			if strings.HasPrefix(filepath.Base(file), "e2e-") && os.Getenv("FUSION_E2E") == "" {
				t.Skip("a minute of CPU time; part of make e2e")
			}
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				st := &stage{t: t, scheme: "bip340", committee: []int{0, 1, 3}, liar: 1, fault: "none"}
				var committee []string
				for _, a := range d.CmdArgs {
					v := ""
					if len(a.Vals) > 0 {
						v = a.Vals[0]
					}
					switch a.Key {
					case "scheme":
						st.scheme = v
					case "fault":
						st.fault = v
					case "committee":
						committee = a.Vals
					case "liar":
						d.ScanArgs(t, "liar", &st.liar)
					case "round":
						d.ScanArgs(t, "round", &st.round)
					default:
						d.Fatalf(t, "unknown argument %s", a.Key)
					}
				}
				if committee != nil {
					st.committee = nil
					for _, c := range committee {
						st.committee = append(st.committee, int(c[0]-'0'))
					}
				}
				switch d.Cmd {
				case "sign":
					return st.sign()
				case "generate":
					return st.generate()
				}
				d.Fatalf(t, "unknown command %s", d.Cmd)
				return ""
			})
		})
	}
}

// stage is one scenario.
type stage struct {
	t         *testing.T
	scheme    string
	committee []int // nodes
	liar      int   // node
	fault     string
	round     int
	sessions  byte
}

func (st *stage) maker() (chainkey.Scheme, chainkey.Algorithm) {
	switch st.scheme {
	case "gg18":
		return gg18.Scheme{}, chainkey.EcdsaSecp256k1
	case "ed25519":
		return frost.Scheme{}, chainkey.Ed25519
	}
	return frost.Scheme{}, chainkey.Bip340Secp256k1
}

// retried is how the next committees fared, by scheme and nodes.
var retried = map[string]string{}

// generated are the shares of one key for each scheme.
var generated = map[string][]chainkey.Share{}

func (st *stage) shares() []chainkey.Share {
	if s := generated[st.scheme]; s != nil {
		return s
	}
	scheme, _ := st.maker()
	var all []chainkey.Share
	if st.scheme == "gg18" {
		for node := range 4 {
			b, err := os.ReadFile(fmt.Sprintf("../gg18/testdata/share-%d.bin", node))
			if err != nil {
				st.t.Fatal(err)
			}
			s, err := scheme.DecodeShare(b)
			if err != nil {
				st.t.Fatal(err)
			}
			all = append(all, s)
		}
	} else {
		honest := *st
		honest.fault = "none"
		c := honest.cast([]int{0, 1, 2, 3}, nil)
		c.play()
		for _, p := range c.protocols {
			s, err := p.(chainkey.Generation).Share()
			if err != nil {
				st.t.Fatal(err)
			}
			all = append(all, s)
		}
	}
	generated[st.scheme] = all
	return all
}

var scenarioMessage = sha256.Sum256([]byte("what the scenarios sign"))

// cast is the members of one session, the liar among them.
type cast struct {
	st        *stage
	nodes     []int
	id        ID
	keys      []ed25519.PublicKey
	privates  []ed25519.PrivateKey
	sessions  []*Session
	protocols []chainkey.Protocol
	faults    []*Fault
	done      []bool
	queue     []packet
	sent      []packet // everything the liar's seat was to send, before the fault changed it
	silent    bool     // the liar is
	rng       *rand.Rand
	talk      func(p packet) []packet // what becomes of a packet
	lie       func(round int, out *chainkey.Output)
	outs      map[int]chainkey.Output // of the liar, by round
	blames    []string                // of a scenario for all rounds
}

// cast makes the members' sessions: for a key generation when shares is nil, else for a signature.
func (st *stage) cast(nodes []int, shares []chainkey.Share) *cast {
	st.t.Helper()
	st.sessions++
	c := &cast{st: st, nodes: nodes, id: Context{Key: st.scheme, Request: uint64(st.sessions)}.ID(), rng: rand.New(rand.NewPCG(uint64(st.sessions), 7)),
		faults: make([]*Fault, len(nodes)), done: make([]bool, len(nodes)), outs: map[int]chainkey.Output{}}
	for _, node := range nodes {
		seed := sha256.Sum256([]byte{byte(node)})
		key := ed25519.NewKeyFromSeed(seed[:])
		c.privates, c.keys = append(c.privates, key), append(c.keys, key.Public().(ed25519.PublicKey))
	}
	for seat := range nodes {
		s, p := c.member(seat, shares)
		c.sessions, c.protocols = append(c.sessions, s), append(c.protocols, p)
	}
	return c
}

func (c *cast) member(seat int, shares []chainkey.Share) (*Session, chainkey.Protocol) {
	c.st.t.Helper()
	scheme, algorithm := c.st.maker()
	random := rand.NewChaCha8(sha256.Sum256(append(c.id[:], byte(seat)))) // so that each run is the same
	var p chainkey.Protocol
	var err error
	if shares == nil {
		p, err = scheme.Generate(chainkey.Generate{Algorithm: algorithm, Session: c.id, Seat: seat, Seats: len(c.nodes), Threshold: 2, Rand: random})
	} else {
		p, err = scheme.Sign(chainkey.Sign{Session: c.id, Share: shares[c.nodes[seat]], Committee: c.nodes, Seat: seat, Path: [][]byte{{1}, []byte("path")},
			Message: chainkey.HashMessage(scenarioMessage), Rand: random})
	}
	if err != nil {
		c.st.t.Fatal(err)
	}
	wrapped := p
	if c.nodes[seat] == c.st.liar {
		wrapped = &mouth{p, c}
	}
	s, err := New(Config{ID: c.id, Seat: seat, Keys: c.keys, Protocol: wrapped, Rand: random,
		Sign: func(m []byte) []byte { return ed25519.Sign(c.privates[seat], m) }})
	if err != nil {
		c.st.t.Fatal(err)
	}
	return s, p
}

// mouth is the liar's protocol: what it computes is right, what it says is what the fault makes of it.
type mouth struct {
	chainkey.Protocol
	c *cast
}

func (m *mouth) say(round int, out chainkey.Output, err error) (chainkey.Output, error) {
	if err == nil && !out.Done {
		kept := chainkey.Output{Broadcast: bytes.Clone(out.Broadcast)}
		for _, p := range out.Private {
			kept.Private = append(kept.Private, bytes.Clone(p))
		}
		m.c.outs[round] = kept
		if m.c.lie != nil {
			m.c.lie(round, &out)
		}
	}
	return out, err
}

func (m *mouth) Start() (chainkey.Output, error) {
	out, err := m.Protocol.Start()
	return m.say(1, out, err)
}

func (m *mouth) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	out, err := m.Protocol.Deliver(round, in)
	return m.say(round+1, out, err)
}

func (c *cast) apply(seat int, fx Effects) {
	for _, m := range fx.Send {
		c.post(packet{seat, m.To, m.Data})
	}
	if fx.Done {
		c.done[seat] = true
	}
	if fx.Fault != nil {
		c.faults[seat] = fx.Fault
	}
}

func (c *cast) post(p packet) {
	if c.nodes[p.from] == c.st.liar {
		c.sent = append(c.sent, p)
	}
	if c.talk == nil {
		c.queue = append(c.queue, p)
		return
	}
	c.queue = append(c.queue, c.talk(p)...)
}

// drain delivers what is under way, in random order.
func (c *cast) drain() {
	for len(c.queue) > 0 {
		i := c.rng.IntN(len(c.queue))
		p := c.queue[i]
		c.queue = slices.Delete(c.queue, i, i+1)
		fx, _ := c.sessions[p.to].Deliver(p.from, p.data) // what is refused is ignored
		c.apply(p.to, fx)
	}
}

// play runs the session until nothing moves any more.
func (c *cast) play() {
	for seat, s := range c.sessions {
		c.apply(seat, s.Start())
	}
	c.drain()
	for range map[bool]int{false: stale + 10, true: 1000}[c.st.fault == "loss"] {
		if slices.Contains(c.done, false) {
			c.tick()
		}
	}
}

func (c *cast) tick() {
	for seat, s := range c.sessions {
		c.apply(seat, s.Tick())
	}
	c.drain()
}

func (c *cast) forge(seat int, e *envelope) []byte {
	d := e.digest()
	e.Signature = ed25519.Sign(c.privates[seat], signable(e.Session, e.Kind, e.Round, e.From, d[:]))
	return codec.Marshal(e)
}

func open(t *testing.T, p packet) *envelope {
	t.Helper()
	e, err := decode(p.data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// nodesOf names seats.
func (c *cast) nodesOf(seats []int) string {
	var out []string
	for _, s := range seats {
		out = append(out, fmt.Sprint("node ", c.nodes[s]))
	}
	if len(out) == 0 {
		return "nobody"
	}
	return strings.Join(out, ", ")
}

// verdict is how the honest members see the end, and whom replicated state would leave out after their complaints.
func (c *cast) verdict() (text string, out []int) {
	var b strings.Builder
	for seat, node := range c.nodes {
		if node == c.st.liar && c.st.fault != "none" && !slices.Contains(harmless, c.st.fault) {
			continue
		}
		f := c.faults[seat]
		switch {
		case c.done[seat]:
			fmt.Fprintf(&b, "node %d: done\n", node)
			continue
		case f == nil: // the caller gives up at the deadline
			f = c.sessions[seat].Blame()
		}
		switch f.Reason {
		case Aborted:
			if c.nodes[f.By] == c.st.liar { // who gives up and does not say why in a block is blamed at the deadline
				fmt.Fprintf(&b, "node %d: round %d, stopped by node %d, which is blamed unless it complains\n", node, f.Round, c.nodes[f.By])
				f.Seats = []int{f.By}
				break
			}
			fmt.Fprintf(&b, "node %d: stopped by another member\n", node)
			continue
		case Equivocation:
			if err := VerifyEvidence(f.Evidence, c.id, f.Seats[0], c.keys[f.Seats[0]]); err != nil {
				c.st.t.Errorf("evidence: %v", err)
			}
			fmt.Fprintf(&b, "node %d: round %d, proves equivocation of %s\n", node, f.Round, c.nodesOf(f.Seats))
		default:
			fmt.Fprintf(&b, "node %d: round %d, blames %s: %v\n", node, f.Round, c.nodesOf(f.Seats), f.Reason)
		}
		for _, s := range f.Seats {
			if n := c.nodes[s]; !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return b.String(), out
}

// tally is verdict without what depends on the order in which messages arrive: who noticed first and who was told.
func (c *cast) tally() (text string, out []int) {
	full, out := c.verdict()
	accused := map[string]bool{}
	finished := 0
	for line := range strings.Lines(full) {
		line = strings.TrimSpace(line)
		switch _, rest, _ := strings.Cut(line, ": "); {
		case rest == "done":
			finished++
		case strings.HasPrefix(rest, "stopped"):
		default:
			accused[rest] = true
		}
	}
	var lines []string
	for a := range accused {
		lines = append(lines, a)
	}
	slices.Sort(lines)
	if finished > 0 {
		lines = append(lines, fmt.Sprintf("%d of %d members are done", finished, len(c.nodes)))
	}
	return strings.Join(lines, "\n") + "\n", out
}

// finished reports whether an honest member has the result.
func (c *cast) finished() bool {
	for seat, done := range c.done {
		if done && c.nodes[seat] != c.st.liar || done && slices.Contains(harmless, c.st.fault) {
			return true
		}
	}
	return false
}

// harmless faults leave every member honest.
var harmless = []string{"duplicates", "reordering", "loss", "none"}

func (st *stage) sign() string {
	shares := st.shares()
	c := st.cast(st.committee, shares)
	st.corrupt(c, shares)
	c.play()
	if len(c.blames) > 0 {
		return strings.Join(c.blames, "") + st.outcome(c, nil)
	}
	text, out := c.tally()
	if c.finished() {
		return text + st.outcome(c, nil)
	}
	for _, n := range out {
		if n != st.liar && !slices.Contains(harmless, st.fault) {
			st.t.Errorf("%s in round %d: an honest node is blamed: %s", st.fault, st.round, text)
		}
	}
	// The next committee has none of those that were named, under a session id of its own.
	var next []int
	for _, n := range []int{0, 1, 2, 3} {
		if !slices.Contains(out, n) {
			next = append(next, n)
		}
	}
	if len(next) < 3 {
		return text + fmt.Sprintf("left out: nodes %v\n", out)
	}
	if len(next) > 3 { // nobody was named: all were suspected, the one who was not in goes first
		i := slices.IndexFunc(next, func(n int) bool { return n == st.liar })
		next = slices.Delete(next, i, i+1)
		text += "nobody is named; all of the committee are suspects, and another committee tries\n"
	} else {
		text += fmt.Sprintf("left out: nodes %v\n", out)
	}
	key := fmt.Sprint(st.scheme, next)
	if retried[key] == "" { // a committee of honest nodes signs once for all scenarios that end in it
		honest := *st
		honest.fault, honest.liar, honest.sessions = "none", -1, st.sessions
		d := honest.cast(next, shares)
		d.play()
		retried[key] = honest.outcome(d, next)
	}
	return text + retried[key]
}

// outcome verifies the signature of a session that is done.
func (st *stage) outcome(c *cast, next []int) string {
	who := ""
	if next != nil {
		who = fmt.Sprintf("nodes %v sign; ", next)
	}
	var first [64]byte
	for seat, ok := range c.done {
		if !ok {
			continue
		}
		sig, err := c.protocols[seat].(chainkey.Signing).Signature()
		if err != nil {
			st.t.Fatal(err)
		}
		if first != [64]byte{} && sig != first {
			st.t.Errorf("two signatures")
		}
		first = sig
	}
	if first == [64]byte{} {
		return who + "no signature\n"
	}
	_, algorithm := st.maker()
	child, err := chainkey.Derive(algorithm, st.shares()[0].PublicKey(), [32]byte{}, [][]byte{{1}, []byte("path")})
	if err != nil {
		st.t.Fatal(err)
	}
	ok, by := false, ""
	switch algorithm {
	case chainkey.EcdsaSecp256k1:
		key, err := btcec.ParsePubKey(child.PublicKey)
		if err != nil {
			st.t.Fatal(err)
		}
		var r, s btcec.ModNScalar
		r.SetByteSlice(first[:32])
		s.SetByteSlice(first[32:])
		ok, by = btcecdsa.NewSignature(&r, &s).Verify(scenarioMessage[:], key), "btcec"
	case chainkey.Bip340Secp256k1:
		key, err := schnorr.ParsePubKey(child.PublicKey[1:])
		if err != nil {
			st.t.Fatal(err)
		}
		sig, err := schnorr.ParseSignature(first[:])
		if err != nil {
			st.t.Fatal(err)
		}
		ok, by = sig.Verify(scenarioMessage[:], key), "btcec's schnorr"
	default:
		ok, by = ed25519.Verify(child.PublicKey, scenarioMessage[:], first[:]), "crypto/ed25519"
	}
	return fmt.Sprintf("%ssignature verified by %s: %v\n", who, by, ok)
}

func (st *stage) generate() string {
	c := st.cast([]int{0, 1, 2, 3}, nil)
	st.corrupt(c, nil)
	c.play()
	text, out := c.tally()
	if c.finished() {
		return text
	}
	return text + fmt.Sprintf("accused: nodes %v; no key\n", out)
}

// corrupt makes the liar of a cast commit the scenario's fault.
func (st *stage) corrupt(c *cast, shares []chainkey.Share) {
	seat := slices.Index(c.nodes, st.liar)
	isLiar := func(p packet) bool { return p.from == seat }
	at := func(p packet, kind uint8) bool {
		e := open(st.t, p)
		return isLiar(p) && e.Kind == kind && int(e.Round) == st.round
	}
	// other is a session of the same members about the same message, run before.
	other := func() *cast {
		honest := *st
		honest.fault = "none"
		o := honest.cast(c.nodes, shares)
		st.sessions = honest.sessions
		o.play()
		return o
	}
	rubbish := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, st.scheme, st.fault, st.round)))
	noise := func(n int) []byte {
		b := make([]byte, n)
		_, _ = rubbish.Read(b) // never fails
		return b
	}
	said := func(change func(out *chainkey.Output)) {
		c.lie = func(round int, out *chainkey.Output) {
			if round == st.round {
				change(out)
			}
		}
	}
	switch st.fault {
	case "none":
	case "silent": // from its word of the round on
		c.talk = func(p packet) []packet {
			if isLiar(p) && (c.silent || at(p, kindMessage)) {
				c.silent = true
				return nil
			}
			return []packet{p}
		}
	case "silent-echo": // says its word, but does not confirm what it heard, and nothing from then on
		c.talk = func(p packet) []packet {
			if isLiar(p) && (c.silent || at(p, kindEcho)) {
				c.silent = true
				return nil
			}
			return []packet{p}
		}
	case "silent-each": // in one run: held back in each round until the others would give up, then released
		held := []packet(nil)
		c.talk = func(p packet) []packet {
			if e := open(st.t, p); isLiar(p) && (e.Kind == kindMessage || e.Kind == kindEcho) {
				held = append(held, p)
				return nil
			}
			return []packet{p}
		}
		c.blames = append(c.blames, "")
		st.holdEach(c, seat, &held)
	case "silent-to-one": // an honest member behind the silence is not to be blamed
		victim := len(c.nodes) - 1
		c.talk = func(p packet) []packet {
			if isLiar(p) && p.to == victim && int(open(st.t, p).Round) >= st.round {
				return nil
			}
			return []packet{p}
		}
	case "garbage": // signed as it should be
		said(func(out *chainkey.Output) {
			if len(out.Broadcast) > 0 {
				out.Broadcast = noise(len(out.Broadcast))
			} else {
				st.eachPrivate(out, func(b []byte) []byte { return noise(len(b)) })
			}
		})
	case "garbage-private":
		said(func(out *chainkey.Output) { st.eachPrivate(out, func(b []byte) []byte { return noise(len(b)) }) })
	case "empty":
		said(func(out *chainkey.Output) {
			out.Broadcast = nil
			st.eachPrivate(out, func([]byte) []byte { return nil })
		})
	case "oversized":
		said(func(out *chainkey.Output) {
			out.Broadcast = append(out.Broadcast, noise(c.protocols[seat].Limits(st.round).Broadcast+1)...)
		})
	case "bad-proof": // the last number of each message is another one
		said(func(out *chainkey.Output) {
			flip := func(b []byte) []byte {
				if len(b) > 0 {
					b[len(b)-1] ^= 1
				}
				return b
			}
			out.Broadcast = flip(out.Broadcast)
			st.eachPrivate(out, flip)
		})
	case "noise-envelope": // bytes that are no envelope, then nothing
		c.talk = func(p packet) []packet {
			if isLiar(p) && (c.silent || at(p, kindMessage)) {
				c.silent = true
				p.data = noise(300)
			}
			return []packet{p}
		}
	case "unsigned": // an envelope with a byte changed on the way
		c.talk = func(p packet) []packet {
			if isLiar(p) && at(p, kindMessage) {
				p.data = bytes.Clone(p.data)
				p.data[len(p.data)/2] ^= 1
			}
			return []packet{p}
		}
	case "equivocation": // one word to the first member, another to the rest
		twin, _ := c.member(seat, shares)
		c.talk = func(p packet) []packet {
			if !at(p, kindMessage) || p.to != (seat+1)%len(c.nodes) {
				return []packet{p}
			}
			e := open(st.t, p)
			if st.round == 0 {
				e.Broadcast = twin.secret.PublicKey().Bytes()
			} else if len(e.Broadcast) > 0 {
				e.Broadcast = noise(len(e.Broadcast))
			} else {
				e.Digests[seat] = noise(32)
			}
			return []packet{{p.from, p.to, c.forge(seat, e)}}
		}
	case "false-echo": // says that somebody else said something else
		c.talk = func(p packet) []packet {
			if !at(p, kindEcho) {
				return []packet{p}
			}
			e := open(st.t, p)
			e.Digests[(seat+1)%len(c.nodes)] = noise(32)
			return []packet{{p.from, p.to, c.forge(seat, e)}}
		}
	case "misdirected": // sends one member the ciphertext of another
		c.talk = func(p packet) []packet {
			if !at(p, kindMessage) || len(open(st.t, p).Private) == 0 {
				return []packet{p}
			}
			e := open(st.t, p)
			e.Private = append(e.Private[1:], e.Private[0])
			return []packet{{p.from, p.to, codec.Marshal(e)}}
		}
	case "replay", "relabelled": // what it said in another session in place of what it should say, as it was or under this session's name
		old := append([]packet(nil), other().sent...)
		c.talk = func(p packet) []packet {
			if !isLiar(p) || int(open(st.t, p).Round) < st.round {
				return []packet{p}
			}
			e := open(st.t, p)
			for _, q := range old {
				o := open(st.t, q)
				if o.Kind == e.Kind && o.Round == e.Round && q.to == p.to {
					if st.fault == "relabelled" {
						o.Session = c.id[:]
						return []packet{{p.from, p.to, codec.Marshal(o)}}
					}
					return []packet{q}
				}
			}
			return nil
		}
	case "mix": // what it computed in another session, signed and sealed for this one
		o := other()
		said(func(out *chainkey.Output) { *out = o.outs[st.round] })
	case "restart": // crashes in the round and joins the session again, against the rule of the join marker
		rejoined := false
		c.talk = func(p packet) []packet {
			if isLiar(p) && !rejoined && at(p, kindMessage) {
				rejoined, c.silent = true, true
				c.sessions[seat], _ = c.member(seat, shares)
				fx := c.sessions[seat].Start()
				var out []packet
				for _, m := range fx.Send {
					out = append(out, packet{seat, m.To, m.Data})
				}
				return out
			}
			return []packet{p}
		}
	case "duplicates":
		c.talk = func(p packet) []packet { return []packet{p, p, p} }
	case "reordering": // delivery is in random order in all scenarios; here every message also comes again much later
		var late []packet
		c.talk = func(p packet) []packet {
			late = append(late, p)
			if len(late)%7 == 0 {
				again := late
				late = nil
				return append(again, p)
			}
			return []packet{p}
		}
	case "loss": // a third of all messages
		c.talk = func(p packet) []packet {
			if c.rng.IntN(3) == 0 {
				return nil
			}
			return []packet{p}
		}
	case "vss-short", "vss-long": // FROST's key generation: a polynomial of another degree than agreed
		size := map[string]int{"bip340": 33, "ed25519": 32}[st.scheme]
		c.lie = func(round int, out *chainkey.Output) {
			if round == 2 {
				points := out.Broadcast[:3*size]
				if st.fault == "vss-short" {
					out.Broadcast = slices.Concat(points[:2*size], out.Broadcast[3*size:])
				} else {
					out.Broadcast = slices.Concat(points, points[:size], out.Broadcast[3*size:])
				}
			}
		}
	default:
		st.t.Fatalf("unknown fault %q", st.fault)
	}
}

func (st *stage) eachPrivate(out *chainkey.Output, change func([]byte) []byte) {
	for to := range out.Private {
		if len(out.Private[to]) > 0 {
			out.Private[to] = change(out.Private[to])
		}
	}
}

// holdEach plays a session in which the liar's messages are held until nothing moves, in each round twice: its word and its echo.
func (st *stage) holdEach(c *cast, seat int, held *[]packet) {
	for s, session := range c.sessions {
		c.apply(s, session.Start())
	}
	c.drain()
	for len(*held) > 0 {
		e := open(st.t, (*held)[0])
		kind := map[uint8]string{kindMessage: "word", kindEcho: "echo"}[e.Kind]
		for range stale + 10 {
			c.tick() // those who wait say so, and old excuses expire
		}
		by := map[string][]int{}
		for s, node := range c.nodes {
			if s != seat && !c.done[s] {
				f := c.sessions[s].Blame()
				whom := c.nodesOf(f.Seats) + ": " + f.Reason.String()
				by[whom] = append(by[whom], node)
			}
		}
		for _, whom := range slices.Sorted(maps.Keys(by)) {
			c.blames = append(c.blames, fmt.Sprintf("round %d, %s held back: nodes %v blame %s\n", e.Round, kind, by[whom], whom))
		}
		var later []packet
		for _, p := range *held {
			if open(st.t, p).Kind == e.Kind {
				c.queue = append(c.queue, p)
			} else {
				later = append(later, p) // its echo was ready before anybody had its word
			}
		}
		*held = later
		c.drain()
	}
}
