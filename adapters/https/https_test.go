package https

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func rules(t testing.TB, list ...string) Rules {
	t.Helper()
	r, err := ParseRules(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func client(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve starts a TLS server and returns its URL and a client that may reach and trusts it.
func serve(t testing.TB, h http.HandlerFunc) (string, *Client) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	return s.URL, client(t, Config{Roots: roots(s), Allow: rules(t, "127.0.0.1")})
}

func roots(s *httptest.Server) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(s.Certificate())
	return p
}

// raw answers each connection with these bytes, then keeps it open until the test ends if hold is set.
func raw(t testing.TB, answer string, hold bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, answer)
				}
				if hold {
					<-done
				}
			})
		}
	})
	t.Cleanup(func() { close(done); l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

func get(url string) Request {
	return Request{URL: url, Method: "GET", MaxResponseBytes: 2_000_000}
}

func wants(t *testing.T, c *Client, r Request, kind error, message string) {
	t.Helper()
	res, err := c.Do(t.Context(), r)
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, kind) || !strings.HasPrefix(e.Message, message) {
		t.Errorf("%s %.60s: %+v, %v; want %v, %q", r.Method, r.URL, res, err, kind, message)
	}
}

func TestRequestAndResponse(t *testing.T) {
	url, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["Date"] = nil
		w.Header().Add("X-Two", "b")
		w.Header().Add("X-Two", "a")
		w.Header().Set("A-Header", r.Header.Get("User-Agent")+"|"+strings.Join(r.Header["X-Mine"], ",")+"|"+r.Host+"|"+r.Header.Get("Accept-Encoding"))
		w.WriteHeader(418)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RequestURI(), body)
	})
	host := strings.TrimPrefix(url, "https://")
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
		r := get(url + "/p%20q?x=1&y=%2f#fragment")
		r.Method, r.Body = method, []byte("body")
		r.Headers = []Header{{"x-mine", "1"}, {"X-MINE", "2"}, {"Content-Length", "9999"}, {"transfer-encoding", "chunked"}, {"Connection", "upgrade"}}
		res, err := c.Do(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		want := []Header{{"a-header", "ic/1.0|1,2|" + host + "|"}, {"content-length", fmt.Sprint(len(res.Body))}, {"content-type", "text/plain; charset=utf-8"}, {"x-two", "b"}, {"x-two", "a"}}
		if res.Status != 418 || fmt.Sprint(res.Headers) != fmt.Sprint(want) || string(res.Body) != method+" /p%20q?x=1&y=%2f body" {
			t.Errorf("%s: %d %v %q", method, res.Status, res.Headers, res.Body)
		}
	}
	r := get(url + "/x")
	r.Method = "HEAD"
	r.Headers = []Header{{"uSER-Agent", "mine/2"}, {"host", "elsewhere.example"}}
	res, err := c.Do(t.Context(), r)
	if err != nil || len(res.Body) != 0 || res.Headers[0].Value != "mine/2||elsewhere.example|" {
		t.Errorf("HEAD: %+v, %v", res, err)
	}
}

func TestBadRequests(t *testing.T) {
	c := client(t, Config{})
	for url, message := range map[string]string{
		"":                            "Url need to specify https scheme",
		"http://example.com":          "Url need to specify https scheme",
		"HTTP://example.com":          "Url need to specify https scheme",
		"ftp://example.com":           "Url need to specify https scheme",
		"file:///etc/passwd":          "Url need to specify https scheme",
		"//example.com/":              "Url need to specify https scheme",
		"example.com":                 "Url need to specify https scheme",
		"https://":                    "Failed to parse URL: it names no host",
		"https:///path":               "Failed to parse URL: it names no host",
		"https://:443/":               "Failed to parse URL: it names no host",
		"https:example.com":           "Failed to parse URL",
		"https://user:pw@example.com": "Failed to parse URL: it has a user",
		"https://exa mple.com":        "Failed to parse URL",
		"https://example.com:port/":   "Failed to parse URL",
		"https://[::1/":               "Failed to parse URL",
		"https://example.com/\x00":    "Failed to parse URL",
		"https://example.com/a\r\nX:": "Failed to parse URL",
		"https://example.com/%zz":     "Failed to parse URL",
	} {
		wants(t, c, get(url), ErrRequest, message)
	}
	for _, h := range []Header{{"", "x"}, {"a b", "x"}, {"a:", "x"}, {"é", "x"}, {"a", "x\r\nInjected: y"}, {"a", "x\x00"}, {"a", "x\x7f"}, {"a\n", "x"}, {"Host", "a b"}, {"Host", "a/b"}, {"Host", ""}, {"host", "a\r\nb"}} {
		r := get("https://example.com")
		r.Headers = []Header{h}
		wants(t, c, r, ErrRequest, "Failed to parse headers: ")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var visits atomic.Int32
	url, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		visits.Add(1)
		w.Header().Set("Set-Cookie", "a=b")
		http.Redirect(w, r, "/secret", http.StatusFound)
	})
	for i := range int32(2) {
		res, err := c.Do(t.Context(), get(url))
		if err != nil || res.Status != 302 || visits.Load() != i+1 {
			t.Fatalf("%+v, %v, %d visits", res, err, visits.Load())
		}
	}
}

