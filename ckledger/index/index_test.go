package index_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/ic/candid"
	"fusion/ic/principal"

	"pgregory.net/rapid"
)

var (
	ledgerID, indexID = principal.FromUint64(1), principal.FromUint64(2)
	controller        = who(77)
	minter            = icrc.Account{Owner: principal.MustFromBytes([]byte("minter"))}
)

func who(i int) principal.Principal {
	return principal.MustFromBytes([]byte{byte(i), 'u', 's', 'e', 'r'})
}

func acc(i, s int) icrc.Account {
	if s == 0 {
		return icrc.Account{Owner: who(i)}
	}
	b := make([]byte, 32)
	b[31] = byte(s)
	return icrc.Account{Owner: who(i), Subaccount: &b}
}

func nat(n uint64) candid.Nat { return candid.NatFromUint64(n) }
func ptr[T any](v T) *T       { return &v }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

func query[R any](t fatal, w *native.World, to principal.Principal, method string, args ...any) R {
	t.Helper()
	r, err := native.Query[R](w, who(99), to, method, args...)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return r
}

// large is 2^255, so that two of it are too much for any amount.
var large = func() candid.Nat {
	a := icrc.Amount{3: 1 << 63}
	return a.Nat()
}()

func newWorld(t fatal, seed uint64, collector *icrc.Account, arg index.InitArg) *native.World {
	t.Helper()
	w := native.NewWorld(seed)
	init := &icrc.InitArgs{MintingAccount: minter, FeeCollectorAccount: collector, TransferFee: nat(10), MaxMemoLength: ptr(uint16(80)), TokenSymbol: "ckTEST",
		TokenName: "Chain key test", FeatureFlags: &icrc.FeatureFlags{ICRC2: true, ICRC152: true},
		InitialBalances: []icrc.InitialBalance{{Account: acc(1, 0), Amount: nat(10_000)}, {Account: acc(2, 1), Amount: large}}}
	if err := w.Install(ledgerID, icrc.Canister, icrc.LedgerArg{Init: init}, native.RebuildAfterTrap, native.Controllers(controller)); err != nil {
		t.Fatal(err)
	}
	if err := w.Install(indexID, index.Canister, &index.Arg{Init: &arg}); err != nil {
		t.Fatal(err)
	}
	return w
}

// model is what an index must say, computed from the ledger's list of transactions in the plainest way.
type model struct {
	history   map[string][]uint64 // account → blocks, newest first
	known     map[string]bool
	collected map[string][][2]uint64
}

func name(a icrc.Account) string {
	s := make([]byte, 32)
	if a.Subaccount != nil {
		copy(s, *a.Subaccount)
	}
	return fmt.Sprintf("%s/%x", a.Owner, s)
}

// collectorsOf lists who collected the fee of each block, in the words of get_blocks.
func collectorsOf(t fatal, w *native.World) []string {
	field := func(b icrc.Value, key string) *icrc.Value {
		for i := range *b.Map {
			if (*b.Map)[i].Key == key {
				return &(*b.Map)[i].Value
			}
		}
		return nil
	}
	var out []string
	for _, b := range query[icrc.GetBlocksResponse](t, w, ledgerID, "get_blocks", icrc.GetBlocksArgs{Length: nat(2000)}).Blocks {
		who := ""
		if c := field(b, "fee_col"); c != nil {
			a := icrc.Account{Owner: principal.MustFromBytes(*(*c.Array)[0].Blob)}
			if len(*c.Array) > 1 {
				a.Subaccount = (*c.Array)[1].Blob
			}
			who = name(a)
		} else if c := field(b, "fee_col_block"); c != nil {
			who = out[*c.Nat64]
		}
		out = append(out, who)
	}
	return out
}

