package wasm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	wb "fusion/internal/wasmbin"
)

// both runs a test on mapped and on copied heaps.
func both(t *testing.T, f func(t *testing.T, cfg Config)) {
	t.Run("mapped", func(t *testing.T) {
		if !mappedHeapsWork() {
			t.Skip("this system has no memfd or no PAGEMAP_SCAN; the copying heaps are tested instead")
		}
		f(t, Config{})
	})
	t.Run("plain", func(t *testing.T) { f(t, Config{PlainHeaps: true}) })
}

func counter(t testing.TB, inst *Instance) (mem uint32, global uint64) {
	t.Helper()
	s := &testState{}
	inst.Ctx = s
	if _, err := inst.Run("canister_query get", 1e6); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint32(s.reply), binary.LittleEndian.Uint64(s.reply[4:])
}

func TestTransaction(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		inst, img := install(t, newEngine(t, cfg), counterCanister())
		inc := func(n byte) {
			t.Helper()
			inst.Ctx = &testState{arg: []byte{n}}
			if _, err := inst.Run("canister_update inc", 1e6); err != nil {
				t.Fatal(err)
			}
		}
		inc(5)
		inc(6) // two messages in one transaction
		pages, size, globals, err := inst.Commit()
		if err != nil || len(pages) != 1 || pages[0].Index != 0 || binary.LittleEndian.Uint32(pages[0].Data[8:]) != 11 ||
			size != 2 || !reflect.DeepEqual(globals, []uint64{22}) {
			t.Fatalf("%d pages, size %d, globals %v, %v", len(pages), size, globals, err)
		}
		// A trap changes nothing.
		if _, err := inst.Run("canister_update fail", 1e6); err == nil || err.Error() != "boom" {
			t.Fatal(err)
		}
		if inst.WasmPages() != 5 {
			t.Fatalf("memory has %d pages in the failed message", inst.WasmPages())
		}
		if err := inst.Rollback(); err != nil {
			t.Fatal(err)
		}
		if inst.WasmPages() != 2 {
			t.Fatalf("memory kept %d pages", inst.WasmPages())
		}
		if m, g := counter(t, inst); m != 11 || g != 22 {
			t.Fatalf("counter %d, global %d", m, g)
		}
		if err := inst.Rollback(); err != nil {
			t.Fatal(err)
		}
		// Nothing changed, nothing is dirty, even though pages were written.
		inc(0)
		if pages, _, _, err := inst.Commit(); err != nil || len(pages) != 0 {
			t.Fatalf("%d pages dirty, %v", len(pages), err)
		}
		if used, err := inst.Run("canister_update spin", 1_000_000); used != 1_000_000 || !isTrap(err, OutOfInstructions) {
			t.Fatalf("%d, %v", used, err)
		}
		if err := inst.Rollback(); err != nil {
			t.Fatal(err)
		}
		inc(1)
		if _, _, _, err := inst.Commit(); err != nil {
			t.Fatal(err)
		}
		var b [4]byte
		if !img.Read(b[:], 8) || binary.LittleEndian.Uint32(b[:]) != 12 {
			t.Fatalf("image holds %v", b)
		}
	})
}

func isTrap(err error, kind TrapKind) bool {
	t := (*Trap)(nil)
	return errors.As(err, &t) && t.Kind == kind
}

// grower writes and grows as its argument says: byte 0 says what to do, bytes 1..4 where, byte 5 the value.
func grower() []byte {
	m := newBuilder(1)
	m.imp("msg_arg_data_copy", i32s(3), nil)
	m.Memories[0] = wb.Limits{Min: 1, Max: 40, HasMax: true}
	m.Globals = []wb.Global{
		{GlobalType: wb.GlobalType{Type: wb.I32, Mutable: true}, Init: new(asm).i32(3).end()},
		{GlobalType: wb.GlobalType{Type: wb.V128, Mutable: true},
			Init: append((&wb.Instr{Op: wb.OpV128Const, Imm: wb.ImmV128, Bits: 1, Bits2: 2}).Append(nil, nil), byte(wb.OpEnd))},
	}
	a := new(asm).i32(0).i32(0).i32(16).call(m, "msg_arg_data_copy")
	// Grow by arg[6] pages.
	a.i32(0).mem(wb.OpI32Load8U, 6).op(wb.OpMemoryGrow).raw(0).idx(wb.OpGlobalSet, 0)
	// Fill from arg[1..4] for arg[7] times 64 bytes with arg[5].
	a.i32(0).mem(wb.OpI32Load, 1).i32(0).mem(wb.OpI32Load8U, 5).i32(0).mem(wb.OpI32Load8U, 7).i32(64).op(wb.OpI32Mul).
		op(wb.OpMemoryFill).raw(0)
	// The vector global counts.
	a.idx(wb.OpGlobalGet, 1).idx(wb.OpGlobalGet, 1).raw(0xfd, 0xce, 0x01).idx(wb.OpGlobalSet, 1)
	// arg[0] = 1: trap.
	a.i32(0).mem(wb.OpI32Load8U, 0).block(wb.OpIf, wb.BlockEmpty).op(wb.OpUnreachable, wb.OpEnd)
	m.fn("canister_update go", a.end())
	return m.Encode()
}

