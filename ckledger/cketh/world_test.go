package cketh

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/holiman/uint256"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/chainkey/derive"
	"fusion/ckledger/cketh/core"
	"fusion/ckledger/icrc"
	"fusion/ckledger/minting"
	"fusion/eth"
	"fusion/eth/rpc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var (
	minterID       = principal.FromUint64(7)
	orchestratorID = principal.FromUint64(9)
	// A ledger is called through a gate, which can lose answers, and is a real one behind it.
	gates   = []principal.Principal{principal.FromUint64(20), principal.FromUint64(21), principal.FromUint64(22)}
	ledgers = []principal.Principal{principal.FromUint64(30), principal.FromUint64(31), principal.FromUint64(32)}

	helpers = [3]eth.Address{{0xe0}, {0xe1}, {0xe2}}
	usdc    = eth.Address{0xc1} // behaves
	odd     = eth.Address{0xc2} // keeps a hundredth of each transfer to the minter; may revert
	reverts = eth.Address{0xbb} // a contract that takes no ether
	seizer  = eth.Address{0x5e} // takes tokens from the minter, and gives them back
)

const (
	gwei  = uint64(1e9)
	milli = uint64(1e15) // thousandth of an ether
)

// universe is a minter among real ledgers, an Ethereum chain behind an EVM-RPC canister, and a signing subnet, of which all but the ledgers' books can fail.
type universe struct {
	t      testing.TB
	rng    *rand.Rand
	w      *native.World
	m      *minter
	chain  *fakeChain
	signer *fakeSigner
	held   []func() // answers that are on their way
	gated  []gated
	faults float64 // probability of each fault
	down   bool    // the EVM-RPC canister answers nothing useful
	lossy  bool    // every answer of a ledger is lost
	frail  bool    // the minter is replaced by a new instance after every message that writes into its log
	deaths int     // of frail ones
	// recoveries is how often the subnet was restored.
	recoveries int
	broken     bool // the chain was reorganised beyond finality: supply may exceed custody
	events     int
	fees       [3]core.Amount // of approvals
	// prepared are all transactions that the log ever held.
	prepared map[[32]byte]*core.Version
}

// gated is a call to a ledger whose answer has not come through.
type gated struct {
	in *native.Incoming
	p  *native.Pending
}

func newUniverse(t testing.TB, seed uint64, tune func(*InitArg)) *universe {
	u := &universe{t: t, rng: rand.New(rand.NewPCG(seed, 1)), w: native.NewWorld(seed), prepared: map[[32]byte]*core.Version{}}
	u.signer = newFakeSigner(u)
	u.chain = newFakeChain(u)
	u.w.Handle(principal.Management, u.signer.handle)
	u.w.Handle(evmRpc, u.chain.handle)
	memo := uint16(80)
	for i, symbol := range []string{"ckETH", "ckUSDC", "ckODD"} {
		fee := candid.NatFromUint64([]uint64{2e12, 10, 10}[i])
		must(t, u.w.Install(ledgers[i], icrc.Canister, icrc.LedgerArg{Init: &icrc.InitArgs{MintingAccount: icrc.Account{Owner: minterID}, TransferFee: fee, TokenSymbol: symbol,
			TokenName: symbol, MaxMemoLength: &memo, FeatureFlags: &icrc.FeatureFlags{ICRC2: true},
			ArchiveOptions: icrc.ArchiveOptions{NumBlocksToArchive: 1000, TriggerThreshold: 2000, ControllerID: minterID}}}))
		u.w.Handle(gates[i], func(in *native.Incoming) { u.gate(in, ledgers[i]) })
	}
	texts := [3]string{}
	for i, h := range helpers {
		texts[i] = h.String()
	}
	args := InitArg{Network: Network{Sepolia: unit}, ECDSAKeyName: "dfx_test_key", ContractAddress: &texts[0], Erc20HelperAddress: &texts[1], DepositHelperAddress: &texts[2],
		LedgerID: gates[0], BlockHeight: BlockTag{Finalized: unit}, MinimumWithdrawal: candid.NatFromUint64(30 * milli), DevelopmentChainID: natOf(core.DevGeth),
		OrchestratorID: &orchestratorID}
	if tune != nil {
		tune(&args)
	}
	if err := u.w.Install(minterID, u.setup, MinterArg{Init: &args}, native.Controllers(operator)); err != nil {
		t.Fatal(err)
	}
	for i, token := range []eth.Address{usdc, odd} {
		_, err := native.Update[cdk.None](u.w, orchestratorID, minterID, "add_ckerc20_token", AddCkErc20Token{*natOf(core.DevGeth), token.String(), []string{"ckUSDC", "ckODD"}[i], gates[1+i]})
		must(t, err)
	}
	u.run(3 * time.Second)
	return u
}

