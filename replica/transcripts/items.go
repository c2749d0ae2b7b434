package transcripts

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"fusion/chainkey"
	"fusion/chainkey/idkg"
	"fusion/internal/codec"
	"fusion/internal/kv"
)

// ErrItem is wrapped by every refusal of an item of a block.
var ErrItem = errors.New("invalid item")

// The first byte of an item says what it is.
const (
	itemReceiver byte = 1 + iota
	itemDealings
	itemAccusation
)

// receiver registers the key to which dealings of an epoch are encrypted for a node.
type receiver struct {
	_         struct{} `cbor:",toarray"`
	Epoch     uint64
	Opened    uint64 // of the epoch's record
	Node      uint32
	Member    []byte // idkg.Member
	Signature []byte
}

// dealings end a stage: for each of its sharings the dealings that make the transcripts, and supports by 2f+1 members of each.
type dealings struct {
	_        struct{} `cbor:",toarray"`
	Key      string
	Epoch    uint64
	Serial   uint64
	Stage    uint8
	Dealings [][][]byte
	Supports [][]byte
}

// charge is what an accusation is about.
type charge uint8

const (
	badDealing   charge = 1 + iota // the evidence is a dealing that nobody honest makes
	badBox                         // a complaint: of a dealing in a block, one member's shares are bad; or the complaint is false
	badOpening                     // an opening that does not fit its dealing
	badSignature                   // a share of a signature that does not fit
)

// accusation is proof that a node lied.
type accusation struct {
	_         struct{} `cbor:",toarray"`
	Key       string
	Epoch     uint64
	Serial    uint64 // of the round
	Stage     uint8
	Sharing   uint8 // index in the stage
	Request   uint64
	Charge    charge
	Evidence  []byte
	Node      uint32 // who says so
	Signature []byte
}

// Conviction is what an accusation proved.
type Conviction struct {
	Key      string
	Request  uint64
	Node     uint32 // who accuses
	Accused  uint32
	Evidence []byte
}

func encode(variant byte, v any) []byte { return append([]byte{variant}, codec.Marshal(v)...) }