// TestHeapsAgree runs the same random transactions on both kinds of heaps and on a model that rebuilds the image
// from its commits; everything they return must be equal.
func TestHeapsAgree(t *testing.T) {
	if !mappedHeapsWork() {
		t.Skip("this system has no memfd or no PAGEMAP_SCAN, so there is only one kind of heap")
	}
	mapped, imgM := install(t, newEngine(t, Config{}), grower())
	plain, imgP := install(t, newEngine(t, Config{PlainHeaps: true}), grower())
	model := map[uint32][]byte{}
	rng := rand.New(rand.NewSource(7))
	traps, grown := 0, uint32(1)
	for step := range 600 {
		arg := make([]byte, 16)
		size := uint32(mapped.WasmPages()) * WasmPage
		arg[0] = byte(rng.Intn(4) / 3)
		binary.LittleEndian.PutUint32(arg[1:], uint32(rng.Int63n(int64(size)+2000)))
		arg[5] = byte(rng.Intn(3))
		if rng.Intn(10) == 0 {
			arg[6] = byte(rng.Intn(4))
		}
		arg[7] = byte(rng.Intn(256))
		mapped.Ctx, plain.Ctx = &testState{arg: arg}, &testState{arg: arg}
		usedM, errM := mapped.Run("canister_update go", 1e6)
		usedP, errP := plain.Run("canister_update go", 1e6)
		if usedM != usedP || fmt.Sprint(errM) != fmt.Sprint(errP) {
			t.Fatalf("step %d: %d %v, %d %v", step, usedM, errM, usedP, errP)
		}
		if errM != nil {
			traps++
		}
		switch {
		case errM != nil || rng.Intn(5) == 0:
			if err := errors.Join(mapped.Rollback(), plain.Rollback()); err != nil {
				t.Fatal(err)
			}
		case rng.Intn(3) > 0: // otherwise the transaction goes on
			dm, sm, gm, err1 := mapped.Commit()
			dp, sp, gp, err2 := plain.Commit()
			if err1 != nil || err2 != nil || sm != sp || !reflect.DeepEqual(gm, gp) || !reflect.DeepEqual(dm, dp) {
				t.Fatalf("step %d: commits differ: %d and %d pages, size %d and %d, %v %v, %v %v", step, len(dm), len(dp), sm, sp, gm, gp, err1, err2)
			}
			for _, p := range dm {
				model[p.Index] = bytes.Clone(p.Data)
			}
			grown = sm
		}
		if rng.Intn(20) == 0 && mapped.fresh {
			if err := errors.Join(mapped.Drop(), plain.Drop()); err != nil {
				t.Fatal(err)
			}
		}
		if a, b := mapped.heap.bytes(), plain.heap.bytes(); !bytes.Equal(a, b) {
			t.Fatalf("step %d: heaps differ (%d and %d bytes)", step, len(a), len(b))
		}
	}
	if traps < 50 || grown < 20 {
		t.Fatalf("%d traps, %d pages: the test is too tame", traps, grown)
	}
	// What was committed is what the images hold, and what a restart loads.
	for _, img := range []*Image{imgM, imgP} {
		seen := 0
		if err := img.Pages(func(i uint32, p []byte) error {
			seen++
			if !bytes.Equal(p, model[i]) {
				return fmt.Errorf("page %d differs", i)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		loaded, err := img.Module().LoadImage(img.WasmPages(), img.Globals(), func(put func(uint32, []byte) error) error {
			for i, p := range model {
				if err := put(i, p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(loaded.store.view(), img.store.view()) {
			t.Fatal("loaded image differs")
		}
		if err := loaded.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTraps(t *testing.T) {
	m := newBuilder(1)
	m.imp("trap", i32s(2), nil)
	m.imp("msg_reply_data_append", i32s(2), nil)
	m.imp("performance_counter", i32s(1), i64s(1))
	m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 2}}}
	want := map[string]struct {
		kind TrapKind
		text string
	}{}
	def := func(name string, kind TrapKind, text string, body []byte) {
		m.fn("canister_update "+name, body)
		want[name] = struct {
			kind TrapKind
			text string
		}{kind, text}
	}
	def("unreachable", Unreachable, "unreachable", new(asm).op(wb.OpUnreachable).end())
	def("load", OutOfBounds, "out of bounds memory access", new(asm).i32(WasmPage-3).mem(wb.OpI32Load, 0).op(wb.OpDrop).end())
	def("offset", OutOfBounds, "out of bounds memory access", new(asm).i32(-1).mem(wb.OpI32Load, 1<<32-1).op(wb.OpDrop).end())
	def("div", DivisionByZero, "integer divide by zero", new(asm).i32(1).i32(0).op(0x6d, wb.OpDrop).end())
	def("overflow", IntegerOverflow, "integer overflow", new(asm).i32(-1<<31).i32(-1).op(0x6d, wb.OpDrop).end())
	def("nan", InvalidConversion, "invalid conversion to integer", new(asm).raw(byte(wb.OpF32Const), 0, 0, 0xc0, 0x7f).op(0xa8, wb.OpDrop).end())
	def("empty", InvalidTable, "invalid table access", new(asm).i32(1).raw(byte(wb.OpCallIndirect), byte(m.AddType(wb.FuncType{})), 0).end())
	def("type", WrongType, "indirect call type mismatch", new(asm).i32(0).i32(0).i32(0).
		raw(byte(wb.OpCallIndirect), byte(m.AddType(wb.FuncType{Params: i32s(2)})), 0).end())
	m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: new(asm).i32(0).end(), Funcs: []uint32{m.funcs["canister_update div"]}}}
	def("recursion", StackOverflow, "stack overflow", new(asm).idx(wb.OpCall, uint32(m.NumFuncs())).end())
	def("loop", OutOfInstructions, "out of instructions", new(asm).block(wb.OpLoop, wb.BlockEmpty).idx(wb.OpBr, 0).op(wb.OpEnd).end())
	def("host", HostTrap, "\x00\x00", new(asm).i32(8).i32(2).call(m, "trap").end())
	def("hostmem", OutOfBounds, "4 bytes at 65534 are beyond the memory of 65536 bytes",
		new(asm).i32(WasmPage-2).i32(4).call(m, "msg_reply_data_append").end())
	def("hosthuge", OutOfBounds, "4294967295 bytes at 4294967295 are beyond the memory of 65536 bytes",
		new(asm).i32(-1).i32(-1).call(m, "msg_reply_data_append").end())
	def("tail", OutOfInstructions, "out of instructions", new(asm).raw(bytes.Repeat([]byte{byte(wb.OpNop)}, 2_000)...).
		block(wb.OpBlock, wb.BlockEmpty).i32(0).idx(wb.OpBrIf, 0).raw(bytes.Repeat([]byte{byte(wb.OpNop)}, 30_000)...).op(wb.OpEnd).end())
	m.SetFuncNames(map[uint32]string{m.funcs["canister_update div"]: "divide"})

	inst, _ := install(t, newEngine(t, Config{}), m.Encode())
	for name, w := range want {
		for range 2 { // the instance survives
			limit := uint64(10_000_000)
			if name == "tail" {
				limit = 20_000
			}
			_, err := inst.Run("canister_update "+name, limit)
			if !isTrap(err, w.kind) || err.Error() != w.text {
				t.Errorf("%s: got %v, want %v", name, err, w.kind)
			}
			if name == "div" {
				if tr := (*Trap)(nil); !errors.As(err, &tr) || len(tr.Backtrace) == 0 || !strings.Contains(tr.Backtrace[0], "divide") {
					t.Errorf("backtrace %v", err)
				}
			}
			if err := inst.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := inst.Run("canister_update nothing", 1); !errors.Is(err, ErrNoExport) {
		t.Errorf("unknown export: %v", err)
	}
}

func TestCallbacks(t *testing.T) {
	m := newBuilder(1)
	m.imp("msg_reply_data_append", i32s(2), nil)
	m.imp("take", i32s(1), nil)
	m.imp("echo", i64s(1), i64s(1)) // makes 64-bit callbacks possible
	m.imp("quit", nil, nil)
	m.Exports = []wb.Export{{Name: "canister_update quit", Kind: wb.KindFunc, Index: m.funcs["quit"]}}
	m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 5}}}
	f32bit := m.AddFunc(wb.FuncType{Params: i32s(1)}, wb.Code{Body: new(asm).i32(0).idx(wb.OpLocalGet, 0).mem(wb.OpI32Store, 0).
		i32(0).i32(4).call(m, "msg_reply_data_append").end()})
	f64bit := m.AddFunc(wb.FuncType{Params: i64s(1)}, wb.Code{Body: new(asm).i32(0).idx(wb.OpLocalGet, 0).mem(wb.OpI64Store, 0).
		i32(0).i32(8).call(m, "msg_reply_data_append").end()})
	wrong := m.AddFunc(wb.FuncType{Params: i32s(2)}, wb.Code{Body: new(asm).end()})
	m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: new(asm).i32(0).end(), Funcs: []uint32{f32bit, f64bit, wrong, m.funcs["take"]}}}
	inst, _ := install(t, newEngine(t, Config{}), m.Encode())
	for index, c := range []struct {
		reply []byte
		kind  TrapKind
	}{
		{reply: []byte{0xef, 0xbe, 0xad, 0xde}}, {reply: []byte{0xef, 0xbe, 0xad, 0xde, 9, 0, 0, 0}},
		{kind: WrongType}, {kind: HostTrap}, {kind: InvalidTable}, {kind: InvalidTable},
	} {
		s := &testState{}
		inst.Ctx = s
		_, err := inst.RunTable(uint32(index), 0x9deadbeef, 1000)
		if c.kind == 0 && (err != nil || !bytes.Equal(s.reply, c.reply)) {
			t.Errorf("slot %d: %x, %v", index, s.reply, err)
		}
		if c.kind != 0 && !isTrap(err, c.kind) {
			t.Errorf("slot %d: %v, want %v", index, err, c.kind)
		}
		if err := inst.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	// An export may name an import.
	if _, err := inst.Run("canister_update quit", 10); !isTrap(err, HostTrap) {
		t.Error(err)
	}
}

// TestTablesAndSegmentsReset: what a message does to a table or a passive segment is gone in the next one, as on the
// Internet Computer, while memory and globals stay.
func TestTablesAndSegmentsReset(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		m := newBuilder(1)
		m.imp("msg_reply_data_append", i32s(2), nil)
		m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 1}}}
		one := uint32(1)
		m.DataCount = &one
		m.Data = []wb.Data{{Mode: wb.Passive, Init: []byte("data")}}
		m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.I32, Mutable: true}, Init: new(asm).i32(0).end()}}
		m.fn("canister_update go", new(asm).
			// memory.init, then drop: the second time only works on a fresh segment.
			i32(0).i32(0).i32(4).raw(0xfc, 8, 0, 0).raw(0xfc, 9, 0).
			// table.size goes to address 4, then the table grows.
			i32(0).raw(0xfc, 16, 0).mem(wb.OpI32Store, 4).
			raw(byte(wb.OpRefNull), byte(wb.FuncRef)).i32(7).raw(0xfc, 15, 0).op(wb.OpDrop).
			idx(wb.OpGlobalGet, 0).i32(1).op(wb.OpI32Add).idx(wb.OpGlobalSet, 0).
			i32(0).idx(wb.OpGlobalGet, 0).mem(wb.OpI32Store, 8).
			i32(0).i32(12).call(m, "msg_reply_data_append").
			i32(1).op(wb.OpMemoryGrow).raw(0).op(wb.OpDrop).end())
		inst, img := install(t, newEngine(t, cfg), m.Encode())
		for n := range byte(4) {
			s := &testState{}
			inst.Ctx = s
			if _, err := inst.Run("canister_update go", 1e6); err != nil {
				t.Fatal(err)
			}
			if want := append([]byte("data\x01\x00\x00\x00"), n+1, 0, 0, 0); !bytes.Equal(s.reply, want) {
				t.Fatalf("run %d: %q", n, s.reply)
			}
			if n == 1 {
				if _, _, _, err := inst.Commit(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if inst.WasmPages() != 5 || img.WasmPages() != 3 {
			t.Fatalf("%d and %d pages", inst.WasmPages(), img.WasmPages())
		}
	})
}