// setup registers the minter, watched: invariants hold after every event, and no ledger has issued more than the chain holds.
func (u *universe) setup(c *cdk.Canister) {
	u.m = register(c)
	u.m.observe = func() {
		u.events++
		for _, x := range u.m.state.Transfers() {
			u.prepared[x.Latest().Digest] = x.Latest()
		}
		if err := u.m.state.CheckInvariants(); err != nil {
			u.t.Fatalf("after event %d: %v", u.m.state.Events(), err)
		}
		if u.w != nil && u.events%4 == 0 {
			u.check()
		}
	}
}

func (u *universe) supply(i int) core.Amount {
	n, err := native.Query[candid.Nat](u.w, minterID, ledgers[i], "icrc1_total_supply")
	must(u.t, err)
	a, err := amountOf(n)
	must(u.t, err)
	return a
}

// check compares the ledgers with the chain.
func (u *universe) check() {
	u.t.Helper()
	if u.broken {
		return
	}
	tip := u.chain.tip()
	for i, a := range []eth.Address{{}, usdc, odd} {
		held, hoard := tip.balances[holding{a, u.signer.main}], tip.balances[holding{a, seizer}]
		held.Add(&held, &hoard)
		if supply := u.supply(i); supply.Gt(&held) {
			u.t.Fatalf("supply %v of %v exceeds custody %v", &supply, a, &held)
		}
	}
}

// gate passes a call on to a real ledger. The answer may come late, or not at all.
func (u *universe) gate(in *native.Incoming, to principal.Principal) {
	if u.fault() && u.rng.IntN(2) == 0 {
		u.answer(func() { in.Reject(cdk.CanisterError, "the ledger trapped") }) // and moved nothing
		return
	}
	u.gated = append(u.gated, gated{in, u.w.SubmitRaw(in.Caller, to, in.Method, in.Arg)})
}

// pump lets answers of ledgers through; it reports whether there were any.
func (u *universe) pump() bool {
	n := 0
	for _, g := range u.gated {
		a := g.p.Answer()
		if a == nil {
			u.gated[n] = g
			n++
			continue
		}
		lost := u.lossy || u.fault() && u.rng.IntN(2) == 0
		u.answer(func() {
			switch {
			case lost:
				g.in.Reject(cdk.CanisterError, "the answer got lost") // but the ledger did it
			case a.Err != nil:
				g.in.Reject(a.Err.Code, a.Err.Message)
			default:
				g.in.ReplyRaw(a.Data)
			}
		})
	}
	progress := n < len(u.gated)
	u.gated = u.gated[:n]
	return progress
}

// quiesce runs what can run now.
func (u *universe) quiesce() {
	for {
		if u.frail {
			for before := u.events; u.w.Step(); before = u.events {
				if u.events != before {
					u.w.Pass(instant)
					u.replaceNow()
					u.deaths++
				}
			}
		}
		must(u.t, u.w.Run())
		if !u.pump() {
			return
		}
	}
}

// run lets time pass.
func (u *universe) run(d time.Duration) {
	for d > 0 {
		step := min(d, 500*time.Millisecond)
		u.quiesce()
		if u.frail { // message by message
			u.w.Pass(step)
		} else {
			must(u.t, u.w.Advance(step))
		}
		u.quiesce()
		d -= step
	}
}

// call makes an update call and waits for its answer.
func call[R any](u *universe, who principal.Principal, to principal.Principal, method string, args ...any) (R, error) {
	u.t.Helper()
	var r R
	p, err := u.w.Submit(who, to, method, args...)
	must(u.t, err)
	for range 200 {
		u.quiesce()
		if a := p.Answer(); a != nil {
			if a.Err != nil {
				return r, a.Err
			}
			if _, none := any(r).(cdk.None); none {
				return r, nil
			}
			return r, candid.Unmarshal(a.Data, &r)
		}
		u.run(500 * time.Millisecond)
	}
	u.t.Fatalf("%s has no answer", method)
	return r, nil
}

// crash replaces the minter by a new instance that knows only its log; open calls lose their callbacks.
func (u *universe) crash(args ...MinterArg) {
	must(u.t, u.w.Advance(instant))
	u.replaceNow(args...)
}

// instant is more than the time at which an instance began: callbacks are numbered from it.
const instant = 2 * time.Second

// cut is crash between two messages: what is under way when it happens comes to the new instance.
func (u *universe) cut(args ...MinterArg) {
	for range u.rng.IntN(30) {
		u.w.Step()
	}
	u.w.Pass(instant)
	u.replaceNow(args...)
}

