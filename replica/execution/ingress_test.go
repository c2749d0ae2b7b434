package execution

import (
	"encoding/binary"
	"testing"
)

// Answers are kept for five minutes, or less where there are very many; that there was a call is known until it cannot be repeated.
func TestAnswersAreForgotten(t *testing.T) {
	const (
		now  = 1_700_000_000 * second
		late = 5 // calls that expire later than their answer needs to be kept
		more = 3 // than are kept
	)
	h := &history{entries: map[[32]byte]*ingressRecord{}, changed: map[[32]byte]struct{}{}, tree: map[[32]byte]struct{}{}}
	id := func(i int) (id [32]byte) {
		binary.BigEndian.PutUint32(id[:], uint32(i))
		return id
	}
	total := maxIngressKept + more
	for i := range total {
		e := &ingressRecord{State: Replied, Expiry: now, DoneNs: now, Number: uint64(i), Reply: []byte("yes")}
		if i >= total-late {
			e.Expiry = now + 2*retentionNs
		}
		h.entries[id(i)] = e
		h.ended = append(h.ended, id(i))
	}
	count := func() (states [Done + 1]int) {
		for _, e := range h.entries {
			if (e.State == Replied) != (e.Reply != nil) {
				t.Fatalf("a call is %s with the answer %q", e.State, e.Reply)
			}
			states[e.State]++
		}
		return states
	}
	for _, step := range []struct {
		name          string
		at            uint64
		replied, done int
	}{
		{"at once", now, maxIngressKept, more},
		{"nothing new", now + second, maxIngressKept, more},
		{"up to five minutes", now + retentionNs - 1, maxIngressKept, more},
		{"after five minutes", now + retentionNs, late, 0},
		{"until they cannot come again", now + 2*retentionNs, late, 0},
		{"at last", now + 2*retentionNs + 1, 0, 0},
	} {
		clear(h.tree)
		before := len(h.entries)
		h.prune(step.at)
		if got := count(); got[Replied] != step.replied || got[Done] != step.done {
			t.Errorf("%s: %d with their answers, %d without; want %d, %d", step.name, got[Replied], got[Done], step.replied, step.done)
		}
		touched := before - len(h.entries)
		if step.at == now {
			touched = more
		}
		if len(h.tree) != touched {
			t.Errorf("%s: %d changes in the tree, want %d", step.name, len(h.tree), touched)
		}
	}
}