func modelOf(t fatal, w *native.World) (*model, []icrc.Transaction) {
	m := &model{map[string][]uint64{}, map[string]bool{}, map[string][][2]uint64{}}
	txs := query[icrc.GetTransactionsResponse](t, w, ledgerID, "get_transactions", icrc.GetBlocksArgs{Length: nat(2000)}).Transactions
	for i, tx := range txs {
		var of []icrc.Account
		switch {
		case tx.Mint != nil:
			of = []icrc.Account{tx.Mint.To}
		case tx.Burn != nil:
			of = []icrc.Account{tx.Burn.From}
		case tx.Transfer != nil:
			of = []icrc.Account{tx.Transfer.From, tx.Transfer.To}
		case tx.Approve != nil:
			of = []icrc.Account{tx.Approve.From}
			m.known[name(tx.Approve.Spender)] = true
		case tx.AuthorizedMint != nil:
			of = []icrc.Account{tx.AuthorizedMint.To}
		case tx.AuthorizedBurn != nil:
			of = []icrc.Account{tx.AuthorizedBurn.From}
		}
		for j, a := range of {
			m.known[name(a)] = true
			if j == 0 || name(a) != name(of[0]) {
				m.history[name(a)] = append([]uint64{uint64(i)}, m.history[name(a)]...)
			}
		}
	}
	for i, c := range collectorsOf(t, w) {
		if c == "" {
			continue
		}
		m.known[c] = true
		r := m.collected[c]
		if n := len(r); n > 0 && r[n-1][1] == uint64(i) {
			r[n-1][1]++
		} else {
			r = append(r, [2]uint64{uint64(i), uint64(i) + 1})
		}
		m.collected[c] = r
	}
	return m, txs
}

// agrees checks everything that the index says against the ledger and the model.
func agrees(t fatal, w *native.World, accounts []icrc.Account) {
	t.Helper()
	m, txs := modelOf(t, w)
	st := query[index.Status](t, w, indexID, "status")
	if st.Halted != nil || st.NumBlocksSynced.String() != fmt.Sprint(len(txs)) {
		t.Fatalf("status %+v, the ledger has %d blocks", st, len(txs))
	}
	for _, a := range accounts {
		want := query[candid.Nat](t, w, ledgerID, "icrc1_balance_of", a)
		if got := query[candid.Nat](t, w, indexID, "icrc1_balance_of", a); got.Cmp(want) != 0 {
			t.Fatalf("balance of %s: %s, want %s", name(a), got, want)
		}
		history := m.history[name(a)]
		var start *candid.Nat
		var seen []uint64
		for { // pages of 3
			r := query[index.GetTransactionsResult](t, w, indexID, "get_account_transactions",
				index.GetAccountTransactionsArgs{Account: a, Start: start, MaxResults: nat(3)})
			if r.Ok == nil || r.Ok.Balance.Cmp(want) != 0 {
				t.Fatalf("transactions of %s: %+v", name(a), r)
			}
			if (r.Ok.OldestTxID != nil) != (len(history) > 0) || r.Ok.OldestTxID != nil && r.Ok.OldestTxID.String() != fmt.Sprint(history[len(history)-1]) {
				t.Fatalf("oldest transaction of %s: %v, history %v", name(a), r.Ok.OldestTxID, history)
			}
			for _, tx := range r.Ok.Transactions {
				id, _ := tx.ID.Uint64()
				seen = append(seen, id)
				if got, want := string(candid.MustMarshal(tx.Transaction)), string(candid.MustMarshal(txs[id])); got != want {
					t.Fatalf("transaction %d: %+v, want %+v", id, tx.Transaction, txs[id])
				}
				start = ptr(tx.ID)
			}
			if len(r.Ok.Transactions) < 3 {
				break
			}
		}
		if !slices.Equal(seen, history) {
			t.Fatalf("history of %s: %v, want %v", name(a), seen, history)
		}
	}
	for i := range 5 {
		var want, got []string
		for s := range 4 {
			if m.known[name(acc(i, s))] {
				want = append(want, name(acc(i, s)))
			}
		}
		for _, s := range query[[][]byte](t, w, indexID, "list_subaccounts", index.ListSubaccountsArgs{Owner: who(i)}) {
			got = append(got, name(icrc.Account{Owner: who(i), Subaccount: &s}))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("subaccounts of %s: %v, want %v", who(i), got, want)
		}
		if len(want) > 1 {
			after := make([]byte, 32)
			fmt.Sscanf(want[0][strings.Index(want[0], "/")+1:], "%x", &after)
			if rest := query[[][]byte](t, w, indexID, "list_subaccounts", index.ListSubaccountsArgs{Owner: who(i), Start: &after}); len(rest) != len(want)-1 {
				t.Fatalf("subaccounts after the first: %x of %v", rest, want)
			}
		}
	}
	collected := map[string][][2]uint64{}
	for _, r := range query[index.FeeCollectorRanges](t, w, indexID, "get_fee_collectors_ranges").Ranges {
		for _, b := range r.Ranges {
			start, _ := b.Start.Uint64()
			end, _ := b.End.Uint64()
			collected[name(r.Account)] = append(collected[name(r.Account)], [2]uint64{start, end})
		}
	}
	if fmt.Sprint(collected) != fmt.Sprint(m.collected) {
		t.Fatalf("collected fees: %v, want %v", collected, m.collected)
	}
	blocks := icrc.GetBlocksArgs{Length: nat(5000)}
	got := query[index.GetBlocksResponse](t, w, indexID, "get_blocks", blocks)
	want := query[icrc.GetBlocksResponse](t, w, ledgerID, "get_blocks", blocks)
	if string(candid.MustMarshal(got.Blocks)) != string(candid.MustMarshal(want.Blocks)) || got.ChainLength != want.ChainLength {
		t.Fatalf("%d blocks of %d, want %d", len(got.Blocks), got.ChainLength, len(want.Blocks))
	}
}