func TestQueries(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		cfg.QueryPool = 2
		inst, img := install(t, newEngine(t, cfg), counterCanister())
		var lock sync.RWMutex // the caller's duty
		var wg sync.WaitGroup
		for range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				last := uint32(0)
				for range 200 {
					lock.RLock()
					q, err := img.Query()
					if err != nil {
						t.Error(err)
						return
					}
					m, g := counter(t, q)
					if g != uint64(2*m) || m < last {
						t.Errorf("counter %d after %d, global %d", m, last, g)
					}
					last = m
					// A query's changes must be invisible to the next.
					_, _ = q.Run("canister_update fail", 1e6)
					if err := q.Release(); err != nil {
						t.Error(err)
					}
					lock.RUnlock()
				}
			}()
		}
		for range 200 {
			lock.Lock()
			inst.Ctx = &testState{arg: []byte{1}}
			if _, err := inst.Run("canister_update inc", 1e6); err != nil {
				t.Error(err)
			}
			if _, _, _, err := inst.Commit(); err != nil {
				t.Error(err)
			}
			lock.Unlock()
		}
		wg.Wait()
		q, err := img.Query()
		if err != nil {
			t.Fatal(err)
		}
		if m, _ := counter(t, q); m != 200 {
			t.Fatalf("counter %d", m)
		}
		if err := q.Release(); err != nil {
			t.Fatal(err)
		}
		if n := len(img.pool); n > 2 {
			t.Fatalf("%d instances in a pool of 2", n)
		}
	})
}

