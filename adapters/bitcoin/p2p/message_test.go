package p2p

import (
	"bytes"
	"errors"
	"testing"

	"github.com/btcsuite/btcd/wire"

	"fusion/btc"
)

// What we frame and encode, btcd reads, and the other way round.
func TestMatchesBtcd(t *testing.T) {
	magic := btc.Regtest.Magic()
	headers := []btc.Header{{Version: 4, Time: 5, Bits: 0x207fffff}, {Version: -1, Nonce: 9}}
	items := []Inventory{{Tx, btc.Hash{1}}, {WitnessBlock, btc.Hash{2}}}
	for len(items) < 300 { // a longer count
		items = append(items, Inventory{Block, btc.Hash{byte(len(items))}})
	}
	version, err := Version("/test:1/", 7, 8, 0)
	if err != nil {
		t.Fatal(err)
	}
	for command, payload := range map[string][]byte{
		"headers": EncodeHeaders(headers), "inv": EncodeInventory(items), "getdata": EncodeInventory(items), "notfound": EncodeInventory(items),
		"getheaders": EncodeGetHeaders([]btc.Hash{{1}, {2}}), "version": version, "verack": nil, "ping": make([]byte, 8),
	} {
		raw := Encode(magic, command, payload)
		_, msg, _, err := wire.ReadMessageN(bytes.NewReader(raw), ProtocolVersion, wire.BitcoinNet(magic))
		if err != nil || msg.Command() != command {
			t.Errorf("%s: btcd cannot read it: %v", command, err)
			continue
		}
		var theirs bytes.Buffer
		if _, err := wire.WriteMessageN(&theirs, msg, ProtocolVersion, wire.BitcoinNet(magic)); err != nil || !bytes.Equal(theirs.Bytes(), raw) {
			t.Errorf("%s: btcd writes it differently: %v", command, err)
		}
		c, p, err := Read(bytes.NewReader(raw), magic)
		if err != nil || c != command || !bytes.Equal(p, payload) {
			t.Errorf("%s: read back as %q: %v", command, c, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	magic := btc.Regtest.Magic()
	good := Encode(magic, "ping", make([]byte, 8))
	change := func(i int, v byte) []byte { b := bytes.Clone(good); b[i] = v; return b }
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"magic": {change(0, 0), ErrMagic}, "checksum": {change(20, good[20]^1), ErrChecksum}, "length": {change(17, 1), ErrTooLong},
		"unknown and huge": {Encode(magic, "zzz", make([]byte, 4_000_001)), ErrTooLong},
	} {
		if _, _, err := Read(bytes.NewReader(c.raw), magic); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, p, err := Read(bytes.NewReader(Encode(magic, "zzz", make([]byte, 100))), magic); err != nil || c != "zzz" || p != nil {
		t.Errorf("unknown command: %q %x %v", c, p, err)
	}
	for name, p := range map[string][]byte{"empty": {}, "short": {1}, "long": append([]byte{0}, 1), "huge count": {0xfe, 0xff, 0xff, 0xff, 0xff}} {
		if _, err := ParseHeaders(p); !errors.Is(err, ErrMalformed) {
			t.Errorf("headers %s: %v", name, err)
		}
		if _, err := ParseInventory(p); !errors.Is(err, ErrMalformed) {
			t.Errorf("inventory %s: %v", name, err)
		}
		if _, err := ParseGetHeaders(p); !errors.Is(err, ErrMalformed) {
			t.Errorf("locator %s: %v", name, err)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	magic := btc.Regtest.Magic()
	f.Add(Encode(magic, "headers", EncodeHeaders([]btc.Header{{Version: 1}})))
	f.Add(Encode(magic, "inv", EncodeInventory([]Inventory{{Tx, btc.Hash{1}}})))
	f.Add(Encode(magic, "getheaders", EncodeGetHeaders([]btc.Hash{{1}, {2}})))
	f.Add(Encode(magic, "block", make([]byte, 81)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			command, payload, err := Read(r, magic)
			if err != nil {
				return
			}
			if limit, ok := maxPayload[command]; ok && uint32(len(payload)) > limit {
				t.Fatalf("%q of %d bytes", command, len(payload))
			}
			if hs, err := ParseHeaders(payload); err == nil && len(payload) < 0xfd*81 && !bytes.Equal(EncodeHeaders(hs), payload) && payload[0] != 0xfd {
				t.Fatal("headers change when read back")
			}
			if inv, err := ParseInventory(payload); err == nil && payload[0] != 0xfd && !bytes.Equal(EncodeInventory(inv), payload) {
				t.Fatal("inventory changes when read back")
			}
			_, _ = ParseGetHeaders(payload)
		}
	})
}
