package consensus

import (
	"crypto/ed25519"
	"reflect"
	"testing"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/types"

	"fusion/replica/consensus/driver"
)

func testMembers(n int) (members []Member) {
	for i := range n {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i + 1)
		members = append(members, Member{ValidatorKey: ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey), Power: 1})
	}
	return members
}

// The order of turns is CometBFT's own, over heights and rounds.
func TestTurns(t *testing.T) {
	for _, n := range []int{1, 4, 7, 13} {
		members := testMembers(n)
		r := rollOf(members)
		var list []*types.Validator
		for _, m := range members {
			list = append(list, types.NewValidator(cmted25519.PubKey(m.ValidatorKey), m.Power))
		}
		voters := types.NewValidatorSet(list)
		for height := int64(1); height < 30; height++ {
			want := driver.Turns{Passed: make([]uint64, n)}
			of := voters.Copy()
			for round := range int32(3*n + 2) {
				want.Last = r.nodes[string(of.GetProposer().Address)]
				if got := r.turns(height, round); round > 0 && !reflect.DeepEqual(got, want) {
					t.Fatalf("%d nodes, height %d, decided in round %d: %+v, want %+v", n, height, round, got, want)
				}
				want.Passed[want.Last]++
				of.IncrementProposerPriority(1)
			}
			voters.IncrementProposerPriority(1)
		}
		if got := r.turns(5, 0); got.Passed != nil {
			t.Errorf("decided in the first round: %+v", got)
		}
	}
	members := testMembers(4)
	members[2].Power = 5
	if got := rollOf(members).turns(5, 3); got.Passed != nil {
		t.Errorf("turns of unequal powers: %+v", got)
	}
	// What a block says is about the one before it.
	r := rollOf(testMembers(4))
	proposer := cmted25519.PubKey(testMembers(4)[3].ValidatorKey).Address()
	if b := r.block(9, time.Unix(5, 0), proposer, 2, nil); b.Height != 9 || b.Proposer != 3 || !reflect.DeepEqual(b.Before, r.turns(8, 2)) {
		t.Errorf("block: %+v", b)
	}
	if b := r.block(1, time.Unix(5, 0), []byte("nobody"), 0, nil); b.Proposer != -1 || b.Before.Passed != nil {
		t.Errorf("first block: %+v", b)
	}
}
