package bls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	gnark "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/drand/kyber"
	kyberbls "github.com/drand/kyber/sign/bls"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// network is a board with all its members in one process.
type network struct {
	t       testing.TB
	store   *kv.Mem
	board   *Board
	members []*Member
	keys    []ed25519.PrivateKey
	height  uint64
	mutate  func(node int, it *item) bool // changes or (false) withholds an item
}

func newNetwork(t testing.TB, n int, blocks uint64) *network {
	net := &network{t: t, store: kv.NewMem(), height: 10}
	p := Params{Domain: []byte("test"), Epoch: 1, PhaseBlocks: blocks}
	for i := range n {
		seed := sha256.Sum256(fmt.Appendf(nil, "node %d", i))
		key := ed25519.NewKeyFromSeed(seed[:])
		net.keys = append(net.keys, key)
		p.Nodes = append(p.Nodes, key.Public().(ed25519.PublicKey))
		net.members = append(net.members, NewMember(seed, i, key))
	}
	b, err := Start(net.store, net.height, p)
	if err != nil {
		t.Fatal(err)
	}
	net.board = b
	return net
}

func (net *network) items() [][]byte {
	var items [][]byte
	for i, m := range net.members {
		raw := m.Pending(net.board)
		if raw == nil {
			continue
		}
		if net.mutate != nil {
			var it item
			if err := codec.Unmarshal(raw, &it); err != nil {
				net.t.Fatal(err)
			}
			if !net.mutate(i, &it) {
				continue
			}
			it.Sig = ed25519.Sign(net.keys[i], it.digest())
			raw = codec.Marshal(it)
		}
		items = append(items, raw)
	}
	return items
}

func (net *network) step() {
	net.height++
	net.board.Step(net.store, net.height, net.items())
}

func (net *network) run() *Result {
	net.t.Helper()
	for range 500 {
		if r, ok := net.board.Result(); ok {
			return r
		}
		net.step()
	}
	net.t.Fatalf("no key after 500 blocks: %+v", net.board.Status())
	return nil
}

func (net *network) shares(except ...int) []*SecretShare {
	net.t.Helper()
	var out []*SecretShare
	for i, m := range net.members {
		s, err := m.Share(net.board)
		if slices.Contains(except, i) {
			if err == nil {
				net.t.Fatalf("node %d has a share", i)
			}
			continue
		}
		if err != nil {
			net.t.Fatalf("node %d: %v", i, err)
		}
		out = append(out, s)
	}
	return out
}

// signable checks that the shares of these holders make one unique signature.
func (net *network) signable(r *Result, shares []*SecretShare) []byte {
	net.t.Helper()
	g, err := r.Group()
	if err != nil {
		net.t.Fatal(err)
	}
	msg := Message(DomainStateRoot, bytes.Repeat([]byte{7}, 32))
	var sigs []Share
	for _, s := range shares {
		sig, err := s.Sign(msg)
		if err != nil {
			net.t.Fatal(err)
		}
		if err := g.VerifyShare(msg, sig); err != nil {
			net.t.Fatal(err)
		}
		sigs = append(sigs, sig)
	}
	sig, err := g.Combine(msg, sigs)
	if err != nil {
		net.t.Fatal(err)
	}
	for range 5 {
		rand.Shuffle(len(sigs), func(i, j int) { sigs[i], sigs[j] = sigs[j], sigs[i] })
		again, err := g.Combine(msg, sigs[:g.Threshold()])
		if err != nil || !bytes.Equal(sig, again) {
			net.t.Fatalf("another set of shares gives %x (%v), not %x", again, err, sig)
		}
	}
	return sig
}

func TestKeyGeneration(t *testing.T) {
	for _, n := range []int{1, 4, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			net := newNetwork(t, n, 100)
			r := net.run()
			if net.height != 13 {
				t.Errorf("three phases with all items took %d blocks", net.height-10)
			}
			if len(r.Qualified) != n || len(r.Holders) != n || r.Threshold != Threshold(n) {
				t.Errorf("%+v", r)
			}
			net.signable(r, net.shares())
		})
	}
}

// A replica that opens the store at any height sees the same board, and a member that lost all but its seed says the
// same again.
func TestReopenAndCrash(t *testing.T) {
	net := newNetwork(t, 4, 100)
	for net.board.Phase != PhaseDone {
		again, err := Open(net.store)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(codec.Marshal(again.meta), codec.Marshal(net.board.meta)) || again.session != net.board.session {
			t.Fatalf("reopened in %v: %+v, not %+v", net.board.Phase, again.meta, net.board.meta)
		}
		for i, m := range net.members {
			fresh := NewMember(m.seed, i, m.key)
			if !bytes.Equal(fresh.Pending(again), m.Pending(net.board)) {
				t.Fatalf("node %d says something else after a crash in %v", i, net.board.Phase)
			}
		}
		// One item per block, so that boards are also opened in the middle of a phase.
		net.height++
		net.board.Step(net.store, net.height, net.items()[:1])
	}
	again, err := Open(net.store)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := again.Result()
	if want, _ := net.board.Result(); !bytes.Equal(codec.Marshal(r), codec.Marshal(want)) {
		t.Fatal("results differ")
	}
	net.board = again
	net.signable(r, net.shares())
	Erase(net.store)
	if _, err := Open(net.store); !errors.Is(err, ErrNoBoard) {
		t.Fatalf("after Erase: %v", err)
	}
}

