package icrc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fusion/cdk/stable"
	"fusion/ckledger/consent"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// book is a ledger at a time of its own, asked in few words.
type book struct {
	*icrc.Ledger
	now uint64
}

func trap(err error) string { return "trap: " + err.Error() }

func (b *book) send(from icrc.Account, a icrc.TransferArg) string {
	a.FromSubaccount = from.Subaccount
	r, err := b.Transfer(b.now, from.Owner, &a)
	if err != nil {
		return trap(err)
	}
	return outcome(r.Ok, r.Err)
}

func (b *book) spend(spender icrc.Account, a icrc.TransferFromArgs) string {
	a.SpenderSubaccount = spender.Subaccount
	r, err := b.TransferFrom(b.now, spender.Owner, &a)
	if err != nil {
		return trap(err)
	}
	return outcome(r.Ok, r.Err)
}

func (b *book) approve(from icrc.Account, a icrc.ApproveArgs) string {
	a.FromSubaccount = from.Subaccount
	r, err := b.Approve(b.now, from.Owner, &a)
	if err != nil {
		return trap(err)
	}
	return outcome(r.Ok, r.Err)
}

func (b *book) holds(a icrc.Account) string {
	n, err := b.BalanceOf(a)
	if err != nil {
		return trap(err)
	}
	return n.String()
}

func (b *book) allows(from, spender icrc.Account) string {
	a, err := b.Allowance(b.now, icrc.AllowanceArgs{Account: from, Spender: spender})
	if err != nil {
		return trap(err)
	}
	if a.ExpiresAt != nil {
		return fmt.Sprintf("%s until %d", a.Allowance, *a.ExpiresAt-start)
	}
	return a.Allowance.String()
}