// An index that follows a ledger through any history, with upgrades of both on the way, says what the ledger's own list of transactions says.
func TestAgainstLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var collector *icrc.Account
		if rapid.Bool().Draw(t, "collector") {
			collector = ptr(acc(4, 0))
		}
		w := newWorld(t, rapid.Uint64().Draw(t, "seed"), collector, index.InitArg{LedgerID: ledgerID})
		var accounts []icrc.Account
		for i := range 5 {
			for s := range 3 {
				accounts = append(accounts, acc(i, s))
			}
		}
		draw := func(label string) icrc.Account { return rapid.SampledFrom(accounts).Draw(t, label) }
		amount := func() candid.Nat {
			return rapid.SampledFrom([]candid.Nat{nat(0), nat(1), nat(10), nat(500), nat(3000), large}).Draw(t, "amount")
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			from, to := draw("from"), draw("to")
			if rapid.IntRange(0, 5).Draw(t, "burn") == 0 {
				to = minter
			}
			if rapid.IntRange(0, 5).Draw(t, "mint") == 0 {
				from = minter
			}
			var memo *[]byte
			if rapid.Bool().Draw(t, "with memo") {
				memo = &[]byte{1, 2, 3}
			}
			var err error
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0, 1, 2:
				_, err = native.Update[icrc.TransferResult](w, from.Owner, ledgerID, "icrc1_transfer",
					icrc.TransferArg{FromSubaccount: from.Subaccount, To: to, Amount: amount(), Memo: memo})
			case 3, 4:
				if from.Owner != to.Owner && from.Owner != minter.Owner {
					_, err = native.Update[icrc.ApproveResult](w, from.Owner, ledgerID, "icrc2_approve",
						icrc.ApproveArgs{FromSubaccount: from.Subaccount, Spender: to, Amount: amount(), Memo: memo})
				}
			case 5:
				spender := draw("spender")
				_, err = native.Update[icrc.TransferFromResult](w, spender.Owner, ledgerID, "icrc2_transfer_from",
					icrc.TransferFromArgs{SpenderSubaccount: spender.Subaccount, From: from, To: to, Amount: amount()})
			case 6:
				_, err = native.Update[icrc.ICRC152MintResult](w, controller, ledgerID, "icrc152_mint",
					icrc.ICRC152MintArgs{To: draw("minted"), Amount: amount(), CreatedAtTime: w.Now()})
			case 7:
				_, err = native.Update[icrc.ICRC152BurnResult](w, controller, ledgerID, "icrc152_burn",
					icrc.ICRC152BurnArgs{From: draw("burned"), Amount: amount(), CreatedAtTime: w.Now()})
			case 8:
				err = w.Advance(time.Duration(rapid.IntRange(0, 3).Draw(t, "seconds")) * time.Second)
			case 9:
				if rapid.Bool().Draw(t, "index") {
					if err = w.Upgrade(indexID, index.Canister, nil); err == nil {
						err = w.Advance(2 * time.Millisecond) // a subnet does not upgrade twice at one time
					}
				} else {
					change := icrc.ChangeFeeCollector{SetTo: ptr(draw("new collector"))}
					if rapid.Bool().Draw(t, "none") {
						change = icrc.ChangeFeeCollector{Unset: candid.Unit}
					}
					err = w.Upgrade(ledgerID, icrc.Canister, icrc.LedgerArg{Upgrade: ptr(&icrc.UpgradeArgs{ChangeFeeCollector: &change})})
				}
			}
			if err != nil && !strings.Contains(err.Error(), "trapped") {
				t.Fatal(err)
			}
		}
		if err := w.Advance(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		agrees(t, w, accounts)
	})
}

