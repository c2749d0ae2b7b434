package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"fusion/chainkey/keystore"
	"fusion/replica/consensus"
	"fusion/replica/consensus/driver"
	"fusion/replica/machine"
	"fusion/replica/members"
	"fusion/replica/snapshot"
	"fusion/replica/state"
)

// ErrUnfinished says that a recovery was begun and not finished.
var ErrUnfinished = errors.New("a recovery of this replica was begun and not finished")

// RecoverOptions say how to Recover.
type RecoverOptions struct {
	// Trust is a block to start from, of which an operator of the network knows the hash. The default trusts the genesis document's nodes.
	Trust *consensus.TrustPoint
	// FromBlocks asks for no snapshot: the replica executes all blocks again when it is started.
	FromBlocks bool
	// Progress is told what happens, a sentence each time. The default does nothing.
	Progress func(format string, args ...any)
	Log      *slog.Logger // the default discards
}

// HasState says whether a replica's directory holds a state, of a replica that ran or recovered.
func (c *Config) HasState() bool {
	_, err := os.Stat(filepath.Join(c.Dir, stateDir))
	return err == nil
}

// A recovery works in a directory of its own. While that is there without the file ready, nothing else has been touched. With it, what it
// holds only has to be put in its place, which can be done any number of times.
const (
	recoverDir = "recover"
	readyFile  = "ready"
)

// Recover replaces the state of a stopped replica, or of one that never ran, by a snapshot from the others, checked against their votes. The
// replica then starts at that block and executes what came after it. Keys, join markers and the sign state stay as they are: what a validator
// has signed, and which ceremonies it has joined, must never be forgotten. The old state is removed only when the new one is complete; a
// recovery that was cut short is begun again. It returns the block.
func Recover(ctx context.Context, cfg Config, opts RecoverOptions) (height uint64, err error) {
	cfg.EnsureDefaults()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Progress == nil {
		opts.Progress = func(string, ...any) {}
	}
	r := &Replica{cfg: cfg, log: opts.Log}
	if err := r.identify(); err != nil {
		return 0, err
	}
	// The key store is held by one process at a time, so the replica does not run.
	keys, err := keystore.Open(cfg.keyStore(r.doc))
	if err != nil {
		return 0, fmt.Errorf("recovering %s: %w (is the replica stopped?)", cfg.Dir, err)
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	if err := r.install(); err != nil && !errors.Is(err, ErrUnfinished) {
		return 0, err
	}
	dir := filepath.Join(cfg.Dir, recoverDir)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700), syncDir(cfg.Dir)); err != nil {
		return 0, fmt.Errorf("recovering %s: %w", cfg.Dir, err)
	}
	if opts.FromBlocks && r.recovered != nil {
		return 0, fmt.Errorf("recovering %s: the subnet was restored from a backup of block %d, and the blocks before are no more: recover from a snapshot, or restore the backup", cfg.Dir, r.recovered.Height)
	}
	if !opts.FromBlocks {
		into := &restorer{dir: filepath.Join(dir, stateDir), network: r.doc.Hash()}
		cc, err := r.consensusConfig(r.foundingPeers())
		if err != nil {
			return 0, err
		}
		cc.Home = filepath.Join(dir, consensusDir)
		height, err = consensus.Sync(ctx, cc, into, consensus.SyncOptions{Trust: opts.Trust, Progress: opts.Progress})
		if err = errors.Join(err, into.close()); err != nil {
			return 0, fmt.Errorf("recovering %s: %w", cfg.Dir, err)
		}
	}
	if err := writeFile(filepath.Join(dir, readyFile), []byte(readyText[opts.FromBlocks]), 0o600); err != nil {
		return 0, err
	}
	return height, r.install()
}

// foundingPeers are the nodes with which the chain began that may still be there, and this one: who else there is stands in the state.
func (r *Replica) foundingPeers() []consensus.Peer {
	list := r.founders()
	known := make([]members.Peer, len(list))
	for i, m := range list {
		known[i] = members.Peer{Index: i, NodeKey: m.NodeKey}
		if m.NodeKey == nil {
			known[i].Role = members.Forgotten
		}
	}
	_, peers := r.peers(known)
	return peers
}

