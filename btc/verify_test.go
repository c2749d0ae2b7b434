package btc

import (
	"bytes"
	"errors"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// A transaction that spends P2WPKH and taproot outputs passes btcd's script engine, is no larger than was said, and signatures verify exactly under
// the right key and digest.
func TestMixedInputs(t *testing.T) {
	key, pub := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32))
	wpkh, err := P2WPKHFromPubKey(Regtest, pub.SerializeCompressed())
	if err != nil {
		t.Fatal(err)
	}
	internal := [32]byte(schnorr.SerializePubKey(pub))
	p2tr, err := P2TRFromInternalKey(Regtest, internal, nil)
	if err != nil {
		t.Fatal(err)
	}
	output := [32]byte(p2tr.Payload())
	tweaked := txscript.TweakTaprootPrivKey(*key, nil)
	for _, taproot := range [][]bool{{true}, {false, true}, {true, false, true, true, false}} {
		tx := &Tx{Version: 2, Outputs: []TxOut{{1000, p2tr.Script()}, {2000, wpkh.Script()}}}
		var prevs []TxOut
		values := map[wire.OutPoint]*wire.TxOut{}
		n := 0
		for i, tr := range taproot {
			prev := TxOut{Satoshi(1000 + i), wpkh.Script()}
			if tr {
				prev.Script = p2tr.Script()
				n++
			}
			prevs = append(prevs, prev)
			tx.Inputs = append(tx.Inputs, TxIn{Prev: Outpoint{Txid: Hash{1}, Vout: uint32(i)}, Sequence: SequenceRBF})
			values[wire.OutPoint{Hash: [32]byte{1}, Index: uint32(i)}] = &wire.TxOut{Value: int64(prev.Value), PkScript: prev.Script}
		}
		hashes := NewSigHashes(tx)
		rooted, err := NewTaprootHashes(tx, prevs)
		if err != nil {
			t.Fatal(err)
		}
		for i, tr := range taproot {
			if !tr {
				d, err := hashes.P2WPKH(i, pub.SerializeCompressed(), prevs[i].Value)
				if err != nil {
					t.Fatal(err)
				}
				sig := ecdsa.SignCompact(key, d[:], true)[1:]
				verify := func(d [32]byte, sig []byte) error { return VerifyECDSA(pub.SerializeCompressed(), d, sig) }
				checkVerifier(t, verify, d, sig)
				if err := tx.SignP2WPKH(i, sig, pub.SerializeCompressed()); err != nil {
					t.Fatal(err)
				}
				continue
			}
			d, err := rooted.Digest(i)
			if err != nil {
				t.Fatal(err)
			}
			s, err := schnorr.Sign(tweaked, d[:])
			if err != nil {
				t.Fatal(err)
			}
			checkVerifier(t, func(d [32]byte, sig []byte) error { return VerifySchnorr(output, d, sig) }, d, s.Serialize())
			if VerifySchnorr(internal, d, s.Serialize()) == nil {
				t.Error("a signature of the output key verifies under the internal key")
			}
			if err := tx.SignP2TR(i, s.Serialize()); err != nil {
				t.Fatal(err)
			}
		}
		bound := VSize(len(taproot)-n, n, tx.Outputs[0].Script, tx.Outputs[1].Script)
		if v := tx.VSize(); v > bound || bound-v > len(taproot) {
			t.Errorf("size %d, bound %d", v, bound)
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
				t.Fatalf("input %d of %v: %v", i, taproot, err)
			}
		}
	}
}

func checkVerifier(t *testing.T, verify func([32]byte, []byte) error, d [32]byte, sig []byte) {
	t.Helper()
	if err := verify(d, sig); err != nil {
		t.Error(err)
	}
	for i := range sig {
		bad := bytes.Clone(sig)
		bad[i] ^= 1
		if err := verify(d, bad); !errors.Is(err, ErrSignature) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	d[0] ^= 1
	for _, bad := range [][]byte{sig, nil, sig[:63], make([]byte, 64), bytes.Repeat([]byte{255}, 64)} {
		if err := verify(d, bad); !errors.Is(err, ErrSignature) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}
