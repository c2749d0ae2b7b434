package wasmbin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
)

// goModule compiles a small Go program to wasm, once per test binary.
var goModule = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "wasmbin")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	src := "package main\n\nfunc main() { println(len(make([]int, 10))) }\n\n//go:wasmexport probe\nfunc probe(x int64) float64 { return float64(x) * 1.5 }\n"
	for name, s := range map[string]string{"main.go": src, "go.mod": "module probe\n\ngo 1.24\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", "out.wasm", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	return os.ReadFile(filepath.Join(dir, "out.wasm"))
})

func expr(b ...byte) []byte { return append(b, byte(OpEnd)) }

// everything uses each construct of the format at least once.
func everything() *Module {
	start, count := uint32(1), uint32(3)
	m := &Module{
		Types: []FuncType{
			{Params: []ValType{I32, I64}, Results: []ValType{I64, I32}},
			{},
			{Params: []ValType{F32, F64, V128, FuncRef, ExternRef}},
		},
		Imports: []Import{
			{Module: "a", Name: "f", Kind: KindFunc, Func: 1},
			{Module: "a", Name: "g", Kind: KindGlobal, Global: GlobalType{I32, false}},
			{Module: "a", Name: "t", Kind: KindTable, Table: Table{FuncRef, Limits{Min: 1, Max: 2, HasMax: true}}},
			{Module: "a", Name: "m", Kind: KindMemory, Memory: Limits{Min: 1, Is64: true}},
		},
		Funcs:  []uint32{1, 0},
		Tables: []Table{{ExternRef, Limits{Min: 3}}, {FuncRef, Limits{Min: 1 << 33, Max: 1 << 34, HasMax: true, Is64: true}}},
		Globals: []Global{
			{GlobalType{I64, true}, expr(AppendI64(nil, math.MinInt64)...)},
			{GlobalType{FuncRef, false}, expr(AppendIndex(nil, OpRefFunc, 1)...)},
			{GlobalType{V128, true}, expr((&Instr{Op: OpV128Const, Imm: ImmV128, Bits: 7, Bits2: 9}).Append(nil, nil)...)},
		},
		Exports: []Export{{"canister_update é", KindFunc, 2}, {"m", KindMemory, 0}},
		Start:   &start,
		Elements: []Element{
			{Mode: Active, Offset: expr(AppendI32(nil, -1)...), Type: FuncRef, Funcs: []uint32{0, 1}},
			{Mode: Active, Table: 2, Offset: expr(AppendIndex(nil, OpGlobalGet, 0)...), Type: FuncRef, Funcs: []uint32{2}},
			{Mode: Passive, Type: FuncRef, Funcs: []uint32{0}},
			{Mode: Declarative, Type: FuncRef, Exprs: [][]byte{expr(AppendIndex(nil, OpRefFunc, 2)...)}},
			{Mode: Active, Table: 1, Offset: expr(AppendI32(nil, 0)...), Type: ExternRef,
				Exprs: [][]byte{expr(byte(OpRefNull), byte(ExternRef))}},
		},
		DataCount: &count,
		Data: []Data{
			{Mode: Active, Offset: expr(AppendI32(nil, 1<<30)...), Init: []byte("hello")},
			{Mode: Passive, Init: []byte{}},
			{Mode: Passive, Init: []byte{1}},
		},
		Customs: []Custom{{Name: "first", Data: []byte{1}}, {Name: "icp:public candid:service", Data: []byte("service{}"), After: 11}},
	}
	var body []byte
	for _, in := range allInstructions() {
		body = in.Append(body, []uint32{1, 0, 2})
	}
	m.Code = []Code{
		{Locals: []LocalRun{{3, I32}, {1, V128}}, Body: expr(AppendIndex(nil, OpCall, 2)...)},
		{Body: expr(body...)},
	}
	return m
}