func (u *universe) replaceNow(args ...MinterArg) {
	before := digest(u.m.state)
	var arg any
	if len(args) > 0 {
		arg = args[0]
	}
	watch := u.w
	u.w = nil // replaying is no change
	w := watch
	if err := w.Upgrade(minterID, u.setup, arg); err != nil {
		u.t.Fatal(err)
	}
	u.w = watch
	if after := digest(u.m.state); len(args) == 0 && after != before {
		u.t.Fatalf("replay gives another state:\n%s\n%s", before, after)
	}
}

// digest describes a state completely enough that two equal ones behave alike.
func digest(s *core.State) string {
	text := fmt.Sprintf("%d %d %d %+v %v %v %d", s.Events(), s.Open(), s.OpenDeposits(), s.Tasks(1<<63), s.Surplus(), s.Addresses(), s.Recalled())
	for _, a := range append([]core.Asset{core.Ether}, assets(s.Tokens())...) {
		text += fmt.Sprintf(" %v", s.Book(a))
	}
	for _, t := range s.Transfers() {
		for i, v := range t.Versions {
			text += fmt.Sprintf(" %d/%d %d %x %v %v", t.ID, i, t.Nonce, v.Digest, v.Hash, v.Sent)
		}
	}
	return text
}

// answer gives an answer now or holds it back.
func (u *universe) answer(fn func()) {
	if u.rng.Float64() < u.faults {
		u.held = append(u.held, fn)
		return
	}
	fn()
}

func (u *universe) release() {
	if len(u.held) > 0 {
		i := u.rng.IntN(len(u.held))
		fn := u.held[i]
		u.held = append(u.held[:i], u.held[i+1:]...)
		fn()
	}
}

func (u *universe) fault() bool { return u.rng.Float64() < u.faults }

// settle lets everything finish without faults, mining on the way.
func (u *universe) settle(rounds int) {
	u.faults, u.down, u.lossy = 0, false, false
	for range rounds {
		for len(u.held) > 0 {
			u.release()
		}
		u.run(3 * time.Second)
		u.chain.mine()
		u.check()
	}
}

func user(i int) principal.Principal { return principal.MustFromBytes(fmt.Appendf(nil, "user %d", i)) }

func (u *universe) balance(i int, who principal.Principal) uint64 {
	n, err := native.Query[candid.Nat](u.w, who, ledgers[i], "icrc1_balance_of", icrc.Account{Owner: who})
	must(u.t, err)
	v, ok := n.Uint64()
	if !ok {
		v = ^uint64(0)
	}
	return v
}

// approve lets the minter take everything.
func (u *universe) approve(i int, who principal.Principal) {
	r, err := call[icrc.ApproveResult](u, who, ledgers[i], "icrc2_approve", icrc.ApproveArgs{Spender: icrc.Account{Owner: minterID}, Amount: candid.NatFromBig(new(uint256.Int).SetAllOne().ToBig())})
	must(u.t, err)
	if r.Ok == nil {
		u.t.Fatalf("approve: %+v", r.Err)
	}
	u.fees[i].AddUint64(&u.fees[i], []uint64{2e12, 10, 10}[i])
}

// fakeSigner is the subnet's key: it signs, refuses, or is slow.
type fakeSigner struct {
	u      *universe
	secret secp256k1.ModNScalar
	public [33]byte
	chain  [32]byte
	main   eth.Address
	key    core.PublicKey
	refuse int
	leak   bool // the answer gets lost, but somebody sends the transaction with that signature
	leaked map[eth.Hash]bool
}

func newFakeSigner(u *universe) *fakeSigner {
	s := &fakeSigner{u: u, chain: sha256.Sum256([]byte("chain code")), leaked: map[eth.Hash]bool{}}
	seed := sha256.Sum256([]byte("secret"))
	s.secret.SetBytes(&seed)
	copy(s.public[:], secp256k1.NewPrivateKey(&s.secret).PubKey().SerializeCompressed())
	_, child := s.derive(nil)
	s.key = core.PublicKey{Key: child.PublicKey, ChainCode: child.ChainCode}
	var err error
	s.main, err = s.key.Main()
	must(u.t, err)
	return s
}

func (s *fakeSigner) derive(path [][]byte) (*secp256k1.PrivateKey, derive.Child) {
	c, err := derive.Secp256k1(s.public, s.chain, derive.Path(minterID.Bytes(), path...))
	must(s.u.t, err)
	var k secp256k1.ModNScalar
	k.SetBytes(&c.Tweak)
	return secp256k1.NewPrivateKey(k.Add(&s.secret)), c
}

