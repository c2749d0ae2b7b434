package ckbtc

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"fusion/btc"
	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/ckledger/archive"
	"fusion/ckledger/ckbtc/core"
	"fusion/ckledger/icrc"
	"fusion/ckledger/index"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

var (
	realLedgerID = principal.FromUint64(18) // the minter knows it as ledgerID, where answers get lost
	indexID      = principal.FromUint64(19)
)

const fullUsers = 3

// full is a universe with the whole suite: the real ledger with archives and an index, a checker, both kinds of deposit addresses.
type full struct {
	*universe
	bug         string // made on purpose
	broken      bool   // it was made
	places      []string
	owner       map[string]core.Account // of a script
	withdrawals int
	wanted      map[string]uint64 // destination → amount
	tainted     map[btc.Hash]bool // the checker's last word
	never       map[btc.Hash]bool // what the operator gave up
	mode        Mode
	stats       fullStats
}

type fullStats struct {
	Deposits, Taproot, Paid, Refunded, Replaced, Cancelled, Consolidated, Tainted, Relented, Silent int
	Reorgs, Deep, Halts, DoubleSpent, Vanished, Reversed, Pauses, Resumed                           int
	Crashes, Epochs, Modes, LedgerUpgrades, Archives, Evicted, Transfers, Compared                  int
}

func (a *fullStats) add(b fullStats) {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b)
	for i := range x.NumField() {
		x.Field(i).SetInt(x.Field(i).Int() + y.Field(i).Int())
	}
}

// wrong is how a check ends a run.
type wrong struct{ text string }

func (f *full) fail(format string, args ...any) { panic(wrong{fmt.Sprintf(format, args...)}) }

func ptr[T any](v T) *T { return &v }

func newFull(t testing.TB, seed uint64, bug string) *full {
	f := &full{bug: bug, owner: map[string]core.Account{}, wanted: map[string]uint64{}, tainted: map[btc.Hash]bool{}, never: map[btc.Hash]bool{},
		mode: Mode{GeneralAvailability: candid.Unit}}
	f.universe = newUniverse(t, seed, func(a *InitArgs) {
		a.BtcCheckerPrincipal, a.SchnorrKeyName, a.UtxoConsolidation, a.MaxNumInputsInTransaction = &checkerID, ptr("dfx_test_key"), ptr(uint64(10)), ptr(uint64(8))
		a.Limits = &Limits{ResubmissionDelayNanos: ptr(uint64(15e9)), CancelAfterNanos: ptr(uint64(40e9)), ConsolidationInputs: ptr(uint64(6)),
			ConsolidationIntervalNanos: ptr(uint64(60e9)), SuspensionNanos: ptr(uint64(30e9)), CheckerRetries: ptr(uint64(2)), MinBatch: ptr(uint64(2))}
	})
	f.chain.epoch = new(uint32)
	f.lenient, f.errorf = bug != "", f.fail // with a mistake the minter's own checks are off
	module := []byte("archive")
	management := native.NewManagement(f.w, 100, func([]byte) func(*cdk.Canister) { return archive.Canister })
	chunk, hash := management.Upload(realLedgerID, module), sha256.Sum256(module)
	forge := 0
	signer := f.schnorrSigner(&forge)
	f.w.Handle(principal.Management, func(in *native.Incoming) {
		if in.Caller == realLedgerID {
			management.Serve(in)
			return
		}
		signer(in)
	})
	must(t, f.w.Install(checkerID, f.checker, nil))
	must(t, f.w.Install(realLedgerID, icrc.Canister, icrc.LedgerArg{Init: &icrc.InitArgs{MintingAccount: icrc.Account{Owner: minterID}, TransferFee: candid.NatFromUint64(10),
		FeeCollectorAccount: ptr(f.icrc(core.FeeAccount(minterID))), TokenSymbol: "ckBTC", TokenName: "ckBTC", MaxMemoLength: ptr(uint16(80)), FeatureFlags: &icrc.FeatureFlags{ICRC2: true},
		ArchiveOptions: icrc.ArchiveOptions{TriggerThreshold: 30, NumBlocksToArchive: 20, NodeMaxMemorySizeBytes: ptr(uint64(8000)), ControllerID: operator,
			Module: &icrc.ArchiveModule{Hash: hash[:], Chunks: [][]byte{chunk[:]}}}}}))
	must(t, f.w.Install(indexID, index.Canister, &index.Arg{Init: &index.InitArg{LedgerID: realLedgerID}}))
	f.w.Handle(ledgerID, f.serveLedger)
	for i := range fullUsers {
		for _, kind := range []*AddressType{nil, &P2TR} {
			text, err := native.Update[string](f.w, user(i), minterID, "get_btc_address", AddressArgs{AddressType: kind})
			must(t, err)
			a, err := btc.ParseAddress(btc.Regtest, text)
			must(t, err)
			f.places = append(f.places, text)
			f.owner[string(a.Script())] = core.Account{Owner: user(i)}
		}
	}
	return f
}

