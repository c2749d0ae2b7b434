package wasm

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"runtime"
	"testing"

	wb "fusion/internal/wasmbin"
)

// slicer is a canister whose behaviour shows when and how its instructions are charged: it loops over stores, host
// calls that charge, memory.fill and memory.grow, asks for the performance counter in between, and ends in a long piece
// of code without a check. "bad" ends that piece with a trap.
func slicer() []byte {
	m := newBuilder(2)
	m.imp("msg_arg_data_copy", i32s(3), nil)
	m.imp("msg_reply_data_append", i32s(2), nil)
	m.imp("performance_counter", i32s(1), i64s(1))
	m.Globals = []wb.Global{{GlobalType: wb.GlobalType{Type: wb.I64, Mutable: true}, Init: new(asm).i64(1).end()}}
	rec := m.AddFunc(wb.FuncType{Params: i32s(1)}, wb.Code{Body: new(asm).
		// Depth: a frame of the recursion is alive at a pause.
		idx(wb.OpLocalGet, 0).block(wb.OpIf, wb.BlockEmpty).idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Sub).idx(wb.OpCall, 3).op(wb.OpElse).
		i32(64).i32(0).i32(8).call(m, "msg_arg_data_copy").op(wb.OpEnd).
		idx(wb.OpGlobalGet, 0).i64(31).op(wb.OpI64Mul).i32(0).call(m, "performance_counter").op(wb.OpI64Add).idx(wb.OpGlobalSet, 0).end()})
	if rec != 3 {
		panic("the recursive call names another function")
	}
	body := func(last func(*asm)) []byte {
		a := new(asm).i32(20).idx(wb.OpLocalSet, 0).block(wb.OpLoop, wb.BlockEmpty).
			idx(wb.OpLocalGet, 0).idx(wb.OpCall, rec).
			idx(wb.OpLocalGet, 0).i32(4096).op(wb.OpI32Mul).idx(wb.OpLocalGet, 0).i32(500).op(wb.OpMemoryFill).raw(0).
			i32(1).op(wb.OpMemoryGrow).raw(0).op(wb.OpDrop).
			idx(wb.OpLocalGet, 0).i32(1).op(wb.OpI32Sub).idx(wb.OpLocalTee, 0).idx(wb.OpBrIf, 0).op(wb.OpEnd).
			i32(0).idx(wb.OpGlobalGet, 0).mem(wb.OpI64Store, 0).i32(0).i32(8).call(m, "msg_reply_data_append")
		for range 300 {
			a.op(wb.Op(0x01)) // nop
		}
		last(a)
		return a.end()
	}
	m.fn("canister_update good", body(func(*asm) {}), wb.I32)
	m.fn("canister_update bad", body(func(a *asm) { a.op(wb.OpUnreachable) }), wb.I32)
	m.fn("canister_query get", new(asm).i32(0).i32(8).call(m, "msg_reply_data_append").end())
	return m.Encode()
}

type sliced struct {
	used    uint64
	trap    string
	reply   []byte
	pages   int
	heap    []byte
	globals []uint64
}

// runSliced runs an update whose instructions come in slices of a size, total in all, and undoes it.
func runSliced(t *testing.T, inst *Instance, name string, total, size uint64) sliced {
	t.Helper()
	s := &testState{arg: []byte("12345678")}
	inst.Ctx = s
	given := min(total, size)
	inst.Refill = func() uint64 {
		more := min(total-given, size)
		given += more
		return more
	}
	used, err := inst.Run("canister_update "+name, given)
	inst.Refill = nil
	out := sliced{used: used, reply: s.reply, pages: int(inst.WasmPages())}
	if err != nil {
		trap := (*Trap)(nil)
		if !errors.As(err, &trap) {
			t.Fatal(err)
		}
		out.trap = trap.Error()
	}
	if used > given || used != inst.InstructionsUsed() {
		t.Fatalf("used %d of %d, and then %d", used, given, inst.InstructionsUsed())
	}
	heap, err := inst.Memory(0, uint64(out.pages)*WasmPage)
	if err != nil {
		t.Fatal(err)
	}
	out.heap = bytes.Clone(heap)
	if out.globals, err = inst.readGlobals(nil); err != nil {
		t.Fatal(err)
	}
	if err := inst.Rollback(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSliceSizes: what a run does depends on what it is given in all, and not on the sizes of the pieces.
func TestSliceSizes(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		inst, _ := install(t, newEngine(t, cfg), slicer())
		for _, name := range []string{"good", "bad"} {
			whole := runSliced(t, inst, name, 1e9, 1e9)
			if (whole.trap == "") != (name == "good") || whole.used < 10_000 || whole.pages != 22 || len(whole.reply) != 8 {
				t.Fatalf("%s: used %d, trap %q, %d pages, reply %x", name, whole.used, whole.trap, whole.pages, whole.reply)
			}
			// Totals that are plenty, exact, and short by less than the code behind the last check.
			for _, total := range []uint64{1e9, whole.used, whole.used - 1, whole.used - 250, whole.used / 2, 1} {
				want := runSliced(t, inst, name, total, math.MaxInt64)
				for _, size := range []uint64{1, 2, 7, 100, 301, 1009, whole.used - 1, whole.used} {
					if got := runSliced(t, inst, name, total, size); !reflect.DeepEqual(got, want) {
						t.Fatalf("%s, %d in slices of %d: used %d, trap %q, %d pages, globals %v\nin one: used %d, trap %q, %d pages, globals %v",
							name, total, size, got.used, got.trap, got.pages, got.globals, want.used, want.trap, want.pages, want.globals)
					}
				}
			}
		}
	})
}

