package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"fusion/btc"
	"fusion/exchange/proof"
	"fusion/exchange/watch"
	"fusion/testnets/golden"
	"fusion/testnets/meshcheck"
	"fusion/testnets/processes"
)

// TestExchangeDocument runs each command of docs/exchange.md, in its order, against a network of replicas. What stands there in capitals, or is an
// example of a place, is filled in.
func TestExchangeDocument(t *testing.T) {
	fusion := program(t, "FUSION_BIN")
	text, err := os.ReadFile("../../docs/exchange.md")
	must(t, err)
	w := golden.NewWorld(t, golden.Run(t))
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	alice, us := user(t, w, golden.Owner, 0), user(t, w, "default", 0)
	const credit = 2_000_000
	paid, err := alice.Pay(ctx, us.Agent.Sender(), credit)
	must(t, err)

	dir := t.TempDir()
	must(t, os.Symlink(fusion, filepath.Join(dir, "fusion")))
	env := []string{"FUSION_DATA_DIR=" + w.Dir, "PATH=" + dir + ":" + os.Getenv("PATH")}
	d := &document{t: t, ctx: ctx, dir: dir, env: env, known: map[string]string{
		"URL": w.URL(1), "HEX": hex.EncodeToString(w.RootKey()), "ID": w.Ledger.String(), "PRINCIPAL": alice.Agent.Sender().String(),
		"DIR": filepath.Join(dir, "again"), "/var/lib/watch": filepath.Join(dir, "watch"), "127.0.0.1:8080": "127.0.0.1:0",
		"~/.bitcoin/.cookie": filepath.Join(dir, "cookie"), "ADDRESS": golden.FreshAddress("document"),
	}}
	b := &books{t: t, booked: map[string]watch.Event{}}
	receiver := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) { b.ServeHTTP(out, r) }))
	defer receiver.Close()
	d.known["https://exchange.example/deposits"] = receiver.URL
	must(t, os.WriteFile(d.known["~/.bitcoin/.cookie"], []byte("u:p"), 0o600))
	bitcoin := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		answerAsNode(t, filepath.Join(dir, "reserves.json"), w, out, r)
	}))
	defer bitcoin.Close()
	d.known["http://127.0.0.1:8332"] = bitcoin.URL

	event := fmt.Sprintf("%s/%d", w.Ledger, paid)
	least := map[string]int{"fusion exchange secret": 1, "fusion exchange watch": 2, "fusion rosetta": 2, "fusion proof make": 1, "fusion proof verify": 2,
		"fusion ckbtc address": 1, "fusion ckbtc update-balance": 1, "fusion ckbtc transfer": 1, "fusion ckbtc redeem": 1, "fusion ckbtc status": 1}
	count := map[string]int{}
	for _, line := range commandsIn(t, string(text)) {
		name := ""
		for known := range least {
			if strings.HasPrefix(line, known+" ") || line == known {
				name = known
			}
		}
		count[name]++
		switch name {
		case "fusion exchange watch":
			if strings.Contains(line, "--webhook") {
				b.secrets, err = watch.ReadSecrets(filepath.Join(dir, "webhook.secret"))
				must(t, err)
			}
			d.serve(line, func(log string) (string, error) {
				if strings.Contains(line, "--webhook") {
					if _, of := b.deposits(); of[strings.Repeat("0", 64)] != credit {
						return "no webhook yet", nil
					}
				} else if !strings.Contains(log, fmt.Sprintf("%q", event)) {
					return "no line with " + event + " yet", nil
				}
				return "", nil
			})
		case "fusion rosetta":
			if !strings.Contains(line, "--listen") {
				line = strings.Replace(line, "fusion rosetta", "fusion rosetta --listen 127.0.0.1:0", 1)
			}
			d.serve(line, func(log string) (string, error) {
				at := regexp.MustCompile(`Mesh API at (http://\S+) `).FindStringSubmatch(log)
				if at == nil {
					return "it does not serve yet", nil
				}
				return (&meshcheck.Run{URL: at[1], Ledger: w.Ledger}).Proven(ctx, paid)
			})
		case "fusion ckbtc address":
			d.known["DEPOSIT"] = strings.TrimSpace(d.run(line))
		case "fusion ckbtc update-balance": // until the network has read the blocks
			must(t, golden.Wait(ctx, "the deposit", func() (string, error) {
				if out, err := d.try(line); err != nil {
					return out, nil
				}
				return "", nil
			}))
		case "fusion ckbtc redeem":
			block := regexp.MustCompile(`ledger block (\d+)`).FindStringSubmatch(d.run(line))
			if block == nil {
				t.Fatalf("%s names no block", line)
			}
			d.known["BLOCK"] = block[1]
		default:
			d.run(line)
		}
	}
	for name, least := range least {
		if count[name] < least {
			t.Errorf("the document has %s %d times, want at least %d", name, count[name], least)
		}
	}
	if got, err := us.Own(ctx); err != nil || got >= credit+1_000_000-100_000-500_000 || got < credit+300_000 {
		t.Errorf("the documented user has %d sat in the end (%v)", got, err)
	}
}

