package state

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"fusion/internal/pebblelog"
)

// failure is why a database cannot go on, once it cannot.
type failure struct {
	mu     sync.Mutex
	err    error
	broken chan struct{} // closed with the failure
	stuck  chan struct{} // closed when something of Pebble's waits for ever, so that closing would as well
	once   sync.Once
}

func newFailure() failure {
	return failure{broken: make(chan struct{}), stuck: make(chan struct{})}
}

func (f *failure) setStuck() { f.once.Do(func() { close(f.stuck) }) }

func (f *failure) isStuck() bool {
	select {
	case <-f.stuck:
		return true
	default:
		return false
	}
}

// Failure returns why the database cannot go on, or nil.
func (db *DB) Failure() error {
	db.failure.mu.Lock()
	defer db.failure.mu.Unlock()
	return db.failure.err
}

// fail notes the first failure and returns it. It may be called in Pebble's own goroutines, under its locks.
func (db *DB) fail(doing string, err error) error {
	f := &db.failure
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = db.broke(doing, err)
		close(f.broken)
		if db.opened.Load() { // otherwise Open says it
			go db.opts.Failed(f.err)
		}
	}
	return f.err
}

// broke explains an error: where, and what to do about it.
func (db *DB) broke(doing string, err error) error {
	var errno syscall.Errno
	step := "make room on the disk or replace it, then start again"
	switch {
	case errors.Is(err, ErrFormat), errors.Is(err, ErrNetwork): // they say it
		return fmt.Errorf("state database %s: %s: %w", db.dir, doing, err)
	case pebble.IsCorruptionError(err), errors.Is(err, ErrCorrupt), errors.Is(err, fs.ErrNotExist):
		step = "check disk and memory, then replace the state with fusion replica recover"
	case errors.As(err, &errno) && (errno == syscall.EAGAIN || errno == syscall.EACCES):
		step = "another process may hold it, or it is not this user's"
	}
	return fmt.Errorf("state database %s: %s: %w; %s", db.dir, doing, err, step)
}

// write does something that makes Pebble write, and gives up waiting for it when the database fails: Pebble retries for ever what it cannot flush.
func (db *DB) write(doing string, do func() error) error {
	if err := db.Failure(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- caught(do) }()
	select {
	case err := <-done:
		if err != nil {
			return db.fail(doing, err)
		}
		return nil
	case <-db.failure.broken:
		db.failure.setStuck()
		return db.Failure()
	}
}

// close closes Pebble, unless that would take for ever; then what was committed is on disk all the same.
func (db *DB) close() error {
	done := make(chan error, 1)
	go func() {
		db.looking.Lock()
		defer db.looking.Unlock()
		db.closed = true
		done <- caught(db.p.Close)
	}()
	select {
	case err := <-done:
		return err
	case <-db.failure.stuck:
		return nil
	}
}

// caught returns what do panics with as an error.
func caught(do func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	return do()
}

// backgroundError hears of a flush or a compaction that failed.
func (db *DB) backgroundError(err error) { db.end(db.fail("in the background", err)) }

// logger stops the database, not the program, where Pebble cannot go on.
type logger struct {
	pebblelog.Logger
	db *DB
}

// Fatalf does not return, as Pebble expects.
func (l logger) Fatalf(format string, args ...any) {
	doing, err := "writing", fmt.Errorf(format, args...)
	for _, a := range args {
		if cause, ok := a.(error); ok { // "pebble: fatal commit error: %v"
			if before, _, _ := strings.Cut(format, "%"); before != "" {
				doing = strings.TrimRight(before, ": ")
			}
			err = cause
		}
	}
	l.db.end(l.db.fail(doing, err))
}

// end ends what Pebble is doing in this goroutine and would do again and again: a caller of ours learns of it by a panic, a goroutine of Pebble's ends.
func (db *DB) end(err error) {
	db.failure.setStuck()
	if ours() {
		panic(err)
	}
	runtime.Goexit()
}

// ours tells whether Pebble was called in this goroutine, which is then no goroutine of its own.
func ours() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)]) // above Fatalf or backgroundError
	for {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, "fusion/") {
			return true
		}
		if !more {
			return false
		}
	}
}
