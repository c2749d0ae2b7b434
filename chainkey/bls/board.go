package bls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/drand/kyber"
	"github.com/drand/kyber/share"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// Phase is where a key generation stands.
type Phase uint8

// The phases of an attempt, in order.
const (
	PhaseKeys Phase = iota + 1
	PhaseDeals
	PhaseResponses
	PhaseDone
)

// String returns the phase as a sentence for operators.
func (p Phase) String() string {
	switch p {
	case PhaseKeys:
		return "waiting for receiver keys"
	case PhaseDeals:
		return "waiting for encrypted shares"
	case PhaseResponses:
		return "waiting for responses to the shares"
	case PhaseDone:
		return "key generated"
	}
	return fmt.Sprintf("unknown phase %d", uint8(p))
}

// Default deadlines in blocks of each phase in the first attempt: about a minute at three blocks per second.
const (
	DefaultPhaseBlocks = 200
	maxPhaseBlocks     = 1 << 20
	maxBackoff         = 4 // later attempts get 2^k times the blocks, k at most this
)

// Bounds of what a board reads.
const (
	maxDomain    = 64
	maxItemBytes = 1 << 15 // MaxNodes commitments of 96 bytes, shares of 32 and CBOR around them
	itemDomain   = "fusion-dkg-item"
)

// Errors of the board.
var (
	ErrParams  = errors.New("invalid key generation parameters")
	ErrNoBoard = errors.New("no key generation on record")
	ErrItem    = errors.New("invalid key generation item")
	ErrStale   = errors.New("key generation item is not expected now") // another session or phase, or already there
)

// Params fix a key generation. They are part of the session id.
type Params struct {
	Domain      []byte              // what the key is for, such as the genesis hash; at most 64 bytes
	Epoch       uint64              // counts key generations and resharings of the network
	Nodes       []ed25519.PublicKey // node keys in index order; they sign the items
	Threshold   int                 // shares that make a signature; the default is Threshold(len(Nodes))
	PhaseBlocks uint64              // deadline of each phase in the first attempt; the default is DefaultPhaseBlocks
	Old         *Old                // the key to reshare to Nodes, or nil to generate one
}

func (p Params) withDefaults() Params {
	if p.Threshold == 0 {
		p.Threshold = Threshold(len(p.Nodes))
	}
	if p.PhaseBlocks == 0 {
		p.PhaseBlocks = DefaultPhaseBlocks
	}
	return p
}

func (p Params) check() error {
	switch n := len(p.Nodes); {
	case n == 0 || n > MaxNodes:
		return fmt.Errorf("%w: %d nodes", ErrParams, n)
	case p.Threshold < 1 || p.Threshold > n || 2*p.Threshold <= n:
		return fmt.Errorf("%w: threshold %d of %d", ErrParams, p.Threshold, n)
	case len(p.Domain) > maxDomain:
		return fmt.Errorf("%w: domain of %d bytes", ErrParams, len(p.Domain))
	case p.PhaseBlocks > maxPhaseBlocks:
		return fmt.Errorf("%w: phases of %d blocks", ErrParams, p.PhaseBlocks)
	}
	for i, k := range p.Nodes {
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: key of node %d has %d bytes", ErrParams, i, len(k))
		}
	}
	if p.Old != nil {
		return p.Old.check()
	}
	return nil
}

// item is what travels in blocks.
type item struct {
	Session []byte
	Phase   Phase
	From    uint32
	Body    []byte
	Sig     []byte // the node's Ed25519 signature over all of the above
}

func (it *item) digest() []byte {
	d := newHasher(itemDomain).add(it.Session).num(uint64(it.Phase)).num(uint64(it.From)).add(it.Body).sum()
	return d[:]
}

// The bodies of the three phases.
type (
	keyBody struct {
		Key   []byte // receiver key, G1
		Proof []byte // knowledge of its exponent
	}
	dealBody struct {
		Commits   [][]byte // the polynomial's coefficients in G2
		Ephemeral []byte   // G1
		Proof     []byte   // knowledge of its exponent
		Shares    [][]byte // for each node 32 encrypted bytes, empty for a node without a receiver key
	}
	responseBody struct {
		Complaints []complaint
	}
	complaint struct {
		Dealer uint32
		Shared []byte // the Diffie-Hellman point of receiver and dealer, G1
		Proof  []byte // that it is
	}
)

