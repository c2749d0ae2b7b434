// Package durable writes the files that a crash must neither lose nor tear: key shares, join markers, what a validator has signed. Who uses it writes
// through an FS, which is OS but in tests that let disks fail (package baddisk).
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// FS is what durable files need of a file system.
type FS interface {
	// OpenFile opens a file for writing, as os.OpenFile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes durable which names a directory has.
	SyncDir(name string) error
}

// File is a file that is written.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// OS is the operating system's FS.
type OS struct{}

// OpenFile implements FS.
func (OS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir implements FS.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Unfinished is the suffix of a file that Replace was writing when the machine stopped. Nobody was promised anything about it.
const Unfinished = ".tmp"

// Replace gives a file a content. After a crash it has the old one or the new one; after an error, too, and which is not known before it is read.
func Replace(fsys FS, path string, content []byte, perm fs.FileMode) error {
	tmp := path + Unfinished
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, fsys.Remove(tmp))
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// Create makes a file that is not there yet (fs.ErrExist) out of what write writes to it. After an error there is none; after a crash there may be a part.
func Create(path string, perm fs.FileMode, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return OS{}.SyncDir(filepath.Dir(path))
}

// Journal is a file that grows by records.
type Journal struct {
	mu     sync.Mutex
	file   File
	failed error
}

// OpenJournal opens an existing file, whose last record is whole.
func OpenJournal(fsys FS, path string) (*Journal, error) {
	f, err := fsys.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	return &Journal{file: f}, nil
}

// ErrFailed says that a journal takes no more since an earlier record failed: that one may stand there in part, and what a disk
// failed to sync once it does not sync again.
var ErrFailed = errors.New("the journal failed before")

// Append writes a record and syncs it. After an error the record may be there, in part too, and the journal takes no more until it is opened again by
// somebody who has cut off what is torn.
func (j *Journal) Append(record []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, j.failed)
	}
	_, err := j.file.Write(record)
	if err == nil {
		err = j.file.Sync()
	}
	j.failed = err
	return err
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }
