package machine

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/chainkey"
	"fusion/chainkey/bls"
	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/consensus/driver"
	"fusion/replica/consensus/solo"
	"fusion/replica/execution"
	"fusion/replica/execution/wasm"
	"fusion/replica/genesis"
	"fusion/replica/management"
	"fusion/replica/payload"
	"fusion/replica/state"
)

// network is n machines that take the same blocks, without anything around them.
type network struct {
	t       *testing.T
	doc     *genesis.Doc
	engine  *wasm.Engine
	fs      []*vfs.MemFS
	dbs     []*state.DB
	ms      []*Machine
	newest  []uint64 // version of the protocol that a machine knows; 0 is the default
	members []*bls.Member
	timeNs  uint64
}

func key(i int, role string) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", role, i))
	return ed25519.NewKeyFromSeed(seed[:])
}

func newNetwork(t *testing.T, n int, change ...func(*genesis.Doc)) *network {
	t.Helper()
	engine, err := wasm.NewEngine(wasm.Config{Host: execution.HostFunctions()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	start := uint64(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	w := &network{t: t, engine: engine, timeNs: start, doc: &genesis.Doc{Version: genesis.Version, ChainID: "machine-test", Class: genesis.Local,
		TimeNs: start, Keys: []chainkey.KeyID{{Algorithm: chainkey.EcdsaSecp256k1, Name: "test_key"}, {Algorithm: chainkey.Bls12381G2, Name: "test_key"}},
		Bitcoin:        &genesis.Bitcoin{Network: "regtest", StabilityThreshold: 6},
		CanisterRanges: []genesis.Range{{First: principal.FromUint64(100), Last: principal.FromUint64(199)}},
		BlockMaxBytes:  5 << 20, DKGPhaseBlocks: 4, SigningDeadlineBlocks: 20, KeygenDeadlineBlocks: 100, SigningParallel: 1}}
	for i := range n {
		w.doc.Nodes = append(w.doc.Nodes, genesis.Node{NodeKey: genesis.Hex(key(i, "node").Public().(ed25519.PublicKey)),
			ValidatorKey: genesis.Hex(key(i, "validator").Public().(ed25519.PublicKey))})
		w.members = append(w.members, bls.NewMember(sha256.Sum256(fmt.Appendf(nil, "seed %d", i)), i, key(i, "node")))
		w.fs = append(w.fs, vfs.NewMem())
		w.dbs = append(w.dbs, nil)
		w.ms = append(w.ms, nil)
		w.newest = append(w.newest, 0)
	}
	for _, f := range change {
		f(w.doc)
	}
	if err := w.doc.Validate(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		w.open(i)
	}
	t.Cleanup(func() {
		for i := range w.ms {
			w.close(i)
		}
	})
	return w
}

func (w *network) open(i int) {
	w.t.Helper()
	if err := w.tryOpen(i); err != nil {
		w.t.Fatal(err)
	}
}

func (w *network) tryOpen(i int) error {
	db, err := state.Open("state", state.Options{FS: w.fs[i], Network: w.doc.Hash()})
	if err != nil {
		return err
	}
	m, err := Open(Config{Genesis: w.doc, Engine: w.engine, Newest: w.newest[i]}, db)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	w.dbs[i], w.ms[i] = db, m
	return nil
}

func (w *network) close(i int) {
	w.ms[i].Close()
	if err := w.dbs[i].Close(); err != nil {
		w.t.Error(err)
	}
}

// block makes one block of items and has every machine take it; all must agree.
func (w *network) block(items ...payload.Item) (r Result) {
	w.t.Helper()
	w.timeNs += 1e9
	b := payload.NewBuilder(5 << 20)
	for _, it := range items {
		if !b.Add(it.Kind, it.Body) {
			w.t.Fatalf("a %v does not fit the block", it.Kind)
		}
	}
	blk := driver.Block{Height: w.ms[0].Head().Height + 1, TimeNs: w.timeNs, Txs: b.Items()}
	for i, m := range w.ms {
		if err := m.Check(blk); err != nil {
			w.t.Fatalf("machine %d: %v", i, err)
		}
		res, err := m.Step(blk)
		if err == nil {
			err = m.Commit()
		}
		if err != nil {
			w.t.Fatalf("machine %d: %v", i, err)
		}
		if i > 0 && res.AppHash != r.AppHash {
			w.t.Fatalf("machine %d has another state after block %d", i, blk.Height)
		}
		r = res
	}
	return r
}

// found runs the key generation to its end.
func (w *network) found() {
	w.t.Helper()
	for range 50 {
		var items []payload.Item
		if b := w.ms[0].Board(); b != nil {
			for _, m := range w.members {
				if it := m.Pending(b); it != nil {
					items = append(items, payload.Item{Kind: payload.DKG, Body: it})
				}
			}
		}
		w.block(items...)
		if w.ms[0].View().Group != nil {
			return
		}
	}
	w.t.Fatalf("no key after 50 blocks: %+v", w.ms[0].View().DKG)
}

func (w *network) sign(domain string, body []byte) []byte {
	w.t.Helper()
	board, err := w.ms[0].FinishedBoard()
	if err != nil {
		w.t.Fatal(err)
	}
	var shares []bls.Share
	for _, m := range w.members {
		s, err := m.Share(board)
		if err != nil {
			w.t.Fatal(err)
		}
		share, err := s.Sign(bls.Message(domain, body))
		if err != nil {
			w.t.Fatal(err)
		}
		shares = append(shares, share)
	}
	sig, err := w.ms[0].View().Group.Combine(bls.Message(domain, body), shares)
	if err != nil {
		w.t.Fatal(err)
	}
	return sig
}

func (w *network) call(id identity.Identity, method string, nonce byte, args ...any) ([]byte, envelope.ID) {
	w.t.Helper()
	arg, err := candid.Marshal(args...)
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := envelope.Sign(envelope.Content{RequestType: envelope.Call, Sender: id.Sender(), Nonce: []byte{nonce}, IngressExpiry: w.timeNs + 60e9,
		CanisterID: principal.Management, MethodName: method, Arg: arg}, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return e.Encode(), e.Content.RequestID()
}

func (w *network) status(id envelope.ID) (status, detail string) {
	t := w.ms[0].View().Tree
	get := func(label string) string {
		v, _ := t.Get([]byte("request_status"), id[:], []byte(label))
		return string(v)
	}
	return get("status"), get("reply") + get("reject_message")
}

// From keyless blocks to a subnet that executes calls; every machine is closed and opened again between blocks.
func TestLifeOfANetwork(t *testing.T) {
	w := newNetwork(t, 4)
	user, err := identity.GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	w.found()
	v := w.ms[0].View()
	if v.Subnet != principal.SelfAuthenticating(v.RootKeyDER) {
		t.Error("the subnet's id is not its key's")
	}
	// A certificate over the root, checked as a client does.
	c := certificate.Certificate{Tree: v.Tree.Witness([][]byte{[]byte("time")}, [][]byte{[]byte("subnet"), v.Subnet.Bytes(), []byte("node")}),
		Signature: w.sign(bls.DomainStateRoot, v.Root[:])}
	verifier, err := certificate.NewVerifier(v.RootKeyDER)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(&c, certificate.ForCanister(principal.FromUint64(150))); err != nil {
		t.Error(err)
	}
	if ns, err := c.Time(); err != nil || ns != w.timeNs {
		t.Errorf("certified time %d, %v; want %d", ns, err, w.timeNs)
	}

	raw, id := w.call(user, "provisional_create_canister_with_cycles", 1, management.ProvisionalCreateArgs{})
	w.block(payload.Item{Kind: payload.Ingress, Body: raw})
	if status, detail := w.status(id); status != "replied" {
		t.Fatalf("creating a canister: %q %q", status, detail)
	}
	before := w.block()
	for i := range w.ms {
		root := w.ms[i].View().Root
		w.close(i)
		w.open(i)
		if w.ms[i].View().Root != root || w.ms[i].Head().AppHash != before.AppHash {
			t.Fatalf("machine %d is another after opening it again", i)
		}
		if err := w.dbs[i].Check(nil); err != nil {
			t.Error(err)
		}
	}
	// The same message again is known and changes nothing but time.
	w.block(payload.Item{Kind: payload.Ingress, Body: raw})
	if got := len(w.ms[0].View().Executor.Canisters()); got != 2 { // ours and the Bitcoin canister
		t.Errorf("%d canisters after a replay", got)
	}
}

// A key to derive from is made like the subnet's, after it and independent of it, across restarts of every machine.
func TestVetKeysAreMade(t *testing.T) {
	w := newNetwork(t, 4)
	w.found()
	if s := w.ms[0].View().VetKeys; len(s) != 1 || s[0].Active {
		t.Fatalf("before the first block after the subnet's: %+v", s)
	}
	var members []*bls.Member
	for i := range w.ms {
		members = append(members, bls.NewMember(sha256.Sum256(fmt.Appendf(nil, "vetkd seed %d", i)), i, key(i, "node")))
	}
	for range 20 {
		var items []payload.Item
		if b := w.ms[0].VetKeys().Board(0); b != nil {
			for _, m := range members {
				if it := m.Pending(b); it != nil {
					items = append(items, payload.Item{Kind: payload.DKG, Body: it})
				}
			}
		}
		w.block(items...)
		for i := range w.ms {
			w.close(i)
			w.open(i)
		}
		if w.ms[0].View().VetKeys[0].Active {
			break
		}
	}
	s, root := w.ms[0].View().VetKeys[0], w.ms[0].View().Group.PublicKey()
	if !s.Active || s.PublicKey == root || s.PublicKey == [bls.PublicKeySize]byte{} {
		t.Fatalf("%+v", s)
	}
	board, err := w.ms[0].FinishedVetBoard(0)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range members {
		if _, err := m.Share(board); err != nil {
			t.Errorf("member %d: %v", i, err)
		}
	}
}

func TestBeaconIsTakenOnceCommitted(t *testing.T) {
	w := newNetwork(t, 1)
	w.found()
	h := w.ms[0].Head().Height
	item := func(height uint64, sig []byte) payload.Item {
		return payload.Item{Kind: payload.Beacon, Body: EncodeBeacon(height, sig)}
	}
	good := w.sign(bls.DomainBeacon, w.ms[0].BeaconPayload(h))
	for name, it := range map[string]payload.Item{
		"of a height to come":    item(h+1, w.sign(bls.DomainBeacon, w.ms[0].BeaconPayload(h+1))),
		"with a wrong signature": item(h, w.sign(bls.DomainBeacon, w.ms[0].BeaconPayload(h-1))),
		"with a state root's":    item(h, w.sign(bls.DomainStateRoot, w.ms[0].BeaconPayload(h))),
		"of rubbish":             {Kind: payload.Beacon, Body: []byte("rubbish")},
	} {
		blk := driver.Block{Height: h + 1, TimeNs: w.timeNs + 1, Txs: [][]byte{append([]byte{byte(it.Kind)}, it.Body...)}}
		if err := w.ms[0].Check(blk); !errors.Is(err, ErrInvalid) {
			t.Errorf("a beacon %s: %v", name, err)
		}
	}
	w.block(item(h, good))
}

func TestCheckRefuses(t *testing.T) {
	w := newNetwork(t, 1)
	user, err := identity.GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	early, _ := w.call(user, "raw_rand", 1)
	check := func(kind payload.Kind, bodies ...[]byte) error {
		var txs [][]byte
		for _, b := range bodies {
			txs = append(txs, append([]byte{byte(kind)}, b...))
		}
		return w.ms[0].Check(driver.Block{Height: w.ms[0].Head().Height + 1, TimeNs: w.timeNs, Txs: txs})
	}
	if err := check(payload.Ingress, early); !errors.Is(err, ErrInvalid) {
		t.Errorf("ingress before there is a key: %v", err)
	}
	w.found()
	good, _ := w.call(user, "raw_rand", 2)
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	expired := good
	for name, c := range map[string]struct {
		kind   payload.Kind
		bodies [][]byte
		want   string
	}{
		"forged":          {payload.Ingress, [][]byte{forged}, "signature"},
		"twice":           {payload.Ingress, [][]byte{good, good}, "twice"},
		"no cbor":         {payload.Ingress, [][]byte{[]byte("rubbish")}, ""},
		"late dkg":        {payload.DKG, [][]byte{[]byte("x")}, "not expected"},
		"bitcoin rubbish": {payload.Bitcoin, [][]byte{[]byte("x")}, "bitcoin"},
		"bad derived key": {payload.DerivedKey, [][]byte{[]byte("x")}, "vetkd"},
		"bad signature":   {payload.Signature, [][]byte{[]byte("x")}, ""},
		"bad complaint":   {payload.Complaint, [][]byte{[]byte("x")}, ""},
		"bad vote":        {payload.KeyVote, [][]byte{[]byte("x")}, ""},
		"bad boot":        {payload.Incarnation, [][]byte{[]byte("x")}, ""},
	} {
		if err := check(c.kind, c.bodies...); !errors.Is(err, ErrInvalid) || !strings.Contains(strings.ToLower(err.Error()), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := check(payload.Ingress, good); err != nil {
		t.Errorf("a good message: %v", err)
	}
	w.timeNs += 10 * 60e9
	if err := check(payload.Ingress, expired); !errors.Is(err, envelope.ErrExpired) {
		t.Errorf("an expired message: %v", err)
	}
}

// A block that was decided although it has bad items (which only a broken quorum could do) still leaves all machines alike.
func TestBadItemsOfADecidedBlockAreSkipped(t *testing.T) {
	w := newNetwork(t, 1)
	w.found()
	blk := driver.Block{Height: w.ms[0].Head().Height + 1, TimeNs: w.timeNs + 1, Txs: [][]byte{
		{byte(payload.Beacon), 1}, {byte(payload.DKG), 1}, {byte(payload.DerivedKey), 1}, {byte(payload.Bitcoin), 1}, {byte(payload.Ingress), 1}}}
	res, err := w.ms[0].Step(blk)
	if err != nil || res.Skipped != 5 {
		t.Fatalf("%d items skipped, %v", res.Skipped, err)
	}
	if _, err := w.ms[0].Step(blk); !errors.Is(err, ErrInvalid) {
		t.Errorf("a second block was executed before the first was committed: %v", err)
	}
	if err := w.ms[0].Commit(); err != nil {
		t.Fatal(err)
	}
	if err := w.ms[0].Commit(); err == nil {
		t.Error("a block was committed twice")
	}
}

// The same core under the solo driver: manual rounds, a manual clock, and the same state as when the blocks are given one by one.
func TestSoloDriver(t *testing.T) {
	w := newNetwork(t, 1)
	app := App{Machine: w.ms[0], Propose: func(p driver.Proposal) [][]byte {
		b := payload.NewBuilder(p.MaxBytes)
		if board := w.ms[0].Board(); board != nil {
			if it := w.members[0].Pending(board); it != nil {
				b.Add(payload.DKG, it)
			}
		}
		return b.Items()
	}}
	s, err := solo.New(app, time.Unix(0, int64(w.timeNs)))
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := s.Steps(1, time.Second); err != nil {
			t.Fatal(err)
		}
		if w.ms[0].View().Group != nil {
			break
		}
	}
	v := w.ms[0].View()
	if v.Group == nil || v.TimeNs != uint64(s.Now().UnixNano()) || !bytes.Equal(s.AppHash(), v.AppHash[:]) || s.Height() != v.Height {
		t.Fatalf("after %d blocks: key %v, time %d, app hash %x", s.Height(), v.Group != nil, v.TimeNs, s.AppHash())
	}
	if _, err := s.Block([][]byte{{byte(payload.Ingress), 1}}); err == nil || s.Height() != v.Height {
		t.Errorf("a bad block was made: %v", err)
	}
	s.Advance(time.Hour)
	if err := s.Steps(1, 0); err != nil || w.ms[0].View().TimeNs != uint64(s.Now().UnixNano()) {
		t.Errorf("the clock did not move: %v", err)
	}
}
