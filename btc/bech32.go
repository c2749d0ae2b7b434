package btc

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Segwit addresses: BIP173 (bech32) and BIP350 (bech32m).

const (
	bech32Alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32Const    = 1          // BIP173
	bech32mConst   = 0x2bc830a3 // BIP350
	bech32MaxLen   = 90
)

var bech32Digit = func() (d [128]int8) {
	for i := range d {
		d[i] = -1
	}
	for i, c := range bech32Alphabet {
		d[c] = int8(i)
	}
	return d
}()

func bech32Polymod(chk uint32, v byte) uint32 {
	top := chk >> 25
	chk = (chk&0x1ffffff)<<5 ^ uint32(v)
	for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
		if top>>i&1 == 1 {
			chk ^= g
		}
	}
	return chk
}

func bech32Checksum(hrp string, data []byte) uint32 {
	chk := uint32(1)
	for i := range len(hrp) {
		chk = bech32Polymod(chk, hrp[i]>>5)
	}
	chk = bech32Polymod(chk, 0)
	for i := range len(hrp) {
		chk = bech32Polymod(chk, hrp[i]&31)
	}
	for _, d := range data {
		chk = bech32Polymod(chk, d)
	}
	return chk
}

// bech32Decode splits text into its human-readable part and five-bit digits without the checksum, and returns the checksum's
// constant, which tells bech32 from bech32m.
func bech32Decode(text string) (hrp string, digits []byte, constant uint32, err error) {
	if len(text) > bech32MaxLen {
		return "", nil, 0, fmt.Errorf("%w: %d characters, at most %d", ErrAddress, len(text), bech32MaxLen)
	}
	lower := strings.ToLower(text)
	if lower != text && strings.ToUpper(text) != text {
		return "", nil, 0, fmt.Errorf("%w: mixed case", ErrAddress)
	}
	sep := strings.LastIndexByte(lower, '1')
	if sep < 1 || len(lower)-sep-1 < 6 {
		return "", nil, 0, fmt.Errorf("%w: no human-readable part or too short", ErrAddress)
	}
	hrp = lower[:sep]
	for _, c := range []byte(hrp) {
		if c < 33 || c > 126 {
			return "", nil, 0, fmt.Errorf("%w: character %#x", ErrAddress, c)
		}
	}
	digits = make([]byte, 0, len(lower)-sep-1)
	for _, c := range []byte(lower[sep+1:]) {
		if c >= 128 || bech32Digit[c] < 0 {
			return "", nil, 0, fmt.Errorf("%w: character %q", ErrAddress, c)
		}
		digits = append(digits, byte(bech32Digit[c]))
	}
	return hrp, digits[:len(digits)-6], bech32Checksum(hrp, digits), nil
}

func bech32Encode(hrp string, digits []byte, constant uint32) string {
	chk := bech32Checksum(hrp, append(digits[:len(digits):len(digits)], make([]byte, 6)...)) ^ constant
	var s strings.Builder
	s.WriteString(hrp)
	s.WriteByte('1')
	for _, d := range digits {
		s.WriteByte(bech32Alphabet[d])
	}
	for i := range 6 {
		s.WriteByte(bech32Alphabet[chk>>(5*(5-i))&31])
	}
	return s.String()
}

// regroup turns groups of from bits into groups of to bits. Without pad, left-over bits must be fewer than a group and zero.
func regroup(in []byte, from, to uint, pad bool) ([]byte, bool) {
	var acc uint32
	var n uint
	out := make([]byte, 0, (len(in)*int(from)+int(to)-1)/int(to))
	for _, b := range in {
		acc = acc<<from | uint32(b)
		for n += from; n >= to; {
			n -= to
			out = append(out, byte(acc>>n&(1<<to-1)))
		}
		acc &= 1<<n - 1
	}
	if pad {
		if n > 0 {
			out = append(out, byte(acc<<(to-n)))
		}
		return out, true
	}
	return out, n < from && acc == 0
}

