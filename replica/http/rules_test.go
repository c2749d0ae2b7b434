package http_test

import (
	"fmt"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"fusion/ic/candid"
	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
)

// Methods and preflights of every endpoint.
func TestMethods(t *testing.T) {
	s := start(t, nil)
	post := []string{}
	for _, v := range []int{2, 3, 4} {
		post = append(post, canisterURL(v, echo, "call"))
	}
	for _, v := range []int{2, 3} {
		post = append(post, canisterURL(v, echo, "query"), canisterURL(v, echo, "read_state"), fmt.Sprintf("/api/v%d/subnet/%s/read_state", v, s.SubnetID()))
	}
	post = append(post, fmt.Sprintf("/api/v4/subnet/%s/call", s.SubnetID()), fmt.Sprintf("/api/v3/subnet/%s/query", s.SubnetID()))
	do := func(method, path string) *nethttp.Response {
		req, err := nethttp.NewRequest(method, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := nethttp.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s cannot be read by pages", method, path)
		}
		return res
	}
	check := func(method, path string, code int, allow string) {
		t.Helper()
		res := do(method, path)
		if res.StatusCode != code || res.Header.Get("Allow") != allow {
			t.Errorf("%s %s: %d, allow %q; want %d, %q", method, path, res.StatusCode, res.Header.Get("Allow"), code, allow)
		}
		if method == "OPTIONS" && (res.Header.Get("Access-Control-Allow-Methods") == "" || res.Header.Get("Access-Control-Allow-Headers") != "Accept, Content-Type" || res.Header.Get("Access-Control-Max-Age") == "") {
			t.Errorf("%s %s: %v", method, path, res.Header)
		}
	}
	for _, path := range post {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH"} {
			check(method, path, 405, "POST, OPTIONS")
		}
		check("OPTIONS", path, 204, "")
		check("POST", path, 415, "")
	}
	check("GET", "/api/v2/status", 200, "")
	check("HEAD", "/api/v2/status", 200, "")
	check("OPTIONS", "/api/v2/status", 204, "")
	check("POST", "/api/v2/status", 405, "GET, HEAD, OPTIONS")
	for _, path := range []string{"/api/", "/api/v1/status", "/api/v3/status", canisterURL(5, echo, "call"), canisterURL(4, echo, "query"), canisterURL(4, echo, "read_state"),
		canisterURL(3, echo, "nothing"), fmt.Sprintf("/api/v2/subnet/%s/query", s.SubnetID()), fmt.Sprintf("/api/v3/subnet/%s/call", s.SubnetID())} {
		check("GET", path, 404, "")
		check("POST", path, 404, "")
	}
}

