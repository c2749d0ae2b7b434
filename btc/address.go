package btc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// Errors of ParseAddress. ErrAddressChecksum, ErrAddressNetwork and ErrAddressUnsupported are told apart from ErrAddress because a
// user can act on each.
var (
	ErrAddress            = errors.New("malformed bitcoin address")
	ErrAddressChecksum    = errors.New("bitcoin address has a wrong checksum")
	ErrAddressNetwork     = errors.New("bitcoin address belongs to another network")
	ErrAddressUnsupported = errors.New("bitcoin address has a witness version that is not supported")
	ErrPublicKey          = errors.New("malformed secp256k1 public key")
)

// AddressKind says which script an address stands for.
type AddressKind uint8

// The kinds of addresses. Their numbers are stored; do not renumber.
const (
	P2PKH AddressKind = iota + 1
	P2SH
	P2WPKH
	P2WSH
	P2TR
)

var kindNames = [...]string{"none", "P2PKH", "P2SH", "P2WPKH", "P2WSH", "P2TR"}

// String names the kind, as in "P2WPKH".
func (k AddressKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// PayloadLen is the length of the hash or key in such an address: 20 or 32 bytes.
func (k AddressKind) PayloadLen() int {
	if k == P2WSH || k == P2TR {
		return 32
	}
	return 20
}

// Address is a standard output script on a network. It is comparable; the zero value is no address.
type Address struct {
	network Network
	kind    AddressKind
	payload [32]byte
}

// NewAddress makes an address from its payload, whose length must be that of the kind.
func NewAddress(network Network, kind AddressKind, payload []byte) (Address, error) {
	if !network.Valid() || kind < P2PKH || kind > P2TR || len(payload) != kind.PayloadLen() {
		return Address{}, fmt.Errorf("%w: %v on %v with %d bytes", ErrAddress, kind, network, len(payload))
	}
	a := Address{network: network, kind: kind}
	copy(a.payload[:], payload)
	return a, nil
}

// ParseAddress reads an address and checks that it belongs to the network. Base58 addresses of testnet4, signet and regtest look
// alike, so each of the three accepts them.
func ParseAddress(network Network, text string) (Address, error) {
	want := network.enc()
	if sep := strings.LastIndexByte(text, '1'); sep > 0 && looksSegwit(text[:sep]) {
		hrp, version, program, err := decodeSegwit(text)
		if err != nil {
			return Address{}, err
		}
		if hrp != want.hrp {
			return Address{}, fmt.Errorf("%w: %q starts with %q, want %q (%v)", ErrAddressNetwork, clip(text), hrp, want.hrp, network)
		}
		switch {
		case version == 0 && len(program) == 20:
			return NewAddress(network, P2WPKH, program)
		case version == 0:
			return NewAddress(network, P2WSH, program)
		case version == 1 && len(program) == 32:
			return NewAddress(network, P2TR, program)
		}
		return Address{}, fmt.Errorf("%w: version %d with %d bytes", ErrAddressUnsupported, version, len(program))
	}
	version, hash, err := decodeBase58Check(text)
	if err != nil {
		return Address{}, err
	}
	switch version {
	case want.p2pkh:
		return NewAddress(network, P2PKH, hash[:])
	case want.p2sh:
		return NewAddress(network, P2SH, hash[:])
	}
	for _, other := range encodings[Mainnet:] {
		if version == other.p2pkh || version == other.p2sh {
			return Address{}, fmt.Errorf("%w: %q is not of %v", ErrAddressNetwork, clip(text), network)
		}
	}
	return Address{}, fmt.Errorf("%w %q: version byte %#x", ErrAddress, clip(text), version)
}

// looksSegwit tells whether the part before the last '1' is the prefix of some Bitcoin network. Base58 text may hold a '1' too, but
// not after such a prefix alone in a valid address of 25 bytes.
func looksSegwit(prefix string) bool {
	prefix = strings.ToLower(prefix)
	for _, e := range encodings[Mainnet:] {
		if prefix == e.hrp {
			return true
		}
	}
	return false
}

// Network is the network that the address was made for.
func (a Address) Network() Network { return a.network }

// Kind is the kind of script.
func (a Address) Kind() AddressKind { return a.kind }

// Payload is the hash or the x-only key: 20 or 32 bytes.
func (a Address) Payload() []byte { return append([]byte(nil), a.payload[:a.kind.PayloadLen()]...) }

// IsZero tells whether a is no address.
func (a Address) IsZero() bool { return a.kind == 0 }

// String is the address in its usual text form; segwit addresses are lower case.
func (a Address) String() string {
	if a.kind == 0 {
		return "no address"
	}
	e, p := a.network.enc(), a.payload[:a.kind.PayloadLen()]
	switch a.kind {
	case P2PKH:
		return encodeBase58Check(e.p2pkh, p)
	case P2SH:
		return encodeBase58Check(e.p2sh, p)
	case P2TR:
		return encodeSegwit(e.hrp, 1, p)
	default:
		return encodeSegwit(e.hrp, 0, p)
	}
}

// Opcodes of the standard scripts (Bitcoin Core, script/script.h).
const (
	op0           = 0x00
	op1           = 0x51
	opReturn      = 0x6a
	opDup         = 0x76
	opEqual       = 0x87
	opEqualVerify = 0x88
	opHash160     = 0xa9
	opCheckSig    = 0xac
)

// Script is the output script (scriptPubKey) that pays to the address.
func (a Address) Script() []byte {
	p := a.payload[:a.kind.PayloadLen()]
	switch a.kind {
	case P2PKH:
		return append(append([]byte{opDup, opHash160, 20}, p...), opEqualVerify, opCheckSig)
	case P2SH:
		return append(append([]byte{opHash160, 20}, p...), opEqual)
	case P2WPKH:
		return append([]byte{op0, 20}, p...)
	case P2WSH:
		return append([]byte{op0, 32}, p...)
	case P2TR:
		return append([]byte{op1, 32}, p...)
	}
	return nil
}

// AddressOf recognises a standard output script. Scripts without an address (bare keys, data, future witness versions) give false.
func AddressOf(network Network, script []byte) (Address, bool) {
	kind, payload := classify(script)
	if kind == 0 {
		return Address{}, false
	}
	a := Address{network: network, kind: kind}
	copy(a.payload[:], payload)
	return a, true
}

// ScriptAddress is the kind and the payload of the address that a script pays to, without copying: the payload is a part of the script. The
// kind is 0 where there is no address.
func ScriptAddress(script []byte) (AddressKind, []byte) { return classify(script) }

func classify(s []byte) (AddressKind, []byte) {
	switch {
	case len(s) == 25 && s[0] == opDup && s[1] == opHash160 && s[2] == 20 && s[23] == opEqualVerify && s[24] == opCheckSig:
		return P2PKH, s[3:23]
	case len(s) == 23 && s[0] == opHash160 && s[1] == 20 && s[22] == opEqual:
		return P2SH, s[2:22]
	case len(s) == 22 && s[0] == op0 && s[1] == 20:
		return P2WPKH, s[2:]
	case len(s) == 34 && s[0] == op0 && s[1] == 32:
		return P2WSH, s[2:]
	case len(s) == 34 && s[0] == op1 && s[1] == 32:
		return P2TR, s[2:]
	}
	return 0, nil
}

// Unspendable tells whether no script can ever spend the output, so that it need not be kept: OP_RETURN, or longer than 10,000 bytes
// (Bitcoin Core, CScript::IsUnspendable).
func Unspendable(script []byte) bool {
	return len(script) > 0 && script[0] == opReturn || len(script) > maxScript
}

const maxScript = 10_000 // MAX_SCRIPT_SIZE

// DustLimit is the smallest amount that nodes relay to this kind of output: three times what it costs to create and spend it at
// 1 sat/vB (Bitcoin Core, policy/policy.cpp, GetDustThreshold).
func (a Address) DustLimit() Satoshi { return DustLimit(a.Script()) }

// DustLimit is Address.DustLimit for any script.
func DustLimit(script []byte) Satoshi {
	if Unspendable(script) {
		return 0
	}
	size := 8 + varIntLen(uint64(len(script))) + len(script)
	if kind, _ := classify(script); kind == P2WPKH || kind == P2WSH || kind == P2TR {
		size += 32 + 4 + 1 + 107/4 + 4
	} else {
		size += 32 + 4 + 1 + 107 + 4
	}
	return 3 * Satoshi(size)
}

// P2WPKHFromPubKey is the address of a compressed public key (33 bytes, SEC 1), which must be a point of the curve.
func P2WPKHFromPubKey(network Network, pub []byte) (Address, error) {
	h, err := keyHash(pub)
	if err != nil {
		return Address{}, err
	}
	return NewAddress(network, P2WPKH, h[:])
}

// P2PKHFromPubKey is the legacy address of a compressed public key.
func P2PKHFromPubKey(network Network, pub []byte) (Address, error) {
	h, err := keyHash(pub)
	if err != nil {
		return Address{}, err
	}
	return NewAddress(network, P2PKH, h[:])
}

func keyHash(pub []byte) ([20]byte, error) {
	if len(pub) != 33 {
		return [20]byte{}, fmt.Errorf("%w: %d bytes, want 33", ErrPublicKey, len(pub))
	}
	if _, err := secp256k1.ParsePubKey(pub); err != nil {
		return [20]byte{}, fmt.Errorf("%w: %v", ErrPublicKey, err)
	}
	return Hash160(pub), nil
}

// P2SHFromScript is the address of a redeem script (BIP16).
func P2SHFromScript(network Network, script []byte) (Address, error) {
	h := Hash160(script)
	return NewAddress(network, P2SH, h[:])
}

// P2WSHFromScript is the address of a witness script (BIP141).
func P2WSHFromScript(network Network, script []byte) (Address, error) {
	h := sha256Sum(script)
	return NewAddress(network, P2WSH, h[:])
}

// TaprootTweak commits an x-only internal key to a script tree's Merkle root, nil for none (BIP341). It returns the tweak t and
// the x-only output key P + t·G.
func TaprootTweak(internal [32]byte, merkleRoot []byte) (tweak, output [32]byte, err error) {
	p, err := secp256k1.ParsePubKey(append([]byte{2}, internal[:]...))
	if err != nil {
		return tweak, output, fmt.Errorf("%w: %v", ErrPublicKey, err)
	}
	tweak = TaggedHash("TapTweak", internal[:], merkleRoot)
	var t secp256k1.ModNScalar
	if t.SetBytes(&tweak) != 0 {
		return tweak, output, fmt.Errorf("%w: taproot tweak above the group order", ErrPublicKey)
	}
	var point, tg, q secp256k1.JacobianPoint
	p.AsJacobian(&point)
	secp256k1.ScalarBaseMultNonConst(&t, &tg)
	secp256k1.AddNonConst(&point, &tg, &q)
	if q.Z.IsZero() {
		return tweak, output, fmt.Errorf("%w: taproot output is the point at infinity", ErrPublicKey)
	}
	q.ToAffine()
	q.X.PutBytes(&output)
	return tweak, output, nil
}

// P2TRFromInternalKey is the taproot address of an x-only internal key and a script tree's Merkle root, nil for none.
func P2TRFromInternalKey(network Network, internal [32]byte, merkleRoot []byte) (Address, error) {
	_, output, err := TaprootTweak(internal, merkleRoot)
	if err != nil {
		return Address{}, err
	}
	return NewAddress(network, P2TR, output[:])
}
