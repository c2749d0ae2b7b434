package ledger

import (
	"fmt"
	"slices"

	"fusion/cdk"
	"fusion/ic/candid"
	"fusion/ic/principal"
)

// The types of get_transactions, as far as an audit needs them.
type (
	// GetTransactionsArgs is its argument.
	GetTransactionsArgs struct {
		Start  candid.Nat `candid:"start"`
		Length candid.Nat `candid:"length"`
	}
	// Moved is a mint or a burn.
	Moved struct {
		Amount        candid.Nat `candid:"amount"`
		CreatedAtTime *uint64    `candid:"created_at_time"`
	}
	// Transaction is a block's transaction; neither field is set for a transfer between users.
	Transaction struct {
		Mint *Moved `candid:"mint"`
		Burn *Moved `candid:"burn"`
	}
	// Archived is a range of transactions and the method of an archive that has them.
	Archived struct {
		Start    candid.Nat  `candid:"start"`
		Length   candid.Nat  `candid:"length"`
		Callback candid.Func `candid:"callback"`
	}
	// GetTransactionsResponse is its answer.
	GetTransactionsResponse struct {
		LogLength    candid.Nat    `candid:"log_length"`
		FirstIndex   candid.Nat    `candid:"first_index"`
		Transactions []Transaction `candid:"transactions"`
		Archived     []Archived    `candid:"archived_transactions"`
	}
	// TransactionRange is the answer of an archive.
	TransactionRange struct {
		Transactions []Transaction `candid:"transactions"`
	}
	getArchivesArgs struct {
		From *principal.Principal `candid:"from"`
	}
	archiveInfo struct {
		CanisterID principal.Principal `candid:"canister_id"`
	}
)

// Page is what a ledger has from a block on: some transactions without a gap, and how many there are in all.
type Page struct {
	Transactions []Transaction
	Length       uint64
}

// Read asks a ledger for up to count transactions from block next on, and its archives for those that are there; only canisters that the ledger lists
// in icrc3_get_archives are asked. A page without transactions means that next is the length. cleanup runs if a callback traps.
func Read(c *cdk.Canister, ledger principal.Principal, next, count uint64, cleanup func(), done func(Page, error)) {
	call := func(to principal.Principal, method string, arg any) *cdk.Call {
		return c.Call(to, method, arg).OnCleanup(cleanup)
	}
	args := GetTransactionsArgs{candid.NatFromUint64(next), candid.NatFromUint64(count)}
	cdk.Then(call(ledger, "get_transactions", args), func(r GetTransactionsResponse, err error) {
		length, ok := r.LogLength.Uint64()
		switch {
		case err != nil:
			done(Page{}, err)
			return
		case !ok || length < next:
			done(Page{}, fmt.Errorf("ledger %s has %s blocks, %d of it were read", ledger, r.LogLength, next))
			return
		}
		for _, a := range r.Archived {
			start, ok1 := a.Start.Uint64()
			n, ok2 := a.Length.Uint64()
			if !ok1 || !ok2 || start > next || next-start >= n {
				continue
			}
			args.Length = candid.NatFromUint64(min(count, n-(next-start)))
			cdk.Then(call(ledger, "icrc3_get_archives", getArchivesArgs{}), func(list []archiveInfo, err error) {
				at := a.Callback.Principal
				if err == nil && !slices.ContainsFunc(list, func(l archiveInfo) bool { return l.CanisterID == at }) {
					err = fmt.Errorf("ledger %s sends to %s for block %d, which is not among its archives", ledger, at, next)
				}
				if err != nil {
					done(Page{}, err)
					return
				}
				cdk.Then(call(at, a.Callback.Method, args), func(t TransactionRange, err error) {
					if err == nil && len(t.Transactions) == 0 {
						err = fmt.Errorf("archive %s of ledger %s has no block %d", at, ledger, next)
					}
					if err == nil && uint64(len(t.Transactions)) > count {
						err = fmt.Errorf("archive %s answers with %d transactions, %d were asked for", at, len(t.Transactions), count)
					}
					done(Page{t.Transactions, length}, err)
				})
			})
			return
		}
		first, ok := r.FirstIndex.Uint64()
		if n := uint64(len(r.Transactions)); next < length && (n == 0 || !ok || first != next) || n > length-next {
			done(Page{}, fmt.Errorf("ledger %s answers with %d transactions from %s on, asked for %d of %d", ledger, n, r.FirstIndex, next, length))
			return
		}
		done(Page{r.Transactions, length}, nil)
	})
}
