package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/httpcert"
	"fusion/ic/principal"
	replicahttp "fusion/replica/http"
	"fusion/replica/http/gateway"
	"fusion/replica/http/httpmem"
)

const now = uint64(1_700_000_000_000_000_000)

var (
	site    = principal.FromUint64(7)
	other   = principal.FromUint64(8)
	mute    = principal.FromUint64(9)
	nobody  = principal.FromUint64(10)
	outside = principal.FromUint64(1 << 30)
)

// token is the type that our canister chose for its streaming tokens.
type token struct {
	Key   string     `candid:"key"`
	Index candid.Nat `candid:"index"`
	Sha   *[]byte    `candid:"sha256"`
}

type streamFunc struct{ candid.Func }

func (streamFunc) CandidType() *candid.Type {
	return &candid.Type{Kind: candid.KindFunc, Func: &candid.FuncType{Mode: candid.Query}}
}

type callback struct {
	Callback streamFunc `candid:"callback"`
	Token    token      `candid:"token"`
}

type strategy struct {
	candid.Variant
	Callback *callback `candid:"Callback"`
}

// reply is what the canister answers.
type reply struct {
	Status    uint16                 `candid:"status_code"`
	Headers   []httpcert.HeaderField `candid:"headers"`
	Body      []byte                 `candid:"body"`
	Upgrade   *bool                  `candid:"upgrade"`
	Streaming *strategy              `candid:"streaming_strategy"`
}

type streamed struct {
	Body  []byte `candid:"body"`
	Token *token `candid:"token"`
}

// page is a certified response and how its canister (or a replica in between) lies about it.
type page struct {
	expr    httpcert.Expression
	path    []string // the expression path; nil for version 1
	status  uint16
	headers []httpcert.HeaderField
	body    string
	// request is what the certification of a request is made for, where the expression has one.
	request *httpcert.Request
	stream  int                 // parts after the first, by callbacks
	wrong   principal.Principal // whose callback it is, if not the canister's own
}

// world is a subnet with one canister that serves pages, and a gateway.
type world struct {
	t *testing.T
	*httpmem.Subnet
	srv *httptest.Server

	mu     sync.Mutex
	pages  map[string]*page // by URL, or by URL and Range header
	tree   *hashtree.Map
	lie    func(req *httpcert.Request, r *reply, h *httpcert.Header) // tampers with a response
	cert   func() []byte                                             // makes another certificate
	seen   []httpcert.Request
	update func(req *httpcert.UpdateRequest) reply
	hook   func(method string)
	fail   error
	stuck  string // the method that takes for ever
	stale  int    // how many answers see a state that is not certified yet
}

func start(t *testing.T, mut func(*gateway.Config)) *world {
	t.Helper()
	w := &world{t: t, Subnet: httpmem.New(1, now), pages: map[string]*page{}}
	w.Install(site, &httpmem.Canister{Query: w.query, Update: w.updateCall})
	w.Install(mute, &httpmem.Canister{Query: func(_ principal.Principal, method string, _ []byte) ([]byte, error) {
		return nil, &envelope.Reject{Code: 5, Message: "no query method", ErrorCode: "IC0536"}
	}})
	quiet := slog.New(slog.DiscardHandler)
	cfg := gateway.Config{Log: quiet}
	if mut != nil {
		mut(&cfg)
	}
	w.srv = httptest.NewUnstartedServer(nil)
	w.srv.Config = replicahttp.NewServer(replicahttp.NewHandler(w, replicahttp.Config{Log: quiet, Gateway: gateway.New(w, cfg),
		AllowedHosts: []string{"localhost", ".localhost", "127.0.0.1", "::1"}}))
	w.srv.Start()
	t.Cleanup(w.srv.Close)
	return w
}

// Query is the Backend's, with a failure of the replica where the test wants one.
func (w *world) Query(ctx context.Context, c *envelope.Content) ([]byte, error) {
	w.mu.Lock()
	fail, stuck := w.fail, w.stuck == c.MethodName
	w.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	if stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return w.Subnet.Query(ctx, c)
}

// set changes how the canister behaves, between requests.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// put certifies a page at a URL.
func (w *world) put(url string, p *page) {
	w.mu.Lock()
	if p.status == 0 {
		p.status = 200
	}
	if p.path == nil {
		h := sha256.Sum256([]byte(p.body))
		path, _, _ := httpcert.SplitURL(url)
		w.tree = w.tree.Insert(hashtree.Path(httpcert.LabelAssets, path), h[:])
	} else {
		p.headers = append(slices.Clone(p.headers), httpcert.HeaderField{Name: "IC-CertificateExpression", Value: p.expr.String()})
		labels := [][]byte{}
		if !p.expr.Skip {
			var request []byte
			if p.expr.Request != nil {
				h := p.expr.Request.RequestHash(p.request)
				request = h[:]
			}
			h := p.expr.ResponseHash(p.status, p.headers, sha256.Sum256([]byte(p.body)))
			labels = [][]byte{request, h[:]}
		}
		hash := p.expr.Hash()
		w.tree = w.tree.Insert(append(append(hashtree.Path(p.path...), hash[:]), labels...), nil)
	}
	w.pages[url] = p
	root := w.tree.Digest()
	w.mu.Unlock()
	w.SetTree(root[:], []byte("canister"), site.Bytes(), []byte("certified_data"))
}

