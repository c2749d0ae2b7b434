package certified_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"fusion/cdk"
	"fusion/cdk/certified"
	"fusion/cdk/native"
	"fusion/ic/hashtree"
	"fusion/ic/httpcert"
	"fusion/ic/principal"
)

var id = principal.FromUint64(1)

func zip(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b) // a buffer takes everything
	_ = z.Close()
	return out.Bytes()
}

var big = func() []byte {
	b := make([]byte, 2*certified.ChunkSize+1234)
	for i := range b {
		b[i] = byte(i * i >> 7)
	}
	return b
}()

// shop is a site with one of everything.
func shop(c *cdk.Canister) {
	s := certified.NewSite(c)
	note := func(text string) {
		s.Page("/note", certified.Page{Type: "text/plain", Body: []byte(text)})
		s.Put([]byte(text), "notes", "last")
		s.Commit()
	}
	fill := func() {
		s.Page("/", certified.Page{Type: "text/html; charset=utf-8", Body: []byte("<h1>shop</h1>"), Gzip: zip([]byte("<h1>shop</h1>"))})
		s.Page("/index.html", certified.Page{Type: "text/html; charset=utf-8", Body: []byte("<h1>index</h1>")})
		s.Page("/gone", certified.Page{Body: []byte("soon")})
		s.Page("/big.bin", certified.Page{Type: "application/octet-stream", Body: big})
		s.Page("/docs/", certified.Page{Body: []byte("docs")})
		s.Redirect("/old", "/note", 308)
		s.Below("", certified.Page{Status: 404, Type: "text/plain", Body: []byte("nothing here")})
		s.Below("/docs", certified.Page{Status: 404, Type: "text/plain", Body: []byte("no such document")})
		s.Live("/live", func(r *httpcert.Request) certified.Answer { return certified.Answer{Status: 200, Body: []byte(r.URL)} })
		s.Remove("/gone")
		note("first")
	}
	c.OnInit(fill)
	c.OnPostUpgrade(fill)
	s.OnUpdate("/note", func(_ *cdk.Msg, r *httpcert.UpdateRequest) certified.Answer {
		note(string(r.Body))
		return certified.Answer{Status: 201}
	})
	cdk.Query(c, "proof", func(*cdk.Msg, cdk.None) []byte {
		_, tree, ok := s.Proof([]string{"notes", "last"}, []string{"notes", "none"})
		if !ok {
			c.Trap("no certificate")
		}
		return tree
	})
}

