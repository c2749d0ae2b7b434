package cketh

import (
	"fusion/cdk"
	"fusion/ckledger/cketh/core"
	"fusion/ckledger/minting/ledger"
	"fusion/ic/principal"
)

type (
	transferArg      = ledger.TransferArg
	transferFromArgs = ledger.TransferFromArgs
	transferResult   = ledger.TransferResult
	outcome          = ledger.Outcome
)

// What one attempt at a transfer tells about it.
const (
	done       = ledger.Done
	notMoved   = ledger.NotMoved
	neverMoved = ledger.NeverMoved
	tooOld     = ledger.TooOld
	noAnswer   = ledger.NoAnswer
)

// transfer makes a transfer call to the ledger of an asset as a task and gives its outcome to fn, having noted when the task may run again.
func (m *minter) transfer(t core.Task, a core.Asset, method string, arg any, cleanup func(), fn func(outcome)) {
	m.tasks.Start(t)
	call := m.c.Call(principal.MustFromBytes(m.state.LedgerOf(a)), method, arg).OnCleanup(func() {
		m.tasks.Stop(t)
		if cleanup != nil {
			cleanup()
		}
	})
	cdk.Then(call, func(r transferResult, err error) {
		o := ledger.OutcomeOf(r, err)
		m.tasks.Settle(t, o.Verdict == done || o.Verdict == tooOld, m.c.Time())
		fn(o)
	})
}