var textHTML = httpcert.HeaderField{Name: "Content-Type", Value: "text/html"}

func v2(path []string, body string, headers ...httpcert.HeaderField) *page {
	return &page{expr: httpcert.ResponseOnly, path: path, body: body, headers: append([]httpcert.HeaderField{textHTML}, headers...)}
}

func dataCertificate(s *httpmem.Subnet, id principal.Principal) []byte {
	return s.Snapshot().Certify([][]byte{[]byte("canister"), id.Bytes(), []byte("certified_data")})
}

const part = 10 // bytes of a streamed part

func (w *world) query(_ principal.Principal, method string, arg []byte) ([]byte, error) {
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	if hook != nil {
		hook(method)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch method {
	case "http_request":
	case "stream", "stream_opt":
		var tok token
		if err := candid.Unmarshal(arg, &tok); err != nil {
			return nil, &envelope.Reject{Code: 5, Message: err.Error()}
		}
		p := w.pages[tok.Key]
		i, _ := tok.Index.Uint64()
		out := streamed{Body: []byte(p.body[part*i : min(part*(i+1), uint64(len(p.body)))])}
		if int(i) < p.stream {
			tok.Index = candid.NatFromUint64(i + 1)
			out.Token = &tok
		}
		if method == "stream_opt" {
			return candid.MustMarshal(&out), nil // an opt, as the asset canister has it
		}
		return candid.MustMarshal(out), nil
	default:
		return nil, &envelope.Reject{Code: 5, Message: "no such method", ErrorCode: "IC0536"}
	}
	var req httpcert.Request
	if err := candid.Unmarshal(arg, &req); err != nil {
		return nil, &envelope.Reject{Code: 5, Message: err.Error()}
	}
	w.seen = append(w.seen, req)
	if strings.HasPrefix(req.URL, "/trap") {
		return nil, &envelope.Reject{Code: 5, Message: "<b>it trapped</b>", ErrorCode: "IC0503"}
	}
	if strings.HasPrefix(req.URL, "/nonsense") {
		return []byte("DIDL\x00\x01\x7d\x05"), nil
	}
	if req.Method == "POST" {
		yes := true
		return candid.MustMarshal(reply{Upgrade: &yes}), nil
	}
	key := req.URL
	if r, ok := httpcert.Get(req.Headers, "range"); ok && w.pages[key+" "+r] != nil {
		key += " " + r
	}
	p := w.pages[key]
	if p == nil {
		p = w.pages["*"]
	}
	if p == nil {
		return candid.MustMarshal(reply{Status: 404, Body: []byte("uncertified")}), nil
	}
	r := reply{Status: p.status, Headers: slices.Clone(p.headers), Body: []byte(p.body)}
	if p.stream > 0 {
		method := "stream"
		if p.stream%2 == 0 {
			method = "stream_opt"
		}
		owner := site
		if p.wrong.Len() > 0 {
			owner = p.wrong
		}
		r.Body = r.Body[:part]
		r.Streaming = &strategy{Callback: &callback{streamFunc{candid.Func{Principal: owner, Method: method}}, token{Key: key, Index: candid.NatFromUint64(1)}}}
	}
	path, _, _ := httpcert.SplitURL(req.URL)
	h := &httpcert.Header{Version: 1, Certificate: dataCertificate(w.Subnet, site)}
	var reveal [][][]byte
	if p.path == nil {
		reveal = [][][]byte{hashtree.Path(httpcert.LabelAssets, path), hashtree.Path(httpcert.LabelAssets, "/index.html")}
	} else {
		h.Version, h.Path = 2, p.path
		reveal = [][][]byte{hashtree.Path(p.path...), hashtree.Path(httpcert.ExactPath(path)...)}
		for _, m := range httpcert.MoreSpecific(httpcert.Segments(path), p.path[1:len(p.path)-1]) {
			reveal = append(reveal, hashtree.Path(slices.Concat([]string{httpcert.LabelExpressions}, m, []string{httpcert.Wildcard})...))
		}
	}
	h.Tree = httpcert.EncodeTree(w.tree.Witness(reveal...))
	if w.stale > 0 {
		w.stale--
		h.Tree = httpcert.EncodeTree(w.tree.Insert(hashtree.Path("newer"), nil).Witness(reveal...))
	}
	if w.cert != nil {
		h.Certificate = w.cert()
	}
	if w.lie != nil {
		w.lie(&req, &r, h)
	}
	if h != nil && h.Certificate != nil {
		r.Headers = append(r.Headers, httpcert.HeaderField{Name: "IC-Certificate", Value: h.String()})
	}
	return candid.MustMarshal(r), nil
}

func (w *world) updateCall(_ principal.Principal, method string, arg []byte) ([]byte, error) {
	if method != "http_request_update" {
		return nil, &envelope.Reject{Code: 5, Message: "no such method", ErrorCode: "IC0536"}
	}
	var req httpcert.UpdateRequest
	if err := candid.Unmarshal(arg, &req); err != nil {
		return nil, &envelope.Reject{Code: 5, Message: err.Error()}
	}
	if strings.HasPrefix(req.URL, "/reject") {
		return nil, &envelope.Reject{Code: 4, Message: "not today"}
	}
	return candid.MustMarshal(w.update(&req)), nil
}

type result struct {
	status int
	header nethttp.Header
	body   string
	err    error // of reading the body
}

func (w *world) do(method, host, url string, body io.Reader, headers ...string) result {
	w.t.Helper()
	r, err := nethttp.NewRequest(method, w.srv.URL+url, body)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	client := &nethttp.Client{CheckRedirect: func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse },
		Transport: &nethttp.Transport{DisableCompression: true, DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		return result{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return result{res.StatusCode, res.Header, string(b), err}
}

func host(id principal.Principal) string { return id.String() + ".localhost:4943" }

func (w *world) get(url string, headers ...string) result {
	w.t.Helper()
	return w.do("GET", host(site), url, nil, headers...)
}

func TestPages(t *testing.T) {
	w := start(t, nil)
	w.put("/", v2(httpcert.ExactPath("/"), "<h1>home</h1>", httpcert.HeaderField{Name: "Set-Cookie", Value: "a=1; Path=/; Domain=localhost; HttpOnly"},
		httpcert.HeaderField{Name: "Connection", Value: "close, X-Hop"}, httpcert.HeaderField{Name: "X-Hop", Value: "1"}, httpcert.HeaderField{Name: "X-Page", Value: "yes"}))
	missing := v2(httpcert.WildcardPath(""), "no such page")
	missing.status = 404
	w.put("*", missing)
	moved := v2(httpcert.ExactPath("/old"), "")
	moved.status, moved.headers = 308, append(moved.headers, httpcert.HeaderField{Name: "Location", Value: "/new"})
	w.put("/old", moved)
	fresh := v2(httpcert.ExactPath("/fresh"), "")
	fresh.status = 304
	w.put("/fresh", fresh)
	w.put("/live", &page{expr: httpcert.SkipExpression, path: httpcert.ExactPath("/live"), body: "anything", headers: []httpcert.HeaderField{textHTML}})

	r := w.get("/", "Cookie", "a=1", "Accept-Encoding", "gzip", "X-Request", "1", "Keep-Alive", "5")
	if r.status != 200 || r.body != "<h1>home</h1>" || r.header.Get("Content-Type") != "text/html" || r.header.Get("X-Page") != "yes" {
		t.Fatalf("%+v", r)
	}
	if h := r.header; h.Get("Set-Cookie") != "a=1; Path=/; HttpOnly" || h.Get("X-Hop") != "" || h.Get("Ic-Certificate") != "" || h.Get("Content-Length") != "13" ||
		h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Ic-Canister-Id") != site.String() {
		t.Errorf("headers %v", h)
	}
	req := w.seen[0]
	if *req.CertificateVersion != 2 || req.Method != "GET" || req.URL != "/" {
		t.Errorf("the canister saw %+v", req)
	}
	for name, want := range map[string]string{"host": host(site), "cookie": "a=1", "accept-encoding": "gzip, identity", "x-request": "1", "keep-alive": ""} {
		if got, _ := httpcert.Get(req.Headers, name); got != want {
			t.Errorf("the canister saw %s: %q, want %q", name, got, want)
		}
	}
	if r := w.do("HEAD", host(site), "/", nil); r.status != 200 || r.body != "" || r.header.Get("Content-Length") != "13" || w.seen[1].Method != "HEAD" {
		t.Errorf("HEAD: %+v", r)
	}
	for url, want := range map[string]string{"/nowhere": "404 no such page", "/a//b%20c?d=e": "404 no such page", "/old": "308 ", "/fresh": "304 ", "/live": "200 anything"} {
		if r := w.get(url); fmt.Sprint(r.status, " ", r.body) != want {
			t.Errorf("%s: %+v, want %s", url, r, want)
		}
	}
	if got := w.seen[slices.IndexFunc(w.seen, func(r httpcert.Request) bool { return strings.HasPrefix(r.URL, "/a") })].URL; got != "/a//b%20c?d=e" {
		t.Errorf("the canister saw the URL %q", got)
	}
}

func TestHosts(t *testing.T) {
	w := start(t, nil)
	w.put("/", v2(httpcert.ExactPath("/"), "home", httpcert.HeaderField{Name: "Set-Cookie", Value: "a=1"}))
	w.pages["/?canisterId="+site.String()] = w.pages["/"]
	w.put("/app.js", v2(httpcert.ExactPath("/app.js"), "script"))
	named := "/?canisterId=" + site.String()
	for _, c := range []struct {
		host, url string
		headers   []string
		status    int
		body      string
	}{
		{host(site), "/", nil, 200, "home"},
		{strings.ToUpper(host(site)), "/", nil, 200, "home"},
		{site.String() + ".localhost", "/", nil, 200, "home"},
		{"localhost:4943", named, nil, 200, "home"},
		{"127.0.0.1:4943", named, nil, 200, "home"},
		{"[::1]:4943", named, nil, 200, "home"},
		{"localhost:4943", "/app.js", []string{"Referer", "http://localhost:4943" + named}, 200, "script"},
		{"localhost:4943", "/app.js", []string{"Referer", "http://elsewhere:4943" + named}, 404, "page not found"},
		{"localhost:4943", "/app.js", []string{"Referer", "http://localhost:4943" + named, "Service-Worker", "script"}, 403, "No service workers"},
		{"localhost:4943", "/", nil, 404, "This is a fusion replica"},
		{"localhost:4943", "/?canisterId=x", nil, 400, "not a canister id"},
		{"nonsense.localhost", "/", nil, 400, "not a canister id"},
		{"www." + host(site), "/", nil, 400, "not a canister id"},
		{".localhost", "/", nil, 421, ""},
		{host(outside), "/", nil, 404, "not on this subnet"},
		{host(nobody), "/", nil, 404, "There is no canister"},
		{host(mute), "/", nil, 404, "no method http_request"},
		{"example.org", "/", nil, 421, "not served here"},
		{site.String() + ".example.org", "/", nil, 421, "not served here"},
		{host(site), "/api/v2/status", nil, 200, "root_key"},
		{host(site), "/health", nil, 503, "not certify"},
		{"localhost:4943", "/health", nil, 200, "healthy"},
		{host(site), "/ready", nil, 503, "not certify"},
		{"localhost:4943", "/ready", nil, 200, "ready"},
	} {
		r := w.do("GET", c.host, c.url, nil, c.headers...)
		if r.status != c.status || !strings.Contains(r.body, c.body) {
			t.Errorf("%s%s: %d %q %v, want %d %q", c.host, c.url, r.status, r.body, r.err, c.status, c.body)
		}
		if strings.Contains(c.url, "canisterId") && r.header.Get("Set-Cookie") != "" {
			t.Errorf("%s%s sets a cookie for all canisters", c.host, c.url)
		}
	}
	w.do("GET", "localhost:4943", named, nil, "Cookie", "secret=1")
	if _, ok := httpcert.Get(w.seen[len(w.seen)-1].Headers, "cookie"); ok {
		t.Error("a canister on the shared host sees cookies")
	}
	if r := w.do("GET", host(site), "/", nil, "X-Bytes", "\xff"); r.status != 400 {
		t.Errorf("a header that is no text: %d", r.status)
	}
	html := w.do("GET", "localhost:4943", "/?canisterId=<script>", nil, "Accept", "text/html,*/*")
	if html.header.Get("Content-Type") != "text/html; charset=utf-8" || strings.Contains(html.body, "<script>") || !strings.Contains(html.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%+v", html)
	}
}

// TestTampering lets a replica change each part of a certified response. Nothing of it may reach the reader.
func TestTampering(t *testing.T) {
	foreign := httpmem.New(2, now)
	foreign.Install(site, &httpmem.Canister{})
	for name, lie := range map[string]func(w *world){
		"body": func(w *world) {
			w.lie = func(_ *httpcert.Request, r *reply, _ *httpcert.Header) { r.Body = []byte("SECRET") }
		},
		"status": func(w *world) {
			w.lie = func(_ *httpcert.Request, r *reply, _ *httpcert.Header) { r.Status = 201 }
		},
		"header": func(w *world) {
			w.lie = func(_ *httpcert.Request, r *reply, _ *httpcert.Header) { r.Headers[0].Value = "text/javascript" }
		},
		"expression": func(w *world) {
			w.lie = func(_ *httpcert.Request, r *reply, _ *httpcert.Header) {
				r.Headers[len(r.Headers)-1].Value = httpcert.SkipExpression.String()
			}
		},
		"page of another path": func(w *world) {
			w.lie = func(_ *httpcert.Request, r *reply, h *httpcert.Header) {
				p := w.pages["/other"]
				r.Headers, r.Body, h.Path = slices.Clone(p.headers), []byte(p.body), p.path
				h.Tree = httpcert.EncodeTree(w.tree.Witness(hashtree.Path(p.path...)))
			}
		},
		"tree": func(w *world) {
			w.lie = func(_ *httpcert.Request, r *reply, h *httpcert.Header) {
				r.Body = []byte("SECRET")
				e := httpcert.ResponseOnly
				label, hash := e.Hash(), e.ResponseHash(r.Status, r.Headers, sha256.Sum256(r.Body))
				var m *hashtree.Map
				h.Tree = httpcert.EncodeTree(m.Insert(append(hashtree.Path(h.Path...), label[:], nil, hash[:]), nil).Witness(nil))
			}
		},
		"no certificate": func(w *world) {
			w.lie = func(_ *httpcert.Request, _ *reply, h *httpcert.Header) { h.Certificate = nil }
		},
		"two certificates": func(w *world) {
			w.lie = func(_ *httpcert.Request, r *reply, h *httpcert.Header) {
				r.Headers = append(r.Headers, httpcert.HeaderField{Name: "ic-certificate", Value: h.String()})
			}
		},
		"version 1":             func(w *world) { w.lie = func(_ *httpcert.Request, _ *reply, h *httpcert.Header) { h.Version = 1 } },
		"other canister's data": func(w *world) { w.cert = func() []byte { return dataCertificate(w.Subnet, other) } },
		"other subnet's key":    func(w *world) { w.cert = func() []byte { return dataCertificate(foreign, site) } },
		"broken signature": func(w *world) {
			w.cert = func() []byte {
				c, _ := certificate.Parse(dataCertificate(w.Subnet, site))
				c.Signature = bytes.Clone(c.Signature)
				c.Signature[10] ^= 1
				return c.Encode()
			}
		},
		"garbage": func(w *world) { w.cert = func() []byte { return []byte("not cbor") } },
		"old certificate": func(w *world) {
			old := dataCertificate(w.Subnet, site)
			w.cert = func() []byte { return old }
			w.SetTime(now + uint64(5*time.Minute) + 1)
		},
		"certificate of later": func(w *world) {
			w.SetTime(now + uint64(10*time.Minute))
			later := dataCertificate(w.Subnet, site)
			w.cert = func() []byte { return later }
			w.SetTime(now)
		},
		"always a newer state": func(w *world) { w.stale = 1 << 30 },
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, nil)
			root := sha256.Sum256(nil)
			foreign.SetTree(root[:], []byte("canister"), site.Bytes(), []byte("certified_data"))
			w.SetTree(root[:], []byte("canister"), other.Bytes(), []byte("certified_data"))
			w.put("/", v2(httpcert.ExactPath("/"), "SECRET page"))
			w.put("/other", v2(httpcert.ExactPath("/other"), "SECRET other"))
			if r := w.get("/"); r.status != 200 || r.body != "SECRET page" {
				t.Fatalf("before: %+v", r)
			}
			lie(w)
			if name == "other subnet's key" {
				d := w.tree.Digest()
				foreign.SetTree(d[:], []byte("canister"), site.Bytes(), []byte("certified_data"))
			}
			r := w.get("/", "Accept", "text/html")
			if r.status != 503 || strings.Contains(r.body, "SECRET") || r.header.Get("Content-Type") != "text/html; charset=utf-8" || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %s", r.status, r.body)
			}
			if raw := w.do("GET", site.String()+".raw.localhost:4943", "/", nil); raw.status == 503 {
				t.Errorf("raw: %+v", raw)
			}
		})
	}
}

