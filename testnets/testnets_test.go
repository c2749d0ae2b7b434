package testnets_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fusion/cdk/link"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica"
	"fusion/replica/management"
	"fusion/replica/state"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// noLeaks checks that closing a network ended what running it began. Left over are routines of libraries that cannot be stopped:
// CometBFT's write-ahead log leaves two for each open (autofile), its reactor one that looks seldom whether it is needed,
// goleveldb's pools drain after half a minute, and wazero, libp2p's and Pebble's caches are released with their owners.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		var err error
		for range 20 { // goleak itself waits a little each time
			if err = goleak.Find(before,
				goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.OpenAutoFile.func1"),
				goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/libs/autofile.(*AutoFile).closeFileRoutine"),
				goleak.IgnoreAnyFunction("github.com/cometbft/cometbft/consensus.(*Reactor).queryMaj23Routine"),
				goleak.IgnoreTopFunction("github.com/ethereum/go-ethereum/core.(*txSenderCacher).cache"), // one for each processor, for ever
				goleak.IgnoreAnyFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"),
				goleak.IgnoreTopFunction("github.com/ipfs/go-log/writer.(*MirrorWriter).logRoutine"),
			); err == nil {
				return
			}
		}
		t.Error(err)
	})
}

// timeout bounds a test; each takes a thirtieth of it on an idle machine.
const timeout = 10 * time.Minute

// fixture is a running copy of the golden network with two users.
type fixture struct {
	context.Context
	n          *testnets.Network
	w          *golden.World
	owner, bob *golden.User
}

func setup(t *testing.T) *fixture {
	t.Helper()
	return attach(t, golden.Run(t))
}

// compile builds one of the canisters in testdata.
func (f *fixture) compile(t testing.TB, name string) []byte {
	t.Helper()
	return must(link.Gzip(must(link.Build(f, "", "./testdata/"+name))(t).Wasm))(t)
}

// install makes a canister of the owner's, with plenty of cycles, that runs a module without arguments.
func (f *fixture) install(t testing.TB, module []byte) principal.Principal {
	t.Helper()
	var created management.CanisterID
	check(t, f.owner.Agent.Update(f, principal.Management, "provisional_create_canister_with_cycles",
		[]any{management.ProvisionalCreateArgs{Amount: ptr(candid.NatFromUint64(1_000_000_000_000_000))}}, []any{&created}))
	check(t, testnets.Install(f, f.owner.Agent, created.CanisterID, management.ModeInstall(), module, candid.MustMarshal()))
	return created.CanisterID
}

func attach(t *testing.T, n *testnets.Network) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	f := &fixture{Context: ctx, n: n, w: golden.NewWorld(t, n)}
	t.Cleanup(f.w.Close)
	f.owner = must(f.w.User(golden.Owner, 0))(t)
	f.bob = must(f.w.User("bob", 1))(t)
	return f
}

// must takes a result that has to be there.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRestart stops a whole network and finds all of it again.
func TestRestart(t *testing.T) {
	noLeaks(t)
	dir := golden.Clone(t)
	n := golden.RunDir(t, dir)
	f := attach(t, n)
	const paid = 1234
	must(f.owner.Pay(f, f.bob.Agent.Sender(), paid))(t)
	before := must(f.w.Status(f, 0))(t)
	root := f.w.RootKey()
	supply := must(f.w.Audit(f, f.owner, f.bob))(t)
	owned := must(f.owner.Own(f))(t)
	f.w.Close()
	check(t, n.Close())

	again := golden.RunDir(t, dir)
	defer again.Close()
	g := attach(t, again)
	if string(g.w.RootKey()) != string(root) {
		t.Errorf("root key %x became %x", root, g.w.RootKey())
	}
	after := must(g.w.Status(g, 0))(t)
	inactive := func(k replica.Key) bool { return !k.Active }
	if len(after.Keys) != len(testnets.Keys()) || !slices.Equal(after.Keys, before.Keys) || slices.ContainsFunc(after.Keys, inactive) {
		t.Errorf("threshold keys %+v became %+v", before.Keys, after.Keys)
	}
	if after.Height < before.Height || after.Height == before.Height && after.AppHash != before.AppHash {
		t.Errorf("block %d %s became %d %s", before.Height, before.AppHash, after.Height, after.AppHash)
	}
	must(g.w.Agree(g, before.Height))(t)
	if got := must(g.owner.Own(g))(t); got != owned {
		t.Errorf("balance %d became %d", owned, got)
	}
	if got := must(g.bob.Own(g))(t); got != paid {
		t.Errorf("bob has %d, want %d", got, paid)
	}
	if got := must(g.w.Audit(g, g.owner, g.bob))(t); got != supply {
		t.Errorf("supply %d became %d", supply, got)
	}
	var address string
	check(t, g.owner.Agent.Update(g, g.w.Minter, "get_btc_address", []any{struct{}{}}, []any{&address}))
	if want := g.owner.DepositAddress().String(); address != want {
		t.Errorf("deposit address %s, want %s", address, want)
	}
	g.w.Close()
	check(t, again.Close())
}

