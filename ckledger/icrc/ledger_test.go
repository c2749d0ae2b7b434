package icrc_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"fusion/cdk"
	"fusion/cdk/native"
	"fusion/cdk/stable"
	"fusion/ckledger/consent"
	"fusion/ckledger/icrc"
	"fusion/ic/candid"
	"fusion/ic/hashtree"
	"fusion/ic/principal"

	"pgregory.net/rapid"
)

const start = uint64(1_800_000_000_000_000_000)

func who(i int) principal.Principal {
	return principal.MustFromBytes([]byte{byte(i), 'u', 's', 'e', 'r'})
}

func acc(i int) icrc.Account { return icrc.Account{Owner: who(i)} }

func sub(i, s int) icrc.Account {
	b := make([]byte, 32)
	b[31] = byte(s)
	return icrc.Account{Owner: who(i), Subaccount: &b}
}

func nat(n uint64) candid.Nat { return candid.NatFromUint64(n) }
func natp(n uint64) *candid.Nat {
	v := nat(n)
	return &v
}
func ptr[T any](v T) *T { return &v }

var minter = icrc.Account{Owner: principal.MustFromBytes([]byte("minter"))}

func initArgs() *icrc.InitArgs {
	return &icrc.InitArgs{
		MintingAccount: minter, TransferFee: nat(10), MaxMemoLength: ptr(uint16(80)), TokenSymbol: "ckTEST", TokenName: "Chain key test",
		InitialBalances: []icrc.InitialBalance{{Account: acc(1), Amount: nat(1000)}, {Account: acc(2), Amount: nat(500)}},
		FeatureFlags:    &icrc.FeatureFlags{ICRC2: true, ICRC152: true},
	}
}

func newLedger(t interface{ Fatal(...any) }, args *icrc.InitArgs) (*icrc.Ledger, *stable.Heap) {
	mem := &stable.Heap{}
	l, err := icrc.Create(mem, args, start)
	if err != nil {
		t.Fatal(err)
	}
	return l, mem
}

// model is the ledger as one would write it on a napkin.
type model struct {
	now       uint64
	fee       uint64
	collector string
	balances  map[string]uint64
	supply    uint64
	allowed   map[[2]string]modelAllowance
	seen      map[string]uint64 // transaction → block
	blocks    uint64
}

type modelAllowance struct{ amount, expires uint64 }

func key(a icrc.Account) string {
	s := make([]byte, 32)
	if a.Subaccount != nil {
		copy(s, *a.Subaccount)
	}
	return a.Owner.String() + "/" + string(s)
}

func (m *model) remember(content string, created *uint64) (verdict string) {
	if created == nil {
		return ""
	}
	switch {
	case *created+uint64(icrc.Window+icrc.Drift) < m.now:
		return "TooOld"
	case *created > m.now+uint64(icrc.Drift):
		return "CreatedInFuture"
	}
	if b, ok := m.seen[content]; ok {
		return fmt.Sprintf("Duplicate %d", b)
	}
	return ""
}

func (m *model) done(content string, created *uint64) string {
	if created != nil {
		m.seen[content] = m.blocks
	}
	m.blocks++
	return fmt.Sprintf("Ok %d", m.blocks-1)
}

func (m *model) transfer(spender *icrc.Account, from, to icrc.Account, amount uint64, fee *uint64, created *uint64, memo string) string {
	f, t := key(from), key(to)
	content := fmt.Sprintf("t %v %v %v %v %v %v %v", f, t, amount, deref(fee), deref(created), memo, spender != nil)
	if spender != nil {
		content += key(*spender)
	}
	due := m.fee
	mint, burn := f == key(minter), t == key(minter)
	if burn {
		mint = false
	}
	if mint || burn {
		due = 0
		content = strings.Replace(content, deref(fee), "nofee", 1)
	}
	if fee != nil && *fee != due {
		return fmt.Sprintf("BadFee %d", due)
	}
	if burn {
		least := min(m.fee, m.balances[f])
		if amount == 0 || amount < least {
			if least == 0 {
				least = m.fee
			}
			return fmt.Sprintf("BadBurn %d", least)
		}
	}
	if v := m.remember(content, created); v != "" {
		return v
	}
	if spender != nil && key(*spender) != f {
		k := [2]string{f, key(*spender)}
		a := m.allowance(k)
		if a.amount < amount+due {
			return fmt.Sprintf("InsufficientAllowance %d", a.amount)
		}
		if m.balances[f] < amount+due {
			return fmt.Sprintf("InsufficientFunds %d", m.balances[f])
		}
		a.amount -= amount + due
		m.allowed[k] = a
	}
	if !mint {
		if m.balances[f] < amount+due {
			return fmt.Sprintf("InsufficientFunds %d", m.balances[f])
		}
		m.balances[f] -= amount + due
		m.supply -= amount + due
	}
	if !burn {
		m.balances[t] += amount
		m.supply += amount
		if m.collector != "" {
			m.balances[m.collector] += due
			m.supply += due
		}
	}
	return m.done(content, created)
}

func (m *model) allowance(k [2]string) modelAllowance {
	a := m.allowed[k]
	if a.expires != 0 && a.expires <= m.now {
		return modelAllowance{}
	}
	return a
}