func (s *fakeSigner) handle(in *native.Incoming) {
	switch in.Method {
	case "ecdsa_public_key":
		if s.u.fault() {
			s.u.answer(func() { in.Reject(cdk.SysTransient, "no key yet") })
			return
		}
		s.u.answer(func() { in.Reply(cdk.ECDSAPublicKey{PublicKey: s.key.Key[:], ChainCode: s.key.ChainCode[:]}) })
	case "sign_with_ecdsa":
		var a cdk.SignWithECDSAArgs
		must(s.u.t, candid.Unmarshal(in.Arg, &a))
		digest := [32]byte(a.MessageHash)
		v := s.persisted(digest)
		key, c := s.derive(a.DerivationPath)
		if s.leak {
			s.leak = false
			// Another nonce gives another signature, and the transaction another hash: that is what retries do.
			other := signOtherwise(key, digest)
			signed, err := v.Tx.Sign(other, c.PublicKey[:])
			must(s.u.t, err)
			s.u.chain.send(signed)
			s.leaked[signed.Hash()] = true
			s.u.answer(func() { in.Reject(cdk.CanisterReject, "the answer got lost") })
			return
		}
		if s.refuse > 0 || s.u.fault() {
			s.refuse--
			s.u.answer(func() { in.Reject(cdk.CanisterReject, "the committee failed") })
			return
		}
		sig := ecdsa.SignCompact(key, digest[:], true)
		s.u.answer(func() { in.Reply(signatureReply{sig[1:]}) })
	case "canister_status":
		in.Reject(cdk.CanisterReject, "not allowed")
	default:
		s.u.t.Fatalf("management method %s", in.Method)
	}
}

// signOtherwise signs with another nonce than RFC 6979 would choose.
func signOtherwise(key *secp256k1.PrivateKey, digest [32]byte) (out [64]byte) {
	var k, r, s, e secp256k1.ModNScalar
	seed := sha256.Sum256(append([]byte("nonce"), digest[:]...))
	k.SetBytes(&seed)
	var p secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(&k, &p)
	p.ToAffine()
	x := p.X.Bytes()
	r.SetBytes(x)
	e.SetBytes(&digest)
	s.Mul2(&r, &key.Key).Add(&e).Mul(k.InverseNonConst())
	if s.IsOverHalfOrder() {
		s.Negate()
	}
	rb, sb := r.Bytes(), s.Bytes()
	copy(out[:32], rb[:])
	copy(out[32:], sb[:])
	return out
}

// persisted: the payload was in the log before its signature was asked.
func (s *fakeSigner) persisted(digest [32]byte) *core.Version {
	if v := s.u.prepared[digest]; v != nil { // the transfer may be final by now, by another version
		return v
	}
	s.u.t.Fatalf("signature asked for %x, which the log does not hold", digest)
	return nil
}

// holding is who holds what: the zero token is ether.
type holding struct{ token, owner eth.Address }

type fakeTx struct {
	hash   eth.Hash
	from   eth.Address
	nonce  uint64
	signed *eth.Signed                            // of the minter
	exec   func(b *fakeBlock) ([]eth.Event, bool) // of users
}

type fakeReceipt struct {
	tx      *fakeTx
	block   *fakeBlock
	logs    []eth.Event
	first   uint64 // index of the first log
	success bool
	gas     uint64
	price   core.Amount
}

type fakeBlock struct {
	number   uint64
	time     uint64 // seconds since 1970
	hash     eth.Hash
	base     core.Amount
	txs      []*fakeTx
	receipts map[eth.Hash]*fakeReceipt
	balances map[holding]core.Amount
	nonces   map[eth.Address]uint64
	logs     uint64
}

// fakeChain is a chain of blocks with a pool, behind the interface of the EVM-RPC canister.
type fakeChain struct {
	u        *universe
	blocks   []*fakeBlock
	pool     []*fakeTx
	made     uint64
	base     core.Amount
	depth    uint64          // blocks above the last final one
	huge     map[uint64]bool // blocks whose logs are too large
	withheld map[eth.Hash]bool
	unread   map[eth.Hash]bool // transactions whose receipts are withheld
	stall    bool              // what the minter's address holds is answered later
	oddFails bool              // transfers of the odd token revert
	oddLies  bool              // transfers of the odd token move nothing and succeed
	lagging  bool              // the provider's view is behind
	calls    map[string]int
}

func newFakeChain(u *universe) *fakeChain {
	c := &fakeChain{u: u, base: core.AmountOf(10 * gwei), depth: 3, huge: map[uint64]bool{}, withheld: map[eth.Hash]bool{}, unread: map[eth.Hash]bool{}, calls: map[string]int{}}
	c.blocks = []*fakeBlock{{hash: eth.Hash{1}, base: c.base, receipts: map[eth.Hash]*fakeReceipt{}, balances: map[holding]core.Amount{}, nonces: map[eth.Address]uint64{}}}
	for range 5 {
		c.mine()
	}
	return c
}

func (c *fakeChain) tip() *fakeBlock { return c.blocks[len(c.blocks)-1] }
func (c *fakeChain) final() *fakeBlock {
	return c.blocks[max(0, len(c.blocks)-1-int(c.depth))]
}