// pausable runs an update on another goroutine in slices that the test hands out.
type pausable struct {
	more  chan uint64
	ended chan bool // true: paused; closed: done
	used  uint64
	err   error
}

func startSlices(inst *Instance, name string, first uint64) *pausable {
	p := &pausable{more: make(chan uint64), ended: make(chan bool)}
	inst.Ctx = &testState{arg: []byte("12345678")}
	inst.Refill = func() uint64 { p.ended <- true; return <-p.more }
	go func() {
		p.used, p.err = inst.Run("canister_update "+name, first)
		inst.Refill = nil
		close(p.ended)
	}()
	return p
}

// TestPausedRun: while a run stands still others use the image, collections happen and stacks move; then it goes on as
// if nothing had been.
func TestPausedRun(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		inst, img := install(t, newEngine(t, cfg), slicer())
		want := runSliced(t, inst, "good", 1e9, 1e9)
		query := func() {
			q, err := img.Query()
			if err != nil {
				t.Fatal(err)
			}
			s := &testState{}
			q.Ctx = s
			if _, err := q.Run("canister_query get", 1e6); err != nil || !bytes.Equal(s.reply, make([]byte, 8)) {
				t.Fatalf("a query beside a paused run saw %x, %v", s.reply, err)
			}
			if err := q.Release(); err != nil {
				t.Fatal(err)
			}
		}
		p := startSlices(inst, "good", 100)
		pauses := 0
		for paused := range p.ended {
			if !paused {
				t.Fatal("ended twice")
			}
			if pauses++; pauses%8 == 0 {
				runtime.GC()
				other, err := img.Module().NewInstance(img)
				if err != nil {
					t.Fatal(err)
				}
				if got := runSliced(t, other, "good", 1e9, 50); !reflect.DeepEqual(got, want) {
					t.Fatal("another instance computed something else beside a paused run")
				}
				if err := other.Close(); err != nil {
					t.Fatal(err)
				}
			}
			query()
			p.more <- 1000
		}
		if p.err != nil || p.used != want.used || pauses < 5 {
			t.Fatalf("used %d instead of %d after %d pauses, %v", p.used, want.used, pauses, p.err)
		}
		if _, size, globals, err := inst.Commit(); err != nil || int(size) != want.pages || !reflect.DeepEqual(globals, want.globals) {
			t.Fatalf("%d pages, globals %v, %v", size, globals, err)
		}
		if heap, err := inst.Memory(0, uint64(want.pages)*WasmPage); err != nil || !bytes.Equal(heap, want.heap) {
			t.Fatal("the heap differs from that of a run without pauses", err)
		}
	})
}

// TestAbandonedRun gives paused runs up at every depth of the code and looks for what they leave behind.
func TestAbandonedRun(t *testing.T) {
	both(t, func(t *testing.T, cfg Config) {
		e := newEngine(t, cfg)
		inst, _ := install(t, e, slicer())
		want := runSliced(t, inst, "good", 1e9, 1e9)
		abandon := func(inst *Instance, after int) {
			p := startSlices(inst, "good", 50)
			for range after {
				if !<-p.ended {
					t.Fatal("the run ended early:", p.err)
				}
				p.more <- 50
			}
			if !<-p.ended {
				t.Fatal("the run ended early:", p.err)
			}
			p.more <- 0
			if _, open := <-p.ended; open || !isTrap(p.err, OutOfInstructions) || p.used != uint64(after+1)*50 {
				t.Fatalf("given up after %d slices: %d, %v", after, p.used, p.err)
			}
		}
		fds, maps := mappings(t)
		goroutines := runtime.NumGoroutine()
		for after := range 100 {
			abandon(inst, after)
			if err := inst.Rollback(); err != nil {
				t.Fatal(err)
			}
			if after%20 != 0 {
				continue
			}
			if got := runSliced(t, inst, "good", 1e9, 1e9); !reflect.DeepEqual(got, want) {
				t.Fatalf("after a run that was given up: used %d instead of %d", got.used, want.used)
			}
			// Module, image and instance can go at once.
			m, err := e.Compile(append(slicer(), 0, 2, 1, 'x')) // a custom section makes it another module
			if err != nil {
				t.Fatal(err)
			}
			img, err := m.NewImage()
			if err != nil {
				t.Fatal(err)
			}
			other, err := m.NewInstance(img)
			if err != nil {
				t.Fatal(err)
			}
			abandon(other, after)
			if err := errors.Join(other.Close(), img.Close(), m.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if len(e.modules) != 1 {
			t.Errorf("%d modules are left", len(e.modules))
		}
		if n := runtime.NumGoroutine(); n > goroutines+2 { // the last ones may be on their way out
			t.Errorf("%d goroutines became %d", goroutines, n)
		}
		if f, n := mappings(t); f > fds+10 || n > maps {
			t.Errorf("%d files and %d mappings became %d and %d", fds, maps, f, n)
		}
	})
}

// TestRefillIsBounded: a host that charges more than anybody has ends the run, whatever Refill says.
func TestRefillIsBounded(t *testing.T) {
	m := newBuilder(1)
	m.imp("charge", i64s(1), nil)
	m.fn("canister_update x", new(asm).i64(-1).call(m, "charge").end())
	asked := 0
	inst, _ := install(t, newEngine(t, Config{Host: []HostFunc{{Name: "charge", Params: []Kind{I64},
		Fn: func(i *Instance, a []uint64) uint64 { i.Charge(a[0]); return 0 }}}}), m.Encode())
	inst.Refill = func() uint64 { asked++; return 1 << 62 }
	if _, err := inst.Run("canister_update x", 10); !isTrap(err, OutOfInstructions) || asked > 3 {
		t.Fatal(asked, err)
	}
}
