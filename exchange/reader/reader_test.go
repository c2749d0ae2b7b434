package reader_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"fusion/ckledger/icrc"
	"fusion/exchange/reader"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/testnets/ledgermem"
)

var (
	ledgerID = principal.FromUint64(7)
	quiet    = slog.New(slog.NewTextHandler(io.Discard, nil))
)

func user(i int) icrc.Account {
	sub := make([]byte, 32)
	sub[31] = byte(i)
	return icrc.Account{Owner: principal.MustFromBytes([]byte("exchange")), Subaccount: &sub}
}

func open(t *testing.T) (*ledgermem.Subnet, *ledgermem.Ledger, *reader.Reader) {
	t.Helper()
	s := ledgermem.NewSubnet(1)
	t.Cleanup(s.Close)
	l := s.NewLedger(ledgerID)
	r, err := reader.Open(t.Context(), s.Agent(identity.Anonymous{}), ledgerID)
	if err != nil {
		t.Fatal(err)
	}
	r.Log, r.Interval = quiet, time.Millisecond
	return s, l, r
}

// read reads all that is proven behind a cursor.
func read(t *testing.T, r *reader.Reader, c reader.Cursor) (got []reader.Block, next reader.Cursor, err error) {
	t.Helper()
	next, err = r.Read(t.Context(), c, func(blocks []reader.Block) error {
		if len(blocks) > r.Window {
			t.Errorf("%d blocks at once, the window is %d", len(blocks), r.Window)
		}
		got = append(got, blocks...)
		return nil
	})
	return got, next, err
}

// same checks that blocks are those of the ledger from an index on.
func same(t *testing.T, l *ledgermem.Ledger, from uint64, got []reader.Block) {
	t.Helper()
	for i, b := range got {
		want, err := l.Core().BlockHash(from + uint64(i))
		if err != nil || b.Index != from+uint64(i) || b.Hash != want {
			t.Fatalf("block %d is %d with %x, want %x (%v)", from+uint64(i), b.Index, b.Hash, want, err)
		}
	}
}

func TestRead(t *testing.T) {
	_, l, r := open(t)
	if _, err := r.Tip(t.Context()); !errors.Is(err, reader.ErrEmpty) {
		t.Fatalf("tip of an empty ledger: %v", err)
	}
	if got, c, err := read(t, r, reader.Cursor{}); err != nil || len(got) > 0 || c != (reader.Cursor{}) {
		t.Fatalf("an empty ledger: %v %v %v", got, c, err)
	}
	for i := range 23 {
		l.Mint(user(i), uint64(100+i))
	}
	tip, err := r.Tip(t.Context())
	if err != nil || tip.Index != 22 || tip.Hash != l.Core().Tip() || tip.TimeNs != ledgermem.Start {
		t.Fatalf("tip: %+v %v", tip, err)
	}
	for _, window := range []int{1, 4, 22, 23, 100} { // one pass and two
		r.Window = window
		got, c, err := read(t, r, reader.Cursor{})
		if err != nil || len(got) != 23 || c != tip.After() {
			t.Fatalf("window %d: %d blocks, %+v %v", window, len(got), c, err)
		}
		same(t, l, 0, got)
		if m := got[5].Mint; m == nil || m.Amount.String() != "105" || !bytes.Equal(*m.To.Subaccount, *user(5).Subaccount) {
			t.Fatalf("block 5: %+v", got[5])
		}
	}
	r.Window = 4
	c, err := r.At(t.Context(), 9)
	if err != nil {
		t.Fatal(err)
	}
	got, next, err := read(t, r, c)
	if err != nil || len(got) != 14 || next != tip.After() {
		t.Fatalf("from 9: %d %v %v", len(got), next, err)
	}
	same(t, l, 9, got)
	if got, next, err := read(t, r, next); err != nil || len(got) > 0 || next != tip.After() {
		t.Fatalf("at the tip: %v %v", got, err)
	}
	blocks, err := r.Blocks(t.Context(), 20, 10)
	if err != nil || len(blocks) != 3 {
		t.Fatalf("blocks: %d %v", len(blocks), err)
	}
	same(t, l, 20, blocks)
	if _, err := r.Blocks(t.Context(), 0, reader.MaxBlocks+1); err == nil {
		t.Error("more blocks than the bound")
	}
	token, err := r.Metadata(t.Context())
	if err != nil || token.Symbol != "ckTEST" || token.Decimals != 8 || token.Fee.String() != "10" || token.Minting.Owner != l.Minting.Owner {
		t.Errorf("token: %+v %v", token, err)
	}
}

