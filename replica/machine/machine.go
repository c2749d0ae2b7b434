package machine

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"fusion/btc/canister"
	"fusion/chainkey/bls"
	"fusion/ic/certificate"
	"fusion/ic/envelope"
	"fusion/ic/hashtree"
	"fusion/ic/principal"
	"fusion/internal/kv"
	"fusion/replica/consensus/driver"
	"fusion/replica/execution"
	"fusion/replica/execution/wasm"
	"fusion/replica/genesis"
	"fusion/replica/ingress"
	"fusion/replica/members"
	"fusion/replica/outcalls"
	"fusion/replica/payload"
	"fusion/replica/signing"
	"fusion/replica/state"
	"fusion/replica/transcripts"
	"fusion/replica/vetkeys"
)

// ErrInvalid is wrapped by every refusal of a block.
var ErrInvalid = errors.New("invalid block")

// Key spaces within the replicated state.
const (
	prefixDKG       = "dkg/"
	prefixSigning   = "sig/"
	prefixVetKeys   = "vet/"
	prefixOutcalls  = "out/"
	prefixBitcoin   = "btc/"
	prefixEthereum  = "eth/"
	prefixExecution = "exe/"
	prefixMachine   = "mac/"
	prefixMembers   = "mem/"
	prefixRoot      = "root/"
	prefixRivals    = "rival/"
)

// Config is what a machine is made of. All replicas of a network use equal values of all fields but those marked local.
type Config struct {
	Genesis *genesis.Doc
	Engine  *wasm.Engine // local: may be shared by the replicas of a process
	Log     *slog.Logger // local
	// Newest is the newest version of the protocol that this machine executes; it is for tests, the default is what the program knows (local).
	Newest uint64
	// Memo remembers which ingress messages are authentic (local: may be shared by the replicas of a process). The default
	// is a memo of the machine's own.
	Memo *ingress.Memo
	// Dealings remembers which dealings of threshold keys hold (local: shared with the replica's driver). The default is a memo of the machine's own.
	Dealings *transcripts.Memo
}

// Result is what executing a block gave.
type Result struct {
	AppHash [32]byte
	Ingress [][32]byte // ids of the messages the block carried
	Skipped int        // items that did not hold up
	execution.RoundResult
}

// Machine is the replicated state machine; see the package documentation.
type Machine struct {
	cfg     Config
	db      *state.DB
	log     *slog.Logger
	genesis [32]byte
	life    [32]byte // genesis, or that since the last recovery (package recovery)
	last    Recovered

	rootKey *bls.Epochs
	group   *bls.Group // of the epoch in force, once there is a key
	subnet
	exec *execution.Executor
	sign *signing.Machine
	vet  *vetkeys.Machine
	out  *outcalls.Machine
	btc  *bitcoin
	eth  *ethereum
	root *governance
	tree *hashtree.Map

	members *membership
	change  *members.Machine

	timeNs  uint64
	pending *pending
	view    atomic.Pointer[View]
	mempool atomic.Pointer[MempoolView] // for queries, nil until there is one
}

// subnet is what exists once the root key does.
type subnet struct {
	id         principal.Principal
	rootKeyDER []byte
	verifier   *certificate.Verifier // of the root key
}

type pending struct {
	block   *state.Block
	height  uint64
	appHash [32]byte
	tree    *hashtree.Map
	root    [32]byte
}

var (
	keyTime = []byte("time")
	keyRoot = []byte("root")
)

