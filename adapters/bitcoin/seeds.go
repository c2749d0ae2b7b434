package bitcoin

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"fusion/btc"
)

// Seeds are the names under which volunteers publish addresses of Bitcoin nodes (Bitcoin Core 29, kernel/chainparams.cpp). Development networks
// have none. Whoever answers for a name chooses who is dialled first, and nothing else: see "Peers".
func Seeds(n btc.Network) []string {
	switch n {
	case btc.Mainnet:
		return []string{"seed.bitcoin.sipa.be", "dnsseed.bluematt.me", "seed.bitcoin.jonasschnelli.ch", "seed.btc.petertodd.net", "seed.bitcoin.sprovoost.nl",
			"dnsseed.emzy.de", "seed.bitcoin.wiz.biz", "seed.mainnet.achownodes.xyz"}
	case btc.Testnet4:
		return []string{"seed.testnet4.bitcoin.sprovoost.nl", "seed.testnet4.wiz.biz"}
	case btc.Signet:
		return []string{"seed.signet.bitcoin.sprovoost.nl", "seed.signet.achownodes.xyz"}
	}
	return nil
}

const (
	seedServices  = "x9." // asks for nodes that serve whole blocks with witnesses
	maxPerSeed    = 32    // addresses taken of an answer
	seedTimeout   = 10 * time.Second
	seedPeers     = 2                // connections that make asking needless
	seedPatience  = 11 * time.Second // for addresses that are known already
	firstSeedWait = time.Minute
	maxSeedWait   = time.Hour
)

// seedMore asks the seeds while there are hardly any connections: at once when no address is known, and again with back-off. The lock is held.
func (a *Adapter) seedMore(now time.Time) {
	if a.ctx.Err() != nil || a.seeding || len(a.cfg.Seeds) == 0 || len(a.peers) >= seedPeers || now.Before(a.nextSeed) {
		return
	}
	a.seeding = true
	a.wg.Add(1)
	go func() {
		defer a.wg.Done()
		for _, host := range a.cfg.Seeds {
			a.askSeed(host)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seeding, a.seedWait = false, min(max(2*a.seedWait, firstSeedWait), maxSeedWait)
		a.nextSeed = time.Now().Add(a.seedWait)
	}()
}

func (a *Adapter) askSeed(host string) {
	ctx, cancel := context.WithTimeout(a.ctx, seedTimeout)
	defer cancel()
	found, err := a.cfg.Resolve(ctx, seedServices+host)
	if err != nil {
		if a.ctx.Err() == nil {
			a.log.Info("bitcoin seed does not answer", "seed", host, "err", err)
		}
		return
	}
	port := strconv.Itoa(int(a.cfg.Network.Port()))
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ip := range found[:min(len(found), maxPerSeed)] {
		if ip = ip.Unmap(); public(net.IP(ip.AsSlice())) {
			a.book.add(net.JoinHostPort(ip.String(), port))
		}
	}
	a.kick()
}

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// public tells whether an address may be a node's on the internet.
func public(ip net.IP) bool { return ip.IsGlobalUnicast() && !ip.IsPrivate() }