// A visit that fails leaves the cursor before the blocks that it was shown.
func TestReadStopsWhereVisitFails(t *testing.T) {
	_, l, r := open(t)
	for i := range 10 {
		l.Mint(user(i), 100)
	}
	r.Window = 3
	var got []reader.Block
	stop := errors.New("disk full")
	c, err := r.Read(t.Context(), reader.Cursor{}, func(blocks []reader.Block) error {
		if len(got) == 6 {
			return stop
		}
		got = append(got, blocks...)
		return nil
	})
	if !errors.Is(err, stop) || c.Index != 6 {
		t.Fatalf("cursor %+v %v", c, err)
	}
	rest, _, err := read(t, r, c)
	if err != nil || len(rest) != 4 {
		t.Fatalf("the rest: %d %v", len(rest), err)
	}
	same(t, l, 0, append(got, rest...))
}

func TestArchives(t *testing.T) {
	_, l, r := open(t)
	for i := range 60 {
		l.Mint(user(i), 100)
	}
	l.PerAnswer = 7
	l.Archive(principal.FromUint64(100), 20)
	l.Archive(principal.FromUint64(101), 45)
	for _, window := range []int{16, 60} {
		r.Window = window
		got, _, err := read(t, r, reader.Cursor{})
		if err != nil || len(got) != 60 {
			t.Fatalf("%d %v", len(got), err)
		}
		same(t, l, 0, got)
	}
	l.Archive(principal.FromUint64(102), 58) // which the reader has not heard of yet
	got, _, err := read(t, r, reader.Cursor{})
	if err != nil || len(got) != 60 {
		t.Fatalf("%d %v", len(got), err)
	}
	same(t, l, 0, got)
}

func TestFollow(t *testing.T) {
	s, l, r := open(t)
	l.Mint(user(0), 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan reader.Block, 100)
	done := make(chan error, 1)
	go func() {
		done <- r.Follow(ctx, reader.Cursor{}, func(blocks []reader.Block) error {
			for _, b := range blocks {
				seen <- b
			}
			return nil
		})
	}()
	for i := range 20 {
		b := <-seen
		same(t, l, uint64(i), []reader.Block{b})
		switch i {
		case 5: // a replica that lies for a while
			n := 0
			l.Falsify(func(_ principal.Principal, method string, reply []byte) []byte {
				if n++; n == 3 {
					go l.Falsify(nil)
				}
				return reply[:len(reply)-1]
			})
		case 10:
			s.SetTime(s.NowNs() + 1e9)
		}
		l.Mint(user(i), 100)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("follow ended with %v", err)
	}
	stop := errors.New("stop")
	if err := r.Follow(t.Context(), reader.Cursor{}, func([]reader.Block) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("visit's error: %v", err)
	}
	if err := r.Follow(t.Context(), reader.Cursor{Index: 3, Hash: [32]byte{1}}, func([]reader.Block) error { return nil }); !errors.Is(err, reader.ErrFork) {
		t.Errorf("another log: %v", err)
	}
}