func (m *model) approve(from, spender icrc.Account, amount uint64, expected, expires, created *uint64) string {
	f, s := key(from), key(spender)
	content := fmt.Sprintf("a %v %v %v %v %v %v", f, s, amount, deref(expected), deref(expires), deref(created))
	if v := m.remember(content, created); v != "" {
		return v
	}
	if m.balances[f] < m.fee {
		return fmt.Sprintf("InsufficientFunds %d", m.balances[f])
	}
	if expires != nil && *expires <= m.now {
		return "Expired"
	}
	k := [2]string{f, s}
	if expected != nil && m.allowance(k).amount != *expected {
		return fmt.Sprintf("AllowanceChanged %d", m.allowance(k).amount)
	}
	m.balances[f] -= m.fee
	m.supply -= m.fee
	a := modelAllowance{amount: amount}
	if expires != nil {
		a.expires = *expires
	}
	m.allowed[k] = a
	return m.done(content, created)
}

func deref(p *uint64) string {
	if p == nil {
		return "none"
	}
	return fmt.Sprint(*p)
}

// outcome turns a result into the model's words.
func outcome(ok *candid.Nat, err any) string {
	if ok != nil {
		return "Ok " + ok.String()
	}
	var e icrc.TransferFromError
	switch x := err.(type) {
	case *icrc.TransferError:
		e = icrc.TransferFromError{BadFee: x.BadFee, BadBurn: x.BadBurn, InsufficientFunds: x.InsufficientFunds, TooOld: x.TooOld,
			CreatedInFuture: x.CreatedInFuture, Duplicate: x.Duplicate, GenericError: x.GenericError, TemporarilyUnavailable: x.TemporarilyUnavailable}
	case *icrc.TransferFromError:
		e = *x
	case *icrc.ApproveError:
		e = icrc.TransferFromError{BadFee: x.BadFee, InsufficientFunds: x.InsufficientFunds, TooOld: x.TooOld,
			CreatedInFuture: x.CreatedInFuture, Duplicate: x.Duplicate, GenericError: x.GenericError, TemporarilyUnavailable: x.TemporarilyUnavailable}
		if x.AllowanceChanged != nil {
			return "AllowanceChanged " + x.AllowanceChanged.CurrentAllowance.String()
		}
		if x.Expired != nil {
			return "Expired"
		}
	}
	switch {
	case e.BadFee != nil:
		return "BadFee " + e.BadFee.ExpectedFee.String()
	case e.BadBurn != nil:
		return "BadBurn " + e.BadBurn.MinBurnAmount.String()
	case e.InsufficientFunds != nil:
		return "InsufficientFunds " + e.InsufficientFunds.Balance.String()
	case e.InsufficientAllowance != nil:
		return "InsufficientAllowance " + e.InsufficientAllowance.Allowance.String()
	case e.TooOld != nil:
		return "TooOld"
	case e.CreatedInFuture != nil:
		return "CreatedInFuture"
	case e.Duplicate != nil:
		return "Duplicate " + e.Duplicate.DuplicateOf.String()
	case e.TemporarilyUnavailable != nil:
		return "TemporarilyUnavailable"
	case e.GenericError != nil:
		return "GenericError " + e.GenericError.Message
	}
	return "nothing"
}

