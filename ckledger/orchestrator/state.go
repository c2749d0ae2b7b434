package orchestrator

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"fusion/cdk/sha256"
	"fusion/cdk/stable"
	"fusion/ckledger/icrc"
	"fusion/eth"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Limits.
const (
	maxSuites      = 1000
	maxControllers = 9 // the orchestrator itself is the tenth, the most that a canister has
	maxText        = 64
	// Of a ledger's archives: the ledger, the orchestrator and these are their controllers.
	maxArchiveControllers = 8
	maxArchives           = 1000
	maxLogo               = 256 << 10
	maxChunk              = 1 << 20 // of a module, as in the management canister's upload_chunk
	maxChunks             = 512     // stored, for all modules
	// maxModule leaves room for the rest of an install_code message between canisters of a subnet, which may have 10 MiB.
	maxModule = 9 << 20
)

// Errors of the orchestrator.
var (
	ErrArgument = errors.New("bad orchestrator argument")
	// ErrEvent is an event that does not follow from those before: a broken log.
	ErrEvent = errors.New("the event does not fit")
)

// kind is which canister of a suite.
type kind int

const (
	ledger kind = iota
	index
	kinds
	// archive is of modules only: ledgers make their archives themselves.
	archive     = kinds
	moduleKinds = kinds + 1
)

func (k kind) String() string { return [...]string{"ledger", "index", "archive"}[k] }

func (k kind) public() Kind {
	switch k {
	case ledger:
		return Kind{Ledger: candid.Unit}
	case index:
		return Kind{Index: candid.Unit}
	}
	return Kind{Archive: candid.Unit}
}

func kindOf(k Kind) (kind, error) {
	switch {
	case k.Ledger != nil:
		return ledger, nil
	case k.Index != nil:
		return index, nil
	case k.Archive != nil:
		return archive, nil
	}
	return 0, fmt.Errorf("%w: a module is for a ledger, an index or an archive", ErrArgument)
}

// The events. Each is written before what depends on it, and its effects are in apply alone.
type (
	// event is one change of the state.
	event struct {
		Time uint64 `candid:"time"`
		What what   `candid:"what"`
	}
	what struct {
		candid.Variant
		Init     *InitArg
		Cycles   *CyclesManagement
		Chunk    *chunkEvent
		Module   *moduleEvent
		Add      *addEvent
		Adopt    *InstalledLedgerSuite
		Creating *canisterEvent // create_canister will be called
		Created  *canisterEvent
		// NotCreated says that there is no canister, Lost that nobody knows.
		NotCreated *canisterEvent
		Lost       *canisterEvent
		Installed  *canisterEvent
		Notified   *canisterEvent
		Upgrade    *upgradeEvent // of all canisters of a kind
		Archives   *archivesEvent
	}
	chunkEvent struct {
		Hash []byte `candid:"hash"`
		Size uint64 `candid:"size"`
	}
	moduleEvent struct {
		Kind   Kind     `candid:"kind"`
		Hash   []byte   `candid:"hash"`
		Chunks []uint64 `candid:"chunks"`
	}
	addEvent struct {
		Arg    AddErc20Arg `candid:"arg"`
		Ledger []byte      `candid:"ledger"` // modules
		Index  []byte      `candid:"index"`
		// Archive is nil for tokens from before there were archives, or without a module for them: their ledgers keep all blocks.
		Archive *[]byte `candid:"archive"`
	}
	// archivesEvent is the list of a ledger's archives, as it says.
	archivesEvent struct {
		Suite uint64                `candid:"suite"`
		IDs   []principal.Principal `candid:"ids"`
	}
	canisterEvent struct {
		Suite uint64               `candid:"suite"`
		Kind  Kind                 `candid:"kind"`
		ID    *principal.Principal `candid:"id"`
		Hash  *[]byte              `candid:"hash"`
		Why   *string              `candid:"why"`
	}
	upgradeEvent struct {
		Kind   Kind    `candid:"kind"`
		Hash   []byte  `candid:"hash"`
		Commit *string `candid:"commit"`
	}
)

type hash = [32]byte

// member is a canister of a suite.
type member struct {
	creating  bool // create_canister was called and has no outcome yet
	id        *principal.Principal
	installed *hash
	want      hash
}

