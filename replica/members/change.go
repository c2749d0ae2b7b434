package members

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fusion/internal/codec"
	"fusion/internal/kv"
)

// Errors of changes.
var (
	ErrItem   = errors.New("invalid membership item")
	ErrStale  = errors.New("the membership item is not expected now") // another epoch or number, or it is there already
	ErrChange = errors.New("invalid change of membership")
)

// Candidate is a node that wants to become a member, as its operator hands it to the others. The proofs show that whoever made it has
// both keys; they bind the network and the addresses.
type Candidate struct {
	_              struct{} `cbor:",toarray"`
	NodeKey        []byte
	ValidatorKey   []byte
	Consensus      string // host:port where the others reach it
	Gossip         string
	NodeProof      []byte
	ValidatorProof []byte
}

const maxAddress = 255 + 6 // a name (RFC 1035, section 2.3.4) and a port

// NewCandidate makes and signs a candidate for the network with that genesis hash.
func NewCandidate(network [32]byte, node, validator ed25519.PrivateKey, consensus, gossip string) Candidate {
	c := Candidate{NodeKey: node.Public().(ed25519.PublicKey), ValidatorKey: validator.Public().(ed25519.PublicKey), Consensus: consensus, Gossip: gossip}
	c.NodeProof, c.ValidatorProof = ed25519.Sign(node, c.signed(network)), ed25519.Sign(validator, c.signed(network))
	return c
}

func (c Candidate) signed(network [32]byte) []byte {
	c.NodeProof, c.ValidatorProof = nil, nil
	return append(append([]byte("fusion/members/candidate/v1\x00"), network[:]...), codec.Marshal(c)...)
}

// Check says whether a candidate holds both its keys and has usable addresses.
func (c Candidate) Check(network [32]byte) error {
	if len(c.NodeKey) != ed25519.PublicKeySize || len(c.ValidatorKey) != ed25519.PublicKeySize || bytes.Equal(c.NodeKey, c.ValidatorKey) {
		return fmt.Errorf("%w: the candidate's keys have %d and %d bytes, or are the same", ErrChange, len(c.NodeKey), len(c.ValidatorKey))
	}
	for _, a := range []string{c.Consensus, c.Gossip} {
		if err := checkAddress(a); err != nil {
			return err
		}
	}
	msg := c.signed(network)
	if len(c.NodeProof) != ed25519.SignatureSize || !ed25519.Verify(c.NodeKey, msg, c.NodeProof) {
		return fmt.Errorf("%w: the candidate does not prove that it has its node key (for this network and these addresses)", ErrChange)
	}
	if len(c.ValidatorProof) != ed25519.SignatureSize || !ed25519.Verify(c.ValidatorKey, msg, c.ValidatorProof) {
		return fmt.Errorf("%w: the candidate does not prove that it has its validator key (for this network and these addresses)", ErrChange)
	}
	return nil
}

func checkAddress(a string) error {
	i := strings.LastIndexByte(a, ':')
	port, err := strconv.ParseUint(a[i+1:], 10, 16)
	if i < 1 || len(a) > maxAddress || err != nil || port == 0 || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: address %.80q, want host:port", ErrChange, a)
	}
	return nil
}

// Change is what is to become of the membership: at most one node comes and at most one goes. With neither, all keys are reshared among the same
// members, which makes shares that were stolen before useless.
type Change struct {
	_      struct{} `cbor:",toarray"`
	Add    []Candidate
	Remove []uint32
}

// Digest names a change; it is what members approve.
func (c Change) Digest() []byte {
	d := sha256.Sum256(append([]byte("fusion/members/change/v1\x00"), codec.Marshal(c)...))
	return d[:]
}

// sentence tells a change in words, up to the verb's object. next is the index that a new node gets.
func (c Change) sentence(next uint32) string {
	switch {
	case len(c.Add) == 0 && len(c.Remove) == 0:
		return "reshare all keys among the same members"
	case len(c.Remove) == 0:
		return fmt.Sprintf("add node %d", next)
	case len(c.Add) == 0:
		return fmt.Sprintf("remove node %d", c.Remove[0])
	default:
		return fmt.Sprintf("replace node %d by node %d", c.Remove[0], next)
	}
}