func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		args := initArgs()
		m := &model{now: start, fee: 10, balances: map[string]uint64{key(acc(1)): 1000, key(acc(2)): 500}, supply: 1500,
			allowed: map[[2]string]modelAllowance{}, seen: map[string]uint64{}, blocks: 2}
		if rapid.Bool().Draw(t, "collector") {
			args.FeeCollectorAccount = ptr(sub(9, 0xfe))
			m.collector = key(sub(9, 0xfe))
		}
		l, mem := newLedger(t, args)
		accounts := []icrc.Account{acc(1), acc(2), sub(1, 5), sub(2, 0), acc(3), minter, sub(9, 0xfe)}
		account := rapid.SampledFrom(accounts)
		amount := rapid.SampledFrom([]uint64{0, 1, 9, 10, 50, 100, 490, 1000, 5000})
		created := rapid.Custom(func(t *rapid.T) *uint64 {
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0, 1:
				return nil
			case 2, 3:
				return ptr(m.now - uint64(rapid.IntRange(0, 2).Draw(t, "age"))*uint64(time.Hour))
			case 4:
				return ptr(m.now + uint64(icrc.Drift) + uint64(rapid.IntRange(0, 1).Draw(t, "late")))
			}
			return ptr(m.now - uint64(icrc.Window+icrc.Drift) - uint64(rapid.IntRange(0, 1).Draw(t, "old")))
		})
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0, 1, 2, 3:
				from, to := account.Draw(t, "from"), account.Draw(t, "to")
				n, at := amount.Draw(t, "amount"), created.Draw(t, "created")
				var fee *uint64
				if rapid.IntRange(0, 3).Draw(t, "withFee") == 0 {
					fee = ptr(rapid.SampledFrom([]uint64{0, 10, 11}).Draw(t, "fee"))
				}
				var feeNat *candid.Nat
				if fee != nil {
					feeNat = natp(*fee)
				}
				var memo *[]byte
				text := rapid.SampledFrom([]string{"", "x"}).Draw(t, "memo")
				if text != "" {
					memo = ptr([]byte(text))
				}
				want := m.transfer(nil, from, to, n, fee, at, text)
				r, err := l.Transfer(m.now, from.Owner, &icrc.TransferArg{FromSubaccount: from.Subaccount, To: to, Amount: nat(n), Fee: feeNat,
					Memo: memo, CreatedAtTime: at})
				if got := outcome(r.Ok, r.Err); err != nil || got != want {
					t.Fatalf("transfer of %d from %v to %v: %s, %v, want %s", n, from, to, got, err, want)
				}
			case 4, 5:
				spender, from, to := account.Draw(t, "spender"), account.Draw(t, "from"), account.Draw(t, "to")
				n, at := amount.Draw(t, "amount"), created.Draw(t, "created")
				if key(from) == key(minter) && key(to) != key(minter) {
					_, err := l.TransferFrom(m.now, spender.Owner, &icrc.TransferFromArgs{From: from, To: to, Amount: nat(n)})
					if !errors.Is(err, icrc.ErrDelegate) {
						t.Fatalf("delegated mint: %v", err)
					}
					break
				}
				want := m.transfer(&spender, from, to, n, nil, at, "")
				r, err := l.TransferFrom(m.now, spender.Owner, &icrc.TransferFromArgs{SpenderSubaccount: spender.Subaccount, From: from, To: to,
					Amount: nat(n), CreatedAtTime: at})
				if got := outcome(r.Ok, r.Err); err != nil || got != want {
					t.Fatalf("transfer of %d by %v from %v to %v: %s, %v, want %s", n, spender, from, to, got, err, want)
				}
			case 6, 7:
				from, spender := account.Draw(t, "from"), account.Draw(t, "spender")
				if from.Owner == spender.Owner || key(from) == key(minter) {
					break
				}
				n, at := amount.Draw(t, "amount"), created.Draw(t, "created")
				var expected, expires *uint64
				if rapid.Bool().Draw(t, "expect") {
					expected = ptr(m.allowance([2]string{key(from), key(spender)}).amount + uint64(rapid.IntRange(0, 1).Draw(t, "wrong")))
				}
				if rapid.Bool().Draw(t, "expire") {
					expires = ptr(m.now + uint64(rapid.IntRange(0, 3).Draw(t, "hours"))*uint64(time.Hour))
				}
				want := m.approve(from, spender, n, expected, expires, at)
				a := &icrc.ApproveArgs{FromSubaccount: from.Subaccount, Spender: spender, Amount: nat(n), ExpiresAt: expires, CreatedAtTime: at}
				if expected != nil {
					a.ExpectedAllowance = natp(*expected)
				}
				r, err := l.Approve(m.now, from.Owner, a)
				if got := outcome(r.Ok, r.Err); err != nil || got != want {
					t.Fatalf("approval of %d: %s, %v, want %s", n, got, err, want)
				}
			case 8:
				m.now += uint64(rapid.SampledFrom([]time.Duration{time.Second, time.Hour, 25 * time.Hour}).Draw(t, "pass"))
			case 9: // an upgrade
				var err error
				if l, err = icrc.Open(mem); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.CheckInvariants(); err != nil {
				t.Fatal(err)
			}
			if l.Supply() != icrc.AmountOf(m.supply) || l.Blocks() != m.blocks {
				t.Fatalf("supply %v and %d blocks, want %d and %d", l.Supply(), l.Blocks(), m.supply, m.blocks)
			}
			for _, a := range accounts {
				if b, err := l.BalanceOf(a); err != nil || b != icrc.AmountOf(m.balances[key(a)]) {
					t.Fatalf("balance of %v: %v, %v, want %d", a, b, err, m.balances[key(a)])
				}
			}
			for k, want := range m.allowed {
				want = m.allowance(k)
				for _, from := range accounts {
					for _, spender := range accounts {
						if k != [2]string{key(from), key(spender)} {
							continue
						}
						got, err := l.Allowance(m.now, icrc.AllowanceArgs{Account: from, Spender: spender})
						if err != nil || got.Allowance.String() != fmt.Sprint(want.amount) {
							t.Fatalf("allowance of %v for %v: %v, %v, want %d", from, spender, got.Allowance, err, want.amount)
						}
					}
				}
			}
		}
		if err := l.CheckChain(0); err != nil {
			t.Fatal(err)
		}
		for i := range l.Blocks() {
			got, err := l.BlockHash(i)
			if want := hashValue(l.Block(i)); err != nil || got != want {
				t.Fatalf("block %d: hash %x, %v, want %x", i, got, err, want)
			}
		}
		if txs := l.GetTransactions(icrc.GetBlocksArgs{Length: nat(5000)}); uint64(len(txs.Transactions)) != l.Blocks() {
			t.Fatalf("%d transactions of %d", len(txs.Transactions), l.Blocks())
		}
		if got, want := l.Certified(), l.TipTree().Digest(); got != want {
			t.Fatalf("certified %x, the tree's root is %x", got, want)
		}
	})
}

