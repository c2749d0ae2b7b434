// Package modtest gives tests the data that a module of go.mod carries, such as the real blocks in btcd's.
package modtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Read reads a file of a module, at go.mod's version. What the module cache lacks is fetched; where that fails, so does the test.
func Read(t testing.TB, module, name string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module).Output()
	if err != nil {
		t.Fatalf("fetching module %s: %v\n%s", module, err, out)
	}
	var got struct{ Dir string }
	if err := json.Unmarshal(out, &got); err != nil || got.Dir == "" {
		t.Fatalf("module %s is nowhere: %v\n%s", module, err, out)
	}
	raw, err := os.ReadFile(filepath.Join(got.Dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