// check says whether a change can be made to the set in force.
func (c Change) check(r kv.Reader, network [32]byte) error {
	now := Current(r)
	if len(c.Add) > 1 || len(c.Remove) > 1 {
		return fmt.Errorf("%w: it adds %d nodes and removes %d, at most one of each is possible", ErrChange, len(c.Add), len(c.Remove))
	}
	for _, i := range c.Remove {
		if now.Seat(int(i)) < 0 {
			return fmt.Errorf("%w: node %d is not a member", ErrChange, i)
		}
	}
	if n := now.N() + len(c.Add) - len(c.Remove); len(c.Add)+len(c.Remove) > 0 && (n < 4 || n > MaxNodes) {
		return fmt.Errorf("%w: the network would have %d members, it needs 4 to %d", ErrChange, n, MaxNodes)
	}
	for _, a := range c.Add {
		if err := a.Check(network); err != nil {
			return err
		}
		if _, err := indexFor(r, a); err != nil {
			return err
		}
	}
	return nil
}

// indexFor is the index that a candidate gets: a new one, or the one it was given for a change that came to nothing.
func indexFor(r kv.Reader, c Candidate) (uint32, error) {
	n := uint32(Count(r))
	for i := range n {
		v, _ := kv.Record[nodeRecord](r, nodeKey(i))
		switch same := bytes.Equal(v.NodeKey, c.NodeKey) && bytes.Equal(v.ValidatorKey, c.ValidatorKey); {
		case same && !v.Joined:
			return i, nil
		case same, bytes.Equal(v.NodeKey, c.NodeKey), bytes.Equal(v.ValidatorKey, c.ValidatorKey),
			bytes.Equal(v.NodeKey, c.ValidatorKey), bytes.Equal(v.ValidatorKey, c.NodeKey):
			return 0, fmt.Errorf("%w: the candidate's keys are, or were, node %d's; a node that joins needs fresh ones", ErrChange, i)
		}
	}
	return n, nil
}

// Verb is what an item does.
type Verb uint8

// The verbs of items.
const (
	Propose Verb = 1 + iota // by a member, with a Change
	Approve                 // by a member, the change with that digest
	Reject                  // by a member; so many that no quorum is left end a change in any phase
	Ready                   // by a new node, which has caught up
)

// Item is what travels in blocks: one node's word about a change. It counts in one epoch and for one proposal only.
type Item struct {
	_         struct{} `cbor:",toarray"`
	Verb      Verb
	Node      uint32
	Epoch     uint64
	Number    uint64 // of the proposal
	Body      []byte // the encoded Change of Propose, its digest for the others
	Signature []byte
}

// MaxItem bounds an encoded item. A candidate has a few hundred bytes beside its addresses.
const MaxItem = 2 << 10

func (it Item) signed(network [32]byte) []byte {
	it.Signature = nil
	return append(append([]byte("fusion/members/item/v1\x00"), network[:]...), codec.Marshal(it)...)
}

// Sign makes an item's encoding, signed with the node's key.
func (it Item) Sign(network [32]byte, key ed25519.PrivateKey) []byte {
	it.Signature = ed25519.Sign(key, it.signed(network))
	return codec.Marshal(it)
}

// DecodeItem reads an item. Its signature is not checked.
func DecodeItem(b []byte) (it Item, err error) {
	if len(b) > MaxItem {
		return it, fmt.Errorf("%w: %d bytes, at most %d", ErrItem, len(b), MaxItem)
	}
	if err := codec.Unmarshal(b, &it); err != nil {
		return it, fmt.Errorf("%w: %w", ErrItem, err)
	}
	if it.Verb < Propose || it.Verb > Ready || len(it.Signature) != ed25519.SignatureSize {
		return it, fmt.Errorf("%w: verb %d with a signature of %d bytes", ErrItem, it.Verb, len(it.Signature))
	}
	return it, nil
}

// Phase is where an approved change stands.
type Phase uint8