// TestTwoWriters: an instance that did not see a commit must not overwrite it.
func TestTwoWriters(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		a, img := install(t, newEngine(t, cfg), counterCanister())
		b, err := img.Module().NewInstance(img)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		run := func(i *Instance) {
			t.Helper()
			i.Ctx = &testState{arg: []byte{1}}
			if _, err := i.Run("canister_update inc", 1e6); err != nil {
				t.Fatal(err)
			}
		}
		run(a)
		run(b)
		if _, _, _, err := a.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := b.Commit(); err == nil {
			t.Fatal("the second commit lost the first")
		}
		run(b) // starts over from the image
		if _, _, _, err := b.Commit(); err != nil {
			t.Fatal(err)
		}
		if m, _ := counter(t, a); m != 2 {
			t.Fatalf("counter %d", m)
		}
	})
}

func TestMemoryBomb(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		m := newBuilder(1)
		m.imp("msg_reply_data_append", i32s(2), nil)
		// Grow page by page until it fails; reply with the size.
		m.fn("canister_update bomb", new(asm).block(wb.OpLoop, wb.BlockEmpty).i32(1).op(wb.OpMemoryGrow).raw(0).i32(-1).op(0x47).
			idx(wb.OpBrIf, 0).op(wb.OpEnd).i32(0).op(wb.OpMemorySize).raw(0).mem(wb.OpI32Store, 0).i32(0).i32(4).
			call(m, "msg_reply_data_append").end())
		inst, _ := install(t, newEngine(t, cfg), m.Encode())
		inst.SetMemoryLimit(100)
		s := &testState{}
		inst.Ctx = s
		if _, err := inst.Run("canister_update bomb", 1e9); err != nil || binary.LittleEndian.Uint32(s.reply) != 100 {
			t.Fatalf("%v, %v", s.reply, err)
		}
		if err := inst.Rollback(); err != nil || inst.WasmPages() != 1 {
			t.Fatalf("%d pages, %v", inst.WasmPages(), err)
		}
		if inst.SetMemoryLimit(1 << 31); cfg.PlainHeaps {
			return // 4 GiB of real memory
		}
		s.reply = nil
		if _, err := inst.Run("canister_update bomb", 1e10); err != nil || binary.LittleEndian.Uint32(s.reply) != 65535 {
			t.Fatalf("%v, %v", s.reply, err)
		}
		if err := inst.Rollback(); err != nil || inst.WasmPages() != 1 {
			t.Fatalf("%d pages, %v", inst.WasmPages(), err)
		}
		s.reply = nil
		if _, err := inst.Run("canister_update bomb", 1e5); !isTrap(err, OutOfInstructions) {
			t.Fatal(err)
		}
	})
}

