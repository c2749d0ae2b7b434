package icrc

import (
	"encoding/binary"

	"fusion/ic/candid"
	"fusion/ic/principal"
)

// allowance is what a spender may take; expires is 0 for never.
type allowance struct {
	amount  Amount
	expires uint64
}

func (l *Ledger) allowanceKey(from, spender account) []byte {
	l.key = spender.appendKey(from.appendKey(l.key[:0]))
	return l.key
}

// allowance reads an allowance; an expired one is nothing.
func (l *Ledger) allowance(now uint64, from, spender account) allowance {
	a := l.storedAllowance(from, spender)
	if a.expired(now) {
		return allowance{}
	}
	return a
}

func (l *Ledger) storedAllowance(from, spender account) allowance {
	b, ok := l.allowances.Get(l.allowanceKey(from, spender), l.val[:0])
	if !ok {
		return allowance{}
	}
	l.val = b
	return readAllowance(b)
}

func readAllowance(b []byte) allowance {
	return allowance{expires: binary.LittleEndian.Uint64(b), amount: AmountOfBytes(b[8:])}
}

func (a allowance) expired(now uint64) bool { return a.expires != 0 && a.expires <= now }

// setAllowance replaces an allowance and keeps the list of expiries in step.
func (l *Ledger) setAllowance(from, spender account, a allowance) {
	old := l.storedAllowance(from, spender)
	if old.expires != 0 && (old.expires != a.expires || a.amount.IsZero()) {
		l.expiries.Delete(l.expiryKey(old.expires, from, spender))
	}
	if a.amount.IsZero() {
		l.allowances.Delete(l.allowanceKey(from, spender))
		return
	}
	if a.expires != 0 && old.expires != a.expires {
		must(l.expiries.Set(l.expiryKey(a.expires, from, spender), nil))
	}
	l.val = a.amount.AppendBytes(binary.LittleEndian.AppendUint64(l.val[:0], a.expires))
	// appendBytes drops zeros at the end, which must not reach into the time: a non-zero amount stops it.
	must(l.allowances.Set(l.allowanceKey(from, spender), l.val))
}

func (l *Ledger) expiryKey(expires uint64, from, spender account) []byte {
	l.key = binary.BigEndian.AppendUint64(l.key[:0], expires)
	l.key = spender.appendKey(from.appendKey(l.key))
	return l.key
}

// purgeAllowances forgets a few expired allowances.
func (l *Ledger) purgeAllowances(now uint64) {
	for range purge {
		key, ok := l.expiries.First(l.key[:0])
		if !ok || binary.BigEndian.Uint64(key) > now {
			return
		}
		l.key = key
		l.allowances.Delete(key[8:])
		l.expiries.Delete(key)
	}
}

func (l *Ledger) approve(now uint64, t *transaction, fee Amount) *failure {
	balance := l.balance(&t.from)
	rest, ok := balance.Sub(fee)
	if !ok {
		return &failure{funds: &balance}
	}
	if t.expires != nil && *t.expires <= now {
		return &failure{expired: true}
	}
	if t.expected != nil {
		if current := l.allowance(now, t.from, *t.spender); current.amount != *t.expected {
			return &failure{changed: &current.amount}
		}
	}
	l.purgeAllowances(now)
	l.setBalance(&t.from, rest)
	l.hot.supply, _ = l.hot.supply.Sub(fee)
	a := allowance{amount: t.amount}
	if t.expires != nil {
		a.expires = *t.expires
	}
	l.setAllowance(t.from, *t.spender, a)
	return nil
}

// maxTake is the most allowances that one call returns (ICRC-103).
const maxTake = 500

// Allowances lists the allowances that the owner of from gave, in the order of accounts, after (from, prev), or from from on if prev is
// nil. Expired ones are left out.
func (l *Ledger) Allowances(now uint64, from account, prev *account, take int) []AllowanceEntry {
	start := from.appendKey(nil)
	if prev != nil {
		start = append(prev.appendKey(start), 0) // the first key after the pair
	}
	out := []AllowanceEntry{}
	l.allowances.Ascend(start, func(key, value []byte) bool {
		owner, rest, err := readKey(key)
		must(err)
		if owner.owner != from.owner || len(out) >= take {
			return false
		}
		spender, _, err := readKey(rest)
		must(err)
		a := readAllowance(value)
		if a.expired(now) {
			return true
		}
		e := AllowanceEntry{FromAccount: owner.public(), ToSpender: spender.public(), Allowance: a.amount.Nat()}
		if a.expires != 0 {
			e.ExpiresAt = &a.expires
		}
		out = append(out, e)
		return true
	})
	return out
}

// Allowance answers icrc2_allowance.
func (l *Ledger) Allowance(now uint64, args AllowanceArgs) (Allowance, error) {
	from, err := parseAccount(args.Account)
	if err != nil {
		return Allowance{}, err
	}
	spender, err := parseAccount(args.Spender)
	if err != nil {
		return Allowance{}, err
	}
	a := l.allowance(now, from, spender)
	out := Allowance{Allowance: a.amount.Nat()}
	if a.expires != 0 {
		out.ExpiresAt = &a.expires
	}
	return out, nil
}

// GetAllowances answers icrc103_get_allowances.
func (l *Ledger) GetAllowances(now uint64, caller principal.Principal, args GetAllowancesArgs) GetAllowancesResult {
	refuse := func(err error) GetAllowancesResult {
		return GetAllowancesResult{Err: &GetAllowancesError{GenericError: &GenericError{ErrorCode: candid.NatFromUint64(1), Message: err.Error()}}}
	}
	from := account{owner: caller}
	var err error
	if args.FromAccount != nil {
		if from, err = parseAccount(*args.FromAccount); err != nil {
			return refuse(err)
		}
	}
	if l.private && from.owner != caller {
		return GetAllowancesResult{Err: &GetAllowancesError{AccessDenied: &AccessDenied{"allowances are shown to who gave them"}}}
	}
	var prev *account
	if args.PrevSpender != nil {
		p, err := parseAccount(*args.PrevSpender)
		if err != nil {
			return refuse(err)
		}
		prev = &p
	}
	take := uint64(maxTake)
	if args.Take != nil {
		if n, ok := args.Take.Uint64(); ok && n < take {
			take = n
		}
	}
	list := l.Allowances(now, from, prev, int(take))
	return GetAllowancesResult{Ok: &list}
}