// TestRules is one case for each rule of ICRC-1 and ICRC-2. Account 1 has 1,000, account 2 has 500, the fee is 10; two blocks are there. Of the steps of a
// case, separated by commas in want, each is answered like that; errors that do not exist in the interface trap.
func TestRules(t *testing.T) {
	const window, drift = uint64(icrc.Window), uint64(icrc.Drift)
	bytes := func(n int) *[]byte { return ptr(make([]byte, n)) }
	zero := ptr(make([]byte, 32)) // the default subaccount, written out
	type step = func(*book) string
	send := func(from, to icrc.Account, amount uint64, change ...func(*icrc.TransferArg)) step {
		return func(b *book) string {
			a := icrc.TransferArg{To: to, Amount: nat(amount)}
			for _, f := range change {
				f(&a)
			}
			return b.send(from, a)
		}
	}
	fee := func(n uint64) func(*icrc.TransferArg) { return func(a *icrc.TransferArg) { a.Fee = natp(n) } }
	memo := func(n int) func(*icrc.TransferArg) { return func(a *icrc.TransferArg) { a.Memo = bytes(n) } }
	at := func(n uint64) func(*icrc.TransferArg) { return func(a *icrc.TransferArg) { a.CreatedAtTime = ptr(n) } }
	approve := func(from, spender icrc.Account, amount uint64, change ...func(*icrc.ApproveArgs)) step {
		return func(b *book) string {
			a := icrc.ApproveArgs{Spender: spender, Amount: nat(amount)}
			for _, f := range change {
				f(&a)
			}
			return b.approve(from, a)
		}
	}
	expect := func(n uint64) func(*icrc.ApproveArgs) {
		return func(a *icrc.ApproveArgs) { a.ExpectedAllowance = natp(n) }
	}
	until := func(n uint64) func(*icrc.ApproveArgs) {
		return func(a *icrc.ApproveArgs) { a.ExpiresAt = ptr(start + n) }
	}
	made := func(n uint64) func(*icrc.ApproveArgs) { return func(a *icrc.ApproveArgs) { a.CreatedAtTime = ptr(n) } }
	cost := func(n uint64) func(*icrc.ApproveArgs) { return func(a *icrc.ApproveArgs) { a.Fee = natp(n) } }
	spend := func(spender, from, to icrc.Account, amount uint64) step {
		return func(b *book) string {
			return b.spend(spender, icrc.TransferFromArgs{From: from, To: to, Amount: nat(amount)})
		}
	}
	holds := func(a icrc.Account) step { return func(b *book) string { return b.holds(a) } }
	allows := func(from, spender icrc.Account) step { return func(b *book) string { return b.allows(from, spender) } }
	supply := func(b *book) string { return b.Supply().String() }
	pass := func(ns uint64) step {
		return func(b *book) string {
			b.now += ns
			return "later"
		}
	}
	for _, c := range []struct {
		rule  string
		steps []step
		want  string
	}{
		// ICRC-1.
		{"without a fee, the ledger's is charged, and burned", []step{send(acc(1), acc(3), 100), holds(acc(1)), holds(acc(3)), supply}, "Ok 2, 890, 100, 1490"},
		{"a fee that is the ledger's", []step{send(acc(1), acc(3), 100, fee(10)), holds(acc(1))}, "Ok 2, 890"},
		{"no other fee", []step{send(acc(1), acc(3), 100, fee(9)), send(acc(1), acc(3), 100, fee(11))}, "BadFee 10, BadFee 10"},
		{"amount and fee come out of the balance", []step{send(acc(1), acc(3), 991), send(acc(1), acc(3), 990), holds(acc(1))}, "InsufficientFunds 1000, Ok 2, 0"},
		{"nothing may be sent, for the fee", []step{send(acc(1), acc(3), 0), holds(acc(1)), holds(acc(3))}, "Ok 2, 990, 0"},
		{"to oneself, for the fee", []step{send(acc(1), acc(1), 900), holds(acc(1))}, "Ok 2, 990"},
		{"subaccounts are accounts", []step{send(sub(1, 1), acc(3), 1), send(acc(1), sub(1, 1), 50), send(sub(1, 1), acc(1), 40), holds(sub(1, 1))}, "InsufficientFunds 0, Ok 2, Ok 3, 0"},
		{"a subaccount of zeros is the default one", []step{holds(icrc.Account{Owner: who(1), Subaccount: zero})}, "1000"},
		{"a subaccount has 32 bytes", []step{send(icrc.Account{Owner: who(1), Subaccount: bytes(31)}, acc(3), 1), send(acc(1), icrc.Account{Owner: who(3), Subaccount: bytes(33)}, 1),
			holds(icrc.Account{Owner: who(1), Subaccount: bytes(0)})},
			"trap: a subaccount has 32 bytes, not 31, trap: a subaccount has 32 bytes, not 33, trap: a subaccount has 32 bytes, not 0"},
		{"memos to the limit", []step{send(acc(1), acc(3), 1, memo(80)), send(acc(1), acc(3), 1, memo(81))}, "Ok 2, trap: memo too long: 81 bytes, the limit is 80"},
		{"a memo too long traps before anything else is refused", []step{send(acc(1), acc(3), 1, memo(81), fee(1), at(1))}, "trap: memo too long: 81 bytes, the limit is 80"},
		{"created_at_time within window and drift", []step{send(acc(1), acc(3), 1, at(start-window-drift-1)), send(acc(1), acc(3), 1, at(start-window-drift)),
			send(acc(1), acc(3), 1, at(start+drift)), send(acc(1), acc(3), 1, at(start+drift+1))}, "TooOld, Ok 2, Ok 3, CreatedInFuture"},
		{"created_at_time at the ends of time", []step{send(acc(1), acc(3), 1, at(0)), send(acc(1), acc(3), 1, at(^uint64(0)))}, "TooOld, CreatedInFuture"},
		{"a duplicate names the first", []step{send(acc(1), acc(3), 1, at(start)), send(acc(1), acc(3), 2), send(acc(1), acc(3), 1, at(start))}, "Ok 2, Ok 3, Duplicate 2"},
		{"without created_at_time nothing is a duplicate", []step{send(acc(1), acc(3), 1), send(acc(1), acc(3), 1)}, "Ok 2, Ok 3"},
		{"any difference is a difference", []step{send(acc(1), acc(3), 1, at(start)), send(acc(1), acc(3), 1, at(start+1)), send(acc(1), acc(3), 1, at(start), memo(0)),
			send(acc(1), acc(3), 1, at(start), memo(1)), send(acc(1), acc(3), 1, at(start), fee(10)), send(acc(1), acc(3), 2, at(start)), send(acc(1), acc(4), 1, at(start)),
			send(acc(2), acc(3), 1, at(start))}, "Ok 2, Ok 3, Ok 4, Ok 5, Ok 6, Ok 7, Ok 8, Ok 9"},
		{"but the default subaccount written out is none", []step{send(acc(1), acc(3), 1, at(start)), send(icrc.Account{Owner: who(1), Subaccount: zero}, acc(3), 1, at(start)),
			send(acc(1), icrc.Account{Owner: who(3), Subaccount: zero}, 1, at(start))}, "Ok 2, Duplicate 2, Duplicate 2"},
		{"what was refused is not remembered", []step{send(acc(3), acc(4), 1, at(start)), send(acc(1), acc(3), 11), send(acc(3), acc(4), 1, at(start))}, "InsufficientFunds 0, Ok 2, Ok 3"},
		{"a duplicate is one as long as it is not too old", []step{send(acc(1), acc(3), 1, at(start)), pass(window + drift), send(acc(1), acc(3), 1, at(start)), pass(1),
			send(acc(1), acc(3), 1, at(start))}, "Ok 2, later, Duplicate 2, later, TooOld"},
		{"the fee is checked before the time and the funds", []step{send(acc(1), acc(3), 5000, fee(9), at(1))}, "BadFee 10"},
		{"the time is checked before the funds", []step{send(acc(1), acc(3), 5000, at(1)), send(acc(1), acc(3), 5000, at(^uint64(0)))}, "TooOld, CreatedInFuture"},
		{"a duplicate is found before the funds are missed", []step{send(acc(1), acc(3), 990, at(start)), send(acc(1), acc(3), 990, at(start))}, "Ok 2, Duplicate 2"},
		{"the minting account mints, without a fee", []step{send(minter, acc(3), 7), send(minter, acc(3), 7, fee(0)), send(minter, acc(3), 7, fee(10)), holds(acc(3)), supply},
			"Ok 2, Ok 3, BadFee 0, 14, 1514"},
		{"the minting account has nothing", []step{holds(minter), send(acc(1), minter, 100), holds(minter)}, "0, Ok 2, 0"},
		{"its subaccounts are accounts like others", []step{send(icrc.Account{Owner: minter.Owner, Subaccount: sub(1, 1).Subaccount}, acc(3), 1)}, "InsufficientFunds 0"},
		{"what it gets is burned, without a fee", []step{send(acc(1), minter, 990), send(acc(1), minter, 10, fee(0)), holds(acc(1)), supply}, "Ok 2, Ok 3, 0, 500"},
		{"a burn has no other fee", []step{send(acc(1), minter, 100, fee(10))}, "BadFee 0"},
		{"a burn is the fee at least", []step{send(acc(1), minter, 9), send(acc(1), minter, 0)}, "BadBurn 10, BadBurn 10"},
		{"or everything", []step{send(acc(1), acc(3), 7), send(acc(3), minter, 6), send(acc(3), minter, 7), holds(acc(3))}, "Ok 2, BadBurn 7, Ok 3, 0"},
		{"a burn of nothing is none", []step{send(acc(3), minter, 0), send(acc(3), minter, 1)}, "BadBurn 10, InsufficientFunds 0"},
		{"a burn too small is refused before the time", []step{send(acc(1), minter, 9, at(1))}, "BadBurn 10"},
		{"a burn too small is refused after the fee", []step{send(acc(1), minter, 9, fee(1))}, "BadFee 0"},
		{"the minting account cannot pay itself", []step{send(minter, minter, 100), send(minter, minter, 0)}, "InsufficientFunds 0, BadBurn 10"},

		// ICRC-2.
		{"an approval costs the fee, burned", []step{approve(acc(1), acc(2), 60), holds(acc(1)), supply, allows(acc(1), acc(2))}, "Ok 2, 990, 1490, 60"},
		{"an approval needs the fee and no more", []step{approve(acc(3), acc(2), 60), send(acc(1), acc(3), 10), approve(acc(3), acc(2), 60), holds(acc(3))}, "InsufficientFunds 0, Ok 2, Ok 3, 0"},
		{"an approval has no other fee", []step{approve(acc(1), acc(2), 60, cost(0)), approve(acc(1), acc(2), 60, cost(10))}, "BadFee 10, Ok 2"},
		{"the fee of an approval is checked before its time", []step{approve(acc(1), acc(2), 60, cost(0), made(1))}, "BadFee 10"},
		{"an approval replaces the one before", []step{approve(acc(1), acc(2), 60, until(9)), approve(acc(1), acc(2), 5), allows(acc(1), acc(2))}, "Ok 2, Ok 3, 5"},
		{"an approval of nothing revokes", []step{approve(acc(1), acc(2), 60), approve(acc(1), acc(2), 0), allows(acc(1), acc(2)), spend(acc(2), acc(1), acc(3), 0)},
			"Ok 2, Ok 3, 0, InsufficientAllowance 0"},
		{"the expected allowance", []step{approve(acc(1), acc(2), 60, expect(1)), approve(acc(1), acc(2), 60, expect(0)), approve(acc(1), acc(2), 70, expect(59)),
			approve(acc(1), acc(2), 70, expect(60)), allows(acc(1), acc(2))}, "AllowanceChanged 0, Ok 2, AllowanceChanged 60, Ok 3, 70"},
		{"an expired allowance is expected to be nothing", []step{approve(acc(1), acc(2), 60, until(5)), pass(5), approve(acc(1), acc(2), 60, expect(60)),
			approve(acc(1), acc(2), 60, expect(0))}, "Ok 2, later, AllowanceChanged 0, Ok 3"},
		{"an approval that is over is none", []step{approve(acc(1), acc(2), 60, until(0)), approve(acc(1), acc(2), 60, until(1)), allows(acc(1), acc(2))}, "Expired, Ok 2, 60 until 1"},
		{"an allowance ends when it expires", []step{approve(acc(1), acc(2), 60, until(5)), pass(4), allows(acc(1), acc(2)), spend(acc(2), acc(1), acc(3), 10), pass(1),
			allows(acc(1), acc(2)), spend(acc(2), acc(1), acc(3), 10)}, "Ok 2, later, 60 until 5, Ok 3, later, 0, InsufficientAllowance 0"},
		{"nobody approves himself", []step{approve(acc(1), acc(1), 60), approve(acc(1), sub(1, 1), 60)}, "trap: self approval is not allowed, trap: self approval is not allowed"},
		{"the minting account approves nobody", []step{approve(minter, acc(1), 60)}, "trap: the minting account cannot delegate mints"},
		{"nobody mints for the minting account", []step{spend(acc(1), minter, acc(2), 60)}, "trap: the minting account cannot delegate mints"},
		{"a memo of an approval too long", []step{approve(acc(1), acc(2), 60, func(a *icrc.ApproveArgs) { a.Memo = bytes(81) })}, "trap: memo too long: 81 bytes, the limit is 80"},
		{"the time of an approval", []step{approve(acc(1), acc(2), 60, made(start-window-drift-1)), approve(acc(1), acc(2), 60, made(start+drift+1)), approve(acc(1), acc(2), 60, made(start)),
			approve(acc(1), acc(2), 60, made(start)), approve(acc(1), acc(2), 60), approve(acc(1), acc(2), 60)}, "TooOld, CreatedInFuture, Ok 2, Duplicate 2, Ok 3, Ok 4"},
		{"allowances cover amount and fee", []step{approve(acc(1), acc(2), 60), spend(acc(2), acc(1), acc(3), 51), spend(acc(2), acc(1), acc(3), 50), allows(acc(1), acc(2)),
			holds(acc(1)), holds(acc(2)), holds(acc(3))}, "Ok 2, InsufficientAllowance 60, Ok 3, 0, 930, 500, 50"},
		{"the rest stays", []step{approve(acc(1), acc(2), 60, until(9)), spend(acc(2), acc(1), acc(3), 20), allows(acc(1), acc(2))}, "Ok 2, Ok 3, 30 until 9"},
		{"allowances are of an account for an account", []step{approve(acc(1), acc(2), 60), spend(sub(2, 1), acc(1), acc(3), 1), spend(acc(2), sub(1, 1), acc(3), 1), spend(acc(3), acc(1), acc(3), 1)},
			"Ok 2, InsufficientAllowance 0, InsufficientAllowance 0, InsufficientAllowance 0"},
		{"the allowance is missed before the funds", []step{approve(acc(2), acc(1), 5000), spend(acc(1), acc(2), acc(3), 4991), spend(acc(1), acc(2), acc(3), 4990), allows(acc(2), acc(1))},
			"Ok 2, InsufficientAllowance 5000, InsufficientFunds 490, 5000"},
		{"one's own account needs no allowance", []step{spend(acc(1), acc(1), acc(3), 100), holds(acc(3)), spend(sub(1, 1), acc(1), acc(3), 100)}, "Ok 2, 100, InsufficientAllowance 0"},
		{"a spender burns without a fee", []step{approve(acc(1), acc(2), 60), spend(acc(2), acc(1), minter, 60), allows(acc(1), acc(2)), supply}, "Ok 2, Ok 3, 0, 1430"},
		{"a spender burns no less than others", []step{approve(acc(1), acc(2), 60), spend(acc(2), acc(1), minter, 9)}, "Ok 2, BadBurn 10"},
		{"a spender's fee", []step{approve(acc(1), acc(2), 60), func(b *book) string {
			return b.spend(acc(2), icrc.TransferFromArgs{From: acc(1), To: acc(3), Amount: nat(1), Fee: natp(9), CreatedAtTime: ptr(uint64(1))})
		}}, "Ok 2, BadFee 10"},
		{"a spender's duplicate", []step{approve(acc(1), acc(2), 60), func(b *book) string {
			a := icrc.TransferFromArgs{From: acc(1), To: acc(3), Amount: nat(1), CreatedAtTime: ptr(start)}
			return b.spend(acc(2), a) + ", " + b.spend(acc(2), a) + ", " + b.send(acc(1), icrc.TransferArg{To: acc(3), Amount: nat(1), CreatedAtTime: ptr(start)})
		}}, "Ok 2, Ok 3, Duplicate 3, Ok 4"},
	} {
		l, _ := newLedger(t, initArgs())
		b := &book{l, start}
		var got []string
		for _, s := range c.steps {
			got = append(got, s(b))
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.rule, text, c.want)
		}
		if err := l.CheckInvariants(); err != nil {
			t.Errorf("%s: %v", c.rule, err)
		}
	}
}

