package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"fusion/chainkey/keystore"
	"fusion/replica/genesis"
	"fusion/replica/machine"
	"fusion/replica/state"
)

// UTXOFiles are what a state begins with whose genesis document names a UTXO snapshot.
type UTXOFiles struct {
	Snapshot string // that Bitcoin Core's dumptxoutset made
	Headers  string // block headers from the first block up to the snapshot's, 80 bytes each
}

// ImportUTXOs gives a replica that never ran, or that recovers from blocks, the UTXO snapshot that its genesis document names. Nothing is in its place
// before everything is checked; an import that was cut short is begun again. progress may be nil.
func ImportUTXOs(ctx context.Context, cfg Config, files UTXOFiles, progress func(done, of uint64)) (err error) {
	cfg.EnsureDefaults()
	r := &Replica{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	if err := r.identify(); err != nil {
		return err
	}
	fail := func(err error) error { return fmt.Errorf("importing a UTXO snapshot into %s: %w", cfg.Dir, err) }
	// The key store is held by one process at a time, so the replica does not run.
	keys, err := keystore.Open(cfg.keyStore(r.doc))
	if err != nil {
		return fail(fmt.Errorf("%w (is the replica stopped?)", err))
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	if err := r.install(); err != nil && !errors.Is(err, ErrUnfinished) {
		return err
	}
	for _, name := range []string{stateDir, consensusDir} {
		if _, err := os.Stat(filepath.Join(cfg.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fail(errors.Join(fmt.Errorf("the replica has a %s directory, it ran or imported before: only a replica that never ran can begin with a snapshot", name), err))
		}
	}
	dir := filepath.Join(cfg.Dir, recoverDir)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, stateDir), 0o700), syncDir(cfg.Dir)); err != nil {
		return fail(err)
	}
	if err := importCoins(ctx, r.doc, filepath.Join(dir, stateDir), files, progress); err != nil {
		return errors.Join(fail(err), os.RemoveAll(dir))
	}
	if err := writeFile(filepath.Join(dir, readyFile), []byte(readyText[false]), 0o600); err != nil {
		return fail(err)
	}
	return r.install()
}

// importCoins makes the state before the first block in an empty directory.
func importCoins(ctx context.Context, doc *genesis.Doc, dir string, files UTXOFiles, progress func(done, of uint64)) error {
	in, err := os.Open(files.Snapshot)
	if err != nil {
		return err
	}
	defer in.Close()
	headers, err := os.Open(files.Headers)
	if err != nil {
		return err
	}
	defer headers.Close()
	into, err := state.NewImport(dir, state.Options{Network: doc.Hash(), CacheBytes: machine.CacheBytes(doc)})
	if err != nil {
		return err
	}
	err = machine.ImportUTXOs(doc, headers, &interruptible{in, ctx}, into, progress)
	if err == nil {
		err = into.CommitGenesis()
	}
	return errors.Join(err, into.Close())
}

// interruptible is a file that can be read until a context ends.
type interruptible struct {
	f   *os.File
	ctx context.Context
}

func (i *interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.f.Read(b)
}