// suite is a ledger and its index.
type suite struct {
	contract *Erc20Contract // nil for an adopted suite
	init     LedgerInitArg
	symbol   string
	members  [kinds]member
	archive  *hash // the module for archives
	archives []member
	// archiveWant is what the archives are upgraded to, those too that the ledger makes later; nil before the first upgrade of archives.
	archiveWant *hash
	notified    bool
}

func (n *suite) archiveIDs() []principal.Principal {
	out := []principal.Principal{}
	for _, a := range n.archives {
		out = append(out, *a.id)
	}
	return out
}

// listed replaces the archives by those that a list names.
func (n *suite) listed(ids []principal.Principal) {
	var out []member
	for _, id := range ids {
		i := slices.IndexFunc(n.archives, func(m member) bool { return *m.id == id })
		if i < 0 {
			out = append(out, member{id: &id})
			continue
		}
		out = append(out, n.archives[i])
	}
	n.archives = out
}

type module struct {
	kind   kind
	chunks []uint64
	size   uint64
}

// Memories of the stable memory.
const (
	memEventIndex = iota
	memEventData
	memChunkIndex
	memChunkData
)

// State is all that the orchestrator knows; the log of events is the truth.
type State struct {
	log    *stable.Log
	chunks *stable.Log // what the Chunk events announce, in their order
	// What follows from the events.
	chunkAt map[hash]uint64
	sizes   []uint64 // of the chunks
	hashes  []hash
	cfg     InitArg
	cycles  CyclesManagement
	modules map[hash]*module
	order   []hash // of registration
	newest  [moduleKinds]*hash
	suites  []*suite
	lost    uint64
}

// defaultCycles are 100 T for a canister, and for a ledger also those for its first archive.
func defaultCycles() CyclesManagement {
	const t = 1_000_000_000_000
	return CyclesManagement{candid.NatFromUint64(200 * t), candid.NatFromUint64(100 * t), candid.NatFromUint64(100 * t), candid.NatFromUint64(10 * t)}
}

func open(mem stable.Memory) (*State, error) {
	g, err := stable.Open(mem)
	if err != nil {
		return nil, err
	}
	s := &State{chunkAt: map[hash]uint64{}, modules: map[hash]*module{}, cycles: defaultCycles()}
	if s.log, err = stable.OpenLog(g.Memory(memEventIndex), g.Memory(memEventData)); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	if s.chunks, err = stable.OpenLog(g.Memory(memChunkIndex), g.Memory(memChunkData)); err != nil {
		return nil, fmt.Errorf("chunks of modules: %w", err)
	}
	return s, nil
}

// Create begins in empty stable memory.
func Create(mem stable.Memory, arg InitArg, now uint64) (*State, error) {
	if mem.Size() != 0 {
		return nil, fmt.Errorf("%w: the stable memory is not empty", ErrArgument)
	}
	s, err := open(mem)
	if err != nil {
		return nil, err
	}
	if len(arg.MoreControllerIDs) > maxControllers {
		return nil, fmt.Errorf("%w: %d more controllers, at most %d", ErrArgument, len(arg.MoreControllerIDs), maxControllers)
	}
	if m := arg.MinterID; m != nil && (m.IsAnonymous() || m.IsManagement()) {
		return nil, fmt.Errorf("%w: minter_id %s is no minter", ErrArgument, m)
	}
	if arg.CyclesManagement != nil {
		if err := checkCycles(*arg.CyclesManagement); err != nil {
			return nil, err
		}
	}
	return s, s.emit(now, what{Init: &arg})
}

