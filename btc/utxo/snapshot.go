package utxo

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"fusion/btc"
	"fusion/internal/kv"
)

// Errors of snapshots.
var (
	// ErrSnapshot means that a file is no snapshot, or not one that may be.
	ErrSnapshot = errors.New("malformed UTXO snapshot")
	// ErrSnapshotHash means that a snapshot is well formed and of other coins than it should be.
	ErrSnapshotHash = errors.New("UTXO snapshot has another hash")
	// ErrSnapshotBase means that a snapshot is of another block than it should be.
	ErrSnapshotBase = errors.New("UTXO snapshot is of another block")
	// ErrSnapshotMissing means that a state is to begin with a snapshot that was not imported.
	ErrSnapshotMissing = errors.New("UTXO snapshot was not imported")
)

// Base names a snapshot: the block after which its coins exist, and their hash, as gettxoutsetinfo prints it (hash_serialized_3).
type Base struct {
	Height uint32
	Block  btc.Hash
	Hash   btc.Hash
}

// Bases are the snapshots of public networks that this release accepts: those that Bitcoin Core accepts (kernel/chainparams.cpp).
func Bases(n btc.Network) []Base {
	base := func(height uint32, block, hash string) Base {
		b, err := btc.ParseHash(block)
		h, err2 := btc.ParseHash(hash)
		if err := errors.Join(err, err2); err != nil {
			panic(err) // they are constants
		}
		return Base{height, b, h}
	}
	switch n {
	case btc.Mainnet:
		return []Base{
			base(840_000, "0000000000000000000320283a032748cef8227873ff4872689bf23f1cda83a5", "a2a5521b1b5ab65f67818e5e8eccabb7171a517f9e2382208f77687310768f96"),
			base(880_000, "000000000000000000010b17283c3c400507969a9c2afd1dcf2082ec5cca2880", "dbd190983eaf433ef7c15f78a278ae42c00ef52e0fd2a54953782175fbadcea9"),
			base(910_000, "0000000000000000000108970acb9522ffd516eae17acddcb1bd16469194a821", "4daf8a17b4902498c5787966a2b51c613acdab5df5db73f196fa59a4da2f1568"),
			base(935_000, "0000000000000000000147034958af1652b2b91bba607beacc5e72a56f0fb5ee", "e4b90ef9eae834f56c4b64d2d50143cee10ad87994c614d7d04125e2a6025050"),
		}
	case btc.Testnet4:
		return []Base{
			base(90_000, "0000000002ebe8bcda020e0dd6ccfbdfac531d2f6a81457191b99fc2df2dbe3b", "784fb5e98241de66fdd429f4392155c9e7db5c017148e66e8fdbc95746f8b9b5"),
			base(120_000, "000000000bd2317e51b3c5794981c35ba894ce27d3e772d5c39ecd9cbce01dc8", "10b05d05ad468d0971162e1b222a4aa66caca89da2bb2a93f8f37fb29c4794b0"),
		}
	case btc.Signet:
		return []Base{
			base(160_000, "0000003ca3c99aff040f2563c2ad8f8ec88bd0fd6b8f0895cfaf1ef90353a62c", "fe0a44309b74d6b5883d246cb419c6221bcccf0b308c9b59b7d70783dbdf928a"),
			base(290_000, "0000000577f2741bb30cd9d39d6d71b023afbeb9764f6260786a97969d5c9ac0", "97267e000b4b876800167e71b9123f1529d13b14308abec2888bbd2160d14545"),
		}
	}
	return nil
}

// Accept tells whether a network's state may begin with the snapshot: on public networks it must be one of Bases, on regtest it is whatever
// the operators agreed on.
func (b Base) Accept(n btc.Network) error {
	if n == btc.Regtest || slices.Contains(Bases(n), b) {
		return nil
	}
	return fmt.Errorf("%w: no release accepts one of block %v at height %d with hash %v on %v", ErrSnapshotBase, b.Block, b.Height, b.Hash, n)
}

