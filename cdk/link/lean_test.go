package link

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A program keeps the standard curves if anything but the converter imports them.
func TestWhoNeedsCurves(t *testing.T) {
	for _, c := range []struct {
		pkg     string
		imports []string
		needs   bool
	}{
		{converter, []string{"crypto/ecdsa", "crypto/elliptic"}, false},
		{"crypto/ecdsa", []string{"crypto/elliptic"}, false},
		{"crypto/x509", []string{"crypto/ecdsa"}, true},
		{"example.com/canister", []string{"fmt", "crypto/elliptic"}, true},
		{"example.com/canister", []string{"fmt", converter}, false},
	} {
		if got := needsCurves(c.pkg, c.imports); got != c.needs {
			t.Errorf("%s importing %v: %v", c.pkg, c.imports, got)
		}
	}
}

// The overlay takes every file of the packages away and puts one in their place.
func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	arg, err := (&Builder{}).overlay(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(strings.TrimPrefix(arg, "-overlay="))
	if err != nil {
		t.Fatal(err)
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &overlay); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for file, by := range overlay.Replace {
		if by == "" {
			continue
		}
		kept++
		if filepath.Base(file) != filepath.Base(by) || filepath.Dir(by) != dir {
			t.Errorf("%s is replaced by %s", file, by)
		}
	}
	if kept != len(curves) || len(overlay.Replace) < 2*kept {
		t.Errorf("%d files are replaced, %d of them by others", len(overlay.Replace), kept)
	}
}