// The phases of a change.
const (
	Joining   Phase = 1 + iota // waits for the new node to catch up
	Resharing                  // the keys are reshared to the next set
)

func (p Phase) String() string {
	switch p {
	case Joining:
		return "joining"
	case Resharing:
		return "resharing"
	}
	return "none"
}

// proposalRecord is a proposal that waits for approvals.
type proposalRecord struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64
	Change   []byte // encoded
	Deadline uint64
	Approved []uint32 // indexes, ascending
	Rejected []uint32
}

// changeRecord is the change that goes on.
type changeRecord struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64
	Change   []byte
	Added    []uint32 // indexes of the new nodes
	Phase    Phase
	Since    uint64 // height at which the phase began
	Deadline uint64
	Approved []uint32
	Rejected []uint32
	Ready    []uint32
}

// lastRecord is how a change ended.
type lastRecord struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64
	Done     bool
	Sentence string
}

func decodeChange(b []byte) (c Change, err error) {
	if err := codec.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrChange, err)
	}
	return c, nil
}

func proposalKey(node uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte(keyProposals), node)
}

// proposals visits the open proposals in the order of their proposers.
func proposals(r kv.Reader, visit func(proposer uint32, p proposalRecord) bool) {
	var all []uint32
	kv.ScanPrefix(r, []byte(keyProposals), func(k, _ []byte) bool {
		all = append(all, binary.BigEndian.Uint32(k[len(keyProposals):]))
		return true
	})
	for _, i := range all {
		if p, ok := kv.Record[proposalRecord](r, proposalKey(i)); ok && !visit(i, p) {
			return
		}
	}
}

// Config is what all replicas agree on before the first block.
type Config struct {
	Network [32]byte // hash of the genesis document, or the life after a recovery (package recovery)
	// Deadlines in blocks: for the approval of a proposal, for a new node to catch up, and for resharing.
	ProposalBlocks uint64
	JoinBlocks     uint64
	ReshareBlocks  uint64
	// Governed says that members propose and approve nothing: whoever owns the machine calls Begin. They may still reject what goes on, which leaves
	// everything as it is.
	Governed bool
}

// Machine is the deterministic half of changes. It has no state of its own.
type Machine struct{ cfg Config }

// NewMachine makes a machine. Deadlines that are zero get their defaults: some three hours of a local network's blocks for what people do,
// and 20,000 blocks for resharing.
func NewMachine(cfg Config) *Machine {
	def := func(v *uint64, d uint64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&cfg.ProposalBlocks, 50_000)
	def(&cfg.JoinBlocks, 50_000)
	def(&cfg.ReshareBlocks, 20_000)
	return &Machine{cfg}
}

// Check says whether a block on top of the committed state may carry an item.
func (m *Machine) Check(r kv.Reader, body []byte) error {
	_, err := m.check(r, body)
	return err
}

// CheckAll checks a block's items, of which a node has at most one.
func (m *Machine) CheckAll(r kv.Reader, bodies [][]byte) error {
	seen := map[uint32]bool{}
	for _, b := range bodies {
		it, err := m.check(r, b)
		if err != nil {
			return err
		}
		if seen[it.Node] {
			return fmt.Errorf("%w: two of node %d in one block", ErrItem, it.Node)
		}
		seen[it.Node] = true
	}
	return nil
}

