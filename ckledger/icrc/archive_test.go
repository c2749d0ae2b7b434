package icrc_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ckledger/archive"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var archiveModule = []byte("the archive's module")

// suite is a ledger that makes archives in a world where anything may go wrong.
type suite struct {
	t      testing.TB
	w      *native.World
	m      *native.Management
	ledger principal.Principal
	rng    *rand.Rand
	chaos  int // of 100 messages, how many meet a fault
	traps  map[string]int
	seen   [][32]byte // hashes of the blocks that were read
}

func (s *suite) strike() bool { return s.rng.IntN(100) < s.chaos }

func (s *suite) setup() func(*cdk.Canister) {
	return icrc.Observed(func(step string) {
		if s.strike() {
			s.traps[step]++
			panic(&cdk.TrapError{Message: "trapped by the test"})
		}
	})
}

func newSuite(t testing.TB, seed uint64, options icrc.ArchiveOptions) *suite {
	s := &suite{t: t, w: native.NewWorld(seed), ledger: principal.FromUint64(1), rng: rand.New(rand.NewPCG(seed, 7)), traps: map[string]int{}}
	s.m = native.NewManagement(s.w, 100, func(module []byte) func(*cdk.Canister) {
		if string(module) == string(archiveModule) {
			return archive.Canister
		}
		return nil
	})
	s.w.Handle(principal.Management, func(in *native.Incoming) {
		if s.strike() {
			in.Reject(cdk.SysTransient, "not now")
			return
		}
		data, rej := s.m.Do(in)
		switch {
		case s.strike():
			in.Reject(cdk.SysUnknown, "nobody knows")
		case rej != nil:
			in.Reject(rej.Code, rej.Message)
		default:
			in.ReplyRaw(data)
		}
	})
	h := s.m.Upload(s.ledger, archiveModule[:5])
	h2 := s.m.Upload(s.ledger, archiveModule[5:])
	options.Module = &icrc.ArchiveModule{Hash: sum(archiveModule), Chunks: [][]byte{h[:], h2[:]}}
	options.ControllerID = who(77)
	args := initArgs()
	args.ArchiveOptions = options
	if err := s.w.Install(s.ledger, s.setup(), icrc.LedgerArg{Init: args}, native.Controllers(who(77))); err != nil {
		t.Fatal(err)
	}
	return s
}

func sum(b []byte) []byte {
	h := native.NewManagement(nil, 0, nil).Upload(principal.Principal{}, b)
	return h[:]
}

func ask[R any](s *suite, to principal.Principal, method string, args ...any) R {
	s.t.Helper()
	r, err := native.Query[R](s.w, who(99), to, method, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", method, err)
	}
	return r
}