// Open opens the machine on its database; a fresh database starts at genesis.
func Open(cfg Config, db *state.DB) (*Machine, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Memo == nil {
		cfg.Memo = ingress.NewMemo(0)
	}
	if cfg.Newest == 0 {
		cfg.Newest = Newest
	}
	m := &Machine{cfg: cfg, db: db, rootKey: &bls.Epochs{}, log: cfg.Log, genesis: cfg.Genesis.Hash(), timeNs: cfg.Genesis.TimeNs}
	doc := cfg.Genesis
	m.readRecovered(kv.PrefixReader(db.Reader(), prefixMachine))
	m.change = members.NewMachine(members.Config{Network: m.life, ReshareBlocks: reshareAttempts * doc.KeygenDeadlineBlocks, Governed: doc.Governance != nil})
	r := db.Reader()
	m.readMembers(m.MembersReader(), db.Head().Height)
	if db.Head().Height == 0 {
		if err := checkImported(doc, r); err != nil {
			return nil, err
		}
		m.publish()
		return m, nil
	}
	if err := m.load(kv.ReadOnly(r)); err != nil {
		return nil, fmt.Errorf("opening the machine at block %d: %w", db.Head().Height, err)
	}
	m.publish()
	return m, nil
}

func (m *Machine) load(s kv.Store) error {
	mac := kv.Prefix(s, prefixMachine)
	if err := m.knows(Protocol(mac)); err != nil {
		return err
	}
	if b, ok := mac.Get(keyTime); ok {
		m.timeNs = binary.BigEndian.Uint64(b)
	}
	root, err := bls.OpenEpochs(kv.PrefixReader(s, prefixDKG))
	if err != nil {
		return err
	}
	if m.rootKey = root; root.Group() == nil {
		return nil
	}
	if err := m.foundSubnet(s); err != nil {
		return err
	}
	stored, _ := mac.Get(keyRoot)
	if got := m.tree.Digest(); !bytes.Equal(stored, got[:]) {
		return fmt.Errorf("the certified tree has root %x after reopening, it was %x", got, stored)
	}
	return nil
}

// foundSubnet opens the rooms that need the root key.
func (m *Machine) foundSubnet(s kv.Store) error {
	m.group = m.rootKey.Group()
	key := m.group.PublicKey()
	der := certificate.WrapKey(key)
	verifier, err := certificate.NewVerifier(der)
	if err != nil {
		return err
	}
	m.subnet = subnet{principal.SelfAuthenticating(der), der, verifier}
	doc := m.cfg.Genesis
	if m.btc, err = openBitcoin(doc, m.db, &m.mempool, s); err != nil {
		return err
	}
	if m.eth, err = openEthereum(doc, s); err != nil {
		return err
	}
	chainkeys := signing.FromGenesis(doc, m.life)
	chainkeys.Memo = m.cfg.Dealings
	if m.sign, err = signing.NewMachine(chainkeys); err != nil {
		return err
	}
	if m.vet, err = vetkeys.OpenMachine(vetkeys.FromGenesis(doc, m.life), kv.PrefixReader(s, prefixVetKeys)); err != nil {
		return err
	}
	if m.out, err = outcalls.NewMachine(outcalls.FromGenesis(doc, m.life)); err != nil {
		return err
	}
	m.out.SetMembers(m.members.roster)
	m.vet.SetNodes(m.nodeKey)
	natives := map[principal.Principal]execution.Native{}
	if m.btc != nil {
		natives[m.btc.id] = m.btc
	}
	if m.eth != nil {
		natives[m.eth.id] = m.eth
	}
	var governor principal.Principal
	if m.root = m.openGovernance(doc, s); m.root != nil {
		governor = genesis.RootCanister
		natives[governor] = m.root
	}
	bitcoins := map[string]principal.Principal{"mainnet": canister.MainnetID, "testnet": canister.TestnetID, "regtest": canister.TestnetID}
	var first uint64
	var ranges [][2]principal.Principal
	for _, r := range doc.CanisterRanges {
		if n, ok := r.First.Uint64(); ok && first == 0 && r.First != r.Last {
			first = n
		}
		ranges = append(ranges, [2]principal.Principal{r.First, r.Last})
	}
	m.exec, err = execution.New(execution.Config{Engine: m.cfg.Engine, Subnet: m.subnet.id, RootKey: der, Natives: natives, Bitcoin: bitcoins, Admins: doc.SubnetAdmins, Custodial: doc.Custodial, Root: governor, Recovery: m.last.Number,
		Local: doc.Class == genesis.Local, NodeCount: m.members.set.N(), FirstCanister: first, Ranges: ranges,
		Reader: kv.PrefixReader(m.db.Reader(), prefixExecution), Log: m.log}, kv.Prefix(s, prefixExecution))
	if err != nil {
		return err
	}
	m.exec.SetKeys(m.activeKeys(kv.PrefixReader(s, prefixSigning)))
	t := stateTree(nil, doc, m.subnet.id, der)
	t = nodeTree(t, m.subnet.id, &members.Roster{}, m.members.roster)
	m.tree = withTime(m.exec.Tree(t), m.timeNs)
	return nil
}