func (m *Machine) check(r kv.Reader, body []byte) (it Item, err error) {
	if it, err = DecodeItem(body); err != nil {
		return it, err
	}
	now := Current(r)
	node, ok := kv.Record[nodeRecord](r, nodeKey(it.Node))
	if !ok || it.Verb != Ready && now.Seat(int(it.Node)) < 0 {
		return it, fmt.Errorf("%w: node %d is not a member", ErrItem, it.Node)
	}
	if it.Epoch != now.Epoch {
		return it, fmt.Errorf("%w: it is of epoch %d, now it is %d", ErrStale, it.Epoch, now.Epoch)
	}
	if !ed25519.Verify(node.NodeKey, it.signed(m.cfg.Network), it.Signature) {
		return it, fmt.Errorf("%w: the signature is not node %d's", ErrItem, it.Node)
	}
	if m.cfg.Governed && (it.Verb == Propose || it.Verb == Approve) {
		return it, fmt.Errorf("%w: node keys decide nothing here: the operators do, by proposals to the root canister", ErrItem)
	}
	running, goesOn := kv.Record[changeRecord](r, []byte(keyChange))
	switch it.Verb {
	case Propose:
		if goesOn {
			return it, fmt.Errorf("%w: change %d goes on; wait for its end, or reject it", ErrStale, running.Number)
		}
		if n := NextNumber(r); it.Number != n {
			return it, fmt.Errorf("%w: proposal %d, the next is %d", ErrStale, it.Number, n)
		}
		c, err := decodeChange(it.Body)
		if err != nil {
			return it, err
		}
		return it, c.check(r, m.cfg.Network)
	case Approve, Reject:
		var approved, rejected []uint32
		var change []byte
		if goesOn && running.Number == it.Number {
			approved, rejected, change = running.Approved, running.Rejected, running.Change
		} else if _, p, ok := find(r, it.Number); ok {
			approved, rejected, change = p.Approved, p.Rejected, p.Change
		} else {
			return it, fmt.Errorf("%w: there is no open proposal %d", ErrStale, it.Number)
		}
		if c, err := decodeChange(change); err != nil || !bytes.Equal(c.Digest(), it.Body) {
			return it, fmt.Errorf("%w: proposal %d is another change than node %d speaks of", ErrItem, it.Number, it.Node)
		}
		said := approved
		if it.Verb == Reject {
			said = rejected
		}
		if slices.Contains(said, it.Node) || it.Verb == Approve && slices.Contains(rejected, it.Node) {
			return it, fmt.Errorf("%w: node %d has said so already, or has rejected it", ErrStale, it.Node)
		}
	case Ready:
		if !goesOn || running.Phase != Joining || running.Number != it.Number || !slices.Contains(running.Added, it.Node) || slices.Contains(running.Ready, it.Node) {
			return it, fmt.Errorf("%w: nobody waits for node %d to be ready", ErrStale, it.Node)
		}
	}
	return it, nil
}

// find returns the open proposal with a number.
func find(r kv.Reader, number uint64) (proposer uint32, p proposalRecord, ok bool) {
	proposals(r, func(i uint32, q proposalRecord) bool {
		if q.Number == number {
			proposer, p, ok = i, q, true
		}
		return !ok
	})
	return proposer, p, ok
}

// NextNumber is the number that the next proposal must have.
func NextNumber(r kv.Reader) uint64 {
	b, ok := r.Get([]byte(keyNumber))
	if !ok {
		return 1
	}
	return binary.BigEndian.Uint64(b)
}

// Apply executes an item of a decided block. One that does not hold up changes nothing.
func (m *Machine) Apply(s kv.Store, height uint64, body []byte) error {
	it, err := m.check(s, body)
	if err != nil {
		return err
	}
	switch it.Verb {
	case Propose: // in place of an older one of the same member
		put(s, proposalKey(it.Node), proposalRecord{Number: it.Number, Change: it.Body, Deadline: height + m.cfg.ProposalBlocks, Approved: []uint32{it.Node}})
		s.Set([]byte(keyNumber), binary.BigEndian.AppendUint64(nil, it.Number+1))
	case Approve:
		if proposer, p, ok := find(s, it.Number); ok {
			p.Approved = insert(p.Approved, it.Node)
			put(s, proposalKey(proposer), p)
		} else {
			c, _ := kv.Record[changeRecord](s, []byte(keyChange))
			c.Approved = insert(c.Approved, it.Node)
			put(s, []byte(keyChange), c)
		}
	case Reject:
		without := func(list []uint32) []uint32 {
			return slices.DeleteFunc(list, func(i uint32) bool { return i == it.Node })
		}
		if proposer, p, ok := find(s, it.Number); ok {
			p.Approved, p.Rejected = without(p.Approved), insert(p.Rejected, it.Node)
			put(s, proposalKey(proposer), p)
		} else {
			c, _ := kv.Record[changeRecord](s, []byte(keyChange))
			c.Approved, c.Rejected = without(c.Approved), insert(c.Rejected, it.Node)
			put(s, []byte(keyChange), c)
		}
	case Ready:
		c, _ := kv.Record[changeRecord](s, []byte(keyChange))
		c.Ready = insert(c.Ready, it.Node)
		put(s, []byte(keyChange), c)
	}
	return nil
}

