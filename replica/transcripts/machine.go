package transcripts

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/internal/kv"
)

// Config is what all replicas agree on.
type Config struct {
	Keys []chainkey.KeyID // of this scheme
	// Depth is how many presignatures a key keeps ready. The default is 256 for ECDSA and 32 for Schnorr, whose queues are shorter.
	Depth int
	// StageBlocks is how many blocks a stage of presignatures may take before it is given up. The default is 120.
	StageBlocks uint64
	// Memo is shared with other machines of this replica. The default is one of its own.
	Memo *Memo
	// Network is the hash of the genesis document, to which receivers' keys are bound. Life is what took its place with the last recovery: sharings and
	// presignatures are bound to that.
	Network, Life [32]byte
	// Authentic checks a node's signature of an item whose Signature field was emptied.
	Authentic func(r kv.Reader, node uint32, domain string, unsigned any, signature []byte) error
	// Signing is what a request's shares are verified against, while it is open.
	Signing func(r kv.Reader, request uint64) (*idkg.Signing, error)
}

// Bounds of what is made at once.
const (
	maxBatch     = 16
	maxMaking    = 8         // rounds of presignatures of a key
	maxItemBytes = 704 << 10 // of one item of a block: all dealings of a stage
	absentBlocks = 500       // for which others do not wait for a dealer that missed its turn
)

// Machine is the deterministic half. It has no state but what it computed, and may be used concurrently.
type Machine struct {
	cfg Config
	*Memo
}

// Memo remembers what was computed from the same bytes before: dealings and signatures that verified above all. Machines may share it.
type Memo struct {
	mu          sync.Mutex
	rosters     map[[32]byte]*idkg.Roster
	transcripts map[[32]byte]*idkg.Transcript
	dealings    map[[32]byte]*idkg.Dealing
	made        map[[32]byte][][]byte
	good        map[[32]byte]bool
}

// NewMemo makes an empty one.
func NewMemo() *Memo {
	return &Memo{rosters: map[[32]byte]*idkg.Roster{}, transcripts: map[[32]byte]*idkg.Transcript{}, dealings: map[[32]byte]*idkg.Dealing{},
		made: map[[32]byte][][]byte{}, good: map[[32]byte]bool{}}
}

// maxGood is how many names are remembered.
const maxGood = 1024

// Verified verifies what has a name, which is a hash of all that verify looks at, unless it was good before.
func (m *Memo) Verified(name [32]byte, verify func() error) error {
	_, err := recall(m, m.good, name, maxGood, func() (bool, error) { return true, verify() })
	return err
}

// NewMachine makes a machine.
func NewMachine(cfg Config) *Machine {
	if cfg.StageBlocks == 0 {
		cfg.StageBlocks = 120
	}
	if cfg.Memo == nil {
		cfg.Memo = NewMemo()
	}
	return &Machine{cfg: cfg, Memo: cfg.Memo}
}

// recall returns what is cached, or computes it. A full cache is emptied.
func recall[T any](m *Memo, cache map[[32]byte]T, name [32]byte, most int, compute func() (T, error)) (T, error) {
	m.mu.Lock()
	v, ok := cache[name]
	m.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := compute()
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(cache) >= most {
		clear(cache)
	}
	cache[name] = v
	return v, nil
}

// OpenEpoch names the members of an epoch, whose receivers' keys are awaited from then on.
func (m *Machine) OpenEpoch(s kv.Store, height, epoch uint64, nodes []uint32, keys []ed25519.PublicKey) {
	e := epochRecord{Opened: height, Life: m.cfg.Life[:], Nodes: slices.Clone(nodes), Members: make([][]byte, len(nodes))}
	for _, k := range keys {
		e.Keys = append(e.Keys, k)
	}
	save(s, epochKey(epoch), e)
}

