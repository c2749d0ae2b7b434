package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fusion/testnets/canisters/forger"
	"fusion/testnets/golden"
	"fusion/testnets/processes"
)

var created = regexp.MustCompile(`created canister (\S+)`)

// install builds a Go package and installs it in a new canister, as a developer does, and returns its id.
func install(ctx context.Context, t *testing.T, n *processes.Network, pkg string) string {
	t.Helper()
	fusion := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, n.Program, args...)
		cmd.Dir = filepath.Join("..", "..")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("fusion %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	module := filepath.Join(t.TempDir(), "module.wasm.gz")
	fusion("build", pkg, "-o", module)
	out := fusion("--data-dir", n.Dir, "canister", "install", module)
	id := created.FindStringSubmatch(out)
	if id == nil {
		t.Fatalf("no canister id in %q", out)
	}
	return id[1]
}

// page is the address of a canister's page at replica i; kind is "" or ".raw".
func page(t *testing.T, n *processes.Network, i int, canister, kind, path string) string {
	t.Helper()
	u, err := url.Parse(n.URL(i))
	must(t, err)
	return fmt.Sprintf("http://%s%s.localhost:%s%s", canister, kind, u.Port(), path)
}

// TestPages opens pages of canisters in Chromium, and has verifiers made by others judge them: what the subnet certified is shown and works, what it
// did not certify is not.
func TestPages(t *testing.T) {
	program(t, "FUSION_BIN")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // the network may have to be made first
	defer cancel()
	n, w := run(ctx, t)
	b := chromium(t)
	sample := install(ctx, t, n, "./examples/go/certified-page/cmd")
	forged := install(ctx, t, n, "./testnets/canisters/forger/cmd/forger")

	t.Run("others", func(t *testing.T) { verifiers(ctx, t, w, sample, forged) })

	t.Run("sample", func(t *testing.T) {
		id := sample
		p := b.open(ctx, page(t, n, 0, id, "", "/"))
		p.wait(ctx, text("#status"), "ready") // set at the end of the page's script
		for expression, want := range map[string]string{
			"document.title":     "Certified page",
			text("h1"):           "Certified page",
			text("#message"):     "hello, web",
			text("#page"):        "hello, web", // fetched and verified by the gateway
			text("#query"):       "hello, web", // by a query of the API at the page's own origin
			"isSecureContext":    "true",
			"location.origin":    strings.TrimSuffix(page(t, n, 0, id, "", "/"), "/"),
			navigation("Status"): "200",
			"getComputedStyle(document.querySelector('main')).borderRadius": "12px", // the style sheet is in force
		} {
			if got := p.value(ctx, expression); got != want {
				t.Errorf("%s is %q, want %q", expression, got, want)
			}
		}
		if got := p.value(ctx, text("#replica")); !strings.HasSuffix(got, ", healthy") {
			t.Errorf("the replica is %q", got)
		}
		// The form's POST becomes an update call; the page then reads what the subnet agreed on.
		const line = "written in a browser, “naïvely” <b>"
		p.value(ctx, "document.querySelector('input').focus()")
		p.write(ctx, line)
		p.wait(ctx, text("#status"), "written")
		p.wait(ctx, text("#message"), line)
		p.wait(ctx, text("#query"), line)
		if got := p.complaints(); len(got) > 0 {
			t.Errorf("the page complains: %q", got)
		}
		// Another replica shows it too, at an origin of its own.
		other := b.open(ctx, page(t, n, 1, id, "", "/"))
		other.wait(ctx, text("#message"), line)
		// A path without a page of its own gets the one that is certified for all of them.
		lost := b.open(ctx, page(t, n, 0, id, "", "/no/such/page"))
		if got := lost.value(ctx, "document.body.textContent.trim() + ' ' + "+navigation("Status")); got != "there is no such page 404" {
			t.Errorf("a path without a page: %q", got)
		}
	})

	t.Run("forger", func(t *testing.T) {
		id := forged
		for path, title := range map[string]string{"/": "true", "/old": "old"} {
			p := b.open(ctx, page(t, n, 0, id, "", path))
			if got := p.value(ctx, text("#p")); got != title+", and its script ran" || p.value(ctx, navigation("Status")) != "200" {
				t.Errorf("%s shows %q", path, got)
			}
		}
		for path, why := range map[string]string{"/body": "not the one that the canister certified", "/header": "not the one that the canister certified",
			"/swapped": "", "/cut": "not the one that the canister certified", "/plain": "did not certify"} {
			p := b.open(ctx, page(t, n, 0, id, "", path))
			if got := p.value(ctx, "document.title+' '+"+navigation("Status")); got != "This page is not shown 503" {
				t.Errorf("%s: %q", path, got)
			}
			if got := p.value(ctx, "document.body.textContent"); !strings.Contains(got, why) || strings.Contains(got, "script ran") {
				t.Errorf("%s says %q", path, got)
			}
			if got := p.value(ctx, "document.cookie"); got != "" {
				t.Errorf("%s left the cookie %q", path, got)
			}
		}

		p := b.open(ctx, page(t, n, 0, id, "", "/"))
		digest := func(path, init string) string {
			got, err := p.eval(ctx, fmt.Sprintf(`(async () => {
				const res = await fetch(%q, %s), body = await res.arrayBuffer();
				const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', body));
				return res.status + ' ' + body.byteLength + ' ' + [...hash].map((b) => b.toString(16).padStart(2, '0')).join('');
			})()`, path, init))
			if err != nil {
				return err.Error()
			}
			return got
		}
		whole := func(status int, body []byte) string {
			return fmt.Sprintf("%d %d %x", status, len(body), sha256.Sum256(body))
		}
		large := forger.Blob(forger.LargeSize)
		for _, c := range []struct{ path, init, want string }{
			{"/stream", "{}", whole(200, forger.Blob(forger.StreamSize))},
			{"/large", "{}", whole(200, large)}, // put together of certified ranges
			{"/large", fmt.Sprintf("{headers: {Range: 'bytes=%d-'}}", 2*forger.RangeSize), whole(206, large[2*forger.RangeSize:3*forger.RangeSize])},
		} {
			if got := digest(c.path, c.init); got != c.want {
				t.Errorf("%s %s: %s, want %s", c.path, c.init, got, c.want)
			}
		}
		if got := digest("/torn", "{}"); !strings.Contains(got, "TypeError") {
			t.Errorf("a body whose second range is forged arrives: %s", got)
		}

		// The raw host shows what is not certified, as another origin: it has neither the storage of the certified one nor access to its pages.
		p.value(ctx, "localStorage.setItem('mine', '1')")
		raw := b.open(ctx, page(t, n, 0, id, ".raw", "/plain"))
		if got := raw.value(ctx, text("#p")+"+' '+localStorage.getItem('mine')"); got != "plain, and its script ran null" {
			t.Errorf("raw: %q", got)
		}
		got := raw.value(ctx, fmt.Sprintf("fetch(%q).then((r) => 'read ' + r.status, (err) => err.name)", page(t, n, 0, id, "", "/")))
		if got != "TypeError" {
			t.Errorf("the raw page reads the certified one: %s", got)
		}
	})
}

// navigation is an expression for what the browser knows of the response that the page came in.
func navigation(what string) string {
	return "performance.getEntriesByType('navigation')[0].response" + what
}

// verifiers runs the response and certificate verification of other makers on the two canisters' pages.
func verifiers(ctx context.Context, t *testing.T, w *golden.World, sample, forged string) {
	cmd := exec.CommandContext(ctx, "node", "pages.mjs")
	cmd.Dir = filepath.Join("..", "js", "pages")
	if _, err := os.Stat(filepath.Join(cmd.Dir, "node_modules")); err != nil {
		t.Fatalf("the verifiers are not installed: %v; run `make e2e`", err)
	}
	cmd.Env = append(os.Environ(), "FUSION_URL="+w.URL(0), "FUSION_ROOT_KEY="+hex.EncodeToString(w.RootKey()), "FUSION_SITE="+sample, "FUSION_FORGER="+forged)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	var saw struct {
		Passed  []string
		Refused map[string]string
	}
	if err := json.Unmarshal(out, &saw); err != nil || len(saw.Passed) != 14 || len(saw.Refused) != 22 {
		t.Errorf("%d passed, %d refused, %v", len(saw.Passed), len(saw.Refused), err)
	}
	t.Logf("%s", out)
}