func TestSizes(t *testing.T) {
	url, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		var n int
		switch path := r.URL.Path; {
		case path == "/headers":
			for i := range 65 {
				w.Header().Set(fmt.Sprintf("H%d", i), "x")
			}
		case path == "/value":
			w.Header().Set("H", strings.Repeat("x", 8193))
		case path == "/name":
			w.Header().Set(strings.Repeat("x", 8193), "h")
		case path == "/total":
			for i := range 7 {
				w.Header().Set(fmt.Sprintf("H%d", i), strings.Repeat("x", 8000))
			}
		case path == "/endless":
			for i := range 60 {
				w.Header().Set(fmt.Sprintf("H%d", i), strings.Repeat("x", 8000))
			}
		case path == "/bytes":
			w.Header()["H"] = []string{"\xff"}
		case path == "/zip":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte("not gzip"))
		default:
			fmt.Sscanf(path, "/%d", &n)
			if r.URL.RawQuery == "chunked" {
				w.(http.Flusher).Flush()
			}
			w.Write(bytes.Repeat([]byte("x"), n))
		}
	})
	ask := func(path string, most int64) Request { r := get(url + path); r.MaxResponseBytes = most; return r }
	wants(t, c, ask("/headers", 2_000_000), ErrTooLarge, "The response has more than 64 headers")
	wants(t, c, ask("/value", 2_000_000), ErrTooLarge, "A header of the response exceeds 8192 bytes")
	wants(t, c, ask("/name", 2_000_000), ErrTooLarge, "A header of the response exceeds 8192 bytes")
	wants(t, c, ask("/total", 2_000_000), ErrTooLarge, "The headers of the response exceed 49152 bytes")
	wants(t, c, ask("/endless", 2_000_000), ErrTooLarge, "The headers of the response exceed 49152 bytes")
	wants(t, c, ask("/bytes", 2_000_000), ErrMalformed, "Failed to parse headers")
	wants(t, c, ask("/10", 0), ErrTooLarge, "Header size exceeds specified response size limit 0")
	head := int64(len("Content-Length" + "1000"))
	wants(t, c, ask("/1000", 1000+head-1), ErrTooLarge, fmt.Sprintf("Http body exceeds size limit of %d bytes.", 1000+head-1))
	wants(t, c, ask("/1000?chunked", 999), ErrTooLarge, "Http body exceeds size limit of 999 bytes.")
	wants(t, c, ask("/3000000", 2_000_000), ErrTooLarge, "Http body exceeds size limit of 2000000 bytes.")
	wants(t, c, ask("/3000000?chunked", 2_000_000), ErrTooLarge, "Http body exceeds size limit of 2000000 bytes.")
	for path, most := range map[string]int64{"/1000": 1000 + head, "/1000?chunked": 1000, "/0": int64(len("Content-Length0")), "/1999900": 2_000_000} {
		if res, err := c.Do(t.Context(), ask(path, most)); err != nil || !strings.HasPrefix(path, fmt.Sprintf("/%d", len(res.Body))) {
			t.Errorf("%s within %d: %v", path, most, err)
		}
	}
	if res, err := c.Do(t.Context(), ask("/zip", 1000)); err != nil || string(res.Body) != "not gzip" {
		t.Errorf("compressed: %+v, %v", res, err)
	}
}

