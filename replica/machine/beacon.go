package machine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"fusion/chainkey/bls"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/execution"
)

// The random beacon of a height is the BLS signature over it: nobody knows it before 2f+1 replicas have committed that height,
// and nobody can choose it. It is made only for heights that something waits for. A request of height h uses beacon h+1,
// whichever block carries that (SECURITY: known only after the request is ordered).
//
// Keys: "beacon/" height → signature; "rand/" call id → height whose beacon answers it.

type beaconItem struct {
	_         struct{} `cbor:",toarray"`
	Height    uint64
	Signature []byte
}

// BeaconPayload is what the replicas sign for a height, in the beacon's domain.
func (m *Machine) BeaconPayload(height uint64) []byte {
	return binary.BigEndian.AppendUint64(m.life[:], height)
}

// EncodeBeacon makes the block item of a combined signature.
func EncodeBeacon(height uint64, signature []byte) []byte {
	return codec.Marshal(beaconItem{Height: height, Signature: signature})
}

func (m *Machine) checkBeacon(raw []byte) (uint64, error) {
	var it beaconItem
	if err := codec.Unmarshal(raw, &it); err != nil {
		return 0, fmt.Errorf("beacon: %w", err)
	}
	if it.Height > m.db.Head().Height {
		return 0, fmt.Errorf("beacon of height %d after block %d", it.Height, m.db.Head().Height)
	}
	if err := m.group.Verify(bls.Message(bls.DomainBeacon, m.BeaconPayload(it.Height)), it.Signature); err != nil {
		return 0, fmt.Errorf("beacon of height %d: %w", it.Height, err)
	}
	return it.Height, nil
}

func beaconKey(h uint64) []byte { return binary.BigEndian.AppendUint64([]byte("beacon/"), h) }

func (m *Machine) takeBeacon(mac kv.Store, h uint64, raw []byte) {
	var it beaconItem
	if err := codec.Unmarshal(raw, &it); err != nil {
		panic(fmt.Sprintf("machine: a checked beacon does not decode: %v", err))
	}
	mac.Set(beaconKey(h), it.Signature)
}

// beacon returns the randomness of a height, if it is there.
func beacon(mac kv.Reader, h uint64) ([32]byte, bool) {
	sig, ok := mac.Get(beaconKey(h))
	if !ok {
		return [32]byte{}, false
	}
	return sha256.Sum256(append([]byte("fusion/beacon/v1"), sig...)), true
}

func randKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte("rand/"), id) }

// answerRandom answers the raw_rand calls whose beacon is there. Each call gets bytes of its own.
func (m *Machine) answerRandom(mac kv.Store) (out []execution.SystemResponse) {
	for _, e := range take(mac, "rand/") {
		b, ok := beacon(mac, binary.BigEndian.Uint64(e.value))
		if !ok {
			mac.Set(append([]byte("rand/"), e.key...), e.value)
			continue
		}
		h := sha256.New()
		h.Write([]byte("fusion/raw_rand/v1"))
		h.Write(b[:])
		h.Write(e.key)
		out = append(out, execution.SystemResponse{ID: binary.BigEndian.Uint64(e.key), Random: h.Sum(nil)})
	}
	return out
}

// wantedBeacons are the heights that something in the state waits for and that are committed.
func (m *Machine) wantedBeacons(mac kv.Reader, head uint64) (out []uint64) {
	seen := map[uint64]bool{}
	want := func(h uint64) {
		if _, have := mac.Get(beaconKey(h)); h <= head && !have && !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	for _, h := range m.sign.NeedBeacon(m.SigningReader()) {
		want(h)
	}
	kv.ScanPrefix(mac, []byte("rand/"), func(_, v []byte) bool { want(binary.BigEndian.Uint64(v)); return true })
	return out
}

// dropBeacons forgets beacons that nothing can ask for any more.
func (m *Machine) dropBeacons(mac kv.Store, height uint64) {
	if height <= beaconsKept {
		return
	}
	var old [][]byte
	mac.Scan([]byte("beacon/"), beaconKey(height-beaconsKept), func(k, _ []byte) bool { old = append(old, bytes.Clone(k)); return true })
	for _, k := range old {
		mac.Delete(k)
	}
}

// beaconsKept is for how many blocks a beacon stays: far longer than any request waits.
const beaconsKept = 100_000
