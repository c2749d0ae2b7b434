package testnets_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	spans "go.opentelemetry.io/proto/otlp/trace/v1"

	"fusion/chainkey"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica"
	"fusion/replica/management"
	"fusion/replica/tracing/tracingtest"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestOperator looks at a network of four as its operators do: metrics, health and readiness while replicas start, catch up and halt.
func TestOperator(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a network")
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	dir := must(os.MkdirTemp("", "fn"))(t)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(testnets.Create(dir, testnets.Settings{Ethereum: testnets.EthereumGeth, Keys: []chainkey.KeyID{}, CommitWait: 50 * time.Millisecond}))(t)
	cfg := must(replica.LoadConfig(testnets.NodeDir(dir, 0)))(t)
	traces := tracingtest.New(t)
	cfg.OTLPEndpoint = replica.SecretURL(traces.URL)
	check(t, cfg.Save())
	n := must(testnets.Run(ctx, dir, testnets.RunOptions{}))(t)
	t.Cleanup(func() { check(t, n.Close()) })

	asked := func(i int, path string) (int, string) {
		t.Helper()
		res := must(http.Get(n.URL(i) + path))(t)
		defer res.Body.Close()
		return res.StatusCode, strings.TrimSpace(string(must(io.ReadAll(res.Body))(t)))
	}
	await := func(what string, i, code int, sentence string) {
		t.Helper()
		check(t, golden.Wait(ctx, what, func() (string, error) {
			for path, well := range map[string]string{"/health": "healthy", "/ready": "ready"} {
				c, text := asked(i, path)
				if (text == well) != (c == http.StatusOK) {
					return "", fmt.Errorf("%s: %d %s", path, c, text)
				}
				if c != code || !strings.Contains(text, sentence) {
					return path + ": " + text, nil
				}
			}
			return "", nil
		}))
	}
	await("the network", 0, http.StatusOK, "")
	documentedMetrics(t, n.URL(0))
	traced(ctx, t, n, traces)

	// Two of four are no quorum: those that are left are neither healthy nor ready, and say why.
	check(t, n.StopReplica(2))
	check(t, n.StopReplica(3))
	await("that the network halts", 0, http.StatusServiceUnavailable, "no quorum: connected to 1 replicas, 2 are needed")
	if s := n.Replica(0).Status(); len(s.Trouble) == 0 || s.Trouble[0].Name != "no-quorum" {
		t.Errorf("trouble: %+v", s.Trouble)
	}
	height, stopped := n.Replica(0).Status().Height, time.Now()
	check(t, n.StartReplica(ctx, 2))
	await("that three go on", 0, http.StatusOK, "")
	check(t, golden.Wait(ctx, "blocks that replica 3 misses", func() (string, error) {
		if s := n.Replica(0).Status(); s.Height < height+10 || s.BlockTime.Sub(stopped) < 12*time.Second {
			return fmt.Sprintf("at block %d", s.Height), nil
		}
		return "", nil
	}))
	// Replica 3 is ready only when it has the newest blocks.
	check(t, n.StartReplica(ctx, 3))
	if word, s := n.Replica(3).Ready(), n.Replica(3).Status(); s.Height <= height && word == "ready" {
		t.Errorf("ready at block %d: %s", s.Height, s.Sentence)
	}
	await("that replica 3 catches up", 3, http.StatusOK, "")
	if s := n.Replica(3).Status(); s.Height <= height || s.CatchingUp {
		t.Errorf("healthy and ready at block %d of %d", s.Height, n.Replica(0).Status().Height)
	}
	r := n.Replica(3)
	answeredLast(t, n, 3)
	if word := r.Ready(); word != "stopping" {
		t.Errorf("a replica that stopped says %q", word)
	}
}

