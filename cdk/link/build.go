package link

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"fusion/cdk"
)

// Canister is a built canister.
type Canister struct {
	Wasm        []byte // the module, not compressed
	Description cdk.Description
}

// Build compiles and links the main package pkg (an import path or ./directory, seen from dir) with the go command in PATH.
// The same sources and toolchain give the same bytes.
func Build(ctx context.Context, dir, pkg string) (*Canister, error) {
	describe := exec.CommandContext(ctx, "go", "run", "-trimpath", pkg, "-describe")
	describe.Dir = dir
	out, err := run(describe)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", pkg, err)
	}
	c := &Canister{}
	if err := json.Unmarshal(out, &c.Description); err != nil {
		return nil, fmt.Errorf("describe %s: %w", pkg, err)
	}
	tmp, err := os.MkdirTemp("", "canister")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "program.wasm")
	build := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, pkg)
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "GOFLAGS=")
	if _, err := run(build); err != nil {
		return nil, fmt.Errorf("compile %s: %w", pkg, err)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if c.Wasm, err = Link(program, c.Description); err != nil {
		return nil, fmt.Errorf("link %s: %w", pkg, err)
	}
	return c, nil
}

func run(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// Gzip compresses a module reproducibly: no name, no time.
func Gzip(wasm []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(wasm); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
