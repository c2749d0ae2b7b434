package icrc

import (
	"fusion/cdk"
	"fusion/ic/principal"
)

// SetWindow lowers the number of transactions that are remembered.
func (l *Ledger) SetWindow(n uint64) { l.window = n }

// Observed is Canister with a function that runs at the beginning of each message of a hand-over to an archive.
func Observed(observe func(string)) func(*cdk.Canister) {
	return func(c *cdk.Canister) { register(c, observe) }
}

// Forget is what a hand-over of the blocks before end to an archive does.
func (l *Ledger) Forget(id principal.Principal, end uint64) error {
	if len(l.arch.List) == 0 {
		l.arch.Next = &pendingArchive{ID: &id}
		l.archiveInstalled()
	}
	return l.forget(end)
}
