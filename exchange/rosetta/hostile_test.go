package rosetta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/coinbase/rosetta-sdk-go/types"

	"fusion/ckledger/icrc"
	"fusion/exchange/reader"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/testnets/ledgermem"
)

// answers changes the replies of one method.
func answers[R any](method string, change func(*R)) func(principal.Principal, string, []byte) []byte {
	return func(_ principal.Principal, m string, reply []byte) []byte {
		var r R
		if m != method || candid.Unmarshal(reply, &r) != nil {
			return reply
		}
		change(&r)
		return candid.MustMarshal(r)
	}
}

func amountOf(b *icrc.ICRC3Block) **candid.Nat { return &field(field(&b.Block, "tx"), "amt").Nat }

// TestHostileReplica: whatever a replica answers, nothing of it is shown; what was proven before is still served, and an honest answer is
// believed afterwards.
func TestHostileReplica(t *testing.T) {
	w := newWorld(t)
	w.play()
	w.sync()
	stale := ask[types.NetworkStatusResponse](w, "/network/status", &types.NetworkRequest{NetworkIdentifier: w.network()})
	var tip *icrc.ICRC3DataCertificate // of now, to be repeated later
	if err := w.subnet.Agent(identity.Anonymous{}).Ask(t.Context(), ledgerID, "icrc3_get_tip_certificate", []any{}, []any{&tip}); err != nil {
		t.Fatal(err)
	}
	elsewhere := ledgermem.NewSubnet(2)
	defer elsewhere.Close()
	elsewhere.NewLedger(ledgerID).Mint(user(1), 5)
	var foreign *icrc.ICRC3DataCertificate
	if err := elsewhere.Agent(identity.Anonymous{}).Ask(t.Context(), ledgerID, "icrc3_get_tip_certificate", []any{}, []any{&foreign}); err != nil {
		t.Fatal(err)
	}
	blocks := func(change func(*icrc.GetBlocksResult)) func(principal.Principal, string, []byte) []byte {
		return answers("icrc3_get_blocks", change)
	}
	tips := func(change func(*icrc.ICRC3DataCertificate)) func(principal.Principal, string, []byte) []byte {
		return answers("icrc3_get_tip_certificate", func(dc **icrc.ICRC3DataCertificate) { change(*dc) })
	}
	million := nat(1_000_000)
	for _, c := range []struct {
		name    string
		falsify func(principal.Principal, string, []byte) []byte
		want    error
	}{
		{"an amount in the middle", blocks(func(r *icrc.GetBlocksResult) { *amountOf(&r.Blocks[1]) = &million }), reader.ErrChain},
		{"an amount in the last block", blocks(func(r *icrc.GetBlocksResult) { *amountOf(&r.Blocks[len(r.Blocks)-1]) = &million }), ErrBlocks},
		{"a first block that does not follow", blocks(func(r *icrc.GetBlocksResult) {
			h := make([]byte, 32)
			field(&r.Blocks[0].Block, "phash").Blob = &h
		}), reader.ErrChain},
		{"a log that is cut", blocks(func(r *icrc.GetBlocksResult) {
			r.LogLength = r.Blocks[len(r.Blocks)-1].ID
			r.Blocks = r.Blocks[:len(r.Blocks)-1]
		}), ErrBlocks},
		{"a log without blocks", blocks(func(r *icrc.GetBlocksResult) { r.Blocks = nil }), reader.ErrChain},
		{"a gap", blocks(func(r *icrc.GetBlocksResult) { r.Blocks = r.Blocks[1:] }), reader.ErrChain},
		{"a block twice", blocks(func(r *icrc.GetBlocksResult) { r.Blocks = append(r.Blocks, r.Blocks[0]) }), reader.ErrChain},
		{"other blocks", blocks(func(r *icrc.GetBlocksResult) { r.Blocks[0].ID = nat(0) }), reader.ErrChain},
		{"an archive that is none", blocks(func(r *icrc.GetBlocksResult) {
			r.ArchivedBlocks = []icrc.ICRC3ArchivedBlocks{{Args: []icrc.GetBlocksArgs{{Start: r.Blocks[0].ID, Length: nat(1)}},
				Callback: icrc.ICRC3ArchiveFn{Func: candid.Func{Principal: principal.FromUint64(66), Method: "icrc3_get_blocks"}}}}
			r.Blocks = nil
		}), reader.ErrChain},
		{"a memo that is huge", blocks(func(r *icrc.GetBlocksResult) {
			memo := make([]byte, 3<<20)
			*field(&r.Blocks[0].Block, "tx").Map = append(*field(&r.Blocks[0].Block, "tx").Map, icrc.ICRC3Entry{Key: "memo", Value: icrc.ICRC3Value{Blob: &memo}})
		}), nil},
		{"no candid", func(_ principal.Principal, m string, reply []byte) []byte {
			if m == "icrc3_get_blocks" {
				return bytes.Repeat([]byte("DIDL"), 1<<18)
			}
			return reply
		}, nil},
		{"the tip of another subnet", tips(func(dc *icrc.ICRC3DataCertificate) { *dc = *foreign }), reader.ErrTip},
		{"a tip that is altered", tips(func(dc *icrc.ICRC3DataCertificate) { dc.HashTree[len(dc.HashTree)-1] ^= 1 }), reader.ErrTip},
		{"no tip", answers("icrc3_get_tip_certificate", func(dc **icrc.ICRC3DataCertificate) { *dc = nil }), reader.ErrEmpty},
	} {
		for range 3 {
			w.mem.Mint(user(5), 77)
		}
		before := w.l.head.Load().Proven
		w.mem.Falsify(c.falsify)
		for range 2 { // also when something is staged
			if err := w.l.step(t.Context()); err == nil || c.want != nil && !errors.Is(err, c.want) || errors.Is(err, ErrFork) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
		if got := w.l.head.Load().Proven; got != before {
			t.Errorf("%s: %d blocks are shown, %d are proven", c.name, got, before)
		}
		w.mem.Falsify(nil)
		if err := w.l.step(t.Context()); err != nil {
			t.Errorf("%s: an honest answer after it: %v", c.name, err)
		}
		if got := w.l.head.Load().Proven; got != w.mem.Core().Blocks() {
			t.Errorf("%s: afterwards %d of %d blocks", c.name, got, w.mem.Core().Blocks())
		}
	}
	// A tip of the past is the ledger's, and takes nothing back.
	w.mem.Falsify(tips(func(dc *icrc.ICRC3DataCertificate) { *dc = *tip }))
	w.sync()
	w.mem.Falsify(nil)
	now := ask[types.NetworkStatusResponse](w, "/network/status", &types.NetworkRequest{NetworkIdentifier: w.network()})
	if now.CurrentBlockIdentifier.Index <= stale.CurrentBlockIdentifier.Index {
		t.Errorf("an old tip took back blocks: %+v", now.CurrentBlockIdentifier)
	}
	if err := w.reconcile(); err != nil {
		t.Fatal(err)
	}
	// A ledger that begins anew contradicts what the same key has certified: nothing is served any more.
	w.mem = w.subnet.NewLedger(ledgerID)
	for range now.CurrentBlockIdentifier.Index + 2 {
		w.mem.Mint(user(6), 1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w.s.follow(ctx, w.l) // ends by itself
	if ctx.Err() != nil {
		t.Fatal("the fork was not noticed")
	}
	refused[types.BlockResponse](w, "/block", &types.BlockRequest{NetworkIdentifier: w.network(), BlockIdentifier: &types.PartialBlockIdentifier{}}, faultForked)
}

// TestSeveralLedgers: one server, two tokens. Each ledger is a chain of its own, so each is a network of the API with one currency, and neither
// blocks, balances nor transactions of one pass for the other's.
func TestSeveralLedgers(t *testing.T) {
	w := newWorld(t)
	otherID := principal.FromUint64(9)
	other := w.subnet.NewLedger(otherID)
	a := wallets(t)["edwards25519"]
	from := a.account(w, "")
	owner, err := parseAccount(from)
	if err != nil {
		t.Fatal(err)
	}
	w.mem.Mint(owner, 1000)
	w.mem.Mint(owner, 500)
	other.Mint(owner, 70)
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	w.s, err = Open(t.Context(), Config{Dir: "several", FS: vfs.NewMem(), Agent: w.subnet.Agent(identity.Anonymous{}), Ledgers: []principal.Principal{ledgerID, otherID},
		Interval: time.Millisecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return time.Unix(0, int64(w.subnet.NowNs())) }})
	if err != nil {
		t.Fatal(err)
	}
	w.l = w.s.ledgers[0]
	for _, l := range w.s.ledgers {
		if err := l.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if list := ask[types.NetworkListResponse](w, pathList, &types.MetadataRequest{}); len(list.NetworkIdentifiers) != 2 || list.NetworkIdentifiers[1].Network != otherID.String() {
		t.Fatalf("%+v", list.NetworkIdentifiers)
	}
	for id, want := range map[principal.Principal]string{ledgerID: "1500", otherID: "70"} {
		b := ask[types.AccountBalanceResponse](w, "/account/balance", &types.AccountBalanceRequest{NetworkIdentifier: networkOf(id), AccountIdentifier: from})
		if b.Balances[0].Value != want {
			t.Errorf("balance at %s: %s, want %s", id, b.Balances[0].Value, want)
		}
	}
	hash := ask[types.BlockResponse](w, "/block", &types.BlockRequest{NetworkIdentifier: w.network(),
		BlockIdentifier: &types.PartialBlockIdentifier{}}).Block.BlockIdentifier.Hash
	refused[types.BlockResponse](w, "/block", &types.BlockRequest{NetworkIdentifier: networkOf(otherID), BlockIdentifier: &types.PartialBlockIdentifier{Hash: &hash}}, faultBlock)
	p := w.prepare(a, []*types.Operation{op(0, opTransfer, from, w.amount("-10")), op(1, opTransfer, identify(user(2)), w.amount("10"))}, nil)
	refused[types.TransactionIdentifierResponse](w, pathSubmit, &types.ConstructionSubmitRequest{NetworkIdentifier: networkOf(otherID), SignedTransaction: p.signed}, faultParse)
	refused[types.NetworkStatusResponse](w, "/network/status", &types.NetworkRequest{NetworkIdentifier: networkOf(principal.FromUint64(10))}, faultNetwork)
}

// TestBounds: requests are bounded in size, and one too many at a time is refused at once.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	w.mem.Mint(user(1), 5)
	w.sync()
	send := func(path, body string) int32 {
		rec := httptest.NewRecorder()
		w.s.ServeHTTP(rec, httptest.NewRequest("POST", path, strings.NewReader(body)))
		var fault types.Error
		if err := json.Unmarshal(rec.Body.Bytes(), &fault); err != nil {
			t.Fatal(err)
		}
		return fault.Code
	}
	status := `{"network_identifier":{"blockchain":"Internet Computer","network":"` + ledgerID.String() + `"}}`
	if code := send("/network/status", status); code != 0 {
		t.Fatalf("code %d", code)
	}
	if code := send("/network/status", status+strings.Repeat(" ", maxBody)); code != faultTooLarge.code {
		t.Errorf("a large request: code %d", code)
	}
	if code := send("/construction/parse", status+strings.Repeat(" ", maxBody)); code == faultTooLarge.code {
		t.Errorf("construction has less room: code %d", code)
	}
	if code := send("/construction/parse", status+strings.Repeat(" ", maxConstruction)); code != faultTooLarge.code {
		t.Errorf("a large transaction: code %d", code)
	}
	for range maxWorking {
		w.s.working <- struct{}{}
	}
	if code := send("/network/status", status); code != faultOverload.code {
		t.Errorf("one too many: code %d", code)
	}
	if code := send(pathSubmit, status); code == faultOverload.code { // waits for the ledger, not for the processor
		t.Errorf("a submission: code %d", code)
	}
	<-w.s.working
	if code := send("/network/status", status); code != 0 || len(w.s.working) != maxWorking-1 {
		t.Errorf("after one has gone: code %d", code)
	}
}

var constructionPaths = []string{"/construction/derive", "/construction/preprocess", "/construction/metadata", "/construction/payloads", "/construction/combine",
	"/construction/parse", "/construction/hash", pathSubmit}

// FuzzConstruction: each endpoint answers anything with a result or a listed error, and what it says of a transaction can be said back to it.
func FuzzConstruction(f *testing.F) {
	w := newWorld(f)
	w.seen = func(path string, body []byte) {
		if i := slices.Index(constructionPaths, path); i >= 0 {
			f.Add(uint8(i), body)
		}
	}
	to := identify(sub(user(2), 9))
	for _, a := range wallets(f) {
		from := a.account(w, "")
		owner, err := parseAccount(from)
		if err != nil {
			f.Fatal(err)
		}
		w.mem.Mint(owner, 1_000_000)
		approve := op(0, opApprove, from, nil)
		approve.Metadata = map[string]any{"allowance": w.amount("5000"), "expected_allowance": w.amount("0"), "expires_at": "1900000000000000000"}
		for _, ops := range [][]*types.Operation{
			{op(0, opTransfer, from, w.amount("-1000")), op(1, opTransfer, to, w.amount("1000")), op(2, opFee, from, w.amount("-10"))},
			{op(0, opBurn, from, w.amount("-700"))},
			{approve, op(1, opSpender, to, nil)},
			{op(0, opTransfer, to, w.amount("-1")), op(1, opTransfer, from, w.amount("1")), op(2, opSpender, from, nil)},
		} {
			w.submit(w.prepare(a, ops, map[string]any{metaMemo: "00ff"}))
		}
	}
	w.seen = nil
	for i := range constructionPaths {
		f.Add(uint8(i), []byte(`{}`))
		f.Add(uint8(i), []byte(`{"network_identifier":{"blockchain":"Internet Computer","network":"`+ledgerID.String()+`"},"operations":[null],"signatures":[null],"public_keys":[null]}`))
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		path := constructionPaths[int(which)%len(constructionPaths)]
		rec := httptest.NewRecorder()
		w.s.ServeHTTP(rec, httptest.NewRequest("POST", path, bytes.NewReader(body)))
		if rec.Code != 200 {
			var got types.Error
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || !slices.ContainsFunc(faults, func(x *fault) bool { return x.code == got.Code }) {
				t.Fatalf("%s: %v: %s", path, err, rec.Body)
			}
			return
		}
		var out struct {
			Unsigned string `json:"unsigned_transaction"`
			Signed   string `json:"signed_transaction"`
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s: %v: %s", path, err, rec.Body)
		}
		if path == "/construction/parse" {
			var q types.ConstructionParseRequest
			if err := json.Unmarshal(body, &q); err != nil {
				t.Fatal(err)
			}
			out.Unsigned = q.Transaction
		}
		for _, text := range []string{out.Unsigned, out.Signed} {
			if text == "" {
				continue
			}
			_, i, err := w.l.decode(text)
			if err != nil {
				t.Fatalf("%s gave a transaction that it does not take: %v", path, err)
			}
			ops, err := w.l.operations(i)
			if err != nil {
				t.Fatal(err)
			}
			again, err := w.l.intentOf(ops)
			if err != nil {
				t.Fatalf("%s: the operations that are shown cannot be asked for: %v", path, err)
			}
			again.memo, again.created = i.memo, i.created
			h, err := w.l.hash(i)
			if h2, err2 := w.l.hash(&again); err != nil || err2 != nil || h != h2 {
				t.Fatalf("%s: what is shown is another transaction: %x %v, %x %v", path, h, err, h2, err2)
			}
		}
	})
}

// BenchmarkSync is how fast the store follows a ledger: reading, hashing, linking, booking, proving.
func BenchmarkSync(b *testing.B) {
	const blocks = 2000
	subnet := ledgermem.NewSubnet(1)
	defer subnet.Close()
	mem := subnet.NewLedger(ledgerID)
	core := mem.Core()
	for i := range blocks {
		if res, err := core.Transfer(subnet.NowNs(), mem.Minting.Owner, &icrc.TransferArg{To: sub(user(byte(i)), byte(i>>8)), Amount: nat(100)}); err != nil || res.Ok == nil {
			b.Fatal(res, err)
		}
	}
	mem.Certify()
	for b.Loop() {
		s, err := Open(b.Context(), Config{Dir: "mesh", FS: vfs.NewMem(), Agent: subnet.Agent(identity.Anonymous{}), Ledgers: []principal.Principal{ledgerID},
			Now: func() time.Time { return time.Unix(0, int64(subnet.NowNs())) }})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.ledgers[0].step(b.Context()); err != nil || s.ledgers[0].head.Load().Proven != blocks {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(blocks*b.N)/b.Elapsed().Seconds(), "blocks/s")
}
