package testnets_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fusion/btc"
	"fusion/chainkey"
	"fusion/testnets"
	"fusion/testnets/golden"
)

// TestSchnorr lets a canister sign with the subnet's keys of both algorithms, at 1 MiB too, and spend taproot outputs.
func TestSchnorr(t *testing.T) {
	f := setup(t)
	signer := must(golden.InstallSigner(f, f.owner, "./testdata/signer"))(t)
	bip340, ed := golden.Bip340Key, chainkey.KeyID{Algorithm: chainkey.Ed25519, Name: testnets.TestKey}
	path := [][]byte{{1}, []byte("two")}
	for _, r := range []struct {
		key chainkey.KeyID
		m   chainkey.Message
	}{
		{bip340, chainkey.Message{Bytes: []byte("plain")}},
		{bip340, chainkey.Message{Bytes: bytes.Repeat([]byte{3}, 1<<20)}},
		{bip340, chainkey.Message{Bytes: make([]byte, 32), Taproot: true}},
		{ed, chainkey.Message{Bytes: bytes.Repeat([]byte{3}, 1<<20)}},
	} {
		must(signer.Sign(f, r.key, path, r.m))(t)
	}
	_, err := signer.Sign(f, chainkey.KeyID{Algorithm: chainkey.Bip340Secp256k1, Name: "other"}, path, chainkey.Message{})
	if !errors.Is(err, golden.ErrRefused) || !strings.Contains(err.Error(), "unknown threshold key: bip340_secp256k1:other") {
		t.Errorf("a key that does not exist: %v", err)
	}

	// What is derived offline is what the subnet says.
	for _, id := range []chainkey.KeyID{testnets.EcdsaKey, bip340, ed} {
		for _, path := range [][][]byte{nil, path, {nil, {0, 0, 0, 7}, bytes.Repeat([]byte{5}, 200)}} {
			offline, online := must(signer.Derive(f, id, path))(t), must(signer.Ask(f, id, path))(t)
			if !bytes.Equal(offline.PublicKey, online.PublicKey) || offline.ChainCode != online.ChainCode {
				t.Errorf("%s at %x: derived %x, the subnet says %x", id, path, offline.PublicKey, online.PublicKey)
			}
			again := must(must(signer.Ask(f, id, nil))(t).Below(path...))(t)
			if !bytes.Equal(again.PublicKey, online.PublicKey) || again.ChainCode != online.ChainCode {
				t.Errorf("%s at %x: below the canister's key it is %x, the subnet says %x", id, path, again.PublicKey, online.PublicKey)
			}
		}
	}

	node := f.n.Bitcoin()
	check(t, f.w.SpendTaproot(f, signer, func(txid string) (*btc.Tx, error) {
		tx, err := f.w.Chain.Tx(f, txid)
		if err != nil {
			return nil, err
		}
		raw, err := hex.DecodeString(tx.Raw)
		if err != nil {
			return nil, err
		}
		return btc.ParseTx(raw)
	}, func(tx *btc.Tx) error {
		_, err := node.Submit(tx.Bytes())
		if err != nil {
			return fmt.Errorf("the node: %w", err)
		}
		return nil
	}))
}