func (b *fakeBlock) move(token, from, to eth.Address, n core.Amount) bool {
	have := b.balances[holding{token, from}]
	if have.Lt(&n) {
		return false
	}
	have.Sub(&have, &n)
	b.balances[holding{token, from}] = have
	b.credit(token, to, n)
	return true
}

func (b *fakeBlock) credit(token, to eth.Address, n core.Amount) {
	have := b.balances[holding{token, to}]
	have.Add(&have, &n)
	b.balances[holding{token, to}] = have
}

func transferLog(token, from, to eth.Address, n core.Amount) eth.Event {
	w := eth.WordUint(&n)
	return eth.Event{Address: token, Topics: []eth.Hash{eth.TopicTransfer, eth.WordAddress(from), eth.WordAddress(to)}, Data: w[:]}
}

func (c *fakeChain) tag() eth.Hash {
	c.made++
	var h eth.Hash
	binary.BigEndian.PutUint64(h[:], c.made)
	h = eth.Keccak256(h[:])
	return h
}

// by puts a user's transaction into the pool.
func (c *fakeChain) by(from eth.Address, exec func(b *fakeBlock) ([]eth.Event, bool)) eth.Hash {
	tx := &fakeTx{hash: c.tag(), from: from, exec: exec}
	c.pool = append(c.pool, tx)
	return tx.hash
}

// deposit calls a helper contract: 0 and 1 are the legacy ones, 2 the one with subaccounts. what the token really moves is its own affair.
func (c *fakeChain) deposit(kind int, from, token eth.Address, value core.Amount, who [32]byte, sub [32]byte) eth.Hash {
	main := c.u.signer.main
	return c.by(from, func(b *fakeBlock) (logs []eth.Event, ok bool) {
		if token == (eth.Address{}) {
			b.credit(token, main, value)
		} else {
			arrives := value
			if token == odd { // keeps a hundredth
				var cut core.Amount
				cut.Div(&value, uint256.NewInt(100))
				arrives.Sub(&value, &cut)
			}
			b.credit(token, main, arrives)
			logs = append(logs, transferLog(token, from, main, arrives))
		}
		data := eth.WordUint(&value)
		switch {
		case kind == 0:
			logs = append(logs, eth.Event{Address: helpers[0], Topics: []eth.Hash{eth.TopicReceivedETH, eth.WordAddress(from), who}, Data: data[:]})
		case kind == 1:
			logs = append(logs, eth.Event{Address: helpers[1], Topics: []eth.Hash{eth.TopicReceivedERC20, eth.WordAddress(token), eth.WordAddress(from), who}, Data: data[:]})
		default:
			logs = append(logs, eth.Event{Address: helpers[2], Topics: []eth.Hash{eth.TopicReceivedETHOrERC20, eth.WordAddress(token), eth.WordAddress(from), who}, Data: append(data[:], sub[:]...)})
		}
		return logs, true
	})
}

// seize is a token that moves what the minter has of it to somebody else, or back.
func (c *fakeChain) seize(token eth.Address, back bool) {
	from, to := c.u.signer.main, seizer
	if back {
		from, to = to, from
	}
	c.by(eth.Address{1}, func(b *fakeBlock) ([]eth.Event, bool) {
		return nil, b.move(token, from, to, b.balances[holding{token, from}])
	})
}

// pay sends ether without a contract.
func (c *fakeChain) pay(to eth.Address, value core.Amount) eth.Hash {
	return c.by(eth.Address{0xaa}, func(b *fakeBlock) ([]eth.Event, bool) { b.credit(eth.Address{}, to, value); return nil, true })
}

// send puts a signed transaction into the pool, in place of one with the same nonce if it pays a tenth more.
func (c *fakeChain) send(s eth.Signed) string {
	from, err := s.Sender()
	must(c.u.t, err)
	if c.tip().nonces[from] > s.Nonce {
		return "low"
	}
	fee := eth.Fee{MaxPriorityFeePerGas: s.MaxPriorityFeePerGas, MaxFeePerGas: s.MaxFeePerGas}
	for i, p := range c.pool {
		if p.from != from || p.signed == nil || p.nonce != s.Nonce {
			continue
		}
		old := eth.Fee{MaxPriorityFeePerGas: p.signed.MaxPriorityFeePerGas, MaxFeePerGas: p.signed.MaxFeePerGas}
		switch {
		case p.hash == s.Hash():
			return "known"
		case !fee.Replaces(old):
			return "underpriced"
		}
		c.pool = slices.Delete(c.pool, i, i+1)
		break
	}
	c.pool = append(c.pool, &fakeTx{hash: s.Hash(), from: from, nonce: s.Nonce, signed: &s})
	return ""
}

