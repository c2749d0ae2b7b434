// Package baddisk is a disk for tests of durable files, which fills up, fails to sync and loses power. Files lie in a directory of the test, where anybody
// may read them.
package baddisk

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"

	"fusion/internal/durable"
)

// Fault is a way to fail.
type Fault int

// The faults. Each comes once, with the operation of its kind that Disk.After says.
const (
	None    Fault = iota
	Full          // a write finds room for a part only; others free some afterwards
	BadSync       // a sync fails; what it was for is lost, and later syncs do not bring it back
	NoName        // a file cannot be created or renamed
	Power         // nothing works any more
	Faults        // how many there are
)

// inode is a file's content: what a reader sees now, and what is there after a crash.
type inode struct {
	now, synced []byte
	lost        [][2]int // what a failed sync forgot
}

// Disk is a durable.FS.
type Disk struct {
	Fault Fault
	After int // operations of its kind until it comes
	Rand  *rand.Rand

	mu    sync.Mutex
	came  bool
	names map[string]*inode
	kept  map[string]*inode // names after a crash
}

var _ durable.FS = (*Disk)(nil)

// Break has the next operation of its kind fail.
func (d *Disk) Break(fault Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Fault, d.After = fault, 1
}

// Came tells whether the fault has come.
func (d *Disk) Came() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.came
}

var errPower = errors.New("no power")

// due counts an operation and returns an error if it is to fail.
func (d *Disk) due(kind Fault, err error) error {
	if d.Fault == Power {
		if d.After--; d.After < 0 {
			d.came = true
			return errPower
		}
		return nil
	}
	if d.Fault == kind {
		if d.After--; d.After == 0 {
			d.came = true
			return err
		}
	}
	return nil
}

// node finds a file, which may have been there before the disk was.
func (d *Disk) node(name string) *inode {
	if d.names == nil {
		d.names, d.kept = map[string]*inode{}, map[string]*inode{}
	}
	if d.names[name] == nil {
		if b, err := os.ReadFile(name); err == nil {
			n := &inode{now: b, synced: b}
			d.names[name], d.kept[name] = n, n
		}
	}
	return d.names[name]
}

// OpenFile implements durable.FS.
func (d *Disk) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.node(name)
	if err := d.due(NoName, syscall.EDQUOT); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	if n == nil {
		n = &inode{}
		d.names[name] = n
	} else if flag&os.O_TRUNC != 0 {
		n.now = nil
	}
	return &file{d, n, f}, nil
}

// Rename implements durable.FS.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.node(to)
	n := d.node(from)
	if err := d.due(NoName, syscall.EDQUOT); err != nil {
		return err
	}
	d.names[to] = n
	delete(d.names, from)
	return os.Rename(from, to)
}

// Remove implements durable.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.node(name)
	if err := d.due(Power, errPower); err != nil {
		return err
	}
	delete(d.names, name)
	return os.Remove(name)
}

// SyncDir implements durable.FS.
func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.node(dir)
	if err := d.due(BadSync, syscall.EIO); err != nil {
		return err
	}
	d.kept = maps.Clone(d.names)
	return nil
}

type file struct {
	d *Disk
	n *inode
	f *os.File
}

func (f *file) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.due(Full, syscall.ENOSPC)
	if err != nil && len(b) > 0 {
		b = b[:f.d.Rand.IntN(len(b))]
	}
	f.n.now = append(f.n.now[:len(f.n.now):len(f.n.now)], b...)
	n, werr := f.f.Write(b)
	return n, errors.Join(err, werr)
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.due(BadSync, syscall.EIO); err != nil {
		f.n.lost = append(f.n.lost, [2]int{min(len(f.n.synced), len(f.n.now)), len(f.n.now)})
		return err
	}
	f.n.synced = append([]byte{}, f.n.now...)
	for _, l := range f.n.lost {
		clear(f.n.synced[l[0]:l[1]])
	}
	return nil
}

func (f *file) Close() error { return f.f.Close() }

// Crash leaves on the disk what is there after the power was cut: what was synced, and by chance some of what was not. The disk is at its end.
func (d *Disk) Crash() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := maps.Clone(d.kept)
	maps.Copy(all, d.names)
	for name := range all {
		n := d.kept[name]
		if d.Rand.IntN(2) == 0 {
			n = d.names[name]
		}
		if n == nil {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		content := n.synced
		if len(n.now) > len(content) {
			content = append(content[:len(content):len(content)], n.now[len(content):len(content)+d.Rand.IntN(len(n.now)-len(content)+1)]...)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
