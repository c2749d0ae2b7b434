package state

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS is the file system of a database whose log must not fail under Pebble: where that cannot begin or end a log it panics between locks, which
// ends the program beyond all recovery. So the database fails first, and the goroutine of the write goes no further.
type logFS struct {
	vfs.FS
	db *DB
}

const logSuffix = ".log"

// passed returns when a log's operation may be reported to Pebble. While the database is being opened all may.
func (fs *logFS) passed(doing string, err error) error {
	if err != nil && fs.db.opened.Load() {
		fs.db.failure.setStuck()
		_ = fs.db.fail(doing, err)
		select {}
	}
	return err
}

// Create implements vfs.FS.
func (fs *logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return fs.log(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (fs *logFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, category)
	return fs.log(name, f, err)
}

// OpenDir implements vfs.FS: a log begins with a sync of its directory.
func (fs *logFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &logFile{f, name, fs}, nil
}

func (fs *logFS) log(name string, f vfs.File, err error) (vfs.File, error) {
	if !strings.HasSuffix(name, logSuffix) {
		if err == nil && strings.HasSuffix(name, tableSuffix) {
			f = newTableFile(f)
		}
		return f, err
	}
	if err := fs.passed("creating "+name, err); err != nil {
		return nil, err
	}
	return &logFile{f, name, fs}, nil
}

// logFile is a log or the directory with the logs.
type logFile struct {
	vfs.File
	name string
	fs   *logFS
}

// Write implements vfs.File.
func (f *logFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, f.fs.passed("writing "+f.name, err)
}

// Sync implements vfs.File.
func (f *logFile) Sync() error { return f.fs.passed("syncing "+f.name, f.File.Sync()) }

// SyncData implements vfs.File.
func (f *logFile) SyncData() error { return f.fs.passed("syncing "+f.name, f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f *logFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.passed("syncing "+f.name, err)
}

// Preallocate implements vfs.File.
func (f *logFile) Preallocate(offset, length int64) error {
	return f.fs.passed("growing "+f.name, f.File.Preallocate(offset, length))
}

// Close implements vfs.File.
func (f *logFile) Close() error { return f.fs.passed("closing "+f.name, f.File.Close()) }