// meta is the board's persisted head; the items lie beside it.
type meta struct {
	Domain      []byte
	Epoch       uint64
	Nodes       [][]byte
	Threshold   int
	PhaseBlocks uint64
	Attempt     uint64
	Phase       Phase
	Deadline    uint64
	Bad         []uint32 // dealers dropped by a complaint
	Result      *Result
	Old         *Old   // the key that is reshared, or nil
	Started     uint64 // height of a resharing's begin: given up and begun again, it is another
	Failure     string // why the attempt before came to nothing
}

// Result is a finished key generation.
type Result struct {
	Epoch     uint64
	Attempt   uint64 // 0 is the first
	Height    uint64 // of the block that finished it
	Qualified []int  // dealers whose polynomials make up the key
	Holders   []int  // nodes that confirmed their share
	PublicKey []byte // 96 bytes, G2
	ShareKeys [][]byte
	Threshold int
}

// Group returns the public side of the key, ready to check signatures.
func (r *Result) Group() (*Group, error) { return NewGroup(r.Threshold, r.PublicKey, r.ShareKeys) }

// Status is a snapshot for operators.
type Status struct {
	Epoch, Attempt uint64
	Phase          Phase
	Deadline       uint64 // height at which the phase ends at the latest
	Have, Want     int    // items of this phase
	Missing        []int  // nodes whose item is not there yet
	Failure        string // why the attempt before came to nothing, in words
}

type deal struct {
	body dealBody
	poly *share.PubPoly
	r    kyber.Point
}

// Board is the public state of a key generation. It is not safe for concurrent use; a reader outside the block
// pipeline opens its own from a snapshot of the store.
type Board struct {
	meta
	session   [32]byte
	keys      map[int]kyber.Point
	deals     map[int]*deal
	responses map[int]bool
}

var metaKey = []byte("meta")

func itemKey(p Phase, from int) []byte {
	return binary.BigEndian.AppendUint32([]byte{'i', byte(p)}, uint32(from))
}

// Start opens a key generation at a height, replacing what the store holds of an earlier one.
func Start(store kv.Store, height uint64, p Params) (*Board, error) {
	p = p.withDefaults()
	if err := p.check(); err != nil {
		return nil, err
	}
	Erase(store)
	b := &Board{meta: meta{Domain: bytes.Clone(p.Domain), Epoch: p.Epoch, Threshold: p.Threshold, PhaseBlocks: p.PhaseBlocks, Old: p.Old}}
	if p.Old != nil {
		b.Started = height
	}
	for _, k := range p.Nodes {
		b.Nodes = append(b.Nodes, bytes.Clone(k))
	}
	b.begin(height, 0)
	b.save(store)
	return b, nil
}

// Open reads the key generation in the store, or returns ErrNoBoard.
func Open(r kv.Reader) (*Board, error) {
	raw, ok := r.Get(metaKey)
	if !ok {
		return nil, ErrNoBoard
	}
	var m meta
	if err := codec.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("opening the key generation: %w", err)
	}
	b := &Board{meta: m}
	b.begin(0, m.Attempt)
	b.meta = m
	// Items are replayed phase by phase, without the checks that they passed when they were accepted.
	for p := PhaseKeys; p < PhaseDone; p++ {
		for from := range b.speakers(p) {
			raw, ok := r.Get(itemKey(p, from))
			if !ok {
				continue
			}
			accept, err := b.read(p, from, bytes.Clone(raw), false)
			if err != nil {
				return nil, fmt.Errorf("opening the key generation: item of node %d: %w", from, err)
			}
			accept()
		}
	}
	return b, nil
}

// Erase removes a key generation from the store: its dealings, when no member needs them any more, and its result.
func Erase(store kv.Store) {
	store.Delete(metaKey)
	eraseItems(store)
}

func eraseItems(store kv.Store) {
	var keys [][]byte
	kv.ScanPrefix(store, []byte{'i'}, func(k, _ []byte) bool { keys = append(keys, bytes.Clone(k)); return true })
	for _, k := range keys {
		store.Delete(k)
	}
}

