package consensus

import (
	stded25519 "crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"fusion/internal/durable"
	"fusion/internal/durable/baddisk"
)

// However a disk fails, and whenever the power is cut: no second signature for a step of which one was given away.
func TestSignerOutlivesDisks(t *testing.T) {
	const disks = 100
	key := stded25519.NewKeyFromSeed(make([]byte, 32))
	came, refused, told := 0, 0, 0
	for seed := range uint64(disks) {
		rng := rand.New(rand.NewPCG(seed, 8))
		disk := &baddisk.Disk{Fault: baddisk.Fault(seed % uint64(baddisk.Faults)), After: 1 + rng.IntN(40), Rand: rng}
		path := filepath.Join(t.TempDir(), "sign-state.json")
		type at struct {
			height int64
			round  int32
			step   int8
		}
		given := map[at]string{}
		sign := func(s *Signer, a at, what string) ([]byte, error) {
			sig, _, err := s.sign(a.height, a.round, a.step, time.Unix(1, 0), func(time.Time) []byte { return fmt.Append(nil, a, what) })
			return sig, err
		}
		s, err := openSigner(disk, key, path, true)
		if err == nil {
			s.broken = func(error) { told++ }
		}
		for i := range int64(20) {
			if err != nil {
				break
			}
			a := at{1 + i/4, int32(i / 2 % 2), stepPrevote + int8(i%2)}
			what := fmt.Sprint(rng.Uint32())
			if _, err := sign(s, a, what); err == nil {
				given[a] = what
			} else if refused++; rng.IntN(2) == 0 { // asked again, for another block
				if _, err := sign(s, a, "another"); err == nil {
					given[a] = "another"
				}
			}
		}
		if disk.Came() {
			came++
		}
		if err := disk.Crash(); err != nil {
			t.Fatal(err)
		}
		if s, err = openSigner(durable.OS{}, key, path, len(given) == 0); err != nil {
			t.Fatalf("seed %d: the sign state is not readable: %v", seed, err)
		}
		for a, what := range given {
			if _, err := sign(s, a, what+" no"); err == nil {
				t.Fatalf("seed %d: two signatures for %+v", seed, a)
			}
		}
	}
	if came < disks/2 || refused < disks/4 || told < refused {
		t.Errorf("%d of %d disks failed and %d signatures were refused, of which the node was told %d times: this test shows little", came, disks, refused, told)
	}
}
