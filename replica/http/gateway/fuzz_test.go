package gateway

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	nethttp "net/http"
	"net/url"
	"strings"
	"testing"

	"fusion/ic/candid"
	"fusion/ic/hashtree"
	"fusion/ic/httpcert"
	"fusion/ic/principal"
	"fusion/replica/http/httpmem"
)

// FuzzVerify mutates all that a replica says about one certified page. Whatever is accepted is the page.
func FuzzVerify(f *testing.F) {
	const now = 1_700_000_000_000_000_000
	id := principal.FromUint64(7)
	s := httpmem.New(1, now)
	e := httpcert.ResponseOnly
	headers := []httpcert.HeaderField{{Name: "Content-Type", Value: "text/html"}, {Name: "IC-CertificateExpression", Value: e.String()}}
	label, hash := e.Hash(), e.ResponseHash(200, headers, sha256.Sum256([]byte("page")))
	path := httpcert.ExactPath("/")
	var tree *hashtree.Map
	tree = tree.Insert(append(hashtree.Path(path...), label[:], nil, hash[:]), nil)
	root := tree.Digest()
	s.SetTree(root[:], []byte("canister"), id.Bytes(), []byte("certified_data"))
	h := httpcert.Header{Version: 2, Path: path, Tree: httpcert.EncodeTree(tree.Witness(nil)),
		Certificate: s.Snapshot().Certify([][]byte{[]byte("canister"), id.Bytes(), []byte("certified_data")})}
	g := New(s, Config{Log: slog.New(slog.DiscardHandler)})

	check := func(t testing.TB, header string, status uint16, mime, expression, body string) (accepted bool) {
		res := &httpcert.Response{Status: status, Body: []byte(body), Headers: []httpcert.HeaderField{{Name: "Content-Type", Value: mime},
			{Name: "IC-CertificateExpression", Value: expression}, {Name: "IC-Certificate", Value: header}}}
		_, err := g.verify(id, &httpcert.Request{Method: "GET", URL: "/"}, res)
		if err == nil && (status != 200 || mime != "text/html" || body != "page" || expression != e.String()) {
			t.Fatalf("accepted %d %q %q %q", status, mime, body, expression)
		}
		return err == nil
	}
	if !check(f, h.String(), 200, "text/html", e.String(), "page") {
		f.Fatal("the page itself is not accepted")
	}
	f.Add(h.String(), uint16(200), "text/html", e.String(), "page")
	f.Add(h.String(), uint16(404), "text/plain", httpcert.SkipExpression.String(), "other")
	h.Version = 1
	f.Add(h.String(), uint16(200), "text/html", e.String(), "page")
	f.Fuzz(func(t *testing.T, header string, status uint16, mime, expression, body string) {
		check(t, header, status, mime, expression, body)
	})
}

// FuzzContentRange checks that a range that is accepted is one: it lies within the body, and reads the same again.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/20", "bytes 10-19/20", "bytes 9-0/20", "bytes */20", "bytes 0-9/*", "bytes  0-9/20 ", "lines 0-9/20", "bytes 0-9223372036854775807/9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseContentRange(s)
		if err != nil {
			return
		}
		if c.first < 0 || c.first > c.last || c.last >= c.total || c.total > maxTotal {
			t.Fatalf("%q is %+v", s, c)
		}
		if again, err := parseContentRange(fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, c.total)); err != nil || again != c {
			t.Fatalf("%q: %+v, then %+v, %v", s, c, again, err)
		}
	})
}

// FuzzTarget reads host names and addresses as browsers or others send them.
func FuzzTarget(f *testing.F) {
	g := New(httpmem.New(1, 1), Config{Log: slog.New(slog.DiscardHandler)})
	id := principal.FromUint64(7)
	f.Add(id.String()+".localhost:4943", "/", "")
	f.Add(id.String()+".raw.localhost", "/api/v2/status", "")
	f.Add("127.0.0.1:4943", "/?canisterId="+id.String(), "")
	f.Add("[::1]:4943", "/app.js", "http://[::1]:4943/?canisterId="+id.String())
	f.Add("localhost", "/?canisterId=%zz", "http://other/?canisterId=aaaaa-aa")
	f.Fuzz(func(t *testing.T, host, address, referer string) {
		u, err := url.ParseRequestURI(address)
		if err != nil {
			return
		}
		r := &nethttp.Request{Method: "GET", Host: host, URL: u, Header: nethttp.Header{"Referer": {referer}}}
		claims := g.Claims(r)
		if claims && strings.HasPrefix(u.Path, "/api/") {
			t.Fatalf("the gateway claims the interface at %q", address)
		}
		at, err := g.resolve(r)
		_, own := g.below(Hostname(host))
		if err == nil && (at.shared == own || at.raw && at.shared || own && !strings.HasPrefix(Hostname(host), at.canister.String()+".")) {
			t.Fatalf("%q %q is %+v", host, address, at)
		}
	})
}

// FuzzReplies reads what canisters say, in whatever types they say it.
func FuzzReplies(f *testing.F) {
	id := principal.FromUint64(7)
	f.Add([]byte("DIDL\x00\x00"))
	text := "next"
	f.Add(candid.MustMarshal(struct {
		Body  []byte  `candid:"body"`
		Token *string `candid:"token"`
	}{[]byte("part"), &text}))
	f.Add(candid.MustMarshal(answer{Status: 200, Headers: []httpcert.HeaderField{{Name: "a", Value: "b"}}, Body: []byte("body")}))
	fn := &candid.Type{Kind: candid.KindFunc, Func: &candid.FuncType{Mode: candid.Query}}
	strategy := candid.RecordOf(candid.Named("callback", fn), candid.Named("token", candid.Prim(candid.KindText)))
	streaming := candid.RecordOf(candid.Named("streaming_strategy", candid.OptOf(candid.VariantOf(candid.Named("Callback", strategy)))))
	record := func(t *candid.Type, fields map[string]candid.Value) (r candid.Record) {
		for _, f := range t.Fields {
			r = append(r, candid.FieldValue{ID: f.ID, Name: f.Name, Value: fields[f.Name]})
		}
		return r
	}
	inner := record(strategy, map[string]candid.Value{"callback": candid.Func{Principal: id, Method: "next"}, "token": "t"})
	outer := record(streaming, map[string]candid.Value{"streaming_strategy": candid.Some{Value: candid.Case{ID: candid.Hash("Callback"), Name: "Callback", Value: inner}}})
	seed, err := candid.Encode([]*candid.Type{streaming}, []candid.Value{outer})
	if err != nil {
		f.Fatal(err)
	}
	if cb, err := decodeCallback(seed, id); err != nil || cb.method != "next" {
		f.Fatalf("%+v, %v", cb, err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, reply []byte) {
		if a, err := decodeAnswer(reply); err == nil && a == nil {
			t.Fatal("no answer and no error")
		}
		if cb, err := decodeCallback(reply, id); err == nil && !bytes.HasPrefix(cb.token, []byte("DIDL")) {
			t.Fatalf("callback %+v", cb)
		}
		if _, next, err := (&callback{method: "m"}).decodePart(reply); err == nil && next != nil {
			if _, _, err := candid.Decode(next.token); err != nil {
				t.Fatalf("a token that cannot be read again: %v", err)
			}
		}
	})
}