func (b *Board) begin(height, attempt uint64) {
	b.Attempt, b.Bad = attempt, nil
	b.keys, b.deals, b.responses = map[int]kyber.Point{}, map[int]*deal{}, map[int]bool{}
	h := newHasher("fusion-dkg-session").add(b.Domain).num(b.Epoch).num(attempt).num(uint64(b.Threshold))
	for _, k := range b.Nodes {
		h.add(k)
	}
	if b.Old != nil {
		b.Old.hash(h.num(b.Started))
	}
	b.session = h.sum()
	b.enter(PhaseKeys, height)
}

func (b *Board) enter(p Phase, height uint64) {
	b.Phase, b.Deadline = p, height+b.PhaseBlocks<<min(b.Attempt, maxBackoff)
}

func (b *Board) save(store kv.Store) { store.Set(metaKey, codec.Marshal(b.meta)) }

// Session identifies the attempt: it binds domain, epoch, attempt, members and threshold.
func (b *Board) Session() [32]byte { return b.session }

// N returns the number of nodes.
func (b *Board) N() int { return len(b.Nodes) }

// Result returns the finished key, or nil and false.
func (b *Board) Result() (*Result, bool) { return b.meta.Result, b.meta.Result != nil }

// Status returns where the key generation stands.
func (b *Board) Status() Status {
	s := Status{Epoch: b.Epoch, Attempt: b.Attempt, Phase: b.Phase, Deadline: b.Deadline, Failure: b.Failure}
	if b.Phase == PhaseDone {
		return s
	}
	for i := range b.speakers(b.Phase) {
		if !b.expected(i) {
			continue
		}
		s.Want++
		if b.has(i) {
			s.Have++
		} else {
			s.Missing = append(s.Missing, i)
		}
	}
	return s
}

// expected says whether node i has to say something in this phase.
func (b *Board) expected(i int) bool {
	return b.Phase == PhaseKeys || b.Phase == PhaseDeals && b.Old != nil || b.keys[i] != nil
}

func (b *Board) has(i int) bool {
	switch b.Phase {
	case PhaseKeys:
		return b.keys[i] != nil
	case PhaseDeals:
		return b.deals[i] != nil
	case PhaseResponses:
		return b.responses[i]
	}
	return true
}

// Check says whether a block may carry the item now. It depends on the board and the item alone and changes nothing.
func (b *Board) Check(raw []byte) error {
	_, _, err := b.parse(raw)
	return err
}

// CheckAll is Check for one block's items, which must come from distinct nodes.
func (b *Board) CheckAll(items [][]byte) error {
	seen := map[uint32]bool{}
	for _, raw := range items {
		it, _, err := b.parse(raw)
		if err != nil {
			return err
		}
		if seen[it.From] {
			return fmt.Errorf("%w: two of node %d", ErrItem, it.From)
		}
		seen[it.From] = true
	}
	return nil
}

// parse decodes and checks an item and returns what accepting it does.
func (b *Board) parse(raw []byte) (*item, func(), error) {
	if len(raw) > maxItemBytes {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrItem, len(raw))
	}
	var it item
	if err := codec.Unmarshal(raw, &it); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	if it.Phase != b.Phase || !bytes.Equal(it.Session, b.session[:]) {
		return nil, nil, fmt.Errorf("%w: phase %d of node %d", ErrStale, it.Phase, it.From)
	}
	speakers := b.speakers(it.Phase)
	if uint64(it.From) >= uint64(len(speakers)) {
		return nil, nil, fmt.Errorf("%w: from node %d of %d", ErrItem, it.From, len(speakers))
	}
	from := int(it.From)
	if b.Phase == PhaseDone || !b.expected(from) || b.has(from) {
		return nil, nil, fmt.Errorf("%w: phase %d of node %d", ErrStale, it.Phase, it.From)
	}
	if !ed25519.Verify(speakers[it.From], it.digest(), it.Sig) {
		return nil, nil, fmt.Errorf("%w: signature of node %d", ErrItem, it.From)
	}
	accept, err := b.read(it.Phase, from, it.Body, true)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: node %d: %w", ErrItem, it.From, err)
	}
	return &it, accept, nil
}

// read decodes a body and, for one that was not accepted before, verifies it.
func (b *Board) read(phase Phase, from int, body []byte, verify bool) (accept func(), err error) {
	switch phase {
	case PhaseKeys:
		return b.readKey(from, body, verify)
	case PhaseDeals:
		return b.readDeal(from, body, verify)
	case PhaseResponses:
		return b.readResponse(from, body, verify)
	}
	return nil, fmt.Errorf("no items in phase %d", phase)
}