// Open replays the events, as after an upgrade.
func Open(mem stable.Memory) (*State, error) {
	if mem.Size() == 0 {
		return nil, fmt.Errorf("%w: the stable memory is empty", ErrArgument)
	}
	s, err := open(mem)
	if err != nil {
		return nil, err
	}
	var buf []byte
	for i := range s.log.Len() {
		var e event
		buf = s.log.Get(i, buf[:0])
		err := candid.Unmarshal(buf, &e)
		if err == nil {
			err = s.apply(&e.What)
		}
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	if s.log.Len() == 0 || uint64(len(s.sizes)) != s.chunks.Len() {
		return nil, fmt.Errorf("%w: no orchestrator here", stable.ErrCorrupt)
	}
	return s, nil
}

// emit writes an event and applies it. An error other than ErrArgument leaves the message half done: it must trap.
func (s *State) emit(now uint64, w what) error {
	b, err := candid.Marshal(event{now, w})
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if _, err := s.log.Append(b); err != nil {
		return err
	}
	return s.apply(&w)
}

func (s *State) apply(w *what) error {
	at := func(e *canisterEvent) (*suite, *member, error) {
		k, err := kindOf(e.Kind)
		if err == nil && k == archive && e.Suite < uint64(len(s.suites)) && e.ID != nil {
			n := s.suites[e.Suite]
			if i := slices.IndexFunc(n.archives, func(m member) bool { return *m.id == *e.ID }); i >= 0 {
				return n, &n.archives[i], nil
			}
		}
		if err != nil || k >= kinds || e.Suite >= uint64(len(s.suites)) {
			return nil, nil, fmt.Errorf("%w: suite %d of %d", ErrEvent, e.Suite, len(s.suites))
		}
		return s.suites[e.Suite], &s.suites[e.Suite].members[k], nil
	}
	fits := func(ok bool, name string) error {
		if !ok {
			return fmt.Errorf("%w: %s", ErrEvent, name)
		}
		return nil
	}
	switch {
	case w.Init != nil:
		s.cfg = *w.Init
		if c := w.Init.CyclesManagement; c != nil {
			s.cycles = *c
		}
		return nil
	case w.Cycles != nil:
		s.cycles = *w.Cycles
		return nil
	case w.Chunk != nil:
		if len(w.Chunk.Hash) != 32 {
			return fmt.Errorf("%w: chunk %x", ErrEvent, w.Chunk.Hash)
		}
		s.chunkAt[hash(w.Chunk.Hash)] = uint64(len(s.sizes))
		s.hashes = append(s.hashes, hash(w.Chunk.Hash))
		s.sizes = append(s.sizes, w.Chunk.Size)
		return nil
	case w.Module != nil:
		k, err := kindOf(w.Module.Kind)
		if err != nil || len(w.Module.Hash) != 32 {
			return fmt.Errorf("%w: module %x", ErrEvent, w.Module.Hash)
		}
		m, h := &module{kind: k, chunks: w.Module.Chunks}, hash(w.Module.Hash)
		for _, i := range m.chunks {
			if i >= uint64(len(s.sizes)) {
				return fmt.Errorf("%w: chunk %d of %d", ErrEvent, i, len(s.sizes))
			}
			m.size += s.sizes[i]
		}
		if s.modules[h] == nil {
			s.order = append(s.order, h)
		}
		s.modules[h], s.newest[k] = m, &h
		return nil
	case w.Add != nil:
		if len(w.Add.Ledger) != 32 || len(w.Add.Index) != 32 {
			return fmt.Errorf("%w: a token without modules", ErrEvent)
		}
		a := w.Add.Arg
		n := &suite{contract: &a.Contract, init: a.LedgerInitArg, symbol: a.LedgerInitArg.TokenSymbol}
		n.members[ledger].want, n.members[index].want = hash(w.Add.Ledger), hash(w.Add.Index)
		if b := w.Add.Archive; b != nil {
			if len(*b) != 32 || s.modules[hash(*b)] == nil {
				return fmt.Errorf("%w: a token with archives of module %x", ErrEvent, *b)
			}
			h := hash(*b)
			n.archive = &h
		}
		s.suites = append(s.suites, n)
		return nil
	case w.Adopt != nil:
		n := &suite{symbol: w.Adopt.TokenSymbol, notified: true}
		if w.Adopt.Archives != nil {
			n.listed(*w.Adopt.Archives)
		}
		for k, c := range [kinds]InstalledCanister{w.Adopt.Ledger, w.Adopt.Index} {
			h, err := parseHash(c.InstalledWasmHash)
			if err != nil {
				return err
			}
			n.members[k] = member{id: &c.CanisterID, installed: &h, want: h}
		}
		s.suites = append(s.suites, n)
		return nil
	case w.Upgrade != nil:
		k, err := kindOf(w.Upgrade.Kind)
		if err != nil || len(w.Upgrade.Hash) != 32 {
			return fmt.Errorf("%w: upgrade to %x", ErrEvent, w.Upgrade.Hash)
		}
		for _, n := range s.suites {
			if k == archive {
				h := hash(w.Upgrade.Hash)
				n.archiveWant = &h
				continue
			}
			n.members[k].want = hash(w.Upgrade.Hash)
		}
		return nil
	case w.Archives != nil:
		if w.Archives.Suite >= uint64(len(s.suites)) {
			return fmt.Errorf("%w: suite %d of %d", ErrEvent, w.Archives.Suite, len(s.suites))
		}
		s.suites[w.Archives.Suite].listed(w.Archives.IDs)
		return nil
	case w.Creating != nil:
		_, m, err := at(w.Creating)
		if err == nil {
			err = fits(!m.creating && m.id == nil, "a second canister is being created")
		}
		if err == nil {
			m.creating = true
		}
		return err
	case w.Created != nil:
		_, m, err := at(w.Created)
		if err == nil {
			err = fits(m.creating && m.id == nil && w.Created.ID != nil, "a canister that was not asked for")
		}
		if err == nil {
			m.creating, m.id = false, w.Created.ID
		}
		return err
	case w.NotCreated != nil, w.Lost != nil:
		e := w.NotCreated
		if e == nil {
			e = w.Lost
		}
		_, m, err := at(e)
		if err == nil {
			err = fits(m.creating, "no canister is being created")
		}
		if err != nil {
			return err
		}
		m.creating = false
		if w.Lost != nil {
			s.lost++
		}
		return nil
	case w.Installed != nil:
		_, m, err := at(w.Installed)
		if err == nil {
			err = fits(m.id != nil && w.Installed.Hash != nil && len(*w.Installed.Hash) == 32, "a module without a canister")
		}
		if err == nil {
			h := hash(*w.Installed.Hash)
			m.installed = &h
		}
		return err
	case w.Notified != nil:
		n, _, err := at(w.Notified)
		if err == nil {
			n.notified = true
		}
		return err
	}
	return fmt.Errorf("%w: unknown kind", ErrEvent)
}

func parseHash(s string) (h hash, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		return h, fmt.Errorf("%w: %q is no SHA-256 in hexadecimal", ErrArgument, s)
	}
	return hash(b), nil
}

