package archive_test

import (
	"errors"
	"os"
	"testing"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/cdk/stable"
	"fusion/ckledger/archive"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/internal/metrics"
)

var ledgerID = principal.FromUint64(1)

func nat(n uint64) candid.Nat { return candid.NatFromUint64(n) }
func ptr[T any](v T) *T       { return &v }

// blocks are the stored blocks of a ledger with n of them.
func blocks(t testing.TB, n int) [][]byte {
	t.Helper()
	minter := icrc.Account{Owner: principal.MustFromBytes([]byte("minter"))}
	l, err := icrc.Create(&stable.Heap{}, &icrc.InitArgs{MintingAccount: minter}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for i := range uint64(n) {
		r, err := l.Transfer(i, minter.Owner, &icrc.TransferArg{To: icrc.Account{Owner: principal.FromUint64(i)}, Amount: nat(5)})
		if err != nil || r.Ok == nil {
			t.Fatal(r, err)
		}
		out = append(out, l.RawBlock(i))
	}
	return out
}

func TestAppend(t *testing.T) {
	b := blocks(t, 30)
	mem := &stable.Heap{}
	a, err := archive.Create(mem, ledgerID, 10, ptr(uint64(1500)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		blocks [][]byte
		start  *uint64
		want   error
		next   uint64
	}{
		{"nothing", nil, nil, nil, 10},
		{"a gap at the beginning", b[11:12], ptr(uint64(11)), archive.ErrBlock, 10},
		{"before the first", b[9:11], ptr(uint64(9)), archive.ErrBlock, 10},
		{"the first block of a log", b[:1], nil, archive.ErrBlock, 10},
		{"the first ones", b[10:13], ptr(uint64(10)), nil, 13},
		{"the same again", b[10:13], ptr(uint64(10)), nil, 13},
		{"the same and more", b[11:15], ptr(uint64(11)), nil, 15},
		{"without an index", b[15:16], nil, nil, 16},
		{"without an index, again", b[15:16], nil, archive.ErrBlock, 16},
		{"another content", b[20:21], ptr(uint64(12)), archive.ErrBlock, 16},
		{"another parent", b[17:18], ptr(uint64(16)), archive.ErrBlock, 16},
		{"no block", [][]byte{[]byte("junk")}, nil, archive.ErrBlock, 16},
		{"a large block", [][]byte{make([]byte, 1<<20)}, nil, archive.ErrBlock, 16},
	} {
		if err := a.Append(c.blocks, c.start); !errors.Is(err, c.want) || c.want == nil && err != nil || a.Next() != c.next {
			t.Errorf("%s: %v, next block %d, want %v and %d", c.name, err, a.Next(), c.want, c.next)
		}
		if a, err = archive.Open(mem); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.CheckChain(); err != nil {
		t.Fatal(err)
	}
	for i := uint64(16); ; i++ {
		err := a.Append(b[i:i+1], &i)
		if errors.Is(err, archive.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if s := a.Span(); s.Free != a.Free() || s.Free >= uint64(len(b[29])) || s.First != 10 || s.Next != a.Next() || s.Tip == nil {
		t.Fatalf("%+v when full", s)
	}
}

func TestReads(t *testing.T) {
	b := blocks(t, 150)
	a, err := archive.Create(&stable.Heap{}, ledgerID, 5, nil, ptr(uint64(120)))
	if err == nil {
		err = a.Append(b[5:], nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := func(start, length uint64) icrc.GetBlocksArgs {
		return icrc.GetBlocksArgs{Start: nat(start), Length: nat(length)}
	}
	if n := len(a.Transactions(r(5, 1000)).Transactions); n != 120 {
		t.Errorf("%d transactions", n)
	}
	if n := len(a.Blocks(r(149, 7)).Blocks); n != 1 {
		t.Errorf("%d blocks", n)
	}
	if n := len(a.Blocks(r(4, 7)).Blocks) + len(a.Blocks(r(150, 7)).Blocks); n != 0 {
		t.Errorf("%d blocks that are not here", n)
	}
	out := a.ICRC3Blocks([]icrc.GetBlocksArgs{r(7, 2), r(0, 9), r(40, 200)})
	if len(out.Blocks) != 100 || out.Blocks[1].ID.Cmp(nat(8)) != 0 || out.Blocks[2].ID.Cmp(nat(40)) != 0 || out.LogLength.Cmp(nat(145)) != 0 {
		t.Errorf("%d blocks", len(out.Blocks))
	}
	if x := a.Transaction(9); x == nil || x.Mint == nil || a.Transaction(4) != nil || a.Transaction(150) != nil {
		t.Errorf("transaction %+v", x)
	}
}

func TestCanister(t *testing.T) {
	w, id := native.NewWorld(1), principal.FromUint64(2)
	arg := candid.MustMarshal(ledgerID, uint64(0), ptr(uint64(1<<20)), (*uint64)(nil))
	if err := w.Install(id, archive.Canister, arg); err != nil {
		t.Fatal(err)
	}
	b := blocks(t, 3)
	if _, err := native.Update[cdk.None](w, principal.FromUint64(7), id, "append_blocks", b); err == nil {
		t.Fatal("a stranger appended blocks")
	}
	if _, err := native.Update[cdk.None](w, ledgerID, id, "append_blocks", b); err != nil { // as the published interface has it, without an index
		t.Fatal(err)
	}
	if err := w.Upgrade(id, archive.Canister, arg); err != nil {
		t.Fatal(err)
	}
	if s, err := native.Query[icrc.BlockSpan](w, ledgerID, id, "block_range"); err != nil || s.Next != 3 {
		t.Fatal(s, err)
	}
	if r, err := native.Query[metrics.Response](w, ledgerID, id, "http_request", metrics.Request{URL: "/metrics"}); err != nil || r.StatusCode != 200 {
		t.Fatal(r, err)
	}
}

func TestServiceType(t *testing.T) {
	src, err := os.ReadFile("testdata/icrc1_archive.did")
	if err != nil {
		t.Fatal(err)
	}
	want, err := candid.ParseDID(string(src))
	if err != nil {
		t.Fatal(err)
	}
	service, init := cdk.ServiceType(archive.Canister)
	if err := candid.SubtypeStrict(service, want.Service); err != nil {
		t.Errorf("the archive cannot stand in: %v", err)
	}
	if len(init) != 4 || len(want.Init) != 4 {
		t.Fatalf("init %v", init)
	}
	for i := range init {
		if err := candid.SubtypeStrict(want.Init[i].Type, init[i].Type); err != nil {
			t.Errorf("init argument %d: %v", i, err)
		}
	}
}

func FuzzAppend(f *testing.F) {
	for _, b := range blocks(f, 3) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := archive.Create(&stable.Heap{}, ledgerID, 1, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Append([][]byte{b}, nil) != nil {
			return
		}
		if err := a.CheckChain(); err != nil {
			t.Fatal(err)
		}
		a.Transaction(1)
		a.ICRC3Blocks([]icrc.GetBlocksArgs{{Start: nat(1), Length: nat(1)}})
	})
}
