package icrc

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"fusion/cdk/sha256"
)

// word is a text that blocks have: a key, or one of a few values. Their hashes are computed once.
type word uint8

const (
	kAmt word = iota
	kBtype
	kCaller
	kExpectedAllowance
	kExpiresAt
	kFee
	kFeeCol
	kFeeColBlock
	kFrom
	kMemo
	kMthd
	kOp
	kPhash
	kReason
	kSpender
	kTo
	kTs
	kTx
	wApprove
	wBurn
	wMint
	wXfer
	w122burn
	w122mint
	w152burn
	w152mint
	words
)

var wordTexts = [words]string{"amt", "btype", "caller", "expected_allowance", "expires_at", "fee", "fee_col", "fee_col_block", "from", "memo",
	"mthd", "op", "phash", "reason", "spender", "to", "ts", "tx", "approve", "burn", "mint", "xfer", "122burn", "122mint", "152burn", "152mint"}

var wordHashes = func() (hs [words][32]byte) {
	for i, s := range wordTexts {
		hs[i] = sha256.Sum256([]byte(s))
	}
	return hs
}()

// wordOf finds a word by its text.
var wordOf = func() map[string]word {
	of := make(map[string]word, words)
	for i, s := range wordTexts {
		of[s] = word(i)
	}
	return of
}()

// wordRanks is the place of each word when they are sorted by hash, which is the order of entries in the hash of a map; byRank is the
// inverse.
var wordRanks, byRank = func() (ranks, by [words]uint8) {
	for i := range wordHashes {
		for j := range wordHashes {
			if bytes.Compare(wordHashes[j][:], wordHashes[i][:]) < 0 {
				ranks[i]++
			}
		}
		by[ranks[i]] = uint8(i)
	}
	return ranks, by
}()

// builder writes a map in stored form and hashes it at the same time, which is what a hasher would find in it afterwards but
// without reading it again. Its space is reused.
type builder struct {
	b        []byte
	present  uint32 // a bit for each rank
	values   [words][32]byte
	buf      []byte
	accounts *accountHashes
	fee      Amount // the amount hashed last as a fee, which is nearly always the same
	feeHash  [32]byte
	ts       uint64 // and the time: that of a block is the same for all messages of a round
	tsHash   [32]byte
}

// newBuilder has room for the largest block that this ledger makes.
func newBuilder(accounts *accountHashes) builder {
	w := builder{b: make([]byte, 0, 1024), buf: make([]byte, 0, 12*64), accounts: accounts}
	w.feeHash = sha256.Sum256([]byte{0})
	w.tsHash = w.feeHash
	return w
}

func (w *builder) begin() { w.b, w.present = append(w.b[:0], tagMap, 0), 0 }

func (w *builder) end() [32]byte {
	w.b[1] = byte(bits.OnesCount32(w.present))
	buf := w.buf[:0]
	for left := w.present; left != 0; left &= left - 1 {
		rank := bits.TrailingZeros32(left)
		buf = append(append(buf, wordHashes[byRank[rank]][:]...), w.values[rank][:]...)
	}
	return sha256.Sum256(buf)
}

// value adds an entry whose value is already in stored form.
func (w *builder) value(key word, stored []byte, hash [32]byte) {
	w.key(key)
	w.b = append(w.b, stored...)
	w.put(key, &hash)
}

func (w *builder) key(key word) {
	s := wordTexts[key]
	w.b = append(append(w.b, byte(len(s))), s...)
}

func (w *builder) put(key word, hash *[32]byte) {
	rank := wordRanks[key]
	w.present |= 1 << rank
	w.values[rank] = *hash
}

func (w *builder) nat(key word, n uint64) {
	w.key(key)
	w.b = append(w.b, tagNat)
	at := len(w.b)
	w.b = binary.AppendUvarint(w.b, n)
	if key == kTs {
		if n != w.ts {
			w.ts, w.tsHash = n, sha256.Sum256(w.b[at:])
		}
		w.put(key, &w.tsHash)
		return
	}
	h := sha256.Sum256(w.b[at:])
	w.put(key, &h)
}

func (w *builder) amount(key word, a Amount) {
	w.key(key)
	w.b = append(w.b, tagNat)
	at := len(w.b)
	w.b = a.appendLEB(w.b)
	if key == kFee {
		if a != w.fee {
			w.fee, w.feeHash = a, sha256.Sum256(w.b[at:])
		}
		w.put(key, &w.feeHash)
		return
	}
	h := sha256.Sum256(w.b[at:])
	w.put(key, &h)
}

func (w *builder) blob(key word, b []byte) {
	w.key(key)
	w.b = appendBytes(append(w.b, tagBlob), b)
	h := sha256.Sum256(b)
	w.put(key, &h)
}

func (w *builder) text(key word, s string) {
	w.key(key)
	w.b = appendBytes(append(w.b, tagText), []byte(s))
	h := sha256.Sum256([]byte(s))
	w.put(key, &h)
}

func (w *builder) word(key, value word) {
	w.key(key)
	s := wordTexts[value]
	w.b = append(append(w.b, tagText, byte(len(s))), s...)
	w.put(key, &wordHashes[value])
}

func (w *builder) account(key word, a *account) {
	w.key(key)
	n := byte(1)
	if !a.isDefault() {
		n = 2
	}
	w.b = append(w.b, tagArray, n, tagBlob, byte(a.owner.Len()))
	w.b = a.owner.Append(w.b)
	if n == 2 {
		w.b = appendBytes(append(w.b, tagBlob), a.sub[:])
	}
	w.put(key, w.accounts.hash(a))
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// accountHashes remembers the hashes of accounts, which cost two or three blocks of SHA-256 each and repeat: users pay again, and
// minters and fee collectors are in most blocks. Each account has one place, and the last one there wins.
type accountHashes struct {
	entries [256]struct {
		known bool
		acc   account
		hash  [32]byte
	}
	key []byte
}

func (c *accountHashes) hash(a *account) *[32]byte {
	c.key = a.owner.Append(c.key[:0])
	slot := uint32(a.sub[31])
	for _, b := range c.key[:min(len(c.key), 10)] {
		slot = slot*31 + uint32(b)
	}
	e := &c.entries[slot%uint32(len(c.entries))]
	if e.known && e.acc == *a {
		return &e.hash
	}
	owner := sha256.Sum256(c.key)
	c.key = append(c.key[:0], owner[:]...)
	if !a.isDefault() {
		sub := sha256.Sum256(a.sub[:])
		c.key = append(c.key, sub[:]...)
	}
	e.known, e.acc, e.hash = true, *a, sha256.Sum256(c.key)
	return &e.hash
}
