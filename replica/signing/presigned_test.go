package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/derive"
	"fusion/internal/codec"
	"fusion/replica/genesis"
	"fusion/replica/payload"
	"fusion/replica/transcripts"
)

var presignKeys = []chainkey.KeyID{{Algorithm: chainkey.EcdsaSecp256k1, Name: "p"}, {Algorithm: chainkey.Bip340Secp256k1, Name: "p"}, {Algorithm: chainkey.Ed25519, Name: "p"}}

func presigning(keys ...chainkey.KeyID) func(*Config) {
	return func(c *Config) {
		c.Keys, c.Schemes = keys, map[chainkey.KeyID]string{}
		for _, id := range keys {
			c.Schemes[id] = transcripts.Name
		}
		c.Presignatures = 8
	}
}

// request asks for signatures by keys in turn.
func (net *testNet) request(count int, keys ...chainkey.KeyID) (asked []Request) {
	for range count {
		net.next++
		m := chainkey.HashMessage(sha256.Sum256([]byte{byte(net.next)}))
		net.waiting = append(net.waiting, Request{ID: net.next, Key: keys[int(net.next)%len(keys)], Canister: []byte{1}, Path: [][]byte{{byte(net.next)}}, Message: m})
	}
	asked = append(asked, net.waiting...)
	net.block()
	return asked
}

// full waits until the pools of all keys are so full that nothing is being made: by half a batch less than they hold, at most.
func (net *testNet) full() {
	net.t.Helper()
	net.until("presignatures", func() bool {
		for _, id := range net.m.cfg.Keys {
			k, _ := load[keyRecord](net.s, keyPrefix+id.String())
			if ready, making := net.m.shared.Pool(net.s, id.String(), k.Epoch); making > 0 || ready <= net.m.cfg.Presignatures/2 {
				return false
			}
		}
		return true
	})
}

// verify checks an answer with the libraries that the scheme does not use.
func (net *testNet) verify(q Request) {
	net.t.Helper()
	k, _ := net.m.key(net.s, q.Key)
	child, err := chainkey.Derive(q.Key.Algorithm, k.PublicKey, k.ChainCode, derive.Path(q.Canister, q.Path...))
	if err != nil {
		net.t.Fatal(err)
	}
	r := net.answers[q.ID]
	if len(r.Signature) != 64 {
		net.t.Fatalf("request %d: %+v", q.ID, r)
	}
	if err := chainkey.Verify(q.Key.Algorithm, child.PublicKey, q.Message, [64]byte(r.Signature)); err != nil {
		net.t.Errorf("request %d: %v", q.ID, err)
	}
}

func TestPresignedFromGenesis(t *testing.T) {
	doc := &genesis.Doc{Keys: presignKeys, Schemes: map[chainkey.KeyID]string{presignKeys[0]: genesis.Idkg}, Presignatures: 7}
	if c := FromGenesis(doc, [32]byte{1}); c.Presignatures != 7 || c.Schemes[presignKeys[0]] != transcripts.Name || len(c.Schemes) != 1 {
		t.Errorf("%+v", c)
	}
}

func TestPresignedNetwork(t *testing.T) {
	for _, n := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			net := newTestNet(t, n, nil, presigning(presignKeys...))
			net.log = t.Output()
			net.startAll()
			net.until("keys", net.keysActive)
			net.full()
			var asked []Request
			for range 4 {
				asked = append(asked, net.request(6, presignKeys...)...)
			}
			net.answered()
			for _, q := range asked {
				net.verify(q)
			}
			net.full()
		})
	}
}

// forge changes a message of package transcripts and lets its author sign it again: kind is the message's first byte, header how many bytes stand before
// the encoding of package idkg.
func forge(key ed25519.PrivateKey, msg []byte, header int, purpose string) []byte {
	msg = bytes.Clone(msg)
	body := msg[header : len(msg)-ed25519.SignatureSize]
	body[len(body)-1] ^= 1
	h := sha256.Sum256(body)
	copy(msg[len(msg)-ed25519.SignatureSize:], ed25519.Sign(key, append([]byte("fusion/chainkey/idkg/v1/signature/"+purpose+"\x00"), h[:]...)))
	return msg
}

