package forger

import (
	"bytes"
	"fmt"
	"testing"

	"fusion/cdk/native"
	"fusion/ic/httpcert"
	"fusion/ic/principal"
)

// TestWhatIsTrue checks with the library that gateways use which answers are what was certified.
func TestWhatIsTrue(t *testing.T) {
	w := native.NewWorld(1)
	id := principal.FromUint64(7)
	if err := w.Install(id, Canister, nil); err != nil {
		t.Fatal(err)
	}
	get := func(path string, headers ...httpcert.HeaderField) ([]byte, error) {
		t.Helper()
		two := uint16(2)
		req := &httpcert.Request{Method: "GET", URL: path, Headers: headers, CertificateVersion: &two}
		a, err := native.Query[Answer](w, principal.Anonymous, id, "http_request", *req)
		if err != nil {
			t.Fatal(err)
		}
		res := &httpcert.Response{Status: a.Status, Headers: a.Headers, Body: a.Body}
		for next := a.Streaming; next != nil; {
			p, err := native.Query[*Part](w, principal.Anonymous, id, next.Callback.Callback.Method, next.Callback.Token)
			if err != nil || p == nil {
				t.Fatal(p, err)
			}
			res.Body = append(bytes.Clone(res.Body), p.Body...)
			if next.Callback.Token.Path = path; p.Token == nil {
				break
			}
			next.Callback.Token = *p.Token
		}
		h, err := httpcert.FindHeader(res)
		if err != nil {
			return nil, err
		}
		tree, err := h.DecodeTree()
		if err != nil {
			t.Fatal(err)
		}
		if root := tree.Digest(); !bytes.Equal(root[:], w.Certified(id)) {
			t.Fatalf("%s: the tree is not the certified one", path)
		}
		_, err = httpcert.Check(req, res, h, tree)
		return res.Body, err
	}
	for _, path := range []string{"/", "/old", "/stream", "/large"} {
		if _, err := get(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if body, _ := get("/stream"); !bytes.Equal(body, Blob(StreamSize)) {
		t.Errorf("/stream has %d bytes", len(body))
	}
	for _, path := range []string{"/body", "/header", "/swapped", "/cut", "/plain", "/nowhere"} {
		if _, err := get(path); err == nil {
			t.Errorf("%s is certified", path)
		}
	}
	for _, path := range []string{"/large", "/torn"} {
		_, err := get(path, httpcert.HeaderField{Name: "range", Value: fmt.Sprintf("bytes=%d-", RangeSize)})
		if (err == nil) != (path == "/large") {
			t.Errorf("the second range of %s: %v", path, err)
		}
	}
}