// TestKillDuringSigning stops a member of a signing committee; another committee completes the redemption, and the replica
// returns to the same state.
func TestKillDuringSigning(t *testing.T) {
	f := setup(t)
	const sats = 1_000_000
	to := golden.FreshAddress(t.Name())
	block := must(f.owner.Redeem(f, to, sats))(t)
	victim := -1
	check(t, golden.Wait(f, "a committee", func() (string, error) {
		s, err := f.w.Status(f, 0)
		if err != nil {
			return "", err
		}
		for _, line := range s.Signing {
			var rest string
			if _, members, ok := strings.Cut(line, "nodes ["); ok {
				members, rest, _ = strings.Cut(members, "]")
				if strings.HasPrefix(rest, " are signing") {
					// Not replica 0, which this test asks.
					for i := 1; i < f.w.Nodes; i++ {
						if strings.Contains(" "+members+" ", fmt.Sprintf(" %d ", i)) {
							victim = i
						}
					}
					return "", nil
				}
			}
		}
		return fmt.Sprintf("signing: %q", s.Signing), nil
	}))
	check(t, f.n.StopReplica(victim))
	t.Logf("stopped replica %d", victim)
	stopped := must(f.w.Status(f, 0))(t)
	txid := must(f.owner.Finish(f, block))(t)
	s := must(f.w.Status(f, 0))(t)
	if f.n.Replica(victim) != nil {
		t.Fatal("the replica is not stopped")
	}
	got := must(f.w.Chain.Balance(f, to))(t)
	if got <= 0 || got > sats {
		t.Errorf("%s received %d sat in %s for %d", to, got, txid, sats)
	}
	t.Logf("paid by block %d, %d blocks after the stop", s.Height, s.Height-stopped.Height)
	check(t, f.n.StartReplica(f, victim))
	must(f.w.Agree(f, s.Height))(t)
	must(f.w.Audit(f, f.owner, f.bob))(t)
}

