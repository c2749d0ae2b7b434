package gg18

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bnb-chain/tss-lib/v2/tss"
	"github.com/btcsuite/btcd/btcec/v2"
	btcecdsa "github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"fusion/chainkey"
	"fusion/chainkey/derive"
)

var update = flag.Bool("update", false, "make the golden shares in testdata anew, by a key generation among four members")

const members = 4

// golden returns the shares of a real key generation.
func golden(t testing.TB) []*Share {
	t.Helper()
	var shares []*Share
	for seat := range members {
		b, err := os.ReadFile(goldenFile(seat))
		if err != nil {
			t.Fatal(err)
		}
		s, err := DecodeShare(b)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, s)
	}
	return shares
}

func goldenFile(seat int) string { return filepath.Join("testdata", fmt.Sprintf("share-%d.bin", seat)) }

// alter changes what one member sends: to is -1 for the broadcast.
type alter func(round, from, to int, data []byte) []byte

// run moves whole rounds between protocols, and returns what each made of it. When one fails the run stops.
func run[P chainkey.Protocol](protocols []P, change alter) []error {
	n := len(protocols)
	errs := make([]error, n)
	outs := make([]chainkey.Output, n)
	parallel := func(f func(i int)) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { f(i) })
		}
		wg.Wait()
	}
	failed := func() bool { return slices.ContainsFunc(errs, func(err error) bool { return err != nil }) }
	parallel(func(i int) { outs[i], errs[i] = protocols[i].Start() })
	for r := 1; r <= protocols[0].Rounds() && !failed(); r++ {
		ins := make([][]chainkey.Input, n)
		for to := range n {
			ins[to] = make([]chainkey.Input, n)
			for from := range n {
				if from == to {
					continue
				}
				in := chainkey.Input{Broadcast: outs[from].Broadcast}
				if outs[from].Private != nil {
					in.Private = outs[from].Private[to]
				}
				if change != nil {
					in.Broadcast = change(r, from, -1, slices.Clone(in.Broadcast))
					in.Private = change(r, from, to, slices.Clone(in.Private))
				}
				ins[to][from] = in
			}
		}
		parallel(func(i int) { outs[i], errs[i] = protocols[i].Deliver(r, ins[i]) })
	}
	return errs
}

