package signing

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fusion/chainkey"
	"fusion/chainkey/keystore"
	"fusion/chainkey/session"
)

// TestHundredSignaturesWithAFlappingReplica: one of four replicas is stopped and started all the time while canisters ask for a hundred
// signatures, as many at once as the queue takes. All complete. No replica joins a session twice, so it says one thing in each; and a session is
// about one request, so about one message.
func TestHundredSignaturesWithAFlappingReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total, flapping = 100, 2
		net := newTestNet(t, 4, nil, func(c *Config) {
			c.Keys, c.SigningDeadline, c.KeygenDeadline, c.Parallel, c.MaxAttempts = []chainkey.KeyID{schnorrKey}, 200, 1<<20, 4, 1000
		})
		net.patience = 2 * time.Second
		net.startAll()
		net.until("key", net.keysActive)
		asked, flaps, up := 0, 0, true
		next := net.height + 10
		net.until("a hundred answers", func() bool {
			open, _ := requests(net.s)
			for free := net.m.cfg.QueueLimit - len(open) - len(net.waiting); free > 0 && asked < total; free-- {
				asked++
				canister := binary.BigEndian.AppendUint64(nil, uint64(asked%4)) // a quarter of the queue each
				message := sha256.Sum256(fmt.Append(nil, "message ", asked))
				net.waiting = append(net.waiting, Request{ID: uint64(asked), Key: schnorrKey, Canister: canister, Message: chainkey.Message{Bytes: message[:]}})
			}
			if net.height >= next && len(net.answers) < total {
				if next = net.height + 15; up {
					net.stop(flapping)
				} else {
					net.start(flapping)
				}
				up, flaps = !up, flaps+1
			}
			return len(net.answers) == total
		})
		for id, r := range net.answers {
			if len(r.Signature) != 64 { // the machine has verified it
				t.Errorf("request %d: %+v", id, r)
			}
		}
		if flaps < 4 {
			t.Errorf("the replica flapped %d times only", flaps)
		}
		net.mu.Lock()
		begun := map[string]int{}
		for _, b := range net.begun {
			if begun[b]++; begun[b] > 1 {
				t.Errorf("joined twice: %s", b)
			}
		}
		about := map[session.ID]string{}
		for _, c := range net.ceremonies {
			what := fmt.Sprint(c.Kind, c.Request, c.Attempt)
			if other := about[c.Session]; other != "" && other != what {
				t.Errorf("session %v is about %s and about %s", c.Session, other, what)
			}
			about[c.Session] = what
		}
		sessions := append([]CeremonyInfo(nil), net.ceremonies...)
		net.mu.Unlock()
		// The markers are on disk: the flapping replica, started once more, refuses every session that it was in.
		net.stop(flapping)
		store, err := keystore.Open(keystore.Options{Dir: net.dirs[flapping], AllowPlain: true})
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, c := range sessions {
			if begun[fmt.Sprintf("node %d, session %x", flapping, c.Session)] > 0 {
				checked++
				if err := store.Join(c.Session); err == nil {
					t.Errorf("session %v was joined and its marker is gone", c.Session)
				}
			}
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if checked == 0 {
			t.Error("the flapping replica was in no session")
		}
		t.Logf("%d signatures, %d flaps, %d sessions, %d of them with the flapping replica", total, flaps, len(about), checked)
	})
}
