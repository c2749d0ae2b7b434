package keystore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestBond: a name has one value for ever, also after the store was opened again; a torn last record is none, and a damaged one before is noticed.
func TestBond(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	open := func() *Store {
		t.Helper()
		s, err := Open(Options{Dir: dir, AllowPlain: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	a, b, c := Bond{[32]byte{1}, [32]byte{1}}, Bond{[32]byte{2}, [32]byte{1}}, Bond{[32]byte{3}, [32]byte{3}}
	if err := s.Bind(a, b, a); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(c, Bond{a.Name, [32]byte{9}}); !errors.Is(err, ErrBound) {
		t.Errorf("another value: %v", err)
	}
	if _, ok := s.Bound(c.Name); ok {
		t.Error("a call that was refused bound something")
	}
	if err := s.Bind(c, Bond{c.Name, [32]byte{9}}); !errors.Is(err, ErrBound) {
		t.Errorf("two values at once: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(c); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	path := filepath.Join(dir, "bound")
	good, err := os.ReadFile(path)
	if err != nil || len(good) != 2*bondSize {
		t.Fatalf("%d bytes, %v", len(good), err)
	}
	if err := os.WriteFile(path, append(good, make([]byte, bondSize-1)...), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open()
	if err := s.Bind(Bond{a.Name, [32]byte{9}}); !errors.Is(err, ErrBound) {
		t.Errorf("after a restart: %v", err)
	}
	if v, ok := s.Bound(b.Name); !ok || v != b.Value {
		t.Errorf("after a restart: %x, %v", v, ok)
	}
	if err := s.Bind(c); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good[40] ^= 1
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(Options{Dir: dir, AllowPlain: true}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged record: %v", err)
		_ = s.Close()
	}
}

// TestManyBonds: the log does not grow for ever; the newest bonds hold, before and after the store was opened again.
func TestManyBonds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := Open(Options{Dir: dir, AllowPlain: true})
	if err != nil {
		t.Fatal(err)
	}
	bond := func(i int) Bond { return Bond{[32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}, [32]byte{7}} }
	var bonds []Bond
	for i := range 2*keepBonds - 1 {
		bonds = append(bonds, bond(i))
	}
	if err := s.Bind(bonds...); err != nil {
		t.Fatal(err)
	}
	check := func(first int) {
		t.Helper()
		for _, i := range []int{0, first - 1, first, 2*keepBonds - 2} {
			if _, ok := s.Bound(bond(i).Name); ok != (i >= first) {
				t.Errorf("bond %d is there: %v", i, ok)
			}
		}
		if err := s.Bind(Bond{bond(2*keepBonds - 2).Name, [32]byte{8}}); !errors.Is(err, ErrBound) {
			t.Errorf("the newest bond: %v", err)
		}
	}
	check(0)
	if err := s.Bind(bond(2*keepBonds - 1)); err != nil {
		t.Fatal(err)
	}
	check(keepBonds)
	if err := s.Bind(bond(2 * keepBonds)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Options{Dir: dir, AllowPlain: true}); err != nil {
		t.Fatal(err)
	}
	check(keepBonds + 1)
	if info, err := os.Stat(filepath.Join(dir, "bound")); err != nil || info.Size() != keepBonds*bondSize {
		t.Errorf("%v, %v", info, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
