//go:build wasmtime

// Command wasmtime runs modules in wasmtime, beside which `fusion bench` and the tests of the real tier put our engine. It needs
// cgo and 50 MB of library, so it is a program of its own, behind a build tag: it reads a request per line of standard input and writes an answer
// per line of standard output, both JSON.
//
//	{"module":"sieve.wasm","export":"run","fuel":1000000000}
//	{"ns":5150731,"fuel":73400321,"pages":16}
//
// Requests for the same module and settings share one instance, unless they ask for a fresh one.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v39"
)

// request asks for one call of an export without parameters.
type request struct {
	Module string `json:"module"` // path of a module without imports
	Export string `json:"export"`
	Fuel   uint64 `json:"fuel"`  // 0 runs without metering
	NaN    bool   `json:"nan"`   // make NaNs canonical
	Fresh  bool   `json:"fresh"` // on an instance of its own, and tell the hash of the export "memory" afterwards
}

// answer tells what the call did. Error is set if it could not be made.
type answer struct {
	NS     int64  `json:"ns"`
	Fuel   uint64 `json:"fuel,omitempty"`
	Trap   string `json:"trap,omitempty"`
	Pages  uint64 `json:"pages,omitempty"`
	Memory string `json:"memory,omitempty"` // SHA-256
	Error  string `json:"error,omitempty"`
}

type settings struct{ fuel, nan bool }

type key struct {
	settings
	module string
}

// program is a module that runs.
type program struct {
	store *wasmtime.Store
	inst  *wasmtime.Instance
}

type runner struct {
	engines  map[settings]*wasmtime.Engine
	programs map[key]program
}

func (r *runner) engine(s settings) *wasmtime.Engine {
	e := r.engines[s]
	if e == nil {
		c := wasmtime.NewConfig()
		c.SetConsumeFuel(s.fuel)
		c.SetCraneliftNanCanonicalization(s.nan)
		c.SetWasmMemory64(true)
		c.SetWasmTailCall(true)
		e = wasmtime.NewEngineWithConfig(c)
		r.engines[s] = e
	}
	return e
}

func (r *runner) program(k key, fresh bool) (program, error) {
	if p, ok := r.programs[k]; ok && !fresh {
		return p, nil
	}
	e := r.engine(k.settings)
	m, err := wasmtime.NewModuleFromFile(e, k.module)
	if err != nil {
		return program{}, fmt.Errorf("compiling %s: %w", k.module, err)
	}
	defer m.Close()
	p := program{store: wasmtime.NewStore(e)}
	if k.fuel {
		if err := p.store.SetFuel(1 << 40); err != nil {
			return program{}, err
		}
	}
	if p.inst, err = wasmtime.NewInstance(p.store, m, nil); err != nil {
		return program{}, fmt.Errorf("instantiating %s: %w", k.module, err)
	}
	if !fresh {
		r.programs[k] = p
	}
	return p, nil
}

// traps names what ends a run as our engine does, by code.
var traps = map[wasmtime.TrapCode]string{
	wasmtime.StackOverflow: "stack overflow", wasmtime.MemoryOutOfBounds: "out of bounds memory access",
	wasmtime.TableOutOfBounds: "invalid table access", wasmtime.IndirectCallToNull: "invalid table access",
	wasmtime.BadSignature: "indirect call type mismatch", wasmtime.IntegerOverflow: "integer overflow",
	wasmtime.IntegerDivisionByZero: "integer divide by zero", wasmtime.BadConversionToInteger: "invalid conversion to integer",
	wasmtime.UnreachableCodeReached: "unreachable", wasmtime.OutOfFuel: "out of instructions",
}

func (r *runner) run(q request) (a answer, err error) {
	p, err := r.program(key{settings{q.Fuel > 0, q.NaN}, q.Module}, q.Fresh)
	if err != nil {
		return a, err
	}
	if q.Fresh {
		defer p.store.Close()
	}
	f := p.inst.GetFunc(p.store, q.Export)
	if f == nil {
		return a, fmt.Errorf("%s exports no function %q", q.Module, q.Export)
	}
	if q.Fuel > 0 {
		if err := p.store.SetFuel(q.Fuel); err != nil {
			return a, err
		}
	}
	start := time.Now()
	_, err = f.Call(p.store)
	a.NS = time.Since(start).Nanoseconds()
	if err != nil {
		t := (*wasmtime.Trap)(nil)
		if !errors.As(err, &t) || t.Code() == nil {
			return a, fmt.Errorf("running %s: %w", q.Module, err)
		}
		name, ok := traps[*t.Code()]
		if !ok {
			return a, fmt.Errorf("running %s: %w", q.Module, err)
		}
		a.Trap = name
	}
	if q.Fuel > 0 {
		left, err := p.store.GetFuel()
		if err != nil {
			return a, err
		}
		a.Fuel = q.Fuel - left
	}
	if x := p.inst.GetExport(p.store, "memory"); x != nil && x.Memory() != nil {
		mem := x.Memory()
		a.Pages = mem.Size(p.store)
		if q.Fresh {
			sum := sha256.Sum256(mem.UnsafeData(p.store))
			a.Memory = hex.EncodeToString(sum[:])
		}
	}
	return a, nil
}

func main() {
	r := &runner{engines: make(map[settings]*wasmtime.Engine), programs: make(map[key]program)}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for in.Scan() {
		var q request
		var a answer
		err := json.Unmarshal(in.Bytes(), &q)
		if err == nil {
			a, err = r.run(q)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
