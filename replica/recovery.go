package replica

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fusion/chainkey/bls"
	"fusion/chainkey/keystore"
	"fusion/ic/identity"
	"fusion/ic/principal"
	"fusion/replica/genesis"
	"fusion/replica/machine"
	"fusion/replica/recovery"
	"fusion/replica/snapshot"
	"fusion/replica/state"
)

// Backup and recovery of the subnet as a whole: package recovery says how. What one replica gets back from the others is in recover.go.

// lastRecovery is the document of the subnet's last recovery, or nil.
func (c *Config) lastRecovery(doc *genesis.Doc) (*recovery.Document, error) {
	path := filepath.Join(c.Dir, RecoveryFile)
	d, err := recovery.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if network := doc.Hash(); [32]byte(d.Network) != network {
		return nil, fmt.Errorf("%s is of another network than %s: %w", path, GenesisFile, recovery.ErrMismatch)
	}
	return d, nil
}

// life is what sessions and messages are bound to.
func (c *Config) life(doc *genesis.Doc) ([32]byte, error) {
	d, err := c.lastRecovery(doc)
	if err != nil || d == nil {
		return doc.Hash(), err
	}
	return d.Life(), nil
}

func (r *Replica) life() [32]byte {
	if r.recovered == nil {
		return r.doc.Hash()
	}
	return r.recovered.Life()
}

// begun is how consensus begins: as in the genesis document, or in that of the last recovery.
type begun struct {
	id           string
	base, timeNs uint64
}

func (r *Replica) begun() begun {
	if r.recovered == nil {
		return begun{id: r.doc.ChainID, timeNs: r.doc.TimeNs}
	}
	return begun{r.recovered.ChainID(r.doc.ChainID), r.recovered.Base(), r.recovered.TimeNs}
}

// signState is the record of the validator's votes, one for each chain: what was signed on one is nothing on another.
func (c *Config) signState(d *recovery.Document) string {
	name := signStateFile
	if d != nil {
		name = "sign-state-" + d.Name() + ".json"
	}
	return filepath.Join(c.Dir, keysDir, name)
}

// sameLife says whether the state is of the recovery that the directory names.
func (r *Replica) sameLife(m *machine.Machine) error {
	if h := m.Head().Height; h == 0 && r.recovered == nil || h > 0 && m.Life() == r.life() {
		return nil
	}
	return fmt.Errorf("%w: the state in %s is of recovery %d, and %s says otherwise: restore the backup (fusion recovery restore), or fetch the state of the others (fusion replica recover)",
		recovery.ErrMismatch, r.cfg.Dir, m.LastRecovery().Number, RecoveryFile)
}

// BackupOptions say what Backup takes.
type BackupOptions struct {
	// Newest takes the newest state of a stopped replica, which the subnet has not signed, instead of the newest image that it has.
	Newest bool
}

// ErrNoImage says that a replica has no image that the subnet has signed.
var ErrNoImage = errors.New("no signed image of the state")

// Backup writes a backup of the subnet from a replica's directory. The replica may be running, unless the newest state is asked for.
func Backup(ctx context.Context, cfg Config, w io.Writer, opts BackupOptions) (b *recovery.Backup, err error) {
	r, err := offline(cfg)
	if err != nil {
		return nil, err
	}
	fail := func(err error) error { return fmt.Errorf("backing up the subnet from %s: %w", cfg.Dir, err) }
	if opts.Newest {
		b, err = r.backupNewest(ctx, w)
	} else {
		b, err = r.backupImage(w)
	}
	if err != nil {
		return nil, fail(err)
	}
	return b, nil
}