// decodeSegwit reads a segwit address of any network.
func decodeSegwit(text string) (hrp string, version byte, program []byte, err error) {
	hrp, digits, constant, err := bech32Decode(text)
	if err != nil {
		return "", 0, nil, err
	}
	if constant != bech32Const && constant != bech32mConst {
		return hrp, 0, nil, fmt.Errorf("%w of %q", ErrAddressChecksum, clip(text))
	}
	if len(digits) == 0 || digits[0] > 16 {
		return hrp, 0, nil, fmt.Errorf("%w: no witness version of 0 to 16", ErrAddress)
	}
	version = digits[0]
	program, ok := regroup(digits[1:], 5, 8, false)
	if !ok || len(program) < 2 || len(program) > 40 {
		return hrp, 0, nil, fmt.Errorf("%w: witness program of odd length", ErrAddress)
	}
	if version == 0 != (constant == bech32Const) {
		return hrp, 0, nil, fmt.Errorf("%w: witness version %d with the other version's checksum", ErrAddressChecksum, version)
	}
	if version == 0 && len(program) != 20 && len(program) != 32 {
		return hrp, 0, nil, fmt.Errorf("%w: version 0 program of %d bytes", ErrAddress, len(program))
	}
	return hrp, version, program, nil
}

func encodeSegwit(hrp string, version byte, program []byte) string {
	digits, _ := regroup(program, 8, 5, true)
	constant := uint32(bech32mConst)
	if version == 0 {
		constant = bech32Const
	}
	return bech32Encode(hrp, append([]byte{version}, digits...), constant)
}

// Base58Check, as version 1 of addresses uses it: one version byte, a 20-byte hash, four bytes of double SHA-256.

const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// decodeBase58Check reads version ‖ hash. All inputs that can be an address have 25 bytes and at most 35 characters.
func decodeBase58Check(text string) (version byte, hash [20]byte, err error) {
	var raw [25]byte
	if len(text) > 35 {
		return 0, hash, fmt.Errorf("%w %q: too long", ErrAddress, clip(text))
	}
	zeros, leading := 0, true
	for _, c := range []byte(text) {
		d := strings.IndexByte(base58Alphabet, c)
		if d < 0 {
			return 0, hash, fmt.Errorf("%w: character %q", ErrAddress, c)
		}
		if leading = leading && d == 0; leading {
			zeros++
		}
		carry := d
		for i := len(raw) - 1; i >= 0; i-- {
			carry += int(raw[i]) * 58
			raw[i] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return 0, hash, fmt.Errorf("%w %q: too long", ErrAddress, clip(text))
		}
	}
	rawZeros := 0
	for rawZeros < len(raw) && raw[rawZeros] == 0 {
		rawZeros++
	}
	if rawZeros != zeros { // also every text shorter than 25 bytes
		return 0, hash, fmt.Errorf("%w %q", ErrAddress, clip(text))
	}
	first := sha256.Sum256(raw[:21])
	sum := sha256.Sum256(first[:])
	if string(sum[:4]) != string(raw[21:]) {
		return 0, hash, fmt.Errorf("%w of %q", ErrAddressChecksum, clip(text))
	}
	return raw[0], [20]byte(raw[1:21]), nil
}

func encodeBase58Check(version byte, hash []byte) string {
	raw := append([]byte{version}, hash...)
	sum := DoubleSHA256(raw)
	raw = append(raw, sum[:4]...)
	var out []byte
	for start := 0; start < len(raw); {
		rem := 0
		for i := start; i < len(raw); i++ {
			rem = rem<<8 | int(raw[i])
			raw[i] = byte(rem / 58)
			rem %= 58
		}
		out = append(out, base58Alphabet[rem])
		for start < len(raw) && raw[start] == 0 {
			start++
		}
	}
	orig := append([]byte{version}, hash...)
	for i := 0; i < len(orig) && orig[i] == 0; i++ {
		out = append(out, '1')
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}