// The format is what Bitcoin Core's dumptxoutset writes: node/utxo_snapshot.h, version 2, and rpc/blockchain.cpp, WriteUTXOSnapshot; coins.h and
// compressor.cpp for a coin.
var snapshotMagic = []byte{'u', 't', 'x', 'o', 0xff}

const (
	snapshotVersion = 2
	// maxTxOutputs is how many outputs fit into the part of a block that is not witnesses.
	maxTxOutputs = btc.MaxBlockWeight / 4 / 9
	// maxCoinScript is the longest script that can be spent (MAX_SCRIPT_SIZE).
	maxCoinScript = 10_000
	// specialScripts is how many short forms of scripts there are; longer ones are stored with their length plus that.
	specialScripts = 6
)

// SnapshotReader reads a snapshot as a stream; what it holds at a time is the coins of one transaction.
type SnapshotReader struct {
	Block btc.Hash // the block after which the coins exist
	Coins uint64   // how many there should be

	r     *bufio.Reader
	pos   int64
	left  uint64
	last  btc.Hash
	began bool
	list  []Coin
	arena []byte // of the scripts
	bytes int    // of the scripts of this transaction
	sum   hash.Hash
	buf   []byte
	room  [maxCoinScript]byte
}

// ReadSnapshot reads the start of a snapshot of a network.
func ReadSnapshot(n btc.Network, r io.Reader) (*SnapshotReader, error) {
	s := &SnapshotReader{r: bufio.NewReaderSize(r, 1<<20), sum: sha256.New()}
	var head [5 + 2 + 4 + 32 + 8]byte
	if err := s.fill(head[:]); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	switch {
	case !bytes.Equal(head[:5], snapshotMagic):
		return nil, s.bad("it starts with %x, no output of dumptxoutset does", head[:5])
	case le.Uint16(head[5:]) != snapshotVersion:
		return nil, s.bad("it has version %d, want %d: make one with Bitcoin Core 28 or later", le.Uint16(head[5:]), snapshotVersion)
	case le.Uint32(head[7:]) != n.Magic():
		return nil, s.bad("it is of the network %x, not of %v", head[7:11], n)
	}
	s.Block, s.Coins = btc.Hash(head[11:43]), le.Uint64(head[43:])
	s.left = s.Coins
	return s, nil
}

func (s *SnapshotReader) bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format+", near byte %d", append(append([]any{ErrSnapshot}, args...), s.pos)...)
}

func (s *SnapshotReader) fill(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.pos += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return s.bad("it ends early")
	}
	if err != nil {
		return fmt.Errorf("reading the UTXO snapshot at byte %d: %w", s.pos, err)
	}
	return nil
}

func (s *SnapshotReader) byte() (byte, error) {
	b, err := s.r.ReadByte()
	if errors.Is(err, io.EOF) {
		return 0, s.bad("it ends early")
	}
	if err != nil {
		return 0, fmt.Errorf("reading the UTXO snapshot at byte %d: %w", s.pos, err)
	}
	s.pos++
	return b, nil
}

// compact reads a CompactSize up to limit, in its shortest form.
func (s *SnapshotReader) compact(what string, limit uint64) (uint64, error) {
	first, err := s.byte()
	if err != nil {
		return 0, err
	}
	v, least := uint64(first), uint64(0)
	if first >= 0xfd {
		var b [8]byte
		size := 2 << (first - 0xfd)
		if err := s.fill(b[:size]); err != nil {
			return 0, err
		}
		v, least = binary.LittleEndian.Uint64(b[:]), [3]uint64{0xfd, 1 << 16, 1 << 32}[first-0xfd]
	}
	if v < least || v > limit {
		return 0, s.bad("%s %d, at most %d", what, v, limit)
	}
	return v, nil
}

