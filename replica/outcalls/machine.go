package outcalls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/genesis"
	"fusion/replica/members"
)

// MaxReply is the most that a request may allow its reply, in bytes: 2,000,000 for the content (interface specification, http_request) and some
// for its encoding.
const MaxReply = 2_000_000 + 4096

// ErrFull says that too many requests are open. Trying again later can help.
var ErrFull = errors.New("too many open outcalls")

// Reject codes of the Internet Computer that this package makes itself.
const sysTransient = 2

// Kind says which Source carries a request out.
type Kind uint8

// The kinds of requests.
const (
	HTTP     Kind = 1 // an HTTPS outcall of a canister
	Ethereum Kind = 2 // a question to Ethereum providers
	Height   Kind = 3 // how far a chain has come, of which every replica has an opinion; see heights.go
)

// Config is what all replicas agree on before the first block.
type Config struct {
	Life  [32]byte            // what items are bound to: the hash of the genesis document, or what took its place (package recovery)
	Nodes []ed25519.PublicKey // node keys by node index, of the members at genesis; see SetMembers

	// TimeoutNs is after how much block time a request is rejected. The default is a minute, as on the Internet Computer.
	TimeoutNs uint64
	// MaxOpen and MaxPerCanister bound the open requests. The defaults are 1,000 and 100.
	MaxOpen, MaxPerCanister uint32
	// MaxBytes bounds the bytes that the answers to all open requests may have. The default is 256 MiB.
	MaxBytes uint64
}

// FromGenesis reads the configuration out of a genesis document. life is its hash, or what took its place (package recovery).
func FromGenesis(doc *genesis.Doc, life [32]byte) Config {
	c := Config{Life: life}
	for _, n := range doc.Nodes {
		c.Nodes = append(c.Nodes, ed25519.PublicKey(n.NodeKey))
	}
	return c
}

// EnsureDefaults fills fields that are zero.
func (c *Config) EnsureDefaults() {
	if c.TimeoutNs == 0 {
		c.TimeoutNs = 60e9
	}
	if c.MaxOpen == 0 {
		c.MaxOpen = 1000
	}
	if c.MaxPerCanister == 0 {
		c.MaxPerCanister = 100
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 256 << 20
	}
}

// turns is how many nodes may try a request that is not replicated: one more than may be faulty, unless that leaves each too little time.
// A request keeps what it was opened with.
func (m *Machine) turns() uint32 { return uint32(min(m.roster().F()+1, 4)) }

// turnNs is how long a node has before the next one's turn.
func (c *Config) turnNs(o *Open) uint64 { return c.TimeoutNs / uint64(o.Turns) }

// Request asks the world something.
type Request struct {
	_          struct{} `cbor:",toarray"`
	ID         uint64   // unique in this network's state
	Kind       Kind
	Canister   []byte // principal of the caller
	Digest     []byte // 32 bytes that name the request's content
	MaxReply   uint64 // bytes
	Replicated bool
}

// Open is a request that waits for its answer.
type Open struct {
	_ struct{} `cbor:",toarray"`
	Request
	OpenedNs uint64
	Turn     uint32 // how many nodes' turns have passed, where it is not replicated
	Turns    uint32 // how many there are
}

// Response ends a request.
type Response struct {
	ID uint64
	Answer
}

// Machine is the deterministic half. It may be used concurrently, each call with its own store.
type Machine struct {
	cfg     Config
	members atomic.Pointer[members.Roster]
}

// SetMembers says whose signatures count from now on. Everything that this package keeps about requests goes on.
func (m *Machine) SetMembers(r *members.Roster) { m.members.Store(r) }

func (m *Machine) roster() *members.Roster { return m.members.Load() }