// TestFeeCollector: the collector gets the fees of transfers, those of approvals are burned, and mints and burns have none.
func TestFeeCollector(t *testing.T) {
	args := initArgs()
	args.FeeCollectorAccount = ptr(acc(9))
	l, _ := newLedger(t, args)
	b := &book{l, start}
	b.send(acc(1), icrc.TransferArg{To: acc(3), Amount: nat(100)})
	b.approve(acc(1), icrc.ApproveArgs{Spender: acc(2), Amount: nat(100)})
	b.spend(acc(2), icrc.TransferFromArgs{From: acc(1), To: acc(3), Amount: nat(5)})
	b.send(acc(1), icrc.TransferArg{To: minter, Amount: nat(20)})
	b.send(minter, icrc.TransferArg{To: acc(3), Amount: nat(1)})
	if got := b.holds(acc(9)) + " of " + l.Supply().String(); got != "20 of 1471" {
		t.Errorf("the collector has %s", got)
	}
}

// keys lists the fields of a block, sorted, with the values of btype and op.
func keys(prefix string, v icrc.ICRC3Value) (out []string) {
	for _, e := range *v.Map {
		switch name := prefix + e.Key; {
		case e.Key == "btype" || e.Key == "op" || e.Key == "mthd":
			out = append(out, name+"="+*e.Value.Text)
		case e.Value.Map != nil:
			out = append(out, keys(name+".", e.Value)...)
		default:
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// TestBlockSchema: the fields of each kind of block are those of the schemas of ICRC-3 (1mint, 1burn, 1xfer, 2approve, 2xfer, whose kind tx.op says) and
// ICRC-122. A fee that the caller did not name is outside of tx, which is what he signed.
func TestBlockSchema(t *testing.T) {
	l, _ := newLedger(t, initArgs())
	b := &book{l, start}
	memo, at, fee := ptr([]byte("m")), ptr(start), natp(10)
	for _, c := range []struct {
		do   func() string
		want string
	}{
		{func() string { return "Ok 0" }, "ts tx.amt tx.op=mint tx.to"},
		{func() string { return "Ok 1" }, "phash ts tx.amt tx.op=mint tx.to"},
		{func() string {
			return b.send(minter, icrc.TransferArg{To: acc(3), Amount: nat(50), Memo: memo, CreatedAtTime: at})
		}, "phash ts tx.amt tx.memo tx.op=mint tx.to tx.ts"},
		{func() string { return b.send(acc(1), icrc.TransferArg{To: minter, Amount: nat(50), Fee: natp(0)}) }, "phash ts tx.amt tx.from tx.op=burn"},
		{func() string { return b.send(acc(1), icrc.TransferArg{To: acc(3), Amount: nat(50)}) }, "fee phash ts tx.amt tx.from tx.op=xfer tx.to"},
		{func() string {
			return b.send(acc(1), icrc.TransferArg{To: acc(3), Amount: nat(50), Fee: fee, Memo: memo, CreatedAtTime: at})
		}, "phash ts tx.amt tx.fee tx.from tx.memo tx.op=xfer tx.to tx.ts"},
		{func() string { return b.approve(acc(1), icrc.ApproveArgs{Spender: acc(2), Amount: nat(200)}) }, "fee phash ts tx.amt tx.from tx.op=approve tx.spender"},
		{func() string {
			return b.approve(acc(1), icrc.ApproveArgs{Spender: acc(2), Amount: nat(200), Fee: fee, ExpectedAllowance: natp(200), ExpiresAt: ptr(start + 1), Memo: memo, CreatedAtTime: at})
		}, "phash ts tx.amt tx.expected_allowance tx.expires_at tx.fee tx.from tx.memo tx.op=approve tx.spender tx.ts"},
		{func() string { return b.spend(acc(2), icrc.TransferFromArgs{From: acc(1), To: acc(3), Amount: nat(5)}) }, "fee phash ts tx.amt tx.from tx.op=xfer tx.spender tx.to"},
		{func() string {
			return b.spend(acc(2), icrc.TransferFromArgs{From: acc(1), To: minter, Amount: nat(15)})
		}, "phash ts tx.amt tx.from tx.op=burn tx.spender"},
		{func() string {
			r := l.AuthorizedMint(start, who(8), true, &icrc.ICRC152MintArgs{To: acc(1), Amount: nat(1), CreatedAtTime: start, Reason: ptr("r")})
			return outcome(r.Ok, nil)
		}, "btype=122mint phash ts tx.amt tx.caller tx.mthd=152mint tx.reason tx.to tx.ts"},
		{func() string {
			r := l.AuthorizedBurn(start, who(8), true, &icrc.ICRC152BurnArgs{From: acc(1), Amount: nat(1), CreatedAtTime: start})
			return outcome(r.Ok, nil)
		}, "btype=122burn phash ts tx.amt tx.caller tx.from tx.mthd=152burn tx.ts"},
	} {
		got := c.do()
		var i uint64
		if _, err := fmt.Sscanf(got, "Ok %d", &i); err != nil {
			t.Fatalf("%s: %s", c.want, got)
		}
		if fields := strings.Join(keys("", l.Block(i)), " "); fields != c.want {
			t.Errorf("block %d has %s, want %s", i, fields, c.want)
		}
	}
	names := func(l *icrc.Ledger) (out []string) {
		for _, b := range l.BlockTypes() {
			out = append(out, b.BlockType)
		}
		return out
	}
	if got := strings.Join(names(l), " "); got != "1burn 1mint 1xfer 2approve 2xfer 122burn 122mint" {
		t.Errorf("block types %s", got)
	}
	args := initArgs()
	args.FeatureFlags = &icrc.FeatureFlags{}
	if plain, _ := newLedger(t, args); strings.Join(names(plain), " ") != "1burn 1mint 1xfer" {
		t.Errorf("block types %s", names(plain))
	}
}

// TestStandards: the lists of ICRC-1 and ICRC-10, which name what the features allow, and where the index is (ICRC-106).
func TestStandards(t *testing.T) {
	for _, c := range []struct {
		f    icrc.FeatureFlags
		want string
	}{
		{icrc.FeatureFlags{ICRC2: true}, "ICRC-1 ICRC-2 ICRC-3 ICRC-10 ICRC-21 ICRC-103 ICRC-106"},
		{icrc.FeatureFlags{}, "ICRC-1 ICRC-3 ICRC-10 ICRC-21 ICRC-106"},
		{icrc.FeatureFlags{ICRC2: true, ICRC152: true}, "ICRC-1 ICRC-2 ICRC-3 ICRC-10 ICRC-21 ICRC-103 ICRC-106 ICRC-122 ICRC-152"},
	} {
		args := initArgs()
		args.FeatureFlags = &c.f
		l, _ := newLedger(t, args)
		var names []string
		for _, s := range l.Standards() {
			if !strings.HasPrefix(s.URL, "https://github.com/dfinity/ICRC") {
				t.Errorf("%s is at %s", s.Name, s.URL)
			}
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.f, got, c.want)
		}
		if r := l.IndexPrincipal(); r.Ok != nil || r.Err == nil || r.Err.IndexPrincipalNotSet == nil {
			t.Errorf("no index: %+v", r)
		}
		if err := l.Upgrade(&icrc.UpgradeArgs{IndexPrincipal: ptr(who(42))}); err != nil {
			t.Fatal(err)
		}
		if r := l.IndexPrincipal(); r.Ok == nil || *r.Ok != who(42) {
			t.Errorf("an index: %+v", r)
		}
	}
	// Before the first block there is no tip to certify.
	l, _ := newLedger(t, &icrc.InitArgs{MintingAccount: minter})
	if l.Certified() != l.TipTree().Digest() || l.Blocks() != 0 {
		t.Error("the tree of an empty ledger is not the certified one")
	}
}

// TestAllowancePages is the example of ICRC-103: its five allowances, its cases, in public and in private.
func TestAllowancePages(t *testing.T) {
	for _, private := range []bool{false, true} {
		args := initArgs()
		for _, owner := range []icrc.Account{sub(10, 1), sub(10, 2), sub(11, 1), sub(11, 2)} {
			args.InitialBalances = append(args.InitialBalances, icrc.InitialBalance{Account: owner, Amount: nat(1000)})
		}
		if private {
			args.Metadata = []icrc.MetadataEntry{{Key: "icrc103:public_allowances", Value: icrc.MetadataValue{Text: ptr("false")}}}
		}
		l, mem := newLedger(t, args)
		b := &book{l, start}
		for i, p := range [][2]icrc.Account{{sub(10, 1), sub(11, 2)}, {sub(10, 1), sub(12, 2)}, {sub(10, 2), sub(13, 3)}, {sub(11, 1), sub(14, 4)}, {sub(11, 2), sub(15, 5)}} {
			if got := b.approve(p[0], icrc.ApproveArgs{Spender: p[1], Amount: nat(uint64(i + 1))}); !strings.HasPrefix(got, "Ok") {
				t.Fatal(got)
			}
		}
		var err error
		if l, err = icrc.Open(mem); err != nil {
			t.Fatal(err)
		}
		list := func(caller principal.Principal, a icrc.GetAllowancesArgs) string {
			r := l.GetAllowances(start, caller, a)
			switch {
			case r.Err != nil && r.Err.AccessDenied != nil:
				return "AccessDenied"
			case r.Err != nil:
				return "GenericError"
			}
			var out []string
			for _, e := range *r.Ok {
				out = append(out, "A"+e.Allowance.String())
			}
			return strings.Join(out, " ")
		}
		other := "A4 A5"
		if private {
			other = "AccessDenied"
		}
		for name, c := range map[string]struct {
			args icrc.GetAllowancesArgs
			want string
		}{
			"from an account on":           {icrc.GetAllowancesArgs{FromAccount: ptr(sub(10, 1)), Take: natp(4)}, "A1 A2 A3"},
			"after a spender":              {icrc.GetAllowancesArgs{FromAccount: ptr(sub(10, 1)), PrevSpender: ptr(sub(11, 2)), Take: natp(3)}, "A2 A3"},
			"after a spender without":      {icrc.GetAllowancesArgs{FromAccount: ptr(sub(10, 1)), PrevSpender: ptr(sub(12, 1)), Take: natp(2)}, "A2 A3"},
			"some":                         {icrc.GetAllowancesArgs{FromAccount: ptr(sub(10, 1)), Take: natp(1)}, "A1"},
			"none":                         {icrc.GetAllowancesArgs{Take: natp(0)}, ""},
			"the caller's":                 {icrc.GetAllowancesArgs{}, "A1 A2 A3"},
			"the caller's, from the end":   {icrc.GetAllowancesArgs{FromAccount: ptr(sub(10, 2)), PrevSpender: ptr(sub(13, 3))}, ""},
			"more than there can be":       {icrc.GetAllowancesArgs{Take: ptr(candid.NatFromBig(icrc.MaxAmount.Big()))}, "A1 A2 A3"},
			"somebody else's":              {icrc.GetAllowancesArgs{FromAccount: ptr(acc(11))}, other},
			"an account that is none":      {icrc.GetAllowancesArgs{FromAccount: &icrc.Account{Owner: who(10), Subaccount: ptr([]byte{1})}}, "GenericError"},
			"a spender that is no account": {icrc.GetAllowancesArgs{PrevSpender: &icrc.Account{Owner: who(10), Subaccount: ptr([]byte{1})}}, "GenericError"},
		} {
			if got := list(who(10), c.args); got != c.want {
				t.Errorf("private %v, %s: %q, want %q", private, name, got, c.want)
			}
		}
		for _, e := range l.Metadata() {
			if e.Key == "icrc103:public_allowances" && *e.Value.Text != fmt.Sprint(!private) {
				t.Errorf("private %v: %s is %s", private, e.Key, *e.Value.Text)
			}
		}
	}
	// 500 at most.
	args := initArgs()
	args.InitialBalances[0].Amount = nat(10_000)
	l, _ := newLedger(t, args)
	b := &book{l, start}
	for i := range 502 {
		b.approve(acc(1), icrc.ApproveArgs{Spender: sub(2, i%200), Amount: nat(1)})
		b.approve(acc(1), icrc.ApproveArgs{Spender: sub(3+i/200, i%200), Amount: nat(1)})
	}
	if r := l.GetAllowances(start, who(1), icrc.GetAllowancesArgs{Take: natp(1000)}); r.Ok == nil || len(*r.Ok) != 500 {
		t.Errorf("%+v", r.Err)
	}
	args = initArgs()
	args.Metadata = []icrc.MetadataEntry{{Key: "icrc103:public_allowances", Value: icrc.MetadataValue{Text: ptr("no")}}}
	if _, err := icrc.Create(&stable.Heap{}, args, start); err == nil {
		t.Error("allowances that are neither public nor private")
	}
}

// TestConsentMessages: what a user is shown before he signs, in full, for both kinds of displays.
func TestConsentMessages(t *testing.T) {
	l, _ := newLedger(t, initArgs())
	for _, c := range []struct {
		method string
		arg    any
		intent string
		fields string // title: value
	}{
		{"icrc1_transfer", icrc.TransferArg{FromSubaccount: sub(1, 1).Subaccount, To: acc(2), Amount: nat(123456789), Memo: ptr([]byte("hi"))}, "Send Chain key test",
			"From: k6k5p-6abov-zwk4q-nqxhkdq.1; Amount: 1.23456789 ckTEST; To: ca222-kacov-zwk4q; Fees: 0.0000001 ckTEST; Memo: 0x6869"},
		{"icrc2_approve", icrc.ApproveArgs{Spender: acc(2), Amount: nat(5), ExpectedAllowance: natp(7), ExpiresAt: ptr(start)}, "Approve spending of Chain key test",
			"From: k6k5p-6abov-zwk4q; Approve to spender: ca222-kacov-zwk4q; Requested allowance: 0.00000005 ckTEST; Existing allowance: 0.00000007 ckTEST; Approval expiration: Fri, 15 Jan 2027 08:00:00 UTC; Approval fee: 0.0000001 ckTEST"},
		{"icrc2_approve", icrc.ApproveArgs{Spender: acc(2), Amount: icrc.MaxAmount.Nat()}, "Approve spending of Chain key test",
			"From: k6k5p-6abov-zwk4q; Approve to spender: ca222-kacov-zwk4q; Requested allowance: 1157920892373161954235709850086879078532699846656405640394575840079131.29639935 ckTEST; Approval expiration: This approval does not expire.; Approval fee: 0.0000001 ckTEST"},
		{"icrc2_transfer_from", icrc.TransferFromArgs{From: acc(2), To: minter, Amount: nat(100000000)}, "Spend Chain key test",
			"From: ca222-kacov-zwk4q; Amount: 1 ckTEST; Spender: k6k5p-6abov-zwk4q; To: x4fgo-vlnnf-xhizl-s; Fees: 0 ckTEST"},
	} {
		ask := func(d *consent.Device) consent.Shown {
			r := l.Consent(who(1), consent.Request{Method: c.method, Arg: candid.MustMarshal(c.arg), UserPreferences: consent.Spec{Metadata: consent.Metadata{Language: "fr"}, DeviceSpec: d}})
			if r.Ok == nil || r.Ok.Metadata.Language != "en" {
				t.Fatalf("%s: %+v", c.method, r)
			}
			return r.Ok.ConsentMessage
		}
		text := func(v consent.Value) string {
			switch {
			case v.Text != nil:
				return v.Text.Content
			case v.TimestampSeconds != nil:
				return time.Unix(int64(v.TimestampSeconds.Amount), 0).UTC().Format("Mon, 2 Jan 2006 15:04:05 UTC")
			case v.TokenAmount != nil && v.TokenAmount.Decimals == 8:
				n := fmt.Sprintf("%09d", v.TokenAmount.Amount)
				return strings.TrimSuffix(strings.TrimRight(n[:len(n)-8]+"."+n[len(n)-8:], "0"), ".") + " " + v.TokenAmount.Symbol
			}
			return "nothing"
		}
		f := ask(&consent.Device{FieldsDisplay: candid.Unit}).FieldsDisplayMessage
		if f == nil || f.Intent != c.intent {
			t.Fatalf("%s: %+v", c.method, f)
		}
		var fields []string
		markdown := "# " + c.intent
		for _, x := range f.Fields {
			fields = append(fields, x.Title+": "+text(x.Value))
			markdown += "\n\n**" + x.Title + ":**\n`" + text(x.Value) + "`"
		}
		if got := strings.Join(fields, "; "); got != c.fields {
			t.Errorf("%s: %s, want %s", c.method, got, c.fields)
		}
		for _, d := range []*consent.Device{nil, {GenericDisplay: candid.Unit}} {
			if g := ask(d).GenericDisplayMessage; g == nil || *g != markdown {
				t.Errorf("%s: %s, want %s", c.method, *g, markdown)
			}
		}
	}
}

// TestAccountText: the textual form of ICRC-1, with its examples.
func TestAccountText(t *testing.T) {
	owner, err := principal.Parse("k2t6j-2nvnp-4zjm3-25dtz-6xhaa-c7boj-5gayf-oj3xs-i43lp-teztq-6ae")
	if err != nil {
		t.Fatal(err)
	}
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(i + 1)
	}
	one := make([]byte, 32)
	one[31] = 1
	for _, c := range []struct {
		sub  *[]byte
		want string
	}{
		{nil, owner.String()},
		{ptr(make([]byte, 32)), owner.String()},
		{&one, owner.String() + "-6cc627i.1"},
		{&counting, owner.String() + "-dfxgiyy.102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"},
	} {
		if got := (icrc.Account{Owner: owner, Subaccount: c.sub}).String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	if got := (icrc.Account{Owner: owner, Subaccount: ptr([]byte{1})}).String(); got != owner.String()+" with a subaccount of 1 bytes" {
		t.Error(got)
	}
}