// hashValue is ICRC-3's representation-independent hash, written as the standard puts it.
func hashValue(v icrc.ICRC3Value) [32]byte {
	switch {
	case v.Blob != nil:
		return sha256.Sum256(*v.Blob)
	case v.Text != nil:
		return sha256.Sum256([]byte(*v.Text))
	case v.Nat != nil:
		return sha256.Sum256(leb(v.Nat.Big()))
	case v.Array != nil:
		var all []byte
		for _, x := range *v.Array {
			h := hashValue(x)
			all = append(all, h[:]...)
		}
		return sha256.Sum256(all)
	}
	var pairs []string
	for _, e := range *v.Map {
		k, h := sha256.Sum256([]byte(e.Key)), hashValue(e.Value)
		pairs = append(pairs, string(k[:])+string(h[:]))
	}
	sort.Strings(pairs)
	return sha256.Sum256([]byte(strings.Join(pairs, "")))
}

func leb(n *big.Int) (out []byte) {
	n = new(big.Int).Set(n)
	for {
		b := byte(n.Uint64() & 0x7f)
		n.Rsh(n, 7)
		if n.Sign() == 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

func TestAmounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *big.Int {
			b := rapid.SliceOfN(rapid.Byte(), 0, 32).Draw(t, name)
			return new(big.Int).SetBytes(b)
		}
		x, y := draw("x"), draw("y")
		l, _ := newLedger(t, &icrc.InitArgs{MintingAccount: minter, TransferFee: nat(0),
			InitialBalances: []icrc.InitialBalance{{Account: acc(1), Amount: candid.NatFromBig(x)}}})
		if l.Supply().Big().Cmp(x) != 0 {
			t.Fatalf("supply %v, want %v", l.Supply(), x)
		}
		r, err := l.Transfer(start, who(1), &icrc.TransferArg{To: acc(2), Amount: candid.NatFromBig(y)})
		if err != nil {
			t.Fatal(err)
		}
		if enough := x.Cmp(y) >= 0; enough != (r.Ok != nil) {
			t.Fatalf("transfer of %v out of %v: %s", y, x, outcome(r.Ok, r.Err))
		}
		if err := l.CheckInvariants(); err != nil {
			t.Fatal(err)
		}
		b := l.Block(l.Blocks() - 1)
		if h, err := l.BlockHash(l.Blocks() - 1); err != nil || h != hashValue(b) {
			t.Fatalf("hash of %+v", b)
		}
	})
	l, _ := newLedger(t, &icrc.InitArgs{MintingAccount: minter, TransferFee: nat(0),
		InitialBalances: []icrc.InitialBalance{{Account: acc(1), Amount: icrc.MaxAmount.Nat()}}})
	huge := candid.NatFromBig(new(big.Int).Lsh(big.NewInt(1), 300))
	for _, c := range []struct {
		from   principal.Principal
		to     icrc.Account
		amount candid.Nat
		want   string
	}{
		{minter.Owner, acc(2), nat(1), "GenericError the supply would exceed"},
		{minter.Owner, acc(2), huge, "GenericError the supply would exceed"},
		{who(1), acc(2), huge, "InsufficientFunds " + icrc.MaxAmount.String()},
		{who(1), minter, huge, "InsufficientFunds " + icrc.MaxAmount.String()},
	} {
		r, err := l.Transfer(start, c.from, &icrc.TransferArg{To: c.to, Amount: c.amount})
		if got := outcome(r.Ok, r.Err); err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, %v, want %s", got, err, c.want)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for name, change := range map[string]func(*icrc.InitArgs){
		"collector is minter": func(a *icrc.InitArgs) { a.FeeCollectorAccount = &a.MintingAccount },
		"short memo":          func(a *icrc.InitArgs) { a.MaxMemoLength = ptr(uint16(31)) },
		"balance of minter":   func(a *icrc.InitArgs) { a.InitialBalances[0].Account = minter },
		"subaccount":          func(a *icrc.InitArgs) { a.MintingAccount.Subaccount = ptr([]byte{1}) },
		"fee out of range":    func(a *icrc.InitArgs) { a.TransferFee = candid.NatFromBig(new(big.Int).Lsh(big.NewInt(1), 256)) },
		"supply out of range": func(a *icrc.InitArgs) { a.InitialBalances[0].Amount = icrc.MaxAmount.Nat() },
		"balance out of range": func(a *icrc.InitArgs) {
			a.InitialBalances[0].Amount = candid.NatFromBig(new(big.Int).Lsh(big.NewInt(1), 256))
		},
	} {
		args := initArgs()
		change(args)
		if _, err := icrc.Create(&stable.Heap{}, args, start); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	l, mem := newLedger(t, initArgs())
	if _, err := icrc.Create(mem, initArgs(), start); !errors.Is(err, icrc.ErrArgument) {
		t.Errorf("create over a ledger: %v", err)
	}
	if _, err := icrc.Open(&stable.Heap{}); err == nil {
		t.Error("opened an empty memory")
	}
	if _, err := l.Transfer(start, who(1), &icrc.TransferArg{To: icrc.Account{Owner: who(2), Subaccount: ptr(make([]byte, 31))}, Amount: nat(1)}); !errors.Is(err, icrc.ErrSubaccount) {
		t.Errorf("short subaccount: %v", err)
	}
	if _, err := l.Transfer(start, who(1), &icrc.TransferArg{To: acc(2), Amount: nat(1), Memo: ptr(make([]byte, 81))}); !errors.Is(err, icrc.ErrMemo) {
		t.Errorf("long memo: %v", err)
	}
	if r, err := l.Transfer(start, who(1), &icrc.TransferArg{To: acc(2), Amount: nat(1), Memo: ptr(make([]byte, 80))}); err != nil || r.Ok == nil {
		t.Errorf("memo of 80 bytes: %v", err)
	}
	if _, err := l.Approve(start, who(1), &icrc.ApproveArgs{Spender: sub(1, 4), Amount: nat(1)}); !errors.Is(err, icrc.ErrSelf) {
		t.Errorf("self approval: %v", err)
	}
	if _, err := l.Approve(start, minter.Owner, &icrc.ApproveArgs{Spender: acc(1), Amount: nat(1)}); !errors.Is(err, icrc.ErrDelegate) {
		t.Errorf("approval of the minter: %v", err)
	}
}