func TestMalformedResponses(t *testing.T) {
	c := client(t, Config{AllowHTTP: true, Allow: rules(t, "127.0.0.0/8"), Timeout: 20 * time.Second})
	for answer, want := range map[string]struct {
		kind    error
		message string
	}{
		"":                                   {ErrUnreachable, "Connecting to 127.0.0.1 failed: the connection was closed"},
		"SSH-2.0-OpenSSH\r\n":                {ErrMalformed, "Failed to parse the response"},
		"HTTP/1.1 abc\r\n\r\n":               {ErrMalformed, "Failed to parse the response"},
		"HTTP/1.1 200 OK\r\nbroken\r\n\r\n":  {ErrMalformed, "Failed to parse the response"},
		"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n": {ErrMalformed, "Failed to parse"},
		"HTTP/1.1 200 OK\r\nContent-Len":     {ErrMalformed, "Failed to parse the response"},
		"HTTP/1.1 200 OK\r\nX:" + strings.Repeat("x", 100_000) + "\r\n\r\n":                                   {ErrTooLarge, "The headers of the response exceed"},
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort":                                                  {ErrMalformed, "Failed to fetch body"},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx":                                        {ErrMalformed, "Failed to fetch body"},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx":                        {ErrMalformed, "Failed to fetch body"},
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd":                               {ErrMalformed, "Failed to parse the response"},
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabcd":                                          {ErrTooLarge, "Http body exceeds"},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nabcd":                                     {ErrMalformed, "Failed to parse the response"},
		strings.Repeat("HTTP/1.1 100 Continue\r\nX: "+strings.Repeat("y", 1000)+"\r\n\r\n", 200) + "HTTP/1.1": {nil, ""},
	} {
		url := raw(t, answer, false)
		if want.kind == nil { // interim responses: any failure will do
			if res, err := c.Do(t.Context(), get(url)); err == nil {
				t.Errorf("endless interim responses: %+v", res)
			}
			continue
		}
		wants(t, c, get(url), want.kind, want.message)
	}
}

