package http_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

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

var (
	echo    = principal.FromUint64(7)
	other   = principal.FromUint64(8)
	outside = principal.FromUint64(1 << 30)
)

// server is an interface over loopback with its subnet.
type server struct {
	t *testing.T
	*httpmem.Subnet
	url string
}

// unlimited is for tests that send from one address as fast as they can.
var unlimited = replicahttp.Limits{ClientRate: -1, Rate: -1}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func start(t *testing.T, mut func(*replicahttp.Config)) *server {
	t.Helper()
	s := httpmem.New(1, now)
	echoes := func(_ principal.Principal, method string, arg []byte) ([]byte, error) {
		if method == "fail" {
			return nil, &envelope.Reject{Code: 4, Message: "no", ErrorCode: "IC0406"}
		}
		return append([]byte(method+":"), arg...), nil
	}
	s.Install(echo, &httpmem.Canister{Update: echoes, Query: echoes, Controller: controller(t).Sender(), Private: map[string]bool{"secret": true},
		Inspect: func(_ principal.Principal, method string, _ []byte) error {
			switch method {
			case "inspected":
				return &envelope.Reject{Code: 4, Message: "refused", ErrorCode: "IC0406"}
			case "busy":
				return fmt.Errorf("pool: %w", replicahttp.ErrBusy)
			case "broken":
				return errors.New("disk on fire")
			case "panic":
				panic("disk on fire")
			}
			return nil
		}})
	cfg := replicahttp.Config{Log: quiet()}
	if mut != nil {
		mut(&cfg)
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = replicahttp.NewServer(replicahttp.NewHandler(s, cfg))
	srv.Start()
	t.Cleanup(srv.Close)
	return &server{t, s, srv.URL}
}

var (
	controllerOnce sync.Once
	controllerID   *identity.Ed25519
)

func controller(t *testing.T) identity.Identity {
	t.Helper()
	controllerOnce.Do(func() { controllerID, _ = identity.GenerateEd25519() })
	return controllerID
}

func newID(t *testing.T) identity.Identity {
	t.Helper()
	id, err := identity.GenerateSecp256k1()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func content(kind envelope.RequestType, canister principal.Principal, method string, arg []byte) envelope.Content {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	return envelope.Content{RequestType: kind, Nonce: nonce, IngressExpiry: now + uint64(time.Minute), CanisterID: canister, MethodName: method, Arg: arg}
}

func reads(paths ...[][]byte) envelope.Content {
	return envelope.Content{RequestType: envelope.ReadState, IngressExpiry: now + uint64(time.Minute), Paths: paths}
}

func (s *server) sign(c envelope.Content, id identity.Identity) *envelope.Envelope {
	s.t.Helper()
	e, err := envelope.Sign(c, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func (s *server) post(path string, body []byte) (int, []byte) {
	s.t.Helper()
	res, err := nethttp.Post(s.url+path, "application/cbor", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, out
}

func (s *server) verify(cert []byte) *certificate.Certificate {
	s.t.Helper()
	c, err := certificate.Parse(cert)
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := certificate.NewVerifier(s.RootKeyDER())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := v.Verify(c, certificate.Any); err != nil {
		s.t.Fatal(err)
	}
	if ns, err := c.Time(); err != nil || ns != now {
		s.t.Fatalf("certificate of %d: %v", ns, err)
	}
	return c
}

func lookup(c *certificate.Certificate, path ...[]byte) string {
	res, v := c.Lookup(path...)
	if res != hashtree.Found {
		return res.String()
	}
	return string(v)
}

func canisterURL(version int, id principal.Principal, kind string) string {
	return fmt.Sprintf("/api/v%d/canister/%s/%s", version, id, kind)
}

func TestStatusAndHealth(t *testing.T) {
	s := start(t, func(c *replicahttp.Config) { c.ImplVersion = "fusion/test" })
	get := func(path string) (int, []byte) {
		res, err := nethttp.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, b
	}
	code, body := get("/api/v2/status")
	st, err := envelope.DecodeStatus(body)
	if code != 200 || err != nil || !bytes.Equal(st.RootKey, s.RootKeyDER()) || st.Health != "healthy" || st.ImplVersion != "fusion/test" || st.CertifiedHeight == 0 {
		t.Errorf("%d %+v %v", code, st, err)
	}
	if code, body := get("/health"); code != 200 || string(body) != "healthy\n" {
		t.Errorf("health: %d %s", code, body)
	}
	if code, body := get("/ready"); code != 200 || string(body) != "ready\n" {
		t.Errorf("ready: %d %s", code, body)
	}
	s.SetHealth("catching up")
	if code, body := get("/ready"); code != 503 || string(body) != "catching up\n" {
		t.Errorf("ready: %d %s", code, body)
	}
	if code, body := get("/health"); code != 503 || string(body) != "catching up\n" {
		t.Errorf("health: %d %s", code, body)
	}
	for _, path := range []string{"/", "/debug/pprof/", "/_/", "/metrics", "/api/v2/canister/" + echo.String() + "/call"} {
		if code, _ := get(path); code != 404 && code != 405 {
			t.Errorf("GET %s: %d", path, code)
		}
	}
}

func TestSynchronousCall(t *testing.T) {
	s := start(t, nil)
	for _, version := range []int{3, 4} {
		for _, id := range []identity.Identity{identity.Anonymous{}, controller(t), newID(t)} {
			for method, want := range map[string]string{"greet": "greet:arg", "fail": "rejected"} {
				e := s.sign(content(envelope.Call, echo, method, []byte("arg")), id)
				code, body := s.post(canisterURL(version, echo, "call"), e.Encode())
				res, err := envelope.DecodeCallResponse(body)
				if code != 200 || err != nil || res.Reject != nil {
					t.Fatalf("v%d %s: %d %q %v", version, method, code, body, err)
				}
				c := s.verify(res.Certificate)
				rid := e.Content.RequestID()
				at := func(l string) string { return lookup(c, []byte("request_status"), rid[:], []byte(l)) }
				if method == "greet" && (at("status") != "replied" || at("reply") != want || at("reject_code") != "absent") ||
					method == "fail" && (at("status") != want || at("reject_code") != "\x04" || at("reject_message") != "no" || at("error_code") != "IC0406") {
					t.Errorf("v%d %s: %s %s", version, method, at("status"), at("reply"))
				}
				// The same call again finds its answer and is not executed again.
				if code, again := s.post(canisterURL(version, echo, "call"), e.Encode()); code != 200 || len(again) == 0 {
					t.Errorf("replayed: %d", code)
				}
			}
		}
	}
}

// Users of every kind call and query.
func TestEveryKindOfIdentity(t *testing.T) {
	s := start(t, nil)
	ids := map[string]identity.Identity{"anonymous": identity.Anonymous{}, "ed25519": controller(t), "secp256k1": newID(t)}
	add := func(name string, id identity.Identity, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = id
	}
	p256, err := identity.GenerateP256()
	add("p-256", p256, err)
	for name, alg := range map[string]identity.Algorithm{"passkey p-256": identity.ES256, "passkey ed25519": identity.EdDSA, "passkey rsa": identity.RS256} {
		id, err := identity.GenerateWebAuthn(alg, "https://example.com")
		add(name, id, err)
	}
	until := time.Unix(0, int64(now)).Add(time.Hour)
	issued := s.Issuer(other, "anna")
	add("canister", issued, nil)
	d, err := envelope.DelegateTo(issued, newID(t), until)
	add("canister's delegation", d, err)
	info, err := issued.Sign([]byte("\x0eic-sender-info" + "anna@example.com"))
	add("canister's delegation with information", d.WithInfo(&envelope.SenderInfo{Info: []byte("anna@example.com"), Signer: other, Sig: info}), err)
	d, err = envelope.DelegateTo(ids["passkey p-256"], newID(t), until)
	add("passkey's delegation", d, err)
	d, err = envelope.DelegateTo(d, p256, until, other, echo)
	add("chain with targets", d, err)
	for name, id := range ids {
		for _, kind := range []envelope.RequestType{envelope.Call, envelope.Query} {
			version := map[envelope.RequestType]int{envelope.Call: 4, envelope.Query: 3}[kind]
			code, body := s.post(canisterURL(version, echo, string(kind)), s.sign(content(kind, echo, "greet", []byte("arg")), id).Encode())
			if code != 200 || !bytes.Contains(body, []byte("greet:arg")) {
				t.Errorf("%s, %s: %d %q", name, kind, code, body)
			}
		}
	}
	// The same signature of a canister that is not of this subnet's tree.
	elsewhere := httpmem.New(2, now).Issuer(other, "anna")
	if code, body := s.post(canisterURL(4, echo, "call"), s.sign(content(envelope.Call, echo, "greet", nil), elsewhere).Encode()); code != 400 {
		t.Errorf("signature under another root key: %d %q", code, body)
	}
}

func TestCallsThatWait(t *testing.T) {
	s := start(t, func(c *replicahttp.Config) { c.CallTimeout = time.Millisecond })
	s.Manual = true
	e := s.sign(content(envelope.Call, echo, "greet", nil), controller(t))
	if code, body := s.post(canisterURL(4, echo, "call"), e.Encode()); code != 202 || len(body) != 0 {
		t.Errorf("timeout: %d %q", code, body)
	}
	if code, body := s.post(canisterURL(2, echo, "call"), e.Encode()); code != 202 || len(body) != 0 {
		t.Errorf("asynchronous, known already: %d %q", code, body)
	}
	if s.Pending() != 1 {
		t.Errorf("%d calls wait", s.Pending())
	}
	rid := e.Content.RequestID()
	poll := s.sign(reads([][]byte{[]byte("request_status"), rid[:]}), controller(t))
	status := func() string {
		code, body := s.post(canisterURL(3, echo, "read_state"), poll.Encode())
		res, err := envelope.DecodeReadStateResponse(body)
		if code != 200 || err != nil {
			t.Fatalf("read_state: %d %q", code, body)
		}
		return lookup(s.verify(res.Certificate), []byte("request_status"), rid[:], []byte("status"))
	}
	if got := status(); got != "absent" {
		t.Errorf("before the block: %s", got)
	}
	s.Step()
	if got := status(); got != "replied" {
		t.Errorf("after the block: %s", got)
	}
}

func TestRejectsBeforeTheSubnet(t *testing.T) {
	panics := make(chan any, 1)
	s := start(t, func(c *replicahttp.Config) { c.OnPanic = func(reason any, _ []byte) { panics <- reason } })
	call := func(version int, method string) (int, []byte) {
		return s.post(canisterURL(version, echo, "call"), s.sign(content(envelope.Call, echo, method, nil), controller(t)).Encode())
	}
	for _, version := range []int{2, 3, 4} {
		code, body := call(version, "inspected")
		res, err := envelope.DecodeCallResponse(body)
		if code != 200 || err != nil || res.Reject == nil || *res.Reject != (envelope.Reject{Code: 4, Message: "refused", ErrorCode: "IC0406"}) {
			t.Errorf("v%d: %d %q %v", version, code, body, err)
		}
		if has := bytes.Contains(body, []byte("non_replicated_rejection")); has != (version > 2) {
			t.Errorf("v%d: status in %q", version, body)
		}
	}
	if code, body := call(4, "busy"); code != 429 {
		t.Errorf("busy: %d %q", code, body)
	}
	s2 := s.sign(content(envelope.Call, echo, "panic", nil), controller(t))
	if res, err := nethttp.Post(s.url+canisterURL(4, echo, "call"), "application/cbor", bytes.NewReader(s2.Encode())); err == nil {
		res.Body.Close()
		t.Errorf("a panic inside is answered: %d", res.StatusCode)
	}
	if got := <-panics; got != "disk on fire" {
		t.Errorf("reported %v", got)
	}
	if code, body := call(4, "broken"); code != 500 || strings.Contains(string(body), "fire") {
		t.Errorf("a failure inside: %d %q", code, body)
	}
}

func TestQueryIsSigned(t *testing.T) {
	s := start(t, nil)
	for _, version := range []int{2, 3} {
		for method, want := range map[string]string{"greet": "greet:x", "fail": ""} {
			e := s.sign(content(envelope.Query, echo, method, []byte("x")), controller(t))
			code, body := s.post(canisterURL(version, echo, "query"), e.Encode())
			res, err := envelope.DecodeQueryResponse(body)
			if code != 200 || err != nil || len(res.Signatures) != 1 || string(res.Reply) != want || (res.Reject != nil) != (want == "") {
				t.Fatalf("%s: %d %q %v", method, code, body, err)
			}
			// The node's key is in the certified state.
			_, body = s.post(canisterURL(version, echo, "read_state"), s.sign(reads(hashtree.Path("subnet")), identity.Anonymous{}).Encode())
			rs, err := envelope.DecodeReadStateResponse(body)
			if err != nil {
				t.Fatalf("%q", body)
			}
			sig := res.Signatures[0]
			der := lookup(s.verify(rs.Certificate), []byte("subnet"), s.SubnetID().Bytes(), []byte("node"), sig.Identity.Bytes(), []byte("public_key"))
			key, err := identity.ParsePublicKey([]byte(der))
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Verify(res.SignedBytes(e.Content.RequestID(), sig.Timestamp), sig.Signature); err != nil {
				t.Error(err)
			}
			if sig.Timestamp != now {
				t.Errorf("timestamp %d", sig.Timestamp)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	s := start(t, nil)
	id := controller(t)
	good := content(envelope.Call, echo, "greet", nil)
	mut := func(f func(*envelope.Content)) []byte { c := good; f(&c); return s.sign(c, id).Encode() }
	forged := mut(func(*envelope.Content) {})
	forged[len(forged)-1] ^= 1
	query := s.sign(content(envelope.Query, echo, "greet", nil), id)
	stale := query.Content
	stale.IngressExpiry = now - 1
	for name, c := range map[string]struct {
		url  string
		body []byte
		code int
		text string
	}{
		"garbage":              {canisterURL(4, echo, "call"), []byte("hello"), 400, "malformed request"},
		"truncated":            {canisterURL(4, echo, "call"), forged[:50], 400, "malformed request"},
		"empty":                {canisterURL(4, echo, "call"), nil, 400, "malformed request"},
		"forged":               {canisterURL(4, echo, "call"), forged, 400, "bad signature"},
		"expired":              {canisterURL(4, echo, "call"), mut(func(c *envelope.Content) { c.IngressExpiry = now - 1 }), 400, "Invalid request expiry: "},
		"far future":           {canisterURL(2, echo, "call"), mut(func(c *envelope.Content) { c.IngressExpiry = now + uint64(time.Hour) }), 400, "Invalid request expiry: "},
		"expired query":        {canisterURL(3, echo, "query"), s.sign(stale, id).Encode(), 400, "Invalid request expiry: "},
		"query as call":        {canisterURL(4, echo, "call"), query.Encode(), 400, "a query request was sent to the call endpoint"},
		"call as query":        {canisterURL(3, echo, "query"), mut(func(*envelope.Content) {}), 400, "a call request was sent to the query endpoint"},
		"other canister":       {canisterURL(4, other, "call"), mut(func(*envelope.Content) {}), 400, "the URL names canister"},
		"canister elsewhere":   {canisterURL(4, outside, "call"), mut(func(*envelope.Content) {}), 400, "canister_not_found"},
		"bad principal":        {"/api/v4/canister/xyz/call", nil, 400, "the id in the URL"},
		"other subnet":         {"/api/v3/subnet/" + echo.String() + "/read_state", nil, 400, "is not here"},
		"call at the subnet":   {"/api/v4/subnet/" + s.SubnetID().String() + "/call", mut(func(*envelope.Content) {}), 400, "for the management canister"},
		"no such version":      {canisterURL(5, echo, "call"), nil, 404, ""},
		"no v4 query":          {canisterURL(4, echo, "query"), nil, 404, ""},
		"large":                {canisterURL(4, echo, "call"), make([]byte, replicahttp.MaxBody+1), 413, ""},
		"unknown but in range": {canisterURL(3, other, "query"), s.sign(content(envelope.Query, other, "x", nil), id).Encode(), 200, "IC0301"},
	} {
		code, body := s.post(c.url, c.body)
		if code != c.code || !strings.Contains(string(body), c.text) {
			t.Errorf("%s: %d %q, want %d %q", name, code, body, c.code, c.text)
		}
	}
	// Length unknown in advance.
	req, _ := nethttp.NewRequest("POST", s.url+canisterURL(4, echo, "call"), io.MultiReader(bytes.NewReader(make([]byte, replicahttp.MaxBody)), strings.NewReader("x")))
	req.Header.Set("Content-Type", "application/cbor")
	if res, err := nethttp.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		if res.StatusCode != 413 {
			t.Errorf("chunked: %d", res.StatusCode)
		}
	}
	res, err := nethttp.Post(s.url+canisterURL(4, echo, "call"), "text/plain", bytes.NewReader(forged))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 415 {
		t.Errorf("text/plain: %d", res.StatusCode)
	}
}

func TestEffectiveCanisterOfManagement(t *testing.T) {
	s := start(t, nil)
	type about struct {
		CanisterID principal.Principal `candid:"canister_id"`
	}
	arg := candid.MustMarshal(about{echo})
	sid := s.SubnetID()
	for name, c := range map[string]struct {
		url    string
		method string
		arg    []byte
		code   int
	}{
		"named":            {canisterURL(4, echo, "call"), "start_canister", arg, 200},
		"another":          {canisterURL(4, other, "call"), "start_canister", arg, 400},
		"create":           {canisterURL(4, other, "call"), "provisional_create_canister_with_cycles", candid.MustMarshal(struct{}{}), 200},
		"create at aaaaa":  {canisterURL(4, principal.Management, "call"), "provisional_create_canister_with_cycles", candid.MustMarshal(struct{}{}), 200},
		"create elsewhere": {canisterURL(4, outside, "call"), "provisional_create_canister_with_cycles", candid.MustMarshal(struct{}{}), 400},
		"create at subnet": {"/api/v4/subnet/" + sid.String() + "/call", "create_canister", candid.MustMarshal(struct{}{}), 200},
		"start at subnet":  {"/api/v4/subnet/" + sid.String() + "/call", "start_canister", arg, 400},
	} {
		e := s.sign(content(envelope.Call, principal.Management, c.method, c.arg), controller(t))
		if code, body := s.post(c.url, e.Encode()); code != c.code {
			t.Errorf("%s: %d %q, want %d", name, code, body, c.code)
		}
	}
}

func TestReadStateRules(t *testing.T) {
	s := start(t, nil)
	id := controller(t)
	call := s.sign(content(envelope.Call, echo, "greet", nil), id)
	if code, body := s.post(canisterURL(4, echo, "call"), call.Encode()); code != 200 {
		t.Fatalf("%d %q", code, body)
	}
	rid := call.Content.RequestID()
	sid := s.SubnetID().Bytes()
	p := func(labels ...any) [][]byte {
		var out [][]byte
		for _, l := range labels {
			switch l := l.(type) {
			case string:
				out = append(out, []byte(l))
			case []byte:
				out = append(out, l)
			}
		}
		return out
	}
	unused := make([]byte, 32)
	onCanister := func(v int) string { return canisterURL(v, echo, "read_state") }
	onSubnet := func(v int) string { return fmt.Sprintf("/api/v%d/subnet/%s/read_state", v, s.SubnetID()) }
	for name, c := range map[string]struct {
		url   string
		id    identity.Identity
		paths [][][]byte
		code  int
	}{
		"nothing":                    {onCanister(3), id, nil, 200},
		"empty path":                 {onCanister(3), id, [][][]byte{{}}, 403},
		"time":                       {onCanister(3), id, [][][]byte{p("time")}, 200},
		"below time":                 {onCanister(3), id, [][][]byte{p("time", "x")}, 403},
		"unknown root":               {onCanister(3), id, [][][]byte{p("streams")}, 403},
		"boundary nodes":             {onCanister(3), id, [][][]byte{p("api_boundary_nodes", "n", "domain")}, 200},
		"boundary nodes, all":        {onCanister(2), id, [][][]byte{p("api_boundary_nodes"), p("api_boundary_nodes", "n"), p("api_boundary_nodes", "n", "ipv4_address"), p("api_boundary_nodes", "n", "ipv6_address")}, 200},
		"below a boundary node":      {onCanister(3), id, [][][]byte{p("api_boundary_nodes", "n", "domain", "x")}, 403},
		"boundary node's secret":     {onCanister(3), id, [][][]byte{p("api_boundary_nodes", "n", "secret")}, 403},
		"own request":                {onCanister(2), id, [][][]byte{p("request_status", rid[:]), p("request_status", rid[:], "reply")}, 200},
		"own request, other field":   {onCanister(3), id, [][][]byte{p("request_status", rid[:], "sender")}, 403},
		"somebody's request":         {onCanister(3), newID(t), [][][]byte{p("request_status", rid[:])}, 403},
		"anonymous reader":           {onCanister(3), identity.Anonymous{}, [][][]byte{p("request_status", rid[:], "status")}, 403},
		"own, at another canister":   {canisterURL(3, other, "read_state"), id, [][][]byte{p("request_status", rid[:])}, 403},
		"own, at the subnet":         {onSubnet(3), id, [][][]byte{p("request_status", rid[:])}, 403},
		"request nobody made":        {onCanister(3), newID(t), [][][]byte{p("request_status", unused)}, 200},
		"two requests":               {onCanister(3), id, [][][]byte{p("request_status", rid[:]), p("request_status", unused)}, 400},
		"short request id":           {onCanister(3), id, [][][]byte{p("request_status", rid[:31])}, 400},
		"all requests":               {onCanister(3), id, [][][]byte{p("request_status")}, 400},
		"subnets":                    {onCanister(3), id, [][][]byte{p("subnet"), p("subnet", sid, "node"), p("subnet", sid, "node", "n", "public_key")}, 200},
		"subnet's type":              {onSubnet(2), id, [][][]byte{p("subnet", sid, "type"), p("subnet", sid, "public_key")}, 200},
		"one node":                   {onSubnet(3), id, [][][]byte{p("subnet", sid, "node", "n")}, 200},
		"node's secret":              {onSubnet(3), id, [][][]byte{p("subnet", sid, "node", "n", "secret")}, 403},
		"subnet's secret":            {onSubnet(3), id, [][][]byte{p("subnet", sid, "secret")}, 403},
		"below a node's key":         {onSubnet(3), id, [][][]byte{p("subnet", sid, "node", "n", "public_key", "x")}, 403},
		"own ranges, subnet, v2":     {onSubnet(2), id, [][][]byte{p("subnet", sid, "canister_ranges"), p("subnet", "x", "canister_ranges")}, 200},
		"other ranges, subnet":       {onSubnet(3), id, [][][]byte{p("subnet", "x", "canister_ranges")}, 403},
		"own ranges":                 {onCanister(3), id, [][][]byte{p("subnet", sid, "canister_ranges")}, 200},
		"other ranges":               {onCanister(3), id, [][][]byte{p("subnet", "x", "canister_ranges")}, 403},
		"other ranges, v2":           {onCanister(2), id, [][][]byte{p("subnet", "x", "canister_ranges")}, 200},
		"sharded ranges":             {onSubnet(3), id, [][][]byte{p("canister_ranges", sid)}, 200},
		"sharded, at a canister":     {onCanister(3), id, [][][]byte{p("canister_ranges", sid)}, 403},
		"sharded, v2":                {onSubnet(2), id, [][][]byte{p("canister_ranges", sid)}, 200},
		"sharded, at a canister, v2": {onCanister(2), id, [][][]byte{p("canister_ranges", sid)}, 403},
		"one shard":                  {onSubnet(3), id, [][][]byte{p("canister_ranges", sid, "x")}, 403},
		"sharded, of two":            {onSubnet(3), id, [][][]byte{p("canister_ranges", sid), p("canister_ranges", "x")}, 400},
		"all sharded":                {onSubnet(3), id, [][][]byte{p("canister_ranges")}, 403},
		"metrics":                    {onSubnet(3), id, [][][]byte{p("subnet", sid, "metrics")}, 200},
		"metrics, v2":                {onSubnet(2), id, [][][]byte{p("subnet", sid, "metrics")}, 200},
		"metrics of another":         {onSubnet(3), id, [][][]byte{p("subnet", "x", "metrics")}, 403},
		"metrics, at a canister, v2": {onCanister(2), id, [][][]byte{p("subnet", sid, "metrics")}, 403},
		"metrics, at a canister":     {onCanister(3), id, [][][]byte{p("subnet", sid, "metrics")}, 403},
		"module hash":                {onCanister(3), id, [][][]byte{p("canister", echo.Bytes(), "module_hash"), p("canister", echo.Bytes(), "controllers")}, 200},
		"module hash of another":     {onCanister(3), id, [][][]byte{p("canister", other.Bytes(), "module_hash")}, 403},
		"creation, installation":     {onCanister(3), id, [][][]byte{p("canister", echo.Bytes(), "canister_creation_timestamp"), p("canister", echo.Bytes(), "last_install_timestamp")}, 200},
		"below controllers":          {onCanister(3), id, [][][]byte{p("canister", echo.Bytes(), "controllers", "x")}, 403},
		"all canisters":              {onCanister(3), id, [][][]byte{p("canister")}, 403},
		"canister, at the subnet":    {onSubnet(3), id, [][][]byte{p("canister", echo.Bytes(), "module_hash")}, 403},
		"whole canister":             {onCanister(3), id, [][][]byte{p("canister", echo.Bytes())}, 403},
		"certified data":             {onCanister(3), id, [][][]byte{p("canister", echo.Bytes(), "certified_data")}, 403},
		"private metadata":           {onCanister(3), id, [][][]byte{p("canister", echo.Bytes(), "metadata", "secret")}, 200},
		"private, a stranger":        {onCanister(3), newID(t), [][][]byte{p("canister", echo.Bytes(), "metadata", "secret")}, 403},
		"absent metadata":            {onCanister(3), newID(t), [][][]byte{p("canister", echo.Bytes(), "metadata", "x")}, 200},
		"metadata name not utf-8":    {onCanister(3), id, [][][]byte{p("canister", echo.Bytes(), "metadata", "\xff")}, 403},
		"all metadata":               {onCanister(3), id, [][][]byte{p("canister", echo.Bytes(), "metadata")}, 403},
		"one bad path spoils a set":  {onCanister(3), id, [][][]byte{p("time"), p("canister", echo.Bytes())}, 403},
	} {
		code, body := s.post(c.url, s.sign(reads(c.paths...), c.id).Encode())
		if code != c.code {
			t.Errorf("%s: %d %q, want %d", name, code, body, c.code)
			continue
		}
		if code != 200 {
			continue
		}
		res, err := envelope.DecodeReadStateResponse(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		cert := s.verify(res.Certificate) // checks that the time is there
		for _, path := range c.paths {
			if res, _ := cert.Lookup(path...); res == hashtree.Unknown {
				t.Errorf("%s: %q is neither revealed nor proven absent", name, path)
			}
		}
		if res, _ := cert.Lookup([]byte("request_status"), rid[:], []byte("reply")); res == hashtree.Found && !strings.Contains(name, "own request") {
			t.Errorf("%s reveals an answer", name)
		}
	}
	// What the newest state has forgotten is not shown from an older certificate either.
	s.Prune()
	if code, body := s.post(onCanister(3), s.sign(reads(p("request_status", rid[:])), newID(t)).Encode()); code != 200 {
		t.Errorf("pruned: %d %q", code, body)
	}
	// A delegation for another canister speaks neither for the request's sender nor for the controller.
	session := newID(t)
	d, err := envelope.Delegate(id, envelope.Delegation{Pubkey: session.PublicKeyDER(), Expiration: now + 1, Targets: []principal.Principal{other}})
	if err != nil {
		t.Fatal(err)
	}
	delegated, err := envelope.NewDelegated(id.PublicKeyDER(), []envelope.SignedDelegation{d}, session)
	if err != nil {
		t.Fatal(err)
	}
	e := s.sign(reads(p("canister", echo.Bytes(), "metadata", "secret")), delegated)
	if code, body := s.post(onCanister(3), e.Encode()); code != 403 {
		t.Errorf("delegation for another canister: %d %q", code, body)
	}
}

func TestCrossOriginAndHosts(t *testing.T) {
	s := start(t, func(c *replicahttp.Config) { c.AllowedHosts = []string{"localhost", "127.0.0.1", "::1", ".localhost"} })
	do := func(method, path, host string) *nethttp.Response {
		req, err := nethttp.NewRequest(method, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Origin", "https://example.com")
		res, err := nethttp.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	if res := do("OPTIONS", canisterURL(4, echo, "call"), "localhost:1"); res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "*" ||
		res.Header.Get("Access-Control-Allow-Headers") != "Accept, Content-Type" {
		t.Errorf("preflight: %d %v", res.StatusCode, res.Header)
	}
	for host, want := range map[string]int{"127.0.0.1": 200, "LocalHost:8080": 200, "[::1]:80": 200, "evil.example": 421, "localhost.evil.example": 421, "x.localhost:1": 200, ".localhost": 421, "xlocalhost": 421} {
		if res := do("GET", "/api/v2/status", host); res.StatusCode != want {
			t.Errorf("host %s: %d, want %d", host, res.StatusCode, want)
		}
	}
	if res := do("GET", "/health", "localhost"); res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("health is open to other origins")
	}
}

func TestRequestsInProgressAreBounded(t *testing.T) {
	var mu sync.Mutex
	observed := map[string]int{}
	s := start(t, func(c *replicahttp.Config) {
		c.Limits.ClientRequests, c.CallTimeout = 2, time.Minute
		c.Observe = func(route string, status int, _ time.Duration) {
			mu.Lock()
			observed[fmt.Sprint(route, " ", status)]++
			mu.Unlock()
		}
	})
	submitted := make(chan envelope.ID, 2)
	s.Manual, s.OnSubmit = true, func(id envelope.ID) { submitted <- id }
	var wg sync.WaitGroup
	for range 2 {
		e := s.sign(content(envelope.Call, echo, "greet", nil), controller(t))
		wg.Go(func() {
			if code, body := s.post(canisterURL(4, echo, "call"), e.Encode()); code != 200 {
				t.Errorf("%d %q", code, body)
			}
		})
	}
	<-submitted // now both requests wait for an answer
	<-submitted
	res, err := nethttp.Get(s.url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("third request: %d", res.StatusCode)
	}
	s.Step()
	wg.Wait()
	if code, _ := s.post(canisterURL(4, echo, "call"), nil); code != 400 {
		t.Errorf("afterwards: %d", code)
	}
	mu.Lock()
	defer mu.Unlock()
	if observed["v4 canister call 200"] != 2 || observed["v4 canister call 400"] != 1 {
		t.Errorf("observed %v", observed)
	}
}

func TestLimitListener(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := replicahttp.LimitListener(inner, replicahttp.Limits{Connections: 1})
	defer ln.Close()
	accepted := make(chan net.Conn, 4)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("a second connection is served")
	}
	first.Close()
	first.Close()
	dial()
	(<-accepted).Close()
}

// No body makes the handler panic or answer with an internal error.
func FuzzBody(f *testing.F) {
	s := httpmem.New(1, now)
	h := replicahttp.NewHandler(s, replicahttp.Config{Log: quiet(), Limits: unlimited})
	for _, kind := range []envelope.RequestType{envelope.Call, envelope.Query} {
		e, _ := envelope.Sign(content(kind, echo, "m", nil), identity.Anonymous{})
		f.Add(e.Encode(), uint8(0))
	}
	e, _ := envelope.Sign(reads(hashtree.Path("time"), hashtree.Path("canister", "x", "metadata", "y")), identity.Anonymous{})
	f.Add(e.Encode(), uint8(2))
	urls := []string{canisterURL(2, echo, "call"), canisterURL(3, echo, "query"), canisterURL(3, echo, "read_state"), "/api/v3/subnet/" + s.SubnetID().String() + "/read_state"}
	f.Fuzz(func(t *testing.T, body []byte, which uint8) {
		req := httptest.NewRequest("POST", urls[int(which)%len(urls)], bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/cbor")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code >= 500 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	})
}

func BenchmarkCall(b *testing.B)  { benchmark(b, envelope.Call, 4) }
func BenchmarkQuery(b *testing.B) { benchmark(b, envelope.Query, 3) }

func benchmark(b *testing.B, kind envelope.RequestType, version int) {
	s := httpmem.New(1, now)
	reply := func(principal.Principal, string, []byte) ([]byte, error) { return []byte("DIDL\x00\x00"), nil }
	s.Install(echo, &httpmem.Canister{Update: reply, Query: reply})
	h := replicahttp.NewHandler(s, replicahttp.Config{Log: quiet(), Limits: unlimited})
	url := canisterURL(version, echo, string(kind))
	e, err := envelope.Sign(content(kind, echo, "m", make([]byte, 100)), identity.Anonymous{})
	if err != nil {
		b.Fatal(err)
	}
	body := e.Encode()
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest("POST", url, bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/cbor")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != 200 {
			b.Fatal(rec.Body.String())
		}
	}
}

// TestDrain: a service that ends answers what it was asked before, serves what comes meanwhile, and has nobody wait for longer than it does itself.
func TestDrain(t *testing.T) {
	s := httpmem.New(1, now)
	entered, release := make(chan string, 1), make(chan struct{})
	s.Install(echo, &httpmem.Canister{Query: func(_ principal.Principal, method string, _ []byte) ([]byte, error) {
		entered <- method
		<-release
		return []byte(method), nil
	}})
	h := replicahttp.NewHandler(s, replicahttp.Config{Log: quiet()})
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = replicahttp.NewServer(h)
	srv.Start()
	defer srv.Close()
	x := &server{t, s, srv.URL}
	body := x.sign(content(envelope.Query, echo, "slow", nil), newID(t)).Encode()
	answers := make(chan int, 1)
	go func() {
		code, _ := x.post("/api/v2/canister/"+echo.String()+"/query", body)
		answers <- code
	}()
	<-entered
	drained := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		h.Drain(ctx)
		close(drained)
	}()
	// Balancers still find somebody who answers, and who keeps no connection.
	for deadline := time.Now().Add(time.Minute); ; {
		res, err := nethttp.Get(srv.URL + "/ready")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Close {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("connections are kept while the service ends")
		}
	}
	select {
	case <-drained:
		t.Fatal("drained while a query was in progress")
	default:
	}
	close(release)
	if code := <-answers; code != nethttp.StatusOK {
		t.Errorf("the query in progress was answered %d", code)
	}
	<-drained

	// A call whose certificate does not come is answered when patience ends.
	s.Manual = true
	s.OnSubmit = func(envelope.ID) { entered <- "call" }
	call := x.sign(content(envelope.Call, echo, "held", nil), newID(t)).Encode()
	go func() {
		code, _ := x.post("/api/v3/canister/"+echo.String()+"/call", call)
		answers <- code
	}()
	<-entered
	cancel()
	h.Drain(ctx)
	if code := <-answers; code != nethttp.StatusAccepted {
		t.Errorf("a call without a certificate was answered %d", code)
	}
}
