package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestBuild: a program that is built so has the clock and the disk that its environment says, and the usual ones without.
func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a part of the standard library")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "probe")
	if err := run(bin, "./testdata/probe"); err != nil {
		t.Fatal(err)
	}
	probe := func(env ...string) (off, millis int64) {
		t.Helper()
		before := time.Now().Unix()
		cmd := exec.Command(bin, filepath.Join(dir, "file"))
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := fmt.Sscan(string(out), &off, &millis); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return off - before, millis
	}
	const slack = 120 // seconds that a busy machine may let the program wait
	if off, _ := probe(); off < 0 || off > slack {
		t.Errorf("without a fault the clock is %d s off", off)
	}
	if off, _ := probe("FUSION_FAULT_CLOCK_SECONDS=-3600"); off < -3600 || off > -3600+slack {
		t.Errorf("the clock is %d s off, want -3600", off)
	}
	if off, millis := probe("FUSION_FAULT_CLOCK_SECONDS=86400", "FUSION_FAULT_SYNC_MILLIS=250"); off < 86400 || off > 86400+slack || millis < 250 {
		t.Errorf("the clock is %d s off, want 86400; fsync took %d ms, want 250", off, millis)
	}
}
