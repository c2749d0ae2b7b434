package solo

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"fusion/replica/consensus/driver"
)

// app is a chain of hashes that notes the order of calls.
type app struct {
	height, pending uint64
	hash, next      []byte
	times           []uint64
	queue           [][]byte
	fail            error
}

func (a *app) Info() (uint64, []byte) { return a.height, a.hash }
func (a *app) InitChain(t uint64) ([]byte, error) {
	a.hash = binary.BigEndian.AppendUint64(nil, t)
	return a.hash, nil
}
func (a *app) Prepare(_ context.Context, p driver.Proposal) [][]byte { return a.queue }
func (a *app) Process(b driver.Block) error {
	if len(b.Txs) > 0 && string(b.Txs[0]) == "bad" {
		return errors.New("bad transaction")
	}
	return nil
}
func (a *app) Finalize(b driver.Block) ([]byte, error) {
	h := sha256.New()
	h.Write(a.hash)
	for _, tx := range b.Txs {
		h.Write(tx)
	}
	a.next, a.pending = h.Sum(nil), b.Height
	a.times = append(a.times, b.TimeNs)
	return a.next, a.fail
}
func (a *app) Commit() (uint64, error) { a.height, a.hash = a.pending, a.next; return 0, nil }

func TestSolo(t *testing.T) {
	a := &app{}
	start := time.Unix(1000, 0)
	s, err := New(a, start)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Steps(3, time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Step(); err != nil { // the clock stands still
		t.Fatal(err)
	}
	if s.Height() != 4 || a.times[0] != uint64(start.Add(time.Second).UnixNano()) || a.times[3] <= a.times[2] {
		t.Fatalf("height %d, times %v", s.Height(), a.times)
	}
	a.queue = [][]byte{[]byte("bad")}
	if _, err := s.Step(); err == nil || s.Height() != 4 {
		t.Fatalf("an invalid block was made: %v", err)
	}
	a.queue = [][]byte{make([]byte, DefaultMaxBytes)}
	if _, err := s.Step(); err == nil {
		t.Fatal("an oversized block was made")
	}
	a.queue = nil
	again, err := New(a, s.Now())
	if err != nil || again.Height() != 4 || string(again.AppHash()) != string(s.AppHash()) {
		t.Fatalf("reopened at %d: %v", again.Height(), err)
	}
	a.fail = errors.New("disk")
	if _, err := s.Step(); !errors.Is(err, a.fail) {
		t.Fatal(err)
	}
	a.fail = nil
	if _, err := s.Step(); !errors.Is(err, ErrStopped) {
		t.Fatalf("went on after a failure: %v", err)
	}
}
