// Package p2p is the message format of the Bitcoin P2P protocol, as far as the adapter and the embedded node need it: framing with
// bounds before allocation, headers, inventories and locators. Rarer messages are decoded by btcd's wire package.
package p2p

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/btcsuite/btcd/wire"

	"fusion/btc"
)

const (
	// ProtocolVersion is what Bitcoin Core and btcd speak: witnesses, announcements by headers.
	ProtocolVersion = 70016
	// MinVersion is the first version with sendheaders (BIP130).
	MinVersion = 70012

	messageHeader = 24 // magic, command, length, checksum
)

// Errors of reading. None of them comes from an honest peer of the same network.
var (
	ErrMagic     = errors.New("message of another network")
	ErrChecksum  = errors.New("message with a wrong checksum")
	ErrTooLong   = errors.New("message is too long for its kind")
	ErrMalformed = errors.New("malformed message")
)

// maxPayload bounds what is read into memory for a command; commands without an entry are skipped without being kept.
var maxPayload = map[string]uint32{
	wire.CmdVersion:    4096,
	wire.CmdVerAck:     0,
	wire.CmdPing:       8,
	wire.CmdPong:       8,
	wire.CmdHeaders:    3 + wire.MaxBlockHeadersPerMsg*(btc.HeaderSize+1),
	wire.CmdInv:        9 + wire.MaxInvPerMsg*36,
	wire.CmdGetData:    9 + wire.MaxInvPerMsg*36,
	wire.CmdNotFound:   9 + wire.MaxInvPerMsg*36,
	wire.CmdGetHeaders: 4 + 9 + (wire.MaxBlockLocatorsPerMsg+1)*32,
	wire.CmdBlock:      btc.MaxBlockWeight,
	wire.CmdReject:     1024,
	wire.CmdTx:         btc.MaxStandardTxWeight,
	wire.CmdMemPool:    0,
	wire.CmdAddr:       9 + wire.MaxAddrPerMsg*30,
}

// skipLimit is the longest message that is skipped rather than taken for an attack (Bitcoin Core, MAX_PROTOCOL_MESSAGE_LENGTH).
const skipLimit = 4_000_000

// Read reads the next message; payload is nil for commands that nobody here wants.
func Read(r io.Reader, magic uint32) (command string, payload []byte, err error) {
	var h [messageHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return "", nil, err
	}
	if binary.LittleEndian.Uint32(h[:]) != magic {
		return "", nil, ErrMagic
	}
	command = string(bytes.TrimRight(h[4:16], "\x00"))
	size := binary.LittleEndian.Uint32(h[16:])
	limit, wanted := maxPayload[command]
	if !wanted {
		if size > skipLimit {
			return command, nil, fmt.Errorf("%w: %q of %d bytes", ErrTooLong, command, size)
		}
		_, err := io.CopyN(io.Discard, r, int64(size))
		return command, nil, err
	}
	if size > limit {
		return command, nil, fmt.Errorf("%w: %q of %d bytes", ErrTooLong, command, size)
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return command, nil, err
	}
	if sum := btc.DoubleSHA256(payload); !bytes.Equal(sum[:4], h[20:]) {
		return command, nil, fmt.Errorf("%w: %q", ErrChecksum, command)
	}
	return command, payload, nil
}

// Encode frames a payload.
func Encode(magic uint32, command string, payload []byte) []byte {
	b := make([]byte, messageHeader, messageHeader+len(payload))
	binary.LittleEndian.PutUint32(b, magic)
	copy(b[4:16], command)
	binary.LittleEndian.PutUint32(b[16:], uint32(len(payload)))
	sum := btc.DoubleSHA256(payload)
	copy(b[20:], sum[:4])
	return append(b, payload...)
}

// compact appends a CompactSize below 2¹⁶.
func compact(b []byte, n int) []byte {
	if n < 0xfd {
		return append(b, byte(n))
	}
	return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
}

// readCount takes the count off a payload that holds nothing but count items of size bytes.
func readCount(p []byte, size int) (int, []byte, error) {
	if len(p) == 0 {
		return 0, nil, ErrMalformed
	}
	n, rest := int(p[0]), p[1:]
	switch {
	case p[0] == 0xfd && len(p) >= 3:
		n, rest = int(binary.LittleEndian.Uint16(p[1:])), p[3:]
	case p[0] >= 0xfd:
		return 0, nil, ErrMalformed
	}
	if len(rest) != n*size {
		return 0, nil, fmt.Errorf("%w: %d bytes for %d items", ErrMalformed, len(rest), n)
	}
	return n, rest, nil
}