func TestAuthorizedSupply(t *testing.T) {
	l, _ := newLedger(t, initArgs())
	args := &icrc.ICRC152MintArgs{To: acc(4), Amount: nat(7), CreatedAtTime: start, Reason: ptr("audit")}
	if r := l.AuthorizedMint(start, who(8), false, args); r.Err == nil || r.Err.Unauthorized == nil {
		t.Fatalf("%+v", r)
	}
	r := l.AuthorizedMint(start, who(8), true, args)
	if r.Ok == nil {
		t.Fatalf("%+v", r.Err)
	}
	if again := l.AuthorizedMint(start, who(8), true, args); again.Err == nil || again.Err.Duplicate == nil {
		t.Fatalf("%+v", again)
	}
	burn := &icrc.ICRC152BurnArgs{From: acc(4), Amount: nat(8), CreatedAtTime: start}
	if b := l.AuthorizedBurn(start, who(8), true, burn); b.Err == nil || b.Err.InsufficientBalance == nil {
		t.Fatalf("%+v", b)
	}
	burn.Amount = nat(5)
	if b := l.AuthorizedBurn(start, who(8), true, burn); b.Ok == nil {
		t.Fatalf("%+v", b.Err)
	}
	if b := l.AuthorizedBurn(start, who(8), true, &icrc.ICRC152BurnArgs{From: minter, Amount: nat(5), CreatedAtTime: start}); b.Err == nil || b.Err.InvalidAccount == nil {
		t.Fatalf("%+v", b)
	}
	txs := l.GetTransactions(icrc.GetBlocksArgs{Start: nat(2), Length: nat(9)}).Transactions
	if len(txs) != 2 || txs[0].Kind != "122mint" || txs[0].AuthorizedMint == nil || *txs[0].AuthorizedMint.Caller != who(8) ||
		*txs[0].AuthorizedMint.Reason != "audit" || *txs[0].AuthorizedMint.Mthd != "152mint" || txs[1].AuthorizedBurn == nil {
		t.Fatalf("%+v", txs)
	}
	if err := l.CheckInvariants(); err != nil {
		t.Fatal(err)
	}
	if err := l.CheckChain(0); err != nil {
		t.Fatal(err)
	}
	if l.Supply() != icrc.AmountOf(1502) {
		t.Fatalf("supply %v", l.Supply())
	}
}

func TestAllowanceList(t *testing.T) {
	l, _ := newLedger(t, initArgs())
	for _, s := range []int{5, 3, 4} {
		if r, err := l.Approve(start, who(1), &icrc.ApproveArgs{Spender: acc(s), Amount: nat(uint64(s)), ExpiresAt: ptr(start + uint64(s)*1e9)}); err != nil || r.Ok == nil {
			t.Fatal(err, r.Err)
		}
	}
	if r, err := l.Approve(start, who(2), &icrc.ApproveArgs{Spender: acc(1), Amount: nat(1)}); err != nil || r.Ok == nil {
		t.Fatal(err)
	}
	list := func(now uint64, a icrc.GetAllowancesArgs) (out []string) {
		r := l.GetAllowances(now, who(1), a)
		if r.Ok == nil {
			t.Fatal(*r.Err)
		}
		for _, e := range *r.Ok {
			out = append(out, e.Allowance.String())
		}
		return out
	}
	for _, c := range []struct {
		now  uint64
		args icrc.GetAllowancesArgs
		want []string
	}{
		{start, icrc.GetAllowancesArgs{}, []string{"3", "4", "5"}},
		{start + 4e9, icrc.GetAllowancesArgs{}, []string{"5"}},
		{start, icrc.GetAllowancesArgs{Take: natp(2)}, []string{"3", "4"}},
		{start, icrc.GetAllowancesArgs{PrevSpender: ptr(acc(3))}, []string{"4", "5"}},
		{start, icrc.GetAllowancesArgs{FromAccount: ptr(acc(2))}, []string{"1"}},
		{start, icrc.GetAllowancesArgs{FromAccount: ptr(acc(3))}, nil},
	} {
		if got := list(c.now, c.args); !slices.Equal(got, c.want) {
			t.Errorf("%+v at %d: %v, want %v", c.args, c.now-start, got, c.want)
		}
	}
}