// CloseEpoch forgets everything of an epoch. Drivers erase its receivers' keys.
func (m *Machine) CloseEpoch(s kv.Store, epoch uint64) {
	e, ok := load[epochRecord](s, epochKey(epoch))
	if !ok || e.Closed {
		return
	}
	for _, id := range m.cfg.Keys {
		rounds(s, id.String(), epoch, func(p place, _ round) { drop(s, p) })
	}
	save(s, epochKey(epoch), epochRecord{Opened: e.Opened, Closed: true})
}

// Opened reports whether an epoch is open.
func (m *Machine) Opened(r kv.Reader, epoch uint64) bool {
	e, ok := load[epochRecord](r, epochKey(epoch))
	return ok && !e.Closed
}

// Awaited are the nodes of an epoch that have not registered their keys.
func (m *Machine) Awaited(r kv.Reader, epoch uint64) (nodes []uint32) {
	e, _ := load[epochRecord](r, epochKey(epoch))
	for seat, member := range e.Members {
		if len(member) == 0 {
			nodes = append(nodes, e.Nodes[seat])
		}
	}
	return nodes
}

// roster is the members of an epoch.
func (m *Machine) roster(r kv.Reader, epoch uint64) (*idkg.Roster, *epochRecord, error) {
	e, ok := load[epochRecord](r, epochKey(epoch))
	if !ok || e.Closed {
		return nil, nil, fmt.Errorf("epoch %d is not open", epoch)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%x %x %d %x %x", m.cfg.Network, m.cfg.Life, epoch, e.Keys, e.Members)
	roster, err := recall(m.Memo, m.rosters, [32]byte(h.Sum(nil)), 16, func() (*idkg.Roster, error) {
		var members []idkg.Member
		for seat, b := range e.Members {
			if len(b) == 0 {
				return nil, fmt.Errorf("node %d has not registered its key for epoch %d", e.Nodes[seat], epoch)
			}
			member, err := idkg.DecodeMember(b)
			if err != nil {
				return nil, err
			}
			members = append(members, member)
		}
		roster, err := idkg.NewRoster(m.cfg.Network, epoch, members)
		if err != nil {
			return nil, err
		}
		return roster.InLife(m.cfg.Life), nil
	})
	return roster, &e, err
}

func (m *Machine) transcript(b []byte) (*idkg.Transcript, error) {
	return recall(m.Memo, m.transcripts, sha256.Sum256(b), 4096, func() (*idkg.Transcript, error) { return idkg.DecodeTranscript(b) })
}

func (m *Machine) decode(list [][]byte) (out []*idkg.Transcript, err error) {
	for _, b := range list {
		t, err := m.transcript(b)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// dealing decodes and verifies a dealing. What comes out is verified and may be shared.
func (m *Machine) dealing(s *idkg.Sharing, b []byte) (*idkg.Dealing, error) {
	return recall(m.Memo, m.dealings, dealingName(s, b), maxDealings, func() (*idkg.Dealing, error) {
		d, err := idkg.DecodeDealing(b)
		if err != nil {
			return nil, err
		}
		return d, s.VerifyDealing(d)
	})
}

// maxDealings bounds those that are remembered: some rounds of the largest subnets.
const maxDealings = 256

func dealingName(s *idkg.Sharing, b []byte) [32]byte {
	id := s.ID()
	return sha256.Sum256(append(id[:], b...))
}

// dealt remembers a dealing of this node's own, which need not be verified.
func (m *Machine) dealt(s *idkg.Sharing, x *idkg.Dealing, b []byte) {
	_, _ = recall(m.Memo, m.dealings, dealingName(s, b), maxDealings, func() (*idkg.Dealing, error) { return x, nil }) // it cannot fail
}

// known is a key of this scheme by its name.
func (m *Machine) known(key string) (chainkey.KeyID, bool) {
	for _, id := range m.cfg.Keys {
		if id.String() == key {
			return id, true
		}
	}
	return chainkey.KeyID{}, false
}

// stages is in how many stages a round is made.
func (m *Machine) stages(p place, purpose purpose) int {
	id, _ := m.known(p.key)
	if purpose == generation || purpose == presigning && id.Algorithm == chainkey.EcdsaSecp256k1 {
		return 2
	}
	return 1
}

func (m *Machine) complete(p place, rd *round) bool { return rd.Stage == m.stages(p, rd.Purpose) }

// Generate begins the generation of a key, unless it is under way. The epoch's members have registered. No two rounds of a key and epoch have one number.
func (m *Machine) Generate(s kv.Store, height uint64, key chainkey.KeyID, epoch, number uint64) {
	p := place{key.String(), epoch, 0}
	if _, ok := load[round](s, p.record()); !ok {
		save(s, p.record(), round{Purpose: generation, Life: m.cfg.Life[:], From: epoch, Try: number, Count: 1, Started: height})
	}
}

// Reshare begins to hand a key on to the members of a later epoch, unless that is under way.
func (m *Machine) Reshare(s kv.Store, height uint64, key chainkey.KeyID, from, to, number uint64) {
	p := place{key.String(), to, 0}
	if _, ok := load[round](s, p.record()); !ok {
		save(s, p.record(), round{Purpose: resharing, Life: m.cfg.Life[:], From: from, Try: number, Count: 1, Started: height})
	}
}

// Abandon gives a key's round up, unless it is complete.
func (m *Machine) Abandon(s kv.Store, key string, epoch uint64) {
	p := place{key, epoch, 0}
	if rd, ok := load[round](s, p.record()); ok && !m.complete(p, &rd) {
		drop(s, p)
	}
}

// Key is the transcript of a key in an epoch; nil before it is made.
func (m *Machine) Key(r kv.Reader, key string, epoch uint64) *idkg.Transcript {
	p := place{key, epoch, 0}
	rd, ok := load[round](r, p.record())
	if !ok || !m.complete(p, &rd) {
		return nil
	}
	all := made(r, p)
	if len(all) == 0 {
		return nil // r is a view whose source has moved on
	}
	t, err := m.transcript(all[len(all)-1][0])
	if err == nil && !bytes.Equal(rd.Life, m.cfg.Life[:]) {
		var roster *idkg.Roster
		if roster, _, err = m.roster(r, epoch); err == nil {
			digest, members := t.Digest(), roster.Digest()
			t, err = recall(m.Memo, m.transcripts, sha256.Sum256(slices.Concat(digest[:], members[:])), 4096, func() (*idkg.Transcript, error) { return t.InLife(roster) })
		}
	}
	if err != nil {
		panic(fmt.Sprintf("transcripts: damaged state of key %s: %v", key, err))
	}
	return t
}

// Renew ends everything but the keys that signed when the subnet came to another life: presignatures are destroyed, since those of lost blocks may
// have served, and so is what was being made. Active says whether a key is in force in an epoch. Dealings of keys are of the old life, and not needed: members
// have stored their shares.
func (m *Machine) Renew(s kv.Store, active func(key string, epoch uint64) bool) {
	var epochs []uint64
	kv.ScanPrefix(s, []byte(epochPrefix), func(k, _ []byte) bool {
		epochs = append(epochs, binary.BigEndian.Uint64(k[len(epochPrefix):]))
		return true
	})
	for _, id := range m.cfg.Keys {
		for _, epoch := range epochs {
			rounds(s, id.String(), epoch, func(p place, rd round) {
				if rd.Purpose == presigning || !m.complete(p, &rd) || !active(p.key, epoch) {
					drop(s, p)
					return
				}
				for stage := range m.stages(p, rd.Purpose) {
					s.Delete([]byte(p.dealings(stage)))
				}
			})
		}
		if c, ok := load[counter](s, counterPrefix+id.String()); ok {
			c.Absent = nil
			save(s, counterPrefix+id.String(), c)
		}
	}
}

// sharings are those of a stage of a round: one that is made, or the one that is being made.
func (m *Machine) sharings(r kv.Reader, p place, rd *round, stage int) ([]*idkg.Sharing, error) {
	key, ok := m.known(p.key)
	if !ok || stage < 0 || stage >= m.stages(p, rd.Purpose) || stage > rd.Stage {
		return nil, fmt.Errorf("key %q has no stage %d, or not yet", p.key, stage)
	}
	receivers, _, err := m.roster(r, p.epoch)
	if err != nil {
		return nil, err
	}
	if rd.Purpose == presigning {
		k := m.Key(r, p.key, p.epoch)
		if k == nil {
			return nil, fmt.Errorf("key %q is not made", p.key)
		}
		if stage == 0 {
			return idkg.PresignFirst(k, receivers, p.serial, rd.Count)
		}
		all := made(r, p)
		if len(all) < 2 {
			return nil, errNoPresignature
		}
		kappa, err := m.decode(all[0])
		if err != nil {
			return nil, err
		}
		lambda, err := m.decode(all[1])
		if err != nil {
			return nil, err
		}
		return idkg.PresignSecond(k, receivers, p.serial, kappa, lambda)
	}
	q := idkg.Params{Key: key, Kind: idkg.Random, Serial: rd.Try, Dealers: receivers, Receivers: receivers}
	switch {
	case rd.Purpose == resharing:
		q.Kind = idkg.ReshareUnmasked
		if q.Dealers, _, err = m.roster(r, rd.From); err != nil {
			return nil, err
		}
		k := m.Key(r, p.key, rd.From)
		if k == nil {
			return nil, fmt.Errorf("key %q is not made in epoch %d", p.key, rd.From)
		}
		q.Left = []*idkg.Transcript{k}
	case stage == 1:
		q.Kind = idkg.ReshareMasked
		all := made(r, p)
		if len(all) == 0 {
			return nil, fmt.Errorf("key %q: the first stage is not made", p.key)
		}
		if q.Left, err = m.decode(all[0]); err != nil {
			return nil, err
		}
	}
	s, err := idkg.NewSharing(q)
	return []*idkg.Sharing{s}, err
}

// batch is how many presignatures are made at once: up to 16, and so many that the dealings of a stage fit into a block.
func batch(a chainkey.Algorithm, n int) int {
	f := (n - 1) / 3
	each := (f + 1) * (33*(f+1) + 32*n)
	rest := (f + 1) * (400 + 40*n)
	if a == chainkey.EcdsaSecp256k1 {
		each = 2 * (2*f + 1) * (33*(f+1) + 64*n + 96)
		rest = 2 * (2*f + 1) * (400 + 40*n)
	}
	return max(1, min(maxBatch, (maxItemBytes-rest)/each))
}

func (m *Machine) depth(key chainkey.KeyID) int {
	switch {
	case m.cfg.Depth != 0:
		return m.cfg.Depth
	case key.Algorithm == chainkey.EcdsaSecp256k1:
		return 256
	}
	return 32
}

// Advance ends a block for a key that is active in an epoch: stages that take too long are given up, and the pool is refilled.
// While some serve, half a pool is enough: what is made for later would take the processors from what is asked for now.
func (m *Machine) Advance(s kv.Store, height uint64, key chainkey.KeyID, epoch uint64, serving bool) {
	name := key.String()
	c, _ := load[counter](s, counterPrefix+name)
	changed := c.Epoch != epoch || c.Next == 0
	if changed {
		c = counter{Epoch: epoch, Next: 1}
	}
	for node, until := range c.Absent {
		if height >= until {
			delete(c.Absent, node)
			changed = true
		}
	}
	making, stock := 0, 0
	rounds(s, name, epoch, func(p place, rd round) {
		switch {
		case rd.Purpose != presigning:
		case m.complete(p, &rd):
			for _, q := range rd.Serves {
				if q == 0 {
					stock++
				}
			}
		case height >= rd.Started+m.cfg.StageBlocks:
			drop(s, p) // its serials are never used again
		default:
			making++
			stock += rd.Count
		}
	})
	e, _ := load[epochRecord](s, epochKey(epoch))
	n, depth := batch(key.Algorithm, len(e.Nodes)), m.depth(key)
	if serving && stock >= depth/2 {
		depth = stock
	}
	for ; making < maxMaking && stock < depth && len(e.Nodes) > 0; making++ {
		count := min(n, depth-stock)
		if count < min(n, depth)/2 && stock > 0 {
			break // a batch costs little more than one
		}
		save(s, place{name, epoch, c.Next}.record(), round{Purpose: presigning, Life: m.cfg.Life[:], From: epoch, Count: count, Started: height, Serves: make([]uint64, count)})
		c.Next += uint64(count)
		stock += count
		changed = true
	}
	if changed {
		save(s, counterPrefix+name, c)
	}
}

// Busy reports whether something is being made for a key in an epoch.
func (m *Machine) Busy(r kv.Reader, key string, epoch uint64) (busy bool) {
	rounds(r, key, epoch, func(p place, rd round) { busy = busy || !m.complete(p, &rd) })
	return busy
}

// Pool is how many presignatures a key has ready, and how many are being made.
func (m *Machine) Pool(r kv.Reader, key string, epoch uint64) (ready, making int) {
	rounds(r, key, epoch, func(p place, rd round) {
		switch {
		case rd.Purpose != presigning:
		case !m.complete(p, &rd):
			making += rd.Count
		default:
			for _, q := range rd.Serves {
				if q == 0 {
					ready++
				}
			}
		}
	})
	return ready, making
}

// Take binds the oldest free presignature to a request and returns its serial; zero when none is free. No other request ever gets it.
func (m *Machine) Take(s kv.Store, key string, epoch, request uint64) (serial uint64) {
	rounds(s, key, epoch, func(p place, rd round) {
		if serial != 0 || rd.Purpose != presigning || !m.complete(p, &rd) {
			return
		}
		if i := slices.Index(rd.Serves, 0); i >= 0 {
			rd.Serves[i] = request
			serial = p.serial + uint64(i)
			save(s, p.record(), rd)
		}
	})
	return serial
}

// find is the round of a presignature and its index there.
func find(r kv.Reader, key string, epoch, serial uint64) (p place, rd round, index int, ok bool) {
	rounds(r, key, epoch, func(q place, x round) {
		if x.Purpose == presigning && q.serial <= serial && serial < q.serial+uint64(x.Count) {
			p, rd, index, ok = q, x, int(serial-q.serial), true
		}
	})
	return p, rd, index, ok
}

// Spend removes a presignature that was taken, for ever.
func (m *Machine) Spend(s kv.Store, key string, epoch, serial uint64) {
	p, rd, i, ok := find(s, key, epoch, serial)
	if !ok {
		return // dropped with its pool
	}
	rd.Serves[i] = spent
	if slices.ContainsFunc(rd.Serves, func(q uint64) bool { return q != spent }) {
		save(s, p.record(), rd)
		return
	}
	drop(s, p)
}

// Empty destroys a key's presignatures of an epoch.
func (m *Machine) Empty(s kv.Store, key string, epoch uint64) {
	rounds(s, key, epoch, func(p place, rd round) {
		if rd.Purpose == presigning {
			drop(s, p)
		}
	})
}

var errNoPresignature = errors.New("the presignature is not there")

// Presigned is what a signature of a key needs in public.
type Presigned struct {
	Roster       *idkg.Roster
	Key          *idkg.Transcript
	Presignature *idkg.Presignature
}

// Presignature is a presignature that was taken for a request.
func (m *Machine) Presignature(r kv.Reader, key string, epoch, serial, request uint64) (*Presigned, error) {
	p, rd, i, ok := find(r, key, epoch, serial)
	if !ok || !m.complete(p, &rd) || rd.Serves[i] != request {
		return nil, errNoPresignature
	}
	roster, _, err := m.roster(r, epoch)
	if err != nil {
		return nil, err
	}
	k := m.Key(r, key, epoch)
	var ts [4]*idkg.Transcript
	all := made(r, p)
	if k == nil || len(all) == 0 {
		return nil, errNoPresignature
	}
	for j, list := range all {
		if ts[j], err = m.transcript(list[i]); err != nil {
			return nil, err
		}
	}
	pre, err := idkg.NewPresignature(k, ts[0], ts[1], ts[2], ts[3])
	return &Presigned{roster, k, pre}, err
}
