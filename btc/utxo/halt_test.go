package utxo

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/kv"
)

// headersOf hands headers over in payloads as proposals do.
func headersOf(t *testing.T, st *State, blocks []*block) {
	t.Helper()
	for chunk := range slices.Chunk(blocks, MaxHeadersPerPayload) {
		it := headers(chunk...)
		if err := st.CheckPayload(it); err != nil {
			t.Fatal(err)
		}
		if got := st.Filter(it, late, 4<<20); !bytes.Equal(got.Headers, it.Headers) {
			t.Fatal("headers that CheckPayload takes are filtered out")
		}
		for _, o := range st.Apply(it, late) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
		}
	}
}

// A branch from below the anchor halts the state in the block in which it gets more work than the best, and a lead of δ ends that.
func TestDeepForkHalts(t *testing.T) {
	sim := newSimnet(t)
	store := kv.NewMem()
	st := sim.open(t, 6, store)
	main := sim.chain(sim.genesis, 40, testAddress(1))
	feed(t, st, main...)
	if st.Anchor().Height != 35 {
		t.Fatalf("anchor %d", st.Anchor().Height)
	}
	before := st.Digest()
	fork := sim.chain(main[19], 25, testAddress(2)) // from height 20, to 45
	headersOf(t, st, fork[:20])                     // as much work as ours
	if st.Halted() != nil || st.Digest() == before {
		t.Fatal("a branch of equal work halts the state, or leaves no trace")
	}
	balanceOf(t, st, testAddress(1), 0)
	if err := st.CheckPayload(headers(fork[3])); !errors.Is(err, ErrKnown) {
		t.Errorf("a header from below the anchor twice: %v", err)
	}
	if err := st.CheckPayload(headers(main[10])); !errors.Is(err, ErrKnown) {
		t.Errorf("a final header: %v", err)
	}
	if err := st.CheckPayload(items(fork[0])); !errors.Is(err, chain.ErrFinal) {
		t.Errorf("a body beside the final blocks: %v", err)
	}
	headersOf(t, st, fork[20:21])
	h := st.Halted()
	if h == nil || h.Fork != 20 || h.Height != 41 || h.Tip != fork[20].hash || h.SinceNs != late {
		t.Fatalf("%+v", h)
	}
	// Everything but information is refused.
	v := st.Live()
	_, err1 := v.Balance(testAddress(1), 0)
	_, err2 := v.UTXOs(testAddress(1), 0)
	_, err3 := v.FeePercentiles()
	_, _, err4 := v.Headers(0, nil)
	_, err5 := st.Send(spend(1, testAddress(1), out(main[0].txs[0], 0)).Bytes(), late)
	_, err6 := v.Made(btc.Outpoint{})
	_, err7 := v.NextUTXOs(testAddress(1), make([]byte, PageSize))
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		if !errors.Is(err, ErrHalted) {
			t.Errorf("method %d: %v", i+1, err)
		}
	}
	if info, err := v.Info(); err != nil || info.Halted == nil || info.Height != 40 {
		t.Errorf("%+v, %v", info, err)
	}
	// It survives a restart, and blocks on our branch neither become final nor end it before they lead by δ.
	again := sim.open(t, 6, store.Clone())
	if again.Digest() != st.Digest() || again.Halted() == nil || *again.Halted() != *h || len(again.tree.DeepHeaders()) != 21 {
		t.Fatal("a restart changes the halted state")
	}
	more := sim.chain(last(main), 10, testAddress(1))
	feed(t, st, more[:6]...)
	if st.Halted() == nil || st.Anchor().Height != 35 {
		t.Fatalf("a lead of five ends it, or the anchor moved to %d", st.Anchor().Height)
	}
	feed(t, st, more[6])
	if st.Halted() != nil || st.Anchor().Height != 42 {
		t.Fatalf("a lead of six does not end it; anchor %d", st.Anchor().Height)
	}
	balanceOf(t, st, testAddress(1), 0)
	// The branch takes the lead again.
	headersOf(t, st, append(fork[21:], sim.chain(last(fork), 3, testAddress(2))...))
	if h := st.Halted(); h == nil || h.Fork != 20 || h.Height != 48 {
		t.Fatalf("%+v", h)
	}
}

