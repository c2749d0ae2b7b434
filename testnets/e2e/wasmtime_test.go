package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fusion/internal/wasmbin/wasmgen"
	"fusion/replica/execution/wasm"
	"fusion/testnets/wasmtime"
)

// TestWasmtimeAgrees runs random programs in our engine and in wasmtime with canonical NaNs, an engine of others with 64-bit
// memories and tables of its own: memory, its size and the trap must be the same.
func TestWasmtimeAgrees(t *testing.T) {
	other, err := wasmtime.Start(program(t, "WASMTIME_BIN"))
	must(t, err)
	defer func() { must(t, other.Close()) }()
	eng, err := wasm.NewEngine(wasm.Config{})
	must(t, err)
	defer func() { must(t, eng.Close()) }()
	const limit = 20_000_000
	dir := t.TempDir()
	outcomes, skipped := map[string]int{}, 0
	for seed := range int64(400) {
		o := wasmgen.Options{SIMD: seed&1 != 0, Memory64: seed&2 != 0, Table64: seed&4 != 0, High: true}
		src := wasmgen.Program(seed, o).Encode()
		path := filepath.Join(dir, "program.wasm")
		must(t, os.WriteFile(path, src, 0o600))
		theirs, err := other.Run(wasmtime.Request{Module: path, Export: wasmgen.Run, Fuel: limit, NaN: true, Fresh: true})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		trap, hash, pages := runProgram(t, eng, src, limit)
		switch {
		case trap == "out of instructions" || trap == "stack overflow":
			// The weights and the frames are ours, so wasmtime may run on; it must not end earlier for another reason.
			if skipped++; theirs.Trap == "" && trap == "stack overflow" {
				t.Errorf("seed %d: stack overflow, but wasmtime returns", seed)
			}
			continue
		case theirs.Trap == "stack overflow": // its stack is smaller than ours
			skipped++
			continue
		}
		outcomes[trap]++
		if trap != theirs.Trap || pages != theirs.Pages || hash != theirs.Memory {
			t.Errorf("seed %d, %+v: trap %q, %d pages, memory %s; in wasmtime %q, %d pages, %s", seed, o, trap, pages, hash[:8], theirs.Trap,
				theirs.Pages, theirs.Memory[:8])
		}
	}
	t.Logf("outcomes %v, %d not compared", outcomes, skipped)
	if outcomes[""] < 150 || len(outcomes) < 5 || skipped > 100 {
		t.Errorf("the programs show too little: %v, %d not compared", outcomes, skipped)
	}
}

// runProgram runs a program in our engine and returns its trap, the hash of its memory, and the pages of it.
func runProgram(t *testing.T, eng *wasm.Engine, src []byte, limit uint64) (trap, hash string, pages uint64) {
	t.Helper()
	mod, err := eng.Compile(src)
	must(t, err)
	defer func() { must(t, mod.Close()) }()
	img, err := mod.NewImage()
	must(t, err)
	defer func() { must(t, img.Close()) }()
	inst, err := mod.NewInstance(img)
	must(t, err)
	defer func() { must(t, inst.Close()) }()
	if _, err := inst.Run(wasmgen.Run, limit); err != nil {
		w := (*wasm.Trap)(nil)
		if !errors.As(err, &w) {
			t.Fatal(err)
		}
		trap = w.Kind.String()
	}
	pages = uint64(inst.WasmPages())
	mem, err := inst.Memory(0, pages*wasm.WasmPage)
	must(t, err)
	sum := sha256.Sum256(mem)
	return trap, hex.EncodeToString(sum[:]), pages
}
