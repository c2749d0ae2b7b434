package bitcoin

import (
	"cmp"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// book remembers addresses of peers and how they did. It is guarded by the adapter's lock.
type book struct {
	path  string
	addrs map[string]*entry
	told  map[string]int // addresses of each group that peers told
}

type entry struct {
	Addr    string    `json:"addr"`
	Success time.Time `json:"success,omitzero"` // last completed handshake
	Proven  bool      `json:"proven,omitempty"` // a feeler found a node there
	fixed   bool      // from the configuration
	next    time.Time // not before
	wait    time.Duration
	live    bool
	stalls  int // times in a row that it did not deliver a block
}

const (
	maxAddresses = 2048
	maxPerGroup  = 32 // of those, so that nobody fills the book from one network
	maxSaved     = 256
	firstWait    = 250 * time.Millisecond
	maxWait      = time.Minute
	maxStrange   = time.Hour // for addresses that nobody configured
)

func openBook(dir string, fixed []string) (*book, error) {
	b := &book{addrs: map[string]*entry{}, told: map[string]int{}}
	if dir != "" {
		b.path = filepath.Join(dir, "peers.json")
		raw, err := os.ReadFile(b.path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		var saved []*entry
		// A damaged file only costs the memory of old peers.
		if err == nil && len(raw) < 1<<20 && json.Unmarshal(raw, &saved) == nil {
			for _, e := range saved[:min(len(saved), maxSaved)] {
				if e != nil && e.Addr != "" {
					b.addrs[e.Addr] = e
				}
			}
		}
	}
	for _, a := range fixed {
		if b.addrs[a] == nil {
			b.addrs[a] = &entry{Addr: a}
		}
		b.addrs[a].fixed = true
	}
	return b, nil
}

// save keeps the addresses that worked, the latest first.
func (b *book) save() error {
	if b.path == "" {
		return nil
	}
	var good []*entry
	for _, e := range b.addrs {
		if !e.Success.IsZero() || e.Proven {
			good = append(good, e)
		}
	}
	slices.SortFunc(good, func(x, y *entry) int { return cmp.Or(y.Success.Compare(x.Success), cmp.Compare(x.Addr, y.Addr)) })
	raw, err := json.MarshalIndent(good[:min(len(good), maxSaved)], "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.path+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(b.path+".new", b.path)
}

func (b *book) add(addr string) {
	if b.addrs[addr] != nil || len(b.addrs) >= maxAddresses {
		return
	}
	if g := group(addr); b.told[g] < maxPerGroup {
		b.told[g]++
		b.addrs[addr] = &entry{Addr: addr}
	}
}

// stranger is an address that nobody has tried, in a group of its own where there is one, or nil. It is any of them: who fills the book must not
// know which.
func (b *book) stranger(now time.Time) *entry {
	used := map[string]bool{}
	for _, e := range b.addrs {
		if e.live || e.Proven || !e.Success.IsZero() {
			used[group(e.Addr)] = true
		}
	}
	var fresh, other []*entry
	for _, e := range b.addrs {
		switch {
		case e.live || e.fixed || e.Proven || !e.Success.IsZero() || now.Before(e.next):
		case used[group(e.Addr)]:
			other = append(other, e)
		default:
			fresh = append(fresh, e)
		}
	}
	if len(fresh) == 0 {
		fresh = other
	}
	if len(fresh) == 0 {
		return nil
	}
	return fresh[rand.IntN(len(fresh))]
}

// failed puts an address off, each time for twice as long.
func (b *book) failed(e *entry, now time.Time) {
	limit := maxWait
	if !e.fixed {
		limit = maxStrange
	}
	e.wait = min(max(2*e.wait, firstWait), limit)
	e.next = now.Add(e.wait)
}

// group is the part of an address that one operator is likely to own.
func group(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return host
	case ip.To4() != nil:
		return ip.Mask(net.CIDRMask(16+96, 128)).String()
	default:
		return ip.Mask(net.CIDRMask(32, 128)).String()
	}
}

// pick chooses whom to dial: configured addresses, then those that worked last, then strangers; none twice in a group but configured ones.
func (b *book) pick(now time.Time, want int) []*entry {
	var ready []*entry
	used := map[string]bool{}
	for _, e := range b.addrs {
		if e.live {
			used[group(e.Addr)] = true
		} else if !now.Before(e.next) {
			ready = append(ready, e)
		}
	}
	slices.SortFunc(ready, func(x, y *entry) int {
		if x.fixed != y.fixed {
			if x.fixed {
				return -1
			}
			return 1
		}
		if x.Success.IsZero() && y.Success.IsZero() && x.Proven != y.Proven {
			if x.Proven {
				return -1
			}
			return 1
		}
		return cmp.Or(y.Success.Compare(x.Success), cmp.Compare(x.wait, y.wait), cmp.Compare(x.Addr, y.Addr))
	})
	var out []*entry
	for _, e := range ready {
		if len(out) == want {
			break
		}
		if g := group(e.Addr); e.fixed || !used[g] {
			used[g] = true
			out = append(out, e)
		}
	}
	return out
}

// nextAt is when some address may be dialled again, or zero.
func (b *book) nextAt() (at time.Time) {
	for _, e := range b.addrs {
		if !e.live && (at.IsZero() || e.next.Before(at)) {
			at = e.next
		}
	}
	return at
}