// mine puts most of the pool into a block.
func (c *fakeChain) mine() {
	prev := c.tip()
	b := &fakeBlock{number: prev.number + 1, time: c.u.w.Now() / 1e9, hash: c.tag(), base: c.base, receipts: map[eth.Hash]*fakeReceipt{}, balances: maps.Clone(prev.balances), nonces: maps.Clone(prev.nonces)}
	pool := c.pool
	c.pool = nil
	slices.SortStableFunc(pool, func(x, y *fakeTx) int { return int(x.nonce) - int(y.nonce) })
	for _, tx := range pool {
		if c.u.fault() || !c.include(b, tx) {
			if tx.signed == nil || b.nonces[tx.from] <= tx.nonce {
				c.pool = append(c.pool, tx)
			}
		}
	}
	c.blocks = append(c.blocks, b)
}

func (c *fakeChain) include(b *fakeBlock, tx *fakeTx) bool {
	r := &fakeReceipt{tx: tx, block: b, first: b.logs, gas: 50_000, price: b.base}
	if s := tx.signed; s != nil {
		if b.nonces[tx.from] != s.Nonce || s.MaxFeePerGas.Lt(&b.base) {
			return false
		}
		var most core.Amount
		most.Mul(&s.MaxFeePerGas, uint256.NewInt(s.GasLimit))
		most.Add(&most, &s.Value)
		have := b.balances[holding{eth.Address{}, tx.from}]
		if have.Lt(&most) {
			return false
		}
		var price core.Amount
		price.Add(&b.base, &s.MaxPriorityFeePerGas)
		if price.Gt(&s.MaxFeePerGas) {
			price = s.MaxFeePerGas
		}
		r.price, r.gas = price, 21_000
		if len(s.Data) > 0 {
			r.gas = 48_000
		}
		r.logs, r.success = c.execute(b, tx.from, s)
		var fee core.Amount
		fee.Mul(&price, uint256.NewInt(r.gas))
		b.move(eth.Address{}, tx.from, eth.Address{0xfe}, fee)
		b.nonces[tx.from]++
	} else {
		r.logs, r.success = tx.exec(b)
	}
	b.logs += uint64(len(r.logs))
	b.txs = append(b.txs, tx)
	b.receipts[tx.hash] = r
	return true
}

func (c *fakeChain) execute(b *fakeBlock, from eth.Address, s *eth.Signed) ([]eth.Event, bool) {
	if len(s.Data) == 0 {
		if s.To == reverts {
			return nil, false
		}
		return nil, b.move(eth.Address{}, from, s.To, s.Value)
	}
	to, n, err := eth.UnpackTransfer(s.Data)
	must(c.u.t, err)
	if s.To == odd && c.oddFails {
		return nil, false
	}
	if s.To == odd && c.oddLies {
		return nil, true
	}
	if !b.move(s.To, from, to, n) {
		return nil, false
	}
	return []eth.Event{transferLog(s.To, from, to, n)}, true
}

// reorg replaces the last blocks by as many and one more; their transactions go back to the pool, or are forgotten until somebody sends them again.
func (c *fakeChain) reorg(depth int) {
	var back []*fakeTx
	for range depth {
		back = append(slices.Clone(c.tip().txs), back...)
		c.blocks = c.blocks[:len(c.blocks)-1]
	}
	for _, tx := range back {
		if tx.signed == nil || !c.u.fault() {
			c.pool = append(c.pool, tx)
		}
	}
	for range depth + 1 {
		c.mine()
	}
}

// receiptOf finds a transaction in the chain.
func (c *fakeChain) receiptOf(h eth.Hash) *fakeReceipt {
	for i := len(c.blocks) - 1; i >= 0; i-- {
		if r := c.blocks[i].receipts[h]; r != nil {
			return r
		}
	}
	return nil
}

func (c *fakeChain) at(t rpcTag) *fakeBlock {
	switch {
	case t.Latest != nil:
		return c.tip()
	case t.Finalized != nil:
		if c.lagging {
			return c.blocks[max(0, int(c.final().number)-2)]
		}
		return c.final()
	case t.Number != nil:
		n, _ := t.Number.Uint64()
		if n < uint64(len(c.blocks)) {
			return c.blocks[n]
		}
		return nil
	}
	c.u.t.Fatalf("block tag %+v", t)
	return nil
}

func rpcLogOf(r *fakeReceipt, i int) rpcLog {
	e := r.logs[i]
	h := r.tx.hash.String()
	l := rpcLog{TransactionHash: &h, BlockNumber: natOf(r.block.number), Data: "0x" + hex.EncodeToString(e.Data), Topics: []string{}, Address: e.Address.String(), LogIndex: natOf(r.first + uint64(i))}
	for _, t := range e.Topics {
		l.Topics = append(l.Topics, t.String())
	}
	return l
}

