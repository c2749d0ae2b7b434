package bitcoin

import (
	"fmt"
	"testing"
	"time"
)

// One network cannot fill the book, and feelers prefer networks that nobody has tried.
func TestBookGroupsAndFeelers(t *testing.T) {
	dir := t.TempDir()
	b, err := openBook(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		b.add(fmt.Sprintf("203.0.%d.%d:8333", i/100, i%100+1))
	}
	if len(b.addrs) != maxPerGroup {
		t.Errorf("%d addresses of one group", len(b.addrs))
	}
	now := time.Unix(1e9, 0)
	for _, e := range b.addrs {
		e.Success = now
		break
	}
	b.add("198.51.100.1:8333")
	e := b.stranger(now)
	if e == nil || e.Addr != "198.51.100.1:8333" {
		t.Fatalf("%+v", e)
	}
	e.Proven = true
	if e = b.stranger(now); e == nil || group(e.Addr) != group("203.0.0.1:8333") || !e.Success.IsZero() {
		t.Errorf("%+v", e)
	}
	// What worked comes first, then what a feeler found, then strangers; the file keeps the former two.
	order := b.pick(now, 3)
	if len(order) != 2 || order[0].Success.IsZero() || !order[1].Proven {
		t.Errorf("%+v", order)
	}
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	again, err := openBook(dir, nil)
	if err != nil || len(again.addrs) != 2 || !again.addrs["198.51.100.1:8333"].Proven {
		t.Errorf("%+v, %v", again, err)
	}
}
