package beacon

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/beacon/params"
	"go.uber.org/goleak"

	"fusion/adapters/ethereum"
	"fusion/eth"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain")) // ends half a minute later
}

// recorded is what mainnet said in August 2023: a bootstrap at slot 7,069,376, the updates of six periods from there, and a finality update at slot 7,109,430.
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	firstPeriod = 862
	finalSlot   = 7109344
	finalBlock  = 17923026
)

var (
	checkpoint = hash("0x5afc212a7924789b2bc86acad3ab3a6ffb1f6e97253ea50bee7f4f51422c9275") // slot 7,069,376
	finalTime  = time.Unix(1692136151, 0)
	wantFinal  = ethereum.Finalized{
		Number: finalBlock, Hash: hash("0xbc8499537876e5406c7a65e25f99063f1cd85a17014a3aa5ade38271b1fbf64f"), StateRoot: hash("0x226f5ff47ab3725b5a4a3afc74b1e79e4aa3a29704561eccce590e58900baec3"),
		ReceiptsRoot: hash("0xa71c4101ece61ca0fc624efdb54dc382be561a8c047a19cf5f10e530378e0b9c"), Time: finalTime,
	}
)

func hash(s string) eth.Hash {
	h, err := eth.ParseHash(s)
	if err != nil {
		panic(err)
	}
	return h
}

// server is a beacon node with a fault.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]any // bootstrap, finality, updates
	status  int
	asked   map[string]int
}

