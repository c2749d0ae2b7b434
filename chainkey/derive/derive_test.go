package derive

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// TestInternetComputerSamples runs all keys that the Internet Computer itself derived (dfinity/ic-pub-key, commit 6801649).
func TestInternetComputerSamples(t *testing.T) {
	raw, err := os.ReadFile("testdata/ic-samples.json")
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]map[string]struct {
		Vectors []struct {
			Name           string  `json:"name"`
			PublicKey      string  `json:"public_key"`
			ChainCode      string  `json:"chain_code"`
			Path           *string `json:"derivation_path"`
			ExpectedKey    string  `json:"expected_public_key"`
			ExpectedChains string  `json:"expected_chain_code"`
		} `json:"test_vectors"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for scheme, curves := range file {
		for curve, set := range curves {
			for _, v := range set.Vectors {
				t.Run(scheme+"/"+curve+"/"+v.Name, func(t *testing.T) {
					var path [][]byte
					if v.Path != nil {
						for _, e := range strings.Split(*v.Path, "/") {
							path = append(path, []byte(e))
						}
					}
					var key, chain []byte
					if curve == "ed25519" {
						c, err := Ed25519([32]byte(unhex(t, v.PublicKey)), [32]byte(unhex(t, v.ChainCode)), path)
						if err != nil {
							t.Fatal(err)
						}
						key, chain = c.PublicKey[:], c.ChainCode[:]
					} else {
						c, err := Secp256k1([33]byte(unhex(t, v.PublicKey)), [32]byte(unhex(t, v.ChainCode)), path)
						if err != nil {
							t.Fatal(err)
						}
						key, chain = c.PublicKey[:], c.ChainCode[:]
					}
					if hex.EncodeToString(key) != v.ExpectedKey || hex.EncodeToString(chain) != v.ExpectedChains {
						t.Fatalf("derived %x, %x", key, chain)
					}
				})
				ran++
			}
		}
	}
	if ran != 9 {
		t.Fatalf("the file has 9 vectors, %d ran", ran)
	}
}

func TestFourByteElementsAreBIP32(t *testing.T) {
	master, err := hdkeychain.NewMaster(bytes.Repeat([]byte{7}, 32), &chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	public, err := master.Neuter()
	if err != nil {
		t.Fatal(err)
	}
	key, err := public.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	parent, chain := [33]byte(key.SerializeCompressed()), [32]byte(public.ChainCode())
	var path [][]byte
	for _, index := range []uint32{0, 1, 44, 1<<31 - 1, 123456} {
		if public, err = public.Derive(index); err != nil {
			t.Fatal(err)
		}
		path = append(path, binary.BigEndian.AppendUint32(nil, index))
		got, err := Secp256k1(parent, chain, path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := public.ECPubKey()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.PublicKey[:], want.SerializeCompressed()) || !bytes.Equal(got.ChainCode[:], public.ChainCode()) {
			t.Fatalf("path %x: derived %x, BIP32 says %x", path, got.PublicKey, want.SerializeCompressed())
		}
	}
}

func TestTweakMovesTheSecret(t *testing.T) {
	secret := secp.PrivKeyFromBytes(bytes.Repeat([]byte{9}, 32))
	path := Path([]byte{0, 0, 0, 0, 0, 0, 0, 1, 1, 1}, []byte("deposit"), nil, bytes.Repeat([]byte{5}, 100))
	child, err := Secp256k1([33]byte(secret.PubKey().SerializeCompressed()), [32]byte{1}, path)
	if err != nil {
		t.Fatal(err)
	}
	var tweak secp.ModNScalar
	tweak.SetBytes(&child.Tweak)
	moved := secp.NewPrivateKey(tweak.Add(&secret.Key))
	if got := [33]byte(moved.PubKey().SerializeCompressed()); got != child.PublicKey {
		t.Fatalf("secret + tweak has key %x, derived %x", got, child.PublicKey)
	}
}

func TestEdTweakMovesThePoint(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	parent := [32]byte(private.Public().(ed25519.PublicKey))
	child, err := Ed25519(parent, [32]byte{2}, [][]byte{[]byte("a"), []byte("b")})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(child.Tweak[:])
	point, ok := edDecode(parent)
	if !ok {
		t.Fatal("the standard library's key does not decode")
	}
	if got := point.add(edBase.mul(new(big.Int).SetBytes(child.Tweak[:]))).encode(); got != child.PublicKey {
		t.Fatalf("parent + tweak·B is %x, derived %x", got, child.PublicKey)
	}
}

func TestRefusals(t *testing.T) {
	good := [33]byte(secp.PrivKeyFromBytes([]byte{1}).PubKey().SerializeCompressed())
	if _, err := Secp256k1([33]byte{}, [32]byte{}, nil); !errors.Is(err, ErrPublicKey) {
		t.Errorf("zero key: %v", err)
	}
	if _, err := Secp256k1(good, [32]byte{}, make([][]byte, MaxPathLength+1)); !errors.Is(err, ErrPathTooLong) {
		t.Errorf("long path: %v", err)
	}
	for name, key := range map[string][32]byte{
		"y = 2, not on the curve": {2},
		"y = p":                   {0xed, 30: 0xff, 31: 0x7f},
		"negative zero":           {1, 31: 0x80},
	} {
		if name == "y = p" {
			for i := 1; i < 31; i++ {
				key[i] = 0xff
			}
		}
		if _, err := Ed25519(key, [32]byte{}, nil); !errors.Is(err, ErrPublicKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzSecp256k1(f *testing.F) {
	f.Add(secp.PrivKeyFromBytes([]byte{1}).PubKey().SerializeCompressed(), []byte("path"))
	f.Add(make([]byte, 33), []byte{})
	f.Fuzz(func(t *testing.T, key, element []byte) {
		if len(key) != 33 {
			return
		}
		child, err := Secp256k1([33]byte(key), [32]byte{}, [][]byte{element})
		if err != nil {
			return
		}
		if _, err := secp.ParsePubKey(child.PublicKey[:]); err != nil {
			t.Fatalf("child of a good key is bad: %v", err)
		}
	})
}

func FuzzEd25519(f *testing.F) {
	f.Add([]byte(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)))
	f.Fuzz(func(t *testing.T, key []byte) {
		if len(key) != 32 {
			return
		}
		if point, ok := edDecode([32]byte(key)); ok && point.encode() != [32]byte(key) {
			t.Fatal("decoding and encoding changed a point")
		}
	})
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
