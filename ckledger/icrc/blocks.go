package icrc

import (
	"encoding/binary"
	"fmt"
	"slices"

	"fusion/cdk/stable"
	"fusion/ic/candid"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
)

// Bounds of responses, as in the ck ledgers of the Internet Computer.
const (
	maxTransactions = 2000 // get_transactions and get_blocks
	maxICRC3Blocks  = 100  // icrc3_get_blocks, over all ranges
	maxICRC3Ranges  = 100  // that it names in archives
)

// Block is block i; it panics for an index that is below Archived or not below Blocks.
func (l *Ledger) Block(i uint64) ICRC3Value {
	v, err := DecodeValue(l.log.Get(i, nil))
	if err != nil {
		panic(fmt.Sprintf("block %d: %v", i, err))
	}
	return v
}

// BlockHash computes the hash of block i from its content.
func (l *Ledger) BlockHash(i uint64) ([32]byte, error) { return l.hasher.Sum(l.log.Get(i, nil)) }

// GetBlocks answers get_blocks but for the certificate.
func (l *Ledger) GetBlocks(args GetBlocksArgs) GetBlocksResponse {
	start, end, there := l.split(args, maxTransactions)
	out := GetBlocksResponse{FirstIndex: candid.NatFromUint64(start), ChainLength: l.log.Len(), Blocks: []Value{}, ArchivedBlocks: []ArchivedBlocks{}}
	for _, a := range there {
		r := a.args()
		out.ArchivedBlocks = append(out.ArchivedBlocks, ArchivedBlocks{r.Start, r.Length, QueryBlockArchiveFn{candid.Func{Principal: a.id, Method: "get_blocks"}}})
	}
	for i := start; i < end; i++ {
		out.Blocks = append(out.Blocks, l.Block(i).Legacy())
	}
	return out
}

// GetICRC3Blocks answers icrc3_get_blocks.
func (l *Ledger) GetICRC3Blocks(ranges []GetBlocksArgs) GetBlocksResult {
	out := GetBlocksResult{LogLength: candid.NatFromUint64(l.log.Len()), Blocks: []ICRC3Block{}, ArchivedBlocks: []ICRC3ArchivedBlocks{}}
	limit := uint64(maxICRC3Blocks)
	listed := 0
	for _, r := range ranges {
		if limit == 0 || listed >= maxICRC3Ranges {
			break
		}
		start, end, there := l.split(r, limit)
		for _, a := range there {
			i := slices.IndexFunc(out.ArchivedBlocks, func(x ICRC3ArchivedBlocks) bool { return x.Callback.Principal == a.id })
			if i < 0 {
				i = len(out.ArchivedBlocks)
				out.ArchivedBlocks = append(out.ArchivedBlocks, ICRC3ArchivedBlocks{Callback: ICRC3ArchiveFn{candid.Func{Principal: a.id, Method: "icrc3_get_blocks"}}})
			}
			out.ArchivedBlocks[i].Args = append(out.ArchivedBlocks[i].Args, a.args())
			listed++
		}
		for i := start; i < end; i++ {
			out.Blocks = append(out.Blocks, ICRC3Block{candid.NatFromUint64(i), l.Block(i)})
		}
		limit -= end - start
	}
	return out
}

// MaxStoredBlocks bounds an answer of get_stored_blocks, and with it what its reader does in one message.
const MaxStoredBlocks = 500

// maxStoredBytes bounds it too: of answers between subnets, which may have 2 MiB.
const maxStoredBytes = 1 << 20

// StoredBlocks answers get_stored_blocks: blocks from one on in their stored form, which AppendValue gives and DecodeValue reads, at a fraction of what ICRC-3's form costs
// both sides. What is in archives is left out.
func (l *Ledger) StoredBlocks(args GetBlocksArgs) StoredBlocks {
	start, end, _ := l.split(args, MaxStoredBlocks)
	if asked, ok := args.Start.Uint64(); ok && asked < start {
		end = start // what was asked first is in an archive
	}
	return StoredBlocks{l.log.Len(), start, StoredIn(l.log, 0, start, end)}
}

// StoredIn lists blocks of a log that begins with block first.
func StoredIn(log *stable.Log, first, start, end uint64) [][]byte {
	out := [][]byte{}
	for i, room := start, maxStoredBytes; i < end; i++ {
		b := log.Get(i-first, nil)
		if room -= len(b); room < 0 && i > start {
			break
		}
		out = append(out, b)
	}
	return out
}

// GetTransactions answers get_transactions.
func (l *Ledger) GetTransactions(args GetBlocksArgs) GetTransactionsResponse {
	start, end, there := l.split(args, maxTransactions)
	out := GetTransactionsResponse{LogLength: candid.NatFromUint64(l.log.Len()), FirstIndex: candid.NatFromUint64(start),
		Transactions: []Transaction{}, ArchivedTransactions: []ArchivedTransactions{}}
	for _, a := range there {
		r := a.args()
		out.ArchivedTransactions = append(out.ArchivedTransactions,
			ArchivedTransactions{r.Start, r.Length, QueryArchiveFn{candid.Func{Principal: a.id, Method: "get_transactions"}}})
	}
	for i := start; i < end; i++ {
		b := l.Block(i)
		t, err := TransactionOf(b)
		if err != nil {
			panic(fmt.Sprintf("block %d: %v", i, err))
		}
		out.Transactions = append(out.Transactions, t)
	}
	return out
}