func (f *full) icrc(a core.Account) icrc.Account {
	x := accountOf(a)
	return icrc.Account{Owner: x.Owner, Subaccount: x.Subaccount}
}

// serveLedger stands between the minter and the ledger: calls and answers get lost or late.
func (f *full) serveLedger(in *native.Incoming) {
	lose := f.fault()
	if lose && f.rng.IntN(2) == 0 {
		f.answer(func() { in.Reject(cdk.SysTransient, "the call got lost") })
		return
	}
	data, err := f.w.UpdateRaw(in.Caller, realLedgerID, in.Method, in.Arg)
	if lose && err == nil {
		f.answer(func() { in.Reject(cdk.CanisterError, "the answer got lost") })
		return
	}
	f.answer(func() {
		if err != nil {
			in.Reject(cdk.CanisterError, err.Error())
			return
		}
		in.ReplyRaw(data)
	})
}

// checker is silent, busy, or changes its mind; of some deposits it never does.
func (f *full) checker(c *cdk.Canister) {
	cdk.Update(c, "check_transaction", func(m *cdk.Msg, a checkTransactionArgs) checkTransactionResponse {
		id := btc.Hash(a.Txid)
		switch was := f.tainted[id]; {
		case f.fault():
			f.stats.Silent++
			if f.rng.IntN(2) == 0 {
				c.Trap("out of order")
			}
			return retriable(checkRetriable{Pending: candid.Unit})
		case alwaysTainted(id) || f.fault():
			f.stats.Tainted++
			f.tainted[id] = true
			if f.bug == "mint what is tainted" && !f.broken {
				f.broken = true
				return checkTransactionResponse{Passed: candid.Unit}
			}
			return checkTransactionResponse{Failed: &[]string{"somebody"}}
		default:
			if was {
				f.stats.Relented++
			}
			f.tainted[id] = false
			return checkTransactionResponse{Passed: candid.Unit}
		}
	})
	cdk.Query(c, "check_address", func(*cdk.Msg, checkAddressArgs) checkAddressResponse {
		if f.fault() {
			c.Trap("out of order")
		}
		return checkAddressResponse{Passed: candid.Unit}
	})
}

func alwaysTainted(id btc.Hash) bool { return id[7]%16 == 0 }

func (f *full) nat(to principal.Principal, method string, args ...any) uint64 {
	n, err := native.Query[candid.Nat](f.w, operator, to, method, args...)
	must(f.t, err)
	v, ok := n.Uint64()
	if !ok {
		f.fail("%s: %s", method, n)
	}
	return v
}

func (f *full) balance(a core.Account) uint64 {
	return f.nat(realLedgerID, "icrc1_balance_of", f.icrc(a))
}

// check compares ledger and chain.
func (f *full) check() {
	supply, custody := f.nat(realLedgerID, "icrc1_total_supply"), f.chain.custody()
	if supply > custody+f.chain.missing() {
		f.fail("supply %d exceeds custody %d and what Bitcoin took back, %d", supply, custody, f.chain.missing())
	}
	if r := f.m.rechecking; !r.running && bytes.Equal(r.done, f.chain.hash()) { // the minter has seen the chain as it is
		if deficit := f.m.state.Deficit(); supply > custody+deficit {
			f.fail("supply %d exceeds custody %d and deficit %d", supply, custody, deficit)
		}
		coins := f.chain.coins(false)
		for _, a := range append(f.accounts(), core.Account{Owner: minterID}) {
			for _, u := range f.m.state.Known(a) {
				if _, have := coins[u.Outpoint()]; !have {
					f.fail("output %v is to be spent, and the chain has it not", u.Outpoint())
				}
			}
		}
	}
}