func checkCycles(c CyclesManagement) error {
	for _, n := range []candid.Nat{c.ForLedger, c.ForArchive, c.ForIndex, c.TopUpIncrement} {
		if _, _, ok := n.Uint128(); !ok {
			return fmt.Errorf("%w: %s cycles do not fit into 128 bits", ErrArgument, n)
		}
	}
	return nil
}

// Upload stores a chunk of a module and returns its hash. One that is there already is not stored twice.
func (s *State) Upload(now uint64, chunk []byte) (hash, error) {
	if len(chunk) == 0 || len(chunk) > maxChunk {
		return hash{}, fmt.Errorf("%w: a chunk of %d bytes, want 1 to %d", ErrArgument, len(chunk), maxChunk)
	}
	h := sha256.Sum256(chunk)
	if _, ok := s.chunkAt[h]; ok {
		return h, nil
	}
	if len(s.sizes) >= maxChunks {
		return hash{}, fmt.Errorf("%w: %d chunks are stored, the most there may be", ErrArgument, maxChunks)
	}
	if _, err := s.chunks.Append(chunk); err != nil {
		return hash{}, err
	}
	return h, s.emit(now, what{Chunk: &chunkEvent{h[:], uint64(len(chunk))}})
}

// Register puts chunks together to a module, which new tokens get from now on.
func (s *State) Register(now uint64, a RegisterModuleArg) error {
	k, err := kindOf(a.Kind)
	switch {
	case err != nil:
		return err
	case len(a.Hash) != 32 || len(a.Chunks) == 0 || len(a.Chunks) > maxChunks:
		return fmt.Errorf("%w: a module has a SHA-256 and chunks", ErrArgument)
	}
	var at []uint64
	var size uint64
	for _, c := range a.Chunks {
		if len(c) != 32 {
			return fmt.Errorf("%w: %x is no hash of a chunk", ErrArgument, c)
		}
		i, ok := s.chunkAt[hash(c)]
		if !ok {
			return fmt.Errorf("%w: chunk %x was not uploaded", ErrArgument, c)
		}
		if size += s.sizes[i]; size > maxModule {
			return fmt.Errorf("%w: a module of more than %d bytes", ErrArgument, maxModule)
		}
		at = append(at, i)
	}
	if h := sha256.Sum256(s.join(at)); h != hash(a.Hash) {
		return fmt.Errorf("%w: the chunks have the hash %x together, not %x", ErrArgument, h, a.Hash)
	}
	if m := s.modules[hash(a.Hash)]; m != nil && m.kind != k {
		return fmt.Errorf("%w: module %x is registered for a %s", ErrArgument, a.Hash, m.kind)
	}
	return s.emit(now, what{Module: &moduleEvent{a.Kind, a.Hash, at}})
}