// Head is the last committed block.
func (m *Machine) Head() state.Head { return m.db.Head() }

// Check says whether a proposed block may be voted for. It depends on the block and the committed state alone.
func (m *Machine) Check(b driver.Block) error {
	bad := func(err error) error {
		return fmt.Errorf("%w %d of node %d: %w", ErrInvalid, b.Height, b.Proposer, err)
	}
	items, err := payload.Parse(b.Txs)
	if err != nil {
		return bad(err)
	}
	by := split(items)
	if m.group == nil {
		if len(items) != len(by.dkg) {
			return bad(errors.New("it carries more than key generation before there is a key"))
		}
		if !m.rootKey.Begun() { // the block that opens the key generation
			if len(items) > 0 {
				return bad(errors.New("it carries key generation before it was opened"))
			}
			return nil
		}
		if err := m.rootKey.Board().CheckAll(by.dkg); err != nil {
			return bad(err)
		}
		return nil
	}
	for _, raw := range by.beacons {
		if _, err := m.checkBeacon(raw); err != nil {
			return bad(err)
		}
	}
	for _, it := range by.signing {
		if err := m.CheckSigning(it); err != nil {
			return bad(err)
		}
	}
	if err := m.CheckVetKeys(by.dkg, by.derived); err != nil {
		return bad(err)
	}
	if err := m.CheckOutcalls(by.outcalls); err != nil {
		return bad(err)
	}
	if err := m.CheckMembers(by.members); err != nil {
		return bad(err)
	}
	if len(by.bitcoin) > 0 {
		if m.btc == nil {
			return bad(errors.New("it carries Bitcoin blocks, the subnet follows no Bitcoin chain"))
		}
		if err := m.btc.check(by.bitcoin[0]); err != nil {
			return bad(err)
		}
	}
	if len(by.rivals) > 0 {
		if m.btc == nil {
			return bad(errors.New("it carries claims of Bitcoin chains, the subnet follows none"))
		}
		if err := m.checkRivals(b.Height, by.rivals); err != nil {
			return bad(err)
		}
	}
	if _, err := m.cfg.Memo.Check(by.ingress, b.TimeNs, m.verifier); err != nil {
		return bad(err)
	}
	return nil
}

// parts are a block's bodies by kind.
type parts struct {
	beacons, dkg, derived, outcalls, bitcoin, ingress, members, rivals [][]byte
	signing                                                            []payload.Item // those of package signing, in the order of the block
}

func split(items []payload.Item) (p parts) {
	for _, it := range items {
		switch it.Kind {
		case payload.Beacon:
			p.beacons = append(p.beacons, it.Body)
		case payload.Incarnation, payload.KeyVote, payload.Complaint, payload.Signature, payload.Transcript:
			p.signing = append(p.signing, it)
		case payload.DKG:
			p.dkg = append(p.dkg, it.Body)
		case payload.DerivedKey:
			p.derived = append(p.derived, it.Body)
		case payload.Outcall:
			p.outcalls = append(p.outcalls, it.Body)
		case payload.Bitcoin:
			p.bitcoin = append(p.bitcoin, it.Body)
		case payload.Ingress:
			p.ingress = append(p.ingress, it.Body)
		case payload.Membership:
			p.members = append(p.members, it.Body)
		case payload.Rival:
			p.rivals = append(p.rivals, it.Body)
		}
	}
	return p
}

