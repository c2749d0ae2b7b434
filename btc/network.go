package btc

import "fmt"

// Network names one of the Bitcoin networks.
type Network uint8

// The networks. What the Bitcoin canister calls "testnet" is Testnet4 (BIP94).
const (
	Mainnet Network = iota + 1
	Testnet4
	Signet
	Regtest
)

// encoding holds what an address and a connection of a network look like. Sources: Bitcoin Core, kernel/chainparams.cpp.
type encoding struct {
	name        string
	hrp         string
	p2pkh, p2sh byte
	magic       uint32
	port        uint16
	development bool
}

var encodings = [...]encoding{
	Mainnet:  {"mainnet", "bc", 0x00, 0x05, 0xd9b4bef9, 8333, false},
	Testnet4: {"testnet4", "tb", 0x6f, 0xc4, 0x283f161c, 48333, false},
	Signet:   {"signet", "tb", 0x6f, 0xc4, 0x40cf030a, 38333, false},
	Regtest:  {"regtest", "bcrt", 0x6f, 0xc4, 0xdab5bffa, 18444, true},
}

func (n Network) enc() encoding {
	if !n.Valid() {
		panic(fmt.Sprintf("btc: no network %d", uint8(n)))
	}
	return encodings[n]
}

// Valid tells whether n is one of the constants above.
func (n Network) Valid() bool { return n >= Mainnet && n <= Regtest }

// String is the network's name: mainnet, testnet4, signet or regtest.
func (n Network) String() string {
	if !n.Valid() {
		return fmt.Sprintf("network(%d)", uint8(n))
	}
	return encodings[n].name
}

// HRP is the human-readable part of the network's segwit addresses (BIP173).
func (n Network) HRP() string { return n.enc().hrp }

// Magic starts each P2P message, read as a little-endian number.
func (n Network) Magic() uint32 { return n.enc().magic }

// Port is the default P2P port.
func (n Network) Port() uint16 { return n.enc().port }

// Development tells whether the network is private to its user, so that its coins are worth nothing by construction. A subnet
// of class local speaks to no other kind.
func (n Network) Development() bool { return n.enc().development }

// ParseNetwork reads a name as String prints it; "testnet" is Testnet4.
func ParseNetwork(name string) (Network, error) {
	if name == "testnet" {
		return Testnet4, nil
	}
	for n := Mainnet; n <= Regtest; n++ {
		if encodings[n].name == name {
			return n, nil
		}
	}
	return 0, fmt.Errorf("unknown bitcoin network %q: want mainnet, testnet4, signet or regtest", name)
}
