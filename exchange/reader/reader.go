package reader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fusion/ckledger/icrc"
	"fusion/ic/agent"
	"fusion/ic/candid"
	"fusion/ic/certificate"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
)

// Errors returned by this package; test with errors.Is.
var (
	// ErrLedger means that a canister is not a ledger that can be read.
	ErrLedger = errors.New("not a ledger with an icrc-3 log")
	// ErrEmpty means that the ledger has no block yet, or that the replica hides them.
	ErrEmpty = errors.New("the ledger has no blocks")
	// ErrTip means that the proof of the log's tip does not hold.
	ErrTip = errors.New("proof of the ledger's tip does not verify")
	// ErrBehind means that the replica's certified tip is before the cursor: it is behind, or serves an old certificate.
	ErrBehind = errors.New("the replica is behind the cursor")
	// ErrBlock means that a block is not one that a ledger writes.
	ErrBlock = errors.New("malformed block")
	// ErrChain means that blocks do not link up to what is proven, or are missing: the replica or an archive is not honest.
	ErrChain = errors.New("blocks do not link")
	// ErrFork means that the certified log contradicts the cursor: the ledger was reinstalled or restored, or the cursor is another ledger's.
	ErrFork = errors.New("the ledger's certified log contradicts the cursor")
)

// Bounds of what a Reader holds and asks for.
const (
	// MaxBlocks is how many blocks Blocks reads at once at most.
	MaxBlocks = 2000
	// perQuery is how many blocks one query asks for, which is how many ledgers and archives answer with.
	perQuery = 100
	// maxArchives bounds the list of archives: at 10 GiB and more each, nobody has as many.
	maxArchives = 1000
)

// Reader reads one ledger. It is safe for concurrent use.
type Reader struct {
	// Interval is how long Follow waits for new blocks between two looks; the default is a second. Window is how many blocks are held in
	// memory; the default is 1,000, the most MaxBlocks. Log hears of what Follow retries; the default is slog.Default. All are set before
	// the first use.
	Interval time.Duration
	Window   int
	Log      *slog.Logger

	agent  *agent.Agent
	ledger principal.Principal
	archives
}

// Tip is the certified tip of a log.
type Tip struct {
	Index  uint64   // of the last block
	Hash   [32]byte // of the last block
	TimeNs uint64   // of the certificate
}

// Block is a block of the log.
type Block struct {
	Index uint64
	Hash  [32]byte // computed from the content
	// Value is the block as the ledger wrote it.
	Value icrc.ICRC3Value
	icrc.Followed
}

// Cursor is where somebody stands in a log: Index is the next block and thereby how many were read, Hash is the hash of the block before.
// The zero Cursor is before the first block.
type Cursor struct {
	Index uint64
	Hash  [32]byte
}

// After is the cursor behind a block.
func (b *Block) After() Cursor { return Cursor{Index: b.Index + 1, Hash: b.Hash} }

// After is the cursor behind the tip, for whoever starts with what comes next.
func (t Tip) After() Cursor { return Cursor{Index: t.Index + 1, Hash: t.Hash} }

// Open makes a reader of a ledger, after it has asked whether the canister is one.
func Open(ctx context.Context, a *agent.Agent, ledger principal.Principal) (*Reader, error) {
	var standards []icrc.StandardRecord
	if err := a.Ask(ctx, ledger, "icrc1_supported_standards", []any{}, []any{&standards}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLedger, err)
	}
	for _, s := range standards {
		if s.Name == "ICRC-3" {
			return &Reader{Interval: time.Second, Window: 1000, Log: slog.Default(), agent: a, ledger: ledger}, nil
		}
	}
	return nil, fmt.Errorf("%w: canister %s does not list ICRC-3 among its standards", ErrLedger, ledger)
}

// Ledger is the ledger that is read.
func (r *Reader) Ledger() principal.Principal { return r.ledger }

// Token is what a ledger says about its token.
type Token struct {
	Name, Symbol string
	Decimals     uint8
	Fee          candid.Nat
	Minting      icrc.Account
	Metadata     []icrc.MetadataEntry
}