func generators(t testing.TB, session [32]byte) []*Keygen {
	t.Helper()
	var all []*Keygen
	for seat := range members {
		params, err := LocalParams(seat)
		if err != nil {
			t.Fatal(err)
		}
		k, err := NewKeygen(chainkey.Generate{Algorithm: chainkey.EcdsaSecp256k1, Session: session, Seat: seat, Seats: members, Threshold: 2, Params: params, AllowLocal: true, Rand: rand.Reader}, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	return all
}

// TestUpdateGolden makes the golden shares when asked to; otherwise it checks that the stored ones are one key.
func TestUpdateGolden(t *testing.T) {
	if *update {
		all := generators(t, sha256.Sum256([]byte("golden")))
		for seat, err := range run(all, record(t, "keygen")) {
			if err != nil {
				t.Fatalf("seat %d: %v", seat, err)
			}
		}
		for seat, k := range all {
			if err := os.WriteFile(goldenFile(seat), k.share.Encode(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	shares := golden(t)
	// Lagrange interpolation over each three of four indices gives the secret of the public key.
	for skip := range members {
		secret := new(big.Int)
		for i, s := range shares {
			if i == skip {
				continue
			}
			term := new(big.Int).Set(s.save.Xi)
			for j, o := range shares {
				if j == i || j == skip {
					continue
				}
				d := new(big.Int).Sub(o.save.ShareID, s.save.ShareID)
				term.Mul(term, o.save.ShareID).Mul(term, d.ModInverse(d.Mod(d, order), order)).Mod(term, order)
			}
			secret.Add(secret, term)
		}
		private, _ := btcec.PrivKeyFromBytes(secret.Mod(secret, order).FillBytes(make([]byte, 32)))
		if got := private.PubKey().SerializeCompressed(); !bytes.Equal(got, shares[0].PublicKey()) {
			t.Errorf("without seat %d the shares give key %x, not %x", skip, got, shares[0].PublicKey())
		}
	}
}

// record keeps every message of an honest run in testdata, for the tests and fuzzing of the filter.
func record(t testing.TB, name string) alter {
	var mu sync.Mutex
	return func(r, from, to int, data []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		if from == 1 && (to == -1 || to == 0) && len(data) > 0 {
			part := "broadcast"
			if to == 0 {
				part = "private"
			}
			if err := os.WriteFile(filepath.Join("testdata", fmt.Sprintf("%s-%d-%s.bin", name, r, part)), data, 0o644); err != nil {
				t.Error(err)
			}
		}
		return data
	}
}

var path = derive.Path([]byte{0, 0, 0, 0, 0, 0, 0, 1, 1, 1}, []byte("deposit"), []byte{0})

func signers(t testing.TB, shares []*Share, committee []int, session, hash [32]byte) []*Signer {
	t.Helper()
	var all []*Signer
	for seat, member := range committee {
		s, err := NewSigner(chainkey.Sign{Session: session, Share: shares[member], Committee: committee, Seat: seat, Path: path, ChainCode: [32]byte{5}, Message: chainkey.HashMessage(hash), Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func TestSignVerifiesUnderTheDerivedKey(t *testing.T) {
	shares := golden(t)
	before := shares[1].Encode()
	hash := sha256.Sum256([]byte("message"))
	all := signers(t, shares, []int{0, 1, 3}, [32]byte{1}, hash)
	var change alter
	if *update {
		change = record(t, "sign")
	}
	for seat, err := range run(all, change) {
		if err != nil {
			t.Fatalf("seat %d: %v", seat, err)
		}
	}
	child, err := derive.Secp256k1([33]byte(shares[0].PublicKey()), [32]byte{5}, path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := btcec.ParsePubKey(child.PublicKey[:])
	if err != nil {
		t.Fatal(err)
	}
	first, err := all[0].Signature()
	if err != nil {
		t.Fatal(err)
	}
	for seat, s := range all {
		if got, _ := s.Signature(); got != first {
			t.Errorf("seat %d has another signature", seat)
		}
		s.Wipe()
		if s.save.Xi.Sign() != 0 {
			t.Errorf("seat %d keeps its secret", seat)
		}
	}
	var r, sc btcec.ModNScalar
	r.SetByteSlice(first[:32])
	sc.SetByteSlice(first[32:])
	if !btcecdsa.NewSignature(&r, &sc).Verify(hash[:], key) {
		t.Error("the signature does not verify under the derived key")
	}
	if ecdsa.Verify(&ecdsa.PublicKey{Curve: tss.S256(), X: shares[0].save.ECDSAPub.X(), Y: shares[0].save.ECDSAPub.Y()}, hash[:],
		new(big.Int).SetBytes(first[:32]), new(big.Int).SetBytes(first[32:])) {
		t.Error("the signature verifies under the master key")
	}
	if sc.IsOverHalfOrder() {
		t.Error("s is in the upper half")
	}
	if !bytes.Equal(before, shares[1].Encode()) {
		t.Error("signing changed the share")
	}
}

// TestCheatersAreNamed mounts one lie per phase of a signature. The filter or the library refuses each, and where a culprit can
// be known it is seat 1 of the committee.
func TestCheatersAreNamed(t *testing.T) {
	shares := golden(t)
	for name, c := range map[string]struct {
		round int
		to    int
		named bool
	}{
		"ciphertext of round 1":        {1, 0, true},
		"multiplication of round 2":    {2, 0, true},
		"opening of round 4":           {4, -1, true},
		"signature share of round 9":   {9, -1, false}, // the library cannot tell whose share is wrong
		"another session's ssid label": {0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && c.round > 4 {
				t.Skip("a whole signature; not in short mode")
			}
			hash := sha256.Sum256([]byte(name))
			all := signers(t, shares, []int{1, 2, 3}, [32]byte{2}, hash)
			if c.round == 0 { // seat 1 proves for another session: an SSID replay
				all[1] = signers(t, shares, []int{1, 2, 3}, [32]byte{3}, hash)[1]
			}
			errs := run(all, func(r, from, to int, data []byte) []byte {
				if r == c.round && from == 1 && to == c.to {
					data[len(data)-1] ^= 1 // the last byte of the last number: still canonical
				}
				return data
			})
			err := errs[0]
			if err == nil {
				t.Fatal("the lie passed")
			}
			var m *chainkey.Misbehaviour
			if named := errors.As(err, &m) && len(m.Seats) > 0; named != c.named || named && fmt.Sprint(m.Seats) != "[1]" {
				t.Errorf("verdict: %v", err)
			}
			if _, err := all[0].Signature(); err == nil {
				t.Error("a failed run has a signature")
			}
			if _, err := all[0].Start(); err == nil {
				t.Error("a failed run can be started again")
			}
		})
	}
}

func TestNewSignerRefuses(t *testing.T) {
	shares := golden(t)
	good := chainkey.Sign{Share: shares[0], Committee: []int{0, 1, 2}, Message: chainkey.HashMessage([32]byte{}), Rand: rand.Reader}
	for name, change := range map[string]func(*chainkey.Sign){
		"too few":       func(c *chainkey.Sign) { c.Committee = []int{0, 1} },
		"too many":      func(c *chainkey.Sign) { c.Committee = []int{0, 1, 2, 3} },
		"repeated":      func(c *chainkey.Sign) { c.Committee = []int{0, 0, 1} },
		"unordered":     func(c *chainkey.Sign) { c.Committee = []int{0, 2, 1} },
		"unknown":       func(c *chainkey.Sign) { c.Committee = []int{0, 1, 4} },
		"not a member":  func(c *chainkey.Sign) { c.Committee = []int{1, 2, 3} },
		"another seat":  func(c *chainkey.Sign) { c.Seat = 1 },
		"seat missing":  func(c *chainkey.Sign) { c.Seat = 3 },
		"foreign share": func(c *chainkey.Sign) { c.Share = nil },
		"long path":     func(c *chainkey.Sign) { c.Path = make([][]byte, 1000) },
		"no entropy":    func(c *chainkey.Sign) { c.Rand = strings.NewReader("short") },
	} {
		c := good
		change(&c)
		if _, err := NewSigner(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewSigner(good); err != nil {
		t.Fatal(err)
	}
}

func TestLocalParamsAreRefusedElsewhere(t *testing.T) {
	params, err := LocalParams(0)
	if err != nil {
		t.Fatal(err)
	}
	g := chainkey.Generate{Algorithm: chainkey.EcdsaSecp256k1, Seats: 4, Threshold: 2, Params: params, Rand: rand.Reader}
	if _, err := NewKeygen(g, nil); !errors.Is(err, ErrParams) {
		t.Errorf("own local parameters on a public network: %v", err)
	}
	wire, err := os.ReadFile("testdata/keygen-1-broadcast.bin")
	if err != nil {
		t.Fatal(err)
	}
	f := &filter{threshold: 2, denyLocal: true}
	if _, err := f.check("keygen 1", wire); err == nil || !strings.Contains(err.Error(), "local networks") {
		t.Errorf("another member's local parameters on a public network: %v", err)
	}
	if _, err := LocalParams(14); err == nil {
		t.Error("a fifteenth set exists")
	}
	g.AllowLocal = true
	for name, change := range map[string]func(*chainkey.Generate){
		"threshold": func(g *chainkey.Generate) { g.Threshold = 1 },
		"members":   func(g *chainkey.Generate) { g.Seats = 3 },
		"seat":      func(g *chainkey.Generate) { g.Seat = 4 },
		"params":    func(g *chainkey.Generate) { g.Params = g.Params[1:] },
	} {
		c := g
		change(&c)
		if _, err := NewKeygen(c, nil); err == nil {
			t.Errorf("bad %s: accepted", name)
		}
	}
}

func TestShareKeepsItsSecret(t *testing.T) {
	s := golden(t)[2]
	j, err := json.Marshal(map[string]any{"share": s, "value": *s})
	if err != nil {
		t.Fatal(err)
	}
	shown := string(j) + fmt.Sprintf("%v %+v %#v %s %x %d", s, s, s, s, s, s)
	for _, secret := range []*big.Int{s.save.Xi, s.save.PaillierSK.P, s.save.Alpha, s.save.P} {
		for _, form := range []string{secret.String(), secret.Text(16), fmt.Sprintf("%X", secret)} {
			if strings.Contains(shown, form) {
				t.Fatal("the printed share shows a secret")
			}
		}
	}
	encoded := s.Encode()
	if !strings.Contains(fmt.Sprint(encoded), "secret") {
		t.Error("the encoded share prints")
	}
	for i := 0; i < len(encoded); i += 37 {
		bad := bytes.Clone(encoded)
		bad[i] ^= 0x10
		if got, err := DecodeShare(bad); err == nil && bytes.Equal(got.Encode(), encoded) {
			t.Fatalf("byte %d is ignored", i)
		}
	}
	if _, err := DecodeShare(encoded[:100]); !errors.Is(err, ErrShare) {
		t.Errorf("truncated: %v", err)
	}
	s.Wipe()
	if s.save.Xi.Sign() != 0 {
		t.Error("wiping left the secret")
	}
}

func TestHedgedRandomness(t *testing.T) {
	read := func(entropy string, session byte, secret string) [32]byte {
		h, err := newHedged(strings.NewReader(strings.Repeat(entropy, 32)), [32]byte{session}, []byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		var b [32]byte
		if _, err := h.Read(b[:]); err != nil {
			t.Fatal(err)
		}
		return b
	}
	base := read("e", 1, "s")
	if base != read("e", 1, "s") {
		t.Error("not a function of its inputs")
	}
	for name, other := range map[string][32]byte{"entropy": read("f", 1, "s"), "session": read("e", 2, "s"), "secret": read("e", 1, "t")} {
		if other == base {
			t.Errorf("another %s gives the same randomness", name)
		}
	}
}

func TestSignRaw(t *testing.T) {
	shares := golden(t)
	if _, err := SignRaw(shares[:3], sha256.Sum256([]byte("raw"))); err != nil {
		t.Fatal(err)
	}
	if _, err := SignRaw(shares[:2], [32]byte{}); err == nil {
		t.Error("signed with two shares")
	}
}
