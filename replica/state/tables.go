package state

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A block whose bulk is large is committed as tables. Through the log its writes would reach the disk twice, and be searched as a list until they are
// flushed. Pebble takes all tables of one call in at once: after a power cut all of the block is there, or nothing. So all that it writes is in
// them, the head too.

const (
	// tablesFrom is the size of a bulk that becomes tables. What is smaller is soon flushed with others.
	tablesFrom = 16 << 20
	// tableBytes is the size of a table, before it is compressed.
	tableBytes = 32 << 20
	// newTable starts the names of tables that the database has not taken in. Pebble knows no such names, and Open removes what a crash left.
	newTable = "block-"
)

// op is a write: a key of the database, and its value unless it is deleted.
type op struct {
	key, value []byte
	gone       bool
}

// ops calls each for the operations of a batch, in their order, until it fails.
func ops(in batchrepr.Reader, each func(op) error) error {
	for {
		kind, key, value, ok, err := in.Next()
		if err != nil || !ok {
			return err
		}
		switch kind {
		case pebble.InternalKeyKindSet, pebble.InternalKeyKindDelete:
		default:
			return fmt.Errorf("a batch holds an operation of kind %v", kind)
		}
		if err := each(op{key, value, kind == pebble.InternalKeyKindDelete}); err != nil {
			return err
		}
	}
}

// latest is what a batch leaves of each key, in the order of the keys.
func latest(batch *pebble.Batch) ([]op, error) {
	last := map[string]op{}
	if err := ops(batch.Reader(), func(o op) error { last[string(o.key)] = o; return nil }); err != nil {
		return nil, err
	}
	out := make([]op, 0, len(last))
	for _, o := range last {
		out = append(out, o)
	}
	slices.SortFunc(out, func(x, y op) int { return bytes.Compare(x.key, y.key) })
	return out, nil
}

// stretch is a run with its operations.
type stretch struct {
	run
	ops batchrepr.Reader
}

// stretches are the runs in the order of their keys, or none where keys may stand in several of them.
func (k *bulk) stretches() []stretch {
	if k.joined {
		return nil
	}
	out := make([]stretch, len(k.runs))
	end := len(k.ops)
	for i, r := range slices.Backward(k.runs) {
		out[i] = stretch{r, k.ops[r.at:end]}
		end = r.at
	}
	slices.SortFunc(out, func(x, y stretch) int { return bytes.Compare(x.first, y.first) })
	for i := range out[1:] {
		if bytes.Compare(out[i].last, out[i+1].first) >= 0 {
			return nil
		}
	}
	return out
}

// commitTables makes what a batch and, after it, a bulk of these stretches wrote durable, all or nothing.
func (db *DB) commitTables(batch *pebble.Batch, list []stretch) error {
	beside, err := latest(batch)
	if err != nil {
		return err
	}
	names, failed := make([][]string, len(list)), make([]error, len(list))
	var wg sync.WaitGroup
	for i, s := range list {
		mine := beside
		if i+1 < len(list) {
			next := append([]byte{replicated}, list[i+1].first...)
			n, _ := slices.BinarySearchFunc(beside, next, func(o op, next []byte) int { return bytes.Compare(o.key, next) })
			mine, beside = beside[:n], beside[n:]
		}
		wg.Go(func() {
			w := tableWriter{db: db, part: i}
			failed[i] = caught(func() error { return w.merge(mine, s.ops) })
			names[i] = w.names
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return db.p.Ingest(context.Background(), slices.Concat(names...))
}

// tableWriter writes tables, each when the one before is full.
type tableWriter struct {
	db    *DB
	part  int
	names []string
	table *sstable.Writer
	size  int
}

// merge writes two lists of ascending keys. Of a key in both the second counts.
func (w *tableWriter) merge(first []op, second batchrepr.Reader) error {
	err := ops(second, func(o op) error {
		for len(first) > 0 {
			order := bytes.Compare(first[0].key, o.key)
			if order > 0 {
				break
			}
			if order < 0 {
				if err := w.add(first[0]); err != nil {
					return err
				}
			}
			first = first[1:]
		}
		return w.add(o)
	})
	for ; err == nil && len(first) > 0; first = first[1:] {
		err = w.add(first[0])
	}
	return errors.Join(err, w.end())
}

func (w *tableWriter) add(o op) error {
	if w.size >= tableBytes {
		if err := w.end(); err != nil {
			return err
		}
	}
	if w.table == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	if w.size += len(o.key) + len(o.value); o.gone {
		return w.table.Delete(o.key)
	}
	return w.table.Set(o.key, o.value)
}

func (w *tableWriter) begin() error {
	fs := w.db.opts.FS
	name := fs.PathJoin(w.db.dir, fmt.Sprintf("%s%d-%d", newTable, w.part, len(w.names)))
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.names = append(w.names, name)
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: w.db.tables.BytesPerSync})
	w.table = sstable.NewWriter(objstorageprovider.NewFileWritable(newTableFile(f)), w.db.tables.MakeWriterOptions(0, w.db.p.TableFormat()))
	return nil
}

// end syncs and closes the table that is written.
func (w *tableWriter) end() error {
	t := w.table
	if w.table, w.size = nil, 0; t == nil {
		return nil
	}
	return t.Close()
}

// removeNewTables removes what a crash left of tables that the database did not take in.
func removeNewTables(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	for _, name := range names {
		if strings.HasPrefix(name, newTable) {
			err = errors.Join(err, fs.Remove(fs.PathJoin(dir, name)))
		}
	}
	return err
}

// tableFile is a table that is written. Pebble writes a few KiB at a time, and the system takes longer over many small writes than over the bytes.
type tableFile struct {
	vfs.File
	w *bufio.Writer
}

// writtenAtOnce is how many bytes of a table are.
const writtenAtOnce = 256 << 10

const tableSuffix = ".sst"

func newTableFile(f vfs.File) vfs.File { return &tableFile{f, bufio.NewWriterSize(f, writtenAtOnce)} }

// Write implements vfs.File.
func (f *tableFile) Write(b []byte) (int, error) { return f.w.Write(b) }

// Sync implements vfs.File.
func (f *tableFile) Sync() error {
	if err := f.w.Flush(); err != nil {
		return err
	}
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *tableFile) SyncData() error {
	if err := f.w.Flush(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// SyncTo implements vfs.File.
func (f *tableFile) SyncTo(length int64) (bool, error) {
	if err := f.w.Flush(); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}

// Close implements vfs.File.
func (f *tableFile) Close() error { return errors.Join(f.w.Flush(), f.File.Close()) }
