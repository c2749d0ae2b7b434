package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/cockroachdb/datadriven"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/chainkey/frost"
	"fusion/chainkey/gg18"
	"fusion/chainkey/keystore"
	"fusion/chainkey/session"
	"fusion/internal/codec"
	"fusion/replica/payload"
)

// TestScenarios plays the files in testdata: networks of four nodes, machine, drivers and key stores, that sign by FROST (BIP 340) and make
// blocks. One node, the second of the first committee, does what the scenario says. What comes of it is: the committees in their order
// with what ended each, who stands accused in blocks, and that the signature, which is checked by btcec, came. Honest nodes never accuse
// each other, and nobody joins a session twice: the test fails whatever the file says. Run with -rewrite to write what happens into the files.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				var fault string
				round := 0
				for _, a := range d.CmdArgs {
					switch a.Key {
					case "fault":
						fault = a.Vals[0]
					case "round":
						round, _ = strconv.Atoi(a.Vals[0])
					default:
						d.Fatalf(t, "unknown argument %s", a.Key)
					}
				}
				var out string
				t.Run(strings.NewReplacer(" ", "_", "=", "_").Replace(d.Input+fault+fmt.Sprint(round)), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { out = play(t, fault, round) })
				})
				return out
			})
		})
	}
}

// wire is an envelope as package session encodes it.
type wire struct {
	_         struct{} `cbor:",toarray"`
	Session   []byte
	Kind      uint8 // 1 is a message, 2 an echo
	From      uint32
	Round     uint32
	Broadcast []byte
	Private   []byte
	Digests   [][]byte
	Proofs    [][]byte
	Seats     []uint32
	Reason    string
	Signature []byte
}

// liar is a scheme, but one node says something else to all in one round of signatures.
type liar struct {
	chainkey.Scheme
	node  *atomic.Int32
	round int
	lies  *atomic.Int32 // how many signatures it still lies in; nil is all
}

type liarRun struct {
	chainkey.Signing
	round int
}

func (l liar) Sign(c chainkey.Sign) (chainkey.Signing, error) {
	p, err := l.Scheme.Sign(c)
	if err == nil && c.Committee[c.Seat] == int(l.node.Load()) && (l.lies == nil || l.lies.Add(-1) >= 0) {
		p = &liarRun{p, l.round}
	}
	return p, err
}

func (l *liarRun) say(round int, out chainkey.Output, err error) (chainkey.Output, error) {
	if err == nil && round == l.round && len(out.Broadcast) > 0 {
		out.Broadcast = bytes.Clone(out.Broadcast)
		out.Broadcast[len(out.Broadcast)-1] ^= 1
		if round == 1 {
			out.Broadcast[0] = 0xff // no point
		}
	}
	return out, err
}

func (l *liarRun) Start() (chainkey.Output, error) {
	out, err := l.Signing.Start()
	return l.say(1, out, err)
}

func (l *liarRun) Deliver(round int, in []chainkey.Input) (chainkey.Output, error) {
	out, err := l.Signing.Deliver(round, in)
	return l.say(round+1, out, err)
}

var schnorrKey = chainkey.KeyID{Algorithm: chainkey.Bip340Secp256k1, Name: "scenario"}

var scenarioMessage = sha256.Sum256([]byte("what the scenarios sign"))