func (f *full) accounts() (as []core.Account) {
	for i := range fullUsers {
		as = append(as, core.Account{Owner: user(i)})
	}
	return as
}

// blocks reads all transactions from the ledger and its archives.
func (f *full) blocks() (txs []icrc.Transaction) {
	for {
		args := icrc.GetBlocksArgs{Start: candid.NatFromUint64(uint64(len(txs))), Length: candid.NatFromUint64(2000)}
		r, err := native.Query[icrc.GetTransactionsResponse](f.w, operator, realLedgerID, "get_transactions", args)
		must(f.t, err)
		length, _ := r.LogLength.Uint64()
		if uint64(len(txs)) == length {
			return txs
		}
		for _, a := range r.ArchivedTransactions {
			more, err := native.Query[icrc.TransactionRange](f.w, operator, a.Callback.Principal, a.Callback.Method, icrc.GetBlocksArgs{Start: a.Start, Length: a.Length})
			must(f.t, err)
			if start, _ := a.Start.Uint64(); start != uint64(len(txs)) || len(more.Transactions) == 0 {
				f.fail("archive %v has %d transactions from %d on, asked for those from %d on", a.Callback.Principal, len(more.Transactions), start, len(txs))
			}
			txs = append(txs, more.Transactions...)
		}
		if first, _ := r.FirstIndex.Uint64(); len(r.Transactions) > 0 && first == uint64(len(txs)) {
			txs = append(txs, r.Transactions...)
		} else if len(r.ArchivedTransactions) == 0 {
			f.fail("the ledger answers with %d transactions from %d on, asked for those from %d on", len(r.Transactions), first, len(txs))
		}
	}
}

// compareBooks compares the index with the ledger and its archives: what happened to each account, and what it has.
func (f *full) compareBooks() {
	f.stats.Compared++
	txs := f.blocks()
	if s, err := native.Query[index.Status](f.w, operator, indexID, "status"); err != nil || s.Halted != nil || s.NumBlocksSynced.String() != fmt.Sprint(len(txs)) {
		f.fail("the index is at %+v (%v), the ledger has %d blocks", s, err, len(txs))
	}
	history := map[core.Account][]int{}
	for i, x := range slices.Backward(txs) {
		var of []icrc.Account
		switch {
		case x.Mint != nil:
			of = []icrc.Account{x.Mint.To}
		case x.Burn != nil:
			of = []icrc.Account{x.Burn.From}
		case x.Transfer != nil:
			of = []icrc.Account{x.Transfer.From, x.Transfer.To}
		case x.Approve != nil:
			of = []icrc.Account{x.Approve.From}
		}
		seen := map[core.Account]bool{}
		for _, o := range of {
			a, err := core.NewAccount(o.Owner, o.Subaccount)
			must(f.t, err)
			if !seen[a] {
				history[a] = append(history[a], i)
			}
			seen[a] = true
		}
	}
	var sum uint64
	for a, ids := range history {
		have := f.balance(a)
		sum += have
		r, err := native.Query[index.GetTransactionsResult](f.w, operator, indexID, "get_account_transactions",
			index.GetAccountTransactionsArgs{Account: f.icrc(a), MaxResults: candid.NatFromUint64(2000)})
		must(f.t, err)
		if r.Ok == nil || r.Ok.Balance.String() != fmt.Sprint(have) || len(r.Ok.Transactions) != len(ids) {
			f.fail("of account %v the index says %+v, the ledger %d after %d transactions", a, r, have, len(ids))
		}
		for i, x := range r.Ok.Transactions {
			if x.ID.String() != fmt.Sprint(ids[i]) || !bytes.Equal(candid.MustMarshal(x.Transaction), candid.MustMarshal(txs[ids[i]])) {
				f.fail("transaction %d of account %v is %+v in the index, block %d %+v in the ledger", i, a, x, ids[i], txs[ids[i]])
			}
		}
	}
	if _, have := history[core.FeeAccount(minterID)]; !have {
		sum += f.balance(core.FeeAccount(minterID))
	}
	if supply := f.nat(realLedgerID, "icrc1_total_supply"); sum != supply {
		f.fail("accounts have %d, the supply is %d", sum, supply)
	}
}

