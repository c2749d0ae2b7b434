package replica

import (
	"fmt"
	"math/big"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"fusion/adapters/bitcoin"
	"fusion/btc"
	"fusion/btc/canister"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/replica/genesis"
	"fusion/replica/machine"
	"fusion/replica/payload"
)

// bitcoinFeed joins the Bitcoin adapter to this replica: what the state lacks goes in, headers and blocks come out for
// proposals, and the state's transactions are announced.
type bitcoinFeed struct {
	r          *Replica
	adapter    *bitcoin.Adapter
	foreseeing atomic.Bool
}

func newBitcoinFeed(r *Replica) (*bitcoinFeed, error) {
	network, err := btc.ParseNetwork(r.doc.Bitcoin.Network)
	if err != nil {
		return nil, err
	}
	var seeds []string
	if len(r.cfg.BitcoinPeers) == 0 { // else the operator has chosen whom to trust
		seeds = bitcoin.Seeds(network)
	}
	a, err := bitcoin.New(bitcoin.Config{Network: network, Local: r.doc.Class == genesis.Local, Peers: r.cfg.BitcoinPeers, Seeds: seeds,
		Dir: filepath.Join(r.cfg.Dir, "bitcoin-adapter"), Log: r.log})
	if err != nil {
		return nil, fmt.Errorf("bitcoin adapter: %w", err)
	}
	r.machine.SetMempool(func(to btc.Address) []canister.Sighting {
		seen := a.Mempool(to)
		out := make([]canister.Sighting, len(seen))
		for i, s := range seen {
			out[i] = canister.Sighting{Outpoint: s.Outpoint, Value: s.Value, SeenNs: uint64(s.Seen.UnixNano())}
		}
		return out
	})
	return &bitcoinFeed{r: r, adapter: a}, nil
}

func (f *bitcoinFeed) close() error { return f.adapter.Close() }

// take returns what the adapter has for the newest state.
func (f *bitcoinFeed) take() utxo.Items {
	v := f.r.machine.View()
	if v.Bitcoin == nil {
		return utxo.Items{}
	}
	return f.adapter.Successors(v.Bitcoin.Request)
}

// reconcile tells the adapter what to fetch, whoever proposes next, and what to announce. The blocks that are at hand are what the next proposal will
// bring, so they are looked at while it is on its way.
func (f *bitcoinFeed) reconcile(v *machine.View) {
	items := f.adapter.Successors(v.Bitcoin.Request)
	f.adapter.Announce(v.Bitcoin.Outgoing)
	if len(items.Blocks) > 0 && f.foreseeing.CompareAndSwap(false, true) {
		f.r.wg.Go(func() {
			defer f.foreseeing.Store(false)
			var two errgroup.Group // one is read while the coins of another are
			two.SetLimit(2)
			for _, raw := range items.Blocks {
				two.Go(func() error { return f.r.machine.ForeseeBitcoin(raw) })
			}
			_ = two.Wait() // the state is being closed, or has failed, which others say
		})
	}
}

// strange is what an operator must know of a chain that the state cannot see, or nothing.
func (f *bitcoinFeed) strange(v *machine.View) string {
	b := f.adapter.Strange(v.Bitcoin.BestWork)
	if b == nil {
		return ""
	}
	return fmt.Sprintf("Bitcoin peers show a chain with more work, up to block %v at height %d, that forks more than %d blocks below the last final one (%d): "+
		"find out which one the world follows", b.Tip, b.Height, chain.MaxForkDepth, v.Bitcoin.Info.AnchorHeight)
}

// attest adds what this member has to say of a chain that the state cannot see.
func (f *bitcoinFeed) attest(b *payload.Builder, v *machine.View, height uint64) {
	if v.Bitcoin == nil {
		return
	}
	var tip btc.Hash
	var at uint32
	var work *big.Int
	if s := f.adapter.Strange(new(big.Int).Add(v.Bitcoin.BestWork, v.Bitcoin.Margin)); s != nil {
		tip, at, work = s.Tip, s.Height, s.Work
	}
	c := f.r.machine.DueClaim(f.r.self, height, tip, at, work)
	if c == nil {
		return
	}
	if item := c.Sign(f.r.life(), f.r.key); f.r.machine.FitsRival(height, item) {
		b.Add(payload.Rival, item)
	}
}

func (f *bitcoinFeed) peers() int { return len(f.adapter.Info().Peers) }