// Step executes a block on top of the committed state. An earlier Step that was not committed is undone only by opening the
// machine again; both drivers commit what they step.
func (m *Machine) Step(b driver.Block) (Result, error) {
	if want := m.db.Head().Height + 1; b.Height != want && m.db.Head().Height != 0 {
		return Result{}, fmt.Errorf("%w: block %d after block %d", ErrInvalid, b.Height, want-1)
	}
	if m.pending != nil {
		return Result{}, fmt.Errorf("%w: block %d is executed and not committed", ErrInvalid, m.pending.height)
	}
	blk := m.db.Begin()
	m.timeNs = max(m.timeNs, b.TimeNs)
	kv.Prefix(blk, prefixMachine).Set(keyTime, binary.BigEndian.AppendUint64(nil, m.timeNs))
	members.Init(kv.Prefix(blk, prefixMembers), m.cfg.Genesis)
	var res Result
	items, err := payload.Parse(b.Txs)
	if err != nil { // cannot have been voted for by a quorum; execute it as empty, as everybody does
		m.log.Error("decided block does not parse", "height", b.Height, "err", err)
		res.Skipped++
	}
	by := split(items)
	if m.group == nil {
		if err := m.stepBoard(blk, b, by.dkg, &res); err != nil {
			return res, err
		}
	} else {
		if err := m.enter(kv.Prefix(blk, prefixMachine), b.Height); err != nil {
			return res, err
		}
		m.stepSubnet(blk, b, by, &res)
	}
	p := &pending{block: blk, height: b.Height}
	if m.tree != nil {
		m.tree = withTime(m.tree, m.timeNs)
		p.tree, p.root = m.tree, m.tree.Digest()
		kv.Prefix(blk, prefixMachine).Set(keyRoot, p.root[:])
	}
	p.appHash = appHash(p.root, blk.Digest())
	m.pending = p
	res.AppHash = p.appHash
	return res, nil
}

// reshareAttempts is how many times the deadline of a key generation a resharing may take: eight attempts with doubled deadlines.
const reshareAttempts = 200

func appHash(root, content [32]byte) [32]byte {
	return sha256.Sum256(append(append([]byte("fusion/app/v1"), root[:]...), content[:]...))
}

func (m *Machine) stepBoard(blk *state.Block, b driver.Block, items [][]byte, res *Result) error {
	store := kv.Prefix(blk, prefixDKG)
	if !m.rootKey.Begun() {
		doc := m.cfg.Genesis
		p := bls.Params{Domain: m.genesis[:], PhaseBlocks: doc.DKGPhaseBlocks, Threshold: doc.Quorum()}
		for _, n := range doc.Nodes {
			p.Nodes = append(p.Nodes, ed25519.PublicKey(n.NodeKey))
		}
		return m.rootKey.Generate(store, b.Height, p)
	}
	taken, made := m.rootKey.Step(store, b.Height, items)
	res.Skipped += len(items) - taken
	if made {
		return m.foundSubnet(blk)
	}
	return nil
}