// TestRefill pauses a run where its instructions end and goes on with more, which is how long messages are sliced.
func TestRefill(t *testing.T) {
	m := newBuilder(1)
	m.imp("performance_counter", i32s(1), i64s(1))
	m.fn("canister_update work", new(asm).i32(10_000).idx(wb.OpLocalSet, 0).block(wb.OpLoop, wb.BlockEmpty).
		idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Sub).idx(wb.OpLocalTee, 0).idx(wb.OpBrIf, 0).op(wb.OpEnd).end(), wb.I32)
	inst, _ := install(t, newEngine(t, Config{}), m.Encode())
	whole, err := inst.Run("canister_update work", 1e9)
	if err != nil || whole != 2+10_000*6 {
		t.Fatal(whole, err)
	}
	slices := 0
	inst.Refill = func() uint64 { slices++; return 1000 }
	if used, err := inst.Run("canister_update work", 1000); err != nil || used != whole || slices != 60 {
		t.Fatalf("used %d in %d slices, %v", used, slices, err)
	}
	inst.Refill = func() uint64 { slices++; return 0 }
	if used, err := inst.Run("canister_update work", 1000); !isTrap(err, OutOfInstructions) || used != 1000 {
		t.Fatal(used, err)
	}
}

func TestPointerWidths(t *testing.T) {
	m := newBuilder(1)
	m.imp("echo", i64s(1), i64s(1))
	m.funcs["echo64"] = m.funcs["echo"]
	m.imp("echo", i32s(1), i32s(1))
	m.imp("msg_reply_data_append", i64s(2), nil)
	// Leave garbage above a 32-bit argument: the wrapped value of a wide register.
	m.fn("canister_query run", new(asm).i32(0).i64(0x123456789abcdef0).call(m, "echo64").mem(wb.OpI64Store, 0).
		i32(0).i64(0x7fffffff00000006).op(wb.OpI32WrapI64).call(m, "echo").op(wb.OpI64ExtendI32U).mem(wb.OpI64Store, 8).
		i64(0).i64(16).call(m, "msg_reply_data_append").end())
	inst, _ := install(t, newEngine(t, Config{}), m.Encode())
	s := &testState{}
	inst.Ctx = s
	if _, err := inst.Run("canister_query run", 1e6); err != nil ||
		binary.LittleEndian.Uint64(s.reply) != 0x123456789abcdef0 || binary.LittleEndian.Uint64(s.reply[8:]) != 6 {
		t.Fatalf("%x, %v", s.reply, err)
	}
}

