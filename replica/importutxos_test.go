package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/btc/utxo"
	"fusion/replica/genesis"
	"fusion/replica/state"
)

// The files that a state begins with make it in any directory: a replica's own, or a replay's.
func TestImportCoins(t *testing.T) {
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
	file = append(append(file, bytes.Repeat([]byte{9}, 32)...), 1, 0, 3, 50, 0) // one coin of one transaction: a coinbase of height 1, 50 BTC
	file = append(file, bytes.Repeat([]byte{7}, 20)...)
	r, err := utxo.ReadSnapshot(btc.Regtest, bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	doc := &genesis.Doc{Class: genesis.Local, Bitcoin: &genesis.Bitcoin{Network: "regtest", StabilityThreshold: 6,
		Snapshot: &genesis.BitcoinSnapshot{Height: 1, Block: block.String(), Hash: r.Hash().String()}}}
	dir := t.TempDir()
	files := UTXOFiles{filepath.Join(dir, "utxo.dat"), filepath.Join(dir, "headers.dat")}
	if err := importCoins(t.Context(), doc, filepath.Join(dir, "none"), files, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without files: %v", err)
	}
	for name, b := range map[string][]byte{files.Snapshot: file, files.Headers: header[:]} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	into := filepath.Join(dir, "state")
	if err := importCoins(t.Context(), doc, into, files, nil); err != nil {
		t.Fatal(err)
	}
	db, err := state.Open(into, state.Options{Network: doc.Hash()})
	if err != nil {
		t.Fatal(err)
	}
	coins := 0
	db.Reader().Scan(nil, nil, func(k, _ []byte) bool {
		if bytes.Contains(k, []byte("utxo/")) {
			coins++
		}
		return true
	})
	if coins == 0 || db.Head().Height != 0 {
		t.Errorf("%d keys of coins, at height %d", coins, db.Head().Height)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := importCoins(t.Context(), doc, into, files, nil); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("into a state: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := importCoins(stopped, doc, filepath.Join(dir, "stopped"), files, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}
