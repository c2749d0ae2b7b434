package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/identity"
	"fusion/ic/principal"
	replicahttp "fusion/replica/http"
	"fusion/replica/http/httpmem"
)

const now = uint64(1_700_000_000_000_000_000)

var adder = principal.FromUint64(7)

// network is a subnet behind a real HTTP server, and a man in the middle.
type network struct {
	*httpmem.Subnet
	t     *testing.T
	srv   *httptest.Server
	trip  func(req *http.Request, next http.RoundTripper) (*http.Response, error) // nil passes on
	calls atomic.Int64                                                            // executed updates
	id    *identity.Ed25519
}

func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	if n.trip != nil {
		return n.trip(req, http.DefaultTransport)
	}
	return http.DefaultTransport.RoundTrip(req)
}

func start(t *testing.T, cfg replicahttp.Config) *network {
	t.Helper()
	n := &network{Subnet: httpmem.New(1, now), t: t}
	var err error
	if n.id, err = identity.GenerateEd25519(); err != nil {
		t.Fatal(err)
	}
	add := func(caller principal.Principal, method string, arg []byte) ([]byte, error) {
		var a, b uint64
		if err := candid.Unmarshal(arg, &a, &b); err != nil || method != "add" {
			return nil, &envelope.Reject{Code: 5, Message: "cannot add", ErrorCode: "IC0503"}
		}
		return candid.Marshal(a+b, caller)
	}
	n.Install(adder, &httpmem.Canister{Query: add,
		Update: func(caller principal.Principal, method string, arg []byte) ([]byte, error) {
			n.calls.Add(1)
			return add(caller, method, arg)
		},
		Inspect: func(_ principal.Principal, method string, _ []byte) error {
			if method == "forbidden" {
				return &envelope.Reject{Code: 4, Message: "refused"}
			}
			return nil
		}})
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	n.srv = httptest.NewUnstartedServer(nil)
	n.srv.Config = replicahttp.NewServer(replicahttp.NewHandler(n, cfg))
	n.srv.Start()
	t.Cleanup(n.srv.Close)
	return n
}

func (n *network) agent(mut func(*agent.Options)) *agent.Agent {
	n.t.Helper()
	opts := agent.Options{Identity: n.id, RootKey: n.RootKeyDER(), Client: &http.Client{Transport: n}, Backoff: time.Millisecond,
		Now: func() time.Time { return time.Unix(0, int64(now)) }}
	if mut != nil {
		mut(&opts)
	}
	a, err := agent.New(n.srv.URL, opts)
	if err != nil {
		n.t.Fatal(err)
	}
	return a
}

// tamper changes the bodies of responses to paths that end so.
func (n *network) tamper(suffix string, change func(body []byte) []byte) {
	n.trip = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		res, err := next.RoundTrip(req)
		if err != nil || !strings.HasSuffix(req.URL.Path, suffix) {
			return res, err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return nil, err
		}
		body = change(body)
		res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return res, nil
	}
}

func add(ctx context.Context, do func(context.Context, principal.Principal, string, []any, []any) error) (uint64, principal.Principal, error) {
	var sum uint64
	var caller principal.Principal
	err := do(ctx, adder, "add", []any{uint64(40), uint64(2)}, []any{&sum, &caller})
	return sum, caller, err
}

