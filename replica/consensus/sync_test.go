package consensus

import (
	"bytes"
	"context"
	stded25519 "crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fusion/internal/freeport"
	"fusion/replica/consensus/driver"
)

// imaged is an app that offers an image of its state at one height: the hash of the state in pieces.
type imaged struct {
	*app
	at     uint64
	mu     sync.Mutex
	offers []driver.Snapshot
	bad    bool // it sends wrong chunks
	served int
}

const (
	imageFormat = 1
	imageChunks = 4
)

func chunksOf(hash []byte) (out [][]byte) {
	for i := range imageChunks {
		out = append(out, hash[i*len(hash)/imageChunks:(i+1)*len(hash)/imageChunks])
	}
	return out
}

// imageOf is an image whose chunks are checked by their hashes.
func imageOf(height uint64, hash []byte) driver.Snapshot {
	var meta []byte
	for _, c := range chunksOf(hash) {
		h := sha256.Sum256(c)
		meta = append(meta, h[:]...)
	}
	name := sha256.Sum256(meta)
	return driver.Snapshot{Height: height, Format: imageFormat, Chunks: imageChunks, Hash: name[:], Metadata: meta}
}

func (a *imaged) Commit() (uint64, error) {
	if _, err := a.app.Commit(); err != nil {
		return 0, err
	}
	a.state(func() {
		if a.height == a.at {
			a.mu.Lock()
			a.offers = append(a.offers, imageOf(a.height, a.hash))
			a.mu.Unlock()
		}
	})
	if a.height > a.at { // nobody could execute the blocks from the first one
		return a.at, nil
	}
	return 0, nil
}

func (a *imaged) offer(s driver.Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.offers = append(a.offers, s)
}

func (a *imaged) Snapshots() []driver.Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]driver.Snapshot(nil), a.offers...)
}

func (a *imaged) SnapshotChunk(height uint64, format, chunk uint32) (out []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.served++
	a.state(func() {
		if hash := a.log[height]; hash != nil && format == imageFormat && chunk < imageChunks {
			out = bytes.Clone(chunksOf(hash)[chunk])
		}
	})
	for _, o := range a.offers { // a forged image has chunks that fit it
		if o.Height == height && bytes.Equal(o.Hash, forgedImage(height).Hash) {
			out = bytes.Clone(chunksOf(forgedHash)[chunk])
		}
	}
	if out != nil && a.bad {
		out[0] ^= 1
	}
	return out, nil
}

var forgedHash = bytes.Repeat([]byte{7}, 32)

func forgedImage(height uint64) driver.Snapshot { return imageOf(height, forgedHash) }

// restorer takes an image into an app.
type restorer struct {
	app     *app
	offered driver.Snapshot
	want    []byte
	got     []byte
	refused map[string]int
}

func (r *restorer) Offer(s driver.Snapshot, appHash []byte) error {
	r.offered, r.want, r.got = s, bytes.Clone(appHash), nil
	switch {
	case s.Format != imageFormat:
		return driver.ErrSnapshotFormat
	case s.Chunks != imageChunks || len(s.Metadata) != imageChunks*32:
		r.refused["offer"]++
		return driver.ErrSnapshot
	}
	return nil
}

func (r *restorer) Chunk(i uint32, chunk []byte) error {
	if h := sha256.Sum256(chunk); !bytes.Equal(h[:], r.offered.Metadata[32*i:32*i+32]) {
		r.refused["chunk"]++
		return fmt.Errorf("%w: %d", driver.ErrSnapshotChunk, i)
	}
	if r.got = append(r.got, chunk...); i+1 < imageChunks {
		return nil
	}
	if !bytes.Equal(r.got, r.want) {
		r.refused["image"]++
		return fmt.Errorf("%w: it is of another state", driver.ErrSnapshot)
	}
	r.app.state(func() { r.app.height, r.app.hash = r.offered.Height, r.got })
	return nil
}