// varInt reads Core's VARINT: base 128, most significant digit first, each number in one form only.
func (s *SnapshotReader) varInt(what string, limit uint64) (uint64, error) {
	var v uint64
	for {
		b, err := s.byte()
		if err != nil {
			return 0, err
		}
		if v > 1<<56 {
			return 0, s.bad("%s is too large", what)
		}
		v = v<<7 | uint64(b&0x7f)
		if b&0x80 == 0 {
			break
		}
		v++
	}
	if v > limit {
		return 0, s.bad("%s %d, at most %d", what, v, limit)
	}
	return v, nil
}

// Next returns the unspent coins of the next transaction, sorted by output, and io.EOF after the last. They are valid until the next call.
func (s *SnapshotReader) Next() ([]Coin, error) {
	if s.left == 0 {
		switch _, err := s.r.ReadByte(); {
		case err == nil:
			return nil, s.bad("something follows the %d coins", s.Coins)
		case !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("reading the UTXO snapshot at byte %d: %w", s.pos, err)
		}
		return nil, io.EOF
	}
	var txid btc.Hash
	if err := s.fill(txid[:]); err != nil {
		return nil, err
	}
	if s.began && bytes.Compare(txid[:], s.last[:]) <= 0 {
		return nil, s.bad("transaction %v follows %v", txid, s.last)
	}
	s.last, s.began = txid, true
	n, err := s.compact("number of coins", min(s.left, maxTxOutputs))
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, s.bad("transaction %v has no coins", txid)
	}
	s.left -= n
	s.list, s.arena, s.bytes = s.list[:0], s.arena[:0], 0
	sorted := true
	for range n {
		c, err := s.coin(txid)
		if err != nil {
			return nil, err
		}
		sorted = sorted && (len(s.list) == 0 || s.list[len(s.list)-1].Outpoint.Vout < c.Outpoint.Vout)
		s.list = append(s.list, c)
	}
	if !sorted { // the database orders outputs beyond 16,511 by their encoding
		slices.SortFunc(s.list, func(a, b Coin) int { return cmp.Compare(a.Outpoint.Vout, b.Outpoint.Vout) })
		for i := range s.list[1:] {
			if s.list[i].Outpoint == s.list[i+1].Outpoint {
				return nil, s.bad("coin %v stands there twice", s.list[i].Outpoint)
			}
		}
	}
	s.buf = s.buf[:0]
	for i := range s.list {
		s.buf = s.list[i].appendElement(s.buf)
	}
	s.sum.Write(s.buf)
	return s.list, nil
}

func (s *SnapshotReader) coin(txid btc.Hash) (c Coin, err error) {
	vout, err := s.compact("output", maxTxOutputs)
	if err != nil {
		return c, err
	}
	code, err := s.varInt("height", 1<<32-1)
	if err != nil {
		return c, err
	}
	amount, err := s.varInt("amount", 1<<63)
	if err != nil {
		return c, err
	}
	value, ok := expandAmount(amount)
	if !ok {
		return c, s.bad("coin %v:%d has an amount out of range", txid, vout)
	}
	size, err := s.varInt("script length", specialScripts+maxCoinScript)
	if err != nil {
		return c, err
	}
	length := size - specialScripts
	if size < 2 {
		length = 20
	} else if size < specialScripts {
		length = 32
	}
	raw := s.room[:length]
	if err := s.fill(raw); err != nil {
		return c, err
	}
	if s.arena == nil || cap(s.arena)-len(s.arena) < len(raw)+67 {
		s.arena = make([]byte, 0, max(64<<10, 2*cap(s.arena))) // earlier scripts of this transaction keep the old one
	}
	at := len(s.arena)
	if size >= specialScripts {
		s.arena = append(s.arena, raw...)
	} else if s.arena, err = appendSpecial(s.arena, size, raw); err != nil {
		return c, s.bad("coin %v:%d: %v", txid, vout, err)
	}
	script := s.arena[at:len(s.arena):len(s.arena)]
	if s.bytes += len(script); s.bytes > btc.MaxBlockWeight/4 {
		return c, s.bad("transaction %v has more bytes of scripts than a block", txid)
	}
	if btc.Unspendable(script) {
		return c, s.bad("coin %v:%d cannot be spent", txid, vout)
	}
	return Coin{btc.Outpoint{Txid: txid, Vout: uint32(vout)}, value, uint32(code >> 1), code&1 == 1, script}, nil
}

