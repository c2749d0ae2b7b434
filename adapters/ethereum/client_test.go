package ethereum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fusion/eth"
	"fusion/eth/rpc"
)

// fake is a provider in front of a node, with a fault.
type fake struct {
	*httptest.Server
	asked  atomic.Int64
	behind http.Handler

	mu    sync.Mutex
	fault func(w http.ResponseWriter, method string, honest []byte) bool // true if it answered
}

func (f *fake) set(fault func(w http.ResponseWriter, method string, honest []byte) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func newFake(t testing.TB, behind http.Handler) *fake {
	f := &fake{behind: behind}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	var method string
	if q, err := rpc.Raw(body); err == nil {
		method = q.Method
	} else if i := bytes.Index(body, []byte(`"method":"`)); i >= 0 { // a batch
		method = "batch " + string(body[i+10:i+10+bytes.IndexByte(body[i+10:], '"')])
	}
	honest := httptest.NewRecorder()
	again := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	again.Header.Set("Content-Type", "application/json")
	f.behind.ServeHTTP(honest, again)
	if fault != nil && fault(w, method, honest.Body.Bytes()) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(honest.Code)
	w.Write(honest.Body.Bytes())
}

// Faults.
func down(w http.ResponseWriter, _ string, _ []byte) bool {
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

func replacing(method, old, new string) func(http.ResponseWriter, string, []byte) bool {
	return func(w http.ResponseWriter, m string, honest []byte) bool {
		if m != method {
			return false
		}
		lie := strings.Replace(string(honest), old, new, 1)
		if lie == string(honest) {
			panic(fmt.Sprintf("no %q in %s", old, honest))
		}
		io.WriteString(w, lie)
		return true
	}
}

func saying(method, body string) func(http.ResponseWriter, string, []byte) bool {
	return func(w http.ResponseWriter, m string, honest []byte) bool {
		if m != method {
			return false
		}
		id := ""
		if i := bytes.Index(honest, []byte(`"id":`)); i >= 0 {
			id = string(honest[i+5 : i+5+bytes.IndexAny(honest[i+5:], ",}")])
		}
		io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,`+body+`}`)
		return true
	}
}

// network is a chain behind n providers, and a client of them.
type network struct {
	*chain
	fakes  []*fake
	client *Client
	mu     sync.Mutex
	now    time.Time
	log    bytes.Buffer
}

func (n *network) clock() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

func (n *network) pass(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = n.now.Add(d)
}

func newNetwork(t testing.TB, providers int, cfg Config) *network {
	t.Helper()
	n := &network{chain: newChain(t), now: time.Unix(1_800_000_000, 0)}
	var log syncWriter
	log.w = &n.log
	for i := range providers {
		f := newFake(t, n.chain)
		n.fakes = append(n.fakes, f)
		cfg.Providers = append(cfg.Providers, Provider{URL: f.URL + "/v3/a-secret-key", Operator: fmt.Sprintf("operator %d", i), Headers: []Header{{"Authorization", "Bearer another-secret"}}})
	}
	cfg.ChainID, cfg.Now = devChain, n.clock
	cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.Hedge == 0 {
		cfg.Hedge = 5 * time.Second // a test that reaches it is slow, and not wrong
	}
	var err error
	if n.client, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.client.Close()
		log.mu.Lock()
		defer log.mu.Unlock()
		if strings.Contains(n.log.String(), "secret") {
			t.Errorf("a key is in the log: %s", n.log.String())
		}
	})
	return n
}

type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *syncWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

// answers fails unless a query is answered, and returns the result.
func (n *network) answers(q rpc.Query) string {
	n.t.Helper()
	out, err := n.client.Query(n.t.Context(), q)
	if err != nil {
		n.t.Fatalf("%s: %v", q.Method, err)
	}
	n.client.wg.Wait() // probes, too
	return string(out)
}

func (n *network) fails(q rpc.Query, want error) error {
	n.t.Helper()
	out, err := n.client.Query(n.t.Context(), q)
	if !errors.Is(err, want) {
		n.t.Fatalf("%s: %.100s, %v, want %v", q.Method, out, err, want)
	}
	if strings.Contains(err.Error(), "secret") {
		n.t.Errorf("a key is in the error %v", err)
	}
	return err
}

func (n *network) stats(i int) ProviderStats { return n.client.Stats().Providers[i] }

var balanceQuery = rpc.Balance(eth.Address{19: 0x77}, rpc.Number(0))

func TestQuorum(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3})
	n.emit(eth.Hash{1}, nil)
	n.mine(1)
	rich := rpc.Balance(eth.Address(n.from), rpc.Number(0))
	const want = `"0x40000000000000000000000"`
	if err := n.client.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("all well", func(t *testing.T) {
		for range 8 {
			if got := n.answers(rich); got != want {
				t.Error(got)
			}
		}
		for i := range n.fakes {
			if s := n.stats(i); s.State != Healthy || s.Asked < 4 || s.Failed != 0 {
				t.Errorf("provider %d: %+v", i, s)
			}
		}
	})
	t.Run("one down", func(t *testing.T) {
		n.fakes[1].set(down)
		for range 8 {
			if got := n.answers(rich); got != want {
				t.Error(got)
			}
		}
		if s := n.stats(1); s.State != Resting || s.Failed != 1 {
			t.Errorf("it is asked again while it rests: %+v", s)
		}
		n.fakes[1].set(nil)
		n.pass(time.Hour)
		for range 8 {
			n.answers(rich)
		}
		if s := n.stats(1); s.State != Healthy {
			t.Errorf("it does not come back: %+v", s)
		}
	})
	t.Run("one liar of four", func(t *testing.T) {
		n.fakes[2].set(saying(rpc.MethodBalance, `"result":"0x1"`))
		for range 8 {
			if got := n.answers(rich); got != want {
				t.Error(got)
			}
		}
		if s := n.stats(2); s.Disagreed == 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("two of four differ", func(t *testing.T) {
		n.fakes[1].set(saying(rpc.MethodBalance, `"result":"0x1"`))
		err := n.fails(rich, ErrDisagree)
		var who *DisagreeError
		if !errors.As(err, &who) || len(who.Said) != 4 {
			t.Fatalf("%v", err)
		}
		for _, s := range who.Said {
			if lies := s.Operator == "operator 1" || s.Operator == "operator 2"; lies != (s.What == `"0x1"`) {
				t.Errorf("%+v", s)
			}
		}
		if a := n.client.Ask(t.Context(), rich); a.Err == nil || a.Err.Kind != rpc.KindDisagree || strings.Contains(a.Err.Message, "127.0.0.1") {
			t.Errorf("%+v", a.Err)
		}
	})
	t.Run("two down", func(t *testing.T) {
		n.fakes[1].set(down)
		n.fakes[2].set(down)
		n.fails(rich, ErrUnavailable)
		if a := n.client.Ask(t.Context(), rich); a.Err == nil || a.Err.Kind != rpc.KindUnavailable {
			t.Errorf("%+v", a.Err)
		}
	})
}

func TestFaults(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, MaxResponse: 100_000})
	n.mine(1)
	want := n.answers(balanceQuery)
	for name, fault := range map[string]func(http.ResponseWriter, string, []byte) bool{
		"garbage":    func(w http.ResponseWriter, _ string, _ []byte) bool { io.WriteString(w, "<html>"); return true },
		"nothing":    func(w http.ResponseWriter, _ string, _ []byte) bool { return true },
		"another id": saying(rpc.MethodBalance, `"result":"0x0","id":12345`),
		"cut off": func(w http.ResponseWriter, _ string, honest []byte) bool {
			w.Header().Set("Content-Length", "500")
			w.Write(honest)
			return true
		},
		"redirect": func(w http.ResponseWriter, _ string, _ []byte) bool {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(307)
			return true
		},
		"number": saying(rpc.MethodBalance, `"result":7`),
		"key in text": func(w http.ResponseWriter, _ string, _ []byte) bool {
			w.WriteHeader(401)
			io.WriteString(w, "no such key: a-secret-key")
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			n.fakes[0].set(fault)
			before := n.stats(0)
			for range 4 {
				if got := n.answers(balanceQuery); got != want {
					t.Error(got)
				}
			}
			if s := n.stats(0); s.Failed != before.Failed+1 {
				t.Errorf("%+v", s)
			}
			n.fakes[0].set(nil)
			n.pass(time.Hour)
			n.answers(balanceQuery)
			n.answers(balanceQuery)
		})
	}
	t.Run("oversized", func(t *testing.T) {
		big := func(w http.ResponseWriter, m string, _ []byte) bool {
			if m != rpc.MethodBalance {
				return false
			}
			w.(http.Flusher).Flush() // no Content-Length
			io.WriteString(w, strings.Repeat(" ", 200_000))
			return true
		}
		n.fakes[0].set(big)
		for range 4 {
			if got := n.answers(balanceQuery); got != want {
				t.Error(got)
			}
		}
		if s := n.stats(0); s.State != Healthy {
			t.Errorf("the question may be to blame: %+v", s)
		}
		for _, f := range n.fakes[:3] {
			f.set(big)
		}
		n.fails(balanceQuery, ErrTooLarge)
		if a := n.client.Ask(t.Context(), balanceQuery); a.Err == nil || a.Err.Kind != rpc.KindTooLarge {
			t.Errorf("%+v", a.Err)
		}
		// Nodes have limits of their own, and words for them.
		for i, f := range n.fakes {
			f.set([]func(http.ResponseWriter, string, []byte) bool{big, saying(rpc.MethodBalance, `"error":{"code":-32005,"message":"query returned more than 10000 results"}`), nil, nil}[i])
		}
		n.fails(balanceQuery, ErrTooLarge)
	})
	t.Run("pruned", func(t *testing.T) {
		for i, f := range n.fakes {
			f.set(nil)
			if i == 0 {
				f.set(saying(rpc.MethodBalance, `"error":{"code":-32000,"message":"missing trie node ab (path )"}`))
			}
		}
		for range 4 {
			if got := n.answers(balanceQuery); got != want {
				t.Error(got)
			}
		}
	})
	t.Run("agreed error", func(t *testing.T) {
		for i, f := range n.fakes {
			f.set(saying(rpc.MethodBalance, `"error":{"code":3,"message":"execution reverted`+strings.Repeat("!", i)+`"}`))
		}
		err := n.fails(balanceQuery, ErrNode)
		var node *rpc.Error
		if !errors.As(err, &node) || node.Code != 3 || node.Message != "the ethereum nodes answer with error 3" {
			t.Errorf("%v", err)
		}
	})
}

func TestWrongChain(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3})
	n.mine(1)
	other := saying(rpc.MethodChainID, `"result":"0x1"`)
	n.fakes[3].set(other)
	for range 4 {
		n.answers(balanceQuery)
	}
	if s := n.stats(3); s.State != WrongChain {
		t.Errorf("%+v", s)
	}
	n.fakes[3].set(nil)
	// A node that moves to another chain while it is used.
	n.fakes[0].set(other)
	n.pass(time.Hour)
	for range 4 {
		n.answers(balanceQuery)
	}
	if s := n.stats(0); s.State != WrongChain {
		t.Errorf("%+v", s)
	}
	if s := n.stats(3); s.State != Healthy {
		t.Errorf("%+v", s)
	}
	n.fakes[1].set(other)
	n.pass(time.Hour)
	n.fails(balanceQuery, ErrUnavailable)
	n.pass(time.Hour)
	if err := n.client.Check(t.Context()); !errors.Is(err, ErrWrongChain) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("check: %v", err)
	}
}

// TestSlow has a provider that never answers: one query waits for the hedge, and then the provider rests.
func TestSlow(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, Hedge: 20 * time.Millisecond})
	n.mine(1)
	n.client.Check(t.Context())
	hang := make(chan struct{})
	n.fakes[0].set(func(http.ResponseWriter, string, []byte) bool { <-hang; return true })
	for range 4 {
		n.answers(balanceQuery)
	}
	n.client.wg.Wait() // cancelled requests have been judged
	if s := n.stats(0); s.State != Resting || s.Failed == 0 {
		t.Errorf("%+v", s)
	}
	close(hang)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.client.Query(ctx, balanceQuery); !errors.Is(err, ErrUnavailable) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestFlapping lets all providers come and go for an hour; whenever enough are up, the answer comes within a rest, and it is the right one.
func TestFlapping(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, MaxRest: 10 * time.Second})
	n.mine(1)
	want := n.answers(balanceQuery)
	answered, failed, since := 0, 0, 0
	for s := 0; s < 3600; s += 3 {
		for i, f := range n.fakes {
			if up := (s/(21+9*i))%3 != 0; up { // down a third of the time, each in its own rhythm
				f.set(nil)
			} else {
				f.set(down)
			}
		}
		if s > 3000 { // fair weather
			for _, f := range n.fakes {
				f.set(nil)
			}
		}
		got, err := n.client.Query(t.Context(), balanceQuery)
		switch {
		case err == nil && string(got) != want:
			t.Fatalf("second %d: %s", s, got)
		case err == nil:
			answered, since = answered+1, 0
		case !errors.Is(err, ErrUnavailable):
			t.Fatalf("second %d: %v", s, err)
		default:
			failed++
			if since++; s > 3015 {
				t.Fatalf("second %d: %v", s, err)
			}
		}
		n.client.wg.Wait()
		n.pass(3 * time.Second)
	}
	if answered < 400 || failed == 0 {
		t.Errorf("%d answers, %d failures", answered, failed)
	}
	t.Logf("%d answers, %d failures", answered, failed)
	for i := range n.fakes {
		if s := n.stats(i); s.State != Healthy {
			t.Errorf("provider %d: %+v", i, s)
		}
	}
}

func TestHeights(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3, Verify: true})
	height := func(tag string) uint64 {
		t.Helper()
		h, err := n.client.Height(t.Context(), tag)
		if err != nil {
			t.Fatalf("%s: %v", tag, err)
		}
		return h
	}
	if h := height("finalized"); h != 0 {
		t.Errorf("nothing is finalised, but %d", h)
	}
	n.mine(70)
	for tag, want := range map[string]uint64{"latest": 70, "finalized": 64} {
		if h := height(tag); h != want {
			t.Errorf("%s is %d", tag, h)
		}
	}
	// One claims the future, one is behind.
	n.fakes[0].set(func(w http.ResponseWriter, m string, honest []byte) bool {
		if m != rpc.MethodBlockByNumber || !bytes.Contains(honest, []byte(`"number":"0x46"`)) {
			return false
		}
		w.Write(bytes.Replace(honest, []byte(`"number":"0x46"`), []byte(`"number":"0x4600"`), 1))
		return true
	})
	if h := height("latest"); h != 70 {
		t.Errorf("latest is %d with a liar", h)
	}
	old := n.answers(rpc.BlockByNumber(rpc.Number(60)))
	n.fakes[0].set(func(w http.ResponseWriter, m string, honest []byte) bool {
		if m != rpc.MethodBlockByNumber || !bytes.Contains(honest, []byte(`"number":"0x46"`)) {
			return false
		}
		return saying(m, `"result":`+old)(w, m, honest)
	})
	if h := height("latest"); h != 70 {
		t.Errorf("latest is %d with one behind", h)
	}
	n.fakes[1].set(n.fakes[0].fault)
	if h := height("latest"); h != 60 {
		t.Errorf("latest is %d with two behind", h)
	}
	n.fakes[0].set(down)
	n.fakes[1].set(down)
	if _, err := n.client.Height(t.Context(), "latest"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("two down: %v", err)
	}
	if _, err := n.client.Height(t.Context(), "pending"); err == nil {
		t.Error("pending has a height")
	}
}

func TestSend(t *testing.T) {
	n := newNetwork(t, 4, Config{Quorum: 3})
	n.mine(1)
	raw := func(topic byte) (rpc.Query, string) {
		tx := n.sign(eth.Hash{topic}, nil)
		b, err := tx.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return rpc.SendRaw(b), `"` + strings.ToLower(tx.Hash().Hex()) + `"`
	}
	q, want := raw(1)
	for range 2 { // the second time everybody has it
		if got := n.answers(q); got != want {
			t.Error(got)
		}
	}
	n.mine(1)
	if got := n.answers(q); got != want { // nonce too low, but because of itself
		t.Error(got)
	}
	n.nonce = 0
	low, _ := raw(2)
	err := n.fails(low, ErrNode)
	var node *rpc.Error
	// geth's pool learns of a block a moment after the chain; until then the transaction is an underpriced replacement of the one in the block.
	again, end := time.NewTicker(10*time.Millisecond), time.After(2*time.Minute)
	defer again.Stop()
	for errors.As(err, &node) && node.Class() != rpc.ClassNonceTooLow {
		select {
		case <-end:
			t.Fatalf("the pool does not follow the chain: %v", err)
		case <-again.C:
			err = n.fails(low, ErrNode)
		}
	}
	if !errors.As(err, &node) || node.Class() != rpc.ClassNonceTooLow || node.Message != "nonce too low" {
		t.Errorf("%v", err)
	}
	if a := n.client.Ask(t.Context(), low); a.Err == nil || a.Err.Kind != rpc.KindRPC || a.Err.Code != -32000 {
		t.Errorf("%+v", a.Err)
	}
	n.nonce = 1
	q, want = raw(3)
	for i, f := range n.fakes {
		if i != 2 {
			f.set(down)
		}
	}
	if got := n.answers(q); got != want { // one who takes it is enough
		t.Error(got)
	}
	n.fails(rpc.Query{Method: rpc.MethodSendRaw, Params: []byte(`["x"]`)}, rpc.ErrMalformed)
}

func TestConfig(t *testing.T) {
	p := func(hosts ...string) (out []Provider) {
		for _, h := range hosts {
			out = append(out, Provider{URL: h})
		}
		return out
	}
	for _, c := range []struct {
		cfg  Config
		want int
	}{
		{Config{ChainID: 1, Providers: p("http://a")}, 1},
		{Config{ChainID: 1, Providers: p("http://a", "http://b")}, 1},
		{Config{ChainID: 1, Providers: p("http://a", "http://b", "https://c")}, 2},
		{Config{ChainID: 1, Providers: p("http://a", "http://b", "https://c", "https://c/2")}, 2},
		{Config{ChainID: 1, Providers: p("http://a", "http://b", "https://c", "https://d")}, 3},
	} {
		if got, err := New(c.cfg); err != nil || got.cfg.Quorum != c.want {
			t.Errorf("%d providers: %v", len(c.cfg.Providers), err)
		}
	}
	for _, cfg := range []Config{
		{}, {ChainID: 1}, {Providers: p("http://a")}, {ChainID: 1, Providers: p("http://a"), Quorum: 2}, {ChainID: 1, Providers: p("http://a", "http://b"), Quorum: 2}, {ChainID: 1, Providers: p("ws://a")},
		{ChainID: 1, Providers: p("http://a/secret%zz")}, {ChainID: 1, Providers: []Provider{{URL: "http://a", Headers: []Header{{"A", "secret\r\nB: c"}}}}},
		{ChainID: 1, Providers: []Provider{{URL: "http://a", Operator: "x"}, {URL: "http://b", Operator: "x"}}, Quorum: 2},
	} {
		if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if got := fmt.Sprintf("%v %+v %s", Provider{URL: "https://user:pw@a.example/v3/key"}, p("https://b.example?k=key"), Provider{URL: "://key"}); strings.Contains(got, "key") || strings.Contains(got, "pw") {
		t.Error(got)
	}
}