func TestCallAndQuery(t *testing.T) {
	n := start(t, replicahttp.Config{})
	k1, err := identity.GenerateSecp256k1()
	if err != nil {
		t.Fatal(err)
	}
	a := n.agent(nil)
	for name, id := range map[string]identity.Identity{"ed25519": n.id, "secp256k1": k1, "anonymous": identity.Anonymous{}} {
		user := a.With(id)
		for kind, do := range map[string]func(context.Context, principal.Principal, string, []any, []any) error{"update": user.Update, "ask": user.Ask} {
			if sum, caller, err := add(t.Context(), do); err != nil || sum != 42 || caller != id.Sender() {
				t.Errorf("%s %s: %d %s %v", name, kind, sum, caller, err)
			}
		}
	}
	if n.calls.Load() != 3 {
		t.Errorf("%d updates", n.calls.Load())
	}
	if v, err := a.Read(t.Context(), adder, []byte("time")); err != nil || !bytes.Equal(v, certificate.EncodeNat(now)) {
		t.Errorf("time: %x %v", v, err)
	}
	if _, err := a.Read(t.Context(), adder, []byte("canister"), adder.Bytes(), []byte("module_hash")); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	sub, err := a.ReadSubnetState(t.Context(), n.SubnetID(), [][]byte{[]byte("canister_ranges"), n.SubnetID().Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	if ranges, err := certificate.Ranges(sub.Tree, n.SubnetID()); err != nil || !certificate.InRanges(ranges, adder) {
		t.Errorf("ranges: %v %v", ranges, err)
	}
	if s, err := a.Status(t.Context()); err != nil || s.Health != "healthy" {
		t.Errorf("status: %+v %v", s, err)
	}
}

func TestRejects(t *testing.T) {
	n := start(t, replicahttp.Config{})
	a := n.agent(nil)
	for name, c := range map[string]struct {
		do   func() ([]byte, error)
		want agent.RejectError
	}{
		"certified": {func() ([]byte, error) { return a.Call(t.Context(), adder, "nothing", nil) },
			agent.RejectError{Reject: envelope.Reject{Code: 5, Message: "cannot add", ErrorCode: "IC0503"}, Canister: adder, Method: "nothing", Certified: true}},
		"inspected": {func() ([]byte, error) { return a.Call(t.Context(), adder, "forbidden", nil) },
			agent.RejectError{Reject: envelope.Reject{Code: 4, Message: "refused"}, Canister: adder, Method: "forbidden"}},
		"query": {func() ([]byte, error) { return a.Query(t.Context(), adder, "nothing", nil) },
			agent.RejectError{Reject: envelope.Reject{Code: 5, Message: "cannot add", ErrorCode: "IC0503"}, Canister: adder, Method: "nothing"}},
		"no canister": {func() ([]byte, error) { return a.Call(t.Context(), principal.FromUint64(9), "add", nil) },
			agent.RejectError{Reject: envelope.Reject{Code: 3, Message: "canister " + principal.FromUint64(9).String() + " not found", ErrorCode: "IC0301"},
				Canister: principal.FromUint64(9), Method: "add", Certified: true}},
	} {
		_, err := c.do()
		var rej *agent.RejectError
		if !errors.As(err, &rej) || *rej != c.want {
			t.Errorf("%s: %v", name, err)
		}
		var plain *envelope.Reject
		if !errors.As(err, &plain) || errors.Is(err, agent.ErrUnknownOutcome) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := a.Query(t.Context(), principal.FromUint64(1<<40), "add", nil)
	var h *agent.HTTPError
	if !errors.As(err, &h) || h.Status != 400 || !strings.Contains(err.Error(), "canister_not_found") {
		t.Errorf("canister elsewhere: %v", err)
	}
	if err := a.Update(t.Context(), adder, "add", []any{make(chan int)}, nil); err == nil || !strings.Contains(err.Error(), "arguments of add") {
		t.Errorf("bad argument: %v", err)
	}
	var s string
	if err := a.Ask(t.Context(), adder, "add", []any{uint64(1), uint64(2)}, []any{&s}); err == nil || !strings.Contains(err.Error(), "results of add") {
		t.Errorf("bad result: %v", err)
	}
}

// A slow call is accepted first and polled for.
func TestPolling(t *testing.T) {
	n := start(t, replicahttp.Config{CallTimeout: time.Millisecond})
	n.Manual = true
	polls := 0
	n.trip = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/read_state") {
			if polls++; polls == 3 {
				n.Step()
			}
		}
		return next.RoundTrip(req)
	}
	if sum, _, err := add(t.Context(), n.agent(nil).Update); err != nil || sum != 42 || polls != 3 {
		t.Errorf("%d after %d polls, %v", sum, polls, err)
	}
	// One that nobody executes before it expires.
	a := n.agent(func(o *agent.Options) { o.MaxAge = -1 })
	polls = 4
	n.trip = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/read_state") {
			n.SetTime(now + uint64(5*time.Minute))
		}
		return next.RoundTrip(req)
	}
	anonymous := a.With(identity.Anonymous{}) // whose polls do not expire with this test's clock
	if _, _, err := add(t.Context(), anonymous.Update); !errors.Is(err, agent.ErrNotExecuted) || errors.Is(err, agent.ErrUnknownOutcome) {
		t.Errorf("expired: %v", err)
	}
}