// Chains of delegations: how many, for which canisters, for what, and never in circles.
func TestDelegations(t *testing.T) {
	s := start(t, nil)
	user, session, third := newID(t), newID(t), newID(t)
	type link struct {
		by identity.Identity
		d  envelope.Delegation
	}
	to := func(id identity.Identity) envelope.Delegation {
		return envelope.Delegation{Pubkey: id.PublicKeyDER(), Expiration: now + uint64(time.Minute)}
	}
	with := func(d envelope.Delegation, mut func(*envelope.Delegation)) envelope.Delegation { mut(&d); return d }
	targets := func(ids ...principal.Principal) func(*envelope.Delegation) {
		return func(d *envelope.Delegation) { d.Targets = ids }
	}
	permit := func(p string) func(*envelope.Delegation) {
		return func(d *envelope.Delegation) { d.Permissions = p }
	}
	many := make([]principal.Principal, envelope.MaxTargets)
	for i := range many {
		many[i] = principal.FromUint64(uint64(i))
	}
	long := func(n int) (chain []link, last identity.Identity) {
		last = user
		for range n {
			next, err := identity.GenerateEd25519()
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, link{last, to(next)})
			last = next
		}
		return chain, last
	}
	twenty, last20 := long(20)
	tooMany, last21 := long(21)
	all, none := []int{200, 200, 200}, []int{400, 400, 400}
	for name, c := range map[string]struct {
		chain []link
		key   identity.Identity
		codes []int // of a call, a query, a read of the state
		text  string
	}{
		"one":                    {[]link{{user, to(session)}}, session, all, ""},
		"two":                    {[]link{{user, to(third)}, {third, to(session)}}, session, all, ""},
		"twenty":                 {twenty, last20, all, ""},
		"twenty-one":             {tooMany, last21, none, "more than 20 delegations"},
		"by another key":         {[]link{{third, to(session)}}, session, none, "number 0"},
		"broken in the middle":   {[]link{{user, to(third)}, {user, to(session)}}, session, none, "number 1"},
		"to the user":            {[]link{{user, to(user)}, {user, to(session)}}, session, none, "already in the chain"},
		"back to the user":       {[]link{{user, to(session)}, {session, to(user)}}, user, none, "already in the chain"},
		"a circle":               {[]link{{user, to(session)}, {session, to(third)}, {third, to(session)}}, session, none, "already in the chain"},
		"expires now":            {[]link{{user, with(to(session), func(d *envelope.Delegation) { d.Expiration = now })}}, session, all, ""},
		"expired":                {[]link{{user, with(to(session), func(d *envelope.Delegation) { d.Expiration = now - 1 })}}, session, none, "expired"},
		"its second expired":     {[]link{{user, to(third)}, {third, with(to(session), func(d *envelope.Delegation) { d.Expiration = now - 1 })}}, session, none, "number 1 expired"},
		"for this canister":      {[]link{{user, with(to(session), targets(other, echo))}}, session, all, ""},
		"for another":            {[]link{{user, with(to(session), targets(other))}}, session, []int{400, 400, 200}, "not for canister"},
		"for none":               {[]link{{user, with(to(session), targets([]principal.Principal{}...))}}, session, []int{400, 400, 200}, "not for canister"},
		"for both, then another": {[]link{{user, with(to(third), targets(other, echo))}, {third, with(to(session), targets(other))}}, session, []int{400, 400, 200}, "number 1 is not for canister"},
		"for a thousand":         {[]link{{user, with(to(session), targets(many...))}}, session, all, ""},
		"for a thousand and one": {[]link{{user, with(to(session), targets(append(many, outside)...))}}, session, none, "more than 1000"},
		"for everything":         {[]link{{user, with(to(session), permit("all"))}}, session, all, ""},
		"for queries":            {[]link{{user, with(to(session), permit("queries"))}}, session, []int{400, 200, 200}, "queries only"},
		"for queries, then all":  {[]link{{user, with(to(third), permit("queries"))}, {third, with(to(session), permit("all"))}}, session, []int{400, 200, 200}, "number 0 permits queries only"},
		"for something else":     {[]link{{user, with(to(session), permit("updates"))}}, session, none, "unknown permission"},
		"for queries of another": {[]link{{user, with(with(to(session), permit("queries")), targets(other))}}, session, []int{400, 400, 200}, "not for canister"},
	} {
		var chain []envelope.SignedDelegation
		for _, l := range c.chain {
			d, err := envelope.Delegate(l.by, l.d)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, d)
		}
		id, err := envelope.NewDelegated(user.PublicKeyDER(), chain, c.key)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, e := range []*envelope.Envelope{s.sign(content(envelope.Call, echo, "greet", nil), id), s.sign(content(envelope.Query, echo, "greet", nil), id),
			s.sign(reads([][]byte{[]byte("time")}), id)} {
			code, body := s.post(canisterURL(3, echo, string(e.Content.RequestType)), e.Encode())
			if code != c.codes[i] || code != 200 && !strings.Contains(string(body), c.text) {
				t.Errorf("%s, %s: %d %q, want %d %q", name, e.Content.RequestType, code, body, c.codes[i], c.text)
			}
		}
	}
}

// Requests expire; none may ask to live for longer than five minutes and what clocks may differ by.
func TestExpiry(t *testing.T) {
	s := start(t, nil)
	const drift, most = uint64(30 * time.Second), uint64(5 * time.Minute)
	for _, c := range []struct {
		name   string
		expiry uint64
		ok     bool
	}{
		{"now", now, true}, {"just past", now - 1, false}, {"long past", 0, false}, {"in a while", now + most, true},
		{"as far as clocks may differ", now + most + drift, true}, {"further", now + most + drift + 1, false}, {"never", 1<<64 - 1, false},
	} {
		for _, id := range []identity.Identity{newID(t), identity.Anonymous{}} {
			for _, kind := range []envelope.RequestType{envelope.Call, envelope.Query, envelope.ReadState} {
				for _, v := range map[envelope.RequestType][]int{envelope.Call: {2, 3, 4}, envelope.Query: {2, 3}, envelope.ReadState: {2, 3}}[kind] {
					req := content(kind, echo, "greet", nil)
					if kind == envelope.ReadState {
						req = reads([][]byte{[]byte("time")})
					}
					req.IngressExpiry = c.expiry
					ok := c.ok || id.Sender().IsAnonymous() && kind != envelope.Call // whose query proves nothing and changes nothing
					code, body := s.post(canisterURL(v, echo, string(kind)), s.sign(req, id).Encode())
					want := 200
					switch {
					case !ok:
						want = 400
					case v == 2 && kind == envelope.Call:
						want = 202
					}
					if code != want || !ok && !strings.HasPrefix(string(body), "Invalid request expiry: ") {
						t.Errorf("%s, v%d %s of %s: %d %q, want %d", c.name, v, kind, id.Sender(), code, body, want)
					}
				}
			}
		}
	}
}