func (s *State) join(chunks []uint64) []byte {
	var out []byte
	for _, i := range chunks {
		out = s.chunks.Get(i, out)
	}
	return out
}

func (s *State) registered(k kind, text string) (hash, error) {
	h, err := parseHash(text)
	if err != nil {
		return h, err
	}
	if m := s.modules[h]; m == nil || m.kind != k {
		return h, fmt.Errorf("%w: no module of a %s is registered under %s; upload it first", ErrArgument, k, text)
	}
	return h, nil
}

func checkText(what, s string, limit int) error {
	if len(s) == 0 || len(s) > limit || !utf8.ValidString(s) || slices.ContainsFunc([]rune(s), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%w: %s has to be 1 to %d bytes of printable text", ErrArgument, what, limit)
	}
	return nil
}

// normal checks a contract and writes its address in one way.
func normal(c Erc20Contract) (Erc20Contract, error) {
	a, err := eth.ParseAddress(c.Address)
	if err != nil {
		return c, fmt.Errorf("%w: contract %q: %w", ErrArgument, c.Address, err)
	}
	if n, ok := c.ChainID.Uint64(); !ok || n == 0 || a.IsZero() {
		return c, fmt.Errorf("%w: contract %s on chain %s", ErrArgument, c.Address, c.ChainID)
	}
	return Erc20Contract{c.ChainID, a.String()}, nil
}

func (s *State) find(c Erc20Contract) *suite {
	for _, n := range s.suites {
		if n.contract != nil && n.contract.Address == c.Address && n.contract.ChainID.Cmp(c.ChainID) == 0 {
			return n
		}
	}
	return nil
}

// Add accepts a token; the canister then does what is to be done.
func (s *State) Add(now uint64, a AddErc20Arg) error {
	c, err := normal(a.Contract)
	if err != nil {
		return err
	}
	a.Contract = c
	in := a.LedgerInitArg
	switch {
	case s.cfg.MinterID == nil:
		return fmt.Errorf("%w: this orchestrator has no minter, so no ledger could have a minting account", ErrArgument)
	case s.newest[ledger] == nil || s.newest[index] == nil:
		return fmt.Errorf("%w: no modules of a ledger and an index are registered; upload them first", ErrArgument)
	case s.find(c) != nil:
		return fmt.Errorf("%w: contract %s on chain %s has its ledger already", ErrArgument, c.Address, c.ChainID)
	case len(s.suites) >= maxSuites:
		return fmt.Errorf("%w: %d tokens, the most there may be", ErrArgument, maxSuites)
	case len(in.TokenLogo) > maxLogo:
		return fmt.Errorf("%w: a logo of %d bytes, at most %d", ErrArgument, len(in.TokenLogo), maxLogo)
	}
	for _, n := range s.suites {
		if n.symbol == in.TokenSymbol {
			return fmt.Errorf("%w: there is a token %s", ErrArgument, in.TokenSymbol)
		}
	}
	if err := checkText("token_symbol", in.TokenSymbol, maxText); err != nil {
		return err
	}
	if err := checkText("token_name", in.TokenName, maxText); err != nil {
		return err
	}
	if _, ok := icrc.AmountOfNat(in.TransferFee); !ok {
		return fmt.Errorf("%w: a fee of more than 256 bits", ErrArgument)
	}
	e := &addEvent{Arg: a, Ledger: s.newest[ledger][:], Index: s.newest[index][:]}
	if h := s.newest[archive]; h != nil {
		b := h[:]
		e.Archive = &b
	}
	return s.emit(now, what{Add: e})
}