func play(t *testing.T, fault string, round int) string {
	var bad atomic.Int32
	bad.Store(-1)
	patience := uint64(200)
	if fault == "loss" {
		patience = 1 << 20
	}
	var scheme chainkey.Scheme
	if fault == "lie" {
		scheme = liar{frost.Scheme{}, &bad, round, nil}
	}
	net := newTestNet(t, 4, scheme, func(c *Config) {
		c.Keys, c.SigningDeadline, c.KeygenDeadline = []chainkey.KeyID{schnorrKey}, patience, 1<<20
	})
	if fault == "gone" || fault == "crash" {
		net.patience = time.Second
	}
	net.startAll()
	net.until("key", net.keysActive)
	ask := func() {
		net.next++
		net.waiting = append(net.waiting, Request{ID: net.next, Key: schnorrKey, Canister: []byte{1}, Path: [][]byte{{byte(net.next)}}, Message: chainkey.Message{Bytes: scenarioMessage[:]}})
	}
	// Committees are known before they are chosen.
	choose := func(id uint64) []int {
		seed := net.beacon(0)
		return chooseCommittee(3, 1, seed[:], id, 0, []int{0, 1, 2, 3}, func(int) uint32 { return 0 }, func(int, int) bool { return false })
	}
	first := choose(1)
	liarNode := first[1]
	honest := slices.DeleteFunc(slices.Clone(first), func(n int) bool { return n == liarNode })

	// What the liar's machine does to its messages; called under net.mu.
	var old [][]byte
	silent, crashed := false, make(chan struct{})
	crash := func() {
		if !silent {
			silent = true
			close(crashed)
		}
	}
	said := func(from int, msg []byte) (wire, bool) {
		var e wire
		ok := from == liarNode && msg[0] == frameSession && codec.Unmarshal(msg[1:], &e) == nil
		return e, ok
	}
	bend := func(from, to int, msg []byte) ([]byte, bool) { return msg, true }
	switch fault {
	case "none", "lie", "false-complaint", "false-complaints", "restart-before", "gone":
	case "silent": // but alive
		bend = func(from, to int, msg []byte) ([]byte, bool) {
			if e, ok := said(from, msg); ok && (silent || e.Kind == 1 && int(e.Round) == round) {
				silent = true
				return nil, false
			}
			return msg, true
		}
	case "garbage":
		bend = func(from, to int, msg []byte) ([]byte, bool) {
			if e, ok := said(from, msg); ok && int(e.Round) >= round {
				return append([]byte{frameSession}, make([]byte, 100)...), true
			}
			return msg, true
		}
	case "replay": // of the first request's session in the second's
		bend = func(from, to int, msg []byte) ([]byte, bool) {
			if _, ok := said(from, msg); !ok {
				return msg, true
			}
			if net.next == 1 {
				old = append(old, msg)
				return msg, true
			}
			if len(old) == 0 {
				return nil, false
			}
			m := old[0]
			old = append(old[1:], m)
			return m, true
		}
	case "relabelled": // the first session's words under the second's name
		bend = func(from, to int, msg []byte) ([]byte, bool) {
			e, ok := said(from, msg)
			if !ok {
				return msg, true
			}
			if net.next == 1 {
				old = append(old, msg)
				return msg, true
			}
			for _, m := range old {
				if o, ok := said(liarNode, m); ok && o.Kind == e.Kind && o.Round == e.Round {
					o.Session = e.Session
					return append([]byte{frameSession}, codec.Marshal(o)...), true
				}
			}
			return nil, false
		}
	case "equivocation": // two session keys for two members
		var twin []byte
		bend = func(from, to int, msg []byte) ([]byte, bool) {
			e, ok := said(from, msg)
			if !ok || e.Kind != 1 || e.Round != 0 || to != honest[0] {
				return msg, true
			}
			if twin == nil {
				var keys []ed25519.PublicKey
				for _, node := range first {
					keys = append(keys, net.m.cfg.Nodes[node])
				}
				s, err := session.New(session.Config{ID: session.ID(e.Session), Seat: int(e.From), Keys: keys, Rand: reader{}, Protocol: mute{},
					Sign: func(m []byte) []byte { return ed25519.Sign(net.keys[liarNode], m) }})
				if err != nil {
					t.Error(err)
				}
				for _, m := range s.Start().Send {
					if first[m.To] == to {
						twin = append([]byte{frameSession}, m.Data...)
					}
				}
			}
			return twin, true
		}
	case "crash", "crash-restart": // in the round, before its first word of it leaves
		bend = func(from, to int, msg []byte) ([]byte, bool) {
			if e, ok := said(from, msg); ok && e.Kind == 1 && int(e.Round) == round {
				crash()
			}
			return msg, !(from == liarNode && silent)
		}
	case "crash-published": // after its signature is made and before anybody hears of it
		bend = func(from, to int, msg []byte) ([]byte, bool) {
			if from == liarNode && msg[0] == frameItem && payload.Kind(msg[1]) == payload.Signature {
				crash()
			}
			return msg, !(from == liarNode && silent)
		}
	case "loss": // a third of what it says
		rng := rand.New(rand.NewPCG(1, 1))
		bend = func(from, to int, msg []byte) ([]byte, bool) {
			_, ok := said(from, msg)
			return msg, !ok || rng.IntN(3) > 0
		}
	case "withheld-result":
	default:
		t.Fatalf("unknown fault %q", fault)
	}
	net.mu.Lock()
	net.bend = bend
	net.mu.Unlock()
	bad.Store(int32(liarNode))
	net.veto = func(it payload.Item) bool {
		switch {
		case it.Kind == payload.Complaint: // what its honest driver says of the others while it waits is left out, so that the outcome is one
			return int(complainer(t, it)) == liarNode && !strings.HasPrefix(fault, "false-complaint")
		case it.Kind == payload.Signature && strings.HasPrefix(fault, "false-complaint"): // the complaint comes first
			q, ok := load[requestRecord](net.s, requestKey(1))
			if fault == "false-complaint" {
				return ok && (q.Current.Number == 0 || len(q.Current.Committee) == 0)
			}
			return ok && (slices.Contains(q.Current.Committee, uint32(liarNode)) || len(q.Current.Committee) == 0)
		case it.Kind == payload.Signature && fault == "lie": // it keeps the signature that it alone has to itself
			q, ok := load[requestRecord](net.s, requestKey(1))
			return ok && q.Next == 1
		case it.Kind == payload.Signature && fault == "crash-published": // what the others have counts although the attempt is over by then
			q, ok := load[requestRecord](net.s, requestKey(1))
			return ok && q.Next < 2
		case it.Kind == payload.Signature && fault == "withheld-result": // all proposers but one leave it out
			return int(net.height)%4 != honest[0]
		}
		return false
	}

	requests := 1
	if fault == "replay" || fault == "relabelled" {
		ask()
		net.block()
		net.until("the first answer", func() bool { return len(net.answers) == 1 })
		net.mu.Lock()
		net.events = nil
		net.mu.Unlock()
		for choose(net.next + 1)[1] != liarNode { // until the liar is in the middle of a committee again
			net.mu.Lock()
			net.bend = nil
			net.mu.Unlock()
			net.next++
			net.answers[net.next] = Response{Signature: make([]byte, 64)}
		}
		net.mu.Lock()
		net.bend = bend
		net.mu.Unlock()
		first = choose(net.next + 1)
		requests = int(net.next) + 1
	}
	switch fault {
	case "gone":
		net.stop(liarNode)
	case "restart-before":
		boots := net.m.node(net.s, liarNode).Number
		net.stop(liarNode)
		net.start(liarNode)
		net.until("new boot", func() bool { return net.m.node(net.s, liarNode).Number > boots })
	}
	ask()
	id := net.next
	attempts := []string{}
	seen := map[string]bool{}
	watch := func() {
		q, ok := load[requestRecord](net.s, requestKey(id))
		for _, a := range []attemptRecord{q.Previous, q.Current} {
			if k := fmt.Sprint(a.Number, a.Committee); ok && len(a.Committee) > 0 && !seen[k] {
				seen[k] = true
				attempts = append(attempts, fmt.Sprintf("attempt %d: nodes %v", a.Number, a.Committee))
			}
		}
	}
	net.block()
	accuse := func() { // somebody, or in each attempt somebody else, of nothing
		q, ok := load[requestRecord](net.s, requestKey(id))
		if !ok || q.Status != RequestActive || !slices.Contains(q.Current.Committee, uint32(liarNode)) || q.Current.Number > 0 && fault == "false-complaint" {
			return
		}
		victim := q.Current.Committee[0]
		if int(victim) == liarNode {
			victim = q.Current.Committee[1]
		}
		v := Complaint{Request: id, Attempt: q.Current.Number, Node: uint32(liarNode), Reason: session.Invalid, Accused: []uint32{victim}}
		v.Signature = net.m.cfg.sign(net.keys[liarNode], "complaint", v)
		for _, d := range net.drivers {
			d.deliverItem(item(payload.Complaint, v))
		}
	}
	restarted := false
	net.until("answer", func() bool {
		watch()
		if strings.HasPrefix(fault, "false-complaint") {
			accuse()
		}
		select {
		case <-crashed:
			if !restarted {
				restarted = true
				net.stop(liarNode)
				if fault != "crash" {
					net.mu.Lock()
					net.bend = nil
					net.mu.Unlock()
					net.start(liarNode)
				}
			}
		default:
		}
		return len(net.answers) == requests
	})

	// The signature.
	k, _ := net.m.key(net.s, schnorrKey)
	child, err := chainkey.Derive(schnorrKey.Algorithm, k.PublicKey, k.ChainCode, derive.Path([]byte{1}, []byte{byte(id)}))
	if err != nil {
		t.Fatal(err)
	}
	verdict := "rejected: " + net.answers[id].RejectMessage
	if sig := net.answers[id].Signature; len(sig) == 64 {
		key, err1 := schnorr.ParsePubKey(child.PublicKey[1:])
		parsed, err2 := schnorr.ParseSignature(sig)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		verdict = fmt.Sprintf("signature verified by btcec: %v", parsed.Verify(scenarioMessage[:], key))
	}
	// Who is accused, and by whom.
	reasons := map[string]bool{}
	for _, c := range net.m.Complaints(net.s) {
		for _, a := range c.Accused {
			if int(c.Node) != liarNode && int(a) != liarNode {
				t.Errorf("an honest node is accused by another: %s", c.Sentence)
			}
			who := "the liar"
			if int(a) != liarNode {
				who = "an honest node, by the liar"
			}
			proof := ""
			if c.Evidence != "" {
				proof = ", with proof"
			}
			reasons[fmt.Sprintf("accused: %s: %s%s\n", who, c.Reason, proof)] = true
		}
		if len(c.Accused) == 0 {
			reasons[fmt.Sprintf("complaint about nobody: %s\n", c.Reason)] = true
		}
	}
	for _, n := range net.m.Standing(net.m.Snapshot(net.s, net.height)) {
		if n.Node != liarNode && n.Excluded {
			t.Errorf("an honest node is excluded: %+v", n)
		}
	}
	// No session was joined twice, and none of the liar's boots is in a session of another.
	joined := map[string]int{}
	net.mu.Lock()
	for _, b := range net.begun {
		joined[b]++
	}
	net.mu.Unlock()
	for k, n := range joined {
		if n > 1 {
			t.Errorf("joined %d times: %s", n, k)
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "the liar is node %d\n%s\n", liarNode, strings.Join(attempts, "\n"))
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		out.WriteString(r)
	}
	out.WriteString(verdict + "\n")
	return out.String()
}