// A query may see a state that is milliseconds ahead of the certified one; that is no lie.
func TestStateAheadOfCertificate(t *testing.T) {
	w := start(t, nil)
	w.put("/", v2(httpcert.ExactPath("/"), "home"))
	w.stale = 2
	if r := w.get("/"); r.status != 200 || len(w.seen) != 3 {
		t.Errorf("%d after %d queries", r.status, len(w.seen))
	}
}

func TestVersion1(t *testing.T) {
	w := start(t, nil)
	cached := httpcert.HeaderField{Name: "Cache-Control", Value: "max-age=31536000"}
	w.put("/index.html", &page{body: "index", headers: []httpcert.HeaderField{textHTML, cached, {Name: "Set-Cookie", Value: "a=1"}}})
	w.put("/app.js", &page{body: "script", headers: []httpcert.HeaderField{{Name: "Content-Type", Value: "text/javascript"}}})
	w.mu.Lock()
	w.pages["*"] = w.pages["/index.html"]
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("script"))
	_ = z.Close()
	w.mu.Unlock()
	for url, want := range map[string]string{"/index.html": "index", "/app.js?v=2": "index", "/app.js": "script", "/route": "index"} {
		r := w.get(url)
		if url == "/app.js?v=2" { // the canister's own choice: the index page for a script is what the tree does not allow
			if r.status != 503 {
				t.Errorf("%s: %+v", url, r)
			}
			continue
		}
		if r.status != 200 || r.body != want || r.header.Get("Cache-Control") != "no-cache" || r.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %+v", url, r)
		}
	}
	w.lie = func(_ *httpcert.Request, r *reply, _ *httpcert.Header) {
		r.Headers = append(r.Headers, httpcert.HeaderField{Name: "Last-Modified", Value: "Thu, 01 Jan 1970 00:00:00 GMT"}, httpcert.HeaderField{Name: "NEL", Value: "{}"})
	}
	if r := w.get("/app.js"); r.status != 200 || r.header.Get("Last-Modified") != "" || r.header.Get("NEL") != "" || r.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("a replica makes it last: %+v", r)
	}
	w.lie = func(_ *httpcert.Request, r *reply, _ *httpcert.Header) {
		r.Body, r.Headers = zipped.Bytes(), append(r.Headers, httpcert.HeaderField{Name: "Content-Encoding", Value: "gzip"})
	}
	if r := w.get("/app.js", "Accept-Encoding", "gzip"); r.status != 200 || r.body != zipped.String() || r.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("compressed: %+v", r)
	}
	w.lie = func(_ *httpcert.Request, r *reply, _ *httpcert.Header) {
		r.Status, r.Headers = 302, append(r.Headers, httpcert.HeaderField{Name: "Location", Value: "http://evil"})
	}
	if r := w.get("/app.js"); r.status != 502 || r.header.Get("Location") != "" {
		t.Errorf("a redirect: %+v", r)
	}
	w.lie = nil
	offer := func(list string) {
		w.SetTree([]byte(list), []byte("canister"), site.Bytes(), []byte("metadata"), []byte("supported_certificate_versions"))
	}
	for list, want := range map[string]int{"1": 200, "1,2": 503, "2": 503, "garbage": 503} {
		if offer(list); w.get("/app.js").status != want {
			t.Errorf("offers %q: want %d", list, want)
		}
	}
	offer("1")
	w.Install(site, &httpmem.Canister{Query: w.query, Private: map[string]bool{"supported_certificate_versions": true}})
	if r := w.get("/app.js"); r.status != 503 {
		t.Errorf("a private list: %d", r.status)
	}
}

