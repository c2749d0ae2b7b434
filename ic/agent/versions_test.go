package agent_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	replicahttp "fusion/replica/http"
	"fusion/replica/http/httpmem"
)

func respond(status int, header http.Header, text string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(text))}
}

// Replicas that lack the newer endpoints are spoken to in the older ones, and are asked once whether they have the newer.
func TestOlderReplicas(t *testing.T) {
	n := start(t, replicahttp.Config{})
	for name, c := range map[string]struct {
		status int
		lacks  []string // prefixes of paths
		call   string   // versions that are asked for, in two calls
		query  string
		reads  string
	}{
		"newest":              {404, nil, "v4 v4", "v3 v3", "v3"},
		"no v4":               {404, []string{"/api/v4/"}, "v4 v3 v3", "v3 v3", "v3"},
		"v2 only":             {404, []string{"/api/v4/", "/api/v3/"}, "v4 v3 v2 v2", "v3 v2 v2", "v3 v2"},
		"v2 only, other word": {405, []string{"/api/v4/", "/api/v3/"}, "v4 v3 v2 v2", "v3 v2 v2", "v3 v2"},
	} {
		asked := map[string][]string{}
		n.trip = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			part := strings.Split(req.URL.Path, "/")
			key := part[3] + " " + part[5]
			asked[key] = append(asked[key], part[2])
			for _, p := range c.lacks {
				if strings.HasPrefix(req.URL.Path, p) {
					return respond(c.status, nil, "no"), nil
				}
			}
			return next.RoundTrip(req)
		}
		a := n.agent(nil)
		before := n.calls.Load()
		for range 2 {
			if sum, _, err := add(t.Context(), a.Update); err != nil || sum != 42 {
				t.Errorf("%s: update: %d %v", name, sum, err)
			}
			if sum, _, err := add(t.Context(), a.Ask); err != nil || sum != 42 {
				t.Errorf("%s: query: %d %v", name, sum, err)
			}
		}
		if got := n.calls.Load() - before; got != 2 {
			t.Errorf("%s: two calls were executed %d times", name, got)
		}
		if got := strings.Join(asked["canister call"], " "); got != c.call {
			t.Errorf("%s: calls at %s, want %s", name, got, c.call)
		}
		if got := strings.Join(asked["canister query"], " "); got != c.query {
			t.Errorf("%s: queries at %s, want %s", name, got, c.query)
		}
		if _, err := a.ReadSubnetState(t.Context(), n.SubnetID(), hashtree.Path("time")); err != nil {
			t.Errorf("%s: subnet: %v", name, err)
		}
		if got := strings.Join(asked["subnet read_state"], " "); got != c.reads {
			t.Errorf("%s: subnet's state at %s, want %s", name, got, c.reads)
		}
		// What the oldest kind of call refuses at once.
		var rej *agent.RejectError
		if _, err := a.Call(t.Context(), adder, "forbidden", nil); !errors.As(err, &rej) || rej.Code != 4 || rej.Certified || errors.Is(err, agent.ErrUnknownOutcome) {
			t.Errorf("%s: refused: %v", name, err)
		}
	}
	// Where there is nothing at all, the newest is asked for again the next time.
	attempts := 0
	n.trip = func(*http.Request, http.RoundTripper) (*http.Response, error) {
		attempts++
		return respond(404, nil, "no"), nil
	}
	a := n.agent(nil)
	var h *agent.HTTPError
	if _, _, err := add(t.Context(), a.Update); !errors.As(err, &h) || h.Status != 404 || attempts != 3 {
		t.Errorf("nothing there: %v after %d attempts", err, attempts)
	}
	n.trip = nil
	if sum, _, err := add(t.Context(), a.Update); err != nil || sum != 42 {
		t.Errorf("there again: %d %v", sum, err)
	}
	// An attempt that may have been executed is not forgotten on the way to an older version.
	attempts = 0
	n.trip = func(*http.Request, http.RoundTripper) (*http.Response, error) {
		if attempts++; attempts == 1 {
			return nil, io.ErrUnexpectedEOF
		}
		return respond(404, nil, "no"), nil
	}
	if _, _, err := add(t.Context(), n.agent(nil).Update); !errors.Is(err, agent.ErrUnknownOutcome) {
		t.Errorf("lost, then not there: %v", err)
	}
}

