package btc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"
	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"pgregory.net/rapid"

	"fusion/internal/modtest"
)

// The native P2WPKH example of BIP143.
func TestBIP143(t *testing.T) {
	tx, err := ParseTx(unhex(t, "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffff"+
		"ef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db"+
		"99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"))
	if err != nil {
		t.Fatal(err)
	}
	pub := unhex(t, "025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357")
	d, err := NewSigHashes(tx).P2WPKH(1, pub, 600000000)
	if err != nil || hex.EncodeToString(d[:]) != "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670" {
		t.Fatalf("digest %x, %v", d, err)
	}
	if _, err := NewSigHashes(tx).P2WPKH(2, pub, 1); !errors.Is(err, ErrInputIndex) {
		t.Errorf("third of two inputs: %v", err)
	}
	// The signature that the BIP prints for this digest, as r‖s.
	sig := unhex(t, "3609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee")
	if err := tx.SignP2WPKH(1, sig, pub); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(tx.Inputs[1].Witness[0]); got != "304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a"+
		"0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee01" {
		t.Errorf("witness %s", got)
	}
}

func genTx(t *rapid.T) *Tx {
	tx := &Tx{Version: rapid.Int32().Draw(t, "version"), LockTime: rapid.Uint32().Draw(t, "locktime")}
	for range rapid.IntRange(1, 6).Draw(t, "inputs") {
		in := TxIn{Sequence: rapid.Uint32().Draw(t, "sequence"), ScriptSig: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "scriptSig")}
		copy(in.Prev.Txid[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "txid"))
		in.Prev.Vout = rapid.Uint32().Draw(t, "vout")
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			in.Witness = append(in.Witness, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "item"))
		}
		tx.Inputs = append(tx.Inputs, in)
	}
	for range rapid.IntRange(1, 6).Draw(t, "outputs") {
		tx.Outputs = append(tx.Outputs, TxOut{Satoshi(rapid.Uint64Range(0, uint64(MaxMoney)/8).Draw(t, "value")),
			rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "script")})
	}
	return tx
}

func toWire(t rapid.TB, tx *Tx) *wire.MsgTx {
	var m wire.MsgTx
	if err := m.Deserialize(bytes.NewReader(tx.Bytes())); err != nil {
		t.Fatalf("btcd cannot read %x: %v", tx.Bytes(), err)
	}
	return &m
}

func TestTxMatchesBtcd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tx := genTx(t)
		b := tx.Bytes()
		m := toWire(t, tx)
		back, err := ParseTx(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.Bytes(), b) || back.HasWitness() != tx.HasWitness() {
			t.Fatal("changes when read back")
		}
		if Hash(m.TxHash()) != tx.Txid() || Hash(m.WitnessHash()) != tx.Wtxid() {
			t.Fatalf("txid %v, btcd %v", tx.Txid(), m.TxHash())
		}
		if int64(tx.Weight()) != int64(3*m.SerializeSizeStripped()+m.SerializeSize()) {
			t.Fatalf("weight %d", tx.Weight())
		}
		r := reader{b: b}
		if _, s := r.tx(); s.txid(b) != tx.Txid() || s.weight() != tx.Weight() {
			t.Fatal("the parser's id or weight differs from the encoder's")
		}
		// Every truncation is an error.
		if _, err := ParseTx(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("truncated: %v", err)
		}
		// The digests agree for every input.
		prev := wire.TxOut{Value: int64(rapid.Uint64Range(0, uint64(MaxMoney)).Draw(t, "value"))}
		_, pub := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))
		a, _ := P2WPKHFromPubKey(Regtest, pub.SerializeCompressed())
		prev.PkScript = a.Script()
		fetcher := txscript.NewCannedPrevOutputFetcher(prev.PkScript, prev.Value)
		ref := txscript.NewTxSigHashes(m, fetcher)
		for i := range tx.Inputs {
			want, err := txscript.CalcWitnessSigHash(prev.PkScript, ref, txscript.SigHashAll, m, i, prev.Value)
			if err != nil {
				t.Fatal(err)
			}
			got, err := NewSigHashes(tx).P2WPKH(i, pub.SerializeCompressed(), Satoshi(prev.Value))
			if err != nil || !bytes.Equal(want, got[:]) {
				t.Fatalf("input %d: digest %x, btcd %x, %v", i, got, want, err)
			}
		}
	})
}

