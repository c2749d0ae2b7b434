package icrc

// SetWindow lowers the number of transactions that are remembered.
func (l *Ledger) SetWindow(n uint64) { l.window = n }
