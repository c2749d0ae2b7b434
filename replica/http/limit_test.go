package http

import (
	"fmt"
	nethttp "net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// limited is a limiter with a clock that the test moves.
func limited(l Limits) (*limiter, *time.Time) {
	now := time.Unix(1_700_000_000, 0)
	return newLimiter(l, 2, func() time.Time { return now }), &now
}

func TestRates(t *testing.T) {
	lim, now := limited(Limits{ClientRate: 10, Rate: 100})
	a, b, local := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("127.0.0.1")
	// serve is n requests of which each costs some units; it returns how many were admitted and the first refusal.
	serve := func(from netip.Addr, n, units int) (admitted int, no *refusal) {
		for range n {
			r := lim.enter(from)
			if r == nil {
				if r = lim.check(from, units); r == nil {
					lim.checked(units)
				}
				lim.leave(from)
			}
			if r == nil {
				admitted++
			} else if no == nil {
				no = r
			}
		}
		return admitted, no
	}
	for _, step := range []struct {
		what     string
		wait     time.Duration
		from     netip.Addr
		n, units int
		admitted int
		text     string
		retry    time.Duration
	}{
		{"twice the rate at once", 0, a, 25, 1, 20, "from this address", 100 * time.Millisecond},
		{"another is not concerned", 0, b, 10, 1, 10, "", 0},
		{"as time passes", 500 * time.Millisecond, a, 10, 1, 5, "from this address", 100 * time.Millisecond},
		{"no more than the burst is saved", time.Hour, a, 30, 1, 20, "from this address", 100 * time.Millisecond},
		{"signatures count", time.Hour, a, 20, 4, 5, "from this address", 100 * time.Millisecond},
		{"one dearer than the rate is served and owed", time.Hour, a, 2, 25, 1, "from this address", 600 * time.Millisecond},
		{"what is owed is paid first", 600 * time.Millisecond, a, 2, 1, 1, "from this address", 100 * time.Millisecond},
		{"the machine itself, up to the rate of all", time.Hour, local, 150, 1, 100, "too many requests", 10 * time.Millisecond},
		{"which holds for everybody", 0, b, 1, 1, 0, "too many requests", 10 * time.Millisecond},
	} {
		*now = now.Add(step.wait)
		admitted, no := serve(step.from, step.n, step.units)
		if admitted != step.admitted || (no == nil) != (step.text == "") {
			t.Errorf("%s: %d of %d admitted, want %d (%v)", step.what, admitted, step.n, step.admitted, no)
		} else if no != nil && (!strings.Contains(no.text, step.text) || no.wait.Round(time.Millisecond) != step.retry) {
			t.Errorf("%s: %q, wait %s; want %q, %s", step.what, no.text, no.wait, step.text, step.retry)
		}
	}
	if lim.requests != 0 || lim.checks != 0 {
		t.Errorf("%d requests and %d units of checks are left over", lim.requests, lim.checks)
	}
	free, _ := limited(Limits{ClientRate: -1, Rate: -1, Checks: -1, Requests: -1, ClientRequests: -1})
	for range 10_000 {
		if no := free.enter(a); no != nil {
			t.Fatalf("without limits: %v", no)
		}
		if no := free.check(a, 420); no != nil {
			t.Fatalf("without limits: %v", no)
		}
	}
}

func TestChecksUnderWay(t *testing.T) {
	lim, _ := limited(Limits{Checks: 50})
	a := netip.MustParseAddr("203.0.113.1")
	for range 10 {
		if no := lim.enter(a); no != nil {
			t.Fatal(no)
		}
	}
	for i, c := range []struct {
		units int
		done  int // units that are done before
		ok    bool
	}{{420, 0, true}, {1, 0, false}, {30, 420, true}, {21, 0, false}, {20, 0, true}, {1, 0, false}, {1, 20, true}} {
		if c.done > 0 {
			lim.checked(c.done)
		}
		if no := lim.check(a, c.units); (no == nil) != c.ok {
			t.Errorf("step %d: %v", i, no)
		}
	}
}

// Whoever comes from ever new addresses does not fill the memory.
func TestClientsAreForgotten(t *testing.T) {
	lim, now := limited(Limits{ClientRate: 1, Rate: -1})
	stays := netip.MustParseAddr("203.0.113.1")
	if no := lim.enter(stays); no != nil {
		t.Fatal(no)
	}
	most := 0
	for i := range 20_000 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if no := lim.enter(a); no != nil {
			t.Fatal(no)
		}
		lim.leave(a)
		*now = now.Add(10 * time.Millisecond)
		most = max(most, len(lim.clients))
	}
	if most > minSweep {
		t.Errorf("%d clients were remembered at once", most)
	}
	if lim.clients[stays] == nil {
		t.Error("a client with a request in progress is forgotten")
	}
}

func TestWhoTheClientIs(t *testing.T) {
	lim := Limits{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"203.0.113.9:80", "", "203.0.113.9"},
		{"203.0.113.9:80", "198.51.100.1", "203.0.113.9"}, // not from a proxy: anybody's word
		{"10.1.1.1:80", "", "10.1.1.1"},
		{"10.1.1.1:80", "198.51.100.1", "198.51.100.1"},
		{"10.1.1.1:80", "1.1.1.1, 198.51.100.1", "198.51.100.1"},
		{"10.1.1.1:80", "1.1.1.1,198.51.100.1 , 10.2.2.2", "198.51.100.1"},
		{"10.1.1.1:80", "1.1.1.1|10.2.2.2, 198.51.100.1", "198.51.100.1"}, // two header fields
		{"10.1.1.1:80", "198.51.100.1, nonsense", "10.1.1.1"},
		{"10.1.1.1:80", "10.3.3.3", "10.3.3.3"},
		{"[::1]:80", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"[2001:db8:1:2:ffff::1]:80", "", "2001:db8:1:2::"},
		{"[fe80::1%eth0]:80", "", "fe80::"},
		{"[::ffff:203.0.113.9]:80", "", "203.0.113.9"},
		{"@", "198.51.100.1", "invalid IP"},
	} {
		r := &nethttp.Request{RemoteAddr: c.remote, Header: nethttp.Header{}}
		for _, field := range strings.Split(c.forwarded, "|") {
			if field != "" {
				r.Header.Add("X-Forwarded-For", field)
			}
		}
		if got := fmt.Sprint(lim.client(r)); got != c.want {
			t.Errorf("%s, forwarded for %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}