func (m *Machine) stepSubnet(blk *state.Block, b driver.Block, by parts, res *Result) {
	mac := kv.Prefix(blk, prefixMachine)
	for _, raw := range by.beacons {
		h, err := m.checkBeacon(raw)
		if err != nil {
			res.Skipped++
			continue
		}
		m.takeBeacon(mac, h, raw)
	}
	sig := kv.Prefix(blk, prefixSigning)
	answers := m.answerRefused(mac)
	answers = append(answers, m.stepSigning(sig, mac, b.Height, &by)...)
	by.dkg = m.stepRootKey(kv.Prefix(blk, prefixDKG), b.Height, by.dkg, res)
	vet := kv.Prefix(blk, prefixVetKeys)
	answers = append(answers, m.stepVetKeys(vet, b.Height, &by, res)...)
	m.stepMembers(blk, b.Height, &by, res)
	answers = append(answers, m.answerRandom(mac)...)
	out := kv.Prefix(blk, prefixOutcalls)
	answers = append(answers, m.stepOutcalls(out, by.outcalls, res)...)
	if m.btc != nil {
		m.btc.step(blk, by.bitcoin, m.timeNs, res)
		m.stepRivals(kv.Prefix(blk, prefixRivals), b.Height, by.rivals, res)
	}
	if m.eth != nil {
		m.eth.use(blk)
	}
	if m.root != nil {
		m.root.use(blk, b.Height)
	}
	round := execution.Round{Height: b.Height, TimeNs: m.timeNs, Responses: answers, Keys: m.activeKeys(sig),
		Nodes: m.nodeBlocks(mac, b), NodeCount: m.members.set.N()}
	for _, msg := range m.authentic(by.ingress, b.TimeNs, res) {
		round.Ingress = append(round.Ingress, execution.Ingress{ID: msg.ID, Sender: msg.Sender, Canister: msg.Canister,
			Method: msg.Method, Arg: msg.Arg, ExpiryNs: msg.ExpiryNs, Info: CallerInfo(msg.Info)})
		res.Ingress = append(res.Ingress, msg.ID)
	}
	res.RoundResult = m.exec.Round(kv.Prefix(blk, prefixExecution), round)
	if m.root != nil && m.root.began {
		m.readMembers(kv.Prefix(blk, prefixMembers), b.Height)
		m.introduce(sig)
	}
	m.takeSystemCalls(sig, vet, out, mac, b.Height, res.SystemCalls)
	m.dropBeacons(mac, b.Height)
	m.plan(mac, sig, b.Height)
	m.tree = m.exec.Tree(m.tree)
}

// CallerInfo is what the executor passes on of a request's sender_info.
func CallerInfo(i *envelope.SenderInfo) execution.CallerInfo {
	if i == nil {
		return execution.CallerInfo{}
	}
	return execution.CallerInfo{Data: i.Info, Signer: i.Signer.Bytes()}
}

// authentic returns the messages that hold up at a block's time. In a block that was voted for that is all of them.
func (m *Machine) authentic(raws [][]byte, timeNs uint64, res *Result) []*ingress.Message {
	if msgs, err := m.cfg.Memo.Check(raws, timeNs, m.verifier); err == nil {
		return msgs
	}
	var out []*ingress.Message
	seen := map[envelope.ID]bool{}
	for _, raw := range raws {
		msgs, err := m.cfg.Memo.Check([][]byte{raw}, timeNs, m.verifier)
		if err != nil || seen[msgs[0].ID] {
			res.Skipped++
			continue
		}
		seen[msgs[0].ID] = true
		out = append(out, msgs[0])
	}
	return out
}

// Commit makes the executed block durable and publishes the new View.
func (m *Machine) Commit() error {
	p := m.pending
	if p == nil {
		return errors.New("machine: there is no executed block to commit")
	}
	if err := p.block.Commit(p.height, p.appHash); err != nil {
		return err
	}
	m.pending = nil
	if m.btc != nil { // between blocks the room answers from the committed state
		m.btc.use(kv.ReadOnly(m.db.Reader()))
	}
	if m.eth != nil {
		m.eth.use(kv.ReadOnly(m.db.Reader()))
	}
	if m.root != nil {
		m.root.use(kv.ReadOnly(m.db.Reader()), p.height)
	}
	m.publish()
	return nil
}

// HashOf is the app hash of a state that was received instead of executed: of all its keys, of which digest is the accumulator.
func HashOf(received kv.Reader, digest [32]byte) [32]byte {
	var root [32]byte
	if b, ok := kv.PrefixReader(received, prefixMachine).Get(keyRoot); ok {
		copy(root[:], b)
	}
	return appHash(root, digest)
}