func newServer(t testing.TB) *server {
	s := &server{answers: map[string]any{}, asked: map[string]int{}}
	for _, name := range []string{"bootstrap", "finality", "updates"} {
		var v any
		if err := json.Unmarshal(recorded(t, name), &v); err != nil {
			t.Fatal(err)
		}
		s.answers[name] = v
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status != 0 {
		w.WriteHeader(s.status)
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/key/eth/v1/beacon/light_client/bootstrap/0x"):
		s.asked["bootstrap"]++
		json.NewEncoder(w).Encode(s.answers["bootstrap"])
	case r.URL.Path == "/key/eth/v1/beacon/light_client/finality_update":
		s.asked["finality"]++
		json.NewEncoder(w).Encode(s.answers["finality"])
	case r.URL.Path == "/key/eth/v1/beacon/light_client/updates":
		s.asked["updates"]++
		first, err1 := strconv.Atoi(r.URL.Query().Get("start_period"))
		count, err2 := strconv.Atoi(r.URL.Query().Get("count"))
		all := s.answers["updates"].([]any)
		if err1 != nil || err2 != nil || first < firstPeriod || first-firstPeriod+count > len(all) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(all[first-firstPeriod : first-firstPeriod+count])
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// at goes to a place in an answer, like "data.finality_branch.0".
func (s *server) at(path string) (parent any, last string) {
	parts := strings.Split(path, ".")
	var v any = s.answers
	for _, p := range parts[:len(parts)-1] {
		v = child(v, p)
	}
	return v, parts[len(parts)-1]
}

func child(v any, key string) any {
	if list, ok := v.([]any); ok {
		i, err := strconv.Atoi(key)
		if err != nil {
			panic(err)
		}
		return list[i]
	}
	return v.(map[string]any)[key]
}

// change replaces a value in an answer and returns how to undo it.
func (s *server) change(path string, f func(any) any) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	parent, last := s.at(path)
	old := child(parent, last)
	put := func(v any) {
		if list, ok := parent.([]any); ok {
			i, _ := strconv.Atoi(last)
			list[i] = v
			return
		}
		parent.(map[string]any)[last] = v
	}
	put(f(old))
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		put(old)
	}
}

// flip changes the last digit of a hexadecimal or decimal text.
func flip(v any) any {
	s := v.(string)
	last := s[len(s)-1]
	if last == '1' {
		return s[:len(s)-1] + "2"
	}
	return s[:len(s)-1] + "1"
}

func (s *server) node(t testing.TB) API {
	t.Helper()
	n, err := Node(ethereum.Provider{URL: s.URL + "/key", Headers: []ethereum.Header{{Name: "X-Key", Value: "secret"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%v %s %+v", n, n, n); strings.Contains(got, "key") || strings.Contains(got, "secret") {
		t.Errorf("a key is shown: %s", got)
	}
	return n
}

func open(t testing.TB, cfg Config) *Light {
	t.Helper()
	cfg.ChainID, cfg.Checkpoint = 1, checkpoint
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return finalTime.Add(20 * time.Minute) }
	}
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestMainnet(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	now := finalTime.Add(20 * time.Minute)
	clock := func() time.Time { return now }
	l := open(t, Config{Nodes: []API{s.node(t)}, Dir: dir, Now: clock})
	if _, err := l.Finalized(t.Context()); !errors.Is(err, ethereum.ErrStale) {
		t.Errorf("before the first update: %v", err)
	}
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Finalized(t.Context()); err != nil || got != wantFinal {
		t.Errorf("%+v, %v, want %+v", got, err, wantFinal)
	}
	if st := l.Stats(); st.Number != finalBlock || st.Slot != finalSlot || st.Age != 20*time.Minute || st.Stale || st.Periods != 867 {
		t.Errorf("%+v", st)
	}
	if err := l.Sync(t.Context()); err != nil { // nothing new
		t.Error(err)
	}
	now = finalTime.Add(2 * time.Hour)
	if _, err := l.Finalized(t.Context()); !errors.Is(err, ethereum.ErrStale) || !l.Stats().Stale {
		t.Errorf("after two hours: %v", err)
	}
	now = finalTime.Add(20 * time.Minute)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A restart remembers, and asks for no bootstrap.
	s.status = http.StatusServiceUnavailable
	l = open(t, Config{Nodes: []API{s.node(t)}, Dir: dir, Now: clock})
	if got, err := l.Finalized(t.Context()); err != nil || got != wantFinal {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
	if err := l.Sync(t.Context()); err == nil {
		t.Error("no node answers, and Sync says nothing")
	}
	s.status = 0
	if err := l.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if s.asked["bootstrap"] != 1 || s.asked["updates"] != 1 {
		t.Errorf("asked %v", s.asked)
	}
	l.Close()
	// Another checkpoint starts over.
	other, err := New(Config{ChainID: 1, Checkpoint: eth.Hash{1}, Nodes: []API{s.node(t)}, Dir: dir, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Finalized(t.Context()); !errors.Is(err, ethereum.ErrStale) {
		t.Errorf("with another checkpoint: %v", err)
	}
	if err := other.Sync(t.Context()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a bootstrap that is not for the checkpoint: %v", err)
	}
}

// TestTampering changes each part of what a node says.
func TestTampering(t *testing.T) {
	s := newServer(t)
	n := s.node(t)
	follows := open(t, Config{Nodes: []API{n}}) // the committees are known, only the finality update is fetched
	f, err := decodeFinality(follows.config, recorded(t, "finality"))
	if err != nil {
		t.Fatal(err)
	}
	if err := follows.start(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := follows.committees(t.Context(), n, 867); err != nil {
		t.Fatal(err)
	}
	if err := follows.verify(f); err != nil {
		t.Fatal(err)
	}
	fewer := func(v any) any { // more than a third did not sign
		bits, err := hex.DecodeString(v.(string)[2:])
		if err != nil {
			panic(err)
		}
		for i := range 22 {
			bits[i] = 0
		}
		return "0x" + hex.EncodeToString(bits)
	}
	cut := func(v any) any { return v.([]any)[1:] }
	set := func(to any) func(any) any { return func(any) any { return to } }
	for _, c := range []struct {
		path string
		f    func(any) any
	}{
		{"finality.data.sync_aggregate.sync_committee_signature", flip},
		{"finality.data.sync_aggregate.sync_committee_bits", fewer},
		{"finality.data.sync_aggregate.sync_committee_bits", func(v any) any { return "0x7f" + v.(string)[4:] }},
		{"finality.data.sync_aggregate.sync_committee_bits", set("0xff")},
		{"finality.data.signature_slot", set("7109430")},
		{"finality.data.signature_slot", set("9999999999")},
		{"finality.data.signature_slot", set("7000000")},
		{"finality.data.signature_slot", set("-1")},
		{"finality.data.attested_header.beacon.state_root", flip},
		{"finality.data.attested_header.beacon.slot", flip},
		{"finality.data.attested_header.beacon.body_root", flip},
		{"finality.data.attested_header.beacon.slot", set("18446744073709551615")},
		{"finality.data.finalized_header.beacon.slot", flip},
		{"finality.data.finalized_header.beacon.slot", set("7109431")},
		{"finality.data.finalized_header.beacon.body_root", flip},
		{"finality.data.finalized_header.execution.block_number", flip},
		{"finality.data.finalized_header.execution.block_hash", flip},
		{"finality.data.finalized_header.execution.receipts_root", flip},
		{"finality.data.finalized_header.execution.state_root", flip},
		{"finality.data.finalized_header.execution.timestamp", flip},
		{"finality.data.finalized_header.execution", set(nil)},
		{"finality.data.finalized_header.execution_branch.0", flip},
		{"finality.data.finalized_header.execution_branch", cut},
		{"finality.data.finality_branch.2", flip},
		{"finality.data.finality_branch", cut},
		{"finality.data.finality_branch", set([]any{})},
		{"finality.data", set(nil)},
		{"finality", set("nothing")},
	} {
		t.Run(c.path, func(t *testing.T) {
			defer s.change(c.path, c.f)()
			err := follows.Sync(t.Context())
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			if _, err := follows.Finalized(t.Context()); !errors.Is(err, ethereum.ErrStale) {
				t.Errorf("it is taken: %v", err)
			}
		})
	}
	// The version that a node claims is of no matter.
	undo := s.change("finality.version", set("electra"))
	if err := follows.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	undo()
	for _, c := range []struct {
		path string
		f    func(any) any
	}{
		{"bootstrap.data.header.beacon.state_root", flip},
		{"bootstrap.data.header.beacon.slot", flip},
		{"bootstrap.data.current_sync_committee.pubkeys.17", flip},
		{"bootstrap.data.current_sync_committee.pubkeys", cut},
		{"bootstrap.data.current_sync_committee.aggregate_pubkey", flip},
		{"bootstrap.data.current_sync_committee", set(nil)},
		{"bootstrap.data.current_sync_committee_branch.1", flip},
		{"bootstrap.data.current_sync_committee_branch", set([]any{})},
		{"updates.0.data.next_sync_committee.pubkeys.3", flip},
		{"updates.0.data.next_sync_committee", set(nil)},
		{"updates.0.data.next_sync_committee_branch.0", flip},
		{"updates.0.data.sync_aggregate.sync_committee_signature", flip},
		{"updates.0.data.sync_aggregate.sync_committee_bits", fewer},
		{"updates.0.data.attested_header.beacon.proposer_index", flip},
		{"updates.0.data.signature_slot", set("1")},
		{"updates.0.data.finality_branch.0", flip},
		{"updates.0.data.finalized_header.beacon.state_root", flip},
	} {
		t.Run(c.path, func(t *testing.T) {
			defer s.change(c.path, c.f)()
			fresh := open(t, Config{Nodes: []API{n}})
			if err := fresh.Sync(t.Context()); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v", err)
			}
			if _, err := fresh.Finalized(t.Context()); !errors.Is(err, ethereum.ErrStale) {
				t.Errorf("it is taken: %v", err)
			}
		})
	}
}

// TestNodes has several nodes: one honest one is enough.
func TestNodes(t *testing.T) {
	lying, down, endless, honest := newServer(t), newServer(t), newServer(t), newServer(t)
	lying.change("finality.data.sync_aggregate.sync_committee_signature", flip)
	down.status = 503
	endless.change("finality.data", func(any) any { return strings.Repeat("x", MaxResponse) })
	l := open(t, Config{Nodes: []API{lying.node(t), down.node(t), endless.node(t), honest.node(t)}})
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Finalized(t.Context()); err != nil || got != wantFinal {
		t.Errorf("%+v, %v", got, err)
	}
	if st := l.Stats(); st.Failed < 2 {
		t.Errorf("%+v", st)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Run(ctx) // ends
	for _, cfg := range []Config{{}, {ChainID: 1}, {ChainID: 1337, Checkpoint: checkpoint, Nodes: l.cfg.Nodes}, {ChainID: 1, Checkpoint: checkpoint}} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	for _, p := range []ethereum.Provider{{URL: "ftp://a/key"}, {URL: "http://a/%zzkey"}, {URL: "http://a", Headers: []ethereum.Header{{Name: "A", Value: "key\n"}}}} {
		if _, err := Node(p, nil); !errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "key") {
			t.Errorf("%v", err)
		}
	}
}

// FuzzDecode gives the decoders any bytes: what they take has branches that hold.
func FuzzDecode(f *testing.F) {
	f.Add(recorded(f, "finality"), 0)
	f.Add([]byte(`{"data":{}}`), 0)
	f.Add([]byte(`[{"data":{}}]`), 1)
	f.Add([]byte(`{"data":{}}`), 2)
	config := params.MainnetLightConfig
	f.Fuzz(func(t *testing.T, body []byte, kind int) {
		switch kind {
		case 0:
			if got, err := decodeFinality(config, body); err == nil && got.finalized != wantFinal {
				t.Fatalf("another finality update: %+v", got)
			}
		case 1:
			if got, err := decodeUpdates(config, body, firstPeriod, 1); err == nil && len(got) != 1 {
				t.Fatalf("%d updates", len(got))
			}
		default:
			if got, err := decodeBootstrap(config, body, checkpoint); err == nil && got.Committee == nil {
				t.Fatal("no committee")
			}
		}
	})
}

func BenchmarkVerifyFinality(b *testing.B) {
	s := newServer(b)
	n := s.node(b)
	l := open(b, Config{Nodes: []API{n}})
	if err := l.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	body := recorded(b, "finality")
	for b.Loop() {
		f, err := decodeFinality(l.config, body)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.verify(f); err != nil {
			b.Fatal(err)
		}
	}
}