func TestSilentNode(t *testing.T) {
	for _, phase := range []Phase{PhaseKeys, PhaseDeals, PhaseResponses} {
		t.Run(phase.String(), func(t *testing.T) {
			net := newNetwork(t, 4, 5)
			net.mutate = func(node int, it *item) bool { return node != 2 || it.Phase < phase }
			r := net.run()
			if r.Attempt != 0 {
				t.Fatalf("attempt %d", r.Attempt)
			}
			if slices.Contains(r.Holders, 2) || len(r.Holders) != 3 {
				t.Errorf("holders %v", r.Holders)
			}
			if got := slices.Contains(r.Qualified, 2); got != (phase == PhaseResponses) {
				t.Errorf("qualified %v", r.Qualified)
			}
			if phase == PhaseKeys {
				net.signable(r, net.shares(2))
			} else {
				net.signable(r, net.shares()) // it was silent but can still read its deals
			}
		})
	}
}

func TestTooManySilentNodesStartAgain(t *testing.T) {
	net := newNetwork(t, 4, 3)
	first := net.board.Session()
	net.mutate = func(node int, it *item) bool { return node < 2 || net.board.Attempt >= 2 }
	r := net.run()
	if r.Attempt != 2 || net.board.Session() == first {
		t.Fatalf("attempt %d", r.Attempt)
	}
	net.signable(r, net.shares())
}

func TestCheatingDealerIsDropped(t *testing.T) {
	net := newNetwork(t, 4, 100)
	net.mutate = func(node int, it *item) bool {
		if node == 1 && it.Phase == PhaseDeals {
			var d dealBody
			if err := codec.Unmarshal(it.Body, &d); err != nil {
				t.Fatal(err)
			}
			d.Shares[3][9] ^= 1
			it.Body = codec.Marshal(d)
		}
		return true
	}
	r := net.run()
	if !slices.Equal(r.Qualified, []int{0, 2, 3}) {
		t.Fatalf("qualified %v", r.Qualified)
	}
	net.signable(r, net.shares())
}

