package bitcoin

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/wire"

	"fusion/btc"
)

// The P2P message format: magic, command, length, checksum, payload.

const (
	messageHeader   = 24
	protocolVersion = 70016 // what Bitcoin Core and btcd speak: sendheaders, witnesses
	minVersion      = 70012 // sendheaders (BIP130)
)

var (
	errMagic     = errors.New("message of another network")
	errChecksum  = errors.New("message with a wrong checksum")
	errTooLong   = errors.New("message is too long for its kind")
	errMalformed = errors.New("malformed message")
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
	wire.CmdAddr:       9 + wire.MaxAddrPerMsg*30,
}

// skipLimit is the longest message that is skipped rather than taken for an attack (Bitcoin Core, MAX_PROTOCOL_MESSAGE_LENGTH).
const skipLimit = 4_000_000

// readMessage reads the next message; payload is nil for commands that nobody here wants.
func readMessage(r io.Reader, magic uint32) (command string, payload []byte, err error) {
	var h [messageHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return "", nil, err
	}
	if binary.LittleEndian.Uint32(h[:]) != magic {
		return "", nil, errMagic
	}
	command = string(bytes.TrimRight(h[4:16], "\x00"))
	size := binary.LittleEndian.Uint32(h[16:])
	limit, wanted := maxPayload[command]
	if !wanted {
		if size > skipLimit {
			return command, nil, fmt.Errorf("%w: %q of %d bytes", errTooLong, command, size)
		}
		_, err := io.CopyN(io.Discard, r, int64(size))
		return command, nil, err
	}
	if size > limit {
		return command, nil, fmt.Errorf("%w: %q of %d bytes", errTooLong, command, size)
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return command, nil, err
	}
	if sum := btc.DoubleSHA256(payload); !bytes.Equal(sum[:4], h[20:]) {
		return command, nil, fmt.Errorf("%w: %q", errChecksum, command)
	}
	return command, payload, nil
}

func encodeMessage(magic uint32, command string, payload []byte) []byte {
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
		return 0, nil, errMalformed
	}
	n, rest := int(p[0]), p[1:]
	switch {
	case p[0] == 0xfd && len(p) >= 3:
		n, rest = int(binary.LittleEndian.Uint16(p[1:])), p[3:]
	case p[0] >= 0xfd:
		return 0, nil, errMalformed
	}
	if len(rest) != n*size {
		return 0, nil, fmt.Errorf("%w: %d bytes for %d items", errMalformed, len(rest), n)
	}
	return n, rest, nil
}

func parseHeaders(p []byte) ([]btc.Header, error) {
	n, p, err := readCount(p, btc.HeaderSize+1)
	if err != nil {
		return nil, err
	}
	if n > wire.MaxBlockHeadersPerMsg {
		return nil, fmt.Errorf("%w: %d headers", errMalformed, n)
	}
	out := make([]btc.Header, n)
	for i := range out {
		if p[btc.HeaderSize] != 0 {
			return nil, fmt.Errorf("%w: header with transactions", errMalformed)
		}
		if out[i], err = btc.ParseHeader(p[:btc.HeaderSize]); err != nil {
			return nil, err
		}
		p = p[btc.HeaderSize+1:]
	}
	return out, nil
}

func encodeHeaders(hs []btc.Header) []byte {
	b := compact(nil, len(hs))
	for _, h := range hs {
		raw := h.Bytes()
		b = append(append(b, raw[:]...), 0)
	}
	return b
}

// inventory is an entry of inv, getdata and notfound.
type inventory struct {
	kind uint32
	hash btc.Hash
}

const (
	invTx           = 1
	invBlock        = 2
	invWitness      = 1 << 30
	invWitnessBlock = invBlock | invWitness
)

func parseInventory(p []byte) ([]inventory, error) {
	n, p, err := readCount(p, 36)
	if err != nil {
		return nil, err
	}
	if n > wire.MaxInvPerMsg {
		return nil, fmt.Errorf("%w: %d inventory entries", errMalformed, n)
	}
	out := make([]inventory, n)
	for i := range out {
		out[i] = inventory{binary.LittleEndian.Uint32(p), btc.Hash(p[4:36])}
		p = p[36:]
	}
	return out, nil
}

func encodeInventory(items []inventory) []byte {
	b := compact(nil, len(items))
	for _, it := range items {
		b = append(binary.LittleEndian.AppendUint32(b, it.kind), it.hash[:]...)
	}
	return b
}

func encodeGetHeaders(locator []btc.Hash) []byte {
	b := binary.LittleEndian.AppendUint32(nil, protocolVersion)
	b = compact(b, len(locator))
	for _, h := range locator {
		b = append(b, h[:]...)
	}
	return append(b, make([]byte, 32)...)
}

func parseGetHeaders(p []byte) ([]btc.Hash, error) {
	if len(p) < 4+1+32 {
		return nil, errMalformed
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

// parseWire decodes one of the rarer messages with btcd's codec.
func parseWire[M wire.Message](m M, p []byte) (M, error) {
	// MsgVersion insists on a buffer.
	if err := m.BtcDecode(bytes.NewBuffer(p), protocolVersion, wire.BaseEncoding); err != nil {
		return m, fmt.Errorf("%w: %s: %w", errMalformed, m.Command(), err)
	}
	return m, nil
}

func encodeWire(m wire.Message) ([]byte, error) {
	var b bytes.Buffer
	err := m.BtcEncode(&b, protocolVersion, wire.BaseEncoding)
	return b.Bytes(), err
}