func insert(list []uint32, v uint32) []uint32 {
	if i, found := slices.BinarySearch(list, v); !found {
		list = slices.Insert(list, i, v)
	}
	return list
}

// Keys is how far the threshold keys are in the resharing to the next set.
type Keys struct {
	Done   bool   // every new member has stored all its new shares and said so in a block
	Failed string // why it cannot be done, or empty
}

// Event is what a block did to the membership. At most one field is set.
type Event struct {
	Reshare   *Set   // the resharing of all keys to this set begins
	Activated *Set   // this set is in force from this block on
	Aborted   string // a change ended without effect, and why; a resharing that runs must be given up
}

// Advance lets deadlines and phases pass. It is called once per block, after its items. keys is asked in the phase of resharing only.
func (m *Machine) Advance(s kv.Store, height uint64, keys func() Keys) Event {
	c, ok := kv.Record[changeRecord](s, []byte(keyChange))
	if !ok {
		return m.decide(s, height)
	}
	change, err := decodeChange(c.Change)
	if err != nil {
		panic(fmt.Sprintf("members: the change that goes on is damaged: %v", err)) // it was checked when it was proposed
	}
	now := Current(s)
	abort := func(format string, args ...any) Event {
		reason := fmt.Sprintf("change %d (%s) was given up at block %d: %s; nothing has changed", c.Number, change.sentence(first(c.Added)), height, fmt.Sprintf(format, args...))
		s.Delete([]byte(keyChange))
		s.Delete([]byte(keyNext))
		put(s, []byte(keyLast), lastRecord{Number: c.Number, Sentence: reason})
		return Event{Aborted: reason}
	}
	if len(c.Rejected) > now.N()-now.Quorum() {
		return abort("nodes %v have rejected it", c.Rejected)
	}
	switch c.Phase {
	case Joining:
		if len(c.Ready) < len(c.Added) {
			if height >= c.Deadline {
				return abort("node %d has not caught up within %d blocks", first(c.Added), m.cfg.JoinBlocks)
			}
			return Event{}
		}
		c.Phase, c.Since, c.Deadline = Resharing, height, height+m.cfg.ReshareBlocks
		put(s, []byte(keyChange), c)
		next := Set{Epoch: now.Epoch + 1}
		for _, i := range now.Nodes {
			if !slices.Contains(change.Remove, i) {
				next.Nodes = append(next.Nodes, i)
			}
		}
		for _, i := range c.Added {
			next.Nodes = insert(next.Nodes, i)
		}
		put(s, []byte(keyNext), next)
		return Event{Reshare: &next}
	case Resharing:
		switch k := keys(); {
		case k.Failed != "":
			return abort("%s", k.Failed)
		case k.Done:
			return m.activate(s, height, c, change)
		case height >= c.Deadline:
			return abort("not all keys were reshared within %d blocks", m.cfg.ReshareBlocks)
		}
	}
	return Event{}
}

// Abandon ends proposals and the change that goes on, without effect. Whoever has keys gives their resharing up.
func Abandon(s kv.Store, height uint64, why string) {
	dropProposals(s)
	c, ok := kv.Record[changeRecord](s, []byte(keyChange))
	if !ok {
		return
	}
	s.Delete([]byte(keyChange))
	s.Delete([]byte(keyNext))
	put(s, []byte(keyLast), lastRecord{Number: c.Number, Sentence: fmt.Sprintf("change %d was given up at block %d: %s; nothing has changed", c.Number, height, why)})
}

func first(list []uint32) uint32 {
	if len(list) == 0 {
		return 0
	}
	return list[0]
}