// TestReorg replaces the blocks of a deposit below the confirmation depth: no money moves. Mined again, it is minted once.
func TestReorg(t *testing.T) {
	f := setup(t)
	const sats = 2_000_000
	supply := must(f.w.Audit(f, f.owner, f.bob))(t)
	must(f.bob.Deposit(f, sats))(t)
	check(t, f.w.Mine(f, testnets.Confirmations-1))
	pending := func() int {
		res := must(f.bob.UpdateBalance(f))(t)
		if res.Err == nil || res.Err.NoNewUtxos == nil {
			t.Fatalf("the minter says %+v", res)
		}
		if res.Err.NoNewUtxos.PendingUtxos == nil {
			return 0
		}
		return len(*res.Err.NoNewUtxos.PendingUtxos)
	}
	if got := pending(); got != 1 {
		t.Fatalf("%d deposits are pending, want 1", got)
	}
	btc := f.n.Bitcoin()
	hashes := must(btc.Reorg(testnets.Confirmations-1, testnets.Confirmations, btc.FaucetAddress()))(t)
	check(t, f.w.WaitTip(f, hashes[len(hashes)-1].String()))
	if got := pending(); got != 0 {
		t.Fatalf("%d deposits are pending after the reorganisation, want none", got)
	}
	if got := must(f.w.Supply(f, f.bob))(t); got != supply {
		t.Fatalf("supply went from %d to %d", supply, got)
	}
	check(t, f.w.Mine(f, testnets.Confirmations)) // the transaction went back to the memory pool
	const askers = 3
	minted := make([]uint64, askers)
	var wg sync.WaitGroup
	for i := range askers {
		wg.Go(func() {
			res, err := f.bob.UpdateBalance(f)
			if err != nil {
				t.Error(err)
				return
			}
			if res.Ok != nil {
				for _, u := range *res.Ok {
					if u.Minted != nil {
						minted[i] += u.Minted.MintedAmount
					}
				}
			}
		})
	}
	wg.Wait()
	if got := minted[0] + minted[1] + minted[2]; got != sats-testnets.CheckFee {
		t.Errorf("%v were minted for a deposit of %d", minted, sats)
	}
	if got := must(f.bob.Own(f))(t); got != sats-testnets.CheckFee {
		t.Errorf("bob has %d after a deposit of %d", got, sats)
	}
	must(f.w.Audit(f, f.owner, f.bob))(t)
}

// TestRefusedStarts starts networks that cannot run: each says why, and starts once the reason is gone.
func TestRefusedStarts(t *testing.T) {
	dir := golden.Clone(t)
	run := func(dir string) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		n, err := testnets.Run(ctx, dir, testnets.RunOptions{})
		if err == nil {
			return n.Close()
		}
		return err
	}
	refused := func(t *testing.T, dir string, want error, words ...string) {
		t.Helper()
		err := run(dir)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not say %q", err, word)
			}
		}
	}
	m := must(testnets.Load(dir))(t)
	t.Run("a port in use", func(t *testing.T) {
		cfg := must(replica.LoadConfig(testnets.NodeDir(dir, 2)))(t)
		for _, addr := range []string{m.HTTP[1], cfg.Consensus, cfg.Gossip, m.Bitcoin} {
			l := must(net.Listen("tcp", addr))(t)
			refused(t, dir, nil, addr, "address already in use")
			check(t, l.Close())
		}
	})
	t.Run("no network", func(t *testing.T) { refused(t, t.TempDir(), testnets.ErrNoNetwork) })
	t.Run("another version", func(t *testing.T) {
		path := filepath.Join(dir, "network.json")
		b := must(os.ReadFile(path))(t)
		check(t, os.WriteFile(path, []byte(strings.Replace(string(b), `"version": 1`, `"version": 99`, 1)), 0o600))
		refused(t, dir, testnets.ErrVersion, "99")
		check(t, os.WriteFile(path, b, 0o600))
	})
	t.Run("the state of another network", func(t *testing.T) {
		other, err := os.MkdirTemp("", "fn")
		check(t, err)
		defer os.RemoveAll(other)
		must(testnets.Create(other, testnets.Settings{Nodes: 1}))(t)
		mine, theirs := filepath.Join(testnets.NodeDir(dir, 0), "state"), filepath.Join(testnets.NodeDir(other, 0), "state")
		check(t, os.Rename(mine, theirs))
		refused(t, other, state.ErrNetwork)
		check(t, os.Rename(theirs, mine))
	})
	t.Run("a directory that cannot be written", func(t *testing.T) {
		// A file in the way stops root as well, whom permissions do not.
		path := filepath.Join(testnets.NodeDir(dir, 3), "state")
		check(t, os.Rename(path, path+".away"))
		check(t, os.WriteFile(path, nil, 0o600))
		refused(t, dir, nil, path)
		check(t, errors.Join(os.Remove(path), os.Rename(path+".away", path)))
	})
	t.Run("already running", func(t *testing.T) {
		n := golden.RunDir(t, dir) // and so nothing of the above did harm
		refused(t, dir, testnets.ErrRunning)
		f := attach(t, n)
		must(f.w.Audit(f, f.owner))(t)
	})
}
