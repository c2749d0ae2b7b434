package vetkeys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"fusion/chainkey"
	"fusion/chainkey/bls"
	"fusion/chainkey/vetkd"
	"fusion/internal/codec"
	"fusion/internal/kv"
	"fusion/replica/genesis"
)

// Errors of requests and items.
var (
	ErrUnknownKey  = errors.New("unknown vetkd key")
	ErrKeyNotReady = errors.New("vetkd key is not ready")
	ErrQueueFull   = errors.New("too many open vetkd requests")
	ErrItem        = errors.New("invalid vetkd item")
)

// sysTransient is the Internet Computer's reject code for failures that may pass.
const sysTransient = 2

// Config is what all replicas agree on before the first block.
type Config struct {
	Life  [32]byte            // what items are bound to: the hash of the genesis document, or what took its place (package recovery)
	Nodes []ed25519.PublicKey // node keys by node index
	Keys  []string            // names of the master keys to generate
	// PhaseBlocks is the deadline of each phase of a key generation. The default is bls.DefaultPhaseBlocks.
	PhaseBlocks uint64

	// QueueLimit is how many requests may be open per key; one canister may have half of them. The default is 40: the Internet Computer's
	// limit of 20, for each of two canisters.
	QueueLimit int
	// RequestBlocks is after how many blocks an unanswered request is rejected. The default is 600, several minutes.
	RequestBlocks uint64
}

// FromGenesis reads the configuration out of a genesis document. life is its hash, or what took its place (package recovery).
func FromGenesis(doc *genesis.Doc, life [32]byte) Config {
	c := Config{Life: life, PhaseBlocks: doc.DKGPhaseBlocks}
	for _, n := range doc.Nodes {
		c.Nodes = append(c.Nodes, ed25519.PublicKey(n.NodeKey))
	}
	for _, k := range doc.Keys {
		if k.Algorithm == chainkey.Bls12381G2 {
			c.Keys = append(c.Keys, k.Name)
		}
	}
	return c
}

// EnsureDefaults fills fields that are zero.
func (c *Config) EnsureDefaults() {
	if c.QueueLimit == 0 {
		c.QueueLimit = 40
	}
	if c.RequestBlocks == 0 {
		c.RequestBlocks = 600
	}
}

// Request asks for an encrypted key.
type Request struct {
	ID        uint64 // unique for ever, ascending
	Key       string
	Canister  []byte // principal of the caller
	Context   []byte
	Input     []byte
	Transport []byte
	Height    uint64 // of the block that orders it
}

// Response ends a request: with an encrypted key, or with a reject of the Internet Computer's codes.
type Response struct {
	ID            uint64
	EncryptedKey  []byte // vetkd.EncryptedKeySize bytes
	RejectCode    int
	RejectMessage string
}

// Open is a request that waits for its answer.
type Open struct {
	ID      uint64
	Key     string
	Height  uint64
	Epoch   uint64   // of the key
	Members []uint32 // nodes of the epoch, by seat
	Group   *bls.Group
	Request vetkd.Request
}

// Key is a master key that derives.
type Key struct {
	Name      string
	PublicKey [vetkd.PublicKeySize]byte
}

// Status says where a key stands.
type Status struct {
	Name      string
	Active    bool
	PublicKey [vetkd.PublicKeySize]byte // of an active key
	Sentence  string
}

// Machine is the deterministic half; see the package documentation. It belongs to one goroutine.
type Machine struct {
	cfg      Config
	keyOf    func(uint32) ed25519.PublicKey
	keys     []*master
	verified map[[32]byte]bool // encrypted keys that were checked, so that a block's are not checked twice
}

// maxVerified bounds the memory of checks; a block carries fewer.
const maxVerified = 1024

// master is a master key.
type master struct {
	*bls.Epochs
	name   string
	prefix string
}

// The machine's keys. Below a master's prefix lies what bls.Epochs keeps.
const (
	keyPrefix     = "k/"
	requestPrefix = "r/"
)

// record is an open request in the store.
type record struct {
	_        struct{} `cbor:",toarray"`
	Key      string
	Canister []byte
	Height   uint64
	Request  vetkd.Request
}