// offline is a replica of which nothing runs.
func offline(cfg Config) (*Replica, error) {
	cfg.EnsureDefaults()
	r := &Replica{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	return r, r.identify()
}

// backupImage writes the newest image that has a certificate.
func (r *Replica) backupImage(w io.Writer) (*recovery.Backup, error) {
	images := snapshot.Files(filepath.Join(r.cfg.Dir, snapshotsDir), r.doc.Hash())
	for _, m := range images.List() {
		c, err := images.Certificate(m.Height)
		if errors.Is(err, snapshot.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b := &recovery.Backup{Genesis: r.doc, Last: r.recovered, Manifest: m,
			Head: recovery.Head{Height: m.Height, AppHash: c.AppHash, RootKey: c.RootKey, Signature: c.Signature}}
		return b, recovery.Write(w, b, func(i int) ([]byte, error) { return images.Chunk(m.Height, i) })
	}
	return nil, fmt.Errorf("%w: one is made every snapshot_every blocks (%s); of a stopped replica the newest state can be taken: --newest", ErrNoImage, ConfigFile)
}

// backupNewest makes an image of a stopped replica's state.
func (r *Replica) backupNewest(ctx context.Context, w io.Writer) (b *recovery.Backup, err error) {
	err = r.stopped(func(*keystore.Store) error {
		return r.withMachine(filepath.Join(r.cfg.Dir, stateDir), func(m *machine.Machine, db *state.DB) (err error) {
			if err := r.sameLife(m); err != nil {
				return err
			}
			d, err := m.DraftRecovery(1, 1)
			if err != nil {
				return err
			}
			dir, err := os.MkdirTemp(r.cfg.Dir, "backup-")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
			images, err := snapshot.Open(dir, r.doc.Hash(), 1)
			if err != nil {
				return err
			}
			view := db.Snapshot()
			manifest, err := images.Make(ctx, d.Height, view)
			if err = errors.Join(err, view.Close()); err != nil {
				return err
			}
			b = &recovery.Backup{Genesis: r.doc, Last: r.recovered, Manifest: manifest, Head: recovery.Head{Height: d.Height, AppHash: d.AppHash, RootKey: d.RootKey}}
			return recovery.Write(w, b, func(i int) ([]byte, error) { return images.Chunk(d.Height, i) })
		})
	})
	return b, err
}

// stopped holds a replica's key store while fn runs: one process at a time has it, so the replica does not run.
func (r *Replica) stopped(fn func(*keystore.Store) error) (err error) {
	keys, err := keystore.Open(r.cfg.keyStore(r.doc))
	if err != nil {
		return fmt.Errorf("%w (is the replica stopped?)", err)
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	return fn(keys)
}

// withState opens a state for as long as fn runs, with what its machine is opened by.
func (r *Replica) withState(dir string, fn func(*state.DB, machine.Config) error) (err error) {
	engine, err := NewEngine(filepath.Join(r.cfg.Dir, cacheDir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	db, err := state.Open(dir, state.Options{Network: r.doc.Hash(), CacheBytes: machine.CacheBytes(r.doc)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return fn(db, machine.Config{Genesis: r.doc, Engine: engine})
}

// withMachine opens a state and its machine for as long as fn runs.
func (r *Replica) withMachine(dir string, fn func(*machine.Machine, *state.DB) error) error {
	return r.withState(dir, func(db *state.DB, cfg machine.Config) error {
		m, err := machine.Open(cfg, db)
		if err != nil {
			return err
		}
		defer m.Close()
		return fn(m, db)
	})
}

// Checked is what a backup turned out to hold.
type Checked struct {
	*recovery.Backup
	Recovery machine.Recovered     // the last before the state
	Deciders []principal.Principal // who signs a recovery of it
	Draft    *recovery.Document    // of the recovery with the next number, without signatures
}

// CheckBackup restores a backup into a directory of its own, which it removes, and says what it holds. number is that of the draft, 0 for the one after the
// state's last recovery.
func CheckBackup(in io.Reader, number uint64) (out *Checked, err error) {
	dir, err := os.MkdirTemp("", "fusion-backup-")
	if err != nil {
		return nil, fmt.Errorf("checking a backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := importBackup(in, filepath.Join(dir, stateDir), nil)
	if err != nil {
		return nil, err
	}
	out = &Checked{Backup: b}
	r := &Replica{cfg: Config{Dir: dir}, doc: b.Genesis, recovered: b.Last}
	return out, r.withMachine(filepath.Join(dir, stateDir), func(m *machine.Machine, _ *state.DB) error {
		if number == 0 {
			number = m.LastRecovery().Number + 1
		}
		out.Recovery, out.Deciders = m.LastRecovery(), m.Deciders()
		out.Draft, err = m.DraftRecovery(number, uint64(time.Now().UnixNano()))
		return errors.Join(err, fitsBackup(b, m))
	})
}

// fitsBackup says whether the head of a backup tells the truth about the state in it.
func fitsBackup(b *recovery.Backup, m *machine.Machine) error {
	d, err := m.DraftRecovery(1, 1)
	switch {
	case err != nil:
		return err
	case string(d.RootKey) != string(b.RootKey):
		return fmt.Errorf("%w: its state has another root key than its head says", recovery.ErrBackup)
	case m.Life() != b.Life():
		return fmt.Errorf("%w: its state is of recovery %d, and its head says otherwise", recovery.ErrBackup, m.LastRecovery().Number)
	}
	return nil
}

// importBackup makes the state of a backup in a new directory. doc, if not nil, is the network that it must be of.
func importBackup(in io.Reader, dir string, doc *genesis.Doc) (b *recovery.Backup, err error) {
	if b, err = recovery.Open(bufio.NewReaderSize(in, 1<<20)); err != nil {
		return nil, err
	}
	if doc != nil && doc.Hash() != b.Genesis.Hash() {
		return nil, fmt.Errorf("%w: the backup is of the network %s, with another genesis document", recovery.ErrMismatch, b.Genesis.ChainID)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making room for the state: %w", err)
	}
	into, err := state.NewImport(dir, state.Options{Network: b.Genesis.Hash()})
	if err != nil {
		return nil, err
	}
	restore := snapshot.NewRestore(b.Manifest, into)
	err = b.Restore(restore, func(appHash [32]byte) error { return restore.Finish(appHash, machine.HashOf) })
	return b, errors.Join(err, into.Close())
}

// RestoreOptions say how RestoreBackup goes about it.
type RestoreOptions struct {
	// WipeLaterShares restores although the key store has shares of epochs after the state's, which the replica then wipes.
	WipeLaterShares bool
}

// RestoreBackup gives a stopped replica the state of a backup, for a subnet that begins again as the document says. Nothing is in its place before
// everything is checked; what was cut short is begun again, and a restoration with the same document can be repeated. Of the key store nothing is touched: it
// must hold this node's shares.
func RestoreBackup(cfg Config, in io.Reader, d *recovery.Document, opts RestoreOptions) (err error) {
	r, err := offline(cfg)
	if err != nil {
		return err
	}
	cfg = r.cfg
	fail := func(err error) error { return fmt.Errorf("restoring a backup into %s: %w", cfg.Dir, err) }
	err = r.stopped(func(keys *keystore.Store) error {
		if err := r.install(); err != nil && !errors.Is(err, ErrUnfinished) {
			return err
		}
		if err := r.newer(d); err != nil {
			return err
		}
		dir := filepath.Join(cfg.Dir, recoverDir)
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, consensusDir), 0o700), syncDir(cfg.Dir)); err != nil {
			return err
		}
		if err := r.prepare(filepath.Join(dir, stateDir), in, d, keys, opts); err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
		if err := writeFile(filepath.Join(dir, RecoveryFile), d.Encode(), 0o644); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, readyFile), []byte(readyText[false]), 0o600); err != nil {
			return err
		}
		return r.install()
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// prepare makes the state with which the new chain begins.
func (r *Replica) prepare(dir string, in io.Reader, d *recovery.Document, keys *keystore.Store, opts RestoreOptions) error {
	b, err := importBackup(in, dir, r.doc)
	if err != nil {
		return err
	}
	if err := r.withMachine(dir, func(m *machine.Machine, _ *state.DB) error {
		if err := errors.Join(fitsBackup(b, m), m.FitsRecovery(d)); err != nil {
			return err
		}
		return r.hasShares(m, keys, opts.WipeLaterShares)
	}); err != nil {
		return err
	}
	return r.withState(dir, func(db *state.DB, cfg machine.Config) error {
		_, err := machine.Recover(cfg, db, d)
		return err
	})
}

// newer refuses a recovery whose number this replica has seen with another document. Besides the last document it asks the key store, where there is a record
// of votes for each.
func (r *Replica) newer(d *recovery.Document) error {
	used := func(n uint64, name string) error {
		if n < d.Number || name == d.Name() {
			return nil
		}
		return fmt.Errorf("%w: this replica was restored with number %d before; agree on a higher one than %d", recovery.ErrNumber, n, d.Number)
	}
	if r.recovered != nil {
		if err := used(r.recovered.Number, r.recovered.Name()); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(r.cfg.Dir, keysDir, "sign-state-*.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "sign-state-"), ".json")
		number, _, _ := strings.Cut(name, "-")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			if err := used(n, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasShares says whether the key store has this node's shares of the epochs in a state: members wipe those of epochs before, and shares of an epoch after
// the state's would be taken for what is left of a resharing that came to nothing.
func (r *Replica) hasShares(m *machine.Machine, keys *keystore.Store, laterShares bool) error {
	list, err := keys.Shares()
	if err != nil {
		return err
	}
	node := uint32(r.self)
	need := m.Signing().Generations(m.SigningReader(), node)
	of := func(e *bls.Epochs, name string) {
		if e.Group() != nil && slices.Contains(e.Members(), node) {
			need = append(need, keystore.Generation{Key: name, Epoch: e.Epoch()})
		}
	}
	of(m.RootKey(), blsKey)
	for i, name := range m.VetKeys().Names() {
		of(m.VetKeys().Epochs(i), vetKey(name))
	}
	for _, g := range need {
		if !slices.Contains(list, g) {
			return fmt.Errorf("%w: %v, in the key store's directory; restore the node's shares of that time (fusion key restore), or take a backup of after the last resharing", ErrShareMissing, g)
		}
	}
	if !laterShares {
		for _, g := range list {
			for _, n := range need {
				if g.Key == n.Key && g.Epoch > n.Epoch {
					return fmt.Errorf("%w: %v, and the state has epoch %d; if that resharing came into force, take a backup of after it; if it did not, or all such backups are lost, back the shares up (fusion key backup) and add --wipe-later-shares",
						ErrLaterShares, g, n.Epoch)
				}
			}
		}
	}
	return nil
}

// Why the shares in a key store do not fit a state.
var (
	ErrShareMissing = errors.New("a key share is missing")
	ErrLaterShares  = errors.New("the key store has shares of a later epoch")
)

// NodeIdentity is the node key in a replica's directory, as what signs the recovery of a network that is not governed.
func NodeIdentity(cfg *Config) (identity.Identity, error) {
	_, key, err := cfg.standing()
	if err != nil {
		return nil, err
	}
	return identity.NewEd25519(key), nil
}