// Hash is the hash of the coins read so far (hash_serialized_3).
func (s *SnapshotReader) Hash() btc.Hash {
	first := s.sum.Sum(nil)
	return sha256.Sum256(first)
}

// appendSpecial expands one of the short forms: hashes of a key or a script, bare keys.
func appendSpecial(b []byte, form uint64, payload []byte) ([]byte, error) {
	switch form {
	case 0:
		return append(append(append(b, 0x76, 0xa9, 20), payload...), 0x88, 0xac), nil
	case 1:
		return append(append(append(b, 0xa9, 20), payload...), 0x87), nil
	case 2, 3:
		return append(append(append(b, 33, byte(form)), payload...), 0xac), nil
	}
	key, err := secp256k1.ParsePubKey(append([]byte{byte(form - 2)}, payload...))
	if err != nil {
		return b, fmt.Errorf("%w %x", btc.ErrPublicKey, payload)
	}
	return append(append(append(b, 65), key.SerializeUncompressed()...), 0xac), nil
}

// expandAmount undoes Core's compression of amounts, which drops trailing zeros.
func expandAmount(x uint64) (btc.Satoshi, bool) {
	if x == 0 {
		return 0, true
	}
	x--
	e := x % 10
	x /= 10
	n := x + 1
	if e < 9 {
		n = x/9*10 + x%9 + 1
	}
	for ; e > 0; e-- {
		if n > uint64(btc.MaxMoney) {
			return 0, false
		}
		n *= 10
	}
	return btc.Satoshi(n), n <= uint64(btc.MaxMoney)
}

// Import writes what State would have in its store had it followed the chain to the snapshot's block and found it final. set takes the keys
// in no particular order, each once; its arguments may be kept until the next call only. params are those of the network with the headers up
// to the block as their base (chain.Replay). Nothing that was set counts unless Import returns without an error.
func Import(opt Options, want Base, file *SnapshotReader, set func(key, value []byte) error, progress func(done, of uint64)) error {
	p := &opt.Params
	last := len(p.Base) - 1
	switch {
	case file.Block != want.Block:
		return fmt.Errorf("%w: %v, want %v", ErrSnapshotBase, file.Block, want.Block)
	case last < 0 || p.Base[last].Hash() != want.Block || p.BaseHeight+uint32(last) != want.Height:
		return fmt.Errorf("%w: the headers do not end with %v at height %d", ErrSnapshotBase, want.Block, want.Height)
	}
	if err := want.Accept(p.Network); err != nil {
		return err
	}
	im := &importer{set: set, mu: NewMuHash(), young: map[uint32][]Coin{}}
	for {
		list, err := file.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i := range list {
			if err := im.add(&list[i], want.Height); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(im.count, file.Coins)
		}
	}
	if err := im.flush(); err != nil {
		return err
	}
	if got := file.Hash(); got != want.Hash {
		return fmt.Errorf("%w: %v, want %v", ErrSnapshotHash, got, want.Hash)
	}
	// The rest is what an empty state writes, with this set instead of none.
	rest := kv.NewMem()
	opt.Snapshot = nil
	st, err := Open(opt, rest)
	if err != nil {
		return err
	}
	st.muhash, st.coins = im.mu, im.count
	st.putMeta()
	for height := uint32(max(int64(want.Height)-CoinbaseMaturity+2, 1)); height <= want.Height; height++ {
		rest.Set(coinbaseKey(height), coinbaseList(im.young[height]))
	}
	rest.Scan(nil, nil, func(k, v []byte) bool { err = set(k, v); return err == nil })
	return err
}

