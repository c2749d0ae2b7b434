package btc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
)

// The first blocks of the public signet.
func signetBlocks(t testing.TB) (out [][]byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/signet_blocks.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		raw, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw)
	}
	return out
}

func parseBlock(t testing.TB, raw []byte) *Block {
	t.Helper()
	b, err := ParseBlock(raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignetBlocks(t *testing.T) {
	blocks := signetBlocks(t)
	if len(blocks) < 3 {
		t.Fatal("no blocks")
	}
	for i, raw := range blocks {
		b := parseBlock(t, raw)
		if err := b.Check(true); err != nil {
			t.Errorf("block %d: %v", i+1, err)
		}
		if err := b.CheckSignet(SignetChallenge); err != nil {
			t.Errorf("block %d: %v", i+1, err)
		}
		// The same keys, of which both would have to sign.
		both := bytes.Clone(SignetChallenge)
		both[0]++
		if err := b.CheckSignet(both); !errors.Is(err, ErrBlockInvalid) {
			t.Errorf("block %d with a challenge of two signatures: %v", i+1, err)
		}
	}
	// What the solution signs: header fields but the nonce, transactions, the solution's place; and the solution itself.
	sig := bytes.Index(blocks[0], signetMagic)
	for name, change := range map[string]func(b []byte){
		"version":             func(b []byte) { b[0] ^= 1 },
		"parent":              func(b []byte) { b[10] ^= 1 },
		"time":                func(b []byte) { b[68] ^= 1 },
		"coinbase":            func(b []byte) { b[bytes.Index(b, []byte{0x51, 0x51, 0xfe})] = 0x52 },
		"reward":              func(b []byte) { b[bytes.Index(b, []byte{0, 0xf2, 5, 0x2a})] ^= 1 },
		"signature":           func(b []byte) { b[sig+20] ^= 1 },
		"kind of signature":   func(b []byte) { b[sig+4+1+2+71-1] = 2 },
		"empty first element": func(b []byte) { b[sig+5] = 0x51 },
		"magic":               func(b []byte) { b[sig] ^= 1 },
	} {
		raw := bytes.Clone(blocks[0])
		change(raw)
		if err := parseBlock(t, raw).CheckSignet(SignetChallenge); !errors.Is(err, ErrBlockInvalid) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	nonce := bytes.Clone(blocks[0])
	nonce[76] ^= 1
	if err := parseBlock(t, nonce).CheckSignet(SignetChallenge); err != nil {
		t.Errorf("the nonce is signed: %v", err)
	}
	for name, challenge := range map[string][]byte{"empty": nil, "true": {0x51}, "cut": SignetChallenge[:40], "three of two": append([]byte{0x53}, SignetChallenge[1:]...)} {
		if err := parseBlock(t, blocks[0]).CheckSignet(challenge); !errors.Is(err, ErrSignetChallenge) || errors.Is(err, ErrBlockInvalid) {
			t.Errorf("challenge %q: %v", name, err)
		}
	}
}

// No bytes in place of the commitment crash the check, and none but the signed ones pass.
func FuzzCheckSignet(f *testing.F) {
	good := parseBlock(f, signetBlocks(f)[0])
	script := good.Txs[0].Outputs[1].Script
	f.Add(script)
	f.Add(script[:38])
	f.Add(append(bytes.Clone(script[:38]), 0x4e, 0xff, 0xff, 0xff, 0xff))
	f.Add(append(bytes.Clone(script[:38]), 5, 0xec, 0xc7, 0xda, 0xa2, 0xff))
	f.Fuzz(func(t *testing.T, b []byte) {
		tx := good.Txs[0]
		tx.Outputs = append([]TxOut(nil), tx.Outputs...)
		tx.Outputs[1].Script = b
		header := good.Header.Bytes()
		blk, err := ParseBlock(append(append(header[:], 1), tx.Bytes()...))
		if err != nil {
			return
		}
		if err := blk.CheckSignet(SignetChallenge); err == nil && !bytes.Contains(b, script[43:len(script)-1]) {
			t.Fatalf("%x passes", b)
		}
	})
}