// TestMemory64 runs a canister with a 64-bit memory and table through a whole message: 64-bit host pointers, growth up
// to the module's maximum and the caller's limit, callbacks, dirty pages, rollback.
func TestMemory64(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		m := newBuilder(2)
		m.Memories[0] = wb.Limits{Min: 2, Max: 8, HasMax: true, Is64: true}
		m.imp("msg_arg_data_copy", i64s(3), nil)
		m.imp("msg_reply_data_append", i64s(2), nil)
		// The argument is (address, value, growth): grow, store, reply with the result of the growth.
		m.fn("canister_update go", new(asm).i64(0).i64(0).i64(24).call(m, "msg_arg_data_copy").
			i64(0).i64(0).mem(wb.OpI64Load, 16).op(wb.OpMemoryGrow).raw(0).mem(wb.OpI64Store, 32).
			i64(32).i64(8).call(m, "msg_reply_data_append").
			i64(0).mem(wb.OpI64Load, 0).i64(0).mem(wb.OpI64Load, 8).mem(wb.OpI64Store, 0).end())
		cb := m.AddFunc(wb.FuncType{Params: i64s(1)}, wb.Code{Body: new(asm).idx(wb.OpLocalGet, 0).i64(8).call(m, "msg_reply_data_append").end()})
		m.Tables = []wb.Table{{Type: wb.FuncRef, Limits: wb.Limits{Min: 2, Is64: true}}}
		m.Elements = []wb.Element{{Type: wb.FuncRef, Offset: new(asm).i64(1).end(), Funcs: []uint32{cb}}}
		m.Data = []wb.Data{{Offset: new(asm).i64(WasmPage).end(), Init: []byte("initial!")}}
		inst, img := install(t, newEngine(t, cfg), m.Encode())
		send := func(at, value, grow uint64) (int64, error) {
			t.Helper()
			s := &testState{}
			for _, v := range []uint64{at, value, grow} {
				s.arg = binary.LittleEndian.AppendUint64(s.arg, v)
			}
			inst.Ctx = s
			_, err := inst.Run("canister_update go", 1e6)
			if len(s.reply) != 8 {
				t.Fatalf("reply %x, %v", s.reply, err)
			}
			return int64(binary.LittleEndian.Uint64(s.reply)), err
		}
		if was, err := send(5*WasmPage-8, 0x1122334455667788, 3); was != 2 || err != nil {
			t.Fatal(was, err)
		}
		pages, size, _, err := inst.Commit()
		if err != nil || size != 5 || len(pages) != 2 || pages[1].Index != 5*WasmPage/PageSize-1 {
			t.Fatalf("%d pages, size %d, %v", len(pages), size, err)
		}
		for _, at := range []uint64{5*WasmPage - 7, 5 * WasmPage, 1<<32 + 8, 1 << 63, math.MaxUint64 - 7} {
			if was, err := send(at, 1, 0); was != 5 || !isTrap(err, OutOfBounds) {
				t.Fatalf("store at %#x: %v", at, err)
			}
			if err := inst.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
		for _, grow := range []uint64{4, 1 << 32, 1<<32 + 1, math.MaxUint64} {
			if was, err := send(64, 1, grow); was != -1 || err != nil {
				t.Fatalf("growing by %#x: %d, %v", grow, was, err)
			}
		}
		inst.SetMemoryLimit(6)
		if was, err := send(64, 1, 2); was != -1 || err != nil {
			t.Fatal(was, err)
		}
		if was, err := send(64, 1, 1); was != 5 || err != nil || inst.WasmPages() != 6 {
			t.Fatal(was, err)
		}
		if err := inst.Rollback(); err != nil || inst.WasmPages() != 5 {
			t.Fatal(inst.WasmPages(), err)
		}
		s := &testState{}
		inst.Ctx = s
		if _, err := inst.RunTable(1, WasmPage, 1e6); err != nil || string(s.reply) != "initial!" {
			t.Fatalf("callback: %q, %v", s.reply, err)
		}
		if _, err := inst.RunTable(1, 1<<32, 1e6); !isTrap(err, OutOfBounds) {
			t.Fatal(err)
		}
		if err := inst.Rollback(); err != nil {
			t.Fatal(err)
		}
		var b [8]byte
		if !img.Read(b[:], 5*WasmPage-8) || binary.LittleEndian.Uint64(b[:]) != 0x1122334455667788 {
			t.Fatalf("the image holds %x", b)
		}
	})
}

