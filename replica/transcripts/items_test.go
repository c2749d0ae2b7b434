package transcripts

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/internal/kv"
)

var testKey = chainkey.KeyID{Algorithm: chainkey.EcdsaSecp256k1, Name: "t"}

// house is the deterministic half with the members that it needs, without drivers.
type house struct {
	m       *Machine
	s       *kv.Mem
	members []idkg.Identity
}

// newHouse registers n members of epoch 0 and begins the generation of a key. It returns the items.
func newHouse(tb testing.TB, n int) (h *house, items [][]byte) {
	tb.Helper()
	h = &house{s: kv.NewMem(), m: NewMachine(Config{Keys: []chainkey.KeyID{testKey}, Depth: 2, Network: [32]byte{1}, Life: [32]byte{1},
		Authentic: func(kv.Reader, uint32, string, any, []byte) error { return nil }, // a fuzzer cannot sign
		Signing:   func(kv.Reader, uint64) (*idkg.Signing, error) { return nil, errors.New("no request") }})}
	var nodes []uint32
	var keys []ed25519.PublicKey
	for i := range n {
		seed := sha256.Sum256([]byte{byte(i)})
		key := ed25519.NewKeyFromSeed(seed[:])
		h.members = append(h.members, idkg.Identity{Seat: i, Node: key, Rand: rand.Reader})
		nodes, keys = append(nodes, uint32(10+i)), append(keys, key.Public().(ed25519.PublicKey))
	}
	h.m.OpenEpoch(h.s, 1, 0, nodes, keys)
	for i := range h.members {
		me := &h.members[i]
		member, own, err := idkg.NewMember([32]byte{1}, 0, me.Node, rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		me.Key = own
		items = append(items, encode(itemReceiver, receiver{Opened: 1, Node: nodes[i], Member: member.Encode()}))
		h.apply(tb, items[i])
	}
	h.m.Generate(h.s, 1, testKey, 0, 0)
	return h, items
}

func (h *house) apply(tb testing.TB, item []byte) {
	tb.Helper()
	if err := h.m.Check(h.s, item); err != nil {
		tb.Fatal(err)
	}
	h.m.Apply(h.s, 2, item)
}

// end makes the item that ends a stage to which nothing of another is needed.
func (h *house) end(tb testing.TB, p place) []byte {
	tb.Helper()
	rd, _ := load[round](h.s, p.record())
	sharings, err := h.m.sharings(h.s, p, &rd, rd.Stage)
	if err != nil {
		tb.Fatal(err)
	}
	v := dealings{Key: p.key, Epoch: p.epoch, Serial: p.serial, Stage: uint8(rd.Stage)}
	var digests [][32]byte
	for _, s := range sharings {
		var list [][]byte
		for _, seat := range slices.Sorted(slices.Values(s.Order()[:s.Needed()])) {
			x, err := s.Deal(h.members[seat], nil, nil)
			if err != nil {
				tb.Fatal(err)
			}
			list, digests = append(list, x.Encode()), append(digests, x.Digest())
		}
		v.Dealings = append(v.Dealings, list)
	}
	for _, me := range h.members {
		sup, err := sharings[0].Receivers.Support(me, digests...)
		if err != nil {
			tb.Fatal(err)
		}
		v.Supports = append(v.Supports, sup.Encode())
	}
	return encode(itemDealings, v)
}

// dump is all that is stored.
func dump(s *kv.Mem) string {
	h := sha256.New()
	s.Scan(nil, nil, func(k, v []byte) bool {
		fmt.Fprintf(h, "%x %x\n", k, v)
		return true
	})
	return string(h.Sum(nil))
}

// FuzzItems: no item of a block makes a replica fall, whoever signed it, and one that is refused changes nothing.
func FuzzItems(f *testing.F) {
	h, items := newHouse(f, 4)
	at := place{testKey.String(), 0, 0}
	item := h.end(f, at)
	for _, body := range append(items, item) {
		f.Add(body)
	}
	for c := charge(0); c < 6; c++ {
		for stage := range uint8(3) {
			f.Add(encode(itemAccusation, accusation{Key: at.key, Stage: stage, Charge: c, Evidence: item[:40]}))
		}
	}
	later := &house{m: h.m, s: h.s.Clone()}
	later.apply(f, item)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, h := range []*house{h, later} {
			s := h.s.Clone()
			if err := h.m.Check(s, body); err != nil {
				if out := h.m.Apply(s, 3, body); out != nil || dump(s) != dump(h.s) {
					t.Fatal("an item that was refused had an effect")
				}
			}
		}
	})
}

