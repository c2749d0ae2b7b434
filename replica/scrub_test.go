package replica

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/replica/state"
)

// A page that changes at rest is found without anybody asking for it, and stops the replica.
func TestScrubFindsRot(t *testing.T) {
	mem := vfs.NewMem()
	into, err := state.NewImport("state", state.Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := into.Set([]byte{'p', byte(i)}, []byte(strings.Repeat("page", 1024))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(into.Commit(1, [32]byte{}), into.Close()); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	db, err := state.Open("state", state.Options{FS: mem, CacheBytes: 1, Failed: func(err error) { failed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	names, err := mem.List("state")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := mem.OpenReadWrite("state/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		_, rerr := f.ReadAt(b, 100)
		b[0] ^= 1
		_, werr := f.WriteAt(b, 100)
		if err := errors.Join(rerr, werr, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	scrub(ctx, db, time.Millisecond)
	select {
	case err := <-failed:
		if !strings.Contains(err.Error(), "checksum mismatch") || !strings.Contains(err.Error(), "fusion replica recover") {
			t.Errorf("the rot is reported as %v", err)
		}
	case <-ctx.Done():
		t.Error("the rot was not found")
	}
	if err := db.Close(); err != nil {
		t.Log(err) // it was damaged
	}
}