// What a user sees of a call over time: nothing, the answer, that there was one, nothing again.
func TestRequestStatusOverTime(t *testing.T) {
	s := start(t, nil)
	s.Manual = true
	id := controller(t)
	e := s.sign(content(envelope.Call, echo, "greet", nil), id)
	rid := e.Content.RequestID()
	status := func(who identity.Identity) (int, string) {
		poll := s.sign(reads([][]byte{[]byte("request_status"), rid[:]}), who)
		code, body := s.post(canisterURL(3, echo, "read_state"), poll.Encode())
		if code != 200 {
			return code, ""
		}
		res, err := envelope.DecodeReadStateResponse(body)
		if err != nil {
			t.Fatal(err)
		}
		cert := s.verify(res.Certificate)
		return code, lookup(cert, []byte("request_status"), rid[:], []byte("status")) + " " + lookup(cert, []byte("request_status"), rid[:], []byte("reply"))
	}
	stranger := newID(t)
	for _, step := range []struct {
		name, want string
		do         func()
		stranger   int
	}{
		{"before", "absent absent", func() {}, 200},
		{"submitted", "absent absent", func() {
			if code, _ := s.post(canisterURL(2, echo, "call"), e.Encode()); code != 202 {
				t.Errorf("submitted: %d", code)
			}
		}, 200},
		{"answered", "replied greet:", s.Step, 403},
		{"the answer is dropped", "done absent", func() { s.Forget(rid) }, 403},
		{"forgotten", "absent absent", s.Prune, 200},
	} {
		step.do()
		if code, got := status(id); code != 200 || got != step.want {
			t.Errorf("%s: %d %q, want %q", step.name, code, got, step.want)
		}
		if code, _ := status(stranger); code != step.stranger {
			t.Errorf("%s: a stranger gets %d, want %d", step.name, code, step.stranger)
		}
	}
	// A synchronous call that was answered so long ago that the answer is gone says so.
	again := s.sign(content(envelope.Call, echo, "greet", nil), id)
	rid = again.Content.RequestID()
	if code, _ := s.post(canisterURL(2, echo, "call"), again.Encode()); code != 202 {
		t.Fatalf("%d", code)
	}
	s.Step()
	s.Forget(rid)
	code, body := s.post(canisterURL(4, echo, "call"), again.Encode())
	res, err := envelope.DecodeCallResponse(body)
	if code != 200 || err != nil || res.Certificate == nil {
		t.Fatalf("%d %q %v", code, body, err)
	}
	if got := lookup(s.verify(res.Certificate), []byte("request_status"), rid[:], []byte("status")); got != "done" {
		t.Errorf("synchronous call again: %s", got)
	}
}

// What goes to the subnet's own URL.
func TestSubnetURLs(t *testing.T) {
	s := start(t, nil)
	id := controller(t)
	empty := candid.MustMarshal(struct{}{})
	about := candid.MustMarshal(struct {
		CanisterID principal.Principal `candid:"canister_id"`
	}{echo})
	for name, c := range map[string]struct {
		kind     envelope.RequestType
		canister principal.Principal
		method   string
		arg      []byte
		code     int
		text     string
	}{
		"list_canisters":           {envelope.Query, principal.Management, "list_canisters", empty, 200, ""},
		"another query":            {envelope.Query, principal.Management, "canister_status", about, 400, "cannot be called at the subnet's URL"},
		"an unknown query":         {envelope.Query, principal.Management, "nothing", empty, 400, "cannot be called at the subnet's URL"},
		"query of a canister":      {envelope.Query, echo, "greet", nil, 400, "for the management canister"},
		"create_canister":          {envelope.Call, principal.Management, "create_canister", empty, 200, ""},
		"provisional creation":     {envelope.Call, principal.Management, "provisional_create_canister_with_cycles", empty, 200, ""},
		"list_canisters as a call": {envelope.Call, principal.Management, "list_canisters", empty, 400, "cannot be called at the subnet's URL"},
		"start_canister":           {envelope.Call, principal.Management, "start_canister", about, 400, "cannot be called at the subnet's URL"},
		"raw_rand":                 {envelope.Call, principal.Management, "raw_rand", empty, 400, "cannot be called at the subnet's URL"},
		"call of a canister":       {envelope.Call, echo, "greet", nil, 400, "for the management canister"},
	} {
		version := map[envelope.RequestType]int{envelope.Call: 4, envelope.Query: 3}[c.kind]
		e := s.sign(content(c.kind, c.canister, c.method, c.arg), id)
		url := fmt.Sprintf("/api/v%d/subnet/%s/%s", version, s.SubnetID(), c.kind)
		code, body := s.post(url, e.Encode())
		if code != c.code || !strings.Contains(string(body), c.text) {
			t.Errorf("%s: %d %q, want %d %q", name, code, body, c.code, c.text)
		}
		if code != 200 || c.kind != envelope.Call {
			continue
		}
		// Its status can be read where it was made.
		rid := e.Content.RequestID()
		poll := s.sign(reads([][]byte{[]byte("request_status"), rid[:]}), id)
		if code, body := s.post(fmt.Sprintf("/api/v3/subnet/%s/read_state", s.SubnetID()), poll.Encode()); code != 200 {
			t.Errorf("%s, status: %d %q", name, code, body)
		}
		other := s.sign(reads([][]byte{[]byte("request_status"), rid[:]}), newID(t))
		if code, body := s.post(fmt.Sprintf("/api/v3/subnet/%s/read_state", s.SubnetID()), other.Encode()); code != 403 {
			t.Errorf("%s, status for another: %d %q", name, code, body)
		}
	}
}