// answeredLast stops a replica while a request is in progress: /ready says so, and the request is answered.
func answeredLast(t *testing.T, n *testnets.Network, i int) {
	t.Helper()
	conn := must(net.Dial("tcp", strings.TrimPrefix(n.URL(i), "http://")))(t)
	defer conn.Close()
	const body = "no envelope"
	must(fmt.Fprintf(conn, "POST /api/v2/canister/%s/query HTTP/1.1\r\nHost: %s\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		principal.Management, conn.RemoteAddr(), len(body)))(t)
	in := bufio.NewReader(conn)
	if line := must(in.ReadString('\n'))(t); !strings.Contains(line, "100 Continue") { // the body is waited for
		t.Fatal(line)
	}
	must(in.ReadString('\n'))(t)
	stopped := make(chan error, 1)
	go func() { stopped <- n.StopReplica(i) }()
	for said := ""; said != "stopping"; {
		res := must(http.Get(n.URL(i) + "/ready"))(t)
		said = strings.TrimSpace(string(must(io.ReadAll(res.Body))(t)))
		res.Body.Close()
		if said == "stopping" && res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a replica that stops answers /ready with %d", res.StatusCode)
		}
	}
	must(io.WriteString(conn, body))(t)
	res := must(http.ReadResponse(in, nil))(t)
	if text := string(must(io.ReadAll(res.Body))(t)); res.StatusCode != http.StatusBadRequest {
		t.Errorf("the request in progress was answered %d %s", res.StatusCode, text)
	}
	check(t, <-stopped)
}

// documentedMetrics: the metrics of a replica are those of the tables in docs/operate.md, with their types.
func documentedMetrics(t *testing.T, url string) {
	t.Helper()
	served := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(get(t, url+"/metrics"), -1) {
		served[m[1]] = m[2]
	}
	_, section, _ := strings.Cut(string(must(os.ReadFile("../docs/operate.md"))(t)), "\n## Health and metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| (.*?) \\| (.*?) \\| (.*?) \\|$").FindAllStringSubmatch(section, -1) {
		if told[m[1]] = m[2]; m[3] == "" || m[4] == "" || m[5] == "" {
			t.Errorf("docs/operate.md leaves something about %s out", m[1])
		}
	}
	if runtime.GOOS != "linux" { // elsewhere less is known of a process
		for _, of := range []map[string]string{served, told} {
			for name := range of {
				if strings.HasPrefix(name, "process_") {
					delete(of, name)
				}
			}
		}
	}
	for name, kind := range served {
		if told[name] != kind {
			t.Errorf("docs/operate.md has %s as %q, it is a %s", name, told[name], kind)
		}
		delete(told, name)
	}
	delete(told, "fusion_signing_presignatures") // of networks of another scheme, see TestIdkg
	for name := range told {
		t.Errorf("docs/operate.md has %s, which is not served", name)
	}
	if len(served) < 60 {
		t.Errorf("only %d metrics are served", len(served))
	}
	if len(replica.Troubles) != strings.Count(get(t, url+"/metrics"), "\nfusion_trouble{") {
		t.Error("a trouble is not shown while it is none")
	}
}

// traced: a call through a replica with a collector gives a trace of all its parts, without what was said in it.
func traced(ctx context.Context, t *testing.T, n *testnets.Network, c *tracingtest.Collector) {
	t.Helper()
	user := must(n.Agent(must(identity.GenerateEd25519())(t)))(t)
	defer user.Close()
	var created management.CanisterID
	check(t, user.Update(ctx, principal.Management, "provisional_create_canister_with_cycles", []any{management.ProvisionalCreateArgs{}}, []any{&created}))
	const secret = "the secret of this call"
	check(t, user.Update(ctx, principal.Management, "upload_chunk", []any{struct {
		Canister principal.Principal `candid:"canister_id"`
		Chunk    []byte              `candid:"chunk"`
	}{created.CanisterID, []byte(secret)}}, nil))
	want := []string{"accept", "answer", "call", "certify", "execute", "pool", "propose"}
	check(t, golden.Wait(ctx, "the traces of two calls", func() (string, error) {
		if n := len(c.Spans()); n < 2*len(want) {
			return fmt.Sprintf("%d spans", n), nil
		}
		return "", nil
	}))
	parts, roots := map[string][]string{}, map[string]*spans.Span{}
	for _, s := range c.Spans() {
		if parts[string(s.TraceId)] = append(parts[string(s.TraceId)], s.Name); s.Name == "call" {
			roots[string(s.TraceId)] = s
		}
	}
	for id, names := range parts {
		if slices.Sort(names); !slices.Equal(names, want) || roots[id] == nil || len(roots[id].ParentSpanId) > 0 {
			t.Errorf("a trace has the spans %v, want %v", names, want)
		}
	}
	for _, s := range c.Spans() {
		if root := roots[string(s.TraceId)]; s != root && string(s.ParentSpanId) != string(root.SpanId) {
			t.Errorf("%s is no part of its call", s.Name)
		}
	}
	sender := user.Sender()
	if text := c.Raw(); strings.Contains(text, secret) || strings.Contains(text, sender.String()) || !strings.Contains(text, "upload_chunk") {
		t.Error("the traces show an argument or a sender, or no method")
	}
}
