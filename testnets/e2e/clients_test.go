package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// TestClients has the JavaScript libraries from npm, unmodified, do what they can do: queries and calls with identities of every
// kind, management, state reads; and refuse what dishonest replicas tell them.
func TestClients(t *testing.T) {
	program(t, "FUSION_BIN")
	module := os.Getenv("FUSION_ISSUER")
	if module == "" {
		t.Fatal("FUSION_ISSUER names no module; run `make e2e`")
	}
	js, err := filepath.Abs(filepath.Join("..", "js"))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel) // after the parallel parts, which take a minute on an idle machine
	_, w := run(ctx, t)
	for _, c := range []struct{ name, dir, script string }{
		{"core6", "", "clients-core6.mjs"}, {"core5", "core5", "clients.mjs"}, {"legacy", "legacy", "clients.mjs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // they wait for blocks mostly
			dir := filepath.Join(js, c.dir)
			if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
				t.Fatalf("the client is not installed: %v; run `make e2e`", err)
			}
			faults, err := json.Marshal(liars(t, w.URL(0)))
			must(t, err)
			cmd := exec.CommandContext(ctx, "node", c.script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "FUSION_URL="+w.URL(0), "FUSION_ROOT_KEY="+hex.EncodeToString(w.RootKey()),
				"FUSION_SUBNET="+principal.SelfAuthenticating(w.RootKey()).String(), "FUSION_MODULE="+module, "FUSION_FAULTS="+string(faults))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			start := time.Now()
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("node: %v\n%s", err, stderr.String())
			}
			var saw struct{ Checks []string }
			if err := json.Unmarshal(out, &saw); err != nil {
				t.Fatalf("%v in %q", err, out)
			}
			want := []string{"status", "chunked install", "query, anonymous", "update, chain of delegations", "update, passkey RSA", "update, canister signature",
				"read_state, module hash", "polling", "the number of the snapshot", "a certificate with a changed signature, update",
				"a query that another node signed, query", "a subnet that does not hold the canister, update", "a subnet that holds the canister, update"}
			if c.name == "core6" {
				want = append(want, "subnet, canister ranges", "sender_info")
			}
			for _, name := range want {
				if !slices.Contains(saw.Checks, name) {
					t.Errorf("it did not check %q", name)
				}
			}
			t.Logf("%d checks in %s: %s", len(saw.Checks), time.Since(start).Round(time.Second), strings.Join(saw.Checks, "; "))
		})
	}
}

// fault is a dishonest replica, and by which words of its error a client is to refuse its answers; no words mean that it is to
// accept them.
type fault struct {
	URL      string `json:"url"`
	Query    string `json:"query"`
	Update   string `json:"update"`
	Root     string `json:"root,omitempty"`     // DER in hexadecimal, where it is not the network's
	Canister string `json:"canister,omitempty"` // likewise
}

func liars(t *testing.T, replicaURL string) map[string]fault {
	t.Helper()
	stranger, err := identity.GenerateEd25519()
	must(t, err)
	certificates := func(change func(*certificate.Certificate)) func(path string, body []byte) ([]byte, error) {
		return func(path string, body []byte) ([]byte, error) {
			if strings.HasSuffix(path, "/query") {
				return body, nil
			}
			return changeCertificate(path, body, change)
		}
	}
	queries := func(change func(*envelope.QueryResponse)) func(path string, body []byte) ([]byte, error) {
		return func(path string, body []byte) ([]byte, error) {
			if !strings.HasSuffix(path, "/query") {
				return body, nil
			}
			q, err := envelope.DecodeQueryResponse(body)
			if err != nil {
				return nil, err
			}
			change(q)
			return q.Encode(), nil
		}
	}
	const verification = "certificate|signature|verif|trust|hash"
	return map[string]fault{
		"a certificate with a changed signature": {URL: dishonest(t, replicaURL, certificates(func(c *certificate.Certificate) {
			c.Signature = bytes.Clone(c.Signature)
			c.Signature[20] ^= 1
		})), Query: verification, Update: verification},
		"a certificate with a changed reply": {URL: dishonest(t, replicaURL, certificates(func(c *certificate.Certificate) {
			c.Tree = replaceLeaf(c.Tree, "reply", candid.MustMarshal(stranger.Sender()))
		})), Update: verification},
		"a changed query reply":       {URL: dishonest(t, replicaURL, queries(func(q *envelope.QueryResponse) { q.Reply = candid.MustMarshal(stranger.Sender()) })), Query: verification},
		"a query without a signature": {URL: dishonest(t, replicaURL, queries(func(q *envelope.QueryResponse) { q.Signatures = nil })), Query: "signature"},
		"a query that another node signed": {URL: dishonest(t, replicaURL, queries(func(q *envelope.QueryResponse) {
			q.Signatures[0].Signature, _ = stranger.Sign([]byte("another message")) // never fails
		})), Query: verification},
		"a query that nobody's node signed":        {URL: dishonest(t, replicaURL, queries(func(q *envelope.QueryResponse) { q.Signatures[0].Identity = stranger.Sender() })), Query: verification + "|node|key"},
		"a subnet that holds the canister":         subnetFault(t, 100, 200, ""),
		"a subnet that does not hold the canister": subnetFault(t, 300, 400, verification+"|range|authorized|canister"),
	}
}

