package eth

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	secp "github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// The test cases of EIP-55.
var eip55 = []string{
	"0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D", "0xde709f2102306220921060314715629080e2fb77",
	"0x27b1fdb04752bbc536007a920d24acb045561c26", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
	"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
}

func TestChecksum(t *testing.T) {
	for _, text := range eip55 {
		a, err := ParseAddress(text)
		if err != nil || a.String() != text {
			t.Errorf("%s is %s, %v", text, a, err)
		}
		if b, err := ParseAddress(strings.ToLower(text)); err != nil || b != a {
			t.Errorf("%s in lower case: %v", text, err)
		}
	}
	swapped := strings.Replace(eip55[4], "aA", "Aa", 1)
	if _, err := ParseAddress(swapped); !errors.Is(err, ErrChecksum) {
		t.Errorf("%s: %v", swapped, err)
	}
	for _, text := range []string{"", "0x", eip55[0][2:], eip55[0] + "0", "0X" + eip55[0][2:], strings.Replace(eip55[0], "5", "g", 1)} {
		if _, err := ParseAddress(text); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestKnownKeys has the addresses of the secret keys 1 and 2, which every Ethereum library gives, and of the sample in the yellow paper's sources.
func TestKnownKeys(t *testing.T) {
	for secret, want := range map[string]string{
		"0000000000000000000000000000000000000000000000000000000000000001": "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
		"0000000000000000000000000000000000000000000000000000000000000002": "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF",
		"289c2857d4598e37fb9647507e47a309d6133539bf21a8b9cb6df88fd5232032": "0x970E8128AB834E8EAC17Ab8E3812F010678CF791", // go-ethereum's crypto tests
	} {
		raw, err := hex.DecodeString(secret)
		if err != nil {
			t.Fatal(err)
		}
		key := secp.PrivKeyFromBytes(raw).PubKey()
		for _, pub := range [][]byte{key.SerializeCompressed(), key.SerializeUncompressed()} {
			if a, err := AddressFromPubKey(pub); err != nil || a.String() != want {
				t.Errorf("secret %s: %s, %v, want %s", secret, a, err, want)
			}
		}
	}
	if _, err := AddressFromPubKey(make([]byte, 33)); !errors.Is(err, ErrPublicKey) {
		t.Errorf("a key of zeros: %v", err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, text := range append(eip55, "", "0x0", "0xg") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		if !strings.EqualFold(a.String(), text) {
			t.Fatalf("%q became %s", text, a)
		}
	})
}
