package replica

import (
	"fmt"
	"path/filepath"

	"fusion/adapters/bitcoin"
	"fusion/btc"
	"fusion/btc/utxo"
	"fusion/replica/genesis"
	"fusion/replica/machine"
)

// bitcoinFeed joins the Bitcoin adapter to this replica: what the state lacks goes in, headers and blocks come out for
// proposals, and the state's transactions are announced.
type bitcoinFeed struct {
	r       *Replica
	adapter *bitcoin.Adapter
}

func newBitcoinFeed(r *Replica) (*bitcoinFeed, error) {
	network, err := btc.ParseNetwork(r.doc.Bitcoin.Network)
	if err != nil {
		return nil, err
	}
	a, err := bitcoin.New(bitcoin.Config{Network: network, Local: r.doc.Class == genesis.Local, Peers: r.cfg.BitcoinPeers, Dir: filepath.Join(r.cfg.Dir, "bitcoin-adapter"), Log: r.log})
	if err != nil {
		return nil, fmt.Errorf("bitcoin adapter: %w", err)
	}
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

// reconcile tells the adapter what to fetch, whoever proposes next, and what to announce.
func (f *bitcoinFeed) reconcile(v *machine.View) {
	f.adapter.Successors(v.Bitcoin.Request)
	f.adapter.Announce(v.Bitcoin.Outgoing)
}

func (f *bitcoinFeed) peers() int { return len(f.adapter.Info().Peers) }
