package httpcert

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fusion/ic/hashtree"
)

// spread is an expression as people write it in sources; compact is the form without white space.
const spread = `
	default_certification (
		ValidationArgs {
			certification: Certification {
				no_request_certification: Empty {},
				response_certification: ResponseCertification {
					certified_response_headers: ResponseHeaderList {
						headers: ["Accept-Encoding", "Cache-Control"]
					}
				}
			}
		}
	)`

func TestExpressions(t *testing.T) {
	names := []string{"Accept-Encoding", "Cache-Control"}
	for text, want := range map[string]Expression{
		`default_certification(ValidationArgs{no_certification:Empty{}})`: SkipExpression,
		`default_certification(ValidationArgs{certification:Certification{no_request_certification:Empty{},response_certification:ResponseCertification{response_header_exclusions:ResponseHeaderList{headers:[]}}}})`:                                                                                                                        {Exclude: true, Headers: []string{}},
		`default_certification(ValidationArgs{certification:Certification{request_certification:RequestCertification{certified_request_headers:["host"],certified_query_parameters:["q","name"]},response_certification:ResponseCertification{certified_response_headers:ResponseHeaderList{headers:["Accept-Encoding","Cache-Control"]}}}})`: {Request: &RequestPart{Headers: []string{"host"}, Query: []string{"q", "name"}}, Headers: names},
	} {
		got, err := ParseExpression(text)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if want.String() != text {
			t.Errorf("writes %s, want %s", want.String(), text)
		}
	}
	e, err := ParseExpression(spread)
	if err != nil || !slices.Equal(e.Headers, names) || e.Request != nil || e.Exclude || e.Skip {
		t.Errorf("%+v, %v", e, err)
	}
	full := `default_certification(ValidationArgs{certification:Certification{no_request_certification:Empty{},response_certification:ResponseCertification{response_header_exclusions:ResponseHeaderList{headers:["a"]}}}})`
	for _, change := range [][2]string{
		{`)`, ``},
		{`headers:["a"]`, ``},
		{`headers:["a"]`, `headers:["a"],headers:["b"]`},
		{`["a"]`, `["a",]`},
		{`["a"]`, `["a\"]`},
		{`["a"]`, `["a" "b"]`},
		{`["a"]`, `[a]`},
		{`["a"]`, `[` + strings.Repeat(`"a",`, maxNames) + `"a"]`},
		{`["a"]`, `["` + strings.Repeat("a", maxExpression) + `"]`},
		{`ValidationArgs{`, `ValidationArgs{no_certification:Empty{},`},
		{`Certification{no_`, `Certification{request_certification:RequestCertification{certified_request_headers:[],certified_query_parameters:[]},no_`},
		{`no_request_certification:Empty{},`, ``},
		{`no_request_certification:Empty{}`, `request_certification:RequestCertification{certified_request_headers:[]}`},
		{`ResponseCertification{`, `ResponseCertification{certified_response_headers:ResponseHeaderList{headers:[]},`},
		{`Empty{}`, `Full{}`},
		{`Empty{}`, `Empty{a:Empty{}}`},
		{`})`, `}) `},
		{`default_`, `other_`},
	} {
		bad := strings.Replace(full, change[0], change[1], 1)
		if change[0] == "})" {
			bad = full + "x"
		}
		if _, err := ParseExpression(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// The hashes are those of the tests of upstream's implementation (dfinity/response-verification, packages/ic-http-certification/src/hash), for the same messages.
func TestKnownHashes(t *testing.T) {
	parse := func(s string) *Expression {
		e, err := ParseExpression(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	check := func(name string, got Hash, want string) {
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("%s: %x, want %s", name, got, want)
		}
	}
	compact := strings.NewReplacer("\n", "", "\t", "", " ", "")
	body := sha256.Sum256([]byte("Hello World!"))
	response := func(expression string) []HeaderField {
		return []HeaderField{{"IC-Certificate", "certificate=:SGVsbG8gQ2VydGlmaWNhdGUh:,tree=:SGVsbG8gVHJlZSE=:"}, {"IC-CertificateExpression", compact.Replace(expression)},
			{"Accept-Encoding", "gzip"}, {"Cache-Control", "no-cache"}, {"Cache-Control", "no-store"}, {"Content-Security-Policy", "test"}}
	}
	check("certified headers", parse(spread).ResponseHash(200, response(spread), body), "3393250e3cedc30408dcb7e8963898c3d7549b8a0b76496b82fdfeae99c2ac78")

	request := func(url string) *Request {
		return &Request{Method: "POST", URL: url, Body: []byte{0, 1, 2, 3, 4, 5, 6},
			Headers: []HeaderField{{"Accept-Language", "en"}, {"Accept-Language", "en-US"}, {"Host", "https://ic0.app"}}}
	}
	p := &RequestPart{Headers: []string{"host"}}
	check("no query", p.RequestHash(request("/")), "10796453466efb3e333891136b8a5931269f77e40ead9d437fcee94a02fa833c")
	p.Query = []string{"q", "name"}
	const query = "/?q=hello+world&name=foo&name=bar&color=purple"
	check("query", p.RequestHash(request(query)), "3ade1c9054f05bc8bcebd3fd7b884078a6e67c63e5ac4a639fa46a47f5a955c9")
	if p.RequestHash(request(query)) == p.RequestHash(request("/?q=hello+world&name=bar&name=foo&color=purple")) {
		t.Error("the order of parameters does not matter")
	}
	check("fragment", p.RequestHash(request(query+"#index.html")), "3ade1c9054f05bc8bcebd3fd7b884078a6e67c63e5ac4a639fa46a47f5a955c9")
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]string{
		"": "http_expr <$>", "/": "http_expr  <$>", "/foo": "http_expr foo <$>", "foo/": "http_expr foo  <$>", "/foo//bar": "http_expr foo bar <$>",
	} {
		if got := strings.Join(ExactPath(path), " "); got != want {
			t.Errorf("%q: %q", path, got)
		}
	}
	for _, c := range []struct{ path, wildcard, want string }{
		{"/a/b/c", "a/b/c", ""},
		{"/a/b/c", "a/b/", "a/b/c"},
		{"/a/b/c", "a/b", "a/b/c a/b/"},
		{"/a/b/c", "a/", "a/b/c a/b/ a/b"},
		{"/a/b/c", "a", "a/b/c a/b/ a/b a/"},
		{"/a/b/c", "/", "a/b/c a/b/ a/b a/ a"},
		{"/a/b/c", "", "a/b/c a/b/ a/b a/ a /"},
		{"/a", "a/", "a"},
		{"/", "", "/"},
	} {
		var got []string
		for _, p := range MoreSpecific(Segments(c.path), Segments(c.wildcard)) {
			s := strings.Join(p, "/")
			if s == "" {
				s = "/"
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s under %q: %q, want %q", c.path, c.wildcard, got, c.want)
		}
		if !covers(Segments(c.wildcard), Segments(c.path)) {
			t.Errorf("%s is not under %q", c.path, c.wildcard)
		}
	}
	if covers(Segments("/b"), Segments("/a/b")) || covers(Segments("/a/b/c"), Segments("/a/b")) || covers(Segments("/b/"), Segments("/a/b")) {
		t.Error("a wildcard covers what is not below it")
	}
	if p, q, ok := SplitURL("/a%20b%2fc%zz%?x=%20#f"); p != "/a b/c%zz%" || q != "x=%20" || !ok {
		t.Errorf("%q %q %v", p, q, ok)
	}
}

func TestHeaders(t *testing.T) {
	for _, h := range []*Header{
		{Certificate: []byte("cert"), Tree: []byte("tree"), Version: 1},
		{Certificate: []byte("cert"), Tree: []byte("a longer tree"), Version: 2, Path: ExactPath("/a/")},
	} {
		got, err := ParseHeader(h.String())
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%s: %+v, %v", h, got, err)
		}
	}
	good := (&Header{Certificate: []byte("cert"), Tree: []byte("tree"), Version: 2, Path: WildcardPath("")}).String()
	if h, err := ParseHeader(strings.ReplaceAll(good, ", ", ",") + ", other=1"); err != nil || h.Version != 2 {
		t.Errorf("without spaces, with an unknown field: %v", err)
	}
	path := func(p ...string) string { return (&Header{Version: 2, Path: p}).String() }
	for name, bad := range map[string]string{
		"empty": "", "no value": "certificate", "no colons": "certificate=Y2VydA==, tree=:dHJlZQ==:", "base64": "certificate=:!:, tree=::",
		"twice": good + ", tree=::", "no tree": "certificate=::", "no path": "certificate=::, tree=::, version=2", "trailing comma": good + ",",
		"a path that ends nowhere": path("http_expr", "a"), "a terminator in the middle": path("http_expr", "<*>", "a", "<$>"),
		"another root": path("http_assets", "<$>"), "an empty path": path(), "too many segments": path(append(slices.Repeat([]string{"http_expr"}, MaxSegments+2), "<*>")...),
	} {
		if h, err := ParseHeader(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	if _, err := ParseHeader("certificate=::, tree=::, version=3"); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	if _, err := ParseHeader(strings.Repeat("x", maxHeader+1)); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

// site is a tree with certified responses.
type site struct{ tree *hashtree.Map }

func (s *site) put(e Expression, path []string, req *Request, res *Response) {
	label := [][]byte{}
	if !e.Skip {
		var request []byte
		if e.Request != nil {
			h := e.Request.RequestHash(req)
			request = h[:]
		}
		h := e.ResponseHash(res.Status, res.Headers, sha256.Sum256(res.Body))
		label = [][]byte{request, h[:]}
	}
	hash := e.Hash()
	s.tree = s.tree.Insert(append(append(hashtree.Path(path...), hash[:]), label...), nil)
}

// prove answers with the tree that reveals the expression path and what must be absent.
func (s *site) prove(url string, path []string) (*Header, hashtree.Node) {
	p, _, _ := SplitURL(url)
	paths := [][][]byte{hashtree.Path(path...), hashtree.Path(ExactPath(p)...)}
	for _, w := range MoreSpecific(Segments(p), path[1:len(path)-1]) {
		paths = append(paths, hashtree.Path(slices.Concat([]string{LabelExpressions}, w, []string{Wildcard})...))
	}
	h := &Header{Version: 2, Path: path, Tree: EncodeTree(s.tree.Witness(paths...))}
	tree, err := h.DecodeTree()
	if err != nil {
		panic(err) // a tree of our own
	}
	return h, tree
}

func page(e Expression, body string) *Response {
	return &Response{Status: 200, Body: []byte(body), Headers: []HeaderField{{"Content-Type", "text/html"}, {"X-Free", "1"}, {"IC-CertificateExpression", e.String()}}}
}

func TestCheckVersion2(t *testing.T) {
	only := Expression{Headers: []string{"x-free"}, Exclude: true}
	full := Expression{Request: &RequestPart{Headers: []string{"Range"}, Query: []string{"id"}}, Headers: []string{"content-type"}}
	var s site
	get := func(url string) *Request { return &Request{Method: "GET", URL: url} }
	index, missing, item, skipped := page(only, "index"), page(only, "not found"), page(full, "item"), page(SkipExpression, "anything")
	missing.Status = 404
	s.put(only, ExactPath("/index.html"), nil, index)
	s.put(only, WildcardPath(""), nil, missing)
	s.put(only, WildcardPath("/docs"), nil, missing)
	s.put(full, ExactPath("/item"), get("/item?id=1"), item)
	s.put(SkipExpression, WildcardPath("/live"), nil, skipped)

	try := func(req *Request, res *Response, path []string) (*Verified, error) {
		h, tree := s.prove(req.URL, path)
		if tree.Digest() != s.tree.Digest() {
			t.Fatal("a witness of another tree")
		}
		return Check(req, res, h, tree)
	}
	for _, c := range []struct {
		url  string
		res  *Response
		path []string
	}{
		{"/index.html", index, ExactPath("/index.html")},
		{"/index%2Ehtml?anything", index, ExactPath("/index.html")},
		{"/nowhere", missing, WildcardPath("")},
		{"/docs/a/b", missing, WildcardPath("/docs")},
		{"/item?id=1&unused=2", item, ExactPath("/item")},
		{"/live/now", skipped, WildcardPath("/live")},
	} {
		v, err := try(get(c.url), c.res, c.path)
		if err != nil || v.Version != 2 || v.Skipped != (c.res == skipped) {
			t.Fatalf("%s: %+v, %v", c.url, v, err)
		}
		if want := []HeaderField{{"Content-Type", "text/html"}}; !v.Skipped && !slices.Equal(v.Headers, want) {
			t.Errorf("%s: certified headers %v", c.url, v.Headers)
		}
	}

	edit := func(r *Response, change func(*Response)) *Response {
		c := &Response{Status: r.Status, Headers: slices.Clone(r.Headers), Body: bytes.Clone(r.Body)}
		change(c)
		return c
	}
	for name, c := range map[string]struct {
		req  *Request
		res  *Response
		path []string
	}{
		"body":                  {get("/index.html"), edit(index, func(r *Response) { r.Body[0] ^= 1 }), ExactPath("/index.html")},
		"status":                {get("/index.html"), edit(index, func(r *Response) { r.Status = 201 }), ExactPath("/index.html")},
		"header":                {get("/index.html"), edit(index, func(r *Response) { r.Headers[0].Value = "text/plain" }), ExactPath("/index.html")},
		"added header":          {get("/index.html"), edit(index, func(r *Response) { r.Headers = append(r.Headers, HeaderField{"Location", "/"}) }), ExactPath("/index.html")},
		"removed header":        {get("/index.html"), edit(index, func(r *Response) { r.Headers = r.Headers[1:] }), ExactPath("/index.html")},
		"expression":            {get("/index.html"), edit(index, func(r *Response) { r.Headers[2].Value = SkipExpression.String() }), ExactPath("/index.html")},
		"two expressions":       {get("/index.html"), edit(index, func(r *Response) { r.Headers = append(r.Headers, r.Headers[2]) }), ExactPath("/index.html")},
		"no expression":         {get("/index.html"), edit(index, func(r *Response) { r.Headers = r.Headers[:2] }), ExactPath("/index.html")},
		"path of another page":  {get("/nowhere"), index, ExactPath("/index.html")},
		"wildcard over a page":  {get("/index.html"), missing, WildcardPath("")},
		"less specific":         {get("/docs/a"), missing, WildcardPath("")},
		"wildcard elsewhere":    {get("/index.html"), missing, WildcardPath("/docs")},
		"not in the tree":       {get("/other"), index, ExactPath("/other")},
		"method":                {&Request{Method: "POST", URL: "/item?id=1"}, item, ExactPath("/item")},
		"query":                 {get("/item?id=2"), item, ExactPath("/item")},
		"no query":              {get("/item"), item, ExactPath("/item")},
		"certified req header":  {&Request{Method: "GET", URL: "/item?id=1", Headers: []HeaderField{{"range", "bytes=1-"}}}, item, ExactPath("/item")},
		"too many segments":     {get(strings.Repeat("/a", MaxSegments+1)), missing, WildcardPath("")},
		"skip for another path": {get("/nowhere"), skipped, WildcardPath("/live")},
	} {
		if v, err := try(c.req, c.res, c.path); err == nil {
			t.Errorf("%s: accepted, %+v", name, v)
		} else if name != "no expression" && !errors.Is(err, ErrMismatch) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is pruned is not absent.
	h := &Header{Version: 2, Path: WildcardPath("")}
	if _, err := Check(get("/nowhere"), missing, h, s.tree.Witness(hashtree.Path(WildcardPath("")...))); !errors.Is(err, ErrMismatch) {
		t.Errorf("without a proof that nothing more specific is there: %v", err)
	}
	if _, err := Check(get("/"), index, h, &hashtree.Fork{Left: &hashtree.Labeled{Label: []byte("b"), Tree: hashtree.Leaf("")}, Right: &hashtree.Labeled{Label: []byte("a"), Tree: hashtree.Leaf("")}}); !errors.Is(err, ErrMalformed) {
		t.Errorf("labels out of order: %v", err)
	}
}

func TestCheckVersion1(t *testing.T) {
	var tree *hashtree.Map
	for path, body := range map[string]string{"/index.html": "index", "/a b.js": "script"} {
		h := sha256.Sum256([]byte(body))
		tree = tree.Insert(hashtree.Path(LabelAssets, path), h[:])
	}
	try := func(url, body string, reveal []string, headers ...HeaderField) error {
		var paths [][][]byte
		for _, p := range reveal {
			paths = append(paths, hashtree.Path(LabelAssets, p))
		}
		v, err := Check(&Request{Method: "GET", URL: url}, &Response{Status: 200, Headers: headers, Body: []byte(body)}, &Header{Version: 1}, tree.Witness(paths...))
		if err == nil && (v.Version != 1 || v.Skipped || v.Headers != nil) {
			t.Errorf("%+v", v)
		}
		return err
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("script")) // a buffer takes everything
	_ = z.Close()
	gz := HeaderField{"Content-Encoding", "gzip"}
	for name, err := range map[string]error{
		"page":          try("/index.html", "index", []string{"/index.html"}),
		"escaped, gzip": try("/a%20b.js?v=1", zipped.String(), []string{"/a b.js"}, gz),
		"fallback":      try("/route", "index", []string{"/route", "/index.html"}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"body":                     try("/index.html", "index.", []string{"/index.html"}),
		"page for another":         try("/a%20b.js", "index", []string{"/index.html"}),
		"fallback without a proof": try("/aa", "index", []string{"/index.html"}),
		"fallback over an asset":   try("/a%20b.js", "index", []string{"/index.html", "/a b.js"}),
		"broken gzip":              try("/a%20b.js", "nonsense", []string{"/a b.js"}, gz),
		"nothing revealed":         try("/index.html", "index", nil),
	} {
		if !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bomb := new(bytes.Buffer)
	z, _ = gzip.NewWriterLevel(bomb, gzip.BestSpeed)
	for range MaxDecoded/(1<<20) + 1 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	if err := try("/index.html", bomb.String(), []string{"/index.html"}, gz); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a body that unpacks to more than is allowed: %v", err)
	}
}

func TestFindHeader(t *testing.T) {
	good := HeaderField{"ic-certificate", (&Header{Version: 1}).String()}
	if h, err := FindHeader(&Response{Headers: []HeaderField{good}}); err != nil || h.Version != 1 {
		t.Error(err)
	}
	for _, bad := range []string{"", "\x80", "\x81\x00\x00", "\x82\x03\x41x\x00"} {
		if _, err := (&Header{Tree: []byte(bad)}).DecodeTree(); !errors.Is(err, ErrMalformed) {
			t.Errorf("tree %x: %v", bad, err)
		}
	}
	if _, err := FindHeader(&Response{}); !errors.Is(err, ErrUncertified) {
		t.Error(err)
	}
	if _, err := FindHeader(&Response{Headers: []HeaderField{good, {"IC-Certificate", good.Value}}}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add((&Header{Certificate: []byte("cert"), Tree: []byte("tree"), Version: 1}).String())
	f.Add((&Header{Certificate: []byte("cert"), Tree: []byte("tree"), Version: 2, Path: ExactPath("/a/")}).String())
	f.Add("certificate=:Y2VydA==:,tree=:dHJlZQ==:,other=?1")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHeader(s)
		if err != nil {
			return
		}
		again, err := ParseHeader(h.String())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(h) {
			t.Fatalf("%q: %v, then %v, %v", s, h, again, err)
		}
	})
}

func FuzzParseExpression(f *testing.F) {
	f.Add(spread)
	f.Add(SkipExpression.String())
	f.Add((&Expression{Request: &RequestPart{Headers: []string{"a", "b"}, Query: []string{"c"}}, Headers: []string{}}).String())
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseExpression(s)
		if err != nil {
			return
		}
		again, err := ParseExpression(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%q: %v, then %v, %v", s, e, again, err)
		}
	})
}

// FuzzCheck mutates a certified response and the tree that proves it: whatever is accepted under the same digest is what was certified.
func FuzzCheck(f *testing.F) {
	e := Expression{Exclude: true}
	var s site
	index := page(e, "index")
	s.put(e, ExactPath("/index.html"), nil, index)
	missing := page(e, "missing")
	missing.Status = 404
	s.put(e, WildcardPath(""), nil, missing)
	_, tree := s.prove("/index.html", ExactPath("/index.html"))
	f.Add("/index.html", uint16(200), "text/html", "1", "index", e.String(), AppendPath(nil, ExactPath("/index.html")), hashtree.Encode(tree))
	_, tree = s.prove("/a", WildcardPath(""))
	f.Add("/a", uint16(404), "text/html", "1", "missing", e.String(), AppendPath(nil, WildcardPath("")), hashtree.Encode(tree))
	f.Fuzz(func(t *testing.T, url string, status uint16, mime, free, body, expression string, path, tree []byte) {
		n, err := hashtree.Decode(tree)
		if err != nil {
			return
		}
		p, err := parsePath(path)
		if err != nil {
			return
		}
		res := &Response{Status: status, Body: []byte(body), Headers: []HeaderField{{"Content-Type", mime}, {"X-Free", free}, {"IC-CertificateExpression", expression}}}
		v, err := Check(&Request{Method: "GET", URL: url}, res, &Header{Version: 2, Path: p}, n)
		if err != nil || n.Digest() != s.tree.Digest() {
			return
		}
		want := missing
		if path, _, _ := SplitURL(url); slices.Equal(Segments(path), []string{"index.html"}) {
			want = index
		}
		if v.Skipped || status != want.Status || body != string(want.Body) || !slices.Equal(res.Headers, want.Headers) {
			t.Fatalf("%s: accepted %+v", url, res)
		}
	})
}