// readyText is what the file says, by whether all blocks are to be executed again.
var readyText = map[bool]string{false: "the new state is complete\n", true: "there is no new state, blocks are executed again\n"}

// install puts a recovered state in its place, if there is one. It can be repeated wherever it was cut short.
func (r *Replica) install() error {
	dir := filepath.Join(r.cfg.Dir, recoverDir)
	done := dir + ".done"
	fail := func(err error) error {
		return fmt.Errorf("putting the recovered state of %s in its place: %w", r.cfg.Dir, err)
	}
	if err := os.RemoveAll(done); err != nil {
		return fail(err)
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, readyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: run fusion replica recover --config %s (or import-utxos, if that was it) again", ErrUnfinished, r.cfg.Dir)
	}
	if err != nil {
		return fail(err)
	}
	for _, name := range []string{stateDir, consensusDir, RecoveryFile} {
		from, to := filepath.Join(dir, name), filepath.Join(r.cfg.Dir, name)
		_, err := os.Stat(from)
		switch {
		case err == nil:
			err = errors.Join(os.RemoveAll(to), os.Rename(from, to))
		case errors.Is(err, fs.ErrNotExist): // it is in its place already
			if err = nil; string(text) == readyText[true] && name != RecoveryFile {
				err = os.RemoveAll(to)
			}
		}
		if err != nil {
			return fail(err)
		}
	}
	// Images of a state that was given up are not for others.
	if err := errors.Join(os.RemoveAll(filepath.Join(r.cfg.Dir, snapshotsDir)), syncDir(r.cfg.Dir), os.Rename(dir, done), os.RemoveAll(done)); err != nil {
		return fail(err)
	}
	r.recovered, err = r.cfg.lastRecovery(r.doc)
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// restorer takes a snapshot into a new database.
type restorer struct {
	dir     string
	network [32]byte
	appHash [32]byte
	into    *state.Import
	restore *snapshot.Restore
}

var _ driver.Restorer = (*restorer)(nil)

// Offer implements driver.Restorer.
func (r *restorer) Offer(s driver.Snapshot, appHash []byte) error {
	if s.Format != snapshot.Format {
		return fmt.Errorf("%w: %d", driver.ErrSnapshotFormat, s.Format)
	}
	m, err := snapshot.DecodeManifest(s.Metadata)
	if err != nil {
		return fmt.Errorf("%w: %w", driver.ErrSnapshot, err)
	}
	hash := m.Hash()
	if m.Network != r.network || m.Height != s.Height || len(m.Chunks) != int(s.Chunks) || !bytes.Equal(hash[:], s.Hash) || len(appHash) != 32 {
		return fmt.Errorf("%w: its manifest is of block %d with %d chunks of network %x, it was offered as block %d with %d chunks", driver.ErrSnapshot,
			m.Height, len(m.Chunks), m.Network, s.Height, s.Chunks)
	}
	if err := errors.Join(r.close(), os.RemoveAll(r.dir), os.MkdirAll(r.dir, 0o700)); err != nil {
		return fmt.Errorf("making room for the state: %w", err)
	}
	if r.into, err = state.NewImport(r.dir, state.Options{Network: r.network}); err != nil {
		return err
	}
	r.restore, r.appHash = snapshot.NewRestore(m, r.into), [32]byte(appHash)
	return nil
}

// Chunk implements driver.Restorer.
func (r *restorer) Chunk(index uint32, chunk []byte) error {
	if r.restore == nil || int(index) != r.restore.Next() {
		return fmt.Errorf("chunk %d is not the next one of a snapshot", index)
	}
	err := r.restore.Chunk(chunk)
	if err == nil && r.restore.Next() == len(r.restore.Manifest.Chunks) {
		if err = r.restore.Finish(r.appHash, machine.HashOf); err == nil {
			return r.close()
		}
	}
	switch {
	case errors.Is(err, snapshot.ErrChunk):
		return fmt.Errorf("%w: %w", driver.ErrSnapshotChunk, err)
	case errors.Is(err, snapshot.ErrContent), errors.Is(err, snapshot.ErrAppHash):
		return fmt.Errorf("%w: %w", driver.ErrSnapshot, err)
	}
	return err
}

func (r *restorer) close() error {
	if r.into == nil {
		return nil
	}
	err := r.into.Close()
	r.into, r.restore = nil, nil
	return err
}
