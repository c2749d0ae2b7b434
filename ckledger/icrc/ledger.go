package icrc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"fusion/cdk/sha256"
	"fusion/cdk/stable"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// Limits and defaults. The times are those of ICRC-1's de-duplication as the ck ledgers of the Internet Computer set them.
const (
	// Window is how long a transaction with a creation time is remembered.
	Window = 24 * time.Hour
	// Drift is how far a creation time may lie in the future, and how much longer a transaction is accepted.
	Drift = 60 * time.Second
	// DefaultMemo is the longest memo if the init arguments do not say (ICRC-1 asks for at least 32 bytes).
	DefaultMemo = 32
	// MaxWindow is the most transactions remembered; above it those with a creation time are refused as TemporarilyUnavailable. The first half is
	// for bursts; the second half is given out evenly over the window, so that nobody who waits a second is shut out for a day.
	MaxWindow = 3_000_000
	// maxMemo bounds what the init arguments may say.
	maxMemo = 1024
	// maxReason is the longest reason of an ICRC-152 operation.
	maxReason = 256
	// purge is how many forgotten transactions and expired allowances one call removes: more than it adds.
	purge = 4
	// maxPurge is how many transactions one call forgets while new ones are throttled.
	maxPurge = 100_000
)

// Errors of the ledger that are mistakes of the caller beyond what the interface has variants for; the canister traps with them.
var (
	ErrArgument = errors.New("bad ledger argument")
	ErrMemo     = errors.New("memo too long")
	ErrDelegate = errors.New("the minting account cannot delegate mints")
	ErrSelf     = errors.New("self approval is not allowed")
)

// Memories of the stable memory.
const (
	memConfig = iota
	memHot
	memLogIndex
	memLogData
	memBalances
	memAllowances
	memExpiries
	memRecent
	memArchives
	memLogIndexPages // of the windows that the block log lies in
	memLogDataPages
)

// config is what init and upgrades set. It is stored as Candid.
type config struct {
	MintingAccount Account              `candid:"minting_account"`
	FeeCollector   *Account             `candid:"fee_collector"`
	Fee            candid.Nat           `candid:"fee"`
	Decimals       uint8                `candid:"decimals"`
	MaxMemo        uint16               `candid:"max_memo"`
	Symbol         string               `candid:"symbol"`
	Name           string               `candid:"name"`
	Metadata       []MetadataEntry      `candid:"metadata"`
	Features       FeatureFlags         `candid:"features"`
	Archive        ArchiveOptions       `candid:"archive"`
	Index          *principal.Principal `candid:"index"`
	AmountBits     *uint16              `candid:"amount_bits"`
}

// publicAllowances is what the metadata say about who may list allowances.
func (c *config) publicAllowances() (text string, ok bool) {
	for _, e := range c.Metadata {
		if e.Key == keyPublicAllowances {
			if e.Value.Text != nil {
				text = *e.Value.Text
			}
			return text, true
		}
	}
	return "", false
}

// Ledger is a token ledger. All its state is in stable memory; it reads no clock and calls nobody.
type Ledger struct {
	cfgCell *stable.Cell
	cfg     config
	// Parsed from cfg.
	minting   account
	collector *account
	fee       Amount
	most      Amount // the largest amount of this token
	memoMax   int
	private   bool // allowances are shown to their owners only

	hotMem     stable.Memory
	hot        hot
	log        *stable.Log
	logIndex   *stable.Window
	logData    *stable.Window
	archCell   *stable.Cell
	arch       archives
	balances   *stable.Map
	allowances *stable.Map
	expiries   *stable.Map // expires_at (8, big-endian) ‖ allowance key
	recent     *stable.Map // created_at_time (8, big-endian) ‖ transaction hash → block index

	tx, blk  builder
	accounts accountHashes
	hasher   Hasher
	key      []byte // reused
	val      []byte
	buf      []byte
	window   uint64 // MaxWindow, less in tests
}

// hot is what every block changes.
type hot struct {
	supply Amount
	tip    [32]byte // hash of the last block
	// collectorBlock is 1 + the index of the block that names the present fee collector, or 0.
	collectorBlock uint64
	// second is the last one, since 1970, with transactions that are remembered, and inSecond how many it has had.
	second   uint64
	inSecond uint32
}

