package ckbtc

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/chainkey/derive"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/minting/ledger"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var (
	minterID = principal.FromUint64(7)
	ledgerID = principal.FromUint64(8)
	operator = principal.FromUint64(9)
)

// universe is a minter among a ledger, a Bitcoin chain and a signing subnet, which all can fail.
type universe struct {
	t      testing.TB
	rng    *rand.Rand
	w      *native.World
	m      *minter
	ledger *fakeLedger
	chain  *fakeChain
	signer *fakeSigner
	held   []func() // answers that are on their way
	faults float64  // probability of each fault
	// prepared are the digests that the log has ever held; lenient is a minter whose own checks are off, so that a simulation has to find what is wrong.
	prepared map[[32]byte]bool
	lenient  bool
	errorf   func(string, ...any) // what the audit finds
}

func newUniverse(t testing.TB, seed uint64, tune func(*InitArgs)) *universe {
	u := &universe{t: t, rng: rand.New(rand.NewPCG(seed, 1)), w: native.NewWorld(seed), prepared: map[[32]byte]bool{}, errorf: t.Errorf}
	u.ledger = &fakeLedger{u: u, balances: map[core.Account]uint64{}, allowances: map[core.Account]uint64{}, seen: map[string]uint64{}}
	u.chain = newFakeChain(u)
	u.signer = newFakeSigner(u)
	u.chain.mine1[string(u.address(minterID).Script())] = true
	u.w.Handle(ledgerID, u.ledger.handle)
	u.w.Handle(bitcoinCanister(btc.Regtest), u.chain.handle)
	u.w.Handle(principal.Management, u.signer.handle)
	conf := uint32(3)
	args := InitArgs{Network: Regtest, LedgerID: ledgerID, ECDSAKeyName: "dfx_test_key", RetrieveBtcMinAmount: 10_000, MaxTimeInQueueNanos: 2e9,
		MinConfirmations: &conf, Mode: Mode{GeneralAvailability: candid.Unit}}
	if tune != nil {
		tune(&args)
	}
	if err := u.w.Install(minterID, u.setup, MinterArg{Init: &args}, native.Controllers(operator)); err != nil {
		t.Fatal(err)
	}
	return u
}

// address is where deposits of a principal go; to the minter's own goes change.
func (u *universe) address(who principal.Principal) btc.Address {
	u.t.Helper()
	_, child := u.signer.derive(nil)
	a, err := core.PublicKey{Key: child.PublicKey, ChainCode: child.ChainCode}.Address(btc.Regtest, core.Account{Owner: who})
	must(u.t, err)
	return a
}

// setup registers the minter, watched: invariants hold after every event.
func (u *universe) setup(c *cdk.Canister) {
	u.m = register(c)
	u.m.observe = func() {
		for _, p := range u.m.state.Payments() {
			for _, d := range p.Latest().Digests {
				u.prepared[d] = true
			}
		}
		if err := u.m.state.CheckInvariants(); err != nil && !u.lenient {
			u.t.Fatalf("after event %d: %v", u.m.state.Events(), err)
		}
	}
}

// crash replaces the minter by a new instance that knows only its log; open calls lose their callbacks.
func (u *universe) crash() {
	u.t.Helper()
	must(u.t, u.w.Advance(instant))
	u.replaceNow()
}

// instant is more than the time at which an instance began: callbacks are numbered from it.
const instant = 2 * time.Second

// cut is crash between two messages: what is under way when it happens comes to the new instance.
func (u *universe) cut() {
	u.t.Helper()
	u.w.Pass(instant)
	u.replaceNow()
}

func (u *universe) replaceNow() {
	u.t.Helper()
	before := u.m.state
	if err := u.w.Upgrade(minterID, u.setup, nil); err != nil {
		u.t.Fatal(err)
	}
	if a, b := digest(before), digest(u.m.state); a != b {
		u.t.Fatalf("replay gives another state:\n%s\n%s", a, b)
	}
}