func world(t *testing.T) *native.World {
	t.Helper()
	w := native.NewWorld(1)
	if err := w.Install(id, shop, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func get(method, url string, headers ...httpcert.HeaderField) httpcert.Request {
	two := uint16(2)
	return httpcert.Request{Method: method, URL: url, Headers: headers, CertificateVersion: &two}
}

func ask(t *testing.T, w *native.World, r httpcert.Request) *httpcert.Response {
	t.Helper()
	a, err := native.Query[certified.Answer](w, principal.Anonymous, id, "http_request", r)
	if err != nil {
		t.Fatal(err)
	}
	if a.Upgrade != nil {
		t.Fatalf("%s %s asks for an update call", r.Method, r.URL)
	}
	return &httpcert.Response{Status: a.Status, Headers: a.Headers, Body: a.Body}
}

// verify checks a response as a gateway would; the certificate of native runs is the certified data itself.
func verify(w *native.World, r *httpcert.Request, res *httpcert.Response) (*httpcert.Verified, error) {
	h, err := httpcert.FindHeader(res)
	if err != nil {
		return nil, err
	}
	tree, err := h.DecodeTree()
	if err != nil {
		return nil, err
	}
	if root := tree.Digest(); !bytes.Equal(root[:], w.Certified(id)) || !bytes.Equal(h.Certificate, w.Certified(id)) {
		return nil, fmt.Errorf("the tree has root %x, the certified data is %x", root, w.Certified(id))
	}
	return httpcert.Check(r, res, h, tree)
}

func TestPagesVerify(t *testing.T) {
	w := world(t)
	gz := httpcert.HeaderField{Name: "accept-encoding", Value: "br, gzip;q=0.5"}
	from := func(n int) httpcert.HeaderField {
		return httpcert.HeaderField{Name: "Range", Value: fmt.Sprintf("bytes=%d-", n)}
	}
	for _, c := range []struct {
		req    httpcert.Request
		status uint16
		body   string
	}{
		{get("GET", "/"), 200, "<h1>shop</h1>"},
		{get("HEAD", "/?q=1"), 200, "<h1>shop</h1>"},
		{get("GET", "/", gz), 200, string(zip([]byte("<h1>shop</h1>")))},
		{get("GET", "/", httpcert.HeaderField{Name: "Accept-Encoding", Value: "gzip;q=0"}), 200, "<h1>shop</h1>"},
		{get("GET", "/note"), 200, "first"},
		{get("GET", "/old"), 308, ""},
		{get("GET", "/gone"), 404, "nothing here"},
		{get("GET", "/a/b%20c/"), 404, "nothing here"},
		{get("GET", "/docs/"), 200, "docs"},
		{get("GET", "/docs/x"), 404, "no such document"},
		{get("GET", "/docs"), 404, "no such document"},
		{get("GET", "/live/1?x"), 200, "/live/1?x"},
		{get("GET", "/big.bin"), 206, string(big[:certified.ChunkSize])},
		{get("GET", "/big.bin", from(0)), 206, string(big[:certified.ChunkSize])},
		{get("GET", "/big.bin", from(certified.ChunkSize)), 206, string(big[certified.ChunkSize : 2*certified.ChunkSize])},
		{get("HEAD", "/big.bin", from(2*certified.ChunkSize)), 206, string(big[2*certified.ChunkSize:])},
	} {
		res := ask(t, w, c.req)
		v, err := verify(w, &c.req, res)
		if err != nil || res.Status != c.status || string(res.Body) != c.body || v.Skipped != strings.HasPrefix(c.req.URL, "/live") {
			t.Errorf("%s %s: %d, %d bytes, %+v, %v", c.req.Method, c.req.URL, res.Status, len(res.Body), v, err)
		}
		one := c.req
		one.CertificateVersion = nil
		if old := ask(t, w, one); old.Status == 200 {
			v, err := verify(w, &one, old)
			if err != nil || v.Version != 1 || old.Body == nil {
				t.Errorf("version 1 of %s: %+v, %v", c.req.URL, v, err)
			}
		} else if c.status == 200 && !strings.HasPrefix(c.req.URL, "/live") || old.Status != 404 && old.Status != 413 {
			t.Errorf("version 1 of %s: %d", c.req.URL, old.Status)
		}
	}
	// A chunk does not pass for another.
	res := ask(t, w, get("GET", "/big.bin", from(certified.ChunkSize)))
	first := get("GET", "/big.bin")
	if _, err := verify(w, &first, res); err == nil {
		t.Error("the second chunk passes for the first")
	}
	if long := get("GET", strings.Repeat("/a", httpcert.MaxSegments+1)); ask(t, w, long).Status != 414 {
		t.Error("a path of too many segments is served")
	}
}

func TestUpdates(t *testing.T) {
	w := world(t)
	post := get("POST", "/note")
	a, err := native.Query[certified.Answer](w, principal.Anonymous, id, "http_request", post)
	if err != nil || a.Upgrade == nil || !*a.Upgrade {
		t.Fatalf("%+v, %v", a, err)
	}
	update := func(method, url, body, rng string) certified.Answer {
		t.Helper()
		r := httpcert.UpdateRequest{Method: method, URL: url, Body: []byte(body)}
		if rng != "" {
			r.Headers = []httpcert.HeaderField{{Name: "range", Value: rng}}
		}
		a, err := native.Update[certified.Answer](w, principal.Anonymous, id, "http_request_update", r)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := update("POST", "/note", "second", ""); a.Status != 201 {
		t.Errorf("%+v", a)
	}
	req := get("GET", "/note")
	res := ask(t, w, req)
	if _, err := verify(w, &req, res); err != nil || string(res.Body) != "second" {
		t.Errorf("%s, %v", res.Body, err)
	}
	tree, err := native.Query[[]byte](w, principal.Anonymous, id, "proof")
	if err != nil {
		t.Fatal(err)
	}
	n, err := hashtree.Decode(tree)
	if err != nil {
		t.Fatal(err)
	}
	if root := n.Digest(); !bytes.Equal(root[:], w.Certified(id)) {
		t.Error("the proof has another root")
	}
	if found, v := hashtree.LookupText(n, "notes", "last"); found != hashtree.Found || string(v) != "second" {
		t.Errorf("%v %s", found, v)
	}
	if found, _ := hashtree.LookupText(n, "notes", "none"); found != hashtree.Absent {
		t.Error(found)
	}
	if _, err := w.UpdateRaw(principal.Anonymous, id, "proof", []byte("DIDL\x00\x00")); err == nil {
		t.Error("a proof without a certificate")
	}

	// A range that is none of the certified chunks comes by consensus.
	odd := get("GET", "/big.bin", httpcert.HeaderField{Name: "Range", Value: "bytes=5-9"})
	if a, err := native.Query[certified.Answer](w, principal.Anonymous, id, "http_request", odd); err != nil || a.Upgrade == nil {
		t.Fatalf("%+v, %v", a, err)
	}
	for rng, want := range map[string]string{
		"bytes=5-9":             "bytes 5-9/4001234",
		"bytes=-10":             "bytes 4001224-4001233/4001234",
		"bytes=1999999-2000000": "bytes 1999999-2000000/4001234",
		"bytes=1-":              "bytes 1-2000000/4001234",
		"bytes=4001234-":        "bytes */4001234", "bytes=9-5": "bytes */4001234", "bytes=-0": "bytes */4001234", "lines=1-2": "bytes */4001234", "bytes=1": "bytes */4001234",
		"bytes=99999999999999999999-": "bytes */4001234",
	} {
		a := update("GET", "/big.bin", "", rng)
		got, _ := httpcert.Get(a.Headers, "content-range")
		if got != want {
			t.Errorf("%s: %d %s, want %s", rng, a.Status, got, want)
		}
		var first, last int
		if n, _ := fmt.Sscanf(got, "bytes %d-%d/", &first, &last); n == 2 && !bytes.Equal(a.Body, big[first:last+1]) {
			t.Errorf("%s: other bytes", rng)
		}
	}
	if update("POST", "/elsewhere", "", "").Status != 404 || update("GET", "/note", "", "bytes=0-1").Status != 416 {
		t.Error("what nobody handles is not refused")
	}
}

// Everything is there again after an upgrade.
func TestUpgrade(t *testing.T) {
	w := world(t)
	if err := w.Upgrade(id, shop, nil); err != nil {
		t.Fatal(err)
	}
	req := get("GET", "/")
	if _, err := verify(w, &req, ask(t, w, req)); err != nil {
		t.Error(err)
	}
}