// A subnet below another speaks for the canisters that the root says it holds, and for no other.
func TestDelegatedSubnet(t *testing.T) {
	n := start(t, replicahttp.Config{}) // the subnet below
	span := func(first, last uint64) certificate.Range {
		return certificate.Range{First: principal.FromUint64(first), Last: principal.FromUint64(last)}
	}
	for name, c := range map[string]struct {
		ranges []certificate.Range
		ok     bool
	}{
		"holds it":            {[]certificate.Range{span(0, 100)}, true},
		"the only one":        {[]certificate.Range{span(7, 7)}, true},
		"in its second range": {[]certificate.Range{span(0, 3), span(6, 9)}, true},
		"below":               {[]certificate.Range{span(8, 100)}, false},
		"above":               {[]certificate.Range{span(0, 6)}, false},
		"between":             {[]certificate.Range{span(0, 6), span(8, 9)}, false},
	} {
		root := httpmem.New(7, now)
		root.DelegateTo(n.Subnet, c.ranges...)
		a := n.agent(func(o *agent.Options) { o.RootKey = root.RootKeyDER() })
		_, _, update := add(t.Context(), a.Update)
		_, _, query := add(t.Context(), a.Ask)
		_, read := a.Read(t.Context(), adder, []byte("time"))
		for what, err := range map[string]error{"update": update, "query": query, "read_state": read} {
			if (err == nil) != c.ok || err != nil && !errors.Is(err, agent.ErrVerification) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		if _, err := a.ReadSubnetState(t.Context(), n.SubnetID(), hashtree.Path("time")); err != nil {
			t.Errorf("%s: the subnet's own: %v", name, err)
		}
	}
}

// Where clocks disagree the error says so, and by how much; other refusals are left alone.
func TestClocksDisagree(t *testing.T) {
	n := start(t, replicahttp.Config{})
	at := func(d time.Duration) http.Header {
		return http.Header{"Date": {time.Unix(0, int64(now)).Add(d).UTC().Format(http.TimeFormat)}}
	}
	for name, c := range map[string]struct {
		status int
		header http.Header
		text   string
		want   string
	}{
		"behind":          {400, at(6 * time.Minute), "Invalid request expiry: request expired: 1m ago", "ours is 6m0s behind"},
		"ahead":           {400, at(-time.Hour), "Specified ingress_expiry not within expected range", "ours is 1h0m0s ahead"},
		"about the same":  {400, at(5 * time.Second), "Invalid request expiry: request expired: 1m ago", ""},
		"no date":         {400, nil, "Invalid request expiry: request expired: 1m ago", ""},
		"something else":  {400, at(time.Hour), "bad signature", ""},
		"of another kind": {403, at(time.Hour), "expiry", ""},
	} {
		n.trip = func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return respond(c.status, c.header, c.text), nil
		}
		for what, do := range map[string]func(context.Context, principal.Principal, string, []any, []any) error{"update": n.agent(nil).Update, "query": n.agent(nil).Ask} {
			_, _, err := add(t.Context(), do)
			var h *agent.HTTPError
			if errors.Is(err, agent.ErrClock) != (c.want != "") || !strings.Contains(err.Error(), c.want) || !errors.As(err, &h) || h.Status != c.status || h.Body != c.text {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if errors.Is(err, agent.ErrUnknownOutcome) {
				t.Errorf("%s, %s: %v, though nothing can have been executed", name, what, err)
			}
		}
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Waits between attempts grow, differ, heed Retry-After, and are bounded whatever the replica asks for.
func TestWaits(t *testing.T) {
	for name, c := range map[string]struct {
		after    string
		min, max []time.Duration // of each wait
	}{
		"growing": {"", []time.Duration{50e6, 100e6, 200e6, 400e6, 800e6, 1e9, 1e9}, []time.Duration{100e6, 200e6, 400e6, 800e6, 1600e6, 2e9, 2e9}},
		"asked":   {"1", []time.Duration{1050e6, 1100e6, 1200e6, 1400e6, 1800e6, 2e9, 2e9}, []time.Duration{1100e6, 1200e6, 1400e6, 1800e6, 2600e6, 3e9, 3e9}},
		"asked for an hour": {"3600", []time.Duration{2050e6, 2100e6, 2200e6, 2400e6, 2800e6, 3e9, 3e9},
			[]time.Duration{2100e6, 2200e6, 2400e6, 2800e6, 3600e6, 4e9, 4e9}},
		"asked nonsense": {"soon", []time.Duration{50e6, 100e6, 200e6, 400e6, 800e6, 1e9, 1e9}, []time.Duration{100e6, 200e6, 400e6, 800e6, 1600e6, 2e9, 2e9}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var at []time.Time
			client := &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
				at = append(at, time.Now())
				return respond(429, http.Header{"Retry-After": {c.after}}, "later"), nil
			})}
			a, err := agent.New("http://replica", agent.Options{RootKey: httpmem.New(1, now).RootKeyDER(), Client: client, Retries: len(c.min)})
			if err != nil {
				t.Fatal(err)
			}
			var h *agent.HTTPError
			if _, err := a.Call(t.Context(), adder, "add", candid.MustMarshal()); !errors.As(err, &h) || h.Status != 429 {
				t.Errorf("%s: %v", name, err)
			}
			if len(at) != len(c.min)+1 {
				t.Fatalf("%s: %d attempts", name, len(at))
			}
			for i := range c.min {
				if d := at[i+1].Sub(at[i]); d < c.min[i] || d > c.max[i] {
					t.Errorf("%s: wait %d is %s, want %s to %s", name, i, d, c.min[i], c.max[i])
				}
			}
			// A context ends a wait at once.
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			began := time.Now()
			if _, err := a.Status(ctx); err == nil || time.Since(began) != 30*time.Millisecond {
				t.Errorf("%s: %v after %s", name, err, time.Since(began))
			}
		})
	}
}