// TestStages: an item ends a stage once, nothing less than all of it does, and members register once, each with a key of its own.
func TestStages(t *testing.T) {
	h, items := newHouse(t, 4)
	at := place{testKey.String(), 0, 0}
	for i, item := range items {
		if err := h.m.Check(h.s, item); !errors.Is(err, ErrItem) {
			t.Errorf("member %d registers again: %v", i, err)
		}
	}
	item := h.end(t, at)
	v, err := decodeItem[dealings](item)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*dealings){
		"a dealing less":     func(v *dealings) { v.Dealings[0] = v.Dealings[0][1:] },
		"one dealing twice":  func(v *dealings) { v.Dealings[0] = [][]byte{v.Dealings[0][0], v.Dealings[0][0]} },
		"no sharing":         func(v *dealings) { v.Dealings = nil },
		"two sharings":       func(v *dealings) { v.Dealings = append(v.Dealings, v.Dealings[0]) },
		"supports by f":      func(v *dealings) { v.Supports = v.Supports[:1] },
		"one support thrice": func(v *dealings) { v.Supports = [][]byte{v.Supports[0], v.Supports[0], v.Supports[0]} },
		"too many supports":  func(v *dealings) { v.Supports = append(v.Supports, make([][]byte, 40)...) },
		"the next stage":     func(v *dealings) { v.Stage++ },
		"another round":      func(v *dealings) { v.Serial++ },
		"another key":        func(v *dealings) { v.Key = "x" },
	} {
		c := *v
		c.Dealings = append([][][]byte(nil), v.Dealings...)
		change(&c)
		if err := h.m.Check(h.s, encode(itemDealings, c)); !errors.Is(err, ErrItem) {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.apply(t, item)
	if err := h.m.Check(h.s, item); !errors.Is(err, ErrItem) {
		t.Errorf("the stage ends twice: %v", err)
	}
	twin := &h.members[1]
	h.m.OpenEpoch(h.s, 3, 1, []uint32{10, 11}, []ed25519.PublicKey{h.members[0].Node.Public().(ed25519.PublicKey), twin.Node.Public().(ed25519.PublicKey)})
	own, key, err := idkg.NewMember([32]byte{1}, 1, h.members[0].Node, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.apply(t, encode(itemReceiver, receiver{Epoch: 1, Opened: 3, Node: 10, Member: own.Encode()}))
	same, err := key.Member([32]byte{1}, 1, twin.Node, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.m.Check(h.s, encode(itemReceiver, receiver{Epoch: 1, Opened: 3, Node: 11, Member: same.Encode()})); !errors.Is(err, ErrItem) {
		t.Errorf("two members have one key: %v", err)
	}
}

// TestMemo: what was good is not verified again, and what was not good is.
func TestMemo(t *testing.T) {
	m, times := NewMemo(), 0
	verify := func(err error) func() error {
		return func() error { times++; return err }
	}
	bad := errors.New("bad")
	for i, c := range []struct {
		name  byte
		err   error
		want  error
		times int
	}{{1, bad, bad, 1}, {1, bad, bad, 2}, {1, nil, nil, 3}, {1, bad, nil, 3}, {2, bad, bad, 4}} {
		if err := m.Verified([32]byte{c.name}, verify(c.err)); err != c.want || times != c.times {
			t.Errorf("%d: %v after %d times", i, err, times)
		}
	}
	for i := range maxGood + 10 {
		if err := m.Verified(sha256.Sum256([]byte{byte(i), byte(i >> 8)}), verify(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.good) > maxGood {
		t.Errorf("%d names are remembered", len(m.good))
	}
}

// TestRefill: an idle pool is filled to the top, and one that serves is when half of it is gone.
func TestRefill(t *testing.T) {
	h, _ := newHouse(t, 4)
	h.m.cfg.Depth = 64
	name, serial := testKey.String(), uint64(1)
	stock := func() int {
		ready, making := h.m.Pool(h.s, name, 0)
		return ready + making
	}
	step := func(serving bool, want int) {
		t.Helper()
		if h.m.Advance(h.s, 5, testKey, 0, serving); stock() != want {
			t.Errorf("%d presignatures, want %d", stock(), want)
		}
	}
	lose := func(count int) { // as if a request had each
		for range count / maxBatch {
			drop(h.s, place{name, 0, serial})
			serial += maxBatch
		}
	}
	step(true, 64) // of none, half is gone
	lose(32)
	step(true, 32)
	step(false, 64)
	lose(48)
	step(true, 64)
}
