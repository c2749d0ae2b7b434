package testnets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fusion/ckledger/ckbtc"
	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica"
	"fusion/replica/management"
	"fusion/testnets"
	"fusion/testnets/canisters"
	"fusion/testnets/golden"
)

// replayMessages is how many messages TestReplay sends: FUSION_MESSAGES, which the real tier sets to 10,000.
func replayMessages(t *testing.T) int {
	env := os.Getenv("FUSION_MESSAGES")
	if env == "" {
		return 1500
	}
	return must(strconv.Atoi(env))(t)
}

// TestReplay has users send random messages to a mix of canisters: ledgers of theirs that they also upgrade, stop and start, the
// ckBTC ledger and minter, the Bitcoin canister, the management canister; some of the messages are nonsense, and Bitcoin blocks
// come in between. All replicas have the same state at every height, and a replay of the stored blocks from the genesis
// document finds the state of each height again.
func TestReplay(t *testing.T) {
	const users = 50
	messages := replayMessages(t)
	dir := golden.Clone(t)
	n := golden.RunDir(t, dir)
	f := attach(t, n)
	seen := watchHeights(f, n)

	var sent, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range users {
		u := must(f.w.User(fmt.Sprint("user-", i), i%f.w.Nodes))(t)
		s := &randomUser{f: f, u: u, rng: rand.New(rand.NewPCG(7, uint64(i))), peers: users}
		wg.Go(func() {
			if err := s.install(); err != nil {
				t.Error(err)
				return
			}
			for range messages / users {
				err := s.act()
				sent.Add(1)
				var rejected *agent.RejectError
				switch {
				case errors.As(err, &rejected):
					refused.Add(1)
				case err != nil:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			_, err := f.bob.Deposit(f, 100_000)
			if err := errors.Join(err, f.w.Mine(f, 1)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	top := must(f.w.Agree(f, n.Replica(0).View().Height))(t)
	heights, compared := seen.stop()
	t.Logf("%d messages, %d of them refused; %d heights up to %d, %d comparisons between replicas", sent.Load(), refused.Load(), heights, top, compared)
	if seen.err != nil {
		t.Fatal(seen.err)
	}
	if uint64(compared) < 2*uint64(heights) || refused.Load() == 0 || sent.Load() < int64(messages/users*users) {
		t.Errorf("that is too little to say anything")
	}
	f.w.Close()
	check(t, n.Close())

	cfg := must(replica.LoadConfig(testnets.NodeDir(dir, 1)))(t)
	got, err := replica.Replay(t.Context(), *cfg, replica.Options{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("replayed %d blocks with %d messages of canisters", got.Blocks, got.Messages)
	if got.Blocks < top || got.Messages < messages/2 {
		t.Errorf("replayed %+v after block %d", got, top)
	}

	// The genesis document of another network does not lead to these states.
	path := filepath.Join(testnets.NodeDir(dir, 1), replica.GenesisFile)
	doc := must(os.ReadFile(path))(t)
	other := bytes.Replace(doc, []byte(`"signing_parallel": `), []byte(`"signing_parallel": 1`), 1)
	check(t, os.WriteFile(path, other, 0o600))
	if _, err := replica.Replay(t.Context(), *cfg, replica.Options{}, nil, nil); !errors.Is(err, replica.ErrDiffers) || bytes.Equal(doc, other) {
		t.Errorf("replaying with another genesis document: %v", err)
	}
}

// randomUser sends random messages, one after the other.
type randomUser struct {
	f      *fixture
	u      *golden.User
	rng    *rand.Rand
	peers  int
	own    principal.Principal // a ledger
	serial uint64
}

func (s *randomUser) arg() icrc.LedgerArg {
	return icrc.LedgerArg{Init: &icrc.InitArgs{MintingAccount: icrc.Account{Owner: principal.Management}, TransferFee: candid.NatFromUint64(1),
		TokenSymbol: "RND", TokenName: "random", ArchiveOptions: icrc.ArchiveOptions{NumBlocksToArchive: 1000, TriggerThreshold: 2000},
		InitialBalances: []icrc.InitialBalance{{Account: s.u.Account(), Amount: candid.NatFromUint64(1_000_000)}}}}
}

// install makes a ledger for every eighth user; the others use the ckBTC ledger.
func (s *randomUser) install() error {
	s.own = s.f.w.Ledger
	if s.rng.IntN(8) != 0 {
		return nil
	}
	var created management.CanisterID
	cycles := candid.NatFromUint64(100_000_000_000_000)
	if err := s.u.Agent.Update(s.f, principal.Management, "provisional_create_canister_with_cycles",
		[]any{management.ProvisionalCreateArgs{Amount: &cycles}}, []any{&created}); err != nil {
		return err
	}
	s.own = created.CanisterID
	module, err := canisters.Module("icrc1_ledger")
	if err != nil {
		return err
	}
	return testnets.Install(s.f, s.u.Agent, s.own, management.ModeInstall(), module, candid.MustMarshal(s.arg()))
}

// act sends one message.
func (s *randomUser) act() error {
	ctx, cancel := context.WithTimeout(s.f, 3*time.Minute)
	defer cancel()
	a := s.u.Agent
	update := func(canister principal.Principal, method string, in any) error {
		return a.Update(ctx, canister, method, []any{in}, nil)
	}
	to := principal.SelfAuthenticating(fmt.Append(nil, "somebody ", s.rng.IntN(s.peers)))
	amount := candid.NatFromUint64(s.rng.Uint64N(2000))
	s.serial++
	switch k := s.rng.IntN(100); {
	case k < 55:
		now := uint64(time.Now().UnixNano())
		return update(s.own, "icrc1_transfer", icrc.TransferArg{To: icrc.Account{Owner: to}, Amount: amount, CreatedAtTime: &now})
	case k < 65:
		return update(s.own, "icrc2_approve", icrc.ApproveArgs{Spender: icrc.Account{Owner: to}, Amount: amount})
	case k < 72:
		return update(s.own, "icrc2_transfer_from", icrc.TransferFromArgs{From: icrc.Account{Owner: to}, To: s.u.Account(), Amount: amount})
	case k < 76:
		return update(s.f.w.Minter, "get_btc_address", struct{}{})
	case k < 79:
		return update(s.f.w.Minter, "update_balance", struct{}{})
	case k < 82:
		return update(s.f.w.Minter, "retrieve_btc_with_approval", ckbtc.RetrieveBtcWithApprovalArgs{Address: "nowhere", Amount: 1_000_000})
	case k < 85:
		return update(canisters.BitcoinTestnet, "bitcoin_get_balance", struct{}{})
	case k < 88:
		return update(s.own, "no such method", struct{}{})
	case k < 91:
		_, err := a.Call(ctx, s.own, "icrc1_transfer", []byte(fmt.Sprint("nonsense ", s.serial)))
		return err
	case k < 93:
		return update(principal.Management, "stop_canister", management.CanisterID{CanisterID: s.own})
	case k < 96:
		return update(principal.Management, "start_canister", management.CanisterID{CanisterID: s.own})
	case k < 98:
		return update(principal.Management, "canister_status", management.CanisterID{CanisterID: s.own})
	default:
		return update(principal.Management, "upload_chunk", management.UploadChunkArgs{CanisterID: s.own, Chunk: fmt.Append(nil, s.serial, to)})
	}
}

// heights are the states that the replicas of a network have been seen in.
type heights struct {
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	mu       sync.Mutex
	hash     map[uint64][32]byte
	compared int
	err      error
}

// watchHeights looks at the replicas' states a hundred times a second, and compares.
func watchHeights(ctx context.Context, n *testnets.Network) *heights {
	ctx, cancel := context.WithCancel(ctx)
	h := &heights{cancel: cancel, hash: map[uint64][32]byte{}}
	for i := range n.Manifest.Nodes {
		r := n.Replica(i)
		h.wg.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			last := uint64(0)
			for {
				if v := r.View(); v.Height > last {
					last = v.Height
					h.note(i, v.Height, v.AppHash)
				}
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	return h
}

func (h *heights) note(node int, height uint64, hash [32]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old, ok := h.hash[height]
	switch {
	case !ok:
		h.hash[height] = hash
	case old != hash:
		h.err = fmt.Errorf("replica %d has state %x at block %d, another has %x", node, hash, height, old)
	default:
		h.compared++
	}
}

// stop ends the watching and says how many heights were seen and how often one was seen again elsewhere.
func (h *heights) stop() (heights, compared int) {
	h.cancel()
	h.wg.Wait()
	return len(h.hash), h.compared
}
