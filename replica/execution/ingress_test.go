package execution

import (
	"context"
	"encoding/binary"
	"testing"

	"fusion/ic/principal"
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

// What is refused before it is ordered is refused with the reason, and nothing of it is remembered.
func TestRefusedBeforeOrdering(t *testing.T) {
	scenario(t, func(w *world) {
		t := w.t
		runs, empty, stopped, frozen, halting := w.install(counter()), w.create(), w.install(counter()), w.install(counter()), w.install(counter())
		w.mustManage("stop_canister", idArg(stopped))
		w.x.canisters[frozen].view.frozen = MaxCycles
		w.x.canisters[halting].view.status = stopping
		for name, c := range map[string]struct {
			canister principal.Principal
			want     string
		}{
			"running": {runs, ""}, "unknown": {principal.FromUint64(12345), "IC0301"}, "empty": {empty, "IC0537"}, "stopped": {stopped, "IC0508"},
			"stopping": {halting, "IC0509"}, "frozen": {frozen, "IC0207"},
		} {
			m := w.message(alice, c.canister, "inc", nil)
			rej := w.x.InspectMessage(t.Context(), m)
			if got := errorOf(rej); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
			if w.x.KnowsIngress(m.ID) {
				t.Errorf("%s: what was only inspected is known", name)
			}
		}
		// A user who has gone away, or whose time is up, keeps no canister busy.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if rej := w.x.InspectMessage(ctx, w.message(alice, runs, "inc", nil)); rej == nil || rej.Code != SysTransient {
			t.Errorf("cancelled: %v", rej)
		}
	})
}

func errorOf(r *Reject) string {
	if r == nil {
		return ""
	}
	return r.Error
}