func (v *ICRC3Value) nat() *candid.Nat {
	if v == nil {
		return nil
	}
	return v.Nat
}

func (v *ICRC3Value) nat64() *uint64 {
	if v == nil || v.Nat == nil {
		return nil
	}
	n, ok := v.Nat.Uint64()
	if !ok {
		return nil
	}
	return &n
}

func (v *ICRC3Value) blob() *[]byte {
	if v == nil {
		return nil
	}
	return v.Blob
}

func (v *ICRC3Value) text() *string {
	if v == nil {
		return nil
	}
	return v.Text
}

func (v *ICRC3Value) principal() *principal.Principal {
	if b := v.blob(); b != nil {
		if p, err := principal.FromBytes(*b); err == nil {
			return &p
		}
	}
	return nil
}

func (v *ICRC3Value) account() *Account {
	if v == nil || v.Array == nil || len(*v.Array) < 1 || len(*v.Array) > 2 {
		return nil
	}
	items := *v.Array
	owner := items[0].principal()
	if owner == nil {
		return nil
	}
	a := Account{Owner: *owner}
	if len(items) == 2 {
		a.Subaccount = items[1].blob()
	}
	return &a
}

// TransactionOf reads a block as the transaction that get_transactions shows.
func TransactionOf(b ICRC3Value) (t Transaction, err error) {
	tx := b.field("tx")
	ts := b.field("ts").nat64()
	amount := tx.field("amt").nat()
	kind := tx.field("op").text()
	if kind == nil {
		kind = b.field("btype").text()
	}
	if tx == nil || ts == nil || amount == nil || kind == nil {
		return t, fmt.Errorf("%w: a block without tx, ts, amt or kind", ErrValue)
	}
	from, to, spender := tx.field("from").account(), tx.field("to").account(), tx.field("spender").account()
	memo, created := tx.field("memo").blob(), tx.field("ts").nat64()
	fee := tx.field("fee").nat()
	if fee == nil {
		fee = b.field("fee").nat()
	}
	missing := func() error { return fmt.Errorf("%w: a %s without its accounts", ErrValue, *kind) }
	t = Transaction{Kind: *kind, Timestamp: *ts}
	switch *kind {
	case "mint", "122mint":
		if to == nil {
			return t, missing()
		}
		if *kind == "mint" {
			t.Mint = &Mint{To: *to, Amount: *amount, Memo: memo, CreatedAtTime: created, Fee: fee}
		} else {
			t.AuthorizedMint = &AuthorizedSupply{To: *to, Amount: *amount, CreatedAtTime: created,
				Caller: tx.field("caller").principal(), Mthd: tx.field("mthd").text(), Reason: tx.field("reason").text()}
		}
	case "burn", "122burn":
		if from == nil {
			return t, missing()
		}
		if *kind == "burn" {
			t.Burn = &Burn{From: *from, Amount: *amount, Spender: spender, Memo: memo, CreatedAtTime: created, Fee: fee}
		} else {
			t.AuthorizedBurn = &AuthorizedDemand{From: *from, Amount: *amount, CreatedAtTime: created,
				Caller: tx.field("caller").principal(), Mthd: tx.field("mthd").text(), Reason: tx.field("reason").text()}
		}
	case "xfer":
		if from == nil || to == nil {
			return t, missing()
		}
		t.Kind = "transfer"
		t.Transfer = &Transfer{From: *from, To: *to, Amount: *amount, Fee: fee, Spender: spender, Memo: memo, CreatedAtTime: created}
	case "approve":
		if from == nil || spender == nil {
			return t, missing()
		}
		t.Approve = &Approve{From: *from, Spender: *spender, Amount: *amount, ExpectedAllowance: tx.field("expected_allowance").nat(),
			ExpiresAt: tx.field("expires_at").nat64(), Fee: fee, Memo: memo, CreatedAtTime: created}
	default:
		return t, fmt.Errorf("%w: unknown kind %q", ErrValue, *kind)
	}
	return t, nil
}

// TipTree is the hash tree that Certified is the root of: last_block_hash and last_block_index (unsigned LEB128), as ICRC-3 says.
func (l *Ledger) TipTree() hashtree.Node {
	n := l.log.Len()
	if n == 0 {
		return hashtree.Empty{}
	}
	return &hashtree.Fork{
		Left:  &hashtree.Labeled{Label: []byte("last_block_hash"), Tree: hashtree.Leaf(append([]byte(nil), l.hot.tip[:]...))},
		Right: &hashtree.Labeled{Label: []byte("last_block_index"), Tree: hashtree.Leaf(binary.AppendUvarint(nil, n-1))},
	}
}

// RawBlock is block i as it is stored; HashValue of it is the block's hash.
func (l *Ledger) RawBlock(i uint64) []byte { return l.log.Get(i, nil) }

// HashValue is the representation-independent hash of a stored value.
func HashValue(b []byte) ([32]byte, error) { return new(Hasher).Sum(b) }
