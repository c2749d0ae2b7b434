package golden

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"fusion/btc"
	"fusion/cdk/link"
	"fusion/chainkey"
	"fusion/ic/agent/keys"
	"fusion/ic/candid"
	"fusion/ic/principal"
	"fusion/replica/management"
	"fusion/testnets"
)

// Signer is a canister that has messages signed (testnets/testdata/signer).
type Signer struct {
	ID   principal.Principal
	User *User
}

// InstallSigner compiles the canister in the folder testnets/testdata/signer, as seen from the test, and installs it with cycles for many signatures.
func InstallSigner(ctx context.Context, u *User, folder string) (*Signer, error) {
	built, err := link.Build(ctx, "", folder)
	if err != nil {
		return nil, err
	}
	module, err := link.Gzip(built.Wasm)
	if err != nil {
		return nil, err
	}
	cycles := candid.NatFromUint64(1_000_000_000_000_000)
	var created management.CanisterID
	if err := u.Agent.Update(ctx, principal.Management, "provisional_create_canister_with_cycles",
		[]any{management.ProvisionalCreateArgs{Amount: &cycles}}, []any{&created}); err != nil {
		return nil, err
	}
	if err := testnets.Install(ctx, u.Agent, created.CanisterID, management.ModeInstall(), module, candid.MustMarshal()); err != nil {
		return nil, err
	}
	return &Signer{created.CanisterID, u}, nil
}

// which names a key to the canister.
type which struct {
	Algorithm string   `candid:"algorithm"`
	Name      string   `candid:"name"`
	Path      [][]byte `candid:"path"`
}

// Root is a key of the subnet, from a replica's status.
func (w *World) Root(ctx context.Context, id chainkey.KeyID) (keys.Key, error) {
	s, err := w.Status(ctx, 0)
	if err != nil {
		return keys.Key{}, err
	}
	for _, k := range s.Keys {
		if k.ID != id || !k.Active {
			continue
		}
		public, err := hex.DecodeString(k.PublicKey)
		if err != nil {
			return keys.Key{}, err
		}
		chain, err := hex.DecodeString(k.ChainCode)
		if err != nil || len(chain) != 32 {
			return keys.Key{}, fmt.Errorf("chain code of %s is %q", id, k.ChainCode)
		}
		return keys.Key{Algorithm: id.Algorithm, PublicKey: public, ChainCode: [32]byte(chain)}, nil
	}
	return keys.Key{}, fmt.Errorf("no active key %s: %+v", id, s.Keys)
}

// Derive is the canister's key at a path, by nothing but the subnet's root key.
func (s *Signer) Derive(ctx context.Context, id chainkey.KeyID, path [][]byte) (keys.Key, error) {
	root, err := s.User.w.Root(ctx, id)
	if err != nil {
		return keys.Key{}, err
	}
	return root.Of(s.ID, path...)
}

// Ask is the canister's key at a path, as the management canister tells it.
func (s *Signer) Ask(ctx context.Context, id chainkey.KeyID, path [][]byte) (keys.Key, error) {
	var out struct {
		PublicKey []byte `candid:"public_key"`
		ChainCode []byte `candid:"chain_code"`
		Problem   string `candid:"problem"`
	}
	if err := s.User.Agent.Update(ctx, s.ID, "public_key", []any{which{string(id.Algorithm), id.Name, path}}, []any{&out}); err != nil {
		return keys.Key{}, err
	}
	if out.Problem != "" || len(out.ChainCode) != 32 {
		return keys.Key{}, fmt.Errorf("public key of %s: %s, chain code of %d bytes", id, out.Problem, len(out.ChainCode))
	}
	return keys.Key{Algorithm: id.Algorithm, PublicKey: out.PublicKey, ChainCode: [32]byte(out.ChainCode)}, nil
}

// ErrRefused says that the subnet refused to sign.
var ErrRefused = errors.New("refused")

// Sign has a message signed and checks the signature under the key that is derived offline.
func (s *Signer) Sign(ctx context.Context, id chainkey.KeyID, path [][]byte, m chainkey.Message) (signature [64]byte, err error) {
	in := struct {
		Key     which   `candid:"key"`
		Message []byte  `candid:"message"`
		Taproot *[]byte `candid:"taproot"`
	}{Key: which{string(id.Algorithm), id.Name, path}, Message: m.Bytes}
	if m.Taproot {
		root := append([]byte{}, m.MerkleRoot...)
		in.Taproot = &root
	}
	var out struct {
		Signature []byte `candid:"signature"`
		Problem   string `candid:"problem"`
	}
	if err := s.User.Agent.Update(ctx, s.ID, "sign", []any{in}, []any{&out}); err != nil {
		return signature, err
	}
	if out.Problem != "" || len(out.Signature) != len(signature) {
		return signature, fmt.Errorf("signing with %s: %w: %s", id, ErrRefused, out.Problem)
	}
	key, err := s.Derive(ctx, id, path)
	if err != nil {
		return signature, err
	}
	signature = [64]byte(out.Signature)
	return signature, chainkey.Verify(id.Algorithm, key.PublicKey, m, signature)
}