// book is a ledger whose answers the test decides.
type book struct {
	blocks []icrc.ICRC3Block
	length *uint64
	calls  int
	fail   bool
	stored bool // it gives stored blocks
}

func (b *book) serve(t *testing.T, w *native.World) {
	w.Handle(ledgerID, func(in *native.Incoming) {
		if in.Method == "get_stored_blocks" {
			b.serveStored(t, in)
			return
		}
		b.calls++
		var args []icrc.GetBlocksArgs
		must(t, candid.Unmarshal(in.Arg, &args))
		if in.Method != "icrc3_get_blocks" || len(args) != 1 {
			t.Fatalf("%s(%v)", in.Method, args)
		}
		if b.fail {
			in.Reject(cdk.CanisterError, "stopped")
			return
		}
		start, _ := args[0].Start.Uint64()
		length, _ := args[0].Length.Uint64()
		if length > 100 {
			t.Fatalf("asked for %d blocks", length)
		}
		n := uint64(len(b.blocks))
		r := icrc.GetBlocksResult{LogLength: nat(n), Blocks: []icrc.ICRC3Block{}, ArchivedBlocks: []icrc.ICRC3ArchivedBlocks{}}
		if b.length != nil {
			r.LogLength = nat(*b.length)
		}
		if start < n {
			r.Blocks = b.blocks[start:min(start+length, n)]
		}
		in.Reply(r)
	})
}

func (b *book) serveStored(t *testing.T, in *native.Incoming) {
	b.calls++
	if !b.stored {
		in.Reject(cdk.CanisterError, "no such method")
		return
	}
	var a icrc.GetBlocksArgs
	must(t, candid.Unmarshal(in.Arg, &a))
	start, _ := a.Start.Uint64()
	r := icrc.StoredBlocks{LogLength: uint64(len(b.blocks)), First: start, Blocks: [][]byte{}}
	if b.length != nil {
		r.LogLength = *b.length
	}
	for _, x := range b.blocks[min(start, uint64(len(b.blocks))):] {
		raw, err := icrc.AppendValue(nil, x.Block)
		if err != nil {
			raw = []byte{0xff}
		}
		r.Blocks = append(r.Blocks, raw)
	}
	in.Reply(r)
}

