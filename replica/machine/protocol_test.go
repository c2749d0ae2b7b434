package machine

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"fusion/internal/codec"
	"fusion/replica/consensus/driver"
	"fusion/replica/payload"
	"fusion/replica/signing"
)

// boot announces a boot of a node, with the newest version that its program knows.
func (w *network) boot(node int, number, protocol uint64) payload.Item {
	v := signing.Incarnation{Node: uint32(node), Number: number, Nonce: bytes.Repeat([]byte{byte(number)}, 16), Protocol: protocol}
	h, network := sha256.New(), w.doc.Hash()
	fmt.Fprintf(h, "fusion/signing/incarnation\x00")
	h.Write(network[:])
	h.Write(codec.Marshal(v))
	v.Signature = ed25519.Sign(key(node, "node"), h.Sum([]byte("fusion/signing\x00")))
	return payload.Item{Kind: payload.Incarnation, Body: codec.Marshal(v)}
}

// reopen starts a machine again, as a program that knows versions up to newest.
func (w *network) reopen(i int, newest uint64) error {
	w.close(i)
	w.newest[i] = newest
	return w.tryOpen(i)
}

// The members' programs are replaced one after the other. The new version is in force from a block on that all learn of before, once all know it and not
// earlier; who takes it back in time keeps the old one, and an old program does not touch a state, nor execute a block, of the new version.
func TestProtocolVersions(t *testing.T) {
	w := newNetwork(t, 4)
	w.found()
	for node := range 4 {
		w.block(w.boot(node, 1, 1))
	}
	for node := range 3 {
		if err := w.reopen(node, 2); err != nil {
			t.Fatal(err)
		}
		w.block(w.boot(node, 2, 2))
	}
	for range protocolDelay + 5 {
		w.block()
	}
	if v := w.ms[0].View(); v.Protocol != 1 || v.Next != 0 {
		t.Fatalf("version %d is in force and %d decided while a member does not know it", v.Protocol, v.Next)
	}
	if err := w.reopen(3, 2); err != nil {
		t.Fatal(err)
	}
	w.block(w.boot(3, 2, 2))
	if v := w.ms[1].View(); v.Protocol != 1 || v.Next != 2 || v.NextHeight != v.Height+1+protocolDelay {
		t.Fatalf("%+v", v)
	}
	// One goes back to the old program.
	if err := w.reopen(2, 1); err != nil {
		t.Fatalf("the old program refuses a state of its own version: %v", err)
	}
	w.block(w.boot(2, 3, 1))
	for range protocolDelay + 5 {
		w.block()
	}
	if v := w.ms[2].View(); v.Protocol != 1 || v.Next != 0 {
		t.Fatalf("version %d is in force and %d decided after a member took it back", v.Protocol, v.Next)
	}
	if err := w.reopen(2, 2); err != nil {
		t.Fatal(err)
	}
	w.block(w.boot(2, 4, 2))
	first := w.ms[0].View().NextHeight
	for w.ms[0].Head().Height+1 < first {
		w.block()
	}
	if v := w.ms[0].View(); v.Protocol != 1 {
		t.Fatalf("version %d is in force before its first block", v.Protocol)
	}
	// An old program that nobody announced stops before the first block of the new version.
	if err := w.reopen(3, 1); err != nil {
		t.Fatal(err)
	}
	_, err := w.ms[3].Step(driver.Block{Height: first, TimeNs: w.timeNs + 1e9})
	if !errors.Is(err, ErrProtocol) {
		t.Fatalf("an old program executes the first block of version 2: %v", err)
	}
	if err := w.reopen(3, 2); err != nil {
		t.Fatal(err)
	}
	w.block()
	for i, m := range w.ms {
		if v := m.View(); v.Protocol != 2 || v.Next != 0 {
			t.Errorf("machine %d has version %d, and %d to come", i, v.Protocol, v.Next)
		}
	}
	if err := w.reopen(1, 1); !errors.Is(err, ErrProtocol) {
		t.Errorf("an old program opens a state of version 2: %v", err)
	}
	if err := w.tryOpen(1); !errors.Is(err, ErrProtocol) {
		t.Errorf("and again: %v", err)
	}
	w.newest[1] = 2
	if err := w.tryOpen(1); err != nil {
		t.Error(err)
	}
	w.block()
}
