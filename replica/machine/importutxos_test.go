package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/replica/genesis"
	"fusion/replica/state"
)

// A network whose genesis document names a UTXO snapshot begins with it on every replica, or not at all.
func TestBeginsWithASnapshot(t *testing.T) {
	p, err := chain.ParamsOf(btc.Regtest)
	if err != nil {
		t.Fatal(err)
	}
	h := btc.Header{Version: 4, Prev: p.Base[0].Hash(), Time: p.Base[0].Time + 600, Bits: p.PowLimitBits}
	for id := h.Hash(); id[31] > 0x7e; id = h.Hash() {
		h.Nonce++
	}
	header, block := h.Bytes(), h.Hash()
	file := binary.LittleEndian.AppendUint32([]byte("utxo\xff\x02\x00"), btc.Regtest.Magic())
	file = binary.LittleEndian.AppendUint64(append(file, block[:]...), 1)
	file = append(file, bytes.Repeat([]byte{9}, 32)...)             // of one transaction
	file = append(file, 1, 0, 3, 50, 0)                             // one coin: output 0, a coinbase of height 1, 50 BTC, to the hash of a key
	file = append(file, bytes.Repeat([]byte{7}, 20)...)             // which is this
	r, err := utxo.ReadSnapshot(btc.Regtest, bytes.NewReader(file)) // for its hash
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	w := newNetwork(t, 4)
	w.doc.Bitcoin.Snapshot = &genesis.BitcoinSnapshot{Height: 1, Block: block.String(), Hash: r.Hash().String()}
	for i := range w.ms {
		w.close(i)
		w.fs[i] = vfs.NewMem()
		opts := state.Options{FS: w.fs[i], Network: w.doc.Hash()}
		db, err := state.Open("state", opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Genesis: w.doc, Engine: w.engine}, db); !errors.Is(err, utxo.ErrSnapshotMissing) {
			t.Fatalf("without the snapshot: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		into, err := state.NewImport("state", opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(ImportUTXOs(w.doc, bytes.NewReader(header[:]), bytes.NewReader(file), into, nil), into.CommitGenesis(), into.Close()); err != nil {
			t.Fatal(err)
		}
		w.open(i)
	}
	w.found() // every block compares the app hashes
	w.block()
	for i, m := range w.ms {
		if info := m.View().Bitcoin.Info; info.AnchorHeight != 1 || info.Tip != block || info.StableCoins != 1 {
			t.Errorf("machine %d: %+v", i, info)
		}
	}
	w.close(2)
	w.open(2)
	w.block()
}