// Upgrade carries out an upgrade argument, all of it or nothing.
func (s *State) Upgrade(now uint64, a UpgradeArg) error {
	if g := a.GitCommitHash; g != nil {
		if b, err := hex.DecodeString(*g); err != nil || len(b) != 20 {
			return fmt.Errorf("%w: git_commit_hash %q", ErrArgument, *g)
		}
	}
	var events []what
	for k, text := range [moduleKinds]*string{a.LedgerHash, a.IndexHash, a.ArchiveHash} {
		if text == nil {
			continue
		}
		h, err := s.registered(kind(k), *text)
		if err != nil {
			return err
		}
		events = append(events, what{Upgrade: &upgradeEvent{kind(k).public(), h[:], a.GitCommitHash}})
	}
	if u := a.CyclesManagement; u != nil {
		c := s.cycles
		for _, p := range []struct{ to, from *candid.Nat }{{&c.ForLedger, u.ForLedger}, {&c.ForArchive, u.ForArchive}, {&c.ForIndex, u.ForIndex}, {&c.TopUpIncrement, u.TopUpIncrement}} {
			if p.from != nil {
				*p.to = *p.from
			}
		}
		if err := checkCycles(c); err != nil {
			return err
		}
		events = append(events, what{Cycles: &c})
	}
	if a.ManageLedgerSuites != nil {
		ids := map[principal.Principal]bool{}
		for _, n := range s.suites {
			for _, m := range n.members {
				if m.id != nil {
					ids[*m.id] = true
				}
			}
		}
		list := *a.ManageLedgerSuites
		if len(list) > maxSuites-len(s.suites) {
			return fmt.Errorf("%w: %d tokens, at most %d", ErrArgument, len(list)+len(s.suites), maxSuites)
		}
		for i := range list {
			if err := checkText("token_symbol", list[i].TokenSymbol, maxText); err != nil {
				return err
			}
			for _, c := range []InstalledCanister{list[i].Ledger, list[i].Index} {
				if _, err := parseHash(c.InstalledWasmHash); err != nil {
					return err
				}
				if ids[c.CanisterID] {
					return fmt.Errorf("%w: canister %s is managed already", ErrArgument, c.CanisterID)
				}
				ids[c.CanisterID] = true
			}
			// Adopted before the upgrades, so that they hold for these too.
			events = slices.Insert(events, i, what{Adopt: &list[i]})
		}
	}
	for _, w := range events {
		if err := s.emit(now, w); err != nil {
			return err
		}
	}
	return nil
}

// step is what is to be done next for a suite.
type step int

const (
	nothing step = iota
	lose         // a creation without an outcome
	create
	install
	notify
	upgrade
)

// target is the canister of a step. It has no id before it is created.
type target struct {
	kind kind
	id   *principal.Principal
	want hash
}

func (n *suite) target(k kind) target { return target{k, n.members[k].id, n.members[k].want} }

func (s *State) next(n *suite) (step, target) {
	for k := range kinds {
		if m := &n.members[k]; m.id == nil {
			if m.creating {
				return lose, n.target(k)
			}
			return create, n.target(k)
		}
	}
	for k := range kinds {
		if n.members[k].installed == nil {
			return install, n.target(k)
		}
	}
	if !n.notified {
		return notify, n.target(ledger)
	}
	// The ledger is the last: an index or an archive that does not understand a new one would stop.
	if m := &n.members[index]; *m.installed != m.want {
		return upgrade, n.target(index)
	}
	if w := n.archiveWant; w != nil {
		for _, m := range n.archives {
			if m.installed == nil || *m.installed != *w {
				return upgrade, target{archive, m.id, *w}
			}
		}
	}
	if m := &n.members[ledger]; *m.installed != m.want {
		return upgrade, n.target(ledger)
	}
	return nothing, target{}
}

// listed takes over what a ledger says about its archives.
func (s *State) listed(now uint64, i int, ids []principal.Principal) error {
	if slices.Equal(ids, s.suites[i].archiveIDs()) || len(ids) > maxArchives {
		return nil
	}
	return s.emit(now, what{Archives: &archivesEvent{uint64(i), ids}})
}

// archiveOptions say that a ledger hands over its old blocks, if there is a module for archives.
func (s *State) archiveOptions(self principal.Principal, n *suite) icrc.ArchiveOptions {
	o := icrc.ArchiveOptions{NumBlocksToArchive: 1000, TriggerThreshold: 2000, ControllerID: self}
	if n.archive == nil {
		return o
	}
	more := s.cfg.MoreControllerIDs[:min(len(s.cfg.MoreControllerIDs), maxArchiveControllers)]
	memory := uint64(3 << 30)
	o.MoreControllerIDs, o.NodeMaxMemorySizeBytes = &more, &memory
	if cycles, ok := s.cycles.ForArchive.Uint64(); ok {
		o.CyclesForArchiveCreation = &cycles
	}
	o.Module = &icrc.ArchiveModule{Hash: n.archive[:]}
	for _, i := range s.modules[*n.archive].chunks {
		o.Module.Chunks = append(o.Module.Chunks, s.hashes[i][:])
	}
	return o
}