// allInstructions has one instruction per opcode, with immediates at their extremes.
func allInstructions() (out []Instr) {
	for _, prefix := range []Op{0, 0xfc00, 0xfd00} {
		for i := Op(0); i < 256; i++ {
			imm, ok := (prefix | i).Imm()
			if !ok || prefix|i == OpEnd {
				continue
			}
			in := Instr{Op: prefix | i, Imm: imm, Index: math.MaxUint32, Index2: 1 << 31, Align: 31, Offset: math.MaxUint64,
				Bits: 0xfedcba9876543210, Bits2: 0x0123456789abcdef, Type: ExternRef, Lane: 255, Block: math.MaxInt32}
			if imm == ImmI32 {
				in.Bits = uint64(0xffffffff80000000)
			}
			if imm == ImmF32 {
				in.Bits = math.MaxUint32
			}
			out = append(out, in)
		}
	}
	return append(out, Instr{Op: OpBlock, Imm: ImmBlock, Block: BlockEmpty}, Instr{Op: OpIf, Imm: ImmBlock, Block: BlockResult(F64)})
}

func TestInstructionsRoundTrip(t *testing.T) {
	for _, want := range allInstructions() {
		b := want.Append(nil, []uint32{5, 6, 7})
		r := NewReader(b)
		var got Instr
		if err := r.Next(&got); err != nil {
			t.Fatalf("%#x: %v", want.Op, err)
		}
		var targets []uint32
		if got.Imm == ImmBrTable {
			if targets = append(r.Targets(&got, nil), got.Index); !reflect.DeepEqual(targets, []uint32{5, 6, 7}) {
				t.Fatalf("targets %v", targets)
			}
		}
		if again := got.Append(nil, targets); !bytes.Equal(again, b) || got.End != len(b) {
			t.Fatalf("%#x: %x became %x", want.Op, b, again)
		}
		if err := r.Next(&got); err != io.EOF {
			t.Fatalf("%#x: after the end: %v", want.Op, err)
		}
		for i := 1; i < len(b); i++ {
			r := NewReader(b[:i])
			if err := r.Next(&got); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%#x cut to %d of %d bytes: %v", want.Op, i, len(b), err)
			}
		}
	}
}

func TestModuleRoundTrip(t *testing.T) {
	m := everything()
	b := m.Encode()
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := got.Encode(); !bytes.Equal(b, again) {
		t.Fatalf("encoding changed:\n%x\n%x", b, again)
	}
	if !reflect.DeepEqual(got.Elements, m.Elements) || !reflect.DeepEqual(got.Imports, m.Imports) ||
		!reflect.DeepEqual(got.Customs, m.Customs) || !reflect.DeepEqual(got.Tables, m.Tables) {
		t.Fatalf("%+v\n%+v", got, m)
	}
	for i := range b {
		if _, err := Parse(b[:i]); err == nil && i > 8 {
			// Cutting between sections is only visible when it separates functions from bodies or data from its count.
			if p, _ := Parse(b[:i]); len(p.Funcs) != len(p.Code) {
				t.Fatalf("module cut to %d bytes was accepted", i)
			}
		}
	}
}

func TestGoModuleRoundTrip(t *testing.T) {
	b, err := goModule()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	out := m.Encode()
	m2, err := Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, m2) {
		t.Fatal("the module changed in a round trip")
	}
	var in Instr
	var rebuilt []byte
	var targets []uint32
	count := 0
	for i := range m.Code {
		rebuilt = rebuilt[:0]
		r := NewReader(m.Code[i].Body)
		for r.Next(&in) == nil {
			targets = append(r.Targets(&in, targets[:0]), in.Index)
			rebuilt = in.Append(rebuilt, targets)
			count++
		}
		if r.Pos() != len(m.Code[i].Body) {
			t.Fatalf("function %d stopped at %d", i, r.Pos())
		}
		if !bytes.Equal(rebuilt, m.Code[i].Body) {
			// Only longer number forms may differ: a second pass must be a fixed point.
			r := NewReader(rebuilt)
			var twice []byte
			for r.Next(&in) == nil {
				targets = append(r.Targets(&in, targets[:0]), in.Index)
				twice = in.Append(twice, targets)
			}
			if !bytes.Equal(twice, rebuilt) {
				t.Fatalf("function %d is not stable", i)
			}
		}
	}
	if count < 100_000 {
		t.Fatalf("only %d instructions in a Go program", count)
	}
	found := false
	for _, name := range m.FuncNames() {
		found = found || name == "main.probe"
	}
	if !found {
		t.Fatal("no function is called main.probe")
	}
}