// TestPresignedFaults: one of four nodes, from the moment on when the keys are there, is silent, lies in its dealings, lies in its shares of signatures,
// or says nothing to one other. Pools fill and everything is signed, and who lied is convicted, and nobody else.
func TestPresignedFaults(t *testing.T) {
	const bad = 2
	const dealing, share = 1, 5 // kinds of messages
	for name, c := range map[string]struct {
		bend     func(net *testNet) func(from, to int, msg []byte) ([]byte, bool)
		convicts bool
	}{
		"silent": {func(*testNet) func(int, int, []byte) ([]byte, bool) {
			return func(from, to int, msg []byte) ([]byte, bool) { return msg, from != bad && to != bad }
		}, false},
		"silent to one": {func(*testNet) func(int, int, []byte) ([]byte, bool) {
			return func(from, to int, msg []byte) ([]byte, bool) {
				return msg, !(from == bad && to == 0 && msg[0] == frameShared)
			}
		}, false},
		"bad dealings": {func(net *testNet) func(int, int, []byte) ([]byte, bool) {
			return func(from, _ int, msg []byte) ([]byte, bool) {
				if from == bad && msg[0] == frameShared && msg[1] == dealing {
					msg = forge(net.keys[bad], msg, 2, "dealing")
				}
				return msg, true
			}
		}, true},
		"bad shares": {func(net *testNet) func(int, int, []byte) ([]byte, bool) {
			return func(from, _ int, msg []byte) ([]byte, bool) {
				if from == bad && msg[0] == frameShared && msg[1] == share {
					msg = forge(net.keys[bad], msg, 10, "signature share")
				}
				return msg, true
			}
		}, true},
		"loss": {func(*testNet) func(int, int, []byte) ([]byte, bool) {
			rng := rand.New(rand.NewPCG(1, 1))
			return func(_, _ int, msg []byte) ([]byte, bool) { return msg, rng.IntN(4) > 0 }
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newTestNet(t, 4, nil, presigning(presignKeys...))
				net.log = t.Output()
				net.startAll()
				net.until("keys", net.keysActive)
				net.mu.Lock()
				net.bend = c.bend(net)
				net.mu.Unlock()
				if name == "silent" {
					net.veto = func(it payload.Item) bool { return int(net.height)%4 == bad } // it proposes nothing either
				}
				var asked []Request
				for round := 0; round < 5 || c.convicts && round < 50 && len(net.m.Complaints(net.s)) == 0; round++ { // what an answer ended cannot be accused of
					asked = append(asked, net.request(6, presignKeys...)...)
					net.answered()
				}
				net.full()
				for _, q := range asked {
					net.verify(q)
				}
				convicted := false
				for _, info := range net.m.Complaints(net.s) {
					if info.Evidence == "" || !slices.Equal(info.Accused, []uint32{bad}) {
						t.Errorf("%+v", info)
					}
					convicted = true
				}
				if convicted != c.convicts {
					t.Errorf("convicted: %v", convicted)
				}
			})
		})
	}
}

// TestPresignedLives restores a network from a state that it went on from: requests were served, and the keys handed on. In its new life it serves other
// requests with other presignatures, also while a node has nothing but its key shares, and hands the keys on; what its nodes made for lost epochs is erased.
func TestPresignedLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newTestNet(t, 4, nil, func(c *Config) {
			presigning(presignKeys...)(c)
			c.WipeBlocks = 1 << 20 // as if the shares had come from backups
		})
		net.log = t.Output()
		names := map[[32]byte]bool{}
		look := func() {
			ids, all := requests(net.s)
			for i, q := range all {
				if b, ok := load[binding](net.s, bindingKey(ids[i])); ok && q.Status == RequestActive {
					s, err := net.m.signing(net.s, ids[i], &q, &b)
					if err != nil {
						t.Fatal(err)
					}
					names[s.Presignature.Name()] = true
				}
			}
		}
		serve := func(count int) {
			asked := net.request(count, presignKeys...)
			for end := net.height + 1000; len(net.answers) < int(net.next); time.Sleep(net.pace) {
				if net.height > end {
					t.Fatalf("not answered: %+v", net.m.Status(net.m.Snapshot(net.s, net.height)))
				}
				net.block()
				look()
			}
			for _, q := range asked {
				net.verify(q)
			}
		}
		reshare := func(epoch uint64) {
			net.m.StartReshare(net.s, net.height, epoch, []uint32{0, 1, 2, 3})
			net.until("resharing", func() bool { done, _ := net.m.ReshareStatus(net.s); return done })
			net.m.ActivateReshare(net.s, net.height)
		}
		net.startAll()
		net.until("keys", net.keysActive)
		keys := net.m.Keys(net.s)
		net.full()
		net.request(6, presignKeys...)
		net.block() // presignatures are taken
		image, height, next := net.s.Clone(), net.height, net.next
		net.answered()
		serve(6)
		reshare(1)
		serve(3)
		served := names
		names = map[[32]byte]bool{}

		for node := range net.keys {
			net.stop(node)
		}
		net.m.Renew(image, height, "restored")
		for _, id := range presignKeys {
			if ready, making := net.m.shared.Pool(image, id.String(), 0); ready+making != 0 {
				t.Errorf("%v: %d presignatures of before, %d being made", id, ready, making)
			}
		}
		cfg := net.m.cfg
		cfg.Life = [32]byte{9}
		m, err := NewMachine(cfg)
		if err != nil {
			t.Fatal(err)
		}
		net.mu.Lock()
		net.m, net.s, net.height = m, image, height+1
		net.mu.Unlock()
		net.next, net.answers = next, map[uint64]Response{}
		for id := range uint64(next) {
			if _, open := load[requestRecord](image, requestKey(id+1)); !open {
				net.answers[id+1] = Response{}
			}
		}
		for _, file := range must(filepath.Glob(filepath.Join(net.dirs[3], "params-*")))(t) { // from a backup, which has none
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		net.startAll()
		net.answered() // what was open in the image
		serve(9)
		if !slices.EqualFunc(keys, net.m.Keys(net.s), func(a, b Key) bool { return bytes.Equal(a.PublicKey, b.PublicKey) && a.ChainCode == b.ChainCode }) {
			t.Error("the keys are others")
		}
		if len(served) == 0 || len(names) == 0 {
			t.Fatalf("%d and %d presignatures", len(served), len(names))
		}
		for name := range names {
			if served[name] {
				t.Error("a presignature has the name of one of lost blocks")
			}
		}
		list := must(net.stores[0].ParamsList())(t)
		if len(list) != 1 || list[0].Epoch != 0 {
			t.Errorf("receivers' keys: %v", list)
		}
		reshare(1)
		serve(3)
	})
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// An accusation is package transcripts' own, with the same encoding.
type accusation struct {
	_         struct{} `cbor:",toarray"`
	Key       string
	Epoch     uint64
	Serial    uint64
	Stage     uint8
	Sharing   uint8
	Request   uint64
	Charge    uint8
	Evidence  []byte
	Node      uint32
	Signature []byte
}

