package utxo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/btc/chain"
	"fusion/internal/kv"
)

// The public signet's first blocks are taken; with another solution the header's own block is invalid.
func TestSignet(t *testing.T) {
	p, err := chain.ParamsOf(btc.Signet)
	if err != nil {
		t.Fatal(err)
	}
	st, err := Open(Options{Params: p}, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../testdata/signet_blocks.txt")
	if err != nil {
		t.Fatal(err)
	}
	var it Items
	for line := range strings.Lines(string(text)) {
		raw, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		it.Blocks = append(it.Blocks, raw)
	}
	if err := st.CheckPayload(it); err != nil {
		t.Fatal(err)
	}
	for _, o := range st.Apply(it, late) {
		if o.Err != nil {
			t.Error(o.Err)
		}
	}
	if st.Tip().Height != uint32(len(it.Blocks)) || st.Synced() {
		t.Errorf("%+v", st.Info())
	}
	// Somebody mines a block without the signers: its work is there, a solution is not.
	p.SignetChallenge = append([]byte{0x52}, p.SignetChallenge[1:]...) // both keys must sign
	strict, err := Open(Options{Params: p}, kv.NewMem())
	if err != nil {
		t.Fatal(err)
	}
	one := Items{Blocks: [][]byte{bytes.Clone(it.Blocks[0])}}
	if o := strict.Apply(one, late); !errors.Is(o[0].Err, btc.ErrBlockInvalid) || strict.Tip().Height != 0 || strict.BestHeader().Height != 0 {
		t.Errorf("%+v, tip %d", o, strict.Tip().Height)
	}
}
