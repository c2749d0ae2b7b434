// Package wasmtime talks to the program of tools/wasmtime, which runs a module in wasmtime: the benchmarks put our engine beside
// it, and the real tier compares what both compute. The product never runs it.
package wasmtime

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Build says how to get the program.
const Build = "build it with `make bin/wasmtime` (it needs a C compiler)"

// ErrMissing is returned by Start when the program is not there.
var ErrMissing = errors.New("wasmtime is not built: " + Build)

// Request is one call of an export without parameters or results.
type Request struct {
	Module string `json:"module"` // path of a module without imports
	Export string `json:"export"`
	Fuel   uint64 `json:"fuel"`  // 0 runs without metering
	NaN    bool   `json:"nan"`   // make NaNs canonical
	Fresh  bool   `json:"fresh"` // on an instance of its own; the others share one for each module, fuel and NaN
}

// Answer tells what a call did.
type Answer struct {
	NS     int64  `json:"ns"`     // time in wasmtime, without compilation
	Fuel   uint64 `json:"fuel"`   // used
	Trap   string `json:"trap"`   // in the words of wasm.TrapKind; empty if it returned
	Pages  uint64 `json:"pages"`  // of the memory exported as "memory"
	Memory string `json:"memory"` // its SHA-256, after a Fresh call
	Error  string `json:"error"`
}

// Process is the program, running. It is not safe for concurrent use.
type Process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	out *bufio.Scanner
}

// Start runs the program at a path.
func Start(path string) (*Process, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrMissing)
	}
	p := &Process{cmd: exec.Command(path)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting wasmtime: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting wasmtime: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting wasmtime: %w", err)
	}
	p.enc, p.out = json.NewEncoder(p.in), bufio.NewScanner(out)
	return p, nil
}

// Run makes a call.
func (p *Process) Run(q Request) (a Answer, err error) {
	if err := p.enc.Encode(q); err != nil {
		return a, fmt.Errorf("asking wasmtime: %w", err)
	}
	if !p.out.Scan() {
		return a, fmt.Errorf("wasmtime ended without an answer: %w", errors.Join(p.out.Err(), io.ErrUnexpectedEOF))
	}
	if err := json.Unmarshal(p.out.Bytes(), &a); err != nil {
		return a, fmt.Errorf("wasmtime's answer %q: %w", p.out.Text(), err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("wasmtime: %s", a.Error)
	}
	return a, nil
}

// Close ends the program.
func (p *Process) Close() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}