// reply answers with what all providers say, or with one of the ways in which they fail.
func reply[T any](c *fakeChain, in *native.Incoming, ok T) {
	good := result[T]{Ok: &ok}
	bad := result[T]{Err: &rpcError{JSONRPC: &jsonRpcError{-32603, "internal error"}}}
	if c.u.down || c.u.fault() {
		switch c.u.rng.IntN(4) {
		case 0:
			c.u.answer(func() { in.Reject(cdk.SysTransient, "the EVM-RPC canister is stopped") })
		case 1:
			c.u.answer(func() { in.Reply(multi[T]{Consistent: &bad}) })
		case 2:
			c.u.answer(func() { in.Reply(multi[T]{Inconsistent: &[]provided[T]{{Result: bad}, {Result: bad}}}) })
		default:
			c.u.answer(func() {
				in.Reply(multi[T]{Consistent: &result[T]{Err: &rpcError{HTTP: &httpOutcallError{IC: &icError{Message: "No consensus could be reached. Replicas had different responses."}}}}})
			})
		}
		return
	}
	c.u.answer(func() { in.Reply(multi[T]{Consistent: &good}) })
}

func refuse[T any](c *fakeChain, in *native.Incoming, code int64, text string) {
	bad := result[T]{Err: &rpcError{JSONRPC: &jsonRpcError{code, text}}}
	c.u.answer(func() { in.Reply(multi[T]{Consistent: &bad}) })
}

func (c *fakeChain) handle(in *native.Incoming) {
	c.calls[in.Method]++
	t := c.u.t
	var services rpcServices
	var config *rpcConfig
	args := func(dst any) {
		must(t, candid.Unmarshal(in.Arg, &services, &config, dst))
		if services.Custom == nil || services.Custom.ChainID != core.DevGeth || len(services.Custom.Services) != 0 || config != nil {
			t.Fatalf("%s asks %+v", in.Method, services)
		}
	}
	switch in.Method {
	case "eth_getBlockByNumber":
		var tag rpcTag
		args(&tag)
		b := c.at(tag)
		if b == nil {
			refuse[rpcBlock](c, in, -32000, "block not found")
			return
		}
		x := rpcBlock{Hash: b.hash.String(), Number: *natOf(b.number), Timestamp: *natOf(b.time), Transactions: []string{}}
		for _, tx := range b.txs {
			x.Transactions = append(x.Transactions, tx.hash.String())
		}
		reply(c, in, x)
	case "eth_getLogs":
		var a logsArgs
		args(&a)
		c.getLogs(in, a)
	case "eth_getTransactionCount":
		var a countArgs
		args(&a)
		who, err := eth.ParseAddress(a.Address)
		must(t, err)
		b := c.at(a.Block)
		if b == nil {
			refuse[candid.Nat](c, in, -32000, "block not found")
			return
		}
		reply(c, in, *natOf(b.nonces[who]))
	case "eth_getTransactionReceipt":
		var text string
		args(&text)
		h, err := eth.ParseHash(text)
		must(t, err)
		r := c.receiptOf(h)
		if r == nil || c.unread[h] {
			reply[*rpcReceipt](c, in, nil)
			return
		}
		status := uint64(0)
		if r.success {
			status = 1
		}
		x := &rpcReceipt{Status: natOf(status), TransactionHash: text, BlockNumber: *natOf(r.block.number), BlockHash: r.block.hash.String(), From: r.tx.from.String(),
			EffectiveGasPrice: nat(r.price), GasUsed: *natOf(r.gas), Logs: []rpcLog{}}
		for i := range r.logs {
			x.Logs = append(x.Logs, rpcLogOf(r, i))
		}
		reply(c, in, x)
	case "eth_feeHistory":
		var a feeHistoryArgs
		args(&a)
		h := rpcFeeHistory{}
		for range 5 {
			h.Reward = append(h.Reward, []candid.Nat{*natOf(2 * gwei)})
		}
		for range 6 {
			h.BaseFeePerGas = append(h.BaseFeePerGas, nat(c.base))
		}
		reply(c, in, h)
	case "eth_sendRawTransaction":
		var text string
		args(&text)
		raw, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
		must(t, err)
		s, err := eth.ParseSigned(raw)
		must(t, err)
		switch c.send(s) {
		case "":
			h := s.Hash().String()
			p := &h
			reply(c, in, sendStatus{Ok: &p})
		case "low":
			reply(c, in, sendStatus{NonceTooLow: unit})
		case "known":
			refuse[sendStatus](c, in, -32000, "already known")
		default:
			refuse[sendStatus](c, in, -32000, "replacement transaction underpriced")
		}
	case "eth_call":
		var a callArgs
		args(&a)
		token, err := eth.ParseAddress(*a.Transaction.To)
		must(t, err)
		input, err := unhex(*a.Transaction.Input)
		must(t, err)
		w, err := eth.Words(eth.SelBalanceOf, input, 1)
		must(t, err)
		n := c.at(*a.Block).balances[holding{token, eth.Address(w[0][12:])}]
		out := eth.WordUint(&n)
		reply(c, in, "0x"+hex.EncodeToString(out[:]))
	case "multi_request":
		var text string
		args(&text)
		q, err := rpc.Raw([]byte(text))
		must(t, err)
		c.query(in, q)
	default:
		t.Fatalf("EVM-RPC method %s", in.Method)
	}
}