func (s *suite) transfer() *native.Pending {
	s.t.Helper()
	p, err := s.w.Submit(minter.Owner, s.ledger, "icrc1_transfer", icrc.TransferArg{To: acc(s.rng.IntN(5)), Amount: nat(100), Memo: ptr([]byte{byte(s.rng.IntN(256))})})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// upgrade replaces a canister in the middle of what it is at; its open calls have lost their callbacks.
func (s *suite) upgrade(id principal.Principal, setup func(*cdk.Canister)) {
	s.t.Helper()
	if err := s.w.Upgrade(id, setup, nil); err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) archives() []principal.Principal {
	var out []principal.Principal
	for _, a := range ask[[]icrc.ICRC3Archive](s, s.ledger, "icrc3_get_archives", icrc.GetArchivesArgs{}) {
		out = append(out, a.CanisterID)
	}
	return out
}

// check reads all blocks as a client does, by all three methods, and verifies that each is there once and that they are those that the certified tip proves.
func (s *suite) check() {
	s.t.Helper()
	n := uint64(0)
	next := func(id candid.Nat) {
		s.t.Helper()
		if i, ok := id.Uint64(); !ok || i != n {
			s.t.Fatalf("block %s comes after %d blocks", id, n)
		}
		n++
	}
	var parent [32]byte
	var ids []string
	for {
		r := ask[icrc.GetBlocksResult](s, s.ledger, "icrc3_get_blocks", []icrc.GetBlocksArgs{{Start: nat(n), Length: nat(1000)}})
		before := n
		take := func(blocks []icrc.ICRC3Block) {
			for _, b := range blocks {
				at := n
				next(b.ID)
				f, err := icrc.Follow(b.Block)
				if err != nil || at > 0 && *f.Parent != parent {
					s.t.Fatalf("block %d does not continue the chain: %v", at, err)
				}
				raw, err := icrc.AppendValue(nil, b.Block)
				if err == nil {
					parent, err = icrc.HashValue(raw)
				}
				if err != nil {
					s.t.Fatal(err)
				}
				if at < uint64(len(s.seen)) && s.seen[at] != parent {
					s.t.Fatalf("block %d had the hash %x and has %x", at, s.seen[at], parent)
				} else if at == uint64(len(s.seen)) {
					s.seen = append(s.seen, parent)
				}
			}
		}
		for _, a := range r.ArchivedBlocks {
			in := ask[icrc.GetBlocksResult](s, a.Callback.Principal, a.Callback.Method, a.Args)
			take(in.Blocks)
		}
		if len(r.ArchivedBlocks) == 0 {
			take(r.Blocks)
		}
		if n == before {
			if total, _ := r.LogLength.Uint64(); total != n {
				s.t.Fatalf("%d of %d blocks can be read", n, total)
			}
			break
		}
	}
	cert := ask[icrc.DataCertificate](s, s.ledger, "get_data_certificate")
	if !strings.Contains(string(cert.HashTree), string(parent[:])) {
		s.t.Fatalf("the certified tip is not %x", parent)
	}
	if n < uint64(len(s.seen)) {
		s.t.Fatalf("%d blocks, there were %d", n, len(s.seen))
	}
	all := n
	for n = 0; n < all; {
		r := ask[icrc.GetTransactionsResponse](s, s.ledger, "get_transactions", icrc.GetBlocksArgs{Start: nat(n), Length: nat(2000)})
		b := ask[icrc.GetBlocksResponse](s, s.ledger, "get_blocks", icrc.GetBlocksArgs{Start: nat(n), Length: nat(2000)})
		if len(r.ArchivedTransactions) != len(b.ArchivedBlocks) || len(r.Transactions) != len(b.Blocks) {
			s.t.Fatalf("%d and %d in archives, %d and %d here", len(r.ArchivedTransactions), len(b.ArchivedBlocks), len(r.Transactions), len(b.Blocks))
		}
		for i, a := range r.ArchivedTransactions {
			next(a.Start)
			args := icrc.GetBlocksArgs{Start: a.Start, Length: a.Length}
			txs := ask[icrc.TransactionRange](s, a.Callback.Principal, a.Callback.Method, args).Transactions
			blocks := ask[icrc.BlockRange](s, b.ArchivedBlocks[i].Callback.Principal, b.ArchivedBlocks[i].Callback.Method, args).Blocks
			if fmt.Sprint(len(txs)) != a.Length.String() || len(blocks) != len(txs) || txs[0].Kind == "" {
				s.t.Fatalf("archive %s has %d transactions and %d blocks of %s", a.Callback.Principal, len(txs), len(blocks), a.Length)
			}
			n += uint64(len(txs)) - 1
			ids = append(ids, a.Callback.Principal.String())
		}
		if len(r.Transactions) > 0 {
			next(r.FirstIndex)
			n += uint64(len(r.Transactions)) - 1
		} else if len(r.ArchivedTransactions) == 0 {
			s.t.Fatalf("no transaction %d of %d", n, all)
		}
	}
	if list := ask[[]icrc.ArchiveInfo](s, s.ledger, "archives"); len(list) != len(ids) {
		s.t.Fatalf("%d archives, those of the blocks are %v", len(list), ids)
	}
}

// TestArchives: whatever becomes of the messages between ledger, archives and management canister, each block is in one place and can be read.
func TestArchives(t *testing.T) {
	seeds := 60
	if n, err := strconv.Atoi(os.Getenv("FUSION_SIM_SEEDS")); err == nil {
		seeds = n
	}
	traps := map[string]int{}
	lost, archives := 0, 0
	for seed := range uint64(seeds) {
		s := newSuite(t, seed, icrc.ArchiveOptions{TriggerThreshold: seed % 7, NumBlocksToArchive: 1 + seed%5, MaxMessageSizeBytes: ptr(uint64(200 + 300*(seed%3))),
			NodeMaxMemorySizeBytes: ptr(uint64(1000 + 1000*(seed%4)))})
		s.chaos = int(seed % 4 * 8)
		for range 60 {
			switch s.rng.IntN(10) {
			case 0, 1, 2:
				s.transfer()
			case 3:
				if s.strike() {
					s.upgrade(s.ledger, s.setup())
				}
			case 4:
				if a := s.archives(); len(a) > 0 && s.strike() {
					s.upgrade(a[s.rng.IntN(len(a))], archive.Canister)
				}
			case 5:
				if err := s.w.Advance(time.Duration(s.rng.IntN(5000)) * time.Millisecond); err != nil {
					t.Fatal(err)
				}
			case 6:
				s.check()
			default:
				s.w.Step()
			}
		}
		s.chaos = 0
		p := s.transfer()
		if err := s.w.Advance(2 * time.Hour); err != nil {
			t.Fatal(err)
		}
		if a := p.Answer(); a == nil || a.Err != nil {
			t.Fatalf("seed %d: a transfer was answered %+v", seed, a)
		}
		s.check()
		kept := ask[icrc.GetBlocksResponse](s, s.ledger, "get_blocks", icrc.GetBlocksArgs{Length: nat(2000)})
		if uint64(len(kept.Blocks)) > max(seed%7, 1) {
			t.Fatalf("seed %d: %d blocks are left, the threshold is %d; %v", seed, len(kept.Blocks), seed%7, s.w.Logs())
		}
		used := map[principal.Principal]bool{}
		for _, id := range s.archives() {
			used[id] = true
		}
		for _, c := range s.m.Canisters { // one with code that is not in use holds no block
			if c.Module != nil && !used[c.ID] {
				if r := ask[icrc.BlockSpan](s, c.ID, "block_range"); r.Next != r.First {
					t.Fatalf("seed %d: archive %s with %d blocks is not listed", seed, c.ID, r.Next-r.First)
				}
			}
			if c.Module == nil {
				lost++
			}
			if len(c.Controllers) != 2 || c.Controllers[0] != s.ledger || c.Cycles.Lo != 10_000_000_000_000 {
				t.Fatalf("archive %s has controllers %v and %s cycles", c.ID, c.Controllers, c.Cycles)
			}
		}
		archives += len(used)
		for step, n := range s.traps {
			traps[step] += n
		}
	}
	if len(traps) != 6 || lost == 0 || archives < seeds {
		t.Errorf("traps %v, %d lost canisters, %d archives: the simulation does not reach everything", traps, lost, archives)
	}
}

// Stored blocks are those of the log, as many as a message takes, and none where the first one that was asked for is in an archive; archives give the others likewise.
func TestStoredBlocks(t *testing.T) {
	l, _ := newLedger(t, initArgs())
	for i := range 1200 {
		memo := make([]byte, 32)
		memo[0], memo[1] = byte(i), byte(i>>8)
		if r, err := l.Transfer(start+uint64(i), minter.Owner, &icrc.TransferArg{To: acc(1), Amount: nat(5), Memo: &memo}); err != nil || r.Ok == nil {
			t.Fatalf("%+v %v", r, err)
		}
	}
	read := uint64(0)
	for read < l.Blocks() {
		r := l.StoredBlocks(icrc.GetBlocksArgs{Start: nat(read), Length: nat(1 << 40)})
		if r.LogLength != l.Blocks() || r.First != read || len(r.Blocks) == 0 || len(r.Blocks) > icrc.MaxStoredBlocks {
			t.Fatalf("%d blocks from %d on of %d", len(r.Blocks), r.First, r.LogLength)
		}
		for i, b := range r.Blocks {
			if !bytes.Equal(b, l.RawBlock(read+uint64(i))) {
				t.Fatalf("block %d differs", read+uint64(i))
			}
		}
		read += uint64(len(r.Blocks))
	}
	for _, from := range []uint64{read, 1 << 50} {
		if r := l.StoredBlocks(icrc.GetBlocksArgs{Start: nat(from), Length: nat(5)}); len(r.Blocks) != 0 || r.LogLength != read {
			t.Errorf("%d blocks from %d on", len(r.Blocks), from)
		}
	}
}
