package signing

import (
	"encoding/binary"
	"fmt"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// The machine's keys. All records are of codec.
const (
	prefix          = "signing/"
	nodePrefix      = prefix + "n/" // node index, 4 bytes → nodeRecord
	edgePrefix      = prefix + "e/" // two node indices, ascending → edgeRecord
	keyPrefix       = prefix + "k/" // chainkey.KeyID → keyRecord
	requestPrefix   = prefix + "r/" // request id, 8 bytes → requestRecord
	complaintPrefix = prefix + "c/" // sequence number, 8 bytes → complaintRecord, the newest of those without evidence
	convictPrefix   = prefix + "p/" // sequence number, 8 bytes → complaintRecord, the newest of those with evidence
	bindingPrefix   = prefix + "b/" // request id, 8 bytes → binding
	messagePrefix   = prefix + "m/" // request id, 8 bytes → chainkey.Message, which may be long
)

// nodeRecord is what is known of a node.
type nodeRecord struct {
	_           struct{} `cbor:",toarray"`
	Number      uint64   // of the newest incarnation; 0 before the first
	Incarnation []byte   // 16 bytes, or empty
	Suspicion   uint32   // failed attempts it was accused of since it last took part in a good one
	Until       uint64   // height at which Suspicion is forgotten
	Key         []byte   // node key of a node that the genesis document does not have
	Left        bool     // it is a member no more, and says nothing that counts
	Protocol    uint64   // the newest version of the protocol that its newest incarnation knows
}

// edgeRecord is a dispute between two nodes.
type edgeRecord struct {
	_     struct{} `cbor:",toarray"`
	Until uint64   // height from which it counts no more
}

// attemptRecord is one try of a committee.
type attemptRecord struct {
	_            struct{} `cbor:",toarray"`
	Number       uint32
	Started      uint64
	Deadline     uint64
	Committee    []uint32
	Incarnations [][]byte
	Complained   []uint32 // members that complained
	Failure      string   // why it ended; empty while it runs
}

// KeyStatus is where a key stands.
type KeyStatus uint8

// The states of a key.
const (
	KeyPending    KeyStatus = iota // waits for all nodes to announce themselves, or for its turn
	KeyGenerating                  // an attempt is running
	KeyActivating                  // some nodes stored their shares and voted
	KeyActive                      // all nodes did; the key signs
	KeyPrepared                    // of a handover: all new members did
)

type voteRecord struct {
	_          struct{} `cbor:",toarray"`
	Public     []byte   // empty before the vote
	Transcript []byte
	Shares     []byte // hash of the public shares
}

type keyRecord struct {
	_         struct{} `cbor:",toarray"`
	Status    KeyStatus
	Epoch     uint64
	Attempt   attemptRecord
	NotBefore uint64 // height at which the next attempt may start
	Votes     []voteRecord
	Public    []byte // of an active key
	Activated uint64
	Members   []uint32   // nodes of the epoch, by seat
	Shares    [][]byte   // public shares of the epoch, by seat
	Next      *handover  // to the next epoch, while it is prepared
	Previous  *oldShares // of the epoch before, until they are wiped
}

// handover is the resharing of an active key to the members of the next epoch.
type handover struct {
	_         struct{} `cbor:",toarray"`
	Epoch     uint64
	Members   []uint32
	Status    KeyStatus
	Ready     []bool // by seat: the node has what it needs to take part
	Attempt   attemptRecord
	Dealers   []uint32 // of the attempt
	NotBefore uint64
	Votes     []voteRecord // by seat
	Shares    [][]byte     // of a prepared epoch
	Failed    string       // why it is given up
}

// oldShares names shares that were replaced.
type oldShares struct {
	_       struct{} `cbor:",toarray"`
	Epoch   uint64
	Attempt uint32
	Members []uint32
	Wipe    uint64 // height from which they are wiped
}

// RequestStatus is where a request stands.
type RequestStatus uint8

// The states of a request.
const (
	RequestWaiting RequestStatus = iota // for the beacon of the height after its own
	RequestReady                        // for one of the slots for concurrent attempts
	RequestActive                       // a committee is at it
)

type requestRecord struct {
	_        struct{} `cbor:",toarray"`
	Key      string
	Canister []byte
	Path     [][]byte
	Digest   []byte // of the message, which is stored apart
	Height   uint64
	Status   RequestStatus
	Seed     []byte // the beacon
	Next     uint32 // number of the next attempt
	Current  attemptRecord
	Previous attemptRecord
}

func load[T any](r kv.Reader, key string) (T, bool) { return kv.Record[T](r, []byte(key)) }

func save(s kv.Store, key string, v any) { s.Set([]byte(key), codec.Marshal(v)) }

func nodeKey(node int) string {
	return string(binary.BigEndian.AppendUint32([]byte(nodePrefix), uint32(node)))
}

func edgeKey(a, b int) string {
	return string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte(edgePrefix), uint32(min(a, b))), uint32(max(a, b))))
}

func requestKey(id uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(requestPrefix), id))
}

func messageKey(id uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(messagePrefix), id))
}

// requests lists the open requests by id.
func requests(r kv.Reader) (ids []uint64, records []requestRecord) {
	kv.ScanPrefix(r, []byte(requestPrefix), func(key, value []byte) bool {
		var v requestRecord
		if err := codec.Unmarshal(value, &v); err != nil {
			panic(fmt.Sprintf("signing: damaged state under %q: %v", key, err))
		}
		ids = append(ids, binary.BigEndian.Uint64(key[len(requestPrefix):]))
		records = append(records, v)
		return true
	})
	return ids, records
}