func TestFullCertification(t *testing.T) {
	w := start(t, nil)
	full := httpcert.Expression{Request: &httpcert.RequestPart{Headers: []string{"x-tenant"}, Query: []string{"id"}}, Headers: []string{"Content-Type"}}
	p := &page{expr: full, path: httpcert.ExactPath("/item"), body: "item 1", headers: []httpcert.HeaderField{textHTML, {Name: "X-Uncertified", Value: "1"}},
		request: &httpcert.Request{Method: "GET", URL: "/item?id=1", Headers: []httpcert.HeaderField{{Name: "X-Tenant", Value: "a"}}}}
	w.put("/item?id=1", p)
	for _, url := range []string{"/item?id=1&x=2", "/item?id=2", "/item"} {
		w.pages[url] = p
	}
	if r := w.get("/item?id=1", "X-Tenant", "a"); r.status != 200 || r.body != "item 1" || r.header.Get("X-Uncertified") != "" {
		t.Errorf("%+v", r)
	}
	if r := w.get("/item?id=1&x=2", "X-Tenant", "a"); r.status != 200 {
		t.Errorf("a parameter that is not certified: %d", r.status)
	}
	for name, r := range map[string]result{"query": w.get("/item?id=2", "X-Tenant", "a"), "no query": w.get("/item", "X-Tenant", "a"), "header": w.get("/item?id=1", "X-Tenant", "b"),
		"no header": w.get("/item?id=1"), "method": w.do("PUT", host(site), "/item?id=1", nil, "X-Tenant", "a"), "body": w.do("GET", host(site), "/item?id=1", strings.NewReader("x"), "X-Tenant", "a")} {
		if r.status != 503 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
}

func TestStreaming(t *testing.T) {
	w := start(t, func(c *gateway.Config) { c.MaxBody, c.MaxParts = 1000, 50 })
	long := strings.Repeat("0123456789", 4) + "end"
	for url, p := range map[string]*page{"/odd": {stream: 3, body: long[:40]}, "/even": {stream: 4, body: long}, "/v1": {stream: 3, body: long[:35]}} {
		if url != "/v1" {
			p.expr, p.path = httpcert.ResponseOnly, httpcert.ExactPath(url)
		}
		w.put(url, p)
		if r := w.get(url); r.status != 200 || r.body != p.body {
			t.Errorf("%s: %+v", url, r)
		}
	}
	w.put("/wrong", &page{expr: httpcert.ResponseOnly, path: httpcert.ExactPath("/wrong"), stream: 3, body: long, wrong: other})
	w.put("/many", &page{expr: httpcert.ResponseOnly, path: httpcert.ExactPath("/many"), stream: 60, body: strings.Repeat("x", 610)})
	w.put("/large", &page{expr: httpcert.ResponseOnly, path: httpcert.ExactPath("/large"), body: strings.Repeat("x", 1001)})
	for url, words := range map[string]string{"/wrong": "function of canister", "/many": "more than 50 parts", "/large": "too large"} {
		if r := w.get(url); r.status != 502 || !strings.Contains(r.body, words) {
			t.Errorf("%s: %+v", url, r)
		}
	}
	// A part that is not the certified one.
	w.mu.Lock()
	w.hook = func(method string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if method == "stream" {
			w.pages["/odd"].body = "0123456789TAMPERED!!TAMPERED!!TAMPERED!!"
		}
	}
	w.mu.Unlock()
	if r := w.get("/odd"); r.status != 503 || strings.Contains(r.body, "TAMPERED") {
		t.Errorf("a changed part: %+v", r)
	}
}

// TestSlow asks canisters that do not answer, at once or in the middle of a body: each query has a time of its own, and all of them together have one.
func TestSlow(t *testing.T) {
	for name, limit := range map[string]func(*gateway.Config){
		"one query":   func(c *gateway.Config) { c.QueryTimeout, c.FetchTimeout = 20*time.Millisecond, time.Hour },
		"all queries": func(c *gateway.Config) { c.QueryTimeout, c.FetchTimeout = time.Hour, 20*time.Millisecond },
	} {
		w := start(t, limit)
		w.put("/", &page{expr: httpcert.ResponseOnly, path: httpcert.ExactPath("/"), stream: 3, body: strings.Repeat("0123456789", 4)})
		for _, method := range []string{"http_request", "stream"} {
			w.set(func() { w.stuck = method })
			if r := w.get("/"); r.status != 503 || !strings.Contains(r.body, "took too long") {
				t.Errorf("%s, %s: %+v", name, method, r)
			}
		}
	}
}

// pieces is a connection that remembers how much was written within each deadline.
type pieces struct {
	*httptest.ResponseRecorder
	sizes []int
}

func (p *pieces) SetWriteDeadline(time.Time) error { p.sizes = append(p.sizes, 0); return nil }

func (p *pieces) Write(b []byte) (int, error) {
	p.sizes[len(p.sizes)-1] += len(b)
	return p.ResponseRecorder.Write(b)
}

// TestSlowReader checks that a large page has more time than a small one: what counts is that the reader goes on.
func TestSlowReader(t *testing.T) {
	w := start(t, nil)
	body := strings.Repeat("0123456789", 350_000)
	w.put("/", &page{expr: httpcert.ResponseOnly, path: httpcert.ExactPath("/"), body: body})
	out := &pieces{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = host(site)
	gateway.New(w, gateway.Config{}).ServeHTTP(out, r)
	if out.Code != 200 || out.Body.String() != body || slices.Max(out.sizes) > 1<<20 {
		t.Errorf("%d, %d bytes, written in %v", out.Code, out.Body.Len(), out.sizes)
	}
}

// file certifies a body in ranges of 10 bytes.
func (w *world) file(url, body string, skip int) {
	e := httpcert.Expression{Request: &httpcert.RequestPart{Headers: []string{"range"}}, Exclude: true}
	for begin := 0; begin < len(body); begin += part {
		end := min(begin+part, len(body))
		p := &page{expr: e, path: httpcert.ExactPath(url), status: 206, body: body[begin:end], request: &httpcert.Request{Method: "GET"},
			headers: []httpcert.HeaderField{{Name: "Content-Type", Value: "video/mp4"}, {Name: "Content-Range", Value: fmt.Sprintf("bytes %d-%d/%d", begin, end-1, len(body))}}}
		key := url
		if begin > 0 {
			rng := fmt.Sprintf("bytes=%d-", begin)
			p.request.Headers = []httpcert.HeaderField{{Name: "range", Value: rng}}
			key += " " + rng
		}
		if begin/part != skip {
			w.put(key, p)
		}
	}
}

func TestRanges(t *testing.T) {
	w := start(t, func(c *gateway.Config) { c.MaxBody = 20; c.MaxParts = 9 })
	body := "the whole of a body, much longer than what is held back"
	w.file("/film", body, -1)
	if r := w.get("/film"); r.status != 200 || r.body != body || r.header.Get("Content-Range") != "" || r.header.Get("Content-Length") != fmt.Sprint(len(body)) || r.err != nil {
		t.Errorf("%+v", r)
	}
	if r := w.get("/film", "Range", "bytes=20-"); r.status != 206 || r.body != body[20:30] || r.header.Get("Content-Range") != fmt.Sprintf("bytes 20-29/%d", len(body)) {
		t.Errorf("%+v", r)
	}
	if r := w.get("/film", "Range", "bytes=21-"); r.status != 503 {
		t.Errorf("a range that is not certified: %+v", r)
	}
	// A range that lies is not passed on, and the reader can tell that something is missing.
	tampered := func(change func(r *reply)) func(*httpcert.Request, *reply, *httpcert.Header) {
		return func(req *httpcert.Request, r *reply, _ *httpcert.Header) {
			if v, _ := httpcert.Get(req.Headers, "range"); v == "bytes=30-" {
				change(r)
			}
		}
	}
	w.set(func() { w.lie = tampered(func(r *reply) { r.Body = []byte("TAMPERED!!") }) })
	if r := w.get("/film"); r.err == nil || strings.Contains(r.body, "TAMPERED") || r.body != body[:30] {
		t.Errorf("a changed range: %+v", r)
	}
	w.set(func() { w.lie = nil })
	// Another file's range, certified too, is not taken for this one's.
	w.file("/gap", strings.Repeat("g", 40), 2)
	w.set(func() { w.pages["/gap bytes=20-"] = w.pages["/gap bytes=10-"] })
	if r := w.get("/gap"); r.err == nil || len(r.body) != 20 {
		t.Errorf("a range twice: %+v", r)
	}
	w.file("/long", strings.Repeat("l", 100), -1)
	if r := w.get("/long"); r.err == nil || len(r.body) != 90 {
		t.Errorf("too many ranges: %d bytes, %v", len(r.body), r.err)
	}
	for _, bad := range []string{"bytes 0-9", "bytes 0-9/x", "bytes 5-9/20", "bytes 0-8/20", "bytes 9-0/20", "bytes 0-9/5", "lines 0-9/20", "bytes 0-9/99999999999999", "bytes -0-9/20", ""} {
		p := v2(httpcert.ExactPath("/bad"), "0123456789", httpcert.HeaderField{Name: "Content-Range", Value: bad})
		p.status = 206
		w.put("/bad", p)
		if r := w.get("/bad"); r.status != 502 {
			t.Errorf("%q: %+v", bad, r)
		}
	}
}

func TestUpgrade(t *testing.T) {
	w := start(t, nil)
	var got httpcert.UpdateRequest
	w.update = func(r *httpcert.UpdateRequest) reply {
		got = *r
		return reply{Status: 201, Headers: []httpcert.HeaderField{{Name: "X-From", Value: "consensus"}, {Name: "Location", Value: "/1"}}, Body: []byte("done")}
	}
	r := w.do("POST", host(site), "/form?x=1", strings.NewReader("a=1"), "Content-Type", "text/plain")
	if r.status != 201 || r.body != "done" || r.header.Get("X-From") != "consensus" || r.header.Get("Location") != "/1" {
		t.Errorf("%+v", r)
	}
	if mime, _ := httpcert.Get(got.Headers, "content-type"); got.Method != "POST" || got.URL != "/form?x=1" || string(got.Body) != "a=1" || mime != "text/plain" {
		t.Errorf("the canister saw %+v", got)
	}
	w.update = func(*httpcert.UpdateRequest) reply {
		return reply{Status: 200, Streaming: &strategy{Callback: &callback{Callback: streamFunc{candid.Func{Principal: site, Method: "stream"}}}}}
	}
	for url, want := range map[string]struct {
		status int
		words  string
	}{"/stream": {502, "update call streams"}, "/reject": {502, "not today"}} {
		if r := w.do("POST", host(site), url, nil); r.status != want.status || !strings.Contains(r.body, want.words) {
			t.Errorf("%s: %+v", url, r)
		}
	}
}

// An update call that is not answered in time may still be executed, and the reader is told so.
func TestUpgradeUnanswered(t *testing.T) {
	w := start(t, func(c *gateway.Config) { c.CallTimeout = 50 * time.Millisecond })
	w.Manual = true
	if r := w.do("POST", host(site), "/form", nil); r.status != 503 || !strings.Contains(r.body, "may still take effect") || w.Pending() != 1 {
		t.Errorf("%+v", r)
	}
}

func TestFailures(t *testing.T) {
	w := start(t, func(c *gateway.Config) { c.MaxRequest = 100 })
	for url, want := range map[string]struct {
		status int
		words  string
	}{"/trap": {502, "it trapped"}, "/nonsense": {502, "does not follow"}, "/uncertified": {503, ".raw"}} {
		r := w.get(url, "Accept", "text/html")
		if r.status != want.status || !strings.Contains(r.body, want.words) || strings.Contains(r.body, "<b>") || strings.Contains(r.body, "goroutine") {
			t.Errorf("%s: %+v", url, r)
		}
	}
	if r := w.do("PUT", host(site), "/", strings.NewReader(strings.Repeat("x", 101))); r.status != 413 {
		t.Errorf("a large request: %d", r.status)
	}
	for err, want := range map[error]int{replicahttp.ErrBusy: 429, replicahttp.ErrUnavailable: 503, context.DeadlineExceeded: 503, errors.New("disk on fire"): 500,
		error(&envelope.Reject{Code: 2, Message: "out of cycles"}): 503} {
		w.set(func() { w.fail = fmt.Errorf("failed: %w", err) })
		r := w.get("/")
		if r.status != want || (want == 429 || want == 503) != (r.header.Get("Retry-After") != "") || strings.Contains(r.body, "fire") {
			t.Errorf("%v: %+v", err, r)
		}
	}
}

func TestBadResponses(t *testing.T) {
	w := start(t, nil)
	for name, p := range map[string]*page{
		"status 100": {status: 100}, "status 99": {status: 99}, "status 600": {status: 600},
		"header name":  {headers: []httpcert.HeaderField{{Name: "a b", Value: "1"}}},
		"header value": {headers: []httpcert.HeaderField{{Name: "a", Value: "1\r\nb: 2"}}},
		"headers":      {headers: slices.Repeat([]httpcert.HeaderField{{Name: "a", Value: strings.Repeat("1", 1000)}}, 66)},
	} {
		p.expr, p.path = httpcert.ResponseOnly, httpcert.ExactPath("/")
		w.put("/", p)
		if r := w.get("/"); r.status != 502 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	w.put("/untyped", &page{expr: httpcert.ResponseOnly, path: httpcert.ExactPath("/untyped"), body: "<script>"})
	if r := w.get("/untyped"); r.status != 200 || r.header.Get("Content-Type") != "" {
		t.Errorf("a type was guessed: %+v", r)
	}
}

// One request more than allowed is turned away, and the slot is free again afterwards.
func TestLimits(t *testing.T) {
	w := start(t, func(c *gateway.Config) { c.MaxRequests = 1; c.MaxHeld = 5 })
	w.put("/", v2(httpcert.ExactPath("/"), "home"))
	w.put("/more", v2(httpcert.ExactPath("/more"), "more than five bytes"))
	entered, leave := make(chan struct{}), make(chan struct{})
	w.hook = func(string) { // before the first request
		entered <- struct{}{}
		<-leave
	}
	first := make(chan result)
	go func() { first <- w.get("/") }()
	<-entered
	if r := w.get("/"); r.status != 429 {
		t.Errorf("%+v", r)
	}
	w.set(func() { w.hook = nil })
	close(leave)
	if r := <-first; r.status != 200 {
		t.Errorf("%+v", r)
	}
	if r := w.get("/more"); r.status != 503 || !strings.Contains(r.body, "large pages") {
		t.Errorf("%+v", r)
	}
	if r := w.get("/"); r.status != 200 {
		t.Errorf("after: %+v", r)
	}
}

// TestNotReady asks before the subnet has a key.
func TestNotReady(t *testing.T) {
	g := gateway.New(keyless{httpmem.New(1, now)}, gateway.Config{Log: slog.New(slog.DiscardHandler)})
	rec := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/", nil)
	req.Host = host(site)
	g.ServeHTTP(rec, req)
	if rec.Code != 503 || !strings.Contains(rec.Body.String(), "generating a key") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

type keyless struct{ *httpmem.Subnet }

func (keyless) RootKeyDER() []byte { return nil }
func (keyless) Health() string     { return "generating a key" }