func decodeItem[T any](body []byte) (*T, error) {
	var v T
	if err := codec.Unmarshal(body[1:], &v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	return &v, nil
}

// Check judges an item of a proposed block against the committed state.
func (m *Machine) Check(r kv.Reader, body []byte) error {
	if len(body) == 0 || len(body) > maxItemBytes {
		return fmt.Errorf("%w: %d bytes", ErrItem, len(body))
	}
	var err error
	switch body[0] {
	case itemReceiver:
		_, _, err = m.checkReceiver(r, body)
	case itemDealings:
		_, _, _, err = m.checkDealings(r, body)
	case itemAccusation:
		_, _, err = m.checkAccusation(r, body)
	default:
		err = fmt.Errorf("%w: variant %d", ErrItem, body[0])
	}
	return err
}

// Apply applies an item of the block at height. One that does not pass Check, because an earlier one of the same block made it moot, changes
// nothing.
func (m *Machine) Apply(s kv.Store, height uint64, body []byte) (convicted []Conviction) {
	if len(body) == 0 || len(body) > maxItemBytes {
		return nil
	}
	switch body[0] {
	case itemReceiver:
		if v, e, err := m.checkReceiver(s, body); err == nil {
			e.Members[slices.Index(e.Nodes, v.Node)] = v.Member
			save(s, epochKey(v.Epoch), *e)
		}
	case itemDealings:
		if v, rd, made, err := m.checkDealings(s, body); err == nil {
			m.applyDealings(s, height, v, rd, made)
		}
	case itemAccusation:
		if v, accused, err := m.checkAccusation(s, body); err == nil {
			p, rd, _ := v.round(s)
			rd.Accused = append(rd.Accused, accused)
			save(s, p.record(), rd)
			return []Conviction{{v.Key, v.Request, v.Node, accused, v.Evidence}}
		}
	}
	return nil
}

func (m *Machine) checkReceiver(r kv.Reader, body []byte) (*receiver, *epochRecord, error) {
	v, err := decodeItem[receiver](body)
	if err != nil {
		return nil, nil, err
	}
	unsigned := *v
	unsigned.Signature = nil
	if err := m.cfg.Authentic(r, v.Node, "receiver", unsigned, v.Signature); err != nil {
		return nil, nil, err
	}
	e, _ := load[epochRecord](r, epochKey(v.Epoch))
	seat := slices.Index(e.Nodes, v.Node)
	if seat < 0 || e.Opened != v.Opened || len(e.Members[seat]) != 0 {
		return nil, nil, fmt.Errorf("%w: node %d is no member of epoch %d, or has registered", ErrItem, v.Node, v.Epoch)
	}
	member, err := idkg.DecodeMember(v.Member)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	if !member.Node.Equal(ed25519.PublicKey(e.Keys[seat])) {
		return nil, nil, fmt.Errorf("%w: a receiver's key of another node than %d", ErrItem, v.Node)
	}
	if err := member.Verify(m.cfg.Network, v.Epoch); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	for _, b := range e.Members {
		if other, err := idkg.DecodeMember(b); err == nil && bytes.Equal(other.EncryptionKey(), member.EncryptionKey()) {
			return nil, nil, fmt.Errorf("%w: node %d registers another's key", ErrItem, v.Node)
		}
	}
	return v, &e, nil
}

func (m *Machine) checkDealings(r kv.Reader, body []byte) (*dealings, *round, [][][]byte, error) {
	bad := func(err error) (*dealings, *round, [][][]byte, error) {
		return nil, nil, nil, fmt.Errorf("%w: dealings: %w", ErrItem, err)
	}
	v, err := decodeItem[dealings](body)
	if err != nil {
		return bad(err)
	}
	p := place{v.Key, v.Epoch, v.Serial}
	rd, ok := load[round](r, p.record())
	if !ok || rd.Stage != int(v.Stage) || m.complete(p, &rd) {
		return bad(fmt.Errorf("stage %d of key %s, epoch %d, serial %d is not being made", v.Stage, v.Key, v.Epoch, v.Serial))
	}
	sharings, err := m.sharings(r, p, &rd, rd.Stage)
	if err != nil {
		return bad(err)
	}
	if len(v.Dealings) != len(sharings) {
		return bad(fmt.Errorf("%d sharings of %d", len(v.Dealings), len(sharings)))
	}
	h := sha256.New()
	for _, s := range sharings {
		id := s.ID()
		h.Write(id[:])
	}
	h.Write(body)
	flat, err := recall(m.Memo, m.made, [32]byte(h.Sum(nil)), 64, func() (flat [][]byte, err error) {
		tally := idkg.NewTally(sharings[0].Receivers)
		if len(v.Supports) > maxSupports*sharings[0].Receivers.N() {
			return nil, fmt.Errorf("%d supports of %d members", len(v.Supports), sharings[0].Receivers.N())
		}
		for _, b := range v.Supports {
			sup, err := idkg.DecodeSupport(b)
			if err == nil {
				err = tally.Add(sup)
			}
			if err != nil {
				return nil, err
			}
		}
		for i, s := range sharings {
			if len(v.Dealings[i]) != s.Needed() {
				return nil, fmt.Errorf("%d dealings, want %d", len(v.Dealings[i]), s.Needed())
			}
			var list []*idkg.Dealing
			for _, b := range v.Dealings[i] {
				d, err := m.dealing(s, b)
				if err != nil {
					return nil, err
				}
				list = append(list, d)
			}
			ts, err := s.Combine(list, tally)
			if err != nil {
				return nil, err
			}
			for _, t := range ts {
				flat = append(flat, t.Encode())
			}
		}
		return flat, nil
	})
	if err != nil {
		return bad(err)
	}
	var made [][][]byte
	for list := range slices.Chunk(flat, rd.Count) {
		made = append(made, list)
	}
	return v, &rd, made, nil
}

func (m *Machine) applyDealings(s kv.Store, height uint64, v *dealings, rd *round, fresh [][][]byte) {
	p := place{v.Key, v.Epoch, v.Serial}
	m.noteAbsent(s, height, p, rd, v)
	save(s, p.made(), append(made(s, p), fresh...))
	rd.Stage++
	rd.Started = height
	save(s, p.record(), *rd)
	save(s, p.dealings(int(v.Stage)), dealt{Dealings: v.Dealings})
}

// noteAbsent remembers whose dealings did not come in their turn.
func (m *Machine) noteAbsent(s kv.Store, height uint64, p place, rd *round, v *dealings) {
	sharings, err := m.sharings(s, p, rd, rd.Stage)
	if err != nil {
		return
	}
	e, _ := load[epochRecord](s, epochKey(rd.From))
	c, _ := load[counter](s, counterPrefix+p.key)
	if c.Absent == nil {
		c.Absent = map[uint32]uint64{}
	}
	for i, sharing := range sharings {
		came := map[int]bool{}
		for _, b := range v.Dealings[i] {
			if d, err := m.dealing(sharing, b); err == nil {
				came[d.Dealer()] = true
			}
		}
		for seat := range came {
			delete(c.Absent, e.Nodes[seat])
		}
		for _, seat := range turn(sharing, e.Nodes, c.Absent) {
			if !came[seat] {
				c.Absent[e.Nodes[seat]] = height + absentBlocks
			}
		}
	}
	save(s, counterPrefix+p.key, c)
}

// turn lists the seats that deal at once: as many as are needed, in order, and before them all that are not waited for.
func turn(s *idkg.Sharing, nodes []uint32, absent map[uint32]uint64) (seats []int) {
	waited := 0
	for _, seat := range s.Order() {
		if waited == s.Needed() {
			break
		}
		if absent[nodes[seat]] == 0 {
			waited++
		}
		seats = append(seats, seat)
	}
	return seats
}

func (v *accusation) round(r kv.Reader) (place, round, bool) {
	p := place{v.Key, v.Epoch, v.Serial}
	rd, ok := load[round](r, p.record())
	return p, rd, ok
}

func (m *Machine) checkAccusation(r kv.Reader, body []byte) (*accusation, uint32, error) {
	bad := func(err error) (*accusation, uint32, error) {
		return nil, 0, fmt.Errorf("%w: accusation: %w", ErrItem, err)
	}
	v, err := decodeItem[accusation](body)
	if err != nil {
		return bad(err)
	}
	unsigned := *v
	unsigned.Signature = nil
	if err := m.cfg.Authentic(r, v.Node, "accusation", unsigned, v.Signature); err != nil {
		return bad(err)
	}
	p, rd, ok := v.round(r)
	if _, known := m.known(v.Key); !ok || !known {
		return bad(fmt.Errorf("key %s has no round %d in epoch %d", v.Key, v.Serial, v.Epoch))
	}
	members, err := opened(r, p.epoch)
	if err != nil {
		return bad(err)
	}
	var fault error
	switch v.Charge {
	case badSignature:
		if rd.Purpose != presigning || !slices.Contains(rd.Serves, v.Request) { // seats are those of the presignature's epoch
			return bad(fmt.Errorf("round %d does not serve request %d", v.Serial, v.Request))
		}
		var signing *idkg.Signing
		if signing, err = m.cfg.Signing(r, v.Request); err != nil {
			return bad(err)
		}
		share, err := idkg.DecodeSignatureShare(v.Evidence)
		if err != nil {
			return bad(err)
		}
		fault = signing.Verify(share)
	case badDealing, badBox, badOpening:
		sharings, err := m.sharings(r, p, &rd, int(v.Stage))
		if err != nil {
			return bad(err)
		}
		if int(v.Sharing) >= len(sharings) || v.Request != 0 {
			return bad(errors.New("it names no sharing"))
		}
		s := sharings[v.Sharing]
		if v.Charge == badDealing {
			if members, err = opened(r, rd.From); err != nil {
				return bad(err)
			}
			_, fault = m.dealing(s, v.Evidence)
			break
		}
		if fault, err = m.checkOpened(r, p, v, s); err != nil {
			return bad(err)
		}
		if fault == nil { // of the dealer
			if members, err = opened(r, rd.From); err != nil {
				return bad(err)
			}
			c, err := idkg.DecodeComplaint(v.Evidence)
			if err != nil {
				return bad(err)
			}
			d := m.included(r, p, int(v.Stage), int(v.Sharing), s, c.Dealing())
			fault = chainkey.Blame(d.Dealer(), "bad shares")
		}
	default:
		return bad(fmt.Errorf("charge %d", v.Charge))
	}
	var guilty *chainkey.Misbehaviour
	if !errors.As(fault, &guilty) || len(guilty.Seats) != 1 || guilty.Seats[0] >= len(members.Nodes) {
		return bad(fmt.Errorf("it proves nothing: %w", fault))
	}
	accused := members.Nodes[guilty.Seats[0]]
	if slices.Contains(rd.Accused, accused) {
		return bad(fmt.Errorf("node %d stands convicted", accused))
	}
	return v, accused, nil
}

// checkOpened judges a complaint or an opening about a dealing that a block carried. A complaint that is right comes back without a fault.
func (m *Machine) checkOpened(r kv.Reader, p place, v *accusation, s *idkg.Sharing) (fault, err error) {
	var digest [32]byte
	var verify func(*idkg.Dealing) error
	if v.Charge == badBox {
		c, err := idkg.DecodeComplaint(v.Evidence)
		if err != nil {
			return nil, err
		}
		digest, verify = c.Dealing(), func(d *idkg.Dealing) error { return s.VerifyComplaint(d, c) }
	} else {
		o, err := idkg.DecodeOpening(v.Evidence)
		if err != nil {
			return nil, err
		}
		digest, verify = o.Dealing(), func(d *idkg.Dealing) error { return s.VerifyOpening(d, o) }
	}
	d := m.included(r, p, int(v.Stage), int(v.Sharing), s, digest)
	if d == nil {
		return nil, errors.New("no block carried that dealing")
	}
	fault = verify(d)
	var guilty *chainkey.Misbehaviour
	if fault != nil && !errors.As(fault, &guilty) || fault == nil && v.Charge == badOpening {
		return nil, fmt.Errorf("it proves nothing: %w", fault)
	}
	return fault, nil
}

// included is the dealing of a finished stage with a digest, or nil.
func (m *Machine) included(r kv.Reader, p place, stage, sharing int, s *idkg.Sharing, digest [32]byte) *idkg.Dealing {
	all, _ := load[dealt](r, p.dealings(stage))
	if sharing >= len(all.Dealings) {
		return nil
	}
	for _, b := range all.Dealings[sharing] {
		if d, err := m.dealing(s, b); err == nil && d.Digest() == digest {
			return d
		}
	}
	return nil
}

// opened is the record of an open epoch.
func opened(r kv.Reader, epoch uint64) (*epochRecord, error) {
	e, ok := load[epochRecord](r, epochKey(epoch))
	if !ok || e.Closed {
		return nil, fmt.Errorf("epoch %d is not open", epoch)
	}
	return &e, nil
}