func TestUnknownOutcomeAndWait(t *testing.T) {
	n := start(t, replicahttp.Config{CallTimeout: time.Millisecond})
	submitted := make(chan envelope.ID, 1)
	n.Manual, n.OnSubmit = true, func(id envelope.ID) { submitted <- id }
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-submitted
		cancel()
	}()
	a := n.agent(nil)
	_, err := a.Call(ctx, adder, "add", candid.MustMarshal(uint64(1), uint64(2)))
	var o *agent.OutcomeError
	if !errors.As(err, &o) || !errors.Is(err, agent.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), fmt.Sprintf("%x", o.RequestID)) {
		t.Fatalf("cancelled: %v", err)
	}
	n.Step()
	reply, err := a.Wait(t.Context(), o)
	if err != nil || !bytes.Equal(reply, candid.MustMarshal(uint64(3), n.id.Sender())) {
		t.Errorf("afterwards: %x %v", reply, err)
	}
	n.SetTree([]byte("done"), []byte("request_status"), o.RequestID[:], []byte("status"))
	if _, err := a.Wait(t.Context(), o); !errors.Is(err, agent.ErrDone) {
		t.Errorf("answer dropped: %v", err)
	}
}

// A replica or a man in the middle can not make the agent believe anything.
func TestDishonestReplica(t *testing.T) {
	n := start(t, replicahttp.Config{})
	stranger := httpmem.New(2, now)
	recertify := func(mut func(*certificate.Certificate)) func([]byte) []byte {
		return func(body []byte) []byte {
			res, err := envelope.DecodeCallResponse(body)
			if err != nil {
				t.Fatal(err)
			}
			c, err := certificate.Parse(res.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			mut(c)
			return (&envelope.CallResponse{Certificate: c.Encode()}).Encode()
		}
	}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   error
	}{
		"changed reply":     {func(b []byte) []byte { return bytes.Replace(b, []byte("replied"), []byte("Replied"), 2) }, agent.ErrVerification},
		"changed signature": {recertify(func(c *certificate.Certificate) { c.Signature = bytes.Clone(c.Signature); c.Signature[20] ^= 1 }), agent.ErrVerification},
		"other subnet": {func([]byte) []byte {
			return (&envelope.CallResponse{Certificate: stranger.Snapshot().Certify()}).Encode()
		}, agent.ErrVerification},
		"garbage": {func([]byte) []byte { return []byte("garbage") }, envelope.ErrResponse},
	} {
		n.tamper("/call", c.change)
		_, _, err := add(t.Context(), n.agent(nil).Update)
		if !errors.Is(err, agent.ErrUnknownOutcome) || !errors.Is(err, c.want) {
			t.Errorf("call, %s: %v", name, err)
		}
	}
	// An old certificate of the subnet proves nothing about a new call: the agent goes on to ask.
	old := (&envelope.CallResponse{Certificate: n.Snapshot().Certify(hashtree.Path("time"))}).Encode()
	n.tamper("/call", func([]byte) []byte { return old })
	if sum, _, err := add(t.Context(), n.agent(nil).Update); err != nil || sum != 42 {
		t.Errorf("call, certificate of nothing: %d %v", sum, err)
	}

	requery := func(mut func(*envelope.QueryResponse)) func([]byte) []byte {
		return func(body []byte) []byte {
			q, err := envelope.DecodeQueryResponse(body)
			if err != nil {
				t.Fatal(err)
			}
			mut(q)
			return q.Encode()
		}
	}
	for name, c := range map[string]struct {
		change func(*envelope.QueryResponse)
		want   error
	}{
		"changed reply":     {func(q *envelope.QueryResponse) { q.Reply = candid.MustMarshal(uint64(43), principal.Anonymous) }, agent.ErrVerification},
		"reply as reject":   {func(q *envelope.QueryResponse) { q.Reject = &envelope.Reject{Code: 1, Message: "x"} }, agent.ErrVerification},
		"no signature":      {func(q *envelope.QueryResponse) { q.Signatures = nil }, agent.ErrVerification},
		"changed signature": {func(q *envelope.QueryResponse) { q.Signatures[0].Signature[3] ^= 1 }, agent.ErrVerification},
		"other node":        {func(q *envelope.QueryResponse) { q.Signatures[0].Identity = stranger.NodeID() }, agent.ErrVerification},
		"old signature":     {func(q *envelope.QueryResponse) { q.Signatures[0].Timestamp -= uint64(time.Hour) }, agent.ErrStale},
	} {
		n.tamper("/query", requery(c.change))
		if _, _, err := add(t.Context(), n.agent(nil).Ask); !errors.Is(err, c.want) {
			t.Errorf("query, %s: %v", name, err)
		}
	}
	n.tamper("/query", requery(func(q *envelope.QueryResponse) { q.Signatures = nil }))
	if sum, _, err := add(t.Context(), n.agent(func(o *agent.Options) { o.SkipQueryVerification = true }).Ask); err != nil || sum != 42 {
		t.Errorf("query, not verified: %d %v", sum, err)
	}
	n.tamper("/read_state", func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b })
	if _, err := n.agent(nil).Read(t.Context(), adder, []byte("time")); !errors.Is(err, agent.ErrVerification) {
		t.Errorf("read_state: %v", err)
	}
	if _, _, err := add(t.Context(), n.agent(nil).Ask); !errors.Is(err, agent.ErrVerification) {
		t.Errorf("query with forged node keys: %v", err)
	}
	n.trip = nil
	late := func(o *agent.Options) {
		o.Now = func() time.Time { return time.Unix(0, int64(now)).Add(-6 * time.Minute) }
	}
	if _, err := n.agent(late).With(identity.Anonymous{}).Read(t.Context(), adder, []byte("time")); !errors.Is(err, agent.ErrStale) {
		t.Errorf("clock six minutes off: %v", err)
	}
}

