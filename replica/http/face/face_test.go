package face

import (
	"encoding/json"
	"io/fs"
	nethttp "net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"fusion/replica/http/gateway"
)

func newFace(mode Mode, state func() State) *Face {
	return New(Config{Mode: mode, Domains: []string{"localhost"}, State: state, Next: gateway.New(nil, gateway.Config{Domains: []string{"localhost"}})})
}

func get(f *Face, url string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(nethttp.MethodGet, url, nil))
	return w
}

func TestClaims(t *testing.T) {
	const canister = "mxzaz-hqaaa-aaaar-qaada-cai"
	for _, c := range []struct {
		url   string
		mine  bool
		modes []Mode
	}{
		{"http://127.0.0.1:4943/", true, []Mode{ReadOnly, Wallet}},
		{"http://localhost/dashboard/app.js", true, []Mode{ReadOnly, Wallet}},
		{"http://dashboard.localhost:4943/", true, []Mode{ReadOnly, Wallet}},
		{"http://DASHBOARD.localhost:4943/?canisterId=" + canister, true, []Mode{ReadOnly, Wallet}}, // no canister is shown at the wallet's origin
		{"http://dashboard.localhost/elsewhere", true, []Mode{ReadOnly, Wallet}},
		{"http://dashboard.localhost/api/v2/status", false, []Mode{ReadOnly, Wallet}},
		{"http://dashboard.localhost/health", false, []Mode{ReadOnly, Wallet}},
		{"http://localhost/?canisterId=" + canister, false, []Mode{ReadOnly, Wallet}},
		{"http://" + canister + ".localhost/", false, []Mode{ReadOnly, Wallet}},
		{"http://" + canister + ".localhost/dashboard/app.js", false, []Mode{ReadOnly, Wallet}},
		{"http://localhost/elsewhere", false, []Mode{ReadOnly, Wallet}},
		{"http://localhost/", false, []Mode{Off}},
		{"http://dashboard.localhost/", false, []Mode{Off}},
	} {
		for _, m := range c.modes {
			if got := newFace(m, nil).mine(httptest.NewRequest(nethttp.MethodGet, c.url, nil)); got != c.mine {
				t.Errorf("%s %s: claimed is %v", m, c.url, got)
			}
		}
	}
}

func TestFilesAndHeaders(t *testing.T) {
	f := newFace(ReadOnly, nil)
	for url, kind := range map[string]string{"/": "text/html; charset=utf-8", "/dashboard/app.js": "text/javascript; charset=utf-8", "/dashboard/style.css": "text/css; charset=utf-8",
		"/dashboard/icon.svg": "image/svg+xml"} {
		w := get(f, "http://localhost"+url)
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || w.Header().Get("Content-Security-Policy") != policy || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", url, w.Code, w.Header())
		}
		r := httptest.NewRequest(nethttp.MethodGet, "http://localhost"+url, nil)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		again := httptest.NewRecorder()
		if f.ServeHTTP(again, r); again.Code != nethttp.StatusNotModified {
			t.Errorf("%s is sent again to those who have it: %d", url, again.Code)
		}
	}
	for _, url := range []string{"/dashboard/", "/dashboard/nothing.js", "/dashboard/../face.go"} {
		if w := get(f, "http://dashboard.localhost"+url); w.Code != 404 || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d", url, w.Code)
		}
	}
	w := httptest.NewRecorder()
	if f.ServeHTTP(w, httptest.NewRequest(nethttp.MethodPost, "http://localhost/", nil)); w.Code != nethttp.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	for _, bad := range []string{"unsafe-inline", "unsafe-eval", "*", "http"} {
		if strings.Contains(policy, bad) {
			t.Errorf("the policy has %s", bad)
		}
	}
}

// markup is what would turn text into markup or script, or call somebody else.
var markup = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|style="|<script>|javascript:|https?://[^w]|\son\w+="`)

func TestTheWebFilesMakeNoMarkupAndKnowNobodyElse(t *testing.T) {
	seen := 0
	err := fs.WalkDir(web, "web", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := web.ReadFile(p)
		seen++
		if found := markup.Find(b); found != nil {
			t.Errorf("%s has %s", p, found)
		}
		return err
	})
	if err != nil || seen < 4 {
		t.Fatal(seen, err)
	}
}

func TestState(t *testing.T) {
	asked := 0
	now := time.Unix(1_700_000_000, 0)
	f := newFace(Wallet, func() State { asked++; return State{Network: "local-1", Height: uint64(asked)} })
	f.cfg.Now = func() time.Time { return now }
	read := func(url string) (s State) {
		t.Helper()
		w := get(f, url)
		if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Fatal(err, w.Header())
		}
		return s
	}
	for range 3 {
		if s := read("http://127.0.0.1:4943/dashboard/state.json"); s.Height != 1 || s.Wallet || s.WalletURL != "http://dashboard.localhost:4943/" {
			t.Errorf("at a shared host: %+v", s)
		}
	}
	now = now.Add(StateAge)
	if s := read("http://dashboard.localhost:4943/dashboard/state.json"); s.Height != 2 || !s.Wallet || s.WalletURL != "" {
		t.Errorf("at the own host: %+v", s)
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	if s := newFace(ReadOnly, func() State { return State{} }); strings.Contains(get(s, "http://dashboard.localhost/dashboard/state.json").Body.String(), `"wallet":true`) {
		t.Error("a wallet in mode read-only")
	}
}

var run = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

func TestQR(t *testing.T) {
	f := newFace(ReadOnly, nil)
	const text = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
	w := get(f, "http://localhost/dashboard/qr.svg?text="+text)
	if w.Code != 200 || w.Header().Get("Content-Type") != "image/svg+xml" {
		t.Fatal(w.Code, w.Header())
	}
	// The picture has the modules of the code and no other.
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	runs := run.FindAllStringSubmatch(w.Body.String(), -1)
	black := map[[2]int]bool{}
	for _, m := range runs {
		x, y, n := number(t, m[1]), number(t, m[2]), number(t, m[3])
		for i := range n {
			black[[2]int{x + i - quiet, y - quiet}] = true
		}
	}
	for y := range code.Size {
		for x := range code.Size {
			if black[[2]int{x, y}] != code.Black(x, y) {
				t.Fatalf("module %d, %d is wrong", x, y)
			}
			delete(black, [2]int{x, y})
		}
	}
	if len(black) > 0 {
		t.Errorf("%d modules outside of the code", len(black))
	}
	for _, text := range []string{"", strings.Repeat("x", MaxQR+1)} {
		if w := get(f, "http://localhost/dashboard/qr.svg?text="+text); w.Code != 400 {
			t.Errorf("%d bytes: %d", len(text), w.Code)
		}
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	var n int
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestParse(t *testing.T) {
	for _, text := range []string{"off", "read-only", "wallet"} {
		if m, err := Parse(text); err != nil || string(m) != text {
			t.Error(m, err)
		}
	}
	if _, err := Parse("on"); err == nil {
		t.Error("on is a mode")
	}
}