// result is a finished encrypted key in a block.
type result struct {
	_            struct{} `cbor:",toarray"`
	Request      uint64
	EncryptedKey []byte
}

// maxResultBytes bounds an item that carries a result.
const maxResultBytes = vetkd.EncryptedKeySize + 32

// OpenMachine opens the machine on its store.
func OpenMachine(cfg Config, r kv.Reader) (*Machine, error) {
	cfg.EnsureDefaults()
	m := &Machine{cfg: cfg, verified: map[[32]byte]bool{}}
	for _, name := range cfg.Keys {
		k := &master{name: name, prefix: fmt.Sprintf("%s%x/", keyPrefix, name)}
		m.keys = append(m.keys, k)
		var err error
		if k.Epochs, err = bls.OpenEpochs(kv.PrefixReader(r, k.prefix)); err != nil {
			return nil, fmt.Errorf("vetkd key %q: %w", name, err)
		}
	}
	return m, nil
}

// domain binds a key generation to the network and the key.
func (m *Machine) domain(name string) []byte { return domain(m.cfg.Life, name) }

func domain(life [32]byte, name string) []byte {
	h := sha256.New()
	h.Write([]byte("fusion/vetkeys/key/v1\x00"))
	h.Write(life[:])
	h.Write([]byte(name))
	return h.Sum(nil)
}

// Names are the names of all master keys, those that are being made too.
func (m *Machine) Names() []string { return m.cfg.Keys }

// Keys are the master keys that derive, in the order of the configuration.
func (m *Machine) Keys() (out []Key) {
	for _, k := range m.keys {
		if g := k.Group(); g != nil {
			out = append(out, Key{k.name, g.PublicKey()})
		}
	}
	return out
}

// Board is the board on which key i is being made or reshared, or nil.
func (m *Machine) Board(i int) *bls.Board { return m.keys[i].Board() }

// Epochs is key i with its epochs. It is for reading.
func (m *Machine) Epochs(i int) *bls.Epochs { return m.keys[i].Epochs }

// Ready reports whether key i is made.
func (m *Machine) Ready(i int) bool { return m.keys[i].Group() != nil }

// FinishedBoard reads the board of key i's finished generation, from which members derive their shares.
func (m *Machine) FinishedBoard(r kv.Reader, i int) (*bls.Board, error) {
	b, err := bls.Open(kv.PrefixReader(r, m.keys[i].prefix))
	if err != nil {
		return nil, fmt.Errorf("reading the finished generation of vetkd key %q: %w", m.keys[i].name, err)
	}
	return b, nil
}

// Status explains the keys.
func (m *Machine) Status() (out []Status) {
	for _, k := range m.keys {
		s := Status{Name: k.name, Sentence: k.Sentence()}
		if g := k.Group(); g != nil {
			s.Active, s.PublicKey = true, g.PublicKey()
		}
		out = append(out, s)
	}
	return out
}

func (m *Machine) master(name string) *master {
	for _, k := range m.keys {
		if k.name == name {
			return k
		}
	}
	return nil
}

func requestKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte(requestPrefix), id) }

func decodeRecord(key, raw []byte) record {
	var v record
	if err := codec.Unmarshal(raw, &v); err != nil {
		panic(fmt.Sprintf("vetkeys: damaged state under %q: %v", key, err)) // written by us: the store is broken
	}
	return v
}