func (b *Board) context(role string, from, to int) []byte {
	d := newHasher("fusion-dkg-context").add([]byte(role), b.session[:]).num(uint64(from)).num(uint64(to)).sum()
	return d[:]
}

func (b *Board) readKey(from int, body []byte, verify bool) (func(), error) {
	var k keyBody
	if err := codec.Unmarshal(body, &k); err != nil {
		return nil, err
	}
	key, err := decodePoint(g1, k.Key)
	if err != nil {
		return nil, fmt.Errorf("receiver key: %w", err)
	}
	if verify {
		if err := checkProof(k.Proof, b.context("key", from, from), []kyber.Point{g1.Point().Base()}, []kyber.Point{key}); err != nil {
			return nil, fmt.Errorf("receiver key: %w", err)
		}
		for i, other := range b.keys {
			if other.Equal(key) {
				return nil, fmt.Errorf("receiver key of node %d", i)
			}
		}
	}
	return func() { b.keys[from] = key }, nil
}

func (b *Board) readDeal(from int, body []byte, verify bool) (func(), error) {
	d := &deal{}
	if err := codec.Unmarshal(body, &d.body); err != nil {
		return nil, err
	}
	if len(d.body.Commits) != b.Threshold || len(d.body.Shares) != len(b.Nodes) {
		return nil, fmt.Errorf("%d commitments and %d shares", len(d.body.Commits), len(d.body.Shares))
	}
	for i, s := range d.body.Shares {
		if want := b.shareSize(i); len(s) != want {
			return nil, fmt.Errorf("share for node %d has %d bytes instead of %d", i, len(s), want)
		}
	}
	commits := make([]kyber.Point, 0, b.Threshold)
	for i, c := range d.body.Commits {
		p, err := decodePoint(g2, c)
		if err != nil {
			return nil, fmt.Errorf("commitment %d: %w", i, err)
		}
		commits = append(commits, p)
	}
	if b.Old != nil && !bytes.Equal(d.body.Commits[0], b.Old.ShareKeys[from]) {
		return nil, errors.New("it does not deal its share of the key")
	}
	d.poly = share.NewPubPoly(g2, nil, commits)
	var err error
	if d.r, err = decodePoint(g1, d.body.Ephemeral); err != nil {
		return nil, fmt.Errorf("ephemeral key: %w", err)
	}
	if verify {
		base := []kyber.Point{g1.Point().Base()}
		if err := checkProof(d.body.Proof, b.context("deal", from, from), base, []kyber.Point{d.r}); err != nil {
			return nil, fmt.Errorf("ephemeral key: %w", err)
		}
	}
	return func() { b.deals[from] = d }, nil
}

func (b *Board) shareSize(i int) int {
	if b.keys[i] == nil {
		return 0
	}
	return SecretSize
}

func (b *Board) readResponse(from int, body []byte, verify bool) (func(), error) {
	var r responseBody
	if err := codec.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	if !verify {
		return func() { b.responses[from] = true }, nil
	}
	last := -1
	for _, c := range r.Complaints {
		dealer := int(c.Dealer)
		d := b.deals[dealer]
		if d == nil || dealer <= last {
			return nil, fmt.Errorf("complaint about dealer %d", c.Dealer)
		}
		last = dealer
		shared, err := decodePoint(g1, c.Shared)
		if err != nil {
			return nil, fmt.Errorf("complaint about dealer %d: %w", dealer, err)
		}
		if err := checkProof(c.Proof, b.context("complaint", dealer, from), []kyber.Point{g1.Point().Base(), d.r},
			[]kyber.Point{b.keys[from], shared}); err != nil {
			return nil, fmt.Errorf("complaint about dealer %d: %w", dealer, err)
		}
		if _, err := b.open(dealer, from, shared); err == nil {
			return nil, fmt.Errorf("complaint about dealer %d: the share is good", dealer)
		}
	}
	return func() {
		b.responses[from] = true
		for _, c := range r.Complaints {
			if !slices.Contains(b.Bad, c.Dealer) {
				b.Bad = append(b.Bad, c.Dealer)
			}
		}
		slices.Sort(b.Bad)
	}, nil
}

// pad is the one-time key between a dealer and a receiver; XOR with it encrypts and decrypts a share.
func (b *Board) pad(dealer, receiver int, ephemeral, shared kyber.Point) [32]byte {
	return newHasher("fusion-dkg-pad").add(b.session[:]).num(uint64(dealer)).num(uint64(receiver)).points(ephemeral, shared).sum()
}