func TestCompile(t *testing.T) {
	dir := t.TempDir()
	e := newEngine(t, Config{CacheDir: dir})
	src := counterCanister()
	a, err := e.Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Compile(bytes.Clone(src))
	if err != nil || a != b || a.Hash() != sha256.Sum256(src) {
		t.Fatal("the same bytes gave another module", err)
	}
	if !reflect.DeepEqual(a.Exports(), []string{"canister_query get", "canister_update fail", "canister_update inc", "canister_update spin"}) ||
		!a.HasExport("canister_update inc") || a.HasExport("canister_update") || a.HasStart() || a.HasExport(Start) {
		t.Fatal(a.Exports())
	}
	if _, err := a.LoadImage(1, []uint64{0}, nil); err == nil {
		t.Error("an image below the declared size was loaded")
	}
	if _, err := a.LoadImage(2, nil, nil); err == nil {
		t.Error("an image without globals was loaded")
	}
	if _, err := a.LoadImage(2, []uint64{0}, func(put func(uint32, []byte) error) error { return put(32, make([]byte, PageSize)) }); err == nil {
		t.Error("a page beyond the heap was loaded")
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	// Ill-typed code is refused by the engine's validator, under our error.
	bad := newBuilder(1)
	bad.fn("canister_update x", new(asm).i64(1).i32(1).op(wb.OpI32Add, wb.OpDrop).end())
	if _, err := e.Compile(bad.Encode()); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "type mismatch") {
		t.Errorf("ill-typed module: %v", err)
	}
	if _, err := e.Compile([]byte("junk")); !errors.Is(err, ErrInvalid) {
		t.Errorf("junk: %v", err)
	}
	if len(e.modules) != 0 {
		t.Errorf("%d modules are left", len(e.modules))
	}
	// A cache that cannot be written must not make a module invalid.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newBuilder(3)
	m.fn("canister_update x", new(asm).end())
	mod, err := e.Compile(m.Encode())
	if err != nil {
		t.Fatalf("broken cache: %v", err)
	}
	if err := mod.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestGoCanister runs a real compiler's output: start function, garbage collection, map order; twice, with the same
// heap and the same counts.
func TestGoCanister(t *testing.T) {
	src, err := goBench()
	if err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		hash [32]byte
		used []uint64
		size uint32
	}
	var first *outcome
	cache := t.TempDir()
	for _, cfg := range []Config{{CacheDir: cache}, {CacheDir: cache, PlainHeaps: true}, {CacheDir: cache}} {
		inst, img := install(t, newEngine(t, cfg), src)
		var o outcome
		for _, name := range []string{Start, "canister_update inc", "canister_update churn", "canister_update sha", "canister_update inc"} {
			s := &testState{}
			inst.Ctx = s
			used, err := inst.Run(name, 1e10)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			o.used = append(o.used, used)
			if _, o.size, _, err = inst.Commit(); err != nil {
				t.Fatal(err)
			}
			if name == "canister_update inc" && len(s.reply) != 4 {
				t.Fatalf("reply %v", s.reply)
			}
		}
		o.hash = sha256.Sum256(img.store.view())
		t.Logf("instructions %v, %d pages", o.used, o.size)
		if first == nil {
			first = &o
		} else if !reflect.DeepEqual(*first, o) {
			t.Fatalf("two instances differ:\n%+v\n%+v", *first, o)
		}
	}
}

