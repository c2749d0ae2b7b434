package http_test

import (
	"bytes"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fusion/ic/envelope"
	"fusion/ic/identity"
	"fusion/ic/principal"
	replicahttp "fusion/replica/http"
	"fusion/replica/http/httpmem"
)

// from sends a request to a handler from an address.
func from(h nethttp.Handler, addr, method, url string, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, url, bytes.NewReader(body))
	req.RemoteAddr = addr
	req.Header.Set("Content-Type", "application/cbor")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

// Too much from one client is 429 with the time to wait, which a page may read; others are served.
func TestTooManyRequests(t *testing.T) {
	clock := time.Unix(0, int64(now))
	s := httpmem.New(1, now)
	h := replicahttp.NewHandler(s, replicahttp.Config{Log: quiet(), Limits: replicahttp.Limits{ClientRate: 1, Rate: 1000}, Now: func() time.Time { return clock }})
	const client, other = "203.0.113.1:1000", "203.0.113.2:1000"
	const status = "/api/v2/status"
	for i, c := range []struct {
		addr string
		wait time.Duration
		code int
	}{{client, 0, 200}, {client, 0, 200}, {client, 0, 429}, {other, 0, 200}, {client, time.Second, 200}, {client, 0, 429}, {client, time.Hour, 200}} {
		clock = clock.Add(c.wait)
		rec := from(h, c.addr, "GET", status, nil)
		if rec.Code != c.code {
			t.Errorf("request %d: %d, want %d", i, rec.Code, c.code)
		}
		if rec.Code == 429 && (rec.Header().Get("Retry-After") != "1" || rec.Header().Get("Access-Control-Allow-Origin") != "*") {
			t.Errorf("request %d: %v", i, rec.Header())
		}
	}
}

// Requests that are dear to check are refused before they are checked, when too many are under way.
func TestFloodOfSignatures(t *testing.T) {
	s := httpmem.New(1, now)
	begun, finish := make(chan bool), make(chan bool)
	s.Install(echo, &httpmem.Canister{
		Update: func(principal.Principal, string, []byte) ([]byte, error) { return nil, nil },
		Inspect: func(_ principal.Principal, method string, _ []byte) error {
			if method == "slow" {
				begun <- true
				<-finish
			}
			return nil
		}})
	h := replicahttp.NewHandler(s, replicahttp.Config{Log: quiet(), Limits: replicahttp.Limits{Checks: 3, ClientRate: -1, Rate: -1}})
	send := func(kind envelope.RequestType, url string, method string, id identity.Identity, spoil bool) *httptest.ResponseRecorder {
		c := content(kind, echo, method, nil)
		e, err := envelope.Sign(c, id)
		if err != nil {
			t.Error(err)
		}
		if spoil {
			e.SenderSig[0] ^= 1
		}
		return from(h, "203.0.113.1:1000", "POST", url, e.Encode())
	}
	done := make(chan int)
	for range 3 {
		go func() {
			done <- send(envelope.Call, canisterURL(4, echo, "call"), "slow", controller(t), false).Code
		}()
		<-begun
	}
	// A bad signature would be 400 if anybody looked at it.
	for _, url := range []string{canisterURL(4, echo, "call"), canisterURL(2, echo, "call")} {
		if rec := send(envelope.Call, url, "quick", controller(t), true); rec.Code != 429 || rec.Header().Get("Retry-After") != "1" || !strings.Contains(rec.Body.String(), "being checked") {
			t.Errorf("%s: %d %s", url, rec.Code, rec.Body)
		}
	}
	if rec := send(envelope.Query, canisterURL(3, echo, "query"), "quick", controller(t), true); rec.Code != 429 {
		t.Errorf("query: %d %s", rec.Code, rec.Body)
	}
	for range 3 {
		finish <- true
		if code := <-done; code != 200 {
			t.Errorf("slow: %d", code)
		}
	}
	if rec := send(envelope.Call, canisterURL(4, echo, "call"), "quick", controller(t), true); rec.Code != 400 {
		t.Errorf("afterwards, forged: %d %s", rec.Code, rec.Body)
	}
	if rec := send(envelope.Call, canisterURL(4, echo, "call"), "quick", controller(t), false); rec.Code != 200 {
		t.Errorf("afterwards: %d %s", rec.Code, rec.Body)
	}
	// One that costs more than may be under way is served when nothing else is.
	if rec := send(envelope.Call, canisterURL(4, echo, "call"), "quick", s.Issuer(other, "anna"), false); rec.Code != 200 {
		t.Errorf("a canister's signature: %d %s", rec.Code, rec.Body)
	}
}