// A spend that we build, size and sign is accepted by btcd's script engine, high s included.
func TestSignedSpendRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.ByteRange(1, 255), 32, 32).Draw(t, "secret")
		key, pub := btcec.PrivKeyFromBytes(secret)
		from, err := P2WPKHFromPubKey(Regtest, pub.SerializeCompressed())
		if err != nil {
			t.Fatal(err)
		}
		if ref, _ := btcutil.NewAddressWitnessPubKeyHash(btcutil.Hash160(pub.SerializeCompressed()), btcdParams(Regtest)); ref.String() != from.String() {
			t.Fatalf("address %v, btcd %v", from, ref)
		}
		tx := genTx(t)
		tx.Version = 2
		var outs [][]byte
		for i := range tx.Outputs {
			outs = append(outs, tx.Outputs[i].Script)
		}
		values := map[wire.OutPoint]*wire.TxOut{}
		for i := range tx.Inputs {
			in := &tx.Inputs[i]
			in.Witness, in.ScriptSig, in.Prev.Vout = nil, nil, uint32(i)
			values[wire.OutPoint{Hash: [32]byte(in.Prev.Txid), Index: in.Prev.Vout}] = &wire.TxOut{Value: int64(1000 + i), PkScript: from.Script()}
		}
		hashes := NewSigHashes(tx)
		highS := rapid.Bool().Draw(t, "high s")
		for i := range tx.Inputs {
			d, err := hashes.P2WPKH(i, pub.SerializeCompressed(), Satoshi(1000+i))
			if err != nil {
				t.Fatal(err)
			}
			compact := ecdsa.SignCompact(key, d[:], true)[1:]
			if highS {
				var s btcec.ModNScalar
				s.SetByteSlice(compact[32:])
				b := s.Negate().Bytes()
				copy(compact[32:], b[:])
			}
			if err := tx.SignP2WPKH(i, compact, pub.SerializeCompressed()); err != nil {
				t.Fatal(err)
			}
		}
		bound := VSizeP2WPKH(len(tx.Inputs), outs...)
		if v := tx.VSize(); v > bound || bound-v > 2*len(tx.Inputs) {
			t.Fatalf("size %d, bound %d", v, bound)
		}
		m := toWire(t, tx)
		fetcher := txscript.NewMultiPrevOutFetcher(values)
		ref := txscript.NewTxSigHashes(m, fetcher)
		for i, in := range m.TxIn {
			prev := values[in.PreviousOutPoint]
			e, err := txscript.NewEngine(prev.PkScript, m, i, txscript.StandardVerifyFlags, nil, ref, prev.Value, fetcher)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Execute(); err != nil {
				t.Fatalf("input %d: %v", i, err)
			}
		}
	})
}