// mappings counts what a leak would leave behind.
func mappings(t *testing.T) (fds, maps int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system has no /proc to count mappings with")
	}
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries), strings.Count(string(b), "memfd:fusion-heap")
}

func TestNoLeaks(t *testing.T) {
	e := newEngine(t, Config{QueryPool: 2})
	m, err := e.Compile(counterCanister())
	if err != nil {
		t.Fatal(err)
	}
	cycle := func() {
		img, err := m.NewImage()
		if err != nil {
			t.Fatal(err)
		}
		inst, err := m.NewInstance(img)
		if err != nil {
			t.Fatal(err)
		}
		var qs []*Instance
		for range 3 {
			q, err := img.Query()
			if err != nil {
				t.Fatal(err)
			}
			counter(t, q)
			qs = append(qs, q)
		}
		for _, q := range qs {
			if err := q.Release(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := inst.Run("canister_update fail", 1e6); err == nil {
			t.Fatal("no trap")
		}
		if err := errors.Join(inst.Rollback(), inst.Close(), inst.Close(), img.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := inst.Run("canister_query get", 1); err == nil {
			t.Fatal("a closed instance ran")
		}
	}
	cycle()
	fds, maps := mappings(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 50 {
		cycle()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	// Other tests of the process may open files, but not 50.
	if f, n := mappings(t); f > fds+10 || n > maps+2 {
		t.Fatalf("%d files and %d mappings became %d and %d", fds, maps, f, n)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Fatalf("%d bytes are left of 50 cycles", grown)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSparse: a module may declare almost 4 GiB; neither the image nor a walk over it may cost that much.
func TestSparse(t *testing.T) {
	if !mappedHeapsWork() {
		t.Skip("copying heaps are as large as they are declared")
	}
	m := newBuilder(65535)
	m.fn("canister_update last", new(asm).i32(-WasmPage-8).i32(7).mem(wb.OpI32Store, 0).end())
	m.Data = []wb.Data{{Offset: new(asm).i32(1 << 30).end(), Init: []byte("x")}}
	inst, img := install(t, newEngine(t, Config{}), m.Encode())
	if _, err := inst.Run("canister_update last", 1000); err != nil {
		t.Fatal(err)
	}
	pages, size, _, err := inst.Commit()
	if err != nil || size != 65535 || len(pages) != 1 || pages[0].Index != 65535*16-1 {
		t.Fatalf("%d pages of %d, %v", len(pages), size, err)
	}
	var found []uint32
	if err := img.Pages(func(i uint32, _ []byte) error { found = append(found, i); return nil }); err != nil ||
		!reflect.DeepEqual(found, []uint32{1 << 18, 65535*16 - 1}) {
		t.Fatalf("pages %v, %v", found, err)
	}
}

func TestNoMemory(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		m := newBuilder(0)
		m.Memories = nil
		m.imp("msg_reply_data_append", i32s(2), nil)
		m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.I64, Mutable: true}, Init: new(asm).i64(1).end()}}
		m.fn("canister_update inc", new(asm).idx(wb.OpGlobalGet, 0).i64(1).op(wb.OpI64Add).idx(wb.OpGlobalSet, 0).end())
		m.fn("canister_update bad", new(asm).i64(9).idx(wb.OpGlobalSet, 0).i32(0).i32(1).call(m, "msg_reply_data_append").end())
		inst, _ := install(t, newEngine(t, cfg), m.Encode())
		if _, err := inst.Run("canister_update inc", 100); err != nil {
			t.Fatal(err)
		}
		if pages, size, globals, err := inst.Commit(); err != nil || len(pages) != 0 || size != 0 || globals[0] != 2 {
			t.Fatal(pages, size, globals, err)
		}
		if _, err := inst.Run("canister_update bad", 100); !isTrap(err, OutOfBounds) {
			t.Fatal(err)
		}
		if err := inst.Rollback(); err != nil {
			t.Fatal(err)
		}
		if _, _, globals, err := inst.Commit(); err != nil || globals[0] != 2 {
			t.Fatal(globals, err)
		}
	})
}