// quiet lets the index follow and compares.
func (f *full) quiet() {
	for range 100 {
		f.advance(2 * time.Second)
		s, err := native.Query[index.Status](f.w, operator, indexID, "status")
		must(f.t, err)
		r, err := native.Query[icrc.GetTransactionsResponse](f.w, operator, realLedgerID, "get_transactions", icrc.GetBlocksArgs{})
		must(f.t, err)
		if s.NumBlocksSynced.Cmp(r.LogLength) == 0 {
			break
		}
	}
	f.compareBooks()
}

func (f *full) submit(who principal.Principal, to principal.Principal, method string, arg any) {
	_, err := f.w.Submit(who, to, method, arg)
	must(f.t, err)
}

// approve lets the minter take what an account has.
func (f *full) approve(who principal.Principal, amount uint64) {
	f.submit(who, realLedgerID, "icrc2_approve", icrc.ApproveArgs{Spender: icrc.Account{Owner: minterID}, Amount: candid.NatFromUint64(amount)})
}

func (f *full) retrieve(who int) {
	acct := core.Account{Owner: user(who)}
	balance := f.balance(acct)
	if balance < 10_100 {
		return
	}
	amount := min(balance-50, 10_000+f.rng.Uint64N(200_000))
	for range 1 + f.rng.IntN(2) { // the second while the first is under way
		dst := destination(f.withdrawals).String()
		f.withdrawals++
		f.wanted[dst] = amount
		if f.rng.IntN(3) == 0 { // by the withdrawal account
			f.submit(acct.Owner, realLedgerID, "icrc1_transfer", icrc.TransferArg{To: f.icrc(core.WithdrawalAccount(minterID, acct.Owner)), Amount: candid.NatFromUint64(amount)})
			f.submit(acct.Owner, minterID, "retrieve_btc", RetrieveBtcArgs{Address: dst, Amount: amount})
			continue
		}
		f.approve(acct.Owner, amount)
		f.submit(acct.Owner, minterID, "retrieve_btc_with_approval", RetrieveBtcWithApprovalArgs{Address: dst, Amount: amount})
	}
}

// upgradeTo changes who may do what.
func (f *full) upgradeTo(mode Mode) {
	f.advance(2 * time.Second)
	f.mode = mode
	must(f.t, f.w.Upgrade(minterID, f.setup, MinterArg{Upgrade: ptr(&UpgradeArgs{Mode: &mode})}))
}

// reset ends a halt: the Bitcoin canister follows the heavier branch.
func (f *full) reset() {
	f.advance(15 * time.Second) // an operator takes his time
	if f.chain.refused == 0 {
		f.advance(time.Minute) // and so much that an idle minter has asked meanwhile: see TestIdleMinterNoticesAHalt
	}
	f.stats.Halts++
	*f.chain.epoch++
	f.chain.halted, f.chain.refused = false, 0
	f.chain.reorg(6 + f.rng.IntN(min(len(f.chain.blocks)-16, 8)))
	f.resend()
}

