package ingress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

const now = uint64(1_700_000_000_000_000_000)

func newID(t testing.TB) identity.Identity {
	t.Helper()
	id, err := identity.GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// call signs a call with an argument of size bytes; n makes it distinct.
func call(t testing.TB, id identity.Identity, n, size int) []byte {
	t.Helper()
	return callAt(t, id, n, size, now+uint64(time.Minute))
}

func callAt(t testing.TB, id identity.Identity, n, size int, expiry uint64) []byte {
	t.Helper()
	e, err := envelope.Sign(envelope.Content{RequestType: envelope.Call, Nonce: binary.BigEndian.AppendUint64(nil, uint64(n)), IngressExpiry: expiry,
		CanisterID: principal.FromUint64(1), MethodName: "m", Arg: make([]byte, size)}, id)
	if err != nil {
		t.Fatal(err)
	}
	return e.Encode()
}

func newPool(cfg Config) *Pool {
	if cfg.Now == nil {
		cfg.Now = func() uint64 { return now }
	}
	return New(cfg)
}

func ids(msgs []*Message) []envelope.ID {
	out := make([]envelope.ID, len(msgs))
	for i, m := range msgs {
		out[i] = m.ID
	}
	return out
}

func TestAddTakeRemove(t *testing.T) {
	var gossiped [][]byte
	p := newPool(Config{OnAdd: func(raw []byte) { gossiped = append(gossiped, raw) }})
	id := newID(t)
	a, b := call(t, id, 1, 10), call(t, id, 2, 10)
	aID, err := p.Add(a)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Add(a)
	if !errors.Is(err, ErrDuplicate) || again != aID {
		t.Errorf("added twice: %x, %v", again, err)
	}
	if n, err := p.AddBatch([][]byte{a, b}); n != 1 || err != nil {
		t.Errorf("batch: %d, %v", n, err)
	}
	if len(gossiped) != 1 || !bytes.Equal(gossiped[0], a) {
		t.Errorf("gossiped %d", len(gossiped))
	}
	got := p.Take(now, 1<<20, 10)
	if len(got) != 2 || got[0].ID != aID || got[0].Sender != id.Sender() || got[0].Method != "m" || len(got[0].Arg) != 10 || got[0].Canister != principal.FromUint64(1) {
		t.Fatalf("took %+v", got)
	}
	if again := p.Take(now, 1<<20, 10); len(again) != 2 {
		t.Errorf("a call is lost before it was committed: %d", len(again))
	}
	p.Remove(ids(got[:1]))
	p.Remove(ids(got[:1]))
	if n, size := p.Size(); n != 1 || size != len(b) || p.Has(aID) || !p.Has(got[1].ID) {
		t.Errorf("%d calls, %d bytes", n, size)
	}
	p.Remove(ids(got))
	if n, size := p.Size(); n != 0 || size != 0 || len(p.senders) != 0 || p.turns.Len() != 0 || len(p.largest) != 0 || len(p.expiring) != 0 {
		t.Errorf("something is left: %d calls, %d bytes", n, size)
	}
}

func TestAddRefuses(t *testing.T) {
	id := newID(t)
	known := call(t, id, 9, 0)
	knownEnv, _ := envelope.Decode(known)
	p := newPool(Config{Known: func(i envelope.ID) bool { return i == knownEnv.Content.RequestID() }})
	query, err := envelope.Sign(envelope.Content{RequestType: envelope.Query, IngressExpiry: now + 1}, id)
	if err != nil {
		t.Fatal(err)
	}
	forged := call(t, id, 1, 10)
	forged[len(forged)-1] ^= 1
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"garbage":  {[]byte{1}, envelope.ErrMalformed},
		"large":    {make([]byte, MaxSize+1), ErrTooLarge},
		"query":    {query.Encode(), ErrNotCall},
		"forged":   {forged, envelope.ErrBadSignature},
		"expired":  {callAt(t, id, 2, 0, now-1), envelope.ErrExpired},
		"future":   {callAt(t, id, 3, 0, now+uint64(time.Hour)), envelope.ErrTooFarInFuture},
		"executed": {known, ErrDuplicate},
	} {
		for range 2 {
			if _, err := p.Add(c.raw); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
	if n, err := p.AddBatch([][]byte{known, call(t, id, 4, 0), forged}); n != 1 || !errors.Is(err, envelope.ErrBadSignature) {
		t.Errorf("batch: %d, %v", n, err)
	}
}

// A sender who floods the pool loses calls to others, and never keeps them out.
func TestFullPoolIsFair(t *testing.T) {
	flooder, quiet := newID(t), newID(t)
	size := len(call(t, flooder, 0, 100))
	p := newPool(Config{MaxBytes: 10 * size})
	for i := range 10 {
		if _, err := p.Add(call(t, flooder, i, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Add(call(t, flooder, 10, 100)); !errors.Is(err, ErrFull) {
		t.Errorf("the flooder's eleventh: %v", err)
	}
	for i := range 5 {
		if _, err := p.Add(call(t, quiet, i, 100)); err != nil {
			t.Errorf("the other's call %d: %v", i, err)
		}
	}
	if _, err := p.Add(call(t, quiet, 5, 100)); !errors.Is(err, ErrFull) {
		t.Errorf("more than half of the pool: %v", err)
	}
	count := map[principal.Principal]int{}
	for _, m := range p.Take(now, 1<<20, 100) {
		count[m.Sender]++
	}
	if count[flooder.Sender()] != 5 || count[quiet.Sender()] != 5 {
		t.Errorf("shares are %v", count)
	}
	if n, bytes := p.Size(); n > 10 || bytes > 10*size {
		t.Errorf("%d calls, %d bytes", n, bytes)
	}
	byCount := newPool(Config{MaxCount: 2})
	for i := range 2 {
		if _, err := byCount.Add(call(t, flooder, i, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := byCount.Add(call(t, quiet, 0, 0)); err != nil {
		t.Errorf("bounded by count: %v", err)
	}
	if n, _ := byCount.Size(); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestTakeByTurns(t *testing.T) {
	p := newPool(Config{})
	senders := []identity.Identity{newID(t), newID(t), newID(t)}
	for _, id := range senders {
		for i := range 4 {
			if _, err := p.Add(call(t, id, i, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	served := map[principal.Principal]int{}
	for range 6 { // blocks of two calls
		got := p.Take(now, 1<<20, 2)
		if len(got) != 2 || got[0].Sender == got[1].Sender {
			t.Fatalf("block of %d calls of one sender", len(got))
		}
		for _, m := range got {
			served[m.Sender]++
		}
		p.Remove(ids(got))
	}
	for _, id := range senders {
		if served[id.Sender()] != 4 {
			t.Errorf("served %v", served)
		}
	}
	// A sender's calls keep their order.
	id := newID(t)
	var want []envelope.ID
	for i := range 20 {
		got, err := p.Add(call(t, id, i, i*7%50))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, got)
	}
	if got := ids(p.Take(now, 1<<20, 100)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("order changed")
	}
}

// A call larger than the soft limit of a block gets one of its own, soon.
func TestTakeLarge(t *testing.T) {
	p := newPool(Config{})
	small, large := newID(t), newID(t)
	for i := range 50 {
		if _, err := p.Add(call(t, small, i, 0)); err != nil {
			t.Fatal(err)
		}
	}
	largeID, err := p.Add(call(t, large, 0, 4000))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := p.Take(now, 1000, 100)
		p.Remove(ids(got))
		if len(got) == 0 {
			t.Fatal("an empty block")
		}
		size := 0
		for _, m := range got {
			size += len(m.Raw)
		}
		if size > 1000 && len(got) > 1 {
			t.Errorf("block of %d calls, %d bytes", len(got), size)
		}
	}
	if p.Has(largeID) {
		t.Error("the large call still waits after two blocks")
	}
}

func TestTimesOfBlocks(t *testing.T) {
	p := newPool(Config{})
	id := newID(t)
	soon, _ := p.Add(callAt(t, id, 1, 0, now+10))
	late, _ := p.Add(callAt(t, id, 2, 0, now+uint64(envelope.MaxTTL+envelope.PermittedDrift)))
	third, _ := p.Add(callAt(t, id, 3, 0, now+100))
	if got := ids(p.Take(now-1, 1<<20, 10)); len(got) != 2 || got[0] != soon || got[1] != third {
		t.Errorf("a block behind the clock takes what is later, not invalid: %x", got)
	}
	if got := ids(p.Take(now+11, 1<<20, 10)); len(got) != 2 || got[0] != late {
		t.Errorf("block after the first expired: %x", got)
	}
	if n := p.Expire(now + 10); n != 0 {
		t.Errorf("%d expired at their last moment", n)
	}
	if n := p.Expire(now + 11); n != 1 || p.Has(soon) {
		t.Errorf("%d expired", n)
	}
}

func TestMemoCheck(t *testing.T) {
	id := newID(t)
	var raws [][]byte
	for i := range 40 {
		raws = append(raws, call(t, id, i, 0))
	}
	m := NewMemo(0)
	msgs, err := m.Check(raws, now, nil)
	if err != nil || len(msgs) != 40 {
		t.Fatal(err)
	}
	for i, msg := range msgs {
		if again, err := m.Authenticate(raws[i], nil); err != nil || again != msg {
			t.Errorf("call %d is not remembered: %v", i, err)
		}
	}
	if _, err := m.Check(append(raws[:1:1], raws[0]), now, nil); !errors.Is(err, ErrDuplicate) {
		t.Errorf("twice: %v", err)
	}
	if _, err := m.Check(raws, now+uint64(time.Hour), nil); !errors.Is(err, envelope.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	forged := bytes.Clone(raws[7])
	forged[len(forged)-1] ^= 1
	if _, err := m.Check(append(raws[:5:5], forged), now, nil); !errors.Is(err, envelope.ErrBadSignature) {
		t.Errorf("forged: %v", err)
	}
	if _, err := m.Check(nil, now, nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	small := NewMemo(20 * (entryOverhead + len(raws[0])))
	if _, err := small.Check(raws, now, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(small.young) + len(small.old); n > 20 {
		t.Errorf("remembers %d", n)
	}
}

// The pool's books agree after any sequence of changes, by several goroutines.
func TestConcurrentBooks(t *testing.T) {
	var raws [][]byte
	for range 5 {
		id := newID(t)
		for i := range 12 {
			raws = append(raws, call(t, id, i, i*10))
		}
	}
	p := newPool(Config{MaxBytes: 6000})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 300 {
				switch r.IntN(4) {
				case 0:
					p.Remove(ids(p.Take(now, 800, 5)))
				case 1:
					p.Expire(now)
				default:
					_, err := p.Add(raws[r.IntN(len(raws))])
					if err != nil && !errors.Is(err, ErrDuplicate) && !errors.Is(err, ErrFull) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	count, size := 0, 0
	for _, a := range p.largest {
		sum := 0
		for e := a.queue.Front(); e != nil; e = e.Next() {
			sum += len(e.Value.(*pending).Raw)
			count++
		}
		if sum != a.bytes || a.queue.Len() == 0 {
			t.Errorf("account of %d bytes holds %d in %d calls", a.bytes, sum, a.queue.Len())
		}
		size += sum
	}
	if n, bytes := p.Size(); n != count || bytes != size || n != len(p.expiring) || len(p.senders) != p.turns.Len() || len(p.senders) != len(p.largest) {
		t.Errorf("books: %d calls, %d bytes; found %d, %d", n, bytes, count, size)
	}
}

func BenchmarkAdd(b *testing.B) {
	id := newID(b)
	raws := make([][]byte, 256)
	for i := range raws {
		raws[i] = call(b, id, i, 100)
	}
	b.Run("first", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := NewMemo(0).Authenticate(raws[i%len(raws)], nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remembered", func(b *testing.B) {
		m := NewMemo(0)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := m.Authenticate(raws[i%len(raws)], nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("take 256 of 256", func(b *testing.B) {
		p := newPool(Config{})
		for _, raw := range raws {
			if _, err := p.Add(raw); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			if len(p.Take(now, 1<<20, 1000)) != 256 {
				b.Fatal()
			}
		}
	})
}