// digest describes a state completely enough that two equal ones behave alike.
func digest(s *core.State) string {
	minted, burned, refunded := s.Totals()
	text := fmt.Sprintf("%d %d %d %d %d %d %+v", s.Events(), minted, burned, refunded, s.Custody(), s.Open(), s.Tasks())
	for _, p := range s.Payments() {
		for _, v := range p.Versions {
			text += fmt.Sprintf(" %d/%d %v %v %v %x", p.ID, v.Version, v.Txid, v.Complete, v.Sent, v.Signatures)
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
	u.faults = 0
	for range rounds {
		for len(u.held) > 0 {
			u.release()
		}
		if err := u.w.Advance(5 * time.Second); err != nil {
			u.t.Fatal(err)
		}
		u.chain.mine()
		u.check()
	}
}

// check compares the ledger with the chain: what the ledger says it issued is there.
func (u *universe) check() {
	u.t.Helper()
	if supply, custody := u.ledger.supply, u.chain.custody(); supply > custody {
		u.t.Fatalf("supply %d exceeds custody %d", supply, custody)
	}
}

// fakeLedger is an ICRC-1 and ICRC-2 ledger with de-duplication, whose answers may get lost.
type fakeLedger struct {
	u          *universe
	balances   map[core.Account]uint64
	allowances map[core.Account]uint64 // of the minter
	seen       map[string]uint64       // transaction → block
	blocks     []ledgerBlock
	supply     uint64
	busy       int // requests to refuse
}

type ledgerBlock struct {
	mint, burn bool
	account    core.Account
	amount     uint64
	memo       []byte
	at         uint64
}

func (l *fakeLedger) handle(in *native.Incoming) {
	var from, to Account
	var amount candid.Nat
	var memo *[]byte
	var at *uint64
	approval := false
	switch in.Method {
	case "get_transactions":
		var a getTransactionsArgs
		must(l.u.t, candid.Unmarshal(in.Arg, &a))
		start, _ := a.Start.Uint64()
		r := getTransactionsResponse{LogLength: candid.NatFromUint64(uint64(len(l.blocks))), FirstIndex: a.Start}
		for i := start; i < uint64(len(l.blocks)) && i < start+7; i++ {
			b := l.blocks[i]
			x := &ledger.Moved{Amount: candid.NatFromUint64(b.amount), CreatedAtTime: &b.at}
			if b.mint {
				r.Transactions = append(r.Transactions, ledgerTransaction{Mint: x})
			} else {
				r.Transactions = append(r.Transactions, ledgerTransaction{Burn: x})
			}
		}
		l.u.answer(func() { in.Reply(r) })
		return
	case "icrc1_transfer":
		var a transferArg
		must(l.u.t, candid.Unmarshal(in.Arg, &a))
		from, to, amount, memo, at = Account{Owner: in.Caller, Subaccount: a.FromSubaccount}, a.To, a.Amount, a.Memo, a.CreatedAtTime
	case "icrc2_transfer_from":
		var a transferFromArgs
		must(l.u.t, candid.Unmarshal(in.Arg, &a))
		from, to, amount, memo, at, approval = a.From, a.To, a.Amount, a.Memo, a.CreatedAtTime, true
	default:
		l.u.t.Fatalf("ledger method %s", in.Method)
	}
	if in.Caller != minterID || at == nil || memo == nil || len(*memo) > 80 {
		l.u.t.Fatalf("transfer by %v with memo %x", in.Caller, memo)
	}
	if l.busy > 0 {
		l.busy--
		l.u.answer(func() { in.Reply(transferResult{Err: &transferError{TemporarilyUnavailable: candid.Unit}}) })
		return
	}
	if l.u.fault() && l.u.rng.IntN(2) == 0 {
		l.u.answer(func() { in.Reject(cdk.CanisterError, "the ledger trapped") }) // and moved nothing
		return
	}
	r := l.transfer(from, to, amount, *memo, *at, approval, in)
	if l.u.fault() && l.u.rng.IntN(2) == 0 {
		l.u.answer(func() { in.Reject(cdk.CanisterError, "the answer got lost") }) // but it moved
		return
	}
	l.u.answer(func() { in.Reply(r) })
}

func (l *fakeLedger) transfer(from, to Account, amount candid.Nat, memo []byte, at uint64, approval bool, in *native.Incoming) transferResult {
	src, _ := core.NewAccount(from.Owner, from.Subaccount)
	dst, _ := core.NewAccount(to.Owner, to.Subaccount)
	n, _ := amount.Uint64()
	minting := core.Account{Owner: minterID}
	key := fmt.Sprint(in.Method, src, dst, n, memo, at)
	fail := func(e transferError) transferResult { return transferResult{Err: &e} }
	now := l.u.w.Now()
	if at+24*3600e9 < now {
		return fail(transferError{TooOld: candid.Unit})
	}
	if at > now+60e9 {
		return fail(transferError{CreatedInFuture: &ledger.Time{LedgerTime: now}})
	}
	if block, dup := l.seen[key]; dup {
		return fail(transferError{Duplicate: &ledger.Duplicate{DuplicateOf: candid.NatFromUint64(block)}})
	}
	b := ledgerBlock{amount: n, memo: memo, at: at}
	switch {
	case src == minting:
		b.mint, b.account = true, dst
		l.balances[dst] += n
		l.supply += n
	case dst == minting:
		if approval {
			if l.allowances[src] < n {
				return fail(transferError{InsufficientAllowance: &ledger.Allowance{Allowance: candid.NatFromUint64(l.allowances[src])}})
			}
		}
		if l.balances[src] < n {
			return fail(transferError{InsufficientFunds: &ledger.Balance{Balance: candid.NatFromUint64(l.balances[src])}})
		}
		if approval {
			l.allowances[src] -= n
		}
		b.burn, b.account = true, src
		l.balances[src] -= n
		l.supply -= n
	default:
		l.u.t.Fatalf("the minter moves ckBTC from %v to %v", src, dst)
	}
	index := uint64(len(l.blocks))
	l.seen[key] = index
	l.blocks = append(l.blocks, b)
	i := candid.NatFromUint64(index)
	return transferResult{Ok: &i}
}

// fakeSigner is the subnet's key: it signs, refuses, or is slow.
type fakeSigner struct {
	u      *universe
	secret secp256k1.ModNScalar
	public [33]byte
	chain  [32]byte
	signed map[[32]byte]int
	refuse int
}

func newFakeSigner(u *universe) *fakeSigner {
	s := &fakeSigner{u: u, chain: sha256.Sum256([]byte("chain code")), signed: map[[32]byte]int{}}
	seed := sha256.Sum256([]byte("secret"))
	s.secret.SetBytes(&seed)
	copy(s.public[:], secp256k1.NewPrivateKey(&s.secret).PubKey().SerializeCompressed())
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
		_, c := s.derive(nil)
		s.u.answer(func() { in.Reply(cdk.ECDSAPublicKey{PublicKey: c.PublicKey[:], ChainCode: c.ChainCode[:]}) })
	case "sign_with_ecdsa":
		var a cdk.SignWithECDSAArgs
		must(s.u.t, candid.Unmarshal(in.Arg, &a))
		digest := [32]byte(a.MessageHash)
		s.signed[digest]++ // a signature may exist from here on, whatever is answered
		s.checkPersisted(digest)
		if s.refuse > 0 || s.u.fault() {
			s.refuse--
			s.u.answer(func() { in.Reject(cdk.CanisterReject, "the committee failed") })
			return
		}
		key, c := s.derive(a.DerivationPath)
		if got := key.PubKey().SerializeCompressed(); !bytes.Equal(got, c.PublicKey[:]) {
			s.u.t.Fatal("derived keys differ")
		}
		sig := ecdsa.SignCompact(key, digest[:], true)
		s.u.answer(func() { in.Reply(signatureReply{sig[1:]}) })
	case "canister_status":
		in.Reject(cdk.CanisterReject, "not allowed")
	default:
		s.u.t.Fatalf("management method %s", in.Method)
	}
}

// checkPersisted: the payload was in the log before its signature was asked.
func (s *fakeSigner) checkPersisted(digest [32]byte) {
	if !s.u.prepared[digest] {
		s.u.t.Fatalf("signature asked for %x, which the log does not hold", digest)
	}
}

// fakeChain is a chain of blocks of transactions, with a pool, behind the Bitcoin canister's interface.
type fakeChain struct {
	u      *universe
	blocks [][]*btc.Tx
	times  []uint32 // of blocks, in seconds
	pool   []*btc.Tx
	made   uint64
	mine1  map[string]bool // scripts of the minter

	epoch     *uint32
	halted    bool                 // the Bitcoin canister answers nothing: a heavier branch forks below what was final
	refused   int                  // calls since
	congested bool                 // the minter's transactions pay too little
	deposits  map[btc.Hash]*btc.Tx // that were in a block at some time
	gone      int                  // deposits that were spent otherwise
	reorgs    map[bool]int         // by whether they reached what is minted
}

func newFakeChain(u *universe) *fakeChain {
	return &fakeChain{u: u, mine1: map[string]bool{}, blocks: make([][]*btc.Tx, 10), deposits: map[btc.Hash]*btc.Tx{}, reorgs: map[bool]int{}}
}

// stamp gives the blocks from a height on the time of now.
func (c *fakeChain) stamp(from int) {
	c.times = c.times[:min(from, len(c.times))]
	for len(c.times) < len(c.blocks) {
		c.times = append(c.times, uint32(c.u.w.Now()/1e9))
	}
}

// header stands for a block: it says what this one and all before it hold.
func (c *fakeChain) header(height int) btc.Header {
	c.stamp(len(c.times))
	h := sha256.New()
	for i, b := range c.blocks[:height+1] {
		fmt.Fprint(h, i, len(b))
		for _, tx := range b {
			id := tx.Txid()
			h.Write(id[:])
		}
	}
	return btc.Header{MerkleRoot: btc.Hash(h.Sum(nil)), Time: c.times[height]}
}

func (c *fakeChain) hash() []byte {
	h := c.header(len(c.blocks) - 1).Hash()
	return h[:]
}

type coin struct {
	out    btc.TxOut
	height uint32
}

// coins replays the chain, and the pool if asked. A block that Bitcoin would refuse, because it spends what is not there, is a mistake of the model.
func (c *fakeChain) coins(pool bool) map[btc.Outpoint]coin {
	set := map[btc.Outpoint]coin{}
	add := func(tx *btc.Tx, height int) {
		for _, in := range tx.Inputs {
			if _, have := set[in.Prev]; !have && !isFunding(tx) && height < len(c.blocks) {
				c.u.t.Fatalf("block %d of the model spends %v, which is not there", height, in.Prev)
			}
			delete(set, in.Prev)
		}
		id := tx.Txid()
		for i, out := range tx.Outputs {
			set[btc.Outpoint{Txid: id, Vout: uint32(i)}] = coin{out, uint32(height)}
		}
	}
	for h, b := range c.blocks {
		for _, tx := range b {
			add(tx, h)
		}
	}
	if pool {
		for _, tx := range c.pool {
			add(tx, len(c.blocks))
		}
	}
	return set
}

func (c *fakeChain) custody() (sum uint64) {
	for _, x := range c.coins(false) {
		if c.mine1[string(x.out.Script)] {
			sum += uint64(x.out.Value)
		}
	}
	return sum
}

// fund creates money out of nothing at an address of the minter: in this chain coinbases need no maturity.
func (c *fakeChain) fund(address string, value uint64) {
	a, err := btc.ParseAddress(btc.Regtest, address)
	must(c.u.t, err)
	c.made++
	var tag btc.Hash
	binary.LittleEndian.PutUint64(tag[:], c.made)
	c.mine1[string(a.Script())] = true
	c.pool = append(c.pool, &btc.Tx{Version: 2, Inputs: []btc.TxIn{{Prev: btc.Outpoint{Txid: tag}, ScriptSig: []byte{0x51}}}, Outputs: []btc.TxOut{{Value: btc.Satoshi(value), Script: a.Script()}}})
}

// isFunding tells deposits from what the minter pays.
func isFunding(tx *btc.Tx) bool { return tx.Inputs[0].Prev.Vout == 0 && len(tx.Inputs[0].Witness) == 0 }

// mine puts most of the pool into a block, and what spends an output only with or after the transaction that made it: a block may hold nothing else. What spends
// an output that is nowhere any more, because its transaction was evicted or its output is spent, leaves the pool.
func (c *fakeChain) mine() {
	var block, rest []*btc.Tx
	set, waiting := c.coins(false), map[btc.Outpoint]bool{} // there, and made by what stays in the pool
	for _, tx := range c.pool {
		later, lost := c.u.fault() || c.congested && !isFunding(tx), false
		for _, in := range tx.Inputs {
			if _, have := set[in.Prev]; !have && !isFunding(tx) {
				later, lost = true, lost || !waiting[in.Prev]
			}
		}
		id := tx.Txid()
		if lost {
			continue
		}
		for i, out := range tx.Outputs {
			if op := (btc.Outpoint{Txid: id, Vout: uint32(i)}); later {
				waiting[op] = true
			} else {
				set[op] = coin{out, uint32(len(c.blocks))}
			}
		}
		if later {
			rest = append(rest, tx)
			continue
		}
		block = append(block, tx)
		if isFunding(tx) {
			c.deposits[id] = tx
			continue
		}
		for _, in := range tx.Inputs {
			delete(set, in.Prev)
		}
	}
	c.blocks, c.pool = append(c.blocks, block), rest
	c.stamp(len(c.blocks) - 1)
}

// missing is what deposits that were in a block at some time, and are in none now, were worth.
func (c *fakeChain) missing() (sum uint64) {
	there := map[btc.Hash]bool{}
	for _, b := range c.blocks {
		for _, tx := range b {
			there[tx.Txid()] = true
		}
	}
	for id, tx := range c.deposits {
		if !there[id] {
			sum += uint64(tx.Outputs[0].Value)
		}
	}
	return sum
}

// reorg replaces the last blocks by as many and one more; their transactions go back to the pool, or are forgotten until somebody sends them again. Some deposits are
// spent otherwise and never come back.
func (c *fakeChain) reorg(depth int) {
	c.reorgs[depth >= 3]++
	var back []*btc.Tx
	for range depth {
		back = append(append([]*btc.Tx(nil), c.blocks[len(c.blocks)-1]...), back...)
		c.blocks = c.blocks[:len(c.blocks)-1]
	}
	back = append(back, c.pool...)
	c.pool = nil
	set := c.coins(false)
	for _, tx := range back {
		ok := !c.u.fault()
		if isFunding(tx) {
			if ok = ok && !c.u.fault(); !ok {
				c.gone++
			}
		} else {
			for _, in := range tx.Inputs {
				if _, have := set[in.Prev]; !have {
					ok = false
				}
			}
		}
		if !ok {
			continue
		}
		for _, in := range tx.Inputs {
			delete(set, in.Prev)
		}
		c.pool = append(c.pool, tx)
		for i, out := range tx.Outputs {
			set[btc.Outpoint{Txid: tx.Txid(), Vout: uint32(i)}] = coin{out: out}
		}
	}
	for range depth + 1 {
		c.mine()
	}
}

// takeBack replaces the last blocks by as many and one more, which are empty. Of their transactions those that keep wants go back to the pool; the rest was
// spent otherwise and never comes back by itself.
func (c *fakeChain) takeBack(depth int, keep func(*btc.Tx) bool) (gone []*btc.Tx) {
	c.pool = nil
	for _, b := range c.blocks[len(c.blocks)-depth:] {
		for _, tx := range b {
			if keep(tx) {
				c.pool = append(c.pool, tx)
			} else {
				gone = append(gone, tx)
			}
		}
	}
	c.blocks = append(c.blocks[:len(c.blocks)-depth], make([][]*btc.Tx, depth+1)...)
	c.stamp(len(c.blocks) - depth - 1)
	return gone
}

func (c *fakeChain) utxos(in *native.Incoming) getUtxosResponse {
	var a getUtxosRequest
	must(c.u.t, candid.Unmarshal(in.Arg, &a))
	addr, err := btc.ParseAddress(btc.Regtest, a.Address)
	must(c.u.t, err)
	least := uint32(0)
	if a.Filter != nil && a.Filter.MinConfirmations != nil {
		least = *a.Filter.MinConfirmations
	}
	tip := uint32(len(c.blocks) - 1)
	var us []Utxo
	for op, x := range c.coins(false) {
		if bytes.Equal(x.out.Script, addr.Script()) && tip-x.height+1 >= least {
			us = append(us, Utxo{Outpoint{append([]byte(nil), op.Txid[:]...), op.Vout}, uint64(x.out.Value), x.height})
		}
	}
	slices.SortFunc(us, func(a, b Utxo) int {
		return cmp.Or(bytes.Compare(a.Outpoint.Txid, b.Outpoint.Txid), int(a.Outpoint.Vout)-int(b.Outpoint.Vout))
	})
	seen := tip - min(tip, max(least, 1)-1) // the last block with the confirmations asked for
	return getUtxosResponse{Utxos: us, TipHeight: seen, TipBlockHash: c.hash(), Epoch: c.epoch}
}

func (c *fakeChain) handle(in *native.Incoming) {
	if c.halted {
		c.refused++
		in.Reject(cdk.CanisterError, "halted: a heavier chain forks below the anchor")
		return
	}
	if c.u.fault() && c.u.rng.IntN(3) == 0 {
		c.u.answer(func() { in.Reject(cdk.CanisterReject, "Canister state is not fully synced.") })
		return
	}
	switch in.Method {
	case "bitcoin_get_utxos":
		r := c.utxos(in)
		c.u.answer(func() { in.Reply(r) })
	case "bitcoin_get_utxos_query":
		in.Reply(c.utxos(in))
	case "bitcoin_get_mempool_utxos_query":
		var a mempoolRequest
		must(c.u.t, candid.Unmarshal(in.Arg, &a))
		us := []mempoolUtxo{}
		for _, tx := range c.pool {
			for i, out := range tx.Outputs {
				if to, ok := btc.AddressOf(btc.Regtest, out.Script); ok && to.String() == a.Address {
					id := tx.Txid()
					us = append(us, mempoolUtxo{Outpoint{id[:], uint32(i)}, uint64(out.Value), 77})
				}
			}
		}
		in.Reply(us)
	case "bitcoin_get_block_headers":
		var a headersRequest
		must(c.u.t, candid.Unmarshal(in.Arg, &a))
		var r headersResponse
		for i := a.StartHeight; i <= *a.EndHeight && int(i) < len(c.blocks); i++ {
			b := c.header(int(i)).Bytes()
			r.BlockHeaders = append(r.BlockHeaders, b[:])
		}
		c.u.answer(func() { in.Reply(r) })
	case "bitcoin_send_transaction":
		var a sendRequest
		must(c.u.t, candid.Unmarshal(in.Arg, &a))
		c.accept(a.Transaction)
		c.u.answer(func() { in.Reply() })
	default:
		c.u.t.Fatalf("bitcoin method %s", in.Method)
	}
}

// accept verifies a transaction with btcd's script engine and puts it into the pool unless it conflicts without paying more.
func (c *fakeChain) accept(raw []byte) {
	tx, err := btc.ParseTx(append([]byte(nil), raw...))
	must(c.u.t, err)
	must(c.u.t, tx.Check())
	set := c.coins(false)
	for _, p := range c.pool {
		if p.Txid() == tx.Txid() {
			return
		}
	}
	var msg wire.MsgTx
	must(c.u.t, msg.Deserialize(bytes.NewReader(raw)))
	prevs := txscript.NewMultiPrevOutFetcher(nil)
	for i, in := range tx.Inputs {
		x, ok := set[in.Prev]
		if !ok {
			return // spent by the block that has it, or not there yet after a reorg: nodes say nothing
		}
		prevs.AddPrevOut(msg.TxIn[i].PreviousOutPoint, &wire.TxOut{Value: int64(x.out.Value), PkScript: x.out.Script})
	}
	hashes := txscript.NewTxSigHashes(&msg, prevs)
	for i := range tx.Inputs {
		out := prevs.FetchPrevOutput(msg.TxIn[i].PreviousOutPoint)
		vm, err := txscript.NewEngine(out.PkScript, &msg, i, txscript.StandardVerifyFlags, nil, hashes, out.Value, prevs)
		must(c.u.t, err)
		must(c.u.t, vm.Execute())
	}
	var kept []*btc.Tx
	for _, p := range c.pool { // replacement by fee: the newer pays more, as the minter's own tests show
		conflict := false
		for _, a := range p.Inputs {
			for _, b := range tx.Inputs {
				conflict = conflict || a.Prev == b.Prev
			}
		}
		if !conflict {
			kept = append(kept, p)
		}
	}
	c.pool = append(kept, tx)
}

// paid sums what the chain pays to an address.
func (c *fakeChain) paid(a btc.Address) (sum uint64, times int) {
	for _, b := range c.blocks {
		for _, tx := range b {
			for _, out := range tx.Outputs {
				if bytes.Equal(out.Script, a.Script()) {
					sum += uint64(out.Value)
					times++
				}
			}
		}
	}
	return sum, times
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
