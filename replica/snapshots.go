package replica

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"fusion/chainkey/bls"
	"fusion/replica/certify"
	"fusion/replica/consensus/driver"
	"fusion/replica/genesis"
	"fusion/replica/machine"
	"fusion/replica/snapshot"
)

// snapshots makes images of the state in the background, for replicas that join or come back.
type snapshots struct {
	r     *Replica
	store *snapshot.Store
	every uint64 // blocks; 0 makes none
	busy  atomic.Bool
	mu    sync.Mutex
	certs map[uint64]snapshot.Certificate // of images that may still be in the making
	hash  map[uint64][]byte               // app hashes of the heights whose states are to be signed
	wg    sync.WaitGroup
	// newest is the size of the newest image in bytes.
	newest atomic.Int64
}

const (
	snapshotsDir  = "snapshots"
	snapshotsKept = 2
	// maxSnapshotLag is how old a block may be whose state is worth an image.
	maxSnapshotLag = time.Minute
)

func newSnapshots(r *Replica) (*snapshots, error) {
	store, err := snapshot.Open(filepath.Join(r.cfg.Dir, snapshotsDir), r.doc.Hash(), snapshotsKept)
	if err != nil {
		return nil, err
	}
	s := &snapshots{r: r, store: store, certs: map[uint64]snapshot.Certificate{}, hash: map[uint64][]byte{}, every: uint64(max(r.cfg.SnapshotEvery, 0))}
	for _, m := range store.List() {
		s.made(m.Height)
	}
	return s, nil
}

// made shows the newest snapshot.
func (s *snapshots) made(height uint64) (size int64) {
	size = s.store.Size(height)
	s.newest.Store(size)
	s.r.metrics.snapshot(height, size)
	return size
}

// size is the newest snapshot's, in bytes, 0 before the first.
func (s *snapshots) size() int64 { return s.newest.Load() }

// close waits until none is in the making; the replica's context has ended.
func (s *snapshots) close() error { s.wg.Wait(); return nil }

// committed takes a view of the state when an image is due. It is called in the consensus goroutine, so that the view is of this very block; all
// replicas make theirs at the same heights, so that a joiner can fetch from all.
func (s *snapshots) committed(v *machine.View) {
	if s.every == 0 || v.Group == nil || v.Height%s.every != 0 {
		return
	}
	s.sign(v)
	if !s.busy.CompareAndSwap(false, true) {
		return
	}
	if time.Since(time.Unix(0, int64(v.TimeNs))) > maxSnapshotLag { // catching up has the disk for itself
		s.busy.Store(false)
		return
	}
	view := s.r.db.Snapshot()
	s.wg.Go(func() {
		defer s.busy.Store(false)
		started := time.Now()
		m, err := s.store.Make(s.r.ctx, v.Height, view)
		if cerr := view.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			if s.r.ctx.Err() == nil {
				s.r.log.Error("no snapshot of the state; others are asked when a replica joins", "height", v.Height, "err", err)
			}
			return
		}
		s.keep(v.Height)
		took, size := time.Since(started), s.made(v.Height)
		s.r.metrics.snapSeconds.Observe(took.Seconds())
		s.r.log.Info("snapshot of the state", "height", v.Height, "keys", m.Keys, "bytes", m.Bytes, "stored", size, "took", took.Round(time.Millisecond))
	})
}

// sign has the members sign the state of which an image is made, so that a backup of it proves itself.
func (s *snapshots) sign(v *machine.View) {
	s.mu.Lock()
	s.hash[v.Height] = bytes.Clone(v.AppHash[:])
	for h := range s.hash {
		if h+2*s.every < v.Height {
			delete(s.hash, h)
			delete(s.certs, h)
		}
	}
	s.mu.Unlock()
	if err := s.r.cert.Sign(bls.DomainState, v.Height, s.r.machine.Statement(v)); err != nil {
		s.r.fail(fmt.Errorf("signing the state of block %d: %w", v.Height, err))
	}
}

// certified is told that the members have signed a state.
func (s *snapshots) certified(c certify.Certificate) {
	s.mu.Lock()
	hash := s.hash[c.Height]
	if hash != nil {
		s.certs[c.Height] = snapshot.Certificate{AppHash: hash, RootKey: s.r.machine.View().RootKeyDER, Signature: c.Signature}
	}
	s.mu.Unlock()
	if hash != nil {
		s.wg.Go(func() { s.keep(c.Height) })
	}
}

// keep puts a certificate beside its image, when both are there.
func (s *snapshots) keep(height uint64) {
	s.mu.Lock()
	c, ok := s.certs[height]
	s.mu.Unlock()
	if !ok {
		return
	}
	if err := s.store.Certify(height, c); err != nil {
		s.r.log.Error("a snapshot has no certificate and is of no use as a backup", "height", height, "err", err)
	}
}

// retain is the oldest block to keep: local networks keep few, but always those after the oldest image.
func (s *snapshots) retain(v *machine.View) uint64 {
	if s.r.doc.Class != genesis.Local || v.Height <= blocksKept {
		return 0
	}
	retain := v.Height - blocksKept
	if oldest := s.store.Oldest(); oldest > 0 {
		retain = min(retain, oldest)
	}
	return retain
}

// Snapshots implements driver.Snapshots.
func (a *app) Snapshots() (out []driver.Snapshot) {
	for _, m := range a.snapshots.store.List() {
		hash := m.Hash()
		out = append(out, driver.Snapshot{Height: m.Height, Format: snapshot.Format, Chunks: uint32(len(m.Chunks)), Hash: hash[:], Metadata: m.Encode()})
	}
	return out
}

// SnapshotChunk implements driver.Snapshots.
func (a *app) SnapshotChunk(height uint64, format, chunk uint32) ([]byte, error) {
	if format != snapshot.Format {
		return nil, fmt.Errorf("%w: format %d", snapshot.ErrNotFound, format)
	}
	return a.snapshots.store.Chunk(height, int(chunk))
}

var _ driver.Snapshots = (*app)(nil)