func TestRetries(t *testing.T) {
	n := start(t, replicahttp.Config{})
	a := n.agent(nil)
	attempts := 0
	answer := func(status int) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("no"))}, nil
	}
	first := func(k int, fail func(req *http.Request, next http.RoundTripper) (*http.Response, error)) {
		attempts = 0
		n.trip = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if attempts++; attempts <= k {
				return fail(req, next)
			}
			return next.RoundTrip(req)
		}
	}
	for name, status := range map[string]int{"overload": 429, "unavailable": 503, "internal": 500} {
		first(3, func(*http.Request, http.RoundTripper) (*http.Response, error) { return answer(status) })
		if sum, _, err := add(t.Context(), a.Update); err != nil || sum != 42 || attempts != 4 {
			t.Errorf("%s: %d after %d attempts, %v", name, sum, attempts, err)
		}
	}
	// The answer is lost after the call was executed: it is executed once, and the second attempt has the answer.
	before := n.calls.Load()
	first(1, func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		res, err := next.RoundTrip(req)
		if err == nil {
			res.Body.Close()
		}
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	})
	if sum, _, err := add(t.Context(), a.Update); err != nil || sum != 42 || n.calls.Load() != before+1 {
		t.Errorf("lost answer: %d, executed %d times, %v", sum, n.calls.Load()-before, err)
	}
	for name, c := range map[string]struct {
		fail    func(*http.Request, http.RoundTripper) (*http.Response, error)
		unknown bool
		tries   int
	}{
		"refused for good":    {func(*http.Request, http.RoundTripper) (*http.Response, error) { return answer(400) }, false, 1},
		"overloaded for good": {func(*http.Request, http.RoundTripper) (*http.Response, error) { return answer(429) }, false, 6},
		"failing for good":    {func(*http.Request, http.RoundTripper) (*http.Response, error) { return answer(500) }, true, 6},
		"nobody there": {func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		}, false, 6},
		"connection breaks": {func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, true, 6},
	} {
		first(100, c.fail)
		if _, _, err := add(t.Context(), a.Update); err == nil || errors.Is(err, agent.ErrUnknownOutcome) != c.unknown || attempts != c.tries {
			t.Errorf("%s: %v after %d attempts", name, err, attempts)
		}
	}
	// Lost, then refused: the first attempt may have been let through.
	first(1, func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	var rej *agent.RejectError
	if _, err := a.Call(t.Context(), adder, "forbidden", nil); !errors.Is(err, agent.ErrUnknownOutcome) || !errors.As(err, &rej) {
		t.Errorf("lost, then refused: %v", err)
	}
}

