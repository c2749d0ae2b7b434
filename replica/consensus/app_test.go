package consensus

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"

	"fusion/replica/consensus/driver"
)

// broken fails in every way an App can.
type broken struct {
	*app
	panics bool
}

var errBroken = errors.New("broken")

func (b broken) fail() error {
	if b.panics {
		panic(errBroken)
	}
	return errBroken
}

func (b broken) InitChain(uint64) ([]byte, error)                  { return nil, b.fail() }
func (b broken) Prepare(context.Context, driver.Proposal) [][]byte { panic(errBroken) }
func (b broken) Process(driver.Block) error                        { return b.fail() }
func (b broken) Finalize(driver.Block) ([]byte, error)             { return nil, b.fail() }
func (b broken) Commit() (uint64, error)                           { return 0, b.fail() }

// A bad proposal is refused and a bad proposer stays silent; failures of execution reach CometBFT, which stops.
func TestBrokenApp(t *testing.T) {
	for _, panics := range []bool{false, true} {
		a := &abciApp{app: broken{newApp(), panics}, log: slog.New(slog.DiscardHandler), prepareTimeout: time.Second, committed: func(uint64) {}}
		ctx := t.Context()
		if res, err := a.ProcessProposal(ctx, &abci.RequestProcessProposal{Height: 1}); err != nil || res.Status != abci.ResponseProcessProposal_REJECT {
			t.Errorf("process: %v, %v", res, err)
		}
		if res, err := a.PrepareProposal(ctx, &abci.RequestPrepareProposal{Height: 1, MaxTxBytes: 100}); err != nil || len(res.Txs) != 0 {
			t.Errorf("prepare: %v, %v", res, err)
		}
		if _, err := a.FinalizeBlock(ctx, &abci.RequestFinalizeBlock{Height: 1}); err == nil {
			t.Error("finalize succeeded")
		}
		if _, err := a.Commit(ctx, &abci.RequestCommit{}); err == nil || a.height.Load() != 0 {
			t.Error("commit succeeded")
		}
		if _, err := a.InitChain(ctx, &abci.RequestInitChain{}); err == nil {
			t.Error("the chain was initialised")
		}
	}
}

// Who does wrong is named, but for this node itself and for validators that never were.
func TestMisconduct(t *testing.T) {
	var seen []string
	a := &abciApp{app: broken{newApp(), false}, log: slog.New(slog.DiscardHandler), self: 1, misconduct: func(node int, what Misconduct) { seen = append(seen, fmt.Sprint(node, what)) }}
	var members []Member
	for i := range 4 {
		members = append(members, Member{ValidatorKey: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i)}, 32)).Public().(ed25519.PublicKey), Power: 1})
	}
	a.roll = rollOf(members, 0)
	address := func(i int) []byte { return cmted25519.PubKey(members[i].ValidatorKey).Address() }
	for _, proposer := range [][]byte{address(2), address(1), make([]byte, 20)} {
		if _, err := a.ProcessProposal(t.Context(), &abci.RequestProcessProposal{Height: 1, ProposerAddress: proposer}); err != nil {
			t.Error(err)
		}
	}
	a.app = newApp()
	twice := func(address []byte, kind abci.MisbehaviorType) abci.Misbehavior {
		return abci.Misbehavior{Type: kind, Validator: abci.Validator{Address: address, Power: 1}, Height: 1}
	}
	if _, err := a.FinalizeBlock(t.Context(), &abci.RequestFinalizeBlock{Height: 1, Misbehavior: []abci.Misbehavior{twice(address(3), abci.MisbehaviorType_DUPLICATE_VOTE),
		twice(address(0), abci.MisbehaviorType_LIGHT_CLIENT_ATTACK), twice(make([]byte, 20), abci.MisbehaviorType_DUPLICATE_VOTE)}}); err != nil {
		t.Error(err)
	}
	if want := []string{fmt.Sprint(2, BadProposal), fmt.Sprint(3, DoubleVote)}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
}

func TestPeerFilter(t *testing.T) {
	a := &abciApp{members: map[p2p.ID]bool{"member": true}}
	ask := func(path string) bool {
		res, err := a.Query(t.Context(), &abci.RequestQuery{Path: path})
		return err == nil && res.IsOK()
	}
	if !ask("/p2p/filter/id/member") || !ask("/p2p/filter/addr/1.2.3.4:5") || ask("/p2p/filter/id/stranger") || ask("/p2p/filter/id/") {
		t.Error("the filter lets the wrong peers in")
	}
	a.setBlocked("member", true)
	if ask("/p2p/filter/id/member") {
		t.Error("a disconnected member got in")
	}
}