// TestRenumberKeepsMeaning rotates three functions and lets the engine compile and run the result.
func TestRenumberKeepsMeaning(t *testing.T) {
	m := &Module{
		Types: []FuncType{{Results: []ValType{I32}}},
		Funcs: []uint32{0, 0, 0},
		Code: []Code{
			{Body: expr(AppendI32(nil, 10)...)},
			{Body: expr(AppendI32(nil, 20)...)},
			{Body: nil},
		},
	}
	body := AppendIndex(nil, OpCall, 0)
	body = AppendOp(AppendI32(body, 3), OpI32Mul)
	body = AppendOp(AppendIndex(body, OpCall, 1), OpI32Add)
	m.Code[2].Body = expr(body...)
	m.Exports = []Export{{"sum", KindFunc, 2}}
	m.SetFuncNames(map[uint32]string{0: "ten", 2: "sum"})
	swap := map[uint32]uint32{0: 2, 1: 0, 2: 1}
	if err := m.RenumberFuncs(func(i uint32) uint32 { return swap[i] }); err != nil {
		t.Fatal(err)
	}
	m.Code = []Code{m.Code[1], m.Code[2], m.Code[0]}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	mod, err := r.Instantiate(ctx, m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	res, err := mod.ExportedFunction("sum").Call(ctx)
	if err != nil || res[0] != 50 {
		t.Fatalf("got %v, %v; want 50", res, err)
	}
	if n := m.FuncNames(); n[2] != "ten" || n[1] != "sum" {
		t.Fatalf("names %v", n)
	}
}

func TestLEB128(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 20_000 {
		v := rng.Uint64() >> rng.Intn(64)
		if got, _, err := uleb(AppendU(nil, v), 0, 64); err != nil || got != v {
			t.Fatalf("%d: %d, %v", v, got, err)
		}
		s := int64(rng.Uint64()) >> rng.Intn(64)
		if got, _, err := sleb(AppendS(nil, s), 0, 64); err != nil || got != s {
			t.Fatalf("%d: %d, %v", s, got, err)
		}
		if got, _, err := sleb(AppendS(nil, int64(int32(s))), 0, 32); err != nil || got != int64(int32(s)) {
			t.Fatalf("%d: %d, %v", int32(s), got, err)
		}
		if _, _, err := uleb(AppendU(nil, v), 0, 32); (err == nil) != (v <= math.MaxUint32) {
			t.Fatalf("%d in 32 bits: %v", v, err)
		}
		if _, _, err := sleb(AppendS(nil, s), 0, 32); (err == nil) != (s == int64(int32(s))) {
			t.Fatalf("%d in 32 bits: %v", s, err)
		}
		if _, _, err := sleb(AppendS(nil, s), 0, 33); (err == nil) != (s<<31>>31 == s) {
			t.Fatalf("%d in 33 bits: %v", s, err)
		}
	}
	for _, c := range []struct {
		b    []byte
		size uint
		s    int64
		ok   bool
	}{
		{[]byte{0xff, 0xff, 0xff, 0xff, 0x7f}, 32, -1, true},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 32, 0, false}, // positive beyond 31 bits
		{[]byte{0x80, 0x80, 0x80, 0x80, 0x78}, 32, math.MinInt32, true},
		{[]byte{0x80, 0x80, 0x80, 0x80, 0x68}, 32, 0, false},
		{[]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 32, 0, false}, // too long
		{[]byte{0x80, 0x00}, 32, 0, true},                          // longer than needed is allowed
	} {
		got, _, err := sleb(c.b, 0, c.size)
		if (err == nil) != c.ok || (c.ok && got != c.s) {
			t.Errorf("%x: %d, %v", c.b, got, err)
		}
	}
	if _, _, err := uleb([]byte{0xff, 0xff, 0xff, 0xff, 0x1f}, 0, 32); !errors.Is(err, ErrLEB128) {
		t.Errorf("33 bits were accepted: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	mod := func(sections ...byte) []byte { return append(append([]byte{}, header...), sections...) }
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":                  {nil, ErrMalformed},
		"component":              {[]byte{0, 'a', 's', 'm', 0x0d, 0, 1, 0}, ErrUnsupported},
		"huge count":             {mod(1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f), ErrTruncated},
		"huge section":           {mod(1, 0xff, 0xff, 0xff, 0xff, 0x0f), ErrTruncated},
		"section order":          {mod(3, 1, 0, 1, 1, 0), ErrMalformed},
		"section twice":          {mod(1, 1, 0, 1, 1, 0), ErrMalformed},
		"junk after section":     {mod(1, 2, 0, 0), ErrMalformed},
		"bodies missing":         {mod(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0), ErrMalformed},
		"shared memory":          {mod(5, 4, 1, 3, 1, 1), ErrUnsupported},
		"tag section":            {mod(13, 1, 0), ErrUnsupported},
		"gc type":                {mod(1, 4, 1, 0x5f, 0, 0), ErrUnsupported},
		"call in initialiser":    {mod(6, 6, 1, 0x7f, 0, 0x10, 0, 0x0b), ErrMalformed},
		"export name not UTF-8":  {mod(7, 5, 1, 1, 0xff, 0, 0), ErrMalformed},
		"data count without any": {mod(12, 1, 1), ErrMalformed},
		"too many imports":       {mod(append([]byte{2, 0x87, 0xb5, 0x18, 0xa1, 0x8d, 0x06}, make([]byte, 4*100_001)...)...), ErrTooMany},
		"mutability":             {mod(6, 6, 1, 0x7f, 2, 0x41, 0, 0x0b), ErrMalformed},
	} {
		if _, err := Parse(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for name, b := range map[string][]byte{
		"second memory":   {byte(OpI32Load), 0x42, 1, 0},
		"memory index 1":  {byte(OpMemorySize), 1},
		"atomics":         {0xfe, 0x10, 2, 0},
		"try_table":       {0x1f, 0x40, 0},
		"relaxed simd":    {0xfd, 0x80, 0x02},
		"hole in simd":    {0xfd, 0x9a, 0x01},
		"gc":              {0xfb, 0},
		"beyond bulk ops": {0xfc, 0x12, 0},
		"block type":      {byte(OpBlock), 0x60},
		"select no type":  {byte(OpSelectT), 0},
	} {
		r := NewReader(b)
		if err := r.Next(&Instr{}); !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReaderDoesNotAllocate(t *testing.T) {
	body := everything().Code[1].Body
	var in Instr
	if n := testing.AllocsPerRun(10, func() {
		r := NewReader(body)
		for r.Next(&in) == nil {
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(everything().Encode())
	f.Add(header)
	f.Add(append(append([]byte{}, header...), 1, 4, 1, 0x60, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		out := m.Encode()
		m2, err := Parse(out)
		if err != nil {
			t.Fatalf("our own encoding was refused: %v", err)
		}
		if again := m2.Encode(); !bytes.Equal(out, again) {
			t.Fatal("encoding is not stable")
		}
		var in Instr
		for i := range m.Code {
			r := NewReader(m.Code[i].Body)
			for r.Next(&in) == nil {
				r.Targets(&in, nil)
			}
		}
		if err := m.RenumberFuncs(func(i uint32) uint32 { return i ^ 1 }); err == nil {
			if _, err := Parse(m.Encode()); err != nil {
				t.Fatalf("renumbered module was refused: %v", err)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	src, err := goModule()
	if err != nil {
		b.Fatal(err)
	}
	m, err := Parse(src)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(m.CodeSize()))
	var in Instr
	for b.Loop() {
		for i := range m.Code {
			r := NewReader(m.Code[i].Body)
			for r.Next(&in) == nil {
			}
		}
	}
}