func TestRootKey(t *testing.T) {
	n := start(t, replicahttp.Config{})
	fetching := n.agent(func(o *agent.Options) { o.RootKey, o.FetchRootKey = nil, true })
	if sum, _, err := add(t.Context(), fetching.Update); err != nil || sum != 42 {
		t.Errorf("fetched key: %d %v", sum, err)
	}
	if key, err := fetching.RootKey(t.Context()); err != nil || !bytes.Equal(key, n.RootKeyDER()) {
		t.Errorf("%x %v", key, err)
	}
	wrong := n.agent(func(o *agent.Options) { o.RootKey = httpmem.New(9, now).RootKeyDER() })
	if _, _, err := add(t.Context(), wrong.Update); !errors.Is(err, agent.ErrVerification) {
		t.Errorf("another network's key: %v", err)
	}
	for name, c := range map[string]struct {
		url  string
		opts agent.Options
	}{
		"no key": {n.srv.URL, agent.Options{}}, "bad key": {n.srv.URL, agent.Options{RootKey: []byte{1}}},
		"bad url": {"localhost:1", agent.Options{FetchRootKey: true}}, "no host": {"http://", agent.Options{FetchRootKey: true}},
	} {
		if _, err := agent.New(c.url, c.opts); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestEffectiveCanister(t *testing.T) {
	n := start(t, replicahttp.Config{})
	a := n.agent(nil)
	var url string
	n.trip = func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		url = req.URL.Path
		return &http.Response{StatusCode: 400, Header: http.Header{}, Body: http.NoBody}, nil
	}
	type about struct {
		Canister principal.Principal `candid:"canister_id"`
	}
	type chunked struct {
		Target principal.Principal `candid:"target_canister"`
		Store  principal.Principal `candid:"store_canister"`
	}
	for name, c := range map[string]struct {
		r    agent.Request
		want principal.Principal
	}{
		"canister":   {agent.Request{Canister: adder}, adder},
		"explicit":   {agent.Request{Canister: principal.Management, Effective: &adder}, adder},
		"argument":   {agent.Request{Canister: principal.Management, Method: "start_canister", Arg: candid.MustMarshal(about{adder})}, adder},
		"chunked":    {agent.Request{Canister: principal.Management, Method: "install_chunked_code", Arg: candid.MustMarshal(chunked{adder, principal.FromUint64(1)})}, adder},
		"management": {agent.Request{Canister: principal.Management, Method: "raw_rand", Arg: candid.MustMarshal()}, principal.Management},
	} {
		if _, err := a.Do(t.Context(), c.r); err == nil || url != "/api/v4/canister/"+c.want.String()+"/call" {
			t.Errorf("%s: %s, %v", name, url, err)
		}
	}
}

// Many calls at once, answered from few certificates.
func TestConcurrentCalls(t *testing.T) {
	n := start(t, replicahttp.Config{})
	a := n.agent(nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if sum, _, err := add(t.Context(), a.Update); err != nil || sum != 42 {
					t.Errorf("%d %v", sum, err)
				}
				if sum, _, err := add(t.Context(), a.Ask); err != nil || sum != 42 {
					t.Errorf("%d %v", sum, err)
				}
			}
		})
	}
	wg.Wait()
	if n.calls.Load() != 40 {
		t.Errorf("%d executed", n.calls.Load())
	}
}

func BenchmarkQuery(b *testing.B) {
	s := httpmem.New(1, now)
	s.Install(adder, &httpmem.Canister{Query: func(principal.Principal, string, []byte) ([]byte, error) { return []byte("DIDL\x00\x00"), nil }})
	srv := httptest.NewServer(replicahttp.NewHandler(s, replicahttp.Config{}))
	defer srv.Close()
	for name, skip := range map[string]bool{"verified": false, "unverified": true} {
		b.Run(name, func(b *testing.B) {
			a, err := agent.New(srv.URL, agent.Options{RootKey: s.RootKeyDER(), Now: func() time.Time { return time.Unix(0, int64(now)) }, SkipQueryVerification: skip})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := a.Query(b.Context(), adder, "m", nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkCall measures certified calls, client and server together, answered in blocks as a subnet does.
func BenchmarkCall(b *testing.B) {
	s := httpmem.New(1, now)
	s.Install(adder, &httpmem.Canister{Update: func(principal.Principal, string, []byte) ([]byte, error) { return []byte("DIDL\x00\x00"), nil }})
	s.Manual = true
	srv := httptest.NewServer(replicahttp.NewHandler(s, replicahttp.Config{}))
	defer srv.Close()
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-tick.C:
				s.Step()
			case <-done:
				tick.Stop()
				return
			}
		}
	}()
	id, err := identity.GenerateEd25519()
	if err != nil {
		b.Fatal(err)
	}
	a, err := agent.New(srv.URL, agent.Options{Identity: id, RootKey: s.RootKeyDER(), Now: func() time.Time { return time.Unix(0, int64(now)) }})
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(200)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.Call(b.Context(), adder, "transfer", make([]byte, 120)); err != nil {
				b.Fatal(err)
			}
		}
	})
	close(done)
	<-stopped
}