// The operator's way out: the state starts over and follows the heavier branch; what it held is collected over the next blocks.
func TestReset(t *testing.T) {
	sim := newSimnet(t)
	store := kv.NewMem()
	st := sim.open(t, 6, store)
	main := sim.chain(sim.genesis, 40, testAddress(1))
	feed(t, st, main...)
	tx := spend(1, testAddress(1), out(main[0].txs[0], 0))
	if _, err := st.Send(tx.Bytes(), late); err != nil {
		t.Fatal(err)
	}
	fork := sim.chain(main[19], 25, testAddress(2))
	headersOf(t, st, fork)
	old := st.View(store.Clone())
	gen := st.gen
	if st.Halted() == nil {
		t.Fatal("not halted")
	}
	if err := st.Reset(); err != nil {
		t.Fatal(err)
	}
	if st.Halted() != nil || st.Tip().Height != 0 || st.Epoch() != 1 || st.gen <= gen || len(st.Outgoing()) != 1 || st.Info().StableCoins != 0 {
		t.Fatalf("%+v", st.Info())
	}
	if _, err := old.Info(); !errors.Is(err, ErrStale) {
		t.Errorf("a view of before the reset: %v", err)
	}
	if _, err := st.View(kv.NewMem()).Info(); !errors.Is(err, ErrStale) {
		t.Errorf("a snapshot of before the reset: %v", err)
	}
	feed(t, st, append(slices.Clone(main[:20]), fork...)...)
	if st.Tip().Hash != last(fork).hash {
		t.Fatalf("%+v", st.Info())
	}
	if _, err := st.View(store.Clone()).UTXOs(testAddress(1), 0); err != nil {
		t.Error(err)
	}
	// A state that never knew the other branch has the same coins, and a restart changes nothing.
	ref := sim.open(t, 6, kv.NewMem())
	feed(t, ref, append(slices.Clone(main[:20]), fork...)...)
	if ref.SetHash() != st.SetHash() {
		t.Error("other coins than a fresh state's")
	}
	again := sim.open(t, 6, store)
	if again.Digest() != st.Digest() || len(again.Outgoing()) != 1 || again.Epoch() != 1 {
		t.Error("a restart changes the state")
	}
	// Nothing of the first epoch is left but where the second one is.
	left := 0
	store.Scan(nil, nil, func(k, _ []byte) bool {
		if !bytes.HasPrefix(k, []byte(epochPrefix(1))) && !bytes.Equal(k, epochKey) {
			left++
		}
		return true
	})
	if left != 0 || !st.epoch.Done {
		t.Errorf("%d keys of the first epoch are left", left)
	}
	// And once more, with the old space behind and before the new one.
	if err := st.Reset(); err != nil {
		t.Fatal(err)
	}
	st.Apply(Items{}, late)
	if e, err := readEpoch(store); err != nil || e.Epoch != 2 || !e.Done {
		t.Errorf("%+v, %v", e, err)
	}
}

// Collecting goes on over blocks and restarts, and never touches the epoch in use.
func TestCollectInSteps(t *testing.T) {
	sim := newSimnet(t)
	store := kv.NewMem()
	st := sim.open(t, 6, store)
	for i := range 2*collectPerBlock + 5 {
		store.Set([]byte{'u', byte(i), byte(i >> 8), byte(i >> 16)}, []byte{1})
		if i < 5 {
			store.Set([]byte{'A', byte(i)}, []byte{1}) // before the epochs' space
		}
	}
	if err := st.Reset(); err != nil {
		t.Fatal(err)
	}
	for i := 1; !st.epoch.Done; i++ {
		if i > 4 {
			t.Fatal("it never ends")
		}
		st = sim.open(t, 6, store)
		st.Apply(Items{}, late)
	}
	for _, k := range []byte{'A', 'u', 'm', 'g', 'H'} {
		kv.ScanPrefix(store, []byte{k}, func(k, _ []byte) bool { t.Errorf("%q is left", k); return false })
	}
	feed(t, sim.open(t, 6, store), sim.chain(sim.genesis, 10, testAddress(1))...)
}

// On networks where coins may have value a reset is only for a halted state.
func TestResetNeedsHalt(t *testing.T) {
	p, err := chain.ParamsOf(btc.Mainnet)
	if err != nil {
		t.Fatal(err)
	}
	st, err := Open(Options{Params: p}, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Reset(); !errors.Is(err, ErrNotHalted) {
		t.Error(err)
	}
}

// Whoever adds a field to State decides here what a reset does to it.
func TestResetKnowsEveryField(t *testing.T) {
	carried := []string{"opt", "root", "mu", "gen", "outgoing", "foresight", "checkedMu", "checkedSeed", "checked", "checkedBytes"}
	replaced := []string{"epoch", "store", "tree", "halt", "suspicion", "tip", "bodies", "created", "spends", "bytes", "muhash", "setSum", "coins", "meta", "many", "marks", "digest", "known", "below"}
	typ := reflect.TypeFor[State]()
	for i := range typ.NumField() {
		if f := typ.Field(i).Name; !slices.Contains(carried, f) && !slices.Contains(replaced, f) {
			t.Errorf("State.%s: carried over a reset, or replaced?", f)
		}
	}
	if typ.NumField() != len(carried)+len(replaced) {
		t.Error("a field is gone")
	}
}