// settledTxs are the transactions that count for the minter, by what it tells an operator: those that were confirmed last, but not those of withdrawals that others pay,
// that were refunded, or that are open.
func (f *full) settledTxs() (txs []*btc.Tx) {
	type signed struct {
		tx       *btc.Tx
		requests []uint64
		cancels  bool
	}
	by := map[btc.Hash]signed{}
	var confirmed []btc.Hash
	for start := uint64(0); ; start += maxEvents {
		events, err := native.Query[[]Event](f.w, operator, minterID, "get_events", EventsArgs{start, maxEvents})
		must(f.t, err)
		for _, e := range events {
			switch x := e.Payload; {
			case x.SentTransaction != nil:
				tx, err := btc.ParseTx(*x.SentTransaction.SignedTx)
				must(f.t, err)
				by[tx.Txid()] = signed{tx, x.SentTransaction.Requests, false}
			case x.ReplacedTransaction != nil:
				tx, err := btc.ParseTx(*x.ReplacedTransaction.SignedTx)
				must(f.t, err)
				by[tx.Txid()] = signed{tx, by[btc.Hash(x.ReplacedTransaction.OldTxid)].requests, x.ReplacedTransaction.Reason == nil}
			case x.ConfirmedTransaction != nil:
				if id := btc.Hash(x.ConfirmedTransaction.Txid); !slices.Contains(confirmed, id) {
					confirmed = append(confirmed, id)
				}
			}
		}
		if len(events) < maxEvents {
			break
		}
	}
	for _, id := range confirmed {
		superseded := func(block uint64) bool {
			s, err := native.Query[RetrieveBtcStatusV2](f.w, operator, minterID, "retrieve_btc_status_v2", BlockIndex{block})
			must(f.t, err)
			if by[id].cancels {
				return s.WillReimburse == nil && s.Reimbursed == nil
			}
			return s.Confirmed == nil || !bytes.Equal(s.Confirmed.Txid, id[:])
		}
		if !slices.ContainsFunc(by[id].requests, superseded) {
			txs = append(txs, by[id].tx)
		}
	}
	return txs
}

// resend is what an operator does after a halt: the minter has forgotten the transactions of settled withdrawals, so he sends those that the new branch lacks, and goes
// on until they are mined. It gives those that cannot be mined any more, and says whether some still wait.
func (f *full) resend() (never []btc.Hash, waits bool) {
	if f.stats.Halts == 0 {
		return nil, false
	}
	settled, set := f.settledTxs(), f.chain.coins(true)
	sent := maps.Clone(f.never) // what was given up is never sent
	for progress := true; progress; {
		progress = false
		for _, tx := range settled {
			id := tx.Txid()
			if sent[id] || slices.ContainsFunc(tx.Inputs, func(in btc.TxIn) bool { _, have := set[in.Prev]; return !have }) {
				continue
			}
			sent[id], progress = true, true
			f.chain.pool = append(f.chain.pool, tx)
			for _, in := range tx.Inputs {
				delete(set, in.Prev)
			}
			for i, out := range tx.Outputs {
				set[btc.Outpoint{Txid: id, Vout: uint32(i)}] = coin{out: out}
			}
		}
	}
	mined := map[btc.Hash]bool{}
	for _, tx := range slices.Concat(f.chain.blocks...) {
		mined[tx.Txid()] = true
	}
	for _, tx := range settled {
		switch id := tx.Txid(); {
		case mined[id]:
		case slices.ContainsFunc(f.chain.pool, func(p *btc.Tx) bool { return p.Txid() == id }):
			waits = true
		default:
			never = append(never, id)
		}
	}
	return never, waits
}