// Bip340Key is the key that taproot outputs are spent with.
var Bip340Key = chainkey.KeyID{Algorithm: chainkey.Bip340Secp256k1, Name: testnets.TestKey}

// Taproot is an output that the canister's key at a path can spend; a script tree's Merkle root may be committed to beside.
type Taproot struct {
	Path       [][]byte
	MerkleRoot []byte
	Address    btc.Address
}

// NewTaproot derives an output's address offline.
func (s *Signer) NewTaproot(ctx context.Context, path [][]byte, merkleRoot []byte) (Taproot, error) {
	key, err := s.Derive(ctx, Bip340Key, path)
	if err != nil {
		return Taproot{}, err
	}
	internal, err := key.XOnly()
	if err != nil {
		return Taproot{}, err
	}
	a, err := btc.P2TRFromInternalKey(btc.Regtest, internal, merkleRoot)
	return Taproot{path, merkleRoot, a}, err
}

// Find looks for the output that pays to the address in a transaction.
func (o Taproot) Find(tx *btc.Tx) (btc.Outpoint, btc.TxOut, error) {
	for i, out := range tx.Outputs {
		if string(out.Script) == string(o.Address.Script()) {
			return btc.Outpoint{Txid: tx.Txid(), Vout: uint32(i)}, out, nil
		}
	}
	return btc.Outpoint{}, btc.TxOut{}, fmt.Errorf("transaction %v pays nothing to %s", tx.Txid(), o.Address)
}

const spendFee = 1000 // sat

// Spend makes a transaction that pays an output to an address, signed along the key path. root is what is signed for, which
// should be the output's.
func (s *Signer) Spend(ctx context.Context, o Taproot, at btc.Outpoint, out btc.TxOut, root []byte, to string) (*btc.Tx, error) {
	a, err := btc.ParseAddress(btc.Regtest, to)
	if err != nil {
		return nil, err
	}
	tx := &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: at, Sequence: btc.SequenceRBF}}, Outputs: []btc.TxOut{{Value: out.Value - spendFee, Script: a.Script()}}}
	digest, err := btc.TaprootDigest(tx, 0, []btc.TxOut{out}, 0)
	if err != nil {
		return nil, err
	}
	signature, err := s.Sign(ctx, Bip340Key, o.Path, chainkey.Message{Bytes: digest[:], Taproot: true, MerkleRoot: root})
	if err != nil {
		return nil, err
	}
	tx.Inputs[0].Witness = [][]byte{signature[:]}
	return tx, nil
}

// ScriptTree is the Merkle root of a tree of one script that nobody can satisfy: what is committed to matters to no spend by key.
func ScriptTree() []byte {
	const leafVersion, opReturn = 0xc0, 0x6a
	leaf := btc.TaggedHash("TapLeaf", []byte{leafVersion, 1, opReturn})
	return leaf[:]
}

// SpendTaproot pays to taproot outputs of the signer, without and with a script tree, and spends them by the subnet's key. fetch finds a
// transaction of the chain and submit hands one to a Bitcoin node, which must accept what is right and refuse what is signed for another tree.
func (w *World) SpendTaproot(ctx context.Context, s *Signer, fetch func(txid string) (*btc.Tx, error), submit func(*btc.Tx) error) error {
	const value = 1_000_000 // sat
	for _, root := range [][]byte{nil, ScriptTree()} {
		o, err := s.NewTaproot(ctx, [][]byte{[]byte("taproot"), {byte(len(root))}}, root)
		if err != nil {
			return err
		}
		txid, err := w.Chain.Send(ctx, testnets.SendRequest{Address: o.Address.String(), Satoshi: value})
		if err != nil {
			return err
		}
		if _, err := w.Chain.Mine(ctx, testnets.MineRequest{Blocks: 1}); err != nil {
			return err
		}
		funding, err := fetch(txid)
		if err != nil {
			return err
		}
		at, out, err := o.Find(funding)
		if err != nil {
			return err
		}
		to := FreshAddress("taproot")
		other := ScriptTree()
		if root != nil {
			other = nil
		}
		wrong, err := s.Spend(ctx, o, at, out, other, to)
		if err != nil {
			return err
		}
		if submit(wrong) == nil {
			return fmt.Errorf("the node accepts %v, which is signed for the tree %x, not %x", wrong.Txid(), other, root)
		}
		tx, err := s.Spend(ctx, o, at, out, root, to)
		if err != nil {
			return err
		}
		if err := submit(tx); err != nil {
			return fmt.Errorf("spending %s with tree %x: %w", o.Address, root, err)
		}
		if _, err := w.Chain.Mine(ctx, testnets.MineRequest{Blocks: 1}); err != nil {
			return err
		}
		err = Wait(ctx, "the spend to be mined", func() (string, error) {
			got, err := w.Chain.Balance(ctx, to)
			if err == nil && got != out.Value-spendFee {
				return fmt.Sprintf("%s has %d sat", to, got), nil
			}
			return "", err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
