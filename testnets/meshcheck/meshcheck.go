// Package meshcheck runs rosetta-cli, the Mesh API's own conformance checks, against a server, for tests.
package meshcheck

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/exchange/rosetta"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/internal/freeport"
)

// Account is an account with its key as rosetta-cli is given it.
type Account struct {
	Key     string              `json:"privkey"`
	Account map[string]any      `json:"account_identifier"`
	Curve   string              `json:"curve_type"`
	Coin    map[string]any      `json:"currency"`
	Owner   principal.Principal `json:"-"`
}

// Accounts makes an account of each kind of key.
func Accounts(t testing.TB, currency map[string]any) (out []*Account) {
	t.Helper()
	add := func(curve string, key, public []byte) {
		owner := principal.SelfAuthenticating(public)
		out = append(out, &Account{hex.EncodeToString(key), map[string]any{"address": owner.String()}, curve, currency, owner})
	}
	for range 2 {
		k1, err := secp256k1.GeneratePrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		add("secp256k1", k1.Serialize(), identity.EncodeSecp256k1(k1.PubKey()))
	}
	var r1 *ecdsa.PrivateKey
	var scalar []byte
	for len(scalar) == 0 || scalar[0] == 0 { // rosetta-cli 0.10.4 drops leading zeros of such a key and then refuses it for its length
		var err error
		if r1, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			scalar, err = r1.Bytes()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("secp256r1", scalar, identity.EncodeP256(&r1.PublicKey))
	public, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	add("edwards25519", ed.Seed(), identity.EncodeEd25519(public))
	return out
}

const (
	checkData = "check:data"
	transfers = 4 // how many check:construction makes
)

// workflow transfers between the prefunded accounts, and back again. The network is set by the function: the parser of rosetta-cli 0.10.4 looks
// for signs of arithmetic in a bare value in the order of a map and cuts it at the first "-" when that sign's turn comes first.
const workflow = `transfer(1){
  transfer{
    transfer.network = set_variable({"blockchain":"Internet Computer", "network":"LEDGER"});
    sender = find_balance({"minimum_balance":{"value": "1000", "currency": {"symbol":"SYMBOL","decimals":8}}});
    amount = random_number({"minimum": "1", "maximum": "500"});
    sender_amount = 0 - {{amount}};
    recipient = find_balance({"not_account_identifier":[{{sender.account_identifier}}], "minimum_balance":{"value": "0", "currency": {"symbol":"SYMBOL","decimals":8}}});
    transfer.confirmation_depth = "1";
    transfer.operations = [
      {"operation_identifier":{"index":0}, "type":"TRANSFER", "account":{{sender.account_identifier}}, "amount":{"value":{{sender_amount}}, "currency":{"symbol":"SYMBOL","decimals":8}}},
      {"operation_identifier":{"index":1}, "related_operations":[{"index":0}], "type":"TRANSFER", "account":{{recipient.account_identifier}}, "amount":{"value":{{amount}}, "currency":{"symbol":"SYMBOL","decimals":8}}},
      {"operation_identifier":{"index":2}, "type":"FEE", "account":{{sender.account_identifier}}, "amount":{"value":"-10", "currency":{"symbol":"SYMBOL","decimals":8}}}
    ];
  }
}
`

// Run is a run of rosetta-cli against a server.
type Run struct {
	CLI, URL, Dir string // the program, the server, and where files may lie
	Ledger        principal.Principal
	Currency      map[string]any
	Accounts      []*Account
}

// FreePort finds a port that nobody listens at.
func FreePort(t testing.TB) int {
	t.Helper()
	ports, err := freeport.Find(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}

// Check runs a check and returns what it printed; the error is that of the program.
func (m *Run) Check(ctx context.Context, t testing.TB, what string) (string, error) {
	t.Helper()
	dir := m.dir(what)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("LEDGER", m.Ledger.String(), "SYMBOL", m.Currency["symbol"].(string)).Replace(workflow)
	dsl := filepath.Join(dir, "transfer.ros")
	if err := os.WriteFile(dsl, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The tip is the block that the server names as such, not one of a certain age. A transfer that is not broadcast when it is made waits for the next
	// block, which may never come, so in construction every block is young enough.
	tipDelay := int64(1)
	if what != checkData {
		tipDelay = int64((24 * time.Hour).Seconds())
	}
	config := map[string]any{
		"network":    map[string]any{"blockchain": rosetta.Blockchain, "network": m.Ledger.String()},
		"online_url": m.URL, "data_directory": filepath.Join(dir, "data"), "http_timeout": 120, "max_retries": 30, "retry_elapsed_time": 300,
		"max_online_connections": 8, "max_sync_concurrency": 8, "tip_delay": tipDelay, "max_reorg_depth": 100, "all_in_memory_enabled": true,
	}
	if what != checkData {
		config["construction"] = map[string]any{
			"offline_url": m.URL, "max_offline_connections": 4, "stale_depth": 100, "broadcast_limit": 10, "block_broadcast_limit": 5,
			"constructor_dsl_file": filepath.Base(dsl), "prefunded_accounts": m.Accounts, "end_conditions": map[string]any{"transfer": transfers}, "status_port": FreePort(t),
			"initial_balance_fetch_disabled": false, "results_output_file": filepath.Join(dir, "results.json")}
	} else {
		config["data"] = map[string]any{
			"active_reconciliation_concurrency": 4, "inactive_reconciliation_concurrency": 2, "inactive_reconciliation_frequency": 5,
			"end_conditions": map[string]any{"reconciliation_coverage": map[string]any{"coverage": 1.0, "tip": true, "account_count": len(m.Accounts)}},
			"status_port":    FreePort(t), "results_output_file": filepath.Join(dir, "results.json")}
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, m.CLI, what, "--configuration-file", file)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	err = cmd.Run()
	return out.String(), err
}

// Pass runs a check that must pass, and sees to it that what passed was not nothing: every transfer was confirmed, or the
// balance of every account was found to be the one that its operations make.
func (m *Run) Pass(ctx context.Context, t testing.TB, what string) {
	t.Helper()
	began := time.Now()
	out, err := m.Check(ctx, t, what)
	if err != nil || !strings.Contains(out, "Success") {
		t.Fatalf("rosetta-cli %s: %v\n%s", what, err, out[max(0, len(out)-6000):])
	}
	var results struct {
		End   json.RawMessage `json:"end_condition"`
		Stats struct {
			Confirmed    int `json:"transactions_confirmed"`
			Stale        int `json:"stale_broadcasts"`
			Failed       int `json:"failed_broadcasts"`
			Blocks       int `json:"blocks"`
			Accounts     int `json:"accounts"`
			Unreconciled int `json:"failed_reconciliations"`
		} `json:"stats"`
	}
	b, err := os.ReadFile(filepath.Join(m.dir(what), "results.json"))
	if err == nil {
		err = json.Unmarshal(b, &results)
	}
	s := results.Stats
	ok := s.Confirmed >= transfers && s.Failed == 0
	if what == checkData {
		ok = s.Blocks >= len(m.Accounts) && s.Accounts >= len(m.Accounts) && s.Unreconciled == 0 && bytes.Contains(results.End, []byte("Coverage: 100"))
	}
	if err != nil || !ok {
		t.Fatalf("rosetta-cli %s passed with results that show less: %v\n%s", what, err, b)
	}
	t.Logf("rosetta-cli %s in %v: %+v", what, time.Since(began).Round(time.Second), s)
}

func (m *Run) dir(what string) string {
	return filepath.Join(m.Dir, strings.ReplaceAll(what, ":", "-"))
}

// Proven says what is missing until the server shows a block; it is empty when it does.
func (m *Run) Proven(ctx context.Context, index uint64) (string, error) {
	body := fmt.Sprintf(`{"network_identifier":{"blockchain":%q,"network":%q}}`, rosetta.Blockchain, m.Ledger)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL+"/network/status", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "the server does not answer yet", nil
	}
	defer res.Body.Close()
	var status struct {
		Current struct {
			Index uint64 `json:"index"`
		} `json:"current_block_identifier"`
	}
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil || res.StatusCode != http.StatusOK || status.Current.Index < index {
		return fmt.Sprintf("status %d, block %d", res.StatusCode, status.Current.Index), nil
	}
	return "", nil
}