// A network of four makes images and forgets its first blocks. Then an observer joins, and a wiped member comes back, although one peer
// sends wrong chunks, one offers images of states that never were, and one offers nonsense.
func TestSync(t *testing.T) {
	noLeaks(t)
	const at = 12
	cfgs := testConfigs(t, 4)
	var apps []*imaged
	var nodes []*Node
	for i := range cfgs {
		apps = append(apps, &imaged{app: newApp(), at: at})
		nodes = append(nodes, start(t, cfgs[i], apps[i]))
	}
	height := func(n *Node, h uint64) func() bool { return func() bool { return n.Height() >= h } }
	wait(t, "blocks", height(nodes[3], at+6))
	apps[0].mu.Lock()
	apps[0].bad = true
	apps[0].mu.Unlock()
	apps[2].offer(forgedImage(at + 3)) // newer than the others, so it is tried first
	apps[1].offer(driver.Snapshot{Height: at + 4, Format: 9, Chunks: 1, Hash: []byte("h")})
	apps[1].offer(driver.Snapshot{Height: at + 5, Format: imageFormat, Chunks: 77, Hash: []byte("h")})

	same := func(a *app, from uint64) {
		t.Helper()
		a.state(func() {
			apps[0].state(func() {
				n := 0
				for h, hash := range a.log {
					if h <= from {
						t.Errorf("block %d was executed again", h)
					}
					if n++; !bytes.Equal(hash, apps[0].log[h]) {
						t.Errorf("block %d differs", h)
					}
				}
				if n == 0 {
					t.Error("no block was executed")
				}
			})
		})
	}

	// The observer.
	addr, err := freeport.Addr(1)
	if err != nil {
		t.Fatal(err)
	}
	observer := cfgs[0]
	observer.Home, observer.Self, observer.Listen = t.TempDir(), 4, addr[0]
	observer.SignState = filepath.Join(t.TempDir(), "sign-state.json")
	observer.NodeKey, observer.ValidatorKey = testKey("node", 4), testKey("validator", 4)
	for _, m := range observer.Members {
		observer.Peers = append(observer.Peers, Peer{m.NodeKey, m.Addr})
	}
	observer.Peers = append(observer.Peers, Peer{observer.NodeKey.Public().(stded25519.PublicKey), addr[0]})
	shortly, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := Sync(shortly, observer, &restorer{app: newApp()}, SyncOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stranger: %v", err)
	}
	for _, n := range nodes {
		if err := n.SetPeers(observer.Peers); err != nil {
			t.Fatal(err)
		}
	}
	into := &restorer{app: newApp(), refused: map[string]int{}}
	got, err := Sync(t.Context(), observer, into, SyncOptions{Progress: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	if got != at {
		t.Errorf("block %d was restored, want %d", got, at)
	}
	if into.refused["image"] != 1 || into.refused["offer"] != 1 {
		t.Errorf("refused: %v", into.refused)
	}
	if _, err := Sync(t.Context(), observer, into, SyncOptions{}); !errors.Is(err, ErrHasBlocks) {
		t.Errorf("a sync over blocks: %v", err)
	}
	five := start(t, observer, into.app)
	wait(t, "the observer to follow", height(five, at+12))
	same(into.app, at)

	// A member that lost all but its sign state. Without that it must not come back.
	apps[0].mu.Lock()
	apps[0].bad = false
	apps[0].mu.Unlock()
	for _, a := range apps[1:3] {
		a.mu.Lock()
		a.offers = a.offers[:1]
		a.mu.Unlock()
	}
	if err := nodes[3].Stop(); err != nil {
		t.Fatal(err)
	}
	wiped := cfgs[3]
	wiped.Home, wiped.SignState = t.TempDir(), filepath.Join(cfgs[3].Home, "sign-state.json")
	again := &restorer{app: newApp(), refused: map[string]int{}}
	lost := wiped
	lost.SignState = filepath.Join(t.TempDir(), "sign-state.json")
	if _, err := Sync(t.Context(), lost, again, SyncOptions{}); !errors.Is(err, ErrSignState) {
		t.Errorf("without a sign state: %v", err)
	}
	if _, err := os.Stat(filepath.Join(lost.Home, "data", "blockstore.db")); err == nil {
		t.Error("stores were made for a validator without its sign state")
	}
	again = &restorer{app: newApp(), refused: map[string]int{}}
	if _, err := Sync(t.Context(), wiped, again, SyncOptions{Progress: t.Logf}); err != nil {
		t.Fatal(err)
	}
	// It crashes before its first block, and starts again.
	first, err := Start(t.Context(), wiped, again.app)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	back := start(t, wiped, again.app)
	wait(t, "the member to follow", height(back, five.Height()+3))
	// Without another member, blocks need its vote.
	if err := nodes[2].Stop(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the member to vote", height(nodes[0], nodes[0].Height()+5))
	same(again.app, at)
	if apps[0].served+apps[1].served == 0 {
		t.Error("nobody asked a liar, so nothing was shown")
	}
}
