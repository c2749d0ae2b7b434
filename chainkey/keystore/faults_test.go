package keystore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"fusion/chainkey"
	"fusion/internal/durable/baddisk"
)

// diskSeeds is how many disks fail under a store.
const diskSeeds = 100

// However a disk fails, what the store promised holds after a crash: a session that was joined is never joined again, a share that was stored is
// there, and the store opens.
func TestPromisesOutliveDisks(t *testing.T) {
	came, refused := 0, 0
	for seed := range uint64(diskSeeds) {
		rng := rand.New(rand.NewPCG(seed, 7))
		disk := &baddisk.Disk{Fault: baddisk.Fault(seed % uint64(baddisk.Faults)), After: 1 + rng.IntN(40), Rand: rng}
		o := Options{Dir: filepath.Join(t.TempDir(), "keys"), AllowPlain: true, FS: disk}
		joined, shares := map[[32]byte]bool{}, map[Generation]string{}
		s, err := Open(o)
		for i := range uint32(20) {
			if err != nil {
				break // it could not be opened: nothing is promised
			}
			id := [32]byte{byte(rng.Uint32()), byte(i), byte(seed), 1}
			if err := s.Join(id); err == nil {
				joined[id] = true
			} else {
				refused++
			}
			g := Generation{Key: "k", Epoch: uint64(i)}
			if content := fmt.Sprint("share ", rng.Uint64()); i%4 == 0 && s.PutShare(g, "gg18", chainkey.Secret(content)) == nil {
				shares[g] = content
			}
			if rng.IntN(12) == 0 { // somebody starts it again
				if err = s.Close(); err == nil {
					s, err = Open(o)
				}
			}
		}
		if s != nil {
			_ = s.Close()
		}
		if disk.Came() {
			came++
		}
		if err := disk.Crash(); err != nil {
			t.Fatal(err)
		}
		o.FS = nil
		if s, err = Open(o); err != nil {
			t.Fatalf("seed %d: the store does not open again: %v", seed, err)
		}
		for id := range joined {
			if err := s.Join(id); !errors.Is(err, ErrJoined) {
				t.Fatalf("seed %d: session %x is joined a second time: %v", seed, id[:4], err)
			}
		}
		for g, want := range shares {
			if _, got, err := s.Share(g); err != nil || string(got) != want {
				t.Fatalf("seed %d: the share of %v is %q, want %q: %v", seed, g, got, want, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if came < diskSeeds/2 || refused < diskSeeds/4 {
		t.Errorf("%d of %d disks failed and %d sessions were refused: this test shows little", came, diskSeeds, refused)
	}
}
