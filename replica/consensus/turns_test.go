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
		r := rollOf(members, 0)
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
	unequal := rollOf(members, 0)
	if got := unequal.turns(5, 3); got.Passed != nil {
		t.Errorf("turns of unequal powers: %+v", got)
	}
	// What a block says is about the one before it.
	r := rollOf(testMembers(4), 0)
	proposer := cmted25519.PubKey(testMembers(4)[3].ValidatorKey).Address()
	if b := r.block(9, time.Unix(5, 0), proposer, 2, nil); b.Height != 9 || b.Proposer != 3 || !reflect.DeepEqual(b.Before, r.turns(8, 2)) {
		t.Errorf("block: %+v", b)
	}
	if b := r.block(1, time.Unix(5, 0), []byte("nobody"), 0, nil); b.Proposer != -1 || b.Before.Passed != nil {
		t.Errorf("first block: %+v", b)
	}
}

// Over changes of the validators the roll keeps step with what CometBFT's state does, and the order of turns is again CometBFT's own.
func TestTurnsOverEras(t *testing.T) {
	members := testMembers(8)
	r := rollOf(members[:4], 0)
	era := func(height uint64, nodes ...int) driver.Era {
		e := driver.Era{Height: height}
		for _, i := range nodes {
			e.Validators = append(e.Validators, driver.Validator{Node: i, Key: members[i].ValidatorKey})
		}
		return e
	}
	eras := []driver.Era{era(0, 0, 1, 2, 3), era(17, 0, 1, 2, 3, 4), era(18, 0, 1, 3, 4), era(40, 0, 1, 3, 4), era(301, 0, 1, 4, 7), era(350, 0, 1, 4, 6, 7)}
	var list []*types.Validator
	for _, m := range members[:4] {
		list = append(list, types.NewValidator(cmted25519.PubKey(m.ValidatorKey), 1))
	}
	now := types.NewValidatorSet(list)
	next := now.CopyIncrementProposerPriority(1)
	known := 1
	for height := int64(1); height < 420; height++ {
		if got := r.at(height); !reflect.DeepEqual(got.Validators, now.Validators) || got.GetProposer().Address.String() != now.GetProposer().Address.String() {
			t.Fatalf("height %d: %v, want %v", height, got, now)
		}
		slots, of := 4, now.Copy()
		if height >= 303 {
			slots = 8
		} else if height >= 19 {
			slots = 5
		}
		want := driver.Turns{Passed: make([]uint64, slots)}
		for round := range int32(40) {
			want.Last = r.nodes[string(of.GetProposer().Address)]
			if got := r.turns(height, round); round > 0 && !reflect.DeepEqual(got, want) {
				t.Fatalf("height %d, decided in round %d: %+v, want %+v", height, round, got, want)
			}
			want.Passed[want.Last]++
			of.IncrementProposerPriority(1)
		}
		// What CometBFT's state does with a block (state.updateState).
		after := next.Copy()
		if known < len(eras) && int64(eras[known].Height) == height {
			changes, err := r.extend(eras[:known+1])
			if err != nil || len(changes) != 1 {
				t.Fatal(changes, err)
			}
			if len(changes[0]) > 0 {
				if err := after.UpdateWithChangeSet(changes[0]); err != nil {
					t.Fatal(err)
				}
			}
			known++
		}
		after.IncrementProposerPriority(1)
		now, next = next, after
	}
	again := rollOf(members[:4], 0) // as after a restart
	if _, err := again.extend(eras); err != nil || !reflect.DeepEqual(again.at(419), r.at(419)) {
		t.Errorf("after a restart the roll differs: %v", err)
	}
	if _, err := again.extend(append(eras, eras[0])); err == nil {
		t.Error("an era of the past was taken")
	}
}
