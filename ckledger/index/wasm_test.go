package index_test

import (
	"bytes"
	"context"
	"testing"

	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/cdk/stable"
	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/ic/candid"
)

// maxModule is the largest message on the Internet Computer less what is in it beside the module.
const maxModule = 2<<20 - 32<<10

func create(t testing.TB) *index.Index {
	x, err := index.Create(&stable.Heap{}, index.InitArg{LedgerID: ledgerID})
	must(t, err)
	return x
}

// The index as wasm does what the index as Go does, to the last byte of stable memory, and an upgrade keeps it.
func TestWasm(t *testing.T) {
	c, err := link.Build(context.Background(), "", "./cmd/index")
	must(t, err)
	packed, err := link.Gzip(c.Wasm)
	must(t, err)
	if len(packed) > maxModule {
		t.Errorf("the module has %d bytes, more than the %d that fit into one message", len(packed), maxModule)
	}
	h, err := ic0host.New(context.Background(), c.Wasm)
	must(t, err)
	defer h.Close()
	h.Self, h.Now, h.Controller = indexID, 1_800_000_000e9, controller
	must(t, h.Install(candid.MustMarshal(&index.Arg{Init: &index.InitArg{LedgerID: ledgerID}})))
	mem := &stable.Heap{}
	x, err := index.Create(mem, index.InitArg{LedgerID: ledgerID})
	must(t, err)

	blocks := record(t, 150)
	// poll runs the timer and answers the calls that it makes until there is none: the one to itself, and those to the ledger.
	poll := func() {
		t.Helper()
		h.Now += 20e9
		_, err := h.Run("canister_global_timer", controller, nil)
		must(t, err)
		if len(h.Calls) != 1 || h.Calls[0].To != indexID {
			t.Fatalf("the timer makes %d calls", len(h.Calls))
		}
		self := h.Calls[0]
		_, err = h.Update(indexID, self.Method, self.Arg)
		must(t, err)
		asked := h.Calls
		_, err = h.Deliver(self, nil, nil)
		must(t, err)
		for len(asked) > 0 {
			var a icrc.GetBlocksArgs
			must(t, candid.Unmarshal(asked[0].Arg, &a))
			start, _ := a.Start.Uint64()
			r := icrc.StoredBlocks{LogLength: uint64(len(blocks)), First: start}
			for _, b := range blocks[start:min(start+100, uint64(len(blocks)))] {
				raw, err := icrc.AppendValue(nil, b.Block)
				must(t, err)
				r.Blocks = append(r.Blocks, raw)
			}
			_, err := h.Deliver(asked[0], candid.MustMarshal(r), nil)
			must(t, err)
			must(t, x.ReadStored(&r))
			asked = h.Calls
		}
	}
	poll()
	must(t, h.Upgrade(nil))
	poll()
	data, err := h.Query(who(1), "status", nil)
	must(t, err)
	var st index.Status
	must(t, candid.Unmarshal(data, &st))
	if st.NumBlocksSynced.String() != "150" || st.Halted != nil {
		t.Fatalf("status %+v", st)
	}
	if h.Stable.Size() != mem.Size() {
		t.Fatalf("stable memories of %d and %d pages", h.Stable.Size(), mem.Size())
	}
	a, b := make([]byte, stable.PageSize), make([]byte, stable.PageSize)
	for p := range mem.Size() {
		h.Stable.Read(a, p*stable.PageSize)
		mem.Read(b, p*stable.PageSize)
		if !bytes.Equal(a, b) {
			t.Fatalf("page %d of the stable memories differs", p)
		}
	}
}

// BenchmarkWasmIdlePoll measures what an index costs while nothing happens: the timer, its call to the canister itself, and an empty answer of the ledger.
func BenchmarkWasmIdlePoll(b *testing.B) {
	c, err := link.Build(context.Background(), "", "./cmd/index")
	must(b, err)
	h, err := ic0host.New(context.Background(), c.Wasm)
	must(b, err)
	defer h.Close()
	h.Self, h.Now, h.Controller = indexID, 1_800_000_000e9, controller
	must(b, h.Install(candid.MustMarshal(&index.Arg{Init: &index.InitArg{LedgerID: ledgerID}})))
	empty := candid.MustMarshal(icrc.StoredBlocks{})
	b.ResetTimer()
	polls := 0
	for range b.N {
		h.Now += 20e9
		_, err := h.Run("canister_global_timer", controller, nil)
		must(b, err)
		for _, k := range h.Calls {
			_, err = h.Update(indexID, k.Method, k.Arg)
			must(b, err)
			asked := h.Calls
			_, err = h.Deliver(k, nil, nil)
			must(b, err)
			for _, a := range asked {
				_, err = h.Deliver(a, empty, nil)
				must(b, err)
				polls++
			}
		}
	}
	if polls < b.N {
		b.Fatalf("%d polls in %d turns", polls, b.N)
	}
}