// open decrypts one share of a deal and checks it against the dealer's polynomial.
func (b *Board) open(dealer, receiver int, shared kyber.Point) (kyber.Scalar, error) {
	d := b.deals[dealer]
	plain := b.pad(dealer, receiver, d.r, shared)
	subtle.XORBytes(plain[:], plain[:], d.body.Shares[receiver])
	s, err := decodeScalar(plain[:])
	if err != nil {
		return nil, err
	}
	if !d.poly.Check(&share.PriShare{I: receiver, V: s}) {
		return nil, fmt.Errorf("share of dealer %d is not on its polynomial", dealer)
	}
	return s, nil
}

// Step applies one block: its items that Check accepts, in order, then the deadlines. It returns how many items were
// taken. A block without items is a Step too.
func (b *Board) Step(store kv.Store, height uint64, items [][]byte) (taken int) {
	if b.Phase == PhaseDone {
		return 0
	}
	before := codec.Marshal(b.meta)
	phase := b.Phase
	for _, raw := range items {
		it, accept, err := b.parse(raw)
		if err != nil {
			continue
		}
		accept()
		store.Set(itemKey(it.Phase, int(it.From)), it.Body)
		taken++
	}
	if s := b.Status(); s.Have == s.Want || height >= b.Deadline {
		b.advance(store, height)
	}
	if phase != b.Phase || !bytes.Equal(before, codec.Marshal(b.meta)) {
		b.save(store)
	}
	return taken
}

// advance ends a phase.
func (b *Board) advance(store kv.Store, height uint64) {
	switch b.Phase {
	case PhaseKeys:
		if len(b.keys) >= b.receivers() {
			b.enter(PhaseDeals, height)
			return
		}
	case PhaseDeals:
		if len(b.deals) >= b.dealers() {
			b.enter(PhaseResponses, height)
			return
		}
	case PhaseResponses:
		if r := b.finish(height); r != nil {
			b.meta.Result, b.Phase, b.Deadline = r, PhaseDone, height
			return
		}
	}
	s := b.Status()
	b.Failure = fmt.Sprintf("attempt %d ended while %v: %d of %d there, missing from %v, %d dealers dropped", s.Attempt, s.Phase, s.Have, s.Want, s.Missing, len(b.Bad))
	eraseItems(store)
	b.begin(height, b.Attempt+1)
}

// finish adds the qualified polynomials up, or returns nil when too few dealers or holders are left.
func (b *Board) finish(height uint64) *Result {
	r := &Result{Epoch: b.Epoch, Attempt: b.Attempt, Height: height, Threshold: b.Threshold}
	for i := range b.Nodes {
		if b.responses[i] {
			r.Holders = append(r.Holders, i)
		}
	}
	for i := range b.speakers(PhaseDeals) {
		if b.deals[i] != nil && !slices.Contains(b.Bad, uint32(i)) {
			r.Qualified = append(r.Qualified, i)
		}
	}
	if len(r.Qualified) < b.dealers() || len(r.Holders) < b.receivers() {
		return nil
	}
	if b.Old != nil { // as many as it takes to interpolate
		r.Qualified = r.Qualified[:b.Old.Threshold]
	}
	var sum *share.PubPoly
	for k, i := range r.Qualified {
		poly := b.deals[i].poly
		if b.Old != nil {
			poly = scaled(poly, coefficient(r.Qualified, k))
		}
		if sum == nil {
			sum = poly
		} else if s, err := sum.Add(poly); err != nil {
			panic(fmt.Sprintf("bls: polynomials of one board do not add: %v", err)) // equal length and group were checked
		} else {
			sum = s
		}
	}
	r.PublicKey = encodePoint(sum.Commit())
	for i := range b.Nodes {
		r.ShareKeys = append(r.ShareKeys, encodePoint(sum.Eval(i).V))
	}
	// Dealers could cancel each other out only by knowing each other's secrets; a neutral key is still no key.
	if _, err := r.Group(); err != nil {
		return nil
	}
	if b.Old != nil && !bytes.Equal(r.PublicKey, b.Old.PublicKey) {
		panic("bls: a resharing has changed the key") // each dealing was held against its share key, and Start against the key
	}
	return r
}