func (c *fakeChain) getLogs(in *native.Incoming, a logsArgs) {
	from, _ := a.FromBlock.Number.Uint64()
	to, _ := a.ToBlock.Number.Uint64()
	if to-from >= core.MaxRange || to < from {
		c.u.t.Fatalf("logs of blocks %d to %d", from, to)
	}
	out := []rpcLog{}
	for n := from; n <= to && n < uint64(len(c.blocks)); n++ {
		if c.huge[n] {
			refuse[[]rpcLog](c, in, -32005, "query returned more than 10000 results")
			return
		}
		for _, tx := range c.blocks[n].txs {
			r := c.blocks[n].receipts[tx.hash]
			for i := range r.logs {
				l := rpcLogOf(r, i)
				match := slices.Contains(a.Addresses, l.Address) && !c.withheld[tx.hash]
				for j, or := range *a.Topics {
					match = match && j < len(l.Topics) && slices.Contains(or, l.Topics[j])
				}
				if match {
					out = append(out, l)
				}
			}
		}
	}
	reply(c, in, out)
}

func (c *fakeChain) query(in *native.Incoming, q rpc.Query) {
	text := func(i int) string {
		parts := strings.Split(strings.Trim(string(q.Params), "[]"), ",")
		return strings.Trim(parts[i], `"`)
	}
	switch q.Method {
	case rpc.MethodBalance:
		who, err := eth.ParseAddress(text(0))
		must(c.u.t, err)
		n, ok := rpc.At(text(1)).Number()
		if !ok || n >= uint64(len(c.blocks)) {
			refuse[string](c, in, -32000, "block not found")
			return
		}
		held := c.blocks[n].balances[holding{eth.Address{}, who}]
		if c.stall && who == c.u.signer.main {
			c.u.held = append(c.u.held, func() { reply(c, in, string(rpc.EncodeQuantity(&held))) })
			return
		}
		reply(c, in, string(rpc.EncodeQuantity(&held)))
	case "eth_getTransactionByHash":
		h, err := eth.ParseHash(text(0))
		must(c.u.t, err)
		r := c.receiptOf(h)
		if r == nil {
			reply(c, in, "null")
			return
		}
		x := rpc.Transaction{Type: 2, Hash: h, From: r.tx.from, To: &eth.Address{0xee}, Nonce: r.tx.nonce, Gas: 50_000, ChainID: uint256.NewInt(core.DevGeth), GasPrice: &r.price,
			MaxFeePerGas: &r.price, MaxPriorityFeePerGas: &core.Amount{}, V: &core.Amount{}, R: uint256.NewInt(1), S: uint256.NewInt(1)}
		if s := r.tx.signed; s != nil {
			x.To, x.Value, x.Input, x.Gas, x.MaxFeePerGas, x.MaxPriorityFeePerGas = &s.To, s.Value, s.Data, s.GasLimit, &s.MaxFeePerGas, &s.MaxPriorityFeePerGas
		}
		index := uint64(slices.Index(r.block.txs, r.tx))
		x.BlockHash, x.BlockNumber, x.Index = &r.block.hash, &r.block.number, &index
		reply(c, in, string(rpc.EncodeTransaction(&x)))
	default:
		c.u.t.Fatalf("JSON-RPC method %s", q.Method)
	}
}

// paid sums what the minter's transactions pay to an address.
func (c *fakeChain) paid(token, to eth.Address) (sum core.Amount, times int) {
	for _, b := range c.blocks {
		for _, tx := range b.txs {
			r := b.receipts[tx.hash]
			if tx.signed == nil || tx.from != c.u.signer.main || !r.success {
				continue
			}
			if token == (eth.Address{}) && tx.signed.To == to && len(tx.signed.Data) == 0 {
				sum.Add(&sum, &tx.signed.Value)
				times++
			}
			for _, l := range r.logs {
				if x, err := eth.ParseTransfer(l); err == nil && x.Token == token && x.To == to && bytes.Equal(x.From[:], c.u.signer.main[:]) {
					sum.Add(&sum, &x.Amount)
					times++
				}
			}
		}
	}
	return sum, times
}

func account(p principal.Principal) minting.Account { return minting.Account{Owner: p} }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
