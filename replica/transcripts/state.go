package transcripts

import (
	"encoding/binary"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// The machine's keys. All records are of codec.
const (
	prefix        = "transcripts/"
	epochPrefix   = prefix + "e/" // epoch, 8 bytes → epochRecord
	roundPrefix   = prefix + "r/" // key, a zero byte, epoch and serial, 8 bytes each → round
	counterPrefix = prefix + "k/" // key → counter
	madePrefix    = prefix + "m/" // as dealings, without the stage → [][][]byte: by sharing, over all stages that are made, the encoded transcripts
	dealingPrefix = prefix + "d/" // key, a zero byte, epoch, serial, stage (1 byte) → dealt, which may be large
)

// Light are the prefixes of records that a copy of the state for a Driver holds. The others, which are large, are read where the copy was made.
var Light = []string{epochPrefix, roundPrefix, counterPrefix}

// Heavy are the prefixes of the large records.
var Heavy = []string{madePrefix, dealingPrefix}

// epochRecord is who holds the shares of an epoch.
type epochRecord struct {
	_       struct{} `cbor:",toarray"`
	Opened  uint64   // height at which it was opened; one that was closed and opened again has other receivers' keys
	Life    []byte   // of the subnet, 32 bytes, when it was opened
	Closed  bool     // it is over, and all that follows is empty
	Nodes   []uint32 // by seat
	Keys    [][]byte // node keys by seat
	Members [][]byte // idkg.Member by seat, empty before the node registered its key
}

// purpose is what a round is for.
type purpose uint8

const (
	generation purpose = 1 + iota // of a key
	resharing                     // of a key, from another epoch
	presigning                    // presignatures
)

// round is some sharings that are made together, in one stage or in two that build on each other.
type round struct {
	_       struct{} `cbor:",toarray"`
	Purpose purpose
	Life    []byte   // of the subnet, 32 bytes, in which it was made
	From    uint64   // epoch of the dealers
	Try     uint64   // of a key: how many rounds were given up before
	Count   int      // secrets of each sharing
	Stage   int      // that is being made; equal to the number of stages when the round is complete
	Started uint64   // height at which the stage began
	Serves  []uint64 // of presignatures, by index: the request that it serves, 0 when it is free, spent when it is used up
	Accused []uint32 // nodes convicted for dealings in this round
}

// spent is no request.
const spent = ^uint64(0)

// counter is a key's, over all epochs.
type counter struct {
	_      struct{} `cbor:",toarray"`
	Epoch  uint64
	Next   uint64            // serial of the next presignature of the epoch
	Absent map[uint32]uint64 // nodes whose dealing did not come in their turn: until which height others do not wait for them
}

// dealt are the dealings of a stage, by sharing, as a block carried them.
type dealt struct {
	_        struct{} `cbor:",toarray"`
	Dealings [][][]byte
}

func load[T any](r kv.Reader, key string) (T, bool) { return kv.Record[T](r, []byte(key)) }

func save(s kv.Store, key string, v any) { s.Set([]byte(key), codec.Marshal(v)) }

func epochKey(epoch uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(epochPrefix), epoch))
}

// place names a round.
type place struct {
	key    string
	epoch  uint64
	serial uint64 // of the first secret; zero is the key itself
}

func (p place) suffix() []byte {
	b := append([]byte(p.key), 0)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.epoch), p.serial)
}

func (p place) record() string { return roundPrefix + string(p.suffix()) }

func (p place) made() string { return madePrefix + string(p.suffix()) }

// made are the encoded transcripts of a round, by sharing.
func made(r kv.Reader, p place) [][][]byte {
	v, _ := load[[][][]byte](r, p.made())
	return v
}

func (p place) dealings(stage int) string {
	return dealingPrefix + string(append(p.suffix(), byte(stage)))
}

// rounds visits a key's rounds in an epoch by serial.
func rounds(r kv.Reader, key string, epoch uint64, visit func(place, round)) {
	head := append([]byte(roundPrefix+key), 0)
	head = binary.BigEndian.AppendUint64(head, epoch)
	var serials []uint64
	kv.ScanPrefix(r, head, func(k, _ []byte) bool {
		serials = append(serials, binary.BigEndian.Uint64(k[len(head):]))
		return true
	})
	for _, serial := range serials {
		p := place{key, epoch, serial}
		if v, ok := load[round](r, p.record()); ok {
			visit(p, v)
		}
	}
}

// drop removes a round with its dealings.
func drop(s kv.Store, p place) {
	s.Delete([]byte(p.record()))
	s.Delete([]byte(p.made()))
	for stage := range 2 {
		s.Delete([]byte(p.dealings(stage)))
	}
}