// ParseHeaders reads the payload of a headers message.
func ParseHeaders(p []byte) ([]btc.Header, error) {
	n, p, err := readCount(p, btc.HeaderSize+1)
	if err != nil {
		return nil, err
	}
	if n > wire.MaxBlockHeadersPerMsg {
		return nil, fmt.Errorf("%w: %d headers", ErrMalformed, n)
	}
	out := make([]btc.Header, n)
	for i := range out {
		if p[btc.HeaderSize] != 0 {
			return nil, fmt.Errorf("%w: header with transactions", ErrMalformed)
		}
		if out[i], err = btc.ParseHeader(p[:btc.HeaderSize]); err != nil {
			return nil, err
		}
		p = p[btc.HeaderSize+1:]
	}
	return out, nil
}

// EncodeHeaders is the payload of a headers message of at most 2,000 headers.
func EncodeHeaders(hs []btc.Header) []byte {
	b := compact(nil, len(hs))
	for _, h := range hs {
		raw := h.Bytes()
		b = append(append(b, raw[:]...), 0)
	}
	return b
}

// Inventory is an entry of inv, getdata and notfound.
type Inventory struct {
	Kind uint32
	Hash btc.Hash
}

// Kinds of inventory. Witness is a flag of the others in getdata.
const (
	Tx           = 1
	Block        = 2
	Witness      = 1 << 30
	WitnessTx    = Tx | Witness
	WitnessBlock = Block | Witness
)

// ParseInventory reads the payload of inv, getdata and notfound.
func ParseInventory(p []byte) ([]Inventory, error) {
	n, p, err := readCount(p, 36)
	if err != nil {
		return nil, err
	}
	if n > wire.MaxInvPerMsg {
		return nil, fmt.Errorf("%w: %d Inventory entries", ErrMalformed, n)
	}
	out := make([]Inventory, n)
	for i := range out {
		out[i] = Inventory{binary.LittleEndian.Uint32(p), btc.Hash(p[4:36])}
		p = p[36:]
	}
	return out, nil
}

// EncodeInventory is the payload of inv, getdata and notfound.
func EncodeInventory(items []Inventory) []byte {
	b := compact(nil, len(items))
	for _, it := range items {
		b = append(binary.LittleEndian.AppendUint32(b, it.Kind), it.Hash[:]...)
	}
	return b
}

// EncodeGetHeaders asks for what follows the first known block of the locator.
func EncodeGetHeaders(locator []btc.Hash) []byte {
	b := binary.LittleEndian.AppendUint32(nil, ProtocolVersion)
	b = compact(b, len(locator))
	for _, h := range locator {
		b = append(b, h[:]...)
	}
	return append(b, make([]byte, 32)...)
}

// ParseGetHeaders reads the locator of a getheaders message.
func ParseGetHeaders(p []byte) ([]btc.Hash, error) {
	if len(p) < 4+1+32 {
		return nil, ErrMalformed
	}
	n, p, err := readCount(p[4:len(p)-32], 32)
	if err != nil {
		return nil, err
	}
	out := make([]btc.Hash, n)
	for i := range out {
		out[i] = btc.Hash(p[32*i : 32*i+32])
	}
	return out, nil
}

// DecodeWire decodes one of the rarer messages with btcd's codec.
func DecodeWire[M wire.Message](m M, p []byte) (M, error) {
	// MsgVersion insists on a buffer.
	if err := m.BtcDecode(bytes.NewBuffer(p), ProtocolVersion, wire.BaseEncoding); err != nil {
		return m, fmt.Errorf("%w: %s: %w", ErrMalformed, m.Command(), err)
	}
	return m, nil
}

// EncodeWire is the payload of a message of btcd's.
func EncodeWire(m wire.Message) ([]byte, error) {
	var b bytes.Buffer
	err := m.BtcEncode(&b, ProtocolVersion, wire.BaseEncoding)
	return b.Bytes(), err
}

// Version is the payload of the version message of a full node at the height, with further services that it offers.
func Version(agent string, nonce uint64, height uint32, more wire.ServiceFlag) ([]byte, error) {
	none := wire.NewNetAddressIPPort(net.IPv4zero, 0, 0)
	v := wire.NewMsgVersion(none, none, nonce, int32(height))
	v.UserAgent, v.ProtocolVersion = agent, ProtocolVersion
	v.Services = wire.SFNodeNetwork | wire.SFNodeWitness | more
	return EncodeWire(v)
}
