package freeport

import (
	"errors"
	"net"
	"slices"
	"testing"
)

// What somebody listens at is not found, and nothing is found twice: not by two who look in the same place either, as two processes may.
func TestFind(t *testing.T) {
	a, b := &finder{start: process.start}, &finder{start: process.start}
	t.Cleanup(func() {
		for _, l := range append(a.locks, b.locks...) {
			l.Close()
		}
	})
	all, err := Addr(20)
	if err != nil {
		t.Fatal(err)
	}
	var ports []int
	for range 3 {
		for _, f := range []*finder{&process, a, b} {
			found, err := f.find(block / 2)
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, found...)
		}
	}
	slices.Sort(ports)
	if n := len(slices.Compact(slices.Clone(ports))); n != 9*block/2 || len(all) != 20 {
		t.Errorf("%d different ports of %d, %d addresses of 20", n, 9*block/2, len(all))
	}
	l, err := listen(a.next)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again, err := a.find(1)
	if err != nil || again[0] == l.Addr().(*net.TCPAddr).Port {
		t.Errorf("%d is in use and was found, %v", again, err)
	}
	if _, err := a.find(count + 1); !errors.Is(err, ErrNone) {
		t.Errorf("%v, want %v", err, ErrNone)
	}
}