func TestForkAndBehind(t *testing.T) {
	_, l, r := open(t)
	for range 8 {
		l.Mint(user(1), 100)
	}
	tip, err := r.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cursor reader.Cursor
		want   error
	}{
		"other hash inside":  {reader.Cursor{Index: 4, Hash: [32]byte{9}}, reader.ErrFork},
		"other hash at tip":  {reader.Cursor{Index: 8, Hash: [32]byte{9}}, reader.ErrFork},
		"hash before all":    {reader.Cursor{Index: 0, Hash: [32]byte{9}}, reader.ErrFork},
		"beyond the tip":     {reader.Cursor{Index: 9, Hash: tip.Hash}, reader.ErrBehind},
		"far beyond the tip": {reader.Cursor{Index: 1 << 63, Hash: tip.Hash}, reader.ErrBehind},
	} {
		if got, next, err := read(t, r, c.cursor); !errors.Is(err, c.want) || len(got) > 0 || next != c.cursor {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.At(t.Context(), 10); !errors.Is(err, reader.ErrBehind) {
		t.Errorf("cursor beyond the tip: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	s, _, _ := open(t)
	if _, err := reader.Open(t.Context(), s.Agent(identity.Anonymous{}), principal.FromUint64(99)); !errors.Is(err, reader.ErrLedger) {
		t.Errorf("no canister: %v", err)
	}
}

// blocks changes the blocks of an answer.
func blocks(method string, reply []byte, change func(*icrc.GetBlocksResult)) []byte {
	if method != "icrc3_get_blocks" {
		return reply
	}
	var res icrc.GetBlocksResult
	if err := candid.Unmarshal(reply, &res); err != nil {
		panic(err)
	}
	change(&res)
	return candid.MustMarshal(res)
}

func field(v *icrc.ICRC3Value, names ...string) *icrc.ICRC3Value {
	for _, name := range names {
		var next *icrc.ICRC3Value
		for i := range *v.Map {
			if (*v.Map)[i].Key == name {
				next = &(*v.Map)[i].Value
			}
		}
		if next == nil {
			panic(fmt.Sprintf("no field %q", name))
		}
		v = next
	}
	return v
}

// What a node may put in the place of an answer is refused, and nothing of it is shown.
func TestHostileAnswers(t *testing.T) {
	s, l, r := open(t)
	memo := []byte("memo")
	for i := range 12 {
		l.Transfer(l.Minting.Owner, icrc.TransferArg{To: user(i), Amount: candid.NatFromUint64(100), Memo: &memo})
	}
	archive := principal.FromUint64(100)
	l.Archive(archive, 4)
	old, err := s.Agent(identity.Anonymous{}).Query(t.Context(), ledgerID, "icrc3_get_tip_certificate", candid.MustMarshal())
	if err != nil {
		t.Fatal(err)
	}
	l.Mint(user(1), 1)
	other := ledgermem.NewSubnet(2) // with another key
	defer other.Close()
	fake := other.NewLedger(ledgerID)
	fake.Mint(user(1), 1_000_000)
	foreign, err := other.Agent(identity.Anonymous{}).Query(t.Context(), ledgerID, "icrc3_get_tip_certificate", candid.MustMarshal())
	if err != nil {
		t.Fatal(err)
	}
	second := s.NewLedger(principal.FromUint64(8)) // a ledger of the same subnet
	second.Mint(user(1), 1_000_000)
	neighbour, err := s.Agent(identity.Anonymous{}).Query(t.Context(), second.ID, "icrc3_get_tip_certificate", candid.MustMarshal())
	if err != nil {
		t.Fatal(err)
	}
	account := icrc.GetBlocksArgs{Start: candid.NatFromUint64(0), Length: candid.NatFromUint64(1 << 40)}
	tip := func(b []byte) func(principal.Principal, string, []byte) []byte {
		return func(_ principal.Principal, method string, reply []byte) []byte {
			if method == "icrc3_get_tip_certificate" {
				return b
			}
			return reply
		}
	}
	// at changes block 5.
	at := func(change func(v *icrc.ICRC3Value)) func(principal.Principal, string, []byte) []byte {
		return func(id principal.Principal, method string, reply []byte) []byte {
			return blocks(method, reply, func(res *icrc.GetBlocksResult) {
				for i := range res.Blocks {
					if res.Blocks[i].ID.String() == "5" {
						change(&res.Blocks[i].Block)
					}
				}
			})
		}
	}
	answer := func(change func(id principal.Principal, res *icrc.GetBlocksResult)) func(principal.Principal, string, []byte) []byte {
		return func(id principal.Principal, method string, reply []byte) []byte {
			return blocks(method, reply, func(res *icrc.GetBlocksResult) {
				if len(res.Blocks) > 2 || len(res.ArchivedBlocks) > 0 {
					change(id, res)
				}
			})
		}
	}
	retype := func(v *icrc.ICRC3Value) { // the same bytes as a text: the hash stays
		s := string(*v.Blob)
		*v = icrc.ICRC3Value{Text: &s}
	}
	for name, c := range map[string]struct {
		falsify func(id principal.Principal, method string, reply []byte) []byte
		want    error
	}{
		"a tip of another root key":   {tip(foreign), agent.ErrVerification},
		"the tip of another ledger":   {tip(neighbour), reader.ErrTip},
		"a tip from before":           {tip(old), nil},
		"no tip":                      {tip(candid.MustMarshal((*icrc.ICRC3DataCertificate)(nil))), nil},
		"a tip without certificate":   {tip(candid.MustMarshal(&icrc.ICRC3DataCertificate{})), reader.ErrTip},
		"an amount":                   {at(func(v *icrc.ICRC3Value) { n := candid.NatFromUint64(1e6); field(v, "tx", "amt").Nat = &n }), reader.ErrChain},
		"another kind":                {at(func(v *icrc.ICRC3Value) { s := "burn"; field(v, "tx", "op").Text = &s }), reader.ErrBlock},
		"a subaccount that is a text": {at(func(v *icrc.ICRC3Value) { retype(&(*field(v, "tx", "to").Array)[1]) }), reader.ErrBlock},
		"a memo that is a text":       {at(func(v *icrc.ICRC3Value) { retype(field(v, "tx", "memo")) }), reader.ErrBlock},
		"an account that is a map":    {at(accountAsMap), reader.ErrBlock},
		"no memo":                     {at(func(v *icrc.ICRC3Value) { drop(field(v, "tx"), "memo") }), reader.ErrChain},
		"no parent":                   {at(func(v *icrc.ICRC3Value) { drop(v, "phash") }), reader.ErrBlock},
		"a field more":                {at(func(v *icrc.ICRC3Value) { *v.Map = append(*v.Map, icrc.ICRC3Entry{Key: "x", Value: *field(v, "ts")}) }), reader.ErrBlock},
		"a field twice":               {at(func(v *icrc.ICRC3Value) { *v.Map = append(*v.Map, icrc.ICRC3Entry{Key: "ts", Value: *field(v, "ts")}) }), reader.ErrBlock},
		"no value":                    {at(func(v *icrc.ICRC3Value) { s := "block"; *v = icrc.ICRC3Value{Text: &s} }), reader.ErrBlock},
		"no blocks":                   {answer(func(_ principal.Principal, res *icrc.GetBlocksResult) { res.Blocks = nil }), reader.ErrChain},
		"a shorter log": {answer(func(_ principal.Principal, res *icrc.GetBlocksResult) {
			res.LogLength = candid.NatFromUint64(3)
			res.Blocks, res.ArchivedBlocks = nil, nil
		}), reader.ErrChain},
		"a block that nobody asked for": {answer(func(_ principal.Principal, res *icrc.GetBlocksResult) { more(res, 1000) }), reader.ErrChain},
		"a block twice":                 {answer(func(_ principal.Principal, res *icrc.GetBlocksResult) { more(res, 4) }), reader.ErrChain},
		"blocks in each other's place": {answer(func(_ principal.Principal, res *icrc.GetBlocksResult) {
			if n := len(res.Blocks); n > 2 {
				res.Blocks[1].Block, res.Blocks[2].Block = res.Blocks[2].Block, res.Blocks[1].Block
			}
		}), reader.ErrChain},
		"a stranger as archive": {answer(func(_ principal.Principal, res *icrc.GetBlocksResult) {
			for i := range res.ArchivedBlocks {
				res.ArchivedBlocks[i].Callback.Principal = second.ID
			}
		}), reader.ErrChain},
		"another method": {answer(func(_ principal.Principal, res *icrc.GetBlocksResult) {
			for i := range res.ArchivedBlocks {
				res.ArchivedBlocks[i].Callback.Method = "icrc1_metadata"
			}
		}), reader.ErrChain},
		"a wide range of the archive": {answer(func(id principal.Principal, res *icrc.GetBlocksResult) {
			for i := range res.ArchivedBlocks {
				res.ArchivedBlocks[i].Args = []icrc.GetBlocksArgs{account, account}
			}
		}), reader.ErrChain},
		"an archive without blocks": {answer(func(id principal.Principal, res *icrc.GetBlocksResult) {
			if id == archive {
				res.Blocks = nil
			}
		}), reader.ErrChain},
	} {
		for _, window := range []int{4, 100} {
			r.Window = window
			l.Falsify(c.falsify)
			got, _, err := read(t, r, reader.Cursor{})
			if !errors.Is(err, c.want) || len(got) > 12 {
				t.Errorf("%s (window %d): %d blocks, %v, want %v", name, window, len(got), err, c.want)
			}
			if c.want != nil && len(got) > 0 {
				t.Errorf("%s (window %d): %d blocks were shown", name, window, len(got))
			}
			same(t, l, 0, got)
		}
	}
	l.Falsify(nil)
	if got, _, err := read(t, r, reader.Cursor{}); err != nil || len(got) != 13 {
		t.Errorf("in the end: %d %v", len(got), err)
	}
}

// more adds a block to an answer that has some.
func more(res *icrc.GetBlocksResult, id uint64) {
	if len(res.Blocks) > 0 {
		res.Blocks = append(res.Blocks, icrc.ICRC3Block{ID: candid.NatFromUint64(id), Block: res.Blocks[0].Block})
	}
}

func drop(v *icrc.ICRC3Value, key string) {
	for i, e := range *v.Map {
		if e.Key == key {
			*v.Map = append((*v.Map)[:i:i], (*v.Map)[i+1:]...)
			return
		}
	}
}

// accountAsMap has the same hash as an account of two parts, if the owner is a text.
func accountAsMap(v *icrc.ICRC3Value) {
	to := field(v, "tx", "to")
	parts := *to.Array
	*to = icrc.ICRC3Value{Map: &[]icrc.ICRC3Entry{{Key: string(*parts[0].Blob), Value: parts[1]}}}
}

// A node that answers differently the second time gets what it invents refused then.
func TestLiesInTheSecondPass(t *testing.T) {
	_, l, r := open(t)
	for i := range 12 {
		l.Mint(user(i), 100)
	}
	r.Window = 4
	n := 0
	l.Falsify(func(_ principal.Principal, method string, reply []byte) []byte {
		return blocks(method, reply, func(res *icrc.GetBlocksResult) {
			if n++; n == 5 { // three answers make the first pass
				more := candid.NatFromUint64(1e6)
				field(&res.Blocks[3].Block, "tx", "amt").Nat = &more
			}
		})
	})
	got, c, err := read(t, r, reader.Cursor{})
	if !errors.Is(err, reader.ErrChain) || len(got) != 4 || c.Index != 4 {
		t.Fatalf("%d blocks, %+v %v", len(got), c, err)
	}
	rest, _, err := read(t, r, c)
	if err != nil || len(rest) != 8 {
		t.Fatalf("the rest: %d %v", len(rest), err)
	}
	same(t, l, 0, append(got, rest...))
}

// The retyped subaccount of TestHostileAnswers does have the hash of the real one: nothing but the types tells them apart.
func TestTypesAreNotInTheHash(t *testing.T) {
	_, l, _ := open(t)
	l.Mint(user(0), 1)
	l.Mint(user(7), 100)
	v := l.Core().Block(1)
	b, err := reader.Parse(1, v)
	if err != nil {
		t.Fatal(err)
	}
	sub := &(*field(&v, "tx", "to").Array)[1]
	text := string(*sub.Blob)
	*sub = icrc.ICRC3Value{Text: &text}
	raw, err := icrc.AppendValue(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := icrc.HashValue(raw); err != nil || h != b.Hash {
		t.Fatalf("hash %x, want %x (%v)", h, b.Hash, err)
	}
	if _, err := reader.Parse(1, v); !errors.Is(err, reader.ErrBlock) {
		t.Errorf("a retyped block: %v", err)
	}
}

// FuzzParse: whatever a node answers, a block is refused or read as the one of its hash.
func FuzzParse(f *testing.F) {
	s := ledgermem.NewSubnet(1)
	defer s.Close()
	l := s.NewLedger(ledgerID)
	for i := range 3 {
		l.Mint(user(i), 1000)
	}
	spender := user(9)
	l.Transfer(user(0).Owner, icrc.TransferArg{FromSubaccount: user(0).Subaccount, To: spender, Amount: candid.NatFromUint64(5)})
	for i := range l.Core().Blocks() {
		f.Add(i, l.Core().RawBlock(i))
	}
	f.Fuzz(func(t *testing.T, index uint64, raw []byte) {
		v, err := icrc.DecodeValue(raw)
		if err != nil {
			return
		}
		b, err := reader.Parse(index, v)
		if err != nil {
			return
		}
		if h, err := icrc.HashValue(raw); err != nil || h != b.Hash || b.Index != index {
			t.Fatalf("block %d has hash %x, not %x (%v)", b.Index, b.Hash, h, err)
		}
		n := 0
		for _, there := range []bool{b.Mint != nil, b.Burn != nil, b.Transfer != nil, b.Approve != nil, b.FeeCollector != nil, b.AuthorizedMint != nil, b.AuthorizedBurn != nil} {
			if there {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("a block that does %d things", n)
		}
	})
}

// FuzzTip: a tree that does not have the certified hash proves nothing, and no tree breaks the reader.
func FuzzTip(f *testing.F) {
	s := ledgermem.NewSubnet(1)
	defer s.Close()
	l := s.NewLedger(ledgerID)
	l.Mint(user(1), 1)
	a := s.Agent(identity.Anonymous{})
	var dc *icrc.ICRC3DataCertificate
	if err := a.Ask(context.Background(), ledgerID, "icrc3_get_tip_certificate", []any{}, []any{&dc}); err != nil {
		f.Fatal(err)
	}
	cert, err := a.Certificate(context.Background(), ledgerID, dc.Certificate)
	if err != nil {
		f.Fatal(err)
	}
	want, err := reader.ReadTip(cert, ledgerID, dc.HashTree)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(dc.HashTree)
	f.Fuzz(func(t *testing.T, tree []byte) {
		if tip, err := reader.ReadTip(cert, ledgerID, tree); err == nil && tip != want {
			t.Fatalf("another tip: %+v", tip)
		}
	})
}