// Metadata asks what the token is. The answers are certified: a wrong number of decimals is a wrong amount everywhere.
func (r *Reader) Metadata(ctx context.Context) (t Token, err error) {
	if err = r.agent.Update(ctx, r.ledger, "icrc1_metadata", []any{}, []any{&t.Metadata}); err != nil {
		return t, err
	}
	var minting *icrc.Account
	if err = r.agent.Update(ctx, r.ledger, "icrc1_minting_account", []any{}, []any{&minting}); err != nil {
		return t, err
	}
	if minting != nil {
		t.Minting = *minting
	}
	var found int
	for _, m := range t.Metadata {
		v := m.Value
		switch {
		case m.Key == "icrc1:name" && v.Text != nil:
			t.Name = *v.Text
		case m.Key == "icrc1:symbol" && v.Text != nil:
			t.Symbol = *v.Text
		case m.Key == "icrc1:fee" && v.Nat != nil:
			t.Fee = *v.Nat
		case m.Key == "icrc1:decimals" && v.Nat != nil:
			n, ok := v.Nat.Uint64()
			if !ok || n > 255 {
				return t, fmt.Errorf("%w: a token of %s decimals", ErrLedger, v.Nat)
			}
			t.Decimals = uint8(n)
		default:
			continue
		}
		found++
	}
	if found != 4 {
		return t, fmt.Errorf("%w: the metadata of %s lacks name, symbol, decimals or fee", ErrLedger, r.ledger)
	}
	return t, nil
}

// Tip reads the tip and proves it with the root key. The certificate is as recent as the agent demands of all.
func (r *Reader) Tip(ctx context.Context) (Tip, error) {
	var dc *icrc.ICRC3DataCertificate
	if err := r.agent.Ask(ctx, r.ledger, "icrc3_get_tip_certificate", []any{}, []any{&dc}); err != nil {
		return Tip{}, err
	}
	if dc == nil {
		return Tip{}, fmt.Errorf("%w: %s", ErrEmpty, r.ledger)
	}
	cert, err := r.agent.Certificate(ctx, r.ledger, dc.Certificate)
	if err != nil {
		return Tip{}, fmt.Errorf("%w: %w", ErrTip, err)
	}
	return ReadTip(cert, r.ledger, dc.HashTree)
}

// ReadTip reads the tip from a certificate that was verified and the tree that it certifies.
func ReadTip(cert *certificate.Certificate, ledger principal.Principal, hashTree []byte) (t Tip, err error) {
	tree, err := hashtree.Decode(hashTree)
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrTip, err)
	}
	if err := hashtree.WellFormed(tree); err != nil {
		return t, fmt.Errorf("%w: %w", ErrTip, err)
	}
	res, data := cert.Lookup([]byte("canister"), ledger.Bytes(), []byte("certified_data"))
	if root := tree.Digest(); res != hashtree.Found || string(data) != string(root[:]) {
		return t, fmt.Errorf("%w: the tree is not the certified data of %s", ErrTip, ledger)
	}
	res, index := hashtree.Lookup(tree, []byte("last_block_index"))
	if res != hashtree.Found {
		return t, fmt.Errorf("%w: last_block_index is %v", ErrTip, res)
	}
	res, hash := hashtree.Lookup(tree, []byte("last_block_hash"))
	if res != hashtree.Found || len(hash) != 32 {
		return t, fmt.Errorf("%w: last_block_hash is %v with %d bytes", ErrTip, res, len(hash))
	}
	if t.Index, err = certificate.DecodeNat(index); err != nil {
		return t, fmt.Errorf("%w: last_block_index: %w", ErrTip, err)
	}
	if t.Index >= 1<<62 {
		return t, fmt.Errorf("%w: a log of %d blocks", ErrTip, t.Index)
	}
	if t.TimeNs, err = cert.Time(); err != nil {
		return t, fmt.Errorf("%w: %w", ErrTip, err)
	}
	t.Hash = [32]byte(hash)
	return t, nil
}