// TestFalseAccusations: a member has a share of a signature that is provably bad. It convicts its author, in the round whose presignature serves the request and
// nowhere else; and an accusation about a stage that is not begun is refused.
func TestFalseAccusations(t *testing.T) {
	const bad, accuser = 2, 1
	const badDealing, badSignature = 1, 4 // charges
	synctest.Test(t, func(t *testing.T) {
		key := presignKeys[0]
		net := newTestNet(t, 4, nil, presigning(key))
		net.log = t.Output()
		net.startAll()
		net.until("keys", net.keysActive)
		net.full()
		var said []byte
		net.mu.Lock()
		net.bend = func(from, _ int, msg []byte) ([]byte, bool) {
			if msg[0] != frameShared || msg[1] != 5 {
				return msg, true
			}
			if from == bad {
				said = bytes.Clone(msg)
			}
			return msg, false // so that the request stays open
		}
		net.mu.Unlock()
		q := net.request(1, key)[0]
		net.until("a share", func() bool {
			net.mu.Lock()
			defer net.mu.Unlock()
			return said != nil
		})
		net.mu.Lock()
		share := forge(net.keys[bad], said, 10, "signature share")[10:]
		net.mu.Unlock()
		b, ok := load[binding](net.s, bindingKey(q.ID))
		if !ok {
			t.Fatal("the request has no presignature")
		}
		check := func(v accusation) error {
			v.Key, v.Node = key.String(), accuser
			v.Signature = net.m.cfg.sign(net.keys[accuser], "accusation", v)
			return net.m.shared.Check(net.s, append([]byte{3}, codec.Marshal(v)...))
		}
		for serial := range b.Serial + 20 {
			err := check(accusation{Epoch: b.Epoch, Serial: serial, Request: q.ID, Charge: badSignature, Evidence: share})
			if serves := serial == 1; serves != (err == nil) { // the first round has the oldest presignature
				t.Errorf("in round %d: %v", serial, err)
			}
		}
		_, making := net.m.shared.Pool(net.s, key.String(), b.Epoch)
		for range 10 { // until a round has begun whose first stage is not made
			if making > 0 {
				break
			}
			net.request(3, key)
			_, making = net.m.shared.Pool(net.s, key.String(), b.Epoch)
		}
		if making == 0 {
			t.Fatal("nothing is being made")
		}
		for serial := range uint64(60) {
			for stage := range uint8(4) {
				if err := check(accusation{Epoch: b.Epoch, Serial: serial, Stage: stage, Charge: badDealing, Evidence: []byte("x")}); err == nil {
					t.Errorf("round %d, stage %d: nothing convicts somebody", serial, stage)
				}
			}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 3000 {
			v := accusation{Epoch: rng.Uint64N(3), Serial: rng.Uint64N(60), Stage: uint8(rng.UintN(4)), Sharing: uint8(rng.UintN(5)), Request: q.ID * rng.Uint64N(2), Charge: uint8(rng.UintN(6)),
				Evidence: share[rng.IntN(2)*rng.IntN(len(share)):]}
			if err := check(v); err == nil && (v.Charge != badSignature || v.Serial != 1 || v.Request != q.ID) {
				t.Errorf("%+v convicts somebody", v)
			}
			list := make([][][]byte, rng.IntN(4))
			for i := range list {
				list[i] = slices.Repeat([][]byte{share}, rng.IntN(4))
			}
			body := codec.Marshal([]any{v.Key + key.String(), v.Epoch, v.Serial, v.Stage, list, slices.Repeat([][]byte{share}, rng.IntN(4))})
			if err := net.m.shared.Check(net.s, append([]byte{2}, body...)); err == nil {
				t.Errorf("nothing ends stage %d of round %d", v.Stage, v.Serial)
			}
		}
	})
}

// TestPresignedModel plays random orders of requests, crashes, restarts, lost records of what was bound, and reshares. No presignature serves two signings,
// neither in the state nor in what any node ever said or wrote down, and everything is signed in the end.
func TestPresignedModel(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	key := presignKeys[0]
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			net := newTestNet(t, 4, nil, func(c *Config) {
				presigning(key)(c)
				c.Presignatures, c.SigningDeadline, c.WipeBlocks = 4, 30, 10
			})
			net.log = t.Output()
			signings := map[[32]byte][32]byte{} // by name of the presignature
			known := map[[32]byte]bool{}
			serves := map[string]uint64{} // by epoch and serial: the request
			var said sync.Map             // ids of signings that shares were sent of
			net.bend = func(_, _ int, msg []byte) ([]byte, bool) {
				if msg[0] == frameShared && msg[1] == 5 { // frame, kind, request, version, kind, signing
					said.Store([32]byte(msg[12:44]), true)
				}
				return msg, rng.IntN(50) > 0
			}
			look := func() {
				ids, all := requests(net.s)
				for i, q := range all {
					b, ok := load[binding](net.s, bindingKey(ids[i]))
					if !ok {
						continue
					}
					place := fmt.Sprint(b.Epoch, " ", b.Serial)
					if other, ok := serves[place]; ok && other != ids[i] {
						t.Fatalf("presignature %s serves requests %d and %d", place, other, ids[i])
					}
					serves[place] = ids[i]
					if q.Status != RequestActive {
						continue
					}
					s, err := net.m.signing(net.s, ids[i], &q, &b)
					if err != nil {
						t.Fatal(err)
					}
					name := s.Presignature.Name()
					if other, ok := signings[name]; ok && other != s.ID() {
						t.Fatalf("presignature %s serves two signings", place)
					}
					signings[name], known[s.ID()] = s.ID(), true
				}
			}
			step := func() {
				net.block()
				look()
				time.Sleep(net.pace)
			}
			await := func(what string, done func() bool) {
				for end := net.height + 3000; !done(); step() {
					if net.height > end {
						t.Fatalf("seed %d: no %s by height %d; %+v", seed, what, net.height, net.m.Status(net.m.Snapshot(net.s, net.height)))
					}
				}
			}
			net.startAll()
			net.until("keys", net.keysActive)
			var asked []Request
			epoch := uint64(0)
			down := map[int]bool{}
			for range 60 {
				switch op, node := rng.IntN(10), rng.IntN(4); {
				case op < 3 && len(asked) < 40 && len(asked)-len(net.answers) <= 7: // one canister may have ten open
					asked = append(asked, net.request(1+rng.IntN(3), key)...)
					look()
				case op == 3 && len(down) == 0:
					net.stop(node)
					down[node] = true
					if rng.IntN(3) == 0 {
						if err := os.Remove(filepath.Join(net.dirs[node], "bound")); err != nil {
							t.Fatal(err)
						}
					}
				case op < 6 && len(down) > 0:
					for node := range down {
						net.start(node)
						delete(down, node)
					}
				case op == 6 && epoch < 2 && len(down) == 0:
					epoch++
					net.m.StartReshare(net.s, net.height, epoch, []uint32{0, 1, 2, 3})
					await("resharing", func() bool { done, _ := net.m.ReshareStatus(net.s); return done })
					net.m.ActivateReshare(net.s, net.height)
				default:
					for range 1 + rng.IntN(10) {
						step()
					}
				}
			}
			for node := range down {
				net.start(node)
			}
			await("answers", func() bool { return len(net.answers) == len(asked) })
			for _, q := range asked {
				net.verify(q)
			}
			said.Range(func(id, _ any) bool {
				if !known[id.([32]byte)] {
					t.Error("a share of a signing that the state never had")
				}
				return true
			})
			for node, store := range net.stores {
				for name, id := range signings {
					if value, ok := store.Bound(name); ok && value != id {
						t.Errorf("node %d bound a presignature to another signing", node)
					}
				}
			}
		})
	}
}