// record makes a ledger of n blocks and returns them.
func record(t *testing.T, n int) []icrc.ICRC3Block {
	w := newWorld(t, 1, ptr(acc(4, 0)), index.InitArg{LedgerID: ledgerID})
	for i := 2; i < n; i++ {
		r, err := native.Update[icrc.TransferResult](w, who(2), ledgerID, "icrc1_transfer",
			icrc.TransferArg{FromSubaccount: acc(2, 1).Subaccount, To: acc(i%4, i%3), Amount: nat(uint64(i))})
		if err != nil || r.Ok == nil {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	var out []icrc.ICRC3Block
	for len(out) < n {
		out = append(out, query[icrc.GetBlocksResult](t, w, ledgerID, "icrc3_get_blocks", []icrc.GetBlocksArgs{{Start: nat(uint64(len(out))), Length: nat(100)}}).Blocks...)
	}
	return out
}

func following(t *testing.T, b *book, arg index.InitArg) *native.World {
	t.Helper()
	w := native.NewWorld(1)
	b.serve(t, w)
	arg.LedgerID = ledgerID
	must(t, w.Install(indexID, index.Canister, &index.Arg{Init: &arg}))
	return w
}

// edit copies a block and changes one field of it.
func edit(b icrc.ICRC3Block, key string, v icrc.ICRC3Value) icrc.ICRC3Block {
	entries := slices.Clone(*b.Block.Map)
	for i := range entries {
		if entries[i].Key == key {
			entries[i].Value = v
			b.Block.Map = &entries
			return b
		}
	}
	entries = append(entries, icrc.ICRC3Entry{Key: key, Value: v})
	b.Block.Map = &entries
	return b
}

// A block that does not fit stops the index, which says so, keeps what it has, and goes on after an upgrade once the ledger is right.
func TestHalts(t *testing.T) {
	blocks := record(t, 8)
	blob := func(b []byte) icrc.ICRC3Value { return icrc.ICRC3Value{Blob: &b} }
	for _, c := range []struct {
		name   string
		change func(b *book)
		keeps  int
		says   string
	}{
		{"a parent hash that is wrong", func(b *book) { b.blocks[5] = edit(b.blocks[5], "phash", blob(make([]byte, 32))) }, 5, "its parent hash is"},
		{"a block that changed, which its child shows", func(b *book) { b.blocks[4] = edit(b.blocks[4], "ts", icrc.ICRC3Value{Nat: ptr(nat(5))}) }, 5, "its parent hash is"},
		{"a parent hash that is none", func(b *book) { b.blocks[5] = edit(b.blocks[5], "phash", blob([]byte{1})) }, 5, `"phash" has another type`},
		{"a first block with a parent", func(b *book) { b.blocks[0] = edit(b.blocks[0], "phash", blob(make([]byte, 32))) }, 0, "the first block has a parent"},
		{"a gap", func(b *book) { b.blocks = slices.Delete(slices.Clone(b.blocks), 3, 4) }, 3, "answered with block 4"},
		{"no transaction", func(b *book) { b.blocks[6] = edit(b.blocks[6], "tx", blob(nil)) }, 6, `"tx" has another type`},
		{"an integer", func(b *book) {
			b.blocks[6] = edit(b.blocks[6], "more", icrc.ICRC3Value{Int: ptr(nat(5).Int())})
		}, 6, "neither blob, text, nat, array nor map"},
		{"a collector that nobody named", func(b *book) {
			b.blocks[6] = edit(b.blocks[6], "fee_col_block", icrc.ICRC3Value{Nat: ptr(nat(0))})
		}, 6, "names block 0 for its fee collector"},
		{"a collector in the future", func(b *book) {
			b.blocks[6] = edit(b.blocks[6], "fee_col_block", icrc.ICRC3Value{Nat: ptr(nat(6))})
		}, 6, "names block 6 for its fee collector"},
		{"fewer blocks than before", func(b *book) { b.length = ptr(uint64(4)) }, 8, "another ledger"},
	} {
		halts := func(t *testing.T, stored bool) {
			b := &book{blocks: slices.Clone(blocks), stored: stored}
			if c.keeps < 8 {
				c.change(b)
			}
			w := following(t, b, index.InitArg{})
			must(t, w.Advance(time.Minute))
			if c.keeps == 8 {
				c.change(b)
				must(t, w.Advance(time.Minute))
			}
			st := query[index.Status](t, w, indexID, "status")
			if st.Halted == nil || !strings.Contains(*st.Halted, c.says) || st.NumBlocksSynced.String() != fmt.Sprint(c.keeps) {
				t.Fatalf("status %v %v, want %d blocks and %q", st.NumBlocksSynced, deref(st.Halted), c.keeps, c.says)
			}
			calls := b.calls
			must(t, w.Advance(time.Hour))
			if b.calls != calls {
				t.Error("it goes on asking")
			}
			b.blocks, b.length = blocks, nil
			if c.name == "a block that changed, which its child shows" {
				return // the books hold the changed block for good
			}
			must(t, w.Upgrade(indexID, index.Canister, nil))
			must(t, w.Advance(time.Minute))
			if st := query[index.Status](t, w, indexID, "status"); st.Halted != nil || st.NumBlocksSynced.String() != "8" {
				t.Fatalf("after the upgrade: %v %v", st.NumBlocksSynced, deref(st.Halted))
			}
		}
		t.Run(c.name, func(t *testing.T) { halts(t, false) })
		switch c.name { // stored blocks have no numbers of their own, and no integers
		case "a gap":
			c.says = "its parent hash is"
		case "an integer":
			c.says = "tag 255"
		}
		t.Run(c.name+", stored", func(t *testing.T) { halts(t, true) })
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Nobody spends what he does not have, even in a chain whose hashes are right.
func TestOverdraft(t *testing.T) {
	tx := func(from icrc.Account, amount uint64) icrc.ICRC3Value {
		owner := from.Owner.Bytes()
		account := icrc.ICRC3Value{Array: &[]icrc.ICRC3Value{{Blob: &owner}}}
		return icrc.ICRC3Value{Map: &[]icrc.ICRC3Entry{{Key: "amt", Value: icrc.ICRC3Value{Nat: ptr(nat(amount))}}, {Key: "from", Value: account}, {Key: "op", Value: icrc.ICRC3Value{Text: ptr("burn")}}}}
	}
	first := icrc.ICRC3Value{Map: &[]icrc.ICRC3Entry{{Key: "ts", Value: icrc.ICRC3Value{Nat: ptr(nat(1))}}, {Key: "tx", Value: tx(acc(1, 0), 5)}}}
	w := following(t, &book{blocks: []icrc.ICRC3Block{{ID: nat(0), Block: first}}}, index.InitArg{})
	must(t, w.Advance(time.Minute))
	if st := query[index.Status](t, w, indexID, "status"); st.Halted == nil || !strings.Contains(*st.Halted, "it takes 5 from "+who(1).String()+", which has 0") {
		t.Fatalf("status %v %v", st.NumBlocksSynced, deref(st.Halted))
	}
}

// The index asks rarely while nothing happens, soon when something did, in bounded steps when it is behind, and again after failures.
func TestPolls(t *testing.T) {
	blocks := record(t, 1000)
	for len(blocks) < 2150 { // more than one poll reads
		blocks = append(blocks, blocks[len(blocks)-1])
	}
	b := &book{blocks: slices.Clone(blocks[:1000]), fail: true}
	w := following(t, b, index.InitArg{})
	must(t, w.Advance(time.Minute))
	if b.calls < 7 || b.calls > 12 {
		t.Errorf("%d calls in a minute of failures, want about one in 8 s", b.calls)
	}
	logged := 0
	for _, l := range w.Logs() {
		if strings.Contains(l, "the index tries again") {
			logged++
		}
	}
	if logged != 1 {
		t.Errorf("a lasting failure is logged %d times", logged)
	}
	b.fail, b.calls = false, 0
	must(t, w.Advance(8*time.Second))
	if st := query[index.Status](t, w, indexID, "status"); st.NumBlocksSynced.String() != "1000" || b.calls > 14 {
		t.Fatalf("%s blocks by %d calls", st.NumBlocksSynced, b.calls)
	}
	must(t, w.Advance(time.Minute))
	b.calls = 0
	must(t, w.Advance(time.Hour))
	if b.calls < 449 || b.calls > 451 {
		t.Errorf("%d calls in an idle hour, want one in 8 s", b.calls)
	}
	fixed := &book{}
	w = following(t, fixed, index.InitArg{Interval: ptr(uint64(2))})
	must(t, w.Advance(time.Hour))
	if fixed.calls < 1799 || fixed.calls > 1801 {
		t.Errorf("%d calls in an idle hour, want one in 2 s", fixed.calls)
	}
}

// A poll that used its instructions takes no more than the answer that it waits for, and the next one goes on.
func TestPollInstructions(t *testing.T) {
	blocks := record(t, 650)
	for _, used := range []uint64{0, 199_999_999, 200_000_000} {
		b := &book{blocks: blocks}
		w := native.NewWorld(1)
		w.Instructions = func(of principal.Principal) uint64 {
			if of != indexID {
				t.Errorf("instructions of %v", of)
			}
			return used
		}
		b.serve(t, w)
		must(t, w.Install(indexID, index.Canister, &index.Arg{Init: &index.InitArg{LedgerID: ledgerID}}))
		before, most := 0, 0
		w.Trace = func(line string) {
			if strings.HasPrefix(line, indexID.String()+" -> "+indexID.String()+": call") { // a poll begins
				before = b.calls
			}
			most = max(most, b.calls-before)
		}
		must(t, w.Advance(time.Minute))
		if st := query[index.Status](t, w, indexID, "status"); st.NumBlocksSynced.String() != "650" {
			t.Errorf("%d instructions: %s blocks", used, st.NumBlocksSynced)
		}
		if wide := most > 2; wide != (used < 200_000_000) {
			t.Errorf("%d instructions: a poll asks %d times", used, most)
		}
	}
}

func TestArguments(t *testing.T) {
	install := func(a *index.Arg) error {
		return native.NewWorld(1).Install(indexID, index.Canister, a)
	}
	one, two := ptr(uint64(1)), ptr(uint64(2))
	for _, c := range []struct {
		name string
		arg  *index.Arg
		ok   bool
	}{
		{"none", nil, false},
		{"an upgrade", &index.Arg{Upgrade: &index.UpgradeArg{}}, false},
		{"the default", &index.Arg{Init: &index.InitArg{LedgerID: ledgerID}}, true},
		{"both", &index.Arg{Init: &index.InitArg{LedgerID: ledgerID, MinInterval: one, MaxInterval: two}}, true},
		{"backwards", &index.Arg{Init: &index.InitArg{LedgerID: ledgerID, MinInterval: two, MaxInterval: one}}, false},
		{"a long minimum", &index.Arg{Init: &index.InitArg{LedgerID: ledgerID, MinInterval: ptr(uint64(60))}}, true},
		{"a short maximum", &index.Arg{Init: &index.InitArg{LedgerID: ledgerID, MaxInterval: one}}, true},
		{"old and new", &index.Arg{Init: &index.InitArg{LedgerID: ledgerID, Interval: one, MinInterval: one}}, false},
		{"no interval", &index.Arg{Init: &index.InitArg{LedgerID: ledgerID, Interval: ptr(uint64(0))}}, false},
		{"for ever", &index.Arg{Init: &index.InitArg{LedgerID: ledgerID, Interval: ptr(uint64(1 << 62))}}, false},
		{"no ledger", &index.Arg{Init: &index.InitArg{LedgerID: principal.Management}}, false},
	} {
		if err := install(c.arg); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	w := newWorld(t, 1, nil, index.InitArg{LedgerID: ledgerID})
	must(t, w.Upgrade(indexID, index.Canister, &index.Arg{Upgrade: &index.UpgradeArg{LedgerID: ptr(who(8))}}))
	must(t, w.Upgrade(indexID, index.Canister, &index.Arg{Upgrade: &index.UpgradeArg{LedgerID: ptr(ledgerID), Interval: two}}))
	must(t, w.Advance(time.Minute))
	if err := w.Upgrade(indexID, index.Canister, &index.Arg{Upgrade: &index.UpgradeArg{LedgerID: ptr(who(8))}}); err == nil || !strings.Contains(err.Error(), "cannot follow") {
		t.Errorf("another ledger after blocks: %v", err)
	}
	if got := query[principal.Principal](t, w, indexID, "ledger_id"); got != ledgerID {
		t.Errorf("ledger %s", got)
	}
	short := []byte{1}
	bad := icrc.Account{Owner: who(1), Subaccount: &short}
	if r := query[index.GetTransactionsResult](t, w, indexID, "get_account_transactions", index.GetAccountTransactionsArgs{Account: bad, MaxResults: nat(1)}); r.Err == nil {
		t.Errorf("%+v", r)
	}
	for _, start := range []candid.Nat{nat(0), large} {
		a := index.GetAccountTransactionsArgs{Account: acc(1, 0), Start: &start, MaxResults: large}
		want := 1
		if start.IsZero() {
			want = 0
		}
		if r := query[index.GetTransactionsResult](t, w, indexID, "get_account_transactions", a); r.Ok == nil || len(r.Ok.Transactions) != want {
			t.Errorf("from %s: %+v", start, r)
		}
	}
	if r := query[index.GetBlocksResponse](t, w, indexID, "get_blocks", icrc.GetBlocksArgs{Start: large, Length: large}); len(r.Blocks) != 0 || r.ChainLength != 2 {
		t.Errorf("%+v", r)
	}
}

// The index can stand in for the published one: every client of it understands the answers, without losing anything under an opt.
func TestServiceType(t *testing.T) {
	src, err := os.ReadFile("testdata/icrc1_index_ng.did")
	must(t, err)
	published, err := candid.ParseDID(string(src))
	must(t, err)
	service, init := cdk.ServiceType(index.Canister)
	if err := candid.SubtypeStrict(service, published.Service); err != nil {
		t.Error(err)
	}
	if len(service.Methods) != len(published.Service.Methods) {
		t.Errorf("%d methods, want %d", len(service.Methods), len(published.Service.Methods))
	}
	if len(init) != 1 || len(published.Init) != 1 {
		t.Fatalf("init arguments: %d, published %d", len(init), len(published.Init))
	}
	if err := candid.SubtypeStrict(published.Init[0].Type, init[0].Type); err != nil {
		t.Errorf("init argument: %v", err)
	}
}

// What a ledger answers is outside bytes: whatever they are, the index takes them or halts, and its books stay sound.
func FuzzTake(f *testing.F) {
	w := newWorld(f, 1, ptr(acc(4, 0)), index.InitArg{LedgerID: ledgerID})
	data, err := w.QueryRaw(who(1), ledgerID, "icrc3_get_blocks", candid.MustMarshal([]icrc.GetBlocksArgs{{Length: nat(100)}}))
	must(f, err)
	f.Add(data)
	f.Add(candid.MustMarshal(icrc.GetBlocksResult{Blocks: []icrc.ICRC3Block{{Block: icrc.ICRC3Value{Text: ptr("x")}}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r icrc.GetBlocksResult
		if candid.Unmarshal(data, &r) != nil {
			return
		}
		x := create(t)
		if err := x.Read(&r); err != nil {
			t.Fatal(err)
		}
		must(t, x.CheckInvariants())
	})
}
