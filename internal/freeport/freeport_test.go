package freeport

import (
	"errors"
	"net"
	"slices"
	"testing"
)

// What somebody listens at is not found, and nothing is found twice.
func TestFind(t *testing.T) {
	var all []string
	for range 3 {
		addrs, err := Addr(20)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, addrs...)
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != 60 {
		t.Errorf("%d different ports of 60", n)
	}
	addrs, err := Addr(1)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	next.Add(^uint32(0)) // once more from there
	again, err := Addr(1)
	if err != nil || again[0] == addrs[0] {
		t.Errorf("%s is in use and was found, %v", again, err)
	}
	if _, err := Find(count + 1); !errors.Is(err, ErrNone) {
		t.Errorf("%v, want %v", err, ErrNone)
	}
}
