package certifiedpage

import (
	"bytes"
	"strings"
	"testing"

	"fusion/cdk"
	"fusion/cdk/certified"
	"fusion/cdk/ic0host"
	"fusion/cdk/link"
	"fusion/cdk/native"
	"fusion/ic/candid"
	"fusion/ic/httpcert"
	"fusion/ic/principal"
)

var (
	id  = principal.FromUint64(1)
	two = uint16(2)
)

// read fetches a page and verifies it against the certified data.
func read(t *testing.T, w *native.World, url string) *httpcert.Response {
	t.Helper()
	req := httpcert.Request{Method: "GET", URL: url, CertificateVersion: &two}
	a, err := native.Query[certified.Answer](w, principal.Anonymous, id, "http_request", req)
	if err != nil {
		t.Fatal(err)
	}
	return verified(t, w.Certified(id), &req, a)
}

func verified(t *testing.T, data []byte, req *httpcert.Request, a certified.Answer) *httpcert.Response {
	t.Helper()
	res := &httpcert.Response{Status: a.Status, Headers: a.Headers, Body: a.Body}
	h, err := httpcert.FindHeader(res)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := h.DecodeTree()
	if err != nil {
		t.Fatal(err)
	}
	if root := tree.Digest(); !bytes.Equal(root[:], data) {
		t.Fatalf("%s: the tree's root is not the certified data", req.URL)
	}
	if v, err := httpcert.Check(req, res, h, tree); err != nil || v.Skipped {
		t.Fatalf("%s: %+v, %v", req.URL, v, err)
	}
	return res
}

func TestPage(t *testing.T) {
	w := native.NewWorld(1)
	if err := w.Install(id, Canister, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		res := read(t, w, p.path)
		mime, _ := httpcert.Get(res.Headers, "content-type")
		policy, _ := httpcert.Get(res.Headers, "content-security-policy")
		if res.Status != 200 || mime != p.mime || len(res.Body) == 0 || !strings.Contains(policy, "'self'") {
			t.Errorf("%s: %d %s %q", p.path, res.Status, mime, policy)
		}
	}
	if res := read(t, w, "/nowhere"); res.Status != 404 {
		t.Errorf("%d", res.Status)
	}
	message := func() string { return string(read(t, w, "/message.json").Body) }
	if got := message(); got != `{"message":"hello, web"}` {
		t.Error(got)
	}
	if _, err := native.Update[cdk.None](w, principal.Anonymous, id, "set_message", `"quoted"`); err != nil {
		t.Fatal(err)
	}
	if got := message(); got != `{"message":"\"quoted\""}` {
		t.Error(got)
	}
	post := func(body string) uint16 {
		t.Helper()
		a, err := native.Update[certified.Answer](w, principal.Anonymous, id, "http_request_update", httpcert.UpdateRequest{Method: "POST", URL: "/message", Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		return a.Status
	}
	if post("") != 400 || post(strings.Repeat("x", maxMessage+1)) != 400 || post("\xff") != 400 || post("posted") != 204 {
		t.Error("what may be posted")
	}
	if _, err := native.Update[cdk.None](w, principal.Anonymous, id, "set_message", ""); err == nil {
		t.Error("an empty message is taken")
	}
	if err := w.Upgrade(id, Canister, nil); err != nil {
		t.Fatal(err)
	}
	if got := message(); got != `{"message":"posted"}` {
		t.Errorf("after an upgrade: %s", got)
	}
	if got, err := native.Query[string](w, principal.Anonymous, id, "message"); err != nil || got != "posted" {
		t.Errorf("%q, %v", got, err)
	}
}

// The same in WebAssembly.
func TestInWasm(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the canister, which takes seconds")
	}
	c, err := link.Build(t.Context(), "", "./cmd")
	if err != nil {
		t.Fatal(err)
	}
	module, err := link.Gzip(c.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	if len(module) > 2<<20 {
		t.Errorf("the module has %d bytes: too large for one install message", len(module))
	}
	h, err := ic0host.New(t.Context(), c.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Install(nil); err != nil {
		t.Fatal(err)
	}
	if err := h.Upgrade(nil); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"/", "/message.json", "/nowhere"} {
		req := httpcert.Request{Method: "GET", URL: url, CertificateVersion: &two}
		reply, err := h.Query(principal.Anonymous, "http_request", candid.MustMarshal(req))
		if err != nil {
			t.Fatal(err)
		}
		var a certified.Answer
		if err := candid.Unmarshal(reply, &a); err != nil {
			t.Fatal(err)
		}
		verified(t, h.Certified, &req, a)
	}
	t.Logf("%d bytes compressed", len(module))
}