// Submit opens a request. After an error nothing has changed, and the caller rejects the call.
func (m *Machine) Submit(s kv.Store, r Request) error {
	k := m.master(r.Key)
	switch {
	case k == nil:
		return fmt.Errorf("%w %q", ErrUnknownKey, r.Key)
	case k.Group() == nil:
		return fmt.Errorf("%w: %q is still being generated", ErrKeyNotReady, r.Key)
	}
	open, own := 0, 0
	m.scan(s, func(_ uint64, v record) {
		if v.Key == r.Key {
			open++
			if bytes.Equal(v.Canister, r.Canister) {
				own++
			}
		}
	})
	if open >= m.cfg.QueueLimit {
		return fmt.Errorf("%w for key %q: %d", ErrQueueFull, r.Key, open)
	}
	if own >= max(m.cfg.QueueLimit/2, 1) {
		return fmt.Errorf("%w for key %q by one canister: %d", ErrQueueFull, r.Key, own)
	}
	public := k.Group().PublicKey()
	q, err := vetkd.NewRequest(public[:], r.Canister, r.Context, r.Input, r.Transport)
	if err != nil {
		return err
	}
	s.Set(requestKey(r.ID), codec.Marshal(record{Key: r.Key, Canister: r.Canister, Height: r.Height, Request: *q}))
	return nil
}

func (m *Machine) scan(r kv.Reader, visit func(id uint64, v record)) {
	kv.ScanPrefix(r, []byte(requestPrefix), func(key, raw []byte) bool {
		visit(binary.BigEndian.Uint64(key[len(requestPrefix):]), decodeRecord(key, raw))
		return true
	})
}

// Requests are the open requests, oldest first.
func (m *Machine) Requests(r kv.Reader) (out []Open) {
	m.scan(r, func(id uint64, v record) {
		k := m.master(v.Key)
		out = append(out, Open{ID: id, Key: v.Key, Height: v.Height, Epoch: k.Epoch(), Members: k.Members(), Group: k.Group(), Request: v.Request})
	})
	return out
}

// boardOf finds the board that would take an item.
func (m *Machine) boardOf(item []byte) (*master, error) {
	err := error(bls.ErrStale)
	for _, k := range m.keys {
		b := k.Board()
		if b == nil {
			continue
		}
		if e := b.Check(item); e == nil {
			return k, nil
		} else if !errors.Is(e, bls.ErrStale) {
			err = e
		}
	}
	return nil, err
}

// CheckGeneration says whether a block may carry these bundles of key generations.
func (m *Machine) CheckGeneration(items [][]byte) error {
	by := map[*master][][]byte{}
	for _, it := range items {
		k, err := m.boardOf(it)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrItem, err)
		}
		by[k] = append(by[k], it)
	}
	for _, k := range m.keys {
		if len(by[k]) > 1 {
			if err := k.Board().CheckAll(by[k]); err != nil {
				return fmt.Errorf("%w: %w", ErrItem, err)
			}
		}
	}
	return nil
}

// CheckResult judges one encrypted key of a proposed block against the committed state. It is what Step relies on.
func (m *Machine) CheckResult(r kv.Reader, item []byte) error {
	_, err := m.parse(r, item)
	return err
}

// CheckResults is CheckResult for all of a block's, which must be of distinct requests.
func (m *Machine) CheckResults(r kv.Reader, items [][]byte) error {
	seen := map[uint64]bool{}
	for _, it := range items {
		v, err := m.parse(r, it)
		if err != nil {
			return err
		}
		if seen[v.Request] {
			return fmt.Errorf("%w: two keys for request %d", ErrItem, v.Request)
		}
		seen[v.Request] = true
	}
	return nil
}

func (m *Machine) parse(r kv.Reader, item []byte) (*result, error) {
	if len(item) > maxResultBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrItem, len(item))
	}
	var v result
	if err := codec.Unmarshal(item, &v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrItem, err)
	}
	key := requestKey(v.Request)
	raw, ok := r.Get(key)
	if !ok {
		return nil, fmt.Errorf("%w: request %d is not open", ErrItem, v.Request)
	}
	sum := sha256.Sum256(append(append([]byte{}, raw...), item...))
	if m.verified[sum] {
		return &v, nil
	}
	q := decodeRecord(key, raw).Request
	if err := q.Verify(v.EncryptedKey); err != nil {
		return nil, fmt.Errorf("%w: request %d: %w", ErrItem, v.Request, err)
	}
	if len(m.verified) >= maxVerified {
		clear(m.verified)
	}
	m.verified[sum] = true
	return &v, nil
}