func TestDERRefuses(t *testing.T) {
	one := append(bytes.Repeat([]byte{0}, 31), 1)
	order := unhex(t, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	zero := make([]byte, 32)
	for name, sig := range map[string][]byte{
		"short": one, "r zero": append(bytes.Clone(zero), one...), "s zero": append(bytes.Clone(one), zero...),
		"r too big": append(bytes.Clone(order), one...), "s too big": append(bytes.Clone(one), order...),
	} {
		if _, err := DER(sig); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d, err := DER(append(bytes.Clone(one), one...)); err != nil || hex.EncodeToString(d) != "3006020101020101" {
		t.Errorf("%x %v", d, err)
	}
}

func TestTxRefuses(t *testing.T) {
	in := "0100000001" + strings.Repeat("11", 32) + "0000000000ffffffff"
	out := "01e803000000000000015100000000"
	if _, err := ParseTx(unhex(t, in+out)); err != nil {
		t.Fatalf("the good transaction: %v", err)
	}
	for name, s := range map[string]string{
		"empty":                  "",
		"no inputs":              "010000000001e8030000000000000151000000000000",
		"no outputs":             in + "00" + "00000000",
		"trailing byte":          in + out + "00",
		"many inputs":            "01000000fe00000010" + strings.Repeat("00", 60),
		"huge count":             "01000000ffffffffffffffffff" + strings.Repeat("00", 60),
		"long form of a length":  "01000000fd0100" + in[10:] + out,
		"empty witness":          "010000000001" + in[8:] + out[:len(out)-8] + "00" + "00000000",
		"unknown witness flag":   "010000000002" + in[8:] + out[:len(out)-8] + "0101aa" + "00000000",
		"huge witness":           "010000000001" + in[8:] + out[:len(out)-8] + "feffffff7f" + "00000000",
		"script beyond the data": in + "01e803000000000000fdff0051" + "00000000",
	} {
		if _, err := ParseTx(unhex(t, s)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := func() *Tx {
		return &Tx{Version: 2, Inputs: []TxIn{{Prev: Outpoint{Hash{1}, 0}}, {Prev: Outpoint{Hash{1}, 1}}}, Outputs: []TxOut{{1, []byte{op1}}}}
	}
	if err := good().Check(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Tx)
		want   error
	}{
		"no inputs":     {func(tx *Tx) { tx.Inputs = nil }, ErrTxNoInputs},
		"no outputs":    {func(tx *Tx) { tx.Outputs = nil }, ErrTxNoOutputs},
		"one too much":  {func(tx *Tx) { tx.Outputs[0].Value = MaxMoney + 1 }, ErrTxAmount},
		"negative":      {func(tx *Tx) { tx.Outputs[0].Value = 1 << 63 }, ErrTxAmount},
		"sum too much":  {func(tx *Tx) { tx.Outputs = []TxOut{{MaxMoney, nil}, {1, nil}} }, ErrTxAmount},
		"sum overflows": {func(tx *Tx) { tx.Outputs = []TxOut{{1 << 63, nil}, {1 << 63, nil}, {5, nil}} }, ErrTxAmount},
		"double input":  {func(tx *Tx) { tx.Inputs[1] = tx.Inputs[0] }, ErrTxDuplicateInput},
		"null input":    {func(tx *Tx) { tx.Inputs[1].Prev = Outpoint{Vout: 0xffffffff} }, ErrTxNullInput},
		"coinbase":      {func(tx *Tx) { tx.Inputs = []TxIn{{Prev: Outpoint{Vout: 0xffffffff}, ScriptSig: []byte{1}}} }, ErrTxCoinbaseScript},
		"too big":       {func(tx *Tx) { tx.Outputs[0].Script = make([]byte, 1_000_000) }, ErrTxTooBig},
	} {
		tx := good()
		c.change(tx)
		if err := tx.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAmounts(t *testing.T) {
	if s, ok := MaxMoney.Add(0); !ok || s != MaxMoney {
		t.Error("all the money is too much")
	}
	if _, ok := MaxMoney.Add(1); ok {
		t.Error("more than all the money")
	}
	if _, ok := Satoshi(1 << 63).Add(1 << 63); ok {
		t.Error("a sum that overflows")
	}
	if got := (150 * Coin / 100).String(); got != "1.50000000 BTC" {
		t.Error(got)
	}
	if f := MillisatPerVByte(1001).Fee(141); f != 142 {
		t.Errorf("fee %d", f)
	}
	if f := MillisatPerVByte(1 << 63).Fee(1 << 30); f != MaxMoney {
		t.Errorf("fee %d", f)
	}
	if r := FeeRate(142, 141); r != 1007 {
		t.Errorf("rate %d", r)
	}
}

// mainnetBlock is a real block, from the test data in btcd's module.
func mainnetBlock(t testing.TB) []byte {
	t.Helper()
	return modtest.Read(t, "github.com/btcsuite/btcd", "wire/testdata/block-0000000000000000001602407ac49862a7bca9d00f7f402db20b7be2f5de59d2.blk")
}

func TestMainnetBlock(t *testing.T) {
	raw := mainnetBlock(t)
	b, err := ParseBlock(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Header.Hash().String(); got != "0000000000000000001602407ac49862a7bca9d00f7f402db20b7be2f5de59d2" {
		t.Errorf("hash %s", got)
	}
	if len(b.Txs) != 3315 {
		t.Errorf("%d transactions", len(b.Txs))
	}
	if err := b.Check(true); err != nil {
		t.Error(err)
	}
	if h, ok := b.CoinbaseHeight(); !ok || h != 574_200 {
		t.Errorf("height %d", h)
	}
	var ref wire.MsgBlock
	if err := ref.Deserialize(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	if w := 3*ref.SerializeSizeStripped() + ref.SerializeSize(); w != b.Weight() {
		t.Errorf("weight %d, btcd %d", b.Weight(), w)
	}
	for i, tx := range ref.Transactions {
		if Hash(tx.TxHash()) != b.Txid(i) || !bytes.Equal(b.Txs[i].Bytes(), raw[b.spans[i].start:b.spans[i].end]) {
			t.Fatalf("transaction %d differs", i)
		}
	}
	if err := b.Check(false); !errors.Is(err, ErrBlockWitness) {
		t.Errorf("before segwit: %v", err)
	}
	// One bit of one witness: the txids and the Merkle root stay, the commitment does not.
	bad := bytes.Clone(raw)
	for i := range b.Txs {
		if i > 0 && b.spans[i].segwit {
			bad[b.spans[i].lock-1] ^= 1
			break
		}
	}
	if m, err := ParseBlock(bad); err == nil {
		if err := m.Check(true); !errors.Is(err, ErrBlockWitness) {
			t.Errorf("changed witness: %v", err)
		}
	} else {
		t.Error(err)
	}
	// All witnesses stripped.
	stripped := append(bytes.Clone(raw[:HeaderSize]), raw[HeaderSize:b.spans[0].start]...)
	for i := range b.Txs {
		stripped = append(stripped, b.Txs[i].StrippedBytes()...)
	}
	if m, err := ParseBlock(stripped); err != nil {
		t.Error(err)
	} else if err := m.Check(true); !errors.Is(err, ErrBlockWitness) {
		t.Errorf("stripped: %v", err)
	}
}

// CVE-2012-2459: repeating the tail of an odd list keeps the Merkle root.
func TestMutatedBlock(t *testing.T) {
	coinbase := &Tx{Version: 1, Inputs: []TxIn{{Prev: Outpoint{Vout: 0xffffffff}, ScriptSig: []byte{op1, 0}}}, Outputs: []TxOut{{50 * Coin, []byte{op1}}}}
	build := func(header Header, txs ...*Tx) *Block {
		h := header.Bytes()
		raw := appendVarInt(h[:], uint64(len(txs)))
		for _, tx := range txs {
			raw = append(raw, tx.Bytes()...)
		}
		b, err := ParseBlock(raw)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	spend := func(n byte) *Tx {
		return &Tx{Version: 1, Inputs: []TxIn{{Prev: Outpoint{Hash{n}, 0}}}, Outputs: []TxOut{{1, []byte{op1, op1}}}}
	}
	root := MerkleRoot([]Hash{coinbase.Txid(), spend(1).Txid(), spend(2).Txid()})
	h := Header{MerkleRoot: root}
	if err := build(h, coinbase, spend(1), spend(2)).Check(true); err != nil {
		t.Fatal(err)
	}
	if err := build(h, coinbase, spend(1), spend(2), spend(2)).Check(true); !errors.Is(err, ErrBlockMutated) {
		t.Errorf("repeated tail: %v", err)
	}
	if err := build(h, coinbase, spend(1)).Check(true); !errors.Is(err, ErrBlockMerkleRoot) {
		t.Errorf("missing tail: %v", err)
	}
	h.MerkleRoot = spend(1).Txid()
	if err := build(h, spend(1)).Check(true); !errors.Is(err, ErrBlockMutated) {
		t.Errorf("no coinbase: %v", err)
	}
	h.MerkleRoot = MerkleRoot([]Hash{coinbase.Txid(), coinbase.Txid(), spend(1).Txid()})
	if err := build(h, coinbase, coinbase, spend(1)).Check(true); !errors.Is(err, ErrBlockMutated) {
		t.Errorf("two equal coinbases: %v", err)
	}
	other := *coinbase
	other.LockTime = 1
	h.MerkleRoot = MerkleRoot([]Hash{coinbase.Txid(), other.Txid()})
	if err := build(h, coinbase, &other).Check(true); !errors.Is(err, ErrBlockInvalid) {
		t.Errorf("two coinbases: %v", err)
	}
	h.MerkleRoot = MerkleRoot([]Hash{coinbase.Txid()})
	if n, ok := build(h, coinbase).CoinbaseHeight(); !ok || n != 1 {
		t.Errorf("height %d", n)
	}
	for script, want := range map[string]uint32{"0111": 17, "028000": 128, "03a08601": 100000, "60": 16} {
		coinbase.Inputs[0].ScriptSig = append(unhex(t, script), 0)
		if n, ok := build(h, coinbase).CoinbaseHeight(); !ok || n != want {
			t.Errorf("%s: height %d %v", script, n, ok)
		}
	}
	for _, script := range []string{"0110", "021100", "0180", "05ffffffff00", "4c0111"} {
		coinbase.Inputs[0].ScriptSig = append(unhex(t, script), 0)
		if n, ok := build(h, coinbase).CoinbaseHeight(); ok {
			t.Errorf("%s: height %d", script, n)
		}
	}
}

func TestHashText(t *testing.T) {
	const genesis = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
	h, err := ParseHash(genesis)
	if err != nil || h.String() != genesis || h[31] != 0 || h[0] != 0x6f {
		t.Errorf("%v %v", h, err)
	}
	for _, s := range []string{"", genesis[1:], genesis + "00", "zz" + genesis[2:]} {
		if _, err := ParseHash(s); !errors.Is(err, ErrHash) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParseTx(f *testing.F) {
	f.Add(unhex(f, "0100000001"+strings.Repeat("11", 32)+"0000000000ffffffff01e803000000000000015100000000"))
	f.Add(unhex(f, "010000000001"+"01"+strings.Repeat("11", 32)+"0000000000ffffffff01e80300000000000001510101aa00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tx, err := ParseTx(b)
		if err != nil {
			return
		}
		if !bytes.Equal(tx.Bytes(), b) {
			t.Fatal("changes when read back")
		}
		_ = tx.Check()
		var m wire.MsgTx
		if err := m.Deserialize(bytes.NewReader(b)); err == nil && Hash(m.TxHash()) != tx.Txid() {
			t.Fatal("txid differs from btcd's")
		}
	})
}

// compacted checks that what a block is without its witnesses tells the same of it, and returns that.
func compacted(t *testing.T, blk *Block) []byte {
	t.Helper()
	raw := blk.Compact()
	c, err := ParseCompact(raw)
	if err != nil {
		t.Fatal(err)
	}
	if c.Header != blk.Header || c.Weight() != blk.Weight() || len(c.Txs) != len(blk.Txs) || !bytes.Equal(c.Compact(), raw) {
		t.Fatalf("another block: %+v", c.Header)
	}
	for i := range c.Txs {
		if c.Txid(i) != blk.Txid(i) || c.TxVSize(i) != blk.TxVSize(i) || !bytes.Equal(c.Txs[i].Bytes(), blk.Txs[i].StrippedBytes()) {
			t.Fatalf("transaction %d differs", i)
		}
	}
	return raw
}

func TestCompactBlock(t *testing.T) {
	raw := mainnetBlock(t)
	blk, err := ParseBlock(raw)
	if err != nil {
		t.Fatal(err)
	}
	c := compacted(t, blk)
	if len(c) > len(raw)*4/5 {
		t.Errorf("%d bytes of %d are left", len(c), len(raw))
	}
	for _, cut := range []int{HeaderSize, HeaderSize + 3, len(c) / 2, len(c) - 1} {
		if _, err := ParseCompact(c[:cut]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes of it: %v", cut, err)
		}
	}
}

func FuzzParseBlock(f *testing.F) {
	h := Header{}.Bytes()
	f.Add(append(h[:], 0))
	f.Add(append(append(h[:], 1), unhex(f, "0100000001"+strings.Repeat("00", 32)+"ffffffff025100ffffffff01e803000000000000015100000000")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		blk, err := ParseBlock(b)
		if err != nil {
			return
		}
		if h := blk.Header.Bytes(); !bytes.Equal(h[:], b[:HeaderSize]) {
			t.Fatal("header changes when read back")
		}
		for i := range blk.Txs {
			if blk.Txid(i) != blk.Txs[i].Txid() {
				t.Fatal("txid differs")
			}
		}
		if blk.Check(true) == nil {
			blk.CoinbaseHeight()
		}
		compacted(t, blk)
	})
}

func FuzzParseHeader(f *testing.F) {
	h := Header{Version: 1, Time: 2, Bits: 0x207fffff}.Bytes()
	f.Add(h[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseHeader(b); err == nil {
			if back := h.Bytes(); !bytes.Equal(back[:], b) {
				t.Fatal("changes when read back")
			}
		}
	})
}

func BenchmarkParseAndCheckBlock(b *testing.B) {
	raw := mainnetBlock(b)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		blk, err := ParseBlock(raw)
		if err != nil {
			b.Fatal(err)
		}
		if err := blk.Check(true); err != nil {
			b.Fatal(err)
		}
	}
}
