package replica

import (
	"fmt"
	"os"

	"fusion/replica/execution"
	"fusion/replica/execution/wasm"
)

// NewEngine makes a canister engine that keeps compiled code in a directory.
func NewEngine(cacheDir string) (*wasm.Engine, error) {
	if err := os.MkdirAll(cacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the compilation cache: %w", err)
	}
	e, err := wasm.NewEngine(wasm.Config{CacheDir: cacheDir, Host: execution.HostFunctions()})
	if err != nil {
		return nil, fmt.Errorf("starting the canister engine: %w", err)
	}
	return e, nil
}