// With too many transactions in the window new ones are refused, and accepted again once old ones are forgotten.
func TestWindow(t *testing.T) {
	l, _ := newLedger(t, initArgs())
	l.SetWindow(10)
	transfer := func(now, created uint64) string {
		r, err := l.Transfer(now, minter.Owner, &icrc.TransferArg{To: acc(1), Amount: nat(1), CreatedAtTime: &created})
		if err != nil {
			t.Fatal(err)
		}
		return outcome(r.Ok, r.Err)
	}
	for i := range uint64(5) {
		if got := transfer(start, start+i); !strings.HasPrefix(got, "Ok") {
			t.Fatal(got)
		}
	}
	now := start
	for i := uint64(5); i < 10; i++ { // the second half is given out by the second
		if got := transfer(now, start+i); got != "TemporarilyUnavailable" {
			t.Fatal(got)
		}
		now += 1e9
		if got := transfer(now, start+i); !strings.HasPrefix(got, "Ok") {
			t.Fatal(got)
		}
	}
	if got := transfer(now+1e9, start+10); got != "TemporarilyUnavailable" {
		t.Fatal(got)
	}
	if got := transfer(now, start+9); got != "Duplicate 11" {
		t.Fatal(got)
	}
	if r, err := l.Transfer(now, minter.Owner, &icrc.TransferArg{To: acc(1), Amount: nat(1)}); err != nil || r.Ok == nil {
		t.Fatalf("without a creation time: %s, %v", outcome(r.Ok, r.Err), err)
	}
	late := start + uint64(icrc.Window+icrc.Drift) + 5 // the first five are forgotten
	if got := transfer(late, late); !strings.HasPrefix(got, "Ok") {
		t.Fatal(got)
	}
	if got := transfer(late, start+4); got != "TooOld" {
		t.Fatal(got)
	}
	if got := transfer(late, start+5); got != "Duplicate 7" {
		t.Fatal(got)
	}
}

func TestBlockPages(t *testing.T) {
	l, _ := newLedger(t, initArgs())
	for i := range 200 {
		if r, err := l.Transfer(start, minter.Owner, &icrc.TransferArg{To: acc(1), Amount: nat(uint64(i))}); err != nil || r.Ok == nil {
			t.Fatal(err)
		}
	}
	if b := l.GetBlocks(icrc.GetBlocksArgs{Start: nat(200), Length: nat(10)}); len(b.Blocks) != 2 || b.ChainLength != 202 {
		t.Fatalf("%d blocks of %d", len(b.Blocks), b.ChainLength)
	}
	if b := l.GetBlocks(icrc.GetBlocksArgs{Start: nat(900), Length: nat(10)}); len(b.Blocks) != 0 {
		t.Fatalf("%d blocks", len(b.Blocks))
	}
	r := l.GetICRC3Blocks([]icrc.GetBlocksArgs{{Start: nat(1), Length: nat(1)}, {Start: nat(100), Length: nat(1000)}, {Start: nat(0), Length: nat(5)}})
	if len(r.Blocks) != 100 || r.Blocks[0].ID.String() != "1" || r.Blocks[1].ID.String() != "100" || r.LogLength.String() != "202" {
		t.Fatalf("%d blocks", len(r.Blocks))
	}
	// get_blocks shows small numbers as nat64, icrc3_get_blocks as nat.
	legacy := l.GetBlocks(icrc.GetBlocksArgs{Start: nat(3), Length: nat(1)}).Blocks[0]
	for _, e := range *legacy.Map {
		if e.Key == "ts" && e.Value.Nat64 == nil {
			t.Errorf("ts is %+v", e.Value)
		}
	}
}

func TestServiceType(t *testing.T) {
	src, err := os.ReadFile("testdata/icrc1_ledger.did")
	if err != nil {
		t.Fatal(err)
	}
	want, err := candid.ParseDID(string(src))
	if err != nil {
		t.Fatal(err)
	}
	service, init := cdk.ServiceType(icrc.Canister)
	if err := candid.Subtype(service, want.Service); err != nil {
		t.Errorf("the ledger cannot stand in: %v", err)
	}
	if err := candid.SubtypeStrict(service, want.Service); err != nil {
		t.Errorf("the ledger cannot stand in without falling back to null: %v", err)
	}
	if len(init) != 1 || len(want.Init) != 1 {
		t.Fatalf("init %v", init)
	}
	if err := candid.SubtypeStrict(want.Init[0].Type, init[0].Type); err != nil {
		t.Errorf("init arguments: %v", err)
	}
	if len(service.Methods) != len(want.Service.Methods)+2 { // http_request, get_stored_blocks
		t.Errorf("%d methods, want %d", len(service.Methods), len(want.Service.Methods)+2)
	}
}