// ledgerArg is what a new ledger is installed with. It depends on nothing that changes but the cycles for archives, so that it can be done again.
func (s *State) ledgerArg(self principal.Principal, n *suite) icrc.LedgerArg {
	fees := make([]byte, 32)
	fees[30], fees[31] = 0x0f, 0xee
	decimals, memo := n.init.Decimals, uint16(80)
	logo := n.init.TokenLogo
	metadata := []icrc.MetadataEntry{}
	if logo != "" {
		metadata = append(metadata, icrc.MetadataEntry{Key: "icrc1:logo", Value: icrc.MetadataValue{Text: &logo}})
	}
	return icrc.LedgerArg{Init: &icrc.InitArgs{
		MintingAccount: icrc.Account{Owner: *s.cfg.MinterID}, FeeCollectorAccount: &icrc.Account{Owner: *s.cfg.MinterID, Subaccount: &fees},
		TransferFee: n.init.TransferFee, Decimals: &decimals, MaxMemoLength: &memo, TokenSymbol: n.init.TokenSymbol, TokenName: n.init.TokenName,
		Metadata: metadata, InitialBalances: []icrc.InitialBalance{}, FeatureFlags: &icrc.FeatureFlags{ICRC2: true}, IndexPrincipal: n.members[index].id,
		ArchiveOptions: s.archiveOptions(self, n),
	}}
}

func (m *member) status() *ManagedCanisterStatus {
	switch {
	case m.id == nil:
		return nil
	case m.installed == nil:
		return &ManagedCanisterStatus{Created: &CreatedCanister{*m.id}}
	}
	return &ManagedCanisterStatus{Installed: &InstalledCanister{*m.id, hex.EncodeToString(m.installed[:])}}
}

// Info answers get_orchestrator_info; problem says what a suite waits for, "" for nothing.
func (s *State) Info(problem func(i int) string) Info {
	out := Info{ManagedCanisters: []ManagedCanisters{}, CyclesManagement: s.cycles, MoreControllerIDs: s.cfg.MoreControllerIDs, MinterID: s.cfg.MinterID,
		LostCanisters: s.lost}
	if s.newest[ledger] != nil && s.newest[index] != nil {
		out.LedgerSuiteVersion = &LedgerSuiteVersion{LedgerHash: hex.EncodeToString(s.newest[ledger][:]), IndexHash: hex.EncodeToString(s.newest[index][:])}
		if h := s.newest[archive]; h != nil {
			out.LedgerSuiteVersion.ArchiveHash = hex.EncodeToString(h[:])
		}
	}
	adopted := []ManagedLedgerSuite{}
	for i, n := range s.suites {
		var why *string
		if text := problem(i); text != "" {
			why = &text
		}
		l, x := n.members[ledger].status(), n.members[index].status()
		if n.contract == nil {
			adopted = append(adopted, ManagedLedgerSuite{n.symbol, l, x, n.archiveIDs(), why})
			continue
		}
		out.ManagedCanisters = append(out.ManagedCanisters, ManagedCanisters{*n.contract, n.symbol, l, x, n.archiveIDs(), n.notified, why})
	}
	out.ManagedPreExisting = &adopted
	return out
}

// IDs answers canister_ids.
func (s *State) IDs(c Erc20Contract) *ManagedCanisterIDs {
	c, err := normal(c)
	if err != nil {
		return nil
	}
	n := s.find(c)
	if n == nil {
		return nil
	}
	return &ManagedCanisterIDs{n.members[ledger].id, n.members[index].id, n.archiveIDs()}
}

// Modules lists the registered modules, the oldest first.
func (s *State) Modules() []ModuleInfo {
	out := []ModuleInfo{}
	for _, h := range s.order {
		m := s.modules[h]
		out = append(out, ModuleInfo{m.kind.public(), hex.EncodeToString(h[:]), m.size})
	}
	return out
}