func TestSlowServers(t *testing.T) {
	c := client(t, Config{AllowHTTP: true, Allow: rules(t, "127.0.0.0/8"), Timeout: 200 * time.Millisecond})
	for _, answer := range []string{"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nA: b\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"} {
		wants(t, c, get(raw(t, answer, true)), ErrTimeout, "Timeout expired")
	}
	// A handshake that never comes.
	wants(t, c, get(strings.Replace(raw(t, "", true), "http:", "https:", 1)), ErrTimeout, "Timeout expired")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(ctx, get(raw(t, "", true))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	allow := rules(t, "127.0.0.1")
	wants(t, client(t, Config{Allow: allow}), get(s.URL), ErrUnreachable, "Connecting to 127.0.0.1 failed: the certificate is not valid")
	// The certificate is for example.com and 127.0.0.1.
	c := client(t, Config{Roots: roots(s), Hosts: map[string]string{"Example.com": s.Listener.Addr().String(), "wrong.test": s.Listener.Addr().String(), "right.example.org:8443": s.Listener.Addr().String()}})
	if res, err := c.Do(t.Context(), get("https://example.com/")); err != nil || res.Status != 404 {
		t.Errorf("%+v, %v", res, err)
	}
	wants(t, c, get("https://wrong.test/"), ErrUnreachable, "Connecting to wrong.test failed: the certificate is not valid")
	wants(t, c, get("https://right.example.org:8443/"), ErrUnreachable, "Connecting to right.example.org failed: the certificate is not valid")
	plain := raw(t, "HTTP/1.1 400 Bad Request\r\n\r\n", false)
	wants(t, client(t, Config{Allow: allow}), get(strings.Replace(plain, "http:", "https:", 1)), ErrUnreachable, "Connecting to 127.0.0.1 failed: the ")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	wants(t, client(t, Config{Allow: allow}), get("https://"+l.Addr().String()), ErrUnreachable, "Connecting to 127.0.0.1 failed: Connection refused")
}

func TestPublicAddresses(t *testing.T) {
	for _, s := range []string{"1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255",
		"2606:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888", "::ffff:8.8.8.8"} {
		if !public(netip.MustParseAddr(s)) {
			t.Errorf("%s is refused", s)
		}
	}
	for _, s := range []string{"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1",
		"4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1", "::ffff:0:127.0.0.1"} {
		if public(netip.MustParseAddr(s)) {
			t.Errorf("%s passes", s)
		}
	}
}

func TestRules(t *testing.T) {
	own := func() []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("5.6.7.8"), netip.MustParseAddr("2a01::5")}
	}
	r := rules(t, "10.1.0.0/16", "192.168.7.7", "::1", "fd01::/16", "Intranet.Example.", "::ffff:172.16.0.1")
	for _, c := range []struct {
		host, addr string
		want       bool
	}{
		{"x", "10.1.2.3", true}, {"x", "10.2.2.3", false}, {"x", "::ffff:10.1.2.3", true}, {"x", "192.168.7.7", true}, {"x", "192.168.7.8", false},
		{"x", "::1", true}, {"x", "127.0.0.1", false}, {"x", "fd01::1", true}, {"x", "fd02::1", false}, {"x", "fd01::1%lo", false}, {"x", "172.16.0.1", true},
		{"intranet.example", "10.9.9.9", true}, {"INTRANET.example.", "127.0.0.1", true}, {"my.intranet.example", "10.9.9.9", false},
		{"x", "9.9.9.9", true}, {"x", "5.6.7.8", false}, {"x", "::ffff:5.6.7.8", false}, {"x", "2a01::5", false}, {"x", "2a01::6", true},
	} {
		if got := r.allow(c.host, netip.MustParseAddr(c.addr), own); got != c.want {
			t.Errorf("%s at %s: %v", c.host, c.addr, got)
		}
	}
	if !(&Rules{}).allow("x", netip.MustParseAddr("9.9.9.9"), own) || (&Rules{}).allow("x", netip.MustParseAddr("127.0.0.1"), own) {
		t.Error("the zero value allows the public internet only")
	}
	for _, bad := range []string{"", ".", "https://x", "10.0.0.0/33", "a b", "*.example.com", "fe80::1%eth0", "::ffff:10.0.0.0/104", "host:80", "[::1]"} {
		if _, err := ParseRules([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := New(Config{Hosts: map[string]string{"a": "b"}}); err == nil {
		t.Error("a host without a port is taken")
	}
}

// TestForbiddenAddresses asks for addresses as a canister could write them.
func TestForbiddenAddresses(t *testing.T) {
	var visits atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	c := client(t, Config{Roots: roots(s)})
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "127.1.2.3", "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "[64:ff9b::127.0.0.1]"} {
		r := get("https://" + host + ":" + port + "/")
		r.Headers = []Header{{"Host", "example.com"}}
		wants(t, c, r, ErrForbidden, "Connecting to ")
	}
	if visits.Load() != 0 {
		t.Errorf("%d visits", visits.Load())
	}
}

// TestRebinding resolves a name to a public address first and to a private one afterwards.
func TestRebinding(t *testing.T) {
	var visits, lookups atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	resolver := nameServer(t, func() netip.Addr { lookups.Add(1); return netip.MustParseAddr("127.0.0.1") })
	c := client(t, Config{Roots: roots(s), resolver: resolver})
	wants(t, c, get("https://example.com:"+port), ErrForbidden, "Connecting to example.com failed: its address is not on the public internet")
	if lookups.Load() == 0 || visits.Load() != 0 {
		t.Errorf("%d lookups, %d visits", lookups.Load(), visits.Load())
	}
	allowed := client(t, Config{Roots: roots(s), resolver: resolver, Allow: rules(t, "example.com")})
	if res, err := allowed.Do(t.Context(), get("https://example.com:"+port)); err != nil || res.Status != 200 {
		t.Errorf("%+v, %v", res, err)
	}
	none := client(t, Config{resolver: nameServer(t, func() netip.Addr { return netip.Addr{} })})
	wants(t, none, get("https://nowhere.test"), ErrUnreachable, "Connecting to nowhere.test failed: the name does not resolve")
}

// nameServer is a DNS server that knows one IPv4 address for every name, or none.
func nameServer(t testing.TB, address func() netip.Addr) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12
			for end < n && buf[end] != 0 {
				end += int(buf[end]) + 1
			}
			end += 5
			if end > n {
				continue
			}
			out := append([]byte{}, buf[:end]...) // header and question, without additional records
			binary.BigEndian.PutUint16(out[2:], 0x8180)
			copy(out[6:12], make([]byte, 6))
			a := address()
			switch kind := binary.BigEndian.Uint16(out[end-4:]); {
			case !a.IsValid():
				out[3] |= 3 // no such name
			case kind == 1:
				out[7] = 1
				out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				out = append(out, a.AsSlice()...)
			}
			pc.WriteTo(out, from)
		}
	})
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// FuzzResponse gives the client any bytes for a response.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nT: x\r\n\r\n", "HTTP/1.0 304 x\r\n\r\n"} {
		f.Add([]byte(s), uint16(100))
	}
	f.Fuzz(func(t *testing.T, answer []byte, most uint16) {
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			return
		}
		defer res.Body.Close()
		out, err := read(res, int64(most), "GET")
		if err != nil {
			return
		}
		total := len(out.Body)
		for _, h := range out.Headers {
			total += len(h.Name) + len(h.Value)
		}
		if total > int(most) || len(out.Headers) > maxHeaders {
			t.Fatalf("%d bytes and %d headers within %d", total, len(out.Headers), most)
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://example.com/a?b#c", "https://[::1%25eth0]:443/", "https://127.1/", "https://a@b", "https://%31%32%37.0.0.1/"} {
		f.Add(s)
	}
	c := client(f, Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		if u, err := c.parse(raw); err == nil && (u.Scheme != "https" || u.Hostname() == "" || u.User != nil) {
			t.Fatalf("%q gives %+v", raw, u)
		}
	})
}
