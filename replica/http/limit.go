package http

import (
	"math"
	nethttp "net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits bound what clients may ask for. Zero fields get their defaults; negative ones bound nothing.
//
// Rates are in units of what an ordinary signature costs to check, some 0.1 ms: a request costs one, and one more for each further
// signature that it carries, or twenty where the signature is a canister's.
type Limits struct {
	// ClientRate is the units per second of one client, and twice as many at once. Clients are IPv4 addresses and IPv6 networks of 64
	// bits. The loopback interface is not held to it: whoever is on the machine has better means. The default is 1000.
	ClientRate float64
	// Rate is the units per second of all clients, and as many at once. The default is 10,000 for each processor.
	Rate float64
	// Checks bounds the units of requests that are being authenticated or inspected at one time; more are refused before any of that is
	// done, as by the time it is their turn nobody would wait for them. The default is 4096 for each processor, less than a second's work.
	Checks int
	// ClientRequests bounds the requests in progress of one client. The default is 4096.
	ClientRequests int
	// Requests bounds the requests in progress in all. The default is 8192.
	Requests int
	// Memory bounds the bytes that the bodies of requests in progress and answers that wait for slow readers hold in all, without the
	// first 64 KiB of each. The default is 192 MiB.
	Memory int
	// ClientMemory is the same for one client; the loopback interface is not held to it. The default is 64 MiB.
	ClientMemory int
	// Connections bounds the open connections (LimitListener). The default is 2000.
	Connections int
	// ClientConnections is the same for one client; the loopback interface and Proxies are not held to it. The default is 250.
	ClientConnections int
	// Proxies are the addresses of proxies in front of the interface, whose X-Forwarded-For header tells who the client is.
	Proxies []netip.Prefix
}

func (l *Limits) ensureDefaults(processors int) {
	number := func(v *int, d int) {
		switch {
		case *v == 0:
			*v = d
		case *v < 0:
			*v = math.MaxInt
		}
	}
	rate := func(v *float64, d float64) {
		switch {
		case *v == 0:
			*v = d
		case *v < 0:
			*v = math.Inf(1)
		}
	}
	rate(&l.ClientRate, 1000)
	rate(&l.Rate, 10_000*float64(processors))
	number(&l.Checks, 4096*processors)
	number(&l.ClientRequests, 4096)
	number(&l.Requests, 8192)
	number(&l.Memory, 192<<20)
	number(&l.ClientMemory, 64<<20)
	number(&l.Connections, 2000)
	number(&l.ClientConnections, 250)
}

// proxy reports whether an address is one of Proxies.
func (l *Limits) proxy(a netip.Addr) bool {
	return slices.ContainsFunc(l.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client says whom a request counts for.
func (l *Limits) client(r *nethttp.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // not from a network; they share one allowance
	}
	addr := at.Addr().Unmap()
	// Each proxy appends whom it speaks to, so from the right the first address that is not a proxy's is the one that a proxy has seen.
	hops := r.Header.Values("X-Forwarded-For")
	for i := len(hops) - 1; i >= 0 && l.proxy(addr); i-- {
		list := strings.Split(hops[i], ",")
		for j := len(list) - 1; j >= 0 && l.proxy(addr); j-- {
			next, err := netip.ParseAddr(strings.TrimSpace(list[j]))
			if err != nil {
				return network(addr)
			}
			addr = next.Unmap()
		}
	}
	return network(addr)
}

// network is what counts as one client: who has an IPv6 address has at least 2⁶⁴ of them.
func network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time
}

// fill adds what has accumulated since the last time.
func (b *bucket) fill(now time.Time, rate, burst float64) {
	if d := now.Sub(b.at); d > 0 {
		b.tokens, b.at = min(burst, b.tokens+rate*d.Seconds()), now
	}
}

// wait is how long it takes until there are n tokens.
func (b *bucket) wait(n, rate float64) time.Duration {
	return time.Duration(math.Ceil((n - b.tokens) / rate * float64(time.Second)))
}

// client is what a limiter knows about one.
type client struct {
	bucket
	requests int // in progress
	memory   int // bytes that they hold
}

// limiter keeps the Limits.
type limiter struct {
	Limits
	now func() time.Time

	mu       sync.Mutex
	all      bucket
	requests int
	checks   int
	memory   int
	clients  map[netip.Addr]*client
	sweepAt  int // number of clients at which those that need not be remembered are forgotten
}

const minSweep = 1024

func newLimiter(l Limits, processors int, now func() time.Time) *limiter {
	l.ensureDefaults(processors)
	return &limiter{Limits: l, now: now, all: bucket{l.Rate, now()}, clients: map[netip.Addr]*client{}, sweepAt: minSweep}
}

// refusal says why a request is not served now.
type refusal struct {
	text string
	wait time.Duration
}

func (r *refusal) Error() string { return r.text }

// The waits that clients are told where it is not the rate that they exceed.
const shortWait = time.Second

// enter admits a request, at the cost of one unit.
func (l *limiter) enter(a netip.Addr) *refusal {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests >= l.Requests {
		return &refusal{"too many requests in progress", shortWait}
	}
	c := l.clients[a]
	if c == nil {
		if len(l.clients) >= l.sweepAt {
			l.sweep(now)
		}
		c = &client{bucket: bucket{2 * l.ClientRate, now}}
		l.clients[a] = c
	}
	if c.requests >= l.ClientRequests {
		return &refusal{"too many requests in progress from this address", shortWait}
	}
	if r := l.take(c, a, 1, now); r != nil {
		return r
	}
	l.requests++
	c.requests++
	return nil
}

// take takes n units. A request may cost more than there can ever be at once: it waits for as many as there can be, and the rest is
// owed.
func (l *limiter) take(c *client, a netip.Addr, n float64, now time.Time) *refusal {
	l.all.fill(now, l.Rate, l.Rate)
	if need := min(n, l.Rate); l.all.tokens < need {
		return &refusal{"too many requests", l.all.wait(need, l.Rate)}
	}
	if !a.IsLoopback() {
		c.fill(now, l.ClientRate, 2*l.ClientRate)
		if need := min(n, l.ClientRate); c.tokens < need {
			return &refusal{"too many requests from this address", c.wait(need, l.ClientRate)}
		}
		c.tokens -= n
	}
	l.all.tokens -= n
	return nil
}

// check admits the expensive part of a request; one unit is paid for already. A nil refusal obliges to call checked.
func (l *limiter) check(a netip.Addr, units int) *refusal {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.checks > 0 && l.checks > l.Checks-units { // one may be larger than all
		return &refusal{"too many requests are being checked", shortWait}
	}
	if r := l.take(l.clients[a], a, float64(units-1), now); r != nil {
		return r
	}
	l.checks += units
	return nil
}

func (l *limiter) checked(units int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checks -= units
}

// hold admits n more bytes that a request in progress keeps in memory. A nil refusal obliges to call free.
func (l *limiter) hold(a netip.Addr, n int) *refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.memory > l.Memory-n {
		return &refusal{"too much is being sent and received", shortWait}
	}
	c := l.clients[a]
	if !a.IsLoopback() && c.memory > l.ClientMemory-n {
		return &refusal{"too much is being sent and received by this address", shortWait}
	}
	l.memory += n
	c.memory += n
	return nil
}

func (l *limiter) free(a netip.Addr, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.memory -= n
	l.clients[a].memory -= n
}

func (l *limiter) leave(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests--
	l.clients[a].requests--
}

// sweep forgets the clients of whom there is nothing to remember: who comes back finds what a new client does. As many are kept as
// can come in two seconds, which the rate of all bounds.
func (l *limiter) sweep(now time.Time) {
	for a, c := range l.clients {
		if c.fill(now, l.ClientRate, 2*l.ClientRate); c.requests == 0 && (c.tokens >= 2*l.ClientRate || a.IsLoopback()) {
			delete(l.clients, a)
		}
	}
	l.sweepAt = max(minSweep, 2*len(l.clients))
}