func TestFalseComplaintIsRefused(t *testing.T) {
	net := newNetwork(t, 4, 5)
	for net.board.Phase != PhaseResponses {
		net.step()
	}
	b, m := net.board, net.members[0]
	refuse := func(name string, c complaint) {
		t.Helper()
		it := item{Session: b.session[:], Phase: PhaseResponses, Body: codec.Marshal(responseBody{[]complaint{c}})}
		it.Sig = ed25519.Sign(net.keys[0], it.digest())
		if err := b.Check(codec.Marshal(it)); !errors.Is(err, ErrItem) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sk := m.secret(b, "receiver", 0)
	prove := func(x kyber.Scalar, shared kyber.Point) []byte {
		return prove(x, b.context("complaint", 1, 0), []kyber.Point{g1.Point().Base(), b.deals[1].r}, []kyber.Point{b.keys[0], shared})
	}
	good := m.shared(b, 1)
	refuse("about a good share", complaint{1, encodePoint(good), prove(sk, good)})
	other := g1.Point().Base()
	refuse("with another point", complaint{1, encodePoint(other), prove(sk, other)})
	refuse("without a proof", complaint{1, encodePoint(other), make([]byte, proofSize)})
	refuse("about nobody", complaint{9, encodePoint(good), prove(sk, good)})
}

func TestCheckRefuses(t *testing.T) {
	net := newNetwork(t, 4, 100)
	late := net.items()
	if err := net.board.CheckAll(late); err != nil {
		t.Fatal(err)
	}
	if err := net.board.CheckAll([][]byte{late[0], late[0]}); !errors.Is(err, ErrItem) {
		t.Errorf("two items of one node: %v", err)
	}
	edit := func(change func(*item), sign bool) []byte {
		var it item
		if err := codec.Unmarshal(late[0], &it); err != nil {
			t.Fatal(err)
		}
		change(&it)
		if sign {
			it.Sig = ed25519.Sign(net.keys[0], it.digest())
		}
		return codec.Marshal(it)
	}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"empty":           {nil, ErrItem},
		"huge":            {make([]byte, maxItemBytes+1), ErrItem},
		"garbage":         {[]byte("garbage"), ErrItem},
		"node":            {edit(func(it *item) { it.From = 4 }, true), ErrItem},
		"signature":       {edit(func(it *item) { it.Sig[0] ^= 1 }, false), ErrItem},
		"another's":       {edit(func(it *item) { it.From = 1 }, true), ErrItem},
		"session":         {edit(func(it *item) { it.Session = make([]byte, 32) }, true), ErrStale},
		"phase":           {edit(func(it *item) { it.Phase = PhaseDeals }, true), ErrStale},
		"body":            {edit(func(it *item) { it.Body = []byte{1} }, true), ErrItem},
		"point":           {edit(func(it *item) { it.Body = codec.Marshal(keyBody{make([]byte, 48), make([]byte, 64)}) }, true), ErrItem},
		"neutral element": {edit(func(it *item) { it.Body = codec.Marshal(keyBody{encodePoint(g1.Point().Null()), make([]byte, 64)}) }, true), ErrItem},
		"stolen key": {edit(func(it *item) {
			it.Body = codec.Marshal(net.members[1].makeKey(net.board))
		}, true), ErrItem},
	} {
		if err := net.board.Check(c.raw); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	net.step()
	if err := net.board.Check(late[0]); !errors.Is(err, ErrStale) {
		t.Errorf("item of the last phase: %v", err)
	}
}

// A dealer that copies another's ephemeral key would harvest the secrets that open its deals.
func TestCopiedEphemeralIsRefused(t *testing.T) {
	net := newNetwork(t, 4, 5)
	net.step()
	d0, d1 := net.members[0].makeDeal(net.board), net.members[1].makeDeal(net.board)
	d1.Ephemeral, d1.Proof = d0.Ephemeral, d0.Proof
	it := item{Session: net.board.session[:], Phase: PhaseDeals, From: 1, Body: codec.Marshal(d1)}
	it.Sig = ed25519.Sign(net.keys[1], it.digest())
	if err := net.board.Check(codec.Marshal(it)); !errors.Is(err, errProof) {
		t.Fatal(err)
	}
}

func TestParamsAreChecked(t *testing.T) {
	key := make(ed25519.PublicKey, 32)
	for name, p := range map[string]Params{
		"no nodes":  {},
		"threshold": {Nodes: []ed25519.PublicKey{key, key, key, key}, Threshold: 2},
		"too high":  {Nodes: []ed25519.PublicKey{key}, Threshold: 2},
		"short key": {Nodes: []ed25519.PublicKey{key[:31]}},
		"domain":    {Nodes: []ed25519.PublicKey{key}, Domain: make([]byte, 65)},
		"deadline":  {Nodes: []ed25519.PublicKey{key}, PhaseBlocks: 1 << 62},
	} {
		if _, err := Start(kv.NewMem(), 1, p); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The combined signature is what other implementations of the ciphersuite call valid.
func TestInteroperates(t *testing.T) {
	net := newNetwork(t, 4, 100)
	r := net.run()
	sig := net.signable(r, net.shares())
	msg := append([]byte("\x0Dic-state-root"), bytes.Repeat([]byte{7}, 32)...)
	if err := Verify(r.PublicKey, msg, sig); err != nil {
		t.Errorf("blst: %v", err)
	}

	pub, err := decodePoint(g2, r.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := kyberbls.NewSchemeOnG1(suite).Verify(pub, msg, sig); err != nil {
		t.Errorf("kyber: %v", err)
	}

	var gs gnark.G1Affine
	var gp gnark.G2Affine
	if _, err := gs.SetBytes(sig); err != nil {
		t.Fatal(err)
	}
	if _, err := gp.SetBytes(r.PublicKey); err != nil {
		t.Fatal(err)
	}
	h, err := gnark.HashToG1(msg, dst)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, base := gnark.Generators()
	base.Neg(&base)
	ok, err := gnark.PairingCheck([]gnark.G1Affine{gs, h}, []gnark.G2Affine{base, gp})
	if err != nil || !ok {
		t.Errorf("gnark: %v, %v", ok, err)
	}
}

func TestBadSharesAreFound(t *testing.T) {
	net := newNetwork(t, 4, 100)
	r := net.run()
	g, err := r.Group()
	if err != nil {
		t.Fatal(err)
	}
	msg, other := Message(DomainBeacon, []byte{1}), Message(DomainStateRoot, []byte{1})
	var shares []Share
	for i, s := range net.shares() {
		m := msg
		if i == 1 {
			m = other // a share for another role
		}
		sig, err := s.Sign(m)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, sig)
	}
	if _, err := g.Combine(msg, shares); !errors.Is(err, ErrSignature) {
		t.Fatalf("combined with a bad share: %v", err)
	}
	if bad := g.BadShares(msg, shares); !slices.Equal(bad, []int{1}) {
		t.Fatalf("bad shares %v", bad)
	}
	good := slices.Delete(slices.Clone(shares), 1, 2)
	if _, err := g.Combine(msg, good); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Combine(msg, good[:2]); !errors.Is(err, ErrTooFewShares) {
		t.Errorf("two shares: %v", err)
	}
	if _, err := g.Combine(msg, []Share{good[0], good[0], good[1]}); !errors.Is(err, ErrTooFewShares) {
		t.Errorf("one share twice: %v", err)
	}
	if _, err := g.Combine(msg, []Share{good[0], good[1], {Index: 4}}); !errors.Is(err, ErrIndex) {
		t.Errorf("share of a stranger: %v", err)
	}
	if err := g.Verify(msg, make([]byte, SignatureSize)); !errors.Is(err, ErrSignature) {
		t.Errorf("zero signature: %v", err)
	}
	infinity := append([]byte{0xc0}, make([]byte, SignatureSize-1)...)
	if err := g.Verify(msg, infinity); !errors.Is(err, ErrSignature) {
		t.Errorf("neutral signature: %v", err)
	}
	if _, err := NewGroup(3, append([]byte{0xc0}, make([]byte, PublicKeySize-1)...), r.ShareKeys); !errors.Is(err, ErrPublicKey) {
		t.Errorf("neutral public key: %v", err)
	}
}

func TestThreshold(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3, 7: 5, 13: 9, 40: 27} {
		if got := Threshold(n); got != want {
			t.Errorf("Threshold(%d) = %d, not %d", n, got, want)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := SecretShare{Index: 3, Scalar: [32]byte{0xab}}
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", &s), fmt.Sprintf("%#v", s)} {
		if bytes.Contains([]byte(out), []byte("ab")) || bytes.Contains([]byte(out), []byte("171")) {
			t.Errorf("printed as %s", out)
		}
	}
}

func FuzzItem(f *testing.F) {
	net := newNetwork(f, 4, 100)
	for net.board.Phase != PhaseDone {
		for _, it := range net.items() {
			f.Add(it)
		}
		net.step()
	}
	deals := newNetwork(f, 4, 100)
	deals.step()
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, phase := range []Phase{PhaseKeys, PhaseDeals, PhaseResponses} {
			_, _ = deals.board.read(phase, 1, raw, true) // bodies, past the signature
		}
		if deals.board.Check(raw) != nil && deals.board.CheckAll([][]byte{raw}) == nil {
			t.Fatal("Check and CheckAll disagree")
		}
	})
}

// FuzzVerify feeds what peers send to the native code that decodes points.
func FuzzVerify(f *testing.F) {
	net := newNetwork(f, 1, 100)
	r := net.run()
	sig, err := net.shares()[0].Sign([]byte("message"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.PublicKey, sig.Signature[:])
	f.Add(make([]byte, PublicKeySize), make([]byte, SignatureSize))
	f.Add([]byte{0xc0}, []byte{})
	f.Fuzz(func(t *testing.T, key, signature []byte) {
		ok := Verify(key, []byte("message"), signature) == nil
		if good := bytes.Equal(key, r.PublicKey) && bytes.Equal(signature, sig.Signature[:]); good != ok && (good || bytes.Equal(key, r.PublicKey)) {
			t.Fatalf("verified: %v, key %x, signature %x", ok, key, signature)
		}
		_, _ = NewGroup(1, key, [][]byte{key})
	})
}

func benchGroup(b *testing.B, n int) (*Group, []*SecretShare) {
	net := newNetwork(b, n, 100)
	g, err := net.run().Group()
	if err != nil {
		b.Fatal(err)
	}
	return g, net.shares()
}

func BenchmarkSignShare(b *testing.B) {
	_, shares := benchGroup(b, 1)
	msg := Message(DomainStateRoot, make([]byte, 32))
	for b.Loop() {
		if _, err := shares[0].Sign(msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	g, shares := benchGroup(b, 1)
	msg := Message(DomainStateRoot, make([]byte, 32))
	s, err := shares[0].Sign(msg)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := g.VerifyShare(msg, s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCombine includes the check of the result.
func BenchmarkCombine(b *testing.B) {
	for _, n := range []int{4, 13} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g, secrets := benchGroup(b, n)
			msg := Message(DomainStateRoot, make([]byte, 32))
			var shares []Share
			for _, s := range secrets {
				sig, err := s.Sign(msg)
				if err != nil {
					b.Fatal(err)
				}
				shares = append(shares, sig)
			}
			for b.Loop() {
				if _, err := g.Combine(msg, shares); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKeyGeneration(b *testing.B) {
	for b.Loop() {
		net := newNetwork(b, 4, 100)
		net.run()
		net.shares()
	}
}