// spentOtherwise lists the deposits that were in a block, are in none, and never will be.
func (f *full) spentOtherwise() (ids []btc.Hash) {
	there := map[btc.Hash]bool{}
	for _, tx := range slices.Concat(append(slices.Clone(f.chain.blocks), f.chain.pool)...) {
		there[tx.Txid()] = true
	}
	for _, id := range slices.SortedFunc(maps.Keys(f.chain.deposits), func(a, b btc.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		if !there[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// operate is what an operator does about a pause: he waits, pays what is missing, resumes. If named is not set he may keep to himself which deposits never return.
func (f *full) operate(named bool) {
	f.stats.Pauses++
	if slices.ContainsFunc(f.chain.pool, func(tx *btc.Tx) bool { return f.chain.deposits[tx.Txid()] != nil }) {
		return // what is missing may come back: what it was paid for by then would be paid twice
	}
	never, waits := f.resend()
	if waits {
		return // the same
	}
	if named || f.rng.IntN(2) == 0 { // deposits that were spent otherwise
		never = append(never, f.spentOtherwise()...)
	}
	faults := f.faults
	defer func() { f.faults = faults }()
	f.faults = 0
	if r := f.resume(never...); r.Ok != nil {
		f.stats.Resumed++
		for _, id := range never {
			f.never[id] = true
		}
		return
	}
	if short := f.m.state.Shortfall(); short > 0 {
		f.chain.fund(f.m.main.String(), short)
		for range 4 {
			f.chain.mine()
		}
	}
}

func (f *full) step() {
	who := f.rng.IntN(fullUsers)
	switch f.rng.IntN(18) {
	case 0, 1:
		f.chain.fund(f.places[f.rng.IntN(len(f.places))], []uint64{100, 20_000, 100_000, 5_000_000}[f.rng.IntN(4)]+f.rng.Uint64N(1000))
	case 2, 3, 4:
		f.chain.mine()
	case 5:
		if depth := 1 + f.rng.IntN(2); f.rng.IntN(3) > 0 || len(f.chain.blocks) < 20 { // the minter wants 3 confirmations
			f.chain.reorg(depth)
		} else {
			f.chain.reorg(1 + f.rng.IntN(5)) // and watches up to 6
		}
	case 6, 7:
		for range 1 + f.rng.IntN(3) { // at once, by whoever wants to
			f.submit(user(f.rng.IntN(fullUsers)), minterID, "update_balance", AddressArgs{Owner: ptr(user(who))})
		}
	case 8, 9:
		f.retrieve(who)
	case 10:
		if f.bug == "" { // a mistake on the heap is not in the log
			f.stats.Crashes++
			f.cut()
		}
	case 11:
		f.release()
	case 12:
		f.advance(time.Duration(f.rng.IntN(6000)) * time.Millisecond)
	case 13:
		if amount := f.balance(core.Account{Owner: user(who)}) / 3; amount > 10 {
			f.stats.Transfers++
			f.submit(user(who), realLedgerID, "icrc1_transfer", icrc.TransferArg{To: icrc.Account{Owner: user(f.rng.IntN(fullUsers))}, Amount: candid.NatFromUint64(amount)})
		}
	case 14:
		if f.bug != "" {
			break
		}
		f.stats.LedgerUpgrades++
		must(f.t, f.w.Upgrade(realLedgerID, icrc.Canister, nil))
		must(f.t, f.w.Upgrade(indexID, index.Canister, nil))
	case 15:
		if f.bug != "" {
			break
		}
		f.stats.Modes++
		allowed := []principal.Principal{user(0)}
		f.upgradeTo([]Mode{{GeneralAvailability: candid.Unit}, {GeneralAvailability: candid.Unit}, {GeneralAvailability: candid.Unit}, {ReadOnly: candid.Unit}, {RestrictedTo: &allowed},
			{DepositsRestrictedTo: &allowed}}[f.rng.IntN(6)])
	case 16:
		switch {
		case f.chain.halted:
			f.reset()
		case len(f.chain.blocks) > 20 && f.rng.IntN(3) == 0:
			f.chain.halted = true
		case f.rng.IntN(8) == 0: // the Bitcoin canister is reset and comes back to the same chain
			f.stats.Epochs++
			*f.chain.epoch++
		default:
			f.chain.congested = !f.chain.congested
		}
	case 17:
		if i := slices.IndexFunc(f.chain.pool, func(tx *btc.Tx) bool { return !isFunding(tx) }); i >= 0 {
			f.stats.Evicted++
			f.chain.pool = slices.Delete(f.chain.pool, i, i+1)
		}
		if f.m.state.Paused() != "" {
			f.operate(false)
		}
	}
	for range f.rng.IntN(6) {
		f.w.Step()
	}
	f.mistake()
	f.check()
}

// mistake makes the one that was asked for, once.
func (f *full) mistake() {
	if f.broken {
		return
	}
	s, balance := f.m.state, f.balance(core.Account{Owner: user(0)})
	switch f.bug {
	case "mint from nothing": // a stranger has the key of the minting account
		f.submit(minterID, realLedgerID, "icrc1_transfer", icrc.TransferArg{To: icrc.Account{Owner: user(0)}, Amount: candid.NatFromUint64(1 << 40)})
		f.broken = true
	case "burn without paying": // a burn in the minter's name that is in no log
		if balance > 20_000 {
			memo := core.WithdrawalMemo(destination(9999).String())
			f.submit(user(0), realLedgerID, "icrc1_transfer", icrc.TransferArg{To: icrc.Account{Owner: minterID}, Amount: candid.NatFromUint64(10_000), Memo: &memo})
			f.broken = true
		}
	case "lose a payment": // a transaction that is never signed
		if ps := s.Payments(); len(ps) > 0 && !ps[0].Latest().Complete {
			for _, task := range s.Tasks() {
				if task.Kind == core.TaskSign && task.ID == ps[0].ID {
					f.m.tasks.Start(task) // for ever under way
					f.broken = true
				}
			}
		}
	case "an index that stands still":
		must(f.t, f.w.Upgrade(indexID, func(c *cdk.Canister) {
			cdk.PostUpgrade(c, func(*cdk.None) {})
			cdk.Query(c, "status", func(*cdk.Msg, cdk.None) index.Status { return index.Status{NumBlocksSynced: candid.NatFromUint64(1)} })
		}, nil))
		f.broken = true
	}
}

// openDeposits counts the deposits that were neither minted nor found unfit, and names one.
func (f *full) openDeposits() (n int, one btc.Outpoint) {
	tip := uint32(len(f.chain.blocks) - 1)
	for op, c := range f.chain.coins(false) {
		if _, user := f.owner[string(c.out.Script)]; !user || tip-c.height+1 < 3 {
			continue
		}
		d, x := f.m.state.Deposit(op), f.m.state.SuspendedUtxo(op)
		unfit := x != nil && (x.Reason == core.ValueTooSmall && c.out.Value < 1020 || x.Reason == core.Quarantined && alwaysTainted(op.Txid))
		if !unfit && (d == nil || d.State != core.DepositMinted) {
			n, one = n+1, op
		}
	}
	return n, one
}

// finish lets everything come to an end: faults stop, users ask again, the operator does his part.
func (f *full) finish() {
	f.faults, f.chain.congested = 0, false
	if f.chain.halted {
		f.reset()
	}
	if f.mode.GeneralAvailability == nil {
		f.upgradeTo(Mode{GeneralAvailability: candid.Unit})
	}
	s := func() *core.State { return f.m.state }
	for round := range 200 {
		for len(f.held) > 0 {
			f.release()
		}
		for i := range fullUsers {
			f.submit(user(i), minterID, "update_balance", AddressArgs{})
		}
		f.advance(5 * time.Second)
		f.resend()
		f.chain.mine()
		f.check()
		if (s().Paused() != "" || s().Aside(5000) != nil) && round%4 == 3 {
			f.operate(round > 20)
		}
		if n, _ := f.openDeposits(); round > 8 && n == 0 && s().Open() == 0 && s().Paused() == "" && len(s().Tasks()) == 0 && !s().Watching() && len(s().Payments()) == 0 {
			break
		}
	}
	if s().Paused() != "" || s().Open() != 0 || len(s().Tasks()) != 0 || len(s().Payments()) != 0 {
		f.fail("does not come to rest: %d withdrawals are open, %q, tasks %v", s().Open(), s().Paused(), s().Tasks())
	}
	if n, one := f.openDeposits(); n > 0 {
		f.fail("%d deposits have no end, among them %v: %+v %+v", n, one, s().Deposit(one), s().SuspendedUtxo(one))
	}
	f.quiet()
	var blocks []ledgerBlock
	for _, x := range f.blocks() {
		var b ledgerBlock
		switch {
		case x.Mint != nil:
			b.mint, b.memo = true, *x.Mint.Memo
			b.amount, _ = x.Mint.Amount.Uint64()
			if m, err := core.ParseMintMemo(b.memo); err == nil && m.Convert != nil {
				if id := btc.Hash(m.Convert.Txid); f.tainted[id] {
					f.fail("deposit %v was minted although the checker says that it is tainted", id)
				}
			}
		case x.Burn != nil:
			b.burn, b.memo = true, *x.Burn.Memo
			b.amount, _ = x.Burn.Amount.Uint64()
		}
		blocks = append(blocks, b)
	}
	f.stats.Deposits, f.stats.Paid, f.stats.Refunded = f.auditBlocks(f.wanted, blocks)
	f.stats.Reorgs, f.stats.Deep, f.stats.DoubleSpent = f.chain.reorgs[false]+f.chain.reorgs[true], f.chain.reorgs[true], f.chain.gone
	for i := range f.m.log.Len() {
		e, err := core.UnmarshalEvent(f.m.log.Get(i, nil))
		must(f.t, err)
		for n, happened := range map[*int]bool{&f.stats.Vanished: e.Vanished != nil, &f.stats.Reversed: e.Reversed != nil, &f.stats.Taproot: e.CheckedUtxo != nil && e.CheckedUtxo.Taproot,
			&f.stats.Cancelled: e.Prepared != nil && e.Prepared.Kind == core.Cancels, &f.stats.Replaced: e.Prepared != nil && e.Prepared.Kind == core.PaysOut && e.Prepared.Version > 0} {
			if happened {
				*n++
			}
		}
	}
	f.stats.Consolidated = int(s().Book().Consolidations)
	archives, err := native.Query[[]icrc.ICRC3Archive](f.w, operator, realLedgerID, "icrc3_get_archives", icrc.GetArchivesArgs{})
	must(f.t, err)
	f.stats.Archives = len(archives)
}

// simulateFull runs a seed and returns what went wrong.
func simulateFull(t testing.TB, seed uint64, steps int, bug string) (f *full, err error) {
	f = newFull(t, seed, bug)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case wrong:
			err = fmt.Errorf("seed %d: %s", seed, r.text)
		default:
			panic(r)
		}
	}()
	for i := range fullUsers {
		f.chain.fund(f.places[2*i], 300_000+f.rng.Uint64N(1000))
		for range 3 {
			f.chain.mine()
		}
		f.update(user(i))
	}
	f.submit(user(0), realLedgerID, "icrc1_transfer", icrc.TransferArg{To: f.icrc(core.FeeAccount(minterID)), Amount: candid.NatFromUint64(60_000)})
	f.faults = 0.15
	for i := range steps {
		f.step()
		if i == steps/2 {
			f.quiet()
		}
	}
	f.finish()
	return f, nil
}

// The simulation finds mistakes.
func TestSimulationFindsMistakes(t *testing.T) {
	for _, bug := range []string{"mint what is tainted", "mint from nothing", "burn without paying", "lose a payment", "an index that stands still"} {
		made, found := 0, ""
		for seed := uint64(0); seed < 20 && found == ""; seed++ {
			f, err := simulateFull(t, seed, 120, bug)
			if f.broken {
				made++
				if err != nil {
					found = err.Error()
				}
			} else if err != nil {
				t.Fatalf("%s: %v before the mistake", bug, err)
			}
		}
		t.Logf("%s: made %d times: %s", bug, made, found)
		if found == "" {
			t.Errorf("%s: made %d times and never found", bug, made)
		}
	}
}

// simulated is which seeds the simulations run.
func simulated(t *testing.T) (first, seeds int) {
	seeds = 12
	if testing.Short() {
		seeds = 3
	}
	for name, n := range map[string]*int{"FUSION_SIM_SEEDS": &seeds, "FUSION_SIM_FIRST": &first} {
		if text := os.Getenv(name); text != "" {
			var err error
			*n, err = strconv.Atoi(text)
			must(t, err)
		}
	}
	return first, seeds
}

// TestSimulation runs the minter with the real ledger, its archives and index, and a checker: several users at once, calls and answers that are late or lost, failing
// signatures, a checker that is silent or changes its mind, reorganisations of any depth with deposits that are spent otherwise, halts of the Bitcoin canister, payments that are stuck and
// evicted, upgrades to other modes and crashes between any two events. Invariants are checked after each event, the supply against custody after each action; in the end every burn was paid
// once or refunded, every deposit was minted once or found unfit, and the index agrees with ledger and archives about every account.
func TestSimulation(t *testing.T) {
	first, seeds := simulated(t)
	var total fullStats
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f, err := simulateFull(t, uint64(seed), 220, "")
			must(t, err)
			total.add(f.stats)
		})
	}
	t.Logf("%+v", total)
	if total.Deposits < 2*seeds || total.Paid < seeds || total.Deep == 0 || seeds > 10 && total.Epochs == 0 || total.Archives == 0 || total.Compared < seeds {
		t.Error("the simulation does too little to mean anything")
	}
}
