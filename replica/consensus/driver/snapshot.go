package driver

import "errors"

// Snapshot describes an image of the App's state, from which a replica can start instead of executing all blocks.
type Snapshot struct {
	Height   uint64
	Format   uint32
	Chunks   uint32
	Hash     []byte // names the image: replicas with equal images offer equal hashes
	Metadata []byte // what the App needs to check chunks
}

// Snapshots is an App that offers images. Its methods may be called at any time, from any goroutine.
type Snapshots interface {
	// Snapshots lists the images, ten at most.
	Snapshots() []Snapshot
	// SnapshotChunk returns a chunk, or nil where there is none.
	SnapshotChunk(height uint64, format, chunk uint32) ([]byte, error)
}

// Errors by which a Restorer says who is at fault. Any other error ends the attempt to restore.
var (
	// ErrSnapshotFormat says that images of this format cannot be read here.
	ErrSnapshotFormat = errors.New("unknown format of snapshots")
	// ErrSnapshot says that the image is invalid: it is given up, and whoever sent any of it is not asked again.
	ErrSnapshot = errors.New("the snapshot is refused")
	// ErrSnapshotChunk says that this chunk does not belong to the image: it is asked of others, and its sender not again.
	ErrSnapshotChunk = errors.New("the chunk is refused")
)

// Restorer takes an image. Its methods are called one after the other.
type Restorer interface {
	// Offer begins to restore an image, and forgets the one before. The state must turn out to have the hash, which is trusted.
	Offer(s Snapshot, appHash []byte) error
	// Chunk takes the next chunk. With the last one the state is complete, checked and durable, or the image is refused.
	Chunk(index uint32, chunk []byte) error
}