// NewMachine makes the machine of a network.
func NewMachine(cfg Config) (*Machine, error) {
	cfg.EnsureDefaults()
	if n := len(cfg.Nodes); n == 0 || n > maxShares {
		return nil, fmt.Errorf("outcalls: %d nodes, want 1 to %d", n, maxShares)
	}
	for i, k := range cfg.Nodes {
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("outcalls: node %d's key has %d bytes", i, len(k))
		}
	}
	m := &Machine{cfg: cfg}
	set := members.Set{}
	for i := range cfg.Nodes {
		set.Nodes = append(set.Nodes, uint32(i))
	}
	m.SetMembers(members.NewRoster(set, cfg.Nodes))
	return m, nil
}

// Keys: "o" id → Open; "t" time id → nothing, for what is due at a time; "c" canister → count of its open requests; "n" → totals.
const (
	keyOpen     = 'o'
	keyDue      = 't'
	keyCanister = 'c'
)

var keyTotals = []byte{'n'}

type totals struct {
	_     struct{} `cbor:",toarray"`
	Open  uint32
	Bytes uint64
}

func openKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keyOpen}, id) }

func dueKey(ns, id uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{keyDue}, ns), id)
}

func canisterKey(c []byte) []byte { return append([]byte{keyCanister}, c...) }

// due is when something has to happen with a request that nobody answers.
func (m *Machine) due(o *Open) uint64 {
	if !o.Replicated && o.Turn+1 < o.Turns {
		return o.OpenedNs + uint64(o.Turn+1)*m.cfg.turnNs(o)
	}
	return o.OpenedNs + m.cfg.TimeoutNs
}

func (m *Machine) put(s kv.Store, o *Open) {
	s.Set(openKey(o.ID), codec.Marshal(o))
	s.Set(dueKey(m.due(o), o.ID), nil)
}

// count keeps the totals when a request is opened (by is 1) or ends (−1).
func (m *Machine) count(s kv.Store, o *Request, by int) {
	t, _ := kv.Record[totals](s, keyTotals)
	n, _ := kv.Record[uint32](s, canisterKey(o.Canister))
	t.Open, n = t.Open+uint32(by), n+uint32(by)
	t.Bytes += uint64(by) * (o.MaxReply + answerOverhead)
	s.Set(keyTotals, codec.Marshal(&t))
	if n == 0 {
		s.Delete(canisterKey(o.Canister))
	} else {
		s.Set(canisterKey(o.Canister), codec.Marshal(n))
	}
}

// Submit opens a request at a block's time. After an error, which wraps ErrFull, nothing has changed and the caller rejects the call.
func (m *Machine) Submit(s kv.Store, timeNs uint64, r Request) error {
	if r.MaxReply > MaxReply || len(r.Digest) != sha256.Size || r.Kind == Height && !r.Replicated {
		panic(fmt.Sprintf("outcalls: request %d allows %d bytes and has a digest of %d", r.ID, r.MaxReply, len(r.Digest)))
	}
	t, _ := kv.Record[totals](s, keyTotals)
	n, _ := kv.Record[uint32](s, canisterKey(r.Canister))
	switch {
	case n >= m.cfg.MaxPerCanister:
		return fmt.Errorf("%w: the canister has %d", ErrFull, n)
	case t.Open >= m.cfg.MaxOpen:
		return fmt.Errorf("%w: the subnet has %d", ErrFull, t.Open)
	case t.Bytes+r.MaxReply+answerOverhead > m.cfg.MaxBytes:
		return fmt.Errorf("%w: their responses may have %d bytes; set max_response_bytes", ErrFull, t.Bytes)
	}
	m.count(s, &r, 1)
	m.put(s, &Open{Request: r, OpenedNs: timeNs, Turns: m.turns()})
	return nil
}

// close forgets a request.
func (m *Machine) close(s kv.Store, o *Open) {
	m.count(s, &o.Request, -1)
	s.Delete(openKey(o.ID))
	s.Delete(dueKey(m.due(o), o.ID))
}

// Requests lists what is open, by id.
func (m *Machine) Requests(r kv.Reader) (out []Open) {
	kv.ScanPrefix(r, []byte{keyOpen}, func(k, v []byte) bool {
		var o Open
		if err := codec.Unmarshal(v, &o); err != nil {
			panic(fmt.Sprintf("outcalls: %q in the store: %v", k, err))
		}
		out = append(out, o)
		return true
	})
	return out
}