// importBatch is how many coins are hashed at once.
const importBatch = 8192

type importer struct {
	set   func(key, value []byte) error
	mu    *MuHash
	count uint64
	batch []Coin
	young map[uint32][]Coin // coinbases that may not be shown yet
}

func (im *importer) add(c *Coin, height uint32) error {
	if c.Height > height {
		return fmt.Errorf("%w: coin %v is of height %d, the snapshot of %d", ErrSnapshot, c.Outpoint, c.Height, height)
	}
	own := *c
	own.Script = bytes.Clone(c.Script)
	im.batch = append(im.batch, own)
	if c.Coinbase && int64(c.Height) >= int64(height)-CoinbaseMaturity+2 {
		im.young[c.Height] = append(im.young[c.Height], own)
	}
	im.count++
	if len(im.batch) == importBatch {
		return im.flush()
	}
	return nil
}

func (im *importer) flush() error {
	im.mu.Update(len(im.batch), func(i int, buf []byte) ([]byte, bool) { return im.batch[i].appendElement(buf), false })
	var key, value []byte
	for i := range im.batch {
		c := &im.batch[i]
		key, value = appendOutpoint(append(key[:0], 'u'), c.Outpoint), appendCoin(value[:0], c)
		if err := im.set(key, value); err != nil {
			return err
		}
		if kind, payload := btc.ScriptAddress(c.Script); kind != 0 {
			key = append(append(key[:0], 'a', byte(kind)), payload...)
			key = appendOutpoint(binary.BigEndian.AppendUint32(key, ^c.Height), c.Outpoint)
			value = appendIndexed(value[:0], uint64(c.Value), c.Coinbase)
			if err := im.set(key, value); err != nil {
				return err
			}
		}
	}
	im.batch = im.batch[:0]
	return nil
}

// coinbaseList is the value under a "c" key.
func coinbaseList(coins []Coin) (list []byte) {
	for i := range coins {
		script := packScript(coins[i].Script)
		list = binary.AppendUvarint(binary.AppendUvarint(list, uint64(coins[i].Value)), uint64(len(script)))
		list = append(list, script...)
	}
	return list
}

// StoreBalances stores the balances of addresses with many coins in an imported state: what the writer does as they come, when none came.
func StoreBalances(r kv.Reader, set func(key, value []byte) error) error {
	var name []byte
	var v balance
	var err error
	done := func() {
		if v.count > manyCoins && err == nil {
			err = set(append([]byte{'b'}, name...), binary.AppendUvarint(binary.AppendUvarint(nil, v.sum), v.count))
		}
		v = balance{}
	}
	kv.ScanPrefix(r, []byte("a"), func(k, raw []byte) bool {
		value, m := binary.Uvarint(raw)
		if len(k) < 42 || m <= 0 {
			panic(fmt.Errorf("%w: coin under %x", ErrCorrupt, k))
		}
		if at := k[1 : len(k)-40]; !bytes.Equal(at, name) {
			done()
			name = append(name[:0], at...)
		}
		v.sum += value >> 1
		v.count++
		return err == nil
	})
	done()
	return err
}

// imported tells an Open with a snapshot whether the store has one. It does when it has anything: Import is all or nothing.
func (o *Options) imported(store kv.Store) error {
	if o.Snapshot == nil {
		return nil
	}
	if Began(store) {
		return nil
	}
	return fmt.Errorf("%w: block %v at height %d of %v", ErrSnapshotMissing, o.Snapshot.Block, o.Snapshot.Height, o.Params.Network)
}

// Began tells whether a store holds a state.
func Began(r kv.Reader) bool {
	_, ok := r.Get([]byte("m"))
	return ok
}