// Step applies a block: bundles of key generations, then encrypted keys, then deadlines. It returns the answers and how many items did not hold
// up. An item that does not pass its check, because an earlier one made it moot, changes nothing.
func (m *Machine) Step(s kv.Store, height uint64, generation, results [][]byte) (due []Response, skipped int) {
	by := map[*master][][]byte{}
	for _, it := range generation {
		if k, err := m.boardOf(it); err == nil {
			by[k] = append(by[k], it)
		} else {
			skipped++
		}
	}
	for _, k := range m.keys {
		skipped += m.stepKey(kv.Prefix(s, k.prefix), k, height, by[k])
	}
	for _, it := range results {
		v, err := m.parse(s, it)
		if err != nil {
			skipped++
			continue
		}
		s.Delete(requestKey(v.Request))
		due = append(due, Response{ID: v.Request, EncryptedKey: v.EncryptedKey})
	}
	var late []uint64
	m.scan(s, func(id uint64, v record) {
		if height >= v.Height+m.cfg.RequestBlocks {
			late = append(late, id)
		}
	})
	for _, id := range late {
		s.Delete(requestKey(id))
		due = append(due, Response{ID: id, RejectCode: sysTransient, RejectMessage: fmt.Sprintf("the key was not derived within %d blocks", m.cfg.RequestBlocks)})
	}
	return due, skipped
}

// stepKey moves the generation of one key.
func (m *Machine) stepKey(s kv.Store, k *master, height uint64, items [][]byte) (skipped int) {
	if !k.Begun() {
		if err := k.Generate(s, height, bls.Params{Domain: m.domain(k.name), Nodes: m.cfg.Nodes, PhaseBlocks: m.cfg.PhaseBlocks}); err != nil {
			panic(fmt.Sprintf("vetkeys: key %q cannot be generated: %v", k.name, err)) // the genesis document was validated
		}
		return len(items)
	}
	taken, _ := k.Step(s, height, items)
	return len(items) - taken
}

// SetNodes says where StartReshare finds node keys: nodes that joined later are not in the configuration.
func (m *Machine) SetNodes(keyOf func(node uint32) ed25519.PublicKey) { m.keyOf = keyOf }

// StartReshare begins to hand all keys to the nodes of an epoch, in the order of their seats.
func (m *Machine) StartReshare(s kv.Store, height, epoch uint64, nodes []uint32) {
	var keys []ed25519.PublicKey
	for _, n := range nodes {
		if m.keyOf != nil {
			keys = append(keys, m.keyOf(n))
		} else if int(n) < len(m.cfg.Nodes) {
			keys = append(keys, m.cfg.Nodes[n])
		}
	}
	for _, k := range m.keys {
		_ = k.Reshare(kv.Prefix(s, k.prefix), height, epoch, nodes, keys) // what was not begun is told by ReshareStatus
	}
}

// ReshareStatus says whether all keys are prepared for the next epoch, or why they will not be.
func (m *Machine) ReshareStatus(kv.Reader) (done bool, failed string) {
	done = true
	for _, k := range m.keys {
		d, failed := k.Resharing()
		if failed != "" {
			return false, fmt.Sprintf("vetkd key %s: %s", k.name, failed)
		}
		done = done && d
	}
	return done, ""
}

// ActivateReshare puts the next epoch's shares in force. Open requests go on with them.
func (m *Machine) ActivateReshare(s kv.Store, height uint64) {
	for _, k := range m.keys {
		k.Activate(kv.Prefix(s, k.prefix), height)
	}
}

// AbortReshare gives the resharing up, if there is one.
func (m *Machine) AbortReshare(s kv.Store) {
	for _, k := range m.keys {
		k.Abort(kv.Prefix(s, k.prefix))
	}
}

// Renew ends generations and resharings that are under way: generations begin anew, and like later resharings they are bound to a life of the network.
func (m *Machine) Renew(s kv.Store, height uint64, life [32]byte) error {
	for _, k := range m.keys {
		if err := k.Renew(kv.Prefix(s, k.prefix), height, domain(life, k.name)); err != nil {
			return fmt.Errorf("vetkd key %q: %w", k.name, err)
		}
	}
	return nil
}