// delegate is the node that has the given turn of a request that is not replicated.
func (m *Machine) delegate(o *Request, turn uint32) int {
	h := sha256.New()
	h.Write([]byte("fusion/outcalls/delegate\x00"))
	h.Write(m.cfg.Life[:])
	h.Write(binary.BigEndian.AppendUint64(nil, o.ID))
	nodes := m.roster().Nodes
	first := binary.BigEndian.Uint64(h.Sum(nil)) % uint64(len(nodes))
	return int(nodes[(first+uint64(turn))%uint64(len(nodes))])
}

// hadTurn says whether a node's answer to a request that is not replicated counts.
func (m *Machine) hadTurn(o *Open, node int) bool {
	for turn := range o.Turn + 1 {
		if m.delegate(&o.Request, turn) == node {
			return true
		}
	}
	return false
}

// CheckAll says whether a block on top of the committed state may carry these items. No two may be about one request.
func (m *Machine) CheckAll(r kv.Reader, bodies [][]byte) error {
	seen := map[uint64]bool{}
	for _, b := range bodies {
		o, _, err := m.check(r, b)
		if err != nil {
			return err
		}
		if seen[o.ID] {
			return fmt.Errorf("%w: request %d is answered twice", ErrItem, o.ID)
		}
		seen[o.ID] = true
	}
	return nil
}

// check verifies an item and returns the request with the answer that the item proves.
func (m *Machine) check(r kv.Reader, body []byte) (*Open, *Answer, error) {
	it, err := decodeItem(body)
	if err != nil {
		return nil, nil, err
	}
	o, ok := kv.Record[Open](r, openKey(it.ID))
	if !ok {
		return nil, nil, fmt.Errorf("%w: request %d is not open", ErrItem, it.ID)
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: request %d: %s", ErrItem, it.ID, fmt.Sprintf(format, args...))
	}
	if o.Kind == Height {
		if len(it.Answer) != 0 {
			return nil, nil, bad("an answer to what is settled by heights")
		}
		a, err := m.settled(&o, it.Shares)
		if err != nil {
			return nil, nil, bad("%v", err)
		}
		return &o, a, nil
	}
	if len(it.Answer) == 0 {
		a, err := m.diverged(&o, it.Shares)
		if err != nil {
			return nil, nil, bad("%v", err)
		}
		return &o, a, nil
	}
	if len(it.Answer) > int(o.MaxReply)+answerOverhead {
		return nil, nil, bad("an answer of %d bytes, %d are allowed", len(it.Answer), o.MaxReply)
	}
	var a Answer
	if err := codec.Unmarshal(it.Answer, &a); err != nil {
		return nil, nil, bad("%v", err)
	}
	if err := a.check(o.MaxReply); err != nil {
		return nil, nil, bad("%v", err)
	}
	if want := m.needed(&o); len(it.Shares) != want {
		return nil, nil, bad("%d signatures, want %d", len(it.Shares), want)
	}
	d := digest(it.Answer)
	if err := m.verify(&o, it.Shares, func(s *Share) ([]byte, error) {
		if len(s.Digest) != 0 {
			return nil, errors.New("a share repeats the digest")
		}
		return d[:], nil
	}); err != nil {
		return nil, nil, bad("%v", err)
	}
	if !o.Replicated && !m.hadTurn(&o, int(it.Shares[0].Node)) {
		return nil, nil, bad("node %d answers, whose turn it is not", it.Shares[0].Node)
	}
	return &o, &a, nil
}

// needed is how many signatures an answer takes.
func (m *Machine) needed(o *Open) int {
	if o.Replicated {
		return m.roster().Quorum()
	}
	return 1
}