// reader is a source of bytes that need not be random.
type reader struct{}

func (reader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i) | 1
	}
	return len(b), nil
}

var _ io.Reader = reader{}

// TestJoinedSessionIsNotJoinedAgain: the marker outlives the process, so a driver that is made to begin the same session again does not.
func TestJoinedSessionIsNotJoinedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, quick{}, func(c *Config) { c.SigningDeadline = 1 << 20 })
		net.startAll()
		net.until("key", net.keysActive)
		net.ask(1)
		net.answered()
		net.mu.Lock()
		var id session.ID
		node := -1
		for n, s := range net.sessions {
			id, node = s, n
		}
		net.mu.Unlock()
		net.stop(node)
		store, err := keystore.Open(keystore.Options{Dir: net.dirs[node], AllowPlain: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Join(id); !errors.Is(err, keystore.ErrJoined) {
			t.Errorf("joining again after a restart: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFailedLastRoundIsRetried: in the last round of gg18 one member says a wrong share of the signature. The others fail and cannot name it;
// it alone holds a valid signature, which it keeps. The next attempt is another session with other nonces: its signature has another r.
func TestFailedLastRoundIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var node, lies atomic.Int32
		lies.Store(1)
		net := golden(t, func(c *Config) { c.SigningDeadline = 1 << 20 })
		net.m.cfg.substitute = liar{gg18.Scheme{}, &node, 9, &lies}
		seed := net.beacon(0)
		committee := chooseCommittee(3, 1, seed[:], 1, 0, []int{0, 1, 2, 3}, func(int) uint32 { return 0 }, func(int, int) bool { return false })
		bad := committee[1]
		node.Store(int32(bad))
		kept := map[[64]byte]bool{} // under net.mu
		net.mu.Lock()
		net.begun = nil
		net.bend = func(from, _ int, msg []byte) ([]byte, bool) {
			if msg[0] == frameItem && payload.Kind(msg[1]) == payload.Signature && from == bad {
				if r, err := decodeItem[Result](msg[2:]); err == nil {
					if len(kept) == 0 {
						kept[[64]byte(r.Signature)] = true
					}
					return msg, !kept[[64]byte(r.Signature)]
				}
			}
			return msg, true
		}
		net.mu.Unlock()
		var firstAttempt bool
		net.veto = func(it payload.Item) bool { // neither does it propose what it keeps
			net.mu.Lock()
			defer net.mu.Unlock()
			if it.Kind == payload.Complaint { // the attempt does not end before it has something to keep
				return len(kept) == 0
			}
			if it.Kind != payload.Signature {
				return false
			}
			r, err := decodeItem[Result](it.Body)
			return err == nil && kept[[64]byte(r.Signature)]
		}
		net.ask(1)
		net.until("answer", func() bool {
			q, ok := load[requestRecord](net.s, requestKey(1))
			if ok && q.Next == 1 {
				firstAttempt = slices.Equal(q.Current.Committee, []uint32{uint32(committee[0]), uint32(committee[1]), uint32(committee[2])})
			}
			return len(net.answers) == 1
		})
		if !firstAttempt {
			t.Fatal("the liar was not in the first committee")
		}
		answer := net.answers[1]
		if len(answer.Signature) != 64 { // the machine has verified it
			t.Fatalf("%+v", answer)
		}
		sessions := map[string]bool{}
		net.mu.Lock()
		defer net.mu.Unlock()
		if len(kept) == 0 {
			t.Error("the liar did not hold a signature: the test does not test what it says")
		}
		for old := range kept {
			if bytes.Equal(old[:32], answer.Signature[:32]) {
				t.Error("an attempt used the nonce of another")
			}
		}
		for _, b := range net.begun {
			_, id, _ := strings.Cut(b, ", ")
			sessions[id] = true
		}
		if len(sessions) < 2 {
			t.Errorf("sessions %v", sessions)
		}
		for _, c := range net.m.Complaints(net.s) {
			if c.Reason != session.Internal.String() || len(c.Accused) != 0 {
				t.Errorf("%s", c.Sentence)
			}
		}
	})
}