// decide looks for a proposal that has its quorum, or can have none any more.
func (m *Machine) decide(s kv.Store, height uint64) (ev Event) {
	now := Current(s)
	proposals(s, func(i uint32, p proposalRecord) bool {
		change, err := decodeChange(p.Change)
		if err == nil {
			err = change.check(s, m.cfg.Network)
		}
		switch {
		case len(p.Approved) >= now.Quorum() && err == nil:
			m.accept(s, height, p, change)
			return false
		case err != nil, len(p.Rejected) > now.N()-now.Quorum(), height >= p.Deadline:
			why := fmt.Sprintf("it was not approved within %d blocks", m.cfg.ProposalBlocks)
			if err != nil {
				why = err.Error()
			} else if height < p.Deadline {
				why = fmt.Sprintf("nodes %v have rejected it", p.Rejected)
			}
			ev.Aborted = fmt.Sprintf("proposal %d was given up at block %d: %s", p.Number, height, why)
			put(s, []byte(keyLast), lastRecord{Number: p.Number, Sentence: ev.Aborted})
			s.Delete(proposalKey(i))
		}
		return true
	})
	return ev
}

// CheckChange says whether Begin would begin a change.
func (m *Machine) CheckChange(r kv.Reader, c Change) error {
	if running, goesOn := kv.Record[changeRecord](r, []byte(keyChange)); goesOn {
		return fmt.Errorf("%w: change %d goes on; wait for its end", ErrStale, running.Number)
	}
	return c.check(r, m.cfg.Network)
}

// Begin begins a change that was decided elsewhere, and returns its number.
func (m *Machine) Begin(s kv.Store, height uint64, c Change) (uint64, error) {
	if err := m.CheckChange(s, c); err != nil {
		return 0, err
	}
	n := NextNumber(s)
	s.Set([]byte(keyNumber), binary.BigEndian.AppendUint64(nil, n+1))
	m.accept(s, height, proposalRecord{Number: n, Change: codec.Marshal(c)}, c)
	return n, nil
}

// accept begins a change. The other proposals are dropped: they were made for the membership as it is now.
func (m *Machine) accept(s kv.Store, height uint64, p proposalRecord, change Change) {
	c := changeRecord{Number: p.Number, Change: p.Change, Phase: Joining, Since: height, Deadline: height + m.cfg.JoinBlocks, Approved: p.Approved}
	for _, a := range change.Add {
		i, err := indexFor(s, a)
		if err != nil {
			panic(fmt.Sprintf("members: a checked candidate has no index: %v", err))
		}
		put(s, nodeKey(i), nodeRecord{NodeKey: a.NodeKey, ValidatorKey: a.ValidatorKey, Consensus: a.Consensus, Gossip: a.Gossip})
		if int(i) == Count(s) {
			s.Set([]byte(keyCount), binary.BigEndian.AppendUint32(nil, i+1))
		}
		c.Added = insert(c.Added, i)
	}
	put(s, []byte(keyChange), c)
	dropProposals(s)
}

func dropProposals(s kv.Store) {
	var all []uint32
	proposals(s, func(i uint32, _ proposalRecord) bool { all = append(all, i); return true })
	for _, i := range all {
		s.Delete(proposalKey(i))
	}
}

func (m *Machine) activate(s kv.Store, height uint64, c changeRecord, change Change) Event {
	next, ok := Next(s)
	if !ok {
		panic("members: a resharing without a next set")
	}
	for _, i := range c.Added {
		v, _ := kv.Record[nodeRecord](s, nodeKey(i))
		v.Joined = true
		put(s, nodeKey(i), v)
	}
	for _, i := range change.Remove {
		v, _ := kv.Record[nodeRecord](s, nodeKey(i))
		v.Left = height
		put(s, nodeKey(i), v)
	}
	put(s, setKey(next.Epoch), setRecord{Set: next, From: height})
	s.Set([]byte(keyCurrent), binary.BigEndian.AppendUint64(nil, next.Epoch))
	s.Delete([]byte(keyNext))
	s.Delete([]byte(keyChange))
	put(s, []byte(keyLast), lastRecord{Number: c.Number, Done: true, Sentence: fmt.Sprintf("change %d (%s) is in force since block %d", c.Number, change.sentence(first(c.Added)), height)})
	return Event{Activated: &next}
}
