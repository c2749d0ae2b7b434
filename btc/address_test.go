package btc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/txscript"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// From BIP173 and BIP350.
func TestSegwitAddresses(t *testing.T) {
	for _, c := range []struct {
		network      Network
		text, script string
	}{
		{Mainnet, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"},
		{Testnet4, "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"},
		{Signet, "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy", "0020000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
		{Testnet4, "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c", "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"},
		{Mainnet, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"},
	} {
		a, err := ParseAddress(c.network, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := hex.EncodeToString(a.Script()); got != c.script {
			t.Errorf("%s: script %s", c.text, got)
		}
		if a.String() != strings.ToLower(c.text) {
			t.Errorf("%s: prints as %s", c.text, a)
		}
	}
	for text, want := range map[string]error{
		// Valid, but of a kind that no wallet can pay to yet.
		"bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y": ErrAddressUnsupported,
		"BC1SW50QGDZ25J":                       ErrAddressUnsupported,
		"bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs": ErrAddressUnsupported,
		// Another network.
		"tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c": ErrAddressNetwork,
		"mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn":                             ErrAddressNetwork,
		// Wrong constant for the version, then wrong checksum.
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd": ErrAddressChecksum,
		"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh":                     ErrAddressChecksum,
		"bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4": ErrAddress,
		"BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R": ErrAddress,
		"bc1pw5dgrnzv":                         ErrAddress,
		"BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P": ErrAddress,
		"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf": ErrAddress,
		"bc1gmk9yu": ErrAddress,
		"bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4":          ErrAddress,
		"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb":                  ErrAddressChecksum,
		"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfN":                   ErrAddressChecksum,
		"0A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa":                  ErrAddress,
		"":                                                    ErrAddress,
		strings.Repeat("1", 90):                               ErrAddress,
		"5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ": ErrAddress,
	} {
		if _, err := ParseAddress(Mainnet, text); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
	if a, err := ParseAddress(Mainnet, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"); err != nil || a.Kind() != P2PKH || a.DustLimit() != 546 {
		t.Errorf("genesis address: %v %v %d", a.Kind(), err, a.DustLimit())
	}
}

func btcdParams(n Network) *chaincfg.Params {
	switch n {
	case Mainnet:
		return &chaincfg.MainNetParams
	case Testnet4:
		return &chaincfg.TestNet4Params
	case Signet:
		return &chaincfg.SigNetParams
	}
	return &chaincfg.RegressionNetParams
}

// btcd and we agree about every address of every kind, and about the dust limits that Bitcoin Core documents.
func TestAddressesMatchBtcd(t *testing.T) {
	dust := map[AddressKind]Satoshi{P2PKH: 546, P2SH: 540, P2WPKH: 294, P2WSH: 330, P2TR: 330}
	rapid.Check(t, func(t *rapid.T) {
		network := rapid.SampledFrom([]Network{Mainnet, Testnet4, Signet, Regtest}).Draw(t, "network")
		kind := rapid.SampledFrom([]AddressKind{P2PKH, P2SH, P2WPKH, P2WSH, P2TR}).Draw(t, "kind")
		n := kind.PayloadLen()
		payload := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "payload")
		a, err := NewAddress(network, kind, payload)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := btcutil.DecodeAddress(a.String(), btcdParams(network))
		if err != nil {
			t.Fatalf("btcd refuses %s: %v", a, err)
		}
		script, err := txscript.PayToAddrScript(ref)
		if err != nil || !bytes.Equal(script, a.Script()) {
			t.Fatalf("%s: btcd's script %x, ours %x (%v)", a, script, a.Script(), err)
		}
		back, err := ParseAddress(network, a.String())
		if err != nil || back != a {
			t.Fatalf("%s: read back as %v: %v", a, back, err)
		}
		if of, ok := AddressOf(network, script); !ok || of != a {
			t.Fatalf("%x: recognised as %v", script, of)
		}
		if a.DustLimit() != dust[kind] {
			t.Fatalf("%v: dust limit %d", kind, a.DustLimit())
		}
		// One changed character is noticed.
		text := []byte(a.String())
		i := rapid.IntRange(len(network.HRP())+1, len(text)-1).Draw(t, "position")
		c := rapid.SampledFrom([]byte("qpzry9x8gf2tvdw0s3jn54khce6mua7l")).Draw(t, "character")
		if old := text[i]; old != c {
			text[i] = c
			if got, err := ParseAddress(network, string(text)); err == nil {
				t.Fatalf("%s: read as %v", text, got)
			}
		}
	})
}

func TestNetworkConstantsMatchBtcd(t *testing.T) {
	for _, n := range []Network{Mainnet, Testnet4, Signet, Regtest} {
		p := btcdParams(n)
		if uint32(p.Net) != n.Magic() {
			t.Errorf("%v: magic %#x, btcd %#x", n, n.Magic(), uint32(p.Net))
		}
		if p.Bech32HRPSegwit != n.HRP() || p.PubKeyHashAddrID != n.enc().p2pkh || p.ScriptHashAddrID != n.enc().p2sh {
			t.Errorf("%v: address prefixes differ from btcd's", n)
		}
		if back, err := ParseNetwork(n.String()); err != nil || back != n {
			t.Errorf("%v: read back as %v, %v", n, back, err)
		}
		if n.Development() != (n == Regtest) {
			t.Errorf("%v: development network?", n)
		}
	}
	if n, err := ParseNetwork("testnet"); err != nil || n != Testnet4 {
		t.Errorf("testnet: %v %v", n, err)
	}
	if _, err := ParseNetwork("testnet3"); err == nil {
		t.Error("testnet3 was accepted")
	}
}

// The wallet vectors of BIP341: addresses from internal keys and script trees, and key-path digests.
func TestBIP341Wallet(t *testing.T) {
	raw, err := os.ReadFile("testdata/bip-0341-wallet-test-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		ScriptPubKey []struct {
			Given        struct{ InternalPubkey string }
			Intermediary struct {
				MerkleRoot           *string
				Tweak, TweakedPubkey string
			}
			Expected struct{ ScriptPubKey, Bip350Address string }
		}
		KeyPathSpending []struct {
			Given struct {
				RawUnsignedTx string
				UtxosSpent    []struct {
					ScriptPubKey string
					AmountSats   uint64
				}
			}
			InputSpending []struct {
				Given struct {
					TxinIndex int
					HashType  byte
				}
				Intermediary struct{ SigHash string }
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.ScriptPubKey) != 7 || len(file.KeyPathSpending) != 1 || len(file.KeyPathSpending[0].InputSpending) != 7 {
		t.Fatal("the vector file does not have its 7 scripts and 7 spends")
	}
	for i, v := range file.ScriptPubKey {
		var root []byte
		if v.Intermediary.MerkleRoot != nil {
			root = unhex(t, *v.Intermediary.MerkleRoot)
		}
		internal := [32]byte(unhex(t, v.Given.InternalPubkey))
		tweak, output, err := TaprootTweak(internal, root)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(tweak[:]) != v.Intermediary.Tweak || hex.EncodeToString(output[:]) != v.Intermediary.TweakedPubkey {
			t.Errorf("%d: tweak %x, output %x", i, tweak, output)
		}
		a, err := P2TRFromInternalKey(Mainnet, internal, root)
		if err != nil || a.String() != v.Expected.Bip350Address || hex.EncodeToString(a.Script()) != v.Expected.ScriptPubKey {
			t.Errorf("%d: address %v, %v", i, a, err)
		}
		if b, err := ParseAddress(Mainnet, v.Expected.Bip350Address); err != nil || a != b {
			t.Errorf("%d: parsed %v, %v", i, b, err)
		}
	}
	for _, v := range file.KeyPathSpending {
		tx, err := ParseTx(unhex(t, v.Given.RawUnsignedTx))
		if err != nil {
			t.Fatal(err)
		}
		var prevs []TxOut
		for _, u := range v.Given.UtxosSpent {
			prevs = append(prevs, TxOut{Satoshi(u.AmountSats), unhex(t, u.ScriptPubKey)})
		}
		for _, in := range v.InputSpending {
			d, err := TaprootDigest(tx, in.Given.TxinIndex, prevs, in.Given.HashType)
			if err != nil || hex.EncodeToString(d[:]) != in.Intermediary.SigHash {
				t.Errorf("input %d: digest %x, %v", in.Given.TxinIndex, d, err)
			}
			shared, err := NewTaprootHashes(tx, prevs)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := TaprootDigest(tx, in.Given.TxinIndex, prevs, 0)
			if got, err := shared.Digest(in.Given.TxinIndex); err != nil || got != want {
				t.Errorf("input %d: shared digest %x, want %x (%v)", in.Given.TxinIndex, got, want, err)
			}
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"", "1", "bc1", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
		"bcrt1q6z64a43mjgkcq0ul2znwneq3spghrlau9slefp", "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range []Network{Mainnet, Testnet4, Regtest} {
			a, err := ParseAddress(n, s)
			if err != nil {
				continue
			}
			if got := a.String(); got != s && got != strings.ToLower(s) {
				t.Fatalf("%q prints as %q", s, got)
			}
			if of, ok := AddressOf(n, a.Script()); !ok || of != a {
				t.Fatalf("%q: script of another address", s)
			}
		}
	})
}
