package watch

import (
	"github.com/cockroachdb/pebble/v2/vfs"

	"fusion/exchange/reader"
	"fusion/ic/principal"
)

// OnDisk puts the state on a file system of the test's and has it told of each step.
func (c *Config) OnDisk(fs vfs.FS, fault func(step string)) { c.fs, c.fault = fs, fault }

// Queued is how many events wait.
func (w *Watcher) Queued() int {
	w.queue.mu.Lock()
	defer w.queue.mu.Unlock()
	return len(w.queue.items)
}

// Cursor is how far a ledger was read.
func (w *Watcher) Cursor(ledger principal.Principal) (reader.Cursor, bool, error) {
	return w.store.cursor(ledger)
}

// SetCursor forgets or invents how far a ledger was read.
func (w *Watcher) SetCursor(ledger principal.Principal, c reader.Cursor) error {
	b := w.store.db.NewBatch()
	if err := setCursor(b, ledger, c); err != nil {
		return err
	}
	return b.Commit(nil)
}