const hotSize = 4 + 32 + 32 + 8 + 8 + 4

const hotMagic = "FIL\x01"

func (l *Ledger) openMemories(mem stable.Memory) error {
	g, err := stable.Open(mem)
	if err != nil {
		return err
	}
	l.hotMem = g.Memory(memHot)
	if l.cfgCell, err = stable.OpenCell(g.Memory(memConfig)); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	index, err := stable.OpenWindow(g.Memory(memLogIndex), g.Memory(memLogIndexPages))
	if err != nil {
		return fmt.Errorf("index of the block log: %w", err)
	}
	data, err := stable.OpenWindow(g.Memory(memLogData), g.Memory(memLogDataPages))
	if err != nil {
		return fmt.Errorf("data of the block log: %w", err)
	}
	l.logIndex, l.logData = index, data
	if l.log, err = stable.OpenLog(index, data); err != nil {
		return fmt.Errorf("block log: %w", err)
	}
	if l.archCell, err = stable.OpenCell(g.Memory(memArchives)); err != nil {
		return fmt.Errorf("archives: %w", err)
	}
	for _, m := range []struct {
		name     string
		id       int
		key, val int
		out      **stable.Map
	}{
		{"balances", memBalances, maxKey, 32, &l.balances},
		{"allowances", memAllowances, 2 * maxKey, 32 + 8, &l.allowances},
		{"expiries", memExpiries, 8 + 2*maxKey, 0, &l.expiries},
		{"recent transactions", memRecent, 8 + 32, 8, &l.recent},
	} {
		if *m.out, err = stable.OpenMap(g.Memory(m.id), m.key, m.val); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	l.window = MaxWindow
	l.tx, l.blk = newBuilder(&l.accounts), newBuilder(&l.accounts)
	l.key, l.val, l.buf = make([]byte, 0, 8+2*maxKey), make([]byte, 0, 128), make([]byte, 0, 128)
	return nil
}

// Create makes a ledger in empty stable memory and mints the initial balances.
func Create(mem stable.Memory, args *InitArgs, now uint64) (*Ledger, error) {
	if mem.Size() != 0 {
		return nil, fmt.Errorf("%w: the stable memory is not empty", ErrArgument)
	}
	l := &Ledger{}
	if err := l.openMemories(mem); err != nil {
		return nil, err
	}
	if !l.hotMem.Grow(1) {
		return nil, stable.ErrFull
	}
	l.cfg = config{
		MintingAccount: args.MintingAccount, FeeCollector: args.FeeCollectorAccount, Fee: args.TransferFee, Decimals: 8,
		MaxMemo: DefaultMemo, Symbol: args.TokenSymbol, Name: args.TokenName, Metadata: args.Metadata,
		Features: FeatureFlags{ICRC2: true}, Archive: args.ArchiveOptions, Index: args.IndexPrincipal, AmountBits: args.AmountBits,
	}
	if args.Decimals != nil {
		l.cfg.Decimals = *args.Decimals
	}
	if args.MaxMemoLength != nil {
		l.cfg.MaxMemo = *args.MaxMemoLength
	}
	if args.FeatureFlags != nil {
		l.cfg.Features = *args.FeatureFlags
	}
	if err := l.configure(); err != nil {
		return nil, err
	}
	l.writeHot()
	for i, b := range args.InitialBalances {
		to, err := parseAccount(b.Account)
		if err != nil {
			return nil, fmt.Errorf("initial balance %d: %w", i, err)
		}
		amount, ok := l.amountOf(b.Amount)
		if !ok || to == l.minting {
			return nil, fmt.Errorf("%w: initial balance %d", ErrArgument, i)
		}
		if _, e := l.apply(now, &transaction{op: opMint, to: to, amount: amount}, nil); e != nil {
			return nil, fmt.Errorf("%w: initial balance %d exceeds the largest supply", ErrArgument, i)
		}
	}
	return l, nil
}

// Open finds a ledger in stable memory, as after an upgrade.
func Open(mem stable.Memory) (*Ledger, error) {
	if mem.Size() == 0 {
		return nil, fmt.Errorf("%w: the stable memory is empty", ErrArgument)
	}
	l := &Ledger{}
	if err := l.openMemories(mem); err != nil {
		return nil, err
	}
	if err := candid.Unmarshal(l.cfgCell.Get(nil), &l.cfg); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := l.parseConfig(); err != nil {
		return nil, err
	}
	if err := l.openArchives(); err != nil {
		return nil, err
	}
	if l.hotMem.Size() == 0 {
		return nil, fmt.Errorf("%w: no ledger here", stable.ErrCorrupt)
	}
	var b [hotSize]byte
	l.hotMem.Read(b[:], 0)
	if string(b[:4]) != hotMagic {
		return nil, fmt.Errorf("%w: ledger header %x", stable.ErrCorrupt, b[:4])
	}
	l.hot = hot{supply: AmountOfBytes(b[4:36]), tip: [32]byte(b[36:68]), collectorBlock: binary.LittleEndian.Uint64(b[68:]),
		second: binary.LittleEndian.Uint64(b[76:]), inSecond: binary.LittleEndian.Uint32(b[84:])}
	return l, nil
}

// Upgrade changes parameters.
func (l *Ledger) Upgrade(args *UpgradeArgs) error {
	if args == nil {
		return nil
	}
	set(&l.cfg.Metadata, args.Metadata)
	set(&l.cfg.Symbol, args.TokenSymbol)
	set(&l.cfg.Name, args.TokenName)
	set(&l.cfg.Fee, args.TransferFee)
	set(&l.cfg.MaxMemo, args.MaxMemoLength)
	set(&l.cfg.Features, args.FeatureFlags)
	if args.IndexPrincipal != nil {
		l.cfg.Index = args.IndexPrincipal
	}
	if c := args.ChangeFeeCollector; c != nil {
		l.cfg.FeeCollector = c.SetTo
		l.hot.collectorBlock = 0
		l.writeHot()
	}
	if a := args.ChangeArchiveOptions; a != nil {
		o := &l.cfg.Archive
		set(&o.NumBlocksToArchive, a.NumBlocksToArchive)
		set(&o.TriggerThreshold, a.TriggerThreshold)
		set(&o.ControllerID, a.ControllerID)
		keep(&o.MaxTransactionsPerResponse, a.MaxTransactionsPerResponse)
		keep(&o.MaxMessageSizeBytes, a.MaxMessageSizeBytes)
		keep(&o.CyclesForArchiveCreation, a.CyclesForArchiveCreation)
		keep(&o.NodeMaxMemorySizeBytes, a.NodeMaxMemorySizeBytes)
		keep(&o.MoreControllerIDs, a.MoreControllerIDs)
		keep(&o.Module, a.Module)
	}
	return l.configure()
}

func set[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}

func keep[T any](dst **T, v *T) {
	if v != nil {
		*dst = v
	}
}

// configure checks the configuration and stores it.
func (l *Ledger) configure() error {
	if err := l.parseConfig(); err != nil {
		return err
	}
	if err := l.cfg.Archive.check(); err != nil {
		return err
	}
	if shown, ok := l.cfg.publicAllowances(); ok && shown != "true" && shown != "false" {
		return fmt.Errorf("%w: %s is %q, want true or false", ErrArgument, keyPublicAllowances, shown)
	}
	b, err := candid.Marshal(l.cfg)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return l.cfgCell.Set(b)
}

func (l *Ledger) parseConfig() (err error) {
	if l.minting, err = parseAccount(l.cfg.MintingAccount); err != nil {
		return fmt.Errorf("minting account: %w", err)
	}
	l.collector = nil
	if l.cfg.FeeCollector != nil {
		c, err := parseAccount(*l.cfg.FeeCollector)
		if err != nil {
			return fmt.Errorf("fee collector: %w", err)
		}
		if c == l.minting {
			return fmt.Errorf("%w: the fee collector is the minting account", ErrArgument)
		}
		l.collector = &c
	}
	l.most = MaxAmount
	if b := l.cfg.AmountBits; b != nil {
		switch *b {
		case 64:
			l.most = AmountOf(^uint64(0))
		case 256:
		default:
			return fmt.Errorf("%w: amount_bits %d, want 64 or 256", ErrArgument, *b)
		}
	}
	var ok bool
	if l.fee, ok = l.amountOf(l.cfg.Fee); !ok {
		return fmt.Errorf("%w: a transfer fee of more than %s", ErrArgument, l.most)
	}
	if l.cfg.MaxMemo < DefaultMemo || l.cfg.MaxMemo > maxMemo {
		return fmt.Errorf("%w: memos of %d bytes, want %d to %d", ErrArgument, l.cfg.MaxMemo, DefaultMemo, maxMemo)
	}
	l.memoMax = int(l.cfg.MaxMemo)
	shown, ok := l.cfg.publicAllowances()
	l.private = ok && shown == "false"
	return nil
}

// amountOf reads an amount of this token; ok is false if it is more than there can be.
func (l *Ledger) amountOf(n candid.Nat) (a Amount, ok bool) {
	a, ok = AmountOfNat(n)
	return a, ok && a.Cmp(l.most) <= 0
}

func (l *Ledger) writeHot() {
	b := l.val[:0]
	b = append(b, hotMagic...)
	for _, w := range l.hot.supply {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	b = append(b, l.hot.tip[:]...)
	b = binary.LittleEndian.AppendUint64(b, l.hot.collectorBlock)
	b = binary.LittleEndian.AppendUint64(b, l.hot.second)
	b = binary.LittleEndian.AppendUint32(b, l.hot.inSecond)
	l.hotMem.Write(0, b)
	l.val = b
}

// Supply is the sum of all balances.
func (l *Ledger) Supply() Amount { return l.hot.supply }

// Blocks is the number of blocks.
func (l *Ledger) Blocks() uint64 { return l.log.Len() }

// Tip is the hash of the last block; it is zero while there is none.
func (l *Ledger) Tip() [32]byte { return l.hot.tip }

// BalanceOf is the balance of an account.
func (l *Ledger) BalanceOf(a Account) (Amount, error) {
	acc, err := parseAccount(a)
	if err != nil {
		return Amount{}, err
	}
	return l.balance(&acc), nil
}

func (l *Ledger) balance(a *account) Amount {
	l.key = a.appendKey(l.key[:0])
	b, ok := l.balances.Get(l.key, l.val[:0])
	if !ok {
		return Amount{}
	}
	l.val = b
	return AmountOfBytes(b)
}

// setBalance stores a balance. Stable memory that cannot grow traps the message: nothing of it may stay.
func (l *Ledger) setBalance(a *account, v Amount) {
	l.key = a.appendKey(l.key[:0])
	if v.IsZero() {
		l.balances.Delete(l.key)
		return
	}
	l.val = v.AppendBytes(l.val[:0])
	must(l.balances.Set(l.key, l.val))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// op is what a transaction does, named by the word that its block has for it.
type op word

const (
	opMint     = op(wMint)
	opBurn     = op(wBurn)
	opTransfer = op(wXfer)
	opApprove  = op(wApprove)
	// The operations of ICRC-152, named by their method.
	opAuthorizedMint = op(w152mint)
	opAuthorizedBurn = op(w152burn)
)

// transaction is what a block records. Fields that are zero or nil are absent.
type transaction struct {
	op        op
	from, to  account
	spender   *account
	amount    Amount
	fee       *Amount // as the caller gave it
	memo      *[]byte
	createdAt *uint64
	expected  *Amount
	expires   *uint64
	caller    principal.Principal
	reason    *string
}

// build writes the transaction as a generic value, the tx of its block, and returns its hash.
func (l *Ledger) build(t *transaction) [32]byte {
	w := &l.tx
	w.begin()
	authorized := t.op == opAuthorizedMint || t.op == opAuthorizedBurn
	w.amount(kAmt, t.amount)
	if authorized {
		w.blob(kCaller, t.caller.Bytes())
	}
	if t.expected != nil {
		w.amount(kExpectedAllowance, *t.expected)
	}
	if t.expires != nil {
		w.nat(kExpiresAt, *t.expires)
	}
	if t.fee != nil {
		w.amount(kFee, *t.fee)
	}
	if t.op != opMint && t.op != opAuthorizedMint {
		w.account(kFrom, &t.from)
	}
	if t.memo != nil {
		w.blob(kMemo, *t.memo)
	}
	if authorized {
		w.word(kMthd, word(t.op))
	} else {
		w.word(kOp, word(t.op))
	}
	if t.reason != nil {
		w.text(kReason, *t.reason)
	}
	if t.spender != nil {
		w.account(kSpender, t.spender)
	}
	switch t.op {
	case opMint, opTransfer, opAuthorizedMint:
		w.account(kTo, &t.to)
	}
	if t.createdAt != nil {
		w.nat(kTs, *t.createdAt)
	}
	return w.end()
}

// failure is why a transaction was not applied; the methods turn it into the variants of their results.
type failure struct {
	badFee, badBurn, funds, allowance, changed *Amount
	tooOld, future, expired, busy              bool
	duplicate                                  *uint64
	generic                                    string
	code                                       uint64
}

// apply checks a transaction against the state, changes the state and appends the block. A nil check is for internal mints.
// fee is what the sender pays (nil: nothing) and is recorded in the block if the caller did not give it.
func (l *Ledger) apply(now uint64, t *transaction, fee *Amount) (index uint64, f *failure) {
	txHash := l.build(t)
	if t.createdAt != nil {
		if f := l.checkRecent(now, *t.createdAt, txHash); f != nil {
			return 0, f
		}
	}
	if f := l.move(now, t, fee); f != nil {
		return 0, f
	}
	if t.createdAt != nil {
		if s := now / uint64(time.Second); s != l.hot.second {
			l.hot.second, l.hot.inSecond = s, 0
		}
		l.hot.inSecond++
	}
	index = l.append(now, t, fee, txHash)
	if t.createdAt != nil {
		must(l.recent.Set(l.recentKey(*t.createdAt, txHash), binary.BigEndian.AppendUint64(nil, index)))
	}
	return index, nil
}

func (l *Ledger) recentKey(createdAt uint64, txHash [32]byte) []byte {
	l.key = binary.BigEndian.AppendUint64(l.key[:0], createdAt)
	l.key = append(l.key, txHash[:]...)
	return l.key
}

// add is x + y, or the largest number.
func add(x, y uint64) uint64 {
	if x+y < x {
		return ^uint64(0)
	}
	return x + y
}

func tooOld(now, createdAt uint64) bool { return add(createdAt, uint64(Window+Drift)) < now }

// checkRecent refuses transactions out of the window and duplicates in it. What is forgotten here can never be accepted again, because
// both follow the creation time alone.
func (l *Ledger) checkRecent(now, createdAt uint64, txHash [32]byte) *failure {
	switch {
	case tooOld(now, createdAt):
		return &failure{tooOld: true}
	case createdAt > add(now, uint64(Drift)):
		return &failure{future: true}
	}
	most := purge
	if l.recent.Len() >= l.window/2 {
		most = maxPurge
	}
	for range most {
		key, ok := l.recent.First(l.key[:0])
		if !ok || !tooOld(now, binary.BigEndian.Uint64(key)) {
			break
		}
		l.key = key
		l.recent.Delete(key)
	}
	if b, ok := l.recent.Get(l.recentKey(createdAt, txHash), l.val[:0]); ok {
		index := binary.BigEndian.Uint64(b)
		return &failure{duplicate: &index}
	}
	if l.throttled(now) {
		return &failure{busy: true}
	}
	return nil
}

// throttled says that no more transactions can be remembered now: the window is full, or it is half full and this second has had its share of the rest.
func (l *Ledger) throttled(now uint64) bool {
	n, half := l.recent.Len(), l.window/2
	if n < half {
		return false
	}
	const seconds = uint64(Window / time.Second)
	return n >= l.window || l.hot.second == now/uint64(time.Second) && uint64(l.hot.inSecond) >= (half+seconds-1)/seconds
}

// move changes balances, allowances and supply, or nothing.
func (l *Ledger) move(now uint64, t *transaction, fee *Amount) *failure {
	var cost Amount
	if fee != nil {
		cost = *fee
	}
	switch t.op {
	case opMint, opAuthorizedMint:
		supply, ok := l.hot.supply.Add(t.amount)
		if !ok || supply.Cmp(l.most) > 0 {
			return &failure{generic: "the supply would exceed the largest amount"}
		}
		balance, _ := l.balance(&t.to).Add(t.amount) // at most the supply
		l.setBalance(&t.to, balance)
		l.hot.supply = supply

	case opApprove:
		return l.approve(now, t, cost)

	case opBurn, opAuthorizedBurn, opTransfer:
		debit, ok := t.amount.Add(cost)
		if !ok {
			balance := l.balance(&t.from)
			return &failure{funds: &balance}
		}
		var left *allowance
		if t.spender != nil && *t.spender != t.from {
			a := l.allowance(now, t.from, *t.spender)
			rest, ok := a.amount.Sub(debit)
			if !ok {
				return &failure{allowance: &a.amount}
			}
			left = &allowance{rest, a.expires}
		}
		balance := l.balance(&t.from)
		rest, ok := balance.Sub(debit)
		if !ok {
			return &failure{funds: &balance}
		}
		l.setBalance(&t.from, rest)
		if t.op == opTransfer {
			l.credit(&t.to, t.amount)
			if l.collector != nil {
				l.credit(l.collector, cost)
			} else {
				l.hot.supply, _ = l.hot.supply.Sub(cost)
			}
		} else {
			l.hot.supply, _ = l.hot.supply.Sub(debit)
		}
		if left != nil && !debit.IsZero() {
			l.setAllowance(t.from, *t.spender, *left)
		}
	}
	return nil
}

// credit adds to a balance, which cannot overflow: no balance exceeds the supply.
func (l *Ledger) credit(a *account, v Amount) {
	if v.IsZero() {
		return
	}
	sum, _ := l.balance(a).Add(v)
	l.setBalance(a, sum)
}

// append writes the block of a transaction that was applied.
func (l *Ledger) append(now uint64, t *transaction, fee *Amount, txHash [32]byte) uint64 {
	index := l.log.Len()
	w := &l.blk
	w.begin()
	switch t.op {
	case opAuthorizedMint:
		w.word(kBtype, w122mint)
	case opAuthorizedBurn:
		w.word(kBtype, w122burn)
	}
	if fee != nil && t.fee == nil {
		w.amount(kFee, *fee)
	}
	if t.op == opTransfer && l.collector != nil && fee != nil {
		if l.hot.collectorBlock == 0 {
			w.account(kFeeCol, l.collector)
			l.hot.collectorBlock = index + 1
		} else {
			w.nat(kFeeColBlock, l.hot.collectorBlock-1)
		}
	}
	if index > 0 {
		w.blob(kPhash, l.hot.tip[:])
	}
	w.nat(kTs, now)
	w.value(kTx, l.tx.b, txHash)
	l.hot.tip = w.end()
	if _, err := l.log.Append(w.b); err != nil {
		panic(err)
	}
	l.writeHot()
	return index
}

// Certified is the root hash of the tree that certifies the tip: what the canister sets as its certified data.
func (l *Ledger) Certified() [32]byte {
	if l.log.Len() == 0 {
		return sha256.Sum256([]byte("\x11ic-hashtree-empty"))
	}
	buf := l.buf[:0]
	buf = binary.AppendUvarint(append(buf, "\x10ic-hashtree-leaf"...), l.log.Len()-1)
	index := sha256.Sum256(buf)
	buf = append(append(buf[:0], "\x10ic-hashtree-leaf"...), l.hot.tip[:]...)
	hash := sha256.Sum256(buf)
	buf = append(append(buf[:0], "\x13ic-hashtree-labeledlast_block_hash"...), hash[:]...)
	left := sha256.Sum256(buf)
	buf = append(append(buf[:0], "\x13ic-hashtree-labeledlast_block_index"...), index[:]...)
	right := sha256.Sum256(buf)
	buf = append(append(append(buf[:0], "\x10ic-hashtree-fork"...), left[:]...), right[:]...)
	return sha256.Sum256(buf)
}