// commandsIn are the lines of the blocks without a language. All are calls of fusion, but for one that needs an Ethereum node.
func commandsIn(t *testing.T, text string) (out []string) {
	block, plain := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			block = !block
			plain = block && line == "```"
		case !plain || line == "" || strings.HasPrefix(line, "cast send "):
		case strings.HasPrefix(line, "fusion "):
			out = append(out, line)
		default:
			t.Errorf("a block of commands has the line %q", line)
		}
	}
	return out
}

// document runs commands as a reader of a document would.
type document struct {
	t     *testing.T
	ctx   context.Context
	dir   string
	env   []string
	known map[string]string // what is filled in
	logs  int
}

var blanks = regexp.MustCompile(`\b(URL|HEX|ID|DIR|DEPOSIT|ADDRESS|PRINCIPAL|BLOCK)\b|/var/lib/watch|127\.0\.0\.1:8080|https://exchange\.example/deposits|http://127\.0\.0\.1:8332|~/\.bitcoin/\.cookie`)

func (d *document) fill(line string) string {
	return blanks.ReplaceAllStringFunc(line, func(blank string) string {
		v, ok := d.known[blank]
		if !ok {
			d.t.Fatalf("%s: nothing before says what %s is", line, blank)
		}
		return v
	})
}

func (d *document) try(line string) (string, error) {
	c := exec.CommandContext(d.ctx, "sh", "-c", d.fill(line))
	c.Dir, c.Env = d.dir, append(os.Environ(), d.env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func (d *document) run(line string) string {
	d.t.Helper()
	out, err := d.try(line)
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// serve runs a command that goes on until it is stopped, which it is once nothing is missing.
func (d *document) serve(line string, missing func(log string) (string, error)) {
	d.t.Helper()
	d.logs++
	log := filepath.Join(d.dir, fmt.Sprintf("log%d", d.logs))
	p, err := processes.Spawn(log, d.env, "sh", "-c", "cd "+d.dir+" && exec "+d.fill(line))
	must(d.t, err)
	err = golden.Wait(d.ctx, line, func() (string, error) {
		if err := p.Ended(); err != nil {
			return "", err
		}
		b, err := os.ReadFile(log)
		if err != nil {
			return "", err
		}
		return missing(string(b))
	})
	if end := p.End(syscall.SIGTERM); err == nil {
		err = end
	}
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", line, err, golden.Tail(log, 20))
	}
}

// answerAsNode answers as a Bitcoin node in whose chain the outputs of a proof are, as the network's own node has them.
func answerAsNode(t *testing.T, file string, w *golden.World, out http.ResponseWriter, r *http.Request) {
	b, err := os.ReadFile(file)
	var report *proof.Report
	if err == nil {
		report, err = proof.Verify(b, w.RootKey(), w.Minter)
	}
	var calls []struct {
		ID     int    `json:"id"`
		Method string `json:"method"`
		Params []any  `json:"params"`
	}
	if err == nil {
		err = json.NewDecoder(r.Body).Decode(&calls)
	}
	if err != nil {
		t.Errorf("the bitcoin node: %v", err)
		return
	}
	var answers []string
	for _, c := range calls {
		result := `{"chain":"regtest","blocks":120,"initialblockdownload":false}`
		if c.Method == "gettxout" {
			result = "null"
			for _, o := range report.Outputs {
				if o.Outpoint.Txid.String() == c.Params[0] && float64(o.Outpoint.Vout) == c.Params[1] {
					a, err := btc.ParseAddress(report.Network, o.Address)
					if err != nil {
						t.Error(err)
						continue
					}
					result = fmt.Sprintf(`{"bestblock":"00","confirmations":9,"value":%d.%08d,"scriptPubKey":{"hex":"%x"},"coinbase":false}`, o.Value/1e8, o.Value%1e8, a.Script())
				}
			}
		}
		answers = append(answers, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, c.ID, result))
	}
	_, _ = io.WriteString(out, "["+strings.Join(answers, ",")+"]")
}