// dishonest is a replica that changes the answers of an honest one.
func dishonest(t *testing.T, honest string, change func(path string, body []byte) ([]byte, error)) string {
	t.Helper()
	target, err := url.Parse(honest)
	must(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host },
		ModifyResponse: func(res *http.Response) error {
			if res.StatusCode != http.StatusOK || res.Request.Method != http.MethodPost {
				return nil
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			if body, err = change(res.Request.URL.Path, body); err != nil {
				t.Errorf("%s: %v", res.Request.URL.Path, err)
				return err
			}
			res.Body = io.NopCloser(bytes.NewReader(body))
			res.ContentLength = int64(len(body))
			res.Header.Set("Content-Length", "")
			res.Header.Del("Content-Length")
			return nil
		},
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s.URL
}

func changeCertificate(path string, body []byte, change func(*certificate.Certificate)) ([]byte, error) {
	altered := func(raw []byte) ([]byte, error) {
		c, err := certificate.Parse(raw)
		if err != nil {
			return nil, err
		}
		change(c)
		return c.Encode(), nil
	}
	if strings.HasSuffix(path, "/read_state") {
		r, err := envelope.DecodeReadStateResponse(body)
		if err != nil {
			return nil, err
		}
		if r.Certificate, err = altered(r.Certificate); err != nil {
			return nil, err
		}
		return r.Encode(), nil
	}
	r, err := envelope.DecodeCallResponse(body)
	if err != nil {
		return nil, err
	}
	if r.Certificate == nil {
		return nil, errors.New("the call was refused")
	}
	if r.Certificate, err = altered(r.Certificate); err != nil {
		return nil, err
	}
	return r.Encode(), nil
}

// replaceLeaf changes the value under a label, wherever it is.
func replaceLeaf(n hashtree.Node, label string, value []byte) hashtree.Node {
	switch n := n.(type) {
	case *hashtree.Fork:
		return &hashtree.Fork{Left: replaceLeaf(n.Left, label, value), Right: replaceLeaf(n.Right, label, value)}
	case *hashtree.Labeled:
		if string(n.Label) == label {
			return &hashtree.Labeled{Label: n.Label, Tree: hashtree.Leaf(value)}
		}
		return &hashtree.Labeled{Label: n.Label, Tree: replaceLeaf(n.Tree, label, value)}
	}
	return n
}

// subnetFault is a subnet under another root key, which claims to hold the canister 150 and has a delegation for some canisters.
func subnetFault(t *testing.T, first, last uint64, words string) fault {
	t.Helper()
	now := uint64(time.Now().UnixNano())
	root, sub := httpmem.New(1, now), httpmem.New(2, now)
	root.DelegateTo(sub, certificate.Range{First: principal.FromUint64(first), Last: principal.FromUint64(last)})
	id := principal.FromUint64(150)
	whoami := func(caller principal.Principal, _ string, _ []byte) ([]byte, error) { return candid.Marshal(caller) }
	sub.Install(id, &httpmem.Canister{Query: whoami, Update: whoami})
	h := replicahttp.NewHandler(sub, replicahttp.Config{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sub.SetTime(uint64(time.Now().UnixNano()))
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return fault{URL: s.URL, Query: words, Update: words, Root: hex.EncodeToString(root.RootKeyDER()), Canister: id.String()}
}