// verify checks signatures of distinct nodes in ascending order.
func (m *Machine) verify(o *Open, shares []Share, digestOf func(*Share) ([]byte, error)) error {
	for i := range shares {
		s := &shares[i]
		if i > 0 && s.Node <= shares[i-1].Node {
			return fmt.Errorf("node %d stands after node %d", s.Node, shares[i-1].Node)
		}
		d, err := digestOf(s)
		if err != nil {
			return err
		}
		if !m.authentic(s.Node, o.ID, o.Digest, d, s.Signature) {
			return fmt.Errorf("not signed by node %d", s.Node)
		}
	}
	return nil
}

// votes counts the digests of shares, the most frequent first.
func votes(shares []Share) (out []vote) {
	for i := range shares {
		at := slices.IndexFunc(out, func(v vote) bool { return bytes.Equal(v.digest, shares[i].Digest) })
		if at < 0 {
			at = len(out)
			out = append(out, vote{digest: shares[i].Digest})
		}
		out[at].count++
	}
	slices.SortFunc(out, func(a, b vote) int {
		if a.count != b.count {
			return b.count - a.count
		}
		return bytes.Compare(a.digest, b.digest)
	})
	return out
}

type vote struct {
	digest []byte
	count  int
}

// hopeless says that no digest can get a quorum any more, whatever the nodes that are not among the shares sign.
func (m *Machine) hopeless(v []vote, shares int) bool {
	return len(v) > 0 && v[0].count+m.roster().N()-shares < m.roster().Quorum()
}

// diverged verifies a divergence and says what the caller is told: how many nodes had which answer, since one that stands alone and many of one each
// are different mistakes.
func (m *Machine) diverged(o *Open, shares []Share) (*Answer, error) {
	if !o.Replicated {
		return nil, errors.New("one node asks and diverges")
	}
	if err := m.verify(o, shares, func(s *Share) ([]byte, error) { return s.Digest, nil }); err != nil {
		return nil, err
	}
	v := votes(shares)
	if !m.hopeless(v, len(shares)) {
		return nil, fmt.Errorf("%d shares over %d digests do not rule a quorum out", len(shares), len(v))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "No consensus could be reached. Replicas had different responses. Details: request_id: %d, timeout: %d, hashes: ", o.ID, o.OpenedNs+m.cfg.TimeoutNs)
	for i, x := range v {
		if b.Len() > MaxMessage-100 {
			fmt.Fprintf(&b, ", and %d more", len(v)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "[%x: %d]", x.digest, x.count)
	}
	a := Rejection(sysTransient, "%s", b.String())
	return &a, nil
}

// Apply ends the request that an item of a decided block is about. An error says that the item does not hold up, and nothing has changed.
func (m *Machine) Apply(s kv.Store, body []byte) (Response, error) {
	o, a, err := m.check(s, body)
	if err != nil {
		return Response{}, err
	}
	m.close(s, o)
	return Response{o.ID, *a}, nil
}

func timedOut(k Kind) Answer {
	if k == HTTP {
		return Rejection(sysTransient, "Canister http request timed out")
	}
	return Rejection(sysTransient, "too few replicas answered in time; their Ethereum providers may be slow, unreachable or not configured")
}

// Advance lets time pass: turns go on, and what was not answered in time is rejected.
func (m *Machine) Advance(s kv.Store, timeNs uint64) (out []Response) {
	for {
		var ids []uint64
		s.Scan([]byte{keyDue}, dueKey(timeNs+1, 0), func(k, _ []byte) bool {
			ids = append(ids, binary.BigEndian.Uint64(k[9:]))
			return true
		})
		if len(ids) == 0 {
			return out
		}
		for _, id := range ids {
			o, ok := kv.Record[Open](s, openKey(id))
			if !ok {
				panic(fmt.Sprintf("outcalls: request %d is due and not open", id))
			}
			if o.OpenedNs+m.cfg.TimeoutNs <= timeNs {
				m.close(s, &o)
				out = append(out, Response{id, timedOut(o.Kind)})
				continue
			}
			s.Delete(dueKey(m.due(&o), id))
			o.Turn++
			m.put(s, &o)
		}
	}
}