func TestCanister(t *testing.T) {
	w := native.NewWorld(1)
	ledger, controller := principal.FromUint64(1), who(77)
	arg := icrc.LedgerArg{Init: initArgs()}
	if err := w.Install(ledger, icrc.Canister, arg, native.RebuildAfterTrap, native.Controllers(controller)); err != nil {
		t.Fatal(err)
	}
	balance := func(a icrc.Account, want uint64) {
		t.Helper()
		if got, err := native.Query[candid.Nat](w, who(1), ledger, "icrc1_balance_of", a); err != nil || got.String() != fmt.Sprint(want) {
			t.Fatalf("balance %v, %v, want %d", got, err, want)
		}
	}
	r, err := native.Update[icrc.TransferResult](w, who(1), ledger, "icrc1_transfer", icrc.TransferArg{To: acc(3), Amount: nat(100), CreatedAtTime: ptr(w.Now())})
	if err != nil || r.Ok == nil {
		t.Fatalf("%+v, %v", r.Err, err)
	}
	balance(acc(1), 890)
	balance(acc(3), 100)
	if _, err := native.Update[icrc.TransferResult](w, who(1), ledger, "icrc1_transfer", icrc.TransferArg{To: acc(3), Amount: nat(1), Memo: ptr(make([]byte, 99))}); err == nil || !strings.Contains(err.Error(), "memo too long") {
		t.Fatalf("long memo: %v", err)
	}
	if r, err := native.Update[icrc.ApproveResult](w, who(1), ledger, "icrc2_approve", icrc.ApproveArgs{Spender: acc(2), Amount: nat(60)}); err != nil || r.Ok == nil {
		t.Fatal(err)
	}
	if r, err := native.Update[icrc.TransferFromResult](w, who(2), ledger, "icrc2_transfer_from", icrc.TransferFromArgs{From: acc(1), To: acc(2), Amount: nat(50)}); err != nil || r.Ok == nil {
		t.Fatal(err)
	}
	balance(acc(1), 820)
	if r, err := native.Update[icrc.ICRC152MintResult](w, controller, ledger, "icrc152_mint", icrc.ICRC152MintArgs{To: acc(6), Amount: nat(9), CreatedAtTime: w.Now()}); err != nil || r.Ok == nil {
		t.Fatal(err)
	}

	// The tip certificate's tree has the certified root and names the last block.
	tip, err := native.Query[*icrc.ICRC3DataCertificate](w, who(1), ledger, "icrc3_get_tip_certificate")
	if err != nil || tip == nil {
		t.Fatal(err)
	}
	tree, err := hashtree.Decode(tip.HashTree)
	if err != nil {
		t.Fatal(err)
	}
	if root := tree.Digest(); !bytes.Equal(root[:], w.Certified(ledger)) {
		t.Fatalf("root %x, certified %x", root, w.Certified(ledger))
	}
	blocks, err := native.Query[icrc.GetBlocksResult](w, who(1), ledger, "icrc3_get_blocks", []icrc.GetBlocksArgs{{Length: nat(50)}})
	if err != nil {
		t.Fatal(err)
	}
	last := blocks.Blocks[len(blocks.Blocks)-1]
	found, hash := hashtree.LookupText(tree, "last_block_hash")
	if want := hashValue(last.Block); found != hashtree.Found || !bytes.Equal(hash, want[:]) {
		t.Fatalf("tip %x, want %x", hash, want)
	}
	if _, index := hashtree.LookupText(tree, "last_block_index"); fmt.Sprint(binary.Uvarint(index)) != fmt.Sprint(last.ID.String(), " 1") {
		t.Fatalf("index %x, want %v", index, last.ID)
	}

	// An upgrade keeps everything and changes what it is told to.
	certified := w.Certified(ledger)
	if err := w.Upgrade(ledger, icrc.Canister, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(certified, w.Certified(ledger)) {
		t.Fatal("the upgrade changed the certified tip")
	}
	up := &icrc.UpgradeArgs{TokenName: ptr("Renamed"), TransferFee: natp(1), ChangeFeeCollector: &icrc.ChangeFeeCollector{SetTo: ptr(acc(9))}}
	if err := w.Upgrade(ledger, icrc.Canister, icrc.LedgerArg{Upgrade: &up}); err != nil {
		t.Fatal(err)
	}
	if name, _ := native.Query[string](w, who(1), ledger, "icrc1_name"); name != "Renamed" {
		t.Fatalf("name %q", name)
	}
	for range 2 {
		if r, err := native.Update[icrc.TransferResult](w, who(1), ledger, "icrc1_transfer", icrc.TransferArg{To: acc(3), Amount: nat(1)}); err != nil || r.Ok == nil {
			t.Fatal(err)
		}
	}
	balance(acc(9), 2)
	all, err := native.Query[icrc.GetBlocksResponse](w, who(1), ledger, "get_blocks", icrc.GetBlocksArgs{Length: nat(50)})
	if err != nil {
		t.Fatal(err)
	}
	n := len(all.Blocks)
	if a, b := text(all.Blocks[n-2]), text(all.Blocks[n-1]); !strings.Contains(a, "fee_col ") || !strings.Contains(b, fmt.Sprintf("fee_col_block %d", n-2)) {
		t.Fatalf("fee collector in blocks %s and %s", a, b)
	}
	if err := w.Upgrade(ledger, icrc.Canister, arg); err == nil {
		t.Fatal("an upgrade accepted Init arguments")
	}
	if err := w.Install(principal.FromUint64(2), icrc.Canister, icrc.LedgerArg{Upgrade: &up}); err == nil {
		t.Fatal("an install accepted Upgrade arguments")
	}
	for _, method := range []string{"icrc1_metadata", "icrc1_supported_standards", "icrc10_supported_standards", "icrc1_minting_account", "archives",
		"icrc3_supported_block_types", "icrc106_get_index_principal", "get_data_certificate", "is_ledger_ready", "icrc1_total_supply", "icrc1_fee",
		"icrc1_decimals", "icrc1_symbol"} {
		if _, err := w.QueryRaw(who(1), ledger, method, candid.MustMarshal()); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// text shows the keys of a block that have numbers or none.
func text(v icrc.Value) string {
	var b strings.Builder
	for _, e := range *v.Map {
		fmt.Fprintf(&b, "%s ", e.Key)
		if e.Value.Nat64 != nil {
			fmt.Fprintf(&b, "%d ", *e.Value.Nat64)
		}
	}
	return b.String()
}

func TestConsent(t *testing.T) {
	l, _ := newLedger(t, initArgs())
	ask := func(method string, arg []byte, device *consent.Device) consent.Response {
		return l.Consent(who(1), consent.Request{Method: method, Arg: arg,
			UserPreferences: consent.Spec{Metadata: consent.Metadata{Language: "de"}, DeviceSpec: device}})
	}
	transfer := candid.MustMarshal(icrc.TransferArg{To: acc(2), Amount: nat(123456789), Memo: ptr([]byte{0xab})})
	r := ask("icrc1_transfer", transfer, nil)
	if r.Ok == nil || r.Ok.ConsentMessage.GenericDisplayMessage == nil {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{"# Send Chain key test", "1.23456789 ckTEST", "0.0000001 ckTEST", who(2).String(), "0xab"} {
		if !strings.Contains(*r.Ok.ConsentMessage.GenericDisplayMessage, want) {
			t.Errorf("%q lacks %q", *r.Ok.ConsentMessage.GenericDisplayMessage, want)
		}
	}
	r = ask("icrc2_approve", candid.MustMarshal(icrc.ApproveArgs{Spender: acc(2), Amount: nat(5), ExpiresAt: ptr(start)}), &consent.Device{FieldsDisplay: candid.Unit})
	if r.Ok == nil || r.Ok.ConsentMessage.FieldsDisplayMessage == nil || len(r.Ok.ConsentMessage.FieldsDisplayMessage.Fields) != 5 {
		t.Fatalf("%+v", r)
	}
	r = ask("icrc2_transfer_from", candid.MustMarshal(icrc.TransferFromArgs{From: acc(1), To: minter, Amount: nat(5)}), nil)
	if r.Ok == nil || !strings.Contains(*r.Ok.ConsentMessage.GenericDisplayMessage, "**Fees:**\n`0 ckTEST`") {
		t.Fatalf("%+v", r)
	}
	for name, r := range map[string]consent.Response{
		"unknown method": ask("icrc1_balance_of", transfer, nil),
		"bad argument":   ask("icrc1_transfer", []byte("DIDL"), nil),
		"long argument":  ask("icrc1_transfer", make([]byte, 501), nil),
		"bad subaccount": ask("icrc1_transfer", candid.MustMarshal(icrc.TransferArg{To: icrc.Account{Owner: who(2), Subaccount: ptr([]byte{1})}}), nil),
	} {
		if r.Err == nil || r.Err.UnsupportedCanisterCall == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func FuzzDecodeValue(f *testing.F) {
	l, _ := newLedger(f, initArgs())
	if r, err := l.Approve(start, who(1), &icrc.ApproveArgs{Spender: sub(2, 3), Amount: nat(1 << 60), ExpiresAt: ptr(start + 1), Memo: ptr([]byte("m"))}); err != nil || r.Ok == nil {
		f.Fatal(err)
	}
	for i := range l.Blocks() {
		f.Add(l.RawBlock(i))
	}
	f.Add([]byte{5, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := icrc.DecodeValue(b)
		h, hashErr := icrc.HashValue(b)
		if (err == nil) != (hashErr == nil) {
			t.Fatalf("decode: %v, hash: %v", err, hashErr)
		}
		if err == nil {
			if want := hashValue(v); h != want {
				t.Fatalf("hash %x, want %x", h, want)
			}
			icrc.Follow(v)
			if again, err := icrc.AppendValue(nil, v); err == nil && !bytes.Equal(again, b) {
				if redone, err := icrc.HashValue(again); err != nil || redone != h { // counts and lengths may have been longer than needed
					t.Fatalf("encoded again: %x, %v", again, err)
				}
			}
		}
	})
}

func BenchmarkTransfer(b *testing.B) {
	l, _ := newLedger(b, &icrc.InitArgs{MintingAccount: minter, TransferFee: nat(10), InitialBalances: []icrc.InitialBalance{{Account: acc(1), Amount: nat(1 << 60)}}})
	b.ReportAllocs()
	for i := range b.N {
		now := start + uint64(i)*1e6
		r, err := l.Transfer(now, who(1), &icrc.TransferArg{To: sub(2+i%200, i%100), Amount: nat(5), CreatedAtTime: &now})
		if err != nil || r.Ok == nil {
			b.Fatal(outcome(r.Ok, r.Err))
		}
	}
}
